//! Why lines that were taken in still wait when an import ends.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    rc::Rc,
};

use crate::{
    engine::{Engine, EngineError},
    event::Header,
    id::{RecordId, SaidId, Seq},
};

/// So many are remembered; those beyond are in the log all the same, and counted.
const REMEMBERED_MAX: usize = 100_000;

/// A line that named something which was not there yet.
pub struct Waiting {
    /// The file.
    pub file: Rc<str>,
    /// The line.
    pub line: u64,
    /// Its event.
    pub seq: Seq,
    /// Its record.
    pub record: RecordId,
    /// The numbers that it names as seen.
    pub base: Vec<u64>,
}

/// The lines of an import that wait.
#[derive(Default)]
pub struct Waits(Vec<Waiting>);

impl Waits {
    /// Remembers a line.
    pub fn add(&mut self, waiting: Waiting) {
        if self.0.len() < REMEMBERED_MAX {
            self.0.push(waiting);
        }
    }

    /// Says of each line that waits in vain, whatever comes yet, why.
    ///
    /// # Errors
    /// If the log or the state fails.
    pub fn explain(self, engine: &Engine, source: &str) -> Result<Vec<String>, EngineError> {
        let mut by_record: BTreeMap<RecordId, Vec<Waiting>> = BTreeMap::new();
        for waiting in self.0 {
            by_record.entry(waiting.record.clone()).or_default().push(waiting);
        }
        let mut faults: Vec<(Rc<str>, u64, String)> = Vec::new();
        for (record, lines) in by_record {
            let waiting = engine.waiting(&record)?;
            let still: HashSet<Seq> = waiting.iter().map(|(seq, _)| *seq).collect();
            let lines: Vec<Waiting> = lines.into_iter().filter(|line| still.contains(&line.seq)).collect();
            for line in &lines {
                for number in &line.base {
                    let Some((_, header)) = engine.numbered(source, *number)? else { continue };
                    if header.record != record {
                        let why = format!("base {number} is an event of {}, not of {record}", header.record);
                        faults.push((line.file.clone(), line.line, why));
                    }
                }
            }
            faults.extend(cycles(&lines, &waiting));
        }
        faults.sort();
        Ok(faults.into_iter().map(|(file, line, why)| format!("{file}:{line}: {why}")).collect())
    }
}

/// Each cycle of base once, at the last of its lines: the one that closed it.
fn cycles(lines: &[Waiting], waiting: &[(Seq, Header)]) -> Vec<(Rc<str>, u64, String)> {
    let headers: HashMap<SaidId, &Header> = waiting.iter().map(|(_, header)| (header.said, header)).collect();
    let seqs: HashMap<Seq, &Header> = waiting.iter().map(|(seq, header)| (*seq, header)).collect();
    let mut told: HashSet<SaidId> = HashSet::new();
    let mut found = Vec::new();
    for line in lines.iter().rev() {
        let Some(start) = seqs.get(&line.seq).filter(|header| !told.contains(&header.said)) else { continue };
        let Some(cycle) = way_back(start.said, &headers) else { continue };
        told.extend(&cycle);
        let name = |said: &SaidId| headers[said].said_seq.map_or_else(|| said.to_string(), |number| number.to_string());
        let least = (0..cycle.len()).min_by_key(|at| headers[&cycle[*at]].said_seq).unwrap_or(0);
        let names: Vec<String> = (0..=cycle.len()).map(|step| name(&cycle[(least + step) % cycle.len()])).collect();
        found.push((line.file.clone(), line.line, format!("closes a cycle of base: {}", names.join(" -> "))));
    }
    found
}

/// The shortest way from a statement over what it names back to itself, without the end.
fn way_back(start: SaidId, headers: &HashMap<SaidId, &Header>) -> Option<Vec<SaidId>> {
    let mut from: HashMap<SaidId, SaidId> = HashMap::new();
    let mut todo = VecDeque::from([start]);
    while let Some(at) = todo.pop_front() {
        for next in headers.get(&at)?.seen.iter().flatten().filter(|next| headers.contains_key(next)) {
            if *next == start {
                let mut way = vec![at];
                while let Some(before) = from.get(way.last()?).filter(|_| way.last() != Some(&start)) {
                    way.push(*before);
                }
                way.reverse();
                return Some(way);
            }
            if let std::collections::hash_map::Entry::Vacant(slot) = from.entry(*next) {
                slot.insert(at);
                todo.push_back(*next);
            }
        }
    }
    None
}

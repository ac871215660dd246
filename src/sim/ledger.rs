//! The ledger: what users did on either side, judged afterwards by a naive fold that shares no code with the engine.
//!
//! Each side notes what it took in, at the moment it did, into one journal in true order. A user who edits a field has seen what
//! his side showed just then, and all that its author had seen before him, and so on; and a side's own later edits
//! replace its earlier ones. Edits that nobody who edited later had seen are candidates, and the field's rule, written
//! down here once more, picks one. Nothing that the engine says is read: what a write of ours brought is told by its value.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Instant,
};

use crate::{
    clock::Millis,
    id::{FieldName, RecordId, SideName},
    value::{Value, View},
};

/// Who changed something on a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// One of its users.
    User,
    /// A write of ours.
    Write,
    /// The side itself, which put into its own form what a write of ours brought.
    Side,
}

/// One line of the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The side.
    pub side: SideName,
    /// The record.
    pub record: RecordId,
    /// What changed.
    pub what: What,
    /// When, by the side's clock.
    pub at: Millis,
    /// Who changed it.
    pub by: By,
    /// When, by the machine's clock, for measuring.
    pub noted: Instant,
}

/// What an entry is about.
#[derive(Clone, Debug)]
pub enum What {
    /// The record was made.
    Made,
    /// The record was deleted.
    Gone,
    /// A field took a value.
    Field(FieldName, Value),
}

/// Where all sides write down what they take in, in true order.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Vec<Entry>>>);

impl Journal {
    /// Notes a field.
    pub fn field(&self, side: &SideName, record: &RecordId, field: &FieldName, value: &Value, at: Millis, by: By) {
        self.note(side, record, What::Field(field.clone(), value.clone()), at, by);
    }

    /// Notes a record that was made.
    pub fn made(&self, side: &SideName, record: &RecordId, at: Millis, by: By) {
        self.note(side, record, What::Made, at, by);
    }

    /// Notes a record that was deleted.
    pub fn gone(&self, side: &SideName, record: &RecordId, at: Millis, by: By) {
        self.note(side, record, What::Gone, at, by);
    }

    fn note(&self, side: &SideName, record: &RecordId, what: What, at: Millis, by: By) {
        let entry = Entry { side: side.clone(), record: record.clone(), what, at, by, noted: Instant::now() };
        self.0.lock().expect("noting does not panic").push(entry);
    }

    /// All entries so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().expect("noting does not panic").clone()
    }
}

/// How the ledger judges a field; said anew, not read from the manifest.
#[derive(Clone, Debug)]
pub enum Judge {
    /// This side's newest candidate; else the newest.
    Authority(&'static str),
    /// The newest candidate.
    Newest,
    /// As the newest, but among this side's edits alone.
    Only(&'static str),
    /// All elements ever added and never removed; no element is added twice.
    Elements,
    /// All lines ever added; none is removed.
    Lines,
    /// If candidates differ, what a person decided.
    Person,
}

/// What everybody has to show of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// This value.
    Value(Value),
    /// These elements, in any order.
    Elements(BTreeSet<String>),
    /// These lines, in any order.
    Lines(Vec<String>),
    /// What a person decides; until then each side keeps what it shows.
    Person,
}

/// What the ledger finds.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is due, by record and field.
    pub due: BTreeMap<(RecordId, FieldName), Due>,
    /// The records that are to be gone.
    pub gone: BTreeSet<RecordId>,
    /// The records that users made.
    pub records: BTreeSet<RecordId>,
    /// Words that users said, field by field.
    pub edits: u64,
    /// Fields with candidates that differ, at the end.
    pub conflicts: u64,
    /// Values that a write of ours brought and that no user had said.
    pub strays: Vec<(RecordId, FieldName, Value)>,
}

/// One user's word on a field.
struct Edit {
    side: SideName,
    /// By our clock.
    at: Millis,
    value: Value,
    /// What its author had seen directly.
    seen: Vec<usize>,
}

/// What happened to one field, in order.
type Story<'a> = Vec<(&'a Entry, &'a Value)>;

/// Judges a journal. `ahead` says how far a side's clock is ahead of ours.
pub fn judge(entries: &[Entry], rule: impl Fn(&str) -> Judge, ahead: impl Fn(&str) -> i64) -> Findings {
    let mut findings = Findings::default();
    let mut stories: BTreeMap<(RecordId, FieldName), Story> = BTreeMap::new();
    for entry in entries {
        match &entry.what {
            What::Made if entry.by == By::User => {
                findings.records.insert(entry.record.clone());
            }
            // A deletion wins over edits that did not know of it.
            What::Gone if entry.by == By::User => {
                findings.gone.insert(entry.record.clone());
            }
            What::Made | What::Gone => {}
            What::Field(field, value) => {
                stories.entry((entry.record.clone(), field.clone())).or_default().push((entry, value));
            }
        }
    }
    for ((record, field), story) in stories {
        findings.edits += story.iter().filter(|(entry, _)| entry.by == By::User).count() as u64;
        let due = match rule(&field) {
            Judge::Elements => Due::Elements(elements_due(&story)),
            Judge::Lines => Due::Lines(lines_due(&story)),
            rule => register_due(&record, &field, &story, &rule, &ahead, &mut findings),
        };
        findings.due.insert((record, field), due);
    }
    findings
}

fn register_due(
    record: &RecordId,
    field: &FieldName,
    story: &Story,
    rule: &Judge,
    ahead: &impl Fn(&str) -> i64,
    findings: &mut Findings,
) -> Due {
    let mut edits: Vec<Edit> = Vec::new();
    let mut shows: BTreeMap<&SideName, usize> = BTreeMap::new();
    let mut own: BTreeMap<&SideName, usize> = BTreeMap::new();
    for (entry, value) in story {
        let side = &entry.side;
        if entry.by == By::Write {
            match edits.iter().rposition(|edit| edit.value == **value) {
                Some(edit) => drop(shows.insert(side, edit)),
                // What a side put there that may not is taken away again.
                None if value.is_null() && matches!(rule, Judge::Only(_)) => {}
                None => findings.strays.push((record.clone(), field.clone(), (*value).clone())),
            }
            continue;
        }
        let seen = [shows.get(side), own.get(side)].into_iter().flatten().copied().collect();
        edits.push(Edit { side: side.clone(), at: entry.at.plus(-ahead(side)), value: (*value).clone(), seen });
        shows.insert(side, edits.len() - 1);
        own.insert(side, edits.len() - 1);
    }
    let candidates = unseen(&edits, rule);
    let differ = candidates.iter().any(|edit| edit.value != candidates[0].value);
    findings.conflicts += u64::from(differ);
    match rule {
        Judge::Person if differ => Due::Person,
        _ => Due::Value(pick(&candidates, rule)),
    }
}

/// The edits that count and that no later edit that counts had seen.
fn unseen<'a>(edits: &'a [Edit], rule: &Judge) -> Vec<&'a Edit> {
    let counts = |edit: &Edit| !matches!(rule, Judge::Only(side) if *edit.side != **side);
    let mut superseded = BTreeSet::new();
    for edit in edits.iter().filter(|edit| counts(edit)) {
        let mut todo = edit.seen.clone();
        while let Some(seen) = todo.pop() {
            if superseded.insert(seen) {
                todo.extend(&edits[seen].seen);
            }
        }
    }
    let is_left = |(at, edit): &(usize, &Edit)| counts(edit) && !superseded.contains(at);
    edits.iter().enumerate().filter(is_left).map(|(_, edit)| edit).collect()
}

fn pick(candidates: &[&Edit], rule: &Judge) -> Value {
    let newest = |side: Option<&str>| {
        let of = candidates.iter().filter(|edit| side.is_none_or(|side| *edit.side == *side));
        of.max_by_key(|edit| (edit.at, edit.side.clone()))
    };
    let winner = match rule {
        Judge::Authority(side) => newest(Some(side)).or_else(|| newest(None)),
        _ => newest(None),
    };
    winner.map_or_else(Value::null, |edit| edit.value.clone())
}

/// The elements of a list of texts.
pub fn elements(value: &Value) -> BTreeSet<String> {
    match value.view() {
        View::List(list) => list.map(|element| element.to_string()).collect(),
        _ => BTreeSet::new(),
    }
}

/// The lines of a text, in order of their letters.
pub fn lines(value: &Value) -> Vec<String> {
    let mut lines: Vec<String> = value.as_text().unwrap_or_default().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// What users added, without what users removed: each edit against what the side showed just before.
fn elements_due(story: &Story) -> BTreeSet<String> {
    let mut shows: BTreeMap<&SideName, BTreeSet<String>> = BTreeMap::new();
    let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
    for (entry, value) in story {
        let before = shows.entry(&entry.side).or_default();
        let after = elements(value);
        if entry.by != By::Write {
            added.extend(after.difference(before).cloned());
            removed.extend(before.difference(&after).cloned());
        }
        *before = after;
    }
    added.difference(&removed).cloned().collect()
}

fn lines_due(story: &Story) -> Vec<String> {
    let mut shows: BTreeMap<&SideName, Vec<String>> = BTreeMap::new();
    let mut due = Vec::new();
    for (entry, value) in story {
        let before = shows.entry(&entry.side).or_default();
        let after = lines(value);
        if entry.by != By::Write {
            let mut rest = before.clone();
            for line in &after {
                match rest.iter().position(|old| old == line) {
                    Some(at) => drop(rest.remove(at)),
                    None => due.push(line.clone()),
                }
            }
        }
        *before = after;
    }
    due.sort();
    due
}

impl std::fmt::Display for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Due::Value(value) => write!(f, "{value}"),
            Due::Elements(elements) => write!(f, "{}", elements.iter().cloned().collect::<Vec<_>>().join(", ")),
            Due::Lines(lines) => write!(f, "{}", lines.join(" / ")),
            Due::Person => f.write_str("what a person decides"),
        }
    }
}

impl Due {
    /// Whether a value is what is due.
    pub fn is_met_by(&self, value: &Value) -> bool {
        match self {
            Due::Value(due) => due == value,
            Due::Elements(due) => elements(value) == *due,
            Due::Lines(due) => lines(value) == *due,
            Due::Person => true,
        }
    }
}

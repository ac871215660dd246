//! A record's line: all its events in the order in which the log has them, and who had seen whom.
//!
//! Whether one event is among what another had seen is answered without walking the history: each
//! entry keeps a jump pointer along its first parent (the skew-binary scheme of Myers, 1983), so a
//! chain of any length is crossed in a logarithmic number of steps, and only events that name several
//! parents fan out.

use std::collections::BTreeMap;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::id::{Place, SaidId, Seq};

const NONE: u32 = u32::MAX;
/// Lines up to this length are searched from the newest end instead of through a map.
const SCAN_MAX: usize = 32;
/// What an entry that names several takes more than others, beside what it names.
const SEVERAL_BYTES: usize = 48;

/// Entries that an event names as seen: hardly ever more than four, which take no memory of their own.
pub type Parents = SmallVec<[u32; 4]>;

/// What the record keeps of one of its events, beside what it names as seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was said.
    pub said: SaidId,
    /// The event's sequence in the log.
    pub seq: Seq,
    /// Where its bytes are.
    pub place: Place,
}

#[derive(Clone, Copy, Debug)]
struct Reach {
    /// Length of the longest way down.
    depth: u32,
    /// Number of steps to the root along first parents.
    height: u32,
    /// The first parent.
    first: u32,
    /// An entry further down along first parents.
    jump: u32,
    /// The nearest entry, this one included, along first parents that names several.
    fan: u32,
}

/// The reach of what names nothing.
const ROOT: Reach = Reach { depth: 0, height: 0, first: NONE, jump: NONE, fan: NONE };

/// All events of a record. Equal lines hold the same entries in the same order.
#[derive(Clone, Debug, Default)]
pub struct Line {
    entries: Vec<Entry>,
    reach: Vec<Reach>,
    /// Whether any entry names this one as seen.
    named: Vec<bool>,
    /// All parents of the entries that name several.
    several: BTreeMap<u32, Box<[u32]>>,
    /// How many parents those are.
    in_several: usize,
    /// The newest entry of each saying; empty on a short line.
    by_said: HashTable<u32>,
}

/// What was said is a hash already.
fn hash_of(said: &SaidId) -> u64 {
    let (first, _) = said.0.split_first_chunk().expect("there are sixteen bytes");
    u64::from_le_bytes(*first)
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries && (0..self.len() as u32).all(|at| self.parents(at) == other.parents(at))
    }
}

impl Line {
    /// A line of these entries and what they name; a parent may stand before or after those that name it, but in no cycle.
    pub fn of(entries: Vec<(Entry, Parents)>) -> Self {
        let (entries, parents): (Vec<Entry>, Vec<Parents>) = entries.into_iter().unzip();
        let (reach, named) = (vec![ROOT; entries.len()], vec![false; entries.len()]);
        let mut line = Line { entries, reach, named, ..Line::default() };
        if line.entries.len() > SCAN_MAX {
            (0..line.entries.len() as u32).for_each(|at| line.note(at));
        }
        let mut done = vec![false; line.entries.len()];
        let mut todo: Vec<u32> = Vec::new();
        for start in 0..line.entries.len() as u32 {
            todo.push(start);
            while let Some(&at) = todo.last() {
                let own = &parents[at as usize];
                let open = own.iter().find(|parent| !done[**parent as usize]);
                match open {
                    Some(parent) if !done[at as usize] => todo.push(*parent),
                    _ => {
                        if !std::mem::replace(&mut done[at as usize], true) {
                            line.link(at, own);
                        }
                        todo.pop();
                    }
                }
            }
        }
        line
    }

    /// The entries, oldest in the log first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What an entry names as seen; nothing either while it waits.
    pub fn parents(&self, at: u32) -> &[u32] {
        let reach = &self.reach[at as usize];
        match reach.first {
            NONE => &[],
            _ if reach.fan == at => &self.several[&at],
            _ => std::slice::from_ref(&reach.first),
        }
    }

    /// The newest entry that says this.
    pub fn find(&self, said: &SaidId) -> Option<u32> {
        if self.entries.len() <= SCAN_MAX {
            return self.entries.iter().rposition(|entry| entry.said == *said).map(|at| at as u32);
        }
        self.by_said.find(hash_of(said), |at| self.entries[*at as usize].said == *said).copied()
    }

    /// Notes that an entry is the newest that says what it says.
    fn note(&mut self, at: u32) {
        let Line { entries, by_said, .. } = self;
        let said = &entries[at as usize].said;
        let rehash = |at: &u32| hash_of(&entries[*at as usize].said);
        match by_said.entry(hash_of(said), |at| entries[*at as usize].said == *said, rehash) {
            hashbrown::hash_table::Entry::Occupied(mut known) => *known.get_mut() = at,
            hashbrown::hash_table::Entry::Vacant(free) => drop(free.insert(at)),
        }
    }

    /// What an entry takes in memory.
    pub const ENTRY_BYTES: usize = size_of::<Entry>() + size_of::<Reach>() + size_of::<bool>();

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * Self::ENTRY_BYTES
            + self.by_said.capacity() * 6
            + self.several.len() * SEVERAL_BYTES
            + self.in_several * size_of::<u32>()
    }

    /// Adds an event; its parents are earlier entries or none.
    pub fn push(&mut self, entry: Entry, parents: &[u32]) -> u32 {
        let at = self.entries.len() as u32;
        if self.entries.len() == self.entries.capacity() {
            // Most of what records take in memory are long lines: no more than a fifth of one is room to grow.
            let room = self.entries.len() / 4 + 2;
            self.entries.reserve_exact(room);
            self.reach.reserve_exact(room);
            self.named.reserve_exact(room);
        }
        self.entries.push(entry);
        self.reach.push(ROOT);
        self.named.push(false);
        if self.entries.len() > SCAN_MAX {
            let first = if self.by_said.is_empty() { 0 } else { at };
            (first..=at).for_each(|at| self.note(at));
        }
        self.link(at, parents);
        at
    }

    /// The entry of a sequence.
    pub fn position(&self, seq: Seq) -> Option<u32> {
        self.entries.binary_search_by_key(&seq, |entry| entry.seq).ok().map(|at| at as u32)
    }

    /// Gives an entry that has no parents, and that nobody names as one yet, its own, which may stand later in the line.
    pub fn link(&mut self, at: u32, parents: &[u32]) {
        self.reach[at as usize] = self.reach_of(at, parents);
        parents.iter().for_each(|parent| self.named[*parent as usize] = true);
        if parents.len() > 1 {
            self.in_several += parents.len();
            self.several.insert(at, parents.into());
        }
    }

    fn reach_of(&self, at: u32, parents: &[u32]) -> Reach {
        let Some(&first) = parents.first() else { return ROOT };
        let depth = parents.iter().map(|parent| self.reach[*parent as usize].depth + 1).max().unwrap_or(0);
        let below = self.reach[first as usize];
        let jump = match below.jump {
            NONE => first,
            over => {
                let far = self.reach[over as usize];
                let equal =
                    far.jump != NONE && below.height - far.height == far.height - self.reach[far.jump as usize].height;
                if equal { far.jump } else { first }
            }
        };
        let fan = if parents.len() > 1 { at } else { below.fan };
        Reach { depth, height: below.height + 1, first, jump, fan }
    }

    /// Whether `old` is `new` itself or among what `new` had seen by name.
    pub fn saw(&self, new: u32, old: u32) -> bool {
        // Most of what stays in question for long was seen by nobody.
        if !self.named[old as usize] {
            return new == old;
        }
        let due = self.reach[old as usize];
        if self.reach[new as usize].depth < due.depth {
            return false;
        }
        self.down_to(new, due.height) == Some(old)
            || self.reach[new as usize].fan != NONE && self.saw_through_fans(new, old, due)
    }

    /// As [`Line::saw`], by all parents of entries that name several.
    fn saw_through_fans(&self, new: u32, old: u32, due: Reach) -> bool {
        let mut todo = vec![new];
        let mut fanned: Vec<u32> = Vec::new();
        while let Some(start) = todo.pop() {
            if self.reach[start as usize].depth < due.depth {
                continue;
            }
            if self.down_to(start, due.height) == Some(old) {
                return true;
            }
            let mut fan = self.reach[start as usize].fan;
            while fan != NONE && self.reach[fan as usize].depth > due.depth && !fanned.contains(&fan) {
                fanned.push(fan);
                let parents = self.parents(fan);
                todo.extend(&parents[1..]);
                fan = self.reach[parents[0] as usize].fan;
            }
        }
        false
    }

    /// The entry at this height along first parents, if there is one.
    fn down_to(&self, start: u32, height: u32) -> Option<u32> {
        let mut at = start;
        while self.reach[at as usize].height > height {
            let jump = self.reach[at as usize].jump;
            let over = self.reach[jump as usize].height >= height;
            at = if over { jump } else { self.reach[at as usize].first };
        }
        (self.reach[at as usize].height == height).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(parents: &[Vec<u32>]) -> Line {
        let entry = |(at, parents): (usize, &Vec<u32>)| {
            let entry = Entry { said: SaidId([at as u8; 16]), seq: Seq(at as u64 + 1), place: Place(0) };
            (entry, parents.as_slice().into())
        };
        Line::of(parents.iter().enumerate().map(entry).collect())
    }

    fn naive(parents: &[Vec<u32>], new: u32, old: u32) -> bool {
        new == old || parents[new as usize].iter().any(|parent| naive(parents, *parent, old))
    }

    fn some_parents() -> impl Strategy<Value = Vec<Vec<u32>>> {
        prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..40).prop_map(|picks| {
            let parents = |(at, picks): (usize, Vec<prop::sample::Index>)| {
                let mut parents: Vec<u32> = Vec::new();
                // Near ones are picked more often, as in life, so that chains grow long.
                for pick in picks.iter().filter(|_| at > 0) {
                    let parent = (at - 1 - pick.index(at).min(pick.index(3))) as u32;
                    if !parents.contains(&parent) {
                        parents.push(parent);
                    }
                }
                parents
            };
            picks.into_iter().enumerate().map(parents).collect()
        })
    }

    proptest! {
        #[test]
        fn saw_equals_a_plain_walk(parents in some_parents()) {
            let line = line(&parents);
            let mut pushed = Line::default();
            for (at, own) in parents.iter().enumerate() {
                prop_assert_eq!(line.parents(at as u32), &own[..]);
                pushed.push(line.entries()[at], own);
            }
            prop_assert_eq!(&pushed, &line);
            for new in 0..parents.len() as u32 {
                for old in 0..parents.len() as u32 {
                    prop_assert_eq!(line.saw(new, old), naive(&parents, new, old), "{} saw {}", new, old);
                }
            }
        }
    }

    #[test]
    fn every_event_is_found_by_what_it_said() {
        let line = line(&vec![Vec::new(); 100]);
        for at in 0..100 {
            assert_eq!(line.find(&SaidId([at as u8; 16])), Some(at));
        }
        assert_eq!(line.find(&SaidId([200; 16])), None);
    }
}

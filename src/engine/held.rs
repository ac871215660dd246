//! A record in memory, and what it adds to the totals.

use std::{collections::BTreeSet, sync::Arc};

use super::parked::holds;
use crate::{
    id::FieldName,
    merge::{self, Advance, Candidate, Existence, Field, Heard, Line, Record},
    rulebook::Rulebook,
};

/// A record in memory.
pub(super) struct Held {
    /// Shared with reads, which go on with the record as they found it; so is the line.
    pub record: Arc<Record>,
    pub line: Arc<Line>,
    /// Whether it differs from what is on disk.
    pub dirty: bool,
    /// The turn at which it was last asked for.
    pub used: u64,
    /// What it adds to the totals; `None` until someone asks.
    share: Option<Share>,
    /// About how many bytes it takes, as they count into the engine's budget.
    pub bytes: usize,
}

impl Held {
    pub fn new(record: Record, line: Line, dirty: bool) -> Box<Self> {
        Box::new(Held { record: record.into(), line: line.into(), dirty, used: 0, share: None, bytes: 0 })
    }

    /// Takes an event in.
    pub fn advance(&mut self, heard: &Heard, book: &Rulebook) -> Advance {
        (self.dirty, self.share) = (true, None);
        merge::advance(Arc::make_mut(&mut self.record), Arc::make_mut(&mut self.line), heard, book)
    }

    /// Takes the place of what it was.
    pub fn replace(&mut self, record: Record, line: Line) {
        (self.dirty, self.share) = (true, None);
        (self.record, self.line) = (record.into(), line.into());
    }

    /// What it adds to the totals.
    pub fn share(&mut self) -> Share {
        let record = &self.record;
        *self.share.get_or_insert_with(|| Share::of(record))
    }

    /// About how many bytes it takes: the allocations that there are many of.
    pub fn measure(&self) -> usize {
        // The words of an event share what they have in common, and most events still have a word or two.
        let candidate = |one: &Candidate| 180 + one.value.as_bytes().len() + one.known.len() * 96;
        let field = |field: &Field| 90 + field.candidates.iter().map(candidate).sum::<usize>();
        let shows: usize = self.record.sides.iter().map(|state| 250 + state.shows.len() * 140).sum();
        600 + self.line.bytes() + self.record.fields.iter().map(field).sum::<usize>() + shows
    }
}

/// What a record adds to the totals.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub records: i64,
    pub conflicts: i64,
    pub parked: i64,
    pub waiting: i64,
    pub contradicted: i64,
    pub echoes: i64,
}

impl Share {
    fn of(record: &Record) -> Self {
        let disputed = record.real_fields().filter(|field| field.is_disputed()).count();
        let parks = record.sides.iter().map(|state| {
            let fields: BTreeSet<&FieldName> = state.parks.iter().map(|park| &park.field).collect();
            fields.into_iter().filter(|field| holds(record, state, field)).count()
        });
        let stuck = usize::from(record.existence == Existence::Disputed) + record.contradicted.len();
        Share {
            records: i64::from(!record.fields.is_empty()),
            conflicts: record.conflicts() as i64,
            parked: (disputed + parks.sum::<usize>() + stuck) as i64,
            waiting: record.waiting.len() as i64,
            contradicted: record.contradicted.len() as i64,
            echoes: i64::from(record.echoes),
        }
    }
}

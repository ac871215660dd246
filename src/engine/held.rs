//! A record in memory, and what it adds to the totals.

use std::{collections::BTreeSet, sync::Arc};

use super::parked::holds;
use crate::{
    event::Event,
    id::FieldName,
    merge::{self, Advance, Candidate, Existence, Field, Heard, Line, Record},
    rulebook::Rulebook,
};

/// What a candidate takes beside its value: the words of an event share what they have in common, and most events still have
/// a word or two.
const CANDIDATE_BYTES: usize = 180;
/// A record is reckoned in full again when it has grown by one of so many events.
const WALKED_SHARE: usize = 16;

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
    /// How many events it had when they were last reckoned in full.
    reckoned: usize,
}

impl Held {
    pub fn new(record: Record, line: Line, dirty: bool) -> Box<Self> {
        Box::new(Held { record: record.into(), line: line.into(), dirty, used: 0, share: None, bytes: 0, reckoned: 0 })
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

    /// Reckons about how many bytes it takes.
    pub fn reckon(&mut self) {
        self.bytes = self.measure();
        self.reckoned = self.line.len();
    }

    /// As [`Held::reckon`], after one more event. A long line is walked now and then; until then what comes is added.
    pub fn reckon_more(&mut self, event: &Event) {
        let len = self.line.len();
        if len - self.reckoned > len / WALKED_SHARE {
            return self.reckon();
        }
        let words: usize = event.words().map(|(_, value)| CANDIDATE_BYTES + value.as_bytes().len()).sum();
        self.bytes += words + Line::ENTRY_BYTES;
    }

    /// The allocations that there are many of.
    fn measure(&self) -> usize {
        let candidate = |one: &Candidate| CANDIDATE_BYTES + one.value.as_bytes().len() + one.known.len() * 96;
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

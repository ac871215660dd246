//! Events as they are read back from the log, checked.

use std::cell::RefCell;

use super::EngineError;
use crate::{
    event::Event,
    id::{Place, RecordId, RecordKey, Seq, TenantKey},
    log::Log,
    merge::{self, Heard, Line},
};

/// Reads an event by its place and checks its payload.
pub(super) fn read_event(log: &Log, key: &TenantKey, seq: Seq, place: Place) -> Result<Event, EngineError> {
    let entry = log.read(place)?;
    parse(key, seq, &entry.header, &entry.payload)
}

/// Reads an event from its bytes and checks its payload.
pub(super) fn parse(key: &TenantKey, seq: Seq, header: &[u8], payload: &[u8]) -> Result<Event, EngineError> {
    Event::read(header, payload, |header| key.record_key(&header.record))
        .map_err(|source| EngineError::Event { seq, source })
}

/// The keys of records; the last one is kept, since most events of a line are of one record.
pub(super) struct RecordKeys<'k>(&'k TenantKey, RefCell<Option<(RecordId, RecordKey)>>);

impl<'k> RecordKeys<'k> {
    pub fn of_tenant(key: &'k TenantKey) -> Self {
        RecordKeys(key, RefCell::default())
    }

    pub fn of(&self, record: &RecordId) -> RecordKey {
        let mut last = self.1.borrow_mut();
        if let Some((_, key)) = last.as_ref().filter(|(known, _)| known == record) {
            return *key;
        }
        last.insert((record.clone(), self.0.record_key(record))).1
    }
}

/// All events of a line, from the log.
pub(super) fn read_line(log: &Log, key: &TenantKey, line: &Line) -> Result<Vec<Heard>, EngineError> {
    let keys = RecordKeys::of_tenant(key);
    let read = |entry: &merge::line::Entry| {
        let (seq, stored) = (entry.seq, log.read(entry.place)?);
        let event = Event::read(&stored.header, &stored.payload, |header| keys.of(&header.record))
            .map_err(|source| EngineError::Event { seq, source })?;
        Ok(Heard { seq, place: entry.place, event })
    };
    line.entries().iter().map(read).collect()
}

//! A record as of a position, with the rules that were known then.

use std::{cell::OnceCell, sync::Arc};

use super::{Position, Reader};
use crate::{
    clock::Millis,
    engine::{EngineError, Peek},
    event::Event,
    id::{EventId, RecordKey, Seq},
    merge::{self, Heard, Line, Record},
    rulebook::Rulebook,
};

/// A record as of a position.
pub struct Story {
    pub record: Record,
    /// The events that count at the position.
    pub line: Line,
    pub book: Arc<Rulebook>,
    key: RecordKey,
    read: OnceCell<(Vec<EventId>, Vec<Heard>)>,
}

impl Story {
    /// Reads an event of the line by its entry.
    pub fn event(&self, reader: &Reader, entry: u32) -> Result<(EventId, Seq, Event), EngineError> {
        let entry = &self.line.entries()[entry as usize];
        let (id, event) = reader.engine.stored_event(&self.key, entry.seq, entry.place)?;
        Ok((id, entry.seq, event))
    }

    /// All events of the line with their ids, in its order; they are read once.
    pub fn events(&self, reader: &Reader) -> Result<(&[EventId], &[Heard]), EngineError> {
        if self.read.get().is_none() {
            let events = read(reader, &self.key, &self.line)?;
            self.read.get_or_init(|| events);
        }
        let (ids, events) = self.read.get().expect("the events were just read");
        Ok((ids, events))
    }
}

fn read(reader: &Reader, key: &RecordKey, line: &Line) -> Result<(Vec<EventId>, Vec<Heard>), EngineError> {
    let mut ids = Vec::with_capacity(line.len());
    let mut events = Vec::with_capacity(line.len());
    for entry in line.entries() {
        let (id, event) = reader.engine.stored_event(key, entry.seq, entry.place)?;
        ids.push(id);
        events.push(Heard { seq: entry.seq, place: entry.place, event });
    }
    Ok((ids, events))
}

impl Reader {
    /// The record with its line; `None` if nothing was said of it.
    pub(super) fn story(&self, id: &str) -> Result<Option<Story>, EngineError> {
        if !self.may_read(id) {
            return Ok(None);
        }
        let Some(Peek { record, line, book }) = self.engine.peek(id)? else { return Ok(None) };
        let now = Story { record, line, book, key: self.engine.record_key(id), read: OnceCell::new() };
        match self.position {
            Position::Now => Ok(Some(now)),
            Position::Seq(last) => self.after(now, last),
            Position::Time(until) => self.until(now, until),
        }
    }

    /// The record alone; `None` if no word on it is in effect.
    pub(super) fn record(&self, id: &str) -> Result<Option<(Record, Arc<Rulebook>)>, EngineError> {
        if self.position == Position::Now {
            return if self.may_read(id) { self.engine.peek_record(id) } else { Ok(None) };
        }
        let story = self.story(id)?.filter(|story| !story.record.fields.is_empty());
        Ok(story.map(|story| (story.record, story.book)))
    }

    /// The rules as the store knew them at the position.
    pub(super) fn book(&self) -> Result<Arc<Rulebook>, EngineError> {
        match self.position {
            Position::Seq(last) => self.book_after(last),
            Position::Now | Position::Time(_) => self.engine.book(),
        }
    }

    fn book_after(&self, last: Seq) -> Result<Arc<Rulebook>, EngineError> {
        if let Some(book) = self.book.get() {
            return Ok(Arc::clone(book));
        }
        let book = self.engine.book_after(last)?;
        Ok(Arc::clone(self.book.get_or_init(|| book)))
    }

    fn after(&self, now: Story, last: Seq) -> Result<Option<Story>, EngineError> {
        let mut book = self.book_after(last)?;
        let known = now.line.entries().iter().filter(|entry| entry.seq <= last).cloned();
        let known = known.map(|entry| merge::line::Entry { parents: Vec::new(), ..entry });
        let line = Line::from_entries(known.collect());
        let (ids, events) = read(self, &now.key, &line)?;
        for heard in events.iter().filter(|heard| now.book.is_void(&heard.event.header.said)) {
            if self.engine.voided_by(&heard.event)?.is_some_and(|by| by <= last) {
                Arc::make_mut(&mut book).add_void(heard.event.header.said);
            }
        }
        Ok(fold(now, ids, events, book))
    }

    fn until(&self, now: Story, until: Millis) -> Result<Option<Story>, EngineError> {
        let (ids, events) = read(self, &now.key, &now.line)?;
        let said = |heard: &Heard| {
            let header = &heard.event.header;
            now.book.corrected(&header.origin.side, header.said_at) <= until
        };
        let (ids, events) = ids.into_iter().zip(events).filter(|(_, heard)| said(heard)).unzip();
        let book = Arc::clone(&now.book);
        Ok(fold(now, ids, events, book))
    }
}

fn fold(now: Story, ids: Vec<EventId>, events: Vec<Heard>, book: Arc<Rulebook>) -> Option<Story> {
    if events.is_empty() {
        return None;
    }
    let (record, line) = merge::fold(&events, &book);
    Some(Story { record, line, book, read: OnceCell::from((ids, events)), ..now })
}

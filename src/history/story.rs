//! A record as of a position, with the rules that were known then.

use std::{cell::OnceCell, sync::Arc};

use super::{Position, Reader, permit::Permit};
use crate::{
    clock::Millis,
    engine::{EngineError, Peek, Ruled},
    event::Event,
    id::{EventId, RecordId, Seq},
    merge::{self, Heard, Line, Record},
    rulebook::Rulebook,
};

/// A record as of a position, as the principal may see it.
pub struct Story {
    /// Without the fields that may not be read.
    pub record: Arc<Record>,
    /// With them, where there are any.
    whole: Option<Arc<Record>>,
    pub permit: Permit,
    /// The events that count at the position.
    pub line: Arc<Line>,
    pub book: Arc<Rulebook>,
    read: OnceCell<(Vec<EventId>, Vec<Heard>)>,
}

impl Story {
    /// The record with all its fields: for what is computed of them, never for what is told.
    pub fn whole(&self) -> &Record {
        self.whole.as_deref().unwrap_or(&self.record)
    }

    /// Whether a word on anything is in effect, whether it may be read or not.
    pub fn is_said(&self) -> bool {
        !self.whole().fields.is_empty()
    }

    /// Takes the fields out that may not be read.
    fn trimmed(mut self, kind: &str) -> Story {
        if self.permit.limits().is_some() {
            self.whole = Some(Arc::clone(&self.record));
            self.permit.trim(kind, &mut self.record);
        }
        self
    }

    /// Reads an event of the line by its entry.
    pub fn event(&self, reader: &Reader, entry: u32) -> Result<(EventId, Seq, Event), EngineError> {
        let entry = &self.line.entries()[entry as usize];
        let (id, event) = reader.engine.stored_event(entry.seq, entry.place)?;
        let mut heard = [Heard { seq: entry.seq, place: entry.place, event }];
        reader.engine.understand_all(&mut heard)?;
        let [heard] = heard;
        Ok((id, heard.seq, heard.event))
    }

    /// All events of the line with their ids, in its order; they are read once.
    pub fn events(&self, reader: &Reader) -> Result<(&[EventId], &[Heard]), EngineError> {
        if self.read.get().is_none() {
            let events = read(reader, &self.line)?;
            self.read.get_or_init(|| events);
        }
        let (ids, events) = self.read.get().expect("the events were just read");
        Ok((ids, events))
    }
}

fn read(reader: &Reader, line: &Line) -> Result<(Vec<EventId>, Vec<Heard>), EngineError> {
    let (ids, mut events) = reader.engine.stored_events(line)?;
    reader.engine.understand_all(&mut events)?;
    Ok((ids, events))
}

impl Reader {
    /// The record with its line; `None` if nothing was said of it, or it is not there for the principal.
    pub(super) fn story(&self, id: &RecordId) -> Result<Option<Story>, EngineError> {
        // The tenant's own line is no record.
        if id.is_empty() {
            return Ok(None);
        }
        let permit = self.permit()?;
        let Some(Peek { record, line, book }) = self.judged(&permit, id, self.engine.peek(id))? else {
            return Ok(None);
        };
        if !permit.sees(&self.engine, id, &record) {
            return Ok(None);
        }
        let now = Story { record, whole: None, permit, line, book, read: OnceCell::new() };
        let story = match self.position {
            Position::Now => Some(now),
            Position::Seq(last) => self.after(now, last)?,
            Position::Time(until) => self.until(now, until)?,
        };
        Ok(story.map(|story| story.trimmed(id.kind())))
    }

    /// The record alone, with all its fields; `None` if no word on it is in effect, or it is not there for the principal.
    pub(super) fn whole_record(&self, id: &RecordId) -> Result<Option<(Ruled, Permit)>, EngineError> {
        if self.position == Position::Now && !id.is_empty() {
            let permit = self.permit()?;
            let found = self.judged(&permit, id, self.engine.peek_record(id))?;
            let seen = found.filter(|(record, _)| permit.sees(&self.engine, id, record));
            return Ok(seen.map(|judged| (judged, permit)));
        }
        let Some(story) = self.story(id)?.filter(Story::is_said) else { return Ok(None) };
        let Story { record, whole, permit, book, .. } = story;
        Ok(Some(((whole.unwrap_or(record), book), permit)))
    }

    /// The record alone, without the fields that may not be read.
    pub(super) fn record(&self, id: &RecordId) -> Result<Option<Ruled>, EngineError> {
        let found = self.whole_record(id)?;
        Ok(found.map(|((mut record, book), permit)| {
            permit.trim(id.kind(), &mut record);
            (record, book)
        }))
    }

    /// What was found of a record; where it cannot be read, nothing to those who may not even know that it is there.
    fn judged<T>(
        &self,
        permit: &Permit,
        id: &RecordId,
        found: Result<Option<T>, EngineError>,
    ) -> Result<Option<T>, EngineError> {
        match found {
            Err(why) if !permit.sees_unread(&self.engine, id) => {
                let why = &why as &dyn std::error::Error;
                tracing::error!(record = %id, why, "a record that cannot be read is not there for a role");
                Ok(None)
            }
            found => found,
        }
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
        let known = now.line.entries().iter().filter(|entry| entry.seq <= last);
        let line = Line::of(known.map(|entry| (*entry, Default::default())).collect());
        let (ids, events) = read(self, &line)?;
        for heard in events.iter().filter(|heard| now.book.is_void(&heard.event.header.said)) {
            if self.engine.voided_by(&heard.event)?.is_some_and(|by| by <= last) {
                Arc::make_mut(&mut book).add_void(heard.event.header.said);
            }
        }
        Ok(fold(now, ids, events, book))
    }

    fn until(&self, now: Story, until: Millis) -> Result<Option<Story>, EngineError> {
        let (ids, events) = read(self, &now.line)?;
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
    Some(Story { record: record.into(), line: line.into(), book, read: OnceCell::from((ids, events)), ..now })
}

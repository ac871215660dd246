//! What reads take from the engine: copies of what it holds, made under its lock, and events read outside of it.

use std::sync::Arc;

use super::{Engine, EngineError, core, stored::RecordKeys};
use crate::{
    event::{Detail, Event},
    id::{EventId, Place, RecordId, Seq, SideName},
    log::{LogError, Scan},
    manifest::Manifest,
    merge::{Heard, Line, Record, line::Entry},
    rulebook::Rulebook,
};

/// A record, and the rules by which it was judged.
pub(crate) type Ruled = (Arc<Record>, Arc<Rulebook>);

/// A record as it was at one moment, with the rules of that moment.
pub(crate) struct Peek {
    pub record: Arc<Record>,
    pub line: Arc<Line>,
    pub book: Arc<Rulebook>,
}

impl Engine {
    /// A record, unless nothing was ever said of it.
    pub(crate) fn peek(&self, id: &str) -> Result<Option<Peek>, EngineError> {
        let core = self.core()?;
        let Some((record, line)) = core.peek_whole(id)? else { return Ok(None) };
        Ok((!line.is_empty()).then(|| Peek { record, line, book: Arc::clone(&core.book) }))
    }

    /// A record without its line; `None` if no word on it is in effect.
    pub(crate) fn peek_record(&self, id: &str) -> Result<Option<Ruled>, EngineError> {
        let core = self.core()?;
        let record = core.peek(id)?.filter(|record| !record.fields.is_empty());
        Ok(record.map(|record| (record, Arc::clone(&core.book))))
    }

    /// The record under which what a side says of `record` stands: the side's own one, where it is the same.
    pub(crate) fn stream(
        &self,
        record: &RecordId,
        side: &SideName,
        link: Option<&str>,
    ) -> Result<RecordId, EngineError> {
        self.core()?.stream(record, side, link)
    }

    /// The rules as they are now.
    pub(crate) fn book(&self) -> Result<Arc<Rulebook>, EngineError> {
        Ok(Arc::clone(&self.core()?.book))
    }

    /// The rules that the store knew after an event, without what [`Engine::voided_by`] tells record by record.
    pub(crate) fn book_after(&self, last: Seq) -> Result<Arc<Rulebook>, EngineError> {
        let (line, now) = {
            let core = self.core()?;
            (core.peek_line("")?.unwrap_or_default(), Arc::clone(&core.book))
        };
        let mut book = Rulebook::default();
        for entry in line.entries().iter().filter(|entry| entry.seq <= last) {
            let event = self.stored_event(entry.seq, entry.place)?.1;
            match &event.payload.detail {
                Detail::Manifest(text) => {
                    let manifest = Manifest::parse(text).map_err(EngineError::Manifest)?;
                    book.add_edition(event.header.said_at, text, core::edition(&manifest));
                }
                Detail::Clock(ahead) => book.add_clock(&event.header.origin.side, event.header.said_at, *ahead),
                _ => {}
            }
        }
        // Before its first manifest a store has no rules, and nothing that rules could decide.
        Ok(if book.is_empty() { now } else { Arc::new(book) })
    }

    /// The event that took a numbered statement out of effect by bearing its number, on another record.
    pub(crate) fn voided_by(&self, event: &Event) -> Result<Option<Seq>, EngineError> {
        let header = &event.header;
        let (Some(source), Some(number)) = (header.named.source(), header.said_seq) else { return Ok(None) };
        let core = self.core()?;
        if !core.book.is_void(&header.said) {
            return Ok(None);
        }
        core.numbered(source, number)
    }

    /// Reads an event, with its id, and checks it.
    ///
    /// # Errors
    /// With the sequence, if the event is damaged.
    pub(crate) fn stored_event(&self, seq: Seq, place: Place) -> Result<(EventId, Event), EngineError> {
        self.keyed_event(seq, place, &RecordKeys::of_tenant(&self.inner.key))
    }

    fn keyed_event(&self, seq: Seq, place: Place, keys: &RecordKeys<'_>) -> Result<(EventId, Event), EngineError> {
        let entry = self.inner.log.read(place).map_err(|why| match why {
            LogError::NoEntry { place } => LogError::Corrupt { seqs: seq..=seq, segment: place.segment() },
            why => why,
        })?;
        let event = Event::read(&entry.header, &entry.payload, |header| keys.of(&header.record))
            .map_err(|source| EngineError::Event { seq, source })?;
        Ok((entry.id, event))
    }

    /// Reads all events of a line, with their ids, and checks them.
    ///
    /// # Errors
    /// As [`Engine::stored_event`].
    pub(crate) fn stored_events(&self, line: &Line) -> Result<(Vec<EventId>, Vec<Heard>), EngineError> {
        let keys = RecordKeys::of_tenant(&self.inner.key);
        let mut ids = Vec::with_capacity(line.len());
        let mut events = Vec::with_capacity(line.len());
        for Entry { seq, place, .. } in line.entries() {
            let (id, event) = self.keyed_event(*seq, *place, &keys)?;
            ids.push(id);
            events.push(Heard { seq: *seq, place: *place, event });
        }
        Ok((ids, events))
    }

    /// The newest sequence that is on disk.
    pub(crate) fn durable(&self) -> Seq {
        self.inner.log.durable()
    }

    /// The events on disk from a sequence on, unread.
    pub(crate) fn scan(&self, from: Seq) -> Scan {
        self.inner.log.scan(from)
    }

    /// The ids of the records in memory, and of those in derived state, from one on; each ascending, one id may be in both.
    pub(crate) fn ids(
        &self,
        start: &str,
    ) -> Result<(Vec<RecordId>, impl Iterator<Item = Result<RecordId, EngineError>> + use<>), EngineError> {
        let core = self.core()?;
        let mut held: Vec<RecordId> =
            core.held.keys().filter(|id| !id.is_empty() && &***id >= start).cloned().collect();
        held.sort();
        // No id starts with a control character, and the tenant's own line has the empty one.
        let stored = core.store.ids(start.max("\u{1}")).map(|id| id.map_err(EngineError::from));
        // Until the next checkpoint what has become another id's alias is on disk still.
        let engine = self.clone();
        let stored = stored.filter_map(move |id| match id.and_then(|id| Ok((engine.canonical(&id)?, id))) {
            Ok((canonical, id)) => (canonical == id).then_some(Ok(id)),
            Err(why) => Some(Err(why)),
        });
        Ok((held, stored))
    }
}

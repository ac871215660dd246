//! How a store's events leave it and enter another: what `export` and `import` ask of the engine.

use super::{Engine, EngineError, stored::parse};
use crate::{
    event::{Event, Header},
    id::{self, EventId, Seq, TenantKey},
    log::Stored,
    merge::line::Entry,
};

impl Engine {
    /// The tenant's key. Whoever has it can guess values from hashes, so it goes only into exports.
    pub fn tenant_key(&self) -> &TenantKey {
        &self.inner.key
    }

    /// The last sequence in the log.
    pub fn last(&self) -> Seq {
        self.inner.log.last()
    }

    /// Whether the last checkpoint stands for all of the log, so that closing has nothing to do.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn is_checkpointed(&self) -> Result<bool, EngineError> {
        Ok(self.core()?.checkpointed() == self.inner.log.last())
    }

    /// All events that are on disk, in log order, with the bytes as they are stored.
    ///
    /// Where the log is damaged an item says so, and the next one comes from behind the damage.
    pub fn stored(&self) -> impl Iterator<Item = Result<(Event, Stored), EngineError>> + '_ {
        self.stored_after(Seq(0))
    }

    /// As [`Engine::stored`], from the event behind this sequence on.
    pub fn stored_after(&self, seq: Seq) -> impl Iterator<Item = Result<(Event, Stored), EngineError>> + '_ {
        self.inner.log.scan(seq.next()).map(|stored| {
            let stored = stored?;
            let event = parse(&self.inner.key, stored.seq, &stored.header, &stored.payload)?;
            Ok((event, stored))
        })
    }

    /// The event that bears a number of this source; of several the one in effect.
    ///
    /// # Errors
    /// If the log or the state fails.
    pub fn numbered(&self, source: &str, number: u64) -> Result<Option<(Seq, Header)>, EngineError> {
        Ok(self.numbered_event(source, number)?.map(|(seq, _, event)| (seq, event.header)))
    }

    /// As [`Engine::numbered`], with the event's id and payload.
    ///
    /// # Errors
    /// If the log or the state fails.
    pub fn numbered_event(&self, source: &str, number: u64) -> Result<Option<(Seq, EventId, Event)>, EngineError> {
        let seq = self.core()?.numbered(source, number)?;
        let Some(seq) = seq else { return Ok(None) };
        let entry = self.inner.log.read(self.inner.log.find(seq)?)?;
        let event = parse(&self.inner.key, seq, &entry.header, &entry.payload)?;
        Ok(Some((seq, id::event_id(&entry.header), event)))
    }

    /// Checks that the store would take a statement.
    ///
    /// # Errors
    /// If its log is damaged or its disk has failed, or the engine has stopped.
    pub fn can_write(&self) -> Result<(), EngineError> {
        drop(self.core()?);
        self.inner.log.append(&[])?;
        Ok(())
    }

    /// The events of a record that wait for something that they name as seen.
    ///
    /// # Errors
    /// If the log or the state fails.
    pub fn waiting(&self, record: &str) -> Result<Vec<(Seq, Header)>, EngineError> {
        let (state, line) = {
            let core = self.core()?;
            let Some(whole) = core.peek_whole(record)? else { return Ok(Vec::new()) };
            whole
        };
        let entry = |at: u32| -> &Entry { &line.entries()[at as usize] };
        let read = |entry: &Entry| Ok((entry.seq, self.event_at(entry.seq, entry.place)?.header));
        state.waiting.iter().map(|waiting| read(entry(waiting.entry))).collect()
    }
}

//! Records as a side shows them, many at a time: what backfills, polls and reconciliations bring.

use std::sync::Arc;

use super::{Engine, EngineError, core::Core};
use crate::{
    clock::{Clock, Millis},
    id::{RecordId, SideName},
    projection,
    send::{Ask, Seen},
};

/// A record with the side's own id for it, where it has said one.
pub type Linked = (RecordId, Option<Box<str>>);

impl Engine {
    /// Takes in what a side was seen to show of many records, as [`Engine::observe`] does of one, and returns how many
    /// statements that made.
    ///
    /// With `bulk` the writes that follow from it go out after those that someone's edit asks for.
    ///
    /// # Errors
    /// If the log or the state fails.
    ///
    /// # After a crash
    /// Those before some place in the list are in the log, and those after it are not.
    pub fn observe_all(&self, side: &SideName, seen: Vec<(RecordId, Seen)>, bulk: bool) -> Result<usize, EngineError> {
        let mut core = self.core()?;
        core.bulk = bulk;
        let done = self.observe_each(&mut core, side, seen);
        core.bulk = false;
        let last = self.inner.log.last();
        drop(core);
        self.wait(last)?;
        done
    }

    fn observe_each(
        &self,
        core: &mut Core,
        side: &SideName,
        seen: Vec<(RecordId, Seen)>,
    ) -> Result<usize, EngineError> {
        let now = self.now();
        let mut made = 0;
        for (record, seen) in seen {
            let ask = whole(core, side, &record, &seen)?;
            let drafts = self.fitting_drafts(core, &ask, seen, now)?;
            made += drafts.len();
            self.log_own(core, drafts)?;
        }
        self.settle(core)?;
        Ok(made)
    }

    /// The ids of all records, ascending.
    ///
    /// # Errors
    /// If the state fails.
    pub fn records(&self) -> Result<Vec<RecordId>, EngineError> {
        self.core()?.ids()
    }

    /// Those of some records that a side has, as far as is known, with its own ids for them.
    ///
    /// # Errors
    /// If the state fails.
    pub fn linked(&self, side: &str, records: &[RecordId]) -> Result<Vec<Linked>, EngineError> {
        let core = self.core()?;
        let mut linked = Vec::new();
        for id in records {
            let id = core.canonical(id)?;
            let Some(record) = core.peek(&id)? else { continue };
            let state = record.side(side);
            if projection::exists_on(state) {
                linked.push((id, state.and_then(|state| state.link.clone())));
            }
        }
        Ok(linked)
    }

    /// When a side last said something or confirmed a write, by our clock; `None`: not since the store was opened.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn heard_of(&self, side: &str) -> Result<Option<Millis>, EngineError> {
        Ok(self.core()?.heard_of.get(side).copied())
    }

    /// Where the engine reads the time of day.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.clock)
    }

    /// The present time as a side's clock shows it, by the offset in force.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn now_on(&self, side: &str) -> Result<Millis, EngineError> {
        Ok(self.core()?.book.on_side(side, self.now()))
    }
}

/// The question that a reading of a whole record answers.
///
/// Several ids of one side may lead to one record: the reading is of the one that it was asked under.
pub(super) fn whole(core: &Core, side: &SideName, record: &RecordId, seen: &Seen) -> Result<Ask, EngineError> {
    let link = match record.side_and_link().filter(|(of, _)| **of == **side && core.has_own_ids(side)) {
        Some((_, link)) => Some(link.into()),
        None => seen.link.clone(),
    };
    let record = core.canonical(record)?;
    Ok(Ask { side: side.clone(), record, link, fields: Vec::new(), about: None })
}

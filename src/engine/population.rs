//! Which sides' records have been read once: before that, nothing is made on a side, since it may have it already.

use super::{Engine, EngineError};
use crate::{
    event::{Author, Detail, Draft, Kind, Origin},
    id::{RecordId, SideName},
};

impl Engine {
    /// Holds back the making of records of a kind on a side, until [`Engine::populated`].
    ///
    /// A side that names records by ids of its own is held back from the beginning, whatever is said here.
    ///
    /// # After a crash
    /// Forgotten; whoever drives the side says it anew before anything is sent.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn hold_creates(&self, side: &SideName, kind: &str) -> Result<(), EngineError> {
        self.core()?.held_back.insert((side.clone(), kind.to_owned()));
        Ok(())
    }

    /// Lets records of a kind be made on a side: all that it has have been read. Said once, it holds for good.
    ///
    /// # After a crash
    /// It is said, or it is not.
    ///
    /// # Errors
    /// If the store fails.
    pub fn populated(&self, side: &SideName, kind: &str) -> Result<(), EngineError> {
        let key = (side.clone(), kind.to_owned());
        let at = {
            let mut core = self.core()?;
            let was_held = core.held_back.remove(&key);
            if !was_held && core.populated.contains(&key) {
                return Ok(());
            }
            core.book.on_side(side, self.now())
        };
        let origin = Origin::side(side.clone());
        let mut draft = Draft::new(Kind::Observe, RecordId::tenant(), origin, at, Author::engine());
        draft.detail = Detail::Reason(kind.to_owned());
        self.say(vec![draft])?;
        let mut core = self.core()?;
        let ids = core.ids()?.into_iter().filter(|id| id.kind() == kind);
        core.touched.extend(ids.collect::<Vec<_>>());
        self.finish(core, Vec::new())?;
        // Whoever drives the side waits for news of the log; there is something to do even if the log has none.
        self.inner.changed.send_modify(|_| {});
        Ok(())
    }

    /// Whether records of a kind may be made on a side.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn may_create(&self, side: &SideName, kind: &str) -> Result<bool, EngineError> {
        let core = self.core()?;
        let key = (side.clone(), kind.to_owned());
        Ok(!core.held_back.contains(&key) && (!core.has_own_ids(side) || core.populated.contains(&key)))
    }
}

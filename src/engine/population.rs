//! Which sides' records have been read once: before that, nothing is made on a side, since it may have it already.

use super::{Engine, EngineError};
use crate::{clock::Millis, id::SideName};

/// A row that waits until its side's records have been read.
pub(super) const NEVER: Millis = Millis(i64::MAX);

impl Engine {
    /// Holds back the making of records of a kind on a side, until [`Engine::populated`].
    ///
    /// # After a crash
    /// Forgotten; whoever drives the side says it anew before anything is sent.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn hold_creates(&self, side: &SideName, kind: &str) -> Result<(), EngineError> {
        self.core()?.unread.insert((side.clone(), kind.to_owned()));
        Ok(())
    }

    /// Lets records of a kind be made on a side: all that it has have been read.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn populated(&self, side: &SideName, kind: &str) -> Result<(), EngineError> {
        let mut core = self.core()?;
        if !core.unread.remove(&(side.clone(), kind.to_owned())) {
            return Ok(());
        }
        let now = self.now();
        let waits = core
            .rows
            .iter_mut()
            .filter(|((of, record), row)| *of == *side && record.kind() == kind && row.not_before == NEVER);
        waits.for_each(|(_, row)| row.not_before = now);
        drop(core);
        // Whoever drives the side waits for news of the log; this is none, but there is something to do.
        self.inner.changed.send_modify(|_| {});
        Ok(())
    }

    /// Whether records of a kind may be made on a side.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn may_create(&self, side: &SideName, kind: &str) -> Result<bool, EngineError> {
        Ok(!self.core()?.unread.contains(&(side.clone(), kind.to_owned())))
    }
}

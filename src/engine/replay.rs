//! What happens on open: the log's tail takes effect over derived state.

use super::{EngineError, core::Core, stored::parse};
use crate::{id::Seq, log::Log, merge::Heard};

/// How many events pass between two reports of progress.
const REPORT_EVERY: u64 = 4096;

/// Lets all events after the checkpoint take effect; returns how many.
///
/// No record in derived state is newer than the checkpoint: the runs that hold them are those that it names.
///
/// # Errors
/// If derived state fails. Where the log cannot be read, what depends on it has no effect: nothing more is taken then, and the
/// checkpoint stays where it is.
pub(super) fn replay(core: &mut Core, log: &Log, progress: &mut dyn FnMut(u64, u64)) -> Result<u64, EngineError> {
    let from = core.checkpointed();
    let all = log.durable().0.saturating_sub(from.0);
    let (mut done, mut next) = (0, Seq(from.0 + 1));
    for stored in log.scan(Seq(from.0 + 1)) {
        let stored = match stored {
            Ok(stored) => stored,
            Err(why) => {
                tracing::error!(error = &why as &dyn std::error::Error, "replay passes over damaged events");
                core.fall_behind(next);
                continue;
            }
        };
        next = stored.seq.next();
        let event = match parse(&core.key, stored.seq, &stored.header, &stored.payload) {
            Ok(event) => event,
            Err(why) => {
                tracing::error!(error = &why as &dyn std::error::Error, "replay passes over a damaged event");
                core.fall_behind(stored.seq);
                continue;
            }
        };
        match core.apply(log, Heard { seq: stored.seq, place: stored.place, event }) {
            // It is sound, but an older one of its record is not.
            Err(why @ (EngineError::Event { .. } | EngineError::Log(_))) => {
                tracing::error!(seq = %stored.seq, error = &why as &dyn std::error::Error, "replay passes over an event");
                core.fall_behind(stored.seq);
            }
            applied => applied?,
        }
        done += 1;
        if done % REPORT_EVERY == 0 {
            core.shed()?;
            core.strike_matches()?;
            progress(done, all);
        }
    }
    Ok(done)
}

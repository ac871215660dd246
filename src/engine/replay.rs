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
/// If the log cannot be read. Damaged events end the replay where the log is damaged; the log is read-only then.
pub(super) fn replay(core: &mut Core, log: &Log, progress: &mut dyn FnMut(u64, u64)) -> Result<u64, EngineError> {
    let from = core.checkpointed();
    let all = log.durable().0.saturating_sub(from.0);
    let mut done = 0;
    for stored in log.scan(Seq(from.0 + 1)) {
        let stored = match stored {
            Ok(stored) => stored,
            Err(why) => {
                tracing::error!(error = &why as &dyn std::error::Error, "replay passes over damaged events");
                continue;
            }
        };
        let event = match parse(&core.key, stored.seq, &stored.header, &stored.payload) {
            Ok(event) => event,
            Err(why) => {
                tracing::error!(error = &why as &dyn std::error::Error, "replay passes over a damaged event");
                continue;
            }
        };
        core.apply(log, Heard { seq: stored.seq, place: stored.place, event })?;
        done += 1;
        if done % REPORT_EVERY == 0 {
            core.shed()?;
            progress(done, all);
        }
    }
    Ok(done)
}

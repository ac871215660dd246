//! One change, followed through its steps in the log lines: target `syncline::change`, level `debug`.
//!
//! Every line has `step` and `record`; a statement goes by `said`, which is the same in every store, and by `event`; a write goes by
//! `write`, its key, and names the statements it `carries`. Ids only, never values.

use crate::{
    event::Event,
    id::{EventId, SaidId, Seq},
    send::{Outcome, Write},
};

const TARGET: &str = "syncline::change";

/// A statement is in the log, and its record has taken it in.
pub(super) fn heard(event: &Event, id: EventId, said: SaidId, seq: Seq) {
    let header = &event.header;
    let step = if header.kind.is_said() { "heard" } else { "noted" };
    tracing::debug!(
        target: TARGET, step, record = %header.record, %said, event = %id, seq = seq.0,
        kind = header.kind.name(), side = %header.origin.side,
    );
}

/// A statement that the log had already.
pub(super) fn repeated(event: &Event) {
    let header = &event.header;
    tracing::debug!(target: TARGET, step = "repeated", record = %header.record, said = %header.said, kind = header.kind.name());
}

/// A write is handed out; its `sent` event is on disk before it leaves.
pub(super) fn sent(write: &Write) {
    tracing::debug!(
        target: TARGET, step = "sent", record = %write.record, write = write.key, side = %write.side,
        fields = write.fields.len(), carries = carried(write), tries = write.attempts,
    );
}

/// What became of a write.
pub(super) fn answered(write: &Write, outcome: &Outcome) {
    let what = match outcome {
        Outcome::Applied(_) => "applied",
        Outcome::Refused { .. } => "refused",
        Outcome::RetryAfter(_) => "again",
        Outcome::Unknown => "unknown",
    };
    tracing::debug!(
        target: TARGET, step = "answered", record = %write.record, write = write.key, side = %write.side, outcome = what,
    );
}

/// The statements that a write carries, each once.
fn carried(write: &Write) -> String {
    if !tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
        return String::new();
    }
    let mut said: Vec<String> = write.puts.iter().flat_map(|put| &put.carries).map(SaidId::to_string).collect();
    said.sort();
    said.dedup();
    said.join(" ")
}

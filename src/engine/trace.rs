//! One change, followed through its steps: target `syncline::change`, level `debug`.
//!
//! Each step is a span: `capture`, `log`, `merge`, `project`, `send`, `receipt`. A statement's id is in `said` of the first
//! three, and in `carries` of the others: a write may carry several.
//!
//! Every line has `step` and `record`; a statement goes by `said`, which is the same in every store, and by `event`; a write goes by
//! `write`, its key, and names the statements it `carries`. Ids only, never values.

use std::collections::BTreeSet;

use tracing::{
    Span, debug_span,
    field::{Empty, display},
};

use crate::{
    event::{Draft, Event, Sealed},
    id::{EventId, RecordId, SaidId, Seq, SideName},
    projection::Plan,
    send::{Outcome, Write},
};

const TARGET: &str = "syncline::change";

/// A statement gets its ids; `said` and `event` become known meanwhile.
pub(super) fn capture(draft: &Draft) -> Span {
    debug_span!(
        target: TARGET, "capture", record = %draft.record, kind = draft.kind.name(), side = %draft.origin.side,
        said = Empty, event = Empty,
    )
}

/// Notes the ids in the span.
pub(super) fn captured(span: &Span, sealed: &Sealed) {
    if !span.is_disabled() {
        span.record("said", display(sealed.event.header.said)).record("event", display(sealed.id()));
    }
}

/// Statements are appended to the log.
pub(super) fn log<'a>(events: impl Iterator<Item = &'a Event>) -> Span {
    let span = debug_span!(target: TARGET, "log", said = Empty);
    if !span.is_disabled() {
        span.record("said", joined(events.map(|event| &event.header.said)));
    }
    span
}

/// A record takes an event in.
pub(super) fn merge(event: &Event, seq: Seq) -> Span {
    let header = &event.header;
    debug_span!(target: TARGET, "merge", record = %header.record, said = %header.said, seq = seq.0)
}

/// A record is compared with what a side shows; `carries` are the statements that the side is to learn of.
pub(super) fn project(record: &RecordId, side: &SideName) -> Span {
    debug_span!(target: TARGET, "project", record = %record, side = %side, carries = Empty)
}

/// Notes in the span what the side is to learn of.
pub(super) fn projected(span: &Span, plan: &Plan) {
    if !span.is_disabled() {
        span.record("carries", joined(plan.puts.iter().chain(&plan.settled).flat_map(|put| &put.carries)));
    }
}

/// A write is about to leave.
pub(super) fn send(write: &Write) -> Span {
    debug_span!(
        target: TARGET, "send", record = %write.record, write = write.key, side = %write.side, carries = carried(write),
    )
}

/// What became of a write is logged.
pub(super) fn receipt(write: &Write) -> Span {
    debug_span!(
        target: TARGET, "receipt", record = %write.record, write = write.key, side = %write.side,
        carries = carried(write),
    )
}

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
        Outcome::NotYet(_) => "not_yet",
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
    joined(write.puts.iter().flat_map(|put| &put.carries))
}

/// Each of these once, in one text.
fn joined<'a>(said: impl Iterator<Item = &'a SaidId>) -> String {
    let said: BTreeSet<String> = said.map(SaidId::to_string).collect();
    said.into_iter().collect::<Vec<_>>().join(" ")
}

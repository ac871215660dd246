//! How far a side lags behind a record.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Reader, json, shown_name, story::Story};
use crate::{
    clock::Millis,
    engine::EngineError,
    event::{Header, Kind},
    id::{FieldName, RecordId},
    merge::{Field, Record},
    projection,
    rulebook::Edition,
};

/// What is known of a side's view of a record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Staleness {
    /// The newest time at which it said anything of the record or took a write, by its own clock.
    #[serde(flatten, serialize_with = "json::ever_heard_at")]
    pub heard_at: Option<Millis>,
    /// Whether a write to it is due, or has left and is not confirmed.
    pub waits: bool,
    /// How many writes have left and are not confirmed.
    pub in_flight: usize,
    /// The fields of which it shows another value than the record has, as far as is known.
    pub differs: Vec<FieldName>,
    /// The fields that are not written to it until a person, or a newer word, lets them go on.
    pub parked: Vec<FieldName>,
    /// Those of them that the side itself refused.
    pub refused: Vec<FieldName>,
}

impl Reader {
    /// How far a side lags behind a record; `None` if there is no such record.
    ///
    /// What a side shows is known of sides with a connector only: others neither differ nor wait.
    ///
    /// # Errors
    /// If an event of the record is damaged, with its sequence.
    pub fn staleness(&self, record: &str, side: &str) -> Result<Option<Staleness>, EngineError> {
        let Ok(id) = RecordId::new(record) else { return Ok(None) };
        let Some(story) = self.story(&id)? else { return Ok(None) };
        let heard_at = self.heard_of(&story, side)?;
        let edition = story.book.newest();
        let record = story.whole();
        let is_told = |field: &&FieldName| story.permit.reads(id.kind(), field);
        let plan = projection::plan(id.kind(), record, side, edition);
        let state = record.side(side);
        let in_flight = self.in_flight(&story, side)?;
        let due: BTreeSet<&FieldName> =
            plan.puts.iter().map(|put| &put.field).chain(&plan.doubts).filter(is_told).collect();
        let waits = in_flight > 0 || !due.is_empty();
        let held_back = stuck(id.kind(), record, side, edition).filter(is_told);
        let differs: BTreeSet<FieldName> = due.into_iter().chain(held_back).map(shown_name).collect();
        let parks = |field: &Field| state.and_then(|state| state.parked(&field.name, &field.winner().said));
        let parked = story.record.fields.iter().filter(|field| parks(field).is_some());
        let refused = story.record.fields.iter().filter(|field| parks(field).is_some_and(|park| park.refused));
        Ok(Some(Staleness {
            heard_at,
            waits,
            in_flight,
            differs: differs.into_iter().collect(),
            parked: parked.map(|field| shown_name(&field.name)).collect(),
            refused: refused.map(|field| shown_name(&field.name)).collect(),
        }))
    }

    /// How many writes are on their way of which anything may be known.
    fn in_flight(&self, story: &Story, side: &str) -> Result<usize, EngineError> {
        let writes = story.whole().side(side).map_or(&[] as &[_], |state| &state.in_flight);
        if story.permit.limits().is_none() || writes.is_empty() {
            return Ok(writes.len());
        }
        let (_, events) = story.events(self)?;
        let of = |entry: u32| events.get(entry as usize).map(|heard| &heard.event.header);
        Ok(writes.iter().filter_map(|write| of(write.entry)).filter(|header| is_known(story, header)).count())
    }

    fn heard_of(&self, story: &Story, side: &str) -> Result<Option<Millis>, EngineError> {
        let (_, events) = story.events(self)?;
        let headers = events
            .iter()
            .map(|heard| &heard.event.header)
            .filter(|header| *header.origin.side == *side && is_known(story, header));
        Ok(headers.filter(|header| header.kind.is_said() || header.kind == Kind::Receipt).map(|h| h.said_at).max())
    }
}

/// Whether the principal may know that there is such an event.
fn is_known(story: &Story, header: &Header) -> bool {
    let kind = header.record.kind();
    match header.fields.is_empty() {
        true => story.permit.reads_all(kind),
        false => header.fields.iter().any(|field| story.permit.reads(kind, field)),
    }
}

/// The fields of which a side shows something else and which are not written to it, parked or disputed as they are.
fn stuck<'a>(
    kind: &'a str,
    record: &'a Record,
    side: &'a str,
    edition: &'a Edition,
) -> impl Iterator<Item = &'a FieldName> {
    let state = record.side(side).filter(|_| edition.projects(kind, side));
    let fields = record.real_fields().filter(move |field| {
        let there = edition.field(kind, &field.name).and_then(|spec| spec.name_on(side, &field.name));
        let shown = state.and_then(|state| state.shown(&field.name)).and_then(|shown| shown.newest.as_ref());
        there.is_some() && shown.is_some_and(|shown| shown != field.value())
    });
    fields.map(|field| &field.name)
}

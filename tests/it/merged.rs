//! The engine's fold and its short way, in the words of the reference.

use syncline::{
    event::Event,
    id::{FieldName, Place, Seq},
    merge::{
        self, Advance, Existence, Heard, Line, Reason, Record,
        record::{Candidate, InFlight, SideState},
    },
    rulebook::Rulebook,
};

use crate::reference::{Plain, PlainField};

/// The events as a log holds them, in this order.
pub fn logged(events: &[Event]) -> Vec<Heard> {
    let heard = |(at, event): (usize, &Event)| Heard {
        seq: Seq(at as u64 + 1),
        place: Place::new(1, at as u32),
        event: event.clone(),
    };
    events.iter().enumerate().map(heard).collect()
}

/// What the engine makes of all events together.
pub fn folded(events: &[Event], book: &Rulebook) -> Plain {
    plain(&record(events, book), book)
}

/// The record that the engine makes of all events together.
pub fn record(events: &[Event], book: &Rulebook) -> Record {
    merge::fold(&logged(events), book).0
}

/// The candidates of a field, of existence too, in the order of their rank.
pub fn candidates(events: &[Event], book: &Rulebook, field: &str) -> Vec<String> {
    let record = record(events, book);
    let candidates = record.fields.iter().find(|of| *of.name == *field).map(|of| of.candidates.clone());
    let told = |of: Candidate| format!("{} of {:?} at {}", of.value, of.origin, of.said_at.0);
    candidates.into_iter().flatten().map(told).collect()
}

/// What each side has yet to be asked or told, as far as the events say.
pub fn open(events: &[Event], book: &Rulebook) -> Vec<String> {
    let record = record(events, book);
    let told = |state: &SideState| {
        let SideState { side, link, in_flight, unread, shows, .. } = state;
        let doubts: Vec<&FieldName> = shows.iter().filter(|shown| shown.doubt).map(|shown| &shown.field).collect();
        let link = link.as_deref().unwrap_or("no id");
        format!("{side} {link}: under way {in_flight:?}, unread {unread:?}, in doubt {doubts:?}")
    };
    record.sides.iter().map(told).collect()
}

/// What the engine makes of the events one by one, by the short way where there is one; and how often there was.
///
/// From `start` on; what is before is folded together.
pub fn advanced(heard: &[Heard], book: &Rulebook, start: usize) -> (Record, Line, usize) {
    let (mut record, mut line) = merge::fold(&heard[..start], book);
    let mut short = 0;
    for (at, next) in heard.iter().enumerate().skip(start) {
        match merge::advance(&mut record, &mut line, next, book) {
            Advance::Done => short += 1,
            Advance::Refold => (record, line) = merge::fold(&heard[..=at], book),
        }
    }
    (record, line, short)
}

/// The record in the reference's words.
pub fn plain(record: &Record, book: &Rulebook) -> Plain {
    let fields = record.real_fields().map(|field| {
        let candidates = field.candidates.iter().map(|candidate| {
            let side = candidate.origin.side.to_string();
            (side, candidate.said_at.0, candidate.author.id.to_string(), candidate.value.to_json())
        });
        let told = PlainField {
            value: Some(field.value().to_json()),
            candidates: candidates.collect(),
            reason: field.reason.name().to_owned(),
            disputed: field.is_disputed(),
        };
        (field.name.to_string(), told)
    });
    let connected = |side: &str| book.newest().sides.get(side).is_some_and(|spec| spec.connected);
    let shadows = record.sides.iter().filter(|state| connected(&state.side)).map(|state| {
        let shown = state.shows.iter().filter_map(|shown| Some((shown.field.to_string(), shown.newest.as_ref()?)));
        (state.side.to_string(), shown.map(|(field, value)| (field, value.to_json())).collect())
    });
    let parked = record.sides.iter().flat_map(|state| {
        let holds = |field: &str| match record.field(field) {
            Some(found) => state.parked(field, &found.winner().said).is_some(),
            None => state.parks.iter().any(|park| *park.field == *field && park.carries.is_empty()),
        };
        let held = state.parks.iter().filter(move |park| holds(&park.field));
        held.map(|park| (state.side.to_string(), park.field.to_string()))
    });
    let open = record.sides.iter().flat_map(|state| {
        let fields = |write: &InFlight| write.fields.iter().map(ToString::to_string).collect();
        state.in_flight.iter().map(move |write| (state.side.to_string(), write.key.clone(), fields(write)))
    });
    Plain {
        fields: fields.collect(),
        existence: match record.existence {
            Existence::Alive => "alive",
            Existence::Deleted => "deleted",
            Existence::Disputed => "disputed",
        },
        shadows: shadows.filter(|(_, shown): &(_, std::collections::BTreeMap<_, _>)| !shown.is_empty()).collect(),
        parked: parked.collect(),
        open: open.collect(),
        waiting: record.waiting.len(),
    }
}

/// Leaves out of what the engine made the texts that it merged, of which the reference cannot tell.
pub fn without_merged_texts(mut ours: Plain, reference: &Plain) -> Plain {
    for (name, field) in &mut ours.fields {
        let untold = reference.fields.get(name).is_some_and(|told| told.value.is_none());
        if untold && field.reason == Reason::Merge.name() {
            field.value = None;
        }
    }
    ours
}

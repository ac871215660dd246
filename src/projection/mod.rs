//! Projection: what each side has to be told, from what the record is and what the side shows.
//!
//! A plan holds only what differs. It is computed anew whenever it is needed, so a newer word
//! replaces an unsent older one by itself, and after a receipt the next plan is empty.

use crate::{
    event::Author,
    id::{FieldName, SaidId},
    merge::{
        Existence, Field, Record, judge,
        record::{Candidate, SideState},
    },
    rulebook::{EXISTENCE, Edition},
    value::{Value, View},
};

/// About how many bytes of values one write may hold: an event has room for them, and for what else it says.
const PART_BYTES_MOST: usize = 3 << 20;

/// A field that a side is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The field; existence among them: true makes the record, false deletes it.
    pub field: FieldName,
    /// Its value; null clears it.
    pub value: Value,
    /// The words that the side learns of by it: the winner and those it overruled.
    pub carries: Vec<SaidId>,
    /// Who said the winning word.
    pub author: Author,
}

impl Put {
    /// About how many bytes it takes in an event.
    pub fn bytes(&self) -> usize {
        16 + self.field.len() + self.value.as_bytes().len() + self.carries.len() * size_of::<SaidId>()
    }
}

/// Of these only what one event has room for, and whether the record is there; what is left over is planned again once the
/// rest is done.
pub fn first_part(puts: &mut Vec<Put>) {
    let mut taken = 0;
    puts.retain(|put| {
        let bytes = put.bytes();
        let fits = *put.field == *EXISTENCE || taken == 0 || taken + bytes <= PART_BYTES_MOST;
        taken += if fits { bytes } else { 0 };
        fits
    });
}

/// What one side has to be told of one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What it is to show.
    pub puts: Vec<Put>,
    /// What it shows already, though it has not heard all words on it.
    pub settled: Vec<Put>,
    /// What only a read-back can tell.
    pub doubts: Vec<FieldName>,
    /// Whether the side has merged records and the survivor has to be read before anything is written.
    pub unread: bool,
}

impl Plan {
    /// Whether the side is to make the record.
    pub fn makes(&self) -> bool {
        self.puts.iter().any(|put| *put.field == *EXISTENCE && put.value == Value::bool(true))
    }

    /// Whether the side is in agreement and knows it.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.settled.is_empty() && self.doubts.is_empty() && !self.unread
    }
}

/// Plans what a side has to be told of a record of this kind.
pub fn plan(kind: &str, record: &Record, side: &str, edition: &Edition) -> Plan {
    let mut plan = Plan::default();
    let nothing = record.real_fields().next().is_none() && record.field(EXISTENCE).is_none();
    if nothing || !edition.projects(kind, side) || record.existence == Existence::Disputed {
        return plan;
    }
    let state = record.side(side);
    if state.is_some_and(|state| !state.unread.is_empty()) {
        plan.unread = true;
        return plan;
    }
    let exists_there = exists_on(state);
    let empty_is_none = edition.sides.get(side).is_some_and(|spec| spec.own_ids);
    if record.existence == Existence::Deleted {
        if exists_there {
            plan.puts.extend(existence_put(record, false, side, state));
        }
        return plan;
    }
    if !exists_there {
        // What is not to be made there has no fields that could be written.
        let Some(making) = existence_put(record, true, side, state) else { return plan };
        plan.puts.push(making);
    }
    for field in record.real_fields() {
        let Some(spec) = edition.field(kind, &field.name) else { continue };
        // Taken for the author's own, what a write of ours may have brought him would be told to the other sides, and
        // what it replaced would look as if he had taken it out. Once the write is read back its words fall into place.
        let may_tell = !judge::is_merged(spec) || !record.is_in_the_dark(field);
        if spec.name_on(side, &field.name).is_some() {
            let there = There { exists: exists_there, may_tell, empty_is_none };
            place(&mut plan, field, side, state, there);
        }
    }
    plan.puts.extend(refused_puts(kind, record, state.filter(|_| exists_there), edition));
    // A record that would be made without any field is not made.
    if !exists_there && plan.puts.len() == 1 && record.field(EXISTENCE).is_none() {
        plan.puts.clear();
    }
    plan
}

/// Whether a side has the record, as far as we know.
pub fn exists_on(state: Option<&SideState>) -> bool {
    let Some(state) = state else { return false };
    match state.shown(EXISTENCE).and_then(|shown| shown.newest.as_ref()) {
        Some(value) => *value == Value::bool(true),
        None => state.shows.iter().any(|shown| shown.newest.is_some()),
    }
}

fn existence_put(record: &Record, alive: bool, side: &str, state: Option<&SideState>) -> Option<Put> {
    let field = FieldName::new(EXISTENCE).expect("a good name");
    let known = record.field(EXISTENCE);
    let winner = known.map(Field::winner);
    let parked = state.is_some_and(|state| match winner {
        Some(winner) => state.parked(EXISTENCE, &winner.said).is_some(),
        None => state.parks.iter().any(|park| *park.field == *EXISTENCE),
    });
    // A side that deleted it itself need not be told so; one whose newest word was to bring it back, and was overruled, has to.
    let by_itself = |winner: &Candidate| *winner.origin.side == *side && winner.value == Value::bool(false);
    if parked || !alive && winner.is_some_and(by_itself) {
        return None;
    }
    let carries = known.map(|field| field.candidates.iter().map(|candidate| candidate.said).collect());
    let author = winner.map_or_else(Author::engine, |winner| winner.author.clone());
    Some(Put { field, value: Value::bool(alive), carries: carries.unwrap_or_default(), author })
}

/// Fields that hold only what the side put there and may not: nobody whose edits count has ever said a word on them.
fn refused_puts(kind: &str, record: &Record, state: Option<&SideState>, edition: &Edition) -> Vec<Put> {
    let Some(state) = state else { return Vec::new() };
    let is_refused = |field: &FieldName| {
        let spec = edition.field(kind, field).filter(|_| **field != *EXISTENCE);
        let maps = spec.is_some_and(|spec| spec.name_on(&state.side, field).is_some() && !spec.counts(&state.side));
        maps && record.field(field).is_none() && !state.parks.iter().any(|park| park.field == *field)
    };
    let holds = state.shows.iter().filter(|shown| shown.newest.as_ref().is_some_and(|value| !value.is_null()));
    let put = |field: &FieldName| Put {
        field: field.clone(),
        value: Value::null(),
        carries: Vec::new(),
        author: Author::engine(),
    };
    holds.filter(|shown| is_refused(&shown.field)).map(|shown| put(&shown.field)).collect()
}

/// How a side stands to a field.
#[derive(Clone, Copy)]
struct There {
    /// Whether the side has the record.
    exists: bool,
    /// Whether it is known what the side's author saw, so that he may be told something else.
    may_tell: bool,
    /// Whether the side tells what is empty and what is cleared alike.
    empty_is_none: bool,
}

fn place(plan: &mut Plan, field: &Field, side: &str, state: Option<&SideState>, there: There) {
    let winner = field.winner();
    let parked = state.is_some_and(|state| state.parked(&field.name, &winner.said).is_some());
    if parked || field.is_disputed() {
        return;
    }
    let shown = state.and_then(|state| state.shown(&field.name)).filter(|_| there.exists);
    let value = field.value();
    // Who is behind a merged value, to a side, is the one whose word the side has not heard.
    let news = field.candidates.iter().find(|candidate| field.merged.is_some() && !knows(candidate, side));
    let put = || Put {
        field: field.name.clone(),
        value: value.clone(),
        carries: field.candidates.iter().map(|candidate| candidate.said).collect(),
        author: news.unwrap_or(winner).author.clone(),
    };
    if shown.is_some_and(|shown| shown.doubt) {
        plan.doubts.push(field.name.clone());
        return;
    }
    if !there.may_tell {
        return;
    }
    match shown.and_then(|shown| shown.newest.as_ref()) {
        Some(shows) if shows == value || there.empty_is_none && is_empty(shows) && is_empty(value) => {
            if field.candidates.iter().any(|candidate| !knows(candidate, side)) {
                plan.settled.push(put());
            }
        }
        None if value.is_null() || there.empty_is_none && is_empty(value) => {}
        _ => plan.puts.push(put()),
    }
}

/// Whether a value is none to a side over a network: a text or a list without anything in it is told and shown as cleared.
fn is_empty(value: &Value) -> bool {
    matches!(value.view(), View::Null) || value.as_text() == Some("") || value.as_bytes() == Value::list([]).as_bytes()
}

fn knows(candidate: &Candidate, side: &str) -> bool {
    *candidate.origin.side == *side || candidate.known.iter().any(|(known, _)| **known == *side)
}

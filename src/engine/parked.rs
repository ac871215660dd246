//! What waits for a person, and how a person lets it go on or gives it up.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use super::{Engine, EngineError, outbox::origin_of};
use crate::{
    clock::Millis,
    event::{Author, Detail, Draft, Kind},
    history::{Decision, Principal},
    id::{FieldName, RecordId, SaidId, SideName},
    merge::{Existence, Record, record::SideState},
    projection,
    rulebook::EXISTENCE,
    value::{Value, Veiled},
};

/// Why something waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkedKind {
    /// The side refused the write.
    Refused,
    /// A guard of ours holds it back.
    Held,
    /// Its rule leaves it to a person; `decide` settles it.
    Disputed,
    /// One name was used for two contents; the smaller is in effect.
    Contradicted,
}

/// Something that waits for a person. It holds no values; a reason may repeat the side's words.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Parked {
    /// The record.
    pub record: RecordId,
    /// The side that is not written to; `None`: none is.
    pub side: Option<SideName>,
    /// The field; `None`: the record as a whole.
    pub field: Option<FieldName>,
    /// Why.
    pub kind: ParkedKind,
    /// Why, in words for people.
    pub reason: String,
    /// Since when, by our clock.
    #[serde(rename = "since_ms")]
    pub since: Option<Millis>,
}

impl fmt::Debug for Parked {
    // A side's words for a refusal repeat the value that it refused.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Parked");
        shown.field("record", &self.record).field("side", &self.side).field("field", &self.field);
        shown.field("kind", &self.kind).field("reason", &Veiled(&self.reason)).field("since", &self.since).finish()
    }
}

impl Engine {
    /// Everything that waits for a person, in the order of records.
    ///
    /// # Errors
    /// If the log or the state fails.
    pub fn parked(&self) -> Result<Vec<Parked>, EngineError> {
        let ids = self.core()?.ids()?;
        let mut all = Vec::new();
        for id in ids {
            self.parked_of(&id, &mut all)?;
        }
        Ok(all)
    }

    fn parked_of(&self, id: &RecordId, all: &mut Vec<Parked>) -> Result<(), EngineError> {
        let Some(peek) = self.peek(id)? else { return Ok(()) };
        let (record, line) = (&peek.record, &peek.line);
        let mut add = |side: Option<&SideName>, field: Option<&FieldName>, kind, reason: String, since| {
            let field = field.map(shown);
            all.push(Parked { record: id.clone(), side: side.cloned(), field, kind, reason, since });
        };
        for state in &record.sides {
            let mut told = BTreeSet::new();
            // The newest word on why comes first.
            for park in state.parks.iter().rev().filter(|park| holds(record, state, &park.field)) {
                if !told.insert(&park.field) {
                    continue;
                }
                let entry = &line.entries()[park.entry as usize];
                let event = self.event_at(entry.seq, entry.place)?;
                let kind = if park.refused { ParkedKind::Refused } else { ParkedKind::Held };
                let since = Some(event.header.heard_at.millis());
                add(Some(&state.side), Some(&park.field), kind, reason_of(event.payload.detail), since);
            }
        }
        let left = || "its rule leaves it to a person".to_owned();
        for field in record.real_fields().filter(|field| field.is_disputed()) {
            add(None, Some(&field.name), ParkedKind::Disputed, left(), None);
        }
        if record.existence == Existence::Disputed {
            let existence = FieldName::new(EXISTENCE).expect("a good name");
            add(None, Some(&existence), ParkedKind::Disputed, left(), None);
        }
        for entry in &record.contradicted {
            let entry = &line.entries()[*entry as usize];
            let event = self.event_at(entry.seq, entry.place)?;
            let reason = format!("event {} bears a number that was used for another content", entry.seq);
            add(None, None, ParkedKind::Contradicted, reason, Some(event.header.heard_at.millis()));
        }
        Ok(())
    }

    /// Lets what is parked on a record go on, on one side or all and one field or all, and returns what that was.
    ///
    /// # Errors
    /// If the log or the state fails.
    pub fn release(
        &self,
        record: &RecordId,
        side: Option<&str>,
        field: Option<&str>,
        by: &Author,
    ) -> Result<Vec<Parked>, EngineError> {
        let record = &self.canonical(record)?;
        let mut parked = Vec::new();
        self.parked_of(record, &mut parked)?;
        parked.retain(|park| {
            let is_park = matches!(park.kind, ParkedKind::Refused | ParkedKind::Held);
            let on_side = side.is_none_or(|side| park.side.as_deref() == Some(side));
            is_park && on_side && field.is_none_or(|field| park.field.as_deref() == Some(field))
        });
        let Some(peek) = self.peek(record)? else { return Ok(Vec::new()) };
        let mut drafts: Vec<Draft> = Vec::new();
        for park in &parked {
            let (Some(side), Some(field)) = (&park.side, &park.field) else { continue };
            let field = inner(field);
            match drafts.iter_mut().find(|draft| draft.origin.side == *side) {
                Some(draft) => draft.words.push((field, Value::null())),
                None => {
                    let origin = origin_of(&peek.record, side);
                    let at = self.release_time(&peek, side)?;
                    let mut draft = Draft::new(Kind::Released, record.clone(), origin, at, by.clone());
                    draft.words = vec![(field, Value::null())];
                    draft.detail = Detail::Reason("tried again".to_owned());
                    drafts.push(draft);
                }
            }
        }
        for draft in &mut drafts {
            draft.carries = vec![Vec::new(); draft.words.len()];
        }
        let released: Vec<(SideName, Millis)> =
            drafts.iter().map(|draft| (draft.origin.side.clone(), draft.said_at)).collect();
        self.say(drafts)?;
        self.wait_past(record, &released)?;
        Ok(parked)
    }

    /// Puts the next try off until it stands after the release, or a refusal of it would be let go as well, again and again.
    fn wait_past(&self, record: &RecordId, released: &[(SideName, Millis)]) -> Result<(), EngineError> {
        let mut core = self.core()?;
        let now = self.now();
        for (side, at) in released {
            let behind = at.0.saturating_sub(core.book.on_side(side, now).0).max(0);
            let key = (side.clone(), record.clone());
            if let Some(mut row) = core.rows.remove(&key) {
                row.not_before = row.not_before.max(now.plus(behind.saturating_add(1)));
                core.rows.insert(key, row);
            }
        }
        Ok(())
    }

    /// The time of the side's newest park.
    fn release_time(&self, peek: &super::Peek, side: &SideName) -> Result<Millis, EngineError> {
        let mut at = Millis(i64::MIN);
        for park in peek.record.side(side).into_iter().flat_map(|state| &state.parks) {
            let entry = &peek.line.entries()[park.entry as usize];
            at = at.max(self.event_at(entry.seq, entry.place)?.header.said_at);
        }
        Ok(at)
    }

    /// Gives up a write that a side refused: its own value is decided to be the field's, so that both agree again.
    ///
    /// # Errors
    /// If nothing of the field is parked on that side, the side is not known to show anything of it, its value does not fit the
    /// manifest, or the store fails.
    pub fn give_up(
        &self,
        record: &RecordId,
        side: &str,
        field: &str,
        by: Author,
        why: &str,
    ) -> Result<(), EngineError> {
        let record = &self.canonical(record)?;
        let peek = self.peek(record)?;
        let shown = peek.as_ref().and_then(|peek| {
            let field = inner_text(field);
            let state = peek.record.side(side)?;
            state.parks.iter().find(|park| *park.field == *field && holds(&peek.record, state, &park.field))?;
            Some((field != EXISTENCE, state.shown(field).and_then(|shown| shown.newest.clone())))
        });
        let nothing =
            || EngineError::NotParked { record: record.clone(), side: side.to_owned(), field: field.to_owned() };
        let (is_field, value) = shown.ok_or_else(nothing)?;
        if !is_field {
            return Err(EngineError::Existence { record: record.clone() });
        }
        let decision = Decision::of(record, field, value.unwrap_or_else(Value::null)).by(by).because(why);
        self.decide(&Principal::operator(), decision).map(|_| ())
    }
}

/// Whether a field is held back on a side as the record is now: it is parked, and the side does not show it all the same.
pub(super) fn holds(record: &Record, state: &SideState, field: &FieldName) -> bool {
    let due = record.field(field);
    let winner = due.map_or(SaidId([0; 16]), |field| field.winner().said);
    let shows = match &**field {
        EXISTENCE => (record.existence == Existence::Alive) == projection::exists_on(Some(state)),
        _ => due.is_some_and(|due| state.shown(field).is_some_and(|shown| shown.newest.as_ref() == Some(due.value()))),
    };
    !shows && state.parked(field, &winner).is_some()
}

fn reason_of(detail: Detail) -> String {
    match detail {
        Detail::Reason(reason) | Detail::Refusal { reason, .. } | Detail::Fate { reason, .. } => reason,
        _ => String::new(),
    }
}

fn shown(field: &FieldName) -> FieldName {
    match &**field {
        EXISTENCE => FieldName::new("existence").expect("a good name"),
        _ => field.clone(),
    }
}

fn inner_text(field: &str) -> &str {
    if field == "existence" { EXISTENCE } else { field }
}

fn inner(field: &FieldName) -> FieldName {
    FieldName::new(inner_text(field)).expect("a name stays good")
}

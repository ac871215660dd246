//! What was said of a record, in order, and what became of each word.

use std::{cmp::Reverse, collections::BinaryHeap, fmt};

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::{Reader, inner_name, json, shown_name, story::Story};
use crate::{
    clock::Millis,
    engine::EngineError,
    event::{Author, Detail, Event, Kind},
    id::{EventId, FieldName, RecordId, Seq, SideName},
    merge::{self, Existence, Field, Fold, Heard, Reason, Record, WordState},
    rulebook::{EXISTENCE, Rulebook},
    value::{Value, Veiled},
};

/// What became of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The field has the value that it says, or is made of it and others.
    Wins,
    /// A word that did not know of it won.
    Overruled,
    /// A word that knew of it took its place.
    Superseded,
    /// It only repeats what the side was told or had said.
    Echo,
    /// The side may not write the field.
    NotCounted,
    /// It names something that the store has not heard yet.
    Waits,
    /// Another copy of the same statement is in effect.
    OtherCopy,
    /// It is the engine's own record of what it did.
    Engine,
}

/// One field's part of one event.
#[derive(Clone, PartialEq, Serialize)]
pub struct Change {
    /// The event's place in the log.
    pub seq: Seq,
    /// The event's id.
    #[serde(serialize_with = "json::printed")]
    pub id: EventId,
    /// What kind of statement.
    pub kind: Kind,
    /// The side that said it, or that it is about.
    pub side: SideName,
    /// Who said it.
    pub author: Author,
    /// When, by the side's clock.
    #[serde(flatten, serialize_with = "json::said_at")]
    pub said_at: Millis,
    /// When it was heard, by the clock of the node that did.
    #[serde(flatten, serialize_with = "json::heard_at")]
    pub heard_at: Millis,
    /// The field; `existence`, or what the event is about if it is about none: `link`, `association`, `record`.
    pub field: FieldName,
    /// What the changes before it, in the same order, had made of the field.
    #[serde(serialize_with = "json::value")]
    pub old: Value,
    /// What it says the field is.
    #[serde(serialize_with = "json::value")]
    pub new: Value,
    /// What became of it.
    pub standing: Standing,
    /// What else it says: a reason, a write's key, the other record.
    pub detail: Option<String>,
}

impl fmt::Debug for Change {
    // What else is said may be a side's words for a refusal, which repeat the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Change");
        shown.field("seq", &self.seq).field("id", &self.id).field("kind", &self.kind).field("side", &self.side);
        shown.field("author", &self.author).field("said_at", &self.said_at).field("heard_at", &self.heard_at);
        shown.field("field", &self.field).field("old", &self.old).field("new", &self.new);
        shown.field("standing", &self.standing).field("detail", &self.detail.as_deref().map(Veiled)).finish()
    }
}

impl Reader {
    /// What was said of a record, or of one field of it; `None` if there is no such record.
    ///
    /// In the order of the edits' times, by our clock, but never before what an event names; at equal times in the
    /// order of the log.
    ///
    /// # Errors
    /// If an event of the record is damaged, with its sequence.
    pub fn history(&self, record: &str, field: Option<&str>) -> Result<Option<Vec<Change>>, EngineError> {
        let Ok(id) = RecordId::new(record) else { return Ok(None) };
        let Some(story) = self.story(&id)? else { return Ok(None) };
        let (ids, events) = story.events(self)?;
        let standings = Standings::of(&story, events);
        let mut values: FxHashMap<&FieldName, &Value> = FxHashMap::default();
        let mut changes = Vec::new();
        let null = Value::null();
        let wanted = field.map(inner_name);
        let (kind, permit) = (id.kind(), &story.permit);
        let may_all = permit.reads_all(kind);
        let is_told = |name: &FieldName| wanted.is_none_or(|wanted| **name == *wanted) && permit.reads(kind, name);
        for at in told_order(&story, events) {
            let event = &events[at].event;
            for (name, new) in event.words().filter(|(name, _)| is_told(name)) {
                let standing = standings.standing(at as u32, event, name, new);
                let old = values.get(name).copied().unwrap_or(&null).clone();
                if matches!(standing, Standing::Wins | Standing::Overruled | Standing::Superseded) {
                    values.insert(name, new);
                }
                // A reason or a write's key speaks for all fields of its event.
                let detail = detail(&event.payload.detail).filter(|_| may_all);
                changes.push(change(&events[at], ids[at], shown_name(name), old, new.clone(), standing, detail));
            }
            let other = match &event.payload.detail {
                Detail::Other { record, .. } => Some(record),
                _ => None,
            };
            let is_named = || other.is_none_or(|other| permit.may_name(&self.engine, other));
            if event.header.fields.is_empty() && field.is_none() && may_all && is_named() {
                changes.push(about_no_field(&events[at], ids[at], &standings, at as u32));
            }
        }
        for change in &mut changes {
            change.author = permit.author(&self.engine, &change.author);
        }
        Ok(Some(changes))
    }
}

/// The events by corrected time, but none before what it names.
fn told_order(story: &Story, events: &[Heard]) -> Vec<usize> {
    let parents = |at: usize| story.line.parents(at as u32);
    let mut above: Vec<Vec<usize>> = vec![Vec::new(); events.len()];
    let mut missing: Vec<usize> = (0..events.len()).map(|at| parents(at).len()).collect();
    for at in 0..events.len() {
        parents(at).iter().for_each(|parent| above[*parent as usize].push(at));
    }
    let time = |at: usize| {
        let header = &events[at].event.header;
        Reverse((story.book.corrected(&header.origin.side, header.said_at), events[at].seq, at))
    };
    let mut ready: BinaryHeap<_> = (0..events.len()).filter(|at| missing[*at] == 0).map(time).collect();
    let mut order = Vec::with_capacity(events.len());
    while let Some(Reverse((_, _, at))) = ready.pop() {
        order.push(at);
        for child in &above[at] {
            missing[*child] -= 1;
            if missing[*child] == 0 {
                ready.push(time(*child));
            }
        }
    }
    order
}

/// Tells what became of each word, from the resolved record alone where that is enough.
pub(super) struct Standings<'a> {
    story: &'a Story,
    fold: Option<Fold<'a>>,
}

impl<'a> Standings<'a> {
    pub(super) fn of(story: &'a Story, events: &'a [Heard]) -> Self {
        // A side repeats what we wrote or read back, or, in a linear word, what it said itself at the same time.
        let heard_back = |heard: &Heard| matches!(heard.event.header.kind, Kind::Sent | Kind::Receipt | Kind::Observe);
        let record = &story.record;
        let twice = events.iter().any(|heard| {
            let said = heard.event.header.said;
            story.line.find(&said).is_none_or(|at| story.line.entries()[at as usize].seq != heard.seq)
        });
        let odd = twice || !record.waiting.is_empty() || !record.contradicted.is_empty();
        let fold = (odd || record.timed || events.iter().any(heard_back)).then(|| Fold::new(events, &story.book));
        Standings { story, fold }
    }

    /// As [`Standings::of`], whether the record alone would do or not.
    #[cfg(test)]
    pub(super) fn folded(story: &'a Story, events: &'a [Heard]) -> Self {
        Standings { story, fold: Some(Fold::new(events, &story.book)) }
    }

    /// What became of an event as a whole, if none of its words counts.
    fn event(&self, at: u32) -> Option<Standing> {
        match self.fold.as_ref().map(|fold| fold.event_state(at))? {
            WordState::Waits => Some(Standing::Waits),
            WordState::OtherCopy => Some(Standing::OtherCopy),
            _ => None,
        }
    }

    pub(super) fn standing(&self, at: u32, event: &Event, name: &FieldName, value: &Value) -> Standing {
        if let Some(standing) = self.event(at) {
            return standing;
        }
        if !event.header.kind.is_said() {
            return Standing::Engine;
        }
        match &self.fold {
            Some(fold) => match fold.word_state(at, name) {
                WordState::Echo => return Standing::Echo,
                WordState::NotCounted => return Standing::NotCounted,
                _ => {}
            },
            None if !counts(event, name, &self.story.book) => return Standing::NotCounted,
            None => {}
        }
        let Some(field) = self.story.record.field(name) else { return Standing::Superseded };
        match field.candidates.iter().any(|candidate| candidate.entry == at) {
            true if stands(&self.story.record, field, at, value) => Standing::Wins,
            true => Standing::Overruled,
            false => Standing::Superseded,
        }
    }
}

/// Whether the side may write the field; a person's decision always counts.
fn counts(event: &Event, name: &FieldName, book: &Rulebook) -> bool {
    let kind = event.header.record.kind();
    event.header.kind == Kind::Decide || merge::is_counted(kind, name, event, book)
}

/// Whether a candidate's word is what the field, or the record's existence, has become.
fn stands(record: &Record, field: &Field, at: u32, value: &Value) -> bool {
    if *field.name == *EXISTENCE {
        return match record.existence {
            Existence::Alive => *value == Value::bool(true),
            Existence::Deleted => *value == Value::bool(false),
            Existence::Disputed => field.winner().entry == at,
        };
    }
    field.reason == Reason::Merge || *value == field.winner().value
}

fn change(
    heard: &Heard,
    id: EventId,
    field: FieldName,
    old: Value,
    new: Value,
    standing: Standing,
    detail: Option<String>,
) -> Change {
    let header = &heard.event.header;
    Change {
        seq: heard.seq,
        id,
        kind: header.kind,
        side: header.origin.side.clone(),
        author: header.author.clone(),
        said_at: header.said_at,
        heard_at: header.heard_at.millis(),
        field,
        old,
        new,
        standing,
        detail,
    }
}

/// An event that speaks of no field has one entry all the same, so that the story has no gap.
fn about_no_field(heard: &Heard, id: EventId, standings: &Standings<'_>, at: u32) -> Change {
    let header = &heard.event.header;
    let (about, new) = match (header.kind, &header.origin.link) {
        (Kind::Link | Kind::Unlink, Some(link)) => ("link", Value::text(link)),
        (Kind::Link | Kind::Unlink, None) => ("link", Value::null()),
        (Kind::Associate | Kind::Dissociate, _) => ("association", Value::null()),
        _ => ("record", Value::null()),
    };
    let standing = match header.kind.is_said() {
        true => standings.event(at).unwrap_or(Standing::Wins),
        false => Standing::Engine,
    };
    let about = FieldName::new(about).expect("a good name");
    change(heard, id, about, Value::null(), new, standing, detail(&heard.event.payload.detail))
}

/// What an event says besides values, for people.
pub(super) fn detail(detail: &Detail) -> Option<String> {
    match detail {
        Detail::None => None,
        Detail::Reason(text) | Detail::Manifest(text) => Some(text.clone()),
        Detail::Clock(ahead) => Some(format!("{ahead} ms ahead")),
        Detail::Write(key) | Detail::Try { key, .. } | Detail::Took { key, .. } => Some(format!("write {key}")),
        Detail::Fate { key, reason, .. } if reason.is_empty() => Some(format!("write {key}")),
        Detail::Refusal { key, reason } | Detail::Fate { key, reason, .. } => Some(format!("write {key}: {reason}")),
        Detail::Other { record, label } if label.is_empty() => Some(record.to_string()),
        Detail::Other { record, label } => Some(format!("{record} ({label})")),
    }
}

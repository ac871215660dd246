//! The form of answers: what the history says, as JSON with documented members.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::{
    clock::Millis,
    engine::EngineError,
    event::{Author, AuthorKind},
    history::{Blame, Change, FieldView, LogChange, Reader, RecordView, Staleness, Standing, Verdict, Word},
    id::{FieldName, SideName},
    merge::Existence,
    rulebook::Edition,
    value::Value,
};

/// A value as the JSON that it stands for; its `Debug` output shows its shape only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(pub Value);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_raw().serialize(serializer)
    }
}

/// Who said something.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "Author")]
pub struct AuthorBody {
    /// `user`, `integration`, `system`, `ours`, or `unnamed`.
    pub kind: &'static str,
    /// The author's id, as the side writes it.
    pub id: String,
    /// The contact on whose behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// The company on whose behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
}

impl From<&Author> for AuthorBody {
    fn from(author: &Author) -> Self {
        let kind = match author.kind {
            AuthorKind::Unnamed => "unnamed",
            AuthorKind::User => "user",
            AuthorKind::Integration => "integration",
            AuthorKind::System => "system",
            AuthorKind::Ours => "ours",
        };
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        AuthorBody { kind, id: author.id.to_string(), contact: text(&author.contact), company: text(&author.company) }
    }
}

/// A record as it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "Record")]
pub struct RecordBody {
    /// Its id, `KIND/ID`.
    pub record: String,
    /// `alive`, `deleted`, or `disputed` where one side deleted it and another edited it.
    pub existence: &'static str,
    /// Names what the reader of this answer has seen; hand it back with a change to supersede exactly that.
    pub version: String,
    /// Its fields by name.
    pub fields: BTreeMap<String, FieldBody>,
    /// What is known of the connected sides' views of it, by side; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sides: Option<BTreeMap<String, SideBody>>,
}

/// A field as it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "Field")]
pub struct FieldBody {
    /// Its value; null where it is cleared.
    #[schema(value_type = serde_json::Value)]
    pub value: Shown,
    /// The side that said it.
    pub side: String,
    /// Who said it.
    pub author: AuthorBody,
    /// When, by the side's clock, RFC 3339.
    pub said_at: String,
    /// The same in milliseconds since 1970.
    pub said_at_ms: i64,
    /// Why it stands: `only`, `agreement`, or the rule that decided.
    pub reason: &'static str,
    /// Whether other words, with other values, were weighed against it.
    pub conflict: bool,
    /// Whether a person is to decide.
    pub disputed: bool,
    /// Why the value breaks the manifest, as a side's own may; it is kept all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misfit: Option<String>,
    /// For each connected side that has the field, whether it shows this value; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sides: Option<BTreeMap<String, SideState>>,
}

/// How a side stands to a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SideState {
    /// It shows the value.
    Confirmed,
    /// The value is on its way to it, or waits to be.
    Waiting,
    /// It refused the value, and is not asked again until a person, or a newer word, lets it go on; the history has its reason.
    Refused,
    /// The value is not written to it until a person, or a newer word, lets it go on.
    Parked,
    /// What it shows is not known.
    Unknown,
}

/// What is known of a side's view of a record.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "Side")]
pub struct SideBody {
    /// When it last said anything of the record or took a write, by its own clock, RFC 3339; null: never.
    pub heard_at: Option<String>,
    /// The same in milliseconds since 1970.
    pub heard_at_ms: Option<i64>,
    /// Whether a write to it is due, or has left and is not confirmed.
    pub waits: bool,
    /// How many writes have left and are not confirmed.
    pub in_flight: usize,
}

impl RecordBody {
    /// A record without what only a look at each side tells.
    pub fn brief(view: &RecordView) -> RecordBody {
        let existence = match view.existence {
            Existence::Alive => "alive",
            Existence::Deleted => "deleted",
            Existence::Disputed => "disputed",
        };
        let fields = view.fields.iter().map(|field| (field.name.to_string(), FieldBody::of(field))).collect();
        RecordBody { record: view.record.to_string(), existence, version: view.version.clone(), fields, sides: None }
    }

    /// A record with the state of every connected side; `None` if there is none for this reader.
    ///
    /// # Errors
    /// If the store fails.
    pub fn whole(reader: &Reader, edition: &Edition, record: &str) -> Result<Option<RecordBody>, EngineError> {
        let Some(view) = reader.get(record)? else { return Ok(None) };
        let kind = view.record.kind();
        let mut body = RecordBody::brief(&view);
        let mut sides = BTreeMap::new();
        for side in edition.sides.keys().filter(|side| edition.projects(kind, side)) {
            let Some(staleness) = reader.staleness(record, side)? else { continue };
            for field in &view.fields {
                let there = edition.field(kind, &field.name).and_then(|spec| spec.name_on(side, &field.name));
                if there.is_none() {
                    continue;
                }
                let state = state_of(side, field, &staleness);
                let of = body.fields.get_mut(&*field.name).expect("the body has all fields of the view");
                of.sides.get_or_insert_default().insert(side.to_string(), state);
            }
            sides.insert(side.to_string(), SideBody::of(&staleness));
        }
        body.sides = Some(sides);
        Ok(Some(body))
    }
}

fn state_of(side: &SideName, field: &FieldView, staleness: &Staleness) -> SideState {
    let has = |fields: &[FieldName]| fields.contains(&field.name);
    match () {
        () if field.shown_on.contains(side) => SideState::Confirmed,
        () if has(&staleness.refused) => SideState::Refused,
        () if has(&staleness.parked) || field.disputed => SideState::Parked,
        () if has(&staleness.differs) || staleness.waits => SideState::Waiting,
        () => SideState::Unknown,
    }
}

impl FieldBody {
    fn of(field: &FieldView) -> FieldBody {
        FieldBody {
            value: Shown(field.value.clone()),
            side: field.side.to_string(),
            author: (&field.author).into(),
            said_at: field.said_at.to_string(),
            said_at_ms: field.said_at.0,
            reason: field.reason.name(),
            conflict: field.conflict,
            disputed: field.disputed,
            misfit: field.misfit.clone(),
            sides: None,
        }
    }
}

impl SideBody {
    fn of(staleness: &Staleness) -> SideBody {
        SideBody {
            heard_at: staleness.heard_at.map(|at| at.to_string()),
            heard_at_ms: staleness.heard_at.map(|Millis(at)| at),
            waits: staleness.waits,
            in_flight: staleness.in_flight,
        }
    }
}

/// One field's part of one event.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "Change")]
pub struct ChangeBody {
    /// The event's place in the log.
    pub seq: u64,
    /// The event's id.
    pub id: String,
    /// What kind of statement.
    pub kind: &'static str,
    /// The side that said it, or that it is about.
    pub side: String,
    /// Who said it.
    pub author: AuthorBody,
    /// When, by the side's clock, RFC 3339.
    pub said_at: String,
    /// The same in milliseconds since 1970.
    pub said_at_ms: i64,
    /// When it was heard, by the service's clock, RFC 3339.
    pub heard_at: String,
    /// The same in milliseconds since 1970.
    pub heard_at_ms: i64,
    /// The field, or what the event is about if it is about none.
    pub field: String,
    /// What the changes before it had made of the field.
    #[schema(value_type = serde_json::Value)]
    pub old: Shown,
    /// What it says the field is.
    #[schema(value_type = serde_json::Value)]
    pub new: Shown,
    /// What became of it.
    pub standing: &'static str,
    /// What else it says: a reason, a write's key, the other record.
    pub detail: Option<String>,
}

impl From<Change> for ChangeBody {
    fn from(change: Change) -> Self {
        let standing = match change.standing {
            Standing::Wins => "wins",
            Standing::Overruled => "overruled",
            Standing::Superseded => "superseded",
            Standing::Echo => "echo",
            Standing::NotCounted => "not_counted",
            Standing::Waits => "waits",
            Standing::OtherCopy => "other_copy",
            Standing::Engine => "engine",
        };
        ChangeBody {
            seq: change.seq.0,
            id: change.id.to_string(),
            kind: change.kind.name(),
            side: change.side.to_string(),
            author: (&change.author).into(),
            said_at: change.said_at.to_string(),
            said_at_ms: change.said_at.0,
            heard_at: change.heard_at.to_string(),
            heard_at_ms: change.heard_at.0,
            field: change.field.to_string(),
            old: Shown(change.old),
            new: Shown(change.new),
            standing,
            detail: change.detail,
        }
    }
}

/// A word that was weighed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "Word")]
pub struct WordBody {
    /// The side that said it; `person` for a decision.
    pub side: String,
    /// Who said it.
    pub author: AuthorBody,
    /// When, by the side's clock, RFC 3339.
    pub said_at: String,
    /// The same in milliseconds since 1970.
    pub said_at_ms: i64,
    /// What it says the field is.
    #[schema(value_type = serde_json::Value)]
    pub value: Shown,
    /// Its event's place in the log.
    pub seq: u64,
    /// Its event's id.
    pub id: String,
}

impl From<Word> for WordBody {
    fn from(word: Word) -> Self {
        WordBody {
            side: word.side.to_string(),
            author: (&word.author).into(),
            said_at: word.said_at.to_string(),
            said_at_ms: word.said_at.0,
            value: Shown(word.value),
            seq: word.seq.0,
            id: word.id.to_string(),
        }
    }
}

/// Why a field has its value.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "Verdict")]
pub struct VerdictBody {
    /// The record.
    pub record: String,
    /// The field, or `existence`.
    pub field: String,
    /// Its value; null where it is cleared.
    #[schema(value_type = serde_json::Value)]
    pub value: Shown,
    /// By what it was decided.
    pub reason: &'static str,
    /// The rule in force for it, as a manifest spells it.
    pub rule: String,
    /// Whether a person is to decide.
    pub disputed: bool,
    /// The word that won, or the newest one where there is no winner.
    pub winner: WordBody,
    /// The words that it was weighed against.
    pub others: Vec<WordBody>,
    /// All of it in a sentence.
    pub sentence: String,
}

impl From<Verdict> for VerdictBody {
    fn from(verdict: Verdict) -> Self {
        VerdictBody {
            record: verdict.record.to_string(),
            field: verdict.field.to_string(),
            value: Shown(verdict.value),
            reason: verdict.reason.name(),
            rule: verdict.rule,
            disputed: verdict.disputed,
            winner: verdict.winner.into(),
            others: verdict.others.into_iter().map(WordBody::from).collect(),
            sentence: verdict.sentence,
        }
    }
}

/// Who last changed a field.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "Blame")]
pub struct BlameBody {
    /// The field, or `existence`.
    pub field: String,
    /// The side that said its value.
    pub side: String,
    /// Who said it.
    pub author: AuthorBody,
    /// When, by the side's clock, RFC 3339.
    pub said_at: String,
    /// The event's place in the log.
    pub seq: u64,
}

impl From<Blame> for BlameBody {
    fn from(blame: Blame) -> Self {
        BlameBody {
            field: blame.field.to_string(),
            side: blame.side.to_string(),
            author: (&blame.author).into(),
            said_at: blame.said_at.to_string(),
            seq: blame.seq.0,
        }
    }
}

/// One event of the log.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "Event")]
pub struct EventBody {
    /// Its place in the log: the cursor after it.
    pub seq: u64,
    /// Its id.
    pub id: String,
    /// What kind of statement.
    pub kind: &'static str,
    /// The record; empty: the whole tenant.
    pub record: String,
    /// The side that said it, or that it is about.
    pub side: String,
    /// Who said it.
    pub author: AuthorBody,
    /// When, by the side's clock, RFC 3339.
    pub said_at: String,
    /// The same in milliseconds since 1970.
    pub said_at_ms: i64,
    /// The fields that it speaks of, with their values.
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub fields: BTreeMap<String, Shown>,
}

impl From<LogChange> for EventBody {
    fn from(change: LogChange) -> Self {
        let fields = change.fields.into_iter().map(|(name, value)| (name.to_string(), Shown(value)));
        EventBody {
            seq: change.seq.0,
            id: change.id.to_string(),
            kind: change.kind.name(),
            record: change.record.to_string(),
            side: change.side.to_string(),
            author: (&change.author).into(),
            said_at: change.said_at.to_string(),
            said_at_ms: change.said_at.0,
            fields: fields.collect(),
        }
    }
}

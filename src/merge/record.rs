//! The resolved record: what reads answer from, and all that the next event needs.

use std::{ops::Deref, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Millis,
    event::{Author, Event, Header, Kind, Origin},
    id::{FieldName, SaidId, Seq, SideName},
    value::Value,
};

/// What the words of one event have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What was said.
    pub said: SaidId,
    /// Who said it.
    pub origin: Origin,
    /// When, by the side's clock.
    pub said_at: Millis,
    /// The side's own sequence.
    pub said_seq: Option<u64>,
    /// The author.
    pub author: Author,
}

/// A word on a field that happened before no other word on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The event, as an entry of the record's line.
    pub entry: u32,
    /// What it has in common with the event's other words, which share it.
    pub told: Arc<Told>,
    /// The value; null clears the field.
    pub value: Value,
    /// The sides that have learned of this word, each with its own time of it.
    pub known: Vec<(SideName, Millis)>,
}

/// Why a field has the value it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// There is one word.
    Only,
    /// Concurrent words say the same.
    Agreement,
    /// The word of the side that has authority.
    Authority,
    /// The newest word.
    LastWrite,
    /// The oldest word.
    FirstWrite,
    /// The greatest value.
    Max,
    /// The smallest value.
    Min,
    /// The newest word, for reading only: a person is to decide.
    Manual,
    /// All words together.
    Merge,
}

impl Reason {
    /// The reason's name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Only => "only",
            Reason::Agreement => "agreement",
            Reason::Authority => "authority",
            Reason::LastWrite => "last_write",
            Reason::FirstWrite => "first_write",
            Reason::Max => "max",
            Reason::Min => "min",
            Reason::Manual => "manual",
            Reason::Merge => "merge",
        }
    }
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: FieldName,
    /// Its candidates, by rank: the newest first.
    pub candidates: Vec<Candidate>,
    /// Which of them won.
    pub winner: u32,
    /// Why.
    pub reason: Reason,
    /// What all words make together, where they are merged.
    pub merged: Option<Value>,
}

impl Field {
    /// The winning candidate.
    pub fn winner(&self) -> &Candidate {
        &self.candidates[self.winner as usize]
    }

    /// The field's value; null where it is cleared.
    pub fn value(&self) -> &Value {
        self.merged.as_ref().unwrap_or(&self.winner().value)
    }

    /// Whether candidates differ, decided by a rule or not.
    pub fn is_conflict(&self) -> bool {
        !matches!(self.reason, Reason::Only | Reason::Agreement)
    }

    /// Whether a person is to decide.
    pub fn is_disputed(&self) -> bool {
        self.reason == Reason::Manual
    }
}

/// Whether the record exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Existence {
    /// It does.
    #[default]
    Alive,
    /// It was deleted.
    Deleted,
    /// One side deleted it, another edited it, and a person is to decide.
    Disputed,
}

/// What a side shows of one field, as far as we know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The field.
    pub field: FieldName,
    /// What its line last said or took; `None` if only a write is on its way.
    pub newest: Option<Value>,
    /// Whether that came from a write of ours.
    pub by_us: bool,
    /// When, on the side's line.
    pub at: Millis,
    /// What a write of ours on its way would make it show.
    pub pending: Option<Value>,
    /// Whether the side's own word and our write bear the same time, so that only a read-back can tell.
    pub doubt: bool,
}

/// A write that has left and of which nothing is known yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Its key.
    pub key: String,
    /// The event, as an entry of the record's line.
    pub entry: u32,
    /// When it left, on the side's line.
    pub at: Millis,
    /// What it writes.
    pub fields: Vec<FieldName>,
}

/// Fields that are not written to a side until someone, or a newer word, lets them go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Park {
    /// The field.
    pub field: FieldName,
    /// The words for which it holds; empty: for all.
    pub carries: Vec<SaidId>,
    /// The event, as an entry of the record's line.
    pub entry: u32,
    /// Whether the side refused the write, rather than a guard of ours or a person.
    pub refused: bool,
}

/// What is known of one side of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideState {
    /// The side.
    pub side: SideName,
    /// Its own id for the record, where it has said one.
    pub link: Option<Box<str>>,
    /// The newest time on its line.
    pub newest: Millis,
    /// What it shows under that id; kept for sides that are connected or were written to, ascending by field.
    pub shows: Vec<Shown>,
    /// Mergers on the side since which the survivor has not been read: until then nothing is written to it.
    pub unread: Vec<SaidId>,
    /// Its own ids that it has merged into the present one, ascending.
    pub gone: Vec<Box<str>>,
    /// The writes of which nothing is known yet, oldest first.
    pub in_flight: Vec<InFlight>,
    /// What waits.
    pub parks: Vec<Park>,
}

impl SideState {
    /// What the side shows of a field; `None` if nothing is known.
    pub fn shown(&self, field: &str) -> Option<&Shown> {
        self.shows.binary_search_by(|shown| (*shown.field).cmp(field)).ok().map(|at| &self.shows[at])
    }

    /// Whether it has merged this id of its own into the present one.
    pub fn has_ended(&self, id: &str) -> bool {
        self.gone.iter().any(|gone| **gone == *id)
    }

    /// Whether a field with this winner waits.
    pub fn parked(&self, field: &str, winner: &SaidId) -> Option<&Park> {
        self.parks
            .iter()
            .find(|park| *park.field == *field && (park.carries.is_empty() || park.carries.contains(winner)))
    }
}

/// An event that names something which is not in the log yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The event, as an entry of the line.
    pub entry: u32,
    /// All that it names.
    pub names: Vec<SaidId>,
    /// The event itself, as long as the record is in memory.
    #[serde(skip)]
    event: Kept,
}

/// An event kept at hand; whether it is makes no difference to what the record is.
#[derive(Clone, Debug, Default)]
struct Kept(Option<Box<Event>>);

impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Kept {}

impl Waiting {
    /// An event that waits, at this entry.
    pub fn new(entry: u32, event: &Event) -> Self {
        let names = event.header.seen.clone().unwrap_or_default();
        Waiting { entry, names, event: Kept(Some(Box::new(event.clone()))) }
    }

    /// The event, if it is at hand.
    pub fn event(&self) -> Option<&Event> {
        self.event.0.as_deref()
    }

    /// The event, if it is at hand.
    pub fn into_event(self) -> Option<Event> {
        self.event.0.map(|event| *event)
    }
}

/// A record as its events make it, without the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Record {
    /// The newest sequence that is taken in.
    pub last: Seq,
    /// Its fields with at least one word, ascending by name; existence among them. Written apart, since their words share
    /// what they have in common.
    #[serde(skip)]
    pub fields: Vec<Field>,
    /// Whether it exists.
    pub existence: Existence,
    /// The sides that are part of its story, ascending by name.
    pub sides: Vec<SideState>,
    /// Events, as entries of the line, that name something not in the log yet.
    pub waiting: Vec<Waiting>,
    /// Entries that say what another entry says under the same name, with other content.
    pub contradicted: Vec<u32>,
    /// Entries that say what another entry says, with another author or the like; the smaller content counts.
    pub copies: Vec<u32>,
    /// Words that a side has learned of, and writes of which it is known what became, that are not in the log yet, ascending.
    pub unheard: Vec<SaidId>,
    /// Statements that only repeat a word which another statement brought, ascending.
    pub repeats: Vec<SaidId>,
    /// How many statements only repeated our own writes.
    pub echoes: u32,
    /// The newest time of a statement that stands on no side's line, such as a link: one that names it is no older.
    pub aside: Option<Millis>,
    /// Whether any event is linear, or any side has learned of a word: then times matter, not names alone.
    pub timed: bool,
    /// Whether anything says that it was deleted, on a side or by a person.
    pub mortal: bool,
}

impl Record {
    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|field| (*field.name).cmp(name)).ok().map(|at| &self.fields[at])
    }

    /// What is known of a side.
    pub fn side(&self, name: &str) -> Option<&SideState> {
        self.sides.binary_search_by(|state| (*state.side).cmp(name)).ok().map(|at| &self.sides[at])
    }

    /// The state of a side, made if there is none.
    pub fn side_mut(&mut self, name: &SideName) -> &mut SideState {
        let at = match self.sides.binary_search_by(|state| state.side.cmp(name)) {
            Ok(at) => at,
            Err(at) => {
                self.sides.reserve_exact(1);
                self.sides.insert(
                    at,
                    SideState {
                        side: name.clone(),
                        link: None,
                        newest: Millis(i64::MIN),
                        shows: Vec::new(),
                        unread: Vec::new(),
                        gone: Vec::new(),
                        in_flight: Vec::new(),
                        parks: Vec::new(),
                    },
                );
                at
            }
        };
        &mut self.sides[at]
    }

    /// Whether a side has spoken of a field after a write of ours to it left whose fate is not known: nobody can say yet
    /// whether its author saw what was written.
    ///
    /// The order in which they were heard counts as well as the times, since a side's clock is known only about.
    pub fn is_in_the_dark(&self, field: &Field) -> bool {
        let spoke_since = |state: &SideState, write: &InFlight| {
            let own = field.candidates.iter().filter(|candidate| candidate.origin.side == state.side);
            own.into_iter().any(|word| word.said_at >= write.at || word.entry > write.entry)
        };
        self.sides.iter().any(|state| {
            let writes = state.in_flight.iter().filter(|write| write.fields.contains(&field.name));
            writes.into_iter().any(|write| spoke_since(state, write))
        })
    }

    /// How many fields have candidates that differ.
    pub fn conflicts(&self) -> usize {
        self.real_fields().filter(|field| field.is_conflict()).count()
    }

    /// The fields that customers know, without the register of existence.
    pub fn real_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| *field.name != *crate::rulebook::EXISTENCE)
    }
}

impl Told {
    /// What the words of the event with this header have in common.
    pub fn of(header: &Header) -> Arc<Self> {
        let Header { said, said_at, said_seq, .. } = *header;
        Arc::new(Told { said, origin: header.origin.clone(), said_at, said_seq, author: header.author.clone() })
    }
}

impl Candidate {
    /// A word as a candidate of which no other side has learned.
    pub fn of(entry: u32, told: Arc<Told>, value: &Value) -> Self {
        Candidate { entry, told, value: value.clone(), known: Vec::new() }
    }
}

impl Deref for Candidate {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.told
    }
}

impl Shown {
    /// A field of which nothing is known.
    pub fn nothing(field: &FieldName) -> Self {
        Shown { field: field.clone(), newest: None, by_us: false, at: Millis(i64::MIN), pending: None, doubt: false }
    }

    /// Takes the next word of the side's line; returns whether it is a word of the side's own.
    ///
    /// An echo repeats a write of ours that is the newest on the field, and its author is not
    /// named as someone else. A read-back is a word only where it differs from what was shown, or where it names
    /// what it has seen: that says more than the value does. A linear word that repeats the side's own of the same
    /// time is that word once more, heard of in another way.
    pub fn take(&mut self, header: &Header, value: &Value, time: Millis) -> bool {
        let shows_it = self.newest.as_ref() == Some(value);
        let awaited = self.pending.as_ref() == Some(value);
        let is_linear = header.seen.is_none();
        match header.kind {
            Kind::Sent => self.pending = Some(value.clone()),
            Kind::Receipt => self.show(value, true, time),
            Kind::Settled => {}
            // It was read: of a write and a word of one time this is the one that shows.
            Kind::Observe if shows_it && is_linear => self.doubt = false,
            Kind::Observe if awaited && is_linear => self.show(value, true, time),
            Kind::Observe => {
                self.show(value, false, time);
                return true;
            }
            _ if !header.author.is_another() && awaited => self.show(value, true, time),
            // The echo of an older write; a newer one may still be on its way, and its echo is to come.
            _ if !header.author.is_another() && shows_it && self.by_us => self.at = time,
            _ if self.is_repeated_by(header, value, time) => {}
            _ => {
                let tied = self.by_us && self.at == time && !shows_it;
                self.show(value, false, time);
                self.doubt = tied;
                return true;
            }
        }
        false
    }

    /// Whether this is the side's own newest word once more: a linear one of the same value and the same time.
    pub fn is_repeated_by(&self, header: &Header, value: &Value, time: Millis) -> bool {
        let said = matches!(header.kind, Kind::Edit | Kind::Create | Kind::Delete | Kind::Restore | Kind::Observe);
        let same = !self.by_us && self.at == time && self.newest.as_ref() == Some(value);
        said && header.seen.is_none() && same
    }

    fn show(&mut self, value: &Value, by_us: bool, time: Millis) {
        (self.newest, self.by_us, self.at) = (Some(value.clone()), by_us, time);
        (self.pending, self.doubt) = (None, false);
    }
}

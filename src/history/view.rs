//! What a record is: its fields, each with who said it and which sides show it.

use serde::Serialize;

use super::{Reader, json, permit::is_existence, version};
use crate::{
    clock::Millis,
    engine::EngineError,
    event::{Author, AuthorKind},
    id::{FieldName, RecordId, SideName},
    merge::{Existence, Field, Reason, Record},
    validate,
    value::Value,
};

/// A record as of a position.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordView {
    /// Its id.
    pub record: RecordId,
    /// Whether it exists.
    pub existence: Existence,
    /// Its fields with at least one word, ascending by name.
    pub fields: Vec<FieldView>,
    /// Names what whoever saw this view has seen; an edit that bears it supersedes exactly that.
    pub version: String,
}

/// A field as of a position.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldView {
    /// Its name.
    pub name: FieldName,
    /// Its value; null where it is cleared.
    #[serde(serialize_with = "json::value")]
    pub value: Value,
    /// The side that said it.
    pub side: SideName,
    /// Who said it.
    pub author: Author,
    /// When, by the side's clock.
    #[serde(flatten, serialize_with = "json::said_at")]
    pub said_at: Millis,
    /// Why it stands.
    #[serde(serialize_with = "json::reason")]
    pub reason: Reason,
    /// Whether other words, with other values, were weighed against it.
    pub conflict: bool,
    /// Whether a person is to decide.
    pub disputed: bool,
    /// Why its value breaks the manifest, without repeating it: what a CRM says is kept all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misfit: Option<String>,
    /// The connected sides that show this value, as far as is known.
    pub shown_on: Vec<SideName>,
}

impl RecordView {
    /// The value of a field, null where it is cleared; `None` if nothing was said of it.
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.field(field).map(|field| &field.value)
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&FieldView> {
        self.fields.binary_search_by(|field| (*field.name).cmp(name)).ok().map(|at| &self.fields[at])
    }
}

impl FieldView {
    fn of(record: &Record, field: &Field, author: Author, misfit: Option<String>) -> FieldView {
        let winner = field.winner();
        let shows = |side: &&crate::merge::record::SideState| {
            side.shown(&field.name).and_then(|shown| shown.newest.as_ref()) == Some(field.value())
        };
        FieldView {
            name: field.name.clone(),
            value: field.value().clone(),
            side: winner.origin.side.clone(),
            author,
            said_at: winner.said_at,
            reason: field.reason,
            conflict: field.is_conflict(),
            disputed: field.is_disputed(),
            misfit,
            shown_on: record.sides.iter().filter(shows).map(|side| side.side.clone()).collect(),
        }
    }
}

impl Reader {
    /// A record; `None` if nothing that counts was said of it. A deleted record is there, and says so.
    ///
    /// # Errors
    /// If derived state fails or, as of another position than now, an event of the record is damaged.
    pub fn get(&self, record: &str) -> Result<Option<RecordView>, EngineError> {
        let Ok(id) = RecordId::new(record) else { return Ok(None) };
        self.view(id)
    }

    fn view(&self, id: RecordId) -> Result<Option<RecordView>, EngineError> {
        let Some(((mut record, _), permit)) = self.whole_record(&id)? else { return Ok(None) };
        let manifest = self.engine.manifest()?;
        let seen = |field: &&Field| is_existence(&field.name) || permit.reads(id.kind(), &field.name);
        // Whoever sees that the record is deleted has seen the deletion, whether he may ask for its story or not.
        let version = version::token(&self.engine.record_key(&id), record.fields.iter().filter(seen));
        permit.trim(id.kind(), &mut record);
        let mut misfits = validate::misfits(&manifest, id.kind(), &record, |field| permit.reads(id.kind(), field));
        // Only a word in our own name takes more than the record to tell whose it is.
        let is_ours = |field: &Field| field.winner().author.kind == AuthorKind::Ours;
        let story = if record.real_fields().any(is_ours) { self.story(&id)? } else { None };
        let view = |field: &Field| {
            let author = match story.as_ref().and_then(|story| Some((story, story.record.field(&field.name)?))) {
                Some((story, field)) => self.person(story, &field.name, field.winner())?,
                None => permit.author(&self.engine, &field.winner().author),
            };
            Ok(FieldView::of(&record, field, author, misfits.remove(&field.name)))
        };
        let fields = record.real_fields().map(view).collect::<Result<_, EngineError>>()?;
        Ok(Some(RecordView { record: id, existence: record.existence, fields, version }))
    }

    /// How many fields of records that are not deleted have a value that breaks the manifest.
    ///
    /// Every record is read for it.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn misfits(&self) -> Result<u64, EngineError> {
        let mut count = 0;
        for record in self.records() {
            let record = record?;
            let fields = record.fields.iter().filter(|field| field.misfit.is_some());
            count += if record.existence == Existence::Deleted { 0 } else { fields.count() as u64 };
        }
        Ok(count)
    }

    /// All records of which something that counts was said, ascending by id, deleted ones included.
    ///
    /// They are read one by one as the iterator goes. What is said meanwhile may be in what is yet to come; as of a
    /// sequence it is not. A record that fails is an item that says so, and the next one follows.
    pub fn records(&self) -> impl Iterator<Item = Result<RecordView, EngineError>> + use<> {
        self.records_from("")
    }

    /// As [`Reader::records`], from an id on; no record before it is looked at.
    pub fn records_from(&self, start: &str) -> impl Iterator<Item = Result<RecordView, EngineError>> + use<> {
        let reader = self.clone();
        self.ids_from(start).filter_map(move |id| id.and_then(|id| reader.view(id)).transpose())
    }

    /// The ids of all records, ascending.
    pub(super) fn ids(&self) -> impl Iterator<Item = Result<RecordId, EngineError>> + use<> {
        self.ids_from("")
    }

    fn ids_from(&self, start: &str) -> impl Iterator<Item = Result<RecordId, EngineError>> + use<> {
        let (held, stored, failed) = match self.engine.ids(start) {
            Ok((held, stored)) => (held, Some(stored), None),
            Err(why) => (Vec::new(), None, Some(why)),
        };
        let (mut held, mut stored) = (held.into_iter().peekable(), stored.into_iter().flatten().peekable());
        let merged = std::iter::from_fn(move || {
            let Some(id) = held.peek() else { return stored.next() };
            match stored.peek() {
                Some(Ok(other)) if other < id => stored.next(),
                Some(Err(_)) => stored.next(),
                Some(Ok(other)) if other == id => {
                    stored.next();
                    held.next().map(Ok)
                }
                _ => held.next().map(Ok),
            }
        });
        failed.map(Err).into_iter().chain(merged)
    }
}

//! What readers say: edits of what they saw, and decisions on what was left to them.

use std::collections::BTreeSet;

use super::{inner_name, version};
use crate::{
    clock::Millis,
    engine::{Engine, EngineError, Said, Unfit},
    event::{Author, Detail, Draft, Kind, Origin},
    field::FieldType,
    id::{FieldName, RecordId, SaidId, SideName},
    merge::{Field, Record},
    rulebook::{EXISTENCE, PERSON},
    value::Value,
};

/// An edit by the embedding program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The record; it need not be there yet.
    pub record: RecordId,
    /// The side that says it.
    pub side: SideName,
    /// The fields and their values; null clears a field.
    pub set: Vec<(FieldName, Value)>,
    /// Who says it.
    pub author: Author,
    /// The version of the view that the author saw: the edit supersedes exactly what was in it. `None`: it
    /// supersedes what its side knows.
    pub version: Option<String>,
    /// When, by the side's clock; `None`: now.
    pub at: Option<Millis>,
}

impl Edit {
    /// An edit without fields, of now, by someone unnamed, who has seen what the side knows.
    pub fn of(record: RecordId, side: SideName) -> Edit {
        Edit { record, side, set: Vec::new(), author: Author::default(), version: None, at: None }
    }

    /// Sets a field; null clears it.
    pub fn set(mut self, field: FieldName, value: Value) -> Edit {
        self.set.push((field, value));
        self
    }

    /// Names the author.
    pub fn by(mut self, author: Author) -> Edit {
        self.author = author;
        self
    }

    /// Names what the author saw, by the version of a [`RecordView`](super::RecordView).
    pub fn seen(mut self, version: impl Into<String>) -> Edit {
        self.version = Some(version.into());
        self
    }
}

impl Engine {
    /// Takes an edit in and returns when it is on disk.
    ///
    /// # Errors
    /// If it does not fit the manifest, its version is none of this record, it is too large, or the store fails.
    ///
    /// # After a crash
    /// It is in the log, or it is not.
    pub fn edit(&self, edit: Edit) -> Result<Said, EngineError> {
        self.say_one(self.draft_of(edit)?)
    }

    /// The statement that an edit is, checked and not yet said; several of them can be said together.
    pub(crate) fn draft_of(&self, edit: Edit) -> Result<Draft, EngineError> {
        let Edit { record, side, set, author, version, at } = edit;
        let key = self.record_key(&record);
        let seen = match version {
            None => None,
            Some(token) => {
                let seen = version::seen(&key, &token);
                Some(seen.ok_or_else(|| EngineError::Version { record: record.clone() })?)
            }
        };
        let book = self.book()?;
        let edition = book.newest();
        let at = at.unwrap_or_else(|| book.on_side(&side, self.now()));
        let step = edition.sides.get(&side).map_or(1, |side| i64::from(side.resolution.max(1)));
        let known = self.peek_record(&record)?;
        let link = known.and_then(|(record, _)| record.side(&side).and_then(|state| state.link.clone()));
        let origin = Origin { side, link, node: None };
        let mut draft = Draft::new(Kind::Edit, record.clone(), origin, Millis(at.0.div_euclid(step) * step), author);
        draft.words = set;
        draft.seen = seen;
        let fits = check_fields(&draft).and_then(|()| Engine::check(edition, &draft));
        fits.map_err(|source| EngineError::Unfit { record, source })?;
        Ok(draft)
    }

    /// Decides a field, or `existence`, for good: the decision supersedes all that now stands on it.
    ///
    /// # Errors
    /// If nobody has said anything of the field, the value does not fit it, or the store fails.
    ///
    /// # After a crash
    /// As [`Engine::edit`].
    pub fn decide(
        &self,
        record: &str,
        field: &str,
        value: Value,
        author: Author,
        why: &str,
    ) -> Result<Said, EngineError> {
        let record = RecordId::new(record).map_err(|why| EngineError::Name { name: record.to_owned(), why })?;
        let field =
            FieldName::new(inner_name(field)).map_err(|why| EngineError::Name { name: field.to_owned(), why })?;
        let wordless = || EngineError::Wordless { record: record.clone(), field: super::shown_name(&field) };
        let (state, book) = self.peek_record(&record)?.ok_or_else(wordless)?;
        state.field(&field).ok_or_else(wordless)?;
        let kind = match &*field {
            EXISTENCE => Some(&FieldType::Boolean),
            name => book.newest().field(record.kind(), name).map(|spec| &spec.kind),
        };
        let misfit = match kind {
            // Nobody can decide that a record neither exists nor does not.
            Some(FieldType::Boolean) if *field == *EXISTENCE && value.is_null() => {
                Some(crate::field::Misfit::Form { due: "true or false" })
            }
            Some(kind) => kind.check(&value).err(),
            None => None,
        };
        if let Some(misfit) = misfit {
            let source = Unfit::Value { field: super::shown_name(&field), misfit };
            return Err(EngineError::Unfit { record, source });
        }
        let origin = Origin::side(SideName::new(PERSON).expect("a good name"));
        let mut draft = Draft::new(Kind::Decide, record.clone(), origin, self.now(), author);
        draft.seen = Some(settled(&state, &field).into_iter().collect());
        draft.words = vec![(field, value)];
        draft.detail = Detail::Reason(why.to_owned());
        self.say_one(draft)
    }

    fn say_one(&self, draft: Draft) -> Result<Said, EngineError> {
        let said = self.say(vec![draft])?;
        Ok(said.into_iter().next().expect("each statement has an answer"))
    }
}

/// What a decision on a field has to name.
///
/// Whether the record exists is weighed against edits of any field, so who decides on that has seen them all; and who
/// decides on a field of a record that someone deleted does not mean to speak for its existence.
fn settled(record: &Record, field: &FieldName) -> BTreeSet<SaidId> {
    let of_existence = **field == *EXISTENCE;
    let named = |other: &&Field| of_existence || other.name == *field || record.mortal && *other.name == *EXISTENCE;
    let candidates = record.fields.iter().filter(named).flat_map(|field| &field.candidates);
    candidates.map(|candidate| candidate.said).collect()
}

/// Checks what only a program can get wrong: a field that is set twice, and the register that is no field.
fn check_fields(draft: &Draft) -> Result<(), Unfit> {
    let mut names: Vec<&FieldName> = draft.words.iter().map(|(name, _)| name).collect();
    names.sort();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Unfit::Twice { field: pair[0].clone() });
    }
    match names.iter().find(|name| ****name == *EXISTENCE) {
        Some(name) => Err(Unfit::Field { field: name.to_string(), kind: draft.record.kind().to_owned() }),
        None => Ok(()),
    }
}

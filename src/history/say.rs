//! What readers say: edits of what they saw, and decisions on what was left to them.

use std::{collections::BTreeSet, fmt};

use super::{
    Principal, inner_name,
    permit::{Permit, is_existence, values},
    version,
};
use crate::{
    clock::Millis,
    codec,
    engine::{Engine, EngineError, Said, Unfit},
    event::{Author, Detail, Draft, Kind, Origin},
    id::{FieldName, RecordId, SaidId, SideName, to_hex},
    merge::{Field, Record, record::SideState},
    rulebook::{EXISTENCE, PERSON},
    validate::{self, Proposal},
    value::{Value, Veiled},
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

/// A record that the embedding program makes.
///
/// The engine names it, so that nobody can find out by a guessed name which records there are: `KIND/SIDE:` and 32
/// hex digits, and those digits are the side's own id for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// Its kind.
    pub kind: String,
    /// The side that makes it.
    pub side: SideName,
    /// Its fields and their values.
    pub set: Vec<(FieldName, Value)>,
    /// Who makes it.
    pub author: Author,
    /// When, by the side's clock; `None`: now.
    pub at: Option<Millis>,
    /// A key under which it is made once: for the same person and key the record is the same.
    pub once: Option<String>,
}

impl New {
    /// A record without fields, of now, by someone unnamed.
    pub fn of(kind: &str, side: SideName) -> New {
        New { kind: kind.to_owned(), side, set: Vec::new(), author: Author::default(), at: None, once: None }
    }

    /// Sets a field.
    pub fn set(mut self, field: FieldName, value: Value) -> New {
        self.set.push((field, value));
        self
    }

    /// Names the author.
    pub fn by(mut self, author: Author) -> New {
        self.author = author;
        self
    }

    /// Gives the key under which it is made once, however often it is asked for.
    pub fn once(mut self, key: impl Into<String>) -> New {
        self.once = Some(key.into());
        self
    }
}

/// What a person settles.
#[derive(Clone, PartialEq, Eq)]
pub struct Decision {
    /// The record, as it was written.
    pub record: String,
    /// The field, or `existence`, as it was written.
    pub field: String,
    /// What it is to be.
    pub value: Value,
    /// Who decides.
    pub author: Author,
    /// Why, in words for people.
    pub why: String,
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Decision");
        shown.field("record", &self.record).field("field", &self.field).field("value", &self.value);
        shown.field("author", &self.author).field("why", &Veiled(&self.why)).finish()
    }
}

impl Decision {
    /// A decision by someone unnamed, without a reason.
    pub fn of(record: &str, field: &str, value: Value) -> Decision {
        let (record, field) = (record.to_owned(), field.to_owned());
        Decision { record, field, value, author: Author::default(), why: String::new() }
    }

    /// Names the author.
    pub fn by(mut self, author: Author) -> Decision {
        self.author = author;
        self
    }

    /// Says why.
    pub fn because(mut self, why: &str) -> Decision {
        self.why = why.to_owned();
        self
    }
}

impl Engine {
    /// Takes an edit in and returns when it is on disk.
    ///
    /// It is checked first, and all its faults are told at once. A role's edit is said in the name of the person in it,
    /// whatever author the edit names, is never dated later than now, and needs the record to be among the role's rows
    /// before and after it: one that is not is answered as one that is not there, and a field that may not be written as
    /// one that there is not. Only the operator makes a record by editing one that is not there; see [`Engine::create`].
    ///
    /// # Errors
    /// If it does not fit the manifest, its version is none of this record, it is too large, or the store fails.
    ///
    /// # After a crash
    /// It is in the log, or it is not.
    pub fn edit(&self, principal: &Principal, edit: Edit) -> Result<Said, EngineError> {
        self.say_one(self.edit_draft(principal, edit)?)
    }

    /// The statement that an edit is, checked and not yet said; several can be said together.
    pub(crate) fn edit_draft(&self, principal: &Principal, edit: Edit) -> Result<Draft, EngineError> {
        let Edit { record, side, set, author, version, at } = edit;
        let permit = Permit::of(self, principal)?;
        let known = self.peek_record(&record)?.map(|(record, _)| record);
        if let Some(limits) = permit.limits() {
            let reached = known.as_ref().is_some_and(|known| limits.reaches(self, &record, &values(known)));
            if !reached || !limits.writes_some(record.kind()) {
                return Err(EngineError::NoRecord { record });
            }
        }
        let key = self.record_key(&record);
        let seen = match version {
            None => None,
            Some(token) => {
                let seen = version::seen(&key, &token);
                Some(seen.ok_or_else(|| EngineError::Version { record: record.clone() })?)
            }
        };
        self.check_words(&permit, &record, &side, &set, known.as_deref())?;
        let link = known.and_then(|record| record.side(&side).and_then(|state| state.link.clone()));
        let record = self.stream(&record, &side, link.as_deref())?;
        let mut draft = self.draft(principal, Kind::Edit, record, Origin { side, link, node: None }, author, at)?;
        draft.words = set;
        draft.seen = seen;
        Ok(draft)
    }

    /// Makes a record and returns its name when it is on disk; checked as [`Engine::edit`], and all that the manifest
    /// requires has to be there.
    ///
    /// # Errors
    /// If it does not fit the manifest or, for a role, would not be among its rows; if it is too large, or the store fails.
    ///
    /// # After a crash
    /// It is in the log, or it is not; with a key it may be asked for again without making a second one.
    pub fn create(&self, principal: &Principal, new: New) -> Result<(RecordId, Said), EngineError> {
        let is_once = new.once.is_some();
        let (record, link) = self.fresh_record(principal, &new)?;
        if is_once && self.peek_record(&record)?.is_some() {
            return Ok((record, Said::Duplicate));
        }
        let draft = self.create_draft(principal, new, record.clone(), link)?;
        Ok((record, self.say_one(draft)?))
    }

    /// The name of a record that is to be made, and its side's own id for it.
    pub(crate) fn fresh_record(&self, principal: &Principal, new: &New) -> Result<(RecordId, Box<str>), EngineError> {
        let link = self.fresh_link(principal, &new.kind, &new.side, new.once.as_deref())?;
        let bad = |why| EngineError::Name { name: new.kind.clone(), why };
        Ok((RecordId::on_side(&new.kind, &new.side, &link).map_err(bad)?, link))
    }

    /// The statement that makes a record, checked and not yet said.
    pub(crate) fn create_draft(
        &self,
        principal: &Principal,
        new: New,
        record: RecordId,
        link: Box<str>,
    ) -> Result<Draft, EngineError> {
        let New { side, set, author, at, .. } = new;
        let permit = Permit::of(self, principal)?;
        if permit.limits().is_some_and(|limits| !limits.writes_some(record.kind())) {
            return Err(EngineError::NoRecord { record });
        }
        self.check_words(&permit, &record, &side, &set, None)?;
        let origin = Origin { side, link: Some(link), node: None };
        let mut draft = self.draft(principal, Kind::Create, record, origin, author, at)?;
        draft.words = set;
        draft.words.push((FieldName::new(EXISTENCE).expect("a good name"), Value::bool(true)));
        Ok(draft)
    }

    /// An id that nobody can guess, or, for a key, the one that belongs to it.
    fn fresh_link(
        &self,
        principal: &Principal,
        kind: &str,
        side: &SideName,
        once: Option<&str>,
    ) -> Result<Box<str>, EngineError> {
        let bytes = match once {
            Some(key) => {
                let user = principal.role().map(|(_, who)| &*who.user);
                self.record_key("").said_id(&codec::encode(&("create", kind, side, user, key))).0
            }
            None => {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).map_err(|_| EngineError::Random)?;
                bytes
            }
        };
        Ok(to_hex(&bytes).into())
    }

    /// Checks what is to be said of a record, `known` being what it is now; `None`: it is not there.
    fn check_words(
        &self,
        permit: &Permit,
        record: &RecordId,
        side: &SideName,
        set: &[(FieldName, Value)],
        known: Option<&Record>,
    ) -> Result<(), EngineError> {
        let manifest = self.manifest()?;
        let unfit = |source| EngineError::Unfit { record: record.clone(), source };
        if manifest.side(side).is_none() || permit.limits().is_some_and(|limits| !limits.speaks_for(side)) {
            let sides =
                manifest.sides.iter().filter(|side| permit.limits().is_none_or(|limits| limits.speaks_for(&side.name)));
            let known = sides.map(|side| side.name.to_string()).collect::<Vec<_>>().join(", ");
            return Err(unfit(Unfit::Side { side: side.to_string(), known }));
        }
        if manifest.kind(record.kind()).is_none() {
            return Err(unfit(Unfit::Kind(record.kind().to_owned())));
        }
        let after = |field: &str| match set.iter().rfind(|(name, _)| **name == *field) {
            Some((_, value)) => Some(value.clone()),
            None => known.and_then(|known| known.field(field)).map(|field| field.value().clone()),
        };
        let may_write = |field: &FieldName| permit.limits().is_none_or(|limits| limits.writes(record.kind(), field));
        let proposal = Proposal { kind: record.kind(), words: set, after: &after, is_new: known.is_none() };
        let faults = validate::faults(&manifest, &proposal, &may_write);
        if !faults.is_empty() {
            return Err(EngineError::Invalid { record: record.clone(), faults });
        }
        // Nobody may push a record among someone else's rows, or make one there.
        match permit.limits().is_none_or(|limits| limits.reaches(self, record, &after)) {
            true => Ok(()),
            false => Err(EngineError::NoRecord { record: record.clone() }),
        }
    }

    /// A statement of the embedding program, dated and signed.
    fn draft(
        &self,
        principal: &Principal,
        kind: Kind,
        record: RecordId,
        origin: Origin,
        claimed: Author,
        at: Option<Millis>,
    ) -> Result<Draft, EngineError> {
        let book = self.book()?;
        let edition = book.newest();
        let now = book.on_side(&origin.side, self.now());
        let at = match at {
            // Whoever could date an edit later than now would win over all that others say until then.
            Some(at) if !principal.is_operator() => at.min(now),
            Some(at) => at,
            None => now,
        };
        let step = edition.sides.get(&origin.side).map_or(1, |side| i64::from(side.resolution));
        Ok(Draft::new(kind, record, origin, at.in_steps_of(step), principal.author(claimed)))
    }

    /// Decides a field, or `existence`, for good: the decision supersedes all that now stands on it.
    ///
    /// A role decides on fields that it may read and write, in the name of the person in it.
    ///
    /// # Errors
    /// If nobody has said anything of the field, the value does not fit it, or the store fails.
    ///
    /// # After a crash
    /// As [`Engine::edit`].
    pub fn decide(&self, principal: &Principal, decision: Decision) -> Result<Said, EngineError> {
        let Decision { record, field, value, author, why } = decision;
        let record = RecordId::new(&record).map_err(|why| EngineError::Name { name: record, why })?;
        let field = FieldName::new(inner_name(&field)).map_err(|why| EngineError::Name { name: field, why })?;
        let permit = Permit::of(self, principal)?;
        let wordless = || EngineError::Wordless { record: record.clone(), field: super::shown_name(&field) };
        let (state, _) = self.peek_record(&record)?.ok_or_else(wordless)?;
        let may = permit.sees(self, &record, &state) && permit.reads(record.kind(), &field);
        state.field(&field).filter(|_| may).ok_or_else(wordless)?;
        self.check_decision(&permit, &record, &state, &field, &value)?;
        let origin = Origin::side(SideName::new(PERSON).expect("a good name"));
        let author = principal.author(author);
        let mut draft = Draft::new(Kind::Decide, record, origin, self.now(), author);
        draft.seen = Some(settled(&state, &field).into_iter().collect());
        draft.words = vec![(field, value)];
        draft.detail = Detail::Reason(why);
        self.say_one(draft)
    }

    fn check_decision(
        &self,
        permit: &Permit,
        record: &RecordId,
        state: &Record,
        field: &FieldName,
        value: &Value,
    ) -> Result<(), EngineError> {
        let kind = record.kind();
        let manifest = self.manifest()?;
        let may_write = |field: &FieldName| permit.limits().is_none_or(|limits| limits.writes(kind, field));
        let known = values(state);
        let after = |name: &str| if *name == **field { Some(value.clone()) } else { known(name) };
        let faults = match is_existence(field) {
            true => validate::existence_faults(value, may_write(field)),
            // A field that the manifest no longer has may still be settled, and any on what a side has said or shows.
            false if may_write(field) && (manifest.field(kind, field).is_none() || is_said(state, field, value)) => {
                Vec::new()
            }
            false => {
                let words = [(field.clone(), value.clone())];
                let proposal = Proposal { kind, words: &words, after: &after, is_new: false };
                validate::faults(&manifest, &proposal, &may_write)
            }
        };
        if !faults.is_empty() {
            return Err(EngineError::Invalid { record: record.clone(), faults });
        }
        match permit.limits().is_none_or(|limits| limits.reaches(self, record, &after)) {
            true => Ok(()),
            false => Err(EngineError::NoRecord { record: record.clone() }),
        }
    }

    fn say_one(&self, draft: Draft) -> Result<Said, EngineError> {
        let said = self.say(vec![draft])?;
        Ok(said.into_iter().next().expect("each statement has an answer"))
    }
}

/// Whether a field's value is one that somebody has said, or that a side shows, whatever the manifest thinks of it.
fn is_said(state: &Record, field: &FieldName, value: &Value) -> bool {
    let said = state.field(field).is_some_and(|known| known.candidates.iter().any(|word| word.value == *value));
    let shows = |side: &SideState| side.shown(field).is_some_and(|shown| shown.newest.as_ref() == Some(value));
    said || state.sides.iter().any(shows)
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

//! What a request's changes are: checked, all of them at once, before any is said.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    clock::Millis,
    engine::{Engine, EngineError, Unfit},
    event::{Author, Draft},
    history::{EXISTENCE_NAME, Edit, New, Principal},
    id::{FieldName, RecordId, SideName},
    rulebook::EXISTENCE,
    server::problem::Fault,
    validate::FieldFault,
    value::Value,
};

/// The most changes of one request.
pub const CHANGES_MAX: usize = 100;
/// So far ahead of our clock a change may be dated: what is dated later would win over what is said until then.
const AHEAD_MAX: i64 = 300_000;

/// Changes that are taken together, or not at all.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Changes")]
pub struct ChangesBody<'a> {
    /// One to a hundred, each of another record.
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 100)]
    pub changes: Vec<EditBody<'a>>,
}

/// A change of one record.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Edit")]
pub struct EditBody<'a> {
    /// The record's id, `KIND/ID`; a side's own record is `KIND/SIDE:ID`. For operators it need not be there yet.
    #[serde(default)]
    pub record: Option<String>,
    /// Instead of `record`: the kind of a record that is to be made. The answer has its id.
    #[serde(default)]
    pub create: Option<String>,
    /// The fields and their values; null clears one.
    #[serde(borrow)]
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub set: Members<'a>,
    /// The `version` of the record that the author saw. If the record is another by now, nothing is taken (412).
    #[serde(default)]
    pub version: Option<String>,
    /// When it was said, by the side's clock, in milliseconds since 1970 [default: now].
    #[serde(default)]
    pub at_ms: Option<i64>,
}

/// The members of an object in their order, each as it was written; one that comes twice comes twice.
pub struct Members<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of fields and values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// For whom changes are said.
pub struct Speaker {
    /// The side.
    pub side: SideName,
    /// The author, where the principal is an operator; a role's is the person in it.
    pub author: Author,
    /// What may be said.
    pub principal: Principal,
}

/// One change, read and not yet checked against the manifest.
pub struct Read {
    /// Its record; `None`: one that is to be made.
    pub record: Option<RecordId>,
    /// The kind of a record that is to be made.
    create: Option<String>,
    set: Vec<(FieldName, Value)>,
    /// What its author saw.
    pub version: Option<String>,
    at: Option<Millis>,
}

/// Why changes are not taken.
pub enum Refused {
    /// Their content cannot be taken; every fault of every change.
    Faults(Vec<Fault>),
    /// The store failed.
    Store(EngineError),
}

/// Where the faults of one change go.
struct Told<'a> {
    change: usize,
    faults: &'a mut Vec<Fault>,
}

impl Told<'_> {
    fn add(&mut self, field: Option<&str>, code: &'static str, message: impl Into<String>) {
        let (change, field, message) = (Some(self.change), field.map(str::to_owned), message.into());
        self.faults.push(Fault { change, field, code, message });
    }
}

/// Reads what a request asks for; what cannot be read goes to `faults`, and the rest of it is still returned.
pub fn read(body: &ChangesBody<'_>, now: Millis, faults: &mut Vec<Fault>) -> Vec<(usize, Read)> {
    let count = body.changes.len();
    if count == 0 || count > CHANGES_MAX {
        let message = format!("a request has 1 to {CHANGES_MAX} changes, not {count}");
        faults.push(Fault { change: None, field: None, code: "count", message });
    }
    let mut records: BTreeSet<RecordId> = BTreeSet::new();
    let mut changes = Vec::new();
    for (at, change) in body.changes.iter().enumerate().take(CHANGES_MAX) {
        let mut told = Told { change: at, faults: &mut *faults };
        let Some(read) = read_one(change, now, &mut told) else { continue };
        if read.record.as_ref().is_some_and(|record| !records.insert(record.clone())) {
            told.add(None, "twice", "the request changes this record already; put its fields into one change");
        }
        changes.push((at, read));
    }
    changes
}

fn read_one(change: &EditBody<'_>, now: Millis, told: &mut Told<'_>) -> Option<Read> {
    let record = match (&change.record, &change.create) {
        (Some(record), None) => match RecordId::new(record) {
            Ok(record) if !record.is_empty() => Some(record),
            Ok(_) => {
                told.add(None, "record", "the record id is empty");
                return None;
            }
            Err(why) => {
                told.add(None, "record", format!("the record id {why}"));
                return None;
            }
        },
        (None, Some(_)) if change.version.is_some() => {
            told.add(None, "version", "nobody has seen a record that is still to be made");
            None
        }
        (None, Some(_)) => None,
        _ => {
            told.add(None, "record", "a change has either `record` or `create`");
            return None;
        }
    };
    if change.set.0.is_empty() {
        told.add(None, "empty", "the change sets no field");
    }
    if change.at_ms.is_some_and(|at| at > now.0.saturating_add(AHEAD_MAX)) {
        told.add(None, "at", "the change is dated more than five minutes ahead");
    }
    let mut set = Vec::new();
    for (name, raw) in &change.set.0 {
        match FieldName::new(name) {
            Err(why) => told.add(Some(&shortened(name)), "unknown", format!("the field's name {why}")),
            Ok(field) if *field == *EXISTENCE || *field == *EXISTENCE_NAME => {
                told.add(Some(name), "unknown", "existence is no field; it is decided");
            }
            Ok(field) => match Value::from_raw(raw) {
                Err(why) => told.add(Some(name), "value", format!("the value of {name} {why}")),
                Ok(value) => set.push((field, value)),
            },
        }
    }
    let (create, version) = (change.create.clone(), change.version.clone());
    Some(Read { record, create, set, version, at: change.at_ms.map(Millis) })
}

/// The statements that the changes are, if every one of them may be said; `faults` are those found before.
///
/// # Errors
/// With every fault, or if the store fails.
pub fn drafts(
    engine: &Engine,
    speaker: &Speaker,
    changes: Vec<(usize, Read)>,
    mut faults: Vec<Fault>,
) -> Result<Vec<Draft>, Refused> {
    let mut drafts = Vec::new();
    for (at, change) in changes {
        match draft(engine, speaker, change) {
            Ok(draft) => drafts.push(draft),
            Err(why) => faults.extend(refusal(Some(at), &why).ok_or(Refused::Store(why))?),
        }
    }
    // By change, whichever step found them.
    faults.sort_by_key(|fault| fault.change);
    if faults.is_empty() { Ok(drafts) } else { Err(Refused::Faults(faults)) }
}

fn draft(engine: &Engine, speaker: &Speaker, change: Read) -> Result<Draft, EngineError> {
    let Speaker { side, author, principal } = speaker;
    let Read { record, create, set, version, at } = change;
    let (side, author) = (side.clone(), author.clone());
    match record {
        Some(record) => engine.edit_draft(principal, Edit { record, side, set, author, version, at }),
        None => {
            let new = New { kind: create.unwrap_or_default(), side, set, author, at, once: None };
            let (record, link) = engine.fresh_record(principal, &new)?;
            engine.create_draft(principal, new, record, link)
        }
    }
}

/// The beginning of a name that is no name.
fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// The faults that an engine's refusal stands for; `None`: the store itself failed.
pub fn refusal(change: Option<usize>, why: &EngineError) -> Option<Vec<Fault>> {
    let one = |field, code, message: String| Some(vec![Fault { change, field, code, message }]);
    match why {
        EngineError::Invalid { faults, .. } => {
            let fault = |fault: &FieldFault| {
                let (field, message) = (Some(fault.field.clone()), fault.message.clone());
                Fault { change, field, code: fault.code.name(), message }
            };
            Some(faults.iter().map(fault).collect())
        }
        EngineError::Unfit { source, .. } => {
            let (field, code) = match source {
                Unfit::Side { .. } => (None, "side"),
                Unfit::Kind(_) => (None, "kind"),
                Unfit::Field { field, .. } => (Some(field.clone()), "unknown"),
                Unfit::Value { field, .. } => (Some(field.to_string()), "type"),
            };
            one(field, code, source.to_string())
        }
        EngineError::NoRecord { .. } => one(None, MISSING, "there is no such record".to_owned()),
        EngineError::Name { why, .. } => one(None, "kind", format!("the record kind {why}")),
        EngineError::Version { .. } => {
            one(None, "version", "the version is none that was given out for this record".to_owned())
        }
        EngineError::Statement { .. } => one(None, "size", "the change is too large".to_owned()),
        _ => None,
    }
}

/// The code of a record that is not there, or that the caller may not see.
pub const MISSING: &str = "missing";

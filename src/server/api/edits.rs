//! What a request's changes are, checked all at once before any of them is said.

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
    event::Author,
    history::{EXISTENCE_NAME, Edit},
    id::{FieldName, RecordId, SideName},
    rulebook::{EXISTENCE, Edition},
    server::problem::Fault,
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
    /// One to a hundred; no two of them set one field of one record.
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 100)]
    pub changes: Vec<EditBody<'a>>,
}

/// A change of one record.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Edit")]
pub struct EditBody<'a> {
    /// The record's id, `KIND/ID`; it need not be there yet. A side's own record is `KIND/SIDE:ID`.
    pub record: String,
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
    /// The author.
    pub author: Author,
}

/// The edits that a request asks for.
///
/// # Errors
/// With every fault of every change.
pub fn edits(
    engine: &Engine,
    edition: &Edition,
    speaker: &Speaker,
    body: &ChangesBody<'_>,
) -> Result<Vec<Edit>, Vec<Fault>> {
    let mut faults = Vec::new();
    let whole = |code, message: String| Fault { change: None, field: None, code, message };
    if body.changes.is_empty() || body.changes.len() > CHANGES_MAX {
        faults.push(whole("count", format!("a request has 1 to {CHANGES_MAX} changes, not {}", body.changes.len())));
    }
    if !edition.sides.contains_key(&speaker.side) {
        faults.push(whole("side", format!("the manifest has no side {}, for which the token speaks", speaker.side)));
    }
    let mut set: BTreeSet<(RecordId, FieldName)> = BTreeSet::new();
    let mut edits = Vec::new();
    for (at, change) in body.changes.iter().enumerate().take(CHANGES_MAX) {
        let mut told = Told { change: at, faults: &mut faults };
        edits.extend(edit(engine, edition, speaker, change, &mut set, &mut told));
    }
    if faults.is_empty() { Ok(edits) } else { Err(faults) }
}

/// Where the faults of one change go.
struct Told<'a> {
    change: usize,
    faults: &'a mut Vec<Fault>,
}

impl Told<'_> {
    fn add(&mut self, field: Option<&str>, code: &'static str, message: String) {
        self.faults.push(Fault { change: Some(self.change), field: field.map(str::to_owned), code, message });
    }
}

fn edit(
    engine: &Engine,
    edition: &Edition,
    speaker: &Speaker,
    change: &EditBody<'_>,
    set: &mut BTreeSet<(RecordId, FieldName)>,
    told: &mut Told<'_>,
) -> Option<Edit> {
    let record = match RecordId::new(&change.record) {
        Ok(record) if !record.is_empty() => record,
        Ok(_) => {
            told.add(None, "record", "the record id is empty".to_owned());
            return None;
        }
        Err(why) => {
            told.add(None, "record", format!("the record id {why}"));
            return None;
        }
    };
    let kind = record.kind().to_owned();
    if edition.kind(&kind).is_none() {
        told.add(None, "kind", format!("the manifest has no record kind {kind}"));
        return None;
    }
    if change.set.0.is_empty() {
        told.add(None, "empty", "the change sets no field".to_owned());
    }
    if change.at_ms.is_some_and(|at| at > engine.now().0.saturating_add(AHEAD_MAX)) {
        told.add(None, "at", "the change is dated more than five minutes ahead".to_owned());
    }
    let mut edit = Edit::of(record.clone(), speaker.side.clone()).by(speaker.author.clone());
    edit.version.clone_from(&change.version);
    edit.at = change.at_ms.map(Millis);
    for (name, raw) in &change.set.0 {
        let field = match FieldName::new(name) {
            Ok(field) if *field != *EXISTENCE && *field != *EXISTENCE_NAME => field,
            Ok(_) => {
                told.add(Some(name), "field", "existence is no field; decide it, or delete the record".to_owned());
                continue;
            }
            Err(why) => {
                told.add(Some(&shortened(name)), "field", format!("the field's name {why}"));
                continue;
            }
        };
        if !set.insert((record.clone(), field.clone())) {
            told.add(Some(name), "twice", "the field is set twice in one request".to_owned());
            continue;
        }
        let Some(spec) = edition.field(&kind, &field) else {
            told.add(Some(name), "field", format!("the manifest has no field {field} for kind {kind}"));
            continue;
        };
        match Value::from_raw(raw) {
            Err(why) => told.add(Some(name), "value", format!("the value {why}")),
            Ok(value) => match spec.kind.check(&value) {
                Err(misfit) => told.add(Some(name), "type", format!("the value {misfit}")),
                Ok(()) => edit.set.push((field, value)),
            },
        }
    }
    Some(edit)
}

/// The beginning of a name that is no name.
fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// The field, code and message of a statement that does not fit.
pub fn unfit(why: &Unfit) -> (Option<String>, &'static str, String) {
    let (field, code) = match why {
        Unfit::Side { .. } => (None, "side"),
        Unfit::Kind(_) => (None, "kind"),
        Unfit::Field { field, .. } => (Some(field.clone()), "field"),
        Unfit::Twice { field } => (Some(field.to_string()), "twice"),
        Unfit::Value { field, .. } => (Some(field.to_string()), "type"),
    };
    (field, code, why.to_string())
}

/// The fault that an engine's refusal of one change is; `None`: the store itself failed.
pub fn refusal(change: usize, why: &EngineError) -> Option<Fault> {
    match why {
        EngineError::Unfit { source, .. } => {
            let (field, code, message) = unfit(source);
            Some(Fault { change: Some(change), field, code, message })
        }
        EngineError::Version { .. } => {
            let message = "the version is none that was given out for this record".to_owned();
            Some(Fault { change: Some(change), field: None, code: "version", message })
        }
        EngineError::Statement { .. } => Some(Fault {
            change: Some(change),
            field: None,
            code: "size",
            message: "the change is too large".to_owned(),
        }),
        _ => None,
    }
}

//! Whether what is said of a record fits the manifest: before a portal's edit is taken, and of what a CRM has said.
//!
//! An edit is checked as a whole and all its faults are told at once, by field and without repeating values. What counts
//! is the record as it would be after the edit, but only what the edit touches can be held against it: a
//! rule across fields is asked if it names a field of the edit, and something required may be missing that was missing
//! before. What a side has said is never refused: [`misfits`] tells where it breaks the manifest. That goes for the webhooks of a
//! portal as well: they tell what the portal shows its user already, and an edit that we did not take would be shown there, and
//! nowhere else, for good. A portal whose edits are to be checked before they stand says them through the API.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    expression::Answer,
    field::{FieldType, Misfit},
    id::FieldName,
    manifest::{ANY, Manifest},
    merge::{Field, Record},
    rulebook::{EXISTENCE, EXISTENCE_NAME},
    value::{Value, View},
};

/// What is wrong with one field of an edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldFault {
    /// The field, as it was named.
    pub field: String,
    /// What sort of fault, for programs.
    pub code: FaultCode,
    /// What is wrong, for people; the value is not in it.
    pub message: String,
}

/// What sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// There is no such field, or it may not be written: a role is not told which.
    Unknown,
    /// The edit sets it twice.
    Twice,
    /// A value of another type, or not of its form.
    Type,
    /// Not among the choices.
    Choice,
    /// Missing, though a record has to have it.
    Required,
    /// Not of the pattern due.
    Pattern,
    /// Too short or too long.
    Length,
    /// Too small or too great.
    Range,
    /// A rule across fields would not hold.
    Check,
}

impl FaultCode {
    /// The code's name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            FaultCode::Unknown => "unknown",
            FaultCode::Twice => "twice",
            FaultCode::Type => "type",
            FaultCode::Choice => "choice",
            FaultCode::Required => "required",
            FaultCode::Pattern => "pattern",
            FaultCode::Length => "length",
            FaultCode::Range => "range",
            FaultCode::Check => "check",
        }
    }
}

impl From<&Misfit> for FaultCode {
    fn from(misfit: &Misfit) -> FaultCode {
        match misfit {
            Misfit::Type { .. } | Misfit::Form { .. } => FaultCode::Type,
            Misfit::Choice { .. } => FaultCode::Choice,
            Misfit::Required => FaultCode::Required,
            Misfit::Pattern => FaultCode::Pattern,
            Misfit::Length { .. } => FaultCode::Length,
            Misfit::Range { .. } => FaultCode::Range,
        }
    }
}

impl FieldFault {
    fn value(field: &str, misfit: &Misfit) -> FieldFault {
        FieldFault { field: field.to_owned(), code: misfit.into(), message: format!("the value of {field} {misfit}") }
    }
}

/// All faults in one line.
pub fn told(faults: &[FieldFault]) -> String {
    faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// What is to be said of a record.
pub struct Proposal<'a> {
    /// The record's kind.
    pub kind: &'a str,
    /// The fields and the values they are to have.
    pub words: &'a [(FieldName, Value)],
    /// The value that each field of the record would have afterwards.
    pub after: &'a dyn Fn(&str) -> Option<Value>,
    /// Whether the record is made by it.
    pub is_new: bool,
}

/// All that is wrong with a proposal: its fields in their order, what is missing, then the rules across fields.
///
/// Fields that `may_write` does not allow are told as fields that there are not, and their values are not looked at.
pub fn faults(manifest: &Manifest, proposal: &Proposal<'_>, may_write: &dyn Fn(&FieldName) -> bool) -> Vec<FieldFault> {
    let Proposal { kind, words, after, is_new } = proposal;
    let mut faults = Vec::new();
    for (at, (field, value)) in words.iter().enumerate() {
        let spec = manifest.whole_field(kind, field).filter(|_| **field != *EXISTENCE && may_write(field));
        let misfit = spec.and_then(|spec| spec.check(value).err());
        let is_twice = words[..at].iter().any(|(earlier, _)| earlier == field);
        if spec.is_none() {
            let message = format!("there is no field {field} of kind {kind} to write");
            faults.push(FieldFault { field: field.to_string(), code: FaultCode::Unknown, message });
        } else if is_twice {
            let message = format!("the field {field} is set twice");
            faults.push(FieldFault { field: field.to_string(), code: FaultCode::Twice, message });
        }
        faults.extend(misfit.map(|misfit| FieldFault::value(field, &misfit)));
    }
    let Some(record) = manifest.kind(kind) else { return faults };
    // Whoever may not write a field cannot be asked for it, nor told that there is one.
    let asked = record.fields.iter().filter(|(name, field)| field.required && ***name != *ANY && may_write(name));
    for (field, _) in asked.filter(|_| *is_new) {
        if !words.iter().any(|(named, _)| named == field) {
            faults.push(FieldFault::value(field, &Misfit::Required));
        }
    }
    // A value that does not fit its own field has nothing to say about others.
    let is_sound = |field: &FieldName| !faults.iter().any(|fault| *fault.field == **field);
    let value = |field: &str| comparable(manifest, kind, field, after(field));
    let mut broken = Vec::new();
    for check in &record.checks {
        let fields = check.expression.fields();
        let named = fields.iter().find(|field| *is_new || words.iter().any(|(named, _)| named == *field));
        let Some(field) = named.filter(|_| fields.iter().all(is_sound)) else { continue };
        if check.expression.ask(value) == Answer::Broken {
            let message = check.message.clone();
            broken.push(FieldFault { field: field.to_string(), code: FaultCode::Check, message });
        }
    }
    faults.extend(broken);
    faults
}

/// What is wrong with a decision on whether a record exists.
pub fn existence_faults(value: &Value, may_write: bool) -> Vec<FieldFault> {
    // Nobody can decide that a record neither exists nor does not.
    let misfit = match value.view() {
        _ if !may_write => {
            let message = format!("there is no field {EXISTENCE_NAME} to write");
            return vec![FieldFault { field: EXISTENCE_NAME.to_owned(), code: FaultCode::Unknown, message }];
        }
        View::Null => Some(Misfit::Form { due: "true or false" }),
        _ => FieldType::Boolean.check(value).err(),
    };
    misfit.iter().map(|misfit| FieldFault::value(EXISTENCE_NAME, misfit)).collect()
}

/// Where a record breaks the manifest: the fields whose values do, each with a reason that does not repeat the value.
///
/// A rule across fields is held against each of its fields, and only where all of them may be read: what it says of one
/// would tell of the others.
pub fn misfits(
    manifest: &Manifest,
    kind: &str,
    record: &Record,
    may_read: impl Fn(&FieldName) -> bool,
) -> BTreeMap<FieldName, String> {
    let misfit = |field: &Field| {
        let misfit = manifest.whole_field(kind, &field.name)?.check(field.value()).err()?;
        Some((field.name.clone(), misfit.to_string()))
    };
    let mut misfits: BTreeMap<FieldName, String> = record.real_fields().filter_map(misfit).collect();
    let value = |name: &str| {
        let value = record.field(name).map(|field| field.value().clone());
        comparable(manifest, kind, name, value)
    };
    let mut broken = Vec::new();
    for check in manifest.kind(kind).map_or(&[] as &[_], |kind| &kind.checks) {
        let fields = check.expression.fields();
        // A value that does not fit its own field has nothing to say about others.
        let is_asked = fields.iter().all(|field| may_read(field) && !misfits.contains_key(field));
        if is_asked && check.expression.ask(value) == Answer::Broken {
            let said = fields.iter().filter(|field| record.field(field).is_some());
            broken.extend(said.map(|field| (field.clone(), check.message.clone())));
        }
    }
    for (field, message) in broken {
        misfits.entry(field).or_insert(message);
    }
    misfits
}

/// A value in the form in which rules compare it: instants as texts in UTC with nine decimals, in the order of time.
fn comparable(manifest: &Manifest, kind: &str, field: &str, value: Option<Value>) -> Option<Value> {
    let value = value?;
    let is_instant = manifest.field(kind, field).is_some_and(|spec| spec.kind == FieldType::Datetime);
    let instant = value.as_text().filter(|_| is_instant).and_then(|text| text.parse::<jiff::Timestamp>().ok());
    Some(instant.map_or(value, |instant| Value::text(&format!("{instant:.9}"))))
}

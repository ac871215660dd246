//! How many of the present records break the manifest's own rules, before going live.
//!
//! Counted by field and rule, with a few ids to look at and never a value.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    field::{FieldType, Misfit},
    id::FieldName,
    side::translate::Translation,
};

/// How many ids a breach names.
pub const IDS_MAX: usize = 5;

/// A rule of the manifest that a value can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// There has to be a value.
    Required,
    /// It has to be of the field's type.
    Type,
    /// It has to be one of the choices.
    Choice,
    /// It has to be an email address.
    Email,
}

impl Broken {
    fn by(misfit: &Misfit, kind: &FieldType) -> Self {
        match (misfit, kind) {
            (Misfit::Choice { .. }, _) => Broken::Choice,
            (_, FieldType::Email) => Broken::Email,
            _ => Broken::Type,
        }
    }
}

/// How often a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// The record kind.
    pub kind: String,
    /// The field.
    pub field: FieldName,
    /// HubSpot's name for it.
    pub theirs: String,
    /// The rule.
    pub rule: Broken,
    /// How many records break it.
    pub records: u64,
    /// HubSpot's ids of the first few.
    pub some: Vec<String>,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Breach { kind, field, theirs, rule, records, some } = self;
        let what = match rule {
            Broken::Required => "have no value, which is required",
            Broken::Type => "have a value of another type",
            Broken::Choice => "have a value that is none of the choices",
            Broken::Email => "have a value that is no email address",
        };
        let more = if *records > some.len() as u64 { ", ..." } else { "" };
        write!(f, "{kind}.{field}: {records} records {what} in {theirs} (such as {}{more})", some.join(", "))
    }
}

/// A count over the records of one kind.
pub struct Count<'a> {
    translation: &'a Translation,
    kind: String,
    fields: Vec<Counted>,
    records: u64,
    found: BTreeMap<(usize, Broken), (u64, Vec<String>)>,
}

struct Counted {
    field: FieldName,
    theirs: String,
    kind: FieldType,
    is_required: bool,
}

impl<'a> Count<'a> {
    /// Begins to count the records of a kind.
    pub fn of(translation: &'a Translation, kind: &str) -> Self {
        let whole = |field: &FieldName| translation.manifest().whole_field(kind, field);
        let fields = translation.fields(kind).filter_map(|(field, theirs)| {
            let agreed = whole(field)?;
            let (field, theirs) = (field.clone(), theirs.to_owned());
            Some(Counted { field, theirs, kind: agreed.spec.kind.clone(), is_required: agreed.required })
        });
        Count { translation, kind: kind.to_owned(), fields: fields.collect(), records: 0, found: BTreeMap::new() }
    }

    /// The names of the properties that have to be asked for.
    pub fn properties(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|counted| counted.theirs.as_str())
    }

    /// Takes a record in; `shows` gives a property's text, `None` where it is not set.
    pub fn add<'b>(&mut self, id: &str, shows: impl Fn(&str) -> Option<&'b str>) {
        self.records += 1;
        for (at, counted) in self.fields.iter().enumerate() {
            let heard = self.translation.hear_text(&self.kind, &counted.field, shows(&counted.theirs));
            let broken = match &heard.misfit {
                Some(misfit) => Broken::by(misfit, &counted.kind),
                None if counted.is_required && heard.value.is_null() => Broken::Required,
                None => continue,
            };
            let (records, some) = self.found.entry((at, broken)).or_default();
            *records += 1;
            if some.len() < IDS_MAX {
                some.push(id.to_owned());
            }
        }
    }

    /// How many records were taken in.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// What was found, by field.
    pub fn breaches(&self) -> Vec<Breach> {
        let breach = |(&(at, rule), (records, some)): (&(usize, Broken), &(u64, Vec<String>))| {
            let Counted { field, theirs, .. } = &self.fields[at];
            Breach {
                kind: self.kind.clone(),
                field: field.clone(),
                theirs: theirs.clone(),
                rule,
                records: *records,
                some: some.clone(),
            }
        };
        self.found.iter().map(breach).collect()
    }
}

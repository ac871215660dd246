//! Whether the properties that a HubSpot account has fit what the manifest says of them.
//!
//! A pure comparison: whoever has a client reads `GET /crm/v3/properties/{type}` and hands the answer over. *All* that does not fit is
//! reported, before going live rather than as refusals afterwards. What present records hold is for [`breach`](super::breach).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::object;
use crate::{
    field::{DateForm, FieldSpec, FieldType},
    id::FieldName,
    manifest::Field,
    side::translate::Translation,
};

/// The most names that a printed line lists.
const LISTED_MAX: usize = 12;

/// A property as HubSpot defines it, as far as it matters here; members that are missing are empty or false.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Property {
    /// Its internal name.
    pub name: String,
    /// `string`, `number`, `date`, `datetime`, `enumeration`, `bool`, or a newer one.
    #[serde(rename = "type")]
    pub kind: String,
    /// How it is edited: `checkbox` takes several options of an enumeration.
    pub field_type: String,
    /// The options of an enumeration.
    pub options: Vec<Choice>,
    /// Whether the options are kept elsewhere, such as owners, and not listed.
    pub external_options: bool,
    /// Whether HubSpot computes it.
    pub calculated: bool,
    /// Whether it was put away.
    pub archived: bool,
    /// Whether no two records may have the same value.
    pub has_unique_value: bool,
    /// What may be changed about it.
    pub modification_metadata: Option<Modification>,
}

/// An option of an enumeration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// What goes on the wire.
    pub value: String,
}

/// What may be changed about a property.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Modification {
    /// Whether values are HubSpot's alone to set.
    pub read_only_value: bool,
}

/// An answer that lists no properties.
#[derive(Debug, thiserror::Error)]
#[error("the answer is no list of properties")]
pub struct PropertyError(#[from] serde_json::Error);

/// The properties in an answer of `GET /crm/v3/properties/{type}`.
///
/// # Errors
/// If it is not JSON with a list of `results`.
pub fn read(answer: &[u8]) -> Result<Vec<Property>, PropertyError> {
    #[derive(Deserialize)]
    struct Answer {
        results: Vec<Property>,
    }
    Ok(serde_json::from_slice::<Answer>(answer)?.results)
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Writes will be refused, or values will not come.
    Error,
    /// It works until something comes along that does not fit.
    Warning,
}

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The record kind.
    pub kind: String,
    /// The field; none: the kind as a whole.
    pub field: Option<FieldName>,
    /// HubSpot's name: of the property, or else of the type.
    pub theirs: String,
    /// What does not fit.
    #[serde(flatten)]
    pub what: Misfitting,
}

/// What does not fit; reads on from "the property NAME".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Misfitting {
    /// The account has no such type of object.
    NoType,
    /// The account has no such property.
    Missing {
        /// One whose name is nearly the same.
        alike: Option<String>,
    },
    /// It was put away: it is neither shown nor written.
    Archived,
    /// HubSpot alone sets its values, and edits of other sides count.
    ReadOnly,
    /// Its type and the field's do not go together.
    Type {
        /// The property's type.
        theirs: String,
        /// Why not.
        why: &'static str,
    },
    /// Values that we would write and that are no options there.
    OptionsMissing {
        /// As HubSpot would be sent them.
        values: Vec<String>,
    },
    /// Options that the manifest does not know: records with them come in flagged.
    OptionsUnknown {
        /// As HubSpot sends them.
        values: Vec<String>,
    },
    /// Records are matched by it, and two may have the same value.
    NotUnique,
}

impl fmt::Display for Misfitting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfitting::NoType => f.write_str("is no type of this account"),
            Misfitting::Missing { alike: None } => f.write_str("is not there"),
            Misfitting::Missing { alike: Some(alike) } => write!(f, "is not there; did you mean {alike}?"),
            Misfitting::Archived => f.write_str("is archived"),
            Misfitting::ReadOnly => {
                f.write_str("is read-only there, and edits of other sides count: let `write` name this side alone")
            }
            Misfitting::Type { theirs, why } => write!(f, "is of type {theirs} there: {why}"),
            Misfitting::OptionsMissing { values } => write!(f, "does not have the options {}", listed(values)),
            Misfitting::OptionsUnknown { values } => {
                write!(f, "has options that the manifest does not know: {}", listed(values))
            }
            Misfitting::NotUnique => {
                f.write_str("is matched on, and HubSpot lets two records have the same value of it")
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        match &self.field {
            Some(field) => write!(f, "{severity}: {}.{field}: the property {} {}", self.kind, self.theirs, self.what),
            None => write!(f, "{severity}: {}: {} {}", self.kind, self.theirs, self.what),
        }
    }
}

fn listed(values: &[String]) -> String {
    let some: Vec<&str> = values.iter().take(LISTED_MAX).map(String::as_str).collect();
    match values.len() - some.len() {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

/// All that does not fit of one kind, in the order of its fields; `None` for properties: the account has no such type.
pub fn diagnose(translation: &Translation, kind: &str, properties: Option<&[Property]>) -> Vec<Finding> {
    let Some(theirs) = translation.type_of(kind) else { return Vec::new() };
    let finding = |severity, field: Option<&FieldName>, theirs: &str, what| Finding {
        severity,
        kind: kind.to_owned(),
        field: field.cloned(),
        theirs: theirs.to_owned(),
        what,
    };
    let Some(properties) = properties else {
        return vec![finding(Severity::Error, None, theirs, Misfitting::NoType)];
    };
    let matched = translation.manifest().kind(kind).map_or(&[][..], |kind| &kind.match_on);
    let mut findings = Vec::new();
    for (field, name) in translation.fields(kind) {
        let Some(agreed) = translation.manifest().whole_field(kind, field) else { continue };
        if is_association(translation, agreed, name) {
            continue;
        }
        let Some(property) = properties.iter().find(|property| property.name == name) else {
            let alike = alike(name, properties);
            findings.push(finding(Severity::Error, Some(field), name, Misfitting::Missing { alike }));
            continue;
        };
        let checking = Checking { translation, field: agreed, property };
        let unique = property.has_unique_value || is_identity(theirs, name);
        let mut found = checking.all();
        if matched.contains(field) && !unique {
            found.push((Severity::Warning, Misfitting::NotUnique));
        }
        findings.extend(found.into_iter().map(|(severity, what)| finding(severity, Some(field), name, what)));
    }
    if let Some(name) = translation.manifest().kind(kind).and_then(|kind| kind.author.get(translation.side()))
        && !properties.iter().any(|property| property.name == *name)
    {
        let alike = alike(name, properties);
        findings.push(finding(Severity::Error, None, name, Misfitting::Missing { alike }));
    }
    findings
}

/// Whether a field is kept as an association, which is no property: a reference named `primary_TYPE` or `associated_TYPE`,
/// or references by the latter name.
pub(super) fn is_association(translation: &Translation, field: &Field, name: &str) -> bool {
    let Some(to) = field.spec.kind.refers_to() else { return false };
    let one = name.strip_prefix("primary_").filter(|_| !field.spec.kind.is_set());
    let named = one.or_else(|| name.strip_prefix("associated_"));
    named.zip(translation.type_of(to)).is_some_and(|(named, to)| object::plural(named) == object::plural(to))
}

/// HubSpot keeps contacts apart by their email and every record by its id, whatever the definitions say.
fn is_identity(theirs: &str, name: &str) -> bool {
    name == "hs_object_id" || name == "email" && object::plural(theirs) == "contacts"
}

/// A property whose name differs in case, `_` and `-` alone.
fn alike(name: &str, properties: &[Property]) -> Option<String> {
    let plain = |name: &str| name.replace(['_', '-', ' '], "").to_lowercase();
    properties.iter().map(|property| &property.name).find(|other| plain(other) == plain(name)).cloned()
}

/// One field beside its property.
struct Checking<'a> {
    translation: &'a Translation,
    field: &'a Field,
    property: &'a Property,
}

impl Checking<'_> {
    fn all(&self) -> Vec<(Severity, Misfitting)> {
        let mut found = Vec::new();
        let is_read_only = self.property.modification_metadata.as_ref().is_some_and(|meta| meta.read_only_value);
        if self.property.archived {
            found.push((Severity::Error, Misfitting::Archived));
        }
        if self.is_written() && (is_read_only || self.property.calculated) {
            found.push((Severity::Error, Misfitting::ReadOnly));
        }
        let theirs = || self.property.kind.clone();
        match self.fit() {
            Fit::Good => {}
            Fit::Loose(why) => found.push((Severity::Warning, Misfitting::Type { theirs: theirs(), why })),
            Fit::Wrong(why) => found.push((Severity::Error, Misfitting::Type { theirs: theirs(), why })),
        }
        found.extend(self.options());
        found
    }

    /// Whether edits of other sides count, so that they are written to this one.
    fn is_written(&self) -> bool {
        let FieldSpec { write, sides, .. } = &self.field.spec;
        let own = self.translation.side();
        let others = |side: &&crate::id::SideName| *side != own;
        match (write, sides) {
            (Some(write), _) => write.iter().any(|side| others(&side)),
            (None, Some(shown)) => shown.iter().any(|(side, _)| others(&side)),
            (None, None) => self.translation.manifest().sides.iter().any(|side| others(&&side.name)),
        }
    }

    /// Options that one of the two does not have.
    fn options(&self) -> Vec<(Severity, Misfitting)> {
        let has_options = matches!(self.property.kind.as_str(), "enumeration" | "bool");
        if !has_options || self.property.external_options || self.property.options.is_empty() {
            return Vec::new();
        }
        let ours = self.known_values();
        let there = |value: &String| self.property.options.iter().any(|option| option.value == *value);
        let missing: Vec<String> = ours.iter().filter(|value| !there(value)).cloned().collect();
        let is_closed = matches!(self.field.spec.kind, FieldType::Choice(_) | FieldType::Boolean);
        let options = self.property.options.iter().map(|option| option.value.clone());
        let unknown: Vec<String> = options.filter(|value| is_closed && !ours.contains(value)).collect();
        let mut found = Vec::new();
        if !missing.is_empty() {
            let severity = if self.is_written() { Severity::Error } else { Severity::Warning };
            found.push((severity, Misfitting::OptionsMissing { values: missing }));
        }
        if !unknown.is_empty() {
            found.push((Severity::Warning, Misfitting::OptionsUnknown { values: unknown }));
        }
        found
    }

    /// The values that the manifest names, as HubSpot is sent them.
    fn known_values(&self) -> Vec<String> {
        let form = self.field.forms.get(self.translation.side());
        let mapped = form.map_or(&[][..], |form| &form.values);
        let theirs = |ours: &str| {
            mapped.iter().find(|(own, _)| own == ours).map_or_else(|| ours.to_owned(), |(_, theirs)| theirs.clone())
        };
        match &self.field.spec.kind {
            FieldType::Choice(choices) => choices.iter().map(|choice| theirs(choice)).collect(),
            FieldType::Boolean => vec![theirs("true"), theirs("false")],
            _ => mapped.iter().map(|(_, theirs)| theirs.clone()).collect(),
        }
    }

    fn fit(&self) -> Fit {
        let form = self.field.forms.get(self.translation.side()).and_then(|form| form.dates.as_ref());
        let theirs = self.property.kind.as_str();
        let several = self.property.field_type == "checkbox";
        match (&self.field.spec.kind, theirs) {
            (FieldType::Any, _) => Fit::Good,
            (FieldType::String | FieldType::LongText, "string") => Fit::Good,
            (FieldType::String | FieldType::LongText, _) if !self.is_written() => Fit::Good,
            (FieldType::String | FieldType::LongText, "enumeration") => {
                Fit::Loose("it takes its options alone; `type: choice` says so")
            }
            (FieldType::Email | FieldType::Choice(_) | FieldType::List | FieldType::Set, "string") => Fit::Good,
            (FieldType::References(_), "string") => Fit::Good,
            (FieldType::Reference(_), "string" | "number") => Fit::Good,
            (FieldType::Reference(_), "enumeration") => Fit::Loose("it takes its options alone"),
            (FieldType::Choice(_), "enumeration") if several => {
                Fit::Loose("records with several options come in flagged; `type: set` takes them")
            }
            (FieldType::Choice(_), "enumeration" | "bool") => Fit::Good,
            (FieldType::List | FieldType::Set, "enumeration") if several => Fit::Good,
            (FieldType::List | FieldType::Set, "enumeration") => Fit::Loose("it takes one option at a time"),
            (FieldType::Integer | FieldType::Counter, "number") => Fit::Good,
            (FieldType::Decimal, "number") => Fit::Good,
            (FieldType::Boolean, "bool" | "enumeration") => Fit::Good,
            (FieldType::Date, "date") | (FieldType::Datetime, "datetime") => Fit::Good,
            (FieldType::Date | FieldType::Datetime, "number")
                if matches!(form, Some(DateForm::EpochMillis | DateForm::EpochSeconds)) =>
            {
                Fit::Good
            }
            (FieldType::Date, "datetime") => Fit::Wrong("times of day come in flagged; `type: datetime` takes them"),
            (FieldType::Datetime, "date") => Fit::Wrong("it takes no times of day; `type: date` fits"),
            (_, "string") => Fit::Loose("anything may be written there; what does not fit comes in flagged"),
            _ => Fit::Wrong("no value of the one fits the other"),
        }
    }
}

/// Whether values of a field can go both ways.
enum Fit {
    Good,
    Loose(&'static str),
    Wrong(&'static str),
}

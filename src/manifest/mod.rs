//! What a tenant has agreed: its sides, its record kinds, the rule of each field, who may see what.
//!
//! The manifest is YAML in the customer's own repository. Reading it goes three steps: `yaml` makes a
//! tree that knows the place of every key, `sides`, `records` and `permissions` turn the tree into the
//! types below and gather *all* faults, and [`schema()`] says the same to an editor. A changed manifest
//! is an event, so that the past is judged by the rules of its time; [`Manifest::canonical`] tells
//! whether two texts say the same.

mod attribution;
mod block;
mod check;
mod fault;
mod fields;
mod form;
mod limits;
mod permissions;
mod read;
mod records;
mod rule;
mod schema;
mod sides;
mod yaml;

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

pub use check::Check;
pub use fault::Fault;
pub use permissions::{FieldPattern, Role, Rows};
pub use schema::schema;

use crate::{
    codec,
    event::Author,
    field::{DeleteRule, FieldSpec, Form, Misfit, Rule},
    id::{FieldName, RecordId, SideName},
    limit::Limits,
    value::Value,
};

/// The longest manifest that is read; it has to fit into one event.
pub const TEXT_BYTES_MAX: usize = 1 << 19;

/// The name that stands for every kind or field without an entry of its own.
pub const ANY: &str = "*";

/// The manifest of a store that was opened without one: every field of every kind, the last write wins.
const BUILTIN: &str = "\
syncline: 1
tenant: default
sides:
  crm: { connector: none }
  portal: { connector: none }
defaults: { rule: last_write_wins }
records:
  \"*\": { fields: { \"*\": { type: any } } }
";

/// A manifest without faults.
#[derive(Clone, Debug, Serialize)]
pub struct Manifest {
    /// The tenant's name.
    pub tenant: String,
    /// What the sides call and sign, without a slash at its end; `/hooks/SIDE` follows.
    pub public_url: Option<String>,
    /// The sides in the order of the file.
    pub sides: Vec<Side>,
    /// The rule of fields whose kind has none either.
    pub default_rule: Rule,
    /// What deletes mean for kinds that do not say.
    pub default_deletes: DeleteRule,
    /// The record kinds by our name for them; [`ANY`] stands for the rest.
    pub records: BTreeMap<String, RecordKind>,
    /// The roles by name.
    pub permissions: BTreeMap<String, Role>,
    /// The text it was read from: what the log keeps.
    #[serde(skip)]
    pub text: String,
}

/// One party to the agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its name, as in origins and in `/hooks/SIDE`.
    pub name: SideName,
    /// How it is reached.
    pub connector: Connector,
    /// The tenant's account there.
    pub account: Option<String>,
    /// Our app's id there: marks our own writes in its events.
    pub app: Option<String>,
    /// Where its API is, without a slash at its end; `None`: the connector's own address.
    pub base_url: Option<String>,
    /// Where it takes our webhooks.
    pub deliver_to: Option<String>,
    /// Where its secrets are found.
    pub credentials: Credentials,
    /// How its changes are heard of.
    pub capture: Capture,
    /// How many calls it allows.
    pub quota: Quota,
    /// What its clock is good for.
    pub clock: SideClock,
    /// After how long without a word it counts as stale; `None`: never.
    pub staleness: Option<Duration>,
    /// When a flapping field is parked.
    pub cooldown: Cooldown,
}

/// The dialect a side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Connector {
    /// None: it is fed by imports and by the embedding program, and writes wait.
    None,
    /// HubSpot's CRM API.
    Hubspot,
    /// Standard Webhooks in both directions.
    Portal,
    /// The embedding program delivers the writes itself.
    InProcess,
}

/// Where a side's secrets are found; the secrets themselves are never in a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Credentials {
    /// The token that our calls carry.
    pub token: Option<Secret>,
    /// What webhooks are signed with: the present secret first, then older ones that are still accepted.
    pub webhook_secret: Vec<Secret>,
}

/// The place of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Secret {
    /// An environment variable.
    Env(String),
    /// A file whose content it is.
    File(String),
}

/// How a side's changes are heard of; each mode on its own or beside the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capture {
    /// The side calls us.
    pub webhooks: bool,
    /// How often we ask for what has changed.
    pub poll: Option<Duration>,
    /// How often everything is read back and compared.
    pub reconcile: Option<Duration>,
}

/// The most calls that a side allows; `None`: no limit of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// In any second.
    pub per_second: Option<u64>,
    /// In any ten seconds.
    pub per_10s: Option<u64>,
    /// In a day.
    pub per_day: Option<u64>,
}

/// What a side's clock is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SideClock {
    /// The step of its times: two edits within one step cannot be told apart by time.
    pub resolution: Duration,
    /// How far it may be off ours before that is an alarm.
    pub max_offset: Duration,
}

impl SideClock {
    /// The step in milliseconds.
    pub fn resolution_ms(&self) -> i64 {
        i64::try_from(self.resolution.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Default for SideClock {
    /// Milliseconds, and five minutes off at most.
    fn default() -> Self {
        SideClock { resolution: Duration::from_millis(1), max_offset: Duration::from_secs(300) }
    }
}

/// How often a field may flip between sides before it is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cooldown {
    /// The flips that are still fine.
    pub flips: u32,
    /// The time in which they are counted.
    pub within: Duration,
}

impl Default for Cooldown {
    /// Ten flips in ten minutes.
    fn default() -> Self {
        Cooldown { flips: 10, within: Duration::from_secs(600) }
    }
}

/// What a match by the fields of `match_on` is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum LinkRule {
    /// A suggestion: it waits for a person.
    #[default]
    Reviewed,
    /// Where it is certain, the records are linked; otherwise it waits.
    Certain,
}

/// What becomes of an edit whose write a side refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum RefusalRule {
    /// It stands, and its write is parked: it waits for a person.
    #[default]
    Parked,
    /// What the side shows stands again, also where it was edited, and the story says why.
    GivenBack,
}

/// A kind of record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordKind {
    /// The sides that have such records, with their name there; `None`: all sides, under our name.
    pub sides: Option<BTreeMap<SideName, String>>,
    /// The fields by which unlinked records are suggested to be the same, the most telling first.
    pub match_on: Vec<FieldName>,
    /// Whether a certain match counts at once.
    pub links: LinkRule,
    /// What becomes of an edit whose write was refused.
    pub refusals: RefusalRule,
    /// What becomes of a record that one side deleted and another edited.
    pub deletes: DeleteRule,
    /// The rule of its fields that have none of their own.
    pub rule: Rule,
    /// Its fields by our name for them; [`ANY`] stands for the rest.
    pub fields: BTreeMap<FieldName, Field>,
    /// The rules across its fields, in the order of the file.
    pub checks: Vec<Check>,
    /// The property in which a side is told who is behind a write, where it takes no author itself.
    pub author: BTreeMap<SideName, String>,
    /// The fields that name for whom a record was made.
    pub made_for: MadeFor,
}

/// The fields that name for whom a record was made: its author's contact and company.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MadeFor {
    /// The field for the contact.
    pub contact: Option<FieldName>,
    /// The field for the company.
    pub company: Option<FieldName>,
}

/// A field of a record kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// What merge and projection need to know of it.
    pub spec: FieldSpec,
    /// Whether a record has to have it.
    pub required: bool,
    /// What its values have to be beyond their type.
    pub limits: Limits,
    /// How sides write its values, where that differs from ours.
    pub forms: BTreeMap<SideName, Form>,
}

impl Field {
    /// Checks a value of the field by itself.
    ///
    /// # Errors
    /// With the first thing that does not fit; the value itself is never in the text.
    pub fn check(&self, value: &Value) -> Result<(), Misfit> {
        if self.required && value.is_null() {
            return Err(Misfit::Required);
        }
        self.spec.kind.check(value)?;
        self.limits.check(&self.spec.kind, value)
    }
}

impl RecordKind {
    /// The words that follow from who made a record on a side: for which contact and which company. A side whose edits of a
    /// field do not count says nothing of it.
    pub fn words_for(&self, side: &SideName, author: &Author) -> Vec<(FieldName, Value)> {
        let MadeFor { contact, company } = &self.made_for;
        let word = |field: &Option<FieldName>, id: &Option<Box<str>>| {
            let (name, id) = (field.as_ref()?, id.as_deref()?);
            let spec = &self.fields.get(name)?.spec;
            let kind = spec.kind.refers_to().filter(|_| spec.counts(side))?;
            // A side may name them by its own ids, or by ours.
            let ours = RecordId::new(id).ok().filter(|ours| ours.kind() == kind);
            let named = Value::text(&ours.or_else(|| RecordId::on_side(kind, side, id).ok())?);
            Some((name.clone(), if spec.kind.is_set() { Value::list([&named]) } else { named }))
        };
        word(contact, &author.contact).into_iter().chain(word(company, &author.company)).collect()
    }

    /// The kind's name on a side, `own` being ours; `None` where that side has no such records.
    pub fn name_on<'a>(&'a self, side: &str, own: &'a str) -> Option<&'a str> {
        match &self.sides {
            None => Some(own),
            Some(sides) => sides.get(side).map(String::as_str),
        }
    }

    /// The field of our name, or else the one that stands for the rest.
    pub fn field(&self, field: &str) -> Option<&Field> {
        self.fields.get(field).or_else(|| self.fields.get(ANY))
    }

    /// The field that a side calls `theirs`, with our name for it.
    pub fn field_named<'a>(&'a self, side: &str, theirs: &'a str) -> Option<(&'a str, &'a Field)> {
        let named = |(own, field): &(&'a FieldName, &'a Field)| {
            ***own != *ANY && field.spec.name_on(side, own).is_some_and(|name| name == theirs)
        };
        // A name of ours that a side uses for another field must not pass for the rest's.
        let rest = || self.fields.get(ANY).filter(|_| !self.fields.contains_key(theirs)).map(|field| (theirs, field));
        self.fields.iter().find(named).map(|(own, field)| (&**own, field)).or_else(rest)
    }
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// With every fault that was found, in the order of the text. A text that is not YAML has one fault,
    /// the place where it stops being YAML, since nothing after that can be trusted.
    pub fn parse(text: &str) -> Result<Manifest, Vec<Fault>> {
        read::read(text)
    }

    /// What holds without a manifest: sides `crm` and `portal` without connectors, any kind, any field, the last write wins.
    pub fn builtin() -> Manifest {
        Self::parse(BUILTIN).expect("the built-in manifest has no faults")
    }

    /// What is agreed on a field: by its own entry, else its kind's [`ANY`] field, else the [`ANY`] kind's; `None` if nothing is.
    pub fn field(&self, kind: &str, field: &str) -> Option<&FieldSpec> {
        self.whole_field(kind, field).map(|field| &field.spec)
    }

    /// As [`Manifest::field`], with what only the edges need: whether it is required, and its forms.
    pub fn whole_field(&self, kind: &str, field: &str) -> Option<&Field> {
        let of = |kind: &str| self.records.get(kind).and_then(|kind| kind.field(field));
        of(kind).or_else(|| of(ANY))
    }

    /// The record kind of our name, or else the one that stands for the rest.
    pub fn kind(&self, kind: &str) -> Option<&RecordKind> {
        self.records.get(kind).or_else(|| self.records.get(ANY))
    }

    /// The kind that a side calls `theirs`, with our name for it.
    pub fn kind_named<'a>(&'a self, side: &str, theirs: &'a str) -> Option<(&'a str, &'a RecordKind)> {
        let named = |(own, kind): &(&'a String, &'a RecordKind)| {
            *own != ANY && kind.name_on(side, own).is_some_and(|name| name == theirs)
        };
        let rest = || self.records.get(ANY).filter(|_| !self.records.contains_key(theirs)).map(|kind| (theirs, kind));
        self.records.iter().find(named).map(|(own, kind)| (own.as_str(), kind)).or_else(rest)
    }

    /// The side of this name.
    pub fn side(&self, name: &str) -> Option<&Side> {
        self.sides.iter().find(|side| *side.name == *name)
    }

    /// What becomes of a record of this kind that one side deleted and another edited.
    pub fn deletes(&self, kind: &str) -> DeleteRule {
        self.kind(kind).map_or(self.default_deletes, |kind| kind.deletes)
    }

    /// Bytes that two manifests share exactly if they mean the same: comments, layout, aliases and the order of keys aside.
    pub fn canonical(&self) -> Vec<u8> {
        let mut meaning = Manifest { text: String::new(), ..self.clone() };
        meaning.sides.sort_by(|a, b| a.name.cmp(&b.name));
        codec::encode(&meaning)
    }
}

impl PartialEq for Manifest {
    /// Whether both mean the same; their texts may differ.
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for Manifest {}

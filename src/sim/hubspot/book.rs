//! What an account holds: kinds of objects, their records, and every value with who set it and when.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{property::Property, stamp};
use crate::clock::Millis;

/// Who changed something, in the words of property history and of webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Such as `CRM_UI` or `INTEGRATION`.
    pub source: String,
    /// Such as `userId:7`, or an app's number.
    pub id: Option<String>,
    /// The user, where it was one.
    pub user: Option<u64>,
}

impl By {
    /// A user of the CRM.
    pub fn user(id: u64) -> Self {
        By { source: "CRM_UI".into(), id: Some(format!("userId:{id}")), user: Some(id) }
    }

    /// An app, through the API.
    pub fn app(id: u64) -> Self {
        By { source: "INTEGRATION".into(), id: Some(id.to_string()), user: None }
    }

    /// Any other source, such as `IMPORT` or `CALCULATED`, with its id.
    pub fn other(source: &str, id: Option<&str>) -> Self {
        By { source: source.into(), id: id.map(str::to_owned), user: None }
    }
}

/// A value that a property has, or had.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// Empty: cleared.
    pub value: String,
    pub at: Millis,
    pub by: By,
}

/// A record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub id: u64,
    /// Every property that was ever set, oldest value first.
    pub values: BTreeMap<String, Vec<Version>>,
    pub created: Millis,
    pub updated: Millis,
    pub archived: Option<Millis>,
    /// Ids that were merged into this one.
    pub losers: Vec<u64>,
    pub made_by: By,
}

impl Record {
    /// What a property shows; none where it was never set or is cleared.
    pub fn shows(&self, name: &str) -> Option<&str> {
        let newest = self.values.get(name)?.last()?;
        (!newest.value.is_empty()).then_some(newest.value.as_str())
    }

    /// What a property showed at a time.
    pub fn showed(&self, name: &str, at: Millis) -> Option<&str> {
        let version = self.values.get(name)?.iter().rev().find(|version| version.at <= at)?;
        (!version.value.is_empty()).then_some(version.value.as_str())
    }
}

/// A kind of objects.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub plural: String,
    pub singular: String,
    pub type_id: String,
    /// The property that holds when a record was made.
    pub created: &'static str,
    /// The property that holds when a record was changed.
    pub modified: &'static str,
    /// Properties that answers hold unasked.
    pub shown: Vec<String>,
    pub properties: BTreeMap<String, Property>,
    /// Groups of properties: name and label.
    pub groups: BTreeMap<String, String>,
    pub records: BTreeMap<u64, Record>,
    /// Property and value in small letters, to the live record that has it.
    pub unique: BTreeMap<(String, String), u64>,
    /// Ids that were merged away, and into what.
    pub merged: BTreeMap<u64, u64>,
    /// Ids that were deleted for good.
    pub purged: BTreeSet<u64>,
    /// Addresses that may not come back.
    pub blocked: BTreeSet<String>,
}

impl Kind {
    /// The id that stands for `id` now: the survivor of merges.
    pub fn survivor(&self, id: u64) -> u64 {
        let mut now = id;
        while let Some(next) = self.merged.get(&now) {
            now = *next;
        }
        now
    }

    /// The live or archived record that a request means by an id or by the value of a unique property.
    pub fn find(&self, id: &str, id_property: Option<&str>) -> Option<&Record> {
        match id_property.filter(|name| *name != "hs_object_id") {
            Some(name) => self.records.get(self.unique.get(&(name.to_owned(), id.to_lowercase()))?),
            None => self.records.get(&self.survivor(id.parse().ok()?)),
        }
    }

    /// Whether a property can be used as an id.
    pub fn is_unique(&self, name: &str) -> bool {
        name == "hs_object_id" || self.properties.get(name).is_some_and(|property| property.has_unique_value)
    }

    /// What any property shows, those that HubSpot keeps itself included, as of a time.
    pub fn value(&self, record: &Record, name: &str, at: Option<Millis>) -> Option<String> {
        match name {
            "hs_object_id" => Some(record.id.to_string()),
            "hs_object_source" => Some(record.made_by.source.clone()),
            "hs_object_source_id" => record.made_by.id.clone(),
            "hs_merged_object_ids" if record.losers.is_empty() => None,
            "hs_merged_object_ids" => Some(record.losers.iter().map(u64::to_string).collect::<Vec<_>>().join(";")),
            "hs_full_name_or_email" => {
                let names: Vec<&str> = ["firstname", "lastname"].iter().filter_map(|name| record.shows(name)).collect();
                if names.is_empty() { record.shows("email").map(str::to_owned) } else { Some(names.join(" ")) }
            }
            _ if name == self.created => Some(stamp(record.created)),
            _ if name == self.modified => {
                let seen = |limit: Millis| {
                    let times = record.values.values().flatten().map(|version| version.at);
                    times.filter(|time| *time <= limit).max().unwrap_or(record.created)
                };
                Some(stamp(at.filter(|limit| record.updated > *limit).map_or(record.updated, seen)))
            }
            _ => match at {
                Some(at) => record.showed(name, at),
                None => record.shows(name),
            }
            .map(str::to_owned),
        }
    }

    /// What a property shows, for comparing; the times that HubSpot keeps itself as milliseconds, which are quicker.
    pub fn compared(&self, record: &Record, name: &str, at: Option<Millis>) -> Option<String> {
        match name {
            _ if name == self.created => Some(record.created.0.to_string()),
            _ if name == self.modified && at.is_none() => Some(record.updated.0.to_string()),
            _ => self.value(record, name, at),
        }
    }

    /// A record as answers show it: the properties that were asked for, or those that are always shown.
    pub fn shown(&self, record: &Record, asked: &[String], at: Option<Millis>) -> Value {
        let mut properties = Map::new();
        let always = ["hs_object_id", self.created, self.modified].map(str::to_owned);
        let named = if asked.is_empty() { &self.shown } else { asked };
        for name in named.iter().chain(&always) {
            if self.properties.get(name).is_some_and(|property| !property.archived) {
                properties.insert(name.clone(), json!(self.value(record, name, at)));
            }
        }
        self.envelope(record, properties)
    }

    /// A record with everything that is set, as answers to writes show it.
    pub fn whole(&self, record: &Record) -> Value {
        let always = ["hs_object_id", self.created, self.modified, "hs_object_source", "hs_object_source_id"];
        let set = record.values.keys().map(String::as_str).filter(|name| record.shows(name).is_some());
        let names = set.chain(always);
        let properties = names.map(|name| (name.to_owned(), json!(self.value(record, name, None)))).collect();
        self.envelope(record, properties)
    }

    fn envelope(&self, record: &Record, properties: Map<String, Value>) -> Value {
        let mut shown = json!({
            "id": record.id.to_string(),
            "properties": properties,
            "createdAt": stamp(record.created),
            "updatedAt": stamp(record.updated),
            "archived": record.archived.is_some(),
        });
        if let Some(at) = record.archived {
            shown["archivedAt"] = json!(stamp(at));
        }
        shown
    }

    /// The past of properties, newest value first.
    pub fn past(&self, record: &Record, asked: &[String], max: usize) -> Value {
        let mut past = Map::new();
        for name in asked {
            let versions = record.values.get(name).map(Vec::as_slice).unwrap_or_default();
            let told = versions.iter().rev().take(max).map(|version| {
                let mut told = json!({
                    "value": version.value,
                    "timestamp": stamp(version.at),
                    "sourceType": version.by.source,
                });
                if let Some(id) = &version.by.id {
                    told["sourceId"] = json!(id);
                }
                if let Some(user) = version.by.user {
                    told["updatedByUserId"] = json!(user);
                }
                told
            });
            past.insert(name.clone(), told.collect());
        }
        Value::Object(past)
    }
}

/// Everything that an account holds, associations aside.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pub kinds: Vec<Kind>,
    pub next_id: u64,
}

impl Book {
    /// The place of a kind that is named in the plural, in the singular, by its type id or as `p123_name`.
    pub fn kind(&self, name: &str) -> Option<usize> {
        let bare = match name.split_once('_') {
            Some((account, rest)) if account.strip_prefix('p').is_some_and(|id| id.parse::<u64>().is_ok()) => rest,
            _ => name,
        };
        self.kinds.iter().position(|kind| {
            [&kind.plural, &kind.singular, &kind.type_id].into_iter().any(|own| own.eq_ignore_ascii_case(bare))
        })
    }

    /// A new id; ids of all kinds are from one row, with gaps, as HubSpot's are.
    pub fn mint(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1 + id % 3;
        id
    }
}

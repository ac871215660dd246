//! The records of a pretend portal: what each field shows, since when, by whom, and what it showed before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock::Millis;

/// Who does something on the portal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct By {
    /// A person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Another program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// The portal itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// We did: the key of the write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syncline: Option<String>,
    /// The contact who acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// The contact's company.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
}

impl By {
    /// A person.
    pub fn user(id: &str) -> Self {
        By { user: Some(id.to_owned()), ..By::default() }
    }

    pub(super) fn syncline(key: &str) -> Self {
        By { syncline: Some(key.to_owned()), ..By::default() }
    }

    fn json(&self) -> Option<Value> {
        (*self != By::default()).then(|| json!(self))
    }
}

/// What a field shows, or showed.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub value: Value,
    pub at: Millis,
    pub by: By,
}

/// A record.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// Each field's values, oldest first.
    pub fields: BTreeMap<String, Vec<Shown>>,
    pub modified: Millis,
    pub deleted: bool,
    /// The record that it was merged into.
    pub into: Option<String>,
    /// The name that the engine gave when it made the record.
    pub record: Option<String>,
}

impl Held {
    /// What the fields show, without cleared ones.
    pub fn values(&self) -> Map<String, Value> {
        let shown = self.fields.iter().filter_map(|(name, all)| Some((name.clone(), all.last()?.value.clone())));
        shown.filter(|(_, value)| !value.is_null()).collect()
    }

    pub fn value(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)?.last().map(|shown| &shown.value)
    }

    /// A time for a change: the clock's, but always after the record's last one.
    pub fn time(&self, now: Millis) -> Millis {
        now.max(self.modified.plus(1))
    }

    pub fn set(&mut self, field: &str, value: Value, at: Millis, by: &By, remembers: usize) {
        let all = self.fields.entry(field.to_owned()).or_default();
        all.push(Shown { value, at, by: by.clone() });
        let surplus = all.len().saturating_sub(remembers + 1);
        all.drain(..surplus);
        self.modified = self.modified.max(at);
    }

    /// The record as an answer shows it; no `fields` means all.
    pub fn answer(&self, id: &str, fields: &[String], field_times: bool) -> Value {
        let wanted = |name: &&String| fields.is_empty() || fields.contains(name);
        let mut shown = Map::new();
        for (name, all) in self.fields.iter().filter(|(name, _)| wanted(name)) {
            let Some((now, earlier)) = all.split_last() else { continue };
            let mut field = Map::new();
            field.insert("value".into(), now.value.clone());
            if field_times {
                field.insert("at".into(), json!(now.at.to_string()));
                field.extend(now.by.json().map(|by| ("by".into(), by)));
                let past = |past: &Shown| {
                    let mut json = json!({"value": past.value, "at": past.at.0});
                    if let Some(by) = past.by.json() {
                        json["by"] = by;
                    }
                    json
                };
                if !earlier.is_empty() {
                    field.insert("earlier".into(), earlier.iter().rev().map(past).collect());
                }
            }
            shown.insert(name.clone(), field.into());
        }
        json!({"id": id, "found": !self.deleted, "modified": self.modified.to_string(), "fields": if self.deleted { Map::new() } else { shown }})
    }
}

/// All records.
#[derive(Default)]
pub(super) struct Book {
    /// By kind and id.
    pub kinds: BTreeMap<String, BTreeMap<String, Held>>,
    ids: u64,
    /// The record that each write made, by its key.
    pub made: BTreeMap<String, (String, String)>,
}

impl Book {
    pub fn fresh_id(&mut self) -> String {
        self.ids += 1;
        format!("p{}", 1000 + self.ids)
    }

    /// The record that an id stands for, with the id under which it lives.
    pub fn find(&self, kind: &str, id: &str) -> Option<(String, &Held)> {
        let kind = self.kinds.get(kind)?;
        let mut id = id;
        // A chain of merges has an end, since a record is merged once.
        loop {
            let held = kind.get(id)?;
            match &held.into {
                Some(into) => id = into,
                None => return Some((id.to_owned(), held)),
            }
        }
    }

    pub fn get_mut(&mut self, kind: &str, id: &str) -> Option<&mut Held> {
        self.kinds.get_mut(kind)?.get_mut(id)
    }

    /// A living record of a kind whose field shows a value.
    pub fn with_value(&self, kind: &str, field: &str, value: &Value) -> Option<&str> {
        let same =
            |(_, held): &(&String, &Held)| !held.deleted && held.into.is_none() && held.value(field) == Some(value);
        self.kinds.get(kind)?.iter().find(same).map(|(id, _)| id.as_str())
    }

    pub fn state(&self) -> Value {
        let of = |held: &Held| json!({"fields": held.values(), "deleted": held.deleted, "into": held.into, "record": held.record, "modified": held.modified.0});
        let kinds = self.kinds.iter().map(|(kind, records)| {
            let records: Map<String, Value> = records.iter().map(|(id, held)| (id.clone(), of(held))).collect();
            (kind.clone(), records.into())
        });
        Value::Object(kinds.collect())
    }
}

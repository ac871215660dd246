//! How records change: made, written, archived, restored, merged, deleted for good.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    book::{Book, By, Kind, Record, Version},
    call::Answer,
    property::Invalid,
};
use crate::clock::Millis;

/// Properties and the values to write to them.
pub(super) type Values = BTreeMap<String, String>;

/// Something that webhooks tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    Created,
    Changed { property: String, value: String },
    Deleted,
    Restored,
    PrivacyDeleted,
    Merged { primary: u64, losers: Vec<u64>, moved: u64 },
}

/// A happening, and to which record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub kind: usize,
    pub id: u64,
    pub what: Happening,
}

/// Why a request on records was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Values that do not fit.
    Invalid(Vec<Invalid>),
    /// No such record.
    Missing,
    /// Another record has the unique value.
    Exists { singular: String, id: u64 },
}

impl Problem {
    /// As HubSpot answers it.
    pub fn answer(&self) -> Answer {
        match self {
            Problem::Missing => Answer::missing(),
            Problem::Exists { singular, id } => {
                let mut name = singular.clone();
                name[..1].make_ascii_uppercase();
                Answer::error(409, "CONFLICT", &format!("{name} already exists. Existing ID: {id}"))
            }
            Problem::Invalid(faults) => {
                let quoted: Vec<Value> = faults
                    .iter()
                    .map(|fault| {
                        json!({"isValid": false, "message": fault.message, "error": fault.code, "name": fault.property,
                               "localizedErrorMessage": fault.message})
                    })
                    .collect();
                let errors: Vec<Value> = faults
                    .iter()
                    .map(|fault| {
                        json!({"message": fault.message, "code": fault.code,
                               "context": {"propertyName": [fault.property]}})
                    })
                    .collect();
                Answer::bad(&format!("Property values were not valid: {}", json!(quoted))).with("errors", json!(errors))
            }
        }
    }
}

/// How changes are told and remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub history_max: usize,
    pub creation_tells_values: bool,
    pub same_value_tells: bool,
}

/// What a write did.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub id: u64,
    pub told: Vec<Told>,
    /// How many properties were written with the value that they had.
    pub same: u64,
    /// How many properties were changed.
    pub changed: u64,
}

impl Kind {
    /// The values in HubSpot's own form; a user may also write what is read-only to apps.
    pub fn checked(&self, values: &Values, own: Option<u64>, by: &By) -> Result<Values, Problem> {
        let mut checked = Values::new();
        let mut faults = Vec::new();
        for (name, value) in values {
            let Some(property) = self.properties.get(name).filter(|property| !property.archived) else {
                let message = format!("Property \"{name}\" does not exist");
                faults.push(Invalid { property: name.clone(), code: "PROPERTY_DOESNT_EXIST", message });
                continue;
            };
            // What HubSpot computes itself, it may write.
            let internal = by.user.is_none() && by.source != "INTEGRATION";
            let taken = if internal && !property.is_written() { Ok(value.clone()) } else { property.take(value) };
            match taken {
                Ok(value) => {
                    checked.insert(name.clone(), value);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(Problem::Invalid(faults));
        }
        self.unique(&checked, own)?;
        Ok(checked)
    }

    fn unique(&self, values: &Values, own: Option<u64>) -> Result<(), Problem> {
        for (name, value) in values.iter().filter(|(name, value)| !value.is_empty() && self.is_unique(name)) {
            let taken = self.unique.get(&(name.clone(), value.to_lowercase())).filter(|id| Some(**id) != own);
            match taken {
                Some(id) if name == "email" => {
                    return Err(Problem::Exists { singular: self.singular.clone(), id: *id });
                }
                Some(id) => {
                    let message = format!("{id} already has that value.");
                    let fault = Invalid { property: name.clone(), code: "CONFLICTING_UNIQUE_VALUE", message };
                    return Err(Problem::Invalid(vec![fault]));
                }
                None if name == "email" && self.blocked.contains(value) => {
                    let message = "This address was deleted for reasons of privacy and is blocked.".to_owned();
                    let fault = Invalid { property: name.clone(), code: "BLOCKLISTED_EMAIL", message };
                    return Err(Problem::Invalid(vec![fault]));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Puts the unique values of a record into the index, or takes them out.
    fn index(&mut self, id: u64, is_in: bool) {
        let Some(record) = self.records.get(&id) else { return };
        let has_unique = |name: &&String| self.properties.get(*name).is_some_and(|property| property.has_unique_value);
        let names = record.values.keys().filter(has_unique);
        let keys: Vec<(String, String)> =
            names.filter_map(|name| Some((name.clone(), record.shows(name)?.to_lowercase()))).collect();
        for key in keys {
            if is_in {
                self.unique.insert(key, id);
            } else if self.unique.get(&key) == Some(&id) {
                self.unique.remove(&key);
            }
        }
    }

    /// The live record behind an id of a request.
    pub fn live(&self, id: &str, id_property: Option<&str>) -> Result<u64, Problem> {
        let found = self.find(id, id_property).filter(|record| record.archived.is_none());
        found.map(|record| record.id).ok_or(Problem::Missing)
    }
}

impl Book {
    /// Makes a record.
    pub fn create(&mut self, kind: usize, values: &Values, by: &By, at: Millis, as_: Manner) -> Result<Done, Problem> {
        let checked = self.kinds[kind].checked(values, None, by)?;
        let id = self.mint();
        let own = &mut self.kinds[kind];
        let set = checked.into_iter().filter(|(_, value)| !value.is_empty());
        let values: BTreeMap<String, Vec<Version>> =
            set.map(|(name, value)| (name, vec![Version { value, at, by: by.clone() }])).collect();
        let mut told = vec![Told { kind, id, what: Happening::Created }];
        if as_.creation_tells_values {
            told.extend(values.iter().map(|(property, versions)| {
                let what = Happening::Changed { property: property.clone(), value: versions[0].value.clone() };
                Told { kind, id, what }
            }));
        }
        let changed = values.len() as u64;
        let record =
            Record { id, values, created: at, updated: at, archived: None, losers: Vec::new(), made_by: by.clone() };
        own.records.insert(id, record);
        own.index(id, true);
        Ok(Done { id, told, same: 0, changed })
    }

    /// Writes to a live record; properties that are not named stay as they are.
    pub fn patch(
        &mut self,
        kind: usize,
        id: u64,
        values: &Values,
        by: &By,
        at: Millis,
        as_: Manner,
    ) -> Result<Done, Problem> {
        let own = &mut self.kinds[kind];
        let checked = own.checked(values, Some(id), by)?;
        own.index(id, false);
        let mut done = Done { id, told: Vec::new(), same: 0, changed: 0 };
        let record = own.records.get_mut(&id).ok_or(Problem::Missing)?;
        for (property, value) in checked {
            let is_same = record.shows(&property).unwrap_or_default() == value;
            if is_same {
                done.same += 1;
            } else {
                done.changed += 1;
                let versions = record.values.entry(property.clone()).or_default();
                versions.push(Version { value: value.clone(), at, by: by.clone() });
                // An edit that is dated back falls into its place.
                versions.sort_by_key(|version| version.at);
                let surplus = versions.len().saturating_sub(as_.history_max.max(1));
                versions.drain(..surplus);
            }
            if !is_same || as_.same_value_tells {
                done.told.push(Told { kind, id, what: Happening::Changed { property, value } });
            }
        }
        if done.changed > 0 {
            record.updated = record.updated.max(at);
        }
        own.index(id, true);
        Ok(done)
    }

    /// Archives a live record.
    pub fn archive(&mut self, kind: usize, id: u64, at: Millis) -> Result<Vec<Told>, Problem> {
        let own = &mut self.kinds[kind];
        own.index(id, false);
        let record = own.records.get_mut(&id).filter(|record| record.archived.is_none()).ok_or(Problem::Missing)?;
        record.archived = Some(at);
        Ok(vec![Told { kind, id, what: Happening::Deleted }])
    }

    /// Brings an archived record back, under its id.
    pub fn restore(&mut self, kind: usize, id: u64, at: Millis) -> Result<Vec<Told>, Problem> {
        let own = &mut self.kinds[kind];
        let record = own.records.get_mut(&id).filter(|record| record.archived.is_some()).ok_or(Problem::Missing)?;
        record.archived = None;
        record.updated = record.updated.max(at);
        own.index(id, true);
        Ok(vec![Told { kind, id, what: Happening::Restored }])
    }

    /// Deletes a record for good; its address may not come back.
    pub fn purge(&mut self, kind: usize, id: u64) -> Result<Vec<Told>, Problem> {
        let own = &mut self.kinds[kind];
        own.index(id, false);
        let record = own.records.remove(&id).ok_or(Problem::Missing)?;
        own.purged.insert(id);
        if let Some(address) = record.shows("email") {
            own.blocked.insert(address.to_lowercase());
        }
        let what = [Happening::PrivacyDeleted, Happening::Deleted];
        Ok(what.into_iter().map(|what| Told { kind, id, what }).collect())
    }

    /// Merges `loser` into `primary`, under a third id where `mints`; answers the id that is left.
    ///
    /// Values of the primary stay where it has any; no change of a value is told.
    pub fn merge(
        &mut self,
        kind: usize,
        (primary, loser): (u64, u64),
        mints: bool,
        at: Millis,
    ) -> Result<(u64, Vec<Told>), Problem> {
        let live = |id: u64| self.kinds[kind].records.get(&id).is_some_and(|record| record.archived.is_none());
        if primary == loser || !live(primary) || !live(loser) {
            return Err(Problem::Missing);
        }
        let left = if mints { self.mint() } else { primary };
        let own = &mut self.kinds[kind];
        own.index(primary, false);
        own.index(loser, false);
        let (Some(kept), Some(gone)) = (own.records.remove(&primary), own.records.remove(&loser)) else {
            return Err(Problem::Missing);
        };
        let (mut record, moved) = united(kept, gone, left, at);
        let mut losers = vec![loser];
        if mints {
            record.losers.push(primary);
            losers.push(primary);
        }
        for id in &losers {
            own.merged.insert(*id, left);
        }
        own.records.insert(left, record);
        own.index(left, true);
        let what = Happening::Merged { primary, losers: vec![loser], moved };
        let mut told = vec![Told { kind, id: left, what }];
        told.extend(losers.into_iter().map(|id| Told { kind, id, what: Happening::Deleted }));
        Ok((left, told))
    }
}

/// Two records as one, and how many properties moved.
fn united(kept: Record, gone: Record, id: u64, at: Millis) -> (Record, u64) {
    let mut record = Record { id, updated: at, created: kept.created.min(gone.created), ..kept };
    let by = By::other("MERGE_OBJECTS", None);
    let mut moved = 0;
    let addresses: Vec<String> =
        [&record, &gone].iter().filter_map(|record| record.shows("email")).map(str::to_owned).collect();
    for (name, versions) in gone.values {
        let Some(newest) = versions.last().cloned() else { continue };
        let is_shown = record.shows(&name).is_some();
        let own = record.values.entry(name).or_default();
        // Where the primary shows a value it is the newest of the two pasts, whenever it was set.
        let limit = own.last().filter(|_| is_shown).map(|version| version.at);
        let earlier = versions.into_iter().filter(|version| limit.is_none_or(|limit| version.at < limit));
        let mut both: Vec<Version> = earlier.chain(own.drain(..)).collect();
        both.sort_by_key(|version| version.at);
        if !is_shown && !newest.value.is_empty() {
            moved += 1;
            both.push(Version { value: newest.value, at, by: by.clone() });
        }
        *own = both;
    }
    if let [first, second, ..] = &addresses[..] {
        let value = format!("{first};{second}");
        record.values.insert("hs_additional_emails".into(), vec![Version { value, at, by }]);
    }
    record.losers.push(gone.id);
    record.losers.extend(gone.losers);
    (record, moved)
}

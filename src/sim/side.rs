//! A pretend side: records under its own ids, with the time, the author and the past of every field.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ledger::{By, Journal},
    post::{Said, Webhook},
};
use crate::{
    clock::{Clock, HandClock, Millis},
    event::Author,
    id::{FieldName, RecordId, SideName},
    send::{Past, SeenField},
    value::Value,
};

/// How a side behaves.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Its name.
    pub name: SideName,
    /// The number before the first of its own ids.
    pub first_id: u64,
    /// Whether its records go by its own ids, as `KIND/SIDE:ID`; else by the names that all sides share.
    pub own_ids: bool,
    /// How far its clock is ahead of ours, in milliseconds.
    pub ahead: i64,
    /// Whether its webhooks and its history name us as the author of our writes.
    pub names_us: bool,
    /// Whether it sends one webhook a field, as HubSpot does, or one an edit.
    pub webhook_a_field: bool,
    /// How it puts values into its own form.
    pub normalise: fn(&str, &Value) -> Value,
    /// Why it refuses a value, if it does.
    pub refuse: fn(&str, &Value) -> Option<String>,
    /// How many older values of a field it remembers.
    pub remembers: usize,
}

/// What one field shows.
#[derive(Clone, Debug)]
struct Property {
    value: Value,
    changed: Millis,
    author: Author,
    /// Oldest first.
    earlier: Vec<Past>,
}

/// One record, as the side holds it.
#[derive(Clone, Debug)]
pub struct Held {
    id: Box<str>,
    fields: BTreeMap<FieldName, Property>,
    modified: Millis,
    deleted: bool,
    /// The record into which it was merged.
    into: Option<RecordId>,
    /// The ids of those that were merged into it.
    merged: Vec<Box<str>>,
}

/// A pretend side.
pub struct Side {
    manners: Manners,
    clock: HandClock,
    /// How far its clock is ahead of ours, in milliseconds.
    ahead: i64,
    /// What writes under which key have made, where records go by ids of their own.
    made: BTreeMap<String, RecordId>,
    records: BTreeMap<RecordId, Held>,
    ids: u64,
    outgoing: Vec<Webhook>,
    journal: Journal,
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Took {
    /// It took effect, at this time of the side, and the written fields now show these values.
    Effect(Millis, Vec<(FieldName, Value)>),
    /// The values of these fields are refused.
    Refused(String, Vec<FieldName>),
    /// There is no such record to change.
    Missing,
}

impl Side {
    /// A side without records, under the world's clock.
    pub fn new(manners: Manners, clock: HandClock, journal: Journal) -> Self {
        let (ids, ahead) = (manners.first_id, manners.ahead);
        let (records, made) = (BTreeMap::new(), BTreeMap::new());
        Side { manners, clock, ahead, made, records, ids, outgoing: Vec::new(), journal }
    }

    /// The side's name.
    pub fn name(&self) -> &SideName {
        &self.manners.name
    }

    /// The present time by the side's clock.
    pub fn now(&self) -> Millis {
        self.clock.now().plus(self.ahead)
    }

    /// How far its clock is ahead of ours, in milliseconds.
    pub fn ahead(&self) -> i64 {
        self.ahead
    }

    /// Puts its clock forward, or back.
    pub fn set_ahead(&mut self, ahead: i64) {
        self.ahead = ahead;
    }

    /// Whether its records go by its own ids.
    pub fn has_own_ids(&self) -> bool {
        self.manners.own_ids
    }

    /// Its record with one of its own ids, or the one into which that was merged.
    pub fn by_id(&self, kind: &str, id: &str) -> Option<RecordId> {
        let mut record = RecordId::on_side(kind, &self.manners.name, id).ok()?;
        while let Some(into) = &self.records.get(&record)?.into {
            record = into.clone();
        }
        Some(record)
    }

    /// The name of the next record that it makes, where records go by its own ids.
    pub fn next_name(&self, kind: &str) -> RecordId {
        let id = (self.ids + 1).to_string();
        RecordId::on_side(kind, &self.manners.name, &id).expect("a number is a good id")
    }

    /// The record that a write under this key has made.
    pub fn made_by(&self, key: &str) -> Option<RecordId> {
        let record = self.made.get(key)?;
        let id = self.id_of(record)?;
        self.by_id(record.kind(), &id)
    }

    /// All records that it ever had, with those that were deleted or merged away.
    pub fn all(&self) -> impl Iterator<Item = &RecordId> {
        self.records.keys()
    }

    /// The records that it has.
    pub fn records(&self) -> impl Iterator<Item = &RecordId> {
        self.records.iter().filter(|(_, held)| !held.deleted).map(|(record, _)| record)
    }

    /// Whether it has the record.
    pub fn has(&self, record: &str) -> bool {
        self.records.get(record).is_some_and(|held| !held.deleted)
    }

    /// Its own id for a record, also for one that it has deleted.
    pub fn id_of(&self, record: &str) -> Option<Box<str>> {
        self.records.get(record).map(|held| held.id.clone())
    }

    /// What a field shows; null if it was never set.
    pub fn shows(&self, record: &str, field: &str) -> Value {
        let property = self.records.get(record).filter(|held| !held.deleted).and_then(|held| held.fields.get(field));
        property.map_or_else(Value::null, |property| property.value.clone())
    }

    /// What a field showed last, also of a record that was deleted; null if it was never set.
    pub fn kept(&self, record: &str, field: &str) -> Value {
        let property = self.records.get(record).and_then(|held| held.fields.get(field));
        property.map_or_else(Value::null, |property| property.value.clone())
    }

    /// The record of a kind that shows this value, if it has one.
    pub fn find(&self, kind: &str, field: &str, value: &Value) -> Option<RecordId> {
        let all = self.records().filter(|record| record.kind() == kind);
        all.filter(|record| self.shows(record, field) == *value).min().cloned()
    }

    /// The webhooks since the last call, in the order in which they left.
    pub fn take_outgoing(&mut self) -> Vec<Webhook> {
        std::mem::take(&mut self.outgoing)
    }

    /// A user makes a record, or changes fields of one; what changes nothing is not said.
    ///
    /// # Panics
    /// If the record was deleted: nobody can edit it any more.
    pub fn edit(&mut self, record: &RecordId, author: &Author, set: &[(FieldName, Value)]) {
        let form = self.manners.normalise;
        let set: Vec<_> = set.iter().map(|(field, value)| (field.clone(), form(field, value))).collect();
        let made = !self.has(record);
        let at = self.stamp(record);
        assert!(!self.records.get(record).is_some_and(|held| held.deleted), "a deleted record cannot be edited");
        if made {
            self.make(record, at);
            self.journal.made(&self.manners.name, record, at, By::User);
        }
        let changed = self.put(record, &set, at, author, By::User);
        self.tell(if made { Said::Created } else { Said::Changed }, record, changed, at, author);
    }

    /// A user deletes a record.
    pub fn delete(&mut self, record: &RecordId, author: &Author) {
        let at = self.stamp(record);
        if self.remove(record, at) {
            self.journal.gone(&self.manners.name, record, at, By::User);
            self.tell(Said::Deleted, record, Vec::new(), at, author);
        }
    }

    /// A user brings a deleted record back as it was; false: it is not one that could be.
    pub fn restore(&mut self, record: &RecordId, author: &Author) -> bool {
        let at = self.stamp(record);
        let Some(held) = self.records.get_mut(record).filter(|held| held.deleted && held.into.is_none()) else {
            return false;
        };
        (held.deleted, held.modified) = (false, at);
        self.tell(Said::Restored, record, Vec::new(), at, author);
        true
    }

    /// A user merges two records: the survivor keeps what it has, and takes over what only the other one has; false: it
    /// has not both.
    pub fn merge(&mut self, survivor: &RecordId, loser: &RecordId, author: &Author) -> bool {
        if survivor == loser || !self.has(survivor) || !self.has(loser) {
            return false;
        }
        let at = self.stamp(survivor).max(self.stamp(loser));
        let gone = self.records.get_mut(loser).expect("it has both");
        (gone.deleted, gone.modified, gone.into) = (true, at, Some(survivor.clone()));
        let gone = gone.clone();
        let missing = |(field, property): (&FieldName, &Property)| {
            self.shows(survivor, field).is_null().then(|| (field.clone(), property.value.clone()))
        };
        let missing: Vec<_> = gone.fields.iter().filter_map(missing).collect();
        let held = self.records.get_mut(survivor).expect("it has both");
        held.merged.extend([gone.id].into_iter().chain(gone.merged));
        held.modified = at;
        self.tell(Said::Merged(loser.clone()), survivor, Vec::new(), at, author);
        self.tell(Said::Deleted, loser, Vec::new(), at, author);
        let changed = self.put(survivor, &missing, at, author, By::User);
        self.tell(Said::Changed, survivor, changed, at, author);
        true
    }

    /// Takes a write of ours that makes a record under an id of the side's own; the same order again makes another one.
    pub fn write_new(&mut self, kind: &str, key: &str, set: &[(FieldName, Value)]) -> (RecordId, Took) {
        let record = self.next_name(kind);
        let took = self.write(&record, true, set);
        if matches!(took, Took::Effect(..)) {
            self.made.insert(key.to_owned(), record.clone());
        }
        (record, took)
    }

    /// Takes a write of ours that deletes the record.
    pub fn write_delete(&mut self, record: &RecordId) -> Took {
        let at = self.stamp(record);
        if self.remove(record, at) {
            self.journal.gone(&self.manners.name, record, at, By::Write);
            self.tell(Said::Deleted, record, Vec::new(), at, &self.our_name());
        } else if let Some(held) = self.records.get_mut(record) {
            // It answers with a time, and whatever becomes of the record from now on follows that.
            held.modified = at;
        }
        Took::Effect(at, Vec::new())
    }

    /// Takes a write of ours to these fields; all of it, or nothing. A record that is there already is not made again.
    pub fn write(&mut self, record: &RecordId, create: bool, set: &[(FieldName, Value)]) -> Took {
        let at = self.stamp(record);
        let us = self.our_name();
        if !create && !self.has(record) {
            return Took::Missing;
        }
        let blame =
            |(field, value): &(FieldName, Value)| (self.manners.refuse)(field, value).map(|why| (field.clone(), why));
        let blamed: Vec<(FieldName, String)> = set.iter().filter_map(blame).collect();
        if let Some((_, why)) = blamed.first() {
            return Took::Refused(why.clone(), blamed.iter().map(|(field, _)| field.clone()).collect());
        }
        let made = !self.has(record);
        if made {
            self.make(record, at);
            self.journal.made(&self.manners.name, record, at, By::Write);
        }
        let form = self.manners.normalise;
        let formed: Vec<_> = set.iter().map(|(field, value)| (field.clone(), form(field, value))).collect();
        for ((field, sent), (_, formed)) in set.iter().zip(&formed) {
            self.journal.field(&self.manners.name, record, field, sent, at, By::Write);
            let is_news = formed != sent && self.shows(record, field) != *formed;
            if is_news {
                self.journal.field(&self.manners.name, record, field, formed, at, By::Side);
            }
        }
        let changed = self.put(record, &formed, at, &us, By::Write);
        self.records.get_mut(record).expect("it is there by now").modified = at;
        self.tell(if made { Said::Created } else { Said::Changed }, record, changed, at, &us);
        Took::Effect(at, formed)
    }

    /// The ids of the records that were merged into one.
    pub fn merged_into(&self, record: &str) -> Vec<Box<str>> {
        self.records.get(record).map(|held| held.merged.clone()).unwrap_or_default()
    }

    /// All that the side knows of a record's fields; `None`: it has no such record.
    pub fn read(&self, record: &str) -> Option<(Box<str>, Millis, Option<Vec<SeenField>>)> {
        let held = self.records.get(record)?;
        let seen = |(field, property): (&FieldName, &Property)| SeenField {
            field: field.clone(),
            value: property.value.clone(),
            changed: Some(property.changed),
            asked: None,
            author: property.author.clone(),
            earlier: property.earlier.iter().rev().cloned().collect(),
        };
        let mut fields: Vec<SeenField> = held.fields.iter().map(seen).collect();
        if self.manners.own_ids {
            // Such a side is asked for its fields by name, and says of each that is empty that it is.
            let known: BTreeSet<&FieldName> = self.records.values().flat_map(|held| held.fields.keys()).collect();
            let empty = known.into_iter().filter(|field| !held.fields.contains_key(*field));
            fields.extend(empty.map(|field| SeenField::plain(field.clone(), Value::null(), None)));
        }
        Some((held.id.clone(), held.modified, (!held.deleted).then_some(fields)))
    }

    fn our_name(&self) -> Author {
        if self.manners.names_us { Author::engine() } else { Author::default() }
    }

    /// The time of the next change of a record: changes of one record follow each other.
    fn stamp(&self, record: &str) -> Millis {
        let newest = self.records.get(record).map_or(Millis(i64::MIN), |held| held.modified.plus(1));
        self.now().max(newest)
    }

    fn make(&mut self, record: &RecordId, at: Millis) {
        self.ids += 1;
        let id = self.ids.to_string().into();
        let (fields, merged) = (BTreeMap::new(), Vec::new());
        self.records.insert(record.clone(), Held { id, fields, modified: at, deleted: false, into: None, merged });
    }

    fn remove(&mut self, record: &str, at: Millis) -> bool {
        let Some(held) = self.records.get_mut(record).filter(|held| !held.deleted) else { return false };
        (held.deleted, held.modified) = (true, at);
        true
    }

    /// Puts values into fields; returns those that changed something.
    fn put(
        &mut self,
        record: &RecordId,
        set: &[(FieldName, Value)],
        at: Millis,
        author: &Author,
        by: By,
    ) -> Vec<(FieldName, Value)> {
        let remembers = self.manners.remembers;
        let held = self.records.get_mut(record).expect("a record is made before its fields are set");
        let mut changed = Vec::new();
        for (field, value) in set {
            let old = held.fields.get(field);
            if old.map_or(value.is_null(), |old| old.value == *value) {
                continue;
            }
            if by == By::User {
                self.journal.field(&self.manners.name, record, field, value, at, by);
            }
            let mut earlier = Vec::new();
            if let Some(old) = held.fields.remove(field) {
                earlier = old.earlier;
                earlier.push(Past { value: old.value, at: old.changed, author: old.author });
                earlier.drain(..earlier.len().saturating_sub(remembers));
            }
            let property = Property { value: value.clone(), changed: at, author: author.clone(), earlier };
            held.fields.insert(field.clone(), property);
            held.modified = at;
            changed.push((field.clone(), value.clone()));
        }
        changed
    }

    fn tell(&mut self, said: Said, record: &RecordId, set: Vec<(FieldName, Value)>, at: Millis, author: &Author) {
        if said == Said::Changed && set.is_empty() {
            return;
        }
        let link = self.records[record].id.clone();
        let a_field = self.manners.webhook_a_field && said == Said::Changed;
        let (record, author) = (record.clone(), author.clone());
        let one = |set| Webhook {
            said: said.clone(),
            record: record.clone(),
            link: link.clone(),
            set,
            at,
            author: author.clone(),
        };
        if a_field {
            let each: Vec<Webhook> = set.into_iter().map(|word| one(vec![word])).collect();
            self.outgoing.extend(each);
        } else {
            let all = one(set);
            self.outgoing.push(all);
        }
    }
}

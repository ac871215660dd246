//! A pretend side: records under its own ids, with the time, the author and the past of every field.

use std::collections::BTreeMap;

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
    /// The first of its own ids.
    pub first_id: u64,
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
}

/// A pretend side.
pub struct Side {
    manners: Manners,
    clock: HandClock,
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
        let ids = manners.first_id;
        Side { manners, clock, records: BTreeMap::new(), ids, outgoing: Vec::new(), journal }
    }

    /// The side's name.
    pub fn name(&self) -> &SideName {
        &self.manners.name
    }

    /// The present time by the side's clock.
    pub fn now(&self) -> Millis {
        self.clock.now().plus(self.manners.ahead)
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

    /// Takes a write of ours that deletes the record.
    pub fn write_delete(&mut self, record: &RecordId) -> Took {
        let at = self.stamp(record);
        if self.remove(record, at) {
            self.journal.gone(&self.manners.name, record, at, By::Write);
            self.tell(Said::Deleted, record, Vec::new(), at, &self.our_name());
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
        Some((held.id.clone(), held.modified, (!held.deleted).then(|| held.fields.iter().map(seen).collect())))
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
        let held = Held { id: self.ids.to_string().into(), fields: BTreeMap::new(), modified: at, deleted: false };
        self.records.insert(record.clone(), held);
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
        let one = |set| Webhook { said, record: record.clone(), link: link.clone(), set, at, author: author.clone() };
        if self.manners.webhook_a_field && said == Said::Changed {
            let each: Vec<Webhook> = set.into_iter().map(|word| one(vec![word])).collect();
            self.outgoing.extend(each);
        } else {
            let all = one(set);
            self.outgoing.push(all);
        }
    }
}

//! The way webhooks take: late, twice, out of order, or never, as ordered from a seed.

use std::collections::BTreeMap;

use crate::{
    clock::Millis,
    event::Author,
    id::{FieldName, RecordId},
    send::chance::Chance,
    value::Value,
};

/// What a webhook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A record was made, with these fields.
    Created,
    /// Fields changed.
    Changed,
    /// A record was deleted.
    Deleted,
    /// A deleted record is back.
    Restored,
    /// Another record was merged into this one.
    Merged(RecordId),
}

/// One webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// What it says.
    pub said: Said,
    /// The record, by the name that both sides keep for it.
    pub record: RecordId,
    /// The side's own id.
    pub link: Box<str>,
    /// The fields, with their values.
    pub set: Vec<(FieldName, Value)>,
    /// When, by the side's clock.
    pub at: Millis,
    /// Who did it.
    pub author: Author,
}

/// What goes wrong on the way, each so many times in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Webhooks that come twice.
    pub twice: u32,
    /// Webhooks that come late, and so after later ones.
    pub late: u32,
    /// Webhooks that never come.
    pub lost: u32,
    /// The usual time on the way, at least and at most, in milliseconds.
    pub takes: (i64, i64),
    /// The time of late ones.
    pub takes_late: (i64, i64),
    /// Calls that take effect and whose answer is lost.
    pub unanswered: u32,
    /// Writes that take effect and that an answer of success does not speak of.
    pub omitted: u32,
    /// Calls that a busy side puts off.
    pub busy: u32,
}

/// Webhooks on their way from one side.
pub struct Post {
    /// What goes wrong.
    pub faults: Faults,
    chance: Chance,
    under_way: BTreeMap<(Millis, u64), Webhook>,
    number: u64,
    /// How many never come, and how many come once more.
    pub lost: u64,
    /// How many come once more.
    pub doubled: u64,
}

impl Post {
    /// An empty way with these faults.
    pub fn new(faults: Faults, chance: Chance) -> Self {
        Post { faults, chance, under_way: BTreeMap::new(), number: 0, lost: 0, doubled: 0 }
    }

    /// Sends webhooks on their way at `now`, our time.
    pub fn send(&mut self, webhooks: Vec<Webhook>, now: Millis) {
        for webhook in webhooks {
            if self.chance.permille(self.faults.lost) {
                self.lost += 1;
                continue;
            }
            if self.chance.permille(self.faults.twice) {
                self.doubled += 1;
                self.put(webhook.clone(), now);
            }
            self.put(webhook, now);
        }
    }

    fn put(&mut self, webhook: Webhook, now: Millis) {
        let late = self.chance.permille(self.faults.late);
        let (from, to) = if late { self.faults.takes_late } else { self.faults.takes };
        let arrives = now.plus(self.chance.within(from, to));
        self.number += 1;
        self.under_way.insert((arrives, self.number), webhook);
    }

    /// The webhooks that have arrived by `now`, in the order of their arrival.
    ///
    /// They stay under way until [`Post::acknowledge`]: who does not answer a webhook gets it again.
    pub fn arrived(&self, now: Millis) -> Vec<Webhook> {
        self.under_way.range(..=(now, u64::MAX)).map(|(_, webhook)| webhook.clone()).collect()
    }

    /// How many are under way.
    pub fn waiting(&self) -> usize {
        self.under_way.len()
    }

    /// One of those under way, by its number among them in order of their arrival.
    pub fn nth(&self, nth: usize) -> Option<&Webhook> {
        self.under_way.values().nth(nth)
    }

    /// Takes one of those under way off it, by its number among them.
    pub fn take(&mut self, nth: usize) -> Option<Webhook> {
        let key = *self.under_way.keys().nth(nth)?;
        self.under_way.remove(&key)
    }

    /// Notes that what has arrived by `now` was answered.
    pub fn acknowledge(&mut self, now: Millis) {
        self.under_way = self.under_way.split_off(&(now, u64::MAX));
    }

    /// When the next webhook arrives.
    pub fn next(&self) -> Option<Millis> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }
}

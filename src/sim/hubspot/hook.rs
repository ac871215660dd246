//! Webhooks on their way out: what is told, to whom it is due, and what becomes of each attempt.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{clock::Millis, send::chance::Chance};

/// The attempts after the first; then a notification is dropped.
const RETRIES_MAX: u32 = 10;
/// When the retries are due after the first attempt, in minutes; HubSpot's own schedule is not published, only that it
/// spreads over 24 hours.
const RETRY_MINUTES: [i64; 10] = [1, 5, 15, 45, 90, 180, 360, 600, 960, 1400];

/// What an app has subscribed to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subscription {
    #[serde(default)]
    pub id: u64,
    pub event_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_type_id: Option<String>,
    #[serde(default)]
    pub active: bool,
}

/// One notification on its way.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub body: Map<String, Value>,
    pub attempt: u32,
    pub due: Millis,
    /// When it was first under way.
    pub first: Option<Millis>,
    /// Its place among those that are due at the same time.
    pub place: u64,
}

/// What becomes of one notification besides being sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    pub lost: bool,
    /// Sent twice: under the same event id, or under two.
    pub doubled: Option<bool>,
    pub delay: i64,
    pub attempt: u32,
    pub bare: bool,
    pub shuffled: bool,
    pub alone: bool,
}

/// How much was sent, and what became of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct HookCounts {
    /// Notifications made.
    pub made: u64,
    /// Those of them that tell the app's own writes.
    pub echoes: u64,
    /// Notifications that were answered well.
    pub delivered: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Requests that were not answered with success.
    pub failed: u64,
    /// Notifications that were lost on order.
    pub lost: u64,
    /// Notifications that were given up after ten retries.
    pub given_up: u64,
    /// Notifications made, by type.
    pub by_type: BTreeMap<String, u64>,
    /// Answers to requests, by status; 0 is none.
    pub by_status: BTreeMap<u16, u64>,
}

/// All webhooks of an account.
#[derive(Clone, Debug)]
pub(super) struct Hooks {
    /// None: every property of every kind.
    pub subscriptions: Option<Vec<Subscription>>,
    ids: BTreeMap<String, u64>,
    waiting: BTreeMap<(Millis, u64), Notice>,
    place: u64,
    pub under_way: u64,
    pub counts: HookCounts,
    /// The last notifications made, to look at.
    pub recent: VecDeque<Value>,
    chance: Chance,
}

/// How long one that is reordered may be held back, in milliseconds.
const HELD_BACK_MS: i64 = 2000;
/// How many notifications are kept to look at.
const RECENT_MAX: usize = 1000;

impl Hooks {
    pub fn new(chance: Chance) -> Self {
        Hooks {
            subscriptions: None,
            ids: BTreeMap::new(),
            waiting: BTreeMap::new(),
            place: 0,
            under_way: 0,
            counts: HookCounts::default(),
            recent: VecDeque::new(),
            chance,
        }
    }

    /// The subscription that a happening falls under, if the app has one.
    pub fn subscription(&mut self, event: &str, property: Option<&str>, type_id: Option<&str>) -> Option<u64> {
        if let Some(all) = &self.subscriptions {
            let fits = |of: &&Subscription| {
                let type_fits = type_id.is_none() || of.object_type_id.as_deref() == type_id;
                of.active && of.event_type == event && of.property_name.as_deref() == property && type_fits
            };
            return all.iter().find(fits).map(|of| of.id);
        }
        let key = format!("{event} {} {}", property.unwrap_or_default(), type_id.unwrap_or_default());
        let next = 7_562_680 + self.ids.len() as u64;
        Some(*self.ids.entry(key).or_insert(next))
    }

    /// Puts a notification on its way.
    pub fn push(&mut self, mut body: Map<String, Value>, due: Millis, fate: Fate) {
        body.insert("eventId".into(), json!(1 + self.chance.below(1 << 32)));
        body.insert("attemptNumber".into(), json!(fate.attempt));
        self.counts.made += 1;
        let named = body.get("subscriptionType").and_then(Value::as_str).unwrap_or_default().to_owned();
        *self.counts.by_type.entry(named).or_default() += 1;
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Value::Object(body.clone()));
        if fate.lost {
            self.counts.lost += 1;
            return;
        }
        if fate.bare {
            body.remove("subscriptionId");
        }
        let held_back = if fate.shuffled { self.chance.within(0, HELD_BACK_MS) } else { 0 };
        let due = due.plus(fate.delay + held_back);
        let notice = Notice { body, attempt: fate.attempt, due, first: None, place: 0 };
        if let Some(same_id) = fate.doubled {
            let mut copy = notice.clone();
            if !same_id {
                copy.body.insert("eventId".into(), json!(1 + self.chance.below(1 << 32)));
            }
            self.wait(copy, fate);
        }
        self.wait(notice, fate);
    }

    fn wait(&mut self, mut notice: Notice, fate: Fate) {
        self.place += 1;
        // Reordering within what is due together: a place among its neighbours; alone: a request of its own.
        let moved = if fate.shuffled { self.chance.below(64) } else { 0 };
        notice.place = ((self.place + moved) << 21) | ((self.place & 0xf_ffff) << 1) | u64::from(fate.alone);
        self.waiting.insert((notice.due, notice.place), notice);
    }

    /// The next webhook that is due, at most `max` notifications; it is under way from now on.
    pub fn take(&mut self, now: Millis, max: usize) -> Option<Vec<Notice>> {
        let mut batch: Vec<Notice> = Vec::new();
        while batch.len() < max.max(1) {
            let Some(entry) = self.waiting.first_entry() else { break };
            let alone = entry.get().place & 1 == 1;
            if entry.key().0 > now || alone && !batch.is_empty() {
                break;
            }
            let mut notice = entry.remove();
            notice.first.get_or_insert(now);
            batch.push(notice);
            if alone {
                break;
            }
        }
        self.under_way += batch.len() as u64;
        (!batch.is_empty()).then_some(batch)
    }

    /// Settles an attempt: what was answered well is done, the rest waits for its retry.
    pub fn settle(&mut self, batch: Vec<Notice>, status: u16, now: Millis, scale: f64) {
        let count = batch.len() as u64;
        self.under_way = self.under_way.saturating_sub(count);
        self.counts.requests += 1;
        *self.counts.by_status.entry(status).or_default() += 1;
        if (200..300).contains(&status) {
            self.counts.delivered += count;
            return;
        }
        self.counts.failed += 1;
        for mut notice in batch {
            if notice.attempt >= RETRIES_MAX {
                self.counts.given_up += 1;
                continue;
            }
            // Each notification waits by its own chance, so that a failed batch comes back in other company.
            let step = |attempt: u32| RETRY_MINUTES.get(attempt as usize).copied().unwrap_or(1400);
            let before = if notice.attempt == 0 { 0 } else { step(notice.attempt - 1) };
            let wait = (step(notice.attempt) - before) * 60_000;
            let varied = wait * self.chance.within(80, 120) / 100;
            notice.attempt += 1;
            notice.due = now.plus((varied as f64 * scale) as i64);
            notice.body.insert("attemptNumber".into(), json!(notice.attempt));
            let fate = Fate { shuffled: true, ..Fate::default() };
            self.wait(notice, fate);
        }
    }

    /// Makes everything that waits due now.
    pub fn flush(&mut self, now: Millis) {
        for (_, mut notice) in std::mem::take(&mut self.waiting) {
            notice.due = notice.due.min(now);
            self.waiting.insert((notice.due, notice.place), notice);
        }
    }

    /// Forgets what waits: there is nobody to tell.
    pub fn throw_away(&mut self) {
        self.waiting.clear();
    }

    /// How many notifications wait or are under way.
    pub fn pending(&self) -> u64 {
        self.waiting.len() as u64 + self.under_way
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Millis> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(count: u64, fate: Fate) -> Hooks {
        let mut hooks = Hooks::new(Chance::new(1));
        for number in 0..count {
            hooks.push(json!({"objectId": number}).as_object().cloned().unwrap_or_default(), Millis(0), fate);
        }
        hooks
    }

    fn ids(batch: &[Notice]) -> Vec<u64> {
        batch.iter().filter_map(|notice| notice.body["objectId"].as_u64()).collect()
    }

    #[test]
    fn a_webhook_holds_at_most_a_hundred_in_their_order() {
        let mut hooks = hooks(130, Fate::default());
        let first = hooks.take(Millis(0), 100).expect("due");
        assert_eq!(ids(&first), (0..100).collect::<Vec<_>>());
        assert_eq!(hooks.take(Millis(0), 100).expect("due").len(), 30);
        assert_eq!(hooks.pending(), 130, "both are under way");
    }

    #[test]
    fn what_fails_comes_back_ten_times_over_a_day_and_is_then_given_up() {
        let mut hooks = hooks(1, Fate::default());
        let mut now = Millis(0);
        let mut attempts = Vec::new();
        while let Some(due) = hooks.next_due() {
            now = now.max(due);
            let batch = hooks.take(now, 100).expect("due");
            attempts.push(batch[0].body["attemptNumber"].as_u64().expect("a number"));
            hooks.settle(batch, 500, now, 1.0);
        }
        assert_eq!(attempts, (0..=10).collect::<Vec<_>>());
        assert!((18..30).contains(&(now.0 / 3_600_000)), "it took {now}");
        assert_eq!((hooks.counts.given_up, hooks.pending()), (1, 0));
    }

    #[test]
    fn reordered_ones_all_come_in_another_order() {
        let mut hooks = hooks(50, Fate { shuffled: true, ..Fate::default() });
        let mut seen = ids(&hooks.take(Millis(HELD_BACK_MS), 100).expect("due"));
        assert_ne!(seen, (0..50).collect::<Vec<_>>());
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn those_that_are_regrouped_come_alone() {
        let mut hooks = hooks(3, Fate { alone: true, ..Fate::default() });
        assert_eq!(hooks.take(Millis(0), 100).expect("due").len(), 1);
        assert_eq!(hooks.take(Millis(0), 100).expect("due").len(), 1);
    }

    #[test]
    fn a_double_has_the_same_event_id_or_another() {
        for same in [true, false] {
            let mut hooks = hooks(1, Fate { doubled: Some(same), ..Fate::default() });
            let batch = hooks.take(Millis(0), 100).expect("due");
            assert_eq!(batch.len(), 2);
            assert_eq!(batch[0].body["eventId"] == batch[1].body["eventId"], same);
        }
    }
}

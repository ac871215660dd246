//! A pretend portal: its records, what users do with them, and what it has to tell.

use std::sync::{Arc, Mutex, MutexGuard};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::{
    book::{Book, By, Held},
    fault::{Faults, Order},
    post::{Post, Posts},
    rules,
    settings::Settings,
    sign::Signer,
};
use crate::{
    clock::{Clock, Millis},
    send::chance::Chance,
};

/// There is no such record, or it is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the portal has no {kind} {id}")]
pub struct NoRecord {
    /// The kind.
    pub kind: String,
    /// The id.
    pub id: String,
}

/// What a user does to one record.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The kind.
    pub kind: String,
    /// The record; none: a new one.
    #[serde(default)]
    pub id: Option<String>,
    /// The fields and their values.
    #[serde(default)]
    pub set: Map<String, Value>,
    /// Who.
    #[serde(default)]
    pub by: By,
    /// Whether no message is made of it.
    #[serde(default)]
    pub silent: bool,
}

/// A pretend portal. Clones are the same portal.
#[derive(Clone)]
pub struct Portal(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    signer: Signer,
    state: Mutex<State>,
    woken: Notify,
}

/// What is behind the portal's lock.
pub(super) struct State {
    pub settings: Settings,
    pub book: Book,
    pub faults: Faults,
    pub posts: Posts,
    pub counts: Counts,
    pub away_until: Millis,
    jitter: Chance,
    seq: u64,
}

/// What was asked of the portal.
#[derive(Default)]
pub(super) struct Counts {
    /// Messages of ours, by type and status.
    pub messages: std::collections::BTreeMap<String, u64>,
    /// Writes that took effect.
    pub writes: u64,
    /// Field values in them.
    pub values: u64,
    /// Values that the field showed already.
    pub needless: u64,
    /// Writes whose key was known.
    pub repeated: u64,
    /// Writes that were refused.
    pub refused: u64,
    /// Records that were shown, in answers to questions.
    pub shown: u64,
    /// The largest body of ours, in bytes.
    pub body_bytes_most: usize,
}

/// A message on its way.
pub(super) struct Outgoing {
    pub number: u64,
    pub url: String,
    pub headers: [(&'static str, String); 3],
    pub body: Vec<u8>,
}

/// The present, by which everything of one request or edit happens.
#[derive(Clone, Copy)]
pub(super) struct Present {
    /// The true time, by which messages wait.
    pub now: Millis,
    /// The portal's own.
    pub said: Millis,
}

impl Portal {
    /// A portal without records.
    pub fn new(settings: Settings, signer: Signer, clock: Arc<dyn Clock>) -> Self {
        let mut chance = Chance::new(settings.seed);
        let state = State {
            faults: Faults::new(chance.fork()),
            jitter: chance.fork(),
            settings,
            book: Book::default(),
            posts: Posts::default(),
            counts: Counts::default(),
            away_until: Millis(i64::MIN),
            seq: 0,
        };
        Portal(Arc::new(Inner { clock, signer, state: Mutex::new(state), woken: Notify::new() }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("a pretend portal does not panic")
    }

    pub(super) fn present(&self, state: &State) -> Present {
        let now = self.0.clock.now();
        Present { now, said: now.plus(state.settings.ahead_ms) }
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.0.signer
    }

    /// The true time.
    pub fn now(&self) -> Millis {
        self.0.clock.now()
    }

    /// Changes the settings.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.lock().settings);
        self.0.woken.notify_waiters();
    }

    /// Lets messages go to this URL.
    pub fn webhooks_to(&self, url: &str) {
        self.set(|settings| settings.webhooks_to = Some(url.to_owned()));
    }

    /// The settings.
    pub fn settings(&self) -> Settings {
        self.lock().settings.clone()
    }

    /// Orders a fault.
    pub fn order(&self, order: Order) {
        self.lock().faults.orders.push(order);
    }

    /// Ends all faults, and an outage.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.faults.orders.clear();
        state.away_until = Millis(i64::MIN);
        state.posts.refused = false;
        drop(state);
        self.0.woken.notify_waiters();
    }

    /// Is away for a while: everything is answered 503, and nothing is sent.
    pub fn outage(&self, for_ms: i64) {
        let until = self.now().plus(for_ms);
        self.lock().away_until = until;
    }

    /// Makes a record as a user and returns its id.
    pub fn create(&self, kind: &str, set: Value, by: &By) -> String {
        let change = Change { kind: kind.to_owned(), id: None, set: map(set), by: by.clone(), silent: false };
        let made = self.edit_many(vec![change]);
        made.ok().and_then(|mut ids| ids.pop()).expect("a new record is always made")
    }

    /// Edits a record as a user.
    ///
    /// # Errors
    /// If there is none.
    pub fn edit(&self, kind: &str, id: &str, set: Value, by: &By) -> Result<(), NoRecord> {
        self.edit_one(kind, id, set, by, false)
    }

    /// As [`Portal::edit`], and tells nobody.
    ///
    /// # Errors
    /// If there is no such record.
    pub fn edit_silently(&self, kind: &str, id: &str, set: Value, by: &By) -> Result<(), NoRecord> {
        self.edit_one(kind, id, set, by, true)
    }

    fn edit_one(&self, kind: &str, id: &str, set: Value, by: &By, silent: bool) -> Result<(), NoRecord> {
        let id = Some(id.to_owned());
        self.edit_many(vec![Change { kind: kind.to_owned(), id, set: map(set), by: by.clone(), silent }]).map(|_| ())
    }

    /// Makes and edits records, and tells it all in one message of each type; returns their ids.
    ///
    /// # Errors
    /// If one of them is not there; those before it are done.
    pub fn edit_many(&self, changes: Vec<Change>) -> Result<Vec<String>, NoRecord> {
        let mut state = self.lock();
        let present = self.present(&state);
        let (mut created, mut changed, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let mut done = Ok(());
        for change in changes {
            let is_new = change.id.is_none();
            let id = change.id.unwrap_or_else(|| state.book.fresh_id());
            match state.user_sets(&change.kind, &id, is_new, change.set, &change.by, present) {
                Some(told) if !change.silent && is_new => created.push(told),
                Some(told) if !change.silent => changed.push(told),
                Some(_) => {}
                None => {
                    done = Err(NoRecord { kind: change.kind, id });
                    break;
                }
            }
            ids.push(id);
        }
        state.tell("record.created", created, present);
        state.tell("record.changed", changed, present);
        drop(state);
        self.0.woken.notify_waiters();
        done.map(|()| ids)
    }

    /// Deletes a record as a user.
    ///
    /// # Errors
    /// If there is none.
    pub fn delete(&self, kind: &str, id: &str, by: &By) -> Result<(), NoRecord> {
        self.existence(kind, id, by, true)
    }

    /// Brings a record back as a user.
    ///
    /// # Errors
    /// If there was none.
    pub fn restore(&self, kind: &str, id: &str, by: &By) -> Result<(), NoRecord> {
        self.existence(kind, id, by, false)
    }

    fn existence(&self, kind: &str, id: &str, by: &By, delete: bool) -> Result<(), NoRecord> {
        let mut state = self.lock();
        let present = self.present(&state);
        let missing = || NoRecord { kind: kind.to_owned(), id: id.to_owned() };
        let held = state.book.get_mut(kind, id).filter(|held| held.deleted != delete && held.into.is_none());
        let held = held.ok_or_else(missing)?;
        let at = held.time(present.said);
        (held.deleted, held.modified) = (delete, at);
        let topic = if delete { "record.deleted" } else { "record.restored" };
        let change = state.change(kind, id, at, by, []);
        state.tell(topic, vec![change], present);
        drop(state);
        self.0.woken.notify_waiters();
        Ok(())
    }

    /// Merges records into one as a user: it keeps its values and takes those that it lacks.
    ///
    /// # Errors
    /// If one of them is not there.
    pub fn merge(&self, kind: &str, survivor: &str, losers: &[&str], by: &By) -> Result<(), NoRecord> {
        let mut state = self.lock();
        let present = self.present(&state);
        for id in losers.iter().chain([&survivor]) {
            let lives = state.book.kinds.get(kind).and_then(|kind| kind.get(*id)).is_some_and(Held::lives);
            if !lives {
                return Err(NoRecord { kind: kind.to_owned(), id: (*id).to_owned() });
            }
        }
        let remembers = state.settings.remembers;
        let mut at = present.said;
        for loser in losers {
            let gone = state.book.get_mut(kind, loser).expect("it was just there");
            gone.into = Some(survivor.to_owned());
            let values = gone.values();
            let held = state.book.get_mut(kind, survivor).expect("it was just there");
            at = held.time(at);
            held.modified = at;
            for (name, value) in values {
                if held.value(&name).is_none_or(Value::is_null) {
                    held.set(&name, value, at, by, remembers);
                }
            }
        }
        let change = state.change(kind, survivor, at, by, [("absorbed".to_owned(), json!(losers))]);
        state.tell("record.merged", vec![change], present);
        drop(state);
        self.0.woken.notify_waiters();
        Ok(())
    }

    /// What a field shows; null if it shows nothing, none if there is no such record.
    pub fn shows(&self, kind: &str, id: &str, field: &str) -> Option<Value> {
        let state = self.lock();
        let (_, held) = state.book.find(kind, id).filter(|(_, held)| !held.deleted)?;
        Some(held.value(field).cloned().unwrap_or(Value::Null))
    }

    /// The ids of the living records of a kind.
    pub fn ids(&self, kind: &str) -> Vec<String> {
        let state = self.lock();
        let living = state.book.kinds.get(kind).into_iter().flatten().filter(|(_, held)| held.lives());
        living.map(|(id, _)| id.clone()).collect()
    }

    /// All records, as `/_sim/state` shows them.
    pub fn state(&self) -> Value {
        self.lock().book.state()
    }

    /// What happened so far, as `/_sim/counts` shows it.
    pub fn counts(&self) -> Value {
        self.lock().counted()
    }

    /// How many messages wait, or are under way.
    pub fn posts_pending(&self) -> usize {
        self.lock().posts.pending()
    }

    /// Sends all messages that wait now, whenever they were due.
    pub fn hurry(&self) {
        let now = self.now();
        self.lock().posts.hurry(now);
        self.0.woken.notify_waiters();
    }

    /// Waits until no message is due or under way; at once if there is nowhere to send them.
    pub async fn settled(&self) {
        loop {
            let woken = self.0.woken.notified();
            let is_busy = {
                let state = self.lock();
                state.settings.webhooks_to.is_some() && state.posts.is_busy(self.now())
            };
            if !is_busy {
                return;
            }
            woken.await;
        }
    }

    pub(super) async fn woken(&self) {
        self.0.woken.notified().await;
    }

    /// The next message that is due, signed for this attempt.
    pub(super) fn next_post(&self) -> Option<Outgoing> {
        let mut state = self.lock();
        let now = self.now();
        let url = state.settings.webhooks_to.clone().filter(|_| state.away_until <= now)?;
        let (number, Post { id, body, wrong_signature, .. }) = state.posts.next(now)?;
        let seconds = now.0.div_euclid(1000);
        let signed: &[u8] = if wrong_signature { b"something else" } else { &body };
        let signature = self.0.signer.sign(&id, seconds, signed);
        let headers =
            [("webhook-id", id), ("webhook-timestamp", seconds.to_string()), ("webhook-signature", signature)];
        Some(Outgoing { number, url, headers, body })
    }

    /// Notes what we answered to a message; 0: nothing.
    pub(super) fn post_ended(&self, number: u64, status: u16, after_ms: Option<i64>) {
        let now = self.now();
        let mut state = self.lock();
        let (scale, jitter) = (state.settings.retry_scale, state.jitter.below(1000) as f64 / 1000.0);
        state.posts.ended(number, status, after_ms, now, scale, jitter);
        drop(state);
        self.0.woken.notify_waiters();
    }
}

/// The members of a JSON object; anything else has none.
fn map(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

impl Held {
    fn lives(&self) -> bool {
        !self.deleted && self.into.is_none()
    }
}

impl State {
    /// What a message says of one record.
    pub fn change(
        &mut self,
        kind: &str,
        id: &str,
        at: Millis,
        by: &By,
        more: impl IntoIterator<Item = (String, Value)>,
    ) -> Value {
        self.seq += 1;
        let mut change = json!({"kind": kind, "id": id, "at": at.to_string(), "seq": self.seq});
        if *by != By::default() {
            change["by"] = json!(by);
        }
        for (name, value) in more {
            change[name] = value;
        }
        change
    }

    /// Makes a message, if there is something to tell.
    pub fn tell(&mut self, topic: &str, changes: Vec<Value>, present: Present) {
        if !changes.is_empty() {
            self.posts.make(topic, changes, present.said, present.now, &mut self.faults);
        }
    }

    /// Lets somebody set fields; returns what there is to tell, or none if there is no such record.
    pub fn user_sets(
        &mut self,
        kind: &str,
        id: &str,
        is_new: bool,
        set: Map<String, Value>,
        by: &By,
        present: Present,
    ) -> Option<Value> {
        if is_new {
            self.book.kinds.entry(kind.to_owned()).or_default().insert(id.to_owned(), Held::default());
        }
        let remembers = self.settings.remembers;
        let held = self.book.kinds.get_mut(kind)?.get_mut(id).filter(|held| held.lives())?;
        let at = held.time(present.said);
        held.modified = at;
        let mut told = Map::new();
        for (name, value) in set {
            let value = rules::reshaped(&self.settings.reshape, &name, value);
            held.set(&name, value.clone(), at, by, remembers);
            told.insert(name, value);
        }
        Some(self.change(kind, id, at, by, [("set".to_owned(), told.into())]))
    }

    fn counted(&self) -> Value {
        let Counts { messages, writes, values, needless, repeated, refused, shown, body_bytes_most } = &self.counts;
        json!({
            "messages": messages, "writes": writes, "values": values, "needless": needless, "repeated": repeated,
            "refused": refused, "shown": shown, "body_bytes_most": body_bytes_most,
            "posts": {"made": self.posts.made, "taken": self.posts.taken, "repeated": self.posts.repeated,
                "lost": self.posts.lost, "pending": self.posts.pending(), "refused": self.posts.refused},
            "faults": self.faults.happened,
        })
    }
}

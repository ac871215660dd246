//! The account as programs hold it: requests, users, time and faults, by plain calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    book::By,
    call::{Answer, Call},
    change::{Problem, Values},
    control,
    fault::Order,
    hook::Notice,
    property::Property,
    settings::Settings,
    sign::Signed,
    standard,
    state::State,
};
use crate::clock::{Clock, Millis};

/// A pretend HubSpot account; copies are the same account.
#[derive(Clone)]
pub struct Account {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    /// How far [`Account::turn`] has moved the clock.
    turned: Mutex<i64>,
    secret: String,
    wake: Notify,
}

/// Why a user's action could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such kind of objects.
    #[error("the account has no objects of the kind {0}")]
    Kind(String),
    /// There is no such record.
    #[error("there is no such record")]
    Missing,
    /// The values do not fit.
    #[error("the account answered {status}: {message}")]
    Answered {
        /// The status with which a request would have been answered.
        status: u16,
        /// What HubSpot says.
        message: String,
    },
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Refused::from(problem.answer())
    }
}

impl From<Answer> for Refused {
    fn from(answer: Answer) -> Self {
        match answer.status {
            404 => Refused::Missing,
            status => {
                Refused::Answered { status, message: answer.body["message"].as_str().unwrap_or_default().to_owned() }
            }
        }
    }
}

/// A webhook that is ready to leave.
pub(super) struct Outgoing {
    pub url: String,
    pub body: String,
    pub headers: Vec<(&'static str, String)>,
    pub batch: Vec<Notice>,
}

impl Account {
    /// An account without records; `secret` signs its webhooks.
    pub fn new(settings: Settings, secret: &str, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            state: Mutex::new(State::new(settings)),
            clock,
            turned: Mutex::new(0),
            secret: secret.to_owned(),
            wake: Notify::new(),
        };
        Account { inner: Arc::new(inner) }
    }

    /// The state, at the present time.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in one request is that request's failure; what it left is looked at with care, not thrown away.
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = self.now();
        state
    }

    /// The true time: the clock's, and what it was turned.
    pub fn now(&self) -> Millis {
        self.inner.clock.now().plus(*self.inner.turned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Turns the account's time forward: its day, its quota, its tokens, its retries.
    pub fn turn(&self, by_ms: i64) {
        *self.inner.turned.lock().unwrap_or_else(PoisonError::into_inner) += by_ms;
        self.inner.wake.notify_one();
    }

    /// Answers one request, of the API or of `/_sim`, as if it had come over the network.
    pub fn answer(&self, call: &Call) -> Answer {
        let answer = match call.path.strip_prefix("/_sim") {
            Some(rest) => control::answer(self, rest, call),
            None => self.lock().answer(call),
        };
        self.inner.wake.notify_one();
        answer
    }

    /// Changes how the account behaves.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.lock().settings);
        self.inner.wake.notify_one();
    }

    /// Where webhooks go from now on.
    pub fn webhooks_to(&self, url: &str) {
        self.set(|settings| settings.webhooks_to = Some(url.to_owned()));
    }

    /// How the account behaves.
    pub fn settings(&self) -> Settings {
        self.lock().settings.clone()
    }

    /// Orders a fault.
    pub fn order(&self, order: Order) {
        self.lock().faults.orders.push(order);
    }

    /// Takes all orders back.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.faults.orders.clear();
        state.outage_until = None;
        drop(state);
        self.inner.wake.notify_one();
    }

    /// The account is away for a time, by its clock: connections are closed, and webhooks wait.
    pub fn outage(&self, for_ms: i64) {
        let mut state = self.lock();
        state.outage_until = Some(state.now.plus(for_ms));
    }

    /// Adds a kind of objects of the account's own, such as `machines`, `machine`, `2-3465404`.
    pub fn add_kind(&self, plural: &str, singular: &str, type_id: &str, properties: Vec<Property>) {
        self.lock().book.kinds.push(standard::custom(plural, singular, type_id, properties));
    }

    /// Adds a property to a kind.
    ///
    /// # Errors
    /// If the kind is not there, or has a property of that name.
    pub fn add_property(&self, kind: &str, property: &Property) -> Result<(), Refused> {
        let mut state = self.lock();
        let place = known(&state, kind)?;
        let mut body = json!(property);
        for (member, default) in [("label", &property.name), ("groupName", &format!("{kind}information"))] {
            if body[member].as_str().is_none_or(str::is_empty) {
                body[member] = json!(default);
            }
        }
        state.define(place, &body)?;
        state.redefine(place, &property.name, &json!({"read_only": property.read_only}), true)?;
        Ok(())
    }

    /// Somebody makes a record; answers its id.
    ///
    /// # Errors
    /// As the API would.
    pub fn create(&self, kind: &str, set: &[(&str, &str)], by: &By) -> Result<u64, Refused> {
        self.create_at(kind, values(set), by, None, false)
    }

    /// Somebody writes to a record.
    ///
    /// # Errors
    /// As the API would.
    pub fn edit(&self, kind: &str, id: u64, set: &[(&str, &str)], by: &By) -> Result<(), Refused> {
        self.edit_at(kind, id, values(set), by, None, false)
    }

    /// Somebody writes to a record, and no webhook tells.
    ///
    /// # Errors
    /// As the API would.
    pub fn edit_silently(&self, kind: &str, id: u64, set: &[(&str, &str)], by: &By) -> Result<(), Refused> {
        self.edit_at(kind, id, values(set), by, None, true)
    }

    pub(super) fn create_at(
        &self,
        kind: &str,
        set: Values,
        by: &By,
        at: Option<Millis>,
        silent: bool,
    ) -> Result<u64, Refused> {
        let mut state = self.lock();
        let place = known(&state, kind)?;
        let (time, manner) = (at.unwrap_or_else(|| state.said()), state.manner());
        let done = state.book.create(place, &set, by, time, manner)?;
        if !silent {
            state.tell(done.told, by, at);
            self.inner.wake.notify_one();
        }
        Ok(done.id)
    }

    pub(super) fn edit_at(
        &self,
        kind: &str,
        id: u64,
        set: Values,
        by: &By,
        at: Option<Millis>,
        silent: bool,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        let place = known(&state, kind)?;
        let live = state.book.kinds[place].live(&id.to_string(), None)?;
        let (time, manner) = (at.unwrap_or_else(|| state.said()), state.manner());
        let done = state.book.patch(place, live, &set, by, time, manner)?;
        if !silent {
            state.tell(done.told, by, at);
            self.inner.wake.notify_one();
        }
        Ok(())
    }

    /// HubSpot bumps a record's time of change for reasons of its own; nothing is told.
    ///
    /// # Errors
    /// If it is not there.
    pub fn touch(&self, kind: &str, id: u64) -> Result<(), Refused> {
        let mut state = self.lock();
        let (place, said) = (known(&state, kind)?, state.said());
        let live = state.book.kinds[place].live(&id.to_string(), None)?;
        let record = state.book.kinds[place].records.get_mut(&live).ok_or(Refused::Missing)?;
        record.updated = record.updated.max(said);
        Ok(())
    }

    /// Somebody archives a record.
    ///
    /// # Errors
    /// If it is not there.
    pub fn archive(&self, kind: &str, id: u64, by: &By) -> Result<(), Refused> {
        self.act(kind, by, |state, place| Ok(state.book.archive(place, id, state.said())?))
    }

    /// Somebody brings an archived record back.
    ///
    /// # Errors
    /// If it is not archived.
    pub fn restore(&self, kind: &str, id: u64, by: &By) -> Result<(), Refused> {
        self.act(kind, by, |state, place| Ok(state.book.restore(place, id, state.said())?))
    }

    /// Somebody deletes a record for good, for reasons of privacy.
    ///
    /// # Errors
    /// If it is not there.
    pub fn purge(&self, kind: &str, id: u64, by: &By) -> Result<(), Refused> {
        self.act(kind, by, |state, place| {
            state.ties.forget((place, id));
            Ok(state.book.purge(place, id)?)
        })
    }

    /// Somebody merges `loser` into `primary`, under a third id where `new_id`; answers the id that is left.
    ///
    /// # Errors
    /// If one of them is not there.
    pub fn merge(&self, kind: &str, primary: u64, loser: u64, new_id: bool, by: &By) -> Result<u64, Refused> {
        let mut left = primary;
        self.act(kind, by, |state, place| {
            let (id, told) = state.merge(place, (primary, loser), new_id)?;
            left = id;
            Ok(told)
        })?;
        Ok(left)
    }

    /// Somebody joins two records, each named by kind and id, by a type or by the default one, or separates them.
    ///
    /// # Errors
    /// If one of them, or the type, is not there.
    pub fn associate(
        &self,
        from: (&str, u64),
        to: (&str, u64),
        type_id: Option<u32>,
        removed: bool,
        by: &By,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        let ends = (known(&state, from.0)?, known(&state, to.0)?);
        let one = (ends.0, state.book.kinds[ends.0].live(&from.1.to_string(), None)?);
        let other = (ends.1, state.book.kinds[ends.1].live(&to.1.to_string(), None)?);
        let names = (state.book.kinds[ends.0].singular.clone(), state.book.kinds[ends.1].singular.clone());
        let tied = match removed {
            true => state.ties.untie(one, other),
            false => state.ties.tie(one, other, type_id, (&names.0, &names.1)).ok_or(Refused::Missing)?,
        };
        state.tell_ties(&tied, by, None);
        self.inner.wake.notify_one();
        Ok(())
    }

    fn act(
        &self,
        kind: &str,
        by: &By,
        what: impl FnOnce(&mut State, usize) -> Result<Vec<super::change::Told>, Refused>,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        let place = known(&state, kind)?;
        let told = what(&mut state, place)?;
        state.tell(told, by, None);
        self.inner.wake.notify_one();
        Ok(())
    }

    /// What a live record shows of a property; none where it shows nothing.
    pub fn shows(&self, kind: &str, id: u64, property: &str) -> Option<String> {
        let state = self.lock();
        let own = &state.book.kinds[state.book.kind(kind)?];
        let record = own.find(&id.to_string(), None).filter(|record| record.archived.is_none())?;
        own.value(record, property, None)
    }

    /// The ids of the live records of a kind.
    pub fn ids(&self, kind: &str) -> Vec<u64> {
        let state = self.lock();
        let Some(place) = state.book.kind(kind) else { return Vec::new() };
        let live = state.book.kinds[place].records.values().filter(|record| record.archived.is_none());
        live.map(|record| record.id).collect()
    }

    /// All records and associations, as `/_sim/state` shows them.
    pub fn state(&self) -> Value {
        control::state(&self.lock(), None, true)
    }

    /// What was asked, refused, written and told, as `/_sim/counts` shows it.
    pub fn counts(&self) -> Value {
        control::counts(&self.lock())
    }

    /// How many notifications wait or are under way.
    pub fn hooks_pending(&self) -> u64 {
        self.lock().hooks.pending()
    }

    /// Waits until no webhook waits any more; those that are due later only go when the clock is turned.
    pub async fn hooks_gone(&self) {
        while self.hooks_pending() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Waits until no webhook is under way: each was answered, or its time has run out.
    pub async fn hooks_back(&self) {
        while self.lock().hooks.under_way > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Sends all webhooks that wait now, retries and delayed ones included.
    pub fn flush_hooks(&self) {
        let mut state = self.lock();
        let now = state.now;
        state.hooks.flush(now);
        drop(state);
        self.inner.wake.notify_one();
    }

    /// The next webhook that is due, signed; without a target it is thrown away.
    pub(super) fn next_hook(&self) -> Option<Outgoing> {
        let mut state = self.lock();
        if state.is_away() {
            return None;
        }
        let Some(url) = state.settings.webhooks_to.clone() else {
            state.hooks.throw_away();
            return None;
        };
        let (now, max) = (state.now, state.settings.batch_max);
        let batch = state.hooks.take(now, max)?;
        let bodies: Vec<&serde_json::Map<String, Value>> = batch.iter().map(|notice| &notice.body).collect();
        let body = json!(bodies).to_string();
        let first = batch.iter().filter_map(|notice| notice.first).min().filter(|_| state.settings.stale_retries);
        let timestamp = first.unwrap_or(now).plus(state.settings.signature_ahead_ms).0;
        let signed = Signed { secret: &self.inner.secret, method: "POST", uri: &url, body: &body, timestamp };
        let headers = signed.headers(&state.settings.signatures);
        Some(Outgoing { url, body, headers, batch })
    }

    /// What became of a webhook; status 0 is no answer.
    pub(super) fn hook_ended(&self, batch: Vec<Notice>, status: u16) {
        let mut state = self.lock();
        let (now, scale) = (state.now, state.settings.retry_scale);
        state.hooks.settle(batch, status, now, scale);
    }

    /// Waits until there may be something to send.
    pub(super) async fn woken(&self) {
        self.inner.wake.notified().await;
    }
}

fn known(state: &State, kind: &str) -> Result<usize, Refused> {
    state.book.kind(kind).ok_or_else(|| Refused::Kind(kind.to_owned()))
}

fn values(set: &[(&str, &str)]) -> Values {
    set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

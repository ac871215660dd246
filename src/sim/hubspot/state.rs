//! An account's whole state, and how one request goes through it.

use serde_json::json;

use super::{
    association::Ties,
    book::{Book, By},
    call::{Answer, Call, Exit},
    change::{Done, Manner, Problem, Told, Values},
    fault::{Fault, Faults},
    hook::Hooks,
    oauth::Grants,
    quota::{Asker, Quota},
    route::{self, Route},
    settings::Settings,
    standard,
};
use crate::{clock::Millis, send::chance::Chance};

/// Everything about an account.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub settings: Settings,
    pub book: Book,
    pub ties: Ties,
    pub hooks: Hooks,
    pub faults: Faults,
    pub quota: Quota,
    pub grants: Grants,
    /// The true time, put in before anything is asked.
    pub now: Millis,
    /// Until when the account is away.
    pub outage_until: Option<Millis>,
    chance: Chance,
}

/// What the request that is being answered was to be done with, beside being answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Twist {
    pub fail_row: bool,
    pub omit_row: bool,
}

impl State {
    pub fn new(settings: Settings) -> Self {
        let mut chance = Chance::new(settings.seed);
        State {
            book: Book { kinds: standard::kinds(), next_id: settings.first_id },
            ties: Ties::default(),
            hooks: Hooks::new(chance.fork()),
            faults: Faults::new(chance.fork()),
            quota: Quota::default(),
            grants: Grants::default(),
            now: Millis(0),
            outage_until: None,
            chance: chance.fork(),
            settings,
        }
    }

    /// The time as the account tells it.
    pub fn said(&self) -> Millis {
        self.now.plus(self.settings.ahead_ms)
    }

    /// Whether the account is away.
    pub fn is_away(&mut self) -> bool {
        if self.outage_until.is_some_and(|until| until <= self.now) {
            self.outage_until = None;
        }
        self.outage_until.is_some()
    }

    /// How changes are told and remembered.
    pub fn manner(&self) -> Manner {
        Manner {
            history_max: self.settings.history_max,
            creation_tells_values: self.settings.creation_tells_values,
            same_value_tells: self.settings.same_value_tells,
        }
    }

    /// Answers a request of the API, and counts it.
    pub fn answer(&mut self, call: &Call) -> Answer {
        if self.is_away() {
            return Answer { exit: Exit::Cut, ..Answer::default() };
        }
        let segments = call.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let Some(route) = route::find(&call.method, &segments) else {
            return self.finished(Answer::error(404, "OBJECT_NOT_FOUND", "There is no such path"), "unknown");
        };
        let op = self.op(&route);
        let answer = self.through_faults(call, &route, &op);
        self.finished(answer, &op)
    }

    /// What counts and faults know the request by.
    fn op(&self, route: &Route) -> String {
        let kind = route.kind.and_then(|name| self.book.kind(name)).map(|kind| self.book.kinds[kind].plural.as_str());
        match kind.or(route.kind) {
            Some(kind) => format!("{kind}.{}", route.op),
            None => route.op.to_owned(),
        }
    }

    fn through_faults(&mut self, call: &Call, route: &Route, op: &str) -> Answer {
        let is_search = route.op == "search";
        let is_oauth = call.token.as_deref().is_some_and(|token| self.grants.gave(token));
        let caller = if route.needs_token { self.caller(call) } else { Ok(By::app(self.settings.app)) };
        let app = caller.as_ref().ok().and_then(|by| by.id.as_ref()?.parse().ok());
        let asker = Asker { app: app.unwrap_or(self.settings.app), is_oauth };
        if route.is_counted
            && let Some(refused) = self.quota.note(self.now, asker, is_search, &self.settings)
        {
            return refused;
        }
        let by = match caller {
            Ok(by) => by,
            Err(refused) => return refused,
        };
        let mut twist = Twist::default();
        let mut exit = Exit::Now;
        let mut answer = None;
        let target = self.target(call, route);
        for fault in self.faults.of_request(op, target.is_some()) {
            match fault {
                Fault::RateLimit { policy } => answer = Some(self.quota.refuse(&policy)),
                Fault::Status { status, retry_after } => answer = Some(unwell(status, retry_after)),
                Fault::Expired => answer = Some(super::oauth::expired(0)),
                Fault::LoseRequest => answer = Some(Answer { exit: Exit::Cut, ..Answer::default() }),
                Fault::LoseAnswer => exit = Exit::Cut,
                Fault::Slow { ms } => exit = Exit::After(ms),
                Fault::FailRow => twist.fail_row = true,
                Fault::OmitRow => twist.omit_row = true,
                Fault::OtherApp { app, property, values } => self.meddle(target, app, &property, &values),
                Fault::Merge { new_id } => self.merge_under(target, new_id),
                _ => {}
            }
        }
        let mut answer = answer.unwrap_or_else(|| (route.handle)(self, &Asked { call, route, by, twist }));
        if exit != Exit::Now {
            answer.exit = exit;
        }
        answer.headers.extend(self.quota.headers(asker, is_search, &self.settings));
        answer
    }

    fn finished(&mut self, mut answer: Answer, op: &str) -> Answer {
        // A request whose answer never leaves counts as 0.
        let status = if answer.exit == Exit::Cut { 0 } else { answer.status };
        *self.quota.asked.by_op.entry(op.to_owned()).or_default().entry(status).or_default() += 1;
        if answer.body["category"] == "CONFLICT" && self.settings.conflicts_without_id {
            answer = Answer::error(409, "OBJECT_ALREADY_EXISTS", "Contact already exists")
                .with("error", json!("CONTACT_EXISTS"))
                .with("identityProfile", json!({"identity": []}));
        }
        if answer.body.get("correlationId").is_some() {
            answer.body["correlationId"] = json!(self.mark());
        }
        answer
    }

    /// A text that looks like the ids of requests.
    fn mark(&mut self) -> String {
        let (high, low) = (self.chance.number(), self.chance.number());
        let text = format!("{high:016x}{low:016x}");
        format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
    }

    /// Another app writes to the record that a request is about.
    fn meddle(&mut self, target: Option<(usize, u64)>, app: u64, property: &str, values: &[String]) {
        let Some((kind, id)) = target else { return };
        let Some(value) = values.get(self.faults.pick(values.len())) else { return };
        let set = Values::from([(property.to_owned(), value.clone())]);
        // What does not fit is not written, as with any app.
        if let Ok(done) = self.book.patch(kind, id, &set, &By::app(app), self.said(), self.manner()) {
            self.tell(done.told, &By::app(app), None);
        }
    }

    /// The record that a request is about is merged with another one of its kind.
    fn merge_under(&mut self, target: Option<(usize, u64)>, new_id: bool) {
        let Some((kind, id)) = target else { return };
        let own = &self.book.kinds[kind].records;
        let others: Vec<u64> = own
            .values()
            .filter(|record| record.id != id && record.archived.is_none())
            .map(|record| record.id)
            .collect();
        if let Some(primary) = others.get(self.faults.pick(others.len())) {
            let by = By::user(1);
            // The two are live, so nothing is refused.
            if let Ok((_, told)) = self.merge(kind, (*primary, id), new_id) {
                self.tell(told, &by, None);
            }
        }
    }

    /// The live record that a request is about; of a batch, the first one.
    fn target(&self, call: &Call, route: &Route) -> Option<(usize, u64)> {
        let kind = self.book.kind(route.kind?)?;
        let own = &self.book.kinds[kind];
        let id = match route.op {
            "batch_read" | "batch_update" | "batch_upsert" => {
                let body = call.json().ok()?;
                let row = &body["inputs"][0];
                let by = row["idProperty"].as_str().or(body["idProperty"].as_str());
                own.live(row["id"].as_str()?, by).ok()?
            }
            _ => own.live(route.args.first()?, call.asked("idProperty").as_deref()).ok()?,
        };
        Some((kind, id))
    }

    /// Merges two records with all that hangs on them.
    pub fn merge(
        &mut self,
        kind: usize,
        (primary, loser): (u64, u64),
        new_id: bool,
    ) -> Result<(u64, Vec<Told>), Problem> {
        let (left, told) = self.book.merge(kind, (primary, loser), new_id, self.said())?;
        for old in [primary, loser].into_iter().filter(|old| *old != left) {
            self.ties.inherit((kind, old), (kind, left));
        }
        Ok((left, told))
    }

    /// Counts what an app's write did, and tells it.
    pub fn wrote(&mut self, done: Done, by: &By) -> u64 {
        self.quota.asked.values_changed += done.changed;
        self.quota.asked.values_same += done.same;
        let id = done.id;
        self.tell(done.told, by, None);
        id
    }
}

/// A request on its way through its handler.
pub(super) struct Asked<'a> {
    pub call: &'a Call,
    pub route: &'a Route<'a>,
    pub by: By,
    pub twist: Twist,
}

/// A status on order, with a body where HubSpot's is known.
fn unwell(status: u16, retry_after: Option<u64>) -> Answer {
    let (category, message) = match status {
        423 => ("LOCKED", "The resource is locked by another operation"),
        477 => ("MIGRATION_IN_PROGRESS", "The account is being migrated"),
        403 => ("MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call."),
        401 => ("INVALID_AUTHENTICATION", "Authentication credentials not found."),
        _ => ("INTERNAL_ERROR", "internal error"),
    };
    let answer = Answer::error(status, category, message);
    match retry_after {
        Some(seconds) => answer.header("Retry-After", seconds),
        None => answer,
    }
}

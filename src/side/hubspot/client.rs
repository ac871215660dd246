//! Calls to HubSpot: within the quota, with a token, counted, and judged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use reqwest::{Method, RequestBuilder, header};
use secrecy::{ExposeSecret, SecretString};

use super::{
    answer::Problem,
    call::{self, Call, Judged, Op, Trouble},
    offset::Offset,
    token::{Credential, NoToken, Renewed, Token},
};
use crate::{
    clock::{Clock, Millis},
    metrics::Metrics,
    send::{Gate, Urgency},
    side::http::{Answer, Broken, Http, HttpError, Limits},
};

/// The largest answer that is read, in bytes: fifty records with the history of all their properties take a few.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where HubSpot's API is.
#[derive(Clone, Debug)]
pub struct Address {
    /// Scheme and host.
    pub base: String,
    /// What comes before `/objects` and `/properties`.
    pub crm: String,
    /// What comes before `/objects/{type}/{id}/associations`, and before `/associations`.
    pub associations: String,
    /// Where tokens are renewed.
    pub token: String,
}

impl Address {
    /// HubSpot's own.
    pub const BASE: &'static str = "https://api.hubapi.com";

    /// The API as HubSpot's own client libraries call it, at this base.
    pub fn at(base: &str) -> Self {
        let [crm, associations, token] = ["/crm/v3", "/crm/v4", "/oauth/v1/token"].map(str::to_owned);
        Address { base: base.to_owned(), crm, associations, token }
    }
}

/// How often something was asked with the same result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallCount {
    /// What was asked.
    pub op: Op,
    /// `2xx`, `3xx`, `4xx`, `429`, `5xx`; `unsent`: it did not leave; `lost`: it left, and no answer came.
    pub class: &'static str,
    /// How often.
    pub count: u64,
    /// How long that took in all, in milliseconds.
    pub millis: u64,
}

/// How often, and for how many milliseconds in all, by what was asked and what came of it.
type Counts = BTreeMap<(Op, &'static str), (u64, u64)>;

/// A client of one account.
pub struct Client {
    http: Http,
    address: Address,
    token: Token,
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
    offset: Mutex<Offset>,
    counts: Mutex<Counts>,
    /// When HubSpot last refused who we are; zero: it has accepted us since.
    unauthorized: AtomicI64,
    metrics: Option<Metrics>,
}

impl Client {
    /// A client; it calls nobody yet.
    ///
    /// # Errors
    /// If the address is none, or TLS cannot be set up.
    pub fn new(
        address: Address,
        limits: Limits,
        credential: Credential,
        gate: Arc<Gate>,
        clock: Arc<dyn Clock>,
        metrics: Option<Metrics>,
    ) -> Result<Self, HttpError> {
        let http = Http::new(&address.base, Limits { answer_bytes: ANSWER_BYTES_MAX, ..limits })?;
        let (offset, counts) = (Mutex::default(), Mutex::default());
        let token = Token::new(credential);
        Ok(Client { http, address, token, gate, clock, offset, counts, unauthorized: AtomicI64::new(0), metrics })
    }

    /// Where HubSpot's API is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The present time by our clock.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// A path below `/objects`.
    pub fn objects(&self, segments: &[&str]) -> String {
        call::path(&call::path(&self.address.crm, &["objects"]), segments)
    }

    /// How far HubSpot's clock is ahead of ours, as far as its answers tell.
    pub fn offset(&self) -> Offset {
        *lock(&self.offset)
    }

    /// Since when HubSpot refuses who we are; `None`: it does not.
    pub fn unauthorized_since(&self) -> Option<Millis> {
        Some(self.unauthorized.load(Ordering::Relaxed)).filter(|at| *at != 0).map(Millis)
    }

    /// What was asked so far, and with what result.
    pub fn counts(&self) -> Vec<CallCount> {
        let counts = lock(&self.counts);
        counts
            .iter()
            .map(|((op, class), (count, millis))| CallCount { op: *op, class, count: *count, millis: *millis })
            .collect()
    }

    /// Makes a call; the body of a good answer comes back.
    ///
    /// # Errors
    /// If there is no good answer, with what is known of the effect.
    pub async fn call(&self, call: &Call) -> Result<Vec<u8>, Trouble> {
        let token = self.token().await?;
        match self.call_with(call, &token).await {
            // A token may be called expired before its time; a call that was refused for it did nothing.
            Err(Trouble::Unauthorized) if self.token.is_renewable() => {
                self.token.refused(&token).await;
                let token = self.token().await?;
                let again = self.call_with(call, &token).await;
                self.note_access(&again);
                again
            }
            answered => {
                self.note_access(&answered);
                answered
            }
        }
    }

    fn note_access(&self, answered: &Result<Vec<u8>, Trouble>) {
        match answered {
            Err(Trouble::Unauthorized) => {
                let since = self.unauthorized.compare_exchange(0, self.now().0, Ordering::Relaxed, Ordering::Relaxed);
                if since.is_ok() {
                    tracing::error!("HubSpot does not accept our token: nothing is sent or read until it does");
                }
            }
            Ok(_) | Err(Trouble::Refused(..)) => self.unauthorized.store(0, Ordering::Relaxed),
            Err(Trouble::NotTaken(_) | Trouble::NotYet(_) | Trouble::Unknown) => {}
        }
    }

    async fn token(&self) -> Result<SecretString, Trouble> {
        let got = self.token.get(self.now(), |form| self.renew(form)).await;
        got.map_err(|why| match why {
            NoToken::Later(wait) => Trouble::NotTaken(wait),
            NoToken::Dead => {
                let failed = Err(Trouble::Unauthorized);
                self.note_access(&failed);
                Trouble::Unauthorized
            }
        })
    }

    async fn renew(&self, form: String) -> Renewed {
        let call = Call::new(Op::Token, Method::POST, self.address.token.clone(), Urgency::Interactive);
        let prepare = |request: RequestBuilder| {
            request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.clone())
        };
        match self.exchange(&call, prepare).await {
            Ok(body) => Renewed::Granted(body),
            Err(Trouble::Refused(..) | Trouble::Unauthorized) => Renewed::Dead,
            Err(trouble) => Renewed::Later(trouble.wait()),
        }
    }

    async fn call_with(&self, call: &Call, token: &SecretString) -> Result<Vec<u8>, Trouble> {
        let prepare = |request: RequestBuilder| {
            let request = request.bearer_auth(token.expose_secret()).header(header::ACCEPT, "application/json");
            match &call.body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        self.exchange(call, prepare).await
    }

    /// One request and its answer.
    async fn exchange(
        &self,
        call: &Call,
        prepare: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Vec<u8>, Trouble> {
        let request = self.http.request(call.method.clone(), &call.path).map_err(|_| Trouble::NotTaken(0))?;
        let permit = self.gate.take(call.urgency, call.lane()).await.map_err(|full| Trouble::NotYet(full.0))?;
        let (sent, began) = (self.now(), Instant::now());
        let answered = self.http.call(prepare(request)).await;
        let now = self.now();
        if let Some(metrics) = &self.metrics {
            let status = answered.as_ref().ok().map(|answer| answer.status);
            metrics.crm_request("hubspot", call.op.name(), status, began.elapsed());
        }
        let answer = match answered {
            Ok(answer) => answer,
            Err(broken) => {
                let never_left = broken.never_left();
                if never_left {
                    permit.unused();
                }
                self.note(call.op, if never_left { "unsent" } else { "lost" }, sent, now);
                return Err(self.broken(call, &broken));
            }
        };
        self.gate.heard(&call::told(&answer));
        if let Some(date) = answer.date() {
            lock(&self.offset).take(sent, date, now);
        }
        let class = class(answer.status);
        self.note(call.op, class, sent, now);
        tracing::debug!(op = call.op.name(), status = answer.status, millis = now.0 - sent.0, "HubSpot answered");
        drop(permit);
        self.judged(call, answer, now)
    }

    fn broken(&self, call: &Call, broken: &Broken) -> Trouble {
        tracing::warn!(op = call.op.name(), error = broken as &dyn std::error::Error, "HubSpot did not answer");
        if broken.never_left() { Trouble::NotTaken(0) } else { Trouble::Unknown }
    }

    fn judged(&self, call: &Call, answer: Answer, now: Millis) -> Result<Vec<u8>, Trouble> {
        match call::judge(&answer, call.lane(), now) {
            Judged::Good => Ok(answer.body),
            Judged::Limited(window, asked) => {
                let wait = self.gate.refused(window, asked);
                tracing::warn!(
                    op = call.op.name(),
                    window = window.map(|window| window.name()),
                    wait,
                    "HubSpot's limit is reached"
                );
                Err(Trouble::NotTaken(wait))
            }
            Judged::Alone(wait) => {
                self.gate.hold(wait);
                tracing::warn!(op = call.op.name(), wait, "HubSpot moves the account and wants to be left alone");
                Err(Trouble::NotTaken(wait))
            }
            Judged::Bad(trouble) => {
                // The message may hold values; the code and the number by which HubSpot finds the call do not.
                let problem = Problem::read(&answer.body);
                let (status, category, correlation) =
                    (answer.status, &problem.category, problem.correlation.as_deref());
                tracing::debug!(op = call.op.name(), status, category, correlation, "HubSpot did not do it");
                Err(trouble)
            }
        }
    }

    fn note(&self, op: Op, class: &'static str, sent: Millis, now: Millis) {
        let mut counts = lock(&self.counts);
        let (count, millis) = counts.entry((op, class)).or_default();
        *count += 1;
        *millis += (now.0 - sent.0).max(0) as u64;
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().expect("no code panics while it counts")
}

fn class(status: u16) -> &'static str {
    match status {
        429 => "429",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

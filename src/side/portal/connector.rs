//! The calls to a portal: writes, questions and pages, each a signed message.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderValue},
};

use super::{
    answer::{self, Told},
    message::{self, Row, Untold, Walk},
    place::Misread,
    signature::{self, KeyError, Keys},
};
use crate::{
    clock::{Clock, Millis},
    id::{FieldName, Hashing},
    manifest,
    metrics::Metrics,
    send::{Ask, BoxFuture, Connector, InDoubt, Outcome, ReadError, Receipt, Seen, SeenField, Write},
    side::{
        Page, Source, SourceError,
        http::{Answer, Broken, Http, HttpError, Limits},
        secret::{self, SecretError},
        translate::{Translation, Unsaid},
    },
    value::Value,
};

/// How many records a page is asked for.
const PAGE: usize = 100;
/// How long a portal is left alone that cannot be reached as it is set up, in milliseconds.
const SET_UP: i64 = 60_000;
/// How long a portal is left alone that answered 410, in milliseconds: no call is made before it is opened anew.
const GONE: i64 = 3_600_000;
/// The longest call whose answer's `Date` is used, in milliseconds: it was set at some time between both ends of the call.
const DATED_MOST: i64 = 2_000;
/// How often a write waits for a record that it refers to, before the reference is parked.
const UNLINKED_TRIES: u32 = 10;
/// How long it waits each time at least, in milliseconds.
const UNLINKED_WAIT: i64 = 1_000;

/// Why a portal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The manifest does not say where it takes our messages.
    #[error("the side {0} has no `deliver_to`")]
    NoAddress(String),
    /// A secret cannot be had.
    #[error("cannot read the webhook secrets of side {side}")]
    Secret {
        /// The side.
        side: String,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// A secret is no key.
    #[error("cannot sign for side {side}")]
    Key {
        /// The side.
        side: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// Its address cannot be called.
    #[error("cannot call side {side}")]
    Http {
        /// The side.
        side: String,
        /// Why.
        #[source]
        source: HttpError,
    },
}

/// What a person has to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Alarm {
    /// It answered 410: nothing is sent until the side is opened anew.
    #[error("the portal answered 410: it wants no more messages, and none is sent until the side is opened anew")]
    Gone,
    /// It does not accept our signature.
    #[error("the portal does not accept our signature: do both have the same secret, and the right time?")]
    Signature,
    /// There is no receiver at the address.
    #[error("nothing takes our messages at `deliver_to`: the portal answered {0}")]
    Address(u16),
    /// Its answers are not in the dialect.
    #[error("the portal's answer cannot be read")]
    Answer,
    /// It made a record and did not say under which id.
    #[error("the portal made a record and did not answer with its id")]
    NoId,
}

/// What was called, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Messages with writes.
    pub writes: u64,
    /// Messages with questions.
    pub reads: u64,
    /// Messages for pages.
    pub pages: u64,
    /// Calls without an answer.
    pub broken: u64,
}

/// A portal, to be written to and to be asked.
pub struct Portal {
    http: Http,
    keys: Keys,
    translation: Translation,
    clock: Arc<dyn Clock>,
    /// What the ids of questions are made from: a portal passes over a message whose id it has seen.
    ids: ([u8; 16], AtomicU64),
    state: Mutex<State>,
    metrics: Option<Metrics>,
}

#[derive(Default)]
struct State {
    alarm: Option<(Alarm, Millis)>,
    ahead: Option<(Millis, i64)>,
    calls: Calls,
}

/// What became of a message.
enum Posted {
    /// It was taken; this is the answer's body.
    Taken(Vec<u8>),
    /// Nothing of it took effect, and it would be the same again.
    Refused(Answer),
    /// It is in conflict with what is there.
    Conflict(Answer),
    /// The portal does not know such messages.
    NotOffered(u16),
    /// Nothing of it took effect; it may come again after so many milliseconds.
    Later(i64),
    /// It may have taken effect.
    Unknown,
}

impl Portal {
    /// A portal as a manifest describes it.
    ///
    /// # Errors
    /// If it has no address, or its secrets cannot be had.
    pub fn open(side: &manifest::Side, translation: Translation, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let name = || side.name.to_string();
        let address = side.deliver_to.as_deref().ok_or_else(|| OpenError::NoAddress(name()))?;
        let secrets = secret::read_all(&side.credentials.webhook_secret);
        let secrets = secrets.map_err(|source| OpenError::Secret { side: name(), source })?;
        let keys = Keys::new(&secrets).map_err(|source| OpenError::Key { side: name(), source })?;
        let portal = Portal::new(address, keys, translation, clock, Limits::default());
        portal.map_err(|source| OpenError::Http { side: name(), source })
    }

    /// A portal that takes our messages at this address.
    ///
    /// # Errors
    /// If the address is none.
    pub fn new(
        deliver_to: &str,
        keys: Keys,
        translation: Translation,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Result<Self, HttpError> {
        let http = Http::new(deliver_to, limits)?;
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).expect("the operating system gives random bytes");
        let (ids, state) = ((salt, AtomicU64::new(0)), Mutex::default());
        Ok(Portal { http, keys, translation, clock, ids, state, metrics: None })
    }

    /// The same, with its calls counted here as well.
    pub fn counted(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// What a person has to look at, and since when; gone when a message is taken again, save for [`Alarm::Gone`].
    pub fn alarm(&self) -> Option<(Alarm, Millis)> {
        self.state().alarm
    }

    /// When the portal's clock was read last, by ours, and how far it was ahead, in milliseconds: by the `Date` of an answer that
    /// came at once, exact to one and a half seconds.
    pub fn ahead(&self) -> Option<(Millis, i64)> {
        self.state().ahead
    }

    /// What was called so far.
    pub fn calls(&self) -> Calls {
        self.state().calls
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it notes an answer")
    }

    fn alert(&self, alarm: Alarm) {
        let mut state = self.state();
        if state.alarm.is_none_or(|(known, _)| known != alarm && known != Alarm::Gone) {
            tracing::error!(side = %self.translation.side(), %alarm, "a portal needs a look");
            state.alarm = Some((alarm, self.clock.now()));
        }
    }

    fn is_gone(&self) -> bool {
        matches!(self.state().alarm, Some((Alarm::Gone, _)))
    }

    /// The id of a message that says nothing twice.
    fn fresh_id(&self) -> String {
        let number = self.ids.1.fetch_add(1, Ordering::Relaxed);
        let mut hash = Hashing::new("syncline portal question");
        let digest = hash.update(&self.ids.0).update(&number.to_le_bytes()).digest().to_string();
        format!("ask_{}", &digest[..32])
    }

    /// Signs and sends a message and says what became of it as a whole.
    async fn post(&self, op: &'static str, id: &str, body: Vec<u8>) -> Posted {
        if self.is_gone() {
            return Posted::Later(GONE);
        }
        let left = self.clock.now();
        let signed = self.keys.sign(id, left, &body);
        let request = match self.http.request(Method::POST, "") {
            Ok(request) => request,
            Err(_) => return Posted::Later(SET_UP),
        };
        let request = request
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(signature::ID, &signed.id)
            .header(signature::TIMESTAMP, &signed.timestamp)
            .header(signature::SIGNATURE, &signed.signature)
            .body(body);
        let began = Instant::now();
        let answered = self.http.call(request).await;
        if let Some(metrics) = &self.metrics {
            let status = answered.as_ref().ok().map(|answer| answer.status);
            metrics.crm_request("portal", op, status, began.elapsed());
        }
        match answered {
            Ok(answer) => self.sort(answer, left),
            Err(why) => {
                self.state().calls.broken += 1;
                tracing::warn!(side = %self.translation.side(), error = &why as &dyn std::error::Error, "a call to a portal broke off");
                match why {
                    Broken::NotSent(_) => Posted::Later(0),
                    Broken::MaybeSent(_) | Broken::AnswerTooLarge(_) => Posted::Unknown,
                }
            }
        }
    }

    fn sort(&self, answer: Answer, left: Millis) -> Posted {
        let now = self.clock.now();
        let took = now.0.saturating_sub(left.0);
        if let Some(date) = answer.date().filter(|_| (0..=DATED_MOST).contains(&took)) {
            // The half-way of the call, and the half of the second that the header leaves out.
            self.state().ahead = Some((now, date.0 + 500 - (left.0 + took / 2)));
        }
        let after = answer.retry_after(now);
        match answer.status {
            200..=299 => {
                self.state().alarm.take_if(|(alarm, _)| *alarm != Alarm::Gone);
                Posted::Taken(answer.body)
            }
            400 | 413 | 422 => Posted::Refused(answer),
            409 => Posted::Conflict(answer),
            410 => {
                self.alert(Alarm::Gone);
                Posted::Later(GONE)
            }
            404 | 405 | 501 => Posted::NotOffered(answer.status),
            401 | 403 => {
                self.alert(Alarm::Signature);
                Posted::Later(after.unwrap_or(SET_UP))
            }
            300..=399 => {
                self.alert(Alarm::Address(answer.status));
                Posted::Later(SET_UP)
            }
            425 | 429 | 503 => Posted::Later(after.unwrap_or(0)),
            // Without a word of when to come again it is a gateway that speaks, and what stands behind it may have acted.
            502 | 504 if after.is_some() => Posted::Later(after.unwrap_or(0)),
            _ => Posted::Unknown,
        }
    }

    /// Delivers the rows of one message; `None`: nothing is known of that write.
    ///
    /// A message that is refused as a whole goes again, write by write: one bad row must not hold up the others.
    async fn tell(&self, rows: &[Row<'_>]) -> Vec<Option<Told>> {
        self.state().calls.writes += 1;
        let all = |told: Option<Told>| vec![told; rows.len()];
        let (id, body) = (message::write_id(rows), message::write_body(rows, self.clock.now()));
        match self.post("write", &id, body).await {
            Posted::Taken(body) => self.told(&body, rows),
            Posted::Refused(_) | Posted::Conflict(_) if rows.len() > 1 => {
                let mut told = Vec::with_capacity(rows.len());
                for row in rows {
                    told.extend(Box::pin(self.tell(std::slice::from_ref(row))).await);
                }
                told
            }
            Posted::Refused(answer) => all(Some(self.refusal(&answer, rows))),
            // What is there already under another id is for a person to link; it must not be made twice.
            Posted::Conflict(answer) if rows.iter().all(|row| row.write.create) => {
                all(Some(self.refusal(&answer, rows)))
            }
            Posted::NotOffered(status) => {
                self.alert(Alarm::Address(status));
                all(Some(Told::Retry(SET_UP)))
            }
            Posted::Later(after) => all(Some(Told::Retry(after))),
            Posted::Conflict(_) | Posted::Unknown => all(None),
        }
    }

    fn refusal(&self, answer: &Answer, rows: &[Row<'_>]) -> Told {
        let write = rows.first().expect("a message has a row").write;
        answer::of_refusal(answer, write, &self.translation)
    }

    /// What a body of success says of writes.
    fn told(&self, body: &[u8], rows: &[Row<'_>]) -> Vec<Option<Told>> {
        let writes: Vec<&Write> = rows.iter().map(|row| row.write).collect();
        let told = answer::of_writes(body, &writes, &self.translation);
        let mut told = told.unwrap_or_else(|why| self.unread(&why, vec![None; rows.len()]));
        for (told, write) in told.iter_mut().zip(writes) {
            // Without its id the record could neither be written to nor be known again when it is heard of.
            if write.create && matches!(told, Some(Told::Applied(receipt)) if receipt.link.is_none()) {
                self.alert(Alarm::NoId);
                *told = None;
            }
        }
        told
    }

    fn unread<T>(&self, why: &Misread, otherwise: T) -> T {
        tracing::warn!(side = %self.translation.side(), %why, "a portal's answer cannot be read");
        self.alert(Alarm::Answer);
        otherwise
    }

    /// What becomes of a write that has no row.
    fn untold(&self, write: &Write, why: Untold) -> Outcome {
        let (reason, fields) = match why {
            Untold::Kind => ("the manifest gives the kind no name on this side".to_owned(), Vec::new()),
            Untold::Field(field) => (format!("the manifest gives {field} no name on this side"), vec![field]),
            // The record that is referred to may be on its way; what else the write says should not wait for ever.
            Untold::Value(_, Unsaid::Unlinked(_)) if write.attempts < UNLINKED_TRIES => {
                return Outcome::NotYet(UNLINKED_WAIT);
            }
            Untold::Value(field, why) => (format!("the value of {field} {why}"), vec![field]),
        };
        Outcome::Refused { reason, fields }
    }

    async fn deliver_all(&self, writes: &[Write]) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = vec![Outcome::Unknown; writes.len()];
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        for (place, write) in writes.iter().enumerate() {
            match Row::of(write, &self.translation) {
                Ok(row) => {
                    rows.push(row);
                    places.push(place);
                }
                Err(why) => outcomes[place] = self.untold(write, why),
            }
        }
        let mut places = places.into_iter();
        for part in message::parts(&rows) {
            for (told, row) in self.tell(part).await.into_iter().zip(part) {
                let place = places.next().expect("each row has its place");
                outcomes[place] = outcome(told, row.write);
            }
        }
        outcomes
    }

    /// Asks a question; the answer is that of [`answer::of_asks`].
    async fn ask(&self, asks: &[Ask]) -> Result<Option<Vec<Option<Seen>>>, ReadError> {
        self.state().calls.reads += 1;
        let body = message::read_body(asks, &self.translation, self.clock.now());
        match self.post("read", &self.fresh_id(), body).await {
            Posted::Taken(body) => answer::of_asks(&body, asks, &self.translation)
                .or_else(|why| self.unread(&why, Err(ReadError::RetryAfter(SET_UP)))),
            Posted::NotOffered(_) => Ok(None),
            Posted::Later(after) => Err(ReadError::RetryAfter(after)),
            Posted::Refused(_) | Posted::Conflict(_) => Err(ReadError::RetryAfter(SET_UP)),
            Posted::Unknown => Err(ReadError::RetryAfter(0)),
        }
    }

    async fn read_all(&self, asks: &[Ask]) -> Vec<Result<Seen, ReadError>> {
        match self.ask(asks).await {
            Err(why) => vec![Err(why); asks.len()],
            Ok(Some(seen)) => seen.into_iter().map(|seen| seen.ok_or(ReadError::RetryAfter(0))).collect(),
            Ok(None) => {
                let mut seen = Vec::with_capacity(asks.len());
                for ask in asks {
                    seen.push(match &ask.about {
                        Some(about) => self.repeat(ask, about).await,
                        None => Err(ReadError::NotYet(GONE)),
                    });
                }
                seen
            }
        }
    }

    /// Settles a write in doubt with a portal that cannot be asked: it comes again under its key, which does no harm if it
    /// had taken effect, and the answer says what the portal shows.
    async fn repeat(&self, ask: &Ask, about: &InDoubt) -> Result<Seen, ReadError> {
        let write = Write {
            link: ask.link.clone(),
            create: about.create,
            delete: !about.create && about.fields.is_empty(),
            fields: about.fields.clone(),
            ..Write::unplanned(ask.side.clone(), ask.record.clone(), &about.key)
        };
        // A write that cannot be put into words now was never sent; it is planned anew.
        let none = Seen { found: !write.create, link: ask.link.clone(), ..Seen::default() };
        let Ok(row) = Row::of(&write, &self.translation) else { return Ok(none) };
        let told = self.tell(std::slice::from_ref(&row)).await.pop().flatten();
        match told {
            None => Err(ReadError::RetryAfter(0)),
            Some(Told::Retry(after)) => Err(ReadError::RetryAfter(after)),
            // Nothing of it took effect; planned anew it is refused again, and then with its reason.
            Some(Told::Refused(..)) => Ok(none),
            Some(Told::Missing) => Ok(Seen { found: false, ..none }),
            Some(Told::Applied(receipt)) => {
                let shown = |(field, sent): &(FieldName, Value)| {
                    let shows = receipt.shows.iter().find(|(shown, _)| shown == field);
                    let value = shows.map_or(sent, |(_, value)| value).clone();
                    SeenField::plain(field.clone(), value, receipt.at)
                };
                Ok(Seen {
                    found: !write.delete,
                    fields: write.fields.iter().filter(|_| !write.delete).map(shown).collect(),
                    modified: receipt.at.or_else(|| Some(self.clock.now())),
                    link: receipt.link.or(none.link),
                    merged: Vec::new(),
                })
            }
        }
    }

    async fn page(&self, topic: &'static str, kind: &str, walk: Walk<'_>) -> Result<Page, SourceError> {
        self.state().calls.pages += 1;
        let is_first = walk.cursor.is_none();
        // Whoever has handed out a cursor offers pages: what says otherwise then is a deploy, and not for long.
        let wrong = |alarm| {
            self.alert(alarm);
            Err(SourceError::RetryAfter(SET_UP))
        };
        match self.post("list", &self.fresh_id(), message::body(topic, self.clock.now(), walk)).await {
            Posted::Taken(body) => match answer::of_page(&body, kind, &self.translation) {
                Ok(Some(page)) => Ok(page),
                Ok(None) if is_first => Err(SourceError::NotOffered),
                Ok(None) => wrong(Alarm::Answer),
                Err(why) => self.unread(&why, Err(SourceError::Refused(format!("its answer cannot be read: {why}")))),
            },
            Posted::NotOffered(501) if is_first => Err(SourceError::NotOffered),
            Posted::NotOffered(status) => wrong(Alarm::Address(status)),
            // The portal's own words may hold values, and this error may be logged.
            Posted::Refused(_) | Posted::Conflict(_) => {
                Err(SourceError::Refused("it does not take the question".into()))
            }
            Posted::Later(after) => Err(SourceError::RetryAfter(after)),
            Posted::Unknown => Err(SourceError::RetryAfter(0)),
        }
    }

    fn theirs<'a>(&'a self, kind: &'a str) -> Result<&'a str, SourceError> {
        self.translation
            .type_of(kind)
            .ok_or_else(|| SourceError::Refused(format!("the manifest gives {kind} no name there")))
    }
}

/// What a write's answer means to the engine.
fn outcome(told: Option<Told>, write: &Write) -> Outcome {
    match told {
        Some(Told::Applied(receipt)) => Outcome::Applied(receipt),
        Some(Told::Refused(reason, fields)) => Outcome::Refused { reason, fields },
        Some(Told::Retry(after)) => Outcome::RetryAfter(after),
        // What was to be deleted and is not there is deleted.
        Some(Told::Missing) if write.delete => Outcome::Applied(Receipt::default()),
        // What became of the record, a reading tells.
        Some(Told::Missing) | None => Outcome::Unknown,
    }
}

impl Connector for Portal {
    fn batch_most(&self) -> usize {
        message::ROWS_MAX
    }

    fn deliver<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(self.deliver_all(writes))
    }

    fn read_back<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Vec<Result<Seen, ReadError>>> {
        Box::pin(self.read_all(asks))
    }
}

impl Source for Portal {
    fn list<'a>(&'a self, kind: &'a str, cursor: Option<&'a str>) -> BoxFuture<'a, Result<Page, SourceError>> {
        Box::pin(async move {
            let walk = Walk { kind: self.theirs(kind)?, since: None, cursor, limit: PAGE };
            self.page("syncline.list", kind, walk).await
        })
    }

    fn changed<'a>(
        &'a self,
        kind: &'a str,
        since: Millis,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, SourceError>> {
        Box::pin(async move {
            let walk = Walk { kind: self.theirs(kind)?, since: Some(since.to_string()), cursor, limit: PAGE };
            self.page("syncline.changed", kind, walk).await
        })
    }
}

//! The driver of one side: takes what is due from the engine, has it delivered, and feeds the outcomes back.
//!
//! All decisions read the engine's clock and a seeded generator, so [`Sender::step`] does the same in a test as it does under
//! [`Sender::run`], which only adds waiting.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{Id, JoinSet},
};
use tracing::{Instrument, Span, debug_span, field::Empty};

use super::{
    Ask, Connector, Outcome, ReadError, Seen, Write,
    breaker::{Allowed, Breaker},
    chance::Chance,
    retry::Backoff,
};
use crate::{
    clock::Millis,
    engine::{Engine, EngineError},
    id::{RecordId, SideName},
};

/// How a side is driven. Every setting has a default.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most calls at one time.
    pub calls_at_once: usize,
    /// The waits between the tries of one write.
    pub retry: Backoff,
    /// After how many failed calls in a row the side is left alone.
    pub failures_most: u32,
    /// The pauses in which it is left alone.
    pub pauses: Backoff,
    /// What the jitter follows from.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            calls_at_once: 4,
            retry: Backoff::default(),
            failures_most: 5,
            pauses: Backoff { first: 1_000, most: 60_000 },
            seed: 0,
        }
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stepped {
    /// Writes that the side took.
    pub applied: usize,
    /// Writes that it refused.
    pub refused: usize,
    /// Writes that are tried again.
    pub again: usize,
    /// Writes of which nothing is known until they are read back.
    pub unknown: usize,
    /// Records read back.
    pub read: usize,
    /// Records that could not be read.
    pub unread: usize,
}

impl Stepped {
    /// Adds what another step did.
    pub fn add(&mut self, other: Stepped) {
        self.applied += other.applied;
        self.refused += other.refused;
        self.again += other.again;
        self.unknown += other.unknown;
        self.read += other.read;
        self.unread += other.unread;
    }

    /// Whether there was nothing to do.
    pub fn is_idle(&self) -> bool {
        *self == Stepped::default()
    }
}

/// Drives one side.
pub struct Sender {
    engine: Engine,
    side: SideName,
    connector: Arc<dyn Connector>,
    settings: Settings,
    tries: Mutex<Tries>,
}

/// What decides about trying again.
struct Tries {
    breaker: Breaker,
    chance: Chance,
}

/// What a call was about.
#[derive(Clone)]
enum Call {
    Deliver(Arc<Vec<Write>>),
    Read(Arc<Vec<Ask>>),
}

/// What a call says of its side's health.
#[derive(Clone, Copy, Default)]
struct Health {
    /// The side answered something of it.
    answered: bool,
    /// The side failed, and asked for so many milliseconds of patience.
    failed: Option<i64>,
}

impl Health {
    fn fails(&mut self, asked: i64) {
        self.failed = self.failed.max(Some(asked));
    }
}

/// What came of it.
enum Answer {
    Delivered(Vec<Outcome>),
    Read(Vec<Result<Seen, ReadError>>),
}

impl Sender {
    /// A driver of this side; it does nothing until it is stepped or run.
    pub fn new(engine: Engine, side: SideName, connector: Arc<dyn Connector>, settings: Settings) -> Self {
        let breaker = Breaker::new(settings.failures_most, settings.pauses);
        let tries = Mutex::new(Tries { breaker, chance: Chance::new(settings.seed) });
        Sender { engine, side, connector, settings, tries }
    }

    /// The side.
    pub fn side(&self) -> &SideName {
        &self.side
    }

    /// Whether the side is left alone for now.
    pub fn is_paused(&self) -> bool {
        self.tries().breaker.is_open()
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.tries.lock().expect("no code panics while it decides about a retry")
    }

    /// Delivers everything that is due now, and settles what it brings with it, until nothing more is due.
    ///
    /// # Errors
    /// If the engine fails; writes under way then count as unknown and are read back.
    ///
    /// # After a crash
    /// Or when the future is dropped: writes under way count as unknown.
    pub async fn step(&self) -> Result<Stepped, EngineError> {
        let mut all = Stepped::default();
        loop {
            let round = self.round().await?;
            if round.is_idle() {
                return Ok(all);
            }
            all.add(round);
        }
    }

    /// Makes one round of calls, as many as the breaker and the settings allow.
    ///
    /// # Errors
    /// As [`Sender::step`].
    ///
    /// # After a crash
    /// As [`Sender::step`].
    pub async fn round(&self) -> Result<Stepped, EngineError> {
        let calls = match self.tries().breaker.allows(self.engine.now()) {
            Allowed::All => self.settings.calls_at_once.max(1),
            Allowed::One => 1,
            Allowed::NoneBefore(_) => return Ok(Stepped::default()),
        };
        let batch = self.connector.batch_most().max(1);
        // One call that tries out whether the side is back carries one record.
        let most = if calls == 1 { 1 } else { calls * batch };
        let (engine, side) = (self.engine.clone(), self.side.clone());
        let handed = blocking(move || {
            let (writes, asks) = engine.due(&side, most)?;
            Ok(Handed { engine, writes, asks })
        });
        let handed = handed.await?;
        if handed.writes.is_empty() && handed.asks.is_empty() {
            return Ok(Stepped::default());
        }
        // One that came to nothing more than once goes alone: a side may fail at a whole call because of one write in it.
        let (alone, together): (Vec<Write>, Vec<Write>) =
            handed.writes.iter().cloned().partition(|write| write.attempts > 1);
        let writes = together.chunks(batch).chain(alone.chunks(1));
        let writes = writes.map(|part| Call::Deliver(Arc::new(part.to_vec())));
        let asks = handed.asks.chunks(batch).map(|part| Call::Read(Arc::new(part.to_vec())));
        let calls = writes.chain(asks).collect();
        self.answer(calls, handed).await
    }

    /// Makes the calls side by side and feeds every answer back as it comes.
    async fn answer(&self, calls: Vec<Call>, mut handed: Handed) -> Result<Stepped, EngineError> {
        let mut under_way = JoinSet::new();
        let mut about: HashMap<Id, Call> = HashMap::new();
        for call in calls {
            let (connector, made) = (self.connector.clone(), call.clone());
            let task = under_way.spawn(async move {
                match made {
                    Call::Deliver(writes) => {
                        let span = delivering(&writes);
                        Answer::Delivered(connector.deliver(&writes).instrument(span).await)
                    }
                    Call::Read(asks) => Answer::Read(connector.read_back(&asks).await),
                }
            });
            about.insert(task.id(), call);
        }
        let mut all = Stepped::default();
        while let Some(joined) = under_way.join_next_with_id().await {
            let (id, answer) = match joined {
                Ok((id, answer)) => (id, Some(answer)),
                Err(why) => {
                    tracing::error!(side = %self.side, error = %why, "a connector died in a call");
                    (why.id(), None)
                }
            };
            let call = about.remove(&id).expect("every call is noted when it starts");
            handed.take(&call);
            all.add(self.feed(call, answer).await?);
        }
        Ok(all)
    }

    async fn feed(&self, call: Call, answer: Option<Answer>) -> Result<Stepped, EngineError> {
        match (call, answer) {
            (Call::Deliver(writes), Some(Answer::Delivered(outcomes))) => self.feed_outcomes(&writes, outcomes).await,
            (Call::Deliver(writes), _) => self.feed_outcomes(&writes, Vec::new()).await,
            (Call::Read(asks), Some(Answer::Read(answers))) => self.feed_readings(&asks, answers).await,
            (Call::Read(asks), _) => self.feed_readings(&asks, Vec::new()).await,
        }
    }

    async fn feed_outcomes(&self, writes: &[Write], mut outcomes: Vec<Outcome>) -> Result<Stepped, EngineError> {
        if outcomes.len() != writes.len() {
            tracing::error!(side = %self.side, due = writes.len(), got = outcomes.len(), "an answer for each write was due");
            outcomes.resize(writes.len(), Outcome::Unknown);
        }
        let mut stepped = Stepped::default();
        let mut health = Health::default();
        for (write, outcome) in writes.iter().zip(&mut outcomes) {
            match outcome {
                Outcome::Applied(_) => (stepped.applied, health.answered) = (stepped.applied + 1, true),
                Outcome::Refused { .. } => (stepped.refused, health.answered) = (stepped.refused + 1, true),
                Outcome::RetryAfter(millis) => {
                    stepped.again += 1;
                    health.fails(*millis);
                    *millis = self.wait(write.attempts, *millis);
                }
                Outcome::NotYet(millis) => {
                    stepped.again += 1;
                    *millis = self.wait(write.attempts, *millis);
                }
                Outcome::Unknown => {
                    stepped.unknown += 1;
                    health.fails(0);
                }
            }
        }
        self.note(health);
        let fed: Vec<(Write, Outcome)> = writes.iter().cloned().zip(outcomes).collect();
        let engine = self.engine.clone();
        blocking(move || engine.outcome(fed)).await?;
        Ok(stepped)
    }

    async fn feed_readings(
        &self,
        asks: &[Ask],
        mut answers: Vec<Result<Seen, ReadError>>,
    ) -> Result<Stepped, EngineError> {
        answers.resize(asks.len(), Err(ReadError::RetryAfter(0)));
        let mut stepped = Stepped::default();
        let mut health = Health::default();
        let mut fed = Vec::new();
        for (ask, answer) in asks.iter().zip(answers) {
            let answer = answer.map_err(|why| {
                if let ReadError::RetryAfter(millis) = why {
                    health.fails(millis);
                }
                self.wait(0, why.wait())
            });
            stepped.read += usize::from(answer.is_ok());
            stepped.unread += usize::from(answer.is_err());
            fed.push((ask.clone(), answer));
        }
        health.answered = stepped.read > 0;
        self.note(health);
        let engine = self.engine.clone();
        blocking(move || fed.into_iter().try_for_each(|(ask, answer)| engine.seen(ask, answer))).await?;
        Ok(stepped)
    }

    fn wait(&self, attempts: u32, asked: i64) -> i64 {
        let random = self.tries().chance.number();
        self.settings.retry.wait(attempts, asked, random)
    }

    /// Tells the breaker of a call: it failed if nothing in it was answered; one that never left says nothing of the side.
    fn note(&self, health: Health) {
        let now = self.engine.now();
        let mut tries = self.tries();
        match health.failed {
            _ if health.answered => tries.breaker.succeeded(),
            Some(asked) => {
                let random = tries.chance.number();
                tries.breaker.failed(now, asked, random);
            }
            None => {}
        }
    }

    /// Reads records back unasked, so that what was lost on the way is found; returns those that could not be read.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn reconcile(&self, records: &[(RecordId, Option<Box<str>>)]) -> Result<Vec<RecordId>, EngineError> {
        let mut unread = Vec::new();
        for part in records.chunks(self.connector.batch_most().max(1)) {
            let ask = |(record, link): &(RecordId, Option<Box<str>>)| Ask {
                side: self.side.clone(),
                record: record.clone(),
                link: link.clone(),
                fields: Vec::new(),
                about: None,
            };
            let asks: Vec<Ask> = part.iter().map(ask).collect();
            let mut answers = self.connector.read_back(&asks).await;
            answers.resize(asks.len(), Err(ReadError::RetryAfter(0)));
            let mut read = Vec::new();
            for (ask, answer) in asks.into_iter().zip(answers) {
                match answer {
                    Ok(seen) => read.push((ask.record, seen)),
                    Err(_) => unread.push(ask.record),
                }
            }
            let (engine, side) = (self.engine.clone(), self.side.clone());
            blocking(move || read.into_iter().try_for_each(|(record, seen)| engine.observe(&side, &record, seen)))
                .await?;
        }
        Ok(unread)
    }

    /// Drives the side until `shutdown` becomes true or its sender is gone.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) -> Result<(), EngineError> {
        let mut changed = self.engine.subscribe();
        loop {
            changed.mark_unchanged();
            if *shutdown.borrow_and_update() {
                return Ok(());
            }
            self.step().await?;
            let wait = self.next()?.map(|at| Duration::from_millis((at.0 - self.engine.now().0).max(1) as u64));
            let timer = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                stop = shutdown.changed() => if stop.is_err() { return Ok(()) },
                news = changed.changed() => if news.is_err() { return Ok(()) },
                () = timer => {}
            }
        }
    }

    /// When there is something to do next; `None`: not before the engine hears something.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn next(&self) -> Result<Option<Millis>, EngineError> {
        let due = self.engine.next_due(&self.side)?;
        let allowed = match self.tries().breaker.allows(self.engine.now()) {
            Allowed::NoneBefore(at) => at,
            Allowed::All | Allowed::One => Millis(i64::MIN),
        };
        Ok(due.map(|due| due.max(allowed)))
    }
}

/// The span of a call, by the keys of its writes.
fn delivering(writes: &[Write]) -> Span {
    let span = debug_span!(target: "syncline::change", "deliver", writes = Empty);
    if !span.is_disabled() {
        let keys: Vec<&str> = writes.iter().map(|write| write.key.as_str()).collect();
        span.record("writes", keys.join(" "));
    }
    span
}

/// What the engine has handed out; what is not answered, because the driver was dropped or failed, counts as unknown.
struct Handed {
    engine: Engine,
    writes: Vec<Write>,
    asks: Vec<Ask>,
}

impl Handed {
    fn take(&mut self, call: &Call) {
        match call {
            Call::Deliver(writes) => self.writes.retain(|write| !writes.contains(write)),
            Call::Read(asks) => self.asks.retain(|ask| !asks.contains(ask)),
        }
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        let unknown = self.writes.drain(..).map(|write| (write, Outcome::Unknown)).collect::<Vec<_>>();
        let mut done = if unknown.is_empty() { Ok(()) } else { self.engine.outcome(unknown) };
        for ask in self.asks.drain(..) {
            done = done.and(self.engine.seen(ask, Err(0)));
        }
        if let Err(why) = done {
            tracing::error!(
                error = &why as &dyn std::error::Error,
                "what was under way is read back after the next open"
            );
        }
    }
}

/// Runs what waits for the disk where it holds up no other task.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
        Err(_) => Err(EngineError::Poisoned),
    }
}

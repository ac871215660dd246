//! One side in service: its writes leave, and it is read when that is due.
//!
//! [`SideService::turn`] does one piece of reading, the most urgent that is due, and says when there is more to do;
//! [`SideService::deliver`] sends one round of writes. Both read the tenant's clock alone, so that a test which turns it sees what a
//! running service does.

use std::{
    sync::{
        Arc, Mutex as Plain, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, Notify};

use super::{
    alarm::{AlarmKind, Alarms},
    marks::SideMarks,
    reach::{ClockReading, Reach},
    reader::{Reader, ServiceError, Step},
    reconcile::{Reconciliation, Report},
    status::{ClockStatus, SideStatus},
};
use crate::{
    clock::Millis,
    engine::EngineError,
    event::{Author, Detail, Draft, Kind, Origin},
    id::{RecordId, SideName},
    send::{self, Sender, Stepped, chance::Chance, retry::Backoff},
    server::Hook,
};

/// A new reading of a clock is an event only if it differs from the offset in force by more than this, in milliseconds:
/// each such event has every record looked at again.
const CLOCK_STEP_MS: i64 = 2_000;
/// The pauses after a call for reading that came to nothing.
pub(super) const PAUSES: Backoff = Backoff { first: 1_000, most: 300_000 };
/// After so many of them in a row a reconciliation is given up until it is next due.
const RECONCILE_TRIES_MAX: u32 = 8;
/// How long a mark that says only when a side was last heard of may wait for the disk, in milliseconds.
const HEARD_KEPT_MS: i64 = 60_000;
/// How long a side is left alone while the disk is nearly full.
const NO_SPACE_MS: i64 = 5_000;

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something was done, and there may be more.
    Worked,
    /// There is nothing to do before this time; `None`: unless something happens.
    Idle(Option<Millis>),
}

/// What the next piece of reading is.
enum Job {
    Wanted,
    Poll(String),
    Backfill(String),
    Reconcile,
}

/// What reading a side is at.
struct Walk {
    not_before: Millis,
    attempts: u32,
    chance: Chance,
    reconciliation: Option<Reconciliation>,
    /// Whether the last piece of reading was a poll's: a long one takes turns with a backfill.
    polled: bool,
    clock: Option<ClockReading>,
    heard_kept: Option<Millis>,
}

/// What was done for a side since it was started.
#[derive(Default)]
struct Done {
    applied: AtomicU64,
    refused: AtomicU64,
    again: AtomicU64,
    unknown: AtomicU64,
    read_back: AtomicU64,
    pages: AtomicU64,
}

/// One side of a tenant in service.
pub(super) struct SideService {
    pub reader: Reader,
    reach: Reach,
    sender: Option<Sender>,
    alarms: Arc<Alarms>,
    walk: Mutex<Walk>,
    last_report: Plain<Option<Report>>,
    done: Done,
    began: Millis,
    paused: AtomicBool,
    /// Something was asked of the side besides what is scheduled.
    pub nudge: Arc<Notify>,
}

impl SideService {
    pub fn new(
        reader: Reader,
        reach: Reach,
        alarms: Arc<Alarms>,
        settings: send::Settings,
        nudge: Arc<Notify>,
    ) -> Result<Self, EngineError> {
        let engine = reader.engine().clone();
        let side = reader.name().clone();
        let sender = reach.connector.clone().map(|to| Sender::new(engine.clone(), side.clone(), to, settings));
        // What cannot be read as a whole is not waited for; what was read may have been said by another process only half.
        let is_reached = reach.connector.is_some() || reach.source.is_some();
        if is_reached && reader.unread_kind().is_none() && !engine.is_populated(&side)? {
            engine.set_populated(&side)?;
        }
        // A new sender has tried nothing yet.
        alarms.clear(&side, AlarmKind::Paused);
        let began = reader.now();
        let walk = Walk {
            not_before: Millis(i64::MIN),
            attempts: 0,
            chance: Chance::new(settings.seed ^ 0x5eed),
            reconciliation: None,
            polled: false,
            clock: None,
            heard_kept: reader.marks.of(&side).heard,
        };
        Ok(SideService {
            reader,
            reach,
            sender,
            alarms,
            walk: Mutex::new(walk),
            last_report: Plain::default(),
            done: Done::default(),
            began,
            paused: AtomicBool::new(false),
            nudge,
        })
    }

    pub fn name(&self) -> &SideName {
        self.reader.name()
    }

    /// Sends one round of what is due; idle if nothing was.
    pub async fn deliver(&self) -> Result<Stepped, ServiceError> {
        let Some(sender) = &self.sender else { return Ok(Stepped::default()) };
        let stepped = sender.round().await?;
        let add = |total: &AtomicU64, more: usize| total.fetch_add(more as u64, Ordering::Relaxed);
        add(&self.done.applied, stepped.applied);
        add(&self.done.refused, stepped.refused);
        add(&self.done.again, stepped.again);
        add(&self.done.unknown, stepped.unknown);
        add(&self.done.read_back, stepped.read);
        self.reader.read_back("in_doubt", stepped.read);
        if stepped.applied + stepped.refused + stepped.read > 0 {
            self.reader.heard();
        }
        self.watch_breaker(sender);
        Ok(stepped)
    }

    /// When a write is next due; `None`: not before something is heard.
    pub fn next_delivery(&self) -> Result<Option<Millis>, EngineError> {
        self.sender.as_ref().map_or(Ok(None), Sender::next)
    }

    fn watch_breaker(&self, sender: &Sender) {
        let paused = sender.is_paused();
        if self.paused.swap(paused, Ordering::Relaxed) == paused {
            return;
        }
        let now = self.reader.now();
        match paused {
            true => {
                let text = format!("calls to {} failed again and again; it is left alone for a while", self.name());
                self.alarms.raise(self.name(), AlarmKind::Paused, now, text);
            }
            false => self.alarms.clear(self.name(), AlarmKind::Paused),
        }
    }

    /// Does one piece of reading, if any is due.
    pub async fn turn(&self) -> Result<Turn, ServiceError> {
        let mut walk = self.walk.lock().await;
        if !self.reader.engine().has_space() {
            tracing::warn!(side = %self.name(), "the side is not read, since the disk is nearly full");
            return Ok(Turn::Idle(Some(self.reader.now().plus(NO_SPACE_MS))));
        }
        self.watch(&mut walk).await?;
        let now = self.reader.now();
        if now < walk.not_before {
            let at = walk.not_before;
            return Ok(Turn::Idle(self.earlier_of(Some(at))?));
        }
        let Some(job) = self.due_job(&walk, now) else {
            let at = self.next_job(&walk);
            return Ok(Turn::Idle(self.earlier_of(at)?));
        };
        self.done.pages.fetch_add(1, Ordering::Relaxed);
        let step = match &job {
            Job::Wanted => self.reader.read_wanted(self.reach.connector.as_ref()).await?,
            Job::Poll(kind) => self.reader.poll_page(kind).await?,
            Job::Backfill(kind) => self.reader.backfill_page(kind).await?,
            Job::Reconcile => self.reconcile_step(&mut walk).await?,
        };
        walk.polled = matches!(job, Job::Poll(_));
        self.settle(&mut walk, &job, step).await?;
        Ok(Turn::Worked)
    }

    /// The most urgent job that is due: news first, then what was never read, then what is only checked.
    fn due_job(&self, walk: &Walk, now: Millis) -> Option<Job> {
        let is_wanted = |marks: &SideMarks| marks.due(now).next().is_some();
        if self.reach.connector.is_some() && self.reader.marks.with(self.name(), is_wanted) {
            return Some(Job::Wanted);
        }
        let poll = self.reader.next_poll().filter(|(_, at)| *at <= now).map(|(kind, _)| Job::Poll(kind));
        let backfill = self.reader.unread_kind().map(Job::Backfill);
        let news_first = if walk.polled { backfill.or(poll) } else { poll.or(backfill) };
        if news_first.is_some() {
            return news_first;
        }
        let due = walk.reconciliation.is_some()
            || self.reader.next_reconcile(self.reach.connector.is_some()).is_some_and(|at| at <= now);
        due.then_some(Job::Reconcile)
    }

    fn next_job(&self, walk: &Walk) -> Option<Millis> {
        let poll = self.reader.next_poll().map(|(_, at)| at);
        let reconcile = match walk.reconciliation {
            Some(_) => Some(Millis(i64::MIN)),
            None => self.reader.next_reconcile(self.reach.connector.is_some()),
        };
        let put_off = |marks: &SideMarks| {
            marks.wanted.keys().filter_map(|record| marks.put_off.get(record)).map(|(_, at)| *at).min()
        };
        let wanted = self.reach.connector.as_ref().and_then(|_| self.reader.marks.with(self.name(), put_off));
        poll.into_iter().chain(reconcile).chain(wanted).min()
    }

    /// The earlier of a time and the one at which the side becomes stale.
    fn earlier_of(&self, at: Option<Millis>) -> Result<Option<Millis>, EngineError> {
        let stale = self.stale_at()?.filter(|at| *at > self.reader.now());
        Ok(at.into_iter().chain(stale).min())
    }

    async fn reconcile_step(&self, walk: &mut Walk) -> Result<Step, ServiceError> {
        let under_way = walk.reconciliation.get_or_insert_with(|| Reconciliation::of_all(&self.reader));
        self.reader.reconcile_step(under_way, self.reach.connector.as_ref()).await
    }

    /// Reads one page of what was never read, and says how long to wait before the next; `None`: there is none, or the side refuses.
    pub async fn backfill_step(&self) -> Result<Option<Duration>, ServiceError> {
        let mut walk = self.walk.lock().await;
        let Some(kind) = self.reader.unread_kind() else { return Ok(None) };
        let step = self.reader.backfill_page(&kind).await?;
        let refused = matches!(step, Step::Refused(_));
        self.settle(&mut walk, &Job::Backfill(kind), step).await?;
        let wait = walk.not_before.0.saturating_sub(self.reader.now().0).max(0);
        Ok((!refused).then(|| Duration::from_millis(wait.unsigned_abs())))
    }

    /// Notes what a piece of reading came to.
    async fn settle(&self, walk: &mut Walk, job: &Job, step: Step) -> Result<(), ServiceError> {
        let is_reconcile = matches!(job, Job::Reconcile);
        match step {
            Step::More | Step::Done => {
                (walk.attempts, walk.not_before) = (0, Millis(i64::MIN));
                self.alarms.clear(self.name(), AlarmKind::Refused);
                if is_reconcile && step == Step::Done {
                    self.end_reconciliation(walk, None).await?;
                }
            }
            Step::Later(asked) => {
                self.pause(walk, asked);
                if is_reconcile && walk.attempts > RECONCILE_TRIES_MAX {
                    self.end_reconciliation(walk, Some("the side could not be asked".to_owned())).await?;
                }
            }
            Step::Refused(reason) => {
                self.pause(walk, PAUSES.most);
                let text = format!("{} refuses to be read: {reason}", self.name());
                self.alarms.raise(self.name(), AlarmKind::Refused, self.reader.now(), text);
                if is_reconcile {
                    self.end_reconciliation(walk, Some(reason)).await?;
                }
            }
        }
        Ok(())
    }

    fn pause(&self, walk: &mut Walk, asked: i64) {
        let random = walk.chance.number();
        walk.not_before = self.reader.now().plus(PAUSES.wait(walk.attempts, asked, random));
        walk.attempts += 1;
    }

    async fn end_reconciliation(&self, walk: &mut Walk, stopped: Option<String>) -> Result<(), ServiceError> {
        let Some(mut ended) = walk.reconciliation.take() else { return Ok(()) };
        ended.report.stopped = stopped;
        self.reader.reconciled(&ended.report).await?;
        *self.last_report() = Some(ended.report);
        Ok(())
    }

    fn last_report(&self) -> MutexGuard<'_, Option<Report>> {
        self.last_report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reconciles everything, or these records, now; a side that cannot be asked leaves the report unfinished.
    pub async fn reconcile_now(&self, records: Option<Vec<RecordId>>) -> Result<Report, ServiceError> {
        let mut walk = self.walk.lock().await;
        let of_all = records.is_none();
        let mut under_way = match records {
            Some(records) => Reconciliation::of_records(&self.reader, records),
            None => walk.reconciliation.take().unwrap_or_else(|| Reconciliation::of_all(&self.reader)),
        };
        loop {
            match self.reader.reconcile_step(&mut under_way, self.reach.connector.as_ref()).await? {
                Step::More => continue,
                Step::Done => break,
                Step::Later(_) => under_way.report.stopped = Some("the side could not be asked".to_owned()),
                Step::Refused(reason) => under_way.report.stopped = Some(reason),
            }
            break;
        }
        if of_all && under_way.report.stopped.is_none() {
            self.reader.reconciled(&under_way.report).await?;
            *self.last_report() = Some(under_way.report.clone());
        }
        drop(walk);
        Ok(under_way.report)
    }

    /// Watches the side's clock and its silence.
    async fn watch(&self, walk: &mut Walk) -> Result<(), ServiceError> {
        self.watch_clock(walk).await?;
        let now = self.reader.now();
        match self.reach.gauge.as_ref().and_then(|gauge| gauge.trouble()) {
            Some((text, since)) => self.alarms.raise(self.name(), AlarmKind::Trouble, since, text),
            None => self.alarms.clear(self.name(), AlarmKind::Trouble),
        }
        match self.stale_at()?.filter(|at| *at <= now) {
            Some(_) => {
                let since = self.heard_at()?;
                let text = format!("nothing was heard of {} since {since}", self.name());
                self.alarms.raise(self.name(), AlarmKind::Stale, now, text);
            }
            None => self.alarms.clear(self.name(), AlarmKind::Stale),
        }
        let heard = self.heard_at()?;
        if walk.heard_kept.is_none_or(|kept| heard.0 - kept.0 >= HEARD_KEPT_MS) && heard > self.began {
            walk.heard_kept = Some(heard);
            self.reader.marks.change(self.name(), |marks| marks.heard = Some(heard));
            self.reader.save().await?;
        }
        Ok(())
    }

    /// When the side was last heard of; a new one, since its service began.
    fn heard_at(&self) -> Result<Millis, EngineError> {
        let said = self.reader.engine().heard_of(self.name())?;
        Ok(self.reader.marks.with(self.name(), |marks| marks.heard).max(said).unwrap_or(self.began))
    }

    fn stale_at(&self) -> Result<Option<Millis>, EngineError> {
        let Some(most) = self.reader.side.staleness else { return Ok(None) };
        let most = i64::try_from(most.as_millis()).unwrap_or(i64::MAX);
        Ok(Some(self.heard_at()?.plus(most)))
    }

    /// Takes a new reading of the side's clock: two that agree make an event, one beyond the bound an alarm.
    async fn watch_clock(&self, walk: &mut Walk) -> Result<(), ServiceError> {
        let Some(reading) = self.reach.gauge.as_ref().and_then(|gauge| gauge.clock()) else { return Ok(()) };
        if walk.clock.is_some_and(|known| known.at >= reading.at) {
            return Ok(());
        }
        let before = walk.clock.replace(reading);
        let clock = self.reader.side.clock;
        let most = i64::try_from(clock.max_offset.as_millis()).unwrap_or(i64::MAX);
        match reading.ahead.saturating_abs() > most {
            true => {
                let text = format!("the clock of {} is {} ms ahead of ours", self.name(), reading.ahead);
                self.alarms.raise(self.name(), AlarmKind::Clock, self.reader.now(), text);
            }
            false => self.alarms.clear(self.name(), AlarmKind::Clock),
        }
        let engine = self.reader.engine();
        let in_force = engine.now_on(self.name())?.0 - engine.now().0;
        let step = CLOCK_STEP_MS.max(clock.resolution_ms().saturating_mul(2));
        let agrees = before.is_some_and(|before| (before.ahead - reading.ahead).abs() <= step);
        if !agrees || (reading.ahead - in_force).abs() <= step {
            return Ok(());
        }
        // It has held since the first of the two at least.
        let since = before.map_or(reading.at, |before| before.at);
        let there = since.plus(reading.ahead);
        let origin = Origin::side(self.name().clone());
        let mut draft = Draft::new(Kind::Clock, RecordId::tenant(), origin, there, Author::engine());
        draft.detail = Detail::Clock(reading.ahead);
        tracing::info!(side = %self.name(), ahead_ms = reading.ahead, "the side's clock is taken to be this far ahead");
        self.reader.handle.call(move |engine| engine.say(vec![draft])).await?;
        Ok(())
    }

    /// How the side is.
    pub fn status(&self) -> Result<SideStatus, EngineError> {
        let engine = self.reader.engine();
        let (writes, since) = engine.outbox(self.name())?;
        let marks: SideMarks = self.reader.marks.of(self.name());
        let count = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let reading = self.reach.gauge.as_ref().and_then(|gauge| gauge.clock());
        Ok(SideStatus {
            side: self.name().clone(),
            heard: marks.heard.max(engine.heard_of(self.name())?),
            outbox: writes,
            outbox_since: since,
            paused: self.sender.as_ref().is_some_and(Sender::is_paused),
            quota: self.reach.gauge.as_ref().map(|gauge| gauge.quota()).unwrap_or_default(),
            backfill: self.reader.backfill_progress(),
            clock: ClockStatus {
                ahead: engine.now_on(self.name())?.0 - engine.now().0,
                measured: reading.map(|reading| reading.ahead),
            },
            reconciled: marks.reconcile,
            applied: count(&self.done.applied),
            refused: count(&self.done.refused),
            tried_again: count(&self.done.again),
            in_doubt: count(&self.done.unknown),
            read_back: count(&self.done.read_back),
            reading_calls: count(&self.done.pages),
        })
    }

    /// Whether anything can be sent to it or asked of it.
    pub fn is_reached(&self) -> bool {
        self.reach.connector.is_some() || self.reach.source.is_some()
    }

    /// How it calls us.
    pub fn hook(&self) -> Option<Arc<dyn Hook>> {
        self.reach.hook.clone()
    }

    /// The last reconciliation of everything since the service began.
    pub fn report(&self) -> Option<Report> {
        self.last_report().clone()
    }
}

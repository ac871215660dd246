//! Waiting for a place in a side's quota.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::quota::{Lane, Limits, Quota, Told, Urgency, Window, WindowCount};
use crate::clock::Clock;

/// The longest that a call waits in the queue, in milliseconds; one that would wait longer is turned away at once.
pub const PATIENCE: i64 = 12_000;
/// After how long a waiting call looks again, in milliseconds: the clock may have been turned.
const LOOK: i64 = 100;
/// How long a backfill gives way to interactive calls that wait, in milliseconds.
const GIVE_WAY: i64 = 25;

/// There is no place for a call for so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the side's quota is used up; there is room again in {0} ms")]
pub struct Full(pub i64);

/// The one way to a side: every call takes its place here first. Shared by all that call the side, in order of arrival.
pub struct Gate {
    clock: Arc<dyn Clock>,
    quota: Mutex<Quota>,
    freed: Notify,
    /// One queue for each lane of each urgency, so that calls leave in the order in which they came.
    queues: [tokio::sync::Mutex<()>; 4],
    taken: [AtomicU64; 2],
    waited: [AtomicU64; 2],
    waited_ms: [AtomicU64; 2],
    turned_away: [AtomicU64; 2],
    interactive_waiting: AtomicU64,
}

/// What went through a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateCounts {
    /// By urgency: interactive, then backfill.
    pub by_urgency: [UrgencyCount; 2],
    /// By window.
    pub windows: [WindowCount; 4],
}

/// What went through a gate with one urgency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrgencyCount {
    /// Calls that got a place.
    pub taken: u64,
    /// Those that had to wait for it.
    pub waited: u64,
    /// How long they waited in all, in milliseconds.
    pub waited_ms: u64,
    /// Calls that would have had to wait too long.
    pub turned_away: u64,
}

impl Gate {
    /// A gate with these limits. `clock` should be one that is not set back or forth.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Gate {
            clock,
            quota: Mutex::new(Quota::new(limits)),
            freed: Notify::new(),
            queues: Default::default(),
            taken: Default::default(),
            waited: Default::default(),
            waited_ms: Default::default(),
            turned_away: Default::default(),
            interactive_waiting: AtomicU64::new(0),
        }
    }

    fn quota(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock().expect("no code panics while it counts calls")
    }

    /// Waits for a place; the call may leave at once, and holds the place until the permit is dropped.
    ///
    /// # Errors
    /// If there is no place within [`PATIENCE`].
    pub async fn take(&self, urgency: Urgency, lane: Lane) -> Result<Permit<'_>, Full> {
        let began = self.clock.now();
        let _waiting = (urgency == Urgency::Interactive).then(|| Waiting::new(self));
        let _turn = self.queues[urgency as usize * 2 + lane as usize].lock().await;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let wait = match self.try_take(urgency, lane) {
                Ok(()) => break,
                Err(wait) if wait > PATIENCE => {
                    self.turned_away[urgency as usize].fetch_add(1, Ordering::Relaxed);
                    return Err(Full(wait));
                }
                Err(wait) => wait.clamp(1, LOOK) as u64,
            };
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep(Duration::from_millis(wait)) => {}
            }
        }
        let waited = (self.clock.now().0 - began.0).max(0) as u64;
        self.taken[urgency as usize].fetch_add(1, Ordering::Relaxed);
        if waited > 0 {
            self.waited[urgency as usize].fetch_add(1, Ordering::Relaxed);
            self.waited_ms[urgency as usize].fetch_add(waited, Ordering::Relaxed);
        }
        Ok(Permit { gate: self, urgency, lane, sent: true })
    }

    fn try_take(&self, urgency: Urgency, lane: Lane) -> Result<(), i64> {
        if urgency == Urgency::Backfill && self.interactive_waiting.load(Ordering::Relaxed) > 0 {
            return Err(GIVE_WAY);
        }
        self.quota().take(self.clock.now(), urgency, lane)
    }

    /// As [`Quota::heard`].
    pub fn heard(&self, told: &Told) {
        self.quota().heard(self.clock.now(), told);
    }

    /// As [`Quota::refused`].
    pub fn refused(&self, window: Option<Window>, asked: Option<i64>) -> i64 {
        self.quota().refused(self.clock.now(), window, asked)
    }

    /// As [`Quota::hold`].
    pub fn hold(&self, wait: i64) {
        self.quota().hold(self.clock.now(), wait);
    }

    /// What went through so far.
    pub fn counts(&self) -> GateCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let by_urgency = [0, 1].map(|at| UrgencyCount {
            taken: read(&self.taken[at]),
            waited: read(&self.waited[at]),
            waited_ms: read(&self.waited_ms[at]),
            turned_away: read(&self.turned_away[at]),
        });
        GateCounts { by_urgency, windows: self.quota().windows(self.clock.now()) }
    }
}

/// A place in the quota. Dropped, also when the call breaks off, it counts from then on as a call that has ended.
#[must_use = "a call may leave only while its permit is held"]
pub struct Permit<'a> {
    gate: &'a Gate,
    urgency: Urgency,
    lane: Lane,
    sent: bool,
}

impl Permit<'_> {
    /// Gives the place back: the call certainly never reached the side.
    pub fn unused(mut self) {
        self.sent = false;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let now = self.gate.clock.now();
        match self.sent {
            true => self.gate.quota().ended(now, self.urgency, self.lane),
            false => self.gate.quota().unused(self.urgency, self.lane),
        }
        self.gate.freed.notify_waiters();
    }
}

/// An interactive call in the queue, which a backfill gives way to.
struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.interactive_waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.interactive_waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;
    use crate::clock::{HandClock, Millis};

    fn gate(per_ten_seconds: u64) -> (Gate, HandClock) {
        let clock = HandClock::at(Millis(1_000_000));
        let limits = Limits { per_ten_seconds: Some(per_ten_seconds), ..Limits::default() };
        (Gate::new(limits, Arc::new(clock.clone())), clock)
    }

    #[tokio::test]
    async fn a_call_waits_for_its_place_and_leaves_as_soon_as_the_clock_says_so() {
        let (gate, clock) = gate(1);
        drop(gate.take(Urgency::Interactive, Lane::Plain).await.expect("a place"));
        let mut waiting = std::pin::pin!(gate.take(Urgency::Interactive, Lane::Plain));
        assert!(waiting.as_mut().now_or_never().is_none());
        clock.advance(10_100);
        drop(waiting.await.expect("a place"));
        let counts = gate.counts();
        assert_eq!(counts.by_urgency[0], UrgencyCount { taken: 2, waited: 1, waited_ms: 10_100, turned_away: 0 });
    }

    #[tokio::test]
    async fn a_call_that_would_wait_too_long_is_turned_away() {
        let (gate, clock) = gate(10);
        gate.hold(PATIENCE + 1);
        let refused = gate.take(Urgency::Interactive, Lane::Plain).await.map(drop);
        assert_eq!(refused, Err(Full(PATIENCE + 1)));
        clock.advance(PATIENCE + 1);
        assert!(gate.take(Urgency::Interactive, Lane::Plain).await.is_ok());
        assert_eq!(gate.counts().by_urgency[0].turned_away, 1);
    }

    #[tokio::test]
    async fn calls_leave_in_the_order_in_which_they_came() {
        let (gate, clock) = gate(1);
        drop(gate.take(Urgency::Interactive, Lane::Plain).await.expect("a place"));
        let left = Mutex::new(Vec::new());
        let call = async |number: usize| {
            let permit = gate.take(Urgency::Interactive, Lane::Plain).await.expect("a place");
            left.lock().expect("a lock").push(number);
            drop(permit);
            clock.advance(10_100);
        };
        let turn = async {
            tokio::task::yield_now().await;
            clock.advance(10_100);
        };
        tokio::join!(join_all((0..5).map(call)), turn);
        assert_eq!(*left.lock().expect("a lock"), [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_backfill_gives_way_to_whoever_waits_and_goes_on_after() {
        let (gate, clock) = gate(2);
        let held = gate.take(Urgency::Interactive, Lane::Plain).await.expect("a place");
        drop(gate.take(Urgency::Interactive, Lane::Plain).await.expect("a place"));
        let mut interactive = Box::pin(gate.take(Urgency::Interactive, Lane::Plain));
        assert!(interactive.as_mut().now_or_never().is_none());
        clock.advance(60_000);
        drop(held);
        // There is a place now, and the clock stands still, so only giving way keeps the backfill from it.
        let mut backfill = Box::pin(gate.take(Urgency::Backfill, Lane::Plain));
        assert!(backfill.as_mut().now_or_never().is_none());
        drop(interactive.await.expect("a place"));
        clock.advance(60_000);
        assert!(backfill.await.is_ok());
    }

    #[tokio::test]
    async fn a_call_that_gives_up_waiting_leaves_nothing_behind() {
        let (gate, clock) = gate(1);
        drop(gate.take(Urgency::Interactive, Lane::Plain).await.expect("a place"));
        let mut waiting = Box::pin(gate.take(Urgency::Interactive, Lane::Plain));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(waiting);
        clock.advance(10_100);
        assert!(gate.take(Urgency::Backfill, Lane::Plain).await.is_ok(), "nobody waits any more");
    }
}

//! How many calls a side allows, and whether the next one may leave now.
//!
//! A window is rolling: a call takes a place in it from the moment it may leave until one window's length after its
//! answer was there. The side counts it somewhere in between, so however it cuts its own windows, it never counts more
//! than fit. A bucket that is refilled bit by bit would let twice as many through around a full second.
//!
//! Everything here takes the time as an argument; [`gate`](super::gate) does the waiting.

use std::collections::VecDeque;

use crate::clock::Millis;

/// After how long a day that was used up is tried with one call: the side's midnight is not known.
const DAY_PROBE: i64 = 15 * 60_000;
/// How long a call waits for others under way to end, where nothing better is known.
const UNDER_WAY: i64 = 20;
const SECOND: i64 = 1_000;
const TEN_SECONDS: i64 = 10_000;
const DAY: i64 = 86_400_000;

/// The most calls that a side allows; `None`: no limit of ours, though the side's own word still holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// In any second.
    pub per_second: Option<u64>,
    /// In any ten seconds.
    pub per_ten_seconds: Option<u64>,
    /// In any day.
    pub per_day: Option<u64>,
    /// Searches in any second, which count as calls as well.
    pub searches_per_second: Option<u64>,
}

/// How much a call matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Somebody waits for it.
    Interactive,
    /// It fills up what is left: never the reserve, never before an interactive call, and evenly.
    Backfill,
}

/// Which limits a call counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The plain ones.
    Plain,
    /// Those, and that of searches.
    Search,
}

/// A window of calls, as metrics and refusals name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// Any second.
    Second,
    /// Any ten seconds.
    TenSeconds,
    /// A day.
    Day,
    /// Searches in any second.
    Search,
}

impl Window {
    /// All of them.
    pub const ALL: [Window; 4] = [Window::Second, Window::TenSeconds, Window::Day, Window::Search];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Window::Second => "second",
            Window::TenSeconds => "ten_seconds",
            Window::Day => "day",
            Window::Search => "search",
        }
    }
}

/// What an answer says of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The most calls of a window, those that are left, and the window's length in milliseconds.
    pub burst: Option<(u64, u64, i64)>,
    /// The most calls of a day, and those that are left.
    pub day: Option<(u64, u64)>,
}

/// One window and what has been counted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowCount {
    /// Which.
    pub window: Window,
    /// The most calls; `None`: nobody named a limit.
    pub limit: Option<u64>,
    /// The calls that take a place in it now.
    pub used: u64,
    /// The calls that may still leave; `None`: no limit.
    pub remaining: Option<u64>,
    /// How often the side refused a call for it.
    pub refused: u64,
}

/// A rolling window.
#[derive(Debug)]
struct Rolling {
    length: i64,
    own: Option<u64>,
    told: Option<u64>,
    under_way: u64,
    /// Calls that have ended, by the last end among those that share an entry.
    ended: VecDeque<(Millis, u64)>,
    ended_sum: u64,
    closed_until: Millis,
    refused: u64,
}

impl Rolling {
    fn new(length: i64, own: Option<u64>) -> Self {
        let (ended, closed_until) = (VecDeque::new(), Millis(i64::MIN));
        Rolling { length, own, told: None, under_way: 0, ended, ended_sum: 0, closed_until, refused: 0 }
    }

    fn limit(&self) -> Option<u64> {
        [self.own, self.told].into_iter().flatten().min()
    }

    fn used(&self) -> u64 {
        self.ended_sum + self.under_way
    }

    /// From when on a call that ended at `at` no longer counts; a hundredth more than the window, for clocks differ.
    fn over(&self, at: Millis) -> Millis {
        at.plus(self.length + self.length / 100)
    }

    fn forget(&mut self, now: Millis) {
        while let Some(&(at, count)) = self.ended.front()
            && self.over(at) <= now
        {
            self.ended.pop_front();
            self.ended_sum -= count;
        }
    }

    fn end(&mut self, now: Millis, count: u64) {
        self.ended_sum += count;
        let step = self.length / 1000;
        // Entries within a thousandth of the window share the time of the last, so a day of a million calls stays small.
        let first = self.ended.back().map(|(at, _)| at.0 / step.max(1));
        match self.ended.back_mut() {
            Some(last) if first == Some(now.0 / step.max(1)) => *last = (now, last.1 + count),
            _ => self.ended.push_back((now, count)),
        }
    }

    /// How long until one more call fits while `reserve` places stay free; zero: now.
    fn wait(&self, now: Millis, limit: Option<u64>, reserve: u64) -> i64 {
        let closed = self.closed_until.0.saturating_sub(now.0).max(0);
        let Some(limit) = limit else { return closed };
        let mut due = (self.used() + 1 + reserve).saturating_sub(limit);
        for &(at, count) in &self.ended {
            if due == 0 {
                return closed;
            }
            due = due.saturating_sub(count);
            if due == 0 {
                return closed.max(self.over(at).0 - now.0);
            }
        }
        if due == 0 { closed } else { closed.max(UNDER_WAY) }
    }

    /// What the side says that it has counted: calls of others take places as well.
    fn hear(&mut self, now: Millis, limit: u64, remaining: u64) {
        self.told = Some(limit);
        let counted = limit.saturating_sub(remaining);
        let others = counted.saturating_sub(self.used());
        if others > 0 {
            self.end(now, others);
        }
    }

    fn refuse(&mut self, until: Millis) {
        self.refused += 1;
        self.closed_until = self.closed_until.max(until);
    }

    fn count(&self, window: Window) -> WindowCount {
        let limit = self.limit();
        let remaining = limit.map(|limit| limit.saturating_sub(self.used()));
        WindowCount { window, limit, used: self.used(), remaining, refused: self.refused }
    }
}

/// The places that a backfill leaves free.
fn reserve(limit: u64) -> u64 {
    (limit / 5).max(1).min(limit.saturating_sub(1))
}

/// A short window with an even share for a backfill, so that places become free all the time and not all at once.
#[derive(Debug)]
struct Paced {
    window: Rolling,
    pace: Rolling,
}

impl Paced {
    fn new(length: i64, own: Option<u64>) -> Self {
        Paced { window: Rolling::new(length, own), pace: Rolling::new(length / 10, None) }
    }

    fn wait(&self, now: Millis, urgency: Urgency) -> i64 {
        let limit = self.window.limit();
        match (urgency, limit) {
            (Urgency::Backfill, Some(most)) => {
                let kept = reserve(most);
                let share = ((most - kept.min(most)) / 10).max(1);
                self.window.wait(now, limit, kept).max(self.pace.wait(now, Some(share), 0))
            }
            _ => self.window.wait(now, limit, 0),
        }
    }

    fn each(&mut self, urgency: Urgency, mut to: impl FnMut(&mut Rolling)) {
        to(&mut self.window);
        if urgency == Urgency::Backfill {
            to(&mut self.pace);
        }
    }

    fn forget(&mut self, now: Millis) {
        self.window.forget(now);
        self.pace.forget(now);
    }
}

/// What the side says is left of its day: its word, less what has left since.
#[derive(Clone, Copy, Debug)]
struct DayLeft {
    limit: u64,
    left: u64,
    at: Millis,
}

/// The calls of one side.
#[derive(Debug)]
pub struct Quota {
    second: Paced,
    ten_seconds: Paced,
    search: Paced,
    day: Rolling,
    day_left: Option<DayLeft>,
    held_until: Millis,
    last: Millis,
    shift: i64,
}

impl Quota {
    /// A quota of which nothing is used yet.
    pub fn new(limits: Limits) -> Self {
        Quota {
            second: Paced::new(SECOND, limits.per_second),
            ten_seconds: Paced::new(TEN_SECONDS, limits.per_ten_seconds),
            search: Paced::new(SECOND, limits.searches_per_second),
            day: Rolling::new(DAY, limits.per_day),
            day_left: None,
            held_until: Millis(i64::MIN),
            last: Millis(i64::MIN),
            shift: 0,
        }
    }

    /// A time that never goes back: a clock set back by an hour must not close the side for that hour.
    fn steady(&mut self, now: Millis) -> Millis {
        let steady = now.plus(self.shift);
        if steady < self.last {
            self.shift = self.shift.saturating_add(self.last.0 - steady.0);
        }
        self.last = self.last.max(steady);
        let now = self.last;
        for window in [&mut self.second, &mut self.ten_seconds, &mut self.search] {
            window.forget(now);
        }
        self.day.forget(now);
        now
    }

    /// Takes a place for a call that is to leave now.
    ///
    /// # Errors
    /// With the milliseconds to wait, at least one, where there is no place; something may become free earlier.
    pub fn take(&mut self, now: Millis, urgency: Urgency, lane: Lane) -> Result<(), i64> {
        let now = self.steady(now);
        let mut wait = self.held_until.0.saturating_sub(now.0).max(0);
        wait = wait.max(self.second.wait(now, urgency)).max(self.ten_seconds.wait(now, urgency));
        wait = wait.max(self.day_wait(now, urgency));
        if lane == Lane::Search {
            wait = wait.max(self.search.wait(now, urgency));
        }
        if wait > 0 {
            return Err(wait);
        }
        if let Some(day) = &mut self.day_left {
            // The call that finds out whether a new day has begun stands for itself until the next one is due.
            (day.left, day.at) = (day.left.saturating_sub(1), if day.left == 0 { now } else { day.at });
        }
        self.each(urgency, lane, |window| window.under_way += 1);
        Ok(())
    }

    fn day_wait(&self, now: Millis, urgency: Urgency) -> i64 {
        let kept =
            |limit: u64| if urgency == Urgency::Backfill { (limit / 10).min(limit.saturating_sub(1)) } else { 0 };
        let own = self.day.limit();
        let wait = self.day.wait(now, own, own.map_or(0, kept));
        match self.day_left {
            Some(day) if day.left <= kept(day.limit) => wait.max(day.at.plus(DAY_PROBE).0 - now.0).max(0),
            _ => wait,
        }
    }

    fn each(&mut self, urgency: Urgency, lane: Lane, mut to: impl FnMut(&mut Rolling)) {
        self.second.each(urgency, &mut to);
        self.ten_seconds.each(urgency, &mut to);
        if lane == Lane::Search {
            self.search.each(urgency, &mut to);
        }
        to(&mut self.day);
    }

    /// Notes that a call which had taken a place is over, answered or not.
    pub fn ended(&mut self, now: Millis, urgency: Urgency, lane: Lane) {
        let now = self.steady(now);
        self.each(urgency, lane, |window| {
            window.under_way = window.under_way.saturating_sub(1);
            window.end(now, 1);
        });
    }

    /// Gives back the place of a call that certainly never reached the side.
    pub fn unused(&mut self, urgency: Urgency, lane: Lane) {
        self.each(urgency, lane, |window| window.under_way = window.under_way.saturating_sub(1));
    }

    /// Takes what the side's answer says of its limits; call it while the answered call still holds its place.
    pub fn heard(&mut self, now: Millis, told: &Told) {
        let now = self.steady(now);
        match told.burst {
            Some((limit, remaining, SECOND)) => self.second.window.hear(now, limit, remaining),
            Some((limit, remaining, TEN_SECONDS)) => self.ten_seconds.window.hear(now, limit, remaining),
            _ => {}
        }
        if let Some((limit, remaining)) = told.day {
            let others = self.day.under_way.saturating_sub(1);
            self.day_left = Some(DayLeft { limit, left: remaining.saturating_sub(others), at: now });
        }
    }

    /// Takes a refusal for want of quota; returns how long to wait.
    ///
    /// `window` is the one that the side names; without a name ten seconds are assumed. `asked` is the wait that it asks for.
    pub fn refused(&mut self, now: Millis, window: Option<Window>, asked: Option<i64>) -> i64 {
        let now = self.steady(now);
        let window = window.unwrap_or(Window::TenSeconds);
        let usual = match window {
            Window::Second | Window::Search => SECOND,
            Window::TenSeconds => TEN_SECONDS,
            Window::Day => DAY_PROBE,
        };
        let wait = asked.filter(|asked| *asked > 0).unwrap_or(usual);
        let until = now.plus(wait);
        match window {
            Window::Second => self.second.window.refuse(until),
            Window::Search => self.search.window.refuse(until),
            Window::TenSeconds => self.ten_seconds.window.refuse(until),
            Window::Day => self.day.refuse(until),
        }
        wait
    }

    /// Lets no call leave for so many milliseconds: the side asked to be left alone.
    pub fn hold(&mut self, now: Millis, wait: i64) {
        let now = self.steady(now);
        self.held_until = self.held_until.max(now.plus(wait));
    }

    /// What each window holds now.
    pub fn windows(&mut self, now: Millis) -> [WindowCount; 4] {
        self.steady(now);
        let mut day = self.day.count(Window::Day);
        if let Some(left) = self.day_left {
            day.limit = Some(day.limit.map_or(left.limit, |limit| limit.min(left.limit)));
            day.remaining = Some(day.remaining.map_or(left.left, |remaining| remaining.min(left.left)));
        }
        let [second, ten_seconds] = [&self.second, &self.ten_seconds].map(|paced| &paced.window);
        [
            second.count(Window::Second),
            ten_seconds.count(Window::TenSeconds),
            day,
            self.search.window.count(Window::Search),
        ]
    }
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;

//! The circuit breaker of a side: when it fails again and again, it is left alone for a while.
//!
//! | state | calls | ends |
//! |---|---|---|
//! | closed | all | after `failures` failed calls in a row: open |
//! | open | none | when its time has passed: half open |
//! | half open | one | it succeeds: closed; it fails: open, for longer |

use super::retry::Backoff;
use crate::clock::Millis;

/// The breaker of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    most_failures: u32,
    pauses: Backoff,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Millis, times: u32 },
    HalfOpen { times: u32 },
}

/// How many calls may leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// As many as there are.
    All,
    /// One, to see whether the side is back.
    One,
    /// None before this time.
    NoneBefore(Millis),
}

impl Breaker {
    /// A closed breaker that opens after so many failed calls in a row, with these pauses.
    pub fn new(most_failures: u32, pauses: Backoff) -> Self {
        Breaker { most_failures: most_failures.max(1), pauses, state: State::Closed { failures: 0 } }
    }

    /// What may leave at `now`; an open breaker whose time has passed becomes half open.
    pub fn allows(&mut self, now: Millis) -> Allowed {
        match self.state {
            State::Closed { .. } => Allowed::All,
            State::HalfOpen { .. } => Allowed::One,
            State::Open { until, .. } if now < until => Allowed::NoneBefore(until),
            State::Open { times, .. } => {
                self.state = State::HalfOpen { times };
                Allowed::One
            }
        }
    }

    /// Notes a call that the side answered, whatever its answer.
    pub fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// Notes a call that the side did not answer, or answered only with `asked` milliseconds of patience.
    pub fn failed(&mut self, now: Millis, asked: i64, random: u64) {
        let open =
            |times: u32| State::Open { until: now.plus(self.pauses.wait(times, asked, random)), times: times + 1 };
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < self.most_failures => State::Closed { failures: failures + 1 },
            State::Closed { .. } => open(0),
            State::HalfOpen { times } => open(times),
            // A call that left before the breaker opened says nothing new.
            still @ State::Open { .. } => still,
        };
    }

    /// Whether calls are held back.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(3, Backoff { first: 100, most: 1000 })
    }

    fn fail(breaker: &mut Breaker, now: i64) {
        breaker.failed(Millis(now), 0, 50);
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let mut breaker = breaker();
        fail(&mut breaker, 0);
        fail(&mut breaker, 0);
        breaker.succeeded();
        fail(&mut breaker, 0);
        fail(&mut breaker, 0);
        assert_eq!(breaker.allows(Millis(0)), Allowed::All);
        fail(&mut breaker, 0);
        assert_eq!(breaker.allows(Millis(0)), Allowed::NoneBefore(Millis(100)));
        assert_eq!(breaker.allows(Millis(99)), Allowed::NoneBefore(Millis(100)));
    }

    #[test]
    fn one_call_decides_whether_it_closes() {
        let mut breaker = breaker();
        (0..3).for_each(|_| fail(&mut breaker, 0));
        assert_eq!(breaker.allows(Millis(100)), Allowed::One);
        fail(&mut breaker, 100);
        assert_eq!(breaker.allows(Millis(100)), Allowed::NoneBefore(Millis(250)), "the second pause is longer");
        assert_eq!(breaker.allows(Millis(250)), Allowed::One);
        breaker.succeeded();
        assert_eq!(breaker.allows(Millis(250)), Allowed::All);
    }

    #[test]
    fn stragglers_do_not_prolong_the_pause() {
        let mut breaker = breaker();
        (0..9).for_each(|at| fail(&mut breaker, at));
        assert_eq!(breaker.allows(Millis(10)), Allowed::NoneBefore(Millis(102)));
    }
}

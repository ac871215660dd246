//! Time: milliseconds, the hybrid logical clock of a node, and clocks that tests can turn by hand.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, by whichever clock the context names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Millis(pub i64);

impl Millis {
    /// This time moved by `delta` milliseconds; it stays within range.
    pub fn plus(self, delta: i64) -> Self {
        Millis(self.0.saturating_add(delta))
    }

    /// The last time, not after this one, that a clock shows which counts in steps of so many milliseconds.
    pub fn in_steps_of(self, step: i64) -> Self {
        let step = step.max(1);
        Millis(self.0.div_euclid(step).saturating_mul(step))
    }
}

impl fmt::Display for Millis {
    /// RFC 3339 in UTC, without the fraction where it is zero; a time outside years 1 to 9999 as bare milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) if (-62_135_596_800_000..253_402_300_800_000).contains(&self.0) => write!(f, "{time}"),
            _ => write!(f, "{} ms", self.0),
        }
    }
}

/// A reading of a node's hybrid logical clock: milliseconds in the upper 48 bits, a counter in the lower 16.
///
/// Readings of one node only grow, whatever its wall clock does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The reading after `self` when the wall clock shows `now`.
    pub fn tick(self, now: Millis) -> Self {
        let wall = (now.0.clamp(0, (1 << 48) - 1) as u64) << 16;
        Hlc(wall.max(self.0 + 1))
    }

    /// The wall-clock part.
    pub fn millis(self) -> Millis {
        Millis((self.0 >> 16) as i64)
    }
}

/// Where the engine reads the time of day.
pub trait Clock: Send + Sync {
    /// The present time.
    fn now(&self) -> Millis;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is turned by hand.
#[derive(Debug, Clone, Default)]
pub struct HandClock(Arc<AtomicI64>);

impl HandClock {
    /// A clock that shows `now`.
    pub fn at(now: Millis) -> Self {
        HandClock(Arc::new(AtomicI64::new(now.0)))
    }

    /// Turns the clock; all copies of it show the new time.
    pub fn set(&self, now: Millis) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Turns the clock forward, or back, by `delta` milliseconds.
    pub fn advance(&self, delta: i64) {
        self.0.fetch_add(delta, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarse_clock_shows_no_later_time() {
        for (time, shown) in [(1_999, 1_000), (-1, -1_000), (0, 0), (i64::MAX, i64::MAX / 1000 * 1000)] {
            assert_eq!(Millis(time).in_steps_of(1000), Millis(shown));
        }
        assert_eq!(Millis(i64::MIN).in_steps_of(1000), Millis(i64::MIN), "the first of all times has none before it");
        assert_eq!(Millis(7).in_steps_of(0), Millis(7));
    }

    #[test]
    fn readings_grow_when_the_wall_clock_falls_back() {
        let first = Hlc::default().tick(Millis(1000));
        let second = first.tick(Millis(10));
        assert!(second > first);
        assert_eq!(second.millis(), Millis(1000));
        assert_eq!(second.tick(Millis(2000)).millis(), Millis(2000));
    }

    #[test]
    fn times_print_as_rfc_3339() {
        assert_eq!(Millis(1_750_000_000_123).to_string(), "2025-06-15T15:06:40.123Z");
        assert_eq!(Millis(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Millis(i64::MAX).to_string(), "9223372036854775807 ms");
    }
}

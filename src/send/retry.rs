//! How long to wait before the next try.

/// The longest wait that a side is believed to ask for, in milliseconds: it may mistake a time for a number of seconds.
pub const WAIT_MOST: i64 = 86_400_000;

/// Exponential waiting with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first wait, in milliseconds; each further one is twice as long.
    pub first: i64,
    /// The longest wait of all, in milliseconds.
    pub most: i64,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { first: 500, most: 300_000 }
    }
}

impl Backoff {
    /// The wait after `attempts` tries that came to nothing, in milliseconds.
    ///
    /// It lies between half of the longest wait and all of it, by `random`. It is never shorter than what the side asked for,
    /// up to [`WAIT_MOST`], and then up to an eighth longer: sides tell all their callers the same time.
    pub fn wait(&self, attempts: u32, asked: i64, random: u64) -> i64 {
        let doubled = 1i64.checked_shl(attempts.min(62)).unwrap_or(i64::MAX);
        let longest = self.first.saturating_mul(doubled).clamp(1, self.most.max(1));
        let own = longest / 2 + share(random, longest - longest / 2);
        let asked = asked.clamp(0, WAIT_MOST);
        own.max(asked.saturating_add(share(random, asked / 8)))
    }
}

/// A number from zero to `most`, by `random`.
fn share(random: u64, most: i64) -> i64 {
    (random % (most.max(0) as u64 + 1)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: 100, most: 1000 };

    #[test]
    fn waits_double_up_to_the_most() {
        let longest = |attempts| (0..2000).map(|random| BACKOFF.wait(attempts, 0, random)).max().expect("some");
        let shortest = |attempts| (0..2000).map(|random| BACKOFF.wait(attempts, 0, random)).min().expect("some");
        assert_eq!([0, 1, 2, 3, 4, 90].map(longest), [100, 200, 400, 800, 1000, 1000]);
        assert_eq!([0, 1, 2, 3, 4, 90].map(shortest), [50, 100, 200, 400, 500, 500]);
    }

    #[test]
    fn what_the_side_asks_for_is_the_least() {
        for random in [0, 1, 999, u64::MAX] {
            assert!((80_000..=90_000).contains(&BACKOFF.wait(0, 80_000, random)));
            assert!((WAIT_MOST..=WAIT_MOST / 8 * 9).contains(&BACKOFF.wait(0, i64::MAX, random)));
            assert!(BACKOFF.wait(0, -5, random) >= 50);
        }
    }
}

//! How far HubSpot's clock is ahead of ours, by the dates of its answers.

use crate::clock::Millis;

/// A `Date` header counts whole seconds.
const STEP: i64 = 1_000;

/// Bounds between which the offset of a clock lies, each answer narrowing them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset {
    /// The least and the most, in milliseconds; `None`: no answer yet.
    bounds: Option<(i64, i64)>,
    at: Option<Millis>,
}

impl Offset {
    /// Takes the date of an answer that was made between two times of our clock.
    ///
    /// Bounds that do not meet the earlier ones mean that a clock was set: they count alone from then on.
    pub fn take(&mut self, sent: Millis, date: Millis, answered: Millis) {
        self.at = Some(answered);
        let (least, most) = (date.0 - answered.0, date.0 + STEP - sent.0);
        let (before_least, before_most) = self.bounds.unwrap_or((i64::MIN, i64::MAX));
        let (narrow_least, narrow_most) = (least.max(before_least), most.min(before_most));
        self.bounds = Some(if narrow_least <= narrow_most { (narrow_least, narrow_most) } else { (least, most) });
    }

    /// When the last answer came, by our clock; `None`: none did yet.
    pub fn at(&self) -> Option<Millis> {
        self.at
    }

    /// The middle of the bounds, in milliseconds; `None`: nothing is known yet.
    pub fn estimate(&self) -> Option<i64> {
        self.bounds.map(|(least, most)| least + (most - least) / 2)
    }

    /// How far the estimate may be off, in milliseconds.
    pub fn tolerance(&self) -> Option<i64> {
        self.bounds.map(|(least, most)| (most - least + 1) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to a call at `sent`, dated by a clock that is `ahead`.
    fn answer(offset: &mut Offset, sent: i64, took: i64, ahead: i64) {
        let date = (sent + took / 2 + ahead).div_euclid(STEP) * STEP;
        offset.take(Millis(sent), Millis(date), Millis(sent + took));
    }

    #[test]
    fn answers_narrow_it_below_the_second_that_dates_count_in() {
        let mut offset = Offset::default();
        assert_eq!(offset.estimate(), None);
        for n in 0..40 {
            answer(&mut offset, 1_000_000 + n * 1_337, 40, -420_123);
        }
        let (estimate, tolerance) = (offset.estimate().expect("heard"), offset.tolerance().expect("heard"));
        assert!((estimate + 420_123).abs() <= tolerance, "{estimate}");
        assert!(tolerance <= 60, "{tolerance}");
    }

    #[test]
    fn a_clock_that_was_set_is_measured_anew() {
        let mut offset = Offset::default();
        answer(&mut offset, 1_000_000, 10, 420_000);
        answer(&mut offset, 1_001_000, 10, 0);
        assert!(offset.estimate().expect("heard").abs() <= 1_010);
    }
}

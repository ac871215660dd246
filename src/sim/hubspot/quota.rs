//! How much may be asked of the account, and how much was.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::{call::Answer, settings::Settings};
use crate::clock::Millis;

/// The window of the burst limit, in milliseconds.
const BURST_MS: i64 = 10_000;
/// The window of the search limit.
const SEARCH_MS: i64 = 1000;
const DAY_MS: i64 = 86_400_000;

/// Requests in a window that rolls.
#[derive(Clone, Debug, Default)]
struct Window {
    times: VecDeque<Millis>,
    most: u64,
}

impl Window {
    fn forget(&mut self, now: Millis, length: i64) {
        while self.times.front().is_some_and(|time| time.plus(length) <= now) {
            self.times.pop_front();
        }
    }

    /// Notes a request; how many there are in the window, this one included.
    fn note(&mut self, now: Millis, length: i64) -> u64 {
        self.forget(now, length);
        self.times.push_back(now);
        let count = self.times.len() as u64;
        self.most = self.most.max(count);
        count
    }
}

/// What was asked, and how much of it in one window.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Asked {
    /// Requests by what they are, and by status.
    pub by_op: BTreeMap<String, BTreeMap<u16, u64>>,
    /// All requests.
    pub requests: u64,
    /// The most of our app in any ten seconds, those that were refused included.
    pub most_in_ten_seconds: u64,
    /// The most searches in any second.
    pub most_searches_in_a_second: u64,
    /// The most in any day.
    pub most_in_a_day: u64,
    /// Requests that were refused because there were too many, by policy; faults on order included.
    pub refused: BTreeMap<String, u64>,
    /// Values that apps wrote and that changed something.
    pub values_changed: u64,
    /// Values that apps wrote though they were there already.
    pub values_same: u64,
    /// Records that apps made.
    pub created: u64,
}

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub app: u64,
    pub is_oauth: bool,
}

impl Asker {
    fn burst_max(self, limits: &Settings) -> Option<u64> {
        if self.is_oauth { limits.oauth_burst_max } else { limits.burst_max }
    }
}

/// An account's limits.
#[derive(Clone, Debug, Default)]
pub(super) struct Quota {
    /// By app.
    bursts: BTreeMap<u64, Window>,
    search: Window,
    day: i64,
    today: u64,
    pub asked: Asked,
}

impl Quota {
    /// Counts a request; the answer if it is one too many.
    pub fn note(&mut self, now: Millis, asker: Asker, is_search: bool, limits: &Settings) -> Option<Answer> {
        let day = now.0.div_euclid(DAY_MS);
        if day != self.day {
            (self.day, self.today) = (day, 0);
        }
        self.today += 1;
        self.asked.requests += 1;
        let window = self.bursts.entry(asker.app).or_default();
        let burst = window.note(now, BURST_MS);
        if asker.app == limits.app {
            self.asked.most_in_ten_seconds = window.most;
        }
        let searches = if is_search { self.search.note(now, SEARCH_MS) } else { 0 };
        self.asked.most_searches_in_a_second = self.search.most;
        self.asked.most_in_a_day = self.asked.most_in_a_day.max(self.today);
        let over = |count: u64, max: Option<u64>| max.is_some_and(|max| count > max);
        let policy = if !asker.is_oauth && over(self.today, limits.daily_max) {
            "DAILY"
        } else if over(burst, asker.burst_max(limits)) {
            "TEN_SECONDLY_ROLLING"
        } else if over(searches, limits.search_max) {
            "SECONDLY"
        } else {
            return None;
        };
        Some(self.refuse(policy))
    }

    /// A 429 in a policy.
    pub fn refuse(&mut self, policy: &str) -> Answer {
        *self.asked.refused.entry(policy.to_owned()).or_default() += 1;
        let limit = policy.to_lowercase();
        let message = format!("You have reached your {limit} limit.");
        let answer = Answer::error(429, "RATE_LIMITS", &message);
        answer.with("errorType", "RATE_LIMIT".into()).with("policyName", policy.into())
    }

    /// The headers that tell what is left; searches have none, and OAuth none of the day.
    pub fn headers(&self, asker: Asker, is_search: bool, limits: &Settings) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if is_search {
            return headers;
        }
        if let Some(max) = asker.burst_max(limits) {
            headers.push(("X-HubSpot-RateLimit-Max", max.to_string()));
            let count = self.bursts.get(&asker.app).map_or(0, |window| window.times.len() as u64);
            let left = max.saturating_sub(count);
            headers.push(("X-HubSpot-RateLimit-Remaining", left.to_string()));
            headers.push(("X-HubSpot-RateLimit-Interval-Milliseconds", BURST_MS.to_string()));
        }
        if let (Some(max), false) = (limits.daily_max, asker.is_oauth) {
            headers.push(("X-HubSpot-RateLimit-Daily", max.to_string()));
            headers.push(("X-HubSpot-RateLimit-Daily-Remaining", max.saturating_sub(self.today).to_string()));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Asker = Asker { app: 50_780_459, is_oauth: false };

    #[test]
    fn the_window_rolls() {
        let limits = Settings { burst_max: Some(2), ..Settings::default() };
        let mut quota = Quota::default();
        let mut is_refused = |at: i64| quota.note(Millis(at), OURS, false, &limits).is_some();
        assert!(!is_refused(0) && !is_refused(6000) && is_refused(9999));
        assert!(!is_refused(16_000), "two of the first three are out of the window");
        let other = Asker { app: 77, ..OURS };
        assert!(quota.note(Millis(16_000), other, false, &limits).is_none(), "each app has its own");
        assert_eq!(quota.asked.most_in_ten_seconds, 3);
    }

    #[test]
    fn the_day_ends_at_midnight_and_oauth_has_none() {
        let limits = Settings { daily_max: Some(1), burst_max: None, ..Settings::default() };
        let mut quota = Quota::default();
        assert!(quota.note(Millis(0), OURS, false, &limits).is_none());
        let refused = quota.note(Millis(1), OURS, false, &limits).expect("refused");
        assert_eq!((refused.status, refused.body["policyName"].as_str()), (429, Some("DAILY")));
        assert!(quota.note(Millis(2), Asker { is_oauth: true, ..OURS }, false, &limits).is_none());
        assert!(quota.note(Millis(DAY_MS), OURS, false, &limits).is_none());
    }
}

//! The quota's promises, one claim each.

use proptest::prelude::*;

use super::*;

const TEN: Limits = Limits { per_second: None, per_ten_seconds: Some(10), per_day: None, searches_per_second: Some(4) };

fn taken(quota: &mut Quota, now: i64, urgency: Urgency) -> bool {
    quota.take(Millis(now), urgency, Lane::Plain).is_ok()
}

/// A call that ends the moment it leaves.
fn called(quota: &mut Quota, now: i64, urgency: Urgency) -> bool {
    let taken = taken(quota, now, urgency);
    if taken {
        quota.ended(Millis(now), urgency, Lane::Plain);
    }
    taken
}

fn window(quota: &mut Quota, now: i64, window: Window) -> WindowCount {
    *quota.windows(Millis(now)).iter().find(|count| count.window == window).expect("all are listed")
}

#[test]
fn a_full_window_says_when_its_first_call_no_longer_counts() {
    let mut quota = Quota::new(TEN);
    for at in 0..10 {
        assert!(called(&mut quota, at * 100, Urgency::Interactive));
    }
    assert_eq!(quota.take(Millis(1_000), Urgency::Interactive, Lane::Plain), Err(9_100));
    assert!(!called(&mut quota, 10_099, Urgency::Interactive));
    assert!(called(&mut quota, 10_100, Urgency::Interactive));
    assert!(!called(&mut quota, 10_100, Urgency::Interactive));
}

#[test]
fn a_call_under_way_keeps_its_place_however_long_it_takes() {
    let mut quota = Quota::new(Limits { per_ten_seconds: Some(1), ..Limits::default() });
    assert!(taken(&mut quota, 0, Urgency::Interactive));
    assert!(!taken(&mut quota, 60_000, Urgency::Interactive));
    quota.ended(Millis(60_000), Urgency::Interactive, Lane::Plain);
    // The side may have counted it only at its end.
    assert!(!taken(&mut quota, 70_000, Urgency::Interactive));
    assert!(taken(&mut quota, 70_100, Urgency::Interactive));
}

#[test]
fn a_call_that_never_left_takes_no_place() {
    let mut quota = Quota::new(Limits { per_ten_seconds: Some(1), ..Limits::default() });
    assert!(taken(&mut quota, 0, Urgency::Interactive));
    quota.unused(Urgency::Interactive, Lane::Plain);
    assert!(taken(&mut quota, 0, Urgency::Interactive));
}

#[test]
fn a_backfill_leaves_a_reserve() {
    let mut quota = Quota::new(TEN);
    let filled = (0..100).filter(|at| called(&mut quota, at * 100, Urgency::Backfill)).count();
    assert_eq!(filled, 8);
    assert!(called(&mut quota, 9_900, Urgency::Interactive) && called(&mut quota, 9_900, Urgency::Interactive));
    assert!(!called(&mut quota, 9_900, Urgency::Interactive));
}

#[test]
fn a_backfill_goes_evenly() {
    let mut quota = Quota::new(Limits { per_ten_seconds: Some(100), ..Limits::default() });
    let in_first_second = (0..1000).filter(|at| called(&mut quota, *at, Urgency::Backfill)).count();
    assert_eq!(in_first_second, 8);
    assert!(called(&mut quota, 1_010, Urgency::Backfill));
}

#[test]
fn what_others_use_of_the_same_limit_counts() {
    let mut quota = Quota::new(TEN);
    assert!(taken(&mut quota, 0, Urgency::Interactive));
    quota.heard(Millis(50), &Told { burst: Some((10, 4, 10_000)), day: None });
    quota.ended(Millis(50), Urgency::Interactive, Lane::Plain);
    assert_eq!(window(&mut quota, 50, Window::TenSeconds).remaining, Some(4));
    let left = (0..10).filter(|_| called(&mut quota, 60, Urgency::Interactive)).count();
    assert_eq!(left, 4);
}

#[test]
fn the_smaller_of_the_two_limits_holds() {
    let mut quota = Quota::new(TEN);
    quota.heard(Millis(0), &Told { burst: Some((3, 3, 10_000)), day: None });
    assert_eq!((0..10).filter(|_| called(&mut quota, 0, Urgency::Interactive)).count(), 3);
    let mut quota = Quota::new(TEN);
    quota.heard(Millis(0), &Told { burst: Some((190, 190, 10_000)), day: None });
    assert_eq!((0..20).filter(|_| called(&mut quota, 0, Urgency::Interactive)).count(), 10);
}

#[test]
fn searches_have_a_limit_of_their_own_and_count_as_calls() {
    let mut quota = Quota::new(TEN);
    let searched = |quota: &mut Quota| {
        let taken = quota.take(Millis(0), Urgency::Interactive, Lane::Search).is_ok();
        if taken {
            quota.ended(Millis(0), Urgency::Interactive, Lane::Search);
        }
        taken
    };
    assert_eq!((0..9).filter(|_| searched(&mut quota)).count(), 4);
    assert_eq!((0..9).filter(|_| called(&mut quota, 0, Urgency::Interactive)).count(), 6);
}

#[test]
fn a_refusal_closes_the_window_that_it_names() {
    let mut quota = Quota::new(TEN);
    assert_eq!(quota.refused(Millis(0), Some(Window::TenSeconds), None), 10_000);
    assert!(!called(&mut quota, 9_999, Urgency::Interactive));
    assert!(called(&mut quota, 10_000, Urgency::Interactive));
    assert_eq!(quota.refused(Millis(20_000), Some(Window::Search), None), 1_000);
    assert!(called(&mut quota, 20_000, Urgency::Interactive));
    assert!(quota.take(Millis(20_000), Urgency::Interactive, Lane::Search).is_err());
    assert_eq!(quota.refused(Millis(30_000), Some(Window::Day), None), 900_000);
    assert!(!called(&mut quota, 900_000, Urgency::Interactive));
    assert_eq!(quota.refused(Millis(2_000_000), None, Some(3_000)), 3_000);
    assert!(!called(&mut quota, 2_002_999, Urgency::Interactive));
    assert!(called(&mut quota, 2_003_000, Urgency::Interactive));
    assert_eq!(window(&mut quota, 2_003_000, Window::TenSeconds).refused, 2);
}

#[test]
fn a_day_that_the_side_says_is_used_up_is_probed_with_single_calls() {
    let mut quota = Quota::new(Limits::default());
    quota.heard(Millis(0), &Told { burst: None, day: Some((250_000, 1)) });
    assert!(!called(&mut quota, 0, Urgency::Backfill), "the last tenth is not for a backfill");
    assert!(called(&mut quota, 0, Urgency::Interactive));
    assert!(!called(&mut quota, DAY_PROBE - 1, Urgency::Interactive));
    assert!(called(&mut quota, DAY_PROBE, Urgency::Interactive));
    assert!(!called(&mut quota, DAY_PROBE, Urgency::Interactive));
    // Midnight over there.
    quota.heard(Millis(DAY_PROBE + 5), &Told { burst: None, day: Some((250_000, 249_999)) });
    assert!(called(&mut quota, DAY_PROBE + 5, Urgency::Backfill));
}

#[test]
fn nothing_leaves_while_the_side_wants_to_be_left_alone() {
    let mut quota = Quota::new(Limits::default());
    quota.hold(Millis(0), 86_400_000);
    assert_eq!(quota.take(Millis(400_000), Urgency::Interactive, Lane::Plain), Err(86_000_000));
    assert!(called(&mut quota, 86_400_000, Urgency::Interactive));
}

#[test]
fn a_clock_set_back_does_not_close_the_side() {
    let mut quota = Quota::new(TEN);
    for _ in 0..10 {
        assert!(called(&mut quota, 3_600_000, Urgency::Interactive));
    }
    // An hour back; from here on the ten seconds pass as ever.
    assert!(!called(&mut quota, 0, Urgency::Interactive));
    assert!(!called(&mut quota, 10_000, Urgency::Interactive));
    assert!(called(&mut quota, 10_101, Urgency::Interactive));
}

#[test]
fn a_day_of_a_million_calls_stays_small() {
    let mut quota = Quota::new(Limits { per_day: Some(1_000_000), ..Limits::default() });
    for at in 0..1_000_000 {
        assert!(called(&mut quota, at * 80, Urgency::Interactive));
    }
    assert!(!called(&mut quota, 80_000_000, Urgency::Interactive));
    assert!(quota.day.ended.len() <= 1_001, "{}", quota.day.ended.len());
}

/// A call as the side met it: when it counted it.
fn most_in_any(mut counted: Vec<i64>, length: i64) -> usize {
    counted.sort_unstable();
    (0..counted.len())
        .map(|first| counted[first..].iter().take_while(|at| **at < counted[first] + length).count())
        .max()
        .unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However long each call takes and whenever the side counts it in between, no window of the side's is exceeded.
    #[test]
    fn never_exceeded(
        calls in prop::collection::vec((0i64..300, 0i64..4_000, 0.0f64..1.0, any::<bool>(), any::<bool>()), 1..400),
        per_ten in 1u64..40,
        per_second in prop::option::of(1u64..8),
    ) {
        let limits = Limits {
            per_second, per_ten_seconds: Some(per_ten), per_day: None, searches_per_second: Some(2),
        };
        let mut quota = Quota::new(limits);
        let (mut now, mut counted, mut searched) = (0, Vec::new(), Vec::new());
        let mut open: Vec<(i64, Urgency, Lane)> = Vec::new();
        for (pause, takes, share, backfill, search) in calls {
            now += pause;
            open.sort_by_key(|(ends, _, _)| *ends);
            while open.first().is_some_and(|(ends, _, _)| *ends <= now) {
                let (ends, urgency, lane) = open.remove(0);
                quota.ended(Millis(ends), urgency, lane);
            }
            let urgency = if backfill { Urgency::Backfill } else { Urgency::Interactive };
            let lane = if search { Lane::Search } else { Lane::Plain };
            if quota.take(Millis(now), urgency, lane).is_ok() {
                let at = now + (takes as f64 * share) as i64;
                counted.push(at);
                if search {
                    searched.push(at);
                }
                open.push((now + takes, urgency, lane));
            }
        }
        prop_assert!(most_in_any(counted.clone(), 10_000) as u64 <= per_ten);
        prop_assert!(per_second.is_none_or(|most| most_in_any(counted, 1_000) as u64 <= most));
        prop_assert!(most_in_any(searched, 1_000) <= 2);
    }

    /// A wait that is named is true: once it is over, and nothing else has left, the call fits.
    #[test]
    fn waits_are_true(times in prop::collection::vec(0i64..2_000, 1..60), per_ten in 1u64..12, backfill in any::<bool>()) {
        let mut quota = Quota::new(Limits { per_ten_seconds: Some(per_ten), ..Limits::default() });
        let mut now = 0;
        for pause in times {
            now += pause;
            called(&mut quota, now, Urgency::Interactive);
        }
        let urgency = if backfill { Urgency::Backfill } else { Urgency::Interactive };
        let mut tries = 0;
        while let Err(wait) = quota.take(Millis(now), urgency, Lane::Plain) {
            prop_assert!(wait > 0);
            now += wait;
            tries += 1;
            prop_assert!(tries <= 2, "the window, then the pace");
        }
    }
}

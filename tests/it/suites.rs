//! How much of a suite runs: `SYNCLINE_SUITES` unset for every change, `ci` for the branch, `release` for the README's figures.

use std::env;

/// How many cases a suite runs: seconds' worth, CI's figure, the release's figure.
///
/// # Panics
/// If `SYNCLINE_SUITES` is set to anything but `ci` or `release`: a typo must not pass for a small run.
pub fn cases(small: u64, ci: u64, release: u64) -> u64 {
    match env::var("SYNCLINE_SUITES").as_deref() {
        Err(env::VarError::NotPresent) | Ok("") => small,
        Ok("ci") => ci,
        Ok("release") => release,
        other => panic!("SYNCLINE_SUITES is `ci`, `release` or not set, not {other:?}"),
    }
}

/// The first number from which a suite draws its cases, 0 unless `SYNCLINE_SEED` says otherwise.
///
/// # Panics
/// If `SYNCLINE_SEED` is no number.
pub fn first_seed() -> u64 {
    match env::var("SYNCLINE_SEED") {
        Ok(text) => text.parse().expect("SYNCLINE_SEED is a number"),
        Err(_) => 0,
    }
}

/// Prints what a suite has reached, for the README and for whoever reads the run.
pub fn reached(suite: &str, cases: u64, what: &str) {
    println!("suite {suite}: {cases} {what}");
}

//! How much of a suite runs: `SYNCLINE_SUITES` unset for every change, `ci` for the branch, `release` for the README's figures.

use std::{
    env, fs,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

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

/// The memory that a process holds now, in KiB.
pub fn resident_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Runs one batch of cases for each seed, on all cores, until there are as many cases as are due; returns how many there were.
///
/// A batch says how many cases it was made of.
pub fn until(due: u64, batch: impl Fn(u64) -> u64 + Sync) -> u64 {
    until_or_after(Duration::MAX, due, batch)
}

/// As [`until`], but no batch is begun after so long.
pub fn until_or_after(longest: Duration, due: u64, batch: impl Fn(u64) -> u64 + Sync) -> u64 {
    let began = Instant::now();
    let (next, done) = (AtomicU64::new(first_seed()), AtomicU64::new(0));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while done.load(Ordering::Relaxed) < due && began.elapsed() <= longest {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    done.fetch_add(batch(seed), Ordering::Relaxed);
                }
            });
        }
    });
    done.into_inner()
}

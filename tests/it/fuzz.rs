//! Whatever bytes come in: nothing panics, nothing takes long or much, what is taken reads back the same, what is refused says what.
//!
//! Each target mutates sound inputs, of which the small ones lie in `tests/fuzz`, by rules of its own and by those of
//! [`mutate`]. An input follows from the seed of its batch and its number there, so `SYNCLINE_SEED=N` makes a failure again.

mod bodies;
mod files;
mod mutate;
mod served;
mod signed;
mod stateful;
mod tokens;
mod words;

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use syncline::send::chance::Chance;

use crate::suites;

/// So many executions of all targets, and how a thousand of them are dealt out.
const SMALL: u64 = 40_000;
const CI: u64 = 2_000_000;
const RELEASE: u64 = 100_000_000;
/// The longest that one input may take, on a machine with other things to do.
const LONGEST: Duration = Duration::from_secs(5);
/// The most memory that feeding a target may add, in KiB.
const GROWTH_KIB_MAX: u64 = 1 << 20;
/// The release's figure is given up after so long for each target: two of them run at a time, for an hour in all.
const TARGET_TIME: Duration = Duration::from_secs(2 * 3600 / TARGETS);
const TARGETS: u64 = 18;

/// What is fed.
pub trait Target: Sized {
    /// Its name in what is printed.
    const NAME: &'static str;
    /// How many of a million executions are its own.
    const SHARE: u64;
    /// How many inputs one of it is fed before it is made anew.
    const BATCH: u64;

    /// A fresh one.
    fn new(chance: &mut Chance) -> Self;

    /// An input.
    fn input(&mut self, chance: &mut Chance) -> Vec<u8>;

    /// Takes an input, and panics if what must hold does not; what else is needed besides the input is drawn.
    fn feed(&mut self, input: &[u8], chance: &mut Chance);
}

/// Feeds a target its share of all executions, and prints how many there were.
fn fuzz<T: Target>() {
    static ALL: AtomicU64 = AtomicU64::new(0);
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let (began_all, began) = (*BEGAN.get_or_init(Instant::now), Instant::now());
    let due = (suites::cases(SMALL, CI, RELEASE) * T::SHARE / 1_000_000).max(20);
    let before = memory_kib();
    let done = suites::until_or_after(TARGET_TIME, due, batch::<T>);
    let grown = memory_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{}: {grown} KiB more after {done} inputs", T::NAME);
    let all = ALL.fetch_add(done, Ordering::SeqCst) + done;
    let rate = |count: u64, since: Instant| (count as f64 / since.elapsed().as_secs_f64()) as u64;
    let told = format!(
        "executions of {}, {} a second; {all} of all targets so far, {} a second",
        T::NAME,
        rate(done, began),
        rate(all, began_all)
    );
    suites::reached("fuzz", done, &told);
}

/// Feeds one fresh target.
fn batch<T: Target>(seed: u64) -> u64 {
    // Neighbours in seed are neighbours in its numbers, until one of them is a seed itself.
    let mut chance = Chance::new(seed).fork();
    let mut target = T::new(&mut chance);
    for number in 0..T::BATCH {
        let mut own = chance.fork();
        let input = target.input(&mut own);
        let (fed, mut took) = fed(&mut target, &input, &mut own);
        if fed && took > LONGEST {
            // It may have been the machine: what is slow by itself is slow again.
            took = took.min(self::fed(&mut target, &input, &mut own).1);
        }
        if !fed || took > LONGEST {
            let shown: String = input.iter().take(4096).map(|byte| format!("{byte:02x}")).collect();
            let text = String::from_utf8_lossy(&input[..input.len().min(1024)]).into_owned();
            panic!("{}, seed {seed}, input {number}, {took:?}, {} bytes: {shown}\n{text:?}", T::NAME, input.len());
        }
    }
    T::BATCH
}

/// Feeds one input; whether that went well, and how long it took.
fn fed<T: Target>(target: &mut T, input: &[u8], chance: &mut Chance) -> (bool, Duration) {
    let began = Instant::now();
    let fed = panic::catch_unwind(AssertUnwindSafe(|| target.feed(input, chance)));
    (fed.is_ok(), began.elapsed())
}

/// What this process has in memory at most so far, in KiB; 0 where the system does not tell.
fn memory_kib() -> u64 {
    suites::resident_kib(std::process::id()).unwrap_or(0)
}

macro_rules! targets {
    ($($claim:ident $target:ty)*) => {
        $(#[test] fn $claim() { fuzz::<$target>(); })*

        #[test]
        fn shares_are_of_a_whole() {
            let shares = [$(<$target>::SHARE),*];
            assert_eq!((shares.len() as u64, shares.iter().sum::<u64>()), (TARGETS, 1_000_000));
        }
    };
}

targets! {
    values_read_back_the_same words::Values
    names_hex_and_numbers_are_taken_or_refused words::Names
    event_bytes_are_canonical_or_refused words::Events
    rules_across_fields_end_soon words::Expressions
    values_of_sides_come_through_translation words::Translations
    manifests_are_read_or_every_fault_has_a_place bodies::Manifests
    neutral_lines_say_the_same_when_written_again bodies::Lines
    hubspot_bodies_lose_no_notification bodies::HubSpotBodies
    portal_bodies_are_read_or_told bodies::PortalBodies
    answers_of_a_crm_are_read_or_left bodies::Answers
    what_was_given_out_is_known_again_as_it_was tokens::Shown
    hubspot_signatures_hold_for_what_was_signed_alone signed::HubSpotSignatures
    webhook_signatures_hold_as_the_reference_says signed::WebhookSignatures
    logs_never_read_as_something_else files::Logs
    checkpoints_are_whole_or_none files::Checkpoints
    stores_say_what_they_cannot_read files::Stores
    addresses_and_bodies_of_the_api_are_answered served::Api
    operations_and_faults_follow_a_plain_model stateful::Model
}

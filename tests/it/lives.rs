//! Whole lives from one seed each: engine, three sides, network, clocks and disk, and everything that goes wrong with them.
//!
//! After every step the laws are held against the log by a judge that shares no merging with the engine. A life that fails is
//! told again in the fewest steps that still fail.

mod ending;
mod found;
mod house;
mod shrink;
mod step;
mod watch;

use std::{
    collections::HashSet,
    fmt::Display,
    panic::{self, AssertUnwindSafe},
    thread,
    time::{Duration, Instant},
};

use syncline::{
    history::Principal,
    sim::disk::{Cut, Trouble, mixed},
};

use self::{house::House, step::Step, watch::Watch};
use crate::suites;

/// The steps of one life.
const STEPS: usize = 500;
/// After so many steps every record is judged, not only those that were touched.
const JUDGED_EVERY: usize = 50;

/// The release's figure is given up after so long.
const LONGEST: Duration = Duration::from_secs(3600);

/// A law that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The law.
    law: &'static str,
    /// What was found.
    found: String,
    /// How many steps there had been.
    steps: usize,
}

impl Failure {
    fn new(law: &'static str, found: &(impl Display + ?Sized)) -> Failure {
        Failure { law, found: found.to_string(), steps: 0 }
    }
}

/// One life.
pub struct Life {
    house: House,
    watch: Watch,
    /// Whether users merge records in this life; else persons decide more often.
    merges: bool,
    /// The keys under which sides have made records.
    made: HashSet<String>,
    /// What the disk is about to do, and what a power cut would leave of it.
    trouble: Option<(Trouble, Cut)>,
}

/// How a life went.
#[derive(Debug, PartialEq, Eq)]
struct Lived {
    events: usize,
    values_sent: u64,
    state: String,
}

impl Life {
    fn new(seed: u64) -> Result<Life, Failure> {
        let house = House::new(seed).map_err(|why| Failure::new("a new store opens", &step::chain(&why)))?;
        let mut life = Life {
            house,
            watch: Watch::default(),
            merges: seed.is_multiple_of(2),
            made: HashSet::new(),
            trouble: None,
        };
        life.check()?;
        Ok(life)
    }

    /// Holds the engine against the log, and what has reached the sides against it.
    fn check(&mut self) -> Result<(), Failure> {
        self.watch.read(self.house.world.engine())?;
        for place in &self.house.world.places {
            self.watch.delivered(&place.line.delivered(), &mut self.made)?;
        }
        self.watch.check(self.house.world.engine())
    }
}

/// The steps of the life of a seed.
fn steps(seed: u64) -> Vec<Step> {
    let mut state = seed;
    (0..STEPS).map(|_| Step(mixed(&mut state))).collect()
}

/// Lives these steps, and tells each as it is done.
fn live(seed: u64, steps: &[Step], tell: &mut dyn FnMut(String)) -> Result<Lived, Failure> {
    let mut done = 0;
    let lived = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut life = Life::new(seed)?;
        for (number, step) in steps.iter().enumerate() {
            done = number + 1;
            tell(life.step(*step)?);
            if done % JUDGED_EVERY == 0 {
                life.watch.touch_all();
            }
            life.check()?;
        }
        life.end(seed)?;
        let state = life.house.world.engine().read(&Principal::operator()).state_hash();
        let state = state.map_err(|why| Failure::new("the engine can be read", &step::chain(&why)))?;
        Ok(Lived { events: life.watch.all().len(), values_sent: life.watch.values_sent, state: state.to_string() })
    }));
    let lived = lived.unwrap_or_else(|why| {
        let text = why.downcast_ref::<String>().map(String::as_str).or(why.downcast_ref::<&str>().copied());
        Err(Failure::new("nothing panics", text.unwrap_or("a panic without words")))
    });
    lived.map_err(|failure| Failure { steps: done, ..failure })
}

/// Lives the life of a seed; if it fails, ends with its story in as few steps as still fail.
fn lives_well(seed: u64) -> Lived {
    live(seed, &steps(seed), &mut |_| {})
        .unwrap_or_else(|failure| panic!("{}", shrink::story(seed, &steps(seed), &failure)))
}

#[test]
fn the_laws_hold_after_every_step_of_many_lives() {
    let began = Instant::now();
    let lived = suites::until_or_after(LONGEST, suites::cases(16, 1_000, 50_000), |seed| {
        lives_well(seed);
        1
    });
    let rate = lived as f64 / began.elapsed().as_secs_f64();
    let told = format!("simulated lives of 500 steps, the laws held after each; {rate:.1} a second");
    suites::reached("lives", lived, &told);
}

/// A life of 200 steps in which the process is killed again and again while a side answers: what it tells, and how it went.
fn told(seed: u64) -> (Vec<String>, String) {
    let mut state = seed;
    let hangs = std::iter::repeat_with(|| Step(mixed(&mut state))).filter(|step| step.hangs()).take(20);
    let hangs: Vec<Step> = hangs.collect();
    let steps: Vec<Step> = steps(seed).chunks(9).zip(hangs).flat_map(|(some, hang)| [some, &[hang]].concat()).collect();
    let mut told = Vec::new();
    let lived = live(seed, &steps, &mut |words| told.push(words));
    (told, format!("{lived:?}"))
}

#[test]
fn a_life_follows_from_its_seed_alone() {
    let first = suites::first_seed() + 5;
    for seed in first..first + 3 {
        // Two at a time, so that no thread has its core to itself.
        let [one, other] = thread::scope(|scope| {
            [scope.spawn(|| told(seed)), scope.spawn(|| told(seed))].map(|life| life.join().expect("a life ends"))
        });
        assert_eq!(one, other, "seed {seed}");
    }
}

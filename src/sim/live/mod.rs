//! A whole life over HTTP: a pretend HubSpot account, a pretend portal, and the service between them, all on loopback.
//!
//! Users edit on both sides, webhooks come late, twice, out of order or never, calls are refused or their answers lost, and
//! the service is killed and opened again. At the end everything has to agree, field by field. What is judged is what the two
//! sides show, with no code of the engine; `ledger` holds what users did.
//!
//! | part | what it holds |
//! |---|---|
//! | `house` | the sides, the service, their clock, and how the service dies |
//! | `script` | what users do |
//! | `ledger`, `agree` | what is due, and whether everybody shows it |
//! | `report` | what is told at the end |
//!
//! Time is one clock for all, which runs ten times as fast as the real one and is turned besides. The same seed makes the
//! same users do the same in the same order; what the network does between them is its own.

mod agree;
mod house;
mod ledger;
mod report;
mod script;

use std::{io, path::PathBuf, time::Instant};

pub use self::{
    agree::Agreement,
    report::{Report, Writes},
};
use self::{house::House, ledger::Ledger, script::Script};
use super::demo::{self, DemoError};
use crate::{engine::EngineError, send::chance::Chance, service::ServiceError};

/// How often a side is away.
const OUTAGES: u64 = 4;

/// How the service hears of what users do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hearing {
    /// The sides tell it.
    #[default]
    Webhooks,
    /// It asks, every half minute.
    Polls,
    /// The sides tell it at first; half-way another manifest lets it ask.
    Switched,
}

/// What is asked of a life.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the store is left, with the pretend sides' secrets; a demo's store that is there already is replaced.
    pub store: PathBuf,
    /// What all chance follows from.
    pub seed: u64,
    /// How many people there are at first, on either side or on both.
    pub records: usize,
    /// How many edits users make.
    pub edits: u64,
    /// How often the service is killed.
    pub kills: u64,
    /// How the service hears of what they do.
    pub hearing: Hearing,
}

/// Why a life could not be lived.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The directory cannot be used.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The machine does not give what is needed.
    #[error("cannot make a place for the sides")]
    Place(#[from] io::Error),
    /// The service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The store failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A side would not do what a user did.
    #[error("{0}")]
    User(String),
}

/// Lives a life; `told` hears what happens and how many edits are made.
///
/// # Errors
/// If the machine fails or the service does. That something disagrees is no error: the report says so.
pub fn run(options: &Options, told: &mut dyn FnMut(&'static str, u64)) -> Result<Report, LiveError> {
    let began = Instant::now();
    let mut chance = Chance::new(options.seed);
    demo::prepare(&options.store)?;
    let mut house = House::new(&options.store, chance.number(), options.hearing)?;
    let mut ledger = Ledger::default();
    let mut script = Script::new(chance.fork());
    told("the sides are filled", 0);
    script.fill(&house, &mut ledger, options.records)?;
    house.open()?;
    told("the sides are read for the first time", 0);
    house.settle()?;
    house.trouble();
    let mut pace = chance.fork();
    let (mut killed, mut replayed, mut away) = (0, 0, 0);
    let mut switches = options.hearing == Hearing::Switched;
    while script.edits < options.edits {
        told("both sides edit", script.edits);
        for _ in 0..=pace.below(8) {
            script.act(&house, &mut ledger)?;
        }
        house.pass(pace.within(100, 4_000))?;
        if switches && script.edits >= options.edits / 2 {
            told("another manifest is applied", script.edits);
            house.ask_from_now_on()?;
            switches = false;
        }
        if script.edits >= options.edits * (away + 1) / (OUTAGES + 1) && away < OUTAGES {
            told("a side is away", script.edits);
            house.outage(away);
            away += 1;
        }
        if script.edits >= options.edits * (killed + 1) / (options.kills + 1) && killed < options.kills {
            told("the service is killed", script.edits);
            killed += 1;
            // What is said now is on its way, or half done, when it happens.
            for _ in 0..5 {
                script.act(&house, &mut ledger)?;
            }
            replayed += house.kill_and_open(pace.below(30))?;
        }
    }
    told("waiting for all that is under way", script.edits);
    house.heal();
    let rested = house.settle()?;
    told("everything is read back", script.edits);
    let repaired = house.reconcile()?;
    let rested = house.settle()? && rested;
    let left_over = house.reconcile()?;
    let rested = house.settle()? && rested;
    told("everything is compared", script.edits);
    let agreement = agree::compare(&house, &ledger)?;
    let done = report::Done { killed, replayed, rested, repaired, left_over, began };
    let report = report::report(options, &house, &script, agreement, done)?;
    house.close()?;
    Ok(report)
}

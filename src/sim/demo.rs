//! The demo: real people's records on two pretend sides, thousands of edits of both, and everything that can go wrong.
//!
//! The same seed gives the same report, apart from wall times.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    compare,
    ledger::{self, By, Entry, What},
    post::Faults,
    report::{Latency, Report, Told, Writes},
    script::{self, Script},
    world::{Setting, World},
};
use crate::{
    clock::{Clock, Millis},
    engine::EngineError,
    event::Author,
    history::{Decision, Principal, Verdict},
    id::{EventId, FieldName, RecordId},
    send::chance::Chance,
    value::Value,
};

/// The file by which a directory is known to hold a demo's store, and may be emptied for the next.
const MARK: &str = "this-is-a-demo";

/// What is asked of the demo.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the store is left; a demo's store that is there already is replaced.
    pub store: PathBuf,
    /// What all chance follows from.
    pub seed: u64,
    /// How many people.
    pub records: usize,
    /// How many edits, at least.
    pub edits: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { store: PathBuf::from("syncline-demo"), seed: 1, records: 400, edits: 3_000 }
    }
}

/// Why the demo could not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The directory holds something else.
    #[error("{} is not empty and holds no demo; name another directory with --store", .0.display())]
    NotOurs(PathBuf),
    /// The directory cannot be prepared.
    #[error("cannot prepare {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How far the demo is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What it does now.
    pub doing: &'static str,
    /// How many edits are made.
    pub done: u64,
    /// How many will be.
    pub all: u64,
}

/// What goes wrong in the demo.
const FAULTS: Faults = Faults {
    twice: 50,
    late: 40,
    lost: 20,
    takes: (20, 400),
    takes_late: (3_000, 40_000),
    unanswered: 20,
    omitted: 10,
    busy: 10,
};

/// A demo under way.
struct Demo<'a> {
    options: &'a Options,
    world: World,
    script: Script,
    pace: Chance,
    /// Conflicts that were decided, by rule, each once.
    decided: BTreeMap<String, BTreeSet<(RecordId, FieldName, EventId)>>,
    told: Told,
    progress: &'a mut dyn FnMut(Progress),
}

/// Runs the demo and leaves its store for a closer look.
///
/// # Errors
/// If the directory cannot be used or the store fails. That something disagrees is no error: the report says so.
pub fn run(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Report, DemoError> {
    let began = Instant::now();
    prepare(&options.store)?;
    let mut chance = Chance::new(options.seed);
    let setting = Setting {
        store: options.store.clone(),
        manifest: script::MANIFEST.to_owned(),
        sides: vec![(script::crm(), 100), (script::portal(), 20)],
        faults: FAULTS,
        seed: chance.number(),
        begins: Millis(1_750_000_000_000),
        checkpoint_every: 2_000,
        disk: None,
        key: None,
    };
    let world = World::new(setting)?;
    let script = Script::new(options.records, true, chance.fork());
    let decided = BTreeMap::new();
    let mut demo = Demo { options, world, script, pace: chance.fork(), decided, told: Told::default(), progress };
    demo.begin()?;
    demo.live()?;
    demo.end()?;
    demo.report(began)
}

/// Empties the directory if it is a demo's, and marks it as one.
pub(super) fn prepare(dir: &Path) -> Result<(), DemoError> {
    let failed = |source| DemoError::Directory { path: dir.to_owned(), source };
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            let is_empty = entries.next().is_none();
            if !is_empty && !dir.join(MARK).exists() {
                return Err(DemoError::NotOurs(dir.to_owned()));
            }
            fs::remove_dir_all(dir).map_err(failed)?;
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(failed(why)),
    }
    fs::create_dir_all(dir).map_err(failed)?;
    fs::write(dir.join(MARK), "`syncline demo` empties this directory without asking.\n").map_err(failed)
}

impl Demo<'_> {
    fn say(&mut self, doing: &'static str) {
        let (done, all) = (self.script.edits().min(self.options.edits), self.options.edits);
        (self.progress)(Progress { doing, done, all });
    }

    /// Nine in ten people are in the CRM already; their records are made in the portal.
    fn begin(&mut self) -> Result<(), DemoError> {
        self.say("the CRM's records go to the portal");
        for _ in 0..self.options.records - self.options.records / 10 {
            if !self.script.make(&mut self.world, 0) {
                break;
            }
        }
        for _ in 0..5 {
            self.world.pass(300)?;
        }
        Ok(())
    }

    /// Users of both sides edit; each side is away for a while, the engine dies once.
    fn live(&mut self) -> Result<(), DemoError> {
        let share = |percent: u64| self.options.edits * percent / 100;
        let (crm_away, killed, portal_away) = (share(30), share(50), share(65));
        let reconciled = [share(45), share(85)];
        let mut done = BTreeSet::new();
        while self.script.edits() < self.options.edits {
            for _ in 0..=self.pace.below(5) {
                self.script.act(&mut self.world);
            }
            let wait = self.pace.within(50, 900);
            self.world.pass(wait)?;
            self.note_conflicts()?;
            let edits = self.script.edits();
            let mut is_first = |from: u64| edits >= from && done.insert(from);
            if is_first(crm_away) {
                self.cut(0);
            } else if is_first(portal_away) {
                self.cut(1);
            } else if is_first(killed) {
                self.kill()?;
            } else if reconciled.into_iter().any(&mut is_first) {
                self.told.unread += self.world.reconcile()?;
                self.told.reconciled += 1;
            }
            self.say(match (self.world.places[0].line.is_cut(), self.world.places[1].line.is_cut()) {
                (true, _) => "both sides edit, the CRM is away",
                (_, true) => "both sides edit, the portal is away",
                _ => "both sides edit",
            });
        }
        Ok(())
    }

    fn cut(&mut self, side: usize) {
        let now = self.world.clock.now();
        let away = 60_000 + self.pace.within(0, 20_000);
        self.world.places[side].line.cut(now, now.plus(away));
        self.told.away.push((self.world.places[side].name.to_string(), away));
    }

    /// The engine dies in the middle of a delivery: the side has taken the write, and nobody has noted that.
    fn kill(&mut self) -> Result<(), DemoError> {
        while let Some(back) = self.world.places[0].line.cut_until() {
            let wait = back.0 - self.world.clock.now().0;
            self.world.pass(wait)?;
        }
        self.world.places[0].line.hang_after(2);
        for _ in 0..60 {
            if self.world.places[0].line.hangs() {
                break;
            }
            self.script.act(&mut self.world);
            let wait = self.pace.within(50, 900);
            self.world.pass(wait)?;
        }
        self.told.killed_mid_delivery = self.world.places[0].line.hangs();
        self.world.kill();
        let opening = Instant::now();
        self.told.replayed = self.world.open()?.replayed;
        self.told.reopened_ms = opening.elapsed().as_millis() as u64;
        self.world.places[0].line.mend();
        Ok(())
    }

    /// Notes which conflicts the newest words have brought, by the rule that decided them.
    fn note_conflicts(&mut self) -> Result<(), DemoError> {
        let reader = self.world.engine().read(&Principal::operator());
        let spoken: BTreeSet<(RecordId, FieldName)> = std::mem::take(&mut self.world.spoken).into_iter().collect();
        for (record, field) in spoken {
            let Some(verdict) = reader.why(&record, &field)? else { continue };
            if is_conflict(&verdict) {
                self.decided.entry(verdict.rule).or_default().insert((record, field, verdict.winner.id));
            }
        }
        Ok(())
    }

    /// What was mistyped is corrected, everything under way arrives, what was lost is read back, and a person decides the rest.
    fn end(&mut self) -> Result<(), DemoError> {
        self.say("waiting for all that is under way");
        self.world.pass(1_000)?;
        self.script.finish(&mut self.world);
        self.told.rested = self.rest()?;
        let reader = self.world.engine().read(&Principal::operator());
        for verdict in reader.conflicts()?.into_iter().filter(|verdict| verdict.disputed) {
            let decision = Decision::of(&verdict.record, &verdict.field, verdict.winner.value.clone())
                .by(Author::user("team-lead"))
                .because("the newer salutation is the customer's own wish");
            self.world.engine().decide(&Principal::operator(), decision)?;
            self.told.decisions.insert((verdict.record, verdict.field), verdict.winner.value);
        }
        self.say("a person has decided the open conflicts");
        self.told.rested &= self.rest()?;
        Ok(())
    }

    /// Comes to rest, reading everything back until nothing new is found.
    fn rest(&mut self) -> Result<bool, DemoError> {
        for _ in 0..10 {
            if !self.world.rest()? {
                return Ok(false);
            }
            let before = self.world.engine().counts()?.events;
            let unread = self.world.reconcile()?;
            self.told.reconciled += 1;
            self.note_conflicts()?;
            if unread == 0 && self.world.engine().counts()?.events == before {
                return Ok(self.world.rest()?);
            }
            self.world.pass(1_000)?;
        }
        Ok(false)
    }

    fn report(mut self, began: Instant) -> Result<Report, DemoError> {
        self.say("comparing both sides with the engine and the ledger");
        let entries = self.world.journal.entries();
        let ahead = |side: &str| if side == "crm" { script::crm().ahead } else { script::portal().ahead };
        let findings = ledger::judge(&entries, script::rule, ahead);
        let agreement = compare::compare(&self.world, &findings, &self.told.decisions)?;
        let counts = self.world.engine().counts()?;
        let is_sound = self.world.engine().audit(false, &|_, _, _| {})?.is_sound();
        let sentences = self.sentences()?;
        let sent = self.world.places.iter().map(|place| place.line.sent());
        let writes = Writes::of(sent, self.script.edits());
        let posts = || self.world.places.iter().map(|place| &place.post);
        let report = Report {
            seed: self.options.seed,
            records: self.script.known().len() as u64,
            edits: self.script.edits(),
            words: findings.edits,
            webhooks: self.world.heard,
            webhooks_lost: posts().map(|post| post.lost).sum(),
            webhooks_doubled: posts().map(|post| post.doubled).sum(),
            events: counts.events,
            logged: self.world.engine().last().0,
            echoes: counts.echoes,
            parked: counts.parked,
            conflicts: self.decided.iter().map(|(rule, all)| (rule.clone(), all.len() as u64)).collect(),
            conflicts_open: counts.conflicts_open,
            told: std::mem::take(&mut self.told),
            writes,
            latency: latency(&entries, ahead),
            agreement,
            is_sound,
            sentences,
            store: self.options.store.clone(),
            wall_ms: began.elapsed().as_millis() as u64,
        };
        self.world.close()?;
        Ok(report)
    }

    /// One conflict of each rule, as `why` tells it.
    fn sentences(&self) -> Result<Vec<(RecordId, FieldName, String)>, DemoError> {
        let reader = self.world.engine().read(&Principal::operator());
        let mut by_rule: BTreeMap<String, Verdict> = BTreeMap::new();
        for verdict in reader.conflicts()? {
            by_rule.entry(verdict.rule.clone()).or_insert(verdict);
        }
        for (record, field) in self.told.decisions.keys().take(1) {
            if let Some(verdict) = reader.why(record, field)? {
                by_rule.insert("decided by a person".to_owned(), verdict);
            }
        }
        let told = by_rule.into_values().map(|verdict| (verdict.record, verdict.field, verdict.sentence));
        Ok(told.take(3).collect())
    }
}

fn is_conflict(verdict: &Verdict) -> bool {
    verdict.others.iter().any(|other| other.value != verdict.winner.value)
}

/// From each edit to the write that showed it on the other side.
fn latency(entries: &[Entry], ahead: impl Fn(&str) -> i64) -> Latency {
    let mut waiting: BTreeMap<(&RecordId, &FieldName, &Value), &Entry> = BTreeMap::new();
    let (mut wall, mut simulated) = (Vec::new(), Vec::new());
    for entry in entries {
        let What::Field(field, value) = &entry.what else { continue };
        let key = (&entry.record, field, value);
        match entry.by {
            By::User => drop(waiting.insert(key, entry)),
            By::Write if waiting.get(&key).is_some_and(|edit| edit.side != entry.side) => {
                let edit = waiting.remove(&key).expect("it was just there");
                wall.push(entry.noted.duration_since(edit.noted).as_micros() as u64);
                let times = [entry, edit].map(|entry| entry.at.plus(-ahead(&entry.side)).0);
                simulated.push((times[0] - times[1]).max(0) as u64);
            }
            By::Write | By::Side => {}
        }
    }
    Latency::of(wall, simulated)
}

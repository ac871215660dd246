//! Pretend sides, as many as are wanted, and an engine under one hand-turned clock.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use serde::Serialize;

use super::{
    capture,
    connector::Line,
    ledger::Journal,
    post::{Faults, Post, Webhook},
    side::{Manners, Side},
};
use crate::{
    clock::{Clock, HandClock, Millis},
    engine::{Engine, EngineError, Opening, Said},
    event::{Author, Detail, Draft, Kind, Origin},
    id::{FieldName, RecordId, SideName, TenantKey},
    log::disk::Disk,
    manifest::Manifest,
    send::{Sender, Settings, Stepped, chance::Chance},
    value::Value,
};

/// What a world is made of.
pub struct Setting {
    /// Where the store lies.
    pub store: PathBuf,
    /// Its manifest.
    pub manifest: String,
    /// The sides, with the most writes of one call to each.
    pub sides: Vec<(Manners, usize)>,
    /// What goes wrong on the ways.
    pub faults: Faults,
    /// What all chance follows from.
    pub seed: u64,
    /// The time at which it begins.
    pub begins: Millis,
    /// How often an open engine makes derived state durable, in events.
    pub checkpoint_every: u64,
    /// The disk; `None`: the machine's.
    pub disk: Option<Arc<dyn Disk>>,
    /// The tenant's key, where everything has to follow from the seed; `None`: one from the operating system.
    pub key: Option<TenantKey>,
}

/// The engine's own clock: how far it is ahead of the true one can be turned.
#[derive(Clone)]
struct OwnClock {
    clock: HandClock,
    ahead: HandClock,
}

impl Clock for OwnClock {
    fn now(&self) -> Millis {
        self.clock.now().plus(self.ahead.now().0)
    }
}

/// One side with its ways to and from us.
pub struct Place {
    /// The side.
    pub name: SideName,
    side: Arc<Mutex<Side>>,
    /// The way of its webhooks.
    pub post: Post,
    /// The way of our writes.
    pub line: Arc<Line>,
    sender: Option<Sender>,
    sender_seed: u64,
}

/// What capture heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// Webhooks that said something new.
    pub new: u64,
    /// Webhooks that the log had already.
    pub duplicates: u64,
}

/// Sides and an engine.
pub struct World {
    /// The hand-turned clock.
    pub clock: HandClock,
    /// How far the engine's clock is ahead of it, in milliseconds: nothing, unless somebody turns it.
    pub ahead: HandClock,
    /// The sides with their ways.
    pub places: Vec<Place>,
    /// What the sides took in.
    pub journal: Journal,
    /// What capture heard so far.
    pub heard: Heard,
    /// Records and fields that webhooks spoke of since someone last looked.
    pub spoken: Vec<(RecordId, FieldName)>,
    setting: Setting,
    engine: Option<Engine>,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    /// The side itself.
    pub fn side(&self) -> MutexGuard<'_, Side> {
        self.side.lock().expect("a pretend side does not panic")
    }

    fn sender_of(&self, engine: &Engine, settings: Settings) -> Sender {
        let settings = Settings { seed: self.sender_seed, ..settings };
        Sender::new(engine.clone(), self.name.clone(), self.line.clone(), settings)
    }

    fn new(
        manners: Manners,
        batch_most: usize,
        faults: Faults,
        world: (&HandClock, &Journal),
        chance: &mut Chance,
    ) -> Self {
        let (clock, journal) = world;
        let name = manners.name.clone();
        let side = Arc::new(Mutex::new(Side::new(manners, clock.clone(), journal.clone())));
        let line = Arc::new(Line::new(side.clone(), clock.clone(), batch_most, faults, chance.fork()));
        let post = Post::new(faults, chance.fork());
        Place { name, side, post, line, sender: None, sender_seed: chance.number() }
    }

    fn sender(&self) -> &Sender {
        self.sender.as_ref().expect("an open world has a sender for each side")
    }
}

impl World {
    /// Makes a world and opens its store.
    ///
    /// # Errors
    /// If the store cannot be opened.
    pub fn new(setting: Setting) -> Result<Self, EngineError> {
        let mut chance = Chance::new(setting.seed);
        let clock = HandClock::at(setting.begins);
        let journal = Journal::default();
        let faults = setting.faults;
        let sides = setting.sides.iter().cloned();
        let places =
            sides.map(|(side, most)| Place::new(side, most, faults, (&clock, &journal), &mut chance)).collect();
        let runtime = runtime();
        let mut world = World {
            clock,
            ahead: HandClock::at(Millis(0)),
            places,
            journal,
            heard: Heard::default(),
            spoken: Vec::new(),
            setting,
            engine: None,
            runtime,
        };
        world.open()?;
        // A store that was given its key awaits its rules.
        world.engine().apply_manifest(&world.setting.manifest)?;
        world.measure_clocks()?;
        Ok(world)
    }

    /// Opens the store, as a new process would.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(&mut self) -> Result<Opening, EngineError> {
        let mut builder = Engine::builder(&self.setting.store)
            .manifest(&self.setting.manifest)
            .clock(OwnClock { clock: self.clock.clone(), ahead: self.ahead.clone() })
            .checkpoint_every(self.setting.checkpoint_every);
        if let Some(key) = &self.setting.key {
            builder = builder
                .adopt(Manifest::parse(&self.setting.manifest).map_err(EngineError::Manifest)?.tenant, key.clone());
        }
        if let Some(disk) = &self.setting.disk {
            builder = builder.disk(disk.clone());
        }
        let (engine, opening) = builder.open()?;
        for place in &mut self.places {
            place.sender = Some(place.sender_of(&engine, Settings::default()));
        }
        self.engine = Some(engine);
        Ok(opening)
    }

    /// Puts another disk under the store, such as the one that a power cut leaves, for when it is next opened.
    pub fn set_disk(&mut self, disk: Arc<dyn Disk>) {
        self.setting.disk = Some(disk);
    }

    /// Puts another manifest in force, now and whenever the store is opened.
    ///
    /// # Errors
    /// If it has faults, or the store fails.
    pub fn apply_manifest(&mut self, text: &str) -> Result<bool, EngineError> {
        text.clone_into(&mut self.setting.manifest);
        self.engine().apply_manifest(text)
    }

    /// Ends the engine as a crash would: nothing is closed, no checkpoint is made.
    pub fn kill(&mut self) {
        self.places.iter_mut().for_each(|place| place.sender = None);
        self.engine = None;
        // What still runs on other threads would keep the store open; this waits for it.
        self.runtime = runtime();
    }

    /// Closes the engine in order.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn close(&mut self) -> Result<(), EngineError> {
        self.places.iter_mut().for_each(|place| place.sender = None);
        self.engine.take().map_or(Ok(()), Engine::close)
    }

    /// The engine.
    ///
    /// # Panics
    /// If it was killed and not opened again.
    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the engine is open")
    }

    /// A side with its ways.
    ///
    /// # Panics
    /// If there is no such side.
    pub fn place(&self, side: &str) -> &Place {
        self.places.iter().find(|place| *place.name == *side).expect("a side of this world")
    }

    /// Says how far each side's clock is ahead of ours.
    fn measure_clocks(&mut self) -> Result<(), EngineError> {
        let now = self.clock.now();
        let drafts = self.places.iter().map(|place| {
            let at = place.side().now();
            let origin = Origin::side(place.name.clone());
            let mut draft = Draft::new(Kind::Clock, RecordId::tenant(), origin, at.plus(-1_000_000), Author::engine());
            draft.detail = Detail::Clock(at.0 - now.0);
            draft
        });
        self.engine().say(drafts.collect()).map(|_| ())
    }

    /// A user edits a record on a side.
    pub fn edit(&self, side: &str, record: &RecordId, author: &Author, set: &[(FieldName, Value)]) {
        self.place(side).side().edit(record, author, set);
    }

    /// Sends on their way the webhooks that the sides have for us.
    pub fn post_webhooks(&mut self) {
        let now = self.clock.now();
        for place in &mut self.places {
            let webhooks = place.side().take_outgoing();
            place.post.send(webhooks, now);
        }
    }

    /// Takes in the webhooks that have arrived, from sides whose line is not cut.
    ///
    /// # Errors
    /// If the store fails; then they come again.
    pub fn hear(&mut self) -> Result<(), EngineError> {
        self.post_webhooks();
        let now = self.clock.now();
        for at in 0..self.places.len() {
            let place = &self.places[at];
            if place.line.is_cut() {
                continue;
            }
            let arrived = place.post.arrived(now);
            if arrived.is_empty() {
                continue;
            }
            let spoken = arrived
                .iter()
                .flat_map(|webhook| webhook.set.iter().map(|(field, _)| (webhook.record.clone(), field.clone())));
            self.spoken.extend(spoken);
            let drafts = arrived.into_iter().map(|webhook| capture::statement(&place.name, webhook)).collect();
            self.say(drafts)?;
            self.places[at].post.acknowledge(now);
        }
        Ok(())
    }

    /// Says what was heard, and counts it.
    fn say(&mut self, drafts: Vec<Draft>) -> Result<(), EngineError> {
        for said in self.engine().say(drafts)? {
            match said {
                Said::New { .. } => self.heard.new += 1,
                Said::Duplicate => self.heard.duplicates += 1,
            }
        }
        Ok(())
    }

    /// Takes in one webhook of a side, by its number among those under way; with `keep` it comes once more.
    ///
    /// # Errors
    /// If the store fails; then it stays under way.
    pub fn arrive(&mut self, at: usize, nth: usize, keep: bool) -> Result<Option<Webhook>, EngineError> {
        let place = &self.places[at];
        let Some(webhook) = place.post.nth(nth).cloned() else { return Ok(None) };
        let draft = capture::statement(&place.name, webhook.clone());
        self.say(vec![draft])?;
        if !keep {
            self.places[at].post.take(nth);
        }
        Ok(Some(webhook))
    }

    /// Lets the sender of one side do what is due.
    ///
    /// # Errors
    /// If the store fails.
    pub fn send_to(&self, at: usize) -> Result<Stepped, EngineError> {
        let place = &self.places[at];
        let stepped = match place.line.may_hang() {
            false => Some(self.runtime.block_on(place.sender().step())),
            true => self.runtime.block_on(step_or_hang(place, &self.lone_sender(place))),
        };
        Ok(stepped.transpose()?.unwrap_or_default())
    }

    /// A sender that makes one call at a time: where a call hangs, nothing else is under way that could be taken in, or not,
    /// before it is noticed.
    fn lone_sender(&self, place: &Place) -> Sender {
        place.sender_of(self.engine(), Settings { calls_at_once: 1, ..Settings::default() })
    }

    /// Lets the sender of one side make one round of calls; several lead to what [`World::send_to`] does.
    ///
    /// # Errors
    /// If the store fails.
    pub fn round_to(&self, at: usize) -> Result<Stepped, EngineError> {
        self.runtime.block_on(self.places[at].sender().round())
    }

    /// When the sender of one side has something to do next, by the engine's clock.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn next_of(&self, at: usize) -> Result<Option<Millis>, EngineError> {
        self.places[at].sender().next()
    }

    /// Reads these records of one side back; returns how many could not be read.
    ///
    /// # Errors
    /// If the store fails.
    pub fn read_back(&self, at: usize, records: &[RecordId]) -> Result<usize, EngineError> {
        let place = &self.places[at];
        let ask = |record: &RecordId| (record.clone(), place.side().id_of(record));
        let asked: Vec<_> = records.iter().map(ask).collect();
        Ok(self.runtime.block_on(place.sender().reconcile(&asked))?.len())
    }

    /// Lets the senders do what is due; returns whether they did anything.
    ///
    /// # Errors
    /// If the store fails.
    pub fn send(&self) -> Result<bool, EngineError> {
        let mut any = false;
        for at in 0..self.places.len() {
            any |= !self.send_to(at)?.is_idle();
        }
        Ok(any)
    }

    /// Turns the clock and lets come and go what is due.
    ///
    /// # Errors
    /// If the store fails.
    pub fn pass(&mut self, millis: i64) -> Result<(), EngineError> {
        self.clock.advance(millis);
        self.hear()?;
        self.send()?;
        self.hear()
    }

    /// Turns the clock on and on until nothing is under way and nothing waits; false: it did not come to rest.
    ///
    /// # Errors
    /// If the store fails.
    pub fn rest(&mut self) -> Result<bool, EngineError> {
        for _ in 0..10_000 {
            self.pass(1)?;
            let now = self.clock.now();
            let mut next: Vec<Millis> = Vec::new();
            for place in &self.places {
                let back = place.line.cut_until().unwrap_or(now);
                next.extend(place.post.next().map(|at| at.max(back)));
                next.extend(place.sender().next()?);
            }
            match next.into_iter().min() {
                None => return Ok(true),
                Some(at) => self.clock.set(at.max(now)),
            }
        }
        Ok(false)
    }

    /// Reads all records of all sides back, as a scheduled reconciliation does; returns how many could not be read.
    ///
    /// What a busy side puts off is asked again; a side whose line is cut is left alone.
    ///
    /// # Errors
    /// If the store fails.
    pub fn reconcile(&mut self) -> Result<usize, EngineError> {
        let mut unread = 0;
        let known: BTreeSet<RecordId> = self.journal.entries().into_iter().map(|entry| entry.record).collect();
        for at in 0..self.places.len() {
            let place = &self.places[at];
            let ask = |record: &RecordId| (record.clone(), place.side().id_of(record));
            let mut records: Vec<_> = known.iter().map(ask).collect();
            while !records.is_empty() && !self.places[at].line.is_cut() {
                let again = self.runtime.block_on(self.places[at].sender().reconcile(&records))?;
                records.retain(|(record, _)| again.contains(record));
                if !records.is_empty() {
                    self.pass(500)?;
                }
            }
            unread += records.len();
        }
        Ok(unread)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime for one thread can be made")
}

/// A step, or nothing where the line hangs: the step would never end, so its future is dropped, as when a process dies.
async fn step_or_hang(place: &Place, sender: &Sender) -> Option<Result<Stepped, EngineError>> {
    let hangs = async {
        while !place.line.hangs() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        stepped = sender.step() => Some(stepped),
        () = hangs => None,
    }
}

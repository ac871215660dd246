//! Power cuts on a disk in memory: at every operation, with every way for unsynced bytes to survive.
//!
//! After each of them: the store opens, what was acknowledged is there, what is there is what was said, agreement is reached.

use syncline::{
    engine::EngineError,
    send::chance::Chance,
    sim::{
        disk::{Cut, SimDisk, Trouble},
        script::Script,
        world::World,
    },
};

use crate::{
    journey,
    scripted::{Life, Told},
    suites,
};

/// All ways for what was not synced to survive.
pub fn cuts(seed: u64) -> [Cut; 7] {
    let torn = seed.wrapping_mul(31);
    [Cut::Lost, Cut::Kept, Cut::Zeroed, Cut::Prefix(seed), Cut::Sectors(seed), Cut::Torn(torn), Cut::Torn(torn + 1)]
}

/// A life with a power cut at every operation, and another one at every operation of the recovery from it.
fn cut_everywhere(seed: u64) -> u64 {
    let life = Life::new(seed);
    let mut states = 0;
    for nth in 1.. {
        let (disk, mut told) = (SimDisk::new(), Told::default());
        disk.plan(nth, Trouble::Crash);
        let lived = life.live(&disk, &mut told);
        if !disk.met() {
            assert!(nth > life.calls(), "every call is at least one operation");
            lived.expect("an undisturbed life");
            break;
        }
        let cuts = cuts(seed ^ nth);
        for cut in cuts {
            life.survives(&disk.after(cut), told, &format!("a power cut at operation {nth}, {cut:?}"));
            states += 1;
        }
        states += cut_in_recovery(&life, &disk, told, cuts[nth as usize % cuts.len()], nth);
    }
    states
}

fn cut_in_recovery(life: &Life, disk: &SimDisk, told: Told, first: Cut, nth: u64) -> u64 {
    let mut states = 0;
    for again in 1.. {
        let disk = disk.after(first);
        disk.plan(again, Trouble::Crash);
        drop(life.open(&disk));
        if !disk.met() {
            break;
        }
        for cut in [Cut::Lost, Cut::Kept, Cut::Torn(again ^ nth)] {
            let what = format!("a power cut at operation {nth}, {first:?}, and in recovery at {again}, {cut:?}");
            life.survives(&disk.after(cut), told, &what);
            states += 1;
        }
    }
    states
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_every_operation_of_many_lives() {
    let states = suites::until(suites::cases(2_000, 50_000, 500_000), cut_everywhere);
    suites::reached("power cuts", states, "crash states on the simulated disk, 0 lost, 0 unopenable");
}

/// A world on a disk in memory, whose power goes again and again.
pub struct Shaken {
    pub world: World,
    pub disk: SimDisk,
    chance: Chance,
    /// How often the power went.
    pub times: u64,
}

impl Shaken {
    fn trouble(&mut self) {
        let nth = self.chance.within(1, 260) as u64;
        self.disk.plan(nth, Trouble::Crash);
    }

    /// Lets the world go on; if the power goes in the middle, the engine dies and is opened on what is left.
    fn go(&mut self, work: impl Fn(&mut World) -> Result<(), EngineError>) {
        if let Err(why) = work(&mut self.world) {
            assert!(self.disk.met(), "the disk works, but {why}");
            self.open();
        }
    }

    fn open(&mut self) {
        for tried in 0.. {
            self.times += 1;
            self.world.kill();
            let seed = self.chance.number();
            self.disk = self.disk.after(cuts(seed)[(seed >> 32) as usize % 7]);
            self.world.set_disk(self.disk.shared());
            // Now and then the power goes again before the store is open.
            if tried < 3 && self.chance.permille(400) {
                self.disk.plan(self.chance.within(1, 12) as u64, Trouble::Crash);
            }
            match self.world.open() {
                Ok(opening) => {
                    assert_eq!(opening.recovery.faults, [], "a crash is not taken for damage");
                    return self.trouble();
                }
                Err(why) => assert!(self.disk.met(), "the disk works, but {why:?}"),
            }
        }
    }
}

/// A journey in which the power goes again and again; returns how often it did.
fn shaken(seed: u64) -> u64 {
    let disk = SimDisk::new();
    let (_dir, world) = journey::world_on(seed, journey::HARD, 40, Some(disk.shared()));
    let mut shaken = Shaken { world, disk, chance: Chance::new(seed ^ 11), times: 0 };
    let mut script = Script::new(20, true, Chance::new(seed));
    (0..15).for_each(|_| assert!(script.make(&mut shaken.world, 0)));
    shaken.trouble();
    while script.edits() < 150 {
        script.act(&mut shaken.world);
        let wait = shaken.chance.within(5, 300);
        shaken.go(|world| world.pass(wait));
    }
    shaken.disk.heal();
    shaken.world.pass(1_000).expect("the disk works");
    script.finish(&mut shaken.world);
    journey::settle(&mut shaken.world);
    let found = journey::differences(&shaken.world);
    assert!(found.is_empty(), "seed {seed}: {} differences\n{}", found.len(), found.join("\n"));
    let audit = shaken.world.engine().audit(false, &|_, _, _| {}).expect("it is checked");
    assert!(audit.is_sound(), "seed {seed}: {:?}", audit.findings);
    shaken.times
}

#[test]
fn both_sides_agree_although_the_power_goes_again_and_again() {
    let times = suites::until(suites::cases(10, 500, 10_000), shaken);
    suites::reached(
        "power cuts",
        times,
        "power cuts under a whole engine between two sides, agreement after each life",
    );
}

//! Errors at the n-th call of the disk: never a panic, never a silent loss, and all is well after the cure.

use std::{
    error::Error,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use syncline::{
    clock::Millis,
    engine::{Engine, EngineError, Said},
    event::{Author, Draft, Kind, Origin},
    history::Principal,
    id::{FieldName, RecordId, SideName},
    log::LogError,
    send::chance::Chance,
    sim::{
        disk::{SimDisk, Trouble},
        script::Script,
    },
    value::Value,
};

use crate::{
    journey, power_cuts,
    scripted::{Life, Told},
    suites,
};

/// EIO, ENOSPC, EINTR, a write of nothing, writes cut short, and a disk that stays full.
const TROUBLES: [Trouble; 7] = [
    Trouble::Once(ErrorKind::Other),
    Trouble::Once(ErrorKind::StorageFull),
    Trouble::Once(ErrorKind::Interrupted),
    Trouble::Short(ErrorKind::WriteZero),
    Trouble::Short(ErrorKind::StorageFull),
    Trouble::Short(ErrorKind::Other),
    Trouble::Full,
];

/// A life with every error at every operation; after the cure the log opens, and a power cut later does no harm.
fn fail_everywhere(seed: u64) -> u64 {
    let life = Life::new(seed);
    let mut cases = 0;
    for trouble in TROUBLES {
        for nth in 1.. {
            let (disk, mut told) = (SimDisk::new(), Told::default());
            disk.plan(nth, trouble);
            let lived = life.live(&disk, &mut told);
            if !disk.met() {
                lived.expect("an undisturbed life");
                break;
            }
            cases += 1;
            let what = format!("seed {seed}, {trouble:?} at operation {nth}");
            assert_eq!(disk.resyncs(), 0, "{what}: a failed sync is final for its handle");
            let is_space = matches!(trouble, Trouble::Full | Trouble::Once(ErrorKind::StorageFull));
            if let Err(why) = &lived {
                assert!(!is_space || why.is_disk_full(), "{what}: {why} does not say that the disk is full");
            }
            disk.heal();
            drop(life.begin(&disk, &mut told).unwrap_or_else(|why| panic!("{what}: {why}")));
            for cut in power_cuts::cuts(seed ^ nth) {
                life.survives(&disk.after(cut), told, &format!("{trouble:?} at {nth}, reopened, a power cut, {cut:?}"));
            }
            life.survives(&disk, told, &what);
        }
    }
    cases
}

#[test]
fn an_error_at_every_call_of_many_lives_loses_nothing() {
    let cases = suites::until(suites::cases(100, 300, 6_000), fail_everywhere);
    suites::reached("disk errors", cases, "errors at the n-th call");
}

pub fn chain(error: &dyn Error) -> String {
    let cause = error.source().map(|why| format!(": {}", chain(why)));
    format!("{error}{}", cause.unwrap_or_default())
}

/// A journey whose disk fails again and again; each time the engine says so, and is opened anew.
fn failing(seed: u64) -> u64 {
    let disk = SimDisk::new();
    let (_dir, mut world) = journey::world_on(seed, journey::HARD, 40, Some(disk.shared()));
    let mut script = Script::new(20, true, Chance::new(seed));
    let mut chance = Chance::new(seed ^ 13);
    (0..15).for_each(|_| assert!(script.make(&mut world, 0)));
    let mut times = 0;
    disk.plan(chance.within(1, 200) as u64, *chance.pick(&TROUBLES));
    while script.edits() < 150 {
        script.act(&mut world);
        if let Err(why) = world.pass(chance.within(5, 300)) {
            assert!(disk.met(), "the disk works, but {why}");
            let told = chain(&why);
            assert!(matches!(why, EngineError::Log(_) | EngineError::State(_)), "seed {seed}: {told}");
            assert_eq!(disk.resyncs(), 0, "seed {seed}: {told}");
            times += 1;
            disk.heal();
            world.kill();
            let opening = world.open().unwrap_or_else(|why| panic!("seed {seed}: after {told}: {}", chain(&why)));
            assert_eq!(opening.recovery.faults, [], "seed {seed}: after {told}");
            disk.plan(chance.within(1, 200) as u64, *chance.pick(&TROUBLES));
        }
    }
    disk.heal();
    world.kill();
    world.open().expect("the disk works");
    world.pass(1_000).expect("the disk works");
    script.finish(&mut world);
    journey::settle(&mut world);
    let found = journey::differences(&world);
    assert!(found.is_empty(), "seed {seed}: {} differences\n{}", found.len(), found.join("\n"));
    let audit = world.engine().audit(false, &|_, _, _| {}).expect("it is checked");
    assert!(audit.is_sound(), "seed {seed}: {:?}", audit.findings);
    times
}

#[test]
fn both_sides_agree_although_the_disk_fails_again_and_again() {
    let times = suites::until(suites::cases(8, 300, 6_000), failing);
    suites::reached("disk errors", times, "errors under a whole engine between two sides, agreement after each life");
}

pub fn draft(number: i64) -> Draft {
    let side = SideName::new("portal").expect("a good name");
    let record = RecordId::new(&format!("contact/{}", number % 50)).expect("a good id");
    let mut draft =
        Draft::new(Kind::Edit, record, Origin::side(side), Millis(1_750_000_000_000 + number), Author::user("ana"));
    let text = format!("note {number} {}", "x".repeat(3_000));
    draft.words = vec![(FieldName::new("note").expect("a good name"), Value::text(&text))];
    draft
}

/// A file system of a few megabytes in memory; unmounted when it is dropped.
pub struct Small(PathBuf);

impl Small {
    /// Mounts one over a directory; `None` where this process may not.
    pub fn mount(dir: &Path, mib: u32) -> Option<Small> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(dir);
        mount.output().is_ok_and(|done| done.status.success()).then(|| Small(dir.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if !Command::new("umount").arg(&self.0).status().is_ok_and(|status| status.success()) {
            println!("{} is still mounted", self.0.display());
        }
    }
}

#[test]
fn a_really_full_file_system_stops_the_store_until_there_is_space() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(_mounted) = Small::mount(dir.path(), 6) else {
        return println!("SKIPPED: this process may not mount a file system");
    };
    let (store, ballast) = (dir.path().join("store"), dir.path().join("ballast"));
    fs::write(&ballast, vec![7; 2 << 20]).expect("there is space");
    let (engine, _) = Engine::builder(&store).open().expect("there is space");
    let mut acknowledged = Vec::new();
    let why = loop {
        match engine.say(vec![draft(acknowledged.len() as i64)]) {
            Ok(said) => acknowledged.extend(said),
            Err(why) => break why,
        }
        assert!(acknowledged.len() < 10_000, "six megabytes were enough for more");
    };
    assert!(matches!(&why, EngineError::Log(log) if LogError::is_disk_full(log)), "{}", chain(&why));
    assert!(engine.say(vec![draft(-1)]).is_err(), "the handle is stopped");
    drop(engine);
    fs::remove_file(&ballast).expect("it was there");

    let (engine, opening) = Engine::builder(&store).create(false).open().expect("there is space again");
    assert_eq!(opening.recovery.read_only(), None);
    let reader = engine.read(&Principal::operator());
    for (number, said) in acknowledged.iter().enumerate() {
        let Said::New { id, .. } = said else { panic!("each was said once") };
        let story = reader.history(&format!("contact/{}", number % 50), None).expect("it is read");
        assert!(story.iter().flatten().any(|change| change.id == *id), "number {number} was acknowledged and is there");
    }
    engine.say(vec![draft(acknowledged.len() as i64 + 1)]).expect("it goes on");
    engine.close().expect("it closes");
}

//! Corruption: bits, sectors and whole files that are not what they were. Every answer is right, or says that it cannot be given.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

use syncline::{
    engine::Engine,
    history::Principal,
    id::Seq,
    log::{Log, LogError, Recovery},
    send::chance::Chance,
    sim::disk::SimDisk,
};

use crate::{
    damage::{self, Store, builder, chain, hashes},
    scripted::{Life, Told, checkpointed, dir},
    suites,
};

const SECTOR_BYTES: usize = 512;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Damages files in one of many ways, and says how; `older` are the same files as they were once.
fn damage(files: &mut Files, older: &Files, chance: &mut Chance) -> String {
    let names: Vec<PathBuf> = files.keys().filter(|name| !files[*name].is_empty()).cloned().collect();
    let name = chance.pick(&names).clone();
    let other = chance.pick(&names).clone();
    let length = files[&name].len();
    let at = chance.below(length as u64) as usize;
    let sectors = length.div_ceil(SECTOR_BYTES) as u64;
    let (one, two) = (chance.below(sectors) as usize, chance.below(sectors) as usize);
    let span = |sector: usize| sector * SECTOR_BYTES..length.min((sector + 1) * SECTOR_BYTES);
    let bytes = files.get_mut(&name).expect("it is one of them");
    let told = match chance.below(9) {
        0..3 => {
            let bits = 1 + chance.below(3);
            for _ in 0..bits {
                let bit = chance.below(length as u64 * 8) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            format!("{bits} bits flipped")
        }
        3 => {
            bytes[span(one)].fill(0);
            format!("sector {one} zeroed")
        }
        4 => {
            let (first, second) = (bytes[span(one)].to_vec(), bytes[span(two)].to_vec());
            let most = first.len().min(second.len());
            bytes[span(one)][..most].copy_from_slice(&second[..most]);
            bytes[span(two)][..most].copy_from_slice(&first[..most]);
            format!("sectors {one} and {two} swapped")
        }
        5 => {
            bytes.truncate(at);
            format!("cut to {at} of {length} bytes")
        }
        6 => {
            let (mine, theirs) = (files[&name].clone(), files[&other].clone());
            files.insert(name.clone(), theirs);
            files.insert(other.clone(), mine);
            format!("swapped with {}", other.display())
        }
        7 => {
            match older.get(&name) {
                Some(old) => drop(files.insert(name.clone(), old.clone())),
                None => drop(files.remove(&name)),
            }
            "as it was once".to_owned()
        }
        _ => {
            files.remove(&name);
            "deleted".to_owned()
        }
    };
    format!("{}: {told}", name.display())
}

/// All files of a disk but the checkpoint, which only says where the log need not be read.
fn log_files(disk: &SimDisk) -> Files {
    let names = disk.names().into_iter().filter(|path| path.parent() == Some(dir()));
    names.map(|path| (path.clone(), disk.bytes(&path))).collect()
}

fn disk_with(files: &Files) -> SimDisk {
    let disk = SimDisk::new();
    files.iter().for_each(|(path, bytes)| disk.put(path, bytes.clone()));
    disk
}

/// What is said to be damaged, and what reads.
struct Found {
    named: BTreeSet<u64>,
    reads: BTreeSet<u64>,
}

/// Reads all that a damaged log gives; a wrong entry fails.
fn read_all(life: &Life, log: &Log, recovery: &Recovery, all: u64, what: &str) -> Found {
    let mut found = Found { named: BTreeSet::new(), reads: BTreeSet::new() };
    let name = |found: &mut Found, seqs: &std::ops::RangeInclusive<Seq>| {
        found.named.extend(seqs.start().0..=seqs.end().0.min(all + 1));
    };
    let take = |found: &mut Found, seq: u64, header: Vec<u8>, payload: Vec<u8>| {
        assert!((1..=all).contains(&seq), "{what}: entry {seq} was never said");
        let due = life.content(seq);
        assert!(header == due.0, "{what}: entry {seq} is silently wrong");
        // A payload is checked by its reader, against the hash that the header holds of it.
        if payload == due.1 {
            found.reads.insert(seq)
        } else {
            found.named.insert(seq)
        };
    };
    for stored in log.scan(Seq(1)) {
        match stored {
            Ok(stored) => take(&mut found, stored.seq.0, stored.header, stored.payload),
            Err(LogError::Corrupt { seqs, .. }) => name(&mut found, &seqs),
            Err(why) => panic!("{what}: {why}"),
        }
    }
    for seq in 1..=all {
        if let Ok(entry) = log.find(Seq(seq)).and_then(|place| log.read(place)) {
            take(&mut found, seq, entry.header, entry.payload);
        }
    }
    let verified = log.verify(&|header, payload| life.said(header, payload), &mut |_| {}).expect("the disk works");
    recovery.faults.iter().chain(&verified.faults).for_each(|fault| name(&mut found, &fault.seqs));
    if let Some(torn) = &recovery.torn {
        found.named.extend(torn.after.0 + 1..=all);
    }
    found
}

/// A damaged log: what is missing is named, but for an end that no checkpoint knows of, which an older copy lacks as well.
fn judge(life: &Life, files: &Files, all: u64, named: u64, what: &str) {
    let opened = panic::catch_unwind(AssertUnwindSafe(|| life.open_at(&disk_with(files), named)));
    let (log, recovery) = match opened.unwrap_or_else(|_| panic!("{what}: opening panicked")) {
        Ok(opened) => opened,
        Err(LogError::Io { source, .. }) => panic!("{what}: the disk works, but {source}"),
        Err(_) => return,
    };
    let found = read_all(life, &log, &recovery, all, what);
    let last = found.reads.last().copied().unwrap_or(0);
    for seq in (1..=all).filter(|seq| !found.reads.contains(seq)) {
        let unknown = seq > last && seq > named;
        assert!(unknown || found.named.contains(&seq), "{what}: entry {seq} of {all} is gone in silence");
    }
    if recovery.read_only().is_some() {
        assert!(life.append(&log, 1).is_err(), "{what}: a log known to be damaged takes nothing in");
    }
}

fn damage_logs(seed: u64) -> u64 {
    let life = Life::new(seed);
    let (disk, mut told) = (SimDisk::new(), Told::default());
    life.live(&disk, &mut told).expect("the disk works");
    let older = log_files(&disk);
    life.live(&disk, &mut told).expect("the disk works");
    let (log, _) = life.open(&disk).expect("the disk works");
    let all = life.check(&log);
    log.close().expect("the disk works");
    let (files, named) = (log_files(&disk), checkpointed(&disk).unwrap_or(0));
    let mut chance = Chance::new(seed);
    let cases = 60;
    for _ in 0..cases {
        let mut damaged = files.clone();
        let what = damage(&mut damaged, &older, &mut chance);
        for named in [0, named, all] {
            judge(&life, &damaged, all, named, &format!("seed {seed}, {what}, a checkpoint at {named}"));
        }
    }
    cases
}

#[test]
fn a_damaged_log_never_reads_as_something_else() {
    let cases = suites::until(suites::cases(600, 4_500, 90_000), damage_logs);
    suites::reached("corruption", cases, "damaged logs, none silently wrong");
}

fn read_files(dir: &Path) -> Files {
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("it is there");
        (path.strip_prefix(dir).expect("in it").to_owned(), bytes)
    };
    damage::files(dir).into_iter().map(read).collect()
}

fn write_files(dir: &Path, files: &Files) {
    for path in damage::files(dir) {
        fs::remove_file(path).expect("it is there");
    }
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).expect("it is written");
    }
}

/// Whether an open store says that something is wrong with it.
fn complains(engine: &Engine) -> bool {
    match engine.audit(false, &|_, _, _| {}) {
        Ok(audit) => !audit.is_sound(),
        Err(_) => true,
    }
}

/// What a store whose files are not what they were may say: what is due, or that it cannot.
fn judge_store(store: &Store, path: &Path, what: &str) {
    let opened = panic::catch_unwind(AssertUnwindSafe(|| builder(path).open()));
    let Ok((engine, opening)) = opened.unwrap_or_else(|_| panic!("{what}: opening panicked")) else { return };
    let read = panic::catch_unwind(AssertUnwindSafe(|| {
        let reader = engine.read(&Principal::operator());
        let stories = store.due.records.keys().map(|record| damage::history(&reader, record));
        (hashes(&engine), stories.collect::<Vec<_>>())
    }));
    let (found, stories) = read.unwrap_or_else(|_| panic!("{what}: reading panicked"));
    // Where the checkpoint is gone as well nobody knows what an end held that is no segment any more; but that it was cut is said.
    let cut = opening.rebuilt && opening.recovery.torn.is_some();
    let says_so = opening.recovery.read_only().is_some() || cut || complains(&engine);
    match found {
        Ok(found) => {
            let right = found == (store.due.state.clone(), store.due.verdicts.clone());
            assert!(right || says_so, "{what}: silently wrong");
        }
        Err(why) => assert!(!chain(&why).is_empty(), "{what}"),
    }
    for ((record, (due, _)), story) in store.due.records.iter().zip(stories) {
        if let Ok(story) = story {
            assert!(story == *due || says_so, "{what}: the history of {record} is silently wrong");
        }
    }
}

#[test]
fn a_store_whose_first_rules_are_damaged_names_them_and_guesses_nothing() {
    // Everything is judged by rules: opening without any, or reading, panicked.
    let store = Store::new(30);
    let file = Path::new("log/00000001.seg");
    let bytes = fs::read(store.path().join(file)).expect("it is there");
    let mut refused = 0;
    for byte in (0..bytes.len()).step_by(61) {
        for keeps_state in [true, false] {
            let path = store.copy();
            let mut bad = bytes.clone();
            bad[byte] ^= 16;
            fs::write(path.join(file), bad).expect("it is written");
            if !keeps_state {
                fs::remove_dir_all(path.join("state")).expect("it is there");
            }
            judge_store(&store, &path, &format!("byte {byte}, with its state: {keeps_state}"));
            if let Err(why) = builder(&path).open() {
                refused += 1;
                let told = chain(&why);
                assert!(["segment 1", "event"].iter().any(|place| told.contains(place)), "byte {byte}: {told}");
            }
        }
    }
    assert!(refused > 0, "some bytes are the rules'");
}

fn damage_stores(seed: u64) -> u64 {
    let store = Store::new(40);
    let files = read_files(&store.path());
    let older = read_files(&Store::new(25).path());
    let mut chance = Chance::new(seed);
    let cases = 40;
    for _ in 0..cases {
        let mut damaged = files.clone();
        // Another store's files are no older ones: their tenant is another.
        let what = damage(&mut damaged, &older, &mut chance);
        let path = store.copy();
        write_files(&path, &damaged);
        judge_store(&store, &path, &format!("seed {seed}, {what}"));
    }
    cases
}

#[test]
fn a_damaged_store_gives_the_right_answer_or_none() {
    let cases = suites::until(suites::cases(80, 500, 10_000), damage_stores);
    suites::reached("corruption", cases, "damaged stores, none silently wrong");
}

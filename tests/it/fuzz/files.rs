//! What lies on disk: segments, checkpoints, derived state, and events that somebody altered before they were framed.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

use syncline::{
    clock::Millis,
    codec,
    engine::{Builder, Engine, EngineError},
    event::{self, Author, Draft, Event, Header, Kind, Origin},
    history::Principal,
    id::{FieldName, Hashing, RecordId, Seq, SideName, TenantKey},
    log::{Entry, Log, LogError, Options},
    send::chance::Chance,
    sim::disk::SimDisk,
    state::Checkpoint,
    value::Value,
};
use tempfile::TempDir;

use super::{Target, mutate::mutated};

const OPTIONS: Options = Options { segment_bytes: 900 };

fn dir() -> &'static Path {
    Path::new("/store/log")
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(disk: &SimDisk) -> Files {
    let names = disk.names().into_iter();
    names.map(|path| (path.clone(), disk.bytes(&path))).collect()
}

fn disk_with(files: &Files) -> SimDisk {
    let disk = SimDisk::new();
    files.iter().for_each(|(path, bytes)| disk.put(path, bytes.clone()));
    disk
}

/// The segments of a log.
pub struct Logs {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    files: Files,
    pieces: Vec<Vec<u8>>,
    names: Vec<PathBuf>,
    at: usize,
}

impl Target for Logs {
    const NAME: &'static str = "segments";
    const SHARE: u64 = 5_000;
    const BATCH: u64 = 200;

    fn new(chance: &mut Chance) -> Self {
        let bytes = |chance: &mut Chance, most: u64| -> Vec<u8> {
            (0..chance.below(most)).map(|_| (chance.number() >> 60) as u8).collect()
        };
        let entries: Vec<_> = (0..24).map(|n| (format!("header {n}").into_bytes(), bytes(chance, 120))).collect();
        let disk = SimDisk::new();
        let log = Log::create(disk.shared(), dir(), &TenantKey([7; 32]), "acme", OPTIONS).expect("the disk works");
        for some in entries.chunks(3) {
            let some: Vec<_> = some.iter().map(|(header, payload)| Entry::new(header, payload)).collect();
            log.wait(log.append(&some).expect("the disk works").last).expect("the disk works");
        }
        log.close().expect("the disk works");
        let files: Files =
            files(&disk).into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "seg")).collect();
        let (names, pieces) = files.iter().map(|(path, bytes)| (path.clone(), bytes.clone())).unzip();
        Logs { entries, files, pieces, names, at: 0 }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        self.at = chance.below(self.names.len() as u64) as usize;
        mutated(&self.pieces[self.at], &self.pieces, chance)
    }

    fn feed(&mut self, input: &[u8], chance: &mut Chance) {
        let mut damaged = self.files.clone();
        damaged.insert(self.names[self.at].clone(), input.to_vec());
        let all = self.entries.len() as u64;
        let known = Seq(*chance.pick(&[0, all / 2, all]));
        let (log, recovery) = match Log::open(disk_with(&damaged).shared(), dir(), OPTIONS, known) {
            Ok(opened) => opened,
            Err(LogError::Io { source, .. }) => panic!("the disk works, but {source}"),
            Err(why) => return assert!(!why.to_string().is_empty()),
        };
        let (mut reads, mut named) = (Vec::new(), Vec::new());
        for stored in log.scan(Seq(1)) {
            match stored {
                Ok(stored) => {
                    let due = self.entries.get(stored.seq.0 as usize - 1);
                    let (header, payload) = due.unwrap_or_else(|| panic!("entry {} was never said", stored.seq));
                    assert_eq!(stored.header, *header, "entry {} is silently wrong", stored.seq);
                    // A payload is its reader's to check, by the hash that the header holds of it.
                    match stored.payload == *payload {
                        true => reads.push(stored.seq.0),
                        false => named.push(stored.seq.0),
                    }
                }
                Err(LogError::Corrupt { seqs, .. }) => named.extend(seqs.start().0..=seqs.end().0.min(all)),
                Err(why) => panic!("{why}"),
            }
        }
        let faults = recovery.faults.iter().flat_map(|fault| fault.seqs.start().0..=fault.seqs.end().0.min(all));
        named.extend(faults);
        named.extend(recovery.torn.iter().flat_map(|torn| torn.after.0 + 1..=all));
        let last = reads.last().copied().unwrap_or(0);
        for seq in (1..=all).filter(|seq| !reads.contains(seq)) {
            assert!(seq > last && seq > known.0 || named.contains(&seq), "entry {seq} is gone in silence");
        }
    }
}

/// Checkpoints, some of them with a hash that is right.
pub struct Checkpoints {
    sound: Vec<u8>,
    disk: SimDisk,
}

const STATE: &str = "/state";

impl Target for Checkpoints {
    const NAME: &'static str = "checkpoints";
    const SHARE: u64 = 2_000 - 500;
    const BATCH: u64 = 200;

    fn new(_: &mut Chance) -> Self {
        let (disk, store) = (SimDisk::new(), TempDir::new().expect("a directory"));
        let (engine, _) = builder(&store, &disk).open().expect("the disk works");
        engine.say((0..20).map(draft).collect()).expect("the disk works");
        engine.close().expect("the disk works");
        let sound = disk.bytes(&store.path().join("state/checkpoint"));
        Checkpoints { sound, disk: SimDisk::new() }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        let (body, hash) = self.sound.split_at(self.sound.len() - 32);
        let mut bytes = mutated(body, &[], chance);
        let hash = match chance.below(3) {
            0 => hash.to_vec(),
            _ => Hashing::new("syncline 1 checkpoint").update(&bytes).digest().0.to_vec(),
        };
        bytes.extend(hash);
        bytes
    }

    fn feed(&mut self, input: &[u8], _: &mut Chance) {
        let dir = Path::new(STATE);
        self.disk.put(&dir.join("checkpoint"), input.to_vec());
        let Some(read) = Checkpoint::read(&self.disk, dir) else { return };
        read.write(&self.disk, dir).expect("the disk works");
        assert_eq!(Checkpoint::read(&self.disk, dir), Some(read));
    }
}

/// Whole stores: one file of derived state is another, or one event is, in a frame that is sound.
pub struct Stores {
    store: TempDir,
    key: TenantKey,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    files: Files,
    state: Vec<PathBuf>,
    due: Vec<(String, String)>,
    what: What,
}

/// What is altered.
enum What {
    File(PathBuf),
    Header(usize),
    Payload(usize),
}

fn builder(store: &TempDir, disk: &SimDisk) -> Builder {
    Engine::builder(store.path()).disk(disk.shared()).checkpoint_every(8).segment_bytes(64 << 10)
}

pub fn draft(number: i64) -> Draft {
    let (side, record) = (["crm", "portal"][number as usize % 2], format!("contact/{}", number % 5));
    let origin = Origin::side(SideName::new(side).expect("good"));
    let record = RecordId::new(&record).expect("good");
    let mut draft = Draft::new(Kind::Edit, record, origin, Millis(1_750_000_000_000 + number), Author::user("ana"));
    draft.words = vec![(FieldName::new("phone").expect("good"), Value::text(&format!("+{number}")))];
    draft
}

/// What a store tells of its records, or that it cannot.
fn told(engine: &Engine) -> Result<Vec<(String, String)>, EngineError> {
    let reader = engine.read(&Principal::operator());
    let of = |number: usize| {
        let record = format!("contact/{number}");
        let view = reader.get(&record)?;
        let history = reader.history(&record, None)?;
        let told =
            format!("{:?} {}", view.map(|view| view.version.clone()), serde_json::to_string(&history).expect("JSON"));
        Ok((record, told))
    };
    (0..5).map(of).collect()
}

impl Target for Stores {
    const NAME: &'static str = "stores";
    const SHARE: u64 = 300;
    const BATCH: u64 = 50;

    fn new(_: &mut Chance) -> Self {
        let (disk, store) = (SimDisk::new(), TempDir::new().expect("a directory"));
        let (engine, _) = builder(&store, &disk).open().expect("the disk works");
        for number in 0..20 {
            engine.say(vec![draft(number)]).expect("the disk works");
        }
        let due = told(&engine).expect("it is read");
        let key = engine.tenant_key().clone();
        engine.close().expect("the disk works");
        let files = files(&disk);
        let (log, _) = Log::open(disk.shared(), &store.path().join("log"), Options::default(), Seq(0)).expect("sound");
        let entry =
            |stored: Result<syncline::log::Stored, LogError>| stored.map(|stored| (stored.header, stored.payload));
        let entries = log.scan(Seq(1)).map(entry).collect::<Result<Vec<_>, _>>().expect("sound");
        let state = files.keys().filter(|path| path.extension().is_some_and(|end| end == "run")).cloned().collect();
        Stores { store, key, entries, files, state, due, what: What::Header(0) }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        let at = chance.below(self.entries.len() as u64) as usize;
        self.what = match chance.below(3) {
            0 if !self.state.is_empty() => What::File(chance.pick(&self.state).clone()),
            1 => What::Header(at),
            _ => What::Payload(at),
        };
        let sound = match &self.what {
            What::File(path) => self.files[path].clone(),
            What::Header(at) => self.entries[*at].0.clone(),
            What::Payload(at) => self.entries[*at].1.clone(),
        };
        mutated(&sound, &[], chance)
    }

    fn feed(&mut self, input: &[u8], chance: &mut Chance) {
        let path = self.store.path().to_owned();
        let (disk, altered) = match &self.what {
            What::File(name) => {
                let mut files = self.files.clone();
                files.insert(name.clone(), input.to_vec());
                (disk_with(&files), None)
            }
            What::Header(at) => self.framed(*at, Some(input), None, chance),
            What::Payload(at) => self.framed(*at, None, Some(input), chance),
        };
        let opened = panic::catch_unwind(AssertUnwindSafe(|| builder(&self.store, &disk).create(false).open()));
        let (engine, opening) = match opened.expect("opening does not panic") {
            Ok(opened) => opened,
            Err(why) => return assert!(!why.to_string().is_empty()),
        };
        let read = panic::catch_unwind(AssertUnwindSafe(|| told(&engine))).expect("reading does not panic");
        let audit = panic::catch_unwind(AssertUnwindSafe(|| engine.audit(false, &|_, _, _| {})));
        let complains = audit.expect("the audit does not panic").map_or(true, |audit| !audit.is_sound());
        let complains = complains || opening.recovery.read_only().is_some() || opening.rebuilt;
        match altered {
            // Somebody with the key has said something else: that is what it says now.
            Some(true) => {}
            Some(false) => assert!(complains || read.is_err(), "an event that is none was passed over in silence"),
            None => assert!(read.is_err() || complains || read.is_ok_and(|read| read == self.due), "silently wrong"),
        }
        drop(engine);
        // What was put aside would fill the disk.
        for entry in std::fs::read_dir(path).expect("it is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "log") {
                std::fs::remove_dir_all(path).expect("it is ours");
            }
        }
    }
}

impl Stores {
    /// The store with one event altered in a sound frame, and whether it is still an event.
    fn framed(
        &self,
        at: usize,
        header: Option<&[u8]>,
        payload: Option<&[u8]>,
        chance: &mut Chance,
    ) -> (SimDisk, Option<bool>) {
        let mut entries = self.entries.clone();
        if let Some(header) = header {
            entries[at].0 = header.to_vec();
        }
        if let Some(payload) = payload {
            entries[at].1 = payload.to_vec();
            if chance.below(2) == 0
                && let Ok(read) = event::read_header(&entries[at].0)
            {
                let hash = self.key.record_key(&read.record).payload_hash(payload);
                entries[at].0 = codec::encode(&Header { payload: hash, ..read });
            }
        }
        let key = |header: &Header| self.key.record_key(&header.record);
        let is_event = Event::read(&entries[at].0, &entries[at].1, key).is_ok();
        let (disk, dir) = (SimDisk::new(), self.store.path().join("log"));
        let log = Log::create(disk.shared(), &dir, &self.key, "default", Options::default()).expect("the disk works");
        for (header, payload) in &entries {
            log.append(&[Entry::new(header, payload)]).expect("small");
        }
        log.close().expect("the disk works");
        (disk, Some(is_event))
    }
}

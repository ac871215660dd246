//! Killed with SIGKILL, then run again: nothing lost, nothing doubled.
//!
//! The service is killed under load. An import is killed at chosen moments: the child is this very binary, importing on a disk that notes in a file what it is doing. The parent waits for a
//! chosen kind of moment and kills it there.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use syncline::{
    capture::neutral::{self, Line},
    engine::{Builder, Engine},
    history::Principal,
    log::disk::{Disk, DiskFile, DiskLock, LockError, RealDisk},
    send::chance::Chance,
};

use crate::{
    real_power::{Service, check, token_of, under_load},
    suites,
};

const MOMENTS: [&str; 5] = ["write", "sync", "checkpoint", "roll", "between"];
const BETWEEN: u8 = 4;
/// So that a store has a past when its service is killed, and is still read through quickly.
const KILLS_OF_ONE_STORE: u64 = 25;
const CHILD: &str = "SYNCLINE_KILL_CHILD";

/// The real disk, noting in a file what it does: the moment's number, and how many moments there were.
#[derive(Clone)]
struct NotingDisk {
    note: Arc<File>,
    moments: Arc<AtomicU64>,
}

impl NotingDisk {
    fn during<T>(&self, moment: u8, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let count = self.moments.fetch_add(1, Ordering::SeqCst) + 1;
        let note = |moment: u8| {
            let mut bytes = [0; 9];
            bytes[0] = moment;
            bytes[1..].copy_from_slice(&count.to_le_bytes());
            self.note.write_all_at(&bytes, 0)
        };
        note(moment)?;
        let done = work();
        note(BETWEEN)?;
        done
    }

    fn file(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(NotingFile { disk: self.clone(), file, state: is_state(path) })
    }
}

fn is_state(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "state")
}

struct NotingFile {
    disk: NotingDisk,
    file: Arc<dyn DiskFile>,
    state: bool,
}

impl DiskFile for NotingFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // In two halves, so that a kill can fall between them.
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        self.disk.during(if self.state { 2 } else { 0 }, || {
            self.file.write_at(head, offset)?;
            self.file.write_at(tail, offset + head.len() as u64)
        })
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.during(if self.state { 2 } else { 1 }, || self.file.sync())
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

impl Disk for NotingDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let moment = if is_state(path) { 2 } else { 3 };
        Ok(self.file(path, self.during(moment, || RealDisk.create(path))?))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path, RealDisk.open(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.during(if is_state(from) { 2 } else { 3 }, || RealDisk.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.during(if is_state(dir) { 2 } else { 3 }, || RealDisk.sync_dir(dir))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn DiskLock>, LockError> {
        RealDisk.lock(path, holder)
    }
}

/// Small segments and many checkpoints, so that there is much to fall into.
fn builder(store: &Path) -> Builder {
    Engine::builder(store).segment_bytes(64 << 10).checkpoint_every(500)
}

/// Imports the lines in batches, noting after each batch how many lines were acknowledged.
fn import(engine: &Engine, lines: &str, mut acknowledged: impl FnMut(u64)) {
    let edition = engine.edition().expect("the engine runs");
    let lines: Vec<&str> = lines.lines().collect();
    let mut done = 0;
    for batch in lines.chunks(64) {
        let drafts = batch.iter().map(|line| {
            let Ok(Some(Line::Said(said))) = neutral::parse(line.as_bytes()) else { panic!("a good line") };
            let key = engine.record_key(&said.record);
            let draft = said.draft("import", &key, 1);
            Engine::check(&edition, &draft).expect("it fits");
            draft
        });
        engine.say(drafts.collect()).expect("the disk is well");
        done += batch.len() as u64;
        acknowledged(done);
    }
}

/// The child's part; it does nothing unless the parent asks for it.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let dir = PathBuf::from(dir);
    let note = File::options().write(true).open(dir.join("note")).expect("the parent made it");
    let disk = NotingDisk { note: Arc::new(note), moments: Arc::default() };
    let (engine, _) = builder(&dir.join("store")).disk(Arc::new(disk)).open().expect("it opens");
    let lines = fs::read_to_string(dir.join("lines")).expect("the parent wrote it");
    let ledger = File::options().write(true).open(dir.join("ledger")).expect("the parent made it");
    import(&engine, &lines, |done| ledger.write_all_at(&done.to_le_bytes(), 0).expect("the ledger is written"));
    engine.close().expect("it closes");
}

fn number(path: &Path, at: usize) -> u64 {
    let bytes = fs::read(path).expect("the file is there");
    bytes.get(at..at + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}

/// Starts the child on what is in a directory.
pub fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary has a path"))
        .args(["--exact", "kill::child", "--test-threads", "1"])
        .env(CHILD, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts")
}

/// Runs the child until it is in the wanted moment for the `nth` time or later; tells in which moment it was killed.
fn kill_in(dir: &Path, wanted: u8, after: u64) -> Option<u8> {
    let mut child = start(dir);
    let note = File::open(dir.join("note")).expect("the note is there");
    let begun = Instant::now();
    loop {
        let mut bytes = [0; 9];
        let read = note.read_at(&mut bytes, 0).expect("the note is read");
        let count = u64::from_le_bytes(bytes[1..].try_into().expect("eight bytes"));
        if read == 9 && bytes[0] == wanted && count >= after || begun.elapsed() > Duration::from_secs(60) {
            break;
        }
        if child.try_wait().expect("the child is ours").is_some() {
            return None;
        }
        std::hint::spin_loop();
    }
    child.kill().expect("the child is ours");
    child.wait().expect("the child is ours");
    let mut bytes = [0; 9];
    note.read_at(&mut bytes, 0).expect("the note is read");
    Some(bytes[0])
}

fn hashes(engine: &Engine) -> (String, String, u64) {
    let reader = engine.read(&Principal::operator());
    let hash =
        |digest: Result<syncline::id::Digest, _>| digest.map_err(|why: syncline::engine::EngineError| why.to_string());
    let state = hash(reader.state_hash()).expect("the state is read").to_string();
    let verdicts = hash(reader.verdict_hash()).expect("the verdicts are read").to_string();
    (state, verdicts, engine.counts().expect("the engine runs").events)
}

fn life(kills: usize, lines: &str) -> [usize; 5] {
    let undisturbed = tempfile::tempdir().expect("a directory");
    let (engine, _) = builder(&undisturbed.path().join("store")).open().expect("it opens");
    import(&engine, lines, |_| {});
    let due = hashes(&engine);
    engine.close().expect("it closes");
    let mut fell = [0; 5];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut dir = tempfile::tempdir().expect("a directory");
    let mut fresh = true;
    let mut done = 0;
    while done < kills {
        if std::mem::take(&mut fresh) {
            dir = tempfile::tempdir().expect("a directory");
            fs::write(dir.path().join("lines"), lines).expect("written");
            fs::write(dir.path().join("ledger"), 0u64.to_le_bytes()).expect("written");
        }
        fs::write(dir.path().join("note"), [BETWEEN; 9]).expect("written");
        fs::write(dir.path().join("note"), [BETWEEN, 0, 0, 0, 0, 0, 0, 0, 0]).expect("written");
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wanted = (done % 5) as u8;
        let Some(fallen) = kill_in(dir.path(), wanted, 1 + (seed >> 33) % 120) else {
            // The child came to its end first: judge it, and begin another life.
            check_end(dir.path(), lines, &due);
            fresh = true;
            continue;
        };
        fell[usize::from(fallen)] += 1;
        done += 1;
        check_kept(dir.path(), lines);
    }
    check_end(dir.path(), lines, &due);
    fell
}

/// Everything that was acknowledged is in the log, once.
pub fn check_kept(dir: &Path, lines: &str) {
    let acknowledged = number(&dir.join("ledger"), 0);
    if !dir.join("store/log").exists() {
        assert_eq!(acknowledged, 0, "lines were acknowledged that no log holds");
        return;
    }
    let (engine, _) = builder(&dir.join("store")).open().expect("it opens after a kill");
    let before = engine.counts().expect("the engine runs").events;
    let said: BTreeSet<&str> = lines.lines().take(acknowledged as usize).collect();
    assert!(before >= said.len() as u64, "{before} events in the log, {} statements acknowledged", said.len());
    // The acknowledged lines again: not one of them is new.
    let part: String = lines.lines().take(acknowledged as usize).map(|line| format!("{line}\n")).collect();
    import(&engine, &part, |_| {});
    assert_eq!(engine.counts().expect("the engine runs").events, before, "an acknowledged line was lost");
    engine.close().expect("it closes");
}

fn check_end(dir: &Path, lines: &str, due: &(String, String, u64)) {
    let (engine, _) = builder(&dir.join("store")).open().expect("it opens");
    import(&engine, lines, |_| {});
    assert_eq!(hashes(&engine), *due);
    engine.close().expect("it closes");
    let (engine, opening) = builder(&dir.join("store")).rebuild(true).open().expect("it rebuilds");
    assert!(opening.rebuilt);
    assert_eq!(hashes(&engine), *due);
}

#[test]
fn an_import_killed_at_any_moment_ends_as_an_undisturbed_one() {
    let lines = crate::data::workload();
    let part: String = lines.lines().take(3000).map(|line| format!("{line}\n")).collect();
    let kills = suites::cases(30, 50, 500);
    let fell = life(kills as usize, &part);
    let told: Vec<String> = MOMENTS.iter().zip(fell).map(|(moment, count)| format!("{moment} {count}")).collect();
    suites::reached("killed imports", kills, &format!("kills, which fell into: {}", told.join(", ")));
    for (moment, count) in MOMENTS.iter().zip(fell).take(4) {
        assert!(count > 0, "no kill fell into a {moment}");
    }
}

/// The service with clients who edit as fast as they are answered, killed after a while; what they were told is there.
fn serve_and_kill(store: &Path, chance: &mut Chance) -> BTreeSet<String> {
    let token = token_of(store);
    let service = Service::start(store, &[]);
    let address = service.address.clone();
    let wait = Duration::from_millis(chance.below(150));
    under_load(&address, &token, wait, || drop(service)).into_iter().map(|(_, id)| id).collect()
}

#[test]
fn a_service_killed_under_load_has_all_that_it_acknowledged() {
    let kills = suites::cases(4, 100, 2_000);
    let mut chance = Chance::new(suites::first_seed()).fork();
    let (mut dir, mut acknowledged, mut edits) = (None, BTreeSet::new(), 0);
    for kill in 0..kills {
        if kill % KILLS_OF_ONE_STORE == 0 {
            acknowledged.clear();
            dir = None;
        }
        let store = dir.get_or_insert_with(|| tempfile::tempdir().expect("a directory")).path().join("store");
        let told = serve_and_kill(&store, &mut chance);
        edits += told.len();
        acknowledged.extend(told);
        check(&store, &acknowledged);
    }
    assert!(edits as u64 > kills, "{edits} edits are no load");
    suites::reached("killed services", kills, &format!("kills under load, none of {edits} acknowledged edits lost"));
}

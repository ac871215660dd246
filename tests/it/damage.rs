//! Damage: every answer is right, or says that it cannot be given. Nothing panics, nothing is guessed.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use syncline::{
    clock::Millis,
    engine::{Builder, Engine, EngineError, Opening},
    event::{Author, Draft, Kind, Origin},
    history::{Principal, Reader},
    id::{FieldName, RecordId, SideName},
    value::Value,
};
use tempfile::TempDir;

const SEGMENT_BYTES: u64 = 3000;
/// A flipped bit in one byte of so many.
const STRIDE: usize = 37;

pub fn builder(store: &Path) -> Builder {
    Engine::builder(store).create(false).segment_bytes(SEGMENT_BYTES)
}

fn draft(record: usize, at: i64) -> Draft {
    let id = RecordId::new(&format!("contact/{record}")).expect("good");
    let side = ["crm", "portal"][at as usize % 2];
    let origin = Origin::side(SideName::new(side).expect("good"));
    let mut draft = Draft::new(Kind::Edit, id, origin, Millis(1_750_000_000_000 + at), Author::user("ana"));
    let value = Value::from_json(&format!("\"number {at}\"")).expect("a text");
    draft.words = vec![(FieldName::new("phone").expect("good"), value)];
    draft
}

/// What a sound store says.
pub struct Due {
    pub state: String,
    pub verdicts: String,
    /// For each record its history, printed, and the sequences of its events.
    pub records: BTreeMap<String, (String, Vec<u64>)>,
    /// Segment, byte and sequence of each event, in order.
    places: Vec<(u32, usize, u64)>,
}

/// A store of several segments, closed.
pub struct Store {
    dir: TempDir,
    pub due: Due,
}

pub fn hashes(engine: &Engine) -> Result<(String, String), EngineError> {
    let reader = engine.read(&Principal::operator());
    Ok((reader.state_hash()?.to_string(), reader.verdict_hash()?.to_string()))
}

pub fn history(reader: &Reader, record: &str) -> Result<String, EngineError> {
    let changes = reader.history(record, None)?;
    Ok(serde_json::to_string(&changes).expect("it prints"))
}

pub fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(why) = cause {
        told = format!("{told}: {why}");
        cause = why.source();
    }
    told
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy(&path, &target),
            false => fs::copy(&path, &target).map(drop).expect("a copy"),
        }
    }
}

pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

impl Store {
    pub fn new(events: i64) -> Store {
        let dir = TempDir::new().expect("a directory");
        let (engine, _) = builder(&dir.path().join("due")).create(true).open().expect("it is made");
        for at in 0..events {
            // Some group commits hold one event, some several.
            let batch = (0..1 + at % 3).map(|more| draft(((at * 5 + more) % 17) as usize, at * 3 + more));
            engine.say(batch.collect()).expect("the disk is well");
        }
        let (state, verdicts) = hashes(&engine).expect("it is read");
        let reader = engine.read(&Principal::operator());
        let mut due = Due { state, verdicts, records: BTreeMap::new(), places: Vec::new() };
        for stored in engine.stored() {
            let (event, stored) = stored.expect("it is sound");
            due.places.push((stored.place.segment(), stored.place.offset() as usize, stored.seq.0));
            let id = event.header.record.to_string();
            if !id.is_empty() {
                let told = || (history(&reader, &id).expect("it is read"), Vec::new());
                due.records.entry(id.clone()).or_insert_with(told).1.push(stored.seq.0);
            }
        }
        drop(reader);
        engine.close().expect("it closes");
        Store { dir, due }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("due")
    }

    /// A copy of the store to be damaged.
    pub fn copy(&self) -> PathBuf {
        let path = self.dir.path().join("damaged");
        if path.exists() {
            fs::remove_dir_all(&path).expect("it was made here");
        }
        copy(&self.path(), &path);
        path
    }

    fn segments(&self) -> Vec<PathBuf> {
        files(&self.path().join("log"))
            .into_iter()
            .filter(|path| path.extension().is_some_and(|end| end == "seg"))
            .collect()
    }

    /// The sequences of the events on either side of a byte; the second is the one that the byte is in, if it is in any.
    fn around(&self, segment: u32, byte: usize) -> (u64, u64) {
        let of = |(number, at, _): &&(u32, usize, u64)| *number < segment || *number == segment && *at <= byte;
        let before = self.due.places.iter().filter(of).map(|(_, _, seq)| *seq).max().unwrap_or(0);
        (before, before + 1)
    }
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = fs::read(path).expect("the file is there");
    bytes[byte] ^= 1 << (byte % 8);
    fs::write(path, bytes).expect("it is written");
}

/// Runs the binary on a store.
fn run(store: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
    command.arg("--store").arg(store).args(args).env_remove("RUST_LOG").stdin(Stdio::null());
    let done = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (done.status.code().unwrap_or(-1), text(done.stdout), text(done.stderr))
}

/// The damage that `verify` names, as ranges of sequences.
fn named(out: &str) -> Vec<(u64, u64)> {
    let json: serde_json::Value = serde_json::from_str(out).unwrap_or_else(|why| panic!("{why} in {out:?}"));
    let damage = json["damage"].as_array().expect("a list");
    let number = |value: &serde_json::Value| value.as_u64().expect("a number");
    damage.iter().map(|fault| (number(&fault["first"]), number(&fault["last"]))).collect()
}

/// What a store with one flipped bit in its log must do.
fn check_flip(store: &Store, path: &Path, segment: u32, byte: usize, is_end: bool) {
    let told = format!("segment {segment}, byte {byte}");
    let (code, out, err) = run(path, &["--json", "verify"]);
    assert!(!err.contains("panicked"), "{told}: {err}");
    let faults = if code == 1 && out.is_empty() { Vec::new() } else { named(&out) };
    if faults.is_empty() && code == 0 {
        // Behind the last event there is only the mark of a clean close, of which nothing depends.
        assert!(is_end, "{told}: not found");
        let (engine, _) = builder(path).open().expect("it opens");
        assert_eq!(hashes(&engine).expect("it is read").0, store.due.state, "{told}");
        return;
    }
    assert_eq!(code, 1, "{told}: {out} {err}");
    let (before, after) = store.around(segment, byte);
    let names = |seq: u64| faults.iter().any(|(first, last)| (*first..=*last).contains(&seq));
    assert!(names(before) || names(after) || is_end, "{told}: {faults:?} is not about {before} or {after}");
    let (engine, opening) = builder(path).open().expect("it opens for reading");
    let reader = engine.read(&Principal::operator());
    for (record, (due, seqs)) in &store.due.records {
        let hit: Vec<u64> = seqs.iter().copied().filter(|seq| names(*seq)).collect();
        match history(&reader, record) {
            Ok(found) => assert_eq!(found, *due, "{told}: {record}"),
            Err(why) => {
                let why = chain(&why);
                assert!(!hit.is_empty(), "{told}: {record} is not concerned: {why}");
                assert!(hit.iter().any(|seq| why.contains(&seq.to_string())), "{told}: {why} names none of {hit:?}");
            }
        }
        // What it is now is known from derived state.
        assert!(reader.get(record).expect("it is read").is_some(), "{told}");
    }
    assert_eq!(hashes(&engine).expect("it is read").0, store.due.state, "{told}");
    if opening.recovery.read_only().is_some() {
        assert!(engine.say(vec![draft(1, 9999)]).is_err(), "{told}: a log known to be damaged takes nothing in");
    }
}

#[test]
fn a_flipped_bit_in_the_log_is_named_and_hides_nothing_else() {
    let store = Store::new(50);
    let segments = store.segments();
    assert!(segments.len() > 3, "{} segments", segments.len());
    for at in [1, segments.len() - 1] {
        let (file, number) = (&segments[at], at as u32 + 1);
        let length = fs::read(file).expect("it is there").len();
        let last = store.due.places.last().expect("there are events").1;
        for byte in (0..length).step_by(STRIDE) {
            let path = store.copy();
            flip(&path.join("log").join(file.file_name().expect("a name")), byte);
            // The last event with its frame's end, about; behind it stands the mark of a clean close.
            let is_end = at + 1 == segments.len() && byte > last;
            check_flip(&store, &path, number, byte, is_end);
        }
    }
}

#[test]
fn get_and_history_by_the_command_line_say_which_event_is_damaged() {
    let store = Store::new(50);
    let file = store.segments().remove(1);
    let inside = store.due.places.iter().find(|(segment, ..)| *segment == 2).expect("an event of the second segment");
    let path = store.copy();
    flip(&path.join("log").join(file.file_name().expect("a name")), inside.1 + 60);
    let hurt = store.due.records.iter().find(|(_, (_, seqs))| seqs.contains(&inside.2)).expect("some record has it").0;
    let whole = store.due.records.iter().find(|(_, (_, seqs))| !seqs.contains(&inside.2)).expect("another").0;
    let (code, _, err) = run(&path, &["history", hurt]);
    assert_eq!(code, 1);
    assert!(err.contains(&inside.2.to_string()), "{err}");
    assert_eq!(run(&path, &["history", whole]).0, 0);
    assert_eq!(run(&path, &["get", whole]).0, 0);
    // Derived state has it.
    assert_eq!(run(&path, &["get", hurt]).0, 0);
}

#[test]
fn state_made_anew_from_a_damaged_log_says_what_is_missing() {
    let store = Store::new(50);
    let file = store.segments().remove(1);
    let length = fs::read(&file).expect("it is there").len();
    for byte in (0..length).step_by(STRIDE) {
        let path = store.copy();
        flip(&path.join("log").join(file.file_name().expect("a name")), byte);
        fs::remove_dir_all(path.join("state")).expect("it is there");
        let (engine, opening) = builder(&path).open().expect("it opens for reading");
        assert!(opening.rebuilt, "byte {byte}");
        let found = hashes(&engine).expect("it is read").0;
        let says_so = opening.recovery.read_only().is_some();
        assert!(says_so || found == store.due.state, "byte {byte}: something is missing and nothing says so");
        assert!(engine.say(vec![draft(1, 9999)]).is_err() || !says_so, "byte {byte}");
        drop(engine);
        let (code, out, _) = run(&path, &["--json", "verify"]);
        assert_eq!((code, named(&out).is_empty()), (1, false), "byte {byte}: {out}");
    }
}

#[test]
fn what_is_missing_is_not_forgotten_when_the_store_is_closed() {
    let store = Store::new(50);
    let file = store.segments().remove(1);
    let inside = store.due.places.iter().find(|(segment, ..)| *segment == 2).expect("an event of the second segment");
    let path = store.copy();
    let hurt = path.join("log").join(file.file_name().expect("a name"));
    flip(&hurt, inside.1 + 60);
    fs::remove_dir_all(path.join("state")).expect("it is there");
    for _ in 0..2 {
        let (engine, opening) = builder(&path).open().expect("it opens for reading");
        assert!(opening.recovery.read_only().is_some(), "the damage is told every time");
        let why = engine.say(vec![draft(1, 9999)]).expect_err("it is damaged");
        assert!(matches!(why, EngineError::Log(_)), "{}", chain(&why));
        engine.close().expect("it closes");
    }
    flip(&hurt, inside.1 + 60);
    let (engine, _) = builder(&path).open().expect("it opens");
    assert_eq!(hashes(&engine).expect("it is read").0, store.due.state, "with the segment all is there again");
}

#[test]
fn an_event_of_a_record_that_cannot_be_read_harms_no_other() {
    let store = Store::new(50);
    let file = store.segments().remove(1);
    let inside = store.due.places.iter().find(|(segment, ..)| *segment == 2).expect("an event of the second segment");
    let path = store.copy();
    let hurt = path.join("log").join(file.file_name().expect("a name"));
    flip(&hurt, inside.1 + 60);
    let record =
        store.due.records.iter().find(|(_, (_, seqs))| seqs.contains(&inside.2)).expect("some record has it").0;
    let number = |id: &str| id.trim_start_matches("contact/").parse::<usize>().expect("a number");
    let other = (0..17).find(|other| *other != number(record)).expect("there are many");
    let (engine, opening) = builder(&path).open().expect("what a checkpoint stands for is not read");
    assert!(opening.recovery.read_only().is_none());
    // A word older than the others makes the record be folded anew, from all its events.
    let said = vec![draft(number(record), -5), draft(other, 9_998), draft(other, 9_999)];
    let why = engine.say(said.clone()).expect_err("an event cannot be read");
    assert!(!matches!(why, EngineError::Behind { .. }), "{}", chain(&why));
    let why = engine.say(vec![draft(other, 10_001)]).expect_err("not all has taken effect");
    assert!(matches!(why, EngineError::Behind { .. }), "{}", chain(&why));
    engine.close().expect("it closes");

    let (engine, _) = builder(&path).open().expect("it opens");
    let reader = engine.read(&Principal::operator());
    let phone = reader.get(&format!("contact/{other}")).expect("it is read").expect("it is there");
    assert!(serde_json::to_string(&phone).expect("it prints").contains("number 9999"), "the rest has taken effect");
    let why = engine.say(vec![draft(other, 10_003)]).expect_err("an event has not taken effect");
    assert!(matches!(why, EngineError::Behind { .. }), "{}", chain(&why));
    drop(reader);
    engine.close().expect("it closes");

    // With the segment restored all of it takes effect, once.
    flip(&hurt, inside.1 + 60);
    let (engine, _) = builder(&path).open().expect("it opens");
    let count = engine.stored().count();
    engine.say(said).expect("it is sound");
    assert_eq!(engine.stored().count(), count, "all of it was in the log");
    let found = hashes(&engine).expect("it is read");
    engine.close().expect("it closes");
    fs::remove_dir_all(path.join("state")).expect("it is there");
    let (engine, _) = builder(&path).open().expect("it opens");
    assert_eq!(hashes(&engine).expect("it is read"), found, "as it is made anew from the log");
}

/// What opening a store with damaged derived state came to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    /// It opened and all is as it was.
    Whole,
    /// It was made anew, and all is as it was.
    Rebuilt,
    /// It said that it cannot.
    Said,
}

/// Opens, and compares; a wrong answer fails.
fn come(store: &Store, path: &Path, told: &str) -> Came {
    let opened = panic::catch_unwind(AssertUnwindSafe(|| builder(path).open()));
    let opened = opened.unwrap_or_else(|_| panic!("{told}: opening panicked"));
    let (engine, Opening { rebuilt, .. }) = match opened {
        Ok(opened) => opened,
        Err(why) => {
            assert!(matches!(why, EngineError::State(_)), "{told}: {}", chain(&why));
            return Came::Said;
        }
    };
    let read = panic::catch_unwind(AssertUnwindSafe(|| hashes(&engine)));
    match read.unwrap_or_else(|_| panic!("{told}: reading panicked")) {
        Ok(found) => {
            assert_eq!(found, (store.due.state.clone(), store.due.verdicts.clone()), "{told}: silently wrong");
            let all: u64 = store.due.records.len() as u64;
            assert_eq!(engine.counts().expect("it runs").records, all, "{told}: counted wrong");
            let audit = engine.audit(false, &|_, _, _| {}).expect("it is checked");
            let findings: Vec<String> = audit.findings.iter().map(|finding| chain(finding)).collect();
            assert!(audit.is_sound(), "{told}: {findings:?}");
            if rebuilt { Came::Rebuilt } else { Came::Whole }
        }
        Err(why) => {
            assert!(matches!(why, EngineError::State(_)), "{told}: {}", chain(&why));
            Came::Said
        }
    }
}

#[test]
fn damaged_derived_state_is_made_anew_or_says_so() {
    let store = Store::new(50);
    let state = store.path().join("state");
    let mut met: BTreeMap<Came, usize> = BTreeMap::new();
    for file in files(&state) {
        let name = file.strip_prefix(&state).expect("in it").to_owned();
        let bytes = fs::read(&file).expect("it is there");
        // Most of sled's file is empty: of the bytes that say something, some.
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let step = (used.len() / 60).max(1);
        for byte in used.into_iter().step_by(step) {
            let path = store.copy();
            flip(&path.join("state").join(&name), byte);
            *met.entry(come(&store, &path, &format!("{} byte {byte}", name.display()))).or_default() += 1;
        }
        for length in [0, bytes.len() / 3, bytes.len().saturating_sub(1)] {
            let path = store.copy();
            fs::write(path.join("state").join(&name), &bytes[..length]).expect("it is written");
            *met.entry(come(&store, &path, &format!("{} cut to {length}", name.display()))).or_default() += 1;
        }
        let path = store.copy();
        fs::remove_file(path.join("state").join(&name)).expect("it is there");
        *met.entry(come(&store, &path, &format!("{} deleted", name.display()))).or_default() += 1;
    }
    assert!(met.contains_key(&Came::Rebuilt), "{met:?}");
}

#[test]
fn a_checkpoint_that_is_gone_or_damaged_means_to_begin_anew() {
    let store = Store::new(20);
    let bytes = fs::read(store.path().join("state/checkpoint")).expect("it is there");
    let mut cases: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new()), Some(bytes[..bytes.len() - 1].to_vec())];
    cases.extend((0..bytes.len()).step_by(7).map(|at| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 4;
        Some(bytes)
    }));
    for case in cases {
        let path = store.copy();
        let file = path.join("state/checkpoint");
        match &case {
            Some(bytes) => fs::write(&file, bytes).expect("it is written"),
            None => fs::remove_file(&file).expect("it is there"),
        }
        assert_eq!(come(&store, &path, &format!("{case:?}")), Came::Rebuilt);
        assert_eq!(path.join("state.aside1").exists(), case.is_some(), "what a checkpoint stood for is kept");
    }
}

#[test]
fn an_older_copy_of_derived_state_catches_up_with_the_log() {
    let dir = TempDir::new().expect("a directory");
    let (store, old) = (dir.path().join("store"), dir.path().join("old"));
    let (engine, _) = builder(&store).create(true).open().expect("it is made");
    for at in 0..30 {
        engine.say(vec![draft(at as usize % 7, at)]).expect("the disk is well");
    }
    engine.close().expect("it closes");
    copy(&store.join("state"), &old);
    let (engine, _) = builder(&store).open().expect("it opens");
    for at in 30..60 {
        engine.say(vec![draft(at as usize % 11, at)]).expect("the disk is well");
    }
    let due = hashes(&engine).expect("it is read");
    engine.close().expect("it closes");
    fs::remove_dir_all(store.join("state")).expect("it is there");
    copy(&old, &store.join("state"));
    let (engine, opening) = builder(&store).open().expect("it opens");
    assert!(!opening.rebuilt && opening.replayed > 0, "{opening:?}");
    assert_eq!(hashes(&engine).expect("it is read"), due);
    assert!(engine.audit(true, &|_, _, _| {}).expect("it is checked").is_sound());
}

#[test]
fn derived_state_of_a_longer_log_is_not_taken_for_this_ones() {
    // A log restored from an older copy, beside state that stands for more than it holds.
    let store = Store::new(30);
    let last = store.segments().pop().expect("there are segments");
    let path = store.copy();
    fs::remove_file(path.join("log").join(last.file_name().expect("a name"))).expect("it is there");
    match builder(&path).open() {
        Ok((_, opening)) => assert!(opening.recovery.read_only().is_some() || opening.rebuilt, "{opening:?}"),
        Err(why) => assert!(matches!(why, EngineError::Log(_)), "{}", chain(&why)),
    }
}

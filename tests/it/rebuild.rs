//! Everything but the log is deleted: the same records, verdicts and shadows come back, and nothing is written twice.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use syncline::{
    clock::{HandClock, Millis},
    engine::{Engine, Opening, Said},
    event::{Author, Detail, Draft, Kind, Origin},
    history::Principal,
    id::{FieldName, RecordId, SideName},
    send::{Outcome, Receipt, Seen, SeenField, Write, chance::Chance},
    sim::{
        post::Faults,
        script::{self, Script},
        world::{Setting, World},
    },
    value::Value,
};
use tempfile::TempDir;

const BEGIN: Millis = Millis(1_750_000_000_000);
const MANIFEST: &str = "
syncline: 1
tenant: t
sides:
  crm: { connector: in_process }
  portal: { connector: in_process }
defaults: { rule: last_write_wins }
records:
  contact: { deletes: edit_wins, fields: { phone: { type: string }, city: { type: string } } }
";

fn open(store: &Path, clock: &HandClock, manifest: &str) -> (Engine, Opening) {
    Engine::builder(store).manifest(manifest).clock(clock.clone()).open().expect("the store opens")
}

/// Copies a folder; of a store only its log, if asked.
fn copy(from: &Path, to: &Path, log_only: bool) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        if log_only && entry.file_name() != "log" {
            continue;
        }
        match entry.path() {
            path if path.is_dir() => copy(&path, &to.join(entry.file_name()), false),
            path => fs::copy(path, to.join(entry.file_name())).map(drop).expect("a copy"),
        }
    }
}

/// All that a store says: both hashes, every record with who shows what, how far each side lags, how much waits.
#[derive(Debug, PartialEq)]
struct Told {
    state: String,
    verdicts: String,
    records: Vec<String>,
    lags: Vec<String>,
    outbox: [usize; 2],
}

fn told(engine: &Engine) -> Told {
    let reader = engine.read(&Principal::operator());
    let records: Vec<_> = reader.records().map(|view| view.expect("it is read")).collect();
    let lag = |record: &RecordId| {
        ["crm", "portal"].map(|side| {
            let staleness = reader.staleness(record, side).expect("it is read");
            format!("{record} {side} {}", serde_json::to_string(&staleness).expect("it prints"))
        })
    };
    Told {
        state: reader.state_hash().expect("it is read").to_string(),
        verdicts: reader.verdict_hash().expect("it is read").to_string(),
        lags: records.iter().flat_map(|view| lag(&view.record)).collect(),
        records: records.iter().map(|view| serde_json::to_string(view).expect("it prints")).collect(),
        outbox: ["crm", "portal"].map(|side| engine.outbox(side).expect("it is read").0),
    }
}

/// Holds every record, what its sides show included, against a fresh fold of its events in the log.
#[track_caller]
fn sound(engine: &Engine) {
    let audit = engine.audit(true, &|_, _, _| {}).expect("it is checked");
    let findings: Vec<String> = audit.findings.iter().map(ToString::to_string).collect();
    assert!(audit.is_sound(), "{findings:?} {:?}", audit.log.faults);
}

/// The keys of writes by what the log says of them: confirmed, and sent without any outcome.
fn keys(engine: &Engine) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut confirmed, mut open) = (BTreeSet::new(), BTreeSet::new());
    for stored in engine.stored() {
        let (event, _) = stored.expect("the log is sound");
        match (&event.header.kind, &event.payload.detail) {
            (Kind::Sent, Detail::Try { key, .. }) => drop(open.insert(key.clone())),
            (Kind::Receipt, Detail::Fate { key, .. } | Detail::Took { key, .. }) => {
                open.remove(key);
                if !event.header.fields.is_empty() {
                    confirmed.insert(key.clone());
                }
            }
            (Kind::Refused, Detail::Fate { key, .. }) => drop(open.remove(key)),
            _ => {}
        }
    }
    (confirmed, open)
}

/// A life of two sides that goes wrong in every way, killed while writes are under way.
fn killed_world(seed: u64, checkpoint_every: u64) -> (TempDir, PathBuf, HandClock) {
    let dir = TempDir::new().expect("a directory");
    let store = dir.path().join("store");
    let faults = Faults {
        twice: 80,
        late: 60,
        lost: 30,
        takes: (20, 400),
        takes_late: (3_000, 30_000),
        unanswered: 60,
        omitted: 30,
        busy: 20,
    };
    let setting = Setting {
        store: store.clone(),
        manifest: script::MANIFEST.to_owned(),
        sides: vec![(script::crm(), 100), (script::portal(), 10)],
        faults,
        seed,
        begins: BEGIN,
        checkpoint_every,
        disk: None,
        key: None,
    };
    let mut world = World::new(setting).expect("a new store opens");
    let mut script = Script::new(20, true, Chance::new(seed));
    (0..15).for_each(|_| assert!(script.make(&mut world, 0)));
    let mut chance = Chance::new(seed ^ 7);
    while script.edits() < 120 {
        script.act(&mut world);
        world.pass(chance.within(5, 300)).expect("the store works");
    }
    let clock = world.clock.clone();
    world.kill();
    (dir, store, clock)
}

#[test]
fn rebuildable_what_the_log_alone_gives_back_is_what_was_there() {
    let mut asked = 0;
    for (seed, checkpoint_every) in [(1, 200), (2, 60), (3, 25), (4, 7)] {
        let (dir, store, clock) = killed_world(seed, checkpoint_every);
        let (whole, bare) = (dir.path().join("whole"), dir.path().join("bare"));
        copy(&store, &whole, false);
        copy(&store, &bare, true);
        let (whole, opening) = open(&whole, &clock, script::MANIFEST);
        assert!(!opening.rebuilt);
        let (bare, opening) = open(&bare, &clock, script::MANIFEST);
        assert!(opening.rebuilt);
        assert_eq!(told(&bare), told(&whole), "seed {seed}");
        sound(&whole);
        sound(&bare);
        let (confirmed, open) = keys(&bare);
        for side in ["crm", "portal"] {
            let key = |write: &Write| (write.record.to_string(), write.key.clone());
            let (writes, asks) = bare.due(side, usize::MAX).expect("it is planned");
            let (due, due_asks) = whole.due(side, usize::MAX).expect("it is planned");
            assert_eq!(writes.iter().map(key).collect::<Vec<_>>(), due.iter().map(key).collect::<Vec<_>>());
            assert_eq!(asks, due_asks);
            for write in &writes {
                assert!(!confirmed.contains(&write.key), "seed {seed}: {write:?} was confirmed");
                assert!(!open.contains(&write.key), "seed {seed}: {write:?} may have arrived");
                assert!(!asks.iter().any(|ask| ask.record == write.record), "seed {seed}: both asked and written");
            }
            asked += asks.iter().filter(|ask| ask.fields.is_empty()).count();
        }
    }
    assert!(asked > 0, "no write was under way when the world was killed");
}

fn contact() -> RecordId {
    RecordId::new("contact/1").expect("good")
}

fn phone() -> FieldName {
    FieldName::new("phone").expect("good")
}

fn number(text: &str) -> Value {
    Value::from_json(&format!("{text:?}")).expect("a text")
}

fn edit(engine: &Engine, side: &str, at: i64, value: &str) {
    let origin = Origin::side(SideName::new(side).expect("good"));
    let mut draft = Draft::new(Kind::Edit, contact(), origin, Millis(BEGIN.0 + at), Author::user("ana"));
    draft.words = vec![(phone(), number(value))];
    let said = engine.say(vec![draft]).expect("it is taken");
    assert!(matches!(said[..], [Said::New { .. }]));
}

/// A store in which the portal has said 1 and the write of it to the CRM was handed out.
fn handed_out(store: &Path, clock: &HandClock) -> (Engine, Write) {
    let (engine, _) = open(store, clock, MANIFEST);
    edit(&engine, "portal", 0, "1");
    clock.advance(10);
    let (mut writes, asks) = engine.due("crm", 10).expect("it is planned");
    assert_eq!((writes.len(), asks.len()), (1, 0));
    (engine, writes.remove(0))
}

/// Deletes all but the log and opens the store again.
fn rebuilt(store: &Path, clock: &HandClock) -> Engine {
    fs::remove_dir_all(store.join("state")).expect("derived state is there");
    let (engine, opening) = open(store, clock, MANIFEST);
    assert!(opening.rebuilt);
    engine
}

#[test]
fn rebuildable_a_write_that_a_receipt_confirms_does_not_leave_again() {
    let dir = TempDir::new().expect("a directory");
    let clock = HandClock::at(BEGIN);
    let (engine, write) = handed_out(dir.path(), &clock);
    clock.advance(10);
    engine.outcome(vec![(write, Outcome::Applied(Receipt::default()))]).expect("it is taken");
    let before = told(&engine);
    drop(engine);
    let engine = rebuilt(dir.path(), &clock);
    assert_eq!(told(&engine), before);
    assert_eq!(engine.outbox("crm").expect("it is read").0, 0);
    assert_eq!(engine.due("crm", 10).expect("it is planned"), (Vec::new(), Vec::new()));
}

#[test]
fn rebuildable_a_refused_write_stays_parked() {
    let dir = TempDir::new().expect("a directory");
    let clock = HandClock::at(BEGIN);
    let (engine, write) = handed_out(dir.path(), &clock);
    let refused = Outcome::Refused { reason: "no number".into(), fields: vec![phone()] };
    engine.outcome(vec![(write, refused)]).expect("it is taken");
    drop(engine);
    let engine = rebuilt(dir.path(), &clock);
    assert_eq!(engine.counts().expect("it runs").parked, 1);
    assert_eq!(engine.due("crm", 10).expect("it is planned").0, Vec::new());
}

fn seen(value: &str, at: Millis) -> Seen {
    let field = SeenField {
        field: phone(),
        value: number(value),
        changed: Some(at),
        asked: None,
        author: Author::engine(),
        earlier: Vec::new(),
    };
    Seen { found: true, link: Some("17".into()), fields: vec![field], modified: Some(at), merged: Vec::new() }
}

#[test]
fn rebuildable_a_write_without_outcome_is_read_back_and_not_sent_blindly() {
    for arrived in [true, false] {
        let dir = TempDir::new().expect("a directory");
        let clock = HandClock::at(BEGIN);
        let (engine, write) = handed_out(dir.path(), &clock);
        drop(engine);
        clock.advance(60_000);
        let engine = rebuilt(dir.path(), &clock);
        let (writes, mut asks) = engine.due("crm", 10).expect("it is planned");
        assert_eq!((writes, asks.len()), (Vec::new(), 1), "it is asked for first");
        let shown = match arrived {
            true => seen("1", BEGIN.plus(20)),
            false => Seen { found: false, ..Seen::default() },
        };
        engine.seen(asks.remove(0), Ok(shown)).expect("it is taken");
        clock.advance(60_000);
        let (writes, asks) = engine.due("crm", 10).expect("it is planned");
        assert_eq!(asks, Vec::new());
        match arrived {
            true => assert_eq!(writes, Vec::new(), "the side shows it"),
            false => {
                assert_eq!(writes.len(), 1);
                // The same key: where the first one is only late, the side takes it once.
                assert_eq!((&writes[0].fields, &writes[0].key), (&write.fields, &write.key));
            }
        }
    }
}

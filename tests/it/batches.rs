//! However many statements are taken in at once, they make the same store, and whoever said them is told the same.

use syncline::{
    clock::{HandClock, Millis},
    engine::{Engine, Said},
    event::{Author, Detail, Draft, Kind, Named, Origin, Sealed},
    history::Principal,
    id::{FieldName, RecordId, SaidId, SideName, TenantKey},
    send::chance::Chance,
    value::Value,
};
use tempfile::TempDir;

use crate::suites;

const MANIFEST: &str = "
syncline: 1
tenant: t
sides: { a: { connector: none }, b: { connector: none }, c: { connector: none } }
defaults: { rule: last_write_wins }
records:
  contact:
    deletes: edit_wins
    fields: { phone: { type: string }, city: { rule: manual, type: string }, notes: { rule: merge, type: long_text } }
";
const KEY: TenantKey = TenantKey([9; 32]);
const STATEMENTS: u64 = 400;

struct Store {
    engine: Engine,
    _dir: TempDir,
}

fn store(memory_mib: usize) -> Store {
    let dir = tempfile::tempdir().expect("a directory");
    let builder = Engine::builder(dir.path().join("s")).clock(HandClock::at(Millis(1_750_000_000_000)));
    let (engine, _) = builder.adopt("t", KEY).memory_bytes(memory_mib << 20).open().expect("a store");
    assert!(engine.apply_manifest(MANIFEST).expect("a sound manifest"));
    Store { engine, _dir: dir }
}

/// A statement about one of a few records, on sides that are not kept in agreement.
fn statement(chance: &mut Chance, earlier: &[SaidId], later: &[SaidId], number: u64) -> Draft {
    let name = |text: &str| FieldName::new(text).expect("good");
    let record = |chance: &mut Chance| RecordId::new(&format!("contact/{}", chance.below(40))).expect("good");
    let side = SideName::new(["a", "b", "c"][chance.below(3) as usize]).expect("good");
    let kind = match chance.below(40) {
        0 => Kind::Delete,
        1 => Kind::Restore,
        2 => Kind::Absorb,
        3 => Kind::Unlink,
        4..10 => Kind::Create,
        _ => Kind::Edit,
    };
    let at = Millis(1_750_000_000_000 + number as i64 * 50 - chance.below(400) as i64);
    let of = record(chance);
    let mut draft = Draft::new(kind, of, Origin::side(side), at, Author::user("ana"));
    match kind {
        Kind::Absorb | Kind::Unlink => {
            draft.detail = Detail::Other { record: record(chance), label: "merged".to_owned() }
        }
        Kind::Edit | Kind::Create => {
            let mut value =
                |_: &&str| (chance.below(2) == 0).then(|| Value::text(["x", "y", "z z"][chance.below(3) as usize]));
            let words = ["city", "notes", "phone"].iter().filter_map(|field| Some((name(field), value(field)?)));
            draft.words = words.collect();
            if draft.words.is_empty() {
                draft.words.push((name("phone"), Value::text("w")));
            }
        }
        _ => {}
    }
    if chance.below(3) == 0 {
        // Some of what it names comes only later, or never.
        let of = if chance.below(6) == 0 { later } else { earlier };
        draft.seen = Some((0..chance.below(3)).filter_map(|_| of.get(chance.below(60) as usize).copied()).collect());
    }
    if chance.below(4) == 0 {
        // Of a few numbers some are used twice, for one thing or for two.
        (draft.said_seq, draft.named) = (Some(chance.below(300)), Named::Default);
    }
    draft
}

/// A few hundred statements, some of them twice.
fn statements(engine: &Engine, chance: &mut Chance) -> Vec<Sealed> {
    let mut sealed: Vec<Sealed> = Vec::new();
    let later: Vec<SaidId> = (0..60).map(|at| SaidId([at; 16])).collect();
    for number in 0..STATEMENTS {
        let same: Vec<SaidId> = sealed.iter().rev().take(60).map(|one| one.event.header.said).collect();
        let twice = chance.below(15) == 0 && !sealed.is_empty();
        sealed.push(match twice {
            true => chance.pick(&sealed).clone(),
            false => engine.seal(statement(chance, &same, &later, number)).expect("small"),
        });
    }
    sealed
}

/// What whoever says these is told, and what the store then is.
fn told(store: &Store, sealed: &[Sealed], at_once: usize) -> (Vec<String>, String) {
    let mut answers = Vec::new();
    for (number, batch) in sealed.chunks(at_once).enumerate() {
        let (said, _) = store.engine.submit(batch.to_vec()).expect("it takes them in");
        answers.extend(said.iter().map(|said| format!("{said:?}")));
        if number % 90 == 2 {
            store.engine.checkpoint().expect("the disk works");
        }
    }
    let reader = store.engine.read(&Principal::operator());
    let hashes = (reader.state_hash().expect("sound"), reader.verdict_hash().expect("sound"));
    let audit = store.engine.audit(true, &|_, _, _| {}).expect("it is checked");
    assert!(audit.is_sound(), "{:?}", audit.findings);
    (answers, format!("{hashes:?} {:?}", store.engine.counts().expect("it counts")))
}

fn batches_make_no_difference(seed: u64) -> u64 {
    let mut chance = Chance::new(seed).fork();
    let first = store(64);
    let sealed = statements(&first.engine, &mut chance);
    let due = told(&first, &sealed, 1);
    let duplicates = due.0.iter().filter(|said| **said == format!("{:?}", Said::Duplicate)).count();
    assert!(duplicates > 0 && due.0.iter().any(|said| said.contains("waits: true")), "seed {seed} tells too little");
    // With next to no memory every record is read from disk again and again.
    for (at_once, memory_mib) in [(400, 64), (97, 0), (40, 0)] {
        let (answers, made) = told(&store(memory_mib), &sealed, at_once);
        for (at, (answer, due)) in answers.iter().zip(&due.0).enumerate() {
            assert_eq!(answer, due, "seed {seed}, {at_once} at once: what is told of statement {at}");
        }
        assert_eq!(made, due.1, "seed {seed}, {at_once} at once");
    }
    1
}

#[test]
fn however_many_are_taken_at_once_they_make_the_same_store() {
    let stores = suites::until(suites::cases(5, 60, 2_000), batches_make_no_difference);
    suites::reached("batches", stores, "stores, each made in four ways");
}

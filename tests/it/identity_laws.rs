//! The laws of merging where ids are linked, parted and merged, told to whole stores in any order.
//!
//! Who is one with whom is judged by [`Ties`], in the most obvious way: the newest statement about each pair, and a square of
//! truth values that is closed. What the records are is judged by the naive fold of all statements about any of their ids.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use proptest::{prelude::*, strategy::ValueTree, test_runner::FileFailurePersistence};
use syncline::{
    clock::{HandClock, Hlc, Millis},
    engine::Engine,
    event::{Author, Detail, Draft, Event, Kind, Named, Origin, Sealed},
    history::Principal,
    id::{FieldName, RecordId, SaidId, TenantKey},
    merge::Existence,
    rulebook::{EXISTENCE, PERSON, Rulebook},
    send::chance::Chance,
    sim::disk::SimDisk,
};

use crate::{
    merged::{folded, record, without_merged_texts},
    orders,
    reference::{self, Plain},
    suites,
    telling::{side, value},
};

/// The ids of made-up statements; the last is no side's own.
const IDS: [&str; 6] =
    ["contact/crm:1", "contact/crm:2", "contact/crm:3", "contact/portal:a", "contact/portal:b", "contact/own"];
/// The fields, each with the values that it takes.
const FIELDS: [(&str, [&str; 4]); 7] = [
    ("boss", ["\"contact/crm:1\"", "\"contact/crm:3\"", "\"contact/portal:a\"", "null"]),
    ("city", ["\"a\"", "\"b\"", "\"c\"", "null"]),
    (
        "friends",
        [
            "[\"contact/crm:1\"]",
            "[\"contact/crm:2\",\"contact/portal:a\"]",
            "[\"contact/crm:1\",\"contact/crm:2\",\"contact/own\"]",
            "[]",
        ],
    ),
    ("note", ["\"abc\"", "\"abd\"", "\"xabc\"", "null"]),
    ("phone", ["\"1\"", "\"2\"", "\"3\"", "null"]),
    ("tags", ["[\"x\"]", "[\"y\",\"x\"]", "[]", "null"]),
    ("visits", ["1", "5", "-2", "null"]),
];
const MANIFEST: &str = "
syncline: 1
tenant: acme
sides: { crm: { connector: none }, portal: { connector: none } }
defaults: { rule: last_write_wins }
records:
  contact:
    match_on: [city]
    deletes: DELETES
    fields:
      boss: { type: reference, to: contact }
      city: { type: string }
      friends: { type: references, to: contact, rule: merge }
      phone: { type: string, rule: { authority: crm } }
      note: { type: long_text, rule: merge }
      tags: { type: set, rule: merge }
      visits: { type: counter, rule: merge }
";
const KEY: TenantKey = TenantKey([7; 32]);

/// Fields with values, by number.
type Words = Vec<(u8, u8)>;

/// A made-up statement; statements that it names are those with these numbers in the telling.
#[derive(Clone)]
enum Act {
    /// A side speaks of its own record.
    Say { kind: u8, record: u8, words: Words, at: i64, seen: Option<Vec<u8>>, another: bool },
    /// Two ids are one, or two.
    Tie { kind: u8, one: u8, other: u8, at: i64 },
    /// A source gives a number, perhaps again, to something said of any record.
    Numbered { record: u8, number: u8, word: (u8, u8), at: i64 },
    /// What became of a write.
    Ours { kind: u8, record: u8, words: Words, at: i64, carries: Vec<u8> },
    /// A person decides.
    Decide { record: u8, words: Words, at: i64, seen: Vec<u8> },
}

impl std::fmt::Debug for Act {
    /// A line each, so that a story can be read.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = match self {
            Act::Say { seen, .. } => format!("{seen:?}"),
            Act::Ours { carries, .. } => format!("{carries:?}"),
            Act::Decide { seen, .. } => format!("{seen:?}"),
            Act::Tie { .. } | Act::Numbered { .. } => String::new(),
        };
        let draft = draft(self);
        let words: Vec<String> =
            draft.words.iter().map(|(field, value)| format!("{field}={}", value.to_json())).collect();
        let (kind, record, at) = (draft.kind.name(), &draft.record, draft.said_at.0);
        write!(f, "{kind} {record} at {at} {words:?} {:?} {:?} {named}", draft.said_seq, draft.detail)
    }
}

fn act() -> impl Strategy<Value = Act> {
    let words = || prop::collection::vec((prop_oneof![3 => Just(1u8), 4 => 0u8..7], 0u8..4), 1..=2);
    let record = || prop_oneof![4 => 0u8..5, 1 => Just(5u8)];
    let named = |most: usize| prop::collection::vec(0u8..16, 0..most);
    let say = (0u8..12, record(), words(), 0i64..12, prop::option::weighted(0.3, named(3)), prop::bool::weighted(0.3));
    let say =
        say.prop_map(|(kind, record, words, at, seen, another)| Act::Say { kind, record, words, at, seen, another });
    // Often the same two, so that statements about one pair contradict each other.
    let one = prop_oneof![1 => Just(0u8), 1 => record()];
    let other = prop_oneof![1 => Just(3u8), 1 => record()];
    let tie = (0u8..6, one, other, 0i64..12).prop_map(|(kind, one, other, at)| Act::Tie { kind, one, other, at });
    let numbered = (record(), 0u8..2, (0u8..2, 0u8..3), 0i64..3);
    let numbered = numbered.prop_map(|(record, number, word, at)| Act::Numbered { record, number, word, at });
    let ours = (0u8..7, record(), words(), 0i64..12, named(4));
    let ours = ours.prop_map(|(kind, record, words, at, carries)| Act::Ours { kind, record, words, at, carries });
    let decide = (record(), words(), 0i64..12, named(4));
    let decide = decide.prop_map(|(record, words, at, seen)| Act::Decide { record, words, at, seen });
    prop_oneof![8 => say, 6 => tie, 2 => numbered, 3 => ours, 1 => decide]
}

fn id(number: u8) -> RecordId {
    RecordId::new(IDS[usize::from(number) % IDS.len()]).expect("a good id")
}

/// Where a statement about an id comes from: the side whose own it is.
fn origin(record: &RecordId) -> Origin {
    let (name, link) = record.side_and_link().unwrap_or(("portal", ""));
    Origin { side: side(name), link: (!link.is_empty()).then(|| link.into()), node: None }
}

fn spoken(words: &Words) -> Vec<(FieldName, syncline::value::Value)> {
    let word = |(field, number): &(u8, u8)| {
        let (name, values) = FIELDS[usize::from(*field) % FIELDS.len()];
        (name, values[usize::from(*number) % values.len()])
    };
    let words: BTreeMap<&str, &str> = words.iter().map(word).collect();
    words.into_iter().map(|(name, json)| (FieldName::new(name).expect("a good name"), value(json))).collect()
}

/// A statement without the names of what it has seen or carries.
fn draft(act: &Act) -> Draft {
    let existence = |lives: bool| (FieldName::new(EXISTENCE).expect("a good name"), value(&lives.to_string()));
    match act {
        Act::Say { kind, record, words, at, another, .. } => {
            let kinds = [Kind::Create, Kind::Delete, Kind::Restore, Kind::Observe, Kind::Observe];
            let kind = kinds.get(usize::from(*kind)).copied().unwrap_or(Kind::Edit);
            let author = if *another { Author::user("ana") } else { Author::default() };
            let mut draft = Draft::new(kind, id(*record), origin(&id(*record)), Millis(*at * 100), author);
            draft.words = if matches!(kind, Kind::Delete | Kind::Restore) { Vec::new() } else { spoken(words) };
            if matches!(kind, Kind::Create | Kind::Delete | Kind::Restore) {
                draft.words.push(existence(kind != Kind::Delete));
            }
            draft
        }
        Act::Tie { kind, one, other, at } => {
            let kind =
                [Kind::Link, Kind::Link, Kind::Link, Kind::Unlink, Kind::Absorb, Kind::Absorb][usize::from(*kind) % 6];
            let by = if kind == Kind::Absorb { origin(&id(*one)) } else { Origin::side(side(PERSON)) };
            let mut draft = Draft::new(kind, id(*one), by, Millis(*at * 100), Author::user("eva"));
            draft.detail = Detail::Other { record: id(*other), label: String::new() };
            draft
        }
        Act::Numbered { record, number, word, at } => {
            let mut draft =
                Draft::new(Kind::Edit, id(*record), origin(&id(*record)), Millis(*at * 100), Author::default());
            draft.words = spoken(&vec![*word]);
            (draft.named, draft.said_seq) = (Named::of("list"), Some(u64::from(*number)));
            draft
        }
        Act::Ours { kind, record, words, at, .. } => {
            let kinds =
                [Kind::Sent, Kind::Receipt, Kind::Receipt, Kind::Settled, Kind::Refused, Kind::Parked, Kind::Released];
            let kind = kinds[usize::from(*kind) % kinds.len()];
            let mut draft = Draft::new(kind, id(*record), origin(&id(*record)), Millis(*at * 100), Author::engine());
            draft.words = spoken(words);
            draft
        }
        Act::Decide { record, words, at, .. } => {
            let by = Origin::side(side(PERSON));
            let mut draft = Draft::new(Kind::Decide, id(*record), by, Millis(*at * 100), Author::user("eva"));
            draft.words = spoken(words);
            draft
        }
    }
}

/// The statements, with their ids.
fn told(acts: &[Act]) -> Vec<Sealed> {
    let seal = |draft: Draft, at: usize| {
        let key = KEY.record_key(&draft.record);
        draft.seal(&key, Hlc(at as u64)).expect("small")
    };
    // What a side says is named without what it had seen, so the names come first; what we say carries such names.
    let names: Vec<Option<SaidId>> = acts
        .iter()
        .map(|act| Some(draft(act)).filter(|draft| draft.kind.is_said()).map(|draft| seal(draft, 0).event.header.said))
        .collect();
    let named = |numbers: &[u8]| -> Vec<SaidId> {
        numbers.iter().filter_map(|number| names[usize::from(*number) % names.len()]).collect()
    };
    let whole = |(at, act): (usize, &Act)| {
        let mut draft = draft(act);
        match act {
            Act::Say { seen, .. } => draft.seen = seen.as_ref().map(|seen| named(seen)),
            Act::Decide { seen, .. } => draft.seen = Some(named(seen)),
            Act::Ours { carries, .. } => draft.carries = draft.words.iter().map(|_| named(carries)).collect(),
            Act::Tie { .. } | Act::Numbered { .. } => {}
        }
        seal(draft, at)
    };
    acts.iter().enumerate().map(whole).collect()
}

/// What was last said of each pair of ids, and so which ids are one.
struct Ties(BTreeMap<RecordId, BTreeSet<RecordId>>);

impl Ties {
    fn of(events: &[Event]) -> Ties {
        let ids: Vec<RecordId> = (0..IDS.len() as u8).map(id).collect();
        let said = |one: &RecordId, other: &RecordId| {
            let about = events.iter().filter_map(|event| {
                let Detail::Other { record, .. } = &event.payload.detail else { return None };
                let pair = [&event.header.record, record];
                let rank = match event.header.kind {
                    Kind::Link => 0,
                    Kind::Absorb => 1,
                    _ => 2,
                };
                (pair.contains(&one) && pair.contains(&other)).then_some((event.header.said_at, rank))
            });
            one != other && about.max().is_some_and(|(_, rank)| rank < 2)
        };
        let mut one: Vec<Vec<bool>> = ids.iter().map(|a| ids.iter().map(|b| a == b || said(a, b)).collect()).collect();
        for via in 0..ids.len() {
            for from in 0..ids.len() {
                for to in 0..ids.len() {
                    one[from][to] |= one[from][via] && one[via][to];
                }
            }
        }
        let cluster = |at: usize| ids.iter().zip(&one[at]).filter(|(_, one)| **one).map(|(id, _)| id.clone()).collect();
        Ties(ids.iter().enumerate().map(|(at, id)| (id.clone(), cluster(at))).collect())
    }

    /// The id under which one is resolved: one that is no side's own, else the least.
    fn canonical(&self, id: &RecordId) -> RecordId {
        let own = self.0[id].iter().find(|id| id.side_and_link().is_none());
        own.or(self.0[id].first()).expect("an id is one with itself").clone()
    }

    /// A statement in which records are named as they are resolved: a set of them has each once.
    fn understood(&self, event: &Event) -> Event {
        let canonical = |json: &serde_json::Value| {
            let id = RecordId::new(json.as_str().expect("a text")).expect("a good id");
            self.canonical(&id).to_string()
        };
        let mut event = event.clone();
        for (field, said) in event.header.fields.iter().zip(&mut event.payload.values) {
            let json: serde_json::Value = serde_json::from_str(&said.to_json()).expect("JSON");
            match (&**field, json) {
                ("boss", json) if !json.is_null() => *said = syncline::value::Value::text(&canonical(&json)),
                ("friends", serde_json::Value::Array(named)) => {
                    let named: BTreeSet<String> = named.iter().map(canonical).collect();
                    *said = value(&serde_json::json!(named).to_string());
                }
                _ => {}
            }
        }
        event
    }
}

/// The rules, with what is out of effect: a number that was given on several records counts for the least of what it was given to.
fn rules(events: &[Event], engine: &Engine) -> Rulebook {
    let mut book = Rulebook::of(engine.edition().expect("it has rules"));
    let numbered = || events.iter().filter(|event| event.header.named != Named::Not);
    for event in numbered() {
        let same = numbered().filter(|other| other.header.said_seq == event.header.said_seq);
        let least = same.min_by_key(|other| (other.content(), other.header.record.clone())).expect("it is one itself");
        if least.header.record != event.header.record {
            book.add_void(event.header.said);
        }
    }
    book
}

fn open(dir: &Path, small: bool) -> Engine {
    let builder = Engine::builder(dir).adopt("acme", KEY).clock(HandClock::at(Millis(1_000_000)));
    let builder = if small { builder.memory_bytes(1).checkpoint_every(3) } else { builder };
    builder.open().expect("it opens").0
}

fn first(deletes: &str) -> Sealed {
    let origin = Origin::side(side(PERSON));
    let mut draft = Draft::new(Kind::Manifest, RecordId::tenant(), origin, Millis(0), Author::engine());
    draft.detail = Detail::Manifest(MANIFEST.replace("DELETES", deletes));
    let key = KEY.record_key(&draft.record);
    draft.seal(&key, Hlc(0)).expect("small")
}

/// Tells a store everything in some order and batches, some of it twice, closing and crashing it now and then.
fn live(dir: &Path, deletes: &str, told: &[Sealed], seed: u64) -> Engine {
    let mut chance = Chance::new(seed);
    let mut engine = open(dir, seed % 2 == 1);
    engine.take(vec![first(deletes)]).expect("it is taken");
    let mut left: Vec<Sealed> = told.to_vec();
    left.extend(told.iter().filter(|_| chance.permille(200)).cloned());
    while !left.is_empty() {
        let mut batch = Vec::new();
        for _ in 0..=chance.below(3) {
            if !left.is_empty() {
                let at = if seed == 0 { 0 } else { chance.below(left.len() as u64) as usize };
                batch.push(left.remove(at));
            }
        }
        engine.take(batch).expect("it is taken");
        if chance.permille(60) {
            match chance.below(3) {
                0 => engine.close().expect("it closes"),
                1 => drop(engine),
                _ => {
                    engine.checkpoint().expect("it is written");
                    drop(engine);
                }
            }
            engine = open(dir, seed % 2 == 1);
        }
    }
    engine
}

fn hashes(engine: &Engine) -> (String, String) {
    let reader = engine.read(&Principal::operator());
    (reader.state_hash().expect("a hash").to_string(), reader.verdict_hash().expect("a hash").to_string())
}

/// Holds a store against the naive fold of the statements that were told to it.
fn judged(engine: &Engine, events: &[Event]) -> Result<(), TestCaseError> {
    let audit = engine.audit(false, &|_, _, _| {}).expect("an audit");
    prop_assert!(audit.is_sound(), "{:?}", audit.findings);
    let (ties, book) = (Ties::of(events), rules(events, engine));
    let reader = engine.read(&Principal::operator());
    for (id, cluster) in &ties.0 {
        prop_assert_eq!(&engine.canonical(id).expect("an id"), &ties.canonical(id));
        let of_it = events.iter().filter(|event| cluster.contains(&event.header.record));
        let of_it: Vec<Event> = of_it.map(|event| ties.understood(event)).collect();
        let due = reference::fold(&of_it, &book);
        prop_assert_eq!(&without_merged_texts(folded(&of_it, &book), &due), &due, "{}", id);
        let view = reader.get(id).expect("a read");
        prop_assert_eq!(view.is_some(), is_known(&of_it, &book), "{}", id);
        let Some(view) = view else { continue };
        let existence = match view.existence {
            Existence::Alive => "alive",
            Existence::Deleted => "deleted",
            Existence::Disputed => "disputed",
        };
        prop_assert_eq!(existence, due.existence, "{}", id);
        let values = view.fields.iter().map(|field| (field.name.to_string(), field.value.to_json()));
        prop_assert_eq!(values.collect::<BTreeMap<_, _>>(), resolved(&due, &of_it, &book), "{}", id);
    }
    Ok(())
}

/// Whether anybody has said anything that counts.
fn is_known(events: &[Event], book: &Rulebook) -> bool {
    !record(events, book).fields.is_empty()
}

/// The values, texts that are merged by the engine's own fold.
fn resolved(due: &Plain, events: &[Event], book: &Rulebook) -> BTreeMap<String, String> {
    let ours = folded(events, book);
    let value = |name: &String| due.fields[name].value.clone().or(ours.fields[name].value.clone());
    due.fields.keys().map(|name| (name.clone(), value(name).expect("a field has a value"))).collect()
}

fn cases() -> ProptestConfig {
    let persistence = FileFailurePersistence::Direct("proptest-regressions/identity_laws.txt");
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|asked| asked.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(suites::cases(32, 200, 5_000) as u32),
        max_shrink_iters: 2_000,
        failure_persistence: Some(Box::new(persistence)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn order_free_and_rebuildable_hold_for_whole_stores(
        acts in prop::collection::vec(act(), 1..16),
        deletes in prop_oneof![Just("manual"), Just("delete_wins"), Just("edit_wins")],
        seed in 1u64..1_000_000,
    ) {
        let told = told(&acts);
        let events: Vec<Event> = told.iter().map(|sealed| sealed.event.clone()).collect();
        let dirs = [(), ()].map(|()| tempfile::tempdir().expect("a directory"));
        let straight = live(&dirs[0].path().join("store"), deletes, &told, 0);
        judged(&straight, &events)?;
        let store = dirs[1].path().join("store");
        let shuffled = live(&store, deletes, &told, seed);
        judged(&shuffled, &events)?;
        prop_assert_eq!(hashes(&shuffled), hashes(&straight));
        drop(shuffled);
        std::fs::remove_dir_all(store.join("state")).expect("it is there");
        let rebuilt = open(&store, false);
        judged(&rebuilt, &events)?;
        prop_assert_eq!(hashes(&rebuilt), hashes(&straight));
    }
}

/// Statements of which whole stores are told every order.
const FEW: usize = 4;

/// Tells whole stores a few statements in every order; returns how many orders there were.
fn tell_stores_in_every_order(seed: u64) -> u64 {
    let acts =
        prop::collection::vec(act(), 2..=FEW).new_tree(&mut orders::runner(seed)).expect("never refused").current();
    let told = told(&acts);
    let events: Vec<Event> = told.iter().map(|sealed| sealed.event.clone()).collect();
    let (mut count, mut due) = (0, None);
    orders::every_order(told.len(), &mut |order| {
        let (dir, disk) = (tempfile::tempdir().expect("a directory"), SimDisk::new());
        let builder = Engine::builder(dir.path()).adopt("acme", KEY).clock(HandClock::at(Millis(1_000_000)));
        let engine = builder.disk(disk.shared()).open().expect("it opens").0;
        engine.take(vec![first("manual")]).expect("it is taken");
        for at in order {
            engine.take(vec![told[*at].clone()]).expect("it is taken");
        }
        let found = hashes(&engine);
        if due.is_none() {
            judged(&engine, &events).unwrap_or_else(|why| panic!("seed {seed}: {why}\n{acts:#?}"));
        }
        assert_eq!(&found, due.get_or_insert_with(|| found.clone()), "seed {seed}, in the order {order:?}: {acts:#?}");
        count += 1;
    });
    count
}

#[test]
fn every_order_of_a_few_statements_makes_the_same_store() {
    let orders = suites::until(suites::cases(150, 2_000, 50_000), tell_stores_in_every_order);
    suites::reached(
        "identity_laws",
        orders,
        "convergence schedules of whole stores: all orders of up to four statements",
    );
}

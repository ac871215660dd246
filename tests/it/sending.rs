//! What the sender promises, one claim each, on two pretend sides between which nothing goes wrong unless ordered.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use syncline::{
    clock::Millis,
    engine::Engine,
    event::{Author, Kind},
    history::{Principal, Staleness},
    id::{FieldName, RecordId, Seq, SideName},
    send::{Ask, BoxFuture, Connector, Outcome, ReadError, Receipt, Seen, Sender, Settings, Write},
    sim::{
        post::Faults,
        script,
        world::{Setting, World},
    },
    value::Value,
};
use tempfile::TempDir;

const ANA: &str = "person/ana";

struct Rig {
    _dir: TempDir,
    world: World,
}

fn rig_with(manifest: &str, faults: Faults) -> Rig {
    let dir = TempDir::new().expect("a directory");
    let setting = Setting {
        store: dir.path().join("store"),
        manifest: manifest.to_owned(),
        sides: vec![(script::crm(), 100), (script::portal(), 10)],
        faults,
        seed: 3,
        begins: Millis(1_750_000_000_000),
        checkpoint_every: 1 << 20,
        disk: None,
        key: None,
    };
    Rig { _dir: dir, world: World::new(setting).expect("a new store opens") }
}

fn rig() -> Rig {
    rig_with(script::MANIFEST, Faults { takes: (5, 5), ..Faults::default() })
}

fn record(name: &str) -> RecordId {
    RecordId::new(name).expect("a good id")
}

fn field(name: &str) -> FieldName {
    FieldName::new(name).expect("a good name")
}

fn set(words: &[(&str, &str)]) -> Vec<(FieldName, Value)> {
    words.iter().map(|(name, value)| (field(name), Value::text(value))).collect()
}

impl Rig {
    fn edit(&mut self, side: &str, words: &[(&str, &str)]) {
        self.world.edit(side, &record(ANA), &Author::user("someone"), &set(words));
    }

    fn pass(&mut self, millis: i64) {
        self.world.pass(millis).expect("the store works");
    }

    fn rest(&mut self) {
        assert!(self.world.rest().expect("the store works"), "the sides come to rest");
    }

    fn shows(&self, side: &str, name: &str) -> String {
        self.world.place(side).side().shows(ANA, name).to_string()
    }

    fn both_show(&self, name: &str) -> String {
        let [crm, portal] = ["crm", "portal"].map(|side| self.shows(side, name));
        assert_eq!(crm, portal, "{name}");
        crm
    }

    fn writes(&self) -> u64 {
        self.world.places.iter().map(|place| place.line.sent().writes).sum()
    }

    fn kinds(&self) -> Vec<Kind> {
        kinds(self.world.engine())
    }

    fn parked(&self, side: &str) -> Vec<String> {
        let reader = self.world.engine().read(&Principal::operator());
        let Staleness { parked, .. } = reader.staleness(ANA, side).expect("readable").expect("a record");
        parked.iter().map(ToString::to_string).collect()
    }
}

fn kinds(engine: &Engine) -> Vec<Kind> {
    let event = |stored: Result<(syncline::event::Event, _), _>| stored.expect("readable").0;
    engine.stored().map(event).filter(|event| *event.header.record == *ANA).map(|event| event.header.kind).collect()
}

fn count(kinds: &[Kind], kind: Kind) -> usize {
    kinds.iter().filter(|known| **known == kind).count()
}

#[test]
fn minimal_a_write_holds_what_differs_and_then_nothing_is_left() {
    let mut rig = rig();
    rig.edit("crm", &[("first_name", "Ana"), ("last_name", "Lima")]);
    rig.rest();
    let sent = rig.world.place("portal").line.sent();
    assert_eq!((sent.writes, sent.values), (1, 2));
    rig.edit("crm", &[("first_name", "Anna"), ("last_name", "Lima")]);
    rig.rest();
    let sent = rig.world.place("portal").line.sent();
    assert_eq!((sent.writes, sent.values), (2, 3), "the name that did not change is not written again");
    rig.world.reconcile().expect("the store works");
    rig.rest();
    assert_eq!(rig.writes(), 2, "nothing is left to write");
}

#[test]
fn echo_never_becomes_a_write() {
    // The portal does not say that our write was ours: only the value and its place tell.
    let mut rig = rig();
    rig.edit("crm", &[("office", "Hill 1")]);
    rig.rest();
    rig.edit("portal", &[("office", "Hill 2")]);
    rig.rest();
    assert_eq!((rig.writes(), rig.both_show("office").as_str()), (2, "Hill 2"));
    assert_eq!(rig.world.engine().counts().expect("open").echoes, 2);
}

#[test]
fn healed_an_edit_that_our_write_overwrote_unheard_is_judged_and_restored() {
    let mut rig = rig();
    rig.edit("crm", &[("first_name", "Ana")]);
    rig.rest();
    // Both edit at once. Ours reaches the CRM before the CRM's webhook reaches us, so what the agent wrote is gone there.
    rig.world.places[0].post.faults = Faults { takes: (500, 500), ..Faults::default() };
    rig.edit("crm", &[("first_name", "Anna")]);
    rig.world.post_webhooks();
    rig.pass(10);
    rig.edit("portal", &[("first_name", "Anita")]);
    rig.pass(0);
    rig.pass(6);
    assert_eq!(rig.shows("crm", "first_name"), "Anita", "our write overwrote the agent's");
    rig.rest();
    assert_eq!(rig.both_show("first_name"), "Anna", "the CRM has authority over names");
}

#[test]
fn healed_even_if_the_webhook_of_the_overwritten_edit_never_comes() {
    let mut rig = rig();
    rig.edit("crm", &[("first_name", "Ana")]);
    rig.rest();
    rig.world.places[0].post.faults = Faults { lost: 1000, ..Faults::default() };
    rig.edit("crm", &[("first_name", "Anna")]);
    rig.world.post_webhooks();
    rig.pass(10);
    rig.edit("portal", &[("first_name", "Anita")]);
    rig.rest();
    assert_eq!(rig.both_show("first_name"), "Anita", "nobody knows of the agent's edit");
    rig.world.reconcile().expect("the store works");
    rig.rest();
    assert_eq!(rig.both_show("first_name"), "Anna", "the CRM's history has told of it");
}

#[test]
fn a_side_that_normalises_is_believed_and_not_fought() {
    let mut rig = rig();
    rig.edit("portal", &[("phone", "202-225-4876"), ("website", "https://Ana.Example/")]);
    rig.rest();
    assert_eq!(rig.both_show("phone"), "(202) 225-4876");
    assert_eq!(rig.both_show("website"), "https://ana.example");
    assert_eq!(rig.writes(), 2, "one to the CRM, one back with its form");
}

#[test]
fn a_side_that_normalises_what_it_may_not_edit_is_parked_and_not_fought() {
    let manifest = script::MANIFEST
        .replace("phone: { type: string, rule: { authority: portal } }", "phone: { type: string, write: [portal] }");
    let mut rig = rig_with(&manifest, Faults { takes: (5, 5), ..Faults::default() });
    rig.edit("portal", &[("phone", "202-225-4876")]);
    rig.rest();
    assert_eq!(
        (rig.shows("crm", "phone"), rig.shows("portal", "phone")),
        ("(202) 225-4876".into(), "202-225-4876".into())
    );
    assert_eq!((rig.parked("crm"), rig.writes()), (vec!["phone".to_owned()], 1));
}

#[test]
fn a_refused_value_is_parked_alone_and_a_newer_word_unparks_it() {
    let mut rig = rig();
    rig.edit("crm", &[("first_name", "Ana")]);
    rig.rest();
    rig.edit("portal", &[("phone", "CALL ME"), ("office", "Hill 1")]);
    rig.rest();
    assert_eq!(rig.parked("crm"), ["phone"]);
    assert_eq!((rig.shows("crm", "phone").as_str(), rig.both_show("office").as_str()), ("null", "Hill 1"));
    assert_eq!(rig.world.place("crm").line.sent().refused, 1, "what is parked is not tried again");
    rig.edit("portal", &[("phone", "202-225-0001")]);
    rig.rest();
    assert_eq!((rig.both_show("phone").as_str(), rig.parked("crm").len()), ("(202) 225-0001", 0));
}

#[test]
fn nothing_lost_a_crash_after_the_side_took_a_write_is_settled_by_reading_back() {
    let mut rig = rig();
    rig.edit("crm", &[("office", "Hill 1")]);
    rig.world.place("portal").line.hang_after(1);
    rig.pass(0);
    rig.pass(6);
    assert!(rig.world.place("portal").line.hangs());
    assert_eq!(rig.shows("portal", "office"), "Hill 1", "the side took it");
    assert_eq!(count(&rig.kinds(), Kind::Receipt), 0, "and nobody noted that");
    rig.world.kill();
    rig.world.open().expect("the store opens");
    rig.world.place("portal").line.mend();
    rig.rest();
    let kinds = rig.kinds();
    assert_eq!((count(&kinds, Kind::Sent), count(&kinds, Kind::Receipt)), (1, 1));
    assert_eq!(rig.world.place("portal").line.sent().writes, 1, "what a read-back confirms is not written again");
}

#[test]
fn nothing_lost_a_crash_before_the_side_took_a_write_sends_it_again() {
    let mut rig = rig();
    rig.edit("crm", &[("office", "Hill 1")]);
    rig.world.place("portal").line.hang_after(0);
    rig.pass(0);
    rig.pass(6);
    assert_eq!((count(&rig.kinds(), Kind::Sent), rig.shows("portal", "office").as_str()), (1, "null"));
    for _ in 0..2 {
        // The second life dies in the same place, with the same write under the same key.
        rig.world.kill();
        rig.world.open().expect("the store opens");
        rig.pass(10);
    }
    rig.world.kill();
    rig.world.open().expect("the store opens");
    rig.world.place("portal").line.mend();
    rig.rest();
    assert_eq!((rig.both_show("office").as_str(), rig.world.place("portal").line.sent().writes), ("Hill 1", 1));
}

#[test]
fn a_merged_text_waits_for_the_outcome_of_a_write_that_its_next_author_may_have_seen() {
    // The write had arrived, the agent wrote below it, and his text was heard before the write was settled: taken as
    // concurrent, it seemed to bring the customer's line once more, and both sides then showed that line twice.
    let mut rig = rig();
    rig.edit("crm", &[("notes", "one\n")]);
    rig.rest();
    rig.edit("portal", &[("notes", "one\ntwo\n")]);
    rig.world.places[0].line.hang_after(1);
    rig.pass(0);
    rig.pass(6);
    assert_eq!(rig.shows("crm", "notes"), "one\ntwo\n");
    rig.world.places[0].line.mend();
    rig.world.places[0].line.set_faults(Faults { busy: 1000, ..Faults::default() });
    rig.edit("crm", &[("notes", "one\ntwo\nthree\n")]);
    rig.pass(0);
    rig.pass(6);
    rig.pass(6);
    assert_eq!(rig.shows("portal", "notes"), "one\ntwo\n", "nothing is merged before the write is settled");
    rig.world.places[0].line.set_faults(Faults::default());
    rig.rest();
    assert_eq!(rig.both_show("notes"), "one\ntwo\nthree\n");
}

#[test]
fn a_line_that_our_write_replaced_unheard_is_not_taken_for_deleted() {
    // The customer wrote on below what our write had put in place of his first line, which he did not delete.
    let mut rig = rig();
    rig.world.places[1].post.faults = Faults { takes: (100, 100), ..Faults::default() };
    rig.edit("crm", &[("notes", "one\n")]);
    rig.rest();
    rig.edit("portal", &[("notes", "one\nlost?\n")]);
    rig.edit("crm", &[("notes", "one\ntwo\n")]);
    rig.pass(0);
    rig.pass(6);
    assert_eq!(rig.shows("portal", "notes"), "one\ntwo\n");
    rig.edit("portal", &[("notes", "one\ntwo\nthree\n")]);
    rig.rest();
    let mut lines: Vec<String> = rig.both_show("notes").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["lost?", "one", "three", "two"]);
}

#[test]
fn a_word_heard_by_read_back_and_by_webhook_is_merged_once() {
    let mut rig = rig();
    rig.edit("crm", &[("notes", "one\n")]);
    rig.rest();
    rig.world.places[0].post.faults = Faults { takes: (60_000, 60_000), ..Faults::default() };
    rig.edit("crm", &[("notes", "one\ntwo\n")]);
    rig.edit("portal", &[("notes", "one\nthree\n")]);
    rig.world.post_webhooks();
    rig.world.reconcile().expect("the store works");
    rig.rest();
    let mut lines: Vec<String> = rig.both_show("notes").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["one", "three", "two"]);
}

#[test]
fn a_field_that_flips_between_two_sides_for_ever_is_parked() {
    let manifest = script::MANIFEST.replace("flips: 40", "flips: 6");
    let mut rig = rig_with(&manifest, Faults { takes: (5, 5), ..Faults::default() });
    rig.edit("crm", &[("office", "Hill")]);
    rig.rest();
    // Two robots, each of which insists on its own spelling.
    for turn in 0..20 {
        for (side, mine) in [("crm", "HILL"), ("portal", "hill")] {
            if rig.shows(side, "office") != mine {
                rig.edit(side, &[("office", mine)]);
            }
            rig.pass(50);
            rig.pass(50);
        }
        if turn == 19 {
            assert_eq!(
                (rig.parked("crm"), rig.parked("portal")),
                (vec!["office".to_owned()], vec!["office".to_owned()])
            );
        }
    }
    assert!(rig.writes() < 12, "{} writes", rig.writes());
}

/// A side that answers as it was told, and looks into the log while it is called.
struct Told {
    engine: Engine,
    outcomes: Mutex<Vec<Outcome>>,
    calls: Mutex<Vec<String>>,
    shows: Mutex<Seen>,
}

impl Told {
    fn new(engine: &Engine, outcomes: Vec<Outcome>) -> Arc<Self> {
        let (calls, shows) = (Mutex::default(), Mutex::default());
        Arc::new(Told { engine: engine.clone(), outcomes: Mutex::new(outcomes), calls, shows })
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().expect("sound").clone()
    }
}

impl Connector for Told {
    fn batch_most(&self) -> usize {
        10
    }

    fn deliver<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            let last = self.engine.stored().last().expect("events").expect("readable");
            assert_eq!(last.0.header.kind, Kind::Sent, "what is about to leave is in the log");
            let reader = self.engine.read(&Principal::operator());
            let (durable, _) = reader.changes_since(Seq(0), usize::MAX).expect("readable");
            assert!(durable.iter().any(|change| change.kind == Kind::Sent), "and on disk");
            self.calls.lock().expect("sound").push(format!("write {}", writes.len()));
            let mut outcomes = self.outcomes.lock().expect("sound");
            let most = writes.len().min(outcomes.len());
            outcomes.drain(..most).collect()
        })
    }

    fn read_back<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Vec<Result<Seen, ReadError>>> {
        Box::pin(async move {
            self.calls.lock().expect("sound").push("read".to_owned());
            asks.iter().map(|_| Ok(self.shows.lock().expect("sound").clone())).collect()
        })
    }
}

fn stepped(rig: &Rig, told: &Arc<Told>, sender: &mut Option<Sender>) {
    let connector: Arc<dyn Connector> = told.clone();
    let side = SideName::new("portal").expect("a good name");
    let make = || Sender::new(rig.world.engine().clone(), side, connector, Settings::default());
    let sender = sender.get_or_insert_with(make);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(sender.step()).expect("the store works");
}

/// A world in which the portal is still to hear of a new record.
fn waiting_rig() -> Rig {
    let mut rig = rig();
    rig.edit("crm", &[("office", "Hill 1")]);
    rig.world.post_webhooks();
    rig.world.clock.advance(6);
    rig.world.hear().expect("the store works");
    rig
}

#[test]
fn an_unknown_outcome_is_read_back_before_anything_is_sent_again() {
    let rig = waiting_rig();
    let told = Told::new(rig.world.engine(), vec![Outcome::Unknown, Outcome::RetryAfter(0)]);
    let mut sender = None;
    stepped(&rig, &told, &mut sender);
    assert_eq!(told.calls(), ["write 1", "read"]);
    rig.world.clock.advance(60_000);
    stepped(&rig, &told, &mut sender);
    assert_eq!(told.calls(), ["write 1", "read", "write 1"], "it had not arrived, so it goes again");
    stepped(&rig, &told, &mut sender);
    assert_eq!(told.calls().len(), 3, "what the side put off waits");
}

#[test]
fn an_answer_of_success_that_leaves_a_write_out_settles_nothing() {
    let rig = waiting_rig();
    let told = Told::new(rig.world.engine(), Vec::new());
    stepped(&rig, &told, &mut None);
    assert_eq!(told.calls(), ["write 1", "read"]);
    assert_eq!(count(&rig.kinds(), Kind::Receipt), 1, "a receipt of nothing");
    assert_eq!(rig.world.engine().outbox("portal").expect("open").0, 1, "it still waits");
}

/// A world in which the portal is still to hear of thirty records.
fn crowded_rig() -> Rig {
    let mut rig = rig();
    for number in 0..30 {
        rig.world.edit(
            "crm",
            &record(&format!("person/{number}")),
            &Author::user("ana"),
            &set(&[("office", "Hill 1")]),
        );
    }
    rig.edit("crm", &[("office", "Hill 1")]);
    rig.world.post_webhooks();
    rig.world.clock.advance(6);
    rig.world.hear().expect("the store works");
    rig
}

/// Together they were too much for one event: nothing was due any more, for no record; and the record was too large to be kept.
#[test]
fn a_record_of_large_values_leaves_in_parts_and_is_kept() {
    let mut rig = rig();
    let names = ["first_name", "last_name", "office", "website", "salutation"];
    let large = |name: &str| format!("{name} {}", "x".repeat(950_000));
    for name in names {
        rig.edit("crm", &[(name, &large(name))]);
    }
    rig.rest();
    let portal = rig.world.places[1].side();
    for name in names {
        assert_eq!(portal.shows(&record(ANA), name), Value::text(&large(name)), "{name}");
    }
    drop(portal);
    assert_eq!(rig.world.engine().outbox("portal").expect("open").0, 0);
    let told = |engine: &Engine| engine.read(&Principal::operator()).state_hash().expect("readable").to_string();
    let before = told(rig.world.engine());
    rig.world.engine().checkpoint().expect("it is kept");
    rig.world.kill();
    rig.world.open().expect("the store opens");
    assert_eq!(told(rig.world.engine()), before);
}

/// A side that fails at every call that holds one certain write, and has nothing of it when it is asked.
struct Poisoned {
    by: RecordId,
    taken: Mutex<BTreeSet<RecordId>>,
    failed: Mutex<usize>,
}

impl Connector for Poisoned {
    fn batch_most(&self) -> usize {
        10
    }

    fn deliver<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            if writes.iter().any(|write| write.record == self.by) {
                *self.failed.lock().expect("sound") += 1;
                return vec![Outcome::Unknown; writes.len()];
            }
            self.taken.lock().expect("sound").extend(writes.iter().map(|write| write.record.clone()));
            vec![Outcome::Applied(Receipt::default()); writes.len()]
        })
    }

    fn read_back<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Vec<Result<Seen, ReadError>>> {
        Box::pin(async move { asks.iter().map(|_| Ok(Seen::default())).collect() })
    }
}

/// It was tried again at once and for ever, and whatever left in one call with it never arrived.
#[test]
fn a_write_at_which_a_side_fails_every_time_is_tried_ever_more_rarely_and_holds_up_no_other() {
    let rig = crowded_rig();
    let by = record("person/7");
    let side = Arc::new(Poisoned { by, taken: Mutex::default(), failed: Mutex::default() });
    let name = SideName::new("portal").expect("a good name");
    let sender = Sender::new(rig.world.engine().clone(), name, side.clone(), Settings::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    for _ in 0..3_600 {
        runtime.block_on(sender.round()).expect("the store works");
        rig.world.clock.advance(500);
    }
    assert_eq!(side.taken.lock().expect("sound").len(), 30, "all the others have arrived");
    let failed = *side.failed.lock().expect("sound");
    assert!((5..40).contains(&failed), "{failed} tries in half an hour");
    assert_eq!(rig.world.engine().outbox("portal").expect("open").0, 1, "it still waits");
}

/// A quota that was used up, or a write that referred to what was not there yet, had the side left alone as if it were down.
#[test]
fn what_never_left_is_no_failure_of_the_side() {
    let rig = crowded_rig();
    let told = Told::new(rig.world.engine(), vec![Outcome::NotYet(0); 1000]);
    let mut sender = None;
    for _ in 0..10 {
        stepped(&rig, &told, &mut sender);
        assert!(!sender.as_ref().is_some_and(Sender::is_paused), "after {} calls", told.calls().len());
        rig.world.clock.advance(60_000);
    }
    assert!(told.calls().len() > 10, "they are tried again: {:?}", told.calls());
    // Nor does it say that a side which is down is back.
    let mut outcomes = vec![Outcome::RetryAfter(0); 40];
    outcomes.extend(vec![Outcome::NotYet(0); 1000]);
    *told.outcomes.lock().expect("sound") = outcomes;
    while !sender.as_ref().is_some_and(Sender::is_paused) {
        stepped(&rig, &told, &mut sender);
        rig.world.clock.advance(10);
    }
    rig.world.clock.advance(600_000);
    *told.outcomes.lock().expect("sound") = vec![Outcome::NotYet(0); 1000];
    let before = told.calls().len();
    stepped(&rig, &told, &mut sender);
    assert!(told.calls()[before..].iter().all(|call| call == "write 1"), "{:?}", &told.calls()[before..]);
}

#[test]
fn a_side_that_fails_again_and_again_is_left_alone_and_then_tried_with_one_record() {
    let rig = crowded_rig();
    let told = Told::new(rig.world.engine(), vec![Outcome::RetryAfter(0); 1000]);
    let mut sender = None;
    for _ in 0..10 {
        stepped(&rig, &told, &mut sender);
        rig.world.clock.advance(100);
    }
    let before = told.calls().len();
    assert!(sender.as_ref().is_some_and(Sender::is_paused), "left alone after {before} calls");
    rig.world.clock.advance(120_000);
    stepped(&rig, &told, &mut sender);
    assert_eq!(told.calls()[before..], ["write 1"], "one record tries whether it is back");
}

/// A side on which every call dies.
struct Dies;

impl Connector for Dies {
    fn batch_most(&self) -> usize {
        10
    }

    fn deliver<'a>(&'a self, _: &'a [Write]) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async { panic!("a bug in a connector") })
    }

    fn read_back<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Vec<Result<Seen, ReadError>>> {
        Box::pin(async move { asks.iter().map(|_| Err(ReadError::RetryAfter(0))).collect() })
    }
}

#[test]
fn a_connector_that_panics_leaves_its_write_to_be_read_back() {
    let rig = waiting_rig();
    let side = SideName::new("portal").expect("a good name");
    let sender = Sender::new(rig.world.engine().clone(), side, Arc::new(Dies), Settings::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let stepped = runtime.block_on(sender.step()).expect("the store works");
    assert_eq!((stepped.unknown, stepped.unread), (1, 1));
}

#[test]
fn a_driver_that_runs_delivers_what_is_said_later_and_stops_when_told() {
    let mut rig = rig();
    let line: Arc<dyn Connector> = rig.world.place("portal").line.clone();
    let side = SideName::new("portal").expect("a good name");
    let sender = Sender::new(rig.world.engine().clone(), side, line, Settings::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut news = rig.world.engine().subscribe();
    runtime.block_on(async {
        let running = sender.run(stopped);
        let using = async {
            rig.edit("crm", &[("office", "Hill 1")]);
            rig.world.post_webhooks();
            rig.world.clock.advance(6);
            rig.world.hear().expect("the store works");
            while count(&rig.kinds(), Kind::Receipt) == 0 {
                news.changed().await.expect("the engine is open");
            }
            stop.send(true).expect("the driver listens");
        };
        let (ran, ()) = tokio::join!(running, using);
        ran.expect("the store works");
    });
    assert_eq!(rig.shows("portal", "office"), "Hill 1");
}

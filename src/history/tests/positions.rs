//! Reads as of a sequence and as of a time, hashes, and the feed.

use super::*;
use crate::{event::Detail, history::Position, id::Digest};

fn value_at(world: &World, position: Position) -> Option<String> {
    let view = world.reader().at(position).get("deal/1").expect("sound");
    view.map(|view| view.value("last").map_or_else(|| "-".to_owned(), Value::to_json))
}

#[test]
fn as_of_a_sequence_is_what_the_store_knew_then() {
    let world = World::new();
    world.say("crm", "cy", "14:03:00", r#"{"last":3}"#);
    world.say("crm", "ana", "14:01:00", r#"{"last":1}"#);
    world.say("crm", "di", "14:04:00", r#"{"last":4}"#);
    let values: Vec<_> = (0..=5).map(|seq| value_at(&world, Position::Seq(Seq(seq)))).collect();
    let due = [None, None, Some("3"), Some("3"), Some("4"), Some("4")].map(|value| value.map(str::to_owned));
    assert_eq!(values, due);
    assert_eq!(value_at(&world, Position::Now), due[5]);
}

#[test]
fn as_of_a_time_is_what_had_been_said_by_then() {
    let world = World::new();
    world.say("crm", "cy", "14:03:00", r#"{"last":3}"#);
    world.say("crm", "ana", "14:01:00", r#"{"last":1}"#);
    let value = |time: &str| value_at(&world, Position::Time(at(time)));
    assert_eq!(value("14:00:59.999"), None);
    assert_eq!(value("14:01:00").as_deref(), Some("1"));
    assert_eq!(value("14:03:00").as_deref(), Some("3"));
}

#[test]
fn as_of_a_time_goes_by_corrected_clocks() {
    let world = World::new();
    let mut clock = draft(Kind::Clock, "crm", "13:00:00");
    clock.record = RecordId::tenant();
    clock.detail = Detail::Clock(60_000);
    world.take(clock);
    world.say("crm", "bo", "14:01:00", r#"{"last":1}"#);
    assert_eq!(value_at(&world, Position::Time(at("14:00:00"))).as_deref(), Some("1"));
    assert_eq!(value_at(&world, Position::Time(at("13:59:59"))), None);
}

#[test]
fn rules_are_those_that_were_known_then() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"last":1}"#);
    world.say("portal", "ana", "14:01:00", r#"{"last":2}"#);
    // The clock that was measured later makes Ana's the older of the two.
    let mut clock = draft(Kind::Clock, "portal", "13:00:00");
    clock.record = RecordId::tenant();
    clock.detail = Detail::Clock(120_000);
    let measured = world.take(clock);
    assert_eq!(value_at(&world, Position::Now).as_deref(), Some("1"));
    assert_eq!(value_at(&world, Position::Seq(Seq(measured.0 - 1))).as_deref(), Some("2"));
    assert_eq!(value_at(&world, Position::Seq(measured)).as_deref(), Some("1"));
}

#[test]
fn a_name_taken_by_another_record_later_does_not_void_what_was_known_before() {
    let world = World::new();
    let number = world.say("crm", "bo", "14:00:00", r#"{"last":5}"#);
    world.said.set(number - 1);
    // The smaller content, under the same number, on another record.
    world.line("crm", &format!(r#""actor":"bo","record":"deal/0","at_ms":{},"set":{{"last":1}}"#, at("14:00:00").0));
    assert_eq!(value_at(&world, Position::Now), None, "the greater content is out of effect");
    assert_eq!(value_at(&world, Position::Seq(Seq(2))).as_deref(), Some("5"));
    assert_eq!(value_at(&world, Position::Seq(Seq(3))), None);
}

#[test]
fn every_answer_is_as_of_the_position() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"last":1}"#);
    world.say("portal", "ana", "14:01:00", r#"{"last":2}"#);
    let then = world.reader().at(Position::Seq(Seq(2)));
    assert_eq!(then.history("deal/1", None).expect("sound").expect("known").len(), 1);
    assert!(then.conflicts().expect("sound").is_empty() && world.reader().conflicts().expect("sound").len() == 1);
    let verdict = then.why("deal/1", "last").expect("sound").expect("known");
    assert_eq!((&*verdict.winner.author.id, verdict.others.len()), ("bo", 0));
    assert_eq!(then.blame("deal/1").expect("sound").expect("known")[0].seq, Seq(2));
    assert_eq!(then.changes_since(Seq(0), 9).expect("sound").1, Seq(2));
    assert_eq!(then.records().filter(Result::is_ok).count(), 1);
    let heard = |reader: &Reader| reader.staleness("deal/1", "portal").expect("sound").expect("known").heard_at;
    assert_eq!((heard(&then), heard(&world.reader())), (None, Some(at("14:01:00"))));
    assert_ne!(then.state_hash().expect("sound"), world.reader().state_hash().expect("sound"));
}

fn hashes(reader: &Reader) -> (Digest, Digest) {
    (reader.state_hash().expect("sound"), reader.verdict_hash().expect("sound"))
}

#[test]
fn records_come_once_and_in_order_wherever_they_are_held() {
    let dir = tempfile::tempdir().expect("a directory");
    // So little memory that most records are in derived state only.
    let builder = Engine::builder(dir.path().join("store")).manifest(MANIFEST).memory_bytes(20_000);
    let (engine, _) = builder.open().expect("the store opens");
    let drafts = (0..100).map(|number| {
        let mut draft = draft(Kind::Edit, "crm", "14:00:00");
        draft.record = RecordId::new(&format!("deal/{}", (number * 37) % 100 + 100)).expect("good");
        draft.words = vec![(crate::id::FieldName::new("last").expect("good"), json("1"))];
        draft
    });
    drafts.for_each(|draft| assert_eq!(engine.say(vec![draft]).expect("sound").len(), 1));
    let reader = engine.read(&Principal::operator());
    let ids: Vec<String> = reader.records().map(|view| view.expect("sound").record.to_string()).collect();
    let due: Vec<String> = (100..200).map(|number| format!("deal/{number}")).collect();
    assert_eq!(ids, due);
    let before = hashes(&reader);
    engine.checkpoint().expect("sound");
    assert_eq!(hashes(&reader), before);
}

#[test]
fn hashes_depend_on_what_is_said_and_not_on_its_order() {
    let say = |order: &[usize]| {
        let world = World::new();
        let lines = [("crm", "bo", r#"{"last":1,"hand":1}"#), ("portal", "ana", r#"{"last":2,"hand":null}"#)];
        for at in order {
            let (side, actor, set) = lines[*at];
            world.said.set(*at as u64);
            world.say(side, actor, &format!("14:0{at}:00"), set);
        }
        hashes(&world.reader())
    };
    assert_eq!(say(&[0, 1]), say(&[1, 0]));
    let (state, verdicts) = say(&[1]);
    // Only why it is so differs, not what it is: a cleared field is like one never set.
    assert_eq!(say(&[0, 1]).0, state);
    assert_ne!(say(&[0, 1]).1, verdicts);
    assert_eq!(state.to_string(), "c81335874d70d0793d5eded353a7fc83030ec65f5a0bd2814cc4c09242673dc2");
    assert_eq!(verdicts.to_string(), "371bd20e97a2f015023fe3b2e1b42fe561be12a1b0722a8cebf133807ae549cc");
}

#[test]
fn the_feed_goes_on_where_it_was_left() {
    let world = World::new();
    (1..=5).for_each(|number| {
        world.say("crm", "bo", &format!("14:0{number}:00"), &format!(r#"{{"last":{number}}}"#));
    });
    let (mut cursor, mut seqs) = (Seq(0), Vec::new());
    loop {
        let (changes, next) = world.reader().changes_since(cursor, 2).expect("sound");
        if changes.is_empty() {
            assert_eq!(next, cursor);
            break;
        }
        assert!(changes.len() <= 2);
        seqs.extend(changes.iter().map(|change| change.seq.0));
        cursor = next;
    }
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    assert_eq!(world.reader().changes_since(Seq(0), 0).expect("sound"), (vec![], Seq(0)));
    assert_eq!(world.reader().changes_since(Seq(99), 5).expect("sound"), (vec![], Seq(99)));
    let (first, _) = world.reader().changes_since(Seq(0), 1).expect("sound");
    assert_eq!((first[0].kind, &*first[0].record), (Kind::Manifest, ""));
}

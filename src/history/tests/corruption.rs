//! A damaged event fails the questions that need it, and no other.

use super::*;
use crate::engine::EngineError;

/// Flips a byte of the payload of the only event that says `text`.
fn damage(world: &World, text: &str) {
    let mut found = 0;
    for entry in std::fs::read_dir(world.store().join("log")).expect("a log") {
        let path = entry.expect("an entry").path();
        let mut bytes = std::fs::read(&path).expect("a file");
        let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect();
        places.iter().for_each(|at| bytes[*at] ^= 0x20);
        found += places.len();
        std::fs::write(&path, bytes).expect("written");
    }
    assert_eq!(found, 1, "{text} is in the log once");
}

#[test]
fn a_damaged_event_is_named_and_the_rest_can_be_read() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"last":"sound"}"#);
    world.say("crm", "bo", "14:01:00", r#"{"stage":"brittle"}"#);
    world.line("crm", &format!(r#""record":"deal/2","at_ms":{},"set":{{"last":"other"}}"#, at("14:00:00").0));
    damage(&world, "brittle");
    let reader = world.reader();
    let named = |why: EngineError| matches!(why, EngineError::Event { seq: Seq(3), .. });
    assert!(named(reader.history("deal/1", None).expect_err("damaged")));
    assert!(named(reader.why("deal/1", "stage").expect_err("damaged")));
    assert!(named(reader.blame("deal/1").expect_err("damaged")));
    let then = reader.clone().at(crate::history::Position::Time(at("14:00:30")));
    assert!(named(then.get("deal/1").expect_err("damaged")));

    assert_eq!(reader.get("deal/1").expect("sound").expect("known").value("stage"), Some(&Value::text("brittle")));
    assert!(reader.why("deal/1", "last").expect("sound").is_some());
    assert!(reader.history("deal/2", None).expect("sound").is_some());
    assert_eq!(reader.records().filter(Result::is_ok).count(), 2);
    assert!(reader.state_hash().is_ok());
}

#[test]
fn the_feed_tells_what_is_before_the_damage_then_names_it_then_goes_on() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"last":"sound"}"#);
    world.say("crm", "bo", "14:01:00", r#"{"last":"brittle"}"#);
    world.say("crm", "bo", "14:02:00", r#"{"last":"after"}"#);
    damage(&world, "brittle");
    let (changes, cursor) = world.reader().changes_since(Seq(0), 9).expect("sound");
    assert_eq!((changes.len(), cursor), (2, Seq(2)));
    let why = world.reader().changes_since(cursor, 9).expect_err("damaged");
    assert!(std::error::Error::source(&why).is_some_and(|why| why.to_string().contains("entries 3 to 3")), "{why:?}");
    let (changes, _) = world.reader().changes_since(Seq(3), 9).expect("sound");
    assert_eq!(changes.iter().map(|change| change.seq).collect::<Vec<_>>(), [Seq(4)]);
}

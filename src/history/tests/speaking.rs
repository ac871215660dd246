//! Edits on a version, and decisions.

use super::*;
use crate::{
    engine::EngineError,
    event::Author,
    history::{Decision, Edit},
    id::FieldName,
};

fn edit(side: &str, field: &str, value: &str) -> Edit {
    let (record, side) = (RecordId::new("deal/1").expect("good"), SideName::new(side).expect("good"));
    Edit::of(record, side).set(FieldName::new(field).expect("good"), json(value))
}

fn causes(why: &EngineError) -> String {
    let mut text = why.to_string();
    let mut cause = std::error::Error::source(why);
    while let Some(why) = cause {
        text = format!("{text}: {why}");
        cause = why.source();
    }
    text
}

#[test]
fn an_edit_on_a_version_supersedes_exactly_what_was_in_it() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"last":1,"first":1}"#);
    let version = world.reader().get("deal/1").expect("sound").expect("known").version;
    world.say("crm", "bo", "14:01:00", r#"{"last":2}"#);
    let mut seen = edit("portal", "last", "3").seen(&*version).by(Author::user("ana"));
    seen.at = Some(at("14:00:30"));
    seen.set.push((FieldName::new("first").expect("good"), json("3")));
    world.engine.edit(&Principal::operator(), seen).expect("taken");
    let verdict = world.verdict("last");
    assert_eq!((verdict.value, verdict.others.len()), (json("2"), 1), "the later edit was not seen");
    let verdict = world.verdict("first");
    assert_eq!((verdict.value, verdict.others.len()), (json("3"), 0));
}

#[test]
fn an_edit_without_a_version_knows_what_its_side_knows() {
    let world = World::new();
    world.clock.set(at("14:00:00"));
    world.engine.edit(&Principal::operator(), edit("crm", "last", "1")).expect("taken");
    world.clock.set(at("14:01:00"));
    world.engine.edit(&Principal::operator(), edit("crm", "last", "2")).expect("taken");
    world.engine.edit(&Principal::operator(), edit("portal", "last", "0")).expect("taken");
    let verdict = world.verdict("last");
    assert_eq!(verdict.others.len(), 1, "the side's own first word is superseded");
    assert_eq!(verdict.winner.said_at, at("14:01:00"));
}

#[test]
fn a_token_of_another_record_or_a_broken_one_is_refused() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"last":1}"#);
    world.line("crm", &format!(r#""record":"deal/2","at_ms":{},"set":{{"last":1}}"#, at("14:00:00").0));
    let token = |id: &str| world.reader().get(id).expect("sound").expect("known").version;
    let (own, other) = (token("deal/1"), token("deal/2"));
    assert!(world.engine.edit(&Principal::operator(), edit("portal", "last", "2").seen(&*own)).is_ok());
    let flipped = own.replace("v1-", "v1-0").split_at(own.len()).0.to_owned();
    for bad in [&*other, "", "v1-", "nonsense", &own[..own.len() - 2], &own[1..], &flipped] {
        let why =
            world.engine.edit(&Principal::operator(), edit("portal", "last", "3").seen(bad)).expect_err("a bad token");
        assert!(matches!(why, EngineError::Version { .. }), "{bad}: {why}");
        assert_eq!(why.to_string(), "this is no version token of deal/1");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"hand":1,"most":1}"#);
    let refused = |edit: Edit| causes(&world.engine.edit(&Principal::operator(), edit).expect_err("it does not fit"));
    let start = "deal/1 cannot be changed like this: ";
    assert_eq!(refused(edit("crm", "most", r#""x""#)), format!("{start}the value of most is a text, not a number"));
    assert_eq!(refused(edit("crm", "nope", "1")), format!("{start}there is no field nope of kind deal to write"));
    let unfit = "the statement about deal/1 does not fit the manifest: ";
    assert!(refused(edit("sap", "last", "1")).starts_with(&format!("{unfit}there is no side sap")));
    let twice = edit("crm", "last", "1").set(FieldName::new("last").expect("good"), json("2"));
    assert_eq!(refused(twice), format!("{start}the field last is set twice"));
    assert!(refused(edit("crm", crate::rulebook::EXISTENCE, "true")).contains("there is no field"));
    let decide = |record: &str, field: &str, value: &str| {
        let decided = world.engine.decide(
            &Principal::operator(),
            Decision::of(record, field, json(value)).by(Author::user("eva")).because(""),
        );
        causes(&decided.expect_err("nothing to decide"))
    };
    assert_eq!(decide("deal/9", "hand", "1"), "there is nothing to decide: nobody has said anything of hand of deal/9");
    assert!(decide("deal/1", "last", "1").starts_with("there is nothing to decide"));
    assert!(decide("deal/1", "most", r#""x""#).contains("the value of most is a text"));
    assert_eq!(decide("nonsense", "hand", "1"), "the name \"nonsense\" has no kind: a record id is KIND/ID");
    assert_eq!(world.history(None).len(), 2, "nothing of it was logged");
}

#[test]
fn a_decision_that_could_not_know_of_a_later_edit_does_not_undo_it() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"hand":1}"#);
    world.say("portal", "ana", "14:01:00", r#"{"hand":2}"#);
    world.clock.set(at("15:00:00"));
    world
        .engine
        .decide(
            &Principal::operator(),
            Decision::of("deal/1", "hand", json("3")).by(Author::user("eva")).because("neither"),
        )
        .expect("a decision");
    assert_eq!(world.verdict("hand").value, json("3"));
    world.say("crm", "bo", "14:30:00", r#"{"hand":4}"#);
    let verdict = world.verdict("hand");
    assert!(verdict.disputed && verdict.others.len() == 1);
    assert!(verdict.sentence.contains("eva decided on 2026-05-01 15:00:00 UTC that it is 3"), "{}", verdict.sentence);
}

#[test]
fn deciding_a_field_of_a_deleted_record_does_not_bring_it_back() {
    let world = World::new();
    let rest = |kind: &str, time: &str, set: &str| {
        format!(r#""actor":"bo","record":"deal/1","at_ms":{},"kind":"{kind}","set":{set}"#, at(time).0)
    };
    world.line("crm", &rest("create", "14:00:00", r#"{"hand":1}"#));
    let seen = world.reader().get("deal/1").expect("sound").expect("known").version;
    world.engine.edit(&Principal::operator(), edit("portal", "hand", "2").seen(seen)).expect("taken");
    world.line("crm", &rest("edit", "14:01:00", r#"{"hand":3}"#));
    world.line("crm", &rest("delete", "14:02:00", "{}"));
    world
        .engine
        .decide(
            &Principal::operator(),
            Decision::of("deal/1", "existence", json("false")).by(Author::user("eva")).because(""),
        )
        .expect("a decision");
    let existence = || world.reader().get("deal/1").expect("sound").expect("known").existence;
    assert_eq!(existence(), crate::merge::Existence::Deleted);
    world
        .engine
        .decide(&Principal::operator(), Decision::of("deal/1", "hand", json("1")).by(Author::user("eva")).because(""))
        .expect("a decision");
    assert_eq!(existence(), crate::merge::Existence::Deleted);
}

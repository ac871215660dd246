//! The sentence of each verdict, word by word.

use super::*;
use crate::{
    event::{Author, AuthorKind, Detail},
    history::Decision,
    id::FieldName,
    merge::Reason,
};

/// Ana and Bo edit a field without knowing of each other, Bo three minutes later.
fn two(field: &str, ana: &str, bo: &str) -> World {
    let world = World::new();
    world.say("portal", "ana", "14:09:10", &format!(r#"{{"{field}":{ana}}}"#));
    world.say("crm", "bo", "14:12:03", &format!(r#"{{"{field}":{bo}}}"#));
    world
}

#[test]
fn authority_names_the_side_that_has_the_last_word() {
    let world = two("stage", r#""lost""#, r#""won""#);
    let due = r#"stage is "won": bo set it in crm on 2026-05-01 14:12:03 UTC, while ana set "lost" in portal on 2026-05-01 14:09:10 UTC without knowing of it; crm has the last word on this field."#;
    let verdict = world.verdict("stage");
    assert_eq!(verdict.sentence, due);
    assert_eq!((verdict.rule.as_str(), verdict.reason, verdict.disputed), ("authority: crm", Reason::Authority, false));
    assert_eq!((verdict.winner.author.id.as_ref(), verdict.others[0].author.id.as_ref()), ("bo", "ana"));
    assert_eq!(verdict.winner.seq, Seq(3));
}

#[test]
fn one_word_stands_alone() {
    let world = World::new();
    world.say("portal", "ana", "14:09:10", r#"{"last":"x"}"#);
    assert_eq!(
        world.why("last"),
        r#"last is "x": ana set it in portal on 2026-05-01 14:09:10 UTC; no other edit stands against it."#
    );
}

#[test]
fn a_cleared_field_is_empty() {
    let world = two("last", r#""x""#, "null");
    assert_eq!(
        world.why("last"),
        r#"last is empty: bo cleared it in crm on 2026-05-01 14:12:03 UTC, while ana set "x" in portal on 2026-05-01 14:09:10 UTC without knowing of it; on this field the newest edit counts."#
    );
    let world = two("first", r#""x""#, "null");
    assert_eq!(
        world.why("first"),
        r#"first is "x": ana set it in portal on 2026-05-01 14:09:10 UTC, while bo cleared it in crm on 2026-05-01 14:12:03 UTC without knowing of it; on this field the oldest edit counts."#
    );
}

#[test]
fn those_who_say_the_same_agree() {
    let world = two("last", "7", "7");
    let verdict = world.verdict("last");
    assert_eq!(
        verdict.sentence,
        "last is 7: bo set it in crm on 2026-05-01 14:12:03 UTC, and ana set the same in portal on 2026-05-01 14:09:10 UTC; they agree."
    );
    assert_eq!(verdict.others.len(), 1);
    let world = two("last", "null", "null");
    assert_eq!(
        world.why("last"),
        "last is empty: bo cleared it in crm on 2026-05-01 14:12:03 UTC, and ana cleared it too in portal on 2026-05-01 14:09:10 UTC; they agree."
    );
}

#[test]
fn without_a_word_of_the_authority_the_newest_counts() {
    let world = World::new();
    world.say("portal", "ana", "14:09:10", r#"{"stage":"lost"}"#);
    world.say("erp", "cy", "14:12:03", r#"{"stage":"open"}"#);
    assert_eq!(
        world.why("stage"),
        r#"stage is "open": cy set it in erp on 2026-05-01 14:12:03 UTC, while ana set "lost" in portal on 2026-05-01 14:09:10 UTC without knowing of it; crm has the last word on this field but said neither of these, so the newest edit counts."#
    );
}

#[test]
fn among_edits_of_the_authority_its_newest_counts() {
    let world = World::new();
    let first = world.say("crm", "ana", "14:00:00", r#"{"stage":"a"}"#);
    world.say_on(&[first], "crm", "bo", "14:01:00", r#"{"stage":"b"}"#);
    world.say_on(&[first], "crm", "cy", "14:02:00", r#"{"stage":"c"}"#);
    assert_eq!(
        world.why("stage"),
        r#"stage is "c": cy set it in crm on 2026-05-01 14:02:00 UTC, while bo set "b" in crm on 2026-05-01 14:01:00 UTC without knowing of it; crm has the last word on this field, and its newest edit counts."#
    );
}

#[test]
fn the_greatest_and_the_smallest_count_by_value() {
    let world = two("most", "10", "9.5");
    assert_eq!(
        world.why("most"),
        "most is 10: ana set it in portal on 2026-05-01 14:09:10 UTC, while bo set 9.5 in crm on 2026-05-01 14:12:03 UTC without knowing of it; on this field the greatest value counts."
    );
    let world = two("least", "10", "9.5");
    assert_eq!(
        world.why("least"),
        "least is 9.5: bo set it in crm on 2026-05-01 14:12:03 UTC, while ana set 10 in portal on 2026-05-01 14:09:10 UTC without knowing of it; on this field the smallest value counts."
    );
}

#[test]
fn what_a_person_has_to_decide_says_how() {
    let world = two("hand", r#""lost""#, r#""won""#);
    let verdict = world.verdict("hand");
    assert_eq!(
        verdict.sentence,
        r#"hand is undecided: bo set "won" in crm on 2026-05-01 14:12:03 UTC and ana set "lost" in portal on 2026-05-01 14:09:10 UTC, neither knowing of the other; both sides keep what they show until a person decides with `syncline decide deal/1 hand VALUE`, and reads give the newest, "won"."#
    );
    assert!(verdict.disputed);
}

#[test]
fn a_decision_names_who_why_and_what_was_settled() {
    let world = two("hand", r#""lost""#, r#""won""#);
    world.clock.set(at("15:00:00"));
    let decided = world.engine.decide(
        &Principal::operator(),
        Decision::of("deal/1", "hand", json(r#""won""#)).by(Author::user("eva")).because("customer called"),
    );
    decided.expect("a decision");
    let verdict = world.verdict("hand");
    assert_eq!(
        verdict.sentence,
        r#"hand is "won": eva decided so on 2026-05-01 15:00:00 UTC ("customer called"), after bo set "won" in crm on 2026-05-01 14:12:03 UTC and ana set "lost" in portal on 2026-05-01 14:09:10 UTC."#
    );
    assert_eq!(verdict.others.len(), 2);
    assert!(!verdict.disputed && world.reader().conflicts().expect("sound").is_empty());
}

#[test]
fn counters_say_what_each_added() {
    let world = World::new();
    let first = world.say("crm", "ana", "14:00:00", r#"{"visits":5}"#);
    world.say_on(&[first], "crm", "bo", "14:01:00", r#"{"visits":7}"#);
    world.say_on(&[first], "portal", "cy", "14:02:00", r#"{"visits":4}"#);
    assert_eq!(
        world.why("visits"),
        "visits is 6: cy took away 1 in portal on 2026-05-01 14:02:00 UTC and bo added 2 in crm on 2026-05-01 14:01:00 UTC, neither knowing of the other; on this field changes are added up."
    );
}

#[test]
fn sets_say_what_each_added_and_removed() {
    let world = World::new();
    let first = world.say("crm", "ana", "14:00:00", r#"{"tags":["a","b"]}"#);
    world.say_on(&[first], "crm", "bo", "14:01:00", r#"{"tags":["b","c","d"]}"#);
    world.say_on(&[first], "portal", "cy", "14:02:00", r#"{"tags":["a"]}"#);
    assert_eq!(
        world.why("tags"),
        r#"tags is ["c","d"]: cy removed "b" in portal on 2026-05-01 14:02:00 UTC and bo added "c" and "d" and removed "a" in crm on 2026-05-01 14:01:00 UTC, neither knowing of the other; on this field what was added and removed is put together."#
    );
}

#[test]
fn texts_say_who_wrote_what() {
    let world = World::new();
    let first = world.say("crm", "ana", "14:00:00", r#"{"notes":"one"}"#);
    world.say_on(&[first], "crm", "bo", "14:01:00", r#"{"notes":"zero one"}"#);
    world.say_on(&[first], "portal", "cy", "14:02:00", r#"{"notes":"one two"}"#);
    assert_eq!(
        world.why("notes"),
        r#"notes is "zero one two": cy wrote "one two" in portal on 2026-05-01 14:02:00 UTC and bo wrote "zero one" in crm on 2026-05-01 14:01:00 UTC, neither knowing of the other; on this field texts are merged character by character."#
    );
}

#[test]
fn equal_times_say_what_decides_then() {
    let tie = |field: &str| {
        let world = World::new();
        world.say("crm", "bo", "14:00:00", &format!(r#"{{"{field}":"won"}}"#));
        world.say("portal", "ana", "14:00:00", &format!(r#"{{"{field}":"lost"}}"#));
        world.why(field)
    };
    let (ana, bo) = (
        r#""lost": ana set it in portal on 2026-05-01 14:00:00 UTC, while bo set "won" in crm on 2026-05-01 14:00:00 UTC"#,
        r#""won": bo set it in crm on 2026-05-01 14:00:00 UTC, while ana set "lost" in portal on 2026-05-01 14:00:00 UTC"#,
    );
    let rest = "without knowing of it; on this field the";
    assert_eq!(
        tie("last"),
        format!(
            "last is {ana} {rest} newest edit counts, and at equal times that of the side whose name is last in the alphabet."
        )
    );
    assert_eq!(tie("last_crm"), format!("last_crm is {bo} {rest} newest edit counts, and at equal times crm's."));
    assert_eq!(
        tie("first"),
        format!(
            "first is {ana} {rest} oldest edit counts, and at equal times that of the side whose name is last in the alphabet."
        )
    );
    assert_eq!(tie("first_crm"), format!("first_crm is {bo} {rest} oldest edit counts, and at equal times crm's."));
}

#[test]
fn more_than_three_losers_are_counted() {
    let world = World::new();
    let first = world.say("crm", "ana", "14:00:00", r#"{"last":0}"#);
    for minute in 1..=6 {
        let time = format!("14:0{minute}:00");
        world.say_on(&[first], "crm", &format!("u{minute}"), &time, &format!(r#"{{"last":{minute}}}"#));
    }
    let verdict = world.verdict("last");
    assert_eq!(
        verdict.sentence,
        "last is 6: u6 set it in crm on 2026-05-01 14:06:00 UTC, while u5 set 5 in crm on 2026-05-01 14:05:00 UTC, u4 set 4 in crm on 2026-05-01 14:04:00 UTC, u3 set 3 in crm on 2026-05-01 14:03:00 UTC and 2 more did otherwise, none of them knowing of it; on this field the newest edit counts."
    );
    assert_eq!(verdict.others.len(), 5);
}

#[test]
fn losers_who_said_the_same_are_no_losers() {
    let world = two("last", "1", "2");
    world.say("erp", "cy", "14:11:00", r#"{"last":2}"#);
    assert_eq!(
        world.why("last"),
        "last is 2: bo set it in crm on 2026-05-01 14:12:03 UTC, and cy set the same in erp on 2026-05-01 14:11:00 UTC, while ana set 1 in portal on 2026-05-01 14:09:10 UTC without knowing of it; on this field the newest edit counts."
    );
}

#[test]
fn authors_are_named_as_well_as_the_side_does() {
    let said = |kind: AuthorKind, id: &str, contact: Option<&str>| {
        let world = World::new();
        let mut draft = draft(Kind::Edit, "crm", "14:00:00");
        draft.words = vec![(FieldName::new("last").expect("a name"), json("1"))];
        draft.author = Author { kind, id: id.into(), contact: contact.map(Into::into), company: None };
        world.take(draft);
        let why = world.why("last");
        why["last is 1: ".len()..why.find(" set it").expect("told")].to_owned()
    };
    assert_eq!(said(AuthorKind::Unnamed, "", None), "someone");
    assert_eq!(said(AuthorKind::User, "ana", Some("contact/7")), "ana (for contact/7)");
    assert_eq!(said(AuthorKind::Integration, "forms", None), "the integration forms");
    assert_eq!(said(AuthorKind::System, "", None), "crm itself");
    assert_eq!(said(AuthorKind::System, "workflow 9", None), "crm itself (workflow 9)");
}

#[test]
fn long_values_are_cut_and_times_are_as_fine_as_needed() {
    let world = World::new();
    let long = "ä".repeat(70);
    world.say("portal", "ana", "14:00:00.250", &format!(r#"{{"last":"{long}"}}"#));
    world.say("crm", "bo", "14:00:00.750", &format!(r#"{{"last":["{long}"]}}"#));
    let (text, list) = ("ä".repeat(60), "ä".repeat(58));
    assert_eq!(
        world.why("last"),
        format!(
            r#"last is ["{list}…: bo set it in crm on 2026-05-01 14:00:00.75 UTC, while ana set "{text}…" in portal on 2026-05-01 14:00:00.25 UTC without knowing of it; on this field the newest edit counts."#
        )
    );
}

#[test]
fn a_rule_that_has_changed_since_is_named() {
    let world = two("stage", r#""lost""#, r#""won""#);
    world.clock.set(at("16:00:00"));
    let changed =
        MANIFEST.replace("stage: { type: string, rule: { authority: crm } }", "stage: { type: string, rule: manual }");
    assert!(world.engine.apply_manifest(&changed).expect("a good manifest"));
    assert_eq!(
        world.why("stage"),
        r#"stage is "won": bo set it in crm on 2026-05-01 14:12:03 UTC, while ana set "lost" in portal on 2026-05-01 14:09:10 UTC without knowing of it; crm has the last word on this field (this was judged by the rule of its time, "authority: crm"; today's is "manual")."#
    );
}

#[test]
fn a_clock_that_was_off_is_told() {
    let world = World::new();
    world.say("crm", "bo", "14:00:10", r#"{"last":1}"#);
    let mut clock = draft(Kind::Clock, "crm", "13:00:00");
    clock.record = RecordId::tenant();
    clock.detail = Detail::Clock(60_000);
    world.take(clock);
    world.say("portal", "ana", "14:00:00", r#"{"last":2}"#);
    assert_eq!(
        world.why("last"),
        "last is 2: ana set it in portal on 2026-05-01 14:00:00 UTC, while bo set 1 in crm on 2026-05-01 13:59:10 UTC (its own clock showed 2026-05-01 14:00:10 UTC) without knowing of it; on this field the newest edit counts."
    );
}

#[test]
fn existence_has_its_own_sentences() {
    let say = |record: &str, kind: &str, side: &str, actor: &str, time: &str, world: &World| {
        let at = at(time).0;
        let rest =
            format!(r#""actor":"{actor}","record":"{record}","at_ms":{at},"kind":"{kind}","set":{{"last":"{actor}"}}"#);
        let rest = if kind == "delete" { rest.replace(&format!(r#""last":"{actor}""#), "") } else { rest };
        world.line(side, &rest);
    };
    let why =
        |record: &str, world: &World| world.reader().why(record, "existence").expect("sound").expect("known").sentence;
    let world = World::new();
    for record in ["deal/1", "deal/2", "lead/1", "task/1"] {
        say(record, "create", "crm", "bo", "14:00:00", &world);
    }
    assert_eq!(
        why("deal/1", &world),
        "deal/1 exists: bo made it in crm on 2026-05-01 14:00:00 UTC; nobody has deleted it since."
    );
    for record in ["deal/1", "deal/2", "lead/1", "task/1"] {
        say(record, "delete", "crm", "bo", "14:05:00", &world);
    }
    assert_eq!(
        why("deal/2", &world),
        "deal/2 is deleted: bo deleted it in crm on 2026-05-01 14:05:00 UTC; no other edit stands against it."
    );
    for record in ["deal/1", "lead/1", "task/1"] {
        say(record, "edit", "portal", "ana", "14:03:00", &world);
    }
    let both = "bo deleted it in crm on 2026-05-01 14:05:00 UTC, while ana edited it in portal on 2026-05-01 14:03:00 UTC without knowing of that";
    assert_eq!(
        why("deal/1", &world),
        format!(
            "whether deal/1 exists is undecided: {both}; all sides keep what they show until a person decides with `syncline decide deal/1 existence true` or `false`."
        )
    );
    assert_eq!(why("task/1", &world), format!("task/1 is deleted: {both}; here deleting counts more than editing."));
    assert_eq!(
        why("lead/1", &world),
        "lead/1 exists although bo deleted it in crm on 2026-05-01 14:05:00 UTC: ana edited it in portal on 2026-05-01 14:03:00 UTC without knowing of that; here editing counts more than deleting."
    );
    let disputed = world.reader().conflicts().expect("sound");
    let open: Vec<_> = disputed.iter().filter(|verdict| verdict.disputed).map(|v| (&*v.record, &*v.field)).collect();
    assert_eq!(open, [("deal/1", "existence")]);
    world
        .engine
        .decide(
            &Principal::operator(),
            Decision::of("deal/1", "existence", json("false")).by(Author::user("eva")).because("a duplicate"),
        )
        .expect("a decision");
    assert_eq!(
        why("deal/1", &world),
        r#"deal/1 is deleted: eva decided on 2026-05-01 08:00:00 UTC ("a duplicate") that it does not exist; no other edit stands against it."#
    );
}

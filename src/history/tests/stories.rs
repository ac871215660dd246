//! What was said, in order, and what became of each word; who is to blame; which sides lag behind.

use super::*;
use crate::{
    event::Detail,
    id::FieldName,
    send::{Outcome, Receipt},
};

fn word(name: &str, value: &str) -> (FieldName, Value) {
    (FieldName::new(name).expect("a name"), json(value))
}

#[test]
fn a_story_is_told_in_the_order_of_edits_not_of_their_arrival() {
    let world = World::new();
    world.say("crm", "cy", "14:03:00", r#"{"last":3}"#);
    world.say("crm", "ana", "14:01:00", r#"{"last":1,"stage":"x"}"#);
    world.say("crm", "bo", "14:02:00", r#"{"last":2}"#);
    let due = ["ana last null>1 Superseded", "bo last 1>2 Superseded", "cy last 2>3 Wins"];
    assert_eq!(world.story(Some("last")), due);
    assert_eq!(world.story(None).len(), 4);
    assert_eq!(world.story(Some("nothing")), Vec::<String>::new());
}

#[test]
fn no_clock_puts_an_event_before_what_it_names() {
    let world = World::new();
    let first = world.say_on(&[], "crm", "ana", "14:03:00", r#"{"last":1}"#);
    let second = world.say_on(&[first], "portal", "bo", "14:01:00", r#"{"last":2}"#);
    world.say_on(&[second], "crm", "cy", "14:02:00", r#"{"last":3}"#);
    let due = ["ana last null>1 Superseded", "bo last 1>2 Superseded", "cy last 2>3 Wins"];
    assert_eq!(world.story(Some("last")), due);
}

#[test]
fn losers_are_overruled_and_those_who_agree_win() {
    let world = World::new();
    world.say("portal", "ana", "14:09:10", r#"{"stage":"lost","visits":1}"#);
    world.say("crm", "bo", "14:12:03", r#"{"stage":"won","visits":2}"#);
    world.say("erp", "cy", "14:13:00", r#"{"stage":"won"}"#);
    let due = [r#"ana stage null>"lost" Overruled"#, r#"bo stage "lost">"won" Wins"#, r#"cy stage "won">"won" Wins"#];
    assert_eq!(world.story(Some("stage")), due);
    // Both are in the sum.
    assert_eq!(world.story(Some("visits")), ["ana visits null>1 Wins", "bo visits 1>2 Wins"]);
}

#[test]
fn words_that_do_not_count_say_why() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"tier":"gold"}"#);
    world.say("portal", "ana", "14:01:00", r#"{"tier":"free"}"#);
    let due = [r#"bo tier null>"gold" Wins"#, r#"ana tier "gold">"free" NotCounted"#];
    assert_eq!(world.story(Some("tier")), due);
    let later = world.said.get() + 2;
    let waits = world.say_on(&[later], "crm", "cy", "14:02:00", r#"{"tier":"late"}"#);
    assert_eq!(world.story(Some("tier"))[2], r#"cy tier "gold">"late" Waits"#);
    assert_eq!(world.story(Some("tier"))[..2], due, "also when the story is folded");
    let named = world.say_on(&[], "crm", "di", "13:59:00", r#"{"tier":"base"}"#);
    assert_eq!((named, world.story(Some("tier")).len()), (waits + 1, 4));
    assert!(!world.story(Some("tier")).iter().any(|told| told.ends_with("Waits")));
}

#[test]
fn of_one_statement_with_two_contents_one_copy_counts() {
    let world = World::new();
    let number = world.say("crm", "ana", "14:00:00", r#"{"last":2}"#);
    world.said.set(number - 1);
    world.say("crm", "bo", "14:00:00", r#"{"last":1}"#);
    let told = world.story(Some("last"));
    assert_eq!(told, ["ana last null>2 OtherCopy", "bo last null>1 Wins"]);
}

#[test]
fn echoes_are_told_from_edits() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"last":1}"#);
    world.clock.set(at("14:00:01"));
    let (writes, _) = world.engine.due("app", 10).expect("sound");
    let stale = world.reader().staleness("deal/1", "app").expect("sound").expect("known");
    assert_eq!((stale.waits, stale.in_flight, stale.heard_at), (true, 1, None));
    let receipt = Receipt { at: Some(at("14:00:02")), ..Receipt::default() };
    let outcome = writes.into_iter().map(|write| (write, Outcome::Applied(receipt.clone()))).collect();
    world.engine.outcome(outcome).expect("sound");
    let mut echo = draft(Kind::Edit, "app", "14:00:03");
    echo.words = vec![word("last", "1")];
    world.take(echo.clone());
    echo.said_at = at("14:00:04");
    echo.author = crate::event::Author::user("di");
    world.take(echo);
    let told: Vec<String> =
        world.history(Some("last")).iter().map(|c| format!("{:?} {:?}", c.kind, c.standing)).collect();
    assert_eq!(told, ["Edit Superseded", "Sent Engine", "Receipt Engine", "Edit Echo", "Edit Wins"]);
    let sent = world.history(Some("last"))[1].detail.clone().expect("a write has a key");
    assert!(sent.starts_with("write "), "{sent}");
}

#[test]
fn staleness_says_what_a_side_has_not_got() {
    let world = World::new();
    let of = |side: &str| world.reader().staleness("deal/1", side).expect("sound").expect("known");
    let names = |fields: &[FieldName]| fields.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let mut made = draft(Kind::Create, "app", "14:00:00");
    made.words =
        vec![word(crate::rulebook::EXISTENCE, "true"), word("last", "1"), word("stage", r#""a""#), word("hand", "1")];
    world.take(made);
    let stale = of("app");
    assert_eq!((stale.heard_at, stale.waits, stale.differs.len()), (Some(at("14:00:00")), false, 0));
    world.say("crm", "bo", "14:01:00", r#"{"last":2,"stage":"b","hand":2}"#);
    let stale = of("app");
    assert_eq!((stale.waits, stale.in_flight), (true, 0));
    assert_eq!(names(&stale.differs), ["hand", "last", "stage"]);
    let (writes, _) = world.engine.due("app", 10).expect("sound");
    let refused = Outcome::Refused { reason: "no such stage".to_owned(), fields: Vec::new() };
    world.engine.outcome(writes.into_iter().map(|write| (write, refused.clone())).collect()).expect("sound");
    let stale = of("app");
    assert_eq!((stale.waits, stale.in_flight), (false, 0));
    assert_eq!(names(&stale.parked), ["last", "stage"]);
    assert_eq!(names(&stale.differs), ["hand", "last", "stage"]);
    assert_eq!(of("crm").heard_at, Some(at("14:01:00")));
    assert_eq!(world.reader().staleness("deal/9", "app").expect("sound"), None);
}

#[test]
fn a_view_says_which_sides_show_a_value() {
    let world = World::new();
    let mut made = draft(Kind::Create, "app", "14:00:00");
    made.words = vec![word(crate::rulebook::EXISTENCE, "true"), word("last", "1"), word("hand", "1")];
    world.take(made);
    world.say("crm", "bo", "14:01:00", r#"{"last":2,"hand":null}"#);
    let view = world.reader().get("deal/1").expect("sound").expect("known");
    let names: Vec<&str> = view.fields.iter().map(|field| &*field.name).collect();
    assert_eq!(names, ["hand", "last"], "existence is not among them");
    let shown = |field: &str| view.field(field).expect("there").shown_on.len();
    assert_eq!((shown("last"), shown("hand")), (0, 0));
    let hand = view.field("hand").expect("there");
    assert!(hand.conflict && hand.disputed && hand.value.is_null());
    world.say("crm", "bo", "14:02:00", r#"{"last":1}"#);
    let view = world.reader().get("deal/1").expect("sound").expect("known");
    assert_eq!(view.field("last").expect("there").shown_on, [SideName::new("app").expect("good")]);
}

#[test]
fn blame_names_the_last_word_on_each_field() {
    let world = World::new();
    let mut made = draft(Kind::Create, "crm", "14:00:00");
    made.words = vec![word(crate::rulebook::EXISTENCE, "true"), word("last", "1"), word("stage", r#""a""#)];
    made.author = crate::event::Author::user("bo");
    let first = world.take(made);
    world.say("crm", "ana", "14:01:00", r#"{"last":2}"#);
    let blame = world.reader().blame("deal/1").expect("sound").expect("known");
    let told: Vec<String> =
        blame.iter().map(|b| format!("{} {} {}", b.field, b.author.id, b.seq.0 - first.0)).collect();
    assert_eq!(told, ["last ana 1", "stage bo 0", "existence bo 0"]);
    let story = world.history(Some("existence"));
    assert_eq!((story.len(), &*story[0].field, story[0].id), (1, "existence", blame[2].id));
}

#[test]
fn events_without_fields_are_part_of_the_story() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"last":1}"#);
    let mut joined = draft(Kind::Associate, "crm", "14:01:00");
    joined.detail = Detail::Other { record: RecordId::new("company/7").expect("good"), label: "buyer".to_owned() };
    world.take(joined);
    let story = world.history(None);
    assert_eq!((&*story[1].field, story[1].detail.as_deref()), ("association", Some("company/7 (buyer)")));
}

#[test]
fn nobody_is_told_of_records_that_are_not_there() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00", r#"{"last":1}"#);
    for id in ["deal/2", "", "no kind", "deal/\u{1}"] {
        let reader = world.reader();
        assert_eq!(reader.get(id).expect("sound"), None);
        assert_eq!(reader.history(id, None).expect("sound"), None);
        assert_eq!(reader.why(id, "last").expect("sound"), None);
        assert_eq!(reader.blame(id).expect("sound"), None);
    }
    assert_eq!(world.reader().why("deal/1", "stage").expect("sound"), None);
}

fn print(answer: &impl serde::Serialize) -> String {
    serde_json::to_string(answer).expect("it prints")
}

#[test]
fn answers_print_as_plain_json() {
    let world = World::new();
    world.say("crm", "bo", "14:00:00.5", r#"{"last":{"n":9007199254740993}}"#);
    let view = world.reader().get("deal/1").expect("sound").expect("known");
    let version = view.version.clone();
    assert_eq!(
        print(&view),
        format!(
            r#"{{"record":"deal/1","existence":"alive","fields":[{{"name":"last","value":{{"n":9007199254740993}},"side":"crm","author":{{"kind":"user","id":"bo","contact":null,"company":null}},"said_at":"2026-05-01T14:00:00.5Z","said_at_ms":1777644000500,"reason":"only","conflict":false,"disputed":false,"shown_on":[]}}],"version":"{version}"}}"#
        )
    );
    let change = &world.history(None)[0];
    let text = print(change);
    assert!(text.contains(&format!(r#""id":"{}","kind":"edit""#, change.id)), "{text}");
    assert!(text.contains(r#""heard_at":"2026-05-01T08:00:00Z","heard_at_ms":1777622400000"#), "{text}");
    assert!(text.contains(r#""old":null,"new":{"n":9007199254740993},"standing":"wins","detail":null"#), "{text}");
    let (changes, _) = world.reader().changes_since(Seq(1), 9).expect("sound");
    assert!(print(&changes[0]).ends_with(r#""fields":{"last":{"n":9007199254740993}}}"#));
    let stale = world.reader().staleness("deal/1", "erp").expect("sound").expect("known");
    assert!(print(&stale).starts_with(r#"{"heard_at":null,"heard_at_ms":null,"waits":false"#));
}

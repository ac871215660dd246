//! What is not believed of a portal's messages.

use syncline::{clock::Clock, history::Principal};

use super::*;

#[test]
fn a_message_that_does_not_say_when_is_refused_since_each_repetition_would_be_news() {
    let (clock, translation) = (HandClock::at(NOW), translation(&Arc::default()));
    let dir = tempfile::tempdir().expect("a folder");
    let manifest = format!("{MANIFEST}defaults: {{ rule: last_write_wins }}\n");
    let opened = Engine::builder(dir.path().join("store")).manifest(manifest).clock(clock.clone()).open();
    let (engine, _) = opened.expect("a new store opens");
    let arrives = |envelope: &str| {
        let data = r#""data": {"kind": "customer", "id": "c-1", "set": {"phone": "1"}}"#;
        let body = format!(r#"{{"type": "record.changed", {envelope}{data}}}"#);
        let heard = hook::read(body.as_bytes(), &translation, clock.now()).map_err(|why| why.to_string())?;
        engine.say(heard.drafts).expect("taken");
        Ok::<(), String>(())
    };
    let edited = |phone: &str| {
        clock.advance(600_000);
        let edit = Edit::of(record("contact/portal:c-1"), SideName::new("crm").expect("a name"));
        let edit = edit.set(field("phone"), Value::text(phone)).by(Author::user("ana"));
        engine.edit(&Principal::operator(), edit).expect("taken");
        clock.advance(1_200_000);
    };
    let shown = || {
        let read = engine.read(&Principal::operator());
        read.why("contact/portal:c-1", "phone").expect("readable").map(|verdict| verdict.sentence)
    };
    for (envelope, due) in [
        (r#""timestamp": "2026-03-01T12:00:00Z", "#, Ok(())),
        ("", Err("data.at is missing, and so is timestamp".to_owned())),
    ] {
        let first = arrives(envelope);
        edited("2");
        let again = arrives(envelope);
        let shown = shown().expect("it was edited");
        assert!(shown.starts_with(r#"phone is "2""#), "{envelope}: {shown}");
        assert_eq!((&first, &again), (&due, &due));
    }
    engine.close().expect("the disk works");
}

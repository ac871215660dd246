//! What HubSpot shows, since when, and by whom.

use super::*;
use crate::{event::AuthorKind, send::SeenField};

fn seen_field<'a>(seen: &'a Seen, name: &str) -> &'a SeenField {
    seen.fields.iter().find(|shows| *shows.field == *name).expect("it is shown")
}

#[tokio::test]
async fn each_field_has_its_time_its_author_and_its_past() {
    let rig = rig().await;
    let id = rig.contact(&[("phone", "1"), ("firstname", "Ana")]);
    rig.clock.advance(1_000);
    rig.account.edit("contacts", id, &[("phone", "2")], &By::app(99)).expect("an edit");
    rig.clock.advance(1_000);
    applied(rig.deliver(update("contact", id, &[("phone", "3")])).await);
    rig.clock.advance(1_000);
    rig.account.edit("contacts", id, &[("phone", "4")], &By::other("CALCULATED", None)).expect("an edit");
    let seen = rig.read(ask("contact", id)).await.expect("an answer");
    assert!(seen.found);
    assert_eq!(seen.modified, Some(NOW.plus(3_000)));
    let phone = seen_field(&seen, "phone");
    assert_eq!((&phone.value, phone.changed), (&Value::text("4"), Some(NOW.plus(3_000))));
    assert_eq!((phone.author.kind, &*phone.author.id), (AuthorKind::System, "CALCULATED"));
    let past: Vec<_> =
        phone.earlier.iter().map(|past| (past.value.clone(), past.at.0 - NOW.0, past.author.kind)).collect();
    assert_eq!(
        past,
        [
            (Value::text("3"), 2_000, AuthorKind::Ours),
            (Value::text("2"), 1_000, AuthorKind::Integration),
            (Value::text("1"), 0, AuthorKind::User)
        ]
    );
    assert_eq!(&*phone.earlier[1].author.id, "99");
    let first = seen_field(&seen, "first");
    assert_eq!((first.changed, first.author.kind, first.earlier.len()), (Some(NOW), AuthorKind::User, 0));
    assert_eq!(shown(&seen, "last"), Some(Value::null()), "never set");
}

#[tokio::test]
async fn only_what_was_asked_for_is_read() {
    let rig = rig().await;
    let id = rig.contact(&[("phone", "1"), ("firstname", "Ana")]);
    let seen = rig.read(Ask { fields: vec![field("phone")], ..ask("contact", id) }).await.expect("an answer");
    assert_eq!(seen.fields.len(), 1);
    assert_eq!(rig.asked("associations_batch_read") + rig.asked("contacts.associations_batch_read"), 0);
}

#[tokio::test]
async fn fifty_are_read_in_a_call_and_each_answer_finds_its_question() {
    let rig = rig().await;
    let ids: Vec<u64> = (0..70).map(|number| rig.contact(&[("phone", &number.to_string())])).collect();
    let asks: Vec<Ask> = ids.iter().rev().map(|id| ask("contact", *id)).collect();
    let answers = rig.hubspot.read_back(&asks).await;
    for (number, answer) in answers.iter().rev().enumerate() {
        let seen = answer.as_ref().expect("an answer");
        assert_eq!(shown(seen, "phone"), Some(Value::text(&number.to_string())));
        assert_eq!(seen.link.as_deref(), Some(ids[number].to_string().as_str()));
    }
    assert_eq!((rig.asked("contacts.batch_read"), rig.asked("contacts.get")), (2, 0));
}

#[tokio::test]
async fn deleted_merged_and_never_there_are_told_apart() {
    let rig = rig().await;
    let (gone, loser, winner) = (rig.contact(&[]), rig.contact(&[]), rig.contact(&[("phone", "1")]));
    rig.clock.advance(1_000);
    rig.account.archive("contacts", gone, &By::user(7)).expect("it is there");
    rig.account.merge("contacts", winner, loser, false, &By::user(7)).expect("a merge");
    let asks = [ask("contact", gone), ask("contact", loser), ask("contact", 404), ask("contact", winner)];
    let answers: Vec<Seen> =
        rig.hubspot.read_back(&asks).await.into_iter().map(|answer| answer.expect("an answer")).collect();
    assert_eq!((answers[0].found, answers[0].modified, answers[0].fields.len()), (false, Some(NOW.plus(1_000)), 0));
    assert_eq!((answers[1].found, answers[1].link.as_deref()), (true, Some(winner.to_string().as_str())));
    assert_eq!(shown(&answers[1], "phone"), Some(Value::text("1")));
    assert_eq!(answers[2], Seen::default());
    assert_eq!((answers[3].found, answers[3].link.as_deref()), (true, Some(winner.to_string().as_str())));
}

#[tokio::test]
async fn a_merged_record_keeps_what_it_is_joined_with() {
    let rig = rig().await;
    let (acme, one, other) = (rig.company("Acme"), rig.contact(&[]), rig.contact(&[]));
    rig.account.associate(("contacts", one), ("companies", acme), Some(1), false, &By::user(7)).expect("a tie");
    rig.account.merge("contacts", other, one, true, &By::user(7)).expect("a merge");
    let seen = rig.read(ask("contact", one)).await.expect("an answer");
    assert_eq!(shown(&seen, "company"), Some(Value::text(&format!("company/crm:{acme}"))));
}

#[tokio::test]
async fn a_side_that_cannot_be_read_says_when_to_come_back() {
    let rig = rig().await;
    let id = rig.contact(&[]);
    rig.order(Fault::RateLimit { policy: "DAILY".to_owned() }, "contacts.batch_read");
    assert_eq!(rig.read(ask("contact", id)).await, Err(900_000));
    assert_eq!(rig.read(ask("contact", id)).await, Err(900_000), "nothing more is sent today");
    assert_eq!(rig.asked("contacts.batch_read"), 1);
    rig.clock.advance(900_000);
    assert!(rig.read(ask("contact", id)).await.is_ok());
    rig.order(Fault::LoseAnswer, "contacts.batch_read");
    assert_eq!(rig.read(ask("contact", id)).await, Err(0));
    // A look that nobody waits for goes at a backfill's pace, and the clock stands still.
    rig.clock.advance(10_000);
    // A row that an answer leaves out is no proof of anything.
    rig.order(Fault::OmitRow, "contacts.batch_read");
    assert!(rig.read(ask("contact", id)).await.expect("an answer").found);
    // What a record is joined with belongs to it: without that there is no answer.
    rig.order(Fault::Status { status: 500, retry_after: None }, "associations_batch_read");
    assert_eq!(rig.read(ask("contact", id)).await, Err(0));
}

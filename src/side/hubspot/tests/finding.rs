//! Records whose making was not answered.

use super::*;

#[tokio::test]
async fn a_contact_whose_answer_was_lost_is_found_by_its_email() {
    let rig = rig().await;
    let write = create("contact/ana", &[("email", "ana@example.com"), ("phone", "2")]);
    rig.order(Fault::LoseAnswer, "contacts.create");
    let left = rig.clock.now();
    assert_eq!(rig.deliver(write.clone()).await, Outcome::Unknown);
    let seen = rig.read(ask_about(&write, left)).await.expect("an answer at once");
    assert_eq!(seen.link.as_deref(), Some(rig.account.ids("contacts")[0].to_string().as_str()));
    assert_eq!(shown(&seen, "phone"), Some(Value::text("2")));
}

#[tokio::test]
async fn a_contact_that_was_not_made_is_missing_only_once_no_call_can_still_arrive() {
    let rig = rig().await;
    let write = create("contact/ana", &[("email", "ana@example.com")]);
    rig.order(Fault::LoseRequest, "contacts.create");
    let left = rig.clock.now();
    assert_eq!(rig.deliver(write.clone()).await, Outcome::Unknown);
    assert_eq!(rig.read(ask_about(&write, left)).await, Err(60_000));
    rig.clock.advance(59_999);
    assert_eq!(rig.read(ask_about(&write, left)).await, Err(1));
    rig.clock.advance(1);
    assert_eq!(rig.read(ask_about(&write, left)).await, Ok(Seen::default()));
}

#[tokio::test]
async fn a_ticket_is_found_by_what_it_was_made_with_once_a_search_shows_it() {
    let settings = Settings { search_lag_ms: 30_000, ..Settings::default() };
    let rig = rig_with(settings, |_| {}).await;
    // One like it was there long before, another is somebody else's.
    rig.account.create("tickets", &[("subject", "Help"), ("content", "It broke")], &By::app(APP)).expect("a ticket");
    rig.clock.advance(86_400_000);
    rig.account.create("tickets", &[("subject", "Help"), ("content", "Mine too")], &By::user(7)).expect("a ticket");
    let write = create("ticket/1", &[("subject", "Help"), ("text", "It broke")]);
    rig.order(Fault::LoseAnswer, "tickets.create");
    let left = rig.clock.now();
    assert_eq!(rig.deliver(write.clone()).await, Outcome::Unknown);
    let made = *rig.account.ids("tickets").last().expect("it was made");
    assert_eq!(rig.read(ask_about(&write, left)).await, Err(120_000), "not seen yet, and not believed missing");
    rig.clock.advance(31_000);
    // Edited in the meantime, it is still the one.
    rig.account.edit("tickets", made, &[("subject", "Help me")], &By::user(7)).expect("an edit");
    rig.clock.advance(31_000);
    let seen = rig.read(ask_about(&write, left)).await.expect("it is in the index now");
    assert_eq!(seen.link.as_deref(), Some(made.to_string().as_str()));
    assert_eq!(shown(&seen, "subject"), Some(Value::text("Help me")));
}

#[tokio::test]
async fn a_ticket_that_was_not_made_is_missing_once_a_search_would_show_it() {
    let rig = rig().await;
    let write = create("ticket/1", &[("subject", "Help"), ("text", "It broke")]);
    let left = rig.clock.now();
    assert_eq!(rig.read(ask_about(&write, left)).await, Err(120_000));
    rig.clock.advance(120_000);
    assert_eq!(rig.read(ask_about(&write, left)).await, Ok(Seen::default()));
}

#[tokio::test]
async fn a_record_that_belongs_to_another_one_of_ours_is_not_it() {
    let rig = rig().await;
    let taken = rig.account.create("tickets", &[("subject", "Help")], &By::app(APP)).expect("a ticket");
    rig.known.join("ticket/9", &taken.to_string());
    let write = create("ticket/1", &[("subject", "Help")]);
    let left = rig.clock.now();
    rig.clock.advance(120_000);
    assert_eq!(rig.read(ask_about(&write, left)).await, Ok(Seen::default()));
}

#[tokio::test]
async fn hubspots_clock_may_be_off() {
    let settings = Settings { ahead_ms: -3_600_000, ..Settings::default() };
    let rig = rig_with(settings, |_| {}).await;
    let write = create("ticket/1", &[("subject", "Help")]);
    rig.order(Fault::LoseAnswer, "tickets.create");
    // An answer to something else tells how far.
    assert_eq!(rig.deliver(update("contact", 404, &[("phone", "1")])).await, Outcome::Unknown);
    let left = rig.clock.now();
    assert_eq!(rig.deliver(write.clone()).await, Outcome::Unknown);
    assert!(rig.read(ask_about(&write, left)).await.expect("it is found").found);
}

#[tokio::test]
async fn among_very_many_made_at_that_time_it_is_looked_for_by_its_values() {
    let rig = rig_with(Settings { search_max: None, burst_max: None, ..Settings::default() }, |setting| {
        setting.gate = Arc::new(crate::send::Gate::new(crate::send::Limits::default(), setting.clock.clone()));
    })
    .await;
    for number in 0..650 {
        rig.account.create("tickets", &[("subject", &format!("Other {number}"))], &By::user(7)).expect("a ticket");
    }
    let write = create("ticket/1", &[("subject", "Help"), ("text", "It broke")]);
    rig.order(Fault::LoseAnswer, "tickets.create");
    let left = rig.clock.now();
    assert_eq!(rig.deliver(write.clone()).await, Outcome::Unknown);
    let made = *rig.account.ids("tickets").last().expect("it was made");
    let seen = rig.read(ask_about(&write, left)).await.expect("it is found");
    assert_eq!(seen.link.as_deref(), Some(made.to_string().as_str()));
}

#[tokio::test]
async fn a_record_without_anything_to_go_by_is_asked_for_again_and_never_called_missing() {
    let rig = rig().await;
    let plain = Ask { link: None, ..ask("contact", 1) };
    assert_eq!(rig.read(plain).await, Err(60_000));
}

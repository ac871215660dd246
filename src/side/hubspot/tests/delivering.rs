//! Writes, and what became of each.

use super::*;

#[tokio::test]
async fn an_update_sets_what_it_says_and_comes_back_with_what_is_shown() {
    let rig = rig().await;
    let id = rig.contact(&[("email", "ana@example.com"), ("phone", "1"), ("firstname", "Ana")]);
    rig.clock.advance(5_000);
    let receipt = applied(rig.deliver(update("contact", id, &[("phone", "2"), ("first", "")])).await);
    assert_eq!(receipt.link.as_deref(), Some(id.to_string().as_str()));
    assert_eq!(receipt.at, Some(NOW.plus(5_000)));
    assert_eq!(receipt.shows, [(field("phone"), Value::text("2")), (field("first"), Value::null())]);
    assert_eq!((rig.shows("contacts", id, "phone"), rig.shows("contacts", id, "firstname")), ("2".into(), "".into()));
    assert_eq!(rig.shows("contacts", id, "email"), "ana@example.com");
}

#[tokio::test]
async fn what_hubspot_makes_of_a_value_is_in_the_receipt() {
    let rig = rig().await;
    let id = rig.contact(&[("email", "ana@example.com")]);
    let receipt = applied(rig.deliver(update("contact", id, &[("email", "Ana@Example.com")])).await);
    assert_eq!(receipt.shows, [(field("email"), Value::text(&rig.shows("contacts", id, "email")))]);
}

#[tokio::test]
async fn several_go_in_one_call_whatever_their_number_up_to_a_hundred() {
    let rig = rig().await;
    let ids: Vec<u64> = (0..130).map(|_| rig.contact(&[("phone", "1")])).collect();
    let mut writes: Vec<Write> = ids.iter().map(|id| update("contact", *id, &[("phone", &id.to_string())])).collect();
    let company = rig.company("Acme");
    writes.push(update("company", company, &[("name", "Acme Ltd")]));
    let outcomes = rig.hubspot.deliver(&writes).await;
    assert_eq!(outcomes.len(), 131);
    outcomes.into_iter().for_each(|outcome| drop(applied(outcome)));
    assert!(ids.iter().all(|id| rig.shows("contacts", *id, "phone") == id.to_string()));
    assert_eq!((rig.asked("contacts.batch_update"), rig.asked("contacts.patch")), (2, 0));
    assert_eq!((rig.asked("companies.batch_update"), rig.asked("companies.patch")), (0, 1));
}

#[tokio::test]
async fn one_record_written_twice_is_not_twice_in_a_call() {
    let rig = rig().await;
    let (one, other) = (rig.contact(&[]), rig.contact(&[]));
    let writes = [
        update("contact", one, &[("phone", "1")]),
        update("contact", other, &[("phone", "2")]),
        update("contact", one, &[("first", "Ana")]),
    ];
    rig.hubspot.deliver(&writes).await.into_iter().for_each(|outcome| drop(applied(outcome)));
    assert_eq!(
        (rig.shows("contacts", one, "phone"), rig.shows("contacts", one, "firstname")),
        ("1".into(), "Ana".into())
    );
}

#[tokio::test]
async fn a_refusal_comes_in_hubspots_words_and_blames_the_field() {
    let rig = rig().await;
    let id = rig.contact(&[("phone", "1")]);
    let (reason, fields) = refused(rig.deliver(update("contact", id, &[("phone", "2"), ("stage", "no such")])).await);
    assert!(reason.contains("VALIDATION_ERROR"), "{reason}");
    assert_eq!(fields, [field("stage")]);
    assert_eq!(rig.shows("contacts", id, "phone"), "1");
}

#[tokio::test]
async fn one_bad_row_costs_nobody_else_their_write() {
    let rig = rig().await;
    let ids: Vec<u64> = (0..40).map(|_| rig.contact(&[])).collect();
    let write = |id: &u64| match *id == ids[17] {
        true => update("contact", *id, &[("stage", "no such")]),
        false => update("contact", *id, &[("phone", "5")]),
    };
    let writes: Vec<Write> = ids.iter().map(write).collect();
    for (id, outcome) in ids.iter().zip(rig.hubspot.deliver(&writes).await) {
        if *id == ids[17] {
            assert_eq!(refused(outcome).1, [field("stage")]);
        } else {
            applied(outcome);
        }
    }
    assert!(rig.asked("contacts.patch") + rig.asked("contacts.batch_update") < 20);
}

/// A batch that names no row and answers 400 as a whole: the simulator has labels, so the account is made to refuse all of it.
#[tokio::test]
async fn a_batch_that_fails_as_a_whole_is_taken_apart() {
    let rig = rig().await;
    let ids: Vec<u64> = (0..8).map(|_| rig.contact(&[])).collect();
    rig.order(Fault::Status { status: 400, retry_after: None }, "contacts.batch_update");
    let writes: Vec<Write> = ids.iter().map(|id| update("contact", *id, &[("phone", "5")])).collect();
    rig.hubspot.deliver(&writes).await.into_iter().for_each(|outcome| drop(applied(outcome)));
    assert_eq!(rig.asked("contacts.batch_update"), 3);
}

#[tokio::test]
async fn a_row_that_the_answer_leaves_out_is_unknown_and_no_other() {
    for fault in [Fault::OmitRow, Fault::FailRow] {
        let rig = rig().await;
        let ids: Vec<u64> = (0..20).map(|_| rig.contact(&[])).collect();
        let writes: Vec<Write> = ids.iter().map(|id| update("contact", *id, &[("phone", &id.to_string())])).collect();
        rig.order(fault.clone(), "contacts.batch_update");
        let outcomes = rig.hubspot.deliver(&writes).await;
        let unknown: Vec<u64> =
            ids.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Unknown).map(|(id, _)| *id).collect();
        assert_eq!(unknown.len(), 1, "{fault:?}");
        for (id, outcome) in ids.iter().zip(outcomes).filter(|(_, outcome)| *outcome != Outcome::Unknown) {
            assert_eq!(applied(outcome).shows, [(field("phone"), Value::text(&id.to_string()))]);
        }
        // A look settles it.
        let seen = rig.read(ask("contact", unknown[0])).await.expect("an answer");
        let took = shown(&seen, "phone") == Some(Value::text(&unknown[0].to_string()));
        assert_eq!(took, fault == Fault::OmitRow);
    }
}

#[tokio::test]
async fn what_was_merged_away_is_re_keyed_or_read_back() {
    let rig = rig().await;
    let (one, other) = (rig.contact(&[("email", "a@example.com")]), rig.contact(&[("email", "b@example.com")]));
    let third = rig.account.merge("contacts", one, other, true, &By::user(7)).expect("a merge");
    assert!(third != one && third != other);
    match rig.deliver(update("contact", other, &[("phone", "9")])).await {
        Outcome::Applied(receipt) => assert_eq!(receipt.link.as_deref(), Some(third.to_string().as_str())),
        Outcome::Unknown => {}
        outcome => panic!("{outcome:?}"),
    }
    let lone = rig.contact(&[]);
    let writes = [update("contact", lone, &[("phone", "1")]), update("contact", one, &[("phone", "2")])];
    let outcomes = rig.hubspot.deliver(&writes).await;
    assert_eq!((matches!(outcomes[0], Outcome::Applied(_)), &outcomes[1]), (true, &Outcome::Unknown));
    let seen = rig.read(ask("contact", one)).await.expect("an answer");
    assert_eq!((seen.found, seen.link.as_deref()), (true, Some(third.to_string().as_str())));
}

#[tokio::test]
async fn a_write_to_a_record_that_is_gone_is_read_back() {
    let rig = rig().await;
    let id = rig.contact(&[]);
    rig.account.archive("contacts", id, &By::user(7)).expect("it is there");
    assert_eq!(rig.deliver(update("contact", id, &[("phone", "9")])).await, Outcome::Unknown);
    assert!(!rig.read(ask("contact", id)).await.expect("an answer").found);
}

#[tokio::test]
async fn a_deletion_archives_and_one_that_finds_nothing_is_read_back() {
    let rig = rig().await;
    let id = rig.contact(&[]);
    let delete = |id: u64| Write { delete: true, ..update("contact", id, &[]) };
    applied(rig.deliver(delete(id)).await);
    assert!(!rig.account.ids("contacts").contains(&id));
    rig.order(Fault::Status { status: 404, retry_after: None }, "contacts.archive");
    assert_eq!(rig.deliver(delete(id)).await, Outcome::Unknown);
    assert!(!rig.read(ask("contact", id)).await.expect("an answer").found);
}

#[tokio::test]
async fn whether_a_broken_call_took_effect_is_told_apart() {
    let rig = rig().await;
    let id = rig.contact(&[]);
    let status = |status: u16| Fault::Status { status, retry_after: None };
    let fail = async |fault: Fault| {
        rig.order(fault, "contacts.patch");
        rig.deliver(update("contact", id, &[("phone", "9")])).await
    };
    assert_eq!(fail(Fault::LoseAnswer).await, Outcome::Unknown);
    assert_eq!(fail(Fault::LoseRequest).await, Outcome::Unknown);
    for unclear in [500, 502, 504] {
        assert_eq!(fail(status(unclear)).await, Outcome::Unknown, "{unclear}");
    }
    assert_eq!(fail(status(503)).await, Outcome::RetryAfter(0));
    assert_eq!(fail(status(423)).await, Outcome::RetryAfter(2_000));
    assert_eq!(fail(Fault::Expired).await, Outcome::RetryAfter(60_000));
    rig.serving.stop().await.expect("it stops");
    assert_eq!(rig.hubspot.deliver(&[update("contact", id, &[("phone", "9")])]).await, [Outcome::RetryAfter(0)]);
}

#[tokio::test]
async fn an_account_that_moves_is_left_alone() {
    let rig = rig().await;
    let id = rig.contact(&[]);
    rig.order(Fault::Status { status: 477, retry_after: Some(3_600) }, "contacts.patch");
    assert_eq!(rig.deliver(update("contact", id, &[("phone", "9")])).await, Outcome::RetryAfter(3_600_000));
    let before = rig.account.counts()["requests"].clone();
    rig.clock.advance(1_000_000);
    assert_eq!(rig.deliver(update("contact", id, &[("phone", "9")])).await, Outcome::NotYet(2_600_000));
    assert_eq!(rig.account.counts()["requests"], before, "nothing was sent");
    rig.clock.advance(2_600_000);
    applied(rig.deliver(update("contact", id, &[("phone", "9")])).await);
}

#[tokio::test]
async fn a_new_record_gets_its_id_and_its_company() {
    let rig = rig().await;
    let company = rig.company("Acme");
    rig.known.join("company/acme", &company.to_string());
    let write = create("contact/ana", &[("email", "ana@example.com"), ("phone", ""), ("company", "company/acme")]);
    let receipt = applied(rig.deliver(write).await);
    let id: u64 = receipt.link.expect("an id").parse().expect("a number");
    assert_eq!(rig.account.ids("contacts"), [id]);
    assert_eq!(rig.shows("contacts", id, "email"), "ana@example.com");
    let seen = rig.read(ask("contact", id)).await.expect("an answer");
    assert_eq!(shown(&seen, "company"), Some(Value::text("company/acme")));
}

#[tokio::test]
async fn a_record_that_is_there_already_is_found_and_no_second_one_made() {
    for conflicts_without_id in [false, true] {
        let rig = rig_with(Settings { conflicts_without_id, ..Settings::default() }, |_| {}).await;
        let id = rig.contact(&[("email", "ana@example.com"), ("phone", "1")]);
        let write = create("contact/ana", &[("email", "ana@example.com"), ("phone", "2")]);
        assert_eq!(rig.deliver(write.clone()).await, Outcome::Unknown);
        let seen = rig.read(ask_about(&write, rig.clock.now())).await.expect("an answer at once");
        assert_eq!((seen.found, seen.link.as_deref()), (true, Some(id.to_string().as_str())));
        assert_eq!(shown(&seen, "phone"), Some(Value::text("1")));
        assert_eq!(rig.account.ids("contacts"), [id]);
    }
}

#[tokio::test]
async fn associations_are_set_moved_and_taken_away() {
    let rig = rig_with(Settings { numeric_association_ids: true, ..Settings::default() }, |_| {}).await;
    let (acme, bolt) = (rig.company("Acme"), rig.company("Bolt"));
    rig.known.join("company/acme", &acme.to_string());
    rig.known.join("company/bolt", &bolt.to_string());
    let id = rig.contact(&[]);
    for company in ["company/acme", "company/bolt"] {
        applied(rig.deliver(update("contact", id, &[("company", company)])).await);
        let seen = rig.read(ask("contact", id)).await.expect("an answer");
        assert_eq!(shown(&seen, "company"), Some(Value::text(company)));
    }
    applied(rig.deliver(update("contact", id, &[("company", ""), ("phone", "1")])).await);
    let seen = rig.read(ask("contact", id)).await.expect("an answer");
    assert_eq!((shown(&seen, "company"), shown(&seen, "phone")), (Some(Value::null()), Some(Value::text("1"))));
}

#[tokio::test]
async fn an_association_without_a_number_takes_the_place_of_the_one_before() {
    let rig = rig().await;
    let (ana, bob) = (rig.contact(&[]), rig.contact(&[]));
    let write = create("ticket/1", &[("subject", "Help"), ("asker", &format!("contact/crm:{ana}"))]);
    let id: u64 = applied(rig.deliver(write).await).link.expect("an id").parse().expect("a number");
    let asker = async || shown(&rig.read(ask("ticket", id)).await.expect("an answer"), "asker");
    assert_eq!(asker().await, Some(Value::text(&format!("contact/crm:{ana}"))));
    applied(rig.deliver(update("ticket", id, &[("asker", &format!("contact/crm:{bob}"))])).await);
    assert_eq!(asker().await, Some(Value::text(&format!("contact/crm:{bob}"))));
}

/// Read back and planned anew, it would be tried for ever.
#[tokio::test]
async fn an_association_with_something_that_is_gone_is_refused() {
    let rig = rig().await;
    let (acme, id) = (rig.company("Acme"), rig.contact(&[]));
    rig.account.archive("companies", acme, &By::user(7)).expect("it is there");
    let write = update("contact", id, &[("company", &format!("company/crm:{acme}"))]);
    assert_eq!(refused(rig.deliver(write.clone()).await).1, [field("company")]);
    rig.account.archive("contacts", id, &By::user(7)).expect("it is there");
    assert_eq!(rig.deliver(write).await, Outcome::Unknown);
}

#[tokio::test]
async fn half_a_write_is_unknown_so_that_a_look_tells_which_half() {
    let rig = rig().await;
    let acme = rig.company("Acme");
    rig.known.join("company/acme", &acme.to_string());
    let id = rig.contact(&[]);
    rig.order(Fault::Status { status: 503, retry_after: None }, "associations_put");
    let write = update("contact", id, &[("phone", "9"), ("company", "company/acme")]);
    assert_eq!(rig.deliver(write).await, Outcome::Unknown);
    let seen = rig.read(ask("contact", id)).await.expect("an answer");
    assert_eq!((shown(&seen, "phone"), shown(&seen, "company")), (Some(Value::text("9")), Some(Value::null())));
    // A ticket that was made, but not joined, is found without a search.
    rig.order(Fault::Status { status: 503, retry_after: None }, "associations_default");
    let write = create("ticket/1", &[("subject", "Help"), ("asker", &format!("contact/crm:{id}"))]);
    assert_eq!(rig.deliver(write.clone()).await, Outcome::Unknown);
    let seen = rig.read(ask_about(&write, rig.clock.now())).await.expect("an answer at once");
    assert_eq!((seen.found, shown(&seen, "subject")), (true, Some(Value::text("Help"))));
    assert_eq!((rig.account.ids("tickets").len(), rig.asked("tickets.search")), (1, 0));
}

#[tokio::test]
async fn what_cannot_be_said_there_never_leaves() {
    let rig = rig().await;
    let id = rig.contact(&[]);
    let company = update("contact", id, &[("company", "company/portal:7")]);
    assert_eq!(rig.deliver(company).await, Outcome::NotYet(5_000));
    let nowhere = Write { link: None, ..update("contact", id, &[("phone", "1")]) };
    assert_eq!(refused(rig.deliver(nowhere).await).0, "HubSpot has no id for this record");
    let strange = Write { record: RecordId::new("note/1").expect("an id"), ..update("contact", id, &[("phone", "1")]) };
    assert_eq!(refused(rig.deliver(strange).await).0, "the manifest gives note no type on HubSpot");
    assert_eq!(rig.account.counts()["requests"], 0);
}

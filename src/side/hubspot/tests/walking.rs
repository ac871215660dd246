//! All records, and changed ones, page by page.

use std::collections::BTreeSet;

use super::*;
use crate::{
    send::{Gate, Limits},
    side::{Page, Source, SourceError},
};

/// An account and a dialect without limits: the clock of these tests stands still.
async fn unlimited() -> Rig {
    let settings = Settings { search_max: None, burst_max: None, ..Settings::default() };
    rig_with(settings, |setting| setting.gate = Arc::new(Gate::new(Limits::default(), setting.clock.clone()))).await
}

fn links(page: &Page) -> Vec<u64> {
    page.records.iter().map(|sighting| sighting.link.parse().expect("an id")).collect()
}

/// The ids of all pages of a walk through changes, page by page.
async fn changes(rig: &Rig, since: Millis) -> Vec<Vec<u64>> {
    let (mut pages, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = rig.hubspot.changed("contact", since, cursor.as_deref()).await.expect("a page");
        pages.push(links(&page));
        match page.next {
            Some(next) => cursor = Some(next),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn all_records_come_once_with_their_history_and_the_total() {
    let rig = unlimited().await;
    let ids: Vec<u64> = (0..250).map(|number| rig.contact(&[("phone", &number.to_string())])).collect();
    rig.account.archive("contacts", ids[3], &By::user(7)).expect("it is there");
    let (mut walked, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = rig.hubspot.list("contact", cursor.as_deref()).await.expect("a page");
        assert_eq!(page.total, Some(249));
        assert!(page.records.len() <= 100);
        for sighting in &page.records {
            let phone = sighting.seen.fields.iter().find(|shows| *shows.field == *"phone").expect("it is shown");
            assert_eq!(phone.changed, Some(NOW));
        }
        walked.extend(links(&page));
        // A cursor is a text: a dialect opened anew goes on with it.
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(walked, ids.iter().copied().filter(|id| *id != ids[3]).collect::<Vec<_>>());
    assert_eq!((rig.asked("contacts.list"), rig.asked("contacts.batch_read")), (3, 5));
}

#[tokio::test]
async fn changes_are_walked_in_order_and_from_their_time_on() {
    let rig = unlimited().await;
    let ids: Vec<u64> = (0..250)
        .map(|_| {
            rig.clock.advance(1_000);
            rig.contact(&[])
        })
        .collect();
    assert_eq!(changes(&rig, NOW).await.concat(), ids);
    // The last two minutes before are walked again: they may have been missing from the index.
    let since = NOW.plus(150_000);
    assert_eq!(changes(&rig, since).await.concat(), ids[29..].to_vec());
    rig.clock.advance(1_000);
    rig.account.edit("contacts", ids[0], &[("phone", "1")], &By::user(7)).expect("an edit");
    assert_eq!(changes(&rig, rig.clock.now()).await.concat().last(), Some(&ids[0]));
}

#[tokio::test]
async fn very_many_changes_at_one_time_are_all_walked() {
    let rig = unlimited().await;
    let before = rig.contact(&[]);
    rig.clock.advance(1_000);
    let same: Vec<u64> = (0..320).map(|_| rig.contact(&[])).collect();
    rig.clock.advance(1_000);
    let after: Vec<u64> = (0..5).map(|_| rig.contact(&[])).collect();
    let pages = changes(&rig, NOW).await;
    let all: BTreeSet<u64> = pages.concat().into_iter().collect();
    let due: BTreeSet<u64> = same.iter().chain(&after).copied().chain([before]).collect();
    assert_eq!(all, due);
    assert!(pages.iter().all(|page| page.len() <= 100));
    assert!(pages.concat().len() <= due.len() + 100, "at most a page is read twice");
}

/// HubSpot answers no query beyond its ten-thousandth result.
#[tokio::test]
async fn more_than_ten_thousand_changes_are_all_walked() {
    let rig = unlimited().await;
    let ids: Vec<u64> = (0..10_450)
        .map(|number| {
            rig.clock.advance(i64::from(number % 7 == 0));
            rig.contact(&[])
        })
        .collect();
    let all: BTreeSet<u64> = changes(&rig, NOW).await.concat().into_iter().collect();
    assert_eq!(all.len(), ids.len());
}

#[tokio::test]
async fn what_changes_during_the_walk_is_not_lost() {
    let rig = unlimited().await;
    let ids: Vec<u64> = (0..150)
        .map(|_| {
            rig.clock.advance(10);
            rig.contact(&[])
        })
        .collect();
    let first = rig.hubspot.changed("contact", NOW, None).await.expect("a page");
    // Three of the first page move to the end, which would push as many past an offset.
    rig.clock.advance(10);
    for id in &ids[..3] {
        rig.account.edit("contacts", *id, &[("phone", "new")], &By::user(7)).expect("an edit");
    }
    let second = rig.hubspot.changed("contact", NOW, first.next.as_deref()).await.expect("a page");
    let all: BTreeSet<u64> = links(&first).into_iter().chain(links(&second)).collect();
    assert_eq!(all.len(), ids.len());
    assert!(ids[..3].iter().all(|id| links(&second).contains(id)));
}

#[tokio::test]
async fn a_record_that_was_merged_away_is_seen_in_the_one_it_lives_on_in() {
    let rig = unlimited().await;
    let (one, other) = (rig.contact(&[("phone", "1")]), rig.contact(&[]));
    rig.known.join("contact/ana", &other.to_string());
    rig.clock.advance(200_000);
    rig.account.merge("contacts", one, other, false, &By::user(7)).expect("a merge");
    let page = rig.hubspot.changed("contact", rig.clock.now(), None).await.expect("a page");
    let lost = page.records.iter().find(|sighting| *sighting.link == *other.to_string()).expect("it is seen");
    assert_eq!((lost.seen.found, lost.seen.link.as_deref()), (true, Some(one.to_string().as_str())));
    // One that we never heard of is nobody's news.
    rig.known.0.lock().expect("a lock").clear();
    let page = rig.hubspot.changed("contact", rig.clock.now(), None).await.expect("a page");
    assert_eq!(links(&page), [one]);
}

#[tokio::test]
async fn a_cursor_of_another_walk_is_refused() {
    let rig = unlimited().await;
    for _ in 0..150 {
        rig.contact(&[]);
    }
    let list = rig.hubspot.list("contact", None).await.expect("a page").next.expect("a cursor");
    let changed = rig.hubspot.changed("contact", NOW, None).await.expect("a page").next.expect("a cursor");
    for (kind, cursor) in
        [("contact", changed.as_str()), ("company", list.as_str()), ("contact", "{}"), ("contact", "")]
    {
        let refused = rig.hubspot.list(kind, Some(cursor)).await;
        assert!(matches!(refused, Err(SourceError::Refused(_))), "{kind} {cursor}");
    }
    assert!(matches!(rig.hubspot.changed("contact", NOW, Some(&list)).await, Err(SourceError::Refused(_))));
    assert!(matches!(rig.hubspot.list("note", None).await, Err(SourceError::NotOffered)));
}

#[tokio::test]
async fn the_form_of_cursors_is_pinned() {
    let rig = unlimited().await;
    let ids: Vec<u64> = (0..101).map(|_| rig.contact(&[])).collect();
    let list = rig.hubspot.list("contact", None).await.expect("a page").next.expect("a cursor");
    assert_eq!(list, format!(r#"{{"v":1,"of":"contacts","walk":"all","after":"{}","total":101}}"#, ids[99]));
    let changed = rig.hubspot.changed("contact", Millis(0), None).await.expect("a page").next.expect("a cursor");
    assert!(changed.starts_with(r#"{"v":1,"of":"contacts","walk":"from","time":1790000000000,"done":[""#), "{changed}");
    let within =
        rig.hubspot.changed("contact", Millis(0), Some(&changed)).await.expect("a page").next.expect("a cursor");
    assert_eq!(within, r#"{"v":1,"of":"contacts","walk":"within","time":1790000000000,"id":"0","total":101}"#);
}

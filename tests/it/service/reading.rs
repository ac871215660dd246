//! Backfill, poll, reconcile, and what is watched meanwhile.

use std::sync::atomic::Ordering;

use syncline::{
    clock::{Clock, Millis},
    engine::DriftKind,
    event::{Author, Kind},
    history::Principal,
    id::Seq,
    send::{Seen, SeenField},
    service::AlarmKind,
    sim::disk::SimDisk,
    value::Value,
};

use super::shelf::{HOUR, MINUTE, Rig, field, manifest, person, side_name};

const WEBHOOKS: &str = "capture: { webhooks: true }";
const POLLED: &str = "capture: { poll: 5m }";
const RECONCILED: &str = "capture: { webhooks: true, reconcile: 1h }";

fn fill(rig: &Rig, count: usize) {
    for number in 0..count {
        rig.crm.edit_unheard(&person(number), &[("name", &format!("Name {number}")), ("phone", "1")]);
    }
}

#[test]
fn a_backfill_killed_half_way_goes_on_where_it_was() {
    let mut rig = Rig::closed(manifest(WEBHOOKS, WEBHOOKS));
    fill(&rig, 1_050);
    rig.open();
    // One page at a time, and nothing else that would keep how far they are.
    for _ in 0..4 {
        rig.runtime.block_on(rig.tenant().next()).expect("the store works");
    }
    let status = rig.tenant().status().expect("open");
    let crm = &status.sides[0].backfill[0];
    assert_eq!((crm.read, crm.total, crm.done), (400, Some(1_050), false));
    rig.kill();

    rig.open();
    rig.step();
    assert_eq!(rig.crm.listed.load(Ordering::SeqCst), 1_050, "no record is read twice");
    let status = rig.tenant().status().expect("open");
    assert!(status.sides.iter().all(|side| side.backfill.iter().all(|kind| kind.done)));
    assert_eq!(status.sides[0].backfill[0].read, 1_050);
    for number in [0, 399, 400, 1_049] {
        assert_eq!(rig.both_show(&person(number), "name"), format!("Name {number}"));
    }
    rig.kill();
    rig.open();
    rig.step();
    assert_eq!(rig.crm.listed.load(Ordering::SeqCst), 1_050, "what was read once is not read again");
}

#[test]
fn a_page_whose_mark_was_lost_is_read_again_and_says_nothing_new() {
    let mut rig = Rig::closed(manifest(WEBHOOKS, WEBHOOKS));
    fill(&rig, 250);
    rig.open();
    rig.crm.pages_left.store(1, Ordering::SeqCst);
    rig.step();
    let marks = rig.store().join("marks.json");
    let older = std::fs::read(&marks).expect("marks are kept");
    rig.clock.advance(MINUTE);
    rig.crm.pages_left.store(1, Ordering::SeqCst);
    rig.step();
    let events = rig.engine().counts().expect("open").events;
    rig.kill();
    std::fs::write(&marks, older).expect("a file of ours");

    rig.crm.pages_left.store(1, Ordering::SeqCst);
    rig.open();
    rig.step();
    assert_eq!(rig.crm.listed.load(Ordering::SeqCst), 300, "one page was read twice");
    assert_eq!(rig.engine().counts().expect("open").events, events, "and said nothing new");
}

#[test]
fn marks_that_cannot_be_understood_are_put_aside_and_all_is_read_anew() {
    let mut rig = Rig::closed(manifest(WEBHOOKS, WEBHOOKS));
    fill(&rig, 150);
    rig.open();
    rig.step();
    let events = rig.engine().counts().expect("open").events;
    rig.kill();
    std::fs::write(rig.store().join("marks.json"), b"{\"format\":1,").expect("a file of ours");
    rig.open();
    rig.step();
    assert!(rig.store().join("marks.json.unreadable").exists());
    assert_eq!(rig.crm.listed.load(Ordering::SeqCst), 300);
    assert_eq!(rig.engine().counts().expect("open").events, events);
}

#[test]
fn nothing_is_made_on_a_side_that_was_not_read() {
    // A side with ids of its own: what it has may be there under another name.
    let secret = "credentials: { token: env:NOT_ASKED, webhook_secret: env:NOT_ASKED }";
    let own_ids = manifest(&format!("{WEBHOOKS}, {secret}"), WEBHOOKS).replacen("in_process", "hubspot", 1);
    let mut rig = Rig::closed(own_ids);
    fill(&rig, 150);
    rig.open();
    rig.crm.pages_left.store(1, Ordering::SeqCst);
    rig.step();
    rig.edit(&rig.portal, &person(900), &[("name", "New")]);
    rig.pass(3 * MINUTE, MINUTE);
    assert!(!rig.engine().is_populated("crm").expect("open"));
    assert!(!rig.crm.side().has(&person(900)));
    rig.crm.pages_left.store(-1, Ordering::SeqCst);
    rig.pass(10 * MINUTE, MINUTE);
    assert!(rig.engine().is_populated("crm").expect("open"));
    assert!(rig.crm.side().has(&person(900)));
}

#[test]
fn what_someone_has_just_edited_goes_out_before_a_backfill() {
    let mut rig = Rig::closed(manifest(WEBHOOKS, WEBHOOKS));
    fill(&rig, 300);
    rig.open();
    let engine = rig.engine().clone();
    // The pages are in, and nothing has been sent yet.
    let shelf = rig.crm.side();
    let seen = |record: &syncline::id::RecordId| {
        let (link, modified, fields) = shelf.read(record).expect("there");
        let fields = fields.expect("alive");
        (record.clone(), Seen { found: true, link: Some(link), fields, modified: Some(modified), ..Seen::default() })
    };
    let all = shelf.records().map(seen).collect();
    engine.observe_all(&side_name("crm"), all, true).expect("open");
    drop(shelf);
    rig.clock.advance(1);
    rig.edit(&rig.crm, &person(299), &[("city", "Oslo")]);
    let (writes, _) = engine.due("portal", 2).expect("open");
    assert_eq!(writes[0].record, person(299));
    assert_eq!(writes.iter().map(|write| write.urgent).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn with_polling_alone_the_sides_come_to_agree() {
    let rig = Rig::open_empty(manifest(POLLED, POLLED));
    for number in 0..250 {
        rig.crm.edit_unheard(&person(number), &[("name", &format!("Crm {number}"))]);
    }
    rig.portal.edit_unheard(&person(1_000), &[("name", "Portal")]);
    rig.pass(6 * MINUTE, MINUTE);
    assert_eq!(rig.both_show(&person(249), "name"), "Crm 249");
    assert_eq!(rig.both_show(&person(1_000), "name"), "Portal");
    rig.portal.edit_unheard(&person(7), &[("phone", "7")]);
    let calls = rig.crm.calls();
    rig.pass(3 * MINUTE, MINUTE);
    assert_eq!(rig.crm.calls(), calls, "nothing is asked between polls");
    rig.pass(2 * MINUTE, MINUTE);
    assert_eq!(rig.both_show(&person(7), "phone"), "7");
}

/// Whatever a page told of was taken to be there: a deletion was lost, or a record that had been deleted lived again.
#[test]
fn what_has_changed_tells_of_a_deletion() {
    let mut rig = Rig::closed(manifest(POLLED, WEBHOOKS));
    fill(&rig, 3);
    rig.open();
    rig.step();
    assert_eq!(rig.both_show("person/000001", "name"), "Name 1");
    rig.clock.advance(MINUTE);
    rig.crm.delete_unheard(&person(1));
    // The walks overlap, so it is told of more than once.
    for _ in 0..4 {
        rig.pass(5 * MINUTE, MINUTE);
        assert!(!rig.portal.side().has(&person(1)) && !rig.crm.side().has(&person(1)), "it is gone on both");
    }
    assert_eq!(rig.both_show("person/000002", "name"), "Name 2");
}

#[test]
fn a_side_that_does_not_go_on_from_where_it_was_left_is_read_from_the_beginning() {
    let mut rig = Rig::closed(manifest(POLLED, WEBHOOKS));
    fill(&rig, 250);
    rig.open();
    rig.crm.pages_left.store(1, Ordering::SeqCst);
    rig.step();
    let done = |rig: &Rig| rig.tenant().status().expect("open").sides[0].backfill[0].done;
    rig.crm.age.store(1, Ordering::SeqCst);
    rig.crm.pages_left.store(-1, Ordering::SeqCst);
    rig.pass(5 * MINUTE, MINUTE);
    assert!(done(&rig));
    assert_eq!(rig.both_show("person/000249", "name"), "Name 249");

    // So is what has changed.
    fill(&rig, 250);
    for number in 0..250 {
        rig.crm.edit_unheard(&person(number), &[("city", "Oslo")]);
    }
    rig.crm.pages_left.store(1, Ordering::SeqCst);
    rig.pass(6 * MINUTE, 6 * MINUTE);
    rig.crm.age.store(2, Ordering::SeqCst);
    rig.crm.pages_left.store(-1, Ordering::SeqCst);
    rig.pass(15 * MINUTE, MINUTE);
    assert_eq!(rig.both_show("person/000249", "city"), "Oslo");
}

#[test]
fn a_poll_asks_only_for_what_changed_and_survives_days_away() {
    let mut rig = Rig::open_empty(manifest(POLLED, POLLED));
    rig.crm.edit_unheard(&person(1), &[("name", "One")]);
    rig.pass(10 * MINUTE, MINUTE);
    rig.kill();
    rig.clock.advance(72 * HOUR);
    for number in 2..350 {
        rig.crm.edit_unheard(&person(number), &[("name", "Late")]);
    }
    rig.open();
    rig.step();
    assert_eq!(rig.both_show(&person(349), "name"), "Late");
    let events = rig.engine().counts().expect("open").events;
    rig.pass(30 * MINUTE, MINUTE);
    assert_eq!(rig.engine().counts().expect("open").events, events);
}

#[test]
fn modes_are_switched_half_way() {
    let mut rig = Rig::open_empty(manifest(WEBHOOKS, WEBHOOKS));
    rig.edit(&rig.crm, &person(1), &[("name", "Heard")]);
    rig.step();
    rig.crm.edit_unheard(&person(2), &[("name", "Not heard")]);
    rig.pass(HOUR, 10 * MINUTE);
    assert!(!rig.portal.side().has(&person(2)));
    rig.manifest = manifest(POLLED, POLLED);
    let text = rig.manifest.clone();
    let changed = rig.runtime.block_on(rig.tenant().apply_manifest(text.clone())).expect("a good manifest");
    assert!(changed);
    assert!(!rig.runtime.block_on(rig.tenant().apply_manifest(text)).expect("the same"), "the same changes nothing");
    rig.pass(6 * MINUTE, MINUTE);
    assert_eq!(rig.both_show(&person(2), "name"), "Not heard", "the first poll reaches back to the backfill");
}

#[test]
fn quiet_costs_nothing_but_the_reconcile_that_was_ordered() {
    let rig = Rig::open_empty(manifest(RECONCILED, WEBHOOKS));
    for number in 0..120 {
        rig.edit(&rig.crm, &person(number), &[("name", "Some")]);
    }
    rig.step();
    rig.pass(HOUR, MINUTE);
    let (crm, portal) = (rig.crm.calls(), rig.portal.calls());
    rig.pass(59 * MINUTE, MINUTE);
    assert_eq!((rig.crm.calls(), rig.portal.calls()), (crm, portal));
    rig.pass(2 * MINUTE, MINUTE);
    assert_eq!(rig.crm.calls(), crm + 2, "120 records are two pages, and none is left to be read back");
    assert_eq!(rig.portal.calls(), portal);
    let report = rig.tenant().last_reconcile("crm").expect("it was due");
    assert_eq!((report.compared, report.found, report.calls), (120, 0, 2));
}

#[test]
fn two_hundred_silent_differences_on_either_side_are_named_and_repaired_at_once() {
    let rig = Rig::open_empty(manifest(RECONCILED, RECONCILED));
    for number in 0..500 {
        rig.edit(&rig.crm, &person(number), &[("name", "Some"), ("phone", "0")]);
    }
    rig.step();
    rig.clock.advance(MINUTE);
    for number in 0..200 {
        rig.crm.edit_unheard(&person(number), &[("phone", "crm")]);
        rig.portal.edit_unheard(&person(number + 200), &[("phone", "portal")]);
    }
    rig.pass(HOUR, 10 * MINUTE);
    for (side, kinds) in [("crm", 0..200), ("portal", 200..400)] {
        let report = rig.tenant().last_reconcile(side).expect("it was due");
        let named: Vec<_> = report.drifts.iter().map(|drift| drift.record.clone()).collect();
        assert_eq!(named, kinds.map(person).collect::<Vec<_>>(), "{side}");
        let is_right = |drift: &syncline::engine::Drift| {
            drift.kind == DriftKind::Unheard
                && drift.field.as_deref() == Some("phone")
                && drift.since.is_some()
                && &*drift.author == "someone"
        };
        assert!(report.drifts.iter().all(is_right), "what, since when, and by whom");
    }
    for number in 0..400 {
        let due = if number < 200 { "crm" } else { "portal" };
        assert_eq!(rig.both_show(&person(number), "phone"), due);
    }
    rig.pass(2 * HOUR, 10 * MINUTE);
    for side in ["crm", "portal"] {
        assert_eq!(rig.tenant().last_reconcile(side).expect("done").found, 0, "{side} is in order now");
    }
}

#[test]
fn a_reconcile_finds_records_never_heard_of_and_records_that_are_gone() {
    let rig = Rig::open_empty(manifest(WEBHOOKS, WEBHOOKS));
    rig.edit(&rig.crm, &person(1), &[("name", "One")]);
    rig.step();
    rig.clock.advance(MINUTE);
    rig.crm.edit_unheard(&person(2), &[("name", "Two")]);
    rig.crm.side().delete(&person(1), &Author::user("someone"));
    rig.crm.side().take_outgoing();
    let reports = rig.runtime.block_on(rig.tenant().reconcile(Some("crm"), None)).expect("the store works");
    let found: Vec<_> = reports[0].drifts.iter().map(|drift| (drift.record.clone(), drift.kind)).collect();
    assert!(found.contains(&(person(2), DriftKind::Unknown)), "{found:?}");
    assert!(found.contains(&(person(1), DriftKind::Gone)), "{found:?}");
    rig.step();
    assert_eq!(rig.both_show(&person(2), "name"), "Two");
}

#[test]
fn one_record_is_reconciled_by_itself() {
    let rig = Rig::open_empty(manifest(WEBHOOKS, WEBHOOKS));
    for number in 1..3 {
        rig.edit(&rig.crm, &person(number), &[("name", "Some")]);
    }
    rig.step();
    rig.clock.advance(MINUTE);
    for number in 1..3 {
        rig.portal.edit_unheard(&person(number), &[("name", "Other")]);
    }
    let calls = rig.portal.calls();
    let one = person(1);
    let done = rig.tenant().reconcile(Some("portal"), Some(&one));
    let reports = rig.runtime.block_on(done).expect("the store works");
    assert_eq!((reports[0].compared, reports[0].found, rig.portal.calls() - calls), (1, 1, 1));
    rig.step();
    assert_eq!(rig.both_show(&person(1), "name"), "Other");
    assert_eq!(rig.crm.shows(&person(2), "name"), "Some");
}

fn reading(value: &str, changed: Millis) -> Seen {
    let shown = SeenField::plain(field("phone"), Value::text(value), Some(changed));
    Seen { found: true, link: Some("1001".into()), fields: vec![shown], modified: Some(changed), ..Seen::default() }
}

/// A side answered 200 and lost the write in a restore of its database: it shows its own older value again, with its old date.
#[test]
fn a_confirmed_write_that_is_gone_is_written_again() {
    let rig = Rig::open_empty(manifest(WEBHOOKS, WEBHOOKS));
    rig.edit(&rig.crm, &person(1), &[("phone", "old")]);
    rig.step();
    let dated = rig.clock.now();
    rig.clock.advance(MINUTE);
    rig.edit(&rig.portal, &person(1), &[("phone", "new")]);
    rig.step();
    assert_eq!(rig.crm.shows(&person(1), "phone"), "new");
    rig.clock.advance(MINUTE);
    let engine = rig.engine();
    let compared = engine
        .compare_all(&side_name("crm"), vec![(person(1), reading("old", dated))], engine.last())
        .expect("the store works");
    assert_eq!(compared.drifts.iter().map(|drift| drift.kind).collect::<Vec<_>>(), [DriftKind::Reverted]);
    let (writes, _) = engine.due("crm", 10).expect("the store works");
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].fields, [(field("phone"), Value::text("new"))], "the portal's edit is not lost");
}

#[test]
fn a_value_that_was_never_said_counts_although_it_is_dated_before_what_was() {
    let rig = Rig::open_empty(manifest(WEBHOOKS, WEBHOOKS));
    rig.edit(&rig.crm, &person(1), &[("phone", "old")]);
    rig.clock.advance(MINUTE);
    rig.edit(&rig.crm, &person(1), &[("phone", "newer")]);
    rig.step();
    rig.clock.advance(MINUTE);
    let engine = rig.engine();
    let earlier = rig.clock.now().plus(-90_000);
    let seen = vec![(person(1), reading("imported", earlier))];
    let compared = engine.compare_all(&side_name("crm"), seen.clone(), engine.last()).expect("the store works");
    assert_eq!(compared.drifts.iter().map(|drift| drift.kind).collect::<Vec<_>>(), [DriftKind::Undated]);
    let record = engine.read(&Principal::operator()).get(&person(1)).expect("readable").expect("there");
    assert_eq!(record.value("phone"), Some(&Value::text("imported")));
    let (writes, _) = engine.due("crm", 10).expect("the store works");
    assert!(writes.is_empty(), "the side is not written what it shows");
    let again = engine.compare_all(&side_name("crm"), seen, engine.last()).expect("the store works");
    assert!(again.drifts.is_empty(), "and it is no difference any more");
}

#[test]
fn a_reading_older_than_what_was_heard_meanwhile_is_passed_over() {
    let rig = Rig::open_empty(manifest(WEBHOOKS, WEBHOOKS));
    rig.edit(&rig.crm, &person(1), &[("phone", "one")]);
    rig.step();
    let asked = rig.engine().last();
    let before = reading("one", rig.clock.now());
    rig.clock.advance(MINUTE);
    rig.edit(&rig.crm, &person(1), &[("phone", "two")]);
    let engine = rig.engine();
    let compared = engine.compare_all(&side_name("crm"), vec![(person(1), before)], asked).expect("the store works");
    assert_eq!((compared.passed_over, compared.compared), (vec![person(1)], 0));
    let record = engine.read(&Principal::operator()).get(&person(1)).expect("readable").expect("there");
    assert_eq!(record.value("phone"), Some(&Value::text("two")));
}

#[test]
fn a_side_that_cannot_be_asked_ends_a_reconcile_and_not_the_service() {
    let rig = Rig::open_empty(manifest(RECONCILED, WEBHOOKS));
    rig.edit(&rig.crm, &person(1), &[("name", "One")]);
    rig.step();
    let now = rig.clock.now();
    rig.crm.cut(now, now.plus(3 * HOUR));
    rig.pass(3 * HOUR - 10 * MINUTE, 5 * MINUTE);
    let report = rig.tenant().last_reconcile("crm").expect("it was begun");
    assert!(report.stopped.is_some() && report.done.is_none());
    rig.pass(2 * HOUR, 5 * MINUTE);
    let report = rig.tenant().last_reconcile("crm").expect("it was due again");
    assert_eq!((report.stopped, report.compared), (None, 1));
}

#[test]
fn silence_raises_an_alarm_and_a_word_ends_it() {
    let rig = Rig::open_empty(manifest("staleness: 2h, capture: { webhooks: true }", WEBHOOKS));
    rig.edit(&rig.crm, &person(1), &[("name", "One")]);
    rig.step();
    rig.pass(119 * MINUTE, MINUTE);
    assert!(rig.tenant().alarms().is_empty());
    rig.pass(2 * MINUTE, MINUTE);
    let alarms = rig.tenant().alarms();
    assert_eq!(alarms.iter().map(|alarm| alarm.kind).collect::<Vec<_>>(), [AlarmKind::Stale]);
    assert_eq!(*alarms[0].side, *"crm");
    rig.edit(&rig.crm, &person(1), &[("name", "Two")]);
    rig.step();
    assert!(rig.tenant().alarms().is_empty());
}

#[test]
fn silence_is_counted_over_a_restart() {
    let mut rig = Rig::open_empty(manifest("staleness: 2h, capture: { webhooks: true }", WEBHOOKS));
    rig.edit(&rig.crm, &person(1), &[("name", "One")]);
    rig.pass(2 * MINUTE, MINUTE);
    rig.kill();
    rig.clock.advance(3 * HOUR);
    rig.open();
    rig.step();
    assert_eq!(rig.tenant().alarms().len(), 1);
}

#[test]
fn a_clock_that_runs_fast_is_an_event_once_and_an_alarm_while_it_does() {
    let rig = Rig::open_empty(manifest(WEBHOOKS, WEBHOOKS));
    let clocks = || {
        let events = rig.engine().stored().map(|stored| stored.expect("readable").0);
        events.filter(|event| event.header.kind == Kind::Clock).count()
    };
    rig.crm.ahead.store(300, Ordering::SeqCst);
    rig.pass(10 * MINUTE, MINUTE);
    assert_eq!(clocks(), 0, "what could be the way of the call is no offset");
    rig.crm.ahead.store(420_000, Ordering::SeqCst);
    rig.clock.advance(MINUTE);
    rig.step();
    assert_eq!(rig.tenant().alarms().iter().map(|alarm| alarm.kind).collect::<Vec<_>>(), [AlarmKind::Clock]);
    rig.pass(10 * MINUTE, MINUTE);
    assert_eq!(clocks(), 1);
    assert_eq!(rig.engine().now_on("crm").expect("open"), rig.clock.now().plus(420_000));
    rig.crm.ahead.store(0, Ordering::SeqCst);
    rig.pass(3 * MINUTE, MINUTE);
    assert!(rig.tenant().alarms().is_empty());
    assert_eq!((clocks(), rig.engine().now_on("crm").expect("open")), (2, rig.clock.now()));
}

#[test]
fn three_days_without_the_crm_lose_nothing() {
    let rig = Rig::open_empty(manifest(POLLED, WEBHOOKS));
    rig.edit(&rig.crm, &person(1), &[("name", "One"), ("phone", "0")]);
    rig.step();
    let now = rig.clock.now();
    rig.crm.cut(now, now.plus(72 * HOUR));
    rig.clock.advance(MINUTE);
    rig.edit(&rig.portal, &person(1), &[("phone", "portal")]);
    rig.crm.edit_unheard(&person(1), &[("name", "Crm")]);
    rig.pass(72 * HOUR, HOUR);
    rig.pass(2 * HOUR, 10 * MINUTE);
    assert_eq!(rig.both_show(&person(1), "phone"), "portal");
    assert_eq!(rig.both_show(&person(1), "name"), "Crm");
    assert!(rig.engine().last() > Seq(0));
    assert!(rig.tenant().alarms().is_empty(), "the pauses are over");
}

#[test]
fn a_side_is_not_read_while_the_disk_is_nearly_full() {
    let mut rig = Rig::closed(manifest(WEBHOOKS, WEBHOOKS));
    let disk = SimDisk::new();
    rig.disk = Some(disk.clone());
    fill(&rig, 250);
    rig.open();
    disk.set_free_bytes(999);
    rig.pass(3 * MINUTE, MINUTE);
    assert_eq!(rig.crm.listed.load(Ordering::SeqCst), 0, "nobody is asked for what cannot be kept");
    disk.set_free_bytes(1000);
    rig.pass(3 * MINUTE, MINUTE);
    assert_eq!(rig.crm.listed.load(Ordering::SeqCst), 250, "without help");
    assert_eq!(rig.both_show(&person(7), "name"), "Name 7");
}

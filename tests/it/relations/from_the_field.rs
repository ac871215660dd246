//! Stories as support tells them, each a test by its name.

use syncline::{
    clock::{Clock, Millis},
    event::Author,
    history::{Decision, Principal},
    merge::Existence,
    value::Value,
};

use super::desk::{Desk, id, list, text};

/// Ana, on both sides and in agreement, as `contact/crm:1` and `contact/portal:a`.
fn ana(deletes: &'static str) -> Desk {
    let desk = Desk::new(deletes);
    desk.says("contact/crm:1", 1_000, &[("email", text("ana@example.com")), ("phone", text("1"))]);
    desk.says("contact/portal:a", 1_000, &[("email", text("ana@example.com")), ("phone", text("1"))]);
    desk.settles();
    assert_eq!(desk.canonical("contact/portal:a"), id("contact/crm:1"));
    desk
}

/// Sales deletes a contact while its owner, who has not heard of that, edits it.
fn a_delete_races_an_edit(deletes: &'static str) -> Desk {
    let desk = ana(deletes);
    let now = desk.clock.now().0;
    desk.deletes("contact/crm:1", now + 1_000);
    desk.says("contact/portal:a", now + 2_000, &[("city", text("Bern"))]);
    desk.clock.advance(10_000);
    desk
}

#[test]
fn a_delete_racing_an_edit_under_delete_wins() {
    let mut desk = a_delete_races_an_edit("delete_wins");
    assert_eq!(desk.existence("contact/crm:1"), Existence::Deleted);
    let writes = desk.writes("portal");
    assert_eq!(writes.iter().map(|write| (write.create, write.delete)).collect::<Vec<_>>(), [(false, true)]);
    desk.takes(writes[0].clone(), None);
    assert!(desk.writes("crm").is_empty() && desk.writes("portal").is_empty());
    // What comes late from either side brings nothing back.
    desk.says("contact/portal:a", 2_000, &[("city", text("Basel"))]);
    desk.says("contact/crm:1", 3_000, &[("city", text("Chur"))]);
    assert_eq!(desk.existence("contact/crm:1"), Existence::Deleted);
    assert!(desk.writes("crm").is_empty() && desk.writes("portal").is_empty());
    desk.assert_rebuilds();
}

#[test]
fn a_delete_racing_an_edit_under_edit_wins() {
    let mut desk = a_delete_races_an_edit("edit_wins");
    assert_eq!(desk.existence("contact/crm:1"), Existence::Alive);
    assert!(desk.writes("portal").is_empty());
    let write = desk.writes("crm").remove(0);
    assert!(write.create, "it is made again, with all that stands");
    assert_eq!(Desk::words(&write)["city"], "\"Bern\"");
    assert_eq!(Desk::words(&write)["phone"], "\"1\"");
    desk.takes(write, Some("2"));
    assert!(desk.writes("crm").is_empty() && desk.writes("portal").is_empty());
    assert_eq!(desk.canonical("contact/crm:2"), id("contact/crm:1"));
    desk.assert_rebuilds();
}

#[test]
fn a_delete_racing_an_edit_under_manual() {
    let mut desk = a_delete_races_an_edit("manual");
    assert_eq!(desk.existence("contact/crm:1"), Existence::Disputed);
    assert!(desk.writes("crm").is_empty() && desk.writes("portal").is_empty(), "both keep what they show");
    assert!(desk.engine().counts().expect("open").parked > 0, "and it waits where people see it");
    let gone = Decision::of("contact/crm:1", "existence", Value::bool(false)).by(Author::user("eva"));
    desk.engine().decide(&Principal::operator(), gone).expect("it is said");
    let writes = desk.writes("portal");
    assert_eq!(writes.iter().map(|write| write.delete).collect::<Vec<_>>(), [true]);
    desk.assert_rebuilds();
}

/// The address is what the two are matched by, and it changes while they are made one.
#[test]
fn a_customer_who_changes_email_while_sales_merges_his_duplicate() {
    let mut desk = ana("manual");
    desk.says("contact/crm:2", 5_000, &[("email", text("a.meier@example.com")), ("city", text("Bern"))]);
    let write = desk.writes("portal").remove(0);
    assert!(write.create, "until then it is somebody else");
    desk.takes(write, Some("b"));
    let now = desk.clock.now().0;

    // In the portal Ana takes the address that the duplicate has; sales merges it away meanwhile.
    desk.says("contact/portal:a", now + 1_000, &[("email", text("a.meier@example.com"))]);
    desk.merges("contact/crm:1", "contact/crm:2", now + 1_500);
    desk.deletes("contact/crm:2", now + 1_500);
    desk.clock.advance(10_000);
    let (writes, asks) = desk.due("crm");
    assert!(writes.is_empty() && !asks.is_empty(), "nothing is written before the survivor was read");
    let email = ("email", text("ana@example.com"), 1_000);
    desk.shows("contact/crm:1", &[email, ("phone", text("1"), 1_000), ("city", text("Bern"), now + 1_500)], &["2"]);

    // All four ids are one record; the new address stands, and no one is made or lost.
    for alias in ["contact/crm:2", "contact/portal:a", "contact/portal:b"] {
        assert_eq!(desk.canonical(alias), id("contact/crm:1"), "{alias}");
    }
    assert_eq!(desk.existence("contact/crm:1"), Existence::Alive);
    assert_eq!(desk.value("contact/crm:1", "email"), text("a.meier@example.com"));
    assert_eq!(desk.value("contact/crm:1", "city"), text("Bern"));
    desk.settles();
    assert!(desk.engine().suggestions().expect("open").is_empty());
    assert_eq!(desk.engine().counts().expect("open").records, 1);
    desk.assert_rebuilds();
}

/// The CRM's user changes his mind while the portal's deletes the same record for good: the CRM has the newest word, and
/// is told all the same that the record is gone.
#[test]
fn a_record_restored_on_one_side_and_deleted_on_the_other_under_delete_wins() {
    let mut desk = ana("delete_wins");
    let now = desk.clock.now().0;
    desk.deletes("contact/crm:1", now + 1_000);
    desk.restores("contact/crm:1", now + 3_000);
    desk.deletes("contact/portal:a", now + 2_000);
    desk.clock.advance(10_000);
    assert_eq!(desk.existence("contact/crm:1"), Existence::Deleted);
    let writes = desk.writes("crm");
    assert_eq!(writes.iter().map(|write| (write.create, write.delete)).collect::<Vec<_>>(), [(false, true)]);
    desk.takes(writes[0].clone(), None);
    assert!(desk.writes("crm").is_empty() && desk.writes("portal").is_empty());
    desk.assert_rebuilds();
}

/// The clock counts when something was done, not when it was heard of.
#[test]
fn an_offline_portal_edit_of_14_09_that_uploads_after_the_crms_edit_of_14_12() {
    let mut desk = ana("manual");
    let at = |minute: i64| Millis(50_400_000 + minute * 60_000);
    desk.clock.set(at(12));
    desk.says("contact/crm:1", at(12).0, &[("phone", text("sales, 14:12"))]);
    desk.settles();
    desk.clock.set(at(30));
    desk.says("contact/portal:a", at(9).0, &[("phone", text("portal, 14:09")), ("city", text("Bern"))]);
    assert_eq!(desk.value("contact/crm:1", "phone"), text("sales, 14:12"), "the later edit stands");
    assert_eq!(desk.value("contact/crm:1", "city"), text("Bern"), "and what nobody else said is taken");
    let why = desk.engine().read(&Principal::operator()).why("contact/crm:1", "phone").expect("a read");
    let losers = why.expect("somebody said it").sentence;
    assert!(losers.contains("14:09"), "what was overruled is told: {losers}");
    desk.settles();
    assert!(desk.writes("portal").is_empty());
    desk.assert_rebuilds();
}

/// Two of the portal's records are one of the CRM's: the newest that the portal spoke of is written to.
#[test]
fn twins_of_one_side_after_a_merger_on_the_other() {
    let mut desk = ana("manual");
    desk.says("contact/crm:2", 5_000, &[("email", text("bo@example.com"))]);
    let write = desk.writes("portal").remove(0);
    desk.takes(write, Some("b"));
    let now = desk.clock.now().0;
    desk.merges("contact/crm:1", "contact/crm:2", now + 1_000);
    desk.shows("contact/crm:1", &[("email", text("ana@example.com"), 1_000), ("phone", text("1"), 1_000)], &["2"]);
    desk.clock.advance(10_000);
    let links = desk.engine().links(&id("contact/crm:1")).expect("open");
    let own = |name: &str| links.iter().filter(|link| link.side.as_deref() == Some(name)).count();
    assert_eq!((own("crm"), own("portal")), (2, 2), "both ids of the portal stay known");
    let current: Vec<&str> = links
        .iter()
        .filter(|link| link.current && link.side.as_deref() == Some("portal"))
        .filter_map(|link| link.link.as_deref())
        .collect();
    assert_eq!(current.len(), 1, "one of them is written to");
    desk.settles();
    // An edit under either id is one of the record.
    desk.clock.advance(1_000_000);
    let now = desk.clock.now().0;
    desk.says("contact/portal:a", now, &[("phone", text("2"))]);
    desk.clock.advance(10);
    desk.says("contact/portal:b", now + 5, &[("city", text("Bern"))]);
    assert_eq!(desk.value("contact/crm:1", "phone"), text("2"));
    assert_eq!(desk.value("contact/crm:1", "city"), text("Bern"));
    desk.settles();
    assert!(desk.due("portal").1.is_empty() && desk.due("crm").1.is_empty());
    desk.assert_rebuilds();
}

/// Fifty edits on both sides under a wrong link, each told by the history of the record that it was made on.
#[test]
fn both_histories_tell_a_wrong_link_that_was_undone() {
    let mut desk = Desk::new("manual");
    desk.says("contact/crm:1", 1_000, &[("phone", text("crm 0")), ("city", text("Bern"))]);
    desk.says("contact/portal:a", 1_000, &[("phone", text("portal 0")), ("city", text("Basel"))]);
    let (one, other) = (id("contact/crm:1"), id("contact/portal:a"));
    desk.engine().link(&one, &other, Author::user("eva"), "by mistake").expect("it is said");
    desk.settles();
    for round in 1..=25 {
        desk.clock.advance(10_000);
        let now = desk.clock.now().0;
        desk.says("contact/portal:a", now, &[("phone", text(&format!("portal {round}")))]);
        desk.says("contact/crm:1", now + 1, &[("city", text(&format!("crm {round}")))]);
        desk.settles();
    }
    desk.clock.advance(10_000);
    desk.engine().unlink(&one, &other, Author::user("eva"), "two people").expect("it is said");
    assert_eq!(
        (desk.value("contact/crm:1", "phone"), desk.value("contact/crm:1", "city")),
        (text("crm 0"), text("crm 25"))
    );
    assert_eq!(
        (desk.value("contact/portal:a", "phone"), desk.value("contact/portal:a", "city")),
        (text("portal 25"), text("Basel"))
    );
    let reader = desk.engine().read(&Principal::operator());
    for (record, field, mine, edits) in
        [("contact/crm:1", "city", "crm", 26), ("contact/portal:a", "phone", "portal", 26)]
    {
        let story = reader.history(record, Some(field)).expect("a read").expect("it is there");
        let said = story.iter().filter(|change| change.kind == syncline::event::Kind::Edit);
        let said: Vec<&str> = said.map(|change| &*change.side).collect();
        assert_eq!(said, vec![mine; edits], "{record} was edited by its own side alone");
        let whole = reader.history(record, None).expect("a read").expect("it is there");
        let ties = whole.iter().filter(|change| &*change.field == "link").count();
        assert!(ties >= 1, "the link and its end are told: {ties}");
    }
    drop(reader);
    desk.assert_rebuilds();
}

/// An edit from before the deletion that was heard of after it, under each rule.
#[test]
fn a_late_edit_brings_back_what_was_deleted_only_where_the_edit_wins() {
    for (deletes, due) in
        [("delete_wins", Existence::Deleted), ("manual", Existence::Disputed), ("edit_wins", Existence::Alive)]
    {
        let desk = ana(deletes);
        let now = desk.clock.now().0;
        desk.deletes("contact/crm:1", now + 5_000);
        desk.clock.advance(10_000);
        if deletes != "edit_wins" {
            desk.writes("portal").into_iter().for_each(|write| desk.takes(write, None));
        }
        desk.says("contact/portal:a", now + 1_000, &[("city", text("Bern")), ("firms", list(&[]))]);
        assert_eq!(desk.existence("contact/crm:1"), due, "{deletes}");
        // The CRM's own late edit is no reason to bring back what it has deleted itself.
        let desk = ana(deletes);
        let now = desk.clock.now().0;
        desk.deletes("contact/crm:1", now + 5_000);
        desk.says("contact/crm:1", now + 1_000, &[("city", text("Bern"))]);
        assert_eq!(desk.existence("contact/crm:1"), Existence::Deleted, "{deletes}");
    }
}

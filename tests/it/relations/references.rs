//! Records that records name: what a side says of them stays, what it means follows links, partings and mergers.

use syncline::{
    clock::{Clock, Millis},
    event::Author,
    send::{Outcome, Receipt, Seen, SeenField},
};

use super::desk::{Desk, field, id, list, side, text};

/// A contact on both sides, and a company that each side has by itself.
fn two_companies() -> Desk {
    let desk = Desk::new("manual");
    desk.says("contact/crm:1", 1_000, &[("email", text("ana@example.com"))]);
    desk.says("contact/portal:a", 1_000, &[("email", text("ana@example.com"))]);
    assert_eq!(desk.canonical("contact/portal:a"), id("contact/crm:1"));
    desk.says("company/crm:7", 1_000, &[("name", text("Acme"))]);
    desk.says("company/portal:o", 1_000, &[("name", text("Acme Ltd"))]);
    desk
}

#[test]
fn two_ids_of_one_record_are_one_element() {
    let mut desk = two_companies();
    desk.says("contact/crm:1", 2_000, &[("firms", list(&["company/crm:7"])), ("firm", text("company/crm:7"))]);
    desk.says("contact/portal:a", 3_000, &[("firms", list(&["company/portal:o"])), ("firm", text("company/portal:o"))]);
    assert_eq!(desk.value("contact/crm:1", "firms"), list(&["company/crm:7", "company/portal:o"]));
    assert_eq!(desk.value("contact/crm:1", "firm"), text("company/portal:o"));
    let (one, other) = (id("company/crm:7"), id("company/portal:o"));
    desk.engine().link(&one, &other, Author::user("eva"), "one firm").expect("it is said");
    assert_eq!(desk.value("contact/crm:1", "firms"), list(&["company/crm:7"]));
    assert_eq!(desk.value("contact/crm:1", "firm"), text("company/crm:7"));
    let about_contacts = |name: &str| {
        let writes = desk.writes(name).into_iter().filter(|write| write.record.kind() == "contact");
        writes.flat_map(|write| Desk::words(&write)).filter(|(field, _)| field.starts_with("firm")).count()
    };
    assert_eq!((about_contacts("crm"), about_contacts("portal")), (0, 0), "both show it already");
    desk.assert_rebuilds();

    // Who takes it away takes away what the other side had added under its own id.
    desk.clock.advance(1_000_000);
    desk.says("contact/portal:a", 60_000_000, &[("firms", list(&[]))]);
    desk.settles();
    assert_eq!(desk.value("contact/crm:1", "firms"), list(&[]));
    desk.assert_rebuilds();
}

#[test]
fn a_wrong_link_of_what_is_named_is_undone_for_whoever_names_it() {
    let mut desk = two_companies();
    let (one, other) = (id("company/crm:7"), id("company/portal:o"));
    desk.engine().link(&one, &other, Author::user("eva"), "by mistake").expect("it is said");
    desk.settles();
    desk.says(
        "contact/portal:a",
        60_000_000,
        &[("firm", text("company/portal:o")), ("firms", list(&["company/portal:o"]))],
    );
    let write = desk.writes("crm").remove(0);
    assert_eq!(Desk::words(&write)["firm"], "\"company/crm:7\"", "a side is told its own ids");
    desk.takes(write, None);
    assert!(desk.writes("crm").is_empty(), "and shows it then");
    desk.engine().unlink(&one, &other, Author::user("eva"), "two firms").expect("it is said");
    // The portal meant its own. The CRM does not have that one, and what it shows is to be another's.
    for field in ["firm", "firms"] {
        let shows = desk.value("contact/crm:1", field).to_json();
        assert!(shows.contains("company/portal:o") && !shows.contains("crm:7"), "{shows}");
    }
    desk.assert_rebuilds();
}

#[test]
fn a_field_waits_for_what_it_names_and_the_rest_does_not() {
    let desk = two_companies();
    desk.says("contact/portal:a", 60_000_000, &[("firms", list(&["company/portal:o"])), ("phone", text("1"))]);
    let writes = desk.writes("crm");
    let of = |kind: &str| writes.iter().find(|write| write.record.kind() == kind).expect("it is due").clone();
    assert_eq!(Desk::words(&of("contact")).keys().collect::<Vec<_>>(), ["phone"]);
    desk.takes(of("contact"), None);
    assert!(desk.writes("crm").iter().all(|write| write.record.kind() != "contact"), "nothing to try in vain");
    let made = of("company");
    assert!(made.create);
    desk.takes(made, Some("8"));
    let write = desk.writes("crm").into_iter().find(|write| write.record.kind() == "contact").expect("now it is");
    assert_eq!(Desk::words(&write)["firms"], "[\"company/crm:8\"]");
    desk.takes(write, None);
    assert!(desk.writes("crm").is_empty());
}

#[test]
fn a_reading_that_began_before_a_write_of_what_stands_beside_the_record_says_nothing_of_it() {
    let mut desk = two_companies();
    desk.engine()
        .link(&id("company/crm:7"), &id("company/portal:o"), Author::user("eva"), "one firm")
        .expect("it is said");
    desk.settles();
    desk.says("contact/portal:a", 49_990_000, &[("firms", list(&["company/portal:o"]))]);
    let write = desk.writes("crm").into_iter().find(|write| write.record.kind() == "contact").expect("it is due");
    let before = desk.clock.now();
    desk.clock.advance(5_000);
    // The record's own time does not move with what stands beside it.
    let receipt = Receipt { at: Some(Millis(1_000)), beside: vec![field("firms")], ..Receipt::default() };
    desk.engine().outcome(vec![(write, Outcome::Applied(receipt))]).expect("it is told");
    desk.clock.advance(5_000);
    let reads = |asked: Millis| {
        let plain = SeenField::plain(field("firms"), list(&[]), None);
        let seen = Seen {
            found: true,
            link: Some("1".into()),
            fields: vec![SeenField { asked: Some(asked), ..plain }],
            modified: Some(Millis(1_000)),
            merged: Vec::new(),
        };
        desk.engine().observe(&side("crm"), &id("contact/crm:1"), seen).expect("it is told");
    };
    reads(before);
    assert_eq!(desk.value("contact/crm:1", "firms"), list(&["company/crm:7"]), "it was read too early to be seen");
    assert!(desk.writes("crm").is_empty() && desk.writes("portal").is_empty(), "both show it");
    reads(desk.clock.now());
    assert_eq!(desk.value("contact/crm:1", "firms"), list(&[]), "somebody has taken it away since");
    desk.settles();
    desk.assert_rebuilds();
}

#[test]
fn what_is_named_stays_named_when_it_is_merged_away() {
    let mut desk = two_companies();
    desk.says("company/crm:9", 1_000, &[("name", text("Bolt"))]);
    desk.says("contact/crm:1", 2_000, &[("firms", list(&["company/crm:7", "company/crm:9"]))]);
    desk.merges("company/crm:9", "company/crm:7", 3_000);
    assert_eq!(desk.value("contact/crm:1", "firms"), list(&["company/crm:7"]), "by the least of its ids");
    desk.assert_rebuilds();
}

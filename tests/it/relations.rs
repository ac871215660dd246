//! Records that belong together, and who stands behind what: over HTTP with both pretend sides.

mod desk;
mod from_the_field;
mod house;
mod references;

use std::collections::BTreeSet;

use house::{House, new_one, text_property};
use serde_json::json;
use syncline::{
    event::AuthorKind,
    history::Principal,
    sim::{
        hubspot::{By, Fault, Order},
        portal,
    },
};

const RECORDS: &str = "
defaults: { rule: { authority: crm } }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    match_on: [email]
    links: certain
    author: { crm: portal_author }
    fields:
      email:     { type: email, crm: email, portal: email, required: true }
      phone:     { type: string, crm: phone, portal: phone, rule: { authority: portal } }
      company:   { type: reference, to: company, crm: primary_company, portal: companyId }
      companies: { type: references, to: company, crm: associated_companies, portal: companyIds, rule: merge }
  company:
    sides: { crm: companies, portal: organisation }
    fields:
      name: { type: string, crm: name, portal: name, required: true }
  deal:
    sides: { crm: deals, portal: quote }
    author: { crm: portal_author }
    fields:
      name:     { type: string, crm: dealname, portal: name }
      approval: { type: string, crm: approval, portal: approval, rule: { authority: portal } }
      contacts: { type: references, to: contact, crm: associated_contacts, portal: contactIds, rule: merge }
  ticket:
    sides: { crm: tickets, portal: request }
    author: { crm: portal_author }
    made_for: { contact: contacts, company: company }
    fields:
      subject:  { type: string, crm: subject, portal: subject, required: true }
      text:     { type: string, crm: content, portal: text }
      contacts: { type: references, to: contact, crm: associated_contacts, portal: contactIds, rule: merge }
      company:  { type: reference, to: company, crm: associated_company, portal: companyId }
";

fn sales() -> By {
    By::user(7)
}

fn company(account: &syncline::sim::hubspot::Account, name: &str) -> u64 {
    account.create("companies", &[("name", name)], &sales()).expect("a good company")
}

fn ids<const N: usize>(ids: [u64; N]) -> BTreeSet<u64> {
    ids.into()
}

/// A contact with two companies of four, known on both sides.
fn with_four_companies() -> (House, u64, [u64; 4]) {
    let (mut ana, mut four) = (0, [0; 4]);
    let house = House::new(RECORDS, |account, _| {
        account.add_property("contacts", &text_property("portal_author")).expect("a property");
        ana = account.create("contacts", &[("email", "ana@example.com")], &sales()).expect("a good contact");
        four = ["Acme", "Bolt", "Cord", "Dune"].map(|name| company(account, name));
        for company in &four[..2] {
            account.associate(("contacts", ana), ("companies", *company), None, false, &sales()).expect("a tie");
        }
    });
    (house, ana, four)
}

#[test]
fn associations_edited_on_both_sides_at_once_end_as_the_union_less_the_removals() {
    let (mut house, ana, [acme, bolt, cord, dune]) = with_four_companies();
    let theirs = |id| house.on_portal("company", id);
    let [own_acme, own_bolt, own_cord, own_dune] = [acme, bolt, cord, dune].map(theirs);
    let customer = house.on_portal("contact", ana);
    assert_eq!(house.listed("customer", &customer, "companyIds"), [own_acme.clone(), own_bolt].into());

    // Sales adds one and takes one away; at the same time the portal's user does so with others.
    house.account.associate(("contacts", ana), ("companies", cord), None, false, &sales()).expect("a tie");
    house.account.associate(("contacts", ana), ("companies", acme), None, true, &sales()).expect("no tie");
    let set = json!({"companyIds": [own_acme, own_dune]});
    house.portal.edit("customer", &customer, set, &portal::By::user("ana")).expect("it is there");
    house.settle();

    assert_eq!(house.joined_ids(("contacts", ana), "companies"), ids([cord, dune]));
    assert_eq!(house.listed("customer", &customer, "companyIds"), [own_cord, own_dune].into());
    let written = house.account.shows("contacts", ana, "portal_author");
    assert_eq!(written.as_deref(), Some("ana"), "the write of associations bears its author too");
    house.assert_sound();
}

/// HubSpot tells no time of an association, and the record's own does not move with it.
#[test]
fn associations_made_and_taken_away_again_follow_each_other() {
    let (mut house, ana, [acme, bolt, ..]) = with_four_companies();
    let customer = house.on_portal("contact", ana);
    let (own_acme, own_bolt) = (house.on_portal("company", acme), house.on_portal("company", bolt));
    for _ in 0..2 {
        house.account.associate(("contacts", ana), ("companies", acme), None, true, &sales()).expect("no tie");
        house.settle();
        assert_eq!(house.listed("customer", &customer, "companyIds"), [own_bolt.clone()].into());
        let both = json!({"companyIds": [own_bolt, own_acme]});
        house.portal.edit("customer", &customer, both, &portal::By::user("ana")).expect("it is there");
        house.settle();
        assert_eq!(house.joined_ids(("contacts", ana), "companies"), ids([acme, bolt]));
    }
    house.assert_sound();
}

/// A write of the whole set would have parted the two again.
#[test]
fn what_a_colleague_has_joined_unheard_stays() {
    let (mut house, ana, [acme, bolt, cord, dune]) = with_four_companies();
    let customer = house.on_portal("contact", ana);
    house.account.order(Order::next(Fault::Lose, 8));
    house.account.associate(("contacts", ana), ("companies", cord), None, false, &sales()).expect("a tie");
    house.settle();
    house.account.heal();
    let due = [acme, bolt, dune].map(|id| house.on_portal("company", id));
    house.portal.edit("customer", &customer, json!({"companyIds": due}), &portal::By::user("ana")).expect("there");
    house.settle();
    assert_eq!(house.joined_ids(("contacts", ana), "companies"), ids([acme, bolt, cord, dune]));
    house.reconcile();
    assert_eq!(house.listed("customer", &customer, "companyIds").len(), 4);
    house.assert_sound();
}

#[test]
fn the_primary_company_is_a_reference_beside_the_set() {
    let (mut house, ana, [acme, bolt, cord, _]) = with_four_companies();
    let customer = house.on_portal("contact", ana);
    let own_cord = house.on_portal("company", cord);
    let set = json!({"companyId": own_cord});
    house.portal.edit("customer", &customer, set, &portal::By::user("ana")).expect("it is there");
    house.settle();
    let joined = house.joined(("contacts", ana), "companies");
    assert_eq!(joined.iter().filter(|(_, types)| types.contains(&1)).map(|(id, _)| *id).collect::<Vec<_>>(), [cord]);
    // HubSpot makes the plain one with it, and that is told to the portal.
    assert_eq!(house.listed("customer", &customer, "companyIds").len(), 3);
    house.account.associate(("contacts", ana), ("companies", bolt), Some(1), false, &sales()).expect("a tie");
    house.settle();
    assert_eq!(house.portal.shows("customer", &customer, "companyId"), Some(json!(house.on_portal("company", bolt))));
    assert_eq!(house.joined_ids(("contacts", ana), "companies"), ids([acme, bolt, cord]));
    house.assert_sound();
}

#[test]
fn what_is_made_on_the_portal_together_is_joined_once_both_are_there() {
    let (mut house, _, [acme, ..]) = with_four_companies();
    let (contacts, companies) = (house.account.ids("contacts"), house.account.ids("companies"));
    let by = portal::By::user("ben");
    let firm = house.portal.create("organisation", json!({"name": "Edge"}), &by);
    let own_acme = house.on_portal("company", acme);
    let set = json!({"email": "ben@example.com", "companyIds": [firm, own_acme]});
    let customer = house.portal.create("customer", set, &by);
    house.settle();
    let ben = new_one(&house.account, "contacts", &contacts);
    let edge = new_one(&house.account, "companies", &companies);
    assert_eq!(house.joined_ids(("contacts", ben), "companies"), ids([acme, edge]));

    // Two ids of one company are one element: who takes it away takes all of it away.
    house.account.associate(("contacts", ben), ("companies", edge), None, true, &sales()).expect("no tie");
    house.settle();
    assert_eq!(house.listed("customer", &customer, "companyIds"), [own_acme].into());
    house.assert_sound();
}

#[test]
fn companies_that_are_merged_are_one_association() {
    let (mut house, ana, [acme, bolt, cord, _]) = with_four_companies();
    let customer = house.on_portal("contact", ana);
    let left = house.account.merge("companies", acme, bolt, true, &sales()).expect("a merger");
    house.settle();
    assert_eq!(house.joined_ids(("contacts", ana), "companies"), ids([left]));
    let record = house.engine().read(&Principal::operator()).get(&house.on("contact", "crm", ana)).expect("a read");
    let companies = record.expect("it is there").value("companies").expect("it has some").to_json();
    assert_eq!(companies.matches("company/").count(), 1, "{companies}");
    // An edit after it takes hold on both sides.
    let shown = house.listed("customer", &customer, "companyIds");
    let due: Vec<String> = shown.into_iter().chain([house.on_portal("company", cord)]).collect();
    house.portal.edit("customer", &customer, json!({"companyIds": due}), &portal::By::user("ana")).expect("there");
    house.settle();
    assert_eq!(house.joined_ids(("contacts", ana), "companies"), ids([left, cord]));
}

/// A portal user raises a request, approves a quote and edits a phone.
fn a_portal_user_at_work(lost: bool) {
    let (mut ana, mut acme, mut quote) = (0, 0, 0);
    let mut house = House::new(RECORDS, |account, _| {
        for kind in ["contacts", "deals", "tickets"] {
            account.add_property(kind, &text_property("portal_author")).expect("a property");
        }
        account.add_property("deals", &text_property("approval")).expect("a property");
        ana = account.create("contacts", &[("email", "ana@example.com")], &sales()).expect("a good contact");
        acme = company(account, "Acme");
        quote = account.create("deals", &[("dealname", "Roof")], &sales()).expect("a good deal");
        account.associate(("contacts", ana), ("companies", acme), Some(1), false, &sales()).expect("a tie");
        account.associate(("deals", quote), ("contacts", ana), None, false, &sales()).expect("a tie");
    });
    let customer = house.on_portal("contact", ana);
    let by = portal::By {
        user: Some("u07".into()),
        contact: Some(customer.clone()),
        company: Some(house.on_portal("company", acme)),
        ..portal::By::default()
    };
    if lost {
        house.account.order(Order::next(Fault::LoseAnswer, 1).with("tickets.create"));
    }
    let request = house.portal.create("request", json!({"subject": "The roof leaks", "text": "Since Monday"}), &by);
    let own_quote = house.on_portal("deal", quote);
    house.portal.edit("quote", &own_quote, json!({"approval": "yes"}), &by).expect("it is there");
    house.portal.edit("customer", &customer, json!({"phone": "+1-555-0100"}), &by).expect("it is there");
    house.settle();

    let ticket = new_one(&house.account, "tickets", &[]);
    assert_eq!(house.joined_ids(("tickets", ticket), "contacts"), ids([ana]));
    assert_eq!(house.joined_ids(("tickets", ticket), "companies"), ids([acme]));
    for (kind, id, property, value) in [
        ("tickets", ticket, "subject", "The roof leaks"),
        ("deals", quote, "approval", "yes"),
        ("contacts", ana, "phone", "+1-555-0100"),
    ] {
        assert_eq!(house.account.shows(kind, id, property).as_deref(), Some(value));
        assert_eq!(house.account.shows(kind, id, "portal_author").as_deref(), Some("u07"), "{kind}");
    }
    let reader = house.engine().read(&Principal::operator());
    for (record, field) in [
        (house.on("ticket", "crm", ticket), "subject"),
        (house.on("deal", "crm", quote), "approval"),
        (house.on("contact", "crm", ana), "phone"),
    ] {
        let blame = reader.blame(&record).expect("a read").expect("it is there");
        let line = blame.iter().find(|line| *line.field == *field).expect("somebody said it");
        assert_eq!((line.author.kind, &*line.author.id), (AuthorKind::User, "u07"));
        assert_eq!(line.author.contact.as_deref(), Some(customer.as_str()));
    }
    // The portal shows for whom it was made as well.
    assert_eq!(house.listed("request", &request, "contactIds"), [customer].into());
    assert_eq!(house.account.ids("tickets").len(), 1);
    house.assert_sound();
    assert_eq!(house.account.ids("tickets").len(), 1, "nor later");
}

#[test]
fn what_a_portal_user_does_is_theirs_on_the_crm() {
    a_portal_user_at_work(false);
}

#[test]
fn what_a_portal_user_does_is_done_once_though_the_answer_was_lost() {
    a_portal_user_at_work(true);
}

//! A CRM that refuses what portal users write: they get back what stands, with its reason, and nothing is tried in vain.

use std::collections::BTreeMap;

use serde_json::json;
use syncline::{
    event::Kind,
    history::Principal,
    send::chance::Chance,
    sim::{
        hubspot::{self, Choice, Property},
        portal,
    },
};

use super::{MINUTE, Rig, id};
use crate::suites;

const RECORDS: &str = "
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    match_on: [key]
    links: certain
    refusals: given_back
    fields:
      key: { type: string, crm: fax, portal: key }
      email: { type: string, crm: email, portal: email }
      score: { type: string, crm: score, portal: score }
      level: { type: string, crm: level, portal: level }
      visited: { type: string, crm: visited, portal: visited }
      city: { type: string, crm: city, portal: city }
";
const FIELDS: [&str; 5] = ["email", "score", "level", "visited", "city"];
const PEOPLE: usize = 20;

/// A value of a field, and part of what the CRM says to it if it refuses it. It takes any city.
fn value(chance: &mut Chance, field: &str, person: usize) -> (String, Option<&'static str>) {
    let number = chance.below(1_000_000);
    let bad = chance.permille(600);
    match field {
        "email" if bad => (format!("nobody {number}"), Some("is invalid")),
        "email" => (format!("p{person}.{number}@x.example"), None),
        "score" if bad => (format!("many {number}"), Some("not a valid number")),
        "score" => (number.to_string(), None),
        "level" if bad => (format!("level {number}"), Some("not one of the allowed options")),
        "level" => ((*chance.pick(&["low", "high"])).to_owned(), None),
        "visited" if bad => (format!("day {number}"), Some("not a valid date")),
        "visited" => (format!("2026-0{}-1{}", 1 + number % 9, number % 9), None),
        _ => (format!("City {number}"), None),
    }
}

fn properties(rig: &Rig) {
    let options = ["low", "high"].map(|value| Choice { value: value.into(), label: value.into(), ..Choice::default() });
    let of = |name: &str, kind: &str, form: &str, options: Vec<Choice>| {
        let (name, kind, field_type) = (name.into(), kind.into(), form.into());
        Property { name, kind, field_type, options, ..Property::default() }
    };
    let all = [
        of("score", "number", "number", Vec::new()),
        of("level", "enumeration", "select", options.into()),
        of("visited", "date", "date", Vec::new()),
    ];
    all.iter().for_each(|property| rig.account.add_property("contacts", property).expect("it is new"));
}

/// How many requests there were that write to contacts.
fn writes(rig: &Rig) -> u64 {
    let counts = rig.account.counts();
    let ops = counts["by_op"].as_object().expect("operations").iter();
    let writing = ops.filter(|(op, _)| op.contains("update") || op.contains("create"));
    writing.flat_map(|(_, by_status)| by_status.as_object().expect("counts").values()).filter_map(|n| n.as_u64()).sum()
}

struct Person {
    crm: u64,
    portal: String,
    shows: BTreeMap<&'static str, String>,
}

fn people(rig: &Rig, chance: &mut Chance) -> Vec<Person> {
    let made = |person: usize| {
        let good = |chance: &mut Chance, field: &str| loop {
            let (value, refused) = value(chance, field, person);
            if refused.is_none() {
                return value;
            }
        };
        let shows: BTreeMap<&str, String> = FIELDS.iter().map(|field| (*field, good(chance, field))).collect();
        let key = format!("key {person}");
        let mut set: Vec<(&str, &str)> = shows.iter().map(|(field, value)| (*field, value.as_str())).collect();
        set.push(("fax", &key));
        let crm = rig.account.create("contacts", &set, &hubspot::By::user(7)).expect("it is made");
        let portal = rig.portal.create_silently("customer", json!({"key": key}), &portal::By::user("u"));
        Person { crm, portal, shows }
    };
    (0..PEOPLE).map(made).collect()
}

#[test]
fn what_the_crm_refuses_is_given_back_with_its_reason_and_not_tried_again() {
    let due = suites::cases(60, 300, 1_000);
    let seed = suites::first_seed();
    let mut chance = Chance::new(seed);
    let mut rig = Rig::new(RECORDS);
    properties(&rig);
    let mut people = people(&rig, &mut chance);
    rig.open();
    rig.pass(20 * MINUTE, 2 * MINUTE);
    let (mut refused, mut taken, mut rounds) = (0, 0, 0);
    while refused < due {
        rounds += 1;
        let mut said: BTreeMap<(usize, &str), (String, Option<&str>)> = BTreeMap::new();
        for (number, person) in people.iter().enumerate() {
            let mut set = serde_json::Map::new();
            for _ in 0..=chance.below(2) {
                let field = *chance.pick(&FIELDS);
                let (value, reason) = value(&mut chance, field, number);
                if person.shows[field] == value {
                    continue;
                }
                set.insert(field.to_owned(), value.clone().into());
                said.insert((number, field), (value, reason));
            }
            let by = portal::By::user("ana");
            rig.portal.edit_silently("customer", &person.portal, set.into(), &by).expect("it is there");
        }
        rig.pass(14 * MINUTE, 2 * MINUTE);
        let reader = rig.engine().read(&Principal::operator());
        for ((number, field), (value, reason)) in said {
            let (person, told) = (&mut people[number], format!("seed {seed}, round {rounds}: {field} of {number}"));
            let record = id(&format!("contact/portal:{}", person.portal));
            let sentence = reader.why(&record, field).expect("a read").expect("a verdict").sentence;
            match reason {
                Some(reason) => {
                    refused += 1;
                    assert!(sentence.contains("crm refused it"), "{told}: {sentence}");
                    let history = reader.history(&record, Some(field)).expect("a read").expect("a story");
                    let edit = history.iter().rposition(|change| change.new.as_text() == Some(value.as_str()));
                    let after = history[edit.expect("the edit is in the story")..].iter();
                    let mut why =
                        after.filter(|change| change.kind == Kind::Decide).filter_map(|change| change.detail.clone());
                    assert!(why.any(|why| why.contains(reason)), "{told}: {reason}");
                }
                None => {
                    taken += 1;
                    person.shows.insert(FIELDS.iter().find(|name| **name == field).expect("a field"), value);
                }
            }
        }
        for person in &people {
            for (field, value) in &person.shows {
                assert_eq!(
                    rig.account.shows("contacts", person.crm, field).as_ref(),
                    Some(value),
                    "{field} in the CRM"
                );
                let shown = rig.portal.shows("customer", &person.portal, field);
                assert_eq!(shown, Some(json!(value)), "seed {seed}, round {rounds}: {field} on the portal");
            }
        }
    }
    let asked = writes(&rig);
    rig.pass(6 * 60 * MINUTE, 20 * MINUTE);
    assert_eq!(writes(&rig), asked, "nothing is tried in vain");
    let headers = rig.engine().stored().map(|stored| stored.expect("readable").0.header);
    let fields = headers.filter(|header| header.kind == Kind::Refused).map(|header| header.fields.len() as u64);
    assert_eq!(fields.sum::<u64>(), refused, "each was refused once");
    assert_eq!(rig.engine().counts().expect("open").parked, 0, "and nobody has to look");
    assert!(taken > 0);
    suites::reached("refusals", refused, "writes refused by the CRM");
}

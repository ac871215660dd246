//! A first reading of two sides that have grown apart: who is certainly one is linked, and nobody is made twice.

use serde_json::{Value as Json, json};
use syncline::sim::{hubspot, portal};

use super::{MINUTE, Rig, id};
use crate::suites;

const RECORDS: &str = "
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    match_on: [email, phone]
    links: reviewed
    fields:
      email: { type: string, crm: email, portal: email }
      phone: { type: string, crm: phone, portal: phone }
      city: { type: string, crm: city, portal: city }
";

/// A contact as each side has it, by the side's own ids.
#[derive(Default)]
struct Known {
    crm: Vec<String>,
    portal: Vec<String>,
}

/// What a side has of a contact: an address and a number.
type Entry = (String, String);

fn fill(rig: &Rig, crm: &[Entry], portal: &[Entry]) -> Known {
    let mut known = Known::default();
    for (email, phone) in crm {
        let set = [("email", email.as_str()), ("phone", phone.as_str())];
        let made = rig.account.create("contacts", &set, &hubspot::By::user(7)).expect("it is made");
        known.crm.push(format!("contact/crm:{made}"));
    }
    for (email, phone) in portal {
        let made =
            rig.portal.create_silently("customer", json!({"email": email, "phone": phone}), &portal::By::user("u"));
        known.portal.push(format!("contact/portal:{made}"));
    }
    known
}

/// How many contacts of each sort there are.
struct Sorts {
    certain: usize,
    twice: usize,
    doubtful: usize,
}

fn people(rig: &Rig, sorts: &Sorts) -> [Vec<Known>; 3] {
    let entry = |email: String, number: usize| (email, format!("+1 555 {number:06}"));
    let twice = |n: usize| {
        let (one, old) = (entry(format!("t{n}@x.example"), n), entry(format!("t{n}@old.example"), n));
        match n % 2 {
            // The portal has him twice under one address; the CRM, which does not let that be, under an old one.
            0 => fill(rig, std::slice::from_ref(&one), &[one.clone(), one.clone()]),
            _ => fill(rig, &[one.clone(), old], &[one]),
        }
    };
    // Two people who share a telephone, or one who has two addresses: nobody but a person can tell.
    let doubtful = |n: usize| {
        let number = 200_000 + n;
        fill(rig, &[entry(format!("d{n}@home.example"), number)], &[entry(format!("d{n}@work.example"), number)])
    };
    let certain = |n: usize| {
        let number = 400_000 + n;
        // One form or another of the same address.
        let shouted = if n.is_multiple_of(3) { format!("C{n}@X.EXAMPLE ") } else { format!("c{n}@x.example") };
        fill(rig, &[entry(format!("c{n}@x.example"), number)], &[entry(shouted, number)])
    };
    [
        (0..sorts.certain).map(certain).collect(),
        (0..sorts.twice).map(twice).collect(),
        (0..sorts.doubtful).map(doubtful).collect(),
    ]
}

#[test]
fn the_dry_run_counts_who_is_doubtful_and_after_the_review_nobody_was_made_twice() {
    let all = suites::cases(300, 1_000, 10_000) as usize;
    let sorts = Sorts { certain: all - all * 5 / 100, twice: all * 3 / 100, doubtful: all * 2 / 100 };
    let mut rig = Rig::new(RECORDS);
    let [certain, twice, doubtful] = people(&rig, &sorts);
    let before = (rig.account.ids("contacts").len(), rig.portal.ids("customer").len());
    rig.open();
    rig.pass(10 * MINUTE, MINUTE);
    assert!(["crm", "portal"].iter().all(|side| rig.engine().is_populated(side).expect("open")), "both are read");

    let report = rig.command(&[&["links", "suggest"]]).remove(0);
    let due = json!({"certain": sorts.certain, "doubtful": sorts.doubtful, "twice": sorts.twice});
    assert_eq!(report["counts"], due);
    let named: Vec<&str> = report["suggestions"].as_array().expect("a list").iter().filter_map(record).collect();
    for known in certain.iter().chain(&twice).chain(&doubtful) {
        assert!(known.crm.iter().chain(&known.portal).all(|id| named.contains(&id.as_str())), "each is named");
    }
    assert_eq!((rig.account.ids("contacts").len(), rig.portal.ids("customer").len()), before, "it was a dry run");

    // What is certain is linked by rule from now on; half of the rest is looked at.
    let manifest = rig.manifest.replace("links: reviewed", "links: certain");
    rig.manifest = manifest;
    let (refused, left) = doubtful.split_at(doubtful.len() / 2);
    let (accepted, _) = twice.split_at(twice.len() / 2);
    let by = ["--by", "eva", "--why", "called"];
    let said = |word: &'static str, known: &Known| -> Vec<String> {
        let words = ["links", word, &known.crm[0], &known.portal[0]].into_iter().chain(by);
        words.map(str::to_owned).collect()
    };
    let orders: Vec<Vec<String>> = refused.iter().map(|known| said("reject", known)).collect();
    let orders: Vec<Vec<String>> =
        orders.into_iter().chain(accepted.iter().map(|known| said("accept", known))).collect();
    let orders: Vec<Vec<&str>> = orders.iter().map(|order| order.iter().map(String::as_str).collect()).collect();
    rig.command(&orders.iter().map(Vec::as_slice).collect::<Vec<_>>());
    rig.pass(60 * MINUTE, 5 * MINUTE);

    let one = |known: &Known| {
        let canonical = |record: &String| rig.engine().canonical(&id(record)).expect("an id");
        canonical(&known.crm[0]) == canonical(&known.portal[0])
    };
    assert!(certain.iter().all(one), "what is certain is one");
    assert!(accepted.iter().all(one), "what was accepted is one");
    assert!(!doubtful.iter().any(one), "no doubtful pair was linked");
    let made = refused.len();
    assert_eq!(left.is_empty(), sorts.doubtful < 2);
    let after = (rig.account.ids("contacts").len(), rig.portal.ids("customer").len());
    assert_eq!(
        after,
        (before.0 + made, before.1 + made),
        "who was told apart is made on the other side, and nobody else"
    );
    suites::reached("doubtful", all as u64, "contacts on either side");
}

fn record(suggestion: &Json) -> Option<&str> {
    suggestion["record"].as_str()
}

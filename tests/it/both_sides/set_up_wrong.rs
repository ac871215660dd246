//! A portal that answers wrongly for a moment: nothing lasting follows from that.

use serde_json::json;
use syncline::{
    event::Kind,
    sim::{
        hubspot,
        portal::{self, Fault, Order},
    },
};

use super::{MINUTE, Rig};

const RECORDS: &str = "
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    match_on: [email]
    links: certain
    fields:
      email: { type: string, crm: email, portal: email }
";

/// One person, known to both sides.
fn rig() -> Rig {
    let rig = Rig::new(RECORDS);
    let set = [("email", "ana@x.example")];
    rig.account.create("contacts", &set, &hubspot::By::user(7)).expect("it is made");
    rig.portal.create_silently("customer", json!({"email": "ana@x.example"}), &portal::By::user("ana"));
    rig
}

#[test]
fn a_portal_that_is_not_there_at_first_is_read_before_anything_is_made() {
    let mut rig = rig();
    rig.portal.order(Order::next(Fault::Status { status: 404, retry_after: None }, 1).with("syncline.list"));
    rig.open();
    rig.pass(20 * MINUTE, 2 * MINUTE);
    assert_eq!((rig.account.ids("contacts").len(), rig.portal.ids("customer").len()), (1, 1));
    assert!(rig.tenant().alarms().is_empty(), "it is there now");
}

/// How often the side's clock was measured to be off, after a single call was answered with a wrong time.
fn measured(side: &str, ahead: impl Fn(&Rig, i64), calls: impl Fn(&Rig) -> u64) -> usize {
    let mut rig = rig();
    rig.open();
    rig.pass(20 * MINUTE, MINUTE);
    let before = calls(&rig);
    ahead(&rig, 20_000);
    while calls(&rig) == before {
        rig.pass(MINUTE, MINUTE);
    }
    assert_eq!(calls(&rig), before + 1, "the next poll, and nothing else");
    ahead(&rig, 0);
    rig.pass(20 * MINUTE, MINUTE);
    let events = rig.engine().stored().map(|stored| stored.expect("readable").0);
    events.filter(|event| event.header.kind == Kind::Clock && *event.header.origin.side == *side).count()
}

#[test]
fn one_wrong_time_is_not_taken_for_two() {
    let ahead = |rig: &Rig, ms| rig.portal.set(|settings| settings.ahead_ms = ms);
    let events = measured("portal", ahead, |rig| {
        rig.portal.counts()["messages"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
    });
    assert_eq!(events, 0);
    let ahead = |rig: &Rig, ms| rig.account.set(|settings| settings.ahead_ms = ms);
    let events = measured("crm", ahead, |rig| rig.account.counts()["requests"].as_u64().unwrap_or_default());
    assert_eq!(events, 0);
}

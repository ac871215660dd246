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

//! A CRM whose clock runs seven minutes fast, and is then set right: the last write is the one that was made last.

use serde_json::json;
use syncline::{
    event::{Detail, Kind},
    service::AlarmKind,
    sim::{hubspot, portal},
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
      city: { type: string, crm: city, portal: city }
      phone: { type: string, crm: phone, portal: phone }
";
const FAST: i64 = 7 * MINUTE;

struct Story {
    rig: Rig,
    crm: u64,
    portal: String,
}

impl Story {
    /// Two edits of which neither side knows the other's, a minute apart: both sides come to show the later one.
    fn later_wins(&self, told: &str) {
        for (field, crm_first) in [("city", true), ("phone", false)] {
            let of_crm = format!("CRM, {told}");
            let of_portal = format!("portal, {told}");
            let by_crm = || {
                let by = hubspot::By::user(7);
                self.rig.account.edit_silently("contacts", self.crm, &[(field, &of_crm)], &by).expect("it is there");
            };
            let by_portal = || {
                let by = portal::By::user("ana");
                self.rig
                    .portal
                    .edit_silently("customer", &self.portal, json!({field: of_portal}), &by)
                    .expect("it is there");
            };
            if crm_first {
                by_crm();
                self.rig.clock.advance(MINUTE);
                by_portal();
            } else {
                by_portal();
                self.rig.clock.advance(MINUTE);
                by_crm();
            }
        }
        self.rig.pass(16 * MINUTE, 2 * MINUTE);
        for (field, later) in [("city", "portal"), ("phone", "CRM")] {
            let due = format!("{later}, {told}");
            assert_eq!(self.rig.account.shows("contacts", self.crm, field).as_ref(), Some(&due), "{field} in the CRM");
            let shown = self.rig.portal.shows("customer", &self.portal, field);
            assert_eq!(shown, Some(json!(due)), "{field} on the portal");
        }
    }

    fn alarms(&self) -> Vec<AlarmKind> {
        self.rig.tenant().alarms().iter().map(|alarm| alarm.kind).collect()
    }

    /// The offsets that were measured, in the order of the log, in whole seconds.
    fn measured(&self) -> Vec<i64> {
        let events = self.rig.engine().stored().map(|stored| stored.expect("readable").0);
        let clocks = events.filter(|event| event.header.kind == Kind::Clock && *event.header.origin.side == *"crm");
        let ahead = clocks.filter_map(|event| match event.payload.detail {
            Detail::Clock(ahead) => Some((ahead + 500).div_euclid(1000)),
            _ => None,
        });
        ahead.collect()
    }
}

#[test]
fn the_last_write_is_the_one_made_last_by_a_clock_that_is_fast_and_then_set_right() {
    let mut rig = Rig::new(RECORDS);
    let set = [("email", "ana@x.example")];
    let crm = rig.account.create("contacts", &set, &hubspot::By::user(7)).expect("it is made");
    let portal = rig.portal.create_silently("customer", json!({"email": "ana@x.example"}), &portal::By::user("ana"));
    rig.open();
    rig.pass(20 * MINUTE, 2 * MINUTE);
    let story = Story { rig, crm, portal };
    assert!(story.alarms().is_empty() && story.measured().is_empty(), "both clocks are right");
    story.later_wins("right");

    story.rig.account.set(|settings| settings.ahead_ms = FAST);
    story.rig.pass(20 * MINUTE, 2 * MINUTE);
    assert_eq!(story.alarms(), [AlarmKind::Clock]);
    assert!(matches!(story.measured()[..], [419..=421]), "{:?}", story.measured());
    story.later_wins("seven minutes fast");
    assert_eq!(story.alarms(), [AlarmKind::Clock], "as long as it is fast");

    story.rig.account.set(|settings| settings.ahead_ms = 0);
    story.rig.pass(20 * MINUTE, 2 * MINUTE);
    assert!(story.alarms().is_empty(), "it is over");
    assert!(matches!(story.measured()[..], [419..=421, -1..=1]), "{:?}", story.measured());
    story.later_wins("set right");
    assert_eq!(story.rig.engine().counts().expect("open").parked, 0);
}

//! Faults to order: what goes wrong, how often, and with which requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hook::Fate;
use crate::{send::chance::Chance, sim::order};

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// A request is answered 429 in a policy, without `Retry-After`: `TEN_SECONDLY_ROLLING`, `SECONDLY` or `DAILY`.
    RateLimit {
        /// The policy.
        policy: String,
    },
    /// A request is answered with a status, and nothing is done; 477 says for how long in `Retry-After`.
    Status {
        /// Such as 423, 477, 500, 502, 503, 504, 521.
        status: u16,
        /// Seconds for `Retry-After`, if any.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// A request is answered 401: the token is no longer good, though it should be.
    Expired,
    /// A request is done, and its answer is lost: the connection is closed.
    LoseAnswer,
    /// A request is lost before anything is done: the connection is closed.
    LoseRequest,
    /// A request is done, and answered only after so many milliseconds of real time.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// One row of a batch fails: 207.
    FailRow,
    /// One row of a batch is done and left out of the results: 200.
    OmitRow,
    /// Another app writes to the record just before a write of ours.
    OtherApp {
        /// Its number.
        app: u64,
        /// The property that it writes.
        property: String,
        /// The values that it writes, in turn.
        values: Vec<String>,
    },
    /// The record that is being written was just merged with another one of its kind.
    Merge {
        /// Whether a third id is made.
        #[serde(default)]
        new_id: bool,
    },
    /// A notification is sent twice.
    Duplicate {
        /// Whether both have the same event id.
        #[serde(default)]
        same_id: bool,
    },
    /// A notification changes places with later ones.
    Reorder,
    /// A notification is never sent.
    Lose,
    /// A notification is late.
    Delay {
        /// Milliseconds, by the account's clock.
        ms: i64,
    },
    /// A notification comes in a request of its own.
    Regroup,
    /// The first attempt of a notification says that it is a later one.
    Attempt {
        /// What it says.
        number: u32,
    },
    /// A notification lacks its subscription.
    Bare,
}

impl Fault {
    fn is_of_hooks(&self) -> bool {
        use Fault::*;
        matches!(self, Duplicate { .. } | Reorder | Lose | Delay { .. } | Regroup | Attempt { .. } | Bare)
    }
}

/// A fault of this side, and when it happens.
pub type Order = order::Order<Fault>;

/// Whether an order speaks of this sort of requests or notifications: by its name, or by any part of it.
fn fits(order: &Order, op: &str) -> bool {
    let Some(wanted) = order.op.as_deref() else { return true };
    wanted == op || op.split('.').any(|part| part == wanted)
}

/// The faults of an account that are still to happen.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    pub orders: Vec<Order>,
    /// How often each happened.
    pub happened: BTreeMap<String, u64>,
    chance: Chance,
}

impl Faults {
    pub fn new(chance: Chance) -> Self {
        Faults { orders: Vec::new(), happened: BTreeMap::new(), chance }
    }

    /// The faults that now happen to a request.
    ///
    /// One that needs a record, or rows, waits for a request that has them.
    pub fn of_request(&mut self, op: &str, has_record: bool) -> Vec<Fault> {
        let has_rows = op.contains("batch");
        self.happening(op, |fault| match fault {
            Fault::OtherApp { .. } | Fault::Merge { .. } => has_record,
            Fault::FailRow | Fault::OmitRow => has_rows,
            other => !other.is_of_hooks(),
        })
    }

    /// What now happens to a notification.
    pub fn of_notice(&mut self, op: &str) -> Fate {
        let mut fate = Fate::default();
        for fault in self.happening(op, Fault::is_of_hooks) {
            match fault {
                Fault::Duplicate { same_id } => fate.doubled = Some(same_id),
                Fault::Reorder => fate.shuffled = true,
                Fault::Lose => fate.lost = true,
                Fault::Delay { ms } => fate.delay = ms,
                Fault::Regroup => fate.alone = true,
                Fault::Attempt { number } => fate.attempt = number,
                Fault::Bare => fate.bare = true,
                _ => {}
            }
        }
        fate
    }

    fn happening(&mut self, op: &str, can: impl Fn(&Fault) -> bool) -> Vec<Fault> {
        let mut now = Vec::new();
        for order in &mut self.orders {
            if !can(&order.fault) || !fits(order, op) {
                continue;
            }
            if order.happens(&mut self.chance) {
                let name = serde_json::to_value(&order.fault).ok();
                let name = name.as_ref().and_then(|fault| fault["fault"].as_str()).unwrap_or_default();
                *self.happened.entry(name.to_owned()).or_default() += 1;
                now.push(order.fault.clone());
            }
        }
        self.orders.retain(|order| order.next != Some(0));
        now
    }

    /// A number for what a fault picks.
    pub fn pick(&mut self, of: usize) -> usize {
        if of == 0 { 0 } else { self.chance.below(of as u64) as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_two_are_two_and_only_those_that_fit() {
        let mut faults = Faults::new(Chance::new(1));
        faults.orders.push(Order::next(Fault::LoseAnswer, 2).with("patch"));
        assert_eq!(faults.of_request("contacts.create", false), []);
        let happened = (0..5).filter(|_| !faults.of_request("contacts.patch", true).is_empty()).count();
        assert_eq!(happened, 2);
        assert_eq!(faults.happened["lose_answer"], 2);
    }

    #[test]
    fn chance_follows_from_the_seed() {
        let run = |seed: u64| {
            let mut faults = Faults::new(Chance::new(seed));
            faults.orders.push(Order::by_chance(Fault::Expired, 0.3));
            (0..1000).map(|_| faults.of_request("x", false).len()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert!((250..350).contains(&run(7).iter().sum::<usize>()));
    }

    #[test]
    fn orders_are_read_from_json() {
        let text = r#"{"fault":"status","status":477,"retry_after":60,"next":1,"op":"contacts.patch"}"#;
        let order: Order = serde_json::from_str(text).expect("an order");
        let fault = Fault::Status { status: 477, retry_after: Some(60) };
        assert_eq!(order, Order::next(fault, 1).with("contacts.patch"));
        assert!(serde_json::from_str::<Order>(r#"{"fault":"earthquake","next":1}"#).is_err());
    }
}

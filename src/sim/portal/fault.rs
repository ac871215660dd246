//! Faults to order: what goes wrong, how often, and with which messages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{send::chance::Chance, sim::order};

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// A message of ours is answered with a status, and nothing is done.
    Status {
        /// Such as 401, 410, 422, 429, 500, 502, 503, 504.
        status: u16,
        /// Seconds for `Retry-After`, if any.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// A message of ours is taken, and the connection breaks before the answer is whole.
    LoseAnswer,
    /// The connection breaks before anything is done.
    LoseRequest,
    /// A message of ours is taken, and answered only after so many milliseconds of real time.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// A message of ours is taken, and answered with something that is not the dialect.
    Garble,
    /// A write is taken, and left out of the answer.
    OmitRow,
    /// A write is refused.
    RefuseRow {
        /// What the portal says.
        reason: String,
    },
    /// A user edits the record just before a write of ours.
    UserEdits {
        /// The field.
        field: String,
        /// What the user puts there.
        value: serde_json::Value,
    },
    /// A message to us is sent twice.
    Duplicate,
    /// A message to us is overtaken by later ones: it waits up to so many milliseconds.
    Reorder {
        /// Milliseconds.
        ms: u64,
    },
    /// A message to us is never sent.
    Lose,
    /// A message to us is late.
    Delay {
        /// Milliseconds, by the portal's clock.
        ms: i64,
    },
    /// A message to us is signed with another secret, once.
    WrongSignature,
}

impl Fault {
    fn is_of_posts(&self) -> bool {
        use Fault::*;
        matches!(self, Duplicate | Reorder { .. } | Lose | Delay { .. } | WrongSignature)
    }

    fn is_of_rows(&self) -> bool {
        matches!(self, Fault::OmitRow | Fault::RefuseRow { .. } | Fault::UserEdits { .. })
    }

    fn at(&self) -> At {
        match self {
            fault if fault.is_of_posts() => At::Post,
            fault if fault.is_of_rows() => At::Row,
            _ => At::Request,
        }
    }

    fn name(&self) -> String {
        let json = serde_json::to_value(self).ok();
        json.as_ref().and_then(|fault| fault["fault"].as_str()).unwrap_or_default().to_owned()
    }
}

/// With what a fault happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// With a message of ours.
    Request,
    /// With a write in one.
    Row,
    /// With a message to us.
    Post,
}

/// A fault of this side, and when it happens.
pub type Order = order::Order<Fault>;

/// The faults that are still to happen.
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

    /// The faults that happen now, in the order in which they were ordered.
    pub fn now(&mut self, at: At, op: &str) -> Vec<Fault> {
        let mut now = Vec::new();
        for order in &mut self.orders {
            if order.fault.at() != at || order.op.as_deref().is_some_and(|wanted| wanted != op) {
                continue;
            }
            if order.happens(&mut self.chance) {
                *self.happened.entry(order.fault.name()).or_default() += 1;
                now.push(order.fault.clone());
            }
        }
        self.orders.retain(|order| order.next != Some(0));
        now
    }

    /// A number up to `most`.
    pub fn upto(&mut self, most: u64) -> i64 {
        self.chance.below(most.max(1)) as i64
    }
}

//! What is to go wrong on a pretend side, and when.

use serde::{Deserialize, Serialize};

use crate::send::chance::Chance;

/// A fault, and when it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order<F> {
    /// What goes wrong.
    #[serde(flatten)]
    pub fault: F,
    /// The next so many times it can.
    #[serde(default)]
    pub next: Option<u64>,
    /// Otherwise by chance, from 0 to 1.
    #[serde(default)]
    pub probability: Option<f64>,
    /// With which requests, writes or messages. None: with all.
    ///
    /// On the pretend HubSpot the name of one, such as `contacts.patch` or `contact.propertyChange`, a kind, such as `contacts`, or
    /// what is done, such as `patch`; on the pretend portal a message's type, such as `syncline.read` or `record.changed`, or
    /// what a write does (`create`, `update`, `delete`).
    #[serde(default)]
    pub op: Option<String>,
}

impl<F> Order<F> {
    /// A fault that happens the next `times` times.
    pub fn next(fault: F, times: u64) -> Self {
        Order { fault, next: Some(times), probability: None, op: None }
    }

    /// A fault that happens by chance.
    pub fn by_chance(fault: F, probability: f64) -> Self {
        Order { fault, next: None, probability: Some(probability), op: None }
    }

    /// The same with one sort of requests, writes or messages.
    pub fn with(self, op: &str) -> Self {
        Order { op: Some(op.to_owned()), ..self }
    }

    /// Why the order makes no sense, if it does not.
    pub(super) fn wrong(&self) -> Option<&'static str> {
        match (self.next, self.probability) {
            (None, None) => Some("an order has `next` or `probability`"),
            (Some(_), Some(_)) => Some("an order has `next` or `probability`, not both"),
            (None, Some(chance)) if !(0.0..=1.0).contains(&chance) => Some("`probability` is from 0 to 1"),
            _ => None,
        }
    }

    /// Whether it happens now, where it can; one of those that were ordered is then used up.
    pub(super) fn happens(&mut self, chance: &mut Chance) -> bool {
        match (&mut self.next, self.probability) {
            (Some(left), _) => {
                let happens = *left > 0;
                *left = left.saturating_sub(1);
                happens
            }
            (None, probability) => chance.below(1 << 32) < (probability.unwrap_or(0.0) * (1u64 << 32) as f64) as u64,
        }
    }
}

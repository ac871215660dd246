//! A pretend HubSpot account on HTTP, with faults to order.
//!
//! It speaks the dialect as HubSpot's documentation, its own client libraries and captured traffic have it, and shares no
//! code with our side of it, which it is there to check. What is not known of HubSpot is a [`Settings`] or a [`Fault`].
//!
//! [`Account`] is the account itself: everything it does follows from its requests, its seed and its clock, and needs no
//! network. [`serve`] puts it behind a listener and sends its webhooks.
//!
//! | part | what it holds |
//! |---|---|
//! | `book`, `change`, `association`, `property`, `standard` | records, how they change, what may be written |
//! | `route`, `objects`, `batch`, `search`, `schema`, `ties`, `oauth` | the API |
//! | `hook`, `notice`, `sign`, `courier` | webhooks |
//! | `account`, `state`, `call`, `serve`, `wire` | how a request goes through all that |
//! | `fault`, `quota`, `control`, `people` | what goes wrong, limits, and `/_sim` |
//!
//! # What stands still
//! Time is the clock that was given, and [`Account::turn`]. Delays, windows of the quota, tokens and retries follow it; only
//! [`Fault::Slow`] and the courier's patience are real time.

mod account;
mod association;
mod batch;
mod book;
mod call;
mod change;
mod control;
mod courier;
mod fault;
mod hook;
mod notice;
mod oauth;
mod objects;
mod people;
mod property;
mod quota;
mod route;
mod schema;
mod search;
mod serve;
mod settings;
mod sign;
mod standard;
mod state;
mod ties;
mod wire;

pub use self::{
    account::{Account, Refused},
    book::By,
    call::{Answer, Call, Exit},
    fault::{Fault, Order},
    property::{Choice, Property},
    serve::{Serving, serve},
    settings::Settings,
};

use crate::clock::Millis;

/// A time as HubSpot writes it: always with milliseconds.
fn stamp(at: Millis) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => at.0.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_always_have_milliseconds() {
        assert_eq!(stamp(Millis(1_750_000_000_000)), "2025-06-15T15:06:40.000Z");
        assert_eq!(stamp(Millis(1_750_000_000_120)), "2025-06-15T15:06:40.120Z");
    }
}

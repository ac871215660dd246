//! A pretend portal on HTTP, with faults to order.
//!
//! It speaks the dialect that [`side::portal`](crate::side::portal) describes, from the other end, and shares no code with
//! ours: it has its own signatures and its own JSON, so that both are checked.
//!
//! [`Portal`] is the portal itself: records of any kinds, what users do with them, and the messages that wait to leave. All that
//! it does follows from its requests, its seed and its clock, and needs no network. [`serve`] puts it behind a listener and
//! carries its messages.
//!
//! | part | what it holds |
//! |---|---|
//! | `book`, `rules` | records with the past of every field; what values are refused, and what becomes of them |
//! | `dialect`, `sign` | answers to our messages; signatures |
//! | `post`, `courier` | messages to us, with retries |
//! | `fault`, `control`, `serve` | what goes wrong; `/_sim`; HTTP |
//!
//! # What stands still
//! Time is the clock that was given. Delays and retries follow it; only [`Fault::Slow`] and the
//! courier's patience are real time.

mod book;
mod control;
mod courier;
mod dialect;
mod fault;
mod post;
mod rules;
mod serve;
mod settings;
mod sign;
mod state;

pub use self::{
    book::By,
    fault::{Fault, Order},
    rules::{Refuse, Reshape, Shape},
    serve::{Serving, serve},
    settings::Settings,
    sign::Signer,
    state::{Change, NoRecord, Portal},
};

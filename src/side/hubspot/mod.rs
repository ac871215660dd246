//! HubSpot: what its CRM API says and takes.
//!
//! Coming in: [`signature`] says whether a request is HubSpot's, [`webhook`] reads its notifications and splits them by account, and
//! [`statement`] says what each means, [`author`] who did it; [`heard`] is all of that for one account. Before going live, [`property`] compares the account's properties with the manifest and
//! [`breach`] the records that are there. [`object`] knows the names of its types.
//!
//! Going out: [`account`] is the side as a whole; `connector` delivers writes, `read` says what HubSpot shows, `find` looks for what
//! a lost answer made, `pages` walks through everything. All calls go through [`client`].

pub mod account;
pub mod answer;
pub mod author;
pub mod breach;
pub mod call;
pub mod client;
mod connector;
mod find;
pub mod heard;
mod join;
pub mod object;
pub mod offset;
mod pages;
pub mod property;
mod read;
mod shape;
pub mod signature;
pub mod statement;
pub mod token;
pub mod webhook;

pub use account::{HubSpot, Setting};
pub use client::Address;
pub use token::{Credential, Grant, KeepToken};

#[cfg(test)]
mod tests;

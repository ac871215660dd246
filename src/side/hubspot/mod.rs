//! HubSpot: what its CRM API says and takes.
//!
//! Going out, [`account`] is the side as a whole; `connector` delivers writes, `read` answers what HubSpot shows, `find` finds what a
//! lost answer made, `pages` walks through everything. All calls go through [`client`].

pub mod account;
pub mod answer;
pub mod call;
pub mod client;
mod connector;
mod find;
mod join;
pub mod object;
pub mod offset;
mod pages;
mod read;
mod shape;
pub mod token;

pub use account::{HubSpot, Setting};
pub use client::Address;
pub use token::{Credential, Grant, KeepToken};

#[cfg(test)]
mod tests;

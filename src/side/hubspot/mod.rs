//! HubSpot: what its CRM API says and takes.
//!
//! Coming in: [`signature`] says whether a request is HubSpot's, [`webhook`] reads its notifications and splits them by account, and
//! [`statement`] says what each means. Before going live, [`property`] compares the account's properties with the manifest and
//! [`breach`] the records that are there. [`object`] knows the names of its types.

pub mod breach;
pub mod object;
pub mod property;
pub mod signature;
pub mod statement;
pub mod webhook;

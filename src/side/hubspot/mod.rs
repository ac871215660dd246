//! HubSpot: what its CRM API says and takes.

pub mod object;
pub mod signature;
pub mod statement;
pub mod webhook;

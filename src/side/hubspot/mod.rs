//! HubSpot: what its CRM API says and takes.

pub mod object;

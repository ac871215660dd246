//! HubSpot: what its CRM API says and takes.

pub mod answer;
pub mod call;
pub mod client;
pub mod object;
pub mod offset;
pub mod token;

//! Syncline keeps a customer portal and a CRM in agreement.
#![warn(missing_docs)]

pub mod capture;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod engine;
pub mod event;
pub mod field;
pub mod history;
pub mod id;
pub mod log;
pub mod manifest;
pub mod merge;
pub mod projection;
pub mod rulebook;
pub mod send;
pub mod sim;
pub mod state;
pub mod value;

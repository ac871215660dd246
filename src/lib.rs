//! Syncline keeps a customer portal and a CRM in agreement.
#![warn(missing_docs)]

pub mod clock;
pub mod codec;
pub mod field;
pub mod id;
pub mod log;

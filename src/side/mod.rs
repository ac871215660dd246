//! Sides that are reached over a network: one folder for each dialect, both ways.
//!
//! A dialect translates. Going out it is a [`Connector`](crate::send::Connector); coming in it turns webhooks into
//! statements and offers what the side can be asked as a [`Source`]. It keeps no state of records and decides nothing.

pub mod http;
pub mod hubspot;
pub mod portal;
mod source;

pub use source::{Links, Page, Sighting, Source, SourceError};

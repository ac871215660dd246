//! Sides that are reached over a network: one folder for each dialect, both ways.
//!
//! A dialect translates. Going out it is a [`Connector`](crate::send::Connector); coming in it turns webhooks into
//! statements and offers what the side can be asked as a [`Source`]. It keeps no state of records and decides nothing.
//! What the dialects share is [`translate`], from a side's names and values to ours and back, and [`secret`].

pub mod hubspot;
pub mod portal;
pub mod secret;
mod source;
pub mod translate;

pub use source::{Links, Page, Sighting, Source, SourceError};

//! Merge: from a record's events to its resolved state.
//!
//! [`fold()`] resolves a record from the set of its events; [`advance()`] takes one more event in
//! where that is certain without the others. Rules are plain functions over candidates
//! ([`judge`]), what happened before what is in [`before`], and only [`document`] knows Automerge.
//! Nothing here knows disk, network or clock.

pub mod advance;
pub mod before;
pub mod combine;
pub mod document;
pub mod fold;
pub mod judge;
pub mod line;
pub mod record;
mod sides;
mod text;

pub use advance::{Advance, advance};
pub(crate) use combine::Part;
pub use fold::{Fold, Heard, fold};
pub(crate) use fold::{WordState, is_counted};
pub use line::Line;
pub use record::{Candidate, Existence, Field, Reason, Record};

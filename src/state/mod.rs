//! Derived state: everything that a `rebuild` makes anew from the log. The only door to sled.
//!
//! What is asked for by its own id lies in runs, files that are written once (`run`, `shelf`):
//!
//! | key | value |
//! |---|---|
//! | record id | the resolved [`Record`](crate::merge::Record), and the entries of its [`Line`](crate::merge::Line), packed |
//! | U+0001, source name, U+0001, number / 256 in hex | for each number of the page, the sequence of the event that bears it |
//!
//! What is looked up by something else lies in sled (`indices`). It is made with the first entry, so a store whose sides
//! are not connected has none:
//!
//! | tree | key | value |
//! |---|---|---|
//! | `outbox` | side, 0, record id | since when a write waits (milliseconds, varint) |
//! | `alias` | record id | the id under which it is resolved, where that is another |
//! | `tie` | record id, 0, record id | the newest statement about the two, from either end |
//! | `match` | kind, field, value, each with 0 after it, record id | nothing; a record that bore the value, and may no more |
//!
//! What a checkpoint stands for is in the file `checkpoint` beside them; see [`checkpoint`]. Records are as they were at the
//! checkpoint, whatever was written since. Indices may hold more than it promised, never less, so nothing is
//! removed from them but for events that are on disk; what would be wrong in them, aliases and ties, changes only in a
//! checkpoint, and the one before is withdrawn first.

pub mod checkpoint;
mod indices;
mod packed;
mod pages;
mod run;
mod shelf;
mod store;
mod tie;

pub use checkpoint::{Checkpoint, Counts};
pub use pages::Pages;
pub use store::{Memory, Opened, StateError, Store};
pub use tie::{Tie, TieKind};

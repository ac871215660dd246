//! Derived state: everything that a `rebuild` makes anew from the log. The only door to sled.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `record` | record id, 0, chunk (u16, big-endian) | the resolved [`Record`](crate::merge::Record) |
//! | `line` | record id, 0, chunk | the entries of its [`Line`](crate::merge::Line), packed |
//! | `source` | source name, 0, number / 256 (u64, big-endian) | for each number of the page, the sequence of the event that bears it |
//! | `outbox` | side, 0, record id | since when a write waits (milliseconds, varint) |
//! | `alias` | record id | the id under which it is resolved, where that is another |
//! | `tie` | record id, 0, record id | the newest statement about the two, from either end |
//! | `match` | kind, field, value, each with 0 after it, record id | nothing; a record that bore the value, and may no more |
//!
//! Values of any length are cut into chunks under 4 KiB; the first chunk starts with how many there are. What a
//! checkpoint stands for is in the file `checkpoint` beside sled's own; see [`checkpoint`].
//!
//! Which records there are changes only in a checkpoint, and the one before is withdrawn first. Otherwise
//! sled may hold more than the last checkpoint promised, never less: a record that is newer than the checkpoint is
//! cut back when the log's tail is replayed over it.

pub mod checkpoint;
mod chunks;
mod pages;
mod store;
mod tie;

pub use checkpoint::{Checkpoint, Counts};
pub use pages::Pages;
pub use store::{Opened, StateError, Store};
pub use tie::{Tie, TieKind};

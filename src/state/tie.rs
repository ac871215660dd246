//! What was last said of two ids: whether they are one record.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// What a statement says of two ids; of statements of the same time the later one here counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TieKind {
    /// They are one record.
    Linked,
    /// A side merged the second into the first.
    Absorbed,
    /// They are two.
    Parted,
}

/// The newest statement about two ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tie {
    /// When it was said.
    pub at: Millis,
    /// What it says.
    pub kind: TieKind,
}

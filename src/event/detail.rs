//! What a statement holds besides values.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Millis,
    id::{RecordId, SaidId, Seq},
    value::Veiled,
};

/// What a statement holds besides values.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// Why it was refused, parked or decided, in words for people.
    Reason(String),
    /// The manifest's text.
    Manifest(String),
    /// How far the side's clock is ahead of ours, in milliseconds.
    Clock(i64),
    /// The key under which a write is repeated without harm; said by versions whose outcomes did not name what they end.
    Write(String),
    /// A write that came to nothing: its key, and why, in words for people; said by versions as [`Detail::Write`].
    Refusal {
        /// The write's key.
        key: String,
        /// Why.
        reason: String,
    },
    /// The other record, and how the two are joined.
    Other {
        /// The other record.
        record: RecordId,
        /// How: an association's label, or the role in a merge.
        label: String,
    },
    /// A write that leaves, perhaps once more.
    Try {
        /// The key under which it is repeated without harm.
        key: String,
        /// The newest event of the log when it left, which tells it from other tries under this key, whatever clocks say.
        after: Seq,
        /// Earlier tries, each by its `sent`, that certainly did not reach the side and in the place of which it leaves.
        ends: Vec<SaidId>,
    },
    /// What became of a write.
    Fate {
        /// Its key.
        key: String,
        /// The tries, each by its `sent`, of which nothing else will be heard.
        ends: Vec<SaidId>,
        /// Why it came to nothing, in words for people; else empty.
        reason: String,
    },
    /// A write that took effect before what its receipt has to stand after, by a clock that stood or was set back.
    Took {
        /// Its key.
        key: String,
        /// The tries, each by its `sent`, of which nothing else will be heard.
        ends: Vec<SaidId>,
        /// When it took effect, as the side said: the time under which its echo is heard.
        at: Millis,
    },
}

impl Detail {
    /// The key of the write that leaves, or of which this says what became.
    pub fn write_key(&self) -> Option<&str> {
        match self {
            Detail::Write(key) | Detail::Refusal { key, .. } => Some(key),
            Detail::Try { key, .. } | Detail::Fate { key, .. } | Detail::Took { key, .. } => Some(key),
            _ => None,
        }
    }
}

impl fmt::Debug for Detail {
    // A side's words for a refusal repeat the value that it refused, and a person's for a decision may.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Detail::None => f.write_str("None"),
            Detail::Reason(reason) => f.debug_tuple("Reason").field(&Veiled(reason)).finish(),
            Detail::Manifest(text) => f.debug_tuple("Manifest").field(&Veiled(text)).finish(),
            Detail::Clock(ahead) => f.debug_tuple("Clock").field(ahead).finish(),
            Detail::Write(key) => f.debug_tuple("Write").field(key).finish(),
            Detail::Refusal { key, reason } => {
                f.debug_struct("Refusal").field("key", key).field("reason", &Veiled(reason)).finish()
            }
            Detail::Other { record, label } => {
                f.debug_struct("Other").field("record", record).field("label", label).finish()
            }
            Detail::Try { key, after, ends } => {
                f.debug_struct("Try").field("key", key).field("after", after).field("ends", ends).finish()
            }
            Detail::Fate { key, ends, reason } => {
                f.debug_struct("Fate").field("key", key).field("ends", ends).field("reason", &Veiled(reason)).finish()
            }
            Detail::Took { key, ends, at } => {
                f.debug_struct("Took").field("key", key).field("ends", ends).field("at", at).finish()
            }
        }
    }
}

//! A write on its way to a side, and what became of it.

use std::fmt;

use crate::{
    clock::Millis,
    event::Author,
    id::{FieldName, RecordId, SideName},
    projection::Put,
    value::{Value, Veiled},
};

/// A write, ready to leave: its `sent` event is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The side.
    pub side: SideName,
    /// The record.
    pub record: RecordId,
    /// The side's own id for it, where it has said one.
    pub link: Option<Box<str>>,
    /// Whether the side has no such record and is to make it.
    pub create: bool,
    /// Whether the side is to delete it.
    pub delete: bool,
    /// The fields that differ, with their values; null clears one.
    pub fields: Vec<(FieldName, Value)>,
    /// What the side was last known to show of those fields that name several records: a side that keeps these one by one
    /// is told what came and what went, so that what a colleague has added meanwhile stays.
    pub shown: Vec<(FieldName, Value)>,
    /// Under this key the write may be repeated without harm.
    pub key: String,
    /// Who said the first of the values.
    pub author: Author,
    /// How often it was tried before.
    pub attempts: u32,
    /// Whether someone may be waiting for it; a backfill's writes leave what they can spare to others.
    pub urgent: bool,
    pub(crate) puts: Vec<Put>,
    /// The newest time of what its fields were known to show when it was planned, on the side's line.
    pub(crate) over: Option<Millis>,
    /// The record under which what becomes of it is logged.
    pub(crate) stream: RecordId,
}

impl Write {
    /// A write of nothing under a key, which no engine has planned: connectors are tried out with such.
    pub fn unplanned(side: SideName, record: RecordId, key: &str) -> Self {
        Write {
            stream: record.clone(),
            side,
            record,
            urgent: true,
            link: None,
            create: false,
            delete: false,
            fields: Vec::new(),
            shown: Vec::new(),
            key: key.to_owned(),
            author: Author::default(),
            attempts: 0,
            puts: Vec::new(),
            over: None,
        }
    }
}

/// What became of a write.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The side took it.
    Applied(Receipt),
    /// The side refused it for good, and nothing of it took effect.
    Refused {
        /// In the side's words.
        reason: String,
        /// The fields that it blames; none: the write as a whole.
        fields: Vec<FieldName>,
    },
    /// It certainly did not take effect; it may be tried again after this many milliseconds, or whenever it suits if zero.
    RetryAfter(i64),
    /// It has not left, and that is no failing of the side: there was no place in its quota, or something that the write
    /// refers to is not there yet. It may be tried again after so many milliseconds.
    NotYet(i64),
    /// It may or may not have taken effect: it is read back before anything else is sent to the record.
    Unknown,
}

impl fmt::Debug for Outcome {
    // A side's words for a refusal repeat the value that it refused.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Applied(receipt) => f.debug_tuple("Applied").field(receipt).finish(),
            Outcome::Refused { reason, fields } => {
                f.debug_struct("Refused").field("reason", &Veiled(reason)).field("fields", fields).finish()
            }
            Outcome::RetryAfter(wait) => f.debug_tuple("RetryAfter").field(wait).finish(),
            Outcome::NotYet(wait) => f.debug_tuple("NotYet").field(wait).finish(),
            Outcome::Unknown => f.write_str("Unknown"),
        }
    }
}

/// A side's answer to a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The side's own id for the record; another than before if the record lives on under it.
    pub link: Option<Box<str>>,
    /// The side's own time of the write; `None`: it does not say.
    pub at: Option<Millis>,
    /// The written fields that the side keeps beside the record, such as associations: `at` is not their time, and what
    /// they are read to show is dated by when the side was [asked](super::SeenField::asked).
    pub beside: Vec<FieldName>,
    /// What the side now shows of the written fields, as far as it says; a field it does not speak of shows what was sent.
    pub shows: Vec<(FieldName, Value)>,
}

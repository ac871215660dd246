//! Reading back: what a side shows of a record, and since when.

use crate::{
    clock::Millis,
    event::Author,
    id::{FieldName, RecordId, SideName},
    value::Value,
};

/// A question: what does the side show of this record?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The side.
    pub side: SideName,
    /// The record.
    pub record: RecordId,
    /// The side's own id for it; `None`: it has to be found by what it was made with.
    pub link: Option<Box<str>>,
    /// The fields; empty: all.
    pub fields: Vec<FieldName>,
    /// The write of which nothing is known, where that is why the side is asked.
    pub about: Option<InDoubt>,
}

/// A write that has left and that may or may not have taken effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// Its key, as in [`Write::key`](super::Write::key).
    pub key: String,
    /// When it left, by our clock.
    pub left: Millis,
    /// Whether it was to make the record.
    pub create: bool,
    /// What it was to set.
    pub fields: Vec<(FieldName, Value)>,
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether the side has the record.
    pub found: bool,
    /// The side's own id for it; another than asked for if the record lives on under it.
    pub link: Option<Box<str>>,
    /// The side's own ids of records that it has merged into this one, as far as it says.
    pub merged: Vec<Box<str>>,
    /// What it shows.
    pub fields: Vec<SeenField>,
    /// When the record last changed, or was deleted, by the side's clock.
    pub modified: Option<Millis>,
}

/// One field of a record, as the side shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenField {
    /// The field.
    pub field: FieldName,
    /// Its value.
    pub value: Value,
    /// When it last changed, by the side's clock; `None`: the side keeps only the record's time.
    pub changed: Option<Millis>,
    /// When the side was asked, by our clock: only for a field that the side keeps beside the record, so that the record's
    /// time need not say when it changed.
    pub asked: Option<Millis>,
    /// Who changed it last, where the side says.
    pub author: Author,
    /// What it showed before, newest first, as far as the side remembers.
    ///
    /// Without it an edit whose webhook was lost and that a write of ours then overwrote is gone for good.
    pub earlier: Vec<Past>,
}

/// What a field showed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The value.
    pub value: Value,
    /// From when on, by the side's clock.
    pub at: Millis,
    /// Who put it there.
    pub author: Author,
}

impl SeenField {
    /// A field without any history.
    pub fn plain(field: FieldName, value: Value, changed: Option<Millis>) -> Self {
        SeenField { field, value, changed, asked: None, author: Author::default(), earlier: Vec::new() }
    }
}

/// Why a side could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is away, or busy.
    #[error("the side cannot be read now; it may be asked again after {0} ms")]
    RetryAfter(i64),
    /// The answer cannot be had yet, and that is no failing of the side: there was no place in its quota, or what it says
    /// cannot be believed before its time.
    #[error("the answer cannot be had yet; it may be asked for again after {0} ms")]
    NotYet(i64),
}

impl ReadError {
    /// How long to wait before it is asked again, in milliseconds.
    pub fn wait(&self) -> i64 {
        match self {
            ReadError::RetryAfter(wait) | ReadError::NotYet(wait) => *wait,
        }
    }
}

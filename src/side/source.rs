//! What can be asked of a side besides single records: all it has, and what has changed.

use crate::{
    clock::Millis,
    id::{RecordId, SideName},
    send::{BoxFuture, Seen},
};

/// A side as capture sees it: whatever its pages and cursors look like, they come out as these.
///
/// Cursors are the dialect's own texts, kept by whoever asks and given back unchanged; a walk that was cut off goes on
/// where it was, with no record read twice beyond one page.
pub trait Source: Send + Sync {
    /// One page of all records of a kind, archived ones aside, `cursor` being the one of the page before.
    fn list<'a>(&'a self, kind: &'a str, cursor: Option<&'a str>) -> BoxFuture<'a, Result<Page, SourceError>>;

    /// One page of the records of a kind that changed since a time of the side's clock.
    fn changed<'a>(
        &'a self,
        kind: &'a str,
        since: Millis,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, SourceError>>;
}

/// A page of records.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What the side shows of each.
    pub records: Vec<Sighting>,
    /// The cursor of the next page; `None`: this was the last one.
    pub next: Option<String>,
    /// How many records the whole walk has, where the side says.
    pub total: Option<u64>,
}

/// A record as a side shows it.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The side's own id for it.
    pub link: Box<str>,
    /// What it shows, in our names and values.
    pub seen: Seen,
}

/// Why a side could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It is away, or busy.
    #[error("the side cannot be asked now; it may be asked again after {0} ms")]
    RetryAfter(i64),
    /// It does not offer this.
    #[error("the side does not offer this")]
    NotOffered,
    /// It refused, and would again: a token without the right scope, a kind that it does not have.
    #[error("the side refused: {0}")]
    Refused(String),
}

/// What a dialect has to know of records to translate ids and references; the engine answers.
pub trait Links: Send + Sync {
    /// The record that a side means by its own id: [`RecordId::on_side`], whatever it is linked with.
    fn record(&self, kind: &str, side: &SideName, link: &str) -> Option<RecordId>;

    /// The side's own id of a record; `None` where the side has none.
    fn link(&self, record: &RecordId, side: &SideName) -> Option<Box<str>>;

    /// Whether a record is known by other ids as well.
    fn is_linked(&self, _record: &RecordId) -> bool {
        false
    }
}

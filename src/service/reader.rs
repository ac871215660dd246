//! What reading a side as a whole shares, whether for a backfill, a poll or a reconciliation.

use std::sync::Arc;

use crate::{
    clock::Millis,
    engine::{Engine, EngineError, Handle},
    id::{RecordId, SideName},
    manifest::{self, ANY, Connector, Manifest},
    metrics::Metrics,
    send::Seen,
    side::{Links, Page, Sighting, Source, SourceError},
};

use super::marks::{Marks, MarksError};

/// Why a side's service ends. What a side does wrong is no such thing: it is tried again, or an alarm.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The store failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// How far sides were read cannot be kept.
    #[error(transparent)]
    Marks(#[from] MarksError),
}

/// How long a side is left alone before it is read from the beginning, because it did not go on from where it was left.
pub(super) const ANEW_MS: i64 = 60_000;

/// What reading needs of a tenant and one of its sides.
#[derive(Clone)]
pub(super) struct Reader {
    pub handle: Handle,
    pub side: Arc<manifest::Side>,
    pub kinds: Arc<Vec<String>>,
    pub source: Option<Arc<dyn Source>>,
    pub links: Arc<dyn Links>,
    pub marks: Arc<Marks>,
    pub metrics: Option<Metrics>,
}

/// What one page, or one call, came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It was taken in; there is more.
    More,
    /// It was taken in, and was the last.
    Done,
    /// The side cannot be asked now; it may be after so many milliseconds.
    Later(i64),
    /// The side refused, and would again.
    Refused(String),
}

impl Reader {
    pub fn engine(&self) -> &Engine {
        self.handle.engine()
    }

    pub fn name(&self) -> &SideName {
        &self.side.name
    }

    pub fn now(&self) -> Millis {
        self.engine().now()
    }

    /// The records of a page under our names; what cannot be a record is counted and left out.
    pub fn named(&self, kind: &str, page: &mut Page) -> Vec<(RecordId, Seen)> {
        let mut named = Vec::with_capacity(page.records.len());
        for Sighting { link, mut seen } in std::mem::take(&mut page.records) {
            // Several ids of one side may lead to one record: a reading is of the one that it names.
            let record = match self.side.connector {
                Connector::Hubspot | Connector::Portal => RecordId::on_side(kind, self.name(), &link).ok(),
                Connector::None | Connector::InProcess => self.links.record(kind, self.name(), &link),
            };
            let Some(record) = record else {
                tracing::warn!(side = %self.name(), kind, "a record was passed over: its id cannot be one of ours");
                continue;
            };
            seen.link.get_or_insert(link);
            named.push((record, seen));
        }
        named
    }

    /// Counts records that were read back.
    pub fn read_back(&self, reason: &'static str, records: usize) {
        if let Some(metrics) = self.metrics.as_ref().filter(|_| records > 0) {
            metrics.resyncs(reason, records as u64);
        }
    }

    /// Takes a page in; returns when it is on disk.
    pub async fn observe(&self, seen: Vec<(RecordId, Seen)>, bulk: bool) -> Result<usize, EngineError> {
        let side = self.name().clone();
        self.handle.call(move |engine| engine.observe_all(&side, seen, bulk)).await
    }

    /// Notes that the side answered.
    pub fn heard(&self) {
        let now = self.now();
        self.marks.change(self.name(), |marks| marks.heard = marks.heard.max(Some(now)));
    }

    /// Makes the marks durable, where that holds up no other task.
    pub async fn save(&self) -> Result<(), ServiceError> {
        let marks = self.marks.clone();
        Ok(self.handle.call(move |_| marks.save()).await?)
    }
}

/// The record kinds of a manifest that a side has, by our names; those without a name of their own cannot be asked for.
pub(super) fn kinds_on(manifest: &Manifest, side: &SideName) -> Vec<String> {
    let on_side = |(name, kind): &(&String, &manifest::RecordKind)| *name != ANY && kind.name_on(side, name).is_some();
    manifest.records.iter().filter(on_side).map(|(name, _)| name.clone()).collect()
}

/// What a call that brought no page means for what called.
pub(super) fn step_of(why: SourceError) -> Step {
    match why {
        SourceError::RetryAfter(millis) => Step::Later(millis),
        SourceError::NotOffered => Step::Done,
        SourceError::Refused(reason) => Step::Refused(reason),
    }
}

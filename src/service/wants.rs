//! Records that have to be read, because what was heard of them does not say all that changed.
//!
//! They are kept with the marks before the webhook that asks for them is answered, so a crash does not lose them.

use std::sync::Arc;

use tokio::sync::Notify;

use super::marks::{Marks, MarksError};
use crate::id::{RecordId, SideName};

/// The most records that wait to be read; a reconciliation finds what became of those beyond.
const WANTED_MAX: usize = 100_000;

/// What of one side has to be read.
#[derive(Clone)]
pub struct Wants {
    marks: Arc<Marks>,
    side: SideName,
    nudge: Arc<Notify>,
}

impl Wants {
    pub(super) fn new(marks: Arc<Marks>, side: SideName, nudge: Arc<Notify>) -> Self {
        Wants { marks, side, nudge }
    }

    /// Has records read, each by the side's own id, and returns when that is kept.
    ///
    /// # Errors
    /// If the disk fails; they are read all the same, unless the process ends before.
    pub fn read(&self, records: impl IntoIterator<Item = (RecordId, Box<str>)>) -> Result<(), MarksError> {
        let mut more = false;
        self.marks.change(&self.side, |marks| {
            for (record, link) in records {
                if marks.wanted.len() >= WANTED_MAX {
                    tracing::warn!(side = %self.side, "too many records wait to be read; the next reconciliation reads the rest");
                    break;
                }
                more |= marks.wanted.insert(record, link).is_none();
            }
        });
        if more {
            self.marks.save()?;
        }
        self.nudge.notify_one();
        Ok(())
    }
}

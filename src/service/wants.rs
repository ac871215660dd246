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
                // The answer to a question that is under way may be older than this.
                marks.asked.remove(&record);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Millis;

    fn record(number: u8) -> RecordId {
        RecordId::new(&format!("contact/{number}")).expect("a good id")
    }

    fn wants() -> (tempfile::TempDir, Wants, SideName) {
        let dir = tempfile::tempdir().expect("a directory");
        let side = SideName::new("crm").expect("a good name");
        let marks = Marks::open(dir.path()).expect("there are none yet");
        (dir, Wants::new(Arc::new(marks), side.clone(), Arc::new(Notify::new())), side)
    }

    /// The answer to the question that was under way is older than what was heard then.
    #[test]
    fn what_is_asked_for_while_it_is_being_read_is_read_again() {
        let (_dir, wants, side) = wants();
        wants.read([(record(1), "1".into()), (record(2), "2".into())]).expect("the disk works");
        wants.marks.change(&side, |marks| marks.asked = marks.wanted.keys().cloned().collect());
        wants.read([(record(1), "1".into())]).expect("the disk works");
        wants.marks.change(&side, |marks| [record(1), record(2)].iter().for_each(|record| marks.was_read(record)));
        let left = wants.marks.with(&side, |marks| marks.wanted.keys().cloned().collect::<Vec<_>>());
        assert_eq!(left, [record(1)]);
    }

    #[test]
    fn what_cannot_be_read_keeps_no_other_from_being_read() {
        let (_dir, wants, side) = wants();
        wants.read([(record(1), "1".into()), (record(2), "2".into())]).expect("the disk works");
        wants.marks.change(&side, |marks| _ = marks.put_off.insert(record(1), (1, Millis(1_000))));
        let due =
            |now| wants.marks.with(&side, |marks| marks.due(now).map(|(record, _)| record.clone()).collect::<Vec<_>>());
        assert_eq!(due(Millis(999)), [record(2)]);
        assert_eq!(due(Millis(1_000)), [record(1), record(2)]);
    }
}

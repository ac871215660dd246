//! Poll: asking a side what has changed since it was last asked.
//!
//! A walk asks for what changed since shortly before the last one began: a side's search index lags behind its records,
//! and what is read twice says nothing new. Deleted records are not in such answers; a reconciliation finds them.

use super::{
    marks::{PollMark, PollWalk, SideMarks},
    reader::{ANEW_MS, Reader, ServiceError, Step, step_of},
};
use crate::{clock::Millis, side::SourceError};

/// How far a walk reaches back before the beginning of the one before it, in milliseconds.
pub(super) const OVERLAP_MS: i64 = 120_000;

impl Reader {
    fn every(&self) -> Option<i64> {
        let every = self.side.capture.poll.filter(|_| self.source.is_some())?;
        Some(i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1))
    }

    fn poll_mark(&self, kind: &str) -> PollMark {
        self.marks.with(self.name(), |marks| marks.poll.get(kind).cloned().unwrap_or_default())
    }

    /// The kind to ask for next and when that is due; `None`: the side is not polled.
    pub fn next_poll(&self) -> Option<(String, Millis)> {
        let every = self.every()?;
        self.marks.with(self.name(), |marks| self.next_poll_by(marks, every))
    }

    fn next_poll_by(&self, marks: &SideMarks, every: i64) -> Option<(String, Millis)> {
        let due = |kind: &String| {
            let mark = marks.poll.get(kind).cloned().unwrap_or_default();
            // Before its first page nothing can have changed that the backfill does not read.
            let begun = marks.backfill.get(kind).and_then(|mark| mark.began);
            let offered = begun.filter(|_| !mark.not_offered)?;
            let at = match (&mark.walk, mark.last) {
                (Some(_), _) => Millis(i64::MIN),
                (None, Some(last)) => last.plus(every),
                (None, None) => offered.plus(every),
            };
            Some((kind.clone(), at))
        };
        self.kinds.iter().filter_map(due).min_by_key(|(_, at)| *at)
    }

    /// Reads one page of what has changed.
    pub async fn poll_page(&self, kind: &str) -> Result<Step, ServiceError> {
        let Some(source) = self.source.clone() else { return Ok(Step::Done) };
        let walk = match self.poll_mark(kind).walk {
            Some(walk) => walk,
            None => self.begin_walk(kind)?,
        };
        let mut page = match source.changed(kind, walk.since, walk.cursor.as_deref()).await {
            Ok(page) => page,
            Err(SourceError::Refused(reason)) if walk.cursor.is_some() => {
                // Cursors do not hold for ever: the walk begins anew where it began.
                tracing::warn!(side = %self.name(), kind, reason, "the side does not go on from where it was left; it is read from where that began");
                self.marks.change(self.name(), |marks| marks.poll.entry(kind.to_owned()).or_default().walk = None);
                self.save().await?;
                return Ok(Step::Later(ANEW_MS));
            }
            Err(why) => {
                if why == SourceError::NotOffered {
                    tracing::warn!(side = %self.name(), kind, "the side cannot be asked for what has changed");
                    self.marks.change(self.name(), |marks| {
                        let mark = marks.poll.entry(kind.to_owned()).or_default();
                        (mark.not_offered, mark.walk) = (true, None);
                    });
                    self.save().await?;
                }
                return Ok(step_of(why));
            }
        };
        self.heard();
        let read = page.records.len();
        // A person may have made these changes a moment ago.
        let made = self.observe(self.named(kind, &mut page), false).await?;
        tracing::debug!(side = %self.name(), kind, read, made, "poll: a page is in");
        let is_last = page.next.is_none();
        self.marks.change(self.name(), |marks| {
            let mark = marks.poll.entry(kind.to_owned()).or_default();
            (mark.until, mark.walk) = match is_last {
                true => (Some(walk.began_there), None),
                false => (mark.until, Some(PollWalk { cursor: page.next, ..walk })),
            };
        });
        // What found nothing new loses nothing if it is repeated.
        if made > 0 || !is_last {
            self.save().await?;
        }
        Ok(if is_last { Step::Done } else { Step::More })
    }

    fn begin_walk(&self, kind: &str) -> Result<PollWalk, ServiceError> {
        let (now, there) = (self.now(), self.engine().now_on(self.name())?);
        let (begun, until) = self.marks.with(self.name(), |marks| {
            let begun = marks.backfill.get(kind).and_then(|mark| mark.began_there);
            (begun, marks.poll.get(kind).and_then(|mark| mark.until))
        });
        let until = until.or(begun).unwrap_or(there);
        let walk = PollWalk { since: until.plus(-OVERLAP_MS), began_there: there, cursor: None };
        self.marks.change(self.name(), |marks| {
            let mark = marks.poll.entry(kind.to_owned()).or_default();
            (mark.walk, mark.last) = (Some(walk.clone()), Some(now));
        });
        Ok(walk)
    }
}

//! Backfill: the first reading of all that a side has.
//!
//! It goes page by page through [`Engine::observe_all`](crate::engine::Engine::observe_all) like everything else, and keeps the cursor
//! with each page once the page is on disk: killed half-way it goes on where it was, and reads at most one page again.
//! Until a kind has been read, no record of it is made on the side.

use serde::Serialize;

use super::reader::{ANEW_MS, Reader, ServiceError, Step, step_of};
use crate::{clock::Millis, side::SourceError};

/// How far the first reading of a kind is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackfillProgress {
    /// The record kind.
    pub kind: String,
    /// How many records were read.
    pub read: u64,
    /// How many there are, where the side says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Whether all were.
    pub done: bool,
    /// When it will be done, by our clock, if it goes on as so far.
    #[serde(rename = "expected_ms", skip_serializing_if = "Option::is_none")]
    pub expected: Option<Millis>,
}

impl Reader {
    /// The first kind that has not been read as a whole yet.
    pub fn unread_kind(&self) -> Option<String> {
        self.source.as_ref()?;
        self.marks.with(self.name(), |marks| {
            let unread = |kind: &&String| marks.backfill.get(*kind).is_none_or(|mark| mark.done.is_none());
            self.kinds.iter().find(unread).cloned()
        })
    }

    /// How far each kind is.
    pub fn backfill_progress(&self) -> Vec<BackfillProgress> {
        let marks = self.marks.of(self.name());
        let now = self.now();
        let progress = |kind: &String| {
            let mark = marks.backfill.get(kind).cloned().unwrap_or_default();
            let expected = match (mark.began, mark.total, mark.done) {
                (Some(began), Some(total), None) if mark.read > 0 && now > began => {
                    let took = i128::from(now.0 - began.0);
                    let left = i128::from(total.saturating_sub(mark.read));
                    i64::try_from(took * left / i128::from(mark.read)).ok().map(|left| now.plus(left))
                }
                _ => None,
            };
            BackfillProgress {
                kind: kind.clone(),
                read: mark.read,
                total: mark.total,
                done: mark.done.is_some(),
                expected,
            }
        };
        self.kinds.iter().filter(|_| self.source.is_some()).map(progress).collect()
    }

    /// Reads one page of a kind that has not been read as a whole.
    pub async fn backfill_page(&self, kind: &str) -> Result<Step, ServiceError> {
        let Some(source) = self.source.clone() else { return Ok(Step::Done) };
        let (now, there) = (self.now(), self.engine().now_on(self.name())?);
        let mut cursor = None;
        self.marks.change(self.name(), |marks| {
            let mark = marks.backfill.entry(kind.to_owned()).or_default();
            mark.began.get_or_insert(now);
            mark.began_there.get_or_insert(there);
            cursor.clone_from(&mark.cursor);
        });
        let mut page = match source.list(kind, cursor.as_deref()).await {
            Ok(page) => page,
            Err(SourceError::NotOffered) => {
                tracing::warn!(side = %self.name(), kind, "the side does not offer to be read as a whole; what it has is heard of only as it changes");
                self.backfill_done(kind, true).await?;
                return Ok(Step::Done);
            }
            Err(SourceError::Refused(reason)) if cursor.is_some() => {
                // Cursors do not hold for ever.
                tracing::warn!(side = %self.name(), kind, reason, "the side does not go on from where it was left; it is read from the beginning");
                self.marks.change(self.name(), |marks| {
                    let mark = marks.backfill.entry(kind.to_owned()).or_default();
                    (mark.cursor, mark.read) = (None, 0);
                });
                self.save().await?;
                return Ok(Step::Later(ANEW_MS));
            }
            Err(why) => return Ok(step_of(why)),
        };
        self.heard();
        let read = page.records.len() as u64;
        let made = self.observe(self.named(kind, &mut page), true).await?;
        tracing::debug!(side = %self.name(), kind, read, made, "backfill: a page is in");
        let is_last = page.next.is_none();
        self.marks.change(self.name(), |marks| {
            let mark = marks.backfill.entry(kind.to_owned()).or_default();
            mark.read += read;
            mark.total = page.total.or(mark.total);
            mark.cursor = page.next;
        });
        if is_last {
            self.backfill_done(kind, false).await?;
            return Ok(Step::Done);
        }
        self.save().await?;
        Ok(Step::More)
    }

    async fn backfill_done(&self, kind: &str, not_offered: bool) -> Result<(), ServiceError> {
        let now = self.now();
        let mut read = 0;
        self.marks.change(self.name(), |marks| {
            let mark = marks.backfill.entry(kind.to_owned()).or_default();
            (mark.done, mark.cursor, mark.not_offered) = (Some(now), None, not_offered);
            read = mark.read;
        });
        self.save().await?;
        self.all_read().await?;
        tracing::info!(side = %self.name(), kind, read, "backfill: done");
        Ok(())
    }

    /// Says that all that the side has was read, once that is so: from then on what it has not may be made there.
    pub async fn all_read(&self) -> Result<(), ServiceError> {
        if self.unread_kind().is_some() || self.engine().is_populated(self.name())? {
            return Ok(());
        }
        let side = self.name().clone();
        Ok(self.handle.call(move |engine| engine.set_populated(&side)).await?)
    }

    /// Has everything read anew, from the beginning; what is known stays known meanwhile.
    pub async fn backfill_again(&self) -> Result<(), ServiceError> {
        self.marks.change(self.name(), |marks| marks.backfill.clear());
        self.save().await
    }
}

//! Reconcile: proof that a side shows what we believe it shows, and repair where it does not.
//!
//! It walks the side's own list, kind by kind, and compares every record with its shadow; what the list does not name
//! although we know it to be there is then read back by id. Of a side that offers no list every record is read back.
//!
//! Its cost in calls is bounded: as many as the list has pages (HubSpot: 100 records a page, and the calls that bring
//! their histories), and one for each batch of records that the list left out; see [`Report::calls`]. Between pages other
//! work goes first.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use serde::Serialize;

use super::{
    reader::{Reader, ServiceError, Step, step_of},
    side::PAUSES,
};
use crate::{
    clock::Millis,
    engine::{Compared, Drift, EngineError, Linked},
    id::{RecordId, Seq, SideName},
    send::{Ask, Connector, Seen},
    side::SourceError,
};

/// So many differences are kept in a report; all are counted.
pub const DRIFTS_MAX: usize = 10_000;
/// The most records of one call that reads back.
const ASKED_MAX: usize = 100;

/// What a reconciliation found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The side.
    pub side: SideName,
    /// When it began, by our clock.
    #[serde(rename = "began_ms")]
    pub began: Millis,
    /// When it was done; `None`: it was not.
    #[serde(rename = "done_ms")]
    pub done: Option<Millis>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// How many records were compared.
    pub compared: u64,
    /// How many differences there were.
    pub found: u64,
    /// The first of them.
    pub drifts: Vec<Drift>,
    /// How many records could not be compared because they were changing; the next reconciliation sees them.
    pub passed_over: u64,
    /// How many calls it took: pages, and batches of records read back.
    pub calls: u64,
}

/// A reconciliation under way. It is not kept over a restart: it begins anew when it is next due.
pub(super) struct Reconciliation {
    kinds: VecDeque<String>,
    cursor: Option<String>,
    met: BTreeSet<RecordId>,
    /// What is still to be read back by id; `None` while the list is walked.
    left: Option<VecDeque<RecordId>>,
    /// Records that were changing; each gets a second look.
    again: BTreeSet<RecordId>,
    second: bool,
    pub report: Report,
}

impl Reconciliation {
    /// A reconciliation of everything that the side has.
    pub fn of_all(reader: &Reader) -> Self {
        let listed = reader.source.is_some();
        let kinds: VecDeque<String> = if listed { reader.kinds.iter().cloned().collect() } else { VecDeque::new() };
        Self::new(reader, kinds, None)
    }

    /// A reconciliation of these records.
    pub fn of_records(reader: &Reader, records: Vec<RecordId>) -> Self {
        Self::new(reader, VecDeque::new(), Some(records.into()))
    }

    fn new(reader: &Reader, kinds: VecDeque<String>, left: Option<VecDeque<RecordId>>) -> Self {
        let report = Report {
            side: reader.name().clone(),
            began: reader.now(),
            done: None,
            stopped: None,
            compared: 0,
            found: 0,
            drifts: Vec::new(),
            passed_over: 0,
            calls: 0,
        };
        let (met, again) = (BTreeSet::new(), BTreeSet::new());
        Reconciliation { kinds, cursor: None, met, left, again, second: false, report }
    }

    fn note(&mut self, compared: Compared) {
        self.met.extend(compared.met);
        self.report.compared += compared.compared as u64;
        self.report.found += compared.drifts.len() as u64;
        for drift in &compared.drifts {
            let field = drift.field.as_deref().unwrap_or("");
            tracing::warn!(side = %drift.side, record = %drift.record, field, why = drift.kind.why(), "drift");
        }
        let room = DRIFTS_MAX.saturating_sub(self.report.drifts.len());
        self.report.drifts.extend(compared.drifts.into_iter().take(room));
        match self.second {
            false => self.again.extend(compared.passed_over),
            true => self.report.passed_over += compared.passed_over.len() as u64,
        }
    }
}

impl Reader {
    /// Whether the side can be reconciled, and when that is next due.
    pub fn next_reconcile(&self, has_connector: bool) -> Option<Millis> {
        let every = self.side.capture.reconcile.filter(|_| has_connector || self.source.is_some())?;
        let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
        let last = self.marks.with(self.name(), |marks| {
            let filled = marks.backfill.values().filter_map(|mark| mark.done).max();
            marks.reconcile.began.max(filled)
        });
        // What was never read before is read now.
        Some(last.map_or(Millis(i64::MIN), |last| last.plus(every)))
    }

    /// Takes one step of a reconciliation: one page, or one batch of records read back.
    pub async fn reconcile_step(
        &self,
        under_way: &mut Reconciliation,
        connector: Option<&Arc<dyn Connector>>,
    ) -> Result<Step, ServiceError> {
        if let Some(kind) = under_way.kinds.front().cloned() {
            return self.compare_page(under_way, &kind).await;
        }
        let Some(connector) = connector else { return self.end(under_way).await };
        if under_way.left.is_none() {
            let all = self.handle.call(|engine| engine.records()).await?;
            let mine = |record: &RecordId| self.kinds.iter().any(|kind| kind == record.kind());
            let left = all.into_iter().filter(|record| mine(record) && !under_way.met.contains(record));
            under_way.left = Some(left.collect());
        }
        let batch = connector.batch_most().clamp(1, ASKED_MAX);
        let linked = self.next_linked(under_way, batch).await?;
        if !linked.is_empty() {
            return self.compare_batch(under_way, connector, linked).await;
        }
        if !under_way.second && !under_way.again.is_empty() {
            under_way.second = true;
            under_way.left = Some(std::mem::take(&mut under_way.again).into_iter().collect());
            return Ok(Step::More);
        }
        self.end(under_way).await
    }

    /// The next records that the side has, as far as is known.
    async fn next_linked(&self, under_way: &mut Reconciliation, batch: usize) -> Result<Vec<Linked>, EngineError> {
        let mut linked = Vec::new();
        let Some(left) = &mut under_way.left else { return Ok(linked) };
        while linked.len() < batch && !left.is_empty() {
            let most = (batch - linked.len()).min(left.len());
            let part: Vec<RecordId> = left.drain(..most).collect();
            let side = self.name().clone();
            linked.extend(self.handle.call(move |engine| engine.linked(&side, &part)).await?);
        }
        Ok(linked)
    }

    async fn compare_page(&self, under_way: &mut Reconciliation, kind: &str) -> Result<Step, ServiceError> {
        let Some(source) = self.source.clone() else { return Ok(Step::Done) };
        let asked = self.engine().last();
        let mut page = match source.list(kind, under_way.cursor.as_deref()).await {
            Ok(page) => page,
            Err(SourceError::NotOffered) => {
                under_way.kinds.pop_front();
                return Ok(Step::More);
            }
            Err(why) => return Ok(step_of(why)),
        };
        self.heard();
        under_way.report.calls += 1;
        let seen = self.named(kind, &mut page);
        self.compare(under_way, seen, asked).await?;
        under_way.cursor = page.next;
        if under_way.cursor.is_none() {
            under_way.kinds.pop_front();
        }
        Ok(Step::More)
    }

    async fn compare_batch(
        &self,
        under_way: &mut Reconciliation,
        connector: &Arc<dyn Connector>,
        linked: Vec<Linked>,
    ) -> Result<Step, ServiceError> {
        let asked = self.engine().last();
        let asks: Vec<Ask> = linked.iter().map(|(record, link)| self.ask(record, link.clone())).collect();
        let answers = connector.read_back(&asks).await;
        under_way.report.calls += 1;
        let mut seen = Vec::new();
        let mut unread = Vec::new();
        let mut wait = 0;
        let answers = answers.into_iter().map(Some).chain(std::iter::repeat(None));
        for ((record, _), answer) in linked.into_iter().zip(answers) {
            match answer {
                Some(Ok(answer)) => seen.push((record, answer)),
                Some(Err(why)) => {
                    wait = wait.max(why.wait());
                    unread.push(record);
                }
                None => unread.push(record),
            }
        }
        let answered = !seen.is_empty();
        if answered {
            self.heard();
        }
        self.compare(under_way, seen, asked).await?;
        if unread.is_empty() {
            return Ok(Step::More);
        }
        for record in unread.into_iter().rev() {
            under_way.left.get_or_insert_default().push_front(record);
        }
        Ok(if answered { Step::More } else { Step::Later(wait) })
    }

    /// Reads one batch of the records that have to be read because what was heard of them does not say all.
    pub async fn read_wanted(&self, connector: Option<&Arc<dyn Connector>>) -> Result<Step, ServiceError> {
        let Some(connector) = connector else { return Ok(Step::Done) };
        let batch = connector.batch_most().clamp(1, ASKED_MAX);
        let now = self.now();
        let mut wanted: Vec<(RecordId, Box<str>)> = Vec::new();
        self.marks.change(self.name(), |marks| {
            wanted = marks.due(now).take(batch).map(|(record, link)| (record.clone(), link.clone())).collect();
            marks.asked = wanted.iter().map(|(record, _)| record.clone()).collect();
        });
        let ask = |(record, link): &(RecordId, Box<str>)| self.ask(record, Some(link.clone()));
        let answers = connector.read_back(&wanted.iter().map(ask).collect::<Vec<_>>()).await;
        let (mut seen, mut unread) = (Vec::new(), Vec::new());
        let mut wait = 0;
        for ((record, _), answer) in wanted.into_iter().zip(answers) {
            match answer {
                Ok(answer) => seen.push((record, answer)),
                Err(why) => {
                    wait = wait.max(why.wait());
                    unread.push((record, why.wait()));
                }
            }
        }
        // What cannot be read keeps no other from being read.
        self.marks.change(self.name(), |marks| {
            for (record, asked) in unread {
                let (tries, at) = marks.put_off.entry(record).or_insert((0, now));
                *at = now.plus(PAUSES.wait(*tries, asked, now.0 as u64));
                *tries += 1;
            }
        });
        if seen.is_empty() {
            return Ok(Step::Later(wait));
        }
        self.heard();
        let read: Vec<RecordId> = seen.iter().map(|(record, _)| record.clone()).collect();
        self.read_back("webhook", read.len());
        self.observe(seen, false).await?;
        self.marks.change(self.name(), |marks| read.iter().for_each(|record| marks.was_read(record)));
        self.save().await?;
        Ok(Step::More)
    }

    fn ask(&self, record: &RecordId, link: Option<Box<str>>) -> Ask {
        Ask { side: self.name().clone(), record: record.clone(), link, fields: Vec::new(), about: None }
    }

    async fn compare(
        &self,
        under_way: &mut Reconciliation,
        seen: Vec<(RecordId, Seen)>,
        asked: Seq,
    ) -> Result<(), EngineError> {
        let side = self.name().clone();
        let compared = self.handle.call(move |engine| engine.compare_all(&side, seen, asked)).await?;
        self.read_back("reconcile", compared.compared);
        under_way.note(compared);
        Ok(())
    }

    async fn end(&self, under_way: &mut Reconciliation) -> Result<Step, ServiceError> {
        let report = &mut under_way.report;
        report.done = Some(self.now());
        let (compared, found, calls) = (report.compared, report.found, report.calls);
        tracing::info!(side = %self.name(), compared, found, calls, "reconcile: done");
        Ok(Step::Done)
    }

    /// Keeps what a reconciliation of everything came to; the next one is due after it.
    pub async fn reconciled(&self, report: &Report) -> Result<(), ServiceError> {
        self.marks.change(self.name(), |marks| {
            let mark = &mut marks.reconcile;
            (mark.began, mark.done) = (Some(report.began), report.done);
            (mark.compared, mark.drifts, mark.calls) = (report.compared, report.found, report.calls);
        });
        self.save().await
    }
}

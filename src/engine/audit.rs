//! Whether everything holds: the log against its hashes, derived state against the log, documents against records.

use std::{
    num::NonZero,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

use super::{Engine, EngineError, stored::read_line};
use crate::{
    event::Event,
    id::{FieldName, RecordId, Seq},
    log::Verified,
    merge::{
        self, Fold, Heard, Line, Record,
        document::{Document, DocumentError},
    },
    rulebook::Rulebook,
};

/// Which part of a check is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The log; counted in bytes.
    Log,
    /// Records; counted in records.
    Records,
}

/// Something in derived state, or in a document, that the log does not say.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// A record is not what its events make.
    #[error("the stored state of {record} differs from its events in {parts}")]
    Differs {
        /// The record.
        record: RecordId,
        /// Which parts, in words.
        parts: String,
    },
    /// A record's events cannot be read.
    #[error("the events of {record} cannot be read")]
    Unreadable {
        /// The record.
        record: RecordId,
        /// Why.
        #[source]
        source: EngineError,
    },
    /// An event of the log is in no record.
    #[error("event {seq} is missing from derived state")]
    Missing {
        /// Its sequence.
        seq: Seq,
    },
    /// A total is not the sum over all records.
    #[error("derived state counts {stored} {what}, and there are {due}")]
    Total {
        /// What is counted.
        what: &'static str,
        /// The stored total.
        stored: u64,
        /// The sum.
        due: u64,
    },
    /// A document cannot be built, or says something else than its record.
    #[error("the document of {record} does not agree with it")]
    Document {
        /// The record.
        record: RecordId,
        /// Why.
        #[source]
        source: DocumentError,
    },
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Audit {
    /// The log.
    pub log: Verified,
    /// How many records were compared with their events.
    pub records: u64,
    /// How many documents were built.
    pub documents: u64,
    /// How many changes these took.
    pub changes: u64,
    /// How many bytes these take when saved.
    pub document_bytes: u64,
    /// What does not hold, in the order of records.
    pub findings: Vec<Finding>,
}

impl Audit {
    /// Whether nothing was found wrong.
    pub fn is_sound(&self) -> bool {
        self.log.faults.is_empty() && self.findings.is_empty()
    }
}

/// What the threads of a check share.
struct Shared<'a> {
    engine: &'a Engine,
    book: Rulebook,
    ids: Vec<RecordId>,
    documents: bool,
    next: AtomicUsize,
    done: AtomicU64,
    /// One bit for each event that is in some record.
    seen: Vec<AtomicU64>,
    progress: &'a (dyn Fn(Part, u64, u64) + Sync),
}

/// What one thread found, with the sums that totals are held against.
#[derive(Default)]
struct Share {
    audit: Audit,
    alive: u64,
    conflicts: u64,
    waiting: u64,
}

impl Engine {
    /// Checks all of the log, and every record against a fresh fold of its events; with `documents` every record's
    /// document is built and checked too. All cores work on it.
    ///
    /// `progress` is told how far the part under way is, and how far it has to go.
    ///
    /// # Errors
    /// If the disk fails or the engine has stopped; what is wrong in the store is no error but a [`Finding`].
    pub fn audit(&self, documents: bool, progress: &(dyn Fn(Part, u64, u64) + Sync)) -> Result<Audit, EngineError> {
        let log = &self.inner.log;
        log.wait(log.last())?;
        let all = log.bytes();
        let key = &self.inner.key;
        let sound = |header: &[u8], payload: &[u8]| {
            Event::read(header, payload, |header| key.record_key(&header.record)).is_ok()
        };
        let verified = log.verify(&sound, &mut |done| progress(Part::Log, done, all))?;
        let shared = self.shared(documents, progress)?;
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let shares: Vec<Result<Share, EngineError>> = thread::scope(|scope| {
            let work: Vec<_> = (0..threads).map(|_| scope.spawn(|| shared.work())).collect();
            work.into_iter().map(|thread| thread.join().unwrap_or(Err(EngineError::Poisoned))).collect()
        });
        let mut sum = Share::default();
        for share in shares {
            sum.add(share?);
        }
        sum.audit.findings.sort_by(|a, b| a.record().cmp(&b.record()));
        sum.audit.log = verified;
        self.compare_totals(&mut sum)?;
        let unread = sum.audit.findings.iter().any(|finding| matches!(finding, Finding::Unreadable { .. }));
        if sum.audit.log.faults.is_empty() && !unread {
            sum.audit.findings.extend(shared.missing(log.last()));
        }
        Ok(sum.audit)
    }

    fn shared<'a>(
        &'a self,
        documents: bool,
        progress: &'a (dyn Fn(Part, u64, u64) + Sync),
    ) -> Result<Shared<'a>, EngineError> {
        let core = self.core()?;
        let mut ids = vec![RecordId::tenant()];
        ids.extend(core.ids()?);
        let words = self.inner.log.last().0 / 64 + 1;
        Ok(Shared {
            engine: self,
            book: (*core.book).clone(),
            ids,
            documents,
            next: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            seen: (0..words).map(|_| AtomicU64::new(0)).collect(),
            progress,
        })
    }

    fn compare_totals(&self, sum: &mut Share) -> Result<(), EngineError> {
        let counts = self.counts()?;
        let totals = [
            ("records", counts.records, sum.alive),
            ("open conflicts", counts.conflicts_open, sum.conflicts),
            ("waiting events", counts.waiting, sum.waiting),
        ];
        for (what, stored, due) in totals.into_iter().filter(|(_, stored, due)| stored != due) {
            sum.audit.findings.push(Finding::Total { what, stored, due });
        }
        Ok(())
    }
}

impl Finding {
    fn record(&self) -> Option<&RecordId> {
        match self {
            Finding::Differs { record, .. } | Finding::Unreadable { record, .. } | Finding::Document { record, .. } => {
                Some(record)
            }
            Finding::Missing { .. } | Finding::Total { .. } => None,
        }
    }
}

impl Share {
    fn add(&mut self, other: Share) {
        let (sum, more) = (&mut self.audit, other.audit);
        sum.records += more.records;
        sum.documents += more.documents;
        sum.changes += more.changes;
        sum.document_bytes += more.document_bytes;
        sum.findings.extend(more.findings);
        self.alive += other.alive;
        self.conflicts += other.conflicts;
        self.waiting += other.waiting;
    }
}

impl Shared<'_> {
    fn work(&self) -> Result<Share, EngineError> {
        let mut share = Share::default();
        loop {
            let Some(id) = self.ids.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return Ok(share) };
            self.check(id, &mut share)?;
            let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
            (self.progress)(Part::Records, done, self.ids.len() as u64);
        }
    }

    fn check(&self, id: &RecordId, share: &mut Share) -> Result<(), EngineError> {
        let (record, line) = {
            let core = self.engine.core()?;
            core.peek_whole(id)?.unwrap_or_default()
        };
        let mut events = match read_line(&self.engine.inner.log, &self.engine.inner.key, &line) {
            Ok(events) => events,
            Err(source) => {
                share.audit.findings.push(Finding::Unreadable { record: id.clone(), source });
                return Ok(());
            }
        };
        for heard in &events {
            let under = &heard.event.header.record;
            if under != id && self.engine.canonical(under)? != *id {
                continue;
            }
            if let Some(word) = self.seen.get((heard.seq.0 / 64) as usize) {
                word.fetch_or(1 << (heard.seq.0 % 64), Ordering::Relaxed);
            }
        }
        self.engine.understand_all(&mut events)?;
        let (due, due_line) = merge::fold(&events, &self.book);
        let parts = differences(&record, &due, &line, &due_line);
        if !parts.is_empty() {
            share.audit.findings.push(Finding::Differs { record: id.clone(), parts: parts.join(", ") });
        }
        share.alive += u64::from(!due.fields.is_empty());
        share.conflicts += due.conflicts() as u64;
        share.waiting += due.waiting.len() as u64;
        if !id.is_empty() {
            share.audit.records += 1;
            if self.documents {
                self.document(id, &events, &due, share);
            }
        }
        Ok(())
    }

    fn document(&self, id: &RecordId, events: &[Heard], record: &Record, share: &mut Share) {
        let fold = Fold::new(events, &self.book);
        let built = Document::build(&fold, record).and_then(|document| document.check(record).map(|()| document));
        match built {
            Ok(document) => {
                share.audit.documents += 1;
                share.audit.changes += document.changes as u64;
                share.audit.document_bytes += document.save().len() as u64;
            }
            Err(source) => share.audit.findings.push(Finding::Document { record: id.clone(), source }),
        }
    }

    /// Events up to `last` that no record has.
    fn missing(&self, last: Seq) -> impl Iterator<Item = Finding> {
        let is_seen = |seq: &u64| {
            let word = self.seen.get((seq / 64) as usize).map_or(0, |word| word.load(Ordering::Relaxed));
            word >> (seq % 64) & 1 == 1
        };
        (1..=last.0).filter(move |seq| !is_seen(seq)).map(|seq| Finding::Missing { seq: Seq(seq) })
    }
}

/// In which parts a stored record is not what its events make.
fn differences(stored: &Record, due: &Record, line: &Line, due_line: &Line) -> Vec<String> {
    let mut names: Vec<&FieldName> = stored.fields.iter().chain(&due.fields).map(|field| &field.name).collect();
    names.sort();
    names.dedup();
    let fields = names.into_iter().filter(|name| stored.field(name) != due.field(name));
    let mut parts: Vec<String> = fields.map(|name| format!("the field {name}")).collect();
    let others = [
        ("its existence", stored.existence != due.existence),
        ("what its sides show", stored.sides != due.sides),
        ("what waits", stored.waiting != due.waiting),
        ("what is said twice", (&stored.contradicted, &stored.copies) != (&due.contradicted, &due.copies)),
        ("its echoes", stored.echoes != due.echoes),
        ("its line", line != due_line),
        ("its place in the log", stored.last != due.last),
    ];
    parts.extend(others.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what.to_owned()));
    if parts.is_empty() && stored != due {
        parts.push("its marks".to_owned());
    }
    parts
}

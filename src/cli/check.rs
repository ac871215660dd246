//! Whether the store holds what it should, and the cure of derived state that does not.

use std::{io::Write, time::Instant};

use serde::Serialize;

use super::{
    args::Verify,
    failure::{End, Failure, chain},
    open::{self, Place},
    tell::{self, Progress},
};
use crate::engine::{Audit, Part};

#[derive(Serialize)]
struct Checked {
    events: u64,
    log_bytes: u64,
    records: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<Documents>,
    damage: Vec<Damage>,
    findings: Vec<String>,
    sound: bool,
}

#[derive(Serialize)]
struct Documents {
    documents: u64,
    changes: u64,
    bytes: u64,
    seconds: f64,
    changes_per_second: u64,
}

#[derive(Serialize)]
struct Damage {
    first: u64,
    last: u64,
    segment: u32,
    at: u64,
    what: String,
}

/// Checks the log, every record, and every document if asked.
pub fn verify(args: &Verify, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let open = place.open()?;
    let (log, records) = (Progress::of("checking the log", 1, true), Progress::of("checking records", 1, false));
    let begun = Instant::now();
    let audit = open.engine.audit(args.documents, &|part, done, all| match part {
        Part::Log => log.at_of(done, all),
        Part::Records => records.at_of(done, all),
    });
    log.end();
    records.end();
    let audit = audit?;
    let seconds = begun.elapsed().as_secs_f64();
    open.close()?;
    let checked = Checked::of(&audit, args.documents.then_some(seconds));
    if place.json {
        tell::json(out, &checked)?;
    } else {
        checked.write(out)?;
    }
    Ok(End::well(audit.is_sound()))
}

impl Checked {
    fn of(audit: &Audit, documents_took: Option<f64>) -> Self {
        let damage = audit.log.faults.iter().map(|fault| Damage {
            first: fault.seqs.start().0,
            last: fault.seqs.end().0,
            segment: fault.segment,
            at: fault.at,
            what: fault.kind.to_string(),
        });
        Checked {
            events: audit.log.events,
            log_bytes: audit.log.bytes,
            records: audit.records,
            documents: documents_took.map(|seconds| Documents {
                documents: audit.documents,
                changes: audit.changes,
                bytes: audit.document_bytes,
                seconds,
                changes_per_second: (audit.changes as f64 / seconds.max(1e-9)) as u64,
            }),
            damage: damage.collect(),
            findings: audit.findings.iter().map(|finding| chain(finding)).collect(),
            sound: audit.is_sound(),
        }
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Failure> {
        for Damage { first, last, segment, at, what } in &self.damage {
            writeln!(out, "events {first} to {last}: {what} (segment {segment}, byte {at})")?;
        }
        for finding in &self.findings {
            writeln!(out, "{}", tell::plain(finding))?;
        }
        let (events, records) = (tell::count(self.events), tell::count(self.records));
        writeln!(out, "{events} events in {} of log, {records} records", tell::bytes(self.log_bytes))?;
        if let Some(documents) = &self.documents {
            let Documents { documents, changes, bytes, changes_per_second, .. } = documents;
            let (documents, changes) = (tell::count(*documents), tell::count(*changes));
            let (bytes, rate) = (tell::bytes(*bytes), tell::count(*changes_per_second));
            writeln!(out, "{documents} documents of {changes} changes, {bytes} saved, {rate} changes/s")?;
        }
        let verdict = match (self.damage.is_empty(), self.findings.is_empty()) {
            (true, true) => "all sound",
            (true, false) => "the log is sound; `syncline rebuild` makes derived state anew from it",
            (false, _) => "the log is damaged: restore it from a copy, or import an export into a new store",
        };
        Ok(writeln!(out, "{verdict}")?)
    }
}

#[derive(Serialize)]
struct Rebuilt {
    events: u64,
    records: u64,
}

/// Makes derived state anew.
pub fn rebuild(place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let open = open::open(place.builder()?.rebuild(true))?;
    let rebuilt = Rebuilt { events: open.opening.replayed, records: open.engine.counts()?.records };
    let is_whole = open.opening.recovery.read_only().is_none();
    open.close()?;
    if place.json {
        tell::json(out, &rebuilt)?;
    } else {
        let (events, records) = (tell::count(rebuilt.events), tell::count(rebuilt.records));
        writeln!(out, "made {records} records anew from {events} events")?;
    }
    Ok(End::well(is_whole))
}

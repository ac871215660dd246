//! The totals of a store.

use std::io::Write;

use serde::Serialize;

use super::{
    failure::{End, Failure},
    open::Place,
    tell,
};
use crate::{engine::Engine, history::Principal};

#[derive(Serialize)]
struct Status<'a> {
    tenant: &'a str,
    last: u64,
    events: u64,
    duplicates: u64,
    echoes: u64,
    records: u64,
    conflicts_open: u64,
    parked: u64,
    waiting: u64,
    contradicted: u64,
    misfits: u64,
    sent: u64,
    receipts: u64,
    refused: u64,
    outbox: Vec<Outbox>,
    log_bytes: u64,
    state_bytes: u64,
    state_hash: String,
    verdict_hash: String,
}

#[derive(Serialize)]
struct Outbox {
    side: String,
    writes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<i64>,
}

/// Shows the totals.
pub fn status(place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let open = place.open()?;
    let status = Status::of(&open.engine)?;
    if place.json {
        tell::json(out, &status)?;
    } else {
        tell::table(out, &[], status.rows())?;
    }
    open.close()?;
    Ok(End::Done)
}

impl<'a> Status<'a> {
    fn of(engine: &'a Engine) -> Result<Self, Failure> {
        let reader = engine.read(&Principal::operator());
        let counts = engine.counts()?;
        let (log_bytes, state_bytes) = engine.bytes()?;
        let edition = engine.edition()?;
        let mut outbox = Vec::new();
        // A side without a connector has none.
        for side in edition.sides.iter().filter(|(_, spec)| spec.connected).map(|(side, _)| side) {
            let (writes, since) = engine.outbox(side)?;
            outbox.push(Outbox { side: side.to_string(), writes, since_ms: since.map(|since| since.0) });
        }
        Ok(Status {
            tenant: engine.tenant(),
            last: engine.last().0,
            events: counts.events,
            duplicates: counts.duplicates,
            echoes: counts.echoes,
            records: counts.records,
            conflicts_open: counts.conflicts_open,
            parked: counts.parked,
            waiting: counts.waiting,
            contradicted: counts.contradicted,
            misfits: reader.misfits()?,
            sent: counts.sent,
            receipts: counts.receipts,
            refused: counts.refused,
            outbox,
            log_bytes,
            state_bytes,
            state_hash: reader.state_hash()?.to_string(),
            verdict_hash: reader.verdict_hash()?.to_string(),
        })
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let number = |name: &str, number: u64, what: &str| vec![name.to_owned(), tell::count(number), what.to_owned()];
        let mut rows = vec![
            vec!["tenant".to_owned(), self.tenant.to_owned(), String::new()],
            number("events", self.events, "what sides and persons said"),
            number("duplicates", self.duplicates, "heard again"),
            number("records", self.records, ""),
            number("conflicts open", self.conflicts_open, "fields whose candidates differ"),
            number("parked", self.parked, "waits for a person"),
            number("waiting", self.waiting, "events whose base has not come yet"),
            number("misfits", self.misfits, "values that break the manifest"),
            vec!["log".to_owned(), tell::bytes(self.log_bytes), String::new()],
            vec!["derived state".to_owned(), tell::bytes(self.state_bytes), String::new()],
        ];
        let hash = |name: &str, hash: &str, what: &str| vec![name.to_owned(), hash[..16].to_owned(), what.to_owned()];
        rows.push(hash("state hash", &self.state_hash, "equal for equal records"));
        rows.push(hash("verdict hash", &self.verdict_hash, "equal for equal verdicts"));
        rows.extend(
            self.outbox
                .iter()
                .map(|outbox| number(&format!("to {}", outbox.side), outbox.writes as u64, "writes wait")),
        );
        rows
    }
}

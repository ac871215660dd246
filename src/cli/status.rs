//! The totals of a store.

use std::{collections::BTreeMap, io::Write};

use serde::Serialize;
use serde_json::Value as Json;

use super::{
    failure::{End, Failure},
    open::Place,
    orders::{list, number, text, time},
    tell,
};
use crate::{
    engine::Engine,
    history::Principal,
    id::SideName,
    service::{self, Marks, Order, ServiceError, SideMarks},
};

/// How a tenant that another process serves is.
fn tell_served(served: &Json, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let alarms = served.get("alarms").map(list).unwrap_or_default();
    if place.json {
        tell::json(out, served)?;
        return Ok(End::well(alarms.is_empty()));
    }
    let totals = served.get("totals").cloned().unwrap_or_default();
    let total = |name: &str, key: &str| vec![name.to_owned(), tell::count(number(&totals, key))];
    let mut rows = vec![vec!["tenant".to_owned(), text(served, "tenant")]];
    rows.extend(
        [("events", "events"), ("records", "records"), ("conflicts open", "conflicts_open")].map(|(n, k)| total(n, k)),
    );
    let more = ["parked", "suggestions", "waiting", "duplicates"];
    rows.extend(more.map(|name| total(name, name)));
    tell::table(out, &[], rows)?;
    let side = |side: &Json| {
        let backfill = side.get("backfill").map(list).unwrap_or_default().iter();
        let reading = backfill.filter(|kind| kind.get("done").and_then(Json::as_bool) != Some(true));
        let reading: Vec<String> = reading
            .map(|kind| {
                let of = kind.get("total").and_then(Json::as_u64).map_or_else(String::new, |all| format!("/{all}"));
                format!("{} {}{of}", text(kind, "kind"), number(kind, "read"))
            })
            .collect();
        let quota = side.get("quota").map(list).unwrap_or_default().iter();
        let quota: Vec<String> = quota
            .map(|left| format!("{} {}/{}", text(left, "window"), number(left, "left"), number(left, "most")))
            .collect();
        let ahead = side.get("clock").and_then(|clock| clock.get("ahead_ms")).and_then(Json::as_i64).unwrap_or(0);
        let paused = side.get("paused").and_then(Json::as_bool).unwrap_or(false);
        vec![
            text(side, "side"),
            time(side, "heard_ms"),
            number(side, "outbox").to_string(),
            if paused { "left alone" } else { "open" }.to_owned(),
            quota.join(", "),
            if reading.is_empty() { "done".to_owned() } else { reading.join(", ") },
            format!("{ahead} ms"),
        ]
    };
    let head = ["side", "heard of", "waits", "calls", "quota left", "first reading", "clock ahead"];
    tell::table(out, &head, served.get("sides").map(list).unwrap_or_default().iter().map(side))?;
    for alarm in alarms {
        writeln!(out, "alarm since {}: {}", time(alarm, "since_ms"), tell::plain(&text(alarm, "text")))?;
    }
    Ok(End::well(alarms.is_empty()))
}

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
    suggestions: u64,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_ms: Option<i64>,
    /// The record kinds that were read as a whole.
    read: Vec<String>,
}

/// Shows the totals, and of a store that is served how its sides are.
pub fn status(place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    if let Some(served) = service::ask(&place.store, &Order::Status)? {
        return tell_served(&served, place, out);
    }
    let open = place.open()?;
    let status = Status::of(&open.engine, &Marks::read(&place.store).map_err(ServiceError::from)?)?;
    if place.json {
        tell::json(out, &status)?;
    } else {
        tell::table(out, &[], status.rows())?;
    }
    open.close()?;
    Ok(End::Done)
}

impl<'a> Status<'a> {
    fn of(engine: &'a Engine, marks: &BTreeMap<SideName, SideMarks>) -> Result<Self, Failure> {
        let reader = engine.read(&Principal::operator());
        let counts = engine.counts()?;
        let (log_bytes, state_bytes) = engine.bytes()?;
        let edition = engine.edition()?;
        let mut outbox = Vec::new();
        // A side without a connector has none.
        for side in edition.sides.iter().filter(|(_, spec)| spec.connected).map(|(side, _)| side) {
            let (writes, since) = engine.outbox(side)?;
            let known = marks.get(side).cloned().unwrap_or_default();
            let read = known.backfill.into_iter().filter(|(_, mark)| mark.done.is_some()).map(|(kind, _)| kind);
            outbox.push(Outbox {
                side: side.to_string(),
                writes,
                since_ms: since.map(|since| since.0),
                heard_ms: known.heard.map(|heard| heard.0),
                read: read.collect(),
            });
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
            suggestions: engine.suggestions()?.len() as u64,
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
            number("suggestions", self.suggestions, "records that a side may have already: `links suggest`"),
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

//! Every event as a JSON line.

use std::io::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    failure::{End, Failure, chain},
    open::Place,
    tell::{self, Progress},
};
use crate::{
    capture::neutral,
    event::{Event, Named},
    id,
    log::Stored,
    rulebook::EXISTENCE,
};

/// How many events pass between two moves of the progress bar.
const REPORT_EVERY: u64 = 1024;

#[derive(Serialize)]
struct First<'a> {
    syncline_export: u8,
    tenant: &'a str,
    key: String,
}

#[derive(Serialize)]
struct Exported<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    side: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    actor: &'a str,
    record: &'a str,
    at_ms: i64,
    kind: &'a str,
    set: Words<'a>,
    id: String,
    bytes: String,
}

struct Words<'a>(Vec<(&'a str, Box<RawValue>)>);

impl Serialize for Words<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Writes the store's tenant, its key and all its events.
pub fn export(place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let open = place.open()?;
    let engine = &open.engine;
    let key = id::to_hex(&engine.tenant_key().0);
    tell::json(out, &First { syncline_export: 1, tenant: engine.tenant(), key })?;
    let progress = Progress::of("exporting", engine.last().0, false);
    let mut is_whole = true;
    for (done, stored) in (1..).zip(engine.stored()) {
        match stored {
            Ok((event, stored)) => tell::json(out, &exported(&event, &stored))?,
            Err(why) => {
                is_whole = false;
                progress.complain(&[format!("not exported: {}", chain(&why))]);
            }
        }
        if done % REPORT_EVERY == 0 {
            progress.at(done);
        }
    }
    progress.end();
    open.close()?;
    Ok(End::well(is_whole))
}

fn exported<'a>(event: &'a Event, stored: &Stored) -> Exported<'a> {
    let header = &event.header;
    let words = event.words().filter(|(field, _)| ***field != *EXISTENCE);
    Exported {
        seq: header.said_seq,
        source: match &header.named {
            Named::Source(source) => Some(source),
            Named::Default | Named::Not => None,
        },
        side: &header.origin.side,
        actor: &header.author.id,
        record: &header.record,
        at_ms: header.said_at.0,
        kind: header.kind.name(),
        set: Words(words.map(|(field, value)| (&**field, value.to_raw())).collect()),
        id: id::event_id(&stored.header).to_string(),
        bytes: neutral::event_hex(&stored.header, &stored.payload),
    }
}

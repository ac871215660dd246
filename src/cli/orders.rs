//! Orders to a tenant: given to the process that serves it, or else carried out here.

use std::io::Write;

use serde_json::Value as Json;

use super::{
    args::{Backfill, Parked, Reconcile},
    failure::{End, Failure},
    open::Place,
    tell,
};
use crate::{
    clock::Millis,
    service::{self, Network, Order, Tenant},
};

/// Has an order carried out by whoever serves the store, or else by opening it.
pub fn carry_out(place: &Place, order: Order) -> Result<Json, Failure> {
    if let Some(answer) = service::ask(&place.store, &order)? {
        return Ok(answer);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(async {
        let tenant = open(place)?;
        let done = tenant.order(order).await;
        tenant.close().await?;
        Ok(done?)
    })
}

fn open(place: &Place) -> Result<Tenant, Failure> {
    let mut builder = Tenant::builder(&place.store).create(false).dialects(std::sync::Arc::new(Network));
    if let Some(text) = place.manifest_text()? {
        builder = builder.manifest(text);
    }
    Ok(builder.open()?.0)
}

/// Compares what sides show with what we believe, repairs it, and tells the differences.
pub fn reconcile(args: &Reconcile, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let order = Order::Reconcile { side: args.side.clone(), record: args.record.clone() };
    let reports = carry_out(place, order)?;
    let mut well = true;
    for report in list(&reports) {
        let stopped = report.get("stopped").and_then(Json::as_str);
        well &= number(report, "found") == 0 && stopped.is_none();
        if place.json {
            tell::json(out, report)?;
            continue;
        }
        let drifts = report.get("drifts").map(list).unwrap_or_default();
        let row = |drift: &Json| {
            vec![text(drift, "record"), text(drift, "field"), time(drift, "since_ms"), text(drift, "kind")]
        };
        if !drifts.is_empty() {
            tell::table(out, &["record", "field", "since", "how it differs"], drifts.iter().map(row))?;
        }
        let [compared, found, calls, over] =
            ["compared", "found", "calls", "passed_over"].map(|key| number(report, key));
        let side = text(report, "side");
        writeln!(out, "{side}: {compared} records compared, {found} differences, {over} changing, {calls} calls")?;
        if let Some(why) = stopped {
            writeln!(out, "{side}: not finished: {}", tell::plain(why))?;
        }
    }
    Ok(End::well(well))
}

/// Reads sides as a whole, or tells how far that is.
pub fn backfill(args: &Backfill, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let order = Order::Backfill { side: args.side.clone(), again: args.again };
    let progress = match service::ask(&place.store, &order)? {
        // Whoever serves the store goes on with it.
        Some(progress) => progress,
        None => read_here(place, order)?,
    };
    let mut rows = Vec::new();
    for side in list(&progress) {
        let (name, kinds) = (&side[0], &side[1]);
        for kind in list(kinds) {
            if place.json {
                tell::json(out, &serde_json::json!({ "side": name, "backfill": kind }))?;
            }
            let done = kind.get("done").and_then(Json::as_bool).unwrap_or(false);
            let of = kind.get("total").and_then(Json::as_u64).map_or_else(String::new, |total| format!(" of {total}"));
            let state = if done { "done".to_owned() } else { time(kind, "expected_ms") };
            let read = format!("{}{of}", number(kind, "read"));
            rows.push(vec![name.as_str().unwrap_or_default().to_owned(), text(kind, "kind"), read, state]);
        }
    }
    if !place.json {
        tell::table(out, &["side", "kind", "records read", "done, or expected"], rows)?;
    }
    Ok(End::Done)
}

/// Reads until all is read, or a side cannot be asked.
fn read_here(place: &Place, order: Order) -> Result<Json, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(async {
        let tenant = open(place)?;
        let begun = tenant.order(order.clone()).await;
        let done = match begun {
            Ok(_) => {
                let Order::Backfill { side, .. } = &order else { return Ok(Json::Null) };
                let bar = tell::Progress::of("reading", 0, false);
                let read = tenant.backfill_here(side.as_deref(), |read| bar.at(read)).await;
                bar.end();
                read?;
                tenant.order(Order::Backfill { side: side.clone(), again: false }).await
            }
            failed => failed,
        };
        tenant.close().await?;
        Ok(done?)
    })
}

/// Tells what waits for a person, lets it go on, or gives it up.
pub fn parked(args: &Parked, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let order = match args {
        Parked::List => Order::Parked,
        Parked::Retry { record, side, field, all, by } => {
            if record.is_none() && !all {
                return Err(Failure::Use("name a record, or say --all".to_owned()));
            }
            let (record, side, field) = (record.clone(), side.clone(), field.clone());
            Order::Retry { record, side, field, by: by.clone() }
        }
        Parked::Drop { record, field, side, by, why } => {
            let (record, side, field) = (record.clone(), side.clone(), field.clone());
            Order::Drop { record, side, field, by: by.clone(), why: why.clone() }
        }
    };
    let answer = carry_out(place, order)?;
    if matches!(args, Parked::Drop { .. }) {
        match place.json {
            true => tell::json(out, &answer)?,
            false => writeln!(out, "dropped: what the side shows is the value now")?,
        }
        return Ok(End::Done);
    }
    let parks = list(&answer);
    if place.json {
        for park in parks {
            tell::json(out, park)?;
        }
        return Ok(End::Done);
    }
    if matches!(args, Parked::Retry { .. }) {
        writeln!(out, "{} go on", parks.len())?;
        return Ok(End::Done);
    }
    let row = |park: &Json| {
        ["record", "side", "field", "kind"]
            .iter()
            .map(|key| text(park, key))
            .chain([time(park, "since_ms"), text(park, "reason")])
            .collect()
    };
    tell::table(out, &["record", "side", "field", "kind", "since", "why"], parks.iter().map(row))?;
    Ok(End::Done)
}

pub(super) fn list(json: &Json) -> &[Json] {
    json.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn text(json: &Json, key: &str) -> String {
    json.get(key).and_then(Json::as_str).unwrap_or_default().to_owned()
}

pub(super) fn number(json: &Json, key: &str) -> u64 {
    json.get(key).and_then(Json::as_u64).unwrap_or_default()
}

pub(super) fn time(json: &Json, key: &str) -> String {
    json.get(key).and_then(Json::as_i64).map_or_else(String::new, |at| Millis(at).to_string())
}

//! Putting a manifest in force, and judging present conflicts by it.

use std::io::Write;

use serde_json::Value as Json;

use super::{
    args::Apply,
    failure::{End, Failure},
    open::Place,
    orders::{carry_out, list, number, text},
    tell,
};
use crate::service::Order;

/// Puts a manifest in force; with `--rejudge` shows, or decides, what the present conflicts come to by it.
pub fn apply(args: &Apply, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let file = Place { manifest: Some(args.file.clone()), ..place.clone() };
    let manifest = file.manifest_text()?.unwrap_or_default();
    // The manifest goes with the order, and must not be put in force by opening the store.
    let place = Place { manifest: None, ..place.clone() };
    let rejudge = |agreed| Order::Rejudge { text: Some(manifest.clone()), agreed, by: args.by.clone() };
    let shown = match args.rejudge {
        true => Some(carry_out(&place, rejudge(None))?),
        false => None,
    };
    if let Some(shown) = &shown {
        tell_changes(shown, &place, out)?;
        if !args.yes {
            if !place.json {
                writeln!(out, "nothing was changed; the same with --yes puts the manifest in force and decides these")?;
            }
            return Ok(End::Done);
        }
    }
    let applied = carry_out(&place, Order::Apply { text: manifest.clone() })?;
    let decided = match &shown {
        Some(shown) => Some(carry_out(&place, rejudge(Some(text(shown, "agree"))))?),
        None => None,
    };
    let changed = applied.get("changed").and_then(Json::as_bool).unwrap_or(false);
    let decided = decided.map(|done| number(&done, "decided"));
    if place.json {
        tell::json(out, &serde_json::json!({ "changed": changed, "decided": decided }))?;
        return Ok(End::Done);
    }
    let said = if changed { "the manifest is in force" } else { "the manifest means the same as the one in force" };
    writeln!(out, "{said}")?;
    if let Some(decided) = decided {
        writeln!(out, "{decided} conflicts were decided anew")?;
    }
    Ok(End::Done)
}

/// Shows each verdict that would change, with its values: they go to the operator's own terminal.
fn tell_changes(shown: &Json, place: &Place, out: &mut dyn Write) -> Result<(), Failure> {
    let found = shown.get("found").cloned().unwrap_or_default();
    let changes = found.get("changes").map(list).unwrap_or_default();
    if place.json {
        for change in changes {
            tell::json(out, change)?;
        }
        return Ok(());
    }
    let side = |judged: Option<&Json>| {
        let judged = judged.cloned().unwrap_or_default();
        let value = judged.get("value").map(ToString::to_string).unwrap_or_default();
        format!("{value} ({}, {})", text(&judged, "reason"), text(&judged, "side"))
    };
    let row = |change: &Json| {
        vec![text(change, "record"), text(change, "field"), side(change.get("from")), side(change.get("to"))]
    };
    if !changes.is_empty() {
        tell::table(out, &["record", "field", "is", "would be"], changes.iter().map(row))?;
    }
    writeln!(out, "{} of {} conflicts come out otherwise", changes.len(), number(&found, "conflicts"))?;
    Ok(())
}

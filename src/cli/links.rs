//! Which ids are one record: what could be, what a person says of it, and how it stands.

use std::io::Write;

use serde_json::Value as Json;

use super::{
    args::{Links, LinksTie},
    failure::{End, Failure},
    open::Place,
    orders::{carry_out, list, text},
    tell,
};
use crate::service::Order;

/// Does what was asked about links.
pub fn links(command: &Links, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let order = match command {
        Links::Suggest => Order::Suggestions,
        Links::Show { record } => Order::Links { record: record.clone() },
        Links::Accept(tie) => said(tie, true),
        Links::Reject(tie) => said(tie, false),
    };
    let answer = carry_out(place, order)?;
    match command {
        _ if place.json => tell::json(out, &answer)?,
        Links::Suggest => suggested(&answer, out)?,
        Links::Show { .. } => shown(&answer, out)?,
        Links::Accept(tie) | Links::Reject(tie) => {
            let (one, two) = (text(&answer, "record"), text(&answer, "other"));
            let (record, other) = (tell::plain(&tie.record), tell::plain(&tie.other));
            match answer.get("one").and_then(Json::as_bool).unwrap_or(false) {
                true => writeln!(out, "{record} and {other} are one record, {one}")?,
                false => writeln!(out, "{record} and {other} are two records, {one} and {two}")?,
            }
        }
    }
    Ok(End::Done)
}

fn said(tie: &LinksTie, one: bool) -> Order {
    let (record, other) = (tie.record.clone(), tie.other.clone());
    Order::Tie { record, other, one, by: tie.by.clone(), why: tie.why.clone() }
}

/// What could be one record, and what a side has twice: to be read before the first backfill makes anything.
fn suggested(answer: &Json, out: &mut dyn Write) -> Result<(), Failure> {
    let all = answer.get("suggestions").map(list).unwrap_or_default();
    let twins = answer.get("twins").map(list).unwrap_or_default();
    let is_certain = |one: &&Json| one.get("certain").and_then(Json::as_bool).unwrap_or(false);
    let certain = all.iter().filter(is_certain).count();
    writeln!(out, "certain   {certain}\ndoubtful  {}\ntwice     {}", all.len() - certain, twins.len())?;
    let row = |one: &Json| {
        let how = if is_certain(&one) { "certain" } else { "doubtful" };
        vec![text(one, "record"), text(one, "side"), words(one, "candidates"), words(one, "on"), how.to_owned()]
    };
    if !all.is_empty() {
        tell::table(out, &["record", "missing on", "could be", "alike in", "match"], all.iter().map(row))?;
    }
    let row = |one: &Json| vec![text(one, "side"), words(one, "records"), text(one, "on")];
    if !twins.is_empty() {
        tell::table(out, &["side", "could be one", "alike in"], twins.iter().map(row))?;
    }
    Ok(())
}

fn shown(answer: &Json, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "{}", text(answer, "record"))?;
    let row = |link: &Json| {
        let current = link.get("current").and_then(Json::as_bool).unwrap_or(false);
        let written = if current { "yes" } else { "" };
        vec![text(link, "record"), text(link, "side"), text(link, "link"), written.to_owned()]
    };
    let links = answer.get("links").map(list).unwrap_or_default();
    tell::table(out, &["id", "side", "the side's own", "written to"], links.iter().map(row))
}

fn words(one: &Json, key: &str) -> String {
    let words = one.get(key).map(list).unwrap_or_default().iter().filter_map(Json::as_str);
    words.collect::<Vec<_>>().join(", ")
}

//! Which records could be one, and what a person says of it.

use std::io::Write;

use serde_json::Value as Json;

use super::{
    args::{Links, Pair},
    failure::{End, Failure},
    open::Place,
    orders::{carry_out, list, text},
    tell,
};
use crate::service::{LinkOrder, Order};

/// Tells what could be one, which ids a record has, or says that two are one, or two.
pub fn links(args: &Links, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let about = match args {
        Links::Suggest => LinkOrder::List,
        Links::Show { record } => LinkOrder::Show { record: record.clone() },
        Links::Accept(pair) => {
            let Pair { record, other, by, why } = pair;
            LinkOrder::Accept { record: record.clone(), other: other.clone(), by: by.clone(), why: why.clone() }
        }
        Links::Reject(pair) => {
            let Pair { record, other, by, why } = pair;
            LinkOrder::Reject { record: record.clone(), other: other.clone(), by: by.clone(), why: why.clone() }
        }
    };
    let answer = carry_out(place, Order::Links { about })?;
    if place.json {
        tell::json(out, &answer)?;
        return Ok(End::Done);
    }
    match args {
        Links::Suggest => tell_list(&answer, out)?,
        Links::Show { .. } => {
            let row = |link: &Json| {
                let current = link.get("current").and_then(Json::as_bool).unwrap_or(false);
                let written = if current { "writes go here" } else { "" };
                vec![text(link, "record"), text(link, "side"), text(link, "link"), written.to_owned()]
            };
            tell::table(out, &["record", "side", "its own id", ""], list(&answer).iter().map(row))?;
        }
        Links::Accept(_) => writeln!(out, "one record now: {}", tell::plain(&text(&answer, "record")))?,
        Links::Reject(_) => writeln!(out, "two records, for good")?,
    }
    Ok(End::Done)
}

fn tell_list(answer: &Json, out: &mut dyn Write) -> Result<(), Failure> {
    let names = |json: &Json, key: &str| {
        let texts = json.get(key).map(list).unwrap_or_default().iter().filter_map(Json::as_str);
        texts.collect::<Vec<_>>().join(", ")
    };
    let suggestion = |one: &Json| {
        let certain = one.get("certain").and_then(Json::as_bool).unwrap_or(false);
        let certain = if certain { "certain" } else { "doubtful" };
        vec![text(one, "record"), text(one, "side"), names(one, "candidates"), names(one, "on"), certain.to_owned()]
    };
    let suggestions = answer.get("suggestions").map(list).unwrap_or_default();
    let head = ["record", "is not on", "where these could be it", "alike in", ""];
    tell::table(out, &head, suggestions.iter().map(suggestion))?;
    let twins = answer.get("twins").map(list).unwrap_or_default();
    if !twins.is_empty() {
        let row = |one: &Json| vec![text(one, "side"), names(one, "records"), text(one, "on")];
        tell::table(out, &["side", "may have one of these too often", "alike in"], twins.iter().map(row))?;
    }
    let count = |key: &str| answer.pointer(&format!("/counts/{key}")).and_then(Json::as_u64).unwrap_or(0);
    let [certain, doubtful, twice] = ["certain", "doubtful", "twice"].map(count);
    writeln!(
        out,
        "{certain} pairs match for certain, {doubtful} are doubtful, and {twice} times a side has one more than once"
    )?;
    Ok(())
}

//! What a portal answers: what became of writes, what it shows, pages.
//!
//! Rows are matched by the keys and tokens in the answer, never by their place in it. What an answer does not speak of is not
//! known.

use std::collections::HashMap;

use super::place::{self, At, Members, Misread};
use crate::{
    clock::Millis,
    event::Author,
    id::FieldName,
    send::{Ask, Past, Receipt, Seen, SeenField, Write},
    side::{Page, Sighting, http::Answer, translate::Translation},
    value::Value,
};

/// The most rows of an answer.
const ROWS_MAX: usize = 1000;
/// The most fields of a record, and older values of a field.
const PARTS_MAX: usize = 10_000;
/// The longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 500;
/// The longest cursor, in bytes.
const CURSOR_BYTES_MAX: usize = 4096;

/// What an answer says of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It took effect, now or when it came before.
    Applied(Receipt),
    /// It is refused, with the portal's reason and the fields it blames.
    Refused(String, Vec<FieldName>),
    /// It did not take effect; it may come again after so many milliseconds.
    Retry(i64),
    /// The portal has no such record.
    Missing,
}

/// What is said of one write: an object with `status` and what goes with it.
fn told(at: &At<'_>, write: &Write, translation: &Translation) -> Result<(Option<String>, Option<Told>), Misread> {
    let mut members = at.members()?;
    let key = members.take("key").map(|at| at.text()).transpose()?;
    let status = members.take("status").map(|at| at.text()).transpose()?;
    let told = match status.as_deref() {
        None | Some("applied") => Some(Told::Applied(receipt(&mut members, write, translation)?)),
        Some("refused") => Some(refusal(&mut members, write, translation)?),
        Some("retry") => {
            let after = members.take("after").map(|at| at.count()).transpose()?.unwrap_or(0);
            Some(Told::Retry(i64::try_from(after).unwrap_or(i64::MAX).saturating_mul(1000)))
        }
        Some("missing") => Some(Told::Missing),
        Some(_) => None,
    };
    Ok((key, told))
}

fn receipt(members: &mut Members<'_>, write: &Write, translation: &Translation) -> Result<Receipt, Misread> {
    let mut receipt = Receipt {
        link: members.take("id").map(|at| at.name()).transpose()?.map(String::into_boxed_str),
        at: members.take("at").map(|at| at.time()).transpose()?,
        ..Receipt::default()
    };
    let kind = write.record.kind();
    for (name, at) in members.take("shows").map(|at| at.members()).transpose()?.into_iter().flat_map(Members::rest) {
        let Some(field) = translation.field_of(kind, &name) else { continue };
        let Some((_, sent)) = write.fields.iter().find(|(written, _)| *written == field) else { continue };
        let shown = translation.hear_json(kind, &field, &at.value()?).value;
        let shown = translation.as_sent(kind, &field, sent, &shown);
        receipt.shows.push((field, shown));
    }
    Ok(receipt)
}

fn refusal(members: &mut Members<'_>, write: &Write, translation: &Translation) -> Result<Told, Misread> {
    let reason = reason(members)?.unwrap_or_else(|| "the portal gave no reason".to_owned());
    let mut fields = Vec::new();
    if let Some(blamed) = members.take("fields") {
        for at in blamed.elements(PARTS_MAX)? {
            fields.extend(translation.field_of(write.record.kind(), &at.text()?));
        }
    }
    Ok(Told::Refused(reason, fields))
}

/// The reason for a refusal: `reason`, or the `detail` or `title` of an RFC 9457 problem.
fn reason(members: &mut Members<'_>) -> Result<Option<String>, Misread> {
    for name in ["reason", "detail", "title"] {
        if let Some(at) = members.take(name) {
            return at.text().map(|text| Some(shortened(&text)));
        }
    }
    Ok(None)
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect()
}

/// What an answer that refuses says of a write: its body need not be JSON.
pub fn of_refusal(answer: &Answer, write: &Write, translation: &Translation) -> Told {
    let json = place::read(&answer.body).and_then(|at| refusal(&mut at.members()?, write, translation));
    json.unwrap_or_else(|_| {
        let is_text = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain"));
        let text = std::str::from_utf8(&answer.body).ok().filter(|_| is_text).map(shortened);
        let reason = text.filter(|text| !text.trim().is_empty());
        Told::Refused(reason.unwrap_or_else(|| format!("the portal answered {}", answer.status)), Vec::new())
    })
}

/// What an answer to these writes says of each.
///
/// An empty body speaks of all of them: they were taken. One with `results` speaks of the writes whose keys are in it. Any
/// other object speaks of the write, if it is the only one.
///
/// # Errors
/// If the body is something else; then nothing is known of any of them.
pub fn of_writes(body: &[u8], writes: &[&Write], translation: &Translation) -> Result<Vec<Option<Told>>, Misread> {
    if body.trim_ascii().is_empty() {
        return Ok(writes.iter().map(|_| Some(Told::Applied(Receipt::default()))).collect());
    }
    let whole = place::read(body)?;
    let results = whole.members()?.take("results");
    let Some(results) = results else {
        let [write] = writes else { return Ok(vec![None; writes.len()]) };
        let (key, told) = told(&whole, write, translation)?;
        return Ok(vec![told.filter(|_| key.is_none_or(|key| key == write.key))]);
    };
    let mut by_key: HashMap<&str, Option<Told>> = HashMap::new();
    for row in results.elements(ROWS_MAX)? {
        let key = row.members()?.take("key").map(|at| at.text()).transpose()?;
        let Some(write) = writes.iter().find(|write| Some(&write.key) == key.as_ref()) else { continue };
        let (_, told) = told(&row, write, translation)?;
        // What is said twice, and not the same, is not known.
        let known = by_key.entry(&write.key).or_insert_with(|| told.clone());
        if *known != told {
            *known = None;
        }
    }
    Ok(writes.iter().map(|write| by_key.remove(write.key.as_str()).flatten()).collect())
}

/// What an answer to these questions says of each; `None`: the portal does not answer questions.
///
/// # Errors
/// If the answer cannot be read.
pub fn of_asks(body: &[u8], asks: &[Ask], translation: &Translation) -> Result<Option<Vec<Option<Seen>>>, Misread> {
    let Some(records) = records(body)? else { return Ok(None) };
    let mut seen: Vec<Option<Seen>> = vec![None; asks.len()];
    for at in records.elements(ROWS_MAX)? {
        let mut members = at.members()?;
        let place: Option<usize> = members.need("ask")?.text()?.parse().ok();
        let Some((ask, slot)) = place.and_then(|place| asks.get(place).zip(seen.get_mut(place))) else { continue };
        let mut shows = shows(&mut members, ask.record.kind(), translation)?;
        shows.fields.retain(|seen| ask.fields.is_empty() || ask.fields.contains(&seen.field));
        let sent = ask.about.iter().flat_map(|about| &about.fields);
        for (field, sent) in sent {
            for seen in shows.fields.iter_mut().filter(|seen| seen.field == *field) {
                let as_sent = |shown: &Value| translation.as_sent(ask.record.kind(), field, sent, shown);
                seen.value = as_sent(&seen.value);
                seen.earlier.iter_mut().for_each(|past| past.value = as_sent(&past.value));
            }
        }
        *slot = Some(shows);
    }
    Ok(Some(seen))
}

/// A page of records of our kind; `None`: the portal does not offer pages.
///
/// # Errors
/// If the answer cannot be read.
pub fn of_page(body: &[u8], kind: &str, translation: &Translation) -> Result<Option<Page>, Misread> {
    let Some(records) = records(body)? else { return Ok(None) };
    let mut page = Page::default();
    for at in records.elements(ROWS_MAX)? {
        let mut members = at.members()?;
        let id = members.need("id")?;
        let link = id.name()?.into_boxed_str();
        let mut seen = shows(&mut members, kind, translation)?;
        seen.link = Some(link.clone());
        page.records.push(Sighting { link, seen });
    }
    let mut members = place::read(body)?.members()?;
    if let Some(at) = members.take("next") {
        let cursor = at.text()?;
        if cursor.is_empty() || cursor.len() > CURSOR_BYTES_MAX {
            return Err(at.not("a cursor of 1 to 4096 bytes, or null"));
        }
        page.next = Some(cursor);
    }
    page.total = members.take("total").map(|at| at.count()).transpose()?;
    Ok(Some(page))
}

/// The `records` of an answer; none in an answer of success: whoever answered does not know the question.
fn records(body: &[u8]) -> Result<Option<At<'_>>, Misread> {
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    Ok(place::read(body)?.members()?.take("records"))
}

/// What is shown of one record.
fn shows(members: &mut Members<'_>, kind: &str, translation: &Translation) -> Result<Seen, Misread> {
    let mut seen = Seen {
        found: members.take("found").map(|at| at.truth()).transpose()?.unwrap_or(true),
        link: members.take("id").map(|at| at.name()).transpose()?.map(String::into_boxed_str),
        fields: Vec::new(),
        merged: Vec::new(),
        modified: members.take("modified").map(|at| at.time()).transpose()?,
    };
    let Some(fields) = members.take("fields") else { return Ok(seen) };
    for (name, at) in fields.members()?.rest() {
        let Some(field) = translation.field_of(kind, &name) else { continue };
        seen.fields.push(field_shown(field, &at, kind, translation)?);
    }
    Ok(seen)
}

fn field_shown(field: FieldName, at: &At<'_>, kind: &str, translation: &Translation) -> Result<SeenField, Misread> {
    let mut members = at.members()?;
    let hear = |at: At<'_>| Ok(translation.hear_json(kind, &field, &at.value()?).value);
    let value = hear(members.nullable("value")?)?;
    let changed = members.take("at").map(|at| at.time()).transpose()?;
    let by = author(&mut members)?;
    let mut earlier = Vec::new();
    for past in members.take("earlier").map(|at| at.elements(PARTS_MAX)).transpose()?.unwrap_or_default() {
        let mut members = past.members()?;
        let value = hear(members.nullable("value")?)?;
        let at: Millis = members.need("at")?.time()?;
        earlier.push(Past { value, at, author: author(&mut members)? });
    }
    // Newest first, whatever the portal thinks of order.
    earlier.sort_by_key(|past| std::cmp::Reverse(past.at));
    Ok(SeenField { author: by, earlier, ..SeenField::plain(field, value, changed) })
}

fn author(members: &mut Members<'_>) -> Result<Author, Misread> {
    members.take("by").map(|at| at.author()).transpose().map(Option::unwrap_or_default)
}

//! What a pretend portal answers to our messages.

use serde_json::{Map, Value, json};

use super::{
    book::{By, Held},
    fault::{At, Fault},
    rules,
    state::{Portal, Present, State},
};

/// The most records of a page.
const PAGE_MAX: usize = 100;

/// A message of ours, as it came.
pub(super) struct Message<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signature: &'a str,
    pub body: &'a [u8],
}

/// What is answered.
pub(super) struct Answer {
    pub status: u16,
    pub body: Value,
    pub retry_after: Option<u64>,
    pub exit: Exit,
}

/// How an answer leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// At once.
    Now,
    /// After so many milliseconds of real time.
    After(u64),
    /// Not at all: the connection breaks.
    Cut,
    /// As something that is not the dialect.
    Garbled,
}

impl Answer {
    pub fn json(status: u16, body: Value) -> Self {
        Answer { status, body, retry_after: None, exit: Exit::Now }
    }

    fn problem(status: u16, reason: &str) -> Self {
        Answer::json(status, json!({"reason": reason}))
    }
}

/// Answers a message.
pub(super) fn answer(portal: &Portal, message: &Message<'_>) -> Answer {
    let mut state = portal.lock();
    let present = portal.present(&state);
    let read: Value = serde_json::from_slice(message.body).unwrap_or(Value::Null);
    let topic = read["type"].as_str().unwrap_or("?").to_owned();
    let answer = sorted(portal, &mut state, message, &topic, &read["data"], present);
    let counts = &mut state.counts;
    counts.body_bytes_most = counts.body_bytes_most.max(message.body.len());
    *counts.messages.entry(format!("{topic} {}", answer.status)).or_default() += 1;
    answer
}

fn sorted(
    portal: &Portal,
    state: &mut State,
    message: &Message<'_>,
    topic: &str,
    data: &Value,
    present: Present,
) -> Answer {
    if state.away_until > present.now {
        return Answer::problem(503, "the portal is away");
    }
    let seconds = present.now.0.div_euclid(1000);
    if !portal.signer().accepts(message.id, message.timestamp, message.signature, message.body, seconds) {
        return Answer::problem(401, "the signature is wrong");
    }
    let mut exit = Exit::Now;
    for fault in state.faults.now(At::Request, topic) {
        match fault {
            Fault::Status { status, retry_after } => {
                return Answer { retry_after, ..Answer::problem(status, "ordered") };
            }
            Fault::LoseRequest => return Answer { exit: Exit::Cut, ..Answer::json(200, Value::Null) },
            Fault::LoseAnswer => exit = Exit::Cut,
            Fault::Slow { ms } => exit = Exit::After(ms),
            Fault::Garble => exit = Exit::Garbled,
            _ => {}
        }
    }
    let answer = match topic {
        "syncline.write" => write(state, data, present),
        _ if !state.settings.answers_questions => Answer::problem(501, "the portal takes writes only"),
        "syncline.read" => read(state, data),
        "syncline.list" => page(state, data, None),
        "syncline.changed" => page(state, data, Some(&data["since"])),
        _ => Answer::json(204, Value::Null),
    };
    Answer { exit, ..answer }
}

/// A single write that is refused is answered 422, or 409 if its record is there already; otherwise each row has its result.
fn write(state: &mut State, data: &Value, present: Present) -> Answer {
    let rows = data["writes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut results = Vec::new();
    for row in rows {
        let op = row["op"].as_str().unwrap_or_default();
        let faults = state.faults.now(At::Row, op);
        let result = write_row(state, row, &faults, present);
        if !faults.contains(&Fault::OmitRow) {
            results.push(result);
        }
    }
    match (&rows, &mut results[..]) {
        ([_], [result]) if result["status"] == "refused" => {
            let status = if result["exists"] == true { 409 } else { 422 };
            Answer::json(status, result.take())
        }
        _ => Answer::json(200, json!({"results": results})),
    }
}

fn write_row(state: &mut State, row: &Value, faults: &[Fault], present: Present) -> Value {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let (key, op, kind) = (text("key"), text("op"), text("kind"));
    // A write that is known by its key is done already: what came of it is said again.
    if let Some((kind, id)) = state.book.made.get(&key).cloned() {
        state.counts.repeated += 1;
        return applied(state, &key, &kind, &id, row);
    }
    let mut id = if op == "create" {
        state.book.fresh_id()
    } else {
        match state.book.find(&kind, &text("id")) {
            Some((id, held)) if !held.deleted => id,
            _ => return json!({"key": key, "status": "missing"}),
        }
    };
    for fault in faults {
        match fault {
            Fault::RefuseRow { reason } => return refused(state, &key, reason, &[]),
            Fault::UserEdits { field, value } if op == "update" => {
                let set = Map::from_iter([(field.clone(), value.clone())]);
                if let Some(told) = state.user_sets(&kind, &id, false, set, &By::user("u99"), present) {
                    state.tell("record.changed", vec![told], present);
                }
            }
            _ => {}
        }
    }
    let set: Map<String, Value> = row["set"].as_object().cloned().unwrap_or_default();
    let wrong: Vec<(String, String)> = set
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), rules::refused(&state.settings.refuse, name, value)?)))
        .collect();
    if let Some((_, reason)) = wrong.first() {
        let fields: Vec<&str> = wrong.iter().map(|(name, _)| name.as_str()).collect();
        return refused(state, &key, reason, &fields);
    }
    if let Some(unique) = state.settings.unique.clone()
        && let Some(value) = set.get(&unique).filter(|value| !value.is_null())
        && let Some(other) = state.book.with_value(&kind, &unique, value).filter(|other| *other != id)
    {
        let reason = format!("{other} has this {unique} already");
        let mut refused = refused(state, &key, &reason, &[&unique]);
        refused["exists"] = json!(op == "create");
        return refused;
    }
    take(state, &op, &kind, &mut id, &key, row, set, present);
    state.book.made.insert(key.clone(), (kind.clone(), id.clone()));
    state.counts.writes += 1;
    applied(state, &key, &kind, &id, row)
}

#[allow(clippy::too_many_arguments)]
fn take(
    state: &mut State,
    op: &str,
    kind: &str,
    id: &mut String,
    key: &str,
    row: &Value,
    set: Map<String, Value>,
    present: Present,
) {
    let by = By::syncline(key);
    if op == "delete" {
        let Some(held) = state.book.get_mut(kind, id) else { return };
        let at = held.time(present.said);
        (held.deleted, held.modified) = (true, at);
        return tell_ours(state, "record.deleted", kind, id, at, None, present);
    }
    let held = match op {
        "create" => state.book.kinds.entry(kind.to_owned()).or_default().entry(id.clone()).or_default(),
        _ => match state.book.get_mut(kind, id) {
            Some(held) => held,
            None => return,
        },
    };
    if op == "create" {
        held.record = row["record"].as_str().map(str::to_owned);
    }
    let at = held.time(present.said);
    held.modified = at;
    let mut shows = Map::new();
    for (name, value) in set {
        let value = rules::reshaped(&state.settings.reshape, &name, value);
        state.counts.values += 1;
        state.counts.needless += u64::from(held.value(&name).unwrap_or(&Value::Null) == &value);
        held.set(&name, value.clone(), at, &by, state.settings.remembers);
        shows.insert(name, value);
    }
    let topic = if op == "create" { "record.created" } else { "record.changed" };
    tell_ours(state, topic, kind, id, at, Some((key, shows)), present);
}

/// Tells a change that we made, as portals do that tell every change.
fn tell_ours(
    state: &mut State,
    topic: &str,
    kind: &str,
    id: &str,
    at: crate::clock::Millis,
    set: Option<(&str, Map<String, Value>)>,
    present: Present,
) {
    if !state.settings.tells_ours {
        return;
    }
    let by = match &set {
        Some((key, _)) if state.settings.names_us => By::syncline(key),
        _ => By::default(),
    };
    let change = state.change(kind, id, at, &by, set.map(|(_, set)| ("set".to_owned(), set.into())));
    state.tell(topic, vec![change], present);
}

fn refused(state: &mut State, key: &str, reason: &str, fields: &[&str]) -> Value {
    state.counts.refused += 1;
    json!({"key": key, "status": "refused", "reason": reason, "fields": fields})
}

/// What came of a write: the time at which the record took it, and the written fields that show something else.
fn applied(state: &State, key: &str, kind: &str, id: &str, row: &Value) -> Value {
    let Some(held) = state.book.kinds.get(kind).and_then(|kind| kind.get(id)) else { return Value::Null };
    let mut shows = Map::new();
    let mut at = None;
    for (name, sent) in row["set"].as_object().into_iter().flatten() {
        // What this write put there, though a user may have edited it since.
        let ours =
            held.fields.get(name).and_then(|all| all.iter().rfind(|shown| shown.by.syncline.as_deref() == Some(key)));
        let Some(ours) = ours else { continue };
        at = at.max(Some(ours.at));
        if ours.value != *sent {
            shows.insert(name.clone(), ours.value.clone());
        }
    }
    let at = at.unwrap_or(held.modified);
    json!({"key": key, "status": "applied", "id": id, "at": at.to_string(), "shows": shows})
}

fn read(state: &mut State, data: &Value) -> Answer {
    let mut records = Vec::new();
    for ask in data["asks"].as_array().into_iter().flatten() {
        let kind = ask["kind"].as_str().unwrap_or_default();
        let made = ask["key"].as_str().and_then(|key| state.book.made.get(key).cloned());
        let named = |held: &Held| held.record.is_some() && held.record.as_deref() == ask["record"].as_str();
        let id = ask["id"].as_str().map(str::to_owned).or(made.map(|(_, id)| id)).or_else(|| {
            let mut of_kind = state.book.kinds.get(kind)?.iter();
            of_kind.find(|(_, held)| named(held)).map(|(id, _)| id.clone())
        });
        let found = id.and_then(|id| state.book.find(kind, &id));
        let fields: Vec<String> = serde_json::from_value(ask["fields"].clone()).unwrap_or_default();
        let mut record = match found {
            Some((id, held)) => held.answer(&id, &fields, state.settings.field_times),
            None => json!({"found": false}),
        };
        record["ask"] = ask["ask"].clone();
        records.push(record);
    }
    state.counts.shown += records.len() as u64;
    Answer::json(200, json!({"records": records}))
}

/// A page by id; with `since`, only what changed from then on, what was deleted included.
fn page(state: &mut State, data: &Value, since: Option<&Value>) -> Answer {
    let since = match since {
        None => None,
        Some(text) => match text.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) {
            Some(time) => Some(time.as_millisecond()),
            None => return Answer::problem(422, "since is no time"),
        },
    };
    let limit = data["limit"].as_u64().map_or(PAGE_MAX, |limit| (limit as usize).clamp(1, PAGE_MAX));
    let cursor = data["cursor"].as_str().map(|cursor| cursor.strip_prefix("after ").unwrap_or(cursor));
    let Some(kind) = data["kind"].as_str() else { return Answer::problem(422, "kind is missing") };
    let empty = Default::default();
    let of_kind = state.book.kinds.get(kind).unwrap_or(&empty);
    let wanted = |(_, held): &(&String, &Held)| match since {
        None => !held.deleted && held.into.is_none(),
        Some(since) => held.into.is_none() && held.modified.0 >= since,
    };
    let all: Vec<(&String, &Held)> = of_kind.iter().filter(wanted).collect();
    let rest = all.iter().filter(|(id, _)| cursor.is_none_or(|cursor| id.as_str() > cursor));
    let page: Vec<_> = rest.clone().take(limit).collect();
    let next = match (page.last(), rest.count() > page.len()) {
        (Some((id, _)), true) => json!(format!("after {id}")),
        _ => Value::Null,
    };
    let records: Vec<Value> = page.iter().map(|(id, held)| held.answer(id, &[], state.settings.field_times)).collect();
    state.counts.shown += records.len() as u64;
    Answer::json(200, json!({"records": records, "next": next, "total": all.len()}))
}

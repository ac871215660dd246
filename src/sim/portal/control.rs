//! `/_sim`: what tests and people order of a running portal, and what they may look at.

use serde_json::{Value, json};

use super::{
    book::By,
    dialect::Answer,
    fault::Order,
    settings::Settings,
    state::{Change, NoRecord, Portal},
};

/// What may be asked, for whoever asks `/_sim`.
const HELP: [&str; 14] = [
    "GET /_sim/state: all records with what their fields show",
    "GET /_sim/counts: messages by type and status, writes, values, what was told",
    "GET /_sim/posts: messages that wait",
    "POST /_sim/posts/hurry: sends all that wait now",
    "GET|POST /_sim/settings {\"names_us\":false}: how the portal behaves",
    "GET|POST|DELETE /_sim/faults {\"fault\":\"lose_answer\",\"next\":1,\"op\":\"syncline.write\"}, or a list of such",
    "POST /_sim/outage {\"for_ms\":60000}",
    "POST /_sim/edit {\"kind\":\"customer\",\"id\":\"p1001\",\"set\":{\"phone\":\"..\"},\"by\":{\"user\":\"ana\"}}; no id: a new record",
    "     \"silent\":true: no message is made of it; a list of such: one message",
    "POST /_sim/delete {\"kind\",\"id\",\"by\"}",
    "POST /_sim/restore {\"kind\",\"id\",\"by\"}",
    "POST /_sim/merge {\"kind\",\"id\",\"absorbed\":[..],\"by\"}",
    "GET /_sim/now: the true time, and the portal's, in milliseconds",
    "Every other POST is a message in the dialect.",
];

/// Answers a request to `/_sim`; it is neither counted nor touched by faults.
pub(super) fn answer(portal: &Portal, method: &str, path: &str, body: &[u8]) -> Answer {
    let read = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(body) };
    let Ok(body) = read else { return Answer::json(400, json!({"reason": "the body is not JSON"})) };
    match done(portal, method, path.trim_matches('/'), body) {
        Some(Ok(body)) => Answer::json(200, body),
        Some(Err(reason)) => Answer::json(422, json!({"reason": reason})),
        None => Answer::json(404, json!({"reason": "GET /_sim says what can be asked"})),
    }
}

fn done(portal: &Portal, method: &str, path: &str, body: Value) -> Option<Result<Value, String>> {
    Some(match (method, path) {
        ("GET", "") => Ok(json!({"help": HELP})),
        ("GET", "state") => Ok(portal.state()),
        ("GET", "counts") => Ok(portal.counts()),
        ("GET", "posts") => Ok(portal.lock().posts.state()),
        ("POST", "posts/hurry") => {
            portal.hurry();
            Ok(json!({"pending": portal.posts_pending()}))
        }
        ("GET", "settings") => Ok(json!(portal.settings())),
        ("POST", "settings") => settings(portal, body),
        ("GET", "faults") => {
            let state = portal.lock();
            Ok(json!({"orders": state.faults.orders, "happened": state.faults.happened}))
        }
        ("POST", "faults") => orders(portal, body),
        ("DELETE", "faults") => {
            portal.heal();
            Ok(json!({}))
        }
        ("POST", "outage") => match body["for_ms"].as_i64() {
            Some(ms) => {
                portal.outage(ms);
                Ok(json!({}))
            }
            None => Err("for_ms has to be a number".to_owned()),
        },
        ("POST", "edit") => edit(portal, body),
        ("POST", "delete") => on_record(&body, |kind, id, by| portal.delete(kind, id, by)),
        ("POST", "restore") => on_record(&body, |kind, id, by| portal.restore(kind, id, by)),
        ("POST", "merge") => {
            let losers: Vec<&str> =
                body["absorbed"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            on_record(&body, |kind, id, by| portal.merge(kind, id, &losers, by))
        }
        ("GET", "now") => {
            let present = portal.present(&portal.lock());
            Ok(json!({"now": present.now.0, "said": present.said.0}))
        }
        _ => return None,
    })
}

fn settings(portal: &Portal, body: Value) -> Result<Value, String> {
    let mut merged = json!(portal.settings());
    for (name, value) in body.as_object().into_iter().flatten() {
        merged[name] = value.clone();
    }
    let read: Settings = serde_json::from_value(merged).map_err(|why| format!("not a setting: {why}"))?;
    portal.set(|settings| *settings = read);
    Ok(json!(portal.settings()))
}

fn orders(portal: &Portal, body: Value) -> Result<Value, String> {
    let list = if body.is_array() { body } else { json!([body]) };
    let orders: Vec<Order> = serde_json::from_value(list).map_err(|why| format!("not an order: {why}"))?;
    if let Some(wrong) = orders.iter().find_map(Order::wrong) {
        return Err(wrong.to_owned());
    }
    let count = orders.len();
    orders.into_iter().for_each(|order| portal.order(order));
    Ok(json!({"ordered": count}))
}

fn edit(portal: &Portal, body: Value) -> Result<Value, String> {
    let list = if body.is_array() { body } else { json!([body]) };
    let changes: Vec<Change> = serde_json::from_value(list).map_err(|why| format!("not an edit: {why}"))?;
    let ids = portal.edit_many(changes).map_err(|why| why.to_string())?;
    Ok(json!({"ids": ids}))
}

fn on_record(body: &Value, act: impl FnOnce(&str, &str, &By) -> Result<(), NoRecord>) -> Result<Value, String> {
    let text = |name: &str| body[name].as_str().ok_or_else(|| format!("{name} has to be a text"));
    let by: Option<By> = serde_json::from_value(body["by"].clone()).map_err(|why| format!("by is wrong: {why}"))?;
    act(text("kind")?, text("id")?, &by.unwrap_or_default()).map_err(|why| why.to_string())?;
    Ok(json!({}))
}

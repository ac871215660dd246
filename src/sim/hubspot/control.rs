//! `/_sim`: what tests and people order of a running account, and what they may look at.

use serde_json::{Map, Value, json};

use super::{
    account::{Account, Refused},
    book::By,
    call::{Answer, Call},
    change::Values,
    fault::Order,
    settings::Settings,
    state::State,
};
use crate::clock::Millis;

/// What may be asked, for whoever asks `/_sim`.
const HELP: [&str; 21] = [
    "GET /_sim/state?kind=contacts&archived=false: all records with their properties, and associations",
    "GET /_sim/counts: requests by name and status, windows of the quota, values written, webhooks",
    "GET /_sim/hooks: webhooks that wait, and the last that were made",
    "POST /_sim/hooks/flush: sends all that wait now",
    "GET|POST /_sim/settings {\"search_lag_ms\":3000}: how the account behaves",
    "GET|POST|DELETE /_sim/faults {\"fault\":\"lose_answer\",\"next\":1,\"op\":\"patch\"}, or a list of such",
    "POST /_sim/outage {\"for_ms\":60000}",
    "POST /_sim/clock {\"turn_ms\":60000,\"ahead_ms\":420000}",
    "POST /_sim/edit {\"kind\":\"contacts\",\"id\":1,\"set\":{\"phone\":\"..\"},\"user\":7}; no id: a new record",
    "     \"app\":N another app, \"source\":\"IMPORT\" any other, \"at_ms\":N when, \"silent\":true no webhook",
    "POST /_sim/touch {\"kind\",\"id\"}: a new time of change, and nothing else",
    "POST /_sim/delete {\"kind\",\"id\",\"user\"}",
    "POST /_sim/restore {\"kind\",\"id\",\"user\"}",
    "POST /_sim/privacy-delete {\"kind\",\"id\",\"user\"}",
    "POST /_sim/merge {\"kind\",\"primary\",\"loser\",\"new_id\":true,\"user\"}",
    "POST /_sim/associate {\"from\":{\"kind\",\"id\"},\"to\":{\"kind\",\"id\"},\"type\":279,\"removed\":false}",
    "POST /_sim/kinds {\"plural\":\"machines\",\"singular\":\"machine\",\"type_id\":\"2-3465404\",\"properties\":[..]}",
    "POST /_sim/properties {\"kind\":\"contacts\",\"name\":\"..\",\"change\":{\"read_only\":true}}: redefines, HubSpot's own too",
    "DELETE /_sim/properties {\"kind\",\"name\"}: takes a property away",
    "POST /_sim/people {\"count\":100}: contacts of real people",
    "The API's tokens: app-N is the app N, any other our own.",
];

/// Answers a request to `/_sim`; it is neither counted nor touched by faults.
pub(super) fn answer(account: &Account, path: &str, call: &Call) -> Answer {
    let body = match call.body.is_empty() {
        true => Value::Null,
        false => match call.json() {
            Ok(body) => body,
            Err(refused) => return refused,
        },
    };
    let done = match (call.method.as_str(), path.trim_matches('/')) {
        ("GET", "") => Ok(json!({"help": HELP})),
        ("GET", "state") => {
            let archived = call.asked("archived").is_none_or(|value| value == "true");
            Ok(state(&account.lock(), call.asked("kind").as_deref(), archived))
        }
        ("GET", "counts") => Ok(counts(&account.lock())),
        ("GET", "hooks") => Ok(hooks(&account.lock())),
        ("POST", "hooks/flush") => {
            account.flush_hooks();
            Ok(json!({"pending": account.hooks_pending()}))
        }
        ("GET", "settings") => Ok(json!(account.settings())),
        ("POST", "settings") => set(account, &body),
        ("GET", "faults") => {
            let state = account.lock();
            Ok(json!({"orders": state.faults.orders, "happened": state.faults.happened}))
        }
        ("POST", "faults") => order(account, &body),
        ("DELETE", "faults") => {
            account.heal();
            Ok(json!({}))
        }
        ("POST", "outage") => number(&body, "for_ms").map(|ms| {
            account.outage(ms);
            json!({})
        }),
        ("POST", "clock") => clock(account, &body),
        ("POST", "edit") => edit(account, &body),
        ("POST", "touch") => on_record(&body, |kind, id, _| account.touch(kind, id)),
        ("POST", "delete") => on_record(&body, |kind, id, by| account.archive(kind, id, by)),
        ("POST", "restore") => on_record(&body, |kind, id, by| account.restore(kind, id, by)),
        ("POST", "privacy-delete") => on_record(&body, |kind, id, by| account.purge(kind, id, by)),
        ("POST", "merge") => merge(account, &body),
        ("POST", "associate") => associate(account, &body),
        ("POST", "kinds") => add_kind(account, &body),
        ("POST", "properties") => redefine(account, &body),
        ("DELETE", "properties") => undefine(account, &body),
        ("POST", "people") => number(&body, "count").map(|count| {
            account.people(usize::try_from(count).unwrap_or(0));
            json!({})
        }),
        _ => return Answer::error(404, "OBJECT_NOT_FOUND", "GET /_sim says what can be asked"),
    };
    match done {
        Ok(body) => Answer::json(200, body),
        Err(Wrong(message)) => Answer::bad(&message),
    }
}

/// Why an order could not be followed.
struct Wrong(String);

impl From<Refused> for Wrong {
    fn from(refused: Refused) -> Self {
        Wrong(refused.to_string())
    }
}

type Done = Result<Value, Wrong>;

fn number(body: &Value, name: &str) -> Result<i64, Wrong> {
    body[name].as_i64().ok_or_else(|| Wrong(format!("{name} has to be a number")))
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, Wrong> {
    body[name].as_str().ok_or_else(|| Wrong(format!("{name} has to be a text")))
}

fn id(body: &Value, name: &str) -> Result<u64, Wrong> {
    let given = body[name].as_u64().or_else(|| body[name].as_str().and_then(|id| id.parse().ok()));
    given.ok_or_else(|| Wrong(format!("{name} has to be a record's id")))
}

/// Who acts: user 1 if nothing is said.
fn by(body: &Value) -> By {
    match (body["app"].as_u64(), body["source"].as_str()) {
        (Some(app), _) => By::app(app),
        (None, Some(source)) => By::other(source, body["source_id"].as_str()),
        (None, None) => By::user(body["user"].as_u64().unwrap_or(1)),
    }
}

fn set(account: &Account, body: &Value) -> Done {
    let mut merged = json!(account.settings());
    for (name, value) in body.as_object().into_iter().flatten() {
        merged[name] = value.clone();
    }
    let read: Settings = serde_json::from_value(merged).map_err(|why| Wrong(format!("not a setting: {why}")))?;
    account.set(|settings| *settings = read);
    Ok(json!(account.settings()))
}

fn order(account: &Account, body: &Value) -> Done {
    let list = match body {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    let read = list.into_iter().map(|one| {
        let order: Order = serde_json::from_value(one).map_err(|why| Wrong(format!("not an order: {why}")))?;
        order.wrong().map_or(Ok(order), |why| Err(Wrong(why.into())))
    });
    // All are read before the first one counts.
    let read = read.collect::<Result<Vec<Order>, Wrong>>()?;
    read.into_iter().for_each(|order| account.order(order));
    Ok(json!({}))
}

fn clock(account: &Account, body: &Value) -> Done {
    if let Some(ms) = body["turn_ms"].as_i64() {
        account.turn(ms);
    }
    if let Some(ms) = body["ahead_ms"].as_i64() {
        account.set(|settings| settings.ahead_ms = ms);
    }
    let state = account.lock();
    Ok(json!({"now_ms": state.now, "said_ms": state.said(), "ahead_ms": state.settings.ahead_ms}))
}

fn edit(account: &Account, body: &Value) -> Done {
    let kind = text(body, "kind")?;
    let given = body["set"].as_object().ok_or_else(|| Wrong("set has to be properties with values".into()))?;
    let value = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let set: Values = given.iter().map(|(name, given)| (name.clone(), value(given))).collect();
    let at = body["at_ms"].as_i64().map(Millis);
    let silent = body["silent"].as_bool().unwrap_or(false);
    let id = match body["id"].is_null() {
        true => account.create_at(kind, set, &by(body), at, silent)?,
        false => {
            let id = id(body, "id")?;
            account.edit_at(kind, id, set, &by(body), at, silent)?;
            id
        }
    };
    Ok(json!({"id": id.to_string()}))
}

fn on_record(body: &Value, act: impl FnOnce(&str, u64, &By) -> Result<(), Refused>) -> Done {
    act(text(body, "kind")?, id(body, "id")?, &by(body))?;
    Ok(json!({}))
}

fn merge(account: &Account, body: &Value) -> Done {
    let new_id = body["new_id"].as_bool().unwrap_or(false);
    let (primary, loser) = (id(body, "primary")?, id(body, "loser")?);
    let left = account.merge(text(body, "kind")?, primary, loser, new_id, &by(body))?;
    Ok(json!({"id": left.to_string()}))
}

fn associate(account: &Account, body: &Value) -> Done {
    let (from, to) = (&body["from"], &body["to"]);
    let type_id = body["type"].as_u64().and_then(|id| u32::try_from(id).ok());
    let removed = body["removed"].as_bool().unwrap_or(false);
    let (one, other) = ((text(from, "kind")?, id(from, "id")?), (text(to, "kind")?, id(to, "id")?));
    account.associate(one, other, type_id, removed, &by(body))?;
    Ok(json!({}))
}

fn add_kind(account: &Account, body: &Value) -> Done {
    let properties = match &body["properties"] {
        Value::Null => Vec::new(),
        given => serde_json::from_value(given.clone()).map_err(|why| Wrong(format!("not properties: {why}")))?,
    };
    account.add_kind(text(body, "plural")?, text(body, "singular")?, text(body, "type_id")?, properties);
    Ok(json!({}))
}

fn redefine(account: &Account, body: &Value) -> Done {
    let mut state = account.lock();
    let kind = text(body, "kind")?;
    let place = state.book.kind(kind).ok_or_else(|| Wrong(format!("no objects of the kind {kind}")))?;
    state
        .redefine(place, text(body, "name")?, &body["change"], true)
        .map_err(|refused| Wrong(refused.body["message"].as_str().unwrap_or_default().to_owned()))
}

fn undefine(account: &Account, body: &Value) -> Done {
    let mut state = account.lock();
    let kind = text(body, "kind")?;
    let place = state.book.kind(kind).ok_or_else(|| Wrong(format!("no objects of the kind {kind}")))?;
    let name = text(body, "name")?;
    let gone = state.book.kinds[place].properties.remove(name);
    gone.map(|_| json!({})).ok_or_else(|| Wrong(format!("{kind} have no property {name}")))
}

/// All records, archived ones too where asked, and all associations.
pub(super) fn state(state: &State, only: Option<&str>, archived: bool) -> Value {
    let wanted = only.map(|name| state.book.kind(name));
    let mut kinds = Map::new();
    for (place, kind) in state.book.kinds.iter().enumerate() {
        if wanted.is_some_and(|wanted| wanted != Some(place)) {
            continue;
        }
        let seen = kind.records.values().filter(|record| archived || record.archived.is_none());
        let records: Vec<Value> = seen
            .map(|record| {
                let set = record.values.keys().filter_map(|name| Some((name.clone(), json!(record.shows(name)?))));
                json!({"id": record.id.to_string(), "properties": set.collect::<Map<_, _>>(),
                       "archived": record.archived.is_some(), "created_ms": record.created, "updated_ms": record.updated})
            })
            .collect();
        let merged: Map<String, Value> =
            kind.merged.keys().map(|id| (id.to_string(), json!(kind.survivor(*id).to_string()))).collect();
        let purged: Vec<String> = kind.purged.iter().map(u64::to_string).collect();
        kinds.insert(kind.plural.clone(), json!({"records": records, "merged": merged, "purged": purged}));
    }
    let end = |(kind, id): (usize, u64)| json!({"kind": state.book.kinds[kind].plural, "id": id.to_string()});
    let ties: Vec<Value> = state
        .ties
        .all()
        .map(|(from, to, types)| {
            let types: Vec<u32> = types.iter().map(|type_| type_.id).collect();
            json!({"from": end(from), "to": end(to), "types": types})
        })
        .collect();
    json!({"account": state.settings.account, "now_ms": state.now, "kinds": kinds, "associations": ties})
}

/// What was asked, written and told.
pub(super) fn counts(state: &State) -> Value {
    let mut counts = json!(state.quota.asked);
    counts["hooks"] = json!(state.hooks.counts);
    counts["hooks"]["pending"] = json!(state.hooks.pending());
    counts["faults"] = json!(state.faults.happened);
    counts
}

fn hooks(state: &State) -> Value {
    json!({"pending": state.hooks.pending(), "under_way": state.hooks.under_way, "next_due_ms": state.hooks.next_due(),
           "counts": state.hooks.counts, "recent": state.hooks.recent})
}

//! The properties API, and what an app may read and set of its webhooks.

use serde_json::{Value, json};

use super::{
    batch::{Rows, rows},
    call::Answer,
    hook::Subscription,
    property::Property,
    state::{Asked, State},
};

/// The most unique properties of a kind.
const UNIQUE_MAX: usize = 10;
/// The most subscriptions of an app.
const SUBSCRIPTIONS_MAX: usize = 1000;
/// The first number of a subscription that was made by request.
const FIRST_SUBSCRIPTION: u64 = 3_000_000;

fn answered(done: Result<Answer, Answer>) -> Answer {
    done.unwrap_or_else(|refused| refused)
}

fn unknown(name: &str) -> Answer {
    Answer::error(404, "OBJECT_NOT_FOUND", &format!("Property \"{name}\" does not exist"))
}

impl State {
    /// Adds a property to a kind, or says why that cannot be.
    pub fn define(&mut self, kind: usize, body: &Value) -> Result<Value, Answer> {
        let mut property: Property =
            serde_json::from_value(body.clone()).map_err(|why| Answer::bad(&format!("Invalid input JSON: {why}")))?;
        let own = &mut self.book.kinds[kind];
        let lacks = [
            ("name", &property.name),
            ("label", &property.label),
            ("type", &property.kind),
            ("fieldType", &property.field_type),
            ("groupName", &property.group_name),
        ];
        if let Some((member, _)) = lacks.iter().find(|(_, text)| text.is_empty()) {
            return Err(Answer::bad(&format!("Invalid input JSON: Some required fields were not set: [{member}]")));
        }
        if !["string", "number", "date", "datetime", "enumeration", "bool"].contains(&property.kind.as_str()) {
            return Err(Answer::bad(&format!("{} is not a type of a property", property.kind)));
        }
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !property.name.chars().all(is_name) || !property.name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(Answer::bad(&format!("{} is not a name of a property", property.name)));
        }
        if own.properties.get(&property.name).is_some_and(|property| !property.archived) {
            let message = format!("A property named '{}' already exists.", property.name);
            return Err(Answer::error(409, "CONFLICT", &message));
        }
        let unique = own.properties.values().filter(|property| property.has_unique_value && !property.hubspot_defined);
        if property.has_unique_value && unique.count() >= UNIQUE_MAX {
            return Err(Answer::bad(&format!("An object can have {UNIQUE_MAX} unique properties")));
        }
        let now = self.now.plus(self.settings.ahead_ms);
        (property.created, property.updated, property.archived) = (now, now, false);
        let shown = property.to_json();
        own.properties.insert(property.name.clone(), property);
        Ok(shown)
    }

    /// Changes a definition; what comes with HubSpot can be changed by `force` alone.
    pub fn redefine(&mut self, kind: usize, name: &str, body: &Value, force: bool) -> Result<Value, Answer> {
        let now = self.said();
        let own = &mut self.book.kinds[kind];
        let property =
            own.properties.get_mut(name).filter(|property| !property.archived).ok_or_else(|| unknown(name))?;
        if property.hubspot_defined && !force {
            return Err(Answer::bad(&format!("{name} is defined by HubSpot and cannot be changed")));
        }
        let mut merged = serde_json::to_value(&*property).unwrap_or_default();
        for (member, value) in body.as_object().into_iter().flatten() {
            merged[member] = value.clone();
        }
        let read: Property =
            serde_json::from_value(merged).map_err(|why| Answer::bad(&format!("Invalid input JSON: {why}")))?;
        let fixed = (property.name.clone(), property.created, property.has_unique_value, property.read_only);
        let read_only = if force { body["read_only"].as_bool().unwrap_or(fixed.3) } else { fixed.3 };
        *property =
            Property { name: fixed.0, created: fixed.1, updated: now, has_unique_value: fixed.2, read_only, ..read };
        Ok(property.to_json())
    }
}

/// All definitions of a kind.
pub(super) fn list(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let archived = asked.call.says("archived");
        let all = state.book.kinds[kind].properties.values().filter(|property| property.archived == archived);
        Ok(Answer::json(200, json!({"results": all.map(Property::to_json).collect::<Vec<_>>()})))
    })())
}

/// One definition.
pub(super) fn get(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let name = asked.route.args[0];
        let archived = asked.call.says("archived");
        let found = state.book.kinds[kind].properties.get(name).filter(|property| property.archived == archived);
        Ok(Answer::json(200, found.ok_or_else(|| unknown(name))?.to_json()))
    })())
}

/// A new definition.
pub(super) fn create(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        Ok(Answer::json(201, state.define(kind, &asked.call.json()?)?))
    })())
}

/// A change of a definition.
pub(super) fn patch(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        Ok(Answer::json(200, state.redefine(kind, asked.route.args[0], &asked.call.json()?, false)?))
    })())
}

/// Archives a definition.
pub(super) fn archive(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let name = asked.route.args[0];
        let found = state.book.kinds[kind].properties.get_mut(name).ok_or_else(|| unknown(name))?;
        if found.hubspot_defined {
            return Err(Answer::bad(&format!("{name} is defined by HubSpot and cannot be archived")));
        }
        found.archived = true;
        Ok(Answer::empty(204))
    })())
}

/// Definitions by name.
pub(super) fn batch_read(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let mut done = Rows::default();
        for row in rows(&asked.call.json()?, 100)? {
            let name = row["name"].as_str().unwrap_or_default();
            match state.book.kinds[kind].properties.get(name).filter(|property| !property.archived) {
                Some(property) => done.results.push(property.to_json()),
                None => done.errors.push(failed(&unknown(name), name)),
            }
        }
        Ok(done.answer(state, 200))
    })())
}

/// New definitions.
pub(super) fn batch_create(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let mut done = Rows::default();
        for row in rows(&asked.call.json()?, 100)? {
            match state.define(kind, &row) {
                Ok(shown) => done.results.push(shown),
                Err(refused) => done.errors.push(failed(&refused, row["name"].as_str().unwrap_or_default())),
            }
        }
        Ok(done.answer(state, 201))
    })())
}

/// Archives definitions.
pub(super) fn batch_archive(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        for row in rows(&asked.call.json()?, 100)? {
            let name = row["name"].as_str().unwrap_or_default();
            if let Some(property) = state.book.kinds[kind].properties.get_mut(name).filter(|own| !own.hubspot_defined) {
                property.archived = true;
            }
        }
        Ok(Answer::empty(204))
    })())
}

fn failed(refused: &Answer, name: &str) -> Value {
    json!({"status": "error", "category": refused.body["category"], "message": refused.body["message"],
           "context": {"name": [name]}})
}

fn group(name: &str, label: &str) -> Value {
    json!({"name": name, "label": label, "displayOrder": -1, "archived": false})
}

/// All groups of a kind's properties.
pub(super) fn groups(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let all = state.book.kinds[kind].groups.iter().map(|(name, label)| group(name, label));
        Ok(Answer::json(200, json!({"results": all.collect::<Vec<_>>()})))
    })())
}

/// A new group.
pub(super) fn create_group(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let body = asked.call.json()?;
        let (Some(name), Some(label)) = (body["name"].as_str(), body["label"].as_str()) else {
            return Err(Answer::bad("Invalid input JSON: Some required fields were not set: [name, label]"));
        };
        state.book.kinds[kind].groups.insert(name.to_owned(), label.to_owned());
        Ok(Answer::json(201, group(name, label)))
    })())
}

/// The account's own kinds of objects.
pub(super) fn kinds(state: &mut State, _: &Asked<'_>) -> Answer {
    let own = state.book.kinds.iter().filter(|kind| kind.type_id.starts_with("2-"));
    let all = own.map(|kind| {
        let properties: Vec<Value> = kind.properties.values().map(Property::to_json).collect();
        json!({"name": kind.plural, "objectTypeId": kind.type_id, "properties": properties, "associations": [],
               "labels": {"singular": kind.singular, "plural": kind.plural}, "requiredProperties": [],
               "fullyQualifiedName": format!("p{}_{}", state.settings.account, kind.plural)})
    });
    Answer::json(200, json!({"results": all.collect::<Vec<_>>()}))
}

/// Where webhooks go.
pub(super) fn hook_settings(state: &mut State, asked: &Asked<'_>) -> Answer {
    match asked.call.method.as_str() {
        "DELETE" => {
            state.settings.webhooks_to = None;
            return Answer::empty(204);
        }
        "PUT" => {
            let body = match asked.call.json() {
                Ok(body) => body,
                Err(refused) => return refused,
            };
            match (body["targetUrl"].as_str(), body["throttling"]["maxConcurrentRequests"].as_u64()) {
                (Some(target), Some(at_once)) if at_once > 5 => {
                    state.settings.webhooks_to = Some(target.to_owned());
                    state.settings.hooks_at_once = usize::try_from(at_once).unwrap_or(usize::MAX);
                }
                _ => return Answer::bad("targetUrl and throttling.maxConcurrentRequests, more than 5, are required"),
            }
        }
        _ => {}
    }
    let at_once = state.settings.hooks_at_once;
    let target = state.settings.webhooks_to.clone().unwrap_or_default();
    Answer::json(200, json!({"targetUrl": target, "throttling": {"maxConcurrentRequests": at_once}}))
}

/// What the app has subscribed to.
pub(super) fn subscriptions(state: &mut State, _: &Asked<'_>) -> Answer {
    Answer::json(200, json!({"results": state.hooks.subscriptions.clone().unwrap_or_default()}))
}

/// A new subscription; it is paused unless it says otherwise. From the first one on, only what is subscribed is told.
pub(super) fn subscribe(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let mut wanted: Subscription = serde_json::from_value(asked.call.json()?)
            .map_err(|why| Answer::bad(&format!("Invalid input JSON: {why}")))?;
        if wanted.event_type.ends_with("propertyChange") != wanted.property_name.is_some() {
            return Err(Answer::bad("propertyName goes with propertyChange, and with nothing else"));
        }
        let all = state.hooks.subscriptions.get_or_insert_default();
        if all.len() >= SUBSCRIPTIONS_MAX {
            return Err(Answer::bad("Couldn't create another subscription. The limit has been reached."));
        }
        wanted.id = all.last().map_or(FIRST_SUBSCRIPTION, |last| last.id + 1);
        let shown = json!(wanted);
        all.push(wanted);
        Ok(Answer::json(201, shown))
    })())
}

/// One subscription: to see, to switch, to end.
pub(super) fn subscription(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let id = asked.route.args.last().and_then(|id| id.parse::<u64>().ok());
        let all = state.hooks.subscriptions.get_or_insert_default();
        let place = all.iter().position(|one| Some(one.id) == id).ok_or_else(Answer::missing)?;
        match asked.call.method.as_str() {
            "DELETE" => {
                all.remove(place);
                return Ok(Answer::empty(204));
            }
            "PATCH" => all[place].active = asked.call.json()?["active"].as_bool().unwrap_or(all[place].active),
            _ => {}
        }
        Ok(Answer::json(200, json!(all[place])))
    })())
}

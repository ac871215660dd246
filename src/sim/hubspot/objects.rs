//! The objects API, one record at a time.

use serde_json::{Map, Value, json};

use super::{
    book::Record,
    call::{Answer, Call},
    change::Values,
    state::{Asked, State},
};

/// The most records of a page, and of one that asks for the past of properties.
const PAGE_MAX: usize = 100;
const PAGE_WITH_PAST_MAX: usize = 50;

impl State {
    /// The place of the kind that a request is about.
    pub fn kind_of(&self, asked: &Asked<'_>) -> Result<usize, Answer> {
        let name = asked.route.kind.unwrap_or_default();
        self.book.kind(name).ok_or_else(|| Answer::bad(&format!("Unable to infer object type from: {name}")))
    }

    /// A record with everything that a request asks to see of it.
    fn shown(&self, kind: usize, record: &Record, wants: &Wants) -> Value {
        let own = &self.book.kinds[kind];
        let mut shown = own.shown(record, &wants.properties, None);
        if !wants.past.is_empty() {
            for name in &wants.past {
                shown["properties"][name] = json!(own.value(record, name, None));
            }
            shown["propertiesWithHistory"] = own.past(record, &wants.past, self.settings.history_max);
        }
        let mut joined = Map::new();
        // Under an id that was merged away, associations are not found.
        for name in wants.associations.iter().filter(|_| !wants.is_former) {
            let Some(other) = self.book.kind(name) else { continue };
            let of = &self.book.kinds[other];
            let results: Vec<Value> = self
                .ties
                .of((kind, record.id), other)
                .filter(|(id, _)| self.is_live(other, *id))
                .flat_map(|(id, types)| types.iter().map(move |type_| (id, *type_)))
                .map(|(id, type_)| {
                    let label = if matches!(type_.id, 1 | 2 | 5 | 6 | 25 | 26) { "_primary" } else { "" };
                    let name = format!("{}_to_{}{label}", self.book.kinds[kind].singular, of.singular);
                    json!({"id": id.to_string(), "type": name})
                })
                .collect();
            if !results.is_empty() {
                joined.insert(of.plural.clone(), json!({"results": results}));
            }
        }
        if !joined.is_empty() {
            shown["associations"] = Value::Object(joined);
        }
        shown
    }

    /// Puts the associations of a new record in place: all of them, or none.
    pub fn join_new(&mut self, kind: usize, id: u64, wanted: &Value, asked: &Asked<'_>) {
        for one in wanted.as_array().into_iter().flatten() {
            let Some((to_kind, to, type_id)) = self.end_of(kind, one) else { continue };
            let names = (self.book.kinds[kind].singular.clone(), self.book.kinds[to_kind].singular.clone());
            let tied = self.ties.tie((kind, id), (to_kind, to), Some(type_id), (&names.0, &names.1));
            self.tell_ties(&tied.unwrap_or_default(), &asked.by, None);
        }
    }

    /// Why the associations that a new record asks for cannot be made.
    pub fn unjoinable(&mut self, kind: usize, wanted: &Value) -> Option<Answer> {
        let bad = wanted.as_array().into_iter().flatten().find(|one| self.end_of(kind, one).is_none())?;
        let message = format!("No association of that type, or no such object: {}", bad["to"]["id"]);
        Some(Answer::bad(&message))
    }

    /// The other end of an association that is asked for by type: the kind follows from the type.
    fn end_of(&mut self, kind: usize, one: &Value) -> Option<(usize, u64, u32)> {
        let to = one["to"]["id"]
            .as_str()
            .map(str::to_owned)
            .or_else(|| one["to"]["id"].as_u64().map(|id| id.to_string()))?;
        let type_id = u32::try_from(one["types"][0]["associationTypeId"].as_u64()?).ok()?;
        let from = self.book.kinds[kind].singular.clone();
        (0..self.book.kinds.len()).find_map(|other| {
            let singular = self.book.kinds[other].singular.clone();
            let (plain, primary) = self.ties.types(&from, &singular);
            let fits = plain.id == type_id || primary.is_some_and(|primary| primary.id == type_id);
            let id = fits.then(|| self.book.kinds[other].live(&to, None).ok()).flatten()?;
            Some((other, id, type_id))
        })
    }
}

/// What a reader wants to see.
struct Wants {
    properties: Vec<String>,
    past: Vec<String>,
    associations: Vec<String>,
    is_former: bool,
}

impl Wants {
    fn of(call: &Call) -> Self {
        Wants {
            properties: call.list("properties"),
            past: call.list("propertiesWithHistory"),
            associations: call.list("associations"),
            is_former: false,
        }
    }
}

fn is_archived(call: &Call) -> bool {
    call.says("archived")
}

/// The values that a body wants written; null clears, and numbers and truths are taken as their texts.
pub(super) fn values(body: &Value) -> Result<Values, Answer> {
    let Some(named) = body["properties"].as_object() else {
        return Err(Answer::bad("Invalid input JSON: Some required fields were not set: [properties]"));
    };
    let mut values = Values::new();
    for (name, value) in named {
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(Answer::bad(&format!("Invalid input JSON: the value of {name} is not a text"))),
        };
        values.insert(name.clone(), text);
    }
    Ok(values)
}

fn answered(done: Result<Answer, Answer>) -> Answer {
    done.unwrap_or_else(|refused| refused)
}

/// One record.
pub(super) fn get(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let own = &state.book.kinds[kind];
        let id = asked.route.args[0];
        let by = asked.call.asked("idProperty");
        if let Some(name) = by.as_deref().filter(|name| !own.is_unique(name)) {
            return Err(Answer::bad(&format!("{name} is not a unique property")));
        }
        let found = own.find(id, by.as_deref());
        let record =
            found.filter(|record| record.archived.is_some() == is_archived(asked.call)).ok_or_else(Answer::missing)?;
        let is_former = by.is_none() && record.id.to_string() != id;
        Ok(Answer::json(200, state.shown(kind, record, &Wants { is_former, ..Wants::of(asked.call) })))
    })())
}

/// One page of all records.
pub(super) fn list(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let wants = Wants::of(asked.call);
        let max = if wants.past.is_empty() { PAGE_MAX } else { PAGE_WITH_PAST_MAX };
        let limit = asked.call.asked("limit").map_or(Ok(10), |limit| limit.parse::<usize>());
        let limit = limit.ok().filter(|limit| (1..=max).contains(limit));
        let limit = limit.ok_or_else(|| Answer::bad(&format!("limit has to be from 1 to {max}")))?;
        let after = asked.call.asked("after").map_or(Ok(0), |after| after.parse::<u64>());
        let after = after.map_err(|_| Answer::bad("after is not a cursor of ours"))?;
        let archived = is_archived(asked.call);
        let mut rest = state.book.kinds[kind]
            .records
            .range(after + u64::from(after > 0)..)
            .filter(|(_, record)| record.archived.is_some() == archived);
        let page: Vec<&Record> = rest.by_ref().take(limit).map(|(_, record)| record).collect();
        let mut body =
            json!({"results": page.iter().map(|record| state.shown(kind, record, &wants)).collect::<Vec<_>>()});
        if let (Some(last), Some(_)) = (page.last(), rest.next()) {
            let link = format!("https://api.hubapi.com{}?after={}&limit={limit}", asked.call.path, last.id);
            body["paging"] = json!({"next": {"after": last.id.to_string(), "link": link}});
        }
        Ok(Answer::json(200, body))
    })())
}

/// A new record.
pub(super) fn create(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let body = asked.call.json()?;
        let values = values(&body)?;
        if let Some(refused) = state.unjoinable(kind, &body["associations"]) {
            return Err(refused);
        }
        let done = state.book.create(kind, &values, &asked.by, state.said(), state.manner());
        let done = done.map_err(|problem| problem.answer())?;
        state.quota.asked.created += 1;
        let id = state.wrote(done, &asked.by);
        state.join_new(kind, id, &body["associations"], asked);
        let own = &state.book.kinds[kind];
        Ok(Answer::json(201, own.whole(&own.records[&id])))
    })())
}

/// A write to a record.
pub(super) fn patch(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let values = values(&asked.call.json()?)?;
        let by = asked.call.asked("idProperty");
        let id = state.book.kinds[kind].live(asked.route.args[0], by.as_deref()).map_err(|problem| problem.answer())?;
        let done = state.book.patch(kind, id, &values, &asked.by, state.said(), state.manner());
        let id = state.wrote(done.map_err(|problem| problem.answer())?, &asked.by);
        let own = &state.book.kinds[kind];
        let written: Vec<String> = values.into_keys().collect();
        Ok(Answer::json(200, own.shown(&own.records[&id], &written, None)))
    })())
}

/// Archives a record; to archive it again, or one that never was, is no error.
pub(super) fn archive(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        if let Ok(id) = state.book.kinds[kind].live(asked.route.args[0], None) {
            let told = state.book.archive(kind, id, state.said()).map_err(|problem| problem.answer())?;
            state.tell(told, &asked.by, None);
        }
        Ok(Answer::empty(204))
    })())
}

/// Merges two records into one, under a third id as HubSpot does now.
pub(super) fn merge(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let body = asked.call.json()?;
        let id = |name: &str| {
            let given = body[name].as_str().map(str::to_owned).or_else(|| body[name].as_u64().map(|id| id.to_string()));
            let live = given.and_then(|id| state.book.kinds[kind].live(&id, None).ok());
            live.ok_or_else(|| Answer::bad(&format!("{name} is not an object that can be merged")))
        };
        let pair = (id("primaryObjectId")?, id("objectIdToMerge")?);
        let (left, told) = state.merge(kind, pair, true).map_err(|_| Answer::bad("the two cannot be merged"))?;
        state.tell(told, &asked.by, None);
        let own = &state.book.kinds[kind];
        Ok(Answer::json(200, own.whole(&own.records[&left])))
    })())
}

/// Deletes a record for good.
pub(super) fn purge(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let body = asked.call.json()?;
        let id = body["objectId"].as_str().unwrap_or_default();
        let by = body["idProperty"].as_str();
        let found = state.book.kinds[kind].find(id, by).map(|record| record.id);
        match found {
            Some(id) => {
                let told = state.book.purge(kind, id).map_err(|problem| problem.answer())?;
                state.ties.forget((kind, id));
                state.tell(told, &asked.by, None);
            }
            // An address that is not known is blocked for the future.
            None if by == Some("email") => {
                state.book.kinds[kind].blocked.insert(id.to_lowercase());
            }
            None => return Err(Answer::missing()),
        }
        Ok(Answer::empty(204))
    })())
}

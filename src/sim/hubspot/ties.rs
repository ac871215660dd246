//! The associations API, version 4.

use serde_json::{Value, json};

use super::{
    association::{Place, Type},
    batch::{Rows, rows},
    call::Answer,
    state::{Asked, State},
};

/// The most inputs of each batch.
const READ_MAX: usize = 1000;
const CREATE_MAX: usize = 2000;
const ARCHIVE_MAX: usize = 100;
/// The most associations of a page.
const PAGE_MAX: usize = 500;

fn answered(done: Result<Answer, Answer>) -> Answer {
    done.unwrap_or_else(|refused| refused)
}

fn id_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl State {
    fn kind_named(&self, name: &str) -> Result<usize, Answer> {
        self.book.kind(name).ok_or_else(|| Answer::bad(&format!("Unable to infer object type from: {name}")))
    }

    fn live_place(&self, kind: usize, id: &str) -> Result<Place, Answer> {
        let live = self.book.kinds[kind].live(id, None);
        live.map(|id| (kind, id)).map_err(|_| {
            let singular = self.book.kinds[kind].singular.to_uppercase();
            Answer::error(404, "OBJECT_NOT_FOUND", &format!("{singular}={id} does not exist"))
        })
    }

    /// The record's own place, unless its id was merged away: then there is nothing under it.
    fn own_place(&self, kind: usize, id: &str) -> Option<Place> {
        let id: u64 = id.parse().ok()?;
        self.book.kinds[kind].records.contains_key(&id).then_some((kind, id))
    }

    /// Whether a record is there and not archived; associations with others are not shown.
    pub fn is_live(&self, kind: usize, id: u64) -> bool {
        self.book.kinds[kind].records.get(&id).is_some_and(|record| record.archived.is_none())
    }

    fn singulars(&self, from: usize, to: usize) -> (String, String) {
        (self.book.kinds[from].singular.clone(), self.book.kinds[to].singular.clone())
    }

    /// Joins two records with all of the types, or with the default one if there is none.
    fn join(&mut self, from: Place, to: Place, types: &Value, asked: &Asked<'_>) -> Result<Value, Answer> {
        let names = self.singulars(from.0, to.0);
        let wanted: Vec<Option<u32>> = match types.as_array() {
            Some(all) if !all.is_empty() => {
                let id = |one: &Value| one["associationTypeId"].as_u64().and_then(|id| u32::try_from(id).ok());
                let all: Option<Vec<u32>> = all.iter().map(id).collect();
                let all = all.ok_or_else(|| Answer::bad("associationTypeId is not a number"))?;
                all.into_iter().map(Some).collect()
            }
            _ => vec![None],
        };
        let (plain, primary) = self.ties.types(&names.0, &names.1);
        for id in wanted.iter().flatten() {
            if *id != plain.id && primary.is_none_or(|primary| primary.id != *id) {
                let message = format!("association type {id} is not valid between {} and {}", names.0, names.1);
                return Err(Answer::bad(&message));
            }
        }
        for id in wanted {
            let tied = self.ties.tie(from, to, id, (&names.0, &names.1)).unwrap_or_default();
            self.tell_ties(&tied, &asked.by, None);
        }
        let type_id = |kind: usize| self.book.kinds[kind].type_id.clone();
        Ok(json!({"fromObjectTypeId": type_id(from.0), "fromObjectId": from.1.to_string(),
                  "toObjectTypeId": type_id(to.0), "toObjectId": to.1.to_string(), "labels": []}))
    }

    fn separate(&mut self, from: Place, to: Place, asked: &Asked<'_>) {
        let tied = self.ties.untie(from, to);
        self.tell_ties(&tied, &asked.by, None);
    }

    /// What a record is joined with, from `after` on, and where the next page begins.
    fn page(&self, from: Place, to: usize, after: u64, limit: usize) -> (Vec<Value>, Option<u64>) {
        let mut rest = self.ties.of(from, to).filter(|(id, _)| *id > after && self.is_live(to, *id));
        let page: Vec<(u64, Value)> = rest
            .by_ref()
            .take(limit)
            .map(|(id, types)| {
                let types: Vec<Value> = types.iter().map(|type_| labelled(*type_)).collect();
                let shown = if self.settings.numeric_association_ids { json!(id) } else { json!(id.to_string()) };
                (id, json!({"toObjectId": shown, "associationTypes": types}))
            })
            .collect();
        let next = page.last().map(|(id, _)| *id).filter(|_| rest.next().is_some());
        (page.into_iter().map(|(_, shown)| shown).collect(), next)
    }
}

fn labelled(type_: Type) -> Value {
    let label = matches!(type_.id, 1 | 2 | 5 | 6 | 25 | 26).then_some("Primary");
    json!({"category": type_.category(), "typeId": type_.id, "label": label})
}

/// What a record is joined with.
pub(super) fn list(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let [id, _, to] = asked.route.args[..] else { return Err(Answer::missing()) };
        let to = state.kind_named(to)?;
        state.live_place(kind, id)?;
        let number = |name: &str| asked.call.asked(name).map(|text| text.parse::<u64>()).transpose();
        let bad = |_| Answer::bad("after and limit are numbers");
        let after = number("after").map_err(bad)?.unwrap_or(0);
        let limit = usize::try_from(number("limit").map_err(bad)?.unwrap_or(500)).unwrap_or(PAGE_MAX);
        let place = state.own_place(kind, id);
        let (page, next) =
            place.map_or((Vec::new(), None), |from| state.page(from, to, after, limit.clamp(1, PAGE_MAX)));
        let mut body = json!({"results": page});
        if let Some(next) = next {
            body["paging"] = json!({"next": {"after": next.to_string()}});
        }
        Ok(Answer::json(200, body))
    })())
}

/// Joins two records with types.
pub(super) fn put(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let [id, _, to, to_id] = asked.route.args[..] else { return Err(Answer::missing()) };
        let (from, to) = (state.live_place(kind, id)?, state.live_place(state.kind_named(to)?, to_id)?);
        let body = asked.call.json()?;
        if body.as_array().is_none_or(Vec::is_empty) {
            return Err(Answer::bad("Invalid input JSON: a list of association types is required"));
        }
        Ok(Answer::json(201, state.join(from, to, &body, asked)?))
    })())
}

/// Joins two records with the default type.
pub(super) fn put_default(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let [id, _, _, to, to_id] = asked.route.args[..] else { return Err(Answer::missing()) };
        let (from, to) = (state.live_place(kind, id)?, state.live_place(state.kind_named(to)?, to_id)?);
        let done = Rows { results: joined_by_default(state, from, to, asked)?, ..Rows::default() };
        Ok(done.answer(state, 200))
    })())
}

fn joined_by_default(state: &mut State, from: Place, to: Place, asked: &Asked<'_>) -> Result<Vec<Value>, Answer> {
    state.join(from, to, &Value::Null, asked)?;
    let names = state.singulars(from.0, to.0);
    let there = state.ties.types(&names.0, &names.1).0;
    let back = state.ties.types(&names.1, &names.0).0;
    let one = |from: Place, to: Place, type_: Type| json!({"from": {"id": from.1.to_string()}, "to": {"id": to.1.to_string()}, "associationSpec": type_.spec()});
    Ok(vec![one(from, to, there), one(to, from, back)])
}

/// Takes all associations between two records away.
pub(super) fn delete(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let [id, _, to, to_id] = asked.route.args[..] else { return Err(Answer::missing()) };
        let (from, to) = (state.live_place(kind, id)?, state.live_place(state.kind_named(to)?, to_id)?);
        state.separate(from, to, asked);
        Ok(Answer::empty(204))
    })())
}

/// The kinds of both ends, and the rows.
fn batch(state: &State, asked: &Asked<'_>, max: usize) -> Result<(usize, usize, Vec<Value>), Answer> {
    let from = state.kind_of(asked)?;
    let to = state.kind_named(asked.route.args.first().copied().unwrap_or_default())?;
    Ok((from, to, rows(&asked.call.json()?, max)?))
}

fn failed(refused: &Answer, row: &Value) -> Value {
    json!({"status": "error", "category": refused.body["category"], "message": refused.body["message"],
           "context": {"fromObjectId": [id_of(&row["from"]["id"])], "toObjectId": [id_of(&row["to"]["id"])]}})
}

/// What records are joined with, each with its first page.
pub(super) fn batch_read(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let (from, to, rows) = batch(state, asked, READ_MAX)?;
        let mut done = Rows::default();
        for row in rows {
            let id = id_of(&row["id"]);
            let after = row["after"].as_str().and_then(|after| after.parse().ok()).unwrap_or(0);
            let found = state.own_place(from, &id).map(|place| state.page(place, to, after, PAGE_MAX));
            match found {
                Some((page, next)) if !page.is_empty() => {
                    let mut shown = json!({"from": {"id": id}, "to": page});
                    if let Some(next) = next {
                        shown["paging"] = json!({"next": {"after": next.to_string()}});
                    }
                    done.results.push(shown);
                }
                _ => done.errors.push(json!({
                    "status": "error", "category": "OBJECT_NOT_FOUND",
                    "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                    "message": format!("No {} is associated with {} {id}.", state.book.kinds[to].singular, state.book.kinds[from].singular),
                    "context": {"fromObjectId": [id]},
                })),
            }
        }
        Ok(done.answer(state, 200))
    })())
}

/// Joins pairs of records.
pub(super) fn batch_create(state: &mut State, asked: &Asked<'_>) -> Answer {
    join_all(state, asked, 201, |state, from, to, row, asked| {
        state.join(from, to, &row["types"], asked).map(|shown| vec![shown])
    })
}

/// Joins pairs of records with the default type.
pub(super) fn batch_default(state: &mut State, asked: &Asked<'_>) -> Answer {
    join_all(state, asked, 200, |state, from, to, _, asked| joined_by_default(state, from, to, asked))
}

fn join_all(
    state: &mut State,
    asked: &Asked<'_>,
    well: u16,
    join: impl Fn(&mut State, Place, Place, &Value, &Asked<'_>) -> Result<Vec<Value>, Answer>,
) -> Answer {
    answered((|| {
        let (from, to, rows) = batch(state, asked, CREATE_MAX)?;
        let mut done = Rows::default();
        for row in rows {
            let ends = state
                .live_place(from, &id_of(&row["from"]["id"]))
                .and_then(|one| Ok((one, state.live_place(to, &id_of(&row["to"]["id"]))?)));
            match ends.and_then(|(one, other)| join(state, one, other, &row, asked)) {
                Ok(shown) => done.results.extend(shown),
                Err(refused) => done.errors.push(failed(&refused, &row)),
            }
        }
        Ok(done.answer(state, well))
    })())
}

/// Separates pairs of records.
pub(super) fn batch_archive(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let (from, to, rows) = batch(state, asked, ARCHIVE_MAX)?;
        for row in rows {
            let Some(one) = state.own_place(from, &id_of(&row["from"]["id"])) else { continue };
            for other in row["to"].as_array().into_iter().flatten() {
                if let Some(other) = state.own_place(to, &id_of(&other["id"])) {
                    state.separate(one, other, asked);
                }
            }
        }
        Ok(Answer::empty(204))
    })())
}

/// Takes single types between pairs of records away.
pub(super) fn batch_labels(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let (from, to, rows) = batch(state, asked, ARCHIVE_MAX)?;
        let names = state.singulars(from, to);
        for row in rows {
            let ends =
                (state.own_place(from, &id_of(&row["from"]["id"])), state.own_place(to, &id_of(&row["to"]["id"])));
            let (Some(one), Some(other)) = ends else { continue };
            for type_ in row["types"].as_array().into_iter().flatten() {
                let id = type_["associationTypeId"].as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
                let tied = state.ties.untie_type(one, other, id, (&names.0, &names.1));
                state.tell_ties(&tied, &asked.by, None);
            }
        }
        Ok(Answer::empty(204))
    })())
}

/// The types that there are between two kinds.
pub(super) fn labels(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let from = state.kind_of(asked)?;
        let to = state.kind_named(asked.route.args.first().copied().unwrap_or_default())?;
        let names = state.singulars(from, to);
        let (plain, primary) = state.ties.types(&names.0, &names.1);
        let all: Vec<Value> = primary.into_iter().chain([plain]).map(labelled).collect();
        Ok(Answer::json(200, json!({"results": all})))
    })())
}

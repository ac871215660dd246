//! The objects API, many records at a time: which rows fail alone, and which fail the whole call.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    call::Answer,
    change::{Problem, Values},
    objects::values,
    stamp,
    state::{Asked, State},
};

/// The most rows of a batch.
const ROWS_MAX: usize = 100;

/// What a batch comes to: records, and errors.
#[derive(Default)]
pub(super) struct Rows {
    pub results: Vec<Value>,
    pub errors: Vec<Value>,
}

impl Rows {
    /// The answer: `well` if no row failed, 207 if some did, with the rows that came to something.
    pub fn answer(self, state: &State, well: u16) -> Answer {
        let at = stamp(state.said());
        let mut body = json!({"status": "COMPLETE", "results": self.results, "startedAt": at, "completedAt": at});
        if self.errors.is_empty() {
            return Answer::json(well, body);
        }
        body["numErrors"] = json!(self.errors.len());
        body["errors"] = json!(self.errors);
        Answer::json(207, body)
    }

    /// One error for all ids that are not there.
    fn missing(&mut self, singular: &str, ids: &[String]) {
        if ids.is_empty() {
            return;
        }
        let message = format!(
            "Could not get some {} objects, they may be deleted or not exist. Check that ids are valid.",
            singular.to_uppercase()
        );
        self.errors.push(json!({
            "status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": {"ids": ids},
        }));
    }

    /// The error of one row, by the mark that its sender gave it, or by its id.
    fn failed(&mut self, refused: &Answer, row: &Value) {
        let context = match row["objectWriteTraceId"].as_str() {
            Some(mark) => json!({"objectWriteTraceId": [mark]}),
            None => json!({"ids": [text(&row["id"])]}),
        };
        let mut error = json!({
            "status": "error", "category": refused.body["category"], "message": refused.body["message"],
            "context": context,
        });
        if refused.body.get("errors").is_some() {
            error["errors"] = refused.body["errors"].clone();
        }
        self.errors.push(error);
    }
}

fn text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// The rows of a batch.
pub(super) fn rows(body: &Value, max: usize) -> Result<Vec<Value>, Answer> {
    let rows = body["inputs"].as_array();
    let rows = rows.ok_or_else(|| Answer::bad("Invalid input JSON: Some required fields were not set: [inputs]"))?;
    if rows.len() > max {
        return Err(Answer::bad(&format!("The maximum number of inputs is {max}, {} were given", rows.len())));
    }
    Ok(rows.clone())
}

fn answered(done: Result<Answer, Answer>) -> Answer {
    done.unwrap_or_else(|refused| refused)
}

/// A row that fails because it was ordered to.
fn broken() -> Answer {
    Answer::error(500, "INTERNAL_ERROR", "This row could not be processed")
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Reads records by id, or by a unique property; no associations.
pub(super) fn read(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let body = asked.call.json()?;
        let rows = rows(&body, ROWS_MAX)?;
        let (failing, omitted) = twisted(state, asked, rows.len());
        let by = body["idProperty"].as_str();
        let (properties, past) = (texts(&body["properties"]), texts(&body["propertiesWithHistory"]));
        let archived = asked.call.says("archived");
        let own = &state.book.kinds[kind];
        let mut done = Rows::default();
        let mut missing = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            let id = text(&row["id"]);
            let found = own.find(&id, by).filter(|record| record.archived.is_some() == archived);
            let Some(record) = found.filter(|_| failing != Some(number)) else {
                missing.push(id);
                continue;
            };
            let mut shown = own.shown(record, &properties, None);
            if !past.is_empty() {
                for name in &past {
                    shown["properties"][name] = json!(own.value(record, name, None));
                }
                shown["propertiesWithHistory"] = own.past(record, &past, state.settings.history_max);
            }
            // Asked for twice, or under an old and a new id, a record is shown once.
            let is_there = done.results.iter().any(|other| other["id"] == shown["id"]);
            if omitted != Some(number) && !is_there {
                done.results.push(shown);
            }
        }
        done.missing(&own.singular, &missing);
        Ok(done.answer(state, 200))
    })())
}

/// Which row fails, and which is left out, on order.
fn twisted(state: &mut State, asked: &Asked<'_>, count: usize) -> (Option<usize>, Option<usize>) {
    let failing = (asked.twist.fail_row && count > 0).then(|| state.faults.pick(count));
    let omitted = (asked.twist.omit_row && count > 0).then(|| state.faults.pick(count));
    (failing, omitted)
}

/// What one row of a batch is to do.
enum Row {
    Create(Values, Value),
    Update(u64, Values),
    /// Its record was merged away: HubSpot leaves it out without a word.
    Gone,
    Missing(String),
}

/// Makes records.
pub(super) fn create(state: &mut State, asked: &Asked<'_>) -> Answer {
    write(state, asked, 201, |state, kind, row| {
        let wanted = row["associations"].clone();
        match state.unjoinable(kind, &wanted) {
            Some(refused) => Err(refused),
            None => Ok(Row::Create(values(row)?, wanted)),
        }
    })
}

/// Writes to records.
pub(super) fn update(state: &mut State, asked: &Asked<'_>) -> Answer {
    write(state, asked, 200, |state, kind, row| {
        let id = text(&row["id"]);
        let own = &state.book.kinds[kind];
        let by = row["idProperty"].as_str();
        if by.is_none() && id.parse().is_ok_and(|id| own.merged.contains_key(&id)) {
            return Ok(Row::Gone);
        }
        match own.live(&id, by) {
            Ok(id) => Ok(Row::Update(id, values(row)?)),
            Err(_) => Ok(Row::Missing(id)),
        }
    })
}

/// Writes to records that are there, by a unique property, and makes the others.
pub(super) fn upsert(state: &mut State, asked: &Asked<'_>) -> Answer {
    write(state, asked, 200, |state, kind, row| {
        let own = &state.book.kinds[kind];
        let id = text(&row["id"]);
        let by = row["idProperty"].as_str();
        if let Some(name) = by.filter(|name| !own.is_unique(name)) {
            return Err(Answer::bad(&format!("{name} is not a unique property")));
        }
        let mut set = values(row)?;
        match (own.live(&id, by), by) {
            (Ok(id), _) => Ok(Row::Update(id, set)),
            (Err(_), None | Some("hs_object_id")) => Ok(Row::Missing(id)),
            (Err(_), Some(name)) => {
                set.entry(name.to_owned()).or_insert(id);
                Ok(Row::Create(set, Value::Null))
            }
        }
    })
}

/// Goes through the rows of a batch that writes.
///
/// A bad row fails the call and nothing is written, unless every row carries a mark: then it fails alone.
fn write(
    state: &mut State,
    asked: &Asked<'_>,
    well: u16,
    plan: impl Fn(&mut State, usize, &Value) -> Result<Row, Answer>,
) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        let rows = rows(&asked.call.json()?, ROWS_MAX)?;
        let is_marked = rows.iter().all(|row| row["objectWriteTraceId"].is_string());
        let (failing, omitted) = twisted(state, asked, rows.len());
        if !is_marked {
            // A refused call leaves nothing behind, so all rows are judged before the first is written.
            judge(state, asked, kind, &rows, &plan)?;
        }
        let mut done = Rows::default();
        let mut missing = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            if failing == Some(number) {
                done.failed(&broken(), row);
                continue;
            }
            let shown = match plan(state, kind, row).and_then(|planned| carried_out(state, asked, kind, planned)) {
                Ok(Carried::Shown(shown)) => shown,
                Ok(Carried::Gone) => continue,
                Ok(Carried::Missing(id)) => {
                    missing.push(id);
                    continue;
                }
                Err(refused) => {
                    done.failed(&refused, row);
                    continue;
                }
            };
            if omitted != Some(number) {
                done.results.push(with_mark(shown, row));
            }
        }
        done.missing(&state.book.kinds[kind].singular.clone(), &missing);
        Ok(done.answer(state, well))
    })())
}

/// Whether all rows could be carried out, one beside the other.
fn judge(
    state: &mut State,
    asked: &Asked<'_>,
    kind: usize,
    rows: &[Value],
    plan: &impl Fn(&mut State, usize, &Value) -> Result<Row, Answer>,
) -> Result<(), Answer> {
    let mut taken = BTreeSet::new();
    for row in rows {
        let (set, own_id) = match plan(state, kind, row)? {
            Row::Create(set, _) => (set, None),
            Row::Update(id, set) => (set, Some(id)),
            Row::Gone | Row::Missing(_) => continue,
        };
        let own = &state.book.kinds[kind];
        let checked = own.checked(&set, own_id, &asked.by).map_err(|problem| problem.answer())?;
        let unique = checked.into_iter().filter(|(name, value)| !value.is_empty() && own.is_unique(name));
        let mut keys: Vec<(String, String)> = unique.map(|(name, value)| (name, value.to_lowercase())).collect();
        keys.extend(own_id.map(|id| ("hs_object_id".to_owned(), id.to_string())));
        if !keys.into_iter().all(|key| taken.insert(key)) {
            return Err(Answer::bad("Duplicate ids or unique values were found in the inputs of the batch"));
        }
    }
    Ok(())
}

enum Carried {
    Shown(Value),
    Gone,
    Missing(String),
}

fn carried_out(state: &mut State, asked: &Asked<'_>, kind: usize, row: Row) -> Result<Carried, Answer> {
    let (at, manner) = (state.said(), state.manner());
    let refused = |problem: Problem| problem.answer();
    let (done, wanted, is_new) = match row {
        Row::Gone => return Ok(Carried::Gone),
        Row::Missing(id) => return Ok(Carried::Missing(id)),
        Row::Create(set, wanted) => {
            (state.book.create(kind, &set, &asked.by, at, manner).map_err(refused)?, wanted, true)
        }
        Row::Update(id, set) => {
            (state.book.patch(kind, id, &set, &asked.by, at, manner).map_err(refused)?, Value::Null, false)
        }
    };
    state.quota.asked.created += u64::from(is_new);
    let id = state.wrote(done, &asked.by);
    state.join_new(kind, id, &wanted, asked);
    let own = &state.book.kinds[kind];
    let mut shown = own.whole(&own.records[&id]);
    if asked.route.op == "batch_upsert" {
        shown["new"] = json!(is_new);
    }
    Ok(Carried::Shown(shown))
}

fn with_mark(mut shown: Value, row: &Value) -> Value {
    if let Some(mark) = row.get("objectWriteTraceId") {
        shown["objectWriteTraceId"] = mark.clone();
    }
    shown
}

/// Archives records; those that are not there are no error.
pub(super) fn archive(state: &mut State, asked: &Asked<'_>) -> Answer {
    answered((|| {
        let kind = state.kind_of(asked)?;
        for row in rows(&asked.call.json()?, ROWS_MAX)? {
            if let Ok(id) = state.book.kinds[kind].live(&text(&row["id"]), None) {
                let told = state.book.archive(kind, id, state.said()).map_err(|problem| problem.answer())?;
                state.tell(told, &asked.by, None);
            }
        }
        Ok(Answer::empty(204))
    })())
}

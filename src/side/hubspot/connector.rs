//! Writes to HubSpot, and what became of each.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::json;

use super::{
    account::HubSpot,
    answer::{Problem, Row, Rows},
    call::{Call, Op, Trouble},
    join::{Target, Unjoined},
    read::{Looked, Looking},
    shape::{Join, Shape},
};
use crate::{
    event::AuthorKind,
    id::FieldName,
    send::{Ask, BoxFuture, Connector, Outcome, ReadError, Receipt, Seen, Urgency, Write},
    side::translate::Unsaid,
    value::{Value, View},
};

/// The most writes of one call.
const BATCH_MOST: usize = 100;
/// The most calls of one delivery at one time.
const AT_ONCE: usize = 4;
/// The wait for a record that another one refers to and that HubSpot does not have yet, in milliseconds.
const NOT_YET: i64 = 5_000;

/// A write in HubSpot's terms.
struct Task<'a> {
    write: &'a Write,
    shape: Shape,
    /// Properties with their texts; an empty one clears.
    properties: BTreeMap<String, String>,
    /// Associations.
    joins: Vec<(Join, Target)>,
}

impl Connector for HubSpot {
    fn batch_most(&self) -> usize {
        BATCH_MOST
    }

    fn deliver<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(self.deliver_all(writes))
    }

    fn read_back<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Vec<Result<Seen, ReadError>>> {
        Box::pin(self.read_all(asks))
    }
}

impl HubSpot {
    async fn deliver_all(&self, writes: &[Write]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; writes.len()];
        let (mut batches, mut single) = (BTreeMap::<String, Vec<(usize, Task)>>::new(), Vec::new());
        for (at, write) in writes.iter().enumerate() {
            match self.task(write) {
                Err(outcome) => outcomes[at] = Some(outcome),
                Ok(task) if write.create || write.delete || task.properties.is_empty() => single.push((at, task)),
                Ok(task) => batches.entry(task.shape.path.clone()).or_default().push((at, task)),
            }
        }
        let mut work: Vec<BoxFuture<'_, Vec<(usize, Outcome)>>> = Vec::new();
        for (at, task) in single {
            work.push(Box::pin(async move { vec![(at, self.one(&task).await)] }));
        }
        for tasks in batches.into_values().flat_map(apart) {
            work.push(Box::pin(self.updates(tasks)));
        }
        let mut done = stream::iter(work).buffer_unordered(AT_ONCE);
        while let Some(part) = done.next().await {
            for (at, outcome) in part {
                outcomes[at] = Some(outcome);
            }
        }
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Unknown)).collect()
    }

    /// A write in HubSpot's terms, or why it cannot be one.
    fn task<'a>(&self, write: &'a Write) -> Result<Task<'a>, Outcome> {
        let kind = write.record.kind();
        let refuse = |reason: String, fields: Vec<FieldName>| Outcome::Refused { reason, fields };
        let Some(shape) = self.shape(kind) else {
            return Err(refuse(format!("the manifest gives {kind} no type on HubSpot"), Vec::new()));
        };
        if write.link.is_none() && !write.create {
            return Err(refuse("HubSpot has no id for this record".to_owned(), Vec::new()));
        }
        let mut task = Task { write, shape, properties: BTreeMap::new(), joins: Vec::new() };
        for (field, value) in &write.fields {
            let said = match self.translation.say_text(kind, field, value) {
                Ok(said) => said,
                // The other record is on its way there, most often.
                Err(Unsaid::Unlinked(_)) => return Err(Outcome::NotYet(NOT_YET)),
                Err(why) => return Err(refuse(format!("the value of {field} {why}"), vec![field.clone()])),
            };
            if let Some(join) = task.shape.joined(field).cloned() {
                let target = match join.many {
                    true => self.changes(write, field, &said),
                    false => Target::One(Some(said).filter(|said| !said.is_empty())),
                };
                task.joins.push((join, target));
            } else if let Some(property) = task.shape.property(field).or_else(|| self.translation.name_of(kind, field))
            {
                task.properties.insert(property.to_owned(), said);
            } else {
                return Err(refuse(format!("HubSpot does not show {field}"), vec![field.clone()]));
            }
        }
        if let Some((property, author)) = self.author_property(write) {
            task.properties.insert(property, author);
        }
        Ok(task)
    }

    /// The property that tells who is behind a write, where the manifest names one and somebody is.
    fn author_property(&self, write: &Write) -> Option<(String, String)> {
        let kind = self.translation.manifest().kind(write.record.kind())?;
        let property = kind.author.get(self.side())?;
        let is_somebody = matches!(write.author.kind, AuthorKind::User | AuthorKind::Integration);
        let told = is_somebody && !write.delete && !write.author.id.is_empty();
        told.then(|| (property.clone(), write.author.id.to_string()))
    }

    /// What has come and gone, against what HubSpot was last known to show.
    fn changes(&self, write: &Write, field: &FieldName, due: &str) -> Target {
        let due: BTreeSet<&str> = due.split(';').filter(|id| !id.is_empty()).collect();
        let kind = write.record.kind();
        let shown = write.shown.iter().find(|(name, _)| name == field).map(|(_, value)| value);
        let elements = shown.into_iter().flat_map(|shown| match shown.view() {
            View::List(elements) => elements.collect(),
            _ => Vec::new(),
        });
        // One that is not known by an id there any more cannot be parted from.
        let known = elements.filter_map(|one| self.translation.say_text(kind, field, &Value::list([&one])).ok());
        let known: BTreeSet<String> = known.collect();
        let adds = due.iter().filter(|id| !known.contains(**id)).map(|id| (*id).to_owned()).collect();
        Target::Many { adds, removes: known.into_iter().filter(|id| !due.contains(id.as_str())).collect() }
    }

    async fn one(&self, task: &Task<'_>) -> Outcome {
        match task.write.link.as_deref() {
            Some(id) if task.write.delete => self.archive(task, id).await,
            Some(id) if !task.write.create => match task.properties.is_empty() {
                true => {
                    let beside = task.joins.iter().map(|(join, _)| join.field.clone()).collect();
                    self.join_all(task, Receipt { link: Some(id.into()), beside, ..Receipt::default() }).await
                }
                false => self.update(task).await,
            },
            _ => self.create(task).await,
        }
    }

    async fn archive(&self, task: &Task<'_>, id: &str) -> Outcome {
        let path = self.client.objects(&[&task.shape.path, id]);
        match self.client.call(&Call::new(Op::Archive, Method::DELETE, path, pressing(task.write))).await {
            Ok(_) => Outcome::Applied(Receipt { link: Some(id.into()), ..Receipt::default() }),
            // Deleted before, or merged into another one: a look tells.
            Err(trouble) if trouble.is_refused_with(404) => Outcome::Unknown,
            Err(trouble) => self.outcome(task, trouble),
        }
    }

    async fn create(&self, task: &Task<'_>) -> Outcome {
        let (mut within, mut after) = (Vec::new(), Vec::new());
        let adds = task.joins.iter().flat_map(|(join, target)| target.adds().iter().map(move |to| (join, to)));
        for (join, to) in adds {
            match join.number {
                Some(number) => within.push(json!({"to": {"id": to}, "types":
                    [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number}]})),
                None => after.push((join, to)),
            }
        }
        let properties: BTreeMap<_, _> = task.properties.iter().filter(|(_, text)| !text.is_empty()).collect();
        let body = json!({"properties": properties, "associations": within});
        let path = self.client.objects(&[&task.shape.path]);
        let created = self.client.call(&Call::with(Op::Create, Method::POST, path, pressing(task.write), body)).await;
        let row = match created {
            Ok(body) => Row::read(&body),
            Err(Trouble::Refused(409, problem)) => return self.in_the_way(task, &problem).await,
            Err(trouble) => return self.outcome(task, trouble),
        };
        let Some(row) = row else { return Outcome::Unknown };
        for (join, to) in after {
            let target = Target::Many { adds: vec![to.clone()], removes: Vec::new() };
            if self.join(&task.shape, join, &row.id, &target).await.is_err() {
                // It is there, but not all of it: the look that follows is told where.
                self.remember(&task.write.key, &row.id);
                return Outcome::Unknown;
            }
        }
        Outcome::Applied(self.receipt(task, &row))
    }

    /// A record that is there already: no second one is made, and the look that follows finds the first.
    async fn in_the_way(&self, task: &Task<'_>, problem: &Problem) -> Outcome {
        let found = match problem.existing() {
            Some(id) => Ok(Some(id)),
            None => self.find_unique(&task.shape, &task.write.fields).await.map(|found| found.flatten()),
        };
        match found {
            Ok(Some(id)) => {
                self.remember(&task.write.key, &id);
                Outcome::Unknown
            }
            Ok(None) => self.refusal(task, problem),
            // Nothing was made; the next try is told the same.
            Err(trouble) => again(&trouble),
        }
    }

    async fn update(&self, task: &Task<'_>) -> Outcome {
        let Some(id) = task.write.link.as_deref() else { return Outcome::Unknown };
        let path = self.client.objects(&[&task.shape.path, id]);
        let body = json!({"properties": task.properties});
        match self.client.call(&Call::with(Op::Update, Method::PATCH, path, pressing(task.write), body)).await {
            Ok(body) => match Row::read(&body) {
                Some(row) => self.join_all(task, self.receipt(task, &row)).await,
                None => Outcome::Unknown,
            },
            Err(trouble) if trouble.is_refused_with(404) => Outcome::Unknown,
            Err(trouble) => self.outcome(task, trouble),
        }
    }

    /// Updates of one type, each to another record: in one call, and one by one where that is refused for the sake of some.
    async fn updates(&self, tasks: Vec<(usize, Task<'_>)>) -> Vec<(usize, Outcome)> {
        let mut done = Vec::new();
        let mut parts = vec![tasks];
        while let Some(mut part) = parts.pop() {
            if part.len() == 1 {
                let (at, task) = part.remove(0);
                done.push((at, self.update(&task).await));
                continue;
            }
            match self.batch_update(&part).await {
                Ok(rows) => {
                    for (at, task) in part {
                        done.push((at, self.of_batch(&task, &rows).await));
                    }
                }
                // One bad row spoils the call. Halves find it in a few calls, where one by one would take a hundred.
                Err(Trouble::Refused(400 | 404 | 409 | 413 | 414, _)) => {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
                Err(trouble) => {
                    done.extend(part.iter().map(|(at, task)| (*at, self.outcome(task, trouble.clone()))));
                }
            }
        }
        done
    }

    async fn batch_update(&self, tasks: &[(usize, Task<'_>)]) -> Result<Rows, Trouble> {
        let input = |(_, task): &(usize, Task<'_>)| json!({"id": task.write.link, "properties": task.properties, "objectWriteTraceId": task.write.key});
        let inputs: Vec<_> = tasks.iter().map(input).collect();
        let path = self.client.objects(&[&tasks[0].1.shape.path, "batch", "update"]);
        let urgent = tasks.iter().find(|(_, task)| task.write.urgent).unwrap_or(&tasks[0]);
        let call = Call::with(Op::BatchUpdate, Method::POST, path, pressing(urgent.1.write), json!({"inputs": inputs}));
        Rows::read(&self.client.call(&call).await?).ok_or(Trouble::Unknown)
    }

    /// What a batch's answer says of one write, by its label or its record's id. An answer that does not speak of it says nothing.
    async fn of_batch(&self, task: &Task<'_>, rows: &Rows) -> Outcome {
        let id = task.write.link.as_deref().unwrap_or_default();
        let labelled = rows.rows.iter().find(|row| row.trace.as_deref() == Some(&task.write.key));
        if let Some(row) = labelled.or_else(|| rows.rows.iter().find(|row| row.trace.is_none() && row.id == id)) {
            return self.join_all(task, self.receipt(task, row)).await;
        }
        match rows.errors.iter().find(|error| error.names(&task.write.key, id)) {
            Some(problem) if is_final(&problem.category) => self.refusal(task, problem),
            _ => Outcome::Unknown,
        }
    }

    /// Sets the associations of a write whose properties are set.
    async fn join_all(&self, task: &Task<'_>, receipt: Receipt) -> Outcome {
        let Some(id) = receipt.link.clone() else { return Outcome::Applied(receipt) };
        for (done, (join, target)) in task.joins.iter().enumerate() {
            if let Err(Unjoined { trouble, is_part }) = self.join(&task.shape, join, &id, target).await {
                // A part of the write has taken effect: only a look tells which.
                let is_part = done > 0 || !task.properties.is_empty() || join.many && is_part;
                return match trouble {
                    _ if is_part => Outcome::Unknown,
                    Trouble::Refused(404, problem) => self.one_end_is_missing(task, &id, &problem).await,
                    trouble => self.outcome(task, trouble),
                };
            }
        }
        Outcome::Applied(receipt)
    }

    /// An association that cannot be, because one of its ends is gone: if it is the other one, trying again would be in vain.
    async fn one_end_is_missing(&self, task: &Task<'_>, id: &str, problem: &Problem) -> Outcome {
        let path = self.client.objects(&[&task.shape.path, id]);
        match self.client.call(&Call::new(Op::Read, Method::GET, path, Urgency::Interactive)).await {
            Ok(_) => {
                let fields = task.joins.iter().map(|(join, _)| join.field.clone()).collect();
                Outcome::Refused { reason: problem.reason(), fields }
            }
            Err(Trouble::Refused(404, _)) => Outcome::Unknown,
            Err(trouble) => again(&trouble),
        }
    }

    /// What an answer says of a write that was taken.
    fn receipt(&self, task: &Task<'_>, row: &Row) -> Receipt {
        let kind = task.write.record.kind();
        let shown = task.write.fields.iter().filter_map(|(field, sent)| {
            let text = row.shows(task.shape.property(field)?)?;
            let heard = self.translation.hear_text(kind, field, text);
            Some((field.clone(), self.translation.as_sent(kind, field, sent, &heard.value)))
        });
        let beside = task.joins.iter().map(|(join, _)| join.field.clone()).collect();
        let at = row.updated_at.or(row.created_at);
        Receipt { link: Some(row.id.as_str().into()), at, beside, shows: shown.collect() }
    }

    fn outcome(&self, task: &Task<'_>, trouble: Trouble) -> Outcome {
        match trouble {
            Trouble::NotTaken(_) | Trouble::NotYet(_) | Trouble::Unauthorized => again(&trouble),
            Trouble::Unknown => Outcome::Unknown,
            Trouble::Refused(_, problem) => self.refusal(task, &problem),
        }
    }

    fn refusal(&self, task: &Task<'_>, problem: &Problem) -> Outcome {
        let mut fields: Vec<FieldName> = Vec::new();
        for property in problem.properties() {
            let of_property = |(field, _): &&(FieldName, _)| {
                task.shape.property(field).or_else(|| self.translation.name_of(&task.shape.kind, field))
                    == Some(property)
            };
            if let Some((field, _)) = task.write.fields.iter().find(of_property)
                && !fields.contains(field)
            {
                fields.push(field.clone());
            }
        }
        Outcome::Refused { reason: problem.reason(), fields }
    }

    async fn read_all(&self, asks: &[Ask]) -> Vec<Result<Seen, ReadError>> {
        let mut answers: Vec<Option<Looked>> = vec![None; asks.len()];
        let mut together: BTreeMap<(&str, &[FieldName], Urgency), Vec<usize>> = BTreeMap::new();
        for (at, ask) in asks.iter().enumerate() {
            match &ask.link {
                Some(_) => together.entry((ask.record.kind(), &ask.fields, urgency(ask))).or_default().push(at),
                None => answers[at] = Some(self.find(ask).await),
            }
        }
        for ((kind, fields, urgency), places) in together {
            let Some(shape) = self.shape(kind) else { continue };
            let looking = Looking { shape: &shape, fields, urgency };
            let mut ids: Vec<&str> = places.iter().filter_map(|at| asks[*at].link.as_deref()).collect();
            ids.sort_unstable();
            ids.dedup();
            let looked = self.look(&looking, &ids).await;
            for at in places {
                answers[at] = asks[at].link.as_deref().and_then(|id| looked.get(id).cloned());
            }
        }
        let again = || Err(Trouble::Unauthorized.unread());
        answers.into_iter().map(|answer| answer.unwrap_or_else(again)).collect()
    }
}

/// What becomes of a write that took no effect.
fn again(trouble: &Trouble) -> Outcome {
    match trouble.unread() {
        ReadError::NotYet(wait) => Outcome::NotYet(wait),
        ReadError::RetryAfter(wait) => Outcome::RetryAfter(wait),
    }
}

/// How urgent a write is: a backfill's leave what others may need.
fn pressing(write: &Write) -> Urgency {
    if write.urgent { Urgency::Interactive } else { Urgency::Backfill }
}

/// How much an answer matters: nobody waits for a reconciliation, which asks about nothing in particular.
fn urgency(ask: &Ask) -> Urgency {
    if ask.about.is_none() && ask.fields.is_empty() { Urgency::Backfill } else { Urgency::Interactive }
}

/// Whether an error of one row says that it would be refused again.
fn is_final(category: &str) -> bool {
    matches!(
        category,
        "VALIDATION_ERROR" | "CONFLICT" | "OBJECT_ALREADY_EXISTS" | "MISSING_SCOPES" | "INVALID_PROPERTY"
    )
}

/// Parts of at most [`BATCH_MOST`] writes; none has one record twice, which HubSpot would refuse.
fn apart(tasks: Vec<(usize, Task<'_>)>) -> Vec<Vec<(usize, Task<'_>)>> {
    type Part<'a> = (HashSet<String>, Vec<(usize, Task<'a>)>);
    let mut parts: Vec<Part<'_>> = Vec::new();
    for (at, task) in tasks {
        let id = task.write.link.as_deref().unwrap_or_default().to_owned();
        let room = parts.iter_mut().find(|(ids, part)| part.len() < BATCH_MOST && !ids.contains(&id));
        match room {
            Some((ids, part)) => {
                ids.insert(id);
                part.push((at, task));
            }
            None => parts.push((HashSet::from([id]), vec![(at, task)])),
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

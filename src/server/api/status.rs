//! How a tenant's store stands, and what in it waits for a person.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Refusals,
    query::{Asked, Page, limit},
};
use crate::{
    engine::{Engine, EngineError},
    history::EXISTENCE_NAME,
    id::FieldName,
    merge::Existence,
    rulebook::EXISTENCE,
    server::{
        Server,
        caller::Caller,
        problem::{BAD_REQUEST, FORBIDDEN, Problem},
        room,
    },
};

/// A store's totals.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Status")]
pub struct StatusBody {
    /// The tenant.
    pub tenant: String,
    /// The last sequence on disk: the cursor of the present.
    pub last: u64,
    /// What sides and persons said.
    pub events: u64,
    /// What was heard again.
    pub duplicates: u64,
    /// What only repeated a write of the service's.
    pub echoes: u64,
    /// Records of which something was said.
    pub records: u64,
    /// Fields whose candidates differ.
    pub conflicts_open: u64,
    /// What waits for a person.
    pub parked: u64,
    /// Events that name something which has not come yet.
    pub waiting: u64,
    /// Writes that left.
    pub sent: u64,
    /// Writes that were taken.
    pub receipts: u64,
    /// Writes that were refused.
    pub refused: u64,
    /// What waits for each connected side.
    pub outbox: BTreeMap<String, OutboxBody>,
    /// Tasks of the tenant that have died.
    pub dead_tasks: Vec<String>,
}

/// What waits for a side.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Outbox")]
pub struct OutboxBody {
    /// Records that are not in agreement with it.
    pub records: usize,
    /// Since when the longest of them is not, in milliseconds since 1970; null: there is none.
    pub since_ms: Option<i64>,
}

/// How the store stands
///
/// For operators: totals speak of all records.
#[utoipa::path(
    get, path = "/v1/status", tag = "operation", security(("bearer" = [])),
    responses((status = 200, description = "The totals.", body = StatusBody), Refusals)
)]
pub async fn status(State(server): State<Server>, caller: Caller) -> Result<Json<StatusBody>, Problem> {
    operators_only(&caller)?;
    let dead_tasks = caller.tenant.health().dead();
    let work = move |engine: &Engine| {
        let counts = engine.counts()?;
        let mut outbox = BTreeMap::new();
        for side in engine.edition()?.sides.iter().filter(|(_, spec)| spec.connected).map(|(side, _)| side) {
            let (records, since) = engine.outbox(side)?;
            outbox.insert(side.to_string(), OutboxBody { records, since_ms: since.map(|since| since.0) });
        }
        Ok(StatusBody {
            tenant: engine.tenant().to_owned(),
            last: engine.durable().0,
            events: counts.events,
            duplicates: counts.duplicates,
            echoes: counts.echoes,
            records: counts.records,
            conflicts_open: counts.conflicts_open,
            parked: counts.parked,
            waiting: counts.waiting,
            sent: counts.sent,
            receipts: counts.receipts,
            refused: counts.refused,
            outbox,
            dead_tasks,
        })
    };
    let status = server.work(&caller.tenant, work).await?;
    status.map(Json).map_err(|why: EngineError| room::failed(&why))
}

/// What waits for a person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Parked")]
pub struct ParkedBody {
    /// What waits, ascending by record.
    pub parked: Vec<ParkedField>,
    /// What `after` has to be for the next page; null: this was the last one.
    pub next: Option<String>,
}

/// A field that waits for a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedField {
    /// The record.
    pub record: String,
    /// The field, or `existence`.
    pub field: String,
    /// The side that it is not written to; null: to none.
    pub side: Option<String>,
    /// `refused` by the side, `held` by a guard of the service, or `disputed`: its rule leaves it to a person.
    pub kind: &'static str,
}

/// What waits for a person
///
/// For operators. Pages are of records: one may hold more entries than `limit`.
#[utoipa::path(
    get, path = "/v1/parked", tag = "operation", security(("bearer" = [])), params(Page),
    responses((status = 200, description = "A page of it.", body = ParkedBody), Refusals)
)]
pub async fn parked(
    State(server): State<Server>,
    caller: Caller,
    Asked(asked): Asked<Page>,
) -> Result<Json<ParkedBody>, Problem> {
    operators_only(&caller)?;
    let limit = limit(asked.limit)?;
    let after = asked.after.unwrap_or_default();
    if crate::id::RecordId::new(&after).is_err() {
        return Err(Problem::of(BAD_REQUEST).detail("`after` is not the `next` of a page"));
    }
    let principal = caller.principal.clone();
    let work = move |engine: &Engine| {
        let mut found = ParkedBody { parked: Vec::new(), next: None };
        let reader = engine.read(&principal);
        for view in reader.records_from(&after) {
            let record = view?.record;
            if *record == *after {
                continue;
            }
            if found.parked.len() >= limit {
                found.next = found.parked.last().map(|last| last.record.clone());
                break;
            }
            parked_of(engine, &record, &mut found.parked)?;
        }
        Ok(found)
    };
    let page = server.work(&caller.tenant, work).await?;
    page.map(Json).map_err(|why: EngineError| room::failed(&why))
}

fn parked_of(engine: &Engine, id: &str, found: &mut Vec<ParkedField>) -> Result<(), EngineError> {
    let Some((record, _)) = engine.peek_record(id)? else { return Ok(()) };
    let shown = |field: &FieldName| if **field == *EXISTENCE { EXISTENCE_NAME.to_owned() } else { field.to_string() };
    let mut add = |field: String, side: Option<String>, kind| {
        found.push(ParkedField { record: id.to_owned(), field, side, kind });
    };
    for field in &record.fields {
        let disputed = match &*field.name {
            EXISTENCE => record.existence == Existence::Disputed,
            _ => field.is_disputed(),
        };
        if disputed {
            add(shown(&field.name), None, "disputed");
        }
        for side in &record.sides {
            if let Some(park) = side.parked(&field.name, &field.winner().said) {
                add(shown(&field.name), Some(side.side.to_string()), if park.refused { "refused" } else { "held" });
            }
        }
    }
    Ok(())
}

/// Totals and parked writes speak of records that a role may not see.
fn operators_only(caller: &Caller) -> Result<(), Problem> {
    if caller.principal.is_operator() {
        return Ok(());
    }
    Err(Problem::of(FORBIDDEN).detail("only operators may ask this"))
}

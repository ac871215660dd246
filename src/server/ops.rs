//! What operators and their machines ask: is it alive, can it work, what has it counted.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{Server, tenants::Tenant};
use crate::{
    clock::Millis,
    engine::{Engine, EngineError},
    metrics::{Metrics, Totals},
};

/// So long a tenant may take to say how it is; one that is stuck must not keep the others' figures back.
const ASKED: Duration = Duration::from_secs(2);

/// Whether tenants can work.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Whether requests make sense here.
    ready: bool,
    /// How many tenants can work.
    tenants_ready: usize,
    /// How many there are.
    tenants: usize,
}

/// Whether the process answers
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, description = "It does.", body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the service can do its work
///
/// A tenant can if its store takes events and its tasks run. With several tenants one that can is enough: taking the
/// others' address away would not help the broken one. The log and the metrics name it.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses(
    (status = 200, description = "It can.", body = Readiness),
    (status = 503, description = "No tenant can, or the service stops.", body = Readiness)
))]
pub(super) async fn readyz(State(server): State<Server>) -> Response {
    let tenants = server.0.tenants.all();
    let states = join_all(tenants.iter().map(|tenant| is_ready(tenant))).await;
    for (tenant, ready) in tenants.iter().zip(&states) {
        server.0.metrics.ready(tenant.name(), *ready);
    }
    let tenants_ready = states.iter().filter(|ready| **ready).count();
    let stops = *server.0.stopping.borrow();
    let ready = !stops && tenants_ready > 0;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, tenants_ready, tenants: states.len() })).into_response()
}

async fn is_ready(tenant: &Tenant) -> bool {
    let dead = tenant.health().dead();
    if !dead.is_empty() {
        tracing::error!(tenant = tenant.name(), tasks = dead.join(", "), "tasks have died");
        return false;
    }
    match timeout(ASKED, tenant.handle().call(|engine| engine.can_write())).await {
        Ok(Ok(())) => true,
        Ok(Err(why)) => {
            tracing::error!(tenant = tenant.name(), error = super::room::told(&why), "the store takes nothing");
            false
        }
        Err(_) => false,
    }
}

/// What was counted
///
/// In Prometheus' text form; every name begins with `syncline_`.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses(
    (status = 200, description = "The figures.", content_type = "text/plain; version=0.0.4", body = String)
))]
pub(super) async fn metrics(State(server): State<Server>) -> Response {
    let tenants = server.0.tenants.all();
    let figures = tenants.iter().map(|tenant| {
        let metrics = server.0.metrics.clone();
        let taken = tenant.handle().call(move |engine| take_totals(engine, &metrics));
        async move {
            match timeout(ASKED, taken).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => {
                    tracing::error!(tenant = tenant.name(), error = super::room::told(&why), "no figures of a tenant");
                }
                Err(_) => tracing::warn!(tenant = tenant.name(), "a tenant did not say its figures in time"),
            }
        }
    });
    join_all(figures).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], server.0.metrics.text()).into_response()
}

fn take_totals(engine: &Engine, metrics: &Metrics) -> Result<(), EngineError> {
    let tenant = engine.tenant();
    let counts = engine.counts()?;
    let (log_bytes, state_bytes) = engine.bytes()?;
    metrics.totals(
        tenant,
        &Totals {
            events: counts.events,
            duplicates: counts.duplicates,
            echoes: counts.echoes,
            sent: counts.sent,
            receipts: counts.receipts,
            refused: counts.refused,
            records: counts.records,
            conflicts_open: counts.conflicts_open,
            parked: counts.parked,
            log_bytes,
            state_bytes,
        },
    );
    let now = engine.now();
    for side in engine.edition()?.sides.iter().filter(|(_, spec)| spec.connected).map(|(side, _)| side) {
        let (depth, since) = engine.outbox(side)?;
        let age = since.map_or(0, |Millis(since)| now.0.saturating_sub(since).max(0));
        metrics.outbox(tenant, side, depth, Duration::from_millis(age.unsigned_abs()));
    }
    Ok(())
}

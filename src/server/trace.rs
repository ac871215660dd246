//! One span and one measurement for each request.

use std::{panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tracing::Instrument;

use super::{
    Server,
    problem::{INTERNAL, Problem},
};
use crate::id::to_hex;

/// The header that names a request in the service's log.
const REQUEST: HeaderName = HeaderName::from_static("syncline-request");

/// Answers a request within a span of its own, counts it, and answers 500 if that panics.
pub(super) async fn trace(State(server): State<Server>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let metrics = server.0.metrics.clone();
    let active = metrics.http_active();
    let matched = request.extensions().get::<MatchedPath>();
    // The template only: paths hold ids, and unknown ones anything.
    let route = matched.map_or("none", MatchedPath::as_str).to_owned();
    let method = known(request.method().as_str());
    let id = request_id();
    let span = tracing::info_span!("request", method, route, request = id, tenant = tracing::field::Empty);
    let answered = AssertUnwindSafe(next.run(request).instrument(span.clone())).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        metrics.panicked();
        Problem::of(INTERNAL).into_response()
    });
    let took = began.elapsed();
    let status = response.status().as_u16();
    metrics.http_request(method, &route, status, took);
    span.in_scope(|| tracing::debug!(status, took_ms = took.as_millis(), "answered"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST, id);
    }
    drop(active);
    response
}

/// The method, if it is one of those that some address takes; a label must not take what clients make up.
fn known(method: &str) -> &'static str {
    ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

/// A name for a request: eight random bytes, or zeros where the system has none to give.
fn request_id() -> String {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        tracing::warn!("the system gave no random bytes for a request's id");
    }
    to_hex(&bytes)
}

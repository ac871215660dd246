//! What has happened since a place in the log: a page of it, or all of it as it comes.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::timeout};
use utoipa::{IntoParams, ToSchema};

use super::{
    Refusals,
    form::EventBody,
    query::{Asked, limit},
};
use crate::{
    engine::{Engine, EngineError},
    history::LogChange,
    id::Seq,
    metrics::Counted,
    server::{
        Server,
        caller::Caller,
        problem::{BAD_REQUEST, Problem, TOO_MANY},
        room,
        tenants::StreamPlace,
    },
};

/// How many events a stream reads at a time; a slow client holds no more.
const BATCH: usize = 64;

/// Since when.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// The `next` of the page before, or the `id` of the last event; `now` for what comes from here on [default: 0, the
    /// beginning]. For a stream `Last-Event-ID` goes before it.
    since: Option<String>,
    /// How many entries of a page, 1 to 1000 [default: 100].
    limit: Option<usize>,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Events")]
pub struct EventsBody {
    /// The events, in the order of the log.
    pub events: Vec<EventBody>,
    /// What `since` has to be for the next page. It only grows, and may pass over events that the caller may not see.
    pub next: u64,
    /// Whether there is more already.
    pub more: bool,
}

/// What has happened
///
/// A page of events, or with `Accept: text/event-stream` a stream of them that stays open: each event has its place in the
/// log as `id` and the same JSON as `data`; a comment comes where nothing else does. A client that was cut off goes on
/// with `Last-Event-ID`, and misses and doubles nothing.
#[utoipa::path(
    get, path = "/v1/changes", tag = "changes", security(("bearer" = [])),
    params(FeedQuery, ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that a stream brought.")),
    responses(
        (status = 200, description = "A page, or a stream.",
            content((EventsBody = "application/json"), (String = "text/event-stream"))),
        Refusals
    )
)]
pub async fn changes(
    State(server): State<Server>,
    caller: Caller,
    Asked(asked): Asked<FeedQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = limit(asked.limit)?;
    let wanted = headers.get(header::ACCEPT).and_then(|wanted| wanted.to_str().ok()).unwrap_or_default();
    let is_stream = wanted.split(',').any(|media| media.trim().starts_with("text/event-stream"));
    let last = headers.get("last-event-id").filter(|_| is_stream);
    let since = match last {
        Some(last) => last.to_str().ok().and_then(|last| last.parse().ok().map(Seq)),
        None => match asked.since.as_deref() {
            None => Some(Seq(0)),
            Some("now") => Some(caller.tenant.handle().engine().durable()),
            Some(since) => since.parse().ok().map(Seq),
        },
    };
    let due = "neither `since` nor Last-Event-ID may be anything but a number from an earlier answer, or `now`";
    let since = since.ok_or_else(|| Problem::of(BAD_REQUEST).detail(due))?;
    if is_stream {
        return stream_of(server, caller, since);
    }
    let principal = caller.principal.clone();
    let work = move |engine: &Engine| {
        let (changes, next) = engine.read(&principal).changes_since(since, limit)?;
        Ok((changes, next, next < engine.durable()))
    };
    let page = server.work(&caller.tenant, work).await?;
    let (changes, next, more) = page.map_err(|why: EngineError| room::failed(&why))?;
    let events = changes.into_iter().map(EventBody::from).collect();
    Ok(Json(EventsBody { events, next: next.0, more }).into_response())
}

/// A live stream of one client.
struct Feed {
    server: Server,
    caller: Caller,
    cursor: Seq,
    ready: VecDeque<LogChange>,
    newest: watch::Receiver<Seq>,
    stopping: watch::Receiver<bool>,
    _place: StreamPlace,
    _counted: Counted,
}

fn stream_of(server: Server, caller: Caller, cursor: Seq) -> Result<Response, Problem> {
    let place = caller.tenant.stream_place(server.settings().streams_by_tenant);
    let place = place.ok_or_else(|| Problem::of(TOO_MANY))?;
    let keep_alive = server.settings().keep_alive;
    let feed = Feed {
        newest: caller.tenant.handle().engine().subscribe(),
        stopping: server.0.stopping.subscribe(),
        _counted: server.metrics().stream(),
        _place: place,
        ready: VecDeque::new(),
        server,
        caller,
        cursor,
    };
    let mut response = Sse::new(feed.events()).keep_alive(KeepAlive::new().interval(keep_alive)).into_response();
    // Proxies in between must not wait until there is more.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Feed {
    fn events(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(Some(self), |feed| async move {
            let mut feed = feed?;
            match feed.next().await {
                Ok(Some(change)) => {
                    let event = sse::Event::default().event("change").id(change.seq.0.to_string());
                    let body = serde_json::to_string(&EventBody::from(change)).expect("an event prints as JSON");
                    Some((Ok(event.data(body)), Some(feed)))
                }
                Ok(None) => None,
                // Told without an id, so that the client comes back to the same place.
                Err(problem) => {
                    let body = serde_json::to_string(&problem).expect("a problem prints as JSON");
                    Some((Ok(sse::Event::default().event("problem").data(body)), None))
                }
            }
        })
    }

    /// The next event; `None` once the server stops or the caller's token is revoked.
    async fn next(&mut self) -> Result<Option<LogChange>, Problem> {
        loop {
            if *self.stopping.borrow() {
                return Ok(None);
            }
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some(change));
            }
            if !self.is_welcome() {
                return Ok(None);
            }
            self.newest.borrow_and_update();
            let (principal, since) = (self.caller.principal.clone(), self.cursor);
            let work = move |engine: &Engine| engine.read(&principal).changes_since(since, BATCH);
            let read = self.server.work(&self.caller.tenant, work).await?;
            let (changes, next) = read.map_err(|why| room::failed(&why))?;
            let is_end = changes.is_empty() && next == self.cursor;
            self.ready = changes.into();
            self.cursor = next;
            if is_end && !self.wait().await {
                return Ok(None);
            }
        }
    }

    /// Waits until there may be more, or until it is time to look again whether the caller is welcome; `false`: there
    /// will be no more.
    async fn wait(&mut self) -> bool {
        let look_again = self.server.settings().keep_alive.max(Duration::from_secs(1));
        let Feed { newest, stopping, .. } = self;
        let news = async {
            tokio::select! {
                newer = newest.changed() => newer.is_ok(),
                stops = stopping.changed() => stops.is_ok(),
            }
        };
        timeout(look_again, news).await.unwrap_or(true)
    }

    fn is_welcome(&self) -> bool {
        let tokens = self.caller.tenant.tokens();
        let welcome = tokens.is_live(&self.caller.token.id).unwrap_or(false);
        let there = self.server.tenants().get(Some(self.caller.tenant.name()));
        welcome && there.is_some_and(|there| Arc::ptr_eq(&there, &self.caller.tenant))
    }
}

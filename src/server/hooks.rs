//! What happens when a side calls: it is checked, read, and on disk before it is answered.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{OriginalUri, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, request::Parts},
};
use futures_util::future::join_all;
use serde::Deserialize;

use super::{
    Server,
    api::query::Named,
    hook::{Call, Heard, Hook, Refusal},
    problem::{BAD_WEBHOOK, Problem, UNAUTHORIZED},
    replay, room,
    tenants::{AppHook, Tenant},
};
use crate::{
    clock::Millis,
    engine::{Engine, EngineError, Said},
    event::Draft,
    id::SideName,
    metrics::{Metrics, Taken},
};

/// Where a side calls.
#[derive(Debug, Deserialize)]
pub(super) struct SidePath {
    tenant: Option<String>,
    side: String,
}

/// A side says what happened
///
/// The body is the side's own, signed by it. Answered 2xx once all of it is on disk; a repetition is answered 2xx and
/// changes nothing. An unknown side is answered like a wrong signature.
#[utoipa::path(
    post, path = "/hooks/{side}", tag = "hooks",
    params(("side" = String, Path, description = "The side's name in the manifest.")),
    request_body(content = String, content_type = "application/json", description = "The side's own form, at most 1 MiB."),
    responses((status = 204, description = "It is on disk."), super::api::Refusals)
)]
pub(super) async fn of_side(
    State(server): State<Server>,
    Named(path): Named<SidePath>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Result<StatusCode, Problem> {
    let tenant = server.0.tenants.get(path.tenant.as_deref());
    let door = tenant.and_then(|tenant| {
        let doors = tenant.doors();
        let (side, hook) = doors.hooks.get_key_value(path.side.as_str())?;
        let url = public_url(doors.public_url.as_deref()?, &uri);
        Some((side.clone(), hook.clone(), url, tenant))
    });
    let (parts, body) = request.into_parts();
    // Read first also where nobody is there: the answer must not tell by its speed who is.
    let body = server.read_body(&parts.headers, body).await?;
    let Some((side, hook, url, tenant)) = door else {
        server.0.metrics.signature_failure("none", "unknown");
        return Err(Problem::of(UNAUTHORIZED));
    };
    tracing::Span::current().record("tenant", tenant.name());
    let asked = Asked { method: parts.method, headers: parts.headers, url };
    let metrics = server.0.metrics.clone();
    let hears = tenant.clone();
    let work = move |engine: &Engine| {
        asked.verified(&*hook, &body.bytes, engine.now(), &metrics)?;
        let part = Part { tenant: &hears, side: &side, hook: &*hook, metrics: &metrics };
        part.take(engine, &asked, &body.bytes)
    };
    server.work(&tenant, work).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// An app says what happened in all its accounts
///
/// A batch is split by account among the tenants that have the app. The part of an account that no tenant has is counted
/// and answered like the rest, so that its neighbours' events are not repeated.
#[utoipa::path(
    post, path = "/hooks/hubspot/{app}", tag = "hooks",
    params(("app" = String, Path, description = "The app's id.")),
    request_body(content = String, content_type = "application/json", description = "A batch of notifications, at most 1 MiB."),
    responses((status = 204, description = "It is on disk."), super::api::Refusals)
)]
pub(super) async fn of_app(
    State(server): State<Server>,
    Named(app): Named<String>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (parts, body) = request.into_parts();
    let body = server.read_body(&parts.headers, body).await?;
    let hooks = server.0.tenants.of_app(&app);
    let own = server.0.settings.public_url.clone();
    let parts = Arc::new((parts, uri, own, body));
    let (tried, request, metrics) = (hooks.clone(), parts.clone(), server.0.metrics.clone());
    // In no tenant's room: one that has too much to do must not keep the others from theirs.
    let split = server.work_for_apps(move || split(&tried, &request, &metrics)).await??;
    let (genuine, batch) = split.ok_or_else(|| Problem::of(UNAUTHORIZED))?;
    let mut taking = Vec::new();
    for (account, bytes) in batch {
        let takers = hooks.iter().filter(|hook| hook.account == account);
        let before = taking.len();
        taking.extend(takers.map(|hook| take_part(&server, parts.clone(), hook.clone(), bytes.clone())));
        if taking.len() == before {
            server.0.metrics.unknown_account(genuine);
        }
    }
    // All at once, and all to their end: one tenant that cannot take its part must not keep the others from theirs.
    join_all(taking).await.into_iter().collect::<Result<(), Problem>>()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets one side take its part of an app's batch.
async fn take_part(server: &Server, request: Arc<AppRequest>, hook: AppHook, bytes: Vec<u8>) -> Result<(), Problem> {
    let (metrics, tenant) = (server.0.metrics.clone(), hook.tenant.clone());
    let work = move |engine: &Engine| {
        let (parts, uri, own, body) = &*request;
        // Each tenant has the app's secret itself: another tenant's must not open its door.
        let asked = asked_of(parts, uri, own.as_deref(), &hook).ok_or_else(|| Problem::of(UNAUTHORIZED))?;
        asked.verified(&*hook.hook, &body.bytes, engine.now(), &metrics)?;
        let part = Part { tenant: &hook.tenant, side: &hook.side, hook: &*hook.hook, metrics: &metrics };
        part.take(engine, &asked, &bytes)
    };
    server.work(&tenant, work).await?
}

/// A request of an app, read: its head, the path as it came, the server's own address, its body.
type AppRequest = (Parts, Uri, Option<String>, super::body::Held);

/// The parts of a batch, by account, and the dialect.
type Batch = (&'static str, Vec<(String, Vec<u8>)>);

/// Splits a batch, if any tenant's secret shows that it is genuine.
fn split(hooks: &[AppHook], (parts, uri, own, body): &AppRequest, metrics: &Metrics) -> Result<Option<Batch>, Problem> {
    let mut reasons: BTreeMap<&'static str, &'static str> = BTreeMap::new();
    for hook in hooks {
        let tried = || {
            let asked = asked_of(parts, uri, own.as_deref(), hook).ok_or(Refusal::NotGenuine("no_address"))?;
            hook.hook.verify(&asked.call(&body.bytes, hook.tenant.handle().engine().now()))?;
            hook.hook.split(&body.bytes)
        };
        match tried() {
            Ok(batch) => return Ok(Some((hook.hook.dialect(), batch))),
            Err(Refusal::NotGenuine(reason)) => {
                reasons.insert(hook.hook.dialect(), reason);
            }
            Err(why @ Refusal::Malformed(_)) => return Err(refused(&why)),
        }
    }
    match reasons.is_empty() {
        true => metrics.signature_failure("none", "unknown"),
        false => reasons.iter().for_each(|(dialect, reason)| metrics.signature_failure(dialect, reason)),
    }
    Ok(None)
}

/// A request as a side signed it.
struct Asked {
    method: Method,
    headers: HeaderMap,
    url: String,
}

impl Asked {
    fn call<'a>(&'a self, body: &'a [u8], now: Millis) -> Call<'a> {
        Call { method: &self.method, url: &self.url, headers: &self.headers, body, now }
    }

    fn verified(&self, hook: &dyn Hook, body: &[u8], now: Millis, metrics: &Metrics) -> Result<(), Problem> {
        hook.verify(&self.call(body, now)).map_err(|why| {
            if let Refusal::NotGenuine(reason) = why {
                metrics.signature_failure(hook.dialect(), reason);
            }
            tracing::warn!(error = %why, "a webhook was refused");
            refused(&why)
        })
    }
}

/// An app's request as the tenant's side signed it: by the server's own address, or the tenant's without its path.
fn asked_of(parts: &Parts, uri: &Uri, own: Option<&str>, hook: &AppHook) -> Option<Asked> {
    let of_tenant = || {
        let base = hook.public_url.as_deref()?;
        Some(base.strip_suffix(&format!("/t/{}", hook.tenant.name())).unwrap_or(base))
    };
    let url = public_url(own.or_else(of_tenant)?, uri);
    Some(Asked { method: parts.method.clone(), headers: parts.headers.clone(), url })
}

/// The address that a side called, as the manifest says it and not as the request does.
fn public_url(base: &str, uri: &Uri) -> String {
    let path = uri.path_and_query().map_or(uri.path(), |path| path.as_str());
    let (before_query, _) = path.split_once('?').unwrap_or((path, ""));
    let hook = before_query.find("/hooks/").map_or(path, |at| &path[at..]);
    format!("{base}{hook}")
}

fn refused(why: &Refusal) -> Problem {
    match why {
        Refusal::NotGenuine(_) => Problem::of(UNAUTHORIZED),
        Refusal::Malformed(detail) => Problem::of(BAD_WEBHOOK).detail(detail.clone()),
    }
}

/// What one tenant is to hear of a request.
struct Part<'a> {
    tenant: &'a Tenant,
    side: &'a SideName,
    hook: &'a dyn Hook,
    metrics: &'a Metrics,
}

impl Part<'_> {
    /// Reads a verified body and returns when what it says is on disk.
    fn take(&self, engine: &Engine, asked: &Asked, body: &[u8]) -> Result<(), Problem> {
        let now = engine.now();
        let call = asked.call(body, now);
        let name = self.hook.message_id(&call).map(|id| replay::name(self.side, id, body));
        if name.as_ref().is_some_and(|name| self.tenant.replays.has(name, now)) {
            self.metrics.webhook_events(self.tenant.name(), self.hook.dialect(), "message", Taken::Duplicate, 1);
            return Ok(());
        }
        let heard = self.hook.read(body, now).map_err(|why| refused(&why))?;
        self.say(engine, heard, now).map_err(|why| room::failed(&why))?;
        self.hook.taken(body);
        if let Some(name) = name {
            self.tenant.replays.note(name, now);
        }
        Ok(())
    }

    fn say(&self, engine: &Engine, heard: Heard, now: Millis) -> Result<(), EngineError> {
        let (tenant, dialect) = (self.tenant.name(), self.hook.dialect());
        let told: Vec<(&'static str, Millis)> =
            heard.drafts.iter().map(|draft: &Draft| (draft.kind.name(), draft.said_at)).collect();
        let said = engine.say(heard.drafts)?;
        for ((kind, at), said) in told.into_iter().zip(&said) {
            let lag = now.0.saturating_sub(at.0).max(0).unsigned_abs();
            self.metrics.event_lag(dialect, Duration::from_millis(lag));
            let taken = match said {
                Said::New { seq, id, .. } => {
                    tracing::debug!(event = %id, %seq, kind, side = %self.side, "captured");
                    Taken::New
                }
                Said::Duplicate => Taken::Duplicate,
            };
            self.metrics.webhook_events(tenant, dialect, kind, taken, 1);
        }
        if heard.unmapped > 0 {
            self.metrics.webhook_events(tenant, dialect, "any", Taken::Unmapped, heard.unmapped);
        }
        if heard.foreign > 0 {
            self.metrics.unknown_account(dialect);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_address_is_the_manifests_and_the_requests_path() {
        let url = |base: &str, asked: &str| public_url(base, &asked.parse().expect("a good address"));
        assert_eq!(url("https://sync.example", "/hooks/crm"), "https://sync.example/hooks/crm");
        assert_eq!(
            url("https://sync.example/t/acme", "/t/acme/hooks/crm?a=%20b"),
            "https://sync.example/t/acme/hooks/crm?a=%20b"
        );
        assert_eq!(
            url("https://sync.example", "http://evil.example/hooks/crm?x=/hooks/y"),
            "https://sync.example/hooks/crm?x=/hooks/y"
        );
    }
}

//! The HTTP server: sides call it, portal programs ask and tell it, operators watch it.
//!
//! | address | for | file |
//! |---|---|---|
//! | `POST /hooks/SIDE`, `POST /hooks/hubspot/APP` | sides, by signed webhooks | `hooks` |
//! | `/v1/...` | portal programs, by bearer tokens | [`api`] |
//! | `/healthz`, `/readyz`, `/metrics` | operators | `ops` |
//! | `/problems/NAME` | whoever got an error | `problem` |
//!
//! With several tenants the first two stand under `/t/TENANT`. A [`Server`] is a router and an accept loop, to be used
//! together or, in a program that has a server of its own, the router alone:
//!
//! ```
//! # use syncline::{engine::{Engine, Handle}, metrics::Metrics};
//! # use syncline::server::{Server, Settings, Tenant, Tenants, Tokens};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let store = dir.path().join("store");
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let (engine, _) = Engine::builder(&store).open()?;
//! let tenant = Tenant::new(Handle::new(engine), Tokens::open(&store)?);
//! let (tenants, _) = Tenants::one(tenant);
//! let server = Server::new(tenants, Metrics::new(), Settings::default());
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let shutdown = async { /* a signal */ };
//! server.serve(listener, shutdown).await?; // or: my_router.merge(server.router())
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })
//! # }
//! ```
//!
//! # Invariants
//!
//! - A webhook is answered 2xx only after its statements are on disk.
//! - The address that a side signs comes from the manifest, never from the request.
//! - Whoever has no token learns nothing but that; what a caller may not see is not there.
//! - Nothing that waits for a client holds a place that another one needs: bodies are read before a request gets its
//!   turn, answers are whole before they leave, and a client that takes nothing is cut off.
//! - Spans and log lines hold routes and ids, never values, tokens or queries.

pub mod api;
mod body;
mod caller;
mod connection;
mod health;
mod hook;
mod hooks;
mod host;
mod ops;
mod problem;
mod replay;
mod room;
mod serve;
mod settings;
mod tenants;
mod token;
mod trace;

use std::sync::Arc;

use axum::{Router, middleware};
use tokio::sync::{Semaphore, watch};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::{
    health::{Health, Running},
    hook::{Account, Call, Heard, Hook, Refusal},
    problem::{Fault, KINDS, Kind, NOT_FOUND, Problem, ProblemBody},
    settings::{BODY_BYTES_MAX, BODY_DEPTH_MAX, Settings},
    tenants::{Doors, Tenant, Tenants},
    token::{NewToken, Token, TokenError, Tokens},
};
use crate::metrics::Metrics;

/// Serves tenants over HTTP. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    tenants: Tenants,
    metrics: Metrics,
    settings: Settings,
    /// Room for requests that are worked on.
    room: Arc<Semaphore>,
    /// Room for apps' batches of which it is not known yet whose they are, as much as a tenant has.
    apps: Arc<Semaphore>,
    /// Room for bodies, in steps of [`body::STEP_BYTES`].
    bodies: Arc<Semaphore>,
    /// Whether the server stops; streams end then.
    stopping: watch::Sender<bool>,
}

impl Server {
    /// A server for these tenants, within these bounds.
    pub fn new(tenants: Tenants, metrics: Metrics, settings: Settings) -> Server {
        let room = Arc::new(Semaphore::new(settings.at_once.min(Semaphore::MAX_PERMITS)));
        let apps = room::of_tenant(settings.at_once_by_tenant);
        let steps = (settings.body_bytes / body::STEP_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        let bodies = Arc::new(Semaphore::new(steps));
        let stopping = watch::Sender::new(false);
        Server(Arc::new(Shared { tenants, metrics, settings, room, apps, bodies, stopping }))
    }

    /// The tenants that it serves.
    pub fn tenants(&self) -> &Tenants {
        &self.0.tenants
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Its bounds.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// All addresses, for a server of the embedding program's own; [`Server::serve`] uses the same.
    ///
    /// Deadlines for headers and caps on connections are the matter of whoever accepts connections; all other bounds
    /// hold here too. Call [`Server::stop`] when that server stops, so that live streams end.
    pub fn router(&self) -> Router {
        let (of_tenant, _) = Self::of_tenant().split_for_parts();
        let (of_all, _) = Self::of_all().split_for_parts();
        let (ops, _) = Self::of_ops().split_for_parts();
        let mut router = Router::new().merge(of_tenant.clone()).nest("/t/{tenant}", of_tenant).merge(of_all);
        if self.0.settings.ops {
            router = router.merge(ops);
        }
        self.finished(router)
    }

    /// `/healthz`, `/readyz` and `/metrics` alone, for an address that only operators reach.
    pub fn ops_router(&self) -> Router {
        let (ops, _) = Self::of_ops().split_for_parts();
        self.finished(ops)
    }

    fn finished(&self, router: Router<Server>) -> Router {
        router
            .fallback(problem::not_found)
            .method_not_allowed_fallback(problem::method_not_allowed)
            .layer(middleware::from_fn_with_state(self.clone(), trace::trace))
            .with_state(self.clone())
    }

    /// The OpenAPI document of all addresses, made from the handlers.
    pub fn openapi() -> OpenApi {
        let routes = Self::of_tenant().merge(Self::of_all()).merge(Self::of_ops());
        api::described(routes.into_openapi())
    }

    fn of_tenant() -> OpenApiRouter<Server> {
        api::routes().routes(routes!(hooks::of_side))
    }

    fn of_all() -> OpenApiRouter<Server> {
        OpenApiRouter::new().routes(routes!(hooks::of_app)).routes(routes!(problem::told))
    }

    fn of_ops() -> OpenApiRouter<Server> {
        OpenApiRouter::new().routes(routes!(ops::healthz)).routes(routes!(ops::readyz)).routes(routes!(ops::metrics))
    }

    /// Ends live streams, and readiness; requests are still answered.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }
}

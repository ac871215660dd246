//! Many tenants in one process: each in a task of its own that opens it, serves it, and opens it again should it fail.
//!
//! They share the runtime and the server and nothing else. One that cannot be opened, or whose store fails, is tried again
//! with longer and longer pauses, and the others do not notice.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::sleep};

use super::{admin, alarm::AlarmKind, reach::Dialects, reader::ServiceError, tenant::Tenant};
use crate::{
    clock::Millis,
    engine::{Builder, EngineError},
    manifest::{Fault, Manifest},
    metrics::Metrics,
    send::retry::Backoff,
    server::{self, Server, TokenError, Tokens},
};

/// The name of a tenant's manifest in its directory under `--tenants`.
pub const MANIFEST: &str = "manifest.yaml";
/// The name of its store there.
pub const STORE: &str = "store";
/// The pauses before a tenant that failed is opened again.
const PAUSES: Backoff = Backoff { first: 2_000, most: 300_000 };
/// How often gauges are set.
const GAUGES: Duration = Duration::from_secs(5);

/// Where a tenant lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its manifest; `None`: the one in force.
    pub manifest: Option<PathBuf>,
    /// Its store, made if there is none and there is a manifest.
    pub store: PathBuf,
}

/// Why a tenant cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Something of it cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its manifest has faults.
    #[error("{} has {} faults, the first: {}", path.display(), faults.len(), faults.first().map_or_else(String::new, ToString::to_string))]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The faults.
        faults: Vec<Fault>,
    },
    /// Another tenant of the name is served.
    #[error("a tenant called {0} is served already")]
    Twice(String),
    /// The service cannot be opened, or failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The store failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Its tokens cannot be read.
    #[error(transparent)]
    Tokens(#[from] TokenError),
}

/// The tenants that lie in a directory, each in a directory of its own with a [`MANIFEST`], by name.
///
/// # Errors
/// If the directory cannot be read.
pub fn places(dir: &Path) -> Result<Vec<Place>, FleetError> {
    let failed = |source| FleetError::Read { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let home = entry.map_err(failed)?.path();
        let manifest = home.join(MANIFEST);
        if manifest.is_file() {
            found.push(Place { manifest: Some(manifest), store: home.join(STORE) });
        }
    }
    found.sort_by(|a, b| a.store.cmp(&b.store));
    Ok(found)
}

/// What is said of how stores are opened.
type Storing = Arc<dyn Fn(Builder) -> Builder + Send + Sync>;

/// What a tenant is opened with.
type Opens = (Arc<dyn Dialects>, Storing);

/// Serves tenants.
pub struct Fleet {
    server: Server,
    dialects: Arc<dyn Dialects>,
    storing: Storing,
    /// Grows whenever manifests are to be read again.
    reload: watch::Sender<u64>,
}

/// What a tenant's task is told.
#[derive(Clone)]
struct Told {
    stop: watch::Receiver<bool>,
    reload: watch::Receiver<u64>,
}

impl Fleet {
    /// A fleet without tenants, behind this server.
    pub fn new(server: Server, dialects: Arc<dyn Dialects>) -> Self {
        Fleet { server, dialects, storing: Arc::new(|builder| builder), reload: watch::channel(0).0 }
    }

    /// Says how stores are opened: how much memory they take, what space is to stay free. Default: as the engine does.
    pub fn storing(mut self, change: impl Fn(Builder) -> Builder + Send + Sync + 'static) -> Self {
        self.storing = Arc::new(change);
        self
    }

    /// What has to be called when manifests are to be read again.
    pub fn reload(&self) -> impl Fn() + Send + Sync + 'static {
        let reload = self.reload.clone();
        move || reload.send_modify(|times| *times += 1)
    }

    /// Serves the tenants in these places until `shutdown` is done; then the server ends what it was asked, the tenants end
    /// what they had begun, and their stores are closed.
    ///
    /// With `must_open` a tenant that cannot be opened at first ends it all.
    ///
    /// # Errors
    /// If the listener fails, or a tenant that must open does not.
    pub async fn serve(
        &self,
        places: Vec<Place>,
        must_open: bool,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), FleetError> {
        let (stop, stopped) = watch::channel(false);
        let told = Told { stop: stopped, reload: self.reload.subscribe() };
        let mut tasks: JoinSet<Result<(), FleetError>> = JoinSet::new();
        for place in places {
            let first = match must_open {
                true => Some(self.open(&place).await?),
                false => None,
            };
            let opening = (self.dialects.clone(), self.storing.clone());
            tasks.spawn(supervise(place, first, self.server.clone(), opening, told.clone()));
        }
        let served = self.server.serve(listener, shutdown).await;
        // Only now: until here hooks and calls were answered, and what they said may still leave.
        stop.send_replace(true);
        let mut ended = Ok(());
        while let Some(task) = tasks.join_next().await {
            match task {
                Ok(of_one) => ended = ended.and(of_one),
                Err(died) => tracing::error!(error = %died, "a tenant's task died"),
            }
        }
        served.map_err(|source| FleetError::Read { path: PathBuf::from("the listener"), source })?;
        ended
    }

    async fn open(&self, place: &Place) -> Result<Tenant, FleetError> {
        let opening = (self.dialects.clone(), self.storing.clone());
        open(place.clone(), opening, self.server.metrics().clone()).await
    }
}

/// Opens a tenant on a thread that may block.
async fn open(place: Place, (dialects, storing): Opens, metrics: Metrics) -> Result<Tenant, FleetError> {
    let opened = tokio::task::spawn_blocking(move || {
        let text = place.manifest.as_deref().map(read_manifest).transpose()?;
        let builder = Tenant::builder(&place.store).dialects(dialects).metrics(metrics).create(text.is_some());
        let mut builder = builder.engine(|engine| storing(engine));
        if let Some(text) = text {
            builder = builder.manifest(text);
        }
        let (tenant, opening) = builder.open()?;
        if let Some(torn) = &opening.recovery.torn {
            tracing::warn!(tenant = tenant.name(), after = %torn.after, "a crash had cut off the last write, of which nobody was told");
        }
        Ok(tenant)
    });
    match opened.await {
        Ok(opened) => opened,
        Err(died) => match died.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(FleetError::Engine(EngineError::Poisoned)),
        },
    }
}

/// Reads a manifest and checks it.
///
/// # Errors
/// If it cannot be read, or has faults.
pub fn read_manifest(path: &Path) -> Result<String, FleetError> {
    let failed = |source| FleetError::Read { path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|why| failed(io::Error::new(io::ErrorKind::InvalidData, why)))?;
    match Manifest::parse(&text) {
        Ok(_) => Ok(text),
        Err(faults) => Err(FleetError::Manifest { path: path.to_owned(), faults }),
    }
}

/// Opens and serves one tenant, again and again, until it is told to stop.
async fn supervise(
    place: Place,
    mut first: Option<Tenant>,
    server: Server,
    opening: Opens,
    mut told: Told,
) -> Result<(), FleetError> {
    let mut failures = 0;
    loop {
        let opened = match first.take() {
            Some(tenant) => Ok(tenant),
            None => open(place.clone(), opening.clone(), server.metrics().clone()).await,
        };
        let ended = match opened {
            Ok(tenant) => serve_one(&place, tenant, &server, told.clone(), &mut failures).await,
            Err(why) => Err(why),
        };
        if *told.stop.borrow() {
            return ended;
        }
        if let Err(why) = &ended {
            let store = place.store.display();
            tracing::error!(%store, error = why as &dyn std::error::Error, "a tenant is not served; it is tried again later");
        }
        let wait = PAUSES.wait(failures, 0, u64::from(failures));
        failures += 1;
        tokio::select! {
            _ = told.stop.changed() => return Ok(()),
            _ = told.reload.changed() => failures = 0,
            () = sleep(Duration::from_millis(wait.unsigned_abs())) => {}
        }
    }
}

/// Serves an open tenant until it is told to stop or fails; then it is closed.
async fn serve_one(
    place: &Place,
    tenant: Tenant,
    server: &Server,
    told: Told,
    failures: &mut u32,
) -> Result<(), FleetError> {
    let name = tenant.name().to_owned();
    if server.tenants().get(Some(&name)).is_some_and(|known| known.name() == name) {
        return Err(FleetError::Twice(name));
    }
    let tokens = Tokens::open(&place.store)?;
    // Before anyone can see that it is ready: then it takes orders too.
    let desk = admin::open(tenant.store());
    let front = server::Tenant::within(tenant.handle().clone(), tokens, server.settings());
    let front = server.tenants().add(front);
    front.set_doors(tenant.doors()?);
    let running = front.health().begin("sides");
    let (stop, stopped) = watch::channel(false);
    let mut beside: JoinSet<()> = JoinSet::new();
    beside.spawn(orders(tenant.clone(), desk, stopped.clone()));
    beside.spawn(follow(tenant.clone(), front.clone()));
    beside.spawn(reload(place.clone(), tenant.clone(), told.reload.clone()));
    beside.spawn(gauges(tenant.clone(), server.clone()));
    *failures = 0;
    tracing::info!(tenant = name, "served");
    let ended = tenant.run(told.stop.clone()).await;
    if ended.is_ok() {
        running.done();
    }
    stop.send_replace(true);
    server.tenants().remove(&name);
    beside.shutdown().await;
    drop(front);
    let closed = tenant.close().await;
    ended?;
    Ok(closed?)
}

async fn orders(tenant: Tenant, desk: io::Result<admin::Desk>, stopped: watch::Receiver<bool>) {
    let name = tenant.name().to_owned();
    let listened = match desk {
        Ok(desk) => admin::listen(tenant, desk, stopped).await,
        Err(why) => Err(why),
    };
    if let Err(why) = listened {
        tracing::error!(tenant = name, error = %why, "orders cannot be given to the tenant while it is served");
    }
}

/// Opens new doors whenever the sides are made anew.
async fn follow(tenant: Tenant, front: Arc<server::Tenant>) {
    let mut editions = tenant.editions();
    while editions.changed().await.is_ok() {
        match tenant.doors() {
            Ok(doors) => front.set_doors(doors),
            Err(why) => tracing::error!(error = &why as &dyn std::error::Error, "the sides' doors stay as they were"),
        }
    }
}

/// Reads the manifest again whenever it is told to; one with faults changes nothing.
async fn reload(place: Place, tenant: Tenant, mut reload: watch::Receiver<u64>) {
    while reload.changed().await.is_ok() {
        let name = tenant.name();
        let read = match &place.manifest {
            Some(path) => read_manifest(path).map(Some),
            None => Ok(None),
        };
        let done = match read {
            Ok(Some(text)) => tenant.apply_manifest(text).await.map_err(FleetError::from),
            Ok(None) => Ok(false),
            Err(why) => Err(why),
        };
        match done {
            Ok(true) => tracing::info!(tenant = name, "the manifest changed and is in force"),
            // The same rules, but a secret may be another one.
            Ok(false) => match tenant.reach_anew().await {
                Ok(()) => tracing::info!(tenant = name, "the manifest is the same; secrets were read again"),
                Err(why) => tracing::error!(
                    tenant = name,
                    error = &why as &dyn std::error::Error,
                    "sides could not be reached anew"
                ),
            },
            Err(why) => {
                tracing::error!(tenant = name, error = &why as &dyn std::error::Error, "the manifest stays as it was")
            }
        }
    }
}

/// Keeps the gauges of a tenant up to date; what is counted in the store itself is read when it is asked for.
async fn gauges(tenant: Tenant, server: Server) {
    loop {
        match tenant.status() {
            Ok(status) => set_gauges(&status, tenant.engine().now(), &server),
            Err(why) => tracing::debug!(error = %why, "the gauges stay as they were"),
        }
        sleep(GAUGES).await;
    }
}

fn set_gauges(status: &super::TenantStatus, now: Millis, server: &Server) {
    let metrics = server.metrics();
    for side in &status.sides {
        let (tenant, name) = (status.tenant.as_str(), &*side.side);
        let oldest = side.outbox_since.map_or(0, |since| now.0.saturating_sub(since.0));
        metrics.outbox(tenant, name, side.outbox, Duration::from_millis(oldest.max(0).unsigned_abs()));
        metrics.breaker(tenant, name, side.paused);
        metrics.drift(tenant, name, side.reconciled.drifts);
        for left in &side.quota {
            metrics.rate_limit_remaining(tenant, "hubspot", left.window, left.left as f64);
        }
        for kind in AlarmKind::ALL {
            let stands = status.alarms.iter().any(|alarm| alarm.side == side.side && alarm.kind == kind);
            metrics.alarm(tenant, name, kind.name(), stands);
        }
    }
}

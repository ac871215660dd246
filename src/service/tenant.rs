//! A tenant in service: its store open, its sides reached.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, watch};

use super::{
    alarm::{Alarm, AlarmKind, Alarms},
    backfill::BackfillProgress,
    marks::Marks,
    reach::{Context, Dialects, InProcess},
    reader::{Reader, ServiceError, kinds_on},
    reconcile::Report,
    side::{SideService, Turn},
    status::{TenantStatus, Totals},
    wants::Wants,
};
use crate::{
    clock::{Clock, Millis},
    engine::{Builder, Engine, EngineError, Handle, Opening},
    id::{RecordId, SideName},
    manifest::Manifest,
    metrics::Metrics,
    send::{self, Stepped},
    server::Doors,
    side::Links,
};

/// Makes the names that a tenant's ids stand for.
type LinksOf = Box<dyn FnOnce(&Engine) -> Arc<dyn Links> + Send>;

/// How a tenant is put into service. Every setting has a default.
pub struct TenantBuilder {
    store: PathBuf,
    engine: Builder,
    dialects: Arc<dyn Dialects>,
    links: LinksOf,
    sending: send::Settings,
    metrics: Option<Metrics>,
}

impl TenantBuilder {
    /// The manifest's text. Default: the one in force.
    pub fn manifest(mut self, text: impl Into<String>) -> Self {
        self.engine = self.engine.manifest(text);
        self
    }

    /// Where the time of day comes from. Default: the machine.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.engine = self.engine.clock(clock);
        self
    }

    /// Whether a store is made where there is none. Default: yes.
    pub fn create(mut self, create: bool) -> Self {
        self.engine = self.engine.create(create);
        self
    }

    /// Anything else about how the store is opened.
    pub fn engine(mut self, change: impl FnOnce(Builder) -> Builder) -> Self {
        self.engine = change(self.engine);
        self
    }

    /// What sides are reached with. Default: nothing; they are fed by the embedding program.
    pub fn dialects(mut self, dialects: Arc<dyn Dialects>) -> Self {
        self.dialects = dialects;
        self
    }

    /// What sides' ids stand for. Default: what the store knows of them.
    pub fn links(mut self, links: impl FnOnce(&Engine) -> Arc<dyn Links> + Send + 'static) -> Self {
        self.links = Box::new(links);
        self
    }

    /// How writes are sent. Default: [`send::Settings::default`].
    pub fn sending(mut self, settings: send::Settings) -> Self {
        self.sending = settings;
        self
    }

    /// Where calls to sides, and records read back, are counted. Default: nowhere.
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Opens the store and makes ready to serve; nothing is called yet.
    ///
    /// A side that cannot be reached as the manifest says is an alarm, and the others go on.
    ///
    /// # Errors
    /// If the store cannot be opened, or how far its sides were read is not readable.
    pub fn open(self) -> Result<(Tenant, Opening), ServiceError> {
        let (engine, opening) = self.engine.open()?;
        let shared = Shared {
            links: (self.links)(&engine),
            handle: Handle::new(engine),
            marks: Arc::new(Marks::open(&self.store)?),
            store: self.store,
            dialects: self.dialects,
            sending: self.sending,
            metrics: self.metrics,
            alarms: Arc::default(),
            sides: Mutex::default(),
            edition: watch::channel(0).0,
            changing: tokio::sync::Mutex::default(),
        };
        let tenant = Tenant { shared: Arc::new(shared) };
        tenant.reach_sides()?;
        Ok((tenant, opening))
    }
}

/// A tenant in service. Clones share it.
#[derive(Clone)]
pub struct Tenant {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub handle: Handle,
    pub store: PathBuf,
    dialects: Arc<dyn Dialects>,
    links: Arc<dyn Links>,
    sending: send::Settings,
    metrics: Option<Metrics>,
    marks: Arc<Marks>,
    alarms: Arc<Alarms>,
    sides: Mutex<Arc<Vec<Arc<SideService>>>>,
    /// Grows whenever the sides are made anew.
    pub edition: watch::Sender<u64>,
    /// Held while a manifest is put in force, so that two do not mix.
    changing: tokio::sync::Mutex<()>,
}

impl Tenant {
    /// Begins to describe how the tenant whose store lies in `store` is put into service.
    pub fn builder(store: impl Into<PathBuf>) -> TenantBuilder {
        let store = store.into();
        TenantBuilder {
            engine: Engine::builder(&store),
            store,
            dialects: Arc::new(InProcess::default()),
            links: Box::new(|engine| Arc::new(engine.clone())),
            sending: send::Settings::default(),
            metrics: None,
        }
    }

    /// The tenant's name.
    pub fn name(&self) -> &str {
        self.engine().tenant()
    }

    /// Its store.
    pub fn engine(&self) -> &Engine {
        self.shared.handle.engine()
    }

    /// Its store, for asynchronous callers.
    pub fn handle(&self) -> &Handle {
        &self.shared.handle
    }

    /// What sides' ids stand for.
    pub fn links(&self) -> &Arc<dyn Links> {
        &self.shared.links
    }

    /// Makes the sides anew by the manifest in force.
    fn reach_sides(&self) -> Result<(), EngineError> {
        let shared = &self.shared;
        let manifest = self.engine().manifest()?;
        let mut services = Vec::new();
        let names: Vec<SideName> = manifest.sides.iter().map(|side| side.name.clone()).collect();
        shared.alarms.keep_only(&names);
        for side in &manifest.sides {
            let nudge: Arc<Notify> = Arc::default();
            let wants = Wants::new(shared.marks.clone(), side.name.clone(), nudge.clone());
            let (engine, links) = (self.engine(), &shared.links);
            let metrics = shared.metrics.as_ref();
            let context = Context { manifest: &manifest, side: &side.name, engine, links, wants: &wants, metrics };
            let reach = match shared.dialects.reach(&context) {
                Ok(reach) => {
                    shared.alarms.clear(&side.name, AlarmKind::Unreachable);
                    reach
                }
                Err(why) => {
                    let now = self.engine().now();
                    shared.alarms.raise(&side.name, AlarmKind::Unreachable, now, why.to_string());
                    continue;
                }
            };
            let reader = Reader {
                handle: shared.handle.clone(),
                side: Arc::new(side.clone()),
                kinds: Arc::new(kinds_on(&manifest, &side.name)),
                source: reach.source.clone(),
                links: shared.links.clone(),
                marks: shared.marks.clone(),
                metrics: shared.metrics.clone(),
            };
            let service = SideService::new(reader, reach, shared.alarms.clone(), shared.sending, nudge)?;
            services.push(Arc::new(service));
        }
        *shared.sides.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(services);
        shared.edition.send_modify(|edition| *edition += 1);
        Ok(())
    }

    pub(super) fn sides(&self) -> Arc<Vec<Arc<SideService>>> {
        self.shared.sides.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another manifest in force from now on and makes the sides anew; one that means the same changes nothing.
    ///
    /// # Errors
    /// If it has faults or is another tenant's, or the store fails; then all stays as it was.
    pub async fn apply_manifest(&self, text: String) -> Result<bool, ServiceError> {
        let _changing = self.shared.changing.lock().await;
        let tenant = self.clone();
        let changed = self.shared.handle.call(move |engine| {
            let changed = engine.apply_manifest(&text)?;
            if changed {
                tenant.reach_sides()?;
            }
            Ok::<bool, EngineError>(changed)
        });
        Ok(changed.await?)
    }

    /// Makes the sides anew though the manifest is the same: a secret may have been changed.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn reach_anew(&self) -> Result<(), ServiceError> {
        let _changing = self.shared.changing.lock().await;
        Ok(self.reach_sides()?)
    }

    /// Does all that is due now, and what follows from it, until nothing more is; for whoever turns the clock.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn step(&self) -> Result<Stepped, ServiceError> {
        let mut all = Stepped::default();
        loop {
            let mut worked = false;
            for side in self.sides().iter() {
                while side.turn().await? == Turn::Worked {
                    worked = true;
                }
                let sent = side.deliver().await?;
                worked |= !sent.is_idle();
                all.add(sent);
            }
            if !worked {
                return Ok(all);
            }
        }
    }

    /// When there is something to do next; `None`: not before something is heard.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn next(&self) -> Result<Option<Millis>, ServiceError> {
        let mut next: Option<Millis> = None;
        for side in self.sides().iter() {
            let reading = match side.turn().await? {
                Turn::Worked => Some(self.engine().now()),
                Turn::Idle(at) => at,
            };
            next = next.into_iter().chain(reading).chain(side.next_delivery()?).min();
        }
        Ok(next)
    }

    /// Reconciles one side or all, one record or all, now.
    ///
    /// # Errors
    /// If the store fails; a side that cannot be asked leaves its report unfinished.
    pub async fn reconcile(&self, side: Option<&str>, record: Option<&RecordId>) -> Result<Vec<Report>, ServiceError> {
        let mut reports = Vec::new();
        let asked = |service: &&Arc<SideService>| side.is_none_or(|side| **service.name() == *side);
        for service in self.sides().iter().filter(asked).filter(|service| service.is_reached()) {
            reports.push(service.reconcile_now(record.map(|record| vec![record.clone()])).await?);
        }
        Ok(reports)
    }

    /// Has one side, or all, read anew from the beginning, and returns which.
    ///
    /// # Errors
    /// If that cannot be kept.
    pub async fn backfill_again(&self, side: Option<&str>) -> Result<Vec<SideName>, ServiceError> {
        let mut asked = Vec::new();
        for service in self.sides().iter().filter(|service| side.is_none_or(|side| **service.name() == *side)) {
            service.reader.backfill_again().await?;
            service.nudge.notify_one();
            asked.push(service.name().clone());
        }
        Ok(asked)
    }

    /// Reads one side, or all, as a whole here and now, waiting as sides ask for it; `told` hears how many records were read.
    ///
    /// # Errors
    /// If the store fails. A side that refuses is an alarm, and is left out.
    pub async fn backfill_here(&self, side: Option<&str>, told: impl Fn(u64)) -> Result<(), ServiceError> {
        for service in self.sides().iter().filter(|service| side.is_none_or(|side| **service.name() == *side)) {
            while let Some(wait) = service.backfill_step().await? {
                told(service.reader.backfill_progress().iter().map(|kind| kind.read).sum());
                tokio::time::sleep(wait).await;
            }
        }
        Ok(())
    }

    /// How far the first readings of one side, or all, are.
    pub fn backfill_progress(&self, side: Option<&str>) -> Vec<(SideName, Vec<BackfillProgress>)> {
        let of = |service: &&Arc<SideService>| side.is_none_or(|side| **service.name() == *side);
        let sides = self.sides();
        let asked = sides.iter().filter(of);
        asked.map(|service| (service.name().clone(), service.reader.backfill_progress())).collect()
    }

    /// The sides that are reached.
    pub fn side_names(&self) -> Vec<String> {
        self.sides().iter().filter(|side| side.is_reached()).map(|side| side.name().to_string()).collect()
    }

    /// The directory of its store.
    pub fn store(&self) -> &Path {
        &self.shared.store
    }

    /// Notes that a side was heard of though it said nothing new.
    pub fn heard(&self, side: &SideName) {
        let now = self.engine().now();
        self.shared.marks.change(side, |marks| marks.heard = marks.heard.max(Some(now)));
    }

    /// Where its sides call it, by the manifest in force.
    ///
    /// # Errors
    /// If the store has stopped.
    pub fn doors(&self) -> Result<Doors, EngineError> {
        let hooks = self.sides().iter().filter_map(|side| Some((side.name().clone(), side.hook()?))).collect();
        Ok(Doors { public_url: self.manifest()?.public_url.clone(), hooks })
    }

    /// Grows whenever the sides are made anew, and their doors with them.
    pub fn editions(&self) -> watch::Receiver<u64> {
        self.shared.edition.subscribe()
    }

    /// The alarms that stand.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.shared.alarms.all()
    }

    /// The last reconciliation of everything on a side since the service began.
    pub fn last_reconcile(&self, side: &str) -> Option<Report> {
        self.sides().iter().find(|service| **service.name() == *side).and_then(|service| service.report())
    }

    /// How the tenant's service is.
    ///
    /// # Errors
    /// If the store has stopped.
    pub fn status(&self) -> Result<TenantStatus, EngineError> {
        let sides = self.sides();
        let sides =
            sides.iter().filter(|side| side.is_reached()).map(|side| side.status()).collect::<Result<_, _>>()?;
        let totals = Totals::of(self.engine())?;
        Ok(TenantStatus { tenant: self.name().to_owned(), totals, sides, alarms: self.alarms() })
    }

    /// The manifest in force.
    ///
    /// # Errors
    /// If the store has stopped.
    pub fn manifest(&self) -> Result<Arc<Manifest>, EngineError> {
        self.engine().manifest()
    }

    /// Keeps how far sides were read and closes the store, once nothing else uses it.
    ///
    /// # Errors
    /// If the disk fails; what was acknowledged is in the log all the same.
    pub async fn close(self) -> Result<(), ServiceError> {
        let marks = self.shared.marks.clone();
        self.shared
            .handle
            .call(move |engine| {
                let kept = marks.save();
                engine.clone().close()?;
                Ok::<(), ServiceError>(kept?)
            })
            .await
    }
}

//! Whom the server serves: tenants by name, each with its engine, its hooks and its tokens.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Semaphore;

use super::{
    health::Health,
    hook::{Account, Hook},
    replay::Replays,
    room,
    settings::Settings,
    token::Tokens,
};
use crate::{engine::Handle, id::SideName};

/// A tenant as the server sees it.
pub struct Tenant {
    name: String,
    handle: Handle,
    tokens: Tokens,
    health: Health,
    doors: RwLock<Arc<Doors>>,
    pub(super) replays: Replays,
    /// Room for requests that are worked on.
    pub(super) room: Arc<Semaphore>,
    pub(super) streams: Arc<AtomicUsize>,
    /// The idempotency keys of requests that are being worked on.
    pub(super) keys: Mutex<BTreeSet<String>>,
}

/// Where a tenant's sides call.
#[derive(Default)]
pub struct Doors {
    /// What the sides call and sign, without a slash at its end.
    pub public_url: Option<String>,
    /// The hooks by side.
    pub hooks: BTreeMap<SideName, Arc<dyn Hook>>,
}

impl Tenant {
    /// A tenant without hooks, within the default bounds.
    pub fn new(handle: Handle, tokens: Tokens) -> Tenant {
        Self::within(handle, tokens, &Settings::default())
    }

    /// A tenant without hooks; `settings` bound how much is worked on for it at once.
    pub fn within(handle: Handle, tokens: Tokens, settings: &Settings) -> Tenant {
        Tenant {
            name: handle.engine().tenant().to_owned(),
            handle,
            tokens,
            health: Health::default(),
            doors: RwLock::default(),
            replays: Replays::default(),
            room: room::of_tenant(settings.at_once_by_tenant),
            streams: Arc::default(),
            keys: Mutex::default(),
        }
    }

    /// Its name, as in `/t/NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its engine.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Its tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Where its tasks say that they run.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Opens these doors instead of those before, as after a change of the manifest; calls under way end as they began.
    pub fn set_doors(&self, doors: Doors) {
        *self.doors.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(doors);
    }

    /// Its doors as they are now.
    pub fn doors(&self) -> Arc<Doors> {
        self.doors.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a live stream until the place goes; `None` if there are `most` already.
    pub(super) fn stream_place(&self, most: usize) -> Option<StreamPlace> {
        let taken =
            self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1));
        taken.ok().map(|_| StreamPlace(self.streams.clone()))
    }
}

/// A live stream's place among those of its tenant.
pub(super) struct StreamPlace(Arc<AtomicUsize>);

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The tenants of a server. Clones share them; tenants may come and go while it serves.
#[derive(Clone)]
pub struct Tenants {
    /// Whether paths without `/t/NAME` mean the only tenant.
    single: bool,
    all: Arc<RwLock<BTreeMap<String, Arc<Tenant>>>>,
}

impl Tenants {
    /// One tenant: `/v1/...` and `/hooks/SIDE` mean it, as does `/t/NAME/...` with its name.
    pub fn one(tenant: Tenant) -> (Tenants, Arc<Tenant>) {
        let tenants = Tenants { single: true, all: Arc::default() };
        let tenant = tenants.add(tenant);
        (tenants, tenant)
    }

    /// As [`Tenants::one`], of a tenant that is added later, and may be removed and added again.
    pub fn single() -> Tenants {
        Tenants { single: true, all: Arc::default() }
    }

    /// Any number of tenants, none at first: `/t/NAME/v1/...` and `/t/NAME/hooks/SIDE`.
    pub fn many() -> Tenants {
        Tenants { single: false, all: Arc::default() }
    }

    /// Adds a tenant, in place of one of the same name.
    pub fn add(&self, tenant: Tenant) -> Arc<Tenant> {
        let tenant = Arc::new(tenant);
        self.all.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.name.clone(), tenant.clone());
        tenant
    }

    /// Removes a tenant; requests under way end as they began.
    pub fn remove(&self, name: &str) -> Option<Arc<Tenant>> {
        self.all.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// The tenant that a path names, or the only one where it names none.
    pub fn get(&self, name: Option<&str>) -> Option<Arc<Tenant>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        match name {
            Some(name) => all.get(name).cloned(),
            None if self.single => all.values().next().cloned(),
            None => None,
        }
    }

    /// All tenants, ascending by name.
    pub fn all(&self) -> Vec<Arc<Tenant>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The hooks of all sides of an app, each with its tenant and account.
    pub(super) fn of_app(&self, app: &str) -> Vec<AppHook> {
        let mut found = Vec::new();
        for tenant in self.all() {
            let doors = tenant.doors();
            for (side, hook) in &doors.hooks {
                let Some(Account { app: own, account }) = hook.account() else { continue };
                if own == app {
                    let (tenant, side, hook) = (tenant.clone(), side.clone(), hook.clone());
                    found.push(AppHook { tenant, side, hook, account, public_url: doors.public_url.clone() });
                }
            }
        }
        found
    }
}

/// A side that an app calls for.
#[derive(Clone)]
pub(super) struct AppHook {
    pub tenant: Arc<Tenant>,
    pub side: SideName,
    pub hook: Arc<dyn Hook>,
    pub account: String,
    pub public_url: Option<String>,
}

//! Whose turn it is: how many requests are worked on at once, in all and for one tenant.

use std::sync::Arc;

use tokio::{sync::Semaphore, time::timeout};

use super::{
    Server,
    problem::{BUSY, INTERNAL, Problem, UNAVAILABLE},
    tenants::Tenant,
};
use crate::engine::{Engine, EngineError};

impl Server {
    /// Runs a call of a tenant's engine on a thread that may block, once there is room.
    ///
    /// A tenant with more work than it may have at once waits for its own; the others' room is not touched by that. The
    /// room is held until the call ends, even if whoever asked has gone.
    ///
    /// # Errors
    /// 503 if there is no room for longer than the settings allow, 500 if the call panics.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        tenant: &Arc<Tenant>,
        work: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let engine = tenant.handle().engine().clone();
        self.work_within(&tenant.room, "tenant", move || work(&engine)).await
    }

    /// Runs a call that looks for whose matter a request is, once there is room for such: no tenant's is taken.
    ///
    /// # Errors
    /// Those of [`Server::work`].
    pub(super) async fn work_for_apps<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.work_within(&self.0.apps, "apps", work).await
    }

    async fn work_within<T: Send + 'static>(
        &self,
        own: &Arc<Semaphore>,
        of: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = async {
            let own = own.clone().acquire_owned().await;
            let all = self.0.room.clone().acquire_owned().await;
            own.and_then(|own| all.map(|all| (own, all)))
        };
        let Ok(places) = timeout(self.0.settings.turn_time, turn).await else {
            let full = if own.available_permits() == 0 { of } else { "server" };
            self.0.metrics.turned_away(full);
            return Err(Problem::of(BUSY));
        };
        let places = places.expect("nobody closes the semaphores");
        let span = tracing::Span::current();
        let working = tokio::task::spawn_blocking(move || {
            let done = span.in_scope(work);
            drop(places);
            done
        });
        working.await.map_err(|_| {
            self.0.metrics.panicked();
            Problem::of(INTERNAL)
        })
    }
}

/// Room for a tenant's requests.
pub(super) fn of_tenant(most: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)))
}

/// What an engine's failure is to a caller; what the caller did wrong is told by whoever called.
pub(super) fn failed(why: &EngineError) -> Problem {
    tracing::error!(error = told(why), "the store failed");
    match why {
        EngineError::Event { .. } => Problem::of(INTERNAL).detail("an event that the answer needs is damaged"),
        EngineError::State(_)
        | EngineError::Log(_)
        | EngineError::Behind { .. }
        | EngineError::Poisoned
        | EngineError::NoRules => Problem::of(UNAVAILABLE),
        EngineError::NoSpace { .. } => Problem::of(UNAVAILABLE).detail("the disk is nearly full"),
        _ => Problem::of(INTERNAL),
    }
}

/// An error with its causes, for the log.
pub(super) fn told(why: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(why), |why| why.source()).map(ToString::to_string);
    causes.collect::<Vec<_>>().join(": ")
}

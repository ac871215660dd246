//! A tenant's service as it runs: two tasks for each side, made anew whenever the manifest changes.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::{
    reader::ServiceError,
    side::{SideService, Turn},
    tenant::Tenant,
};
use crate::clock::Millis;

/// How long calls under way may take to end when the service stops; what is cut off then counts as in doubt.
pub const GRACE: Duration = Duration::from_secs(10);

/// Why the tasks of a tenant ended.
enum End {
    Stop,
    Changed,
}

impl Tenant {
    /// Serves until `shutdown` becomes true or its sender is gone; calls under way then have [`GRACE`] to end.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) -> Result<(), ServiceError> {
        let mut edition = self.shared.edition.subscribe();
        loop {
            edition.mark_unchanged();
            let (stop, stopped) = watch::channel(false);
            let mut tasks: JoinSet<Result<(), ServiceError>> = JoinSet::new();
            for side in self.sides().iter() {
                tasks.spawn(deliver(self.clone(), side.clone(), stopped.clone()));
                tasks.spawn(read(side.clone(), stopped.clone()));
            }
            let end = tokio::select! {
                done = stops(&mut shutdown) => { let () = done; Ok(End::Stop) }
                _ = edition.changed() => Ok(End::Changed),
                why = failed(&mut tasks) => Err(why),
            };
            stop.send_replace(true);
            let ended = join(tasks).await;
            match end? {
                End::Changed => ended?,
                End::Stop => return ended,
            }
        }
    }
}

/// Waits until it is time to stop.
async fn stops(shutdown: &mut watch::Receiver<bool>) {
    while !*shutdown.borrow_and_update() {
        if shutdown.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until a task fails; tasks that only end are no failure.
async fn failed(tasks: &mut JoinSet<Result<(), ServiceError>>) -> ServiceError {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return why,
            Err(died) => {
                tracing::error!(error = %died, "a task of a side died");
                return ServiceError::Engine(crate::engine::EngineError::Poisoned);
            }
        }
    }
    std::future::pending().await
}

/// Waits for tasks that were told to stop; those that do not in time are cut off.
async fn join(mut tasks: JoinSet<Result<(), ServiceError>>) -> Result<(), ServiceError> {
    let until = Instant::now() + GRACE;
    let mut all = Ok(());
    loop {
        match timeout_at(until, tasks.join_next()).await {
            Ok(Some(Ok(ended))) => all = all.and(ended),
            Ok(Some(Err(died))) => tracing::error!(error = %died, "a task of a side died"),
            Ok(None) => return all,
            Err(_) => {
                tracing::warn!("calls under way were cut off; what they did is read back later");
                tasks.shutdown().await;
                return all;
            }
        }
    }
}

/// Sends what is due until it is told to stop.
async fn deliver(
    tenant: Tenant,
    side: Arc<SideService>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), ServiceError> {
    let mut news = tenant.engine().subscribe();
    while !*stopped.borrow_and_update() {
        news.mark_unchanged();
        if !side.deliver().await?.is_idle() {
            continue;
        }
        let next = side.next_delivery()?;
        tokio::select! {
            _ = stopped.changed() => return Ok(()),
            heard = news.changed() => if heard.is_err() { return Ok(()) },
            () = wait_until(&tenant, next) => {}
        }
    }
    Ok(())
}

/// Reads the side when that is due until it is told to stop.
async fn read(side: Arc<SideService>, mut stopped: watch::Receiver<bool>) -> Result<(), ServiceError> {
    while !*stopped.borrow_and_update() {
        let next = match side.turn().await? {
            Turn::Worked => continue,
            Turn::Idle(next) => next,
        };
        let wait = next.map(|at| wait_of(at, side.reader.engine().now()));
        tokio::select! {
            _ = stopped.changed() => return Ok(()),
            () = side.nudge.notified() => {}
            () = sleep_if(wait) => {}
        }
    }
    Ok(())
}

async fn wait_until(tenant: &Tenant, at: Option<Millis>) {
    sleep_if(at.map(|at| wait_of(at, tenant.engine().now()))).await;
}

fn wait_of(at: Millis, now: Millis) -> Duration {
    Duration::from_millis(at.0.saturating_sub(now.0).max(1) as u64)
}

async fn sleep_if(wait: Option<Duration>) {
    match wait {
        Some(wait) => sleep(wait).await,
        None => std::future::pending().await,
    }
}

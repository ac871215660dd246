//! How a tenant's sides are reached: what a dialect gives the service to work with.

use std::sync::Arc;

use serde::Serialize;

use super::wants::Wants;
use crate::{
    clock::Millis,
    engine::Engine,
    id::SideName,
    manifest::Manifest,
    metrics::Metrics,
    send::Connector,
    server::Hook,
    side::{Links, Source},
};

/// A side as the service uses it; what is missing is not done.
#[derive(Clone, Default)]
pub struct Reach {
    /// Where writes go.
    pub connector: Option<Arc<dyn Connector>>,
    /// What can be asked of it as a whole.
    pub source: Option<Arc<dyn Source>>,
    /// What calls to it have shown besides.
    pub gauge: Option<Arc<dyn Gauge>>,
    /// How it calls us.
    pub hook: Option<Arc<dyn Hook>>,
}

/// What calls to a side show besides their answers.
pub trait Gauge: Send + Sync {
    /// The newest reading of its clock.
    fn clock(&self) -> Option<ClockReading>;

    /// What is left of its quotas.
    fn quota(&self) -> Vec<QuotaLeft> {
        Vec::new()
    }

    /// What about it needs a person, in words without values, and since when.
    fn trouble(&self) -> Option<(String, Millis)> {
        None
    }
}

/// A side's clock against ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// When it was read, by our clock.
    pub at: Millis,
    /// How far it was ahead of ours, in milliseconds.
    pub ahead: i64,
}

/// What is left of one quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuotaLeft {
    /// The quota: `second`, `ten_seconds`, `day`, ...
    pub window: &'static str,
    /// The most calls in its window.
    pub most: u64,
    /// The calls that are left.
    pub left: u64,
}

/// What a side is reached for.
pub struct Context<'a> {
    /// The manifest in force.
    pub manifest: &'a Arc<Manifest>,
    /// The side.
    pub side: &'a SideName,
    /// The tenant's store.
    pub engine: &'a Engine,
    /// What its ids stand for.
    pub links: &'a Arc<dyn Links>,
    /// Where to say which of its records have to be read.
    pub wants: &'a Wants,
    /// Where calls to it are counted.
    pub metrics: Option<&'a Metrics>,
}

/// Makes what sides are reached with, whenever a tenant starts or its manifest changes.
pub trait Dialects: Send + Sync {
    /// What this side is reached with; nothing of a side that is fed from elsewhere.
    ///
    /// # Errors
    /// If the manifest names a secret that is not there, or the like; the other sides go on.
    fn reach(&self, context: &Context<'_>) -> Result<Reach, ReachError>;
}

/// Why a side cannot be reached as the manifest says. It names no secret.
#[derive(Debug, thiserror::Error)]
#[error("side {side} cannot be reached: {why}")]
pub struct ReachError {
    /// The side.
    pub side: SideName,
    /// Why, in words for people.
    pub why: String,
}

/// Sides that the embedding program reaches by itself, by name.
#[derive(Default)]
pub struct InProcess(pub Vec<(SideName, Reach)>);

impl Dialects for InProcess {
    fn reach(&self, context: &Context<'_>) -> Result<Reach, ReachError> {
        let own = self.0.iter().find(|(side, _)| side == context.side);
        Ok(own.map(|(_, reach)| reach.clone()).unwrap_or_default())
    }
}

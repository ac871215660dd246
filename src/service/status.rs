//! How a tenant's service is, for people and programs; no values, no secrets.

use serde::Serialize;

use super::{alarm::Alarm, backfill::BackfillProgress, marks::ReconcileMark, reach::QuotaLeft};
use crate::{
    clock::Millis,
    engine::{Engine, EngineError},
    id::SideName,
};

/// How a tenant's service is.
#[derive(Clone, Debug, Serialize)]
pub struct TenantStatus {
    /// The tenant.
    pub tenant: String,
    /// The totals of its store.
    pub totals: Totals,
    /// Its sides that are reached.
    pub sides: Vec<SideStatus>,
    /// What a person should look at now.
    pub alarms: Vec<Alarm>,
}

/// The totals of a store.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Totals {
    /// The last sequence in the log.
    pub last: u64,
    /// What sides and persons said.
    pub events: u64,
    /// What was heard again.
    pub duplicates: u64,
    /// What only repeated our own writes.
    pub echoes: u64,
    /// Records.
    pub records: u64,
    /// Fields whose candidates differ.
    pub conflicts_open: u64,
    /// What waits for a person.
    pub parked: u64,
    /// Events whose base has not come yet.
    pub waiting: u64,
}

impl Totals {
    pub(super) fn of(engine: &Engine) -> Result<Self, EngineError> {
        let counts = engine.counts()?;
        Ok(Totals {
            last: engine.last().0,
            events: counts.events,
            duplicates: counts.duplicates,
            echoes: counts.echoes,
            records: counts.records,
            conflicts_open: counts.conflicts_open,
            parked: counts.parked,
            waiting: counts.waiting,
        })
    }
}

/// How one side is.
#[derive(Clone, Debug, Serialize)]
pub struct SideStatus {
    /// The side.
    pub side: SideName,
    /// When it was last heard of, by our clock.
    #[serde(rename = "heard_ms")]
    pub heard: Option<Millis>,
    /// How many records wait to be written.
    pub outbox: usize,
    /// Since when the longest of them waits.
    #[serde(rename = "outbox_since_ms")]
    pub outbox_since: Option<Millis>,
    /// Whether it is left alone for a while because calls failed.
    pub paused: bool,
    /// What is left of its quotas.
    pub quota: Vec<QuotaLeft>,
    /// How far the first reading of each kind is.
    pub backfill: Vec<BackfillProgress>,
    /// Its clock.
    pub clock: ClockStatus,
    /// What its last reconciliation came to.
    pub reconciled: ReconcileMark,
    /// Writes that it took since the service began.
    pub applied: u64,
    /// Writes that it refused.
    pub refused: u64,
    /// Writes that were put off and tried again.
    pub tried_again: u64,
    /// Writes of which nothing was known until they were read back.
    pub in_doubt: u64,
    /// Records read back because of those.
    pub read_back: u64,
    /// Calls for reading: pages of backfills, polls and reconciliations, and what was read back in these.
    pub reading_calls: u64,
}

/// A side's clock against ours.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ClockStatus {
    /// The offset in force, in milliseconds.
    #[serde(rename = "ahead_ms")]
    pub ahead: i64,
    /// The newest reading, in milliseconds.
    #[serde(rename = "measured_ms")]
    pub measured: Option<i64>,
}

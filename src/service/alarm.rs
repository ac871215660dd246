//! What a person should look at now: alarms that are raised once, stand as long as their cause does, and are cleared.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use crate::{clock::Millis, id::SideName};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// The side cannot be reached as the manifest says: a secret is not there, or the like.
    Unreachable,
    /// The side was not heard of for longer than the manifest allows.
    Stale,
    /// The side's clock is further off than the manifest allows.
    Clock,
    /// The side is left alone for a while, after calls that failed.
    Paused,
    /// The side refused to be read, and would again.
    Refused,
    /// Calls to the side show something that needs a person: it does not accept our token, say.
    Trouble,
}

impl AlarmKind {
    /// All of them.
    pub const ALL: [AlarmKind; 6] = [
        AlarmKind::Unreachable,
        AlarmKind::Stale,
        AlarmKind::Clock,
        AlarmKind::Paused,
        AlarmKind::Refused,
        AlarmKind::Trouble,
    ];

    /// One word for metrics.
    pub fn name(self) -> &'static str {
        match self {
            AlarmKind::Unreachable => "unreachable",
            AlarmKind::Stale => "stale",
            AlarmKind::Clock => "clock",
            AlarmKind::Paused => "paused",
            AlarmKind::Refused => "refused",
            AlarmKind::Trouble => "trouble",
        }
    }
}

/// An alarm that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// The side.
    pub side: SideName,
    /// What is wrong.
    pub kind: AlarmKind,
    /// Since when, by our clock.
    #[serde(rename = "since_ms")]
    pub since: Millis,
    /// In words for people, without values.
    pub text: String,
}

/// The alarms of a tenant.
#[derive(Default)]
pub(super) struct Alarms(Mutex<BTreeMap<(SideName, AlarmKind), Alarm>>);

impl Alarms {
    /// Raises an alarm; one that stands keeps its time and takes the new words.
    pub fn raise(&self, side: &SideName, kind: AlarmKind, now: Millis, text: String) {
        match self.standing().entry((side.clone(), kind)) {
            std::collections::btree_map::Entry::Occupied(mut stands) => stands.get_mut().text = text,
            std::collections::btree_map::Entry::Vacant(free) => {
                tracing::warn!(%side, alarm = kind.name(), text, "alarm");
                free.insert(Alarm { side: side.clone(), kind, since: now, text });
            }
        }
    }

    /// Clears an alarm whose cause has gone.
    pub fn clear(&self, side: &SideName, kind: AlarmKind) {
        if self.standing().remove(&(side.clone(), kind)).is_some() {
            tracing::info!(%side, alarm = kind.name(), "alarm over");
        }
    }

    /// Forgets the alarms of sides that are not among these.
    pub fn keep_only(&self, sides: &[SideName]) {
        self.standing().retain(|(side, _), _| sides.contains(side));
    }

    /// The alarms that stand, by side.
    pub fn all(&self) -> Vec<Alarm> {
        self.standing().values().cloned().collect()
    }

    fn standing(&self) -> MutexGuard<'_, BTreeMap<(SideName, AlarmKind), Alarm>> {
        // A map of plain values is whole whatever a thread that held it died of.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What a demo tells at its end.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Serialize, Serializer};

use super::{compare::Agreement, connector::Sent, world::Heard};
use crate::{
    id::{FieldName, RecordId},
    value::Value,
};

/// What a sync that sends every field would write: all mapped fields of the demo's manifest.
const FIELDS_MAPPED: u64 = 12;

/// What was ordered to go wrong, and how it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Told {
    /// Which side was away for how many simulated milliseconds.
    pub away: Vec<(String, i64)>,
    /// Whether the engine died while a side had taken a write and nobody had noted it.
    pub killed_mid_delivery: bool,
    /// Events replayed when it was opened again.
    pub replayed: u64,
    /// How long that open took, on the wall clock.
    pub reopened_ms: u64,
    /// How often everything was read back.
    pub reconciled: u64,
    /// Read-backs that failed and were made again.
    pub unread: usize,
    /// Whether both sides came to rest: nothing under way, nothing waiting.
    pub rested: bool,
    /// What a person decided.
    #[serde(serialize_with = "decided")]
    pub decisions: BTreeMap<(RecordId, FieldName), Value>,
}

fn decided<S: Serializer>(
    decisions: &BTreeMap<(RecordId, FieldName), Value>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(decisions.len() as u64)
}

/// What left for the sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Writes {
    /// Writes that took effect.
    pub sent: u64,
    /// Field values in them.
    pub values: u64,
    /// Writes that a side refused.
    pub refused: u64,
    /// Writes whose outcome was lost on the way back and had to be read back.
    pub unanswered: u64,
    /// Writes that a sync would have sent that sends every field for every edit.
    pub naive_sent: u64,
    /// Field values in those.
    pub naive_values: u64,
}

impl Writes {
    /// The sum over all sides, against one write of all fields for each edit.
    pub fn of(sides: impl Iterator<Item = Sent>, edits: u64) -> Self {
        let mut writes = Writes { naive_sent: edits, naive_values: edits * FIELDS_MAPPED, ..Writes::default() };
        for sent in sides {
            writes.sent += sent.writes;
            writes.values += sent.values;
            writes.refused += sent.refused;
            writes.unanswered += sent.unanswered;
        }
        writes
    }
}

/// From edit to shown on the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many edits were measured.
    pub measured: u64,
    /// On the wall clock, in microseconds: all that this machine did meanwhile.
    pub wall_us: Percentiles,
    /// On the simulated clock, in milliseconds: with the time on the way, late webhooks and absences.
    pub simulated_ms: Percentiles,
}

/// Two percentiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half are faster.
    pub p50: u64,
    /// All but one in a hundred are faster.
    pub p99: u64,
}

impl Percentiles {
    fn of(mut all: Vec<u64>) -> Self {
        all.sort_unstable();
        let at = |percent: usize| all.get((all.len() * percent / 100).min(all.len().saturating_sub(1))).copied();
        Percentiles { p50: at(50).unwrap_or(0), p99: at(99).unwrap_or(0) }
    }
}

impl Latency {
    /// From the measurements.
    pub fn of(wall: Vec<u64>, simulated: Vec<u64>) -> Self {
        let measured = wall.len() as u64;
        Latency { measured, wall_us: Percentiles::of(wall), simulated_ms: Percentiles::of(simulated) }
    }
}

/// All that the demo tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Records that live at the end.
    pub records: u64,
    /// Times that a user saved something.
    pub edits: u64,
    /// Fields that changed by it.
    pub words: u64,
    /// Webhooks that were heard.
    pub webhooks: Heard,
    /// Webhooks that never came.
    pub webhooks_lost: u64,
    /// Webhooks that came twice.
    pub webhooks_doubled: u64,
    /// Statements of sides and persons in the log.
    pub events: u64,
    /// Events in the log, with the engine's own.
    pub logged: u64,
    /// Statements that only repeated our own writes.
    pub echoes: u64,
    /// What still waits for a person.
    pub parked: u64,
    /// Conflicts that were decided, by rule.
    pub conflicts: BTreeMap<String, u64>,
    /// Fields whose candidates still differ; each is decided by its rule.
    pub conflicts_open: u64,
    /// What was ordered to go wrong.
    pub told: Told,
    /// What left for the sides.
    pub writes: Writes,
    /// How long it took.
    pub latency: Latency,
    /// Whether all say the same.
    pub agreement: Agreement,
    /// Whether the log, and derived state against it, are sound.
    pub is_sound: bool,
    /// Some conflicts, each in a sentence.
    pub sentences: Vec<(RecordId, FieldName, String)>,
    /// Where the store is.
    pub store: PathBuf,
    /// How long all of it took, on the wall clock.
    pub wall_ms: u64,
}

impl Report {
    /// Whether everything agrees and nothing is left over.
    pub fn is_well(&self) -> bool {
        self.agreement.differing == 0 && self.told.rested && self.is_sound
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { told, writes, latency, agreement, .. } = self;
        writeln!(f, "What happened (seed {})", self.seed)?;
        writeln!(f, "  {} edits by users of both sides, {} fields changed", self.edits, self.words)?;
        writeln!(
            f,
            "  {} webhooks heard, {} of them duplicates; {} more were lost and found by reading back",
            self.webhooks.new + self.webhooks.duplicates,
            self.webhooks.duplicates,
            self.webhooks_lost
        )?;
        for (side, away) in &told.away {
            writeln!(f, "  {side} was away for {} s", away / 1000)?;
        }
        let how = if told.killed_mid_delivery { ", in the middle of a delivery" } else { "" };
        writeln!(
            f,
            "  the engine was killed once{how}; opened again in {} ms, {} events replayed",
            told.reopened_ms, told.replayed
        )?;
        writeln!(f, "  {} events in the log, {} statements, {} of them echoes", self.logged, self.events, self.echoes)?;
        writeln!(f, "\nConflicts, by the rule that decided them")?;
        for (rule, count) in &self.conflicts {
            writeln!(f, "  {rule:<24} {count:>6}")?;
        }
        writeln!(f, "  {} were decided by a person at the end", told.decisions.len())?;
        writeln!(f, "\nWrites")?;
        writeln!(
            f,
            "  {} writes with {} values; sending every field for every edit: {} writes with {} values",
            writes.sent, writes.values, writes.naive_sent, writes.naive_values
        )?;
        writeln!(
            f,
            "  {} were refused and corrected, {} took effect without an answer and were settled by reading back",
            writes.refused, writes.unanswered
        )?;
        writeln!(f, "\nFrom an edit to the other side ({} edits measured)", latency.measured)?;
        let ms = |us: u64| us as f64 / 1000.0;
        writeln!(
            f,
            "  wall clock       p50 {:>9.1} ms   p99 {:>9.1} ms",
            ms(latency.wall_us.p50),
            ms(latency.wall_us.p99)
        )?;
        writeln!(
            f,
            "  simulated clock  p50 {:>9} ms   p99 {:>9} ms   (with networks, late webhooks, absences)",
            latency.simulated_ms.p50, latency.simulated_ms.p99
        )?;
        writeln!(f, "\nThree conflicts in a sentence")?;
        for (record, field, sentence) in &self.sentences {
            writeln!(f, "  {record} {field}: {sentence}")?;
        }
        writeln!(f, "\nAgreement of CRM, portal, engine and ledger")?;
        writeln!(
            f,
            "  {:.3} % of {} fields of {} records ({} deleted everywhere)",
            agreement.percent(),
            agreement.fields,
            agreement.records,
            agreement.deleted
        )?;
        for difference in &agreement.differences {
            writeln!(f, "  DIFFERS {difference}")?;
        }
        if !told.rested {
            writeln!(f, "  NOT AT REST: something still waits")?;
        }
        let sound = if self.is_sound { "sound" } else { "NOT SOUND" };
        writeln!(f, "  the log, and derived state against it: {sound}")?;
        let store = self.store.display();
        writeln!(f, "\nLook further")?;
        writeln!(f, "  syncline status  --store {store}")?;
        writeln!(f, "  syncline records --store {store} --json | head")?;
        if let Some((record, field, _)) = self.sentences.first() {
            writeln!(f, "  syncline history --store {store} {record} {field}")?;
            writeln!(f, "  syncline why     --store {store} {record} {field}")?;
        }
        writeln!(f, "  syncline verify  --store {store}")?;
        write!(f, "\n{:.1} s in all", self.wall_ms as f64 / 1000.0)
    }
}

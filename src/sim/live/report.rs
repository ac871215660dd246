//! What a life tells at its end.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Instant};

use serde::Serialize;
use serde_json::Value;

use super::{
    LiveError, Options,
    agree::Agreement,
    house::{FIELDS, House},
    script::Script,
};
use crate::history::Principal;

/// What left for the sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Writes {
    /// Field values that changed something on the CRM.
    pub crm_values: u64,
    /// Writes that the portal took.
    pub portal_writes: u64,
    /// Field values in these.
    pub portal_values: u64,
    /// Values that were written though the side showed them already.
    pub needless: u64,
    /// Field values of a sync that sends every field for every edit.
    pub naive_values: u64,
}

/// All that a life tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Times that a user saved something.
    pub edits: u64,
    /// Fields that were set by it.
    pub words: u64,
    /// Webhooks that the CRM's notifications and the portal's messages came to.
    pub webhooks: u64,
    /// Webhooks that never came.
    pub webhooks_lost: u64,
    /// Faults that happened, by side and name.
    pub faults: BTreeMap<String, u64>,
    /// Statements of sides and persons in the log.
    pub events: u64,
    /// What was heard again.
    pub duplicates: u64,
    /// What only repeated our own writes.
    pub echoes: u64,
    /// Fields whose candidates still differ, by the rule that decided each.
    pub conflicts: BTreeMap<String, u64>,
    /// What waits for a person.
    pub parked: u64,
    /// Links that wait for a person.
    pub suggestions: u64,
    /// How often the service was killed, and how many events were replayed after that.
    pub killed: (u64, u64),
    /// Differences that were found, and mended, when everything was read back.
    pub repaired: u64,
    /// Differences that were found when it was read back once more.
    pub left_over: u64,
    /// Whether everything came to rest.
    pub rested: bool,
    /// What left for the sides.
    pub writes: Writes,
    /// Whether all show the same.
    pub agreement: Agreement,
    /// Whether the log, and derived state against it, are sound.
    pub is_sound: bool,
    /// Where the store is.
    pub store: PathBuf,
    /// How long all of it took, in milliseconds.
    pub wall_ms: u64,
}

impl Report {
    /// Whether everything agrees and nothing is left over.
    pub fn is_well(&self) -> bool {
        self.agreement.is_whole() && self.rested && self.left_over == 0 && self.is_sound
    }
}

/// What the run itself knows.
pub(super) struct Done {
    pub killed: u64,
    pub replayed: u64,
    pub rested: bool,
    pub repaired: u64,
    pub left_over: u64,
    pub began: Instant,
}

/// Gathers the report.
pub(super) fn report(
    options: &Options,
    house: &House,
    script: &Script,
    agreement: Agreement,
    done: Done,
) -> Result<Report, LiveError> {
    let engine = house.tenant().engine();
    let (counts, crm, portal) = (engine.counts()?, house.account.counts(), house.portal.counts());
    let number = |of: &Value| of.as_u64().unwrap_or(0);
    let mut faults = BTreeMap::new();
    for (side, counts) in [("crm", &crm), ("portal", &portal)] {
        for (name, times) in counts["faults"].as_object().into_iter().flatten() {
            faults.insert(format!("{side} {name}"), number(times));
        }
    }
    let mut conflicts: BTreeMap<String, u64> = BTreeMap::new();
    for verdict in engine.read(&Principal::operator()).conflicts()? {
        *conflicts.entry(verdict.rule).or_default() += 1;
    }
    let writes = Writes {
        crm_values: number(&crm["values_changed"]),
        portal_writes: number(&portal["writes"]),
        portal_values: number(&portal["values"]),
        needless: number(&crm["values_same"]) + number(&portal["needless"]),
        naive_values: script.edits * FIELDS.len() as u64,
    };
    Ok(Report {
        seed: options.seed,
        edits: script.edits,
        words: script.words,
        webhooks: number(&crm["hooks"]["made"]) + number(&portal["posts"]["made"]),
        webhooks_lost: number(&crm["hooks"]["lost"]) + number(&portal["posts"]["lost"]),
        faults,
        events: counts.events,
        duplicates: counts.duplicates,
        echoes: counts.echoes,
        conflicts,
        parked: counts.parked,
        suggestions: engine.suggestions()?.len() as u64,
        killed: (done.killed, done.replayed),
        repaired: done.repaired,
        left_over: done.left_over,
        rested: done.rested,
        writes,
        agreement,
        is_sound: engine.audit(false, &|_, _, _| {})?.is_sound(),
        store: house.store.clone(),
        wall_ms: u64::try_from(done.began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { writes, agreement, .. } = self;
        writeln!(f, "What happened, over HTTP (seed {})", self.seed)?;
        writeln!(f, "  {} edits by users of both sides, {} fields set", self.edits, self.words)?;
        writeln!(f, "  {} webhooks made, {} of them never sent", self.webhooks, self.webhooks_lost)?;
        writeln!(
            f,
            "  {} statements in the log, {} of them echoes of our own writes; {} were heard twice",
            self.events, self.echoes, self.duplicates
        )?;
        writeln!(f, "  the service was killed {} times, and replayed {} events", self.killed.0, self.killed.1)?;
        writeln!(f, "  {} differences found and mended by reading everything back", self.repaired)?;
        writeln!(f, "\nWhat went wrong on order")?;
        for (fault, times) in &self.faults {
            writeln!(f, "  {fault:<24} {times:>6}")?;
        }
        writeln!(f, "\nFields whose candidates differ, by the rule that decides them")?;
        for (rule, count) in &self.conflicts {
            writeln!(f, "  {rule:<24} {count:>6}")?;
        }
        writeln!(f, "\nWrites")?;
        writeln!(
            f,
            "  {} values to the CRM, {} to the portal, {} of them needless; sending every field for every edit: {}",
            writes.crm_values, writes.portal_values, writes.needless, writes.naive_values
        )?;
        writeln!(f, "\nAgreement of CRM, portal and engine")?;
        writeln!(
            f,
            "  {:.3} % of {} fields of {} people, {} missing, {} doubled; {} overruled words of which nothing is known",
            agreement.percent(),
            agreement.fields,
            agreement.records,
            agreement.missing,
            agreement.doubled,
            agreement.lost
        )?;
        for difference in &agreement.differences {
            writeln!(f, "  DIFFERS {difference}")?;
        }
        if !self.rested {
            writeln!(f, "  NOT AT REST: something still waits")?;
        }
        if self.left_over > 0 {
            writeln!(f, "  NOT MENDED: {} differences were found when all was read back again", self.left_over)?;
        }
        let sound = if self.is_sound { "sound" } else { "NOT SOUND" };
        writeln!(f, "  the log, and derived state against it: {sound}")?;
        writeln!(f, "\nLook further")?;
        writeln!(f, "  syncline status --store {}", self.store.display())?;
        write!(f, "\n{:.1} s in all", self.wall_ms as f64 / 1000.0)
    }
}

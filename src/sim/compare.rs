//! The end of a pretend world: do all sides, the engine and the ledger say the same, field by field?

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    ledger::{Due, Findings},
    world::{Place, World},
};
use crate::{
    engine::EngineError,
    history::Principal,
    id::{FieldName, RecordId},
    value::Value,
};

/// The most differences that are told one by one.
const TOLD_MOST: usize = 20;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Agreement {
    /// Records that were compared; deleted ones have to be gone everywhere.
    pub records: u64,
    /// Of these, the deleted ones.
    pub deleted: u64,
    /// Fields that were compared, existence among them.
    pub fields: u64,
    /// Fields on which not all say the same.
    pub differing: u64,
    /// Values that a write of ours brought to a side and that no user had said.
    pub strays: u64,
    /// The first differences, in words.
    pub differences: Vec<String>,
}

impl Agreement {
    /// How many of a hundred fields agree.
    pub fn percent(&self) -> f64 {
        if self.fields == 0 { 100.0 } else { 100.0 * (self.fields - self.differing) as f64 / self.fields as f64 }
    }

    fn differ(&mut self, what: impl FnOnce() -> String) {
        self.differing += 1;
        if self.differences.len() < TOLD_MOST {
            self.differences.push(what());
        }
    }
}

/// Compares what the sides that are written to show with what the engine resolved and with what the ledger says is due.
///
/// # Errors
/// If the engine cannot be read.
pub fn compare(
    world: &World,
    findings: &Findings,
    decisions: &BTreeMap<(RecordId, FieldName), Value>,
) -> Result<Agreement, EngineError> {
    let mut agreement = Agreement::default();
    let reader = world.engine().read(&Principal::operator());
    let edition = world.engine().edition()?;
    let is_told = |place: &&Place| edition.sides.get(&place.name).is_some_and(|side| side.connected);
    let places: Vec<&Place> = world.places.iter().filter(is_told).collect();
    let records: BTreeSet<&RecordId> = findings.due.keys().map(|(record, _)| record).collect();
    for record in records {
        agreement.records += 1;
        agreement.fields += 1;
        let is_gone = findings.gone.contains(record);
        agreement.deleted += u64::from(is_gone);
        let view = reader.get(record)?.filter(|view| view.existence == crate::merge::Existence::Alive);
        let there: Vec<bool> = places.iter().map(|place| place.side().has(record)).collect();
        if view.is_some() == is_gone || there.contains(&is_gone) {
            agreement.differ(|| format!("{record}: due {}, the sides have it: {there:?}", existence(!is_gone)));
        }
        if is_gone {
            continue;
        }
        for ((_, field), due) in findings.due.range((record.clone(), least())..).take_while(|((of, _), _)| of == record)
        {
            agreement.fields += 1;
            let shown: Vec<Value> = places.iter().map(|place| place.side().shows(record, field)).collect();
            let resolved = view.as_ref().and_then(|view| view.value(field)).cloned().unwrap_or_else(Value::null);
            let due = match (due, decisions.get(&(record.clone(), field.clone()))) {
                (Due::Person, Some(decided)) => Due::Value(decided.clone()),
                (due, _) => due.clone(),
            };
            let agrees =
                due != Due::Person && due.is_met_by(&resolved) && shown.iter().all(|value| same(value, &resolved));
            if !agrees {
                agreement.differ(|| {
                    let each = places.iter().zip(&shown).map(|(place, shown)| format!(", {} {shown}", place.name));
                    format!("{record} {field}: due {due}, engine {resolved}{}", each.collect::<String>())
                });
            }
        }
    }
    for (record, field, value) in &findings.strays {
        let merged =
            matches!(findings.due.get(&(record.clone(), field.clone())), Some(Due::Elements(_) | Due::Lines(_)));
        if !merged {
            agreement.strays += 1;
            agreement.differ(|| format!("{record} {field}: nobody said {value}"));
        }
    }
    Ok(agreement)
}

/// Equal, where a list without order may have any.
fn same(a: &Value, b: &Value) -> bool {
    a == b || super::ledger::elements(a) == super::ledger::elements(b) && !super::ledger::elements(a).is_empty()
}

fn existence(exists: bool) -> &'static str {
    if exists { "a record" } else { "none" }
}

/// The name before all others.
fn least() -> FieldName {
    FieldName::new(" ").expect("a good name")
}

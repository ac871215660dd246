//! Whether both sides and the engine show the same, and whether that is what users said.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{
    LiveError,
    house::{FIELDS, House, Mapped},
    ledger::{Ledger, set_text},
};
use crate::{
    history::{Change, Principal, Standing},
    id::RecordId,
    merge::Existence,
    value,
};

/// The most differences that are told one by one.
const TOLD_MOST: usize = 20;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Agreement {
    /// People who were compared.
    pub records: u64,
    /// Fields that were compared.
    pub fields: u64,
    /// Fields on which not all say the same, or that show what nobody said last.
    pub differing: u64,
    /// People whom a side or the engine lacks.
    pub missing: u64,
    /// Records that a side or the engine has besides another one of the same person.
    pub doubled: u64,
    /// Last words of a side's users that nobody shows and of which the engine cannot tell what became of them.
    pub lost: u64,
    /// The first differences, in words.
    pub differences: Vec<String>,
}

impl Agreement {
    /// How many of a hundred fields agree.
    pub fn percent(&self) -> f64 {
        if self.fields == 0 { 100.0 } else { 100.0 * (self.fields - self.differing) as f64 / self.fields as f64 }
    }

    /// Whether everything agrees, and nobody is lacking or doubled.
    pub fn is_whole(&self) -> bool {
        self.differing == 0 && self.missing == 0 && self.doubled == 0 && self.lost == 0
    }

    fn tell(&mut self, what: String) {
        if self.differences.len() < TOLD_MOST {
            self.differences.push(what);
        }
    }
}

/// What somebody shows of a person: our names of fields, and values as one text.
type Shown = BTreeMap<&'static str, String>;
/// What somebody shows of everybody, by address; two records of one address are two.
type All = BTreeMap<String, Vec<Shown>>;

/// Compares what both sides and the engine show with each other and with the ledger.
pub(super) fn compare(house: &House, ledger: &Ledger) -> Result<Agreement, LiveError> {
    let (crm, portal, (engine, known)) = (crm(house), portal(house), engine(house)?);
    let mut found = Agreement { records: ledger.people.len() as u64, ..Agreement::default() };
    for address in &ledger.people {
        let mut of_all = Vec::new();
        for (name, all) in [("crm", &crm), ("portal", &portal), ("engine", &engine)] {
            let shown = all.get(address).map(Vec::as_slice).unwrap_or_default();
            found.doubled += shown.len().saturating_sub(1) as u64;
            if shown.len() != 1 {
                found.tell(format!("{name} has {} records of {address}", shown.len()));
            }
            match shown.first() {
                Some(shown) => of_all.push((name, shown)),
                None => found.missing += 1,
            }
        }
        for field in FIELDS {
            found.fields += 1;
            let show = |shown: &Shown| shown.get(field.ours).cloned().unwrap_or_default();
            let values: Vec<(&str, String)> = of_all.iter().map(|(name, shown)| (*name, show(shown))).collect();
            let agree = values.windows(2).all(|two| two[0].1 == two[1].1);
            let due = ledger.due(address, field.ours);
            let is_due = match (due.as_slice(), values.first()) {
                (_, None) => true,
                ([], Some((_, value))) => value.is_empty(),
                ([one, other], Some(_)) if one != other && matches!(field.ours, "interests" | "notes") => true,
                (due, Some((_, value))) => due.contains(&value.as_str()),
            };
            if !agree || !is_due {
                found.differing += 1;
                found.tell(format!("{address} {}: {values:?}, users last said {due:?}", field.ours));
            }
            let shown = values.first().map(|(_, value)| value.as_str());
            let overruled = due.iter().filter(|word| Some(**word) != shown);
            for word in overruled.filter(|_| !matches!(field.ours, "interests" | "notes")) {
                let record = known.get(address);
                if !record.map_or(Ok(false), |record| is_told(house, record, field.ours, word))? {
                    found.lost += 1;
                    found.tell(format!("{address} {}: {word:?} was said and is nowhere", field.ours));
                }
            }
        }
    }
    for (name, all) in [("crm", &crm), ("portal", &portal), ("engine", &engine)] {
        for address in all.keys().filter(|address| !ledger.people.contains(*address)) {
            found.doubled += 1;
            found.tell(format!("{name} has {address:?}, whom nobody entered"));
        }
    }
    Ok(found)
}

/// A value as one text, whatever it is: sets sorted, nothing as nothing.
fn text(field: &str, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if field == "interests" => set_text(text.split(';')),
        Value::String(text) => text.clone(),
        Value::Array(elements) => set_text(elements.iter().filter_map(Value::as_str)),
        other => other.to_string(),
    }
}

fn put(all: &mut All, shown: Shown) {
    all.entry(shown.get("email").cloned().unwrap_or_default()).or_default().push(shown);
}

fn crm(house: &House) -> All {
    let state = house.account.state();
    let records = state["kinds"]["contacts"]["records"].as_array().into_iter().flatten();
    let mut all = All::new();
    for record in records.filter(|record| record["archived"] == false) {
        put(&mut all, FIELDS.iter().map(|f| (f.ours, text(f.ours, &record["properties"][f.crm]))).collect());
    }
    all
}

fn portal(house: &House) -> All {
    let state = house.portal.state();
    let mut all = All::new();
    for record in state["customer"].as_object().into_iter().flat_map(|records| records.values()) {
        if record["deleted"] == false && record["into"].is_null() {
            put(&mut all, FIELDS.iter().map(|f| (f.ours, text(f.ours, &record["fields"][f.portal]))).collect());
        }
    }
    all
}

/// Whether the history of a field has a word that did not win, and says what became of it.
fn is_told(house: &House, record: &RecordId, field: &str, word: &str) -> Result<bool, LiveError> {
    let reader = house.tenant().engine().read(&Principal::operator());
    let changes = reader.history(record, Some(field))?.unwrap_or_default();
    let same = |change: &Change| change.kind.is_said() && plain(field, &change.new) == word;
    Ok(changes
        .iter()
        .any(|change| same(change) && matches!(change.standing, Standing::Overruled | Standing::Superseded)))
}

fn plain(field: &str, value: &value::Value) -> String {
    text(field, &serde_json::from_str(&value.to_json()).unwrap_or_default())
}

/// What the engine shows of everybody, and its records by address.
fn engine(house: &House) -> Result<(All, BTreeMap<String, RecordId>), LiveError> {
    let (mut all, mut known) = (All::new(), BTreeMap::new());
    for record in house.tenant().engine().read(&Principal::operator()).records() {
        let record = record?;
        if record.existence != Existence::Alive {
            continue;
        }
        let show = |field: &Mapped| record.value(field.ours).map(|value| plain(field.ours, value)).unwrap_or_default();
        let shown: Shown = FIELDS.iter().map(|field| (field.ours, show(field))).collect();
        known.insert(shown.get("email").cloned().unwrap_or_default(), record.record.clone());
        put(&mut all, shown);
    }
    Ok((all, known))
}

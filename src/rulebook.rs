//! The rulebook: which rules and clock offsets were in force at which time.
//!
//! Manifests and measured clocks are events, so the rulebook is a function of the tenant's own line in
//! the log, and every fold of a record reads it and nothing else about the configuration.

use std::collections::{BTreeMap, HashMap, HashSet};

use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Millis,
    field::{DeleteRule, FieldSpec, Rule},
    id::{SaidId, SideName},
};

/// The register of a record's existence: a word on it is true (made, restored) or false (deleted).
pub const EXISTENCE: &str = "\u{2203}";
/// The name under which people meet that register.
pub const EXISTENCE_NAME: &str = "existence";
/// The side that stands for a person who settles conflicts; no manifest may name a side like this.
pub const PERSON: &str = "person";
/// The entry that stands for every kind, or every field, that has none of its own.
pub const ANY: &str = "*";

/// What one manifest says of merging, in the form that folds read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    /// The record kinds by name; [`ANY`] stands for those not named.
    pub kinds: BTreeMap<String, KindSpec>,
    /// The sides by name.
    pub sides: BTreeMap<SideName, SideSpec>,
}

/// What a manifest says of a record kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindSpec {
    /// The fields by name; [`ANY`] stands for those not named.
    pub fields: BTreeMap<String, FieldSpec>,
    /// What becomes of a record deleted on one side and edited on another.
    pub deletes: DeleteRule,
    /// The sides that hold records of this kind; `None`: all.
    pub sides: Option<Vec<SideName>>,
}

/// What a manifest says of a side, as far as folds care.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideSpec {
    /// Whether writes go out to it; without a connector a side has no outbox and no shadow.
    pub connected: bool,
    /// The resolution of its clock, in milliseconds.
    pub resolution: u32,
    /// Whether it names records by ids of its own, so that one record has as many ids as it is on sides.
    pub own_ids: bool,
}

impl Default for SideSpec {
    fn default() -> Self {
        SideSpec { connected: false, resolution: 1, own_ids: false }
    }
}

impl Edition {
    /// The kind's entry, or the one for any kind.
    pub fn kind(&self, kind: &str) -> Option<&KindSpec> {
        self.kinds.get(kind).or_else(|| self.kinds.get(ANY))
    }

    /// The field's entry, or its kind's for any field.
    pub fn field(&self, kind: &str, field: &str) -> Option<&FieldSpec> {
        let fields = &self.kind(kind)?.fields;
        fields.get(field).or_else(|| fields.get(ANY))
    }

    /// Whether writes of records of this kind go out to the side.
    pub fn projects(&self, kind: &str, side: &str) -> bool {
        let connected = self.sides.get(side).is_some_and(|spec| spec.connected);
        connected
            && self
                .kind(kind)
                .is_some_and(|spec| spec.sides.as_ref().is_none_or(|sides| sides.iter().any(|name| **name == *side)))
    }
}

/// All editions and clock offsets of a tenant.
#[derive(Clone, Debug, Default)]
pub struct Rulebook {
    /// Editions by the time from which they hold; at equal times the greater text is the later.
    editions: Vec<(Millis, String, Edition)>,
    /// For each side, by our time of measuring: what its clock read, and how far it was ahead of ours, in milliseconds.
    clocks: HashMap<SideName, Vec<(Millis, i64)>, FxBuildHasher>,
    /// What counts for nothing because the same name was given, elsewhere, to a smaller content.
    void: HashSet<SaidId, FxBuildHasher>,
}

impl Rulebook {
    /// A rulebook that has held one edition from the beginning.
    pub fn of(edition: Edition) -> Self {
        let mut book = Rulebook::default();
        book.add_edition(Millis(i64::MIN), "", edition);
        book
    }

    /// Adds a manifest's rules, in force from `from`; a repetition changes nothing.
    pub fn add_edition(&mut self, from: Millis, text: &str, edition: Edition) {
        let at = self.editions.partition_point(|(time, other, _)| (*time, other.as_str()) < (from, text));
        let known = self.editions.get(at).is_some_and(|(time, other, _)| *time == from && other == text);
        if !known {
            self.editions.insert(at, (from, text.to_owned(), edition));
        }
    }

    /// Adds a measured offset of a side's clock, in force from that reading of it; of those measured at one time the greater
    /// counts.
    pub fn add_clock(&mut self, side: &SideName, from: Millis, ahead: i64) {
        let clocks = self.clocks.entry(side.clone()).or_default();
        // A clock that was put back reads less than before, and what was measured last counts all the same.
        let measured = |(from, ahead): (Millis, i64)| (from.plus(-ahead), ahead);
        let at = clocks.partition_point(|known| measured(*known) < measured((from, ahead)));
        if clocks.get(at) != Some(&(from, ahead)) {
            clocks.insert(at, (from, ahead));
        }
    }

    /// Takes a statement out of effect: its name was used, on another record, for a smaller content. Answers whether it was in effect.
    pub fn add_void(&mut self, said: SaidId) -> bool {
        self.void.insert(said)
    }

    /// Puts a statement into effect again: a copy of it turned up whose content is smaller still. Answers whether it was out of it.
    pub fn remove_void(&mut self, said: &SaidId) -> bool {
        self.void.remove(said)
    }

    /// Whether a statement is out of effect.
    pub fn is_void(&self, said: &SaidId) -> bool {
        !self.void.is_empty() && self.void.contains(said)
    }

    /// The rules in force at a corrected time; before the first edition, the first.
    ///
    /// # Panics
    /// If no edition was added: a store logs its first manifest before anything else.
    pub fn at(&self, time: Millis) -> &Edition {
        let after = self.editions.partition_point(|(from, _, _)| *from <= time);
        &self.editions[after.saturating_sub(1)].2
    }

    /// Whether any edition merges the field, so that all its words are needed to resolve it.
    pub fn may_merge(&self, kind: &str, field: &str) -> bool {
        let merges = |edition: &Edition| edition.field(kind, field).is_some_and(|spec| spec.rule == Rule::Merge);
        self.editions.iter().any(|(_, _, edition)| merges(edition))
    }

    /// The newest rules.
    ///
    /// # Panics
    /// As [`Rulebook::at`].
    pub fn newest(&self) -> &Edition {
        &self.editions.last().expect("a store logs its first manifest first").2
    }

    /// The rulebook that would be, had one edition held from the beginning.
    pub fn alone(&self, edition: Edition) -> Rulebook {
        Rulebook { editions: vec![(Millis(i64::MIN), String::new(), edition)], ..self.clone() }
    }

    /// The time from which the newest rules hold.
    pub fn newest_from(&self) -> Millis {
        self.editions.last().map_or(Millis(i64::MIN), |(from, _, _)| *from)
    }

    /// The text of the newest manifest; `None` before the first.
    pub fn newest_text(&self) -> Option<&str> {
        self.editions.last().map(|(_, text, _)| text.as_str())
    }

    /// Whether there is any edition.
    pub fn is_empty(&self) -> bool {
        self.editions.is_empty()
    }

    /// A side's time, corrected to ours by the offset that was in force then.
    pub fn corrected(&self, side: &str, said_at: Millis) -> Millis {
        said_at.plus(-self.ahead(side, said_at))
    }

    /// Our time as that side's clock would show it.
    pub fn on_side(&self, side: &str, ours: Millis) -> Millis {
        let newest = self.clocks.get(side).and_then(|clocks| clocks.last());
        ours.plus(newest.map_or(0, |(_, ahead)| *ahead))
    }

    fn ahead(&self, side: &str, said_at: Millis) -> i64 {
        let Some(clocks) = self.clocks.get(side) else { return 0 };
        // What a clock that was put back has read twice is taken for the later one.
        clocks.iter().rev().find(|(from, _)| *from <= said_at).map_or(0, |(_, ahead)| *ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_holds_from_its_measuring_on() {
        let side = SideName::new("crm").expect("good");
        let mut book = Rulebook::of(Edition::default());
        book.add_clock(&side, Millis(100), 7);
        book.add_clock(&side, Millis(200), 0);
        let corrected = [99, 100, 199, 200].map(|at| book.corrected("crm", Millis(at)).0);
        assert_eq!(corrected, [99, 93, 192, 200]);
        assert_eq!(book.corrected("portal", Millis(150)), Millis(150));
    }

    #[test]
    fn a_clock_that_was_put_back_is_trusted_from_then_on_although_it_reads_less() {
        let side = SideName::new("crm").expect("good");
        for turned in [false, true] {
            let mut book = Rulebook::of(Edition::default());
            // Seven minutes fast; five minutes later it is set right.
            let mut measured = vec![(Millis(420_000), 420_000), (Millis(300_000), 0)];
            if turned {
                measured.reverse();
            }
            measured.into_iter().for_each(|(from, ahead)| book.add_clock(&side, from, ahead));
            assert_eq!(book.corrected("crm", Millis(600_000)), Millis(600_000));
            assert_eq!(book.on_side("crm", Millis(600_000)), Millis(600_000));
        }
    }

    #[test]
    fn rules_hold_from_their_time_on_in_whatever_order_they_are_heard() {
        let edition =
            |name: &str| Edition { kinds: [(name.to_owned(), KindSpec::default())].into(), sides: BTreeMap::new() };
        let mut book = Rulebook::default();
        book.add_edition(Millis(200), "b", edition("b"));
        book.add_edition(Millis(100), "a", edition("a"));
        book.add_edition(Millis(200), "b", edition("b"));
        for (at, name) in [(0, "a"), (100, "a"), (199, "a"), (200, "b"), (900, "b")] {
            assert!(book.at(Millis(at)).kinds.contains_key(name), "at {at}");
        }
    }
}

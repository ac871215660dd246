//! The outbox's rows: which records are not in agreement with which side, and which of them is next.
//!
//! Each side's rows are kept in the order in which they are handed out, so that who asks for the next few does not walk
//! over a backfill of a million.

use std::collections::{BTreeMap, BTreeSet};

use super::outbox::Row;
use crate::{
    clock::Millis,
    id::{RecordId, SideName},
};

/// A side, and a record that is not in agreement with it.
pub(super) type Key = (SideName, RecordId);

/// Rows by side and record.
#[derive(Default)]
pub(super) struct Rows {
    sides: BTreeMap<SideName, OfSide>,
}

#[derive(Default)]
struct OfSide {
    rows: BTreeMap<RecordId, Row>,
    /// Those that are not handed out, by when they may be.
    by_time: BTreeSet<(Millis, RecordId)>,
    /// Of these the ones whose time has come, in the order in which they go: bulk last, then who waits longest.
    ready: BTreeSet<(bool, Millis, RecordId)>,
    /// Up to where `by_time` has been taken into `ready`.
    ready_until: Option<Millis>,
}

impl OfSide {
    fn index(&mut self, record: &RecordId, row: &Row) {
        if row.busy {
            return;
        }
        self.by_time.insert((row.not_before, record.clone()));
        if self.ready_until.is_some_and(|until| row.not_before <= until) {
            self.ready.insert((row.bulk, row.since, record.clone()));
        }
    }

    fn unindex(&mut self, record: &RecordId, row: &Row) {
        self.by_time.remove(&(row.not_before, record.clone()));
        self.ready.remove(&(row.bulk, row.since, record.clone()));
    }

    /// Lets the rows whose time has come by `now` take their places among those that are ready.
    fn pass(&mut self, now: Millis) {
        if self.ready_until.is_some_and(|until| until >= now) {
            return;
        }
        let come = self.by_time.iter().take_while(|(time, _)| *time <= now);
        let until = self.ready_until;
        for (_, record) in come.skip_while(|(time, _)| until.is_some_and(|until| *time <= until)) {
            let row = &self.rows[record];
            self.ready.insert((row.bulk, row.since, record.clone()));
        }
        self.ready_until = Some(now);
    }
}

impl Rows {
    pub fn get(&self, (side, record): &Key) -> Option<&Row> {
        self.sides.get(side)?.rows.get(record)
    }

    /// Puts a row in, in place of the one that was there.
    pub fn insert(&mut self, (side, record): Key, row: Row) {
        let of = self.sides.entry(side).or_default();
        if let Some(old) = of.rows.get(&record).cloned() {
            of.unindex(&record, &old);
        }
        of.index(&record, &row);
        of.rows.insert(record, row);
    }

    pub fn remove(&mut self, (side, record): &Key) -> Option<Row> {
        let of = self.sides.get_mut(side)?;
        let row = of.rows.remove(record)?;
        of.unindex(record, &row);
        Some(row)
    }

    /// Takes a row out to be changed and put in again; a new one where there is none.
    pub fn take(&mut self, key: &Key, now: Millis) -> Row {
        self.remove(key).unwrap_or_else(|| Row::since(now))
    }

    /// The sides that a record is not in agreement with.
    pub fn sides_of(&self, record: &RecordId) -> Vec<SideName> {
        let has = self.sides.iter().filter(|(_, of)| of.rows.contains_key(record));
        has.map(|(side, _)| side.clone()).collect()
    }

    /// The rows of a side.
    pub fn of_side(&self, side: &str) -> impl Iterator<Item = &Row> {
        self.sides.get(side).into_iter().flat_map(|of| of.rows.values())
    }

    /// When something that is not handed out is next due for a side.
    pub fn next_due(&self, side: &str) -> Option<Millis> {
        self.sides.get(side)?.by_time.first().map(|(time, _)| *time)
    }

    /// The records that are due for a side, in the order in which they go, and no more than `most`.
    pub fn due(&mut self, side: &str, now: Millis, most: usize) -> Vec<RecordId> {
        let Some(of) = self.sides.get_mut(side) else { return Vec::new() };
        of.pass(now);
        // A clock that was set back leaves some that are ready before their time.
        let due = of.ready.iter().filter(|(_, _, record)| of.rows[record].not_before <= now);
        due.map(|(_, _, record)| record.clone()).take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(record: u8) -> Key {
        let record = RecordId::new(&format!("contact/{record}")).expect("a good id");
        (SideName::new("crm").expect("a good name"), record)
    }

    fn some_row() -> impl Strategy<Value = Row> {
        (0..20_i64, 0..40_i64, any::<bool>(), any::<bool>()).prop_map(|(since, not_before, busy, bulk)| Row {
            not_before: Millis(not_before),
            busy,
            bulk,
            ..Row::since(Millis(since))
        })
    }

    #[derive(Clone, Debug)]
    enum Act {
        Insert(u8, Row),
        Remove(u8),
        Due(i64),
    }

    fn some_acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            4 => (0..12_u8, some_row()).prop_map(|(record, row)| Act::Insert(record, row)),
            1 => (0..12_u8).prop_map(Act::Remove),
            2 => (0..50_i64).prop_map(Act::Due),
        ];
        prop::collection::vec(act, 0..60)
    }

    proptest! {
        #[test]
        fn what_is_due_is_what_a_plain_walk_over_all_rows_finds(acts in some_acts(), most in 0..8_usize) {
            let (mut rows, mut plain) = (Rows::default(), BTreeMap::new());
            for act in acts {
                match act {
                    Act::Insert(record, row) => {
                        rows.insert(key(record), row.clone());
                        plain.insert(key(record).1, row);
                    }
                    Act::Remove(record) => prop_assert_eq!(rows.remove(&key(record)), plain.remove(&key(record).1)),
                    Act::Due(now) => {
                        let is_due = |row: &Row| !row.busy && row.not_before <= Millis(now);
                        let due = plain.iter().filter(|(_, row)| is_due(row));
                        let mut due: Vec<_> = due.map(|(record, row)| (row.bulk, row.since, record.clone())).collect();
                        due.sort();
                        let due: Vec<_> = due.into_iter().map(|(_, _, record)| record).take(most).collect();
                        prop_assert_eq!(rows.due("crm", Millis(now), most), due);
                    }
                }
                let next = plain.values().filter(|row| !row.busy).map(|row| row.not_before).min();
                prop_assert_eq!(rows.next_due("crm"), next);
                prop_assert_eq!(rows.of_side("crm").count(), plain.len());
            }
        }
    }
}

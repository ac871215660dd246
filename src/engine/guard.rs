//! The last guard against loops: a field that changes hands between sides too often is parked.

use std::collections::{HashMap, VecDeque};

use crate::{
    clock::Millis,
    id::{FieldName, RecordId, SideName},
    manifest::Manifest,
    merge::{Heard, Record},
};

/// So many records are watched before those that have come to rest are forgotten.
const RECORDS_MAX: usize = 10_000;

/// Which side had the last word on a field, and when it changed hands, by our clock.
struct Flips {
    side: SideName,
    at: VecDeque<Millis>,
}

/// Watches how often fields change hands. Nothing of it is kept on disk: a loop that outlives a restart shows again.
#[derive(Default)]
pub(super) struct LoopGuard {
    flips: HashMap<RecordId, HashMap<FieldName, Flips>>,
}

impl LoopGuard {
    /// Notes what an event did to its record, which has taken it in.
    pub fn note(&mut self, heard: &Heard, record: &Record, manifest: &Manifest, now: Millis) {
        let header = &heard.event.header;
        let Some(side) = manifest.side(&header.origin.side).filter(|_| header.kind.is_said()) else { return };
        let within = i64::try_from(side.cooldown.within.as_millis()).unwrap_or(i64::MAX);
        let won = |field: &&FieldName| record.field(field).is_some_and(|field| field.winner().said == header.said);
        for field in header.fields.iter().filter(won) {
            let fields = self.flips.entry(header.record.clone()).or_default();
            let flips = fields
                .entry(field.clone())
                .or_insert_with(|| Flips { side: header.origin.side.clone(), at: VecDeque::new() });
            if flips.side != header.origin.side {
                flips.side = header.origin.side.clone();
                flips.at.push_back(now);
            }
            while flips.at.front().is_some_and(|at| now.0.saturating_sub(at.0) > within) {
                flips.at.pop_front();
            }
        }
        if self.flips.len() > RECORDS_MAX {
            self.flips.retain(|_, fields| fields.values().any(|flips| !flips.at.is_empty()));
        }
    }

    /// The fields of a record that changed hands more often than their side's manifest entry allows; they count anew from here.
    pub fn tripped(&mut self, record: &RecordId, manifest: &Manifest) -> Vec<FieldName> {
        let Some(fields) = self.flips.get_mut(record) else { return Vec::new() };
        let limit = |side: &str| manifest.side(side).map_or(usize::MAX, |side| side.cooldown.flips as usize);
        let over = |(field, flips): (&FieldName, &Flips)| (flips.at.len() > limit(&flips.side)).then(|| field.clone());
        let tripped: Vec<FieldName> = fields.iter().filter_map(over).collect();
        for field in &tripped {
            fields.remove(field);
        }
        tripped
    }
}

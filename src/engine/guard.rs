//! The last guard against loops: what changes hands between sides too often, or is made on one too often, is parked.

use std::collections::{HashMap, VecDeque};

use crate::{
    clock::Millis,
    event::{Detail, Kind},
    id::{FieldName, RecordId, SideName},
    manifest::{Cooldown, Manifest},
    merge::{Heard, Record, fold::makes},
};

/// So many records are watched before those that have come to rest are forgotten.
const RECORDS_MAX: usize = 10_000;

/// Who, or what, it was the last time, and when it was another than before, by our clock.
#[derive(Default)]
struct Turns {
    last: Option<Box<str>>,
    at: VecDeque<Millis>,
}

impl Turns {
    fn take(&mut self, now: &str, at: Millis, cooldown: &Cooldown) {
        if self.last.as_deref() != Some(now) && self.last.replace(now.into()).is_some() {
            self.at.push_back(at);
        }
        let within = i64::try_from(cooldown.within.as_millis()).unwrap_or(i64::MAX);
        while self.at.front().is_some_and(|turn| at.0.saturating_sub(turn.0) > within) {
            self.at.pop_front();
        }
    }

    fn are_too_many(&self, manifest: &Manifest, side: &str) -> bool {
        manifest.side(side).is_some_and(|side| self.at.len() > side.cooldown.flips as usize)
    }
}

#[derive(Default)]
struct Watched {
    /// Which side had the last word on each field.
    hands: HashMap<FieldName, Turns>,
    /// By which write each side was last told to make the record.
    made: HashMap<SideName, Turns>,
}

/// What of a record is to be parked.
#[derive(Default)]
pub(super) struct Tripped {
    /// The fields that change hands too often.
    pub fields: Vec<FieldName>,
    /// The sides on which it is made too often.
    pub made_on: Vec<SideName>,
}

/// Watches how often fields change hands, and records are made. Nothing of it is kept on disk: a loop that outlives a restart
/// shows again.
#[derive(Default)]
pub(super) struct LoopGuard(HashMap<RecordId, Watched>);

impl LoopGuard {
    /// Notes what an event did to its record, which is resolved under `id` and has taken it in.
    pub fn note(&mut self, id: &RecordId, heard: &Heard, record: &Record, manifest: &Manifest, now: Millis) {
        let header = &heard.event.header;
        let Some(side) = manifest.side(&header.origin.side) else { return };
        let is_making = header.kind == Kind::Sent && makes(&heard.event);
        if let (true, Detail::Try { key, .. }) = (is_making, &heard.event.payload.detail) {
            let made = &mut self.0.entry(id.clone()).or_default().made;
            made.entry(header.origin.side.clone()).or_default().take(key, now, &side.cooldown);
        }
        let won = |field: &&FieldName| record.field(field).is_some_and(|field| field.winner().said == header.said);
        for field in header.fields.iter().filter(|_| header.kind.is_said()).filter(won) {
            let hands = &mut self.0.entry(id.clone()).or_default().hands;
            hands.entry(field.clone()).or_default().take(&header.origin.side, now, &side.cooldown);
        }
        if self.0.len() > RECORDS_MAX {
            self.0
                .retain(|_, Watched { hands, made }| hands.values().chain(made.values()).any(|one| !one.at.is_empty()));
        }
    }

    /// What of a record came more often than the side's manifest entry allows; it counts anew from here.
    pub fn tripped(&mut self, id: &RecordId, manifest: &Manifest) -> Tripped {
        let Some(Watched { hands, made }) = self.0.get_mut(id) else { return Tripped::default() };
        let by = |turns: &Turns| turns.last.as_ref().is_some_and(|side| turns.are_too_many(manifest, side));
        Tripped {
            fields: hands.extract_if(|_, turns| by(turns)).map(|(field, _)| field).collect(),
            made_on: made.extract_if(|side, turns| turns.are_too_many(manifest, side)).map(|(side, _)| side).collect(),
        }
    }
}

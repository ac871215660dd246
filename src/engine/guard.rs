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

/// The time in which turns are counted.
fn millis(cooldown: &Cooldown) -> i64 {
    i64::try_from(cooldown.within.as_millis()).unwrap_or(i64::MAX)
}

impl Turns {
    fn take(&mut self, now: &str, at: Millis, cooldown: &Cooldown) {
        if self.last.as_deref() != Some(now) && self.last.replace(now.into()).is_some() {
            self.at.push_back(at);
        }
        let within = millis(cooldown);
        while self.at.front().is_some_and(|turn| at.0.saturating_sub(turn.0) > within) {
            self.at.pop_front();
        }
    }

    /// Whether any was within so many milliseconds.
    fn are_recent(&self, now: Millis, within: i64) -> bool {
        self.at.back().is_some_and(|turn| now.0.saturating_sub(turn.0) <= within)
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
pub(super) struct LoopGuard {
    watched: HashMap<RecordId, Watched>,
    /// When there are so many, those that have come to rest are forgotten.
    most: usize,
}

impl Default for LoopGuard {
    fn default() -> Self {
        LoopGuard { watched: HashMap::new(), most: RECORDS_MAX }
    }
}

impl LoopGuard {
    /// Notes what an event did to its record, which is resolved under `id` and has taken it in.
    pub fn note(&mut self, id: &RecordId, heard: &Heard, record: &Record, manifest: &Manifest, now: Millis) {
        let header = &heard.event.header;
        let Some(side) = manifest.side(&header.origin.side) else { return };
        self.forget(manifest, now);
        let is_making = header.kind == Kind::Sent && makes(&heard.event);
        if let (true, Detail::Try { key, .. }) = (is_making, &heard.event.payload.detail) {
            let made = &mut self.watched.entry(id.clone()).or_default().made;
            made.entry(header.origin.side.clone()).or_default().take(key, now, &side.cooldown);
        }
        let won = |field: &&FieldName| record.field(field).is_some_and(|field| field.winner().said == header.said);
        for field in header.fields.iter().filter(|_| header.kind.is_said()).filter(won) {
            let hands = &mut self.watched.entry(id.clone()).or_default().hands;
            hands.entry(field.clone()).or_default().take(&header.origin.side, now, &side.cooldown);
        }
    }

    /// Forgets the records that have come to rest, if there are twice as many as the last time, or many for the first.
    fn forget(&mut self, manifest: &Manifest, now: Millis) {
        if self.watched.len() < self.most {
            return;
        }
        let within = manifest.sides.iter().map(|side| millis(&side.cooldown)).max().unwrap_or(0);
        self.watched.retain(|_, Watched { hands, made }| {
            hands.values().chain(made.values()).any(|turns| turns.are_recent(now, within))
        });
        self.most = RECORDS_MAX.max(2 * self.watched.len());
    }

    /// What of a record came more often than the side's manifest entry allows; it counts anew from here.
    pub fn tripped(&mut self, id: &RecordId, manifest: &Manifest) -> Tripped {
        let Some(Watched { hands, made }) = self.watched.get_mut(id) else { return Tripped::default() };
        let by = |turns: &Turns| turns.last.as_ref().is_some_and(|side| turns.are_too_many(manifest, side));
        Tripped {
            fields: hands.extract_if(|_, turns| by(turns)).map(|(field, _)| field).collect(),
            made_on: made.extract_if(|side, turns| turns.are_too_many(manifest, side)).map(|(side, _)| side).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Hlc,
        engine::core::edition,
        event::{Author, Draft, Origin},
        id::{Place, Seq, TenantKey},
        merge::fold,
        rulebook::Rulebook,
        value::Value,
    };

    /// A word of a side on one field of one record.
    fn word(side: &str, at: i64) -> Heard {
        let record = RecordId::new("contact/a").expect("a good id");
        let origin = Origin::side(SideName::new(side).expect("a good name"));
        let mut draft = Draft::new(Kind::Edit, record, origin, Millis(at), Author::user("ana"));
        draft.words = vec![(FieldName::new("phone").expect("a good name"), Value::text(side))];
        let sealed = draft.seal(&TenantKey([7; 32]).record_key("contact/a"), Hlc::default()).expect("it is small");
        Heard { seq: Seq(at as u64), place: Place::new(1, at as u32), event: sealed.event }
    }

    #[test]
    fn a_record_that_has_come_to_rest_is_forgotten_and_none_before() {
        let manifest = Manifest::builtin();
        let mut book = Rulebook::default();
        book.add_edition(Millis(0), &manifest.text, edition(&manifest));
        let words = [word("portal", 1), word("crm", 2)];
        let records = [fold(&words[..1], &book).0, fold(&words, &book).0];
        // A field of each record changes hands once.
        let watched = |step: i64| {
            let mut guard = LoopGuard::default();
            for number in 0..3 * RECORDS_MAX as i64 {
                let id = RecordId::new(&format!("contact/{number}")).expect("a good id");
                for (word, record) in words.iter().zip(&records) {
                    guard.note(&id, word, record, &manifest, Millis(number * step));
                }
                assert!(step == 0 || guard.watched.len() <= RECORDS_MAX, "{} of {number}", guard.watched.len());
            }
            guard
        };
        let id = |number| RecordId::new(&format!("contact/{number}")).expect("a good id");
        let guard = watched(1_000);
        assert!(!guard.watched.contains_key(&id(0)), "it has come to rest");
        assert!(guard.watched.contains_key(&id(3 * RECORDS_MAX - 1)), "it was the last one");
        let guard = watched(0);
        assert!(
            guard.watched.len() + 5 > 3 * RECORDS_MAX,
            "all of it was a moment ago, but what was heard of once goes"
        );
        assert!(guard.most > guard.watched.len(), "and it is not gone through again for each event");
    }
}

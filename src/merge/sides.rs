//! What a fold knows of each side: its id for the record, what it shows, what is on its way there, what waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    event::{Detail, Event, Kind},
    id::{FieldName, SaidId, SideName},
    merge::{
        fold::{Fold, line_class, origin_key},
        record::{InFlight, Park, Record},
    },
    value::Value,
};

impl<'a> Fold<'a> {
    /// Fills in what is known of every side: its id, what it shows, which writes are on their way, what waits.
    pub(super) fn fill_sides(&self, record: &mut Record) {
        let counted = (0..self.heard.len() as u32).filter(|at| self.counts[*at as usize]);
        let on_line = counted.filter(|at| line_class(self.event(*at).header.kind).is_some());
        let mut linked = Vec::new();
        for at in on_line {
            let header = &self.event(at).header;
            let state = record.side_mut(&header.origin.side);
            state.newest = state.newest.max(self.time[at as usize]);
            if header.origin.link.is_some() && (header.kind.is_said() || header.kind == Kind::Receipt) {
                linked.push(at);
            }
        }
        let mergers: Vec<u32> = self.mergers().into_iter().map(|(at, _)| at).collect();
        linked.extend(&mergers);
        linked.sort_by(|a, b| self.compare_places(*a, *b));
        let gone = self.merged_away();
        for at in linked {
            let origin = &self.event(at).header.origin;
            if !gone.contains(&origin_key(origin)) {
                record.side_mut(&origin.side).link.clone_from(&origin.link);
            }
        }
        self.fill_unread(&mergers, record);
        for state in &mut record.sides {
            let ended = gone.iter().filter(|(side, _)| **side == *state.side);
            state.gone = ended.map(|(_, link)| Box::from(*link)).collect();
        }
        let connected = &self.book.newest().sides;
        for state in &mut record.sides {
            if connected.get(&state.side).is_some_and(|spec| spec.connected) || self.was_written(&state.side) {
                let shows = self.shows.get(&*state.side).into_iter().flatten();
                state.shows = shows.map(|(_, shown)| shown.clone()).collect();
            }
        }
        self.fill_writes(record);
        self.fill_parks(record);
    }

    /// The mergers of two of a side's records, each with the id that it ended; a side merges none but its own.
    fn mergers(&self) -> Vec<(u32, (&'a str, &'a str))> {
        let counted = (0..self.heard.len() as u32).filter(|at| self.counts[*at as usize]);
        let ended = |at: u32| {
            let event = self.event(at);
            let Detail::Other { record, .. } = &event.payload.detail else { return None };
            let ended = record.side_and_link().filter(|(side, _)| **side == *event.header.origin.side)?;
            (event.header.kind == Kind::Absorb).then_some((at, ended))
        };
        counted.filter_map(ended).collect()
    }

    /// The sides' own ids that mergers ended.
    pub(super) fn merged_away(&self) -> BTreeSet<(&'a str, &'a str)> {
        self.mergers().into_iter().map(|(_, ended)| ended).collect()
    }

    /// A merger is read once a reading of its survivor names it.
    fn fill_unread(&self, mergers: &[u32], record: &mut Record) {
        let counted = (0..self.heard.len() as u32).filter(|at| self.counts[*at as usize]);
        let readings = counted.map(|at| &self.event(at).header).filter(|header| header.kind == Kind::Observe);
        let named: BTreeSet<SaidId> = readings.flat_map(|header| header.seen.iter().flatten().copied()).collect();
        for header in mergers.iter().map(|at| &self.event(*at).header) {
            if !named.contains(&header.said) {
                record.side_mut(&header.origin.side).unread.push(header.said);
            }
        }
        record.sides.iter_mut().for_each(|state| state.unread.sort());
    }

    /// What each linear word's side showed of a field just before it, where the side's line says so.
    pub(super) fn shown_before(&self, field: &FieldName) -> HashMap<u32, &Value> {
        let mut lines: BTreeMap<&SideName, Vec<(u32, &Value)>> = BTreeMap::new();
        for at in (0..self.heard.len() as u32).filter(|at| self.counts[*at as usize]) {
            let event = self.event(at);
            // What is on its way, or was not written because it was there, shows nothing new.
            let shows =
                !matches!(event.header.kind, Kind::Sent | Kind::Settled) && line_class(event.header.kind).is_some();
            if let Some((_, value)) = event.words().find(|(name, _)| *name == field).filter(|_| shows) {
                lines.entry(&event.header.origin.side).or_default().push((at, value));
            }
        }
        let mut shown = HashMap::new();
        for line in lines.values_mut() {
            line.sort_by(|(a, _), (b, _)| self.compare_places(*a, *b));
            let pairs = line.windows(2).map(|pair| (pair[0].1, pair[1].0));
            shown.extend(pairs.filter(|(_, at)| self.event(*at).header.seen.is_none()).map(|(value, at)| (at, value)));
        }
        shown
    }

    /// Whether a write of ours has left for the side, which may have lost its connector since.
    fn was_written(&self, side: &SideName) -> bool {
        let counted = (0..self.heard.len() as u32).filter(|at| self.counts[*at as usize]);
        counted.map(|at| &self.event(at).header).any(|header| {
            let write = matches!(header.kind, Kind::Sent | Kind::Receipt) && !header.fields.is_empty();
            write && header.origin.side == *side
        })
    }

    /// A write is open until an outcome bears its key or a receipt stands after it: writes to a record go one after the
    /// other. A receipt of nothing, and a refusal, say nothing of a later try under the same key.
    fn fill_writes(&self, record: &mut Record) {
        let counted = (0..self.heard.len() as u32).filter(|at| self.counts[*at as usize]);
        let (sent, outcomes): (Vec<u32>, Vec<u32>) = counted
            .filter(|at| write_key(self.event(*at)).is_some())
            .partition(|at| self.event(*at).header.kind == Kind::Sent);
        let closes = |outcome: u32, sent: u32| {
            let (by, of) = (self.event(outcome), self.event(sent));
            let is_receipt = by.header.kind == Kind::Receipt;
            let after = is_receipt && self.compare_places(sent, outcome).is_lt();
            // What made the record on a side is known to have by the link that it brought.
            let took = is_receipt && !by.header.fields.is_empty() || by.header.kind == Kind::Link;
            let same = write_key(by) == write_key(of);
            let so_far = took || self.time[outcome as usize] >= self.time[sent as usize];
            by.header.origin.side == of.header.origin.side && (after || same && so_far)
        };
        let is_open = |sent: &u32| !outcomes.iter().any(|outcome| closes(*outcome, *sent));
        let mut open: Vec<u32> = sent.into_iter().filter(is_open).collect();
        open.sort_by(|a, b| self.compare_places(*a, *b));
        for at in open {
            let event = self.event(at);
            let key = write_key(event).expect("a sent event has a key").to_owned();
            let fields = event.header.fields.clone();
            let write = InFlight { key, entry: at, at: self.time[at as usize], fields };
            record.side_mut(&event.header.origin.side).in_flight.push(write);
        }
    }

    fn fill_parks(&self, record: &mut Record) {
        let of_kind = |kinds: &'static [Kind]| {
            let counted = (0..self.heard.len() as u32).filter(|at| self.counts[*at as usize]);
            counted.filter(|at| kinds.contains(&self.event(*at).header.kind)).collect::<Vec<u32>>()
        };
        let released = of_kind(&[Kind::Released]);
        let mut parked = of_kind(&[Kind::Refused, Kind::Parked]);
        parked.sort_by(|a, b| {
            self.event(*a)
                .header
                .said_at
                .cmp(&self.event(*b).header.said_at)
                .then_with(|| self.event(*a).content().cmp(&self.event(*b).content()))
        });
        for at in parked {
            let header = &self.event(at).header;
            for (index, field) in header.fields.iter().enumerate() {
                let lets_go = |other: &&u32| {
                    let other = &self.event(**other).header;
                    other.origin.side == header.origin.side
                        && other.fields.contains(field)
                        && other.said_at >= header.said_at
                };
                if released.iter().any(|other| lets_go(&other)) {
                    continue;
                }
                let carries = header.carries.get(index).cloned().unwrap_or_default();
                let park = Park { field: field.clone(), carries, entry: at, refused: header.kind == Kind::Refused };
                record.side_mut(&header.origin.side).parks.push(park);
            }
        }
    }
}

/// The key of the write that an event is about.
pub(super) fn write_key(event: &Event) -> Option<&str> {
    match &event.payload.detail {
        Detail::Write(key) | Detail::Refusal { key, .. } => Some(key),
        Detail::Other { label, .. } if event.header.kind == Kind::Link => Some(label),
        _ => None,
    }
}

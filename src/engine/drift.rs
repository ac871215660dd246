//! Whether a side still shows what we believe it shows, and what is done where it does not.
//!
//! A reading that differs from the shadow becomes ordinary events, so the rules decide and both sides are repaired:
//!
//! | what the side shows | what it becomes |
//! |---|---|
//! | another value, dated after all we know of it | an observation, as if its webhook had come |
//! | an older value of its own, in place of one that it had confirmed | a receipt of that value: the write goes out again |
//! | a value that it never said, dated before what it said last | an observation that names all the side knew |
//!
//! A record that anything was said of since the side was asked is passed over: the reading may be older than that.

use serde::Serialize;

use super::{Engine, EngineError, core::Core, outbox::origin_of, sightings::whole, stored::read_line};
use crate::{
    clock::Millis,
    event::{Author, Detail, Draft, Kind, Origin},
    id::{FieldName, RecordId, SaidId, Seq, SideName},
    merge::Record,
    projection,
    rulebook::EXISTENCE,
    send::{Ask, Seen, SeenField},
};

/// How a side differs from what it was believed to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// The side changed it and nothing was heard of that.
    Unheard,
    /// It shows an older value of its own in place of one that it had confirmed.
    Reverted,
    /// It shows a value that it never said, dated before what it said last.
    Undated,
    /// It has a record of which nothing was known.
    Unknown,
    /// It no longer has the record.
    Gone,
    /// It has the record again.
    Back,
    /// The record lives on under another id.
    Moved,
}

impl DriftKind {
    /// Why, in words for people.
    pub fn why(self) -> &'static str {
        match self {
            DriftKind::Unheard => "the side changed it, and nothing was heard of that",
            DriftKind::Reverted => "the side shows an older value of its own in place of one that it had confirmed",
            DriftKind::Undated => "the side shows a value that it never said, dated before what it said last",
            DriftKind::Unknown => "the side has a record of which nothing was known",
            DriftKind::Gone => "the side no longer has the record",
            DriftKind::Back => "the side has the record again",
            DriftKind::Moved => "the record lives on under another id",
        }
    }
}

/// One difference between a side and what it was believed to show. It holds no values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The record.
    pub record: RecordId,
    /// The side.
    pub side: SideName,
    /// The field; `None`: the record as a whole.
    pub field: Option<FieldName>,
    /// Since when, by the side's clock, as far as it says.
    #[serde(rename = "since_ms")]
    pub since: Option<Millis>,
    /// How it differs.
    pub kind: DriftKind,
    /// Who is behind it, where the side says.
    pub author: Box<str>,
}

/// What readings were found to say.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// The records that the readings are of, in their order.
    pub met: Vec<RecordId>,
    /// How many records were compared.
    pub compared: usize,
    /// The differences, in the order of the readings; all of them are repaired by events that are on disk.
    pub drifts: Vec<Drift>,
    /// Records of which something was said since the side was asked, or to which a write is under way.
    pub passed_over: Vec<RecordId>,
}

impl Engine {
    /// Compares readings with what the side is believed to show, and takes them in.
    ///
    /// `asked` is the last sequence of the log before the side was asked.
    ///
    /// # Errors
    /// If the log or the state fails.
    ///
    /// # After a crash
    /// As [`Engine::observe_all`].
    pub fn compare_all(
        &self,
        side: &SideName,
        seen: Vec<(RecordId, Seen)>,
        asked: Seq,
    ) -> Result<Compared, EngineError> {
        let mut core = self.core()?;
        core.bulk = true;
        let done = self.compare_each(&mut core, side, seen, asked);
        core.bulk = false;
        let last = self.inner.log.last();
        drop(core);
        self.wait(last)?;
        done
    }

    fn compare_each(
        &self,
        core: &mut Core,
        side: &SideName,
        seen: Vec<(RecordId, Seen)>,
        asked: Seq,
    ) -> Result<Compared, EngineError> {
        let now = self.now();
        let mut all = Compared::default();
        for (record, mut seen) in seen {
            let ask = whole(core, side, &record, &seen)?;
            let record = ask.record.clone();
            all.met.push(record.clone());
            let key = (side.clone(), record.clone());
            let newer = core.peek(&record)?.is_some_and(|state| state.last > asked);
            if newer || core.rows.get(&key).is_some_and(|row| row.busy) {
                all.passed_over.push(record);
                continue;
            }
            all.compared += 1;
            let mut drafts = self.repair(core, &ask, &mut seen, now, &mut all.drifts)?;
            drafts.extend(self.fitting_drafts(core, &ask, seen, now)?);
            self.log_own(core, drafts)?;
        }
        self.settle(core)?;
        Ok(all)
    }

    /// Notes what differs; what an ordinary observation would not repair is taken out of the reading and repaired by the
    /// statements returned.
    fn repair(
        &self,
        core: &mut Core,
        ask: &Ask,
        seen: &mut Seen,
        now: Millis,
        drifts: &mut Vec<Drift>,
    ) -> Result<Vec<Draft>, EngineError> {
        let (side, record) = (&ask.side, &ask.record);
        let held = core.hold(record)?;
        let (state, line) = (held.record.clone(), held.line.clone());
        let drift = |field: Option<&FieldName>, kind, since, author: &Author| Drift {
            record: record.clone(),
            side: side.clone(),
            field: field.cloned(),
            since,
            kind,
            author: author.id.clone(),
        };
        let nobody = Author::default();
        if let Some(kind) = whole_drift(&state, side, seen) {
            drifts.push(drift(None, kind, seen.modified, &nobody));
        }
        let Some(known) = state.side(side).filter(|known| seen.found && projection::exists_on(Some(known))) else {
            return Ok(Vec::new());
        };
        // A reading that settles a write under way tells of that write, not of a drift.
        if !known.in_flight.is_empty() {
            return Ok(Vec::new());
        }
        let link = origin_of(&state, side).link;
        let stream = core.stream_of(record, side, ask.link.as_deref().or(link.as_deref()));
        let place = || (stream.clone(), origin_of(&state, side));
        let mut drafts = Vec::new();
        let mut events = None;
        let mut ordinary = Vec::new();
        for field in std::mem::take(&mut seen.fields) {
            let spec = core.book.newest().field(record.kind(), &field.field);
            let maps = spec.is_some_and(|spec| spec.name_on(side, &field.field).is_some());
            let shown = known.shown(&field.field);
            let newest = shown.and_then(|shown| shown.newest.as_ref());
            let meant = core.understood(record.kind(), &field.field, &field.value)?;
            let same = newest.map_or(field.value.is_null(), |newest| *newest == meant);
            if !maps || same {
                ordinary.push(field);
                continue;
            }
            let since = field.changed.or(seen.modified);
            if field.asked.is_some() {
                drifts.push(drift(Some(&field.field), DriftKind::Unheard, since, &field.author));
                ordinary.push(field);
                continue;
            }
            let (Some(shown), Some(time)) = (shown, since.filter(|time| shown.is_some_and(|shown| *time <= shown.at)))
            else {
                drifts.push(drift(Some(&field.field), DriftKind::Unheard, since, &field.author));
                ordinary.push(field);
                continue;
            };
            if events.is_none() {
                events = Some(read_line(&self.inner.log, &core.key, &line)?);
            }
            let line =
                events.iter().flatten().map(|heard| &heard.event).filter(|event| event.header.origin.side == *side);
            let said_it = line.clone().any(|event| {
                let is_word = event.header.kind.is_said() && event.header.said_at == time;
                is_word && event.words().any(|(name, value)| *name == field.field && *value == field.value)
            });
            if said_it {
                let at = core.book.on_side(side, now).max(shown.at.plus(1));
                drafts.push(shows_again(place(), &field, at));
                drifts.push(drift(Some(&field.field), DriftKind::Reverted, since, &field.author));
            } else {
                let mut names = known_words(&state, side, &field.field);
                let touching = line.filter(|event| event.header.fields.contains(&field.field));
                names.extend(touching.max_by_key(|event| event.header.said_at).map(|event| event.header.said));
                drafts.push(says_undated(place(), &field, time, names));
                drifts.push(drift(Some(&field.field), DriftKind::Undated, since, &field.author));
            }
        }
        seen.fields = ordinary;
        Ok(drafts)
    }
}

/// How the record as a whole differs.
fn whole_drift(state: &Record, side: &SideName, seen: &Seen) -> Option<DriftKind> {
    let known = state.side(side);
    let was_there = projection::exists_on(known);
    let link = known.and_then(|known| known.link.as_ref());
    match (was_there, seen.found) {
        (true, false) => Some(DriftKind::Gone),
        (false, true) if known.is_some_and(|known| known.shown(EXISTENCE).is_some()) => Some(DriftKind::Back),
        (false, true) if known.is_none_or(|known| known.in_flight.is_empty()) => Some(DriftKind::Unknown),
        (true, true) if seen.link.is_some() && link.is_some() && seen.link.as_ref() != link => Some(DriftKind::Moved),
        _ => None,
    }
}

/// A receipt of what the side shows in place of what it had confirmed: the next plan writes the value again.
fn shows_again((stream, origin): (RecordId, Origin), field: &SeenField, at: Millis) -> Draft {
    let mut draft = Draft::new(Kind::Receipt, stream, origin, at, Author::engine());
    draft.words = vec![(field.field.clone(), field.value.clone())];
    draft.carries = vec![Vec::new()];
    draft.detail = Detail::Reason(DriftKind::Reverted.why().to_owned());
    draft
}

/// An observation that stands after all that the side has said and learned of the field.
fn says_undated((stream, origin): (RecordId, Origin), field: &SeenField, time: Millis, names: Vec<SaidId>) -> Draft {
    let mut draft = Draft::new(Kind::Observe, stream, origin, time, field.author.clone());
    draft.words = vec![(field.field.clone(), field.value.clone())];
    draft.coarse = field.changed.is_none();
    draft.seen = Some(names);
    draft.detail = Detail::Reason(DriftKind::Undated.why().to_owned());
    draft
}

/// The candidates of a field that the side has said or learned of.
fn known_words(state: &Record, side: &SideName, field: &FieldName) -> Vec<SaidId> {
    let candidates = state.field(field).into_iter().flat_map(|field| &field.candidates);
    let knows = |candidate: &&crate::merge::record::Candidate| {
        candidate.origin.side == *side || candidate.known.iter().any(|(known, _)| known == side)
    };
    candidates.filter(knows).map(|candidate| candidate.said).collect()
}

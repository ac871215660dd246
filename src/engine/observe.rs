//! What a read-back says: which write took effect, and what the side shows besides.
//!
//! The same code answers a question of the outbox and takes in what a reconciliation saw unasked.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    Engine, EngineError, Unfit,
    core::Core,
    links::tie_draft,
    outbox::{made_by, new_id_draft, origin_of},
    sightings::whole,
    stored::read_line,
};
use crate::{
    clock::Millis,
    event::{Author, AuthorKind, Detail, Draft, Event, Header, Kind, Origin},
    id::{FieldName, RecordId, SaidId, SideName},
    merge::{Heard, Line, Record, fold::makes, record::Candidate},
    projection,
    rulebook::EXISTENCE,
    send::{Ask, Seen, SeenField, retry::Backoff},
    value::Value,
};

/// A read-back with all that is known of the record it is about.
struct Reading<'a> {
    ask: &'a Ask,
    state: Arc<Record>,
    line: Arc<Line>,
    origin: Origin,
    /// The time of the reading, by the side's clock.
    at: Millis,
    /// Whether the side lets the record live on under another id.
    moved: bool,
    /// Whether the side has made the record as it was told to, and does not have it any more.
    made_and_gone: bool,
    /// The record under which the side's statements stand.
    stream: RecordId,
    /// The record's events, once something has asked for them.
    events: OnceCell<Vec<Heard>>,
}

impl Engine {
    /// Takes the answer to a question; `Err`: the side could not be asked, try again after so many milliseconds.
    ///
    /// # Errors
    /// If the log or the state fails.
    pub fn seen(&self, ask: Ask, answer: Result<Seen, i64>) -> Result<(), EngineError> {
        let mut core = self.core()?;
        let now = self.now();
        // The record may have been linked, or parted, since it was asked about.
        let record = core.stream_of(&ask.record, &ask.side, ask.link.as_deref());
        let ask = Ask { record: core.canonical(&record)?, ..ask };
        let key = (ask.side.clone(), ask.record.clone());
        let mut row = core.rows.take(&key, now);
        row.busy = false;
        match &answer {
            Ok(_) => row.answered = Some(core.hold(&ask.record)?.record.last),
            Err(retry) => {
                row.attempts += 1;
                row.not_before = now.plus(*retry);
            }
        }
        core.rows.insert(key, row);
        answer.map_or(Ok(()), |seen| self.take_seen(core, &ask, seen, now))
    }

    /// Takes in what a side was seen to show without a question of the outbox: a reconciliation, or a poll.
    ///
    /// Fields that the manifest does not have are passed over.
    ///
    /// # Errors
    /// If the log or the state fails.
    pub fn observe(&self, side: &SideName, record: &RecordId, seen: Seen) -> Result<(), EngineError> {
        let core = self.core()?;
        let ask = whole(&core, side, record, &seen)?;
        let now = self.now();
        self.take_seen(core, &ask, seen, now)
    }

    fn take_seen(
        &self,
        mut core: std::sync::MutexGuard<'_, Core>,
        ask: &Ask,
        seen: Seen,
        now: Millis,
    ) -> Result<(), EngineError> {
        let drafts = self.fitting_drafts(&mut core, ask, seen, now)?;
        self.finish(core, drafts)
    }

    /// The statements that a reading makes, without those that the manifest has no place for.
    pub(super) fn fitting_drafts(
        &self,
        core: &mut Core,
        ask: &Ask,
        seen: Seen,
        now: Millis,
    ) -> Result<Vec<Draft>, EngineError> {
        let edition = core.book.newest().clone();
        let drafts = self.seen_drafts(core, ask, seen, now)?;
        let fits = |draft: &Draft| match Engine::check(&edition, draft) {
            // What a side shows is what it shows, also where it breaks the manifest; reads say so.
            Ok(()) | Err(Unfit::Value { .. }) => true,
            Err(why) => {
                tracing::warn!(record = %ask.record, side = %ask.side, %why, "passed over what a side shows");
                false
            }
        };
        let drafts = drafts.into_iter().filter(fits).collect();
        core.touched.insert(ask.record.clone());
        Ok(drafts)
    }

    fn seen_drafts(&self, core: &mut Core, ask: &Ask, mut seen: Seen, now: Millis) -> Result<Vec<Draft>, EngineError> {
        seen.fields.iter_mut().for_each(|field| field.asked = field.asked.map(|at| core.book.on_side(&ask.side, at)));
        let held = core.hold(&ask.record)?;
        let (state, line) = (held.record.clone(), held.line.clone());
        let at = core.book.on_side(&ask.side, now);
        let known_link = origin_of(&state, &ask.side).link;
        let own_ids = core.has_own_ids(&ask.side);
        // Asked under an id that a known merger ended, a side that names the survivor tells of no other one.
        let ended = |link: &str| state.side(&ask.side).is_some_and(|side| side.has_ended(link));
        let was_ended = own_ids && ask.link.as_deref().is_some_and(ended);
        // One that answers under the very id that was ended has that record again, beside the one it went into.
        let lives_again = was_ended && seen.found && seen.link == ask.link;
        // The survivor it names need not be the one that spoke last: a side may have several that are one record.
        let named = core.stream_of(&ask.record, &ask.side, seen.link.as_deref());
        let is_known = !seen.link.as_deref().is_some_and(ended) && core.canonical(&named)? == ask.record;
        let survivor = seen.link.clone().filter(|_| is_known).or_else(|| known_link.clone());
        let now_under = Ask { link: survivor, ..ask.clone() };
        let ask = if was_ended && !lives_again && now_under.link.is_some() { &now_under } else { ask };
        let asked = if own_ids { ask.link.clone() } else { known_link.clone() };
        let unread = state.side(&ask.side).map(|state| state.unread.clone()).unwrap_or_default();
        let moved = !unread.is_empty() || matches!((&asked, &seen.link), (Some(old), Some(new)) if old != new);
        let link = seen.link.clone().or(if own_ids { asked.clone() } else { known_link });
        let stream = core.stream_of(&ask.record, &ask.side, link.as_deref());
        let origin = Origin { side: ask.side.clone(), link, node: None };
        if let Some(refused) = self.parted_twin(core, ask, &state, &line, &seen, at)? {
            return Ok(vec![refused]);
        }
        let key = ask.about.as_ref().map_or("", |about| about.key.as_str());
        let ends: Vec<SaidId> =
            core.tries(&ask.record, &ask.side, Some(key))?.into_iter().map(|(_, sent)| sent).collect();
        let made_by = made_by(key, &ends);
        let made = ask.about.as_ref().is_some_and(|about| about.create) && seen.link != ask.link;
        let made_and_gone = own_ids && made && !seen.found && seen.link.is_some();
        let mut drafts = if own_ids && (seen.found || made_and_gone) {
            new_ids(core, ask, &seen, &made_by, at)?
        } else {
            Vec::new()
        };
        if lives_again {
            drafts.extend(revived(read_line(&self.inner.log, &core.key, &line)?, &stream, &origin, at));
        }
        // A side that does not have the survivor any more has answered too: there is nothing there to read.
        let unread = read_mergers(self, unread, &drafts)?;
        let events = OnceCell::new();
        let reading = Reading { ask, state, line, origin, at, moved, made_and_gone, stream, events };
        let receipt = self.told_receipt(core, &reading, &seen, now)?;
        let confirmed = receipt.as_ref().map(|receipt| receipt.words.clone()).unwrap_or_default();
        drafts.extend(receipt);
        drafts.extend(self.existence(core, &reading, &seen)?);
        let fields = seen.fields.into_iter().filter(|_| seen.found);
        let fields: Vec<SeenField> = fields.filter(|seen| reading.shows_field(core, &seen.field)).collect();
        drafts.extend(self.past(core, &reading, &fields)?);
        let heard_here = if fields.is_empty() { None } else { self.heard_here(core, &reading)? };
        for field in &fields {
            let meant = core.understood(ask.record.kind(), &field.field, &field.value)?;
            // That another id of the side showed it says nothing of this one.
            let is_here = heard_here.as_ref().is_none_or(|heard| heard.contains(&field.field));
            drafts.extend(reading.present(field, &meant, is_here, &confirmed, seen.modified));
        }
        if !unread.is_empty() {
            let mut draft =
                Draft::new(Kind::Observe, reading.stream.clone(), reading.origin.clone(), at, Author::default());
            draft.seen = Some(unread);
            drafts.push(draft);
        }
        Ok(drafts)
    }

    /// All events of the record that a reading is of; they are read from the log once.
    fn events_of<'r>(&self, core: &Core, reading: &'r Reading) -> Result<&'r [Heard], EngineError> {
        if let Some(known) = reading.events.get() {
            return Ok(known);
        }
        let read = read_line(&self.inner.log, &core.key, &reading.line)?;
        Ok(reading.events.get_or_init(|| read))
    }

    /// The fields of which anything was heard of under the id that was read; `None` if the record has had no other on the side,
    /// or what is known of it makes no difference.
    fn heard_here(&self, core: &Core, reading: &Reading) -> Result<Option<BTreeSet<FieldName>>, EngineError> {
        let side = &reading.ask.side;
        if reading.moved || !core.has_own_ids(side) {
            return Ok(None);
        }
        let members = core.identity.members(&core.store, &reading.ask.record)?;
        let own = members.iter().filter_map(RecordId::side_and_link).filter(|(of, _)| **of == **side);
        if own.count() < 2 {
            return Ok(None);
        }
        let tells = |header: &&Header| {
            let is_here = header.origin.link.is_none() || header.origin.link == reading.origin.link;
            let shows = header.kind == Kind::Receipt || header.kind.is_said();
            header.origin.side == *side && is_here && shows
        };
        let told = self.events_of(core, reading)?.iter().map(|heard| &heard.event.header).filter(tells);
        Ok(Some(told.flat_map(|header| header.fields.iter().cloned()).collect()))
    }

    /// The receipt of the newest write under way, where the reading says what became of it.
    fn told_receipt(
        &self,
        core: &mut Core,
        reading: &Reading,
        seen: &Seen,
        now: Millis,
    ) -> Result<Option<Draft>, EngineError> {
        let ask = reading.ask;
        let key = (ask.side.clone(), ask.record.clone());
        // While a write is under way, a reading says nothing of whether it will arrive.
        let is_under_way = core.rows.get(&key).is_some_and(|row| row.busy);
        let open = reading.state.side(&ask.side).and_then(|state| state.in_flight.last());
        let Some(write) = open.filter(|_| !is_under_way) else { return Ok(None) };
        let entry = &reading.line.entries()[write.entry as usize];
        let sent = self.event_at(entry.seq, entry.place)?;
        // A side that chooses ids itself makes a record under one that no other reading is of; and what it has beside a record,
        // or has had, says nothing of what was sent to that one.
        let own_ids = core.has_own_ids(&ask.side);
        let answers = match makes(&sent) {
            true => ask.about.as_ref().is_some_and(|about| about.key == write.key),
            false => reading.is_of(sent.header.origin.link.as_deref(), seen),
        };
        if own_ids && !answers {
            return Ok(None);
        }
        let ends = core.tries(&ask.record, &ask.side, Some(&write.key))?;
        let ends: Vec<SaidId> = ends.into_iter().map(|(_, sent)| sent).collect();
        let made_nothing = own_ids && makes(&sent) && self.had_before(core, reading, seen, &ends)?;
        let receipt = reading.receipt(&sent, &write.key, ends, seen, made_nothing);
        let mut row = core.rows.take(&key, now);
        // The write is tried again under the same key, if at all: its `sent` has to stand after this receipt. What was lost on
        // the way goes again at once; what comes to nothing every time, ever more rarely.
        let wait = match row.attempts {
            again @ 2.. if receipt.words.is_empty() => Backoff::default().wait(again, 0, now.0 as u64),
            _ => 1,
        };
        (row.unsent, row.not_before) = (None, row.not_before.max(now.plus(wait)));
        core.rows.insert(key, row);
        Ok(Some(receipt))
    }

    /// Whether a side that chooses ids itself had the record that a reading found before these tries to make it left, or has it
    /// by another write.
    fn had_before(&self, core: &Core, reading: &Reading, seen: &Seen, tries: &[SaidId]) -> Result<bool, EngineError> {
        let Some(link) = &seen.link else { return Ok(false) };
        let events = self.events_of(core, reading)?;
        let first = events.iter().find(|heard| tries.contains(&heard.event.header.said)).map(|heard| heard.seq);
        let is_other = |heard: &Heard| {
            let event = &heard.event;
            let by_another = event.header.kind == Kind::Receipt
                && makes(event)
                && matches!(&event.payload.detail, Detail::Fate { ends, .. } if !ends.iter().any(|end| tries.contains(end)));
            first.is_some_and(|first| heard.seq < first) || by_another
        };
        let is_of =
            |header: &Header| header.origin.side == reading.ask.side && header.origin.link.as_ref() == Some(link);
        Ok(events.iter().any(|heard| is_of(&heard.event.header) && is_other(heard)))
    }

    /// The end of a write that was to make a record where the side has one that a person said is another: it waits for a person.
    fn parted_twin(
        &self,
        core: &Core,
        ask: &Ask,
        state: &Record,
        line: &Line,
        seen: &Seen,
        at: Millis,
    ) -> Result<Option<Draft>, EngineError> {
        let answered = seen.link.as_deref().filter(|_| ask.link.is_none() && core.has_own_ids(&ask.side));
        let own = answered.and_then(|link| RecordId::on_side(ask.record.kind(), &ask.side, link).ok());
        let (Some(own), Some(open)) = (own, state.side(&ask.side).and_then(|state| state.in_flight.last())) else {
            return Ok(None);
        };
        if !core.are_parted(&ask.record, &own)? {
            return Ok(None);
        }
        let entry = &line.entries()[open.entry as usize];
        let sent = self.event_at(entry.seq, entry.place)?;
        let origin = Origin { side: ask.side.clone(), link: None, node: None };
        let mut draft = Draft::new(Kind::Refused, sent.header.record.clone(), origin, at, Author::engine());
        draft.words = sent.words().map(|(field, value)| (field.clone(), value.clone())).collect();
        draft.carries = sent.header.carries.clone();
        let reason = format!("the side has this as {own} already, and someone said that the two are two");
        draft.detail = Detail::Fate { key: open.key.clone(), ends: vec![entry.said], reason };
        Ok(Some(draft))
    }

    /// Whether the side has the record, where that is news.
    ///
    /// That it is gone is found out after it happened, nobody knows how long, and is dated by the reading. What the side
    /// has again is so since that reading, whatever its own clock says.
    fn existence(&self, core: &Core, reading: &Reading, seen: &Seen) -> Result<Option<Draft>, EngineError> {
        if !reading.tells_of_existence(seen) {
            return Ok(None);
        }
        let field = FieldName::new(EXISTENCE).expect("a good name");
        let known =
            reading.state.side(&reading.ask.side).and_then(|state| state.shown(EXISTENCE)).map(|shown| shown.at);
        let after = |time: Millis| known.map_or(time, |known| time.max(known.plus(1)));
        let time = match seen.modified {
            None => after(reading.at),
            Some(time) if known.is_none_or(|known| known < time) || !reading.is_newer(time) => time,
            Some(time) => {
                let events = self.events_of(core, reading)?;
                let tells = |header: &Header| header.origin.side == reading.ask.side && header.fields.contains(&field);
                let newest = events.iter().map(|heard| &heard.event.header).filter(|header| tells(header));
                let newest = newest.max_by_key(|header| header.said_at);
                if newest.is_some_and(|header| header.coarse) { after(time) } else { time }
            }
        };
        let mut draft = reading.observe(&field, &Value::bool(seen.found), time, Author::default());
        draft.coarse = seen.modified.is_none();
        Ok(Some(draft))
    }

    /// Edits that the log does not have and that something newer has since replaced.
    fn past(&self, core: &Core, reading: &Reading, fields: &[SeenField]) -> Result<Vec<Draft>, EngineError> {
        if fields.iter().all(|field| field.earlier.is_empty()) {
            return Ok(Vec::new());
        }
        let events = self.events_of(core, reading)?;
        let mut known: HashSet<(&FieldName, &Value, Millis)> = HashSet::new();
        for heard in events.iter().filter(|heard| heard.event.header.origin.side == reading.ask.side) {
            let time = heard.event.header.said_at;
            known.extend(heard.event.words().map(|(field, value)| (field, value, time)));
        }
        let mut drafts = Vec::new();
        for field in fields {
            for past in field.earlier.iter().rev().filter(|past| past.author.kind != AuthorKind::Ours) {
                if !known.contains(&(&field.field, &past.value, past.at)) {
                    drafts.push(reading.observe(&field.field, &past.value, past.at, past.author.clone()));
                }
            }
        }
        Ok(drafts)
    }
}

/// What a reading says of ids: one that the record had not had, one under which it lives on, those that were merged into it.
fn new_ids(core: &Core, ask: &Ask, seen: &Seen, made_by: &str, at: Millis) -> Result<Vec<Draft>, EngineError> {
    let (known, answered) = (ask.link.as_deref(), seen.link.as_deref());
    let mut drafts = core.newest_ties(new_id_draft(&ask.side, &ask.record, known, answered, made_by, at))?;
    let Some(link) = seen.link.as_deref().or(ask.link.as_deref()) else { return Ok(drafts) };
    let stream = core.stream_of(&ask.record, &ask.side, Some(link));
    let known = core.canonical(&stream)?;
    for merged in seen.merged.iter().filter(|merged| ***merged != *link) {
        let Ok(gone) = RecordId::on_side(stream.kind(), &ask.side, merged) else { continue };
        if core.canonical(&gone)? != known && !drafts.iter().any(|draft| is_about(draft, &gone)) {
            let origin = Origin { side: ask.side.clone(), link: Some(link.into()), node: None };
            drafts.push(tie_draft(Kind::Absorb, &stream, &gone, origin, at, Author::default(), "merged"));
        }
    }
    Ok(drafts)
}

/// What says of a side's own record that was merged away, and that the side has again, that it is not ended any more. All of
/// them stay one record until a person says that they are two.
fn revived(events: Vec<Heard>, own: &RecordId, origin: &Origin, at: Millis) -> Vec<Draft> {
    let mut since: BTreeMap<RecordId, Millis> = BTreeMap::new();
    for Event { header, payload } in events.into_iter().map(|heard| heard.event) {
        let ended = matches!(&payload.detail, Detail::Other { record, .. } if record == own);
        if header.kind == Kind::Absorb && ended {
            let newest = since.entry(header.record).or_insert(header.said_at);
            *newest = header.said_at.max(*newest);
        }
    }
    let link = |(survivor, since): (RecordId, Millis)| {
        let at = at.max(since.plus(1));
        tie_draft(Kind::Link, &survivor, own, origin.clone(), at, Author::engine(), "it lives again")
    };
    since.into_iter().map(link).collect()
}

fn is_about(draft: &Draft, other: &RecordId) -> bool {
    matches!(&draft.detail, Detail::Other { record, .. } if record == other)
}

/// The mergers that a reading of the survivor answers: those known, and those that the reading tells of.
fn read_mergers(engine: &Engine, mut known: Vec<SaidId>, drafts: &[Draft]) -> Result<Vec<SaidId>, EngineError> {
    for draft in drafts.iter().filter(|draft| draft.kind == Kind::Absorb) {
        known.push(engine.seal(draft.clone())?.event.header.said);
    }
    Ok(known)
}

impl Reading<'_> {
    /// Whether what was read under the side's own ids is what was written under this one, which may have been merged into it.
    fn is_of(&self, written: Option<&str>, seen: &Seen) -> bool {
        let Some(written) = written else { return true };
        let read = [self.ask.link.as_deref(), seen.link.as_deref()];
        let ended = self.state.side(&self.ask.side).is_some_and(|side| side.has_ended(written));
        ended || read == [None, None] || read.contains(&Some(written))
    }

    fn shows_field(&self, core: &Core, field: &FieldName) -> bool {
        let spec = core.book.newest().field(self.ask.record.kind(), field);
        spec.is_some_and(|spec| spec.name_on(&self.ask.side, field).is_some())
    }

    fn observe(&self, field: &FieldName, value: &Value, time: Millis, author: Author) -> Draft {
        let mut draft = Draft::new(Kind::Observe, self.stream.clone(), self.origin.clone(), time, author);
        draft.words = vec![(field.clone(), value.clone())];
        draft
    }

    /// Whether it is news that the side has the record, or has it no more.
    fn tells_of_existence(&self, seen: &Seen) -> bool {
        let state = self.state.side(&self.ask.side);
        // Asked about fields, a side that has them tells nothing of the record; one that has no record says so.
        let is_partial = !self.ask.fields.is_empty() && seen.found;
        let existed = projection::exists_on(state) || self.made_and_gone;
        let known = state.and_then(|state| state.shown(EXISTENCE)).is_some();
        // A record first heard of by a read-back is there because its fields are.
        !is_partial && existed != seen.found && (known || !seen.found)
    }

    /// Whether the record has changed on the side since all that the side is known to have said of it, but for its existence.
    fn is_newer(&self, modified: Millis) -> bool {
        let shows = self.state.side(&self.ask.side).into_iter().flat_map(|state| &state.shows);
        let mut said = shows.filter(|shown| *shown.field != *EXISTENCE && !shown.by_us);
        said.all(|shown| shown.at < modified)
    }

    /// What a field shows now, and means, where that is news.
    fn present(
        &self,
        seen: &SeenField,
        meant: &Value,
        is_here: bool,
        confirmed: &[(FieldName, Value)],
        modified: Option<Millis>,
    ) -> Option<Draft> {
        let is_doubt = self.ask.fields.contains(&seen.field);
        let shown = self.state.side(&self.ask.side).and_then(|state| state.shown(&seen.field));
        let known = is_here && shown.and_then(|shown| shown.newest.as_ref()) == Some(meant);
        let settled = confirmed.iter().any(|(field, value)| *field == seen.field && *value == seen.value);
        // What is on its way to a field does not show yet; that the side shows nothing is then no word of its users.
        let was_set = shown.is_some_and(|shown| shown.newest.is_some()) || !seen.earlier.is_empty();
        let never_set = seen.value.is_null() && !was_set;
        if settled || never_set || known && !is_doubt && !self.moved {
            return None;
        }
        // The record's time says nothing of a field that moves without it, and that has moved since.
        let since = |time: &Millis| seen.asked.is_none() || shown.is_none_or(|shown| shown.at < *time);
        let Some(time) = seen.changed.or(modified.filter(since)).or(seen.asked) else {
            tracing::warn!(record = %self.ask.record, side = %self.ask.side, field = %seen.field, "a side shows a value without any time");
            return None;
        };
        let mut draft = self.observe(&seen.field, &seen.value, time, seen.author.clone());
        draft.coarse = seen.changed.is_none();
        // Where only a read-back can tell, and where the record lives on under another id, it stands for all that the side
        // has said and learned so far; of the other side's newer words it knows nothing.
        if is_doubt || self.moved {
            draft.seen = Some(self.known_candidates(&seen.field));
        }
        Some(draft)
    }

    /// The candidates of a field that the side has said or learned of.
    fn known_candidates(&self, field: &FieldName) -> Vec<SaidId> {
        let side = &self.ask.side;
        let candidates = self.state.field(field).into_iter().flat_map(|field| &field.candidates);
        let knows = |candidate: &&Candidate| {
            candidate.origin.side == *side || candidate.known.iter().any(|(known, _)| known == side)
        };
        candidates.filter(knows).map(|candidate| candidate.said).collect()
    }

    /// The receipt that a read-back stands for: the fields that showed what was sent, perhaps none; none if it made nothing.
    fn receipt(&self, sent: &Event, key: &str, ends: Vec<SaidId>, seen: &Seen, made_nothing: bool) -> Draft {
        let header = &sent.header;
        let mut draft = Draft::new(Kind::Receipt, self.stream.clone(), self.origin.clone(), self.at, Author::engine());
        draft.detail = Detail::Fate { key: key.to_owned(), ends, reason: String::new() };
        let mut times = Vec::new();
        for (index, (field, value)) in sent.words().enumerate().filter(|_| !made_nothing) {
            if let Some(time) = self.took(field, value, header.said_at, seen) {
                draft.words.push((field.clone(), value.clone()));
                draft.carries.push(header.carries[index].clone());
                times.extend(time);
            }
        }
        // A receipt of nothing is dated by the reading, so that it stands after the write it is about.
        draft.said_at = match draft.words.is_empty() {
            true => self.at.max(header.said_at),
            false => times.into_iter().max().or(seen.modified).unwrap_or(self.at),
        };
        draft
    }

    /// Whether a field took a value that was sent, and when; it may have been overwritten since.
    fn took(&self, field: &FieldName, value: &Value, sent_at: Millis, seen: &Seen) -> Option<Option<Millis>> {
        if **field == *EXISTENCE {
            return (Value::bool(seen.found || self.made_and_gone) == *value).then_some(None);
        }
        if !seen.found {
            return None;
        }
        let Some(shows) = seen.fields.iter().find(|shows| shows.field == *field) else {
            return value.is_null().then_some(None);
        };
        if shows.value == *value {
            return Some(shows.changed.or(shows.asked));
        }
        // An older one of the same value does not count: this write was planned over something newer.
        let shadow = self.state.side(&self.ask.side).and_then(|state| state.shown(field)).map(|shown| shown.at);
        let since = |at: Millis| at >= sent_at || shadow.is_some_and(|shadow| at > shadow);
        let mut past = shows.earlier.iter().filter(|past| !past.author.is_another() && since(past.at));
        past.find(|past| past.value == *value).map(|past| Some(past.at))
    }
}

//! What waits to be sent, and what became of what was sent.
//!
//! A row says only that a record is not in agreement with a side; the write itself is planned when it leaves, so a
//! newer word replaces an unsent older one. Before a write is handed out its `sent` event is on disk. A write of
//! which nothing is known, after a crash or a time-out, is read back before anything else goes to its record.

use std::collections::BTreeSet;

use super::{Engine, EngineError, core::Core};
use crate::{
    clock::Millis,
    event::{Author, Detail, Draft, Event, Kind, Origin},
    id::{FieldName, RecordId, SaidId, Seq, SideName},
    merge::{Heard, Record},
    projection::{self, Plan, Put},
    rulebook::EXISTENCE,
    value::Value,
};

/// A record that is not in agreement with a side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub since: Millis,
    not_before: Millis,
    attempts: u32,
    /// Handed out, and its outcome not known yet.
    busy: bool,
    /// The key of a write that certainly did not reach the side.
    unsent: Option<String>,
}

/// A write, ready to leave: its `sent` event is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The side.
    pub side: SideName,
    /// The record.
    pub record: RecordId,
    /// The side's own id for it, where it has said one.
    pub link: Option<Box<str>>,
    /// Whether the side has no such record and is to make it.
    pub create: bool,
    /// Whether the side is to delete it.
    pub delete: bool,
    /// The fields that differ, with their values; null clears one.
    pub fields: Vec<(FieldName, Value)>,
    /// Under this key the write may be repeated without harm.
    pub key: String,
    /// Who said the first of the values.
    pub author: Author,
    /// How often it was tried before.
    pub attempts: u32,
    puts: Vec<Put>,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The side took it.
    Applied(Receipt),
    /// The side refused it for good.
    Refused {
        /// In the side's words.
        reason: String,
    },
    /// It certainly did not take effect; it may be tried again after this many milliseconds.
    RetryAfter(i64),
    /// It may or may not have taken effect: it is read back before anything else is sent.
    Unknown,
}

/// A side's answer to a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The side's own id for the record.
    pub link: Option<Box<str>>,
    /// The side's own time of the write; `None`: it does not say.
    pub at: Option<Millis>,
    /// What the side now shows of the written fields, as far as it says; a field it does not speak of shows what was sent.
    pub shows: Vec<(FieldName, Value)>,
}

/// A question: what does the side show of this record?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The side.
    pub side: SideName,
    /// The record.
    pub record: RecordId,
    /// The side's own id for it.
    pub link: Option<Box<str>>,
    /// The fields; empty: all.
    pub fields: Vec<FieldName>,
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether the side has the record.
    pub found: bool,
    /// The side's own id for it.
    pub link: Option<Box<str>>,
    /// What it shows, each with the time of that field's last change where the side keeps one.
    pub fields: Vec<(FieldName, Value, Option<Millis>)>,
    /// When the record last changed, by the side's clock.
    pub modified: Option<Millis>,
}

impl Core {
    /// Takes up the writes that waited when the store was last open.
    pub fn resume_outbox(&mut self) -> Result<(), EngineError> {
        for (side, record, since) in self.store.outbox()? {
            self.rows.entry((side, record)).or_insert_with(|| Row::since(since));
        }
        Ok(())
    }

    /// Looks at a record's plans; rows follow, and what is settled without a write is returned as statements.
    fn look(&mut self, record: &RecordId, now: Millis) -> Result<Vec<Draft>, EngineError> {
        let mut drafts = Vec::new();
        let state = self.hold(record)?.record.clone();
        let edition = self.book.newest();
        let connected = edition.sides.iter().filter(|(_, spec)| spec.connected).map(|(name, _)| name.clone());
        for side in connected.collect::<Vec<_>>() {
            let plan = projection::plan(record.kind(), &state, &side, self.book.newest());
            let open = state.side(&side).is_some_and(|state| !state.in_flight.is_empty());
            let waits = open || !plan.puts.is_empty() || !plan.doubts.is_empty();
            self.set_row(&side, record, waits.then_some(now));
            if !plan.settled.is_empty() && !open {
                drafts.push(self.settled_draft(record, &side, &state, &plan, now));
            }
        }
        Ok(drafts)
    }

    fn settled_draft(&self, record: &RecordId, side: &SideName, state: &Record, plan: &Plan, now: Millis) -> Draft {
        let at = self.book.on_side(side, now);
        let mut draft = Draft::new(Kind::Settled, record.clone(), origin_of(state, side), at, Author::engine());
        draft.words = plan.settled.iter().map(|put| (put.field.clone(), put.value.clone())).collect();
        draft.carries = plan.settled.iter().map(|put| put.carries.clone()).collect();
        draft
    }

    fn set_row(&mut self, side: &SideName, record: &RecordId, since: Option<Millis>) {
        let key = (side.clone(), record.clone());
        let changed = match since {
            Some(since) => match self.rows.entry(key.clone()) {
                std::collections::btree_map::Entry::Vacant(free) => {
                    free.insert(Row::since(since));
                    true
                }
                std::collections::btree_map::Entry::Occupied(_) => false,
            },
            None => self.rows.get(&key).is_some_and(|row| !row.busy) && self.rows.remove(&key).is_some(),
        };
        if changed {
            self.rows_changed.insert(key);
        }
    }

    /// Counts how often a field changes hands between sides; one that does so too often is to be parked.
    pub fn guard_loops(&mut self, heard: &Heard) {
        let header = &heard.event.header;
        let said = matches!(header.kind, Kind::Edit | Kind::Create | Kind::Observe);
        let Some(side) = self.manifest.side(&header.origin.side).filter(|_| said) else { return };
        let within = i64::try_from(side.cooldown.within.as_millis()).unwrap_or(i64::MAX);
        let now = self.clock.now();
        for field in &header.fields {
            let key = (header.record.clone(), field.clone());
            let won = self.held.get(&header.record).and_then(|held| held.record.field(field));
            if won.is_none_or(|field| field.winner().said != header.said) {
                continue;
            }
            let (last, times) =
                self.flips.entry(key).or_insert_with(|| (header.origin.side.clone(), Default::default()));
            if *last != header.origin.side {
                *last = header.origin.side.clone();
                times.push_back(now);
                while times.front().is_some_and(|time| now.0 - time.0 > within) {
                    times.pop_front();
                }
            }
        }
    }

    /// The statements that park fields which change hands too often.
    fn park_loops(&mut self, record: &RecordId, now: Millis) -> Vec<Draft> {
        let limit =
            |core: &Core, side: &str| core.manifest.side(side).map_or(usize::MAX, |side| side.cooldown.flips as usize);
        let mut fields: Vec<FieldName> = Vec::new();
        for ((of, field), (side, times)) in &self.flips {
            if of == record && times.len() > limit(self, side) {
                fields.push(field.clone());
            }
        }
        fields.iter().for_each(|field| {
            self.flips.remove(&(record.clone(), field.clone()));
        });
        let sides: Vec<SideName> =
            self.book.newest().sides.iter().filter(|(_, spec)| spec.connected).map(|(name, _)| name.clone()).collect();
        let drafts = fields.iter().flat_map(|field| {
            tracing::warn!(%record, %field, "a field changes hands too often and was parked");
            sides.iter().map(|side| {
                let origin = Origin::side(side.clone());
                let mut draft = Draft::new(Kind::Parked, record.clone(), origin, now, Author::engine());
                draft.words = vec![(field.clone(), Value::null())];
                draft.carries = vec![Vec::new()];
                draft.detail = Detail::Reason("the field changed hands between sides too often".to_owned());
                draft
            })
        });
        drafts.collect()
    }
}

impl Row {
    fn since(since: Millis) -> Self {
        Row { since, not_before: since, attempts: 0, busy: false, unsent: None }
    }
}

fn origin_of(record: &Record, side: &SideName) -> Origin {
    let link = record.side(side).and_then(|state| state.link.clone());
    Origin { side: side.clone(), link, node: None }
}

impl Engine {
    /// Brings rows in line with all records that events have touched, and logs what is settled without a write.
    pub(super) fn settle(&self, core: &mut Core) -> Result<(), EngineError> {
        while !core.touched.is_empty() {
            let now = self.now();
            let mut drafts = Vec::new();
            for record in std::mem::take(&mut core.touched) {
                drafts.extend(core.look(&record, now)?);
                drafts.extend(core.park_loops(&record, now));
            }
            self.log_own(core, drafts)?;
        }
        Ok(())
    }

    /// Logs statements of the engine's own; returns the last sequence.
    fn log_own(&self, core: &mut Core, drafts: Vec<Draft>) -> Result<Seq, EngineError> {
        if !drafts.is_empty() {
            let sealed = drafts.into_iter().map(|draft| self.seal(draft)).collect::<Result<Vec<_>, _>>()?;
            core.take(&self.inner.log, sealed)?;
        }
        Ok(self.inner.log.last())
    }

    /// How many records are not in agreement with a side, and since when the longest of them.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn outbox(&self, side: &str) -> Result<(usize, Option<Millis>), EngineError> {
        let core = self.core()?;
        let rows = core.rows.iter().filter(|((of, _), _)| **of == *side);
        let since = rows.clone().map(|(_, row)| row.since).min();
        Ok((rows.count(), since))
    }

    /// Hands out what is due for a side: at most `most` writes and questions, one for each record.
    ///
    /// Every write's `sent` event is on disk. Each must be answered with [`Engine::outcome`], each question with
    /// [`Engine::seen`], before its record is handed out again.
    ///
    /// # Errors
    /// If the log or the state fails.
    ///
    /// # After a crash
    /// Writes that were handed out and not answered come back as questions.
    pub fn due(&self, side: &str, most: usize) -> Result<(Vec<Write>, Vec<Ask>), EngineError> {
        let mut core = self.core()?;
        let now = self.now();
        let mut waiting: Vec<(Millis, RecordId)> = core
            .rows
            .iter()
            .filter(|((of, _), row)| **of == *side && !row.busy && row.not_before <= now)
            .map(|((_, record), row)| (row.since, record.clone()))
            .collect();
        if waiting.len() > most {
            waiting.select_nth_unstable(most);
            waiting.truncate(most);
        }
        waiting.sort();
        let (mut writes, mut asks, mut drafts) = (Vec::new(), Vec::new(), Vec::new());
        for (_, record) in waiting {
            self.hand_out(&mut core, side, &record, now, &mut writes, &mut asks, &mut drafts)?;
        }
        let last = self.log_own(&mut core, drafts)?;
        core.touched.clear();
        drop(core);
        self.wait(last)?;
        Ok((writes, asks))
    }

    #[allow(clippy::too_many_arguments)]
    fn hand_out(
        &self,
        core: &mut Core,
        side: &str,
        record: &RecordId,
        now: Millis,
        writes: &mut Vec<Write>,
        asks: &mut Vec<Ask>,
        drafts: &mut Vec<Draft>,
    ) -> Result<(), EngineError> {
        let state = core.hold(record)?.record.clone();
        let plan = projection::plan(record.kind(), &state, side, core.book.newest());
        let key = core.rows.keys().find(|(of, id)| **of == *side && id == record).cloned();
        let Some(key) = key else { return Ok(()) };
        let side = key.0.clone();
        let at = core.book.on_side(&side, now);
        let Some(row) = core.rows.get_mut(&key) else { return Ok(()) };
        let open = state.side(&side).is_some_and(|state| !state.in_flight.is_empty());
        let link = origin_of(&state, &side).link;
        if plan.puts.is_empty() && plan.doubts.is_empty() && !open {
            core.rows.remove(&key);
            core.rows_changed.insert(key);
            return Ok(());
        }
        if (open && row.unsent.is_none()) || plan.puts.is_empty() {
            let fields = if open { Vec::new() } else { plan.doubts };
            row.busy = true;
            asks.push(Ask { side, record: record.clone(), link, fields });
            return Ok(());
        }
        let write = Write::of(self, &side, record, &state, plan.puts, row.attempts);
        row.busy = true;
        if row.unsent.take().as_ref() != Some(&write.key) {
            drafts.push(write.sent_draft(&state, at));
        }
        writes.push(write);
        Ok(())
    }

    /// Takes what became of writes.
    ///
    /// # Errors
    /// If the log or the state fails.
    pub fn outcome(&self, outcomes: Vec<(Write, Outcome)>) -> Result<(), EngineError> {
        let mut core = self.core()?;
        let now = self.now();
        let mut drafts = Vec::new();
        for (write, outcome) in outcomes {
            let key = (write.side.clone(), write.record.clone());
            let state = core.hold(&write.record)?.record.clone();
            let at = core.book.on_side(&write.side, now);
            let row = core.rows.entry(key).or_insert_with(|| Row::since(now));
            row.busy = false;
            match outcome {
                Outcome::Applied(receipt) => {
                    (row.attempts, row.since) = (0, now);
                    drafts.extend(write.receipt_drafts(&state, receipt, at));
                }
                Outcome::Refused { reason } => {
                    row.attempts = 0;
                    drafts.push(write.refused_draft(&state, reason, at));
                }
                Outcome::RetryAfter(millis) => {
                    row.attempts += 1;
                    row.not_before = now.plus(millis);
                    row.unsent = Some(write.key);
                }
                Outcome::Unknown => {
                    row.attempts += 1;
                    row.unsent = None;
                }
            }
        }
        self.finish(core, drafts)
    }

    fn finish(&self, mut core: std::sync::MutexGuard<'_, Core>, drafts: Vec<Draft>) -> Result<(), EngineError> {
        self.log_own(&mut core, drafts)?;
        self.settle(&mut core)?;
        let last = self.inner.log.last();
        drop(core);
        self.wait(last)
    }

    /// Takes the answer to a question; `None`: the side could not be asked, try again after `retry` milliseconds.
    ///
    /// # Errors
    /// If the log or the state fails.
    pub fn seen(&self, ask: Ask, answer: Result<Seen, i64>) -> Result<(), EngineError> {
        let mut core = self.core()?;
        let now = self.now();
        let key = (ask.side.clone(), ask.record.clone());
        let row = core.rows.entry(key).or_insert_with(|| Row::since(now));
        row.busy = false;
        let seen = match answer {
            Ok(seen) => seen,
            Err(retry) => {
                row.attempts += 1;
                row.not_before = now.plus(retry);
                return Ok(());
            }
        };
        let drafts = self.seen_drafts(&mut core, &ask, seen, now)?;
        core.touched.insert(ask.record);
        self.finish(core, drafts)
    }

    /// What a read-back says: which write took effect, and what the side shows besides.
    fn seen_drafts(&self, core: &mut Core, ask: &Ask, seen: Seen, now: Millis) -> Result<Vec<Draft>, EngineError> {
        let held = core.hold(&ask.record)?;
        let (state, line) = (held.record.clone(), held.line.clone());
        let at = core.book.on_side(&ask.side, now);
        let mut shows = seen.fields;
        if ask.fields.is_empty() {
            let field = FieldName::new(EXISTENCE).expect("a good name");
            shows.push((field, Value::bool(seen.found), None));
        }
        let link = seen.link.or_else(|| origin_of(&state, &ask.side).link);
        let origin = Origin { side: ask.side.clone(), link, node: None };
        let mut drafts = Vec::new();
        let mut settled: BTreeSet<FieldName> = BTreeSet::new();
        if let Some(write) = state.side(&ask.side).and_then(|state| state.in_flight.last()) {
            let entry = &line.entries()[write.entry as usize];
            let sent = self.event_at(entry.seq, entry.place)?;
            let draft = confirmed(&sent, &write.key, &shows, &origin, seen.modified.unwrap_or(at));
            settled.extend(draft.words.iter().map(|(field, _)| field.clone()));
            drafts.push(draft);
        }
        for (field, value, changed) in shows {
            let known =
                state.side(&ask.side).and_then(|state| state.shown(&field)).and_then(|shown| shown.newest.as_ref());
            let missing = *field == *EXISTENCE && known.is_none();
            if settled.contains(&field) || known == Some(&value) && !ask.fields.contains(&field) || missing {
                continue;
            }
            let time = changed.or(seen.modified).unwrap_or(at);
            let mut draft = Draft::new(Kind::Observe, ask.record.clone(), origin.clone(), time, Author::default());
            draft.coarse = changed.is_none();
            // Where only a read-back can tell, it comes after all that the side can have shown.
            if ask.fields.contains(&field) {
                let candidates = state.field(&field).map(|field| &field.candidates);
                draft.seen = candidates.map(|candidates| candidates.iter().map(|candidate| candidate.said).collect());
            }
            draft.words = vec![(field, value)];
            drafts.push(draft);
        }
        Ok(drafts)
    }
}

/// The receipt that a read-back stands for: the fields that show what was sent, perhaps none.
fn confirmed(
    sent: &Event,
    key: &str,
    shows: &[(FieldName, Value, Option<Millis>)],
    origin: &Origin,
    at: Millis,
) -> Draft {
    let header = &sent.header;
    let shown = |field: &FieldName| shows.iter().find(|(name, _, _)| name == field);
    let fits = |(index, (field, value)): (usize, (&FieldName, &Value))| {
        let (_, there, changed) = shown(field)?;
        let cleared = value.is_null() && there.is_null();
        (there == value || cleared).then(|| (field.clone(), value.clone(), header.carries[index].clone(), *changed))
    };
    let fields: Vec<_> = sent.words().enumerate().filter_map(fits).collect();
    let time = fields.iter().filter_map(|(_, _, _, changed)| *changed).max().unwrap_or(at);
    let mut draft = Draft::new(Kind::Receipt, header.record.clone(), origin.clone(), time, Author::engine());
    draft.detail = Detail::Write(key.to_owned());
    for (field, value, carries, _) in fields {
        draft.words.push((field, value));
        draft.carries.push(carries);
    }
    draft
}

impl Write {
    fn of(engine: &Engine, side: &SideName, record: &RecordId, state: &Record, puts: Vec<Put>, attempts: u32) -> Self {
        let existence = puts.iter().find(|put| *put.field == *EXISTENCE).map(|put| put.value == Value::bool(true));
        let fields: Vec<(FieldName, Value)> = puts
            .iter()
            .filter(|put| *put.field != *EXISTENCE)
            .map(|put| (put.field.clone(), put.value.clone()))
            .collect();
        // What the side showed before is part of the key: the same values over something newer are another write.
        let over = |field: &str| state.side(side).and_then(|state| state.shown(field)).map(|shown| shown.at);
        let said: Vec<(&FieldName, &Value, &Vec<SaidId>, Option<Millis>)> =
            puts.iter().map(|put| (&put.field, &put.value, &put.carries, over(&put.field))).collect();
        let key = engine.record_key(record).said_id(&crate::codec::encode(&("write", side, said)));
        let author = puts.first().map_or_else(Author::engine, |put| put.author.clone());
        Write {
            side: side.clone(),
            record: record.clone(),
            link: origin_of(state, side).link,
            create: existence == Some(true),
            delete: existence == Some(false),
            fields,
            key: key.to_string(),
            author,
            attempts,
            puts,
        }
    }

    fn draft(&self, kind: Kind, state: &Record, at: Millis) -> Draft {
        let origin = origin_of(state, &self.side);
        let mut draft = Draft::new(kind, self.record.clone(), origin, at, Author::engine());
        draft.words = self.puts.iter().map(|put| (put.field.clone(), put.value.clone())).collect();
        draft.carries = self.puts.iter().map(|put| put.carries.clone()).collect();
        draft
    }

    fn sent_draft(&self, state: &Record, at: Millis) -> Draft {
        let mut draft = self.draft(Kind::Sent, state, at);
        draft.detail = Detail::Write(self.key.clone());
        draft
    }

    fn refused_draft(&self, state: &Record, reason: String, at: Millis) -> Draft {
        let mut draft = self.draft(Kind::Refused, state, at);
        draft.detail = Detail::Refusal { key: self.key.clone(), reason };
        draft
    }

    /// The receipt, and what the side made of the values where it shows something else.
    fn receipt_drafts(&self, state: &Record, receipt: Receipt, at: Millis) -> Vec<Draft> {
        let at = receipt.at.unwrap_or(at);
        let mut draft = self.draft(Kind::Receipt, state, at);
        draft.detail = Detail::Write(self.key.clone());
        if receipt.link.is_some() {
            draft.origin.link = receipt.link;
        }
        let mut drafts = vec![draft.clone()];
        for (field, value) in receipt.shows {
            let Some(put) = self.puts.iter().find(|put| put.field == field && put.value != value) else { continue };
            let mut other = Draft::new(Kind::Observe, self.record.clone(), draft.origin.clone(), at, Author::default());
            other.seen = Some(put.carries.clone());
            other.words = vec![(field, value)];
            drafts.push(other);
        }
        drafts
    }
}

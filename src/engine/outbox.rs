//! What waits to be sent, and what became of what was sent.
//!
//! A row says only that a record is not in agreement with a side; the write itself is planned when it leaves, so a
//! newer word replaces an unsent older one. Before a write is handed out its `sent` event is on disk. A write of
//! which nothing is known, after a crash or a time-out, is read back before anything else goes to its record.

use super::{
    Engine, EngineError,
    core::Core,
    guard::Tripped,
    links::{Making, tie_draft},
    trace,
};
use crate::{
    clock::Millis,
    event::{Author, AuthorKind, Detail, Draft, Kind, Origin},
    id::{FieldName, RecordId, SaidId, Seq, SideName},
    merge::Record,
    projection::{self, Plan, Put},
    rulebook::{EXISTENCE, Edition},
    send::{Ask, InDoubt, Outcome, Receipt, Write},
    value::Value,
};

/// How far our guess of a side's clock may be behind it, in milliseconds.
const GUESS_MOST: i64 = 10_000;
/// How long what may be of our own making waits before it is looked at again, in milliseconds.
const OURS_AGAIN: i64 = 2_000;
/// How many records are looked at before what comes of it is logged.
const SETTLED_AT_ONCE: usize = 256;
/// About how many bytes of values are handed out at once.
const HANDED_BYTES_MOST: usize = 16 << 20;
/// How long a question waits whose answer told nothing, in milliseconds.
const ASK_AGAIN: i64 = 60_000;

/// A record that is not in agreement with a side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub since: Millis,
    pub not_before: Millis,
    pub attempts: u32,
    /// Handed out, and its outcome not known yet.
    pub busy: bool,
    /// The newest event of the record when a question about it was last answered.
    pub answered: Option<Seq>,
    /// The key of a write that certainly did not reach the side.
    pub unsent: Option<String>,
    /// Whether only bulk reading asked for it, such as a backfill: what someone has just edited goes first.
    pub bulk: bool,
}

impl Core {
    /// Takes up the rows of the last checkpoint; each is looked at again, because the log may have gone on since.
    fn resume_outbox(&mut self) -> Result<(), EngineError> {
        for (side, record, since) in self.store.outbox()? {
            let record = self.canonical(&record)?;
            self.touched.insert(record.clone());
            // Who asked for it is not kept; whatever is edited from now on need not wait behind it.
            let key = (side, record);
            if self.rows.get(&key).is_none() {
                self.rows.insert(key, Row { bulk: true, ..Row::since(since) });
            }
        }
        Ok(())
    }

    /// Looks at a record's plans; rows follow, and what is settled without a write is returned as statements.
    fn look(&mut self, record: &RecordId, now: Millis) -> Result<Vec<Draft>, EngineError> {
        let mut drafts = Vec::new();
        let state = self.hold(record)?.record.clone();
        drafts.extend(self.made_for(record, &state)?);
        let edition = self.book.newest();
        let connected = edition.sides.iter().filter(|(_, spec)| spec.connected).map(|(name, _)| name.clone());
        for side in connected.collect::<Vec<_>>() {
            let mut plan = {
                let projecting = trace::project(record, &side);
                let plan = projecting.in_scope(|| projection::plan(record.kind(), &state, &side, self.book.newest()));
                trace::projected(&projecting, &plan);
                plan
            };
            self.refer(record, &state, &side, &mut plan)?;
            let open = state.side(&side).is_some_and(|state| !state.in_flight.is_empty());
            // Of one that left before the store was opened it is not known when.
            self.note_making(&side, record, open && plan.makes(), Seq(0));
            let mut waits = open || plan.unread || !plan.puts.is_empty() || !plan.doubts.is_empty();
            if plan.makes() && !open {
                match self.making(record, &state, &side)? {
                    Making::Free | Making::Ours => {}
                    Making::Unpopulated | Making::Lacking => waits = false,
                    Making::Like(suggestion) => {
                        waits = false;
                        drafts.extend(self.certain_link(&suggestion, now));
                    }
                }
            }
            self.set_row(&side, record, waits.then_some(now));
            projection::first_part(&mut plan.settled);
            if !plan.settled.is_empty() && !open {
                drafts.push(self.settled_draft(record, &side, &state, &plan, now));
            }
        }
        Ok(drafts)
    }

    fn settled_draft(&self, record: &RecordId, side: &SideName, state: &Record, plan: &Plan, now: Millis) -> Draft {
        let at = self.book.on_side(side, now);
        let origin = origin_of(state, side);
        let stream = self.stream(record, side, origin.link.as_deref()).unwrap_or_else(|_| record.clone());
        let mut draft = Draft::new(Kind::Settled, stream, origin, at, Author::engine());
        draft.words = plan.settled.iter().map(|put| (put.field.clone(), put.value.clone())).collect();
        draft.carries = plan.settled.iter().map(|put| put.carries.clone()).collect();
        draft
    }

    fn set_row(&mut self, side: &SideName, record: &RecordId, since: Option<Millis>) {
        let key = (side.clone(), record.clone());
        let changed = match since {
            Some(since) => match self.rows.get(&key) {
                None => {
                    self.rows.insert(key.clone(), Row { bulk: self.bulk, ..Row::since(since) });
                    true
                }
                Some(row) => {
                    if row.bulk && !self.bulk {
                        let row = Row { bulk: false, ..row.clone() };
                        self.rows.insert(key.clone(), row);
                    }
                    false
                }
            },
            None => self.rows.get(&key).is_some_and(|row| !row.busy) && self.rows.remove(&key).is_some(),
        };
        if changed {
            self.rows_changed.insert(key);
        }
    }

    /// Lets statements about two ids stand after all that was said of the two: a side that shows what it has done since is
    /// right, whatever its clock was then.
    pub fn newest_ties(&self, drafts: impl IntoIterator<Item = Draft>) -> Result<Vec<Draft>, EngineError> {
        let mut told = Vec::new();
        for mut draft in drafts {
            if let (Kind::Absorb, Detail::Other { record, .. }) = (draft.kind, &draft.detail) {
                let known = self.identity.ties_of(&self.store, &draft.record)?.get(record).map(|tie| tie.at.plus(1));
                draft.said_at = known.map_or(draft.said_at, |known| draft.said_at.max(known));
            }
            told.push(draft);
        }
        Ok(told)
    }

    /// The writes to a side, each by its key and its `sent`, of which nothing is known yet; those under one key, if it is given.
    pub fn tries(
        &mut self,
        record: &RecordId,
        side: &SideName,
        key: Option<&str>,
    ) -> Result<Vec<(String, SaidId)>, EngineError> {
        let held = self.hold(record)?;
        let open = held.record.side(side).into_iter().flat_map(|state| &state.in_flight);
        let open = open.filter(|write| key.is_none_or(|key| write.key == key));
        Ok(open.map(|write| (write.key.clone(), held.line.entries()[write.entry as usize].said)).collect())
    }

    /// The statements that park what changes hands, or is made, too often.
    fn park_loops(&mut self, record: &RecordId, now: Millis) -> Vec<Draft> {
        let Tripped { fields, made_on } = self.guard.tripped(record, &self.manifest);
        let parked = |side: &SideName, fields: &[FieldName], why: &str| {
            let mut draft = Draft::new(Kind::Parked, record.clone(), Origin::side(side.clone()), now, Author::engine());
            draft.words = fields.iter().map(|field| (field.clone(), Value::null())).collect();
            draft.carries = vec![Vec::new(); fields.len()];
            draft.detail = Detail::Reason(why.to_owned());
            draft
        };
        let mut drafts = Vec::new();
        if !fields.is_empty() {
            let connected = self.book.newest().sides.iter().filter(|(_, spec)| spec.connected);
            let why = "the field changed hands between sides too often";
            drafts.extend(connected.map(|(side, _)| parked(side, &fields, why)));
        }
        for field in &fields {
            tracing::warn!(%record, %field, "a field changes hands too often and was parked");
        }
        for side in &made_on {
            tracing::warn!(%record, %side, "a record was made again and again on a side, and was parked");
            let existence = FieldName::new(EXISTENCE).expect("a good name");
            drafts.push(parked(side, &[existence], "the record was made on this side too often"));
        }
        drafts
    }
}

/// How a link names the write that made the record on its side: by its key, and the tries that are ended by it.
pub(super) fn made_by(key: &str, ends: &[SaidId]) -> String {
    ends.iter().fold(key.to_owned(), |told, sent| format!("{told} {sent}"))
}

/// The statement that ties a side's own id, come with an answer, to the record it was asked about: one that it had not had,
/// or one under which the record lives on because the side merged it. `made_by` says which write has made it.
pub(super) fn new_id_draft(
    side: &SideName,
    record: &RecordId,
    known: Option<&str>,
    answered: Option<&str>,
    made_by: &str,
    at: Millis,
) -> Option<Draft> {
    let answered = answered.filter(|answered| known != Some(*answered))?;
    let own = RecordId::on_side(record.kind(), side, answered).ok()?;
    let origin = Origin { side: side.clone(), link: Some(answered.into()), node: None };
    let merged = known.and_then(|known| RecordId::on_side(record.kind(), side, known).ok());
    let draft = match merged {
        Some(merged) => tie_draft(Kind::Absorb, &own, &merged, origin, at, Author::engine(), "merged"),
        None if *record == own => return None,
        None => tie_draft(Kind::Link, record, &own, origin, at, Author::engine(), made_by),
    };
    Some(draft)
}

/// The side's own record in a statement of [`new_id_draft`].
pub(super) fn side_record(tie: &Draft) -> &RecordId {
    match (&tie.kind, &tie.detail) {
        (Kind::Link, Detail::Other { record, .. }) => record,
        _ => &tie.record,
    }
}

/// A write of which nothing is known, and the side's own id to which it went.
type Doubt = (InDoubt, Option<Box<str>>);

impl Row {
    pub fn since(since: Millis) -> Self {
        Row { since, not_before: since, attempts: 0, busy: false, answered: None, unsent: None, bulk: false }
    }
}

pub(super) fn origin_of(record: &Record, side: &SideName) -> Origin {
    let link = record.side(side).and_then(|state| state.link.clone());
    Origin { side: side.clone(), link, node: None }
}

impl Engine {
    /// Brings rows in line with all records that events have touched, and logs what is settled without a write; then a
    /// checkpoint is made if it is due.
    pub(super) fn settle(&self, core: &mut Core) -> Result<(), EngineError> {
        let last = self.inner.log.last();
        // Whose plan is not made now is looked at again when the store is next opened.
        self.settle_all(core).inspect_err(|_| core.fall_behind(last))?;
        self.checkpoint_if_due(core)
    }

    fn settle_all(&self, core: &mut Core) -> Result<(), EngineError> {
        while !core.touched.is_empty() {
            let now = self.now();
            let mut drafts = Vec::new();
            // A few at a time: manifests and first readings touch all that there is.
            for _ in 0..SETTLED_AT_ONCE {
                let Some(record) = core.touched.pop_first() else { break };
                let record = core.canonical(&record)?;
                drafts.extend(core.look(&record, now)?);
                drafts.extend(core.park_loops(&record, now));
            }
            self.log_own(core, drafts)?;
            core.shed()?;
        }
        Ok(())
    }

    /// Logs statements of the engine's own; returns the last sequence.
    pub(super) fn log_own(&self, core: &mut Core, drafts: Vec<Draft>) -> Result<Seq, EngineError> {
        if !drafts.is_empty() {
            let sealed = drafts.into_iter().map(|draft| self.seal(draft)).collect::<Result<Vec<_>, _>>()?;
            core.take(&self.inner.log, sealed)?;
        }
        Ok(self.inner.log.last())
    }

    /// Takes up the writes that waited when the store was last open, and those that the replayed tail of the log asks for.
    pub(super) fn resume(&self) -> Result<(), EngineError> {
        let mut core = self.core()?;
        core.resume_outbox()?;
        self.finish(core, Vec::new())
    }

    /// How many records are not in agreement with a side, and since when the longest of them.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn outbox(&self, side: &str) -> Result<(usize, Option<Millis>), EngineError> {
        let core = self.core()?;
        let since = core.rows.of_side(side).map(|row| row.since).min();
        Ok((core.rows.of_side(side).count(), since))
    }

    /// When something is next due for a side; `None`: nothing waits, or all of it is handed out.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn next_due(&self, side: &str) -> Result<Option<Millis>, EngineError> {
        Ok(self.core()?.rows.next_due(side))
    }

    /// Hands out what is due for a side: at most `most` writes and questions, one for each record; what bulk reading asks
    /// for comes last.
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
        let (mut writes, mut asks, mut drafts) = (Vec::new(), Vec::new(), Vec::new());
        for record in core.rows.due(side, now, most) {
            self.hand_out(&mut core, side, &record, now, &mut writes, &mut asks, &mut drafts)?;
            // What is logged at once is bounded; the others are due as before.
            let bytes: usize = writes.iter().flat_map(|write| &write.puts).map(Put::bytes).sum();
            if bytes > HANDED_BYTES_MOST {
                break;
            }
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
        let Ok(side) = SideName::new(side) else { return Ok(()) };
        let key = (side.clone(), record.clone());
        if core.rows.get(&key).is_none() {
            return Ok(());
        }
        let mut plan = projection::plan(record.kind(), &state, &side, core.book.newest());
        core.refer(record, &state, &side, &mut plan)?;
        projection::first_part(&mut plan.puts);
        let at = core.book.on_side(&side, now);
        let in_flight = core.tries(record, &side, None)?;
        let open = !in_flight.is_empty();
        let link = origin_of(&state, &side).link;
        let making = if plan.makes() && !open { core.making(record, &state, &side)? } else { Making::Free };
        if making == Making::Ours {
            let mut row = core.rows.take(&key, now);
            row.not_before = now.plus(OURS_AGAIN);
            core.rows.insert(key, row);
            return Ok(());
        }
        if !open && (making != Making::Free || plan.puts.is_empty() && plan.doubts.is_empty() && !plan.unread) {
            core.rows.remove(&key);
            core.rows_changed.insert(key);
            return Ok(());
        }
        let stream = core.stream(record, &side, link.as_deref())?;
        let shown = core.shown_references(record.kind(), state.side(&side), &plan.puts);
        let left = core.newest();
        core.note_making(&side, record, plan.makes(), left);
        let Some(mut row) = core.rows.get(&key).cloned() else { return Ok(()) };
        let unsent = |(key, _): &(String, SaidId)| row.unsent.as_ref() == Some(key);
        if !in_flight.iter().all(unsent) || plan.puts.is_empty() || plan.unread {
            // Put again at once, a question whose answer told nothing would get the same answer for ever.
            if row.answered.take() == Some(state.last) {
                row.not_before = now.plus(ASK_AGAIN);
                core.rows.insert(key, row);
                return Ok(());
            }
            let fields = if open || plan.unread { Vec::new() } else { plan.doubts };
            row.busy = true;
            core.rows.insert(key, row);
            let (about, written) = self.in_doubt(core, record, &side)?.unzip();
            // What became of a write only the record can tell that it went to; the side may have another one beside it.
            let has_ended = |id: &str| state.side(&side).is_some_and(|side| side.has_ended(id));
            let is_asked = core.has_own_ids(&side) && about.as_ref().is_some_and(|about: &InDoubt| !about.create);
            let link = written.flatten().filter(|id| is_asked && !has_ended(id)).or(link);
            asks.push(Ask { side, record: record.clone(), link, fields, about });
            return Ok(());
        }
        let write = Write::of(self, &side, record, stream, &state, plan.puts, row.attempts);
        let write = Write { urgent: !row.bulk, shown, ..write };
        row.busy = true;
        if row.unsent.take().as_ref() != Some(&write.key) {
            drafts.push(write.sent_draft(&state, at, left, in_flight.into_iter().map(|(_, sent)| sent).collect()));
        }
        core.rows.insert(key, row);
        trace::send(&write).in_scope(|| trace::sent(&write));
        writes.push(write);
        Ok(())
    }

    /// The newest write of which nothing is known, and the side's own id to which it went.
    fn in_doubt(&self, core: &mut Core, record: &RecordId, side: &SideName) -> Result<Option<Doubt>, EngineError> {
        let held = core.hold(record)?;
        let Some(open) = held.record.side(side).and_then(|state| state.in_flight.last()) else { return Ok(None) };
        let entry = &held.line.entries()[open.entry as usize];
        let (key, seq, place) = (open.key.clone(), entry.seq, entry.place);
        let sent = self.event_at(seq, place)?;
        let existence = sent.words().find(|(field, _)| ***field == *EXISTENCE).map(|(_, value)| value.clone());
        let words = sent.words().filter(|(field, _)| ***field != *EXISTENCE);
        let about = InDoubt {
            key,
            left: sent.header.heard_at.millis(),
            create: existence == Some(Value::bool(true)),
            fields: words.map(|(field, value)| (field.clone(), value.clone())).collect(),
        };
        Ok(Some((about, sent.header.origin.link)))
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
            let record = core.canonical(&write.stream)?;
            let key = (write.side.clone(), record.clone());
            let state = core.hold(&record)?.record.clone();
            let ends = core.tries(&record, &write.side, Some(&write.key))?;
            let ends: Vec<SaidId> = ends.into_iter().map(|(_, sent)| sent).collect();
            let own_ids = core.has_own_ids(&write.side);
            let at = core.book.on_side(&write.side, now);
            let mut row = core.rows.take(&key, now);
            row.busy = false;
            let _told = trace::receipt(&write).entered();
            trace::answered(&write, &outcome);
            match outcome {
                Outcome::Applied(receipt) => {
                    (row.attempts, row.since) = (0, now);
                    drafts.extend(write.standoff_draft(&state, &receipt, core.book.newest(), at));
                    let told = write.receipt_drafts(&state, receipt, at, own_ids, ends);
                    drafts.extend(core.newest_ties(told)?);
                }
                Outcome::Refused { reason, fields } => {
                    row.attempts = 0;
                    let refused = write.refused_draft(&state, reason, &fields, at, ends);
                    let given_back = core.given_back(&write, &state, &refused, &fields, now);
                    drafts.push(refused);
                    drafts.extend(given_back);
                }
                Outcome::RetryAfter(millis) | Outcome::NotYet(millis) => {
                    row.attempts += 1;
                    row.not_before = now.plus(millis);
                    row.unsent = Some(write.key);
                }
                Outcome::Unknown => {
                    row.attempts += 1;
                    row.unsent = None;
                }
            }
            core.rows.insert(key, row);
        }
        self.finish(core, drafts)
    }

    pub(super) fn finish(
        &self,
        mut core: std::sync::MutexGuard<'_, Core>,
        drafts: Vec<Draft>,
    ) -> Result<(), EngineError> {
        self.log_own(&mut core, drafts)?;
        self.settle(&mut core)?;
        let last = self.inner.log.last();
        drop(core);
        self.wait(last)
    }
}

impl Write {
    fn of(
        engine: &Engine,
        side: &SideName,
        record: &RecordId,
        stream: RecordId,
        state: &Record,
        puts: Vec<Put>,
        attempts: u32,
    ) -> Self {
        let existence = puts.iter().find(|put| *put.field == *EXISTENCE).map(|put| put.value == Value::bool(true));
        let fields: Vec<(FieldName, Value)> = puts
            .iter()
            .filter(|put| *put.field != *EXISTENCE)
            .map(|put| (put.field.clone(), put.value.clone()))
            .collect();
        // What the side showed before is part of the key: the same values over something newer are another write.
        // A write on its way shows nothing yet: tried again, it keeps its key.
        let shown = |field: &str| state.side(side).and_then(|state| state.shown(field));
        let over = |field: &str| shown(field).filter(|shown| shown.newest.is_some()).map(|shown| shown.at);
        let said: Vec<(&FieldName, &Value, &Vec<SaidId>, Option<Millis>)> =
            puts.iter().map(|put| (&put.field, &put.value, &put.carries, over(&put.field))).collect();
        let key = engine.record_key(record).said_id(&crate::codec::encode(&("write", side, said)));
        let person = puts.iter().map(|put| &put.author).find(|author| author.is_another());
        let author = person.or(puts.first().map(|put| &put.author)).cloned().unwrap_or_else(Author::engine);
        Write {
            over: puts.iter().filter_map(|put| over(&put.field)).max(),
            side: side.clone(),
            record: record.clone(),
            link: origin_of(state, side).link,
            create: existence == Some(true),
            delete: existence == Some(false),
            fields,
            shown: Vec::new(),
            key: key.to_string(),
            author,
            attempts,
            urgent: true,
            puts,
            stream,
        }
    }

    fn draft(&self, kind: Kind, state: &Record, at: Millis) -> Draft {
        let origin = origin_of(state, &self.side);
        let mut draft = Draft::new(kind, self.stream.clone(), origin, at, Author::engine());
        draft.words = self.puts.iter().map(|put| (put.field.clone(), put.value.clone())).collect();
        draft.carries = self.puts.iter().map(|put| put.carries.clone()).collect();
        draft
    }

    fn sent_draft(&self, state: &Record, at: Millis, after: Seq, ends: Vec<SaidId>) -> Draft {
        let mut draft = self.draft(Kind::Sent, state, self.after_all(state, at));
        draft.detail = Detail::Try { key: self.key.clone(), after, ends };
        draft
    }

    /// A time that comes after what the side has said and shown so far: all of it was known when this write left.
    ///
    /// The side's clock is guessed, and the echo of a write that stood before what the side showed already would look like a
    /// stranger's word. What is further ahead was said by a clock that has been set right since.
    fn after_all(&self, state: &Record, at: Millis) -> Millis {
        let Some(side) = state.side(&self.side) else { return at };
        let ours = side.shows.iter().filter(|shown| shown.by_us).map(|shown| shown.at);
        let known = ours.chain(Some(side.newest).filter(|newest| newest.0 <= at.0 + GUESS_MOST));
        known.max().map_or(at, |known| at.max(known.plus(1)))
    }

    /// A time that comes after what earlier writes of ours made these fields show, and after what they were known to show when this
    /// one left.
    ///
    /// A side that counts in seconds, or a clock that stands, may bear one time for two writes: the later one comes after. What
    /// was said at the very time of this one may have been said before or after it.
    fn after_known(&self, state: &Record, at: Millis) -> Millis {
        let shown =
            |put: &Put| state.side(&self.side)?.shown(&put.field).filter(|shown| shown.by_us).map(|shown| shown.at);
        let earlier = self.puts.iter().filter_map(shown).max();
        let later = self.over.filter(|over| *over > at);
        earlier.max(later).map_or(at, |known| at.max(known.plus(1)))
    }

    /// What the side blames is parked; where it blames nothing that was sent, all of the write is.
    fn refused_draft(
        &self,
        state: &Record,
        reason: String,
        blamed: &[FieldName],
        at: Millis,
        ends: Vec<SaidId>,
    ) -> Draft {
        let open = state.side(&self.side).into_iter().flat_map(|side| &side.in_flight);
        let sent = open.filter(|sent| sent.key == self.key).map(|sent| sent.at).max();
        let mut draft = self.draft(Kind::Refused, state, sent.map_or(at, |sent| at.max(sent)));
        if draft.words.iter().any(|(field, _)| blamed.contains(field)) {
            let both = draft.words.into_iter().zip(draft.carries);
            (draft.words, draft.carries) = both.filter(|((field, _), _)| blamed.contains(field)).unzip();
        }
        draft.detail = Detail::Fate { key: self.key.clone(), ends, reason };
        draft
    }

    /// Parks fields that the side will not show as they were written and whose edits by it do not count: written again,
    /// they would come back the same for ever.
    fn standoff_draft(&self, state: &Record, receipt: &Receipt, edition: &Edition, at: Millis) -> Option<Draft> {
        let counts = |field: &FieldName| {
            let spec = edition.field(self.record.kind(), field);
            spec.is_none_or(|spec| spec.counts(&self.side))
        };
        let differs =
            |put: &&Put| receipt.shows.iter().any(|(field, shown)| *field == put.field && *shown != put.value);
        let stuck: Vec<&Put> = self.puts.iter().filter(differs).filter(|put| !counts(&put.field)).collect();
        if stuck.is_empty() {
            return None;
        }
        let mut draft =
            Draft::new(Kind::Parked, self.stream.clone(), origin_of(state, &self.side), at, Author::engine());
        draft.words = stuck.iter().map(|put| (put.field.clone(), put.value.clone())).collect();
        draft.carries = stuck.iter().map(|put| put.carries.clone()).collect();
        let reason = "the side shows another value than was written, and its own edits of the field do not count";
        draft.detail = Detail::Reason(reason.to_owned());
        Some(draft)
    }

    /// The receipt, and what the side made of the values where it shows something else.
    ///
    /// A side's own id that comes with it is tied to the record first.
    fn receipt_drafts(
        &self,
        state: &Record,
        receipt: Receipt,
        at: Millis,
        own_ids: bool,
        ends: Vec<SaidId>,
    ) -> Vec<Draft> {
        // A reading that began before this moment may not have seen what was written beside the record.
        let beside_at = self.after_known(state, at.plus(1));
        // What the side has anew has a line of its own, which nothing that we wrote of the old one stands on.
        let is_new = own_ids && receipt.link.is_some() && receipt.link != self.link;
        let took = receipt.at.unwrap_or(at);
        let at = if is_new { took } else { self.after_known(state, took) };
        let mut draft = self.draft(Kind::Receipt, state, at);
        let made_by = made_by(&self.key, &ends);
        draft.detail = match receipt.at.filter(|took| *took < at) {
            None => Detail::Fate { key: self.key.clone(), ends, reason: String::new() },
            Some(at) => Detail::Took { key: self.key.clone(), ends, at },
        };
        let mut drafts = Vec::new();
        if receipt.link.is_some() {
            if own_ids {
                let known = self.link.as_deref();
                drafts.extend(new_id_draft(&self.side, &self.stream, known, receipt.link.as_deref(), &made_by, at));
            }
            draft.origin.link = receipt.link;
        }
        if let Some(tie) = drafts.first() {
            draft.record = side_record(tie).clone();
        }
        let (within, beside) = split(draft.clone(), &receipt.beside, beside_at);
        drafts.extend([within].into_iter().chain(beside));
        for (field, value) in receipt.shows {
            let Some(put) = self.puts.iter().find(|put| put.field == field && put.value != value) else { continue };
            // The side has put a person's words into its own form: they are the person's all the same.
            let author = match put.author.kind {
                AuthorKind::User => Author { kind: AuthorKind::Unnamed, ..put.author.clone() },
                _ => Author::default(),
            };
            let mut other = Draft::new(Kind::Observe, draft.record.clone(), draft.origin.clone(), at, author);
            other.seen = Some(put.carries.clone());
            other.words = vec![(field, value)];
            drafts.push(other);
        }
        drafts
    }
}

/// A receipt without the words on these fields, and one with them alone, at another time, if there are any.
fn split(mut draft: Draft, fields: &[FieldName], at: Millis) -> (Draft, Option<Draft>) {
    let both = std::mem::take(&mut draft.words).into_iter().zip(std::mem::take(&mut draft.carries));
    let (beside, within): (Vec<_>, Vec<_>) = both.partition(|((field, _), _)| fields.contains(field));
    let mut other = Draft { said_at: at, ..draft.clone() };
    if let Detail::Took { key, ends, .. } = other.detail {
        other.detail = Detail::Fate { key, ends, reason: String::new() };
    }
    (other.words, other.carries) = beside.into_iter().unzip();
    (draft.words, draft.carries) = within.into_iter().unzip();
    // A receipt of nothing still ends the write, unless the other one does.
    match (draft.words.is_empty(), other.words.is_empty()) {
        (_, true) => (draft, None),
        (true, false) => (other, None),
        (false, false) => (draft, Some(other)),
    }
}

//! The part behind the lock: resolved records in memory, and how an event enters them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

use super::{
    EngineError, Said,
    guard::LoopGuard,
    held::{Held, Share},
    identity::{self, Identity, Regrouped},
    links::MatchKey,
    rows::Rows,
    stored::{read_event, read_line},
    trace,
};
use crate::{
    clock::{Clock, Hlc, Millis},
    event::{Detail, Event, Header, Kind, Sealed},
    id::{Place, RecordId, SaidId, Seq, SideName, TenantKey},
    log::{Appended, Entry, Known, Log, LogError},
    manifest::{Connector, Manifest},
    merge::{self, Advance, Heard, Line, Record},
    rulebook::{Edition, KindSpec, Rulebook, SideSpec},
    state::{Checkpoint, Counts, Pages, Store},
};

/// A record with its line.
pub(super) type Whole = (Arc<Record>, Arc<Line>);

/// When memory is over budget, one of so many records leaves it.
const SHED_SHARE: usize = 4;

pub(super) struct Core {
    pub store: Store,
    /// Shared with reads, which go on with the rules they began with.
    pub book: Arc<Rulebook>,
    pub manifest: Arc<Manifest>,
    /// The same, for those who ask for nothing else: they need not wait for the core.
    pub shown: Arc<RwLock<Arc<Manifest>>>,
    pub counts: Counts,
    pub(super) key: TenantKey,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rows: Rows,
    pub(super) rows_changed: BTreeSet<(SideName, RecordId)>,
    /// Records whose plans have to be looked at.
    pub(super) touched: BTreeSet<RecordId>,
    /// Whether what is touched now comes from bulk reading.
    pub(super) bulk: bool,
    /// When each side was last heard of, by our clock, since the store was opened.
    pub(super) heard_of: BTreeMap<SideName, Millis>,
    /// Watches for fields that change hands too often.
    pub(super) guard: LoopGuard,
    pub(super) held: HashMap<RecordId, Box<Held>, FxBuildHasher>,
    /// Pages of sources' numbers, and whether they have changed.
    pub(super) pages: FxHashMap<Box<str>, FxHashMap<u64, (Pages, bool)>>,
    /// Values by which records were matched and are no more: the index has them still.
    pub(super) lost_matches: BTreeSet<(Vec<u8>, RecordId)>,
    pub(super) void: Vec<SaidId>,
    checkpointed: Seq,
    /// The first of the events that the log has and that may not have taken effect: until the store is opened again nothing more
    /// is taken, and no checkpoint may stand for it.
    behind: Option<Seq>,
    last: Seq,
    heard: Hlc,
    memory_bytes: usize,
    held_bytes: usize,
    turn: u64,
    pub(super) identity: Identity,
    /// The kinds of which all that a side has is known.
    pub(super) populated: BTreeMap<SideName, BTreeSet<String>>,
    /// The records that a side is making, as far as is known, each with the last event before the order for it left.
    pub(super) being_made: BTreeMap<(SideName, RecordId), Seq>,
    /// The kinds with fields that name records, by the manifest in force.
    pub(super) referring: BTreeSet<String>,
}

impl Core {
    pub fn new(
        store: Store,
        key: TenantKey,
        checkpoint: Checkpoint,
        memory_bytes: usize,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let mut book = Rulebook::default();
        for said in &checkpoint.void {
            book.add_void(*said);
        }
        let manifest = Arc::new(Manifest::builtin());
        Core {
            store,
            book: Arc::new(book),
            manifest: manifest.clone(),
            shown: Arc::new(RwLock::new(manifest)),
            counts: checkpoint.counts,
            key,
            clock,
            rows: Rows::default(),
            rows_changed: BTreeSet::new(),
            touched: BTreeSet::new(),
            bulk: false,
            heard_of: BTreeMap::new(),
            guard: LoopGuard::default(),
            held: HashMap::default(),
            pages: HashMap::default(),
            lost_matches: BTreeSet::new(),
            void: checkpoint.void,
            checkpointed: checkpoint.seq,
            behind: None,
            last: checkpoint.seq,
            heard: Hlc::default(),
            memory_bytes,
            held_bytes: 0,
            turn: 0,
            identity: Identity::new(checkpoint.indexed.is_some_and(|held| held.ties > 0)),
            populated: BTreeMap::new(),
            being_made: BTreeMap::new(),
            referring: BTreeSet::new(),
        }
    }

    /// The id under which a record is resolved.
    pub fn canonical(&self, id: &RecordId) -> Result<RecordId, EngineError> {
        Ok(self.identity.canonical(&self.store, id)?)
    }

    /// The id under which a record is resolved; nothing is resolved under what is no id.
    fn canonical_text(&self, id: &str) -> Result<Option<RecordId>, EngineError> {
        RecordId::new(id).ok().map(|id| self.canonical(&id)).transpose()
    }

    pub fn checkpointed(&self) -> Seq {
        self.checkpointed
    }

    /// Notes that from this event on something of the log may not have taken effect.
    pub fn fall_behind(&mut self, seq: Seq) {
        self.behind = self.behind.or(Some(seq));
    }

    /// The newest event that has taken effect.
    pub fn newest(&self) -> Seq {
        self.last
    }

    pub fn newest_heard(&self) -> Hlc {
        self.heard
    }

    /// Reads the tenant's own line: manifests and clocks.
    pub fn load_book(&mut self, log: &Log) -> Result<(), EngineError> {
        let Some(line) = self.store.line("")? else { return Ok(()) };
        let checkpointed = self.checkpointed;
        for entry in line.entries().iter().filter(|entry| entry.seq <= checkpointed) {
            let event = read_event(log, &self.key, entry.seq, entry.place)?;
            self.heard = self.heard.max(event.header.heard_at);
            self.learn_rules(&event)?;
        }
        Ok(())
    }

    /// Takes a manifest or a clock into the rulebook; returns the time from which it matters.
    fn learn_rules(&mut self, event: &Event) -> Result<(), EngineError> {
        match &event.payload.detail {
            Detail::Manifest(text) => {
                let manifest = Manifest::parse(text).map_err(EngineError::Manifest)?;
                Arc::make_mut(&mut self.book).add_edition(event.header.said_at, text, edition(&manifest));
                if self.book.newest_text() == Some(text) {
                    self.manifest = Arc::new(manifest);
                    *self.shown.write().unwrap_or_else(PoisonError::into_inner) = self.manifest.clone();
                    self.note_referring();
                }
            }
            Detail::Clock(ahead) => {
                Arc::make_mut(&mut self.book).add_clock(&event.header.origin.side, event.header.said_at, *ahead)
            }
            _ => {
                if identity::is_population(event) {
                    let side = &event.header.origin.side;
                    // It speaks of the kinds that there were then: one that joins later was not read.
                    let kinds: Vec<String> = self.kinds_on(side).cloned().collect();
                    self.populated.entry(side.clone()).or_default().extend(kinds);
                }
            }
        }
        Ok(())
    }

    /// Takes sealed statements into the log and into their records.
    pub fn take(&mut self, log: &Log, sealed: Vec<Sealed>) -> Result<Vec<Said>, EngineError> {
        self.check_sound(log)?;
        self.check_rules(&sealed)?;
        let mut fresh: Vec<bool> = Vec::with_capacity(sealed.len());
        let mut batch: HashMap<SaidId, SmallVec<[usize; 2]>, FxBuildHasher> = HashMap::default();
        for (at, one) in sealed.iter().enumerate() {
            let header = &one.event.header;
            // One name may have been used for several contents.
            let others = batch.entry(header.said).or_default();
            let twice = others.iter().any(|other| sealed[*other].event.content() == one.event.content());
            others.push(at);
            let known = twice || self.knows(log, &one.event)?;
            self.counts.duplicates += u64::from(known && header.kind.is_said());
            fresh.push(!known);
        }
        let entries: Vec<Entry> = sealed
            .iter()
            .zip(&fresh)
            .filter(|(_, fresh)| **fresh)
            .map(|(one, _)| Entry { id: one.id(), header: &one.header, payload: &one.payload })
            .collect();
        let appending = trace::log(sealed.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|(one, _)| &one.event));
        let appended = appending.in_scope(|| log.append(&entries))?;
        let first = appended.first;
        // What is in the log takes effect whole, or what is in memory stands for none of it any more.
        self.take_effect(log, sealed, fresh, appended).inspect_err(|_| self.fall_behind(first))
    }

    /// Lets what was appended take effect; what is not fresh was not.
    fn take_effect(
        &mut self,
        log: &Log,
        sealed: Vec<Sealed>,
        fresh: Vec<bool>,
        appended: Appended,
    ) -> Result<Vec<Said>, EngineError> {
        let mut seq = appended.first;
        let mut places = appended.places.into_iter();
        let mut said = Vec::with_capacity(sealed.len());
        for (one, fresh) in sealed.into_iter().zip(fresh) {
            if !fresh {
                trace::repeated(&one.event);
                said.push(Said::Duplicate);
                continue;
            }
            let place = places.next().expect("every appended entry has a place");
            let (id, name) = (one.id(), one.event.header.said);
            trace::heard(&one.event, id, name, seq);
            let contradicted = self.counts.contradicted;
            let waiting = self.counts.waiting;
            let merging = trace::merge(&one.event, seq);
            merging.in_scope(|| self.apply(log, Heard { seq, place, event: one.event }))?;
            let contradicts = self.counts.contradicted > contradicted;
            said.push(Said::New { seq, id, said: name, waits: self.counts.waiting > waiting, contradicts });
            seq = seq.next();
        }
        self.shed()?;
        Ok(said)
    }

    /// Refuses to go on, and to make a checkpoint, where derived state lacks what the log has, or the log is damaged.
    pub fn check_sound(&self, log: &Log) -> Result<(), EngineError> {
        match (log.damaged(), self.behind) {
            (Some(seq), _) => Err(LogError::ReadOnly { seq }.into()),
            (None, Some(seq)) => Err(EngineError::Behind { seq }),
            (None, None) => Ok(()),
        }
    }

    /// Refuses what must never be in the log: a manifest that cannot be read again, anything before the first one.
    fn check_rules(&self, sealed: &[Sealed]) -> Result<(), EngineError> {
        let manifest = |one: &Sealed| match &one.event.payload.detail {
            Detail::Manifest(text) if one.event.header.record.is_empty() => Some(text.clone()),
            _ => None,
        };
        if self.book.is_empty() && sealed.first().is_some_and(|first| manifest(first).is_none()) {
            return Err(EngineError::NoRules);
        }
        for text in sealed.iter().filter(|one| one.event.header.kind == Kind::Manifest).filter_map(manifest) {
            Manifest::parse(&text).map_err(EngineError::Manifest)?;
        }
        Ok(())
    }

    /// Whether the record's line has this statement already.
    fn knows(&mut self, log: &Log, event: &Event) -> Result<bool, EngineError> {
        let said = event.header.said;
        let record = self.canonical(&event.header.record)?;
        let held = self.hold(&record)?;
        let Some(at) = held.line.find(&said) else { return Ok(false) };
        let same = |entry: &&merge::line::Entry| entry.said == said;
        let copies: Vec<(Seq, Place)> = match held.record.contradicted.is_empty() && held.record.copies.is_empty() {
            true => vec![(held.line.entries()[at as usize].seq, held.line.entries()[at as usize].place)],
            false => held.line.entries().iter().filter(same).map(|entry| (entry.seq, entry.place)).collect(),
        };
        let content = event.content();
        for (seq, place) in copies {
            if read_event(log, &self.key, seq, place)?.content() == content {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lets an event that is in the log take effect.
    pub fn apply(&mut self, log: &Log, heard: Heard) -> Result<(), EngineError> {
        // The first manifest may be damaged: nothing can be judged without it.
        if self.book.is_empty() && !matches!(heard.event.payload.detail, Detail::Manifest(_)) {
            return Err(EngineError::NoRules);
        }
        let header = &heard.event.header;
        self.last = heard.seq;
        self.heard = self.heard.max(header.heard_at);
        self.note_side(header);
        self.count(header);
        self.note_name(log, &heard)?;
        if header.record.is_empty() {
            return self.apply_tenant(log, heard);
        }
        let mut record = self.canonical(&header.record)?;
        self.apply_record(log, &record, &heard)?;
        if let Some(other) = identity::other_of(&heard.event) {
            self.regroup(log, &heard.event)?;
            record = self.canonical(&record)?;
            let other = self.canonical(other)?;
            self.touched.insert(other);
        }
        if self.book.newest().sides.values().any(|side| side.connected) {
            if let Some(held) = self.held.get(&record) {
                self.guard.note(&record, &heard, &held.record, &self.manifest, self.clock.now());
            }
            self.touched.insert(record);
        }
        Ok(())
    }

    /// Notes that a side was heard of.
    fn note_side(&mut self, header: &Header) {
        if !header.kind.is_said() && header.kind != Kind::Receipt {
            return;
        }
        let now = header.heard_at.millis();
        match self.heard_of.get_mut(&header.origin.side) {
            Some(at) => *at = now.max(*at),
            None => drop(self.heard_of.insert(header.origin.side.clone(), now)),
        }
    }

    fn count(&mut self, header: &Header) {
        let counts = &mut self.counts;
        counts.events += u64::from(header.kind.is_said());
        match header.kind {
            Kind::Sent => counts.sent += 1,
            Kind::Receipt => counts.receipts += u64::from(!header.fields.is_empty()),
            Kind::Refused => counts.refused += 1,
            _ => {}
        }
    }

    fn apply_record(&mut self, log: &Log, record: &RecordId, heard: &Heard) -> Result<(), EngineError> {
        self.hold(record)?;
        let meant = self.meaning(heard)?;
        let heard = meant.as_ref().unwrap_or(heard);
        let matched = self.keys_of(record);
        let held = self.held.get_mut(record).expect("the record was just put in memory");
        let before = held.share();
        if held.advance(heard, &self.book) == Advance::Refold {
            self.refold_held(log, record, before, Some(heard))?;
        } else {
            let after = held.share();
            let bytes = held.bytes;
            held.reckon_more(&heard.event);
            self.held_bytes = self.held_bytes - bytes + held.bytes;
            self.adjust(before, after);
        }
        let matches = self.keys_of(record);
        self.note_matches(record, &matched, &matches)
    }

    /// The values by which a record in memory is matched.
    fn keys_of(&self, record: &RecordId) -> Vec<MatchKey> {
        let matched = self.manifest.kind(record.kind()).is_some_and(|kind| !kind.match_on.is_empty());
        if matched { self.match_keys(record, &self.held[record].record) } else { Vec::new() }
    }

    /// An event that names records, as it is meant; `None`: it names none.
    fn meaning(&self, heard: &Heard) -> Result<Option<Heard>, EngineError> {
        if !self.note_named(&heard.event)? {
            return Ok(None);
        }
        let mut meant = heard.clone();
        self.understand(&mut meant.event)?;
        Ok(Some(meant))
    }

    /// Resolves a record in memory anew from its events in the log, and one more; `before` is what it added to the totals.
    fn refold_held(
        &mut self,
        log: &Log,
        record: &RecordId,
        before: Share,
        more: Option<&Heard>,
    ) -> Result<(), EngineError> {
        let mut held = self.let_go(record).expect("the record is in memory");
        let done = self.refold(log, &mut held, more);
        self.adjust(before, held.share());
        self.keep(record, held);
        done
    }

    fn adjust(&mut self, before: Share, after: Share) {
        if before == after {
            return;
        }
        let add = |total: &mut u64, before: i64, after: i64| *total = total.saturating_add_signed(after - before);
        add(&mut self.counts.records, before.records, after.records);
        add(&mut self.counts.conflicts_open, before.conflicts, after.conflicts);
        add(&mut self.counts.parked, before.parked, after.parked);
        add(&mut self.counts.waiting, before.waiting, after.waiting);
        add(&mut self.counts.contradicted, before.contradicted, after.contradicted);
        add(&mut self.counts.echoes, before.echoes, after.echoes);
    }

    /// Resolves a record anew from its events in the log, and one more.
    fn refold(&self, log: &Log, held: &mut Held, more: Option<&Heard>) -> Result<(), EngineError> {
        let mut events = read_line(log, &self.key, &held.line)?;
        self.understand_all(&mut events)?;
        events.extend(more.filter(|heard| held.line.position(heard.seq).is_none()).cloned());
        let (record, line) = merge::fold(&events, &self.book);
        held.replace(record, line);
        Ok(())
    }

    /// Lets a statement about two records take effect: those that it joins are resolved as one, those that it parts anew.
    fn regroup(&mut self, log: &Log, event: &Event) -> Result<(), EngineError> {
        let Some(Regrouped { before, after }) = self.identity.take(&self.store, event)? else { return Ok(()) };
        self.being_made.retain(|(_, id), _| !before.contains(id));
        let mut events: BTreeMap<RecordId, Vec<Heard>> = BTreeMap::new();
        let mut rows = Vec::new();
        for id in &before {
            let mut held = match self.let_go(id) {
                Some(held) => held,
                None => {
                    let (record, line) = self.store.whole(id)?.unwrap_or_default();
                    Held::new(record, line, true)
                }
            };
            self.adjust(held.share(), Share::default());
            for mut heard in read_line(log, &self.key, &held.line)? {
                let id = self.canonical(&heard.event.header.record)?;
                self.understand(&mut heard.event)?;
                events.entry(id).or_default().push(heard);
            }
            rows.extend(self.take_rows(id, &held.record)?);
        }
        for id in after.iter().map(identity::least) {
            let (record, line) = merge::fold(&events.remove(&id).unwrap_or_default(), &self.book);
            self.note_matches(&id, &[], &self.match_keys(&id, &record))?;
            let mut held = Held::new(record, line, true);
            self.adjust(Share::default(), held.share());
            held.used = self.turn;
            self.keep(&id, held);
            self.touched.insert(id);
        }
        self.put_rows(rows)?;
        self.refold_referring(log, &after)
    }

    /// Manifests and clocks change how conflicts are judged, so records with any are resolved anew.
    fn apply_tenant(&mut self, log: &Log, heard: Heard) -> Result<(), EngineError> {
        let first = self.book.is_empty();
        self.learn_rules(&heard.event)?;
        let record = heard.event.header.record.clone();
        self.apply_record(log, &record, &heard)?;
        let judges = matches!(heard.event.header.kind, Kind::Manifest | Kind::Clock);
        if !first && judges {
            self.refold_all(log)?;
        }
        Ok(())
    }

    /// Resolves every record anew.
    pub fn refold_all(&mut self, log: &Log) -> Result<(), EngineError> {
        for record in self.ids()? {
            self.refold_one(log, &record)?;
        }
        Ok(())
    }

    pub(super) fn refold_one(&mut self, log: &Log, record: &RecordId) -> Result<(), EngineError> {
        let before = self.hold(record)?.share();
        self.refold_held(log, record, before, None)?;
        let matches = self.keys_of(record);
        // The manifest may match by other fields than before, so all of them are noted.
        self.note_matches(record, &[], &matches)?;
        self.touched.insert(record.clone());
        self.shed()
    }

    /// The ids of all records, ascending, the tenant's own line aside.
    pub fn ids(&self) -> Result<Vec<RecordId>, EngineError> {
        let mut ids = self.store.ids("\u{1}").collect::<Result<BTreeSet<_>, _>>()?;
        ids.retain(|id| !self.identity.is_gone(id));
        ids.extend(self.held.keys().filter(|id| !id.is_empty()).cloned());
        Ok(ids.into_iter().collect())
    }

    /// Puts a record in memory.
    pub fn hold(&mut self, id: &RecordId) -> Result<&mut Held, EngineError> {
        self.turn += 1;
        if !self.held.contains_key(id) {
            let held = self.load(id)?;
            self.keep(id, held);
        }
        let held = self.held.get_mut(id).expect("the record is in memory");
        held.used = self.turn;
        Ok(held)
    }

    fn load(&self, id: &RecordId) -> Result<Box<Held>, EngineError> {
        if self.identity.is_gone(id) {
            return Ok(Held::new(Record::default(), Line::default(), true));
        }
        let (record, line) = self.store.whole(id)?.unwrap_or_default();
        Ok(Held::new(record, line, false))
    }

    fn keep(&mut self, id: &RecordId, mut held: Box<Held>) {
        held.reckon();
        self.held_bytes += held.bytes;
        self.held.insert(id.clone(), held);
    }

    fn let_go(&mut self, id: &RecordId) -> Option<Box<Held>> {
        let held = self.held.remove(id)?;
        self.held_bytes -= held.bytes;
        Some(held)
    }

    /// A record's resolved state for reading; nothing is kept in memory for it.
    pub fn peek(&self, id: &str) -> Result<Option<Arc<Record>>, EngineError> {
        let Some(id) = self.canonical_text(id)? else { return Ok(None) };
        match self.held.get(&id) {
            Some(held) => Ok(Some(held.record.clone())),
            None => Ok(self.store.record(&id)?.map(Arc::new)),
        }
    }

    /// A record with its line, for reading.
    pub fn peek_whole(&self, id: &str) -> Result<Option<Whole>, EngineError> {
        let Some(id) = self.canonical_text(id)? else { return Ok(None) };
        match self.held.get(&id) {
            Some(held) => Ok(Some((held.record.clone(), held.line.clone()))),
            None => Ok(self.store.whole(&id)?.map(|(record, line)| (record.into(), line.into()))),
        }
    }

    /// A record's line for reading.
    pub fn peek_line(&self, id: &str) -> Result<Option<Arc<Line>>, EngineError> {
        let Some(id) = self.canonical_text(id)? else { return Ok(None) };
        match self.held.get(&id) {
            Some(held) => Ok(Some(held.line.clone())),
            None => Ok(self.store.line(&id)?.map(Arc::new)),
        }
    }

    /// Writes the longest unused records out when memory is over budget.
    pub fn shed(&mut self) -> Result<(), EngineError> {
        self.shed_pages()?;
        if self.held_bytes <= self.memory_bytes {
            return Ok(());
        }
        let mut uses: Vec<u64> = self.held.values().map(|held| held.used).collect();
        let share = uses.len().div_ceil(SHED_SHARE).min(uses.len() - 1);
        let (_, since, _) = uses.select_nth_unstable(share);
        let since = *since;
        let unused = self.held.iter().filter(|(id, held)| held.used < since && !self.identity.is_moved(id));
        let leave: Vec<RecordId> = unused.map(|(id, _)| id.clone()).collect();
        for id in leave {
            if let Some(held) = self.let_go(&id).filter(|held| held.dirty) {
                self.store.put_record(&id, &held.record, &held.line)?;
            }
        }
        Ok(())
    }

    /// Writes everything out and says that it stands for the log up to `seq`, which is durable.
    pub fn checkpoint(&mut self, seq: Seq, log: Known, closed: bool) -> Result<(), EngineError> {
        if self.identity.is_changed() {
            self.store.withdraw()?;
            self.identity.write(&self.store)?;
        }
        self.strike_matches()?;
        self.write_pages()?;
        let mut dirty: Vec<(&RecordId, &Box<Held>)> = self.held.iter().filter(|(_, held)| held.dirty).collect();
        dirty.sort_unstable_by_key(|(id, _)| *id);
        self.store.settle(dirty.into_iter().map(|(id, held)| (id, &*held.record, &*held.line)))?;
        self.held.values_mut().for_each(|held| held.dirty = false);
        for row in &self.rows_changed {
            self.store.put_outbox(&row.0, &row.1, self.rows.get(row).map(|row| row.since))?;
        }
        self.rows_changed.clear();
        let checkpoint =
            Checkpoint { seq, log, counts: self.counts, void: self.void.clone(), closed, ..Checkpoint::default() };
        self.store.checkpoint(&checkpoint)?;
        self.checkpointed = seq;
        Ok(())
    }
}

/// What merging has to know of a manifest.
pub(super) fn edition(manifest: &Manifest) -> Edition {
    let side = |side: &crate::manifest::Side| {
        let resolution = u32::try_from(side.clock.resolution_ms()).unwrap_or(u32::MAX);
        let own_ids = matches!(side.connector, Connector::Hubspot | Connector::Portal);
        (side.name.clone(), SideSpec { connected: side.connector != Connector::None, resolution, own_ids })
    };
    let kind = |(name, kind): (&String, &crate::manifest::RecordKind)| {
        let fields = kind.fields.iter().map(|(name, field)| (name.to_string(), field.spec.clone())).collect();
        let sides = kind.sides.as_ref().map(|sides| sides.keys().cloned().collect());
        (name.clone(), KindSpec { fields, deletes: kind.deletes, sides })
    };
    Edition { kinds: manifest.records.iter().map(kind).collect(), sides: manifest.sides.iter().map(side).collect() }
}

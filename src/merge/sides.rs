//! What a fold knows of each side: its id for the record, what it shows, what is on its way there, what waits.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::{
    clock::Millis,
    event::{AuthorKind, Detail, Event, Header, Kind},
    id::{FieldName, RecordId, SaidId, SideName},
    merge::{
        fold::{Fold, Lesson, Word, is_counted, line_class, makes, may_echo, origin_key, tells_of_end},
        record::{InFlight, Park, Record, Shown},
    },
    rulebook::EXISTENCE,
    value::Value,
};

impl<'a> Fold<'a> {
    /// The events that count.
    pub(super) fn counted(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.heard.len() as u32).filter(|at| self.counts[*at as usize])
    }

    /// Walks what each side said and was told under each of its own ids: tells words from echoes, and keeps what it shows.
    pub(super) fn walk_lines(&mut self) {
        let mut lines: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        self.mergers = self.find_mergers();
        let gone = self.merged_away();
        self.past = self.past_ids(&gone);
        for at in self.counted() {
            let header = &self.event(at).header;
            // A side that merges two records tells of the one that goes as deleted; the survivor is not.
            let ended = header.kind == Kind::Delete && gone.contains(&origin_key(&header.origin));
            if line_class(header.kind).is_some() && !ended {
                lines.entry(&header.origin.side).or_default().push(at);
            }
        }
        let fruitless: BTreeSet<SaidId> = self.fruitless_writes().collect();
        for (side, mut line) in lines {
            // What was said of ids that the side has since ended is older than all it says of those it has.
            line.sort_by(|a, b| self.is_past(*b).cmp(&self.is_past(*a)).then_with(|| self.compare_places(*a, *b)));
            self.learned.extend(Some((side, self.lessons(&line))).filter(|(_, lessons)| !lessons.is_empty()));
            for (nth, (id, line)) in self.by_ids(side, &line).into_iter().enumerate() {
                self.walk(side, id, &line, nth == 0, &fruitless);
            }
        }
    }

    /// What a side said and was told, in the order of its line, as it stands under each of the ids that it has; there is one
    /// but where another side's merger has made two of its records one. What names no id, or one that is over, stands under
    /// each of them.
    fn by_ids(&self, side: &'a str, line: &[u32]) -> Vec<(Option<&'a str>, Vec<u32>)> {
        let survivors = self.mergers.iter().map(|(at, _)| *at);
        let spoke = line.iter().copied().filter(|at| names_id(&self.event(*at).header));
        let there = spoke.chain(survivors).map(|at| origin_key(&self.event(at).header.origin));
        let ids = there.filter(|id| id.0 == side && !id.1.is_empty() && !self.past.contains(id)).map(|(_, id)| id);
        let ids: BTreeSet<&str> = ids.collect();
        if ids.len() < 2 {
            return vec![(ids.first().copied(), line.to_vec())];
        }
        let of =
            |id| line.iter().copied().filter(|at| self.is_past(*at) || stands_under(self.event(*at), id)).collect();
        ids.into_iter().map(|id| (Some(id), of(id))).collect()
    }

    /// Walks what stands under one of a side's ids; what stands under each of them counts under the first.
    fn walk(&mut self, side: &'a str, id: Option<&'a str>, line: &[u32], first: bool, fruitless: &BTreeSet<SaidId>) {
        let took = self.took_before(line);
        let mut shows = BTreeMap::new();
        // The event of each field's newest word, if it counts.
        let mut last: BTreeMap<&FieldName, u32> = BTreeMap::new();
        let mut over: BTreeSet<SaidId> = BTreeSet::new();
        for &at in line {
            let header = &self.event(at).header;
            // What came to nothing a side was never about to show; and a write that it took before it is thought to have left
            // is not on its way after that.
            if header.kind == Kind::Sent && (fruitless.contains(&header.said) || over.contains(&header.said)) {
                continue;
            }
            over.extend(ended(self.event(at)));
            let counts = self.counts_under(at, id, first);
            let mut own = false;
            for (field, value) in self.event(at).words() {
                let mut ids = [None, header.origin.link.as_deref()].into_iter();
                if may_be_ours(header) && ids.any(|id| took.contains(&(id, header.said_at, field, value))) {
                    continue;
                }
                let shown = shows.entry(field).or_insert_with(|| Shown::nothing(field));
                let repeats = shown.is_repeated_by(header, value, self.time[at as usize]);
                let is_own = shown.take(header, value, self.time[at as usize]);
                own |= is_own;
                match is_own {
                    true if is_counted(self.kind, field, self.event(at), self.book) => {
                        last.insert(field, at);
                        if counts {
                            self.words.entry(field).or_default().push(Word { event: at, value });
                        }
                    }
                    true => {
                        last.remove(field);
                        if counts {
                            self.refused.push((at, field));
                        }
                    }
                    false => {}
                }
                if let Some(word) = last.get(field).filter(|_| counts && repeats && !is_own) {
                    self.repeats.entry(field).or_default().push((at, *word));
                }
            }
            self.echoes += u32::from(counts && !own && may_echo(header));
        }
        self.shows.entry(side).or_default().push((id, shows));
    }

    /// Fills in what is known of every side: its id, what it shows, which writes are on their way, what waits.
    pub(super) fn fill_sides(&self, record: &mut Record) {
        let on_line = self.counted().filter(|at| line_class(self.event(*at).header.kind).is_some());
        let mut linked = Vec::new();
        for at in on_line {
            let header = &self.event(at).header;
            let state = record.side_mut(&header.origin.side);
            state.newest = state.newest.max(self.time[at as usize]);
            if names_id(header) {
                linked.push(at);
            }
        }
        let (mergers, gone): (Vec<u32>, BTreeSet<_>) = self.mergers.iter().copied().unzip();
        linked.extend(&mergers);
        linked.sort_by(|a, b| self.compare_places(*a, *b));
        for at in linked {
            let origin = &self.event(at).header.origin;
            if !self.is_past(at) {
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
                let shows = match self.shows.get(&*state.side).map_or(&[][..], Vec::as_slice) {
                    [only] => Some(only),
                    ids => ids.iter().find(|(id, _)| *id == state.link.as_deref()),
                };
                state.shows = shows.into_iter().flat_map(|(_, shows)| shows.values().cloned()).collect();
            }
        }
        self.fill_writes(record);
        self.fill_parks(record);
    }

    /// The mergers of two of a side's records that are in force, each with the id that it ended; a side merges none but its own.
    ///
    /// Of statements about one pair of ids the newest counts: what was merged away may live again, or have become the survivor.
    fn find_mergers(&self) -> Vec<(u32, (&'a str, &'a str))> {
        let mut newest: BTreeMap<[&RecordId; 2], u32> = BTreeMap::new();
        for at in self.counted() {
            let Some(pair) = tied(self.event(at)) else { continue };
            let known = newest.entry(pair).or_insert(at);
            if tie_place(self.event(*known)) < tie_place(self.event(at)) {
                *known = at;
            }
        }
        let ended = |at: u32| {
            let event = self.event(at);
            let Detail::Other { record, .. } = &event.payload.detail else { return None };
            let ended = record.side_and_link().filter(|(side, _)| **side == *event.header.origin.side)?;
            (event.header.kind == Kind::Absorb).then_some((at, ended))
        };
        newest.into_values().filter_map(ended).collect()
    }

    /// The sides' own ids that mergers ended.
    pub(super) fn merged_away(&self) -> BTreeSet<(&'a str, &'a str)> {
        self.mergers.iter().map(|(_, ended)| *ended).collect()
    }

    /// The sides' own ids that are over: mergers ended them, which are `gone`, or they were deleted while the side has the
    /// record under another.
    fn past_ids(&self, gone: &BTreeSet<(&'a str, &'a str)>) -> BTreeSet<(&'a str, &'a str)> {
        let mut past = gone.clone();
        if !self.counted().any(|at| tells_of_end(self.event(at))) {
            return past;
        }
        // For each other id what was last told of whether the side has it; one of which only fields are known is there.
        let mut last: BTreeMap<(&str, &str), Option<u32>> = BTreeMap::new();
        for at in self.counted() {
            let event = self.event(at);
            let (header, id) = (&event.header, origin_key(&event.header.origin));
            let shows = header.kind == Kind::Receipt || header.kind.is_said() && line_class(header.kind).is_some();
            if !shows || header.fields.is_empty() || header.origin.link.is_none() || past.contains(&id) {
                continue;
            }
            let last = last.entry(id).or_default();
            let tells = header.fields.iter().any(|field| **field == *EXISTENCE);
            if tells && last.is_none_or(|known| self.compare_places(known, at).is_lt()) {
                *last = Some(at);
            }
        }
        let is_over = |last: &Option<u32>| last.is_some_and(|at| tells_of_end(self.event(at)));
        let has: BTreeSet<&str> = last.iter().filter(|(_, last)| !is_over(last)).map(|((side, _), _)| *side).collect();
        past.extend(last.iter().filter(|((side, _), last)| is_over(last) && has.contains(side)).map(|(id, _)| *id));
        past
    }

    /// A merger is read once a reading of its survivor, on its side, names it.
    fn fill_unread(&self, mergers: &[u32], record: &mut Record) {
        let readings = self.counted().map(|at| &self.event(at).header).filter(|header| header.kind == Kind::Observe);
        let named = |header: &'a Header| header.seen.iter().flatten().map(|said| (&header.origin.side, *said));
        let named: BTreeSet<(&SideName, SaidId)> = readings.flat_map(named).collect();
        for header in mergers.iter().map(|at| &self.event(*at).header) {
            if !named.contains(&(&header.origin.side, header.said)) {
                record.side_mut(&header.origin.side).unread.push(header.said);
            }
        }
        record.sides.iter_mut().for_each(|state| state.unread.sort());
    }

    /// When a side learned of what an event tells it, by its own clock.
    fn told_at(&self, at: u32) -> Millis {
        match self.event(at).payload.detail {
            Detail::Took { at, .. } => at,
            _ => self.time[at as usize],
        }
    }

    /// Whether an event is about one of its side's own ids that is over.
    pub(super) fn is_past(&self, at: u32) -> bool {
        !self.past.is_empty() && self.past.contains(&origin_key(&self.event(at).header.origin))
    }

    /// Whether an event may have taught one who spoke under an id that is over, or under one that is not: what a side was told
    /// under the id that it has came after all that was said under those that are over, whatever its clock said.
    pub(super) fn teaches(&self, teacher: u32, past: bool) -> bool {
        !past || self.is_past(teacher)
    }

    /// What the events of a side's line tell it, field by field, by its own time: the line itself has what was said of records
    /// that were merged away first, whatever its time.
    fn lessons(&self, line: &[u32]) -> BTreeMap<&'a FieldName, Vec<Lesson>> {
        let mut lessons: BTreeMap<&FieldName, Vec<Lesson>> = BTreeMap::new();
        for at in line.iter().copied() {
            let header = &self.event(at).header;
            if matches!(header.kind, Kind::Receipt | Kind::Settled) {
                header.fields.iter().for_each(|field| lessons.entry(field).or_default().push((self.told_at(at), at)));
            }
        }
        lessons.values_mut().for_each(|list| list.sort_unstable());
        lessons
    }

    /// When writes of ours replaced what a side showed of a field, ascending.
    ///
    /// The side's author saw what we wrote, and of the side's own earlier words only those that we had known. Of a merged
    /// field, what a write replaced unheard must not look as if he had taken it out.
    pub(super) fn overwritten(&self, side: &str, past: bool, field: &FieldName) -> Vec<Millis> {
        let learned = self.learned.get(side).and_then(|fields| fields.get(&field)).into_iter().flatten();
        let is_receipt = |at: u32| self.event(at).header.kind == Kind::Receipt;
        let receipts = learned.filter(|(_, at)| is_receipt(*at) && self.teaches(*at, past));
        let mut times: Vec<Millis> = receipts.map(|(time, _)| *time).collect();
        times.sort();
        times.dedup();
        times
    }

    /// What writes made a side show, and when, where the line itself cannot tell: before their receipts stand on it; and under an
    /// id that is over, where what it was told under another may stand at that very time.
    fn took_before(&self, line: &[u32]) -> BTreeSet<Took<'a>> {
        let mut took = BTreeSet::new();
        for &at in line {
            let event = self.event(at);
            let id = match event.payload.detail {
                Detail::Took { .. } => None,
                _ if event.header.kind == Kind::Receipt && self.is_past(at) => event.header.origin.link.as_deref(),
                _ => continue,
            };
            took.extend(event.words().map(|(field, value)| (id, self.told_at(at), field, value)));
        }
        took
    }

    /// What each linear word's side showed of a field just before it, where the side's line says so.
    pub(super) fn shown_before(&self, field: &FieldName) -> HashMap<u32, &Value> {
        let mut lines: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for at in self.counted() {
            let event = self.event(at);
            // What is on its way, or was not written because it was there, shows nothing new.
            let shows =
                !matches!(event.header.kind, Kind::Sent | Kind::Settled) && line_class(event.header.kind).is_some();
            if shows && event.header.fields.contains(field) {
                lines.entry(&event.header.origin.side).or_default().push(at);
            }
        }
        let value = |at: u32| self.event(at).words().find(|(name, _)| *name == field).map(|(_, value)| value);
        let mut shown = HashMap::new();
        for (side, mut line) in lines {
            let when = |at| (!self.is_past(at), self.told_at(at));
            line.sort_by(|a, b| when(*a).cmp(&when(*b)).then_with(|| self.compare_places(*a, *b)));
            for (nth, (id, line)) in self.by_ids(side, &line).into_iter().enumerate() {
                let pairs = line.windows(2).map(|pair| (pair[0], pair[1]));
                let words = pairs
                    .filter(|(_, at)| self.event(*at).header.seen.is_none() && self.counts_under(*at, id, nth == 0));
                shown.extend(words.filter_map(|(before, at)| Some((at, value(before)?))));
            }
        }
        shown
    }

    /// Whether an event counts under this one of the ids under which it stands; `first`: it is the first of them all.
    fn counts_under(&self, at: u32, id: Option<&str>, first: bool) -> bool {
        let link = self.event(at).header.origin.link.as_deref();
        link.is_some() && link == id || first && (link.is_none() || self.is_past(at))
    }

    /// Whether a write of ours has left for the side, which may have lost its connector since.
    fn was_written(&self, side: &SideName) -> bool {
        self.counted().map(|at| &self.event(at).header).any(|header| {
            let write = matches!(header.kind, Kind::Sent | Kind::Receipt) && !header.fields.is_empty();
            write && header.origin.side == *side
        })
    }

    /// A write is open until something names it that says what became of it: what left and what came of it belong together
    /// whatever the side's clock says.
    fn fill_writes(&self, record: &mut Record) {
        let (sent, others): (Vec<u32>, Vec<u32>) = self
            .counted()
            .filter(|at| writes(self.event(*at)))
            .partition(|at| self.event(*at).header.kind == Kind::Sent);
        let named: HashSet<SaidId> = sent.iter().chain(&others).flat_map(|at| ended(self.event(*at))).collect();
        let is_open = |at: &u32| match &self.event(*at).payload.detail {
            Detail::Try { .. } => !named.contains(&self.event(*at).header.said),
            _ => !others.iter().any(|outcome| self.closes_unnamed(*outcome, *at)),
        };
        let mut open: Vec<u32> = sent.iter().copied().filter(is_open).collect();
        open.sort_by(|a, b| self.compare_places(*a, *b));
        for at in open {
            let event = self.event(at);
            let key = event.payload.detail.write_key().expect("a sent event has a key").to_owned();
            let fields = event.header.fields.clone();
            let write = InFlight { key, entry: at, at: self.time[at as usize], fields };
            record.side_mut(&event.header.origin.side).in_flight.push(write);
        }
    }

    /// Whether a write that left before outcomes named what they end is ended: by an outcome that bears its key, or by a
    /// receipt that stands after it, since writes to a record go one after the other. A receipt of nothing, and a refusal,
    /// say nothing of a later try under the same key.
    fn closes_unnamed(&self, outcome: u32, sent: u32) -> bool {
        let (by, of) = (self.event(outcome), self.event(sent));
        let is_receipt = by.header.kind == Kind::Receipt;
        let after = is_receipt && self.compare_places(sent, outcome).is_lt();
        // What made the record on a side is known to have by the link that it brought.
        let took = is_receipt && !by.header.fields.is_empty() || by.header.kind == Kind::Link;
        let key = match &by.payload.detail {
            Detail::Other { label, .. } => Some(label.split(' ').next().unwrap_or_default()),
            detail => detail.write_key(),
        };
        let so_far = took || self.time[outcome as usize] >= self.time[sent as usize];
        let same = key == of.payload.detail.write_key();
        by.header.origin.side == of.header.origin.side && (after || same && so_far)
    }

    /// The writes that came to nothing: those that a side refused, and those to make a record that made none.
    ///
    /// A receipt of nothing for another write is no proof: what it put there may have been replaced before anyone looked.
    fn fruitless_writes(&self) -> impl Iterator<Item = SaidId> + '_ {
        let is_make = |said: &SaidId| {
            let sent = self.by_said.get(said).map(|at| self.event(*at));
            sent.is_some_and(|sent| sent.header.kind == Kind::Sent && makes(sent))
        };
        self.counted().map(|at| self.event(at)).flat_map(move |event| {
            let refused = event.header.kind == Kind::Refused;
            let nothing = event.header.kind == Kind::Receipt && event.header.fields.is_empty();
            let ends = if refused || nothing { ended(event) } else { Vec::new() };
            ends.into_iter().filter(move |said| refused || is_make(said))
        })
    }

    /// The writes of which something says what became and that nobody has heard of.
    pub(super) fn unheard_writes(&self) -> impl Iterator<Item = SaidId> + '_ {
        self.counted().flat_map(|at| ended(self.event(at))).filter(|said| !self.by_said.contains_key(said))
    }

    fn fill_parks(&self, record: &mut Record) {
        let of_kind = |kinds: &'static [Kind]| {
            self.counted().filter(|at| kinds.contains(&self.event(*at).header.kind)).collect::<Vec<u32>>()
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

/// Whether a side may say with it, once more, what a write of ours made it show.
fn may_be_ours(header: &Header) -> bool {
    header.kind.is_said() && header.seen.is_none() && !header.author.is_another()
}

/// Whether a side is known by it to have the record under the id that it names: it speaks, or has taken a write.
fn names_id(header: &Header) -> bool {
    header.origin.link.is_some() && (header.kind.is_said() || header.kind == Kind::Receipt)
}

/// The id under which a write was taken, if only under that, when, and what was written.
type Took<'a> = (Option<&'a str>, Millis, &'a FieldName, &'a Value);

/// Whether what an event says was said or told under an id, or may have been: what names no id, and what leaves to make the
/// record, before it has the id that it will have.
fn stands_under(event: &Event, id: &str) -> bool {
    let link = event.header.origin.link.as_deref();
    link.is_none_or(|link| link == id) || event.header.kind == Kind::Sent && makes(event)
}

/// Whether an event is about a write: it leaves, or something became of it.
pub(super) fn writes(event: &Event) -> bool {
    event.header.kind == Kind::Link || event.payload.detail.write_key().is_some()
}

/// The writes, each by its `sent`, of which an event says what became.
///
/// What made a record on a side is known to have by the link that it brought, also when the two have been parted since.
pub(super) fn ended(event: &Event) -> Vec<SaidId> {
    let is_ours = event.header.kind == Kind::Link && event.header.author.kind == AuthorKind::Ours;
    match &event.payload.detail {
        Detail::Try { ends, .. } | Detail::Fate { ends, .. } | Detail::Took { ends, .. } => ends.clone(),
        Detail::Other { label, .. } if is_ours => label.split(' ').skip(1).filter_map(SaidId::from_hex).collect(),
        _ => Vec::new(),
    }
}

/// The two ids that a statement ties or parts, the lesser first.
fn tied(event: &Event) -> Option<[&RecordId; 2]> {
    let Detail::Other { record, .. } = &event.payload.detail else { return None };
    let one = &event.header.record;
    let ties = matches!(event.header.kind, Kind::Link | Kind::Absorb | Kind::Unlink);
    ties.then(|| if one < record { [one, record] } else { [record, one] })
}

/// The place of a statement about two ids among those about the same two.
fn tie_place(event: &Event) -> (Millis, u8, Vec<u8>) {
    let class = match event.header.kind {
        Kind::Link => 0,
        Kind::Absorb => 1,
        _ => 2,
    };
    (event.header.said_at, class, event.content())
}

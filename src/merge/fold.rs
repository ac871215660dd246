//! The fold: a record, resolved from the set of its events.
//!
//! Order of work: which events count, who had named whom, each side's own line (echoes, shadows),
//! then field by field what happened before what, which words are left, and which of them wins.
//! Nothing here depends on the order of the log: sequences only say where an event is found.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use rustc_hash::FxBuildHasher;

use crate::{
    clock::Millis,
    event::{Event, Header, Kind, Origin},
    field::{DeleteRule, FieldType},
    id::{FieldName, Place, SaidId, Seq},
    merge::{
        before::Before,
        combine::{self, Part, Said},
        document,
        judge::{self, corrected},
        line::{Entry, Line},
        record::{Candidate, Existence, Field, Reason, Record, Shown, Told, Waiting},
    },
    rulebook::{EXISTENCE, Rulebook},
    value::Value,
};

/// An event with its place in the log.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Its sequence.
    pub seq: Seq,
    /// Where its bytes are.
    pub place: Place,
    /// The event.
    pub event: Event,
}

/// A word that counts: an event's value for a field.
pub(super) struct Word<'a> {
    pub event: u32,
    pub value: &'a Value,
}

/// What an event is on a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordState {
    /// A word that counts.
    Word,
    /// It repeats what its side was told, or was known to show.
    Echo,
    /// Its side may not write the field.
    NotCounted,
    /// It names something that is not there.
    Waits,
    /// Another copy of it is in effect.
    OtherCopy,
}

/// When a side learned of words, on its own line, and the event that carries them.
pub(super) type Lesson = (Millis, u32);

/// One of a side's ids, and what the side shows under it, field by field.
pub(super) type Shows<'a> = (Option<&'a str>, BTreeMap<&'a FieldName, Shown>);

/// A record's events with all that follows from them together.
pub struct Fold<'a> {
    pub(super) heard: Vec<&'a Heard>,
    pub(super) book: &'a Rulebook,
    pub(super) kind: &'a str,
    /// For each event that counts, the events that it names.
    pub(super) named: Vec<Vec<u32>>,
    pub(super) counts: Vec<bool>,
    waiting: Vec<u32>,
    contradicted: Vec<u32>,
    copies: Vec<u32>,
    pub(super) echoes: u32,
    /// The mergers of two of a side's records that are in force, each with the id that it ended.
    pub(super) mergers: Vec<(u32, (&'a str, &'a str))>,
    /// The sides' own ids that are over.
    pub(super) past: BTreeSet<(&'a str, &'a str)>,
    depth: Vec<u32>,
    pub(super) time: Vec<Millis>,
    pub(super) by_said: HashMap<SaidId, u32, FxBuildHasher>,
    /// Words of sides that may not write the field.
    pub(super) refused: Vec<(u32, &'a FieldName)>,
    /// For each field, the events that only repeat a word, with that word's.
    pub(super) repeats: BTreeMap<&'a FieldName, Vec<(u32, u32)>>,
    /// The words of each field, in no order that matters.
    pub(super) words: BTreeMap<&'a FieldName, Vec<Word<'a>>>,
    /// What each side shows under each of its ids.
    pub(super) shows: BTreeMap<&'a str, Vec<Shows<'a>>>,
    /// For each side and field, when the side learned of which words: time and the event that carries them.
    pub(super) learned: BTreeMap<&'a str, BTreeMap<&'a FieldName, Vec<Lesson>>>,
    /// The fields whose words build on what their side showed: those that are merged and that writes of ours replaced.
    as_shown: BTreeSet<&'a FieldName>,
    /// What candidates of each event share, once there is one.
    told: Vec<OnceCell<Arc<Told>>>,
}

/// Resolves a record from its events, which may come in any order.
pub fn fold(events: &[Heard], book: &Rulebook) -> (Record, Line) {
    Fold::new(events, book).finish()
}

impl<'a> Fold<'a> {
    /// Takes a record's events together.
    pub fn new(events: &'a [Heard], book: &'a Rulebook) -> Self {
        let mut heard: Vec<&Heard> = events.iter().collect();
        heard.sort_by_key(|heard| heard.seq);
        let count = heard.len();
        let mut fold = Fold {
            kind: heard.first().map_or("", |first| first.event.header.record.kind()),
            heard,
            book,
            named: vec![Vec::new(); count],
            counts: vec![false; count],
            waiting: Vec::new(),
            contradicted: Vec::new(),
            copies: Vec::new(),
            echoes: 0,
            mergers: Vec::new(),
            past: BTreeSet::new(),
            depth: vec![0; count],
            time: vec![Millis(0); count],
            by_said: HashMap::default(),
            refused: Vec::new(),
            repeats: BTreeMap::new(),
            words: BTreeMap::new(),
            shows: BTreeMap::new(),
            learned: BTreeMap::new(),
            as_shown: BTreeSet::new(),
            told: vec![OnceCell::new(); count],
        };
        fold.choose_copies();
        fold.follow_names();
        fold.walk_lines();
        fold.take_decisions();
        fold.as_shown = fold.words.keys().copied().filter(|name| fold.builds_as_shown(name)).collect();
        fold
    }

    pub(super) fn event(&self, at: u32) -> &'a Event {
        &self.heard[at as usize].event
    }

    /// Of several copies of one statement the one with the smallest content counts.
    fn choose_copies(&mut self) {
        for at in 0..self.heard.len() as u32 {
            let said = self.event(at).header.said;
            if self.book.is_void(&said) {
                self.contradicted.push(at);
                continue;
            }
            self.counts[at as usize] = true;
            let Some(&other) = self.by_said.get(&said) else {
                self.by_said.insert(said, at);
                continue;
            };
            let (mine, theirs) = (self.event(at).content(), self.event(other).content());
            // Of equal copies the newest, which is the one that a line finds by its name.
            let (winner, loser) = if mine <= theirs { (at, other) } else { (other, at) };
            self.by_said.insert(said, winner);
            self.counts[loser as usize] = false;
            if mine != theirs {
                let named = self.event(at).header.named.source().is_some();
                if named { &mut self.contradicted } else { &mut self.copies }.push(loser);
            }
        }
    }

    /// Resolves names, sets aside what waits, and gives each event its depth and time.
    fn follow_names(&mut self) {
        let count = self.heard.len();
        let mut above = vec![Vec::new(); count];
        let mut missing = vec![0usize; count];
        let mut ready = Vec::new();
        for at in (0..count as u32).filter(|at| self.counts[*at as usize]) {
            for said in self.event(at).header.seen.iter().flatten() {
                match self.by_said.get(said) {
                    Some(&parent) if self.named[at as usize].contains(&parent) => {}
                    Some(&parent) => {
                        self.named[at as usize].push(parent);
                        above[parent as usize].push(at);
                        missing[at as usize] += 1;
                    }
                    None => missing[at as usize] = usize::MAX / 2,
                }
            }
            if missing[at as usize] == 0 {
                ready.push(at);
            }
        }
        let mut newest: Vec<Vec<(&Origin, Millis)>> = vec![Vec::new(); count];
        let mut reached = vec![false; count];
        while let Some(at) = ready.pop() {
            reached[at as usize] = true;
            self.place_event(at, &mut newest);
            for child in &above[at as usize] {
                missing[*child as usize] -= 1;
                if missing[*child as usize] == 0 {
                    ready.push(*child);
                }
            }
        }
        for at in 0..count as u32 {
            if self.counts[at as usize] && !reached[at as usize] {
                self.counts[at as usize] = false;
                self.waiting.push(at);
            }
            if !self.counts[at as usize] {
                self.named[at as usize].clear();
            }
        }
    }

    /// Depth and time of an event whose names are all placed: the greatest clock of its origin among what it names.
    fn place_event(&mut self, at: u32, newest: &mut [Vec<(&'a Origin, Millis)>]) {
        let header = &self.event(at).header;
        let mut own = header.said_at;
        if !self.named[at as usize].is_empty() {
            let mut greatest: Vec<(&Origin, Millis)> = Vec::new();
            for &parent in &self.named[at as usize] {
                self.depth[at as usize] = self.depth[at as usize].max(self.depth[parent as usize] + 1);
                for &(origin, time) in &newest[parent as usize] {
                    raise(&mut greatest, origin, time);
                }
            }
            own = greatest.iter().find(|(origin, _)| **origin == header.origin).map_or(own, |(_, time)| own.max(*time));
            newest[at as usize] = greatest;
        }
        raise(&mut newest[at as usize], &header.origin, own);
        self.time[at as usize] = own;
    }

    pub(super) fn compare_places(&self, a: u32, b: u32) -> std::cmp::Ordering {
        let place = |at: u32| {
            let header = &self.event(at).header;
            (self.time[at as usize], line_class(header.kind), self.depth[at as usize], header.said_seq)
        };
        place(a).cmp(&place(b)).then_with(|| self.event(a).content().cmp(&self.event(b).content()))
    }

    /// A person's decisions are words that stand on no side's line.
    fn take_decisions(&mut self) {
        for at in (0..self.heard.len() as u32).filter(|at| self.counts[*at as usize]) {
            if self.event(at).header.kind == Kind::Decide {
                for (field, value) in self.event(at).words() {
                    self.words.entry(field).or_default().push(Word { event: at, value });
                }
            }
        }
    }

    /// Whether an event is in effect, told apart from why it is not.
    pub(crate) fn event_state(&self, at: u32) -> WordState {
        match self.counts[at as usize] {
            true => WordState::Word,
            false if self.waiting.contains(&at) => WordState::Waits,
            false => WordState::OtherCopy,
        }
    }

    /// What an event that is in effect is on one of its fields.
    pub(crate) fn word_state(&self, at: u32, field: &FieldName) -> WordState {
        let is_word = self.words.get(field).is_some_and(|words| words.iter().any(|word| word.event == at));
        match self.event_state(at) {
            WordState::Word if is_word => WordState::Word,
            WordState::Word if self.refused.contains(&(at, field)) => WordState::NotCounted,
            WordState::Word => WordState::Echo,
            state => state,
        }
    }

    fn is_linear(&self, at: u32) -> bool {
        let header = &self.event(at).header;
        self.counts[at as usize] && header.seen.is_none() && line_class(header.kind) >= Some(3)
    }

    /// What happened before what, of one field.
    pub(super) fn before(&self, field: &FieldName) -> Before<'_> {
        self.before_by(field, self.as_shown.contains(field))
    }

    fn before_by(&self, field: &FieldName, as_shown: bool) -> Before<'_> {
        let mut before = Before::named(&self.named);
        let linear: Vec<u32> = (0..self.heard.len() as u32).filter(|at| self.is_linear(*at)).collect();
        if linear.is_empty() {
            return before;
        }
        let mut said: BTreeMap<&Origin, Vec<(Millis, Vec<u32>)>> = BTreeMap::new();
        for word in self.words.get(&field).into_iter().flatten() {
            let origin = &self.event(word.event).header.origin;
            said.entry(origin).or_default().push((self.time[word.event as usize], vec![word.event]));
        }
        for (origin, mut list) in said {
            list.sort();
            let past = self.past.contains(&origin_key(origin));
            let overwritten = if as_shown { self.overwritten(&origin.side, past, field) } else { Vec::new() };
            let mut ours: Vec<u32> =
                linear.iter().copied().filter(|at| self.event(*at).header.origin == *origin).collect();
            ours.sort_by_key(|at| self.time[*at as usize]);
            // Between two overwritings the side's words build on each other; across one they do not.
            for span in 0..=overwritten.len() {
                let said = |(time, _): &(Millis, Vec<u32>)| overwritten.partition_point(|when| when <= time) == span;
                let known = before.list(list.iter().filter(|word| said(word)).cloned());
                let speaks = |at: &&u32| overwritten.partition_point(|when| *when < self.time[**at as usize]) == span;
                for &at in ours.iter().filter(speaks) {
                    before.learn(at, &known, self.time[at as usize]);
                }
            }
        }
        let ages: &[bool] = if self.past.is_empty() { &[false] } else { &[false, true] };
        for (side, fields) in &self.learned {
            let Some(list) = fields.get(&field) else { continue };
            for past in ages.iter().copied() {
                let told = list.iter().filter(|(_, teacher)| self.teaches(*teacher, past));
                let known = before.list(told.map(|(time, at)| (*time, self.carried(*at, field))));
                let learns = |at: &&u32| *self.event(**at).header.origin.side == **side && self.is_past(**at) == past;
                for &at in linear.iter().filter(learns) {
                    before.learn(at, &known, self.time[at as usize]);
                }
            }
        }
        for (repeat, word) in self.repeats.get(&field).into_iter().flatten() {
            before.repeat(*repeat, *word);
        }
        before.settle_cycles();
        before
    }

    /// Whether a field is merged, and its words therefore build on what their side showed rather than on all that it
    /// had said: whichever way the candidates are found, their rule has to be to merge. Any other rule goes by side order.
    fn builds_as_shown(&self, field: &FieldName) -> bool {
        if **field == *EXISTENCE || !self.book.may_merge(self.kind, field) {
            return false;
        }
        let was_replaced = self.learned.keys().any(|side| !self.overwritten(side, false, field).is_empty());
        was_replaced
            && [false, true].into_iter().all(|as_shown| self.is_merged(field, &self.before_by(field, as_shown)))
    }

    /// Whether the rule in force at the newest candidate's time is to merge.
    fn is_merged(&self, field: &FieldName, before: &Before) -> bool {
        let words = || self.words.get(&field).into_iter().flatten().map(|word| word.event);
        let superseded = before.of(words());
        let candidates = words().filter(|at| !superseded[*at as usize]).map(|at| &self.event(at).header);
        let newest = candidates.map(|header| self.book.corrected(&header.origin.side, header.said_at)).max();
        let spec = newest.and_then(|newest| self.book.at(newest).field(self.kind, field));
        spec.is_some_and(judge::is_merged)
    }

    /// The words on a field that a receipt or the like carries.
    fn carried(&self, at: u32, field: &FieldName) -> Vec<u32> {
        let header = &self.event(at).header;
        let index = header.fields.iter().position(|name| name == field);
        let saids = index.and_then(|index| header.carries.get(index)).into_iter().flatten();
        let words = self.words.get(&field);
        let repeats = self.repeats.get(&field);
        let word_of = |event: u32| {
            let is_word = words.is_some_and(|words| words.iter().any(|word| word.event == event));
            let repeated = || repeats?.iter().find(|(repeat, _)| *repeat == event).map(|(_, word)| *word);
            if is_word { Some(event) } else { repeated() }
        };
        saids.filter_map(|said| word_of(*self.by_said.get(said)?)).collect()
    }

    fn finish(self) -> (Record, Line) {
        let mut record = Record {
            last: self.heard.last().map_or(Seq(0), |last| last.seq),
            timed: (0..self.heard.len() as u32).any(|at| self.is_linear(at)) || !self.learned.is_empty(),
            waiting: self.waiting.iter().map(|at| self.waiting_entry(*at)).collect(),
            contradicted: self.contradicted.clone(),
            copies: self.copies.clone(),
            unheard: self.unheard(),
            repeats: self.repeated_saids(),
            aside: self.aside(),
            mortal: self.counted().any(|at| tells_of_end(self.event(at))),
            echoes: self.echoes,
            ..Record::default()
        };
        let mut existence = None;
        for (name, words) in &self.words {
            let before = self.before(name);
            let field = self.resolve(name, words, &before);
            if ***name == *EXISTENCE {
                existence = Some((field.clone(), before));
            }
            record.fields.push(field);
        }
        if let Some((field, before)) = existence {
            record.existence = self.exists(&field, &before);
        }
        self.fill_sides(&mut record);
        (record, self.line())
    }

    /// What sides have learned of and nobody has said yet.
    fn unheard(&self) -> Vec<SaidId> {
        let learned = self.learned.values().flat_map(BTreeMap::values).flatten();
        let carried = learned.flat_map(|(_, at)| self.event(*at).header.carries.iter().flatten().copied());
        let carried = carried.filter(|said| !self.by_said.contains_key(said));
        let unheard: BTreeSet<SaidId> = carried.chain(self.unheard_writes()).collect();
        unheard.into_iter().collect()
    }

    fn repeated_saids(&self) -> Vec<SaidId> {
        let repeats = self.repeats.values().flatten().map(|(repeat, _)| self.event(*repeat).header.said);
        repeats.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn aside(&self) -> Option<Millis> {
        let counted = self.counted();
        let headers = counted.map(|at| &self.event(at).header);
        headers.filter(|header| is_aside(header.kind)).map(|header| header.said_at).max()
    }

    fn waiting_entry(&self, at: u32) -> Waiting {
        Waiting::new(at, self.event(at))
    }

    fn resolve(&self, name: &FieldName, words: &[Word], before: &Before) -> Field {
        let superseded = before.of(words.iter().map(|word| word.event));
        let mut candidates: Vec<Candidate> = words
            .iter()
            .filter(|word| !superseded[word.event as usize])
            .map(|word| self.candidate(name, word))
            .collect();
        judge::rank(&mut candidates, self.book);
        let ruling = judge::judge(self.kind, name, &candidates, self.book);
        let merged = (ruling.reason == Reason::Merge).then(|| self.merge(name, words, before, &candidates));
        Field { name: name.clone(), candidates, winner: ruling.winner as u32, reason: ruling.reason, merged }
    }

    fn candidate(&self, name: &FieldName, word: &Word) -> Candidate {
        let header = &self.event(word.event).header;
        let mut known = Vec::new();
        for (side, fields) in &self.learned {
            let carries = |(_, at): &&(Millis, u32)| self.carried(*at, name).contains(&word.event);
            let first = fields.get(name).into_iter().flatten().filter(carries).map(|(time, _)| *time).min();
            if let Some(time) = first {
                known.push((self.side_name(side), time));
            }
        }
        let told = Arc::clone(self.told[word.event as usize].get_or_init(|| Told::of(header)));
        Candidate { known, ..Candidate::of(word.event, told, word.value) }
    }

    fn side_name(&self, side: &str) -> crate::id::SideName {
        let mut names = self.heard.iter().map(|heard| &heard.event.header.origin.side);
        names.find(|name| ***name == *side).expect("a side on a line has said something").clone()
    }

    fn merge(&self, name: &FieldName, words: &[Word], before: &Before, candidates: &[Candidate]) -> Value {
        let said = || words.iter().map(|word| Said { event: word.event, value: word.value }).collect();
        match judge::spec_for(self.kind, name, candidates, self.book).map(|spec| &spec.kind) {
            Some(FieldType::Counter) => combine::counter(said(), before),
            Some(kind) if kind.is_set() => combine::set(said(), before),
            _ => document::merged_text(self, name, words, before),
        }
    }

    /// Weighs deletions against restorations and edits that did not know of each other.
    fn exists(&self, field: &Field, before: &Before) -> Existence {
        let is_dead = |candidate: &&Candidate| candidate.value == Value::bool(false);
        let dead: Vec<&Candidate> = field.candidates.iter().filter(is_dead).collect();
        if dead.is_empty() {
            return Existence::Alive;
        }
        let opposed = self.opposed_edits(&dead, before);
        let restored = dead.len() < field.candidates.len();
        if opposed.is_empty() && !restored {
            return Existence::Deleted;
        }
        let times = field.candidates.iter().map(|candidate| corrected(candidate, self.book));
        let edits = opposed.iter().map(|at| {
            let header = &self.event(*at).header;
            self.book.corrected(&header.origin.side, header.said_at)
        });
        let newest = times.chain(edits).max().expect("there are candidates");
        match self.book.at(newest).kind(self.kind).map(|spec| spec.deletes).unwrap_or_default() {
            DeleteRule::DeleteWins => Existence::Deleted,
            DeleteRule::EditWins => Existence::Alive,
            DeleteRule::Manual => Existence::Disputed,
        }
    }

    /// The events whose edits stand against the record's deletion, in no order that matters.
    pub(crate) fn opponents(&self, existence: &Field) -> Vec<u32> {
        let is_dead = |candidate: &&Candidate| candidate.value == Value::bool(false);
        let dead: Vec<&Candidate> = existence.candidates.iter().filter(is_dead).collect();
        if dead.is_empty() { Vec::new() } else { self.opposed_edits(&dead, &self.before(&existence.name)) }
    }

    /// What each word of a merged field brought into it; nothing for texts, which merge by characters.
    pub(crate) fn parts(&self, field: &Field) -> Vec<(u32, Part)> {
        let Some(words) = self.words.get(&field.name) else { return Vec::new() };
        let words = words.iter().map(|word| Said { event: word.event, value: word.value }).collect();
        let before = self.before(&field.name);
        match self.merged_kind(field) {
            FieldType::Counter => {
                let differences = combine::differences(words, &before);
                differences.into_iter().map(|(event, difference)| (event, Part::Difference(difference))).collect()
            }
            kind if kind.is_set() => {
                let part = |change: combine::Change| {
                    let (adds, removes) = (change.adds.into_iter().collect(), change.removes.into_iter().collect());
                    (change.event, Part::Elements { adds, removes })
                };
                combine::changes(words, &before).0.into_iter().map(part).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Edits that no deletion knew of, and that knew of no deletion; who deletes knows all that his side said before,
    /// also where a write had replaced it.
    fn opposed_edits(&self, dead: &[&Candidate], before: &Before) -> Vec<u32> {
        let mut edits: BTreeMap<u32, Vec<&FieldName>> = BTreeMap::new();
        for (name, words) in self.words.iter().filter(|(name, _)| ****name != *EXISTENCE) {
            words.iter().for_each(|word| edits.entry(word.event).or_default().push(*name));
        }
        let knew_of_deletion = |at: u32| {
            let below = before.of([at].into_iter());
            dead.iter().any(|candidate| below[candidate.entry as usize])
        };
        edits.retain(|at, _| !knew_of_deletion(*at));
        let gone = self.merged_away();
        for candidate in dead {
            // Who deletes what another of his side's records was merged into has seen what was said of that one.
            let side = &candidate.origin.side;
            edits.retain(|at, _| {
                let origin = &self.event(*at).header.origin;
                origin.side != *side || origin == &candidate.origin || !gone.contains(&origin_key(origin))
            });
            let mut known: BTreeMap<&FieldName, Vec<bool>> = BTreeMap::new();
            edits.retain(|at, names| {
                !names.iter().all(|name| {
                    known.entry(name).or_insert_with(|| self.before_by(name, false).of([candidate.entry].into_iter()))
                        [*at as usize]
                })
            });
        }
        edits.into_keys().collect()
    }

    /// The type by which a merged field was put together.
    pub(super) fn merged_kind(&self, field: &Field) -> FieldType {
        let spec = judge::spec_for(self.kind, &field.name, &field.candidates, self.book);
        spec.map_or(FieldType::LongText, |spec| spec.kind.clone())
    }

    /// The events that count, each after all that it names; depends on the set of events alone.
    pub(super) fn canonical_order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = self.counted().collect();
        let plain = |at: u32| {
            let header = &self.event(at).header;
            (self.depth[at as usize], header.said_at, &header.origin, header.said_seq, header.said)
        };
        order.sort_by(|a, b| plain(*a).cmp(&plain(*b)));
        order
    }

    /// Those of `held`, words that no earlier word superseded, that happened before the word of `at`.
    pub(super) fn supersedes(&self, before: &Before, at: u32, field: &FieldName, held: &[u32]) -> Vec<u32> {
        if before.has_kept() || !self.is_linear(at) {
            let seen = before.of([at].into_iter());
            return held.iter().copied().filter(|other| seen[*other as usize]).collect();
        }
        // What a linear event knows of words not yet superseded it knows directly.
        let own = &self.event(at).header.origin;
        let (time, past) = (self.time[at as usize], self.is_past(at));
        let learned = self.learned.get(&*own.side).and_then(|fields| fields.get_key_value(&field));
        let as_shown = self.as_shown.contains(field);
        let overwritten = if as_shown { self.overwritten(&own.side, past, field) } else { Vec::new() };
        let since = overwritten[..overwritten.partition_point(|when| *when < time)].last();
        let knows = |other: u32| {
            let when = self.time[other as usize];
            let said =
                self.event(other).header.origin == *own && when < time && since.is_none_or(|since| when >= *since);
            let told = learned.is_some_and(|(_, list)| {
                let mut earlier = list.iter().filter(|(when, carrier)| *when < time && self.teaches(*carrier, past));
                earlier.any(|(_, carrier)| self.carried(*carrier, field).contains(&other))
            });
            said || told
        };
        held.iter().copied().filter(|other| knows(*other)).collect()
    }

    pub(super) fn line(&self) -> Line {
        let entry = |(heard, parents): (&&Heard, &Vec<u32>)| {
            let entry = Entry { said: heard.event.header.said, seq: heard.seq, place: heard.place };
            (entry, parents.as_slice().into())
        };
        Line::of(self.heard.iter().zip(&self.named).map(entry).collect())
    }
}

/// Whether an event is an echo if none of its words is the side's own.
pub(super) fn may_echo(header: &Header) -> bool {
    !header.fields.is_empty() && header.kind.is_said() && header.kind != Kind::Observe
}

/// Whether a statement of a side stands on no line.
pub(super) fn is_aside(kind: Kind) -> bool {
    line_class(kind).is_none() && kind != Kind::Decide
}

/// Whether an event says that the record was deleted, somewhere.
pub(super) fn tells_of_end(event: &Event) -> bool {
    event.header.kind != Kind::Sent
        && event.words().any(|(field, value)| **field == *EXISTENCE && *value != Value::bool(true))
}

/// Whether an event says that the record is there: of what leaves, that it is to be made.
pub(crate) fn makes(event: &Event) -> bool {
    event.words().any(|(field, value)| **field == *EXISTENCE && *value == Value::bool(true))
}

/// Where events of a kind stand on their side's line among events of the same time; `None`: on no line.
pub(super) fn line_class(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Sent => Some(0),
        Kind::Receipt => Some(1),
        Kind::Settled => Some(2),
        Kind::Edit | Kind::Create | Kind::Delete | Kind::Restore => Some(3),
        // A read-back comes after all that it can have seen.
        Kind::Observe => Some(4),
        _ => None,
    }
}

/// Whether the rules of its time let this side edit the field.
pub(crate) fn is_counted(kind: &str, field: &FieldName, event: &Event, book: &Rulebook) -> bool {
    let origin = &event.header.origin;
    let time = book.corrected(&origin.side, event.header.said_at);
    **field == *EXISTENCE || book.at(time).field(kind, field).is_none_or(|spec| spec.counts(&origin.side))
}

/// A side and its own id for the record.
pub(super) fn origin_key(origin: &Origin) -> (&str, &str) {
    (&origin.side, origin.link.as_deref().unwrap_or_default())
}

fn raise<'a>(greatest: &mut Vec<(&'a Origin, Millis)>, origin: &'a Origin, time: Millis) {
    match greatest.iter_mut().find(|(known, _)| *known == origin) {
        Some((_, known)) => *known = (*known).max(time),
        None => greatest.push((origin, time)),
    }
}

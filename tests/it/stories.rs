//! Stories of one record, made up by proptest.
//!
//! A made-up story is a list of acts over two to five sides. Some acts hang together (an edit, our write of it, its
//! receipt, its echo), others are noise: any kind at any time, naming anything. Values come from tiny alphabets, so
//! that equal values, echoes and copies are common.

use std::collections::BTreeMap;

use proptest::prelude::*;
use syncline::{
    clock::Hlc,
    clock::Millis,
    event::{Author, AuthorKind, Detail, Kind, Origin},
    id::{FieldName, RecordId, Seq},
    rulebook::{EXISTENCE, PERSON},
};

use crate::{
    setting::{FIELDS, SIDES, Setting, setting},
    telling::{self, BEGIN, Line, Named, Story, Telling, shuffled},
};

/// One step of a made-up clock: a quarter of a coarse clock's second.
const STEP: i64 = 250;
/// The most statements of a made-up story.
const LINES_MAX: usize = 14;

/// What a made-up author had seen.
#[derive(Clone, Debug)]
enum Sight {
    Linear,
    Nothing,
    /// Every line so far but the last few.
    AllBut(u8),
    /// Lines anywhere, also later ones.
    Lines(Vec<u8>),
    Missing(u8),
}

fn sight() -> impl Strategy<Value = Sight> {
    prop_oneof![
        40 => Just(Sight::Linear),
        4 => Just(Sight::Nothing),
        16 => (0u8..4).prop_map(Sight::AllBut),
        6 => prop::collection::vec(0u8..14, 1..4).prop_map(Sight::Lines),
        1 => (0u8..2).prop_map(Sight::Missing),
    ]
}

/// Fields with values, all by number.
type Words = Vec<(u8, u8)>;

#[derive(Clone, Debug)]
enum Act {
    /// Somebody edits on a side; the webhook may tell an older time.
    Edit { side: u8, words: Words, late: i64, author: u8, sight: Sight, branch: u8 },
    /// We write what some line said to a side: the newest line that is not that side's own, or an older one.
    Write { side: u8, back: u8 },
    /// What came of a write: of its last fields only, if `only` is set.
    Outcome { kind: u8, only: bool, back: u8, late: i64 },
    /// The side tells us our own write.
    Echo { back: u8, late: i64, author: u8 },
    /// A read-back sees the fields of a write, perhaps normalised.
    Observe { back: u8, value: Option<u8>, sight: Sight },
    /// The side already shows what some line said.
    Settle { side: u8, back: u8 },
    /// A side says something on a field, a write of another side's word replaces it unheard, and the side speaks again.
    Overtaken { side: u8, other: u8, field: u8, values: [u8; 3], carried: bool, sight: Sight },
    /// The record is made, deleted or brought back.
    Existence { side: u8, kind: u8, words: Words, sight: Sight, author: u8 },
    /// A side merges another record of its own into this one; a reading of what came of it may name that, and something else
    /// may be said of the two, before or after.
    Merge { side: u8, branch: u8, late: i64, ended: bool, read: bool, words: Words, then: Option<(u8, i64)> },
    /// A person decides, having seen nearly all.
    Decide { words: Words, but: u8, existence: Option<bool> },
    /// Parked fields go on.
    Release { side: u8, field: u8 },
    /// A line is told again, with something else in it.
    Again { line: u8, value: u8, sight: Sight, author: u8 },
    /// Anything at any time.
    Noise {
        kind: u8,
        side: u8,
        words: Words,
        at: i64,
        author: u8,
        sight: Sight,
        carries: Vec<u8>,
        seq: Option<u64>,
        branch: u8,
        name: Option<u8>,
        existence: bool,
    },
}

fn words(most: usize) -> impl Strategy<Value = Words> {
    // The first fields come more often, so that sides meet on one.
    prop::collection::vec((prop_oneof![4 => Just(0u8), 2 => Just(3u8), 1 => 0u8..4], 0u8..4), 1..=most)
}

fn act() -> impl Strategy<Value = Act> {
    let late = || prop_oneof![3 => Just(0i64), 1 => 0i64..8];
    let author = || prop_oneof![3 => Just(0u8), 1 => Just(1), 1 => Just(2)];
    let edit = (0u8..5, words(2), late(), author(), sight(), 0u8..4)
        .prop_map(|(side, words, late, author, sight, branch)| Act::Edit { side, words, late, author, sight, branch });
    let existence = (0u8..5, 0u8..5, prop_oneof![Just(vec![]), words(2)], sight(), author())
        .prop_map(|(side, kind, words, sight, author)| Act::Existence { side, kind, words, sight, author });
    let noise = (
        (0u8..20, 0u8..5, prop_oneof![1 => Just(vec![]), 5 => words(3)], 0i64..16, author(), sight()),
        (prop::collection::vec(0u8..14, 0..4), prop::option::of(0u64..3), 0u8..4),
        (prop::option::weighted(0.3, 0u8..4), prop::bool::weighted(0.15)),
    )
        .prop_map(|((kind, side, words, at, author, sight), (carries, seq, branch), (name, existence))| {
            Act::Noise { kind, side, words, at, author, sight, carries, seq, branch, name, existence }
        });
    let field = || prop_oneof![2 => Just(0u8), 1 => 0u8..4];
    let overtaken = (0u8..5, 0u8..5, field(), [0u8..4, 0u8..4, 0u8..4], prop::bool::weighted(0.2), sight()).prop_map(
        |(side, other, field, values, carried, sight)| Act::Overtaken { side, other, field, values, carried, sight },
    );
    let then = prop::option::weighted(0.4, (0u8..3, -2i64..3));
    let merge = (0u8..5, 0u8..4, late(), any::<bool>(), any::<bool>(), words(2), then).prop_map(
        |(side, branch, late, ended, read, words, then)| Act::Merge { side, branch, late, ended, read, words, then },
    );
    prop_oneof![
        8 => edit,
        2 => overtaken,
        5 => (0u8..5, 0u8..3).prop_map(|(side, back)| Act::Write { side, back }),
        5 => (prop_oneof![4 => Just(0u8), 1 => Just(1), 1 => Just(2)], any::<bool>(), 0u8..2, late())
            .prop_map(|(kind, only, back, late)| Act::Outcome { kind, only, back, late }),
        3 => (0u8..2, late(), author()).prop_map(|(back, late, author)| Act::Echo { back, late, author }),
        2 => (0u8..2, prop::option::of(0u8..4), sight())
            .prop_map(|(back, value, sight)| Act::Observe { back, value, sight }),
        2 => (0u8..5, 0u8..3).prop_map(|(side, back)| Act::Settle { side, back }),
        2 => existence,
        2 => merge,
        1 => (words(2), 0u8..3, prop::option::weighted(0.2, any::<bool>()))
            .prop_map(|(words, but, existence)| Act::Decide { words, but, existence }),
        1 => (0u8..5, 0u8..4).prop_map(|(side, field)| Act::Release { side, field }),
        1 => (0u8..14, 0u8..4, sight(), author())
            .prop_map(|(line, value, sight, author)| Act::Again { line, value, sight, author }),
        6 => noise,
    ]
}

/// Plays acts out into a telling.
struct Stage<'a> {
    setting: &'a Setting,
    telling: Telling,
    /// Steps of true time since the beginning.
    now: i64,
    sents: Vec<usize>,
}

impl Stage<'_> {
    /// What the side's clock shows `late` steps ago.
    fn reading(&self, side: usize, late: i64) -> i64 {
        let setting = &self.setting.sides[side];
        let exact = (self.now - late) * STEP + setting.skew;
        // Stories begin on a whole second, so a coarse clock shows whole seconds since then.
        if setting.coarse { exact.div_euclid(1000) * 1000 } else { exact }
    }

    fn origin(&self, side: usize, branch: u8) -> Origin {
        let mut origin = Origin::side(telling::side(SIDES[side]));
        if self.setting.sides[side].branches {
            origin.link = (branch & 1 == 1).then(|| "17".into());
            origin.node = (branch & 2 == 2).then(|| "n2".into());
        }
        origin
    }

    fn spoken(&self, words: &Words) -> Vec<(&'static str, &'static str)> {
        let mut spoken: BTreeMap<&str, &str> = BTreeMap::new();
        for (field, number) in words {
            let place = usize::from(*field) % FIELDS.len();
            spoken.insert(FIELDS[place], self.setting.value(place, *number));
        }
        spoken.into_iter().collect()
    }

    fn sees(&self, sight: &Sight) -> Option<Vec<Named>> {
        match sight {
            Sight::Linear => None,
            Sight::Nothing => Some(Vec::new()),
            Sight::AllBut(last) => {
                let known = self.telling.lines.len().saturating_sub(usize::from(*last));
                Some((0..known).map(Named::Line).collect())
            }
            Sight::Lines(lines) => Some(lines.iter().map(|line| Named::Line(usize::from(*line))).collect()),
            Sight::Missing(which) => Some(vec![Named::Nobody(*which)]),
        }
    }

    fn tell(&mut self, kind: Kind, origin: Origin, at: i64, author: Author, words: &[(&str, &str)]) -> &mut Line {
        let line = self.telling.say(kind, origin, at, author, words);
        &mut self.telling.lines[line]
    }

    fn sent(&self, back: u8) -> Option<usize> {
        self.sents.len().checked_sub(1 + usize::from(back)).map(|at| self.sents[at])
    }

    fn side_of(&self, line: usize) -> usize {
        let name = &self.telling.lines[line].draft.origin.side;
        SIDES.iter().position(|side| **side == **name).unwrap_or(0)
    }

    /// The line that a write to `side` would bring there, and with it the lines on its fields that it overruled.
    fn to_write(&self, side: usize, back: u8) -> Option<(Line, Vec<Vec<Named>>)> {
        let told = |line: &&(usize, &Line)| line.1.draft.kind.is_said() && !line.1.draft.words.is_empty();
        let lines: Vec<(usize, &Line)> = self.telling.lines.iter().enumerate().collect();
        let others: Vec<_> = lines.iter().filter(told).filter(|(at, _)| self.side_of(*at) != side).collect();
        let (winner, line) = others.get(others.len().checked_sub(1 + usize::from(back))?)?;
        let speaks = |line: &Line, field: &FieldName| line.draft.words.iter().any(|(name, _)| name == field);
        let carried = |field: &FieldName| {
            let overruled = lines.iter().filter(|(at, other)| at != winner && back == 0 && speaks(other, field));
            let words = [*winner].into_iter().chain(overruled.map(|(at, _)| *at));
            words.map(Named::Line).collect()
        };
        let carries = line.draft.words.iter().map(|(field, _)| carried(field)).collect();
        Some(((*line).clone(), carries))
    }

    /// Adds a line that repeats the words of another.
    fn repeat(&mut self, kind: Kind, side: usize, at: i64, author: Author, of: &Line) -> &mut Line {
        let origin = self.origin(side, 0);
        let line = self.telling.say(kind, origin, at, author, &[]);
        let line = &mut self.telling.lines[line];
        line.draft.words = of.draft.words.clone();
        line
    }

    fn play(&mut self, act: &Act) {
        match act {
            Act::Edit { side, words, late, author, sight, branch } => {
                let (side, seen, words) = (self.setting.side(*side), self.sees(sight), self.spoken(words));
                let (origin, at) = (self.origin(side, *branch), self.reading(side, *late));
                let numbered = self.setting.sides[side].numbered.then_some(at.max(0) as u64 / 500);
                let line = self.tell(Kind::Edit, origin, at, by(*author), &words);
                (line.seen, line.draft.said_seq) = (seen, numbered);
            }
            Act::Write { side, back } => {
                let side = self.setting.side(*side);
                if let Some((written, carries)) = self.to_write(side, *back) {
                    let at = self.reading(side, 0);
                    let (nth, earlier) = (self.telling.lines.len(), self.sents.last().copied());
                    self.sents.push(nth);
                    let line = self.repeat(Kind::Sent, side, at, Author::engine(), &written);
                    line.carries = carries;
                    // Some leave in the place of the one before them; some bear one key twice.
                    line.ends = earlier.filter(|_| nth.is_multiple_of(3)).map(Named::Line).into_iter().collect();
                    line.draft.detail = tried(nth / 4, nth as u64);
                }
            }
            Act::Outcome { kind, only, back, late } => self.outcome(*kind, *only, *back, *late),
            Act::Echo { back, late, author } => {
                if let Some(sent) = self.sent(*back) {
                    let (side, sent) = (self.side_of(sent), self.telling.lines[sent].clone());
                    let at = self.reading(side, *late);
                    self.repeat(Kind::Edit, side, at, by(*author), &sent);
                }
            }
            Act::Observe { back, value, sight } => self.observe(*back, *value, sight),
            Act::Settle { side, back } => {
                let side = self.setting.side(*side);
                if let Some((shown, carries)) = self.to_write(side, *back) {
                    let at = self.reading(side, 0);
                    self.repeat(Kind::Settled, side, at, Author::engine(), &shown).carries = carries;
                }
            }
            Act::Overtaken { .. } => self.overtaken(act),
            Act::Existence { side, kind, words, sight, author } => {
                let (side, seen, spoken) = (self.setting.side(*side), self.sees(sight), self.spoken(words));
                let (origin, at) = (self.origin(side, 0), self.reading(side, 0));
                // Delete and restore touch nothing but existence.
                let (kind, mut words) = match kind {
                    0 | 1 => (Kind::Create, spoken),
                    2 => (Kind::Restore, Vec::new()),
                    _ => (Kind::Delete, Vec::new()),
                };
                words.push((EXISTENCE, if kind == Kind::Delete { "false" } else { "true" }));
                self.tell(kind, origin, at, by(*author), &words).seen = seen;
            }
            Act::Merge { .. } => self.merge(act),
            Act::Decide { words, but, existence } => {
                let (seen, mut words) = (self.sees(&Sight::AllBut(*but)), self.spoken(words));
                if let Some(lives) = existence {
                    words = vec![(EXISTENCE, if *lives { "true" } else { "false" })];
                }
                let at = self.now * STEP;
                let origin = Origin::side(telling::side(PERSON));
                self.tell(Kind::Decide, origin, at, Author::user("eve"), &words).seen = seen;
            }
            Act::Release { side, field } => {
                let side = self.setting.side(*side);
                let (origin, at) = (self.origin(side, 0), self.reading(side, 0));
                let words = self.spoken(&vec![(*field, 3)]);
                self.tell(Kind::Released, origin, at, Author::engine(), &words);
            }
            Act::Again { line, value, sight, author } => self.again(*line, *value, sight, *author),
            Act::Noise { .. } => self.noise(act),
        }
    }

    fn overtaken(&mut self, act: &Act) {
        let Act::Overtaken { side, other, field, values, carried, sight } = act else { return };
        let (side, other) = (self.setting.side(*side), self.setting.side(*other));
        let [of_other, replaced, again] = values.map(|value| self.spoken(&vec![(*field, value)]));
        let others = self.telling.lines.len();
        let (origin, at) = (self.origin(other, 0), self.reading(other, 0));
        self.tell(Kind::Edit, origin, at, Author::default(), &of_other);
        let own = self.telling.lines.len();
        let origin = self.origin(side, 0);
        let at = self.reading(side, 0);
        self.tell(Kind::Edit, origin.clone(), at, Author::default(), &replaced);
        self.now += 4;
        let at = self.reading(side, 0);
        let carries = if *carried { vec![Named::Line(others), Named::Line(own)] } else { vec![Named::Line(others)] };
        self.tell(Kind::Receipt, origin.clone(), at, Author::engine(), &of_other).carries = vec![carries];
        self.now += 4;
        let (at, seen) = (self.reading(side, 0), self.sees(sight));
        self.tell(Kind::Edit, origin, at, Author::user("ana"), &again).seen = seen;
    }

    fn merge(&mut self, act: &Act) {
        let Act::Merge { side, branch, late, ended, read, words, then } = act else { return };
        let side = self.setting.side(*side);
        let (gone, survivor) = (self.origin(side, 1), self.origin(side, branch & 2));
        let loser = RecordId::on_side("contact", SIDES[side], gone.link.as_deref().unwrap_or("18")).expect("a good id");
        let at = self.reading(side, *late);
        if let Some((kind, after)) = then {
            let kind = [Kind::Link, Kind::Absorb, Kind::Unlink][usize::from(*kind)];
            let line = self.tell(kind, survivor.clone(), at + after * STEP, Author::default(), &[]);
            let survivor = std::mem::replace(&mut line.draft.record, loser.clone());
            line.draft.detail = Detail::Other { record: survivor, label: "again".to_owned() };
        }
        if *ended {
            let author = Author::default();
            self.tell(Kind::Delete, gone, at, author, &[(EXISTENCE, "false")]);
        }
        let merger = self.telling.lines.len();
        let line = self.tell(Kind::Absorb, survivor.clone(), at, Author::default(), &[]);
        line.draft.detail = Detail::Other { record: loser, label: "merged".to_owned() };
        if *read {
            let (at, words) = (self.reading(side, 0), self.spoken(words));
            let line = self.tell(Kind::Observe, survivor, at, Author::default(), &words);
            line.seen = Some(vec![Named::Line(merger)]);
        }
    }

    fn outcome(&mut self, kind: u8, only: bool, back: u8, late: i64) {
        let Some(named) = self.sent(back) else { return };
        let (side, sent) = (self.side_of(named), self.telling.lines[named].clone());
        let at = self.reading(side, late);
        let kind = [Kind::Receipt, Kind::Refused, Kind::Parked][usize::from(kind)];
        // A side may take a write and tell of it, by its clock, before the write left: its receipt stands later.
        let before = at.min(sent.draft.said_at.0 - BEGIN - 1);
        let took = (kind == Kind::Receipt && late > 0 && !only).then_some(Millis(BEGIN + before));
        if took.is_some() {
            self.repeat(Kind::Edit, side, before, Author::default(), &sent);
        }
        let line = self.repeat(kind, side, at, Author::engine(), &sent);
        line.carries = sent.carries.clone();
        if let (Some(key), true) = (sent.draft.detail.write_key(), kind != Kind::Parked) {
            line.draft.detail = match took {
                Some(at) => Detail::Took { key: key.to_owned(), ends: Vec::new(), at },
                None => became(key),
            };
            line.ends = vec![Named::Line(named)];
        }
        if only {
            line.draft.words.truncate(1);
            line.carries.truncate(1);
        }
    }

    fn observe(&mut self, back: u8, value: Option<u8>, sight: &Sight) {
        let Some(sent) = self.sent(back) else { return };
        let (side, sent, seen) = (self.side_of(sent), self.telling.lines[sent].clone(), self.sees(sight));
        let at = self.reading(side, 0);
        let normalised = value.map(|number| (number, self.setting.clone()));
        let line = self.repeat(Kind::Observe, side, at, Author::default(), &sent);
        line.seen = seen;
        if let Some((number, setting)) = normalised {
            for (field, value) in &mut line.draft.words {
                if let Some(place) = FIELDS.iter().position(|name| **name == **field) {
                    *value = telling::value(setting.value(place, number));
                }
            }
        }
    }

    fn again(&mut self, line: u8, value: u8, sight: &Sight, author: u8) {
        if self.telling.lines.is_empty() {
            return;
        }
        let at = usize::from(line) % self.telling.lines.len();
        let seen = self.sees(sight);
        let source = &mut self.telling.lines[at];
        if !source.draft.kind.is_said() || source.draft.kind == Kind::Decide {
            return;
        }
        // Under a name, the values may differ too; without one, equal values are what makes it a copy.
        let mut copy = source.clone();
        if value > 0 {
            if source.draft.named.source().is_none() {
                source.number("again", at as u64);
            }
            (copy.draft.named, copy.draft.said_seq) = (source.draft.named.clone(), source.draft.said_seq);
            for (field, said) in &mut copy.draft.words {
                if let Some(place) = FIELDS.iter().position(|name| **name == **field) {
                    *said = telling::value(self.setting.value(place, value));
                }
            }
        }
        copy.seen = seen;
        copy.draft.author = by(author);
        self.telling.lines.push(copy);
    }

    fn noise(&mut self, act: &Act) {
        let Act::Noise { kind, side, words, at, author, sight, carries, seq, branch, name, existence } = act else {
            return;
        };
        const KINDS: [Kind; 20] = [
            Kind::Edit,
            Kind::Edit,
            Kind::Edit,
            Kind::Edit,
            Kind::Edit,
            Kind::Edit,
            Kind::Create,
            Kind::Delete,
            Kind::Restore,
            Kind::Observe,
            Kind::Observe,
            Kind::Link,
            Kind::Sent,
            Kind::Receipt,
            Kind::Receipt,
            Kind::Settled,
            Kind::Refused,
            Kind::Parked,
            Kind::Released,
            Kind::Associate,
        ];
        let kind = KINDS[usize::from(*kind) % KINDS.len()];
        let (side, seen, mut spoken) = (self.setting.side(*side), self.sees(sight), self.spoken(words));
        match kind {
            Kind::Delete | Kind::Restore => spoken.clear(),
            Kind::Link | Kind::Associate => spoken.clear(),
            _ => {}
        }
        match kind {
            Kind::Delete => spoken.push((EXISTENCE, "false")),
            Kind::Create | Kind::Restore => spoken.push((EXISTENCE, "true")),
            Kind::Observe if *existence => spoken = vec![(EXISTENCE, "false")],
            Kind::Edit if *existence => spoken.push((EXISTENCE, "true")),
            Kind::Sent | Kind::Receipt | Kind::Settled if *existence => spoken.push((EXISTENCE, "false")),
            _ => {}
        }
        let origin = self.origin(side, *branch);
        let exact = at * STEP * 2;
        let at = if self.setting.sides[side].coarse { exact.div_euclid(1000) * 1000 } else { exact };
        let author = if kind.is_said() { by(*author) } else { Author::engine() };
        let line = self.tell(kind, origin, at, author, &spoken);
        line.draft.said_seq = *seq;
        if kind.is_said() {
            line.seen = seen;
            if let Some(name) = name {
                line.number("noise", u64::from(*name));
            }
        } else {
            let carried: Vec<Named> = carries.iter().map(|line| Named::Line(usize::from(*line))).collect();
            line.draft.detail = match kind {
                Kind::Sent => tried(usize::from(carries.len() > 1), carries.len() as u64),
                Kind::Receipt if *existence => {
                    Detail::Took { key: "k0".to_owned(), ends: Vec::new(), at: Millis(BEGIN + at - 2 * STEP) }
                }
                Kind::Receipt | Kind::Refused => became("k0"),
                _ => Detail::None,
            };
            line.ends.clone_from(&carried);
            line.carries = vec![carried; spoken.len()];
        }
    }
}

/// A write that leaves.
fn tried(key: usize, after: u64) -> Detail {
    Detail::Try { key: format!("k{key}"), after: Seq(after), ends: Vec::new() }
}

/// What became of a write under this key.
fn became(key: &str) -> Detail {
    Detail::Fate { key: key.to_owned(), ends: Vec::new(), reason: String::new() }
}

fn by(number: u8) -> Author {
    match number {
        0 => Author::default(),
        1 => Author::user("ana"),
        _ => Author { kind: AuthorKind::Ours, id: "syncline".into(), ..Author::default() },
    }
}

/// A record's life over two to five sides, in some order of arrival, with repetitions.
pub fn story() -> impl Strategy<Value = Story> {
    let acts =
        prop_oneof![prop::collection::vec((act(), 0i64..4), 1..=8), prop::collection::vec((act(), 0i64..4), 8..=18),];
    let repeated = prop::option::weighted(0.2, 0usize..14);
    let void = prop::option::weighted(0.03, 0usize..14);
    (setting(), acts, repeated, void, any::<u64>()).prop_map(|(setting, acts, repeated, void, seed)| {
        let mut stage = Stage { setting: &setting, telling: Telling::default(), now: 0, sents: Vec::new() };
        for (act, steps) in &acts {
            stage.now += steps;
            if stage.telling.lines.len() < LINES_MAX {
                stage.play(act);
            }
        }
        let mut events = stage.telling.events();
        if let Some(mut copy) = repeated.and_then(|at| events.get(at).cloned()) {
            copy.header.heard_at = Hlc(1000);
            events.push(copy);
        }
        let mut book = setting.book();
        if let Some(event) = void.and_then(|at| events.get(at)) {
            book.add_void(event.header.said);
        }
        Story { events: shuffled(&events, seed), book }
    })
}

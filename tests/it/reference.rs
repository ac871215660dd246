//! What a fold of one record must give, worked out in the most obvious way.
//!
//! It shares the words (events, values, the rulebook) with the engine and nothing of its merge. Every relation is
//! a square of truth values, closed by three nested loops; nothing is remembered between two questions.

mod judge;

use std::collections::{BTreeMap, BTreeSet};

use syncline::{
    clock::Millis,
    event::{Detail, Event, Kind, Origin},
    field::{FieldSpec, FieldType, Rule},
    id::{SaidId, SideName},
    rulebook::{EXISTENCE, PERSON, Rulebook},
    value::Value,
};

/// What a fold says, as plain text and sets, so that a difference prints well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Every field with words; existence is told apart below.
    pub fields: BTreeMap<String, PlainField>,
    /// `alive`, `deleted` or `disputed`.
    pub existence: &'static str,
    /// What each connected side shows, by side and field, as JSON; a side of which nothing is known is left out.
    pub shadows: BTreeMap<String, BTreeMap<String, String>>,
    /// The parked pairs of side and field.
    pub parked: BTreeSet<(String, String)>,
    /// How many statements wait for one that they name.
    pub waiting: usize,
}

/// What a fold says of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainField {
    /// The resolved value as JSON; `None` for a merged long text, which only a document can tell.
    pub value: Option<String>,
    /// Side, time, author and JSON value of each candidate, the greatest first.
    pub candidates: Vec<(String, i64, String, String)>,
    /// What decided.
    pub reason: String,
    /// Whether a person must decide.
    pub disputed: bool,
}

/// Folds the events of one record.
pub fn fold(events: &[Event], book: &Rulebook) -> Plain {
    let (told, waiting) = told(events, book);
    let reading = Reading::of(told, book);
    let (words, shown) = reading.walk_all();
    let fields: BTreeSet<&str> = words.iter().map(|word| word.field.as_str()).collect();
    let mut plain = Plain {
        fields: BTreeMap::new(),
        existence: reading.existence(&words),
        shadows: reading.shadows(shown),
        parked: BTreeSet::new(),
        waiting,
    };
    let mut winners = BTreeMap::new();
    for field in fields {
        let (verdict, winner) = reading.judge(field, &words);
        winners.insert(field, winner);
        if field != EXISTENCE {
            plain.fields.insert(field.to_owned(), verdict);
        }
    }
    plain.parked = reading.parked(&winners);
    plain
}

/// Whether a side says something with it.
fn speaks(kind: Kind) -> bool {
    matches!(kind, Kind::Edit | Kind::Create | Kind::Delete | Kind::Restore | Kind::Observe)
}

/// The statements that count, one copy of each, and how many wait.
fn told<'a>(events: &'a [Event], book: &Rulebook) -> (Vec<&'a Event>, usize) {
    let mut copies: BTreeMap<SaidId, &Event> = BTreeMap::new();
    for event in events.iter().filter(|event| !book.is_void(&event.header.said)) {
        let kept = copies.entry(event.header.said).or_insert(event);
        if event.content() < kept.content() {
            *kept = event;
        }
    }
    let mut ready: BTreeSet<SaidId> = BTreeSet::new();
    loop {
        let more: Vec<SaidId> = copies
            .iter()
            .filter(|(said, _)| !ready.contains(said))
            .filter(|(_, event)| event.header.seen.iter().flatten().all(|named| ready.contains(named)))
            .map(|(said, _)| *said)
            .collect();
        if more.is_empty() {
            break;
        }
        ready.extend(more);
    }
    let waiting = copies.len() - ready.len();
    (copies.into_iter().filter(|(said, _)| ready.contains(said)).map(|(_, event)| event).collect(), waiting)
}

/// One relation over the statements: `square[a][b]` says that a comes before b.
type Square = Vec<Vec<bool>>;

fn closed(mut square: Square) -> Square {
    let all = 0..square.len();
    for via in all.clone() {
        for from in all.clone() {
            for to in all.clone() {
                square[from][to] |= square[from][via] && square[via][to];
            }
        }
    }
    square
}

/// One value said of one field.
struct Word {
    /// Which statement, by its place among those told.
    by: usize,
    field: String,
    value: Value,
    /// When, by our clock.
    corrected: Millis,
    /// Statements that only say it once more.
    repeats: Vec<usize>,
}

#[derive(Clone, PartialEq)]
enum Newest {
    Own(Value),
    Write(Value),
}

/// What a side shows of each field at the end of its line.
type Shown = BTreeMap<String, BTreeMap<String, Newest>>;

struct Reading<'a> {
    told: Vec<&'a Event>,
    book: &'a Rulebook,
    /// What was named as seen, as it was named.
    named: Square,
    /// The place of each statement in side order: the greatest time, and the depth.
    time: Vec<Millis>,
    depth: Vec<usize>,
}

impl<'a> Reading<'a> {
    fn of(told: Vec<&'a Event>, book: &'a Rulebook) -> Self {
        let count = told.len();
        let mut named = vec![vec![false; count]; count];
        for (after, event) in told.iter().enumerate() {
            for said in event.header.seen.iter().flatten() {
                for before in 0..count {
                    named[before][after] |= told[before].header.said == *said;
                }
            }
        }
        let ancestors = closed(named.clone());
        let mut time: Vec<Millis> = told.iter().map(|event| event.header.said_at).collect();
        for after in 0..count {
            for before in 0..count {
                if ancestors[before][after] && told[before].header.origin == told[after].header.origin {
                    time[after] = time[after].max(told[before].header.said_at);
                }
            }
        }
        let mut depth = vec![0; count];
        // A path has at most as many steps as there are statements.
        for _ in 0..count {
            for after in 0..count {
                for before in 0..count {
                    if named[before][after] {
                        depth[after] = depth[after].max(depth[before] + 1);
                    }
                }
            }
        }
        Reading { told, book, named, time, depth }
    }

    fn kind_of_record(&self) -> &str {
        self.told.first().map_or("", |event| event.header.record.kind())
    }

    fn side(&self, by: usize) -> &SideName {
        &self.told[by].header.origin.side
    }

    fn corrected(&self, by: usize) -> Millis {
        let header = &self.told[by].header;
        if *header.origin.side == *PERSON {
            header.said_at
        } else {
            self.book.corrected(&header.origin.side, header.said_at)
        }
    }

    fn spec(&self, at: Millis, field: &str) -> FieldSpec {
        let lww = FieldSpec { kind: FieldType::Any, rule: Rule::LastWriteWins(None), write: None, sides: None };
        // Existence has a rule of its own, so the entry for any field does not stand for it.
        let entry = self.book.at(at).field(self.kind_of_record(), field).filter(|_| field != EXISTENCE);
        entry.cloned().unwrap_or(lww)
    }

    /// All words that count, and what every side shows.
    fn walk_all(&self) -> (Vec<Word>, Shown) {
        let sides: BTreeSet<String> = (0..self.told.len()).map(|by| self.side(by).to_string()).collect();
        let mut words = Vec::new();
        let mut shown = Shown::new();
        for side in sides {
            let (said, newest) = self.walk(&side);
            words.extend(said);
            shown.insert(side, newest);
        }
        words.retain(|word| self.counts(word));
        (words, shown)
    }

    fn counts(&self, word: &Word) -> bool {
        word.field == EXISTENCE
            || self.told[word.by].header.kind == Kind::Decide
            || self.spec(word.corrected, &word.field).counts(self.side(word.by))
    }

    /// The side's line from its beginning: its words, and what it shows at the end.
    fn walk(&self, side: &str) -> (Vec<Word>, BTreeMap<String, Newest>) {
        let mut line: Vec<usize> = (0..self.told.len()).filter(|by| **self.side(*by) == *side).collect();
        // Of a record that went into another its side tells as deleted; the other is not.
        line.retain(|by| self.told[*by].header.kind != Kind::Delete || !self.is_merged_away(*by));
        // The last member only tells two statements apart whose whole content is the same.
        line.sort_by_key(|by| {
            let header = &self.told[*by].header;
            let class = match header.kind {
                Kind::Sent => 0,
                Kind::Receipt => 1,
                Kind::Settled => 2,
                Kind::Observe => 4,
                _ => 3,
            };
            // All that was said of a record that went into another is older than what is said of that one.
            let place = (!self.is_merged_away(*by), self.time[*by], class, self.depth[*by]);
            (place, header.said_seq, self.told[*by].content(), header.said)
        });
        let mut words: Vec<Word> = Vec::new();
        let mut newest: BTreeMap<String, Newest> = BTreeMap::new();
        let mut pending: BTreeMap<String, Value> = BTreeMap::new();
        let mut own_at: BTreeMap<String, Millis> = BTreeMap::new();
        for by in line {
            let event = self.told[by];
            for (field, value) in event.words() {
                let (field, value) = (field.to_string(), value.clone());
                let of_newest = newest.get(&field).cloned();
                let is_pending = pending.get(&field) == Some(&value);
                let is_write = of_newest == Some(Newest::Write(value.clone()));
                let is_own = of_newest == Some(Newest::Own(value.clone()));
                let is_linear = event.header.seen.is_none();
                let repeats = is_linear && is_own && own_at.get(&field) == Some(&self.time[by]);
                let is_word = match event.header.kind {
                    Kind::Sent => {
                        pending.insert(field.clone(), value.clone());
                        false
                    }
                    Kind::Receipt => {
                        newest.insert(field.clone(), Newest::Write(value.clone()));
                        pending.remove(&field);
                        false
                    }
                    Kind::Edit | Kind::Create | Kind::Delete | Kind::Restore => {
                        let echo = !event.header.author.is_another() && (is_write || is_pending);
                        if echo {
                            newest.insert(field.clone(), Newest::Write(value.clone()));
                        }
                        !echo && !repeats
                    }
                    Kind::Observe if is_linear && (is_own || is_write) => false,
                    Kind::Observe if is_linear && is_pending => {
                        newest.insert(field.clone(), Newest::Write(value.clone()));
                        false
                    }
                    Kind::Observe | Kind::Decide => true,
                    _ => false,
                };
                if is_word {
                    newest.insert(field.clone(), Newest::Own(value.clone()));
                    pending.remove(&field);
                    own_at.insert(field.clone(), self.time[by]);
                    words.push(Word { by, field, value, corrected: self.corrected(by), repeats: Vec::new() });
                } else if repeats && speaks(event.header.kind) {
                    let word = words.iter_mut().rfind(|word| word.field == field);
                    word.expect("what is repeated was a word").repeats.push(by);
                }
            }
        }
        (words, newest)
    }

    /// Whether a statement is about a side's own record that the side has merged into another.
    fn is_merged_away(&self, by: usize) -> bool {
        let Origin { side, link: Some(link), .. } = &self.told[by].header.origin else { return false };
        let mergers = self.told.iter().filter(|event| event.header.kind == Kind::Absorb);
        mergers.filter(|event| event.header.origin.side == *side).any(|event| match &event.payload.detail {
            Detail::Other { record, .. } => record.ends_with(&format!("/{side}:{link}")),
            _ => false,
        })
    }

    fn shadows(&self, shown: Shown) -> BTreeMap<String, BTreeMap<String, String>> {
        let json = |newest: &Newest| match newest {
            Newest::Own(value) | Newest::Write(value) => value.to_json(),
        };
        shown
            .into_iter()
            .filter(|(side, newest)| {
                !newest.is_empty() && self.book.newest().projects(self.kind_of_record(), side.as_str())
            })
            .map(|(side, newest)| (side, newest.iter().map(|(field, value)| (field.clone(), json(value))).collect()))
            .collect()
    }

    /// What happened before what, as far as `field` is concerned.
    ///
    /// The words on a merged field are changes to what their side showed: what a write of ours had replaced by then is
    /// not among it. Whether the field is merged must be clear either way.
    fn happened_before(&self, field: &str, words: &[Word]) -> Square {
        let plain = self.relation(field, words, false);
        let as_shown = self.relation(field, words, true);
        let merged = [&plain, &as_shown].into_iter().all(|before| self.is_merged(field, words, before));
        if merged { as_shown } else { plain }
    }

    fn is_merged(&self, field: &str, words: &[Word], before: &Square) -> bool {
        let newest = last_words(field, words, before).into_iter().map(|word| word.corrected).max();
        let spec = newest.map(|newest| self.spec(newest, field));
        spec.is_some_and(|spec| {
            let merges = matches!(spec.kind, FieldType::LongText | FieldType::Set | FieldType::Counter);
            spec.rule == Rule::Merge && merges
        })
    }

    /// The relation by side order; with `as_shown` without the words that a write of ours had replaced.
    // One index runs over statements and both squares alike.
    #[allow(clippy::needless_range_loop)]
    fn relation(&self, field: &str, words: &[Word], as_shown: bool) -> Square {
        let count = self.told.len();
        let mut by_clock = vec![vec![false; count]; count];
        for after in 0..count {
            let header = &self.told[after].header;
            if !speaks(header.kind) || header.seen.is_some() {
                continue;
            }
            for word in words.iter().filter(|word| word.field == field) {
                let own_line = self.told[word.by].header.origin == header.origin;
                let replaced = as_shown && self.overwritten(field, word.by, after);
                let earlier = own_line && self.time[word.by] < self.time[after] && !replaced;
                let mut said = word.repeats.iter().chain([&word.by]).map(|by| self.told[*by].header.said);
                by_clock[word.by][after] |= earlier || said.any(|said| self.learned(after, field, said));
                by_clock[word.by][after] |= word.repeats.contains(&after);
            }
        }
        let join = |a: &Square, b: &Square| -> Square {
            (0..count).map(|from| (0..count).map(|to| a[from][to] || b[from][to]).collect()).collect()
        };
        let full = closed(join(&self.named, &by_clock));
        let mut kept = by_clock;
        for (before, row) in kept.iter_mut().enumerate() {
            for (after, keeps) in row.iter_mut().enumerate() {
                let in_a_circle = full[before][after] && full[after][before];
                *keeps &= !in_a_circle;
            }
        }
        closed(join(&self.named, &kept))
    }

    /// Whether a write of ours replaced what the side's `before` had put there, before its `after` spoke.
    fn overwritten(&self, field: &str, before: usize, after: usize) -> bool {
        (0..self.told.len()).any(|receipt| {
            self.told[receipt].header.kind == Kind::Receipt
                && self.side(receipt) == self.side(after)
                && self.carries(receipt, field).is_some()
                && self.time[before] < self.time[receipt]
                && self.time[receipt] < self.time[after]
        })
    }

    /// Whether a receipt, or its like, told the side of that statement before `after` spoke.
    fn learned(&self, after: usize, field: &str, said: SaidId) -> bool {
        (0..self.told.len()).any(|receipt| {
            let header = &self.told[receipt].header;
            matches!(header.kind, Kind::Receipt | Kind::Settled)
                && self.side(receipt) == self.side(after)
                && self.time[receipt] < self.time[after]
                && self.carries(receipt, field).is_some_and(|carried| carried.contains(&said))
        })
    }

    /// What the engine's own statement carries of the field; `None` if it does not speak of it.
    fn carries(&self, by: usize, field: &str) -> Option<Vec<SaidId>> {
        let header = &self.told[by].header;
        let at = header.fields.iter().position(|name| **name == *field)?;
        Some(header.carries.get(at).cloned().unwrap_or_default())
    }

    /// The words on the field that no other word on it superseded.
    fn candidates<'w>(&self, field: &str, words: &'w [Word]) -> Vec<&'w Word> {
        last_words(field, words, &self.happened_before(field, words))
    }
}

fn last_words<'w>(field: &str, words: &'w [Word], before: &Square) -> Vec<&'w Word> {
    let on_field: Vec<&Word> = words.iter().filter(|word| word.field == field).collect();
    on_field.iter().copied().filter(|word| !on_field.iter().any(|other| before[word.by][other.by])).collect()
}

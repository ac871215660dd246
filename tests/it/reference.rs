//! What a fold of one record must give, worked out in the most obvious way.
//!
//! It shares the words (events, values, the rulebook) with the engine and nothing of its merge. Every relation is
//! a square of truth values, closed as it is taught in school; what is remembered is a relation that was worked out before.

mod judge;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use syncline::{
    clock::Millis,
    event::{Detail, Event, Kind, Origin},
    field::{FieldSpec, FieldType, Rule},
    id::{FieldName, RecordId, SaidId, SideName},
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
    /// The writes of which nothing is known yet: side, key, and the fields.
    pub open: BTreeSet<(String, String, Vec<String>)>,
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
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>, book: &Rulebook) -> Plain {
    let (told, waiting) = told(events, book);
    let reading = Reading::of(told, book);
    let (words, shown) = reading.walk_all();
    let fields: BTreeSet<&str> = words.iter().map(|word| word.field.as_str()).collect();
    let mut plain = Plain {
        fields: BTreeMap::new(),
        existence: reading.existence(&words),
        shadows: reading.shadows(shown),
        parked: BTreeSet::new(),
        open: reading.open_writes(),
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

/// The writes of which a statement says by name what became.
fn ends_of(event: &Event) -> &[SaidId] {
    match &event.payload.detail {
        Detail::Try { ends, .. } | Detail::Fate { ends, .. } | Detail::Took { ends, .. } => ends,
        _ => &[],
    }
}

/// The statements that count, one copy of each, and how many wait.
fn told<'a>(events: impl IntoIterator<Item = &'a Event>, book: &Rulebook) -> (Vec<&'a Event>, usize) {
    let mut copies: BTreeMap<SaidId, &Event> = BTreeMap::new();
    for event in events.into_iter().filter(|event| !book.is_void(&event.header.said)) {
        let known = copies.get(&event.header.said);
        if known.is_none_or(|known| event.content() < known.content()) {
            copies.insert(event.header.said, event);
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

/// The sides' own ids that were merged into others, as the newest statement about the two says.
fn merged_away(told: &[&Event]) -> Vec<(usize, (SideName, String))> {
    let mut newest: BTreeMap<BTreeSet<RecordId>, usize> = BTreeMap::new();
    for (by, event) in told.iter().enumerate() {
        let (Kind::Link | Kind::Absorb | Kind::Unlink, Detail::Other { record, .. }) =
            (event.header.kind, &event.payload.detail)
        else {
            continue;
        };
        let rank = |event: &Event| {
            let kind = event.header.kind;
            (event.header.said_at, kind == Kind::Unlink, kind == Kind::Absorb, event.content())
        };
        let known = newest.entry(BTreeSet::from([record.clone(), event.header.record.clone()])).or_insert(by);
        if rank(event) > rank(told[*known]) {
            *known = by;
        }
    }
    let ended = |by: usize| match (told[by].header.kind, &told[by].payload.detail) {
        (Kind::Absorb, Detail::Other { record, .. }) => {
            let side = told[by].header.origin.side.clone();
            let (_, link) = record.split_once(&format!("/{side}:"))?;
            Some((by, (side, link.to_owned())))
        }
        _ => None,
    };
    newest.into_values().filter_map(ended).collect()
}

/// One relation over the statements, a row of bits for each: whether a comes before b.
#[derive(Clone)]
struct Square {
    count: usize,
    rows: Vec<Vec<u64>>,
}

impl Square {
    fn new(count: usize) -> Square {
        Square { count, rows: vec![vec![0; count.div_ceil(64)]; count] }
    }

    fn has(&self, a: usize, b: usize) -> bool {
        self.rows[a][b / 64] >> (b % 64) & 1 == 1
    }

    fn set(&mut self, a: usize, b: usize) {
        self.rows[a][b / 64] |= 1 << (b % 64);
    }

    fn add(&mut self, from: usize, row: &[u64]) {
        self.rows[from].iter_mut().zip(row).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// What either says.
    fn or(mut self, other: &Square) -> Square {
        other.rows.iter().enumerate().for_each(|(from, row)| self.add(from, row));
        self
    }

    /// What follows: whatever comes before something comes before all that follows it.
    fn closed(mut self) -> Square {
        for via in 0..self.count {
            let row = self.rows[via].clone();
            for from in 0..self.count {
                if self.has(from, via) {
                    self.add(from, &row);
                }
            }
        }
        self
    }
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
    /// The mergers in force, of sides' own records.
    mergers: Vec<usize>,
    /// The sides' own ids that were merged into others.
    merged_away: Vec<(SideName, String)>,
    /// Those that the sides deleted while they had another of the same record.
    outlived: Vec<(SideName, String)>,
    /// The relations of fields that were worked out, plain and as shown.
    relations: RefCell<BTreeMap<(String, bool), Rc<Square>>>,
}

impl<'a> Reading<'a> {
    fn of(told: Vec<&'a Event>, book: &'a Rulebook) -> Self {
        let count = told.len();
        let mut named = Square::new(count);
        for (after, event) in told.iter().enumerate() {
            for said in event.header.seen.iter().flatten() {
                let before = (0..count).filter(|before| told[*before].header.said == *said);
                before.for_each(|before| named.set(before, after));
            }
        }
        let ancestors = named.clone().closed();
        let mut time: Vec<Millis> = told.iter().map(|event| event.header.said_at).collect();
        for after in 0..count {
            for before in 0..count {
                if ancestors.has(before, after) && told[before].header.origin == told[after].header.origin {
                    time[after] = time[after].max(told[before].header.said_at);
                }
            }
        }
        let mut depth = vec![0; count];
        let pairs = (0..count).flat_map(|before| (0..count).map(move |after| (before, after)));
        let pairs: Vec<(usize, usize)> = pairs.filter(|(before, after)| named.has(*before, *after)).collect();
        // A path has at most as many steps as there are statements.
        for _ in 0..count {
            for (before, after) in &pairs {
                depth[*after] = depth[*after].max(depth[*before] + 1);
            }
        }
        let (mergers, merged_away) = merged_away(&told).into_iter().unzip();
        let outlived = Vec::new();
        let mut reading =
            Reading { told, book, named, time, depth, mergers, merged_away, outlived, relations: RefCell::default() };
        reading.outlived = reading.find_outlived();
        reading
    }

    /// The sides' own ids that are known to be deleted, where one that is not stands beside them.
    fn find_outlived(&self) -> Vec<(SideName, String)> {
        let tells = |by: &usize| {
            let Event { header, .. } = self.told[*by];
            let shows = speaks(header.kind) || header.kind == Kind::Receipt;
            shows && !header.fields.is_empty() && header.origin.link.is_some() && !self.is_merged_away(*by)
        };
        let id = |by: &usize| {
            let Origin { side, link, .. } = &self.told[*by].header.origin;
            (side.clone(), link.as_deref().unwrap_or_default().to_owned())
        };
        let telling: Vec<usize> = (0..self.told.len()).filter(tells).collect();
        let ids: BTreeSet<(SideName, String)> = telling.iter().map(id).collect();
        let is_deleted = |of: &&(SideName, String)| {
            let existence = |by: &&usize| self.told[**by].words().any(|(field, _)| **field == *EXISTENCE);
            let last = telling.iter().filter(|by| id(by) == **of).filter(existence).max_by_key(|by| self.place(**by));
            last.is_some_and(|by| self.told[*by].words().any(|(_, value)| *value == Value::bool(false)))
        };
        let (deleted, there): (Vec<_>, Vec<_>) = ids.iter().partition(is_deleted);
        deleted.into_iter().filter(|(side, _)| there.iter().any(|(other, _)| other == side)).cloned().collect()
    }

    /// The place of a statement on its side's line; the name only tells two apart whose whole content is the same.
    fn place(&self, by: usize) -> impl Ord + use<> {
        let header = &self.told[by].header;
        let class = match header.kind {
            Kind::Sent => 0,
            Kind::Receipt => 1,
            Kind::Settled => 2,
            Kind::Observe => 4,
            _ => 3,
        };
        let content = (self.told[by].content(), header.said);
        (self.time[by], class, self.depth[by], header.said_seq, content)
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

    /// A side's line from its beginning: its words, and what it shows at the end. Each of its own records that it still has is
    /// looked at by itself, with all that may be about any of them; it shows what it shows under the one it spoke of last.
    fn walk(&self, side: &str) -> (Vec<Word>, BTreeMap<String, Newest>) {
        let mut line: Vec<usize> = (0..self.told.len()).filter(|by| **self.side(*by) == *side).collect();
        // Of a record that went into another its side tells as deleted; the other is not.
        line.retain(|by| self.told[*by].header.kind != Kind::Delete || !self.is_merged_away(*by));
        // All that was said of a record that the side has no more is older than what is said of one that it has.
        line.sort_by_cached_key(|by| (!self.is_over(*by), self.place(*by)));
        let link = |by: usize| self.told[by].header.origin.link.as_deref();
        let is_merger = |by: &usize| self.mergers.contains(by) && **self.side(*by) == *side;
        let mergers: Vec<usize> = (0..self.told.len()).filter(is_merger).collect();
        let tells = |by: &usize| speaks(self.told[*by].header.kind) || self.told[*by].header.kind == Kind::Receipt;
        let spoke = line.iter().filter(|by| tells(by)).chain(&mergers).copied();
        let spoke: Vec<usize> = spoke.filter(|by| link(*by).is_some() && !self.is_over(*by)).collect();
        let records: BTreeSet<&str> = spoke.iter().filter_map(|by| link(*by)).collect();
        if records.len() < 2 {
            return self.walk_one(&line);
        }
        let last = spoke.iter().max_by_key(|by| self.place(**by)).and_then(|by| link(*by));
        let (mut words, mut shown) = (Vec::new(), BTreeMap::new());
        for record in &records {
            let makes = |by: usize| self.makes(self.told[by].header.said);
            let may_be = |by: &usize| self.is_over(*by) || link(*by).is_none_or(|of| of == *record) || makes(*by);
            let (mut said, newest) = self.walk_one(&line.iter().copied().filter(may_be).collect::<Vec<_>>());
            // What may be about any of them is said once.
            said.retain(|word| link(word.by) == Some(*record) || records.first() == Some(record));
            words.extend(said);
            if last == Some(*record) {
                shown = newest;
            }
        }
        (words, shown)
    }

    /// Whether this is a write that is to make a record.
    fn makes(&self, said: SaidId) -> bool {
        let alive = |(field, value): (&FieldName, &Value)| **field == *EXISTENCE && *value == Value::bool(true);
        let mut writes = self.told.iter().filter(|event| event.header.kind == Kind::Sent);
        writes.any(|event| event.header.said == said && event.words().any(alive))
    }

    /// What was said and told in this order: its words, and what shows at the end.
    fn walk_one(&self, line: &[usize]) -> (Vec<Word>, BTreeMap<String, Newest>) {
        let mut words: Vec<Word> = Vec::new();
        let mut newest: BTreeMap<String, Newest> = BTreeMap::new();
        let mut pending: BTreeMap<String, Value> = BTreeMap::new();
        let mut own_at: BTreeMap<String, Millis> = BTreeMap::new();
        // Where the side's clock is behind, what became of a write may stand before it: it is not on its way any more. One that was
        // refused never was, nor one that was to make a record and made nothing.
        let mut done: Vec<SaidId> = Vec::new();
        for event in &self.told {
            let made_nothing = event.header.kind == Kind::Receipt && event.header.fields.is_empty();
            let refused = event.header.kind == Kind::Refused;
            done.extend(ends_of(event).iter().filter(|said| refused || made_nothing && self.makes(**said)));
        }
        for by in line.iter().copied() {
            let event = self.told[by];
            if event.header.kind == Kind::Sent && done.contains(&event.header.said) {
                continue;
            }
            done.extend(ends_of(event));
            for (field, value) in event.words() {
                let (field, value) = (field.to_string(), value.clone());
                let of_newest = newest.get(&field).cloned();
                let is_pending = pending.get(&field) == Some(&value);
                let is_write = of_newest == Some(Newest::Write(value.clone()));
                let is_own = of_newest == Some(Newest::Own(value.clone()));
                let is_linear = event.header.seen.is_none();
                let repeats = is_linear && is_own && own_at.get(&field) == Some(&self.time[by]);
                if speaks(event.header.kind) && is_linear && self.was_taken(by, &field, &value) {
                    continue;
                }
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

    /// Whether a write of ours had put this value there at that very time: its receipt says so though it stands later, or tells
    /// so of the same record, which the side has no more.
    fn was_taken(&self, by: usize, field: &str, value: &Value) -> bool {
        let says_so = |other: &usize| {
            let (one, other_is) = (&self.told[by].header.origin, &self.told[*other].header);
            match self.told[*other].payload.detail {
                Detail::Took { at, .. } if at == self.time[by] && other_is.origin.side == one.side => true,
                _ => {
                    let same = other_is.origin.link == one.link && other_is.origin.side == one.side;
                    let taken = other_is.kind == Kind::Receipt && same && self.is_over(by);
                    taken && self.told_when(*other) == self.time[by]
                }
            }
        };
        let mut written = (0..self.told.len()).filter(says_so).flat_map(|other| self.told[other].words());
        !self.told[by].header.author.is_another() && written.any(|(name, put)| **name == *field && put == value)
    }

    /// When the side learned of what a statement of ours tells it: a receipt may say that it was earlier than it stands.
    fn told_when(&self, by: usize) -> Millis {
        if let Detail::Took { at, .. } = self.told[by].payload.detail { at } else { self.time[by] }
    }

    /// Whether what was written came to one who spoke later by the side's clock: to one who spoke of a record that the side has
    /// no more only under such a record.
    fn came_before(&self, receipt: usize, after: usize) -> bool {
        self.told_when(receipt) < self.time[after] && (self.is_over(receipt) || !self.is_over(after))
    }

    /// Whether a statement is about a side's own record that the side has merged into another.
    pub fn is_merged_away(&self, by: usize) -> bool {
        let Origin { side, link, .. } = &self.told[by].header.origin;
        link.as_ref().is_some_and(|link| self.merged_away.iter().any(|(of, gone)| of == side && gone == &**link))
    }

    /// Whether a statement is about a side's own record that the side has no more, while it has the record.
    fn is_over(&self, by: usize) -> bool {
        self.is_merged_away(by) || self.is_outlived(by)
    }

    /// Whether a statement is about a side's own record that the side has deleted, and that it has under another id.
    fn is_outlived(&self, by: usize) -> bool {
        let Origin { side, link, .. } = &self.told[by].header.origin;
        link.as_ref().is_some_and(|link| self.outlived.iter().any(|(of, gone)| of == side && gone == &**link))
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

    /// The writes that nothing names that says what became of them.
    fn open_writes(&self) -> BTreeSet<(String, String, Vec<String>)> {
        let ended = |said: SaidId| self.told.iter().any(|event| ends_of(event).contains(&said));
        let mut open = BTreeSet::new();
        for event in &self.told {
            if let (Detail::Try { key, .. }, Kind::Sent) = (&event.payload.detail, event.header.kind) {
                let fields = event.header.fields.iter().map(ToString::to_string).collect();
                if !ended(event.header.said) {
                    open.insert((event.header.origin.side.to_string(), key.clone(), fields));
                }
            }
        }
        open
    }

    /// What happened before what, as far as `field` is concerned.
    ///
    /// The words on a merged field are changes to what their side showed: what a write of ours had replaced by then is
    /// not among it. Whether the field is merged must be clear either way.
    fn happened_before(&self, field: &str, words: &[Word]) -> Rc<Square> {
        let plain = self.relation(field, words, false);
        let as_shown = self.relation(field, words, true);
        let merged = [&plain, &as_shown].into_iter().all(|before| self.is_merged(field, words, before));
        if merged { as_shown } else { plain }
    }

    fn is_merged(&self, field: &str, words: &[Word], before: &Square) -> bool {
        let newest = last_words(field, words, before).into_iter().map(|word| word.corrected).max();
        let spec = newest.map(|newest| self.spec(newest, field));
        spec.is_some_and(|spec| {
            let merges = matches!(
                spec.kind,
                FieldType::LongText | FieldType::Set | FieldType::References(_) | FieldType::Counter
            );
            spec.rule == Rule::Merge && merges
        })
    }

    /// The relation by side order; with `as_shown` without the words that a write of ours had replaced.
    fn relation(&self, field: &str, words: &[Word], as_shown: bool) -> Rc<Square> {
        let key = (field.to_owned(), as_shown);
        if let Some(known) = self.relations.borrow().get(&key) {
            return Rc::clone(known);
        }
        let found = Rc::new(self.worked_out(field, words, as_shown));
        self.relations.borrow_mut().insert(key, Rc::clone(&found));
        found
    }

    fn worked_out(&self, field: &str, words: &[Word], as_shown: bool) -> Square {
        let count = self.told.len();
        let mut by_clock = Square::new(count);
        let on_field: Vec<&Word> = words.iter().filter(|word| word.field == field).collect();
        let told = self.told_of(field);
        for after in 0..count {
            let header = &self.told[after].header;
            if !speaks(header.kind) || header.seen.is_some() {
                continue;
            }
            for word in &on_field {
                let own_line = self.told[word.by].header.origin == header.origin;
                let replaced = as_shown && self.overwritten(&told, word.by, after);
                let earlier = own_line && self.time[word.by] < self.time[after] && !replaced;
                let mut said = word.repeats.iter().chain([&word.by]).map(|by| self.told[*by].header.said);
                let mut knows = || said.any(|said| self.learned(&told, after, said));
                if earlier || word.repeats.contains(&after) || knows() {
                    by_clock.set(word.by, after);
                }
            }
        }
        let full = by_clock.clone().or(&self.named).closed();
        let mut kept = Square::new(count);
        for before in 0..count {
            let in_a_circle = |after: &usize| full.has(before, *after) && full.has(*after, before);
            let after = (0..count).filter(|after| by_clock.has(before, *after) && !in_a_circle(after));
            after.for_each(|after| kept.set(before, after));
        }
        kept.or(&self.named).closed()
    }

    /// The receipts and their like that speak of a field, each with what it carries of it.
    fn told_of(&self, field: &str) -> Vec<(usize, Vec<SaidId>)> {
        let ours =
            (0..self.told.len()).filter(|by| matches!(self.told[*by].header.kind, Kind::Receipt | Kind::Settled));
        ours.filter_map(|by| Some((by, self.carries(by, field)?))).collect()
    }

    /// Whether a write of ours replaced what the side's `before` had put there, before its `after` spoke.
    fn overwritten(&self, told: &[(usize, Vec<SaidId>)], before: usize, after: usize) -> bool {
        told.iter().any(|(receipt, _)| {
            self.told[*receipt].header.kind == Kind::Receipt
                && self.side(*receipt) == self.side(after)
                && self.time[before] < self.told_when(*receipt)
                && self.came_before(*receipt, after)
        })
    }

    /// Whether a receipt, or its like, told the side of that statement before `after` spoke.
    fn learned(&self, told: &[(usize, Vec<SaidId>)], after: usize, said: SaidId) -> bool {
        told.iter().any(|(receipt, carried)| {
            self.side(*receipt) == self.side(after) && self.came_before(*receipt, after) && carried.contains(&said)
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
    on_field.iter().copied().filter(|word| !on_field.iter().any(|other| before.has(word.by, other.by))).collect()
}

//! Stories told by hand: statements that name each other by their number in the telling.

use std::{collections::BTreeMap, fmt};

use syncline::{
    clock::{Hlc, Millis},
    event::{self, Author, Detail, Draft, Event, Kind, Origin},
    field::{DeleteRule, FieldSpec, FieldType, Rule},
    id::{FieldName, RecordId, SaidId, SideName, TenantKey},
    rulebook::{Edition, KindSpec, Rulebook, SideSpec},
    value::Value,
};

/// The time at which stories begin.
pub const BEGIN: i64 = 1_750_000_000_000;

pub fn side(name: &str) -> SideName {
    SideName::new(name).expect("a test's side has a good name")
}

pub fn value(json: &str) -> Value {
    Value::from_json(json).expect("a test's value is JSON")
}

/// A reference to another line of the telling, or to a statement that nobody made.
#[derive(Clone, Copy, Debug)]
pub enum Named {
    Line(usize),
    Nobody(u8),
}

/// A statement whose references are not ids yet.
#[derive(Clone, Debug)]
pub struct Line {
    pub draft: Draft,
    pub seen: Option<Vec<Named>>,
    pub carries: Vec<Vec<Named>>,
    /// For writes and what became of them: the writes, by their `sent`, that it ends.
    pub ends: Vec<Named>,
}

impl Line {
    /// Names the statement: the source uses a number once.
    pub fn number(&mut self, source: &str, number: u64) {
        self.draft.named = event::Named::of(source);
        self.draft.said_seq = Some(number);
    }
}

/// Statements in the order in which they were made; later ones may be named by earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    pub lines: Vec<Line>,
}

impl Telling {
    /// Adds a statement and answers its number.
    pub fn say(&mut self, kind: Kind, origin: Origin, at: i64, author: Author, words: &[(&str, &str)]) -> usize {
        let record = RecordId::new("contact/1").expect("good");
        let mut draft = Draft::new(kind, record, origin, Millis(BEGIN + at), author);
        let name = |field: &str| FieldName::new(field).expect("a test's field has a good name");
        draft.words = words.iter().map(|(field, json)| (name(field), value(json))).collect();
        self.lines.push(Line { draft, seen: None, carries: Vec::new(), ends: Vec::new() });
        self.lines.len() - 1
    }

    /// A linear edit by an unnamed author.
    pub fn edit(&mut self, of: &str, at: i64, words: &[(&str, &str)]) -> usize {
        self.say(Kind::Edit, Origin::side(side(of)), at, Author::default(), words)
    }

    /// An edit that names what it has seen.
    pub fn edit_on(&mut self, seen: &[usize], of: &str, at: i64, words: &[(&str, &str)]) -> usize {
        let line = self.edit(of, at, words);
        self.lines[line].seen = Some(seen.iter().map(|line| Named::Line(*line)).collect());
        line
    }

    /// One of the engine's own statements about a side, with what each word carries.
    pub fn ours(&mut self, kind: Kind, of: &str, at: i64, words: &[(&str, &str, &[usize])]) -> usize {
        let bare: Vec<_> = words.iter().map(|(field, json, _)| (*field, *json)).collect();
        let line = self.say(kind, Origin::side(side(of)), at, Author::engine(), &bare);
        self.lines[line].carries =
            words.iter().map(|(_, _, carried)| carried.iter().map(|line| Named::Line(*line)).collect()).collect();
        line
    }

    /// The events, with their ids; a `named` statement has the id that its name gives it.
    pub fn events(&self) -> Vec<Event> {
        let key = TenantKey([7; 32]).record_key("contact/1");
        let mut said: Vec<Option<SaidId>> = vec![None; self.lines.len()];
        let mut events: Vec<Option<Event>> = vec![None; self.lines.len()];
        // What a side says is named without what it had seen, so its id comes first; what we say carries such ids, and
        // what became of a write names it.
        let turn = |line: &Line| match line.draft.kind {
            kind if kind.is_said() => 0,
            Kind::Sent => 1,
            _ => 2,
        };
        for due in 0..3 {
            for (at, line) in self.lines.iter().enumerate().filter(|(_, line)| turn(line) == due) {
                let mut draft = line.draft.clone();
                draft.carries = line.carries.iter().map(|carried| ids(carried, &said)).collect();
                if let Detail::Try { ends, .. } | Detail::Fate { ends, .. } | Detail::Took { ends, .. } =
                    &mut draft.detail
                {
                    *ends = ids(&line.ends, &said);
                }
                let event = draft.seal(&key, Hlc(at as u64)).expect("small").event;
                said[at] = Some(event.header.said);
                events[at] = Some(event);
            }
        }
        let mut nodes: BTreeMap<(SaidId, Vec<u8>), Option<Box<str>>> = BTreeMap::new();
        for (event, line) in events.iter_mut().flatten().zip(&self.lines) {
            if let Some(seen) = &line.seen {
                event.header.seen = Some(ids(seen, &said));
            }
            // A statement is made on one node, whoever repeats it.
            let node = nodes.entry((event.header.said, event.content())).or_insert(event.header.origin.node.clone());
            event.header.origin.node = node.clone();
        }
        events.into_iter().flatten().collect()
    }
}

fn ids(named: &[Named], said: &[Option<SaidId>]) -> Vec<SaidId> {
    let mut ids = Vec::new();
    for name in named {
        match name {
            Named::Nobody(which) => ids.push(SaidId([*which; 16])),
            Named::Line(line) => ids.extend(said.get(line % said.len()).copied().flatten()),
        }
    }
    ids
}

/// A rulebook for contacts in a CRM, a portal and billing, all connected; a field without an entry takes the last write.
pub fn rules(fields: &[(&str, FieldType, Rule)]) -> Rulebook {
    rules_with(fields, DeleteRule::Manual)
}

/// As [`rules`], with what becomes of deletes.
pub fn rules_with(fields: &[(&str, FieldType, Rule)], deletes: DeleteRule) -> Rulebook {
    let spec =
        |kind: &FieldType, rule: &Rule| FieldSpec { kind: kind.clone(), rule: rule.clone(), write: None, sides: None };
    let fields = fields.iter().map(|(name, kind, rule)| ((*name).to_owned(), spec(kind, rule))).collect();
    let connected = SideSpec { connected: true, resolution: 1, own_ids: false };
    let sides = ["crm", "portal", "billing"].map(|name| (side(name), connected.clone()));
    let kind = KindSpec { fields, deletes, sides: None };
    Rulebook::of(Edition { kinds: [("contact".to_owned(), kind)].into(), sides: sides.into() })
}

/// A record's events in some order of arrival, and the rules to judge them by.
#[derive(Clone)]
pub struct Story {
    pub events: Vec<Event>,
    pub book: Rulebook,
}

impl fmt::Debug for Story {
    /// Prints what the events say, values included, one a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |said: &SaidId| said.to_string()[..6].to_owned();
        for event in &self.events {
            let header = &event.header;
            let at = header.said_at.0 - BEGIN;
            let Origin { side, link, node } = &header.origin;
            write!(f, "\n{} {} {side} {link:?} {node:?} at {at}", short(&header.said), header.kind.name())?;
            write!(f, " {:?} seq {:?}", header.author.kind, header.said_seq)?;
            match &header.seen {
                Some(seen) => write!(f, " seen {:?}", seen.iter().map(short).collect::<Vec<_>>())?,
                None => write!(f, " linear")?,
            }
            for (place, (field, value)) in event.words().enumerate() {
                let carried: Vec<_> = header.carries.get(place).into_iter().flatten().map(short).collect();
                write!(f, " {field}={} {carried:?}", value.to_json())?;
            }
        }
        write!(f, "\n{:?}", self.book)
    }
}

/// The same events in another order.
pub fn shuffled(events: &[Event], seed: u64) -> Vec<Event> {
    let mut events = events.to_vec();
    let mut state = seed;
    for end in (1..events.len()).rev() {
        // Knuth's generator for 64 bits; its upper half is good enough for shuffling.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        events.swap(end, (state >> 33) as usize % (end + 1));
    }
    events
}

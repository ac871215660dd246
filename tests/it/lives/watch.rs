//! What has to hold after every step of a life: read from the log, and judged without the engine's merge.
//!
//! The watch keeps a copy of all durable events and judges every record that a step has touched with the naive fold. Which ids
//! are one record it works out from the ties of the log, in the most obvious way.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use syncline::{
    clock::Millis,
    engine::Engine,
    event::{Detail, Event, Kind},
    history::Principal,
    id::{FieldName, RecordId, SaidId, Seq, SideName},
    merge::Existence,
    rulebook::{EXISTENCE, Rulebook},
    sim::{
        connector::Delivered,
        post::{Said, Webhook},
    },
    value::Value,
};

use super::{Failure, house};
use crate::{
    merged,
    reference::{self, Plain},
};

/// So many events of a field a failure tells, from the first on.
const SAID_MOST: usize = 60;

/// What a side said of one field, whatever the statement's name.
type Word = (SideName, RecordId, Millis, FieldName, Value);

/// What the naive fold said of a record when it had so many events and so many had changed the rules.
struct Judged {
    events: usize,
    rules: usize,
    plain: Rc<Plain>,
}

/// A copy of the log, and what is known from it.
#[derive(Default)]
pub struct Watch {
    events: Vec<Event>,
    of: BTreeMap<RecordId, Vec<usize>>,
    /// The newest statement about each pair of ids: when, and whether it ties or parts.
    ties: BTreeMap<(RecordId, RecordId), (Millis, u8)>,
    book: Rulebook,
    words: HashSet<Word>,
    names: HashSet<(SaidId, Vec<u8>)>,
    keys: HashSet<String>,
    touched: BTreeSet<RecordId>,
    /// How many events have changed the rules.
    rules: usize,
    /// What the naive fold said of records.
    judged: RefCell<HashMap<BTreeSet<RecordId>, Judged>>,
    /// How many field values were sent, and how many words users' statements had.
    pub values_sent: u64,
}

impl Watch {
    /// Takes in what is new in the log, one by one, each write judged by what the log held before it.
    pub fn read(&mut self, engine: &Engine) -> Result<(), Failure> {
        let after = Seq(self.events.len() as u64);
        for stored in engine.stored_after(after) {
            let (event, stored) = stored.map_err(|why| Failure::new("the log can be read", &why))?;
            if stored.seq.0 != self.events.len() as u64 + 1 {
                return Err(Failure::new("the log has no gaps", &stored.seq));
            }
            self.take(event)?;
        }
        Ok(())
    }

    /// Reads the log anew, as after a crash: what was durable is there, and is what it was.
    pub fn read_again(&mut self, engine: &Engine) -> Result<(), Failure> {
        let mut held = 0;
        for (stored, known) in engine.stored().zip(&self.events) {
            let (event, _) = stored.map_err(|why| Failure::new("the log can be read", &why))?;
            if event != *known {
                return Err(Failure::new("nothing durable is changed", &print(known)));
            }
            held += 1;
        }
        if held < self.events.len() {
            return Err(Failure::new("nothing acknowledged is lost", &print(&self.events[held])));
        }
        self.read(engine)?;
        self.touch_all();
        Ok(())
    }

    /// Lets every record be judged at the next check.
    pub fn touch_all(&mut self) {
        self.touched.extend(self.of.keys().cloned());
    }

    fn take(&mut self, event: Event) -> Result<(), Failure> {
        let header = &event.header;
        match (&header.kind, &event.payload.detail) {
            (Kind::Manifest, Detail::Manifest(text)) => {
                let edition = house::editions().get(text).expect("a manifest of this house").clone();
                self.book.add_edition(header.said_at, text, edition);
                self.rules += 1;
                self.touch_all();
            }
            (Kind::Clock, Detail::Clock(ahead)) => {
                self.book.add_clock(&header.origin.side, header.said_at, *ahead);
                self.rules += 1;
                self.touch_all();
            }
            (Kind::Sent, Detail::Try { key, .. }) => {
                self.check_sent(&event)?;
                self.keys.insert(key.clone());
                self.values_sent += event.words().count() as u64;
            }
            (kind @ (Kind::Link | Kind::Absorb | Kind::Unlink), Detail::Other { record, .. }) => {
                let rank =
                    [Kind::Link, Kind::Absorb, Kind::Unlink].iter().position(|of| of == kind).expect("one of them");
                let pair = [header.record.clone(), record.clone()];
                let pair = (pair[0].clone().min(pair[1].clone()), pair[0].clone().max(pair[1].clone()));
                let newest = self.ties.entry(pair).or_insert((header.said_at, rank as u8));
                *newest = (*newest).max((header.said_at, rank as u8));
            }
            _ => {}
        }
        if header.kind.is_said() {
            if !self.names.insert((header.said, event.content())) {
                return Err(Failure::new("nothing is logged twice", &print(&event)));
            }
            let (side, record, at) = (&header.origin.side, &header.record, header.said_at);
            let word =
                |(field, value): (&FieldName, &Value)| (side.clone(), record.clone(), at, field.clone(), value.clone());
            self.words.extend(event.words().map(word));
        }
        if !header.record.is_empty() {
            self.touched.insert(header.record.clone());
            self.of.entry(header.record.clone()).or_default().push(self.events.len());
        }
        self.events.push(event);
        Ok(())
    }

    /// All ids that are one with this one.
    pub fn cluster(&self, id: &RecordId) -> BTreeSet<RecordId> {
        let mut cluster = BTreeSet::from([id.clone()]);
        loop {
            let before = cluster.len();
            for ((one, other), (_, rank)) in &self.ties {
                if *rank < 2 && (cluster.contains(one) || cluster.contains(other)) {
                    cluster.extend([one.clone(), other.clone()]);
                }
            }
            if cluster.len() == before {
                return cluster;
            }
        }
    }

    /// All records, each as the ids that are one.
    pub fn clusters(&self) -> BTreeSet<BTreeSet<RecordId>> {
        self.of.keys().map(|id| self.cluster(id)).collect()
    }

    /// The events of a record.
    pub fn events(&self, cluster: &BTreeSet<RecordId>) -> impl Iterator<Item = &Event> {
        let of = cluster.iter().filter_map(|id| self.of.get(id)).flatten();
        of.map(|at| &self.events[*at])
    }

    /// All events, in the order of the log.
    pub fn all(&self) -> &[Event] {
        &self.events
    }

    /// The rules, as the log has them.
    pub fn book(&self) -> &Rulebook {
        &self.book
    }

    /// What the log holds of a field of a record, and of which ids it is, for whoever reads why a life failed.
    pub fn said_of(&self, cluster: &BTreeSet<RecordId>, field: &str) -> String {
        let speaks = |event: &&Event| {
            let is_tie = matches!(event.payload.detail, Detail::Other { .. });
            is_tie || event.header.fields.iter().any(|name| **name == *field)
        };
        let mut of: Vec<usize> = cluster.iter().filter_map(|id| self.of.get(id)).flatten().copied().collect();
        of.sort_unstable();
        let events = of.iter().map(|at| (at, &self.events[*at])).filter(|(_, event)| speaks(event));
        let events: Vec<String> = events.map(|(at, event)| format!("  {at}: {}", print(event))).collect();
        let (first, cut) = (events.len().min(SAID_MOST), events.len().saturating_sub(SAID_MOST));
        let all: Vec<Event> = self.events(cluster).cloned().collect();
        let (candidates, open) = (merged::candidates(&all, &self.book, field), merged::open(&all, &self.book));
        let (events, candidates, open) = (events[..first].join("\n"), candidates.join("\n  "), open.join("\n  "));
        format!("{events}\n  and {cut} more; candidates when folded anew:\n  {candidates}\n  sides:\n  {open}")
    }

    /// Whether a deleted record lives on, as far as the engine knows, so that its side has it anew or will have.
    pub fn is_replaced(&self, id: &RecordId) -> bool {
        let cluster = self.cluster(id);
        let side = |id: &RecordId| id.side_and_link().map(|(side, _)| side.to_owned());
        let again = cluster.iter().filter(|other| side(other) == side(id)).count() > 1;
        again || self.judge(&cluster).existence == "alive"
    }

    /// What the naive fold says of a record.
    pub fn judge(&self, cluster: &BTreeSet<RecordId>) -> Rc<Plain> {
        let (events, rules) = (cluster.iter().filter_map(|id| self.of.get(id)).map(Vec::len).sum(), self.rules);
        if let Some(known) = self.judged.borrow().get(cluster).filter(|of| (of.events, of.rules) == (events, rules)) {
            return Rc::clone(&known.plain);
        }
        let plain = Rc::new(reference::fold(self.events(cluster), &self.book));
        let judged = Judged { events, rules, plain: Rc::clone(&plain) };
        self.judged.borrow_mut().insert(cluster.clone(), judged);
        plain
    }

    /// A write says what the record is, as far as the engine knew when it left, and nothing that its side showed already.
    fn check_sent(&self, event: &Event) -> Result<(), Failure> {
        let side = event.header.origin.side.to_string();
        let due = self.judge(&self.cluster(&event.header.record));
        let shows = due.shadows.get(&side);
        let makes = event.words().any(|(field, value)| **field == *EXISTENCE && *value == Value::bool(true));
        for (field, value) in event.words() {
            let json = value.to_json();
            let asked = match due.fields.get(&**field) {
                _ if **field == *EXISTENCE => due.existence == if makes { "alive" } else { "deleted" },
                Some(field) if field.disputed => false,
                Some(field) => field.value.as_ref().is_none_or(|value| *value == json),
                None => value.is_null(),
            };
            if !asked {
                let (due, cluster) = (due.fields.get(&**field), self.cluster(&event.header.record));
                let told = format!("{}\n  due {due:?}\n{}", print(event), self.said_of(&cluster, field));
                return Err(Failure::new("a write says what is known", &told));
            }
            let shown = shows.and_then(|shows| shows.get(&**field));
            if shown == Some(&json) && !makes {
                return Err(Failure::new("a write says what its side does not show", &print(event)));
            }
            if due.parked.contains(&(side.clone(), field.to_string())) {
                return Err(Failure::new("what is parked is not written", &print(event)));
            }
        }
        Ok(())
    }

    /// What was acknowledged to a side is in the log.
    pub fn acknowledged(&self, side: &SideName, webhook: &Webhook) -> Result<(), Failure> {
        let existence = match webhook.said {
            Said::Created | Said::Restored => Some(true),
            Said::Deleted => Some(false),
            Said::Changed | Said::Merged(_) => None,
        };
        let existence = existence.map(|lives| (FieldName::new(EXISTENCE).expect("a good name"), Value::bool(lives)));
        for (field, value) in webhook.set.iter().cloned().chain(existence) {
            if !self.has(&(side.clone(), webhook.record.clone(), webhook.at, field.clone(), value.clone())) {
                let told = format!("{side} {} {field} = {value} at {}", webhook.record, webhook.at.0);
                return Err(Failure::new("what is acknowledged is in the log", &told));
            }
        }
        Ok(())
    }

    /// Whether the log has a word.
    pub fn has(&self, word: &Word) -> bool {
        self.words.contains(word)
    }

    /// Whether a write of ours has put the same value there, at the time of the word or later.
    pub fn was_written(&self, (side, record, at, field, value): &Word) -> bool {
        let of = self.of.get(record).into_iter().flatten().map(|nth| &self.events[*nth]);
        let mut receipts = of.filter(|event| event.header.kind == Kind::Receipt && event.header.origin.side == *side);
        receipts.any(|event| event.header.said_at >= *at && event.words().any(|word| word == (field, value)))
    }

    /// The last events of the log, and all of the record and the field that the last of them is about.
    pub fn last_said(&self) -> String {
        let told =
            self.events.iter().rev().find_map(|event| Some((&event.header.record, event.header.fields.first()?)));
        let said = told.map(|(record, field)| self.said_of(&self.cluster(record), field)).unwrap_or_default();
        format!("at last:\n  {}\nsaid of it:\n{said}", self.news(8))
    }

    /// The last events of the log, the newest first.
    pub fn news(&self, most: usize) -> String {
        self.events.iter().rev().take(most).map(print).collect::<Vec<_>>().join("\n  ")
    }

    /// What has reached a side was in the log before it left, and is made once.
    pub fn delivered(&self, delivered: &[Delivered], made: &mut HashSet<String>) -> Result<(), Failure> {
        for write in delivered {
            if !self.keys.contains(&write.key) {
                return Err(Failure::new("a write is in the log before it leaves", &write.record));
            }
            if write.create && write.took && !made.insert(write.key.clone()) {
                return Err(Failure::new("a record is made once", &write.record));
            }
        }
        Ok(())
    }

    /// Judges all records that were touched, and holds the engine against it.
    pub fn check(&mut self, engine: &Engine) -> Result<(), Failure> {
        let mut clusters: BTreeSet<BTreeSet<RecordId>> = BTreeSet::new();
        for id in std::mem::take(&mut self.touched) {
            if !clusters.iter().any(|cluster| cluster.contains(&id)) {
                clusters.insert(self.cluster(&id));
            }
        }
        clusters.iter().try_for_each(|cluster| self.check_one(engine, cluster))
    }

    fn check_one(&self, engine: &Engine, cluster: &BTreeSet<RecordId>) -> Result<(), Failure> {
        let least = cluster.first().expect("a record has an id");
        for id in cluster {
            let canonical = engine.canonical(id).map_err(|why| Failure::new("the engine can be read", &why))?;
            if canonical != *least {
                return Err(Failure::new("ids are one as the ties say", &format!("{id}: {canonical}, due {least}")));
            }
        }
        let view = engine.read(&Principal::operator()).get(least);
        let view = view.map_err(|why| Failure::new("the engine can be read", &why))?;
        let due = self.judge(cluster);
        let Some(view) = view else {
            return match due.fields.is_empty() {
                true => Ok(()),
                false => Err(Failure::new("what was said of is there", least)),
            };
        };
        let existence = match view.existence {
            Existence::Alive => "alive",
            Existence::Deleted => "deleted",
            Existence::Disputed => "disputed",
        };
        if existence != due.existence {
            let told = format!("{least}: {existence}, due {}", due.existence);
            return Err(Failure::new("a record lives as the rules say", &told));
        }
        let names: Vec<&str> = view.fields.iter().map(|field| &*field.name).collect();
        if names != due.fields.keys().map(String::as_str).collect::<Vec<_>>() {
            return Err(Failure::new("a record has the fields that were said", &format!("{least}: {names:?}")));
        }
        for field in &view.fields {
            let due = &due.fields[&*field.name];
            let (value, disputed) = (field.value.to_json(), field.disputed);
            if disputed != due.disputed || due.value.as_ref().is_some_and(|due| *due != value) {
                let told =
                    format!("{least} {}: {value}, due {due:?}\n{}", field.name, self.said_of(cluster, &field.name));
                return Err(Failure::new("a value is what the rules say", &told));
            }
        }
        Ok(())
    }
}

/// An event in a line, for whoever reads why a life failed.
pub fn print(event: &Event) -> String {
    let words: Vec<String> = event.words().map(|(field, value)| format!("{field} = {}", value.to_json())).collect();
    let header = &event.header;
    let (kind, side, at) = (header.kind.name(), &header.origin.side, header.said_at.0);
    let other = match &event.payload.detail {
        Detail::Other { record, .. } => format!(" and {record}"),
        _ => String::new(),
    };
    let seen = header.seen.iter().map(|seen| format!(" having seen {seen:?}")).collect::<String>();
    format!("{kind} of {side}, {}{other} at {at}{seen}: {}", header.record, words.join(", "))
}

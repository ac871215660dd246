//! The end of a life: all that went wrong is over, everything arrives and is read back, and then all have to agree.

use syncline::{
    clock::Millis,
    event::{Author, Event, Sealed},
    history::Principal,
    id::{RecordId, Seq},
    rulebook::EXISTENCE,
    send::chance::Chance,
    sim::ledger::{By, What},
    value::Value,
};

use super::{Failure, Life, house::SIDES, step::chain};
use crate::{merged::folded, reference::Plain, telling::shuffled};

/// After so many rounds of everything that is due a life that still goes on will never rest.
const ROUNDS_MOST: usize = 400;
/// Of so many lives one is told to a second store, which takes as long as the rest of it.
const STORES_EVERY: u64 = 8;

impl Life {
    /// Lets everything come to its end and holds all sides, the engine and the log against each other.
    pub fn end(&mut self, seed: u64) -> Result<(), Failure> {
        self.house.disk.heal();
        self.trouble = None;
        self.house.world.places.iter().for_each(|place| place.line.clear());
        self.settle()?;
        if self.merge_twins() {
            self.settle()?;
        }
        self.watch.touch_all();
        self.check()?;
        self.agree()?;
        self.heard()?;
        let audit = self.house.world.engine().audit(false, &|_, _, _| {});
        let audit = audit.map_err(|why| Failure::new("the engine can be read", &chain(&why)))?;
        if !audit.is_sound() {
            return Err(Failure::new("derived state is what the log says", &format!("{:?}", audit.findings)));
        }
        self.order_is_nothing(seed)
    }

    /// Lets everything arrive, be sent and be read back, until nothing is new.
    fn settle(&mut self) -> Result<(), Failure> {
        for _ in 0..8 {
            self.drain()?;
            let before = self.house.world.engine().last();
            for at in 0..SIDES.len() {
                let records: Vec<RecordId> = self.house.world.places[at].side().all().cloned().collect();
                self.go(|life| life.house.world.read_back(at, &records))?;
            }
            self.drain()?;
            self.check()?;
            if self.house.world.engine().last() == before {
                return Ok(());
            }
        }
        let told = format!("read back again and again, there is always news, at last:\n  {}", self.watch.news(6));
        Err(Failure::new("the sides come to rest", &told))
    }

    /// Lets all webhooks arrive and all writes leave until nothing is under way and nothing is due.
    fn drain(&mut self) -> Result<(), Failure> {
        for _ in 0..ROUNDS_MOST {
            self.house.world.post_webhooks();
            let mut next: Option<Millis> = None;
            let mut quiet = true;
            for at in 0..SIDES.len() {
                while self.house.world.places[at].post.waiting() > 0 {
                    quiet = false;
                    self.go(|life| life.house.world.arrive(at, 0, false))?;
                }
                quiet &= self.send_what_is_due(at)?.is_some_and(|stepped| stepped.is_idle());
                let due = self.go(|life| life.house.world.next_of(at))?.flatten();
                next = next.into_iter().chain(due).min();
            }
            self.house.world.clock.advance(1);
            match next {
                None if quiet => return Ok(()),
                Some(next) if quiet => {
                    let now = self.house.world.engine().now();
                    self.house.world.clock.advance((next.0 - now.0).max(0));
                }
                _ => {}
            }
        }
        let waits: Vec<usize> =
            SIDES.iter().filter_map(|(side, ..)| Some(self.house.world.engine().outbox(side).ok()?.0)).collect();
        self.watch.read(self.house.world.engine())?;
        let told = format!("records that wait, by side: {waits:?}, {}\n{}", self.watch.last_said(), self.waiting());
        Err(Failure::new("the sides come to rest", &told))
    }

    /// The records that one of the sides has not got as they are, with all that was said of what it lacks.
    fn waiting(&self) -> String {
        let reader = self.house.world.engine().read(&Principal::operator());
        let mut told = Vec::new();
        for cluster in self.watch.clusters() {
            for (side, ..) in SIDES {
                let stale = cluster.first().and_then(|id| reader.staleness(id, side).ok().flatten());
                let Some(stale) = stale.filter(|stale| stale.waits || !stale.differs.is_empty()) else { continue };
                let fields = stale.differs.iter().map(|field| self.watch.said_of(&cluster, field));
                told.push(format!("{side} waits for {stale:?} of\n{}", fields.collect::<Vec<_>>().join("\n")));
            }
        }
        told.join("\n")
    }

    /// Where one side has merged two records, the others' users do so too: which of a side's own two is told what the one
    /// record shows is nothing that anybody could agree on.
    fn merge_twins(&mut self) -> bool {
        let mut any = false;
        for cluster in self.watch.clusters() {
            for place in &self.house.world.places {
                let mut side = place.side();
                let own: Vec<RecordId> = cluster.iter().filter(|id| side.has(id)).cloned().collect();
                for twin in own.iter().skip(1) {
                    any |= side.merge(&own[0], twin, &Author::user("eva"));
                }
            }
        }
        any
    }

    /// Every side shows what the record is, wherever it may be told.
    fn agree(&self) -> Result<(), Failure> {
        for cluster in self.watch.clusters() {
            let due = self.watch.judge(&cluster);
            if due.existence != "disputed" && !due.fields.is_empty() {
                (0..SIDES.len()).try_for_each(|at| self.agree_on(at, &cluster.iter().collect::<Vec<_>>(), &due))?;
            }
        }
        Ok(())
    }

    fn agree_on(&self, at: usize, ids: &[&RecordId], due: &Plain) -> Result<(), Failure> {
        let place = &self.house.world.places[at];
        let (name, side) = (place.name.to_string(), place.side());
        let parked = |field: &str| due.parked.contains(&(name.clone(), field.to_owned()));
        let own: Vec<&RecordId> = ids.iter().filter(|id| side.id_of(id).is_some()).copied().collect();
        let there: Vec<&RecordId> = own.iter().filter(|id| side.has(id)).copied().collect();
        let is_due = usize::from(due.existence == "alive");
        if there.len() != is_due {
            // Of two that are one by a merger on another side this side's users may have deleted either.
            let of_two = own.len() > 1;
            let untold = due.fields.values().all(|field| field.value.as_deref().is_none_or(|value| value == "null"));
            if of_two || untold || parked(EXISTENCE) {
                return Ok(());
            }
            let said = self.said_of(ids, EXISTENCE);
            let told = format!("{ids:?} is {}, {name} has {there:?}\n{said}", due.existence);
            return Err(Failure::new("all sides have the records that live", &told));
        }
        let Some(record) = there.first() else { return Ok(()) };
        let view = self.house.world.engine().read(&Principal::operator()).get(record);
        let view = view.map_err(|why| Failure::new("the engine can be read", &chain(&why)))?;
        for (field, told) in due.fields.iter().filter(|(field, told)| !told.disputed && !parked(field)) {
            let shown = side.shows(record, field);
            let value = view.as_ref().and_then(|view| view.value(field)).cloned().unwrap_or_else(Value::null);
            let empty = |value: &Value| value.is_null() || value.to_json() == "[]" || value.to_json() == "\"\"";
            if shown != value && !(empty(&shown) && empty(&value)) {
                let said = self.said_of(ids, field);
                let told =
                    format!("{record} {field}: {name} shows {shown}, the engine has {value}, due {told:?}\n{said}");
                return Err(Failure::new("all sides show what a record is", &told));
            }
        }
        Ok(())
    }

    /// What the log holds of a field of a record, for whoever reads why a life failed.
    fn said_of(&self, ids: &[&RecordId], field: &str) -> String {
        self.watch.said_of(&ids.iter().copied().cloned().collect(), field)
    }

    /// All that users have said on records that are there to be read was heard of in the end.
    fn heard(&self) -> Result<(), Failure> {
        for entry in self.house.world.journal.entries() {
            let What::Field(field, value) = &entry.what else { continue };
            let place = self.house.world.place(&entry.side);
            if entry.by != By::User || !place.side().has(&entry.record) {
                continue;
            }
            let word = (entry.side.clone(), entry.record.clone(), entry.at, field.clone(), value.clone());
            // Who said what a write of ours said as well, and was not heard of before it, said nothing that differs.
            if !self.watch.has(&word) && !self.watch.was_written(&word) {
                let ids = self.watch.cluster(&entry.record);
                let said = self.watch.said_of(&ids, field);
                let told = format!(
                    "{} {} {field} = {value} at {}\nsaid of {ids:?}:\n{said}",
                    entry.side, entry.record, entry.at.0
                );
                return Err(Failure::new("what users said is in the log in the end", &told));
            }
        }
        Ok(())
    }

    /// In any other order the events make the same records.
    fn order_is_nothing(&self, seed: u64) -> Result<(), Failure> {
        let book = self.watch.book();
        for cluster in self.watch.clusters() {
            let mut events: Vec<Event> = self.watch.events(&cluster).cloned().collect();
            let straight = folded(&events, book);
            events = shuffled(&events, seed);
            if folded(&events, book) != straight {
                return Err(Failure::new("a record does not depend on the order of its events", &cluster.len()));
            }
        }
        match seed % STORES_EVERY {
            0 => self.second_store(seed),
            _ => Ok(()),
        }
    }

    /// Another store that is told everything in another order is the same.
    fn second_store(&self, seed: u64) -> Result<(), Failure> {
        let engine = self.house.world.engine();
        let second = self.house.second(self.house.world.clock.clone());
        let mut chance = Chance::new(seed);
        let mut sealed: Vec<Sealed> = Vec::new();
        for stored in engine.stored() {
            let (event, stored) = stored.map_err(|why| Failure::new("the log can be read", &chain(&why)))?;
            let key = engine.record_key(&event.header.record);
            let foreign = Sealed::from_foreign(&stored.header, &stored.payload, |_| key);
            sealed.push(foreign.map_err(|why| Failure::new("an event can be taken over", &chain(&why)))?);
        }
        let first = sealed.remove(0);
        // Knuth's shuffle; nothing but the first manifest has to come before anything.
        for end in (1..sealed.len()).rev() {
            sealed.swap(end, chance.below(end as u64 + 1) as usize);
        }
        let taken = second.take(vec![first]).and_then(|_| second.take(sealed));
        taken.map_err(|why| Failure::new("a second store takes all of it", &chain(&why)))?;
        let hash = |engine: &syncline::engine::Engine| {
            let hash = engine.read(&Principal::operator()).state_hash();
            hash.map_err(|why| Failure::new("the engine can be read", &chain(&why)))
        };
        let (ours, theirs) = (hash(engine)?, hash(&second)?);
        if ours != theirs || second.last() < Seq(1) {
            return Err(Failure::new(
                "a store does not depend on the order of its events",
                &format!("{ours} {theirs}"),
            ));
        }
        Ok(())
    }
}

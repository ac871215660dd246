//! One step of a life: something that a user, the network, a clock, a disk or an operator does.
//!
//! Everything in it follows from the step's own number, so that a step that is left out changes no other.

use std::io::ErrorKind;

use syncline::{
    clock::{Clock, Millis},
    engine::EngineError,
    event::Author,
    history::{Decision, Principal},
    id::{FieldName, RecordId},
    send::{Stepped, chance::Chance},
    sim::{
        connector::Slip,
        disk::{Cut, Trouble},
        ledger::elements,
    },
    value::Value,
};

use super::{
    Failure, Life,
    house::{FIRST_ID, KIND, SIDES, manifest},
};

/// A sender that is not done after so many rounds in one moment never will be.
const ROUNDS_MOST: usize = 200;
/// So many records users make on each side, at most.
const RECORDS: u64 = 20;
/// The fields that users edit, of which the last are merged from all that was said. Nobody changes an address, by which the
/// sides tell whether they have a person already.
const FIELDS: [&str; 9] = ["balance", "level", "office", "phone", "plan", "salutation", "notes", "tags", "visits"];

/// A step's own number; all that happens in it follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(pub u64);

impl Step {
    /// Whether the process is killed in it while a side answers.
    pub fn hangs(self) -> bool {
        let mut chance = Chance::new(self.0);
        chance.within(0, 60);
        chance.below(SIDES.len() as u64);
        (990..995).contains(&chance.below(1000))
    }
}

/// What an engine is asked in a step: the answer, or that its disk failed meanwhile.
type Asked<T> = Result<Option<T>, Failure>;

impl Life {
    /// Does what a step is, and tells of it in words.
    pub fn step(&mut self, step: Step) -> Result<String, Failure> {
        let mut chance = Chance::new(step.0);
        self.house.world.places.iter().for_each(|place| place.line.reseed(step.0));
        self.house.world.clock.advance(chance.within(0, 60));
        let at = chance.below(SIDES.len() as u64) as usize;
        match chance.below(1000) {
            0..300 => Ok(self.edit(at, &mut chance)),
            300..345 => Ok(self.make(at, &mut chance)),
            345..360 => Ok(self.delete(at, &mut chance)),
            360..374 => Ok(self.restore(at, &mut chance)),
            374..388 if self.merges => self.merge(at, &mut chance),
            374..400 => self.decide(at, &mut chance),
            400..630 => self.arrive(at, &mut chance),
            630..645 => Ok(self.lose(at, &mut chance)),
            645..820 => self.send(at),
            820..850 => Ok(self.wait(&mut chance)),
            850..870 => self.read_back(at, &mut chance),
            870..885 => Ok(self.cut(at, &mut chance)),
            885..925 => Ok(self.slip(at, &mut chance)),
            925..940 => self.turn_clock(at, &mut chance),
            940..948 => Ok(self.turn_own_clock(&mut chance)),
            948..958 => self.measure(at),
            958..966 => self.change_rules(&mut chance),
            966..973 => self.crash("the process is killed", Some(Cut::Kept)),
            973..981 => {
                let cut = cut(&mut chance);
                self.crash(&format!("the power goes, {cut:?}"), Some(cut))
            }
            981..990 => Ok(self.plan_trouble(&mut chance)),
            990..995 => self.hang(at, &mut chance),
            _ => Ok(self.slow_disk(&mut chance)),
        }
    }

    /// A record of a side, the first ones more often; there may be none of that number.
    fn record(&self, at: usize, chance: &mut Chance) -> RecordId {
        let most = if chance.permille(250) { 5 } else { RECORDS };
        let id = FIRST_ID + 1 + chance.below(most);
        RecordId::on_side(KIND, SIDES[at].0, &id.to_string()).expect("a good id")
    }

    fn author(&self, at: usize, chance: &mut Chance) -> Author {
        match chance.below(4) {
            // Some edits bear no name, so that only the values tell them from our own.
            0 if !SIDES[at].2 => Author::default(),
            number => Author::user(&format!("{} {number}", SIDES[at].0)),
        }
    }

    fn edit(&mut self, at: usize, chance: &mut Chance) -> String {
        let (record, author) = (self.record(at, chance), self.author(at, chance));
        let mut side = self.house.world.places[at].side();
        if !side.has(&record) {
            return format!("a user looks for {record}, which is not there");
        }
        let mut set = Vec::new();
        for _ in 0..=chance.below(2) {
            let field = *chance.pick(&FIELDS);
            let value = next_value(field, &side.shows(&record, field), chance);
            if !set.iter().any(|(name, _): &(FieldName, Value)| **name == *field) {
                set.push((FieldName::new(field).expect("a good name"), value));
            }
        }
        side.edit(&record, &author, &set);
        format!("a user sets {} of {record}", told(&set))
    }

    fn make(&mut self, at: usize, chance: &mut Chance) -> String {
        let author = self.author(at, chance);
        let mut side = self.house.world.places[at].side();
        if side.all().count() as u64 >= RECORDS {
            return format!("{} is full", side.name());
        }
        let record = side.next_name(KIND);
        let mut set = Vec::new();
        for field in ["email", "phone", "office"] {
            set.push((FieldName::new(field).expect("a good name"), next_value(field, &Value::null(), chance)));
        }
        side.edit(&record, &author, &set);
        format!("a user makes {record} with {}", told(&set))
    }

    fn delete(&mut self, at: usize, chance: &mut Chance) -> String {
        let (record, author) = (self.record(at, chance), self.author(at, chance));
        let mut side = self.house.world.places[at].side();
        match side.has(&record) {
            true => side.delete(&record, &author),
            false => return format!("a user would delete {record}, which is not there"),
        }
        format!("a user deletes {record}")
    }

    fn restore(&mut self, at: usize, chance: &mut Chance) -> String {
        let author = self.author(at, chance);
        let mut side = self.house.world.places[at].side();
        let gone: Vec<RecordId> = side.all().filter(|record| !side.has(record)).cloned().collect();
        if gone.is_empty() {
            return format!("nothing of {} was deleted", side.name());
        }
        let record = chance.pick(&gone);
        // What is made anew takes the place of what was deleted, and nobody wants both.
        let replaced = self.watch.is_replaced(record)
            || side.all().any(|other| side.has(other) && side.shows(other, "email") == side.kept(record, "email"));
        match !replaced && side.restore(record, &author) {
            true => format!("a user restores {record}"),
            false => format!("a user would restore {record}, in the place of which there is another"),
        }
    }

    /// A user merges two records, which is heard of at once; other sides may have both, until their users merge them too.
    fn merge(&mut self, at: usize, chance: &mut Chance) -> Result<String, Failure> {
        let (one, other) = (self.record(at, chance), self.record(at, chance));
        let author = self.author(at, chance);
        self.house.world.post_webhooks();
        let place = &mut self.house.world.places[at];
        if place.line.is_cut() || !place.side().merge(&one, &other, &author) {
            return Ok(format!("a user would merge {other} into {one}"));
        }
        let nth = self.house.world.places[at].post.waiting();
        self.house.world.post_webhooks();
        while self.go(|life| life.house.world.arrive(at, nth, true))?.is_none() {}
        Ok(format!("a user merges {other} into {one}, which is heard of at once"))
    }

    /// A person settles what is in dispute on a record, if anything is.
    fn decide(&mut self, at: usize, chance: &mut Chance) -> Result<String, Failure> {
        let (record, lives) = (self.record(at, chance), chance.permille(500));
        let decided = self.go(|life| {
            let engine = life.house.world.engine();
            let Some(view) = engine.read(&Principal::operator()).get(&record)? else { return Ok(None) };
            let disputed = view.fields.iter().find(|field| field.disputed);
            let decision = match (view.existence, disputed) {
                (syncline::merge::Existence::Disputed, _) => Decision::of(&record, "existence", Value::bool(lives)),
                (_, Some(field)) => Decision::of(&record, &field.name, field.value.clone()),
                (_, None) => return Ok(None),
            };
            let told = format!("a person decides {} = {} of {record}", decision.field, decision.value);
            engine.decide(&Principal::operator(), decision.by(Author::user("eva"))).map(|_| Some(told))
        })?;
        Ok(decided.flatten().unwrap_or_else(|| format!("a person has nothing to decide on {record}")))
    }

    /// A webhook arrives, any of those under way, perhaps not for the last time.
    fn arrive(&mut self, at: usize, chance: &mut Chance) -> Result<String, Failure> {
        self.house.world.post_webhooks();
        let place = &self.house.world.places[at];
        let (name, waiting) = (place.name.clone(), place.post.waiting());
        if waiting == 0 || place.line.is_cut() {
            return Ok(format!("nothing arrives from {name}"));
        }
        // Most come in their order; the others overtake.
        let nth = if chance.permille(600) { 0 } else { chance.below(waiting as u64) as usize };
        let keep = chance.permille(80);
        let Some(webhook) = self.go(|life| life.house.world.arrive(at, nth, keep))?.flatten() else {
            return Ok(format!("a webhook of {name} is not answered"));
        };
        self.watch.read(self.house.world.engine())?;
        self.watch.acknowledged(&name, &webhook)?;
        let again = if keep { ", and will come again" } else { "" };
        let told = told(&webhook.set);
        Ok(format!("a webhook arrives, {nth} overtaken{again}: {:?} {} {told}", webhook.said, webhook.record))
    }

    fn lose(&mut self, at: usize, chance: &mut Chance) -> String {
        self.house.world.post_webhooks();
        let place = &mut self.house.world.places[at];
        let nth = chance.below(place.post.waiting().max(1) as u64) as usize;
        match place.post.take(nth) {
            Some(webhook) => format!("a webhook is lost: {:?} {} {}", webhook.said, webhook.record, told(&webhook.set)),
            None => format!("no webhook of {} can be lost", place.name),
        }
    }

    fn send(&mut self, at: usize) -> Result<String, Failure> {
        let name = self.house.name(at);
        let stepped = self.send_what_is_due(at)?;
        Ok(format!(
            "{name} is sent what is due: {}",
            match stepped {
                Some(stepped) if stepped.is_idle() => "nothing".to_owned(),
                Some(stepped) => format!("{stepped:?}"),
                None => "the engine dies of it".to_owned(),
            }
        ))
    }

    /// Sends one side what is due, round after round, as its sender does; `None`: the engine died of it.
    pub fn send_what_is_due(&mut self, at: usize) -> Asked<Stepped> {
        if self.house.world.places[at].line.may_hang() {
            return self.go(|life| life.house.world.send_to(at));
        }
        let mut all = Stepped::default();
        for _ in 0..ROUNDS_MOST {
            match self.go(|life| life.house.world.round_to(at))? {
                Some(round) if round.is_idle() => return Ok(Some(all)),
                Some(round) => all.add(round),
                None => return Ok(None),
            }
        }
        self.watch.read(self.house.world.engine())?;
        Err(Failure::new("what is due in one moment has an end", &self.watch.last_said()))
    }

    fn wait(&mut self, chance: &mut Chance) -> String {
        let long = chance.permille(150);
        let millis = if long { chance.within(60_000, 900_000) } else { chance.within(100, 5_000) };
        self.house.world.clock.advance(millis);
        format!("{millis} ms pass")
    }

    fn read_back(&mut self, at: usize, chance: &mut Chance) -> Result<String, Failure> {
        let records: Vec<RecordId> = self.house.world.places[at].side().all().cloned().collect();
        let some: Vec<RecordId> = records.into_iter().filter(|_| chance.permille(300)).collect();
        self.go(|life| life.house.world.read_back(at, &some))?;
        Ok(format!("{} of {}'s records are read back", some.len(), self.house.name(at)))
    }

    fn cut(&mut self, at: usize, chance: &mut Chance) -> String {
        let place = &self.house.world.places[at];
        if place.line.is_cut() {
            place.line.clear();
            return format!("{} can be reached again", place.name);
        }
        let (now, millis) = (self.house.world.clock.now(), chance.within(1_000, 60_000));
        place.line.cut(now, now.plus(millis));
        format!("{} cannot be reached for {millis} ms", place.name)
    }

    fn slip(&mut self, at: usize, chance: &mut Chance) -> String {
        let place = &self.house.world.places[at];
        match chance.below(4) {
            0 => {
                let millis = chance.within(500, 20_000);
                place.line.busy_until(self.house.world.clock.now().plus(millis));
                format!("{} has no quota left for {millis} ms", place.name)
            }
            1 => {
                place.line.slip(Slip::Busy(700));
                format!("{} will put off a write", place.name)
            }
            _ => {
                place.line.slip(Slip::Unanswered);
                format!("{} will not answer a write that it takes", place.name)
            }
        }
    }

    /// A side's clock jumps; most often that is noticed.
    fn turn_clock(&mut self, at: usize, chance: &mut Chance) -> Result<String, Failure> {
        let ahead = if chance.permille(300) { chance.within(-600_000, 600_000) } else { chance.within(-3_000, 3_000) };
        self.house.world.places[at].side().set_ahead(ahead);
        if chance.permille(700) {
            self.measure(at)?;
        }
        Ok(format!("the clock of {} is now {ahead} ms ahead", self.house.name(at)))
    }

    fn turn_own_clock(&mut self, chance: &mut Chance) -> String {
        let ahead = if chance.permille(300) { chance.within(-60_000, 60_000) } else { chance.within(-900, 900) };
        self.house.world.ahead.set(Millis(ahead));
        format!("the engine's clock is now {ahead} ms ahead")
    }

    fn measure(&mut self, at: usize) -> Result<String, Failure> {
        let (name, world) = (self.house.name(at), &self.house.world);
        let ahead = world.places[at].side().now().0 - world.engine().now().0;
        self.go(|life| life.house.measure(at))?;
        Ok(format!("the clock of {name} is measured: {ahead} ms ahead"))
    }

    fn change_rules(&mut self, chance: &mut Chance) -> Result<String, Failure> {
        let number = chance.below(4);
        let changed = self.go(|life| life.house.world.apply_manifest(&manifest(number)))?;
        let told = if changed == Some(true) { "is put in force" } else { "was in force, or cannot be put" };
        Ok(format!("manifest {number} {told}"))
    }

    fn plan_trouble(&mut self, chance: &mut Chance) -> String {
        let nth = chance.within(1, 30) as u64;
        let trouble = match chance.below(6) {
            0 => Trouble::Once(ErrorKind::Other),
            1 => Trouble::Full,
            _ => Trouble::Crash,
        };
        self.trouble = Some((trouble, cut(chance)));
        self.house.disk.plan(nth, trouble);
        format!("operation {nth} of the disk from here on will end in {trouble:?}")
    }

    /// The process is killed while a side has taken a write and nobody has noted it.
    fn hang(&mut self, at: usize, chance: &mut Chance) -> Result<String, Failure> {
        self.house.world.places[at].line.hang_after(chance.below(3));
        self.send(at)?;
        self.house.world.places[at].line.mend();
        let name = self.house.name(at);
        self.crash(&format!("the process is killed while {name} has not answered"), Some(Cut::Kept))
    }

    fn slow_disk(&mut self, chance: &mut Chance) -> String {
        let millis = chance.below(3) as i64 * 400;
        self.house.disk.slow_down(&self.house.world.clock, millis);
        format!("a sync of the disk takes {millis} ms")
    }

    /// Asks the engine something; if the disk failed meanwhile, the engine is opened on what is left of it.
    pub fn go<T>(&mut self, work: impl FnOnce(&mut Life) -> Result<T, EngineError>) -> Asked<T> {
        match work(self) {
            Ok(done) => Ok(Some(done)),
            Err(why) if !self.house.disk.met() => Err(Failure::new("the engine does what it is asked", &chain(&why))),
            Err(_) => {
                let cut = match self.trouble.take() {
                    Some((Trouble::Crash, cut)) => Some(cut),
                    _ => None,
                };
                self.crash("the disk failed", cut)?;
                Ok(None)
            }
        }
    }

    /// Ends the engine without a word and opens it again on what a power cut leaves; `None`: on the same disk, cured.
    pub fn crash(&mut self, what: &str, cut: Option<Cut>) -> Result<String, Failure> {
        self.house.world.kill();
        self.trouble = None;
        match cut {
            Some(cut) => {
                let disk = self.house.disk.after(cut);
                self.house.set_disk(disk);
            }
            None => self.house.disk.heal(),
        }
        let opened =
            self.house.world.open().map_err(|why| Failure::new("a store opens after a crash", &chain(&why)))?;
        if !opened.recovery.faults.is_empty() {
            return Err(Failure::new("a crash is not taken for damage", &opened.recovery.faults.len()));
        }
        self.watch.read_again(self.house.world.engine())?;
        Ok(what.to_owned())
    }
}

/// One of the ways for unsynced bytes to survive.
fn cut(chance: &mut Chance) -> Cut {
    let seed = chance.number();
    match chance.below(6) {
        0 => Cut::Lost,
        1 => Cut::Kept,
        2 => Cut::Zeroed,
        3 => Cut::Prefix(seed),
        4 => Cut::Sectors(seed),
        _ => Cut::Torn(seed),
    }
}

/// What a user who sees `shown` makes of a field.
fn next_value(field: &str, shown: &Value, chance: &mut Chance) -> Value {
    let number = chance.below(10_000);
    match field {
        // The key of a person is never another's, nor taken away.
        "email" => Value::text(&format!("{:x}@example.com", chance.number())),
        "level" => json(&chance.below(40).to_string()),
        "visits" => {
            let shown = shown.to_json().parse().unwrap_or(0i64);
            json(&(shown + chance.within(-2, 5)).to_string())
        }
        "notes" => Value::text(&format!("{}{number}.\n", shown.as_text().unwrap_or_default())),
        "tags" => {
            let mut tags: Vec<String> = elements(shown).into_iter().collect();
            if !tags.is_empty() && chance.permille(400) {
                tags.remove(chance.below(tags.len() as u64) as usize);
            } else {
                tags.push(format!("t{number}"));
            }
            let tags: Vec<Value> = tags.iter().map(|tag| Value::text(tag)).collect();
            Value::list(&tags)
        }
        _ if chance.permille(60) => Value::null(),
        // Now and then two say the same, by chance.
        "phone" if chance.permille(80) => Value::text(&format!("{number} x")),
        _ if chance.permille(200) => Value::text(&format!("{field} {}", number % 3)),
        "office" => Value::text(&format!("Office {number}")),
        _ => Value::text(&format!("{field} {number}")),
    }
}

fn json(text: &str) -> Value {
    Value::from_json(text).expect("a number is JSON")
}

fn told(set: &[(FieldName, Value)]) -> String {
    let each: Vec<String> = set.iter().map(|(field, value)| format!("{field} = {}", value.to_json())).collect();
    each.join(", ")
}

/// An error with its causes.
pub fn chain(why: &dyn std::error::Error) -> String {
    let mut told = why.to_string();
    let mut cause = why.source();
    while let Some(why) = cause {
        told = format!("{told}: {why}");
        cause = why.source();
    }
    told
}

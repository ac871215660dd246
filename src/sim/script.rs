//! What users do: a script of edits that follows from a seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    ledger::{Judge, elements},
    people::{Person, people},
    side::Manners,
    world::World,
};
use crate::{
    clock::{Clock, Millis},
    event::{Author, AuthorKind},
    id::{FieldName, RecordId, SideName},
    send::chance::Chance,
    value::Value,
};

/// The manifest of the pretend sides: every kind of rule on one kind of record.
pub const MANIFEST: &str = "\
# The manifest of the demo: two pretend sides, and every kind of rule on one kind of record.
syncline: 1
tenant: demo
sides:
  crm: { connector: in_process, cooldown: { flips: 40, within: 10m } }
  portal: { connector: in_process, cooldown: { flips: 40, within: 10m } }
defaults: { rule: { authority: crm } }
records:
  person:
    deletes: delete_wins
    fields:
      first_name: { type: string }
      last_name: { type: string }
      birthday: { type: date }
      state: { type: string, write: [crm] }
      party: { type: string, write: [crm] }
      phone: { type: string, rule: { authority: portal } }
      twitter: { type: string, rule: { authority: portal } }
      office: { type: string, rule: last_write_wins }
      website: { type: string, rule: last_write_wins }
      salutation: { type: string, rule: manual }
      interests: { type: set, rule: merge }
      notes: { type: long_text, rule: merge }
";

/// The rules of [`MANIFEST`] once more, for the ledger.
pub fn rule(field: &str) -> Judge {
    match field {
        "state" | "party" => Judge::Only("crm"),
        "phone" | "twitter" => Judge::Authority("portal"),
        "office" | "website" => Judge::Newest,
        "salutation" => Judge::Person,
        "interests" => Judge::Elements,
        "notes" => Judge::Lines,
        _ => Judge::Authority("crm"),
    }
}

/// The CRM: clock ahead, one webhook a field, names authors, has its own form for telephone numbers and addresses of web sites.
pub fn crm() -> Manners {
    Manners {
        name: SideName::new("crm").expect("a good name"),
        first_id: 541_935_488_000,
        own_ids: false,
        ahead: 1_700,
        names_us: true,
        webhook_a_field: true,
        normalise: crm_form,
        refuse: crm_refuses,
        remembers: 20,
    }
}

/// The portal: clock behind, one webhook an edit, does not say that our writes are ours.
pub fn portal() -> Manners {
    Manners {
        name: SideName::new("portal").expect("a good name"),
        first_id: 7_000,
        own_ids: false,
        ahead: -900,
        names_us: false,
        webhook_a_field: false,
        normalise: |_, value| value.clone(),
        refuse: |_, _| None,
        remembers: 20,
    }
}

fn crm_form(field: &str, value: &Value) -> Value {
    let Some(text) = value.as_text() else { return value.clone() };
    match field {
        "phone" => match *text.splitn(3, '-').collect::<Vec<_>>() {
            [area, exchange, number] => Value::text(&format!("({area}) {exchange}-{number}")),
            _ => value.clone(),
        },
        "website" => Value::text(text.to_lowercase().trim_end_matches('/')),
        _ => value.clone(),
    }
}

fn crm_refuses(field: &str, value: &Value) -> Option<String> {
    let letters = value.as_text().is_some_and(|text| text.chars().any(char::is_alphabetic));
    (field == "phone" && letters).then(|| "Property values were not valid: phone must not hold letters".to_owned())
}

const TOPICS: [&str; 12] = [
    "agriculture",
    "budget",
    "energy",
    "health",
    "housing",
    "labour",
    "oceans",
    "roads",
    "schools",
    "space",
    "trade",
    "veterans",
];
const CALLS: [&str; 6] = [
    "asked for a meeting on",
    "sent a letter about",
    "called back about",
    "wants the figures for",
    "will speak next week on",
    "is not to be called about",
];

/// Users on two sides.
pub struct Script {
    chance: Chance,
    people: Vec<Person>,
    /// Those who are not on any side yet.
    to_come: VecDeque<usize>,
    /// Those who are on some side, not deleted as far as the script knows.
    known: Vec<RecordId>,
    used: BTreeMap<(RecordId, &'static str), BTreeSet<String>>,
    /// What was edited last and on which side, so that others edit it at the same time.
    hot: VecDeque<(usize, RecordId, &'static str)>,
    /// Refused telephone numbers that their users are going to correct.
    wrong: Vec<(Millis, RecordId)>,
    serial: u64,
    deletes: bool,
    edits: u64,
}

/// The fields that users edit, the likelier ones more than once.
const FIELDS: [&str; 14] = [
    "phone",
    "phone",
    "office",
    "office",
    "website",
    "twitter",
    "first_name",
    "last_name",
    "party",
    "salutation",
    "interests",
    "interests",
    "notes",
    "notes",
];

impl Script {
    /// Users who work on `records` people.
    pub fn new(records: usize, deletes: bool, mut chance: Chance) -> Self {
        let mut people = people();
        // A person more than the slice has is somebody's namesake.
        for number in people.len()..records {
            let mut namesake = people[number - people.len() / 2].clone();
            namesake.id = format!("{}-{number}", namesake.id);
            people.push(namesake);
        }
        let to_come = (0..records).collect();
        let chance = chance.fork();
        Script {
            chance,
            people,
            to_come,
            known: Vec::new(),
            used: BTreeMap::new(),
            hot: VecDeque::new(),
            wrong: Vec::new(),
            serial: 0,
            deletes,
            edits: 0,
        }
    }

    /// How often a user has saved something.
    pub fn edits(&self) -> u64 {
        self.edits
    }

    /// Records that users have made and not deleted.
    pub fn known(&self) -> &[RecordId] {
        &self.known
    }

    /// Makes the next record on a side; false: there is none to come.
    pub fn make(&mut self, world: &mut World, side: usize) -> bool {
        let Some(person) = self.to_come.pop_front().map(|at| self.people[at].clone()) else { return false };
        let record = RecordId::new(&format!("person/{}", person.id)).expect("a good id");
        let text = |field: &'static str, text: &str| (name(field), Value::text(text));
        let mut set = vec![
            text("first_name", &person.first_name),
            text("last_name", &person.last_name),
            text("birthday", &person.birthday),
            text("phone", &person.phone),
            text("twitter", &person.twitter),
            text("office", &person.office),
            text("website", &person.website),
            text("salutation", &format!("Dear {} {}", person.first_name, person.last_name)),
        ];
        if side == 0 {
            set.push(text("state", &person.state));
            set.push(text("party", &person.party));
        }
        for (field, value) in &set {
            let field = FIELDS.iter().find(|known| ***known == **field);
            if let Some(field) = field {
                self.used.entry((record.clone(), *field)).or_default().insert(value.to_string());
            }
        }
        let author = self.author(side);
        world.places[side].side().edit(&record, &author, &set);
        self.known.push(record);
        self.edits += 1;
        true
    }

    /// Users correct what was mistyped, however soon it is.
    pub fn finish(&mut self, world: &mut World) {
        for (_, record) in std::mem::take(&mut self.wrong) {
            let number = self.fresh(&record, "phone");
            self.save(world, 1, &record, &["phone"], |_, _| number.clone());
        }
    }

    /// One user does one thing.
    pub fn act(&mut self, world: &mut World) {
        let now = world.clock.now();
        if let Some(at) = self.wrong.iter().position(|(due, _)| *due <= now) {
            let (_, record) = self.wrong.swap_remove(at);
            let number = self.fresh(&record, "phone");
            return self.save(world, 1, &record, &["phone"], |_, _| number.clone());
        }
        let side = self.chance.below(2) as usize;
        match self.chance.below(1000) {
            0..25 if self.make(world, side) => {}
            25..29 if self.deletes => self.delete(world, side),
            29..40 => self.mistype(world, now),
            40..350 => self.join_in(world, side),
            _ => {
                let record = self.chance.pick(&self.known).clone();
                let count = 1 + self.chance.below(3) as usize;
                let fields: Vec<&'static str> = (0..count).map(|_| *self.chance.pick(&FIELDS)).collect();
                self.edit(world, side, &record, &fields);
            }
        }
    }

    /// Someone edits what somebody on the other side has just edited.
    fn join_in(&mut self, world: &mut World, side: usize) {
        let other = self.hot.iter().rev().find(|(of, _, _)| *of != side).cloned();
        match other {
            Some((_, record, field)) => self.edit(world, side, &record, &[field]),
            None => {
                let record = self.chance.pick(&self.known).clone();
                self.edit(world, side, &record, &["office"]);
            }
        }
    }

    fn delete(&mut self, world: &mut World, side: usize) {
        let record = self.chance.pick(&self.known).clone();
        if world.places[side].side().has(&record) {
            let author = self.author(side);
            world.places[side].side().delete(&record, &author);
            self.known.retain(|known| *known != record);
            self.edits += 1;
        }
    }

    /// A portal user types a number that the CRM will refuse, and corrects it some time later.
    fn mistype(&mut self, world: &mut World, now: Millis) {
        let record = self.chance.pick(&self.known).clone();
        self.serial += 1;
        let number = Value::text(&format!("202-CALL-{}", self.serial));
        self.save(world, 1, &record, &["phone"], |_, _| number.clone());
        if world.places[1].side().has(&record) {
            self.wrong.push((now.plus(20_000), record));
        }
    }

    fn edit(&mut self, world: &mut World, side: usize, record: &RecordId, fields: &[&'static str]) {
        let mut fields = fields.to_vec();
        fields.sort_unstable();
        fields.dedup();
        let mut values = Vec::new();
        for field in &fields {
            let shown = world.places[side].side().shows(record, field);
            values.push(self.next_value(record, field, &shown));
        }
        let mut values = values.into_iter();
        self.save(world, side, record, &fields, |_, _| values.next().expect("a value for each field"));
        self.hot.push_back((side, record.clone(), fields[0]));
        if self.hot.len() > 4 {
            self.hot.pop_front();
        }
    }

    /// Saves an edit, if the side has the record.
    fn save(
        &mut self,
        world: &mut World,
        side: usize,
        record: &RecordId,
        fields: &[&'static str],
        mut value: impl FnMut(&str, &Value) -> Value,
    ) {
        if !world.places[side].side().has(record) {
            return;
        }
        let author = self.author(side);
        let mut there = world.places[side].side();
        let set: Vec<_> = fields.iter().map(|field| (name(field), value(field, &there.shows(record, field)))).collect();
        there.edit(record, &author, &set);
        self.edits += 1;
    }

    fn next_value(&mut self, record: &RecordId, field: &'static str, shown: &Value) -> Value {
        self.serial += 1;
        match field {
            "party" => Value::text(self.chance.pick::<&str>(&["Democrat", "Republican", "Independent"])),
            "interests" => self.interests(shown),
            "notes" => self.notes(shown),
            _ => self.fresh(record, field),
        }
    }

    /// A value that nobody has given this field yet.
    fn fresh(&mut self, record: &RecordId, field: &'static str) -> Value {
        let person = self.chance.pick(&self.people).clone();
        let text = match field {
            "phone" => person.phone,
            "twitter" => person.twitter,
            "office" => person.office,
            "website" => person.website,
            "first_name" => person.first_name,
            "last_name" => person.last_name,
            _ => format!("Dear {} {}", person.first_name, person.last_name),
        };
        let used = self.used.entry((record.clone(), field)).or_default();
        // What differs only in the CRM's form of it is the same.
        let is_new = |text: &str, used: &BTreeSet<String>| {
            let formed = crm_form(field, &Value::text(text));
            !used.iter().any(|old| crm_form(field, &Value::text(old)) == formed)
        };
        let text = if is_new(&text, used) {
            text
        } else if field == "phone" {
            format!("202-{:03}-{:04}", self.serial / 10_000, self.serial % 10_000)
        } else {
            format!("{text} {}", self.serial)
        };
        used.insert(text.clone());
        Value::text(&text)
    }

    /// Adds an interest that this record never had, or takes one away.
    fn interests(&mut self, shown: &Value) -> Value {
        let mut all: Vec<String> = elements(shown).into_iter().collect();
        if !all.is_empty() && self.chance.permille(350) {
            let gone = self.chance.below(all.len() as u64) as usize;
            all.remove(gone);
        } else {
            all.push(format!("{} {}", self.chance.pick(&TOPICS), self.serial));
        }
        let all: Vec<Value> = all.iter().map(|element| Value::text(element)).collect();
        Value::list(&all)
    }

    /// Writes a line somewhere into the notes.
    fn notes(&mut self, shown: &Value) -> Value {
        let text = shown.as_text().unwrap_or_default();
        let mut lines: Vec<&str> = text.lines().collect();
        let line = format!("{}. {} {}", self.serial, self.chance.pick(&CALLS), self.chance.pick(&TOPICS));
        let place = self.chance.below(lines.len() as u64 + 1) as usize;
        lines.insert(place, &line);
        Value::text(&(lines.join("\n") + "\n"))
    }

    fn author(&mut self, side: usize) -> Author {
        let number = self.chance.below(6);
        match side {
            0 if number == 0 => {
                Author { kind: AuthorKind::Integration, id: "import-wizard".into(), ..Author::default() }
            }
            0 => Author::user(&format!("agent{number}")),
            // Some edits of the portal bear no name, so that only the values tell them from our own.
            _ if number == 0 => Author::default(),
            _ => Author::user(&format!("customer{number}")),
        }
    }
}

fn name(field: &str) -> FieldName {
    FieldName::new(field).expect("a good name")
}

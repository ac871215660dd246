//! Three and five sides: one that owns some fields, one that is only read, one that is only written to.

use std::collections::BTreeMap;

use syncline::{
    clock::{Clock, Millis},
    event::Author,
    id::{FieldName, RecordId, SideName},
    send::chance::Chance,
    sim::{
        compare::compare,
        ledger::{self, Judge, elements},
        post::Faults,
        side::Manners,
        world::{Setting, World},
    },
    value::Value,
};
use tempfile::TempDir;

use crate::suites;

const FAULTS: Faults = Faults {
    twice: 60,
    late: 50,
    lost: 20,
    takes: (20, 400),
    takes_late: (3_000, 30_000),
    unanswered: 40,
    omitted: 20,
    busy: 20,
};

/// A side and how it takes part.
struct Part {
    name: &'static str,
    /// How far its clock is ahead, in milliseconds.
    ahead: i64,
    names_us: bool,
    /// The fields that its users edit.
    edits: &'static [&'static str],
}

const CRM: Part = Part {
    name: "crm",
    ahead: 1_700,
    names_us: true,
    // Its users may type into the balance, and are told the true one.
    edits: &["name", "phone", "plan", "office", "balance", "tags", "notes"],
};
const PORTAL: Part =
    Part { name: "portal", ahead: -900, names_us: false, edits: &["name", "phone", "plan", "office", "tags", "notes"] };
const BILLING: Part =
    Part { name: "billing", ahead: 300, names_us: true, edits: &["plan", "balance", "office", "tags"] };
/// It is read and never written to.
const FEED: Part = Part { name: "feed", ahead: -4_000, names_us: false, edits: &["stock"] };
/// It is written to and says nothing.
const ARCHIVE: Part = Part { name: "archive", ahead: 0, names_us: false, edits: &[] };

fn manifest(parts: &[&Part]) -> String {
    let connector = |part: &&&Part| if part.name == FEED.name { "none" } else { "in_process" };
    let side = |part: &&Part| {
        let cooldown = if part.name == FEED.name { "" } else { ", cooldown: { flips: 40, within: 10m }" };
        format!("  {}: {{ connector: {}{cooldown} }}\n", part.name, connector(&part))
    };
    let sides: String = parts.iter().map(side).collect();
    let has_feed = parts.iter().any(|part| part.name == FEED.name);
    let stock = if has_feed { "      stock: { type: string, write: [feed] }\n" } else { "" };
    format!(
        "syncline: 1\ntenant: many\nsides:\n{sides}defaults: {{ rule: {{ authority: crm }} }}\nrecords:\n  account:\n    \
         fields:\n      name: {{ type: string }}\n      phone: {{ type: string, rule: {{ authority: portal }} }}\n      \
         plan: {{ type: string, rule: {{ authority: billing }} }}\n      balance: {{ type: string, write: [billing] }}\n      \
         office: {{ type: string, rule: last_write_wins }}\n      tags: {{ type: set, rule: merge }}\n      \
         notes: {{ type: long_text, rule: merge }}\n{stock}"
    )
}

/// The rules of the manifest once more, for the ledger.
fn rule(field: &str) -> Judge {
    match field {
        "phone" => Judge::Authority("portal"),
        "plan" => Judge::Authority("billing"),
        "balance" => Judge::Only("billing"),
        "stock" => Judge::Only("feed"),
        "office" => Judge::Newest,
        "tags" => Judge::Elements,
        "notes" => Judge::Lines,
        _ => Judge::Authority("crm"),
    }
}

/// Users of all sides at work on some records.
struct Users<'a> {
    parts: &'a [&'a Part],
    chance: Chance,
    records: Vec<RecordId>,
    serial: u64,
}

impl Users<'_> {
    fn act(&mut self, world: &World) {
        let at = self.chance.below(self.parts.len() as u64) as usize;
        let part = self.parts[at];
        if part.edits.is_empty() {
            return;
        }
        // The latest records are edited by several at once.
        let many = self.records.len() as u64;
        let record = match self.chance.permille(500) {
            true => self.records[self.chance.below(3.min(many)) as usize].clone(),
            false => self.chance.pick(&self.records).clone(),
        };
        let field = *self.chance.pick(part.edits);
        self.edit(world, at, &record, field);
    }

    fn edit(&mut self, world: &World, at: usize, record: &RecordId, field: &str) {
        let part = self.parts[at];
        let mut side = world.places[at].side();
        if part.name != FEED.name && !side.has(record) {
            return;
        }
        self.serial += 1;
        let shown = side.shows(record, field);
        let value = match field {
            "tags" => {
                let mut tags: Vec<String> = elements(&shown).into_iter().collect();
                if !tags.is_empty() && self.chance.permille(350) {
                    tags.remove(self.chance.below(tags.len() as u64) as usize);
                } else {
                    tags.push(format!("tag {}", self.serial));
                }
                let tags: Vec<Value> = tags.iter().map(|tag| Value::text(tag)).collect();
                Value::list(&tags)
            }
            "notes" => {
                let text = shown.as_text().unwrap_or_default();
                Value::text(&format!("{text}{}. said on {}\n", self.serial, part.name))
            }
            _ => Value::text(&format!("{field} {} of {}", self.serial, part.name)),
        };
        let author = match self.chance.below(4) {
            0 if !part.names_us => Author::default(),
            number => Author::user(&format!("{} {number}", part.name)),
        };
        side.edit(record, &author, &[(FieldName::new(field).expect("a name"), value)]);
    }
}

/// All live for a while, with everything that goes wrong, and end in agreement.
fn lives(parts: &[&Part], seed: u64, edits: u64) {
    let dir = TempDir::new().expect("a directory");
    let manners = |(at, part): (usize, &&Part)| Manners {
        name: SideName::new(part.name).expect("a name"),
        first_id: 1_000 * (at as u64 + 1),
        own_ids: false,
        ahead: part.ahead,
        names_us: part.names_us,
        webhook_a_field: at % 2 == 0,
        normalise: |_, value| value.clone(),
        refuse: |_, _| None,
        remembers: 20,
    };
    let setting = Setting {
        store: dir.path().join("store"),
        manifest: manifest(parts),
        sides: parts.iter().enumerate().map(|part| (manners(part), 10)).collect(),
        faults: FAULTS,
        seed,
        begins: Millis(1_750_000_000_000),
        checkpoint_every: 200,
        disk: None,
        key: None,
    };
    let mut world = World::new(setting).expect("a new store opens");
    let mut chance = Chance::new(seed ^ 0xabcd);
    let records: Vec<RecordId> =
        (0..8).map(|number| RecordId::new(&format!("account/{number}")).expect("an id")).collect();
    let mut users = Users { parts, chance: chance.fork(), records: records.clone(), serial: 0 };
    for record in &records {
        let at = users.chance.below(2) as usize;
        let name = Value::text(&format!("account {}", users.serial));
        world.places[at].side().edit(
            record,
            &Author::user("somebody"),
            &[(FieldName::new("name").expect("a name"), name)],
        );
        users.serial += 1;
    }
    for _ in 0..5 {
        world.pass(300).expect("the store works");
    }
    let mut away = 0;
    while users.serial < edits {
        for _ in 0..=chance.below(4) {
            users.act(&world);
        }
        world.pass(chance.within(20, 700)).expect("the store works");
        // Each side is away in turn, and once in between the engine dies.
        if users.serial > edits * (away as u64 + 1) / (parts.len() as u64 + 1) && away < parts.len() {
            let now = world.clock.now();
            world.places[away].line.cut(now, now.plus(30_000));
            away += 1;
            if away == 2 {
                world.kill();
                world.open().expect("it opens again");
            }
        }
    }
    assert!(world.rest().expect("the store works"), "seed {seed}: it does not come to rest");
    for place in &world.places {
        place.line.set_faults(Faults { takes: (20, 400), ..Faults::default() });
    }
    assert_eq!(world.reconcile().expect("the store works"), 0, "seed {seed}: all can be read");
    assert!(world.rest().expect("the store works"), "seed {seed}: it does not come to rest");
    let ahead: BTreeMap<&str, i64> = parts.iter().map(|part| (part.name, part.ahead)).collect();
    let findings = ledger::judge(&world.journal.entries(), rule, |side| ahead[side]);
    let found = compare(&world, &findings, &BTreeMap::new()).expect("it can be read");
    assert_eq!(found.differing, 0, "seed {seed}: {:#?}", found.differences);
    assert!(findings.conflicts > 0 && found.fields > 40, "seed {seed}: too little happened: {found:?}");
    let audit = world.engine().audit(false, &|_, _, _| {}).expect("an audit");
    assert!(audit.is_sound(), "seed {seed}: {:?}", audit.findings);
    world.close().expect("it closes");
}

#[test]
fn three_sides_end_in_agreement() {
    for seed in 0..suites::cases(1, 5, 400) {
        lives(&[&CRM, &PORTAL, &BILLING], suites::first_seed() + seed, 150);
    }
}

#[test]
fn five_sides_end_in_agreement() {
    for seed in 0..suites::cases(1, 5, 400) {
        lives(&[&CRM, &PORTAL, &BILLING, &FEED, &ARCHIVE], suites::first_seed() + 1_000 + seed, 200);
    }
}

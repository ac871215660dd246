//! What a simulated life is lived in: three sides with ids and clocks of their own, an engine, and the disk under it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use syncline::{
    clock::{HandClock, Millis},
    engine::{Engine, EngineError},
    event::{Author, Detail, Draft, Kind, Origin},
    id::{RecordId, SideName, TenantKey},
    rulebook::Edition,
    sim::{
        disk::SimDisk,
        post::Faults,
        side::Manners,
        world::{Setting, World},
    },
    value::Value,
};
use tempfile::TempDir;

use crate::telling::{BEGIN, side};

/// The sides, each with how far its clock is ahead at first, and whether it names us as the author of our writes.
pub const SIDES: [(&str, i64, bool); 3] = [("crm", 1_700, true), ("portal", -900, false), ("billing", 300, true)];
/// The number before the first of a side's own ids.
pub const FIRST_ID: u64 = 100;
/// The kind of all records.
pub const KIND: &str = "contact";
/// The key of the tenant, so that everything follows from the seed.
pub const KEY: TenantKey = TenantKey([7; 32]);

const MANIFEST: &str = "
syncline: 1
tenant: acme
public_url: https://sync.acme.example
sides:
  crm:
    connector: hubspot
    account: \"1\"
    app: \"2\"
    credentials: { token: env:T, webhook_secret: env:S }
    cooldown: { flips: 10000, within: 10m }
  portal:
    connector: portal
    deliver_to: https://portal.example.com/hooks/syncline
    credentials: { webhook_secret: env:P }
    cooldown: { flips: 10000, within: 10m }
  billing:
    connector: portal
    deliver_to: https://billing.example.com/hooks/syncline
    credentials: { webhook_secret: env:B }
    cooldown: { flips: 10000, within: 10m }
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: customer, billing: debtor }
    match_on: [email]
    deletes: DELETES
    fields:
      balance: { type: string, crm: balance, portal: balance, billing: balance, write: [billing] }
      email: { type: string, crm: email, portal: email, billing: email }
      level: { type: integer, crm: level, portal: level, billing: level, rule: max }
      notes: { type: long_text, crm: notes, portal: notes, billing: notes, rule: merge }
      office: { type: string, crm: office, portal: office, billing: office, rule: OFFICE }
      phone: { type: string, crm: phone, portal: phone, billing: phone, rule: PHONE }
      plan: { type: string, crm: plan, portal: plan, billing: plan, rule: { authority: billing } }
      salutation: { type: string, crm: salutation, portal: salutation, billing: salutation, rule: SALUTATION }
      tags: { type: set, crm: tags, portal: tags, billing: tags, rule: merge }
      visits: { type: counter, crm: visits, portal: visits, billing: visits, rule: merge }
";

/// What the manifests of a life differ in: deletes, and the rules of three fields.
const EDITIONS: [[&str; 4]; 4] = [
    ["delete_wins", "last_write_wins", "{ authority: portal }", "manual"],
    ["edit_wins", "last_write_wins", "{ authority: crm }", "manual"],
    ["manual", "first_write_wins", "{ authority: portal }", "last_write_wins"],
    ["delete_wins", "{ authority: crm }", "last_write_wins", "manual"],
];

/// One of the manifests of a life, by number.
pub fn manifest(number: u64) -> String {
    let [deletes, office, phone, salutation] = EDITIONS[number as usize % EDITIONS.len()];
    let text = MANIFEST.replace("DELETES", deletes).replace("OFFICE", office);
    text.replace("PHONE", phone).replace("SALUTATION", salutation)
}

/// What each of the manifests says of merging, by its text.
pub fn editions() -> &'static BTreeMap<String, Edition> {
    static EDITIONS_READ: OnceLock<BTreeMap<String, Edition>> = OnceLock::new();
    EDITIONS_READ.get_or_init(|| {
        let read = |number| {
            let text = manifest(number);
            let dir = TempDir::new().expect("a directory");
            let builder = Engine::builder(dir.path().join("store")).manifest(&text);
            let (engine, _) = builder.disk(SimDisk::new().shared()).open().expect("a good manifest");
            (text, engine.edition().expect("it has rules"))
        };
        (0..EDITIONS.len() as u64).map(read).collect()
    })
}

/// The CRM writes office names its own way.
fn form(field: &str, value: &Value) -> Value {
    match value.as_text() {
        Some(text) if field == "office" => Value::text(&text.to_lowercase()),
        _ => value.clone(),
    }
}

/// The CRM takes no letters in a telephone number.
fn refuse(field: &str, value: &Value) -> Option<String> {
    let letters = value.as_text().is_some_and(|text| text.contains('x'));
    (field == "phone" && letters).then(|| "phone must not hold letters".to_owned())
}

fn manners((name, ahead, names_us): (&str, i64, bool)) -> Manners {
    let is_crm = name == "crm";
    Manners {
        name: side(name),
        first_id: FIRST_ID,
        own_ids: true,
        ahead,
        names_us,
        webhook_a_field: is_crm,
        normalise: if is_crm { form } else { |_, value| value.clone() },
        refuse: if is_crm { refuse } else { |_, _| None },
        remembers: 1_000,
    }
}

/// Three sides, an engine and its disk.
pub struct House {
    pub world: World,
    pub disk: SimDisk,
    dir: TempDir,
}

impl House {
    /// A house in which nothing has happened, but for all sides being known to be empty.
    pub fn new(seed: u64) -> Result<House, EngineError> {
        let (dir, disk) = (TempDir::new().expect("a directory"), SimDisk::new());
        let setting = Setting {
            store: dir.path().join("store"),
            manifest: manifest(seed),
            sides: SIDES.map(|side| (manners(side), 5)).to_vec(),
            faults: Faults::default(),
            seed,
            begins: Millis(BEGIN),
            // Some lives make their derived state durable often, some never.
            checkpoint_every: [40, 150, 400, 1 << 20][(seed >> 2) as usize % 4],
            disk: Some(disk.shared()),
            key: Some(KEY),
        };
        let world = World::new(setting)?;
        for (name, ..) in SIDES {
            world.engine().set_populated(&side(name))?;
        }
        world.places.iter().for_each(|place| drop(place.line.delivered()));
        Ok(House { world, disk, dir })
    }

    pub fn name(&self, at: usize) -> SideName {
        self.world.places[at].name.clone()
    }

    /// Says how far a side's clock is ahead of ours, in milliseconds, and returns it.
    pub fn measure(&self, at: usize) -> Result<i64, EngineError> {
        let (theirs, ours) = (self.world.places[at].side().now(), self.world.engine().now());
        let origin = Origin::side(self.name(at));
        let mut draft = Draft::new(Kind::Clock, RecordId::tenant(), origin, theirs, Author::engine());
        draft.detail = Detail::Clock(theirs.0 - ours.0);
        self.world.engine().say(vec![draft])?;
        Ok(theirs.0 - ours.0)
    }

    /// Puts another disk under the store, for when it is next opened.
    pub fn set_disk(&mut self, disk: SimDisk) {
        self.world.set_disk(disk.shared());
        self.disk = disk;
    }

    /// An engine of the same tenant that has heard nothing yet, on a disk of its own.
    pub fn second(&self, clock: HandClock) -> Engine {
        let builder = Engine::builder(self.dir.path().join("second")).adopt("acme", KEY).clock(clock);
        builder.disk(Arc::new(SimDisk::new())).open().expect("a new store opens").0
    }
}

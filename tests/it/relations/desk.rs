//! An engine between two sides with ids of their own, both of which are said and answered for by hand.

use std::collections::BTreeMap;

use syncline::{
    clock::{Clock, HandClock, Millis},
    engine::Engine,
    event::{Author, Detail, Draft, Kind, Origin},
    history::Principal,
    id::{FieldName, RecordId, SideName},
    merge::Existence,
    rulebook::EXISTENCE,
    send::{Ask, Outcome, Receipt, Seen, SeenField, Write},
    value::Value,
};

const MANIFEST: &str = "\
syncline: 1
tenant: acme
public_url: https://sync.acme.example
sides:
  crm:
    connector: hubspot
    account: \"1\"
    app: \"2\"
    credentials: { token: env:T, webhook_secret: env:S }
  portal:
    connector: portal
    deliver_to: https://portal.example.com/hooks/syncline
    credentials: { webhook_secret: env:P }
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    match_on: [email]
    links: certain
    deletes: DELETES
    fields:
      email: { type: string, crm: email, portal: email }
      phone: { type: string, crm: phone, portal: phone }
      city: { type: string, crm: city, portal: city }
      firms: { type: references, to: company, crm: associated_companies, portal: firms, rule: merge }
      firm: { type: reference, to: company, crm: primary_company, portal: firm }
  company:
    sides: { crm: companies, portal: organisation }
    deletes: DELETES
    fields:
      name: { type: string, crm: name, portal: name }
";

pub struct Desk {
    engine: Option<Engine>,
    dir: tempfile::TempDir,
    pub clock: HandClock,
    deletes: &'static str,
}

pub fn side(name: &str) -> SideName {
    SideName::new(name).expect("a good name")
}

pub fn field(name: &str) -> FieldName {
    FieldName::new(name).expect("a good name")
}

pub fn id(text: &str) -> RecordId {
    RecordId::new(text).expect("a good id")
}

/// A list of texts.
pub fn list(texts: &[&str]) -> Value {
    let mut texts: Vec<Value> = texts.iter().map(|text| Value::text(text)).collect();
    texts.sort();
    Value::list(&texts)
}

pub fn text(text: &str) -> Value {
    Value::text(text)
}

/// A record by the id that a side has for it, such as `contact/crm:1`.
fn origin(record: &RecordId) -> Origin {
    let (of, link) = record.side_and_link().expect("a record of a side");
    Origin { side: side(of), link: Some(link.into()), node: None }
}

impl Desk {
    pub fn new(deletes: &'static str) -> Desk {
        let (dir, clock) = (tempfile::tempdir().expect("a directory"), HandClock::at(Millis(50_000_000)));
        let mut desk = Desk { engine: None, dir, clock, deletes };
        desk.open();
        for name in ["crm", "portal"] {
            desk.engine().set_populated(&side(name)).expect("it is said");
        }
        desk
    }

    fn open(&mut self) {
        let builder = Engine::builder(self.dir.path().join("store"));
        let manifest = MANIFEST.replace("DELETES", self.deletes);
        self.engine = Some(builder.manifest(&manifest).clock(self.clock.clone()).open().expect("it opens").0);
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it is open")
    }

    /// What a side says of its own record, at a time of its own.
    pub fn says(&self, record: &str, at: i64, set: &[(&str, Value)]) {
        let record = id(record);
        let mut draft = Draft::new(Kind::Edit, record.clone(), origin(&record), Millis(at), Author::user("ana"));
        draft.words = set.iter().map(|(name, value)| (field(name), value.clone())).collect();
        self.engine().say(vec![draft]).expect("it is said");
    }

    pub fn deletes(&self, record: &str, at: i64) {
        let record = id(record);
        let mut draft = Draft::new(Kind::Delete, record.clone(), origin(&record), Millis(at), Author::user("ana"));
        draft.words = vec![(field(EXISTENCE), Value::bool(false))];
        self.engine().say(vec![draft]).expect("it is said");
    }

    /// A user brings back a record that he has deleted.
    pub fn restores(&self, record: &str, at: i64) {
        let record = id(record);
        let mut draft = Draft::new(Kind::Restore, record.clone(), origin(&record), Millis(at), Author::user("ana"));
        draft.words = vec![(field(EXISTENCE), Value::bool(true))];
        self.engine().say(vec![draft]).expect("it is said");
    }

    /// A side merges one of its records into another.
    pub fn merges(&self, survivor: &str, loser: &str, at: i64) {
        let survivor = id(survivor);
        let mut draft = Draft::new(Kind::Absorb, survivor.clone(), origin(&survivor), Millis(at), Author::user("ana"));
        draft.detail = Detail::Other { record: id(loser), label: "merged".to_owned() };
        self.engine().say(vec![draft]).expect("it is said");
    }

    pub fn due(&self, name: &str) -> (Vec<Write>, Vec<Ask>) {
        self.engine().due(name, 100).expect("it is asked")
    }

    pub fn writes(&self, name: &str) -> Vec<Write> {
        self.due(name).0
    }

    /// A side takes a write, at the time that our clock shows; what it makes gets this id.
    pub fn takes(&self, write: Write, link: Option<&str>) {
        self.clock.advance(10);
        let receipt = Receipt { link: link.map(Into::into), at: Some(self.clock.now()), ..Receipt::default() };
        self.engine().outcome(vec![(write, Outcome::Applied(receipt))]).expect("it is told");
        self.clock.advance(10);
    }

    /// Both sides take whatever is due, and make nothing.
    pub fn settles(&self) {
        for _ in 0..10 {
            let due: Vec<Write> = ["crm", "portal"].into_iter().flat_map(|name| self.writes(name)).collect();
            if due.is_empty() {
                return;
            }
            for write in due {
                assert!(!write.create, "nothing is to be made: {}", write.record);
                self.takes(write, None);
            }
        }
        panic!("it goes on and on");
    }

    /// A side shows this of a record under an id of its own.
    pub fn shows(&self, record: &str, fields: &[(&str, Value, i64)], merged: &[&str]) {
        let record = id(record);
        let shown =
            |(name, value, at): &(&str, Value, i64)| SeenField::plain(field(name), value.clone(), Some(Millis(*at)));
        let of = origin(&record);
        let seen = Seen {
            found: true,
            link: of.link.clone(),
            fields: fields.iter().map(shown).collect(),
            modified: fields.iter().map(|(_, _, at)| Millis(*at)).max(),
            merged: merged.iter().map(|id| (*id).into()).collect(),
        };
        self.engine().observe(&of.side, &record, seen).expect("it is told");
    }

    pub fn value(&self, record: &str, name: &str) -> Value {
        let view = self.engine().read(&Principal::operator()).get(record).expect("a read").expect("it is there");
        view.value(name).cloned().unwrap_or_else(Value::null)
    }

    pub fn existence(&self, record: &str) -> Existence {
        self.engine().read(&Principal::operator()).get(record).expect("a read").expect("it is there").existence
    }

    pub fn canonical(&self, record: &str) -> RecordId {
        self.engine().canonical(&id(record)).expect("an id")
    }

    fn hashes(&self) -> (String, String) {
        let reader = self.engine().read(&Principal::operator());
        (reader.state_hash().expect("a hash").to_string(), reader.verdict_hash().expect("a hash").to_string())
    }

    /// Closed and opened, opened after a crash, and made anew from the log, the store is what it was.
    pub fn assert_rebuilds(&mut self) {
        let before = self.hashes();
        let audit = |engine: &Engine| engine.audit(false, &|_, _, _| {}).expect("an audit");
        assert!(audit(self.engine()).is_sound(), "{:?}", audit(self.engine()).findings);
        self.engine.take().expect("it is open").close().expect("it closes");
        self.open();
        assert_eq!(self.hashes(), before, "after closing");
        self.engine = None;
        self.open();
        assert_eq!(self.hashes(), before, "after a crash");
        self.engine = None;
        std::fs::remove_dir_all(self.dir.path().join("store/state")).expect("it is there");
        self.open();
        assert_eq!(self.hashes(), before, "after a rebuild");
        assert!(audit(self.engine()).is_sound(), "{:?}", audit(self.engine()).findings);
    }

    /// The words of a write, by field.
    pub fn words(write: &Write) -> BTreeMap<String, String> {
        write.fields.iter().map(|(name, value)| (name.to_string(), value.to_json())).collect()
    }
}

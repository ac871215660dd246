//! The dialect against a pretend HubSpot over HTTP, which shares no code with it.

mod asking;
mod calling;
mod delivering;
mod finding;
mod walking;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::net::TcpListener;

use super::{Address, Credential, HubSpot, Setting};
use crate::{
    clock::{Clock, HandClock, Millis},
    id::{FieldName, RecordId, SideName},
    manifest::Manifest,
    send::{Ask, Connector, InDoubt, Outcome, Receipt, Seen, Write},
    side::{Links, translate::Translation},
    sim::hubspot::{Account, By, Fault, Order, Serving, Settings, serve},
    value::Value,
};

/// The app that the pretend account takes us for.
const APP: u64 = 50_780_459;
const NOW: Millis = Millis(1_790_000_000_000);

const MANIFEST: &str = "
syncline: 1
tenant: acme
sides:
  crm:
    connector: hubspot
    app: '50780459'
    base_url: BASE
    credentials: { token: env:T }
    capture: { webhooks: false, poll: 5m }
  portal: { connector: none }
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: contact }
    fields:
      email: { type: email, crm: email, portal: email }
      first: { type: string, crm: firstname, portal: first }
      last: { type: string, crm: lastname, portal: last }
      phone: { type: string, crm: phone, portal: phone }
      stage: { type: choice, of: [lead, customer], crm: lifecyclestage, portal: stage }
      company: { type: reference, to: company, crm: primary_company, portal: company }
  company:
    sides: { crm: companies, portal: company }
    fields:
      name: { type: string, crm: name, portal: name }
      revenue: { type: decimal, crm: annualrevenue, portal: revenue }
  ticket:
    sides: { crm: tickets, portal: ticket }
    fields:
      subject: { type: string, crm: subject, portal: subject }
      text: { type: string, crm: content, portal: text }
      asker: { type: reference, to: contact, crm: associated_contact, portal: asker }
";

/// What the engine knows of ids, as a test says.
#[derive(Default)]
struct Known(Mutex<HashMap<String, String>>);

impl Known {
    /// A record that has an id on the side.
    fn join(&self, record: &str, link: &str) {
        self.0.lock().expect("a lock").insert(record.to_owned(), link.to_owned());
    }
}

impl Links for Known {
    fn record(&self, kind: &str, side: &SideName, link: &str) -> Option<RecordId> {
        let known = self.0.lock().expect("a lock");
        let named = known.iter().find(|(record, known)| *known == link && record.starts_with(&format!("{kind}/")));
        match named {
            Some((record, _)) => RecordId::new(record).ok(),
            None => RecordId::on_side(kind, side, link).ok(),
        }
    }

    fn link(&self, record: &RecordId, _: &SideName) -> Option<Box<str>> {
        self.0.lock().expect("a lock").get(&**record).map(|link| link.as_str().into())
    }
}

/// A pretend account and our dialect on it.
struct Rig {
    account: Account,
    hubspot: Arc<HubSpot>,
    clock: HandClock,
    known: Arc<Known>,
    serving: Serving,
}

async fn rig() -> Rig {
    rig_with(Settings::default(), |_| {}).await
}

async fn rig_with(settings: Settings, set: impl FnOnce(&mut Setting)) -> Rig {
    let clock = HandClock::at(NOW);
    let account = Account::new(settings, "secret", Arc::new(clock.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let serving = serve(account.clone(), listener).expect("it serves");
    let known = Arc::new(Known::default());
    let hubspot = opened(&serving.url(), &clock, &known, set);
    Rig { account, hubspot, clock, known, serving }
}

fn opened(url: &str, clock: &HandClock, known: &Arc<Known>, set: impl FnOnce(&mut Setting)) -> Arc<HubSpot> {
    let manifest = Manifest::parse(&MANIFEST.replace("BASE", url)).expect("a manifest without faults");
    let translation = Translation::new(Arc::new(manifest), side(), known.clone());
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let mut setting = Setting::new(translation, known.clone(), Credential::Fixed("token".into()), clock);
    assert_eq!(setting.address.base, Address::at(url).base);
    set(&mut setting);
    Arc::new(HubSpot::new(setting).expect("an address"))
}

fn side() -> SideName {
    SideName::new("crm").expect("a name")
}

fn field(name: &str) -> FieldName {
    FieldName::new(name).expect("a name")
}

fn words(set: &[(&str, &str)]) -> Vec<(FieldName, Value)> {
    let value = |text: &str| if text.is_empty() { Value::null() } else { Value::text(text) };
    set.iter().map(|(name, text)| (field(name), value(text))).collect()
}

/// A write to a record that HubSpot has under an id.
fn update(kind: &str, id: u64, set: &[(&str, &str)]) -> Write {
    let link = id.to_string();
    let record = RecordId::on_side(kind, "crm", &link).expect("an id");
    let key = format!("key-of-{record}");
    Write { link: Some(link.into()), fields: words(set), ..Write::unplanned(side(), record, &key) }
}

/// A write that is to make a record.
fn create(record: &str, set: &[(&str, &str)]) -> Write {
    let record = RecordId::new(record).expect("an id");
    Write { key: format!("key-of-{record}"), record, link: None, create: true, ..update("contact", 1, set) }
}

/// A question about a record that HubSpot has under an id.
fn ask(kind: &str, id: u64) -> Ask {
    let write = update(kind, id, &[]);
    Ask { side: side(), record: write.record, link: write.link, fields: Vec::new(), about: None }
}

/// A question about a record that a write, which left a while ago, was to make.
fn ask_about(write: &Write, left: Millis) -> Ask {
    let about = InDoubt { key: write.key.clone(), left, create: true, fields: write.fields.clone() };
    Ask { side: side(), record: write.record.clone(), link: None, fields: Vec::new(), about: Some(about) }
}

impl Rig {
    async fn deliver(&self, write: Write) -> Outcome {
        let mut outcomes = self.hubspot.deliver(&[write]).await;
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }

    async fn read(&self, ask: Ask) -> Result<Seen, i64> {
        let mut answers = self.hubspot.read_back(&[ask]).await;
        assert_eq!(answers.len(), 1);
        answers.remove(0).map_err(|why| why.wait())
    }

    fn order(&self, fault: Fault, op: &str) {
        self.account.order(Order::next(fault, 1).with(op));
    }

    fn contact(&self, set: &[(&str, &str)]) -> u64 {
        self.account.create("contacts", set, &By::user(7)).expect("a good contact")
    }

    fn company(&self, name: &str) -> u64 {
        self.account.create("companies", &[("name", name)], &By::user(7)).expect("a good company")
    }

    fn shows(&self, kind: &str, id: u64, property: &str) -> String {
        self.account.shows(kind, id, property).unwrap_or_default()
    }

    /// How often something was asked, whatever came of it.
    fn asked(&self, op: &str) -> u64 {
        let counts = self.account.counts();
        counts["by_op"][op].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
    }
}

#[track_caller]
fn applied(outcome: Outcome) -> Receipt {
    match outcome {
        Outcome::Applied(receipt) => receipt,
        other => panic!("it was not applied: {other:?}"),
    }
}

#[track_caller]
fn refused(outcome: Outcome) -> (String, Vec<FieldName>) {
    match outcome {
        Outcome::Refused { reason, fields } => (reason, fields),
        other => panic!("it was not refused: {other:?}"),
    }
}

/// What a read-back shows of a field; none: it does not speak of it.
fn shown(seen: &Seen, name: &str) -> Option<Value> {
    seen.fields.iter().find(|shows| *shows.field == *name).map(|shows| shows.value.clone())
}

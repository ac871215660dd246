//! The whole way out: an engine, its sender, and HubSpot's dialect against a pretend account over HTTP.

use std::sync::Arc;

use syncline::{
    clock::{Clock, HandClock, Millis},
    engine::Engine,
    event::Author,
    history::{Edit, Principal},
    id::{FieldName, RecordId, SideName},
    manifest::Manifest,
    send::{Connector, Gate, Limits, Sender, Settings as Driving},
    side::{
        Links,
        hubspot::{Credential, HubSpot, Setting},
        translate::Translation,
    },
    sim::{
        hubspot::{Account, Fault, Order, Serving, Settings, serve},
        pace,
    },
    value::Value,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

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
      phone: { type: string, crm: phone, portal: phone }
      stage: { type: choice, of: [lead, dreamer], crm: lifecyclestage, portal: stage }
  ticket:
    sides: { crm: tickets, portal: ticket }
    fields:
      subject: { type: string, crm: subject, portal: subject }
      text: { type: string, crm: content, portal: text }
";

/// Nothing is linked beyond what the side's own ids say.
struct Plain;

impl Links for Plain {
    fn record(&self, kind: &str, side: &SideName, link: &str) -> Option<RecordId> {
        RecordId::on_side(kind, side, link).ok()
    }

    fn link(&self, _: &RecordId, _: &SideName) -> Option<Box<str>> {
        None
    }
}

struct Rig {
    _dir: TempDir,
    _serving: Serving,
    account: Account,
    engine: Engine,
    sender: Sender,
    clock: HandClock,
    /// Time goes on, a hundred times as fast: what waits for its place in the quota has to get it.
    _time: JoinSet<()>,
}

async fn rig(settings: Settings) -> Rig {
    let clock = HandClock::at(NOW);
    let account = Account::new(settings, "secret", Arc::new(clock.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let serving = serve(account.clone(), listener).expect("it serves");
    let text = MANIFEST.replace("BASE", &serving.url());
    let manifest = Manifest::parse(&text).expect("a manifest without faults");
    let dir = TempDir::new().expect("a directory");
    let builder = Engine::builder(dir.path().join("store")).manifest(text).clock(clock.clone());
    let (engine, _) = builder.open().expect("a new store opens");
    engine.set_populated(&crm()).expect("the account is empty");
    let translation = Translation::new(Arc::new(manifest), crm(), Arc::new(Plain));
    let steady: Arc<dyn Clock> = Arc::new(clock.clone());
    let mut setting = Setting::new(translation, Arc::new(Plain), Credential::Fixed("token".into()), steady.clone());
    setting.gate = Arc::new(Gate::new(Limits::default(), steady));
    let hubspot: Arc<dyn Connector> = Arc::new(HubSpot::new(setting).expect("an address"));
    let sender = Sender::new(engine.clone(), crm(), hubspot, Driving::default());
    let mut time = JoinSet::new();
    time.spawn(pace::go_on(clock.clone(), 200));
    Rig { _dir: dir, _serving: serving, account, engine, sender, clock, _time: time }
}

fn crm() -> SideName {
    SideName::new("crm").expect("a name")
}

impl Rig {
    fn edit(&self, record: &str, set: &[(&str, &str)]) {
        let record = RecordId::new(record).expect("an id");
        let mut edit = Edit::of(record, SideName::new("portal").expect("a name")).by(Author::user("ana"));
        for (field, value) in set {
            edit = edit.set(FieldName::new(field).expect("a name"), Value::text(value));
        }
        self.engine.edit(&syncline::history::Principal::operator(), edit).expect("it is taken");
    }

    /// Steps the sender, and turns the clock where it waits, until nothing more is due.
    async fn settle(&self) {
        for _ in 0..400 {
            self.sender.step().await.expect("the engine works");
            match self.sender.next().expect("the engine works") {
                Some(at) => self.clock.advance((at.0 - self.clock.now().0).max(1)),
                None => return,
            }
        }
        panic!("it does not come to rest");
    }

    fn only(&self, kind: &str) -> u64 {
        let ids = self.account.ids(kind);
        assert_eq!(ids.len(), 1, "one record, and no second one");
        ids[0]
    }

    fn shows(&self, kind: &str, property: &str) -> String {
        self.account.shows(kind, self.only(kind), property).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_edit_makes_a_contact_and_a_second_one_changes_it() {
    let rig = rig(Settings::default()).await;
    rig.edit("contact/ana", &[("email", "ana@example.com"), ("phone", "1")]);
    rig.settle().await;
    rig.edit("contact/ana", &[("phone", "2")]);
    rig.settle().await;
    assert_eq!(
        (rig.shows("contacts", "email"), rig.shows("contacts", "phone")),
        ("ana@example.com".into(), "2".into())
    );
    let counts = rig.account.counts();
    assert_eq!((counts["created"].as_u64(), counts["values_same"].as_u64()), (Some(1), Some(0)), "{counts}");
}

/// A call whose answer is lost looks like one that never arrived; made again, it would double the record.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_was_lost_is_found_and_not_repeated() {
    for (kind, op, set) in [
        ("contact", "contacts.create", [("email", "ana@example.com"), ("phone", "1")]),
        ("ticket", "tickets.create", [("subject", "Help"), ("text", "It broke")]),
    ] {
        for fault in [Fault::LoseAnswer, Fault::LoseRequest, Fault::Status { status: 502, retry_after: None }] {
            let rig = rig(Settings { search_lag_ms: 20_000, ..Settings::default() }).await;
            rig.account.order(Order::next(fault, 1).with(op));
            rig.edit(&format!("{kind}/1"), &set);
            rig.settle().await;
            let plural = format!("{kind}s");
            let property = if kind == "contact" { "phone" } else { "content" };
            assert_eq!(rig.shows(&plural, property), set[1].1);
            rig.edit(&format!("{kind}/1"), &[(set[1].0, "later")]);
            rig.settle().await;
            assert_eq!(rig.shows(&plural, property), "later");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_waits_for_a_person_in_hubspots_words() {
    let rig = rig(Settings::default()).await;
    rig.edit("contact/ana", &[("email", "ana@example.com"), ("stage", "dreamer")]);
    rig.settle().await;
    let before = rig.account.counts()["requests"].clone();
    rig.clock.advance(3_600_000);
    rig.settle().await;
    assert_eq!(rig.account.counts()["requests"], before, "nothing is tried in vain");
    let read = rig.engine.read(&Principal::operator());
    let story = read.history("contact/ana", None).expect("the store is well").expect("it is there");
    let told =
        story.iter().filter_map(|change| change.detail.as_deref()).any(|detail| detail.contains("VALIDATION_ERROR"));
    assert!(told, "the reason is in the record's history");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_many_faults_every_record_ends_as_it_was_said_and_none_is_doubled() {
    let rig = rig(Settings { burst_max: None, search_max: None, search_lag_ms: 5_000, ..Settings::default() }).await;
    let status = |status: u16| Fault::Status { status, retry_after: None };
    let policy = |policy: &str| Fault::RateLimit { policy: policy.to_owned() };
    let faults = [
        Fault::LoseAnswer,
        Fault::LoseRequest,
        Fault::OmitRow,
        Fault::FailRow,
        status(423),
        status(500),
        status(503),
        policy("TEN_SECONDLY_ROLLING"),
        policy("SECONDLY"),
    ];
    for fault in faults {
        rig.account.order(Order::by_chance(fault, 0.06));
    }
    for round in 0..3 {
        for number in 0..15 {
            let phone = format!("{round}-{number}");
            rig.edit(&format!("contact/{number}"), &[("email", &format!("c{number}@example.com")), ("phone", &phone)]);
        }
        rig.settle().await;
    }
    let ids = rig.account.ids("contacts");
    assert_eq!(ids.len(), 15);
    for id in ids {
        let shows = |property: &str| rig.account.shows("contacts", id, property).unwrap_or_default();
        let number = shows("email").trim_start_matches('c').trim_end_matches("@example.com").to_owned();
        assert_eq!(shows("phone"), format!("2-{number}"));
    }
    let counts = rig.account.counts();
    assert_eq!(counts["created"], 15, "{counts}");
    let happened = counts["faults"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64());
    assert!(happened.sum::<u64>() >= 10, "the seed brings faults: {counts}");
}

//! The portal's dialect, both ways, against the pretend portal over HTTP.

mod answers;
mod messages;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use syncline::{
    clock::{HandClock, Millis},
    engine::Engine,
    event::{Author, AuthorKind, Draft},
    history::Edit,
    id::{FieldName, RecordId, SideName},
    manifest::Manifest,
    send::{Ask, Connector, InDoubt, Outcome, ReadError, Seen, Sender, Write},
    side::{
        Links, Source, SourceError,
        http::Limits,
        portal::{Alarm, Portal, hook, signature::Keys},
        translate::Translation,
    },
    sim::portal::{self as sim, By, Fault, Order, Refuse, Reshape, Settings, Shape, Signer},
    value::Value,
};
use tokio::net::TcpListener;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NOW: Millis = Millis(1_772_366_400_000);
const MANIFEST: &str = "\
syncline: 1
tenant: acme
sides:
  crm: { connector: none }
  portal:
    connector: portal
    deliver_to: http://127.0.0.1:9/hooks
    credentials: { webhook_secret: env:SECRET }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    fields:
      email:      { type: email, crm: email, portal: email }
      first_name: { type: string, crm: firstname, portal: firstName }
      phone:      { type: string, crm: phone, portal: phone }
      born:       { type: date, crm: born, portal: { name: born, dates: epoch_ms } }
      company:    { type: reference, to: company, crm: company, portal: companyId }
  company:
    sides: { crm: companies, portal: organisation }
    fields:
      name: { type: string, crm: name, portal: name }
";

/// Records that were linked by hand.
#[derive(Default)]
struct Linked(Mutex<Vec<(RecordId, String)>>);

impl Links for Linked {
    fn record(&self, kind: &str, side: &SideName, link: &str) -> Option<RecordId> {
        let linked = self.0.lock().expect("no panic");
        let known =
            linked.iter().find(|(record, id)| record.kind() == kind && id == link).map(|(record, _)| record.clone());
        known.or_else(|| RecordId::on_side(kind, side, link).ok())
    }
    fn link(&self, record: &RecordId, _: &SideName) -> Option<Box<str>> {
        let linked = self.0.lock().expect("no panic");
        linked.iter().find(|(known, _)| known == record).map(|(_, id)| id.as_str().into())
    }
}

/// The pretend portal, served, and our end of the line.
struct Setting {
    clock: HandClock,
    sim: sim::Portal,
    serving: sim::Serving,
    portal: Portal,
    links: Arc<Linked>,
}

fn keys(secrets: &[&str]) -> Keys {
    let secrets: Vec<_> = secrets.iter().map(|&secret| secret.into()).collect();
    Keys::new(&secrets).expect("good secrets")
}

fn translation(links: &Arc<Linked>) -> Translation {
    let manifest = Arc::new(Manifest::parse(MANIFEST).expect("a good manifest"));
    Translation::new(manifest, side(), links.clone())
}

fn side() -> SideName {
    SideName::new("portal").expect("a name")
}

async fn setting() -> Setting {
    setting_with(Settings::default(), &[SECRET]).await
}

async fn setting_with(settings: Settings, secrets: &[&str]) -> Setting {
    let clock = HandClock::at(NOW);
    let signer = Signer::new(&[SECRET]).expect("a good secret");
    let sim = sim::Portal::new(settings, signer, Arc::new(clock.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let serving = sim::serve(sim.clone(), listener).expect("served");
    let links = Arc::new(Linked::default());
    let limits = Limits { whole: Duration::from_millis(400), ..Limits::default() };
    let portal = Portal::new(&serving.url(), keys(secrets), translation(&links), Arc::new(clock.clone()), limits);
    Setting { clock, sim, portal: portal.expect("an address"), serving, links }
}

fn record(text: &str) -> RecordId {
    RecordId::new(text).expect("a good id")
}

fn field(text: &str) -> FieldName {
    FieldName::new(text).expect("a good name")
}

fn words(json: serde_json::Value) -> Vec<(FieldName, Value)> {
    let members = json.as_object().expect("an object").iter();
    members.map(|(name, value)| (field(name), Value::from_json(&value.to_string()).expect("JSON"))).collect()
}

fn shown(words: &[(FieldName, Value)]) -> String {
    words.iter().map(|(field, value)| format!("{field}={}", value.to_json())).collect::<Vec<_>>().join(" ")
}

impl Setting {
    fn write(&self, id: Option<&str>, set: serde_json::Value, key: &str) -> Write {
        let name = id.map_or("contact/crm:501".to_owned(), |id| format!("contact/portal:{id}"));
        let mut write = Write::unplanned(side(), record(&name), key);
        (write.link, write.create) = (id.map(Into::into), id.is_none());
        (write.fields, write.author) = (words(set), Author::user("ana"));
        write
    }

    fn delete(&self, id: &str, key: &str) -> Write {
        let mut write = self.write(Some(id), json!({}), key);
        write.delete = true;
        write
    }

    async fn deliver(&self, write: Write) -> Outcome {
        self.portal.deliver(&[write]).await.pop().expect("one outcome")
    }

    /// Makes a record by a write of ours and returns its id.
    async fn made(&self, set: serde_json::Value, key: &str) -> String {
        match self.deliver(self.write(None, set, key)).await {
            Outcome::Applied(receipt) => receipt.link.expect("an id").into(),
            other => panic!("not made: {other:?}"),
        }
    }

    async fn ask(&self, ask: Ask) -> Result<Seen, ReadError> {
        self.portal.read_back(&[ask]).await.pop().expect("one answer")
    }

    fn count(&self, name: &str) -> u64 {
        self.sim.counts().pointer(name).and_then(serde_json::Value::as_u64).unwrap_or(0)
    }
}

fn ask(id: Option<&str>, fields: &[&str]) -> Ask {
    let record = record(&id.map_or("contact/crm:501".to_owned(), |id| format!("contact/portal:{id}")));
    let fields = fields.iter().map(|name| field(name)).collect();
    Ask { side: side(), record, link: id.map(Into::into), fields, about: None }
}

fn doubt(write: &Write) -> Ask {
    let about = InDoubt { key: write.key.clone(), left: NOW, create: write.create, fields: write.fields.clone() };
    Ask { side: side(), record: write.record.clone(), link: write.link.clone(), fields: Vec::new(), about: Some(about) }
}

#[tokio::test]
async fn what_is_written_is_shown_and_its_id_comes_back() {
    let setting = setting().await;
    let set = json!({"email": "ann@example.com", "born": "2026-03-01", "phone": null, "company": "company/portal:o-3"});
    let id = setting.made(set, "k1").await;
    assert_eq!(id, "p1001");
    let shows = |field: &str| setting.sim.shows("customer", &id, field).expect("it is there");
    // In the portal's names, forms and ids.
    assert_eq!(shows("email"), "ann@example.com");
    assert_eq!(shows("born"), 1_772_323_200_000_i64);
    assert_eq!((shows("companyId"), shows("phone")), (json!("o-3"), json!(null)));
    setting.clock.advance(1000);
    let Outcome::Applied(receipt) = setting.deliver(setting.write(Some(&id), json!({"phone": "1"}), "k2")).await else {
        panic!("applied")
    };
    assert_eq!((receipt.at, receipt.shows.len()), (Some(NOW.plus(1000)), 0));
    let delete = setting.delete(&id, "k3");
    assert!(matches!(setting.deliver(delete).await, Outcome::Applied(_)));
    assert_eq!(setting.sim.shows("customer", &id, "email"), None);
    assert_eq!(setting.sim.state()["customer"][&id]["record"], "contact/crm:501");
}

#[tokio::test]
async fn a_repeated_write_does_no_harm() {
    let setting = setting().await;
    let write = setting.write(None, json!({"phone": "1"}), "k1");
    let first = setting.deliver(write.clone()).await;
    let id = setting.sim.ids("customer").pop().expect("one record");
    setting.sim.edit("customer", &id, json!({"phone": "2"}), &By::user("u1")).expect("there");
    // The answer is the first one's, though a user has edited the field since.
    assert_eq!(setting.deliver(write).await, first);
    assert_eq!(setting.sim.ids("customer"), std::slice::from_ref(&id));
    assert_eq!(setting.sim.shows("customer", &id, "phone"), Some(json!("2")));
    assert_eq!(setting.count("/repeated"), 1);
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_asking_for_the_key() {
    let setting = setting().await;
    setting.sim.order(Order::next(Fault::LoseAnswer, 1));
    let write = setting.write(None, json!({"phone": "1"}), "k1");
    assert_eq!(setting.deliver(write.clone()).await, Outcome::Unknown);
    let seen = setting.ask(doubt(&write)).await.expect("an answer");
    assert_eq!((seen.found, seen.link.as_deref()), (true, Some("p1001")));
    assert_eq!(seen.fields[0].value, Value::text("1"));
    assert_eq!(seen.fields[0].author.kind, AuthorKind::Ours);
    // A request that broke off before anything was done is settled the same way.
    setting.sim.order(Order::next(Fault::LoseRequest, 1));
    let lost = setting.write(None, json!({"phone": "2"}), "k2");
    assert_eq!(setting.deliver(lost.clone()).await, Outcome::Unknown);
    let other = Ask { record: record("contact/crm:502"), ..doubt(&lost) };
    assert!(!setting.ask(other).await.expect("an answer").found);
    assert_eq!(setting.sim.ids("customer").len(), 1);
}

#[tokio::test]
async fn a_portal_that_cannot_be_asked_is_told_again() {
    let setting = setting_with(Settings { answers_questions: false, ..Settings::default() }, &[SECRET]).await;
    setting.sim.order(Order::next(Fault::LoseAnswer, 1));
    let write = setting.write(None, json!({"phone": "1"}), "k1");
    assert_eq!(setting.deliver(write.clone()).await, Outcome::Unknown);
    let seen = setting.ask(doubt(&write)).await.expect("an answer");
    assert_eq!((seen.found, seen.link.as_deref(), seen.modified), (true, Some("p1001"), Some(NOW)));
    assert_eq!(seen.fields[0].value, Value::text("1"));
    assert_eq!((setting.sim.ids("customer").len(), setting.count("/repeated")), (1, 1));
    // What is refused took no effect; planned anew it is refused with its reason.
    let rule = Refuse { field: "phone".into(), holds: "x".into(), reason: "no letters".into() };
    setting.sim.set(|settings| settings.refuse = vec![rule]);
    let refused = setting.write(Some("p1001"), json!({"phone": "x"}), "k2");
    let seen = setting.ask(doubt(&refused)).await.expect("an answer");
    assert_eq!((seen.found, seen.fields.len()), (true, 0));
    // A record that is gone, a delete that is done.
    setting.sim.delete("customer", "p1001", &By::user("u1")).expect("there");
    let gone = setting.write(Some("p1001"), json!({"phone": "3"}), "k3");
    assert!(!setting.ask(doubt(&gone)).await.expect("an answer").found);
    // Without a write to repeat there is nothing to be learned.
    assert!(matches!(setting.ask(ask(Some("p1001"), &[])).await, Err(ReadError::NotYet(_))));
    assert_eq!(setting.portal.list("contact", None).await.err(), Some(SourceError::NotOffered));
    assert_eq!(setting.portal.changed("contact", NOW, None).await.err(), Some(SourceError::NotOffered));
}

#[tokio::test]
async fn rows_of_a_batch_are_told_apart_by_their_keys() {
    let setting = setting().await;
    let id = setting.made(json!({"phone": "0"}), "k0").await;
    let rule = Refuse { field: "phone".into(), holds: "x".into(), reason: "no letters".into() };
    setting.sim.set(|settings| settings.refuse = vec![rule]);
    setting.sim.order(Order::next(Fault::OmitRow, 1).with("delete"));
    let writes = [
        setting.write(None, json!({"phone": "1"}), "k1"),
        setting.write(Some("p9999"), json!({"phone": "1"}), "k2"),
        setting.delete(&id, "k3"),
        setting.write(None, json!({"phone": "x", "email": "a@b.example"}), "k4"),
        setting.delete("p9999", "k5"),
    ];
    let outcomes = setting.portal.deliver(&writes).await;
    assert!(matches!(&outcomes[0], Outcome::Applied(receipt) if receipt.link.is_some()));
    // Missing, and left out of the answer: both are read back.
    assert_eq!(outcomes[1..3], [Outcome::Unknown, Outcome::Unknown]);
    let refused = Outcome::Refused { reason: "no letters".into(), fields: vec![field("phone")] };
    assert_eq!(outcomes[3], refused);
    // What was to be deleted and is not there is deleted.
    assert!(matches!(outcomes[4], Outcome::Applied(_)));
    assert_eq!(setting.portal.calls().writes, 2);
    // Alone it is refused by the status, with the same words.
    assert_eq!(setting.deliver(setting.write(None, json!({"phone": "x"}), "k6")).await, refused);
}

#[tokio::test]
async fn one_bad_row_does_not_hold_up_the_others() {
    let setting = setting().await;
    setting.sim.order(Order::next(Fault::Status { status: 422, retry_after: None }, 2));
    let writes: Vec<Write> = (0..4).map(|n| setting.write(None, json!({"phone": "1"}), &format!("k{n}"))).collect();
    let outcomes = setting.portal.deliver(&writes).await;
    // The message as a whole was refused, then each write went alone, the first of them to be refused again.
    assert!(matches!(&outcomes[0], Outcome::Refused { reason, .. } if reason == "ordered"));
    assert!(outcomes[1..].iter().all(|outcome| matches!(outcome, Outcome::Applied(_))));
    assert_eq!(setting.sim.ids("customer").len(), 3);
}

#[tokio::test]
async fn what_is_there_already_is_not_made_twice() {
    let setting = setting_with(Settings { unique: Some("email".into()), ..Settings::default() }, &[SECRET]).await;
    setting.made(json!({"email": "a@b.example"}), "k1").await;
    let again = setting.deliver(setting.write(None, json!({"email": "a@b.example"}), "k2")).await;
    let reason = "p1001 has this email already".to_owned();
    assert_eq!(again, Outcome::Refused { reason, fields: vec![field("email")] });
    assert_eq!(setting.sim.ids("customer").len(), 1);
}

#[tokio::test]
async fn every_status_has_its_meaning() {
    let setting = setting().await;
    let id = setting.made(json!({"phone": "0"}), "k0").await;
    let cases = [
        (429, Some(7), Outcome::RetryAfter(7000), None),
        (429, None, Outcome::RetryAfter(0), None),
        (503, Some(1), Outcome::RetryAfter(1000), None),
        (503, None, Outcome::RetryAfter(0), None),
        (502, Some(2), Outcome::RetryAfter(2000), None),
        (502, None, Outcome::Unknown, None),
        (504, None, Outcome::Unknown, None),
        (500, None, Outcome::Unknown, None),
        (409, None, Outcome::Unknown, None),
        (400, None, Outcome::Refused { reason: "ordered".into(), fields: Vec::new() }, None),
        (401, None, Outcome::RetryAfter(60_000), Some(Alarm::Signature)),
        (404, None, Outcome::RetryAfter(60_000), Some(Alarm::Address(404))),
        (307, None, Outcome::RetryAfter(60_000), Some(Alarm::Address(307))),
    ];
    for (number, (status, retry_after, due, alarm)) in cases.into_iter().enumerate() {
        setting.sim.order(Order::next(Fault::Status { status, retry_after }, 1));
        let write = setting.write(Some(&id), json!({"phone": "1"}), &format!("s{number}"));
        assert_eq!(setting.deliver(write.clone()).await, due, "{status}");
        assert_eq!(setting.portal.alarm().map(|(alarm, _)| alarm), alarm, "{status}");
        // A message that is taken ends the alarm.
        assert!(matches!(setting.deliver(write).await, Outcome::Applied(_)), "{status}");
        assert_eq!(setting.portal.alarm(), None);
    }
}

#[tokio::test]
async fn a_portal_that_is_gone_is_not_called_again() {
    let setting = setting().await;
    setting.sim.order(Order::next(Fault::Status { status: 410, retry_after: None }, 1));
    let write = setting.write(None, json!({"phone": "1"}), "k1");
    for _ in 0..3 {
        assert!(matches!(setting.deliver(write.clone()).await, Outcome::RetryAfter(wait) if wait > 60_000));
    }
    assert!(matches!(setting.ask(ask(Some("p1"), &[])).await, Err(ReadError::RetryAfter(_))));
    assert_eq!(setting.portal.alarm(), Some((Alarm::Gone, NOW)));
    assert_eq!(setting.sim.counts()["messages"], json!({"syncline.write 410": 1}));
}

#[tokio::test]
async fn silence_and_nonsense_are_not_taken_for_success() {
    let setting = setting().await;
    let id = setting.made(json!({"phone": "0"}), "k0").await;
    setting.sim.order(Order::next(Fault::Slow { ms: 5_000 }, 1));
    let write = setting.write(Some(&id), json!({"phone": "1"}), "k1");
    assert_eq!(setting.deliver(write.clone()).await, Outcome::Unknown);
    let seen = setting.ask(doubt(&write)).await.expect("an answer");
    assert_eq!(seen.fields[0].value, Value::text("1"));
    setting.sim.order(Order::next(Fault::Garble, 1));
    assert_eq!(setting.deliver(setting.write(Some(&id), json!({"phone": "2"}), "k2")).await, Outcome::Unknown);
    assert_eq!(setting.portal.alarm().map(|(alarm, _)| alarm), Some(Alarm::Answer));
    // Nobody listens there: nothing can have taken effect.
    let (keys, links) = (keys(&[SECRET]), Arc::new(Linked::default()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let clock = Arc::new(setting.clock.clone());
    let nobody = Portal::new(&url, keys, translation(&links), clock, Limits::default()).expect("an address");
    let outcomes = nobody.deliver(&[setting.write(None, json!({"phone": "1"}), "k3")]).await;
    assert_eq!(outcomes, [Outcome::RetryAfter(0)]);
}

#[tokio::test]
async fn a_create_without_an_id_is_not_believed() {
    let app = axum::Router::new().fallback(|| async { axum::http::StatusCode::NO_CONTENT });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let served = tokio::spawn(async { axum::serve(listener, app).await });
    let setting = setting().await;
    let clock = Arc::new(setting.clock.clone());
    let simple = Portal::new(&url, keys(&[SECRET]), translation(&setting.links), clock, Limits::default());
    let simple = simple.expect("an address");
    let create = setting.write(None, json!({"phone": "1"}), "k1");
    let edits = [setting.write(Some("7"), json!({"phone": "1"}), "k2"), setting.write(Some("8"), json!({}), "k3")];
    assert_eq!(simple.deliver(&[create]).await, [Outcome::Unknown]);
    assert_eq!(simple.alarm().map(|(alarm, _)| alarm), Some(Alarm::NoId));
    // An empty answer of success speaks of the whole message.
    assert!(simple.deliver(&edits).await.iter().all(|outcome| matches!(outcome, Outcome::Applied(_))));
    served.abort();
}

#[tokio::test]
async fn what_the_portal_makes_of_a_value_comes_back() {
    let setting = setting().await;
    let digits = Reshape { field: "phone".into(), shape: Shape::Digits };
    setting.sim.set(|settings| settings.reshape = vec![digits]);
    let write = setting.write(None, json!({"phone": "+1 (555) 01", "born": "2026-03-01"}), "k1");
    let Outcome::Applied(receipt) = setting.deliver(write).await else { panic!("applied") };
    assert_eq!(shown(&receipt.shows), "phone=\"+155501\"");
}

#[tokio::test]
async fn a_reading_tells_the_past_of_each_field() {
    let setting = setting().await;
    let id = setting.made(json!({"phone": "1", "email": "a@b.example"}), "k1").await;
    setting.clock.advance(1000);
    setting.sim.edit("customer", &id, json!({"phone": "2", "shoe": 44}), &By::user("u7")).expect("there");
    setting.clock.advance(1000);
    setting.sim.edit("customer", &id, json!({"phone": "3"}), &By::default()).expect("there");
    let seen = setting.ask(ask(Some(&id), &["phone"])).await.expect("an answer");
    let [phone] = &seen.fields[..] else { panic!("the one field that was asked for") };
    assert_eq!((&phone.value, phone.changed), (&Value::text("3"), Some(NOW.plus(2000))));
    assert_eq!(phone.author.kind, AuthorKind::Unnamed);
    let earlier: Vec<_> = phone.earlier.iter().map(|past| (past.value.to_json(), past.at.0 - NOW.0)).collect();
    assert_eq!(earlier, [("\"2\"".to_owned(), 1000), ("\"1\"".to_owned(), 0)]);
    assert_eq!((&*phone.earlier[0].author.id, phone.earlier[1].author.kind), ("u7", AuthorKind::Ours));
    // What the manifest does not have is not shown.
    let all = setting.ask(ask(Some(&id), &[])).await.expect("an answer");
    assert_eq!((all.fields.len(), all.modified), (2, Some(NOW.plus(2000))));
}

#[tokio::test]
async fn records_that_moved_or_went_are_told() {
    let setting = setting().await;
    let by = By::user("u1");
    let first = setting.sim.create("customer", json!({"phone": "1"}), &by);
    let second = setting.sim.create("customer", json!({"email": "a@b.example"}), &by);
    setting.sim.merge("customer", &first, &[&second], &by).expect("both are there");
    let seen = setting.ask(ask(Some(&second), &[])).await.expect("an answer");
    assert_eq!((seen.found, seen.link.as_deref(), seen.fields.len()), (true, Some(&*first), 2));
    let Outcome::Applied(receipt) = setting.deliver(setting.write(Some(&second), json!({"phone": "2"}), "k1")).await
    else {
        panic!("applied")
    };
    assert_eq!(receipt.link.as_deref(), Some(&*first));
    setting.sim.delete("customer", &first, &by).expect("there");
    let seen = setting.ask(ask(Some(&first), &[])).await.expect("an answer");
    assert_eq!((seen.found, seen.modified.is_some(), seen.fields.len()), (false, true, 0));
}

#[tokio::test]
async fn pages_hold_each_record_once() {
    let setting = setting().await;
    let by = By::user("u1");
    for n in 0..250 {
        setting.sim.create("customer", json!({"phone": n.to_string()}), &by);
    }
    setting.clock.advance(60_000);
    let gone = setting.sim.ids("customer")[7].clone();
    setting.sim.delete("customer", &gone, &by).expect("there");
    setting.sim.edit_silently("customer", "p1100", json!({"phone": "new"}), &by).expect("there");
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page = setting.portal.list("contact", cursor.as_deref()).await.expect("a page");
        assert_eq!(page.total, Some(249));
        seen.extend(page.records.into_iter().map(|sighting| sighting.link));
        pages += 1;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let unique: std::collections::HashSet<_> = seen.iter().collect();
    assert_eq!((pages, seen.len(), unique.len()), (3, 249, 249));
    let changed = setting.portal.changed("contact", NOW.plus(30_000), None).await.expect("a page");
    let mut changed: Vec<_> = changed.records.iter().map(|seen| (seen.link.to_string(), seen.seen.found)).collect();
    changed.sort();
    assert_eq!(changed, [(gone, false), ("p1100".to_owned(), true)]);
    assert!(matches!(setting.portal.list("deal", None).await, Err(SourceError::Refused(_))));
}

#[tokio::test]
async fn messages_stay_under_twenty_kilobytes() {
    let setting = setting().await;
    let long = "é".repeat(400);
    let writes: Vec<Write> = (0..50)
        .map(|n| setting.write(None, json!({"phone": format!("{n}"), "first_name": long}), &format!("k{n}")))
        .collect();
    let outcomes = setting.portal.deliver(&writes).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Applied(_))));
    let (calls, most) = (setting.portal.calls().writes, setting.count("/body_bytes_most"));
    assert!((3..=4).contains(&calls) && most <= 20_200, "{calls} messages of up to {most} bytes");
    // Each outcome is its own write's.
    for (write, outcome) in writes.iter().zip(&outcomes) {
        let Outcome::Applied(receipt) = outcome else { continue };
        let id = receipt.link.as_deref().expect("an id");
        let shows = setting.sim.shows("customer", id, "phone").expect("there");
        assert_eq!(
            Value::from_json(&shows.to_string()).expect("JSON"),
            write.fields.iter().find(|(name, _)| **name == *"phone").expect("set").1
        );
    }
    // One that is larger goes alone.
    let large = setting.write(None, json!({"phone": "x".repeat(50_000)}), "large");
    assert!(matches!(setting.deliver(large).await, Outcome::Applied(_)));
}

#[tokio::test]
async fn a_reference_waits_for_its_record_and_then_for_a_person() {
    let setting = setting().await;
    let mut write = setting.write(None, json!({"phone": "1", "company": "company/crm:9"}), "k1");
    assert!(matches!(setting.deliver(write.clone()).await, Outcome::NotYet(wait) if wait > 0));
    write.attempts = 10;
    let Outcome::Refused { reason, fields } = setting.deliver(write.clone()).await else { panic!("refused") };
    assert_eq!((fields, reason.contains("company/crm:9")), (vec![field("company")], true));
    assert_eq!(setting.portal.calls().writes, 0);
    setting.links.0.lock().expect("no panic").push((record("company/crm:9"), "o-9".to_owned()));
    assert!(matches!(setting.deliver(write).await, Outcome::Applied(_)));
    assert_eq!(setting.sim.shows("customer", "p1001", "companyId"), Some(json!("o-9")));
}

#[tokio::test]
async fn secrets_can_be_changed_while_messages_flow() {
    // The portal knows the first secret only; we have the new one, and still the old one.
    let setting = setting_with(Settings::default(), &[OTHER, SECRET]).await;
    setting.made(json!({"phone": "1"}), "k1").await;
    let wrong = setting_with(Settings::default(), &[OTHER]).await;
    assert_eq!(wrong.deliver(wrong.write(None, json!({"phone": "1"}), "k1")).await, Outcome::RetryAfter(60_000));
    assert_eq!(wrong.portal.alarm().map(|(alarm, _)| alarm), Some(Alarm::Signature));
    // Nor is a message believed whose clock is seven minutes off.
    let seven = HandClock::at(NOW.plus(420_000));
    let ahead = Portal::new(
        &setting.serving.url(),
        keys(&[SECRET]),
        translation(&setting.links),
        Arc::new(seven),
        Limits::default(),
    );
    let outcomes = ahead.expect("an address").deliver(&[setting.write(None, json!({"phone": "1"}), "k2")]).await;
    assert_eq!(outcomes, [Outcome::RetryAfter(60_000)]);
}

#[tokio::test]
async fn the_portals_clock_is_measured() {
    let setting = setting_with(Settings { ahead_ms: 420_000, ..Settings::default() }, &[SECRET]).await;
    assert_eq!(setting.portal.ahead(), None);
    setting.made(json!({"phone": "1"}), "k1").await;
    let (at, ahead) = setting.portal.ahead().expect("it answered");
    assert_eq!(at, NOW);
    assert!((419_000..=421_000).contains(&ahead), "{ahead}");
}

/// A receiver of the portal's messages: checks and reads them as the service does.
#[derive(Clone, Default)]
struct Receiver {
    drafts: Arc<Mutex<Vec<Draft>>>,
    refuse: Arc<Mutex<Vec<u16>>>,
    statuses: Arc<Mutex<Vec<u16>>>,
}

async fn receiver(setting: &Setting, secrets: &[&str]) -> Receiver {
    let receiver = Receiver::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hooks/portal", listener.local_addr().expect("an address"));
    let (keys, translation, clock) = (Arc::new(keys(secrets)), translation(&setting.links), setting.clock.clone());
    let shared = receiver.clone();
    let take = move |headers: axum::http::HeaderMap, body: axum::body::Bytes| {
        let Receiver { drafts, refuse, statuses } = shared.clone();
        let now = syncline::clock::Clock::now(&clock);
        let status = match keys.verify(&headers, &body, now) {
            Err(_) => 401,
            Ok(_) => match refuse.lock().expect("no panic").pop() {
                Some(status) => status,
                None => {
                    let heard = hook::read(&body, &translation, now).expect("the sim speaks the dialect");
                    assert_eq!(heard.unmapped, 0);
                    drafts.lock().expect("no panic").extend(heard.drafts);
                    204
                }
            },
        };
        statuses.lock().expect("no panic").push(status);
        std::future::ready(axum::http::StatusCode::from_u16(status).expect("a status"))
    };
    let app = axum::Router::new().fallback(take);
    tokio::spawn(async move { axum::serve(listener, app).await });
    setting.sim.webhooks_to(&url);
    receiver
}

impl Receiver {
    fn told(&self) -> Vec<String> {
        let drafts = self.drafts.lock().expect("no panic");
        let told = |draft: &Draft| {
            format!("{} {} {} by {}", draft.kind.name(), draft.record, shown(&draft.words), draft.author.id)
        };
        drafts.iter().map(told).collect()
    }

    fn statuses(&self) -> Vec<u16> {
        std::mem::take(&mut self.statuses.lock().expect("no panic"))
    }
}

#[tokio::test]
async fn what_users_do_is_heard() {
    let setting = setting().await;
    setting.sim.set(|settings| settings.at_once = 1);
    let receiver = receiver(&setting, &[SECRET]).await;
    let by = By { contact: Some("c-1".into()), company: Some("o-1".into()), ..By::user("u1") };
    let id = setting.sim.create("customer", json!({"phone": "1", "shoe": 44}), &by);
    setting.sim.edit("customer", &id, json!({"born": 1_772_323_200_000_i64}), &by).expect("there");
    setting.sim.delete("customer", &id, &by).expect("there");
    setting.sim.restore("customer", &id, &by).expect("there");
    let other = setting.sim.create("customer", json!({}), &By::default());
    setting.sim.merge("customer", &id, &[&other], &by).expect("there");
    let ours = setting.write(Some(&id), json!({"phone": "2"}), "k1");
    setting.deliver(ours).await;
    setting.sim.settled().await;
    assert_eq!(
        receiver.told(),
        [
            "create contact/portal:p1001 ∃=true phone=\"1\" by u1",
            "edit contact/portal:p1001 born=\"2026-03-01\" by u1",
            "delete contact/portal:p1001 ∃=false by u1",
            "restore contact/portal:p1001 ∃=true by u1",
            "create contact/portal:p1002 ∃=true by ",
            "absorb contact/portal:p1001  by u1",
            "edit contact/portal:p1001 phone=\"2\" by k1",
        ]
    );
    let drafts = receiver.drafts.lock().expect("no panic");
    assert_eq!(drafts[0].author.contact.as_deref(), Some("c-1"));
    assert_eq!(drafts[6].author.kind, AuthorKind::Ours);
    assert_eq!(drafts[0].source.as_deref(), Some(r#"{"shoe":44}"#));
    assert_eq!(drafts.iter().map(|draft| draft.said_seq).collect::<Vec<_>>(), (1..=7).map(Some).collect::<Vec<_>>());
}

#[tokio::test]
async fn messages_come_again_until_they_are_taken() {
    let setting = setting().await;
    let receiver = receiver(&setting, &[SECRET]).await;
    *receiver.refuse.lock().expect("no panic") = vec![503, 500];
    setting.sim.order(Order::next(Fault::WrongSignature, 1));
    setting.sim.create("customer", json!({"phone": "1"}), &By::user("u1"));
    for wait in [0, 6_000, 400_000, 2_400_000] {
        setting.clock.advance(wait);
        setting.sim.settled().await;
    }
    // A wrong signature is not taken, then we were not ready twice; each attempt is signed anew for its own time.
    assert_eq!(receiver.statuses(), [401, 500, 503, 204]);
    assert_eq!(receiver.told(), ["create contact/portal:p1001 ∃=true phone=\"1\" by u1"]);
    assert_eq!((setting.sim.posts_pending(), setting.count("/posts/repeated")), (0, 3));
}

#[tokio::test]
async fn faults_on_the_way_to_us_happen_as_ordered() {
    let setting = setting().await;
    setting.sim.set(|settings| settings.at_once = 1);
    let receiver = receiver(&setting, &[SECRET]).await;
    setting.sim.order(Order::next(Fault::Lose, 1));
    setting.sim.create("customer", json!({"phone": "1"}), &By::user("u1"));
    setting.sim.order(Order::next(Fault::Duplicate, 1));
    setting.sim.create("customer", json!({"phone": "2"}), &By::user("u2"));
    setting.sim.order(Order::next(Fault::Delay { ms: 5_000 }, 1));
    setting.sim.create("customer", json!({"phone": "3"}), &By::user("u3"));
    setting.sim.settled().await;
    setting.sim.create("customer", json!({"phone": "4"}), &By::user("u4"));
    setting.sim.settled().await;
    setting.clock.advance(5_000);
    setting.sim.settled().await;
    let authors: Vec<String> = receiver.told().iter().map(|told| told[told.len() - 2..].to_owned()).collect();
    assert_eq!(authors, ["u2", "u2", "u4", "u3"]);
    // While the portal is away nothing leaves, and nothing is lost.
    setting.sim.outage(60_000);
    setting.sim.create("customer", json!({}), &By::user("u5"));
    assert_eq!(setting.deliver(setting.write(None, json!({"phone": "9"}), "k1")).await, Outcome::RetryAfter(0));
    setting.clock.advance(60_001);
    setting.sim.settled().await;
    assert_eq!(receiver.told().len(), 5);
}

/// The file of vectors, as its members are used.
fn vectors() -> serde_json::Value {
    let text = include_str!("data/standard-webhooks-vectors.json");
    serde_json::from_str(text).expect("the vectors are JSON")
}

fn signed_headers(id: &str, timestamp: &str, signature: &str) -> axum::http::HeaderMap {
    let pairs = [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)];
    pairs.into_iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
}

#[test]
fn published_signatures_are_made_and_accepted() {
    let vectors = vectors();
    let cases = vectors["sign"].as_array().expect("cases");
    assert_eq!(cases.len(), 2);
    for case in cases {
        let text = |name: &str| case[name].as_str().expect("a text");
        let (keys, id, body) = (keys(&[text("secret")]), text("id"), text("payload").as_bytes());
        let now = Millis(case["timestamp"].as_i64().expect("a number") * 1000);
        let signed = keys.sign(id, now, body);
        assert_eq!(signed.signature, text("signature"));
        let list = vectors["verify"][0]["header"].as_str().expect("a list").replace("<valid v1>", text("signature"));
        let headers = signed_headers(id, &signed.timestamp, &list);
        assert_eq!(keys.verify(&headers, body, now), Ok(id), "any entry that matches is enough");
    }
}

#[test]
fn signatures_of_the_published_crate_and_ours_are_the_same() {
    let theirs = standardwebhooks::Webhook::new(SECRET).expect("a good secret");
    // Its clock is the machine's and cannot be turned.
    let now = syncline::clock::Clock::now(&syncline::clock::SystemClock);
    let ours = keys(&[SECRET, OTHER]);
    for body in ["", "{}", "{\"phone\":\"+1 555\"}", "Grüße 東京 . \n"] {
        let signature = theirs.sign("msg_7", now.0 / 1000, body.as_bytes()).expect("signed");
        let headers = signed_headers("msg_7", &(now.0 / 1000).to_string(), &signature);
        assert_eq!(ours.verify(&headers, body.as_bytes(), now), Ok("msg_7"));
        let signed = ours.sign("msg_8", now, body.as_bytes());
        let headers = signed_headers(&signed.id, &signed.timestamp, &signed.signature);
        assert!(theirs.verify(body.as_bytes(), &headers).is_ok());
        assert!(theirs.verify(b"something else", &headers).is_err());
    }
    // What it takes and nobody should: with an empty secret anybody can sign.
    assert!(standardwebhooks::Webhook::new("whsec_").is_ok());
    assert!(Keys::new(&["whsec_".into()]).is_err());
}

#[tokio::test]
async fn through_faults_everything_arrives_and_nothing_is_made_twice() {
    let setting = setting().await;
    setting.sim.set(|settings| settings.tells_ours = false);
    let faults = [
        (Fault::LoseAnswer, 0.2),
        (Fault::LoseRequest, 0.1),
        (Fault::Garble, 0.1),
        (Fault::Status { status: 503, retry_after: Some(1) }, 0.1),
        (Fault::Status { status: 500, retry_after: None }, 0.1),
        (Fault::OmitRow, 0.1),
    ];
    for (fault, probability) in faults {
        setting.sim.order(Order::by_chance(fault, probability));
    }
    let Setting { clock, sim, .. } = &setting;
    let dir = tempfile::tempdir().expect("a folder");
    let opened = Engine::builder(dir.path().join("store")).manifest(MANIFEST).clock(clock.clone()).open();
    let (engine, _) = opened.expect("a new store opens");
    engine.set_populated(&side()).expect("the portal is empty");
    let portal = Portal::new(
        &setting.serving.url(),
        keys(&[SECRET]),
        translation(&setting.links),
        Arc::new(clock.clone()),
        Limits { whole: Duration::from_secs(5), ..Limits::default() },
    );
    let sender = Sender::new(engine.clone(), side(), Arc::new(portal.expect("an address")), Default::default());
    for round in 0..15 {
        for n in 0..10 {
            let edit = Edit::of(record(&format!("contact/crm:{n}")), SideName::new("crm").expect("a name"));
            let phone = Value::text(&format!("{n}-{round}"));
            engine
                .edit(
                    &syncline::history::Principal::operator(),
                    edit.set(field("phone"), phone).by(Author::user("ana")),
                )
                .expect("taken");
            clock.advance(10);
        }
        for _ in 0..200 {
            sender.step().await.expect("the store works");
            clock.advance(3_000);
            if engine.outbox("portal").expect("open").0 == 0 {
                break;
            }
        }
        assert_eq!(engine.outbox("portal").expect("open").0, 0, "all is sent");
        let mut shown = BTreeMap::new();
        for record in sim.state()["customer"].as_object().expect("records").values() {
            let name = record["record"].as_str().expect("a name").to_owned();
            assert!(shown.insert(name, record["fields"]["phone"].clone()).is_none(), "made twice");
        }
        let due = (0..10).map(|n| (format!("contact/crm:{n}"), json!(format!("{n}-{round}")))).collect();
        assert_eq!(shown, due);
    }
    let happened = sim.counts()["faults"].as_object().expect("faults").len();
    assert_eq!(happened, 5, "every fault happened");
    assert_eq!(setting.count("/writes"), 150, "and no write was done twice");
    engine.close().expect("the disk works");
}

#[tokio::test]
async fn nothing_of_values_and_secrets_is_in_errors_and_debug_output() {
    let setting = setting().await;
    setting.sim.order(Order::next(Fault::Status { status: 422, retry_after: None }, 1).with("syncline.list"));
    let mut texts = vec![format!("{:?} {:?}", keys(&[SECRET]), setting.portal.list("contact", None).await)];
    let write = setting.write(None, json!({"phone": "canary-value"}), "k1");
    texts.push(format!("{write:?}"));
    let http =
        syncline::side::http::Http::new("http://127.0.0.1:1/canary-path", Limits::default()).expect("an address");
    let request = http.request("POST".parse().expect("a method"), "/canary-id").expect("a path").body("canary-body");
    let broken = http.call(request).await.expect_err("nobody listens there");
    assert!(broken.never_left());
    let mut cause: Option<&dyn std::error::Error> = Some(&broken);
    while let Some(why) = cause {
        texts.push(format!("{why} {why:?}"));
        cause = why.source();
    }
    for text in &texts {
        assert!(!text.contains("canary") && !text.contains("MfKQ9r8G"), "{text}");
    }
}

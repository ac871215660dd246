//! What tells of the service tells no values and no secrets: it is given values that are looked for afterwards.

use std::{
    io,
    sync::{Arc, Mutex},
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use syncline::{
    capture::neutral,
    clock::Millis,
    event::{Author, Detail, Draft, Kind, Origin},
    history::{Decision, Edit, Principal},
    id::{FieldName, RecordId, TenantKey},
    manifest::Manifest,
    send::{Ask, InDoubt, Outcome, Past, Receipt, Seen, SeenField},
    server::{Call, Doors, Heard, Hook, Refusal},
    sim::{hubspot, portal},
    value::Value,
};
use tracing::Dispatch;
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use super::house::{House, MARK, NOW, client, marked, side, traced};

/// What was traced, as text.
#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Vec<u8>>>);

impl io::Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("whole").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A dialect that fails in the worst way.
struct Panics;

impl Hook for Panics {
    fn dialect(&self) -> &'static str {
        "panics"
    }

    fn verify(&self, _: &Call<'_>) -> Result<(), Refusal> {
        panic!("{MARK} in a panic")
    }

    fn read(&self, _: &[u8], _: Millis) -> Result<Heard, Refusal> {
        Ok(Heard::default())
    }
}

/// What was told to others than the one who owns the values, and where.
type Told = Vec<(String, String)>;

/// The forms in which a value could get out.
fn forms() -> Vec<String> {
    let decimal: Vec<String> = MARK.bytes().map(|byte| byte.to_string()).collect();
    let hex: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    // The letters of a secret that begins a base64 text, without those that its neighbours change.
    let base64 = BASE64_STANDARD.encode(MARK).trim_end_matches('=').to_owned();
    let base64 = base64[..base64.len() - 2].to_owned();
    vec![MARK.to_owned(), MARK.to_uppercase(), base64, hex, decimal.join(", ")]
}

pub fn leaks<'a>(told: impl IntoIterator<Item = &'a (String, String)>) -> Vec<&'a (String, String)> {
    let forms = forms();
    told.into_iter().filter(|(_, text)| forms.iter().any(|form| text.contains(form.as_str()))).collect()
}

#[test]
fn no_value_and_no_secret_is_in_traces_metrics_problems_or_debug_output() {
    let log = Traced::default();
    let made = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("trace"))
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || made.clone());
    let mut told = traced(&Dispatch::new(subscriber.finish()), life());
    let log = String::from_utf8(log.0.lock().expect("whole").clone()).expect("text");
    for expected in
        ["backfill: done", "request{", "capture{", "receipt{", "a notification was left out", "close", "TRACE"]
    {
        assert!(log.contains(expected), "the log is not empty of what it is for: {expected}");
    }
    told.extend(log.lines().map(|line| ("the log".to_owned(), line.to_owned())));
    told.extend(core_types());
    let found = leaks(&told);
    assert!(found.is_empty(), "{found:#?}");
}

/// A tenant's life, good and bad.
async fn life() -> Told {
    let house = House::new().await;
    let mut doors: Doors = house.tenant.doors().expect("open");
    doors.hooks.insert(side("broken"), Arc::new(Panics));
    house.front.set_doors(doors);

    let email = format!("{MARK}@example.com");
    let by = portal::By::user("7");
    let user = hubspot::By::user(7);
    let theirs = json!({"email": email, "phone": marked("1"), "firstName": marked("Ana"), "unmapped": marked("0")});
    let id = house.portal.create("customer", theirs, &by);
    let set = [("email", email.as_str()), ("phone", &marked("2")), ("firstname", &marked("Anna"))];
    let contact = house.account.create("contacts", &set, &user).expect("taken");
    house.settle().await;
    house.account.edit("contacts", contact, &[("phone", &marked("3")), ("city", &marked("x"))], &user).expect("taken");
    house.portal.edit("customer", &id, json!({"firstName": marked("Anne")}), &by).expect("taken");
    house.settle().await;

    let mut told = said_over_http(&house, contact).await;
    told.extend(hooked(&house).await);
    house.settle().await;
    house.tenant.reconcile(None, None).await.expect("the store works");
    let status = house.tenant.status().expect("open");
    assert!(status.sides.iter().any(|side| side.refused > 0), "a write was refused: {status:?}");
    assert!(status.sides.iter().any(|side| side.in_doubt > 0), "an answer was lost: {status:?}");
    told.push(("/metrics".to_owned(), house.metrics().await));
    told.push(("the status".to_owned(), format!("{status:?} {}", json!(status))));
    told.push(("tokens".to_owned(), format!("{:?} {:?} {:?}", house.token, house.tokens.list(), house.bearer.len())));
    told.push(("settings".to_owned(), format!("{:?}", house.server.settings())));
    told.extend(of_the_engine(&house, contact));
    house.end().await;
    told
}

/// Good and bad calls of the API; what is not answered well is told.
async fn said_over_http(house: &House, contact: u64) -> Told {
    let record = format!("contact/crm:{contact}");
    let http = client();
    let bad = marked("bearer");
    let change = |set: serde_json::Value| json!({"changes": [{"record": record, "set": set}]}).to_string();
    house.account.order(hubspot::Order::next(hubspot::Fault::LoseAnswer, 1));
    let good = house.bearer.as_str();
    let calls = [
        (good, change(json!({"phone": marked("4")}))),
        (good, change(json!({"phone": marked("refused")}))),
        (good, change(json!({"stage": "dreamer"}))),
        (good, change(json!({"stage": marked("none")}))),
        (good, change(json!({"email": {"text": MARK}}))),
        (good, change(json!({"phone": [marked("5")]}))),
        (good, format!("{{\"changes\": \"{MARK}\"}}")),
        (good, format!("{{\"changes\": {MARK}}}")),
        (good, format!("{{\"changes\": [{{\"record\": \"contact/crm:1\", \"set\": {{\"phone\": \"{MARK}")),
        (bad.as_str(), change(json!({"phone": marked("6")}))),
    ];
    let mut statuses = Vec::new();
    let mut told = Vec::new();
    for (bearer, body) in calls {
        let request = http.post(format!("{}/v1/changes?q={MARK}", house.base)).bearer_auth(bearer);
        let request = request.header("idempotency-key", statuses.len().to_string());
        let answer = request.header("content-type", "application/json").body(body).send().await.expect("answered");
        statuses.push(answer.status().as_u16());
        if !answer.status().is_success() {
            told.push((format!("problem {}", statuses.len()), answer.text().await.expect("a body")));
        }
        house.settle().await;
    }
    assert_eq!((statuses[0], statuses[9]), (200, 401), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status >= 400).count() >= 6, "{statuses:?}");
    let changed = house.portal.ids("customer");
    assert!(!changed.is_empty());
    // What the portal refuses of the CRM's is told with the portal's words, to nobody but the operator.
    house
        .account
        .edit("contacts", contact, &[("phone", &marked("refused again"))], &hubspot::By::user(7))
        .expect("the account takes it");
    house.settle().await;
    told
}

/// Every sort of webhook that is not taken, and what it is answered.
async fn hooked(house: &House) -> Told {
    let seconds = house.tenant.engine().now().0.div_euclid(1000);
    let deep = format!("{}\"{MARK}\"{}", "[".repeat(500), "]".repeat(500));
    let bodies: Vec<Vec<u8>> = vec![
        format!("{{\"type\": \"record.changed\", \"data\": \"{MARK}\"}}").into(),
        format!("{{\"type\": \"{MARK}\", \"data\": {{\"phone\": \"{MARK}\"}}}}").into(),
        format!(
            "{{\"type\": \"record.changed\", \"data\": {{\"kind\": \"customer\", \"fields\": {{\"phone\": \"{MARK}"
        )
        .into(),
        [MARK.as_bytes(), &[0xff, 0xfe]].concat(),
        deep.into(),
        MARK.repeat(100_000).into(),
        format!("[{{\"portalId\": \"{MARK}\"}}, \"{MARK}\", {{\"portalId\": 1, \"propertyValue\": \"{MARK}\"}}]")
            .into(),
        format!("[{{\"portalId\": 247187887, \"objectId\": \"{MARK}\", \"propertyValue\": \"{MARK}\"}}]").into(),
    ];
    let http = client();
    let mut told = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        let id = format!("m{number}");
        let v3 = v3(&marked("app"), &format!("{}/hooks/crm", house.base), body, seconds * 1000);
        let good = house.signer().sign(&id, seconds, body);
        let calls = [
            ("/hooks/portal", good.clone(), String::new()),
            ("/hooks/portal", good, String::new()),
            ("/hooks/portal", marked("v1,"), String::new()),
            ("/hooks/crm", String::new(), v3),
            ("/hooks/crm", String::new(), marked("v3")),
            ("/hooks/hubspot/50780459", String::new(), marked("v3")),
            ("/hooks/broken", String::new(), String::new()),
        ];
        for (path, signature, v3) in calls {
            let request = http.post(format!("{}{path}", house.base)).header("webhook-id", &id);
            let request =
                request.header("webhook-signature", signature).header("webhook-timestamp", seconds.to_string());
            let request = request.header("x-hubspot-signature-v3", v3);
            let request = request.header("x-hubspot-request-timestamp", (seconds * 1000).to_string());
            // A body that is too large may be refused before all of it has left.
            let Ok(answer) = request.body(body.clone()).send().await else { continue };
            let status = answer.status().as_u16();
            assert!(status != 500 || path == "/hooks/broken", "{path} {number}: {status}");
            told.push((format!("an answer of {path} to {number}"), answer.text().await.unwrap_or_default()));
        }
    }
    assert!(told.iter().any(|(_, text)| text.contains("bad-webhook")), "{told:?}");
    told
}

/// HubSpot's third form of signature.
fn v3(secret: &str, url: &str, body: &[u8], timestamp: i64) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(b"POST");
    mac.update(url.as_bytes());
    mac.update(body);
    mac.update(timestamp.to_string().as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

/// What waits, what was parked and what was told, as the engine has it.
fn of_the_engine(house: &House, contact: u64) -> Told {
    let engine = house.tenant.engine();
    let record = format!("contact/crm:{contact}");
    let edit = Edit::of(RecordId::new(&record).expect("an id"), side("portal")).by(Author::user("ana"));
    let edit = edit.set(FieldName::new("phone").expect("a name"), Value::text(&marked("7")));
    let mut told = vec![("an edit".to_owned(), format!("{edit:?}"))];
    let parked = engine.parked().expect("open");
    assert!(parked.iter().any(|park| park.reason.contains(MARK)), "the side's words are kept: {parked:?}");
    told.push(("what is parked".to_owned(), format!("{parked:?}")));
    let bad = edit.clone().set(FieldName::new("stage").expect("a name"), Value::text(MARK));
    let refused = engine.edit(&Principal::operator(), bad).expect_err("it is no stage");
    told.push(("an error".to_owned(), format!("{refused} {refused:?}")));
    engine.edit(&Principal::operator(), edit).expect("taken");
    let (writes, _) = engine.due("crm", 10).expect("open");
    assert!(!writes.is_empty(), "something waits");
    told.push(("writes".to_owned(), format!("{writes:?}")));
    let read = engine.read(&Principal::operator());
    let story = read.history(&record, None).expect("open").expect("it is there");
    told.push(("history".to_owned(), format!("{story:?}")));
    told.push(("why".to_owned(), format!("{:?}", read.why(&record, "phone").expect("open"))));
    told.push(("a record".to_owned(), format!("{:?}", read.get(&record).expect("open"))));
    told.push(("blame".to_owned(), format!("{:?}", read.blame(&record).expect("open"))));
    for stored in engine.stored() {
        told.push(("an event".to_owned(), format!("{:?}", stored.expect("the log is sound").0)));
    }
    told
}

/// Core types that hold a value, as debug output shows them.
fn core_types() -> Told {
    let (field, value) = (FieldName::new("phone").expect("a name"), Value::text(&marked("9")));
    let record = RecordId::new("contact/1").expect("an id");
    let mut draft = Draft::new(Kind::Edit, record.clone(), Origin::side(side("crm")), NOW, Author::user("u"));
    draft.words = vec![(field.clone(), value.clone())];
    draft.source = Some(marked("source").into());
    draft.detail = Detail::Fate { key: "k".to_owned(), ends: Vec::new(), reason: marked("reason") };
    let sealed = draft.clone().seal(&TenantKey([7; 32]).record_key("contact/1"), Default::default()).expect("small");
    let about = InDoubt { key: "k".into(), left: NOW, create: false, fields: vec![(field.clone(), value.clone())] };
    let ask = Ask { side: side("crm"), record, link: None, fields: vec![field.clone()], about: Some(about) };
    let earlier = vec![Past { value: value.clone(), at: NOW, author: Author::user("u") }];
    let shown =
        SeenField { earlier, author: Author::user("u"), ..SeenField::plain(field.clone(), value.clone(), None) };
    let seen = Seen { found: true, fields: vec![shown], ..Seen::default() };
    let receipt = Receipt { shows: vec![(field, value.clone())], ..Receipt::default() };
    let refused = Outcome::Refused { reason: marked("reason"), fields: Vec::new() };
    let mut decision = Decision::of("contact/1", "phone", value.clone());
    decision.why = marked("why");
    let line = format!(r#"{{"side":"crm","record":"contact/1","at_ms":1,"set":{{"phone":"{MARK}"}},"x":"{MARK}"}}"#);
    let line = neutral::parse(line.as_bytes()).expect("a good line");
    let secret = format!(
        "syncline: 1\ntenant: acme\nsides:\n  crm: {{ connector: hubspot, credentials: {{ token: {MARK} }} }}\n"
    );
    let faults = Manifest::parse(&secret).expect_err("a secret has no place in it");
    [
        ("a draft", format!("{draft:?}")),
        ("what is sealed", format!("{sealed:?}")),
        ("what is asked", format!("{ask:?}")),
        ("what was seen", format!("{seen:?}")),
        ("outcomes", format!("{:?} {refused:?}", Outcome::Applied(receipt))),
        ("a decision", format!("{decision:?}")),
        ("a value", format!("{value:?}")),
        ("a line", format!("{line:?}")),
        ("a manifest's faults", faults.iter().map(ToString::to_string).collect()),
    ]
    .map(|(what, text)| (what.to_owned(), text))
    .to_vec()
}

//! The pretend HubSpot, judged by HubSpot's own clients and by its contract.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use syncline::{
    clock::{HandClock, Millis},
    sim::hubspot::{Account, Answer, By, Call, Exit, Fault, Order, Serving, Settings, serve},
};
use tokio::{net::TcpListener, sync::mpsc};

const SECRET: &str = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
const START: Millis = Millis(1_781_500_000_000);
const APP: u64 = 50_780_459;

fn account(settings: Settings) -> (Account, HandClock) {
    let clock = HandClock::at(START);
    (Account::new(settings, SECRET, Arc::new(clock.clone())), clock)
}

fn ask(account: &Account, method: &str, target: &str, body: Value) -> Answer {
    account.answer(&Call::new(method, target, &body))
}

/// The notifications that wait or have left, as (type, object or pair, source).
fn told(account: &Account) -> Vec<(String, u64, String)> {
    let hooks = ask(account, "GET", "/_sim/hooks", Value::Null).body;
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let recent = hooks["recent"].as_array().expect("a list").iter();
    recent
        .map(|one| {
            let id = one["objectId"].as_u64().or(one["fromObjectId"].as_u64()).expect("an id");
            (text(one, "subscriptionType"), id, text(one, "sourceId"))
        })
        .collect()
}

fn types(account: &Account) -> Vec<String> {
    told(account).into_iter().map(|(name, ..)| name).collect()
}

async fn served(account: &Account) -> Serving {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    serve(account.clone(), listener).expect("an account that is served")
}

/// A target that answers each webhook with the next of `statuses`, and then with 200.
async fn target(statuses: Vec<u16>) -> (String, mpsc::UnboundedReceiver<Vec<Value>>) {
    let (tell, heard) = mpsc::unbounded_channel();
    let left = Arc::new(std::sync::Mutex::new(statuses.into_iter()));
    type Shared = (mpsc::UnboundedSender<Vec<Value>>, Arc<std::sync::Mutex<std::vec::IntoIter<u16>>>);
    async fn hook(State((tell, left)): State<Shared>, body: Bytes) -> StatusCode {
        let notices: Vec<Value> = serde_json::from_slice(&body).expect("a list of notifications");
        let status = left.lock().expect("no panic").next().unwrap_or(200);
        tell.send(notices).expect("the test listens");
        StatusCode::from_u16(status).expect("a status")
    }
    let app = Router::new().route("/hooks/crm", post(hook)).with_state((tell, left));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hooks/crm", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, heard)
}

async fn next(heard: &mut mpsc::UnboundedReceiver<Vec<Value>>) -> Vec<Value> {
    let waited = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
    waited.expect("a webhook in time").expect("a target")
}

/// Says something that is seen also where the test passes.
fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("standard error");
}

/// Runs a client's script against an account, if the client is there.
fn judged_by(program: &Path, probe: &[&str], script: &str, node_client: Option<&Path>) {
    let is_there = Command::new(program).args(probe).output().is_ok_and(|probe| probe.status.success());
    if !is_there {
        say(&format!("SKIPPED: {script}: HubSpot's client is not installed (tests/it/clients says how)"));
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    // The clients look at the machine's clock.
    let clock = Arc::new(syncline::clock::SystemClock);
    let account = Account::new(Settings { search_max: None, ..Settings::default() }, SECRET, clock);
    let serving = runtime.block_on(served(&account));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(script);
    let mut command = Command::new(program);
    command.arg(&script).arg(serving.url()).arg(SECRET);
    if let Some(folder) = node_client {
        command.env("NODE_CLIENT", folder);
    }
    let ran = command.output().expect("a script that starts");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{}:\n{out}\n{err}", script.display());
    say(out.trim());
}

fn installed(variable: &str, default: &str) -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(default);
    std::env::var_os(variable).map_or(default, PathBuf::from)
}

#[test]
fn hubspots_python_client_works_unchanged() {
    let python = installed("SYNCLINE_CLIENTS_PYTHON", "bin/python");
    judged_by(&python, &["-c", "import hubspot"], "hubspot_client.py", None);
}

#[test]
fn hubspots_node_client_works_unchanged() {
    let modules = installed("SYNCLINE_CLIENTS_NODE", "node_modules");
    let probe = format!("require({:?})", modules.join("@hubspot/api-client").display().to_string());
    judged_by(Path::new("node"), &["-e", &probe], "hubspot_client.mjs", modules.parent());
}

#[test]
fn a_merge_under_a_third_id_leaves_both_old_ids_empty_and_tells_no_changes() {
    let (account, _) = account(Settings { creation_tells_values: false, ..Settings::default() });
    let user = By::user(7);
    let ana = account.create("contacts", &[("email", "a@x.com"), ("phone", "1")], &user).expect("made");
    let anna =
        account.create("contacts", &[("email", "b@x.com"), ("phone", "2"), ("city", "Ulm")], &user).expect("made");
    let firm = account.create("companies", &[("name", "Firm")], &user).expect("made");
    account.associate(("contacts", anna), ("companies", firm), None, false, &user).expect("joined");
    let left = account.merge("contacts", ana, anna, true, &user).expect("merged");
    assert!(left != ana && left != anna);
    for old in [ana, anna] {
        let read = ask(
            &account,
            "GET",
            &format!("/crm/v3/objects/contacts/{old}?properties=phone,city&associations=companies"),
            Value::Null,
        );
        assert_eq!(read.body["id"], json!(left.to_string()), "the old id shows the record that is left");
        assert_eq!((&read.body["properties"]["phone"], &read.body["properties"]["city"]), (&json!("1"), &json!("Ulm")));
        assert!(read.body["associations"].is_null(), "associations under an old id are not found");
        let listed =
            ask(&account, "GET", &format!("/crm/v4/objects/contacts/{old}/associations/companies"), Value::Null);
        assert_eq!(listed.body["results"], json!([]));
    }
    let own = ask(&account, "GET", &format!("/crm/v4/objects/contacts/{left}/associations/companies"), Value::Null);
    assert_eq!(own.body["results"][0]["toObjectId"], json!(firm.to_string()));
    let after: Vec<(String, u64)> = told(&account).into_iter().skip(5).map(|(name, id, _)| (name, id)).collect();
    let deletion = |id: u64| ("contact.deletion".to_owned(), id);
    assert_eq!(after, [("contact.merge".to_owned(), left), deletion(anna), deletion(ana)]);
    let shown = ask(&account, "GET", "/crm/v3/objects/contacts?archived=true", Value::Null);
    assert_eq!(shown.body["results"], json!([]), "a merged id is not in the archive");
}

#[test]
fn a_batch_update_leaves_a_merged_id_out_without_a_word() {
    let (account, _) = account(Settings::default());
    let user = By::user(7);
    let ids = ["a", "b", "c"].map(|name| account.create("contacts", &[("firstname", name)], &user).expect("made"));
    account.merge("contacts", ids[0], ids[1], false, &user).expect("merged");
    let row = |id: u64| json!({"id": id.to_string(), "properties": {"phone": "9"}});
    let inputs = json!({"inputs": [row(ids[1]), row(ids[2])]});
    let answer = ask(&account, "POST", "/crm/v3/objects/contacts/batch/update", inputs);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(account.shows("contacts", ids[0], "phone"), None, "and it is not written");
}

#[test]
fn one_bad_row_fails_a_batch_whole_and_writes_nothing_unless_rows_are_marked() {
    let (account, _) = account(Settings::default());
    let row = |name: &str, value: &str| json!({"properties": {name: value}});
    let marked = |mark: &str, row: Value| json!({"properties": row["properties"], "objectWriteTraceId": mark});
    let post =
        |inputs: Value| ask(&account, "POST", "/crm/v3/objects/contacts/batch/create", json!({"inputs": inputs}));
    assert_eq!(post(json!([row("phone", "1"), row("nope", "2")])).status, 400);
    assert_eq!(post(json!([row("email", "a@x.com"), row("email", "A@x.com")])).status, 400);
    assert!(account.ids("contacts").is_empty());
    let partly = post(json!([marked("good", row("phone", "1")), marked("bad", row("nope", "2"))]));
    assert_eq!((partly.status, account.ids("contacts").len()), (207, 1));
    assert_eq!(partly.body["errors"][0]["context"], json!({"objectWriteTraceId": ["bad"]}));
    let too_many: Vec<Value> = (0..101).map(|_| row("phone", "1")).collect();
    assert_eq!(post(json!(too_many)).status, 400);
}

#[test]
fn our_own_writes_are_told_with_our_app_and_those_of_others_with_theirs() {
    let (account, _) = account(Settings::default());
    let id = account.create("contacts", &[("phone", "1")], &By::user(7)).expect("made");
    let target = format!("/crm/v3/objects/contacts/{id}");
    let write = |value: &str| json!({"properties": {"phone": value}});
    assert_eq!(ask(&account, "PATCH", &target, write("2")).status, 200);
    let other = Call { token: Some("app-77".into()), ..Call::new("PATCH", &target, &write("3")) };
    assert_eq!(account.answer(&other).status, 200);
    let sources: Vec<String> = told(&account).into_iter().map(|(_, _, source)| source).skip(2).collect();
    assert_eq!(sources, [APP.to_string(), "77".to_owned()]);
    let hooks = ask(&account, "GET", "/_sim/hooks", Value::Null).body;
    let kinds: Vec<&str> =
        hooks["recent"].as_array().expect("a list").iter().filter_map(|one| one["changeSource"].as_str()).collect();
    assert_eq!(kinds, ["CRM_UI", "CRM_UI", "INTEGRATION", "INTEGRATION"]);
    assert_eq!(account.counts()["hooks"]["echoes"], json!(1));
    ask(&account, "PATCH", &target, write("3"));
    assert_eq!(account.counts()["values_same"], json!(1), "a value that was there is counted");
    assert_eq!(types(&account).len(), 4, "and not told");
}

#[test]
fn search_sees_a_change_only_after_the_lag() {
    let (account, clock) = account(Settings { search_lag_ms: 5000, ..Settings::default() });
    let id = account.create("contacts", &[("email", "a@x.com"), ("phone", "1")], &By::user(7)).expect("made");
    let search = |phone: &str| {
        let filter = json!({"propertyName": "phone", "operator": "EQ", "value": phone});
        let body = json!({"filterGroups": [{"filters": [filter]}], "properties": ["phone"]});
        ask(&account, "POST", "/crm/v3/objects/contacts/search", body).body["total"].clone()
    };
    assert_eq!(search("1"), json!(0));
    clock.advance(5000);
    account.edit("contacts", id, &[("phone", "2")], &By::user(7)).expect("written");
    assert_eq!((search("1"), search("2")), (json!(1), json!(0)), "the index still has the old value");
    clock.advance(5000);
    assert_eq!((search("1"), search("2")), (json!(0), json!(1)));
}

#[test]
fn too_many_requests_are_refused_by_policy_and_counted() {
    let (account, clock) = account(Settings { burst_max: Some(20), ..Settings::default() });
    let get = || ask(&account, "GET", "/crm/v3/objects/contacts", Value::Null);
    assert!((0..20).all(|_| get().is_well()));
    let refused = get();
    assert_eq!((refused.status, &refused.body["policyName"]), (429, &json!("TEN_SECONDLY_ROLLING")));
    assert!(refused.headers.iter().all(|(name, _)| *name != "Retry-After"));
    clock.advance(10_000);
    assert!(get().is_well());
    let search = || ask(&account, "POST", "/crm/v3/objects/contacts/search", json!({}));
    let statuses: Vec<u16> = (0..6).map(|_| search().status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    assert!(search().headers.is_empty(), "searches tell nothing of what is left");
    let counts = account.counts();
    assert_eq!(counts["most_in_ten_seconds"], json!(21));
    assert_eq!(counts["refused"], json!({"TEN_SECONDLY_ROLLING": 1, "SECONDLY": 2}));
}

#[test]
fn faults_on_order_do_what_they_say() {
    let (account, _) = account(Settings::default());
    let user = By::user(7);
    let ids = [1, 2, 3].map(|_| account.create("contacts", &[("phone", "1")], &user).expect("made"));
    let target = format!("/crm/v3/objects/contacts/{}", ids[0]);
    let write = |value: &str| ask(&account, "PATCH", &target, json!({"properties": {"phone": value}}));
    let shows = || account.shows("contacts", ids[0], "phone").expect("a phone");

    account.order(Order::next(Fault::LoseAnswer, 1).with("patch"));
    assert_eq!((write("2").exit, shows().as_str()), (Exit::Cut, "2"), "done, and nobody is told");
    account.order(Order::next(Fault::LoseRequest, 1));
    assert_eq!((write("3").exit, shows().as_str()), (Exit::Cut, "2"), "not done");
    account.order(Order::next(Fault::Status { status: 477, retry_after: Some(60) }, 1));
    let away = write("3");
    assert_eq!((away.status, shows().as_str()), (477, "2"));
    assert!(away.headers.contains(&("Retry-After", "60".to_owned())));
    let values = vec!["other".to_owned()];
    account.order(Order::next(Fault::OtherApp { app: 9, property: "city".into(), values }, 1));
    assert!(ask(&account, "GET", "/crm/v3/objects/contacts", Value::Null).is_well(), "a list is about no record");
    assert_eq!((account.shows("contacts", ids[0], "city"), write("4").status), (None, 200));
    assert_eq!(account.shows("contacts", ids[0], "city").as_deref(), Some("other"));

    let inputs = || json!({"inputs": ids.map(|id| json!({"id": id.to_string(), "properties": {"phone": "5"}}))});
    account.order(Order::next(Fault::FailRow, 1));
    let partly = ask(&account, "POST", "/crm/v3/objects/contacts/batch/update", inputs());
    assert_eq!((partly.status, partly.body["results"].as_array().map(Vec::len)), (207, Some(2)));
    account.order(Order::next(Fault::OmitRow, 1));
    let values = vec!["first".to_owned()];
    account.order(Order::next(Fault::OtherApp { app: 9, property: "zip".into(), values }, 1));
    let short = ask(&account, "POST", "/crm/v3/objects/contacts/batch/update", inputs());
    assert_eq!((short.status, short.body["results"].as_array().map(Vec::len)), (200, Some(2)));
    assert!(ids.iter().all(|id| account.shows("contacts", *id, "phone").as_deref() == Some("5")), "done all the same");

    assert_eq!(account.shows("contacts", ids[0], "zip").as_deref(), Some("first"), "the first one of a batch");
    account.order(Order::next(Fault::Merge { new_id: true }, 1));
    let merged = write("6");
    assert_ne!(merged.body["id"], json!(ids[0].to_string()), "the write went to what it was merged into");
    assert_eq!(account.ids("contacts").len(), 2);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let life = |seed: u64| {
        let (account, clock) = account(Settings { seed, search_max: None, burst_max: None, ..Settings::default() });
        for fault in [Fault::Reorder, Fault::Duplicate { same_id: false }, Fault::Lose, Fault::LoseAnswer] {
            account.order(Order::by_chance(fault, 0.3));
        }
        let id = account.create("contacts", &[("phone", "0")], &By::user(1)).expect("made");
        for number in 0..50 {
            clock.advance(100);
            let set = json!({"properties": {"phone": number.to_string()}});
            ask(&account, "PATCH", &format!("/crm/v3/objects/contacts/{id}"), set);
        }
        (account.counts(), ask(&account, "GET", "/_sim/hooks", Value::Null).body)
    };
    assert_eq!(life(7), life(7));
    assert_ne!(life(7), life(8));
}

#[test]
fn only_what_is_subscribed_is_told_once_there_is_a_subscription() {
    let (account, _) = account(Settings::default());
    let subscribe = |body: Value| ask(&account, "POST", "/webhooks/v3/1/subscriptions", body);
    let wanted = json!({"eventType": "contact.propertyChange", "propertyName": "phone", "active": true});
    assert_eq!(subscribe(wanted).status, 201);
    let paused = subscribe(json!({"eventType": "contact.creation"}));
    assert_eq!(paused.body["active"], json!(false));
    account.create("contacts", &[("phone", "1"), ("city", "Ulm")], &By::user(1)).expect("made");
    assert_eq!(types(&account), ["contact.propertyChange"]);
    assert_eq!(subscribe(json!({"eventType": "contact.propertyChange"})).status, 400);
}

#[test]
fn a_privacy_deletion_is_told_twice_and_the_address_stays_blocked() {
    let (account, _) = account(Settings { creation_tells_values: false, ..Settings::default() });
    let id = account.create("contacts", &[("email", "a@x.com")], &By::user(1)).expect("made");
    let purge = json!({"objectId": "a@x.com", "idProperty": "email"});
    assert_eq!(ask(&account, "POST", "/crm/v3/objects/contacts/gdpr-delete", purge).status, 204);
    assert_eq!(types(&account)[1..], ["contact.privacyDeletion", "contact.deletion"]);
    assert_eq!(ask(&account, "GET", &format!("/crm/v3/objects/contacts/{id}?archived=true"), Value::Null).status, 404);
    let again = ask(&account, "POST", "/crm/v3/objects/contacts", json!({"properties": {"email": "a@x.com"}}));
    assert_eq!(again.status, 400);
}

#[test]
fn an_archived_record_comes_back_under_its_id() {
    let (account, _) = account(Settings { creation_tells_values: false, ..Settings::default() });
    let id = account.create("contacts", &[("email", "a@x.com")], &By::user(1)).expect("made");
    for _ in 0..2 {
        assert_eq!(ask(&account, "DELETE", &format!("/crm/v3/objects/contacts/{id}"), Value::Null).status, 204);
    }
    assert_eq!(account.shows("contacts", id, "email"), None);
    account.restore("contacts", id, &By::user(1)).expect("restored");
    assert_eq!(account.shows("contacts", id, "email").as_deref(), Some("a@x.com"));
    assert_eq!(types(&account), ["contact.creation", "contact.deletion", "contact.restore"]);
}

#[test]
fn custom_objects_are_told_by_the_generic_names() {
    let (account, _) = account(Settings::default());
    let name =
        json!({"name": "serial", "label": "Serial", "type": "string", "fieldType": "text", "hasUniqueValue": true});
    let body = json!({"plural": "machines", "singular": "machine", "type_id": "2-3465404", "properties": [name]});
    assert!(ask(&account, "POST", "/_sim/kinds", body).is_well());
    let made = ask(&account, "POST", "/crm/v3/objects/2-3465404", json!({"properties": {"serial": "S1"}}));
    assert_eq!(made.status, 201);
    let by_name = ask(&account, "GET", "/crm/v3/objects/p247187887_machines/s1?idProperty=serial", Value::Null);
    assert_eq!(by_name.body["id"], made.body["id"]);
    assert_eq!(types(&account), ["object.creation", "object.propertyChange"]);
    let hooks = ask(&account, "GET", "/_sim/hooks", Value::Null).body;
    assert_eq!(hooks["recent"][0]["objectTypeId"], json!("2-3465404"));
}

#[test]
fn wrong_orders_are_refused_with_a_reason_and_change_nothing() {
    let (account, _) = account(Settings::default());
    for (path, body, reason) in [
        ("/_sim/faults", json!({"fault": "lose"}), "an order has `next` or `probability`"),
        ("/_sim/faults", json!([{"fault": "lose", "next": 1}, {"fault": "lose", "probability": 2}]), "from 0 to 1"),
        ("/_sim/faults", json!({"fault": "earthquake", "next": 1}), "unknown variant"),
        ("/_sim/settings", json!({"search_lag": 1}), "unknown field `search_lag`"),
        ("/_sim/edit", json!({"kind": "contacts", "id": 1, "set": {}}), "there is no such record"),
        ("/_sim/edit", json!({"kind": "cars", "set": {}}), "no objects of the kind cars"),
        ("/_sim/edit", json!({"kind": "contacts", "set": {"nope": "1"}}), "does not exist"),
    ] {
        let answer = ask(&account, "POST", path, body);
        let message = answer.body["message"].as_str().unwrap_or_default();
        assert!(answer.status == 400 && message.contains(reason), "{path}: {message}");
    }
    assert_eq!(ask(&account, "GET", "/_sim/faults", Value::Null).body["orders"], json!([]));
    assert_eq!(ask(&account, "GET", "/_sim/nothing", Value::Null).status, 404);
}

#[test]
fn silent_edits_change_and_tell_nothing() {
    let (account, _) = account(Settings::default());
    let id = account.create("contacts", &[], &By::user(1)).expect("made");
    let before = types(&account);
    let body =
        json!({"kind": "contacts", "id": id, "set": {"phone": "9"}, "silent": true, "at_ms": 1_750_000_000_000_i64});
    assert!(ask(&account, "POST", "/_sim/edit", body).is_well());
    assert_eq!((account.shows("contacts", id, "phone").as_deref(), types(&account)), (Some("9"), before));
    let read = format!("/crm/v3/objects/contacts/{id}?propertiesWithHistory=phone");
    let past = ask(&account, "GET", &read, Value::Null).body["propertiesWithHistory"]["phone"][0].clone();
    assert_eq!(past["timestamp"], json!("2025-06-15T15:06:40.000Z"));
}

#[tokio::test]
async fn a_webhook_that_fails_comes_again_with_the_next_attempt_number() {
    let (account, clock) = account(Settings { creation_tells_values: false, ..Settings::default() });
    let (url, mut heard) = target(vec![401, 503]).await;
    account.webhooks_to(&url);
    let serving = served(&account).await;
    let id = account.create("contacts", &[("phone", "1")], &By::user(7)).expect("made");
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let notices = next(&mut heard).await;
        assert_eq!(notices[0]["objectId"], json!(id));
        attempts.push(notices[0]["attemptNumber"].as_u64().expect("a number"));
        // The retry is due from when the answer is back.
        account.hooks_back().await;
        clock.advance(6 * 60_000);
    }
    assert_eq!(attempts, [0, 1, 2]);
    serving.stop().await.expect("a clean end");
}

#[test]
fn a_clash_may_be_answered_without_the_id() {
    let (account, _) = account(Settings { conflicts_without_id: true, ..Settings::default() });
    let post = || ask(&account, "POST", "/crm/v3/objects/contacts", json!({"properties": {"email": "a@x.com"}}));
    assert_eq!(post().status, 201);
    let clash = post();
    assert_eq!((clash.status, &clash.body["error"]), (409, &json!("CONTACT_EXISTS")));
    assert!(!clash.body.to_string().contains("Existing ID"));
}

#[test]
fn a_change_is_found_by_its_time_and_a_touch_moves_that_time() {
    let (account, clock) = account(Settings::default());
    let ids = [1, 2, 3].map(|_| account.create("companies", &[], &By::user(7)).expect("made"));
    clock.advance(1000);
    account.touch("companies", ids[1]).expect("touched");
    let filter = json!({"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": (START.0 + 1).to_string()});
    let body = json!({"filterGroups": [{"filters": [filter]}], "sorts": [{"propertyName": "hs_object_id", "direction": "DESCENDING"}]});
    let found = ask(&account, "POST", "/crm/v3/objects/companies/search", body);
    assert_eq!((&found.body["total"], &found.body["results"][0]["id"]), (&json!(1), &json!(ids[1].to_string())));
    assert_eq!(found.body["results"][0]["updatedAt"], json!("2026-06-15T05:06:41.000Z"));
}

#[tokio::test]
async fn webhooks_on_order_are_doubled_delayed_alone_and_lost() {
    let (account, clock) = account(Settings { creation_tells_values: false, ..Settings::default() });
    let (url, mut heard) = target(vec![]).await;
    account.webhooks_to(&url);
    let serving = served(&account).await;
    let id = account.create("contacts", &[], &By::user(7)).expect("made");
    assert_eq!(next(&mut heard).await.len(), 1);
    let edit = |value: &str| account.edit("contacts", id, &[("phone", value)], &By::user(7)).expect("written");
    let values =
        |notices: Vec<Value>| -> Vec<Value> { notices.iter().map(|one| one["propertyValue"].clone()).collect() };

    account.order(Order::next(Fault::Duplicate { same_id: true }, 1).with("contact.propertyChange"));
    edit("1");
    assert_eq!(values(next(&mut heard).await), ["1", "1"]);
    account.order(Order::next(Fault::Lose, 1));
    edit("2");
    account.order(Order::next(Fault::Delay { ms: 60_000 }, 1));
    edit("3");
    account.order(Order::next(Fault::Attempt { number: 5 }, 1));
    account.order(Order::next(Fault::Bare, 1));
    edit("4");
    let fourth = next(&mut heard).await;
    assert_eq!((&fourth[0]["attemptNumber"], fourth[0].get("subscriptionId")), (&json!(5), None));
    assert_eq!(values(fourth), ["4"], "the third is late");
    clock.advance(60_000);
    assert_eq!(values(next(&mut heard).await), ["3"]);
    account.hooks_gone().await;
    assert_eq!(account.counts()["hooks"]["lost"], json!(1));
    serving.stop().await.expect("a clean end");
}

#[tokio::test]
async fn the_lag_of_a_target_ends_its_webhook_and_not_the_others() {
    let (account, _) =
        account(Settings { hook_timeout_ms: 100, batch_max: 1, retry_scale: 0.0, ..Settings::default() });
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    account.webhooks_to(&format!("http://{}/hooks", silent.local_addr().expect("an address")));
    let serving = served(&account).await;
    account.create("contacts", &[], &By::user(7)).expect("made");
    // Eleven attempts of nothing but waiting, and it is given up.
    tokio::time::timeout(Duration::from_secs(20), account.hooks_gone()).await.expect("it is given up in time");
    let counts = account.counts();
    assert_eq!((&counts["hooks"]["given_up"], &counts["hooks"]["by_status"]), (&json!(1), &json!({"0": 11})));
    serving.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_stop_loses_no_webhook_that_is_under_way() {
    let (account, clock) = account(Settings { creation_tells_values: false, ..Settings::default() });
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    account.webhooks_to(&format!("http://{}/hooks", silent.local_addr().expect("an address")));
    let serving = served(&account).await;
    account.create("contacts", &[], &By::user(7)).expect("made");
    let connection = silent.accept().await.expect("a webhook");
    serving.stop().await.expect("a clean end");
    drop(connection);
    let (url, mut heard) = target(vec![]).await;
    account.webhooks_to(&url);
    clock.advance(120_000);
    let serving = served(&account).await;
    assert_eq!(next(&mut heard).await[0]["attemptNumber"], json!(1));
    serving.stop().await.expect("a clean end");
}

#[tokio::test]
async fn an_outage_cuts_connections_and_holds_webhooks_back() {
    let (account, clock) = account(Settings { creation_tells_values: false, ..Settings::default() });
    let (url, mut heard) = target(vec![]).await;
    account.webhooks_to(&url);
    let serving = served(&account).await;
    let client = client();
    let list = || client.get(format!("{}/crm/v3/objects/contacts", serving.url())).bearer_auth("any").send();
    assert_eq!(list().await.expect("an answer").status(), 200);
    account.outage(60_000);
    account.create("contacts", &[], &By::user(7)).expect("made");
    assert!(list().await.is_err(), "the connection is closed");
    assert_eq!((account.hooks_pending(), heard.try_recv().is_err()), (1, true));
    clock.advance(60_000);
    assert_eq!(list().await.expect("an answer").status(), 200);
    assert_eq!(next(&mut heard).await.len(), 1);
    serving.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_lost_answer_leaves_the_write_done_and_the_client_in_doubt() {
    let (account, _) = account(Settings::default());
    let serving = served(&account).await;
    account.order(Order::next(Fault::LoseAnswer, 1).with("contacts.create"));
    let client = client();
    let post = || {
        let body = json!({"properties": {"email": "a@x.com"}}).to_string();
        client.post(format!("{}/crm/v3/objects/contacts", serving.url())).bearer_auth("any").body(body).send()
    };
    assert!(post().await.is_err());
    let again = post().await.expect("an answer");
    assert_eq!(again.status(), 409);
    let id = account.ids("contacts")[0];
    assert!(again.text().await.expect("a body").contains(&format!("Existing ID: {id}")));
    assert_eq!(account.counts()["by_op"]["contacts.create"], json!({"0": 1, "409": 1}));
    serving.stop().await.expect("a clean end");
}

#[tokio::test]
async fn every_answer_carries_the_accounts_own_time_and_needs_a_token() {
    let (account, _) = account(Settings { ahead_ms: 420_000, ..Settings::default() });
    let serving = served(&account).await;
    let url = format!("{}/crm/v3/objects/contacts", serving.url());
    let answer = client().get(&url).send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    let date = answer.headers()["date"].to_str().expect("text").to_owned();
    let time = httpdate::parse_http_date(&date).expect("a date");
    let since = time.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    assert_eq!(since, (START.0 + 420_000) as u128);
    serving.stop().await.expect("a clean end");
}

#[test]
fn the_command_says_where_it_listens_and_serves_until_it_is_stopped() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
    command.args(["sim", "hubspot", "--listen", "127.0.0.1:0", "--records", "3", "--json"]).stdout(Stdio::piped());
    let mut running = command.spawn().expect("a command that starts");
    let mut line = String::new();
    let mut out = BufReader::new(running.stdout.take().expect("its output"));
    out.read_line(&mut line).expect("a line");
    let told: Value = serde_json::from_str(&line).expect("JSON");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let url = format!("{}/_sim/state?kind=contacts", told["url"].as_str().expect("a URL"));
    let state = runtime.block_on(async { client().get(url).send().await.expect("an answer").text().await });
    running.kill().expect("it ends");
    running.wait().expect("it has ended");
    let state: Value = serde_json::from_str(&state.expect("a body")).expect("JSON");
    assert_eq!(state["kinds"]["contacts"]["records"].as_array().map(Vec::len), Some(3));
}

#[test]
fn the_command_does_not_sign_with_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
    command.args(["sim", "hubspot", "--webhooks-to", "http://127.0.0.1:1/hooks", "--secret", "env:SYNCLINE_NO_SUCH"]);
    let ran = command.output().expect("a command that starts");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code() == Some(2) && said.contains("SYNCLINE_NO_SUCH"), "{said}");
}

fn client() -> reqwest::Client {
    // A provider that is there already will do.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client")
}

//! What an operator orders: what is parked, manifests, rejudging, and orders over the socket while the tenant is served.

use std::sync::Arc;

use serde_json::Value as Json;
use syncline::{
    event::Kind,
    history::Principal,
    service::{self, Fleet, InProcess, LinkOrder, Order, Place},
};
use tempfile::TempDir;

use super::shelf::{MINUTE, Rig, manifest, manifest_by, person};

const WEBHOOKS: &str = "capture: { webhooks: true }";

fn order(rig: &Rig, order: Order) -> Json {
    rig.runtime.block_on(rig.tenant().order(order)).expect("a good order")
}

fn refused_rig() -> Rig {
    let rig = Rig::open_empty(manifest(WEBHOOKS, WEBHOOKS));
    rig.edit(&rig.crm, &person(1), &[("name", "One"), ("phone", "0")]);
    rig.step();
    rig.clock.advance(MINUTE);
    rig.edit(&rig.portal, &person(1), &[("phone", "REFUSE ME")]);
    rig.step();
    rig
}

#[test]
fn what_is_parked_is_listed_with_its_reason_and_without_values() {
    let rig = refused_rig();
    let parked = order(&rig, Order::Parked);
    let all = parked.as_array().expect("a list");
    assert_eq!(all.len(), 1);
    let of = |key: &str| all[0].get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    assert_eq!(
        ["record", "side", "field", "kind", "reason"].map(of),
        ["person/000001", "crm", "phone", "refused", "this is no value"]
    );
    assert!(!parked.to_string().contains("REFUSE ME"));
}

#[test]
fn records_that_could_be_one_wait_until_a_person_says_what_they_are() {
    let matched = |text: String| text.replace("  person:\n", "  person:\n    match_on: [phone]\n");
    let rig = Rig::open_empty(matched(manifest(WEBHOOKS, WEBHOOKS)));
    rig.edit(&rig.crm, &person(1), &[("name", "Ana"), ("phone", "1")]);
    rig.step();
    let links = |about: LinkOrder| rig.runtime.block_on(rig.tenant().order(Order::Links { about }));
    let list = links(LinkOrder::List).expect("a list");
    let counts = serde_json::json!({ "certain": 0, "doubtful": 0, "twice": 0 });
    assert_eq!(list, serde_json::json!({ "suggestions": [], "twins": [], "counts": counts }));

    let pair = |other: &str| {
        let (record, other) = (person(1).to_string(), other.to_owned());
        LinkOrder::Accept { record, other, by: "eva".to_owned(), why: "called".to_owned() }
    };
    let missing = links(pair("person/000009")).expect_err("nothing was said of it");
    assert_eq!(missing.to_string(), "there is no record person/000009");
    rig.edit(&rig.crm, &person(2), &[("name", "Ana"), ("phone", "2")]);
    rig.step();
    let one = links(pair(&person(2))).expect("it is said");
    assert_eq!(one, serde_json::json!({ "record": person(1) }));
    let shown = links(LinkOrder::Show { record: person(2).to_string() }).expect("its ids");
    let ids: Vec<&str> = shown.as_array().expect("a list").iter().filter_map(|id| id["record"].as_str()).collect();
    assert!(ids.contains(&&*person(1)) && ids.contains(&&*person(2)), "{shown}");

    let (record, other) = (person(1).to_string(), person(2).to_string());
    let apart = LinkOrder::Reject { record, other, by: "eva".to_owned(), why: "two people".to_owned() };
    let two = links(apart).expect("it is said");
    assert_eq!(two, serde_json::json!({ "records": [person(1), person(2)] }));
}

fn retry(record: Option<&str>) -> Order {
    Order::Retry { record: record.map(str::to_owned), side: None, field: None, by: "ana".to_owned() }
}

#[test]
fn what_is_let_go_is_tried_once_more_and_says_who_let_it() {
    let rig = refused_rig();
    let calls = rig.crm.calls();
    rig.pass(60 * MINUTE, MINUTE);
    assert_eq!(rig.crm.calls(), calls, "a refused write is not tried again by itself");
    assert_eq!(order(&rig, retry(Some("person/000001"))).as_array().map(Vec::len), Some(1));
    rig.step();
    assert_eq!(rig.crm.calls(), calls, "the next try has to stand after the release");
    rig.clock.advance(1);
    rig.step();
    assert_eq!(rig.crm.calls(), calls + 1);
    assert_eq!(order(&rig, Order::Parked).as_array().map(Vec::len), Some(1), "the side refused it again");
    let history = rig.engine().read(&Principal::operator()).history("person/000001", Some("phone"));
    let history = history.expect("readable").expect("there");
    let released: Vec<_> = history.iter().filter(|change| change.kind == Kind::Released).collect();
    assert_eq!(released.len(), 1);
    assert_eq!(&*released[0].author.id, "ana");
    assert_eq!(order(&rig, retry(None)).as_array().map(Vec::len), Some(1), "all of it may be let go too");
}

#[test]
fn what_is_dropped_is_decided_to_be_what_the_side_shows() {
    let rig = refused_rig();
    let drop = Order::Drop {
        record: "person/000001".to_owned(),
        side: "crm".to_owned(),
        field: "phone".to_owned(),
        by: "ana".to_owned(),
        why: "the customer mistyped".to_owned(),
    };
    order(&rig, drop.clone());
    rig.step();
    assert_eq!(rig.both_show(&person(1), "phone"), "0");
    assert_eq!(order(&rig, Order::Parked).as_array().map(Vec::len), Some(0));
    let verdict = rig.engine().read(&Principal::operator()).why("person/000001", "phone").expect("readable");
    assert!(verdict.expect("said").sentence.contains("the customer mistyped"));
    let again = rig.runtime.block_on(rig.tenant().order(drop)).expect_err("nothing is parked any more");
    assert_eq!(again.to_string(), "phone of person/000001 is not parked on crm");
}

/// Concurrent edits of 20 phones, which the last write wins.
fn quarrel() -> Rig {
    let rig = Rig::open_empty(manifest(WEBHOOKS, WEBHOOKS));
    for number in 0..30 {
        rig.edit(&rig.crm, &person(number), &[("name", "Some"), ("phone", "0")]);
    }
    rig.step();
    for number in 0..20 {
        rig.clock.advance(10);
        let (first, last) = if number % 2 == 0 { (&rig.crm, &rig.portal) } else { (&rig.portal, &rig.crm) };
        // Neither has seen the other's: both are heard before anything is sent.
        first.side().edit(
            &person(number),
            &syncline::event::Author::user("x"),
            &super::shelf::set(&[("phone", &first.name)]),
        );
        rig.clock.advance(10);
        last.side().edit(
            &person(number),
            &syncline::event::Author::user("y"),
            &super::shelf::set(&[("phone", &last.name)]),
        );
    }
    rig.hear(&rig.crm);
    rig.hear(&rig.portal);
    rig.step();
    rig
}

#[test]
fn rejudging_shows_exactly_what_changes_and_then_decides_it() {
    let rig = quarrel();
    assert_eq!(rig.engine().counts().expect("open").conflicts_open, 20);
    let text = manifest_by("{ authority: crm }", WEBHOOKS, WEBHOOKS);
    let ask = |agreed: Option<&str>| Order::Rejudge {
        text: Some(text.clone()),
        agreed: agreed.map(str::to_owned),
        by: "ana".to_owned(),
    };
    let last = rig.engine().last();
    let shown = order(&rig, ask(None));
    assert_eq!(rig.engine().last(), last, "looking changes nothing");
    let changes = shown["found"]["changes"].as_array().expect("a list");
    let named: Vec<&str> = changes.iter().filter_map(|change| change["record"].as_str()).collect();
    let due: Vec<String> = (0..20).step_by(2).map(|number| person(number).to_string()).collect();
    assert_eq!(named, due, "those that the portal had won by time");
    assert!(changes.iter().all(|change| change["from"]["value"] == "portal" && change["to"]["value"] == "crm"));
    assert_eq!(shown["found"]["conflicts"], 20);

    let wrong = rig.runtime.block_on(rig.tenant().order(ask(Some("0000")))).expect_err("not what was shown");
    assert!(wrong.to_string().contains("look at it again"));
    assert_eq!(order(&rig, Order::Apply { text: text.clone() })["changed"], true);
    assert_eq!(rig.both_show(&person(0), "phone"), "portal", "a new rule alone judges nothing again");
    let done = order(&rig, ask(shown["agree"].as_str()));
    assert_eq!(done["decided"], 10);
    rig.step();
    for number in 0..20 {
        assert_eq!(rig.both_show(&person(number), "phone"), "crm");
    }
    let verdict = rig.engine().read(&Principal::operator()).why("person/000000", "phone").expect("readable");
    assert!(verdict.expect("said").sentence.contains("rejudged by the manifest of"));
    assert_eq!(order(&rig, ask(None))["found"]["changes"].as_array().map(Vec::len), Some(0));
}

#[test]
fn orders_reach_a_tenant_that_is_served_by_another_task_also_by_a_long_path() {
    let dir = TempDir::new().expect("a directory");
    let store = dir.path().join("d".repeat(120)).join("store");
    std::fs::create_dir_all(store.parent().expect("a parent")).expect("a directory");
    let file = dir.path().join("acme.yaml");
    std::fs::write(&file, manifest(WEBHOOKS, WEBHOOKS)).expect("a file");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = syncline::server::Server::new(
            syncline::server::Tenants::single(),
            syncline::metrics::Metrics::new(),
            syncline::server::Settings::default(),
        );
        let fleet = Arc::new(Fleet::new(server, Arc::new(InProcess::default())));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let place = Place { manifest: Some(file.clone()), store: store.clone() };
        let serving = fleet.clone();
        let served = tokio::spawn(async move {
            serving.serve(vec![place], true, listener, async move { stopped.await.unwrap_or_default() }).await
        });
        until(address, "/readyz", 200).await;
        let asked = store.clone();
        let ask = |order: Order| {
            let store = asked.clone();
            async move { tokio::task::spawn_blocking(move || service::ask(&store, &order)).await.expect("no panic") }
        };
        let status = ask(Order::Status).await.expect("served").expect("someone serves it");
        assert_eq!(status["tenant"], "acme");
        assert_eq!((&status["totals"]["suggestions"], &status["totals"]["parked"]), (&0.into(), &0.into()));
        let told = ask(Order::Manifest).await.expect("served").expect("someone serves it");
        assert!(told["text"].as_str().is_some_and(|text| text.contains("tenant: acme")), "{told}");
        let text = manifest_by("first_write_wins", WEBHOOKS, WEBHOOKS);
        let applied = ask(Order::Apply { text }).await.expect("served").expect("someone serves it");
        assert_eq!(applied["changed"], true);
        let faulty = ask(Order::Apply { text: "syncline: 1".to_owned() }).await.expect_err("it has faults");
        assert!(faulty.to_string().contains("faults"), "{faulty}");
        // The file given to the service still says what it said: reading it again puts that in force.
        fleet.reload()();
        stop.send(()).expect("it is still served");
        served.await.expect("no panic").expect("it ends well");
        assert_eq!(ask(Order::Status).await.expect("no error"), None, "nobody serves it any more");
    });
}

/// Asks until the answer has this status; every wait is one of the server's own making.
async fn until(address: std::net::SocketAddr, path: &str, status: u16) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for _ in 0..2_000 {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        if answer.starts_with(&format!("HTTP/1.1 {status}")) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{path} does not answer {status}");
}

async fn until_served(tenants: &syncline::server::Tenants, name: &str) {
    while tenants.get(Some(name)).is_none() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_broken_tenant_does_not_stop_the_others() {
    let dir = TempDir::new().expect("a directory");
    for (name, text) in [("good", manifest(WEBHOOKS, WEBHOOKS)), ("bad", "syncline: 1\ntenant: bad\n".to_owned())] {
        let home = dir.path().join(name);
        std::fs::create_dir(&home).expect("a directory");
        std::fs::write(home.join(service::MANIFEST), text.replace("acme", name)).expect("a file");
    }
    std::fs::create_dir(dir.path().join("no-tenant")).expect("a directory");
    let places = service::places(dir.path()).expect("readable");
    assert_eq!(places.len(), 2);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let tenants = syncline::server::Tenants::many();
        let server = syncline::server::Server::new(
            tenants.clone(),
            syncline::metrics::Metrics::new(),
            syncline::server::Settings::default(),
        );
        let fleet = Fleet::new(server, Arc::new(InProcess::default()));
        let again = fleet.reload();
        let mend = dir.path().join("bad").join(service::MANIFEST);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = tokio::spawn(async move {
            fleet.serve(places, false, listener, async move { stopped.await.unwrap_or_default() }).await
        });
        until_served(&tenants, "good").await;
        until(address, "/t/good/v1/status", 401).await;
        assert!(tenants.get(Some("bad")).is_none());
        std::fs::write(&mend, manifest(WEBHOOKS, WEBHOOKS).replace("acme", "bad")).expect("a file");
        again();
        until_served(&tenants, "bad").await;
        stop.send(()).expect("it is still served");
        served.await.expect("no panic").expect("it ends well");
    });
}

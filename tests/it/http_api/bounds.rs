//! What a bad client cannot do to the others.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use serde_json::json;
use syncline::{
    clock::Millis,
    id::SideName,
    server::{Call, Doors, Heard, Hook, Refusal, Settings},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use super::world::{World, change, letters, sent};

async fn raw(world: &World, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(world.base.trim_start_matches("http://")).await.expect("connected");
    stream.write_all(bytes).await.expect("written");
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A server that hangs up in the middle of what we send may do so with a reset.
    if stream.read_to_end(&mut bytes).await.is_err() && bytes.is_empty() {
        return "reset".to_owned();
    }
    String::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn slow_heads_and_bodies_are_cut_off_and_five_hundred_of_them_hold_nobody_up() {
    let second = Duration::from_secs(1);
    let settings = Settings { header_time: second, body_time: second, ..Settings::default() };
    let world = World::with(settings).await;
    let head = "POST /hooks/portal HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n";
    let mut slow = Vec::new();
    for at in 0..500 {
        let bytes = match at % 4 {
            0 => String::new(),
            1 => "GET /v1/sta".to_owned(),
            2 => head.to_owned(),
            _ => format!("{head}\r\n[{{\"acc"),
        };
        slow.push(raw(&world, bytes.as_bytes()).await);
    }
    let answered = tokio::time::timeout(second, async {
        for _ in 0..20 {
            world.set("contact/1", "phone", json!("+1")).await;
        }
    });
    answered.await.expect("twenty requests are answered while five hundred clients say nothing");
    for (at, stream) in slow.into_iter().enumerate() {
        let told = rest(stream).await;
        match at % 4 {
            3 => assert!(told.starts_with("HTTP/1.1 408 ") && told.contains("/problems/request-timeout"), "{told}"),
            _ => assert!(!told.contains(" 200 "), "{told}"),
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn what_is_not_http_or_has_too_much_of_a_head_is_refused() {
    let world = World::new().await;
    let large = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(200));
    for bad in ["\u{0}\u{1}\r\n\r\n", "GARBAGE\r\n\r\n", &large, &many, "GET /healthz HTTP/9.9\r\n\r\n"] {
        let told = rest(raw(&world, bad.as_bytes()).await).await;
        let start: String = bad.chars().take(40).collect();
        assert!(told.starts_with("HTTP/1.1 4") || told == "reset" || told.is_empty(), "{start}: {told}");
    }
    let short = rest(raw(&world, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await).await;
    assert!(short.starts_with("HTTP/1.1 200"), "{short}");
    world.stop().await;
}

#[tokio::test]
async fn connections_are_capped_by_address() {
    let world = World::with(Settings { connections_by_address: 3, ..Settings::default() }).await;
    let ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = raw(&world, ask).await;
        let mut byte = [0];
        stream.read_exact(&mut byte).await.expect("answered");
        held.push(stream);
    }
    let told = rest(raw(&world, ask).await).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 1"), "{told}");
    drop(held);
    // The places are given back as the connections go.
    loop {
        if rest(raw(&world, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await)
            .await
            .starts_with("HTTP/1.1 200")
        {
            break;
        }
    }
    world.stop().await;
}

/// A hook that says when it is called, and then waits until it is let go.
struct Stuck {
    called: mpsc::UnboundedSender<()>,
    go: Mutex<Receiver<()>>,
}

impl Hook for Stuck {
    fn dialect(&self) -> &'static str {
        "stuck"
    }

    fn verify(&self, _call: &Call<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn read(&self, _body: &[u8], _now: Millis) -> Result<Heard, Refusal> {
        self.called.send(()).expect("the test listens");
        self.go.lock().expect("whole").recv().expect("the test lets go");
        Ok(Heard::default())
    }
}

fn stick(world: &World, tenant: &str) -> (mpsc::UnboundedReceiver<()>, Sender<()>) {
    let (called, calls) = mpsc::unbounded_channel();
    let (go, gone) = channel();
    let tenant = world.server.tenants().get(Some(tenant)).expect("there");
    let before = tenant.doors();
    let mut doors = Doors { public_url: before.public_url.clone(), hooks: before.hooks.clone() };
    let hook: Arc<dyn Hook> = Arc::new(Stuck { called, go: Mutex::new(gone) });
    doors.hooks.insert(SideName::new("portal").expect("good"), hook);
    tenant.set_doors(doors);
    (calls, go)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_too_much_to_do_is_told_to_wait_and_the_others_are_served() {
    let settings = Settings { at_once_by_tenant: 2, turn_time: Duration::from_millis(100), ..Settings::default() };
    let world = World::of(&[("acme", "77"), ("globex", "88")], false, settings).await;
    let (mut calls, go) = stick(&world, "acme");
    let url = format!("{}/t/acme/hooks/portal", world.base);
    let stuck: Vec<_> = (0..2).map(|_| tokio::spawn(world.http.post(&url).body("[]").send())).collect();
    // The second one waits behind the first for the hook's lock, and holds its place all the same.
    calls.recv().await.expect("called");
    let globex = world.make_token("globex", "portal", None);
    let response = loop {
        let response = world.http.post(&url).body("[]").send();
        let done =
            tokio::time::timeout(Duration::from_secs(5), response).await.expect("not held up").expect("answered");
        if done.status() == 503 {
            break done;
        }
    };
    assert_eq!(response.headers()["retry-after"], "1");
    let other = world.http.post(format!("{}/t/globex/v1/changes", world.base)).bearer_auth(globex);
    assert_eq!(sent(other.json(&change("contact/1", "phone", json!("+1")))).await.0, 200);
    let healthy = world.http.get(format!("{}/healthz", world.base)).send().await.expect("answered");
    assert_eq!(healthy.status(), 200);
    for _ in 0..2 {
        go.send(()).expect("it waits");
    }
    for stuck in stuck {
        assert_eq!(stuck.await.expect("no panic").expect("answered").status(), 204);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apps_batch_reaches_the_tenants_that_have_room() {
    let settings = Settings { at_once_by_tenant: 1, turn_time: Duration::from_millis(100), ..Settings::default() };
    let world = World::of(&[("acme", "77"), ("globex", "88")], false, settings).await;
    let (mut calls, go) = stick(&world, "acme");
    let stuck = tokio::spawn(world.http.post(format!("{}/t/acme/hooks/portal", world.base)).body("[]").send());
    calls.recv().await.expect("called");
    let path = "/hooks/hubspot/4711";
    let batch = |parts: &[_]| sent(world.hook(path, "secret of the app", path, letters(parts)));
    let records = |tenant: &str| world.engines[tenant].counts().expect("open").records;
    assert_eq!(batch(&[("88", "contact/1", "+1", 1_000)]).await.0, 204, "it is nothing to the tenant without room");
    let both = [("77", "contact/1", "+1", 1_000), ("88", "contact/2", "+2", 1_000)];
    assert_eq!(batch(&both).await.0, 503, "it has to come again");
    assert_eq!((records("acme"), records("globex")), (0, 2));
    go.send(()).expect("it waits");
    assert_eq!(stuck.await.expect("no panic").expect("answered").status(), 204);
    assert_eq!(batch(&both).await.0, 204);
    assert_eq!((records("acme"), records("globex")), (1, 2));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_what_is_under_way() {
    let world = World::new().await;
    let (mut calls, go) = stick(&world, "acme");
    let under_way = tokio::spawn(world.http.post(format!("{}/hooks/portal", world.base)).body("[]").send());
    calls.recv().await.expect("called");
    let (base, http) = (world.base.clone(), world.http.clone());
    let stopping = tokio::spawn(world.stop());
    // Nothing new is accepted from now on, at the latest once the listener is gone.
    while http.get(format!("{base}/healthz")).send().await.is_ok() {}
    go.send(()).expect("it waits");
    assert_eq!(under_way.await.expect("no panic").expect("answered").status(), 204);
    stopping.await.expect("no panic");
}

#[tokio::test]
async fn bodies_have_so_much_room_and_no_more() {
    let world = World::with(Settings { body_bytes: 16 << 10, ..Settings::default() }).await;
    let (status, problem) = sent(world.post("/v1/changes", &json!("x".repeat(20 << 10)))).await;
    assert_eq!((status, problem["type"].as_str()), (503, Some("/problems/busy")));
    world.set("contact/1", "phone", json!("+1")).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_panics_is_answered_and_counted() {
    let world = World::new().await;
    let (calls, _go) = stick(&world, "acme");
    drop(calls);
    let response = world.http.post(format!("{}/hooks/portal", world.base)).body("[]").send().await.expect("answered");
    assert_eq!(response.status(), 500);
    let told = world.get("/metrics").send().await.expect("answered").text().await.expect("a text");
    assert!(told.contains("syncline_panics_total 1"), "{told}");
    world.set("contact/1", "phone", json!("+1")).await;
    world.stop().await;
}

#[tokio::test]
async fn readiness_knows_of_dead_tasks() {
    let world = World::new().await;
    let ready = || sent(world.get("/readyz"));
    assert_eq!(ready().await, (200, json!({"ready": true, "tenants_ready": 1, "tenants": 1})));
    let tenant = world.server.tenants().get(Some("acme")).expect("there");
    drop(tenant.health().begin("send to crm"));
    assert_eq!(ready().await, (503, json!({"ready": false, "tenants_ready": 0, "tenants": 1})));
    let (_, status) = sent(world.get("/v1/status")).await;
    assert_eq!(status["dead_tasks"], json!(["send to crm"]));
    let _running = tenant.health().begin("send to crm");
    assert_eq!(ready().await.0, 200);
    world.stop().await;
}

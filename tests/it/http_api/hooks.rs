//! Sides call.

use std::sync::Arc;

use syncline::{
    id::SideName,
    server::{Doors, Settings},
};

use super::world::{Letters, World, letters, sent, serve_store};

const SECRET: &str = "secret of acme";
const PATH: &str = "/hooks/portal";

#[tokio::test]
async fn a_call_is_answered_once_it_is_on_disk_and_a_repetition_changes_nothing() {
    let world = World::new().await;
    let body = letters(&[("77", "contact/1", "+1", 1_000), ("77", "contact/2", "+2", 1_000)]);
    let before = world.engine().last();
    let call = |id: &str| world.hook(PATH, SECRET, PATH, body.clone()).header("x-id", id);
    assert_eq!(sent(call("m1")).await.0, 204);
    assert_eq!(world.engine().subscribe().borrow().0, before.0 + 2, "both are durable");
    // Known by its id, then, under another id, by its content.
    assert_eq!(sent(call("m1")).await.0, 204);
    assert_eq!(sent(call("m2")).await.0, 204);
    assert_eq!(world.engine().last().0, before.0 + 2);
    assert_eq!(world.engine().counts().expect("open").duplicates, 2, "only the second got to the log");
    // The same id with other content is another call: nothing is lost by a careless sender.
    let other = letters(&[("77", "contact/3", "+3", 1_000)]);
    assert_eq!(sent(world.hook(PATH, SECRET, PATH, other).header("x-id", "m1")).await.0, 204);
    assert_eq!(world.engine().last().0, before.0 + 3);
    assert_eq!(*world.told.lock().expect("whole"), 3);
    let (_, metrics) = text(&world, "/metrics").await;
    let line = r#"syncline_webhook_events_total{outcome="new",source="letters",tenant="acme",type="edit"} 3"#;
    assert!(metrics.contains(line), "{metrics}");
    world.stop().await;
}

#[tokio::test]
async fn a_call_played_again_after_a_restart_changes_nothing() {
    // What was taken lately is known from memory; what was taken before that, from the log.
    let dir = tempfile::tempdir().expect("a directory");
    let body = letters(&[("77", "contact/1", "+1", 1_000)]);
    let mut last = None;
    for _ in 0..3 {
        let (world, _) = serve_store(dir.path(), None).await;
        let mut doors = Doors { public_url: Some("https://sync.example".to_owned()), ..Doors::default() };
        doors.hooks.insert(SideName::new("portal").expect("good"), Arc::new(Letters::new(SECRET, "77")));
        world.server.tenants().get(None).expect("there").set_doors(doors);
        assert_eq!(sent(world.hook(PATH, SECRET, PATH, body.clone()).header("x-id", "m1")).await.0, 204);
        let now = world.engine().last();
        assert_eq!(*last.get_or_insert(now), now, "it is in the log once");
        world.stop().await;
    }
}

async fn text(world: &World, path: &str) -> (u16, String) {
    let response = world.get(path).send().await.expect("answered");
    (response.status().as_u16(), response.text().await.expect("a body"))
}

#[tokio::test]
async fn what_is_not_genuine_is_refused_alike_whoever_is_called() {
    let world = World::new().await;
    let body = letters(&[("77", "contact/1", "+1", 1_000)]);
    let before = world.engine().last();
    let unsigned = world.http.post(format!("{}{PATH}", world.base)).body(body.clone());
    let refused = [
        unsigned,
        world.hook(PATH, "another secret", PATH, body.clone()),
        world.hook(PATH, SECRET, "/hooks/crm", body.clone()),
        world.hook("/hooks/portal?x=1", SECRET, PATH, body.clone()),
        world.hook("/hooks/nobody", SECRET, "/hooks/nobody", body.clone()),
        world.hook("/t/nobody/hooks/portal", SECRET, PATH, body.clone()),
        world.hook("/hooks/hubspot/1234", "secret of the app", "/hooks/hubspot/1234", body.clone()),
    ];
    let mut answers = Vec::new();
    for request in refused {
        answers.push(sent(request).await);
    }
    assert!(answers.iter().all(|answer| answer.0 == 401 && *answer == answers[0]), "{answers:?}");
    assert_eq!(world.engine().last(), before);
    // The address that is signed has the query, and the manifest's host whatever the request calls it.
    let host = world.hook("/hooks/portal?x=1", SECRET, "/hooks/portal?x=1", body).header("host", "evil.example");
    assert_eq!(sent(host).await.0, 204);
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_says_where_and_nothing_of_it_is_taken() {
    let world = World::new().await;
    let before = world.engine().last();
    let (status, problem) = sent(world.hook(PATH, SECRET, PATH, "[{\n]".to_owned())).await;
    assert_eq!((status, problem["type"].as_str()), (400, Some("/problems/bad-webhook")));
    assert_eq!(problem["detail"], "line 2");
    let half = letters(&[("77", "contact/1", "+1", 1_000), ("77", "nothing", "+1", 1_000)]);
    assert_eq!(sent(world.hook(PATH, SECRET, PATH, half)).await.0, 400);
    assert_eq!(world.engine().last(), before);
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(sent(world.hook(PATH, SECRET, PATH, large)).await.0, 413);
    world.stop().await;
}

#[tokio::test]
async fn an_apps_batch_is_split_by_account_and_unknown_ones_are_counted() {
    let world = World::of(&[("acme", "77"), ("globex", "88")], false, Settings::default()).await;
    let path = "/hooks/hubspot/4711";
    let body = letters(&[
        ("77", "contact/1", "+1", 1_000),
        ("88", "contact/1", "+2", 1_000),
        ("99", "contact/1", "+3", 1_000),
        ("88", "contact/2", "+4", 1_000),
    ]);
    assert_eq!(sent(world.hook(path, "secret of the app", path, body.clone())).await.0, 204);
    let records = |tenant: &str| world.engines[tenant].counts().expect("open").records;
    assert_eq!((records("acme"), records("globex")), (1, 2));
    let (_, metrics) = text(&world, "/metrics").await;
    assert!(metrics.contains(r#"syncline_webhook_unknown_accounts_total{source="letters"} 1"#), "{metrics}");
    // The whole batch again, as after an answer that was lost.
    assert_eq!(sent(world.hook(path, "secret of the app", path, body.clone())).await.0, 204);
    assert_eq!((records("acme"), records("globex")), (1, 2));
    // A tenant's own secret does not open the others' doors.
    assert_eq!(sent(world.hook(path, "secret of acme", path, body)).await.0, 401);
    // Only unknown accounts: still genuine, still answered well.
    let unknown = letters(&[("99", "contact/1", "+3", 1_000)]);
    assert_eq!(sent(world.hook(path, "secret of the app", path, unknown)).await.0, 204);
    world.stop().await;
}

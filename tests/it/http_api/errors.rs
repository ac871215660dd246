//! What goes wrong is told as a problem document, and tells no more than it must.

use serde_json::{Value as Json, json};
use syncline::{
    clock::Millis,
    server::{Problem, Settings},
};

use super::world::{World, change, parts, sent};

#[track_caller]
fn is_problem(response: &reqwest::Response, status: u16) {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn every_refusal_is_a_problem_document_whose_type_can_be_looked_up() {
    let world = World::new().await;
    world.set("contact/1", "phone", json!("+1")).await;
    let post = |body: &'static str| {
        let request = world.http.post(format!("{}/v1/changes", world.base)).bearer_auth(&world.token);
        request.header("content-type", "application/json; charset=utf-8").body(body)
    };
    let deep: &'static str = Box::leak("[".repeat(100).into_boxed_str());
    let cases = [
        (world.get("/nothing"), 404, "not-found"),
        (world.get("/v1/records/contact/9"), 404, "not-found"),
        (world.get("/v1/records/contact/1/why/nothing"), 404, "not-found"),
        (world.get("/v1/records/contact/%FF"), 400, "bad-request"),
        (world.http.post(format!("{}/hooks/%FF", world.base)), 400, "bad-request"),
        (world.http.post(format!("{}/hooks/hubspot/%FF", world.base)), 400, "bad-request"),
        (world.get("/v1/records/contact/1?at=yesterday"), 400, "bad-request"),
        (world.get("/v1/records/contact/1?when=now"), 400, "bad-request"),
        (world.get("/v1/records/contact?limit=0"), 400, "bad-request"),
        (world.get("/v1/changes?since=-1"), 400, "bad-request"),
        (world.http.delete(format!("{}/v1/changes", world.base)), 405, "method-not-allowed"),
        (world.http.get(format!("{}/v1/status", world.base)), 401, "unauthorized"),
        (post("{}").header("content-type", "text/plain"), 415, "unsupported-media-type"),
        (post("{}").header("content-encoding", "gzip"), 415, "unsupported-media-type"),
        (post(""), 400, "bad-json"),
        (post("{\"changes\": [}"), 400, "bad-json"),
        (post(deep), 400, "bad-json"),
        (post("{}"), 422, "invalid"),
        (post("{\"changes\": [], \"more\": 1}"), 422, "invalid"),
        (post("[]"), 422, "invalid"),
        (world.post("/v1/changes", &json!("x".repeat(1 << 20))), 413, "too-large"),
    ];
    for (request, status, name) in cases {
        let response = request.send().await.expect("answered");
        is_problem(&response, status);
        if status == 405 {
            assert_eq!(response.headers()["allow"], "GET,HEAD,POST");
        }
        let (_, problem) = parts(response).await;
        assert_eq!(
            (problem["type"].as_str(), problem["status"].as_u64()),
            (Some(&*format!("/problems/{name}")), Some(status.into()))
        );
        let told = world.http.get(format!("{}{}", world.base, problem["type"].as_str().expect("an address")));
        let told = told.send().await.expect("answered").text().await.expect("a text");
        assert!(told.starts_with(problem["title"].as_str().expect("a title")), "{told}");
    }
    let (_, problem) = sent(post("{\"changes\":\n  [}")).await;
    assert_eq!((problem["line"].as_u64(), problem["column"].as_u64()), (Some(2), Some(4)));
    world.stop().await;
}

#[tokio::test]
async fn whoever_has_no_token_learns_nothing_but_that() {
    let world = World::of(&[("acme", "77"), ("globex", "88")], false, Settings::default()).await;
    let acme = world.make_token("acme", "portal", None);
    let globex = world.make_token("globex", "portal", None);
    let revoked = world.make_token("acme", "portal", None);
    let tokens = world.tokens("acme");
    let id = tokens.list().expect("read").last().expect("made").id.clone();
    tokens.revoke(&id, Millis(1)).expect("known");
    let body = change("contact/1", "phone", json!("+1"));
    let made = world.http.post(format!("{}/t/acme/v1/changes", world.base)).bearer_auth(&acme).json(&body);
    assert_eq!(sent(made).await.0, 200);

    let mut cut = acme.clone();
    cut.pop();
    let mut answers: Vec<(String, u16, Json, Option<String>)> = Vec::new();
    for tenant in ["acme", "nobody"] {
        for record in ["contact/1", "contact/9"] {
            for token in [None, Some(&globex), Some(&revoked), Some(&cut)] {
                let mut request = world.http.get(format!("{}/t/{tenant}/v1/records/{record}", world.base));
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                let response = request.send().await.expect("answered");
                let asks = response.headers().get("www-authenticate").map(|value| format!("{value:?}"));
                let (status, body) = parts(response).await;
                answers.push((format!("{tenant} {record}"), status, body, asks));
            }
        }
    }
    let first = answers[0].clone();
    assert_eq!(first.1, 401);
    assert!(
        answers.iter().all(|answer| (answer.1, &answer.2, &answer.3) == (first.1, &first.2, &first.3)),
        "{answers:?}"
    );
    // And a good token opens its own tenant only, by a path that names it.
    let get = |path: &str| sent(world.http.get(format!("{}{path}", world.base)).bearer_auth(&acme));
    assert_eq!(get("/t/acme/v1/records/contact/1").await.0, 200);
    assert_eq!(get("/v1/records/contact/1").await.0, 401);
    world.stop().await;
}

#[tokio::test]
async fn no_value_and_no_token_is_in_what_operators_see() {
    const CANARY: &str = "canary-5551";
    let world = World::new().await;
    world.set("contact/1", "phone", json!(CANARY)).await;
    let bad = json!({"changes": [{"record": "contact/1", "set": {"age": CANARY, "stage": CANARY, "phone": [CANARY]}}]});
    let (_, problem) = sent(world.post("/v1/changes", &bad).header("syncline-user", CANARY)).await;
    let misplaced = json!({"changes": [{"record": "contact/1", "set": CANARY}]});
    let (_, other) = sent(world.post("/v1/changes", &misplaced)).await;
    for path in ["/metrics", "/readyz", "/healthz"] {
        let told = world.get(path).send().await.expect("answered").text().await.expect("a text");
        assert!(!told.contains(CANARY) && !told.contains(&world.token), "{path}: {told}");
    }
    assert!(!format!("{problem}{other}").contains(CANARY), "{problem}{other}");
    world.stop().await;
}

#[test]
fn a_problem_document_holds_only_what_applies() {
    let text = serde_json::to_string(&Problem::of(syncline::server::NOT_FOUND)).expect("JSON");
    assert_eq!(text, r#"{"type":"/problems/not-found","title":"There is nothing here.","status":404}"#);
}

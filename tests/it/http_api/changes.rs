//! Portal programs say what changed, and ask what there is.

use serde_json::json;

use super::world::{World, change, parts, sent};

#[tokio::test]
async fn a_change_shows_at_once_with_what_each_side_shows_of_it() {
    let world = World::new().await;
    let said = world.set("contact/1", "phone", json!("+1-555-0100")).await;
    assert_eq!(said["repeated"], false);
    assert_eq!(said["records"][0]["fields"]["phone"]["value"], "+1-555-0100");
    let (status, record) = sent(world.get("/v1/records/contact/1")).await;
    assert_eq!(status, 200);
    assert_eq!(record, said["records"][0], "the answer is the record as it is");
    let phone = &record["fields"]["phone"];
    assert_eq!((phone["side"].as_str(), phone["reason"].as_str()), (Some("portal"), Some("only")));
    assert_eq!(phone["sides"], json!({"crm": "waiting", "portal": "confirmed"}));
    assert_eq!(record["sides"]["crm"]["waits"], true);

    // The other side takes the write: the record says so, and its tag is another.
    let tag = |response: &reqwest::Response| response.headers()["etag"].to_str().expect("text").to_owned();
    let first = tag(&world.get("/v1/records/contact/1").send().await.expect("answered"));
    let (writes, _) = world.engine().due("crm", 10).expect("open");
    let taken = writes.into_iter().map(|write| (write, syncline::send::Outcome::Applied(Default::default()))).collect();
    world.engine().outcome(taken).expect("open");
    let known = world.get("/v1/records/contact/1").header("if-none-match", &first).send().await.expect("answered");
    assert_eq!(known.status(), 200, "it is not what the caller knows any more");
    let second = tag(&known);
    let (_, record) = parts(known).await;
    assert_eq!(record["fields"]["phone"]["sides"], json!({"crm": "confirmed", "portal": "confirmed"}));
    let again = world.get("/v1/records/contact/1").header("if-none-match", second).send().await.expect("answered");
    assert_eq!(again.status(), 304);

    let (_, history) = sent(world.get("/v1/records/contact/1/history?field=phone")).await;
    let kinds: Vec<_> = history["changes"].as_array().expect("a list").iter().map(|c| c["kind"].clone()).collect();
    assert_eq!(kinds, ["edit", "sent", "receipt"], "writes and receipts stand beside the edit");
    assert_eq!(history["changes"][0]["id"], said["changes"][0]["id"], "one id follows the change");
    let (_, why) = sent(world.get("/v1/records/contact/1/why/phone")).await;
    assert!(why["sentence"].as_str().expect("a text").starts_with("phone is \"+1-555-0100\""), "{why}");
    world.stop().await;
}

#[tokio::test]
async fn the_author_is_whom_the_token_or_the_request_names() {
    let world = World::new().await;
    let request = world.post("/v1/changes", &change("contact/1", "phone", json!("1")));
    let named = request.header("syncline-user", "ana").header("syncline-company", "company/9");
    let author = sent(named).await.1["records"][0]["fields"]["phone"]["author"].clone();
    assert_eq!(author, json!({"kind": "user", "id": "ana", "company": "company/9"}));

    let bound = world.make_token("acme", "portal", Some("contact/1"));
    let as_bound = || {
        world.http.post(format!("{}/v1/changes", world.base)).bearer_auth(&bound).json(&change(
            "contact/1",
            "phone",
            json!("2"),
        ))
    };
    let (_, said) = sent(as_bound().header("syncline-contact", "contact/1")).await;
    assert_eq!(said["records"][0]["fields"]["phone"]["author"]["contact"], "contact/1");
    for (name, value) in
        [("syncline-contact", "contact/2"), ("syncline-user", "ana"), ("syncline-company", "company/9")]
    {
        let (status, problem) = sent(as_bound().header(name, value)).await;
        assert_eq!((status, problem["type"].as_str()), (403, Some("/problems/forbidden")), "{name}");
    }
    world.stop().await;
}

#[tokio::test]
async fn all_faults_are_told_at_once_and_nothing_is_half_taken() {
    let world = World::new().await;
    let before = world.engine().last();
    let body = r#"{"changes": [
        {"record": "contact/1", "set": {"phone": "+1", "age": "secret", "nothing": 1, "stage": "secret"}},
        {"record": "contact/1", "set": {"phone": "+2", "age": 1.5, "age": 2}},
        {"record": "ship/1", "set": {"phone": "+1"}},
        {"record": "contact", "set": {"phone": "+1"}},
        {"record": "contact/2", "set": {}, "at_ms": 99999999999999},
        {"record": "contact/2", "set": {"existence": false, "phone": "+1"}, "version": "v1-00"}
    ]}"#;
    let request = world.get("/v1/changes").build().expect("a request");
    let post =
        world.http.post(request.url().clone()).bearer_auth(&world.token).header("content-type", "application/json");
    let (status, problem) = sent(post.body(body)).await;
    assert_eq!((status, problem["type"].as_str()), (422, Some("/problems/invalid")));
    let errors = problem["errors"].as_array().expect("a list");
    let told: Vec<String> = errors
        .iter()
        .map(|fault| {
            format!(
                "{} {} {}",
                fault["change"],
                fault["field"].as_str().unwrap_or("-"),
                fault["code"].as_str().unwrap_or("-")
            )
        })
        .collect();
    let due = [
        "0 age type",
        "0 nothing unknown",
        "0 stage choice",
        "1 - twice",
        "1 age type",
        "1 age twice",
        "2 - kind",
        "3 - record",
        "4 - empty",
        "4 - at",
        "5 existence unknown",
        "5 - twice",
        "5 - version",
    ];
    assert_eq!(told, due);
    assert!(!problem.to_string().contains("secret"), "{problem}");
    assert_eq!(world.engine().last(), before);

    world.stop().await;
}

#[tokio::test]
async fn several_changes_are_taken_together() {
    let world = World::new().await;
    let body = json!({"changes": [
        {"record": "contact/1", "set": {"phone": "+1", "note": 9007199254740993i64}},
        {"record": "contact/2", "set": {"phone": "+2"}, "at_ms": 1000},
        {"create": "contact", "set": {"age": 7}},
    ]});
    let (status, said) = sent(world.post("/v1/changes", &body)).await;
    assert_eq!((status, said["changes"].as_array().map(Vec::len)), (200, Some(3)));
    let records: Vec<_> =
        said["records"].as_array().expect("a list").iter().map(|record| record["record"].clone()).collect();
    assert_eq!(records.len(), 3);
    assert!(records[2].as_str().is_some_and(|record| record.starts_with("contact/portal:")), "{records:?}");
    assert_eq!(said["changes"][2]["record"], records[2]);
    assert_eq!(said["records"][0]["fields"]["note"]["value"].to_string(), "9007199254740993");
    assert_eq!(said["records"][1]["fields"]["phone"]["said_at_ms"], 1000);
    world.stop().await;
}

#[tokio::test]
async fn a_stale_version_is_answered_with_what_there_is_now() {
    let world = World::new().await;
    let seen = world.set("contact/1", "phone", json!("+1")).await["records"][0]["version"].clone();
    let current = world.set("contact/1", "phone", json!("+2")).await["records"][0].clone();
    let before = world.engine().last();
    let body = json!({"changes": [
        {"record": "contact/2", "set": {"phone": "+9"}},
        {"record": "contact/1", "set": {"phone": "+3"}, "version": seen},
    ]});
    let (status, problem) = sent(world.post("/v1/changes", &body)).await;
    assert_eq!((status, problem["type"].as_str()), (412, Some("/problems/stale-version")));
    assert_eq!(problem["current"], json!([current]));
    assert_eq!(world.engine().last(), before, "the other change was not taken either");
    let body = json!({"changes": [{"record": "contact/1", "set": {"phone": "+3"}, "version": current["version"]}]});
    assert_eq!(sent(world.post("/v1/changes", &body)).await.0, 200);
    world.stop().await;
}

#[tokio::test]
async fn a_request_with_a_key_is_said_once() {
    let world = World::new().await;
    let body = json!({"changes": [
        {"record": "contact/1", "set": {"phone": "+1"}},
        {"record": "contact/2", "set": {"phone": "+2"}},
    ]});
    let request = |body: &serde_json::Value| world.post("/v1/changes", body).header("idempotency-key", "order-17");
    let (_, first) = sent(request(&body)).await;
    let last = world.engine().last();
    let (status, again) = sent(request(&body)).await;
    assert_eq!((status, &again["repeated"]), (200, &json!(true)));
    assert_eq!((&again["changes"], &again["records"]), (&first["changes"], &first["records"]));
    assert_eq!(world.engine().last(), last);

    let (status, problem) = sent(request(&change("contact/1", "phone", json!("+9")))).await;
    assert_eq!((status, problem["type"].as_str()), (422, Some("/problems/key-reused")));
    assert_eq!(world.engine().last(), last);
    // Another caller's key of the same text is another key.
    let other = world.make_token("acme", "portal", None);
    let of_other = request(&change("contact/1", "phone", json!("+9"))).build().expect("a request");
    let post = world.http.post(of_other.url().clone()).bearer_auth(&other).header("idempotency-key", "order-17");
    assert_eq!(sent(post.json(&change("contact/1", "phone", json!("+9")))).await.1["repeated"], false);

    for bad in ["", "with space", &"x".repeat(256)] {
        let request = world.post("/v1/changes", &body).header("idempotency-key", bad);
        assert_eq!(sent(request).await.0, 400, "{bad}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_key_is_known_after_the_store_was_opened_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut answers = Vec::new();
    let mut token = None;
    for _ in 0..2 {
        let (served, text) = super::world::serve_store(dir.path(), token.take()).await;
        let post = served.http.post(format!("{}/v1/changes", served.base)).bearer_auth(&text);
        let post = post.header("idempotency-key", "k").json(&change("contact/1", "phone", json!("+1")));
        answers.push(sent(post).await.1);
        served.stop().await;
        token = Some(text);
    }
    assert_eq!(answers[0]["changes"], answers[1]["changes"]);
    assert_eq!(answers[1]["repeated"], true);
}

#[tokio::test]
async fn one_key_at_once_is_said_once() {
    let world = World::new().await;
    let before = world.engine().last();
    let request =
        || world.post("/v1/changes", &change("contact/1", "phone", json!("+1"))).header("idempotency-key", "k");
    let answers = futures_util::future::join_all((0..20).map(|_| sent(request()))).await;
    assert!(answers.iter().all(|(status, _)| [200, 409].contains(status)), "{answers:?}");
    assert_eq!(answers.iter().filter(|(_, body)| body["repeated"] == false).count(), 1);
    assert_eq!(world.engine().last().0, before.0 + 1);
    world.stop().await;
}

#[tokio::test]
async fn lists_come_in_pages_without_gap_or_repetition() {
    let world = World::new().await;
    for batch in 0..3 {
        let changes: Vec<_> = (0..100)
            .map(|at| json!({"record": format!("contact/{:03}", batch * 100 + at), "set": {"phone": "1"}}))
            .collect();
        assert_eq!(sent(world.post("/v1/changes", &json!({"changes": changes}))).await.0, 200);
    }
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let (_, page) = sent(world.get(&format!("/v1/records/contact?limit=70{after}"))).await;
        names.extend(page["records"].as_array().expect("a list").iter().map(|record| record["record"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let due: Vec<_> = (0..300).map(|at| json!(format!("contact/{at:03}"))).collect();
    assert_eq!(names, due);
    assert_eq!(sent(world.get("/v1/records/ship")).await.1, json!({"records": [], "next": null}));
    assert_eq!(sent(world.get("/v1/records/contact?after=ship/1")).await.0, 400);

    let mut events = 0;
    let mut since = 0;
    loop {
        let (_, page) = sent(world.get(&format!("/v1/changes?since={since}&limit=70"))).await;
        events += page["events"].as_array().expect("a list").iter().filter(|event| event["kind"] == "edit").count();
        since = page["next"].as_u64().expect("a number");
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(events, 300);
    world.stop().await;
}

#[tokio::test]
async fn a_person_settles_what_the_rule_leaves_open() {
    let world = World::new().await;
    let crm = world.make_token("acme", "crm", None);
    world.set("contact/1", "owner", json!("ana")).await;
    let by_crm = world.http.post(format!("{}/v1/changes", world.base)).bearer_auth(&crm);
    assert_eq!(sent(by_crm.json(&change("contact/1", "owner", json!("bob")))).await.0, 200);
    let (_, open) = sent(world.get("/v1/conflicts?disputed=true")).await;
    assert_eq!(open["conflicts"][0]["field"], "owner");
    let (_, parked) = sent(world.get("/v1/parked")).await;
    let due = json!([{"record": "contact/1", "field": "owner", "side": null, "kind": "disputed"}]);
    assert_eq!(parked, json!({"parked": due, "next": null}));

    let decide =
        |body: serde_json::Value| world.post("/v1/records/contact/1/decide", &body).header("syncline-user", "eva");
    let (status, verdict) = sent(decide(json!({"field": "owner", "value": "bob", "why": "asked them"}))).await;
    assert_eq!((status, &verdict["value"], &verdict["disputed"]), (200, &json!("bob"), &json!(false)));
    assert_eq!(verdict["winner"]["author"]["id"], "eva");
    assert_eq!(sent(world.get("/v1/conflicts")).await.1, json!({"conflicts": [], "more": false}));
    assert_eq!(sent(decide(json!({"field": "phone", "value": "1"}))).await.0, 404);
    let (status, problem) = sent(decide(json!({"field": "owner", "value": 17}))).await;
    assert_eq!((status, problem["errors"][0]["field"].as_str()), (422, Some("owner")));
    world.stop().await;
}

//! What a role may see and do over HTTP, and that it cannot tell what it may not see from what is not there.

use serde_json::{Value as Json, json};

use super::world::{World, change, parts, sent};

struct Roles {
    world: World,
    customer: String,
    clerk: String,
}

impl Roles {
    async fn new() -> Roles {
        let world = World::new().await;
        for (record, value) in [("contact/1", "mine"), ("contact/2", "theirs-canary")] {
            world.set(record, "phone", json!(value)).await;
            world.set(record, "owner", json!("owner-canary")).await;
        }
        let customer = world.make_token_for("acme", "portal", Some("customer"), Some("contact/1"));
        let clerk = world.make_token_for("acme", "portal", Some("clerk"), None);
        Roles { world, customer, clerk }
    }

    fn get(&self, token: &str, path: &str) -> reqwest::RequestBuilder {
        self.world.http.get(format!("{}{path}", self.world.base)).bearer_auth(token)
    }

    fn post(&self, token: &str, path: &str, body: &Json) -> reqwest::RequestBuilder {
        self.world.http.post(format!("{}{path}", self.world.base)).bearer_auth(token).json(body)
    }
}

#[tokio::test]
async fn a_customer_sees_its_own_record_and_of_it_what_its_role_gives() {
    let roles = Roles::new().await;
    let (status, own) = sent(roles.get(&roles.customer, "/v1/records/contact/1")).await;
    assert_eq!(status, 200);
    let fields: Vec<&str> = own["fields"].as_object().expect("fields").keys().map(String::as_str).collect();
    assert_eq!(fields, ["phone"]);
    // Every read: another's record is answered as none, and nothing that is hidden is in any answer.
    for path in ["", "/history", "/why/phone", "/why/owner"] {
        let other = sent(roles.get(&roles.customer, &format!("/v1/records/contact/2{path}"))).await;
        let missing = sent(roles.get(&roles.customer, &format!("/v1/records/contact/9{path}"))).await;
        assert_eq!(other, missing, "{path}");
        assert_eq!(other.0, 404, "{path}");
    }
    assert_eq!(sent(roles.get(&roles.customer, "/v1/records/contact/1/why/owner")).await.0, 404);
    for path in [
        "/v1/records/contact",
        "/v1/records/contact/1/history",
        "/v1/changes",
        "/v1/conflicts",
        "/v1/status",
        "/v1/parked",
    ] {
        let (status, answer) = sent(roles.get(&roles.customer, path)).await;
        assert!(
            !answer.to_string().contains("canary") && !answer.to_string().contains("contact/2"),
            "{path}: {answer}"
        );
        assert_eq!(status, if path.ends_with("status") || path.ends_with("parked") { 403 } else { 200 }, "{path}");
    }
    let (_, list) = sent(roles.get(&roles.customer, "/v1/records/contact")).await;
    assert_eq!(list["records"].as_array().map(Vec::len), Some(1));
    roles.world.stop().await;
}

#[tokio::test]
async fn a_stream_brings_a_customer_only_its_own() {
    let roles = Roles::new().await;
    let stream = roles.get(&roles.customer, "/v1/changes").header("accept", "text/event-stream");
    let mut response = stream.send().await.expect("answered");
    roles.world.set("contact/2", "phone", json!("late-canary")).await;
    roles.world.set("contact/1", "phone", json!("the last one")).await;
    let mut text = String::new();
    while !text.contains("the last one") {
        let chunk = response.chunk().await.expect("open").expect("more to come");
        text.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    assert!(text.contains("\"mine\"") && !text.contains("canary") && !text.contains("contact/2"), "{text}");
    drop(response);
    roles.world.stop().await;
}

#[tokio::test]
async fn a_customer_changes_what_its_role_gives_and_learns_nothing_by_trying() {
    let roles = Roles::new().await;
    let before = roles.world.engine().last();
    let try_to = |record: &str, field: &str| {
        sent(roles.post(&roles.customer, "/v1/changes", &change(record, field, json!("x"))))
    };
    // Others' records, and those that are not there.
    let (status, problem) = try_to("contact/2", "phone").await;
    assert_eq!((status, &problem), (404, &try_to("contact/9", "phone").await.1));
    assert_eq!(problem["errors"][0]["code"], "missing");
    // Fields that may not be written, may not even be read, and are not there.
    let mut told = Vec::new();
    for field in ["stage", "owner", "nothing"] {
        let (status, problem) = try_to("contact/1", field).await;
        assert_eq!(status, 422);
        told.push(problem.to_string().replace(field, "FIELD"));
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    // A stale version of another's record is not told apart from a missing record's either.
    let stale =
        |record: &str| json!({"changes": [{"record": record, "set": {"phone": "x"}, "version": "v1-1d9bb5d9"}]});
    let of = |record: &'static str| sent(roles.post(&roles.customer, "/v1/changes", &stale(record)));
    assert_eq!(of("contact/2").await, of("contact/9").await);
    let decide = |record: &str| {
        let path = format!("/v1/records/contact/{record}/decide");
        sent(roles.post(&roles.customer, &path, &json!({"field": "phone", "value": "x"})))
    };
    assert_eq!(decide("2").await, decide("9").await);
    assert_eq!(roles.world.engine().last(), before, "nothing of all this was taken");

    let (status, said) = try_to("contact/1", "phone").await;
    assert_eq!(status, 200);
    assert_eq!(said["records"][0]["fields"]["phone"]["author"]["contact"], "contact/1");
    roles.world.stop().await;
}

#[tokio::test]
async fn one_of_several_changes_that_may_not_be_made_holds_back_all() {
    let roles = Roles::new().await;
    let before = roles.world.engine().last();
    let body = json!({"changes": [
        {"record": "contact/1", "set": {"phone": "x"}},
        {"record": "contact/2", "set": {"phone": "x"}},
    ]});
    assert_eq!(sent(roles.post(&roles.customer, "/v1/changes", &body)).await.0, 404);
    assert_eq!(roles.world.engine().last(), before);
    roles.world.stop().await;
}

#[tokio::test]
async fn a_token_made_for_nobody_acts_for_whom_the_request_names() {
    let roles = Roles::new().await;
    let customers = roles.world.make_token_for("acme", "portal", Some("customer"), None);
    let get = |contact: Option<&str>| {
        let request = roles.get(&customers, "/v1/records/contact/2");
        match contact {
            Some(contact) => request.header("syncline-contact", contact),
            None => request,
        }
    };
    assert_eq!(sent(get(None)).await.0, 404, "nobody has no record of their own");
    assert_eq!(sent(get(Some("contact/1"))).await.0, 404);
    assert_eq!(sent(get(Some("contact/2"))).await.1["fields"]["phone"]["value"], "theirs-canary");

    let said = roles
        .post(&roles.clerk, "/v1/changes", &change("contact/2", "owner", json!("bob")))
        .header("syncline-user", "eva");
    let response = said.send().await.expect("answered");
    let (status, body) = parts(response).await;
    assert_eq!((status, body["records"][0]["fields"]["owner"]["author"]["id"].as_str()), (200, Some("eva")));
    roles.world.stop().await;
}

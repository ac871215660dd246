//! The same over HTTP: the matrix is made from the document of the API, so that a new address without a row fails.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};
use syncline::{
    clock::Millis,
    engine::{Engine, Handle},
    history::{Edit, Principal},
    metrics::Metrics,
    server::{NewToken, Server, Settings, Tenant, Tenants, Tokens},
    value::Value,
};
use tokio::{net::TcpListener, sync::oneshot};

use super::{
    ALLOWED, FIELDS, MANIFEST, MISSING, OTHER_RECORD, OTHER_TENANT, RECORDS, World, field, id, side, value_of,
};
use crate::http_api::world::client;

/// One call: its method, its address with the record named in it, and its body.
#[derive(Clone)]
struct Cell {
    method: String,
    path: String,
    body: Option<Json>,
}

/// The operations that the document of the API has.
fn operations() -> Vec<(String, String)> {
    let doc = serde_json::to_value(Server::openapi()).expect("it prints as JSON");
    let paths = doc["paths"].as_object().expect("paths");
    let of = |(path, methods): (&String, &Json)| {
        let methods = methods.as_object().expect("methods").keys();
        methods.map(|method| (method.clone(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// The calls of an operation about a record. An address with a part that is not known here has no row, and fails.
fn cells(method: &str, template: &str, record: &str) -> Vec<Cell> {
    let (kind, name) = record.split_once('/').expect("KIND/ID");
    let path = template.replace("{kind}", kind).replace("{id}", name);
    let paths = match path.contains("{field}") {
        true => FIELDS.iter().map(|field| path.replace("{field}", field)).collect(),
        false => vec![path.replace("{side}", "portal").replace("{app}", "54321").replace("{name}", "invalid")],
    };
    assert!(paths.iter().all(|path| !path.contains('{')), "{template} has a part without a row");
    let bodies = match (method, template) {
        ("get", _) => vec![None],
        ("post", "/v1/changes") => ["title", "phone", "margin", "nonsense"]
            .iter()
            .map(|field| Some(json!({ "changes": [{ "record": record, "set": { *field: "x" } }] })))
            .collect(),
        ("post", "/v1/records/{kind}/{id}/decide") => {
            let field = |field: &&str| Some(json!({ "field": field, "value": "x" }));
            FIELDS.iter().map(field).collect()
        }
        ("post", "/hooks/{side}" | "/hooks/hubspot/{app}") => vec![Some(json!([{ "record": record }]))],
        other => panic!("{other:?} has no row"),
    };
    let cell = |path: &String| {
        bodies.iter().map(|body| Cell { method: method.to_owned(), path: path.clone(), body: body.clone() }).collect()
    };
    let mut cells: Vec<Cell> = paths.iter().flat_map(|path| -> Vec<Cell> { cell(path) }).collect();
    if template == "/v1/records/{kind}/{id}/history" {
        let of_field = |field| Cell { method: "get".to_owned(), path: format!("{path}?field={field}"), body: None };
        cells.extend(FIELDS.iter().map(of_field));
    }
    cells
}

struct Service {
    base: String,
    tokens: Tokens,
    http: reqwest::Client,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Service {
    async fn of(world: &World) -> Service {
        let tokens = Tokens::open(&world.dir.path().join("store")).expect("no tokens");
        let tenants = Tenants::one(Tenant::new(Handle::new(world.engine.clone()), tokens.clone())).0;
        tenants.add(other_tenant(world));
        let server = Server::new(tenants, Metrics::new(), Settings::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            server.serve(listener, async { drop(stopped.await) }).await.expect("it serves");
        });
        Service { base, tokens, http: client(), stop, task }
    }

    fn token(&self, role: &str) -> String {
        let new = NewToken {
            side: side("portal"),
            role: Some(role.to_owned()),
            user: Some("u-ana".to_owned()),
            contact: Some(id("contact/ana")),
            company: Some(id("company/own")),
        };
        let (_, text) = self.tokens.create(new, Millis(0)).expect("made");
        text.expose_secret().to_owned()
    }

    /// Status, headers and body of an answer, as one text.
    async fn ask(&self, token: &str, cell: &Cell) -> String {
        let address = format!("{}{}", self.base, cell.path);
        let request = match &cell.body {
            None => self.http.get(address),
            Some(body) => self.http.post(address).json(body),
        };
        let response = request.bearer_auth(token).send().await.expect("answered");
        let (status, mut headers) = (response.status(), response.headers().clone());
        // They differ from call to call.
        ["date", "syncline-request"].iter().for_each(|name| drop(headers.remove(*name)));
        let body = response.text().await.expect("a whole body");
        format!("{status} {headers:?}\n{body}")
    }

    /// What the live stream tells until it has nothing more to tell.
    async fn stream(&self, token: &str) -> String {
        let request = self.http.get(format!("{}/v1/changes?since=0", self.base));
        let request = request.header("accept", "text/event-stream").bearer_auth(token);
        let mut response = request.send().await.expect("answered");
        let mut text = String::new();
        while let Ok(chunk) = tokio::time::timeout(Duration::from_millis(500), response.chunk()).await {
            let Some(chunk) = chunk.expect("a chunk") else { break };
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text
    }

    async fn stop(self) {
        drop(self.stop);
        self.task.await.expect("it ends well");
    }
}

/// A tenant beside the one whose tokens are shown, under a name that comes after it: addresses that name none mean the first.
fn other_tenant(world: &World) -> Tenant {
    let store = world.dir.path().join("other");
    let manifest = MANIFEST.replace("tenant: acme", "tenant: other");
    let (engine, _) = Engine::builder(&store).manifest(manifest).clock(world.clock.clone()).open().expect("a store");
    let edit = Edit::of(id(OTHER_RECORD), side("crm")).set(field("name"), Value::text(OTHER_TENANT));
    let edit = edit.set(field("risk"), Value::text(OTHER_TENANT));
    engine.edit(&Principal::operator(), edit).expect("it is said");
    let tokens = Tokens::open(&store).expect("no tokens");
    // Somebody may read it: the address is there, and its answer is what must not be given.
    let new = NewToken { side: side("portal"), role: None, user: None, contact: None, company: None };
    tokens.create(new, Millis(0)).expect("made");
    Tenant::new(Handle::new(engine), tokens)
}

/// What a role may read of a record.
fn allowed(role: &str, record: &str) -> &'static [&'static str] {
    let (_, records) = ALLOWED.iter().find(|(name, _)| *name == role).expect("a role of the table");
    records.iter().find(|(name, _)| *name == record).map_or(&[], |(_, fields)| fields)
}

#[track_caller]
fn holds_nothing_hidden(role: &str, what: &str, text: &str) {
    for (record, fields) in RECORDS {
        let may = allowed(role, record);
        for field in fields.iter().filter(|field| !may.contains(field)) {
            let canary = format!("canary.{record}.{field}");
            assert!(!text.contains(&canary), "{role}: {what} shows {canary}: {text}");
        }
    }
    assert!(!text.contains(OTHER_TENANT), "{role}: {what}");
    assert!(role == "staff" || !text.contains("canary.link") && !text.contains("canary.key"), "{role}: {what}: {text}");
}

#[tokio::test]
async fn no_address_shows_a_role_what_it_may_not_read() {
    let world = World::full();
    let service = Service::of(&world).await;
    for (role, records) in ALLOWED {
        let token = service.token(role);
        let mut all = service.stream(&token).await;
        holds_nothing_hidden(role, "the stream", &all);
        let ids = RECORDS.iter().map(|(record, _)| *record).chain([MISSING, "contact/zed"]);
        for (record, (method, template)) in ids.flat_map(|record| operations().into_iter().map(move |of| (record, of)))
        {
            for cell in cells(&method, &template, record) {
                // Edits that are taken would change what the next role is shown.
                if cell.method == "post" && !allowed(role, record).is_empty() {
                    continue;
                }
                let text = service.ask(&token, &cell).await;
                holds_nothing_hidden(role, &format!("{} {}", cell.method, cell.path), &text);
                all.push_str(&text);
            }
        }
        for (record, fields) in *records {
            for field in *fields {
                let value = value_of(record, field);
                assert!(all.contains(value.as_text().expect("a text")), "{role} reads {field} of {record}");
            }
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn an_address_of_a_record_out_of_reach_answers_as_of_one_that_is_not_there() {
    let world = World::full();
    let service = Service::of(&world).await;
    for (role, _) in ALLOWED.iter().filter(|(role, _)| *role != "staff") {
        let token = service.token(role);
        for (record, _) in RECORDS.iter().filter(|(record, _)| allowed(role, record).is_empty()) {
            let (kind, name) = record.split_once('/').expect("KIND/ID");
            let missing = format!("{kind}/missing");
            for (method, template) in operations() {
                let pairs = cells(&method, &template, record).into_iter().zip(cells(&method, &template, &missing));
                for (cell, free) in pairs {
                    let told = service.ask(&token, &cell).await.replace(&format!("{kind}/{name}"), &missing);
                    let due = service.ask(&token, &free).await;
                    // What the service counts of its own calls differs from call to call.
                    if template != "/metrics" {
                        assert_eq!(told, due, "{role}: {} {}", cell.method, cell.path);
                    }
                }
            }
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn no_address_of_another_tenant_answers_otherwise_than_that_of_a_tenant_that_is_not_there() {
    let world = World::full();
    let service = Service::of(&world).await;
    let operator = NewToken { side: side("portal"), role: None, user: None, contact: None, company: None };
    let (_, operator) = service.tokens.create(operator, Millis(0)).expect("made");
    let roles = ALLOWED.iter().map(|(role, _)| service.token(role));
    for token in roles.chain([operator.expose_secret().to_owned()]) {
        for (method, template) in operations() {
            // Of all tenants, or of none.
            if !template.starts_with("/v1/") && template != "/hooks/{side}" {
                continue;
            }
            for record in [OTHER_RECORD, "contact/ana", MISSING] {
                for cell in cells(&method, &template, record) {
                    let of = |tenant: &str| Cell { path: format!("/t/{tenant}{}", cell.path), ..cell.clone() };
                    let told = service.ask(&token, &of("other")).await;
                    assert!(!told.contains(OTHER_TENANT), "{} {}: {told}", cell.method, cell.path);
                    let due = service.ask(&token, &of("nobody")).await;
                    assert_eq!(told, due, "{} {}", cell.method, cell.path);
                }
            }
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn an_edit_over_http_is_checked_whole_and_told_by_field() {
    let world = World::full();
    let service = Service::of(&world).await;
    let token = service.token("customer");
    let set = json!({ "phone": "!", "risk": "x", "nonsense": "x" });
    let body = json!({ "changes": [{ "record": "contact/ana", "set": set }] });
    let cell = Cell { method: "post".to_owned(), path: "/v1/changes".to_owned(), body: Some(body) };
    let text = service.ask(&token, &cell).await;
    assert!(text.starts_with("422 "), "{text}");
    let (_, body) = text.split_once('\n').expect("headers and body");
    let body: Json = serde_json::from_str(body).expect("JSON");
    let told: Vec<_> = body["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|fault| (fault["field"].clone(), fault["code"].clone()))
        .collect();
    let due = [("nonsense", "unknown"), ("phone", "pattern"), ("risk", "unknown")];
    assert_eq!(told, due.map(|(field, code)| (json!(field), json!(code))));
    service.stop().await;
}

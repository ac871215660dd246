//! The document of the API is the API: every address is in it, and what handlers answer is what it says.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::world::{World, change, letters, parts};

/// Every address with its methods, as a reader of the README would expect it.
const OPERATIONS: &[&str] = &[
    "get /healthz",
    "get /metrics",
    "get /problems/{name}",
    "get /readyz",
    "get /v1/changes",
    "get /v1/conflicts",
    "get /v1/openapi.json",
    "get /v1/parked",
    "get /v1/records/{kind}",
    "get /v1/records/{kind}/{id}",
    "get /v1/records/{kind}/{id}/history",
    "get /v1/records/{kind}/{id}/why/{field}",
    "get /v1/status",
    "post /hooks/hubspot/{app}",
    "post /hooks/{side}",
    "post /v1/changes",
    "post /v1/records/{kind}/{id}/decide",
];

async fn document(world: &World) -> Json {
    let (status, doc) = parts(world.get("/v1/openapi.json").send().await.expect("answered")).await;
    assert_eq!(status, 200);
    doc
}

fn operations(doc: &Json) -> impl Iterator<Item = (&str, &str, &Json)> {
    let paths = doc["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, methods)| {
        methods
            .as_object()
            .expect("methods")
            .iter()
            .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

#[tokio::test]
async fn every_address_is_in_the_document_and_says_what_it_is_for() {
    let world = World::new().await;
    let doc = document(&world).await;
    let told: BTreeSet<String> = operations(&doc).map(|(path, method, _)| format!("{method} {path}")).collect();
    assert_eq!(told, OPERATIONS.iter().map(|operation| (*operation).to_owned()).collect());
    for (path, method, operation) in operations(&doc) {
        let at = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{at}");
        let named: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        let due: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(named, due, "{at}");
        assert_eq!(operation.get("security").is_some(), path.starts_with("/v1/") && path != "/v1/openapi.json", "{at}");
    }
    let mut dangling = Vec::new();
    references(&doc, &mut |reference| {
        let there = reference.strip_prefix('#').and_then(|pointer| doc.pointer(pointer));
        dangling.extend(there.is_none().then(|| reference.to_owned()));
    });
    assert!(dangling.is_empty(), "{dangling:?}");
    world.stop().await;
}

fn references(node: &Json, found: &mut dyn FnMut(&str)) {
    match node {
        Json::Object(members) => members.iter().for_each(|(name, member)| match (name.as_str(), member) {
            ("$ref", Json::String(reference)) => found(reference),
            _ => references(member, found),
        }),
        Json::Array(elements) => elements.iter().for_each(|element| references(element, found)),
        _ => {}
    }
}

/// What of a value is not as its schema says.
fn misfits(doc: &Json, schema: &Json, value: &Json, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let there = doc.pointer(reference.trim_start_matches('#')).expect("it resolves");
        return misfits(doc, there, value, at, found);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Json| {
            let mut found = Vec::new();
            misfits(doc, choice, value, at, &mut found);
            found.is_empty()
        };
        if choices.iter().filter(fits).count() != 1 {
            found.push(format!("{at}: not exactly one of the choices"));
        }
        return;
    }
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    };
    let fits = match &schema["type"] {
        Json::String(name) => is(name),
        Json::Array(names) => names.iter().any(|name| is(name.as_str().expect("a name"))),
        _ => true,
    };
    if !fits {
        found.push(format!("{at}: not a {}", schema["type"]));
    }
    if let Some(choices) = schema["enum"].as_array().filter(|choices| !choices.contains(value)) {
        found.push(format!("{at}: not one of {choices:?}"));
    }
    if let Json::Object(members) = value {
        for required in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(required.as_str().expect("a name")) {
                found.push(format!("{at}: no {required}"));
            }
        }
        for (name, member) in members {
            let at = format!("{at}.{name}");
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(schema), _) => misfits(doc, schema, member, &at, found),
                (None, Some(schema)) if schema.is_object() => misfits(doc, schema, member, &at, found),
                // A schema that says nothing of members, as that of any value, allows all.
                (None, _) if schema.get("properties").is_none() => {}
                (None, _) => found.push(format!("{at}: not in the document")),
            }
        }
    }
    if let (Json::Array(elements), Some(schema)) = (value, schema.get("items")) {
        elements.iter().for_each(|element| misfits(doc, schema, element, &format!("{at}[]"), found));
    }
}

/// Requests that make each address answer well, and in the ways in which it refuses.
fn requests(world: &World, path: &str, method: &str) -> Vec<reqwest::RequestBuilder> {
    let filled = |id: &str| {
        path.replace("{kind}", "contact")
            .replace("{id}", id)
            .replace("{field}", "owner")
            .replace("{name}", "stale-version")
    };
    let url = |path: &str| format!("{}{path}", world.base);
    let stale = json!({"changes": [{"record": "contact/1", "set": {"phone": "7"}, "version": "v1-1d9bb5d9"}]});
    match (method, path) {
        ("get", _) => vec![
            world.get(&filled("1")),
            world.get(&filled("9")),
            world.get(&format!("{}?at=never&limit=0", filled("1"))),
            world.http.get(url(&filled("1"))),
        ],
        (_, "/hooks/{side}") => {
            let body = letters(&[("77", "contact/7", "+7", 1_000)]);
            vec![
                world.hook("/hooks/portal", "secret of acme", "/hooks/portal", body),
                world.http.post(url("/hooks/portal")),
                world.hook("/hooks/portal", "secret of acme", "/hooks/portal", "[".to_owned()),
            ]
        }
        (_, "/hooks/hubspot/{app}") => {
            let (path, body) = ("/hooks/hubspot/4711", letters(&[("77", "contact/7", "+7", 2_000)]));
            vec![world.hook(path, "secret of the app", path, body), world.http.post(url(path))]
        }
        (_, "/v1/changes") => vec![
            world.post(path, &change("contact/1", "phone", json!("+2"))),
            world.post(path, &change("contact/1", "age", json!("x"))),
            world.post(path, &stale),
            world.post(path, &json!([])),
            world.http.post(url(path)).json(&json!({})),
        ],
        _ => vec![
            world.post(&filled("1"), &json!({"field": "owner", "value": "bob"})),
            world.post(&filled("9"), &json!({"field": "owner", "value": "bob"})),
            world.post(&filled("1"), &json!({"field": "owner", "value": 5})),
        ],
    }
}

#[tokio::test]
async fn what_handlers_answer_is_what_the_document_says() {
    let world = World::new().await;
    world.set("contact/1", "phone", json!("+1")).await;
    world.set("contact/1", "owner", json!("ana")).await;
    let crm = world.make_token("acme", "crm", None);
    let by_crm = world.http.post(format!("{}/v1/changes", world.base)).bearer_auth(&crm);
    let response = by_crm.json(&change("contact/1", "owner", json!("bob"))).send().await.expect("answered");
    assert_eq!(response.status(), 200);
    let doc = document(&world).await;
    let mut seen = BTreeSet::new();
    for (path, method, operation) in operations(&doc) {
        let mut well = 0;
        for request in requests(&world, path, method) {
            let response = request.send().await.expect("answered");
            let status = response.status();
            well += usize::from(status.is_success());
            let media = response.headers().get("content-type").map(|media| media.to_str().expect("text").to_owned());
            let told = &operation["responses"][status.as_str()];
            assert!(told.is_object(), "{method} {path} answers {status}, of which the document says nothing");
            let text = response.text().await.expect("a body");
            let content = told["content"].as_object();
            let Some(media) = media else {
                assert!(text.is_empty() && content.is_none(), "{method} {path} {status}");
                continue;
            };
            let plain = |media: &str| media.split(';').next().unwrap_or_default().trim().to_owned();
            let (_, content) = content
                .and_then(|content| content.iter().find(|(told, _)| plain(told) == plain(&media)))
                .unwrap_or_else(|| panic!("{method} {path} {status} answers {media}"));
            if plain(&media).ends_with("json") && path != "/v1/openapi.json" {
                let mut found = Vec::new();
                let value = serde_json::from_str(&text).expect("JSON");
                misfits(&doc, &content["schema"], &value, "answer", &mut found);
                assert!(found.is_empty(), "{method} {path} {status}: {found:?}\n{text}");
            }
            seen.insert(status.as_u16());
        }
        assert!(well > 0, "{method} {path} never answered well");
    }
    assert!(seen.is_superset(&[200, 400, 401, 404, 422].into()), "{seen:?}");
    world.stop().await;
}

#[test]
fn a_schema_that_does_not_fit_is_found() {
    let doc = json!({"components": {"schemas": {"A": {
        "type": "object", "required": ["a"], "properties": {"a": {"type": ["string", "null"]}}
    }}}});
    let schema = json!({"$ref": "#/components/schemas/A"});
    let found = |value: Json| {
        let mut found = Vec::new();
        misfits(&doc, &schema, &value, "x", &mut found);
        found.len()
    };
    assert_eq!(
        [json!({"a": "b"}), json!({"a": null}), json!({}), json!({"a": 1}), json!({"a": "b", "c": 1})].map(found),
        [0, 0, 1, 1, 1]
    );
}

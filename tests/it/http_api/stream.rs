//! Live streams.

use std::time::Duration;

use serde_json::{Value as Json, json};
use syncline::{
    clock::Millis,
    history::{Edit, Principal},
    id::{FieldName, RecordId, SideName},
    server::Settings,
    value::Value,
};

use super::world::{World, sent};

/// A client of one stream.
struct Client {
    response: reqwest::Response,
    text: String,
}

/// What a stream brought.
#[derive(Debug)]
enum Told {
    Event { id: u64, name: String, data: Json },
    Comment,
    End,
}

impl Client {
    async fn open(world: &World, path: &str, last: Option<u64>) -> Client {
        let mut request = world.get(path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.expect("answered");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Client { response, text: String::new() }
    }

    async fn next(&mut self) -> Told {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return told(&block);
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk).expect("text")),
                Ok(None) | Err(_) => return Told::End,
            }
        }
    }
}

fn told(block: &str) -> Told {
    let member = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    match member("data") {
        Some(data) => Told::Event {
            id: member("id").and_then(|id| id.parse().ok()).unwrap_or_default(),
            name: member("event").unwrap_or_default().to_owned(),
            data: serde_json::from_str(data).expect("JSON"),
        },
        None => Told::Comment,
    }
}

fn say(world: &World, number: u64) {
    let edit = Edit {
        at: Some(Millis(1_000 + number as i64)),
        ..Edit::of(RecordId::new("contact/1").expect("good"), SideName::new("portal").expect("good"))
    };
    let edit = edit.set(FieldName::new("phone").expect("good"), Value::text(&number.to_string()));
    world.engine().edit(&Principal::operator(), edit).expect("taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_cut_a_hundred_times_misses_and_doubles_nothing() {
    let world = World::new().await;
    let begin = world.engine().last().0;
    const EDITS: u64 = 600;
    let engine = world.engine().clone();
    let writer = tokio::task::spawn_blocking(move || {
        for number in 0..EDITS {
            let edit = Edit {
                at: Some(Millis(1_000 + number as i64)),
                ..Edit::of(RecordId::new("contact/1").expect("good"), SideName::new("portal").expect("good"))
            };
            let edit = edit.set(FieldName::new("phone").expect("good"), Value::text(&number.to_string()));
            engine.edit(&Principal::operator(), edit).expect("taken");
        }
    });
    let (mut last, mut cuts, mut values, mut seqs) = (begin, 0u64, Vec::new(), Vec::new());
    while (values.len() as u64) < EDITS {
        let mut client = Client::open(&world, "/v1/changes", Some(last)).await;
        // Cut after ever another number of events, some of them half-read.
        let most = if cuts < 100 { 1 + cuts % 11 } else { u64::MAX };
        for _ in 0..most {
            let Told::Event { id, name, data } = client.next().await else { break };
            assert_eq!((name.as_str(), data["seq"].as_u64()), ("change", Some(id)));
            last = id;
            seqs.push(id);
            if data["kind"] == "edit" {
                values.push(data["fields"]["phone"].as_str().expect("a text").to_owned());
            }
            if values.len() as u64 == EDITS {
                break;
            }
        }
        cuts += 1;
    }
    assert!(cuts >= 100, "{cuts} cuts");
    let due: Vec<String> = (0..EDITS).map(|number| number.to_string()).collect();
    assert_eq!(values, due, "each edit once, in order");
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "no event is passed over");
    writer.await.expect("no panic");
    world.stop().await;
}

#[tokio::test]
async fn a_stream_brings_what_comes_and_comments_while_nothing_does() {
    let settings = Settings { keep_alive: Duration::from_millis(50), ..Settings::default() };
    let world = World::with(settings).await;
    world.set("contact/1", "phone", json!("before")).await;
    let mut client = Client::open(&world, "/v1/changes?since=now", None).await;
    assert!(matches!(client.next().await, Told::Comment), "nothing has happened since");
    say(&world, 7);
    loop {
        match client.next().await {
            Told::Comment => {}
            Told::Event { data, .. } => {
                assert_eq!(data["fields"]["phone"], "7");
                break;
            }
            Told::End => panic!("the stream ended"),
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_the_service() {
    let settings = Settings { keep_alive: Duration::from_millis(50), streams_by_tenant: 2, ..Settings::default() };
    let world = World::with(settings).await;
    let mut first = Client::open(&world, "/v1/changes?since=now", None).await;
    let _second = Client::open(&world, "/v1/changes?since=now", None).await;
    let third = world.get("/v1/changes?since=now").header("accept", "text/event-stream");
    let (status, problem) = sent(third).await;
    assert_eq!((status, problem["type"].as_str()), (429, Some("/problems/too-many-requests")));

    let tokens = world.tokens("acme");
    let id = tokens.list().expect("read")[0].id.clone();
    tokens.revoke(&id, Millis(1)).expect("known");
    while !matches!(first.next().await, Told::End) {}

    let token = world.make_token("acme", "portal", None);
    let request = world.http.get(format!("{}/v1/changes?since=now", world.base)).bearer_auth(token);
    // The second one goes too; its place is free once it has.
    let mut request = request.header("accept", "text/event-stream");
    let response = loop {
        let again = request.try_clone().expect("no body");
        let response = request.send().await.expect("answered");
        if response.status() == 200 {
            break response;
        }
        request = again;
    };
    let mut third = Client { response, text: String::new() };
    let stopping = tokio::spawn(world.stop());
    while !matches!(third.next().await, Told::End) {}
    stopping.await.expect("no panic");
}

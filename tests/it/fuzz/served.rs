//! The API and the hooks: addresses, heads and bodies, through the router and as bytes on a socket.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header},
};
use secrecy::ExposeSecret;
use serde_json::Value as Json;
use syncline::{
    clock::Millis,
    engine::{Engine, Handle},
    id::SideName,
    metrics::Metrics,
    send::chance::Chance,
    server::{Doors, KINDS, NewToken, Server, Settings, Tenant, Tenants, Tokens},
    sim::disk::SimDisk,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::timeout,
};
use tower::ServiceExt;

use super::{
    Target,
    mutate::{mutated, samples},
};
use crate::http_api::world::{Letters, MANIFEST, signature};

/// What no answer is larger than.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(4);

/// A service in this process, and on a socket.
pub struct Api {
    runtime: Runtime,
    router: Router,
    engine: Engine,
    token: String,
    address: SocketAddr,
    sound: Vec<Vec<u8>>,
    _dir: TempDir,
}

impl Target for Api {
    const NAME: &'static str = "the API";
    const SHARE: u64 = 9_000;
    const BATCH: u64 = 300;

    fn new(_: &mut Chance) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let dir = TempDir::new().expect("a directory");
        let manifest = MANIFEST.replace("TENANT", "acme");
        let disk = SimDisk::new().shared();
        let (engine, _) = Engine::builder(dir.path()).disk(disk).manifest(manifest).open().expect("a store");
        let tokens = Tokens::open(dir.path()).expect("no tokens");
        let side = SideName::new("portal").expect("good");
        let new = NewToken { side: side.clone(), role: None, user: None, contact: None, company: None };
        let (_, token) = tokens.create(new, Millis(0)).expect("made");
        let tenant = Tenant::new(Handle::new(engine.clone()), tokens);
        let mut doors = Doors { public_url: Some("https://sync.example".to_owned()), ..Doors::default() };
        doors.hooks.insert(side, Arc::new(Letters::new("secret of acme", "77")));
        tenant.set_doors(doors);
        let server = Server::new(Tenants::one(tenant).0, Metrics::new(), Settings::default());
        let router = server.router();
        let address = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
            address
        });
        let sound = samples(include_str!("../../fuzz/api.txt"));
        let token = token.expose_secret().to_owned();
        Api { runtime, router, engine, token, address, sound, _dir: dir }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        let sound = chance.pick(&self.sound).clone();
        if chance.below(3) > 0 {
            return mutated(&sound, &self.sound, chance);
        }
        // Only the body.
        let body = sound.iter().position(|byte| matches!(byte, b'{' | b'[')).unwrap_or(sound.len());
        let (head, body) = sound.split_at(body);
        [head, &mutated(body, &self.sound, chance)].concat()
    }

    fn feed(&mut self, input: &[u8], chance: &mut Chance) {
        if chance.below(10) == 0 {
            return self.raw(input, chance);
        }
        let Some(request) = self.request(input, chance) else { return };
        let (method, uri) = (request.method().clone(), request.uri().clone());
        self.runtime.block_on(async {
            let answered = timeout(PATIENCE, self.router.clone().oneshot(request)).await.expect("answered in time");
            let response = answered.expect("a router does not fail");
            let (parts, body) = response.into_parts();
            let body = timeout(PATIENCE, to_bytes(body, ANSWER_BYTES_MAX)).await.expect("in time").expect("bounded");
            self.judge(&method, &uri, &Response::from_parts(parts, body.to_vec()));
        });
    }
}

impl Api {
    /// The request of `METHOD PATH BODY`; `None` where no HTTP library lets it through.
    fn request(&self, input: &[u8], chance: &mut Chance) -> Option<Request<Body>> {
        let (line, body) = match input.iter().position(|byte| matches!(byte, b'{' | b'[')) {
            Some(at) => input.split_at(at),
            None => (input, &[] as &[u8]),
        };
        let mut words = line.splitn(2, |byte| *byte == b' ');
        let method = Method::from_bytes(words.next()?).ok()?;
        let uri = Uri::try_from(words.next()?.trim_ascii()).ok()?;
        let mut request = Request::new(Body::from(body.to_vec()));
        let is_hook = uri.path().contains("/hooks/");
        let url = format!("https://sync.example{}", uri.path_and_query().map_or("/", |path| path.as_str()));
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if chance.below(20) > 0 {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", self.token)).ok()?);
        }
        if is_hook && chance.below(20) > 0 {
            let signed = signature("secret of acme", &url, body);
            headers.insert(HeaderName::from_static("x-signature"), HeaderValue::from_str(&signed).ok()?);
        }
        if chance.below(4) == 0 {
            let names =
                ["idempotency-key", "syncline-user", "syncline-contact", "if-none-match", "content-encoding", "x-id"];
            let value = HeaderValue::from_bytes(&mutated(b"contact/1", &self.sound, chance)).ok()?;
            headers.insert(HeaderName::from_static(chance.pick::<&str>(&names)), value);
        }
        Some(request)
    }

    fn judge(&self, method: &Method, uri: &Uri, response: &Response<Vec<u8>>) {
        let (status, body) = (response.status().as_u16(), response.body());
        let told = || format!("{method} {uri}: {status} {}", String::from_utf8_lossy(body));
        assert!(!body.windows(self.token.len()).any(|part| part == self.token.as_bytes()), "the token comes back");
        assert!(response.headers().contains_key("syncline-request"), "{}", told());
        match status {
            200 | 204 | 304 => {
                if *method == Method::POST && uri.path().ends_with("/v1/changes") {
                    let json: Json = serde_json::from_slice(body).expect("JSON");
                    let seqs = json["changes"]
                        .as_array()
                        .expect("what was taken")
                        .iter()
                        .filter_map(|said| said["seq"].as_u64());
                    seqs.for_each(|seq| {
                        assert!(seq <= self.engine.subscribe().borrow().0, "{} is not on disk", told())
                    });
                }
            }
            400..=422 => {
                let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
                assert_eq!(kind, Some(b"application/problem+json" as &[u8]), "{}", told());
                if *method != Method::HEAD {
                    let problem: BTreeMap<String, Json> = serde_json::from_slice(body).expect("a problem document");
                    let kind =
                        problem["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/")).unwrap_or_default();
                    let known = KINDS.iter().find(|known| known.name == kind);
                    assert_eq!(known.map(|known| known.status), Some(status), "{}", told());
                }
            }
            _ => panic!("{}", told()),
        }
    }

    /// The bytes as they are, on a connection of their own; a good request is answered on the next one.
    fn raw(&self, input: &[u8], chance: &mut Chance) {
        let head = format!(
            "HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: ",
            self.token
        );
        let at = input.iter().position(|byte| matches!(byte, b'{' | b'[')).unwrap_or(input.len());
        let (line, body) = input.split_at(at);
        let whole = [line, b" ", head.as_bytes(), body.len().to_string().as_bytes(), b"\r\n\r\n", body].concat();
        let bytes = if chance.below(2) == 0 { whole } else { mutated(&whole, &self.sound, chance) };
        self.runtime.block_on(async {
            let told = timeout(PATIENCE, self.exchange(&bytes)).await.expect("answered or hung up on in time");
            let told = String::from_utf8_lossy(&told);
            let is_answer = told.is_empty() || told.starts_with("HTTP/1.1 ") || told.starts_with("HTTP/1.0 ");
            assert!(is_answer && !told.starts_with("HTTP/1.1 5"), "{told}");
            let good = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            let told = timeout(PATIENCE, self.exchange(good)).await.expect("answered in time");
            assert!(told.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&told));
        });
    }

    async fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        let (mut reads, mut writes) = stream.split();
        let mut told = Vec::new();
        let write = async {
            // Whoever is hung up on in the middle of a request may meet a reset; so may whoever reads the answer to it.
            let sent = writes.write_all(bytes).await;
            if sent.is_ok() { writes.shutdown().await } else { sent }
        };
        let (wrote, read) = tokio::join!(write, reads.read_to_end(&mut told));
        assert!(read.is_ok() || wrote.is_err() || told.is_empty() || told.starts_with(b"HTTP/1."), "{read:?}");
        told
    }
}

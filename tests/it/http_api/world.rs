//! A service of one tenant, or of several, on the loopback, and what tests ask of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};
use syncline::{
    clock::Millis,
    engine::{Engine, Handle},
    event::{Author, Draft, Kind, Origin},
    id::{FieldName, Hashing, RecordId, SideName},
    metrics::Metrics,
    server::{Account, Call, Doors, Heard, Hook, NewToken, Refusal, Server, Settings, Tenant, Tenants, Tokens},
    value::Value,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

pub const MANIFEST: &str = "\
syncline: 1
tenant: TENANT
public_url: https://sync.example
sides:
  crm: { connector: in_process }
  portal: { connector: in_process }
defaults: { rule: last_write_wins }
records:
  contact:
    fields:
      phone: { type: string }
      age: { type: integer }
      stage: { type: choice, of: [lead, customer] }
      note: { type: any }
      owner: { type: string, rule: manual }
permissions:
  customer: { rows: { contact: own }, read: [contact.phone, contact.stage], write: [contact.phone] }
  clerk: { rows: { contact: all }, read: [contact.phone, contact.owner], write: [contact.owner, contact.phone] }
";

pub struct World {
    pub base: String,
    pub engines: BTreeMap<String, Engine>,
    pub server: Server,
    pub http: reqwest::Client,
    pub token: String,
    pub told: Arc<Mutex<u32>>,
    tokens: BTreeMap<String, Tokens>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    dir: TempDir,
}

pub fn client() -> reqwest::Client {
    // Another test may have been faster; one provider is as good as another.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("there is a provider already");
    }
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

impl World {
    pub async fn new() -> World {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> World {
        Self::of(&[("acme", "77")], true, settings).await
    }

    /// Tenants by name and account.
    pub async fn of(names: &[(&str, &str)], single: bool, settings: Settings) -> World {
        let dir = tempfile::tempdir().expect("a directory");
        let told = Arc::new(Mutex::new(0));
        let (mut engines, mut all) = (BTreeMap::new(), BTreeMap::new());
        let mut made = Vec::new();
        for (name, account) in names {
            let store = dir.path().join(name);
            let manifest = MANIFEST.replace("TENANT", name);
            let (engine, _) = Engine::builder(&store).manifest(manifest).open().expect("a store");
            let tokens = Tokens::open(&store).expect("no tokens");
            let tenant = Tenant::within(Handle::new(engine.clone()), tokens.clone(), &settings);
            tenant.set_doors(doors(name, account, told.clone()));
            engines.insert((*name).to_owned(), engine);
            all.insert((*name).to_owned(), tokens);
            made.push(tenant);
        }
        let tenants = match single {
            true => Tenants::one(made.remove(0)).0,
            false => {
                let tenants = Tenants::many();
                made.into_iter().for_each(|tenant| drop(tenants.add(tenant)));
                tenants
            }
        };
        let server = Server::new(tenants, Metrics::new(), settings);
        let (base, stop, task) = listen(&server).await;
        let http = client();
        let mut world = World { base, engines, server, http, token: String::new(), told, tokens: all, stop, task, dir };
        world.token = world.make_token(names[0].0, "portal", None);
        world
    }

    pub fn engine(&self) -> &Engine {
        &self.engines["acme"]
    }

    /// A tenant's store.
    pub fn store(&self, tenant: &str) -> std::path::PathBuf {
        self.dir.path().join(tenant)
    }

    pub fn tokens(&self, tenant: &str) -> &Tokens {
        &self.tokens[tenant]
    }

    pub fn make_token(&self, tenant: &str, side: &str, contact: Option<&str>) -> String {
        self.make_token_for(tenant, side, None, contact)
    }

    pub fn make_token_for(&self, tenant: &str, side: &str, role: Option<&str>, contact: Option<&str>) -> String {
        let new = NewToken {
            side: SideName::new(side).expect("good"),
            role: role.map(str::to_owned),
            user: None,
            contact: contact.map(|contact| RecordId::new(contact).expect("good")),
            company: None,
        };
        let (_, text) = self.tokens[tenant].create(new, Millis(0)).expect("made");
        text.expose_secret().to_owned()
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    pub fn post(&self, path: &str, body: &Json) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token).json(body)
    }

    /// Says one field of one record and returns the answer.
    pub async fn set(&self, record: &str, field: &str, value: Json) -> Json {
        let response = self.post("/v1/changes", &change(record, field, value)).send().await.expect("answered");
        let (status, body) = parts(response).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Calls a hook as its side would.
    pub fn hook(&self, path: &str, secret: &str, signed: &str, body: String) -> reqwest::RequestBuilder {
        let url = format!("https://sync.example{signed}");
        let signature = signature(secret, &url, body.as_bytes());
        self.http.post(format!("{}{path}", self.base)).header("x-signature", signature).body(body)
    }

    /// Stops the service, and lets go of the stores.
    pub async fn stop(self) {
        drop(self.stop);
        self.task.await.expect("it ends well");
    }
}

pub fn change(record: &str, field: &str, value: Json) -> Json {
    json!({"changes": [{"record": record, "set": {field: value}}]})
}

pub async fn parts(response: reqwest::Response) -> (u16, Json) {
    let status = response.status().as_u16();
    let text = response.text().await.expect("a whole body");
    let body = if text.is_empty() { Json::Null } else { serde_json::from_str(&text).expect("JSON") };
    (status, body)
}

pub async fn sent(request: reqwest::RequestBuilder) -> (u16, Json) {
    parts(request.send().await.expect("answered")).await
}

fn doors(name: &str, account: &str, told: Arc<Mutex<u32>>) -> Doors {
    let hook = Letters { secret: format!("secret of {name}"), account: account.to_owned(), told: told.clone() };
    let shared = Letters { secret: "secret of the app".to_owned(), ..hook.clone() };
    let mut doors = Doors { public_url: Some("https://sync.example".to_owned()), ..Doors::default() };
    doors.hooks.insert(SideName::new("portal").expect("good"), Arc::new(hook));
    doors.hooks.insert(SideName::new("crm").expect("good"), Arc::new(App(shared)));
    doors
}

/// What a made-up dialect signs with.
pub fn signature(secret: &str, url: &str, body: &[u8]) -> String {
    let mut hashing = Hashing::new("syncline test signature");
    hashing.update_sized(secret.as_bytes()).update_sized(url.as_bytes()).update_sized(body);
    hashing.digest().to_string()
}

/// A made-up dialect: a list of `{"account", "record", "phone", "at"}`.
#[derive(Clone)]
pub struct Letters {
    secret: String,
    account: String,
    told: Arc<Mutex<u32>>,
}

impl Letters {
    pub fn new(secret: &str, account: &str) -> Letters {
        Letters { secret: secret.to_owned(), account: account.to_owned(), told: Arc::default() }
    }
}

impl Hook for Letters {
    fn dialect(&self) -> &'static str {
        "letters"
    }

    fn verify(&self, call: &Call<'_>) -> Result<(), Refusal> {
        let shown = call.header("x-signature").ok_or(Refusal::NotGenuine("unsigned"))?;
        let is_right = shown == signature(&self.secret, call.url, call.body);
        if is_right { Ok(()) } else { Err(Refusal::NotGenuine("wrong")) }
    }

    fn message_id<'a>(&self, call: &'a Call<'_>) -> Option<&'a str> {
        call.header("x-id")
    }

    fn read(&self, body: &[u8], _now: Millis) -> Result<Heard, Refusal> {
        let malformed = |why: serde_json::Error| Refusal::Malformed(format!("line {}", why.line()));
        let letters: Vec<Json> = serde_json::from_slice(body).map_err(malformed)?;
        let mut heard = Heard::default();
        for letter in letters {
            if letter["account"] != *self.account {
                heard.foreign += 1;
                continue;
            }
            let text = |name: &str| letter[name].as_str().ok_or(Refusal::Malformed(format!("no {name}")));
            let record = RecordId::new(text("record")?).map_err(|why| Refusal::Malformed(why.to_string()))?;
            let origin = Origin::side(SideName::new("portal").expect("good"));
            let at = Millis(letter["at"].as_i64().unwrap_or_default());
            let mut draft = Draft::new(Kind::Edit, record, origin, at, Author::user("u"));
            draft.words = vec![(FieldName::new("phone").expect("good"), Value::text(text("phone")?))];
            heard.drafts.push(draft);
        }
        Ok(heard)
    }

    fn taken(&self, _body: &[u8]) {
        *self.told.lock().expect("whole") += 1;
    }
}

/// The same dialect where one app calls for all its accounts.
pub struct App(Letters);

impl Hook for App {
    fn dialect(&self) -> &'static str {
        "letters"
    }

    fn account(&self) -> Option<Account> {
        Some(Account { app: "4711".to_owned(), account: self.0.account.clone() })
    }

    fn verify(&self, call: &Call<'_>) -> Result<(), Refusal> {
        self.0.verify(call)
    }

    fn split(&self, body: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
        let letters: Vec<Json> =
            serde_json::from_slice(body).map_err(|why| Refusal::Malformed(format!("line {}", why.line())))?;
        let mut parts: Vec<(String, Vec<Json>)> = Vec::new();
        for letter in letters {
            let account = letter["account"].as_str().unwrap_or_default().to_owned();
            match parts.iter_mut().find(|(of, _)| *of == account) {
                Some((_, part)) => part.push(letter),
                None => parts.push((account, vec![letter])),
            }
        }
        Ok(parts.into_iter().map(|(of, part)| (of, serde_json::to_vec(&part).expect("JSON"))).collect())
    }

    fn read(&self, body: &[u8], now: Millis) -> Result<Heard, Refusal> {
        self.0.read(body, now)
    }

    fn taken(&self, body: &[u8]) {
        self.0.taken(body);
    }
}

/// A batch of the made-up dialect.
pub fn letters(letters: &[(&str, &str, &str, i64)]) -> String {
    let one = |(account, record, phone, at): &(&str, &str, &str, i64)| json!({"account": account, "record": record, "phone": phone, "at": at});
    Json::Array(letters.iter().map(one).collect()).to_string()
}

/// A service of the store in a directory, made where there is none, and a token of it.
pub async fn serve_store(dir: &std::path::Path, token: Option<String>) -> (World, String) {
    let store = dir.join("acme");
    let (engine, _) = Engine::builder(&store).manifest(MANIFEST.replace("TENANT", "acme")).open().expect("a store");
    let tokens = Tokens::open(&store).expect("tokens");
    let (tenants, _) = Tenants::one(Tenant::new(Handle::new(engine.clone()), tokens.clone()));
    let settings = Settings::default();
    let server = Server::new(tenants, Metrics::new(), settings);
    let (base, stop, task) = listen(&server).await;
    let (name, held) = ("acme".to_owned(), tempfile::tempdir().expect("a directory"));
    let world = World {
        base,
        engines: BTreeMap::from([(name.clone(), engine)]),
        server,
        http: client(),
        token: String::new(),
        told: Arc::default(),
        tokens: BTreeMap::from([(name, tokens)]),
        stop,
        task,
        dir: held,
    };
    let token = token.unwrap_or_else(|| world.make_token("acme", "portal", None));
    (world, token)
}

async fn listen(server: &Server) -> (String, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.clone();
    let task = tokio::spawn(async move {
        let shutdown = async { drop(stopped.await) };
        serving.serve(listener, shutdown).await.expect("it serves");
    });
    (base, stop, task)
}

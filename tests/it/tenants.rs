//! Fifty tenants in one process: one that floods and one whose CRM is broken are no matter of the others, and nothing crosses.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value as Json, json};
use syncline::{
    clock::{Clock, SystemClock},
    engine::Engine,
    metrics::Metrics,
    server::{Server, Settings, Tenants},
    service::{Fleet, Network, places},
    sim::{
        hubspot::{self, Account, By},
        portal::{self, Portal, Signer},
    },
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, task::JoinSet};

use crate::http_api::world::client;

const TENANTS: usize = 50;
/// The tenant that floods.
const FLOODER: usize = 0;
/// The tenant whose CRM is broken.
const BROKEN: usize = 1;
/// How many webhooks each other tenant gets in a phase.
const ROUNDS: usize = 10;
/// What a noisy machine may add to the slowest answers.
const NOISE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(120);

const MANIFEST: &str = "
syncline: 1
tenant: NAME
public_url: https://sync.example/t/NAME
sides:
  crm:
    connector: hubspot
    base_url: CRM
    credentials: { token: file:HOME/secret }
    capture: { webhooks: false, poll: 5m }
  portal:
    connector: portal
    deliver_to: PORTAL
    credentials: { webhook_secret: file:HOME/secret }
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    fields: { name: { type: string, crm: lastname, portal: name } }
";

/// A tenant's two sides; ids of records are the same in all tenants.
struct Party {
    name: String,
    home: PathBuf,
    account: Account,
    portal: Portal,
    signer: Signer,
    said: AtomicU64,
    _serving: (hubspot::Serving, portal::Serving),
}

impl Party {
    async fn new(dir: &TempDir, number: usize) -> Party {
        let name = format!("t{number:02}");
        let home = dir.path().join(&name);
        std::fs::create_dir(&home).expect("a directory");
        // A secret of its own: a message for one tenant is no message for another.
        let secret = format!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa{number:02}");
        std::fs::write(home.join("secret"), &secret).expect("a file");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let account = Account::new(hubspot::Settings::default(), "secret", clock.clone());
        let signer = || Signer::new(&[&secret]).expect("a good secret");
        let portal = Portal::new(portal::Settings::default(), signer(), clock);
        let (crm_at, portal_at) = (listener().await, listener().await);
        let crm = hubspot::serve(account.clone(), crm_at).expect("it serves");
        let own = portal::serve(portal.clone(), portal_at).expect("it serves");
        let manifest = MANIFEST.replace("NAME", &name).replace("HOME", &home.display().to_string());
        let manifest = manifest.replace("CRM", &crm.url()).replace("PORTAL", &own.url());
        std::fs::write(home.join("manifest.yaml"), manifest).expect("a file");
        account.create("contacts", &[("lastname", &format!("canary-{name}-crm"))], &By::user(7)).expect("it is taken");
        Party { name, home, account, portal, signer: signer(), said: AtomicU64::new(0), _serving: (crm, own) }
    }

    /// Somebody makes a record in the portal; its message, to be sent to this tenant's door.
    fn message(&self, http: &reqwest::Client, base: &str) -> reqwest::RequestBuilder {
        let number = self.said.fetch_add(1, Ordering::SeqCst);
        let set = json!({"name": format!("canary-{}-{number}", self.name)});
        let id = self.portal.create_silently("customer", set.clone(), &portal::By::user("u1"));
        self.signed(http, &format!("{base}/t/{}/hooks/portal", self.name), &id, number, &set)
    }

    fn signed(&self, http: &reqwest::Client, url: &str, id: &str, number: u64, set: &Json) -> reqwest::RequestBuilder {
        let now = SystemClock.now();
        let at = jiff::Timestamp::from_millisecond(now.0).expect("a present time").to_string();
        let data = json!({"kind": "customer", "id": id, "at": at, "by": {"user": "u1"}, "set": set});
        let body = json!({"type": "record.created", "timestamp": at, "data": data}).to_string();
        let message = format!("msg-{number}");
        let (seconds, bytes) = (now.0.div_euclid(1000), body.as_bytes());
        let signature = self.signer.sign(&message, seconds, bytes);
        http.post(url)
            .header("webhook-id", message)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signature)
            .body(body)
    }

    fn shown_by_crm(&self) -> usize {
        self.account.ids("contacts").len()
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it takes too long until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All tenants, served by one fleet.
struct Rig {
    dir: TempDir,
    parties: Vec<Arc<Party>>,
    base: String,
    http: reqwest::Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Rig {
    async fn new() -> Rig {
        let dir = tempfile::tempdir().expect("a directory");
        let http = client();
        let mut parties = Vec::new();
        for number in 0..TENANTS {
            parties.push(Arc::new(Party::new(&dir, number).await));
        }
        let server = Server::new(Tenants::many(), Metrics::new(), Settings::default());
        let fleet = Fleet::new(server.clone(), Arc::new(Network));
        let (found, at) = (places(dir.path()).expect("readable"), listener().await);
        assert_eq!(found.len(), TENANTS);
        let base = format!("http://{}", at.local_addr().expect("an address"));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            fleet.serve(found, false, at, shutdown).await.expect("it serves");
        });
        until("all are served", || server.tenants().all().len() == TENANTS).await;
        Rig { dir, parties, base, http, stop, task }
    }

    /// The others' slowest answer in a hundred, of webhooks that come from four at once.
    async fn phase(&self) -> Duration {
        let mut senders = JoinSet::new();
        for lane in 0..4 {
            let own: Vec<Arc<Party>> = self.parties[2..].iter().skip(lane).step_by(4).cloned().collect();
            let (http, base) = (self.http.clone(), self.base.clone());
            senders.spawn(async move {
                let mut took = Vec::new();
                for party in (0..ROUNDS).flat_map(|_| &own) {
                    let request = party.message(&http, &base);
                    let begun = Instant::now();
                    let answer = request.send().await.expect("answered");
                    took.push(begun.elapsed());
                    assert!(answer.status().is_success(), "{} for {}", answer.status(), party.name);
                }
                took
            });
        }
        let mut took: Vec<Duration> = senders.join_all().await.into_iter().flatten().collect();
        took.sort_unstable();
        assert_eq!(took.len(), (TENANTS - 2) * ROUNDS);
        took[took.len() * 99 / 100]
    }

    /// One tenant sends as fast as it is answered, on eight connections, until it is told to end.
    fn flood(&self) -> (Arc<AtomicBool>, JoinSet<u64>) {
        let (ends, mut senders) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for _ in 0..8 {
            let (party, http, base) = (self.parties[FLOODER].clone(), self.http.clone(), self.base.clone());
            let ends = ends.clone();
            senders.spawn(async move {
                let mut answered = 0;
                while !ends.load(Ordering::SeqCst) {
                    let status = party.message(&http, &base).send().await.expect("answered").status();
                    // A flood may be told to wait; that is an answer.
                    assert!(status.is_success() || matches!(status.as_u16(), 429 | 503), "{status}");
                    answered += u64::from(status.is_success());
                }
                answered
            });
        }
        (ends, senders)
    }

    async fn stop(self) -> (TempDir, Vec<Arc<Party>>) {
        drop(self.stop);
        self.task.await.expect("it ends well");
        (self.dir, self.parties)
    }
}

/// Whose canaries are in a text.
fn canaries(text: &str) -> Vec<&str> {
    text.match_indices("canary-").map(|(at, mark)| text[at + mark.len()..].split('-').next().unwrap_or("")).collect()
}

/// All that the store and the two sides of a tenant hold is its own; how many canaries its store has.
fn holds_only_its_own(party: &Party) -> usize {
    let (engine, _) = Engine::builder(party.home.join("store")).open().expect("the store opens");
    let mut found = 0;
    for stored in engine.stored() {
        let (event, _) = stored.expect("the log is sound");
        let words: Vec<String> = event.words().map(|(_, value)| value.to_json().to_string()).collect();
        let text = words.join(" ");
        let of = canaries(&text);
        assert!(of.iter().all(|name| *name == party.name), "{} holds {of:?}", party.name);
        found += of.len();
    }
    engine.close().expect("it closes");
    let crm = party.account.state().to_string();
    let portal = party.portal.state().to_string();
    for shown in [&crm, &portal] {
        let of = canaries(shown);
        assert!(of.iter().all(|name| *name == party.name), "a side of {} holds others' values", party.name);
        assert!(!of.is_empty(), "a side of {} holds its own", party.name);
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_and_a_broken_crm_are_not_felt_by_others_and_nothing_crosses() {
    let rig = Rig::new().await;
    rig.phase().await;
    let calm = rig.phase().await;

    let broken = rig.parties[BROKEN].clone();
    broken.account.outage(24 * 3_600_000);
    let (ends, flood) = rig.flood();
    let loud = rig.phase().await;
    for _ in 0..ROUNDS {
        let status = broken.message(&rig.http, &rig.base).send().await.expect("answered").status();
        assert!(status.is_success(), "what the portal says is taken although the CRM is away: {status}");
    }
    ends.store(true, Ordering::SeqCst);
    let flooded: u64 = flood.join_all().await.into_iter().sum();
    println!("calm {calm:?}, loud {loud:?}, {flooded} webhooks of the flood");
    assert!(flooded > 10 * ROUNDS as u64, "it was a flood: {flooded}");
    assert!(loud <= 2 * calm + NOISE, "the others waited {loud:?}, and {calm:?} when it was calm");

    // A message of one tenant at another's door is refused.
    let astray = format!("{}/t/t03/hooks/portal", rig.base);
    let set = json!({"name": "canary-t02-astray"});
    let refused = rig.parties[2].signed(&rig.http, &astray, "1", 1_000_000, &set).send().await.expect("answered");
    assert_eq!(refused.status(), 401);

    until("the others' sides agree", || rig.parties[2..].iter().all(|party| party.shown_by_crm() > 3 * ROUNDS)).await;
    let (dir, parties) = rig.stop().await;
    for (number, party) in parties.iter().enumerate() {
        let found = holds_only_its_own(party);
        let said = usize::try_from(party.said.load(Ordering::SeqCst)).expect("few");
        assert!(number == FLOODER || found > said, "{} holds all it was told, {found} of {said}", party.name);
    }
    assert_eq!(broken.shown_by_crm(), 1, "nothing reached the CRM that is away");
    drop(dir);
}

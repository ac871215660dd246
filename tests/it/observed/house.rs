//! A service between two pretend sides over HTTP, all of whose threads trace into one place.

use std::{
    cell::RefCell,
    sync::{Arc, OnceLock},
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use secrecy::ExposeSecret;
use syncline::{
    clock::{HandClock, Millis},
    id::SideName,
    metrics::Metrics,
    server::{NewToken, Server, Settings, Tenant as Front, Tenants, Token, Tokens},
    service::{Network, Tenant},
    sim::{
        hubspot::{self, Account},
        pace,
        portal::{self, Portal, Refuse, Signer},
    },
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, task::JoinSet};
use tracing::{Dispatch, dispatcher::DefaultGuard};

pub const NOW: Millis = Millis(1_790_000_000_000);
/// Part of every value and secret that the house is given, and of nothing else.
pub const MARK: &str = "kanarienvogel";
const MANIFEST: &str = "
syncline: 1
tenant: acme
public_url: BASE
sides:
  crm:
    connector: hubspot
    account: '247187887'
    app: '50780459'
    base_url: CRM
    credentials: { token: 'file:DIR/token', webhook_secret: 'file:DIR/app' }
    capture: { webhooks: true, poll: 5m, reconcile: 1h }
  portal:
    connector: portal
    deliver_to: PORTAL
    credentials: { webhook_secret: 'file:DIR/portal' }
    capture: { webhooks: true, poll: 5m, reconcile: 1h }
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    match_on: [email]
    links: certain
    fields:
      email: { type: email, crm: email, portal: email }
      phone: { type: string, crm: phone, portal: phone }
      first_name: { type: string, crm: firstname, portal: firstName }
      stage: { type: choice, of: [lead, dreamer], crm: lifecyclestage, portal: stage }
";

static OTHER: OnceLock<Dispatch> = OnceLock::new();

thread_local! {
    static GUARD: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// Runs something on a runtime all of whose threads trace to this subscriber, and nobody else's do.
pub fn traced<T>(dispatch: &Dispatch, work: impl Future<Output = T>) -> T {
    let of_threads = dispatch.clone();
    let begin = move || GUARD.set(Some(tracing::dispatcher::set_default(&of_threads)));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let builder = builder.worker_threads(2).enable_all().on_thread_start(begin).on_thread_stop(|| GUARD.set(None));
    let runtime = builder.build().expect("a runtime");
    // With a single subscriber in a process, whether a place in the code is traced is decided for all threads by the first one
    // that comes by, and other tests' threads have none.
    OTHER.get_or_init(|| Dispatch::new(tracing_subscriber::registry()));
    tracing::dispatcher::with_default(dispatch, || runtime.block_on(work))
}

pub fn side(name: &str) -> SideName {
    SideName::new(name).expect("a name")
}

pub fn marked(text: &str) -> String {
    format!("{text}-{MARK}")
}

pub fn client() -> reqwest::Client {
    crate::http_api::world::client()
}

pub struct House {
    pub tenant: Tenant,
    pub front: Arc<Front>,
    pub server: Server,
    pub account: Account,
    pub portal: Portal,
    pub clock: HandClock,
    pub base: String,
    pub token: Token,
    pub bearer: String,
    pub tokens: Tokens,
    _dir: TempDir,
    portal_secret: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    _sides: (hubspot::Serving, portal::Serving),
    _time: JoinSet<()>,
}

impl House {
    pub async fn new() -> House {
        let dir = TempDir::new().expect("a directory");
        let clock = HandClock::at(NOW);
        let portal_secret = format!("whsec_{}", BASE64_STANDARD.encode(format!("{MARK} and so on, long enough")));
        for (name, text) in [("token", &marked("pat")), ("app", &marked("app")), ("portal", &portal_secret)] {
            std::fs::write(dir.path().join(name), text).expect("a file of ours");
        }
        let listen = || TcpListener::bind("127.0.0.1:0");
        let free = hubspot::Settings { burst_max: None, search_max: None, daily_max: None, ..Default::default() };
        let account = Account::new(free, &marked("app"), Arc::new(clock.clone()));
        let crm = hubspot::serve(account.clone(), listen().await.expect("a port")).expect("served");
        let reason = format!("refused-{MARK} is not a phone");
        let refuse = Refuse { field: "phone".into(), holds: "refused".into(), reason };
        let settings = portal::Settings { refuse: vec![refuse], ..Default::default() };
        let signer = Signer::new(&[&portal_secret]).expect("a secret");
        let portal = Portal::new(settings, signer, Arc::new(clock.clone()));
        let own = portal::serve(portal.clone(), listen().await.expect("a port")).expect("served");
        let listener = listen().await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));

        let store = dir.path().join("store");
        let text = MANIFEST.replace("CRM", &crm.url()).replace("PORTAL", &own.url()).replace("BASE", &base);
        let text = text.replace("DIR", &dir.path().display().to_string());
        let metrics = Metrics::new();
        let builder = Tenant::builder(&store).manifest(text).clock(clock.clone()).metrics(metrics.clone());
        let (tenant, _) = builder.dialects(Arc::new(Network)).open().expect("the store opens");
        let tokens = Tokens::open(&store).expect("none yet");
        let new = NewToken { side: side("portal"), role: None, user: None, contact: None, company: None };
        let (token, bearer) = tokens.create(new, NOW).expect("made");
        let front = Front::new(tenant.handle().clone(), tokens.clone());
        front.set_doors(tenant.doors().expect("open"));
        let (tenants, front) = Tenants::one(front);
        let server = Server::new(tenants, metrics, Settings::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let serves = server.clone();
        let serving = tokio::spawn(async move {
            serves.serve(listener, async { drop(stopped.await) }).await.expect("it serves");
        });
        let mut time = JoinSet::new();
        time.spawn(pace::go_on(clock.clone(), 50));
        account.webhooks_to(&format!("{base}/hooks/crm"));
        portal.webhooks_to(&format!("{base}/hooks/portal"));
        let bearer = bearer.expose_secret().to_owned();
        let (_sides, _time) = ((crm, own), time);
        House {
            tenant,
            front,
            server,
            account,
            portal,
            clock,
            base,
            token,
            bearer,
            tokens,
            _dir: dir,
            portal_secret,
            stop,
            serving,
            _sides,
            _time,
        }
    }

    /// Signs as the portal does.
    pub fn signer(&self) -> Signer {
        Signer::new(&[&self.portal_secret]).expect("a secret")
    }

    /// Lets a minute pass, with all that is due in it.
    pub async fn settle(&self) {
        for _ in 0..12 {
            self.account.flush_hooks();
            self.portal.hurry();
            self.account.hooks_gone().await;
            self.portal.settled().await;
            self.tenant.step().await.expect("the store works");
            self.clock.advance(5_000);
        }
    }

    pub async fn metrics(&self) -> String {
        let answer = client().get(format!("{}/metrics", self.base)).send().await.expect("answered");
        answer.text().await.expect("text")
    }

    pub async fn end(self) {
        drop(self.stop);
        self.serving.await.expect("it ends well");
    }
}

//! A pretend CRM and a pretend portal over HTTP, both polled, with a tenant between them and a clock that is turned by hand.

mod clock_put_right;
mod doubtful;
mod refusals;
mod set_up_wrong;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use serde_json::Value as Json;
use syncline::{
    clock::{Clock, HandClock, Millis},
    engine::Engine,
    id::RecordId,
    service::{Network, Tenant},
    sim::{
        hubspot::{self, Account},
        pace,
        portal::{self, Portal, Signer},
    },
};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};

const BEGIN: Millis = Millis(1_790_000_000_000);
const PORTAL_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const MINUTE: i64 = 60_000;
/// What stands in front of a manifest's `records`.
const SIDES: &str = r#"syncline: 1
tenant: acme
public_url: http://127.0.0.1:1
sides:
  crm:
    connector: hubspot
    account: "247187887"
    app: "50780459"
    base_url: CRM
    credentials: { token: file:SECRETS/crm-token, webhook_secret: file:SECRETS/crm-webhooks }
    capture: { webhooks: false, poll: 5m }
  portal:
    connector: portal
    deliver_to: PORTAL
    credentials: { webhook_secret: file:SECRETS/portal-webhooks }
    capture: { webhooks: false, poll: 5m }
"#;

/// Both sides behind listeners, and the tenant while it is open.
pub struct Rig {
    dir: TempDir,
    pub clock: HandClock,
    pub account: Account,
    pub portal: Portal,
    pub manifest: String,
    tenant: Option<Tenant>,
    runtime: Runtime,
    _serving: (hubspot::Serving, portal::Serving),
    _turning: JoinSet<()>,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

impl Rig {
    /// Two empty sides; the tenant is not open yet.
    pub fn new(records: &str) -> Rig {
        let dir = TempDir::new().expect("a directory");
        for (name, secret) in [("crm-token", "any"), ("crm-webhooks", "any"), ("portal-webhooks", PORTAL_SECRET)] {
            fs::write(dir.path().join(name), secret).expect("a file");
        }
        let clock = HandClock::at(BEGIN);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let unlimited =
            hubspot::Settings { burst_max: None, search_max: None, daily_max: None, ..hubspot::Settings::default() };
        let account = Account::new(unlimited, "any", shared.clone());
        let signer = Signer::new(&[PORTAL_SECRET]).expect("a good secret");
        let portal = Portal::new(portal::Settings::default(), signer, shared);
        let runtime = runtime();
        let (serving, turning) = {
            let _within = runtime.enter();
            let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
            let crm = hubspot::serve(account.clone(), bind()).expect("it serves");
            let own = portal::serve(portal.clone(), bind()).expect("it serves");
            // What waits for its place in the quota gets it: the clock runs ten times as fast as the true one.
            let mut turning = JoinSet::new();
            turning.spawn(pace::go_on(clock.clone(), 20));
            ((crm, own), turning)
        };
        let manifest = format!("{SIDES}{records}")
            .replace("CRM", &serving.0.url())
            .replace("PORTAL", &serving.1.url())
            .replace("SECRETS", &dir.path().display().to_string());
        Rig { dir, clock, account, portal, manifest, tenant: None, runtime, _serving: serving, _turning: turning }
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub fn open(&mut self) {
        let _within = self.runtime.enter();
        let builder = Tenant::builder(self.store()).manifest(self.manifest.clone()).clock(self.clock.clone());
        self.tenant = Some(builder.dialects(Arc::new(Network)).open().expect("the store opens").0);
    }

    pub fn close(&mut self) {
        let tenant = self.tenant.take().expect("it is open");
        self.runtime.block_on(tenant.close()).expect("it closes");
    }

    pub fn tenant(&self) -> &Tenant {
        self.tenant.as_ref().expect("it is open")
    }

    pub fn engine(&self) -> &Engine {
        self.tenant().engine()
    }

    /// Lets time pass, with all that is due in each step.
    pub fn pass(&self, millis: i64, step: i64) {
        for _ in 0..millis / step {
            self.clock.advance(step);
            self.runtime.block_on(self.tenant().step()).expect("the store works");
        }
    }

    /// Carries a command out against the store, which is closed meanwhile.
    pub fn command(&mut self, commands: &[&[&str]]) -> Vec<Json> {
        self.close();
        let store = self.store().display().to_string();
        let run = |args: &&[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
            command.args(["--store", &store, "--json"]).args(*args).stdin(Stdio::null()).env_remove("RUST_LOG");
            let done = command.output().expect("it runs");
            assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
            serde_json::from_slice(&done.stdout).unwrap_or(Json::Null)
        };
        let answers = commands.iter().map(run).collect();
        self.open();
        answers
    }
}

pub fn id(text: &str) -> RecordId {
    RecordId::new(text).expect("a good id")
}

//! A pretend HubSpot account and a pretend portal behind listeners, and the service between them, all over HTTP.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value as Json;
use syncline::{
    clock::{Clock, HandClock, Millis},
    engine::Engine,
    id::RecordId,
    metrics::Metrics,
    server::{self, Server, Tenants, Tokens},
    service::{Network, Tenant},
    sim::{
        hubspot::{self, Account, Property},
        pace,
        portal::{self, Portal, Signer},
    },
};
use tokio::{net::TcpListener, runtime::Runtime};

const BEGIN: Millis = Millis(1_790_000_000_000);
const HUBSPOT_SECRET: &str = "a secret of a pretend app";
const PORTAL_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// How long webhooks under way are waited for, in real time.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long is waited for those under way before the others are sent on, in real time.
const AWHILE: Duration = Duration::from_millis(20);

const SIDES: &str = r#"syncline: 1
tenant: acme
public_url: http://SERVICE
sides:
  crm:
    connector: hubspot
    account: "247187887"
    app: "50780459"
    base_url: CRM
    credentials: { token: file:SECRETS/crm-token, webhook_secret: file:SECRETS/crm-webhooks }
    capture: { webhooks: true, reconcile: 6h }
  portal:
    connector: portal
    deliver_to: PORTAL
    credentials: { webhook_secret: file:SECRETS/portal-webhooks }
    capture: { webhooks: true, reconcile: 6h }
"#;

/// All of it; the service is open.
pub struct House {
    pub clock: HandClock,
    pub account: Account,
    pub portal: Portal,
    tenant: Option<Tenant>,
    service: Option<Runtime>,
    outside: Runtime,
    _serving: (hubspot::Serving, portal::Serving),
    _dir: tempfile::TempDir,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

impl House {
    /// A house whose records are those of a manifest without its sides; `fill` puts into the sides what is there before the
    /// service opens.
    pub fn new(records: &str, fill: impl FnOnce(&Account, &Portal)) -> House {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, secret) in
            [("crm-token", "any"), ("crm-webhooks", HUBSPOT_SECRET), ("portal-webhooks", PORTAL_SECRET)]
        {
            std::fs::write(dir.path().join(name), secret).expect("a file");
        }
        let clock = HandClock::at(BEGIN);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let account = Account::new(hubspot::Settings::default(), HUBSPOT_SECRET, shared.clone());
        let signer = Signer::new(&[PORTAL_SECRET]).expect("a good secret");
        let portal = Portal::new(portal::Settings::default(), signer, shared);
        let (outside, service) = (runtime(), runtime());
        let (crm, own, front) = outside.block_on(async { (bind().await, bind().await, bind().await) });
        let serving = {
            let _within = outside.enter();
            let crm = hubspot::serve(account.clone(), crm).expect("it serves");
            (crm, portal::serve(portal.clone(), own).expect("it serves"))
        };
        let address = front.local_addr().expect("an address");
        account.webhooks_to(&format!("http://{address}/hooks/crm"));
        portal.webhooks_to(&format!("http://{address}/hooks/portal"));
        fill(&account, &portal);
        let manifest = format!("{SIDES}{records}")
            .replace("SERVICE", &address.to_string())
            .replace("CRM", &serving.0.url())
            .replace("PORTAL", &serving.1.url())
            .replace("SECRETS", &dir.path().display().to_string());
        let store = dir.path().join("store");
        let builder = Tenant::builder(&store).manifest(manifest).clock(clock.clone());
        let (tenant, _) = builder.dialects(Arc::new(Network)).open().expect("the store opens");
        let within = server::Tenant::new(tenant.handle().clone(), Tokens::open(&store).expect("tokens"));
        within.set_doors(tenant.doors().expect("doors"));
        let server = Server::new(Tenants::one(within).0, Metrics::new(), server::Settings::default());
        service.spawn(async move {
            drop(front);
            let listener = TcpListener::bind(address).await.expect("the port that was free");
            server.serve(listener, std::future::pending()).await
        });
        let (tenant, service) = (Some(tenant), Some(service));
        // Some wait by the clock inside of a step, such as for the quota: it goes on by itself, ten times too fast.
        outside.spawn(pace::go_on(clock.clone(), 20));
        let (_serving, _dir) = (serving, dir);
        let mut house = House { clock, account, portal, tenant, service, outside, _serving, _dir };
        house.settle();
        house
    }

    pub fn engine(&self) -> &Engine {
        self.tenant.as_ref().expect("it is open").engine()
    }

    /// Lets time pass until nothing waits any more.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..200 {
            let until = Instant::now() + PATIENCE;
            while self.account.hooks_pending() > 0 || self.portal.posts_pending() > 0 {
                assert!(Instant::now() < until, "webhooks are under way for ever");
                self.account.flush_hooks();
                self.portal.hurry();
                // What failed waits again, and goes with the next flush.
                let gone = async { tokio::join!(self.account.hooks_back(), self.portal.settled()) };
                let ended = self.outside.block_on(async { tokio::time::timeout(AWHILE, gone).await });
                drop(ended);
            }
            self.clock.advance(10_000);
            self.step();
            let engine = self.engine();
            let waiting = engine.outbox("crm").expect("open").0 + engine.outbox("portal").expect("open").0;
            let is_quiet = waiting == 0 && self.account.hooks_pending() == 0 && self.portal.posts_pending() == 0;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet == 3 {
                return;
            }
        }
        panic!("it did not come to rest: {:?}", self.engine().parked());
    }

    fn step(&self) {
        let (tenant, runtime) = (self.tenant.as_ref(), self.service.as_ref());
        let (tenant, runtime) = (tenant.expect("it is open"), runtime.expect("it runs"));
        runtime.block_on(tenant.step()).expect("the store works");
    }

    /// Reads everything on both sides back; answers how many differences there were.
    pub fn reconcile(&mut self) -> u64 {
        let tenant = self.tenant.as_ref().expect("it is open");
        let reports = self.service.as_ref().expect("it runs").block_on(tenant.reconcile(None, None));
        let found = reports.expect("the sides can be read").iter().map(|report| report.found).sum();
        self.settle();
        found
    }

    /// The record of a side's own id.
    pub fn on(&self, kind: &str, side: &str, link: impl ToString) -> RecordId {
        RecordId::on_side(kind, side, &link.to_string()).expect("a good id")
    }

    /// A side's own id for a record.
    pub fn link(&self, record: &RecordId, side: &str) -> Option<String> {
        let links = self.engine().links(record).expect("open");
        links.into_iter().find(|link| link.current && link.side.as_deref() == Some(side)).and_then(|link| link.link)
    }

    /// The portal's id for what HubSpot has under an id.
    pub fn on_portal(&self, kind: &str, id: u64) -> String {
        self.link(&self.on(kind, "crm", id), "portal").expect("the portal has it")
    }

    /// With which records of a type HubSpot has one joined, each with the numbers of the associations.
    pub fn joined(&self, from: (&str, u64), to: &str) -> BTreeSet<(u64, Vec<u64>)> {
        let state = self.account.state();
        let end = |end: &Json| Some((end["kind"].as_str()?.to_owned(), end["id"].as_str()?.parse::<u64>().ok()?));
        let mut joined = BTreeSet::new();
        for tie in state["associations"].as_array().into_iter().flatten() {
            let (Some(one), Some(other)) = (end(&tie["from"]), end(&tie["to"])) else { continue };
            let types = tie["types"].as_array().into_iter().flatten().filter_map(Json::as_u64).collect();
            for (this, that) in [(&one, &other), (&other, &one)] {
                if (this.0.as_str(), this.1) == from && that.0 == to {
                    joined.insert((that.1, Vec::clone(&types)));
                }
            }
        }
        joined
    }

    /// With which records of a type HubSpot has one joined.
    pub fn joined_ids(&self, from: (&str, u64), to: &str) -> BTreeSet<u64> {
        self.joined(from, to).into_iter().map(|(id, _)| id).collect()
    }

    /// The texts of a list that the portal shows.
    pub fn listed(&self, kind: &str, id: &str, field: &str) -> BTreeSet<String> {
        let shown = self.portal.shows(kind, id, field).expect("the portal has it");
        let texts = shown.as_array().cloned().unwrap_or_default();
        texts.iter().filter_map(Json::as_str).map(str::to_owned).collect()
    }

    /// Nothing is parked, nothing waits for a person, the store is what its log makes, and a second look finds nothing.
    pub fn assert_sound(&mut self) {
        assert_eq!(self.reconcile(), 0, "a look finds nothing that was not known");
        assert_eq!(self.engine().counts().expect("open").parked, 0);
        let audit = self.engine().audit(false, &|_, _, _| {}).expect("an audit");
        assert!(audit.is_sound(), "{:?}", audit.findings);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // The server goes first: what it was asked holds the store.
        if let Some(service) = self.service.take() {
            service.shutdown_timeout(PATIENCE);
        }
        drop(self.tenant.take());
    }
}

/// A text property of the account's own.
pub fn text_property(name: &str) -> Property {
    Property { name: name.into(), kind: "string".into(), field_type: "text".into(), ..Property::default() }
}

/// The id that HubSpot has, of those that it has not had before.
pub fn new_one(account: &Account, kind: &str, before: &[u64]) -> u64 {
    let new: Vec<u64> = account.ids(kind).into_iter().filter(|id| !before.contains(id)).collect();
    assert_eq!(new.len(), 1, "exactly one new record of {kind}");
    new[0]
}

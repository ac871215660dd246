//! The sides, the service between them, and the clock of all: what a life is lived in.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};

use super::{Hearing, LiveError};
use crate::{
    clock::{Clock, HandClock, Millis},
    engine::EngineError,
    log::LogError,
    metrics::Metrics,
    server::{self, Server, Tenants, Tokens},
    service::{Network, ServiceError, Tenant},
    sim::{
        hubspot::{self, Account, Choice, Property},
        pace,
        portal::{self, Portal, Signer},
    },
};

const BEGIN: Millis = Millis(1_790_000_000_000);
/// How the service hears of the sides: told by them, or asking them.
const TOLD: &str = "{ webhooks: true, reconcile: 6h }";
const ASKING: &str = "{ poll: 30s, reconcile: 6h }";
const HUBSPOT_SECRET: &str = "a secret of a pretend app";
const PORTAL_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The pace of the clock: ten times that of the real one.
const PACE: i64 = 20;
/// How long a side is away, in milliseconds of the life's clock.
const AWAY: i64 = 90_000;
/// How long webhooks under way are waited for, in real time.
const PATIENCE: Duration = Duration::from_secs(20);
/// How far the clock is turned in a round, in milliseconds.
const ROUND: i64 = 15_000;
/// How many rounds everything may take to come to rest.
const ROUNDS_MOST: usize = 400;
/// How many rounds in a row have to be quiet.
const ROUNDS_QUIET: usize = 3;
/// How long a store may take to be let go by what was killed.
const LET_GO: Duration = Duration::from_secs(20);

/// Interests that people may have.
pub(super) const INTERESTS: [&str; 6] = ["golf", "jazz", "maps", "rail", "tea", "yoga"];
/// Stages that contacts go through.
pub(super) const STAGES: [&str; 3] = ["lead", "opportunity", "customer"];

const MANIFEST: &str = r#"syncline: 1
tenant: acme
public_url: http://SERVICE
sides:
  crm:
    connector: hubspot
    account: "247187887"
    app: "50780459"
    base_url: CRM
    credentials: { token: file:SECRETS/crm-token, webhook_secret: file:SECRETS/crm-webhooks }
    capture: CAPTURE
  portal:
    connector: portal
    deliver_to: PORTAL
    credentials: { webhook_secret: file:SECRETS/portal-webhooks }
    capture: CAPTURE
defaults: { rule: { authority: crm } }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    match_on: [email]
    links: certain
    fields:
      email:      { type: email, crm: email, portal: email, required: true }
      first_name: { type: string, crm: firstname, portal: firstName }
      last_name:  { type: string, crm: lastname, portal: lastName }
      phone:      { type: string, crm: phone, portal: phone, rule: { authority: portal } }
      address:    { type: string, crm: address, portal: address, rule: last_write_wins }
      job:        { type: string, crm: jobtitle, portal: job, rule: first_write_wins }
      stage:      { type: choice, of: [lead, opportunity, customer], crm: lifecyclestage, portal: stage, write: [crm] }
      interests:  { type: set, crm: interests, portal: interests, rule: merge }
      notes:      { type: long_text, crm: portal_notes, portal: notes, rule: merge }
"#;

/// A field as each of the three calls it.
pub(super) struct Mapped {
    pub ours: &'static str,
    pub crm: &'static str,
    pub portal: &'static str,
    /// Whether users of the portal edit it.
    pub both: bool,
}

/// All mapped fields; the address by which people are matched comes first.
pub(super) const FIELDS: [Mapped; 9] = [
    Mapped { ours: "email", crm: "email", portal: "email", both: false },
    Mapped { ours: "first_name", crm: "firstname", portal: "firstName", both: true },
    Mapped { ours: "last_name", crm: "lastname", portal: "lastName", both: true },
    Mapped { ours: "phone", crm: "phone", portal: "phone", both: true },
    Mapped { ours: "address", crm: "address", portal: "address", both: true },
    Mapped { ours: "job", crm: "jobtitle", portal: "job", both: true },
    Mapped { ours: "stage", crm: "lifecyclestage", portal: "stage", both: false },
    Mapped { ours: "interests", crm: "interests", portal: "interests", both: true },
    Mapped { ours: "notes", crm: "portal_notes", portal: "notes", both: true },
];

/// The service as it runs: killed by letting go of it.
struct Service {
    tenant: Tenant,
    runtime: Runtime,
}

/// Everything that a life needs.
pub(super) struct House {
    pub store: PathBuf,
    /// Its manifest, but for how it hears of the sides.
    manifest: String,
    asking: bool,
    clock: HandClock,
    pub account: Account,
    pub portal: Portal,
    service: Option<Service>,
    address: SocketAddr,
    _serving: (hubspot::Serving, portal::Serving),
    _turning: JoinSet<()>,
    outside: Runtime,
}

impl House {
    /// Two empty sides behind listeners; the service is not open yet.
    pub fn new(store: &Path, seed: u64, hearing: Hearing) -> Result<House, LiveError> {
        let secrets = store.join("demo-secrets");
        fs::create_dir_all(&secrets)?;
        for (name, secret) in
            [("crm-token", "any"), ("crm-webhooks", HUBSPOT_SECRET), ("portal-webhooks", PORTAL_SECRET)]
        {
            fs::write(secrets.join(name), secret)?;
        }
        let clock = HandClock::at(BEGIN);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let settings = hubspot::Settings { seed, ahead_ms: 420_000, ..hubspot::Settings::default() };
        let account = Account::new(settings, HUBSPOT_SECRET, shared.clone());
        properties(&account)?;
        let settings =
            portal::Settings { seed, ahead_ms: -90_000, unique: Some("email".into()), ..portal::Settings::default() };
        let signer = Signer::new(&[PORTAL_SECRET]).ok_or_else(|| io::Error::other("the secret is none"))?;
        let portal = Portal::new(settings, signer, shared);
        let outside = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (serving, address, turning) = {
            let _within = outside.enter();
            let (crm, own) = (outside.block_on(bind())?, outside.block_on(bind())?);
            let serving = (hubspot::serve(account.clone(), crm)?, portal::serve(portal.clone(), own)?);
            // The place of the service is taken once, so that it comes back where it was.
            let address = outside.block_on(bind())?.local_addr()?;
            let mut turning = JoinSet::new();
            turning.spawn(pace::go_on(clock.clone(), PACE));
            (serving, address, turning)
        };
        let manifest = MANIFEST
            .replace("SERVICE", &address.to_string())
            .replace("CRM", &serving.0.url())
            .replace("PORTAL", &serving.1.url())
            .replace("SECRETS", &fs::canonicalize(&secrets)?.display().to_string());
        let (store, service, asking) = (store.to_owned(), None, hearing == Hearing::Polls);
        let (_serving, _turning, outside) = (serving, turning, outside);
        let house =
            House { store, manifest, asking, clock, account, portal, service, address, _serving, _turning, outside };
        house.tells(hearing != Hearing::Polls);
        Ok(house)
    }

    /// Whether the sides send webhooks from now on, which is what an administrator sets there.
    fn tells(&self, tells: bool) {
        let to = |side: &str| tells.then(|| format!("http://{}/hooks/{side}", self.address));
        self.account.set(|settings| settings.webhooks_to = to("crm"));
        self.portal.set(|settings| settings.webhooks_to = to("portal"));
    }

    /// The manifest as the service has it while it hears so.
    fn manifest(&self, asking: bool) -> String {
        self.manifest.replace("CAPTURE", if asking { ASKING } else { TOLD })
    }

    /// Lets the service ask the sides from now on; none of them tells it anything any more.
    pub fn ask_from_now_on(&mut self) -> Result<(), LiveError> {
        self.asking = true;
        let Service { tenant, runtime } = self.service();
        runtime.block_on(tenant.apply_manifest(self.manifest(true)))?;
        self.tells(false);
        Ok(())
    }

    /// Opens the service; answers how many events were replayed.
    pub fn open(&mut self) -> Result<u64, LiveError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let until = Instant::now() + LET_GO;
        let (tenant, opening) = loop {
            let builder = Tenant::builder(&self.store).manifest(self.manifest(self.asking)).clock(self.clock.clone());
            // What was killed may still hold the store for a moment.
            match builder.dialects(Arc::new(Network)).open() {
                Err(ServiceError::Engine(EngineError::Log(LogError::Locked { .. }))) if Instant::now() < until => {
                    thread::sleep(Duration::from_millis(20));
                }
                opened => break opened?,
            }
        };
        let tokens = Tokens::open(&self.store).map_err(io::Error::other)?;
        let front = server::Tenant::new(tenant.handle().clone(), tokens);
        front.set_doors(tenant.doors()?);
        let server = Server::new(Tenants::one(front).0, Metrics::new(), server::Settings::default());
        let listener = runtime.block_on(TcpListener::bind(self.address))?;
        runtime.spawn(async move { server.serve(listener, std::future::pending()).await });
        self.service = Some(Service { tenant, runtime });
        Ok(opening.replayed)
    }

    /// Kills the service `after` so many milliseconds of its work, and opens it again.
    pub fn kill_and_open(&mut self, after: u64) -> Result<u64, LiveError> {
        if let Some(Service { tenant, runtime }) = self.service.take() {
            let some = Duration::from_millis(after);
            // Cut off wherever it is then: that it did not end is the point.
            if let Ok(ended) = runtime.block_on(async { tokio::time::timeout(some, tenant.step()).await }) {
                ended?;
            }
            drop(tenant);
            runtime.shutdown_timeout(LET_GO);
        }
        self.open()
    }

    /// Ends the service well; its store is left closed.
    pub fn close(mut self) -> Result<(), LiveError> {
        if let Some(Service { tenant, runtime }) = self.service.take() {
            // The server goes first: what it was asked holds the store.
            runtime.shutdown_timeout(LET_GO);
            self.outside.block_on(tenant.close())?;
        }
        Ok(())
    }

    /// The tenant; it is open but for the moment of a kill.
    pub fn tenant(&self) -> &Tenant {
        &self.service().tenant
    }

    fn service(&self) -> &Service {
        self.service.as_ref().expect("the service is open")
    }

    /// Turns the clock by the least there is.
    pub fn tick(&self) {
        self.clock.advance(1);
    }

    /// Lets time pass, and all that is due in it happen.
    pub fn pass(&self, millis: i64) -> Result<(), LiveError> {
        self.clock.advance(millis);
        self.step()
    }

    fn step(&self) -> Result<(), LiveError> {
        let Service { tenant, runtime } = self.service();
        runtime.block_on(tenant.step())?;
        Ok(())
    }

    /// Whether nothing waits: no webhook, no message, no write.
    fn is_quiet(&self) -> Result<bool, LiveError> {
        let engine = self.tenant().engine();
        let waiting = engine.outbox("crm")?.0 + engine.outbox("portal")?.0;
        Ok(waiting == 0 && self.untold() == 0)
    }

    /// How many webhooks are still to come, from sides that send any.
    fn untold(&self) -> u64 {
        let crm = self.account.settings().webhooks_to.map_or(0, |_| self.account.hooks_pending());
        let portal = self.portal.settings().webhooks_to.map_or(0, |_| self.portal.posts_pending());
        crm + portal as u64
    }

    /// Lets time pass until nothing waits any more; whether it came to that.
    pub fn settle(&self) -> Result<bool, LiveError> {
        let mut quiet = 0;
        for _ in 0..ROUNDS_MOST {
            self.account.flush_hooks();
            self.portal.hurry();
            let until = Instant::now() + PATIENCE;
            while self.untold() > 0 && Instant::now() < until {
                // Webhooks that failed wait again; they are sent with the next round.
                thread::sleep(Duration::from_millis(2));
                self.account.flush_hooks();
                self.portal.hurry();
            }
            self.pass(ROUND)?;
            quiet = if self.is_quiet()? { quiet + 1 } else { 0 };
            if quiet == ROUNDS_QUIET {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads everything on both sides back; answers how many differences there were.
    pub fn reconcile(&self) -> Result<u64, LiveError> {
        let Service { tenant, runtime } = self.service();
        let reports = runtime.block_on(tenant.reconcile(None, None))?;
        Ok(reports.iter().map(|report| report.found).sum())
    }

    /// Orders everything that may go wrong.
    pub fn trouble(&self) {
        use hubspot::Fault as Crm;
        use portal::Fault as Own;
        let status = |status, retry_after| Crm::Status { status, retry_after };
        let limit = |policy: &str| Crm::RateLimit { policy: policy.into() };
        let orders = [
            (Crm::Duplicate { same_id: true }, 0.04),
            (Crm::Duplicate { same_id: false }, 0.02),
            (Crm::Reorder, 0.05),
            (Crm::Delay { ms: 20_000 }, 0.03),
            (Crm::Lose, 0.02),
            (Crm::Regroup, 0.05),
            (Crm::Attempt { number: 3 }, 0.02),
            (Crm::Bare, 0.02),
            (limit("TEN_SECONDLY_ROLLING"), 0.02),
            (limit("SECONDLY"), 0.02),
            (limit("DAILY"), 0.002),
            (status(423, None), 0.01),
            (status(477, Some(3)), 0.005),
            (status(500, None), 0.01),
            (status(502, None), 0.02),
            (status(504, None), 0.01),
            (status(521, None), 0.005),
            (Crm::LoseAnswer, 0.02),
            (Crm::LoseRequest, 0.01),
            (Crm::FailRow, 0.01),
            (Crm::OmitRow, 0.01),
        ];
        orders.into_iter().for_each(|(fault, chance)| self.account.order(hubspot::Order::by_chance(fault, chance)));
        let orders = [
            (Own::Duplicate, 0.05),
            (Own::Reorder { ms: 8_000 }, 0.05),
            (Own::Delay { ms: 20_000 }, 0.03),
            (Own::Lose, 0.02),
            (Own::WrongSignature, 0.02),
            (Own::Status { status: 429, retry_after: Some(2) }, 0.02),
            (Own::Status { status: 503, retry_after: None }, 0.02),
            (Own::LoseAnswer, 0.02),
            (Own::LoseRequest, 0.01),
            (Own::OmitRow, 0.01),
            (Own::Garble, 0.01),
        ];
        orders.into_iter().for_each(|(fault, chance)| self.portal.order(portal::Order::by_chance(fault, chance)));
    }

    /// Neither answers nor tells anything for a while: one side, then the other, by turns.
    pub fn outage(&self, turn: u64) {
        match turn % 2 {
            0 => self.account.outage(AWAY),
            _ => self.portal.outage(AWAY),
        }
    }

    /// Ends all that goes wrong.
    pub fn heal(&self) {
        self.account.heal();
        self.portal.heal();
    }
}

async fn bind() -> io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
}

/// The account's own properties of contacts.
fn properties(account: &Account) -> Result<(), LiveError> {
    let choice = |value: &&str| Choice { value: (*value).into(), label: (*value).into(), ..Choice::default() };
    let options = INTERESTS.iter().map(choice).collect();
    let of = |name: &str, kind: &str, form: &str| Property {
        name: name.into(),
        kind: kind.into(),
        field_type: form.into(),
        ..Property::default()
    };
    let interests = Property { options, ..of("interests", "enumeration", "checkbox") };
    for property in [interests, of("portal_notes", "string", "textarea")] {
        account.add_property("contacts", &property).map_err(|why| LiveError::User(why.to_string()))?;
    }
    Ok(())
}

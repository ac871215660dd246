//! How soon a change on one side is shown on the other: 50 a second, by turns on a pretend CRM and a pretend portal.
//!
//! All is as in service: the sides stand behind listeners on the loopback, tell of a change by a signed webhook, and are
//! written to over HTTP; they answer at once and have no quota. A change is timed from when it was due on its side to when the
//! other side shows it.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, sleep_until},
};

use crate::{
    clock::SystemClock,
    engine::EngineError,
    metrics::Metrics,
    server::{self, Server, Settings, Tenants, TokenError, Tokens},
    service::{Network, ServiceError, Tenant},
    sim::{
        hubspot::{self, Account},
        portal::{self, Portal, Signer},
    },
};

const CHANGES: usize = 500;
const DISTANCE: Duration = Duration::from_millis(20);
const RECORDS: usize = 200;
/// How often it is looked whether a change is shown.
const LOOK: Duration = Duration::from_millis(1);
/// A change that is not shown by then is missed.
const PATIENCE: Duration = Duration::from_secs(30);
const CRM_SECRET: &str = "a secret that is only ever used by this measure";
const PORTAL_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MANIFEST: &str = r#"syncline: 1
tenant: shown
public_url: http://SERVICE
sides:
  crm:
    connector: hubspot
    account: "247187887"
    app: "50780459"
    base_url: CRM
    quota: { per_second: 100000 }
    credentials: { token: file:SECRETS/token, webhook_secret: file:SECRETS/crm }
    capture: { webhooks: true }
  portal:
    connector: portal
    deliver_to: PORTAL
    credentials: { webhook_secret: file:SECRETS/portal }
    capture: { webhooks: true }
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    match_on: [email]
    links: certain
    fields:
      email: { type: email, crm: email, portal: email }
      phone: { type: string, crm: phone, portal: phone }
      job: { type: string, crm: jobtitle, portal: job }
"#;

/// What was measured.
pub struct Shown {
    /// The time from when each change was due to when the other side showed it, ascending.
    pub took: Vec<Duration>,
    /// Changes that were never shown.
    pub missed: usize,
}

/// The changes of a measure.
pub fn changes() -> usize {
    CHANGES
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum ShownError {
    /// The machine's sockets or disk failed.
    #[error("cannot measure")]
    Io(#[from] io::Error),
    /// The service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The store failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The store has no room for tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Measures in a store that is made in `home`.
pub fn measure(home: &Path) -> Result<Shown, ShownError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let house = House::new(home).await?;
        let shown = house.changes().await;
        house.close().await?;
        shown
    })
}

/// Both sides, the service between them, and the records that both have.
struct House {
    account: Account,
    portal: Portal,
    tenant: Tenant,
    /// The ids of each record: the CRM's, the portal's.
    records: Vec<(u64, String)>,
    stop: watch::Sender<bool>,
    running: tokio::task::JoinHandle<Result<(), ServiceError>>,
    serving: tokio::task::JoinHandle<io::Result<()>>,
    _sides: (hubspot::Serving, portal::Serving),
}

async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
}

fn secrets(home: &Path) -> io::Result<PathBuf> {
    let secrets = home.join("secrets");
    fs::create_dir_all(&secrets)?;
    for (name, secret) in [("token", "any"), ("crm", CRM_SECRET), ("portal", PORTAL_SECRET)] {
        fs::write(secrets.join(name), secret)?;
    }
    fs::canonicalize(secrets)
}

impl House {
    async fn new(home: &Path) -> Result<House, ShownError> {
        let clock = Arc::new(SystemClock);
        let free = hubspot::Settings { burst_max: None, search_max: None, daily_max: None, ..Default::default() };
        let account = Account::new(free, CRM_SECRET, clock.clone());
        let signer = Signer::new(&[PORTAL_SECRET]).ok_or_else(|| io::Error::other("the secret is none"))?;
        let portal = Portal::new(portal::Settings::default(), signer, clock);
        let sides =
            (hubspot::serve(account.clone(), listen().await?)?, portal::serve(portal.clone(), listen().await?)?);
        let listener = listen().await?;
        let address = listener.local_addr()?;
        let text = MANIFEST
            .replace("SERVICE", &address.to_string())
            .replace("CRM", &sides.0.url())
            .replace("PORTAL", &sides.1.url())
            .replace("SECRETS", &secrets(home)?.display().to_string());
        let mut ids = Vec::with_capacity(RECORDS);
        for number in 0..RECORDS {
            let email = format!("c{number}@example.com");
            let made = account.create("contacts", &[("email", email.as_str())], &hubspot::By::user(7));
            ids.push((email, made.map_err(io::Error::other)?));
        }
        let store = home.join("store");
        let (tenant, _) = Tenant::builder(&store).manifest(text).dialects(Arc::new(Network)).open()?;
        let front = server::Tenant::new(tenant.handle().clone(), Tokens::open(&store)?);
        front.set_doors(tenant.doors()?);
        let server = Server::new(Tenants::one(front).0, Metrics::new(), Settings::default());
        let (stop, stopped) = watch::channel(false);
        let mut ends = stopped.clone();
        let serving = tokio::spawn(async move {
            // The sender is dropped only after it has said that all is over.
            server.serve(listener, async { drop(ends.wait_for(|ends| *ends).await) }).await
        });
        let running = tokio::spawn({
            let tenant = tenant.clone();
            async move { tenant.run(stopped).await }
        });
        let records = paired(&portal, ids).await?;
        account.webhooks_to(&format!("http://{address}/hooks/crm"));
        portal.webhooks_to(&format!("http://{address}/hooks/portal"));
        Ok(House { account, portal, tenant, records, stop, running, serving, _sides: sides })
    }

    /// Makes the changes, each when it is due, and waits until they are shown.
    async fn changes(&self) -> Result<Shown, ShownError> {
        let begins = Instant::now() + Duration::from_millis(100);
        let (due, mut told) = watch::channel(0);
        let looking = async {
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut open, mut begun, mut took) = (Vec::new(), 0, Vec::new());
            let until = begins + DISTANCE * CHANGES as u32 + PATIENCE;
            while took.len() < CHANGES && Instant::now() < until {
                ticks.tick().await;
                let made = *told.borrow_and_update();
                open.extend(begun..made);
                begun = made;
                open.retain(|change| {
                    let is_shown = self.is_shown(*change);
                    if is_shown {
                        took.push((begins + DISTANCE * *change as u32).elapsed());
                    }
                    !is_shown
                });
            }
            took
        };
        let changing = async {
            for change in 0..CHANGES {
                sleep_until((begins + DISTANCE * change as u32).into()).await;
                self.change(change)?;
                due.send_replace(change + 1);
            }
            Ok::<(), io::Error>(())
        };
        let (mut took, changed) = tokio::join!(looking, changing);
        changed?;
        took.sort_unstable();
        Ok(Shown { missed: CHANGES - took.len(), took })
    }

    fn change(&self, change: usize) -> io::Result<()> {
        let (contact, customer) = &self.records[change % RECORDS];
        let text = change.to_string();
        match change % 2 {
            0 => self
                .account
                .edit("contacts", *contact, &[("phone", &text)], &hubspot::By::user(7))
                .map_err(io::Error::other),
            _ => {
                let set = json!({ "job": text });
                self.portal.edit("customer", customer, set, &portal::By::user("u7")).map_err(io::Error::other)
            }
        }
    }

    fn is_shown(&self, change: usize) -> bool {
        let (contact, customer) = &self.records[change % RECORDS];
        let text = change.to_string();
        match change % 2 {
            0 => self.portal.shows("customer", customer, "phone").is_some_and(|shown| shown == text),
            _ => self.account.shows("contacts", *contact, "jobtitle").is_some_and(|shown| shown == text),
        }
    }

    async fn close(self) -> Result<(), ShownError> {
        self.stop.send_replace(true);
        self.serving.await.map_err(io::Error::other)??;
        self.running.await.map_err(io::Error::other)??;
        Ok(self.tenant.close().await?)
    }
}

/// Waits until the portal has all records, and pairs them with the CRM's.
async fn paired(portal: &Portal, ids: Vec<(String, u64)>) -> io::Result<Vec<(u64, String)>> {
    let until = Instant::now() + PATIENCE;
    while portal.ids("customer").len() < ids.len() {
        if Instant::now() > until {
            return Err(io::Error::other("the portal was not told of all records"));
        }
        sleep(LOOK * 10).await;
    }
    let email = |id: &String| portal.shows("customer", id, "email").and_then(|email| email.as_str().map(str::to_owned));
    let mut theirs: HashMap<String, String> =
        portal.ids("customer").into_iter().filter_map(|id| Some((email(&id)?, id))).collect();
    let paired = ids.into_iter().map(|(email, id)| theirs.remove(&email).map(|customer| (id, customer)));
    paired.collect::<Option<Vec<_>>>().ok_or_else(|| io::Error::other("the portal has other records"))
}

//! One HubSpot account as a side: what it is opened with, and what it tells of itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use reqwest::Method;

use super::{
    call::{self, Call, Op, Trouble},
    client::{Address, CallCount, Client},
    object,
    offset::Offset,
    property::{self, Property},
    shape::Shape,
    token::Credential,
};
use crate::{
    clock::{Clock, Millis},
    id::SideName,
    manifest,
    metrics::Metrics,
    send::{Gate, Limits, Urgency, gate::GateCounts},
    side::{
        Links, SourceError,
        http::{self, HttpError},
        translate::Translation,
    },
};

/// The most calls in ten seconds where the manifest does not say: what HubSpot allows the smallest accounts.
const PER_TEN_SECONDS: u64 = 100;
/// The most searches in a second. HubSpot allows five to all apps of an account together; one is left to the others.
const SEARCHES_PER_SECOND: u64 = 4;
/// How long a search may not show what has happened, in milliseconds. HubSpot says "a few moments" and gives no bound.
const INDEX_LAG: i64 = 120_000;
/// How many ids of records that stood in the way of a new one are remembered.
const IN_THE_WAY_MOST: usize = 1_000;

/// What an account is opened with.
pub struct Setting {
    /// Names and values, by the manifest.
    pub translation: Translation,
    /// What the engine knows of ids.
    pub links: Arc<dyn Links>,
    /// What gives us access.
    pub credential: Credential,
    /// Our clock.
    pub clock: Arc<dyn Clock>,
    /// Where HubSpot's API is.
    pub address: Address,
    /// The bounds of a call.
    pub http: http::Limits,
    /// The one way to the account, shared by all that call it.
    pub gate: Arc<Gate>,
    /// How long a search may not show what has happened, in milliseconds.
    pub index_lag: i64,
    /// Where calls are counted; `None`: only in [`HubSpot::calls`].
    pub metrics: Option<Metrics>,
}

impl Setting {
    /// What the manifest's side says, and for the rest HubSpot's address, two minutes of lag, and the machine's clock for the quota.
    pub fn new(translation: Translation, links: Arc<dyn Links>, credential: Credential, clock: Arc<dyn Clock>) -> Self {
        let side = translation.manifest().side(translation.side());
        let address = Address::at(side.and_then(|side| side.base_url.as_deref()).unwrap_or(Address::BASE));
        let gate = Arc::new(Gate::new(limits(side.map(|side| side.quota).unwrap_or_default()), clock.clone()));
        let http = http::Limits::default();
        Setting { translation, links, credential, clock, address, http, gate, index_lag: INDEX_LAG, metrics: None }
    }
}

/// The limits of an account by the manifest's quota, and HubSpot's own where it says nothing.
pub fn limits(quota: manifest::Quota) -> Limits {
    let named = quota.per_second.is_some() || quota.per_10s.is_some();
    Limits {
        per_second: quota.per_second,
        per_ten_seconds: quota.per_10s.or((!named).then_some(PER_TEN_SECONDS)),
        per_day: quota.per_day,
        searches_per_second: Some(SEARCHES_PER_SECOND),
    }
}

/// A HubSpot account: it takes writes, answers questions, and lists what it has.
pub struct HubSpot {
    pub(super) client: Client,
    pub(super) translation: Translation,
    pub(super) links: Arc<dyn Links>,
    pub(super) index_lag: i64,
    /// Our app's id there.
    pub(super) app: Option<String>,
    gate: Arc<Gate>,
    in_the_way: Mutex<InTheWay>,
    unique: tokio::sync::Mutex<HashMap<String, Arc<[String]>>>,
}

/// Records that HubSpot named as standing in the way of a new one, by the key of the write that was to make it.
///
/// Forgetting one costs a call: HubSpot names it again.
#[derive(Default)]
struct InTheWay {
    ids: HashMap<String, String>,
    order: VecDeque<String>,
}

impl HubSpot {
    /// Opens an account; nothing is called yet.
    ///
    /// # Errors
    /// If the address is none, or TLS cannot be set up.
    pub fn new(setting: Setting) -> Result<Self, HttpError> {
        let Setting { translation, links, credential, clock, address, http, gate, index_lag, metrics } = setting;
        let client = Client::new(address, http, credential, gate.clone(), clock, metrics)?;
        let app = translation.manifest().side(translation.side()).and_then(|side| side.app.clone());
        let (in_the_way, unique) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(HubSpot { client, translation, links, index_lag, app, gate, in_the_way, unique })
    }

    /// The side.
    pub fn side(&self) -> &SideName {
        self.translation.side()
    }

    /// How far HubSpot's clock is ahead of ours, as far as its answers tell.
    pub fn offset(&self) -> Offset {
        self.client.offset()
    }

    /// Since when HubSpot refuses who we are; `None`: it does not.
    pub fn unauthorized_since(&self) -> Option<Millis> {
        self.client.unauthorized_since()
    }

    /// What was asked so far, and with what result.
    pub fn calls(&self) -> Vec<CallCount> {
        self.client.counts()
    }

    /// What went through the gate.
    pub fn quota(&self) -> GateCounts {
        self.gate.counts()
    }

    /// The definitions of all properties of a kind; `None`: the account has no such type.
    ///
    /// # Errors
    /// If HubSpot cannot be asked, or refuses.
    pub async fn properties(&self, kind: &str) -> Result<Option<Vec<Property>>, SourceError> {
        let path = self.translation.type_of(kind).map(object::plural).ok_or(SourceError::NotOffered)?;
        match self.definitions(path, false).await {
            Ok(mut found) => {
                // Those put away are only told when asked for by themselves.
                let away = self.definitions(path, true).await.map_err(refused)?;
                let is_away = |property: &Property| found.iter().all(|live| live.name != property.name);
                let away: Vec<Property> = away.into_iter().filter(is_away).collect();
                found.extend(away);
                Ok(Some(found))
            }
            Err(trouble) if trouble.is_refused_with(404) => Ok(None),
            Err(trouble) => Err(refused(trouble)),
        }
    }

    async fn definitions(&self, path: &str, archived: bool) -> Result<Vec<Property>, Trouble> {
        let mut path = call::path(&self.client.address().crm, &["properties", path]);
        if archived {
            path.push_str("?archived=true");
        }
        let call = Call::new(Op::Properties, Method::GET, path, Urgency::Interactive);
        property::read(&self.client.call(&call).await?).map_err(|_| Trouble::Unknown)
    }

    /// The properties of a type of which no two records have the same value.
    pub(super) async fn unique(&self, path: &str) -> Result<Arc<[String]>, Trouble> {
        let mut known = self.unique.lock().await;
        if let Some(names) = known.get(path) {
            return Ok(names.clone());
        }
        let definitions = self.definitions(path, false).await?;
        let unique = definitions.into_iter().filter(|property| property.has_unique_value).map(|property| property.name);
        let mut names: Vec<String> = unique.collect();
        if path == "contacts" && !names.iter().any(|name| name == "email") {
            names.push("email".to_owned());
        }
        let names: Arc<[String]> = names.into();
        known.insert(path.to_owned(), names.clone());
        Ok(names)
    }

    pub(super) fn shape(&self, kind: &str) -> Option<Shape> {
        Shape::of(&self.translation, kind)
    }

    /// Remembers the record that a write has, or would have, made.
    pub(super) fn remember(&self, key: &str, id: &str) {
        let mut known = self.in_the_way.lock().expect("no code panics while it holds ids");
        if known.ids.insert(key.to_owned(), id.to_owned()).is_none() {
            known.order.push_back(key.to_owned());
        }
        while known.order.len() > IN_THE_WAY_MOST {
            if let Some(oldest) = known.order.pop_front() {
                known.ids.remove(&oldest);
            }
        }
    }

    /// The record that a write has, or would have, made, where HubSpot named it.
    pub(super) fn remembered(&self, key: &str) -> Option<String> {
        self.in_the_way.lock().expect("no code panics while it holds ids").ids.get(key).cloned()
    }
}

/// What a source says of a call that brought nothing.
pub(super) fn refused(trouble: Trouble) -> SourceError {
    match trouble {
        Trouble::NotTaken(wait) | Trouble::NotYet(wait) => SourceError::RetryAfter(wait),
        Trouble::Unknown => SourceError::RetryAfter(0),
        Trouble::Refused(_, problem) => SourceError::Refused(problem.reason()),
        Trouble::Unauthorized => SourceError::Refused("HubSpot does not accept our token".to_owned()),
    }
}

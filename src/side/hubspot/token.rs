//! The token that every call carries: a fixed one, or one that a refresh grant gives for half an hour.
//!
//! A grant that HubSpot calls dead is not used again: no call leaves any more, and the token says so until the
//! side is opened with another one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use tokio::sync::Mutex;

use crate::clock::Millis;

/// How long before its end a token is renewed, in milliseconds; of a short-lived one, the last fifth.
const RENEW_BEFORE: i64 = 120_000;
/// The life of a token of which the answer does not say, in milliseconds.
const LIFE: i64 = 1_800_000;

/// What gives us access to an account.
#[derive(Clone)]
pub enum Credential {
    /// The token of a private app.
    Fixed(SecretString),
    /// The grant of an account that has installed an OAuth app.
    Grant(Grant),
}

/// A refresh grant.
#[derive(Clone)]
pub struct Grant {
    /// The app's client id.
    pub client_id: String,
    /// The app's client secret.
    pub client_secret: SecretString,
    /// The account's refresh token.
    pub refresh_token: SecretString,
    /// Where a new refresh token is kept, should HubSpot give one; `None`: only in memory, and a restart begins with the old one.
    pub keeper: Option<Arc<dyn KeepToken>>,
}

/// Keeps a refresh token beyond the life of the process.
pub trait KeepToken: Send + Sync {
    /// Replaces the token that was there.
    ///
    /// # Errors
    /// If it could not be kept; the process goes on with it all the same.
    fn keep(&self, refresh_token: &SecretString) -> std::io::Result<()>;
}

/// What came of asking for a token.
pub(super) enum Renewed {
    /// The answer's body.
    Granted(Vec<u8>),
    /// The grant is dead.
    Dead,
    /// Nothing for now; in so many milliseconds perhaps.
    Later(i64),
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoToken {
    Dead,
    Later(i64),
}

/// The token of one account.
pub(super) struct Token {
    credential: Credential,
    held: Mutex<Held>,
    dead: AtomicBool,
}

#[derive(Default)]
struct Held {
    access: Option<SecretString>,
    until: Millis,
    /// The newest one, where it is no longer the credential's.
    refresh: Option<SecretString>,
}

impl Token {
    pub fn new(credential: Credential) -> Self {
        Token { credential, held: Mutex::default(), dead: AtomicBool::new(false) }
    }

    /// Whether the side no longer takes what we have.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Whether a refused token can be replaced by a new one.
    pub fn is_renewable(&self) -> bool {
        matches!(self.credential, Credential::Grant(_))
    }

    /// A token that is good for a while. However many calls ask at once, one renews it.
    pub async fn get<F: Future<Output = Renewed>>(
        &self,
        now: Millis,
        renew: impl FnOnce(String) -> F,
    ) -> Result<SecretString, NoToken> {
        let grant = match &self.credential {
            Credential::Fixed(token) => return Ok(token.clone()),
            Credential::Grant(grant) => grant,
        };
        let mut held = self.held.lock().await;
        if let Some(access) = held.access.as_ref().filter(|_| now < held.until) {
            return Ok(access.clone());
        }
        if self.is_dead() {
            return Err(NoToken::Dead);
        }
        let refresh = held.refresh.as_ref().unwrap_or(&grant.refresh_token);
        let answer = match renew(form(grant, refresh)).await {
            Renewed::Granted(body) => Granted::read(&body),
            Renewed::Later(wait) => return Err(NoToken::Later(wait)),
            Renewed::Dead => {
                self.dead.store(true, Ordering::Relaxed);
                tracing::error!(
                    "HubSpot no longer accepts the refresh token: nothing is sent or read until there is another"
                );
                return Err(NoToken::Dead);
            }
        };
        let Some(granted) = answer else {
            tracing::warn!("HubSpot answered a request for a token with something else");
            return Err(NoToken::Later(0));
        };
        let known = held.refresh.as_ref().unwrap_or(&grant.refresh_token).expose_secret();
        if let Some(fresh) = granted.refresh.filter(|fresh| fresh.expose_secret() != known) {
            keep(grant, &fresh);
            held.refresh = Some(fresh);
        }
        held.until = now.plus(granted.life - RENEW_BEFORE.min(granted.life / 5));
        held.access = Some(granted.access.clone());
        Ok(granted.access)
    }

    /// Forgets a token that the side refused, unless another call has replaced it already.
    pub async fn refused(&self, token: &SecretString) {
        let mut held = self.held.lock().await;
        if held.access.as_ref().is_some_and(|held| held.expose_secret() == token.expose_secret()) {
            held.access = None;
        }
    }
}

fn keep(grant: &Grant, fresh: &SecretString) {
    match grant.keeper.as_ref().map(|keeper| keeper.keep(fresh)) {
        Some(Ok(())) => {}
        Some(Err(why)) => {
            tracing::error!(
                error = &why as &dyn std::error::Error,
                "cannot keep the new refresh token; it is lost on a restart"
            );
        }
        None => tracing::warn!("HubSpot gave a new refresh token, and nothing keeps it beyond a restart"),
    }
}

/// The body of the request.
fn form(grant: &Grant, refresh: &SecretString) -> String {
    let pairs = [
        ("grant_type", "refresh_token"),
        ("client_id", &grant.client_id),
        ("client_secret", grant.client_secret.expose_secret()),
        ("refresh_token", refresh.expose_secret()),
    ];
    super::call::encoded(pairs)
}

struct Granted {
    access: SecretString,
    refresh: Option<SecretString>,
    life: i64,
}

impl Granted {
    fn read(body: &[u8]) -> Option<Granted> {
        let json: Json = serde_json::from_slice(body).ok()?;
        let text = |name: &str| json.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
        Some(Granted {
            access: text("access_token")?.into(),
            refresh: text("refresh_token").map(SecretString::from),
            life: json.get("expires_in").and_then(Json::as_i64).map_or(LIFE, |seconds| seconds.clamp(1, 86_400) * 1000),
        })
    }
}

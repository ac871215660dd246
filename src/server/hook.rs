//! What a dialect has to offer so that its side can call us.

use axum::http::{HeaderMap, Method};

use crate::{clock::Millis, event::Draft};

/// A request of a side, as it came.
pub struct Call<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The address that the side called and signed: the manifest's `public_url` and the path with its query, never
    /// what the request calls its host.
    pub url: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, byte for byte.
    pub body: &'a [u8],
    /// The present time by the engine's clock.
    pub now: Millis,
}

impl Call<'_> {
    /// A header that comes exactly once and is plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }
}

/// What a call says.
#[derive(Debug, Default)]
pub struct Heard {
    /// Its statements; those that the manifest does not map have no words and keep the notification as their source.
    pub drafts: Vec<Draft>,
    /// How many of the statements are not mapped.
    pub unmapped: u64,
    /// How many notifications were of another account, and left out.
    pub foreign: u64,
}

/// Why a call is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was not shown to be the side's: answered 401. Nothing of the reason is told to the caller.
    #[error("the call is not shown to be genuine: {0}")]
    NotGenuine(&'static str),
    /// It is the side's and cannot be read: answered 400, with what is wrong and where, and without values.
    #[error("the body cannot be read: {0}")]
    Malformed(String),
}

/// A side's app and its account in it: by these the batches of one app are split among tenants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    /// The app's id.
    pub app: String,
    /// The account's id.
    pub account: String,
}

/// A side's way of calling us. All calls are made on threads that may block.
pub trait Hook: Send + Sync {
    /// The dialect's name in metrics: `hubspot`, `portal`.
    fn dialect(&self) -> &'static str;

    /// The app and account of a side whose app calls one address for all its accounts.
    fn account(&self) -> Option<Account> {
        None
    }

    /// Checks that the call is the side's own, is fresh, and was not altered.
    ///
    /// # Errors
    /// [`Refusal::NotGenuine`] with one word of `unsigned`, `wrong`, `stale`, or another fixed one.
    fn verify(&self, call: &Call<'_>) -> Result<(), Refusal>;

    /// The id under which the side repeats a call that it takes for lost.
    fn message_id<'a>(&self, _call: &'a Call<'_>) -> Option<&'a str> {
        None
    }

    /// Splits a verified body by account, each part a body of its own, in the order of first mention.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] if it cannot be read, or if the dialect's bodies are of one account.
    fn split(&self, _body: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
        Err(Refusal::Malformed("this side's calls are of one account".to_owned()))
    }

    /// Reads a verified body, or a part of one; notifications of other accounts are left out and counted.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    fn read(&self, body: &[u8], now: Millis) -> Result<Heard, Refusal>;

    /// Told after what was heard is on disk, so that what has to follow, such as a read-back, can be ordered.
    fn taken(&self, _body: &[u8]) {}
}

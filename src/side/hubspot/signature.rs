//! Whether a request was signed by HubSpot with our app's secret, in each of its three ways.
//!
//! | version | signed, UTF-8, nothing between | function | header |
//! |---|---|---|---|
//! | v1 | secret, body | SHA-256 | `X-HubSpot-Signature`, lower-case hex |
//! | v2 | secret, method, URL, body | SHA-256 | `X-HubSpot-Signature`, lower-case hex |
//! | v3 | method, URL, body, timestamp | HMAC-SHA256 under the secret | `X-HubSpot-Signature-v3`, base64 |
//!
//! Which of the first two it is, `X-HubSpot-Signature-Version` says. Where v3 is there it alone decides: who forges must not choose the
//! weaker one. The URL is the public one that HubSpot was given; it comes from configuration, never from the request's own
//! idea of its host. Comparing takes the same time whatever differs.
//!
//! HubSpot does not say whether a retry is signed anew; with its window of five minutes and a day of retries it has to be.
//! It says nothing of timestamps ahead of our clock either: we hold them to the same five minutes.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{clock::Millis, id::to_hex};

/// The header with a v1 or v2 signature.
pub const SIGNATURE: &str = "x-hubspot-signature";
/// The header that says which of the two it is.
pub const SIGNATURE_VERSION: &str = "x-hubspot-signature-version";
/// The header with a v3 signature.
pub const SIGNATURE_V3: &str = "x-hubspot-signature-v3";
/// The header with the time of signing, in milliseconds, that v3 signs too.
pub const TIMESTAMP: &str = "x-hubspot-request-timestamp";
/// How far the time of signing may be from ours, either way, in milliseconds.
pub const WINDOW: i64 = 300_000;

/// A way of signing, the weakest first: only v3 holds a time, so older ones can be played again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Secret and body.
    V1,
    /// Secret, method, URL and body.
    V2,
    /// Method, URL, body and time, under the secret.
    V3,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
            Version::V3 => "v3",
        })
    }
}

/// Why a request does not count as HubSpot's. Nothing in it tells a forger how close he was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("the request is not signed")]
    Unsigned,
    /// The header names no version of signing that we know, or names none.
    #[error("the request's signature has no version that is known: v1 or v2")]
    Version,
    /// Signed in a weaker way than is asked for.
    #[error("the request is signed by {found}; at least {least} is asked for")]
    Weak {
        /// How it is signed.
        found: Version,
        /// What is asked for.
        least: Version,
    },
    /// v3 needs a time, and there is none, or it is not whole milliseconds.
    #[error("the request has no timestamp in whole milliseconds")]
    Timestamp,
    /// Signed more than five minutes from now.
    #[error("the request was signed {0} ms from the present time; 300000 are allowed")]
    Stale(u64),
    /// Signed with another secret, or changed since.
    #[error("the request's signature is wrong")]
    Wrong,
}

impl SignatureError {
    /// One word for counters.
    pub fn reason(&self) -> &'static str {
        match self {
            SignatureError::Unsigned => "unsigned",
            SignatureError::Version => "version",
            SignatureError::Weak { .. } => "weak",
            SignatureError::Timestamp => "timestamp",
            SignatureError::Stale(_) => "stale",
            SignatureError::Wrong => "wrong",
        }
    }
}

/// A request, as far as it is signed.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Its method, in capitals.
    pub method: &'a str,
    /// The whole public URL that HubSpot called, with the query as it was.
    pub url: &'a str,
    /// Its body, byte for byte.
    pub body: &'a [u8],
}

/// The headers that a request is signed by.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a> {
    /// [`SIGNATURE`].
    pub signature: Option<&'a str>,
    /// [`SIGNATURE_VERSION`].
    pub version: Option<&'a str>,
    /// [`SIGNATURE_V3`].
    pub v3: Option<&'a str>,
    /// [`TIMESTAMP`].
    pub timestamp: Option<&'a str>,
}

impl<'a> Headers<'a> {
    /// Takes the headers by their lower-case names; one that comes twice is to be left out.
    pub fn of(header: impl Fn(&str) -> Option<&'a str>) -> Self {
        Headers {
            signature: header(SIGNATURE),
            version: header(SIGNATURE_VERSION),
            v3: header(SIGNATURE_V3),
            timestamp: header(TIMESTAMP),
        }
    }
}

/// Checks signatures with an app's secrets.
pub struct Verifier {
    secrets: Vec<SecretString>,
    least: Version,
}

impl Verifier {
    /// A verifier that takes any of these secrets, all that are in use while one is exchanged for another; without any it takes nothing.
    ///
    /// An empty secret is left out: anybody could sign with it.
    pub fn new(secrets: Vec<SecretString>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| !secret.expose_secret().is_empty()).collect();
        Verifier { secrets, least: Version::V1 }
    }

    /// Asks for at least this way of signing; without it v1 will do, since legacy private apps know no other.
    pub fn at_least(self, least: Version) -> Self {
        Verifier { least, ..self }
    }

    /// Checks that a request is HubSpot's, and says by which version.
    ///
    /// # Errors
    /// If it is not, or cannot be shown to be.
    pub fn verify(&self, request: &Request<'_>, headers: &Headers<'_>, now: Millis) -> Result<Version, SignatureError> {
        let (version, given, timestamp) = match (headers.v3, headers.signature) {
            (Some(given), _) => (Version::V3, given, fresh(headers.timestamp, now)?),
            (None, Some(given)) => match headers.version {
                Some("v1") => (Version::V1, given, ""),
                Some("v2") => (Version::V2, given, ""),
                _ => return Err(SignatureError::Version),
            },
            (None, None) => return Err(SignatureError::Unsigned),
        };
        if version < self.least {
            return Err(SignatureError::Weak { found: version, least: self.least });
        }
        // All secrets are tried, so that the time does not tell which of them it was.
        let matches =
            |secret: &SecretString| sign(version, secret, request, timestamp).as_bytes().ct_eq(given.as_bytes());
        let found = self.secrets.iter().fold(subtle::Choice::from(0), |found, secret| found | matches(secret));
        if bool::from(found) { Ok(version) } else { Err(SignatureError::Wrong) }
    }
}

/// The signature of a request as it stands in the header; `timestamp` counts for v3 alone.
pub fn sign(version: Version, secret: &SecretString, request: &Request<'_>, timestamp: &str) -> String {
    let Request { method, url, body } = *request;
    let secret = secret.expose_secret().as_bytes();
    let hash = |parts: &[&[u8]]| {
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        to_hex(&hash.finalize())
    };
    match version {
        Version::V1 => hash(&[secret, body]),
        Version::V2 => hash(&[secret, method.as_bytes(), url.as_bytes(), body]),
        Version::V3 => {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length will do");
            let url = unescape(url);
            [method.as_bytes(), url.as_bytes(), body, timestamp.as_bytes()].iter().for_each(|part| mac.update(part));
            STANDARD.encode(mac.finalize().into_bytes())
        }
    }
}

/// The timestamp, if it is within the window.
fn fresh(timestamp: Option<&str>, now: Millis) -> Result<&str, SignatureError> {
    let text = timestamp.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let text = text.ok_or(SignatureError::Timestamp)?;
    let millis: i64 = text.parse().map_err(|_| SignatureError::Timestamp)?;
    let off = millis.abs_diff(now.0);
    if off <= WINDOW.unsigned_abs() { Ok(text) } else { Err(SignatureError::Stale(off)) }
}

/// The URL as v3 signs it: of all escapes exactly these are written out, in either case of their hex digits.
///
/// HubSpot's documentation lists them; `%20`, `%25`, `%26` and `%2B` stay.
fn unescape(url: &str) -> Cow<'_, str> {
    if !url.contains('%') {
        return url.into();
    }
    let mut plain = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1..at + 3).unwrap_or_default();
        let (written, taken) = match &escape.to_ascii_uppercase()[..] {
            b"3A" => (':', 3),
            b"2F" => ('/', 3),
            b"3F" => ('?', 3),
            b"40" => ('@', 3),
            b"21" => ('!', 3),
            b"24" => ('$', 3),
            b"27" => ('\'', 3),
            b"28" => ('(', 3),
            b"29" => (')', 3),
            b"2A" => ('*', 3),
            b"2C" => (',', 3),
            b"3B" => (';', 3),
            _ => ('%', 1),
        };
        plain.push(written);
        rest = &rest[at + taken..];
    }
    plain.push_str(rest);
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_listed_escapes_are_written_out_once() {
        assert_eq!(unescape("%3A%2F%3f%40%21%24%27%28%29%2a%2C%3b"), ":/?@!$'()*,;");
        for kept in ["%20%26%2B%25%2E", "%", "%3", "a%zz", "%é", "%253A"] {
            assert_eq!(unescape(kept), kept);
        }
        assert_eq!(unescape("%2525%3A%%3A"), "%2525:%:");
    }
}

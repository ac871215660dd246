//! Signatures by Standard Webhooks 1.0.0: made and checked, with one algorithm and any number of secrets.
//!
//! What is signed is `{webhook-id}.{webhook-timestamp}.{body}`, by HMAC-SHA256 (`v1`). The same secrets serve both
//! directions; while a secret is changed both sides know two: every message then carries a signature by each, and one that
//! matches is enough.

use std::fmt;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::clock::Millis;

/// The header of a message's id: the same at every delivery of it.
pub const ID: &str = "webhook-id";
/// The header of the time of a delivery, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header of the signatures, space-separated.
pub const SIGNATURE: &str = "webhook-signature";

/// How far a message's time may be from ours, both ways, in seconds.
pub const TOLERANCE: i64 = 300;
/// The longest id, in bytes.
const ID_BYTES_MAX: usize = 255;
/// The shortest key, in bytes. The specification asks makers of keys for 24; keys of 23 are in its libraries' own tests.
const KEY_BYTES_MIN: usize = 16;
/// The most signatures of one message that are looked at.
const SIGNATURES_MAX: usize = 32;

/// Why a secret cannot be used. The secret is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("there is no webhook secret")]
    None,
    /// Not base64.
    #[error("the webhook secret is not whsec_ followed by base64")]
    Base64,
    /// Too short to be a secret, perhaps empty.
    #[error("the webhook secret has {0} bytes, fewer than {KEY_BYTES_MIN}")]
    Short(usize),
    /// A key of the other algorithm of the specification.
    #[error("the webhook secret is a key for ed25519 signatures, which are not supported: use a whsec_ one")]
    Asymmetric,
}

/// Why a message is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// A header is missing.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// A header comes twice, or is not plain text.
    #[error("the header {0} is not one plain text")]
    Header(&'static str),
    /// The id cannot be one.
    #[error("the webhook-id is empty, longer than {ID_BYTES_MAX} bytes, or holds a dot")]
    Id,
    /// The time is no whole number of seconds.
    #[error("the webhook-timestamp is not a whole number of seconds")]
    Timestamp,
    /// The time is too far from ours.
    #[error("the webhook-timestamp is more than {TOLERANCE} seconds from the present")]
    Stale,
    /// No signature is by a secret that we have.
    #[error("no v1 signature matches")]
    Mismatch,
}

/// The headers that make a body a signed message.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    /// The value of [`ID`].
    pub id: String,
    /// The value of [`TIMESTAMP`].
    pub timestamp: String,
    /// The value of [`SIGNATURE`].
    pub signature: String,
}

/// The secrets that a portal and we share; the first signs first, all of them are accepted.
pub struct Keys(Vec<SecretSlice<u8>>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl Keys {
    /// Takes secrets in the form `whsec_BASE64`; the prefix and the padding may be left out.
    ///
    /// # Errors
    /// If there is none, or one of them is no usable key.
    pub fn new(secrets: &[SecretString]) -> Result<Self, KeyError> {
        let keys = secrets.iter().map(|secret| key(secret.expose_secret())).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(KeyError::None) } else { Ok(Keys(keys)) }
    }

    /// Signs a body, with every secret.
    ///
    /// # Panics
    /// If the id is empty or holds a dot: ids of ours do not.
    pub fn sign(&self, id: &str, now: Millis, body: &[u8]) -> Signed {
        assert!(is_id(id), "an id of ours has no dot");
        let timestamp = now.0.div_euclid(1000).to_string();
        let entries: Vec<String> =
            self.0.iter().map(|key| format!("v1,{}", BASE64_STANDARD.encode(mac(key, id, &timestamp, body)))).collect();
        Signed { id: id.to_owned(), timestamp, signature: entries.join(" ") }
    }

    /// Checks a message and returns its id.
    ///
    /// The time is looked at first, so that a flood of old messages costs no hashing.
    ///
    /// # Errors
    /// If it is not signed with one of the secrets within [`TOLERANCE`] of `now`.
    pub fn verify<'a>(&self, headers: &'a HeaderMap, body: &[u8], now: Millis) -> Result<&'a str, Untrusted> {
        let id = one(headers, ID)?;
        let timestamp = one(headers, TIMESTAMP)?;
        if !is_id(id) {
            return Err(Untrusted::Id);
        }
        let digits = timestamp.strip_prefix('-').unwrap_or(timestamp);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = timestamp.parse::<i64>().ok().filter(|_| plain).ok_or(Untrusted::Timestamp)?;
        if now.0.div_euclid(1000).abs_diff(seconds) > TOLERANCE.unsigned_abs() {
            return Err(Untrusted::Stale);
        }
        let due: Vec<[u8; 32]> = self.0.iter().map(|key| mac(key, id, timestamp, body)).collect();
        let mut matches = Choice::from(0);
        for given in signatures(headers)? {
            matches |= due.iter().fold(Choice::from(0), |any, due| any | due.ct_eq(&given));
        }
        if bool::from(matches) { Ok(id) } else { Err(Untrusted::Mismatch) }
    }
}

fn is_id(id: &str) -> bool {
    // With a dot in it the same bytes could be signed for another id, time and body.
    !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.contains('.')
}

fn key(secret: &str) -> Result<SecretSlice<u8>, KeyError> {
    let secret = secret.trim();
    if secret.starts_with("whsk_") || secret.starts_with("whpk_") {
        return Err(KeyError::Asymmetric);
    }
    let text = secret.strip_prefix("whsec_").unwrap_or(secret);
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let bytes = GeneralPurpose::new(&STANDARD, lenient).decode(text).map_err(|_| KeyError::Base64)?;
    if bytes.len() < KEY_BYTES_MIN {
        return Err(KeyError::Short(bytes.len()));
    }
    Ok(bytes.into())
}

fn mac(key: &SecretSlice<u8>, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).expect("HMAC takes keys of any length");
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A header that comes once, as text.
fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Untrusted> {
    let mut all = headers.get_all(name).iter();
    let first = all.next().ok_or(Untrusted::Missing(name))?;
    match (first.to_str(), all.next()) {
        (Ok(text), None) => Ok(text),
        _ => Err(Untrusted::Header(name)),
    }
}

/// The `v1` signatures of a message; other versions, and what is no signature, are passed over.
fn signatures(headers: &HeaderMap) -> Result<Vec<[u8; 32]>, Untrusted> {
    let mut found = Vec::new();
    let mut lines = headers.get_all(SIGNATURE).iter().peekable();
    if lines.peek().is_none() {
        return Err(Untrusted::Missing(SIGNATURE));
    }
    for line in lines {
        let line = line.to_str().map_err(|_| Untrusted::Header(SIGNATURE))?;
        let given = line.split(' ').filter_map(|entry| entry.strip_prefix("v1,"));
        let bytes = given.filter_map(|text| BASE64_STANDARD.decode(text).ok());
        found.extend(bytes.filter_map(|bytes| <[u8; 32]>::try_from(bytes).ok()));
    }
    found.truncate(SIGNATURES_MAX);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const NOW: Millis = Millis(1_614_265_330_000);

    fn keys(secrets: &[&str]) -> Keys {
        let secrets: Vec<SecretString> = secrets.iter().map(|&secret| secret.into()).collect();
        Keys::new(&secrets).expect("good secrets")
    }

    fn headers(signed: &Signed) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(ID, &signed.id), (TIMESTAMP, &signed.timestamp), (SIGNATURE, &signed.signature)] {
            headers.insert(name, value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn a_secret_has_to_be_one() {
        let key = |text: &str| Keys::new(&[text.into()]).map(|_| ());
        for wrong in ["", "whsec_", "whsec_QUJD", "whsec_AAAAAAAAAAAAAAAAAAAA"] {
            assert!(matches!(key(wrong), Err(KeyError::Short(_))), "{wrong}");
        }
        assert_eq!(key("whsec_not base64"), Err(KeyError::Base64));
        assert_eq!(key("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Err(KeyError::Asymmetric));
        assert_eq!(Keys::new(&[]).map(|_| ()), Err(KeyError::None));
        // Without padding, without prefix, with the line break of a file.
        assert_eq!(key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS\n"), Ok(()));
        let shown = format!("{:?} {}", keys(&[SECRET]), KeyError::Base64);
        assert!(!shown.contains("MfKQ"), "{shown}");
    }

    #[test]
    fn five_minutes_both_ways_and_not_a_second_more() {
        let keys = keys(&[SECRET]);
        let signed = headers(&keys.sign("msg_1", NOW, b"{}"));
        for seconds in [-300, -1, 0, 299, 300] {
            assert_eq!(keys.verify(&signed, b"{}", NOW.plus(seconds * 1000)), Ok("msg_1"), "{seconds}");
        }
        for seconds in [-301, 301, i64::MAX / 2000, i64::MIN / 2000] {
            assert_eq!(keys.verify(&signed, b"{}", NOW.plus(seconds * 1000)), Err(Untrusted::Stale), "{seconds}");
        }
    }

    #[test]
    fn a_secret_can_be_changed_without_a_gap() {
        let (old, both, new) = (keys(&[OTHER]), keys(&[SECRET, OTHER]), keys(&[SECRET]));
        let by = |keys: &Keys| headers(&keys.sign("msg_1", NOW, b"{}"));
        for (signer, verifier) in [(&old, &both), (&both, &old), (&both, &new), (&new, &both)] {
            assert_eq!(verifier.verify(&by(signer), b"{}", NOW), Ok("msg_1"));
        }
        assert_eq!(new.verify(&by(&old), b"{}", NOW), Err(Untrusted::Mismatch));
    }

    #[test]
    fn headers_have_to_be_whole_and_plain() {
        let keys = keys(&[SECRET]);
        let good = headers(&keys.sign("msg_1", NOW, b"{}"));
        for name in [ID, TIMESTAMP, SIGNATURE] {
            let mut without = good.clone();
            without.remove(name);
            assert_eq!(keys.verify(&without, b"{}", NOW), Err(Untrusted::Missing(name)));
        }
        let with = |name: &'static str, value: &str| {
            let mut headers = good.clone();
            headers.insert(name, value.parse().expect("a header"));
            keys.verify(&headers, b"{}", NOW).map(str::to_owned)
        };
        assert_eq!(with(ID, ""), Err(Untrusted::Id));
        assert_eq!(with(ID, "msg_1.1614265330"), Err(Untrusted::Id));
        for wrong in ["hello", "", "-", "1614265330.0", "+1614265330", "99999999999999999999"] {
            assert_eq!(with(TIMESTAMP, wrong), Err(Untrusted::Timestamp), "{wrong}");
        }
        let given = good[SIGNATURE].to_str().expect("text").to_owned();
        let relabelled = given.replace("v1,", "v2,");
        for wrong in ["v1,", "v1", "", &given[..given.len() - 4], &relabelled, &given.replace(' ', ",")[3..]] {
            assert_eq!(with(SIGNATURE, wrong), Err(Untrusted::Mismatch), "{wrong}");
        }
        assert!(with(SIGNATURE, &format!("v1a,AAAA v2,x {given} v1,AAAA")).is_ok());
        let mut twice = good.clone();
        twice.append(ID, "msg_2".parse().expect("a header"));
        assert_eq!(keys.verify(&twice, b"{}", NOW), Err(Untrusted::Header(ID)));
    }

    proptest! {
        #[test]
        fn one_changed_bit_is_enough_to_fail(
            body in prop::collection::vec(any::<u8>(), 1..64), bit in any::<prop::sample::Index>(),
        ) {
            let keys = keys(&[SECRET]);
            let signed = keys.sign("msg_1", NOW, &body);
            let good = headers(&signed);
            prop_assert_eq!(keys.verify(&good, &body, NOW), Ok("msg_1"));
            let mut changed = body.clone();
            let at = bit.index(body.len() * 8);
            changed[at / 8] ^= 1 << (at % 8);
            prop_assert_eq!(keys.verify(&good, &changed, NOW), Err(Untrusted::Mismatch));
            let renamed = headers(&Signed { id: "msg_2".to_owned(), ..signed });
            prop_assert_eq!(keys.verify(&renamed, &body, NOW), Err(Untrusted::Mismatch));
        }
    }
}

//! Signatures and the URLs that they sign: what somebody has changed must not be taken, what nobody has changed must be.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use standardwebhooks::Webhook;
use syncline::{
    clock::Millis,
    id::to_hex,
    send::chance::Chance,
    side::{
        hubspot::signature::{Headers, Request, SignatureError, Verifier, Version, WINDOW, sign},
        portal::signature::{Keys, TOLERANCE},
    },
};

use super::{
    Target,
    mutate::{mutated, mutated_text, one_of, samples},
};

const NOW: Millis = Millis(1_772_366_400_000);
const SECRETS: [&str; 2] = ["yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "the next one"];

/// The signature of a request as HubSpot's documentation tells it, by other means than the one that is tested.
fn reference(version: Version, secret: &str, method: &str, url: &str, body: &[u8], at: &str) -> String {
    let joined = |parts: &[&[u8]]| parts.concat();
    match version {
        Version::V1 => to_hex(&Sha256::digest(joined(&[secret.as_bytes(), body]))),
        Version::V2 => to_hex(&Sha256::digest(joined(&[secret.as_bytes(), method.as_bytes(), url.as_bytes(), body]))),
        Version::V3 => {
            let mut plain = String::new();
            let mut rest = url.chars();
            while let Some(c) = rest.next() {
                let escape = rest.as_str().get(..2).filter(|_| c == '%');
                let written = match escape.map(str::to_uppercase).as_deref() {
                    Some("3A") => ':',
                    Some("2F") => '/',
                    Some("3F") => '?',
                    Some("40") => '@',
                    Some("21") => '!',
                    Some("24") => '$',
                    Some("27") => '\'',
                    Some("28") => '(',
                    Some("29") => ')',
                    Some("2A") => '*',
                    Some("2C") => ',',
                    Some("3B") => ';',
                    _ => {
                        plain.push(c);
                        continue;
                    }
                };
                plain.push(written);
                rest.nth(1);
            }
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
            mac.update(&joined(&[method.as_bytes(), plain.as_bytes(), body, at.as_bytes()]));
            STANDARD.encode(mac.finalize().into_bytes())
        }
    }
}

/// A request of HubSpot's, signed in one of three ways, and changed on its way.
pub struct HubSpotSignatures {
    urls: Vec<Vec<u8>>,
    verifier: Verifier,
}

impl Target for HubSpotSignatures {
    const NAME: &'static str = "HubSpot signatures";
    const SHARE: u64 = 60_000;
    const BATCH: u64 = 1000;

    fn new(_: &mut Chance) -> Self {
        let secrets = SECRETS.iter().map(|secret| SecretString::from(*secret)).collect();
        HubSpotSignatures { urls: samples(include_str!("../../fuzz/urls.txt")), verifier: Verifier::new(secrets) }
    }

    /// The URL.
    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        let url = str::from_utf8(chance.pick::<Vec<u8>>(&self.urls)).expect("UTF-8");
        let escapes = ["%3A", "%2f", "%3F", "%40", "%2525", "%", "%é", "%3", "%20", "%2B"];
        let mut url = mutated_text(url, &self.urls, chance);
        for _ in 0..chance.below(4) {
            let at = url.char_indices().map(|(at, _)| at).nth(chance.below(url.chars().count() as u64 + 1) as usize);
            url.insert_str(at.unwrap_or(url.len()), chance.pick::<&str>(&escapes));
        }
        url.into_bytes()
    }

    fn feed(&mut self, input: &[u8], chance: &mut Chance) {
        let url = str::from_utf8(input).expect("a text");
        let version = *chance.pick(&[Version::V1, Version::V2, Version::V3]);
        let secret = *chance.pick(&["yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "the next one", "somebody else's", ""]);
        let off = *chance.pick(&[0, WINDOW, -WINDOW, WINDOW + 1, -WINDOW - 1, 1 << 40, i64::MIN / 4]);
        let mut at = NOW.0.wrapping_add(off).to_string();
        let mut body = b"[{\"portalId\":1}]".to_vec();
        let request = Request { method: "POST", url, body: &body };
        let mut shown = sign(version, &SecretString::from(secret), &request, &at);
        assert_eq!(shown, reference(version, secret, "POST", url, &body, &at), "{version} of {url:?}");
        match chance.below(6) {
            0 => shown = mutated_text(&shown.clone(), &[], chance),
            1 => body = mutated(&body, &[], chance),
            2 => at = mutated_text(&at.clone(), &[], chance),
            _ => {}
        }
        let request = Request { method: "POST", url, body: &body };
        let headers = match version {
            Version::V1 => Headers { signature: Some(&shown), version: Some("v1"), ..Headers::default() },
            Version::V2 => Headers { signature: Some(&shown), version: Some("v2"), ..Headers::default() },
            Version::V3 => Headers { v3: Some(&shown), timestamp: Some(&at), ..Headers::default() },
        };
        let is_right = SECRETS.iter().any(|secret| reference(version, secret, "POST", url, &body, &at) == shown);
        let is_time = at.bytes().all(|byte| byte.is_ascii_digit()).then(|| at.parse::<i64>().ok()).flatten();
        let is_fresh = is_time.is_some_and(|at| at.abs_diff(NOW.0) <= WINDOW.unsigned_abs());
        let due = is_right && (version < Version::V3 || is_fresh);
        match self.verifier.verify(&request, &headers, NOW) {
            Ok(found) => assert!(due && found == version, "{version} was taken of {url:?}"),
            Err(why) => {
                assert!(!due, "{version} was refused of {url:?}: {why}");
                let of_time = matches!(why, SignatureError::Timestamp | SignatureError::Stale(_));
                assert!(if of_time { !is_fresh } else { why == SignatureError::Wrong }, "{why}");
            }
        }
    }
}

/// A Standard Webhook, changed on its way; what is taken is what the specification's own library takes.
pub struct WebhookSignatures {
    keys: Keys,
    theirs: Vec<Webhook>,
}

const KEYS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];

impl Target for WebhookSignatures {
    const NAME: &'static str = "Standard Webhooks";
    const SHARE: u64 = 30_000;
    const BATCH: u64 = 1000;

    fn new(_: &mut Chance) -> Self {
        let secrets = KEYS.map(SecretString::from);
        let theirs = KEYS.map(|key| Webhook::new(key).expect("a good key"));
        WebhookSignatures { keys: Keys::new(&secrets).expect("good keys"), theirs: theirs.into() }
    }

    /// The body.
    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        let sound = samples(include_str!("../../fuzz/portal.jsonl"));
        one_of(&sound, chance)
    }

    fn feed(&mut self, input: &[u8], chance: &mut Chance) {
        let sent = *chance.pick(&[0, TOLERANCE, -TOLERANCE, TOLERANCE + 1, -TOLERANCE - 1]);
        let mut signed = self.keys.sign("msg_1", Millis(NOW.0 + sent * 1000), input);
        let mut body = input.to_vec();
        match chance.below(8) {
            0 => body = mutated(&body, &[], chance),
            1 => signed.id = mutated_text(&signed.id.clone(), &[], chance),
            2 => signed.timestamp = mutated_text(&signed.timestamp.clone(), &[], chance),
            3 => signed.signature = mutated_text(&signed.signature.clone(), &[], chance),
            4 => signed.signature = signed.signature.split(' ').next_back().unwrap_or_default().to_owned(),
            5 => signed.signature = format!("v2,x v1a,y {} v1,", signed.signature),
            _ => {}
        }
        let mut headers = HeaderMap::new();
        let named = [
            ("webhook-id", &signed.id),
            ("webhook-timestamp", &signed.timestamp),
            ("webhook-signature", &signed.signature),
        ];
        for (name, value) in named {
            let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else { return };
            headers.insert(HeaderName::from_static(name), value);
        }
        let ours = self.keys.verify(&headers, &body, NOW);
        // The reference signs texts, and times as it would write them itself.
        let Ok(seconds) = signed.timestamp.parse::<i64>() else { return assert!(ours.is_err()) };
        if str::from_utf8(&body).is_err() || seconds.to_string() != signed.timestamp {
            return;
        }
        let due = |theirs: &Webhook| theirs.sign(&signed.id, seconds, &body).expect("a text");
        let is_signed = self.theirs.iter().any(|theirs| signed.signature.split(' ').any(|entry| entry == due(theirs)));
        let is_fresh = (NOW.0 / 1000).abs_diff(seconds) <= TOLERANCE.unsigned_abs();
        match ours {
            Ok(id) => {
                assert!(is_signed && is_fresh, "taken, although the reference does not");
                assert_eq!(id, signed.id);
            }
            // We ask more of an id, and look at a bounded number of signatures.
            Err(why) => {
                let plain = signed.signature.bytes().all(|byte| (b' '..=b'~').contains(&byte));
                let bounded = signed.id == "msg_1" && signed.signature.len() < 1000 && plain;
                assert!(!(is_signed && is_fresh && bounded), "refused, although the reference takes it: {why}");
            }
        }
    }
}

//! Signatures: those that HubSpot and its clients publish, and any that are not.

use proptest::prelude::*;
use secrecy::SecretString;
use serde::Deserialize;
use syncline::{
    clock::Millis,
    side::hubspot::signature::{Headers, Request, SignatureError, Verifier, Version, WINDOW, sign},
};

const VECTORS: &str = include_str!("../data/hubspot-signature-vectors.json");
const URL: &str = "https://hooks.example.com/hooks/hubspot/54321?a=1";
const NOW: Millis = Millis(1_700_000_000_000);

#[derive(Deserialize)]
struct Vectors {
    published: Group,
    generated: Group,
}

#[derive(Deserialize)]
struct Group {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Vector {
    version: String,
    secret: String,
    method: String,
    uri: String,
    body: String,
    timestamp: String,
    signature: String,
}

impl Default for Vector {
    fn default() -> Self {
        let empty = String::new;
        Vector {
            version: empty(),
            secret: empty(),
            method: "POST".into(),
            uri: URL.into(),
            body: empty(),
            timestamp: empty(),
            signature: empty(),
        }
    }
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

fn verifier(secrets: &[&str]) -> Verifier {
    Verifier::new(secrets.iter().map(|text| secret(text)).collect())
}

/// A request with the headers of one version, signed with `secret`.
struct Signed {
    version: Version,
    method: String,
    url: String,
    body: Vec<u8>,
    timestamp: String,
    signature: String,
}

impl Signed {
    fn new(version: Version, body: &[u8], key: &str) -> Self {
        let timestamp = NOW.0.to_string();
        let request = Request { method: "POST", url: URL, body };
        let signature = sign(version, &secret(key), &request, &timestamp);
        Signed { version, method: "POST".into(), url: URL.into(), body: body.to_vec(), timestamp, signature }
    }

    fn check(&self, verifier: &Verifier, now: Millis) -> Result<Version, SignatureError> {
        let request = Request { method: &self.method, url: &self.url, body: &self.body };
        let headers = match self.version {
            Version::V1 => Headers { signature: Some(&self.signature), version: Some("v1"), ..Headers::default() },
            Version::V2 => Headers { signature: Some(&self.signature), version: Some("v2"), ..Headers::default() },
            Version::V3 => {
                Headers { v3: Some(&self.signature), timestamp: Some(&self.timestamp), ..Headers::default() }
            }
        };
        verifier.verify(&request, &headers, now)
    }
}

#[test]
fn published_and_agreed_vectors_are_made_and_taken() {
    let Vectors { published, generated } = serde_json::from_str(VECTORS).expect("the vectors are JSON");
    let all: Vec<Vector> = published.vectors.into_iter().chain(generated.vectors).collect();
    assert_eq!(all.len(), 7);
    for vector in all {
        let version = match vector.version.as_str() {
            "v1" => Version::V1,
            "v2" => Version::V2,
            _ => Version::V3,
        };
        let request = Request { method: &vector.method, url: &vector.uri, body: vector.body.as_bytes() };
        assert_eq!(sign(version, &secret(&vector.secret), &request, &vector.timestamp), vector.signature);
        let now = Millis(vector.timestamp.parse().unwrap_or(NOW.0));
        let signed = Signed {
            version,
            method: vector.method.clone(),
            url: vector.uri.clone(),
            body: vector.body.clone().into_bytes(),
            timestamp: vector.timestamp.clone(),
            signature: vector.signature.clone(),
        };
        assert_eq!(signed.check(&verifier(&[&vector.secret]), now), Ok(version));
        assert_eq!(signed.check(&verifier(&["another"]), now), Err(SignatureError::Wrong));
    }
}

#[test]
fn the_window_is_five_minutes_either_way() {
    let signed = Signed::new(Version::V3, b"[]", "s");
    for (off, due) in [
        (0, Ok(Version::V3)),
        (WINDOW, Ok(Version::V3)),
        (-WINDOW, Ok(Version::V3)),
        (WINDOW + 1, Err(SignatureError::Stale(300_001))),
        (-WINDOW - 1, Err(SignatureError::Stale(300_001))),
    ] {
        assert_eq!(signed.check(&verifier(&["s"]), NOW.plus(off)), due, "{off}");
    }
    for timestamp in ["", "-5", "+5", "1700000000000 ", "1.7e12", "99999999999999999999"] {
        let signed = Signed { timestamp: timestamp.into(), ..Signed::new(Version::V3, b"[]", "s") };
        assert_eq!(signed.check(&verifier(&["s"]), NOW), Err(SignatureError::Timestamp), "{timestamp:?}");
    }
}

#[test]
fn where_v3_is_there_it_alone_decides() {
    let (old, new) = (Signed::new(Version::V1, b"[]", "s"), Signed::new(Version::V3, b"[]", "s"));
    let request = Request { method: "POST", url: URL, body: b"[]" };
    let headers = Headers {
        signature: Some(&old.signature),
        version: Some("v1"),
        v3: Some(&new.signature),
        timestamp: Some(&new.timestamp),
    };
    let verify = |headers| verifier(&["s"]).verify(&request, &headers, NOW);
    assert_eq!(verify(headers), Ok(Version::V3));
    assert_eq!(verify(Headers { v3: Some("AAAA"), ..headers }), Err(SignatureError::Wrong));
    assert_eq!(verify(Headers { timestamp: None, ..headers }), Err(SignatureError::Timestamp));
    assert_eq!(verify(Headers { v3: None, ..headers }), Ok(Version::V1));
    assert_eq!(verify(Headers { v3: None, version: None, ..headers }), Err(SignatureError::Version));
    assert_eq!(verify(Headers { v3: None, version: Some("v3"), ..headers }), Err(SignatureError::Version));
    assert_eq!(verify(Headers::default()), Err(SignatureError::Unsigned));
    let strict = verifier(&["s"]).at_least(Version::V3);
    let weak = strict.verify(&request, &Headers { v3: None, ..headers }, NOW);
    assert_eq!(weak, Err(SignatureError::Weak { found: Version::V1, least: Version::V3 }));
}

#[test]
fn while_secrets_are_exchanged_each_of_them_counts_and_an_empty_one_never() {
    for version in [Version::V1, Version::V2, Version::V3] {
        for key in ["new", "old"] {
            assert_eq!(Signed::new(version, b"[]", key).check(&verifier(&["new", "old"]), NOW), Ok(version));
        }
        assert_eq!(Signed::new(version, b"[]", "").check(&verifier(&["new", ""]), NOW), Err(SignatureError::Wrong));
        assert_eq!(Signed::new(version, b"[]", "").check(&verifier(&[]), NOW), Err(SignatureError::Wrong));
    }
}

#[test]
fn v3_signs_the_url_with_the_listed_escapes_written_out() {
    // HubSpot describes it; its own clients do not do it.
    let key = secret("s");
    let of = |url: &str| sign(Version::V3, &key, &Request { method: "POST", url, body: b"" }, "1");
    let plain = "https://example.com/a:b/c?d@e!f$g'h(i)j*k,l;m";
    assert_eq!(
        of(plain),
        of("https%3A%2F%2Fexample.com%2fa%3ab%2Fc%3Fd%40e%21f%24g%27h%28i%29j%2aK%2Cl%3Bm".replace('K', "k").as_str())
    );
    for kept in ["%20", "%26", "%2B", "%25"] {
        assert_ne!(
            of(&format!("https://e/{kept}")),
            of(&format!(
                "https://e/{}",
                kept.replace("%20", " ").replace("%26", "&").replace("%2B", "+").replace("%25", "%")
            ))
        );
    }
    let v2 = |url: &str| sign(Version::V2, &key, &Request { method: "POST", url, body: b"" }, "1");
    assert_ne!(v2("https://e/%3A"), v2("https://e/:"), "v2 signs it as it is");
}

/// A text with one bit of one byte flipped, as long as it stays a text.
fn flipped(text: &str, at: usize, bit: u8) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let at = at % bytes.len();
    bytes[at] ^= 1 << bit;
    String::from_utf8(bytes).ok()
}

proptest! {
    #![proptest_config(super::kept_in("proptest-regressions/hubspot_signature.txt"))]

    #[test]
    fn what_is_signed_is_taken_and_any_flipped_bit_is_not(
        version in prop::sample::select(&[Version::V1, Version::V2, Version::V3][..]),
        body in prop::collection::vec(any::<u8>(), 1..64),
        key in "\\PC{1,12}",
        (at, bit) in (any::<usize>(), 0u8..7),
    ) {
        let verifier = verifier(&[&key]);
        let signed = || Signed::new(version, &body, &key);
        prop_assert_eq!(signed().check(&verifier, NOW), Ok(version));
        let mut changed = signed();
        let place = at % changed.body.len();
        changed.body[place] ^= 1 << bit;
        prop_assert_eq!(changed.check(&verifier, NOW), Err(SignatureError::Wrong));
        let signature = flipped(&signed().signature, at, bit).expect("ASCII stays ASCII");
        prop_assert_eq!(Signed { signature, ..signed() }.check(&verifier, NOW), Err(SignatureError::Wrong));
        if version >= Version::V2 {
            let method = flipped("POST", at, bit).expect("ASCII stays ASCII");
            prop_assert_eq!(Signed { method, ..signed() }.check(&verifier, NOW), Err(SignatureError::Wrong));
            let url = flipped(URL, at, bit).expect("ASCII stays ASCII");
            prop_assert_eq!(Signed { url, ..signed() }.check(&verifier, NOW), Err(SignatureError::Wrong));
        }
        if version == Version::V3 {
            let timestamp = flipped(&signed().timestamp, at, bit).expect("ASCII stays ASCII");
            let late = Signed { timestamp, ..signed() };
            prop_assert!(late.check(&verifier, NOW).is_err());
        }
        if let Some(other) = flipped(&key, at, bit) {
            prop_assert_eq!(signed().check(&self::verifier(&[&other]), NOW), Err(SignatureError::Wrong));
        }
    }

    #[test]
    fn no_header_panics(v3 in "\\PC{0,64}", timestamp in "\\PC{0,20}", url in "[a-c%23AFaf😀]{0,24}") {
        let headers = Headers { v3: Some(&v3), timestamp: Some(&timestamp), ..Headers::default() };
        let request = Request { method: "POST", url: &url, body: b"" };
        prop_assert!(verifier(&["s"]).verify(&request, &headers, NOW).is_err());
        sign(Version::V3, &secret("s"), &request, &timestamp);
    }
}

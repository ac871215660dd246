//! HubSpot's three ways of signing a request, after its own description and independent of the code that checks them.

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What is signed.
pub(super) struct Signed<'a> {
    pub secret: &'a str,
    pub method: &'a str,
    /// The whole public URL.
    pub uri: &'a str,
    pub body: &'a str,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// The escapes that are written out before v3 signs a URL.
const WRITTEN_OUT: [(&str, &str); 12] = [
    ("3A", ":"),
    ("2F", "/"),
    ("3F", "?"),
    ("40", "@"),
    ("21", "!"),
    ("24", "$"),
    ("27", "'"),
    ("28", "("),
    ("29", ")"),
    ("2A", "*"),
    ("2C", ","),
    ("3B", ";"),
];

impl Signed<'_> {
    /// The headers of the versions.
    pub fn headers(&self, versions: &[String]) -> Vec<(&'static str, String)> {
        let has = |name: &str| versions.iter().any(|version| version == name);
        let mut headers = Vec::new();
        // v1 and v2 share a header, so one request carries one of them.
        if has("v2") {
            headers.push(("X-HubSpot-Signature", self.v2()));
            headers.push(("X-HubSpot-Signature-Version", "v2".into()));
        } else if has("v1") {
            headers.push(("X-HubSpot-Signature", self.v1()));
            headers.push(("X-HubSpot-Signature-Version", "v1".into()));
        }
        if has("v3") {
            headers.push(("X-HubSpot-Signature-v3", self.v3()));
            headers.push(("X-HubSpot-Request-Timestamp", self.timestamp.to_string()));
        }
        headers
    }

    /// The hash of secret and body, in hexadecimal.
    pub fn v1(&self) -> String {
        hex(&Sha256::digest(format!("{}{}", self.secret, self.body)))
    }

    /// The hash of secret, method, URL and body, in hexadecimal.
    pub fn v2(&self) -> String {
        hex(&Sha256::digest(format!("{}{}{}{}", self.secret, self.method, self.uri, self.body)))
    }

    /// The HMAC of method, URL, body and time, in base64.
    pub fn v3(&self) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("HMAC takes keys of every length");
        let text = format!("{}{}{}{}", self.method, written_out(self.uri), self.body, self.timestamp);
        mac.update(text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
    }
}

fn written_out(uri: &str) -> String {
    let mut plain = String::with_capacity(uri.len());
    let mut rest = uri;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let escape = rest.get(at + 1..at + 3).unwrap_or_default();
        match WRITTEN_OUT.iter().find(|(hex, _)| hex.eq_ignore_ascii_case(escape)) {
            Some((_, text)) => {
                plain.push_str(text);
                rest = &rest[at + 3..];
            }
            None => {
                plain.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    plain + rest
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HubSpot's published example, and vectors that its Python and Node clients both computed.
    #[test]
    fn signatures_are_those_of_hubspots_own_clients() {
        let body = concat!(
            r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"#,
            r#""subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","#,
            r#""changeFlag":"NEW","appId":54321}]"#
        );
        let secret = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
        let uri = "https://www.example.com/webhook_uri";
        let signed = Signed { secret, method: "POST", uri, body, timestamp: 1_700_000_000_000 };
        assert_eq!(signed.v1(), "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de");
        assert_eq!(signed.v3(), "/pXDSgWeGksQpwCsgqd43P0eY6gBIse9UX0tfkudUrE=");
        let form = Signed { body: r#"{"example_field":"example_value"}"#, ..signed };
        assert_eq!(form.v2(), "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900");
        let uri = "https://hooks.example.com/hs?tenant=a&x=1";
        let body = "[{\"propertyValue\":\"Zo\u{eb} \u{2014} \u{1f600}\"}]";
        let wide = Signed { secret, method: "POST", uri, body, timestamp: 1_790_000_000_123 };
        assert_eq!(wide.v3(), "mrSzp9jwoCPxX+0eLa340i0v7Vhf6gRt59mVyZjfQGc=");
    }

    #[test]
    fn only_the_named_escapes_are_written_out() {
        assert_eq!(written_out("a%3a%2F%20%26%2B%25%zz%"), "a:/%20%26%2B%25%zz%");
    }
}

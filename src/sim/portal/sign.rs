//! Signatures of messages, as a portal makes and checks them: written from the specification, not from our own code.

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

/// The seconds that a message's time may be off.
const SECONDS: i64 = 300;

/// The portal's secrets: the first signs, all of them are accepted.
pub struct Signer(Vec<SecretSlice<u8>>);

impl Signer {
    /// Takes secrets as `whsec_BASE64`; `None` if one is not.
    pub fn new(secrets: &[&str]) -> Option<Self> {
        let bytes = |secret: &&str| BASE64_STANDARD.decode(secret.trim().strip_prefix("whsec_")?).ok();
        let keys = secrets.iter().map(bytes).collect::<Option<Vec<_>>>()?;
        let good = !keys.is_empty() && keys.iter().all(|key| !key.is_empty());
        good.then(|| Signer(keys.into_iter().map(SecretSlice::from).collect()))
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        format!("v1,{}", BASE64_STANDARD.encode(self.mac(0, id, &seconds.to_string(), body).finalize().into_bytes()))
    }

    /// Whether one of the signatures is right, and the time near enough.
    pub fn accepts(&self, id: &str, timestamp: &str, signatures: &str, body: &[u8], now_seconds: i64) -> bool {
        let near = timestamp.parse::<i64>().is_ok_and(|at| (now_seconds - at).abs() <= SECONDS);
        let right = |text: &str| {
            let given = text.strip_prefix("v1,").and_then(|text| BASE64_STANDARD.decode(text).ok());
            given.is_some_and(|given| {
                (0..self.0.len()).any(|key| self.mac(key, id, timestamp, body).verify_slice(&given).is_ok())
            })
        };
        near && signatures.split_ascii_whitespace().any(right)
    }

    fn mac(&self, key: usize, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0[key].expose_secret()).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_own_example_is_made_and_accepted() {
        let signer = Signer::new(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).expect("a secret");
        let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        let signature = signer.sign(id, at, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(signer.accepts(id, "1614265330", &format!("v2,x {signature}"), body, at + 300));
        assert!(!signer.accepts(id, "1614265330", &signature, body, at + 301));
        assert!(!signer.accepts("msg_2", "1614265330", &signature, body, at));
        assert!(Signer::new(&["whsec_"]).is_none() && Signer::new(&[]).is_none());
    }
}

//! The HTTP client under every dialect: one address, nowhere else, with bounds on time and size.
//!
//! It follows no redirect, reads no proxy from the environment, tries nothing again and speaks only to the host it was made
//! for. What an answer means is for the dialect to say; what a *missing* answer means is said here: whether the request can
//! have reached the side.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{
    Client, Method, RequestBuilder, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{DATE, HeaderMap, RETRY_AFTER},
    redirect, retry,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::clock::Millis;

/// What our calls name themselves.
const USER_AGENT: &str = concat!("syncline/", env!("CARGO_PKG_VERSION"));

/// The bounds of every call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest time until a connection stands.
    pub connect: Duration,
    /// The longest time of a whole call.
    pub whole: Duration,
    /// The largest answer, in bytes.
    pub answer_bytes: usize,
    /// Whether a host's *name* may lead to a private address.
    ///
    /// An address written as such, and `localhost`, is meant and always allowed; a name that a stranger's DNS answers is not.
    pub private: bool,
}

impl Default for Limits {
    /// Five seconds, twenty seconds, 8 MiB, no private addresses.
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(5),
            whole: Duration::from_secs(20),
            answer_bytes: 8 << 20,
            private: false,
        }
    }
}

/// Why there is no client for an address.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is none, or not one of HTTP.
    #[error("the address is not an http:// or https:// one with a host, without user, query or fragment")]
    Address,
    /// The machine's certificates cannot be used.
    #[error("cannot set up TLS with the machine's certificates")]
    Tls(#[source] rustls::Error),
    /// The client cannot be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// A call without an answer. Neither the address nor the body is in its text.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The request certainly did not leave.
    #[error("no connection")]
    NotSent(#[source] reqwest::Error),
    /// The request may have left, and taken effect.
    #[error("no answer")]
    MaybeSent(#[source] reqwest::Error),
    /// The request was taken, and its answer is larger than is read.
    #[error("the answer is larger than {0} bytes")]
    AnswerTooLarge(usize),
}

impl Broken {
    /// Whether the request certainly did not reach the side.
    pub fn never_left(&self) -> bool {
        matches!(self, Broken::NotSent(_))
    }
}

/// A complete answer.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    // Bodies hold a customer's data, and headers may hold credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

impl Answer {
    /// A header's text, if it is plain ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the side asks us to stay away, in milliseconds: its `Retry-After`, in seconds or as a date.
    pub fn retry_after(&self, now: Millis) -> Option<i64> {
        let text = self.header(RETRY_AFTER.as_str())?.trim();
        if let Ok(seconds) = text.parse::<f64>() {
            // A date is no number; of a number only a sensible one counts.
            return (0.0..=1e10).contains(&seconds).then_some((seconds * 1000.0) as i64);
        }
        Some(http_date(text)?.0.saturating_sub(now.0).max(0))
    }

    /// The side's own time of the answer, in whole seconds.
    pub fn date(&self) -> Option<Millis> {
        http_date(self.header(DATE.as_str())?)
    }
}

fn http_date(text: &str) -> Option<Millis> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Millis)
}

/// A client of one address. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    base: Url,
    limits: Limits,
}

impl Http {
    /// A client of `base` and what is below it.
    ///
    /// # Errors
    /// If `base` is no address, or TLS cannot be set up.
    pub fn new(base: &str, limits: Limits) -> Result<Self, HttpError> {
        let url = Url::parse(base).map_err(|_| HttpError::Address)?;
        let bare = url.username().is_empty() && url.password().is_none();
        let whole = url.query().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !bare || !whole {
            return Err(HttpError::Address);
        }
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .connect_timeout(limits.connect)
            .timeout(limits.whole)
            // Sides close idle connections after a minute or so; ours go first, so that no request meets a dying one.
            .pool_idle_timeout(Duration::from_secs(30))
            .https_only(url.scheme() == "https")
            .dns_resolver(Arc::new(Names { private: limits.private }))
            .tls_backend_preconfigured(tls(url.scheme() == "https")?);
        let client = client.build().map_err(|why| HttpError::Client(why.without_url()))?;
        Ok(Http { client, base: url, limits })
    }

    /// The address, as it was given.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Begins a request to `path` below the address; it begins with a slash, or is empty, and may carry a query.
    ///
    /// # Errors
    /// If the path leads to another host.
    pub fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, HttpError> {
        let base = self.base.as_str();
        let text = if path.is_empty() { base.to_owned() } else { format!("{}{path}", base.trim_end_matches('/')) };
        let url = Url::parse(&text).map_err(|_| HttpError::Address)?;
        let same = url.origin() == self.base.origin() && url.username().is_empty() && url.password().is_none();
        if same { Ok(self.client.request(method, url)) } else { Err(HttpError::Address) }
    }

    /// Makes a call and reads the answer to its end.
    ///
    /// # Errors
    /// If there is no whole answer, with whether the request can have reached the side.
    pub async fn call(&self, request: RequestBuilder) -> Result<Answer, Broken> {
        let mut response = request.send().await.map_err(broken)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|why| Broken::MaybeSent(why.without_url()))? {
            if body.len() + part.len() > self.limits.answer_bytes {
                return Err(Broken::AnswerTooLarge(self.limits.answer_bytes));
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer { status, headers, body })
    }
}

fn broken(why: reqwest::Error) -> Broken {
    // A connection that was never made carried nothing; anything later may have.
    let never = why.is_connect() || why.is_builder();
    let why = why.without_url();
    if never { Broken::NotSent(why) } else { Broken::MaybeSent(why) }
}

/// TLS by the machine's own certificates; for plain HTTP a setting that trusts nobody, since it is never used.
fn tls(needed: bool) -> Result<ClientConfig, HttpError> {
    static SYSTEM: OnceLock<ClientConfig> = OnceLock::new();
    let builder = || {
        let provider = Arc::new(ring::default_provider());
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(HttpError::Tls)
    };
    if !needed {
        return Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    // Reading the certificates takes tens of milliseconds, and there may be a client for each of many tenants.
    if let Some(config) = SYSTEM.get() {
        return Ok(config.clone());
    }
    let config = builder()?.with_platform_verifier().map_err(HttpError::Tls)?.with_no_client_auth();
    Ok(SYSTEM.get_or_init(|| config).clone())
}

/// Looks names up and leaves out private addresses, so that a name cannot lead into the network we stand in.
struct Names {
    private: bool,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private || name.as_str().eq_ignore_ascii_case("localhost");
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|found| private || is_public(found.ip())).collect();
            if allowed.is_empty() {
                return Err("the host's name leads to no public address".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address lies in the open internet: not of this machine, this network, or a reserved range.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let reserved = a == 0 || a >= 240 || (a, b, c) == (192, 0, 0) || a == 198 && (b == 18 || b == 19);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || shared
                || reserved)
        }
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            // 64:ff9b::/96 carries an IPv4 address through a translator.
            if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
                let [.., a, b, c, d] = v6.octets();
                return is_public(IpAddr::from([a, b, c, d]));
            }
            // Only 2000::/3 is given out; of it 2001:db8::/32 is for documentation, 2002::/16 carries IPv4 addresses.
            segments[0] & 0xe000 == 0x2000 && segments[..2] != [0x2001, 0xdb8] && segments[0] != 0x2002
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(base: &str) -> Result<Http, HttpError> {
        Http::new(base, Limits::default())
    }

    #[test]
    fn only_plain_addresses_make_a_client() {
        for right in ["http://127.0.0.1:1/hooks", "https://portal.example.com", "http://[::1]:80/"] {
            assert!(http(right).is_ok(), "{right}");
        }
        for wrong in
            ["", "portal", "ftp://x/", "http://", "http://u:p@h/", "http://h/?q=1", "http://h/#f", "file:///etc"]
        {
            assert!(matches!(http(wrong), Err(HttpError::Address)), "{wrong}");
        }
    }

    #[test]
    fn no_path_leads_to_another_host() {
        let http = http("https://portal.example.com").expect("an address");
        assert!(http.request(Method::GET, "/a/b?c=d").is_ok());
        assert!(http.request(Method::GET, "").is_ok());
        for wrong in ["@evil.example/", ".evil.example/", ":81/", "evil"] {
            assert!(matches!(http.request(Method::GET, wrong), Err(HttpError::Address)), "{wrong}");
        }
        // A path with two slashes in front stays a path.
        let request = http.request(Method::GET, "//evil.example/x").expect("a path").build().expect("a request");
        assert_eq!(request.url().host_str(), Some("portal.example.com"));
    }

    #[test]
    fn public_addresses_are_told_from_private_ones() {
        let public = ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::101:101", "::ffff:8.8.8.8"];
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ];
        for address in public {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
        for address in private {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
    }

    fn answer(name: &'static str, value: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header"));
        Answer { status: 429, headers, body: b"secret".to_vec() }
    }

    #[test]
    fn the_time_to_stay_away_is_read_in_both_forms() {
        let now = Millis(784_111_777_000);
        let after = |text: &str| answer("retry-after", text).retry_after(now);
        assert_eq!(after("120"), Some(120_000));
        assert_eq!(after("0.5"), Some(500));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10_000));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        for wrong in ["soon", "-1", "NaN", "inf", "1e300"] {
            assert_eq!(after(wrong), None, "{wrong}");
        }
        assert_eq!(answer("date", "Sun, 06 Nov 1994 08:49:37 GMT").date(), Some(now));
    }

    #[test]
    fn an_answer_shows_nothing_of_its_body() {
        assert_eq!(format!("{:?}", answer("set-cookie", "secret")), "Answer(429, 6 bytes)");
    }
}

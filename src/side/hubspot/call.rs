//! One request to HubSpot, and what its answer means for what was asked.

use reqwest::Method;
use serde_json::Value as Json;

use super::answer::Problem;
use crate::send::{
    Lane, ReadError, Urgency,
    quota::{Told, Window},
    retry::WAIT_MOST,
};
use crate::{clock::Millis, side::http::Answer};

/// The least wait on a record that HubSpot holds locked, in milliseconds.
const LOCKED: i64 = 2_000;
/// The wait on an account that moves, where HubSpot does not say, in milliseconds.
const MOVES: i64 = 3_600_000;
/// The wait after an answer that HubSpot itself would not give, in milliseconds.
const ASTRAY: i64 = 60_000;

/// What is asked of HubSpot, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// One record is read.
    Read,
    /// Several are.
    BatchRead,
    /// A page of a kind is.
    List,
    /// Records are looked for.
    Search,
    /// One is made.
    Create,
    /// One is changed.
    Update,
    /// Several are.
    BatchUpdate,
    /// One is deleted.
    Archive,
    /// Records are joined, or parted.
    Associate,
    /// What they are joined with is read.
    Associations,
    /// The definitions of properties are read.
    Properties,
    /// A token is renewed.
    Token,
}

impl Op {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Op::Read => "read",
            Op::BatchRead => "batch_read",
            Op::List => "list",
            Op::Search => "search",
            Op::Create => "create",
            Op::Update => "update",
            Op::BatchUpdate => "batch_update",
            Op::Archive => "archive",
            Op::Associate => "associate",
            Op::Associations => "associations",
            Op::Properties => "properties",
            Op::Token => "token",
        }
    }
}

/// A request.
pub struct Call {
    /// What is asked.
    pub op: Op,
    /// How.
    pub method: Method,
    /// Where, below the base address, with its query.
    pub path: String,
    /// What goes with it.
    pub body: Option<Json>,
    /// How much it matters.
    pub urgency: Urgency,
}

impl Call {
    /// A request without a body.
    pub fn new(op: Op, method: Method, path: String, urgency: Urgency) -> Self {
        Call { op, method, path, body: None, urgency }
    }

    /// A request with a body.
    pub fn with(op: Op, method: Method, path: String, urgency: Urgency, body: Json) -> Self {
        Call { body: Some(body), ..Self::new(op, method, path, urgency) }
    }

    /// Which limits it counts against.
    pub fn lane(&self) -> Lane {
        if self.op == Op::Search { Lane::Search } else { Lane::Plain }
    }
}

/// Why a call brought nothing.
#[derive(Clone)]
pub enum Trouble {
    /// It certainly did not take effect; it may be tried again after so many milliseconds, or whenever it suits if zero.
    NotTaken(i64),
    /// It has not left, because there is no place in the quota for so many milliseconds, or what it would answer is not to
    /// be believed yet.
    NotYet(i64),
    /// It may have taken effect.
    Unknown,
    /// HubSpot has answered that it will not, with this status.
    Refused(u16, Box<Problem>),
    /// HubSpot does not accept who we are. Nothing took effect, and nothing will until that changes.
    Unauthorized,
}

impl Trouble {
    /// How long to wait before something that changes nothing is asked again, in milliseconds.
    pub fn wait(&self) -> i64 {
        match self {
            Trouble::NotTaken(wait) | Trouble::NotYet(wait) => *wait,
            Trouble::Unknown => 0,
            Trouble::Refused(..) | Trouble::Unauthorized => ASTRAY,
        }
    }

    /// What it means for a question.
    pub fn unread(&self) -> ReadError {
        match self {
            Trouble::NotYet(wait) => ReadError::NotYet(*wait),
            trouble => ReadError::RetryAfter(trouble.wait()),
        }
    }

    /// Whether HubSpot answered with this status that it will not.
    pub fn is_refused_with(&self, status: u16) -> bool {
        matches!(self, Trouble::Refused(refused, _) if *refused == status)
    }
}

/// What an answer means.
pub(super) enum Judged {
    /// It is what was asked for.
    Good,
    /// The limit of this window is reached.
    Limited(Option<Window>, Option<i64>),
    /// The account wants to be left alone for so many milliseconds.
    Alone(i64),
    /// Anything else.
    Bad(Trouble),
}

/// Judges an answer by its status and, where it says more, its body.
///
/// Only what is certain counts as not taken: 500, 502, 504 and what a proxy reports after it has passed a request on may hide a
/// write that took effect.
pub(super) fn judge(answer: &Answer, lane: Lane, now: Millis) -> Judged {
    let asked = answer.retry_after(now).map(|asked| asked.min(WAIT_MOST));
    match answer.status {
        200..=299 => Judged::Good,
        429 => Judged::Limited(window(&Problem::read(&answer.body), lane), asked),
        423 => Judged::Bad(Trouble::NotTaken(asked.unwrap_or(LOCKED).max(LOCKED))),
        477 => Judged::Alone(asked.unwrap_or(MOVES)),
        401 => Judged::Bad(Trouble::Unauthorized),
        // The server is not there, or not ready: nobody has looked at the request.
        503 | 521 | 523 => Judged::Bad(Trouble::NotTaken(asked.unwrap_or(0))),
        300..=399 => Judged::Bad(Trouble::NotTaken(ASTRAY)),
        400 | 402..=407 | 409..=499 => {
            Judged::Bad(Trouble::Refused(answer.status, Box::new(Problem::read(&answer.body))))
        }
        _ => Judged::Bad(Trouble::Unknown),
    }
}

/// The window that a refusal names, by its policy or, failing that, its message.
fn window(problem: &Problem, lane: Lane) -> Option<Window> {
    let named = problem.policy.clone().unwrap_or_else(|| problem.message.clone()).to_ascii_lowercase();
    let second = if lane == Lane::Search { Window::Search } else { Window::Second };
    if named.contains("ten_secondly") {
        Some(Window::TenSeconds)
    } else if named.contains("daily") {
        Some(Window::Day)
    } else if named.contains("secondly") || lane == Lane::Search {
        Some(second)
    } else {
        None
    }
}

/// What an answer says of the limits.
pub(super) fn told(answer: &Answer) -> Told {
    let number = |name: &str| answer.header(name).and_then(|text| text.trim().parse::<u64>().ok());
    let limit = |name: &str, left: &str| Some((number(name)?, number(left)?));
    let interval = number("x-hubspot-ratelimit-interval-milliseconds").and_then(|length| i64::try_from(length).ok());
    let burst = limit("x-hubspot-ratelimit-max", "x-hubspot-ratelimit-remaining");
    Told {
        burst: burst.zip(interval).map(|((limit, left), length)| (limit, left, length)),
        day: limit("x-hubspot-ratelimit-daily", "x-hubspot-ratelimit-daily-remaining"),
    }
}

/// A path of these segments; each stays one, whatever is in it.
pub(super) fn path(prefix: &str, segments: &[&str]) -> String {
    let mut path = prefix.trim_end_matches('/').to_owned();
    for segment in segments {
        path.push('/');
        // A segment of dots would climb.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~@".contains(&byte);
        percent(&mut path, segment, plain);
    }
    path
}

/// Pairs as a query or a form writes them.
pub(super) fn encoded<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        percent(&mut text, name, plain);
        text.push('=');
        percent(&mut text, value, plain);
    }
    text
}

fn percent(out: &mut String, text: &str, plain: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&format!("{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderName};

    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"));
        }
        Answer { status, headers: map, body: body.as_bytes().to_vec() }
    }

    fn trouble(status: u16, headers: &[(&str, &str)]) -> Trouble {
        match judge(&answer(status, headers, ""), Lane::Plain, Millis(0)) {
            Judged::Bad(trouble) => trouble,
            _ => panic!("{status} is trouble"),
        }
    }

    #[test]
    fn only_what_nobody_looked_at_counts_as_not_taken() {
        for status in [423, 503, 521, 523, 302] {
            assert!(matches!(trouble(status, &[]), Trouble::NotTaken(_)), "{status}");
        }
        for status in [500, 502, 504, 520, 522, 524, 599, 408] {
            assert!(matches!(trouble(status, &[]), Trouble::Unknown), "{status}");
        }
        for status in [400, 403, 404, 405, 409, 410, 414, 415, 422] {
            assert!(trouble(status, &[]).is_refused_with(status), "{status}");
        }
        assert!(matches!(trouble(401, &[]), Trouble::Unauthorized));
    }

    #[test]
    fn a_locked_record_is_left_alone_for_two_seconds_at_least() {
        assert_eq!(trouble(423, &[]).wait(), 2_000);
        assert_eq!(trouble(423, &[("retry-after", "1")]).wait(), 2_000);
        assert_eq!(trouble(423, &[("retry-after", "7")]).wait(), 7_000);
        assert_eq!(trouble(503, &[("retry-after", "7")]).wait(), 7_000);
    }

    #[test]
    fn an_account_that_moves_is_left_alone_for_a_day_at_most() {
        for (headers, wait) in [
            (vec![("retry-after", "600")], 600_000),
            (vec![("retry-after", "9999999")], 86_400_000),
            (vec![], 3_600_000),
        ] {
            let Judged::Alone(asked) = judge(&answer(477, &headers, ""), Lane::Plain, Millis(0)) else {
                panic!("it is to be left alone")
            };
            assert_eq!(asked, wait);
        }
    }

    #[test]
    fn the_limits_are_told_apart() {
        let limited = |body: &str, lane: Lane| match judge(&answer(429, &[], body), lane, Millis(0)) {
            Judged::Limited(window, _) => window,
            _ => panic!("it is a limit"),
        };
        for (body, window) in [
            (r#"{"policyName":"TEN_SECONDLY_ROLLING"}"#, Some(Window::TenSeconds)),
            (r#"{"policyName":"DAILY","message":"You have reached your daily limit."}"#, Some(Window::Day)),
            (r#"{"policyName":"SECONDLY"}"#, Some(Window::Second)),
            (r#"{"message":"You have reached your ten_secondly_rolling limit."}"#, Some(Window::TenSeconds)),
            (r#"{"category":"RATE_LIMITS","message":"You have reached your daily limit."}"#, Some(Window::Day)),
            ("", None),
        ] {
            assert_eq!(limited(body, Lane::Plain), window, "{body}");
        }
        let search = r#"{"message":"You have reached your secondly limit."}"#;
        assert_eq!(limited(search, Lane::Search), Some(Window::Search));
        assert_eq!(limited("", Lane::Search), Some(Window::Search));
        assert_eq!(limited(r#"{"policyName":"DAILY"}"#, Lane::Search), Some(Window::Day));
    }

    #[test]
    fn limits_are_read_from_the_headers_as_far_as_they_are_there() {
        let burst = [
            ("X-HubSpot-RateLimit-Max", "100"),
            ("X-HubSpot-RateLimit-Remaining", "98"),
            ("X-HubSpot-RateLimit-Interval-Milliseconds", "10000"),
        ];
        let mut headers = burst.to_vec();
        assert_eq!(told(&answer(200, &headers, "")), Told { burst: Some((100, 98, 10_000)), day: None });
        headers.extend([("X-HubSpot-RateLimit-Daily", "250000"), ("X-HubSpot-RateLimit-Daily-Remaining", "9")]);
        assert_eq!(told(&answer(200, &headers, "")).day, Some((250_000, 9)));
        headers[0].1 = "many";
        assert_eq!(told(&answer(200, &headers, "")).burst, None);
        assert_eq!(told(&answer(200, &[], "")), Told::default());
    }

    #[test]
    fn a_segment_stays_one() {
        assert_eq!(path("/crm/v3/", &["objects", "contacts", "12"]), "/crm/v3/objects/contacts/12");
        assert_eq!(path("", &["a/b", "..", "x?y#z%", "é"]), "/a%2Fb/%2E%2E/x%3Fy%23z%25/%C3%A9");
        assert_eq!(encoded([("a b", "c&d=é+")]), "a%20b=c%26d%3D%C3%A9%2B");
    }
}

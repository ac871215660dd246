//! What a request to the pretend account is, and what it answers, before any of it is HTTP.

use serde_json::{Value, json};

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The method, in capitals.
    pub method: String,
    /// The path, as it stood on the request line.
    pub path: String,
    /// What stood after the question mark.
    pub query: String,
    /// The bearer token.
    pub token: Option<String>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Call {
    /// A call with a JSON body, or none where it is null.
    pub fn new(method: &str, target: &str, body: &Value) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let token = Some("static".to_owned());
        Call { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), token, body }
    }

    /// The path's segments, percent-decoded; a slash at the end is nothing.
    pub(super) fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(|part| decoded(part, false)).collect()
    }

    /// The query as pairs.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        pairs(&self.query)
    }

    /// The last value of a query parameter.
    pub(super) fn asked(&self, name: &str) -> Option<String> {
        self.pairs().into_iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether a query parameter says true, in whatever letters: Python's client writes `True`.
    pub(super) fn says(&self, name: &str) -> bool {
        self.asked(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A query parameter that is a list: repeated, separated by commas, or both.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let named = self.pairs().into_iter().filter(|(key, _)| key == name);
        let all = named.flat_map(|(_, value)| value.split(',').map(str::to_owned).collect::<Vec<_>>());
        all.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Answer> {
        serde_json::from_slice(&self.body).map_err(|_| {
            Answer::error(400, "VALIDATION_ERROR", "Invalid input JSON: the request body could not be read")
        })
    }
}

/// Pairs of a query, or of a form.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(key, true), decoded(value, true))
        })
        .collect()
}

/// Percent-decoded; what is no escape stays as it is.
fn decoded(text: &str, is_form: bool) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(if is_form && bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// How an answer goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exit {
    /// At once.
    #[default]
    Now,
    /// After so many milliseconds of real time.
    After(u64),
    /// Never: the connection is closed without a byte.
    Cut,
}

/// One answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers besides those that every answer has.
    pub headers: Vec<(&'static str, String)>,
    /// The body; null is none.
    pub body: Value,
    /// How it goes out.
    pub exit: Exit,
}

impl Answer {
    /// An answer with a JSON body.
    pub(super) fn json(status: u16, body: Value) -> Self {
        Answer { status, body, ..Answer::default() }
    }

    /// An answer without a body.
    pub(super) fn empty(status: u16) -> Self {
        Answer { status, ..Answer::default() }
    }

    /// HubSpot's envelope of an error; the correlation id is put in on the way out.
    pub(super) fn error(status: u16, category: &str, message: &str) -> Self {
        Answer::json(status, json!({"status": "error", "message": message, "correlationId": "", "category": category}))
    }

    /// The same error with another member.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.body[name] = value;
        self
    }

    /// The same answer with another header.
    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// No such object.
    pub(super) fn missing() -> Self {
        Answer::error(404, "OBJECT_NOT_FOUND", "resource not found")
    }

    /// A request that makes no sense.
    pub(super) fn bad(message: &str) -> Self {
        Answer::error(400, "VALIDATION_ERROR", message)
    }

    /// Whether it says that all went well.
    pub fn is_well(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_may_be_repeated_and_separated_by_commas() {
        let call = Call::new("GET", "/x?properties=a&properties=b,c&properties=d%2Ce&archived=false", &Value::Null);
        assert_eq!(call.list("properties"), ["a", "b", "c", "d", "e"]);
        assert_eq!(call.asked("archived").as_deref(), Some("false"));
    }

    #[test]
    fn escapes_are_read_once_and_broken_ones_stay() {
        assert_eq!(decoded("a%2540b+c", false), "a%40b+c");
        assert_eq!(decoded("a+b%zz%C3%AB%", true), "a b%zzë%");
    }
}

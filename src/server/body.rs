//! How a request's body becomes bytes, and bytes become what was asked.

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{
    Server,
    problem::{BAD_JSON, BAD_REQUEST, BUSY, Fault, INVALID, MEDIA_TYPE, Problem, TIMEOUT, TOO_LARGE},
    settings::{BODY_BYTES_MAX, BODY_DEPTH_MAX},
};

/// Room for bodies is taken in steps of this size, as their bytes come: who announces much holds nothing.
pub(super) const STEP_BYTES: usize = 16 << 10;
/// So much of a body that is not wanted is read and dropped, so that its sender gets to reading the answer.
const DRAINED_BYTES_MAX: usize = 8 << 20;

/// A body, and the room that it takes.
pub(super) struct Held {
    pub bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Server {
    /// Reads a body whole, before its deadline and within its bound.
    ///
    /// # Errors
    /// 408, 413, 415 for a packed one, 503 where all room for bodies is taken.
    pub(super) async fn read_body(&self, headers: &HeaderMap, body: Body) -> Result<Held, Problem> {
        let until = Instant::now() + self.0.settings.body_time;
        let packed = headers.get(header::CONTENT_ENCODING).is_some_and(|packed| packed.as_bytes() != b"identity");
        let length = headers.get(header::CONTENT_LENGTH);
        let announced: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let refused = match announced {
            _ if packed => Some(Problem::of(MEDIA_TYPE).detail("the body is packed; send it plain")),
            Some(length) if length > BODY_BYTES_MAX as u64 => Some(Problem::of(TOO_LARGE)),
            _ => None,
        };
        if let Some(problem) = refused {
            drain(body, until).await;
            return Err(problem);
        }
        let mut held = Held { bytes: Vec::new(), room: None };
        let mut chunks = body.into_data_stream();
        loop {
            let chunk = match timeout_at(until, chunks.next()).await {
                Err(_) => return Err(Problem::of(TIMEOUT)),
                Ok(None) => return Ok(held),
                Ok(Some(Err(_))) => return Err(Problem::of(BAD_REQUEST).detail("the body was cut off")),
                Ok(Some(Ok(chunk))) => chunk,
            };
            if held.bytes.len() + chunk.len() > BODY_BYTES_MAX {
                drop(held);
                drain(Body::from_stream(chunks), until).await;
                return Err(Problem::of(TOO_LARGE));
            }
            if !held.fits(self, chunk.len()) {
                self.0.metrics.turned_away("bodies");
                return Err(Problem::of(BUSY));
            }
            held.bytes.extend_from_slice(&chunk);
        }
    }
}

impl Held {
    /// Takes room for so many bytes more, if there is any.
    fn fits(&mut self, server: &Server, more: usize) -> bool {
        let steps = (self.bytes.len() + more).div_ceil(STEP_BYTES);
        let lacking = steps - self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if lacking == 0 {
            return true;
        }
        let lacking = u32::try_from(lacking).expect("a body has few steps");
        let Ok(more) = server.0.bodies.clone().try_acquire_many_owned(lacking) else { return false };
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        true
    }
}

/// Reads a body and drops it, so that its sender gets to reading the answer.
pub(super) async fn drain(body: Body, until: Instant) {
    let (mut chunks, mut read) = (body.into_data_stream(), 0);
    while let Ok(Some(Ok(chunk))) = timeout_at(until, chunks.next()).await {
        read += chunk.len();
        if read > DRAINED_BYTES_MAX {
            break;
        }
    }
}

/// Checks that a request says that its body is JSON.
///
/// # Errors
/// 415.
pub(super) fn check_is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut declared = headers.get_all(header::CONTENT_TYPE).iter();
    let media = declared.next().and_then(|declared| declared.to_str().ok()?.split(';').next()).unwrap_or_default();
    let is_json = media.trim().eq_ignore_ascii_case("application/json") && declared.next().is_none();
    if is_json { Ok(()) } else { Err(Problem::of(MEDIA_TYPE)) }
}

/// Reads JSON of a known form.
///
/// # Errors
/// 400 where it is not JSON, 422 where it is not of the form; with the place, and without any value.
pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    if let Err(why) = std::str::from_utf8(bytes) {
        let (line, column) = place(bytes, why.valid_up_to());
        return Err(Problem::of(BAD_JSON).detail("the body is not UTF-8").at(line, column));
    }
    if let Some(at) = too_deep(bytes) {
        let (line, column) = place(bytes, at);
        let detail = format!("the body is nested more than {BODY_DEPTH_MAX} deep");
        return Err(Problem::of(BAD_JSON).detail(detail).at(line, column));
    }
    serde_json::from_slice(bytes).map_err(|why| {
        let (line, column) = (why.line(), why.column());
        if why.is_data() {
            let fault = Fault { change: None, field: None, code: "form", message: without_values(&why.to_string()) };
            return Problem::of(INVALID).errors(vec![fault]).at(line, column);
        }
        let detail = if why.is_eof() { "the body ends too early" } else { "the body is not JSON from here on" };
        Problem::of(BAD_JSON).detail(detail).at(line, column)
    })
}

/// The line and column, from 1, of a byte.
fn place(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = &bytes[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let begins = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (line, at - begins + 1)
}

/// Where lists and objects are nested deeper than they may be.
fn too_deep(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                if depth > BODY_DEPTH_MAX {
                    return Some(at);
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// What serde says, without the value that it met and without the place, which is told apart.
fn without_values(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let met = ["invalid type: ", "invalid value: ", "invalid length "];
    match met.iter().any(|start| message.starts_with(start)).then(|| message.rsplit_once(", expected ")) {
        Some(Some((_, due))) => format!("{due} is due here"),
        Some(None) => "another type is due here".to_owned(),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Form {
        #[allow(dead_code)]
        number: u64,
    }

    fn problem(text: &[u8]) -> Problem {
        parse::<Form>(text).expect_err("not of the form")
    }

    #[test]
    fn bad_json_is_told_with_its_place() {
        let at = |problem: Problem| (problem.status, problem.line, problem.column);
        assert_eq!(at(problem(b"{\n  \"number\": ]}")), (400, Some(2), Some(13)));
        assert_eq!(at(problem(b"{\"number\": 1")), (400, Some(1), Some(12)));
        assert_eq!(at(problem(b"{\"number\":\n \"\xff\"}")), (400, Some(2), Some(3)));
        assert_eq!(at(problem(b"{\"number\": 1} x")), (400, Some(1), Some(15)));
        assert_eq!(at(problem(b"{\"numbers\": 1}")).0, 422);
    }

    #[test]
    fn what_does_not_fit_the_form_is_told_without_its_value() {
        let told = problem(br#"{"number": "secret, expected secret"}"#);
        assert_eq!(told.errors[0].message, "u64 is due here");
        assert_eq!(problem(br#"{"number": "secret"}"#).errors[0].message, "u64 is due here");
        assert_eq!(problem(br#"{"number": -5}"#).errors[0].message, "u64 is due here");
        assert_eq!(problem(b"{}").errors[0].message, "missing field `number`");
    }

    #[test]
    fn nesting_is_bounded_and_brackets_in_texts_are_no_nesting() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse::<serde_json::Value>(nested(BODY_DEPTH_MAX).as_bytes()).is_ok());
        let deep = parse::<serde_json::Value>(nested(BODY_DEPTH_MAX + 1).as_bytes()).expect_err("too deep");
        assert_eq!((deep.status, deep.column), (400, Some(BODY_DEPTH_MAX + 1)));
        let text = format!("[\"\\\"{}\"]", "[".repeat(1000));
        assert!(parse::<serde_json::Value>(text.as_bytes()).is_ok());
    }
}

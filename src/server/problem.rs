//! What the server answers when it cannot do what it was asked: problem documents (RFC 9457).

use std::ops::Deref;

use axum::{
    Json,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// A kind of problem. Its address, `/problems/NAME`, answers with what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name, the last part of its address.
    pub name: &'static str,
    /// The status it is answered with.
    pub status: u16,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What it means, and what to do.
    pub meaning: &'static str,
}

macro_rules! kinds {
    ($($constant:ident $name:literal $status:literal $title:literal $meaning:literal)*) => {
        $(#[doc = $title] pub const $constant: Kind =
            Kind { name: $name, status: $status, title: $title, meaning: $meaning };)*
        /// All kinds of problems.
        pub const KINDS: &[Kind] = &[$($constant),*];
    };
}

kinds! {
    BAD_JSON "bad-json" 400 "The body is not JSON."
        "`line` and `column` say where it stops being JSON, or where it is nested too deep."
    BAD_REQUEST "bad-request" 400 "The request makes no sense."
        "`detail` says which parameter or header is meant, and what it may be."
    BAD_WEBHOOK "bad-webhook" 400 "The webhook cannot be read."
        "It is genuine, but its body is not in the side's form; `detail` says where."
    UNAUTHORIZED "unauthorized" 401 "The caller is not known."
        "The token is missing, wrong or revoked, or a webhook's signature does not show that it is genuine and fresh."
    FORBIDDEN "forbidden" 403 "The caller may not do this."
        "Only operators may, or the request acts for somebody else than its token is made for."
    NOT_FOUND "not-found" 404 "There is nothing here."
        "There is no such address, or no such record or field for this caller. What a caller may not see is not there."
    METHOD "method-not-allowed" 405 "The address does not take this method."
        "`Allow` names those that it takes."
    TIMEOUT "request-timeout" 408 "The body did not come in time."
        "Send it again, faster."
    IN_PROGRESS "in-progress" 409 "The same request is being worked on."
        "A request with this Idempotency-Key has not been answered yet; try again after `Retry-After` seconds."
    STALE "stale-version" 412 "Somebody was faster."
        "A `version` is not the record's present one. Nothing was taken; `current` holds the records as they are now."
    TOO_LARGE "too-large" 413 "The body is too large."
        "Bodies hold at most 1 MiB."
    MEDIA_TYPE "unsupported-media-type" 415 "The body is not declared as JSON."
        "Send `Content-Type: application/json`."
    INVALID "invalid" 422 "The content cannot be taken."
        "`errors` lists every fault, by change and field. Nothing was taken."
    KEY_REUSED "key-reused" 422 "The Idempotency-Key was used for something else."
        "A key stands for one request with one body. Make a new key for each new request."
    TOO_MANY "too-many-requests" 429 "Too many live streams."
        "The tenant has as many open streams as it may; close one, or ask without a stream."
    INTERNAL "internal" 500 "Something of ours is broken."
        "The log of the service says what, by the `Syncline-Request` header. What was to be taken was not acknowledged."
    BUSY "busy" 503 "There is no room for the request now."
        "Try again after `Retry-After` seconds. Nothing was taken."
    UNAVAILABLE "unavailable" 503 "The store takes nothing now."
        "Its disk failed or is nearly full, or it is damaged; the service's log says more. Nothing was acknowledged."
}

/// A problem, as handlers pass it on.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<ProblemBody>);

impl Deref for Problem {
    type Target = ProblemBody;
    fn deref(&self) -> &ProblemBody {
        &self.0
    }
}

/// A problem document.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem, title = "Problem")]
pub struct ProblemBody {
    /// The address of the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is, in a few words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What about this case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Where in the body, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Where in the line, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Every fault of the content.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<Fault>,
    /// The records as they are now, where a version was stale.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<super::api::RecordBody>)]
    pub current: Vec<super::api::RecordBody>,
    #[serde(skip)]
    retry_after: Option<u32>,
}

/// One fault of a request's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// Which of the request's changes, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<usize>,
    /// Its field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What sort of fault, for programs.
    pub code: &'static str,
    /// What is wrong, for people; it never holds the value.
    pub message: String,
}

impl Problem {
    /// A problem of a kind.
    pub fn of(kind: Kind) -> Problem {
        Problem(Box::new(ProblemBody {
            kind: format!("/problems/{}", kind.name),
            title: kind.title.to_owned(),
            status: kind.status,
            detail: None,
            line: None,
            column: None,
            errors: Vec::new(),
            current: Vec::new(),
            retry_after: matches!(kind.status, 409 | 429 | 503).then_some(1),
        }))
    }

    /// The same with what is special about this case; never a value.
    pub fn detail(mut self, detail: impl Into<String>) -> Problem {
        self.0.detail = Some(detail.into());
        self
    }

    /// The same with a place in the body.
    pub fn at(mut self, line: usize, column: usize) -> Problem {
        (self.0.line, self.0.column) = (Some(line), Some(column));
        self
    }

    /// The same with faults.
    pub fn errors(mut self, errors: Vec<Fault>) -> Problem {
        self.0.errors = errors;
        self
    }

    /// The same with records as they are now.
    pub fn current(mut self, current: Vec<super::api::RecordBody>) -> Problem {
        self.0.current = current;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"syncline\""));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The answer to an address that is not there.
pub(super) async fn not_found() -> Problem {
    Problem::of(NOT_FOUND)
}

/// The answer to a method that an address does not take; the router adds `Allow`.
pub(super) async fn method_not_allowed() -> Problem {
    Problem::of(METHOD)
}

/// What a kind of problem means
///
/// The address of each problem document's `type`.
#[utoipa::path(
    get,
    path = "/problems/{name}",
    tag = "problems",
    params(("name" = String, Path, description = "The last part of the `type`.")),
    responses((status = 200, description = "What it means, and what to do.", content_type = "text/plain", body = String),
        (status = 404, description = "No such kind.", content_type = "application/problem+json", body = ProblemBody))
)]
pub(super) async fn told(path: Result<Path<String>, axum::extract::rejection::PathRejection>) -> Response {
    let Ok(Path(name)) = path else { return Problem::of(NOT_FOUND).into_response() };
    match KINDS.iter().find(|kind| kind.name == name) {
        Some(kind) => format!("{} ({})\n\n{}\n", kind.title, kind.status, kind.meaning).into_response(),
        None => Problem::of(NOT_FOUND).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names_of_their_own_and_say_what_to_do() {
        let mut names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KINDS.len());
        assert!(KINDS.iter().all(|kind| kind.title.ends_with('.') && kind.meaning.ends_with('.')));
    }

    #[test]
    fn a_full_server_says_when_to_come_again() {
        let response = Problem::of(BUSY).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert!(!Problem::of(NOT_FOUND).into_response().headers().contains_key("retry-after"));
    }
}

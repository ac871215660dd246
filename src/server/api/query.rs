//! What stands after the `?`, and in the path.

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::request::Parts,
};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

use crate::{
    clock::Millis,
    history::Position,
    id::Seq,
    server::{
        Server,
        problem::{BAD_REQUEST, Problem},
    },
};

/// How many entries a page has where the request does not say, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// A query of a known form.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Server> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, server).await {
            Ok(Query(asked)) => Ok(Asked(asked)),
            Err(why) => Err(Problem::of(BAD_REQUEST).detail(format!("the query: {}", why.body_text()))),
        }
    }
}

/// A path of a known form.
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Server> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let named = Path::<T>::from_request_parts(parts, server).await;
        named.map(|Path(named)| Named(named)).map_err(|_| Problem::of(BAD_REQUEST).detail("the path is not UTF-8"))
    }
}

/// A record's place in the address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct RecordPath {
    /// The record's kind.
    pub kind: String,
    /// The rest of its id; a `/` in it is written `%2F`.
    pub id: String,
}

impl RecordPath {
    /// The record's id.
    pub fn record(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }
}

/// As of when something is asked.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct At {
    /// As of this time (RFC 3339, or milliseconds since 1970), or as of `event:NUMBER`; without it: now.
    pub at: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// The `next` of the page before.
    pub after: Option<String>,
    /// How many entries, 1 to 1000 [default: 100].
    pub limit: Option<usize>,
}

/// The position that is asked for.
///
/// # Errors
/// 400.
pub fn position(at: Option<&str>) -> Result<Position, Problem> {
    let Some(at) = at else { return Ok(Position::Now) };
    let due = "`at` is neither a time such as 2026-03-01T12:00:00Z, nor milliseconds since 1970, nor event:NUMBER";
    let position = match at.strip_prefix("event:") {
        Some(number) => number.parse().ok().map(|seq| Position::Seq(Seq(seq))),
        None => match at.parse::<i64>() {
            Ok(millis) => Some(Position::Time(Millis(millis))),
            Err(_) => at.parse::<jiff::Timestamp>().ok().map(|time| Position::Time(Millis(time.as_millisecond()))),
        },
    };
    position.ok_or_else(|| Problem::of(BAD_REQUEST).detail(due))
}

/// The size of a page.
///
/// # Errors
/// 400.
pub fn limit(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(PAGE);
    let bad = || Problem::of(BAD_REQUEST).detail(format!("`limit` is not within 1 and {PAGE_MAX}"));
    (1..=PAGE_MAX).contains(&limit).then_some(limit).ok_or_else(bad)
}

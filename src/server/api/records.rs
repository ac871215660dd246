//! Records: as they are, what was said of them, and why they are as they are.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Refusals,
    form::{BlameBody, ChangeBody, RecordBody, VerdictBody},
    query::{Asked, At, Named, Page, RecordPath, limit, position},
};
use crate::{
    engine::{Engine, EngineError},
    history::Position,
    id::{Hashing, RecordId},
    server::{
        Server,
        caller::Caller,
        problem::{BAD_REQUEST, INTERNAL, NOT_FOUND, Problem},
        room,
    },
};

/// A record
///
/// Its fields with who said them, when and why they stand, and for each connected side whether it shows them already.
/// `ETag` changes with any of that; the `version` in the body only with what was said.
#[utoipa::path(
    get, path = "/v1/records/{kind}/{id}", tag = "records", security(("bearer" = [])),
    params(RecordPath, At),
    responses((status = 200, description = "The record.", body = RecordBody, headers(("etag" = String, description = "Changes with the answer."))),
        (status = 304, description = "It is as `If-None-Match` says."), Refusals)
)]
pub async fn get(
    State(server): State<Server>,
    caller: Caller,
    Named(path): Named<RecordPath>,
    Asked(asked): Asked<At>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let position = position(asked.at.as_deref())?;
    let principal = caller.principal.clone();
    let work = move |engine: &Engine| {
        let reader = engine.read(&principal).at(position);
        RecordBody::whole(&reader, &engine.edition()?, &path.record())
    };
    let body = found(server.work(&caller.tenant, work).await?)?;
    tagged(&headers, &body)
}

/// All records of a kind, ascending by id
#[utoipa::path(
    get, path = "/v1/records/{kind}", tag = "records", security(("bearer" = [])),
    params(("kind" = String, Path, description = "The record kind."), Page),
    responses((status = 200, description = "A page of them.", body = RecordsBody), Refusals)
)]
pub async fn list(
    State(server): State<Server>,
    caller: Caller,
    Named(path): Named<KindPath>,
    Asked(asked): Asked<Page>,
) -> Result<Json<RecordsBody>, Problem> {
    let limit = limit(asked.limit)?;
    let begins = format!("{}/", path.kind);
    let after = asked.after.unwrap_or_default();
    let is_next = after.is_empty() || after.starts_with(&begins) && RecordId::new(&after).is_ok();
    if !is_next {
        return Err(Problem::of(BAD_REQUEST).detail("`after` is not the `next` of a page of this kind"));
    }
    let principal = caller.principal.clone();
    let work = move |engine: &Engine| {
        let start = if after.is_empty() { begins.clone() } else { after.clone() };
        let reader = engine.read(&principal);
        let mut records = Vec::new();
        for view in reader.records_from(&start) {
            let view = view?;
            if !view.record.starts_with(&begins) {
                break;
            }
            if *view.record == *after {
                continue;
            }
            if records.len() == limit {
                let next = records.last().map(|last: &RecordBody| last.record.clone());
                return Ok(RecordsBody { records, next });
            }
            records.push(RecordBody::brief(&view));
        }
        Ok(RecordsBody { records, next: None })
    };
    let page = server.work(&caller.tenant, work).await?;
    page.map(Json).map_err(|why: EngineError| room::failed(&why))
}

/// A record kind's place in the address.
#[derive(Debug, Deserialize)]
pub struct KindPath {
    kind: String,
}

/// A page of records.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Records")]
pub struct RecordsBody {
    /// The records.
    pub records: Vec<RecordBody>,
    /// What `after` has to be for the next page; null: this was the last one.
    pub next: Option<String>,
}

/// Which part of a record's story.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StoryQuery {
    /// Only this field; `existence` for whether the record exists.
    field: Option<String>,
    /// As of this time (RFC 3339, or milliseconds since 1970), or as of `event:NUMBER`; without it: now.
    at: Option<String>,
}

/// What was said of a record, in order
///
/// Edits, and beside them the service's own writes, their receipts, refusals and whatever was parked.
#[utoipa::path(
    get, path = "/v1/records/{kind}/{id}/history", tag = "records", security(("bearer" = [])),
    params(RecordPath, StoryQuery),
    responses((status = 200, description = "Its story, and who last changed each field.", body = HistoryBody), Refusals)
)]
pub async fn history(
    State(server): State<Server>,
    caller: Caller,
    Named(path): Named<RecordPath>,
    Asked(asked): Asked<StoryQuery>,
) -> Result<Json<HistoryBody>, Problem> {
    let position = position(asked.at.as_deref())?;
    let principal = caller.principal.clone();
    let work = move |engine: &Engine| {
        let reader = engine.read(&principal).at(position);
        let (record, field) = (path.record(), asked.field.as_deref());
        let Some(changes) = reader.history(&record, field)? else { return Ok(None) };
        let blame = reader.blame(&record)?.unwrap_or_default().into_iter().map(BlameBody::from);
        let blame = blame.filter(|blame| field.is_none_or(|field| blame.field == field)).collect();
        Ok(Some(HistoryBody { changes: changes.into_iter().map(ChangeBody::from).collect(), blame }))
    };
    found(server.work(&caller.tenant, work).await?).map(Json)
}

/// A record's story.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "History")]
pub struct HistoryBody {
    /// What was said, in the order of the edits' times.
    pub changes: Vec<ChangeBody>,
    /// Who last changed each field.
    pub blame: Vec<BlameBody>,
}

/// A field's place in the address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct FieldPath {
    /// The record's kind.
    kind: String,
    /// The rest of its id; a `/` in it is written `%2F`.
    id: String,
    /// The field; `existence` for whether the record exists.
    field: String,
}

/// Why a field has its value
#[utoipa::path(
    get, path = "/v1/records/{kind}/{id}/why/{field}", tag = "records", security(("bearer" = [])),
    params(FieldPath, At),
    responses((status = 200, description = "What won, by which rule, and what lost.", body = VerdictBody), Refusals)
)]
pub async fn why(
    State(server): State<Server>,
    caller: Caller,
    Named(path): Named<FieldPath>,
    Asked(asked): Asked<At>,
) -> Result<Json<VerdictBody>, Problem> {
    let position: Position = position(asked.at.as_deref())?;
    let principal = caller.principal.clone();
    let work = move |engine: &Engine| {
        let record = format!("{}/{}", path.kind, path.id);
        engine.read(&principal).at(position).why(&record, &path.field)
    };
    let verdict = found(server.work(&caller.tenant, work).await?)?;
    Ok(Json(verdict.into()))
}

/// What was found, or the answer that there is nothing.
pub fn found<T>(found: Result<Option<T>, EngineError>) -> Result<T, Problem> {
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(Problem::of(NOT_FOUND)),
        Err(why) => Err(room::failed(&why)),
    }
}

/// An answer with its tag, or 304 if the caller has it already.
fn tagged(asked: &HeaderMap, body: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|_| Problem::of(INTERNAL))?;
    let digest = Hashing::new("syncline etag").update(&bytes).digest().to_string();
    let tag = format!("\"{}\"", &digest[..32]);
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok());
    let mut known = known.flat_map(|known| known.split(',')).map(|known| known.trim().trim_start_matches("W/"));
    let is_known = known.any(|known| known == tag || known == "*");
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
    };
    let tag = HeaderValue::from_str(&tag).map_err(|_| Problem::of(INTERNAL))?;
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

//! What differs, and how a person settles it.

use axum::{
    Json,
    extract::{Request, State},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Refusals,
    edits::refusal,
    form::VerdictBody,
    query::{Asked, Named, RecordPath, limit, position},
    records::found,
};
use crate::{
    engine::{Engine, EngineError},
    history::{Decision, Position},
    server::{
        Server,
        body::{check_is_json, parse},
        caller::Caller,
        problem::{Fault, INVALID, NOT_FOUND, Problem},
        room,
    },
    value::Value,
};

/// Which conflicts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConflictsQuery {
    /// Whether only those that wait for a person [default: false].
    disputed: Option<bool>,
    /// How many were passed over already [default: 0].
    skip: Option<usize>,
    /// How many entries, 1 to 1000 [default: 100].
    limit: Option<usize>,
    /// As of this time (RFC 3339, or milliseconds since 1970), or as of `event:NUMBER`; without it: now.
    at: Option<String>,
}

/// Fields whose candidates differ
#[utoipa::path(
    get, path = "/v1/conflicts", tag = "conflicts", security(("bearer" = [])), params(ConflictsQuery),
    responses((status = 200, description = "Their verdicts, ascending by record.", body = ConflictsBody), Refusals)
)]
pub async fn list(
    State(server): State<Server>,
    caller: Caller,
    Asked(asked): Asked<ConflictsQuery>,
) -> Result<Json<ConflictsBody>, Problem> {
    let (limit, position): (usize, Position) = (limit(asked.limit)?, position(asked.at.as_deref())?);
    let principal = caller.principal.clone();
    let work = move |engine: &Engine| engine.read(&principal).at(position).conflicts();
    let verdicts = server.work(&caller.tenant, work).await?.map_err(|why| room::failed(&why))?;
    let wanted = verdicts.into_iter().filter(|verdict| verdict.disputed || !asked.disputed.unwrap_or(false));
    let mut wanted = wanted.skip(asked.skip.unwrap_or(0)).map(VerdictBody::from);
    let conflicts: Vec<VerdictBody> = wanted.by_ref().take(limit).collect();
    Ok(Json(ConflictsBody { conflicts, more: wanted.next().is_some() }))
}

/// Conflicts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Conflicts")]
pub struct ConflictsBody {
    /// The verdicts.
    pub conflicts: Vec<VerdictBody>,
    /// Whether there are more.
    pub more: bool,
}

/// A person's decision.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Decision")]
pub struct DecideBody<'a> {
    /// The field, or `existence`.
    field: String,
    /// The value that it has from now on; null clears it. For existence true or false.
    #[serde(borrow)]
    #[schema(value_type = serde_json::Value)]
    value: &'a RawValue,
    /// Why, for whoever asks later.
    #[serde(default)]
    why: String,
}

/// Settle a field for good
///
/// The decision supersedes all that now stands on the field, and goes out to every side. Its author is the caller's user;
/// a role decides on fields that it may read and write.
#[utoipa::path(
    post, path = "/v1/records/{kind}/{id}/decide", tag = "conflicts", security(("bearer" = [])), params(RecordPath),
    request_body(content = DecideBody, content_type = "application/json"),
    responses((status = 200, description = "The verdict as it is now.", body = VerdictBody), Refusals)
)]
pub async fn decide(
    State(server): State<Server>,
    caller: Result<Caller, Problem>,
    Named(path): Named<RecordPath>,
    request: Request,
) -> Result<Json<VerdictBody>, Problem> {
    let (caller, body) = server.called(caller, request, check_is_json).await?;
    let (principal, author) = (caller.principal.clone(), caller.author());
    let work = move |engine: &Engine| {
        let asked: DecideBody = parse(&body.bytes)?;
        let value = Value::from_raw(asked.value).map_err(|why| {
            let message = format!("the value {why}");
            Problem::of(INVALID).errors(vec![Fault {
                change: None,
                field: Some(asked.field.clone()),
                code: "value",
                message,
            }])
        })?;
        let record = path.record();
        let reader = engine.read(&principal);
        let decision = Decision::of(&record, &asked.field, value).by(author).because(&asked.why);
        match engine.decide(&principal, decision) {
            Ok(_) => found(reader.why(&record, &asked.field)),
            Err(EngineError::Wordless { .. } | EngineError::NoRecord { .. } | EngineError::Name { .. }) => {
                Err(Problem::of(NOT_FOUND))
            }
            Err(why) => {
                let faults = refusal(None, &why).ok_or_else(|| room::failed(&why))?;
                Err(Problem::of(INVALID).errors(faults))
            }
        }
    };
    let verdict = server.work(&caller.tenant, work).await??;
    server.metrics().conflict("person");
    Ok(Json(verdict.into()))
}

//! How portal programs say what changed: all of a request's changes are on disk, or none is.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use axum::{
    Json,
    extract::{Request, State},
    http::HeaderMap,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Refusals,
    edits::{self, ChangesBody, MISSING, Read, Refused, Speaker},
    form::RecordBody,
};
use crate::{
    engine::{Engine, EngineError, Said},
    event::{Draft, Event, Named},
    history::Reader,
    id::{EventId, Hashing, RecordId, Seq},
    rulebook::Edition,
    server::{
        Server,
        body::{check_is_json, parse},
        caller::Caller,
        problem::{BAD_REQUEST, IN_PROGRESS, INVALID, KEY_REUSED, NOT_FOUND, Problem, STALE},
        room,
        tenants::Tenant,
    },
};

/// The header under which a request may be repeated without harm.
const KEY: &str = "idempotency-key";
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// What became of a request's changes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Said")]
pub struct SaidBody {
    /// Whether the request had been answered before, under its Idempotency-Key; nothing was said again.
    pub repeated: bool,
    /// Each change, in the request's order.
    pub changes: Vec<SaidChange>,
    /// The records as they are now, each once.
    pub records: Vec<RecordBody>,
}

/// What became of one change.
#[derive(Debug, Serialize, ToSchema)]
pub struct SaidChange {
    /// Its record.
    pub record: String,
    /// Its event's place in the log; null where the log had the same statement already.
    pub seq: Option<u64>,
    /// Its event's id.
    pub id: Option<String>,
}

/// Say what changed
///
/// Takes one or many edits, all of them or none, and answers once they are on disk, with the records as they are then and
/// which sides show them already. With an `Idempotency-Key` a request may be repeated, also days later: it is answered
/// with the events that it made, and the records as they are at that time. The author is the token's user, or the one
/// that `Syncline-User` names, on behalf of `Syncline-Contact` and `Syncline-Company`. A role changes what is among its rows;
/// a record that is not is answered as one that is not there.
#[utoipa::path(
    post, path = "/v1/changes", tag = "changes", security(("bearer" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "One key for each request, at most 255 visible ASCII characters."),
        ("Syncline-User" = Option<String>, Header, description = "The acting user, where the token is made for nobody."),
        ("Syncline-Contact" = Option<String>, Header, description = "The acting contact's record id, where the token is made for nobody."),
        ("Syncline-Company" = Option<String>, Header, description = "The acting company's record id, where the token is made for nobody.")
    ),
    request_body(content = ChangesBody, content_type = "application/json"),
    responses((status = 200, description = "They are on disk.", body = SaidBody), Refusals)
)]
pub async fn post(
    State(server): State<Server>,
    caller: Result<Caller, Problem>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<SaidBody>, Problem> {
    let (caller, body) = server.called(caller, request, check_is_json).await?;
    let source = key(&headers)?.map(|key| source(&caller, key));
    // Held until the answer is made: a repetition meanwhile could neither be recognised nor told from another request.
    let held = source.as_ref().map(|source| KeyHeld::of(&caller.tenant, source)).transpose()?;
    let principal = caller.principal.clone();
    let speaker = Speaker { side: caller.token.side.clone(), author: caller.author(), principal };
    let work = move |engine: &Engine| {
        let asked = Asked { engine, edition: engine.edition().map_err(|why| room::failed(&why))?, speaker };
        let said = asked.answer(source.as_deref(), &body.bytes);
        drop(held);
        said
    };
    server.work(&caller.tenant, work).await?.map(Json)
}

/// The request's key.
fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut keys = headers.get_all(KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let visible =
        |key: &&str| !key.is_empty() && key.len() <= KEY_BYTES_MAX && key.bytes().all(|b| b.is_ascii_graphic());
    let key = key.to_str().ok().filter(visible).filter(|_| keys.next().is_none());
    let due = "the header Idempotency-Key is not one text of 1 to 255 visible ASCII characters";
    key.map(Some).ok_or_else(|| Problem::of(BAD_REQUEST).detail(due))
}

/// The name under which a key's changes are numbered in the log: each token has keys of its own.
fn source(caller: &Caller, key: &str) -> String {
    let mut hashing = Hashing::new("syncline idempotency key");
    hashing.update_sized(caller.token.id.as_bytes()).update_sized(key.as_bytes());
    format!("api/{}", &hashing.digest().to_string()[..32])
}

/// A key whose request is being worked on.
struct KeyHeld {
    tenant: Arc<Tenant>,
    source: String,
}

impl KeyHeld {
    fn of(tenant: &Arc<Tenant>, source: &str) -> Result<Self, Problem> {
        let mut keys = tenant.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.insert(source.to_owned()) {
            true => Ok(KeyHeld { tenant: tenant.clone(), source: source.to_owned() }),
            false => Err(Problem::of(IN_PROGRESS)),
        }
    }
}

impl Drop for KeyHeld {
    fn drop(&mut self) {
        self.tenant.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.source);
    }
}

/// What the first change of a request with a key keeps of the request.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The hash of the body.
    request: String,
    /// How many changes it had.
    changes: u64,
}

/// A request while it is worked on.
struct Asked<'a> {
    engine: &'a Engine,
    edition: Edition,
    speaker: Speaker,
}

impl Asked<'_> {
    fn answer(&self, source: Option<&str>, bytes: &[u8]) -> Result<SaidBody, Problem> {
        let hash = Hashing::new("syncline api request").update(bytes).digest().to_string();
        if let Some(source) = source
            && let Some(changes) = self.said_before(source, &hash)?
        {
            return self.body(true, changes);
        }
        let body: ChangesBody = parse(bytes)?;
        let mut faults = Vec::new();
        let changes = edits::read(&body, self.engine.now(), &mut faults);
        let stale = self.stale(&changes)?;
        let mut drafts = edits::drafts(self.engine, &self.speaker, changes, faults).map_err(refused)?;
        if !stale.is_empty() {
            return Err(Problem::of(STALE).current(stale));
        }
        if let Some(source) = source {
            number(&mut drafts, source, hash);
        }
        let records: Vec<RecordId> = drafts.iter().map(|draft| draft.record.clone()).collect();
        let said = self.engine.say(drafts).map_err(|why| room::failed(&why))?;
        let changes = records.into_iter().zip(said).map(|(record, said)| match said {
            Said::New { seq, id, .. } => {
                tracing::info!(event = %id, %seq, %record, side = %self.speaker.side, "captured");
                SaidChange { record: record.to_string(), seq: Some(seq.0), id: Some(id.to_string()) }
            }
            Said::Duplicate => SaidChange { record: record.to_string(), seq: None, id: None },
        });
        self.body(false, changes.collect())
    }

    /// What the same request said before, if its key was used; with another body that is an error.
    fn said_before(&self, source: &str, hash: &str) -> Result<Option<Vec<SaidChange>>, Problem> {
        let event = |number: u64| self.engine.numbered_event(source, number).map_err(|why| room::failed(&why));
        let change = |(seq, id, event): &(Seq, EventId, Event)| SaidChange {
            record: event.header.record.to_string(),
            seq: Some(seq.0),
            id: Some(id.to_string()),
        };
        let Some(first) = event(0)? else { return Ok(None) };
        let kept = first.2.payload.source.as_deref().and_then(|kept| serde_json::from_str::<Kept>(kept).ok());
        let Some(kept) = kept.filter(|kept| kept.request == hash) else { return Err(Problem::of(KEY_REUSED)) };
        let mut changes = vec![change(&first)];
        for number in 1..kept.changes {
            changes.extend(event(number)?.iter().map(change));
        }
        Ok(Some(changes))
    }

    /// The records whose version is not the present one, as they are now.
    ///
    /// Somebody who edits between this look and the writing is not lost either: an edit with a version supersedes
    /// exactly what was in it, so the two are concurrent and the field's rule decides.
    fn stale(&self, changes: &[(usize, Read)]) -> Result<Vec<RecordBody>, Problem> {
        let reader = self.reader();
        let mut stale = Vec::new();
        for (_, change) in changes {
            let (Some(record), Some(version)) = (&change.record, &change.version) else { continue };
            let current = reader.get(record).map_err(|why| room::failed(&why))?;
            if current.is_some_and(|view| view.version != *version) {
                stale.extend(self.record(&reader, record)?);
            }
        }
        Ok(stale)
    }

    fn reader(&self) -> Reader {
        self.engine.read(&self.speaker.principal)
    }

    fn record(&self, reader: &Reader, record: &str) -> Result<Option<RecordBody>, Problem> {
        let whole: Result<_, EngineError> = RecordBody::whole(reader, &self.edition, record);
        whole.map_err(|why| room::failed(&why))
    }

    fn body(&self, repeated: bool, changes: Vec<SaidChange>) -> Result<SaidBody, Problem> {
        let reader = self.reader();
        let mut told = BTreeSet::new();
        let mut records = Vec::new();
        for change in &changes {
            if told.insert(&change.record) {
                records.extend(self.record(&reader, &change.record)?);
            }
        }
        Ok(SaidBody { repeated, changes, records })
    }
}

/// What a refusal is to the caller: a record that is not there is told as such if nothing else is wrong.
fn refused(why: Refused) -> Problem {
    match why {
        Refused::Store(why) => room::failed(&why),
        Refused::Faults(faults) if faults.iter().all(|fault| fault.code == MISSING) => {
            Problem::of(NOT_FOUND).errors(faults)
        }
        Refused::Faults(faults) => Problem::of(INVALID).errors(faults),
    }
}

/// Names a request's statements by its key, so that the log recognises them for ever.
fn number(drafts: &mut [Draft], source: &str, request: String) {
    let changes = drafts.len() as u64;
    for (draft, number) in drafts.iter_mut().zip(0..) {
        draft.named = Named::of(source);
        draft.said_seq = Some(number);
    }
    if let Some(first) = drafts.first_mut() {
        let kept = serde_json::to_string(&Kept { request, changes }).expect("a text and a number are JSON");
        first.source = Some(kept.into());
    }
}

//! Who calls the API, and on whose behalf.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRequestParts, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use tokio::time::Instant;

use super::{
    Server,
    body::{Held, drain},
    problem::{BAD_REQUEST, FORBIDDEN, Problem, UNAUTHORIZED, UNAVAILABLE},
    tenants::Tenant,
    token::Token,
};
use crate::{
    event::{Author, AuthorKind},
    history::{Principal, Who},
    id::{NAME_BYTES_MAX, RecordId},
};

/// The header that names the acting user.
pub const USER: &str = "syncline-user";
/// The header that names the contact on whose behalf.
pub const CONTACT: &str = "syncline-contact";
/// The header that names the company on whose behalf.
pub const COMPANY: &str = "syncline-company";

/// A caller who has shown a token.
pub(super) struct Caller {
    pub tenant: Arc<Tenant>,
    pub token: Arc<Token>,
    pub acting: Acting,
    pub principal: Principal,
}

/// For whom a request acts: by the token where that is made for somebody, else by the request's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Acting {
    pub user: Option<String>,
    pub contact: Option<RecordId>,
    pub company: Option<RecordId>,
}

impl Caller {
    /// The author of what the caller says.
    pub fn author(&self) -> Author {
        let Acting { user, contact, company } = &self.acting;
        let (kind, id) = match user {
            Some(user) => (AuthorKind::User, user.as_str()),
            None => (AuthorKind::Integration, self.token.id.as_str()),
        };
        let boxed = |id: &Option<RecordId>| id.as_ref().map(|id| Box::from(&**id));
        Author { kind, id: id.into(), contact: boxed(contact), company: boxed(company) }
    }
}

impl Server {
    /// The caller and the body of a request that brings one.
    ///
    /// # Errors
    /// The caller's problem, the headers', or the body's. A body that is not wanted is still read, so that its sender
    /// gets to reading the answer.
    pub(super) async fn called(
        &self,
        caller: Result<Caller, Problem>,
        request: Request,
        check: impl FnOnce(&HeaderMap) -> Result<(), Problem>,
    ) -> Result<(Caller, Held), Problem> {
        let (parts, body) = request.into_parts();
        match caller.and_then(|caller| check(&parts.headers).map(|()| caller)) {
            Ok(caller) => Ok((caller, self.read_body(&parts.headers, body).await?)),
            Err(problem) => {
                drain(body, Instant::now() + self.settings().body_time).await;
                Err(problem)
            }
        }
    }
}

/// What a token, with whom it acts for, may do.
///
/// A role that the manifest does not have sees nothing. A role's words need a person: without one it is the token.
fn principal_of(token: &Token, acting: &Acting) -> Principal {
    let Some(role) = &token.role else { return Principal::operator() };
    let user = acting.user.clone().unwrap_or_else(|| format!("token:{}", token.id));
    let Acting { contact, company, .. } = acting.clone();
    Principal::of(role, Who { user: user.into(), contact, company })
}

impl FromRequestParts<Server> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let tenant = tenant_of(parts, server).await?;
        let shown = bearer(&parts.headers).unwrap_or_default();
        // A tenant that is not there is answered like a token that is wrong.
        let tenant = tenant.ok_or_else(|| Problem::of(UNAUTHORIZED))?;
        let token = tenant.tokens().find(shown).map_err(|why| {
            tracing::error!(error = super::room::told(&why), "the tokens cannot be read");
            Problem::of(UNAVAILABLE)
        })?;
        let token = token.ok_or_else(|| Problem::of(UNAUTHORIZED))?;
        let acting = acting(&token, &parts.headers)?;
        let principal = principal_of(&token, &acting);
        Ok(Caller { tenant, token, acting, principal })
    }
}

/// The tenant that the path names, or the only one.
async fn tenant_of(parts: &mut Parts, server: &Server) -> Result<Option<Arc<Tenant>>, Problem> {
    let path = Path::<HashMap<String, String>>::from_request_parts(parts, server).await;
    let Path(named) = path.map_err(|_| Problem::of(BAD_REQUEST).detail("the path is not UTF-8"))?;
    Ok(server.0.tenants.get(named.get("tenant").map(String::as_str)))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Joins what the token is made for and what the request says; the request may repeat the former, not change it.
fn acting(token: &Token, headers: &HeaderMap) -> Result<Acting, Problem> {
    let user = said(headers, USER)?;
    let record = |name: &'static str| -> Result<Option<RecordId>, Problem> {
        let Some(said) = said(headers, name)? else { return Ok(None) };
        let bad = |why| Problem::of(BAD_REQUEST).detail(format!("the record id in the header {name} {why}"));
        RecordId::new(said).map(Some).map_err(bad)
    };
    let (contact, company) = (record(CONTACT)?, record(COMPANY)?);
    let said = Acting { user: user.map(str::to_owned), contact, company };
    let due = Acting { user: token.user.clone(), contact: token.contact.clone(), company: token.company.clone() };
    // A token that is made for somebody is for that one alone: what it leaves open, nobody may fill in.
    if due == Acting::default() {
        return Ok(said);
    }
    let differs = |name: &str| Err(Problem::of(FORBIDDEN).detail(format!("the token is made for another {name}")));
    match () {
        () if said.user.is_some() && said.user != due.user => differs("user"),
        () if said.contact.is_some() && said.contact != due.contact => differs("contact"),
        () if said.company.is_some() && said.company != due.company => differs("company"),
        () => Ok(due),
    }
}

/// A header that names somebody.
fn said<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Problem> {
    let bad = || Problem::of(BAD_REQUEST).detail(format!("the header {name} is not one name of at most 255 bytes"));
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Header values are bytes; names of people are UTF-8 as everywhere.
    let value = std::str::from_utf8(value.as_bytes()).map_err(|_| bad())?;
    let fits = values.next().is_none() && !value.is_empty() && value.len() <= NAME_BYTES_MAX;
    if fits { Ok(Some(value)) } else { Err(bad()) }
}

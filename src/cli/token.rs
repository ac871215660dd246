//! Tokens for the API: made, listed, revoked.

use std::{io::Write, sync::Arc};

use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value as Json;

use super::{
    args::{NewToken as Asked, Token as Command},
    failure::{End, Failure},
    open::Place,
    tell,
};
use crate::{
    clock::{Clock, Millis, SystemClock},
    engine::EngineError,
    id::{RecordId, SideName},
    log::LogError,
    manifest::Manifest,
    server::{NewToken, Token, Tokens},
    service::{self, Order},
};

#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    side: &'a str,
    /// Null for an operator.
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<&'a str>,
    created_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_ms: Option<i64>,
    /// The token itself, where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

impl<'a> Listed<'a> {
    fn of(token: &'a Token, text: Option<&'a str>) -> Self {
        Listed {
            id: &token.id,
            side: &token.side,
            role: token.role.as_deref(),
            user: token.user.as_deref(),
            contact: token.contact.as_deref(),
            company: token.company.as_deref(),
            created_ms: token.created_ms.0,
            revoked_ms: token.revoked_ms.map(|at| at.0),
            token: text,
        }
    }
}

/// Makes, lists or revokes tokens; a service that runs on the store heeds the change at once.
pub fn token(command: &Command, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    if !place.store.join("log").is_dir() {
        return Err(EngineError::NoStore(place.store.clone()).into());
    }
    let tokens = Tokens::open(&place.store)?;
    match command {
        Command::Create(asked) => {
            match manifest(place)? {
                Some(manifest) => check(asked, &manifest)?,
                None => tell::complain(&[UNCHECKED.to_owned()]),
            }
            create(asked, &tokens, place.json, out)
        }
        Command::List => list(&tokens, place.json, out),
        Command::Revoke { id } => {
            let token = tokens.revoke(id, SystemClock.now())?;
            match place.json {
                true => tell::json(out, &Listed::of(&token, None))?,
                false => writeln!(out, "revoked {}", token.id)?,
            }
            Ok(End::Done)
        }
    }
}

/// What is said where nobody can be asked for the manifest.
const UNCHECKED: &str = "note: another process has the store and takes no orders, so side and role were not looked up";

/// The manifest that was named, or the one in force, also of a store that another process serves; `None`: that process
/// takes no orders.
fn manifest(place: &Place) -> Result<Option<Arc<Manifest>>, Failure> {
    let named = place.manifest_text()?;
    let text = match named {
        Some(text) => Some(text),
        None => service::ask(&place.store, &Order::Manifest)?
            .and_then(|told| told.get("text").and_then(Json::as_str).map(str::to_owned)),
    };
    if let Some(text) = text {
        return Ok(Some(Arc::new(Manifest::parse(&text).map_err(EngineError::Manifest)?)));
    }
    let open = match place.open() {
        Err(Failure::Engine(EngineError::Log(LogError::Locked { .. }))) => return Ok(None),
        opened => opened?,
    };
    let manifest = open.engine.manifest()?;
    open.close()?;
    Ok(Some(manifest))
}

/// Refuses a side or a role that the manifest does not have: a token for it would open nothing.
fn check(asked: &Asked, manifest: &Manifest) -> Result<(), Failure> {
    let refuse = |what: &str, name: &str, known: Vec<&str>| {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(Failure::Use(format!("the manifest has no {what} {name:?}; it has {known}")))
    };
    if manifest.side(&asked.side).is_none() {
        return refuse("side", &asked.side, manifest.sides.iter().map(|side| &*side.name).collect());
    }
    match &asked.role {
        Some(role) if !manifest.permissions.contains_key(role) => {
            refuse("role", role, manifest.permissions.keys().map(String::as_str).collect())
        }
        _ => Ok(()),
    }
}

fn create(asked: &Asked, tokens: &Tokens, json: bool, out: &mut dyn Write) -> Result<End, Failure> {
    let bad = |what: &str, text: &str, why| Failure::Use(format!("the {what} {text:?} {why}"));
    let record = |what: &str, text: &Option<String>| match text {
        Some(text) => RecordId::new(text).map(Some).map_err(|why| bad(what, text, why)),
        None => Ok(None),
    };
    let new = NewToken {
        side: SideName::new(&asked.side).map_err(|why| bad("side", &asked.side, why))?,
        role: asked.role.clone(),
        user: asked.user.clone(),
        contact: record("contact", &asked.contact)?,
        company: record("company", &asked.company)?,
    };
    let (token, text) = tokens.create(new, SystemClock.now())?;
    match json {
        true => tell::json(out, &Listed::of(&token, Some(text.expose_secret())))?,
        false => {
            tell::complain(&["note: the token is shown this once and kept nowhere; only its hash is".to_owned()]);
            writeln!(out, "{}", text.expose_secret())?;
        }
    }
    Ok(End::Done)
}

fn list(tokens: &Tokens, json: bool, out: &mut dyn Write) -> Result<End, Failure> {
    let tokens = tokens.list()?;
    if json {
        for token in &tokens {
            tell::json(out, &Listed::of(token, None))?;
        }
        return Ok(End::Done);
    }
    let text = |text: Option<&str>| text.map_or_else(String::new, tell::plain);
    let rows = tokens.iter().map(|token| {
        let state = token.revoked_ms.map_or_else(|| "valid".to_owned(), |Millis(at)| format!("revoked {}", Millis(at)));
        let role = token.role.as_deref().unwrap_or("operator");
        let made_for = [token.user.as_deref(), token.contact.as_deref(), token.company.as_deref()];
        let made_for = made_for.into_iter().flatten().collect::<Vec<_>>().join(", ");
        vec![
            token.id.clone(),
            text(Some(&token.side)),
            text(Some(role)),
            text(Some(&made_for)),
            token.created_ms.to_string(),
            state,
        ]
    });
    tell::table(out, &["token", "side", "role", "for", "made", "state"], rows)?;
    Ok(End::Done)
}

//! A new store.

use std::io::Write;

use serde::Serialize;

use super::{
    failure::{End, Failure},
    open::{self, Place},
    tell,
};
use crate::{
    engine::{Engine, EngineError},
    log::LogError,
};

#[derive(Serialize)]
struct Made<'a> {
    store: String,
    tenant: &'a str,
    sides: Vec<String>,
}

/// Makes a store where there is none.
pub fn init(place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let builder = place.builder()?;
    // Looked at first and without the manifest, which would become the new rules of a store that is there.
    match Engine::builder(&place.store).create(false).open() {
        Ok(_) => return Err(EngineError::Log(LogError::Exists { dir: place.store.clone() }).into()),
        Err(EngineError::NoStore(_)) => {}
        Err(why) => return Err(why.into()),
    }
    let open = open::open(builder.create(true))?;
    let manifest = open.engine.manifest()?;
    let sides = manifest.sides.iter().map(|side| side.name.to_string()).collect();
    let made = Made { store: place.store.display().to_string(), tenant: open.engine.tenant(), sides };
    if place.json {
        tell::json(out, &made)?;
    } else {
        let (store, tenant, sides) = (&made.store, made.tenant, made.sides.join(", "));
        writeln!(out, "{}", tell::plain(&format!("made the store {store} of tenant {tenant} with sides {sides}")))?;
    }
    open.close()?;
    Ok(End::Done)
}

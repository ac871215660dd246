//! Looking at a live CRM before going live with a manifest.

use std::{io::Write, sync::Arc};

use super::{
    args::Pull,
    failure::{End, Failure},
    open::Place,
    tell::{self, Progress},
};
use crate::{
    engine::Engine,
    id::SideName,
    manifest::Manifest,
    service::{self, PullError},
};

/// Tells all that does not fit; the exit code is 1 if anything does not.
pub fn pull(args: &Pull, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let Some(text) = place.manifest_text()? else {
        return Err(Failure::Use("name the manifest with --manifest".to_owned()));
    };
    let manifest = Manifest::parse(&text).map_err(|faults| {
        let path = place.manifest.clone().unwrap_or_default();
        Failure::Manifest { path, faults }
    })?;
    let side = SideName::new(&args.side).map_err(|why| Failure::Use(format!("--side {why}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    // A store of its own, thrown away: looking needs none, and changes nothing.
    let scratch = std::env::temp_dir().join(format!("syncline-pull-{}", std::process::id()));
    let (engine, _) = Engine::builder(&scratch).manifest(text).open()?;
    let bar = Progress::of("looking at records", 0, false);
    let found =
        runtime.block_on(service::pull(&engine, &scratch, &Arc::new(manifest), &side, |records| bar.at(records)));
    bar.end();
    let closed = engine.close();
    let removed = std::fs::remove_dir_all(&scratch);
    let pulled = found.map_err(|why| match why {
        PullError::NotHubspot(_) => Failure::Use(why.to_string()),
        why => Failure::Pull(why),
    })?;
    closed?;
    removed.map_err(|source| Failure::Read { path: scratch, source })?;
    match place.json {
        true => tell::json(out, &pulled)?,
        false => {
            for finding in &pulled.findings {
                writeln!(out, "{}", tell::plain(&finding.to_string()))?;
            }
            for breach in &pulled.breaches {
                writeln!(out, "{}", tell::plain(&breach.to_string()))?;
            }
            let found = pulled.findings.len() + pulled.breaches.len();
            writeln!(out, "{} records looked at, {found} things do not fit", tell::count(pulled.records))?;
        }
    }
    Ok(End::well(pulled.findings.is_empty() && pulled.breaches.is_empty()))
}

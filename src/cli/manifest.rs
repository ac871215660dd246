//! Manifests by themselves, without a store.

use std::{io::Write, path::Path};

use serde::Serialize;

use super::{
    args::Manifest as Asked,
    failure::{End, Failure},
    open::Place,
    tell,
};
use crate::manifest;

#[derive(Serialize)]
struct Fault<'a> {
    file: String,
    line: usize,
    column: usize,
    what: &'a str,
    hint: &'a str,
}

/// Checks a manifest, or prints the schema of all.
pub fn manifest(asked: &Asked, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    match asked {
        Asked::Check { file } => check(file, place, out),
        Asked::Pull(args) => super::pull::pull(args, place, out),
        Asked::Apply(args) => super::apply::apply(args, place, out),
        Asked::Schema => {
            let schema = serde_json::to_string_pretty(&manifest::schema()).map_err(std::io::Error::from)?;
            writeln!(out, "{schema}")?;
            Ok(End::Done)
        }
    }
}

fn check(file: &Path, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let place = Place { manifest: Some(file.to_owned()), ..place.clone() };
    let faults = match place.manifest_text() {
        Ok(_) => Vec::new(),
        Err(Failure::Manifest { faults, .. }) => faults,
        Err(why) => return Err(why),
    };
    let name = file.display().to_string();
    for manifest::Fault { line, column, what, hint } in &faults {
        match place.json {
            true => tell::json(out, &Fault { file: name.clone(), line: *line, column: *column, what, hint })?,
            false => writeln!(out, "{}", tell::plain(&format!("{name}:{line}:{column}: {what}; {hint}")))?,
        }
    }
    if faults.is_empty() && !place.json {
        writeln!(out, "{} has no faults", tell::plain(&name))?;
    }
    Ok(End::well(faults.is_empty()))
}

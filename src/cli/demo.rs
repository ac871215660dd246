//! The main job in one command: two pretend sides, faults, and a comparison at the end.

use std::{fmt::Display, io::Write, path::Path};

use serde::Serialize;

use super::{
    args::Demo,
    failure::{End, Failure},
    tell,
};
use crate::sim::{
    demo::{self, DemoError, Options},
    live::{self, LiveError},
};

/// Runs the demo and tells what happened; exit code 1 if anything disagrees.
pub fn demo(args: &Demo, store: Option<&Path>, json: bool, out: &mut dyn Write) -> Result<End, Failure> {
    if !args.in_process {
        return over_http(args, store, json, out);
    }
    let default = Options::default();
    let options = Options {
        store: store.map_or(default.store, Path::to_owned),
        seed: args.seed,
        records: args.records,
        edits: args.edits,
    };
    let bar = tell::Progress::of("edits", options.edits, false);
    let report = demo::run(&options, &mut |progress| {
        bar.doing(progress.doing);
        bar.at(progress.done);
    });
    drop(bar);
    let report = report.map_err(|why| match why {
        DemoError::Engine(why) => Failure::Engine(why),
        why => Failure::Demo(why),
    })?;
    told(&report, report.is_well(), json, out)
}

/// The same between pretend sides on loopback HTTP.
fn over_http(args: &Demo, store: Option<&Path>, json: bool, out: &mut dyn Write) -> Result<End, Failure> {
    let options = live::Options {
        store: store.map_or(Options::default().store, Path::to_owned),
        seed: args.seed,
        records: args.records,
        edits: args.edits,
        kills: args.kills,
        hearing: live::Hearing::default(),
    };
    let bar = tell::Progress::of("edits", options.edits, false);
    let report = live::run(&options, &mut |doing, done| {
        bar.doing(doing);
        bar.at(done);
    });
    drop(bar);
    let report = report.map_err(|why| match why {
        LiveError::Engine(why) => Failure::Engine(why),
        why => Failure::Live(why),
    })?;
    told(&report, report.is_well(), json, out)
}

/// Tells how it ended, to people or to programs.
fn told(report: &(impl Serialize + Display), well: bool, json: bool, out: &mut dyn Write) -> Result<End, Failure> {
    if json {
        tell::json(out, report)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(End::well(well))
}

//! The command line: arguments in, an exit code out.
//!
//! What was asked for goes to standard output, everything else to standard error. One file holds one group of
//! commands; `open` opens stores for all of them, `tell` is how they speak to people and programs.

mod apply;
mod args;
mod bench;
mod bench_crowd;
mod bench_disk;
mod bench_hooks;
mod bench_shown;
mod check;
mod decide;
mod demo;
mod export;
mod failure;
mod import;
mod init;
mod lines;
mod links;
mod logs;
mod manifest;
mod open;
mod orders;
mod pull;
mod read;
mod serve;
mod sim;
mod sim_portal;
mod status;
mod story;
mod tell;
mod token;
mod waits;

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use clap::Parser;

use self::{
    args::{Args, Command},
    failure::{End, Failure},
    open::Place,
};

/// Where the store is if the command line does not say.
const STORE: &str = "syncline-store";

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // Prints help and complaints about arguments on its own, and ends with 2 for the latter.
    let args = Args::parse();
    logs::begin(&args.command, args.json);
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let done = run(args, &mut out).and_then(|end| out.flush().map(|()| end).map_err(Failure::Write));
    match done {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Wrong) => ExitCode::from(1),
        // Whoever reads has seen enough, as `head` has.
        Err(Failure::Write(why)) if why.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            tell::complain(&failure.to_lines());
            ExitCode::from(failure.code())
        }
    }
}

fn run(args: Args, out: &mut dyn Write) -> Result<End, Failure> {
    let named = args.store.clone();
    let store = args.store.unwrap_or_else(|| STORE.into());
    let place = Place { store, manifest: args.manifest, memory_mib: args.memory_mib, json: args.json };
    match args.command {
        Command::Demo(args) => demo::demo(&args, named.as_deref(), place.json, out),
        Command::Init => init::init(&place, out),
        Command::Import(args) => import::import(&args, &place, out),
        Command::Records(args) => read::records(&args, &place, out),
        Command::Get(args) => read::get(&args, &place, out),
        Command::History(args) => story::history(&args, &place, out),
        Command::Why(args) => story::why(&args, &place, out),
        Command::Blame(args) => story::blame(&args, &place, out),
        Command::Conflicts(args) => story::conflicts(&args, &place, out),
        Command::Decide(args) => decide::decide(&args, &place, out),
        Command::Serve(args) => serve::serve(&args, &place, out),
        Command::Reconcile(args) => orders::reconcile(&args, &place, out),
        Command::Backfill(args) => orders::backfill(&args, &place, out),
        Command::Parked(args) => orders::parked(&args, &place, out),
        Command::Links(args) => links::links(&args, &place, out),
        Command::Status => status::status(&place, out),
        Command::Verify(args) => check::verify(&args, &place, out),
        Command::Rebuild => check::rebuild(&place, out),
        Command::Export => export::export(&place, out),
        Command::Token(command) => token::token(&command, &place, out),
        Command::Bench(args) => bench::bench(&args, &place, out),
        Command::Sim(side) => sim::sim(&side, place.json, out),
        Command::Manifest(command) => manifest::manifest(&command, &place, out),
    }
}

//! Many at once: threads that each wait for the disk, and readers beside an import.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    bench_disk::Pace,
    failure::Failure,
    import::{Summary, take_file},
    lines::Lines,
    waits::Waits,
};
use crate::{
    capture::neutral::{self, Line},
    engine::{Engine, EngineError},
    event::{Author, DEFAULT_SOURCE, Draft, Kind, Origin},
    history::Principal,
    id::{FieldName, RecordId, SideName},
    send::chance::Chance,
    value::Value,
};

/// Threads that say one edit at a time.
pub const WRITERS: usize = 8;
/// For so long.
const WRITING: Duration = Duration::from_secs(4);
/// The disk alone is measured for so long, before and after.
const SYNCING: Duration = Duration::from_secs(1);
/// About what one edit takes in the log.
const EDIT_BYTES: usize = 250;
/// Readers stand for a thousand who each ask once a second.
const READERS: u64 = 4;
const QUESTIONS_PER_SECOND: u64 = 1_000;
/// The records that are asked for are among those of so many lines.
const LINES_ASKED_OF: usize = 20_000;

/// What the threads did, and what the disk alone allows.
pub struct Written {
    pub edits: u64,
    pub took: Duration,
    /// Writes with a sync that the disk alone takes in a second, each of one edit from every thread.
    pub syncs_per_second: f64,
}

/// Says edits from several threads, each of which waits until its edit is on disk before it says the next one.
pub fn write(engine: &Engine, side: &SideName, store: &Path) -> Result<Written, Failure> {
    let before = syncs(&store.join("sync")).map_err(Failure::Runtime)?;
    let begun = Instant::now();
    let edits = AtomicU64::new(0);
    let said: Result<(), EngineError> = thread::scope(|scope| {
        let write = |writer: usize| {
            let mut number = 0;
            while begun.elapsed() < WRITING {
                engine.say(vec![draft(engine, side, writer, number)])?;
                number += 1;
            }
            edits.fetch_add(number, Ordering::Relaxed);
            Ok(())
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().try_for_each(|writer| writer.join().unwrap_or(Err(EngineError::Poisoned)))
    });
    said?;
    let took = begun.elapsed();
    let after = syncs(&store.join("sync")).map_err(Failure::Runtime)?;
    Ok(Written { edits: edits.into_inner(), took, syncs_per_second: (before + after) / 2.0 })
}

fn draft(engine: &Engine, side: &SideName, writer: usize, number: u64) -> Draft {
    let record = RecordId::new(&format!("contact/{writer}-{}", number % 1_000)).expect("a good name");
    let mut draft = Draft::new(Kind::Edit, record, Origin::side(side.clone()), engine.now(), Author::user("u07"));
    let field = FieldName::new("city").expect("a good name");
    draft.words = vec![(field, Value::text(&format!("what {writer} said {number}")))];
    draft
}

/// Writes with a sync in a second, one after the other.
fn syncs(path: &Path) -> io::Result<f64> {
    let (mut file, bytes) = (File::create(path)?, [7; WRITERS * EDIT_BYTES]);
    let (begun, mut count) = (Instant::now(), 0.0);
    while begun.elapsed() < SYNCING {
        file.write_all(&bytes)?;
        file.sync_data()?;
        count += 1.0;
    }
    let rate = count / begun.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate)
}

/// An import with readers beside it.
pub struct Asked {
    pub took: Duration,
    pub lines: u64,
    /// What each question took from when it was due, ascending.
    pub answers: Vec<Duration>,
}

/// Takes a file in while records are asked for, by turns as they stand and with their history; with no `asking`, alone.
pub fn ask(engine: &Engine, data: &Path, asking: bool) -> Result<Asked, Failure> {
    let records = if asking { records(data)? } else { Vec::new() };
    let (ends, mut answers) = (AtomicBool::new(false), Vec::new());
    let (mut waits, mut summary) = (Waits::default(), Summary::default());
    let lines = Lines::open(data)?;
    let begun = Instant::now();
    let (ended, took) = thread::scope(|scope| {
        let (records, ends) = (&records, &ends);
        let readers = if asking { READERS } else { 0 };
        let readers: Vec<_> = (0..readers).map(|seed| scope.spawn(move || read(engine, records, seed, ends))).collect();
        let ended = take_file(engine, lines, DEFAULT_SOURCE, &mut waits, &mut summary);
        let took = begun.elapsed();
        ends.store(true, Ordering::Relaxed);
        for reader in readers {
            answers.push(reader.join().unwrap_or(Err(EngineError::Poisoned)));
        }
        (ended, took)
    });
    ended?;
    let mut all = Vec::new();
    answers.into_iter().try_for_each(|told| told.map(|told| all.extend(told)))?;
    all.sort_unstable();
    Ok(Asked { took, lines: summary.lines, answers: all })
}

/// Asks at an even pace until it is told to end. One that was due while another had not been answered counts from when it was due.
fn read(engine: &Engine, records: &[String], seed: u64, ends: &AtomicBool) -> Result<Vec<Duration>, EngineError> {
    let reader = engine.read(&Principal::operator());
    let mut chance = Chance::new(seed).fork();
    let distance = Duration::from_secs(READERS) / QUESTIONS_PER_SECOND as u32;
    let (mut took, mut pace) = (Vec::new(), Pace::of(distance));
    loop {
        let from = pace.next();
        let record = chance.pick(records);
        if took.len() % 2 == 0 {
            reader.get(record)?;
        } else {
            reader.history(record, None)?;
        }
        took.push(from.elapsed());
        if ends.load(Ordering::Relaxed) {
            return Ok(took);
        }
    }
}

/// The records of the first lines.
fn records(data: &Path) -> Result<Vec<String>, Failure> {
    let (mut lines, mut records) = (Lines::open(data)?, BTreeSet::new());
    for _ in 0..LINES_ASKED_OF {
        let Some((_, line)) = lines.next()? else { break };
        if let Some(Ok(Some(Line::Said(said)))) = line.ok().map(neutral::parse) {
            records.insert(said.record.to_string());
        }
    }
    if records.is_empty() {
        return Err(Failure::Use(format!("{} names no records", data.display())));
    }
    Ok(records.into_iter().collect())
}

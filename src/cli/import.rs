//! Statements in from JSON lines.
//!
//! One thread reads, checks and seals; the other takes into the store and waits for the disk, a few batches behind.
//! Memory is bounded by the batches on the way.

use std::{
    collections::VecDeque,
    io::Write,
    rc::Rc,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Instant,
};

use serde::Serialize;

use super::{
    args::Import,
    failure::{End, Failure, chain},
    lines::Lines,
    open::{self, Place},
    tell::{self, Progress},
    waits::{Waiting, Waits},
};
use crate::{
    capture::neutral::{self, Line, Statement},
    engine::{Engine, EngineError, Said},
    event::Sealed,
    id::{RecordId, Seq, TenantKey},
    rulebook::Edition,
};

/// Lines in a batch.
const BATCH_LINES: usize = 256;
/// A batch with so many bytes is full whatever it has of lines.
const BATCH_BYTES: usize = 4 << 20;
/// Batches that wait to be taken in.
const BATCHES_READ: usize = 4;
/// Batches that were taken in and of which the disk has not told yet.
const BATCHES_IN_FLIGHT: usize = 8;

/// What is kept of a line until its fate is known.
struct Note {
    line: u64,
    record: RecordId,
    number: Option<u64>,
    base: Vec<u64>,
}

/// Lines on their way into the store.
struct Batch {
    sealed: Vec<Sealed>,
    notes: Vec<Note>,
    faults: Vec<(u64, String)>,
    lines: u64,
    bytes: usize,
    read: u64,
}

/// What an import came to.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Lines with something on them.
    pub lines: u64,
    /// Those that were new.
    pub events: u64,
    /// Those that the store had already.
    pub duplicates: u64,
    /// Those that could not be taken.
    pub bad: u64,
    waiting: u64,
    seconds: f64,
}

/// Takes files in.
pub fn import(args: &Import, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let begun = Instant::now();
    let mut files = args.files.iter().map(|path| Lines::open(path)).collect::<Result<Vec<_>, _>>()?;
    let manifest = place.manifest_text()?;
    let export = files.first_mut().map(Lines::peek_export).transpose()?.flatten();
    let mut builder = place.unruled();
    builder = match (export, &manifest) {
        // The export brings its own rules; those on the command line come after them.
        (Some((tenant, key)), _) => builder.adopt(tenant, key_of(&key)?),
        (None, Some(text)) => builder.manifest(text),
        (None, None) => builder,
    };
    let open = open::open(builder)?;
    let mut summary = Summary::default();
    let mut waits = Waits::default();
    for lines in files {
        take_file(&open.engine, lines, &args.source, &mut waits, &mut summary)?;
    }
    if let Some(text) = manifest {
        open.engine.apply_manifest(&text)?;
    }
    let faults = waits.explain(&open.engine, &args.source)?;
    summary.bad += faults.len() as u64;
    tell::complain(&faults);
    summary.waiting = open.engine.counts()?.waiting;
    open.close()?;
    summary.seconds = begun.elapsed().as_secs_f64();
    if place.json {
        tell::json(out, &summary)?;
    } else {
        writeln!(out, "{}", summary.sentence())?;
    }
    Ok(End::well(summary.bad == 0))
}

fn key_of(hex: &str) -> Result<TenantKey, Failure> {
    let bytes = crate::id::from_hex(hex).and_then(|bytes| bytes.try_into().ok());
    bytes.map(TenantKey).ok_or_else(|| Failure::Use("the key of the export is not 64 hexadecimal digits".to_owned()))
}

impl Summary {
    fn sentence(&self) -> String {
        let count = |number: u64, one: &str, many: &str| {
            format!("{} {}", tell::count(number), if number == 1 { one } else { many })
        };
        let mut parts = vec![
            count(self.events, "new event", "new events"),
            count(self.duplicates, "duplicate", "duplicates"),
            count(self.bad, "bad line", "bad lines"),
        ];
        if self.waiting > 0 {
            parts.push(count(self.waiting, "event waits for its base", "events wait for their base"));
        }
        format!("{}: {}", count(self.lines, "line", "lines"), parts.join(", "))
    }
}

/// Takes one file in; returns once all of it is on disk.
pub fn take_file(
    engine: &Engine,
    lines: Lines,
    source: &str,
    waits: &mut Waits,
    summary: &mut Summary,
) -> Result<(), Failure> {
    let name: Rc<str> = lines.name().into();
    let progress = Progress::of("importing", lines.length(), true);
    let rules = match engine.edition() {
        Ok(edition) => Some(edition),
        Err(EngineError::NoRules) => None,
        Err(why) => return Err(why.into()),
    };
    let (send, batches) = sync_channel(BATCHES_READ);
    let reader = Reader { engine, source, rules };
    let done = thread::scope(|scope| {
        let reading = scope.spawn(move || reader.read(lines, &send));
        let taken = Taker { engine, name: &name, waits, summary, progress: &progress }.take_all(batches);
        let read = reading.join().unwrap_or(Err(Failure::Engine(EngineError::Poisoned)));
        taken.and(read)
    });
    progress.end();
    done
}

/// The thread that reads.
struct Reader<'a> {
    engine: &'a Engine,
    source: &'a str,
    rules: Option<Edition>,
}

impl Reader<'_> {
    fn read(self, mut lines: Lines, send: &SyncSender<Batch>) -> Result<(), Failure> {
        let mut batch = Batch::empty();
        while let Some((number, line)) = lines.next()? {
            batch.lines += 1;
            let read = match line {
                Ok(line) => self.line(line, number, &mut batch),
                Err(bytes) => Err(neutral::LineError::TooLong(bytes).to_string()),
            };
            if let Err(why) = read {
                batch.faults.push((number, why));
            }
            if batch.lines as usize >= BATCH_LINES || batch.bytes >= BATCH_BYTES {
                batch.read = lines.read_bytes();
                // If nobody takes batches any more, the other thread tells why.
                if send.send(std::mem::replace(&mut batch, Batch::empty())).is_err() {
                    return Ok(());
                }
            }
        }
        batch.read = lines.read_bytes();
        // As above.
        if send.send(batch).is_err() {
            tracing::debug!("nobody takes the last lines in");
        }
        Ok(())
    }

    fn line(&self, line: &[u8], number: u64, batch: &mut Batch) -> Result<(), String> {
        match neutral::parse(line).map_err(|why| why.to_string().replace(" at line 1 column ", " at column "))? {
            None => batch.lines -= 1,
            Some(Line::Said(said)) => {
                let note = Note {
                    line: number,
                    record: said.record.clone(),
                    number: said.seq,
                    base: said.base.clone().unwrap_or_default(),
                };
                batch.push(self.seal(*said)?, note);
            }
            Some(Line::Event(header, payload)) => {
                let key = |header: &crate::event::Header| self.engine.record_key(&header.record);
                let sealed = Sealed::from_foreign(&header, &payload, key).map_err(|why| chain(&why))?;
                let record = sealed.event.header.record.clone();
                batch.push(sealed, Note { line: number, record, number: None, base: Vec::new() });
            }
            Some(Line::Export { key, .. }) => {
                batch.lines -= 1;
                if crate::id::to_hex(&self.engine.tenant_key().0) != key {
                    return Err("this export is of a store with another key; import it into a new store".to_owned());
                }
            }
        }
        Ok(())
    }

    fn seal(&self, said: Statement) -> Result<Sealed, String> {
        let rules = self.rules.as_ref().ok_or("the store has no rules until the export is taken in")?;
        let resolution = rules.sides.get(&said.side).map_or(1, |side| side.resolution);
        let key = self.engine.record_key(&said.record);
        let draft = said.draft(self.source, &key, resolution);
        Engine::check(rules, &draft).map_err(|why| why.to_string())?;
        self.engine.seal(draft).map_err(|why| chain(&why))
    }
}

impl Batch {
    /// A batch with room for all its lines, since growing would move every event again.
    fn empty() -> Self {
        let (sealed, notes) = (Vec::with_capacity(BATCH_LINES), Vec::with_capacity(BATCH_LINES));
        Batch { sealed, notes, faults: Vec::new(), lines: 0, bytes: 0, read: 0 }
    }

    fn push(&mut self, sealed: Sealed, note: Note) {
        self.bytes += sealed.header.len() + sealed.payload.len();
        self.sealed.push(sealed);
        self.notes.push(note);
    }
}

/// The thread that takes into the store.
struct Taker<'a> {
    engine: &'a Engine,
    name: &'a Rc<str>,
    waits: &'a mut Waits,
    summary: &'a mut Summary,
    progress: &'a Progress,
}

impl Taker<'_> {
    fn take_all(&mut self, batches: Receiver<Batch>) -> Result<(), Failure> {
        let mut in_flight: VecDeque<Seq> = VecDeque::with_capacity(BATCHES_IN_FLIGHT + 1);
        for batch in batches {
            in_flight.push_back(self.take(batch)?);
            if in_flight.len() > BATCHES_IN_FLIGHT {
                in_flight.pop_front().map_or(Ok(()), |upto| self.engine.wait(upto))?;
            }
        }
        Ok(in_flight.pop_back().map_or(Ok(()), |upto| self.engine.wait(upto))?)
    }

    fn take(&mut self, batch: Batch) -> Result<Seq, Failure> {
        let mut faults = batch.faults;
        let (said, last) = self.engine.submit(batch.sealed)?;
        for (said, note) in said.into_iter().zip(batch.notes) {
            match said {
                Said::Duplicate => self.summary.duplicates += 1,
                Said::New { seq, waits, contradicts, .. } => {
                    self.summary.events += 1;
                    if contradicts {
                        let number = note.number.map_or_else(String::new, |number| format!("seq {number} "));
                        let why = "was used before for something else; both are kept, and the smaller one counts";
                        faults.push((note.line, format!("{number}{why}")));
                    }
                    if waits {
                        let Note { line, record, base, .. } = note;
                        self.waits.add(Waiting { file: self.name.clone(), line, seq, record, base });
                    }
                }
            }
        }
        faults.sort();
        self.summary.lines += batch.lines;
        self.summary.bad += faults.len() as u64;
        let told: Vec<String> = faults.iter().map(|(line, why)| format!("{}:{line}: {why}", self.name)).collect();
        if !told.is_empty() {
            self.progress.complain(&told);
        }
        self.progress.at(batch.read);
        Ok(last)
    }
}

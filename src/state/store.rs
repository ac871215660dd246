//! sled, opened with care: what it loses or breaks is rebuilt from the log.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::Arc,
};

use sled::{Db, Tree};

use super::{chunks, pages::Pages, tie::Tie};
use crate::{
    clock::Millis,
    codec::{self, CodecError},
    id::{Place, RecordId, SaidId, Seq, SideName},
    log::disk::Disk,
    merge::{Line, Record, line::Entry},
    state::checkpoint::{Checkpoint, LAYOUT},
};

/// What went wrong with derived state; the log is never affected.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// sled failed.
    #[error("derived state cannot be read or written")]
    Sled(#[from] sled::Error),
    /// A file operation of ours failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A value that is not what this build writes.
    #[error("the stored state of {name} cannot be read; rebuild it from the log")]
    Value {
        /// The record, or the tree.
        name: String,
        /// Why.
        #[source]
        source: CodecError,
    },
}

/// What was found on open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// State up to a checkpoint.
    At(Checkpoint),
    /// Nothing usable: all has to be made from the log. If old state could not be opened, where it was put aside.
    Nothing {
        /// The old directory's new name.
        aside: Option<PathBuf>,
    },
}

/// Derived state on disk.
pub struct Store {
    db: Db,
    records: Tree,
    lines: Tree,
    sources: Tree,
    outbox: Tree,
    aliases: Tree,
    ties: Tree,
    matches: Tree,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Store {
    /// Opens the derived state in `dir`, or makes an empty one where there is none that can be used.
    ///
    /// # Errors
    /// If not even an empty one can be made.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, cache_bytes: u64) -> Result<(Self, Opened), StateError> {
        let fresh = !dir.exists();
        let checkpoint = Checkpoint::read(&*disk, dir);
        if !fresh && let Some(checkpoint) = checkpoint {
            match Self::open_sled(disk.clone(), dir, cache_bytes) {
                Ok(store) if store.holds(&checkpoint) => return Ok((store, Opened::At(checkpoint))),
                Ok(_) => tracing::warn!("derived state has lost some of what its checkpoint stands for"),
                Err(why) => tracing::warn!(error = &why as &dyn std::error::Error, "derived state does not open"),
            }
        }
        let aside = if fresh { None } else { Some(Self::put_aside(&*disk, dir)?) };
        Ok((Self::open_sled(disk, dir, cache_bytes)?, Opened::Nothing { aside }))
    }

    fn open_sled(disk: Arc<dyn Disk>, dir: &Path, cache_bytes: u64) -> Result<Self, StateError> {
        // sled 0.34 can panic on a damaged file; that must not take the engine down.
        let opened = panic::catch_unwind(AssertUnwindSafe(|| {
            let db = sled::Config::new()
                .path(dir)
                .cache_capacity(cache_bytes)
                .flush_every_ms(None)
                .mode(sled::Mode::HighThroughput)
                .open()?;
            let tree = |name: &str| db.open_tree(name);
            let records = [tree("record")?, tree("line")?, tree("source")?, tree("outbox")?];
            Ok::<_, sled::Error>((db.clone(), records, [tree("alias")?, tree("tie")?, tree("match")?]))
        }));
        let opened = opened.unwrap_or_else(|_| Err(sled::Error::ReportableBug("sled panicked while opening".into())));
        let (db, [records, lines, sources, outbox], [aliases, ties, matches]) = opened?;
        Ok(Store { db, records, lines, sources, outbox, aliases, ties, matches, dir: dir.to_owned(), disk })
    }

    /// Whether all is there that a checkpoint stands for: sled passes in silence over what it cannot read when it opens.
    ///
    /// Every event is in one line, so the events of all lines, and those of which all records are made, are as many as the
    /// checkpoint's sequence says. What is there is checked when it is read.
    fn holds(&self, checkpoint: &Checkpoint) -> bool {
        let count = || {
            let events = [&self.records, &self.lines].map(|tree| self.events_until(tree, checkpoint.seq));
            let [of_records, of_lines] = events;
            let all = (of_records?, of_lines?) == (checkpoint.seq.0, checkpoint.seq.0);
            let identity = self.aliases.len() as u64 == checkpoint.aliases && self.ties.len() as u64 == checkpoint.ties;
            Ok::<_, StateError>(all && identity && self.rows()? >= checkpoint.rows && self.pages()? >= checkpoint.pages)
        };
        // As on open: sled may panic over what it finds.
        match panic::catch_unwind(AssertUnwindSafe(count)) {
            Ok(Ok(all)) => all,
            Ok(Err(why)) => {
                tracing::warn!(error = &why as &dyn std::error::Error, "derived state cannot be read");
                false
            }
            Err(_) => false,
        }
    }

    /// How many events up to a sequence the values of a tree are made of.
    fn events_until(&self, tree: &Tree, seq: Seq) -> Result<u64, StateError> {
        let mut sum = 0;
        for pair in tree.iter() {
            let (key, chunk) = pair?;
            let Some(name) = chunks::name_of(&key) else { continue };
            let name = String::from_utf8_lossy(name);
            let stamp = chunks::head(&chunk).and_then(Stamp::read).ok_or_else(|| stampless(&name))?.0;
            sum += match stamp.last <= seq {
                true => stamp.events,
                // Written since: only some of its events are of the checkpoint's time.
                false => {
                    self.line(&name)?.map_or(0, |line| line.entries().partition_point(|entry| entry.seq <= seq) as u64)
                }
            };
        }
        Ok(sum)
    }

    fn rows(&self) -> Result<u64, StateError> {
        self.outbox.iter().keys().try_fold(0, |sum, key| Ok(key.map(|_| sum + 1)?))
    }

    fn pages(&self) -> Result<u64, StateError> {
        self.sources.iter().keys().try_fold(0, |sum, key| Ok(key.map(|_| sum + 1)?))
    }

    fn put_aside(disk: &dyn Disk, dir: &Path) -> Result<PathBuf, StateError> {
        let free = |number: &u32| !dir.with_extension(format!("aside{number}")).exists();
        let number = (1..).find(free).expect("some number is free");
        let aside = dir.with_extension(format!("aside{number}"));
        let parent = dir.parent().unwrap_or(dir);
        disk.rename(dir, &aside).and_then(|()| disk.sync_dir(parent)).map_err(|source| StateError::Io {
            doing: "put aside",
            path: dir.to_owned(),
            source,
        })?;
        tracing::warn!(aside = %aside.display(), "old derived state was put aside; it is rebuilt from the log");
        Ok(aside)
    }

    /// A record's resolved state.
    ///
    /// # Errors
    /// If sled fails, or holds something else.
    pub fn record(&self, id: &str) -> Result<Option<Record>, StateError> {
        let bytes = chunks::get(&self.records, id.as_bytes())?;
        bytes.map(|bytes| decode(id, unstamped(id, &bytes)?)).transpose()
    }

    /// A record's line.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub fn line(&self, id: &str) -> Result<Option<Line>, StateError> {
        let Some(bytes) = chunks::get(&self.lines, id.as_bytes())? else { return Ok(None) };
        Ok(Some(unpack_line(decode(id, unstamped(id, &bytes)?)?)))
    }

    /// Writes a record and its line.
    ///
    /// # Errors
    /// If sled fails.
    pub fn put_record(&self, id: &str, record: &Record, line: &Line) -> Result<(), StateError> {
        let last = line.entries().last().map_or(Seq(0), |entry| entry.seq);
        let stamp = Stamp { events: line.len() as u64, last };
        chunks::put(&self.records, id.as_bytes(), &stamp.before(&codec::encode(record)))?;
        chunks::put(&self.lines, id.as_bytes(), &stamp.before(&codec::encode(&pack_line(line))))?;
        Ok(())
    }

    /// Removes a record and its line.
    ///
    /// # Errors
    /// If sled fails.
    pub fn remove_record(&self, id: &str) -> Result<(), StateError> {
        chunks::remove(&self.records, id.as_bytes())?;
        chunks::remove(&self.lines, id.as_bytes())?;
        Ok(())
    }

    /// The ids of all stored records, ascending, from the first that is not before `from`.
    pub fn ids(&self, from: &str) -> impl Iterator<Item = Result<RecordId, StateError>> + use<> {
        self.records.range(from.as_bytes()..).keys().filter_map(|key| match key {
            Ok(key) => {
                let name = std::str::from_utf8(chunks::name_of(&key)?).ok()?;
                RecordId::new(name).ok().map(Ok)
            }
            Err(why) => Some(Err(why.into())),
        })
    }

    /// A page of a source's numbers.
    ///
    /// # Errors
    /// If sled fails.
    pub fn page(&self, source: &str, page: u64) -> Result<Pages, StateError> {
        let bytes = self.sources.get(page_key(source, page))?;
        Ok(bytes.and_then(|bytes| Pages::unpack(&bytes)).unwrap_or_default())
    }

    /// Writes a page of a source's numbers.
    ///
    /// # Errors
    /// If sled fails.
    pub fn put_page(&self, source: &str, page: u64, numbers: &Pages) -> Result<(), StateError> {
        self.sources.insert(page_key(source, page), numbers.pack())?;
        Ok(())
    }

    /// Notes since when a write to a side waits; `None`: none does.
    ///
    /// # Errors
    /// If sled fails.
    pub fn put_outbox(&self, side: &str, id: &str, since: Option<Millis>) -> Result<(), StateError> {
        let key = [side.as_bytes(), &[0], id.as_bytes()].concat();
        match since {
            Some(since) => self.outbox.insert(key, codec::encode(&since))?,
            None => self.outbox.remove(key)?,
        };
        Ok(())
    }

    /// All writes that wait: side, record, since when.
    ///
    /// # Errors
    /// If sled fails, or holds something else.
    pub fn outbox(&self) -> Result<Vec<(SideName, RecordId, Millis)>, StateError> {
        let row = |(key, value): (sled::IVec, sled::IVec)| {
            let at = key.iter().position(|byte| *byte == 0)?;
            let side = SideName::new(std::str::from_utf8(&key[..at]).ok()?).ok()?;
            let record = RecordId::new(std::str::from_utf8(&key[at + 1..]).ok()?).ok()?;
            Some((side, record, codec::decode(&value).ok()?))
        };
        let mut rows = Vec::new();
        for pair in self.outbox.iter() {
            rows.extend(row(pair?));
        }
        Ok(rows)
    }

    /// The id under which a record is resolved, if that is another.
    ///
    /// # Errors
    /// If sled fails, or holds something else.
    pub fn alias(&self, id: &str) -> Result<Option<RecordId>, StateError> {
        let bytes = self.aliases.get(id)?;
        bytes.map(|bytes| decode(id, &bytes)).transpose()
    }

    /// Notes under which id a record is resolved; `None`: under its own.
    ///
    /// # Errors
    /// If sled fails.
    pub fn put_alias(&self, id: &str, canonical: Option<&RecordId>) -> Result<(), StateError> {
        match canonical {
            Some(canonical) => self.aliases.insert(id, codec::encode(canonical))?,
            None => self.aliases.remove(id)?,
        };
        Ok(())
    }

    /// The newest statement about each pair that a record is part of.
    ///
    /// # Errors
    /// If sled fails, or holds something else.
    pub fn ties(&self, id: &str) -> Result<BTreeMap<RecordId, Tie>, StateError> {
        let start = [id.as_bytes(), &[0]].concat();
        let mut ties = BTreeMap::new();
        for pair in self.ties.scan_prefix(&start) {
            let (key, tie) = pair?;
            let other = std::str::from_utf8(&key[start.len()..]).ok().and_then(|other| RecordId::new(other).ok());
            ties.insert(other.ok_or_else(|| stampless(id))?, decode(id, &tie)?);
        }
        Ok(ties)
    }

    /// Notes the newest statement about a pair, under its first record.
    ///
    /// # Errors
    /// If sled fails.
    pub fn put_tie(&self, one: &str, other: &str, tie: Tie) -> Result<(), StateError> {
        self.ties.insert([one.as_bytes(), &[0], other.as_bytes()].concat(), codec::encode(&tie))?;
        Ok(())
    }

    /// Notes, or strikes out, that a record bears a value by which records are matched.
    ///
    /// # Errors
    /// If sled fails.
    pub fn put_match(&self, value: &[u8], record: &str, bears: bool) -> Result<(), StateError> {
        let key = [value, &[0], record.as_bytes()].concat();
        if bears {
            self.matches.insert(key, &[])?
        } else {
            self.matches.remove(key)?
        };
        Ok(())
    }

    /// The records that bore a value, some of which may not bear it any more.
    ///
    /// # Errors
    /// If sled fails.
    pub fn matches(&self, value: &[u8]) -> Result<Vec<RecordId>, StateError> {
        let start = [value, &[0]].concat();
        let mut records = Vec::new();
        for key in self.matches.scan_prefix(&start).keys() {
            let key = key?;
            let record = std::str::from_utf8(&key[start.len()..]).ok().and_then(|record| RecordId::new(record).ok());
            records.extend(record);
        }
        Ok(records)
    }

    /// Takes the checkpoint back before records change their make-up: whoever opens a store without one makes it anew.
    ///
    /// # Errors
    /// If a disk operation fails.
    pub fn withdraw(&self) -> Result<(), StateError> {
        Checkpoint::withdraw(&*self.disk, &self.dir)
            .map_err(|source| self.io("withdraw the checkpoint in", &self.dir, source))
    }

    /// Makes everything written so far durable and says what it stands for.
    ///
    /// # After a crash
    /// The state is at this checkpoint or at the one before, possibly with newer records among its own.
    ///
    /// # Errors
    /// If a disk operation fails; the old checkpoint then still holds.
    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StateError> {
        self.db.flush()?;
        // sled asks the kernel to write, not the disk to keep: its files are synced here, one by one.
        self.sync_files(&self.dir)?;
        let checkpoint = Checkpoint {
            layout: LAYOUT,
            rows: self.rows()?,
            pages: self.pages()?,
            aliases: self.aliases.len() as u64,
            ties: self.ties.len() as u64,
            ..checkpoint.clone()
        };
        checkpoint.write(&*self.disk, &self.dir).map_err(|source| self.io("write a checkpoint in", &self.dir, source))
    }

    fn sync_files(&self, dir: &Path) -> Result<(), StateError> {
        for name in self.disk.list(dir).map_err(|source| self.io("list", dir, source))? {
            let path = dir.join(&name);
            if path.is_dir() {
                self.sync_files(&path)?;
                continue;
            }
            match self.disk.open(&path).and_then(|file| file.sync()) {
                Ok(()) => {}
                // sled removes old snapshots on its own.
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(self.io("sync", &path, source)),
            }
        }
        self.disk.sync_dir(dir).map_err(|source| self.io("sync", dir, source))
    }

    fn io(&self, doing: &'static str, path: &Path, source: io::Error) -> StateError {
        StateError::Io { doing, path: path.to_owned(), source }
    }

    /// The bytes of all files of the derived state.
    pub fn bytes(&self) -> u64 {
        fn sum(dir: &Path) -> u64 {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.metadata() {
                    Ok(found) if found.is_dir() => sum(&entry.path()),
                    Ok(found) => found.len(),
                    Err(_) => 0,
                })
                .sum()
        }
        sum(&self.dir)
    }
}

/// What stands before a stored record or line: of how many events it is made, and the newest of them.
#[derive(Clone, Copy)]
struct Stamp {
    events: u64,
    last: Seq,
}

impl Stamp {
    fn before(self, bytes: &[u8]) -> Vec<u8> {
        [&self.events.to_le_bytes(), &self.last.0.to_le_bytes(), bytes].concat()
    }

    fn read(bytes: &[u8]) -> Option<(Stamp, &[u8])> {
        let (events, rest) = bytes.split_first_chunk()?;
        let (last, rest) = rest.split_first_chunk()?;
        Some((Stamp { events: u64::from_le_bytes(*events), last: Seq(u64::from_le_bytes(*last)) }, rest))
    }
}

fn unstamped<'b>(name: &str, bytes: &'b [u8]) -> Result<&'b [u8], StateError> {
    Stamp::read(bytes).map(|(_, rest)| rest).ok_or_else(|| stampless(name))
}

fn stampless(name: &str) -> StateError {
    sled::Error::ReportableBug(format!("the state of {name} is too short")).into()
}

fn page_key(source: &str, page: u64) -> Vec<u8> {
    [source.as_bytes(), &[0], &page.to_be_bytes()].concat()
}

fn decode<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, StateError> {
    codec::decode(bytes).map_err(|source| StateError::Value { name: name.to_owned(), source })
}

/// An entry with its numbers as differences to the entry before: sequence, place, and how far back the parents are.
type Packed = (SaidId, i64, i64, Vec<i32>);

fn pack_line(line: &Line) -> Vec<Packed> {
    let mut before = (0, 0);
    let pack = |(at, entry): (usize, &Entry)| {
        let (seq, place) = (entry.seq.0 as i64, entry.place.0 as i64);
        let parents = entry.parents.iter().map(|parent| at as i32 - *parent as i32).collect();
        let packed = (entry.said, seq - before.0, place - before.1, parents);
        before = (seq, place);
        packed
    };
    line.entries().iter().enumerate().map(pack).collect()
}

fn unpack_line(packed: Vec<Packed>) -> Line {
    let mut before = (0, 0);
    let entries = packed.into_iter().enumerate().map(|(at, (said, seq, place, parents))| {
        before = (before.0 + seq, before.1 + place);
        let parents = parents.into_iter().map(|back| (at as i32 - back) as u32).collect();
        Entry { said, seq: Seq(before.0 as u64), place: Place(before.1 as u64), parents }
    });
    Line::from_entries(entries.collect())
}

//! sled, opened with care: indices of which what is lost is found out, and made anew from the log.
//!
//! sled gives back little of what was overwritten or removed. Its size is watched: once it is many times what is in it, all
//! of it is copied into a directory of its own, with the next number, and the old one goes when a checkpoint names the new.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sled::{Db, Tree};

use super::{
    store::{StateError, decode},
    tie::Tie,
};
use crate::{
    clock::Millis,
    codec,
    id::{RecordId, SideName},
};

/// How much of what must not be lost the indices held at a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// How many writes waited.
    pub rows: u64,
    /// How many ids are resolved under another.
    pub aliases: u64,
    /// How many ties there are between ids, each counted from either end.
    pub ties: u64,
}

/// Indices are worn out when they take so many times the bytes that are in them.
const WORN_TIMES: u64 = 8;
/// The names of their directories begin with this, and end with their number.
const PREFIX: &str = "indices";

/// What is looked up by something else than a record's id.
pub struct Indices {
    number: u32,
    db: Db,
    outbox: Tree,
    aliases: Tree,
    ties: Tree,
    matches: Tree,
}

/// sled 0.34 can panic on a damaged file; that must not take the engine down.
fn with_care<T>(work: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, sled::Error> {
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(sled::Error::ReportableBug("sled panicked over what it found".into())))
}

/// How often, and how long, the lock of indices that were closed a moment ago is waited for.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Opens what the log's lock says is nobody else's: sled's threads may still hold what this process has closed.
fn let_go(open: impl Fn() -> Result<Db, sled::Error>) -> Result<Db, sled::Error> {
    for _ in 1..TRIES {
        match open() {
            Err(sled::Error::Io(why)) if why.to_string().starts_with("could not acquire lock") => thread::sleep(PAUSE),
            done => return done,
        }
    }
    open()
}

impl Indices {
    /// Opens the indices of this number in a state directory, or makes them.
    pub fn open(state: &Path, number: u32, cache_bytes: u64) -> Result<Self, sled::Error> {
        with_care(|| {
            let config = sled::Config::new()
                .path(place(state, number))
                .cache_capacity(cache_bytes)
                .flush_every_ms(None)
                .mode(sled::Mode::HighThroughput);
            let db = let_go(|| config.open())?;
            let tree = |name: &str| db.open_tree(name);
            let (outbox, aliases, ties, matches) = (tree("outbox")?, tree("alias")?, tree("tie")?, tree("match")?);
            Ok(Indices { number, db, outbox, aliases, ties, matches })
        })
    }

    /// The number in the name of their directory.
    pub fn number(&self) -> u32 {
        self.number
    }

    fn trees(&self) -> [&Tree; 4] {
        [&self.outbox, &self.aliases, &self.ties, &self.matches]
    }

    /// Whether they take many times the bytes that are in them; never if they take no more than `least`.
    pub fn are_worn(&self, least: u64) -> Result<bool, sled::Error> {
        let taken = self.db.size_on_disk()?;
        if taken <= least {
            return Ok(false);
        }
        let mut held = 0;
        for pair in self.trees().into_iter().flat_map(Tree::iter) {
            let (key, value) = pair?;
            held += (key.len() + value.len()) as u64;
        }
        Ok(taken > held.saturating_mul(WORN_TIMES))
    }

    /// The same entries in a directory of their own, with the next number.
    pub fn anew(&self, state: &Path, cache_bytes: u64) -> Result<Self, StateError> {
        let number = self.number.wrapping_add(1);
        // A copy that no checkpoint ever named may have been left behind.
        remove(&place(state, number))?;
        let new = Indices::open(state, number, cache_bytes)?;
        for (from, to) in self.trees().into_iter().zip(new.trees()) {
            for pair in from.iter() {
                let (key, value) = pair?;
                to.insert(key, value)?;
            }
        }
        Ok(new)
    }

    /// Whether they hold what a checkpoint stands for.
    pub fn hold(&self, due: Held) -> Result<bool, sled::Error> {
        let found = self.held()?;
        Ok((found.aliases, found.ties) == (due.aliases, due.ties) && found.rows >= due.rows)
    }

    /// Counts what must not be lost.
    pub fn held(&self) -> Result<Held, sled::Error> {
        with_care(|| {
            let rows = self.outbox.iter().keys().try_fold(0, |sum, key| key.map(|_| sum + 1))?;
            Ok(Held { rows, aliases: self.aliases.len() as u64, ties: self.ties.len() as u64 })
        })
    }

    /// Hands everything to the operating system; the files are then to be synced.
    pub fn flush(&self) -> Result<(), sled::Error> {
        self.db.flush().map(|_| ())
    }

    /// Notes since when a write to a side waits; `None`: none does.
    pub fn put_outbox(&self, side: &str, id: &str, since: Option<Millis>) -> Result<(), sled::Error> {
        let key = [side.as_bytes(), &[0], id.as_bytes()].concat();
        match since {
            Some(since) => self.outbox.insert(key, codec::encode(&since))?,
            None => self.outbox.remove(key)?,
        };
        Ok(())
    }

    /// All writes that wait: side, record, since when.
    pub fn outbox(&self) -> Result<Vec<(SideName, RecordId, Millis)>, sled::Error> {
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
    pub fn alias(&self, id: &str) -> Result<Option<RecordId>, StateError> {
        let bytes = self.aliases.get(id)?;
        bytes.map(|bytes| decode(id, &bytes)).transpose()
    }

    /// Notes under which id a record is resolved; `None`: under its own.
    pub fn put_alias(&self, id: &str, canonical: Option<&RecordId>) -> Result<(), sled::Error> {
        match canonical {
            Some(canonical) => self.aliases.insert(id, codec::encode(canonical))?,
            None => self.aliases.remove(id)?,
        };
        Ok(())
    }

    /// The newest statement about each pair that a record is part of.
    pub fn ties(&self, id: &str) -> Result<BTreeMap<RecordId, Tie>, StateError> {
        let start = [id.as_bytes(), &[0]].concat();
        let mut ties = BTreeMap::new();
        for pair in self.ties.scan_prefix(&start) {
            let (key, tie) = pair?;
            let other = std::str::from_utf8(&key[start.len()..]).ok().and_then(|other| RecordId::new(other).ok());
            ties.insert(other.ok_or_else(|| damaged(id))?, decode(id, &tie)?);
        }
        Ok(ties)
    }

    /// Notes the newest statement about a pair, under its first record.
    pub fn put_tie(&self, one: &str, other: &str, tie: Tie) -> Result<(), sled::Error> {
        self.ties.insert([one.as_bytes(), &[0], other.as_bytes()].concat(), codec::encode(&tie))?;
        Ok(())
    }

    /// Notes, or strikes out, that a record bears a value by which records are matched.
    pub fn put_match(&self, value: &[u8], record: &str, bears: bool) -> Result<(), sled::Error> {
        let key = [value, &[0], record.as_bytes()].concat();
        if bears {
            self.matches.insert(key, &[])?
        } else {
            self.matches.remove(key)?
        };
        Ok(())
    }

    /// The records that bore a value, some of which may not bear it any more.
    pub fn matches(&self, value: &[u8]) -> Result<Vec<RecordId>, sled::Error> {
        let start = [value, &[0]].concat();
        let mut records = Vec::new();
        for key in self.matches.scan_prefix(&start).keys() {
            let key = key?;
            let record = std::str::from_utf8(&key[start.len()..]).ok().and_then(|record| RecordId::new(record).ok());
            records.extend(record);
        }
        Ok(records)
    }
}

/// Where the indices of a number lie.
fn place(state: &Path, number: u32) -> PathBuf {
    state.join(format!("{PREFIX}{number}"))
}

fn remove(dir: &Path) -> Result<(), StateError> {
    match fs::remove_dir_all(dir) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            Err(StateError::Io { doing: "remove", path: dir.to_owned(), source: why })
        }
        _ => Ok(()),
    }
}

/// Removes all indices from a state directory but those of this number.
pub fn remove_others(state: &Path, number: Option<u32>) -> Result<(), StateError> {
    let failed = |source| StateError::Io { doing: "list", path: state.to_owned(), source };
    let entries = match fs::read_dir(state) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let named = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX));
        let found = named.and_then(|found| found.parse::<u32>().ok());
        if found.is_some_and(|found| Some(found) != number) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn damaged(name: &str) -> StateError {
    sled::Error::ReportableBug(format!("the ties of {name} are not what was written")).into()
}

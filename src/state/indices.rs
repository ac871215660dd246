//! sled, opened with care: indices of which what is lost is found out, and made anew from the log.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    path::Path,
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

/// What is looked up by something else than a record's id.
pub struct Indices {
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
    /// Opens the indices in a directory, or makes them.
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self, sled::Error> {
        with_care(|| {
            let config = sled::Config::new()
                .path(dir)
                .cache_capacity(cache_bytes)
                .flush_every_ms(None)
                .mode(sled::Mode::HighThroughput);
            let db = let_go(|| config.open())?;
            let tree = |name: &str| db.open_tree(name);
            let (outbox, aliases, ties, matches) = (tree("outbox")?, tree("alias")?, tree("tie")?, tree("match")?);
            Ok(Indices { db, outbox, aliases, ties, matches })
        })
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

fn damaged(name: &str) -> StateError {
    sled::Error::ReportableBug(format!("the ties of {name} are not what was written")).into()
}

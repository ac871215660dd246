//! What a checkpoint stands for: a small file that is replaced whole, after everything that it stands for is really on disk.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{indices::Held, run::Name};
use crate::{
    codec,
    id::{Hashing, SaidId, Seq},
    log::{Known, disk::Disk},
};

/// The layout of derived state that this build writes; another one is rebuilt from the log.
pub const LAYOUT: u32 = 14;
const FILE: &str = "checkpoint";
const FORMING: &str = "checkpoint.new";

/// Totals over all records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Statements of sides and persons, each once.
    pub events: u64,
    /// Statements that were heard again; not in the log, so a rebuild starts at zero.
    pub duplicates: u64,
    /// Echoes of our own writes.
    pub echoes: u64,
    /// Records with at least one word.
    pub records: u64,
    /// Fields whose candidates differ.
    pub conflicts_open: u64,
    /// Fields and writes that wait for a person.
    pub parked: u64,
    /// Events that name something not in the log yet.
    pub waiting: u64,
    /// Statements whose name was used for another content.
    pub contradicted: u64,
    /// Writes that left.
    pub sent: u64,
    /// Writes that the sides took.
    pub receipts: u64,
    /// Writes that the sides refused.
    pub refused: u64,
}

/// What is durable in derived state, and what besides is needed on open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The layout.
    pub layout: u32,
    /// The sequence up to which derived state holds everything.
    pub seq: Seq,
    /// Where that is in the log, so that opening need not read what is before it.
    pub log: Known,
    /// The runs that records and numbers of sources are in, the oldest first.
    pub runs: Vec<Name>,
    /// What the indices held, if there were any.
    pub indexed: Option<Held>,
    /// The number of the indices.
    pub indices: u32,
    /// The totals at that sequence.
    pub counts: Counts,
    /// What is out of effect because its name was used elsewhere.
    pub void: Vec<SaidId>,
    /// Whether the store was closed after it, so that nothing follows in the log.
    pub closed: bool,
}

impl Checkpoint {
    /// Reads the checkpoint of a state directory; `None` if there is none, or it is damaged or of another layout.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Option<Self> {
        let file = disk.open(&dir.join(FILE)).ok()?;
        let length = usize::try_from(file.len().ok()?).ok().filter(|length| (32..1 << 24).contains(length))?;
        let mut bytes = vec![0; length];
        (file.read_full_at(&mut bytes, 0).ok()? == length).then_some(())?;
        let (body, hash) = bytes.split_at(length - 32);
        (digest(body).0 == *hash).then_some(())?;
        codec::decode::<Checkpoint>(body).ok().filter(|checkpoint| checkpoint.layout == LAYOUT)
    }

    /// Whether a state directory has a checkpoint, of whatever kind, as far as can be told.
    pub fn may_be_in(disk: &dyn Disk, dir: &Path) -> bool {
        disk.list(dir).map_or(true, |names| names.iter().any(|name| name == FILE))
    }

    /// Removes the checkpoint of a state directory, if there is one.
    ///
    /// # After a crash
    /// It is there, or it is not.
    pub fn withdraw(disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
        if disk.list(dir)?.iter().any(|name| name == FILE) {
            disk.remove(&dir.join(FILE))?;
            disk.sync_dir(dir)?;
        }
        Ok(())
    }

    /// Replaces the checkpoint of a state directory.
    ///
    /// # After a crash
    /// The old one or the new one is there, whole.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
        let mut bytes = codec::encode(self);
        let hash = digest(&bytes);
        bytes.extend_from_slice(&hash.0);
        let forming = dir.join(FORMING);
        if disk.list(dir)?.iter().any(|name| name == FORMING) {
            disk.remove(&forming)?;
        }
        let file = disk.create(&forming)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        disk.rename(&forming, &dir.join(FILE))?;
        disk.sync_dir(dir)
    }
}

fn digest(body: &[u8]) -> crate::id::Digest {
    Hashing::new("syncline 1 checkpoint").update(body).digest()
}

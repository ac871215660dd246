//! How far each side has been read: what a service has to know after a restart.
//!
//! One small file in the store's directory, replaced whole and synced. It is written after the events it speaks of are on
//! disk, so a crash costs at most that one page is read again. If it is lost, everything is read again: nothing more.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Millis,
    id::{RecordId, SideName},
    log::disk::{Disk, RealDisk},
};

const FILE: &str = "marks.json";
const FORMAT: u8 = 1;
/// A larger file is none of ours.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The first reading of all records of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackfillMark {
    /// The cursor of the next page.
    pub cursor: Option<String>,
    /// How many records were read so far.
    pub read: u64,
    /// How many there are, where the side says.
    pub total: Option<u64>,
    /// When it began, by our clock.
    pub began: Option<Millis>,
    /// When it began, by the side's.
    pub began_there: Option<Millis>,
    /// When it was done.
    pub done: Option<Millis>,
    /// Whether the side does not offer to be read as a whole.
    pub not_offered: bool,
}

/// What was heard of the changes to records of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PollMark {
    /// All changes before this time of the side were read.
    pub until: Option<Millis>,
    /// The walk under way: from when, the side's time at which it began, and the cursor of its next page.
    pub walk: Option<PollWalk>,
    /// When the last walk began, by our clock.
    pub last: Option<Millis>,
    /// Whether the side does not offer it.
    pub not_offered: bool,
}

/// A walk over changes that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollWalk {
    /// From when on, by the side's clock.
    pub since: Millis,
    /// When it began, by the side's clock.
    pub began_there: Millis,
    /// The cursor of the next page.
    pub cursor: Option<String>,
}

/// What the last reconciliation came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReconcileMark {
    /// When it began, by our clock.
    pub began: Option<Millis>,
    /// When it was done.
    pub done: Option<Millis>,
    /// How many records were compared.
    pub compared: u64,
    /// How many differences were found.
    pub drifts: u64,
    /// How many calls it took.
    pub calls: u64,
}

/// How far one side has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SideMarks {
    /// When it was last heard of, by our clock.
    pub heard: Option<Millis>,
    /// By record kind.
    pub backfill: BTreeMap<String, BackfillMark>,
    /// By record kind.
    pub poll: BTreeMap<String, PollMark>,
    /// The last reconciliation.
    pub reconcile: ReconcileMark,
    /// Records that have to be read, with the side's own ids for them.
    pub wanted: BTreeMap<RecordId, Box<str>>,
    /// Those of them about which the side is being asked, and for which nobody has asked since.
    #[serde(skip)]
    pub asked: BTreeSet<RecordId>,
    /// Those of them that could not be read: how often, and when they are asked about again.
    #[serde(skip)]
    pub put_off: BTreeMap<RecordId, (u32, Millis)>,
}

impl SideMarks {
    /// The records that have to be read, as far as it is time to.
    pub fn due(&self, now: Millis) -> impl Iterator<Item = (&RecordId, &Box<str>)> {
        let is_due = move |record: &RecordId| self.put_off.get(record).is_none_or(|(_, at)| *at <= now);
        self.wanted.iter().filter(move |(record, _)| is_due(record))
    }

    /// Notes that a record was read, which ends what was asked for before that.
    pub fn was_read(&mut self, record: &RecordId) {
        self.put_off.remove(record);
        if self.asked.remove(record) {
            self.wanted.remove(record);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u8,
    sides: BTreeMap<SideName, SideMarks>,
}

/// The marks could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct MarksError {
    doing: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The marks of all sides of a tenant.
pub struct Marks {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    sides: Mutex<BTreeMap<SideName, SideMarks>>,
    /// Held while the file is written, so that an older state never replaces a newer one.
    writes: Mutex<()>,
}

impl Marks {
    /// Reads the marks of a store; a file that cannot be understood is put aside and said so.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn open(store: &Path) -> Result<Marks, MarksError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let sides = match Self::read(store) {
            Ok(sides) => sides,
            Err(why) if why.source.kind() == io::ErrorKind::InvalidData => {
                let (from, to) = (store.join(FILE), store.join(format!("{FILE}.unreadable")));
                disk.rename(&from, &to).map_err(|source| error("put aside", &from, source))?;
                tracing::warn!(file = %to.display(), "what was known of how far sides were read cannot be understood and lies aside; they are read anew");
                BTreeMap::new()
            }
            Err(why) => return Err(why),
        };
        Ok(Marks { dir: store.to_owned(), disk, sides: Mutex::new(sides), writes: Mutex::new(()) })
    }

    /// The marks as they lie in a store's directory; none if there are none.
    ///
    /// # Errors
    /// If they cannot be read or understood.
    pub fn read(store: &Path) -> Result<BTreeMap<SideName, SideMarks>, MarksError> {
        let path = store.join(FILE);
        let invalid = |why: String| error("understand", &path, io::Error::new(io::ErrorKind::InvalidData, why));
        match std::fs::metadata(&path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(source) => return Err(error("read", &path, source)),
            Ok(file) if file.len() > FILE_BYTES_MAX => return Err(invalid("it is too large".to_owned())),
            Ok(_) => {}
        }
        let bytes = std::fs::read(&path).map_err(|source| error("read", &path, source))?;
        let file: File = serde_json::from_slice(&bytes).map_err(|why| invalid(why.to_string()))?;
        match file.format {
            FORMAT => Ok(file.sides),
            other => Err(invalid(format!("its format is {other}"))),
        }
    }

    /// The marks of a side.
    pub fn of(&self, side: &SideName) -> SideMarks {
        self.sides().get(side).cloned().unwrap_or_default()
    }

    /// Looks at the marks of a side without copying them.
    pub fn with<T>(&self, side: &SideName, look: impl FnOnce(&SideMarks) -> T) -> T {
        match self.sides().get(side) {
            Some(marks) => look(marks),
            None => look(&SideMarks::default()),
        }
    }

    /// Changes the marks of a side; nothing is written until [`Marks::save`].
    pub fn change(&self, side: &SideName, change: impl FnOnce(&mut SideMarks)) {
        change(self.sides().entry(side.clone()).or_default());
    }

    /// Makes the marks durable.
    ///
    /// # Errors
    /// If the disk fails; what lay there before lies there still.
    pub fn save(&self) -> Result<(), MarksError> {
        let writing = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let file = File { format: FORMAT, sides: self.sides().clone() };
        let bytes = serde_json::to_vec(&file).expect("marks are plain JSON");
        let (fresh, path) = (self.dir.join(format!("{FILE}.new")), self.dir.join(FILE));
        let written = self.disk.create(&fresh).and_then(|file| {
            file.write_at(&bytes, 0)?;
            file.sync()
        });
        written
            .and_then(|()| self.disk.rename(&fresh, &path))
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(|source| error("write", &path, source))?;
        drop(writing);
        Ok(())
    }

    fn sides(&self) -> MutexGuard<'_, BTreeMap<SideName, SideMarks>> {
        self.sides.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn error(doing: &'static str, path: &Path, source: io::Error) -> MarksError {
    MarksError { doing, path: path.to_owned(), source }
}

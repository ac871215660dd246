//! Derived state on disk: what it loses or breaks is rebuilt from the log.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    indices::{self, Indices},
    packed,
    pages::Pages,
    shelf::Shelf,
    tie::Tie,
};
use crate::{
    clock::Millis,
    codec::{self, CodecError},
    id::{RecordId, SideName},
    log::disk::Disk,
    merge::{Line, Record},
    state::checkpoint::{Checkpoint, LAYOUT},
};

/// What went wrong with derived state; the log is never affected.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// sled failed.
    #[error("the indices of derived state cannot be read or written")]
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
    At(Box<Checkpoint>),
    /// Nothing usable: all has to be made from the log. If state with a checkpoint could not be opened, where it was put aside.
    Nothing {
        /// The old directory's new name.
        aside: Option<PathBuf>,
    },
}

/// Values are put together in memory that is kept, up to so many bytes of it.
const FORMING_BYTES_KEPT: usize = 1 << 20;
/// sled takes some megabytes for next to nothing, and that much again while it tidies up.
const WORN_BYTES: u64 = 64 << 20;
/// Before this character stand the keys that are no record's: ids hold no control characters.
const RECORDS: &str = "\u{2}";

/// How many bytes derived state may take in memory, about.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Records as they lie on disk, that wait to be written or were lately.
    pub packed: usize,
    /// The cache of the indices.
    pub indices: u64,
}

/// Derived state on disk.
pub struct Store {
    shelf: Mutex<Shelf>,
    /// `None` until something is to be put into them, in a store that has none yet.
    indices: RwLock<Option<Arc<Indices>>>,
    index_bytes: u64,
    /// Indices that take no more are left as they are.
    worn_bytes: u64,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// Whether files of the indices could not be synced.
    sync_failed: AtomicBool,
}

impl Store {
    /// Opens the derived state in `dir`, or makes an empty one where there is none that can be used.
    ///
    /// # Errors
    /// If not even an empty one can be made.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, memory: Memory) -> Result<(Self, Opened), StateError> {
        let checkpoint = Checkpoint::read(&*disk, dir);
        if let Some(checkpoint) = checkpoint {
            match Self::open_at(&disk, dir, memory, &checkpoint) {
                Ok(Some(store)) => return Ok((store, Opened::At(Box::new(checkpoint)))),
                Ok(None) => tracing::warn!("derived state has lost some of what its checkpoint stands for"),
                Err(why) => tracing::warn!(error = &why as &dyn std::error::Error, "derived state does not open"),
            }
        }
        // What no checkpoint stands for, as after a crash before the first one, was never of any use: it goes.
        let is_old = dir.exists() && Checkpoint::may_be_in(&*disk, dir);
        let aside = if is_old { Some(Self::put_aside(&*disk, dir)?) } else { None };
        let made = disk.create_dir(dir).and_then(|()| fs::create_dir_all(dir));
        made.map_err(|source| StateError::Io { doing: "make", path: dir.to_owned(), source })?;
        indices::remove_others(dir, None)?;
        Ok((Self::over(&disk, dir, memory, &Checkpoint::default())?, Opened::Nothing { aside }))
    }

    fn over(disk: &Arc<dyn Disk>, dir: &Path, memory: Memory, checkpoint: &Checkpoint) -> Result<Self, StateError> {
        let shelf = Shelf::open(disk.clone(), dir.to_owned(), &checkpoint.runs, memory.packed);
        let failed = |source| StateError::Io { doing: "open the runs in", path: dir.to_owned(), source };
        Ok(Store {
            shelf: Mutex::new(shelf.map_err(failed)?),
            indices: RwLock::default(),
            index_bytes: memory.indices,
            worn_bytes: WORN_BYTES,
            dir: dir.to_owned(),
            disk: disk.clone(),
            sync_failed: AtomicBool::new(false),
        })
    }

    /// Opens what a checkpoint stands for; `None` if not all of it is there.
    ///
    /// Runs are named with their hashes, and what is in them is checked when it is read. sled passes in silence over
    /// what it cannot read when it opens, so what is in it is counted.
    fn open_at(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        memory: Memory,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Self>, StateError> {
        let store = Self::over(disk, dir, memory, checkpoint)?;
        indices::remove_others(dir, checkpoint.indexed.map(|_| checkpoint.indices))?;
        let Some(due) = checkpoint.indexed else { return Ok(Some(store)) };
        let found = Indices::open(dir, checkpoint.indices, memory.indices)?;
        let holds = found.hold(due)?;
        store.use_indices(found);
        Ok(holds.then_some(store))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_indices(&self) -> Option<Arc<Indices>> {
        self.indices.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn use_indices(&self, indices: Indices) -> Arc<Indices> {
        let indices = Arc::new(indices);
        *self.indices.write().unwrap_or_else(PoisonError::into_inner) = Some(indices.clone());
        indices
    }

    /// The indices, made if there are none yet.
    fn indices(&self) -> Result<Arc<Indices>, StateError> {
        match self.known_indices() {
            Some(indices) => Ok(indices),
            None => Ok(self.use_indices(Indices::open(&self.dir, 0, self.index_bytes)?)),
        }
    }

    /// The indices as a checkpoint is to name them: what is worn out is replaced, and all of it is durable.
    fn settled_indices(&self) -> Result<Option<Arc<Indices>>, StateError> {
        let Some(mut indices) = self.known_indices() else { return Ok(None) };
        if indices.are_worn(self.worn_bytes)? {
            indices = self.use_indices(indices.anew(&self.dir, self.index_bytes)?);
            tracing::info!("the indices of derived state had grown, and were made anew");
        }
        indices.flush()?;
        // sled asks the kernel to write, not the disk to keep: its files are synced here, one by one. What a sync failed on the
        // kernel may have dropped, and would call synced the next time.
        if self.sync_failed.load(Ordering::Relaxed) {
            let source = io::Error::other("a sync failed before, so it is not known what the disk has");
            return Err(self.io("sync", source));
        }
        self.sync_files(&self.dir).inspect_err(|_| self.sync_failed.store(true, Ordering::Relaxed))?;
        Ok(Some(indices))
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
    /// If it cannot be read, or is not what was written.
    pub fn record(&self, id: &str) -> Result<Option<Record>, StateError> {
        let Some(bytes) = self.get(id)? else { return Ok(None) };
        let (record, line) = halves(id, &bytes)?;
        packed::record(record, line_of(id, line)?.entries()).map(Some).map_err(|source| unread(id, source))
    }

    /// A record's line.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub fn line(&self, id: &str) -> Result<Option<Line>, StateError> {
        let Some(bytes) = self.get(id)? else { return Ok(None) };
        Ok(Some(line_of(id, halves(id, &bytes)?.1)?))
    }

    /// A record's resolved state with its line.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub fn whole(&self, id: &str) -> Result<Option<(Record, Line)>, StateError> {
        let Some(bytes) = self.get(id)? else { return Ok(None) };
        let (record, line) = halves(id, &bytes)?;
        let line = line_of(id, line)?;
        let record = packed::record(record, line.entries()).map_err(|source| unread(id, source))?;
        Ok(Some((record, line)))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        // What is on disk is read without keeping others from the shelf.
        let found = self.shelf().find(key);
        found.value(key).map_err(|source| self.io("read the runs in", source))
    }

    fn put(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), StateError> {
        let done = self.shelf().put(key, value);
        done.map_err(|source| self.io("write a run in", source))
    }

    /// Writes a record and its line.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn put_record(&self, id: &str, record: &Record, line: &Line) -> Result<(), StateError> {
        self.put(id, Some(join(record, line)))
    }

    /// Writes records and their lines, ascending by id, and all that was put before: all of it is in runs then.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn settle<'r>(
        &self,
        records: impl ExactSizeIterator<Item = (&'r RecordId, &'r Record, &'r Line)>,
    ) -> Result<(), StateError> {
        let entries = records.map(|(id, record, line)| ((**id).into(), Some(join(record, line))));
        let done = self.shelf().settle(entries);
        done.map_err(|source| self.io("write a run in", source))
    }

    /// Removes a record and its line.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn remove_record(&self, id: &str) -> Result<(), StateError> {
        self.put(id, None)
    }

    /// The ids of all stored records, ascending, from the first that is not before `from`; as they are now.
    pub fn ids(&self, from: &str) -> impl Iterator<Item = Result<RecordId, StateError>> + use<> {
        let dir = self.dir.clone();
        let entries = self.shelf().entries(from.max(RECORDS));
        entries.filter_map(move |entry| match entry {
            Ok((key, _)) => RecordId::new(&key).ok().map(Ok),
            Err(source) => Some(Err(StateError::Io { doing: "read the runs in", path: dir.clone(), source })),
        })
    }

    /// A page of a source's numbers.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub fn page(&self, source: &str, page: u64) -> Result<Pages, StateError> {
        let Some(bytes) = self.get(&page_key(source, page))? else { return Ok(Pages::default()) };
        Pages::unpack(&bytes).ok_or_else(|| unread(&format!("the source {source}"), CodecError::NotCanonical))
    }

    /// Writes a page of a source's numbers.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn put_page(&self, source: &str, page: u64, numbers: &Pages) -> Result<(), StateError> {
        self.put(&page_key(source, page), Some(numbers.pack()))
    }

    /// Notes since when a write to a side waits; `None`: none does.
    ///
    /// # Errors
    /// If sled fails.
    pub fn put_outbox(&self, side: &str, id: &str, since: Option<Millis>) -> Result<(), StateError> {
        Ok(self.indices()?.put_outbox(side, id, since)?)
    }

    /// All writes that wait: side, record, since when.
    ///
    /// # Errors
    /// If sled fails.
    pub fn outbox(&self) -> Result<Vec<(SideName, RecordId, Millis)>, StateError> {
        Ok(self.known_indices().map(|indices| indices.outbox()).transpose()?.unwrap_or_default())
    }

    /// The id under which a record is resolved, if that is another.
    ///
    /// # Errors
    /// If sled fails, or holds something else.
    pub fn alias(&self, id: &str) -> Result<Option<RecordId>, StateError> {
        self.known_indices().map_or(Ok(None), |indices| indices.alias(id))
    }

    /// Notes under which id a record is resolved; `None`: under its own.
    ///
    /// # Errors
    /// If sled fails.
    pub fn put_alias(&self, id: &str, canonical: Option<&RecordId>) -> Result<(), StateError> {
        Ok(self.indices()?.put_alias(id, canonical)?)
    }

    /// The newest statement about each pair that a record is part of.
    ///
    /// # Errors
    /// If sled fails, or holds something else.
    pub fn ties(&self, id: &str) -> Result<BTreeMap<RecordId, Tie>, StateError> {
        self.known_indices().map_or_else(|| Ok(BTreeMap::new()), |indices| indices.ties(id))
    }

    /// Notes the newest statement about a pair, under its first record.
    ///
    /// # Errors
    /// If sled fails.
    pub fn put_tie(&self, one: &str, other: &str, tie: Tie) -> Result<(), StateError> {
        Ok(self.indices()?.put_tie(one, other, tie)?)
    }

    /// Notes, or strikes out, that a record bears a value by which records are matched.
    ///
    /// # Errors
    /// If sled fails.
    pub fn put_match(&self, value: &[u8], record: &str, bears: bool) -> Result<(), StateError> {
        Ok(self.indices()?.put_match(value, record, bears)?)
    }

    /// The records that bore a value, some of which may not bear it any more.
    ///
    /// # Errors
    /// If sled fails.
    pub fn matches(&self, value: &[u8]) -> Result<Vec<RecordId>, StateError> {
        Ok(self.known_indices().map(|indices| indices.matches(value)).transpose()?.unwrap_or_default())
    }

    /// Takes the checkpoint back before records change their make-up: whoever opens a store without one makes it anew.
    ///
    /// # Errors
    /// If a disk operation fails.
    pub fn withdraw(&self) -> Result<(), StateError> {
        Checkpoint::withdraw(&*self.disk, &self.dir).map_err(|source| self.io("withdraw the checkpoint in", source))
    }

    /// Makes everything that was settled durable and says what it stands for.
    ///
    /// # After a crash
    /// The state is at this checkpoint or at the one before; indices may be newer.
    ///
    /// # Errors
    /// If a disk operation fails; the old checkpoint then still holds.
    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StateError> {
        let indices = self.settled_indices()?;
        let indexed = indices.as_ref().map(|indices| indices.held()).transpose()?;
        let number = indices.map_or(0, |indices| indices.number());
        self.disk.sync_dir(&self.dir).map_err(|source| self.io("sync", source))?;
        let runs = self.shelf().names();
        let checkpoint = Checkpoint { layout: LAYOUT, runs, indexed, indices: number, ..checkpoint.clone() };
        checkpoint.write(&*self.disk, &self.dir).map_err(|source| self.io("write a checkpoint in", source))?;
        let runs_gone = self.shelf().remove_others().map_err(|source| self.io("remove what has served in", source));
        if let Err(why) = runs_gone.and_then(|()| indices::remove_others(&self.dir, indexed.map(|_| number))) {
            // They are removed when the store is next opened.
            tracing::warn!(
                error = &why as &dyn std::error::Error,
                "files of derived state that have served could not be removed"
            );
        }
        Ok(())
    }

    fn sync_files(&self, dir: &Path) -> Result<(), StateError> {
        for name in self.disk.list(dir).map_err(|source| self.io("list", source))? {
            let path = dir.join(&name);
            if path.is_dir() {
                self.sync_files(&path)?;
                continue;
            }
            match self.disk.open(&path).and_then(|file| file.sync()) {
                Ok(()) => {}
                // sled removes old snapshots on its own.
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(StateError::Io { doing: "sync", path, source }),
            }
        }
        self.disk.sync_dir(dir).map_err(|source| self.io("sync", source))
    }

    fn io(&self, doing: &'static str, source: io::Error) -> StateError {
        StateError::Io { doing, path: self.dir.clone(), source }
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

/// A record and its line as one value: how many bytes the record takes, the record, the line.
fn join(record: &Record, line: &Line) -> Vec<u8> {
    thread_local! {
        // A value that has grown to its size would keep, or leave behind, more memory than it takes.
        static FORMING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    FORMING.with_borrow_mut(|bytes| {
        bytes.clear();
        bytes.shrink_to(FORMING_BYTES_KEPT);
        bytes.extend_from_slice(&[0; 4]);
        packed::put_record(bytes, record);
        let length = u32::try_from(bytes.len() - 4).expect("an encoded value is far smaller than 4 GiB");
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        packed::put_line(bytes, line);
        bytes.clone()
    })
}

/// The two parts of a value that [`join`] made.
fn halves<'b>(name: &str, bytes: &'b [u8]) -> Result<(&'b [u8], &'b [u8]), StateError> {
    let parts = bytes
        .split_first_chunk()
        .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
    parts.ok_or_else(|| unread(name, CodecError::NotCanonical))
}

fn page_key(source: &str, page: u64) -> String {
    format!("\u{1}{source}\u{1}{page:016x}")
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, StateError> {
    codec::decode(bytes).map_err(|source| unread(name, source))
}

fn line_of(name: &str, bytes: &[u8]) -> Result<Line, StateError> {
    packed::line(bytes).ok_or_else(|| unread(name, CodecError::NotCanonical))
}

fn unread(name: &str, source: CodecError) -> StateError {
    StateError::Value { name: name.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::disk::RealDisk,
        sim::disk::{SimDisk, Trouble},
    };

    const MEMORY: Memory = Memory { packed: 1 << 20, indices: 1 << 20 };

    fn open(disk: Arc<dyn Disk>, dir: &Path) -> (Store, Opened) {
        let (mut store, opened) = Store::open(disk, dir, MEMORY).expect("it opens");
        store.worn_bytes = 512 << 10;
        (store, opened)
    }

    fn id(text: &str) -> RecordId {
        RecordId::new(text).expect("good")
    }

    /// Rows come and go, and a few entries of every kind stay.
    fn use_up(store: &Store) {
        for round in 0..40 {
            for place in [Some(Millis(5)), None] {
                for row in 0..500 {
                    store.put_outbox("crm", &format!("contact/{row}"), place).expect("sled works");
                }
            }
            store.put_outbox("crm", "contact/stays", Some(Millis(round))).expect("sled works");
            store.checkpoint(&Checkpoint::default()).expect("the disk works");
        }
    }

    fn put_some(store: &Store) {
        store.put_alias("contact/b", Some(&id("contact/a"))).expect("sled works");
        store.put_match(b"a@example.com", "contact/a", true).expect("sled works");
    }

    fn holds_some(store: &Store) {
        assert_eq!(store.alias("contact/b").expect("sled works"), Some(id("contact/a")));
        assert_eq!(store.matches(b"a@example.com").expect("sled works"), [id("contact/a")]);
        assert_eq!(store.outbox().expect("sled works").len(), 1);
    }

    fn indices_in(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("readable").file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().expect("text")).collect();
        names.retain(|name| name.starts_with("indices"));
        names
    }

    #[test]
    fn indices_that_have_grown_are_made_anew_and_hold_the_same() {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, _) = open(Arc::new(RealDisk), dir.path());
        put_some(&store);
        use_up(&store);
        let number = store.known_indices().expect("there are some").number();
        assert!(number > 0, "{} bytes are not taken for worn out", store.bytes());
        assert_eq!(indices_in(dir.path()), [format!("indices{number}")], "the old ones have gone");
        assert!(store.bytes() < 2 << 20, "{} bytes", store.bytes());
        holds_some(&store);
        drop(store);
        let (store, opened) = open(Arc::new(RealDisk), dir.path());
        assert!(matches!(opened, Opened::At(_)));
        holds_some(&store);
    }

    #[test]
    fn what_no_checkpoint_stands_for_makes_room_for_what_comes() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("state");
        for _ in 0..3 {
            let (store, opened) = open(Arc::new(RealDisk), &state);
            assert_eq!(opened, Opened::Nothing { aside: None });
            assert_eq!(store.outbox().expect("sled works").len(), 0);
            put_some(&store);
            store.put_outbox("crm", "contact/a", Some(Millis(5))).expect("sled works");
            store.put("contact/a", Some(vec![1; 1_000])).expect("the disk works");
            store.shelf().settle(std::iter::empty()).expect("the disk works");
        }
        assert_eq!(fs::read_dir(dir.path()).expect("it is there").count(), 1, "nothing is left beside it");
        let (store, _) = open(Arc::new(RealDisk), &state);
        store.checkpoint(&Checkpoint::default()).expect("the disk works");
        fs::write(state.join("checkpoint"), b"something else").expect("it is written");
        drop(store);
        let (_, opened) = open(Arc::new(RealDisk), &state);
        assert_eq!(opened, Opened::Nothing { aside: Some(dir.path().join("state.aside1")) });
    }

    #[test]
    fn indices_that_no_checkpoint_names_are_as_if_they_had_never_been_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = SimDisk::new();
        let (mut store, _) = open(disk.shared(), dir.path());
        store.worn_bytes = u64::MAX;
        put_some(&store);
        use_up(&store);
        store.worn_bytes = 512 << 10;
        disk.plan(1, Trouble::Crash);
        store.checkpoint(&Checkpoint::default()).expect_err("the power is out");
        assert_eq!(indices_in(dir.path()).len(), 2, "the old ones are there until a checkpoint names the new");
        drop(store);
        let (store, opened) = open(disk.after(crate::sim::disk::Cut::Lost).shared(), dir.path());
        assert!(matches!(opened, Opened::At(_)));
        assert_eq!(indices_in(dir.path()), ["indices0"]);
        holds_some(&store);
    }
}

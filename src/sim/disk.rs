//! A disk in memory that keeps live and durable bytes apart, and fails when told to.
//!
//! It stands under a log and its checkpoints in place of the machine's. Everything that would reach a real disk is an
//! *operation*; [`SimDisk::plan`] lets one of them, counted from now on, go wrong, and [`SimDisk::after`] is the disk that
//! a power cut leaves. Directories that it was not told of, such as sled's, are the machine's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    clock::HandClock,
    log::disk::{Disk, DiskFile, DiskLock, LockError},
};

const SECTOR_BYTES: usize = 512;

/// What a power cut leaves of bytes and names that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    Lost,
    /// All of it.
    Kept,
    /// The lengths of files, and zeros in them.
    Zeroed,
    /// The first so many bytes, and the first so many names, by this seed.
    Prefix(u64),
    /// Some sectors and the first so many names, by this seed.
    Sectors(u64),
    /// As sectors, some of them only in part, and any of the names.
    Torn(u64),
}

/// What goes wrong at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// From there on nothing works.
    Crash,
    /// This one operation fails; a sync that does has lost what it should have synced, as on Linux.
    Once(ErrorKind),
    /// This one operation fails, a write after half of its bytes.
    Short(ErrorKind),
    /// From there on there is no space, until [`SimDisk::heal`].
    Full,
    /// The disk panics.
    Panic,
}

/// A disk in memory; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Inner>>, Arc<Mutex<()>>);

#[derive(Default)]
struct Inner {
    inodes: Vec<Inode>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    renames: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    syncs: u64,
    resyncs: u64,
    trouble: Option<(u64, Trouble)>,
    reads: u64,
    bad_read: Option<u64>,
    free_bytes: Option<u64>,
    /// How long a sync takes, in milliseconds of this clock.
    slow: Option<(HandClock, i64)>,
}

#[derive(Default, Clone)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone)]
enum NameChange {
    Put(PathBuf, usize),
    Gone(PathBuf),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_into(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    bytes.resize(bytes.len().max(at + written.len()), 0);
    bytes[at..at + written.len()].copy_from_slice(written);
}

/// The next of a row of well-mixed numbers (splitmix64).
pub fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Change::Write(_, written) => written.len(),
            Change::Length(_) => 1,
        }
    }
}

impl Inode {
    fn after(&self, cut: Cut, seed: &mut u64) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut left = match cut {
            Cut::Lost => 0,
            Cut::Prefix(_) => mixed(seed) as usize % (self.unsynced.iter().map(Change::bytes).sum::<usize>() + 1),
            _ => usize::MAX,
        };
        for change in &self.unsynced {
            if left == 0 {
                break;
            }
            match change {
                Change::Write(at, written) if cut == Cut::Zeroed => {
                    bytes.resize(bytes.len().max(at + written.len()), 0);
                }
                Change::Write(at, written) if matches!(cut, Cut::Sectors(_) | Cut::Torn(_)) => {
                    survive_by_sectors(&mut bytes, *at, written, matches!(cut, Cut::Torn(_)), seed);
                }
                Change::Write(at, written) => write_into(&mut bytes, *at, &written[..written.len().min(left)]),
                Change::Length(_) if matches!(cut, Cut::Sectors(_) | Cut::Torn(_)) && mixed(seed) & 1 == 1 => {}
                Change::Length(length) => bytes.resize(*length, 0),
            }
            left = left.saturating_sub(change.bytes());
        }
        bytes
    }
}

/// Writes what is left of a write whose sectors went to the disk one by one, each of them or not; some in part.
fn survive_by_sectors(bytes: &mut Vec<u8>, at: usize, written: &[u8], torn: bool, seed: &mut u64) {
    let (mut from, end) = (at, at + written.len());
    while from < end {
        let to = end.min((from / SECTOR_BYTES + 1) * SECTOR_BYTES);
        let fate = mixed(seed);
        let kept = match fate & 3 {
            0 | 1 => 0,
            2 if torn => (fate >> 8) as usize % (to - from + 1),
            _ => to - from,
        };
        if kept > 0 {
            write_into(bytes, from, &written[from - at..from - at + kept]);
        }
        from = to;
    }
}

impl Inner {
    /// Counts an operation; `Err` if it fails before it does anything.
    fn operation(&mut self, allocates: bool) -> io::Result<()> {
        self.operations += 1;
        match self.trouble {
            Some((at, Trouble::Crash)) if self.operations >= at => Err(io::Error::other("the power is out")),
            Some((at, Trouble::Once(kind) | Trouble::Short(kind))) if self.operations == at => Err(kind.into()),
            Some((at, Trouble::Full)) if self.operations >= at && allocates => Err(ErrorKind::StorageFull.into()),
            Some((at, Trouble::Panic)) if self.operations >= at => panic!("a planned panic"),
            _ => Ok(()),
        }
    }

    fn named(&self, path: &Path) -> io::Result<usize> {
        self.live.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn is_short(&self) -> bool {
        matches!(self.trouble, Some((_, Trouble::Short(_) | Trouble::Full)))
    }

    /// Moves a directory with all in it: one change, which is durable at once, as is that of the real directory beside it.
    fn rename_dir(&mut self, from: &Path, to: &Path) {
        let moved = |path: PathBuf| path.strip_prefix(from).map(|below| to.join(below)).unwrap_or(path);
        for names in [&mut self.live, &mut self.durable] {
            *names = std::mem::take(names).into_iter().map(|(path, inode)| (moved(path), inode)).collect();
        }
        for change in &mut self.renames {
            let (NameChange::Put(path, _) | NameChange::Gone(path)) = change;
            *path = moved(std::mem::take(path));
        }
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        SimDisk::new()
    }
}

impl SimDisk {
    /// An empty disk without trouble.
    pub fn new() -> SimDisk {
        SimDisk(Arc::default(), Arc::default())
    }

    /// The disk, as a log or an engine takes it.
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Plans trouble for the operation with this number, counted from now on, from 1.
    pub fn plan(&self, nth: u64, trouble: Trouble) {
        let mut inner = locked(&self.0);
        inner.trouble = Some((inner.operations + nth, trouble));
    }

    /// Lets the read with this number fail, counted from now on, from 1.
    pub fn plan_bad_read(&self, nth: u64) {
        let mut inner = locked(&self.0);
        inner.bad_read = Some(inner.reads + nth);
    }

    /// Lets every sync take so many milliseconds of a clock.
    pub fn slow_down(&self, clock: &HandClock, millis: i64) {
        locked(&self.0).slow = Some((clock.clone(), millis));
    }

    /// Ends all trouble.
    pub fn heal(&self) {
        let mut inner = locked(&self.0);
        (inner.trouble, inner.slow) = (None, None);
    }

    /// Says that so many bytes may still be written; nothing that is written makes it less.
    pub fn set_free_bytes(&self, bytes: u64) {
        locked(&self.0).free_bytes = Some(bytes);
    }

    /// Whether the planned trouble has been met.
    pub fn met(&self) -> bool {
        let inner = locked(&self.0);
        inner.trouble.is_some_and(|(at, _)| inner.operations >= at)
    }

    /// Lets no sync pass until the answer is dropped.
    pub fn hold_syncs(&self) -> MutexGuard<'_, ()> {
        locked(&self.1)
    }

    /// The bytes of all segments.
    pub fn seg_bytes(&self) -> u64 {
        let segments = self.names().into_iter().filter(|path| path.extension().is_some_and(|end| end == "seg"));
        segments.map(|path| self.bytes(&path).len() as u64).sum()
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        locked(&self.0).operations
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        locked(&self.0).syncs
    }

    /// Syncs so far of a file whose handle had failed to sync before: nobody may believe them.
    pub fn resyncs(&self) -> u64 {
        locked(&self.0).resyncs
    }

    /// The disk as it is after a power cut.
    pub fn after(&self, cut: Cut) -> SimDisk {
        let inner = locked(&self.0);
        let mut seed = match cut {
            Cut::Prefix(seed) | Cut::Sectors(seed) | Cut::Torn(seed) => seed,
            Cut::Lost | Cut::Kept | Cut::Zeroed => 0,
        };
        let mut names = inner.durable.clone();
        // Names are changed in order, as by a journal: what survives is a beginning of the changes. Where there is none, any.
        let kept = match cut {
            Cut::Lost => 0,
            Cut::Kept | Cut::Zeroed | Cut::Torn(_) => inner.renames.len(),
            Cut::Prefix(_) | Cut::Sectors(_) => mixed(&mut seed) as usize % (inner.renames.len() + 1),
        };
        for change in &inner.renames[..kept] {
            if matches!(cut, Cut::Torn(_)) && mixed(&mut seed) & 1 == 1 {
                continue;
            }
            match change {
                NameChange::Put(path, inode) => drop(names.insert(path.clone(), *inode)),
                NameChange::Gone(path) => drop(names.remove(path)),
            }
        }
        let inodes = inner.inodes.iter().map(|inode| {
            let bytes = inode.after(cut, &mut seed);
            Inode { live: bytes.clone(), durable: bytes, unsynced: Vec::new() }
        });
        let inodes = inodes.collect();
        let after = Inner { inodes, live: names.clone(), durable: names, ..Inner::default() };
        SimDisk(Arc::new(Mutex::new(after)), Arc::default())
    }

    /// The live bytes of a file.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let inner = locked(&self.0);
        inner.inodes[inner.named(path).expect("the file exists")].live.clone()
    }

    /// Puts a file there, durable.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut inner = locked(&self.0);
        let at = inner.inodes.len();
        inner.inodes.push(Inode { live: bytes.clone(), durable: bytes, unsynced: Vec::new() });
        inner.live.insert(path.to_owned(), at);
        inner.durable.insert(path.to_owned(), at);
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<PathBuf> {
        locked(&self.0).live.keys().cloned().collect()
    }

    fn file(&self, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), inode, failed: AtomicBool::new(false) })
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        locked(&self.0).operation(true)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = locked(&self.0);
        inner.operation(true)?;
        let at = inner.inodes.len();
        inner.inodes.push(Inode::default());
        inner.live.insert(path.to_owned(), at);
        inner.renames.push(NameChange::Put(path.to_owned(), at));
        drop(inner);
        Ok(self.file(at))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let named = locked(&self.0).named(path)?;
        Ok(self.file(named))
    }

    fn waits_for_calls(&self) -> bool {
        true
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(locked(&self.0).free_bytes.unwrap_or(u64::MAX))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = locked(&self.0);
        inner.operation(false)?;
        if from.is_dir() {
            fs::rename(from, to)?;
            inner.rename_dir(from, to);
            return Ok(());
        }
        let inode = inner.named(from)?;
        inner.live.remove(from);
        inner.live.insert(to.to_owned(), inode);
        inner.renames.push(NameChange::Put(to.to_owned(), inode));
        inner.renames.push(NameChange::Gone(from.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = locked(&self.0);
        inner.operation(false)?;
        inner.named(path)?;
        inner.live.remove(path);
        inner.renames.push(NameChange::Gone(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = locked(&self.0);
        inner.operation(false)?;
        let is_in = |path: &Path| path.parent() == Some(dir);
        let renames = std::mem::take(&mut inner.renames);
        for change in renames {
            match change {
                NameChange::Put(path, inode) if is_in(&path) => drop(inner.durable.insert(path, inode)),
                NameChange::Gone(path) if is_in(&path) => drop(inner.durable.remove(&path)),
                other => inner.renames.push(other),
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = locked(&self.0);
        let names = inner.live.keys().filter(|path| path.parent() == Some(dir)).filter_map(|path| path.file_name());
        Ok(names.filter_map(|name| name.to_str()).map(str::to_owned).collect())
    }

    fn lock(&self, path: &Path, _: &str) -> Result<Box<dyn DiskLock>, LockError> {
        match locked(&self.0).locks.insert(path.to_owned()) {
            true => Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned() })),
            false => Err(LockError::Held { holder: "a test".into() }),
        }
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    /// Whether a sync by this handle has failed.
    failed: AtomicBool,
}

impl DiskFile for SimFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = locked(&self.disk.0);
        inner.reads += 1;
        if inner.bad_read == Some(inner.reads) {
            return Err(io::Error::other("a planned bad read"));
        }
        let live = &inner.inodes[self.inode].live;
        let from = live.len().min(offset as usize);
        let to = live.len().min(from + bytes.len());
        bytes[..to - from].copy_from_slice(&live[from..to]);
        Ok(to - from)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = locked(&self.disk.0);
        let fate = inner.operation(true);
        // A write that fails may have been done in part, one that the power cut meets also in full.
        let done = if fate.is_err() && inner.is_short() { bytes.len() / 2 } else { bytes.len() };
        let inode = &mut inner.inodes[self.inode];
        write_into(&mut inode.live, offset as usize, &bytes[..done]);
        inode.unsynced.push(Change::Write(offset as usize, bytes[..done].to_vec()));
        fate
    }

    fn sync(&self) -> io::Result<()> {
        drop(locked(&self.disk.1));
        let mut inner = locked(&self.disk.0);
        inner.syncs += 1;
        if let Some((clock, millis)) = &inner.slow {
            clock.advance(*millis);
        }
        inner.resyncs += u64::from(self.failed.load(Ordering::Relaxed));
        let fate = inner.operation(false);
        let crashed = matches!(inner.trouble, Some((_, Trouble::Crash)));
        let inode = &mut inner.inodes[self.inode];
        match fate {
            Ok(()) => {
                for change in std::mem::take(&mut inode.unsynced) {
                    match change {
                        Change::Write(at, written) => write_into(&mut inode.durable, at, &written),
                        Change::Length(length) => inode.durable.resize(length, 0),
                    }
                }
                Ok(())
            }
            Err(why) => {
                self.failed.store(true, Ordering::Relaxed);
                // The pages count as clean from now on: they read well, and no later sync writes them.
                if !crashed {
                    inode.unsynced.clear();
                }
                Err(why)
            }
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut inner = locked(&self.disk.0);
        inner.operation(false)?;
        let inode = &mut inner.inodes[self.inode];
        inode.live.resize(bytes as usize, 0);
        inode.unsynced.push(Change::Length(bytes as usize));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.disk.0).inodes[self.inode].live.len() as u64)
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        locked(&self.disk.0).locks.remove(&self.path);
    }
}

impl DiskLock for SimLock {}

//! A disk in memory that keeps live and durable bytes apart, and fails when told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use super::{
    disk::{Disk, DiskFile, DiskLock, LockError},
    segments::locked,
};

const SECTOR_BYTES: usize = 512;

/// What a power cut leaves of bytes and names that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Lost,
    Kept,
    /// The lengths of files, and zeros in them.
    Zeroed,
    /// Some sectors and some names, by this seed.
    Torn(u64),
}

/// What goes wrong at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// From there on nothing works.
    Crash,
    /// This one operation fails; a sync that does has lost what it should have synced, as on Linux.
    Once(ErrorKind),
    /// From there on there is no space, until [`TestDisk::heal`].
    Full,
    /// The disk panics.
    Panic,
}

#[derive(Clone)]
pub(crate) struct TestDisk(Arc<Mutex<Inner>>, Arc<Mutex<()>>);

#[derive(Default)]
struct Inner {
    inodes: Vec<Inode>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    renames: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    syncs: u64,
    trouble: Option<(u64, Trouble)>,
    reads: u64,
    bad_read: Option<u64>,
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

fn write_into(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    bytes.resize(bytes.len().max(at + written.len()), 0);
    bytes[at..at + written.len()].copy_from_slice(written);
}

/// The next of a row of well-mixed numbers (splitmix64).
pub(crate) fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Inode {
    fn after(&self, cut: Cut, seed: &mut u64) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.unsynced {
            match (cut, change) {
                (Cut::Lost, _) => {}
                (Cut::Kept, Change::Write(at, written)) => write_into(&mut bytes, *at, written),
                (Cut::Zeroed, Change::Write(at, written)) => {
                    bytes.resize(bytes.len().max(at + written.len()), 0);
                }
                (Cut::Kept | Cut::Zeroed, Change::Length(length)) => bytes.resize(*length, 0),
                (Cut::Torn(_), Change::Length(length)) => {
                    if mixed(seed) & 1 == 0 {
                        bytes.resize(*length, 0);
                    }
                }
                (Cut::Torn(_), Change::Write(at, written)) => {
                    let (mut from, end) = (*at, at + written.len());
                    while from < end {
                        let to = end.min((from / SECTOR_BYTES + 1) * SECTOR_BYTES);
                        if mixed(seed) & 1 == 0 {
                            write_into(&mut bytes, from, &written[from - at..to - at]);
                        }
                        from = to;
                    }
                }
            }
        }
        bytes
    }
}

impl Inner {
    /// Counts an operation; `Err` if it fails before it does anything.
    fn operation(&mut self, allocates: bool) -> io::Result<()> {
        self.operations += 1;
        match self.trouble {
            Some((at, Trouble::Crash)) if self.operations >= at => Err(io::Error::other("the power is out")),
            Some((at, Trouble::Once(kind))) if self.operations == at => Err(kind.into()),
            Some((at, Trouble::Full)) if self.operations >= at && allocates => Err(ErrorKind::StorageFull.into()),
            Some((at, Trouble::Panic)) if self.operations >= at => panic!("a planned panic"),
            _ => Ok(()),
        }
    }

    fn named(&self, path: &Path) -> io::Result<usize> {
        self.live.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl TestDisk {
    pub fn new() -> TestDisk {
        TestDisk(Arc::default(), Arc::default())
    }

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

    pub fn heal(&self) {
        locked(&self.0).trouble = None;
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

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        locked(&self.0).syncs
    }

    /// The disk as it is after a power cut.
    pub fn after(&self, cut: Cut) -> TestDisk {
        let inner = locked(&self.0);
        let mut seed = if let Cut::Torn(seed) = cut { seed } else { 0 };
        let mut names = inner.durable.clone();
        // Names are changed in order, as by a journal: what survives is a beginning of the changes.
        let kept = match cut {
            Cut::Lost => 0,
            Cut::Kept | Cut::Zeroed => inner.renames.len(),
            Cut::Torn(_) => mixed(&mut seed) as usize % (inner.renames.len() + 1),
        };
        for change in &inner.renames[..kept] {
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
        TestDisk(Arc::new(Mutex::new(after)), Arc::default())
    }

    /// The live bytes of a file.
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

    pub fn names(&self) -> Vec<PathBuf> {
        locked(&self.0).live.keys().cloned().collect()
    }

    fn file(&self, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(TestFile { disk: self.clone(), inode })
    }
}

impl Disk for TestDisk {
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
        Ok(self.file(at))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(locked(&self.0).named(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = locked(&self.0);
        inner.operation(false)?;
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

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut inner = locked(&self.0);
        inner.operation(false)?;
        inner.durable = inner.live.clone();
        inner.renames.clear();
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = locked(&self.0);
        let names = inner.live.keys().filter(|path| path.parent() == Some(dir)).filter_map(|path| path.file_name());
        Ok(names.filter_map(|name| name.to_str()).map(str::to_owned).collect())
    }

    fn lock(&self, path: &Path, _: &str) -> Result<Box<dyn DiskLock>, LockError> {
        match locked(&self.0).locks.insert(path.to_owned()) {
            true => Ok(Box::new(TestLock { disk: self.clone(), path: path.to_owned() })),
            false => Err(LockError::Held { holder: "a test".into() }),
        }
    }
}

struct TestFile {
    disk: TestDisk,
    inode: usize,
}

impl DiskFile for TestFile {
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
        let done = match &fate {
            Err(why) if why.kind() == ErrorKind::StorageFull => bytes.len() / 2,
            _ => bytes.len(),
        };
        let inode = &mut inner.inodes[self.inode];
        write_into(&mut inode.live, offset as usize, &bytes[..done]);
        inode.unsynced.push(Change::Write(offset as usize, bytes[..done].to_vec()));
        fate
    }

    fn sync(&self) -> io::Result<()> {
        drop(locked(&self.disk.1));
        let mut inner = locked(&self.disk.0);
        inner.syncs += 1;
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

struct TestLock {
    disk: TestDisk,
    path: PathBuf,
}

impl Drop for TestLock {
    fn drop(&mut self) {
        locked(&self.disk.0).locks.remove(&self.path);
    }
}

impl DiskLock for TestLock {}

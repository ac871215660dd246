//! What the log and the checkpoints ask of a disk.
//!
//! Everything they do to files goes through [`Disk`] and [`DiskFile`], so a test can put a faulty
//! disk there. What a caller may *not* rely on: bytes written survive a power cut only after
//! [`DiskFile::sync`], names only after [`Disk::sync_dir`]; and after a failed sync nothing is known of
//! what was written since the last good one, however well it reads.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

/// A place for files and their names.
pub trait Disk: Send + Sync {
    /// Makes a directory, with its parents, and makes their names durable; one that exists is left as it is.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Creates an empty file; one that has the name is emptied.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that exists, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name in the same directory, in one step; a file that had that name is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names of the files in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// How many bytes may still be written below a directory; without bound unless the disk can tell.
    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    /// Whether what is appended to a log is written only once someone waits for it: then what reaches the disk in one piece
    /// follows from the calls alone, and not from how threads take turns.
    fn waits_for_calls(&self) -> bool {
        false
    }

    /// Takes the exclusive lock that this file stands for, until the answer is dropped or the process ends.
    ///
    /// `holder` is written into the file, for whoever meets the lock.
    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn DiskLock>, LockError>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Reads at most `bytes.len()` bytes from `offset` on; 0 only at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`; the file grows as needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file's bytes and its length durable.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file, or fills it with zeros, to `bytes` bytes.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills as much of `bytes` as the file has from `offset` on, and says how much that is.
    fn read_full_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            }
        }
        Ok(done)
    }
}

/// A lock that is held; dropping it lets go.
pub trait DiskLock: Send + Sync {}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Someone else has it.
    #[error("it is held by {holder}")]
    Held {
        /// What the holder wrote into the file.
        holder: String,
    },
    /// The disk failed.
    #[error("cannot take a lock")]
    Io(#[from] io::Error),
}

/// The machine's own disk.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        // A bare relative name has the empty path as its parent, which stands for the working directory.
        let parent = match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Ok(()),
        };
        self.create_dir(parent)?;
        match fs::create_dir(dir) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => Err(why),
            _ => self.sync_dir(parent),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        // Customers' data and the tenant's key are for nobody else on the machine.
        let file = File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(File::options().read(true).write(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        // A name that is not UTF-8 is none of ours.
        let name =
            |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().into_string().ok()).transpose();
        fs::read_dir(dir)?.filter_map(name).collect()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(dir)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn DiskLock>, LockError> {
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut bytes = Vec::new();
                file.take(256).read_to_end(&mut bytes)?;
                return Err(LockError::Held { holder: String::from_utf8_lossy(&bytes).trim().to_owned() });
            }
            Err(TryLockError::Error(why)) => return Err(LockError::Io(why)),
        }
        file.set_len(0)?;
        file.write_all(holder.as_bytes())?;
        Ok(Box::new(RealLock { file }))
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

struct RealLock {
    file: File,
}

impl Drop for RealLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that is just being started still has a copy of it, and with it the lock.
        if let Err(why) = self.file.unlock() {
            tracing::warn!(error = &why as &dyn std::error::Error, "the store's lock was not let go");
        }
    }
}

impl DiskLock for RealLock {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_holder() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("lock");
        let held = RealDisk.lock(&path, "process 17").expect("nobody holds it");
        match RealDisk.lock(&path, "process 18") {
            Err(LockError::Held { holder }) => assert_eq!(holder, "process 17"),
            _ => panic!("the lock was given twice"),
        }
        drop(held);
        RealDisk.lock(&path, "process 18").expect("it was let go");
    }

    #[test]
    fn files_are_written_read_cut_and_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let deep = dir.path().join("a/b");
        RealDisk.create_dir(&deep).expect("directories");
        let file = RealDisk.create(&deep.join("x.new")).expect("a file");
        file.write_at(b"hello", 3).expect("a write");
        file.set_len(6).expect("a cut");
        file.sync().expect("a sync");
        RealDisk.rename(&deep.join("x.new"), &deep.join("x")).expect("a name");
        RealDisk.sync_dir(&deep).expect("a durable name");
        let mut bytes = [9; 8];
        let file = RealDisk.open(&deep.join("x")).expect("the file");
        assert_eq!(file.read_full_at(&mut bytes, 0).expect("a read"), 6);
        assert_eq!(&bytes[..6], b"\0\0\0hel");
        assert_eq!(RealDisk.list(&deep).expect("a listing"), ["x"]);
        RealDisk.remove(&deep.join("x")).expect("gone");
        assert!(RealDisk.open(&deep.join("x")).is_err());
    }
}

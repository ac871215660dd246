//! What is done before a disk is full, and when it is.
//!
//! Below a watermark nothing more is taken from outside: nothing fails, and once there is space again all goes on. What the
//! engine has to say of its own, receipts for one, still goes into the log. If the disk is full all the same, a ballast
//! file is given up, so that there is space to come to an order: to write what was not synced anew, and a checkpoint.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::EngineError;
use crate::{log::LogError, log::disk::Disk, state::StateError};

const BALLAST: &str = "ballast";
const FORMING: &str = "ballast.new";
/// The ballast is written in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// How much space is kept, and the ballast.
pub(super) struct Space {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    least: u64,
    ballast: u64,
}

impl Space {
    /// Of the store in a directory: the least bytes that are to be free, and the bytes of its ballast.
    pub fn of(disk: Arc<dyn Disk>, dir: &Path, least: u64, ballast: u64) -> Space {
        Space { disk, dir: dir.to_owned(), least, ballast }
    }

    /// Refuses where there is less space than is to be left.
    pub fn check(&self) -> Result<(), EngineError> {
        if self.least == 0 {
            return Ok(());
        }
        match self.disk.free_bytes(&self.dir) {
            Ok(free) if free < self.least => Err(EngineError::NoSpace { free, least: self.least }),
            Ok(_) => Ok(()),
            Err(why) => {
                // The disk itself says it if it is full.
                tracing::warn!(error = %why, "the disk does not say how much space it has left");
                Ok(())
            }
        }
    }

    /// Gives the ballast up, if there is one; whether there was.
    pub fn give_up(&self) -> bool {
        let there = |name: &str| self.disk.list(&self.dir).is_ok_and(|names| names.iter().any(|other| other == name));
        let mut gone = false;
        for name in [BALLAST, FORMING].into_iter().filter(|name| there(name)) {
            match self.disk.remove(&self.dir.join(name)) {
                Ok(()) => gone = true,
                Err(why) => tracing::error!(error = %why, "the ballast could not be given up"),
            }
        }
        if gone {
            tracing::error!(
                "the disk is full: the ballast was given up, and nothing more is taken until there is space"
            );
        }
        gone
    }

    /// Has the ballast lie there again, once there is enough space beside it.
    ///
    /// One of another size is written anew; who asks for none leaves the one that is there. Failing is no error: it is tried
    /// again at the next checkpoint.
    pub fn restore(&self) {
        match self.lay() {
            Ok(()) => {}
            Err(why) => {
                tracing::warn!(error = %why, "there is no ballast");
                self.give_up();
            }
        }
    }

    fn lay(&self) -> io::Result<()> {
        if self.ballast == 0 {
            return Ok(());
        }
        let path = self.dir.join(BALLAST);
        let there = self.disk.list(&self.dir)?.iter().any(|name| name == BALLAST);
        let has = if there { self.disk.open(&path)?.len()? } else { 0 };
        if has == self.ballast {
            return Ok(());
        }
        if there {
            self.disk.remove(&path)?;
        }
        let room = self.least.saturating_add(self.ballast.saturating_mul(2));
        if self.disk.free_bytes(&self.dir)? < room {
            return Ok(());
        }
        // Named only once it is whole, and of bytes that no file system stores as less than they are.
        let forming = self.dir.join(FORMING);
        let file = self.disk.create(&forming)?;
        let mut chance = crate::send::chance::Chance::new(self.ballast);
        let piece: Vec<u8> = (0..PIECE_BYTES / 8).flat_map(|_| chance.number().to_le_bytes()).collect();
        let mut at = 0;
        while at < self.ballast {
            let bytes = (self.ballast - at).min(PIECE_BYTES as u64);
            file.write_at(&piece[..bytes as usize], at)?;
            at += bytes;
        }
        file.sync()?;
        self.disk.rename(&forming, &path)
    }
}

/// Whether a failure comes of a full disk.
pub(super) fn is_full(why: &EngineError) -> bool {
    let full = |why: &io::Error| matches!(why.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    match why {
        EngineError::Log(why) => LogError::is_disk_full(why),
        EngineError::State(StateError::Io { source, .. }) => full(source),
        _ => false,
    }
}

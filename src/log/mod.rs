//! The log: the truth, in append-only segment files of our own.
//!
//! It knows nothing of what events mean: an entry is a header and a payload. What has been waited for is on
//! disk; what a call appends is in the log whole or not at all; what is damaged is named, never guessed.
//!
//! `segment` and `entry` know the bytes, `walk` the frames of one segment, `segments` the files, `append` and `write` the group commit,
//! `recover` what a crash leaves, `read` the ways to an entry, and `verify` checks everything.

mod append;
#[cfg(test)]
mod append_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
pub mod disk;
mod entry;
mod read;
mod recover;
mod segment;
mod segments;
mod verify;
mod walk;
mod write;

use std::{io, ops::RangeInclusive, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::{
    append::{Appended, Log},
    read::{OwnedEntry, Scan, Stored},
    recover::{Recovery, Torn},
    segment::FORMAT,
    verify::{Fault, FaultKind, Verified},
};
use crate::id::{Digest, EventId, Place, Seq, event_id};

/// The largest entry, header and payload together, in bytes.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;
/// The most bytes that one call may append.
pub const APPEND_BYTES_MAX: usize = 64 << 20;
/// The longest name of a tenant, in bytes.
pub const TENANT_NAME_BYTES_MAX: usize = 255;

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Once a segment has this many bytes, the next one begins; 64 MiB unless told otherwise, and at most 2 GiB.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment_bytes: 64 << 20 }
    }
}

/// What is appended.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The hash of the header: who appends an event has named it already, and hashing is most of the work.
    pub id: EventId,
    /// The bytes that name the event.
    pub header: &'a [u8],
    /// The bytes that the header commits to by a hash of its own.
    pub payload: &'a [u8],
}

impl<'a> Entry<'a> {
    /// An entry whose id is made here.
    pub fn new(header: &'a [u8], payload: &'a [u8]) -> Entry<'a> {
        Entry { id: event_id(header), header, payload }
    }
}

/// How far a log goes, as a checkpoint of derived state keeps it for the next opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The last sequence that is durable; 0: none is known.
    pub seq: Seq,
    /// Where its frame ends: the segment, the offset in it, and the frame's hash. Without it the last segment is read from
    /// its beginning.
    pub end: Option<(u32, u64, Digest)>,
}

impl From<Seq> for Known {
    fn from(seq: Seq) -> Self {
        Known { seq, end: None }
    }
}

/// What went wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("the store is in use by {holder}")]
    Locked {
        /// Who, as it named itself.
        holder: String,
    },
    /// There is a log where one was to be created.
    #[error("there is a log in {} already", dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no log where one was to be opened.
    #[error("there is no log in {}", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// A tenant's name that a segment's header cannot hold.
    #[error("the tenant's name has {bytes} bytes, and may have 1 to {TENANT_NAME_BYTES_MAX}")]
    TenantName {
        /// The name's length.
        bytes: usize,
    },
    /// The store was written by another version of this program.
    #[error("{} has format {found}, and this program reads format {supported}", path.display())]
    Format {
        /// The segment's file.
        path: PathBuf,
        /// The format there.
        found: u32,
        /// The format that is known here.
        supported: u32,
    },
    /// No segment has a header that can be read, so not even the tenant is known.
    #[error("no segment in {} has a readable header", dir.display())]
    Headless {
        /// The directory.
        dir: PathBuf,
    },
    /// Segments of two logs lie in one directory.
    #[error("{} belongs to another log", path.display())]
    Foreign {
        /// The segment's file.
        path: PathBuf,
    },
    /// Entries that are no longer as they were written.
    #[error("entries {} to {} in segment {segment} are damaged", seqs.start(), seqs.end())]
    Corrupt {
        /// Which ones.
        seqs: RangeInclusive<Seq>,
        /// The segment's number.
        segment: u32,
    },
    /// No sound entry starts at this place.
    #[error("there is no sound entry in segment {} at byte {}", place.segment(), place.offset())]
    NoEntry {
        /// The place.
        place: Place,
    },
    /// The log holds no entry of this sequence.
    #[error("there is no entry {seq}")]
    NoSeq {
        /// The sequence.
        seq: Seq,
    },
    /// The log is damaged, so it takes nothing in.
    #[error("the log is damaged at entry {seq} and can only be read")]
    ReadOnly {
        /// The first damaged sequence.
        seq: Seq,
    },
    /// A write or a sync failed, so this handle takes nothing in any more: close it and open the log again.
    #[error("the log stopped because the disk failed")]
    Failed {
        /// What the disk said.
        #[source]
        source: Arc<io::Error>,
    },
    /// An entry over [`ENTRY_BYTES_MAX`].
    #[error("an entry has {bytes} bytes, and may have {ENTRY_BYTES_MAX}")]
    EntryTooLarge {
        /// Its bytes.
        bytes: usize,
    },
    /// More at once than [`APPEND_BYTES_MAX`].
    #[error("{bytes} bytes are too many to append at once: {APPEND_BYTES_MAX} is the most")]
    AppendTooLarge {
        /// The bytes of the entries up to the first one too many.
        bytes: usize,
    },
}

impl LogError {
    /// Whether the disk was full: free some space, and open the log again.
    pub fn is_disk_full(&self) -> bool {
        let full = |why: &io::Error| matches!(why.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match self {
            LogError::Io { source, .. } => full(source),
            LogError::Failed { source } => full(source),
            _ => false,
        }
    }
}

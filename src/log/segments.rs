//! Which segments there are, where sequences are in them, and their open files.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    LogError,
    disk::{Disk, DiskFile},
    segment::{self, Tenant},
    walk::{Depth, Span, Step, Walker},
};
use crate::id::{Digest, Seq};

/// An index entry for every so many bytes is enough: what lies between is walked over.
const INDEX_STRIDE_BYTES: u64 = 16 << 10;
/// Few enough to stay far below the usual limit of open files of a process.
const OPEN_FILES_MAX: usize = 64;

/// Where some of a segment's frames start, in order; the first frame needs no entry.
#[derive(Clone, Debug, Default)]
pub(super) struct FrameIndex(Vec<(Seq, u32)>);

impl FrameIndex {
    pub fn note(&mut self, start: u64, at: u64, first: Seq) {
        let last = self.0.last().map_or(start, |(_, at)| u64::from(*at));
        if at >= last + INDEX_STRIDE_BYTES {
            self.0.push((first, u32::try_from(at).expect("an offset in a segment is below 4 GiB")));
        }
    }

    fn at_or_before(&self, seq: Seq) -> Option<(Seq, u64)> {
        let after = self.0.partition_point(|(first, _)| *first <= seq);
        after.checked_sub(1).map(|at| (self.0[at].0, u64::from(self.0[at].1)))
    }
}

#[derive(Debug)]
pub(super) struct Segment {
    pub span: Span,
    /// `None` until someone looks for a sequence in it.
    pub index: Option<FrameIndex>,
}

/// Files with the numbers of their segments, one of each, in the order in which they were opened.
type OpenFiles = VecDeque<(u32, Arc<dyn DiskFile>)>;

/// The segments of a log and the disk they are on.
pub(super) struct Segments {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub tenant: Tenant,
    table: Mutex<Vec<Segment>>,
    open: Mutex<OpenFiles>,
}

/// A poisoned lock is taken all the same: every critical section leaves its state whole.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a file open as that of its segment; of many the one that was opened first goes.
fn keep(open: &mut OpenFiles, number: u32, file: &Arc<dyn DiskFile>) {
    open.retain(|(held, _)| *held != number);
    if open.len() >= OPEN_FILES_MAX {
        open.pop_front();
    }
    open.push_back((number, Arc::clone(file)));
}

impl Segments {
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, tenant: Tenant, table: Vec<Segment>) -> Segments {
        Segments { disk, dir: dir.to_owned(), tenant, table: Mutex::new(table), open: Mutex::default() }
    }

    /// Takes the segments that recovery found.
    pub fn fill(&self, table: Vec<Segment>) {
        *locked(&self.table) = table;
    }

    pub fn path(&self, number: u32) -> PathBuf {
        self.dir.join(segment::file_name(number))
    }

    pub fn io_error(&self, doing: &'static str, number: u32) -> impl FnOnce(io::Error) -> LogError {
        // The path is made when it is needed: most reads do not fail.
        move |source| LogError::Io { doing, path: self.path(number), source }
    }

    /// The segment's file, opened if need be.
    pub fn file(&self, number: u32) -> Result<Arc<dyn DiskFile>, LogError> {
        let mut open = locked(&self.open);
        if let Some((_, file)) = open.iter().find(|(held, _)| *held == number) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.path(number)).map_err(self.io_error("open", number))?;
        keep(&mut open, number, &file);
        Ok(file)
    }

    /// Removes a segment's file.
    pub fn remove(&self, number: u32) -> Result<(), LogError> {
        locked(&self.open).retain(|(held, _)| *held != number);
        self.disk.remove(&self.path(number)).map_err(self.io_error("remove", number))
    }

    /// Makes a segment with these bytes: they are durable before it gets its name, and the name is when this returns.
    pub fn publish(&self, number: u32, bytes: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path(number);
        let forming = path.with_extension(segment::FORMING);
        let file = self.disk.create(&forming)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        self.disk.rename(&forming, &path)?;
        keep(&mut locked(&self.open), number, &file);
        self.disk.sync_dir(&self.dir)?;
        Ok(file)
    }

    /// All segments, as far as they are durable.
    pub fn spans(&self) -> Vec<Span> {
        locked(&self.table).iter().map(|segment| segment.span).collect()
    }

    pub fn span(&self, number: u32) -> Option<Span> {
        let table = locked(&self.table);
        let at = table.partition_point(|segment| segment.span.number < number);
        table.get(at).map(|segment| segment.span).filter(|span| span.number == number)
    }

    pub fn bytes(&self) -> u64 {
        locked(&self.table).iter().map(|segment| segment.span.end).sum()
    }

    /// Takes in that the last segment has grown by a durable frame.
    pub fn grew(&self, at: u64, first: Seq, end: u64, stop: (Seq, Digest)) {
        let mut table = locked(&self.table);
        let Segment { span, index } = table.last_mut().expect("a log has a segment");
        (span.end, span.stop) = (end, Some(stop));
        if let Some(index) = index {
            index.note(span.start, at, first);
        }
    }

    /// Takes in a new last segment.
    pub fn opened(&self, span: Span) {
        locked(&self.table).push(Segment { span, index: Some(FrameIndex::default()) });
    }

    /// A frame, sound as far as heads tell, at or before `seq` in this segment: its first sequence and offset.
    pub fn frame_before(&self, span: &Span, seq: Seq) -> Result<Option<(Seq, u64)>, LogError> {
        let held = |table: &[Segment]| {
            let at = table.partition_point(|segment| segment.span.number < span.number);
            table.get(at).and_then(|segment| segment.index.as_ref().map(|index| index.at_or_before(seq)))
        };
        if let Some(found) = held(&locked(&self.table)) {
            return Ok(found);
        }
        let index = self.build_index(span)?;
        let found = index.at_or_before(seq);
        let mut table = locked(&self.table);
        // The segment may have grown in the meantime: what is not in the index is walked over.
        if let Some(segment) = table.iter_mut().find(|segment| segment.span.number == span.number) {
            segment.index = Some(index);
        }
        Ok(found)
    }

    fn build_index(&self, span: &Span) -> Result<FrameIndex, LogError> {
        let mut walker = Walker::new(self.tenant.clone(), self.file(span.number)?, span, Depth::Heads);
        let mut index = FrameIndex::default();
        loop {
            match walker.step().map_err(self.io_error("read", span.number))? {
                Step::Frame { at, head, .. } => index.note(span.start, at, head.first),
                Step::Damage { .. } => {}
                Step::End => return Ok(index),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::crash_tests::{append, check, create},
        sim::disk::SimDisk,
    };

    #[test]
    fn however_many_segments_are_begun_few_files_stay_open() {
        let log = create(&SimDisk::new()).expect("created");
        while log.segments.spans().len() <= OPEN_FILES_MAX + 5 {
            log.wait(append(&log, 20).expect("appended")).expect("durable");
        }
        assert_eq!(locked(&log.segments.open).len(), OPEN_FILES_MAX);
        check(&log);
        assert_eq!(locked(&log.segments.open).len(), OPEN_FILES_MAX);
    }
}

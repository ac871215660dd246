//! What opening a log finds, and what it may repair.
//!
//! The writer leaves little in doubt. It writes a frame only when the one before is durable, so:
//!
//! - Bytes after the last sound frame that are no frame are a *torn tail*: a write that a crash cut off, of which nobody
//!   was told. They are cut off. But if a sound frame lies behind them, or a checkpoint names a sequence that they
//!   should hold, they were durable once and are *damaged*: the log is opened for reading only.
//! - A last sound frame with nothing behind it may never have been synced, even though it reads well: after a failed sync
//!   the page cache holds what the disk does not. So it is written anew, into a new segment, and the old copy is cut off after that.
//!   If a crash comes between, the new segment's header says where the old one ends.
//! - It need not be if a mark of a clean close or a torn tail follows it (then it was durable before those were
//!   written), or if a checkpoint names a sequence in it. A frame written anew gets the mark at once, since its segment is
//!   named only when durable; so opening often does not make many segments.

use std::{io, ops::RangeInclusive, path::Path, sync::Arc};

use super::{
    Known, Log, LogError, Options, TENANT_NAME_BYTES_MAX,
    disk::{Disk, DiskFile, DiskLock, LockError},
    segment::{self, Body, FORMAT, HASH_BYTES, HEADER_BYTES_MAX, Head, Header, HeaderFault, Tenant},
    segments::{FrameIndex, Segment, Segments},
    verify::{Fault, FaultKind},
    walk::{Depth, Span, Step, Walker},
    write::Tip,
};
use crate::id::{Digest, Seq, TenantKey};

const LOCK: &str = "lock";

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// A write that a crash had cut off.
    pub torn: Option<Torn>,
    /// Entries that might never have been synced and were written anew; their places have changed.
    pub rewritten: Option<RangeInclusive<Seq>>,
    /// What is damaged, in order. If anything is, the log can only be read.
    pub faults: Vec<Fault>,
}

/// A torn tail that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The last sequence before it.
    pub after: Seq,
    /// How many bytes went.
    pub bytes: u64,
}

impl Recovery {
    /// The first damaged sequence, if the log can only be read.
    pub fn read_only(&self) -> Option<Seq> {
        self.faults.iter().map(|fault| *fault.seqs.start()).min()
    }
}

impl Log {
    /// Makes the log of a tenant, in a directory that has none; the directory is made if need be.
    ///
    /// # Errors
    /// If there is a log already, or the disk fails.
    ///
    /// # After a crash
    /// Either the log is there and can be opened, or it can be created again.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        key: &TenantKey,
        name: &str,
        options: Options,
    ) -> Result<Log, LogError> {
        if name.is_empty() || name.len() > TENANT_NAME_BYTES_MAX {
            return Err(LogError::TenantName { bytes: name.len() });
        }
        disk.create_dir(dir).map_err(io_error("make", dir))?;
        let lock = lock(&*disk, dir)?;
        if !numbers(&*disk, dir)?.is_empty() {
            return Err(LogError::Exists { dir: dir.to_owned() });
        }
        remove_forming(&*disk, dir)?;
        let tenant = Tenant { name: name.to_owned(), key: key.clone() };
        let (first, link, start) = (Seq(1), tenant.genesis(), tenant.header_bytes());
        let span = Span { number: 1, first, link, start, end: start, stop: Some((first, link)) };
        let segments = Segments::new(disk, dir, tenant.clone(), Vec::new());
        let header = Header { number: 1, first, tenant, link };
        segments.publish(1, &header.encode()).map_err(segments.io_error("make", 1))?;
        segments.opened(span);
        let tip = Tip { span, next: first, link, marked: false };
        Log::start(Arc::new(segments), tip, None, options.segment_bytes, lock)
    }

    /// Opens a log, and repairs what a crash has left.
    ///
    /// `known` is what a checkpoint of derived state says of the log: the last sequence that it names, 0 if there is none,
    /// and where that ends. Entries past it are checked, and may be at other places than before; what is older is checked
    /// when it is read.
    ///
    /// # Errors
    /// If there is no log, another process has it open, it has another format, or the disk fails. Damage is no
    /// error: see [`Recovery::faults`].
    ///
    /// # After a crash
    /// Opening can be cut off at any point and begun again.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        known: impl Into<Known>,
    ) -> Result<(Log, Recovery), LogError> {
        let known = known.into();
        // Looked at before the lock, so that no lock file appears where there is no log.
        let missing = || LogError::Missing { dir: dir.to_owned() };
        match numbers(&*disk, dir) {
            Ok(numbers) if !numbers.is_empty() => {}
            Ok(_) => return Err(missing()),
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Err(missing()),
            Err(why) => return Err(why),
        }
        let lock = lock(&*disk, dir)?;
        let files = numbers(&*disk, dir)?;
        let found = files.into_iter().map(|number| Found::read(&*disk, dir, number)).collect::<Result<Vec<_>, _>>()?;
        let tenant = whose(dir, &found)?;
        let segments = Segments::new(disk, dir, tenant, Vec::new());
        let mut survey = Survey::of(&segments, found, known)?;
        let mut recovery = Recovery { faults: std::mem::take(&mut survey.faults), ..Recovery::default() };
        if let Some(seq) = recovery.read_only() {
            recovery.faults.iter().for_each(|fault| tracing::error!(%fault, "the log is damaged"));
            let (tip, damaged) = (survey.tip(), Some(seq));
            segments.fill(survey.table);
            return Ok((Log::start(Arc::new(segments), tip, damaged, options.segment_bytes, lock)?, recovery));
        }
        survey.repair(&segments, known.seq, &mut recovery)?;
        let tip = survey.tip();
        segments.fill(survey.table);
        Ok((Log::start(Arc::new(segments), tip, None, options.segment_bytes, lock)?, recovery))
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Io { doing, path, source }
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, LogError> {
    let path = dir.join(LOCK);
    disk.lock(&path, &format!("process {}", std::process::id())).map_err(|why| match why {
        LockError::Held { holder } => LogError::Locked { holder },
        LockError::Io(source) => LogError::Io { doing: "lock", path, source },
    })
}

/// The numbers of the segments in a directory, in order.
fn numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u32>, LogError> {
    let names = disk.list(dir).map_err(io_error("list", dir))?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment::file_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes segments that a crash kept from getting their names: nobody was told of what is in them.
fn remove_forming(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    for name in disk.list(dir).map_err(io_error("list", dir))? {
        let path = dir.join(name);
        if path.extension().is_some_and(|extension| extension == segment::FORMING) {
            disk.remove(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

/// A segment's file, before it is known what is in it.
struct Found {
    number: u32,
    bytes: u64,
    /// `None` if it is damaged.
    header: Option<Header>,
}

impl Found {
    /// The header, if it can be read and the file has the name that it should have.
    fn trusted(&self) -> Option<&Header> {
        self.header.as_ref().filter(|header| header.number == self.number)
    }

    fn read(disk: &dyn Disk, dir: &Path, number: u32) -> Result<Found, LogError> {
        let path = dir.join(segment::file_name(number));
        let file = disk.open(&path).map_err(io_error("open", &path))?;
        let bytes = file.len().map_err(io_error("read", &path))?;
        let mut header = [0; HEADER_BYTES_MAX];
        let got = file.read_full_at(&mut header, 0).map_err(io_error("read", &path))?;
        match Header::decode(&header[..got]) {
            Ok(header) => Ok(Found { number, bytes, header: Some(header) }),
            Err(HeaderFault::Damaged) => Ok(Found { number, bytes, header: None }),
            Err(HeaderFault::Format(found)) => Err(LogError::Format { path, found, supported: FORMAT }),
        }
    }
}

/// The tenant that all readable headers name.
fn whose(dir: &Path, found: &[Found]) -> Result<Tenant, LogError> {
    let mut named = found.iter().filter_map(|found| Some((found.number, &found.header.as_ref()?.tenant)));
    let (_, tenant) = named.next().ok_or_else(|| LogError::Headless { dir: dir.to_owned() })?;
    match named.find(|(_, other)| *other != tenant) {
        Some((number, _)) => Err(LogError::Foreign { path: dir.join(segment::file_name(number)) }),
        None => Ok(tenant.clone()),
    }
}

/// What the segments hold, before anything is repaired.
#[derive(Default)]
struct Survey {
    table: Vec<Segment>,
    faults: Vec<Fault>,
    /// Segments, not the last, with bytes behind their end.
    leftovers: Vec<u32>,
    /// Segments without a header and without a sound frame, at the end: their numbers and bytes.
    hollow: Vec<(u32, u64)>,
    tail: Tail,
}

/// How the last segment ends.
#[derive(Default)]
struct Tail {
    /// Where the next frame goes, its sequence, and what it is chained to.
    at: u64,
    next: Seq,
    link: Option<Digest>,
    /// The last sound frame with entries.
    last: Option<(u64, Head)>,
    marked: bool,
    /// What is no sound frame, and comes before nothing that is one.
    torn: Vec<Fault>,
    torn_bytes: u64,
}

impl Survey {
    fn of(segments: &Segments, mut found: Vec<Found>, known: Known) -> Result<Survey, LogError> {
        let mut survey = Survey::default();
        while let Some(last) = found.pop_if(|last| last.header.is_none()) {
            if holds_frames(segments, &last)? {
                found.push(last);
                break;
            }
            survey.hollow.push((last.number, last.bytes));
        }
        let (mut due, mut link, mut number) = (Seq(1), segments.tenant.genesis(), 1);
        for (nth, file) in found.iter().enumerate() {
            let follower = found.get(nth + 1).filter(|next| next.number == file.number + 1);
            let stop = follower.and_then(Found::trusted).map(|header| (header.first, header.link));
            if let Some(header) = file.trusted() {
                if file.number != number && header.first > due {
                    survey.fault(file.number, 0, due..=Seq(header.first.0 - 1), FaultKind::Missing);
                }
                (due, link) = (header.first, header.link);
            } else {
                survey.fault(file.number, 0, due..=due, FaultKind::Header);
            }
            let start = segments.tenant.header_bytes();
            let span = Span { number: file.number, first: due, link, start, end: file.bytes, stop };
            (due, link) = match nth + 1 == found.len() {
                true => survey.walk_last(segments, span, known)?,
                false => survey.walk(segments, span, known.seq)?,
            };
            number = file.number + 1;
        }
        survey.judge_tail(known.seq, number - 1);
        Ok(survey)
    }

    fn fault(&mut self, segment: u32, at: u64, seqs: RangeInclusive<Seq>, kind: FaultKind) {
        self.faults.push(Fault { seqs, segment, at, kind });
    }

    /// Takes in a segment that others follow. One that a checkpoint covers and that ends as the next one says is not read.
    fn walk(&mut self, segments: &Segments, mut span: Span, checkpointed: Seq) -> Result<(Seq, Digest), LogError> {
        let file = segments.file(span.number)?;
        let failed = |source| segments.io_error("read", span.number)(source);
        if let Some((seq, link)) = span.stop
            && seq.0 <= checkpointed.0 + 1
            && ends_with(&*file, &span, &link).map_err(failed)?
        {
            self.table.push(Segment { span, index: None });
            return Ok((seq, link));
        }
        let mut walker = Walker::new(segments.tenant.clone(), file, &span, Depth::Whole);
        let mut index = FrameIndex::default();
        loop {
            match walker.step().map_err(failed)? {
                Step::End => break,
                Step::Damage { at, seqs } => self.fault(span.number, at, seqs, FaultKind::Frame),
                Step::Frame { at, head, sound } => {
                    index.note(span.start, at, head.first);
                    if !sound {
                        self.fault(span.number, at, held(&head), FaultKind::Payload);
                    }
                }
            }
        }
        if walker.at < span.end {
            self.leftovers.push(span.number);
            span.end = walker.at;
        }
        self.table.push(Segment { span, index: Some(index) });
        Ok((walker.next, walker.link))
    }

    /// Takes in the last segment, up to where it makes sense, from where a checkpoint says that it is known.
    fn walk_last(&mut self, segments: &Segments, span: Span, known: Known) -> Result<(Seq, Digest), LogError> {
        let failed = |source| segments.io_error("read", span.number)(source);
        let file = segments.file(span.number)?;
        let mut walker = Walker::new(segments.tenant.clone(), Arc::clone(&file), &span, Depth::Whole);
        let mut index = Some(FrameIndex::default());
        if let Some((at, link)) = known_end(&span, known)
            && ends_with(&*file, &Span { end: at, ..span }, &link).map_err(failed)?
        {
            walker.jump(at, known.seq.next()).map_err(failed)?;
            index = None;
        }
        let mut tail = Tail { at: walker.at, next: walker.next, link: Some(walker.link), ..Tail::default() };
        loop {
            let step = walker.step().map_err(failed)?;
            let (segment, mut torn) = (span.number, Vec::new());
            match step {
                Step::End => break,
                Step::Damage { at, seqs } => torn.push(Fault { seqs, segment, at, kind: FaultKind::Frame }),
                Step::Frame { at, head, sound } => {
                    // What was taken for a torn tail has a frame behind it, so it was durable once.
                    self.faults.append(&mut tail.torn);
                    if let Some(index) = &mut index {
                        index.note(span.start, at, head.first);
                    }
                    tail.marked = head.count == 0;
                    if head.count > 0 && !sound {
                        torn.push(Fault { seqs: held(&head), segment, at, kind: FaultKind::Payload });
                    } else if head.count > 0 {
                        tail.last = Some((at, head));
                        (tail.at, tail.next, tail.link) = (walker.at, walker.next, Some(walker.link));
                    }
                }
            }
            tail.torn.append(&mut torn);
        }
        if let Some(torn) = tail.torn.first() {
            // A torn write over the mark can leave the mark whole.
            (tail.torn_bytes, tail.marked) = (span.end - torn.at, false);
        }
        self.table.push(Segment { span, index });
        let carry = (tail.next, tail.link.expect("a tail starts with the segment's link"));
        self.tail = tail;
        Ok(carry)
    }

    /// Decides whether what is wrong at the end is a torn tail or damage.
    fn judge_tail(&mut self, checkpointed: Seq, segment: u32) {
        if self.tail.torn.first().is_some_and(|torn| checkpointed >= *torn.seqs.start()) {
            self.faults.append(&mut self.tail.torn);
        }
        let end = self.table.last().map_or(0, |segment| segment.span.end);
        let named = self.faults.last().map_or(self.tail.next, |fault| fault.seqs.end().next()).max(self.tail.next);
        if checkpointed >= named {
            self.fault(segment, end, named..=checkpointed, FaultKind::Missing);
        }
        let last = self.table.last_mut().expect("a log has a segment");
        if self.faults.iter().all(|fault| fault.segment != segment) {
            last.span.end = self.tail.at;
            last.span.stop = self.tail.link.map(|link| (self.tail.next, link));
        }
    }

    fn tip(&self) -> Tip {
        let span = self.table.last().expect("a log has a segment").span;
        let link = self.tail.link.expect("the last segment was walked");
        Tip { span, next: self.tail.next, link, marked: self.tail.marked }
    }

    /// Repairs what a crash has left; nothing here is damaged.
    fn repair(&mut self, segments: &Segments, checkpointed: Seq, recovery: &mut Recovery) -> Result<(), LogError> {
        remove_forming(&*segments.disk, &segments.dir)?;
        let after = Seq(self.tail.next.0 - 1);
        let mut torn_bytes = self.tail.torn_bytes;
        for (number, bytes) in &self.hollow {
            segments.remove(*number)?;
            torn_bytes += bytes;
        }
        for number in &self.leftovers {
            let span = self.table.iter().map(|segment| segment.span).find(|span| span.number == *number);
            cut(segments, *number, span.expect("a leftover is in the table").end)?;
        }
        let number = self.table.last().expect("a log has a segment").span.number;
        if self.tail.torn_bytes > 0 {
            cut(segments, number, self.tail.at)?;
        }
        if torn_bytes > 0 || !self.hollow.is_empty() {
            tracing::warn!(after = after.0, bytes = torn_bytes, "a torn tail was cut off the log");
            recovery.torn = Some(Torn { after, bytes: torn_bytes });
        }
        if !self.tail.marked {
            // The last segment may have been named by a process that did not live to make the name durable. One that
            // left its mark did.
            segments.disk.sync_dir(&segments.dir).map_err(io_error("sync", &segments.dir))?;
        }
        if !self.tail.marked && self.tail.torn_bytes == 0 {
            self.write_anew(segments, checkpointed, recovery)?;
        }
        Ok(())
    }

    /// Writes the last frame into a new segment, if it may never have been synced.
    fn write_anew(&mut self, segments: &Segments, checkpointed: Seq, recovery: &mut Recovery) -> Result<(), LogError> {
        let old = self.table.last_mut().expect("a log has a segment");
        let (at, head) = match self.tail.last {
            Some((at, head)) if head.first > checkpointed => (at, head),
            _ => return Ok(()),
        };
        let (number, start) = (old.span.number + 1, old.span.start);
        let mut frame = vec![0; HASH_BYTES + head.frame_bytes() as usize];
        let file = segments.file(old.span.number)?;
        let failed = segments.io_error("read", old.span.number);
        let got = file.read_full_at(&mut frame, at - HASH_BYTES as u64).map_err(failed)?;
        if got < frame.len() {
            return Err(segments.io_error("read", old.span.number)(io::ErrorKind::UnexpectedEof.into()));
        }
        let link = segment::link_before(&frame, HASH_BYTES);
        let mut bytes = Header { number, first: head.first, tenant: segments.tenant.clone(), link }.encode();
        bytes.extend_from_slice(&frame[HASH_BYTES..]);
        let (end, hash) = (bytes.len() as u64, segment::link_before(&bytes, bytes.len()));
        Body::default().write_frame(&mut bytes, &segments.tenant, head.next(), &hash);
        segments.publish(number, &bytes).map_err(segments.io_error("make", number))?;
        tracing::info!(first = head.first.0, next = head.next().0, "the last frame of the log was written anew");

        (old.span.end, old.span.stop) = (at, Some((head.first, link)));
        old.index = None;
        cut(segments, old.span.number, at)?;
        let stop = Some((head.next(), hash));
        let span = Span { number, first: head.first, link, start, end, stop };
        self.table.push(Segment { span, index: Some(FrameIndex::default()) });
        (self.tail.at, self.tail.marked) = (end, true);
        recovery.rewritten = Some(held(&head));
        Ok(())
    }
}

fn held(head: &Head) -> RangeInclusive<Seq> {
    head.first..=Seq(head.next().0 - 1)
}

fn cut(segments: &Segments, number: u32, end: u64) -> Result<(), LogError> {
    let file = segments.file(number)?;
    file.set_len(end).and_then(|()| file.sync()).map_err(segments.io_error("cut", number))
}

/// Where in the last segment what is known ends, if it does so there.
fn known_end(span: &Span, known: Known) -> Option<(u64, Digest)> {
    let (_, at, link) = known.end.filter(|(number, at, _)| *number == span.number && *at <= span.end)?;
    (known.seq >= span.first).then_some((at, link))
}

/// Whether the segment's file ends with this hash.
fn ends_with(file: &dyn DiskFile, span: &Span, link: &Digest) -> io::Result<bool> {
    let mut hash = [0; HASH_BYTES];
    let Some(at) = span.end.checked_sub(HASH_BYTES as u64).filter(|_| span.end >= span.start) else { return Ok(false) };
    Ok(file.read_full_at(&mut hash, at)? == HASH_BYTES && hash == link.0)
}

/// Whether a segment with a damaged header has a sound frame.
fn holds_frames(segments: &Segments, found: &Found) -> Result<bool, LogError> {
    let file = segments.file(found.number)?;
    let start = segments.tenant.header_bytes();
    let span = Span { number: found.number, first: Seq(1), link: Digest([0; 32]), start, end: found.bytes, stop: None };
    let mut walker = Walker::new(segments.tenant.clone(), file, &span, Depth::Whole);
    walker.any_frame().map_err(segments.io_error("read", found.number))
}

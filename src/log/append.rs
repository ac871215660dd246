//! Appends: entries gather in a frame while the frame before is on its way to the disk.
//!
//! One thread writes. A frame is taken by it only when the one before is durable, so of all frames in the files
//! only the very last can be in doubt after a crash, and entries that arrive meanwhile share the next sync.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use super::{
    APPEND_BYTES_MAX, ENTRY_BYTES_MAX, Entry, Known, LogError, OwnedEntry,
    disk::DiskLock,
    entry::{Entries, RawEntry},
    segment::{Body, FRAME_BYTES_MIN, HEAD_BYTES},
    segments::{Segments, locked},
    write::{Tip, Writer},
};
use crate::id::{Place, Seq, TenantKey};

/// A frame that has this many bytes takes no more calls' entries in: who waits for it should not wait too long.
const SHARED_FRAME_BYTES: usize = 4 << 20;
/// One body forms, one is written, and a few callers put theirs together.
const SPARE_BODIES: usize = 4;
const SEGMENT_BYTES_MAX: u64 = 2 << 30;

/// Where entries went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The sequence of the first entry; the others follow it without gaps.
    pub first: Seq,
    /// The sequence of the last entry: [`Log::wait`] for it. One less than `first` if there were no entries.
    pub last: Seq,
    /// Where each entry is, in order.
    pub places: Vec<Place>,
}

/// A tenant's log, open for one process.
pub struct Log {
    pub(super) segments: Arc<Segments>,
    pub(super) pending: Arc<Pending>,
    pub(super) damaged: Option<Seq>,
    segment_bytes: u64,
    writer: Option<JoinHandle<()>>,
    _lock: Box<dyn DiskLock>,
}

/// A frame that forms.
pub(super) struct Frame {
    pub segment: u32,
    pub at: u64,
    pub first: Seq,
    pub body: Body,
}

impl Frame {
    pub fn end(&self) -> u64 {
        self.at + (FRAME_BYTES_MIN + self.body.bytes.len()) as u64
    }

    pub fn next(&self) -> Seq {
        Seq(self.first.0 + u64::from(self.body.count))
    }

    /// The empty frame after this one.
    fn following(&self) -> Frame {
        Frame { segment: self.segment, at: self.end(), first: self.next(), body: Body::default() }
    }

    /// The entry that starts at `place`, if it is in this frame; it was never on a disk, so it is sound.
    fn entry_at(&self, place: Place) -> Option<OwnedEntry> {
        let start = self.at + HEAD_BYTES as u64;
        let at = u64::from(place.offset()).checked_sub(start)? as usize;
        let bytes = self.body.bytes.get(at..).filter(|_| place.segment() == self.segment)?;
        RawEntry::first_of(bytes).and_then(OwnedEntry::checked)
    }

    fn place_of(&self, seq: Seq) -> Option<Place> {
        let nth = usize::try_from(seq.0.checked_sub(self.first.0)?).ok()?;
        let entry = Entries::of(&self.body.bytes).nth(nth)??;
        Some(place(self.segment, self.at, entry.at))
    }
}

fn place(segment: u32, frame: u64, at: usize) -> Place {
    let offset = frame + (HEAD_BYTES + at) as u64;
    Place::new(segment, u32::try_from(offset).expect("an offset in a segment is below 4 GiB"))
}

/// What is appended and not yet durable, and who waits for it.
pub(super) struct Pending {
    state: Mutex<State>,
    /// Something is there to write, or the log closes.
    work: Condvar,
    /// A frame was taken, so there is room for the next one.
    room: Condvar,
    /// A frame became durable, or none will any more.
    done: Condvar,
    /// Whether frames leave only once someone waits for them.
    patient: bool,
    /// Emptied bodies, whose memory the next ones take.
    spare: Mutex<Vec<Body>>,
}

struct State {
    forming: Frame,
    /// Up to where someone waits, or has waited.
    wanted: Seq,
    writing: Option<Arc<Frame>>,
    durable: Seq,
    failed: Option<Arc<io::Error>>,
    closing: bool,
}

impl Log {
    pub(super) fn start(
        segments: Arc<Segments>,
        tip: Tip,
        damaged: Option<Seq>,
        segment_bytes: u64,
        lock: Box<dyn DiskLock>,
    ) -> Result<Log, LogError> {
        let forming = Frame { segment: tip.span.number, at: tip.span.end, first: tip.next, body: Body::default() };
        let durable = Seq(tip.next.0 - 1);
        let state = State { forming, wanted: Seq(0), writing: None, durable, failed: None, closing: false };
        let pending = Arc::new(Pending {
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            done: Condvar::new(),
            patient: segments.disk.waits_for_calls(),
            spare: Mutex::default(),
        });
        let mut log = Log {
            segment_bytes: segment_bytes.min(SEGMENT_BYTES_MAX),
            segments,
            pending,
            damaged,
            writer: None,
            _lock: lock,
        };
        if damaged.is_none() {
            let file = log.segments.file(tip.span.number)?;
            let writer = Writer::new(Arc::clone(&log.segments), file, tip);
            let pending = Arc::clone(&log.pending);
            let spawned = thread::Builder::new().name("syncline-log".into()).spawn(move || pending.run(writer));
            log.writer = Some(spawned.map_err(log.segments.io_error("start the writer of", log.segments_last()))?);
        }
        Ok(log)
    }

    fn segments_last(&self) -> u32 {
        self.pending.lock().forming.segment
    }

    /// The tenant's name and its key.
    pub fn tenant(&self) -> (&str, &TenantKey) {
        (&self.segments.tenant.name, &self.segments.tenant.key)
    }

    /// Bytes that the log takes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.bytes()
    }

    /// The first damaged sequence; the log can only be read then.
    pub fn damaged(&self) -> Option<Seq> {
        self.damaged
    }

    /// The last sequence that is on disk; 0 if none is.
    pub fn durable(&self) -> Seq {
        self.pending.lock().durable
    }

    /// How far the log is durable, for a checkpoint to keep.
    pub fn known(&self) -> Known {
        let end = self.segments.spans().last().and_then(|span| span.stop.map(|(next, link)| (*span, next, link)));
        end.map_or_else(Known::default, |(span, next, link)| Known {
            seq: Seq(next.0 - 1),
            end: Some((span.number, span.end, link)),
        })
    }

    /// The last sequence that was appended, durable or not; 0 if none was.
    pub fn last(&self) -> Seq {
        Seq(self.pending.lock().forming.next().0 - 1)
    }

    /// Puts entries at the log's end, without waiting for the disk: [`Log::wait`] does that.
    ///
    /// Blocks only while a very large frame has to leave first.
    ///
    /// # Errors
    /// If the log is damaged or stopped, or if the entries are too large; then none of them is taken.
    ///
    /// # After a crash
    /// Either all of `entries` are in the log, or none is.
    pub fn append(&self, entries: &[Entry<'_>]) -> Result<Appended, LogError> {
        if let Some(seq) = self.damaged {
            return Err(LogError::ReadOnly { seq });
        }
        let mut body = self.pending.spare_body();
        let starts = gather(entries, &mut body)?;
        let mut state = self.pending.lock();
        loop {
            state.refuse_if_failed()?;
            if body.count == 0 || self.make_room(&mut state.forming, &body) {
                break;
            }
            state.wanted = Seq(state.forming.next().0 - 1);
            self.pending.work.notify_one();
            state = self.pending.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let forming = &mut state.forming;
        let (first, before) = (forming.next(), forming.body.bytes.len());
        let places = starts.iter().map(|at| place(forming.segment, forming.at, before + at)).collect();
        let last = Seq(first.0 + u64::from(body.count) - 1);
        if forming.body.count == 0 {
            std::mem::swap(&mut forming.body, &mut body);
        } else {
            forming.body.join(&body);
        }
        drop(state);
        self.pending.work.notify_one();
        self.pending.put_spare(body);
        Ok(Appended { first, last, places })
    }

    /// Whether `body` can go into the forming frame; an empty one moves to the next segment where it must.
    fn make_room(&self, forming: &mut Frame, body: &Body) -> bool {
        let fits = forming.end() + body.bytes.len() as u64 <= self.segment_bytes;
        if forming.body.count > 0 {
            return fits && forming.body.bytes.len() + body.bytes.len() <= SHARED_FRAME_BYTES;
        }
        let start = self.segments.tenant.header_bytes();
        if !fits && forming.at > start {
            forming.segment += 1;
            forming.at = start;
        }
        true
    }

    /// Blocks until everything up to this sequence is on disk.
    ///
    /// # Errors
    /// If the disk failed before that, or if nothing was appended up to there.
    pub fn wait(&self, upto: Seq) -> Result<(), LogError> {
        let mut state = self.pending.lock();
        loop {
            if state.durable >= upto {
                return Ok(());
            }
            state.refuse_if_failed()?;
            if upto >= state.forming.next() {
                return Err(LogError::NoSeq { seq: upto });
            }
            if self.pending.patient && state.wanted < upto {
                state.wanted = upto;
                self.pending.work.notify_one();
            }
            state = self.pending.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes what is still waiting, marks the log as closed cleanly and lets go of it.
    ///
    /// Dropping a log does the same, but cannot tell of a failure.
    ///
    /// # Errors
    /// If the disk failed at any time: then what was appended and not waited for may be lost.
    pub fn close(mut self) -> Result<(), LogError> {
        self.stop();
        self.pending.lock().refuse_if_failed()
    }

    fn stop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        self.pending.lock().closing = true;
        self.pending.work.notify_one();
        writer.join().expect("the writer catches its own panics");
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Puts entries into a body, and gives where each starts.
fn gather(entries: &[Entry<'_>], body: &mut Body) -> Result<Vec<usize>, LogError> {
    let mut starts = Vec::with_capacity(entries.len());
    let bytes: usize = entries.iter().map(|entry| entry.header.len() + entry.payload.len() + 14).sum();
    body.bytes.reserve(bytes.min(APPEND_BYTES_MAX));
    for entry in entries {
        let bytes = entry.header.len().saturating_add(entry.payload.len());
        if bytes > ENTRY_BYTES_MAX {
            return Err(LogError::EntryTooLarge { bytes });
        }
        starts.push(body.bytes.len());
        body.push(*entry);
        if body.bytes.len() > APPEND_BYTES_MAX {
            return Err(LogError::AppendTooLarge { bytes: body.bytes.len() });
        }
    }
    Ok(starts)
}

impl State {
    fn refuse_if_failed(&self) -> Result<(), LogError> {
        match &self.failed {
            Some(source) => Err(LogError::Failed { source: Arc::clone(source) }),
            None => Ok(()),
        }
    }
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// The entry at `place`, if it is not durable yet.
    pub fn entry_at(&self, place: Place) -> Option<OwnedEntry> {
        let state = self.lock();
        let writing = state.writing.as_ref().and_then(|frame| frame.entry_at(place));
        writing.or_else(|| state.forming.entry_at(place))
    }

    /// Where `seq` is, if it is not durable yet.
    pub fn place_of(&self, seq: Seq) -> Option<Place> {
        let state = self.lock();
        let writing = state.writing.as_ref().and_then(|frame| frame.place_of(seq));
        writing.or_else(|| state.forming.place_of(seq))
    }

    fn spare_body(&self) -> Body {
        locked(&self.spare).pop().unwrap_or_default()
    }

    /// Keeps the memory of a body, if it is not too much.
    fn put_spare(&self, mut body: Body) {
        body.bytes.clear();
        body.count = 0;
        let mut spare = locked(&self.spare);
        if spare.len() < SPARE_BODIES && (1..=SHARED_FRAME_BYTES).contains(&body.bytes.capacity()) {
            spare.push(body);
        }
    }

    fn run(&self, mut writer: Writer) {
        while let Some(frame) = self.take() {
            // A disk that panics must not leave anyone waiting.
            let written = catch_unwind(AssertUnwindSafe(|| writer.write(&frame)))
                .unwrap_or_else(|_| Err(io::Error::other("the disk panicked")));
            let mut state = self.lock();
            match written {
                Ok(()) => {
                    state.durable = Seq(frame.next().0 - 1);
                    state.writing = None;
                }
                Err(why) => {
                    tracing::error!(after = state.durable.0, error = %why, "the log stopped: the disk failed");
                    state.failed = Some(Arc::new(why));
                }
            }
            drop(state);
            self.done.notify_all();
            if let Some(frame) = Arc::into_inner(frame) {
                self.put_spare(frame.body);
            }
        }
        self.room.notify_all();
        if self.lock().failed.is_none() {
            let marked = catch_unwind(AssertUnwindSafe(|| writer.mark()));
            match marked.unwrap_or_else(|_| Err(io::Error::other("the disk panicked"))) {
                Ok(()) => {}
                // The mark only spares the next opening some work.
                Err(why) => tracing::warn!(error = %why, "the log could not be marked as closed cleanly"),
            }
        }
    }

    /// The next frame to write; `None` when there is none any more.
    fn take(&self) -> Option<Arc<Frame>> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() {
                return None;
            }
            let is_due = !self.patient || state.closing || state.wanted >= state.forming.first;
            if state.forming.body.count > 0 && is_due {
                let following = state.forming.following();
                let frame = Arc::new(std::mem::replace(&mut state.forming, following));
                state.writing = Some(Arc::clone(&frame));
                drop(state);
                self.room.notify_all();
                return Some(frame);
            }
            if state.closing {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{log::crash_tests::create, sim::disk::SimDisk};

    #[test]
    fn a_frame_takes_no_more_than_its_segment_has_room_for() {
        let log = create(&SimDisk::new()).expect("created");
        let start = log.segments.tenant.header_bytes();
        let body = |bytes: u64| Body { bytes: vec![0; bytes as usize], count: 1 };
        let room = log.segment_bytes - start - FRAME_BYTES_MIN as u64;
        let frame = |at, bytes| Frame { segment: 1, at, first: Seq(1), body: body(bytes) };

        assert!(log.make_room(&mut frame(start, room - 100), &body(100)));
        assert!(!log.make_room(&mut frame(start, room - 100), &body(101)), "it has to wait for the next frame");

        let empty = |at| Frame { body: Body::default(), ..frame(at, 0) };
        for (at, bytes, segment) in
            [(start, room, 1), (start, room + 1, 1), (start + 10, room - 10, 1), (start + 10, room - 9, 2)]
        {
            let mut forming = empty(at);
            assert!(log.make_room(&mut forming, &body(bytes)));
            assert_eq!((forming.segment, forming.at), (segment, if segment == 1 { at } else { start }));
        }
    }
}

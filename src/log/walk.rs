//! Walks over a segment's frames, in order, and over what is damaged between them.

use std::{io, ops::RangeInclusive, sync::Arc};

use super::{
    disk::DiskFile,
    segment::{self, FRAME_BYTES_MIN, HASH_BYTES, HEAD_BYTES, Head, Soundness, Tenant},
};
use crate::id::{Digest, Seq};

const WINDOW_BYTES: usize = 256 << 10;

/// A segment as far as it belongs to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub number: u32,
    /// Sequence of the first entry.
    pub first: Seq,
    /// The hash that the first frame is chained to.
    pub link: Digest,
    /// Where the frames start in the file, and where they end.
    pub start: u64,
    pub end: u64,
    /// What the segment ends with: the sequence that follows, and the hash of its last frame. `None` if nobody knows.
    pub stop: Option<(Seq, Digest)>,
}

/// How closely frames are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Heads only: enough to find a sequence.
    Heads,
    /// Everything that the log itself can check.
    Whole,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A frame whose lengths and headers are as written; its payloads may not be.
    Frame { at: u64, head: Head, sound: bool },
    /// Bytes that are no frame where one should be, and the sequences that are lost with them.
    ///
    /// At the end of a segment whose end nobody knows, the range names the first sequence only.
    Damage { at: u64, seqs: RangeInclusive<Seq> },
    /// Nothing more.
    End,
}

pub(super) struct Walker {
    tenant: Tenant,
    window: Window,
    depth: Depth,
    stop: Option<(Seq, Digest)>,
    end: u64,
    /// Whether some damage was met.
    hurt: bool,
    /// Whether a frame may have any sequence.
    anywhere: bool,
    /// The hash that the damaged frame before should have: its stored one may be all that is damaged.
    due: Option<Digest>,
    /// Where the next frame starts, its first sequence, and the hash it is chained to.
    pub at: u64,
    pub next: Seq,
    pub link: Digest,
}

impl Walker {
    pub fn new(tenant: Tenant, file: Arc<dyn DiskFile>, span: &Span, depth: Depth) -> Walker {
        let window = Window { file, bytes: Vec::new(), start: 0, end: span.end };
        let Span { first, link, start, end, stop, .. } = *span;
        Walker {
            tenant,
            window,
            depth,
            stop,
            end,
            hurt: false,
            anywhere: false,
            due: None,
            at: start,
            next: first,
            link,
        }
    }

    /// Goes to the frame that starts at `at` with sequence `first`; both are from an index of sound frames.
    pub fn jump(&mut self, at: u64, first: Seq) -> io::Result<()> {
        if at != self.at {
            self.link = self.link_before(at)?;
            (self.at, self.next) = (at, first);
        }
        Ok(())
    }

    pub fn step(&mut self) -> io::Result<Step> {
        if self.at_stop() {
            return Ok(Step::End);
        }
        if self.at >= self.end {
            return Ok(self.ended());
        }
        let mut look = self.look(self.at, self.link)?;
        if let (Look::Damaged(..), Some(due)) = (&look, self.due) {
            look = self.look(self.at, due)?;
        }
        match look {
            Look::Frame(head, sound) if head.first == self.next => {
                let at = self.at;
                self.pass(&head)?;
                self.due = None;
                Ok(Step::Frame { at, head, sound })
            }
            Look::Damaged(head, due) if head.first == self.next && head.count > 0 => self.damage(Some(head), due),
            _ => self.damage(None, None),
        }
    }

    /// Whether there is any sound frame from here on, whatever its sequence.
    pub fn any_frame(&mut self) -> io::Result<bool> {
        self.anywhere = true;
        Ok(self.seek(self.at, Seq(1))?.is_some())
    }

    /// Goes past what is no frame, and says what is lost with it.
    fn damage(&mut self, head: Option<Head>, due: Option<Digest>) -> io::Result<Step> {
        let (at, first) = (self.at, self.next);
        self.hurt = true;
        self.due = None;
        let after = match head {
            Some(head) if at + head.frame_bytes() <= self.end => {
                self.pass(&head)?;
                self.due = due;
                Some(head.next())
            }
            // The frame reaches past the end: what it held is known all the same.
            Some(head) => self.seek(at + 1, head.next())?.or(Some(head.next())),
            None => self.seek(at + 1, first.next())?,
        };
        // Where nothing else is known, the first sequence is named.
        let last = after.map_or(first, |after| Seq(after.0.saturating_sub(1))).max(first);
        Ok(Step::Damage { at, seqs: first..=last })
    }

    fn at_stop(&self) -> bool {
        self.stop.is_some_and(|(seq, link)| seq == self.next && (link == self.link || Some(link) == self.due))
    }

    /// The bytes of a frame that a step has just named.
    pub fn frame(&mut self, at: u64, head: &Head) -> io::Result<&[u8]> {
        whole(self.window.get(at, head.frame_bytes() as usize)?, head)
    }

    fn ended(&mut self) -> Step {
        match self.stop.take() {
            Some((seq, link)) if self.next != seq || !self.hurt => {
                // The frames are sound and yet not those that the next segment was chained to: their last one is named.
                let first = if self.next < seq { self.next } else { Seq(seq.0.saturating_sub(1)) };
                (self.next, self.link) = (seq, link);
                Step::Damage { at: self.at, seqs: first..=Seq(seq.0.saturating_sub(1)).max(first) }
            }
            _ => Step::End,
        }
    }

    fn pass(&mut self, head: &Head) -> io::Result<()> {
        self.at += head.frame_bytes();
        self.link = self.link_before(self.at)?;
        self.next = head.next();
        Ok(())
    }

    fn link_before(&mut self, at: u64) -> io::Result<Digest> {
        let bytes = self.window.get(at - HASH_BYTES as u64, HASH_BYTES)?;
        if bytes.len() < HASH_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(segment::link_before(bytes, HASH_BYTES))
    }

    fn look(&mut self, at: u64, link: Digest) -> io::Result<Look> {
        let head = self.window.get(at, HEAD_BYTES)?;
        let Some(head) = Head::decode(head, &self.tenant) else { return Ok(Look::Nothing) };
        let beyond = self.stop.is_some_and(|(seq, _)| head.next() > seq);
        if at + head.frame_bytes() > self.end || beyond {
            return Ok(Look::Damaged(head, None));
        }
        if self.depth == Depth::Heads {
            return Ok(Look::Frame(head, true));
        }
        let frame = whole(self.window.get(at, head.frame_bytes() as usize)?, &head)?;
        Ok(match head.check(&self.tenant, &link, frame) {
            (Soundness::Whole, _) => Look::Frame(head, true),
            (Soundness::Headers, _) => Look::Frame(head, false),
            (Soundness::Damaged, due) => Look::Damaged(head, Some(due)),
        })
    }

    /// Goes to the first sound frame from `from` on that holds nothing before `least`, and gives its first sequence;
    /// to the end if there is none.
    ///
    /// A frame with earlier sequences is a leftover of another time: no frame of this log follows a later one.
    fn seek(&mut self, from: u64, least: Seq) -> io::Result<Option<Seq>> {
        let origin = self.at;
        for at in from..(self.end + 1).saturating_sub(FRAME_BYTES_MIN as u64).max(from) {
            let Some(head) = Head::decode_unchecked(self.window.get(at, HEAD_BYTES)?) else { continue };
            // The lost entries took some bytes, which bounds what can follow and spares most of the hashing.
            let likely = head.first >= least && (self.anywhere || head.first.0 - self.next.0 <= at - origin);
            if !likely || at + head.frame_bytes() > self.end {
                continue;
            }
            let link = self.link_before(at)?;
            if let Look::Frame(..) = self.look(at, link)? {
                (self.at, self.next, self.link) = (at, head.first, link);
                return Ok(Some(head.first));
            }
        }
        self.at = self.end;
        // Nothing can be said of the end any more that the caller is not told right now.
        let stop = self.stop.take();
        if let Some((seq, link)) = stop {
            (self.next, self.link) = (seq, link);
        }
        Ok(stop.map(|(seq, _)| seq))
    }
}

fn whole<'a>(frame: &'a [u8], head: &Head) -> io::Result<&'a [u8]> {
    if (frame.len() as u64) < head.frame_bytes() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(frame) }
}

enum Look {
    Frame(Head, bool),
    /// The head is as written, the rest is not; with the hash that the frame should have, where all of it is there.
    Damaged(Head, Option<Digest>),
    Nothing,
}

/// A part of a file in memory, moved along as it is read.
struct Window {
    file: Arc<dyn DiskFile>,
    bytes: Vec<u8>,
    start: u64,
    end: u64,
}

impl Window {
    /// `length` bytes from `at` on, or as many as there are before the end.
    fn get(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let wanted = (length as u64).min(self.end.saturating_sub(at)) as usize;
        let held = at >= self.start && at + wanted as u64 <= self.start + self.bytes.len() as u64;
        if !held {
            // A little from before comes along: the hash in front of a frame is asked for after the frame.
            let start = at.saturating_sub(HASH_BYTES as u64);
            let room = (self.end.saturating_sub(start)).min((wanted + HASH_BYTES).max(WINDOW_BYTES) as u64);
            self.bytes.resize(room as usize, 0);
            let read = self.file.read_full_at(&mut self.bytes, start)?;
            self.bytes.truncate(read);
            self.start = start;
        }
        let from = ((at - self.start) as usize).min(self.bytes.len());
        let to = (from + wanted).min(self.bytes.len());
        Ok(&self.bytes[from..to])
    }
}

//! Checks everything that is in the log, and names what is not as it was written.

use std::{fmt, ops::RangeInclusive};

use super::{
    Log, LogError,
    entry::Entries,
    segment::{HEAD_BYTES, HEADER_BYTES_MAX, Head, Header},
    walk::{Depth, Span, Step, Walker},
};
use crate::id::Seq;

/// Progress is told at most once for so many bytes.
const PROGRESS_BYTES: u64 = 1 << 20;

/// What is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A segment's own header; its entries may well be sound.
    Header,
    /// The headers of entries, or the hash over them.
    Frame,
    /// Only payloads.
    Payload,
    /// Entries that should be there and are not.
    Missing,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FaultKind::Header => "the segment's header is damaged",
            FaultKind::Frame => "the frame is damaged",
            FaultKind::Payload => "the payload is damaged",
            FaultKind::Missing => "the entries are missing",
        })
    }
}

/// One place where the log is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The entries it concerns; for a header, the segment's first one.
    pub seqs: RangeInclusive<Seq>,
    /// The segment's number.
    pub segment: u32,
    /// The byte in the segment's file where the damaged part starts.
    pub at: u64,
    /// What it is.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.seqs.start(), self.seqs.end());
        write!(f, "entries {first} to {last}: {} (segment {}, byte {})", self.kind, self.segment, self.at)
    }
}

/// What a check of the whole log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Entries that are sound.
    pub events: u64,
    /// Bytes that were checked.
    pub bytes: u64,
    /// What is damaged, in order; empty: nothing is.
    pub faults: Vec<Fault>,
}

impl Log {
    /// Checks every durable byte: segment headers, the chain of frames, and each payload by `check_payload(header, payload)`.
    ///
    /// `progress` is told how many bytes are done.
    ///
    /// # Errors
    /// If the disk fails; damage is no error but a [`Fault`].
    pub fn verify(
        &self,
        check_payload: &dyn Fn(&[u8], &[u8]) -> bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Verified, LogError> {
        let mut verified = Verified::default();
        let mut due = Seq(1);
        for span in self.segments.spans() {
            if span.first > due {
                let seqs = due..=Seq(span.first.0 - 1);
                verified.faults.push(Fault { seqs, segment: span.number, at: 0, kind: FaultKind::Missing });
            }
            due = self.verify_segment(&span, check_payload, progress, &mut verified)?;
        }
        progress(verified.bytes);
        Ok(verified)
    }

    /// Checks one segment and gives the sequence that should follow it.
    fn verify_segment(
        &self,
        span: &Span,
        check_payload: &dyn Fn(&[u8], &[u8]) -> bool,
        progress: &mut dyn FnMut(u64),
        verified: &mut Verified,
    ) -> Result<Seq, LogError> {
        let Span { number: segment, first, start, .. } = *span;
        let file = self.segments.file(segment)?;
        let mut header = [0; HEADER_BYTES_MAX];
        let got = file.read_full_at(&mut header, 0).map_err(self.segments.io_error("read", segment))?;
        let due = Header { number: segment, first, tenant: self.segments.tenant.clone(), link: span.link };
        if Header::decode(&header[..got]) != Ok(due) {
            verified.faults.push(Fault { seqs: first..=first, segment, at: 0, kind: FaultKind::Header });
        }
        verified.bytes += start;

        let mut walker = Walker::new(self.segments.tenant.clone(), file, span, Depth::Whole);
        let (mut done, mut told) = (start, start);
        loop {
            match walker.step().map_err(self.segments.io_error("read", segment))? {
                Step::End => break,
                Step::Damage { at, seqs } => {
                    verified.faults.push(Fault { seqs, segment, at, kind: FaultKind::Frame });
                }
                Step::Frame { at, head, sound } => {
                    let frame = walker.frame(at, &head).map_err(self.segments.io_error("read", segment))?;
                    let faults = faulty_payloads(frame, segment, at, &head, sound, check_payload);
                    let faulty: u64 = faults.iter().map(|fault| fault.seqs.end().0 - fault.seqs.start().0 + 1).sum();
                    verified.events += u64::from(head.count) - faulty;
                    verified.faults.extend(faults);
                }
            }
            verified.bytes += walker.at - done;
            done = walker.at;
            if done >= told + PROGRESS_BYTES {
                told = done;
                progress(verified.bytes);
            }
        }
        Ok(walker.next)
    }
}

/// The entries of a frame, whose headers are sound, that have another payload than they should.
fn faulty_payloads(
    frame: &[u8],
    segment: u32,
    frame_at: u64,
    head: &Head,
    sound: bool,
    check_payload: &dyn Fn(&[u8], &[u8]) -> bool,
) -> Vec<Fault> {
    let body = &frame[HEAD_BYTES..HEAD_BYTES + head.body_bytes as usize];
    let fault =
        |first: u64, last: u64, at: u64| Fault { seqs: Seq(first)..=Seq(last), segment, at, kind: FaultKind::Payload };
    let mut faults: Vec<Fault> = Entries::of(body)
        .flatten()
        .zip(head.first.0..)
        .filter(|(entry, _)| entry.id().is_none() || !check_payload(entry.header, entry.payload))
        .map(|(entry, seq)| fault(seq, seq, frame_at + (HEAD_BYTES + entry.at) as u64))
        .collect();
    if !sound && faults.is_empty() && head.count > 0 {
        // The caller's check passes everything, but the frame's own does not.
        faults.push(fault(head.first.0, head.next().0 - 1, frame_at));
    }
    faults
}

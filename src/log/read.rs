//! The ways to an entry: by its place, by its sequence, and all of them in order.

use std::{sync::Arc, vec};

use super::{
    ENTRY_BYTES_MAX, Log, LogError,
    entry::{ENTRY_BYTES_MIN, Entries, Extent, RawEntry},
    segment::{HEAD_BYTES, Head},
    segments::Segments,
    walk::{Depth, Span, Step, Walker},
};
use crate::id::{EventId, Place, Seq};

/// Most entries are shorter than this, so one read gets them.
const READ_BYTES: usize = 1 << 10;

/// An entry's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedEntry {
    /// The id that the header's bytes make.
    pub id: EventId,
    /// The header, as it was appended.
    pub header: Vec<u8>,
    /// The payload; whoever uses it checks it against the hash in the header.
    pub payload: Vec<u8>,
}

impl OwnedEntry {
    /// The entry as its own bytes; `None` if its header is not the one that the prefix was made from.
    pub(super) fn checked(entry: RawEntry<'_>) -> Option<OwnedEntry> {
        let id = entry.id()?;
        Some(OwnedEntry { id, header: entry.header.to_vec(), payload: entry.payload.to_vec() })
    }
}

/// An entry, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence.
    pub seq: Seq,
    /// Where it starts.
    pub place: Place,
    /// The header, as it was appended.
    pub header: Vec<u8>,
    /// The payload, as it was appended.
    pub payload: Vec<u8>,
}

impl Log {
    /// The entry at a place, durable or not.
    ///
    /// The header is checked against the first bytes of its id; the payload is the caller's to check.
    ///
    /// # Errors
    /// If no entry starts there, or its header is damaged.
    pub fn read(&self, place: Place) -> Result<OwnedEntry, LogError> {
        if let Some(entry) = self.pending.entry_at(place) {
            return Ok(entry);
        }
        let none = || LogError::NoEntry { place };
        let span = self.segments.span(place.segment()).ok_or_else(none)?;
        let at = u64::from(place.offset());
        if at < span.start + HEAD_BYTES as u64 || at + ENTRY_BYTES_MIN as u64 > span.end {
            return Err(none());
        }
        let file = self.segments.file(span.number)?;
        let read = |bytes: &mut [u8]| file.read_full_at(bytes, at).map_err(self.segments.io_error("read", span.number));
        let mut buffer = [0; READ_BYTES];
        let got = read(&mut buffer)?;
        let extent = Extent::of(&buffer[..got]).ok_or_else(none)?.bytes();
        if extent > ENTRY_BYTES_MAX + 64 || at + extent as u64 > span.end {
            return Err(none());
        }
        let mut long = Vec::new();
        let bytes = if extent <= got {
            &buffer[..extent]
        } else {
            long.resize(extent, 0);
            let got = read(&mut long)?;
            &long[..got]
        };
        RawEntry::first_of(bytes).and_then(OwnedEntry::checked).ok_or_else(none)
    }

    /// The place of a sequence, durable or not.
    ///
    /// # Errors
    /// If there is no such sequence, or the frame that holds it is damaged.
    pub fn find(&self, seq: Seq) -> Result<Place, LogError> {
        if let Some(place) = self.pending.place_of(seq) {
            return Ok(place);
        }
        let spans = self.segments.spans();
        let at = spans.partition_point(|span| span.first <= seq).checked_sub(1).ok_or(LogError::NoSeq { seq })?;
        let mut scan = Scan::over(Arc::clone(&self.segments), spans[at..=at].to_vec(), seq);
        scan.lenient = true;
        let found = scan.frame_of(seq)?;
        found.ok_or(LogError::NoSeq { seq })
    }

    /// All durable entries from `from` on, in order.
    ///
    /// Where entries are damaged, the iterator says which ones, once, and goes on behind them. It takes frames
    /// as a whole: of one with a damaged payload the others may still be had by [`Log::find`] and [`Log::read`].
    pub fn scan(&self, from: Seq) -> Scan {
        let mut spans = self.segments.spans();
        // To find a place in a segment all heads before it are read: not for nothing, which is what follows a clean close.
        let skipped = match from > self.durable() {
            true => spans.len(),
            false => spans.partition_point(|span| span.first <= from).saturating_sub(1),
        };
        spans.drain(..skipped);
        Scan::over(Arc::clone(&self.segments), spans, from)
    }
}

/// Goes over entries in order; see [`Log::scan`].
pub struct Scan {
    segments: Arc<Segments>,
    spans: vec::IntoIter<Span>,
    walk: Option<(Span, Walker)>,
    from: Seq,
    /// The sequence that comes next, if none is missing.
    due: Seq,
    ready: vec::IntoIter<Stored>,
    /// Frames with damaged payloads will do: only places are asked for.
    lenient: bool,
    over: bool,
}

impl Scan {
    fn over(segments: Arc<Segments>, spans: Vec<Span>, from: Seq) -> Scan {
        let due = from.max(Seq(1));
        let (spans, ready) = (spans.into_iter(), Vec::new().into_iter());
        Scan { segments, spans, walk: None, from, due, ready, lenient: false, over: false }
    }

    /// The place of `seq`, which is in the first segment.
    fn frame_of(&mut self, seq: Seq) -> Result<Option<Place>, LogError> {
        match self.advance() {
            Some(Ok(())) => Ok(self.ready.find(|stored| stored.seq == seq).map(|stored| stored.place)),
            Some(Err(LogError::Corrupt { seqs, segment })) if seqs.contains(&seq) => {
                Err(LogError::Corrupt { seqs, segment })
            }
            Some(Err(why @ LogError::Io { .. })) => Err(why),
            _ => Ok(None),
        }
    }

    /// Moves to the next frame with entries that are asked for; `None` at the end.
    fn advance(&mut self) -> Option<Result<(), LogError>> {
        loop {
            if self.walk.is_none() {
                let span = self.spans.next()?;
                match self.enter(span) {
                    Ok(()) => {}
                    Err(why) => return Some(Err(why)),
                }
                if span.first > self.due {
                    let seqs = self.due..=Seq(span.first.0 - 1);
                    self.due = span.first;
                    return Some(Err(LogError::Corrupt { seqs, segment: span.number }));
                }
            }
            let (span, walker) = self.walk.as_mut().expect("a segment was entered");
            let number = span.number;
            match walker.step() {
                Err(source) => return Some(Err(self.segments.io_error("read", number)(source))),
                Ok(Step::End) => self.walk = None,
                Ok(Step::Damage { seqs, .. }) if *seqs.end() < self.due => {}
                Ok(Step::Damage { seqs, .. }) => {
                    self.due = seqs.end().next();
                    return Some(Err(LogError::Corrupt { seqs, segment: number }));
                }
                Ok(Step::Frame { head, .. }) if head.next() <= self.due => {}
                Ok(Step::Frame { head, sound: false, .. }) if !self.lenient => {
                    self.due = head.next();
                    let seqs = head.first..=Seq(head.next().0 - 1);
                    return Some(Err(LogError::Corrupt { seqs, segment: number }));
                }
                Ok(Step::Frame { at, head, .. }) => {
                    self.due = head.next();
                    match walker.frame(at, &head) {
                        Err(source) => return Some(Err(self.segments.io_error("read", number)(source))),
                        Ok(frame) => self.ready = stored(frame, number, at, &head, self.from).into_iter(),
                    }
                    return Some(Ok(()));
                }
            }
        }
    }

    fn enter(&mut self, span: Span) -> Result<(), LogError> {
        let file = self.segments.file(span.number)?;
        let mut walker = Walker::new(self.segments.tenant.clone(), file, &span, Depth::Whole);
        if self.due > span.first
            && let Some((first, at)) = self.segments.frame_before(&span, self.due)?
        {
            walker.jump(at, first).map_err(self.segments.io_error("read", span.number))?;
        }
        self.walk = Some((span, walker));
        Ok(())
    }
}

fn stored(frame: &[u8], segment: u32, at: u64, head: &Head, from: Seq) -> Vec<Stored> {
    let body = &frame[HEAD_BYTES..HEAD_BYTES + head.body_bytes as usize];
    let skipped = usize::try_from(from.0.saturating_sub(head.first.0)).unwrap_or(usize::MAX);
    let mut entries = Vec::with_capacity((head.count as usize).saturating_sub(skipped));
    for (nth, entry) in Entries::of(body).flatten().enumerate().skip(skipped) {
        let offset = at + (HEAD_BYTES + entry.at) as u64;
        let place = Place::new(segment, u32::try_from(offset).expect("an offset in a segment is below 4 GiB"));
        let (header, payload) = (entry.header.to_vec(), entry.payload.to_vec());
        entries.push(Stored { seq: Seq(head.first.0 + nth as u64), place, header, payload });
    }
    entries
}

impl Iterator for Scan {
    type Item = Result<Stored, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(stored) = self.ready.next() {
                return Some(Ok(stored));
            }
            if self.over {
                return None;
            }
            match self.advance() {
                Some(Ok(())) => {}
                // Damage can be passed; when the disk fails, where to go on is not known.
                Some(Err(why)) => {
                    self.over = !matches!(why, LogError::Corrupt { .. });
                    return Some(Err(why));
                }
                None => self.over = true,
            }
        }
    }
}

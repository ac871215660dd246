//! Writes frames at the log's end, one durable after the other, and begins new segments.

use std::{io, sync::Arc};

use super::{
    append::Frame,
    disk::DiskFile,
    segment::{Body, Header},
    segments::Segments,
    walk::Span,
};
use crate::id::{Digest, Seq};

/// A larger buffer is not kept: one huge frame should not hold its memory for good.
const KEPT_BYTES: usize = 4 << 20;

/// Where a log that was created or recovered goes on.
#[derive(Clone, Copy)]
pub(super) struct Tip {
    /// The last segment.
    pub span: Span,
    /// The next frame's first sequence, and what it is chained to.
    pub next: Seq,
    pub link: Digest,
    /// The file ends with the mark of a clean close, over which the next frame is written.
    pub marked: bool,
}

/// What the writing thread holds.
pub(super) struct Writer {
    segments: Arc<Segments>,
    file: Arc<dyn DiskFile>,
    tip: Tip,
    out: Vec<u8>,
}

impl Writer {
    pub fn new(segments: Arc<Segments>, file: Arc<dyn DiskFile>, tip: Tip) -> Writer {
        Writer { segments, file, tip, out: Vec::new() }
    }

    /// Makes a frame durable.
    pub fn write(&mut self, frame: &Frame) -> io::Result<()> {
        self.out.clear();
        if frame.segment == self.tip.span.number {
            self.extend(frame)?
        } else {
            self.roll(frame)?
        }
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
        Ok(())
    }

    fn extend(&mut self, frame: &Frame) -> io::Result<()> {
        let link = frame.body.write_frame(&mut self.out, &self.segments.tenant, frame.first, &self.tip.link);
        self.file.write_at(&self.out, frame.at)?;
        self.file.sync()?;
        self.tip.span.end = frame.end();
        self.tip = Tip { next: frame.next(), link, marked: false, ..self.tip };
        self.segments.grew(frame.at, frame.first, frame.end(), (frame.next(), link));
        Ok(())
    }

    /// Begins the next segment with this frame: both are durable before the segment has its name.
    fn roll(&mut self, frame: &Frame) -> io::Result<()> {
        if self.tip.marked {
            // Needs no sync: if it is lost, the next segment's header says where this one ends.
            self.file.set_len(self.tip.span.end)?;
        }
        let (number, first, before) = (frame.segment, frame.first, self.tip.link);
        let tenant = &self.segments.tenant;
        let header = Header { number, first, tenant: tenant.clone(), link: before };
        self.out.extend_from_slice(&header.encode());
        let link = frame.body.write_frame(&mut self.out, tenant, first, &before);
        self.file = self.segments.publish(number, &self.out)?;
        let (start, end, stop) = (tenant.header_bytes(), frame.end(), Some((frame.next(), link)));
        let span = Span { number, first, link: before, start, end, stop };
        self.tip = Tip { span, next: frame.next(), link, marked: false };
        self.segments.opened(span);
        Ok(())
    }

    /// Leaves the mark of a clean close: a frame without entries, which says that all before it is durable.
    ///
    /// It needs no sync. If it is lost, the log opens as after a crash.
    pub fn mark(&mut self) -> io::Result<()> {
        if self.tip.marked {
            return Ok(());
        }
        self.out.clear();
        Body::default().write_frame(&mut self.out, &self.segments.tenant, self.tip.next, &self.tip.link);
        self.file.write_at(&self.out, self.tip.span.end)
    }
}

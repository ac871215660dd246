//! Which statement bears a source's number: of several the one with the smallest content, on whatever record it is.
//!
//! Who is one with whom is no part of that, because it may change at any time. Of one record the fold itself sees all
//! copies; what bears the number on any other record is out of effect.

use std::{collections::hash_map::Entry, sync::Arc};

use rustc_hash::FxHashMap;

use super::{EngineError, core::Core, stored::read_event};
use crate::{id::Seq, log::Log, merge::Heard, state::Pages};

/// Pages of a source's numbers that are kept in memory, each a few kilobytes.
const PAGES_KEPT: usize = 1024;

impl Core {
    /// Notes the number under which a statement was made, and takes the greater of two contents out of effect.
    pub(super) fn note_name(&mut self, log: &Log, heard: &Heard) -> Result<(), EngineError> {
        let header = &heard.event.header;
        let (Some(source), Some(number)) = (header.named.source(), header.said_seq) else { return Ok(()) };
        let known = self.numbered(source, number)?.filter(|seq| *seq < heard.seq);
        let Some(other) = known else { return self.set_number(source, number, heard.seq) };
        let theirs = read_event(log, &self.key, other, log.find(other)?)?;
        let is_smaller = (heard.event.content(), &*header.record) < (theirs.content(), &*theirs.header.record);
        let one_record = header.record == theirs.header.record;
        if is_smaller {
            // A page is never newer than the checkpoint that is in force: whatever a crash leaves, replay finds who bore the
            // number until then.
            self.set_number(source, number, heard.seq)?;
        }
        let book = Arc::make_mut(&mut self.book);
        if !is_smaller {
            if !one_record && book.add_void(header.said) {
                self.void.push(header.said);
            }
            return Ok(());
        }
        // An earlier copy on this record may have lost against the one that loses now.
        if book.remove_void(&header.said) {
            self.void.retain(|said| *said != header.said);
        }
        if !one_record {
            if book.add_void(theirs.header.said) {
                self.void.push(theirs.header.said);
            }
            let record = self.canonical(&theirs.header.record)?;
            self.refold_one(log, &record)?;
        }
        Ok(())
    }

    /// The event that bears a source's number.
    pub fn numbered(&mut self, source: &str, number: u64) -> Result<Option<Seq>, EngineError> {
        let (page, offset) = Pages::place(number);
        Ok(self.page(source, page)?.0.get(offset))
    }

    fn set_number(&mut self, source: &str, number: u64, seq: Seq) -> Result<(), EngineError> {
        let (page, offset) = Pages::place(number);
        let page = self.page(source, page)?;
        page.0.set(offset, seq);
        page.1 = true;
        Ok(())
    }

    fn page(&mut self, source: &str, page: u64) -> Result<&mut (Pages, bool), EngineError> {
        if !self.pages.contains_key(source) {
            self.pages.insert(source.into(), FxHashMap::default());
        }
        let pages = self.pages.get_mut(source).expect("the source was just put in memory");
        match pages.entry(page) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(free) => Ok(free.insert((self.store.page(source, page)?, false))),
        }
    }

    /// Writes out the pages that have changed; where there are many, they leave memory.
    pub(super) fn write_pages(&mut self) -> Result<(), EngineError> {
        for (source, pages) in &mut self.pages {
            for (page, (numbers, changed)) in pages.iter_mut().filter(|(_, (_, changed))| *changed) {
                self.store.put_page(source, *page, numbers)?;
                *changed = false;
            }
            if pages.len() > PAGES_KEPT {
                pages.clear();
            }
        }
        Ok(())
    }

    /// As [`Core::write_pages`], where there are many.
    pub(super) fn shed_pages(&mut self) -> Result<(), EngineError> {
        let many = self.pages.values().any(|pages| pages.len() > PAGES_KEPT);
        if many { self.write_pages() } else { Ok(()) }
    }
}

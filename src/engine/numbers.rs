//! Which statement bears a source's number: of several the one with the smallest content, on whatever record it is.
//!
//! Who is one with whom is no part of that, because it may change at any time. Of one record the fold itself sees all
//! copies; what bears the number on any other record is out of effect.

use std::sync::Arc;

use super::{
    EngineError,
    core::{Core, read_event},
};
use crate::{id::Seq, log::Log, merge::Heard, state::Pages};

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
            // A page that a crash left newer than its checkpoint would not tell who bore the number until then.
            self.renumbered = true;
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
        // Two look-ups, because a key with an owned name is only made when the page is new.
        let key = (Box::<str>::from(source), page);
        if !self.pages.contains_key(&key) {
            let read = self.store.page(source, page)?;
            self.pages.insert(key.clone(), (read, false));
        }
        Ok(self.pages.get_mut(&key).expect("the page was just put in memory"))
    }
}

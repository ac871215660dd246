//! Which statement bears a source's number: of several the one with the smallest content, on whatever record it is.
//!
//! Who is one with whom is no part of that, because it may change at any time. Of one record the fold itself sees all
//! copies; what bears the number on any other record is out of effect.

use std::{collections::hash_map::Entry, sync::Arc};

use rustc_hash::FxHashMap;

use super::{EngineError, core::Core, stored::read_event};
use crate::{id::Seq, log::Log, merge::Heard, state::Pages};

/// So many pages of sources' numbers are kept in memory, each a few kilobytes.
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

    /// The event that bears a source's number; nothing is kept in memory for who only asks.
    pub fn numbered(&self, source: &str, number: u64) -> Result<Option<Seq>, EngineError> {
        let (page, offset) = Pages::place(number);
        match self.pages.get(source).and_then(|pages| pages.get(&page)) {
            Some((numbers, _)) => Ok(numbers.get(offset)),
            None => Ok(self.store.page(source, page)?.get(offset)),
        }
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
        }
        if self.has_many_pages() {
            self.pages.clear();
        }
        Ok(())
    }

    /// As [`Core::write_pages`], where there are many.
    pub(super) fn shed_pages(&mut self) -> Result<(), EngineError> {
        if self.has_many_pages() { self.write_pages() } else { Ok(()) }
    }

    fn has_many_pages(&self) -> bool {
        self.pages.values().map(FxHashMap::len).sum::<usize>() > PAGES_KEPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Millis,
        engine::Engine,
        event::{Author, Draft, Kind, Named, Origin},
        id::{FieldName, RecordId, SideName},
        value::Value,
    };

    fn numbered(source: &str) -> Draft {
        let side = SideName::new("portal").expect("a good name");
        let record = RecordId::new(&source.replace("api", "contact")).expect("a good id");
        let mut draft = Draft::new(Kind::Edit, record, Origin::side(side), Millis(1_000), Author::user("ana"));
        draft.words = vec![(FieldName::new("phone").expect("a good name"), Value::text(source))];
        (draft.named, draft.said_seq) = (Named::of(source), Some(0));
        draft
    }

    #[test]
    fn however_many_sources_there_are_few_of_their_pages_stay_in_memory() {
        let dir = tempfile::tempdir().expect("a directory");
        let (engine, _) = Engine::builder(dir.path().join("store")).open().expect("it opens");
        let sources: Vec<String> = (0..PAGES_KEPT + 500).map(|number| format!("api/{number}")).collect();
        let known =
            || sources.iter().filter(|source| engine.numbered(source, 0).expect("it is asked").is_some()).count();
        assert_eq!(known(), 0);
        assert!(engine.core().expect("open").pages.is_empty(), "a source that has nothing is not kept");
        for some in sources.chunks(100) {
            engine.say(some.iter().map(|source| numbered(source)).collect()).expect("it is said");
        }
        let kept = || -> Vec<usize> {
            let core = engine.core().expect("open");
            core.pages.values().map(FxHashMap::len).collect()
        };
        assert!((1..=PAGES_KEPT).contains(&kept().iter().sum()), "{:?}", kept());
        assert_eq!(known(), sources.len());
        engine.checkpoint().expect("the disk works");
        assert_eq!(known(), sources.len());
        assert!(kept().iter().sum::<usize>() <= PAGES_KEPT && !kept().contains(&0), "{:?}", kept());
    }
}

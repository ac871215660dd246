//! What has happened since a place in the log.

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::{Position, Reader, json, permit::Permit, shown_name};
use crate::{
    clock::Millis,
    engine::EngineError,
    event::{Author, Event, Kind},
    id::{self, EventId, FieldName, RecordId, Seq, SideName},
    log::Stored,
    value::Value,
};

/// One event of the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogChange {
    /// Its place in the log.
    pub seq: Seq,
    /// Its id.
    #[serde(serialize_with = "json::printed")]
    pub id: EventId,
    /// What kind of statement.
    pub kind: Kind,
    /// The record; the empty id stands for the whole tenant.
    pub record: RecordId,
    /// The side that said it, or that it is about.
    pub side: SideName,
    /// Who said it.
    pub author: Author,
    /// When, by the side's clock.
    #[serde(flatten, serialize_with = "json::said_at")]
    pub said_at: Millis,
    /// The fields that it speaks of, with their values.
    #[serde(serialize_with = "json::fields")]
    pub fields: Vec<(FieldName, Value)>,
}

impl Reader {
    /// Up to `most` events after a cursor, in the order of the log, and the cursor that comes next.
    ///
    /// The first cursor is 0. Only what is on disk is told, so nothing that was told is ever taken back. An empty answer
    /// means that there is nothing more yet; [`Engine::subscribe`](crate::engine::Engine::subscribe) tells when there is:
    ///
    /// ```
    /// use syncline::{
    ///     engine::Engine,
    ///     history::{Edit, Principal},
    ///     id::{FieldName, RecordId, SideName},
    ///     value::Value,
    /// };
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("store");
    /// let (engine, _) = Engine::builder(path).open()?;
    /// let mut newest = engine.subscribe();
    /// let reader = engine.read(&Principal::operator());
    /// let mut cursor = *newest.borrow_and_update();
    ///
    /// let edit = Edit::of(RecordId::new("contact/1")?, SideName::new("crm")?);
    /// let edit = edit.set(FieldName::new("city")?, Value::text("Bern"));
    /// let shared = engine.clone();
    /// let writer = std::thread::spawn(move || shared.edit(&Principal::operator(), edit));
    ///
    /// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// runtime.block_on(async {
    ///     // A caller that keeps its cursor somewhere safe goes on from there after a restart.
    ///     newest.changed().await?;
    ///     let (changes, next) = reader.changes_since(cursor, 100)?;
    ///     cursor = next;
    ///     assert_eq!(&*changes[0].record, "contact/1");
    ///     assert_eq!(changes[0].fields[0].1, Value::text("Bern"));
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// })?;
    /// assert_eq!(reader.changes_since(cursor, 100)?, (vec![], cursor));
    /// writer.join().expect("the writer did not panic")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Events that the principal may not know of are passed over: the cursor steps over them, too, and an answer ends only
    /// when it is full or the log is at its end. Who hands cursors to people may want to seal them, since they count all
    /// events of the tenant. What is told is what may be read now: what happened to a record before it came among a
    /// role's rows, or to one that has left them, is told to whoever asks from a cursor before it.
    ///
    /// # Errors
    /// If the event right after the cursor is damaged, with the sequences that are; events before it are told first. Who
    /// wants to go on without them takes the last of those sequences as the cursor.
    pub fn changes_since(&self, cursor: Seq, most: usize) -> Result<(Vec<LogChange>, Seq), EngineError> {
        let last = match self.position {
            Position::Seq(last) => last.min(self.engine.durable()),
            Position::Now | Position::Time(_) => self.engine.durable(),
        };
        let (mut changes, mut next) = (Vec::new(), cursor);
        if cursor >= last || most == 0 {
            return Ok((changes, next));
        }
        let book = self.book()?;
        let mut shown = Shown { permit: self.permit()?, seen: FxHashMap::default() };
        for stored in self.engine.scan(cursor.next()) {
            let change = match stored.map_err(EngineError::from).and_then(|stored| self.change_of(stored)) {
                Ok(change) if change.seq > last => break,
                Ok(change) => change,
                Err(_) if !changes.is_empty() => break,
                Err(why) => return Err(why),
            };
            next = change.seq;
            let said = match self.position {
                Position::Time(until) => book.corrected(&change.side, change.said_at) <= until,
                Position::Now | Position::Seq(_) => true,
            };
            changes.extend(shown.of(self, change)?.filter(|_| said));
            if changes.len() >= most || next >= last {
                break;
            }
        }
        Ok((changes, next))
    }

    /// An event as it lies in the log, with all it says.
    fn change_of(&self, stored: Stored) -> Result<LogChange, EngineError> {
        let seq = stored.seq;
        let event = Event::read(&stored.header, &stored.payload, |header| self.engine.record_key(&header.record))
            .map_err(|source| EngineError::Event { seq, source })?;
        let fields = event.words().map(|(name, value)| (shown_name(name), value.clone())).collect();
        let header = event.header;
        Ok(LogChange {
            seq,
            id: id::event_id(&stored.header),
            kind: header.kind,
            record: header.record,
            side: header.origin.side,
            author: header.author,
            said_at: header.said_at,
            fields,
        })
    }
}

/// What is told of events to one principal.
struct Shown {
    permit: Permit,
    /// Whether a record is there for the principal; found out once for a call.
    seen: FxHashMap<RecordId, bool>,
}

impl Shown {
    /// An event without what may not be read; `None` if nothing is left of it.
    fn of(&mut self, reader: &Reader, mut change: LogChange) -> Result<Option<LogChange>, EngineError> {
        if self.permit.limits().is_none() {
            return Ok(Some(change));
        }
        if !self.sees(reader, &change.record)? {
            return Ok(None);
        }
        let kind = change.record.kind();
        let was_bare = change.fields.is_empty();
        change.fields.retain(|(name, _)| self.permit.reads(kind, name));
        let is_told = if was_bare { self.permit.reads_all(kind) } else { !change.fields.is_empty() };
        if is_told {
            change.author = self.permit.author(&reader.engine, &change.author);
        }
        Ok(Some(change).filter(|_| is_told))
    }

    fn sees(&mut self, reader: &Reader, id: &RecordId) -> Result<bool, EngineError> {
        if let Some(seen) = self.seen.get(id) {
            return Ok(*seen);
        }
        let now = Reader { position: Position::Now, ..reader.clone() };
        let seen = now.whole_record(id)?.is_some();
        self.seen.insert(id.clone(), seen);
        Ok(seen)
    }
}

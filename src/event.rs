//! The event: one statement about one record, as it lies in the log.
//!
//! A header says who, when, about what, and commits to the payload by a keyed hash; the payload
//! holds the values. Both are stored as the canonical bytes of [`codec`], and
//! the [`EventId`] is the hash of the header's bytes as stored.

mod detail;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    clock::{Hlc, Millis},
    codec::{self, CodecError},
    id::{self, EventId, FieldName, PayloadHash, RecordId, RecordKey, SaidId, SideName},
    value::{Value, Veiled},
};

pub use detail::Detail;

/// The version of the event format that this build writes.
pub const FORMAT: u8 = 1;
/// The largest event, header and payload together, in bytes.
pub const EVENT_BYTES_MAX: usize = 4 << 20;

/// What kind of statement an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A side changed fields.
    Edit,
    /// A side made the record, with these fields.
    Create,
    /// A side deleted the record.
    Delete,
    /// A side brought the record back.
    Restore,
    /// A side's id was joined to the record.
    Link,
    /// A side's id was parted from the record.
    Unlink,
    /// A side merged another record into this one.
    Absorb,
    /// A side joined the record to another.
    Associate,
    /// A side parted the record from another.
    Dissociate,
    /// A read-back saw these values.
    Observe,
    /// A write is about to leave for the side.
    Sent,
    /// The side has taken a write.
    Receipt,
    /// The side already shows what was resolved; no write was needed.
    Settled,
    /// The side, or the engine for it, refused a write for good.
    Refused,
    /// Fields, or the record, wait for a person.
    Parked,
    /// What was parked goes on.
    Released,
    /// A person settled a conflict.
    Decide,
    /// The rules changed; `said_at` is the time from which they hold.
    Manifest,
    /// A side's clock was measured.
    Clock,
}

impl Kind {
    /// Whether a side, or a person, says something with it; the others are the engine's own records.
    pub fn is_said(self) -> bool {
        !matches!(
            self,
            Kind::Sent
                | Kind::Receipt
                | Kind::Settled
                | Kind::Refused
                | Kind::Parked
                | Kind::Released
                | Kind::Manifest
                | Kind::Clock
        )
    }

    /// The kind's name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Edit => "edit",
            Kind::Create => "create",
            Kind::Delete => "delete",
            Kind::Restore => "restore",
            Kind::Link => "link",
            Kind::Unlink => "unlink",
            Kind::Absorb => "absorb",
            Kind::Associate => "associate",
            Kind::Dissociate => "dissociate",
            Kind::Observe => "observe",
            Kind::Sent => "sent",
            Kind::Receipt => "receipt",
            Kind::Settled => "settled",
            Kind::Refused => "refused",
            Kind::Parked => "parked",
            Kind::Released => "released",
            Kind::Decide => "decide",
            Kind::Manifest => "manifest",
            Kind::Clock => "clock",
        }
    }
}

/// Who said it: a side, its id for the record, and the node where the side writes on several.
///
/// For the engine's own records it is the side that they are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The side.
    pub side: SideName,
    /// The side's own id for the record; `None`: the record's own.
    pub link: Option<Box<str>>,
    /// The node, for sides that write on several.
    pub node: Option<Box<str>>,
}

impl Origin {
    /// A side that uses the record's own id and writes on one node.
    pub fn side(side: SideName) -> Self {
        Origin { side, link: None, node: None }
    }
}

/// What sort of author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum AuthorKind {
    /// The side did not say.
    #[default]
    Unnamed,
    /// A person.
    User,
    /// Another program.
    Integration,
    /// The side itself.
    System,
    /// This engine: the side names our own write.
    Ours,
}

/// The author of a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Author {
    /// What sort.
    pub kind: AuthorKind,
    /// The author's id, as the side writes it.
    pub id: Box<str>,
    /// The contact on whose behalf.
    pub contact: Option<Box<str>>,
    /// The company on whose behalf.
    pub company: Option<Box<str>>,
}

impl Author {
    /// A person.
    pub fn user(id: &str) -> Self {
        Author { kind: AuthorKind::User, id: id.into(), ..Author::default() }
    }

    /// The engine itself.
    pub fn engine() -> Self {
        Author { kind: AuthorKind::Ours, id: "syncline".into(), ..Author::default() }
    }

    /// Whether the side names an author who is not this engine.
    pub fn is_another(&self) -> bool {
        !matches!(self.kind, AuthorKind::Unnamed | AuthorKind::Ours)
    }
}

/// Under which name, unique among all that the tenant's sides say, a statement was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub enum Named {
    /// Under none: its content is its name.
    #[default]
    Not,
    /// Under `said_seq` of the default source.
    Default,
    /// Under `said_seq` of this source.
    Source(Box<str>),
}

/// The source of statements that are numbered without naming one.
pub const DEFAULT_SOURCE: &str = "import";

impl Named {
    /// The statement's name in this source.
    pub fn of(source: &str) -> Self {
        if source == DEFAULT_SOURCE { Named::Default } else { Named::Source(source.into()) }
    }

    /// The source; `None` if the statement has no name.
    pub fn source(&self) -> Option<&str> {
        match self {
            Named::Not => None,
            Named::Default => Some(DEFAULT_SOURCE),
            Named::Source(source) => Some(source),
        }
    }
}

/// Everything about an event but its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format's version, [`FORMAT`].
    pub format: u8,
    /// What kind of statement.
    pub kind: Kind,
    /// The record it is about.
    pub record: RecordId,
    /// Who said it.
    pub origin: Origin,
    /// The fields it speaks of, ascending; the payload's values are in the same order.
    pub fields: Vec<FieldName>,
    /// When it was said, by the side's own clock at its resolution.
    pub said_at: Millis,
    /// The side's own sequence, where it has one.
    pub said_seq: Option<u64>,
    /// Whether that sequence, in its source, is the statement's name.
    pub named: Named,
    /// Its author.
    pub author: Author,
    /// What the author had seen, if that was named; `None`: linear.
    pub seen: Option<Vec<SaidId>>,
    /// For the engine's own records: field by field, the words that the statement is about (the winner, and those it overruled).
    pub carries: Vec<Vec<SaidId>>,
    /// Whether `said_at` is only the time of the record's change, or of the reading that found it, not the field's own.
    pub coarse: bool,
    /// What was said, in every store of the tenant.
    pub said: SaidId,
    /// The node's clock when it heard it.
    pub heard_at: Hlc,
    /// The keyed hash of the payload's bytes.
    pub payload: PayloadHash,
}

/// The values of an event.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Payload {
    /// One value for each field of the header.
    pub values: Vec<Value>,
    /// What else the side said, as a JSON object.
    pub source: Option<Box<str>>,
    /// What the kind needs besides.
    pub detail: Detail,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_deref().map(Veiled);
        let mut shown = f.debug_struct("Payload");
        shown.field("values", &self.values).field("source", &source).field("detail", &self.detail).finish()
    }
}

/// An event as read from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The header.
    pub header: Header,
    /// The payload.
    pub payload: Payload,
}

/// Bytes that are no event of this store.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The header or the payload cannot be read.
    #[error("cannot read an event's {part}")]
    Bytes {
        /// `header` or `payload`.
        part: &'static str,
        /// Why.
        #[source]
        source: CodecError,
    },
    /// Written by another version.
    #[error("event of format {0}; this build reads format {FORMAT}")]
    Format(u8),
    /// The payload is not the one that the header commits to.
    #[error("the payload does not match the hash in its header")]
    Payload,
    /// Header and payload speak of different numbers of fields, or fields are not ascending.
    #[error("the event's fields and values do not belong together")]
    Shape,
    /// Larger than [`EVENT_BYTES_MAX`].
    #[error("the event takes {0} bytes, more than {EVENT_BYTES_MAX}")]
    TooLarge(usize),
}

impl Event {
    /// Reads an event from its stored bytes and checks the payload against the header.
    ///
    /// # Errors
    /// If the bytes are not those of an event, or the payload is not the header's.
    pub fn read(header: &[u8], payload: &[u8], key: impl Fn(&Header) -> RecordKey) -> Result<Self, EventError> {
        let header = read_header(header)?;
        if key(&header).payload_hash(payload) != header.payload {
            return Err(EventError::Payload);
        }
        let payload: Payload =
            codec::decode(payload).map_err(|source| EventError::Bytes { part: "payload", source })?;
        let event = Event { header, payload };
        event.check_shape()?;
        Ok(event)
    }

    fn check_shape(&self) -> Result<(), EventError> {
        let Header { fields, carries, .. } = &self.header;
        let ascending = fields.windows(2).all(|pair| pair[0] < pair[1]);
        let values = self.payload.values.len() == fields.len() || self.payload.values.is_empty();
        let carried = carries.is_empty() || carries.len() == fields.len();
        if ascending && values && carried { Ok(()) } else { Err(EventError::Shape) }
    }

    /// The words of the event: its fields with their values.
    pub fn words(&self) -> impl Iterator<Item = (&FieldName, &Value)> {
        self.header.fields.iter().zip(&self.payload.values)
    }

    /// What was said, without what only this copy has: equal for every copy of one statement.
    ///
    /// What else the side sent along counts only under a name, since each delivery of a webhook brings its own.
    pub fn content(&self) -> Vec<u8> {
        let Header { kind, origin, fields, said_at, said_seq, named, author, seen, carries, coarse, .. } = &self.header;
        let Payload { values, source, detail } = &self.payload;
        let source = source.as_ref().filter(|_| *named != Named::Not);
        let said = (said_at, said_seq, named, author, seen, carries, coarse);
        codec::encode(&(values, source, detail, kind, origin, fields, said))
    }
}

/// Reads a header from its stored bytes.
///
/// # Errors
/// If the bytes are not those of a header of this format.
pub fn read_header(bytes: &[u8]) -> Result<Header, EventError> {
    match bytes.first() {
        Some(&FORMAT) => codec::decode(bytes).map_err(|source| EventError::Bytes { part: "header", source }),
        Some(&other) => Err(EventError::Format(other)),
        None => Err(EventError::Format(0)),
    }
}

/// A statement that has not been given its ids yet.
#[derive(Clone)]
pub struct Draft {
    /// What kind of statement.
    pub kind: Kind,
    /// The record.
    pub record: RecordId,
    /// Who says it.
    pub origin: Origin,
    /// The fields and their values, in any order; a field comes once.
    pub words: Vec<(FieldName, Value)>,
    /// When, by the side's clock.
    pub said_at: Millis,
    /// The side's own sequence.
    pub said_seq: Option<u64>,
    /// Who.
    pub author: Author,
    /// What the author had seen, if named.
    pub seen: Option<Vec<SaidId>>,
    /// For the engine's own records: the words each field is about, in the order of `words`.
    pub carries: Vec<Vec<SaidId>>,
    /// Whether `said_at` is the time of the record, or of the reading, only.
    pub coarse: bool,
    /// Whether that sequence, in its source, is the statement's name.
    pub named: Named,
    /// What else the side said, as a JSON object.
    pub source: Option<Box<str>>,
    /// What the kind needs besides.
    pub detail: Detail,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Draft");
        shown.field("kind", &self.kind).field("record", &self.record).field("origin", &self.origin);
        shown.field("words", &self.words).field("said_at", &self.said_at).field("author", &self.author);
        shown.field("seen", &self.seen).field("carries", &self.carries).field("detail", &self.detail);
        shown.field("source", &self.source.as_deref().map(Veiled)).finish_non_exhaustive()
    }
}

impl Draft {
    /// A statement of this kind without words.
    pub fn new(kind: Kind, record: RecordId, origin: Origin, said_at: Millis, author: Author) -> Self {
        Draft {
            kind,
            record,
            origin,
            words: Vec::new(),
            said_at,
            said_seq: None,
            author,
            seen: None,
            carries: Vec::new(),
            coarse: false,
            named: Named::Not,
            source: None,
            detail: Detail::None,
        }
    }

    /// Gives the statement its ids and its bytes.
    ///
    /// # Errors
    /// If it is larger than [`EVENT_BYTES_MAX`].
    pub fn seal(mut self, key: &RecordKey, heard_at: Hlc) -> Result<Sealed, EventError> {
        if self.carries.is_empty() {
            self.words.sort_by(|a, b| a.0.cmp(&b.0));
        } else {
            let mut both: Vec<_> = self.words.into_iter().zip(self.carries).collect();
            both.sort_by(|a, b| a.0.0.cmp(&b.0.0));
            (self.words, self.carries) = both.into_iter().unzip();
        }
        let said = self.said_id(key);
        let (fields, values) = self.words.into_iter().unzip();
        let payload = Payload { values, source: self.source, detail: self.detail };
        let payload_bytes = codec::encode(&payload);
        let header = Header {
            format: FORMAT,
            kind: self.kind,
            record: self.record,
            origin: self.origin,
            fields,
            said_at: self.said_at,
            said_seq: self.said_seq,
            named: self.named,
            author: self.author,
            seen: self.seen,
            carries: self.carries,
            coarse: self.coarse,
            said,
            heard_at,
            payload: key.payload_hash(&payload_bytes),
        };
        let header_bytes = codec::encode(&header);
        let size = header_bytes.len() + payload_bytes.len();
        if size > EVENT_BYTES_MAX {
            return Err(EventError::TooLarge(size));
        }
        let id = id::event_id(&header_bytes);
        Ok(Sealed { id, event: Event { header, payload }, header: header_bytes, payload: payload_bytes })
    }

    fn said_id(&self, key: &RecordKey) -> SaidId {
        match (self.named.source(), self.said_seq) {
            (Some(source), Some(number)) => named_said_id(key, source, number),
            _ => {
                let words: Vec<_> = self.words.iter().map(|(field, value)| (field, value)).collect();
                let Draft { kind, origin, said_at, said_seq, seen, carries, detail, .. } = self;
                if let Some(rest) = self.told_apart_by() {
                    return key.said_id(&codec::encode(&(2u8, origin, kind, words, said_at, said_seq, rest)));
                }
                let ours = (!kind.is_said()).then_some((seen, carries, detail));
                key.said_id(&codec::encode(&(0u8, origin, kind, words, said_at, said_seq, ours)))
            }
        }
    }

    /// What else two statements of one kind, time and words may differ in: the other record, the reason, or, without any words,
    /// all that the side sent along.
    fn told_apart_by(&self) -> Option<(&Detail, Option<&str>)> {
        match (self.kind, &self.detail) {
            (Kind::Link | Kind::Unlink | Kind::Absorb | Kind::Associate | Kind::Dissociate | Kind::Delete, detail)
                if *detail != Detail::None =>
            {
                Some((detail, None))
            }
            (Kind::Edit, Detail::None) if self.words.is_empty() => {
                self.source.as_deref().map(|source| (&Detail::None, Some(source)))
            }
            _ => None,
        }
    }
}

/// The id of what a source said under a number that it uses once.
pub fn named_said_id(key: &RecordKey, source: &str, number: u64) -> SaidId {
    key.said_id(&codec::encode(&(1u8, source, number)))
}

/// An event with the bytes under which it goes into the log.
#[derive(Clone)]
pub struct Sealed {
    id: EventId,
    /// The event.
    pub event: Event,
    /// The header's bytes.
    pub header: Vec<u8>,
    /// The payload's bytes.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Sealed {
    // The bytes are the event once more, with its values in plain.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("id", &self.id).field("event", &self.event).finish_non_exhaustive()
    }
}

impl Sealed {
    /// The event's id.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// Takes over an event, with its id, from another store of the tenant.
    ///
    /// # Errors
    /// If the bytes are not canonical, too large, or the payload is not the header's.
    pub fn from_foreign(header: &[u8], payload: &[u8], key: impl Fn(&Header) -> RecordKey) -> Result<Self, EventError> {
        let size = header.len() + payload.len();
        if size > EVENT_BYTES_MAX {
            return Err(EventError::TooLarge(size));
        }
        let event = Event::read(header, payload, key)?;
        let canonical = codec::encode(&event.header) == header && codec::encode(&event.payload) == payload;
        if !canonical {
            return Err(EventError::Bytes { part: "bytes", source: CodecError::NotCanonical });
        }
        Ok(Sealed { id: id::event_id(header), event, header: header.to_vec(), payload: payload.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TenantKey;

    fn draft() -> Draft {
        let record = RecordId::new("contact/1").expect("good");
        let side = SideName::new("crm").expect("good");
        let mut draft =
            Draft::new(Kind::Edit, record, Origin::side(side), Millis(1_750_000_000_123), Author::user("ana"));
        draft.words = vec![
            (FieldName::new("phone").expect("good"), Value::text("+1-555-0100")),
            (FieldName::new("city").expect("good"), Value::null()),
        ];
        draft
    }

    fn key() -> RecordKey {
        TenantKey([7; 32]).record_key("contact/1")
    }

    #[test]
    fn bytes_and_ids_are_pinned() {
        let sealed = draft().seal(&key(), Hlc(5)).expect("small");
        assert_eq!(
            id::to_hex(&sealed.header),
            "010009636f6e746163742f310363726d00000204636974790570686f6e65fdf6b841e82e03000000000103616e6100000000006b885185c72bd50c8bf6b4b623ccb7090551f4376a71cbb6652e72326c6a07b0ca1cbb9a47f8b90a5c609626b419a7dc00"
        );
        assert_eq!(id::to_hex(&sealed.payload), "0201000c042b312d3535352d303130300000");
        assert_eq!(sealed.id().to_string(), "3b1659c19dc47d8225d5eabbc5286db8b8f8c40075979194a7ad4d414e0b0fae");
        assert_eq!(sealed.event.header.said.to_string(), "6b885185c72bd50c8bf6b4b623ccb709");
    }

    #[test]
    fn what_was_said_is_the_same_whenever_it_is_heard() {
        let first = draft().seal(&key(), Hlc(5)).expect("small");
        let second = draft().seal(&key(), Hlc(6)).expect("small");
        assert_eq!(first.event.header.said, second.event.header.said);
        assert_eq!(first.event.content(), second.event.content());
        assert_ne!(first.id(), second.id());
    }

    #[test]
    fn an_event_reads_back_and_a_changed_payload_does_not() {
        let sealed = draft().seal(&key(), Hlc(5)).expect("small");
        let back = Sealed::from_foreign(&sealed.header, &sealed.payload, |_| key()).expect("ours");
        assert_eq!(back.event, sealed.event);
        let mut payload = sealed.payload.clone();
        payload[3] ^= 1;
        assert!(matches!(Event::read(&sealed.header, &payload, |_| key()), Err(EventError::Payload)));
        let mut header = sealed.header.clone();
        header[0] = 9;
        assert!(matches!(Event::read(&header, &sealed.payload, |_| key()), Err(EventError::Format(9))));
    }

    #[test]
    fn an_event_has_one_way_to_be_said() {
        let sealed = draft().seal(&key(), Hlc(5)).expect("small");
        // The record's length, 9, in three bytes: the encoding reads it as the same number.
        let mut header = sealed.header.clone();
        header.splice(2..=2, [251, 9, 0]);
        assert_eq!(Event::read(&header, &sealed.payload, |_| key()).expect("the same event"), sealed.event);
        let refused = Sealed::from_foreign(&header, &sealed.payload, |_| key());
        assert!(matches!(refused, Err(EventError::Bytes { source: CodecError::NotCanonical, .. })), "{refused:?}");
    }

    #[test]
    fn two_records_absorbed_at_once_are_two_statements() {
        // HubSpot tells of a merge of three in one notification: all of it has one time and no words.
        let absorbed = |loser: &str| {
            let mut draft = draft();
            draft.kind = Kind::Absorb;
            draft.words.clear();
            let record = RecordId::new(loser).expect("good");
            draft.detail = Detail::Other { record, label: "merged".to_owned() };
            draft.source = Some("{\"attempt\":0}".into());
            draft
        };
        let said = |draft: Draft| draft.seal(&key(), Hlc(5)).expect("small").event.header.said;
        assert_ne!(said(absorbed("contact/2")), said(absorbed("contact/3")));
        let again = Draft { source: Some("{\"attempt\":1}".into()), ..absorbed("contact/2") };
        assert_eq!(said(absorbed("contact/2")), said(again));
        assert_eq!(said(absorbed("contact/2")).to_string(), "979df2e685f57bda8661720c5bab7977");
    }

    #[test]
    fn a_statement_without_words_is_told_by_what_came_along() {
        let wordless = |source: &str| {
            let draft = Draft { words: Vec::new(), source: Some(source.into()), ..draft() };
            draft.seal(&key(), Hlc(5)).expect("small").event.header.said
        };
        assert_eq!(wordless("{\"property\":\"a\"}"), wordless("{\"property\":\"a\"}"));
        assert_ne!(wordless("{\"property\":\"a\"}"), wordless("{\"property\":\"b\"}"));
        assert_eq!(wordless("{}").to_string(), "3896bcc3774842d67da8cca349f13ecc");
    }

    #[test]
    fn a_name_is_the_whole_identity() {
        let named = |seq: u64, phone: &str| {
            let mut draft = draft();
            (draft.named, draft.said_seq) = (Named::Default, Some(seq));
            draft.words[0].1 = Value::text(phone);
            draft.seal(&key(), Hlc(5)).expect("small").event.header.said
        };
        assert_eq!(named(1, "a"), named(1, "b"));
        assert_ne!(named(1, "a"), named(2, "a"));
    }
}

//! The neutral form: one JSON line a statement, as `import` reads and `export` writes it.
//!
//! | member | what |
//! |---|---|
//! | `seq` | number of the statement within its source; optional |
//! | `side` | who says it |
//! | `record` | about which record, `KIND/ID` |
//! | `at_ms` | when, by the side's clock, in milliseconds since 1970 |
//! | `set` | fields and values; null clears a field |
//! | `actor` | the person or program; optional |
//! | `base` | what the author had seen of this record: a number, a list of numbers, or null for nothing; without it the statement is linear |
//! | `kind` | `edit` unless it says `create`, `delete` or `restore` |
//! | `bytes` | the event itself in hex, as exported; it is taken over whole |
//! | any other | kept as the statement's source data |

use std::{borrow::Cow, fmt};

use serde_json::value::RawValue;

use crate::{
    clock::Millis,
    codec,
    event::{Author, Draft, Kind, Named, Origin, named_said_id},
    id::{self, FieldName, NameError, RecordId, RecordKey, SideName},
    rulebook::EXISTENCE,
    value::{RawMembers, Value, ValueError, Veiled},
};

/// The longest line, in bytes: an event in hex, with its plain form beside it.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// What a line is.
pub enum Line {
    /// A statement.
    Said(Box<Statement>),
    /// An event of another store of the tenant, whole: header and payload.
    Event(Vec<u8>, Vec<u8>),
    /// The first line of an export.
    Export {
        /// The tenant's name.
        tenant: String,
        /// The tenant's key, in hex.
        key: String,
    },
}

impl fmt::Debug for Line {
    // An event's bytes hold its values in plain, and the key is the tenant's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Said(said) => f.debug_tuple("Said").field(said).finish(),
            Line::Event(header, payload) => write!(f, "Event({} bytes)", header.len() + payload.len()),
            Line::Export { tenant, .. } => f.debug_struct("Export").field("tenant", tenant).finish_non_exhaustive(),
        }
    }
}

/// A statement in neutral form.
pub struct Statement {
    /// Its number within the source.
    pub seq: Option<u64>,
    /// Who says it.
    pub side: SideName,
    /// About which record.
    pub record: RecordId,
    /// When, by the side's clock.
    pub at: Millis,
    /// Its author.
    pub actor: Option<Box<str>>,
    /// The numbers of what the author had seen; `None`: linear.
    pub base: Option<Vec<u64>>,
    /// What kind of statement.
    pub kind: Kind,
    /// The fields and their values.
    pub set: Vec<(FieldName, Value)>,
    /// All other members, as a JSON object.
    pub source: Option<Box<str>>,
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Statement");
        shown.field("seq", &self.seq).field("side", &self.side).field("record", &self.record).field("at", &self.at);
        shown.field("actor", &self.actor).field("base", &self.base).field("kind", &self.kind);
        shown.field("set", &self.set).field("source", &self.source.as_deref().map(Veiled)).finish()
    }
}

/// Why a line cannot be taken; reads on from `FILE:LINE: `.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not a JSON object.
    #[error("not a JSON object: {0}")]
    Json(#[source] serde_json::Error),
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("the line takes {0} bytes, more than {LINE_BYTES_MAX}")]
    TooLong(usize),
    /// A member that has to be there.
    #[error("the member \"{0}\" is missing")]
    Missing(&'static str),
    /// A member said twice.
    #[error("the member \"{0}\" is said twice")]
    Twice(String),
    /// A member of the wrong form.
    #[error("\"{member}\" is not {due}")]
    Form {
        /// The member.
        member: &'static str,
        /// What was due.
        due: &'static str,
    },
    /// A name that is none.
    #[error("the {what} {why}")]
    Name {
        /// What it names.
        what: &'static str,
        /// Why it is no name.
        why: NameError,
    },
    /// A field's name that is none; only its beginning is shown.
    #[error("the field name {start:?} {why}")]
    Field {
        /// How it begins.
        start: String,
        /// Why it is no name.
        why: NameError,
    },
    /// A value that is none.
    #[error("the value of {field} {why}")]
    Value {
        /// The field.
        field: FieldName,
        /// Why it is no value.
        why: ValueError,
    },
}

/// Reads a line; `None` if there is nothing on it.
///
/// # Errors
/// With the first thing that is wrong.
pub fn parse(line: &[u8]) -> Result<Option<Line>, LineError> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong(line.len()));
    }
    let RawMembers(members) = serde_json::from_slice(line).map_err(LineError::Json)?;
    let mut found = Members::default();
    let mut rest: Vec<(Cow<'_, str>, &RawValue)> = Vec::new();
    for (name, value) in members {
        let slot = match &*name {
            "seq" => &mut found.seq,
            "side" => &mut found.side,
            "actor" => &mut found.actor,
            "record" => &mut found.record,
            "at_ms" => &mut found.at_ms,
            "base" => &mut found.base,
            "set" => &mut found.set,
            "kind" => &mut found.kind,
            "bytes" => &mut found.bytes,
            "syncline_export" => &mut found.export,
            _ => {
                rest.push((name, value));
                continue;
            }
        };
        if slot.replace(value).is_some() {
            return Err(LineError::Twice(name.into_owned()));
        }
    }
    if let Some(bytes) = found.bytes {
        return event(bytes).map(Some);
    }
    if found.export.is_some() {
        let text = |name: &'static str| {
            let member = rest.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
            text(name, member).map(Cow::into_owned)
        };
        return Ok(Some(Line::Export { tenant: text("tenant")?, key: text("key")? }));
    }
    statement(found, &rest).map(|said| Some(Line::Said(Box::new(said))))
}

#[derive(Default)]
struct Members<'a> {
    seq: Option<&'a RawValue>,
    side: Option<&'a RawValue>,
    actor: Option<&'a RawValue>,
    record: Option<&'a RawValue>,
    at_ms: Option<&'a RawValue>,
    base: Option<&'a RawValue>,
    set: Option<&'a RawValue>,
    kind: Option<&'a RawValue>,
    bytes: Option<&'a RawValue>,
    export: Option<&'a RawValue>,
}

fn statement(found: Members<'_>, rest: &[(Cow<'_, str>, &RawValue)]) -> Result<Statement, LineError> {
    let number = |member: &'static str, raw: &RawValue| {
        raw.get().parse::<u64>().map_err(|_| LineError::Form { member, due: "a whole number from 0" })
    };
    let side = text("side", found.side)?;
    let record = text("record", found.record)?;
    let at = found.at_ms.ok_or(LineError::Missing("at_ms"))?.get();
    let kind = match found.kind.map(|raw| text("kind", Some(raw))).transpose()?.as_deref() {
        None | Some("edit") => Kind::Edit,
        Some("create") => Kind::Create,
        Some("delete") => Kind::Delete,
        Some("restore") => Kind::Restore,
        Some(_) => return Err(LineError::Form { member: "kind", due: "edit, create, delete or restore" }),
    };
    let record = RecordId::new(&record).map_err(|why| LineError::Name { what: "record id", why })?;
    if record.is_empty() {
        return Err(LineError::Name { what: "record id", why: NameError::Empty });
    }
    Ok(Statement {
        seq: found.seq.map(|raw| number("seq", raw)).transpose()?,
        side: SideName::new(&side).map_err(|why| LineError::Name { what: "side", why })?,
        record,
        at: Millis(at.parse().map_err(|_| LineError::Form { member: "at_ms", due: "a whole number of milliseconds" })?),
        actor: found.actor.map(|raw| text("actor", Some(raw)).map(|text| text.as_ref().into())).transpose()?,
        base: found.base.map(base).transpose()?,
        kind,
        set: set(found.set, kind)?,
        source: source(rest),
    })
}

fn text<'a>(member: &'static str, raw: Option<&'a RawValue>) -> Result<Cow<'a, str>, LineError> {
    let raw = raw.ok_or(LineError::Missing(member))?.get();
    let plain = raw.starts_with('"') && !raw.contains('\\');
    if plain {
        return Ok(Cow::Borrowed(&raw[1..raw.len() - 1]));
    }
    serde_json::from_str(raw).map(Cow::Owned).map_err(|_| LineError::Form { member, due: "a text" })
}

fn base(raw: &RawValue) -> Result<Vec<u64>, LineError> {
    let due = "a number, a list of numbers, or null";
    let wrong = |_| LineError::Form { member: "base", due };
    match raw.get() {
        "null" => Ok(Vec::new()),
        list if list.starts_with('[') => serde_json::from_str(list).map_err(wrong),
        number => number.parse().map(|number| vec![number]).map_err(|_| LineError::Form { member: "base", due }),
    }
}

fn set(raw: Option<&RawValue>, kind: Kind) -> Result<Vec<(FieldName, Value)>, LineError> {
    let existence = || FieldName::new(EXISTENCE).expect("a good name");
    let mut words: Vec<(FieldName, Value)> = match kind {
        Kind::Create | Kind::Restore => vec![(existence(), Value::bool(true))],
        Kind::Delete => vec![(existence(), Value::bool(false))],
        _ => Vec::new(),
    };
    let raw = match raw {
        Some(raw) => raw,
        None if !words.is_empty() => return Ok(words),
        None => return Err(LineError::Missing("set")),
    };
    let RawMembers(members) =
        serde_json::from_str(raw.get()).map_err(|_| LineError::Form { member: "set", due: "an object" })?;
    for (name, value) in members {
        let field =
            FieldName::new(&name).map_err(|why| LineError::Field { start: name.chars().take(32).collect(), why })?;
        let value = Value::from_raw(value).map_err(|why| LineError::Value { field: field.clone(), why })?;
        words.push((field, value));
    }
    words.sort_by(|a, b| a.0.cmp(&b.0));
    match words.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(LineError::Twice(pair[0].0.to_string())),
        None => Ok(words),
    }
}

fn source(rest: &[(Cow<'_, str>, &RawValue)]) -> Option<Box<str>> {
    if rest.is_empty() {
        return None;
    }
    let members: Vec<String> =
        rest.iter().map(|(name, value)| format!("{}:{}", crate::value::quote(name), value.get())).collect();
    Some(format!("{{{}}}", members.join(",")).into())
}

fn event(raw: &RawValue) -> Result<Line, LineError> {
    let wrong = || LineError::Form { member: "bytes", due: "an event in hex" };
    let bytes = id::from_hex(&text("bytes", Some(raw))?).ok_or_else(wrong)?;
    let (header, payload): (Vec<u8>, Vec<u8>) = codec::decode(&bytes).map_err(|_| wrong())?;
    Ok(Line::Event(header, payload))
}

/// The hex under `bytes` of an exported event.
pub fn event_hex(header: &[u8], payload: &[u8]) -> String {
    id::to_hex(&codec::encode(&(header, payload)))
}

impl Statement {
    /// The statement as a draft of this source; `key` is the record's, `resolution` the side's clock's, in milliseconds.
    pub fn draft(self, source: &str, key: &RecordKey, resolution: u32) -> Draft {
        let author = self.actor.as_deref().map_or_else(Author::default, Author::user);
        let at = self.at.in_steps_of(i64::from(resolution));
        let mut draft = Draft::new(self.kind, self.record, Origin::side(self.side), at, author);
        draft.words = self.set;
        draft.said_seq = self.seq;
        draft.named = self.seq.map_or(Named::Not, |_| Named::of(source));
        draft.seen = self.base.map(|base| base.iter().map(|number| named_said_id(key, source, *number)).collect());
        draft.source = self.source;
        draft
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: &str) -> String {
        parse(line.as_bytes()).expect_err("a bad line").to_string()
    }

    #[test]
    fn a_line_says_what_it_says() {
        let line = br#"{"seq":17,"side":"portal","actor":"portal:u07","record":"contact/000123","at_ms":1750000000123,"base":12,"set":{"phone":"+1-555-0100","tags":["vip"],"city":null},"recv":[1.50]}"#;
        let Ok(Some(Line::Said(said))) = parse(line) else { panic!("a good line") };
        assert_eq!((said.seq, said.base.as_deref()), (Some(17), Some(&[12][..])));
        assert_eq!(said.source.as_deref(), Some(r#"{"recv":[1.50]}"#));
        let set: Vec<String> = said.set.iter().map(|(name, value)| format!("{name}={}", value.to_json())).collect();
        assert_eq!(set, ["city=null", "phone=\"+1-555-0100\"", "tags=[\"vip\"]"]);
    }

    #[test]
    fn a_base_is_nothing_a_number_a_list_or_not_said() {
        for (base, due) in [
            (r#""base":null,"#, Some(vec![])),
            (r#""base":[3,1],"#, Some(vec![3, 1])),
            ("", None),
            (r#""base":5,"#, Some(vec![5])),
        ] {
            let line = format!(r#"{{{base}"side":"crm","record":"a/1","at_ms":1,"set":{{}}}}"#);
            let Ok(Some(Line::Said(said))) = parse(line.as_bytes()) else { panic!("a good line") };
            assert_eq!(said.base, due);
        }
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        assert!(error("nonsense").starts_with("not a JSON object"));
        assert_eq!(error(r#"{"record":"a/1","at_ms":1,"set":{}}"#), "the member \"side\" is missing");
        assert_eq!(
            error(r#"{"side":"crm","record":"a","at_ms":1,"set":{}}"#),
            "the record id has no kind: a record id is KIND/ID"
        );
        assert_eq!(
            error("{\"side\":\"crm\",\"record\":\"a/\\u0007\",\"at_ms\":1,\"set\":{}}"),
            "the record id holds the control character U+0007"
        );
        assert_eq!(
            error(r#"{"side":"crm","record":"a/1","at_ms":1.5,"set":{}}"#),
            "\"at_ms\" is not a whole number of milliseconds"
        );
        assert_eq!(error(r#"{"side":"crm","side":"crm"}"#), "the member \"side\" is said twice");
        assert_eq!(
            error(r#"{"side":"crm","record":"a/1","at_ms":1,"set":{"x":1,"x":2}}"#),
            "the member \"x\" is said twice"
        );
        let long = format!(r#"{{"side":"crm","record":"a/1","at_ms":1,"set":{{"{}":1}}}}"#, "y".repeat(10_000));
        assert!(error(&long).ends_with("is 10000 bytes long, more than 255"));
        let large = format!(r#"{{"side":"crm","record":"a/1","at_ms":1,"set":{{"x":"{}"}}}}"#, "y".repeat(10 << 20));
        assert_eq!(error(&large), "the value of x takes 10485762 bytes, more than 1048576");
    }
}

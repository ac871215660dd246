//! What a portal is told and asked: the bodies of our messages.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    clock::Millis,
    event::{Author, AuthorKind},
    id::{FieldName, Hashing, RecordId},
    send::{Ask, Write},
    side::translate::{Translation, Unsaid},
};

/// How large a message gets before the next one is begun, in bytes; one row alone may be larger.
pub const BODY_BYTES: usize = 20_000;
/// The most rows of a message.
pub const ROWS_MAX: usize = 50;

/// A message's body around its data.
#[derive(Serialize)]
pub struct Envelope<T> {
    /// What it is: `syncline.write`, `syncline.read`, `syncline.list` or `syncline.changed`.
    #[serde(rename = "type")]
    pub topic: &'static str,
    /// When it was made, RFC 3339.
    pub timestamp: String,
    /// What it says.
    pub data: T,
}

/// The data of a `syncline.write`.
#[derive(Serialize)]
pub struct Writes<'a> {
    writes: &'a [&'a RawValue],
}

/// A row of a message: a write that can be told, as JSON.
pub struct Row<'a> {
    /// The write.
    pub write: &'a Write,
    json: Box<RawValue>,
}

/// Why a write has no row.
#[derive(Debug, PartialEq, Eq)]
pub enum Untold {
    /// The portal has no such records.
    Kind,
    /// It does not show the field.
    Field(FieldName),
    /// The value cannot be written there.
    Value(FieldName, Unsaid),
}

#[derive(Serialize)]
struct WriteRow<'a> {
    key: &'a str,
    op: &'static str,
    kind: &'a str,
    id: Option<&'a str>,
    record: &'a str,
    #[serde(skip_serializing_if = "Set::is_empty")]
    set: Set<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<By<'a>>,
}

/// Fields with their values, as a JSON object in their order.
struct Set<'a>(Vec<(&'a str, Box<RawValue>)>);

impl Set<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Set<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// For whom a write is made, in the words in which the portal names authors.
#[derive(Serialize, Default)]
struct By<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    integration: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    syncline: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<&'a str>,
}

impl<'a> By<'a> {
    fn of(author: &'a Author) -> Option<Self> {
        let mut by = By { contact: author.contact.as_deref(), company: author.company.as_deref(), ..By::default() };
        let id = Some(&*author.id);
        match author.kind {
            AuthorKind::Unnamed => return None,
            AuthorKind::User => by.user = id,
            AuthorKind::Integration => by.integration = id,
            AuthorKind::System => by.system = id,
            AuthorKind::Ours => by.syncline = id,
        }
        Some(by)
    }
}

impl<'a> Row<'a> {
    /// Puts a write into the portal's words.
    ///
    /// # Errors
    /// If the portal has no word for the kind, a field or a value.
    pub fn of(write: &'a Write, translation: &Translation) -> Result<Self, Untold> {
        let kind = write.record.kind();
        let theirs = translation.type_of(kind).ok_or(Untold::Kind)?;
        let mut set = Vec::with_capacity(write.fields.len());
        for (field, value) in write.fields.iter().filter(|_| !write.delete) {
            let name = translation.name_of(kind, field).ok_or_else(|| Untold::Field(field.clone()))?;
            let said = translation.say_json(kind, field, value);
            set.push((name, said.map_err(|why| Untold::Value(field.clone(), why))?.to_raw()));
        }
        let op = match (write.create, write.delete) {
            (_, true) => "delete",
            (true, _) => "create",
            _ => "update",
        };
        let id = if write.create { None } else { Some(own_id(&write.record, write.link.as_deref(), translation)) };
        let row = WriteRow {
            key: &write.key,
            op,
            kind: theirs,
            id,
            record: &write.record,
            set: Set(set),
            by: By::of(&write.author),
        };
        Ok(Row { write, json: json(&row) })
    }

    /// How many bytes it takes in a message.
    pub fn bytes(&self) -> usize {
        self.json.get().len() + 1
    }
}

/// The portal's own id of a record of which it said no other: the one in the record's name.
fn own_id<'a>(record: &'a RecordId, link: Option<&'a str>, translation: &Translation) -> &'a str {
    let tail = record.split_once('/').map_or("", |(_, tail)| tail);
    match (link, record.side_and_link()) {
        (Some(link), _) => link,
        (None, Some((side, link))) if *side == **translation.side() => link,
        _ => tail,
    }
}

fn json<T: Serialize>(message: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(message).expect("our messages are JSON")
}

/// Parts rows into messages of no more than [`BODY_BYTES`] and [`ROWS_MAX`] rows where that is possible.
pub fn parts<'r, 'w>(rows: &'r [Row<'w>]) -> Vec<&'r [Row<'w>]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, row) in rows.iter().enumerate() {
        if index > start && (bytes + row.bytes() > BODY_BYTES || index - start == ROWS_MAX) {
            parts.push(&rows[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += row.bytes();
    }
    if start < rows.len() {
        parts.push(&rows[start..]);
    }
    parts
}

/// The body of a message with these writes.
pub fn write_body(rows: &[Row<'_>], now: Millis) -> Vec<u8> {
    let writes: Vec<&RawValue> = rows.iter().map(|row| &*row.json).collect();
    body("syncline.write", now, Writes { writes: &writes })
}

/// The id of a message with these writes: a message with one write goes by the write's key, so that its repetition is known by
/// the id alone.
pub fn write_id(rows: &[Row<'_>]) -> String {
    let is_id = |key: &str| !key.is_empty() && key.len() <= 64 && !key.contains('.') && key.is_ascii();
    match rows {
        [row] if is_id(&row.write.key) => row.write.key.clone(),
        rows => {
            let mut hash = Hashing::new("syncline portal batch");
            rows.iter().for_each(|row| {
                hash.update_sized(row.write.key.as_bytes());
            });
            format!("batch_{}", &hash.digest().to_string()[..32])
        }
    }
}

/// A question for one record.
#[derive(Serialize)]
struct AskRow<'a> {
    ask: String,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    record: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<&'a str>,
}

/// The data of a `syncline.read`.
#[derive(Serialize)]
struct Reads {
    asks: Vec<Box<RawValue>>,
}

/// The body of a message with these questions; each is known by its place, as a text, in the answer. A kind that the portal does
/// not have goes by our name.
pub fn read_body(asks: &[Ask], translation: &Translation, now: Millis) -> Vec<u8> {
    let row = |(index, ask): (usize, &'_ Ask)| -> Box<RawValue> {
        let kind = ask.record.kind();
        let name = |field: &'_ FieldName| translation.name_of(kind, field).map(str::to_owned);
        let fields: Vec<String> = ask.fields.iter().filter_map(name).collect();
        let about = ask.about.as_ref();
        let id = match (&ask.link, about) {
            (None, Some(about)) if about.create => None,
            (link, _) => Some(own_id(&ask.record, link.as_deref(), translation)),
        };
        json(&AskRow {
            ask: index.to_string(),
            kind: translation.type_of(kind).unwrap_or(kind),
            id,
            key: about.map(|about| about.key.as_str()),
            record: &ask.record,
            fields: fields.iter().map(String::as_str).collect(),
        })
    };
    body("syncline.read", now, Reads { asks: asks.iter().enumerate().map(row).collect() })
}

/// The data of a `syncline.list` and a `syncline.changed`.
#[derive(Serialize)]
pub struct Walk<'a> {
    /// The portal's name of the kind.
    pub kind: &'a str,
    /// From when on, RFC 3339; for `syncline.changed` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The cursor of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<&'a str>,
    /// The most records of the page.
    pub limit: usize,
}

/// A message's body.
pub fn body<T: Serialize>(topic: &'static str, now: Millis, data: T) -> Vec<u8> {
    serde_json::to_vec(&Envelope { topic, timestamp: now.to_string(), data }).expect("our messages are JSON")
}

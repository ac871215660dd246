//! Names and hashes: who and what an event is about, and the ids made from bytes.
//!
//! This file is the only door to BLAKE3. Every hash has a purpose baked into its key or its
//! context string, so bytes hashed for one purpose never pass for another.

use std::{borrow::Borrow, cell::RefCell, collections::HashMap, fmt, ops::Deref, sync::Arc};

use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

/// The longest record id, field name, side name or link id, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Place of an event in the log's order: the first is 1, no gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl Seq {
    /// The sequence after this one.
    pub fn next(self) -> Self {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where an event's bytes start: the segment's number in the upper 32 bits, the byte offset in its file in the lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place(pub u64);

impl Place {
    /// Joins a segment number and a byte offset.
    pub fn new(segment: u32, offset: u32) -> Self {
        Place(u64::from(segment) << 32 | u64::from(offset))
    }

    /// The number of the segment.
    pub fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The byte offset in the segment's file.
    pub fn offset(self) -> u32 {
        self.0 as u32
    }
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// Reads the id from lower-case or upper-case hex; `None` if it is not exactly that.
            pub fn from_hex(text: &str) -> Option<Self> {
                let bytes = from_hex(text)?;
                Some($name(bytes.try_into().ok()?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

hash_id!(
    /// Names this copy of an event: BLAKE3 of the header's bytes as they are stored.
    EventId, 32
);
hash_id!(
    /// Names what was said, the same in every store of the tenant; keyed with the record's key.
    SaidId, 16
);
hash_id!(
    /// Commits a header to its payload; keyed with the record's key, so that a value cannot be guessed from it.
    PayloadHash, 32
);
hash_id!(
    /// A BLAKE3 over many bytes: a frame, a segment's end, a state.
    Digest, 32
);

/// Lower-case hex of `bytes`.
pub fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
        text
    })
}

/// The bytes of a hex text; `None` if it is not hex.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| (byte as char).to_digit(16);
    text.as_bytes().chunks_exact(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

/// The tenant's secret: 32 random bytes made at `init`. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantKey(pub [u8; 32]);

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantKey(..)")
    }
}

impl TenantKey {
    /// The key under which this record's payload hashes and said-ids are made.
    pub fn record_key(&self, record: &str) -> RecordKey {
        RecordKey(*blake3::keyed_hash(&self.0, record.as_bytes()).as_bytes())
    }
}

/// A record's own key, derived from the tenant's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecordKey([u8; 32]);

impl RecordKey {
    /// The hash that a header carries for `payload`.
    pub fn payload_hash(&self, payload: &[u8]) -> PayloadHash {
        PayloadHash(*self.hasher(b"payload").update(payload).finalize().as_bytes())
    }

    /// The name of what was said, from the parts that identify it.
    pub fn said_id(&self, parts: &[u8]) -> SaidId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.hasher(b"said\0\0\0").update(parts).finalize().as_bytes()[..16]);
        SaidId(id)
    }

    fn hasher(&self, purpose: &[u8; 7]) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(purpose);
        hasher
    }
}

/// The id of an event whose header is stored as `header`.
pub fn event_id(header: &[u8]) -> EventId {
    EventId(*blake3::hash(header).as_bytes())
}

/// A running BLAKE3, opened with a purpose.
pub struct Hashing(blake3::Hasher);

impl Hashing {
    /// Starts a hash for one purpose; the same bytes under another purpose hash differently.
    pub fn new(purpose: &'static str) -> Self {
        Hashing(blake3::Hasher::new_derive_key(purpose))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// Adds bytes with their length in front, so that neighbours cannot run together.
    pub fn update_sized(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// The hash of all bytes so far.
    pub fn digest(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// How many different names a thread keeps at hand.
const NAMES_MAX: usize = 1024;

thread_local! {
    /// Fields and sides are few and named again and again: they share their bytes.
    static NAMES: RefCell<HashMap<Box<str>, Arc<str>, FxBuildHasher>> = RefCell::default();
}

fn shared(text: &str) -> Result<Arc<str>, NameError> {
    NAMES.with_borrow_mut(|names| {
        if let Some(name) = names.get(text) {
            return Ok(name.clone());
        }
        check_name(text)?;
        let name: Arc<str> = text.into();
        if names.len() < NAMES_MAX {
            names.insert(text.into(), name.clone());
        }
        Ok(name)
    })
}

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing but an empty text.
    #[error("is empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("is {0} bytes long, more than {NAME_BYTES_MAX}")]
    TooLong(usize),
    /// Holds a control character.
    #[error("holds the control character U+{0:04X}")]
    Control(u32),
    /// A record id without a kind.
    #[error("has no kind: a record id is KIND/ID")]
    NoKind,
}

fn check_name(text: &str) -> Result<(), NameError> {
    match text {
        "" => Err(NameError::Empty),
        _ if text.len() > NAME_BYTES_MAX => Err(NameError::TooLong(text.len())),
        _ => match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(NameError::Control(c as u32)),
            None => Ok(()),
        },
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // A visitor, since a borrowed text is then not copied before it is checked.
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a name")
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(|why| E::custom(format_args!("the name {text:?} {why}")))
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

name!(
    /// A record's name in this tenant: `KIND/ID`. The empty one, [`RecordId::tenant`], holds what concerns the whole tenant.
    RecordId
);
name!(
    /// A field's name.
    FieldName
);
name!(
    /// A side's name, as in the manifest.
    SideName
);

impl RecordId {
    /// Checks and takes a record id.
    ///
    /// # Errors
    /// If it is too long, holds control characters, or is not `KIND/ID`. The empty id is the tenant's own line.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if !text.is_empty() {
            check_name(text)?;
            match text.split_once('/') {
                Some((kind, id)) if !kind.is_empty() && !id.is_empty() => {}
                _ => return Err(NameError::NoKind),
            }
        }
        Ok(RecordId(text.into()))
    }

    /// The record that a side's own id stands for: `KIND/SIDE:ID`, whatever it is linked with.
    ///
    /// # Errors
    /// If the side's id is empty, too long, or holds control characters.
    pub fn on_side(kind: &str, side: &str, link: &str) -> Result<Self, NameError> {
        check_name(link)?;
        RecordId::new(&format!("{kind}/{side}:{link}"))
    }

    /// The side and its own id, if this is the form of [`RecordId::on_side`].
    ///
    /// A record named by an import may look the same by accident; whether there is such a side, the manifest tells.
    pub fn side_and_link(&self) -> Option<(&str, &str)> {
        let (_, id) = self.0.split_once('/')?;
        id.split_once(':').filter(|(side, link)| !side.is_empty() && !link.is_empty())
    }

    /// The line of events that concern the whole tenant: manifests, clocks.
    pub fn tenant() -> Self {
        RecordId("".into())
    }

    /// The record's kind, the part before the first `/`.
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or("", |(kind, _)| kind)
    }
}

impl FieldName {
    /// Checks and takes a field name.
    ///
    /// # Errors
    /// If it is empty, too long, or holds control characters.
    pub fn new(text: &str) -> Result<Self, NameError> {
        shared(text).map(FieldName)
    }
}

impl SideName {
    /// Checks and takes a side's name.
    ///
    /// # Errors
    /// If it is empty, too long, or holds control characters.
    pub fn new(text: &str) -> Result<Self, NameError> {
        shared(text).map(SideName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_pinned() {
        let key = TenantKey([7; 32]).record_key("contact/1");
        assert_eq!(
            key.payload_hash(b"x").to_string(),
            "f910736eb3f19d904d7d3a57c6194a9cc6b286b6ceb5452b20e75b7b2f227e8c"
        );
        assert_eq!(key.said_id(b"x").to_string(), "e88ca3059182558b5c7ce5ea8d94456c");
        assert_eq!(event_id(b"x").to_string(), "3ae7d805f6789a6402acb70ad4096a85a56bf6804eaf25c0493ac697548d30b5");
    }

    #[test]
    fn hashes_for_two_purposes_differ() {
        let key = TenantKey([7; 32]).record_key("contact/1");
        assert_ne!(key.payload_hash(b"x").0[..16], key.said_id(b"x").0);
        let digest = |parts: &[&[u8]]| {
            let mut hashing = Hashing::new("syncline test");
            parts.iter().for_each(|part| {
                hashing.update_sized(part);
            });
            hashing.digest()
        };
        assert_ne!(digest(&[b"", b"\0"]), digest(&[b"\0", b""]));
    }

    #[test]
    fn bad_names_are_told_apart() {
        assert_eq!(RecordId::new("contact"), Err(NameError::NoKind));
        assert_eq!(RecordId::new("a/\u{1}"), Err(NameError::Control(1)));
        assert_eq!(FieldName::new(&"x".repeat(10_000)), Err(NameError::TooLong(10_000)));
        assert_eq!(SideName::new(""), Err(NameError::Empty));
    }

    #[test]
    fn hex_goes_both_ways() {
        assert_eq!(from_hex(&to_hex(&[0, 255, 16])), Some(vec![0, 255, 16]));
        assert_eq!(from_hex("0g"), None);
        assert_eq!(from_hex("0"), None);
    }

    #[test]
    fn the_tenant_key_is_not_in_debug_output() {
        assert_eq!(format!("{:?}", TenantKey([0xab; 32])), "TenantKey(..)");
    }
}

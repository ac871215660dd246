//! Canonical bytes: the only file that knows bincode.
//!
//! Integers are varints, so small ones are short. What is decoded was bounded first, and
//! bytes left over are an error.

use bincode::Options;
use serde::{Serialize, de::DeserializeOwned};

/// The most bytes that one encoded value may take; larger input is refused before it is read.
pub const BYTES_MAX: u64 = 8 << 20;

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// They cannot be read as the type.
    #[error("cannot decode these bytes")]
    Decode(#[source] bincode::Error),
    /// They can be read, but are not the bytes that the value has.
    #[error("these bytes are not the canonical ones of what they say")]
    NotCanonical,
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_varint_encoding().reject_trailing_bytes()
}

/// The canonical bytes of `value`, however many: sizes are checked where values enter.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    encode_into(&mut bytes, value);
    bytes
}

/// Appends the canonical bytes of `value`.
pub fn encode_into<T: Serialize>(bytes: &mut Vec<u8>, value: &T) {
    options().serialize_into(bytes, value).expect("a checked value encodes into memory");
}

/// Reads a value that this store wrote.
///
/// # Errors
/// If the bytes are cut, too long or senseless.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    options().with_limit(BYTES_MAX).deserialize(bytes).map_err(CodecError::Decode)
}

/// As [`decode`], where a check has said that the bytes are ours: what is made of many values has no size to keep to.
///
/// # Errors
/// If the bytes are cut or senseless.
pub fn decode_own<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    options().deserialize(bytes).map_err(CodecError::Decode)
}

/// Reads a value from bytes that came from elsewhere: only the canonical bytes are accepted.
///
/// # Errors
/// As [`decode`], and if encoding the value gives other bytes.
pub fn decode_foreign<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, CodecError> {
    let value = decode(bytes)?;
    if encode(&value) == bytes { Ok(value) } else { Err(CodecError::NotCanonical) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pinned() {
        assert_eq!(encode(&(1u64, -1i64, "é", [1u8, 2], None::<u8>)), [1, 1, 2, 0xc3, 0xa9, 1, 2, 0]);
        assert_eq!(encode(&(250u64, 251u64)), [250, 251, 251, 0]);
    }

    #[test]
    fn a_longer_form_of_a_number_is_not_canonical() {
        assert!(matches!(decode_foreign::<u64>(&[251, 1, 0]), Err(CodecError::NotCanonical)));
        assert!(matches!(decode::<u64>(&[1, 1]), Err(CodecError::Decode(_))));
    }
}

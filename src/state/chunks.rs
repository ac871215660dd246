//! Values of any length under one key: sled copes badly with large ones, so they are cut into chunks.

use sled::Tree;

use crate::id::Hashing;

/// A chunk's bytes, so that key and value together stay under 4 KiB.
const CHUNK_BYTES: usize = 3600;
/// The first chunk starts with the number of chunks and the first bytes of a hash of the value.
const FRAME_BYTES: usize = 10;

fn key(name: &[u8], chunk: u16) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    key.extend_from_slice(name);
    key.push(0);
    key.extend_from_slice(&chunk.to_be_bytes());
    key
}

/// Writes a value under `name`, which holds no zero byte, and removes what a longer one left.
pub fn put(tree: &Tree, name: &[u8], value: &[u8]) -> Result<(), sled::Error> {
    let count = (value.len() + FRAME_BYTES).div_ceil(CHUNK_BYTES);
    let count = u16::try_from(count).map_err(|_| sled::Error::Unsupported("a value of more than 200 MiB".into()))?;
    let mut framed = Vec::with_capacity(value.len() + FRAME_BYTES);
    framed.extend_from_slice(&count.to_be_bytes());
    framed.extend_from_slice(&check(name, value));
    framed.extend_from_slice(value);
    let mut before = 0;
    for (chunk, bytes) in (0..count).zip(framed.chunks(CHUNK_BYTES)) {
        let old = tree.insert(key(name, chunk), bytes)?;
        if chunk == 0 {
            before = old.and_then(|old| Some(u16::from_be_bytes(old.get(..2)?.try_into().ok()?))).unwrap_or(0);
        }
    }
    for chunk in count..before {
        tree.remove(key(name, chunk))?;
    }
    Ok(())
}

/// Reads the value under `name`; `None` if there is none.
///
/// # Errors
/// If sled fails, or the chunks are not those of one value: a crash can leave some of them old.
pub fn get(tree: &Tree, name: &[u8]) -> Result<Option<Vec<u8>>, sled::Error> {
    let Some(first) = tree.get(key(name, 0))? else { return Ok(None) };
    let mixed = || sled::Error::ReportableBug("the chunks of a value do not belong together".into());
    let (frame, head) = first.split_first_chunk::<FRAME_BYTES>().ok_or_else(mixed)?;
    let mut value = head.to_vec();
    for chunk in 1..u16::from_be_bytes([frame[0], frame[1]]) {
        value.extend_from_slice(&tree.get(key(name, chunk))?.ok_or_else(mixed)?);
    }
    if check(name, &value) == frame[2..] { Ok(Some(value)) } else { Err(mixed()) }
}

fn check(name: &[u8], value: &[u8]) -> [u8; 8] {
    let digest = Hashing::new("syncline 1 state value").update_sized(name).update(value).digest();
    let mut first = [0; 8];
    first.copy_from_slice(&digest.0[..8]);
    first
}

/// Removes the value under `name`.
pub fn remove(tree: &Tree, name: &[u8]) -> Result<(), sled::Error> {
    let Some(first) = tree.remove(key(name, 0))? else { return Ok(()) };
    let count = first.get(..2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_be_bytes);
    (1..count).try_for_each(|chunk| tree.remove(key(name, chunk)).map(|_| ()))
}

/// The first bytes of a value, from its first chunk and unchecked.
pub fn head(chunk: &[u8]) -> Option<&[u8]> {
    chunk.get(FRAME_BYTES..)
}

/// The name of a first chunk's key; `None` for later chunks.
pub fn name_of(key: &[u8]) -> Option<&[u8]> {
    key.strip_suffix(&[0, 0, 0])
}

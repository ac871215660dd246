//! Version tokens: what the reader of a record has seen, as a text that it hands back with an edit.
//!
//! `v1-` and hex: four bytes of check, made with the record's key, then the names of all candidates
//! that were shown, ascending. A token
//! that was cut, altered or given out for another record does not check. One from another store of the tenant
//! does, and an edit that bears it waits for what this store has not heard yet.

use std::collections::BTreeSet;

use crate::{
    codec,
    id::{RecordKey, SaidId, from_hex, to_hex},
    merge::Field,
};

const START: &str = "v1-";
const CHECK_BYTES: usize = 4;
const SAID_BYTES: usize = 16;

/// The token of whoever has seen these fields of a record.
pub fn token<'a>(key: &RecordKey, fields: impl Iterator<Item = &'a Field>) -> String {
    let candidates = fields.flat_map(|field| &field.candidates);
    let saids: BTreeSet<SaidId> = candidates.map(|candidate| candidate.said).collect();
    let names: Vec<u8> = saids.iter().flat_map(|said| said.0).collect();
    format!("{START}{}{}", to_hex(&check(key, &names)), to_hex(&names))
}

/// What the holder of a token has seen; `None` if it is no token of this record.
pub fn seen(key: &RecordKey, token: &str) -> Option<Vec<SaidId>> {
    let bytes = from_hex(token.strip_prefix(START)?)?;
    let (sum, names) = bytes.split_at_checked(CHECK_BYTES)?;
    let (chunks, rest) = names.as_chunks::<SAID_BYTES>();
    let whole = rest.is_empty() && check(key, names) == *sum;
    whole.then(|| chunks.iter().map(|chunk| SaidId(*chunk)).collect())
}

fn check(key: &RecordKey, names: &[u8]) -> [u8; CHECK_BYTES] {
    let sum = key.said_id(&codec::encode(&("version", names)));
    [sum.0[0], sum.0[1], sum.0[2], sum.0[3]]
}

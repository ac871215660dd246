//! The bytes of an entry in a frame.
//!
//! | bytes | an entry |
//! |---|---|
//! | 1 to 4 | varint (LEB128): h, bytes of the header |
//! | 1 to 4 | varint: p, bytes of the payload |
//! | 4 | the first bytes of its `EventId` |
//! | h | the header |
//! | p | the payload |

use crate::id::{EventId, event_id};

const PREFIX_BYTES: usize = 4;
/// Two lengths and the prefix of an id.
pub(super) const ENTRY_BYTES_MIN: usize = 2 + PREFIX_BYTES;

/// Appends an entry to a body.
pub(super) fn put(body: &mut Vec<u8>, id: &EventId, header: &[u8], payload: &[u8]) {
    put_varint(body, header.len());
    put_varint(body, payload.len());
    body.extend_from_slice(&id.0[..PREFIX_BYTES]);
    body.extend_from_slice(header);
    body.extend_from_slice(payload);
}

/// An entry in a frame's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawEntry<'a> {
    /// Where it starts in the body.
    pub at: usize,
    /// Both lengths, as stored.
    pub lengths: &'a [u8],
    pub prefix: &'a [u8],
    pub header: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> RawEntry<'a> {
    /// The entry's id; `None` if the header is not the one that the prefix was made from.
    pub fn id(&self) -> Option<EventId> {
        Some(event_id(self.header)).filter(|id| id.0[..PREFIX_BYTES] == *self.prefix)
    }

    /// The entry at the start of `bytes`; what follows it does not matter.
    pub fn first_of(bytes: &'a [u8]) -> Option<RawEntry<'a>> {
        let extent = Extent::of(bytes)?;
        (extent.bytes() <= bytes.len()).then(|| {
            let (lengths, rest) = bytes.split_at(extent.lengths);
            let (prefix, rest) = rest.split_at(PREFIX_BYTES);
            let (header, rest) = rest.split_at(extent.header);
            RawEntry { at: 0, lengths, prefix, header, payload: &rest[..extent.payload] }
        })
    }

    fn bytes(&self) -> usize {
        self.lengths.len() + self.prefix.len() + self.header.len() + self.payload.len()
    }
}

/// How far an entry reaches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    lengths: usize,
    header: usize,
    payload: usize,
}

impl Extent {
    /// Reads the lengths at the start of `bytes`.
    pub fn of(bytes: &[u8]) -> Option<Extent> {
        let (header, first) = varint(bytes)?;
        let (payload, second) = varint(&bytes[first..])?;
        Some(Extent { lengths: first + second, header, payload })
    }

    /// The whole entry's bytes.
    pub fn bytes(&self) -> usize {
        self.lengths + PREFIX_BYTES + self.header + self.payload
    }
}

/// The entries of a body, in order; `None` once, and then no more, where the bytes make no sense.
pub(super) struct Entries<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Entries<'a> {
    pub fn of(body: &'a [u8]) -> Entries<'a> {
        Entries { body, at: 0 }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Option<RawEntry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.body.len() {
            return None;
        }
        let Some(mut entry) = RawEntry::first_of(&self.body[self.at..]) else {
            self.at = self.body.len();
            return Some(None);
        };
        entry.at = self.at;
        self.at += entry.bytes();
        Some(Some(entry))
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The number and how many bytes it takes; four of them reach past any length that the log accepts.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_go_both_ways() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 4 << 20] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(varint(&bytes), Some((value, bytes.len())));
            assert_eq!(varint(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(varint(&[0xff; 9]), None);
    }

    #[test]
    fn entries_end_once_where_the_bytes_make_no_sense() {
        let mut body = Vec::new();
        put(&mut body, &event_id(b"h"), b"h", b"payload");
        put(&mut body, &event_id(b""), b"", b"");
        let entries: Vec<_> = Entries::of(&body).map(|entry| entry.map(|entry| (entry.at, entry.payload))).collect();
        assert_eq!(entries, [Some((0, b"payload".as_slice())), Some((14, b"".as_slice()))]);
        body.pop();
        assert_eq!(Entries::of(&body).map(|entry| entry.is_some()).collect::<Vec<_>>(), [true, false]);
    }
}

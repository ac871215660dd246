//! The bytes of a segment: its header and its frames.
//!
//! All integers are little-endian. A segment's file is named after its number.
//!
//! | at | bytes | the segment's header |
//! |---|---|---|
//! | 0 | 8 | magic, `SYNCLINE` |
//! | 8 | 4 | format version |
//! | 12 | 4 | number of the segment, from 1 |
//! | 16 | 8 | sequence of its first entry |
//! | 24 | 32 | the tenant's key |
//! | 56 | 1 | n, bytes of the tenant's name |
//! | 57 | n | the tenant's name |
//! | 57 + n | 32 | BLAKE3 over the rest of the header |
//! | 89 + n | 32 | hash of the previous segment's last frame; in the first segment, of the tenant |
//!
//! | at | bytes | a frame: one group commit |
//! |---|---|---|
//! | 0 | 4 | b, bytes of the body |
//! | 4 | 4 | count of entries; 0: a mark that all before it is durable, over which the next frame is written |
//! | 8 | 8 | sequence of the first entry |
//! | 16 | 4 | check of the body, values included: tells a torn write |
//! | 20 | 4 | check of the bytes before: what a damaged frame held is still known |
//! | 24 | b | the entries |
//! | 24 + b | 32 | hash of the frame |
//!
//! The hash of a frame covers the hash before it, first sequence, count, and each entry's lengths
//! and header, but no payload: payloads are checked against the hash that their header carries, and the chain
//! still verifies when one of them has been erased. The hash before a frame is always the 32 bytes in front of it,
//! also across segments, so any frame can be checked by itself.
//!
//! Frames are hashed with the tenant's key, so a value that looks like a frame is never taken for one.

use super::{
    Entry,
    entry::{self, ENTRY_BYTES_MIN, Entries},
};
use crate::id::{Digest, Hashing, Seq, TenantKey, event_id};

/// The format that this code reads and writes.
pub const FORMAT: u32 = 1;
pub(super) const HASH_BYTES: usize = 32;
pub(super) const HEAD_BYTES: usize = 24;
/// What a frame takes beside its entries; also the size of the frame that marks a clean close.
pub(super) const FRAME_BYTES_MIN: usize = HEAD_BYTES + HASH_BYTES;
pub(super) const HEADER_BYTES_MAX: usize = 57 + 255 + 2 * HASH_BYTES;
const MAGIC: &[u8; 8] = b"SYNCLINE";

/// Whose log it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tenant {
    pub name: String,
    pub key: TenantKey,
}

impl Tenant {
    /// What the first frame of the log is chained to.
    pub fn genesis(&self) -> Digest {
        Hashing::new("syncline log genesis 1").update(&self.key.0).update_sized(self.name.as_bytes()).digest()
    }

    pub fn header_bytes(&self) -> u64 {
        (57 + self.name.len() + 2 * HASH_BYTES) as u64
    }

    fn seal(&self, purpose: &'static str) -> Hashing {
        let mut hashing = Hashing::new(purpose);
        hashing.update(&self.key.0);
        hashing
    }

    fn body_check(&self, body: &[u8]) -> [u8; 4] {
        short(&self.seal("syncline log body 1").update(body).digest())
    }

    fn head_check(&self, head: &[u8]) -> [u8; 4] {
        short(&self.seal("syncline log head 1").update(head).digest())
    }

    /// The hash of a frame; `chained` is each entry's lengths and header, one after the other.
    fn frame_hash(&self, link: &Digest, first: Seq, count: u32, chained: &[u8]) -> Digest {
        let mut hashing = self.seal("syncline log frame 1");
        hashing.update(&link.0).update(&first.0.to_le_bytes()).update(&count.to_le_bytes()).update(chained).digest()
    }
}

fn short(digest: &Digest) -> [u8; 4] {
    [digest.0[0], digest.0[1], digest.0[2], digest.0[3]]
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn digest_at(bytes: &[u8], at: usize) -> Digest {
    Digest(bytes[at..at + HASH_BYTES].try_into().expect("a hash is 32 bytes"))
}

/// The hash that ends in front of `at`.
pub(super) fn link_before(bytes: &[u8], at: usize) -> Digest {
    digest_at(bytes, at - HASH_BYTES)
}

/// What a segment's file is called after its number, until all of it is durable.
pub(super) const FORMING: &str = "seg-forming";

/// The name of a segment's file.
pub(super) fn file_name(number: u32) -> String {
    format!("{number:08}.seg")
}

/// The number of the segment whose file has this name.
pub(super) fn file_number(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".seg")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub number: u32,
    pub first: Seq,
    pub tenant: Tenant,
    pub link: Digest,
}

/// Why bytes are not a segment's header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    Damaged,
    Format(u32),
}

impl Header {
    pub fn encode(&self) -> Vec<u8> {
        let name = self.tenant.name.as_bytes();
        let mut bytes = Vec::with_capacity(HEADER_BYTES_MAX);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        bytes.extend_from_slice(&self.tenant.key.0);
        bytes.push(u8::try_from(name.len()).expect("a tenant's name is at most 255 bytes"));
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&header_check(&bytes, &self.link).0);
        bytes.extend_from_slice(&self.link.0);
        bytes
    }

    /// Reads a header from the first bytes of a file.
    pub fn decode(bytes: &[u8]) -> Result<Header, HeaderFault> {
        if bytes.len() < 12 || &bytes[..8] != MAGIC {
            return Err(HeaderFault::Damaged);
        }
        match u32_at(bytes, 8) {
            FORMAT => decode_this_format(bytes).ok_or(HeaderFault::Damaged),
            found => {
                // A flipped bit in the version is damage: with our version in its place the check is right.
                let mut ours = bytes.to_vec();
                ours[8..12].copy_from_slice(&FORMAT.to_le_bytes());
                match decode_this_format(&ours) {
                    Some(_) => Err(HeaderFault::Damaged),
                    None => Err(HeaderFault::Format(found)),
                }
            }
        }
    }
}

fn decode_this_format(bytes: &[u8]) -> Option<Header> {
    let name_end = 57 + usize::from(*bytes.get(56)?);
    if bytes.len() < name_end + 2 * HASH_BYTES {
        return None;
    }
    let link = digest_at(bytes, name_end + HASH_BYTES);
    if digest_at(bytes, name_end) != header_check(&bytes[..name_end], &link) {
        return None;
    }
    let tenant = Tenant {
        name: String::from_utf8(bytes[57..name_end].to_vec()).ok()?,
        key: TenantKey(bytes[24..56].try_into().expect("a key is 32 bytes")),
    };
    Some(Header { number: u32_at(bytes, 12), first: Seq(u64_at(bytes, 16)), tenant, link })
}

fn header_check(bytes: &[u8], link: &Digest) -> Digest {
    Hashing::new("syncline log segment 1").update(bytes).update(&link.0).digest()
}

/// Entries on their way into a frame.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub bytes: Vec<u8>,
    pub count: u32,
}

impl Body {
    pub fn push(&mut self, Entry { id, header, payload }: Entry<'_>) {
        debug_assert_eq!(id, event_id(header), "an entry carries its own id");
        entry::put(&mut self.bytes, &id, header, payload);
        self.count += 1;
    }

    pub fn join(&mut self, other: &Body) {
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
    }

    /// Appends the whole frame to `out`, and gives its hash.
    pub fn write_frame(&self, out: &mut Vec<u8>, tenant: &Tenant, first: Seq, link: &Digest) -> Digest {
        let start = out.len();
        let length = u32::try_from(self.bytes.len()).expect("a frame is far smaller than 4 GiB");
        out.reserve(FRAME_BYTES_MIN + 2 * self.bytes.len());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&first.0.to_le_bytes());
        out.extend_from_slice(&tenant.body_check(&self.bytes));
        let check = tenant.head_check(&out[start..]);
        out.extend_from_slice(&check);
        out.extend_from_slice(&self.bytes);
        // What the hash covers is gathered behind the frame for a moment: one long hash is far quicker than many short ones.
        let end = out.len();
        chain(&self.bytes, out).expect("entries that were just put together come apart");
        let hash = tenant.frame_hash(link, first, self.count, &out[end..]);
        out.truncate(end);
        out.extend_from_slice(&hash.0);
        hash
    }
}

/// Appends to `chained` what a frame's hash covers of its entries, and counts them; `None` if the bytes make no sense.
fn chain(body: &[u8], chained: &mut Vec<u8>) -> Option<u32> {
    let mut count = 0;
    for entry in Entries::of(body) {
        let entry = entry?;
        chained.extend_from_slice(entry.lengths);
        chained.extend_from_slice(entry.header);
        count += 1;
    }
    Some(count)
}

/// The first bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub body_bytes: u32,
    pub count: u32,
    pub first: Seq,
    body_check: [u8; 4],
}

/// What of a frame is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Soundness {
    /// All of it.
    Whole,
    /// Lengths and headers; some payload, or the prefix of an id, is not.
    Headers,
    /// Not even those.
    Damaged,
}

impl Head {
    /// Reads a head; `None` if it does not match its check.
    pub fn decode(bytes: &[u8], tenant: &Tenant) -> Option<Head> {
        let head = Head::decode_unchecked(bytes)?;
        (bytes[20..HEAD_BYTES] == tenant.head_check(&bytes[..20])).then_some(head)
    }

    /// Reads a head that could be one, before anything is hashed.
    pub fn decode_unchecked(bytes: &[u8]) -> Option<Head> {
        if bytes.len() < HEAD_BYTES {
            return None;
        }
        let head = Head {
            body_bytes: u32_at(bytes, 0),
            count: u32_at(bytes, 4),
            first: Seq(u64_at(bytes, 8)),
            body_check: short_at(bytes, 16),
        };
        let room = u64::from(head.count) * ENTRY_BYTES_MIN as u64;
        let fits = if head.count == 0 { head.body_bytes == 0 } else { room <= u64::from(head.body_bytes) };
        (fits && head.first.0 > 0 && head.first.0 <= u64::MAX - u64::from(u32::MAX)).then_some(head)
    }

    /// The whole frame's bytes.
    pub fn frame_bytes(&self) -> u64 {
        u64::from(self.body_bytes) + FRAME_BYTES_MIN as u64
    }

    /// The sequence after its last entry.
    pub fn next(&self) -> Seq {
        Seq(self.first.0 + u64::from(self.count))
    }

    /// Checks the frame that starts with this head and whose bytes are `frame`; also gives the hash that it should have.
    pub fn check(&self, tenant: &Tenant, link: &Digest, frame: &[u8]) -> (Soundness, Digest) {
        let (body, hash) = frame[HEAD_BYTES..].split_at(self.body_bytes as usize);
        let mut chained = Vec::with_capacity(body.len());
        let count = chain(body, &mut chained);
        let due = tenant.frame_hash(link, self.first, self.count, &chained);
        let soundness = match count == Some(self.count) && due.0 == hash[..HASH_BYTES] {
            false => Soundness::Damaged,
            true if tenant.body_check(body) == self.body_check => Soundness::Whole,
            true => Soundness::Headers,
        };
        (soundness, due)
    }
}

fn short_at(bytes: &[u8], at: usize) -> [u8; 4] {
    bytes[at..at + 4].try_into().expect("four bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::to_hex;

    fn tenant() -> Tenant {
        Tenant { name: "acme".into(), key: TenantKey([7; 32]) }
    }

    #[test]
    fn a_header_comes_back_from_its_bytes() {
        let header = Header { number: 3, first: Seq(12), tenant: tenant(), link: Digest([9; 32]) };
        let bytes = header.encode();
        assert_eq!(bytes.len() as u64, tenant().header_bytes());
        assert_eq!(Header::decode(&bytes), Ok(header));
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_header_is_damage() {
        let bytes = Header { number: 3, first: Seq(12), tenant: tenant(), link: Digest([9; 32]) }.encode();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad), Err(HeaderFault::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let mut bytes = Header { number: 1, first: Seq(1), tenant: tenant(), link: Digest([9; 32]) }.encode();
        bytes[8] = 2;
        bytes[70] ^= 1;
        assert_eq!(Header::decode(&bytes), Err(HeaderFault::Format(2)));
    }

    #[test]
    fn payloads_are_outside_the_hash_and_inside_the_check() {
        let mut body = Body::default();
        body.push(Entry::new(b"header", b"payload"));
        let (link, mut frame) = (Digest([1; 32]), Vec::new());
        body.write_frame(&mut frame, &tenant(), Seq(5), &link);
        let head = Head::decode(&frame, &tenant()).expect("a head");
        assert_eq!(head.check(&tenant(), &link, &frame).0, Soundness::Whole);
        let soundness = |at: usize| {
            let mut bad = frame.clone();
            bad[at] ^= 1;
            head.check(&tenant(), &link, &bad).0
        };
        assert_eq!(soundness(HEAD_BYTES + 6 + 6), Soundness::Headers, "a payload");
        assert_eq!(soundness(HEAD_BYTES + 2), Soundness::Headers, "the prefix of an id");
        assert_eq!(soundness(HEAD_BYTES + 6), Soundness::Damaged, "a header");
        assert_eq!(soundness(HEAD_BYTES + 1), Soundness::Damaged, "a length");
        assert_eq!(head.check(&tenant(), &Digest([2; 32]), &frame).0, Soundness::Damaged, "another chain");
        let other = Tenant { name: "acme".into(), key: TenantKey([8; 32]) };
        assert_eq!(Head::decode(&frame, &other), None, "another tenant's");
    }

    #[test]
    fn zeros_are_no_frame() {
        assert_eq!(Head::decode(&[0; 64], &tenant()), None);
    }

    #[test]
    fn the_bytes_of_a_segment_are_pinned() {
        let header = Header { number: 1, first: Seq(1), tenant: tenant(), link: tenant().genesis() };
        let mut bytes = header.encode();
        let mut body = Body::default();
        body.push(Entry::new(b"head", b"payload"));
        body.push(Entry::new(b"h2", b""));
        let link = body.write_frame(&mut bytes, &tenant(), Seq(1), &header.link);
        Body::default().write_frame(&mut bytes, &tenant(), Seq(3), &link);
        let pinned = [
            // the magic
            "53594e434c494e45",
            // format, number, first sequence
            "01000000010000000100000000000000",
            // the tenant's key
            "0707070707070707070707070707070707070707070707070707070707070707",
            // the tenant's name
            "0461636d65",
            // check of the header
            "364c0aec00c0491081aab6563b4f68e2159548386ccf23cc44ff7daf7fde5715",
            // what the first frame is chained to
            "354051cc76c4fe7b2fb833551e6d3fa69fbb933fb40b63236b4273a85186f21d",
            // a frame: bytes, count, first sequence, checks
            "1900000002000000010000000000000089399434a74e157a",
            // an entry
            "040735f1ea00686561647061796c6f6164",
            // another, without a payload
            "02009d2672c26832",
            // the frame's hash
            "425d9571ec9bf49fd15a1fffab2eb0418e97db21259a6dac9d7912884e59065e",
            // the mark of a clean close
            "000000000000000003000000000000003564ba755b185b70",
            // its hash
            "c6440c418119d5d7219923d0dd9fb8c9186ba4b6360c2133e38e963e3e91be33",
        ];
        assert_eq!(to_hex(&bytes), pinned.concat());
    }
}

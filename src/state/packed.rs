//! How records, lines and pages are laid out as bytes.
//!
//! A record's candidates mostly come from a few events, each of which set several fields: what candidates have of their
//! event is written once for each event, and what that event said is written in the line. Numbers that grow along a line are
//! written as differences. All of it is derived state, so another layout needs another [`LAYOUT`](super::checkpoint::LAYOUT) and no more.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::{
    clock::Millis,
    codec::{self, CodecError},
    event::{Author, AuthorKind, Origin},
    id::{FieldName, Place, SaidId, Seq, SideName},
    merge::{
        Line, Record,
        line::{Entry, Parents},
        record::{Candidate, Field, Reason, Told},
    },
    value::Value,
};

/// By the byte that stands for each.
const AUTHOR_KINDS: [AuthorKind; 5] =
    [AuthorKind::Unnamed, AuthorKind::User, AuthorKind::Integration, AuthorKind::System, AuthorKind::Ours];
const REASONS: [Reason; 9] = [
    Reason::Only,
    Reason::Agreement,
    Reason::Authority,
    Reason::LastWrite,
    Reason::FirstWrite,
    Reason::Max,
    Reason::Min,
    Reason::Manual,
    Reason::Merge,
];

/// Appends a number, seven bits a byte, the lowest first (LEB128).
pub fn put_number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Takes a number off the front; `None` if the bytes end within it.
pub fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends the step from `before` to `value`; small steps either way are short.
pub fn put_step(bytes: &mut Vec<u8>, before: u64, value: u64) {
    let step = value.wrapping_sub(before) as i64;
    put_number(bytes, (step << 1 ^ step >> 63) as u64);
}

/// Takes a step from `before` off the front.
pub fn take_step(bytes: &mut &[u8], before: u64) -> Option<u64> {
    let coded = take_number(bytes)?;
    let step = (coded >> 1) as i64 ^ -((coded & 1) as i64);
    Some(before.wrapping_add(step as u64))
}

fn put_bytes(bytes: &mut Vec<u8>, part: &[u8]) {
    put_number(bytes, part.len() as u64);
    bytes.extend_from_slice(part);
}

fn take_bytes<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(take_number(bytes)?).ok()?;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

fn take_text<'b>(bytes: &mut &'b [u8]) -> Option<&'b str> {
    std::str::from_utf8(take_bytes(bytes)?).ok()
}

/// Appends something, or that there is nothing.
fn put_maybe<T>(bytes: &mut Vec<u8>, maybe: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    bytes.push(u8::from(maybe.is_some()));
    if let Some(some) = maybe {
        put(bytes, some);
    }
}

fn take_maybe<'b, T>(bytes: &mut &'b [u8], take: impl FnOnce(&mut &'b [u8]) -> Option<T>) -> Option<Option<T>> {
    match take_byte(bytes)? {
        0 => Some(None),
        1 => take(bytes).map(Some),
        _ => None,
    }
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*byte)
}

fn put_time(bytes: &mut Vec<u8>, before: Millis, time: Millis) {
    put_step(bytes, before.0 as u64, time.0 as u64);
}

fn take_time(bytes: &mut &[u8], before: Millis) -> Option<Millis> {
    take_step(bytes, before.0 as u64).map(|time| Millis(time as i64))
}

fn take_box(bytes: &mut &[u8]) -> Option<Box<str>> {
    take_text(bytes).map(Into::into)
}

fn take_maybe_box(bytes: &mut &[u8]) -> Option<Option<Box<str>>> {
    take_maybe(bytes, take_box)
}

fn put_maybe_text(bytes: &mut Vec<u8>, text: Option<&str>) {
    put_maybe(bytes, text, |bytes, text| put_bytes(bytes, text.as_bytes()));
}

/// What an event's words have in common, but for what it said; `before` is the time of the one written before it.
fn put_told(bytes: &mut Vec<u8>, told: &Told, before: Millis) {
    let Told { said: _, origin: Origin { side, link, node }, said_at, said_seq, author } = told;
    let Author { kind, id, contact, company } = author;
    put_bytes(bytes, side.as_bytes());
    put_maybe_text(bytes, link.as_deref());
    put_maybe_text(bytes, node.as_deref());
    put_time(bytes, before, *said_at);
    put_maybe(bytes, *said_seq, put_number);
    bytes.push(*kind as u8);
    put_bytes(bytes, id.as_bytes());
    put_maybe_text(bytes, contact.as_deref());
    put_maybe_text(bytes, company.as_deref());
}

fn take_told(bytes: &mut &[u8], said: SaidId, before: Millis) -> Option<Told> {
    let side = SideName::new(take_text(bytes)?).ok()?;
    let (link, node) = (take_maybe_box(bytes)?, take_maybe_box(bytes)?);
    let said_at = take_time(bytes, before)?;
    let said_seq = take_maybe(bytes, take_number)?;
    let kind = *AUTHOR_KINDS.get(usize::from(take_byte(bytes)?))?;
    let (id, contact, company) = (take_box(bytes)?, take_maybe_box(bytes)?, take_maybe_box(bytes)?);
    let author = Author { kind, id, contact, company };
    Some(Told { said, origin: Origin { side, link, node }, said_at, said_seq, author })
}

/// The events of a record's candidates, each with its entry, in the order in which they are first met.
#[derive(Default)]
struct Met<'r> {
    told: Vec<&'r Told>,
    of_entry: FxHashMap<u32, SmallVec<[u32; 2]>>,
}

impl<'r> Met<'r> {
    /// The number of an event; the number it gets if it is new.
    fn number(&mut self, candidate: &'r Candidate) -> Result<u32, u32> {
        let told = &*candidate.told;
        let numbers = self.of_entry.entry(candidate.entry).or_default();
        // One event may be told of in several ways.
        let is_it = |number: &&u32| {
            let known = self.told[**number as usize];
            std::ptr::eq(known, told) || known == told
        };
        if let Some(known) = numbers.iter().find(is_it) {
            return Ok(*known);
        }
        let number = self.told.len() as u32;
        numbers.push(number);
        self.told.push(told);
        Err(number)
    }
}

/// Appends a record. The first candidate of an event is followed by what is told of it, later ones only name its number.
pub fn put_record(bytes: &mut Vec<u8>, record: &Record) {
    let mut met = Met::default();
    let mut before = Millis(0);
    put_number(bytes, record.fields.len() as u64);
    for Field { name, candidates, winner, reason, merged } in &record.fields {
        put_bytes(bytes, name.as_bytes());
        put_number(bytes, candidates.len() as u64);
        for candidate in candidates {
            match met.number(candidate) {
                Ok(known) => put_number(bytes, u64::from(known)),
                Err(new) => {
                    put_number(bytes, u64::from(new));
                    put_number(bytes, u64::from(candidate.entry));
                    put_told(bytes, &candidate.told, before);
                    before = candidate.told.said_at;
                }
            }
            put_bytes(bytes, candidate.value.as_bytes());
            put_number(bytes, candidate.known.len() as u64);
            for (side, time) in &candidate.known {
                put_bytes(bytes, side.as_bytes());
                put_time(bytes, Millis(0), *time);
            }
        }
        put_number(bytes, u64::from(*winner));
        bytes.push(*reason as u8);
        put_maybe(bytes, merged.as_ref(), |bytes, merged| put_bytes(bytes, merged.as_bytes()));
    }
    codec::encode_into(bytes, record);
}

/// Reads a record whose line has these entries.
///
/// # Errors
/// If the bytes are not those of one.
pub fn record(mut bytes: &[u8], line: &[Entry]) -> Result<Record, CodecError> {
    let fields = take_fields(&mut bytes, line).ok_or(CodecError::NotCanonical)?;
    Ok(Record { fields, ..codec::decode_own(bytes)? })
}

fn take_fields(bytes: &mut &[u8], line: &[Entry]) -> Option<Vec<Field>> {
    let mut met: Vec<(u32, Arc<Told>)> = Vec::new();
    take_many(bytes, |bytes| {
        let name = FieldName::new(take_text(bytes)?).ok()?;
        let candidates = take_many(bytes, |bytes| take_candidate(bytes, line, &mut met))?;
        let winner = u32::try_from(take_number(bytes)?).ok()?;
        candidates.get(winner as usize)?;
        let reason = *REASONS.get(usize::from(take_byte(bytes)?))?;
        let merged = take_maybe(bytes, take_value)?;
        Some(Field { name, candidates, winner, reason, merged })
    })
}

fn take_candidate(bytes: &mut &[u8], line: &[Entry], met: &mut Vec<(u32, Arc<Told>)>) -> Option<Candidate> {
    let number = usize::try_from(take_number(bytes)?).ok()?;
    if number == met.len() {
        let entry = u32::try_from(take_number(bytes)?).ok()?;
        let said = line.get(entry as usize)?.said;
        let before = met.last().map_or(Millis(0), |(_, told)| told.said_at);
        met.push((entry, Arc::new(take_told(bytes, said, before)?)));
    }
    let (entry, told) = met.get(number)?;
    let value = take_value(bytes)?;
    let known = take_many(bytes, |bytes| Some((SideName::new(take_text(bytes)?).ok()?, take_time(bytes, Millis(0))?)))?;
    Some(Candidate { entry: *entry, told: Arc::clone(told), value, known })
}

fn take_value(bytes: &mut &[u8]) -> Option<Value> {
    Value::from_canonical(take_bytes(bytes)?).ok()
}

/// As many as a number in front of them says.
fn take_many<'b, T>(bytes: &mut &'b [u8], mut take: impl FnMut(&mut &'b [u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = usize::try_from(take_number(bytes)?).ok()?;
    // Each takes a byte at least, so no count makes room for more than there can be.
    let mut all = Vec::with_capacity(count.min(bytes.len()));
    for _ in 0..count {
        all.push(take(bytes)?);
    }
    Some(all)
}

/// Appends a line: sequences and places as steps from the entry before, parents as how far back they stand.
pub fn put_line(bytes: &mut Vec<u8>, line: &Line) {
    put_number(bytes, line.len() as u64);
    let mut before = (0, 0);
    for (at, entry) in line.entries().iter().enumerate() {
        bytes.extend_from_slice(&entry.said.0);
        put_step(bytes, before.0, entry.seq.0);
        put_step(bytes, before.1, entry.place.0);
        before = (entry.seq.0, entry.place.0);
        let parents = line.parents(at as u32);
        put_number(bytes, parents.len() as u64);
        parents.iter().for_each(|parent| put_step(bytes, u64::from(*parent), at as u64));
    }
}

/// Reads a line; `None` if the bytes are not those of one.
pub fn line(mut bytes: &[u8]) -> Option<Line> {
    let count = take_number(&mut bytes)?;
    // An entry takes at least this many bytes, so no count makes room for more than there can be.
    let mut entries = Vec::with_capacity(usize::try_from(count).ok()?.min(bytes.len() / 19));
    let mut before = (0, 0);
    for at in 0..count {
        let (said, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        before = (take_step(&mut bytes, before.0)?, take_step(&mut bytes, before.1)?);
        let mut parents = Parents::new();
        for _ in 0..take_number(&mut bytes)? {
            let back = take_step(&mut bytes, 0)?;
            let parent = u32::try_from(at.wrapping_sub(back)).ok().filter(|parent| u64::from(*parent) < count)?;
            parents.push(parent);
        }
        entries.push((Entry { said: SaidId(*said), seq: Seq(before.0), place: Place(before.1) }, parents));
    }
    bytes.is_empty().then(|| Line::of(entries))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_and_reason_has_its_byte() {
        (0..).zip(AUTHOR_KINDS).for_each(|(byte, kind)| assert_eq!(kind as u8, byte));
        (0..).zip(REASONS).for_each(|(byte, reason)| assert_eq!(reason as u8, byte));
    }

    proptest! {
        #[test]
        fn numbers_and_steps_come_back(numbers in prop::collection::vec(any::<u64>(), 0..20)) {
            let (mut bytes, mut before) = (Vec::new(), 0);
            for number in &numbers {
                put_number(&mut bytes, *number);
                put_step(&mut bytes, before, *number);
                before = *number;
            }
            let (mut rest, mut before) = (&bytes[..], 0);
            for number in &numbers {
                prop_assert_eq!(take_number(&mut rest), Some(*number));
                before = take_step(&mut rest, before).expect("it was put there");
                prop_assert_eq!(before, *number);
            }
            prop_assert_eq!(take_number(&mut rest), None);
        }
    }

    fn some_line() -> Line {
        let entry = |at: u8, parents: &[u32]| {
            let seq = Seq(u64::from(at) * 1_000 + 3);
            let place = Place::new(1 + u32::from(at) / 2, 77 * u32::from(200 - at));
            (Entry { said: SaidId([at; 16]), seq, place }, Parents::from(parents))
        };
        // The second waited for the third.
        Line::of(vec![entry(0, &[]), entry(1, &[2]), entry(2, &[0]), entry(9, &[1, 0])])
    }

    #[test]
    fn a_line_comes_back_also_where_a_parent_stands_behind_its_child() {
        let mut bytes = Vec::new();
        put_line(&mut bytes, &some_line());
        assert_eq!(line(&bytes), Some(some_line()));
        for cut in 0..bytes.len() {
            assert_eq!(line(&bytes[..cut]), None, "cut to {cut} bytes");
        }
    }

    fn candidate(entry: u32, side: &str, value: &str) -> Candidate {
        Candidate {
            entry,
            told: Arc::new(Told {
                said: SaidId([entry as u8; 16]),
                origin: Origin::side(SideName::new(side).expect("a good name")),
                said_at: Millis(1_750_000_000_000 + i64::from(entry)),
                said_seq: (entry > 0).then_some(u64::from(entry)),
                author: Author::user("ana"),
            }),
            value: Value::text(value),
            known: vec![(SideName::new("crm").expect("a good name"), Millis(5))],
        }
    }

    #[test]
    fn a_record_comes_back_and_tells_of_each_event_once() {
        let field = |name: &str, candidates: Vec<Candidate>| Field {
            name: FieldName::new(name).expect("a good name"),
            candidates,
            winner: 0,
            reason: Reason::LastWrite,
            merged: Some(Value::null()),
        };
        let due = |fields: Vec<Field>| Record { last: Seq(9), fields, echoes: 3, timed: true, ..Record::default() };
        let one = due(vec![field("a", vec![candidate(0, "crm", "x")])]);
        let two = due(vec![
            field("a", vec![candidate(0, "crm", "x")]),
            field("b", vec![candidate(0, "crm", "y"), candidate(1, "portal", "z")]),
            // The same event, told of otherwise.
            field("c", vec![candidate(1, "crm", "z")]),
        ]);
        let bytes = |record: &Record| {
            let mut bytes = Vec::new();
            put_record(&mut bytes, record);
            bytes
        };
        for record in [&one, &two, &Record::default()] {
            assert_eq!(super::record(&bytes(record), some_line().entries()).expect("it was put there"), *record);
            let known = record.fields.is_empty();
            assert_eq!(super::record(&bytes(record), &[]).is_ok(), known, "a word is on the line, or nowhere");
            let whole = bytes(record);
            for cut in 0..whole.len() {
                assert!(super::record(&whole[..cut], some_line().entries()).is_err(), "cut to {cut} bytes");
            }
        }
        let more = due(vec![one.fields[0].clone(), field("b", vec![candidate(0, "crm", "x")])]);
        assert!(bytes(&more).len() < bytes(&one).len() + 20, "the event is told of once");
    }
}

//! How records, lines and pages are laid out as bytes.
//!
//! A record's candidates mostly come from a few events, each of which set several fields: what candidates have of their
//! event is written once for each event, and what that event said is written in the line. Numbers that grow along a line are
//! written as differences. All of it is derived state, so another layout needs another [`LAYOUT`](super::checkpoint::LAYOUT) and no more.

use std::sync::Arc;

use crate::{
    clock::Millis,
    codec::{self, CodecError},
    event::{Author, Origin},
    id::{FieldName, Place, SaidId, Seq, SideName},
    merge::{
        Line, Record,
        line::{Entry, Parents},
        record::{Candidate, Field, Reason, Told},
    },
    value::Value,
};

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

/// Entry, origin, time, the side's own sequence, author.
type PackedTold<O, A> = (u32, O, Millis, Option<u64>, A);
/// Which of the told events, the value, and the sides that know of it.
type PackedCandidate<V, K> = (u32, V, K);
/// Name, candidates, winner, reason, and what all words make together.
type PackedField<N, C, M> = (N, C, u32, Reason, M);
type FieldBack = PackedField<FieldName, Vec<PackedCandidate<Value, Vec<(SideName, Millis)>>>, Option<Value>>;

/// Appends a record.
pub fn put_record<'r>(bytes: &mut Vec<u8>, record: &'r Record) {
    let mut told: Vec<(u32, &Told)> = Vec::new();
    let mut packed = Vec::with_capacity(record.fields.len());
    for Field { name, candidates, winner, reason, merged } in &record.fields {
        let mut pack = |candidate: &'r Candidate| {
            let new = (candidate.entry, &*candidate.told);
            let at = told
                .iter()
                .position(|known| known.0 == new.0 && (std::ptr::eq(known.1, new.1) || known.1 == new.1))
                .unwrap_or(told.len());
            if at == told.len() {
                told.push(new);
            }
            (at as u32, &candidate.value, &candidate.known)
        };
        let candidates: Vec<PackedCandidate<&Value, &Vec<_>>> = candidates.iter().map(&mut pack).collect();
        packed.push((name, candidates, *winner, *reason, merged));
    }
    let told = told.into_iter().map(|(entry, told)| {
        let Told { said: _, origin, said_at, said_seq, author } = told;
        (entry, origin, *said_at, *said_seq, author)
    });
    codec::encode_into(bytes, &(told.collect::<Vec<PackedTold<&Origin, &Author>>>(), packed, record));
}

/// Reads a record whose line has these entries.
///
/// # Errors
/// If the bytes are not those of one.
pub fn record(bytes: &[u8], line: &[Entry]) -> Result<Record, CodecError> {
    type Back = (Vec<PackedTold<Origin, Author>>, Vec<FieldBack>, Record);
    let (told, fields, mut record): Back = codec::decode(bytes)?;
    let told = told.into_iter().map(|(entry, origin, said_at, said_seq, author)| {
        let said = line.get(entry as usize).ok_or(CodecError::NotCanonical)?.said;
        Ok((entry, Arc::new(Told { said, origin, said_at, said_seq, author })))
    });
    let told = told.collect::<Result<Vec<(u32, Arc<Told>)>, CodecError>>()?;
    let candidate = |(at, value, known): PackedCandidate<Value, Vec<(SideName, Millis)>>| {
        let (entry, told) = told.get(at as usize).ok_or(CodecError::NotCanonical)?;
        Ok(Candidate { entry: *entry, told: Arc::clone(told), value, known })
    };
    record.fields = Vec::with_capacity(fields.len());
    for (name, candidates, winner, reason, merged) in fields {
        let candidates = candidates.into_iter().map(candidate).collect::<Result<Vec<_>, CodecError>>()?;
        record.fields.push(Field { name, candidates, winner, reason, merged });
    }
    Ok(record)
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
        put_number(bytes, entry.parents.len() as u64);
        entry.parents.iter().for_each(|parent| put_step(bytes, u64::from(*parent), at as u64));
    }
}

/// Reads the entries of a line; `None` if the bytes are not those of one.
pub fn entries(mut bytes: &[u8]) -> Option<Vec<Entry>> {
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
        entries.push(Entry { said: SaidId(*said), seq: Seq(before.0), place: Place(before.1), parents });
    }
    bytes.is_empty().then_some(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        let entry = |at: u8, parents: &[u32]| Entry {
            said: SaidId([at; 16]),
            seq: Seq(u64::from(at) * 1_000 + 3),
            place: Place::new(1 + u32::from(at) / 2, 77 * u32::from(200 - at)),
            parents: parents.into(),
        };
        // The second waited for the third.
        Line::from_entries(vec![entry(0, &[]), entry(1, &[2]), entry(2, &[0]), entry(9, &[1, 0])])
    }

    #[test]
    fn a_line_comes_back_also_where_a_parent_stands_behind_its_child() {
        let mut bytes = Vec::new();
        put_line(&mut bytes, &some_line());
        assert_eq!(entries(&bytes).map(Line::from_entries), Some(some_line()));
        for cut in 0..bytes.len() {
            assert_eq!(entries(&bytes[..cut]), None, "cut to {cut} bytes");
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
        }
        let more = due(vec![one.fields[0].clone(), field("b", vec![candidate(0, "crm", "x")])]);
        assert!(bytes(&more).len() < bytes(&one).len() + 20, "the event is told of once");
    }
}

//! Taking events into a record, however long its history is.

use divan::{Bencher, counter::ItemsCount};
use syncline::{
    merge::{self, Heard, Line, Record},
    rulebook::Rulebook,
};

use crate::telling::{Seen, book, take, told, told_in_line};

const EVENTS: [usize; 3] = [10, 1_000, 100_000];

/// Takes all events in, one by one, from nothing.
fn all(bencher: Bencher, events: &[Heard], conflicts: bool) {
    let book: Rulebook = book();
    let (mut record, mut line) = (Record::default(), Line::default());
    assert_eq!(take(&mut record, &mut line, &[], events, &book), 0, "the short way takes them all");
    assert_eq!(record.conflicts() > 0, conflicts, "the story is the one that is meant");
    bencher.counter(ItemsCount::new(events.len())).bench(|| {
        let (mut record, mut line) = (Record::default(), Line::default());
        take(&mut record, &mut line, &[], events, &book);
        (record, line)
    });
}

/// Each event has seen the one before.
#[divan::bench(args = EVENTS, max_time = 1)]
fn sequential(bencher: Bencher, events: usize) {
    all(bencher, &told(events, Seen::Before), false);
}

/// Linear events, as sides send them.
#[divan::bench(args = EVENTS, max_time = 1)]
fn in_line(bencher: Bencher, events: usize) {
    all(bencher, &told_in_line(events), true);
}

/// Each event has seen its own side's only.
#[divan::bench(args = EVENTS, max_time = 1)]
fn concurrent(bencher: Bencher, events: usize) {
    all(bencher, &told(events, Seen::Own), true);
}

/// One event that comes when the record is past its place, and asks for a fold of all.
#[divan::bench(args = EVENTS, max_time = 2, sample_size = 1, sample_count = 20)]
fn late(bencher: Bencher, events: usize) {
    let book = book();
    let mut known = told_in_line(events);
    let mut next = known.remove(events / 2);
    next.seq = known[events - 2].seq.next();
    let next = [next];
    let (record, line) = merge::fold(&known, &book);
    assert_eq!(take(&mut record.clone(), &mut line.clone(), &known, &next, &book), 1, "it asks for a fold");
    bencher.with_inputs(|| (record.clone(), line.clone())).bench_values(|(mut record, mut line)| {
        take(&mut record, &mut line, &known, &next, &book);
        (record, line)
    });
}

/// All events together.
#[divan::bench(args = EVENTS, max_time = 2, sample_size = 1, sample_count = 20)]
fn fold(bencher: Bencher, events: usize) {
    let (book, events) = (book(), told(events, Seen::Own));
    bencher.counter(ItemsCount::new(events.len())).bench(|| merge::fold(&events, &book));
}

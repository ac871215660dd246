//! Comparing a record with what a side shows.

use divan::Bencher;
use syncline::{
    event::{Author, Draft, Kind, Origin},
    merge::{Heard, Line, Record},
    projection::plan,
};

use crate::telling::{BEGINS, book, edit, field, record, seal, side, take, told_in_line};

const FIELDS: [usize; 2] = [8, 64];

/// A record with so many fields, all said by the CRM, and whether the portal shows them.
fn told(fields: usize, is_shown: bool) -> Record {
    let mut words = edit(0);
    let said = |number: usize| (field(&format!("field_{number:02}")), words.words[0].1.clone());
    words.words = (0..fields).map(said).collect();
    let shown = words.words.clone();
    let sealed = seal(words);
    let carried = sealed.event.header.said;
    let mut heard: Vec<Heard> = told_in_line(1);
    heard[0].event = sealed.event;
    if is_shown {
        let at = BEGINS.plus(10);
        let mut receipt = Draft::new(Kind::Receipt, record(), Origin::side(side("portal")), at, Author::engine());
        (receipt.words, receipt.carries) = shown.into_iter().map(|word| (word, vec![carried])).unzip();
        let (seq, place) = (heard[0].seq.next(), heard[0].place);
        heard.push(Heard { seq, place, event: seal(receipt).event });
    }
    let (mut record, mut line) = (Record::default(), Line::default());
    take(&mut record, &mut line, &[], &heard, &book());
    record
}

fn planned(bencher: Bencher, record: &Record, puts: usize) {
    let book = book();
    let make = || plan("contact", record, "portal", book.newest());
    assert_eq!(make().puts.len(), puts, "the plan holds what differs");
    bencher.bench(make);
}

/// The side has nothing yet: the record is made there, with every field.
#[divan::bench(args = FIELDS, max_time = 1)]
fn all_differs(bencher: Bencher, fields: usize) {
    planned(bencher, &told(fields, false), fields + 1);
}

/// The side shows everything.
#[divan::bench(args = FIELDS, max_time = 1)]
fn nothing_differs(bencher: Bencher, fields: usize) {
    planned(bencher, &told(fields, true), 0);
}

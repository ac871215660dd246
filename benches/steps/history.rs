//! A record's story, read from a store.

use std::sync::atomic::{AtomicUsize, Ordering};

use divan::{Bencher, black_box, counter::ItemsCount};
use syncline::{
    engine::Engine,
    history::{Position, Principal, Reader},
};
use tempfile::TempDir;

use crate::telling::{BEGINS, RECORD, edit};

const EVENTS: [usize; 3] = [10, 100, 10_000];
/// One record that everybody edits is to be no slower than any other.
const HOT: [usize; 3] = [10, 1_000, 100_000];

fn store(events: usize) -> (TempDir, Engine) {
    let dir = tempfile::tempdir().expect("a directory");
    let (engine, _) = Engine::builder(dir.path().join("store")).open().expect("a new store opens");
    for start in (0..events).step_by(256) {
        let drafts = (start..events.min(start + 256)).map(edit).collect();
        engine.say(drafts).expect("the store works");
    }
    (dir, engine)
}

fn reader(engine: &Engine) -> Reader {
    engine.read(&Principal::operator())
}

/// One edit more, taken in; not waited for until it is on disk.
#[divan::bench(args = HOT, max_time = 1)]
fn edited(bencher: Bencher, events: usize) {
    let (_dir, engine) = store(events);
    let next = AtomicUsize::new(events);
    bencher
        .with_inputs(|| vec![engine.seal(edit(next.fetch_add(1, Ordering::Relaxed))).expect("it is small")])
        .bench_values(|sealed| engine.submit(sealed).expect("the store works"));
}

/// The record as it stands.
#[divan::bench(args = HOT, max_time = 1)]
fn get(bencher: Bencher, events: usize) {
    let (_dir, engine) = store(events);
    bencher.bench(|| reader(&engine).get(black_box(RECORD)).expect("the store works").expect("it is there"));
}

/// Everything that was said.
#[divan::bench(args = EVENTS, max_time = 1, sample_size = 1)]
fn whole(bencher: Bencher, events: usize) {
    let (_dir, engine) = store(events);
    let ask = || reader(&engine).history(black_box(RECORD), None).expect("the store works").expect("it is there");
    assert_eq!(ask().len(), events, "every word is told");
    bencher.counter(ItemsCount::new(events)).bench(ask);
}

/// Why one field has its value.
#[divan::bench(args = HOT, max_time = 1)]
fn why(bencher: Bencher, events: usize) {
    let (_dir, engine) = store(events);
    bencher.bench(|| reader(&engine).why(black_box(RECORD), "address").expect("the store works").expect("it is there"));
}

/// The record as it was half-way.
#[divan::bench(args = EVENTS, max_time = 1, sample_size = 1)]
fn as_of(bencher: Bencher, events: usize) {
    let (_dir, engine) = store(events);
    let position = Position::Time(BEGINS.plus(events as i64 / 2));
    bencher.bench(|| reader(&engine).at(position).get(black_box(RECORD)).expect("the store works"));
}

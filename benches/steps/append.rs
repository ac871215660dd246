//! Frames onto the disk.

use std::sync::Arc;

use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use syncline::{
    event::Sealed,
    log::{Entry, Log, Options, disk::RealDisk},
};
use tempfile::TempDir;

use crate::telling::{KEY, edit, seal};

/// Entries of one group commit.
const ENTRIES: usize = 256;

fn log() -> (TempDir, Log) {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::create(Arc::new(RealDisk), &dir.path().join("log"), &KEY, "bench", Options::default());
    (dir, log.expect("a new log opens"))
}

/// One frame of 256 entries, on disk.
#[divan::bench(max_time = 2, sample_size = 1)]
fn frame_of_256(bencher: Bencher) {
    let (_dir, log) = log();
    let sealed: Vec<Sealed> = (0..ENTRIES).map(|number| seal(edit(number))).collect();
    let entry = |one| -> Entry<'_> {
        let one: &Sealed = one;
        Entry { id: one.id(), header: &one.header, payload: &one.payload }
    };
    let entries: Vec<Entry<'_>> = sealed.iter().map(entry).collect();
    let bytes: usize = entries.iter().map(|entry| entry.header.len() + entry.payload.len()).sum();
    bencher.counter(ItemsCount::new(ENTRIES)).counter(BytesCount::new(bytes)).bench_local(|| {
        let appended = log.append(&entries).expect("the disk works");
        log.wait(appended.last).expect("the disk works");
    });
    assert_eq!(log.durable(), log.last(), "all that was measured is on disk");
}

/// One entry alone, on disk: what a single edit waits for.
#[divan::bench(max_time = 1, sample_size = 1)]
fn one_entry(bencher: Bencher) {
    let (_dir, log) = log();
    let sealed = seal(edit(0));
    bencher.bench_local(|| {
        let entry = Entry { id: sealed.id(), header: &sealed.header, payload: &sealed.payload };
        let appended = log.append(&[entry]).expect("the disk works");
        log.wait(appended.last).expect("the disk works");
    });
}

/// An edit's ids and bytes, before it is appended.
#[divan::bench(max_time = 1)]
fn seal_one(bencher: Bencher) {
    bencher.with_inputs(|| edit(7)).bench_values(seal);
}

//! Group commit, and segments that roll.

use std::{sync::Arc, thread};

use super::{
    ENTRY_BYTES_MAX, Entry, Log, LogError, Options,
    crash_tests::{append, check, create, dir, open},
    disk::RealDisk,
    segment::file_name,
};
use crate::{
    id::{Seq, TenantKey},
    sim::disk::{SimDisk, Trouble},
};

#[test]
fn one_sync_serves_all_who_wait() {
    let disk = SimDisk::new();
    let log = Log::create(disk.shared(), dir(), &TenantKey([7; 32]), "acme", Options::default()).expect("created");
    let before = disk.syncs();
    // The disk stands still while all of them append, so at most the first frame leaves before the others form one.
    let held = disk.hold_syncs();
    let appended = std::sync::Barrier::new(9);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let last = log.append(&[Entry::new(b"h", b"p")]).expect("appended").last;
                appended.wait();
                log.wait(last).expect("durable");
                assert!(log.durable() >= last);
            });
        }
        appended.wait();
        assert_eq!((log.durable(), log.last()), (Seq(0), Seq(8)), "nobody is answered before the sync");
        drop(held);
    });
    assert_eq!(log.durable(), Seq(8));
    assert!(disk.syncs() - before <= 2, "{} syncs for 8 appends", disk.syncs() - before);
}

#[test]
fn threads_that_append_together_get_their_own_entries_back() {
    let disk = SimDisk::new();
    let log = create(&disk).expect("created");
    thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || {
                for nth in 0..50 {
                    let header = format!("{thread} {nth}");
                    let entries = [Entry::new(header.as_bytes(), &[7; 40]); 2];
                    let appended = log.append(&entries).expect("appended");
                    assert_eq!(appended.last, appended.first.next());
                    for place in &appended.places {
                        assert_eq!(log.read(*place).expect("read").header, header.as_bytes());
                    }
                    log.wait(appended.last).expect("durable");
                    for place in &appended.places {
                        assert_eq!(log.read(*place).expect("read").header, header.as_bytes());
                    }
                    assert_eq!(log.find(appended.first).expect("found"), appended.places[0]);
                }
            });
        }
    });
    assert_eq!(log.scan(Seq(1)).filter_map(Result::ok).count(), 800);
}

#[test]
fn segments_roll_and_sealed_ones_never_change() {
    let disk = SimDisk::new();
    let log = create(&disk).expect("created");
    let mut sealed: Vec<Vec<u8>> = Vec::new();
    for _ in 0..40 {
        log.wait(append(&log, 3).expect("appended")).expect("durable");
        let names = disk.names().into_iter().filter(|path| path.extension().is_some_and(|end| end == "seg"));
        let segments: Vec<Vec<u8>> = names.map(|path| disk.bytes(&path)).collect();
        assert_eq!(segments[..sealed.len()], sealed);
        sealed = segments[..segments.len() - 1].to_vec();
    }
    assert!(sealed.len() > 10);
    assert!(sealed.iter().all(|bytes| bytes.len() <= 1500), "no segment is larger than it should be");
    assert_eq!(log.bytes(), disk.seg_bytes(), "all bytes are counted");
    check(&log);
    log.close().expect("closed");
    let (log, recovery) = open(&disk, 0).expect("opened");
    assert_eq!(recovery, Default::default());
    assert_eq!(check(&log), 120);
    assert!(log.scan(Seq(77)).map(|stored| stored.expect("sound").seq.0).eq(77..=120));
    disk.plan_bad_read(1);
    assert!(log.scan(Seq(121)).next().is_none());
    assert!(
        matches!(log.find(Seq(121)), Err(LogError::Io { .. })),
        "that there is nothing more was told without a read"
    );
    assert!(matches!(log.find(Seq(121)), Err(LogError::NoSeq { .. })));
    log.wait(append(&log, 9).expect("appended")).expect("durable");
    assert_eq!(log.bytes(), disk.seg_bytes(), "the mark of the clean close went when the next segment began");
    assert!(matches!(log.find(Seq(0)), Err(LogError::NoSeq { .. })));
}

#[test]
fn an_append_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimDisk::new();
    let log = create(&disk).expect("created");
    log.wait(append(&log, 1).expect("appended")).expect("durable");
    let payload = vec![1; ENTRY_BYTES_MAX - 1];
    let large = log.append(&[Entry::new(b"h", &payload)]).expect("appended");
    let small = log.append(&[Entry::new(b"i", b"")]).expect("appended");
    log.wait(small.last).expect("durable");
    assert_eq!((large.places[0].segment(), small.places[0].segment()), (2, 3));
    assert_eq!(log.read(large.places[0]).expect("read").payload, payload);
    let why = log.append(&[Entry::new(b"hh", &payload)]).expect_err("too large");
    assert!(matches!(why, LogError::EntryTooLarge { bytes } if bytes == ENTRY_BYTES_MAX + 1));
    let many = vec![Entry::new(b"h", &payload); 17];
    assert!(matches!(log.append(&many), Err(LogError::AppendTooLarge { .. })));
    assert_eq!(log.last(), small.last, "what is refused leaves nothing");
    log.close().expect("closed");
    let (log, _) = open(&disk, 0).expect("opened");
    assert_eq!(log.read(large.places[0]).expect("read").payload, payload);
}

#[test]
fn nothing_to_append_is_no_entry() {
    let disk = SimDisk::new();
    let log = create(&disk).expect("created");
    let appended = log.append(&[]).expect("appended");
    assert_eq!((appended.first, appended.last, appended.places.len()), (Seq(1), Seq(0), 0));
    log.wait(appended.last).expect("nothing to wait for");
    assert!(matches!(log.wait(Seq(1)), Err(LogError::NoSeq { .. })));
}

#[test]
fn opening_and_closing_leaves_no_trace() {
    let disk = SimDisk::new();
    let log = create(&disk).expect("created");
    append(&log, 3).expect("appended");
    log.close().expect("closed, and what was waiting is written");
    let bytes = disk.bytes(&dir().join(file_name(1)));
    for _ in 0..3 {
        let (log, _) = open(&disk, 0).expect("opened");
        assert_eq!(log.durable(), Seq(3));
        assert_eq!(log.tenant(), ("acme", &TenantKey([7; 32])));
        log.close().expect("closed");
        assert_eq!(disk.bytes(&dir().join(file_name(1))), bytes);
    }
}

#[test]
fn a_disk_that_panics_leaves_nobody_waiting() {
    let disk = SimDisk::new();
    let log = create(&disk).expect("created");
    disk.plan(1, Trouble::Panic);
    let last = append(&log, 1).expect("appended");
    assert!(matches!(log.wait(last), Err(LogError::Failed { .. })));
    assert!(matches!(log.close(), Err(LogError::Failed { .. })));
}

#[test]
fn a_log_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Log>();
}

#[test]
fn a_log_lives_on_the_real_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = dir.path().join("deep/store");
    let (disk, options) = (Arc::new(RealDisk), Options { segment_bytes: 4096 });
    let log = Log::create(disk.clone(), &store, &TenantKey([7; 32]), "acme", options).expect("created");
    let header = [7; 1000];
    for _ in 0..10 {
        let last = log.append(&[Entry::new(&header, b"payload"); 2]).expect("appended").last;
        log.wait(last).expect("durable");
    }
    let why = Log::open(disk.clone(), &store, options, Seq(0)).map(drop).expect_err("it is open");
    assert_eq!(why.to_string(), format!("the store is in use by process {}", std::process::id()));
    log.close().expect("closed");
    let (log, recovery) = Log::open(disk, &store, options, Seq(0)).expect("opened");
    assert_eq!(recovery, Default::default());
    assert_eq!(
        log.scan(Seq(1)).map(|stored| stored.expect("sound")).filter(|stored| stored.header == header).count(),
        20
    );
    let verified = log.verify(&|_, payload| payload == b"payload", &mut |_| {}).expect("verified");
    assert_eq!((verified.events, verified.bytes, verified.faults.len()), (20, log.bytes(), 0));
}

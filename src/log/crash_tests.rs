//! What survives: power cuts, failing syncs and a full disk, at every operation of a scripted life.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{
    Entry, Log, LogError, Options, Recovery, Stored,
    segment::{FORMING, FRAME_BYTES_MIN},
};
use crate::{
    id::{Seq, TenantKey},
    sim::disk::{Cut, SimDisk, Trouble},
};

pub(super) const SMALL: Options = Options { segment_bytes: 1500 };

pub(super) fn dir() -> &'static Path {
    Path::new("store")
}

/// What the entry with this sequence says: its length differs, and some entries take several sectors.
pub(super) fn content(seq: u64) -> (Vec<u8>, Vec<u8>) {
    let payload = format!("payload {seq} ").repeat(if seq.is_multiple_of(5) { 90 } else { seq as usize % 4 });
    (format!("header {seq}").into_bytes(), payload.into_bytes())
}

pub(super) fn create(disk: &SimDisk) -> Result<Log, LogError> {
    Log::create(disk.shared(), dir(), &TenantKey([7; 32]), "acme", SMALL)
}

pub(super) fn open(disk: &SimDisk, checkpointed: u64) -> Result<(Log, Recovery), LogError> {
    Log::open(disk.shared(), dir(), SMALL, Seq(checkpointed))
}

/// Appends the next `count` entries in one call.
pub(super) fn append(log: &Log, count: u64) -> Result<Seq, LogError> {
    let first = log.last().0 + 1;
    let contents: Vec<_> = (first..first + count).map(content).collect();
    let entries: Vec<_> = contents.iter().map(|(header, payload)| Entry::new(header, payload)).collect();
    let appended = log.append(&entries)?;
    assert_eq!(appended.first, Seq(first));
    for ((header, payload), place) in contents.iter().zip(&appended.places) {
        let read = log.read(*place)?;
        assert_eq!((&read.header, &read.payload), (header, payload), "an entry reads before it is durable");
    }
    Ok(appended.last)
}

pub(super) fn entries(log: &Log) -> Vec<Stored> {
    log.scan(Seq(1)).collect::<Result<_, _>>().expect("an undamaged log")
}

/// Checks that all of the log is what was said, and gives how much there is.
pub(super) fn check(log: &Log) -> u64 {
    let entries = entries(log);
    for (entry, seq) in entries.iter().zip(1..) {
        assert_eq!(entry.seq, Seq(seq));
        assert_eq!((entry.header.clone(), entry.payload.clone()), content(seq));
        assert_eq!(log.find(entry.seq).expect("found"), entry.place);
        let read = log.read(entry.place).expect("read");
        assert_eq!((read.header, read.payload), content(seq));
    }
    assert_eq!(log.durable(), Seq(entries.len() as u64));
    let verified = log.verify(&|_, _| true, &mut |_| {}).expect("a disk that works");
    assert_eq!((verified.events, verified.faults.as_slice()), (entries.len() as u64, [].as_slice()));
    entries.len() as u64
}

/// What the world was told: this much is on disk.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    durable: u64,
    checkpointed: u64,
}

/// Three sessions, of which the second ends without a checkpoint, whatever state the disk is in.
fn live(disk: &SimDisk, told: &mut Told) -> Result<(), LogError> {
    for (session, calls) in [[3, 1, 5, 1], [1, 1, 7, 2], [2, 4, 1, 1]].into_iter().enumerate() {
        let log = match open(disk, told.checkpointed) {
            Ok((log, recovery)) => {
                assert_eq!(recovery.faults, [], "a crash is not taken for damage");
                log
            }
            Err(LogError::Missing { .. }) if told.durable == 0 => create(disk)?,
            Err(why) => return Err(why),
        };
        assert!(check(&log) >= told.durable, "what was acknowledged is there: {told:?}");
        told.durable = log.durable().0;
        for (call, count) in calls.into_iter().enumerate() {
            let last = append(&log, count)?;
            if call != 2 {
                log.wait(last)?;
                told.durable = last.0;
            }
        }
        if session != 1 {
            told.checkpointed = told.durable;
        }
        log.close()?;
    }
    Ok(())
}

const CUTS: [Cut; 8] =
    [Cut::Lost, Cut::Kept, Cut::Zeroed, Cut::Prefix(1), Cut::Sectors(1), Cut::Sectors(2), Cut::Torn(1), Cut::Torn(2)];

/// Opens what is left, checks it, and lives on.
fn survives(disk: &SimDisk, mut told: Told, what: &str) {
    live(disk, &mut told).unwrap_or_else(|why| panic!("{what}: {why}"));
    let (log, recovery) = open(disk, 0).expect("the log opens");
    assert_eq!((recovery.faults, recovery.torn, recovery.rewritten), (vec![], None, None), "{what}");
    assert!(check(&log) >= told.durable, "{what}");
    assert_eq!(disk.seg_bytes(), log.bytes() + FRAME_BYTES_MIN as u64, "nothing is left but the mark, {what}");
    let forming = |path: &PathBuf| path.extension().is_some_and(|extension| extension == FORMING);
    assert!(!disk.names().iter().any(forming), "{what}");
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_every_operation() {
    for nth in 1.. {
        let (disk, mut told) = (SimDisk::new(), Told::default());
        disk.plan(nth, Trouble::Crash);
        let lived = live(&disk, &mut told);
        if !disk.met() {
            assert!(nth > 40, "the life has many operations");
            return lived.expect("an undisturbed life");
        }
        for cut in CUTS {
            survives(&disk.after(cut), told, &format!("a power cut at operation {nth}, {cut:?}"));
        }
    }
}

#[test]
fn a_power_cut_during_recovery_does_no_harm() {
    let mut recoveries = 0;
    for nth in 1.. {
        let (disk, mut told) = (SimDisk::new(), Told::default());
        disk.plan(nth, Trouble::Crash);
        live(&disk, &mut told).ok();
        if !disk.met() {
            break;
        }
        for cut in [Cut::Lost, Cut::Kept, Cut::Torn(nth), Cut::Torn(nth + 1000)] {
            for again in 1.. {
                let disk = disk.after(cut);
                disk.plan(again, Trouble::Crash);
                let opened = open(&disk, told.checkpointed);
                if opened.is_ok() || matches!(opened, Err(LogError::Missing { .. })) {
                    break;
                }
                recoveries += 1;
                for cut in [Cut::Lost, Cut::Torn(nth)] {
                    let what = format!("a power cut at operation {nth} and in recovery at {again}, {cut:?}");
                    survives(&disk.after(cut), told, &what);
                }
            }
        }
    }
    assert!(recoveries > 100, "{recoveries} recoveries had something to do");
}

/// After a failed sync the page cache holds what the disk does not: it reads well, until the power goes.
#[test]
fn an_error_at_every_operation_loses_nothing_even_if_the_power_goes_later() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        for nth in 1.. {
            let (disk, mut told) = (SimDisk::new(), Told::default());
            disk.plan(nth, Trouble::Once(kind));
            let lived = live(&disk, &mut told);
            if !disk.met() {
                lived.expect("an undisturbed life");
                break;
            }
            disk.heal();
            let (log, recovery) = match open(&disk, told.checkpointed) {
                Ok(opened) => opened,
                Err(LogError::Missing { .. }) if told.durable == 0 => continue,
                Err(why) => panic!("after an error at operation {nth}: {why}"),
            };
            assert_eq!(recovery.faults, []);
            assert!(check(&log) >= told.durable, "after an error at operation {nth}");
            // What the reopened log shows may be answered for: it counts as durable.
            told.durable = log.durable().0;
            for cut in CUTS {
                let what = format!("an error at operation {nth}, reopened, then a power cut, {cut:?}");
                survives(&disk.after(cut), told, &what);
            }
        }
    }
}

#[test]
fn an_error_is_final_for_the_handle() {
    for (nth, doing) in [(1, "write"), (2, "sync")] {
        let disk = SimDisk::new();
        let log = create(&disk).expect("created");
        log.wait(append(&log, 2).expect("appended")).expect("durable");
        disk.plan(nth, Trouble::Once(ErrorKind::Other));
        let last = append(&log, 1).expect("appended");
        assert!(matches!(log.wait(last), Err(LogError::Failed { .. })), "the {doing} fails");
        disk.heal();
        assert!(matches!(log.wait(last), Err(LogError::Failed { .. })));
        assert!(matches!(log.append(&[Entry::new(b"h", b"")]), Err(LogError::Failed { .. })));
        log.wait(Seq(2)).expect("what was durable is");
        assert_eq!(log.durable(), Seq(2));
        assert_eq!(entries(&log).len(), 2);
        assert!(matches!(log.close(), Err(LogError::Failed { .. })));
        let (log, _) = open(&disk, 0).expect("a new handle");
        log.wait(append(&log, 1).expect("appended")).expect("durable");
        check(&log);
    }
}

#[test]
fn a_full_disk_stops_the_log_until_there_is_space() {
    let disk = SimDisk::new();
    let log = create(&disk).expect("created");
    log.wait(append(&log, 3).expect("appended")).expect("durable");
    disk.plan(1, Trouble::Full);
    let last = append(&log, 4).expect("appended");
    let why = log.wait(last).expect_err("no space");
    assert!(why.is_disk_full());
    drop(log);
    disk.heal();
    let (log, recovery) = open(&disk, 0).expect("opened");
    let torn = recovery.torn.expect("half a frame");
    assert_eq!(torn.after, Seq(3));
    assert!(torn.bytes > 0);
    assert_eq!(check(&log), 3);
    log.wait(append(&log, 4).expect("appended")).expect("durable");
    assert_eq!(check(&log), 7);
}

/// A tail that could not be read is not a torn one: cutting it off would lose what was acknowledged.
#[test]
fn a_bad_read_while_opening_is_an_error_and_changes_nothing() {
    let disk = SimDisk::new();
    let log = create(&disk).expect("created");
    for _ in 0..6 {
        log.wait(append(&log, 4).expect("appended")).expect("durable");
    }
    drop(log);
    let mut bad = 0;
    for nth in 1.. {
        let disk = disk.after(Cut::Kept);
        disk.plan_bad_read(nth);
        match open(&disk, 0) {
            Ok(_) => break,
            Err(why) => assert!(matches!(why, LogError::Io { .. }), "read {nth}: {why}"),
        }
        bad += 1;
        let (log, recovery) = open(&disk, 0).expect("opened");
        assert_eq!((recovery, check(&log)), (Recovery::default(), 24));
    }
    assert!(bad > 5, "several reads were tried");
}

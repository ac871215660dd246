//! Damage: it is told from what a crash leaves, it is named, and it never reads as if it were sound.

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf};

use super::{
    Entry, FaultKind, Log, LogError, Options, Recovery,
    crash_tests::{SMALL, append, check, content, create, dir, open},
    segment::{self, FRAME_BYTES_MIN},
    walk::{Depth, Step, Walker},
};
use crate::{
    id::{Place, Seq, TenantKey},
    sim::disk::{Cut, SimDisk},
};

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(disk: &SimDisk) -> Files {
    let segments = disk.names().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.map(|path| (path.clone(), disk.bytes(&path))).collect()
}

fn disk_with(files: &Files) -> SimDisk {
    let disk = SimDisk::new();
    files.iter().for_each(|(path, bytes)| disk.put(path, bytes.clone()));
    disk
}

fn path(number: u32) -> PathBuf {
    dir().join(segment::file_name(number))
}

/// The files of a log with several segments and frames of one to four entries, closed cleanly, and how much it holds.
fn some_log() -> (Files, u64) {
    let disk = SimDisk::new();
    let log = create(&disk).expect("created");
    for nth in 0..16 {
        log.wait(append(&log, 1 + nth % 4).expect("appended")).expect("durable");
    }
    let entries = check(&log);
    log.close().expect("closed");
    (files(&disk), entries)
}

/// Reads everything in every way, and gives the sequences that do not read as they were written.
fn unread(log: &Log, entries: u64) -> Vec<u64> {
    let mut intact = vec![false; entries as usize + 1];
    let mut named = vec![false; entries as usize + 1];
    for stored in log.scan(Seq(1)) {
        match stored {
            Ok(stored) => {
                assert_eq!((stored.header, stored.payload), content(stored.seq.0));
                intact[stored.seq.0 as usize] = true;
            }
            Err(LogError::Corrupt { seqs, .. }) => {
                (seqs.start().0..=seqs.end().0).for_each(|seq| named[seq as usize] = true);
            }
            Err(why) => panic!("{why}"),
        }
    }
    for seq in 1..=entries {
        match log.find(Seq(seq)).and_then(|place| log.read(place)) {
            Ok(read) => assert_eq!(read.header, content(seq).0),
            Err(LogError::Corrupt { .. } | LogError::NoEntry { .. } | LogError::NoSeq { .. }) => {
                assert!(!intact[seq as usize], "what a scan gives can be found, {seq}");
            }
            Err(why) => panic!("{why}"),
        }
    }
    let missing: Vec<u64> = (1..=entries).filter(|seq| !intact[*seq as usize]).collect();
    assert!(missing.iter().all(|seq| named[*seq as usize]), "{missing:?} are named, every one");
    missing
}

fn sound(header: &[u8], payload: &[u8]) -> bool {
    let seq = std::str::from_utf8(header).ok().and_then(|header| header.strip_prefix("header ")?.parse().ok());
    seq.is_some_and(|seq| content(seq) == (header.to_vec(), payload.to_vec()))
}

/// Which entries lie in each frame of a file, by the frame's first byte.
fn frames_of(log: &Log, number: u32) -> Vec<(u64, RangeInclusive<u64>)> {
    let span = log.segments.span(number).expect("a segment");
    let file = log.segments.file(number).expect("a file");
    let tenant = log.segments.tenant.clone();
    let mut walker = Walker::new(tenant, file, &span, Depth::Whole);
    let mut frames = Vec::new();
    while let Step::Frame { at, head, .. } = walker.step().expect("a step") {
        frames.push((at, head.first.0..=head.next().0 - 1));
    }
    frames
}

#[test]
fn one_flipped_bit_in_a_sealed_segment_is_named_and_nothing_else_is_lost() {
    let (files, entries) = some_log();
    let (whole, _) = open(&disk_with(&files), 0).expect("opened");
    let frames = frames_of(&whole, 2);
    assert!(frames.len() > 2 && files.len() > 3, "several frames and segments");
    for at in 0..files[&path(2)].len() {
        let mut files = files.clone();
        files.get_mut(&path(2)).expect("a segment")[at] ^= 1 << (at % 8);
        let frame = frames.iter().rev().find(|(start, _)| *start <= at as u64);
        // A store whose checkpoint covers the segment does not read it when it opens; one without does.
        for checkpointed in [0, entries] {
            let disk = disk_with(&files);
            let (log, recovery) = open(&disk, checkpointed).expect("opened");
            let missing = unread(&log, entries);
            let verified = log.verify(&sound, &mut |_| {}).expect("a disk that works");
            let [fault] = verified.faults.as_slice() else { panic!("byte {at}: {:?}", verified.faults) };
            match frame {
                None => {
                    assert_eq!((fault.kind, fault.segment, missing.len()), (FaultKind::Header, 2, 0), "byte {at}");
                    assert!(recovery.read_only().is_some());
                }
                Some((_, seqs)) => {
                    assert_ne!(fault.kind, FaultKind::Header, "byte {at}");
                    let named = fault.seqs.start().0..=fault.seqs.end().0;
                    assert!(seqs.contains(named.start()) && seqs.contains(named.end()), "byte {at}: {fault}");
                    assert_eq!(missing, seqs.clone().collect::<Vec<_>>(), "byte {at}: the frame is lost to a scan");
                    assert_eq!(recovery.read_only().is_some(), checkpointed == 0 || in_end(at, &files), "{at}");
                    if fault.kind == FaultKind::Payload {
                        assert_eq!(named.start(), named.end(), "byte {at}: one payload");
                        assert_eq!(verified.events, entries - 1);
                    }
                }
            }
            if recovery.read_only().is_some() {
                let refused = log.append(&[Entry::new(b"h", b"")]);
                assert!(matches!(refused, Err(LogError::ReadOnly { .. })));
                drop(log);
                assert_eq!(self::files(&disk), files, "a damaged log is left as it is");
            }
        }
    }
}

/// Whether the byte is in the segment's last hash, at which every opening looks.
fn in_end(at: usize, files: &Files) -> bool {
    at + segment::HASH_BYTES >= files[&path(2)].len()
}

#[test]
fn one_flipped_bit_in_the_last_segment_is_never_cut_off_once_the_log_was_closed() {
    let (files, entries) = some_log();
    let number = files.len() as u32;
    let mark = files[&path(number)].len() - FRAME_BYTES_MIN;
    for at in 0..mark {
        let mut files = files.clone();
        files.get_mut(&path(number)).expect("a segment")[at] ^= 1 << (at % 8);
        for checkpointed in [0, entries] {
            let disk = disk_with(&files);
            let (log, recovery) = open(&disk, checkpointed).expect("opened");
            assert!(recovery.read_only().is_some(), "byte {at}");
            unread(&log, entries);
            let verified = log.verify(&sound, &mut |_| {}).expect("a disk that works");
            assert_eq!(verified.faults.len(), 1, "byte {at}: {:?}", verified.faults);
            drop(log);
            assert_eq!(self::files(&disk), files, "a damaged log is left as it is");
        }
    }
}

/// A log of one segment whose last frame was not followed by anything, where that frame starts, and what comes before it.
fn one_segment() -> (Vec<u8>, usize, u64) {
    let disk = SimDisk::new();
    let log = Log::create(disk.shared(), dir(), &TenantKey([7; 32]), "acme", Options::default()).expect("created");
    log.wait(append(&log, 2).expect("appended")).expect("durable");
    log.wait(append(&log, 1).expect("appended")).expect("durable");
    let start = log.bytes() as usize;
    log.wait(append(&log, 3).expect("appended")).expect("durable");
    (disk.after(Cut::Lost).bytes(&path(1)), start, 3)
}

fn opened(bytes: Vec<u8>, checkpointed: u64) -> (Log, Recovery) {
    open(&disk_with(&Files::from([(path(1), bytes)])), checkpointed).expect("opened")
}

#[test]
fn a_last_frame_cut_anywhere_is_a_torn_tail() {
    let (bytes, start, before) = one_segment();
    for length in start + 1..bytes.len() {
        for zeros in [0, 1, bytes.len() - length, 5000] {
            let mut torn = bytes[..length].to_vec();
            torn.resize(length + zeros, 0);
            // Zeros in place of zeros are no tear.
            if torn.starts_with(&bytes) {
                continue;
            }
            let (log, recovery) = opened(torn, 0);
            assert_eq!(recovery.faults, [], "cut at {length}, {zeros} zeros");
            let torn = recovery.torn.expect("a torn tail");
            assert_eq!((torn.after.0, torn.bytes), (before, (length + zeros - start) as u64));
            assert_eq!(check(&log), before);
            log.wait(append(&log, 2).expect("appended")).expect("durable");
            assert_eq!(check(&log), before + 2);
        }
    }
}

#[test]
fn a_last_frame_with_a_lost_sector_is_a_torn_tail() {
    let (bytes, start, before) = one_segment();
    for at in start..bytes.len() {
        if bytes[at] == 0 {
            continue;
        }
        let mut torn = bytes.clone();
        torn[at] = 0;
        let (log, recovery) = opened(torn, 0);
        assert_eq!(recovery.torn.map(|torn| torn.after), Some(Seq(before)), "byte {at}");
        assert_eq!(check(&log), before);
    }
}

#[test]
fn a_torn_frame_that_a_checkpoint_names_is_damage() {
    let (bytes, _, before) = one_segment();
    let torn = bytes[..bytes.len() - 1].to_vec();
    for (checkpointed, read_only) in
        [(before, None), (before + 1, Some(Seq(before + 1))), (before + 3, Some(Seq(before + 1)))]
    {
        let (log, recovery) = opened(torn.clone(), checkpointed);
        assert_eq!(recovery.read_only(), read_only, "a checkpoint at {checkpointed}");
        let kinds: Vec<_> = recovery.faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, if read_only.is_some() { vec![FaultKind::Frame] } else { vec![] });
        assert_eq!(log.durable(), Seq(before));
    }
}

#[test]
fn entries_that_a_checkpoint_names_and_the_log_lacks_are_missing() {
    let (bytes, start, before) = one_segment();
    let (_, recovery) = opened(bytes[..start].to_vec(), before + 2);
    let [fault] = recovery.faults.as_slice() else { panic!("{:?}", recovery.faults) };
    assert_eq!((fault.kind, fault.seqs.clone()), (FaultKind::Missing, Seq(before + 1)..=Seq(before + 2)));
}

#[test]
fn a_damaged_frame_with_a_sound_one_behind_it_is_damage() {
    let (bytes, start, _) = one_segment();
    // The frame in front of the last one holds entry 3; all of it goes, its head too.
    let mut bad = bytes.clone();
    let from = bytes[..start].windows(8).rposition(|window| window == 3u64.to_le_bytes()).expect("its sequence") - 8;
    bad[from..start - segment::HASH_BYTES].fill(0xee);
    let (log, recovery) = opened(bad, 0);
    assert_eq!(recovery.read_only(), Some(Seq(3)));
    assert_eq!(unread(&log, 6), [3], "the sound frame behind it still reads");
}

#[test]
fn an_old_frame_behind_a_torn_one_is_part_of_the_torn_tail() {
    let (bytes, start, before) = one_segment();
    let header = bytes.len().min(125);
    let mut torn = bytes[..start + 40].to_vec();
    // The bytes of the log's first frames once more, with the hash that they are chained to in front.
    torn.extend_from_slice(&bytes[header - segment::HASH_BYTES..start]);
    let (log, recovery) = opened(torn, 0);
    assert_eq!((recovery.faults.as_slice(), recovery.torn.map(|torn| torn.after)), ([].as_slice(), Some(Seq(before))));
    assert_eq!(check(&log), before);
}

#[test]
fn a_value_that_looks_like_frames_of_another_log_is_not_taken_for_frames() {
    let disk = SimDisk::new();
    let other = Log::create(disk.shared(), dir(), &TenantKey([8; 32]), "acme", Options::default()).expect("created");
    other.wait(append(&other, 9).expect("appended")).expect("durable");
    other.wait(append(&other, 9).expect("appended")).expect("durable");
    let (bytes, start, before) = one_segment();
    let mut torn = bytes[..start + 40].to_vec();
    torn.extend_from_slice(&disk.bytes(&path(1)));
    let (_, recovery) = opened(torn, 0);
    assert_eq!((recovery.faults.as_slice(), recovery.torn.map(|torn| torn.after)), ([].as_slice(), Some(Seq(before))));
}

#[test]
fn a_missing_segment_is_named_and_the_others_still_read() {
    let (files, entries) = some_log();
    let (whole, _) = open(&disk_with(&files), 0).expect("opened");
    for gone in 1..files.len() as u32 {
        let lost: Vec<u64> = frames_of(&whole, gone).into_iter().flat_map(|(_, seqs)| seqs).collect();
        let mut files = files.clone();
        files.remove(&path(gone));
        let (log, recovery) = open(&disk_with(&files), 0).expect("opened");
        let [fault] = recovery.faults.as_slice() else { panic!("{:?}", recovery.faults) };
        assert_eq!(fault.kind, FaultKind::Missing);
        assert_eq!((fault.seqs.start().0, fault.seqs.end().0), (lost[0], lost[lost.len() - 1]));
        assert_eq!(unread(&log, entries), lost);
    }
}

#[test]
fn a_last_segment_without_a_header_is_a_torn_tail_unless_it_holds_frames() {
    let (mut files, entries) = some_log();
    let last = files.len() as u32;
    let bytes = files[&path(last)].clone();
    for hollow in [vec![], vec![0; 4096], bytes[..60].to_vec()] {
        files.insert(path(last + 1), hollow.clone());
        let disk = disk_with(&files);
        let (log, recovery) = open(&disk, 0).expect("opened");
        let torn = recovery.torn.expect("a torn tail");
        assert_eq!((torn.after.0, torn.bytes, recovery.faults.len()), (entries, hollow.len() as u64, 0));
        assert!(!disk.names().contains(&path(last + 1)));
        log.wait(append(&log, 4).expect("appended")).expect("durable");
        check(&log);
        let (_, recovery) = open(&disk_with(&files), entries + 1).expect("opened");
        assert_eq!(recovery.read_only(), Some(Seq(entries + 1)), "a checkpoint names what it held");
    }
    files.remove(&path(last + 1));
    files.get_mut(&path(last)).expect("a segment")[..60].fill(0);
    let (log, recovery) = open(&disk_with(&files), 0).expect("opened");
    assert_eq!(recovery.faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::Header]);
    assert_eq!(unread(&log, entries), [0; 0], "its frames are sound");
}

#[test]
fn what_is_appended_where_a_hollow_segment_was_is_in_the_log() {
    let (files, entries) = some_log();
    let last = files.len() as u32;
    for (marked, hollow) in [(true, 0), (true, 4096), (false, 0), (false, 4096)] {
        let mut files = files.clone();
        let bytes = files.get_mut(&path(last)).expect("a segment");
        let mark = if marked { 0 } else { FRAME_BYTES_MIN };
        bytes.truncate(bytes.len() - mark);
        files.insert(path(last + 1), vec![0; hollow]);
        let disk = disk_with(&files);
        let (log, recovery) = open(&disk, 0).expect("opened");
        assert!(recovery.torn.is_some());
        assert_eq!(recovery.rewritten.is_some(), !marked, "the last frame is written into a segment of its own");
        for _ in 0..4 {
            log.wait(append(&log, 4).expect("appended")).expect("durable");
        }
        assert_eq!(check(&log), entries + 16);
        drop(log);
        let (log, recovery) = open(&disk, 0).expect("opened");
        assert_eq!((recovery.torn, recovery.faults.as_slice()), (None, [].as_slice()));
        assert_eq!(check(&log), entries + 16, "marked: {marked}, hollow: {hollow}");
    }
}

#[test]
fn what_is_not_a_log_of_this_format_is_refused_with_a_reason() {
    let disk = SimDisk::new();
    assert!(matches!(open(&disk, 0), Err(LogError::Missing { .. })));
    assert_eq!(disk.names().len(), 0, "nothing is made where there is no log");
    let log = create(&disk).expect("created");
    assert!(matches!(open(&disk, 0), Err(LogError::Locked { .. })));
    assert!(matches!(create(&disk), Err(LogError::Locked { .. })));
    drop(log);
    assert!(matches!(create(&disk), Err(LogError::Exists { .. })));
    let named = |name: &str| Log::create(SimDisk::new().shared(), dir(), &TenantKey([7; 32]), name, SMALL);
    assert!(matches!(named(""), Err(LogError::TenantName { bytes: 0 })));
    assert!(matches!(named(&"x".repeat(256)), Err(LogError::TenantName { bytes: 256 })));

    let bytes = disk.bytes(&path(1));
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        open(&disk_with(&Files::from([(path(1), bytes)])), 0).map(drop)
    };
    with(&|_| {}).expect("the log as it is");
    assert!(matches!(with(&|bytes| bytes[0] = 0), Err(LogError::Headless { .. })));
    let newer = with(&|bytes| {
        bytes[8] = 2;
        bytes[100] ^= 1;
    });
    assert!(matches!(newer, Err(LogError::Format { found: 2, supported: 1, .. })));

    let other = SimDisk::new();
    drop(Log::create(other.shared(), dir(), &TenantKey([8; 32]), "acme", SMALL).expect("created"));
    let mixed = Files::from([(path(1), bytes.clone()), (path(2), other.bytes(&path(1)))]);
    assert!(matches!(open(&disk_with(&mixed), 0), Err(LogError::Foreign { .. })));
    let twice = disk_with(&Files::from([(path(1), bytes.clone()), (path(2), bytes)]));
    let (_, recovery) = open(&twice, 0).expect("opened");
    assert_eq!(recovery.faults[0].kind, FaultKind::Header, "a copy under another name");
    assert!(twice.names().contains(&path(2)), "and it is left there");
}

#[test]
fn places_that_are_none_read_as_none_or_as_sound_entries() {
    let (files, _) = some_log();
    let (log, _) = open(&disk_with(&files), 0).expect("opened");
    let places: Vec<Place> = log.scan(Seq(1)).map(|stored| stored.expect("sound").place).collect();
    for segment in 0..=files.len() as u32 + 1 {
        for offset in 0..2000 {
            let place = Place::new(segment, offset);
            match log.read(place) {
                Ok(_) => assert!(places.contains(&place), "an entry where none was put"),
                Err(LogError::NoEntry { .. }) => assert!(!places.contains(&place)),
                Err(why) => panic!("{why}"),
            }
        }
    }
}

#[test]
fn a_sealed_segment_cut_anywhere_is_damage_and_the_rest_still_reads() {
    let (files, entries) = some_log();
    let (whole, _) = open(&disk_with(&files), 0).expect("opened");
    let frames = frames_of(&whole, 2);
    for length in 0..files[&path(2)].len() {
        let mut files = files.clone();
        files.get_mut(&path(2)).expect("a segment").truncate(length);
        for checkpointed in [0, entries] {
            let (log, recovery) = open(&disk_with(&files), checkpointed).expect("opened");
            assert!(recovery.read_only().is_some(), "cut at {length}");
            let ends = frames.iter().skip(1).map(|(at, _)| *at as usize).chain([files[&path(2)].len() + 1]);
            let lost = frames.iter().zip(ends).filter(|(_, end)| *end > length).flat_map(|((_, seqs), _)| seqs.clone());
            assert_eq!(unread(&log, entries), lost.collect::<Vec<_>>(), "cut at {length}");
        }
    }
}

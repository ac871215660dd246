//! A disk that is nearly full, and one that is: what is refused, what is kept, and that all goes on once there is space.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
};

use syncline::{
    engine::{Engine, EngineError},
    history::Principal,
    sim::disk::SimDisk,
};

use crate::{
    disk_errors::{Small, chain, draft},
    hostile::wire,
    real_power::{Ext4, Service, token_of},
};

const SKIPPED: &str = "SKIPPED: this process may not mount a file system";

/// A file that takes all space but so much.
fn fill(dir: &Path, left: u64) -> PathBuf {
    let path = dir.join("filler");
    let mut file = fs::File::create(&path).expect("there is space");
    while file.write_all(&[7; 4096]).is_ok() {}
    let length = file.metadata().expect("it is there").len();
    file.set_len(length - left.min(length)).expect("it gets shorter");
    path
}

#[test]
fn below_the_watermark_nothing_is_taken_and_nothing_fails() {
    let (dir, disk) = (tempfile::tempdir().expect("a directory"), SimDisk::new());
    let (engine, _) = Engine::builder(dir.path()).disk(disk.shared()).free_bytes_least(1000).open().expect("it opens");
    engine.say(vec![draft(1)]).expect("there is space");
    disk.set_free_bytes(999);
    for _ in 0..3 {
        let why = engine.say(vec![draft(2)]).expect_err("there is too little");
        assert!(matches!(why, EngineError::NoSpace { free: 999, least: 1000 }), "{why}");
        assert!(why.to_string().contains("999 bytes left and 1000 are to stay free"), "{why}");
    }
    assert!(engine.read(&Principal::operator()).get("contact/1").expect("it is read").is_some());
    assert!(engine.read(&Principal::operator()).get("contact/2").expect("it is read").is_none());
    engine.checkpoint().expect("the disk works");
    disk.set_free_bytes(1000);
    engine.say(vec![draft(2)]).expect("by the same handle, without help");
    engine.close().expect("it closes");
}

#[test]
fn the_ballast_lies_there_only_where_there_is_space_for_it() {
    let (dir, disk) = (tempfile::tempdir().expect("a directory"), SimDisk::new());
    let ballast = dir.path().join("ballast");
    let open = |bytes: u64| {
        let built = Engine::builder(dir.path()).disk(disk.shared()).free_bytes_least(1000).ballast_bytes(bytes);
        built.open().expect("it opens").0
    };
    let bytes = || disk.names().contains(&ballast).then(|| disk.bytes(&ballast).len());
    disk.set_free_bytes(1000 + 2 * 100_000 - 1);
    let engine = open(100_000);
    assert_eq!(bytes(), None, "beside it there is to be as much again");
    disk.set_free_bytes(1000 + 2 * 100_000);
    engine.checkpoint().expect("the disk works");
    assert_eq!(bytes(), Some(100_000));
    engine.close().expect("it closes");
    open(70_000).close().expect("it closes");
    assert_eq!(bytes(), Some(70_000), "another size was asked for");
    open(0).close().expect("it closes");
    assert_eq!(bytes(), Some(70_000), "a command that asks for none leaves it");
}

#[test]
fn a_really_full_disk_takes_the_ballast_and_the_store_goes_on_from_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(_mounted) = Small::mount(dir.path(), 16) else { return println!("{SKIPPED}") };
    goes_on_once_it_was_full(dir.path());
}

/// As above, where blocks are given out long after they are written to.
#[test]
fn a_really_full_ext4_takes_the_ballast_and_the_store_goes_on_from_there() {
    let Some(disk) = Ext4::make(24) else { return println!("{SKIPPED}") };
    goes_on_once_it_was_full(&disk.path());
}

/// Fills a small file system under a store, and makes space again.
fn goes_on_once_it_was_full(dir: &Path) {
    let store = dir.join("store");
    let open = |least: u64| Engine::builder(&store).free_bytes_least(least).ballast_bytes(2 << 20).open();
    let (engine, _) = open(0).expect("there is space");
    let ballast = store.join("ballast");
    assert_eq!(fs::metadata(&ballast).expect("it is there").len(), 2 << 20);
    let filler = fill(dir, 100 << 10);
    let mut acknowledged = 0;
    let why = loop {
        match engine.say(vec![draft(acknowledged)]) {
            Ok(_) => acknowledged += 1,
            Err(why) => break why,
        }
        assert!(acknowledged < 10_000, "the disk is nearly full");
    };
    assert!(matches!(&why, EngineError::Log(log) if log.is_disk_full()), "{}", chain(&why));
    assert!(!ballast.exists(), "it was given up");
    drop(engine);
    // Nobody has freed anything: there is as much space as the ballast took.
    let (engine, opening) = open(4 << 20).expect("the ballast made space for it");
    assert_eq!(opening.recovery.faults, []);
    let last = format!("contact/{}", (acknowledged - 1) % 50);
    assert!(
        engine.read(&Principal::operator()).get(&last).expect("it is read").is_some(),
        "what was acknowledged is there"
    );
    let why = engine.say(vec![draft(acknowledged)]).expect_err("there is too little");
    assert!(matches!(why, EngineError::NoSpace { least: 4_194_304, .. }), "{}", chain(&why));
    engine.checkpoint().expect("there is space for that");
    assert!(!ballast.exists(), "there is no space for it yet");
    fs::remove_file(filler).expect("it is there");
    engine.say(vec![draft(acknowledged)]).expect("by the same handle, without help");
    engine.close().expect("it closes");
    assert_eq!(fs::metadata(&ballast).expect("it is there again").len(), 2 << 20);
}

#[test]
fn a_service_on_a_disk_that_fills_refuses_says_why_and_goes_on_by_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(_mounted) = Small::mount(dir.path(), 24) else { return println!("{SKIPPED}") };
    let store = dir.path().join("store");
    let token = token_of(&store);
    let service = Service::start(&store, &["--free-mib", "6", "--ballast-mib", "2"]);
    let ask = |record: &str| {
        let mut stream = TcpStream::connect(&service.address).expect("it listens");
        stream.write_all(&wire::edit(&token, record)).expect("written");
        std::io::read_to_string(stream).expect("answered")
    };
    assert!(ask("contact/1").starts_with("HTTP/1.1 200"));
    assert!(store.join("ballast").exists());
    let filler = fill(dir.path(), 5 << 20);
    for _ in 0..5 {
        let told = ask("contact/2");
        assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 1"), "{told}");
        assert!(told.contains("the disk is nearly full"), "{told}");
    }
    fs::remove_file(filler).expect("it is there");
    assert!(ask("contact/2").starts_with("HTTP/1.1 200"), "by the same process");
}

//! Long lives: memory over millions of events, and stores that are opened and closed again and again.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use syncline::{
    clock::{HandClock, Millis},
    engine::Engine,
    event::{Author, Draft, Kind, Origin},
    history::Principal,
    id::{FieldName, RecordId, SideName},
    send::{Outcome, Receipt, chance::Chance},
    value::Value,
};
use tempfile::TempDir;

use crate::suites;

const MIB: u64 = 1 << 20;
/// What a process takes beside its budget: the program, queues between its threads, and what the allocator keeps.
const BESIDE_MIB: u64 = 96;
/// Memory that is freed is not given back at once: so much of the budget may be taken beyond it.
const SLACK: f64 = 0.25;
/// How often memory is looked at.
const LOOKS: u64 = 40;
const CHILD: &str = "SYNCLINE_CYCLES_CHILD";

/// Edits of two sides, each built on what its side said before; some records are edited far more often than others.
struct Edits {
    chance: Chance,
    /// There are more and more records, up to a tenth of the edits.
    records: u64,
    said: u64,
}

impl Edits {
    fn next(&mut self, line: &mut String) {
        self.said += 1;
        if self.said.is_multiple_of(10) || self.records == 0 {
            self.records += 1;
        }
        // Half of the edits are of a quarter of the records, and one record never has more than a few thousand.
        let part = self.chance.below(1 << 20);
        let record = (part * part * self.records) >> 40;
        let (seq, at) = (self.said, 1_750_000_000_000 + self.said * 700);
        let side = if self.chance.permille(550) { "crm" } else { "portal" };
        let field = ["phone", "city", "stage", "notes", "owner"][self.chance.below(5) as usize];
        let value = self.chance.number();
        line.clear();
        let written = std::fmt::Write::write_fmt(
            line,
            format_args!(
                "{{\"seq\":{seq},\"side\":\"{side}\",\"actor\":\"bo\",\"record\":\"contact/{record}\",\"at_ms\":{at},\"set\":{{\"{field}\":\"{value:x}\"}}}}\n"
            ),
        );
        written.expect("text takes everything");
    }
}

/// The memory that a process holds now, in bytes.
fn resident(process: u32) -> u64 {
    suites::resident_kib(process).expect("it runs") << 10
}

#[test]
fn memory_is_bounded_by_its_budget_and_flat_over_millions_of_events() {
    let events = suites::cases(20_000, 1_000_000, 10_000_000);
    // A store that fits into its budget would show nothing.
    let budget = if events > 1_000_000 { 256 } else { 32 };
    let dir = TempDir::new().expect("a directory");
    let mut importing = Command::new(env!("CARGO_BIN_EXE_syncline"))
        .arg("--store")
        .arg(dir.path().join("store"))
        .args(["--memory-mib", &budget.to_string(), "--json", "import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut into = importing.stdin.take().expect("piped");
    let mut edits = Edits { chance: Chance::new(suites::first_seed()), records: 0, said: 0 };
    let (mut line, mut looks) = (String::new(), Vec::new());
    for said in 1..=events {
        edits.next(&mut line);
        into.write_all(line.as_bytes()).expect("it reads on");
        if said.is_multiple_of(events / LOOKS) {
            looks.push(resident(importing.id()));
            let mib = looks.last().expect("there is one") / MIB;
            println!("{said} events, {} records: {mib} MiB of memory", edits.records);
        }
    }
    drop(into);
    let ended = importing.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    let most = looks.iter().max().expect("there are some") / MIB;
    let bound = (budget as f64 * (1.0 + SLACK)) as u64 + BESIDE_MIB;
    assert!(most <= bound, "{most} MiB of memory, with a budget of {budget} MiB");
    let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len() as f64;
    let quarter = looks.len() / 4;
    let (third, last) = (mean(&looks[2 * quarter..3 * quarter]), mean(&looks[3 * quarter..]));
    assert!(last < third * 1.12, "memory grows: {third:.0} bytes in the third quarter, {last:.0} in the last");
    suites::reached(
        "memory",
        events,
        &format!("events through one engine, at most {most} MiB with a budget of {budget}"),
    );
}

const MANIFEST: &str = "
syncline: 1
tenant: t
sides:
  crm: { connector: in_process, cooldown: { flips: 1000000, within: 1s } }
  portal: { connector: in_process }
defaults: { rule: last_write_wins }
records:
  contact: { fields: { phone: { type: string }, city: { type: string } } }
";

fn open(store: &Path, clock: &HandClock) -> Engine {
    let (engine, opening) = Engine::builder(store).manifest(MANIFEST).clock(clock.clone()).open().expect("it opens");
    assert_eq!((opening.rebuilt, opening.recovery.faults.len()), (false, 0));
    engine
}

fn phone() -> FieldName {
    FieldName::new("phone").expect("good")
}

fn record(cycle: u64) -> RecordId {
    RecordId::new(&format!("contact/{}", cycle % 1_000)).expect("good")
}

/// One edit by the portal, written to the CRM; every third time the answer is there only after the store was opened anew.
fn cycle(store: &Path, clock: &HandClock, number: u64) {
    let engine = open(store, clock);
    clock.advance(1_000);
    let origin = Origin::side(SideName::new("portal").expect("good"));
    let mut draft = Draft::new(Kind::Edit, record(number), origin, engine.now(), Author::user("ana"));
    draft.words.push((phone(), Value::text(&number.to_string())));
    engine.say(vec![draft]).expect("the disk works");
    let (writes, _) = engine.due("crm", 10).expect("it is planned");
    assert!(!writes.is_empty(), "the edit is due at the other side");
    let taken = writes.into_iter().map(|write| {
        let link = write.link.clone().unwrap_or_else(|| write.record.to_string().into());
        let receipt = Receipt { link: Some(link), at: None, beside: Vec::new(), shows: Vec::new() };
        (write, Outcome::Applied(receipt))
    });
    let taken = taken.collect();
    if number.is_multiple_of(3) {
        engine.close().expect("it closes");
        let engine = open(store, clock);
        engine.outcome(taken).expect("the disk works");
        return engine.close().expect("it closes");
    }
    engine.outcome(taken).expect("the disk works");
    engine.close().expect("it closes");
}

/// How many files this process has open, how many there are in a store, and how many bytes.
fn weight(store: &Path) -> (usize, usize, u64) {
    fn files(dir: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }
    let there = files(store);
    let bytes = there.iter().map(|path| fs::metadata(path).expect("it is there").len()).sum();
    (fs::read_dir("/proc/self/fd").expect("Linux").count(), there.len(), bytes)
}

/// A process of its own, so that its memory and its files are those of the cycles; does nothing unless it is the child.
#[test]
fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (cycles, store) = told.split_once(' ').expect("how many, and where");
    let (cycles, store): (u64, &Path) = (cycles.parse().expect("a number"), Path::new(store));
    let clock = HandClock::at(Millis(1_750_000_000_000));
    let mut looks = Vec::new();
    for number in 1..=cycles {
        cycle(store, &clock, number);
        if number.is_multiple_of(cycles / 20) {
            let (open, files, bytes) = weight(store);
            let resident = resident(std::process::id());
            println!(
                "{number} cycles: {} MiB of memory, {open} files open, {files} files, {bytes} bytes",
                resident / MIB
            );
            looks.push((resident, open, files, bytes / number));
        }
    }
    let (middle, last) = (looks[looks.len() / 2], looks[looks.len() - 1]);
    assert!(last.0 < middle.0 + 24 * MIB, "memory grows: {} bytes half way, {} at the end", middle.0, last.0);
    assert!(last.1 <= middle.1 + 2, "files stay open: {} half way, {} at the end", middle.1, last.1);
    assert!(last.2 <= middle.2 + 12, "files are left behind: {} half way, {} at the end", middle.2, last.2);
    let engine = open(store, &clock);
    let counts = engine.counts().expect("it runs");
    assert_eq!((counts.events, counts.sent, counts.receipts), (cycles, cycles, cycles), "each edit was written once");
    for number in cycles.saturating_sub(999).max(1)..=cycles {
        let found = engine.read(&Principal::operator()).get(&record(number)).expect("it is read");
        let shown =
            found.expect("it is there").fields.iter().find(|field| field.name == phone()).expect("set").value.clone();
        assert_eq!(shown, Value::text(&number.to_string()));
    }
    engine.close().expect("it closes");
}

#[test]
fn a_store_that_is_opened_edited_and_closed_again_and_again_is_as_light_as_before() {
    let cycles = suites::cases(200, 1_000, 100_000);
    let dir = TempDir::new().expect("a directory");
    let ran = Command::new(std::env::current_exe().expect("this binary has a path"))
        .args(["--exact", "long::child", "--test-threads", "1", "--nocapture"])
        .env(CHILD, format!("{cycles} {}", dir.path().join("store").display()))
        .output()
        .expect("the child runs");
    let told = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    println!("{told}");
    assert!(ran.status.success(), "{told}");
    suites::reached("cycles", cycles, "times opened, edited, written to the other side and closed");
}

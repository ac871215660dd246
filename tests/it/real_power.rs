//! Real power cuts: ext4 on a loop device, shut down by its own ioctl at a random moment under load, mounted again and checked.
//!
//! In turn the load is the real service with four clients over HTTP, and an import with small segments and many
//! checkpoints. What was acknowledged stands in a ledger outside the disk. `tests/power/run` runs the long form.
//!
//! Only what was acknowledged before the cut counts. A machine without power says nothing more; here it goes on, and the
//! kernel was seen to answer a sync well that was under way while its file system was shut down.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value as Json;
use syncline::{engine::Engine, history::Principal, log::Recovery, send::chance::Chance};
use tempfile::TempDir;

use crate::{kill, suites};

const CLIENTS: usize = 4;
/// Rounds on one file system; then a new one is made.
const ROUNDS_ON_ONE: u64 = 10;
/// How the file system orders what it writes, in turn.
const ORDERS: [&str; 2] = ["data=ordered", "data=writeback"];
/// `EXT4_IOC_SHUTDOWN`, with the flag by which not even the journal is flushed, once there is a line to read.
const SHUTDOWN: [[&str; 3]; 2] = [
    [
        "perl",
        "-e",
        "open(my $d, '<', $ARGV[0]) or die; my $f = pack('L', 2); $| = 1; print \"ready\\n\"; <STDIN>; ioctl($d, 0x8004587D, $f) or die",
    ],
    [
        "python3",
        "-c",
        "import fcntl,os,struct,sys\nd=os.open(sys.argv[1], os.O_RDONLY)\nprint('ready', flush=True)\nsys.stdin.readline()\nfcntl.ioctl(d, 0x8004587D, struct.pack('I', 2))",
    ],
];

/// An ext4 file system in a file, unmounted when it is dropped.
pub struct Ext4 {
    dir: TempDir,
    mounted: bool,
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|done| done.status.success())
}

impl Ext4 {
    /// A fresh one of so many MiB; `None` where this process may not have one.
    pub fn make(mib: u64) -> Option<Ext4> {
        let dir = TempDir::new().expect("a directory");
        let image = dir.path().join("image");
        fs::File::create(&image).and_then(|file| file.set_len(mib << 20)).expect("a sparse file");
        fs::create_dir(dir.path().join("disk")).expect("a directory");
        runs(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image)).then_some(())?;
        let mut disk = Ext4 { dir, mounted: false };
        disk.mount(ORDERS[0]).then_some(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn mount(&mut self, order: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("loop,{order}")]).arg(self.dir.path().join("image")).arg(self.path());
        self.mounted = runs(&mut mount);
        self.mounted
    }

    fn unmount(&mut self) {
        if self.mounted {
            // Whoever was just killed lets go of its files a moment later.
            self.mounted = !(0..200).any(|_| runs(Command::new("umount").arg(self.path())) || pause());
            assert!(!self.mounted, "{} is still mounted", self.path().display());
        }
    }

    /// What takes the power away when it is told to; `None` where nothing can.
    fn cutter(&self) -> Option<Cutter> {
        SHUTDOWN.iter().find_map(|[program, flag, text]| {
            let mut command = Command::new(program);
            command
                .args([flag, text])
                .arg(self.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let mut child = command.spawn().ok()?;
            let mut line = String::new();
            BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
            (line == "ready\n").then_some(Cutter(child))
        })
    }
}

/// A process that is about to shut the file system down.
struct Cutter(Child);

impl Cutter {
    /// Takes the power away: from now on nothing reaches the disk, nor is anything flushed.
    fn cut(mut self) {
        self.0.stdin.take().expect("piped").write_all(b"\n").expect("it waits for it");
        assert!(self.0.wait().expect("it is ours").success(), "the file system is shut down");
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        if self.mounted && !runs(Command::new("umount").args(["-l"]).arg(self.path())) {
            println!("{} is still mounted", self.path().display());
        }
    }
}

/// Waits for a moment, in which there is nothing to be told by; false, for a chain of tries.
fn pause() -> bool {
    let (_open, nothing) = mpsc::channel::<()>();
    assert_eq!(nothing.recv_timeout(Duration::from_millis(20)), Err(RecvTimeoutError::Timeout));
    false
}

/// The real service on a store, and where it listens.
pub struct Service {
    child: Child,
    pub address: String,
}

/// A command about a store.
pub fn command(store: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
    command.arg("--store").arg(store).args(args).stderr(Stdio::null());
    command
}

impl Service {
    pub fn start(store: &Path, more: &[&str]) -> Service {
        let mut serve = command(store, &["serve", "--json", "--listen", "127.0.0.1:0"]);
        let mut child = serve.args(more).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it listens");
        let told: Json = serde_json::from_str(&line).expect("JSON");
        Service { child, address: told["listening"].as_str().expect("an address").to_owned() }
    }
}

impl Service {
    /// Tells it to stop, and waits until it has; how it ended.
    pub fn stop(mut self) -> ExitStatus {
        assert!(runs(Command::new("kill").args(["-TERM", &self.child.id().to_string()])), "it is told");
        self.child.wait().expect("it is ours")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(why) = self.child.kill().and_then(|()| self.child.wait()) {
            println!("the service is still there: {why}");
        }
    }
}

/// Says edits of one record until nothing is acknowledged any more; the ids of those that were, and when.
pub fn client(address: &str, token: &str, record: &str) -> Vec<(Instant, String)> {
    let mut acknowledged = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else { return acknowledged };
    for number in 0.. {
        let body = format!(r#"{{"changes":[{{"record":"{record}","set":{{"phone":"+{number}"}}}}]}}"#);
        let head = format!(
            "POST /v1/changes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
            break;
        }
        let Some(answer) = answer(&mut stream) else { break };
        let id = answer["changes"][0]["id"].as_str().expect("an edit that was taken has an id");
        acknowledged.push((Instant::now(), id.to_owned()));
    }
    acknowledged
}

/// The body of a good answer; `None` of any other, and where there is none.
fn answer(stream: &mut TcpStream) -> Option<Json> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return head.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(body).expect("JSON"));
        }
    }
}

/// Opens the store after a cut or an end: no damage, and everything that was acknowledged.
pub fn check(store: &Path, acknowledged: &BTreeSet<String>) {
    let (engine, opening) = Engine::builder(store).create(false).open().expect("it opens after a power cut");
    let Recovery { faults, .. } = &opening.recovery;
    assert!(faults.is_empty(), "a power cut is not taken for damage: {faults:?}");
    let there: BTreeSet<String> = engine
        .stored()
        .map(|stored| syncline::id::event_id(&stored.expect("it is sound").1.header).to_string())
        .collect();
    let lost = acknowledged.difference(&there).count();
    assert_eq!(lost, 0, "of {} acknowledged edits {lost} are lost", acknowledged.len());
    let audit = engine.audit(false, &|_, _, _| {}).expect("it is checked");
    assert!(audit.is_sound(), "{:?}", audit.findings);
    engine.read(&Principal::operator()).state_hash().expect("everything is read");
    engine.close().expect("it closes");
}

/// Makes a store if there is none, and a token of it.
pub fn token_of(store: &Path) -> String {
    let made = command(store, &["init"]).output().expect("it runs");
    assert!(made.status.success() || store.join("log").exists(), "{}", String::from_utf8_lossy(&made.stdout));
    let token = command(store, &["token", "create", "--side", "portal", "--json"]).output().expect("it runs");
    let token: Json = serde_json::from_slice(&token.stdout).expect("JSON");
    token["token"].as_str().expect("the token").to_owned()
}

/// The service under load, and a cut after a while; what was acknowledged in this round.
fn serve_and_cut(disk: &Ext4, chance: &mut Chance) -> BTreeSet<String> {
    let store = disk.path().join("served");
    let token = token_of(&store);
    let service = Service::start(&store, &[]);
    let cutter = disk.cutter().expect("perl or python3 shuts it down");
    let wait = Duration::from_millis(chance.below(400));
    let address = service.address.clone();
    let mut cut_at = None;
    let acknowledged = under_load(&address, &token, wait, || {
        cut_at = Some(Instant::now());
        cutter.cut();
    });
    acknowledged.into_iter().filter(|(at, _)| Some(*at) < cut_at).map(|(_, id)| id).collect()
}

/// Clients who edit as fast as they are answered, and what befalls the service after a while; what was acknowledged, and when.
pub fn under_load(address: &str, token: &str, wait: Duration, befalls: impl FnOnce()) -> Vec<(Instant, String)> {
    thread::scope(|scope| {
        let start = |number: usize| scope.spawn(move || client(address, token, &format!("contact/{number}")));
        let clients: Vec<_> = (0..CLIENTS).map(start).collect();
        let (_open, nothing) = mpsc::channel::<()>();
        assert_eq!(nothing.recv_timeout(wait), Err(RecvTimeoutError::Timeout));
        befalls();
        clients.into_iter().flat_map(|client| client.join().expect("it ends well")).collect()
    })
}

/// An import under the same; its ledger is beside the image.
fn import_and_cut(disk: &Ext4, lines: &str, chance: &mut Chance) {
    let dir = disk.dir.path();
    let store = disk.path().join("imported");
    fs::create_dir_all(&store).expect("a directory");
    if !dir.join("lines").exists() {
        fs::write(dir.join("lines"), lines).expect("written");
        fs::write(dir.join("ledger"), 0u64.to_le_bytes()).expect("written");
        symlink(&store, dir.join("store")).expect("a name for it");
    }
    fs::write(dir.join("note"), [4, 0, 0, 0, 0, 0, 0, 0, 0]).expect("written");
    let cutter = disk.cutter().expect("perl or python3 shuts it down");
    let mut child = kill::start(dir);
    let (_open, nothing) = mpsc::channel::<()>();
    assert_eq!(nothing.recv_timeout(Duration::from_millis(chance.below(300))), Err(RecvTimeoutError::Timeout));
    let ledger = fs::read(dir.join("ledger")).expect("it is outside");
    cutter.cut();
    child.wait().expect("it stops by itself, or came to its end");
    fs::write(dir.join("ledger"), ledger).expect("it is outside");
}

#[test]
fn what_was_acknowledged_survives_real_power_cuts() {
    let rounds = suites::cases(2, 10, 500);
    let mut chance = Chance::new(suites::first_seed()).fork();
    let lines: String = crate::data::workload().lines().take(6000).map(|line| format!("{line}\n")).collect();
    let (mut disk, mut edits, mut acknowledged) = (None, 0, BTreeSet::new());
    for round in 0..rounds {
        if round % ROUNDS_ON_ONE == 0 {
            disk = Ext4::make(192);
            acknowledged.clear();
        }
        let Some(disk) = &mut disk else {
            return println!("SKIPPED: this process may not mount ext4 on a loop device");
        };
        let is_served = round % 2 == 0;
        match is_served {
            true => acknowledged.extend(serve_and_cut(disk, &mut chance)),
            false => import_and_cut(disk, &lines, &mut chance),
        }
        disk.unmount();
        assert!(disk.mount(ORDERS[(round / 2) as usize % 2]), "round {round}: it is mounted again");
        match is_served {
            true => check(&disk.path().join("served"), &acknowledged),
            false => kill::check_kept(disk.dir.path(), &lines),
        }
        edits = edits.max(acknowledged.len());
    }
    suites::reached("real power cuts", rounds, &format!("nothing acknowledged lost, up to {edits} edits on one disk"));
}

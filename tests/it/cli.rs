//! The command line as people and programs meet it: arguments in; answers, complaints and exit codes out.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value as Json;
use syncline::{
    clock::Millis,
    engine::Engine,
    event::{Author, Draft, Kind, Origin},
    id::{FieldName, RecordId, SideName},
    value::Value,
};
use tempfile::TempDir;

/// A directory with a store, and what runs in it.
pub struct Bench {
    dir: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "{text:?} is not in {:?}", self.err);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why} in {:?}", self.out))
    }
}

impl Bench {
    pub fn new() -> Self {
        Bench { dir: tempfile::tempdir().expect("a directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("a file");
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
        command.current_dir(self.dir.path()).args(args).env_remove("RUST_LOG");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        let done = self.command(args).stdin(Stdio::null()).output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Ran { code: done.status.code().unwrap_or(-1), out: text(done.stdout), err: text(done.stderr) }
    }

    /// Imports lines into the store `s`.
    pub fn import(&self, lines: &[&str]) -> Ran {
        self.write("in.jsonl", lines.join("\n"));
        self.run(&["--store", "s", "--json", "import", "in.jsonl"])
    }

    pub fn status(&self, store: &str) -> Json {
        self.run(&["--store", store, "--json", "status"]).ends(0).json()
    }
}

/// One line in neutral form.
fn line(seq: u64, record: &str, base: &str, set: &str) -> String {
    let base = if base.is_empty() { String::new() } else { format!(r#""base":{base},"#) };
    format!(r#"{{"seq":{seq},"side":"crm","record":"{record}","at_ms":{},{base}"set":{set}}}"#, 1000 + seq)
}

const TYPED: &str = r#"
syncline: 1
tenant: t
sides:
  crm: { connector: none }
  portal: { connector: none }
records:
  contact: { fields: { name: { type: string }, age: { type: integer } } }
"#;

/// Two ids of one person, as far as the address tells, on two sides that have ids of their own.
const ALIKE: &str = r#"
syncline: 1
tenant: t
sides:
  crm: { connector: hubspot, credentials: { token: env:T }, capture: { webhooks: false, poll: 5m } }
  portal: { connector: portal, deliver_to: "https://portal.example.com/hooks", credentials: { webhook_secret: env:P } }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    match_on: [email]
    fields: { email: { type: email, crm: email, portal: email } }
permissions:
  staff: { rows: { contact: all }, read: [contact.*], write: [contact.*] }
"#;

#[test]
fn status_counts_what_waits_for_a_person_suggestions_of_links_among_it() {
    let bench = Bench::new();
    bench.write("m.yaml", ALIKE);
    bench.run(&["--store", "s", "--manifest", "m.yaml", "init"]).ends(0);
    assert_eq!(bench.status("s")["suggestions"], 0);
    let (engine, _) = Engine::builder(bench.path("s")).open().expect("the store opens");
    let said = ["crm", "portal"].map(|side| {
        let side = SideName::new(side).expect("a name");
        let record = RecordId::on_side("contact", &side, "1").expect("an id");
        let origin = Origin { side, link: Some("1".into()), node: None };
        let mut draft = Draft::new(Kind::Edit, record, origin, Millis(1000), Author::user("ana"));
        draft.words = vec![(FieldName::new("email").expect("a name"), Value::text("ana@example.com"))];
        draft
    });
    engine.say(said.into()).expect("taken");
    engine.close().expect("it closes");
    let status = bench.status("s");
    assert_eq!((&status["suggestions"], &status["parked"]), (&2.into(), &0.into()), "{status}");
}

/// A token for a side or a role that there is not opened nothing, and nobody was told why.
#[test]
fn a_token_is_made_for_a_side_and_a_role_of_the_manifest_only() {
    let bench = Bench::new();
    bench.write("m.yaml", ALIKE);
    bench.run(&["--store", "s", "--manifest", "m.yaml", "init"]).ends(0);
    let create = |rest: &[&str]| bench.run(&[&["--store", "s", "token", "create"], rest].concat());
    create(&["--side", "shop"]).ends(2).says(r#"the manifest has no side "shop"; it has crm, portal"#);
    create(&["--side", "portal", "--role", "boss"]).ends(2).says(r#"the manifest has no role "boss"; it has staff"#);
    assert_eq!(bench.run(&["--store", "s", "token", "list", "--json"]).ends(0).out, "", "none was made");
    create(&["--side", "portal", "--role", "staff"]).ends(0);
    create(&["--side", "portal"]).ends(0);
    bench.write("other.yaml", ALIKE.replace("staff:", "clerk:"));
    create(&["--side", "portal", "--role", "clerk", "--manifest", "other.yaml"]).ends(0);
}

#[test]
fn a_bad_line_is_told_with_its_place_and_the_good_ones_are_taken_in() {
    let bench = Bench::new();
    bench.write("m.yaml", TYPED);
    bench.run(&["--store", "s", "--manifest", "m.yaml", "init"]).ends(0);
    let long = format!(r#"{{"{}":1}}"#, "f".repeat(10_000));
    let large = format!(r#"{{"name":"{}"}}"#, "v".repeat(10_000_000));
    let lines = [
        line(1, "contact/1", "", r#"{"name":"Ana"}"#),
        "nonsense".to_owned(),
        line(3, "contact/1", "", r#"{"name":1}"#).replace("crm", "fax"),
        line(4, "contact/1", "", r#"{"age":"old"}"#),
        line(5, "contact/1", "", &long),
        line(6, "contact/1", "", &large),
        line(7, "contact/\\u0007", "", r#"{"name":"x"}"#),
        line(8, "deal/1", "", r#"{"name":"x"}"#),
        line(9, "contact/1", "", r#"{"height":1}"#),
        line(10, "contact/2", "", r#"{"name":"Bo"}"#),
    ];
    let ran = bench.import(&lines.iter().map(String::as_str).collect::<Vec<_>>()).ends(1);
    let told: Vec<&str> = ran.err.lines().collect();
    let due = [
        "in.jsonl:2: not a JSON object: ",
        "in.jsonl:3: there is no side fax; the manifest has crm, portal",
        "in.jsonl:4: the value of age ",
        "in.jsonl:5: the field name \"ffff",
        "in.jsonl:6: the value of name takes 10000002 bytes, more than 1048576",
        "in.jsonl:7: the record id holds the control character U+0007",
        "in.jsonl:8: the manifest has no record kind deal",
        "in.jsonl:9: the manifest has no field height for kind contact",
    ];
    assert_eq!(told.len(), due.len(), "{told:?}");
    for (told, due) in told.iter().zip(due) {
        assert!(told.starts_with(due), "{told} should start {due}");
        assert!(told.len() < 200, "a complaint is not a novel: {told}");
    }
    let summary = ran.json();
    assert_eq!((&summary["lines"], &summary["events"], &summary["bad"]), (&10.into(), &2.into(), &8.into()));
    let records = bench.run(&["--store", "s", "records", "--json"]).ends(0);
    assert_eq!(
        records.out,
        "{\"record\":\"contact/1\",\"fields\":{\"name\":\"Ana\"}}\n{\"record\":\"contact/2\",\"fields\":{\"name\":\"Bo\"}}\n"
    );
}

#[test]
fn a_seq_that_is_used_twice_is_told_and_the_order_of_the_two_makes_no_difference() {
    let lines = [line(1, "contact/1", "", r#"{"name":"b"}"#), line(1, "contact/1", "", r#"{"name":"a"}"#)];
    let mut hashes = Vec::new();
    for order in [[0, 1], [1, 0]] {
        let bench = Bench::new();
        let ran = bench.import(&order.map(|at: usize| &*lines[at])).ends(1);
        assert!(ran.err.contains("in.jsonl:2: seq 1 was used before for something else"), "{}", ran.err);
        let status = bench.status("s");
        assert_eq!((&status["events"], &status["contradicted"]), (&2.into(), &1.into()));
        hashes.push((status["state_hash"].clone(), status["verdict_hash"].clone()));
    }
    assert_eq!(hashes[0], hashes[1]);
}

#[test]
fn a_seq_that_is_used_for_two_records_is_told() {
    let bench = Bench::new();
    let lines = [line(1, "contact/1", "", r#"{"name":"b"}"#), line(1, "contact/2", "", r#"{"name":"a"}"#)];
    bench.import(&[&lines[0], &lines[1]]).ends(1).says("in.jsonl:2: seq 1 was used before for something else");
}

#[test]
fn a_base_of_another_record_and_a_cycle_of_base_are_told_and_a_base_to_come_is_counted() {
    let bench = Bench::new();
    let lines = [
        line(1, "contact/7", "", r#"{"name":"a"}"#),
        line(2, "contact/9", "1", r#"{"name":"b"}"#),
        line(12, "contact/3", "15", r#"{"name":"c"}"#),
        line(15, "contact/3", "[12]", r#"{"name":"d"}"#),
        line(20, "contact/4", "99", r#"{"name":"e"}"#),
        line(21, "contact/4", "21", r#"{"name":"f"}"#),
    ];
    let ran = bench.import(&lines.iter().map(String::as_str).collect::<Vec<_>>()).ends(1);
    let told: Vec<&str> = ran.err.lines().collect();
    let due = [
        "in.jsonl:2: base 1 is an event of contact/7, not of contact/9",
        "in.jsonl:4: closes a cycle of base: 12 -> 15 -> 12",
        "in.jsonl:6: closes a cycle of base: 21 -> 21",
    ];
    assert_eq!(told, due);
    assert_eq!(ran.json()["waiting"], 5);
    assert_eq!(bench.status("s")["events"], 6);
}

#[test]
fn a_base_that_comes_in_a_later_run_lets_the_line_go_on() {
    let bench = Bench::new();
    let early = line(2, "contact/1", "1", r#"{"name":"new"}"#);
    let late = line(1, "contact/1", "null", r#"{"name":"old"}"#);
    assert_eq!(bench.import(&[&early]).ends(0).json()["waiting"], 1);
    assert_eq!(bench.import(&[&late]).ends(0).json()["waiting"], 0);
    let why = bench.run(&["--store", "s", "--json", "why", "contact/1", "name"]).ends(0).json();
    assert_eq!((&why["value"], &why["reason"]), (&"new".into(), &"only".into()));
}

#[test]
fn sources_count_their_lines_each_for_itself() {
    let bench = Bench::new();
    bench.write("a", line(1, "contact/1", "", r#"{"name":"a"}"#));
    bench.write("b", line(1, "contact/1", "", r#"{"name":"b"}"#));
    bench.run(&["--store", "s", "import", "a"]).ends(0);
    bench.run(&["--store", "s", "import", "--source", "other", "b"]).ends(0);
    let twice = bench.run(&["--store", "s", "--json", "import", "--source", "other", "b"]).ends(0);
    assert_eq!(twice.json()["duplicates"], 1);
    assert_eq!(bench.status("s")["events"], 2);
}

#[test]
fn arguments_that_make_no_sense_end_with_2() {
    let bench = Bench::new();
    for args in [
        &["--store", "nix", "status"][..],
        &["--store", "s", "import", "nix.jsonl"],
        &["--store", "s", "--manifest", "nix.yaml", "init"],
        &["fly"],
        &["--store", "s", "get"],
    ] {
        bench.run(args).ends(2);
    }
    bench.run(&["--store", "s", "init"]).ends(0);
    bench.run(&["--store", "s", "get", "contact/1", "--at", "yesterday"]).ends(2).says("--at yesterday is neither");
    bench.run(&["--help"]).ends(0);
    assert!(bench.run(&["import", "--help"]).ends(0).out.contains("Examples:"));
}

#[test]
fn the_demo_ends_in_agreement_and_leaves_its_store() {
    let bench = Bench::new();
    let small = ["demo", "--in-process", "--store", "kept", "--records", "60", "--edits", "400"];
    let told = bench.run(&small).ends(0);
    assert!(told.out.contains("Agreement of CRM, portal, engine and ledger\n  100.000 %"), "{}", told.out);
    bench.run(&["--store", "kept", "verify", "--documents"]).ends(0);
    let again = bench.run(&[&small[..], &["--json"]].concat()).ends(0);
    assert!(again.out.contains("\"differing\":0"), "{}", again.out);
}

#[test]
fn the_demo_over_http_ends_in_agreement_and_leaves_its_store() {
    let bench = Bench::new();
    let small = ["demo", "--store", "kept", "--records", "30", "--edits", "150", "--kills", "1"];
    let told = bench.run(&small).ends(0);
    assert!(told.out.contains("Agreement of CRM, portal and engine\n  100.000 %"), "{}", told.out);
    bench.run(&["--store", "kept", "verify", "--documents"]).ends(0);
}

#[test]
fn what_is_not_there_ends_with_1() {
    let bench = Bench::new();
    bench.run(&["--store", "s", "init"]).ends(0);
    bench.run(&["--store", "s", "init"]).ends(1).says("there is a log in");
    bench.run(&["--store", "s", "get", "contact/1"]).ends(1).says("nothing is known of a record contact/1");
    bench.run(&["--store", "s", "why", "contact/1", "x"]).ends(1).says("nothing is known of x of contact/1");
    let decide = ["--store", "s", "decide", "contact/1", "x", "1", "--by", "ana"];
    bench.run(&decide).ends(1).says("nobody has said anything of x of contact/1");
}

#[test]
fn a_manifest_with_faults_is_refused_and_all_of_them_are_told() {
    let bench = Bench::new();
    bench.write("m.yaml", TYPED.replace("syncline: 1", "syncline: 1\ncolour: red").replace("integer", "intiger"));
    let check = bench.run(&["manifest", "check", "m.yaml"]).ends(1);
    assert_eq!(check.out.lines().count(), 2, "{}", check.out);
    assert!(check.out.starts_with("m.yaml:3:1: "), "{}", check.out);
    let init = bench.run(&["--store", "s", "--manifest", "m.yaml", "init"]).ends(1);
    assert_eq!(init.err, check.out);
    assert!(!bench.path("s").exists(), "no store is made");
    bench.write("good.yaml", TYPED);
    bench.run(&["manifest", "check", "good.yaml"]).ends(0);
    assert!(bench.run(&["manifest", "schema"]).ends(0).json()["$schema"].is_string());
}

#[test]
fn another_manifest_is_a_change_of_rules_and_another_tenant_s_is_refused() {
    let bench = Bench::new();
    bench.write("m.yaml", TYPED);
    bench.write("same.yaml", format!("# a comment\n{TYPED}"));
    bench.write("other.yaml", TYPED.replace("integer", "decimal"));
    bench.write("foreign.yaml", TYPED.replace("tenant: t", "tenant: u"));
    bench.run(&["--store", "s", "--manifest", "m.yaml", "init"]).ends(0);
    let last = |args: &[&str]| bench.run(&[&["--store", "s", "--json"], args].concat()).ends(0).json()["last"].clone();
    assert_eq!(last(&["--manifest", "same.yaml", "status"]), 1);
    assert_eq!(last(&["--manifest", "other.yaml", "status"]), 2);
    assert_eq!(last(&["status"]), 2);
    bench.run(&["--store", "s", "--manifest", "foreign.yaml", "status"]).ends(1).says("the manifest is tenant u's");
    bench.run(&["--store", "s", "verify"]).ends(0);
}

#[test]
fn a_store_of_another_format_is_refused_and_left_as_it_is() {
    let bench = Bench::new();
    bench.import(&[&line(1, "contact/1", "", r#"{"name":"a"}"#)]).ends(0);
    let segment = bench.path("s").join("log").join("00000001.seg");
    let mut bytes = fs::read(&segment).expect("a segment");
    bytes[8] = 9;
    // A version that is not ours has a check that is not ours.
    bytes[70] ^= 1;
    fs::write(&segment, &bytes).expect("a segment");
    bench.run(&["--store", "s", "status"]).ends(1).says("has format 9, and this program reads format 1");
    bench.run(&["--store", "s", "rebuild"]).ends(1).says("has format 9");
    assert_eq!(fs::read(&segment).expect("a segment"), bytes);
}

/// An import that holds its store and waits for more.
fn holding(bench: &Bench) -> Child {
    let mut child = bench.command(&["--store", "s", "import", "-"]).spawn().expect("it runs");
    // The first line cannot be taken in before the store is open, and its complaint comes after that.
    let stdin = child.stdin.as_mut().expect("a pipe");
    for _ in 0..256 {
        stdin.write_all(b"nonsense\n").expect("it reads");
    }
    stdin.flush().expect("it reads");
    let mut told = String::new();
    BufReader::new(child.stderr.as_mut().expect("a pipe")).read_line(&mut told).expect("it tells");
    assert!(told.starts_with("standard input:1: "), "{told}");
    child
}

#[test]
fn a_store_that_another_process_holds_is_refused() {
    let bench = Bench::new();
    let mut child = holding(&bench);
    bench.run(&["--store", "s", "status"]).ends(1).says("the store is in use by ");
    // An end of input ends it, and the store is free.
    drop(child.stdin.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    bench.run(&["--store", "s", "status"]).ends(0);
}

#[test]
fn a_full_disk_loses_nothing_that_was_there_and_the_import_can_be_run_again() {
    let bench = Bench::new();
    bench.run(&["--store", "s", "init"]).ends(0);
    let text = "x".repeat(2000);
    let lines: Vec<String> =
        (1..2000).map(|seq| line(seq, "contact/1", "", &format!(r#"{{"n":"{text}{seq}"}}"#))).collect();
    bench.write("in.jsonl", lines.join("\n"));
    // No file may grow past a mebibyte: a disk that is full, as far as the log can tell.
    let limited =
        format!("trap '' XFSZ; ulimit -f 1024; exec {} --store s import in.jsonl", env!("CARGO_BIN_EXE_syncline"));
    let done = Command::new("bash").args(["-c", &limited]).current_dir(bench.path("")).output().expect("it runs");
    let err = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{err}");
    assert!(err.contains("error: the log cannot be used: the log stopped because the disk failed: "), "{err}");
    assert!(err.contains("help: "), "{err}");
    let before = bench.status("s")["events"].as_u64().expect("a number");
    let again = bench.run(&["--store", "s", "--json", "import", "in.jsonl"]).ends(0).json();
    assert_eq!(again["events"].as_u64().expect("a number") + before, 1999);
    bench.run(&["--store", "s", "verify"]).ends(0);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let bench = Bench::new();
    let lines: Vec<String> = (1..4000).map(|seq| line(seq, &format!("contact/{seq}"), "", r#"{"name":"a"}"#)).collect();
    bench.import(&lines.iter().map(String::as_str).collect::<Vec<_>>()).ends(0);
    let mut child = bench.command(&["--store", "s", "--json", "records"]).spawn().expect("it runs");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    let done = child.wait_with_output().expect("it ends");
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""));
    assert!(first.starts_with("{\"record\":\"contact/1\""));
}

#[test]
fn deleted_records_and_cleared_fields_are_left_out_and_numbers_are_as_they_were_written() {
    let bench = Bench::new();
    let delete = r#"{"seq":4,"side":"crm","record":"contact/2","at_ms":9000,"base":3,"kind":"delete"}"#;
    let lines = [
        line(1, "contact/1", "null", r#"{"a":1.50,"b":9007199254740993,"c":"x"}"#),
        line(2, "contact/1", "1", r#"{"c":null}"#),
        line(3, "contact/2", "null", r#"{"a":1}"#),
    ];
    bench.import(&[&lines[0], &lines[1], &lines[2], delete]).ends(0);
    let records = bench.run(&["--store", "s", "--json", "records"]).ends(0).out;
    assert_eq!(records, "{\"record\":\"contact/1\",\"fields\":{\"a\":1.50,\"b\":9007199254740993}}\n");
    let then = bench.run(&["--store", "s", "--json", "get", "contact/2", "--at", "event:4"]).ends(0).json();
    assert_eq!(then["existence"], "alive");
    assert_eq!(bench.run(&["--store", "s", "--json", "get", "contact/2"]).ends(0).json()["existence"], "deleted");
}

#[test]
fn a_conflict_is_told_explained_and_decided() {
    let bench = Bench::new();
    let lines = [
        line(1, "contact/1", "null", r#"{"phone":"1"}"#),
        line(2, "contact/1", "1", r#"{"phone":"2"}"#),
        line(3, "contact/1", "1", r#"{"phone":"3"}"#).replace("crm", "portal"),
    ];
    bench.import(&lines.iter().map(String::as_str).collect::<Vec<_>>()).ends(0);
    assert_eq!(bench.status("s")["conflicts_open"], 1);
    let conflicts = bench.run(&["--store", "s", "--json", "conflicts"]).ends(0).json();
    assert_eq!((&conflicts["value"], &conflicts["others"][0]["value"]), (&"3".into(), &"2".into()));
    assert!(bench.run(&["--store", "s", "why", "contact/1", "phone"]).ends(0).out.contains("portal"));
    let history = bench.run(&["--store", "s", "--json", "history", "contact/1", "phone"]).ends(0).out;
    let standings: Vec<Json> =
        history.lines().map(|line| serde_json::from_str::<Json>(line).expect("JSON")["standing"].clone()).collect();
    assert_eq!(standings, ["superseded", "overruled", "wins"]);
    let decide = ["--store", "s", "decide", "contact/1", "phone", "2", "--by", "ana", "--why", "asked"];
    bench.run(&decide).ends(0);
    let status = bench.status("s");
    assert_eq!((&status["conflicts_open"], &status["events"]), (&0.into(), &4.into()));
    let blame = bench.run(&["--store", "s", "--json", "blame", "contact/1"]).ends(0).json();
    assert_eq!((&blame["author"]["id"], &blame["value"]), (&"ana".into(), &Json::from(2)));
}

#[test]
fn an_export_makes_the_same_store_elsewhere_and_goes_into_no_other() {
    let bench = Bench::new();
    bench.write("m.yaml", TYPED);
    bench.run(&["--store", "s", "--manifest", "m.yaml", "init"]).ends(0);
    let lines = [line(1, "contact/1", "", r#"{"name":"a"}"#), line(2, "contact/2", "", r#"{"age":7,"name":null}"#)];
    bench.import(&[&lines[0], &lines[1]]).ends(0);
    let export = bench.run(&["--store", "s", "export"]).ends(0).out;
    let first: Json = serde_json::from_str(export.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["syncline_export"], &first["tenant"]), (&1.into(), &"t".into()));
    let third: Json = serde_json::from_str(export.lines().nth(2).expect("a line")).expect("JSON");
    assert_eq!((&third["seq"], &third["record"], &third["set"]["name"]), (&1.into(), &"contact/1".into(), &"a".into()));
    bench.write("e.jsonl", &export);
    bench.run(&["--store", "twin", "import", "e.jsonl"]).ends(0);
    assert_eq!(bench.run(&["--store", "twin", "export"]).ends(0).out, export);
    let (status, twin) = (bench.status("s"), bench.status("twin"));
    for what in ["events", "records", "state_hash", "verdict_hash"] {
        assert_eq!(status[what], twin[what], "{what}");
    }
    let again = bench.run(&["--store", "twin", "--json", "import", "e.jsonl"]).ends(0).json();
    assert_eq!((&again["events"], &again["duplicates"]), (&0.into(), &3.into()));
    bench.run(&["--store", "other", "init"]).ends(0);
    bench.run(&["--store", "other", "import", "e.jsonl"]).ends(1).says("has another key");
    assert_eq!(bench.status("other")["events"], 0);
}

#[test]
fn an_export_without_its_manifest_or_with_changed_bytes_is_refused() {
    let bench = Bench::new();
    bench.import(&[&line(1, "contact/1", "", r#"{"name":"a"}"#)]).ends(0);
    let export = bench.run(&["--store", "s", "export"]).ends(0).out;
    let lines: Vec<&str> = export.lines().collect();
    bench.write("cut.jsonl", [lines[0], lines[2]].join("\n"));
    bench.run(&["--store", "a", "import", "cut.jsonl"]).ends(1).says("its first event has to be a manifest");
    let at = lines[2].rfind('"').expect("a quote") - 2;
    let changed =
        format!("{}{}{}", &lines[2][..at], if &lines[2][at..=at] == "0" { "1" } else { "0" }, &lines[2][at + 1..]);
    bench.write("bad.jsonl", [lines[0], lines[1], &changed].join("\n"));
    bench.run(&["--store", "b", "import", "bad.jsonl"]).ends(1).says("bad.jsonl:3: ");
    assert_eq!(bench.status("b")["events"], 0);
    bench.write("whole.jsonl", &export);
    bench.run(&["--store", "b", "import", "whole.jsonl"]).ends(0);
    bench.run(&["--store", "a", "import", "whole.jsonl"]).ends(0);
    assert_eq!(bench.run(&["--store", "a", "export"]).ends(0).out, export);
}

#[test]
fn damage_is_told_with_its_sequence_and_the_rest_can_still_be_read() {
    let bench = Bench::new();
    let lines: Vec<String> = (1..600).map(|seq| line(seq, &format!("contact/{seq}"), "", r#"{"name":"a"}"#)).collect();
    bench.import(&lines.iter().map(String::as_str).collect::<Vec<_>>()).ends(0);
    let segment = bench.path("s").join("log").join("00000001.seg");
    let mut bytes = fs::read(&segment).expect("a segment");
    let at = bytes.windows(11).position(|bytes| bytes == b"contact/100").expect("the record's id");
    bytes[at] ^= 1;
    fs::write(&segment, &bytes).expect("a segment");
    let verify = bench.run(&["--store", "s", "--json", "verify"]).ends(1).json();
    assert_eq!(verify["sound"], false);
    let damage = &verify["damage"][0];
    let (first, last) = (damage["first"].as_u64().expect("a number"), damage["last"].as_u64().expect("a number"));
    assert!((first..=last).contains(&101), "{damage}");
}

#[test]
fn a_rebuild_gives_the_same_and_derived_state_that_lacks_an_event_is_made_anew() {
    let bench = Bench::new();
    let lines: Vec<String> = (1..600)
        .map(|seq| line(seq, &format!("contact/{}", seq % 50), "", &format!(r#"{{"name":"{seq}","n":{}}}"#, seq % 7)))
        .collect();
    bench.import(&lines.iter().map(String::as_str).collect::<Vec<_>>()).ends(0);
    let before = bench.status("s");
    let state = bench.path("s").join("state");
    let old = bench.path("old");
    copy(&state, &old);
    let more = line(900, "contact/1", "", r#"{"name":"late"}"#);
    bench.import(&[&more]).ends(0);
    let after = bench.status("s");
    assert_ne!(before["state_hash"], after["state_hash"]);
    // Derived state of yesterday with the checkpoint of today: it lacks an event, and says that it does not.
    let checkpoint = fs::read(state.join("checkpoint")).expect("a checkpoint");
    fs::remove_dir_all(&state).expect("state");
    copy(&old, &state);
    fs::write(state.join("checkpoint"), checkpoint).expect("a checkpoint");
    let verify = bench.run(&["--store", "s", "--json", "verify"]).ends(0);
    assert!(verify.err.contains("derived state was made anew from 601 events"), "{}", verify.err);
    assert_eq!(bench.status("s")["state_hash"], after["state_hash"]);
    bench.run(&["--store", "s", "rebuild"]).ends(0);
    bench.run(&["--store", "s", "verify", "--documents"]).ends(0);
    let rebuilt = bench.status("s");
    for what in ["events", "records", "state_hash", "verdict_hash"] {
        assert_eq!(rebuilt[what], after[what], "{what}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy")),
        }
    }
}

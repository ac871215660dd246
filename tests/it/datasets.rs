//! The two data sets, through the command line and through the library: what they resolve to is known.

use std::{collections::BTreeMap, fs, io::Read, thread};

use flate2::read::GzDecoder;
use serde_json::Value as Json;
use syncline::{
    capture::neutral::{self, Line, Statement},
    engine::Engine,
    event::{DEFAULT_SOURCE, named_said_id},
    id::{RecordId, SaidId, Seq, TenantKey},
    manifest::Manifest,
    merge::{self, Heard},
    rulebook::Rulebook,
};

use super::cli::Bench;

const WORKLOAD: &str = include_str!("examples/workload.yaml");

fn unzipped(name: &str) -> String {
    let path = format!("{}/tests/it/data/{name}.gz", env!("CARGO_MANIFEST_DIR"));
    let bytes = fs::read(&path).unwrap_or_else(|why| panic!("{path}: {why}"));
    let mut text = String::new();
    GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("a text");
    text
}

/// Records as JSON texts by record and field, so that no number is rounded on the way.
type Texts = BTreeMap<String, BTreeMap<String, String>>;

fn texts(fields: &serde_json::value::RawValue) -> BTreeMap<String, String> {
    let fields: BTreeMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(fields.get()).expect("an object");
    let value = |raw: &serde_json::value::RawValue| syncline::value::Value::from_raw(raw).expect("a value").to_json();
    fields.into_iter().map(|(name, raw)| (name, value(&raw))).collect()
}

fn expected(name: &str) -> Texts {
    let text = unzipped(name);
    let records: BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(&text).expect("an object");
    records.into_iter().map(|(record, fields)| (record, texts(&fields))).collect()
}

fn resolved(bench: &Bench, store: &str) -> Texts {
    #[derive(serde::Deserialize)]
    struct Row {
        record: String,
        fields: Box<serde_json::value::RawValue>,
    }
    let out = bench.run(&["--store", store, "--json", "records"]).ends(0).out;
    let row = |line: &str| serde_json::from_str::<Row>(line).expect("a record");
    out.lines().map(row).map(|row| (row.record, texts(&row.fields))).collect()
}

#[track_caller]
fn assert_same(found: &Texts, due: &Texts) {
    assert_eq!(found.len(), due.len());
    for (record, fields) in due {
        assert_eq!(found.get(record), Some(fields), "{record}");
    }
}

fn hashes(bench: &Bench, store: &str) -> [Json; 3] {
    let status = bench.status(store);
    ["events", "state_hash", "verdict_hash"].map(|what| status[what].clone())
}

fn workload(rule: &str, due: &str) {
    let bench = Bench::new();
    bench.write("w.jsonl", unzipped("workload-10k.jsonl"));
    bench.write("m.yaml", WORKLOAD.replace("rule: last_write_wins", rule));
    let summary = bench.run(&["--store", "s", "--manifest", "m.yaml", "--json", "import", "w.jsonl"]).ends(0).json();
    assert_eq!((&summary["events"], &summary["duplicates"]), (&9500.into(), &500.into()));
    let status = bench.status("s");
    assert_eq!((&status["events"], &status["duplicates"]), (&9500.into(), &500.into()));
    assert_eq!((&status["records"], &status["conflicts_open"]), (&1000.into(), &1031.into()));
    assert_same(&resolved(&bench, "s"), &expected(due));
    bench.run(&["--store", "s", "verify", "--documents"]).ends(0);
}

#[test]
fn the_workload_resolves_as_known_where_the_last_write_wins() {
    workload("rule: last_write_wins", "workload-10k.expected-lww.json");
}

#[test]
fn the_workload_resolves_as_known_where_the_crm_has_authority() {
    workload("rule: { authority: crm }", "workload-10k.expected-crm.json");
}

#[test]
fn real_history_resolves_to_what_the_real_files_held_and_leaves_no_conflict() {
    let bench = Bench::new();
    bench.write("c.jsonl", unzipped("congress-part.jsonl"));
    bench.run(&["--store", "s", "import", "c.jsonl"]).ends(0);
    let status = bench.status("s");
    assert_eq!((&status["events"], &status["conflicts_open"]), (&30_000.into(), &0.into()));
    assert_eq!((&status["waiting"], &status["parked"]), (&0.into(), &0.into()));
    assert_same(&resolved(&bench, "s"), &expected("congress-part.expected.json"));
    bench.run(&["--store", "s", "verify", "--documents"]).ends(0);
}

#[test]
fn cut_shuffled_or_said_twice_the_workload_makes_the_same_store() {
    let bench = Bench::new();
    let text = unzipped("workload-10k.jsonl");
    let lines: Vec<&str> = text.lines().take(3000).collect();
    bench.write("m.yaml", WORKLOAD);
    let import = |store: &str, lines: &[&str]| {
        bench.write("in.jsonl", lines.join("\n"));
        bench.run(&["--store", store, "--manifest", "m.yaml", "import", "in.jsonl"]).ends(0);
    };
    import("whole", &lines);
    let due = hashes(&bench, "whole");

    lines.chunks(701).for_each(|cut| import("cut", cut));
    assert_eq!(hashes(&bench, "cut"), due, "cut into several runs");

    import("twice", &lines);
    import("twice", &lines);
    assert_eq!(hashes(&bench, "twice"), due, "twice over");

    // Coprime to the number of lines, so every line comes once, and most before their base.
    let mut shuffled: Vec<&str> = (0..lines.len()).map(|at| lines[at * 1237 % lines.len()]).collect();
    import("shuffled", &shuffled);
    assert_eq!(hashes(&bench, "shuffled"), due, "shuffled");
    shuffled.reverse();
    import("reversed", &shuffled);
    assert_eq!(hashes(&bench, "reversed"), due, "reversed");
    bench.run(&["--store", "reversed", "verify"]).ends(0);
}

fn statements(text: &str) -> Vec<Statement> {
    let said = |line: &str| match neutral::parse(line.as_bytes()) {
        Ok(Some(Line::Said(said))) => Some(*said),
        _ => panic!("not a statement: {line}"),
    };
    text.lines().filter_map(said).collect()
}

#[test]
fn several_threads_that_import_at_once_make_the_same_store() {
    let bench = Bench::new();
    let text = unzipped("workload-10k.jsonl");
    let text: String = text.lines().take(3000).map(|line| format!("{line}\n")).collect();
    bench.write("m.yaml", WORKLOAD);
    bench.write("w.jsonl", &text);
    bench.run(&["--store", "one", "--manifest", "m.yaml", "import", "w.jsonl"]).ends(0);

    let (engine, _) = Engine::builder(bench.path("many")).manifest(WORKLOAD).open().expect("a store");
    let parts = 4;
    thread::scope(|scope| {
        for part in 0..parts {
            let (engine, text) = (&engine, &text);
            scope.spawn(move || {
                let mine = statements(text).into_iter().skip(part).step_by(parts);
                let draft = |said: Statement| {
                    let key = engine.record_key(&said.record);
                    said.draft(DEFAULT_SOURCE, &key, 1)
                };
                let drafts: Vec<_> = mine.map(draft).collect();
                for batch in drafts.chunks(64) {
                    engine.say(batch.to_vec()).expect("it takes them in");
                }
            });
        }
    });
    engine.close().expect("it closes");
    assert_eq!(hashes(&bench, "many"), hashes(&bench, "one"));
}

/// Whoever made a merge commit saw the conflict and wrote down which edits it was between: the same ones have to be
/// the candidates among what the commit had seen.
#[test]
fn the_candidates_before_a_merge_commit_are_the_edits_that_it_says_were_in_conflict() {
    let text = unzipped("congress-part.jsonl");
    let key = TenantKey([1; 32]);
    let book = Rulebook::of(syncline_edition());
    let mut by_record: BTreeMap<RecordId, Vec<(u64, Statement, Option<Json>)>> = BTreeMap::new();
    for (line, said) in text.lines().zip(statements(&text)) {
        let conflict = line
            .contains("\"conflict\"")
            .then(|| serde_json::from_str::<Json>(line).expect("JSON")["conflict"].clone());
        by_record.entry(said.record.clone()).or_default().push((said.seq.expect("a number"), said, conflict));
    }
    let (mut merges, mut fields_checked) = (0, 0);
    for (record, line) in by_record {
        if line.iter().all(|(_, _, conflict)| conflict.is_none()) {
            continue;
        }
        let record_key = key.record_key(&record);
        let bases: BTreeMap<u64, Vec<u64>> =
            line.iter().map(|(seq, said, _)| (*seq, said.base.clone().unwrap_or_default())).collect();
        let conflicts: Vec<(u64, Json)> =
            line.iter().filter_map(|(seq, _, conflict)| Some((*seq, conflict.clone()?))).collect();
        let heard: BTreeMap<u64, Heard> = line
            .into_iter()
            .map(|(seq, said, _)| {
                let sealed =
                    said.draft(DEFAULT_SOURCE, &record_key, 1).seal(&record_key, Default::default()).expect("small");
                (seq, Heard { seq: Seq(seq), place: Default::default(), event: sealed.event })
            })
            .collect();
        for (seq, conflict) in conflicts {
            let seen = ancestors(&bases, seq);
            let events: Vec<Heard> = seen.iter().map(|seq| heard[seq].clone()).collect();
            let (state, _) = merge::fold(&events, &book);
            merges += 1;
            for (field, edits) in conflict.as_object().expect("an object") {
                let due: Vec<u64> = edits.as_array().expect("a list").iter().filter_map(Json::as_u64).collect();
                let mut due: Vec<SaidId> =
                    due.iter().map(|number| named_said_id(&record_key, DEFAULT_SOURCE, *number)).collect();
                let candidates = &state.field(field).unwrap_or_else(|| panic!("{record} {seq} {field}")).candidates;
                let mut found: Vec<SaidId> = candidates.iter().map(|candidate| candidate.said).collect();
                due.sort();
                found.sort();
                assert_eq!(found, due, "{field} of {record} before {seq}");
                fields_checked += 1;
            }
        }
    }
    assert_eq!(merges, 392);
    assert!(fields_checked >= 392, "{fields_checked}");
}

/// All that an event had seen.
fn ancestors(bases: &BTreeMap<u64, Vec<u64>>, seq: u64) -> Vec<u64> {
    let mut seen: Vec<u64> = Vec::new();
    let mut todo = bases[&seq].clone();
    while let Some(next) = todo.pop() {
        if !seen.contains(&next) {
            seen.push(next);
            todo.extend(&bases[&next]);
        }
    }
    seen
}

/// The rules without a manifest, as merging reads them.
fn syncline_edition() -> syncline::rulebook::Edition {
    use syncline::rulebook::{Edition, KindSpec};
    let manifest = Manifest::builtin();
    let kinds = manifest.records.iter().map(|(name, kind)| {
        let fields = kind.fields.iter().map(|(field, entry)| (field.to_string(), entry.spec.clone())).collect();
        (name.clone(), KindSpec { fields, deletes: kind.deletes, sides: None })
    });
    Edition { kinds: kinds.collect(), sides: Default::default() }
}

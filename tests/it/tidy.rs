//! The house rules that a machine can keep: who imports whom, which door a dependency has, what no file may hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The most lines of a file in `src`.
const LINES_MAX: usize = 700;
const STAGES: [&str; 6] = ["capture", "log", "merge", "projection", "send", "state"];
/// What stands above the stages.
const ABOVE: [&str; 4] = ["manifest", "engine", "cli", "history"];
/// Heavy dependencies, and the one place that knows each.
const DOORS: [(&str, &str); 5] = [
    ("blake3", "src/id.rs"),
    ("automerge", "src/merge/document.rs"),
    ("sled", "src/state/"),
    ("bincode", "src/codec.rs"),
    ("cel", "src/expression.rs"),
];

/// Where a secret, or what is made with one, is compared with what a caller has shown.
const COMPARED: [&str; 3] = ["src/side/hubspot/signature.rs", "src/side/portal/signature.rs", "src/server/token.rs"];

/// A line of a source file, without what is after `//`.
struct Line {
    path: String,
    number: usize,
    code: String,
    /// Whether it stands in a test.
    test: bool,
}

impl Line {
    fn told(&self) -> String {
        format!("{}:{}: {}", self.path, self.number, self.code.trim())
    }

    /// Whether the line has the word, as a whole.
    fn has(&self, word: &str) -> bool {
        let in_name = |c: char| c.is_alphanumeric() || c == '_';
        self.code
            .match_indices(word)
            .any(|(at, _)| !self.code[..at].ends_with(in_name) && !self.code[at + word.len()..].starts_with(in_name))
    }

    /// Whether the line names a module of this crate, as the beginning of a path or alone in a list of imports.
    fn names_module(&self, module: &str) -> bool {
        let path = format!("{module}::");
        let begins = self.code.match_indices(&path).any(|(at, _)| {
            let before = self.code[..at].trim_end();
            let own = ["crate::", "super::", "syncline::"].iter().any(|start| before.ends_with(start));
            own || !before.ends_with("::") && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        });
        let listed = self.has("use") && self.code.contains("crate::") && self.has(module);
        begins || listed
    }
}

fn files(dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            match path.extension().and_then(|extension| extension.to_str()) {
                _ if path.is_dir() => todo.push(path),
                Some("rs") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{dir} has files");
    found
}

fn lines(dir: &str) -> Vec<Line> {
    let mut all = Vec::new();
    for file in files(dir) {
        let path = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("a file of the project").display().to_string();
        let text = fs::read_to_string(&file).expect("a source file is text");
        let mut test = !path.starts_with("src/") || path.contains("test");
        for (line, number) in text.lines().zip(1..) {
            // Tests are the last thing in a file.
            test |= line.trim() == "#[cfg(test)]" && text.lines().nth(number).is_some_and(|next| next.ends_with('{'));
            let code = line.split("//").next().unwrap_or_default().to_owned();
            all.push(Line { path: path.clone(), number, code, test });
        }
    }
    all
}

#[track_caller]
fn none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

fn where_(dir: &str, is_wrong: impl Fn(&Line) -> bool) -> Vec<String> {
    lines(dir).iter().filter(|line| is_wrong(line)).map(Line::told).collect()
}

#[test]
fn stages_import_nothing_that_stands_above_them() {
    let in_stage = |line: &Line| STAGES.iter().any(|stage| line.path.starts_with(&format!("src/{stage}/")));
    // The driver alone stands above the engine: it asks it for what is due, and feeds the outcomes back.
    let stands_above = |line: &Line| line.path == "src/send/driver.rs";
    let found = where_("src", |line| {
        in_stage(line) && !stands_above(line) && !line.test && ABOVE.iter().any(|module| line.names_module(module))
    });
    none(found, "a stage knows the words and the stage before it");
}

#[test]
fn merge_and_projection_know_no_disk_no_network_and_no_clock() {
    let pure = |line: &Line| line.path.starts_with("src/merge/") || line.path.starts_with("src/projection/");
    let found = where_("src", |line| {
        let outside =
            ["std::fs", "std::net", "std::time", "tokio::", "SystemClock", "SystemTime", "Instant", "crate::log"];
        pure(line) && !line.test && outside.iter().any(|name| line.code.contains(name))
    });
    none(found, "merge and projection only compute");
}

#[test]
fn a_heavy_dependency_has_one_door() {
    for (dependency, door) in DOORS {
        let of = |line: &Line| line.code.contains(&format!("{dependency}::")) && line.names_module(dependency);
        none(where_("src", |line| of(line) && !line.path.starts_with(door)), &format!("{dependency} is behind {door}"));
        assert!(lines("src").iter().any(of), "{dependency} is used");
    }
}

#[test]
fn no_automerge_bytes_are_taken_from_anywhere() {
    // Compressed chunks inflate without bound, and a corrupt tail is passed over in silence. Documents are built from
    // events, and only ever saved.
    let takes = ["::load", ".load(", "load_incremental", "load_unverified", "from_bytes", "receive_sync", "decode"];
    let found = where_("src", |line| {
        line.path == "src/merge/document.rs" && !line.test && takes.iter().any(|call| line.code.contains(call))
    });
    none(found, "a document is made of events, not of bytes");
}

#[test]
fn what_is_made_with_a_secret_is_compared_in_constant_time() {
    let of_code = |line: &Line| !line.test && line.path.starts_with("src/") && !line.path.starts_with("src/sim/");
    for place in COMPARED {
        let compares = |line: &Line| of_code(line) && line.path == place && line.code.contains(".ct_eq(");
        assert!(lines("src").iter().any(compares), "{place} compares in constant time");
    }
    let made = ["sign(", "hash(secret", ".finalize()", ".into_bytes()"];
    let plainly = |line: &Line| {
        let compares = line.code.contains("==") || line.code.contains("!=");
        of_code(line) && compares && made.iter().any(|made| line.code.contains(made))
    };
    none(where_("src", plainly), "how long it takes tells how much of it was right");
}

#[test]
fn every_address_is_in_the_document_of_the_api() {
    // What is only put into the router would have no row in the matrix of who may see what.
    let past = |line: &Line| {
        let routed = [".route(", ".route_service(", ".nest_service(", ".fallback_service("];
        line.path.starts_with("src/server/") && !line.test && routed.iter().any(|call| line.code.contains(call))
    };
    none(where_("src", past), "an address is made with `routes!`");
}

#[test]
fn nothing_is_unwrapped_dropped_or_left_undone() {
    // A promise of our own is stated with `expect`; what comes from outside is an error.
    none(where_("src", |line| !line.test && line.code.contains(".unwrap()")), "`unwrap` says no reason");
    for dir in ["src", "tests"] {
        let dropped =
            |line: &Line| line.code.contains(concat!("let", " _ =")) || line.code.contains(concat!("let", " _:"));
        none(where_(dir, dropped), "what is dropped in silence is lost");
        let undone = [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("db", "g!")];
        none(where_(dir, |line| undone.iter().any(|word| line.code.contains(word))), "nothing is left undone");
    }
}

#[test]
fn no_test_sleeps_and_no_name_says_nothing() {
    let sleeps = |line: &Line| line.test && line.code.contains(concat!("thread::", "sleep"));
    none(["src", "tests"].into_iter().flat_map(|dir| where_(dir, sleeps)).collect(), "tests turn a clock by hand");
    let empty = |path: &PathBuf| {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        ["util", "utils", "helper", "helpers", "manager", "common", "misc"].contains(&stem)
    };
    let found = files("src").into_iter().filter(empty).map(|path| path.display().to_string()).collect();
    none(found, "a file is named after its question");
}

#[test]
fn a_file_answers_one_question_and_says_which() {
    let mut found = Vec::new();
    for file in files("src") {
        let text = fs::read_to_string(&file).expect("a source file is text");
        let count = text.lines().count();
        if count > LINES_MAX {
            found.push(format!("{}: {count} lines", file.display()));
        }
        if !text.starts_with("//!") {
            found.push(format!("{}: does not begin with what it is for", file.display()));
        }
    }
    none(found, "a file is short and begins with what it answers");
}

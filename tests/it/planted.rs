//! The planted bugs do not rot: each still applies to the tree as it is, and names a suite that is there.
//!
//! `tests/planted/run` plants them into a copy and shows which suite catches each.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn patches() -> Vec<PathBuf> {
    let found = fs::read_dir(Path::new(ROOT).join("tests/planted")).expect("a folder of the project");
    let paths = found.map(|entry| entry.expect("an entry").path());
    let mut patches: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "patch")).collect();
    patches.sort();
    patches
}

#[test]
fn every_planted_bug_applies_to_the_tree_as_it_is() {
    let apply = |patch: &PathBuf| {
        let mut git = Command::new("git");
        let done = git.args(["apply", "--check"]).arg(patch).current_dir(ROOT).output().expect("git runs");
        (!done.status.success()).then(|| String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let rotten: Vec<String> = patches().iter().filter_map(apply).collect();
    assert!(rotten.is_empty(), "{}", rotten.concat());
    assert!(patches().len() >= 20, "{} planted bugs", patches().len());
}

#[test]
fn every_planted_bug_says_what_it_is_and_which_suite_catches_it() {
    for patch in patches() {
        let text = fs::read_to_string(&patch).expect("a patch is text");
        let told = patch.display();
        let mut lines = text.lines();
        let story = lines.next().unwrap_or_default();
        assert!(story.ends_with('.') && story.len() < 120, "{told} begins with a sentence");
        let suite = lines.next().and_then(|line| line.strip_prefix("suite: ")).and_then(|suite| suite.split_once(' '));
        let (kind, filter) = suite.unwrap_or_else(|| panic!("{told} names its suite in the second line"));
        let parts: Vec<&str> = filter.split("::").collect();
        let (folder, module, claim) = match (kind, parts.as_slice()) {
            ("it", [module]) => ("tests/it".to_owned(), *module, None),
            ("it", [module, claim]) => ("tests/it".to_owned(), *module, Some(*claim)),
            ("lib", [stage, module]) => (format!("src/{stage}"), *module, None),
            ("lib", [stage, folder, module]) => (format!("src/{stage}/{folder}"), *module, None),
            _ => panic!("{told}: `it FILE`, `it FILE::CLAIM` or `lib FOLDER::FILE`, not {kind} {filter}"),
        };
        let file = Path::new(ROOT).join(folder).join(format!("{module}.rs"));
        let source = fs::read_to_string(&file).unwrap_or_else(|why| panic!("{told}: {}: {why}", file.display()));
        if let Some(claim) = claim {
            let has = [format!("fn {claim}"), format!("\nmod {claim};\n")].iter().any(|of| source.contains(of));
            assert!(has, "{told}: {} claims no {claim}", file.display());
        }
    }
}

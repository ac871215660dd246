//! The README does not rot: its manifests have no faults, and its commands are there.

use std::process::Command;

use syncline::manifest::Manifest;

const README: &str = include_str!("../../README.md");

/// The blocks of a language, each with its text.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    let parts = README.split(opening.as_str()).skip(1);
    parts.map(|part| part.split("```").next().expect("a split has a first part")).collect()
}

/// What stands between `cat > NAME <<'EOF'` and `EOF`, and what stands in blocks of YAML.
fn manifests() -> Vec<&'static str> {
    let here = |block: &'static str| {
        let begins = block.find("<<'EOF'\nsyncline: 1")?;
        block[begins..].split_once('\n')?.1.split("\nEOF").next()
    };
    let whole = blocks("yaml").into_iter().filter(|block| block.starts_with("syncline: 1"));
    blocks("sh").into_iter().filter_map(here).chain(whole).collect()
}

/// The commands of all blocks for a shell, without what the shell itself reads.
fn commands() -> Vec<Vec<&'static str>> {
    let lines = blocks("sh").into_iter().flat_map(str::lines);
    let ours = lines.filter_map(|line| line.strip_prefix(". ./env.sh; ").unwrap_or(line).strip_prefix("syncline "));
    ours.map(|line| line.split_whitespace().take_while(|word| !["#", "|", ">"].contains(word)).collect()).collect()
}

#[test]
fn the_readmes_manifests_have_no_faults() {
    let manifests = manifests();
    assert_eq!(manifests.len(), 2, "one of the first steps, one of the service");
    for text in manifests {
        let faults = Manifest::parse(text).err().unwrap_or_default();
        assert!(faults.is_empty(), "{text}\n{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>());
    }
}

#[test]
fn the_readmes_commands_are_understood() {
    let commands = commands();
    assert!(commands.len() >= 15, "{commands:?}");
    for words in commands {
        // Help is printed once all before it was understood, and nothing is done.
        let ran = Command::new(env!("CARGO_BIN_EXE_syncline")).args(&words).arg("--help").output().expect("it runs");
        assert!(ran.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

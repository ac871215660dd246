//! What is wrong in a manifest, where, and what would cure it.

use std::{collections::HashSet, fmt};

/// A place in the manifest's text; both count from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub line: usize,
    pub column: usize,
}

/// One fault of a manifest.
///
/// It may be shown to anybody: what stands where a secret belongs is never repeated in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{line}:{column}: {what}; {hint}")]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The character within the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What would cure it.
    pub hint: String,
}

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, at: At, what: impl AsRef<str>, hint: impl AsRef<str>) {
        let (what, hint) = (printable(what.as_ref()), printable(hint.as_ref()));
        self.0.push(Fault { line: at.line, column: at.column, what, hint });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them in the order of the text.
    ///
    /// A fault in what aliases repeat is met once for each kind that repeats it, with the same place and the
    /// same cure: it is told once.
    pub fn into_sorted(mut self) -> Vec<Fault> {
        self.0.sort_by_key(|fault| (fault.line, fault.column));
        let mut told = HashSet::new();
        self.0.retain(|fault| told.insert((fault.line, fault.column, fault.hint.clone())));
        self.0
    }
}

/// A message as a terminal may show it: words from the text could hold control characters, or be a novel.
fn printable(message: &str) -> String {
    const CHARS_MAX: usize = 400;
    let mut shown = String::with_capacity(message.len().min(CHARS_MAX));
    for (index, c) in message.chars().enumerate() {
        match c {
            _ if index == CHARS_MAX => {
                shown.push('…');
                break;
            }
            _ if c.is_control() => shown.extend(c.escape_default()),
            _ => shown.push(c),
        }
    }
    shown
}

/// A hint for a word that is not among `known`: the one that was probably meant, or else all of them.
pub(super) fn among<T: AsRef<str>>(word: &str, known: &[T], what_they_are: &str) -> String {
    let near = known.iter().map(|known| (distance(word, known.as_ref()), known.as_ref())).min();
    match near {
        Some((steps, near)) if steps <= 1 + near.chars().count() / 4 && steps < near.chars().count() => {
            format!("did you mean `{near}`?")
        }
        Some(_) => format!("{what_they_are} {}", List(known)),
        None => format!("{what_they_are} none"),
    }
}

/// Prints words one after the other.
pub(super) struct List<'a, T>(pub &'a [T]);

impl<T: AsRef<str>> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, word)| {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}`{}`", word.as_ref())
        })
    }
}

/// How many characters have to be put in, left out, exchanged or swapped with their neighbour to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    // The words compared are keys and names; a longer one is not a slip of the pen.
    const CHARS_MAX: usize = 64;
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    if a.len() > CHARS_MAX || b.len() > CHARS_MAX {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let exchanged = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let moved = exchanged.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if swapped { moved.min(rows[i - 2][j - 2] + 1) } else { moved }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_word_that_was_meant() {
        let keys = ["connector", "credentials", "app"];
        assert_eq!(among("conector", &keys, "the keys are"), "did you mean `connector`?");
        assert_eq!(among("Connector", &keys, "the keys are"), "did you mean `connector`?");
        assert_eq!(among("apps", &keys, "the keys are"), "did you mean `app`?");
        assert_eq!(among("colour", &keys, "the keys are"), "the keys are `connector`, `credentials`, `app`");
        assert_eq!(among("x", &[] as &[&str], "the keys are"), "the keys are none");
    }

    #[test]
    fn words_from_the_text_cannot_steer_a_terminal_or_flood_it() {
        let mut faults = Faults::default();
        faults.add(At::default(), "no `\u{1b}[2J`", "x".repeat(1_000_000));
        let fault = &faults.into_sorted()[0];
        assert_eq!(fault.what, r"no `\u{1b}[2J`");
        assert_eq!(fault.hint.chars().count(), 401);
    }

    #[test]
    fn distances_count_single_slips() {
        assert_eq!(distance("portal", "portla"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}

//! How a text became another: what an author changed, as splices of the text that the change goes into.

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// One place where a text changed, in characters of the old text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Splice {
    pub at: usize,
    pub gone: usize,
    pub come: String,
}

/// What an author changed who was `shown` a text and said another one, as splices of the text `now`.
///
/// The two differ where the words that he had seen merge in another order than when they were written out to him, because an
/// older one was heard of since. Taken against `now`, his change would move back every line that moved; two who did so
/// would have it there twice.
pub(super) fn changes(now: &str, shown: &str, said: &str) -> Vec<Splice> {
    let changed = splices(shown, said);
    if now == shown {
        return changed;
    }
    let places = places(shown, now);
    let mut moved = Vec::new();
    for Splice { at, gone, come } in changed {
        if !come.is_empty() {
            // Behind what it stood behind.
            let before = places[..at].iter().rev().find_map(|place| *place);
            moved.push(Splice { at: before.map_or(0, |place| place + 1), gone: 0, come });
        }
        let lost = places[at..at + gone].iter().flatten();
        moved.extend(lost.map(|place| Splice { at: *place, gone: 1, come: String::new() }));
    }
    moved.sort_by_key(|splice| splice.at);
    moved
}

/// Where each character of `old` stands in `new`: lines in their order, lines that moved, characters of lines that changed.
fn places(old: &str, new: &str) -> Vec<Option<usize>> {
    let mut places = vec![None; old.chars().count()];
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let (old_starts, new_starts) = (starts(&old), starts(&new));
    let mut lines: Vec<Option<usize>> = vec![None; old.len()];
    let mut free = vec![true; new.len()];
    let steps = capture_diff_slices(Algorithm::Myers, &old, &new);
    for step in &steps {
        if let DiffOp::Equal { old_index, new_index, len } = *step {
            (0..len).for_each(|nth| (lines[old_index + nth], free[new_index + nth]) = (Some(new_index + nth), false));
        }
    }
    for (line, place) in old.iter().zip(&mut lines).filter(|(_, place)| place.is_none()) {
        *place = (0..new.len()).find(|at| free[*at] && new[*at] == *line);
        place.iter().for_each(|at| free[*at] = false);
    }
    for (at, place) in lines.iter().enumerate() {
        let Some(place) = place else { continue };
        let length = old_starts[at + 1] - old_starts[at];
        (0..length).for_each(|nth| places[old_starts[at] + nth] = Some(new_starts[*place] + nth));
    }
    for step in steps {
        let DiffOp::Replace { old_index, old_len, new_index, new_len } = step else { continue };
        let left = |starts: &[usize], from: usize, len: usize, is_left: &dyn Fn(usize) -> bool| -> Vec<usize> {
            (from..from + len).filter(|at| is_left(*at)).flat_map(|at| starts[at]..starts[at + 1]).collect()
        };
        let olds = left(&old_starts, old_index, old_len, &|at| lines[at].is_none());
        let news = left(&new_starts, new_index, new_len, &|at| free[at]);
        let (old, new): (Vec<char>, Vec<char>) = (old.concat().chars().collect(), new.concat().chars().collect());
        let letters = |text: &[char], at: &[usize]| at.iter().map(|at| text[*at]).collect::<Vec<char>>();
        for step in capture_diff_slices(Algorithm::Myers, &letters(&old, &olds), &letters(&new, &news)) {
            if let DiffOp::Equal { old_index, new_index, len } = step {
                (0..len).for_each(|nth| places[olds[old_index + nth]] = Some(news[new_index + nth]));
            }
        }
    }
    places
}

/// Where each line starts, in characters, and where the last one ends.
fn starts(lines: &[&str]) -> Vec<usize> {
    let mut starts = vec![0];
    starts.extend(lines.iter().scan(0, |end, line| {
        *end += line.chars().count();
        Some(*end)
    }));
    starts
}

/// How a text became another: by lines, and by characters within lines that changed.
///
/// Characters alone would cut a new line between two that begin alike out of both, and such a cut falls apart when a
/// line comes in between that the author had not seen.
fn splices(old: &str, new: &str) -> Vec<Splice> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let starts = starts(&old);
    let mut splices = Vec::new();
    for step in capture_diff_slices(Algorithm::Myers, &old, &new) {
        match step {
            DiffOp::Equal { .. } => {}
            DiffOp::Delete { old_index, old_len, .. } => {
                let (at, end) = (starts[old_index], starts[old_index + old_len]);
                splices.push(Splice { at, gone: end - at, come: String::new() });
            }
            DiffOp::Insert { old_index, new_index, new_len } => {
                let come = new[new_index..new_index + new_len].concat();
                splices.push(Splice { at: starts[old_index], gone: 0, come });
            }
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                let (gone, come) =
                    (old[old_index..old_index + old_len].concat(), new[new_index..new_index + new_len].concat());
                splices.extend(within_lines(starts[old_index], &gone, &come));
            }
        }
    }
    splices
}

/// How the characters of changed lines changed; the lines begin at `start`.
fn within_lines(start: usize, old: &str, new: &str) -> Vec<Splice> {
    let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
    let splice = |at: usize, gone, come: &[char]| Some(Splice { at: start + at, gone, come: come.iter().collect() });
    let steps = capture_diff_slices(Algorithm::Myers, &old, &new).into_iter();
    let changes = steps.filter_map(|step| match step {
        DiffOp::Equal { .. } => None,
        DiffOp::Delete { old_index, old_len, .. } => splice(old_index, old_len, &[]),
        DiffOp::Insert { old_index, new_index, new_len } => splice(old_index, 0, &new[new_index..new_index + new_len]),
        DiffOp::Replace { old_index, old_len, new_index, new_len } => {
            splice(old_index, old_len, &new[new_index..new_index + new_len])
        }
    });
    changes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(old: &str, new: &str) -> Vec<(usize, usize, String)> {
        splices(old, new).into_iter().map(|splice| (splice.at, splice.gone, splice.come)).collect()
    }

    /// The text `now` once someone has said `said` who was shown `shown`.
    fn after(now: &str, shown: &str, said: &str) -> String {
        let mut text: Vec<char> = now.chars().collect();
        for Splice { at, gone, come } in changes(now, shown, said).into_iter().rev() {
            text.splice(at..at + gone, come.chars());
        }
        text.into_iter().collect()
    }

    #[test]
    fn a_new_line_between_two_that_begin_alike_is_one_whole_line() {
        assert_eq!(told("24. a\n240. b\n", "24. a\n241. c\n240. b\n"), [(6, 0, "241. c\n".to_owned())]);
        assert_eq!(told("é\nx\ny\n", "é\ny\n"), [(2, 2, String::new())]);
    }

    #[test]
    fn within_a_line_characters_count() {
        assert_eq!(told("one\ntwo three\n", "one\ntwo four three\n"), [(8, 0, "four ".to_owned())]);
        assert_eq!(told("", "one"), [(0, 0, "one".to_owned())]);
        assert_eq!(told("one", "one"), []);
    }

    #[test]
    fn what_was_shown_as_it_is_takes_the_change_as_it_was_said() {
        for (shown, said) in [("a\nb\n", "a\nx\nb\n"), ("one two", "one four"), ("", "é\n"), ("a\na\nb\n", "a\n")] {
            assert_eq!(after(shown, shown, said), said);
        }
    }

    #[test]
    fn a_change_of_lines_that_have_moved_goes_with_them() {
        // The author was shown the agent's line on top and put one between the other two; by now the agent's is last.
        assert_eq!(after("b\nc\na\n", "a\nb\nc\n", "a\nb\nnew\nc\n"), "b\nnew\nc\na\n");
        assert_eq!(after("b\nc\na\n", "a\nb\nc\n", "b\nc\n"), "b\nc\n", "a line that moved is taken out");
        assert_eq!(after("b\nc\nalpha\n", "alpha\nb\nc\n", "alpha 2\nb\nc\n"), "b\nc\nalpha 2\n");
        assert_eq!(after("", "a\n", "a\nnew\n"), "new\n", "what is gone stays gone");
        assert_eq!(after("a\nheard late\nb\n", "a\nb\n", "a\nb\nnew\n"), "a\nheard late\nb\nnew\n");
    }

    #[test]
    fn a_change_within_a_line_that_reads_differently_by_now_finds_its_characters() {
        assert_eq!(
            after("call Bo back soon\n", "call Bo back\n", "do not call Bo back\n"),
            "do not call Bo back soon\n"
        );
    }
}

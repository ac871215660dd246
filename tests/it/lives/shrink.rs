//! The story of a life that failed, in as few steps as still fail.

use super::{Failure, Step, live};

/// A story is not made shorter by living more often than this.
const TRIES_MOST: usize = 400;

/// The shortest story found, in words.
pub fn story(seed: u64, steps: &[Step], failure: &Failure) -> String {
    let (law, found, at) = (failure.law, &failure.found, failure.steps);
    eprintln!("seed {seed}: \"{law}\" does not hold at step {at}; looking for the shortest story\n  {found}");
    let (steps, failure) = fewest(seed, &steps[..failure.steps], failure);
    let mut told = Vec::new();
    let again = live(seed, &steps, &mut |words| told.push(words));
    let lines: String =
        told.iter().enumerate().map(|(number, words)| format!("  {:>3} {words}\n", number + 1)).collect();
    let flaky =
        if again.is_ok() { " (told again it did not fail: it does not follow from the seed alone)" } else { "" };
    format!(
        "seed {seed}: \"{}\" does not hold{flaky}\n{} steps lead there:\n{lines}and then:\n  {}\n\
         to see it again: SYNCLINE_SEED={seed} cargo test --test it lives::the_laws\n",
        failure.law,
        steps.len(),
        failure.found
    )
}

/// Leaves out steps as long as the same law fails: first in large pieces, then in small ones.
fn fewest(seed: u64, steps: &[Step], failure: &Failure) -> (Vec<Step>, Failure) {
    let (mut steps, mut failure, mut tries) = (steps.to_vec(), failure.clone(), 0);
    let mut piece = steps.len().div_ceil(2).max(1);
    loop {
        let (mut at, before) = (0, steps.len());
        while at < steps.len() && tries < TRIES_MOST {
            tries += 1;
            let mut fewer = steps.clone();
            fewer.drain(at..steps.len().min(at + piece));
            match live(seed, &fewer, &mut |_| {}) {
                Err(found) if found.law == failure.law => {
                    fewer.truncate(found.steps);
                    (steps, failure) = (fewer, found);
                }
                _ => at += piece,
            }
        }
        if tries >= TRIES_MOST || piece == 1 && steps.len() == before {
            return (steps, failure);
        }
        piece = piece.div_ceil(2);
    }
}

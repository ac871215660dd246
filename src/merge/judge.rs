//! The rules: which of several candidates a field takes.

use std::cmp::{Ordering, Reverse};

use crate::{
    clock::Millis,
    field::{FieldSpec, FieldType, Rule},
    merge::record::{Candidate, Reason},
    rulebook::{EXISTENCE, Rulebook},
};

/// A decision: the winner's index and why. Under [`Reason::Merge`] the words still have to be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Index among the candidates.
    pub winner: usize,
    /// Why.
    pub reason: Reason,
}

/// A candidate's time by our clock.
pub fn corrected(candidate: &Candidate, book: &Rulebook) -> Millis {
    book.corrected(&candidate.origin.side, candidate.said_at)
}

/// Puts candidates into rank order, the newest first. Ties end in content, never in arrival.
pub fn rank(candidates: &mut [Candidate], book: &Rulebook) {
    if candidates.len() > 1 {
        candidates.sort_by(|a, b| newer(a, b, book).reverse());
    }
}

/// Decides a field among candidates that are in rank order.
///
/// The rules in force are those at the newest candidate's corrected time.
///
/// # Panics
/// If there is no candidate: a field has at least one.
pub fn judge(kind: &str, field: &str, candidates: &[Candidate], book: &Rulebook) -> Ruling {
    let first = &candidates[0];
    if candidates.len() == 1 {
        return Ruling { winner: 0, reason: Reason::Only };
    }
    if candidates.iter().all(|candidate| candidate.value == first.value) {
        return Ruling { winner: 0, reason: Reason::Agreement };
    }
    if field == EXISTENCE {
        return Ruling { winner: 0, reason: Reason::LastWrite };
    }
    match spec_for(kind, field, candidates, book) {
        Some(spec) => by_rule(spec, candidates, book),
        None => Ruling { winner: 0, reason: Reason::LastWrite },
    }
}

/// The field's entry in the rules by which these candidates, in rank order, are judged.
pub fn spec_for<'b>(kind: &str, field: &str, candidates: &[Candidate], book: &'b Rulebook) -> Option<&'b FieldSpec> {
    book.at(corrected(candidates.first()?, book)).field(kind, field)
}

/// Whether the words on a field of this entry are put together where they differ.
pub(crate) fn is_merged(spec: &FieldSpec) -> bool {
    spec.rule == Rule::Merge && (spec.kind.is_set() || matches!(spec.kind, FieldType::LongText | FieldType::Counter))
}

fn by_rule(spec: &FieldSpec, candidates: &[Candidate], book: &Rulebook) -> Ruling {
    let last = |authority: Option<&str>| newest_of(candidates, |_| true, authority, book).unwrap_or(0);
    match &spec.rule {
        Rule::Authority(side) => match newest_of(candidates, |c| c.origin.side == *side, None, book) {
            Some(winner) => Ruling { winner, reason: Reason::Authority },
            None => Ruling { winner: 0, reason: Reason::LastWrite },
        },
        Rule::LastWriteWins(authority) => Ruling { winner: last(authority.as_deref()), reason: Reason::LastWrite },
        Rule::FirstWriteWins(authority) => {
            let oldest = candidates.iter().map(|candidate| corrected(candidate, book)).min();
            let is_oldest = |candidate: &Candidate| Some(corrected(candidate, book)) == oldest;
            let winner = newest_of(candidates, is_oldest, authority.as_deref(), book).unwrap_or(0);
            Ruling { winner, reason: Reason::FirstWrite }
        }
        Rule::Max => extreme(candidates, Reason::Max),
        Rule::Min => extreme(candidates, Reason::Min),
        Rule::Manual => Ruling { winner: 0, reason: Reason::Manual },
        Rule::Merge => Ruling { winner: 0, reason: if is_merged(spec) { Reason::Merge } else { Reason::LastWrite } },
    }
}

/// The first in rank among those eligible; at equal times the authority's.
fn newest_of(
    candidates: &[Candidate],
    eligible: impl Fn(&Candidate) -> bool,
    authority: Option<&str>,
    book: &Rulebook,
) -> Option<usize> {
    let first = candidates.iter().position(&eligible)?;
    let Some(authority) = authority else { return Some(first) };
    let time = corrected(&candidates[first], book);
    let level = (first..candidates.len()).take_while(|at| corrected(&candidates[*at], book) == time);
    let named = |at: &usize| eligible(&candidates[*at]) && *candidates[*at].origin.side == *authority;
    Some(level.into_iter().find(named).unwrap_or(first))
}

/// The candidate with the greatest, or smallest, value; among equal ones the first in rank.
fn extreme(candidates: &[Candidate], reason: Reason) -> Ruling {
    let order = |a: &Candidate, b: &Candidate| match reason {
        Reason::Max => a.value.compare(&b.value),
        _ => b.value.compare(&a.value),
    };
    let valued = (0..candidates.len()).filter(|at| !candidates[*at].value.is_null());
    match valued.max_by(|a, b| order(&candidates[*a], &candidates[*b]).then(Reverse(a).cmp(&Reverse(b)))) {
        Some(winner) => Ruling { winner, reason },
        None => Ruling { winner: 0, reason: Reason::LastWrite },
    }
}

/// Orders two words by time, then by what is plain in them and the same in every store.
fn newer(a: &Candidate, b: &Candidate, book: &Rulebook) -> Ordering {
    corrected(a, book).cmp(&corrected(b, book)).then_with(|| plain(a).cmp(&plain(b)))
}

/// Whether a new word can take the place of one of the candidates without leaving their rank order.
pub fn fits(candidates: &[Candidate], at: usize, new: &Candidate, book: &Rulebook) -> bool {
    let (before, after) = (&candidates[..at], &candidates[at + 1..]);
    before.last().is_none_or(|other| newer(other, new, book) == Ordering::Greater)
        && after.first().is_none_or(|other| newer(other, new, book) != Ordering::Greater)
}

/// Puts one more candidate among others that are in rank order.
pub fn insert(candidates: &mut Vec<Candidate>, new: Candidate, book: &Rulebook) {
    let at = candidates.partition_point(|other| newer(other, &new, book) == Ordering::Greater);
    // Most fields have one candidate for good: room for more would be most of what a record takes in memory.
    if candidates.len() < 2 {
        candidates.reserve_exact(1);
    }
    candidates.insert(at, new);
}

#[allow(clippy::type_complexity)]
fn plain(c: &Candidate) -> impl Ord + '_ {
    // The said-id comes last and decides only between words that look the same to everybody.
    (&c.origin.side, c.said_seq, &c.value, &c.author, &c.origin, c.said_at, c.said)
}

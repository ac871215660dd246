//! Merged types that need no document: sets by adds and removes, counters by differences.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    merge::before::Before,
    value::{Value, View},
};

/// What a word brings into a merged field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// To a counter.
    Difference(i128),
    /// To a set.
    Elements {
        /// The elements that it adds.
        adds: Vec<Value>,
        /// The elements that it removes.
        removes: Vec<Value>,
    },
}

/// A word of a merged field.
pub struct Said<'a> {
    /// The event.
    pub event: u32,
    /// What it says the field is.
    pub value: &'a Value,
}

/// For each word, in an order in which it comes after all that happened before it: which of the earlier ones did.
fn ancestors(words: &[Said], before: &Before) -> Vec<Vec<usize>> {
    let marks = |word: &Said| before.of([word.event].into_iter());
    words
        .iter()
        .map(|word| {
            let marked = marks(word);
            (0..words.len()).filter(|other| marked[words[*other].event as usize]).collect()
        })
        .collect()
}

/// The words in an order in which each comes after all that happened before it.
fn ordered<'a>(words: Vec<Said<'a>>, before: &Before) -> Vec<Said<'a>> {
    let mut place = BTreeMap::new();
    before.order().into_iter().enumerate().for_each(|(at, event)| {
        place.insert(event, at);
    });
    let mut words = words;
    words.sort_by_key(|word| place[&word.event]);
    words
}

/// The sum of all differences, each against what its author had seen; null counts as zero.
pub fn counter(words: Vec<Said>, before: &Before) -> Value {
    let sum: i128 = differences(words, before).iter().map(|(_, difference)| difference).sum();
    Value::from_json(&sum.to_string()).expect("a number prints as JSON")
}

/// What each event's word adds to a counter, against what its author had seen.
pub fn differences(words: Vec<Said>, before: &Before) -> Vec<(u32, i128)> {
    let words = ordered(words, before);
    let ancestors = ancestors(&words, before);
    let mut differences: Vec<(u32, i128)> = Vec::with_capacity(words.len());
    for (word, below) in words.iter().zip(&ancestors) {
        let seen: i128 = below.iter().map(|at| differences[*at].1).sum();
        differences.push((word.event, i128::from(word.value.as_i64().unwrap_or(0)) - seen));
    }
    differences
}

/// All elements that were added and not removed by one who had seen that adding; ascending by bytes.
pub fn set(words: Vec<Said>, before: &Before) -> Value {
    let (changes, ancestors) = changes(words, before);
    let all: Vec<usize> = (0..changes.len()).collect();
    Value::list(&present(&all, &changes, &ancestors))
}

/// What each event's word adds to a set and removes from it, against what its author had seen; and, for each of them,
/// which of the earlier ones happened before it.
pub fn changes(words: Vec<Said>, before: &Before) -> (Vec<Change>, Vec<Vec<usize>>) {
    let words = ordered(words, before);
    let ancestors = ancestors(&words, before);
    let mut changes: Vec<Change> = Vec::with_capacity(words.len());
    for (word, below) in words.iter().zip(&ancestors) {
        let says: BTreeSet<Value> = match word.value.view() {
            View::List(elements) => elements.collect(),
            _ => BTreeSet::new(),
        };
        let seen = present(below, &changes, &ancestors);
        changes.push(Change {
            event: word.event,
            adds: says.difference(&seen).cloned().collect(),
            removes: seen.difference(&says).cloned().collect(),
        });
    }
    (changes, ancestors)
}

/// What a word does to a set.
pub struct Change {
    /// The word's event.
    pub event: u32,
    /// The elements that it adds.
    pub adds: BTreeSet<Value>,
    /// The elements that it removes.
    pub removes: BTreeSet<Value>,
}

/// The elements that these changes leave.
fn present(members: &[usize], changes: &[Change], ancestors: &[Vec<usize>]) -> BTreeSet<Value> {
    let removed = |adder: usize, element: &Value| {
        let saw = |other: &&usize| ancestors[**other].contains(&adder);
        members.iter().filter(saw).any(|other| changes[*other].removes.contains(element))
    };
    let added = members.iter().flat_map(|at| changes[*at].adds.iter().map(move |element| (*at, element)));
    added.filter(|(at, element)| !removed(*at, element)).map(|(_, element)| element.clone()).collect()
}

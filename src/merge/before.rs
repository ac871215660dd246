//! What happened before what, field by field.
//!
//! The relation of one field is the transitive closure of (a) the entries that an event names and
//! (b), for a linear event, its origin's earlier words on the field and the words of which its side
//! had learned. Both parts of (b) are prefixes of lists sorted by time, so each is kept as a chain of
//! prefix nodes: the relation takes linear space, however long the history.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use rustc_hash::FxBuildHasher;

use crate::clock::Millis;

const NONE: u32 = u32::MAX;

struct Prefix {
    shorter: u32,
    items: std::ops::Range<u32>,
}

/// The relation of one field over the events of a record.
pub struct Before<'a> {
    named: &'a [Vec<u32>],
    /// For each event, the prefixes that it adds to what it names.
    added: Vec<[u32; 3]>,
    prefixes: Vec<Prefix>,
    items: Vec<u32>,
    /// For members of a cycle: what (b) still adds, word by word.
    kept: HashMap<u32, Vec<u32>, FxBuildHasher>,
}

/// A list sorted by time of which linear events know the part before their own time.
pub struct Known {
    times: Vec<Millis>,
    /// The node of the prefix that ends with the time of the same index.
    nodes: Vec<u32>,
}

impl<'a> Before<'a> {
    /// The relation (a) alone.
    pub fn named(named: &'a [Vec<u32>]) -> Self {
        Before { named, added: Vec::new(), prefixes: Vec::new(), items: Vec::new(), kept: HashMap::default() }
    }

    fn events(&self) -> u32 {
        self.named.len() as u32
    }

    /// Takes in a list of words, each with the time from which later events know it; `list` is sorted by time.
    pub fn list(&mut self, list: impl Iterator<Item = (Millis, Vec<u32>)>) -> Known {
        let mut known = Known { times: Vec::new(), nodes: Vec::new() };
        for (time, words) in list {
            let from = self.items.len() as u32;
            self.items.extend(words);
            let shorter = known.nodes.last().copied().unwrap_or(NONE);
            self.prefixes.push(Prefix { shorter, items: from..self.items.len() as u32 });
            known.times.push(time);
            known.nodes.push(self.events() + self.prefixes.len() as u32 - 1);
        }
        known
    }

    /// Lets a linear event know the part of a list that is strictly before `time`.
    pub fn learn(&mut self, event: u32, known: &Known, time: Millis) {
        let earlier = known.times.partition_point(|t| *t < time);
        if let Some(last) = earlier.checked_sub(1) {
            if self.added.is_empty() {
                self.added = vec![[NONE; 3]; self.named.len()];
            }
            let slots = &mut self.added[event as usize];
            let free = slots.iter_mut().find(|slot| **slot == NONE).expect("an event learns from three lists");
            *free = known.nodes[last];
        }
    }

    /// Lets an event stand for a word that it only repeats: whoever saw the one has seen the other.
    pub fn repeat(&mut self, event: u32, word: u32) {
        let known = self.list(std::iter::once((Millis(i64::MIN), vec![word])));
        self.learn(event, &known, Millis(i64::MAX));
    }

    /// Removes what (b) adds within a cycle: clocks never overrule what was named.
    pub fn settle_cycles(&mut self) {
        if self.added.is_empty() || !self.has_cycle() {
            return;
        }
        let component = self.components();
        let mut size = HashMap::<u32, u32>::new();
        component.iter().for_each(|of| *size.entry(*of).or_default() += 1);
        for event in 0..self.events() {
            let own = component[event as usize];
            if size[&own] == 1 || self.added[event as usize] == [NONE; 3] {
                continue;
            }
            let mut words = Vec::new();
            for mut prefix in std::mem::replace(&mut self.added[event as usize], [NONE; 3]) {
                while prefix != NONE {
                    let Prefix { shorter, items } = &self.prefixes[(prefix - self.events()) as usize];
                    let items = &self.items[items.start as usize..items.end as usize];
                    words.extend(items.iter().filter(|word| component[**word as usize] != own));
                    prefix = *shorter;
                }
            }
            self.kept.insert(event, words);
        }
    }

    /// Whether there was a cycle, so that some events know less than their time says.
    pub fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    fn nodes(&self) -> usize {
        self.named.len() + self.prefixes.len()
    }

    fn each(&self, node: u32, mut visit: impl FnMut(u32)) {
        if let Some(prefix) = node.checked_sub(self.events()) {
            let Prefix { shorter, items } = &self.prefixes[prefix as usize];
            self.items[items.start as usize..items.end as usize].iter().for_each(|word| visit(*word));
            if *shorter != NONE {
                visit(*shorter);
            }
            return;
        }
        self.named[node as usize].iter().for_each(|parent| visit(*parent));
        if let Some(slots) = self.added.get(node as usize) {
            slots.iter().filter(|slot| **slot != NONE).for_each(|slot| visit(*slot));
        }
        if let Some(words) = self.kept.get(&node) {
            words.iter().for_each(|word| visit(*word));
        }
    }

    /// Marks all events that happened before any of `events`.
    pub fn of(&self, events: impl Iterator<Item = u32>) -> Vec<bool> {
        let mut marked = vec![false; self.nodes()];
        let mut todo = Vec::new();
        let visit = |node: u32, marked: &mut Vec<bool>, todo: &mut Vec<u32>| {
            self.each(node, |below| {
                if !std::mem::replace(&mut marked[below as usize], true) {
                    todo.push(below);
                }
            });
        };
        for event in events {
            visit(event, &mut marked, &mut todo);
            while let Some(node) = todo.pop() {
                visit(node, &mut marked, &mut todo);
            }
        }
        marked.truncate(self.named.len());
        marked
    }

    /// The events in an order in which each comes after all that happened before it.
    pub fn order(&self) -> Vec<u32> {
        let events = self.events();
        let mut order = self.finish_order(|node, visit| self.each(node, visit));
        order.retain(|node| *node < events);
        order
    }

    /// As [`Before::order`], and among events that nothing orders the one of smaller rank first: the same for equal
    /// sets of events if the ranks are.
    pub fn ranked_order(&self, rank: &[u32]) -> Vec<u32> {
        let mut above = vec![Vec::new(); self.nodes()];
        let mut open = vec![0u32; self.nodes()];
        for node in 0..self.nodes() as u32 {
            self.each(node, |below| {
                above[below as usize].push(node);
                open[node as usize] += 1;
            });
        }
        // A prefix is no event of its own: it is passed as soon as it is reached.
        let key = |node: u32| Reverse((rank.get(node as usize).map_or(0, |rank| rank + 1), node));
        let mut ready: BinaryHeap<Reverse<(u32, u32)>> =
            (0..self.nodes() as u32).filter(|node| open[*node as usize] == 0).map(key).collect();
        let mut order = Vec::with_capacity(self.named.len());
        while let Some(Reverse((_, node))) = ready.pop() {
            if node < self.events() {
                order.push(node);
            }
            for upper in &above[node as usize] {
                open[*upper as usize] -= 1;
                if open[*upper as usize] == 0 {
                    ready.push(key(*upper));
                }
            }
        }
        order
    }

    /// Nodes in the order in which a depth-first walk leaves them.
    fn finish_order(&self, each: impl Fn(u32, &mut dyn FnMut(u32))) -> Vec<u32> {
        let mut entered = vec![false; self.nodes()];
        let mut order = Vec::with_capacity(self.nodes());
        let mut todo: Vec<(u32, bool)> = Vec::new();
        for start in 0..self.nodes() as u32 {
            todo.push((start, false));
            while let Some((node, left)) = todo.pop() {
                if left {
                    order.push(node);
                } else if !std::mem::replace(&mut entered[node as usize], true) {
                    todo.push((node, true));
                    each(node, &mut |below| {
                        if !entered[below as usize] {
                            todo.push((below, false));
                        }
                    });
                }
            }
        }
        order
    }

    fn has_cycle(&self) -> bool {
        let mut place = vec![0u32; self.nodes()];
        let order = self.finish_order(|node, visit| self.each(node, visit));
        order.iter().zip(0..).for_each(|(node, at)| place[*node as usize] = at);
        let mut found = false;
        for node in 0..self.nodes() as u32 {
            self.each(node, |below| found |= place[below as usize] >= place[node as usize]);
        }
        found
    }

    /// The strongly connected component of each node, named by one of its members (Kosaraju).
    fn components(&self) -> Vec<u32> {
        let mut above = vec![Vec::new(); self.nodes()];
        for node in 0..self.nodes() as u32 {
            self.each(node, |below| above[below as usize].push(node));
        }
        let order = self.finish_order(|node, visit| self.each(node, visit));
        let mut component = vec![NONE; self.nodes()];
        for root in order.into_iter().rev() {
            let mut todo = vec![root];
            while let Some(node) = todo.pop() {
                if component[node as usize] == NONE {
                    component[node as usize] = root;
                    todo.extend(&above[node as usize]);
                }
            }
        }
        component
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_event_knows_what_is_strictly_earlier() {
        let named = vec![Vec::new(); 3];
        let mut before = Before::named(&named);
        let known = before.list([(Millis(1), vec![0]), (Millis(2), vec![1])].into_iter());
        before.learn(2, &known, Millis(2));
        before.settle_cycles();
        assert_eq!(before.of([2].into_iter()), [true, false, false]);
    }

    #[test]
    fn in_a_cycle_names_hold_and_clocks_do_not() {
        // 0 names 1; by the clock, 1 would know 0, and 2, which stands outside.
        let named = vec![vec![1], Vec::new(), Vec::new()];
        let mut before = Before::named(&named);
        let known = before.list([(Millis(1), vec![0]), (Millis(2), vec![2])].into_iter());
        before.learn(1, &known, Millis(3));
        before.settle_cycles();
        assert_eq!(before.of([1].into_iter()), [false, false, true]);
        assert_eq!(before.of([0].into_iter()), [false, true, true]);
        assert_eq!(before.order().last(), Some(&0));
    }
}

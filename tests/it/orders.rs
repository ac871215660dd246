//! Every order in which a few statements may come, one by one or some of them together, makes the same record.

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use syncline::event::Event;

use crate::{
    merged::{advanced, logged, plain, without_merged_texts},
    reference::fold,
    stories::story,
    suites,
    telling::Story,
};

/// All orders are tried of no more statements than this: there are 720 orders of six.
const STATEMENTS_MOST: usize = 6;

/// A generator of made-up things that follows from a seed.
pub fn runner(seed: u64) -> TestRunner {
    let bytes: Vec<u8> = (0..4u64).flat_map(|part| (seed ^ part << 56).to_le_bytes()).collect();
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Calls `each` with every order of so many things; the first is the one in which they are.
pub fn every_order(count: usize, each: &mut dyn FnMut(&[usize])) {
    let mut order: Vec<usize> = (0..count).collect();
    loop {
        each(&order);
        // The next greater order: swap the last rise with the least that is greater, and turn what follows round.
        let Some(rise) = (1..count).rev().find(|at| order[at - 1] < order[*at]) else { return };
        let greater = (rise..count).rev().find(|at| order[*at] > order[rise - 1]).expect("the rise itself is greater");
        order.swap(rise - 1, greater);
        order[rise..].reverse();
    }
}

/// The first few statements of a made-up story.
fn small_story(seed: u64) -> Story {
    let Story { mut events, book } = story().new_tree(&mut runner(seed)).expect("stories are never refused").current();
    events.truncate(STATEMENTS_MOST);
    Story { events, book }
}

/// Tells a small story in every order, each begun together up to another statement; returns how many orders there were.
fn tell_in_every_order(seed: u64) -> u64 {
    let story = small_story(seed);
    let due = fold(&story.events, &story.book);
    let (mut orders, mut first) = (0, None);
    every_order(story.events.len(), &mut |order| {
        let events: Vec<Event> = order.iter().map(|at| story.events[*at].clone()).collect();
        let (heard, together) = (logged(&events), orders as usize % (events.len() + 1));
        let (record, ..) = advanced(&heard, &story.book, together);
        let told = plain(&record, &story.book);
        let what = || format!("seed {seed}, in the order {order:?}, the first {together} together: {story:?}");
        assert_eq!(without_merged_texts(told.clone(), &due), due, "{}", what());
        // Merged texts too, of which the reference cannot tell.
        assert_eq!(&told, first.get_or_insert_with(|| told.clone()), "{}", what());
        orders += 1;
    });
    orders
}

#[test]
fn every_order_of_up_to_six_statements_makes_the_same_record() {
    let orders = suites::until(suites::cases(3_000, 20_000, 500_000), tell_in_every_order);
    suites::reached("orders", orders, "convergence schedules: all orders of up to six statements, in parts");
}

#[test]
fn there_are_720_orders_of_six() {
    let mut met = std::collections::BTreeSet::new();
    every_order(6, &mut |order| assert!(met.insert(order.to_vec()), "{order:?} comes twice"));
    assert_eq!(met.len(), 720);
}

//! Laws of reading, on stories made by chance.

use proptest::prelude::*;

use super::*;
use crate::{
    history::{Position, change::Standings},
    merge,
};

/// A statement: side, field, value, minute, and which of the others it names, if it names any.
type Saying = (usize, usize, u8, u8, Option<Vec<prop::sample::Index>>);

const SIDES: [&str; 3] = ["crm", "portal", "app"];
const FIELDS: [&str; 3] = ["last", "tier", "visits"];

fn some_sayings() -> impl Strategy<Value = Vec<Saying>> {
    let names = prop::option::weighted(0.5, prop::collection::vec(any::<prop::sample::Index>(), 0..3));
    prop::collection::vec((0..SIDES.len(), 0..FIELDS.len(), 0u8..3, 0u8..6, names), 1..10)
}

/// A world in which all of it was said; now and then what was due to `app` was written to it.
fn tell(sayings: &[Saying]) -> World {
    let world = World::new();
    for (at, (side, field, value, minute, names)) in sayings.iter().enumerate() {
        let time = format!("14:0{minute}:00");
        world.clock.set(super::at(&time));
        // A few name something that never comes; more would leave no story that needs no fold.
        let never = *value == 0 && *minute == 0;
        let numbers: Option<Vec<u64>> =
            names.as_ref().map(|names| names.iter().map(|name| name.index(at + 1) as u64).collect());
        let known = |number: &u64| (*number > 0 || never).then_some(if *number == 0 { 999 } else { *number });
        let numbers = numbers.map(|numbers| numbers.iter().filter_map(known).collect::<Vec<u64>>());
        let set = format!(r#"{{"{}":{}}}"#, FIELDS[*field], value_of(*field, *value));
        match numbers {
            Some(numbers) => world.say_on(&numbers, SIDES[*side], "", &time, &set),
            None => world.say(SIDES[*side], "", &time, &set),
        };
        if *value > 0 {
            let (writes, _) = world.engine.due("app", 9).expect("sound");
            let applied = crate::send::Outcome::Applied(crate::send::Receipt::default());
            world.engine.outcome(writes.into_iter().map(|write| (write, applied.clone())).collect()).expect("sound");
        }
    }
    world
}

fn value_of(field: usize, value: u8) -> String {
    if FIELDS[field] == "tier" { format!("\"{value}\"") } else { value.to_string() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn standings_are_the_same_with_and_without_a_fold(sayings in some_sayings()) {
        let world = tell(&sayings);
        let reader = world.reader();
        let story = reader.story(&RecordId::new("deal/1").expect("good")).expect("sound").expect("known");
        let (_, events) = story.events(&reader).expect("sound");
        let (short, folded) = (Standings::of(&story, events), Standings::folded(&story, events));
        for (at, heard) in (0..).zip(events) {
            for (name, value) in heard.event.words() {
                let standings = [&short, &folded].map(|of| of.standing(at, &heard.event, name, value));
                prop_assert_eq!(standings[0], standings[1], "{} {}", at, name);
            }
        }
    }

    #[test]
    fn as_of_a_sequence_is_the_fold_of_the_events_up_to_it(sayings in some_sayings()) {
        let world = tell(&sayings);
        let reader = world.reader();
        let story = reader.story(&RecordId::new("deal/1").expect("good")).expect("sound").expect("known");
        let (_, events) = story.events(&reader).expect("sound");
        for upto in 1..=events.len() {
            let (record, _) = merge::fold(&events[..upto], &story.book);
            let then = reader.clone().at(Position::Seq(events[upto - 1].seq));
            let told = then.story(&RecordId::new("deal/1").expect("good")).expect("sound").expect("known").record;
            prop_assert_eq!(&*told, &record);
        }
    }

    #[test]
    fn every_word_that_stands_is_a_candidate_and_every_field_has_a_winner(sayings in some_sayings()) {
        let world = tell(&sayings);
        let view = world.reader().get("deal/1").expect("sound");
        for field in view.iter().flat_map(|view| &view.fields) {
            let verdict = world.verdict(&field.name);
            let story = world.history(Some(&field.name));
            let standing = |change: &&Change| matches!(change.standing, Standing::Wins | Standing::Overruled);
            let candidates: std::collections::BTreeSet<Seq> = story.iter().filter(standing).map(|c| c.seq).collect();
            let weighed = std::iter::once(&verdict.winner).chain(&verdict.others).map(|word| word.seq).collect();
            prop_assert_eq!(&candidates, &weighed);
            let winner = story.iter().find(|change| change.seq == verdict.winner.seq).expect("it is in the story");
            prop_assert_eq!(winner.standing, Standing::Wins);
            prop_assert_eq!(field.conflict, !matches!(verdict.reason.name(), "only" | "agreement"));
            prop_assert!(verdict.sentence.starts_with(&*field.name) && verdict.sentence.ends_with('.'));
        }
    }
}

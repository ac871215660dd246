//! The laws of merging, as properties and as the examples that made them.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{FileFailurePersistence, TestRunner},
};
use syncline::{
    event::{Author, Event, Kind, Origin},
    rulebook::PERSON,
};

use crate::{
    merged::{advanced, folded, logged, plain, without_merged_texts},
    reference::{Plain, PlainField, fold},
    stories::story,
    telling::{BEGIN, Story, Telling, shuffled, side},
};

const DAY: i64 = 86_400_000;
/// Later than anything in a made-up story.
const LATE: i64 = DAY;

/// So many cases, or as many as `PROPTEST_CASES` asks for.
fn cases(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|asked| asked.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        max_global_rejects: 10 * asked.unwrap_or(cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("proptest-regressions/laws.txt"))),
        ..ProptestConfig::default()
    }
}

/// Adds statements, by a side of the story, after all that it has said.
fn and_then(story: &Story, tell: impl FnOnce(&mut Telling)) -> Vec<Event> {
    let mut telling = Telling::default();
    tell(&mut telling);
    let mut events = story.events.clone();
    events.extend(telling.events());
    events
}

/// The values of the fields that any side shows under any rule, as a telling takes them.
fn resolved(plain: &Plain) -> Vec<(String, String)> {
    let known = |(field, of): (&String, &PlainField)| Some((field.clone(), of.value.clone()?));
    plain.fields.iter().filter_map(known).collect()
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn order_free(story in story(), seed in any::<u64>()) {
        prop_assert_eq!(fold(&story.events, &story.book), fold(&shuffled(&story.events, seed), &story.book));
    }

    #[test]
    fn rebuildable_what_is_heard_again_changes_nothing(story in story()) {
        let twice: Vec<Event> = story.events.iter().chain(&story.events).cloned().collect();
        prop_assert_eq!(fold(&twice, &story.book), fold(&story.events, &story.book));
    }

    #[test]
    fn side_order(story in story(), which in 0usize..2) {
        let of = ["crm", "portal"][which];
        let linear = story.events.iter().filter(|event| *event.header.origin.side == *of);
        prop_assume!(linear.clone().all(|event| event.header.origin == Origin::side(side(of))));
        let events = and_then(&story, |telling| {
            telling.edit(of, LATE, &[("city", "null"), ("name", "null"), ("phone", "null"), ("tags", "null")]);
        });
        for (name, field) in fold(&events, &story.book).fields {
            let of_side: Vec<_> = field.candidates.iter().filter(|(by, ..)| by == of).collect();
            // An edit that does not count supersedes nothing.
            if of_side.iter().any(|(_, at, ..)| *at == BEGIN + LATE) {
                // What is merged supersedes nothing: of such a field a word is a change to what its side showed, and
                // what a write of ours had replaced is no part of that.
                let replaced = |at: i64| {
                    let writes = story.events.iter().filter(|event| event.header.kind == Kind::Receipt);
                    let mut writes = writes.filter(|event| *event.header.origin.side == *of);
                    writes.any(|event| event.header.fields.iter().any(|field| **field == *name) && event.header.said_at.0 > at)
                };
                let older = of_side.iter().filter(|(_, at, ..)| *at != BEGIN + LATE);
                let kept = older.clone().all(|(_, at, ..)| story.book.may_merge("contact", &name) && replaced(*at));
                prop_assert!(kept, "{name}: {of_side:?}");
            }
        }
    }

    #[test]
    fn seen(story in story()) {
        prop_assume!(fold(&story.events, &story.book).waiting == 0);
        let words = [("city", "\"new\""), ("name", "\"new\""), ("phone", "\"new\""), ("tags", "\"new\"")];
        let mut events = and_then(&story, |telling| {
            let decision = telling.say(Kind::Decide, Origin::side(side(PERSON)), -LATE, Author::user("eve"), &words);
            telling.lines[decision].seen = Some(Vec::new());
        });
        let said = story.events.iter().map(|event| event.header.said);
        let all: Vec<_> = said.filter(|said| !story.book.is_void(said)).collect();
        events.last_mut().expect("the decision").header.seen = Some(all);
        for field in fold(&events, &story.book).fields.into_values() {
            prop_assert_eq!((field.value.as_deref(), field.reason.as_str()), (Some("\"new\""), "only"));
        }
    }

    #[test]
    fn concurrent(story in story()) {
        for field in fold(&story.events, &story.book).fields.into_values() {
            prop_assert_eq!(field.candidates.len() == 1, field.reason == "only");
            let differ = field.candidates.iter().any(|(.., json)| *json != field.candidates[0].3);
            prop_assert_eq!(field.candidates.len() > 1 && !differ, field.reason == "agreement");
            prop_assert_eq!(field.disputed, field.reason == "manual");
            if field.reason != "merge" {
                prop_assert!(field.candidates.iter().any(|(.., json)| Some(json) == field.value.as_ref()));
            }
        }
    }

    #[test]
    fn echo(story in story(), again in 0i64..DAY, ours in any::<bool>()) {
        let before = fold(&story.events, &story.book);
        let shown = resolved(&before);
        let words: Vec<_> = shown.iter().map(|(field, json)| (field.as_str(), json.as_str())).collect();
        let events = and_then(&story, |telling| {
            let sent: Vec<_> = words.iter().map(|(field, json)| (*field, *json, [].as_slice())).collect();
            telling.ours(Kind::Sent, "crm", LATE, &sent);
            let author = if ours { Author::engine() } else { Author::default() };
            telling.say(Kind::Edit, Origin::side(side("crm")), LATE + again, author, &words);
        });
        prop_assert_eq!(fold(&events, &story.book).fields, before.fields);
    }

    #[test]
    fn minimal_a_receipt_moves_the_shadow_and_nothing_else(story in story()) {
        let before = fold(&story.events, &story.book);
        let shown = resolved(&before);
        let events = and_then(&story, |telling| {
            let words: Vec<_> =
                shown.iter().map(|(field, json)| (field.as_str(), json.as_str(), [].as_slice())).collect();
            telling.ours(Kind::Receipt, "crm", LATE, &words);
        });
        let after = fold(&events, &story.book);
        prop_assert_eq!(&after.fields, &before.fields);
        if let Some(shadow) = after.shadows.get("crm") {
            prop_assert!(shown.iter().all(|(field, json)| shadow.get(field) == Some(json)));
        }
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn engine_fold_equals_reference(story in story()) {
        let due = fold(&story.events, &story.book);
        let ours = without_merged_texts(folded(&story.events, &story.book), &due);
        prop_assert_eq!(ours, due);
    }

    #[test]
    fn incremental_equals_fold(story in story(), start in any::<prop::sample::Index>()) {
        let heard = logged(&story.events);
        let (record, line, _) = advanced(&heard, &story.book, start.index(heard.len() + 1));
        let (due, due_line) = syncline::merge::fold(&heard, &story.book);
        prop_assert_eq!(plain(&record, &story.book), plain(&due, &story.book));
        prop_assert_eq!(record, due);
        prop_assert!(line == due_line, "the lines differ");
    }

    #[test]
    fn order_free_holds_for_the_engine(story in story(), seed in any::<u64>()) {
        // Merged texts too, of which the reference cannot tell.
        let other = shuffled(&story.events, seed);
        prop_assert_eq!(folded(&other, &story.book), folded(&story.events, &story.book));
    }
}

/// The stories reach every corner, so that a property over them is one over the whole law.
#[test]
fn made_up_stories_reach_every_corner() {
    let mut runner = TestRunner::deterministic();
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..1000 {
        let story = story().new_tree(&mut runner).expect("stories are never refused").current();
        let plain = fold(&story.events, &story.book);
        let mut meet = |what: &str| *met.entry(what.to_owned()).or_default() += 1;
        plain.fields.values().for_each(|field| meet(&field.reason));
        meet(plain.existence);
        (0..plain.waiting.min(1)).for_each(|_| meet("waiting"));
        (0..plain.parked.len().min(1)).for_each(|_| meet("parked"));
        let of_merged = |event: &&Event| event.header.kind.is_said() && event.header.origin.link.is_some();
        if story.events.iter().any(|event| event.header.kind == Kind::Absorb)
            && story.events.iter().any(|event| of_merged(&event))
        {
            meet("merged records");
        }
        plain.fields.values().filter(|field| field.candidates.len() > 2).for_each(|_| meet("three candidates"));
        let merged = plain.fields.iter().filter(|(_, field)| field.reason == "merge");
        (0..merged.filter(|(name, _)| is_heard_late(&story, name)).count()).for_each(|_| meet("merged after a write"));
    }
    let corners = [
        "only",
        "agreement",
        "authority",
        "last_write",
        "first_write",
        "max",
        "min",
        "manual",
        "merge",
        "alive",
        "deleted",
        "disputed",
        "waiting",
        "parked",
        "three candidates",
        "merged records",
        "merged after a write",
    ];
    for corner in corners {
        assert!(met.get(corner).is_some_and(|times| *times >= 10), "{corner}: {met:?}");
    }
}

/// Whether a side has a linear word on the field on either side of a write of ours that did not carry the older one.
fn is_heard_late(story: &Story, field: &str) -> bool {
    let speaks = |event: &&Event| event.header.fields.iter().any(|name| **name == *field);
    let on_field: Vec<&Event> = story.events.iter().filter(speaks).collect();
    let words = || on_field.iter().filter(|event| event.header.kind.is_said() && event.header.seen.is_none());
    let receipts = on_field.iter().filter(|event| event.header.kind == Kind::Receipt);
    receipts.into_iter().any(|receipt| {
        let header = &receipt.header;
        let own = || words().filter(|word| word.header.origin.side == header.origin.side);
        let carried = |word: &Event| header.carries.iter().flatten().any(|said| *said == word.header.said);
        own().any(|word| word.header.said_at < header.said_at && !carried(word))
            && own().any(|word| word.header.said_at > header.said_at)
    })
}

//! A record's Automerge document says what the record says.

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use syncline::{
    field::{FieldType, Rule},
    merge::{Fold, document::Document, fold},
};

use crate::{
    merged::logged,
    stories::story,
    telling::{Telling, rules, shuffled},
};

fn cases(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|asked| asked.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        max_global_rejects: 10 * asked.unwrap_or(cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("proptest-regressions/documents.txt"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(400))]

    /// The candidates in the record's state are Automerge's conflict set, on every field; merged fields agree too.
    #[test]
    fn candidates_are_the_conflict_set(story in story()) {
        let heard = logged(&story.events);
        let (record, _) = fold(&heard, &story.book);
        let document = Document::build(&Fold::new(&heard, &story.book), &record).expect("it builds");
        if let Err(why) = document.check(&record) {
            prop_assert!(false, "{why}");
        }
    }

    /// The same set of events gives the same heads, whatever the order of arrival.
    #[test]
    fn heads_do_not_depend_on_arrival(story in story(), seed in any::<u64>()) {
        let heads = |events: &[syncline::event::Event]| {
            let heard = logged(events);
            let (record, _) = fold(&heard, &story.book);
            Document::build(&Fold::new(&heard, &story.book), &record).expect("it builds").heads()
        };
        prop_assert_eq!(heads(&story.events), heads(&shuffled(&story.events, seed)));
    }
}

/// Two people work on one note without knowing of each other: both changes are in the text.
#[test]
fn a_long_text_merges_by_characters() {
    let book = rules(&[("notes", FieldType::LongText, Rule::Merge)]);
    let mut telling = Telling::default();
    let first = telling.edit_on(&[], "crm", 1, &[("notes", "\"call on Monday\"")]);
    telling.edit_on(&[first], "crm", 2, &[("notes", "\"call on Tuesday\"")]);
    telling.edit_on(&[first], "portal", 3, &[("notes", "\"please call on Monday\"")]);
    let (record, _) = fold(&logged(&telling.events()), &book);
    let field = record.field("notes").expect("it was edited");
    assert_eq!(field.value().as_text(), Some("please call on Tuesday"));
    assert_eq!(field.candidates.len(), 2);
}

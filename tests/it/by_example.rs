//! The laws of merging by example: the stories for which they were made.

use syncline::{
    event::{Author, Detail, Kind, Origin},
    field::{DeleteRule, FieldType, Rule},
    id::{RecordId, Seq},
    merge::Record,
    rulebook::{EXISTENCE, Rulebook},
    value::Value,
};

use crate::{
    merged::{advanced, folded, logged, record},
    reference::{Plain, fold},
    telling::{Named, Telling, rules, rules_with, shuffled, side},
};

const DAY: i64 = 86_400_000;

fn crm_decides() -> Rulebook {
    let authority = || Rule::Authority(side("crm"));
    rules(&[("phone", FieldType::String, authority()), ("city", FieldType::String, authority())])
}

/// Where a side speaks under an id of its own.
fn under(of: &str, link: &str) -> Origin {
    Origin { link: Some(link.into()), ..Origin::side(side(of)) }
}

/// Folds the telling, in several orders of arrival, as the reference and as the engine does.
fn told(telling: &Telling, book: &Rulebook) -> Plain {
    let events = telling.events();
    let plain = fold(&events, book);
    for seed in 0..4 {
        let events = shuffled(&events, seed);
        assert_eq!(fold(&events, book), plain);
        assert_eq!(folded(&events, book), plain);
        let heard = logged(&events);
        assert_eq!(advanced(&heard, book, 0).0, advanced(&heard, book, heard.len()).0);
    }
    plain
}

/// What the engine makes of the telling; for merged texts, of which the reference cannot tell.
fn fold_one(telling: &Telling, book: &Rulebook) -> Record {
    record(&telling.events(), book)
}

/// The value, the candidates' values and the reason, in one line.
fn verdict(plain: &Plain, field: &str) -> String {
    let field = &plain.fields[field];
    let candidates: Vec<&str> = field.candidates.iter().map(|(_, _, _, json)| json.as_str()).collect();
    format!("{} of {} by {}", field.value.as_deref().unwrap_or("a text"), candidates.join(" "), field.reason)
}

#[test]
fn side_order_an_older_word_heard_later_changes_nothing() {
    let mut telling = Telling::default();
    telling.edit("portal", 200, &[("phone", "2")]);
    telling.edit("portal", 100, &[("phone", "1")]);
    assert_eq!(verdict(&told(&telling, &crm_decides()), "phone"), "2 of 2 by only");
}

#[test]
fn side_order_words_of_one_second_with_different_values_stay_side_by_side() {
    let mut telling = Telling::default();
    telling.edit("crm", 1000, &[("phone", "1")]);
    telling.edit("crm", 1000, &[("phone", "2")]);
    assert_eq!(verdict(&told(&telling, &crm_decides()), "phone"), "2 of 2 1 by authority");
}

#[test]
fn side_order_another_node_of_the_side_is_another_line() {
    let mut telling = Telling::default();
    telling.edit("portal", 100, &[("phone", "1")]);
    let there = Origin { node: Some("n2".into()), ..Origin::side(side("portal")) };
    telling.say(Kind::Edit, there, 200, Author::default(), &[("phone", "2")]);
    assert_eq!(verdict(&told(&telling, &crm_decides()), "phone"), "2 of 2 1 by last_write");
}

#[test]
fn seen_an_edit_that_names_what_it_saw_knows_nothing_else() {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[("phone", "1")]);
    let second = telling.edit("crm", 150, &[("phone", "2")]);
    telling.ours(Kind::Receipt, "crm", 160, &[("phone", "1", &[first])]);
    telling.edit_on(&[second], "crm", 200, &[("phone", "3")]);
    assert_eq!(verdict(&told(&telling, &crm_decides()), "phone"), "3 of 3 1 by authority");
}

#[test]
fn seen_reaches_through_edits_of_other_fields() {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[("phone", "1")]);
    let second = telling.edit_on(&[first], "billing", 110, &[("city", "\"Bonn\"")]);
    telling.edit_on(&[second], "crm", 90, &[("phone", "2")]);
    assert_eq!(verdict(&told(&telling, &crm_decides()), "phone"), "2 of 2 by only");
}

#[test]
fn seen_clocks_never_overrule_what_was_named() {
    // By its clock the CRM's edit knew the portal's, which says that it was made on top of the CRM's.
    let mut telling = Telling::default();
    let crm = telling.edit("crm", 100, &[("phone", "1")]);
    let portal = telling.edit_on(&[crm], "portal", 50, &[("phone", "2")]);
    telling.ours(Kind::Receipt, "crm", 90, &[("phone", "2", &[portal])]);
    assert_eq!(verdict(&told(&telling, &crm_decides()), "phone"), "2 of 2 by only");
}

#[test]
fn seen_a_statement_waits_for_what_it_names_and_nothing_is_guessed() {
    let mut telling = Telling::default();
    telling.edit("crm", 100, &[("phone", "1")]);
    let early = telling.edit("portal", 200, &[("phone", "2")]);
    telling.lines[early].seen = Some(vec![Named::Nobody(1)]);
    telling.edit_on(&[early], "portal", 300, &[("phone", "3")]);
    let plain = told(&telling, &crm_decides());
    assert_eq!((plain.waiting, verdict(&plain, "phone").as_str()), (2, "1 of 1 by only"));
}

#[test]
fn seen_in_a_circle_waits_for_ever() {
    let mut telling = Telling::default();
    telling.edit_on(&[1], "portal", 100, &[("phone", "1")]);
    telling.edit_on(&[0], "portal", 200, &[("phone", "2")]);
    let plain = told(&telling, &crm_decides());
    assert_eq!((plain.waiting, plain.fields.len()), (2, 0));
}

#[test]
fn order_free_a_link_that_waited_is_no_older_than_what_names_it() {
    // The short way took what had waited for a word, whatever it was, and forgot the time of an association.
    let mut telling = Telling::default();
    let bond = telling.say(Kind::Associate, Origin::side(side("crm")), 500, Author::default(), &[]);
    telling.lines[bond].seen = Some(vec![Named::Line(1)]);
    telling.edit_on(&[], "crm", 100, &[("phone", "1")]);
    telling.edit_on(&[bond], "crm", 200, &[("phone", "2")]);
    assert_eq!(verdict(&told(&telling, &crm_decides()), "phone"), "2 of 2 by only");
}

#[test]
fn order_free_one_name_with_two_contents_counts_once() {
    let mut telling = Telling::default();
    for value in ["2", "1"] {
        let line = telling.edit("portal", 100, &[("phone", value)]);
        telling.lines[line].number("import", 1);
    }
    assert_eq!(verdict(&told(&telling, &crm_decides()), "phone"), "1 of 1 by only");
}

/// The portal says 1, we write it to the CRM at 150, which has it at 160; then the CRM says 2.
fn write_then_edit(at: i64) -> Telling {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[("phone", "1")]);
    telling.ours(Kind::Sent, "crm", 150, &[("phone", "1", &[first])]);
    telling.ours(Kind::Receipt, "crm", 160, &[("phone", "1", &[first])]);
    telling.edit("crm", at, &[("phone", "2")]);
    telling
}

#[test]
fn concurrent_a_late_webhook_falls_into_its_place_before_the_receipt() {
    let plain = told(&write_then_edit(155), &crm_decides());
    assert_eq!(verdict(&plain, "phone"), "2 of 2 1 by authority");
    assert_eq!(plain.shadows["crm"]["phone"], "1");
}

#[test]
fn concurrent_an_edit_after_the_receipt_knew_our_write() {
    let plain = told(&write_then_edit(161), &crm_decides());
    assert_eq!(verdict(&plain, "phone"), "2 of 2 by only");
    assert_eq!(plain.shadows["crm"]["phone"], "2");
}

#[test]
fn concurrent_a_receipt_tells_only_of_the_fields_it_confirms() {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[("phone", "1"), ("city", "\"Bonn\"")]);
    telling.ours(Kind::Receipt, "crm", 160, &[("phone", "1", &[first])]);
    telling.edit("crm", 200, &[("phone", "2"), ("city", "\"Rome\"")]);
    let plain = told(&telling, &crm_decides());
    assert_eq!(verdict(&plain, "phone"), "2 of 2 by only");
    assert_eq!(verdict(&plain, "city"), "\"Rome\" of \"Rome\" \"Bonn\" by authority");
}

#[test]
fn concurrent_a_side_that_is_settled_knows_what_its_winner_overruled() {
    let story = |settled: bool| {
        let mut telling = Telling::default();
        let portal = telling.edit("portal", 100, &[("phone", "1")]);
        let crm = telling.edit("crm", 120, &[("phone", "2")]);
        if settled {
            telling.ours(Kind::Settled, "crm", 200, &[("phone", "2", &[crm, portal])]);
        }
        telling.edit("crm", 300, &[("phone", "3")]);
        verdict(&told(&telling, &crm_decides()), "phone")
    };
    assert_eq!(story(true), "3 of 3 by only");
    assert_eq!(story(false), "3 of 3 1 by authority");
}

#[test]
fn concurrent_words_of_one_value_agree() {
    let mut telling = Telling::default();
    telling.edit("portal", 100, &[("phone", "1")]);
    telling.edit("billing", 120, &[("phone", "1")]);
    assert_eq!(verdict(&told(&telling, &crm_decides()), "phone"), "1 of 1 1 by agreement");
}

#[test]
fn concurrent_every_rule_picks_its_own() {
    let person = || Some(side("portal"));
    let cases = [
        (Rule::LastWriteWins(None), "3 of 3 9 5 by last_write", false),
        (Rule::FirstWriteWins(None), "5 of 3 9 5 by first_write", false),
        (Rule::LastWriteWins(person()), "9 of 3 9 5 by last_write", false),
        (Rule::FirstWriteWins(person()), "5 of 3 9 5 by first_write", false),
        (Rule::Authority(side("portal")), "9 of 3 9 5 by authority", false),
        (Rule::Authority(side("erp")), "3 of 3 9 5 by last_write", false),
        (Rule::Max, "9 of 3 9 5 by max", false),
        (Rule::Min, "3 of 3 9 5 by min", false),
        (Rule::Manual, "3 of 3 9 5 by manual", true),
    ];
    for (rule, due, disputed) in cases {
        let mut telling = Telling::default();
        telling.edit("crm", 100, &[("size", "5")]);
        // At equal times the name of the side decides, unless an authority is named.
        telling.edit("portal", 200, &[("size", "9")]);
        let again = telling.edit("billing", 200, &[("size", "3")]);
        telling.lines[again].draft.origin.side = side("shop");
        let plain = told(&telling, &rules(&[("size", FieldType::Integer, rule)]));
        assert_eq!((verdict(&plain, "size").as_str(), plain.fields["size"].disputed), (due, disputed));
    }
}

#[test]
fn concurrent_times_are_compared_after_their_clocks_were_corrected() {
    let mut telling = Telling::default();
    telling.edit("portal", 1000, &[("phone", "1")]);
    telling.edit("crm", 1500, &[("phone", "2")]);
    let mut book = rules(&[]);
    assert_eq!(verdict(&told(&telling, &book), "phone"), "2 of 2 1 by last_write");
    book.add_clock(&side("crm"), syncline::clock::Millis(0), 700);
    assert_eq!(verdict(&told(&telling, &book), "phone"), "1 of 1 2 by last_write");
}

#[test]
fn concurrent_counters_add_up_and_sets_keep_what_nobody_removed() {
    let mut telling = Telling::default();
    let first = telling.edit("crm", 100, &[("visits", "5"), ("tags", r#"["a","b"]"#)]);
    telling.edit_on(&[first], "crm", 200, &[("visits", "6"), ("tags", r#"["b","c"]"#)]);
    telling.edit_on(&[first], "portal", 200, &[("visits", "3"), ("tags", r#"["a","b","d"]"#)]);
    let book = rules(&[("visits", FieldType::Counter, Rule::Merge), ("tags", FieldType::Set, Rule::Merge)]);
    let plain = told(&telling, &book);
    assert_eq!(verdict(&plain, "visits"), "4 of 3 6 by merge");
    assert_eq!(verdict(&plain, "tags"), r#"["b","c","d"] of ["a","b","d"] ["b","c"] by merge"#);
}

/// The portal says 1, we write it to the CRM, which says 1 before we hear that it has taken it.
fn echoed(author: Author, at: i64) -> Plain {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[("phone", "1")]);
    telling.ours(Kind::Sent, "crm", 150, &[("phone", "1", &[first])]);
    telling.say(Kind::Edit, Origin::side(side("crm")), at, author, &[("phone", "1")]);
    telling.ours(Kind::Receipt, "crm", 160, &[("phone", "1", &[first])]);
    told(&telling, &crm_decides())
}

#[test]
fn echo_may_beat_the_receipt_and_is_no_word() {
    for author in [Author::default(), Author::engine()] {
        assert_eq!(echoed(author, 155).fields["phone"].candidates.len(), 1);
    }
}

#[test]
fn echo_is_not_what_another_author_says() {
    let plain = echoed(Author::user("ana"), 155);
    assert_eq!(verdict(&plain, "phone"), "1 of 1 1 by agreement");
}

#[test]
fn echo_has_no_time_window() {
    assert_eq!(echoed(Author::default(), 30 * DAY).fields["phone"].candidates[0].0, "portal");
}

#[test]
fn echo_of_an_older_write_leaves_the_newer_one_awaited() {
    // The echoes of two writes came in one after the other before the second receipt. The first echo had
    // ended the wait for the second, which then passed for an edit of the CRM's own.
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[("phone", "1")]);
    telling.ours(Kind::Receipt, "crm", 150, &[("phone", "1", &[first])]);
    let second = telling.edit("portal", 200, &[("phone", "2")]);
    telling.ours(Kind::Sent, "crm", 250, &[("phone", "2", &[second])]);
    telling.edit("crm", 251, &[("phone", "1")]);
    telling.edit("crm", 252, &[("phone", "2")]);
    let plain = told(&telling, &crm_decides());
    assert_eq!(plain.fields["phone"].candidates, [("portal".into(), 1_750_000_000_200, String::new(), "2".into())]);
}

#[test]
fn echo_ends_where_the_side_speaks_for_itself() {
    let mut telling = write_then_edit(200);
    telling.edit("crm", 300, &[("phone", "1")]);
    let plain = told(&telling, &crm_decides());
    assert_eq!(plain.fields["phone"].candidates, [("crm".into(), 1_750_000_000_300, String::new(), "1".into())]);
}

#[test]
fn minimal_a_read_back_of_what_the_side_shows_touches_nothing() {
    let mut telling = write_then_edit(200);
    telling.say(Kind::Observe, Origin::side(side("crm")), 300, Author::default(), &[("phone", "2")]);
    let plain = told(&telling, &crm_decides());
    assert_eq!(plain.fields["phone"].candidates[0].1, 1_750_000_000_200);
}

#[test]
fn minimal_a_normalised_write_is_the_sides_own_edit_after_it() {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[("phone", "\"1 2\"")]);
    telling.ours(Kind::Receipt, "crm", 160, &[("phone", "\"1 2\"", &[first])]);
    telling.say(Kind::Observe, Origin::side(side("crm")), 161, Author::default(), &[("phone", "\"12\"")]);
    let plain = told(&telling, &rules(&[("phone", FieldType::String, Rule::Authority(side("portal")))]));
    assert_eq!(verdict(&plain, "phone"), "\"12\" of \"12\" by only");
    assert_eq!(plain.shadows["crm"]["phone"], "\"12\"");
}

/// A write leaves at 150, the side says the same at 155, and of the write comes at 160 what `kind` says of these words.
fn said_what_was_written(kind: Kind, word: (&str, &str), became: &[(&str, &str, &[usize])]) -> Telling {
    let mut telling = Telling::default();
    telling.edit("crm", 90, &[(EXISTENCE, "false")]);
    let first = telling.edit("portal", 100, &[word]);
    let sent = telling.ours(Kind::Sent, "crm", 150, &[(word.0, word.1, &[first])]);
    telling.lines[sent].draft.detail = Detail::Try { key: "k".to_owned(), after: Seq(2), ends: Vec::new() };
    telling.edit("crm", 155, &[word]);
    let fate = telling.ours(kind, "crm", 160, became);
    telling.lines[fate].draft.detail = Detail::Fate { key: "k".to_owned(), ends: Vec::new(), reason: String::new() };
    telling.lines[fate].ends = vec![Named::Line(sent)];
    telling
}

#[test]
fn what_a_side_says_of_itself_is_its_word_though_it_refused_to_be_told_the_same() {
    let speaks = |kind, became: &[(&str, &str, &[usize])]| {
        let plain = told(&said_what_was_written(kind, ("phone", "1"), became), &crm_decides());
        plain.fields["phone"].candidates.iter().any(|(side, ..)| side == "crm")
    };
    assert!(speaks(Kind::Refused, &[("phone", "1", &[1])]));
    assert!(!speaks(Kind::Receipt, &[("phone", "1", &[1])]));
    // What it showed for a while may have been replaced before anyone looked.
    assert!(!speaks(Kind::Receipt, &[]));
}

#[test]
fn what_lives_again_beside_a_write_that_made_nothing_was_brought_back_by_the_side() {
    let lives = |became: &[(&str, &str, &[usize])]| {
        let telling = said_what_was_written(Kind::Receipt, (EXISTENCE, "true"), became);
        told(&telling, &crm_decides());
        let record = fold_one(&telling, &crm_decides());
        let words = record.field(EXISTENCE).expect("there are words on it").candidates.iter();
        words.filter(|word| *word.origin.side == *"crm").any(|word| word.value == Value::bool(true))
    };
    assert!(lives(&[]));
    assert!(!lives(&[(EXISTENCE, "true", &[1])]));
}

#[test]
fn minimal_a_newer_word_unparks_the_field_and_so_does_a_release() {
    let parked = |newer: bool, released: Option<i64>| {
        let mut telling = Telling::default();
        let first = telling.edit("portal", 100, &[("phone", "1")]);
        telling.ours(Kind::Refused, "crm", 160, &[("phone", "1", &[first])]);
        if newer {
            telling.edit("portal", 200, &[("phone", "2")]);
        }
        if let Some(at) = released {
            telling.ours(Kind::Released, "crm", at, &[("phone", "1", &[])]);
        }
        told(&telling, &crm_decides()).parked.len()
    };
    assert_eq!([parked(false, None), parked(true, None)], [1, 0]);
    assert_eq!([parked(false, Some(159)), parked(false, Some(160))], [1, 0]);
}

#[test]
fn minimal_an_edit_that_does_not_count_moves_the_shadow_only() {
    let mut telling = Telling::default();
    telling.edit("crm", 100, &[("credit", "5")]);
    telling.edit("portal", 200, &[("credit", "9")]);
    let mut edition = rules(&[("credit", FieldType::Integer, Rule::Max)]).newest().clone();
    let kind = edition.kinds.get_mut("contact").expect("there");
    kind.fields.get_mut("credit").expect("there").write = Some(vec![side("crm")]);
    let plain = told(&telling, &Rulebook::of(edition));
    assert_eq!(verdict(&plain, "credit"), "5 of 5 by only");
    assert_eq!(plain.shadows["portal"]["credit"], "9");
}

#[test]
fn healed_an_edit_that_our_write_overwrote_is_judged_as_concurrent() {
    // The CRM's 2 of 120 is heard of after our 1 has overwritten it at 160.
    let plain = told(&write_then_edit(120), &crm_decides());
    assert_eq!(verdict(&plain, "phone"), "2 of 2 1 by authority");
    // What the CRM shows differs from what won, so the next projection restores it.
    assert_eq!(plain.shadows["crm"]["phone"], "1");
}

/// The portal says one thing, we write it to the CRM at 160, whose own older word is heard of late; then the CRM speaks again.
fn replaced_unheard(field: &str, of_portal: &str, of_crm: &str, again: &str) -> Telling {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[(field, of_portal)]);
    telling.edit("crm", 120, &[(field, of_crm)]);
    telling.ours(Kind::Sent, "crm", 150, &[(field, of_portal, &[first])]);
    telling.ours(Kind::Receipt, "crm", 160, &[(field, of_portal, &[first])]);
    telling.edit("crm", 200, &[(field, again)]);
    telling
}

#[test]
fn healed_a_merged_field_builds_on_what_its_side_showed() {
    // The CRM's user of 200 had our write before him, not what it had replaced. His word was taken as a change to all that
    // the CRM had ever said, and so as taking out what he never saw.
    let set = replaced_unheard("tags", r#"["a"]"#, r#"["b"]"#, r#"["a","c"]"#);
    let book = rules(&[("tags", FieldType::Set, Rule::Merge)]);
    assert_eq!(verdict(&told(&set, &book), "tags"), r#"["a","b","c"] of ["a","c"] ["b"] by merge"#);
    // A set of references is a set.
    let of_companies = FieldType::References("company".to_owned());
    let plain = told(&set, &rules(&[("tags", of_companies, Rule::Merge)]));
    let same = told(&set, &rules(&[("tags", FieldType::Set, Rule::Merge)]));
    assert_eq!(verdict(&plain, "tags"), verdict(&same, "tags"));
    let counter = replaced_unheard("visits", "5", "2", "6");
    let book = rules(&[("visits", FieldType::Counter, Rule::Merge)]);
    assert_eq!(verdict(&told(&counter, &book), "visits"), "8 of 6 2 by merge");
    let text = replaced_unheard("notes", "\"from the portal\"", "\"heard late. \"", "\"from the portal, read\"");
    let record = fold_one(&text, &rules(&[("notes", FieldType::LongText, Rule::Merge)]));
    let shown = record.field("notes").expect("it was said").value().as_text().expect("a text").to_owned();
    assert!(shown.contains("heard late. ") && shown.contains("from the portal, read"), "{shown}");
}

#[test]
fn side_order_under_any_other_rule_the_newest_word_supersedes_what_a_write_replaced() {
    let set = replaced_unheard("tags", r#"["a"]"#, r#"["b"]"#, r#"["a","c"]"#);
    for rule in [Rule::LastWriteWins(None), Rule::Authority(side("portal")), Rule::Manual] {
        let plain = told(&set, &rules(&[("tags", FieldType::Set, rule)]));
        assert_eq!(verdict(&plain, "tags"), r#"["a","c"] of ["a","c"] by only"#);
    }
    // Nor where the rule was to merge only before: the rule in force judges, and it goes by side order.
    let mut book = rules(&[("tags", FieldType::Set, Rule::Merge)]);
    let later = rules(&[("tags", FieldType::Set, Rule::LastWriteWins(None))]).newest().clone();
    book.add_edition(syncline::clock::Millis(crate::telling::BEGIN + 190), "later", later);
    assert_eq!(verdict(&told(&set, &book), "tags"), r#"["a","c"] of ["a","c"] by only"#);
}

#[test]
fn side_order_a_word_that_a_write_carried_is_part_of_what_its_side_showed() {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[("tags", r#"["a"]"#)]);
    let second = telling.edit("crm", 120, &[("tags", r#"["b"]"#)]);
    telling.ours(Kind::Receipt, "crm", 160, &[("tags", r#"["a","b"]"#, &[first, second])]);
    telling.edit("crm", 200, &[("tags", r#"["a"]"#)]);
    let plain = told(&telling, &rules(&[("tags", FieldType::Set, Rule::Merge)]));
    assert_eq!(verdict(&plain, "tags"), r#"["a"] of ["a"] by only"#);
}

#[test]
fn existence_ends_with_a_delete_by_the_side_whose_own_word_a_write_had_replaced() {
    // The CRM's own edit of 120 stood against the CRM's delete of 300, because our write of 160 lay between.
    let mut telling = replaced_unheard("tags", r#"["a"]"#, r#"["b"]"#, r#"["a","c"]"#);
    telling.say(Kind::Delete, Origin::side(side("crm")), 300, Author::default(), &[(EXISTENCE, "false")]);
    let book = rules_with(&[("tags", FieldType::Set, Rule::Merge)], DeleteRule::EditWins);
    assert_eq!(told(&telling, &book).existence, "deleted");
}

#[test]
fn existence_ends_with_a_delete_of_what_another_of_the_sides_records_was_merged_into() {
    let merged = |merged: bool| {
        let mut telling = Telling::default();
        telling.say(Kind::Edit, under("crm", "2"), 100, Author::default(), &[("phone", "1")]);
        let merger = telling.say(Kind::Absorb, under("crm", "1"), 150, Author::default(), &[]);
        let other = RecordId::new(if merged { "contact/crm:2" } else { "contact/crm:3" }).expect("good");
        telling.lines[merger].draft.detail = Detail::Other { record: other, label: "merged".to_owned() };
        telling.say(Kind::Delete, under("crm", "1"), 200, Author::default(), &[(EXISTENCE, "false")]);
        told(&telling, &rules_with(&[], DeleteRule::EditWins)).existence
    };
    assert_eq!((merged(true), merged(false)), ("deleted", "alive"));
}

/// What a side learned of a record that it merged away comes first on its line, and may bear a later time than what it learned of
/// the survivor: its users know of each from its own time on.
#[test]
fn what_a_side_learned_counts_from_its_time_also_where_it_has_merged_records() {
    let mut telling = Telling::default();
    let late = telling.edit("portal", 10, &[("phone", "1")]);
    let early = telling.edit("billing", 20, &[("phone", "2")]);
    let receipts = [("2", 200, "1", late), ("1", 100, "2", early), ("1", 90, "2", early)];
    for (link, time, shown, carried) in receipts {
        let receipt = telling.ours(Kind::Receipt, "crm", time, &[("phone", shown, &[carried])]);
        telling.lines[receipt].draft.origin = under("crm", link);
    }
    let merger = telling.say(Kind::Absorb, under("crm", "1"), 250, Author::default(), &[]);
    let gone = RecordId::new("contact/crm:2").expect("good");
    telling.lines[merger].draft.detail = Detail::Other { record: gone, label: "merged".to_owned() };
    telling.say(Kind::Edit, under("crm", "1"), 150, Author::user("ana"), &[("phone", "3")]);
    let told = told(&telling, &rules(&[("phone", FieldType::String, Rule::LastWriteWins(None))]));
    let values: Vec<&str> = told.fields["phone"].candidates.iter().map(|(.., value)| value.as_str()).collect();
    assert_eq!(values, ["3", "1"], "she had seen what was written at 100, and not what was written at 200");
}

/// The echo of what was written to one of a side's two records, at the time of a write to the other, was taken for a word, and in
/// doubt for good.
#[test]
fn echo_is_of_what_was_written_under_the_same_id() {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[("phone", "1")]);
    let second = telling.edit("portal", 110, &[("phone", "2")]);
    for (link, time, shown, carried) in [("1", 150, "1", first), ("2", 200, "2", second)] {
        let receipt = telling.ours(Kind::Receipt, "crm", time, &[("phone", shown, &[carried])]);
        telling.lines[receipt].draft.origin = under("crm", link);
    }
    telling.say(Kind::Edit, under("crm", "1"), 200, Author::default(), &[("phone", "1")]);
    let book = rules(&[("phone", FieldType::String, Rule::LastWriteWins(None))]);
    let plain = told(&telling, &book);
    assert_eq!(verdict(&plain, "phone"), "2 of 2 by only");
    assert_eq!(plain.shadows["crm"]["phone"], "1", "what it shows under the id that it spoke of last");
    telling.say(Kind::Edit, under("crm", "2"), 250, Author::default(), &[("phone", "2")]);
    let plain = told(&telling, &book);
    assert_eq!((verdict(&plain, "phone").as_str(), plain.shadows["crm"]["phone"].as_str()), ("2 of 2 by only", "2"));
}

/// A side's record was deleted by us at the very time at which it got another in its place, and that one is over as well: the echo
/// of the deletion, heard late, was taken for a user's own, and the record deleted and made anew without end.
#[test]
fn echo_under_an_id_that_is_over_is_of_what_was_written_at_that_time() {
    let mut telling = Telling::default();
    telling.edit("portal", 50, &[("phone", "1")]);
    for (link, time, alive) in
        [("1", 100, "true"), ("1", 200, "false"), ("2", 200, "true"), ("2", 300, "false"), ("3", 400, "true")]
    {
        let receipt = telling.ours(Kind::Receipt, "crm", time, &[(EXISTENCE, alive, &[])]);
        telling.lines[receipt].draft.origin = under("crm", link);
    }
    telling.say(Kind::Delete, under("crm", "1"), 200, Author::default(), &[(EXISTENCE, "false")]);
    telling.say(Kind::Create, under("crm", "2"), 200, Author::default(), &[(EXISTENCE, "true")]);
    let book = rules_with(&[], DeleteRule::DeleteWins);
    assert_eq!(told(&telling, &book).existence, "alive");
    assert!(fold_one(&telling, &book).field(EXISTENCE).is_none(), "nobody has said anything of it");
}

/// Read, a field of which a write and a word bore one time was in doubt still where the reading had been heard of before without
/// being asked for: it was asked for again and again.
#[test]
fn echo_or_word_is_told_by_a_reading_whether_or_not_it_was_asked_for() {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[("phone", "1")]);
    telling.ours(Kind::Receipt, "crm", 150, &[("phone", "1", &[first])]);
    telling.edit("crm", 150, &[("phone", "2")]);
    let book = rules(&[("phone", FieldType::String, Rule::LastWriteWins(None))]);
    let in_doubt = |telling: &Telling| {
        told(telling, &book);
        fold_one(telling, &book).side("crm").and_then(|state| state.shown("phone")).is_some_and(|shown| shown.doubt)
    };
    assert!(in_doubt(&telling));
    telling.say(Kind::Observe, Origin::side(side("crm")), 150, Author::default(), &[("phone", "2")]);
    assert!(!in_doubt(&telling));
}

/// The side's clock was behind, and its word of 200 was taken for the echo of a write that it had taken at 100.
#[test]
fn echo_ends_with_the_receipt_also_where_the_write_left_later_by_the_clock_that_it_was_dated_by() {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 50, &[("phone", "1")]);
    let sent = telling.ours(Kind::Sent, "crm", 170, &[("phone", "1", &[first])]);
    telling.lines[sent].draft.detail = Detail::Try { key: "k".to_owned(), after: Seq(1), ends: Vec::new() };
    let receipt = telling.ours(Kind::Receipt, "crm", 100, &[("phone", "1", &[first])]);
    telling.lines[receipt].draft.detail = Detail::Fate { key: "k".to_owned(), ends: Vec::new(), reason: String::new() };
    telling.lines[receipt].ends = vec![Named::Line(sent)];
    telling.edit("crm", 150, &[("phone", "2")]);
    let plain = told(&telling, &rules(&[("phone", FieldType::String, Rule::LastWriteWins(None))]));
    assert_eq!(verdict(&plain, "phone"), "2 of 2 by only");
    telling.edit("crm", 200, &[("phone", "1")]);
    let plain = told(&telling, &rules(&[("phone", FieldType::String, Rule::LastWriteWins(None))]));
    assert_eq!(
        plain.fields["phone"].candidates.iter().map(|of| (&*of.0, of.1)).collect::<Vec<_>>(),
        [("crm", telling.lines[4].draft.said_at.0)]
    );
}

/// A side's users had deleted a record, and what was written to the one made in its place bore earlier times, since its clock had
/// been set back: who had spoken under the old id was taken to have known of it.
#[test]
fn what_a_side_learned_under_a_new_id_nobody_knew_who_spoke_under_the_old_one() {
    let mut telling = Telling::default();
    telling.say(Kind::Edit, under("crm", "1"), 500, Author::user("ana"), &[("phone", "1")]);
    telling.say(Kind::Delete, under("crm", "1"), 510, Author::user("ana"), &[(EXISTENCE, "false")]);
    let other = telling.edit("portal", 520, &[("phone", "2")]);
    let receipt = telling.ours(Kind::Receipt, "crm", 100, &[(EXISTENCE, "true", &[]), ("phone", "2", &[other])]);
    telling.lines[receipt].draft.origin = under("crm", "2");
    let plain = told(&telling, &rules(&[("phone", FieldType::String, Rule::LastWriteWins(None))]));
    assert_eq!(verdict(&plain, "phone"), "2 of 2 1 by last_write");
}

/// What a side showed last under an id that it has deleted since was taken for what it shows under the other one.
#[test]
fn minimal_a_side_shows_what_stands_under_the_id_that_it_has() {
    let mut telling = Telling::default();
    let mut says = |kind, link, at, words: &[(&str, &str)]| {
        telling.say(kind, under("portal", link), at, Author::user("ana"), words);
        let book = rules_with(&[("phone", FieldType::String, Rule::LastWriteWins(None))], DeleteRule::EditWins);
        let shown = told(&telling, &book).shadows["portal"].clone();
        let link = fold_one(&telling, &book).side("portal").and_then(|state| state.link.clone());
        format!("{}: {} {}", link.unwrap_or_default(), shown["phone"], shown[EXISTENCE])
    };
    assert_eq!(says(Kind::Create, "1", 100, &[(EXISTENCE, "true"), ("phone", "1")]), "1: 1 true");
    assert_eq!(says(Kind::Create, "2", 200, &[(EXISTENCE, "true"), ("phone", "2")]), "2: 2 true");
    assert_eq!(says(Kind::Delete, "2", 300, &[(EXISTENCE, "false")]), "1: 1 true");
    assert_eq!(says(Kind::Edit, "1", 150, &[("phone", "3")]), "1: 3 true");
    assert_eq!(says(Kind::Restore, "2", 400, &[(EXISTENCE, "true")]), "2: 2 true", "one of two, which spoke last");
    assert_eq!(says(Kind::Delete, "1", 500, &[(EXISTENCE, "false")]), "2: 2 true");
    assert_eq!(says(Kind::Delete, "2", 600, &[(EXISTENCE, "false")]), "2: 2 false");
}

#[test]
fn existence_of_a_record_deleted_on_one_side_and_edited_on_another_is_ruled_on() {
    let deleted = |at: i64, knew: bool, rule: DeleteRule| {
        let mut telling = Telling::default();
        let edit = telling.edit("portal", at, &[("phone", "1")]);
        if knew {
            telling.ours(Kind::Receipt, "crm", 150, &[("phone", "1", &[edit])]);
        }
        telling.say(Kind::Delete, Origin::side(side("crm")), 200, Author::default(), &[(EXISTENCE, "false")]);
        told(&telling, &rules_with(&[], rule)).existence
    };
    assert_eq!(deleted(100, true, DeleteRule::EditWins), "deleted");
    assert_eq!(deleted(100, false, DeleteRule::EditWins), "alive");
    assert_eq!(deleted(300, false, DeleteRule::DeleteWins), "deleted");
    assert_eq!(deleted(300, false, DeleteRule::Manual), "disputed");
}

#[test]
fn existence_comes_back_by_a_restore_and_not_by_an_edit_that_knew_of_the_delete() {
    let story = |kind: Kind, words: &[(&str, &str)]| {
        let mut telling = Telling::default();
        let delete =
            telling.say(Kind::Delete, Origin::side(side("crm")), 100, Author::default(), &[(EXISTENCE, "false")]);
        let next = telling.say(kind, Origin::side(side("portal")), 200, Author::default(), words);
        telling.lines[next].seen = Some(vec![Named::Line(delete)]);
        told(&telling, &rules_with(&[], DeleteRule::EditWins)).existence
    };
    assert_eq!(story(Kind::Restore, &[(EXISTENCE, "true")]), "alive");
    assert_eq!(story(Kind::Edit, &[("phone", "1")]), "deleted");
}

#[test]
fn existence_ends_where_a_read_back_finds_nothing() {
    // The short way took the read-back for any word and left the record alive.
    let mut telling = Telling::default();
    telling.edit("crm", 100, &[("phone", "1")]);
    telling.say(Kind::Observe, Origin::side(side("crm")), 200, Author::default(), &[(EXISTENCE, "false")]);
    assert_eq!(told(&telling, &rules(&[])).existence, "deleted");
}

#[test]
fn order_free_a_receipt_may_be_heard_before_the_word_it_carries() {
    // Another node wrote to the CRM; its receipt came over before the portal's edit did. The short way had
    // forgotten by then that the CRM knew the edit, and held the CRM's next one to be concurrent.
    let mut telling = Telling::default();
    telling.ours(Kind::Receipt, "crm", 150, &[("phone", "1", &[1])]);
    telling.edit("portal", 100, &[("phone", "1")]);
    telling.edit("crm", 200, &[("phone", "2")]);
    let events = telling.events();
    let heard = logged(&events);
    let record = advanced(&heard, &crm_decides(), 0).0;
    assert_eq!(record, advanced(&heard, &crm_decides(), heard.len()).0);
    assert_eq!(verdict(&told(&telling, &crm_decides()), "phone"), "2 of 2 by only");
}

#[test]
fn echo_is_known_from_a_side_that_has_lost_its_connector() {
    let mut telling = Telling::default();
    let first = telling.edit("portal", 100, &[("phone", "1")]);
    telling.ours(Kind::Sent, "erp", 150, &[("phone", "1", &[first])]);
    telling.edit("erp", 200, &[("phone", "1")]);
    let plain = told(&telling, &crm_decides());
    assert_eq!(verdict(&plain, "phone"), "1 of 1 by only");
    assert!(!plain.shadows.contains_key("erp"));
}

#[test]
fn side_order_a_statement_is_no_older_than_a_link_that_it_names() {
    let mut telling = Telling::default();
    let link = telling.say(Kind::Link, Origin::side(side("portal")), 500, Author::default(), &[]);
    telling.edit_on(&[link], "portal", 100, &[("phone", "1")]);
    telling.edit("portal", 300, &[("phone", "2")]);
    // By the portal's clock the second edit came after the first, but not after what the first had seen.
    assert_eq!(verdict(&told(&telling, &crm_decides()), "phone"), "2 of 2 1 by last_write");
}

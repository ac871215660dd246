//! A verdict in one sentence, for people who know the field and not the engine.

use super::{
    verdict::{Word, spelled},
    words::{self, Clock},
};
use crate::{
    event::Kind,
    field::{DeleteRule, Rule},
    id::{FieldName, RecordId},
    merge::{Existence, Part, Reason},
    rulebook::{PERSON, Rulebook},
    value::Value,
};

/// More words than this against the winner are counted, not told one by one.
const TOLD_MAX: usize = 3;

/// What a sentence is made of.
pub struct Case<'a> {
    pub record: &'a RecordId,
    pub field: &'a FieldName,
    /// What the field has become.
    pub value: &'a Value,
    pub reason: Reason,
    /// The rule that was in force for it.
    pub rule: Option<&'a Rule>,
    /// The rule that is in force today.
    pub today: Option<&'a Rule>,
    pub winner: &'a Word,
    pub others: &'a [Word],
    /// If a person's decision is all that stands: why it was taken.
    pub decision: Option<&'a str>,
    /// What the winner and the others, in this order, brought into a merged field.
    pub parts: &'a [Part],
    pub book: &'a Rulebook,
}

/// Why a field is what it is.
pub fn of_field(case: &Case<'_>) -> String {
    let clock = Clock::of(case.book, std::iter::once(case.winner).chain(case.others));
    match (case.reason, case.decision) {
        (Reason::Only, Some(why)) => decided(case, &clock, why),
        (Reason::Only, None) => format!("{}; no other edit stands against it.", head(case, &clock)),
        (Reason::Agreement, _) => {
            let others = words::several(case.others, TOLD_MAX, |word| did_the_same(word, &clock), "said the same");
            format!("{}, and {others}; they agree.", head(case, &clock))
        }
        (Reason::Manual, _) => undecided(case, &clock),
        (Reason::Merge, _) => merged(case, &clock),
        _ => format!("{}; {}{}.", against(case, &clock), ruling(case), rule_of_then(case)),
    }
}

/// `stage is "won": bo set it in crm on ...`
fn head(case: &Case<'_>, clock: &Clock<'_>) -> String {
    let did = if case.winner.value.is_null() { "cleared it" } else { "set it" };
    format!("{} is {}: {}", case.field, words::quoted(case.value), told(case.winner, did, clock))
}

/// `bo DID in crm on ...`; a person who decided is on no side.
fn told(word: &Word, did: &str, clock: &Clock<'_>) -> String {
    let who = words::author(&word.author, &word.side);
    match &*word.side {
        PERSON => format!("{who} decided so on {}", clock.time(word)),
        side => format!("{who} {did} in {side} on {}", clock.time(word)),
    }
}

fn did_the_same(word: &Word, clock: &Clock<'_>) -> String {
    let did = if word.value.is_null() { "cleared it too" } else { "set the same" };
    told(word, did, clock)
}

/// `ana set "lost" in portal on ...`
fn did(word: &Word, clock: &Clock<'_>) -> String {
    let who = words::author(&word.author, &word.side);
    let did = match word.value.is_null() {
        true => "cleared it".to_owned(),
        false => format!("set {}", words::quoted(&word.value)),
    };
    match &*word.side {
        PERSON => format!("{who} decided on {} that it is {}", clock.time(word), words::quoted(&word.value)),
        side => format!("{who} {did} in {side} on {}", clock.time(word)),
    }
}

/// The winner, those who said the same, and those who said something else without knowing of it.
fn against(case: &Case<'_>, clock: &Clock<'_>) -> String {
    let (same, other): (Vec<&Word>, Vec<&Word>) = case.others.iter().partition(|word| word.value == case.winner.value);
    let same = match same.is_empty() {
        true => String::new(),
        false => format!(", and {}", words::several(same, TOLD_MAX, |word| did_the_same(word, clock), "said the same")),
    };
    let unknowing = if other.len() == 1 { "without knowing of it" } else { "none of them knowing of it" };
    let comma = if other.len() == 1 { "" } else { "," };
    let other = words::several(other, TOLD_MAX, |word| did(word, clock), "did otherwise");
    format!("{}{same}, while {other}{comma} {unknowing}", head(case, clock))
}

/// Why the winner wins, from the rule.
fn ruling(case: &Case<'_>) -> String {
    let tied = |plain: &str, authority: Option<&str>| match tie(case, authority) {
        Some(tie) => format!("{plain}, and {tie}"),
        None => plain.to_owned(),
    };
    match (case.reason, case.rule) {
        (Reason::Authority, Some(Rule::Authority(side))) => {
            let rivals = case.others.iter().any(|word| word.side == *side && word.value != case.winner.value);
            let last_word = format!("{side} has the last word on this field");
            match rivals {
                true => tied(&format!("{last_word}, and its newest edit counts"), None),
                false => last_word,
            }
        }
        (_, Some(Rule::Authority(side))) => {
            let none = if case.others.len() == 1 { "neither" } else { "none" };
            let plain =
                format!("{side} has the last word on this field but said {none} of these, so the newest edit counts");
            tied(&plain, None)
        }
        (Reason::FirstWrite, Some(Rule::FirstWriteWins(side))) => {
            tied("on this field the oldest edit counts", side.as_deref())
        }
        (Reason::Max, _) => "on this field the greatest value counts".to_owned(),
        (Reason::Min, _) => "on this field the smallest value counts".to_owned(),
        (_, Some(Rule::LastWriteWins(side))) => tied("on this field the newest edit counts", side.as_deref()),
        _ => tied("on this field the newest edit counts", None),
    }
}

/// What decides among edits of the winner's time, if there are any with another value.
fn tie(case: &Case<'_>, authority: Option<&str>) -> Option<String> {
    let time = |word: &Word| case.book.corrected(&word.side, word.said_at);
    let among = |word: &&Word| match (case.reason, case.rule) {
        (Reason::Authority, Some(Rule::Authority(side))) => word.side == *side,
        _ => true,
    };
    let rivals = case.others.iter().filter(|word| time(word) == time(case.winner) && word.value != case.winner.value);
    let rivals: Vec<&Word> = rivals.filter(among).collect();
    if rivals.is_empty() {
        return None;
    }
    let elsewhere = rivals.iter().all(|word| word.side != case.winner.side);
    Some(match authority {
        Some(side) if *case.winner.side == *side && elsewhere => format!("at equal times {side}'s"),
        _ if elsewhere => "at equal times that of the side whose name is last in the alphabet".to_owned(),
        _ => "at equal times the one that its side numbered last, or else the greater value".to_owned(),
    })
}

/// What the rule was called then, where it has changed since.
fn rule_of_then(case: &Case<'_>) -> String {
    let (then, today) = (spelled(case.rule), spelled(case.today));
    match then == today {
        true => String::new(),
        false => format!(" (this was judged by the rule of its time, \"{then}\"; today's is \"{today}\")"),
    }
}

fn decided(case: &Case<'_>, clock: &Clock<'_>, why: &str) -> String {
    let who = words::author(&case.winner.author, &case.winner.side);
    let value = words::quoted(case.value);
    let why = because(Some(why));
    let seen = words::several(case.others, TOLD_MAX, |word| did(word, clock), "did otherwise");
    let seen = if seen.is_empty() { String::new() } else { format!(", after {seen}") };
    format!("{} is {value}: {who} decided so on {}{why}{seen}.", case.field, clock.time(case.winner))
}

/// The reason that a person gave, if any.
fn because(why: Option<&str>) -> String {
    match why {
        None | Some("") => String::new(),
        Some(why) => format!(" ({})", words::quoted(&Value::text(why))),
    }
}

fn undecided(case: &Case<'_>, clock: &Clock<'_>) -> String {
    let Case { record, field, value, .. } = case;
    let all = words::several(
        std::iter::once(case.winner).chain(case.others),
        TOLD_MAX + 1,
        |word| did(word, clock),
        "did otherwise",
    );
    let (knowing, sides) = knowing(case);
    let value = words::quoted(value);
    format!(
        "{field} is undecided: {all}, {knowing}; {sides} what they show until a person decides with \
         `syncline decide {record} {field} VALUE`, and reads give the newest, {value}{}.",
        rule_of_then(case)
    )
}

fn knowing(case: &Case<'_>) -> (&'static str, &'static str) {
    match case.others.len() {
        0 | 1 => ("neither knowing of the other", "both sides keep"),
        _ => ("none knowing of the others", "all sides keep"),
    }
}

fn merged(case: &Case<'_>, clock: &Clock<'_>) -> String {
    let all: Vec<&Word> = std::iter::once(case.winner).chain(case.others).collect();
    let parts: Vec<Option<&Part>> = (0..all.len()).map(|at| case.parts.get(at)).collect();
    let each: Vec<(&Word, Option<&Part>)> = all.into_iter().zip(parts).collect();
    let told = words::several(&each, TOLD_MAX + 1, |(word, part)| brought(word, *part, clock), "changed it too");
    let how = match case.parts.first() {
        Some(Part::Difference(_)) => "on this field changes are added up",
        Some(Part::Elements { .. }) => "on this field what was added and removed is put together",
        None => "on this field texts are merged character by character",
    };
    let (knowing, _) = knowing(case);
    let value = words::quoted(case.value);
    format!("{} is {value}: {told}, {knowing}; {how}{}.", case.field, rule_of_then(case))
}

/// `bo added 2 in crm on ...`
fn brought(word: &Word, part: Option<&Part>, clock: &Clock<'_>) -> String {
    let elements = |elements: &[Value]| {
        let quoted: Vec<String> = elements.iter().map(words::quoted).collect();
        words::cut(&words::and(&quoted))
    };
    let did = match part {
        Some(Part::Difference(0)) => "left it as it was".to_owned(),
        Some(Part::Difference(by)) if *by < 0 => format!("took away {}", by.unsigned_abs()),
        Some(Part::Difference(by)) => format!("added {by}"),
        Some(Part::Elements { adds, removes }) => match (adds.is_empty(), removes.is_empty()) {
            (true, true) => "left it as it was".to_owned(),
            (false, true) => format!("added {}", elements(adds)),
            (true, false) => format!("removed {}", elements(removes)),
            (false, false) => format!("added {} and removed {}", elements(adds), elements(removes)),
        },
        None if word.value.is_null() => "cleared it".to_owned(),
        None => format!("wrote {}", words::quoted(&word.value)),
    };
    let who = words::author(&word.author, &word.side);
    match &*word.side {
        PERSON => format!("{who}, deciding, {did} on {}", clock.time(word)),
        side => format!("{who} {did} in {side} on {}", clock.time(word)),
    }
}

/// What was said for or against a record's existence.
pub struct Stand {
    pub word: Word,
    pub kind: Kind,
    /// Why a person decided so.
    pub why: Option<String>,
}

/// Why a record exists or does not; `said` are the candidates, then the edits that stand against a deletion.
pub fn of_existence(
    record: &RecordId,
    existence: Existence,
    deletes: DeleteRule,
    said: &[Stand],
    book: &Rulebook,
) -> String {
    let clock = Clock::of(book, said.iter().map(|stand| &stand.word));
    let (dead, alive): (Vec<_>, Vec<_>) = said.iter().partition(|stand| stand.word.value == Value::bool(false));
    let tell = |Stand { word, kind, why }: &Stand| {
        let who = words::author(&word.author, &word.side);
        let (time, dead) = (clock.time(word), word.value == Value::bool(false));
        let did = match (kind, dead) {
            (Kind::Decide, _) => {
                let what = if dead { "it does not exist" } else { "it exists" };
                return format!("{who} decided on {time}{} that {what}", because(why.as_deref()));
            }
            (_, true) => "deleted it",
            (Kind::Create, _) => "made it",
            (Kind::Restore, _) => "brought it back",
            (Kind::Observe, _) => "was seen to have it",
            _ => "edited it",
        };
        format!("{who} {did} in {} on {time}", word.side)
    };
    let all = |words: &[&Stand]| words::several(words.iter().copied(), TOLD_MAX, tell, "did the same");
    let (deleted, kept) = (all(&dead), all(&alive));
    let unknowing = if alive.len() > 1 { ", none of them knowing of that" } else { " without knowing of that" };
    match (existence, dead.is_empty(), alive.is_empty()) {
        (Existence::Disputed, _, _) => format!(
            "whether {record} exists is undecided: {deleted}, while {kept}{unknowing}; all sides keep what they show \
             until a person decides with `syncline decide {record} existence true` or `false`."
        ),
        (Existence::Deleted, _, true) => format!("{record} is deleted: {deleted}; no other edit stands against it."),
        (Existence::Deleted, _, false) => {
            let rule = if deletes == DeleteRule::DeleteWins { "; here deleting counts more than editing" } else { "" };
            format!("{record} is deleted: {deleted}, while {kept}{unknowing}{rule}.")
        }
        (Existence::Alive, true, _) => format!("{record} exists: {kept}; nobody has deleted it since."),
        (Existence::Alive, false, _) => {
            let rule = if deletes == DeleteRule::EditWins { "; here editing counts more than deleting" } else { "" };
            format!("{record} exists although {deleted}: {kept}{unknowing}{rule}.")
        }
    }
}

//! How a side writes a field: its name there, and what becomes of the values.
//!
//! Only forms that can be read back exactly are accepted: a value that came back changed would be an edit
//! that nobody made.

use super::{
    block::{self, Block, entries},
    fault::{At, Faults, among},
    yaml::{Node, Value},
};
use crate::field::{DateForm, FieldType, Form};

pub(super) const ON_SIDE: &[&str] = &["name", "values", "scale", "dates"];
/// The date forms that have a name; anything with a `%` is a pattern.
pub(super) const DATES: &[&str] = &["iso", "epoch_ms", "epoch_s"];
/// The most zeros of a scale.
const ZEROS_MAX: usize = 18;

/// A field's name on a side, and its form there: `NAME`, or a mapping.
pub(super) fn on_side(
    own: &str,
    node: &Node,
    about: &str,
    kind: Option<&FieldType>,
    faults: &mut Faults,
) -> (Option<String>, Option<Form>) {
    if !matches!(node.value, Value::Map(_)) {
        return (block::text(node, &format!("the name of {about}"), faults).map(str::to_owned), None);
    }
    let Some(block) = Block::open(node, about, ON_SIDE, &[], faults) else { return (None, None) };
    let name = match block.get("name") {
        Some(node) => block::text(node, &block.of("name"), faults).map(str::to_owned),
        None => Some(own.to_owned()),
    };
    let mut form = Form::default();
    if let Some(node) = block.get("values") {
        form.values = values(node, &block.of("values"), kind, faults);
    }
    if let Some(node) = block.get("scale") {
        form.exponent = scale(node, &block.of("scale"), kind, faults).unwrap_or(0);
    }
    if let Some(node) = block.get("dates") {
        form.dates = dates(node, &block.of("dates"), kind, faults);
    }
    block.done();
    (name, Some(form))
}

/// `{ OURS: THEIRS, ... }`, sorted by ours.
fn values(node: &Node, about: &str, kind: Option<&FieldType>, faults: &mut Faults) -> Vec<(String, String)> {
    use FieldType::{Any, Boolean, Choice, List, Set, String};
    if kind.is_some_and(|kind| !matches!(kind, String | Choice(_) | List | Set | Boolean | Any)) {
        faults.add(
            node.at,
            format!("{about} does not fit the field's type"),
            "values are mapped for texts, choices, lists, sets and booleans",
        );
        return Vec::new();
    }
    let mut pairs: Vec<(std::string::String, std::string::String)> = Vec::new();
    for (key, node) in entries(node, about, faults).unwrap_or_default() {
        let Some(theirs) = block::text(node, &format!("`{}` in {about}", key.text), faults) else { continue };
        if let Some((other, _)) = pairs.iter().find(|(_, taken)| taken == theirs) {
            let what = format!("{about} writes both `{other}` and `{}` as `{theirs}`", key.text);
            faults.add(node.at, what, "give each a value of its own, or the way back is lost");
        }
        pairs.push((key.text.clone(), theirs.to_owned()));
        known_value(key.at, &key.text, about, kind, faults);
    }
    if let Some(FieldType::Choice(choices)) = kind {
        let unlisted = |choice: &&std::string::String| pairs.iter().all(|(ours, _)| ours != *choice);
        for choice in choices.iter().filter(unlisted) {
            if let Some((ours, _)) = pairs.iter().find(|(_, theirs)| theirs == choice) {
                let what =
                    format!("{about} writes `{ours}` as `{choice}`, which is also a choice that it leaves as it is");
                faults.add(node.at, what, format!("say what `{choice}` is there"));
            }
        }
    }
    pairs.sort();
    pairs
}

fn known_value(at: At, ours: &str, about: &str, kind: Option<&FieldType>, faults: &mut Faults) {
    let booleans = ["false".to_owned(), "true".to_owned()];
    let known = match kind {
        Some(FieldType::Choice(choices)) => choices.as_slice(),
        Some(FieldType::Boolean) => &booleans,
        _ => return,
    };
    if !known.iter().any(|known| known == ours) {
        faults.add(
            at,
            format!("{about} maps `{ours}`, which is no value of the field"),
            among(ours, known, "its values are"),
        );
    }
}

/// A power of ten: 100 where we keep euros and the side keeps cents.
///
/// Other factors could not be undone exactly, and a whole number of ours could come back with a fraction.
fn scale(node: &Node, about: &str, kind: Option<&FieldType>, faults: &mut Faults) -> Option<i8> {
    if kind.is_some_and(|kind| *kind != FieldType::Decimal) {
        faults.add(node.at, format!("{about} does not fit the field's type"), "only `decimal` has a scale");
        return None;
    }
    let exponent = match &node.value {
        Value::Text { text, .. } => power_of_ten(text),
        _ => None,
    };
    if exponent.is_none() {
        faults.add(
            node.at,
            format!("{about} is not a power of ten"),
            "write 100 or 0.01; other factors cannot be undone exactly",
        );
    }
    exponent
}

fn power_of_ten(text: &str) -> Option<i8> {
    let zeros = |text: &str| (text.len() <= ZEROS_MAX && text.bytes().all(|byte| byte == b'0')).then_some(text.len());
    let exponent = match text.strip_prefix("0.") {
        Some(fraction) => -i8::try_from(zeros(fraction.strip_suffix('1')?)? + 1).ok()?,
        None => i8::try_from(zeros(text.strip_prefix('1')?)?).ok()?,
    };
    Some(exponent)
}

fn dates(node: &Node, about: &str, kind: Option<&FieldType>, faults: &mut Faults) -> Option<DateForm> {
    if kind.is_some_and(|kind| !matches!(kind, FieldType::Date | FieldType::Datetime)) {
        faults.add(
            node.at,
            format!("{about} does not fit the field's type"),
            "only `date` and `datetime` are written as dates",
        );
        return None;
    }
    match block::text(node, about, faults)? {
        "iso" => None,
        "epoch_ms" => Some(DateForm::EpochMillis),
        "epoch_s" => Some(DateForm::EpochSeconds),
        pattern if pattern.contains('%') => {
            if kind.is_some_and(|kind| !comes_back(pattern, *kind == FieldType::Datetime)) {
                let hint = "name all parts, such as %d.%m.%Y, or %Y-%m-%d %H:%M:%S for instants";
                faults.add(node.at, format!("{about} does not give the same date back"), hint);
                return None;
            }
            Some(DateForm::Pattern(pattern.to_owned()))
        }
        other => {
            faults.add(
                node.at,
                format!("{about} cannot be `{other}`"),
                among(other, DATES, "it is a pattern with % or one of"),
            );
            None
        }
    }
}

/// Whether what a pattern prints can be read again.
fn comes_back(pattern: &str, instant: bool) -> bool {
    use jiff::civil::date;
    // No two parts of a sample are alike; one is past noon, and two digits of a year do not tell 1968 from 2068.
    let samples = [date(2031, 4, 25).at(17, 38, 9, 0), date(1968, 11, 2).at(5, 7, 51, 0)];
    samples.iter().all(|sample| {
        let Ok(zoned) = sample.to_zoned(jiff::tz::TimeZone::UTC) else { return false };
        let Ok(printed) = jiff::fmt::strtime::format(pattern, &zoned) else { return false };
        match (instant, jiff::fmt::strtime::parse(pattern, &printed)) {
            (true, Ok(parsed)) => parsed.to_datetime().is_ok_and(|back| back == *sample),
            (false, Ok(parsed)) => parsed.to_date().is_ok_and(|back| back == sample.date()),
            (_, Err(_)) => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_powers_of_ten() {
        assert_eq!(power_of_ten("1"), Some(0));
        assert_eq!(power_of_ten("1000"), Some(3));
        assert_eq!(power_of_ten("0.01"), Some(-2));
        for wrong in ["", "0", "10.0", "60", "0.5", "0.10", "-10", "1e3", "10000000000000000000000"] {
            assert_eq!(power_of_ten(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn date_patterns_have_to_come_back() {
        assert!(comes_back("%d.%m.%Y", false));
        assert!(comes_back("%m/%d/%Y", false));
        assert!(comes_back("%Y-%m-%d %H:%M:%S", true));
        assert!(comes_back("%Y-%m-%dT%H:%M:%S%z", true));
        for wrong in ["%d.%m.", "%d.%m.%y", "%Y", "%", "%Q"] {
            assert!(!comes_back(wrong, false), "{wrong}");
        }
        assert!(!comes_back("%Y-%m-%d", true), "the time of day is lost");
        assert!(!comes_back("%Y-%m-%d %I:%M:%S", true), "morning and evening look the same");
    }
}

//! A field's `pattern`, `length` and `range`: what its values have to be beyond their type.

use super::{
    block::{self, Block},
    fault::Faults,
    yaml::Node,
};
use crate::{
    field::FieldType,
    limit::{Bounds, Limits, Pattern, compare},
    value::Value,
};

pub(super) const BOUNDS: &[&str] = &["min", "max"];

/// The limits of a field that says them; `kind` is its type, `None` where that could not be read.
pub(super) fn read(field: &Block<'_>, kind: Option<&FieldType>, faults: &mut Faults) -> Option<Limits> {
    let (pattern, length, range) = (field.get("pattern"), field.get("length"), field.get("range"));
    let kind = kind?;
    let is_text = matches!(kind, FieldType::String | FieldType::Email | FieldType::LongText);
    let has_length = is_text || kind.is_set() || *kind == FieldType::List;
    let has_order = matches!(
        kind,
        FieldType::Integer | FieldType::Decimal | FieldType::Counter | FieldType::Date | FieldType::Datetime
    );
    let pattern = fitting(field, "pattern", pattern, is_text, "it is for texts: string, email and long_text", faults);
    let pattern = pattern.map(|node| node.and_then(|node| read_pattern(node, &field.of("pattern"), faults)));
    let length = fitting(field, "length", length, has_length, "it is for texts, lists and sets", faults);
    let length =
        length.map(|node| node.and_then(|node| bounds(node, &field.of("length"), u64::cmp, read_length, faults)));
    let order = |a: &Value, b: &Value| compare(kind, a, b);
    let read_end = |node: &Node, about: &str, faults: &mut Faults| read_end(node, about, kind, faults);
    let range = fitting(field, "range", range, has_order, "it is for numbers, dates and times", faults);
    let range = range.map(|node| node.and_then(|node| bounds(node, &field.of("range"), order, read_end, faults)));
    Some(Limits { pattern: flat(pattern)?, length: flat(length)?, range: flat(range)? })
}

/// What was written of a limit, if anything was; the inner `None`: it has no meaning with the field's type.
fn fitting<'a>(
    field: &Block<'_>,
    key: &str,
    node: Option<&'a Node>,
    fits: bool,
    hint: &str,
    faults: &mut Faults,
) -> Option<Option<&'a Node>> {
    let node = node?;
    if !fits {
        faults.add(node.at, format!("{} has no meaning with its type", field.of(key)), hint);
    }
    Some(Some(node).filter(|_| fits))
}

/// Nothing was said, something was read, or what was said could not be read.
fn flat<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

fn read_pattern(node: &Node, about: &str, faults: &mut Faults) -> Option<Pattern> {
    let text = block::text(node, about, faults)?;
    let pattern = Pattern::new(text);
    if pattern.is_none() {
        let hint = "write a regular expression that the whole text has to fit, such as [A-Z]{2}[0-9]+; quote it";
        faults.add(node.at, format!("{about} is no pattern"), hint);
    }
    pattern
}

/// `{ min: A, max: B }`, or one of the two.
fn bounds<T>(
    node: &Node,
    about: &str,
    order: impl Fn(&T, &T) -> std::cmp::Ordering,
    read: impl Fn(&Node, &str, &mut Faults) -> Option<T>,
    faults: &mut Faults,
) -> Option<Bounds<T>> {
    let block = Block::open(node, about, BOUNDS, &[], faults)?;
    let mut end = |key: &str| block.get(key).map(|node| read(node, &block.of(key), faults));
    let (min, max) = (end("min"), end("max"));
    block.done();
    if min.is_none() && max.is_none() {
        faults.add(node.at, format!("{about} says nothing"), "write `min`, `max` or both: { min: 1, max: 10 }");
        return None;
    }
    let bounds = Bounds { min: flat(min)?, max: flat(max)? };
    if let (Some(min), Some(max)) = (&bounds.min, &bounds.max)
        && order(min, max).is_gt()
    {
        faults.add(node.at, format!("{about} has no room between `min` and `max`"), "exchange the two");
        return None;
    }
    Some(bounds)
}

/// The longest length that can be asked for.
const LENGTH_MAX: u64 = 1 << 20;

fn read_length(node: &Node, about: &str, faults: &mut Faults) -> Option<u64> {
    block::count(node, about, LENGTH_MAX, faults)
}

fn read_end(node: &Node, about: &str, kind: &FieldType, faults: &mut Faults) -> Option<Value> {
    let text = block::text(node, about, faults)?;
    let value = match kind {
        FieldType::Date | FieldType::Datetime => Some(Value::text(text)),
        _ => Value::from_json(text).ok(),
    };
    let value = value.filter(|value| !value.is_null() && kind.check(value).is_ok());
    if value.is_none() {
        faults.add(
            node.at,
            format!("{about} is no value of the field's type"),
            "write a value that the field can have",
        );
    }
    value
}

//! Rules as the manifest writes them.

use super::{
    block::{self, entries},
    fault::{Faults, among},
    records::side,
    yaml::{Node, Value},
};
use crate::{
    field::{FieldType, Rule},
    id::SideName,
};

/// The rules that are one word.
pub(super) const WORDS: &[&str] = &["last_write_wins", "first_write_wins", "merge", "max", "min", "manual"];
/// The rules that are a mapping with one key.
pub(super) const WITH_SIDE: &[&str] = &["authority", "last_write_wins", "first_write_wins"];

/// Reads a rule: a word, `{ authority: SIDE }`, or `{ last_write_wins: { authority: SIDE } }`.
pub(super) fn rule(node: &Node, about: &str, sides: &[SideName], faults: &mut Faults) -> Option<Rule> {
    match &node.value {
        Value::Map(_) => with_side(node, about, sides, faults),
        _ => one_word(node, about, faults),
    }
}

fn one_word(node: &Node, about: &str, faults: &mut Faults) -> Option<Rule> {
    let written = block::text(node, about, faults)?;
    Some(match written {
        "last_write_wins" => Rule::LastWriteWins(None),
        "first_write_wins" => Rule::FirstWriteWins(None),
        "merge" => Rule::Merge,
        "max" => Rule::Max,
        "min" => Rule::Min,
        "manual" => Rule::Manual,
        "authority" => {
            faults.add(
                node.at,
                format!("{about} does not say which side is the authority"),
                "write { authority: SIDE }",
            );
            return None;
        }
        other => {
            faults.add(node.at, format!("{about} cannot be `{other}`"), among(other, &known(), "the rules are"));
            return None;
        }
    })
}

fn with_side(node: &Node, about: &str, sides: &[SideName], faults: &mut Faults) -> Option<Rule> {
    let [(key, value)] = entries(node, about, faults)? else {
        faults.add(node.at, format!("{about} is not one rule"), "write one, such as { authority: SIDE }");
        return None;
    };
    if !WITH_SIDE.contains(&key.text.as_str()) {
        let hint = match WORDS.contains(&key.text.as_str()) {
            true => format!("write `{}` alone", key.text),
            false => among(&key.text, &known(), "the rules are"),
        };
        faults.add(key.at, format!("{about} cannot be `{}` with a value", key.text), hint);
        return None;
    }
    let rule: fn(SideName) -> Rule = match key.text.as_str() {
        "authority" => return Some(Rule::Authority(authority(value, about, sides, faults)?)),
        "last_write_wins" => |side| Rule::LastWriteWins(Some(side)),
        _ => |side| Rule::FirstWriteWins(Some(side)),
    };
    match &value.value {
        Value::Map(inner) if inner.len() == 1 && inner[0].0.text == "authority" => {
            Some(rule(authority(&inner[0].1, about, sides, faults)?))
        }
        _ => {
            let hint = format!("write `{0}` alone, or {{ {0}: {{ authority: SIDE }} }} for equal times", key.text);
            faults.add(value.at, format!("{about} has more than an authority for equal times"), hint);
            None
        }
    }
}

fn authority(node: &Node, about: &str, sides: &[SideName], faults: &mut Faults) -> Option<SideName> {
    side(node.at, block::text(node, &format!("the authority in {about}"), faults)?, about, sides, faults)
}

fn known() -> Vec<&'static str> {
    WORDS.iter().copied().chain(["authority"]).collect()
}

/// A rule's name in the manifest.
pub(super) fn name(rule: &Rule) -> &'static str {
    match rule {
        Rule::Authority(_) => "authority",
        Rule::LastWriteWins(_) => "last_write_wins",
        Rule::FirstWriteWins(_) => "first_write_wins",
        Rule::Merge => "merge",
        Rule::Max => "max",
        Rule::Min => "min",
        Rule::Manual => "manual",
    }
}

/// Whether a rule fits a type.
///
/// # Errors
/// With a hint that names the types it fits.
pub(super) fn fits(rule: &Rule, kind: &FieldType) -> Result<(), &'static str> {
    let fits = match rule {
        Rule::Merge => kind.is_set() || matches!(kind, FieldType::LongText | FieldType::Counter),
        Rule::Max | Rule::Min => {
            matches!(kind, FieldType::Integer | FieldType::Decimal | FieldType::Date | FieldType::Datetime)
        }
        Rule::Authority(_) | Rule::LastWriteWins(_) | Rule::FirstWriteWins(_) | Rule::Manual => true,
    };
    match rule {
        _ if fits => Ok(()),
        Rule::Merge => Err("it fits `long_text`, `set`, `references` and `counter`"),
        _ => Err("it fits `integer`, `decimal`, `date` and `datetime`"),
    }
}

//! Reading a mapping whose keys are known, and the plain values in it.
//!
//! Every reader notes its fault and returns `None`, so that the reading goes on and finds the next one.

use std::{cell::Cell, rc::Rc, time::Duration};

use super::{
    fault::{At, Faults, among},
    yaml::{Key, Node, Value},
};

/// A mapping with a fixed set of keys.
pub(super) struct Block<'a> {
    /// Where it begins.
    pub at: At,
    /// All of it.
    pub node: &'a Node,
    /// What it is, for messages: "side `crm`".
    pub about: &'a str,
    keys: &'static [&'static str],
    entries: &'a [(Key, Rc<Node>)],
    /// The keys that were asked for, a bit each: a key that nobody reads must not be accepted.
    asked: Cell<u64>,
}

impl<'a> Block<'a> {
    /// Opens a mapping; keys that are neither in `keys` nor in `more` are faults.
    pub fn open(
        node: &'a Node,
        about: &'a str,
        keys: &'static [&'static str],
        more: &[&str],
        faults: &mut Faults,
    ) -> Option<Self> {
        let entries = entries(node, about, faults)?;
        for (key, value) in entries {
            let known = keys.contains(&key.text.as_str()) || more.contains(&key.text.as_str());
            if !known {
                let all: Vec<&str> = keys.iter().chain(more).copied().collect();
                faults.add(
                    key.at,
                    format!("{about} has no key `{}`", key.text),
                    among(&key.text, &all, "its keys are"),
                );
            } else if matches!(value.value, Value::Null) {
                faults.add(
                    key.at,
                    format!("`{}` of {about} has no value", key.text),
                    "write one, or leave the key out",
                );
            }
        }
        Some(Block { at: node.at, node, about, keys, entries, asked: Cell::new(0) })
    }

    /// The value of a key; a key without a value has been a fault already.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        let index = self.keys.iter().position(|known| *known == key).expect("only keys of the table are asked for");
        self.asked.set(self.asked.get() | 1 << index);
        let node = self.entries.iter().find(|(entry, _)| entry.text == key).map(|(_, node)| &**node)?;
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    /// The value of a key that has to be there.
    pub fn need(&self, key: &str, hint: &str, faults: &mut Faults) -> Option<&'a Node> {
        let node = self.get(key);
        if node.is_none() {
            faults.add(self.at, format!("{} has no `{key}`", self.about), hint);
        }
        node
    }

    /// The name of a value in it, for messages: "`poll` of side `crm`".
    pub fn of(&self, key: &str) -> String {
        format!("`{key}` of {}", self.about)
    }

    /// Ends the reading.
    pub fn done(self) {
        debug_assert_eq!(
            self.asked.get().count_ones() as usize,
            self.keys.len(),
            "every key that is accepted is read: {:?}",
            self.keys
        );
    }
}

/// The entries of a mapping.
pub(super) fn entries<'a>(node: &'a Node, about: &str, faults: &mut Faults) -> Option<&'a [(Key, Rc<Node>)]> {
    match &node.value {
        Value::Map(map) => Some(map),
        _ => {
            faults.add(
                node.at,
                format!("{about} is not a mapping"),
                "write `key: value` pairs, indented below it or in braces",
            );
            None
        }
    }
}

/// The items of a sequence.
pub(super) fn items<'a>(node: &'a Node, about: &str, faults: &mut Faults) -> Option<&'a [Rc<Node>]> {
    match &node.value {
        Value::List(list) => Some(list),
        _ => {
            faults.add(node.at, format!("{about} is not a list"), "write it in brackets: [a, b]");
            None
        }
    }
}

/// A text that is not empty, as written.
pub(super) fn text<'a>(node: &'a Node, about: &str, faults: &mut Faults) -> Option<&'a str> {
    match &node.value {
        Value::Text { text, .. } if !text.is_empty() => Some(text),
        Value::Text { .. } | Value::Null => {
            faults.add(node.at, format!("{about} is empty"), "write a text");
            None
        }
        Value::List(_) | Value::Map(_) => {
            faults.add(
                node.at,
                format!("{about} is not a text"),
                "write one text; quote it if it holds special characters",
            );
            None
        }
    }
}

/// The texts of a sequence, each with its place; one that comes twice is a fault.
pub(super) fn texts<'a>(node: &'a Node, about: &str, faults: &mut Faults) -> Option<Vec<(At, &'a str)>> {
    let mut all: Vec<(At, &str)> = Vec::new();
    for item in items(node, about, faults)? {
        let Some(word) = text(item, &format!("an entry of {about}"), faults) else { continue };
        if all.iter().any(|(_, earlier)| *earlier == word) {
            faults.add(item.at, format!("{about} lists `{word}` twice"), "keep one of the two");
        } else {
            all.push((item.at, word));
        }
    }
    Some(all)
}

/// One of a few words.
pub(super) fn word<T: Clone>(node: &Node, about: &str, words: &[(&str, T)], faults: &mut Faults) -> Option<T> {
    let written = text(node, about, faults)?;
    let found = words.iter().find(|(word, _)| *word == written).map(|(_, value)| value.clone());
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        faults.add(node.at, format!("{about} cannot be `{written}`"), among(written, &known, "it is one of"));
    }
    found
}

/// `true` or `false`.
pub(super) fn truth(node: &Node, about: &str, faults: &mut Faults) -> Option<bool> {
    match &node.value {
        Value::Text { text, plain: true } if text == "true" => Some(true),
        Value::Text { text, plain: true } if text == "false" => Some(false),
        _ => {
            faults.add(
                node.at,
                format!("{about} is neither true nor false"),
                "write `true` or `false`, without quotation marks",
            );
            None
        }
    }
}

/// A whole number from 1 to `most`.
pub(super) fn count(node: &Node, about: &str, most: u64, faults: &mut Faults) -> Option<u64> {
    let number = match &node.value {
        Value::Text { text, .. } if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    let fits = number.filter(|number| (1..=most).contains(number));
    if fits.is_none() {
        faults.add(
            node.at,
            format!("{about} is not a whole number from 1 to {most}"),
            "write digits only, such as 100",
        );
    }
    fits
}

/// A length of time: a whole number and one unit.
pub(super) fn duration(node: &Node, about: &str, faults: &mut Faults) -> Option<Duration> {
    let length = match &node.value {
        Value::Text { text, .. } => parse_duration(text),
        _ => None,
    };
    if length.is_none() {
        faults.add(
            node.at,
            format!("{about} is not a length of time"),
            "write a number and a unit: 500ms, 30s, 5m, 1h or 3d",
        );
    }
    length
}

/// The longest time that is accepted; longer ones are slips.
const DAYS_MAX: u64 = 3660;

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    (1..=DAYS_MAX * 86_400_000).contains(&ms).then(|| Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_one_unit() {
        assert_eq!(parse_duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("3d"), Some(Duration::from_secs(259_200)));
        for wrong in ["", "m", "5", "0s", "-1s", "1h30m", "5 m", "5M", "1.5h", "99999999999999999999s", "4000d", "٣s"]
        {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}

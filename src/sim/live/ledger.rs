//! What users did, by the address of each person: the last word of each side on each field.

use std::collections::{BTreeMap, BTreeSet};

/// Which side a user is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum On {
    Crm,
    Portal,
}

/// All that users did.
#[derive(Default)]
pub(super) struct Ledger {
    /// Everybody who was ever entered, by address.
    pub people: BTreeSet<String>,
    /// The last word of each side on a field, by address and our name of the field, as one text.
    words: BTreeMap<(String, &'static str), BTreeMap<On, String>>,
}

impl Ledger {
    /// Notes what a user said.
    pub fn note(&mut self, on: On, address: &str, field: &'static str, value: String) {
        self.people.insert(address.to_owned());
        self.words.entry((address.to_owned(), field)).or_default().insert(on, value);
    }

    /// What a field may show: the last word of one of the sides; none if nobody said anything of it.
    ///
    /// Where both had a word, a merge may show more than either.
    pub fn due(&self, address: &str, field: &'static str) -> Vec<&str> {
        let words = self.words.get(&(address.to_owned(), field));
        words.map(|words| words.values().map(String::as_str).collect()).unwrap_or_default()
    }
}

/// A set as one text: sorted, with a semicolon between.
pub(super) fn set_text<'a>(elements: impl IntoIterator<Item = &'a str>) -> String {
    let sorted: BTreeSet<&str> = elements.into_iter().filter(|element| !element.is_empty()).collect();
    sorted.into_iter().collect::<Vec<_>>().join(";")
}

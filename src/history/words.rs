//! The parts of a sentence: values, people, times, and lists of them.

use super::verdict::Word;
use crate::{
    clock::Millis,
    event::{Author, AuthorKind},
    rulebook::Rulebook,
    value::{Value, View, quote},
};

/// The longest value in a sentence, in characters.
const VALUE_CHARS_MAX: usize = 60;

/// A value for a sentence: texts in quotes, long ones cut, a cleared field as `empty`.
pub fn quoted(value: &Value) -> String {
    match value.view() {
        View::Null => "empty".to_owned(),
        // Only the beginning of a long text is quoted, so that a large value costs no more than a small one.
        View::Text(text) => match text.char_indices().nth(VALUE_CHARS_MAX) {
            Some((end, _)) => quote(&format!("{}…", &text[..end])),
            None => quote(text),
        },
        _ => cut(&value.to_json()),
    }
}

/// The beginning of a long text.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Who said it, and on whose behalf.
pub fn author(author: &Author, side: &str) -> String {
    let id = &*author.id;
    let who = match (author.kind, id) {
        (AuthorKind::Unnamed, "") | (AuthorKind::User, "") => "someone".to_owned(),
        (AuthorKind::Unnamed | AuthorKind::User, id) => id.to_owned(),
        (AuthorKind::Integration, "") => "an integration".to_owned(),
        (AuthorKind::Integration, id) => format!("the integration {id}"),
        (AuthorKind::System, "") => format!("{side} itself"),
        (AuthorKind::System, id) => format!("{side} itself ({id})"),
        (AuthorKind::Ours, _) => "syncline".to_owned(),
    };
    match (&author.contact, &author.company) {
        (Some(contact), Some(company)) => format!("{who} (for {contact} of {company})"),
        (Some(one), None) | (None, Some(one)) => format!("{who} (for {one})"),
        (None, None) => who,
    }
}

/// The words of a sentence told one by one up to `most`, the rest counted.
pub fn several<T>(all: impl IntoIterator<Item = T>, most: usize, tell: impl Fn(T) -> String, rest_did: &str) -> String {
    let all: Vec<T> = all.into_iter().collect();
    let rest = all.len().saturating_sub(most);
    let mut parts: Vec<String> = all.into_iter().take(most).map(tell).collect();
    if rest > 0 {
        parts.push(format!("{rest} more {rest_did}"));
    }
    and(&parts)
}

/// `a, b and c`.
pub fn and(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Prints times as fine as a sentence needs them.
pub struct Clock<'a> {
    book: &'a Rulebook,
    /// Whether two times differ within a second.
    fine: bool,
}

impl<'a> Clock<'a> {
    /// A clock for a sentence with these words.
    pub fn of<'w>(book: &'a Rulebook, words: impl Iterator<Item = &'w Word>) -> Self {
        let mut times: Vec<i64> = words.map(|word| book.corrected(&word.side, word.said_at).0).collect();
        times.sort_unstable();
        let close = |pair: &[i64]| pair[0] != pair[1] && pair[0].div_euclid(1000) == pair[1].div_euclid(1000);
        Clock { book, fine: times.windows(2).any(close) }
    }

    /// When a word was said by our clock, and what the side's own clock showed where that differs.
    pub fn time(&self, word: &Word) -> String {
        let ours = self.book.corrected(&word.side, word.said_at);
        match ours == word.said_at {
            true => self.print(ours),
            false => format!("{} (its own clock showed {})", self.print(ours), self.print(word.said_at)),
        }
    }

    fn print(&self, time: Millis) -> String {
        let text = match self.fine {
            true => time.to_string(),
            false => Millis(time.0.div_euclid(1000).saturating_mul(1000)).to_string(),
        };
        match text.strip_suffix('Z').and_then(|text| text.split_once('T')) {
            Some((day, clock)) => format!("{day} {clock} UTC"),
            None => text,
        }
    }
}

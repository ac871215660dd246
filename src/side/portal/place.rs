//! JSON read with the place of everything in it, so that what is wrong can be told by where it is.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    clock::Millis,
    event::{Author, AuthorKind},
    id::NAME_BYTES_MAX,
    value::{RawMembers, Value, ValueError},
};

/// The place of the whole.
const BODY: &str = "the body";
/// The longest place that an error names, in characters.
const PLACE_CHARS_MAX: usize = 200;
/// The times that are taken: years 1 to 9999.
const TIMES: std::ops::Range<i64> = -62_135_596_800_000..253_402_300_800_000;

/// Why a text is not what the dialect says. Values are not in it, names are.
#[derive(Debug, thiserror::Error)]
pub enum Misread {
    /// Not UTF-8.
    #[error("the body is not UTF-8 from byte {0} on")]
    NotText(usize),
    /// Not JSON.
    #[error("the body is not JSON: {what} at line {line}, column {column}")]
    NotJson {
        /// What is wrong.
        what: &'static str,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// Something else was due in this place.
    #[error("{place} is not {due}")]
    NotDue {
        /// Where.
        place: String,
        /// What was due.
        due: &'static str,
    },
    /// A member that has to be there.
    #[error("{place} is missing")]
    Missing {
        /// Where.
        place: String,
    },
    /// The time of a change.
    #[error("{place} is missing, and so is timestamp")]
    NoTime {
        /// Where.
        place: String,
    },
    /// A member that comes twice.
    #[error("{place} comes twice")]
    Twice {
        /// Where.
        place: String,
    },
    /// More than are taken.
    #[error("{place} holds {count}, more than {most}")]
    TooMany {
        /// Where.
        place: String,
        /// How many there are.
        count: usize,
        /// How many are taken.
        most: usize,
    },
    /// A value that cannot be taken.
    #[error("{place} {why}")]
    Value {
        /// Where.
        place: String,
        /// Why; part of the message.
        why: ValueError,
    },
}

/// A piece of JSON in its place. Its text is well-formed.
#[derive(Clone)]
pub struct At<'a> {
    place: Cow<'static, str>,
    raw: &'a RawValue,
}

/// The members of an object, each at most once.
pub struct Members<'a> {
    place: Cow<'static, str>,
    members: Vec<(Cow<'a, str>, At<'a>)>,
}

/// Reads a body.
///
/// # Errors
/// If it is not JSON in UTF-8.
pub fn read(body: &[u8]) -> Result<At<'_>, Misread> {
    let text = std::str::from_utf8(body).map_err(|why| Misread::NotText(why.valid_up_to()))?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|why| {
        let what = if why.is_eof() { "it ends too soon" } else { "there is a fault" };
        Misread::NotJson { what, line: why.line(), column: why.column() }
    })?;
    Ok(At { place: Cow::Borrowed(BODY), raw })
}

fn below(place: &str, name: &str) -> Cow<'static, str> {
    if place == BODY { name.to_owned().into() } else { format!("{place}.{name}").into() }
}

fn short(place: &str) -> String {
    match place.char_indices().nth(PLACE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &place[..end]),
        None => place.to_owned(),
    }
}

impl<'a> At<'a> {
    /// The place, as an error names it.
    pub fn place(&self) -> String {
        short(&self.place)
    }

    /// That something else was due here.
    pub fn not(&self, due: &'static str) -> Misread {
        Misread::NotDue { place: self.place(), due }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.raw.get() == "null"
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        self.raw.get().starts_with('{')
    }

    /// The JSON as it was written.
    pub fn raw(&self) -> &'a RawValue {
        self.raw
    }

    /// Its members.
    ///
    /// # Errors
    /// If it is no object, or says a member twice.
    pub fn members(&self) -> Result<Members<'a>, Misread> {
        if !self.is_object() {
            return Err(self.not("an object"));
        }
        let read: RawMembers<'a> = serde_json::from_str(self.raw.get()).map_err(|_| self.not("an object"))?;
        let mut members: Vec<(Cow<'a, str>, At<'a>)> = Vec::with_capacity(read.0.len());
        for (name, raw) in read.0 {
            let at = At { place: below(&self.place, &name), raw };
            members.push((name, at));
        }
        let mut names: Vec<usize> = (0..members.len()).collect();
        names.sort_by(|&a, &b| members[a].0.cmp(&members[b].0));
        if let Some(pair) = names.windows(2).find(|pair| members[pair[0]].0 == members[pair[1]].0) {
            return Err(Misread::Twice { place: members[pair[1]].1.place() });
        }
        Ok(Members { place: self.place.clone(), members })
    }

    /// Its elements.
    ///
    /// # Errors
    /// If it is no list, or has more than `most`.
    pub fn elements(&self, most: usize) -> Result<Vec<At<'a>>, Misread> {
        if !self.raw.get().starts_with('[') {
            return Err(self.not("a list"));
        }
        let read: Vec<&'a RawValue> = serde_json::from_str(self.raw.get()).map_err(|_| self.not("a list"))?;
        if read.len() > most {
            return Err(Misread::TooMany { place: self.place(), count: read.len(), most });
        }
        let at = |(index, raw)| At { place: format!("{}[{index}]", self.place).into(), raw };
        Ok(read.into_iter().enumerate().map(at).collect())
    }

    /// Its text.
    ///
    /// # Errors
    /// If it is none.
    pub fn text(&self) -> Result<String, Misread> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.not("a text"))
    }

    /// A text that can be part of a name; a whole number counts as its digits.
    ///
    /// # Errors
    /// If it is neither, or too long.
    pub fn name(&self) -> Result<String, Misread> {
        let digits = self.raw.get();
        let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit());
        let name = if is_whole { digits.to_owned() } else { self.text()? };
        let good = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
        if good { Ok(name) } else { Err(self.not("a name: 1 to 255 bytes without control characters")) }
    }

    /// Its truth value.
    ///
    /// # Errors
    /// If it is none.
    pub fn truth(&self) -> Result<bool, Misread> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.not("true or false"))
    }

    /// A whole number from zero on.
    ///
    /// # Errors
    /// If it is none.
    pub fn count(&self) -> Result<u64, Misread> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.not("a whole number from 0 on"))
    }

    /// A time: RFC 3339, or whole milliseconds since 1970.
    ///
    /// # Errors
    /// If it is none.
    pub fn time(&self) -> Result<Millis, Misread> {
        const DUE: &str = "a time: RFC 3339 with an offset, or milliseconds since 1970";
        let millis = match serde_json::from_str::<i64>(self.raw.get()) {
            Ok(millis) => millis,
            Err(_) => {
                let time = self.text().ok().and_then(|text| text.parse::<jiff::Timestamp>().ok());
                time.ok_or_else(|| self.not(DUE))?.as_millisecond()
            }
        };
        if TIMES.contains(&millis) { Ok(Millis(millis)) } else { Err(self.not(DUE)) }
    }

    /// A field's value.
    ///
    /// # Errors
    /// If it is too large, too deep, or repeats a key.
    pub fn value(&self) -> Result<Value, Misread> {
        Value::from_raw(self.raw).map_err(|why| Misread::Value { place: self.place(), why })
    }

    /// An author: who did it, and for which contact and company.
    ///
    /// # Errors
    /// If it is none, or names several.
    pub fn author(&self) -> Result<Author, Misread> {
        let mut members = self.members()?;
        let mut named = Vec::new();
        let kinds = [
            ("user", AuthorKind::User),
            ("integration", AuthorKind::Integration),
            ("system", AuthorKind::System),
            ("syncline", AuthorKind::Ours),
        ];
        for (name, kind) in kinds {
            if let Some(at) = members.take(name) {
                named.push((kind, at.name()?));
            }
        }
        let contact = members.take("contact").map(|at| at.name()).transpose()?;
        let company = members.take("company").map(|at| at.name()).transpose()?;
        if named.len() > 1 {
            return Err(self.not("one author: it names several of user, integration, system and syncline"));
        }
        // A customer who acts for himself is a person like any user.
        let (kind, id) = match (named.pop(), &contact) {
            (Some(named), _) => named,
            (None, Some(contact)) => (AuthorKind::User, contact.clone()),
            (None, None) => return Err(self.not("an author: it names no user, integration, system or contact")),
        };
        let boxed = |text: Option<String>| text.map(String::into_boxed_str);
        Ok(Author { kind, id: id.into(), contact: boxed(contact), company: boxed(company) })
    }
}

impl<'a> Members<'a> {
    /// Takes a member out; one that is null is as good as none.
    pub fn take(&mut self, name: &str) -> Option<At<'a>> {
        let index = self.members.iter().position(|(known, _)| known == name)?;
        let (_, at) = self.members.swap_remove(index);
        (!at.is_null()).then_some(at)
    }

    /// Takes out a member that has to be there.
    ///
    /// # Errors
    /// If it is not.
    pub fn need(&mut self, name: &str) -> Result<At<'a>, Misread> {
        let place = below(&self.place, name);
        self.take(name).ok_or_else(|| Misread::Missing { place: short(&place) })
    }

    /// That neither this member says when a change was made, nor the message.
    pub fn no_time(&self, name: &str) -> Misread {
        Misread::NoTime { place: short(&below(&self.place, name)) }
    }

    /// Takes out a member that has to be there and may be null.
    ///
    /// # Errors
    /// If it is not there.
    pub fn nullable(&mut self, name: &str) -> Result<At<'a>, Misread> {
        let index = self.members.iter().position(|(known, _)| known == name);
        let missing = || Misread::Missing { place: short(&below(&self.place, name)) };
        Ok(self.members.swap_remove(index.ok_or_else(missing)?).1)
    }

    /// What was not taken, by name.
    pub fn rest(mut self) -> Vec<(Cow<'a, str>, At<'a>)> {
        self.members.sort_by(|a, b| a.0.cmp(&b.0));
        self.members
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told<T>(read: Result<T, Misread>) -> String {
        read.err().expect("it is wrong").to_string()
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place() {
        assert_eq!(told(read(b"{\"a\":\xff}")), "the body is not UTF-8 from byte 5 on");
        assert_eq!(told(read(b"{\"a\":1,\n\"b\":")), "the body is not JSON: it ends too soon at line 2, column 4");
        assert_eq!(told(read(b"{\"a\":1}}")), "the body is not JSON: there is a fault at line 1, column 8");
        assert_eq!(told(read(b"[]").and_then(|at| at.members())), "the body is not an object");
        let deep = br#"{"data":{"changes":[{"set":{"x":1,"x":2}}]}}"#;
        let body = read(deep).expect("JSON");
        let data = body.members().and_then(|mut members| members.need("data")).expect("there");
        let mut data = data.members().expect("an object");
        assert_eq!(told(data.need("kind")), "data.kind is missing");
        let changes = data.need("changes").expect("there");
        assert_eq!(told(changes.text()), "data.changes is not a text");
        assert_eq!(told(changes.elements(0)), "data.changes holds 1, more than 0");
        let set = changes.elements(1).expect("one")[0].members().and_then(|mut members| members.need("set"));
        assert_eq!(told(set.and_then(|set| set.members())), "data.changes[0].set.x comes twice");
    }

    #[test]
    fn times_are_instants_of_our_calendar() {
        let time = |text: &str| read(text.as_bytes()).expect("JSON").time().map(|time| time.0).ok();
        assert_eq!(time("\"2026-03-01T12:00:00.5+01:00\""), Some(1_772_362_800_500));
        assert_eq!(time("1772362800500"), Some(1_772_362_800_500));
        for wrong in
            ["\"2026-03-01\"", "\"2026-03-01T12:00:00\"", "\"soon\"", "1.5", "9223372036854775807", "[]", "true"]
        {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_author_is_one_person_or_program() {
        let author = |text: &str| read(text.as_bytes()).expect("JSON").author();
        let ana = author(r#"{"user":"ana","contact":17,"company":"o-3"}"#).expect("an author");
        assert_eq!((ana.kind, &*ana.id, ana.contact.as_deref()), (AuthorKind::User, "ana", Some("17")));
        let customer = author(r#"{"contact":"c-17"}"#).expect("an author");
        assert_eq!((customer.kind, &*customer.id), (AuthorKind::User, "c-17"));
        assert_eq!(author(r#"{"syncline":"k"}"#).expect("an author").kind, AuthorKind::Ours);
        assert!(told(author("{}")).contains("names no user"));
        assert!(told(author(r#"{"user":"a","system":"b"}"#)).contains("names several"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(at) = read(&bytes) {
                let all = (at.members().is_ok(), at.elements(9).is_ok(), at.time().is_ok(), at.name().is_ok(), at.value().is_ok());
                prop_assert!(all != (true, true, true, true, true));
            }
        }
    }
}

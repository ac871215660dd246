//! What a field is: its type, its rule, and whose edits count.

use serde::{Deserialize, Serialize};

use crate::{
    id::SideName,
    value::{Value, View},
};

/// A field's type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldType {
    /// Any text.
    String,
    /// Text with exactly one `@` and something on either side.
    Email,
    /// A whole number, of any size, as written.
    Integer,
    /// A number, of any size and scale, as written.
    Decimal,
    /// True or false.
    Boolean,
    /// A day, `YYYY-MM-DD`.
    Date,
    /// An instant, RFC 3339.
    Datetime,
    /// One of a list of texts; an empty list allows any.
    Choice(Vec<String>),
    /// A list, in order.
    List,
    /// The id of another record of this kind.
    Reference(String),
    /// The ids of other records of this kind, each once: a [set](FieldType::Set) of references.
    References(String),
    /// Any JSON.
    Any,
    /// A text that merges by characters.
    LongText,
    /// A list without order and repetition that merges by adds and removes.
    Set,
    /// A whole number within 64 bits that merges by the sum of differences.
    Counter,
}

/// How concurrent words on a field are decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// This side's newest word; none from it: the last write wins.
    Authority(SideName),
    /// The newest edit, by corrected time; at equal times the named authority's, then ties.
    LastWriteWins(Option<SideName>),
    /// The oldest edit, by corrected time; at equal times the named authority's, then ties.
    FirstWriteWins(Option<SideName>),
    /// All of them: characters, adds and removes, or the sum of differences.
    Merge,
    /// The greatest value.
    Max,
    /// The smallest value.
    Min,
    /// The last write for reading, and projected nowhere until a person decides.
    Manual,
}

/// What becomes of a record that one side deleted and another edited concurrently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum DeleteRule {
    /// The record is gone.
    DeleteWins,
    /// The record lives.
    EditWins,
    /// A person decides; until then both sides keep what they show.
    #[default]
    Manual,
}

/// Everything merge and projection need to know of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSpec {
    /// The type of its values.
    pub kind: FieldType,
    /// How concurrent words are decided.
    pub rule: Rule,
    /// The sides whose edits count; `None`: all.
    pub write: Option<Vec<SideName>>,
    /// The sides that show the field, with its name there; `None`: all sides, under its own name.
    pub sides: Option<Vec<(SideName, String)>>,
}

impl FieldSpec {
    /// Whether an edit of this side counts.
    pub fn counts(&self, side: &str) -> bool {
        self.write.as_ref().is_none_or(|sides| sides.iter().any(|name| **name == *side))
    }

    /// The field's name on a side; `None` where that side does not show it.
    pub fn name_on<'a>(&'a self, side: &str, own: &'a str) -> Option<&'a str> {
        match &self.sides {
            None => Some(own),
            Some(sides) => sides.iter().find(|(name, _)| **name == *side).map(|(_, there)| there.as_str()),
        }
    }
}

/// Why a value does not fit its field's type; reads on from "the value of FIELD".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Another JSON type was due.
    #[error("is {found}, not {due}")]
    Type {
        /// What it is.
        found: &'static str,
        /// What the type asks for.
        due: &'static str,
    },
    /// The right JSON type, but not of this form.
    #[error("is not {due}")]
    Form {
        /// What the type asks for.
        due: &'static str,
    },
    /// Not of the pattern that the manifest asks for.
    #[error("is not of the form due")]
    Pattern,
    /// Too short or too long.
    #[error("is not of the length due, {due}")]
    Length {
        /// What the manifest asks for.
        due: String,
    },
    /// Too small or too great.
    #[error("is not within {due}")]
    Range {
        /// What the manifest asks for.
        due: String,
    },
    /// Cleared, though a record has to have it.
    #[error("is required")]
    Required,
    /// Not among the choices.
    #[error("is not one of {}", .of.join(", "))]
    Choice {
        /// The choices.
        of: Vec<String>,
    },
}

impl FieldType {
    /// Whether values are elements without order, which merge by adds and removes.
    pub fn is_set(&self) -> bool {
        matches!(self, FieldType::Set | FieldType::References(_))
    }

    /// The kind of the records that values name.
    pub fn refers_to(&self) -> Option<&str> {
        match self {
            FieldType::Reference(kind) | FieldType::References(kind) => Some(kind),
            _ => None,
        }
    }

    /// Checks that a value fits; null, the cleared field, fits every type.
    ///
    /// # Errors
    /// With what was due and, by kind only, what was found: the value itself is never in the text.
    pub fn check(&self, value: &Value) -> Result<(), Misfit> {
        let view = value.view();
        let found = match view {
            View::Null => return Ok(()),
            View::Bool(_) => "true or false",
            View::Number(_) => "a number",
            View::Text(_) => "a text",
            View::List(_) => "a list",
            View::Object(_) => "an object",
        };
        let form = |fits: bool, due| if fits { Ok(()) } else { Err(Misfit::Form { due }) };
        let due = match (self, view) {
            (FieldType::Any, _) => return Ok(()),
            (FieldType::String | FieldType::LongText | FieldType::Reference(_), View::Text(_)) => return Ok(()),
            (FieldType::Boolean, View::Bool(_)) | (FieldType::List, View::List(_)) => return Ok(()),
            (FieldType::Decimal, View::Number(_)) => return Ok(()),
            (FieldType::Integer, View::Number(text)) => return form(is_whole(text), "a whole number"),
            (FieldType::Counter, View::Number(text)) => {
                return form(text.parse::<i64>().is_ok(), "a whole number within 64 bits");
            }
            (FieldType::Email, View::Text(text)) => return form(is_email(text), "an email address"),
            (FieldType::Date, View::Text(text)) => return form(is_date(text), "a date (YYYY-MM-DD)"),
            (FieldType::Datetime, View::Text(text)) => {
                return form(text.parse::<jiff::Timestamp>().is_ok(), "a time (RFC 3339)");
            }
            (FieldType::Choice(of), View::Text(text)) => {
                let fits = of.is_empty() || of.iter().any(|choice| choice == text);
                return if fits { Ok(()) } else { Err(Misfit::Choice { of: of.clone() }) };
            }
            (FieldType::Set, View::List(elements)) => {
                let elements: Vec<Value> = elements.collect();
                let once = elements.iter().enumerate().all(|(i, element)| !elements[..i].contains(element));
                return form(once, "a list without repetition");
            }
            (FieldType::References(_), View::List(elements)) => {
                let elements: Vec<Value> = elements.collect();
                let once = elements.iter().enumerate().all(|(i, element)| !elements[..i].contains(element));
                let texts = elements.iter().all(|element| element.as_text().is_some());
                return form(once && texts, "a list of ids without repetition");
            }
            (FieldType::Boolean, _) => "true or false",
            (FieldType::Decimal | FieldType::Integer | FieldType::Counter, _) => "a number",
            (FieldType::List | FieldType::Set | FieldType::References(_), _) => "a list",
            _ => "a text",
        };
        Err(Misfit::Type { found, due })
    }
}

fn is_whole(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn is_email(text: &str) -> bool {
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    plain
        && matches!(text.split_once('@'), Some((user, host)) if !user.is_empty() && !host.is_empty() && !host.contains('@'))
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// How one side writes a field's values, where that differs from ours. Every form can be read back exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// Our text and the side's for it; a value that is not listed is the same on both.
    pub values: Vec<(String, String)>,
    /// The side's number is ours times ten to this power: 2 where we keep euros and the side keeps cents.
    pub exponent: i8,
    /// How the side writes dates and instants; `None`: as we do, `YYYY-MM-DD` and RFC 3339.
    pub dates: Option<DateForm>,
}

/// How a side writes a date or an instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DateForm {
    /// Milliseconds since 1970-01-01T00:00:00Z; a date is its midnight, UTC.
    EpochMillis,
    /// Seconds since 1970-01-01T00:00:00Z; a date is its midnight, UTC.
    EpochSeconds,
    /// A `strftime` pattern, such as `%d.%m.%Y`; without an offset in it an instant is meant in UTC.
    Pattern(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &FieldType, json: &str) -> Result<(), String> {
        kind.check(&Value::from_json(json).expect("good JSON")).map_err(|misfit| misfit.to_string())
    }

    #[test]
    fn values_fit_their_types_or_say_why_not() {
        let choice = FieldType::Choice(vec!["lead".into(), "customer".into()]);
        let cases = [
            (&FieldType::Integer, "9007199254740993", Ok(())),
            (&FieldType::Integer, "1.5", Err("is not a whole number")),
            (&FieldType::Integer, "\"5\"", Err("is a text, not a number")),
            (&FieldType::Decimal, "1e400", Ok(())),
            (&FieldType::Counter, "9223372036854775808", Err("is not a whole number within 64 bits")),
            (&FieldType::Email, "\"a@b.example\"", Ok(())),
            (&FieldType::Email, "\"a@\"", Err("is not an email address")),
            (&FieldType::Email, "\"a b@c\"", Err("is not an email address")),
            (&FieldType::Date, "\"2024-02-29\"", Ok(())),
            (&FieldType::Date, "\"2023-02-29\"", Err("is not a date (YYYY-MM-DD)")),
            (&FieldType::Datetime, "\"2024-02-29T12:00:00+02:00\"", Ok(())),
            (&FieldType::Datetime, "\"yesterday\"", Err("is not a time (RFC 3339)")),
            (&choice, "\"lead\"", Ok(())),
            (&choice, "\"Lead\"", Err("is not one of lead, customer")),
            (&FieldType::Set, "[\"a\",\"b\"]", Ok(())),
            (&FieldType::Set, "[\"a\",\"a\"]", Err("is not a list without repetition")),
            (&FieldType::List, "{}", Err("is an object, not a list")),
            (&FieldType::Boolean, "0", Err("is a number, not true or false")),
            (&FieldType::Reference("company".into()), "7", Err("is a number, not a text")),
            (&FieldType::References("company".into()), "[\"company/1\"]", Ok(())),
            (&FieldType::References("company".into()), "[7]", Err("is not a list of ids without repetition")),
            (&FieldType::References("company".into()), "\"company/1\"", Err("is a text, not a list")),
            (&FieldType::Any, "{\"a\":[1]}", Ok(())),
        ];
        for (kind, json, due) in cases {
            assert_eq!(check(kind, json), due.map_err(String::from), "{kind:?} {json}");
            assert_eq!(check(kind, "null"), Ok(()));
        }
    }
}

//! What a field is: its type, its rule, and whose edits count.

use serde::{Deserialize, Serialize};

use crate::id::SideName;

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

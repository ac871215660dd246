//! What a field's values have to be beyond their type: their form, their length, their range.

use regex::{Regex, RegexBuilder};
use serde::{Serialize, Serializer};

use crate::{
    field::{FieldType, Misfit},
    value::{Value, View, compare_numbers},
};

/// How much memory a compiled pattern may take, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// The limits of one field; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The form of texts.
    pub pattern: Option<Pattern>,
    /// The length of texts in characters, of lists and sets in elements.
    pub length: Option<Bounds<u64>>,
    /// The range of numbers, dates and times.
    pub range: Option<Bounds<Value>>,
}

/// From one value to another, both included; at least one of the two is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bounds<T> {
    /// The smallest.
    pub min: Option<T>,
    /// The greatest.
    pub max: Option<T>,
}

/// A regular expression that a whole text has to fit.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Reads a pattern; `None` if it is none, or takes too much memory.
    pub fn new(text: &str) -> Option<Pattern> {
        // Read by itself first: a bracket too many must not end the one around it.
        RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build().ok()?;
        let whole = format!("^(?:{text})$");
        let regex = RegexBuilder::new(&whole).size_limit(PATTERN_BYTES_MAX).build().ok()?;
        Some(Pattern { text: text.to_owned(), regex })
    }

    /// Whether a text fits, from its beginning to its end.
    pub fn fits(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl Limits {
    /// Checks a value that fits its type; null, the cleared field, is within all limits.
    ///
    /// # Errors
    /// With the first limit that it breaks.
    pub fn check(&self, kind: &FieldType, value: &Value) -> Result<(), Misfit> {
        let view = value.view();
        if let (Some(pattern), View::Text(text)) = (&self.pattern, &view)
            && !pattern.fits(text)
        {
            return Err(Misfit::Pattern);
        }
        if let Some(bounds) = &self.length {
            let (length, unit) = match view {
                View::Text(text) => (text.chars().count() as u64, "characters"),
                View::List(elements) => (elements.count() as u64, "elements"),
                _ => return Ok(()),
            };
            if bounds.min.is_some_and(|min| length < min) || bounds.max.is_some_and(|max| length > max) {
                return Err(Misfit::Length { due: format!("{} {unit}", bounds.told(ToString::to_string)) });
            }
        }
        if let Some(bounds) = &self.range
            && !value.is_null()
        {
            let below = bounds.min.as_ref().is_some_and(|min| compare(kind, value, min).is_lt());
            let above = bounds.max.as_ref().is_some_and(|max| compare(kind, value, max).is_gt());
            if below || above {
                return Err(Misfit::Range { due: bounds.told(ToString::to_string) });
            }
        }
        Ok(())
    }
}

/// Compares two values of a type that has an order: numbers, dates, times.
pub fn compare(kind: &FieldType, a: &Value, b: &Value) -> std::cmp::Ordering {
    match (kind, a.view(), b.view()) {
        (_, View::Number(a), View::Number(b)) => compare_numbers(a, b),
        (FieldType::Datetime, View::Text(a), View::Text(b)) => {
            a.parse::<jiff::Timestamp>().ok().cmp(&b.parse::<jiff::Timestamp>().ok())
        }
        _ => a.cmp(b),
    }
}

impl<T> Bounds<T> {
    fn told(&self, print: impl Fn(&T) -> String) -> String {
        match (&self.min, &self.max) {
            (Some(min), Some(max)) => format!("{} to {}", print(min), print(max)),
            (Some(min), None) => format!("at least {}", print(min)),
            (None, Some(max)) => format!("at most {}", print(max)),
            (None, None) => "any".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        Value::from_json(text).expect("good JSON")
    }

    fn told(limits: &Limits, kind: &FieldType, value: &str) -> Option<String> {
        limits.check(kind, &json(value)).err().map(|misfit| misfit.to_string())
    }

    #[test]
    fn a_pattern_holds_for_the_whole_text() {
        let limits = Limits { pattern: Pattern::new(r"\+\d+|none"), ..Limits::default() };
        for (value, fits) in
            [("+1", true), ("none", true), ("+1 ", false), ("x+1", false), ("+1\\n", false), ("", false)]
        {
            let told = told(&limits, &FieldType::String, &format!("\"{value}\""));
            assert_eq!(told.is_none(), fits, "{value:?}");
        }
        assert!(Pattern::new("a)(b").is_none(), "brackets are closed within the pattern");
        assert!(Pattern::new("(").is_none());
        assert!(Pattern::new("x{1000}{1000}").is_none(), "it would take too much memory");
    }

    #[test]
    fn lengths_count_characters_or_elements() {
        let limits = Limits { length: Some(Bounds { min: Some(2), max: Some(3) }), ..Limits::default() };
        assert_eq!(told(&limits, &FieldType::String, "\"äöü\""), None);
        assert_eq!(told(&limits, &FieldType::Set, r#"["a","b"]"#), None);
        assert_eq!(told(&limits, &FieldType::String, "null"), None);
        let is_not = |told: Option<String>| told.expect("it does not fit");
        assert_eq!(is_not(told(&limits, &FieldType::String, "\"a\"")), "is not of the length due, 2 to 3 characters");
        assert_eq!(is_not(told(&limits, &FieldType::List, "[1,2,3,4]")), "is not of the length due, 2 to 3 elements");
    }

    #[test]
    fn ranges_go_by_value_and_by_instant() {
        let of = |min: &str, max: &str| Limits {
            range: Some(Bounds { min: Some(json(min)), max: Some(json(max)) }),
            ..Limits::default()
        };
        let numbers = of("-1", "1e3");
        assert_eq!(told(&numbers, &FieldType::Decimal, "1000.0"), None);
        assert_eq!(told(&numbers, &FieldType::Decimal, "1000.0001").as_deref(), Some("is not within -1 to 1e3"));
        let days = of("\"2026-01-01\"", "\"2026-12-31\"");
        assert_eq!(told(&days, &FieldType::Date, "\"2026-02-28\""), None);
        assert!(told(&days, &FieldType::Date, "\"2025-12-31\"").is_some());
        let times = of("\"2026-01-01T00:00:00Z\"", "\"2026-01-02T00:00:00Z\"");
        assert_eq!(told(&times, &FieldType::Datetime, "\"2026-01-01T01:00:00+01:00\""), None);
        assert!(told(&times, &FieldType::Datetime, "\"2026-01-01T00:30:00+01:00\"").is_some());
    }
}

//! What a pretend portal makes of values: some it refuses, some it writes in its own way.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A value that is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    /// The field.
    pub field: String,
    /// What the value's text holds if it is refused; empty: every value but null is.
    #[serde(default)]
    pub holds: String,
    /// What the portal says then.
    pub reason: String,
}

/// A value that is put into another form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    /// The field.
    pub field: String,
    /// How.
    pub shape: Shape,
}

/// A form for texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Without white space around it.
    Trimmed,
    /// In small letters.
    Lower,
    /// The digits and a leading plus sign alone.
    Digits,
    /// The first twenty characters.
    Short,
}

/// Why a field's value is refused, if it is.
pub(super) fn refused(rules: &[Refuse], field: &str, value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    rules.iter().find(|rule| rule.field == field && text.contains(&rule.holds)).map(|rule| rule.reason.clone())
}

/// What the portal makes of a value.
pub(super) fn reshaped(rules: &[Reshape], field: &str, value: Value) -> Value {
    rules.iter().filter(|rule| rule.field == field).fold(value, |value, rule| match value {
        Value::String(text) => Value::String(shaped(rule.shape, &text)),
        other => other,
    })
}

fn shaped(shape: Shape, text: &str) -> String {
    match shape {
        Shape::Trimmed => text.trim().to_owned(),
        Shape::Lower => text.to_lowercase(),
        Shape::Digits => {
            let plus = if text.trim_start().starts_with('+') { "+" } else { "" };
            text.chars()
                .filter(char::is_ascii_digit)
                .fold(plus.to_owned(), |text, digit| text + digit.encode_utf8(&mut [0; 4]))
        }
        Shape::Short => text.chars().take(20).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_refused_and_reshaped_by_rule() {
        let refuse = [Refuse { field: "phone".into(), holds: "x".into(), reason: "no letters".into() }];
        assert_eq!(refused(&refuse, "phone", &json!("12x")).as_deref(), Some("no letters"));
        assert_eq!(refused(&refuse, "phone", &json!("12")), None);
        assert_eq!(refused(&refuse, "name", &json!("x")), None);
        assert_eq!(refused(&refuse, "phone", &Value::Null), None);
        let rule = |shape| [Reshape { field: "phone".into(), shape }];
        assert_eq!(reshaped(&rule(Shape::Digits), "phone", json!(" +1 (555) 01")), json!("+155501"));
        assert_eq!(reshaped(&rule(Shape::Lower), "phone", json!("AbC")), json!("abc"));
        assert_eq!(reshaped(&rule(Shape::Trimmed), "name", json!(" a ")), json!(" a "));
        assert_eq!(reshaped(&rule(Shape::Short), "phone", json!(7)), json!(7));
    }
}

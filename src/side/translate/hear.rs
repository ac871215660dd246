//! From a side's value to ours, in the normal form of the field's type.

use super::{
    Heard, Translation,
    date::{self, Bare},
    number,
};
use crate::{
    field::{FieldType, Form},
    manifest::Field,
    value::{Value, View},
};

/// What is agreed on a value that is read.
struct Agreed<'a> {
    kind: &'a FieldType,
    form: &'a Form,
    bare: Bare,
    /// From the side's own id, and the kind it is of, to the record's id.
    link: &'a dyn Fn(&str, &str) -> Option<String>,
}

/// The normal form of a value of ours; one that does not fit the type stays as it is.
///
/// For values that a program says or an import brings: in normal form they compare equal to what sides show of them.
pub fn normal(kind: &FieldType, value: &Value) -> Value {
    if kind.check(value).is_err() {
        return value.clone();
    }
    let agreed = Agreed { kind, form: &Form::default(), bare: Bare::Nothing, link: &|_, _| None };
    agreed.json(value).unwrap_or_else(|| value.clone())
}

pub(super) fn text(translation: &Translation, field: Option<&Field>, text: &str) -> Heard {
    if text.is_empty() {
        return Heard { value: Value::null(), misfit: None };
    }
    with(translation, field, Bare::Millis, Value::text(text), |agreed| agreed.text(text))
}

pub(super) fn json(translation: &Translation, field: Option<&Field>, value: &Value) -> Heard {
    with(translation, field, Bare::Nothing, value.clone(), |agreed| agreed.json(value))
}

/// Reads by what is agreed; what cannot be read stays as it is.
fn with(
    translation: &Translation,
    field: Option<&Field>,
    bare: Bare,
    written: Value,
    read: impl Fn(&Agreed<'_>) -> Option<Value>,
) -> Heard {
    let link = |to: &str, link: &str| translation.links.record(to, &translation.side, link).map(|id| id.to_string());
    let kind = field.map_or(&FieldType::Any, |field| &field.spec.kind);
    let plain = Form::default();
    let form = field.and_then(|field| translation.form(field)).unwrap_or(&plain);
    let value = read(&Agreed { kind, form, bare, link: &link }).unwrap_or(written);
    let misfit = kind.check(&value).err();
    Heard { value, misfit }
}

impl Agreed<'_> {
    /// A value that the side wrote as a text.
    fn text(&self, text: &str) -> Option<Value> {
        match self.kind {
            FieldType::References(to) => {
                let links = text.split(';').filter(|link| !link.is_empty());
                let ids = links.map(|link| Some(Value::text(&(self.link)(to, link)?)));
                Some(self.list(ids.collect::<Option<_>>()?))
            }
            FieldType::List | FieldType::Set => {
                let elements = text.split(';').filter(|element| !element.is_empty());
                Some(self.list(elements.map(|element| Value::text(self.ours(element))).collect()))
            }
            _ => self.json(&Value::text(text)),
        }
    }

    /// A value that the side wrote in JSON; `None` if it cannot be read as what it is to be.
    fn json(&self, value: &Value) -> Option<Value> {
        match (self.kind, value.view()) {
            (_, View::Null) | (_, View::Text("")) => Some(Value::null()),
            (FieldType::Integer | FieldType::Decimal | FieldType::Counter, View::Number(text) | View::Text(text)) => {
                self.number(text)
            }
            (FieldType::Boolean, View::Number(text) | View::Text(text)) => self.truth(text),
            (FieldType::Date, View::Number(text) | View::Text(text)) => {
                date::hear_day(text, self.form.dates.as_ref(), self.bare).map(|day| Value::text(&day))
            }
            (FieldType::Datetime, View::Number(text) | View::Text(text)) => {
                date::hear_instant(text, self.form.dates.as_ref(), self.bare).map(|instant| Value::text(&instant))
            }
            (FieldType::Reference(to), View::Number(text) | View::Text(text)) => {
                (self.link)(to, text).map(|id| Value::text(&id))
            }
            (FieldType::References(to), View::List(elements)) => {
                let id = |element: Value| match element.view() {
                    View::Number(link) | View::Text(link) => Some(Value::text(&(self.link)(to, link)?)),
                    _ => None,
                };
                Some(self.list(elements.map(id).collect::<Option<_>>()?))
            }
            (FieldType::List | FieldType::Set, View::List(elements)) => {
                Some(self.list(elements.map(|element| self.element(element)).collect()))
            }
            (FieldType::Any, View::Number(text)) => self.number(text),
            (_, View::Text(text)) => Some(Value::text(self.ours(text))),
            _ => None,
        }
    }

    fn number(&self, text: &str) -> Option<Value> {
        let normal = number::normal(text, -self.form.exponent)?;
        Some(Value::from_json(&normal).expect("a number in normal form is JSON"))
    }

    fn truth(&self, text: &str) -> Option<Value> {
        let ours = self.ours(text);
        let is = |word: &str| ours.eq_ignore_ascii_case(word);
        (is("true") || is("false")).then(|| Value::bool(is("true")))
    }

    fn element(&self, element: Value) -> Value {
        match element.view() {
            View::Text(text) => Value::text(self.ours(text)),
            View::Number(text) => number::normal(text, 0)
                .and_then(|normal| Value::from_json(&normal).ok())
                .unwrap_or_else(|| element.clone()),
            _ => element,
        }
    }

    /// A list in normal form: null if it is empty, and a set in the order in which the engine keeps sets.
    fn list(&self, mut elements: Vec<Value>) -> Value {
        if elements.is_empty() {
            return Value::null();
        }
        if self.kind.is_set() {
            elements.sort();
            elements.dedup();
        }
        Value::list(&elements)
    }

    fn ours<'a>(&'a self, theirs: &'a str) -> &'a str {
        self.form.values.iter().find(|(_, there)| there == theirs).map_or(theirs, |(ours, _)| ours)
    }
}

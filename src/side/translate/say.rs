//! From our value to a side's, such that the side can give it back the same.

use super::{Translation, date, number};
use crate::{
    field::{DateForm, FieldType, Form},
    id::RecordId,
    manifest::Field,
    value::{Value, View},
};

/// Why a value cannot be written on a side; reads on from "the value of FIELD".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsaid {
    /// The side joins lists by `;` and knows texts alone.
    #[error("has an element that is empty, no text, or holds a `;`: the side could not tell it from its neighbours")]
    Element,
    /// It is not mapped, and the side's word for it means something else.
    #[error("is a text that the side writes for another value: give it one of its own under `values`")]
    Taken,
    /// It refers to a record that the side does not have, or not yet.
    #[error("refers to {0}, which the side does not have yet")]
    Unlinked(RecordId),
}

/// What is agreed on a value that is written.
struct Agreed<'a> {
    translation: &'a Translation,
    kind: &'a FieldType,
    form: &'a Form,
}

pub(super) fn text(translation: &Translation, field: Option<&Field>, value: &Value) -> Result<String, Unsaid> {
    let form = Form::default();
    let agreed = Agreed::of(translation, field, &form);
    let said = agreed.json(value)?;
    match (agreed.kind, said.view()) {
        (_, View::Null) => Ok(String::new()),
        (FieldType::List | FieldType::Set | FieldType::References(_), View::List(elements)) => {
            let elements: Vec<Value> = elements.collect();
            let is_plain = |text: &&str| !text.is_empty() && !text.contains(';');
            let texts = elements.iter().map(|element| element.as_text().filter(is_plain).ok_or(Unsaid::Element));
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join(";"))
        }
        _ => Ok(said.to_string()),
    }
}

pub(super) fn json(translation: &Translation, field: Option<&Field>, value: &Value) -> Result<Value, Unsaid> {
    let form = Form::default();
    Agreed::of(translation, field, &form).json(value)
}

impl<'a> Agreed<'a> {
    fn of(translation: &'a Translation, field: Option<&'a Field>, plain: &'a Form) -> Self {
        let kind = field.map_or(&FieldType::Any, |field| &field.spec.kind);
        let form = field.and_then(|field| translation.form(field)).unwrap_or(plain);
        Agreed { translation, kind, form }
    }

    /// The value as JSON. One that does not fit its type goes out as it is, as it came in.
    fn json(&self, value: &Value) -> Result<Value, Unsaid> {
        if self.kind.check(value).is_err() {
            return Ok(value.clone());
        }
        let normal = super::normal(self.kind, value);
        let said = match (self.kind, normal.view()) {
            (FieldType::Integer | FieldType::Decimal | FieldType::Counter | FieldType::Any, View::Number(text)) => {
                number::normal(text, self.form.exponent).and_then(|text| Value::from_json(&text).ok())
            }
            (FieldType::Boolean, View::Bool(truth)) => {
                let mapped = self.mapped(if truth { "true" } else { "false" });
                Some(mapped.map_or_else(|| Value::bool(truth), Value::text))
            }
            (FieldType::Date, View::Text(text)) => {
                date::say_day(text, self.form.dates.as_ref()).map(|text| self.dated(&text))
            }
            (FieldType::Datetime, View::Text(text)) => {
                date::say_instant(text, self.form.dates.as_ref()).map(|text| self.dated(&text))
            }
            (FieldType::Reference(_), View::Text(text)) => Some(Value::text(&self.link(text)?)),
            (FieldType::References(_), View::List(elements)) => {
                let link = |element: Value| Ok(Value::text(&self.link(element.as_text().unwrap_or_default())?));
                let mut links = elements.map(link).collect::<Result<Vec<_>, Unsaid>>()?;
                links.sort();
                Some(Value::list(&links))
            }
            (FieldType::List | FieldType::Set, View::List(elements)) => {
                let elements = elements.map(|element| self.element(element)).collect::<Result<Vec<_>, _>>()?;
                Some(Value::list(&elements))
            }
            (_, View::Text(text)) => Some(Value::text(self.theirs(text)?)),
            _ => None,
        };
        Ok(said.unwrap_or(normal))
    }

    /// A date that is written as a number is one in JSON.
    fn dated(&self, text: &str) -> Value {
        match self.form.dates {
            Some(DateForm::EpochMillis | DateForm::EpochSeconds) => {
                Value::from_json(text).expect("a whole number is JSON")
            }
            _ => Value::text(text),
        }
    }

    fn element(&self, element: Value) -> Result<Value, Unsaid> {
        match element.view() {
            View::Text(text) => Ok(Value::text(self.theirs(text)?)),
            _ => Ok(element),
        }
    }

    fn mapped(&self, ours: &str) -> Option<&str> {
        self.form.values.iter().find(|(own, _)| own == ours).map(|(_, theirs)| theirs.as_str())
    }

    fn theirs<'b>(&'b self, ours: &'b str) -> Result<&'b str, Unsaid> {
        match self.mapped(ours) {
            Some(theirs) => Ok(theirs),
            None if self.form.values.iter().any(|(_, theirs)| theirs == ours) => Err(Unsaid::Taken),
            None => Ok(ours),
        }
    }

    /// The side's own id of the record that a reference names.
    fn link(&self, text: &str) -> Result<Box<str>, Unsaid> {
        // A reference that names no record of ours came from the side as it is.
        let Ok(record) = RecordId::new(text) else { return Ok(text.into()) };
        let side = &self.translation.side;
        if let Some(link) = self.translation.links.link(&record, side) {
            return Ok(link);
        }
        match record.side_and_link() {
            Some((named, link)) if *named == **side => Ok(link.into()),
            _ => Err(Unsaid::Unlinked(record)),
        }
    }
}

//! A person's decision on a field.

use std::io::Write;

use serde::Serialize;

use super::{
    args::Decide,
    failure::{End, Failure},
    open::Place,
    tell,
};
use crate::{
    engine::Said,
    event::Author,
    history::{Decision, Principal},
    value::Value,
};

#[derive(Serialize)]
struct Decided {
    record: String,
    field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    sentence: String,
}

/// Settles a field: all that now stands on it is superseded.
pub fn decide(args: &Decide, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let value = value_of(&args.value)?;
    let open = place.open()?;
    let decision = Decision::of(&args.record, &args.field, value).by(Author::user(&args.by)).because(&args.why);
    let said = open.engine.decide(&Principal::operator(), decision)?;
    let verdict = open.engine.read(&Principal::operator()).why(&args.record, &args.field)?;
    let seq = match said {
        Said::New { seq, .. } => Some(seq.0),
        Said::Duplicate => None,
    };
    open.close()?;
    let sentence = verdict.map_or_else(String::new, |verdict| verdict.sentence);
    let decided = Decided { record: args.record.clone(), field: args.field.clone(), seq, sentence };
    match place.json {
        true => tell::json(out, &decided)?,
        false => writeln!(out, "{}", tell::plain(&decided.sentence))?,
    }
    Ok(End::Done)
}

/// A value as people write it: JSON, or else the text itself.
fn value_of(text: &str) -> Result<Value, Failure> {
    let value = match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        Ok(raw) => Value::from_raw(raw),
        Err(_) => Ok(Value::text(text)),
    };
    value.map_err(|why| Failure::Use(format!("the value {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_or_the_text_itself() {
        let read = |text: &str| value_of(text).expect("a value").to_json();
        assert_eq!(read("12.50"), "12.50");
        assert_eq!(read("\"12\""), "\"12\"");
        assert_eq!(read("null"), "null");
        assert_eq!(read("+1-555-0100"), "\"+1-555-0100\"");
        assert_eq!(read("[\"a\"]"), "[\"a\"]");
    }
}

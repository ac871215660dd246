//! How answers print as JSON: values as they are, ids in hex, times for programs and for people.

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{clock::Millis, id::FieldName, merge::Reason, value::Value};

/// A value as the JSON it stands for.
pub fn value<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    value.to_raw().serialize(serializer)
}

/// Anything by its printed form.
pub fn printed<T: std::fmt::Display, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// A reason by its name.
pub fn reason<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.name())
}

/// Fields and values as one object.
pub fn fields<S: Serializer>(fields: &[(FieldName, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(name, value)| (name, value.to_raw())))
}

/// `said_at` in RFC 3339 and `said_at_ms`.
pub fn said_at<S: Serializer>(at: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    both(["said_at", "said_at_ms"], Some(*at), serializer)
}

/// `heard_at` in RFC 3339 and `heard_at_ms`.
pub fn heard_at<S: Serializer>(at: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    both(["heard_at", "heard_at_ms"], Some(*at), serializer)
}

/// As [`heard_at`]; both null where nothing was heard.
pub fn ever_heard_at<S: Serializer>(at: &Option<Millis>, serializer: S) -> Result<S::Ok, S::Error> {
    both(["heard_at", "heard_at_ms"], *at, serializer)
}

fn both<S: Serializer>(names: [&str; 2], at: Option<Millis>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry(names[0], &at.map(|at| at.to_string()))?;
    map.serialize_entry(names[1], &at)?;
    map.end()
}

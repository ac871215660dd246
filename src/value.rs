//! Values: what a side says of one field, as canonical bytes.
//!
//! A [`Value`] *is* its canonical bytes, so two values are equal exactly when their bytes are, and
//! storing or hashing one is a copy. Numbers keep the text in which they were written: `0.10`,
//! `9007199254740993` and `1e400` come back as they came.
//!
//! | first byte | then |
//! |---|---|
//! | 0 null, 1 false, 2 true | nothing |
//! | 3 number | its JSON text |
//! | 4 text | UTF-8 |
//! | 5 list | for each element: length (LEB128), its bytes |
//! | 6 object | for each member, keys ascending: key length, key, value length, value bytes |

use std::{borrow::Cow, cmp::Ordering, fmt, sync::Arc};

use serde::{Deserialize, Serialize, de};
use serde_json::value::RawValue;

/// The largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// The deepest nesting of lists and objects in a value.
pub const VALUE_DEPTH_MAX: usize = 64;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NUMBER: u8 = 3;
const TEXT: u8 = 4;
const LIST: u8 = 5;
const OBJECT: u8 = 6;

/// One field's value. Ordered and equal by its canonical bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Arc<[u8]>);

/// A value taken apart, one level deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View<'a> {
    /// Nothing: a cleared field.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A text.
    Text(&'a str),
    /// A list.
    List(Elements<'a>),
    /// An object.
    Object(Members<'a>),
}

/// Why a text or some bytes are no value.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// Not JSON.
    #[error("is not JSON")]
    Json(#[from] serde_json::Error),
    /// Larger than [`VALUE_BYTES_MAX`].
    #[error("takes {0} bytes, more than {VALUE_BYTES_MAX}")]
    TooLarge(usize),
    /// Nested deeper than [`VALUE_DEPTH_MAX`].
    #[error("is nested more than {VALUE_DEPTH_MAX} deep")]
    TooDeep,
    /// An object says one key twice.
    #[error("says the key {0:?} twice")]
    KeyTwice(String),
    /// Bytes that are not the canonical bytes of any value.
    #[error("is not in canonical bytes")]
    NotCanonical,
}

impl Value {
    /// The cleared field.
    pub fn null() -> Self {
        Value(Arc::from([NULL]))
    }

    /// A truth value.
    pub fn bool(truth: bool) -> Self {
        Value(Arc::from([if truth { TRUE } else { FALSE }]))
    }

    /// A whole number.
    pub fn integer(number: i64) -> Self {
        Self::tagged(NUMBER, &number.to_string())
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self::tagged(TEXT, text)
    }

    /// A list of values.
    pub fn list<'a>(elements: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut bytes = vec![LIST];
        for element in elements {
            put_sized(&mut bytes, &element.0);
        }
        Value(bytes.into())
    }

    fn tagged(tag: u8, text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.push(tag);
        bytes.extend_from_slice(text.as_bytes());
        Value(bytes.into())
    }

    /// Reads a value from JSON text; numbers keep their spelling.
    ///
    /// # Errors
    /// If the text is not JSON, too large, too deep, or repeats a key.
    pub fn from_json(text: &str) -> Result<Self, ValueError> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Self::from_raw(raw)
    }

    /// As [`Value::from_json`], from JSON that serde has already found well-formed.
    ///
    /// # Errors
    /// If it is too large, too deep, or repeats a key.
    pub fn from_raw(raw: &RawValue) -> Result<Self, ValueError> {
        let text = raw.get();
        if text.len() > VALUE_BYTES_MAX {
            return Err(ValueError::TooLarge(text.len()));
        }
        let mut bytes = Vec::with_capacity(text.len() + 8);
        put_json(&mut bytes, text, 0)?;
        // Many small elements take more room than their text.
        match bytes.len() > VALUE_BYTES_MAX {
            true => Err(ValueError::TooLarge(bytes.len())),
            false => Ok(Value(bytes.into())),
        }
    }

    /// Takes canonical bytes that came from elsewhere, however many: what several words make together may be larger than each
    /// of them.
    ///
    /// # Errors
    /// If they are not exactly what this version would have written.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, ValueError> {
        check_canonical(bytes, 0)?;
        Ok(Value(bytes.into()))
    }

    /// The canonical bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value, one level taken apart.
    pub fn view(&self) -> View<'_> {
        view(&self.0)
    }

    /// Whether the field is cleared.
    pub fn is_null(&self) -> bool {
        self.0[0] == NULL
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self.view() {
            View::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number as an `i64`, if it is a whole number of that size.
    pub fn as_i64(&self) -> Option<i64> {
        match self.view() {
            View::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The value as JSON text, keys ascending, no white space.
    pub fn to_json(&self) -> String {
        let mut text = String::with_capacity(self.0.len() + 8);
        write_json(&mut text, &self.0);
        text
    }

    /// The value as raw JSON, for serde.
    pub fn to_raw(&self) -> Box<RawValue> {
        RawValue::from_string(self.to_json()).expect("canonical bytes print as JSON")
    }

    /// Compares by meaning where both are numbers, else by canonical bytes; null is smallest.
    pub fn compare(&self, other: &Value) -> Ordering {
        match (self.view(), other.view()) {
            (View::Number(a), View::Number(b)) => compare_numbers(a, b).then_with(|| self.cmp(other)),
            _ => self.cmp(other),
        }
    }
}

impl fmt::Display for Value {
    /// A text bare, everything else as JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.view() {
            View::Text(text) => f.write_str(text),
            _ => f.write_str(&self.to_json()),
        }
    }
}

impl fmt::Debug for Value {
    // A customer's data does not belong in debug output, so only shape and size are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = ["null", "false", "true", "number", "text", "list", "object"];
        write!(f, "Value({}, {} bytes)", shape[usize::from(self.0[0])], self.0.len())
    }
}

/// A text that may repeat a customer's data, as debug output shows it: only its size.
pub(crate) struct Veiled<'a>(pub &'a str);

impl fmt::Debug for Veiled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value's canonical bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
                Value::from_canonical(bytes).map_err(E::custom)
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// The elements of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elements<'a>(&'a [u8]);

impl Iterator for Elements<'_> {
    type Item = Value;
    fn next(&mut self) -> Option<Value> {
        (!self.0.is_empty()).then(|| Value(take_sized(&mut self.0).into()))
    }
}

/// The members of an object, keys ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members<'a>(&'a [u8]);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Value);
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let key = utf8(take_sized(&mut self.0));
        Some((key, Value(take_sized(&mut self.0).into())))
    }
}

fn view(bytes: &[u8]) -> View<'_> {
    match (bytes[0], &bytes[1..]) {
        (NULL, _) => View::Null,
        (FALSE, _) => View::Bool(false),
        (TRUE, _) => View::Bool(true),
        (NUMBER, rest) => View::Number(utf8(rest)),
        (TEXT, rest) => View::Text(utf8(rest)),
        (LIST, rest) => View::List(Elements(rest)),
        (_, rest) => View::Object(Members(rest)),
    }
}

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text in a value was checked when the value was made")
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn try_take_sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        // A last group of zero would be a longer spelling of the same length.
        if shift > 28 || (byte == 0 && shift > 0) {
            return None;
        }
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn take_sized<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    try_take_sized(bytes).expect("lengths in a value were checked when the value was made")
}

/// Appends the canonical bytes of the JSON `text`, which is well-formed and without outer white space.
fn put_json(out: &mut Vec<u8>, text: &str, depth: usize) -> Result<(), ValueError> {
    if depth > VALUE_DEPTH_MAX {
        return Err(ValueError::TooDeep);
    }
    match text.as_bytes()[0] {
        b'n' => out.push(NULL),
        b'f' => out.push(FALSE),
        b't' => out.push(TRUE),
        b'"' => {
            out.push(TEXT);
            out.extend_from_slice(unquote(text)?.as_bytes());
        }
        b'[' => {
            out.push(LIST);
            for element in serde_json::from_str::<Vec<&RawValue>>(text)? {
                put_sized(out, &nested(element.get(), depth)?);
            }
        }
        b'{' => {
            out.push(OBJECT);
            let mut members = serde_json::from_str::<RawMembers>(text)?.0;
            members.sort_by(|a, b| a.0.cmp(&b.0));
            if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(ValueError::KeyTwice(pair[0].0.chars().take(64).collect()));
            }
            for (key, value) in members {
                put_sized(out, key.as_bytes());
                put_sized(out, &nested(value.get(), depth)?);
            }
        }
        _ => {
            out.push(NUMBER);
            out.extend_from_slice(text.as_bytes());
        }
    }
    Ok(())
}

fn nested(text: &str, depth: usize) -> Result<Vec<u8>, ValueError> {
    let mut bytes = Vec::with_capacity(text.len());
    put_json(&mut bytes, text, depth + 1)?;
    Ok(bytes)
}

/// The text between the quotes of a JSON string; borrowed where nothing is escaped.
fn unquote(text: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    if text.as_bytes().contains(&b'\\') {
        Ok(Cow::Owned(serde_json::from_str(text)?))
    } else {
        Ok(Cow::Borrowed(&text[1..text.len() - 1]))
    }
}

/// The members of a JSON object in the order written, repetitions included.
pub struct RawMembers<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawMembers<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> de::Visitor<'de> for Object<'a> {
            type Value = RawMembers<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(12);
                while let Some(RawKey(key)) = map.next_key()? {
                    members.push((key, map.next_value()?));
                }
                Ok(RawMembers(members))
            }
        }
        deserializer.deserialize_map(Object(std::marker::PhantomData))
    }
}

/// An object's key, borrowed where nothing in it is escaped.
struct RawKey<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for RawKey<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> de::Visitor<'de> for Key<'a> {
            type Value = RawKey<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<RawKey<'a>, E> {
                Ok(RawKey(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<RawKey<'a>, E> {
                Ok(RawKey(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Key(std::marker::PhantomData))
    }
}

fn write_json(out: &mut String, bytes: &[u8]) {
    match view(bytes) {
        View::Null => out.push_str("null"),
        View::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
        View::Number(text) => out.push_str(text),
        View::Text(text) => out.push_str(&quote(text)),
        View::List(mut elements) => {
            out.push('[');
            let mut first = true;
            while !elements.0.is_empty() {
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                write_json(out, take_sized(&mut elements.0));
            }
            out.push(']');
        }
        View::Object(mut members) => {
            out.push('{');
            let mut first = true;
            while !members.0.is_empty() {
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                out.push_str(&quote(utf8(take_sized(&mut members.0))));
                out.push(':');
                write_json(out, take_sized(&mut members.0));
            }
            out.push('}');
        }
    }
}

/// The text as a JSON string.
pub fn quote(text: &str) -> String {
    serde_json::to_string(text).expect("a text prints as JSON")
}

fn check_canonical(bytes: &[u8], depth: usize) -> Result<(), ValueError> {
    let bad = ValueError::NotCanonical;
    if depth > VALUE_DEPTH_MAX {
        return Err(ValueError::TooDeep);
    }
    let (tag, mut rest) = bytes.split_first().ok_or(ValueError::NotCanonical)?;
    match *tag {
        NULL | FALSE | TRUE if rest.is_empty() => Ok(()),
        TEXT => std::str::from_utf8(rest).map(|_| ()).map_err(|_| bad),
        NUMBER => {
            let text = std::str::from_utf8(rest).map_err(|_| ValueError::NotCanonical)?;
            let raw: &RawValue = serde_json::from_str(text)?;
            let number = matches!(text.as_bytes()[0], b'-' | b'0'..=b'9') && raw.get().len() == text.len();
            if number { Ok(()) } else { Err(bad) }
        }
        LIST => {
            while !rest.is_empty() {
                check_canonical(try_take_sized(&mut rest).ok_or(ValueError::NotCanonical)?, depth + 1)?;
            }
            Ok(())
        }
        OBJECT => {
            let mut before: Option<&str> = None;
            while !rest.is_empty() {
                let key = try_take_sized(&mut rest).ok_or(ValueError::NotCanonical)?;
                let key = std::str::from_utf8(key).map_err(|_| ValueError::NotCanonical)?;
                if before.is_some_and(|before| before >= key) {
                    return Err(bad);
                }
                before = Some(key);
                check_canonical(try_take_sized(&mut rest).ok_or(ValueError::NotCanonical)?, depth + 1)?;
            }
            Ok(())
        }
        _ => Err(bad),
    }
}

/// Compares two JSON numbers exactly, whatever their size; `1.0`, `1` and `10e-1` are equal.
pub fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (Decimal::parse(a), Decimal::parse(b));
    match (a.sign(), b.sign()) {
        (x, y) if x != y => x.cmp(&y),
        (0, _) => Ordering::Equal,
        (1, _) => a.magnitude(&b),
        _ => b.magnitude(&a),
    }
}

/// A number as 0.DIGITS times ten to a power, without leading or trailing zeros in the digits.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    power: i128,
}

impl Decimal {
    fn parse(text: &str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // An exponent beyond this range compares as the range's end.
        let exponent: i128 =
            exponent.parse::<i128>().unwrap_or(if exponent.starts_with('-') { -(1 << 100) } else { 1 << 100 });
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        let trailing = digits[leading..].iter().rev().take_while(|digit| **digit == b'0').count();
        Decimal {
            negative,
            power: whole.len() as i128 + exponent.clamp(-(1 << 100), 1 << 100) - leading as i128,
            digits: digits[leading..digits.len() - trailing].to_vec(),
        }
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (_, true) => -1,
            _ => 1,
        }
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        self.power.cmp(&other.power).then_with(|| self.digits.cmp(&other.digits))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> Value {
        Value::from_json(text).expect("good JSON")
    }

    #[test]
    fn numbers_come_back_as_written() {
        for number in ["9007199254740993", "0.10", "1e400", "-0", "1E+2", "123456789012345678901234567890.10"] {
            assert_eq!(json(number).to_json(), number);
        }
    }

    #[test]
    fn bytes_are_pinned() {
        assert_eq!(json("null").as_bytes(), [0]);
        assert_eq!(
            json(r#"{"b":[1,"é"],"a":true}"#).as_bytes(),
            b"\x06\x01a\x01\x02\x01b\x08\x05\x02\x031\x03\x04\xc3\xa9"
        );
        assert_ne!(json(r#""""#), json(r#""\u0000""#));
        assert_ne!(json(r#"[""]"#), json("[]"));
    }

    #[test]
    fn keys_are_sorted_and_must_not_repeat() {
        assert_eq!(json(r#"{"b":1,"a":2}"#), json(r#" {"a": 2, "b": 1} "#));
        assert!(matches!(Value::from_json(r#"{"a":1,"\u0061":2}"#), Err(ValueError::KeyTwice(key)) if key == "a"));
    }

    #[test]
    fn too_deep_and_too_large_are_refused() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(Value::from_json(&deep(VALUE_DEPTH_MAX)).is_ok());
        assert!(matches!(Value::from_json(&deep(VALUE_DEPTH_MAX + 5)), Err(ValueError::TooDeep)));
        assert!(matches!(Value::from_json(&quote(&"x".repeat(VALUE_BYTES_MAX))), Err(ValueError::TooLarge(_))));
        assert!(matches!(Value::from_json("[1"), Err(ValueError::Json(_))));
        // Each zero takes two bytes of text, and three here.
        let zeros = |n: usize| format!("[{}0]", "0,".repeat(n - 1));
        assert!(zeros(350_000).len() < VALUE_BYTES_MAX);
        assert!(matches!(Value::from_json(&zeros(350_000)), Err(ValueError::TooLarge(_))));
        let most = Value::from_json(&zeros(349_525)).expect("just not too large");
        assert_eq!(Value::from_canonical(most.as_bytes()).expect("what is taken can be read"), most);
        let both = Value::list([&most, &most]);
        assert_eq!(Value::from_canonical(both.as_bytes()).expect("so can what it is part of"), both);
    }

    #[test]
    fn numbers_compare_exactly() {
        let ascending =
            ["-1e400", "-2", "-1.5", "0", "1e-400", "0.1", "1", "9007199254740992", "9007199254740993", "1e400"];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare_numbers(a, b), i.cmp(&j), "{a} against {b}");
            }
        }
        for (a, b) in [("1.0", "1"), ("10e-1", "1"), ("-0", "0.00"), ("100", "1e2")] {
            assert_eq!(compare_numbers(a, b), Ordering::Equal, "{a} against {b}");
        }
    }

    #[test]
    fn debug_output_hides_the_value() {
        assert_eq!(format!("{:?}", Value::text("secret")), "Value(text, 7 bytes)");
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
                prop::collection::btree_map("[a-c\\u{e9}\"]{0,3}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_survives(value in any_json()) {
            let ours = json(&value.to_string());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&ours.to_json()).unwrap(), value);
            prop_assert_eq!(Value::from_canonical(ours.as_bytes()).unwrap(), ours);
        }

        #[test]
        fn foreign_bytes_are_refused_or_canonical(bytes in prop::collection::vec(0u8..8, 0..24)) {
            if let Ok(value) = Value::from_canonical(&bytes) {
                prop_assert_eq!(json(&value.to_json()), value);
            }
        }
    }
}

//! What HubSpot's answers say: records, batches, errors.
//!
//! Every member is optional and unknown ones are passed over, as its contract advises. What cannot be read in one row
//! costs that row alone: it is then as if the answer did not speak of it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use crate::clock::Millis;

/// The longest text of HubSpot's that we keep as a reason.
const REASON_CHARS_MAX: usize = 500;

/// A record as an answer shows it.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// HubSpot's id for it; another than asked for if the record lives on under it.
    #[serde(deserialize_with = "text")]
    pub id: String,
    /// Its properties, as texts; null and the empty text are cleared ones.
    #[serde(default, deserialize_with = "properties")]
    pub properties: BTreeMap<String, Option<String>>,
    /// What each property showed, newest first.
    #[serde(default, rename = "propertiesWithHistory", deserialize_with = "histories")]
    pub history: BTreeMap<String, Vec<Revision>>,
    /// When it was made.
    #[serde(default, deserialize_with = "time")]
    pub created_at: Option<Millis>,
    /// When it last changed.
    #[serde(default, deserialize_with = "time")]
    pub updated_at: Option<Millis>,
    /// Whether it was deleted; it can be restored for ninety days.
    #[serde(default)]
    pub archived: bool,
    /// When.
    #[serde(default, deserialize_with = "time")]
    pub archived_at: Option<Millis>,
    /// The label of the input that it answers, where one was given.
    #[serde(default, rename = "objectWriteTraceId")]
    pub trace: Option<String>,
}

/// A value that a property has, or had.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The value, as text.
    #[serde(default, deserialize_with = "maybe_text")]
    pub value: Option<String>,
    /// From when on.
    #[serde(default, deserialize_with = "time")]
    pub timestamp: Option<Millis>,
    /// By what sort of author.
    #[serde(default)]
    pub source_type: Option<String>,
    /// By which.
    #[serde(default, deserialize_with = "maybe_text")]
    pub source_id: Option<String>,
    /// By which user, where it was one.
    #[serde(default, deserialize_with = "maybe_text")]
    pub updated_by_user_id: Option<String>,
}

/// An answer about several records.
#[derive(Default)]
pub struct Rows {
    /// Those that could be read.
    pub rows: Vec<Row>,
    /// How many rows there were that could not.
    pub unread: usize,
    /// What went wrong with others.
    pub errors: Vec<Problem>,
    /// Where the next page begins.
    pub after: Option<String>,
    /// How many there are in all.
    pub total: Option<u64>,
}

/// An error in HubSpot's words, of a call or of one row of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// Such as `VALIDATION_ERROR`.
    pub category: String,
    /// For people. It may hold values, so it is for the record's history and never for logs.
    pub message: String,
    /// By which HubSpot's support finds the call.
    pub correlation: Option<String>,
    /// The limit that was reached.
    pub policy: Option<String>,
    /// What in detail.
    pub details: Vec<Detail>,
    /// Which rows it is about: ids, labels, properties.
    pub context: HashMap<String, Vec<String>>,
}

/// One thing that is wrong.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// For people.
    pub message: String,
    /// Such as `PROPERTY_DOESNT_EXIST`.
    pub code: String,
    /// The property it is about.
    pub property: Option<String>,
}

impl Problem {
    /// Reads an error from an answer's body; what is not there stays empty.
    pub fn read(body: &[u8]) -> Problem {
        serde_json::from_slice::<Json>(body).map(|json| Problem::of(&json)).unwrap_or_default()
    }

    /// Reads an error from JSON.
    pub fn of(json: &Json) -> Problem {
        let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        let message = text("message").or_else(|| text("error_description")).unwrap_or_default();
        let listed = json.get("errors").and_then(Json::as_array).into_iter().flatten();
        let mut details: Vec<Detail> = listed.map(Detail::of).collect();
        if details.is_empty() {
            details = in_message(&message);
        }
        Problem {
            category: text("category").or_else(|| text("errorType")).unwrap_or_default(),
            message,
            correlation: text("correlationId"),
            policy: text("policyName"),
            details,
            context: context(json),
        }
    }

    /// The properties that are blamed.
    pub fn properties(&self) -> impl Iterator<Item = &str> {
        let named = self.context.get("propertyName").into_iter().flatten().map(String::as_str);
        self.details.iter().filter_map(|detail| detail.property.as_deref()).chain(named)
    }

    /// Why, in HubSpot's words.
    pub fn reason(&self) -> String {
        let told: Vec<&str> =
            self.details.iter().map(|detail| detail.message.as_str()).filter(|message| !message.is_empty()).collect();
        let whole = if told.is_empty() { self.message.clone() } else { told.join("; ") };
        let mut reason: String = whole.chars().take(REASON_CHARS_MAX).collect();
        if reason.is_empty() {
            reason = "HubSpot gave no reason".to_owned();
        }
        match self.category.as_str() {
            "" => reason,
            category => format!("{reason} ({category})"),
        }
    }

    /// The rows that it is about, by the labels or ids that the call gave them.
    pub fn names(&self, trace: &str, id: &str) -> bool {
        let has = |key: &str, value: &str| {
            self.context.get(key).is_some_and(|values| values.iter().any(|named| named == value))
        };
        has("objectWriteTraceId", trace) || ["ids", "id", "objectId"].iter().any(|key| has(key, id))
    }

    /// The id of the record that stands in the way of a new one, which is told in the message alone.
    pub fn existing(&self) -> Option<String> {
        let at = self.message.find("Existing ID:")? + "Existing ID:".len();
        let digits: String = self.message[at..].trim_start().chars().take_while(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(digits)
    }
}

impl Detail {
    fn of(json: &Json) -> Detail {
        let text = |name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let inside = context(json).remove("propertyName").and_then(|names| names.into_iter().next());
        let named = json.get("name").or_else(|| json.get("in")).and_then(Json::as_str).map(str::to_owned);
        let code = Some(text("code")).filter(|code| !code.is_empty()).unwrap_or_else(|| text("error"));
        Detail { message: text("message"), code, property: inside.or(named) }
    }
}

/// The details that `Property values were not valid: [...]` holds as JSON inside its text.
fn in_message(message: &str) -> Vec<Detail> {
    let Some((_, rest)) = message.split_once("Property values were not valid:") else { return Vec::new() };
    let listed: Result<Vec<Json>, _> = serde_json::from_str(rest.trim());
    listed.map(|details| details.iter().map(Detail::of).collect()).unwrap_or_default()
}

fn context(json: &Json) -> HashMap<String, Vec<String>> {
    let Some(members) = json.get("context").and_then(Json::as_object) else { return HashMap::new() };
    let texts = |value: &Json| match value {
        Json::Array(list) => list.iter().filter_map(plain).collect(),
        one => plain(one).into_iter().collect(),
    };
    members.iter().map(|(name, value)| (name.clone(), texts(value))).collect()
}

impl Rows {
    /// Reads the answer of a batch, a list or a search; `None` if it is not one.
    pub fn read(body: &[u8]) -> Option<Rows> {
        let json: Json = serde_json::from_slice(body).ok()?;
        let mut rows = Rows::default();
        for row in json.get("results")?.as_array()? {
            match Row::deserialize(row) {
                Ok(row) => rows.rows.push(row),
                Err(_) => rows.unread += 1,
            }
        }
        rows.errors = json.get("errors").and_then(Json::as_array).into_iter().flatten().map(Problem::of).collect();
        rows.after = json.pointer("/paging/next/after").and_then(plain);
        rows.total = json.get("total").and_then(Json::as_u64);
        Some(rows)
    }
}

impl Row {
    /// Reads the answer about one record; `None` if it is not one.
    pub fn read(body: &[u8]) -> Option<Row> {
        serde_json::from_slice(body).ok()
    }

    /// The value that a property shows; the outer `None`: the answer does not speak of it.
    pub fn shows(&self, property: &str) -> Option<Option<&str>> {
        self.properties.get(property).map(|value| value.as_deref())
    }
}

/// A text, or what stands for one.
fn plain(json: &Json) -> Option<String> {
    match json {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Reads a time from RFC 3339, or from milliseconds in a number or a text.
pub fn parse_time(text: &str) -> Option<Millis> {
    match text.parse::<i64>() {
        Ok(millis) => Some(Millis(millis)),
        Err(_) => text.parse::<jiff::Timestamp>().ok().map(|time| Millis(time.as_millisecond())),
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    maybe_text(deserializer)?.ok_or_else(|| serde::de::Error::custom("an id is missing"))
}

fn maybe_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(plain(&Json::deserialize(deserializer)?))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Millis>, D::Error> {
    Ok(plain(&Json::deserialize(deserializer)?).and_then(|text| parse_time(&text)))
}

fn properties<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Option<String>>, D::Error> {
    let members = Option::<BTreeMap<String, Json>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(members.into_iter().map(|(name, value)| (name, plain(&value))).collect())
}

fn histories<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<Revision>>, D::Error> {
    let members = Option::<BTreeMap<String, Vec<Revision>>>::deserialize(deserializer)?.unwrap_or_default();
    let newest_first = |(name, mut revisions): (String, Vec<Revision>)| {
        // They come that way; only the ones without a time would have no place.
        revisions.sort_by_key(|revision| std::cmp::Reverse(revision.timestamp));
        (name, revisions)
    };
    Ok(members.into_iter().map(newest_first).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> Problem {
        Problem::read(json.as_bytes())
    }

    #[test]
    fn the_blamed_properties_are_found_in_both_forms() {
        let listed = problem(
            r#"{"status":"error","category":"VALIDATION_ERROR","message":"Property values were not valid: [..]",
            "errors":[{"message":"Property \"x\" does not exist","code":"PROPERTY_DOESNT_EXIST",
            "context":{"propertyName":["x"]}}]}"#,
        );
        assert_eq!(listed.properties().collect::<Vec<_>>(), ["x"]);
        assert_eq!(listed.details[0].code, "PROPERTY_DOESNT_EXIST");
        assert_eq!(listed.reason(), "Property \"x\" does not exist (VALIDATION_ERROR)");
        let inside = problem(
            r#"{"status":"error","message":"Property values were not valid: [{\"isValid\":false,\"message\":\"no such option\",\"error\":\"INVALID_OPTION\",\"name\":\"stage\"}]","category":"VALIDATION_ERROR"}"#,
        );
        assert_eq!(inside.properties().collect::<Vec<_>>(), ["stage"]);
        assert_eq!(inside.details[0].code, "INVALID_OPTION");
        assert_eq!(inside.reason(), "no such option (VALIDATION_ERROR)");
    }

    #[test]
    fn errors_without_any_member_still_say_something() {
        for body in ["", "<html>502</html>", "{}", "[]", "null", r#"{"errors":7,"context":[],"message":null}"#] {
            assert_eq!(problem(body).reason(), "HubSpot gave no reason", "{body}");
            assert_eq!(problem(body).properties().count(), 0);
        }
    }

    #[test]
    fn the_record_in_the_way_is_told_in_the_text() {
        let clash = |message: &str| Problem { message: message.to_owned(), ..Problem::default() }.existing();
        assert_eq!(clash("Contact already exists. Existing ID: 3401").as_deref(), Some("3401"));
        assert_eq!(clash("Contact already exists. Existing ID:541935488729.").as_deref(), Some("541935488729"));
        assert_eq!(clash("Existing ID: "), None);
        assert_eq!(clash("already exists"), None);
    }

    #[test]
    fn rows_are_read_one_by_one() {
        let rows = Rows::read(
            br#"{"status":"COMPLETE","results":[{"id":7,"properties":{"a":"1","b":null,"c":3}},{"properties":{}},
            {"id":"8","updatedAt":"2026-03-01T10:00:00.123Z","archived":true,"archivedAt":1772323200000,
             "propertiesWithHistory":{"a":[{"value":"1","timestamp":"2026-01-01T00:00:00Z"},
             {"value":"2","timestamp":"2026-01-02T00:00:00Z","sourceType":"CRM_UI","sourceId":5}]}}],
            "numErrors":1,"errors":[{"category":"OBJECT_NOT_FOUND","message":"gone","context":{"ids":["999",5]}}],
            "paging":{"next":{"after":"100"}},"total":3}"#,
        )
        .expect("an answer");
        assert_eq!((rows.rows.len(), rows.unread, rows.total), (2, 1, Some(3)));
        assert_eq!(rows.after.as_deref(), Some("100"));
        assert_eq!(rows.rows[0].shows("a"), Some(Some("1")));
        assert_eq!((rows.rows[0].shows("b"), rows.rows[0].shows("z")), (Some(None), None));
        assert_eq!(rows.rows[0].shows("c"), Some(Some("3")));
        assert_eq!(rows.rows[1].updated_at, Some(Millis(1_772_359_200_123)));
        assert!(rows.rows[1].archived);
        assert_eq!(rows.rows[1].archived_at, Some(Millis(1_772_323_200_000)));
        assert_eq!(rows.rows[1].history["a"][0].value.as_deref(), Some("2"), "newest first");
        assert!(rows.errors[0].names("", "999") && rows.errors[0].names("", "5"));
        assert!(!rows.errors[0].names("t", "99"));
        assert!(Rows::read(b"{}").is_none() && Rows::read(b"[]").is_none());
    }
}

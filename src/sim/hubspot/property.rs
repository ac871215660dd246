//! What a property is, and what becomes of a value that is written to it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::stamp;
use crate::clock::Millis;

/// The most characters of a text.
const TEXT_MAX: usize = 65_536;

/// One of the values that an enumeration may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Choice {
    /// Its internal name, which goes on the wire.
    pub value: String,
    /// What users see.
    pub label: String,
    /// Whether forms leave it out.
    pub hidden: bool,
    /// Its place.
    pub display_order: i64,
    /// What it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The definition of a property, in the members that requests have as well.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Property {
    /// Its internal name.
    pub name: String,
    /// What users see.
    pub label: String,
    /// `string`, `number`, `date`, `datetime`, `enumeration` or `bool`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How forms show it; `checkbox` holds several values.
    pub field_type: String,
    /// The group it is shown in.
    pub group_name: String,
    /// What it means.
    pub description: String,
    /// The values of an enumeration.
    pub options: Vec<Choice>,
    /// Whether users do not see it.
    pub hidden: bool,
    /// Its place.
    pub display_order: i64,
    /// Whether forms may have it.
    pub form_field: bool,
    /// Whether HubSpot computes it.
    pub calculated: bool,
    /// Whether its options are managed elsewhere.
    pub external_options: bool,
    /// Whether no two records may have the same value.
    pub has_unique_value: bool,
    /// Whether it comes with HubSpot.
    pub hubspot_defined: bool,
    /// The kind of objects that its options are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referenced_object_type: Option<String>,
    /// How it is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calculation_formula: Option<String>,
    /// Whether its values cannot be written.
    #[serde(skip_serializing)]
    pub read_only: bool,
    /// Whether it was archived.
    pub archived: bool,
    /// When it was made.
    #[serde(skip)]
    pub created: Millis,
    /// When it was changed last.
    #[serde(skip)]
    pub updated: Millis,
}

/// Why a value cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub property: String,
    pub code: &'static str,
    pub message: String,
}

impl Property {
    /// A property of a type and a form that comes with HubSpot.
    pub(super) fn standard(name: &str, kind: &str, field_type: &str) -> Self {
        Property {
            name: name.into(),
            label: name.replace('_', " "),
            kind: kind.into(),
            field_type: field_type.into(),
            hubspot_defined: true,
            display_order: -1,
            ..Property::default()
        }
    }

    /// Whether values can be written.
    pub(super) fn is_written(&self) -> bool {
        !self.read_only && !self.calculated && !self.archived
    }

    /// As the properties API shows it.
    pub(super) fn to_json(&self) -> Value {
        let mut shown = serde_json::to_value(self).expect("a definition is plain JSON");
        shown["createdAt"] = json!(stamp(self.created));
        shown["updatedAt"] = json!(stamp(self.updated));
        shown["modificationMetadata"] = json!({
            "archivable": !self.hubspot_defined,
            "readOnlyDefinition": self.hubspot_defined,
            "readOnlyOptions": self.external_options,
            "readOnlyValue": self.read_only || self.calculated,
        });
        shown
    }

    /// The value in HubSpot's own form, or why it refuses it; the empty text clears.
    pub(super) fn take(&self, value: &str) -> Result<String, Invalid> {
        if !self.is_written() {
            let message = format!("\"{}\" is a read only property; its value cannot be set.", self.name);
            return Err(self.invalid("READ_ONLY_VALUE", message));
        }
        if value.is_empty() {
            return Ok(String::new());
        }
        match self.kind.as_str() {
            "number" => self.number(value),
            "bool" => self.truth(value),
            "date" => self.date(value),
            "datetime" => self.moment(value),
            "enumeration" => self.choices(value),
            _ => self.text(value),
        }
    }

    fn invalid(&self, code: &'static str, message: String) -> Invalid {
        Invalid { property: self.name.clone(), code, message }
    }

    fn text(&self, value: &str) -> Result<String, Invalid> {
        if value.chars().count() > TEXT_MAX {
            let message = format!("Property \"{}\" can hold at most {TEXT_MAX} characters", self.name);
            return Err(self.invalid("INVALID_LENGTH", message));
        }
        if self.name != "email" {
            return Ok(value.to_owned());
        }
        // Addresses are kept in small letters.
        let address = value.trim().to_lowercase();
        let is_address = address.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
        match is_address && !address.contains(char::is_whitespace) {
            true => Ok(address),
            false => Err(self.invalid("INVALID_EMAIL", format!("Email address {value} is invalid"))),
        }
    }

    fn number(&self, value: &str) -> Result<String, Invalid> {
        let plain = value.trim();
        match plain.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(plain.to_owned()),
            _ => Err(self.invalid("INVALID_INTEGER", format!("{value} was not a valid number."))),
        }
    }

    fn truth(&self, value: &str) -> Result<String, Invalid> {
        let small = value.trim().to_lowercase();
        match small.as_str() {
            "true" | "false" => Ok(small),
            _ => {
                Err(self
                    .invalid("INVALID_OPTION", format!("{value} was not one of the allowed options: [true, false]")))
            }
        }
    }

    fn date(&self, value: &str) -> Result<String, Invalid> {
        let due = || self.invalid("INVALID_DATE", format!("{value} was not a valid date; it has to be midnight UTC."));
        if let Ok(day) = value.parse::<jiff::civil::Date>() {
            return Ok(day.to_string());
        }
        let at = millis(value).ok_or_else(due)?;
        if at.rem_euclid(86_400_000) != 0 {
            return Err(due());
        }
        Ok(stamp(Millis(at))[..10].to_owned())
    }

    fn moment(&self, value: &str) -> Result<String, Invalid> {
        let at = millis(value).or_else(|| millis(&format!("{value}T00:00:00Z")));
        at.map(|at| stamp(Millis(at)))
            .ok_or_else(|| self.invalid("INVALID_DATE", format!("{value} was not a valid long or ISO 8601 date.")))
    }

    fn choices(&self, value: &str) -> Result<String, Invalid> {
        let several = self.field_type == "checkbox";
        let parts: Vec<&str> =
            if several { value.split(';').filter(|part| !part.is_empty()).collect() } else { vec![value] };
        let unknown = parts.iter().find(|part| !self.options.iter().any(|option| option.value == **part));
        if let (Some(part), false) = (unknown, self.external_options) {
            let known: Vec<&str> = self.options.iter().map(|option| option.value.as_str()).collect();
            let message = format!("{part} was not one of the allowed options: [{}]", known.join(", "));
            return Err(self.invalid("INVALID_OPTION", message));
        }
        Ok(parts.join(";"))
    }
}

/// A time written as milliseconds since 1970 or as ISO 8601.
pub(super) fn millis(value: &str) -> Option<i64> {
    let written = value.trim();
    let whole = written.parse::<i64>().ok();
    whole.or_else(|| written.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, field_type: &str) -> Property {
        Property {
            options: ["a", "b"].map(|value| Choice { value: value.into(), ..Choice::default() }).into(),
            ..Property::standard("p", kind, field_type)
        }
    }

    #[test]
    fn values_are_kept_in_hubspots_form() {
        assert_eq!(of("date", "date").take("1690848000000").as_deref(), Ok("2023-08-01"));
        assert_eq!(of("date", "date").take("2023-08-01").as_deref(), Ok("2023-08-01"));
        assert_eq!(of("datetime", "date").take("1690848000123").as_deref(), Ok("2023-08-01T00:00:00.123Z"));
        assert_eq!(of("datetime", "date").take("2023-08-01T02:00:00+02:00").as_deref(), Ok("2023-08-01T00:00:00.000Z"));
        assert_eq!(of("enumeration", "checkbox").take("b;a").as_deref(), Ok("b;a"));
        assert_eq!(of("bool", "booleancheckbox").take("TRUE").as_deref(), Ok("true"));
        assert_eq!(of("number", "number").take("7.50").as_deref(), Ok("7.50"));
        assert_eq!(Property::standard("email", "string", "text").take("Ana@X.com").as_deref(), Ok("ana@x.com"));
    }

    #[test]
    fn values_that_do_not_fit_are_refused_by_code() {
        let code = |property: Property, value: &str| property.take(value).expect_err("refused").code;
        assert_eq!(code(of("date", "date"), "1690848000123"), "INVALID_DATE");
        assert_eq!(code(of("enumeration", "select"), "a;b"), "INVALID_OPTION");
        assert_eq!(code(of("enumeration", "checkbox"), "a;c"), "INVALID_OPTION");
        assert_eq!(code(of("number", "number"), "seven"), "INVALID_INTEGER");
        assert_eq!(code(Property { read_only: true, ..of("string", "text") }, "x"), "READ_ONLY_VALUE");
        assert_eq!(code(Property::standard("email", "string", "text"), "nobody"), "INVALID_EMAIL");
    }

    #[test]
    fn the_empty_text_clears_every_kind() {
        for kind in ["string", "number", "bool", "date", "datetime", "enumeration"] {
            assert_eq!(of(kind, "text").take("").as_deref(), Ok(""));
        }
    }
}

//! An account's properties and records beside the manifest: all that does not fit is told.

use std::collections::BTreeMap;

use syncline::side::hubspot::{
    breach::{Broken, Count},
    property::{self, Finding, Severity},
};

use super::translation;

/// A property of an answer, with the members that matter and one that does not.
fn defined(name: &str, kind: &str, rest: &str) -> String {
    format!(
        r#"{{"name":"{name}","label":"L","type":"{kind}","fieldType":"text","updatedAt":"2026-01-01T00:00:00Z"{rest}}}"#
    )
}

fn options(values: &[&str]) -> String {
    let options: Vec<String> =
        values.iter().map(|value| format!(r#"{{"label":"L","value":"{value}","hidden":false}}"#)).collect();
    format!(r#","options":[{}]"#, options.join(","))
}

/// Definitions of a contact's properties in which everything fits.
fn fitting() -> BTreeMap<&'static str, String> {
    let stages = options(&["lead", "client"]);
    let unique = r#","hasUniqueValue":true"#;
    [
        ("email", defined("email", "string", "")),
        ("phone", defined("phone", "string", unique)),
        ("date_of_birth", defined("date_of_birth", "date", "")),
        ("lifecyclestage", defined("lifecyclestage", "enumeration", &stages)),
        (
            "interests",
            defined("interests", "enumeration", r#","fieldType":"checkbox","options":[{"value":"a"}]"#).replacen(
                r#""fieldType":"text","#,
                "",
                1,
            ),
        ),
        ("num_visits", defined("num_visits", "number", "")),
        ("vip", defined("vip", "bool", &options(&["true", "false"]))),
        ("primary_company", defined("primary_company", "number", r#","calculated":true"#)),
        ("hs_object_id", defined("hs_object_id", "number", "")),
    ]
    .into()
}

fn findings(properties: &BTreeMap<&str, String>) -> Vec<Finding> {
    let all: Vec<&str> = properties.values().map(String::as_str).collect();
    let answer = format!(r#"{{"results":[{}]}}"#, all.join(","));
    let read = property::read(answer.as_bytes()).expect("a list of properties");
    property::diagnose(&translation(), "contact", Some(&read))
}

/// What is told when one property is defined otherwise.
fn told(name: &'static str, definition: Option<String>) -> Vec<String> {
    let mut properties = fitting();
    match definition {
        Some(definition) => properties.insert(name, definition),
        None => properties.remove(name),
    };
    findings(&properties).iter().map(ToString::to_string).collect()
}

#[test]
fn properties_that_fit_are_not_spoken_of() {
    assert_eq!(findings(&fitting()), []);
}

#[test]
fn a_property_that_is_gone_or_locked_is_told() {
    let missing = told("phone", None);
    assert_eq!(missing, ["error: contact.phone: the property phone is not there"]);
    assert_eq!(
        told("date_of_birth", Some(defined("dateOfBirth", "date", ""))),
        ["error: contact.born: the property date_of_birth is not there; did you mean dateOfBirth?"]
    );
    assert_eq!(
        told("email", Some(defined("email", "string", r#","archived":true"#))),
        ["error: contact.email: the property email is archived"]
    );
    let locked = "is read-only there, and edits of other sides count: write `write: [SIDE]`";
    let due = format!("error: contact.email: the property email {locked}");
    assert_eq!(
        told("email", Some(defined("email", "string", r#","modificationMetadata":{"readOnlyValue":true}"#))),
        [due.as_str()]
    );
    assert_eq!(told("email", Some(defined("email", "string", r#","calculated":true"#))), [due]);
    // Nobody writes the stage but the CRM itself, so it may be read-only there.
    let stages = options(&["lead", "client"]);
    assert_eq!(
        told(
            "lifecyclestage",
            Some(defined("lifecyclestage", "enumeration", &format!(r#"{stages},"calculated":true"#)))
        ),
        [""; 0]
    );
}

#[test]
fn options_that_differ_are_told_from_both_sides() {
    let with =
        |values: &[&str]| told("lifecyclestage", Some(defined("lifecyclestage", "enumeration", &options(values))));
    assert_eq!(
        with(&["lead", "customer", "other"]),
        [
            "warning: contact.stage: the property lifecyclestage does not have the options client",
            "warning: contact.stage: the property lifecyclestage has options that the manifest does not know: customer, other",
        ]
    );
    let vip = told("vip", Some(defined("vip", "enumeration", &options(&["Yes", "No"]))));
    assert_eq!(
        vip,
        [
            "error: contact.is_vip: the property vip does not have the options true, false",
            "warning: contact.is_vip: the property vip has options that the manifest does not know: Yes, No",
        ]
    );
    let elsewhere = defined("vip", "enumeration", &format!(r#","externalOptions":true{}"#, options(&["Yes"])));
    assert_eq!(told("vip", Some(elsewhere)), [""; 0]);
    let many: Vec<String> =
        (0..40).map(|number| format!("o{number:02}")).chain(["lead".into(), "client".into()]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(with(&many)[0].ends_with("o10, o11 and 28 more"), "{:?}", with(&many));
}

#[test]
fn types_that_do_not_go_together_are_told() {
    let cases = [
        (
            "phone",
            "number",
            "error: contact.phone: the property phone is of type number there: no value of the one fits the other",
        ),
        (
            "phone",
            "enumeration",
            "warning: contact.phone: the property phone is of type enumeration there: it takes its options alone; `type: choice` says so",
        ),
        (
            "date_of_birth",
            "datetime",
            "error: contact.born: the property date_of_birth is of type datetime there: times of day come in flagged; `type: datetime` takes them",
        ),
        (
            "date_of_birth",
            "string",
            "warning: contact.born: the property date_of_birth is of type string there: anything may be written there; what does not fit comes in flagged",
        ),
        (
            "num_visits",
            "string",
            "warning: contact.visits: the property num_visits is of type string there: anything may be written there; what does not fit comes in flagged",
        ),
        (
            "num_visits",
            "object_coordinates",
            "error: contact.visits: the property num_visits is of type object_coordinates there: no value of the one fits the other",
        ),
        (
            "interests",
            "enumeration",
            "warning: contact.interests: the property interests is of type enumeration there: it takes one option at a time",
        ),
    ];
    for (name, kind, due) in cases {
        let rest = if name == "phone" { r#","hasUniqueValue":true"# } else { "" };
        assert_eq!(told(name, Some(defined(name, kind, rest))), [due], "{name} {kind}");
    }
}

#[test]
fn matching_on_what_is_not_unique_is_a_warning() {
    // HubSpot keeps contacts apart by email itself, and does not say so in the definition.
    let told = told("phone", Some(defined("phone", "string", "")));
    assert_eq!(
        told,
        [
            "warning: contact.phone: the property phone is matched on, and HubSpot lets two records have the same value of it"
        ]
    );
}

#[test]
fn all_faults_are_told_at_once_and_as_data() {
    let findings = findings(&BTreeMap::new());
    assert_eq!(findings.len(), 8);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Error));
    let json = serde_json::to_value(&findings[0]).expect("data");
    assert_eq!(
        json,
        serde_json::json!({"severity":"error","kind":"contact","field":"born","theirs":"date_of_birth","what":"missing","alike":null})
    );
    let none = property::diagnose(&translation(), "line", None);
    assert_eq!(none[0].to_string(), "error: line: line_items is no type of this account");
    assert_eq!(property::diagnose(&translation(), "nothing", None), []);
    assert!(property::read(b"{\"secret\":1}").is_err());
}

#[test]
fn records_that_break_the_manifests_own_rules_are_counted_without_their_values() {
    let translation = translation();
    let mut count = Count::of(&translation, "contact");
    assert_eq!(count.properties().count(), 8);
    for id in 0..20 {
        let id = id.to_string();
        let shows = |name: &str| match name {
            "email" if id.len() == 1 => Some("private@example.com"),
            "email" if id == "10" => Some("private"),
            "lifecyclestage" if id > "15".to_owned() => Some("private"),
            "lifecyclestage" => Some("client"),
            "num_visits" => Some(if id == "3" { "private" } else { "7" }),
            _ => None,
        };
        count.add(&id, shows);
    }
    assert_eq!(count.records(), 20);
    let breaches = count.breaches();
    let told: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "contact.email: 9 records have no value, which is required in email (such as 11, 12, 13, 14, 15, ...)",
            "contact.email: 1 records have a value that is no email address in email (such as 10)",
            "contact.stage: 12 records have a value that is none of the choices in lifecyclestage (such as 2, 3, 4, 5, 6, ...)",
            "contact.visits: 1 records have a value of another type in num_visits (such as 3)",
        ]
    );
    assert_eq!((breaches[0].rule, breaches[0].records, breaches[0].some.len()), (Broken::Required, 9, 5));
    assert!(!serde_json::to_string(&breaches).expect("data").contains("private"));
}

//! The JSON Schema says of whole manifests what the reader says.

use serde_json::Value;
use syncline::manifest::{Manifest, schema};

const EXAMPLES: [&str; 3] = [
    include_str!("examples/portal-hubspot.yaml"),
    include_str!("examples/workload.yaml"),
    include_str!("examples/every-key.yaml"),
];

fn json(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).expect("a test writes YAML")
}

/// What `value` breaks in `schema`: the place in the value and the keyword. Knows the keywords that the schema uses
/// (`pattern` is left to the reader) and panics at any other, so that none is silently unchecked.
fn breaks(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let rules = schema.as_object().expect("a schema is an object");
    rules.iter().flat_map(|(keyword, rule)| breaks_one(root, rules, keyword, rule, value, at)).collect()
}

fn breaks_one(
    root: &Value,
    rules: &serde_json::Map<String, Value>,
    keyword: &str,
    rule: &Value,
    value: &Value,
    at: &str,
) -> Vec<String> {
    let all = |schema: &Value, value: &Value, at: &str| breaks(root, schema, value, at);
    let unless = |holds: bool| if holds { Vec::new() } else { vec![format!("{at}: {keyword} {rule}")] };
    let schemas = || rule.as_array().expect("this keyword has a list").iter();
    let size = || rule.as_u64().expect("this keyword has a number") as usize;
    let empty = serde_json::Map::new();
    let (members, items) =
        (value.as_object().unwrap_or(&empty), value.as_array().map_or(&[] as &[Value], Vec::as_slice));
    match keyword {
        "$schema" | "$defs" | "title" | "description" | "examples" | "pattern" => Vec::new(),
        "$ref" => {
            let path =
                rule.as_str().and_then(|path| path.strip_prefix('#')).expect("references stay within the schema");
            all(root.pointer(path).unwrap_or_else(|| panic!("{path} is defined")), value, at)
        }
        "type" => {
            let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
            unless(types.iter().any(|name| match name.as_str().expect("a type has a name") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "number" => value.is_number(),
                "integer" => value.is_i64() || value.is_u64(),
                "boolean" => value.is_boolean(),
                other => panic!("the type {other} is not checked here"),
            }))
        }
        "enum" => unless(schemas().any(|word| word == value)),
        "const" => unless(rule == value),
        "minimum" => unless(value.as_f64().is_none_or(|number| number >= size() as f64)),
        "maximum" => unless(value.as_f64().is_none_or(|number| number <= size() as f64)),
        "minItems" => unless(!value.is_array() || items.len() >= size()),
        "uniqueItems" => unless((1..items.len()).all(|index| !items[..index].contains(&items[index]))),
        "minProperties" => unless(!value.is_object() || members.len() >= size()),
        "required" => unless(
            !value.is_object() || schemas().all(|key| members.contains_key(key.as_str().expect("a key is a text"))),
        ),
        "items" => {
            items.iter().enumerate().flat_map(|(index, item)| all(rule, item, &format!("{at}/{index}"))).collect()
        }
        "properties" => {
            let known = rule.as_object().expect("properties are an object");
            members
                .iter()
                .filter_map(|(key, member)| Some(all(known.get(key)?, member, &format!("{at}/{key}"))))
                .flatten()
                .collect()
        }
        "additionalProperties" => {
            let known = |key: &str| rules.get("properties").is_some_and(|known| known.get(key).is_some());
            let more = members.iter().filter(|(key, _)| !known(key));
            match rule {
                Value::Bool(false) => more.map(|(key, _)| format!("{at}/{key}: unknown key")).collect(),
                schema => more.flat_map(|(key, member)| all(schema, member, &format!("{at}/{key}"))).collect(),
            }
        }
        "propertyNames" => {
            members.keys().flat_map(|key| all(rule, &Value::from(key.as_str()), &format!("{at}/{key}"))).collect()
        }
        "anyOf" => unless(schemas().any(|schema| all(schema, value, at).is_empty())),
        "allOf" => schemas().flat_map(|schema| all(schema, value, at)).collect(),
        "not" => unless(!all(rule, value, at).is_empty()),
        "if" if all(rule, value, at).is_empty() => all(&rules["then"], value, at),
        "if" | "then" => Vec::new(),
        other => panic!("the keyword {other} is not checked here"),
    }
}

fn faults(yaml: &str) -> Vec<String> {
    let schema = schema();
    breaks(&schema, &schema, &json(yaml), "")
}

#[test]
fn every_example_fits_the_schema() {
    for example in EXAMPLES {
        assert_eq!(faults(example), [] as [&str; 0]);
    }
}

#[test]
fn what_the_schema_refuses_the_reader_refuses_too() {
    let every_key = EXAMPLES[2];
    for (old, new) in [
        ("syncline: 1\n", "syncline: 2\n"),
        ("tenant: every-key\n", ""),
        ("staleness: 1d", "stalenes: 1d"),
        ("connector: hubspot", "connector: salesforce"),
        ("per_second: 10,", "per_second: 0,"),
        ("per_second: 10,", "per_hour: 10,"),
        ("poll: 5m", "polls: 5m"),
        ("webhooks: true", "webhooks: often"),
        ("{ token:", "{ tokn:"),
        (", within: 30s", ""),
        ("clock: seconds", "clock: second"),
        ("deletes: edit_wins", "deletes: never"),
        ("rule: { last_write_wins: { authority: crm } }", "rule: merge"),
        ("rule: max", "rule: maximum"),
        ("type: email", "type: e-mail"),
        ("of: [basic, plus], ", ""),
        ("to: person, ", ""),
        ("write: [crm] }", "write: [] }"),
        ("read_only: true", "read_only: true, write: [crm]"),
        ("scale: 100", "factor: 100"),
        ("dates: iso", "dates: 5"),
        ("person: company", "person: theirs"),
        ("customer: { rows: {", "customer: { row: {"),
        ("required: true", "required: 1"),
        ("length: { max: 2000 }", "length: {}"),
        ("range: { min: 1,", "range: { from: 1,"),
        ("message: an active", "text: an active"),
        ("{ where: {", "{ when: {"),
        ("plan: [basic, plus] }", "plan: [] }"),
    ] {
        assert_eq!(every_key.matches(old).count(), 1, "`{old}` is at one place");
        let broken = every_key.replacen(old, new, 1);
        assert_ne!(faults(&broken), [] as [&str; 0], "`{old}` -> `{new}` fits the schema");
        assert!(Manifest::parse(&broken).is_err(), "`{old}` -> `{new}` is read");
    }
}

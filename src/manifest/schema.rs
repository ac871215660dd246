//! The manifest's JSON Schema, for editors.
//!
//! It is written by hand, because what helps in an editor is the descriptions; tests hold its keys and
//! words equal to those that the reader accepts. What one place of a text says about another (does this
//! side exist?) only the reader can tell.

use serde_json::{Value, json};

/// The JSON Schema (draft 2020-12) of a manifest.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Syncline manifest",
        "description": "What a tenant has agreed: its sides, its record kinds, the rule of each field, who may see what.",
        "$ref": "#/$defs/manifest",
        "$defs": {
            "manifest": top(),
            "defaults": defaults(),
            "side": side(),
            "credentials": credentials(),
            "capture": capture(),
            "quota": quota(),
            "clock": clock(),
            "cooldown": cooldown(),
            "kind": kind(),
            "field": field(),
            "on_side": on_side(),
            "rule": rule(),
            "shared_rule": shared_rule(),
            "role": role(),
            "rows": rows(),
            "check": check(),
            "bounds": bounds(),
            "deletes": {
                "description": "What becomes of a record that one side deleted and another edited.",
                "enum": ["manual", "delete_wins", "edit_wins"],
            },
            "name": { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" },
            "text": { "type": ["string", "number", "boolean"], "description": "A text; a bare number or word is taken as written." },
            "names": { "type": "array", "items": { "type": "string" }, "uniqueItems": true },
            "sides": { "type": "array", "items": { "$ref": "#/$defs/name" }, "minItems": 1, "uniqueItems": true },
            "duration": { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["500ms", "30s", "5m", "1h", "3d"] },
            "url": { "type": "string", "pattern": "^https?://[^/?#@\\s]+(/[^?#\\s]*)?$" },
            "secret": {
                "description": "Where the secret is, never the secret itself.",
                "type": "string",
                "pattern": "^(env:[A-Za-z0-9_]+|file:.+)$",
            },
            "calls": { "type": "integer", "minimum": 1, "maximum": 1_000_000_000 },
        },
    })
}

/// A mapping with these keys and no others.
fn block(description: &str, required: &[&str], properties: Value) -> Value {
    json!({
        "type": "object",
        "description": description,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn top() -> Value {
    let properties = json!({
        "syncline": { "description": "The version of this format.", "enum": [1, "1"] },
        "tenant": { "$ref": "#/$defs/name" },
        "public_url": { "description": "What the sides call and sign; /hooks/SIDE follows.", "$ref": "#/$defs/url" },
        "sides": {
            "description": "Who takes part, by name.",
            "type": "object",
            "minProperties": 2,
            "propertyNames": {
                "$ref": "#/$defs/name",
                "not": { "enum": ["type", "of", "to", "rule", "write", "read_only", "required", "pattern", "length", "range"] },
            },
            "additionalProperties": { "$ref": "#/$defs/side" },
        },
        "defaults": { "$ref": "#/$defs/defaults" },
        "records": {
            "description": "The record kinds by our name for them; \"*\" stands for the rest.",
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "pattern": "^([A-Za-z0-9_-]{1,64}|\\*)$" },
            "additionalProperties": { "$ref": "#/$defs/kind" },
        },
        "permissions": {
            "description": "The roles by name. What is not allowed is forbidden.",
            "type": "object",
            "propertyNames": { "$ref": "#/$defs/name" },
            "additionalProperties": { "$ref": "#/$defs/role" },
        },
    });
    block("A manifest.", &["syncline", "tenant", "sides", "records"], properties)
}

fn defaults() -> Value {
    let properties = json!({
        "rule": { "$ref": "#/$defs/shared_rule" },
        "deletes": { "$ref": "#/$defs/deletes" },
        "cooldown": { "$ref": "#/$defs/cooldown" },
    });
    block("What holds where a side, a kind or a field does not say.", &[], properties)
}

fn side() -> Value {
    let properties = json!({
        "connector": { "description": "How it is reached.", "enum": ["none", "hubspot", "portal", "in_process"] },
        "account": { "description": "The tenant's account there.", "$ref": "#/$defs/text" },
        "app": { "description": "Our app's id there: marks our own writes.", "$ref": "#/$defs/text" },
        "base_url": { "description": "Where its API is.", "$ref": "#/$defs/url" },
        "deliver_to": { "description": "Where it takes our webhooks.", "$ref": "#/$defs/url" },
        "credentials": { "$ref": "#/$defs/credentials" },
        "capture": { "$ref": "#/$defs/capture" },
        "quota": { "$ref": "#/$defs/quota" },
        "clock": { "$ref": "#/$defs/clock" },
        "staleness": { "description": "After how long without a word it counts as stale.", "$ref": "#/$defs/duration" },
        "cooldown": { "$ref": "#/$defs/cooldown" },
    });
    block("One party to the agreement.", &["connector"], properties)
}

fn credentials() -> Value {
    let properties = json!({
        "token": { "$ref": "#/$defs/secret" },
        "webhook_secret": {
            "description": "One secret, or the present one and older ones that are still accepted.",
            "anyOf": [
                { "$ref": "#/$defs/secret" },
                { "type": "array", "items": { "$ref": "#/$defs/secret" }, "minItems": 1 },
            ],
        },
    });
    block("Where its secrets are found.", &[], properties)
}

fn capture() -> Value {
    let properties = json!({
        "webhooks": { "description": "The side calls us.", "type": "boolean" },
        "poll": { "description": "How often we ask for what has changed.", "$ref": "#/$defs/duration" },
        "reconcile": { "description": "How often everything is read back and compared.", "$ref": "#/$defs/duration" },
    });
    block("How its changes are heard of; each mode alone or beside the others.", &[], properties)
}

fn quota() -> Value {
    let calls = || json!({ "$ref": "#/$defs/calls" });
    let properties = json!({ "per_second": calls(), "per_10s": calls(), "per_day": calls() });
    block("The most calls that it allows.", &[], properties)
}

fn clock() -> Value {
    let properties = json!({
        "resolution": { "description": "The step of its times.", "$ref": "#/$defs/duration" },
        "max_offset": { "description": "How far it may be off before that is an alarm.", "$ref": "#/$defs/duration" },
    });
    let steps = json!({ "enum": ["milliseconds", "seconds", "minutes"] });
    json!({ "anyOf": [steps, block("What its clock is good for.", &[], properties)] })
}

fn cooldown() -> Value {
    let properties = json!({
        "flips": { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
        "within": { "$ref": "#/$defs/duration" },
    });
    block("How many flips of a field in what time park it.", &["flips", "within"], properties)
}

fn kind() -> Value {
    let properties = json!({
        "sides": {
            "description": "Its name on each side that has it; without this all sides have it, under our name.",
            "type": "object",
            "additionalProperties": { "$ref": "#/$defs/text" },
        },
        "links": {
          "description": "What a match is good for: `reviewed`, a suggestion that waits for a person, or `certain`, where it is certain the records are linked.",
          "enum": ["reviewed", "certain"]
        },
        "refusals": {
          "description": "What becomes of an edit whose write a side refused: `parked`, it waits for a person, or `given_back`, what the side shows stands again, also where it was edited.",
          "enum": ["parked", "given_back"]
        },
        "match_on": { "description": "The fields by which unlinked records are suggested to be the same.", "$ref": "#/$defs/names" },
        "deletes": { "$ref": "#/$defs/deletes" },
        "rule": { "$ref": "#/$defs/shared_rule" },
        "fields": {
            "description": "The fields by our name for them; \"*\" stands for the rest.",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": { "$ref": "#/$defs/field" },
        },
        "author": {
            "description": "The property in which a side that takes no author is told who is behind a write.",
            "type": "object",
            "additionalProperties": { "$ref": "#/$defs/text" },
        },
        "made_for": made_for(),
        "checks": {
            "description": "Rules across its fields, asked of a portal's edit that touches one of them.",
            "type": "array",
            "items": { "$ref": "#/$defs/check" },
        },
    });
    block("A kind of record.", &["fields"], properties)
}

fn made_for() -> Value {
    let field = || json!({ "$ref": "#/$defs/name" });
    let properties = json!({ "contact": field(), "company": field() });
    block(
        "The fields that name the contact and the company for whom a record is made, where nothing is said of them.",
        &[],
        properties,
    )
}

/// A field's keys and, beside them, the names of the sides.
fn field() -> Value {
    let properties = json!({
        "type": {
            "enum": [
                "string", "email", "integer", "decimal", "boolean", "date", "datetime", "choice", "list", "reference",
                "references", "any",
                "long_text", "set", "counter",
            ],
        },
        "of": { "description": "The choices.", "type": "array", "items": { "$ref": "#/$defs/text" }, "minItems": 1, "uniqueItems": true },
        "to": { "description": "The kind it refers to.", "type": "string" },
        "rule": { "$ref": "#/$defs/rule" },
        "write": { "description": "The sides whose edits count; without this all do.", "$ref": "#/$defs/sides" },
        "read_only": {
            "description": "The sides whose edits do not count, or true: only the authority's do.",
            "anyOf": [{ "type": "boolean" }, { "$ref": "#/$defs/name" }, { "$ref": "#/$defs/sides" }],
        },
        "required": { "description": "Whether a record has to have it.", "type": "boolean" },
        "pattern": { "description": "A regular expression that the whole text has to fit.", "type": "string" },
        "length": { "description": "In characters, or in elements of a list or set.", "$ref": "#/$defs/bounds" },
        "range": { "description": "Of numbers, dates and times, both ends included.", "$ref": "#/$defs/bounds" },
    });
    let mut field = block("A field; SIDE: NAME gives its name on a side.", &["type"], properties);
    field["additionalProperties"] = json!({ "$ref": "#/$defs/on_side" });
    field["allOf"] = json!([
        { "if": { "properties": { "type": { "const": "choice" } } }, "then": { "required": ["of"] } },
        { "if": { "properties": { "type": { "enum": ["reference", "references"] } } }, "then": { "required": ["to"] } },
        { "not": { "required": ["write", "read_only"] } },
    ]);
    field
}

fn bounds() -> Value {
    let properties = json!({ "min": { "$ref": "#/$defs/text" }, "max": { "$ref": "#/$defs/text" } });
    let mut bounds = block("From one value to another, or without one of the two.", &[], properties);
    bounds["minProperties"] = json!(1);
    bounds
}

fn check() -> Value {
    let properties = json!({
        "rule": {
            "description": "What has to hold, in the Common Expression Language: record.start <= record.end. A rule that needs a field which the record does not have says nothing.",
            "type": "string",
        },
        "message": { "description": "What people are told when it does not hold.", "$ref": "#/$defs/text" },
    });
    block("A rule across the fields of a record.", &["rule", "message"], properties)
}

fn on_side() -> Value {
    let properties = json!({
        "name": { "description": "The field's name there.", "$ref": "#/$defs/text" },
        "values": { "description": "OURS: THEIRS.", "type": "object", "additionalProperties": { "$ref": "#/$defs/text" } },
        "scale": {
            "description": "A power of ten: 100 where we keep euros and the side keeps cents.",
            "type": ["number", "string"],
        },
        "dates": {
            "description": "How the side writes dates, or a pattern such as %d.%m.%Y.",
            "anyOf": [{ "enum": ["iso", "epoch_ms", "epoch_s"] }, { "type": "string", "pattern": "%" }],
        },
    });
    json!({ "anyOf": [{ "$ref": "#/$defs/text" }, block("The field's name and form on a side.", &[], properties)] })
}

/// A mapping from this key to a side, directly or as the authority for equal times.
fn ruled_by(key: &str, value: Value) -> Value {
    block("A rule with a side.", &[key], json!({ key: value }))
}

fn shared_rule() -> Value {
    let authority = || json!({ "$ref": "#/$defs/name" });
    let for_equal_times = || ruled_by("authority", authority());
    json!({
        "description": "How concurrent edits are decided.",
        "anyOf": [
            { "enum": ["last_write_wins", "first_write_wins", "manual"] },
            ruled_by("authority", authority()),
            ruled_by("last_write_wins", for_equal_times()),
            ruled_by("first_write_wins", for_equal_times()),
        ],
    })
}

fn rule() -> Value {
    json!({
        "description": "How concurrent edits are decided; merge, max and min fit some types only.",
        "anyOf": [{ "enum": ["merge", "max", "min"] }, { "$ref": "#/$defs/shared_rule" }],
    })
}

fn rows() -> Value {
    let texts = json!({ "type": "array", "items": { "$ref": "#/$defs/text" }, "minItems": 1 });
    let condition = json!({
        "description": "FIELD: VALUE or FIELD: [VALUE, VALUE]; all fields have to have one of theirs.",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": { "anyOf": [{ "$ref": "#/$defs/text" }, texts] },
    });
    let words = json!({
        "description": "own: the person's record, company, and what refers to the person; company: what refers to the company.",
        "enum": ["own", "company", "all"],
    });
    json!({ "anyOf": [words, block("A condition.", &["where"], json!({ "where": condition }))] })
}

fn role() -> Value {
    let properties = json!({
        "rows": {
            "description": "The records it reaches, by kind; \"*\" stands for the rest.",
            "type": "object",
            "additionalProperties": { "$ref": "#/$defs/rows" },
        },
        "read": { "description": "KIND.FIELD, KIND.* or \"*\"; the field `existence` is whether and why the record exists.", "$ref": "#/$defs/names" },
        "write": { "description": "KIND.FIELD, KIND.* or \"*\".", "$ref": "#/$defs/names" },
    });
    block("What a role may do.", &["rows"], properties)
}

#[cfg(test)]
mod tests {
    use super::super::{check, fields, form, limits, permissions, read, records, rule, sides};
    use super::*;

    fn sorted<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let mut words: Vec<_> = words.into_iter().collect();
        words.sort_unstable();
        words
    }

    fn keys(value: &Value) -> Vec<&str> {
        sorted(value["properties"].as_object().expect("a block has properties").keys().map(String::as_str))
    }

    fn words(value: &Value) -> Vec<&str> {
        sorted(
            value["enum"]
                .as_array()
                .expect("a choice has words")
                .iter()
                .map(|word| word.as_str().expect("a word is a text")),
        )
    }

    fn firsts<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
        sorted(table.iter().map(|(word, _)| *word))
    }

    #[test]
    fn the_schema_has_exactly_the_keys_that_are_read() {
        let schema = schema();
        let defs = &schema["$defs"];
        let blocks: &[(&Value, &[&str])] = &[
            (&defs["manifest"], read::TOP),
            (&defs["defaults"], read::DEFAULTS),
            (&defs["side"], sides::SIDE),
            (&defs["credentials"], sides::CREDENTIALS),
            (&defs["capture"], sides::CAPTURE),
            (&defs["quota"], sides::QUOTA),
            (&defs["clock"]["anyOf"][1], sides::CLOCK),
            (&defs["cooldown"], sides::COOLDOWN),
            (&defs["kind"], records::KIND),
            (&defs["field"], fields::FIELD),
            (&defs["on_side"]["anyOf"][1], form::ON_SIDE),
            (&defs["role"], permissions::ROLE),
            (&defs["rows"]["anyOf"][1], permissions::CONDITION),
            (&defs["check"], check::CHECK),
            (&defs["bounds"], limits::BOUNDS),
        ];
        for (block, read) in blocks {
            assert_eq!(keys(block), sorted(read.iter().copied()));
        }
    }

    #[test]
    fn the_schema_has_exactly_the_words_that_are_read() {
        let schema = schema();
        let defs = &schema["$defs"];
        assert_eq!(words(&defs["field"]["properties"]["type"]), sorted(fields::TYPES.iter().copied()));
        assert_eq!(words(&defs["side"]["properties"]["connector"]), firsts(sides::CONNECTORS));
        assert_eq!(words(&defs["clock"]["anyOf"][0]), firsts(sides::STEPS));
        assert_eq!(words(&defs["deletes"]), firsts(records::DELETES));
        assert_eq!(words(&defs["rows"]["anyOf"][0]), firsts(permissions::ROWS));
        assert_eq!(
            words(&defs["on_side"]["anyOf"][1]["properties"]["dates"]["anyOf"][0]),
            sorted(form::DATES.iter().copied())
        );
        let sides = &defs["manifest"]["properties"]["sides"];
        assert_eq!(words(&sides["propertyNames"]["not"]), sorted(fields::FIELD.iter().copied()));

        let rules = words(&defs["rule"]["anyOf"][0]).into_iter().chain(words(&defs["shared_rule"]["anyOf"][0]));
        assert_eq!(sorted(rules), sorted(rule::WORDS.iter().copied()));
        let with_side = defs["shared_rule"]["anyOf"].as_array().expect("rules are a choice")[1..].iter().flat_map(keys);
        assert_eq!(sorted(with_side), sorted(rule::WITH_SIDE.iter().copied()));
    }
}

//! What is said of broken manifests: the place of every fault, and its cure.

use syncline::manifest::{Fault, Manifest};

const WORKLOAD: &str = include_str!("examples/workload.yaml");
const EVERY_KEY: &str = include_str!("examples/every-key.yaml");

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

/// A small manifest without faults that the broken ones are made from.
const BASE: &str = r#"syncline: 1
tenant: acme
sides:
  crm: { connector: none }
  portal: { connector: none }
defaults: { rule: manual }
records:
  contact:
    match_on: [email]
    fields:
      email: { type: email }
      stage: { type: choice, of: [lead, customer] }
      notes: { type: long_text, rule: merge }
      firm: { type: reference, to: company, crm: firm }
  company:
    fields:
      name: { type: string }
permissions:
  customer: { rows: { contact: own }, read: [contact.email] }
"#;

/// What is changed in [`BASE`], into what, and every fault that follows.
const BROKEN: &[(&str, &str, &[&str])] = &[
    (
        "syncline: 1\n",
        "",
        &["1:1: the manifest has no `syncline`; begin with `syncline: 1`, the version of the format"],
    ),
    (
        "syncline: 1\n",
        "syncline: 2\n",
        &["1:11: version `2` of the format is not known here; this engine reads `syncline: 1`"],
    ),
    (
        "tenant: acme",
        "tenent: acme",
        &[
            "1:1: the manifest has no `tenant`; add `tenant: NAME`",
            "2:1: the manifest has no key `tenent`; did you mean `tenant`?",
        ],
    ),
    (
        "tenant: acme",
        "tenant: a/b",
        &["2:9: the tenant cannot be called `a/b`; use 1 to 64 letters a-z, digits, `_` and `-`"],
    ),
    (
        "tenant: acme",
        "tenant: acme\npublic_url: sync.example",
        &["3:13: `public_url` is not an address; write https://HOST/PATH"],
    ),
    (
        "tenant: acme",
        "tenant: acme\npublic_url: https://me:hunter2@sync.example",
        &[
            "3:13: `public_url` holds a user name or password; leave it out; secrets go to `credentials`, as env:NAME or file:PATH",
        ],
    ),
    (
        "tenant: acme",
        "tenant: acme\ntenant: acme",
        &["3:1: the key `tenant` is written twice; keep one of the two; the first is on line 2"],
    ),
    (
        "tenant: acme",
        "tenant: [acme",
        &[
            "3:6: this is not YAML: illegal placement of ':' indicator; check the indentation, and quote texts with special characters",
        ],
    ),
    (
        "tenant: acme",
        "tenant: !name acme",
        &["2:15: tags have no meaning in a manifest; leave the tag out; quote a text to keep it a text"],
    ),
    (
        "tenant: acme",
        "tenant: acme\npermission: *none",
        &[
            "3:13: this is not YAML: while parsing node, found unknown anchor; write `&NAME` before the value that the alias means, above this line; a `*` for the rest is quoted: \"*\"",
        ],
    ),
    (
        "  crm: { connector: none }\n",
        "\tcrm: { connector: none }\n",
        &[
            "4:2: this is not YAML: tabs disallowed within this context (block indentation); indent with spaces, not with tabs",
        ],
    ),
    (
        "  portal: { connector: none }\n",
        "",
        &["4:3: there are fewer than two sides; name the sides that have to agree, such as `crm` and `portal`"],
    ),
    (
        "crm: { connector: none }",
        "crm: { connector: hubpsot }",
        &["4:21: `connector` of side `crm` cannot be `hubpsot`; did you mean `hubspot`?"],
    ),
    (
        "crm: { connector: none }",
        "crm: { connector: none, conector: none }",
        &["4:27: side `crm` has no key `conector`; did you mean `connector`?"],
    ),
    (
        "crm: { connector: none }",
        "crm: { connector: hubspot }",
        &[
            "4:3: side `crm` has no token to call HubSpot with; add `credentials: { token: env:NAME }`",
            "4:3: side `crm` takes webhooks but has no secret to check them with; add `credentials: { webhook_secret: env:NAME }`, or switch them off with `capture: { webhooks: false }`",
        ],
    ),
    (
        "crm: { connector: none }",
        "crm: { connector: hubspot, credentials: { token: pat-na1-secret, webhook_secret: env:S } }",
        &[
            "4:52: `token` of `credentials` of side `crm` does not say where the secret is; write env:NAME or file:PATH, and never the value; if it was one, it is in the repository now: replace it",
        ],
    ),
    (
        "crm: { connector: none }",
        "crm: { connector: none, capture: { poll: 5 minutes, webhooks: yes } }",
        &[
            "4:44: `poll` of `capture` of side `crm` is not a length of time; write a number and a unit: 500ms, 30s, 5m, 1h or 3d",
            "4:65: `webhooks` of `capture` of side `crm` is neither true nor false; write `true` or `false`, without quotation marks",
        ],
    ),
    (
        "crm: { connector: none }",
        "crm: { connector: none, quota: { per_day: 0 } }",
        &[
            "4:45: `per_day` of `quota` of side `crm` is not a whole number from 1 to 1000000000; write digits only, such as 100",
        ],
    ),
    (
        "crm: { connector: none }",
        "crm: { connector: none, clock: second }",
        &["4:34: `clock` of side `crm` cannot be `second`; did you mean `seconds`?"],
    ),
    (
        "crm: { connector: none }",
        "crm: { connector: none, cooldown: { flips: 3 } }",
        &["4:37: `cooldown` of side `crm` has no `within`; write both: { flips: 10, within: 10m }"],
    ),
    (
        "crm: { connector: none }",
        "crm: none",
        &["4:8: side `crm` is not a mapping; write `key: value` pairs, indented below it or in braces"],
    ),
    (
        "portal: { connector: none }",
        "portal: { connector: portal, credentials: { webhook_secret: env:S } }",
        &["5:3: side `portal` has no address to deliver to; add `deliver_to: https://...`"],
    ),
    (
        "portal: { connector: none }",
        "type: { connector: none }",
        &["5:3: a side cannot be called `type`; a field has a key of that name; choose another one"],
    ),
    (
        "rule: manual",
        "rule: newest",
        &[
            "6:19: `rule` of `defaults` cannot be `newest`; the rules are `last_write_wins`, `first_write_wins`, `merge`, `max`, `min`, `manual`, `authority`",
        ],
    ),
    (
        "rule: manual",
        "rule: merge",
        &["6:19: `rule` of `defaults` is `merge`, which does not fit every type; write it at the fields that it fits"],
    ),
    (
        "rule: manual",
        "rule: authority",
        &["6:19: `rule` of `defaults` does not say which side is the authority; write { authority: SIDE }"],
    ),
    (
        "rule: manual",
        "rule: { authority: cmr }",
        &["6:32: `rule` of `defaults` names `cmr`, which is not a side; did you mean `crm`?"],
    ),
    (
        "rule: manual",
        "rule: { last_write_wins: crm }",
        &[
            "6:38: `rule` of `defaults` has more than an authority for equal times; write `last_write_wins` alone, or { last_write_wins: { authority: SIDE } } for equal times",
        ],
    ),
    (
        "rule: manual",
        "rule: { max: crm }",
        &["6:21: `rule` of `defaults` cannot be `max` with a value; write `max` alone"],
    ),
    (
        "rule: manual",
        "rule: manual, deletes: never",
        &["6:36: `deletes` of `defaults` cannot be `never`; it is one of `manual`, `delete_wins`, `edit_wins`"],
    ),
    (
        "match_on: [email]",
        "match_on: [emial]",
        &["9:16: `match_on` of kind `contact` names `emial`, which is not among its fields; did you mean `email`?"],
    ),
    (
        "match_on: [email]",
        "match_on: email",
        &["9:15: `match_on` of kind `contact` is not a list; write it in brackets: [a, b]"],
    ),
    (
        "match_on: [email]",
        "sides: { crm: contacts, shop: customer }",
        &["9:29: `sides` of kind `contact` names `shop`, which is not a side; the sides are `crm`, `portal`"],
    ),
    (
        "match_on: [email]",
        "sides: { crm: company }",
        &["15:3: kinds `contact` and `company` are both `company` on `crm`; give one of them another name on `crm`"],
    ),
    (
        "match_on: [email]",
        "deletes:",
        &["9:5: `deletes` of kind `contact` has no value; write one, or leave the key out"],
    ),
    (
        "type: email",
        "type: e-mail",
        &["11:22: `type` of field `email` of kind `contact` cannot be `e-mail`; did you mean `email`?"],
    ),
    (
        "type: email",
        "required: true",
        &[
            "11:14: field `email` of kind `contact` has no `type`; add `type: string`, or another of `string`, `email`, `integer`, `decimal`, `boolean`, `date`, `datetime`, `choice`, `list`, `reference`, `references`, `any`, `long_text`, `set`, `counter`",
        ],
    ),
    (
        "type: email",
        "type: email, rule: max",
        &[
            "11:35: `rule` of field `email` of kind `contact` is `max`, which does not fit its type; it fits `integer`, `decimal`, `date` and `datetime`",
        ],
    ),
    (
        "type: email",
        "type: email, required: \"true\"",
        &[
            "11:39: `required` of field `email` of kind `contact` is neither true nor false; write `true` or `false`, without quotation marks",
        ],
    ),
    (
        "type: email",
        "type: email, crm: mail, rule: { authority: portal }",
        &[
            "11:46: `rule` of field `email` of kind `contact` trusts `portal`, which does not show the field; add `portal: NAME` to the field, or name another side",
        ],
    ),
    (
        "type: email",
        "type: email, write: []",
        &["11:36: `write` of field `email` of kind `contact` names no side; name some of `crm`, `portal`"],
    ),
    (
        "type: email",
        "type: email, write: [portal], rule: { authority: crm }",
        &[
            "11:52: `rule` of field `email` of kind `contact` trusts `crm`, whose edits do not count; add `crm` to `write`, or choose another rule",
        ],
    ),
    (
        "type: email",
        "type: email, read_only: true",
        &[
            "11:40: `read_only` of field `email` of kind `contact` does not say for whom, and the rule names no authority; name the sides: write: [SIDE] for those whose edits count, or read_only: [SIDE] for the others",
        ],
    ),
    (
        "type: email",
        "type: email, read_only: [crm, portal]",
        &[
            "11:40: `read_only` of field `email` of kind `contact` leaves no side whose edits count; leave one out: the side that the values come from",
        ],
    ),
    (
        "type: email",
        "type: email, write: [crm], read_only: [portal]",
        &[
            "11:54: field `email` of kind `contact` says both `write` and `read_only`; keep `write`, the sides whose edits count",
        ],
    ),
    (
        "type: email",
        "type: email, crm: { scale: 100 }",
        &[
            "11:43: `scale` of field `email` of kind `contact` on `crm` does not fit the field's type; only `decimal` has a scale",
        ],
    ),
    (
        "type: email",
        "type: email, of: [a]",
        &[
            "11:33: `of` of field `email` of kind `contact` has no meaning with type `email`; it belongs to `type: choice`",
        ],
    ),
    (
        "type: email",
        "type: email, format: \".+@.+\"",
        &[
            "11:29: field `email` of kind `contact` has no key `format`; its keys are `type`, `of`, `to`, `rule`, `write`, `read_only`, `required`, `pattern`, `length`, `range`, `crm`, `portal`",
        ],
    ),
    (
        "of: [lead, customer]",
        "of: []",
        &["12:34: `of` of field `stage` of kind `contact` lists no choice; list the choices: of: [lead, customer]"],
    ),
    (
        "of: [lead, customer]",
        "crm: stage",
        &["12:14: field `stage` of kind `contact` has no `of`; list the choices: of: [lead, customer]"],
    ),
    (
        "of: [lead, customer]",
        "of: [lead, lead]",
        &["12:41: `of` of field `stage` of kind `contact` lists `lead` twice; keep one of the two"],
    ),
    (
        "of: [lead, customer]",
        "of: [lead, customer], crm: { values: { led: L, customer: C } }",
        &[
            "12:69: `values` of field `stage` of kind `contact` on `crm` maps `led`, which is no value of the field; did you mean `lead`?",
        ],
    ),
    (
        "of: [lead, customer]",
        "of: [lead, customer], crm: { values: { lead: C, customer: C } }",
        &[
            "12:88: `values` of field `stage` of kind `contact` on `crm` writes both `lead` and `customer` as `C`; give each a value of its own, or the way back is lost",
        ],
    ),
    (
        "of: [lead, customer]",
        "of: [lead, customer], crm: { values: { lead: customer } }",
        &[
            "12:67: `values` of field `stage` of kind `contact` on `crm` writes `lead` as `customer`, which is also a choice that it leaves as it is; say what `customer` is there",
        ],
    ),
    (
        "type: long_text, rule: merge",
        "type: decimal, rule: merge, crm: { scale: 60 }",
        &[
            "13:37: `rule` of field `notes` of kind `contact` is `merge`, which does not fit its type; it fits `long_text`, `set`, `references` and `counter`",
            "13:58: `scale` of field `notes` of kind `contact` on `crm` is not a power of ten; write 100 or 0.01; other factors cannot be undone exactly",
        ],
    ),
    (
        "type: long_text, rule: merge",
        "type: date, crm: { dates: \"%d.%m.\" }, portal: { dates: epoch }",
        &[
            "13:42: `dates` of field `notes` of kind `contact` on `crm` does not give the same date back; name all parts, such as %d.%m.%Y, or %Y-%m-%d %H:%M:%S for instants",
            "13:71: `dates` of field `notes` of kind `contact` on `portal` cannot be `epoch`; did you mean `epoch_s`?",
        ],
    ),
    (
        "type: long_text, rule: merge",
        "type: string, crm: firm",
        &[
            "14:7: fields `notes` and `firm` of kind `contact` are both `firm` on `crm`; one field of `crm` can follow only one of ours: leave one out",
        ],
    ),
    (
        "to: company",
        "to: compny",
        &[
            "14:36: `to` of field `firm` of kind `contact` names `compny`, which is no record kind; did you mean `company`?",
        ],
    ),
    (", to: company", "", &["14:13: field `firm` of kind `contact` has no `to`; name the kind it refers to: to: KIND"]),
    (
        "      name: { type: string }",
        "      *: { type: string }",
        &[
            "17:7: this is not YAML: while parsing node, found unknown anchor; write `&NAME` before the value that the alias means, above this line; a `*` for the rest is quoted: \"*\"",
        ],
    ),
    (
        "      name: { type: string }",
        "      \"*\": { type: string, crm: rest }",
        &[
            "17:28: field `*` of kind `company` has a name on `crm`; it stands for many fields, which keep their own names",
        ],
    ),
    (
        "      name: { type: string }",
        "      name:",
        &[
            "17:11: field `name` of kind `company` is not a mapping; write `key: value` pairs, indented below it or in braces",
        ],
    ),
    (
        "      name: { type: string }",
        "      {}",
        &["17:7: `fields` of kind `company` names none; add one, such as `name: { type: string }`"],
    ),
    (
        "  company:\n",
        "  com.pany:\n",
        &[
            "14:36: `to` of field `firm` of kind `contact` names `company`, which is no record kind; did you mean `com.pany`?",
            "15:3: a record kind cannot be called `com.pany`; use 1 to 64 letters a-z, digits, `_` and `-`",
        ],
    ),
    (
        "rows: { contact: own }",
        "rows: { contacts: own }",
        &["19:23: `rows` of role `customer` names `contacts`, which is no record kind; did you mean `contact`?"],
    ),
    (
        "rows: { contact: own }",
        "rows: { contact: mine }",
        &["19:32: `contact` in `rows` of role `customer` cannot be `mine`; it is one of `own`, `company`, `all`"],
    ),
    (
        "rows: { contact: own }",
        "rows: { contact: { where: { stage: [lead, cusomer], emial: x } } }",
        &[
            "19:57: `stage` of `where` of `contact` in `rows` of role `customer` is not one of lead, customer; write a value that the field can have",
            "19:67: `emial` of `where` of `contact` in `rows` of role `customer` is about no field of kind `contact`; did you mean `email`?",
        ],
    ),
    (
        "rows: { contact: own }",
        "rows: { contact: { where: { notes: x } } }",
        &[
            "19:50: `notes` of `where` of `contact` in `rows` of role `customer` is a field whose values a condition cannot name; choose a field of one of the types string, email, integer, decimal, boolean, date, choice, reference and any",
        ],
    ),
    (
        "rows: { contact: own }",
        "rows: { contact: { when: { stage: lead } } }",
        &[
            "19:32: `contact` in `rows` of role `customer` has no `where`; write a word, such as `own`, or a condition: { where: { FIELD: VALUE } }",
            "19:34: `contact` in `rows` of role `customer` has no key `when`; did you mean `where`?",
        ],
    ),
    (
        "rows: { contact: own }",
        "rows: { contact: { where: {} } }",
        &[
            "19:41: `where` of `contact` in `rows` of role `customer` names no field; write `all` if every record is meant",
        ],
    ),
    (
        "rows: { contact: own }",
        "rows: { contact: { where: { stage: [] } } }",
        &["19:50: `stage` of `where` of `contact` in `rows` of role `customer` names no value; name at least one"],
    ),
    (
        "email: { type: email }",
        r#"email: { type: email, pattern: "(", range: { min: 1 } }"#,
        &[
            "11:38: `pattern` of field `email` of kind `contact` is no pattern; write a regular expression that the whole text has to fit, such as [A-Z]{2}[0-9]+; quote it",
            "11:50: `range` of field `email` of kind `contact` has no meaning with its type; it is for numbers, dates and times",
        ],
    ),
    (
        "email: { type: email }",
        r#"email: { type: email, pattern: "(" }"#,
        &[
            "11:38: `pattern` of field `email` of kind `contact` is no pattern; write a regular expression that the whole text has to fit, such as [A-Z]{2}[0-9]+; quote it",
        ],
    ),
    (
        "email: { type: email }",
        "email: { type: email, length: { min: 5, max: 4 } }",
        &["11:37: `length` of field `email` of kind `contact` has no room between `min` and `max`; exchange the two"],
    ),
    (
        "email: { type: email }",
        "email: { type: email, length: { most: 4 } }",
        &[
            "11:37: `length` of field `email` of kind `contact` says nothing; write `min`, `max` or both: { min: 1, max: 10 }",
            "11:39: `length` of field `email` of kind `contact` has no key `most`; its keys are `min`, `max`",
        ],
    ),
    (
        "email: { type: email }",
        "email: { type: email, length: {} }",
        &[
            "11:37: `length` of field `email` of kind `contact` says nothing; write `min`, `max` or both: { min: 1, max: 10 }",
        ],
    ),
    (
        "email: { type: email }",
        "email: { type: email, length: { min: -1 } }",
        &[
            "11:44: `min` of `length` of field `email` of kind `contact` is not a whole number from 1 to 1048576; write digits only, such as 100",
        ],
    ),
    (
        "email: { type: email }",
        "email: { type: date, length: { min: 1 }, pattern: x }",
        &[
            "11:36: `length` of field `email` of kind `contact` has no meaning with its type; it is for texts, lists and sets",
            "11:57: `pattern` of field `email` of kind `contact` has no meaning with its type; it is for texts: string, email and long_text",
        ],
    ),
    (
        "email: { type: email }",
        "email: { type: date, range: { min: 2026-02-30 } }",
        &[
            "11:42: `min` of `range` of field `email` of kind `contact` is no value of the field's type; write a value that the field can have",
        ],
    ),
    (
        "    match_on: [email]\n",
        "    match_on: [email]\n    checks: [{ rule: record.emial != 'x', message: none }]\n",
        &[
            "10:22: rule 1 of `checks` of kind `contact` names `record.emial`, which is not among the kind's fields; did you mean `email`?",
        ],
    ),
    (
        "    match_on: [email]\n",
        "    match_on: [email]\n    checks: [{ rule: record.email <, message: none }]\n",
        &[
            "10:22: rule 1 of `checks` of kind `contact` cannot be read at character 14; write it like `record.start <= record.end`",
        ],
    ),
    (
        "    match_on: [email]\n",
        "    match_on: [email]\n    checks: [{ rule: email != 'x' }]\n",
        &[
            "10:14: rule 1 of `checks` of kind `contact` has no `message`; say in words for people what has to hold",
            "10:22: rule 1 of `checks` of kind `contact` names `email`, which is not `record.FIELD`; name fields as record.FIELD, and put texts in quotation marks",
        ],
    ),
    (
        "    match_on: [email]\n",
        "    match_on: [email]\n    checks: [{ message: none }]\n",
        &[
            "10:14: rule 1 of `checks` of kind `contact` has no `rule`; write what has to hold, such as `rule: record.start <= record.end`",
        ],
    ),
    (
        "    match_on: [email]\n",
        "    match_on: [email]\n    checks: [{ rule: size(record.email), message: none }]\n",
        &["10:22: rule 1 of `checks` of kind `contact` does not come to true or false; compare it with something"],
    ),
    (
        "    match_on: [email]\n",
        "    match_on: [email]\n    checks: record.email != 'x'\n",
        &["10:13: `checks` of kind `contact` is not a list; write it in brackets: [a, b]"],
    ),
    (
        "rows: { contact: own }, ",
        "",
        &["19:13: role `customer` has no `rows`; say which records it reaches: rows: { KIND: own }"],
    ),
    (
        "read: [contact.email]",
        "read: [contact.mail]",
        &["19:46: `read` of role `customer` names `mail`, which is no field of kind `contact`; did you mean `email`?"],
    ),
    (
        "read: [contact.email]",
        "read: [email, contcat.*]",
        &[
            "19:46: `email` in `read` of role `customer` does not name a field; write KIND.FIELD, such as `email.*` for all fields of a kind, or \"*\" for all",
            "19:53: `read` of role `customer` names `contcat`, which is no record kind; did you mean `contact`?",
        ],
    ),
    (
        "read: [contact.email] }",
        "read: [contact.email] }\n---\nsyncline: 1",
        &["20:1: a second document begins here; keep one manifest a file"],
    ),
];

#[test]
fn each_broken_manifest_is_answered_with_the_place_and_the_cure() {
    let mut wrong = String::new();
    for (old, new, expected) in BROKEN {
        assert_eq!(BASE.matches(old).count(), 1, "`{old}` is at one place of the base");
        let told = match Manifest::parse(&BASE.replacen(old, new, 1)) {
            Ok(_) => "no fault\n".to_owned(),
            Err(faults) => lines(&faults),
        };
        if told != expected.iter().map(|line| format!("{line}\n")).collect::<String>() {
            wrong.push_str(&format!("`{old}` -> `{new}` is answered\n{told}\n"));
        }
    }
    assert_eq!(wrong, "");
}

#[test]
fn the_base_of_the_broken_manifests_has_no_faults() {
    assert!(Manifest::parse(BASE).is_ok());
}

#[test]
fn faults_in_different_parts_are_told_all_at_once_in_the_order_of_the_text() {
    let text = BASE.replace("type: email", "type: emial").replace("rows: { contact: own }", "rows: { contact: mine }");
    let text = text.replace("portal: { connector: none }", "portal: { connector: none, colour: red }");
    let faults = Manifest::parse(&text).expect_err("three words are wrong");
    assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [5, 11, 19], "{}", lines(&faults));
}

#[test]
fn a_fault_in_what_aliases_repeat_is_told_once_where_it_stands() {
    let text = WORKLOAD.replace("type: decimal", "type: decimals");
    let faults = Manifest::parse(&text).expect_err("there is no such type");
    assert_eq!(faults.len(), 1, "{}", lines(&faults));
    assert_eq!(&text.lines().nth(faults[0].line - 1).expect("the line is there")[faults[0].column - 1..], "decimals }");
}

#[test]
fn a_secret_in_the_manifest_is_not_repeated_by_any_fault() {
    for written in
        ["token: hunter2", "webhook_secret: [env:A, hunter2]", "token: { value: hunter2 }", "token: env:hunter2!"]
    {
        let text = BASE
            .replace("crm: { connector: none }", &format!("crm: {{ connector: none, credentials: {{ {written} }} }}"));
        let faults = Manifest::parse(&text).expect_err("a literal is refused");
        assert!(!lines(&faults).contains("hunter2"), "{}", lines(&faults));
        assert!(lines(&faults).contains("env:NAME or file:PATH"), "{}", lines(&faults));
    }
}

#[test]
fn what_is_no_manifest_at_all_is_refused_with_a_hint() {
    for (text, expected) in [
        ("", "1:1: the manifest is empty; begin with `syncline: 1`, `tenant: NAME` and `sides:`"),
        ("# nothing\n", "1:1: the manifest is empty; begin with `syncline: 1`, `tenant: NAME` and `sides:`"),
        ("[1, 2]", "1:1: the manifest is not a mapping; write `key: value` pairs, indented below it or in braces"),
    ] {
        let faults = Manifest::parse(text).expect_err("it is no manifest");
        assert_eq!(lines(&faults).trim_end(), expected);
    }
    let long = format!("# {}", "x".repeat(1 << 20));
    let faults = Manifest::parse(&long).expect_err("it is too long");
    assert_eq!(lines(&faults), "1:1: the manifest is 1048578 bytes long; at most 524288 are read\n");
}

/// Reads a text that may be broken anywhere, and checks that each fault points into it.
fn read_or_point_at_it(text: &str) {
    for fault in Manifest::parse(text).err().unwrap_or_default() {
        let lines = text.lines().count().max(1);
        assert!((1..=lines + 1).contains(&fault.line) && fault.column >= 1, "{fault}\n{text}");
    }
}

#[test]
fn a_manifest_cut_anywhere_is_read_or_answered_with_faults_that_point_into_it() {
    for (end, _) in EVERY_KEY.char_indices() {
        read_or_point_at_it(&EVERY_KEY[..end]);
    }
}

#[test]
fn a_manifest_without_one_of_its_words_is_read_or_answered_with_faults_that_point_into_it() {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let starts = EVERY_KEY.char_indices().filter(|&(at, c)| is_word(c) && !EVERY_KEY[..at].ends_with(is_word));
    for (start, _) in starts {
        let word = EVERY_KEY[start..].split(|c| !is_word(c)).next().unwrap_or_default();
        for other in ["", "[]", "{ a: b }", "~", "\"*\"", "x", "crm"] {
            read_or_point_at_it(&format!("{}{other}{}", &EVERY_KEY[..start], &EVERY_KEY[start + word.len()..]));
        }
    }
}

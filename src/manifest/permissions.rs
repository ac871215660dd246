//! The manifest's `permissions`: which role may read and write which fields of which records.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    ANY, Field,
    block::{self, Block, entries},
    fault::{At, Faults, among},
    read::name,
    records::Records,
    yaml::{Key, Node, Value as Tree},
};
use crate::{field::FieldType, id::FieldName, rulebook::EXISTENCE_NAME, value::Value};

pub(super) const ROLE: &[&str] = &["rows", "read", "write"];
pub(super) const ROWS: &[(&str, Rows)] = &[("own", Rows::Own), ("company", Rows::Company), ("all", Rows::All)];
/// The keys of rows that are a condition.
pub(super) const CONDITION: &[&str] = &["where"];
/// The types whose values a condition can name.
const PLAIN_TYPES: &str = "string, email, integer, decimal, boolean, date, choice, reference and any";

/// What a role may do. What is not allowed is forbidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Role {
    /// The records it reaches, by kind; [`ANY`] stands for the rest.
    pub rows: BTreeMap<String, Rows>,
    /// The fields it may read.
    pub read: Vec<FieldPattern>,
    /// The fields it may write.
    pub write: Vec<FieldPattern>,
}

/// Which records of a kind a role reaches.
///
/// Which kind the persons and which the companies are tell the records that a principal names. A field of type
/// `reference` makes a record someone's, whatever the field is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Rows {
    /// The person's own record, the person's company, and the records with a reference to the person.
    Own,
    /// The person's company, and the records with a reference to it, such as its other people.
    Company,
    /// All.
    All,
    /// Those whose fields have one of these values each; numbers by their value.
    Where(BTreeMap<FieldName, Vec<Value>>),
}

/// Fields of one kind, or of any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FieldPattern {
    /// The kind; `None`: any.
    pub kind: Option<String>,
    /// The field; `None`: any.
    pub field: Option<String>,
}

impl FieldPattern {
    /// Whether this field is meant.
    pub fn covers(&self, kind: &str, field: &str) -> bool {
        self.is_of(kind) && self.field.as_ref().is_none_or(|own| own == field)
    }

    /// Whether fields of this kind are meant.
    pub fn is_of(&self, kind: &str) -> bool {
        self.kind.as_ref().is_none_or(|own| own == kind)
    }
}

impl Role {
    /// The records of a kind that it reaches; `None`: none of them.
    pub fn rows(&self, kind: &str) -> Option<&Rows> {
        self.rows.get(kind).or_else(|| self.rows.get(ANY))
    }

    /// Whether it may read this field, of records that it reaches.
    pub fn may_read(&self, kind: &str, field: &str) -> bool {
        self.read.iter().any(|pattern| pattern.covers(kind, field))
    }

    /// Whether it may write this field, of records that it reaches.
    pub fn may_write(&self, kind: &str, field: &str) -> bool {
        self.write.iter().any(|pattern| pattern.covers(kind, field))
    }
}

/// All roles that could be read.
pub(super) fn read(node: &Node, records: &Records, faults: &mut Faults) -> BTreeMap<String, Role> {
    let mut roles = BTreeMap::new();
    for (key, node) in entries(node, "`permissions`", faults).unwrap_or_default() {
        let about = format!("role `{}`", key.text);
        let named = name(key.at, &key.text, "a role", faults);
        let role = role(node, &about, records, faults);
        if let (Some(name), Some(role)) = (named, role) {
            roles.insert(name.to_owned(), role);
        }
    }
    roles
}

fn role(node: &Node, about: &str, records: &Records, faults: &mut Faults) -> Option<Role> {
    let block = Block::open(node, about, ROLE, &[], faults)?;
    let rows = block.need("rows", "say which records it reaches: rows: { KIND: own }", faults);
    let rows = rows.map(|node| rows_by_kind(node, &block.of("rows"), records, faults)).unwrap_or_default();
    let mut fields =
        |key: &str| block.get(key).map(|node| patterns(node, &block.of(key), records, faults)).unwrap_or_default();
    let (read, write) = (fields("read"), fields("write"));
    block.done();
    Some(Role { rows, read, write })
}

fn rows_by_kind(node: &Node, about: &str, records: &Records, faults: &mut Faults) -> BTreeMap<String, Rows> {
    let mut rows = BTreeMap::new();
    for (key, node) in entries(node, about, faults).unwrap_or_default() {
        known_kind(key.at, &key.text, about, records, faults);
        let about = format!("`{}` in {about}", key.text);
        let reach = match &node.value {
            Tree::Map(_) => condition(node, &about, &key.text, records, faults),
            _ => block::word(node, &about, ROWS, faults),
        };
        rows.extend(reach.map(|reach| (key.text.clone(), reach)));
    }
    rows
}

/// `{ where: { FIELD: VALUE, FIELD: [VALUE, VALUE] } }`.
fn condition(node: &Node, about: &str, kind: &str, records: &Records, faults: &mut Faults) -> Option<Rows> {
    let block = Block::open(node, about, CONDITION, &[], faults)?;
    let node = block.need("where", "write a word, such as `own`, or a condition: { where: { FIELD: VALUE } }", faults);
    let about = block.of("where");
    block.done();
    let node = node?;
    let written = entries(node, &about, faults)?;
    if written.is_empty() {
        faults.add(node.at, format!("{about} names no field"), "write `all` if every record is meant");
        return None;
    }
    let mut conditions = BTreeMap::new();
    for (key, node) in written {
        let about = format!("`{}` of {about}", key.text);
        let Some(field) = condition_field(key, &about, kind, records, faults) else { continue };
        let values = condition_values(node, &about, &field.spec.kind, faults);
        if let (Ok(name), Some(values)) = (FieldName::new(&key.text), values) {
            conditions.insert(name, values);
        }
    }
    Some(Rows::Where(conditions))
}

/// The field of a condition; a kind that could not be read has had its own faults.
fn condition_field<'a>(
    key: &Key,
    about: &str,
    kind: &str,
    records: &'a Records,
    faults: &mut Faults,
) -> Option<&'a Field> {
    if let Err(fields) = records.has_field(kind, &key.text) {
        let hint = among(&key.text, &fields, "its fields are");
        faults.add(key.at, format!("{about} is about no field of kind `{kind}`"), hint);
        return None;
    }
    let of = |kind: &str| records.kinds.get(kind).and_then(|kind| kind.field(&key.text));
    of(kind).or_else(|| of(ANY))
}

fn condition_values(node: &Node, about: &str, kind: &FieldType, faults: &mut Faults) -> Option<Vec<Value>> {
    let is_plain = !matches!(kind, FieldType::List | FieldType::LongText | FieldType::Counter | FieldType::Datetime);
    if !is_plain || kind.is_set() {
        faults.add(node.at, format!("{about} is a field whose values a condition cannot name"), {
            format!("choose a field of one of the types {PLAIN_TYPES}")
        });
        return None;
    }
    let nodes: Vec<&Node> = match &node.value {
        Tree::List(items) => items.iter().map(|item| &**item).collect(),
        _ => vec![node],
    };
    if nodes.is_empty() {
        faults.add(node.at, format!("{about} names no value"), "name at least one");
        return None;
    }
    let mut values: Vec<_> = nodes.into_iter().filter_map(|node| condition_value(node, about, kind, faults)).collect();
    values.sort();
    values.dedup();
    Some(values)
}

fn condition_value(node: &Node, about: &str, kind: &FieldType, faults: &mut Faults) -> Option<Value> {
    let text = block::text(node, about, faults)?;
    // Without quotation marks, `true` and 7 are no texts to a field that takes anything.
    let bare = matches!(node.value, Tree::Text { plain: true, .. });
    let value = match kind {
        FieldType::Any if bare => Value::from_json(text).ok().or_else(|| Some(Value::text(text))),
        FieldType::Integer | FieldType::Decimal | FieldType::Boolean => Value::from_json(text).ok(),
        _ => Some(Value::text(text)),
    };
    match value.as_ref().map(|value| kind.check(value)) {
        Some(Ok(())) => value,
        Some(Err(misfit)) => {
            faults.add(node.at, format!("{about} {misfit}"), "write a value that the field can have");
            None
        }
        None => {
            faults.add(node.at, format!("{about} is no value of its type"), "write a value that the field can have");
            None
        }
    }
}

fn patterns(node: &Node, about: &str, records: &Records, faults: &mut Faults) -> Vec<FieldPattern> {
    let written = block::texts(node, about, faults).unwrap_or_default();
    let mut patterns: Vec<_> =
        written.into_iter().filter_map(|(at, text)| pattern(at, text, about, records, faults)).collect();
    patterns.sort();
    patterns
}

/// `*`, `KIND.*` or `KIND.FIELD`.
fn pattern(at: At, text: &str, about: &str, records: &Records, faults: &mut Faults) -> Option<FieldPattern> {
    if text == ANY {
        return Some(FieldPattern { kind: None, field: None });
    }
    let Some((kind, field)) = text.split_once('.') else {
        let hint = format!("write KIND.FIELD, such as `{text}.*` for all fields of a kind, or \"*\" for all");
        faults.add(at, format!("`{text}` in {about} does not name a field"), hint);
        return None;
    };
    if !known_kind(at, kind, about, records, faults) {
        return None;
    }
    // Whether a record exists, and why, has a name of its own.
    if field != ANY
        && field != EXISTENCE_NAME
        && let Err(fields) = records.has_field(kind, field)
    {
        let hint = among(field, &fields, "its fields are");
        faults.add(at, format!("{about} names `{field}`, which is no field of kind `{kind}`"), hint);
        return None;
    }
    let some = |word: &str| (word != ANY).then(|| word.to_owned());
    Some(FieldPattern { kind: some(kind), field: some(field) })
}

fn known_kind(at: At, kind: &str, about: &str, records: &Records, faults: &mut Faults) -> bool {
    let known = kind == ANY || records.has_kind(kind);
    if !known {
        let hint = among(kind, &records.names, "the kinds are");
        faults.add(at, format!("{about} names `{kind}`, which is no record kind"), hint);
    }
    known
}

//! The manifest's `permissions`: which role may read and write which fields of which records.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    ANY,
    block::{self, Block, entries},
    fault::{At, Faults, among},
    read::name,
    records::Records,
    yaml::Node,
};

pub(super) const ROLE: &[&str] = &["rows", "read", "write"];
pub(super) const ROWS: &[(&str, Rows)] = &[("own", Rows::Own), ("company", Rows::Company), ("all", Rows::All)];

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Rows {
    /// The person's own.
    Own,
    /// Those of the person's company.
    Company,
    /// All.
    All,
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
        self.kind.as_ref().is_none_or(|own| own == kind) && self.field.as_ref().is_none_or(|own| own == field)
    }
}

impl Role {
    /// The records of a kind that it reaches; `None`: none of them.
    pub fn rows(&self, kind: &str) -> Option<Rows> {
        self.rows.get(kind).or_else(|| self.rows.get(ANY)).copied()
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
        if let Some(reach) = block::word(node, &format!("`{}` in {about}", key.text), ROWS, faults) {
            rows.insert(key.text.clone(), reach);
        }
    }
    rows
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
    if field != ANY
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

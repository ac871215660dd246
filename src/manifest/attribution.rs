//! Who is behind a record's writes, and for whom it was made: the `author` and the `made_for` of a record kind.

use std::collections::BTreeMap;

use super::{
    Field, MadeFor,
    block::{self, Block, entries},
    fault::{Faults, among},
    records::side,
    yaml::Node,
};
use crate::id::{FieldName, SideName};

pub(super) const MADE_FOR: &[&str] = &["contact", "company"];

/// The property of each side that is told who is behind a write: `author: { crm: portal_author }`.
pub(super) fn author(node: &Node, about: &str, sides: &[SideName], faults: &mut Faults) -> BTreeMap<SideName, String> {
    let mut properties = BTreeMap::new();
    for (key, node) in entries(node, about, faults).unwrap_or_default() {
        let of = side(key.at, &key.text, about, sides, faults);
        let named = block::text(node, &format!("{about} on `{}`", key.text), faults);
        properties.extend(of.zip(named.map(str::to_owned)));
    }
    properties
}

/// The fields that name for whom a record was made: `made_for: { contact: asker, company: firm }`.
pub(super) fn made_for(node: &Node, about: &str, fields: &BTreeMap<FieldName, Field>, faults: &mut Faults) -> MadeFor {
    let Some(block) = Block::open(node, about, MADE_FOR, &[], faults) else { return MadeFor::default() };
    let mut named = |key: &str| {
        let node = block.get(key)?;
        let name = block::text(node, &block.of(key), faults)?;
        let references: Vec<&str> =
            fields.iter().filter(|(_, field)| field.spec.kind.refers_to().is_some()).map(|(name, _)| &**name).collect();
        if !references.contains(&name) {
            let what = format!("{} names `{name}`, which is no field that names records", block.of(key));
            faults.add(node.at, what, among(name, &references, "they are"));
            return None;
        }
        FieldName::new(name).ok()
    };
    let made_for = MadeFor { contact: named("contact"), company: named("company") };
    block.done();
    made_for
}

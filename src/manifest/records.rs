//! The manifest's `records`: the kinds of records, with their names on each side.

use std::collections::{BTreeMap, HashMap};

use super::{
    ANY, Field, LinkRule, RecordKind, RefusalRule, attribution,
    block::{self, Block, entries},
    check,
    fault::{At, Faults, List, among},
    fields::{self, Setting},
    read::name,
    rule,
    yaml::{Key, Node, Value},
};
use crate::{
    field::{DeleteRule, Rule},
    id::{FieldName, SideName},
};

pub(super) const KIND: &[&str] =
    &["sides", "match_on", "links", "refusals", "deletes", "rule", "fields", "checks", "author", "made_for"];
pub(super) const DELETES: &[(&str, DeleteRule)] =
    &[("manual", DeleteRule::Manual), ("delete_wins", DeleteRule::DeleteWins), ("edit_wins", DeleteRule::EditWins)];

pub(super) const LINKS: &[(&str, LinkRule)] = &[("reviewed", LinkRule::Reviewed), ("certain", LinkRule::Certain)];
pub(super) const REFUSALS: &[(&str, RefusalRule)] =
    &[("parked", RefusalRule::Parked), ("given_back", RefusalRule::GivenBack)];

/// What the rest of the manifest says that matters to a kind.
pub(super) struct Given<'a> {
    pub sides: &'a [SideName],
    pub rule: &'a Rule,
    pub deletes: DeleteRule,
}

/// The kinds, and what was meant to be one: a fault in a kind is no fault of who names it.
#[derive(Default)]
pub(super) struct Records {
    pub names: Vec<String>,
    pub kinds: BTreeMap<String, RecordKind>,
    fields: HashMap<String, Vec<String>>,
}

impl Records {
    /// Whether a kind is known, by its own name or by the one that stands for the rest.
    pub fn has_kind(&self, kind: &str) -> bool {
        self.names.iter().any(|name| name == kind || name == ANY)
    }

    /// Whether a kind has a field.
    ///
    /// # Errors
    /// With the fields that it has.
    pub fn has_field(&self, kind: &str, field: &str) -> Result<(), Vec<String>> {
        let has = |fields: &Vec<String>| fields.iter().any(|name| name == field || name == ANY);
        let found = match kind {
            ANY => self.fields.values().any(has),
            _ => self.fields.get(kind).is_some_and(has) || self.fields.get(ANY).is_some_and(has),
        };
        if found { Ok(()) } else { Err(self.fields.get(kind).cloned().unwrap_or_default()) }
    }
}

/// All kinds that could be read.
pub(super) fn read(node: &Node, given: &Given<'_>, faults: &mut Faults) -> Records {
    let mut records = Records::default();
    let kinds = entries(node, "`records`", faults).unwrap_or_default();
    if kinds.is_empty() && matches!(node.value, Value::Map(_)) {
        faults.add(
            node.at,
            "there is no record kind",
            "add one, such as `contact: { fields: { name: { type: string } } }`",
        );
    }
    records.names = kinds.iter().map(|(key, _)| key.text.clone()).collect();
    records.fields = kinds.iter().map(|(key, node)| (key.text.clone(), field_names(node))).collect();
    for (key, node) in kinds {
        if key.text != ANY && name(key.at, &key.text, "a record kind", faults).is_none() {
            continue;
        }
        if let Some(kind) = kind(key, node, given, &records.names, faults) {
            records.kinds.insert(key.text.clone(), kind);
        }
    }
    shared_names(kinds, &records.kinds, given.sides, faults);
    records
}

/// The names of a kind's fields, whatever else is wrong with it.
fn field_names(node: &Node) -> Vec<String> {
    let Value::Map(kind) = &node.value else { return Vec::new() };
    match kind.iter().find(|(key, _)| key.text == "fields").map(|(_, node)| &node.value) {
        Some(Value::Map(fields)) => fields.iter().map(|(key, _)| key.text.clone()).collect(),
        _ => Vec::new(),
    }
}

fn kind(key: &Key, node: &Node, given: &Given<'_>, kinds: &[String], faults: &mut Faults) -> Option<RecordKind> {
    let about = format!("kind `{}`", key.text);
    let block = Block::open(node, &about, KIND, &[], faults)?;
    let sides = block.get("sides").map(|node| sides_of_kind(key, node, &block.of("sides"), given, faults));
    let deletes = block.get("deletes").and_then(|node| deletes(node, &block.of("deletes"), faults));
    let links = block.get("links").and_then(|node| block::word(node, &block.of("links"), LINKS, faults));
    let refusals = block.get("refusals").and_then(|node| block::word(node, &block.of("refusals"), REFUSALS, faults));
    let rule = block.get("rule").and_then(|node| shared_rule(node, &block.of("rule"), given.sides, faults));
    let rule = rule.unwrap_or_else(|| given.rule.clone());
    let setting = Setting { kind: &key.text, all_sides: given.sides, sides: sides.as_ref(), rule: &rule, kinds };
    let fields = block.need("fields", "add `fields:`; `fields: { \"*\": { type: any } }` takes them all", faults);
    let fields = fields.map(|node| read_fields(node, &block.of("fields"), &setting, faults));
    let match_on =
        block.get("match_on").map(|node| match_on(node, &block.of("match_on"), &field_names(block.node), faults));
    let checks =
        block.get("checks").map(|node| check::read(node, &block.of("checks"), &field_names(block.node), faults));
    let fields = fields?;
    let author = block.get("author").map(|node| attribution::author(node, &block.of("author"), given.sides, faults));
    let made_for =
        block.get("made_for").map(|node| attribution::made_for(node, &block.of("made_for"), &fields, faults));
    block.done();
    Some(RecordKind {
        sides,
        match_on: match_on.unwrap_or_default(),
        links: links.unwrap_or_default(),
        refusals: refusals.unwrap_or_default(),
        deletes: deletes.unwrap_or(given.deletes),
        rule,
        fields,
        checks: checks.unwrap_or_default(),
        author: author.unwrap_or_default(),
        made_for: made_for.unwrap_or_default(),
    })
}

/// A kind's name on each side that has it.
fn sides_of_kind(
    kind: &Key,
    node: &Node,
    about: &str,
    given: &Given<'_>,
    faults: &mut Faults,
) -> BTreeMap<SideName, String> {
    if kind.text == ANY {
        faults.add(
            node.at,
            format!("kind `{ANY}` has names on sides"),
            "it stands for many kinds, which keep their own names",
        );
    }
    let mut names = BTreeMap::new();
    for (key, node) in entries(node, about, faults).unwrap_or_default() {
        let side = side(key.at, &key.text, about, given.sides, faults);
        let there = block::text(node, &format!("the name of kind `{}` on `{}`", kind.text, key.text), faults);
        if let (Some(side), Some(there)) = (side, there) {
            names.insert(side, there.to_owned());
        }
    }
    names
}

fn read_fields(node: &Node, about: &str, setting: &Setting<'_>, faults: &mut Faults) -> BTreeMap<FieldName, Field> {
    let written = entries(node, about, faults).unwrap_or_default();
    if written.is_empty() && matches!(node.value, Value::Map(_)) {
        faults.add(node.at, format!("{about} names none"), "add one, such as `name: { type: string }`");
    }
    let mut fields = BTreeMap::new();
    let mut taken: HashMap<(SideName, String), &str> = HashMap::new();
    for (key, node) in written {
        let name = match FieldName::new(&key.text) {
            Ok(name) => name,
            Err(why) => {
                faults.add(key.at, format!("the name of a field of {about} {why}"), "use a plain word");
                continue;
            }
        };
        let Some(field) = fields::field(&key.text, node, setting, faults) else { continue };
        let sides = setting.sides.map_or(setting.all_sides.to_vec(), |sides| sides.keys().cloned().collect());
        for side in sides.into_iter().filter(|_| key.text != ANY) {
            let Some(there) = field.spec.name_on(&side, &key.text).map(str::to_owned) else { continue };
            if let Some(other) = taken.insert((side.clone(), there.clone()), &key.text) {
                let what = format!(
                    "fields `{other}` and `{}` of kind `{}` are both `{there}` on `{side}`",
                    key.text, setting.kind
                );
                faults.add(key.at, what, format!("one field of `{side}` can follow only one of ours: leave one out"));
            }
        }
        fields.insert(name, field);
    }
    fields
}

fn match_on(node: &Node, about: &str, fields: &[String], faults: &mut Faults) -> Vec<FieldName> {
    let mut names = Vec::new();
    for (at, word) in block::texts(node, about, faults).unwrap_or_default() {
        match FieldName::new(word) {
            Ok(name) if word != ANY && fields.iter().any(|field| field == word) => names.push(name),
            _ => faults.add(
                at,
                format!("{about} names `{word}`, which is not among its fields"),
                among(word, fields, "they are"),
            ),
        }
    }
    names
}

/// Two kinds must not have one name on a side: what comes from there would belong to both.
fn shared_names(
    written: &[(Key, std::rc::Rc<Node>)],
    kinds: &BTreeMap<String, RecordKind>,
    sides: &[SideName],
    faults: &mut Faults,
) {
    let mut taken: HashMap<(&SideName, &str), &str> = HashMap::new();
    for (key, _) in written.iter().filter(|(key, _)| key.text != ANY) {
        let Some((own, kind)) = kinds.get_key_value(&key.text) else { continue };
        for side in sides {
            let Some(there) = kind.name_on(side, own) else { continue };
            if let Some(other) = taken.insert((side, there), own) {
                let what = format!("kinds `{other}` and `{own}` are both `{there}` on `{side}`");
                faults.add(key.at, what, format!("give one of them another name on `{side}`"));
            }
        }
    }
}

/// A rule for many fields: one that fits any type.
pub(super) fn shared_rule(node: &Node, about: &str, sides: &[SideName], faults: &mut Faults) -> Option<Rule> {
    let rule = rule::rule(node, about, sides, faults)?;
    if matches!(rule, Rule::Merge | Rule::Max | Rule::Min) {
        let name = rule::name(&rule);
        faults.add(
            node.at,
            format!("{about} is `{name}`, which does not fit every type"),
            "write it at the fields that it fits",
        );
        return None;
    }
    Some(rule)
}

pub(super) fn deletes(node: &Node, about: &str, faults: &mut Faults) -> Option<DeleteRule> {
    block::word(node, about, DELETES, faults)
}

/// A side that the manifest has.
pub(super) fn side(at: At, written: &str, about: &str, sides: &[SideName], faults: &mut Faults) -> Option<SideName> {
    let found = sides.iter().find(|side| ***side == *written);
    if found.is_none() {
        let names: Vec<&str> = sides.iter().map(|side| &**side).collect();
        let hint = among(written, &names, "the sides are");
        faults.add(at, format!("{about} names `{written}`, which is not a side"), hint);
    }
    found.cloned()
}

/// The sides of a list.
pub(super) fn side_list(node: &Node, about: &str, sides: &[SideName], faults: &mut Faults) -> Option<Vec<SideName>> {
    let words = block::texts(node, about, faults)?;
    if words.is_empty() && matches!(&node.value, Value::List(list) if list.is_empty()) {
        let names: Vec<&str> = sides.iter().map(|side| &**side).collect();
        faults.add(node.at, format!("{about} names no side"), format!("name some of {}", List(&names)));
        return None;
    }
    let mut named: Vec<_> = words.into_iter().filter_map(|(at, word)| side(at, word, about, sides, faults)).collect();
    named.sort();
    Some(named)
}

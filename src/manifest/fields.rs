//! The `fields` of a record kind: type, names on the sides, rule, and whose edits count.

use std::collections::BTreeMap;

use super::{
    ANY, Field,
    block::{self, Block},
    fault::{Faults, List, among},
    form, limits,
    records::side_list,
    rule,
    yaml::{Node, Value},
};
use crate::{
    field::{FieldSpec, FieldType, Form, Rule},
    id::SideName,
};

/// The keys of a field besides the names of the sides.
pub(super) const FIELD: &[&str] =
    &["type", "of", "to", "rule", "write", "read_only", "required", "pattern", "length", "range"];
/// The types by the manifest's names for them; `of` and `to` complete three of them.
pub(super) const TYPES: &[&str] = &[
    "string",
    "email",
    "integer",
    "decimal",
    "boolean",
    "date",
    "datetime",
    "choice",
    "list",
    "reference",
    "references",
    "any",
    "long_text",
    "set",
    "counter",
];

/// What a field's kind and the manifest around it say.
pub(super) struct Setting<'a> {
    pub kind: &'a str,
    pub all_sides: &'a [SideName],
    /// The kind's name on the sides that have it; `None`: all have it.
    pub sides: Option<&'a BTreeMap<SideName, String>>,
    /// The rule of fields without one.
    pub rule: &'a Rule,
    pub kinds: &'a [String],
}

/// Reads one field.
pub(super) fn field(name: &str, node: &Node, setting: &Setting<'_>, faults: &mut Faults) -> Option<Field> {
    let about = format!("field `{name}` of kind `{}`", setting.kind);
    let sides: Vec<&str> = setting.all_sides.iter().map(|side| &**side).collect();
    let block = Block::open(node, &about, FIELD, &sides, faults)?;
    let kind = field_type(&block, setting, faults);
    let shown = shown_on(name, node, &about, kind.as_ref(), setting, faults);
    let own_rule = block.get("rule").map(|node| field_rule(node, &block, kind.as_ref(), &shown, setting, faults));
    let rule = match own_rule {
        None => Some(setting.rule.clone()),
        Some(rule) => rule,
    };
    let write = whose_edits(&block, rule.as_ref(), &shown, setting, faults);
    let required = block.get("required").map_or(Some(false), |node| block::truth(node, &block.of("required"), faults));
    let limits = limits::read(&block, kind.as_ref(), faults);
    block.done();
    let sides = match (shown.named, setting.sides) {
        (true, _) => Some(shown.names),
        (false, Some(sides)) => Some(sides.keys().map(|side| (side.clone(), name.to_owned())).collect()),
        (false, None) => None,
    };
    let spec = FieldSpec { kind: kind?, rule: rule?, write: write?, sides };
    Some(Field { spec, required: required?, limits: limits?, forms: shown.forms })
}

fn field_type(block: &Block<'_>, setting: &Setting<'_>, faults: &mut Faults) -> Option<FieldType> {
    let (of, to) = (block.get("of"), block.get("to"));
    let hint = format!("add `type: string`, or another of {}", List(TYPES));
    let node = block.need("type", &hint, faults)?;
    let about = block.of("type");
    let written = block::text(node, &about, faults)?;
    let stray = |key: &str, owner: &str, node: Option<&Node>, faults: &mut Faults| {
        if let Some(node) = node.filter(|_| written != owner && !(key == "to" && written == "references")) {
            faults.add(
                node.at,
                format!("{} has no meaning with type `{written}`", block.of(key)),
                format!("it belongs to `type: {owner}`"),
            );
        }
    };
    if TYPES.contains(&written) {
        stray("of", "choice", of, faults);
        stray("to", "reference", to, faults);
    }
    Some(match written {
        "string" => FieldType::String,
        "email" => FieldType::Email,
        "integer" => FieldType::Integer,
        "decimal" => FieldType::Decimal,
        "boolean" => FieldType::Boolean,
        "date" => FieldType::Date,
        "datetime" => FieldType::Datetime,
        "choice" => FieldType::Choice(choices(block, faults)?),
        "list" => FieldType::List,
        "reference" => FieldType::Reference(target(block, setting, faults)?),
        "references" => FieldType::References(target(block, setting, faults)?),
        "any" => FieldType::Any,
        "long_text" => FieldType::LongText,
        "set" => FieldType::Set,
        "counter" => FieldType::Counter,
        other => {
            faults.add(node.at, format!("{about} cannot be `{other}`"), among(other, TYPES, "the types are"));
            return None;
        }
    })
}

fn choices(block: &Block<'_>, faults: &mut Faults) -> Option<Vec<String>> {
    let hint = "list the choices: of: [lead, customer]";
    let node = block.need("of", hint, faults)?;
    let choices = block::texts(node, &block.of("of"), faults)?;
    if choices.is_empty() {
        faults.add(node.at, format!("{} lists no choice", block.of("of")), hint);
        return None;
    }
    Some(choices.into_iter().map(|(_, choice)| choice.to_owned()).collect())
}

fn target(block: &Block<'_>, setting: &Setting<'_>, faults: &mut Faults) -> Option<String> {
    let node = block.need("to", "name the kind it refers to: to: KIND", faults)?;
    let about = block.of("to");
    let kind = block::text(node, &about, faults)?;
    if !setting.kinds.iter().any(|known| known == kind || (known == ANY && kind != ANY)) {
        faults.add(
            node.at,
            format!("{about} names `{kind}`, which is no record kind"),
            among(kind, setting.kinds, "the kinds are"),
        );
        return None;
    }
    Some(kind.to_owned())
}

/// The sides that show a field.
struct Shown {
    /// Whether the field names any itself.
    named: bool,
    /// Its name on them.
    names: Vec<(SideName, String)>,
    forms: BTreeMap<SideName, Form>,
    /// All of them, also where the field names none.
    sides: Vec<SideName>,
}

/// The sides that a field names: `crm: phone`, or `crm: { name: phone, ... }` where the values differ too.
fn shown_on(
    field: &str,
    node: &Node,
    about: &str,
    kind: Option<&FieldType>,
    setting: &Setting<'_>,
    faults: &mut Faults,
) -> Shown {
    let of_kind: Vec<SideName> = match setting.sides {
        Some(sides) => sides.keys().cloned().collect(),
        None => setting.all_sides.to_vec(),
    };
    let mut shown = Shown { named: false, names: Vec::new(), forms: BTreeMap::new(), sides: Vec::new() };
    let Value::Map(entries) = &node.value else { return shown };
    for (key, node) in entries {
        let Some(side) = setting.all_sides.iter().find(|side| ***side == *key.text) else { continue };
        shown.named = true;
        shown.sides.push(side.clone());
        if field == ANY {
            faults.add(
                key.at,
                format!("{about} has a name on `{side}`"),
                "it stands for many fields, which keep their own names",
            );
        } else if !of_kind.contains(side) {
            let hint = format!("add `{side}: NAME` to the `sides` of the kind, or leave it out here");
            faults.add(key.at, format!("{about} is on `{side}`, where kind `{}` is not", setting.kind), hint);
        }
        let there = format!("{about} on `{side}`");
        let (name, form) = form::on_side(field, node, &there, kind, faults);
        shown.names.extend(name.map(|name| (side.clone(), name)));
        shown.forms.extend(form.filter(|form| *form != Form::default()).map(|form| (side.clone(), form)));
    }
    shown.names.sort();
    if !shown.named {
        shown.sides = of_kind;
    }
    shown
}

fn field_rule(
    node: &Node,
    block: &Block<'_>,
    kind: Option<&FieldType>,
    shown: &Shown,
    setting: &Setting<'_>,
    faults: &mut Faults,
) -> Option<Rule> {
    let about = block.of("rule");
    let rule = rule::rule(node, &about, setting.all_sides, faults)?;
    if let Some(Err(hint)) = kind.map(|kind| rule::fits(&rule, kind)) {
        faults.add(node.at, format!("{about} is `{}`, which does not fit its type", rule::name(&rule)), hint);
        return None;
    }
    if let Rule::Authority(side) = &rule
        && !shown.sides.contains(side)
    {
        let hint = format!("add `{side}: NAME` to the field, or name another side");
        faults.add(node.at, format!("{about} trusts `{side}`, which does not show the field"), hint);
        return None;
    }
    Some(rule)
}

/// The sides whose edits count, from `write` or `read_only`; the inner `None`: all.
fn whose_edits(
    block: &Block<'_>,
    rule: Option<&Rule>,
    shown: &Shown,
    setting: &Setting<'_>,
    faults: &mut Faults,
) -> Option<Option<Vec<SideName>>> {
    let (write, read_only) = (block.get("write"), block.get("read_only"));
    let (node, about, sides) = match (write, read_only) {
        (None, None) => return Some(None),
        (Some(_), Some(node)) => {
            faults.add(
                node.at,
                format!("{} says both `write` and `read_only`", block.about),
                "keep `write`, the sides whose edits count",
            );
            return None;
        }
        (Some(node), None) => {
            (node, block.of("write"), side_list(node, &block.of("write"), setting.all_sides, faults)?)
        }
        (None, Some(node)) => {
            let about = block.of("read_only");
            let sides = read_only_sides(node, &about, rule, shown, setting, faults)?;
            (node, about, sides)
        }
    };
    if let Some(side) = sides.iter().find(|side| !shown.sides.contains(side)) {
        faults.add(
            node.at,
            format!("{about} counts on `{side}`, which does not show the field"),
            format!("add `{side}: NAME` to the field"),
        );
        return None;
    }
    if let (Some(Rule::Authority(side)), Some(own)) = (rule, block.get("rule"))
        && !sides.contains(side)
    {
        let hint = format!("add `{side}` to `write`, or choose another rule");
        faults.add(own.at, format!("{} trusts `{side}`, whose edits do not count", block.of("rule")), hint);
        return None;
    }
    Some(Some(sides))
}

/// The sides that are left: those a list does not name, or for `true` the authority alone.
fn read_only_sides(
    node: &Node,
    about: &str,
    rule: Option<&Rule>,
    shown: &Shown,
    setting: &Setting<'_>,
    faults: &mut Faults,
) -> Option<Vec<SideName>> {
    if let Value::Text { text, .. } = &node.value {
        // A side's name alone is as good as a list of one.
        if let Some(named) = setting.all_sides.iter().find(|side| ***side == **text) {
            return left_over(node, about, std::slice::from_ref(named), shown, faults);
        }
        if !block::truth(node, about, faults)? {
            return Some(shown.sides.clone());
        }
        return match rule? {
            Rule::Authority(side) => Some(vec![side.clone()]),
            _ => {
                let hint =
                    "name the sides: write: [SIDE] for those whose edits count, or read_only: [SIDE] for the others";
                faults.add(node.at, format!("{about} does not say for whom, and the rule names no authority"), hint);
                None
            }
        };
    }
    let named = side_list(node, about, setting.all_sides, faults)?;
    left_over(node, about, &named, shown, faults)
}

fn left_over(
    node: &Node,
    about: &str,
    named: &[SideName],
    shown: &Shown,
    faults: &mut Faults,
) -> Option<Vec<SideName>> {
    let mut left: Vec<SideName> = shown.sides.iter().filter(|side| !named.contains(side)).cloned().collect();
    if left.is_empty() {
        faults.add(
            node.at,
            format!("{about} leaves no side whose edits count"),
            "leave one out: the side that the values come from",
        );
        return None;
    }
    left.sort();
    Some(left)
}

//! The `checks` of a record kind: rules across its fields, each with what people are told when it does not hold.

use serde::Serialize;

use super::{
    ANY,
    block::{self, Block, items},
    fault::{Faults, among},
    yaml::Node,
};
use crate::expression::Expression;

pub(super) const CHECK: &[&str] = &["rule", "message"];
/// The most rules of a kind: each is asked at every edit that touches its fields.
const CHECKS_MAX: usize = 50;

/// A rule across the fields of a record.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The rule, as written.
    pub rule: String,
    /// What people are told when it does not hold.
    pub message: String,
    /// The rule, ready to be asked.
    #[serde(skip)]
    pub expression: Expression,
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        (&self.rule, &self.message) == (&other.rule, &other.message)
    }
}

impl Eq for Check {}

/// All rules that could be read; `fields` are the names of the kind's fields.
pub(super) fn read(node: &Node, about: &str, fields: &[String], faults: &mut Faults) -> Vec<Check> {
    let written = items(node, about, faults).unwrap_or_default();
    if written.len() > CHECKS_MAX {
        let what = format!("{about} has {} rules", written.len());
        faults.add(node.at, what, format!("at most {CHECKS_MAX} are asked at an edit: join some of them with `&&`"));
        return Vec::new();
    }
    let numbered = written.iter().zip(1..);
    numbered.filter_map(|(node, number)| check(node, &format!("rule {number} of {about}"), fields, faults)).collect()
}

fn check(node: &Node, about: &str, fields: &[String], faults: &mut Faults) -> Option<Check> {
    let block = Block::open(node, about, CHECK, &[], faults)?;
    let rule = block.need("rule", "write what has to hold, such as `rule: record.start <= record.end`", faults);
    let rule = rule.and_then(|node| expression(node, about, fields, faults));
    let message = block.need("message", "say in words for people what has to hold", faults);
    let message = message.and_then(|node| block::text(node, &block.of("message"), faults));
    block.done();
    let (rule, expression) = rule?;
    Some(Check { rule, message: message?.to_owned(), expression })
}

fn expression(node: &Node, about: &str, fields: &[String], faults: &mut Faults) -> Option<(String, Expression)> {
    let text = block::text(node, &format!("`rule` of {about}"), faults)?;
    let expression = match Expression::parse(text) {
        Ok(expression) => expression,
        Err(why) => {
            faults.add(node.at, format!("{about} {why}"), why.hint());
            return None;
        }
    };
    let is_known = |field: &str| fields.iter().any(|known| known == field || known == ANY);
    let unknown: Vec<_> = expression.fields().iter().filter(|field| !is_known(field)).collect();
    for field in &unknown {
        let what = format!("{about} names `record.{field}`, which is not among the kind's fields");
        faults.add(node.at, what, among(field, fields, "they are"));
    }
    unknown.is_empty().then(|| (text.to_owned(), expression))
}

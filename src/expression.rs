//! A rule across the fields of a record, in the Common Expression Language. The only door to `cel`.
//!
//! `record.start <= record.end`: the one name is `record`, and its members are fields. A field that is cleared, or of which
//! nothing was said, is no member: `has(record.end)` asks for that, and a rule that comes to nothing because a
//! member is missing says nothing, so it holds. A rule that comes to nothing although all are there (a text against a
//! number, a division by zero), or comes to anything else than true, does not hold.
//!
//! Whole numbers within 64 bits are `int`, other numbers `double`: of longer ones the end is not compared. What a rule
//! may ask is bounded when it is read, and the values it is shown when it is asked.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use cel::{
    Context, Env, IdedExpr, Value as Cel,
    common::ast::{ComprehensionExpr, Expr, LiteralValue, operators as op},
    objects::{Key, Map},
    parser::{ParseErrors, Parser},
};

use crate::{
    id::FieldName,
    value::{Value, View},
};

/// The longest rule, in bytes.
const TEXT_BYTES_MAX: usize = 1000;
/// How deep calls and brackets may lie in each other.
const DEPTH_MAX: u16 = 24;
/// What a rule is shown at most, in bytes of all values together.
const VALUES_BYTES_MAX: usize = 1 << 16;
/// The one name that a rule knows.
const RECORD: &str = "record";
/// The functions a rule may call, besides operators and `has`, `all`, `exists`, `exists_one`, `filter` and `map`.
const FUNCTIONS: &[&str] = &["size", "contains", "startsWith", "endsWith", "int", "double"];
const TRUTHS: &[&str] = &[
    op::LOGICAL_AND,
    op::LOGICAL_OR,
    op::LOGICAL_NOT,
    op::EQUALS,
    op::NOT_EQUALS,
    op::GREATER,
    op::GREATER_EQUALS,
    op::LESS,
    op::LESS_EQUALS,
    op::IN,
    op::NOT_STRICTLY_FALSE,
    "contains",
    "startsWith",
    "endsWith",
];
const COMPUTED: &[&str] =
    &[op::ADD, op::SUBSTRACT, op::MULTIPLY, op::DIVIDE, op::MODULO, op::NEGATE, op::INDEX, "size", "int", "double"];

/// A rule, ready to be asked.
#[derive(Clone)]
pub struct Expression {
    fields: Vec<FieldName>,
    rule: Arc<IdedExpr>,
}

/// What a rule says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It holds.
    Holds,
    /// It does not.
    Broken,
    /// A field is missing that it needs.
    Silent,
}

/// Why a text is no rule; reads on from "the rule".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// Not an expression.
    #[error("cannot be read at character {0}")]
    Syntax(usize),
    /// Longer than is read.
    #[error("is {0} bytes long, more than {TEXT_BYTES_MAX}")]
    TooLong(usize),
    /// Something that is neither `record` nor a name that the rule itself gives.
    #[error("names `{0}`, which is not `record.FIELD`")]
    Name(String),
    /// The record as a whole.
    #[error("names `record` without a field")]
    Record,
    /// A function that is not offered.
    #[error("calls `{0}`, which is not offered")]
    Function(String),
    /// Something that has no meaning here.
    #[error("holds {0}, which rules do not have")]
    Part(&'static str),
    /// A walk through a list within another.
    #[error("walks through a list within a list")]
    Nested,
    /// It comes to a number, a text or a list.
    #[error("does not come to true or false")]
    NoTruth,
    /// It always comes to the same.
    #[error("names no field")]
    NoField,
}

impl ExpressionError {
    /// What would cure it.
    pub fn hint(&self) -> &'static str {
        match self {
            ExpressionError::Syntax(_) => "write it like `record.start <= record.end`",
            ExpressionError::TooLong(_) => "make two of it",
            ExpressionError::Name(_) => "name fields as record.FIELD, and put texts in quotation marks",
            ExpressionError::Record | ExpressionError::NoField => "name a field: record.FIELD",
            ExpressionError::Function(_) => {
                "there are size, contains, startsWith, endsWith, int, double, has, all, exists, exists_one, filter and map"
            }
            ExpressionError::Part(_) => "use texts, numbers, true, false and lists",
            ExpressionError::Nested => "walk through one list only",
            ExpressionError::NoTruth => "compare it with something",
        }
    }
}

impl Expression {
    /// Reads a rule.
    ///
    /// # Errors
    /// If it is no expression, may take long, or could never tell true from false.
    pub fn parse(text: &str) -> Result<Expression, ExpressionError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ExpressionError::TooLong(text.len()));
        }
        let parser = Parser::new().max_recursion_depth(DEPTH_MAX).error_recovery_limit(1);
        // The generated parser is not ours, and a manifest may be anyone's.
        let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse(text)));
        let rule = parsed.map_err(|_| ExpressionError::Syntax(1))?.map_err(|why| syntax(text, &why))?;
        let mut survey = Survey::default();
        survey.visit(&rule)?;
        if !is_truth(&rule.expr) {
            return Err(ExpressionError::NoTruth);
        }
        if survey.fields.is_empty() {
            return Err(ExpressionError::NoField);
        }
        survey.fields.sort();
        survey.fields.dedup();
        Ok(Expression { fields: survey.fields, rule: Arc::new(rule) })
    }

    /// The fields that it names, ascending.
    pub fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    /// Asks it of a record with these values; null is as good as nothing.
    pub fn ask(&self, values: impl Fn(&str) -> Option<Value>) -> Answer {
        let mut members = HashMap::with_capacity(self.fields.len());
        let mut bytes = 0;
        for field in &self.fields {
            let Some(value) = values(field).filter(|value| !value.is_null()) else { continue };
            bytes += value.as_bytes().len();
            if bytes > VALUES_BYTES_MAX {
                return Answer::Broken;
            }
            members.insert(Key::String(Arc::new(field.to_string())), to_cel(&value));
        }
        let is_whole = members.len() == self.fields.len();
        let mut context = Context::with_env(standard());
        context.add_variable_from_value(RECORD, Cel::Map(Map { map: Arc::new(members) }));
        // What fails in there is told by nothing but this, since its messages hold values.
        match catch_unwind(AssertUnwindSafe(|| context.resolve(&self.rule))) {
            Ok(Ok(Cel::Bool(true))) => Answer::Holds,
            Ok(Err(_)) if !is_whole => Answer::Silent,
            _ => Answer::Broken,
        }
    }
}

/// The functions of the language, made once.
fn standard() -> Arc<Env> {
    static STANDARD: OnceLock<Arc<Env>> = OnceLock::new();
    Arc::clone(STANDARD.get_or_init(|| Arc::new(Env::stdlib())))
}

fn syntax(text: &str, why: &ParseErrors) -> ExpressionError {
    let place = why.errors.first().map_or((1, 0), |first| first.pos);
    // Lines count from 1; columns are not said to count from 0 or from 1, so the end of the text is the bound.
    let before: usize =
        text.split_inclusive('\n').take((place.0 - 1).max(0) as usize).map(|line| line.chars().count()).sum();
    ExpressionError::Syntax((before + place.1.max(1) as usize).min(text.chars().count()).max(1))
}

fn to_cel(value: &Value) -> Cel {
    match value.view() {
        View::Null => Cel::Null,
        View::Bool(truth) => Cel::Bool(truth),
        View::Number(text) => match text.parse::<i64>() {
            Ok(whole) => Cel::Int(whole),
            Err(_) => Cel::Float(text.parse().unwrap_or(f64::NAN)),
        },
        View::Text(text) => Cel::String(Arc::new(text.to_owned())),
        View::List(elements) => Cel::List(Arc::new(elements.map(|element| to_cel(&element)).collect())),
        View::Object(members) => {
            let members = members.map(|(name, value)| (Key::String(Arc::new(name.to_owned())), to_cel(&value)));
            Cel::Map(Map { map: Arc::new(members.collect()) })
        }
    }
}

/// What a rule names, and whether it may.
#[derive(Default)]
struct Survey {
    fields: Vec<FieldName>,
    /// The names that the rule gives to elements of a list, and to what it gathers of them.
    own: Vec<String>,
    walks: bool,
}

impl Survey {
    fn visit(&mut self, node: &IdedExpr) -> Result<(), ExpressionError> {
        match &node.expr {
            Expr::Ident(name) if self.own.contains(name) => Ok(()),
            Expr::Ident(name) if name == RECORD => Err(ExpressionError::Record),
            Expr::Ident(name) => Err(ExpressionError::Name(name.clone())),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if name == RECORD && !self.own.contains(name) => {
                    let field = FieldName::new(&select.field).map_err(|_| ExpressionError::Record)?;
                    self.fields.push(field);
                    Ok(())
                }
                _ => self.visit(&select.operand),
            },
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                let is_known = [TRUTHS, COMPUTED, FUNCTIONS].iter().any(|table| table.contains(&name));
                if !is_known && name != op::CONDITIONAL {
                    return Err(ExpressionError::Function(name.to_owned()));
                }
                call.target.iter().try_for_each(|target| self.visit(target))?;
                call.args.iter().try_for_each(|argument| self.visit(argument))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element)),
            Expr::Comprehension(walk) => self.walk(walk),
            Expr::Literal(LiteralValue::Bytes(_)) => Err(ExpressionError::Part("bytes")),
            Expr::Literal(_) => Ok(()),
            Expr::Map(_) | Expr::Struct(_) => Err(ExpressionError::Part("an object")),
            Expr::Unspecified => Err(ExpressionError::Part("nothing")),
        }
    }

    fn walk(&mut self, walk: &ComprehensionExpr) -> Result<(), ExpressionError> {
        // Each walk within another multiplies the time.
        if std::mem::replace(&mut self.walks, true) {
            return Err(ExpressionError::Nested);
        }
        self.visit(&walk.iter_range)?;
        self.visit(&walk.accu_init)?;
        let known = self.own.len();
        let names = [Some(&walk.iter_var), walk.iter_var2.as_ref(), Some(&walk.accu_var)];
        self.own.extend(names.into_iter().flatten().cloned());
        let parts = [&walk.loop_cond, &walk.loop_step, &walk.result];
        let visited = parts.into_iter().try_for_each(|part| self.visit(part));
        self.own.truncate(known);
        self.walks = false;
        visited
    }
}

/// Whether it may come to true or false, as far as its form tells.
fn is_truth(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) if call.func_name == op::CONDITIONAL => call.args[1..].iter().all(|arm| is_truth(&arm.expr)),
        Expr::Call(call) => TRUTHS.contains(&call.func_name.as_str()),
        Expr::Literal(literal) => matches!(literal, LiteralValue::Boolean(_)),
        // A walk that gathers a list begins with an empty one.
        Expr::Comprehension(walk) => !matches!(walk.accu_init.expr, Expr::List(_)),
        Expr::Select(_) | Expr::Ident(_) => true,
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => false,
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expression").field("fields", &self.fields).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(rule: &str, record: &[(&str, &str)]) -> Answer {
        let rule = Expression::parse(rule).unwrap_or_else(|why| panic!("the rule `{rule}` {why}"));
        rule.ask(|field| {
            let (_, json) = record.iter().find(|(name, _)| *name == field)?;
            Some(Value::from_json(json).expect("good JSON"))
        })
    }

    #[test]
    fn a_rule_holds_is_broken_or_says_nothing() {
        use Answer::{Broken, Holds, Silent};
        let span = "record.start <= record.end";
        for (rule, record, answer) in [
            (span, &[("start", "1"), ("end", "2")] as &[_], Holds),
            (span, &[("start", "3"), ("end", "2")], Broken),
            (span, &[("start", "1.5"), ("end", "2")], Holds),
            (span, &[("start", "\"2026-01-02\""), ("end", "\"2026-01-01\"")], Broken),
            (span, &[("start", "3")], Silent),
            (span, &[("start", "3"), ("end", "null")], Silent),
            (span, &[("start", "3"), ("end", "\"x\"")], Broken),
            ("has(record.end) && record.start <= record.end", &[("start", "3")], Broken),
            ("!has(record.end) || record.start <= record.end", &[("start", "3")], Holds),
            ("record.a + record.b > 0", &[("a", "9223372036854775807"), ("b", "1")], Broken),
            ("record.a / record.b > 0", &[("a", "1"), ("b", "0")], Broken),
            ("record.flag", &[("flag", "true")], Holds),
            ("record.flag", &[("flag", "\"yes\"")], Broken),
            ("record.tags.all(tag, tag.startsWith('a'))", &[("tags", r#"["ab","ac"]"#)], Holds),
            ("record.tags.exists(tag, tag == 'x')", &[("tags", r#"["ab"]"#)], Broken),
            ("size(record.tags.filter(tag, tag == 'x')) < 2", &[("tags", r#"["x","x"]"#)], Broken),
            (
                "record.stage in ['lead', 'won'] ? record.size > 0 : true",
                &[("stage", "\"won\""), ("size", "0")],
                Broken,
            ),
            ("record.stage == 'won'", &[], Silent),
        ] {
            assert_eq!(ask(rule, record), answer, "{rule} of {record:?}");
        }
    }

    #[test]
    fn a_rule_names_the_fields_that_it_reads() {
        let rule = Expression::parse("record.b > 1 && has(record.a) || record.b.c == record.list.exists(b, b == 1)");
        let fields: Vec<String> = rule.expect("a rule").fields().iter().map(ToString::to_string).collect();
        assert_eq!(fields, ["a", "b", "list"]);
    }

    #[test]
    fn what_is_no_rule_is_refused_with_a_reason() {
        for (text, why) in [
            ("", "cannot be read at character 1"),
            ("record.a <", "cannot be read at character 10"),
            ("record.a <= b", "names `b`, which is not `record.FIELD`"),
            ("record == 1", "names `record` without a field"),
            ("record['a'] == 1", "names `record` without a field"),
            ("now() > record.a", "calls `now`, which is not offered"),
            ("record.a.matches('x')", "calls `matches`, which is not offered"),
            ("record.a + 1", "does not come to true or false"),
            ("record.list.map(x, x + 1)", "does not come to true or false"),
            ("1 < 2", "names no field"),
            ("record.a == {'x': 1}", "holds an object, which rules do not have"),
            ("record.a == b'x'", "holds bytes, which rules do not have"),
            ("record.a.all(x, record.b.all(y, x == y))", "walks through a list within a list"),
        ] {
            let refused = Expression::parse(text).expect_err(text).to_string();
            assert_eq!(refused, why, "{text}");
        }
    }

    #[test]
    fn no_text_of_any_length_or_depth_stops_the_program() {
        let long = "record.a == 1 || ".repeat(1000);
        assert_eq!(Expression::parse(&long).expect_err("too long"), ExpressionError::TooLong(long.len()));
        for bracket in ["(", "[", "!", "-", "record.a ? ", "size(", "{", "record.a.all(x, "] {
            let deep = bracket.repeat(TEXT_BYTES_MAX / bracket.len());
            assert!(Expression::parse(&deep).is_err(), "{bracket}");
        }
        let closed = format!("{}record.a{} == 1", "(".repeat(400), ")".repeat(400));
        assert!(Expression::parse(&closed).is_err());
    }

    #[test]
    fn a_rule_is_not_shown_more_than_it_can_look_at() {
        let text = format!("\"{}\"", "x".repeat(VALUES_BYTES_MAX));
        assert_eq!(ask("record.a != ''", &[("a", &text)]), Answer::Broken);
    }
}

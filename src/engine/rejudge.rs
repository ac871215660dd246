//! What present conflicts would come to under the newest rules, and putting that in force.
//!
//! A conflict is judged by the rules of its time, so a changed manifest leaves it alone. Rejudging is a person's explicit
//! act: it shows what would change, and then decides exactly that, by events that name the candidates.

use std::sync::Arc;

use serde::Serialize;

use super::{Engine, EngineError, core::edition, stored::read_line};
use crate::{
    clock::Millis,
    event::Author,
    history::{Decision, Principal},
    id::{FieldName, RecordId},
    manifest::Manifest,
    merge::{self, Field, Reason},
    rulebook::{EXISTENCE, Rulebook},
    value::Value,
};

/// One conflict that the newest rules judge otherwise.
///
/// It holds values, so it goes to the operator who asked, and nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Rejudged {
    /// The record.
    pub record: RecordId,
    /// The field.
    pub field: FieldName,
    /// What it is now.
    pub from: Judged,
    /// What it would be.
    pub to: Judged,
}

/// A value and the reason why it stands.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The value as JSON.
    pub value: serde_json::Value,
    /// Why.
    pub reason: &'static str,
    /// The side whose word won.
    pub side: String,
}

/// The conflicts that the newest rules judge otherwise.
#[derive(Clone, Serialize)]
pub struct Verdicts {
    /// Since when the newest rules hold; `None`: they are not in force yet.
    #[serde(rename = "rules_of_ms")]
    pub rules_of: Option<Millis>,
    /// How many conflicts were looked at.
    pub conflicts: usize,
    /// Those that come out otherwise, in the order of records and fields.
    pub changes: Vec<Rejudged>,
    #[serde(skip)]
    decisions: Vec<(RecordId, FieldName, Option<Value>)>,
}

impl std::fmt::Debug for Verdicts {
    /// Without values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Verdicts { rules_of, conflicts, changes, .. } = self;
        write!(f, "Verdicts {{ rules_of: {rules_of:?}, conflicts: {conflicts}, changes: {} }}", changes.len())
    }
}

impl Judged {
    fn of(field: &Field) -> Self {
        let value = serde_json::from_str(&field.value().to_json()).unwrap_or(serde_json::Value::Null);
        let side = field.winner().origin.side.to_string();
        Judged { value, reason: field.reason.name(), side }
    }
}

impl Engine {
    /// Judges the present conflicts, whenever they arose, by the newest rules, or by those of a manifest that is not in force;
    /// nothing is changed.
    ///
    /// # Errors
    /// If the manifest has faults, or the log or the state fails.
    pub fn rejudge(&self, text: Option<&str>) -> Result<Verdicts, EngineError> {
        let (ids, book, mut manifest) = {
            let core = self.core()?;
            (core.ids()?, core.book.clone(), core.manifest.clone())
        };
        let mut rules_of = Some(book.newest_from());
        if let Some(text) = text {
            let other = Manifest::parse(text).map_err(EngineError::Manifest)?;
            if other != *manifest {
                (manifest, rules_of) = (Arc::new(other), None);
            }
        }
        let newest = book.alone(edition(&manifest));
        let mut found = Verdicts { rules_of, conflicts: 0, changes: Vec::new(), decisions: Vec::new() };
        for id in ids {
            self.rejudge_one(&id, &newest, &mut found)?;
        }
        Ok(found)
    }

    fn rejudge_one(&self, id: &RecordId, newest: &Rulebook, found: &mut Verdicts) -> Result<(), EngineError> {
        let Some((record, _)) = self.peek_record(id)? else { return Ok(()) };
        let is_open = |field: &&Field| field.is_conflict() && *field.name != *EXISTENCE;
        let open: Vec<&Field> = record.fields.iter().filter(is_open).collect();
        if open.is_empty() {
            return Ok(());
        }
        let Some(peek) = self.peek(id)? else { return Ok(()) };
        let mut events = read_line(&self.inner.log, &self.inner.key, &peek.line)?;
        self.understand_all(&mut events)?;
        let (due, _) = merge::fold(&events, newest);
        for field in open {
            found.conflicts += 1;
            let Some(other) = due.field(&field.name) else { continue };
            let same_dispute = field.is_disputed() == other.is_disputed();
            if same_dispute && field.value() == other.value() {
                continue;
            }
            let from = Judged::of(field);
            found.changes.push(Rejudged { record: id.clone(), field: field.name.clone(), from, to: Judged::of(other) });
            // That a person is to decide cannot be decided; it is shown, and left as it is.
            let value = (other.reason != Reason::Manual).then(|| other.value().clone());
            found.decisions.push((id.clone(), field.name.clone(), value));
        }
        Ok(())
    }

    /// Decides what [`Engine::rejudge`] found, each as a decision of `by`, and returns how many; what the newest rules leave to
    /// a person stays as it is.
    ///
    /// # Errors
    /// If a value does not fit the manifest, or the store fails; decisions before that one are in the log.
    pub fn rejudge_as_found(&self, found: &Verdicts, by: &Author) -> Result<usize, EngineError> {
        let rules_of = found.rules_of.unwrap_or_else(|| self.now());
        let why = format!("rejudged by the manifest of {rules_of}");
        let mut done = 0;
        for (record, field, value) in &found.decisions {
            if let Some(value) = value {
                let decision = Decision::of(record, field, value.clone()).by(by.clone()).because(&why);
                self.decide(&Principal::operator(), decision)?;
                done += 1;
            }
        }
        Ok(done)
    }
}

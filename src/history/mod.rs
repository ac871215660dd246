//! History: what is known of a record, what was said of it, and why it is as it is.
//!
//! Every question goes through one [`Reader`], which answers for a [`Principal`] as of a [`Position`]. Answers come
//! from the resolved record where it holds them, and from the record's events in the log where it does not; no
//! document is ever loaded. A damaged event fails only the questions that need it, with its sequence.
//!
//! ```
//! use syncline::{
//!     engine::Engine,
//!     event::Author,
//!     history::{Edit, Principal},
//!     id::{FieldName, RecordId, SideName},
//!     value::Value,
//! };
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("store");
//! let (engine, _) = Engine::builder(path).open()?;
//! let edit = Edit::of(RecordId::new("contact/1")?, SideName::new("portal")?);
//! engine.edit(edit.set(FieldName::new("phone")?, Value::text("+1-555-0100")).by(Author::user("ana")))?;
//!
//! let reader = engine.read(&Principal::operator());
//! let contact = reader.get("contact/1")?.expect("it was just made");
//! assert_eq!(contact.value("phone"), Some(&Value::text("+1-555-0100")));
//! let verdict = reader.why("contact/1", "phone")?.expect("it was just set");
//! assert!(verdict.sentence.starts_with("phone is \"+1-555-0100\": ana set it in portal on "));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod change;
mod digest;
mod feed;
mod json;
mod say;
mod sentence;
mod staleness;
mod story;
mod verdict;
mod version;
mod view;
mod words;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

pub use self::{
    change::{Change, Standing},
    feed::LogChange,
    say::Edit,
    staleness::Staleness,
    verdict::{Blame, Verdict, Word},
    view::{FieldView, RecordView},
};
use crate::{
    clock::Millis,
    engine::Engine,
    id::{FieldName, Seq},
    rulebook::{EXISTENCE, Rulebook},
};

/// The name under which people meet the register of existence.
pub const EXISTENCE_NAME: &str = "existence";

/// On whose behalf something is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(Who);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Operator,
}

impl Principal {
    /// Whoever runs the store: may read everything.
    pub fn operator() -> Principal {
        Principal(Who::Operator)
    }
}

/// As of when something is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// All that the store knows.
    #[default]
    Now,
    /// What the store knew after this event.
    Seq(Seq),
    /// Counting only what was said up to this time, by corrected edit time, whenever it was heard.
    Time(Millis),
}

/// Reads, for one principal and as of one position.
///
/// Each answer is of one moment; two answers as of [`Position::Now`] may see different ones.
#[derive(Clone)]
pub struct Reader {
    engine: Engine,
    principal: Principal,
    position: Position,
    /// The rules that were known at a sequence, once something has asked for them.
    book: OnceLock<Arc<Rulebook>>,
}

impl Engine {
    /// Begins to read, as of now.
    pub fn read(&self, principal: &Principal) -> Reader {
        Reader { engine: self.clone(), principal: principal.clone(), position: Position::Now, book: OnceLock::new() }
    }
}

impl Reader {
    /// The same reader as of another position.
    pub fn at(self, position: Position) -> Reader {
        Reader { position, book: OnceLock::new(), ..self }
    }

    /// Whether the principal may know of a record at all.
    fn may_read(&self, record: &str) -> bool {
        match self.principal.0 {
            // The tenant's own line is no record.
            Who::Operator => !record.is_empty(),
        }
    }
}

/// A field's name as people know it.
fn shown_name(field: &FieldName) -> FieldName {
    match &**field {
        EXISTENCE => FieldName::new(EXISTENCE_NAME).expect("a good name"),
        _ => field.clone(),
    }
}

/// A field's name as events know it.
fn inner_name(field: &str) -> &str {
    if field == EXISTENCE_NAME { EXISTENCE } else { field }
}

//! History: what is known of a record, what was said of it, and why it is as it is.
//!
//! Every question goes through one [`Reader`], which answers for a [`Principal`] as of a [`Position`]. Answers come
//! from the resolved record where it holds them, and from the record's events in the log where it does not; no
//! document is ever loaded. A damaged event fails only the questions that need it, with its sequence.
//!
//! What a [`Principal`] may not read is absent from every answer: a field with its name, values, losing words and
//! sentences, an event that touches nothing else, a record outside the role's rows, which answers as one that was never
//! heard of. Permissions are those of now, also where the past is asked for (see [`Reader::at`]). Two things they do not hide:
//! sequences count all events of the tenant, so a gap between two of them tells how much happened meanwhile and nothing
//! of what; and a reference that may be read names the record it leads to, whether that may be read or not.
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
//! engine.edit(&Principal::operator(), edit.set(FieldName::new("phone")?, Value::text("+1-555-0100")).by(Author::user("ana")))?;
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
mod permit;
mod principal;
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

use self::permit::Permit;
pub use self::{
    change::{Change, Standing},
    feed::LogChange,
    principal::{Principal, Who},
    say::{Decision, Edit, New},
    staleness::Staleness,
    verdict::{Blame, Verdict, Word},
    view::{FieldView, RecordView},
};
use crate::{
    clock::Millis,
    engine::{Engine, EngineError},
    id::{FieldName, Seq},
    rulebook::{EXISTENCE, Rulebook},
};

pub use crate::rulebook::EXISTENCE_NAME;

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
    ///
    /// What may be read is what may be read now: a record that has left a role's rows takes its past along.
    pub fn at(self, position: Position) -> Reader {
        Reader { position, book: OnceLock::new(), ..self }
    }

    /// What the principal may see, as things are now.
    fn permit(&self) -> Result<Permit, EngineError> {
        Permit::of(&self.engine, &self.principal)
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

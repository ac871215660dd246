//! What an operator asks and says of which records are one.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    order::{OrderError, named, told},
    tenant::Tenant,
};
use crate::{engine::Engine, event::Author, history::Principal, id::RecordId};

/// An order about which records are one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum LinkOrder {
    /// What could be one, and what a side has more than once?
    List,
    /// Which ids does a record have?
    Show {
        /// The record.
        record: String,
    },
    /// Two records are one.
    Accept {
        /// The one.
        record: String,
        /// The other.
        other: String,
        /// Who says so.
        by: String,
        /// Why.
        why: String,
    },
    /// Two records are two, also where a link says otherwise.
    Reject {
        /// The one.
        record: String,
        /// The other.
        other: String,
        /// Who says so.
        by: String,
        /// Why.
        why: String,
    },
}

impl Tenant {
    /// Carries an order about links out.
    ///
    /// # Errors
    /// If a record is not there, two are of two kinds, or the store fails.
    pub(super) async fn order_links(&self, order: LinkOrder) -> Result<Json, OrderError> {
        self.handle().call(move |engine| answer(engine, order)).await
    }
}

fn answer(engine: &Engine, order: LinkOrder) -> Result<Json, OrderError> {
    match order {
        LinkOrder::List => Ok(json!({ "suggestions": told(&engine.suggestions()?), "twins": told(&engine.twins()?) })),
        LinkOrder::Show { record } => Ok(told(&engine.links(&known(engine, &record)?)?)),
        LinkOrder::Accept { record, other, by, why } => {
            let (record, other) = (known(engine, &record)?, known(engine, &other)?);
            engine.link(&record, &other, Author::user(&by), &why)?;
            Ok(json!({ "record": engine.canonical(&record)? }))
        }
        LinkOrder::Reject { record, other, by, why } => {
            let (record, other) = (known(engine, &record)?, known(engine, &other)?);
            engine.unlink(&record, &other, Author::user(&by), &why)?;
            Ok(json!({ "records": [engine.canonical(&record)?, engine.canonical(&other)?] }))
        }
    }
}

/// A record of which something was said: a mistyped id is not tied to anything.
fn known(engine: &Engine, name: &str) -> Result<RecordId, OrderError> {
    let record = named(name)?;
    match engine.read(&Principal::operator()).get(&record)? {
        Some(_) => Ok(record),
        None => Err(OrderError::NoRecord(record)),
    }
}

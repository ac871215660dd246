//! What an operator asks and says of which records are one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    order::{OrderError, named, told},
    tenant::Tenant,
};
use crate::{
    engine::{Engine, Suggestion, Twins},
    event::Author,
    history::Principal,
    id::RecordId,
};

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
        LinkOrder::List => {
            let (suggestions, twins) = (engine.suggestions()?, engine.twins()?);
            let counts = counts(&suggestions, &twins);
            Ok(json!({ "suggestions": told(&suggestions), "twins": told(&twins), "counts": told(&counts) }))
        }
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

/// How many records would be linked, how many are doubtful, and how many a side has more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    /// Pairs of records that are certainly one.
    certain: usize,
    /// Pairs that could be one, where neither side has either more than once: a person has to look.
    doubtful: usize,
    /// Groups of records that one side has for one and the same.
    twice: usize,
}

fn counts(suggestions: &[Suggestion], twins: &[Twins]) -> Counts {
    let twice: BTreeSet<_> = twins.iter().map(|twins| (&twins.side, &twins.records)).collect();
    let of_twins: BTreeSet<&RecordId> = twins.iter().flat_map(|twins| &twins.records).collect();
    // Each of a pair is suggested for the other's side, and is one all the same.
    let pairs = |certain: bool| {
        let of_kind = suggestions.iter().filter(move |one| one.certain == certain);
        let pairs = of_kind.flat_map(|one| one.candidates.iter().map(move |other| [&one.record, other]));
        let pairs = pairs.map(|[one, other]| if one < other { [one, other] } else { [other, one] });
        pairs.collect::<BTreeSet<_>>()
    };
    let doubtful = pairs(false).into_iter().filter(|pair| !pair.iter().any(|id| of_twins.contains(*id))).count();
    Counts { certain: pairs(true).len(), doubtful, twice: twice.len() }
}

/// A record of which something was said: a mistyped id is not tied to anything.
fn known(engine: &Engine, name: &str) -> Result<RecordId, OrderError> {
    let record = named(name)?;
    match engine.read(&Principal::operator()).get(&record)? {
        Some(_) => Ok(record),
        None => Err(OrderError::NoRecord(record)),
    }
}

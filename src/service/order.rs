//! What an operator orders of a tenant, and what comes of it: the same whether the tenant is served by another process or
//! opened by the command itself.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{links::LinkOrder, reader::ServiceError, tenant::Tenant};
use crate::{
    engine::{EngineError, Rejudged},
    event::Author,
    id::{NameError, RecordId},
};

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// How is it?
    Status,
    /// What is the manifest in force?
    Manifest,
    /// Put this manifest in force.
    Apply {
        /// Its text.
        text: String,
    },
    /// Judge present conflicts by the newest rules: show what would change, or with `agreed` decide it so.
    Rejudge {
        /// A manifest whose rules are to be taken for the newest; `None`: the one in force.
        text: Option<String>,
        /// What was shown before and is agreed to; `None`: only show.
        agreed: Option<String>,
        /// Who decides.
        by: String,
    },
    /// Compare what a side shows with what we believe, and repair.
    Reconcile {
        /// The side; `None`: all.
        side: Option<String>,
        /// The record; `None`: all.
        record: Option<String>,
    },
    /// Read a side as a whole.
    Backfill {
        /// The side; `None`: all.
        side: Option<String>,
        /// Whether what was read already is read again.
        again: bool,
    },
    /// What waits for a person?
    Parked,
    /// Let what is parked go on.
    Retry {
        /// The record; `None`: all.
        record: Option<String>,
        /// The side; `None`: all.
        side: Option<String>,
        /// The field; `None`: all.
        field: Option<String>,
        /// Who says so.
        by: String,
    },
    /// Give up a write that a side refused: what the side shows is decided to be the value.
    Drop {
        /// The record.
        record: String,
        /// The side.
        side: String,
        /// The field.
        field: String,
        /// Who says so.
        by: String,
        /// Why.
        why: String,
    },
    /// Which records are one.
    Links {
        /// What is asked or said of it.
        about: LinkOrder,
    },
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The tenant has no such side, or it is not reached.
    #[error("there is no side {side} that is reached; there is {known}")]
    Side {
        /// The side.
        side: String,
        /// Those there are.
        known: String,
    },
    /// A text that cannot be the name of a record.
    #[error("the name {name:?} {why}")]
    Name {
        /// The text.
        name: String,
        /// Why not.
        why: NameError,
    },
    /// Nothing was ever said of the record.
    #[error("there is no record {0}")]
    NoRecord(RecordId),
    /// What would change is not what was agreed to.
    #[error("what would change is no longer what was shown: look at it again")]
    Changed,
    /// The tenant's service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The store failed, or refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

pub(super) fn named(name: &str) -> Result<RecordId, OrderError> {
    RecordId::new(name).map_err(|why| OrderError::Name { name: name.to_owned(), why })
}

pub(super) fn told<T: Serialize>(answer: &T) -> Json {
    serde_json::to_value(answer).expect("answers are plain JSON")
}

impl Tenant {
    /// Carries an order out and answers with what came of it.
    ///
    /// # Errors
    /// If it makes no sense for this tenant, or the store fails.
    pub async fn order(&self, order: Order) -> Result<Json, OrderError> {
        match order {
            Order::Status => {
                let mut status = told(&self.status()?);
                // Asked of every record, so not where gauges are set.
                let suggestions = self.handle().call(|engine| engine.suggestions()).await?.len();
                status["totals"]["suggestions"] = suggestions.into();
                Ok(status)
            }
            Order::Manifest => Ok(json!({ "text": self.manifest()?.text })),
            Order::Apply { text } => Ok(json!({ "changed": self.apply_manifest(text).await? })),
            Order::Rejudge { text, agreed, by } => self.rejudge(text, agreed, by).await,
            Order::Reconcile { side, record } => {
                self.check_side(side.as_deref())?;
                let record = record.as_deref().map(named).transpose()?;
                Ok(told(&self.reconcile(side.as_deref(), record.as_ref()).await?))
            }
            Order::Backfill { side, again } => {
                self.check_side(side.as_deref())?;
                if again {
                    self.backfill_again(side.as_deref()).await?;
                }
                Ok(told(&self.backfill_progress(side.as_deref())))
            }
            Order::Links { about } => self.order_links(about).await,
            Order::Parked => Ok(told(&self.handle().call(|engine| engine.parked()).await?)),
            Order::Retry { record, side, field, by } => {
                let only = record.as_deref().map(named).transpose()?;
                let by = Author::user(&by);
                let retried = self.handle().call(move |engine| {
                    let records = match only {
                        Some(record) => vec![record],
                        None => {
                            let mut all: Vec<RecordId> = engine.parked()?.into_iter().map(|park| park.record).collect();
                            all.dedup();
                            all
                        }
                    };
                    let mut retried = Vec::new();
                    for record in records {
                        retried.extend(engine.release(&record, side.as_deref(), field.as_deref(), &by)?);
                    }
                    Ok::<_, EngineError>(retried)
                });
                Ok(told(&retried.await?))
            }
            Order::Drop { record, side, field, by, why } => {
                let record = named(&record)?;
                let gave_up =
                    self.handle().call(move |engine| engine.give_up(&record, &side, &field, Author::user(&by), &why));
                gave_up.await?;
                Ok(json!({ "dropped": true }))
            }
        }
    }

    /// Shows what rejudging would change, or, agreed to exactly that, decides it.
    async fn rejudge(&self, text: Option<String>, agreed: Option<String>, by: String) -> Result<Json, OrderError> {
        let done = self.handle().call(move |engine| {
            let found = engine.rejudge(text.as_deref())?;
            let mark =
                mark_of(engine.record_key("").payload_hash(told(&found.changes).to_string().as_bytes()).to_string());
            let Some(agreed) = agreed else {
                return Ok(json!({ "found": told(&found), "agree": mark, "decided": Json::Null }));
            };
            if agreed != mark {
                return Err(OrderError::Changed);
            }
            let decided = engine.rejudge_as_found(&found, &Author::user(&by))?;
            Ok(json!({ "found": told(&found), "agree": mark, "decided": decided }))
        });
        done.await
    }

    fn check_side(&self, side: Option<&str>) -> Result<(), OrderError> {
        let Some(side) = side else { return Ok(()) };
        let known: Vec<String> = self.side_names();
        match known.iter().any(|known| known == side) {
            true => Ok(()),
            false => Err(OrderError::Side { side: side.to_owned(), known: known.join(", ") }),
        }
    }
}

/// So much of a hash tells what was shown from what would change later.
fn mark_of(hash: String) -> String {
    hash.chars().take(16).collect()
}

/// How a rejudged conflict reads for people; with values, for the operator's own terminal.
pub fn rejudged_line(one: &Rejudged) -> String {
    let side = |judged: &crate::engine::Judged| format!("{} ({}, {})", judged.value, judged.reason, judged.side);
    format!("{} {}: {} -> {}", one.record, one.field, side(&one.from), side(&one.to))
}

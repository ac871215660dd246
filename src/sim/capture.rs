//! From a pretend webhook to a statement.

use super::post::{Said, Webhook};
use crate::{
    event::{Detail, Draft, Kind, Origin},
    id::{FieldName, SideName},
    rulebook::EXISTENCE,
    value::Value,
};

/// The statement that a webhook of this side makes.
pub fn statement(side: &SideName, webhook: Webhook) -> Draft {
    let (kind, exists) = match &webhook.said {
        Said::Created => (Kind::Create, Some(true)),
        Said::Changed => (Kind::Edit, None),
        Said::Deleted => (Kind::Delete, Some(false)),
        Said::Restored => (Kind::Restore, Some(true)),
        Said::Merged(_) => (Kind::Absorb, None),
    };
    let origin = Origin { side: side.clone(), link: Some(webhook.link), node: None };
    let mut draft = Draft::new(kind, webhook.record, origin, webhook.at, webhook.author);
    draft.words = webhook.set;
    if let Said::Merged(record) = webhook.said {
        draft.detail = Detail::Other { record, label: "merged".to_owned() };
    }
    if let Some(exists) = exists {
        draft.words.push((FieldName::new(EXISTENCE).expect("a good name"), Value::bool(exists)));
    }
    draft
}

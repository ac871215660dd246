//! What HubSpot shows of records that we name by their ids, since when, and by whom.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::json;

use super::{
    account::HubSpot,
    answer::{Revision, Row, Rows},
    author::author,
    call::{Call, Op, Trouble},
    pages::MERGED,
    shape::Shape,
};
use crate::{
    event::Author,
    id::FieldName,
    send::{Past, ReadError, Seen, SeenField, Urgency},
};

/// The most records of one call with history: HubSpot lowers its hundred for it and does not say how far.
pub(super) const WITH_HISTORY_MOST: usize = 50;
/// The wait where two answers do not fit together, in milliseconds.
const AGAIN: i64 = 1_000;

/// What HubSpot shows of an id; `Err`: that is not to be had now.
pub(super) type Looked = Result<Seen, ReadError>;

/// What is read of records of one kind.
pub(super) struct Looking<'a> {
    pub shape: &'a Shape,
    /// The fields; empty: all.
    pub fields: &'a [FieldName],
    pub urgency: Urgency,
}

impl Looking<'_> {
    fn wants(&self, field: &FieldName) -> bool {
        self.fields.is_empty() || self.fields.contains(field)
    }

    /// The properties to be read.
    fn properties(&self) -> Vec<&str> {
        let wanted = self.shape.properties.iter().filter(|(field, _)| self.wants(field));
        wanted.map(|(_, name)| name.as_str()).collect()
    }
}

impl HubSpot {
    /// What HubSpot shows of each of these ids.
    ///
    /// An id that an answer does not speak of is asked for by itself: it may have been merged into another record, whose id comes
    /// back then, deleted, or never been there.
    pub(super) async fn look(&self, looking: &Looking<'_>, ids: &[&str]) -> HashMap<String, Looked> {
        let mut looked = HashMap::new();
        for part in ids.chunks(WITH_HISTORY_MOST) {
            let mut rows: HashMap<String, Row> = HashMap::new();
            let mut left: Vec<&str> = Vec::new();
            match self.batch_read(looking, part).await {
                Ok(found) => {
                    rows.extend(found.into_iter().map(|row| (row.id.clone(), row)));
                    left.extend(part.iter().filter(|id| !rows.contains_key(**id)));
                    rows.retain(|id, _| part.contains(&id.as_str()));
                }
                // An id that is none spoils the whole call.
                Err(Trouble::Refused(400 | 404, _)) => left.extend(part),
                Err(trouble) => {
                    looked.extend(part.iter().map(|id| ((*id).to_owned(), Err(trouble.unread()))));
                    continue;
                }
            }
            for id in left {
                let gone = match self.trace(looking, id).await {
                    Ok(Traced::Lives(row)) => {
                        rows.insert(id.to_owned(), *row);
                        continue;
                    }
                    Ok(Traced::Gone(seen)) => Ok(seen),
                    Err(why) => Err(why),
                };
                looked.insert(id.to_owned(), gone);
            }
            looked.extend(self.shown(looking, rows).await);
        }
        looked
    }

    /// Brings rows into our terms, with what their records are joined with.
    async fn shown(&self, looking: &Looking<'_>, rows: HashMap<String, Row>) -> HashMap<String, Looked> {
        let joins: Vec<_> = looking.shape.joins.iter().filter(|join| looking.wants(&join.field)).collect();
        // What is asked of a merged record by its old id has no associations.
        let ids: Vec<&str> = rows.values().filter(|row| !row.archived).map(|row| row.id.as_str()).collect();
        let mut joined = Vec::new();
        let asked = self.client.now();
        for join in joins {
            joined.push((join, self.joined_with(looking.shape, join, &ids, looking.urgency).await));
        }
        let seen = |row: &Row| {
            let mut seen = self.seen(looking, row);
            for (join, others) in joined.iter().filter(|_| seen.found) {
                let others = others.as_ref().map_err(Trouble::unread)?;
                if let Some(ids) = others.get(&row.id) {
                    let text = ids.join(";");
                    let heard = self.translation.hear_text(&looking.shape.kind, &join.field, Some(&text));
                    let plain = SeenField::plain(join.field.clone(), heard.value, None);
                    seen.fields.push(SeenField { asked: Some(asked), ..plain });
                }
            }
            Ok(seen)
        };
        rows.iter().map(|(asked, row)| (asked.clone(), seen(row))).collect()
    }

    async fn batch_read(&self, looking: &Looking<'_>, ids: &[&str]) -> Result<Vec<Row>, Trouble> {
        let properties = looking.properties();
        let inputs: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
        let shown: Vec<&str> = properties.iter().copied().chain([MERGED]).collect();
        let body = json!({"inputs": inputs, "properties": shown, "propertiesWithHistory": properties});
        let path = self.client.objects(&[&looking.shape.path, "batch", "read"]);
        let body = self.client.call(&Call::with(Op::BatchRead, Method::POST, path, looking.urgency, body)).await?;
        Ok(Rows::read(&body).ok_or(Trouble::Unknown)?.rows)
    }

    /// What has become of an id that a batch did not speak of.
    async fn trace(&self, looking: &Looking<'_>, id: &str) -> Result<Traced, ReadError> {
        match self.get(looking, id, false).await {
            // It lives on, perhaps under another id; only a batch has the history.
            Ok(row) => {
                let rows = self.batch_read(looking, &[&row.id]).await.map_err(|trouble| trouble.unread())?;
                let same = rows.into_iter().find(|found| found.id == row.id);
                same.map(|row| Traced::Lives(Box::new(row))).ok_or(ReadError::NotYet(AGAIN))
            }
            Err(Trouble::Refused(400 | 404, _)) => match self.get(looking, id, true).await {
                Ok(row) if row.archived => Ok(Traced::Gone(gone(Some(&row)))),
                Ok(_) => Err(ReadError::NotYet(AGAIN)),
                Err(Trouble::Refused(400 | 404, _)) => Ok(Traced::Gone(gone(None))),
                Err(trouble) => Err(trouble.unread()),
            },
            Err(trouble) => Err(trouble.unread()),
        }
    }

    async fn get(&self, looking: &Looking<'_>, id: &str, archived: bool) -> Result<Row, Trouble> {
        let path = self.client.objects(&[&looking.shape.path, id]);
        let path = if archived { path + "?archived=true" } else { path };
        let body = self.client.call(&Call::new(Op::Read, Method::GET, path, looking.urgency)).await?;
        Row::read(&body).ok_or(Trouble::Unknown)
    }

    /// A row in our terms.
    ///
    /// A property that the row does not have is left out: it may be one that the account does not have, and must not pass for cleared.
    pub(super) fn seen(&self, looking: &Looking<'_>, row: &Row) -> Seen {
        if row.archived {
            return gone(Some(row));
        }
        let wanted = looking.shape.properties.iter().filter(|(field, _)| looking.wants(field));
        let fields = wanted.filter_map(|(field, property)| self.seen_field(looking.shape, field, property, row));
        let merged = row.shows(MERGED).flatten().unwrap_or_default();
        Seen {
            found: true,
            link: Some(row.id.as_str().into()),
            fields: fields.collect(),
            modified: row.updated_at,
            merged: merged.split(';').map(str::trim).filter(|id| !id.is_empty()).map(Into::into).collect(),
        }
    }

    fn seen_field(&self, shape: &Shape, field: &FieldName, property: &str, row: &Row) -> Option<SeenField> {
        let history = row.history.get(property).map(Vec::as_slice).unwrap_or_default();
        let newest = history.first();
        let shows = row.shows(property).or_else(|| newest.map(|newest| newest.value.as_deref()))?;
        let hear = |text: Option<&str>| self.translation.hear_text(&shape.kind, field, text).value;
        let mut seen = SeenField::plain(field.clone(), hear(shows), None);
        let plain = |text: Option<&str>| text.unwrap_or_default().to_owned();
        // The history may lag behind the value, or be cut off; then its times are not this value's.
        let is_its_own = newest.is_some_and(|newest| plain(newest.value.as_deref()) == plain(shows));
        let past = if is_its_own { &history[1..] } else { history };
        if let Some(newest) = newest.filter(|_| is_its_own) {
            seen.changed = newest.timestamp;
            seen.author = self.author(newest);
        }
        let earlier = past.iter().filter_map(|past| {
            let (value, author) = (hear(past.value.as_deref()), self.author(past));
            Some(Past { value, at: past.timestamp?, author })
        });
        seen.earlier = earlier.collect();
        Some(seen)
    }

    /// Who wrote a value.
    fn author(&self, revision: &Revision) -> Author {
        let Revision { source_type, source_id, updated_by_user_id, .. } = revision;
        author(source_type.as_deref(), source_id.as_deref(), updated_by_user_id.as_deref(), self.app.as_deref())
    }
}

/// What a search for one id ended in.
enum Traced {
    Lives(Box<Row>),
    Gone(Seen),
}

/// A record that is deleted, or was never there.
fn gone(row: Option<&Row>) -> Seen {
    Seen { modified: row.and_then(|row| row.archived_at.or(row.updated_at)), ..Seen::default() }
}

//! Finding the record that a write made whose answer was lost, so that no second one is made.
//!
//! Three ways, the surest first: the id that HubSpot named; a property that no two records share; what was written, among the
//! records made at that time. That there is none is believed only once a call that is still on its way would have arrived, and a
//! search would show what it made.

use reqwest::Method;
use serde_json::json;

use super::{
    account::HubSpot,
    answer::Rows,
    call::{Call, Op, Trouble},
    read::{Looked, Looking, WITH_HISTORY_MOST},
    shape::Shape,
};
use crate::{
    clock::Millis,
    event::AuthorKind,
    field::FieldType,
    id::{FieldName, RecordId},
    send::{Ask, InDoubt, ReadError, Seen, SeenField, Urgency},
    value::Value,
};

/// How long after it left a write may still take effect, in milliseconds.
const UNDER_WAY: i64 = 60_000;
/// How far from the time at which it left a record may have been made, in milliseconds; clocks differ.
const AROUND: i64 = 600_000;
/// The most records made around that time that are looked through.
const SEARCHED_MOST: u64 = 600;
/// The results of one search.
const PAGE: usize = 100;
/// The wait where there is nothing to find a record by, in milliseconds.
const NOTHING_TO_GO_BY: i64 = 60_000;
/// The longest text that a search is narrowed by; longer ones are not indexed whole.
const NARROW_BYTES_MAX: usize = 200;

impl HubSpot {
    /// Answers a question about a record of which the side's own id is not known.
    pub(super) async fn find(&self, ask: &Ask) -> Looked {
        let Some(about) = ask.about.as_ref().filter(|about| about.create) else {
            tracing::warn!(record = %ask.record, side = %ask.side, "a record without an id there cannot be asked for");
            return Err(ReadError::NotYet(NOTHING_TO_GO_BY));
        };
        let Some(shape) = self.shape(ask.record.kind()) else { return Err(ReadError::NotYet(NOTHING_TO_GO_BY)) };
        let looking = Looking { shape: &shape, fields: &ask.fields, urgency: Urgency::Interactive };
        if let Some(id) = self.remembered(&about.key) {
            return self.look_at(&looking, &id).await;
        }
        let waited = self.client.now().0 - about.left.0;
        match self.find_unique(&shape, &about.fields).await.map_err(|trouble| trouble.unread())? {
            Some(Some(id)) => self.look_at(&looking, &id).await,
            // A second one could not be made while the first is there.
            Some(None) => absent(waited, UNDER_WAY),
            None => match self.find_made(&shape, about).await.map_err(|trouble| trouble.unread())? {
                Some(id) => self.look_at(&looking, &id).await,
                None => absent(waited, UNDER_WAY.max(self.index_lag)),
            },
        }
    }

    async fn look_at(&self, looking: &Looking<'_>, id: &str) -> Looked {
        self.look(looking, &[id]).await.remove(id).unwrap_or(Err(ReadError::NotYet(NOTHING_TO_GO_BY)))
    }

    /// The record with one of these values where no two can have it; the outer `None`: no such property is among them.
    pub(super) async fn find_unique(
        &self,
        shape: &Shape,
        fields: &[(FieldName, Value)],
    ) -> Result<Option<Option<String>>, Trouble> {
        let unique = self.unique(&shape.path).await?;
        let mut asked = false;
        for (field, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            let Some(property) = shape.property(field).filter(|name| unique.iter().any(|known| known == name)) else {
                continue;
            };
            let Ok(text) = self.translation.say_text(&shape.kind, field, value) else { continue };
            asked = true;
            // In a body, where no proxy writes it down.
            let body = json!({"inputs": [{"id": text}], "idProperty": property, "properties": [property]});
            let path = self.client.objects(&[&shape.path, "batch", "read"]);
            let answer =
                self.client.call(&Call::with(Op::BatchRead, Method::POST, path, Urgency::Interactive, body)).await;
            let rows = match answer {
                Ok(body) => Rows::read(&body).ok_or(Trouble::Unknown)?,
                Err(Trouble::Refused(404, _)) => Rows::default(),
                Err(trouble) => return Err(trouble),
            };
            if let Some(row) = rows.rows.into_iter().next() {
                return Ok(Some(Some(row.id)));
            }
        }
        Ok(asked.then_some(None))
    }

    /// The record that was made around the time of a write, shows or has shown all of its values, and is not known by another name.
    async fn find_made(&self, shape: &Shape, about: &InDoubt) -> Result<Option<String>, Trouble> {
        let mut made = self.made_around(shape, about, false).await?;
        if made.1 > SEARCHED_MOST {
            made = self.made_around(shape, about, true).await?;
        }
        let ids: Vec<&str> = made.0.iter().map(String::as_str).collect();
        let sent: Vec<FieldName> = about.fields.iter().map(|(field, _)| field.clone()).collect();
        let looking = Looking { shape, fields: &sent, urgency: Urgency::Interactive };
        // The oldest first: should an earlier try have made one as well, it is that which others may have seen.
        for part in ids.chunks(WITH_HISTORY_MOST) {
            let looked = self.look(&looking, part).await;
            for id in part {
                match looked.get(*id) {
                    Some(Ok(seen)) if self.is_it(shape, about, id, seen) => return Ok(Some((*id).to_owned())),
                    Some(Err(ReadError::RetryAfter(wait))) => return Err(Trouble::NotTaken(*wait)),
                    Some(Err(ReadError::NotYet(wait))) => return Err(Trouble::NotYet(*wait)),
                    _ => {}
                }
            }
        }
        if made.1 > SEARCHED_MOST {
            tracing::warn!(kind = %shape.kind, "too many records were made at one time to tell which is ours");
            return Err(Trouble::NotYet(NOTHING_TO_GO_BY));
        }
        Ok(None)
    }

    /// The ids of the records made around the time of a write, oldest first, and how many there are.
    async fn made_around(&self, shape: &Shape, about: &InDoubt, narrow: bool) -> Result<(Vec<String>, u64), Trouble> {
        let left = about.left.plus(self.offset().estimate().unwrap_or(0));
        let bound = |at: Millis| at.0.max(0).to_string();
        let mut filters = vec![json!({"propertyName": shape.created(), "operator": "BETWEEN",
            "value": bound(left.plus(-AROUND)), "highValue": bound(left.plus(AROUND))})];
        if narrow {
            filters.extend(self.narrowing(shape, about));
        }
        let (mut ids, mut total, mut after) = (Vec::new(), 0, None::<String>);
        loop {
            let mut body = json!({"filterGroups": [{"filters": filters}], "limit": PAGE, "properties": [shape.created()],
                "sorts": [{"propertyName": shape.created(), "direction": "ASCENDING"}]});
            if let Some(after) = &after {
                body["after"] = json!(after);
            }
            let path = self.client.objects(&[&shape.path, "search"]);
            let answer =
                self.client.call(&Call::with(Op::Search, Method::POST, path, Urgency::Interactive, body)).await?;
            let page = Rows::read(&answer).ok_or(Trouble::Unknown)?;
            total = page.total.unwrap_or(total).max(total);
            ids.extend(page.rows.into_iter().map(|row| row.id));
            after = page.after;
            if after.is_none() || ids.len() as u64 >= SEARCHED_MOST {
                return Ok((ids, total));
            }
        }
    }

    /// Filters by what was written, as far as a search finds it by equality.
    fn narrowing(&self, shape: &Shape, about: &InDoubt) -> Vec<serde_json::Value> {
        let exact = |field: &FieldName| {
            let spec = self.translation.manifest().field(&shape.kind, field);
            spec.is_some_and(|spec| {
                matches!(spec.kind, FieldType::String | FieldType::Email | FieldType::Integer | FieldType::Choice(_))
            })
        };
        let filter = |(field, value): &(FieldName, Value)| {
            let property = shape.property(field).filter(|_| exact(field))?;
            let text = self.translation.say_text(&shape.kind, field, value).ok()?;
            let fits = !text.is_empty() && text.len() <= NARROW_BYTES_MAX;
            fits.then(|| json!({"propertyName": property, "operator": "EQ", "value": text}))
        };
        about.fields.iter().filter_map(filter).take(3).collect()
    }

    fn is_it(&self, shape: &Shape, about: &InDoubt, id: &str, seen: &Seen) -> bool {
        if !seen.found || self.is_known(&shape.kind, id) {
            return false;
        }
        let written = about.fields.iter().filter(|(field, value)| !value.is_null() && shape.property(field).is_some());
        let mut told = written.map(|(field, value)| {
            let shows = seen.fields.iter().find(|shows| shows.field == *field);
            shows.is_some_and(|shows| self.had(shape, shows, value))
        });
        // Without a single value every record of that time would do.
        let first = told.next();
        first == Some(true) && told.all(|had| had)
    }

    /// Whether a field shows a value, or has shown it by our hand.
    fn had(&self, shape: &Shape, shows: &SeenField, value: &Value) -> bool {
        let same = |shown: &Value| self.translation.as_sent(&shape.kind, &shows.field, value, shown) == *value;
        let ours = |kind: AuthorKind| matches!(kind, AuthorKind::Ours | AuthorKind::Unnamed);
        same(&shows.value) || shows.earlier.iter().any(|past| ours(past.author.kind) && same(&past.value))
    }

    /// Whether an id belongs to a record that the engine knows by another name than the side's own.
    fn is_known(&self, kind: &str, id: &str) -> bool {
        let own = RecordId::on_side(kind, self.side(), id).ok();
        let record = self.links.record(kind, self.side(), id);
        record.is_some() && record != own || own.is_some_and(|own| self.links.is_linked(&own))
    }
}

/// Absence, once enough time has passed to believe it.
fn absent(waited: i64, enough: i64) -> Looked {
    if waited >= enough { Ok(Seen::default()) } else { Err(ReadError::NotYet((enough - waited).clamp(1, enough))) }
}

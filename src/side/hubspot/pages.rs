//! All records of a kind, and those that have changed, page by page.
//!
//! Changes are walked by the time of change, and within one time by id: a page begins where the last one ended, never at an
//! offset, so neither a record that changes meanwhile nor HubSpot's ten thousand results to a query get in the way.

use std::collections::HashMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    account::{HubSpot, refused},
    answer::{Row, Rows, parse_time},
    call::{Call, Op, Trouble, encoded},
    read::{Looked, Looking},
    shape::Shape,
};
use crate::{
    clock::Millis,
    send::{BoxFuture, ReadError, Urgency},
    side::{Page, Sighting, Source, SourceError},
};

/// The most records of a page.
const PAGE: usize = 100;
/// The version of the cursors' form.
const VERSION: u8 = 1;
/// The property in which a record lists those that were merged into it.
pub(super) const MERGED: &str = "hs_merged_object_ids";

/// Where a walk stands, as the text that is handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    v: u8,
    /// The type that is walked, so that a cursor is not mistaken for another walk's.
    of: String,
    #[serde(flatten)]
    at: At,
    /// How many records the walk has, as far as HubSpot said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "walk", rename_all = "snake_case")]
enum At {
    /// Through all records, by HubSpot's own cursor.
    All { after: String },
    /// Through changes from this time on, without these, which have this time and were on the last page.
    From { time: i64, done: Vec<String> },
    /// Through changes at exactly this time, from this id on: there are more of them than fit on a page.
    Within { time: i64, id: String },
}

impl Source for HubSpot {
    fn list<'a>(&'a self, kind: &'a str, cursor: Option<&'a str>) -> BoxFuture<'a, Result<Page, SourceError>> {
        Box::pin(self.page_of_all(kind, cursor))
    }

    fn changed<'a>(
        &'a self,
        kind: &'a str,
        since: Millis,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, SourceError>> {
        Box::pin(self.page_of_changes(kind, since, cursor))
    }
}

impl HubSpot {
    async fn page_of_all(&self, kind: &str, cursor: Option<&str>) -> Result<Page, SourceError> {
        let shape = self.shape(kind).ok_or(SourceError::NotOffered)?;
        let (after, total) = match cursor.map(|cursor| Cursor::read(cursor, &shape)).transpose()? {
            None => (None, self.count(&shape).await.map_err(refused)?),
            Some(Cursor { at: At::All { after }, total, .. }) => (Some(after), total),
            Some(_) => return Err(foreign()),
        };
        let limit = PAGE.to_string();
        let mut query = vec![("limit", limit.as_str()), ("archived", "false"), ("properties", MERGED)];
        query.extend(after.as_deref().map(|after| ("after", after)));
        let path = format!("{}?{}", self.client.objects(&[&shape.path]), encoded(query));
        let call = Call::new(Op::List, Method::GET, path, Urgency::Backfill);
        let body = self.client.call(&call).await.map_err(refused)?;
        let page = Rows::read(&body).filter(|page| page.unread == 0).ok_or(SourceError::RetryAfter(0))?;
        let next = page.after.map(|after| Cursor::of(&shape, At::All { after }, total));
        Ok(Page { records: self.sightings(&shape, &page.rows).await?, next, total })
    }

    /// How many records of a type there are, which only a search says.
    async fn count(&self, shape: &Shape) -> Result<Option<u64>, Trouble> {
        let path = self.client.objects(&[&shape.path, "search"]);
        let body = json!({"filterGroups": [], "limit": 1, "properties": []});
        match self.client.call(&Call::with(Op::Search, Method::POST, path, Urgency::Backfill, body)).await {
            Ok(body) => Ok(Rows::read(&body).and_then(|rows| rows.total)),
            // A type that cannot be searched can be listed all the same.
            Err(Trouble::Refused(..)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    async fn page_of_changes(&self, kind: &str, since: Millis, cursor: Option<&str>) -> Result<Page, SourceError> {
        let shape = self.shape(kind).ok_or(SourceError::NotOffered)?;
        let (at, total) = match cursor.map(|cursor| Cursor::read(cursor, &shape)).transpose()? {
            // What was changed shortly before may not have been in the index when the last walk passed there.
            None => (At::From { time: since.plus(-self.index_lag).0.max(0), done: Vec::new() }, None),
            Some(Cursor { at: At::All { .. }, .. }) => return Err(foreign()),
            Some(Cursor { at, total, .. }) => (at, total),
        };
        let found = self.search_changes(&shape, &at).await.map_err(refused)?;
        if found.unread > 0 {
            return Err(SourceError::RetryAfter(0));
        }
        let total = total.or(found.total);
        let next = next_change(&shape, &at, &found.rows).map(|at| Cursor::of(&shape, at, total));
        let fresh: Vec<Row> = match at {
            At::From { done, .. } => found.rows.into_iter().filter(|row| !done.contains(&row.id)).collect(),
            At::Within { .. } | At::All { .. } => found.rows,
        };
        Ok(Page { records: self.sightings(&shape, &fresh).await?, next, total })
    }

    async fn search_changes(&self, shape: &Shape, at: &At) -> Result<Rows, Trouble> {
        let modified = shape.modified();
        let bound = |property: &str, operator: &str, value: String| json!({"propertyName": property, "operator": operator, "value": value});
        let (filters, sort) = match at {
            At::Within { time, id } => {
                let (from, to) = (bound(modified, "GTE", time.to_string()), bound(modified, "LTE", time.to_string()));
                (vec![from, to, bound("hs_object_id", "GT", id.clone())], "hs_object_id")
            }
            At::From { time, .. } => (vec![bound(modified, "GTE", time.to_string())], modified),
            At::All { .. } => (Vec::new(), modified),
        };
        let body = json!({"filterGroups": [{"filters": filters}], "limit": PAGE, "properties": [modified, MERGED],
            "sorts": [{"propertyName": sort, "direction": "ASCENDING"}]});
        let path = self.client.objects(&[&shape.path, "search"]);
        let body = self.client.call(&Call::with(Op::Search, Method::POST, path, Urgency::Backfill, body)).await?;
        Rows::read(&body).ok_or(Trouble::Unknown)
    }

    /// What these records show, and those that live on in them.
    async fn sightings(&self, shape: &Shape, rows: &[Row]) -> Result<Vec<Sighting>, SourceError> {
        let looking = Looking { shape, fields: &[], urgency: Urgency::Backfill };
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut looked: HashMap<String, Looked> = self.look(&looking, &ids).await;
        let mut sightings = Vec::new();
        for row in rows {
            let seen = looked.remove(&row.id).unwrap_or(Err(ReadError::RetryAfter(0)));
            let seen = seen.map_err(|why| SourceError::RetryAfter(why.wait()))?;
            for loser in self.merged_into(shape, row) {
                sightings.push(Sighting { link: loser.into(), seen: seen.clone() });
            }
            sightings.push(Sighting { link: row.id.as_str().into(), seen });
        }
        Ok(sightings)
    }

    /// The records merged into this one that the engine still knows by their own ids: no list and no search shows them going.
    fn merged_into<'a>(&'a self, shape: &'a Shape, row: &'a Row) -> impl Iterator<Item = &'a str> {
        let losers = row.shows(MERGED).flatten().unwrap_or_default().split(';').map(str::trim);
        losers.filter(|loser| {
            let record = self.links.record(&shape.kind, self.side(), loser).filter(|_| !loser.is_empty());
            record.is_some_and(|record| self.links.link(&record, self.side()).as_deref() == Some(loser))
        })
    }
}

/// Where a walk through changes goes on after a page; `None`: it is over.
fn next_change(shape: &Shape, at: &At, rows: &[Row]) -> Option<At> {
    let is_full = rows.len() >= PAGE;
    let last = rows.last();
    match at {
        At::Within { time, .. } => Some(match last.filter(|_| is_full) {
            Some(last) => At::Within { time: *time, id: last.id.clone() },
            None => At::From { time: time + 1, done: Vec::new() },
        }),
        At::From { time, .. } => {
            let reached = last.filter(|_| is_full).map(|last| changed_at(shape, last).unwrap_or(*time))?;
            if reached <= *time {
                // A whole page of one time: by id from here on, those of this page once more.
                return Some(At::Within { time: *time, id: "0".to_owned() });
            }
            let done = rows.iter().filter(|row| changed_at(shape, row) == Some(reached)).map(|row| row.id.clone());
            Some(At::From { time: reached, done: done.collect() })
        }
        At::All { .. } => None,
    }
}

/// When a record changed, by the property that the walk is sorted by.
fn changed_at(shape: &Shape, row: &Row) -> Option<i64> {
    let told = row.shows(shape.modified()).flatten().and_then(parse_time).or(row.updated_at);
    told.map(|at| at.0)
}

fn foreign() -> SourceError {
    SourceError::Refused("the cursor is not one of this walk".to_owned())
}

impl Cursor {
    fn of(shape: &Shape, at: At, total: Option<u64>) -> String {
        let cursor = Cursor { v: VERSION, of: shape.path.clone(), at, total };
        serde_json::to_string(&cursor).expect("numbers and texts are JSON")
    }

    fn read(text: &str, shape: &Shape) -> Result<Cursor, SourceError> {
        let read = serde_json::from_str::<Cursor>(text).ok();
        read.filter(|cursor| cursor.v == VERSION && cursor.of == shape.path).ok_or_else(foreign)
    }
}

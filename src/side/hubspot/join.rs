//! Associations: what a record is joined with, and joining it with something else.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::{
    account::HubSpot,
    call::{self, Call, Op, Trouble},
    shape::{Join, Shape},
};
use crate::send::Urgency;

/// The most records of one call.
const READ_MOST: usize = 100;

/// Another record that a record is joined with.
struct Other {
    id: String,
    primary: bool,
}

impl HubSpot {
    /// The one record that each of these is joined with; `None`: with none. One that the answer does not speak of is left out.
    pub(super) async fn joined_with(
        &self,
        shape: &Shape,
        join: &Join,
        ids: &[&str],
        urgency: Urgency,
    ) -> Result<HashMap<String, Option<String>>, Trouble> {
        let mut all = HashMap::new();
        for part in ids.chunks(READ_MOST) {
            let inputs: Vec<_> = part.iter().map(|id| json!({"id": id})).collect();
            let segments = ["associations", &shape.path, &join.to, "batch", "read"];
            let path = call::path(&self.client.address().associations, &segments);
            let call = Call::with(Op::Associations, Method::POST, path, urgency, json!({"inputs": inputs}));
            let body = self.client.call(&call).await?;
            let json: Json = serde_json::from_slice(&body).map_err(|_| Trouble::Unknown)?;
            all.extend(one_each(&json, join, part).ok_or(Trouble::Unknown)?);
        }
        Ok(all)
    }

    /// Joins a record with another one, or parts it from the one that it is joined with.
    ///
    /// A primary association takes the place of another by itself. Any other stands for the only one: the one that was shown
    /// before is taken away once the new one is there.
    pub(super) async fn join(&self, shape: &Shape, join: &Join, id: &str, to: Option<&str>) -> Result<(), Trouble> {
        let is_primary = join.primary && join.number.is_some();
        let before = match to {
            Some(_) if is_primary => None,
            _ => self.joined_with(shape, join, &[id], Urgency::Interactive).await?.remove(id).flatten(),
        };
        let at = |segments: &[&str]| {
            let from = call::path(&self.client.address().associations, &["objects", &shape.path, id, "associations"]);
            call::path(&from, segments)
        };
        if let Some(to) = to {
            let call = match join.number.filter(|_| is_primary) {
                Some(number) => {
                    let types = json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number}]);
                    Call::with(Op::Associate, Method::PUT, at(&[&join.to, to]), Urgency::Interactive, types)
                }
                None => Call::new(Op::Associate, Method::PUT, at(&["default", &join.to, to]), Urgency::Interactive),
            };
            self.client.call(&call).await?;
        }
        if let Some(before) = before.filter(|before| to != Some(before)) {
            let call = Call::new(Op::Associate, Method::DELETE, at(&[&join.to, &before]), Urgency::Interactive);
            self.client.call(&call).await?;
        }
        Ok(())
    }
}

/// Reads which record each is joined with; `None` if the answer is not one.
fn one_each(json: &Json, join: &Join, asked: &[&str]) -> Option<HashMap<String, Option<String>>> {
    let mut all: HashMap<String, Option<String>> = HashMap::new();
    for row in json.get("results")?.as_array()? {
        let Some(from) = row.pointer("/from/id").map(id_text) else { continue };
        let others = row.get("to").and_then(Json::as_array).into_iter().flatten().map(|other| Other::of(other, join));
        all.insert(from, shown(others.collect(), join));
    }
    // Records without any association come as an error, or not at all in an answer without one.
    let errors = json.get("errors").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let named = |error: &Json, id: &str| {
        let lists = error.get("context").and_then(Json::as_object).into_iter().flat_map(|context| context.values());
        let mut ids = lists.flat_map(|list| list.as_array().into_iter().flatten());
        ids.any(|named| id_text(named) == id) || told(error).contains(&format!(" {id} "))
    };
    for id in asked {
        if !all.contains_key(*id)
            && (errors.is_empty() || errors.iter().any(|error| is_none(error) && named(error, id)))
        {
            all.insert((*id).to_owned(), None);
        }
    }
    Some(all)
}

fn told(error: &Json) -> String {
    format!(" {} ", error.get("message").and_then(Json::as_str).unwrap_or_default())
}

/// Whether an error only says that there is no association.
fn is_none(error: &Json) -> bool {
    let sub = error.get("subCategory").and_then(Json::as_str).unwrap_or_default();
    sub.ends_with("NO_ASSOCIATIONS_FOUND")
        || told(error).contains("No associations")
        || told(error).contains("No company is associated")
}

fn id_text(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

impl Other {
    fn of(json: &Json, join: &Join) -> Other {
        let types = json.get("associationTypes").and_then(Json::as_array).into_iter().flatten();
        let is_primary = |kind: &Json| {
            let number = kind.get("typeId").and_then(Json::as_u64);
            let label = kind.get("label").and_then(Json::as_str).unwrap_or_default();
            (join.number.is_some() && number == join.number.map(u64::from)) || label.eq_ignore_ascii_case("primary")
        };
        let id = json.get("toObjectId").or_else(|| json.get("id")).map(id_text).unwrap_or_default();
        Other { id, primary: types.into_iter().any(is_primary) }
    }
}

/// The one that a field shows: the primary one; where none is or can be, the first by id.
fn shown(mut others: Vec<Other>, join: &Join) -> Option<String> {
    others.retain(|other| !other.id.is_empty() && (!join.primary || join.number.is_none() || other.primary));
    if join.primary && others.iter().any(|other| other.primary) {
        others.retain(|other| other.primary);
    }
    others.sort_by(|a, b| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
    others.into_iter().next().map(|other| other.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::FieldName;

    fn join(primary: bool, number: Option<u32>) -> Join {
        Join { field: FieldName::new("company").expect("a name"), to: "companies".to_owned(), primary, number }
    }

    fn read(json: &str, join: &Join, asked: &[&str]) -> HashMap<String, Option<String>> {
        one_each(&serde_json::from_str(json).expect("JSON"), join, asked).expect("an answer")
    }

    const TWO: &str = r#"{"status":"COMPLETE","results":[{"from":{"id":"1"},"to":[
        {"toObjectId":10,"associationTypes":[{"category":"HUBSPOT_DEFINED","typeId":279,"label":null}]},
        {"toObjectId":9,"associationTypes":[{"category":"HUBSPOT_DEFINED","typeId":279,"label":null}]},
        {"toObjectId":11,"associationTypes":[{"category":"HUBSPOT_DEFINED","typeId":1,"label":"Primary"}]}]}]}"#;

    #[test]
    fn a_primary_field_shows_the_primary_one_alone() {
        assert_eq!(read(TWO, &join(true, Some(1)), &["1"])["1"].as_deref(), Some("11"));
        assert_eq!(read(TWO, &join(true, Some(77)), &["1"])["1"].as_deref(), Some("11"), "by its label");
        assert_eq!(
            read(TWO, &join(false, None), &["1"])["1"].as_deref(),
            Some("9"),
            "the first by number, not by text"
        );
        let none = r#"{"results":[{"from":{"id":"1"},"to":[{"toObjectId":10,"associationTypes":[]}]}]}"#;
        assert_eq!(read(none, &join(true, Some(1)), &["1"])["1"], None);
        assert_eq!(read(none, &join(true, None), &["1"])["1"].as_deref(), Some("10"));
    }

    #[test]
    fn only_those_the_answer_calls_alone_are_alone() {
        let json = r#"{"results":[],"errors":[{"subCategory":"crm.associations.NO_ASSOCIATIONS_FOUND",
            "context":{"fromObjectId":["2"]}},{"category":"OBJECT_NOT_FOUND","context":{"ids":["3"]}}]}"#;
        let read = read(json, &join(true, Some(1)), &["2", "3", "4"]);
        assert_eq!(read.len(), 1);
        assert_eq!(read["2"], None);
        let quiet = super::tests::read(r#"{"results":[]}"#, &join(true, Some(1)), &["2"]);
        assert_eq!(quiet["2"], None);
    }
}

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

/// What was not joined, or not parted, because a call failed.
pub(super) struct Unjoined {
    pub trouble: Trouble,
    /// Whether other calls for it have taken effect.
    pub is_part: bool,
}

impl From<Trouble> for Unjoined {
    fn from(trouble: Trouble) -> Self {
        Unjoined { trouble, is_part: false }
    }
}

impl HubSpot {
    /// The records that each of these is joined with, as far as the field shows them. One that the answer does not speak of
    /// is left out.
    pub(super) async fn joined_with(
        &self,
        shape: &Shape,
        join: &Join,
        ids: &[&str],
        urgency: Urgency,
    ) -> Result<HashMap<String, Vec<String>>, Trouble> {
        let mut all = Others::new();
        let mut parts: Vec<Vec<Next>> =
            ids.chunks(READ_MOST).map(|part| part.iter().map(Next::first).collect()).collect();
        while let Some(part) = parts.pop() {
            let inputs: Vec<_> = part.iter().map(Next::input).collect();
            let segments = ["associations", &shape.path, &join.to, "batch", "read"];
            let path = call::path(&self.client.address().associations, &segments);
            let call = Call::with(Op::Associations, Method::POST, path, urgency, json!({"inputs": inputs}));
            let body = self.client.call(&call).await?;
            let json: Json = serde_json::from_slice(&body).map_err(|_| Trouble::Unknown)?;
            let asked: Vec<&str> = part.iter().map(|next| next.id.as_str()).collect();
            let (found, more) = of_each(&json, join, &asked).ok_or(Trouble::Unknown)?;
            found.into_iter().for_each(|(id, others)| all.entry(id).or_default().extend(others));
            // Half of what a record is joined with would look as if the rest had been taken away.
            if !more.is_empty() {
                parts.push(more);
            }
        }
        Ok(all.into_iter().map(|(id, others)| (id, shown(others, join))).collect())
    }

    /// Joins a record with others and parts it from others.
    ///
    /// A primary association takes the place of another by itself. Any other that stands for the only one: the one that was
    /// shown before is taken away once the new one is there.
    pub(super) async fn join(&self, shape: &Shape, join: &Join, id: &str, target: &Target) -> Result<(), Unjoined> {
        let is_primary = join.primary && join.number.is_some();
        let (adds, removes): (&[String], Vec<String>) = match target {
            Target::Many { adds, removes } => (adds, removes.clone()),
            Target::One(Some(_)) if is_primary => (target.adds(), Vec::new()),
            Target::One(to) => {
                let before = self.joined_with(shape, join, &[id], Urgency::Interactive).await?.remove(id);
                let gone = before.into_iter().flatten().filter(|before| Some(before) != to.as_ref());
                (target.adds(), gone.collect())
            }
        };
        let at = |segments: &[&str]| {
            let from = call::path(&self.client.address().associations, &["objects", &shape.path, id, "associations"]);
            call::path(&from, segments)
        };
        let add = |to: &String| match join.number.filter(|_| is_primary) {
            Some(number) => {
                let types = json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number}]);
                Call::with(Op::Associate, Method::PUT, at(&[&join.to, to]), Urgency::Interactive, types)
            }
            None => Call::new(Op::Associate, Method::PUT, at(&["default", &join.to, to]), Urgency::Interactive),
        };
        let remove =
            |gone: &String| Call::new(Op::Associate, Method::DELETE, at(&[&join.to, gone]), Urgency::Interactive);
        let adds = adds.iter().map(|to| (add(to), false));
        let removes = removes.iter().map(|gone| (remove(gone), join.many));
        for (nth, (call, may_be_gone)) in adds.chain(removes).enumerate() {
            match self.client.call(&call).await {
                // With a record that is gone nothing is joined any more.
                Err(trouble) if may_be_gone && trouble.is_refused_with(404) => {}
                Err(trouble) => return Err(Unjoined { trouble, is_part: nth > 0 }),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

/// By the id of a record those that it is joined with.
type Others = HashMap<String, Vec<Other>>;

/// What a record is to be joined with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// With this one alone, or with none.
    One(Option<String>),
    /// With these too, and with those no more.
    Many { adds: Vec<String>, removes: Vec<String> },
}

impl Target {
    /// Those with which it may not be joined yet.
    pub fn adds(&self) -> &[String] {
        match self {
            Target::One(to) => to.as_slice(),
            Target::Many { adds, .. } => adds,
        }
    }
}

/// A page to be read of what a record is joined with.
struct Next {
    id: String,
    after: Option<String>,
}

impl Next {
    fn first(id: &&str) -> Next {
        Next { id: (*id).to_owned(), after: None }
    }

    fn input(&self) -> Json {
        match &self.after {
            Some(after) => json!({"id": self.id, "after": after}),
            None => json!({"id": self.id}),
        }
    }
}

/// Reads which records each is joined with, and what of it is on further pages; `None` if the answer is not one.
fn of_each(json: &Json, join: &Join, asked: &[&str]) -> Option<(Others, Vec<Next>)> {
    let mut all = Others::new();
    let mut more = Vec::new();
    for row in json.get("results")?.as_array()? {
        let Some(from) = row.pointer("/from/id").map(id_text) else { continue };
        let others = row.get("to").and_then(Json::as_array).into_iter().flatten().map(|other| Other::of(other, join));
        if let Some(after) = row.pointer("/paging/next/after").map(id_text) {
            more.push(Next { id: from.clone(), after: Some(after) });
        }
        all.insert(from, others.collect());
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
            all.insert((*id).to_owned(), Vec::new());
        }
    }
    Some((all, more))
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

/// Those that a field shows: all, or the primary one; where none is or can be, the first by id.
fn shown(mut others: Vec<Other>, join: &Join) -> Vec<String> {
    others.retain(|other| !other.id.is_empty() && (!join.primary || join.number.is_none() || other.primary));
    if join.primary && others.iter().any(|other| other.primary) {
        others.retain(|other| other.primary);
    }
    others.sort_by(|a, b| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
    let most = if join.many { usize::MAX } else { 1 };
    others.into_iter().map(|other| other.id).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::FieldName;

    fn join(primary: bool, number: Option<u32>) -> Join {
        Join {
            field: FieldName::new("company").expect("a name"),
            to: "companies".to_owned(),
            primary,
            many: false,
            number,
        }
    }

    fn read(json: &str, join: &Join, asked: &[&str]) -> HashMap<String, Option<String>> {
        let (all, more) = of_each(&serde_json::from_str(json).expect("JSON"), join, asked).expect("an answer");
        assert!(more.is_empty());
        all.into_iter().map(|(id, others)| (id, shown(others, join).into_iter().next())).collect()
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

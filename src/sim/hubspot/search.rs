//! Search: filters, order and pages over what the index has seen.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::{
    book::{Kind, Record},
    call::Answer,
    property::millis,
    state::{Asked, State},
};
use crate::clock::Millis;

/// The most results of a page, and of a whole search.
const PAGE_MAX: usize = 200;
const TOTAL_MAX: usize = 10_000;
/// The most groups, filters in a group, and filters.
const GROUPS_MAX: usize = 5;
const GROUP_MAX: usize = 6;
const FILTERS_MAX: usize = 18;

/// A search, read and checked.
struct Search {
    groups: Vec<Vec<Filter>>,
    query: Option<String>,
    sort: Option<(String, bool)>,
    properties: Vec<String>,
    limit: usize,
    after: usize,
}

/// One condition.
struct Filter {
    property: String,
    operator: String,
    value: String,
    values: Vec<String>,
    high: String,
}

/// Answers a search; archived records are never found, and changes only after the index has seen them.
pub(super) fn search(state: &mut State, asked: &Asked<'_>) -> Answer {
    let read = state.kind_of(asked).and_then(|kind| {
        let body = asked.call.json()?;
        Ok((kind, read(&body, &state.book.kinds[kind])?))
    });
    let (kind, search) = match read {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let own = &state.book.kinds[kind];
    let seen = (state.settings.search_lag_ms > 0).then(|| state.said().plus(-state.settings.search_lag_ms));
    let is_seen = |record: &&Record| record.archived.is_none() && seen.is_none_or(|seen| record.created <= seen);
    let mut found: Vec<&Record> =
        own.records.values().filter(is_seen).filter(|record| search.finds(own, record, seen)).collect();
    if let Some((property, down)) = &search.sort {
        let mut keyed: Vec<(Option<String>, &Record)> =
            found.iter().map(|record| (own.compared(record, property, seen), *record)).collect();
        keyed.sort_by(|(a, first), (b, second)| {
            let order = match (a, b) {
                (Some(a), Some(b)) => compare(a, b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            };
            (if *down { order.reverse() } else { order }).then(first.id.cmp(&second.id))
        });
        found = keyed.into_iter().map(|(_, record)| record).collect();
    }
    let page: Vec<Value> = found
        .iter()
        .skip(search.after)
        .take(search.limit)
        .map(|record| own.shown(record, &search.properties, seen))
        .collect();
    let next = search.after + page.len();
    let mut body = json!({"total": found.len(), "results": page});
    if next < found.len() && !page.is_empty() {
        body["paging"] = json!({"next": {"after": next.to_string()}});
    }
    Answer::json(200, body)
}

fn read(body: &Value, kind: &Kind) -> Result<Search, Answer> {
    let groups = body["filterGroups"].as_array().cloned().unwrap_or_default();
    let mut read = Vec::new();
    for group in &groups {
        let filters = group["filters"].as_array().cloned().unwrap_or_default();
        read.push(filters.iter().map(|filter| one(filter, kind)).collect::<Result<Vec<Filter>, Answer>>()?);
    }
    let is_too_much = read.len() > GROUPS_MAX || read.iter().any(|group| group.len() > GROUP_MAX);
    if is_too_much || read.iter().map(Vec::len).sum::<usize>() > FILTERS_MAX {
        let most =
            format!("at most {GROUPS_MAX} filterGroups of {GROUP_MAX} filters, and {FILTERS_MAX} filters in all");
        return Err(Answer::bad(&format!("too many filters: {most}")));
    }
    let limit = body["limit"].as_u64().unwrap_or(10) as usize;
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Answer::bad(&format!("limit has to be from 1 to {PAGE_MAX}")));
    }
    let after = match &body["after"] {
        Value::Null => 0,
        Value::Number(number) => number.as_u64().unwrap_or(u64::MAX) as usize,
        other => other
            .as_str()
            .map(|after| if after.is_empty() { Ok(0) } else { after.parse() })
            .and_then(Result::ok)
            .ok_or_else(|| Answer::bad("after is not a number"))?,
    };
    if after.saturating_add(limit) > TOTAL_MAX {
        return Err(Answer::bad(&format!("A search cannot go past {TOTAL_MAX} results")));
    }
    let sorts = body["sorts"].as_array().cloned().unwrap_or_default();
    if sorts.len() > 1 {
        return Err(Answer::bad("a search can have one sort"));
    }
    let sort = sorts.first().map(|sort| match sort.as_str() {
        Some(text) => match text.strip_prefix('-') {
            Some(name) => (name.to_owned(), true),
            None => (text.to_owned(), false),
        },
        None => (sort["propertyName"].as_str().unwrap_or_default().to_owned(), sort["direction"] == "DESCENDING"),
    });
    if let Some((name, _)) = sort.as_ref().filter(|(name, _)| !kind.properties.contains_key(name)) {
        return Err(Answer::bad(&format!("There was a problem with the request: {name} is not a property")));
    }
    let properties = body["properties"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let query = body["query"].as_str().filter(|query| !query.is_empty()).map(str::to_lowercase);
    Ok(Search { groups: read, query, sort, properties: properties.collect(), limit, after })
}

fn one(filter: &Value, kind: &Kind) -> Result<Filter, Answer> {
    let text = |name: &str| match &filter[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let property = text("propertyName");
    if !kind.properties.contains_key(&property) {
        return Err(Answer::bad(&format!("There was a problem with the request: {property} is not a property")));
    }
    let operator = text("operator");
    let values = filter["values"].as_array().into_iter().flatten();
    let values = values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
    const OPERATORS: [&str; 13] = [
        "EQ",
        "NEQ",
        "LT",
        "LTE",
        "GT",
        "GTE",
        "BETWEEN",
        "IN",
        "NOT_IN",
        "HAS_PROPERTY",
        "NOT_HAS_PROPERTY",
        "CONTAINS_TOKEN",
        "NOT_CONTAINS_TOKEN",
    ];
    if !OPERATORS.contains(&operator.as_str()) {
        return Err(Answer::bad(&format!("{operator} is not an operator of search")));
    }
    Ok(Filter { property, operator, value: text("value"), values, high: text("highValue") })
}

impl Search {
    fn finds(&self, kind: &Kind, record: &Record, seen: Option<Millis>) -> bool {
        let has = |group: &Vec<Filter>| {
            group.iter().all(|filter| filter.holds(kind.compared(record, &filter.property, seen).as_deref()))
        };
        let by_filters = self.groups.is_empty() || self.groups.iter().any(has);
        by_filters
            && self.query.as_ref().is_none_or(|query| {
                let values = record.values.keys().filter_map(|name| kind.value(record, name, seen));
                values.into_iter().any(|value| value.to_lowercase().contains(query))
            })
    }
}

impl Filter {
    fn holds(&self, value: Option<&str>) -> bool {
        let Some(value) = value else {
            return matches!(self.operator.as_str(), "NOT_HAS_PROPERTY" | "NEQ" | "NOT_IN" | "NOT_CONTAINS_TOKEN");
        };
        let against = |other: &str| compare(value, other);
        let same = |other: &str| value.eq_ignore_ascii_case(other) || compare(value, other) == Ordering::Equal;
        match self.operator.as_str() {
            "EQ" => same(&self.value),
            "NEQ" => !same(&self.value),
            "LT" => against(&self.value).is_lt(),
            "LTE" => against(&self.value).is_le(),
            "GT" => against(&self.value).is_gt(),
            "GTE" => against(&self.value).is_ge(),
            "BETWEEN" => against(&self.value).is_ge() && against(&self.high).is_le(),
            "IN" => self.values.iter().any(|other| same(other)),
            "NOT_IN" => !self.values.iter().any(|other| same(other)),
            "HAS_PROPERTY" => true,
            "CONTAINS_TOKEN" => has_token(value, &self.value),
            "NOT_CONTAINS_TOKEN" => !has_token(value, &self.value),
            _ => false,
        }
    }
}

/// Whether one of a value's words is the token; a star at its ends stands for anything.
fn has_token(value: &str, token: &str) -> bool {
    let bare = token.trim_matches('*').to_lowercase();
    let small = value.to_lowercase();
    let mut words = small.split(|c: char| !c.is_alphanumeric()).chain(small.split_whitespace());
    words.any(|word| match (token.starts_with('*'), token.ends_with('*')) {
        (true, true) => word.contains(&bare),
        (true, false) => word.ends_with(&bare),
        (false, true) => word.starts_with(&bare),
        (false, false) => word == bare,
    })
}

/// Numbers as numbers, times as times in either form, the rest as texts.
fn compare(a: &str, b: &str) -> Ordering {
    if let (Some(a), Some(b)) = (millis(a), millis(b)) {
        return a.cmp(&b);
    }
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.total_cmp(&b),
        _ => a.to_lowercase().cmp(&b.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_compare_in_either_form_and_numbers_by_size() {
        assert_eq!(compare("2025-06-15T15:06:40.000Z", "1750000000000"), Ordering::Equal);
        assert_eq!(compare("9", "10"), Ordering::Less);
        assert_eq!(compare("9.5", "10"), Ordering::Less);
        assert_eq!(compare("b", "A"), Ordering::Greater);
    }

    #[test]
    fn tokens_are_words_with_stars() {
        assert!(has_token("Ana Maria", "maria") && !has_token("Ana Maria", "mar") && has_token("Ana Maria", "mar*"));
        assert!(has_token("ana@example.com", "*xampl*") && has_token("ana@example.com", "ana@example.com"));
    }
}

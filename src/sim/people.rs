//! Real people's records, for lively data: `people.jsonl` is a slice of <https://github.com/unitedstates/congress-legislators>
//! at dfa9622263dd4c8d08636926e498f1845704d7eb, which its authors have put into the public domain (CC0-1.0).

use serde::Deserialize;

/// One person.
#[derive(Clone, Debug, Deserialize)]
pub struct Person {
    /// The id in the Biographical Directory of the United States Congress.
    pub id: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Party.
    pub party: String,
    /// State, in two letters.
    pub state: String,
    /// Date of birth.
    pub birthday: String,
    /// Telephone of the office.
    pub phone: String,
    /// Address of the office.
    pub office: String,
    /// Web site.
    pub website: String,
    /// Name on Twitter.
    pub twitter: String,
}

/// All people of the slice, ascending by id.
pub fn people() -> Vec<Person> {
    let lines = include_str!("people.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).expect("the slice is part of this crate and well-formed")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn values_that_the_ledger_tells_apart_are_told_apart_by_the_data() {
        let people = people();
        assert_eq!(people.len(), 470);
        for of in [|p: &Person| p.phone.clone(), |p: &Person| p.office.clone(), |p: &Person| p.website.clone()] {
            assert_eq!(people.iter().map(of).collect::<BTreeSet<_>>().len(), people.len());
        }
    }
}

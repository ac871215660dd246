//! Which records belong together, under which types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// A record: its kind's place and its id.
pub(super) type Place = (usize, u64);

/// From, to, the default type, and the type of a primary association where there is one.
///
/// The numbers are HubSpot's published ones; pairs that are not here get numbers of their own.
const TYPES: [(&str, &str, u32, Option<u32>); 20] = [
    ("contact", "company", 279, Some(1)),
    ("company", "contact", 280, Some(2)),
    ("contact", "deal", 4, None),
    ("deal", "contact", 3, None),
    ("deal", "company", 341, Some(5)),
    ("company", "deal", 342, Some(6)),
    ("contact", "ticket", 15, None),
    ("ticket", "contact", 16, None),
    ("ticket", "company", 339, Some(26)),
    ("company", "ticket", 340, Some(25)),
    ("deal", "ticket", 27, None),
    ("ticket", "deal", 28, None),
    ("note", "contact", 202, None),
    ("contact", "note", 201, None),
    ("note", "company", 190, None),
    ("company", "note", 189, None),
    ("note", "deal", 214, None),
    ("deal", "note", 213, None),
    ("note", "ticket", 228, None),
    ("ticket", "note", 227, None),
];

/// The first number of a pair that HubSpot has none for.
const OWN_TYPES: u32 = 10_001;

/// The type of an association, seen from one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Type {
    pub id: u32,
    pub is_own: bool,
}

impl Type {
    /// As requests and answers hold it.
    pub fn spec(self) -> Value {
        json!({"associationCategory": self.category(), "associationTypeId": self.id})
    }

    pub fn category(self) -> &'static str {
        if self.is_own { "USER_DEFINED" } else { "HUBSPOT_DEFINED" }
    }
}

/// What became of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tied {
    pub from: Place,
    pub to: Place,
    pub removed: bool,
    pub is_primary: bool,
}

/// All associations of an account; each stands at both ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Ties {
    ends: BTreeMap<Place, BTreeMap<Place, BTreeSet<Type>>>,
    own: BTreeMap<(String, String), u32>,
}

impl Ties {
    /// The default type between two kinds, and that of a primary association.
    pub fn types(&mut self, from: &str, to: &str) -> (Type, Option<Type>) {
        let known = TYPES.iter().find(|(a, b, ..)| *a == from && *b == to);
        if let Some((_, _, plain, primary)) = known {
            let hubspots = |id: u32| Type { id, is_own: false };
            return (hubspots(*plain), primary.map(hubspots));
        }
        let next = OWN_TYPES + self.own.len() as u32;
        let id = *self.own.entry((from.to_owned(), to.to_owned())).or_insert(next);
        (Type { id, is_own: true }, None)
    }

    /// Joins two records with a type; a primary one also with the plain type, and in the place of another primary.
    ///
    /// `names` are the singular names of the two kinds. None: there is no such type between them.
    pub fn tie(&mut self, from: Place, to: Place, type_id: Option<u32>, names: (&str, &str)) -> Option<Vec<Tied>> {
        let (plain, primary) = self.types(names.0, names.1);
        let (back, back_primary) = self.types(names.1, names.0);
        let wants_primary = match type_id {
            None => false,
            Some(id) if id == plain.id => false,
            Some(id) if primary.is_some_and(|primary| primary.id == id) => true,
            Some(_) => return None,
        };
        let mut tied = Vec::new();
        if wants_primary && let (Some(one), Some(other)) = (primary, back_primary) {
            // A record has one primary company.
            let (holder, type_, reverse) = if names.1 == "company" { (from, one, other) } else { (to, other, one) };
            for old in self.with(holder, type_) {
                self.drop_type(holder, old, type_);
                self.drop_type(old, holder, reverse);
            }
            if self.add(from, to, one, other) {
                tied.extend(both(from, to, false, true));
            }
        }
        if self.add(from, to, plain, back) {
            tied.extend(both(from, to, false, false));
        }
        Some(tied)
    }

    /// Takes all types between two records away.
    pub fn untie(&mut self, from: Place, to: Place) -> Vec<Tied> {
        let had = self.ends.get_mut(&from).is_some_and(|others| others.remove(&to).is_some());
        if let Some(others) = self.ends.get_mut(&to) {
            others.remove(&from);
        }
        if had { both(from, to, true, false).into() } else { Vec::new() }
    }

    /// Takes one type between two records away.
    pub fn untie_type(&mut self, from: Place, to: Place, type_id: u32, names: (&str, &str)) -> Vec<Tied> {
        let (plain, primary) = self.types(names.0, names.1);
        let (_, back_primary) = self.types(names.1, names.0);
        match (primary, back_primary) {
            _ if type_id == plain.id => self.untie(from, to),
            (Some(one), Some(other)) if one.id == type_id => {
                let had = self.drop_type(from, to, one);
                self.drop_type(to, from, other);
                if had { both(from, to, true, true).into() } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    /// What a record is joined with, of one kind.
    pub fn of(&self, from: Place, kind: usize) -> impl Iterator<Item = (u64, &BTreeSet<Type>)> {
        let others = self.ends.get(&from).into_iter().flatten();
        others.filter(move |((to, _), _)| *to == kind).map(|((_, id), types)| (*id, types))
    }

    /// Every association once, from its smaller end.
    pub fn all(&self) -> impl Iterator<Item = (Place, Place, &BTreeSet<Type>)> {
        let pairs =
            self.ends.iter().flat_map(|(from, others)| others.iter().map(move |(to, types)| (*from, *to, types)));
        pairs.filter(|(from, to, _)| from < to)
    }

    /// Hands a record's associations to another one, quietly, as a merge does.
    pub fn inherit(&mut self, from: Place, to: Place) {
        for (other, types) in self.ends.remove(&from).unwrap_or_default() {
            let back = self.ends.get_mut(&other).and_then(|others| others.remove(&from)).unwrap_or_default();
            if other != to {
                self.ends.entry(to).or_default().entry(other).or_default().extend(types);
                self.ends.entry(other).or_default().entry(to).or_default().extend(back);
            }
        }
    }

    /// Forgets a record that was deleted for good.
    pub fn forget(&mut self, place: Place) {
        for other in self.ends.remove(&place).unwrap_or_default().into_keys() {
            if let Some(others) = self.ends.get_mut(&other) {
                others.remove(&place);
            }
        }
    }

    fn with(&self, from: Place, type_: Type) -> Vec<Place> {
        let others = self.ends.get(&from).into_iter().flatten();
        others.filter(|(_, types)| types.contains(&type_)).map(|(to, _)| *to).collect()
    }

    fn add(&mut self, from: Place, to: Place, there: Type, back: Type) -> bool {
        let is_new = self.ends.entry(from).or_default().entry(to).or_default().insert(there);
        self.ends.entry(to).or_default().entry(from).or_default().insert(back);
        is_new
    }

    fn drop_type(&mut self, from: Place, to: Place, type_: Type) -> bool {
        self.ends.get_mut(&from).and_then(|others| others.get_mut(&to)).is_some_and(|types| types.remove(&type_))
    }
}

fn both(from: Place, to: Place, removed: bool, is_primary: bool) -> [Tied; 2] {
    [Tied { from, to, removed, is_primary }, Tied { from: to, to: from, removed, is_primary }]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: Place = (0, 1);
    const NAMES: (&str, &str) = ("contact", "company");

    fn ids(ties: &Ties, from: Place, kind: usize) -> Vec<(u64, Vec<u32>)> {
        ties.of(from, kind).map(|(id, types)| (id, types.iter().map(|type_| type_.id).collect())).collect()
    }

    #[test]
    fn a_primary_association_brings_the_plain_one_and_takes_the_place_of_another() {
        let mut ties = Ties::default();
        let tied = ties.tie(ANA, (1, 7), Some(1), NAMES).expect("a type between the two");
        assert_eq!(tied.iter().filter(|tied| tied.from == ANA).count(), 2, "two notifications at each end");
        ties.tie((1, 8), ANA, Some(2), ("company", "contact")).expect("a type between the two");
        assert_eq!(ids(&ties, ANA, 1), [(7, vec![279]), (8, vec![1, 279])]);
        assert_eq!(ids(&ties, (1, 7), 0), [(1, vec![280])]);
        assert_eq!(ties.tie(ANA, (1, 7), Some(4), NAMES), None, "4 is contact to deal");
    }

    #[test]
    fn a_merge_hands_associations_on_and_leaves_none_under_the_old_id() {
        let mut ties = Ties::default();
        ties.tie(ANA, (1, 7), None, NAMES).expect("a type between the two");
        ties.inherit(ANA, (0, 9));
        assert_eq!(ids(&ties, ANA, 1), []);
        assert_eq!(ids(&ties, (0, 9), 1), [(7, vec![279])]);
        assert_eq!(ids(&ties, (1, 7), 0), [(9, vec![280])]);
    }
}

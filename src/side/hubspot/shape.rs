//! What HubSpot has of a kind: its type, its properties, and what it keeps as associations.
//!
//! A field of `type: reference` whose name on HubSpot is `primary_TYPE` or `associated_TYPE`, such as `primary_company`, is not a
//! property but an association with that type: the primary one, or the only one. One of `type: references` by the name
//! `associated_TYPE` is all associations with that type. Any other name is a property that holds an id, or several.

use super::{object, property::is_association};
use crate::{id::FieldName, side::translate::Translation};

/// Types of associations that HubSpot numbers itself: from, to, the plain one, the primary one.
///
/// The first six are in its published list of defaults; the primary company of a ticket is told there as well.
const NUMBERS: [(&str, &str, Option<u32>, Option<u32>); 8] = [
    ("contacts", "companies", Some(279), Some(1)),
    ("companies", "contacts", Some(280), Some(2)),
    ("contacts", "deals", Some(4), None),
    ("deals", "contacts", Some(3), None),
    ("deals", "companies", Some(341), Some(5)),
    ("companies", "deals", Some(342), Some(6)),
    ("tickets", "companies", None, Some(26)),
    ("companies", "tickets", None, Some(25)),
];

/// A kind as HubSpot has it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Our name for it.
    pub kind: String,
    /// Its name in paths.
    pub path: String,
    /// The fields that are properties, with their names.
    pub properties: Vec<(FieldName, String)>,
    /// The fields that are associations.
    pub joins: Vec<Join>,
}

/// A field that HubSpot keeps as an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Join {
    pub field: FieldName,
    /// The other type's name in paths.
    pub to: String,
    /// Whether it is the primary one that the field stands for.
    pub primary: bool,
    /// Whether the field is all of them.
    pub many: bool,
    /// The number of the association that a write makes; `None`: HubSpot's default.
    pub number: Option<u32>,
}

impl Shape {
    /// The shape of a kind; `None` where HubSpot has no such records.
    pub fn of(translation: &Translation, kind: &str) -> Option<Shape> {
        let path = object::plural(translation.type_of(kind)?).to_owned();
        let mut shape = Shape { kind: kind.to_owned(), path, properties: Vec::new(), joins: Vec::new() };
        for (field, name) in translation.fields(kind) {
            match shape.join(translation, field, name) {
                Some(join) => shape.joins.push(join),
                None => shape.properties.push((field.clone(), name.to_owned())),
            }
        }
        Some(shape)
    }

    fn join(&self, translation: &Translation, field: &FieldName, name: &str) -> Option<Join> {
        let agreed = translation.manifest().whole_field(&self.kind, field)?;
        let kind = agreed.spec.kind.refers_to()?;
        let many = agreed.spec.kind.is_set();
        if !is_association(translation, agreed, name) {
            return None;
        }
        let (to, primary) = (object::plural(translation.type_of(kind)?).to_owned(), name.starts_with("primary_"));
        let numbers = NUMBERS.iter().find(|(from, other, ..)| *from == self.path && *other == to);
        let number = numbers.and_then(|(_, _, plain, first)| if primary { first.or(*plain) } else { *plain });
        Some(Join { field: field.clone(), to, primary, many, number })
    }

    /// The property of a field.
    pub fn property(&self, field: &str) -> Option<&str> {
        self.properties.iter().find(|(own, _)| **own == *field).map(|(_, name)| name.as_str())
    }

    /// The association of a field.
    pub fn joined(&self, field: &str) -> Option<&Join> {
        self.joins.iter().find(|join| *join.field == *field)
    }

    /// The property that says when a record last changed.
    pub fn modified(&self) -> &'static str {
        if self.path == "contacts" { "lastmodifieddate" } else { "hs_lastmodifieddate" }
    }

    /// The property that says when a record was made.
    pub fn created(&self) -> &'static str {
        match self.path.as_str() {
            "contacts" | "companies" | "deals" | "tickets" | "products" | "line_items" => "createdate",
            _ => "hs_createdate",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        id::{RecordId, SideName},
        manifest::Manifest,
        side::Links,
    };

    struct Nobody;

    impl Links for Nobody {
        fn record(&self, _: &str, _: &SideName, _: &str) -> Option<RecordId> {
            None
        }
        fn link(&self, _: &RecordId, _: &SideName) -> Option<Box<str>> {
            None
        }
    }

    const MANIFEST: &str = "
syncline: 1
tenant: acme
sides: { crm: { connector: hubspot, credentials: { token: env:T }, capture: { webhooks: false, poll: 5m } }, portal: { connector: none } }
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: contact }
    fields:
      name: { type: string, crm: firstname, portal: name }
      company: { type: reference, to: company, crm: primary_company, portal: company }
      employer: { type: reference, to: company, crm: associatedcompanyid, portal: employer }
      boss: { type: reference, to: company, crm: primary_boss, portal: boss }
      firms: { type: references, to: company, crm: associated_companies, portal: firms }
      firsts: { type: references, to: company, crm: primary_companies, portal: firsts }
  company:
    sides: { crm: companies, portal: company }
    fields:
      car: { type: reference, to: car, crm: associated_2-77, portal: car }
      nick: { type: string, crm: primary_company, portal: nick }
  car:
    sides: { crm: 2-77, portal: car }
    fields: { plate: { type: string, crm: plate, portal: plate } }
";

    fn shape(kind: &str) -> Shape {
        let manifest = Arc::new(Manifest::parse(MANIFEST).expect("a manifest"));
        let side = SideName::new("crm").expect("a name");
        Shape::of(&Translation::new(manifest, side, Arc::new(Nobody)), kind).expect("HubSpot has them")
    }

    #[test]
    fn only_references_of_that_name_are_associations() {
        let contact = shape("contact");
        let names: Vec<&str> = contact.properties.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["primary_boss", "associatedcompanyid", "primary_companies", "firstname"]);
        let company = contact.joined("company").expect("it is one");
        assert_eq!((company.to.as_str(), company.primary, company.number), ("companies", true, Some(1)));
        let firms = contact.joined("firms").expect("it is one");
        assert_eq!((firms.primary, firms.many, firms.number), (false, true, Some(279)));
        let own = shape("company");
        assert_eq!(own.property("nick"), Some("primary_company"), "a text of that name is a property");
        let car = own.joined("car").expect("it is one");
        assert_eq!((car.to.as_str(), car.primary, car.number), ("2-77", false, None));
    }

    #[test]
    fn the_times_of_a_type_have_their_names() {
        assert_eq!((shape("contact").modified(), shape("contact").created()), ("lastmodifieddate", "createdate"));
        assert_eq!((shape("company").modified(), shape("company").created()), ("hs_lastmodifieddate", "createdate"));
        assert_eq!((shape("car").modified(), shape("car").created()), ("hs_lastmodifieddate", "hs_createdate"));
    }
}

//! The objects and properties that an account comes with.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    book::Kind,
    property::{Choice, Property},
};

/// Name, singular, type id, the properties that are shown unasked, and the text properties.
struct Form {
    plural: &'static str,
    singular: &'static str,
    type_id: &'static str,
    shown: &'static [&'static str],
    texts: &'static [&'static str],
    numbers: &'static [&'static str],
    moments: &'static [&'static str],
}

const FORMS: [Form; 5] = [
    Form {
        plural: "contacts",
        singular: "contact",
        type_id: "0-1",
        shown: &["email", "firstname", "lastname"],
        texts: &[
            "email",
            "firstname",
            "lastname",
            "phone",
            "mobilephone",
            "company",
            "jobtitle",
            "website",
            "address",
            "city",
            "state",
            "zip",
            "country",
            "salutation",
            "twitterhandle",
            "fax",
            "message",
            "hubspot_owner_id",
        ],
        numbers: &["annualrevenue"],
        moments: &["closedate"],
    },
    Form {
        plural: "companies",
        singular: "company",
        type_id: "0-2",
        shown: &["domain", "name"],
        texts: &[
            "name",
            "domain",
            "phone",
            "website",
            "address",
            "address2",
            "city",
            "state",
            "zip",
            "country",
            "description",
            "hubspot_owner_id",
        ],
        numbers: &["annualrevenue", "numberofemployees"],
        moments: &[],
    },
    Form {
        plural: "deals",
        singular: "deal",
        type_id: "0-3",
        shown: &["amount", "closedate", "dealname", "dealstage", "pipeline"],
        texts: &["dealname", "description", "hubspot_owner_id"],
        numbers: &["amount"],
        moments: &["closedate"],
    },
    Form {
        plural: "tickets",
        singular: "ticket",
        type_id: "0-5",
        shown: &["content", "hs_pipeline", "hs_pipeline_stage", "hs_ticket_category", "hs_ticket_priority", "subject"],
        texts: &["subject", "content", "hubspot_owner_id"],
        numbers: &[],
        moments: &[],
    },
    Form {
        plural: "notes",
        singular: "note",
        type_id: "0-46",
        shown: &[],
        texts: &["hs_note_body", "hs_attachment_ids", "hubspot_owner_id"],
        numbers: &[],
        moments: &["hs_timestamp"],
    },
];

/// Kind, property, form field, and its options: enumerations that come with an account.
const CHOICES: [(&str, &str, &str, &[&str]); 13] = [
    (
        "contacts",
        "lifecyclestage",
        "radio",
        &[
            "subscriber",
            "lead",
            "marketingqualifiedlead",
            "salesqualifiedlead",
            "opportunity",
            "customer",
            "evangelist",
            "other",
        ],
    ),
    (
        "contacts",
        "hs_lead_status",
        "radio",
        &["NEW", "OPEN", "IN_PROGRESS", "OPEN_DEAL", "UNQUALIFIED", "ATTEMPTED_TO_CONTACT", "CONNECTED", "BAD_TIMING"],
    ),
    ("contacts", "hs_buying_role", "checkbox", &["DECISION_MAKER", "INFLUENCER", "END_USER", "BUDGET_HOLDER", "OTHER"]),
    ("contacts", "hs_email_optout", "booleancheckbox", &[]),
    (
        "companies",
        "industry",
        "select",
        &["COMPUTER_SOFTWARE", "CONSTRUCTION", "MACHINERY", "RETAIL", "LOGISTICS_AND_SUPPLY_CHAIN"],
    ),
    (
        "companies",
        "lifecyclestage",
        "radio",
        &[
            "subscriber",
            "lead",
            "marketingqualifiedlead",
            "salesqualifiedlead",
            "opportunity",
            "customer",
            "evangelist",
            "other",
        ],
    ),
    (
        "deals",
        "dealstage",
        "radio",
        &[
            "appointmentscheduled",
            "qualifiedtobuy",
            "presentationscheduled",
            "decisionmakerboughtin",
            "contractsent",
            "closedwon",
            "closedlost",
        ],
    ),
    ("deals", "pipeline", "select", &["default"]),
    ("deals", "dealtype", "radio", &["newbusiness", "existingbusiness"]),
    ("tickets", "hs_pipeline", "select", &["0"]),
    ("tickets", "hs_pipeline_stage", "select", &["1", "2", "3", "4"]),
    ("tickets", "hs_ticket_priority", "select", &["LOW", "MEDIUM", "HIGH", "URGENT"]),
    (
        "tickets",
        "hs_ticket_category",
        "checkbox",
        &["PRODUCT_ISSUE", "BILLING_ISSUE", "FEATURE_REQUEST", "GENERAL_INQUIRY"],
    ),
];

/// The objects that every account has.
pub(super) fn kinds() -> Vec<Kind> {
    FORMS.iter().map(kind).collect()
}

/// An object of the account's own; `type_id` is such as `2-3465404`.
pub(super) fn custom(name: &str, singular: &str, type_id: &str, properties: Vec<Property>) -> Kind {
    let mut kind = bare(name, singular, type_id, "hs_createdate");
    for property in properties {
        kind.properties.insert(property.name.clone(), property);
    }
    kind
}

fn bare(plural: &str, singular: &str, type_id: &str, created: &'static str) -> Kind {
    let modified = if plural == "contacts" { "lastmodifieddate" } else { "hs_lastmodifieddate" };
    let mut properties = BTreeMap::new();
    for (name, kind) in [
        ("hs_object_id", "number"),
        (created, "datetime"),
        (modified, "datetime"),
        ("hs_merged_object_ids", "enumeration"),
        ("hs_object_source", "string"),
        ("hs_object_source_id", "string"),
    ] {
        let system = Property { read_only: true, external_options: true, ..Property::standard(name, kind, "text") };
        properties.insert(name.to_owned(), system);
    }
    Kind {
        plural: plural.into(),
        singular: singular.into(),
        type_id: type_id.into(),
        created,
        modified,
        shown: Vec::new(),
        properties,
        groups: BTreeMap::from([(format!("{singular}information"), format!("{singular} information"))]),
        records: BTreeMap::new(),
        unique: BTreeMap::new(),
        merged: BTreeMap::new(),
        purged: BTreeSet::new(),
        blocked: BTreeSet::new(),
    }
}

fn kind(form: &Form) -> Kind {
    let created = if form.plural == "notes" { "hs_createdate" } else { "createdate" };
    let mut kind = bare(form.plural, form.singular, form.type_id, created);
    kind.shown = form.shown.iter().map(|name| (*name).to_owned()).collect();
    let group = format!("{}information", form.singular);
    let mut add = |property: Property| {
        kind.properties.insert(property.name.clone(), Property { group_name: group.clone(), ..property });
    };
    for name in form.texts {
        let has_unique_value = *name == "email";
        let long = matches!(*name, "description" | "content" | "hs_note_body" | "message");
        let field_type = if long { "textarea" } else { "text" };
        add(Property { has_unique_value, form_field: true, ..Property::standard(name, "string", field_type) });
    }
    for name in form.numbers {
        add(Property::standard(name, "number", "number"));
    }
    for name in form.moments {
        add(Property::standard(name, "datetime", "date"));
    }
    for (_, name, field_type, options) in CHOICES.iter().filter(|(of, ..)| *of == form.plural) {
        let truths = *field_type == "booleancheckbox";
        let names: &[&str] = if truths { &["true", "false"] } else { options };
        let options = (0..).zip(names).map(|(order, value)| Choice {
            value: (*value).into(),
            label: value.replace('_', " "),
            display_order: order,
            ..Choice::default()
        });
        let standard = Property::standard(name, if truths { "bool" } else { "enumeration" }, field_type);
        add(Property { options: options.collect(), ..standard });
    }
    if form.plural == "contacts" {
        add(Property { read_only: true, ..Property::standard("hs_additional_emails", "enumeration", "checkbox") });
        add(Property {
            calculated: true,
            ..Property::standard("hs_full_name_or_email", "string", "calculation_equation")
        });
    }
    kind
}

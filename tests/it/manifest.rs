//! What manifests mean.

use std::{collections::BTreeMap, time::Duration};

use syncline::{
    field::{DateForm, DeleteRule, FieldType, Rule},
    id::{FieldName, SideName},
    manifest::{ANY, Connector, Fault, Manifest, Rows, Secret},
    value::Value,
};

const PORTAL_HUBSPOT: &str = include_str!("examples/portal-hubspot.yaml");
const WORKLOAD: &str = include_str!("examples/workload.yaml");
const EVERY_KEY: &str = include_str!("examples/every-key.yaml");

fn good(text: &str) -> Manifest {
    Manifest::parse(text).unwrap_or_else(|faults| panic!("{}", lines(&faults)))
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

fn side(name: &str) -> SideName {
    SideName::new(name).expect("a test names sides well")
}

#[test]
fn the_portal_and_hubspot_example_means_what_it_says() {
    let manifest = good(PORTAL_HUBSPOT);
    assert_eq!(manifest.tenant, "acme");
    assert_eq!(manifest.public_url.as_deref(), Some("https://sync.acme.example"));
    assert_eq!(manifest.text, PORTAL_HUBSPOT);
    assert_eq!(manifest.sides.iter().map(|side| &*side.name).collect::<Vec<_>>(), ["crm", "portal"]);

    let crm = manifest.side("crm").expect("crm is a side");
    assert_eq!(crm.connector, Connector::Hubspot);
    assert_eq!((crm.account.as_deref(), crm.app.as_deref()), (Some("62515"), Some("54321")));
    assert_eq!(crm.credentials.token, Some(Secret::Env("HUBSPOT_TOKEN".to_owned())));
    assert!(crm.capture.webhooks);
    assert_eq!((crm.capture.poll, crm.capture.reconcile), (None, Some(Duration::from_secs(3600))));
    assert_eq!((crm.quota.per_second, crm.quota.per_10s, crm.quota.per_day), (None, Some(100), Some(250_000)));
    let portal = manifest.side("portal").expect("portal is a side");
    assert_eq!(portal.deliver_to.as_deref(), Some("https://portal.example.com/hooks/syncline"));
    assert_eq!(portal.credentials.webhook_secret, [Secret::Env("PORTAL_WEBHOOK_SECRET".to_owned())]);
    assert!(portal.capture.webhooks, "a portal calls us unless told not to");

    let rule = |field: &str| manifest.field("contact", field).expect("the field is there").rule.clone();
    assert_eq!(rule("email"), Rule::Authority(side("crm")));
    assert_eq!(rule("phone"), Rule::Authority(side("portal")));
    assert_eq!(rule("address"), Rule::LastWriteWins(None));
    assert_eq!(rule("interests"), Rule::Merge);
    let stage = manifest.field("contact", "stage").expect("the field is there");
    assert_eq!(stage.kind, FieldType::Choice(["lead", "qualified", "customer"].map(str::to_owned).to_vec()));
    assert_eq!(stage.write, Some(vec![side("crm")]));
    assert_eq!(stage.name_on("crm", "stage"), Some("lifecyclestage"));
    assert_eq!(
        manifest.field("contact", "company").map(|spec| &spec.kind),
        Some(&FieldType::Reference("company".to_owned()))
    );
    assert!(manifest.field("contact", "nickname").is_none());
    assert!(manifest.whole_field("contact", "email").is_some_and(|field| field.required));

    let contact = manifest.kind("contact").expect("the kind is there");
    assert_eq!(contact.name_on("crm", "contact"), Some("contacts"));
    assert_eq!(contact.field_named("crm", "firstname").map(|(own, _)| own), Some("first_name"));
    assert_eq!(manifest.kind_named("portal", "organisation").map(|(own, _)| own), Some("company"));
    assert_eq!(manifest.deletes("contact"), DeleteRule::Manual);

    let customer = &manifest.permissions["customer"];
    assert_eq!(customer.rows("contact"), Some(&Rows::Own));
    assert_eq!(customer.rows("deal"), None);
    assert!(customer.may_read("contact", "email") && customer.may_read("company", "name"));
    assert!(!customer.may_read("company", "domain") && !customer.may_write("contact", "email"));
    let staff = &manifest.permissions["staff"];
    assert!(staff.rows("deal") == Some(&Rows::All) && staff.may_write("company", "domain"));
}

#[test]
fn the_workload_example_means_what_it_says() {
    let manifest = good(WORKLOAD);
    assert_eq!(manifest.tenant, "bench");
    assert!(manifest.sides.iter().all(|side| side.connector == Connector::None && !side.capture.webhooks));
    for kind in ["contact", "company", "deal"] {
        let spec = |field| manifest.field(kind, field).expect("the field is there");
        assert_eq!(spec("name").kind, FieldType::String);
        assert_eq!(spec("amount").kind, FieldType::Decimal);
        assert_eq!(spec("tags").kind, FieldType::List);
        assert!(spec("owner").rule == Rule::LastWriteWins(None) && spec("owner").counts("portal"));
        assert_eq!(spec("owner").name_on("portal", "owner"), Some("owner"));
        assert_eq!(manifest.kind(kind).map(|kind| kind.fields.len()), Some(10));
    }
    assert!(manifest.field("ticket", "name").is_none());
}

#[test]
fn every_key_means_what_it_says() {
    let manifest = good(EVERY_KEY);
    assert_eq!(manifest.public_url.as_deref(), Some("https://sync.example"));
    let side_of = |name| manifest.side(name).expect("the side is there");
    let crm = side_of("crm");
    assert_eq!((crm.account.as_deref(), crm.app.as_deref()), (Some("62515"), Some("0042")));
    assert_eq!(crm.base_url.as_deref(), Some("https://api.example"));
    assert_eq!(crm.credentials.token, Some(Secret::File("/run/secrets/hubspot token".to_owned())));
    assert_eq!(crm.credentials.webhook_secret, ["NEW_SECRET", "OLD_SECRET"].map(|name| Secret::Env(name.to_owned())));
    assert_eq!(crm.capture.poll, Some(Duration::from_secs(300)));
    assert_eq!(crm.quota.per_second, Some(10));
    assert_eq!((crm.clock.resolution_ms(), crm.clock.max_offset), (1000, Duration::from_secs(120)));
    assert_eq!(crm.staleness, Some(Duration::from_secs(86_400)));
    assert_eq!((crm.cooldown.flips, crm.cooldown.within), (3, Duration::from_secs(30)));
    assert_eq!(side_of("portal").capture.poll, Some(Duration::from_millis(500)));
    assert!(!side_of("portal").capture.webhooks);
    assert_eq!(side_of("portal").cooldown.flips, 20);
    assert_eq!(["portal", "billing", "archive"].map(|name| side_of(name).clock.resolution_ms()), [1000, 60_000, 1]);
    assert_eq!(side_of("billing").connector, Connector::InProcess);

    assert_eq!(
        ["subscription", "person", "ticket"].map(|kind| manifest.deletes(kind)),
        [DeleteRule::EditWins, DeleteRule::Manual, DeleteRule::DeleteWins]
    );
    let field = |name| manifest.whole_field("subscription", name).expect("the field is there");
    assert_eq!(field("number").spec.rule, Rule::FirstWriteWins(Some(side("portal"))));
    assert_eq!(field("number").spec.name_on("portal", "number"), Some("no"));
    assert_eq!(field("mail").spec.write, Some(vec![side("crm")]));
    assert_eq!(field("mail").spec.name_on("billing", "mail"), None, "the kind is not on billing");
    assert_eq!(field("price").forms[&side("portal")].exponent, 2);
    assert_eq!(
        field("active").forms[&side("crm")].values,
        [("false", "N"), ("true", "Y")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert_eq!(field("active").spec.name_on("crm", "active"), Some("active"));
    assert_eq!(field("starts").forms[&side("crm")].dates, Some(DateForm::EpochMillis));
    assert_eq!(field("starts").forms[&side("portal")].dates, Some(DateForm::Pattern("%d.%m.%Y".to_owned())));
    assert!(!field("renewed").forms.contains_key("portal"), "iso is our own form");
    assert_eq!(field("labels").spec.write, Some(vec![side("crm")]), "read only for all but the authority");
    assert_eq!(field("visits").spec.write, Some(vec![side("portal")]));
    let rules = ["seats", "price", "plan", "steps", "extra", "remarks"].map(|name| field(name).spec.rule.clone());
    let expected =
        [Rule::Max, Rule::Min, Rule::Manual, Rule::FirstWriteWins(None), Rule::LastWriteWins(None), Rule::Merge];
    assert_eq!(rules, expected);

    let misfit = |name: &'static str, json: &str| {
        let value = Value::from_json(json).expect("good JSON");
        field(name).check(&value).err().map(|misfit| misfit.to_string())
    };
    assert_eq!(misfit("number", "\"S-1\""), None);
    assert_eq!(misfit("number", "\"s-1\"").as_deref(), Some("is not of the form due"));
    assert_eq!(misfit("number", "null").as_deref(), Some("is required"));
    assert_eq!(misfit("seats", "501").as_deref(), Some("is not within 1 to 500"));
    assert_eq!(misfit("remarks", "\"\""), None);
    let checks = &manifest.kind("subscription").expect("the kind is there").checks;
    let rules: Vec<_> = checks.iter().map(|check| (check.rule.as_str(), check.message.as_str())).collect();
    assert_eq!(rules, [("!record.active || has(record.starts)", "an active subscription has begun")]);

    let role = &manifest.permissions["customer"];
    assert_eq!(
        ["subscription", "person", "ticket"].map(|kind| role.rows(kind)),
        [&Rows::Own, &Rows::Company, &Rows::All].map(Some)
    );
    let values = ["basic", "plus"].map(Value::text).to_vec();
    let plus = BTreeMap::from([(FieldName::new("plan").expect("a name"), values)]);
    assert_eq!(manifest.permissions["desk"].rows("subscription"), Some(&Rows::Where(plus)));
    assert!(manifest.permissions["desk"].may_read("person", "existence"));
    assert!(role.may_write("person", "anything") && !role.may_write("person", "else"));
}

#[test]
fn a_field_without_an_entry_falls_back_to_the_kinds_rest_and_then_to_the_rest_of_kinds() {
    let manifest = good(EVERY_KEY);
    let kind_of = |kind, field| manifest.field(kind, field).map(|spec| &spec.kind);
    assert_eq!(kind_of("person", "nickname"), Some(&FieldType::Any));
    assert_eq!(kind_of("ticket", "created"), Some(&FieldType::Datetime));
    assert_eq!(kind_of("ticket", "subject"), Some(&FieldType::String));
    assert_eq!(kind_of("subscription", "seats"), Some(&FieldType::Integer));
    assert_eq!(kind_of("subscription", "colour"), Some(&FieldType::String));
    let person = manifest.kind("person").expect("the kind is there");
    assert_eq!(person.field_named("crm", "nickname").map(|(own, _)| own), Some("nickname"));
    assert_eq!(manifest.kind_named("crm", "2-3465404").map(|(own, _)| own), Some("subscription"));
    assert_eq!(manifest.kind_named("crm", "ticket").map(|(own, _)| own), Some("ticket"));
    assert_eq!(manifest.kind_named("crm", "subscription").map(|(own, _)| own), None, "crm calls it something else");
}

#[test]
fn without_a_manifest_the_last_write_wins_on_any_field() {
    let manifest = Manifest::builtin();
    assert_eq!(manifest.tenant, "default");
    assert_eq!(manifest.sides.iter().map(|side| &*side.name).collect::<Vec<_>>(), ["crm", "portal"]);
    let spec = manifest.field("whatever", "anything").expect("any field is agreed on");
    assert!(spec.kind == FieldType::Any && spec.rule == Rule::LastWriteWins(None) && spec.write.is_none());
    assert_eq!(manifest.kind(ANY).and_then(|kind| kind.name_on("crm", "contact")), Some("contact"));
}

#[test]
fn comments_and_the_order_of_keys_mean_nothing() {
    let first = good(
        "syncline: 1\ntenant: t\nsides: { a: { connector: none }, b: { connector: none, account: \"7\" } }\nrecords:\n  x: { fields: { f: { type: string, write: [a, b] }, g: { type: set } } }\n  y: { fields: { f: { type: any } } }\n",
    );
    let second = good(
        "# moved about\nrecords:\n  y: { fields: { f: { type: any } } }\n  x:\n    fields: # here too\n      g: { type: set }\n      f: { write: [b, a], type: string }\nsides:\n  b: { account: 7, connector: none }\n  a: { connector: none }\ntenant: 't'\nsyncline: 1\n",
    );
    assert_ne!(first.text, second.text);
    assert_eq!(first.canonical(), second.canonical());
    assert_eq!(first, second);
}

#[test]
fn a_change_of_any_value_changes_the_meaning() {
    let whole = good(EVERY_KEY);
    // Each pair is one change that a reviewer would call a change of the rules.
    for (old, new) in [
        ("tenant: every-key", "tenant: other"),
        ("OLD_SECRET", "OLDER_SECRET"),
        ("poll: 5m", "poll: 6m"),
        ("per_10s: 100", "per_10s: 90"),
        ("staleness: 1d", "staleness: 2d"),
        ("max_offset: 2m", "max_offset: 3m"),
        ("flips: 3", "flips: 4"),
        ("deletes: edit_wins", "deletes: manual"),
        ("match_on: [number, mail]", "match_on: [mail, number]"),
        ("rule: max", "rule: min"),
        ("scale: 100", "scale: 10"),
        ("basic: \"1\"", "basic: \"3\""),
        ("dates: epoch_ms", "dates: epoch_s"),
        ("read_only: crm", "read_only: portal"),
        ("required: true", "required: false"),
        ("of: [basic, plus]", "of: [basic, plus, max]"),
        ("person: company", "person: own"),
        ("plan: [basic, plus] }", "plan: [plus] }"),
        ("S-[0-9]+", "S-[0-9]*"),
        ("length: { max: 2000 }", "length: { max: 2001 }"),
        ("range: { min: 1,", "range: { min: 2,"),
        ("has(record.starts)", "has(record.renewed)"),
        ("subscription has begun", "subscription has started"),
        ("subscription.mail", "subscription.plan"),
    ] {
        assert!(EVERY_KEY.contains(old), "{old}");
        assert_ne!(good(&EVERY_KEY.replacen(old, new, 1)), whole, "{old} -> {new}");
    }
}

#[test]
fn without_a_default_rule_the_crm_is_the_source_of_truth() {
    let text = WORKLOAD.replace("defaults:\n  rule: last_write_wins\n", "");
    let rule = |text: &str| Manifest::parse(text).map(|manifest| manifest.default_rule);
    let crm = SideName::new("crm").expect("`crm` is a name");
    assert_eq!(rule(&text), Ok(Rule::Authority(crm)));
    assert_eq!(rule(&text.replace("crm", "erp")), Ok(Rule::LastWriteWins(None)));
}

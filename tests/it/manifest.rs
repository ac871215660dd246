//! What manifests mean, and what is said of broken ones.

use std::time::Duration;

use syncline::{
    field::{DateForm, DeleteRule, FieldType, Rule},
    id::SideName,
    manifest::{ANY, Connector, Fault, Manifest, Rows, Secret},
};

const PORTAL_HUBSPOT: &str = include_str!("examples/portal-hubspot.yaml");
const WORKLOAD: &str = include_str!("examples/workload.yaml");

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
    assert_eq!(manifest.field("contact", "company").map(|spec| &spec.kind), Some(&FieldType::Reference("company".to_owned())));
    assert!(manifest.field("contact", "nickname").is_none());
    assert!(manifest.whole_field("contact", "email").is_some_and(|field| field.required));

    let contact = manifest.kind("contact").expect("the kind is there");
    assert_eq!(contact.name_on("crm", "contact"), Some("contacts"));
    assert_eq!(contact.field_named("crm", "firstname").map(|(own, _)| own), Some("first_name"));
    assert_eq!(manifest.kind_named("portal", "organisation").map(|(own, _)| own), Some("company"));
    assert_eq!(manifest.deletes("contact"), DeleteRule::Manual);

    let customer = &manifest.permissions["customer"];
    assert_eq!(customer.rows("contact"), Some(Rows::Own));
    assert_eq!(customer.rows("deal"), None);
    assert!(customer.may_read("contact", "email") && customer.may_read("company", "name"));
    assert!(!customer.may_read("company", "domain") && !customer.may_write("contact", "email"));
    let staff = &manifest.permissions["staff"];
    assert!(staff.rows("deal") == Some(Rows::All) && staff.may_write("company", "domain"));
}

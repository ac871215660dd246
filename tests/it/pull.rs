//! `manifest pull` names all that does not fit in a live account, before anything is synchronised, and changes nothing there.

use std::sync::Arc;

use serde_json::Value as Json;
use syncline::{
    clock::SystemClock,
    sim::hubspot::{Account, By, Call, Choice, Property, Serving, Settings, serve},
};
use tokio::{net::TcpListener, runtime::Runtime};

use crate::cli::{Bench, Ran};

const MANIFEST: &str = "
syncline: 1
tenant: acme
sides:
  crm:
    connector: hubspot
    base_url: BASE
    credentials: { token: env:PULL_TOKEN }
    capture: { webhooks: false, poll: 5m }
  portal: { connector: none }
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: contact }
    fields:
      email: { type: email, crm: email, portal: email }
      nick: { type: string, crm: nick_name, portal: nick }
      pager: { type: string, crm: pager, portal: pager }
      score: { type: integer, crm: score, portal: score }
      total: { type: decimal, crm: total, portal: total }
      visits: { type: integer, crm: visits, portal: visits }
      seen: { type: datetime, crm: seen, portal: seen }
      tier: { type: choice, of: [gold, silver], crm: { name: tier, values: { gold: au } }, portal: tier }
      stage: { type: choice, of: [lead, customer], crm: stage, portal: stage }
      last: { type: string, required: true, crm: lastname, portal: last }
      bills: { type: email, crm: bills, portal: bills }
      age: { type: integer, crm: age, portal: age }
";

/// A record's values that must not be told.
const VALUES: [&str; 3] = ["nobody at all", "41.5", "Canary"];

/// An account behind a listener, and the command that looks at it.
struct Rig {
    bench: Bench,
    account: Account,
    runtime: Runtime,
    serving: Serving,
}

fn of(name: &str, kind: &str, field_type: &str, options: &[&str]) -> Property {
    let option = |value: &&str| Choice { value: (*value).into(), label: (*value).into(), ..Choice::default() };
    Property {
        name: name.into(),
        kind: kind.into(),
        field_type: field_type.into(),
        options: options.iter().map(option).collect(),
        ..Property::default()
    }
}

/// What the manifest says of the account.
fn fitting() -> Vec<Property> {
    vec![
        of("nick_name", "string", "text", &[]),
        of("pager", "string", "text", &[]),
        of("score", "number", "number", &[]),
        of("total", "number", "number", &[]),
        of("visits", "number", "number", &[]),
        of("seen", "datetime", "date", &[]),
        of("tier", "enumeration", "select", &["au", "silver"]),
        of("stage", "enumeration", "select", &["lead", "customer"]),
        of("bills", "string", "text", &[]),
        of("age", "number", "number", &[]),
    ]
}

impl Rig {
    fn new(properties: Vec<Property>) -> Self {
        let account = Account::new(Settings::default(), "secret", Arc::new(SystemClock));
        for property in &properties {
            account.add_property("contacts", property).expect("it is taken");
        }
        let runtime = Runtime::new().expect("a runtime");
        let serving = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            serve(account.clone(), listener).expect("it serves")
        });
        let bench = Bench::new();
        bench.write("acme.yaml", MANIFEST.replace("BASE", &serving.url()));
        Rig { bench, account, runtime, serving }
    }

    fn create(&self, set: &[(&str, &str)]) -> u64 {
        self.account.create("contacts", set, &By::user(7)).expect("it is taken")
    }

    fn pull(&self, args: &[&str]) -> Ran {
        let mut all = vec!["manifest", "pull", "--side", "crm", "--manifest", "acme.yaml"];
        all.extend(args);
        let done = self.bench.command(&all).env("PULL_TOKEN", "the-token").output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Ran { code: done.status.code().unwrap_or(-1), out: text(done.stdout), err: text(done.stderr) }
    }

    fn stop(self) {
        self.runtime.block_on(self.serving.stop()).expect("it served well");
    }
}

/// The same account with eight properties that do not fit.
fn planted() -> Vec<Property> {
    let mut properties = fitting();
    for property in &mut properties {
        match property.name.as_str() {
            "nick_name" => property.name = "nickname".into(),
            "score" => property.read_only = true,
            "total" => property.calculated = true,
            "visits" => *property = of("visits", "bool", "booleancheckbox", &["true", "false"]),
            "seen" => property.kind = "date".into(),
            "tier" => property.options.retain(|option| option.value != "au"),
            "stage" => *property = of("stage", "enumeration", "select", &["lead", "customer", "partner"]),
            _ => {}
        }
    }
    properties
}

/// An account with twelve faults, and the id of the record that has four of them.
fn with_faults() -> (Rig, u64) {
    let rig = Rig::new(planted());
    let path = "/crm/v3/properties/contacts/pager".into();
    let put_away = Call { method: "DELETE".into(), path, token: Some("any".into()), ..Call::default() };
    assert_eq!(rig.account.answer(&put_away).status, 204);
    rig.create(&[("email", "ana@example.com"), ("lastname", VALUES[2]), ("stage", "lead"), ("age", "41")]);
    let bad =
        rig.create(&[("email", "bo@example.com"), ("stage", "partner"), ("bills", VALUES[0]), ("age", VALUES[1])]);
    (rig, bad)
}

#[test]
fn twelve_planted_faults_are_all_named_and_nothing_else() {
    let (rig, bad) = with_faults();
    let before = rig.account.state()["kinds"].clone();
    let ran = rig.pull(&[]).ends(1);
    let locked = "is read-only there, and edits of other sides count: let `write` name this side alone";
    let due = [
        "error: contact.nick: the property nick_name is not there; did you mean nickname?".to_owned(),
        "error: contact.pager: the property pager is archived".to_owned(),
        format!("error: contact.score: the property score {locked}"),
        format!("error: contact.total: the property total {locked}"),
        "error: contact.visits: the property visits is of type bool there: no value of the one fits the other"
            .to_owned(),
        "error: contact.seen: the property seen is of type date there: it takes no times of day; `type: date` fits"
            .to_owned(),
        "error: contact.tier: the property tier does not have the options au".to_owned(),
        "warning: contact.stage: the property stage has options that the manifest does not know: partner".to_owned(),
        format!("contact.stage: 1 records have a value that is none of the choices in stage (such as {bad})"),
        format!("contact.last: 1 records have no value, which is required in lastname (such as {bad})"),
        format!("contact.bills: 1 records have a value that is no email address in bills (such as {bad})"),
        format!("contact.age: 1 records have a value of another type in age (such as {bad})"),
    ];
    let mut told: Vec<&str> = ran.out.lines().collect();
    assert_eq!(told.pop(), Some("2 records looked at, 12 things do not fit"), "{}", ran.out);
    let mut due: Vec<&str> = due.iter().map(String::as_str).collect();
    told.sort_unstable();
    due.sort_unstable();
    assert_eq!(told, due);
    assert_eq!(rig.account.state()["kinds"], before, "looking changes nothing");
    for secret in VALUES.into_iter().chain(["the-token"]) {
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{secret:?} is told");
    }
    rig.stop();
}

#[test]
fn the_same_faults_are_told_to_programs() {
    let (rig, bad) = with_faults();
    let told = rig.pull(&["--json"]).ends(1).json();
    let members = |list: &str, member: &str| {
        let all = told[list].as_array().expect("a list").iter();
        let mut named: Vec<String> = all
            .map(|one| format!("{} {}", one["field"].as_str().unwrap_or("-"), one[member].as_str().unwrap_or("-")))
            .collect();
        named.sort_unstable();
        named
    };
    let findings = [
        "nick missing",
        "pager archived",
        "score read_only",
        "seen type",
        "stage options_unknown",
        "tier options_missing",
        "total read_only",
        "visits type",
    ];
    assert_eq!(members("findings", "what"), findings);
    assert_eq!(members("breaches", "rule"), ["age type", "bills email", "last required", "stage choice"]);
    let some = told["breaches"].as_array().expect("a list").iter().map(|one| one["some"].clone());
    assert!(some.into_iter().all(|ids| ids == Json::from(vec![bad.to_string()])), "{told}");
    assert_eq!(told["records"], 2);
    rig.stop();
}

#[test]
fn an_account_that_fits_is_not_spoken_of() {
    let rig = Rig::new(fitting());
    for number in 0..120 {
        let email = format!("p{number}@example.com");
        rig.create(&[("email", &email), ("lastname", "L"), ("stage", "lead"), ("tier", "au"), ("age", "41")]);
    }
    let ran = rig.pull(&[]).ends(0);
    assert_eq!(ran.out, "120 records looked at, 0 things do not fit\n");
    rig.stop();
}

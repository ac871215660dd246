//! Claims about translation: one meaning is one value, and what goes out comes back the same.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{field::FieldType, value::View};

const MANIFEST: &str = r#"
syncline: 1
tenant: acme
sides:
  crm: { connector: hubspot, account: "1", app: "2", credentials: { token: env:T, webhook_secret: env:S } }
  portal: { connector: portal, deliver_to: "https://portal.example.com/hooks", credentials: { webhook_secret: env:P } }
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    fields:
      name: { type: string, crm: firstname, portal: firstName }
      email: { type: email, crm: email, portal: email }
      visits: { type: integer, crm: visits, portal: visits }
      balance: { type: decimal, crm: { name: balance_cents, scale: 100 }, portal: balance }
      is_vip: { type: boolean, crm: { name: vip, values: { true: "Yes", false: "No" } }, portal: vip }
      born: { type: date, crm: date_of_birth, portal: { name: born, dates: "%d.%m.%Y" } }
      seen: { type: datetime, crm: { name: last_seen, dates: epoch_ms }, portal: { name: seen, dates: epoch_s } }
      called: { type: datetime, crm: last_call, portal: called }
      stage: { type: choice, of: [lead, customer], crm: { name: lifecyclestage, values: { lead: "L", customer: "C" } }, portal: stage }
      interests: { type: set, crm: interests, portal: interests }
      steps: { type: list, crm: { name: steps, values: { one: "1st" } }, portal: steps }
      notes: { type: long_text, crm: portal_notes, portal: notes }
      points: { type: counter, crm: points, portal: points }
      company: { type: reference, to: company, crm: primary_company, portal: companyId }
      extra: { type: any, crm: extra, portal: extra }
  company:
    sides: { crm: companies }
    fields: { name: { type: string } }
  car:
    sides: { crm: 2-3465404, portal: car }
    fields: { plate: { type: string, crm: plate, portal: plate } }
"#;

/// Records that are linked with nothing but their own side; company 7 is linked with the portal's organisation 70.
struct Plain;

impl Links for Plain {
    fn record(&self, kind: &str, side: &SideName, link: &str) -> Option<RecordId> {
        let link = if &**side == "portal" && link == "70" { return RecordId::new("company/crm:7").ok() } else { link };
        RecordId::on_side(kind, side, link).ok()
    }

    fn link(&self, record: &RecordId, side: &SideName) -> Option<Box<str>> {
        (&**record == "company/crm:7" && &**side == "portal").then(|| "70".into())
    }
}

fn on(side: &str) -> Translation {
    let manifest = Manifest::parse(MANIFEST).unwrap_or_else(|faults| panic!("a good manifest, but {:?}", faults));
    Translation::new(Arc::new(manifest), SideName::new(side).expect("good"), Arc::new(Plain))
}

fn json(text: &str) -> Value {
    Value::from_json(text).expect("good JSON")
}

/// What is heard of a field, and whether it fits.
fn heard(field: &str, text: &str) -> (String, bool) {
    let heard = on("crm").hear_text("contact", field, Some(text));
    (heard.value.to_json(), heard.misfit.is_none())
}

#[test]
fn a_type_is_known_by_each_of_its_names() {
    let crm = on("crm");
    for name in ["contacts", "contact", "0-1", "CONTACT"] {
        assert_eq!(crm.kind_of(name), Some("contact"), "{name}");
    }
    assert_eq!(crm.kind_of("2-3465404"), Some("car"));
    assert_eq!((crm.kind_of("tickets"), crm.kind_of("customer"), crm.kind_of("")), (None, None, None));
    assert_eq!((on("portal").kind_of("customer"), on("portal").kind_of("contact")), (Some("contact"), None));
    assert_eq!((crm.type_of("company"), on("portal").type_of("company")), (Some("companies"), None));
    assert_eq!(crm.field_of("contact", "firstname").as_deref(), Some("name"));
    assert_eq!((crm.field_of("contact", "name"), crm.name_of("contact", "name")), (None, Some("firstname")));
    assert_eq!(crm.fields("contact").count(), 15);
}

#[test]
fn a_kind_that_stands_for_the_rest_goes_by_the_sides_names() {
    let text = "\
syncline: 1
tenant: a
sides:
  crm: { connector: hubspot, account: \"1\", credentials: { token: env:T, webhook_secret: env:S } }
  portal: { connector: none }
defaults: { rule: last_write_wins }
records:
  \"*\": { fields: { \"*\": { type: any } } }
";
    let manifest = Manifest::parse(text).unwrap_or_else(|faults| panic!("a good manifest, but {faults:?}"));
    let all = Translation::new(Arc::new(manifest), SideName::new("crm").expect("good"), Arc::new(Plain));
    assert_eq!((all.kind_of("deal"), all.kind_of("0-3")), (Some("deals"), Some("deals")));
    assert_eq!(all.field_of("deals", "amount").as_deref(), Some("amount"));
    assert_eq!(all.kinds().count() + all.fields("deals").count(), 0);
}

#[test]
fn spellings_of_one_value_are_one_value() {
    for text in ["2026-03-01", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00.000Z", "1772323200000"] {
        assert_eq!(heard("born", text), ("\"2026-03-01\"".to_owned(), true), "{text}");
    }
    for text in
        ["2026-03-01T12:30:00.500Z", "2026-03-01T13:30:00.5+01:00", "1772368200500", "2026-03-01T12:30:00.500999Z"]
    {
        assert_eq!(heard("called", text), ("\"2026-03-01T12:30:00.5Z\"".to_owned(), true), "{text}");
    }
    assert_eq!(heard("called", "2026-03-01"), heard("called", "1772323200000"));
    assert_eq!(heard("visits", "1.50E1"), ("15".to_owned(), true));
    assert_eq!(heard("balance", "1250.00"), ("12.5".to_owned(), true));
    assert_eq!(heard("is_vip", "Yes"), heard("is_vip", "true"));
    assert_eq!(heard("interests", "b;a;b;"), ("[\"a\",\"b\"]".to_owned(), true));
    assert_eq!(heard("steps", "b;1st;b"), ("[\"b\",\"one\",\"b\"]".to_owned(), true));
    assert_eq!(heard("company", "7"), ("\"company/crm:7\"".to_owned(), true));
    for field in ["name", "born", "visits", "interests", "company", "extra", "is_vip"] {
        assert_eq!(heard(field, ""), ("null".to_owned(), true), "{field}");
        assert_eq!(on("crm").hear_text("contact", field, None).value, Value::null());
    }
}

#[test]
fn what_does_not_fit_comes_in_as_it_is_and_flagged() {
    let cases = [
        ("visits", "1.5"),
        ("visits", "many"),
        ("balance", "1,50"),
        ("is_vip", "perhaps"),
        ("born", "2026-03-01T05:00:00Z"),
        ("born", "1.3.2026"),
        ("called", "yesterday"),
        ("stage", "evangelist"),
        ("email", "nobody"),
        ("points", "9e30"),
    ];
    for (field, text) in cases {
        let due = match field {
            // Numbers of another size or form are numbers still.
            "visits" if text == "1.5" => "1.5".to_owned(),
            "points" => "9000000000000000000000000000000".to_owned(),
            _ => crate::value::quote(text),
        };
        assert_eq!(heard(field, text), (due, false), "{field} {text}");
        let crm = on("crm");
        let value = crm.hear_text("contact", field, Some(text)).value;
        let back = crm.say_text("contact", field, &value).expect("it came from there");
        assert_eq!(crm.hear_text("contact", field, Some(&back)).value, value, "{field} {text}");
    }
}

#[test]
fn the_portal_hears_and_says_json() {
    let portal = on("portal");
    let hear = |field: &str, text: &str| portal.hear_json("contact", field, &json(text)).value.to_json();
    let say = |field: &str, text: &str| portal.say_json("contact", field, &json(text)).expect("sayable").to_json();
    assert_eq!(
        (hear("born", "\"24.12.1999\""), say("born", "\"1999-12-24\"")),
        ("\"1999-12-24\"".into(), "\"24.12.1999\"".into())
    );
    assert_eq!(hear("seen", "1772323200"), "\"2026-03-01T00:00:00Z\"");
    assert_eq!(say("seen", "\"2026-03-01T01:00:00+01:00\""), "1772323200");
    assert_eq!((hear("balance", "1.50"), hear("balance", "\"1.50\"")), ("1.5".into(), "1.5".into()));
    assert_eq!(
        (hear("company", "70"), say("company", "\"company/crm:7\"")),
        ("\"company/crm:7\"".into(), "\"70\"".into())
    );
    assert_eq!(
        (hear("interests", "[\"b\",\"a\",\"b\"]"), hear("interests", "[]")),
        ("[\"a\",\"b\"]".into(), "null".into())
    );
    // A number says nothing of its unit, so without a form it is no date.
    assert!(portal.hear_json("contact", "called", &json("1772323200000")).misfit.is_some());
    assert_eq!(hear("name", "7"), "7");
    assert!(portal.hear_json("contact", "name", &json("7")).misfit.is_some());
}

#[test]
fn what_a_side_could_not_give_back_is_not_said() {
    let crm = on("crm");
    let unsaid = |field: &str, text: &str| crm.say_text("contact", field, &json(text)).expect_err("cannot be said");
    assert_eq!(unsaid("interests", "[\"a;b\"]"), Unsaid::Element);
    assert_eq!(unsaid("steps", "[1]"), Unsaid::Element);
    assert_eq!(unsaid("steps", "[\"\"]"), Unsaid::Element);
    assert_eq!(unsaid("steps", "[\"1st\"]"), Unsaid::Taken);
    let unlinked = unsaid("company", "\"company/portal:9\"");
    assert_eq!(unlinked.to_string(), "refers to company/portal:9, which the side does not have yet");
}

#[test]
fn a_receipt_in_another_spelling_shows_what_was_sent() {
    let crm = on("crm");
    let shown = |field: &str, sent: &str, text: &str| {
        let shown = crm.hear_text("contact", field, Some(text)).value;
        crm.as_sent("contact", field, &json(sent), &shown).to_json()
    };
    assert_eq!(shown("balance", "1.500", "150"), "1.500");
    assert_eq!(shown("interests", "[]", ""), "[]");
    assert_eq!(shown("name", "\"\"", ""), "\"\"");
    assert_eq!(
        shown("called", "\"2026-03-01T13:00:00.0001+01:00\"", "2026-03-01T12:00:00Z"),
        "\"2026-03-01T13:00:00.0001+01:00\""
    );
    assert_eq!(shown("balance", "1.500", "151"), "1.51");
    assert_eq!(shown("extra", "5", "5"), "5");
}

/// A value that fits a field of this type.
fn fitting(field: &'static str) -> BoxedStrategy<Value> {
    let text = || "[a-zA-Z0-9 é😀,.-]{0,8}".prop_map(|text| Value::text(&text));
    let plain = || "[a-zA-Z0-9 é😀,.-]{1,8}".prop_map(|text| Value::text(&text));
    let instant =
        (-30_000_000_000_000i64..200_000_000_000_000).prop_map(|millis| crate::clock::Millis(millis).to_string());
    match field {
        "visits" => "-?(0|[1-9][0-9]{0,30})".prop_map(|text| json(&text)).boxed(),
        "points" => any::<i64>().prop_map(Value::integer).boxed(),
        "balance" => {
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?".prop_map(|text| json(&text)).boxed()
        }
        "is_vip" => any::<bool>().prop_map(Value::bool).boxed(),
        "born" => instant.prop_map(|text| Value::text(&text[..10])).boxed(),
        "seen" => instant.prop_map(|text| Value::text(&format!("{}Z", &text[..19]))).boxed(),
        "called" => instant.prop_map(|text| Value::text(&text)).boxed(),
        "stage" => prop_oneof![Just("lead"), Just("customer")].prop_map(Value::text).boxed(),
        "email" => "[a-z]{1,5}@[a-z]{1,5}".prop_map(|text| Value::text(&text)).boxed(),
        "interests" => prop::collection::btree_set(plain(), 0..4).prop_map(|all| Value::list(&all)).boxed(),
        "steps" => prop::collection::vec(plain(), 0..4).prop_map(|all| Value::list(&all)).boxed(),
        "company" => "[1-9][0-9]{0,12}".prop_map(|id| Value::text(&format!("company/crm:{id}"))).boxed(),
        _ => text().boxed(),
    }
}

const FIELDS: [&str; 14] = [
    "name",
    "email",
    "visits",
    "balance",
    "is_vip",
    "born",
    "seen",
    "called",
    "stage",
    "interests",
    "steps",
    "notes",
    "points",
    "extra",
];

fn some_word() -> impl Strategy<Value = (&'static str, Value)> {
    prop::sample::select(&FIELDS[..]).prop_flat_map(|field| fitting(field).prop_map(move |value| (field, value)))
}

fn kind_of(translation: &Translation, field: &str) -> FieldType {
    translation.manifest().field("contact", field).expect("a field").kind.clone()
}

proptest! {
    #[test]
    fn what_goes_out_comes_back_the_same((field, value) in some_word()) {
        let (crm, portal) = (on("crm"), on("portal"));
        let kind = kind_of(&crm, field);
        prop_assume!(kind.check(&value).is_ok());
        let due = normal(&kind, &value);
        prop_assert!(kind.check(&due).is_ok(), "{} leaves its type", field);
        prop_assert_eq!(normal(&kind, &due), due.clone());
        // HubSpot's word for a step, as a step of ours, is refused rather than mixed up.
        if let Ok(text) = crm.say_text("contact", field, &value) {
            let back = crm.hear_text("contact", field, Some(&text));
            prop_assert_eq!(&back.value, &due, "{} as {}", field, text);
            prop_assert_eq!(back.misfit, None);
        } else {
            prop_assert_eq!(field, "steps");
        }
        let said = portal.say_json("contact", field, &value).expect("JSON says everything");
        prop_assert_eq!(portal.hear_json("contact", field, &said).value, due);
    }

    #[test]
    fn what_comes_in_goes_back_out_with_its_meaning(field in prop::sample::select(&FIELDS[..]), text in "\\PC{0,10}|[0-9:TZ.;-]{0,24}|-?[0-9]{1,14}") {
        // Seconds cannot hold milliseconds; `seen` is in milliseconds on this side.
        let crm = on("crm");
        let first = crm.hear_text("contact", field, Some(&text)).value;
        if let Ok(again) = crm.say_text("contact", field, &first) {
            prop_assert_eq!(crm.hear_text("contact", field, Some(&again)).value, first);
        }
    }

    #[test]
    fn references_come_back(value in fitting("company")) {
        let crm = on("crm");
        let text = crm.say_text("contact", "company", &value).expect("its own");
        prop_assert!(matches!(value.view(), View::Text(id) if id.ends_with(&text)));
        prop_assert_eq!(crm.hear_text("contact", "company", Some(&text)).value, value);
    }
}

//! What is checked before a portal's edit is taken, and what is told of values that break the manifest.

use syncline::{
    clock::{HandClock, Millis},
    engine::{Engine, EngineError},
    event::{Author, AuthorKind, Detail, Draft, Kind, Origin},
    history::{Decision, Edit, New, Principal, Who},
    id::{FieldName, RecordId, SideName},
    send::{Outcome, Receipt},
    validate::{FaultCode, FieldFault},
    value::Value,
};

const MANIFEST: &str = r#"
syncline: 1
tenant: acme
sides:
  crm: { connector: in_process }
  portal: { connector: none }
defaults: { rule: last_write_wins }
records:
  booking:
    fields:
      name: { type: string, required: true, length: { min: 2, max: 10 } }
      mail: { type: email, required: true }
      stage: { type: choice, of: [asked, booked] }
      seats: { type: integer, range: { min: 1, max: 9 } }
      from: { type: datetime }
      to: { type: datetime }
      code: { type: string, pattern: "[A-Z]{2}[0-9]+" }
      paid: { type: decimal }
      price: { type: decimal }
    checks:
      - { rule: record.from <= record.to, message: a booking begins before it ends }
      - { rule: "record.stage != 'booked' || has(record.code)", message: a booking has a code }
      - { rule: record.paid <= record.price, message: nobody pays more than the price }
permissions:
  guest: { rows: { booking: all }, read: [booking.name, booking.paid, booking.stage], write: [booking.name, booking.paid] }
  clerk: { rows: { booking: all }, read: ["*"], write: ["*"] }
"#;

struct World {
    engine: Engine,
    clock: HandClock,
    _dir: tempfile::TempDir,
}

fn field(name: &str) -> FieldName {
    FieldName::new(name).expect("a good name")
}

fn side(name: &str) -> SideName {
    SideName::new(name).expect("a good name")
}

fn json(text: &str) -> Value {
    Value::from_json(text).expect("good JSON")
}

fn booking() -> RecordId {
    RecordId::new("booking/1").expect("a good id")
}

fn edit(words: &[(&str, &str)]) -> Edit {
    words.iter().fold(Edit::of(booking(), side("portal")), |edit, (name, value)| edit.set(field(name), json(value)))
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = HandClock::at(Millis(1_000_000));
        let (engine, _) = Engine::builder(dir.path().join("store"))
            .manifest(MANIFEST)
            .clock(clock.clone())
            .open()
            .expect("a new store");
        World { engine, clock, _dir: dir }
    }

    /// What the CRM says, whatever the manifest thinks of it.
    fn crm(&self, words: &[(&str, &str)]) {
        self.tells("crm", words);
    }

    /// What a side tells by a webhook.
    fn tells(&self, name: &str, words: &[(&str, &str)]) {
        self.clock.advance(1000);
        let author = Author { kind: AuthorKind::User, id: "bo".into(), ..Author::default() };
        let mut draft = Draft::new(Kind::Edit, booking(), Origin::side(side(name)), self.engine.now(), author);
        draft.words = words.iter().map(|(name, value)| (field(name), json(value))).collect();
        self.engine.say(vec![draft]).expect("it is taken");
    }

    fn edit(&self, words: &[(&str, &str)]) -> Result<(), Vec<FieldFault>> {
        self.clock.advance(1000);
        let last = self.engine.last();
        match self.engine.edit(&Principal::operator(), edit(words)) {
            Ok(_) => Ok(()),
            Err(EngineError::Invalid { faults, .. }) => {
                assert_eq!(self.engine.last(), last, "nothing is half-accepted");
                Err(faults)
            }
            Err(why) => panic!("{why}"),
        }
    }

    fn misfit(&self, principal: &Principal, name: &str) -> Option<String> {
        let view = self.engine.read(principal).get("booking/1").expect("sound").expect("it is there");
        view.field(name).and_then(|field| field.misfit.clone())
    }
}

fn told(faults: &[FieldFault]) -> Vec<(&str, FaultCode)> {
    faults.iter().map(|fault| (fault.field.as_str(), fault.code)).collect()
}

#[test]
fn all_faults_of_an_edit_are_told_at_once_by_field_and_without_values() {
    let world = World::new();
    world.crm(&[("name", r#""Ana""#), ("mail", r#""a@b.example""#)]);
    let faults = world.edit(&[
        ("name", r#""canary-name-far-too-long""#),
        ("mail", "null"),
        ("stage", r#""canary""#),
        ("seats", "10"),
        ("from", r#""canary""#),
        ("code", r#""canary""#),
        ("paid", r#""canary""#),
        ("colour", r#""canary""#),
        ("paid", "1"),
    ]);
    let faults = faults.expect_err("nothing of it fits");
    let due = [
        ("name", FaultCode::Length),
        ("mail", FaultCode::Required),
        ("stage", FaultCode::Choice),
        ("seats", FaultCode::Range),
        ("from", FaultCode::Type),
        ("code", FaultCode::Pattern),
        ("paid", FaultCode::Type),
        ("colour", FaultCode::Unknown),
        ("paid", FaultCode::Twice),
    ];
    assert_eq!(told(&faults), due);
    assert!(faults.iter().all(|fault| !fault.message.contains("canary")), "{faults:?}");
    assert_eq!(faults[0].message, "the value of name is not of the length due, 2 to 10 characters");
    assert_eq!(serde_json::to_value(&faults[1]).expect("JSON")["code"], "required");
}

#[test]
fn a_record_is_made_whole_or_not_at_all() {
    let world = World::new();
    let faults = world.edit(&[("seats", "2")]).expect_err("it is a new record");
    assert_eq!(told(&faults), [("mail", FaultCode::Required), ("name", FaultCode::Required)]);
    let new = New::of("booking", side("portal")).set(field("name"), json(r#""Ana""#));
    assert!(matches!(world.engine.create(&Principal::operator(), new.clone()), Err(EngineError::Invalid { .. })));
    let new = new.set(field("mail"), json(r#""a@b.example""#));
    let (record, _) = world.engine.create(&Principal::operator(), new).expect("it has all that is required");
    assert!(world.engine.read(&Principal::operator()).get(&record).expect("sound").is_some());
}

#[test]
fn what_was_missing_before_is_not_held_against_an_edit() {
    let world = World::new();
    world.crm(&[("seats", "77"), ("from", r#""2026-02-02T00:00:00Z""#), ("to", r#""2026-01-01T00:00:00Z""#)]);
    world.edit(&[("name", r#""Ana""#)]).expect("mail is missing, seats do not fit, and it ends before it begins");
    let faults = world.edit(&[("to", r#""2026-01-05T00:00:00Z""#)]).expect_err("it touches the rule");
    assert_eq!(told(&faults), [("to", FaultCode::Check)]);
}

#[test]
fn rules_across_fields_are_asked_of_the_record_as_it_would_be() {
    let world = World::new();
    world.crm(&[("name", r#""Ana""#), ("mail", r#""a@b.example""#), ("to", r#""2026-01-01T12:00:00+02:00""#)]);
    let faults = world.edit(&[("from", r#""2026-01-01T10:30:00Z""#)]).expect_err("it ends at ten in UTC");
    assert_eq!(told(&faults), [("from", FaultCode::Check)]);
    assert_eq!(faults[0].message, "a booking begins before it ends");
    world.edit(&[("from", r#""2026-01-01T11:30:00+02:00""#)]).expect("half an hour before the end");
    let both = [("from", r#""2026-03-01T00:00:00Z""#), ("to", r#""2026-03-02T00:00:00Z""#)];
    world.edit(&both).expect("both move together");
    world.edit(&[("to", "null")]).expect("a rule that needs what is not there says nothing");
    let faults = world.edit(&[("stage", r#""booked""#)]).expect_err("it has no code");
    assert_eq!(told(&faults), [("stage", FaultCode::Check)]);
    world.edit(&[("stage", r#""booked""#), ("code", r#""AB1""#)]).expect("it has one now");
    let faults = world.edit(&[("code", "null")]).expect_err("it needs it");
    assert_eq!(told(&faults), [("code", FaultCode::Check)]);
}

#[test]
fn a_value_that_does_not_fit_is_not_compared_with_others() {
    let world = World::new();
    world.crm(&[("name", r#""Ana""#), ("mail", r#""a@b.example""#), ("price", "5")]);
    let faults = world.edit(&[("paid", r#""six""#)]).expect_err("no number");
    assert_eq!(told(&faults), [("paid", FaultCode::Type)]);
}

#[test]
fn what_a_crm_says_is_kept_shown_and_flagged() {
    let world = World::new();
    let all = Principal::operator();
    world.crm(&[("name", r#""A""#), ("mail", r#""nonsense""#), ("paid", "6"), ("price", "5"), ("seats", "3")]);
    let view = world.engine.read(&all).get("booking/1").expect("sound").expect("it is there");
    assert_eq!(view.value("mail"), Some(&json(r#""nonsense""#)));
    assert_eq!(world.misfit(&all, "name").as_deref(), Some("is not of the length due, 2 to 10 characters"));
    assert_eq!(world.misfit(&all, "mail").as_deref(), Some("is not an email address"));
    assert_eq!(world.misfit(&all, "paid").as_deref(), Some("nobody pays more than the price"));
    assert_eq!(world.misfit(&all, "price").as_deref(), Some("nobody pays more than the price"));
    assert_eq!(world.misfit(&all, "seats"), None);
    assert_eq!(world.engine.read(&all).misfits().expect("sound"), 4);
    world.crm(&[("mail", "null"), ("paid", "5.0")]);
    assert_eq!(world.misfit(&all, "mail").as_deref(), Some("is required"));
    assert_eq!(world.engine.read(&all).misfits().expect("sound"), 2);
}

#[test]
fn what_a_portal_shows_already_is_kept_and_flagged_and_what_it_asks_for_is_checked() {
    let (world, all) = (World::new(), Principal::operator());
    world.crm(&[("name", r#""Ana""#), ("mail", r#""a@b.example""#), ("seats", "3")]);
    world.tells("portal", &[("seats", "77")]);
    let view = world.engine.read(&all).get("booking/1").expect("sound").expect("it is there");
    assert_eq!(view.value("seats"), Some(&json("77")), "the portal's truth");
    assert!(world.misfit(&all, "seats").is_some(), "and it is flagged");
    assert_eq!(world.engine.read(&all).misfits().expect("sound"), 1);
    let faults = world.edit(&[("seats", "78")]).expect_err("nothing stands yet, so it can be refused");
    assert_eq!(told(&faults), [("seats", FaultCode::Range)]);
}

#[test]
fn a_rule_tells_nothing_of_a_field_to_those_who_may_not_read_it() {
    let world = World::new();
    let guest = Principal::of("guest", Who::user("u"));
    world.crm(&[("name", r#""Ana""#), ("mail", r#""nonsense""#), ("paid", "6"), ("price", "5")]);
    world.crm(&[("stage", r#""booked""#), ("code", r#""AB1""#)]);
    assert_eq!(world.misfit(&guest, "paid"), None, "it would tell of the price");
    assert_eq!(world.misfit(&guest, "stage"), None, "what is hidden is not taken for missing");
    assert_eq!(world.engine.read(&guest).misfits().expect("sound"), 0);
    let clerk = Principal::of("clerk", Who::user("u"));
    assert!(world.misfit(&clerk, "paid").is_some());
    assert_eq!(world.engine.read(&clerk).misfits().expect("sound"), 3);
}

#[test]
fn a_decision_is_checked_like_an_edit() {
    let world = World::new();
    world.crm(&[("name", r#""Ana""#), ("mail", r#""a@b.example""#), ("seats", "3")]);
    let decide = |name: &str, value: &str| {
        world.engine.decide(&Principal::operator(), Decision::of("booking/1", name, json(value)))
    };
    for (name, value, code) in [
        ("seats", "10", FaultCode::Range),
        ("mail", "null", FaultCode::Required),
        ("name", "7", FaultCode::Type),
        ("name", r#""A""#, FaultCode::Length),
    ] {
        let Err(EngineError::Invalid { faults, .. }) = decide(name, value) else { panic!("{name} does not fit") };
        assert_eq!(told(&faults), [(name, code)]);
    }
    decide("seats", "9").expect("it fits");
    world.crm(&[("seats", "77")]);
    decide("seats", "77").expect("the CRM has said so, and a person may leave it at that");
}

/// A colleague asks who has set a phone number, and is told the name of the integration that carried it: that helps nobody.
#[test]
fn blame_names_the_person_whatever_carried_the_edit() {
    let world = World::new();
    let who = Who::user("ana").contact(RecordId::new("contact/7").expect("good"));
    let clerk = Principal::of("clerk", who);
    world.crm(&[("name", r#""Ana""#), ("mail", r#""a@b.example""#)]);
    world.clock.advance(1000);
    world.engine.edit(&clerk, edit(&[("code", r#""AB1""#), ("seats", "2")])).expect("taken");
    world.clock.advance(1000);
    let (writes, _) = world.engine.due("crm", 10).expect("sound");
    let write = writes.into_iter().next().expect("the CRM is told");
    assert_eq!((&*write.author.id, write.author.contact.as_deref()), ("ana", Some("contact/7")));
    // The CRM writes the number in its own way.
    let shows = vec![(field("code"), json(r#""AB1""#)), (field("seats"), json("2.0"))];
    let receipt = Receipt { at: Some(world.engine.now()), shows, ..Receipt::default() };
    world.engine.outcome(vec![(write, Outcome::Applied(receipt))]).expect("taken");
    world.clock.advance(1000);
    // Then it tells of our own write, under our app's name.
    let ours = Author { kind: AuthorKind::Ours, id: "app 54321".into(), ..Author::default() };
    let mut echo = Draft::new(Kind::Edit, booking(), Origin::side(side("crm")), world.engine.now(), ours);
    echo.words = vec![(field("code"), json(r#""AB1""#)), (field("seats"), json("2.0"))];
    echo.detail = Detail::None;
    world.engine.say(vec![echo]).expect("taken");
    let blame = world.engine.read(&Principal::operator()).blame("booking/1").expect("sound").expect("it is there");
    for name in ["code", "seats"] {
        let line = blame.iter().find(|line| *line.field == *name).expect("it was set");
        assert_eq!((&*line.author.id, line.author.contact.as_deref()), ("ana", Some("contact/7")), "{name}");
    }
}

//! Who may see and say what: every read for every role, and every way to say something.

mod over_http;

use std::{collections::BTreeSet, error::Error, fmt::Debug};

use futures_util::FutureExt;
use serde::Serialize;
use syncline::{
    clock::{HandClock, Millis},
    engine::{Engine, EngineError, Handle, Said},
    event::{Author, AuthorKind, Detail, Draft, Kind, Origin},
    history::{Decision, Edit, New, Position, Principal, Reader, Who},
    id::{FieldName, RecordId, Seq, SideName},
    send::{Outcome, Receipt},
    validate::FaultCode,
    value::Value,
};

const MANIFEST: &str = r#"
syncline: 1
tenant: acme
sides:
  crm: { connector: in_process }
  portal: { connector: none }
  hub:
    connector: hubspot
    account: 1
    credentials: { token: env:NONE }
    capture: { webhooks: false, poll: 1h }
defaults: { rule: { authority: crm } }
records:
  contact:
    deletes: manual
    fields:
      name: { type: string, required: true }
      phone: { type: string, pattern: '[+0-9a-z.-]+', length: { max: 40 } }
      risk: { type: string, required: true, rule: last_write_wins }
      company: { type: reference, to: company }
  company:
    fields:
      name: { type: string }
      rating: { type: string, rule: last_write_wins }
  deal:
    refusals: given_back
    fields:
      title: { type: string }
      margin: { type: string, rule: last_write_wins }
      region: { type: choice, of: [emea, apac] }
      contact: { type: reference, to: contact }
      company: { type: reference, to: company }
permissions:
  customer:
    rows: { contact: own, company: own, deal: own }
    read: [contact.name, contact.phone, company.name, deal.title, deal.contact]
    write: [contact.phone, deal.title, deal.contact]
  partner:
    rows: { contact: company, company: own, deal: company }
    read: [contact.name, company.name, deal.*]
    write: [deal.title]
  regional:
    rows: { deal: { where: { region: emea } } }
    read: [deal.title, deal.region]
    write: [deal.title, deal.region]
  blind: { rows: { "*": all }, read: [], write: [] }
  rowless: { rows: {}, read: ["*"], write: ["*"] }
  staff: { rows: { "*": all }, read: ["*"], write: ["*"] }
"#;

const RECORDS: &[(&str, &[&str])] = &[
    ("contact/ana", &["name", "phone", "risk", "company"]),
    ("contact/ben", &["name", "phone", "risk", "company"]),
    ("contact/eve", &["name", "phone", "risk", "company"]),
    ("company/own", &["name", "rating"]),
    ("company/other", &["name", "rating"]),
    ("deal/ana", &["title", "margin", "region", "contact", "company"]),
    ("deal/ben", &["title", "margin", "region", "contact", "company"]),
    ("deal/eve", &["title", "margin", "region", "contact", "company"]),
];
const MISSING: &str = "deal/missing";
/// A record of another tenant's.
const OTHER_RECORD: &str = "contact/zed";
/// What it holds, which is searched for in every answer.
const OTHER_TENANT: &str = "canary.contact/zed.name";

/// Kinds, each with fields.
type Allowed = &'static [(&'static str, &'static [&'static str])];

/// What each role may read, written out by hand: the matrix is held against this, not against the engine's own rule.
const ALLOWED: &[(&str, Allowed)] = &[
    (
        "customer",
        &[("contact/ana", &["name", "phone"]), ("company/own", &["name"]), ("deal/ana", &["title", "contact"])],
    ),
    (
        "partner",
        &[
            ("contact/ana", &["name"]),
            ("contact/ben", &["name"]),
            ("company/own", &["name"]),
            ("deal/ana", &["title", "margin", "region", "contact", "company"]),
            ("deal/ben", &["title", "margin", "region", "contact", "company"]),
        ],
    ),
    ("regional", &[("deal/ana", &["title", "region"]), ("deal/eve", &["title", "region"])]),
    ("blind", &[]),
    ("rowless", &[]),
    ("no such role", &[]),
    ("staff", RECORDS),
];

/// The value of a field of the example's records: recognisable wherever it turns up.
fn value_of(record: &str, field: &str) -> Value {
    let (_, name) = record.split_once('/').expect("KIND/ID");
    let company = if name == "eve" { "company/other" } else { "company/own" };
    match field {
        "company" => Value::text(company),
        "contact" => Value::text(&format!("contact/{name}")),
        "region" => Value::text(if name == "ben" { "apac" } else { "emea" }),
        _ => Value::text(&format!("canary.{record}.{field}")),
    }
}

fn id(record: &str) -> RecordId {
    RecordId::new(record).expect("a good id")
}

fn field(name: &str) -> FieldName {
    FieldName::new(name).expect("a good name")
}

fn side(name: &str) -> SideName {
    SideName::new(name).expect("a good name")
}

fn person(role: &str) -> Principal {
    Principal::of(role, Who::user("u-ana").contact(id("contact/ana")).company(id("company/own")))
}

struct World {
    engine: Engine,
    clock: HandClock,
    dir: tempfile::TempDir,
}

impl World {
    fn empty() -> World {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = HandClock::at(Millis(1_000_000));
        let (engine, _) = Engine::builder(dir.path().join("store"))
            .manifest(MANIFEST)
            .clock(clock.clone())
            .open()
            .expect("a new store");
        World { engine, clock, dir }
    }

    /// All records, each field said by the CRM and, at the same time, otherwise by the portal; a colleague has spoken for
    /// someone else's customer, and a write was refused.
    fn full() -> World {
        let world = World::empty();
        for (record, fields) in RECORDS {
            let words: Vec<_> = fields.iter().map(|name| (*name, value_of(record, name))).collect();
            world.say(Kind::Edit, "crm", record, &words);
            let texts = fields.iter().filter(|name| !["company", "contact", "region"].contains(name));
            let lost: Vec<_> =
                texts.map(|name| (*name, Value::text(&format!("lost.canary.{record}.{name}")))).collect();
            world.say(Kind::Edit, "portal", record, &lost);
        }
        world.deliver(true);
        world.link("contact/ana", "canary.link.ana");
        world.park("contact/ana", &["phone", "risk"]);
        world
    }

    fn say(&self, kind: Kind, from: &str, record: &str, words: &[(&str, Value)]) -> Said {
        self.clock.advance(1000);
        let author = Author {
            kind: AuthorKind::User,
            id: "u-colleague".into(),
            contact: Some("contact/eve".into()),
            company: Some("company/other".into()),
        };
        let mut draft = Draft::new(kind, id(record), Origin::side(side(from)), self.engine.now(), author);
        draft.words = words.iter().map(|(name, value)| (field(name), value.clone())).collect();
        draft.words.sort_by(|a, b| a.0.cmp(&b.0));
        // Both sides speak of what neither has seen of the other.
        draft.seen = (kind == Kind::Edit && from == "portal").then(Vec::new);
        self.engine.say(vec![draft]).expect("it is taken")[0]
    }

    /// Hands the CRM what it has to be told; what came of it is known or not.
    fn deliver(&self, is_answered: bool) {
        self.clock.advance(1000);
        let (writes, _) = self.engine.due("crm", 1000).expect("a sound store");
        assert!(!writes.is_empty(), "there is something to tell");
        let taken = |write| (write, Outcome::Applied(Receipt::default()));
        if is_answered {
            self.engine.outcome(writes.into_iter().map(taken).collect()).expect("a sound store");
        }
    }

    fn link(&self, record: &str, link: &str) {
        let origin = Origin { side: side("crm"), link: Some(link.into()), node: None };
        let draft = Draft::new(Kind::Link, id(record), origin, self.engine.now(), Author::user("u-colleague"));
        self.engine.say(vec![draft]).expect("it is taken");
    }

    /// A refusal whose reason repeats what it was about.
    fn park(&self, record: &str, fields: &[&str]) {
        let mut draft =
            Draft::new(Kind::Refused, id(record), Origin::side(side("crm")), self.engine.now(), Author::engine());
        draft.words = fields.iter().map(|name| (field(name), value_of(record, name))).collect();
        draft.carries = fields.iter().map(|_| Vec::new()).collect();
        let reason = format!("canary.{record}.risk is not a risk");
        draft.detail = Detail::Fate { key: "canary.key".to_owned(), ends: Vec::new(), reason };
        self.engine.say(vec![draft]).expect("it is taken");
    }

    fn as_role(&self, role: &str) -> Reader {
        self.engine.read(&person(role))
    }
}

/// All that an answer shows: as JSON, in `Debug`, and an error with its causes.
fn shown<T: Serialize + Debug>(answer: &Result<T, EngineError>) -> String {
    match answer {
        Ok(answer) => format!("{}\n{answer:?}", serde_json::to_string(answer).expect("it prints as JSON")),
        Err(why) => {
            let mut text = format!("{why:?} {why}");
            let mut cause = why.source();
            while let Some(why) = cause {
                text.push_str(&format!(": {why}"));
                cause = why.source();
            }
            text
        }
    }
}

type Read = fn(&Reader, &str) -> String;

/// Every read there is. A new one has to be put here: see [`every_public_read_is_in_the_matrix`].
const READS: &[(&str, Read)] = &[
    ("get", |reader, record| shown(&reader.get(record))),
    ("records", |reader, _| reader.records().map(|view| shown(&view)).collect()),
    ("records_from", |reader, _| reader.records_from("contact/b").map(|view| shown(&view)).collect()),
    ("history", |reader, record| {
        let fields = FIELDS.iter().map(|field| shown(&reader.history(record, Some(field)))).collect::<String>();
        shown(&reader.history(record, None)) + &fields
    }),
    ("why", |reader, record| FIELDS.iter().map(|field| shown(&reader.why(record, field))).collect()),
    ("blame", |reader, record| shown(&reader.blame(record))),
    ("conflicts", |reader, _| shown(&reader.conflicts())),
    ("changes_since", |reader, _| shown(&reader.changes_since(Seq(0), 1000).map(|(changes, _)| changes))),
    ("staleness", |reader, record| {
        ["crm", "portal", "none"].iter().map(|side| shown(&reader.staleness(record, side))).collect()
    }),
    ("misfits", |reader, _| shown(&reader.misfits())),
    ("state_hash", |reader, _| reader.state_hash().expect("a sound store").to_string()),
    ("verdict_hash", |reader, _| reader.verdict_hash().expect("a sound store").to_string()),
];
const FIELDS: &[&str] =
    &["name", "phone", "risk", "company", "rating", "title", "margin", "region", "contact", "existence", "nonsense"];

/// The public functions of a type, from the source text.
fn public_functions(of: &str, files: &str) -> BTreeSet<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(files);
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(folder).expect("a folder of the project") {
        let path = file.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(path).expect("a source file is text");
        let mut inside = false;
        for line in text.lines() {
            match line {
                line if line == format!("impl {of} {{") => inside = true,
                "}" => inside = false,
                line if inside => {
                    let name = line.strip_prefix("    pub fn ").or_else(|| line.strip_prefix("    pub async fn "));
                    let end = name.and_then(|name| name.find(['(', '<']).map(|end| name[..end].to_owned()));
                    found.extend(end);
                }
                _ => {}
            }
        }
    }
    assert!(!found.is_empty(), "{of} has public functions");
    found
}

#[test]
fn every_public_read_is_in_the_matrix() {
    let mut tried: BTreeSet<String> = READS.iter().map(|(name, _)| (*name).to_owned()).collect();
    // It only says as of when; the matrix is read at every position.
    tried.insert("at".to_owned());
    assert_eq!(public_functions("Reader", "src/history"), tried);
}

/// The engine's own functions that speak of records, and who may call them.
const ENGINE: &[(&str, &[&str])] = &[
    ("takes a principal", &["create", "decide", "edit", "read"]),
    (
        "takes what sides have said, for the programs that listen to them",
        &["check", "clock", "observe", "observe_all", "say", "seal", "seen", "set_populated", "submit", "take", "wait"],
    ),
    (
        "tells those programs what is known of a side, to read on from there",
        &["compare_all", "heard_of", "is_populated", "linked", "now_on", "records"],
    ),
    (
        "tells which records are one, and lets whoever reviews that say so",
        &["canonical", "link", "links", "suggestions", "twins", "unlink"],
    ),
    ("serves those who send writes", &["due", "next_due", "outbox", "outcome"]),
    (
        "shows operators what waits or would be judged otherwise, and settles it",
        &["give_up", "parked", "rejudge", "rejudge_as_found", "release"],
    ),
    (
        "carries whole stores and proves them sound",
        &["audit", "numbered", "numbered_event", "stored", "stored_after", "tenant_key", "waiting"],
    ),
    (
        "runs the store, and tells nothing of any record but how many there are",
        &[
            "apply_manifest",
            "builder",
            "bytes",
            "can_write",
            "checkpoint",
            "close",
            "counts",
            "edition",
            "is_checkpointed",
            "last",
            "manifest",
            "now",
            "record_key",
            "subscribe",
            "tenant",
        ],
    ),
];

#[test]
fn every_public_function_of_the_engine_has_a_reason_to_take_no_principal() {
    let known: BTreeSet<&str> = ENGINE.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let all = public_functions("Engine", "src/engine").into_iter().chain(public_functions("Engine", "src/history"));
    let unknown: Vec<String> = all.filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "say in the table what keeps a role from these: {unknown:?}");
}

/// All that an answer of any kind would show to a role.
fn everything(reader: &Reader, record: &str) -> Vec<(&'static str, String)> {
    READS.iter().map(|(name, read)| (*name, read(reader, record))).collect()
}

#[test]
fn no_read_shows_a_role_what_it_may_not_read() {
    let world = World::full();
    let last = world.engine.last();
    for (role, allowed) in ALLOWED {
        let mut texts = Vec::new();
        for position in [Position::Now, Position::Seq(last), Position::Time(Millis(i64::MAX / 2))] {
            let reader = world.as_role(role).at(position);
            for (record, _) in RECORDS.iter().chain(&[(MISSING, &[] as &[_]), ("contact/zed", &[])]) {
                texts.extend(everything(&reader, record));
            }
        }
        texts.push(("the stream", streamed(&world, role)));
        for (read, text) in &texts {
            for (record, fields) in RECORDS {
                let may = allowed.iter().find(|(name, _)| name == record).map_or(&[] as &[_], |(_, fields)| *fields);
                for name in fields.iter().filter(|name| !may.contains(name)) {
                    let canary = format!("canary.{record}.{name}");
                    assert!(!text.contains(&canary), "{role}: {read} shows {canary}: {text}");
                }
                let is_named = RECORDS.iter().any(|(other, _)| other == record)
                    && text.contains(record)
                    && !text.contains(&format!("canary.{record}"));
                let refers =
                    allowed.iter().any(|(_, fields)| fields.contains(&"company") || fields.contains(&"contact"));
                assert!(!is_named || !may.is_empty() || refers, "{role}: {read} names {record}: {text}");
            }
            assert!(!text.contains(OTHER_TENANT), "{role}: {read} shows another tenant's");
            if *role != "staff" {
                assert!(!text.contains("canary.link") && !text.contains("canary.key"), "{role}: {read}: {text}");
            }
        }
        // The matrix has teeth only if what may be read is there.
        let all: String = texts.into_iter().map(|(_, text)| text).collect();
        for (record, fields) in *allowed {
            for name in *fields {
                let value = value_of(record, name);
                assert!(all.contains(value.as_text().expect("a text")), "{role} reads {name} of {record}");
            }
        }
    }
}

/// All that the live stream of changes tells a role.
fn streamed(world: &World, role: &str) -> String {
    let mut stream = Handle::new(world.engine.clone()).changes(&person(role), Seq(0));
    let mut text = String::new();
    while let Some(change) = stream.next().now_or_never() {
        text.push_str(&shown(&change));
    }
    text
}

#[test]
fn names_of_hidden_fields_are_in_no_answer() {
    let world = World::full();
    for (role, hidden) in
        [("customer", &["risk", "rating", "margin", "region"] as &[_]), ("partner", &["risk", "phone", "rating"])]
    {
        for (record, _) in RECORDS {
            for (read, text) in everything(&world.as_role(role), record) {
                for name in hidden {
                    assert!(!text.contains(&format!("\"{name}\"")), "{role}: {read} names {name}: {text}");
                }
            }
        }
    }
}

#[test]
fn a_record_out_of_reach_answers_as_one_that_is_not_there() {
    let world = World::full();
    for (role, allowed) in ALLOWED {
        let reader = world.as_role(role);
        for (record, _) in RECORDS.iter().filter(|(record, _)| !allowed.iter().any(|(name, _)| name == record)) {
            for (read, text) in everything(&reader, record) {
                let missing = READS.iter().find(|(name, _)| *name == read).expect("it is there").1(&reader, MISSING);
                assert_eq!(text, missing, "{role}: {read} of {record}");
            }
            for (what, refused) in refusals(&world, role, record) {
                let missing = refusals(&world, role, MISSING).into_iter().find(|(name, _)| *name == what);
                let (_, missing) = missing.expect("it is there");
                assert_eq!(refused.replace(record, MISSING), missing, "{role}: {what} of {record}");
            }
        }
    }
}

/// What a role is told that wants to change a record; nothing of it is taken.
fn refusals(world: &World, role: &str, record: &str) -> Vec<(&'static str, String)> {
    let principal = person(role);
    let edit = |name: &str| Edit::of(id(record), side("portal")).set(field(name), Value::text("x"));
    let told = |answer: Result<Said, EngineError>| match answer {
        Ok(_) => panic!("{role} may change {record}"),
        Err(why) => shown::<()>(&Err(why)),
    };
    let decide = |name: &str| told(world.engine.decide(&principal, Decision::of(record, name, Value::text("x"))));
    vec![
        ("edit", told(world.engine.edit(&principal, edit("title")))),
        ("edit of what there is not", told(world.engine.edit(&principal, edit("nonsense")))),
        ("edit on a version", told(world.engine.edit(&principal, edit("title").seen("v1-00")))),
        ("decide", decide("title")),
        ("decide of existence", decide("existence")),
    ]
}

#[test]
fn what_happens_out_of_sight_changes_no_answer() {
    for role in ["customer", "partner", "regional"] {
        let world = World::full();
        let before: Vec<_> = RECORDS.iter().map(|(record, _)| everything(&world.as_role(role), record)).collect();
        for (record, fields) in RECORDS {
            let allowed = ALLOWED.iter().find(|(name, _)| *name == role).expect("a role").1;
            let may = allowed.iter().find(|(name, _)| name == record).map_or(&[] as &[_], |(_, fields)| *fields);
            // What says whose a record is may not be read and matters all the same.
            let decides = |name: &&&str| ["company", "contact", "region"].contains(name);
            for name in fields.iter().filter(|name| !may.contains(name) && !decides(name)) {
                for from in ["crm", "portal"] {
                    world.say(Kind::Edit, from, record, &[(name, Value::text(&format!("news from {from}")))]);
                }
            }
            if !may.contains(&"margin") {
                world.park(record, &[fields.iter().find(|name| !may.contains(name)).expect("one is hidden")]);
            }
        }
        // They are on their way to the CRM, too.
        world.deliver(false);
        for ((record, _), before) in RECORDS.iter().zip(before) {
            assert_eq!(everything(&world.as_role(role), record), before, "{role}: {record}");
        }
    }
}

#[test]
fn nobody_names_other_peoples_records_by_whom_they_spoke_for() {
    let world = World::full();
    let contact = |role: &str| {
        let view = world.as_role(role).get("contact/ana").expect("sound").expect("it is there");
        view.field("name").expect("it may be read").author.contact.clone()
    };
    assert_eq!(contact("customer"), None);
    assert_eq!(contact("staff").as_deref(), Some("contact/eve"));
    let history = world.as_role("customer").history("contact/ana", None).expect("sound").expect("it is there");
    assert!(history.iter().all(|change| change.author.contact.is_none()));
}

#[test]
fn rows_are_those_of_now_whenever_is_asked_about() {
    let world = World::full();
    let before = world.engine.last();
    let partner = |position| world.as_role("partner").at(position).get("contact/ben").expect("sound").is_some();
    assert!(partner(Position::Now) && partner(Position::Seq(before)));
    world.say(Kind::Edit, "crm", "contact/ben", &[("company", Value::text("company/other"))]);
    assert!(!partner(Position::Now));
    assert!(!partner(Position::Seq(before)), "a record that has left takes its past along");
}

#[test]
fn a_role_says_what_it_may_and_in_its_own_name() {
    let world = World::full();
    let claimed = Author { contact: Some("contact/eve".into()), ..Author::user("somebody-else") };
    let mut edit = Edit::of(id("contact/ana"), side("portal")).set(field("phone"), Value::text("+1")).by(claimed);
    edit.at = Some(Millis(i64::MAX / 4));
    world.engine.edit(&person("customer"), edit).expect("it may");
    let all = world.engine.read(&Principal::operator());
    let changes = all.history("contact/ana", Some("phone")).expect("sound").expect("it is there");
    let said = changes.iter().find(|change| change.new == Value::text("+1")).expect("it was said");
    assert_eq!(said.author.id.as_ref(), "u-ana");
    assert_eq!(said.author.contact.as_deref(), Some("contact/ana"));
    assert_eq!(said.author.company.as_deref(), Some("company/own"));
    assert_eq!(said.said_at, world.engine.now(), "nobody wins by a date to come");
}

#[test]
fn a_forbidden_field_and_an_unknown_one_answer_alike_and_nothing_is_half_accepted() {
    let world = World::full();
    let last = world.engine.last();
    let edit = |name: &str| {
        Edit::of(id("contact/ana"), side("portal"))
            .set(field("phone"), Value::text("!"))
            .set(field(name), Value::text("x"))
    };
    let refused = |role: &str, name: &str| shown::<()>(&world.engine.edit(&person(role), edit(name)).map(|_| ()));
    let unknown = refused("customer", "nonsense");
    for hidden in ["risk", "name", "company", "\u{2203}"] {
        assert_eq!(refused("customer", hidden).replace(hidden, "nonsense"), unknown);
    }
    let Err(EngineError::Invalid { faults, .. }) = world.engine.edit(&person("customer"), edit("risk")) else {
        panic!("it does not validate");
    };
    let told: Vec<_> = faults.iter().map(|fault| (fault.field.as_str(), fault.code)).collect();
    assert_eq!(told, [("phone", FaultCode::Pattern), ("risk", FaultCode::Unknown)], "all at once, by field");
    assert_eq!(world.engine.last(), last, "nothing of it was taken");
}

#[test]
fn nobody_moves_a_record_among_rows_that_are_not_his_or_out_of_his_own() {
    let world = World::full();
    let moved = Edit::of(id("deal/ana"), side("portal")).set(field("contact"), Value::text("contact/eve"));
    let why = world.engine.edit(&person("customer"), moved).expect_err("it would be eve's");
    assert!(matches!(why, EngineError::NoRecord { .. }), "{why}");
    let away = Edit::of(id("deal/ana"), side("portal")).set(field("region"), Value::text("apac"));
    assert!(world.engine.edit(&person("regional"), away).is_err());
    let title = Edit::of(id("deal/eve"), side("portal")).set(field("title"), Value::text("x"));
    world.engine.edit(&person("regional"), title).expect("its region is his");
}

#[test]
fn no_role_speaks_for_a_crm() {
    let world = World::full();
    let edit = |from: &str| Edit::of(id("contact/ana"), side(from)).set(field("phone"), Value::text("+1"));
    let why = world.engine.edit(&person("staff"), edit("hub")).expect_err("only the CRM says what the CRM says");
    assert!(matches!(why, EngineError::Unfit { .. }), "{why}");
    world.engine.edit(&Principal::operator(), edit("hub")).expect("the operator may");
    world.engine.edit(&person("staff"), edit("portal")).expect("it may");
}

#[test]
fn a_role_makes_records_of_its_own_under_names_that_cannot_be_guessed() {
    let world = World::full();
    let new = |contact: &str| {
        New::of("deal", side("portal"))
            .set(field("title"), Value::text("a wish"))
            .set(field("contact"), Value::text(contact))
    };
    let (deal, _) = world.engine.create(&person("customer"), new("contact/ana")).expect("it is ana's");
    let view = world.as_role("customer").get(&deal).expect("sound").expect("it is there");
    assert_eq!(view.value("title"), Some(&Value::text("a wish")));
    assert!(deal.starts_with("deal/portal:") && deal.len() == "deal/portal:".len() + 32, "{deal}");
    let last = world.engine.last();
    let why = world.engine.create(&person("customer"), new("contact/eve")).expect_err("it would be eve's");
    assert!(matches!(why, EngineError::NoRecord { .. }), "{why}");
    assert!(world.engine.create(&person("blind"), new("contact/ana")).is_err());
    // Under a name of one's own choice there would be two answers: taken, and free.
    let chosen = Edit::of(id(MISSING), side("portal")).set(field("contact"), Value::text("contact/ana"));
    assert!(matches!(world.engine.edit(&person("customer"), chosen), Err(EngineError::NoRecord { .. })));
    assert_eq!(world.engine.last(), last);
}

#[test]
fn a_record_with_a_key_is_made_once_for_each_person() {
    let world = World::full();
    let new = || New::of("deal", side("portal")).set(field("contact"), Value::text("contact/ana")).once("request-7");
    let (first, said) = world.engine.create(&person("customer"), new()).expect("it is made");
    assert!(matches!(said, Said::New { .. }));
    let (again, said) = world.engine.create(&person("customer"), new()).expect("it is there");
    assert_eq!((&again, said), (&first, Said::Duplicate));
    let other = Principal::of("customer", Who::user("u-else").contact(id("contact/ana")));
    let (third, _) = world.engine.create(&other, new()).expect("another person's key is another key");
    assert_ne!(third, first);
}

#[test]
fn what_is_required_is_asked_of_those_who_may_write_it() {
    let world = World::full();
    let new = New::of("contact", side("portal")).set(field("phone"), Value::text("+1"));
    let Err(EngineError::Invalid { faults, .. }) = world.engine.create(&person("staff"), new) else {
        panic!("a name is required");
    };
    let told: Vec<_> = faults.iter().map(|fault| (fault.field.as_str(), fault.code)).collect();
    assert_eq!(told, [("name", FaultCode::Required), ("risk", FaultCode::Required)]);
}

#[test]
fn only_who_may_write_a_field_decides_on_it() {
    let world = World::full();
    let decide = |role: &str, name: &str| {
        world.engine.decide(&person(role), Decision::of("deal/ana", name, Value::text("settled")).because("I say so"))
    };
    assert!(matches!(decide("partner", "margin"), Err(EngineError::Invalid { .. })), "it may read it and no more");
    assert!(matches!(decide("customer", "margin"), Err(EngineError::Wordless { .. })), "it may not even read it");
    decide("partner", "title").expect("it may");
    let verdict = world.as_role("customer").why("deal/ana", "title").expect("sound").expect("it may be read");
    assert_eq!((verdict.value, &*verdict.winner.author.id), (Value::text("settled"), "u-ana"));
}

#[test]
fn debug_output_of_a_principal_does_not_name_the_person() {
    let principal = Principal::of("customer", Who::user("ana@secret.example"));
    assert_eq!(format!("{principal:?}"), "Principal::of(\"customer\", ..)");
    assert!(!format!("{:?}", Who::user("ana@secret.example")).contains("secret"));
}

#[test]
fn a_version_of_a_role_names_what_it_has_seen_and_no_more() {
    let world = World::full();
    let version = |role: &str| world.as_role(role).get("contact/ana").expect("sound").expect("it is there").version;
    assert!(version("customer").len() < version("staff").len() || version("customer") == version("staff"));
    let before = version("customer");
    world.say(Kind::Edit, "crm", "contact/ana", &[("risk", Value::text("news"))]);
    assert_eq!(version("customer"), before);
    let edit = Edit::of(id("contact/ana"), side("portal")).set(field("phone"), Value::text("+7")).seen(before);
    world.engine.edit(&person("customer"), edit).expect("a good version");
    let verdict = world.as_role("customer").why("contact/ana", "phone").expect("sound").expect("it may be read");
    assert_eq!((verdict.value, verdict.others.len()), (Value::text("+7"), 0), "it supersedes what was seen");
}

/// A side that refuses two fields at once speaks of both; who may read one of them is not told of the other.
#[test]
fn what_a_side_said_of_a_field_out_of_sight_is_not_told_with_what_was_given_back() {
    let world = World::full();
    let seen = world.as_role("staff").get("deal/eve").expect("sound").expect("it is there").version;
    let edit = Edit::of(id("deal/eve"), side("portal")).set(field("region"), Value::text("apac")).seen(seen);
    let edit = edit.set(field("margin"), Value::text("another"));
    world.engine.edit(&Principal::operator(), edit).expect("it is said");
    let (mut writes, _) = world.engine.due("crm", 10).expect("a sound store");
    let write = writes.remove(0);
    let reason = "canary.deal/eve.margin is no margin for a region".to_owned();
    let refused = Outcome::Refused { reason: reason.clone(), fields: vec![field("margin"), field("region")] };
    world.engine.outcome(vec![(write, refused)]).expect("it is told");
    let why = |role: &str, name: &str| {
        let verdict = world.as_role(role).why("deal/eve", name).expect("sound").expect("it may be read");
        (verdict.value, verdict.sentence)
    };
    let (value, sentence) = why("regional", "region");
    assert_eq!(value, Value::text("emea"), "what stands is what the CRM shows");
    assert!(sentence.contains("syncline decided so") && !sentence.contains("canary"), "{sentence}");
    let (_, sentence) = why("staff", "region");
    assert!(sentence.contains("crm refused it: canary.deal/eve.margin"), "{sentence}");
    assert_eq!(world.engine.counts().expect("open").parked, world.engine.parked().expect("open").len() as u64);
}

/// Two sides that refuse each other's values must not be asked for ever.
#[test]
fn what_was_given_back_and_is_refused_again_waits_for_a_person() {
    let world = World::full();
    let edit = Edit::of(id("deal/eve"), side("portal")).set(field("margin"), Value::text("another"));
    world.engine.edit(&Principal::operator(), edit).expect("it is said");
    let refuse = || {
        let (writes, _) = world.engine.due("crm", 10).expect("a sound store");
        let said = |write| (write, Outcome::Refused { reason: "no".to_owned(), fields: vec![field("margin")] });
        let count = writes.len();
        world.engine.outcome(writes.into_iter().map(said).collect()).expect("it is told");
        count
    };
    assert_eq!(refuse(), 1);
    // A person decides otherwise after all, and the CRM will not have that either.
    let decision = Decision::of("deal/eve", "margin", Value::text("as I say")).because("I say so");
    world.engine.decide(&Principal::operator(), decision).expect("it is decided");
    let parked =
        || world.engine.parked().expect("open").into_iter().filter(|parked| *parked.record == *"deal/eve").count();
    let before = parked();
    assert_eq!(refuse(), 1);
    assert_eq!((refuse(), parked()), (0, before + 1), "it is not decided anew");
}

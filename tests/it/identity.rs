//! The right record: links, merges, undoing both.

use std::{collections::BTreeMap, sync::Arc};

use syncline::{
    clock::{Clock, HandClock, Millis},
    engine::Engine,
    event::{Author, AuthorKind, Detail, Draft, Kind, Origin},
    history::Principal,
    id::{FieldName, RecordId, SideName},
    log::disk::{Disk, RealDisk},
    send::{Ask, Outcome, Receipt, Seen, SeenField, Write},
    sim::disk::{SimDisk, Trouble},
    value::Value,
};

const MANIFEST: &str = "\
syncline: 1
tenant: acme
public_url: https://sync.acme.example
sides:
  crm:
    connector: hubspot
    account: \"1\"
    app: \"2\"
    credentials: { token: env:T, webhook_secret: env:S }
  portal:
    connector: portal
    deliver_to: https://portal.example.com/hooks/syncline
    credentials: { webhook_secret: env:P }
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    match_on: [email]
    links: LINKS
    deletes: edit_wins
    fields:
      email: { type: string, crm: email, portal: email, required: REQUIRED }
      phone: { type: string, crm: phone, portal: phone }
      city: { type: string, crm: city, portal: city }
";

struct World {
    engine: Option<Engine>,
    dir: tempfile::TempDir,
    disk: Arc<dyn Disk>,
    clock: HandClock,
    links: &'static str,
    required: &'static str,
}

fn id(text: &str) -> RecordId {
    RecordId::new(text).expect("a good id")
}

fn side(name: &str) -> SideName {
    SideName::new(name).expect("a good name")
}

fn field(name: &str) -> FieldName {
    FieldName::new(name).expect("a good name")
}

impl World {
    fn new(links: &'static str) -> World {
        World::on(Arc::new(RealDisk), links)
    }

    fn on(disk: Arc<dyn Disk>, links: &'static str) -> World {
        let mut world = World {
            engine: None,
            dir: tempfile::tempdir().expect("a directory"),
            disk,
            clock: HandClock::at(Millis(1_000_000)),
            links,
            required: "false",
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let manifest = MANIFEST.replace("LINKS", self.links).replace("REQUIRED", self.required);
        let builder = Engine::builder(self.dir.path().join("store"));
        let opened = builder.manifest(&manifest).clock(self.clock.clone()).disk(self.disk.clone()).open();
        self.engine = Some(opened.expect("it opens").0);
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it is open")
    }

    fn populate(&self) {
        for name in ["crm", "portal"] {
            self.engine().set_populated(&side(name)).expect("it is said");
        }
    }

    /// A side's own statement about its own record.
    fn say(&self, side_name: &str, link: &str, at: i64, set: &[(&str, &str)]) -> RecordId {
        let draft = self.draft(side_name, link, at, set);
        let record = draft.record.clone();
        self.engine().say(vec![draft]).expect("it is said");
        record
    }

    fn draft(&self, side_name: &str, link: &str, at: i64, set: &[(&str, &str)]) -> Draft {
        let record = RecordId::on_side("contact", side_name, link).expect("a good id");
        let origin = Origin { side: side(side_name), link: Some(link.into()), node: None };
        let mut draft = Draft::new(Kind::Edit, record, origin, Millis(at), Author::user("ana"));
        draft.words = set.iter().map(|(name, value)| (field(name), Value::text(value))).collect();
        draft
    }

    fn merge(&self, survivor: &str, loser: &str, at: i64) {
        let on = |link: &str| RecordId::on_side("contact", "crm", link).expect("a good id");
        let origin = Origin { side: side("crm"), link: Some(survivor.into()), node: None };
        let mut draft = Draft::new(Kind::Absorb, on(survivor), origin, Millis(at), Author::user("ana"));
        draft.detail = Detail::Other { record: on(loser), label: "merged".to_owned() };
        self.engine().say(vec![draft]).expect("it is said");
    }

    fn fields(&self, record: &str) -> BTreeMap<String, String> {
        let view = self.engine().read(&Principal::operator()).get(record).expect("a read");
        let fields = view.into_iter().flat_map(|view| view.fields);
        fields.filter_map(|field| Some((field.name.to_string(), field.value.as_text()?.to_owned()))).collect()
    }

    fn due(&self, side_name: &str) -> Vec<Write> {
        self.engine().due(side_name, 100).expect("it is asked").0
    }

    fn asks(&self, side_name: &str) -> Vec<Ask> {
        self.engine().due(side_name, 100).expect("it is asked").1
    }

    fn delete(&self, side_name: &str, link: &str, at: i64) {
        let record = RecordId::on_side("contact", side_name, link).expect("a good id");
        let origin = Origin { side: side(side_name), link: Some(link.into()), node: None };
        let mut draft = Draft::new(Kind::Delete, record, origin, Millis(at), Author::user("ana"));
        draft.words = vec![(field(syncline::rulebook::EXISTENCE), Value::bool(false))];
        self.engine().say(vec![draft]).expect("it is said");
    }

    fn taken(&self, write: Write, link: Option<&str>) {
        self.clock.advance(10);
        let receipt = Receipt { link: link.map(Into::into), at: Some(self.clock.now()), ..Receipt::default() };
        self.engine().outcome(vec![(write, Outcome::Applied(receipt))]).expect("it is told");
    }

    fn hashes(&self) -> (String, String) {
        let reader = self.engine().read(&Principal::operator());
        (reader.state_hash().expect("a hash").to_string(), reader.verdict_hash().expect("a hash").to_string())
    }

    /// Closed and opened, and made anew from the log, the store is what it was.
    fn assert_rebuilds(&mut self) {
        let before = self.hashes();
        let audit = |engine: &Engine| engine.audit(false, &|_, _, _| {}).expect("an audit");
        assert!(audit(self.engine()).is_sound(), "{:?}", audit(self.engine()).findings);
        self.engine.take().expect("it is open").close().expect("it closes");
        self.open();
        assert_eq!(self.hashes(), before, "after closing");
        self.engine = None;
        self.open();
        assert_eq!(self.hashes(), before, "after a crash");
        self.engine = None;
        let state = self.dir.path().join("store/state");
        std::fs::remove_dir_all(state).expect("it is there");
        self.open();
        assert_eq!(self.hashes(), before, "after a rebuild");
        assert!(audit(self.engine()).is_sound(), "{:?}", audit(self.engine()).findings);
    }
}

#[test]
fn a_record_made_on_a_side_is_one_with_what_the_side_made_of_it() {
    let mut world = World::new("reviewed");
    world.populate();
    world.say("portal", "u7", 500_000, &[("email", "ana@example.com"), ("phone", "1")]);
    let write = world.due("crm").remove(0);
    assert!(write.create && write.link.is_none());
    world.taken(write, Some("501"));
    assert_eq!(world.fields("contact/crm:501")["phone"], "1");
    assert_eq!(world.fields("contact/portal:u7")["phone"], "1");
    world.say("crm", "501", 2_000_000, &[("phone", "2")]);
    assert_eq!(world.fields("contact/portal:u7")["phone"], "2");
    let write = world.due("portal").remove(0);
    assert_eq!((write.link.as_deref(), write.create), (Some("u7"), false));
    assert_eq!(world.engine().links(&id("contact/portal:u7")).expect("links").len(), 2);
    world.assert_rebuilds();
}

#[test]
fn nothing_is_made_on_a_side_before_all_that_it_has_is_known() {
    let world = World::new("reviewed");
    world.say("portal", "u7", 500_000, &[("email", "ana@example.com")]);
    assert!(world.due("crm").is_empty());
    world.populate();
    assert_eq!(world.due("crm").len(), 1);
}

#[test]
fn what_could_be_the_same_waits_for_a_person() {
    let mut world = World::new("reviewed");
    world.say("portal", "u7", 500_000, &[("email", "Ana@Example.com "), ("phone", "1")]);
    world.say("crm", "501", 400_000, &[("email", "ana@example.com"), ("city", "Bern")]);
    world.populate();
    assert!(world.due("crm").is_empty() && world.due("portal").is_empty());
    let suggestions = world.engine().suggestions().expect("suggestions");
    assert_eq!(suggestions.len(), 2, "{suggestions:?}");
    assert!(suggestions.iter().all(|one| one.certain));
    let (one, other) = (id("contact/portal:u7"), id("contact/crm:501"));
    world.engine().link(&one, &other, Author::user("eva"), "called").expect("it is said");
    assert!(world.engine().suggestions().expect("suggestions").is_empty());
    let write = world.due("crm").remove(0);
    assert!(!write.create);
    assert_eq!(world.fields("contact/portal:u7")["city"], "Bern");
    world.assert_rebuilds();
}

#[test]
fn a_refused_suggestion_is_made_on_either_side() {
    let world = World::new("reviewed");
    world.say("portal", "u7", 500_000, &[("email", "info@example.com"), ("phone", "1")]);
    world.say("crm", "501", 400_000, &[("email", "info@example.com"), ("city", "Bern")]);
    world.populate();
    let (one, other) = (id("contact/portal:u7"), id("contact/crm:501"));
    world.engine().unlink(&one, &other, Author::user("eva"), "two people").expect("it is said");
    assert!(world.engine().suggestions().expect("suggestions").is_empty());
    assert!(world.due("crm").remove(0).create);
    assert!(world.due("portal").remove(0).create);
}

#[test]
fn a_certain_match_is_linked_where_the_manifest_says_so_and_a_doubtful_one_is_not() {
    let world = World::new("certain");
    world.say("portal", "u7", 500_000, &[("email", "ana@example.com")]);
    world.say("crm", "501", 400_000, &[("email", "ana@example.com")]);
    world.say("portal", "u8", 500_000, &[("email", "bo@example.com")]);
    world.say("crm", "502", 400_000, &[("email", "bo@example.com")]);
    world.say("crm", "503", 400_000, &[("email", "bo@example.com")]);
    world.populate();
    assert_eq!(world.engine().canonical(&id("contact/portal:u7")).expect("an id"), id("contact/crm:501"));
    assert_eq!(world.engine().canonical(&id("contact/portal:u8")).expect("an id"), id("contact/portal:u8"));
    let created = world.due("crm").into_iter().chain(world.due("portal")).filter(|write| write.create).count();
    assert_eq!(created, 0, "no duplicate is made");
    assert_eq!(world.engine().twins().expect("twins").len(), 1);
}

#[test]
fn an_undone_link_gives_every_field_back_to_its_record() {
    let mut world = World::new("reviewed");
    world.say("portal", "u7", 500_000, &[("email", "ana@example.com"), ("phone", "portal 0"), ("city", "Basel")]);
    world.say("crm", "501", 400_000, &[("email", "ana@example.com"), ("phone", "crm 0"), ("city", "Bern")]);
    world.populate();
    let (one, other) = (id("contact/portal:u7"), id("contact/crm:501"));
    world.engine().link(&one, &other, Author::user("eva"), "by mistake").expect("it is said");
    for round in 1..=25 {
        world.clock.advance(10_000);
        let now = world.clock.now().0;
        world.say("portal", "u7", now, &[("phone", &format!("portal {round}"))]);
        world.say("crm", "501", now + 1, &[("city", &format!("crm {round}"))]);
        for name in ["crm", "portal"] {
            world.due(name).into_iter().for_each(|write| world.taken(write, None));
        }
    }
    assert_eq!(world.fields("contact/crm:501")["phone"], "portal 25");
    world.clock.advance(10_000);
    world.engine().unlink(&one, &other, Author::user("eva"), "two people").expect("it is said");
    assert_eq!(world.fields("contact/portal:u7")["phone"], "portal 25");
    assert_eq!(world.fields("contact/portal:u7")["city"], "Basel");
    assert_eq!(world.fields("contact/crm:501")["phone"], "crm 0");
    assert_eq!(world.fields("contact/crm:501")["city"], "crm 25");
    let old = |name: &str| world.due(name).into_iter().filter(|write| !write.create).flat_map(|write| write.fields);
    let back: BTreeMap<String, String> = old("crm").map(pair).collect();
    assert_eq!(back, BTreeMap::from([("phone".to_owned(), "crm 0".to_owned())]), "the CRM gets back what it had");
    let back: BTreeMap<String, String> = old("portal").map(pair).collect();
    assert_eq!(back, BTreeMap::from([("city".to_owned(), "Basel".to_owned())]));
    world.assert_rebuilds();
}

fn pair((name, value): (FieldName, Value)) -> (String, String) {
    (name.to_string(), value.as_text().unwrap_or_default().to_owned())
}

#[test]
fn two_deliveries_of_a_merge_with_a_third_id_and_a_late_edit_to_the_loser() {
    let mut world = World::new("reviewed");
    world.say("crm", "1", 100_000, &[("email", "ana@example.com"), ("phone", "1"), ("city", "Bern")]);
    world.say("crm", "2", 110_000, &[("email", "ana@old.example.com"), ("phone", "2")]);
    for _ in 0..2 {
        world.merge("3", "1", 200_000);
        world.merge("3", "2", 200_000);
    }
    // Made before the merger, heard of after it.
    world.say("crm", "2", 150_000, &[("phone", "22")]);
    for record in ["contact/crm:1", "contact/crm:2", "contact/crm:3"] {
        assert_eq!(world.engine().canonical(&id(record)).expect("an id"), id("contact/crm:1"));
    }
    world.populate();
    let (writes, asks) = world.engine().due("crm", 10).expect("it is asked");
    assert!(writes.is_empty(), "nothing is written before the survivor was read");
    assert_eq!(asks.iter().map(|ask| ask.link.as_deref()).collect::<Vec<_>>(), [Some("3")]);
    assert!(world.due("portal").is_empty() || world.due("portal").iter().all(|write| write.create));
    let shown = |name: &str, value: &str, at: i64| SeenField::plain(field(name), Value::text(value), Some(Millis(at)));
    let fields =
        vec![shown("email", "ana@example.com", 100_000), shown("phone", "22", 150_000), shown("city", "Bern", 100_000)];
    let seen = Seen {
        found: true,
        link: Some("3".into()),
        fields,
        modified: Some(Millis(200_000)),
        merged: vec!["1".into(), "2".into()],
    };
    world.engine().seen(asks[0].clone(), Ok(seen)).expect("it is told");
    assert_eq!(world.fields("contact/crm:2")["phone"], "22");
    assert_eq!(world.fields("contact/crm:3")["email"], "ana@example.com");
    let (writes, asks) = world.engine().due("crm", 10).expect("it is asked");
    assert!(writes.is_empty() && asks.is_empty(), "{writes:?} {asks:?}");
    world.assert_rebuilds();
}

/// The id that a merger ended is the lesser one, so the record goes by it: every reconciliation asked under it, was told the
/// survivor's id, and took that for another merger.
#[test]
fn a_merger_that_is_known_is_no_news_to_whoever_reads_under_the_ended_id() {
    let world = World::new("reviewed");
    world.say("crm", "1", 100_000, &[("email", "ana@example.com"), ("phone", "1")]);
    world.say("crm", "2", 110_000, &[("email", "bo@example.com"), ("phone", "2")]);
    world.merge("2", "1", 150_000);
    let shown = |name: &str, value: &str| SeenField::plain(field(name), Value::text(value), Some(Millis(110_000)));
    let fields = vec![shown("email", "bo@example.com"), shown("phone", "2")];
    let seen =
        Seen { found: true, link: Some("2".into()), fields, modified: Some(Millis(150_000)), merged: vec!["1".into()] };
    world.engine().observe(&side("crm"), &id("contact/crm:2"), seen.clone()).expect("it is told");
    let (record, link) = world.engine().linked("crm", &[id("contact/crm:2")]).expect("open").remove(0);
    assert_eq!((&*record, link.as_deref()), ("contact/crm:1", Some("2")));
    let before = world.engine().last();
    for _ in 0..3 {
        world.clock.advance(60_000);
        world.engine().observe(&side("crm"), &record, seen.clone()).expect("it is told");
    }
    assert_eq!(world.engine().last(), before, "nothing is new");
}

#[test]
fn a_merger_that_only_a_reading_tells_of_is_one_too() {
    let world = World::new("reviewed");
    world.say("crm", "1", 100_000, &[("email", "ana@example.com"), ("phone", "1")]);
    world.say("crm", "2", 110_000, &[("email", "bo@example.com"), ("phone", "2")]);
    let fields = vec![SeenField::plain(field("phone"), Value::text("2"), Some(Millis(110_000)))];
    let merged = vec!["2".into()];
    let seen = Seen { found: true, link: Some("1".into()), fields, modified: Some(Millis(150_000)), merged };
    world.engine().observe(&side("crm"), &id("contact/crm:1"), seen).expect("it is told");
    assert_eq!(world.engine().canonical(&id("contact/crm:2")).expect("an id"), id("contact/crm:1"));
    assert_eq!(world.fields("contact/crm:2")["phone"], "2");
}

#[test]
fn who_is_one_record_depends_on_the_set_of_statements_alone() {
    type Statement = Box<dyn Fn(&World)>;
    let said: Vec<Statement> = vec![
        Box::new(|world| drop(world.say("crm", "1", 100, &[("phone", "1")]))),
        Box::new(|world| drop(world.say("crm", "2", 110, &[("phone", "2")]))),
        Box::new(|world| drop(world.say("portal", "u", 120, &[("city", "Bern")]))),
        Box::new(|world| world.merge("3", "1", 200)),
        Box::new(|world| world.merge("3", "2", 200)),
        Box::new(|world| tie(world, Kind::Link, "contact/portal:u", "contact/crm:2", 150)),
        Box::new(|world| tie(world, Kind::Unlink, "contact/portal:u", "contact/crm:2", 300)),
        Box::new(|world| tie(world, Kind::Link, "contact/portal:u", "contact/crm:1", 310)),
    ];
    fn tie(world: &World, kind: Kind, one: &str, other: &str, at: i64) {
        let mut draft = Draft::new(kind, id(one), Origin::side(side("person")), Millis(at), Author::user("eva"));
        draft.detail = Detail::Other { record: id(other), label: String::new() };
        world.engine().say(vec![draft]).expect("it is said");
    }
    let mut hashes = Vec::new();
    let mut order: Vec<usize> = (0..said.len()).collect();
    for turn in 0..24 {
        let world = World::new("reviewed");
        order.iter().for_each(|at| said[*at](&world));
        if turn % 3 == 0 {
            order.iter().for_each(|at| said[*at](&world));
        }
        hashes.push(world.hashes());
        // Another order each time, all of them different.
        order.rotate_left(1 + turn % 5);
        let length = order.len();
        order.swap(turn % length, (turn * 3 + 1) % length);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1);
}

#[test]
fn a_deletion_of_the_record_that_a_merger_ended_is_none_of_the_survivor() {
    let world = World::new("reviewed");
    world.say("crm", "1", 100_000, &[("phone", "1")]);
    world.say("crm", "2", 110_000, &[("phone", "2")]);
    world.delete("crm", "2", 200_001);
    world.merge("1", "2", 200_000);
    let view = world.engine().read(&Principal::operator()).get("contact/crm:2").expect("a read").expect("a record");
    assert_eq!(view.existence, syncline::merge::Existence::Alive);
}

/// The survivor was deleted before it was read. Every answer said that the side does not have it, which was no news, so the
/// question stayed open and was asked again at once, for ever.
#[test]
fn a_merger_is_answered_by_a_side_that_does_not_have_the_survivor_any_more() {
    let mut world = World::new("reviewed");
    world.populate();
    world.say("crm", "1", 100_000, &[("phone", "1")]);
    world.merge("1", "2", 200_000);
    world.delete("crm", "1", 300_000);
    let asks = world.asks("crm");
    assert_eq!(asks.iter().map(|ask| ask.link.as_deref()).collect::<Vec<_>>(), [Some("1")]);
    world.engine().seen(asks[0].clone(), Ok(Seen::default())).expect("it is told");
    world.clock.advance(3_600_000);
    assert_eq!(world.engine().due("crm", 10).expect("it is asked"), (vec![], vec![]));
    let view = world.engine().read(&Principal::operator()).get("contact/crm:2").expect("a read").expect("a record");
    assert_eq!(view.existence, syncline::merge::Existence::Deleted);
    world.assert_rebuilds();
}

/// A side's own word, which bears the time of our write, and which only a read-back can put in order.
fn doubtful(world: &World) -> Ask {
    world.populate();
    world.say("portal", "u7", 500_000, &[("phone", "1")]);
    let write = world.due("crm").remove(0);
    world.taken(write, Some("501"));
    world.say("crm", "501", world.clock.now().0, &[("phone", "2")]);
    let asks = world.asks("crm");
    assert_eq!(asks.iter().map(|ask| &ask.fields[..]).collect::<Vec<_>>(), [[field("phone")]]);
    asks[0].clone()
}

#[test]
fn a_record_that_is_gone_when_a_field_of_it_is_asked_about_is_gone() {
    let world = World::new("reviewed");
    let ask = doubtful(&world);
    world.clock.advance(1_000);
    world.engine().seen(ask, Ok(Seen::default())).expect("it is told");
    assert_eq!(world.engine().due("crm", 10).expect("it is asked"), (vec![], vec![]));
    let view = world.engine().read(&Principal::operator()).get("contact/crm:501").expect("a read").expect("a record");
    assert_eq!(view.existence, syncline::merge::Existence::Deleted);
}

#[test]
fn a_question_whose_answer_tells_nothing_is_asked_again_only_after_a_while() {
    let world = World::new("reviewed");
    let ask = doubtful(&world);
    let nothing = || Seen { found: true, link: Some("501".into()), ..Seen::default() };
    for _ in 0..3 {
        world.engine().seen(ask.clone(), Ok(nothing())).expect("it is told");
        assert_eq!(world.asks("crm"), [], "in the same moment");
        world.clock.advance(1_000);
        assert_eq!(world.asks("crm"), [], "so soon");
        let next = world.engine().next_due("crm").expect("open").expect("it stays open");
        world.clock.set(next);
        assert_eq!(world.asks("crm"), std::slice::from_ref(&ask));
    }
    let shown = SeenField::plain(field("phone"), Value::text("2"), Some(Millis(1_000_010)));
    let told = Seen { fields: vec![shown], ..nothing() };
    world.engine().seen(ask, Ok(told)).expect("it is told");
    assert_eq!(world.engine().next_due("crm").expect("open"), None);
}

#[test]
fn two_writes_in_one_moment_of_a_side_are_two() {
    let world = World::new("reviewed");
    world.populate();
    world.say("portal", "u7", 500_000, &[("phone", "1")]);
    let write = world.due("crm").remove(0);
    world.taken(write, Some("501"));
    for phone in ["2", "0", "3"] {
        let now = world.clock.now().0;
        world.say("portal", "u7", now + 1, &[("phone", phone)]);
        let write = world.due("crm").remove(0);
        // The side's clock stands.
        let receipt = Receipt { link: Some("501".into()), at: Some(Millis(1_000_010)), ..Receipt::default() };
        world.engine().outcome(vec![(write, Outcome::Applied(receipt))]).expect("it is told");
        assert!(world.due("crm").is_empty(), "{phone} is there");
        world.clock.advance(5);
    }
}

#[test]
fn what_a_person_parted_is_not_joined_by_a_side_that_has_it_already() {
    let world = World::new("reviewed");
    world.say("portal", "u7", 500_000, &[("email", "info@example.com"), ("phone", "1")]);
    world.say("crm", "501", 400_000, &[("email", "info@example.com"), ("city", "Bern")]);
    world.populate();
    let (one, other) = (id("contact/portal:u7"), id("contact/crm:501"));
    world.engine().unlink(&one, &other, Author::user("eva"), "two people").expect("it is said");
    let write = world.due("crm").remove(0);
    // The side will not have two of one address, and shows the one that it has.
    world.engine().outcome(vec![(write, Outcome::Unknown)]).expect("it is told");
    let (_, asks) = world.engine().due("crm", 10).expect("it is asked");
    let fields = vec![SeenField::plain(field("city"), Value::text("Bern"), Some(Millis(400_000)))];
    let seen = Seen { found: true, link: Some("501".into()), fields, ..Seen::default() };
    world.engine().seen(asks[0].clone(), Ok(seen)).expect("it is told");
    assert_ne!(world.engine().canonical(&one).expect("an id"), world.engine().canonical(&other).expect("an id"));
    let (writes, asks) = world.engine().due("crm", 10).expect("it is asked");
    assert!(writes.is_empty() && asks.is_empty(), "it waits for a person: {writes:?} {asks:?}");
    assert!(world.engine().counts().expect("open").parked > 0);
}

#[test]
fn a_change_that_never_came_to_disk_hides_nobody_from_who_looks_for_the_same() {
    let disk = SimDisk::new();
    let mut world = World::on(disk.shared(), "reviewed");
    world.populate();
    let known = world.say("crm", "501", 500_000, &[("email", "ana@example.com")]);
    world.engine().checkpoint().expect("the disk works");
    disk.plan(1, Trouble::Full);
    let changed = world.draft("crm", "501", 600_000, &[("email", "bo@example.com")]);
    world.engine().say(vec![changed]).expect_err("the disk is full");
    world.engine = None;
    disk.heal();
    world.open();
    assert_eq!(world.fields(&known)["email"], "ana@example.com");
    let new = world.say("portal", "u7", 700_000, &[("email", "ana@example.com")]);
    assert!(world.due("crm").is_empty(), "the side may have it already");
    let suggestions = world.engine().suggestions().expect("suggestions");
    assert!(suggestions.iter().any(|found| found.record == new && found.candidates == [known.clone()]));
}

#[test]
fn what_lacks_a_required_field_is_not_made_before_it_is_told() {
    let mut world = World::new("certain");
    (world.engine, world.required) = (None, "true");
    world.open();
    world.populate();
    world.say("portal", "u7", 500_000, &[("email", "ana@example.com")]);
    world.due("crm").into_iter().for_each(|write| world.taken(write, Some("501")));
    // Word of a new record comes in pieces, and the one that tells who it is last.
    world.say("crm", "502", 600_000, &[("phone", "1")]);
    assert!(world.due("portal").is_empty(), "it could be anybody");
    world.say("crm", "502", 600_000, &[("email", "bo@example.com")]);
    assert!(world.due("portal").remove(0).create);
}

#[test]
fn what_a_side_refuses_to_take_the_key_of_is_not_made_there_without_it() {
    let world = World::new("certain");
    world.populate();
    world.say("crm", "501", 500_000, &[("email", "ana@example.com"), ("phone", "1")]);
    let write = world.due("portal").remove(0);
    let outcome = Outcome::Refused { reason: "u7 has this address already".into(), fields: vec![field("email")] };
    world.engine().outcome(vec![(write, outcome)]).expect("it is told");
    assert!(world.due("portal").is_empty(), "without its key it would be there twice");
    assert!(world.engine().counts().expect("open").parked > 0, "it is told that it waits");
    // Word of whom the portal has comes late.
    world.say("portal", "u7", 400_000, &[("email", "ana@example.com"), ("city", "Bern")]);
    assert_eq!(world.fields("contact/crm:501"), world.fields("contact/portal:u7"), "they are one");
    let write = world.due("portal").remove(0);
    assert!(!write.create && write.link.as_deref() == Some("u7"), "{write:?}");
    assert_eq!(world.engine().counts().expect("open").parked, 0, "nothing waits any more");
}

#[test]
fn that_a_field_on_its_way_is_empty_yet_is_no_word_of_its_users() {
    let world = World::new("reviewed");
    world.populate();
    world.say("portal", "u7", 500_000, &[("phone", "1")]);
    world.due("crm").into_iter().for_each(|write| world.taken(write, Some("501")));
    world.say("portal", "u7", 600_000, &[("city", "Bern")]);
    let write = world.due("crm").remove(0);
    world.engine().outcome(vec![(write, Outcome::Unknown)]).expect("it is told");
    let (_, asks) = world.engine().due("crm", 10).expect("it is asked");
    // The request was lost on its way. The record has changed since, but not in this field.
    let fields = vec![
        SeenField::plain(field("city"), Value::null(), None),
        SeenField::plain(field("phone"), Value::text("1"), None),
    ];
    let seen =
        Seen { found: true, link: Some("501".into()), fields, modified: Some(Millis(700_000)), ..Seen::default() };
    world.engine().seen(asks[0].clone(), Ok(seen)).expect("it is told");
    world.clock.advance(10);
    assert_eq!(world.fields("contact/portal:u7").get("city").map(String::as_str), Some("Bern"));
    assert_eq!(world.due("crm").remove(0).fields, [(field("city"), Value::text("Bern"))], "it is written again");
}

#[test]
fn an_echo_stays_one_when_the_next_write_leaves_in_its_moment() {
    let world = World::new("reviewed");
    world.populate();
    world.say("portal", "u7", 500_000, &[("phone", "1")]);
    world.due("crm").into_iter().for_each(|write| world.taken(write, Some("501")));
    world.clock.advance(10);
    world.say("portal", "u7", 600_000, &[("phone", "2")]);
    let write = world.due("crm").remove(0);
    world.say("portal", "u7", 700_000, &[("phone", "3")]);
    // Its echo comes before its answer, and both bear a time that, by our guess of the side's clock, is still to come.
    let echoed = Millis(1_000_500);
    let origin = Origin { side: side("crm"), link: Some("501".into()), node: None };
    let author = Author { kind: AuthorKind::Ours, id: "2".into(), ..Author::default() };
    let mut echo = Draft::new(Kind::Edit, id("contact/crm:501"), origin, echoed, author);
    echo.words = vec![(field("phone"), Value::text("2"))];
    world.engine().say(vec![echo]).expect("it is said");
    let receipt = Receipt { link: Some("501".into()), at: Some(echoed), ..Receipt::default() };
    world.engine().outcome(vec![(write, Outcome::Applied(receipt))]).expect("it is told");
    world.clock.set(echoed.plus(-1));
    let write = world.due("crm").remove(0);
    assert_eq!(write.fields, [(field("phone"), Value::text("3"))]);
    world.taken(write, Some("501"));
    assert_eq!(world.fields("contact/portal:u7").get("phone").map(String::as_str), Some("3"));
    assert!(world.due("portal").is_empty(), "nobody said anything newer");
}

/// Until a checkpoint the state on disk has a record under an id that is another's alias by now, and it was listed under both.
#[test]
fn what_was_linked_is_listed_once() {
    let world = World::new("reviewed");
    world.say("portal", "u7", 500_000, &[("phone", "1")]);
    world.say("crm", "501", 400_000, &[("city", "Bern")]);
    world.engine().checkpoint().expect("it is written");
    world.engine().link(&id("contact/portal:u7"), &id("contact/crm:501"), Author::user("eva"), "").expect("it is said");
    let listed = || {
        let records = world.engine().read(&Principal::operator()).records();
        records.map(|view| view.expect("a read").record.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listed(), ["contact/crm:501"]);
    world.engine().checkpoint().expect("it is written");
    assert_eq!(listed(), ["contact/crm:501"]);
}

/// What a side has of a kind that the manifest did not have when the side was read is not known yet.
#[test]
fn nothing_of_a_kind_that_joins_later_is_made_before_the_side_was_read_again() {
    let mut world = World::new("reviewed");
    world.populate();
    let company = "  company:\n    sides: { crm: companies, portal: firm }\n    fields:\n      name: { type: string, crm: name, portal: name }\n";
    let manifest = MANIFEST.replace("LINKS", world.links).replace("REQUIRED", world.required) + company;
    world.clock.advance(10_000);
    assert!(world.engine().apply_manifest(&manifest).expect("it is taken"));
    let record = RecordId::on_side("company", "portal", "f1").expect("a good id");
    let origin = Origin { side: side("portal"), link: Some("f1".into()), node: None };
    let mut draft = Draft::new(Kind::Edit, record, origin, Millis(500_000), Author::user("ana"));
    draft.words = vec![(field("name"), Value::text("Ana Ltd"))];
    world.engine().say(vec![draft]).expect("it is said");
    assert!(!world.engine().is_populated("crm").expect("open"));
    assert!(world.due("crm").is_empty(), "the CRM may have it");
    world.say("portal", "u7", 500_000, &[("email", "ana@example.com")]);
    let write = world.due("crm").remove(0);
    assert_eq!(write.record.kind(), "contact", "of the other kind all is known as before");
    world.taken(write, Some("501"));
    world.populate();
    assert_eq!(world.due("crm").remove(0).record.kind(), "company");
    // Opened anew, with its state or without, the store knows as much.
    world.engine.take().expect("it is open").close().expect("it closes");
    for fresh in [false, true] {
        let store = world.dir.path().join("store");
        if fresh {
            std::fs::remove_dir_all(store.join("state")).expect("it is there");
        }
        let (engine, _) = Engine::builder(store).clock(world.clock.clone()).open().expect("it opens");
        assert!(["crm", "portal"].iter().all(|side| engine.is_populated(side).expect("open")));
    }
}

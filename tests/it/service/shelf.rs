//! Two pretend sides in this process, each to be walked, polled, written to and read back, with every call counted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use syncline::{
    clock::{Clock, HandClock, Millis},
    engine::Engine,
    event::Author,
    id::{FieldName, RecordId, SideName},
    send::{Ask, BoxFuture, Connector, Outcome, ReadError, Seen, Write, chance::Chance},
    service::{ClockReading, Gauge, InProcess, Reach, Tenant},
    side::{Links, Page, Sighting, Source, SourceError},
    sim::{
        capture,
        connector::Line,
        disk::SimDisk,
        ledger::Journal,
        post::Faults,
        side::{Manners, Side},
    },
    value::Value,
};
use tempfile::TempDir;

pub const BEGIN: Millis = Millis(1_750_000_000_000);
pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;

/// A side with everything that can be asked of it.
pub struct Shelf {
    pub name: SideName,
    pub side: Arc<Mutex<Side>>,
    line: Line,
    page: usize,
    clock: HandClock,
    /// Calls of any sort.
    pub calls: AtomicU64,
    /// Records handed out by [`Source::list`].
    pub listed: AtomicU64,
    /// After so many more pages of a list the side is away; negative: never.
    pub pages_left: AtomicI64,
    /// How far the side's clock is said to be ahead; [`i64::MIN`]: unknown.
    pub ahead: AtomicI64,
    /// A cursor of another age is refused.
    pub age: AtomicU64,
    /// What was deleted and is told of by [`Source::changed`] alone, by the side's own id.
    gone: Mutex<BTreeMap<Box<str>, (RecordId, Millis)>>,
}

impl Shelf {
    fn new(name: &str, first_id: u64, clock: &HandClock) -> Arc<Shelf> {
        let manners = Manners {
            name: side_name(name),
            first_id,
            own_ids: false,
            ahead: 0,
            names_us: true,
            webhook_a_field: false,
            normalise: |_, value| value.clone(),
            refuse: |_, value| (value.as_text() == Some("REFUSE ME")).then(|| "this is no value".to_owned()),
            remembers: 20,
        };
        let side = Arc::new(Mutex::new(Side::new(manners, clock.clone(), Journal::default())));
        let line = Line::new(side.clone(), clock.clone(), 50, Faults::default(), Chance::new(1));
        Arc::new(Shelf {
            name: side_name(name),
            side,
            line,
            page: 100,
            clock: clock.clone(),
            calls: AtomicU64::new(0),
            listed: AtomicU64::new(0),
            pages_left: AtomicI64::new(-1),
            ahead: AtomicI64::new(i64::MIN),
            age: AtomicU64::new(0),
            gone: Mutex::default(),
        })
    }

    pub fn side(&self) -> MutexGuard<'_, Side> {
        self.side.lock().expect("a pretend side does not panic")
    }

    /// A user edits, and the webhook of it is lost.
    pub fn edit_unheard(&self, record: &RecordId, words: &[(&str, &str)]) {
        let mut side = self.side();
        side.edit(record, &Author::user("someone"), &set(words));
        side.take_outgoing();
    }

    /// A user deletes, and only what has changed tells of it.
    pub fn delete_unheard(&self, record: &RecordId) {
        let mut side = self.side();
        let link = side.id_of(record).expect("it is there");
        side.delete(record, &Author::user("someone"));
        side.take_outgoing();
        self.gone.lock().expect("sound").insert(link, (record.clone(), side.now()));
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn shows(&self, record: &str, field: &str) -> String {
        self.side().shows(record, field).to_string()
    }

    fn page(&self, from: usize, keep: impl Fn(&Seen) -> bool) -> Page {
        let side = self.side();
        let all: Vec<RecordId> = side.records().cloned().collect();
        let sighting = |record: &RecordId| {
            let (link, modified, fields) = side.read(record)?;
            let seen = Seen {
                found: true,
                link: Some(link.clone()),
                fields: fields?,
                modified: Some(modified),
                ..Seen::default()
            };
            keep(&seen).then_some(Sighting { link, seen })
        };
        let all: Vec<Sighting> = all.iter().filter_map(sighting).collect();
        let records: Vec<Sighting> = all.iter().skip(from).take(self.page).cloned().collect();
        let after = from + records.len();
        let next = (after < all.len()).then(|| format!("{} {after}", self.age.load(Ordering::SeqCst)));
        Page { records, next, total: Some(all.len() as u64) }
    }

    fn walk(&self, cursor: Option<&str>, keep: impl Fn(&Seen) -> bool) -> Result<Page, SourceError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.line.is_cut() || self.pages_left.load(Ordering::SeqCst) == 0 {
            return Err(SourceError::RetryAfter(1_000));
        }
        self.pages_left.fetch_sub(1, Ordering::SeqCst);
        let (age, from) = cursor.map_or((None, "0"), |cursor| {
            cursor.split_once(' ').map(|(age, from)| (Some(age), from)).expect("our own")
        });
        if age.is_some_and(|age| age != self.age.load(Ordering::SeqCst).to_string()) {
            return Err(SourceError::Refused("this cursor is too old".to_owned()));
        }
        Ok(self.page(from.parse().expect("our own cursor"), keep))
    }

    pub fn cut(&self, from: Millis, to: Millis) {
        self.line.cut(from, to);
    }
}

impl Source for Shelf {
    fn list<'a>(&'a self, _kind: &'a str, cursor: Option<&'a str>) -> BoxFuture<'a, Result<Page, SourceError>> {
        Box::pin(async move {
            let page = self.walk(cursor, |_| true)?;
            self.listed.fetch_add(page.records.len() as u64, Ordering::SeqCst);
            Ok(page)
        })
    }

    fn changed<'a>(
        &'a self,
        _kind: &'a str,
        since: Millis,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, SourceError>> {
        Box::pin(async move {
            let mut page = self.walk(cursor, |seen| seen.modified >= Some(since))?;
            let gone = self.gone.lock().expect("sound");
            let told = gone.iter().filter(|(_, (_, at))| cursor.is_none() && *at >= since);
            page.records.extend(told.map(|(link, (_, at))| {
                let seen = Seen { link: Some(link.clone()), modified: Some(*at), ..Seen::default() };
                Sighting { link: link.clone(), seen }
            }));
            Ok(page)
        })
    }
}

impl Connector for Shelf {
    fn batch_most(&self) -> usize {
        self.line.batch_most()
    }

    fn deliver<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Vec<Outcome>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.line.deliver(writes)
    }

    fn read_back<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Vec<Result<Seen, ReadError>>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.line.read_back(asks)
    }
}

/// The clock of a shelf, as its answers would show it.
struct Dial(Arc<Shelf>);

impl Gauge for Dial {
    fn clock(&self) -> Option<ClockReading> {
        let ahead = self.0.ahead.load(Ordering::SeqCst);
        (ahead != i64::MIN).then(|| ClockReading { at: self.0.clock.now(), ahead })
    }
}

/// Both sides call their records by the same names here; what joins different ones is tested elsewhere.
struct SameNames(Vec<Arc<Shelf>>);

impl Links for SameNames {
    fn record(&self, _kind: &str, side: &SideName, link: &str) -> Option<RecordId> {
        let shelf = self.0.iter().find(|shelf| shelf.name == *side)?;
        let held = shelf.side();
        let gone = shelf.gone.lock().expect("sound").get(link).map(|(record, _)| record.clone());
        gone.or_else(|| held.records().find(|record| held.id_of(record).as_deref() == Some(link)).cloned())
    }

    fn link(&self, record: &RecordId, side: &SideName) -> Option<Box<str>> {
        self.0.iter().find(|shelf| shelf.name == *side)?.side().id_of(record)
    }
}

/// Two sides, a clock, and a tenant that may be killed and opened again.
pub struct Rig {
    pub dir: TempDir,
    pub clock: HandClock,
    pub crm: Arc<Shelf>,
    pub portal: Arc<Shelf>,
    pub tenant: Option<Tenant>,
    pub runtime: tokio::runtime::Runtime,
    pub manifest: String,
    /// Where the store lies instead of on the machine's disk; a thousand bytes of it are to stay free.
    pub disk: Option<SimDisk>,
}

/// A manifest in which these are the sides' captures; the last write wins.
pub fn manifest(crm: &str, portal: &str) -> String {
    manifest_by("last_write_wins", crm, portal)
}

pub fn manifest_by(rule: &str, crm: &str, portal: &str) -> String {
    format!(
        "syncline: 1\ntenant: acme\nsides:\n  crm: {{ connector: in_process, {crm} }}\n  portal: {{ connector: in_process, {portal} }}\n\
         defaults: {{ rule: {rule} }}\nrecords:\n  person:\n    fields:\n      name: {{ type: string }}\n      phone: {{ type: string }}\n      \
         city: {{ type: string }}\n"
    )
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

impl Rig {
    /// A rig that is not open yet, so that its sides can be filled first.
    pub fn closed(manifest: String) -> Rig {
        let clock = HandClock::at(BEGIN);
        let (crm, portal) = (Shelf::new("crm", 1_000, &clock), Shelf::new("portal", 500_000, &clock));
        let dir = TempDir::new().expect("a directory");
        Rig { dir, clock, crm, portal, tenant: None, runtime: runtime(), manifest, disk: None }
    }

    /// An open rig whose sides are empty and have been read.
    pub fn open_empty(manifest: String) -> Rig {
        let mut rig = Rig::closed(manifest);
        rig.open();
        rig.step();
        rig
    }

    pub fn store(&self) -> std::path::PathBuf {
        self.dir.path().join("store")
    }

    pub fn open(&mut self) {
        let reach = |shelf: &Arc<Shelf>| Reach {
            connector: Some(shelf.clone()),
            source: Some(shelf.clone()),
            gauge: Some(Arc::new(Dial(shelf.clone()))),
            hook: None,
        };
        let shelves = vec![self.crm.clone(), self.portal.clone()];
        let dialects = InProcess(shelves.iter().map(|shelf| (shelf.name.clone(), reach(shelf))).collect());
        let disk = self.disk.clone();
        let opened = Tenant::builder(self.store())
            .engine(|engine| match disk {
                Some(disk) => engine.disk(disk.shared()).free_bytes_least(1000),
                None => engine,
            })
            .manifest(self.manifest.clone())
            .clock(self.clock.clone())
            .dialects(Arc::new(dialects))
            .links(move |_| Arc::new(SameNames(shelves)))
            .open();
        self.tenant = Some(opened.expect("the store opens").0);
    }

    /// Ends the tenant as a crash would.
    pub fn kill(&mut self) {
        self.tenant = None;
        self.runtime = runtime();
    }

    pub fn tenant(&self) -> &Tenant {
        self.tenant.as_ref().expect("the tenant is open")
    }

    pub fn engine(&self) -> &Engine {
        self.tenant().engine()
    }

    pub fn step(&self) {
        self.runtime.block_on(self.tenant().step()).expect("the store works");
    }

    /// Lets time pass in steps, with all that is due in each.
    pub fn pass(&self, millis: i64, step: i64) {
        let until = self.clock.now().plus(millis);
        while self.clock.now() < until {
            self.clock.advance(step);
            self.step();
        }
    }

    /// A user edits on a side, and its webhook arrives.
    pub fn edit(&self, shelf: &Shelf, record: &RecordId, words: &[(&str, &str)]) {
        shelf.side().edit(record, &Author::user("someone"), &set(words));
        self.hear(shelf);
    }

    /// Lets the webhooks that a side has sent arrive.
    pub fn hear(&self, shelf: &Shelf) {
        let hooks = shelf.side().take_outgoing();
        let drafts = hooks.into_iter().map(|hook| capture::statement(&shelf.name, hook)).collect();
        self.engine().say(drafts).expect("the store works");
    }

    pub fn both_show(&self, record: &str, field: &str) -> String {
        let (crm, portal) = (self.crm.shows(record, field), self.portal.shows(record, field));
        assert_eq!(crm, portal, "{record} {field}");
        crm
    }
}

pub fn side_name(name: &str) -> SideName {
    SideName::new(name).expect("a good name")
}

pub fn person(number: usize) -> RecordId {
    RecordId::new(&format!("person/{number:06}")).expect("a good id")
}

pub fn field(name: &str) -> FieldName {
    FieldName::new(name).expect("a good name")
}

pub fn set(words: &[(&str, &str)]) -> Vec<(FieldName, Value)> {
    words.iter().map(|(name, value)| (field(name), Value::text(value))).collect()
}

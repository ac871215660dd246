//! Operations and faults in any order, against a plain model: what was acknowledged is read, and nothing that was not said.

use std::collections::BTreeMap;

use syncline::{
    clock::Millis,
    engine::{Engine, EngineError},
    event::{Author, Draft, Kind, Origin},
    history::Principal,
    id::{FieldName, RecordId, SideName},
    send::chance::Chance,
    sim::disk::{Cut, SimDisk, Trouble},
    value::Value,
};
use tempfile::TempDir;

use super::Target;

const RECORDS: u8 = 4;
const FIELDS: u8 = 3;

/// For each record and field what it may be: the last acknowledged value, and those said since without an answer.
type May = BTreeMap<(u8, u8), Vec<Option<i64>>>;

/// An engine on a simulated disk, and what it is due to say.
pub struct Model {
    dir: TempDir,
    life: u64,
}

struct Run {
    path: std::path::PathBuf,
    disk: SimDisk,
    engine: Option<Engine>,
    may: May,
    said: i64,
}

impl Target for Model {
    const NAME: &'static str = "operations and faults";
    const SHARE: u64 = 400;
    const BATCH: u64 = 20;

    fn new(_: &mut Chance) -> Self {
        Model { dir: TempDir::new().expect("a directory"), life: 0 }
    }

    /// Two bytes an operation.
    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        (0..2 * (10 + chance.below(40))).map(|_| chance.number() as u8).collect()
    }

    fn feed(&mut self, input: &[u8], chance: &mut Chance) {
        self.life += 1;
        let path = self.dir.path().join(self.life.to_string());
        let mut run = Run { path, disk: SimDisk::new(), engine: None, may: May::new(), said: 0 };
        run.open();
        for operation in input.chunks_exact(2) {
            run.act(operation[0], operation[1], chance.number());
        }
        run.disk.heal();
        run.reopen(None);
        run.check();
    }
}

impl Run {
    fn open(&mut self) {
        let built = Engine::builder(&self.path).disk(self.disk.shared()).checkpoint_every(7).segment_bytes(3_000);
        match built.open() {
            Ok((engine, opening)) => {
                assert_eq!(opening.recovery.faults, [], "a crash is not taken for damage");
                self.engine = Some(engine);
            }
            Err(why) => {
                assert!(self.disk.met(), "the disk works, but {why}");
                // It fails for now; what is on it is what counts.
                self.disk.heal();
                self.open();
            }
        }
    }

    /// Opens anew, after a power cut if there is one.
    fn reopen(&mut self, cut: Option<Cut>) {
        if let Some(cut) = cut {
            self.disk = self.disk.after(cut);
        }
        self.engine = None;
        self.disk.heal();
        self.open();
    }

    fn act(&mut self, what: u8, with: u8, seed: u64) {
        match what % 16 {
            0..8 => self.say(with, 1),
            8 | 9 => self.say(with, 3),
            10 => self.check(),
            11 => {
                let engine = self.engine.take().expect("open");
                if let Err(why) = engine.close() {
                    assert!(self.disk.met(), "the disk works, but {why}");
                }
                self.reopen(None);
            }
            12 => {
                let cuts = [Cut::Lost, Cut::Kept, Cut::Zeroed, Cut::Prefix(seed), Cut::Sectors(seed), Cut::Torn(seed)];
                self.reopen(Some(cuts[usize::from(with) % cuts.len()]));
                self.check();
            }
            13 => {
                if let Err(why) = self.engine.as_ref().expect("open").checkpoint() {
                    assert!(self.disk.met(), "the disk works, but {why}");
                    self.reopen(None);
                }
            }
            _ => {
                use std::io::ErrorKind::{Other, StorageFull};
                let troubles = [
                    Trouble::Crash,
                    Trouble::Once(Other),
                    Trouble::Once(StorageFull),
                    Trouble::Short(Other),
                    Trouble::Full,
                ];
                self.disk.plan(1 + seed % 9, troubles[usize::from(with) % troubles.len()]);
            }
        }
    }

    /// Says a few words at once: all of them are taken or, without an answer, perhaps all.
    fn say(&mut self, with: u8, count: u8) {
        let mut drafts = Vec::new();
        let mut words = Vec::new();
        for n in 0..count {
            self.said += 1;
            let (record, field) = (with.wrapping_add(n) % RECORDS, (with >> 2) % FIELDS);
            let value = (self.said % 5 != 0).then_some(self.said);
            drafts.push(draft(record, field, value, self.said));
            words.push(((record, field), value));
        }
        let said = self.engine.as_ref().expect("open").say(drafts);
        for (key, value) in words {
            let may = self.may.entry(key).or_insert_with(|| vec![None]);
            match &said {
                Ok(_) => *may = vec![value],
                Err(_) => may.push(value),
            }
        }
        if let Err(why) = said {
            assert!(self.disk.met(), "the disk works, but {why}");
            assert!(matches!(why, EngineError::Log(_) | EngineError::State(_)), "{why}");
            assert_eq!(self.disk.resyncs(), 0, "a failed sync is final for its handle");
            self.reopen(None);
            self.check();
        }
    }

    /// Reads everything; of what was in doubt, what is read now is what it is.
    fn check(&mut self) {
        let reader = self.engine.as_ref().expect("open").read(&Principal::operator());
        for ((record, field), may) in &mut self.may {
            let view = match reader.get(&name(*record)) {
                Ok(view) => view,
                Err(why) => {
                    assert!(self.disk.met(), "the disk works, but {why}");
                    return;
                }
            };
            let value = view.as_ref().and_then(|view| view.value(&format!("f{field}"))).and_then(Value::as_i64);
            assert!(may.contains(&value), "{} f{field} is {value:?} and may be one of {may:?}", name(*record));
            *may = vec![value];
        }
    }
}

fn name(record: u8) -> String {
    format!("contact/{record}")
}

fn draft(record: u8, field: u8, value: Option<i64>, number: i64) -> Draft {
    let origin = Origin::side(SideName::new("portal").expect("good"));
    let record = RecordId::new(&name(record)).expect("good");
    let mut draft = Draft::new(Kind::Edit, record, origin, Millis(1_750_000_000_000 + number), Author::user("ana"));
    draft.words =
        vec![(FieldName::new(&format!("f{field}")).expect("good"), value.map_or(Value::null(), Value::integer))];
    draft
}

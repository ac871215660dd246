//! An edit all its way: said, sent, and its receipt on disk.

use divan::{Bencher, counter::ItemsCount};
use syncline::{
    clock::{Clock, HandClock, Millis},
    engine::Engine,
    event::{Author, Draft, Kind, Origin},
    id::RecordId,
    send::{Outcome, Receipt},
    value::Value,
};
use tempfile::TempDir;

use crate::telling::{BEGINS, field, side};

const MANIFEST: &str = "\
syncline: 1
tenant: bench
sides:
  crm: { connector: in_process }
  portal: { connector: in_process }
defaults: { rule: last_write_wins }
records: { \"*\": { fields: { \"*\": { type: any } } } }
";

/// A store with a portal that takes every write at once.
struct World {
    engine: Engine,
    clock: HandClock,
    edits: u64,
    _dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = HandClock::at(BEGINS);
        let builder = Engine::builder(dir.path().join("store")).manifest(MANIFEST).clock(clock.clone());
        let (engine, _) = builder.open().expect("a new store opens");
        World { engine, clock, edits: 0, _dir: dir }
    }

    fn tick(&self) -> Millis {
        self.clock.advance(1);
        self.clock.now()
    }

    /// An edit of the CRM, of one record after the other.
    fn edit(&mut self, records: u64) -> Draft {
        self.edits += 1;
        let record = RecordId::new(&format!("contact/{:06}", self.edits % records)).expect("a good name");
        let origin = Origin::side(side("crm"));
        let mut draft = Draft::new(Kind::Edit, record, origin, self.tick(), Author::user("u07"));
        draft.words = vec![(field("phone"), Value::text(&format!("+1-555-{:07}", self.edits)))];
        draft
    }

    /// Says edits and lets the portal take what comes of them; answers how many writes that were.
    fn say(&self, drafts: Vec<Draft>) -> usize {
        self.engine.say(drafts).expect("the store works");
        self.tick();
        let (writes, asks) = self.engine.due("portal", usize::MAX).expect("the store works");
        assert!(asks.is_empty(), "nothing is in doubt");
        let (sent, at) = (writes.len(), Some(self.tick()));
        self.tick();
        let applied = |write| (write, Outcome::Applied(Receipt { at, ..Receipt::default() }));
        self.engine.outcome(writes.into_iter().map(applied).collect()).expect("the store works");
        sent
    }
}

/// So many edits of as many records at once.
#[divan::bench(args = [1, 256], max_time = 2, sample_size = 1)]
fn edits(bencher: Bencher, together: u64) {
    let mut world = World::new();
    let mut say = || {
        let drafts = (0..together).map(|_| world.edit(together)).collect();
        assert_eq!(world.say(drafts), together as usize, "every edit is sent");
    };
    say();
    bencher.counter(ItemsCount::new(together)).bench_local(say);
    assert_eq!(world.engine.outbox("portal").expect("the store works").0, 0, "nothing is left to send");
}

//! A store with one rule of each kind, and short ways to say something in it.

mod corruption;
mod laws;
mod positions;
mod sentences;
mod speaking;
mod stories;

use std::path::PathBuf;

use super::{Change, Principal, Reader, Standing, Verdict};
use crate::{
    capture::neutral,
    clock::{HandClock, Millis},
    engine::{Engine, Said},
    event::{Draft, Kind, Origin},
    id::{RecordId, Seq, SideName},
    value::Value,
};

/// Sides `crm`, `portal` and `erp` without connectors, `app` with one; fields named by their rules.
const MANIFEST: &str = "
syncline: 1
tenant: acme
sides:
  crm: { connector: none }
  portal: { connector: none }
  erp: { connector: none }
  app: { connector: in_process }
defaults:
  rule: last_write_wins
records:
  deal:
    deletes: manual
    fields:
      stage: { type: string, rule: { authority: crm } }
      last: { type: any }
      last_crm: { type: any, rule: { last_write_wins: { authority: crm } } }
      first: { type: any, rule: first_write_wins }
      first_crm: { type: any, rule: { first_write_wins: { authority: crm } } }
      most: { type: decimal, rule: max }
      least: { type: decimal, rule: min }
      hand: { type: any, rule: manual }
      visits: { type: counter, rule: merge }
      tags: { type: set, rule: merge }
      notes: { type: long_text, rule: merge }
      tier: { type: string, write: [crm] }
  lead:
    deletes: edit_wins
    fields: { last: { type: any } }
  task:
    deletes: delete_wins
    fields: { last: { type: any } }
";

struct World {
    engine: Engine,
    clock: HandClock,
    dir: tempfile::TempDir,
    said: std::cell::Cell<u64>,
}

impl World {
    fn new() -> World {
        World::with(MANIFEST)
    }

    fn with(manifest: &str) -> World {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = HandClock::at(at("08:00:00"));
        let engine = open(dir.path().join("store"), manifest, &clock);
        World { engine, clock, dir, said: Default::default() }
    }

    /// Says `set` of deal/1 as `side`; linear.
    fn say(&self, side: &str, actor: &str, time: &str, set: &str) -> u64 {
        let at = at(time).0;
        self.line(side, &format!(r#"{}"record":"deal/1","at_ms":{at},"set":{set}"#, by(actor)))
    }

    /// As [`World::say`], having seen only the statements of these numbers.
    fn say_on(&self, base: &[u64], side: &str, actor: &str, time: &str, set: &str) -> u64 {
        let at = at(time).0;
        let by = by(actor);
        self.line(side, &format!(r#"{by}"record":"deal/1","at_ms":{at},"base":{base:?},"set":{set}"#))
    }

    /// Takes a neutral line whose `seq` and `side` are filled in; returns its number.
    fn line(&self, side: &str, rest: &str) -> u64 {
        let number = self.said.get() + 1;
        self.said.set(number);
        let line = format!(r#"{{"seq":{number},"side":"{side}",{rest}}}"#);
        let Ok(Some(neutral::Line::Said(said))) = neutral::parse(line.as_bytes()) else { panic!("a bad line: {line}") };
        let key = self.engine.record_key(&said.record);
        self.take(said.draft("import", &key, 1));
        number
    }

    fn take(&self, draft: Draft) -> Seq {
        match self.engine.say(vec![draft]).expect("the store takes it")[..] {
            [Said::New { seq, .. }] => seq,
            _ => panic!("a statement was taken for a duplicate"),
        }
    }

    fn reader(&self) -> Reader {
        self.engine.read(&Principal::operator())
    }

    fn verdict(&self, field: &str) -> Verdict {
        self.reader().why("deal/1", field).expect("a sound store").expect("a known field")
    }

    fn why(&self, field: &str) -> String {
        self.verdict(field).sentence
    }

    fn history(&self, field: Option<&str>) -> Vec<Change> {
        self.reader().history("deal/1", field).expect("a sound store").expect("a known record")
    }

    /// `author old>new standing` of each change.
    fn story(&self, field: Option<&str>) -> Vec<String> {
        self.history(field).iter().map(told).collect()
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }
}

/// The member that names an author; an empty name is none, as of a side that does not say.
fn by(actor: &str) -> String {
    if actor.is_empty() { String::new() } else { format!(r#""actor":"{actor}","#) }
}

fn told(change: &Change) -> String {
    let Change { author, field, old, new, standing, .. } = change;
    format!("{} {field} {}>{} {standing:?}", author.id, old.to_json(), new.to_json())
}

fn open(path: PathBuf, manifest: &str, clock: &HandClock) -> Engine {
    let builder = Engine::builder(path).manifest(manifest).clock(clock.clone());
    builder.open().expect("the store opens").0
}

/// A time on 2026-05-01, UTC.
fn at(time: &str) -> Millis {
    let stamp: jiff::Timestamp = format!("2026-05-01T{time}Z").parse().expect("a time");
    Millis(stamp.as_millisecond())
}

fn draft(kind: Kind, side: &str, time: &str) -> Draft {
    let side = SideName::new(side).expect("a good name");
    let record = RecordId::new("deal/1").expect("a good name");
    Draft::new(kind, record, Origin::side(side), at(time), Default::default())
}

fn json(value: &str) -> Value {
    Value::from_json(value).expect("JSON")
}

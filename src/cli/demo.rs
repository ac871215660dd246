//! A few minutes of a portal and a CRM, played by two pretend sides on a clock turned by hand.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

use super::{
    failure::{End, Failure},
    story::history_table,
    tell,
};
use crate::{
    clock::{Clock, HandClock, Millis},
    engine::Engine,
    event::Author,
    history::{Edit, Principal},
    id::{FieldName, RecordId, SideName},
    send::{Outcome, Receipt},
    value::Value,
};

const RECORD: &str = "contact/ana";
const MANIFEST: &str = "\
syncline: 1
tenant: demo
sides:
  crm: { connector: in_process }
  portal: { connector: in_process }
defaults:
  rule: { authority: crm }
records:
  contact:
    fields:
      name: { type: string }
      phone: { type: string, rule: { authority: portal } }
      city: { type: string }
      stage: { type: choice, of: [lead, customer], write: [crm] }
";
/// 2026-03-02T09:00:00Z, a Monday.
const MORNING: Millis = Millis(1_772_442_000_000);
const MINUTE: i64 = 60_000;

/// Plays the story; the store is kept only if a directory was named for it.
pub fn demo(store: Option<&Path>, out: &mut dyn Write) -> Result<End, Failure> {
    let kept = store.is_some();
    let path: PathBuf = match store {
        Some(path) if path.exists() => {
            return Err(Failure::Use(format!(
                "{} is there already; the demo makes a store of its own",
                path.display()
            )));
        }
        Some(path) => path.to_owned(),
        None => env::temp_dir().join(format!("syncline-demo-{}", std::process::id())),
    };
    let told = play(&path, out);
    if !kept && path.exists() {
        fs::remove_dir_all(&path).map_err(|source| Failure::Read { path: path.clone(), source })?;
    }
    let agreed = told?;
    if kept {
        let path = path.display();
        writeln!(out, "\nThe store is in {path}; try `syncline --store {path} get {RECORD}`.")?;
    }
    Ok(End::well(agreed))
}

fn play(path: &Path, out: &mut dyn Write) -> Result<bool, Failure> {
    let clock = HandClock::at(MORNING);
    let (engine, _) = Engine::builder(path).manifest(MANIFEST).clock(clock.clone()).open()?;
    let mut stage = Stage { engine, clock, shown: BTreeMap::new(), out };

    stage.title("A sales rep makes a contact in the CRM; the portal is brought up to date.")?;
    stage.says(
        "crm",
        "rep:bob",
        &[("name", "Ana Diaz"), ("phone", "+1-555-0100"), ("city", "Lyon"), ("stage", "lead")],
    )?;
    stage.deliver()?;

    stage.title(
        "The line to both is down. Ana moves house and tells the portal; Bob, who does not know, tells the CRM.",
    )?;
    stage.says("portal", "ana", &[("phone", "+1-555-0199"), ("city", "Porto")])?;
    stage.says("crm", "rep:bob", &[("phone", "+1-555-0123"), ("stage", "customer")])?;

    stage.title("The line is back. Each side gets what differs there, and nothing else.")?;
    stage.deliver()?;

    stage.title("Why is the phone number what it is?")?;
    let reader = stage.engine.read(&Principal::operator());
    let sentence = reader.why(RECORD, "phone")?.map_or_else(String::new, |verdict| verdict.sentence);
    writeln!(stage.out, "  {}", tell::plain(&sentence))?;

    stage.title("All that was ever said of it:")?;
    history_table(&reader.history(RECORD, Some("phone"))?.unwrap_or_default(), stage.out)?;

    let agreed = stage.agreed();
    let verdict = if agreed { "Both sides show the same, and nothing is left to write." } else { "The sides DIFFER." };
    writeln!(stage.out, "\n{verdict}")?;
    drop(reader);
    stage.engine.close()?;
    Ok(agreed)
}

/// Two pretend sides around an engine.
struct Stage<'a> {
    engine: Engine,
    clock: HandClock,
    /// What each side shows.
    shown: BTreeMap<String, BTreeMap<FieldName, Value>>,
    out: &'a mut dyn Write,
}

impl Stage<'_> {
    fn title(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "\n{text}")?)
    }

    /// A side changes fields, and the engine hears of it.
    fn says(&mut self, side: &str, author: &str, set: &[(&str, &str)]) -> Result<(), Failure> {
        self.clock.advance(MINUTE);
        let record = RecordId::new(RECORD).expect("a good name");
        let mut edit = Edit::of(record, SideName::new(side).expect("a good name")).by(Author::user(author));
        for (field, text) in set {
            let (field, value) = (FieldName::new(field).expect("a good name"), Value::text(text));
            self.shown.entry(side.to_owned()).or_default().insert(field.clone(), value.clone());
            edit = edit.set(field, value);
        }
        let said: Vec<String> = set.iter().map(|(field, text)| format!("{field} = {text}")).collect();
        writeln!(self.out, "  {}  {author} in {side}: {}", self.clock.now(), said.join(", "))?;
        self.engine.edit(edit)?;
        Ok(())
    }

    /// Writes go out until none is left; the sides take all of them.
    fn deliver(&mut self) -> Result<(), Failure> {
        self.clock.advance(MINUTE);
        loop {
            let mut answers = Vec::new();
            for side in ["crm", "portal"] {
                for write in self.engine.due(side, 100)?.0 {
                    let set: Vec<String> =
                        write.fields.iter().map(|(field, value)| format!("{field} = {}", value.to_json())).collect();
                    let how = if write.create { "makes" } else { "sets" };
                    let (now, set) = (self.clock.now(), set.join(", "));
                    writeln!(self.out, "  {now}  syncline {how} {} in {side}: {set}", write.record)?;
                    self.shown.entry(side.to_owned()).or_default().extend(write.fields.iter().cloned());
                    let receipt = Receipt { at: Some(self.clock.now()), ..Receipt::default() };
                    answers.push((write, Outcome::Applied(receipt)));
                }
            }
            if answers.is_empty() {
                return Ok(());
            }
            self.engine.outcome(answers)?;
        }
    }

    fn agreed(&self) -> bool {
        self.shown.contains_key("crm") && self.shown.get("crm") == self.shown.get("portal")
    }
}

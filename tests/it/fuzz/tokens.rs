//! What is given out to be shown again: bearer tokens, version tokens and cursors.

use secrecy::ExposeSecret;
use syncline::{
    clock::Millis,
    engine::Engine,
    history::{Edit, Principal},
    id::{FieldName, RecordId, Seq, SideName},
    send::chance::Chance,
    server::{NewToken, Tokens},
    sim::disk::SimDisk,
    value::Value,
};
use tempfile::TempDir;

use super::{
    Target,
    mutate::{mutated, one_of},
};

const RECORDS: [&str; 2] = ["contact/1", "contact/2"];

/// Texts that a store has given out, changed.
pub struct Shown {
    engine: Engine,
    tokens: Tokens,
    bearers: Vec<Vec<u8>>,
    versions: Vec<Vec<u8>>,
    _dir: TempDir,
}

fn edit(record: &str, number: u64) -> Edit {
    let (record, side) = (RecordId::new(record).expect("good"), SideName::new("portal").expect("good"));
    Edit::of(record, side).set(FieldName::new("phone").expect("good"), Value::text(&format!("+{number}")))
}

impl Target for Shown {
    const NAME: &'static str = "tokens, versions and cursors";
    const SHARE: u64 = 20_000;
    const BATCH: u64 = 500;

    fn new(_: &mut Chance) -> Self {
        let dir = TempDir::new().expect("a directory");
        let (engine, _) = Engine::builder(dir.path()).disk(SimDisk::new().shared()).open().expect("it opens");
        let tokens = Tokens::open(dir.path()).expect("none yet");
        let side = SideName::new("portal").expect("good");
        let new = || NewToken { side: side.clone(), role: None, user: None, contact: None, company: None };
        let bearer = |_| tokens.create(new(), Millis(0)).expect("made").1.expose_secret().as_bytes().to_vec();
        let bearers = (0..2).map(bearer).collect();
        let version = |record: &str| {
            engine.edit(&Principal::operator(), edit(record, 1)).expect("the disk works");
            let view = engine.read(&Principal::operator()).get(record).expect("it is read").expect("it is there");
            view.version.into_bytes()
        };
        let versions = RECORDS.iter().map(|record| version(record)).collect();
        Shown { engine, tokens, bearers, versions, _dir: dir }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        match chance.below(3) {
            0 => one_of(&self.bearers, chance),
            1 => one_of(&self.versions, chance),
            _ => {
                let (kind, rest) = if chance.below(2) == 0 { (&self.bearers, 4) } else { (&self.versions, 3) };
                let (start, secret) = kind[0].split_at(rest);
                [start, &mutated(secret, kind, chance)].concat()
            }
        }
    }

    fn feed(&mut self, input: &[u8], chance: &mut Chance) {
        let Ok(text) = str::from_utf8(input) else { return };
        let found = self.tokens.find(text).expect("the file is read");
        assert_eq!(found.is_some(), self.bearers.iter().any(|bearer| bearer == input), "{text:?} opens a door");
        let at = chance.below(2) as usize;
        let mut said = edit(RECORDS[at], chance.number());
        said.version = Some(text.to_owned());
        let taken = self.engine.edit(&Principal::operator(), said);
        // Hexadecimal digits may be capitals.
        let is_own = text.to_ascii_lowercase().as_bytes() == self.versions[at] && text.starts_with("v1-");
        assert_eq!(taken.is_ok(), is_own, "{text:?} is a version of {}: {:?}", RECORDS[at], taken.err());
        // Any number is a cursor; one from elsewhere tells nothing that there is not.
        let cursor = Seq(chance.number() >> chance.below(64));
        let (changes, next) =
            self.engine.read(&Principal::operator()).changes_since(cursor, 3).expect("the disk works");
        assert!(next >= cursor && changes.iter().all(|change| change.seq > cursor && change.seq <= next));
    }
}

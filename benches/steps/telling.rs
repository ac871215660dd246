//! Statements for measuring: two sides that edit one record in turn, in the three ways that cost differently.

use syncline::{
    clock::{Hlc, Millis},
    event::{Author, Draft, Kind, Origin, Sealed},
    field::{FieldSpec, FieldType, Rule},
    id::{FieldName, Place, RecordId, SaidId, Seq, SideName, TenantKey},
    merge::{self, Advance, Heard, Line, Record},
    rulebook::{ANY, Edition, KindSpec, Rulebook, SideSpec},
    value::Value,
};

/// When all stories begin.
pub const BEGINS: Millis = Millis(1_750_000_000_000);
/// The key under which all is sealed.
pub const KEY: TenantKey = TenantKey([7; 32]);
/// The record that all is said of.
pub const RECORD: &str = "contact/000123";

const SIDES: [&str; 2] = ["crm", "portal"];
const FIELDS: [&str; 8] = ["address", "amount", "city", "email", "name", "owner", "phone", "stage"];

pub fn side(name: &str) -> SideName {
    SideName::new(name).expect("a good name")
}

pub fn field(name: &str) -> FieldName {
    FieldName::new(name).expect("a good name")
}

pub fn record() -> RecordId {
    RecordId::new(RECORD).expect("a good name")
}

/// Both sides take every field, and the last write wins.
pub fn book() -> Rulebook {
    let spec = FieldSpec { kind: FieldType::Any, rule: Rule::LastWriteWins(None), write: None, sides: None };
    let kind = KindSpec { fields: [(ANY.to_owned(), spec)].into(), ..KindSpec::default() };
    let connected = |name: &&str| (side(name), SideSpec { connected: true, resolution: 1, own_ids: false });
    Rulebook::of(Edition { kinds: [(ANY.to_owned(), kind)].into(), sides: SIDES.iter().map(connected).collect() })
}

/// The edit with this number: one field, the sides in turn, a millisecond after the one before.
pub fn edit(number: usize) -> Draft {
    let at = BEGINS.plus(number as i64 + 1);
    let mut draft = Draft::new(Kind::Edit, record(), Origin::side(side(SIDES[number % 2])), at, Author::user("u07"));
    let name = field(FIELDS[number / 2 % FIELDS.len()]);
    draft.words = vec![(name, Value::text(&format!("what was said {number}")))];
    draft
}

pub fn seal(draft: Draft) -> Sealed {
    let heard_at = Hlc::default().tick(draft.said_at);
    let key = KEY.record_key(&draft.record);
    draft.seal(&key, heard_at).expect("an edit is small")
}

/// What edits name as seen.
#[derive(Clone, Copy, Debug)]
pub enum Seen {
    /// The edit before: nothing is concurrent.
    Before,
    /// The side's own edit before: the other side's newest is always concurrent.
    Own,
}

/// So many edits of the record, each naming what it has seen, as the log holds them.
pub fn told(events: usize, seen: Seen) -> Vec<Heard> {
    let mut said: Vec<SaidId> = Vec::with_capacity(events);
    let heard = |number| {
        let mut draft = edit(number);
        let back = match seen {
            Seen::Before => 1,
            Seen::Own => 2,
        };
        draft.seen = Some(number.checked_sub(back).map(|number| said[number]).into_iter().collect());
        let sealed = seal(draft);
        said.push(sealed.event.header.said);
        logged(number, sealed)
    };
    (0..events).map(heard).collect()
}

/// So many linear edits, as the log holds them.
pub fn told_in_line(events: usize) -> Vec<Heard> {
    (0..events).map(|number| logged(number, seal(edit(number)))).collect()
}

fn logged(number: usize, sealed: Sealed) -> Heard {
    Heard { seq: Seq(number as u64 + 1), place: Place::new(1, number as u32), event: sealed.event }
}

/// Takes events in one by one, and folds anew where that is asked for; says how often it was.
pub fn take(record: &mut Record, line: &mut Line, known: &[Heard], next: &[Heard], book: &Rulebook) -> usize {
    let mut folds = 0;
    for (at, heard) in next.iter().enumerate() {
        if merge::advance(record, line, heard, book) == Advance::Refold {
            let all: Vec<Heard> = known.iter().chain(&next[..=at]).cloned().collect();
            (*record, *line) = merge::fold(&all, book);
            folds += 1;
        }
    }
    folds
}

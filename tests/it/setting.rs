//! The setting of a made-up story: its sides with their clocks, its fields with their rules.

use std::collections::BTreeMap;

use proptest::prelude::*;
use syncline::{
    clock::Millis,
    field::{DeleteRule, FieldSpec, FieldType, Rule},
    rulebook::{ANY, Edition, KindSpec, Rulebook, SideSpec},
};

use crate::telling::{BEGIN, side};

/// The sides of made-up stories; each story has the first few.
pub const SIDES: [&str; 5] = ["crm", "portal", "billing", "shop", "erp"];
/// The fields of made-up stories.
pub const FIELDS: [&str; 4] = ["city", "name", "phone", "tags"];

/// How a made-up side keeps time and tells its statements apart.
#[derive(Clone, Debug)]
pub struct SideSetting {
    pub coarse: bool,
    pub skew: i64,
    /// Whether the rulebook knows the skew, and from when.
    known: Option<i64>,
    connected: bool,
    /// Whether this side has further ids and nodes, and so several origins.
    pub branches: bool,
    pub numbered: bool,
}

fn side_setting() -> impl Strategy<Value = SideSetting> {
    let skew = prop_oneof![4 => Just(0), 1 => Just(-1500), 1 => Just(700), 1 => Just(3000)];
    let known = prop::option::of(prop_oneof![Just(-10_000i64), 0i64..4000]);
    let odds = |odds: f64| prop::bool::weighted(odds);
    (odds(0.3), skew, known, odds(0.85), odds(0.3), odds(0.3)).prop_map(
        |(coarse, skew, known, connected, branches, numbered)| SideSetting {
            coarse,
            skew,
            known,
            connected,
            branches,
            numbered,
        },
    )
}

/// A field's type and, for each edition, its rule by number, and whose edits count.
type FieldSetting = (u8, Vec<(u8, u8, Option<Vec<u8>>)>);

#[derive(Clone, Debug)]
pub struct Setting {
    pub sides: Vec<SideSetting>,
    fields: Vec<FieldSetting>,
    /// Whether the last field has no entry of its own: 0 it has, 1 it falls to the entry for any, 2 to nothing.
    last: u8,
    /// For each edition after the first, its time; and what becomes of deletes in each.
    times: Vec<i64>,
    deletes: Vec<DeleteRule>,
}

pub fn setting() -> impl Strategy<Value = Setting> {
    let write = prop::option::weighted(0.2, prop::collection::vec(0u8..5, 1..3));
    // Types that may merge come more often than the others.
    let kind = prop_oneof![3 => 0u8..14, 1 => 11u8..14];
    let field = (kind, prop::collection::vec((0u8..9, 0u8..5, write), 3));
    let delete = prop_oneof![Just(DeleteRule::DeleteWins), Just(DeleteRule::EditWins), Just(DeleteRule::Manual)];
    (
        prop::collection::vec(side_setting(), 2..=5),
        prop::collection::vec(field, FIELDS.len()),
        prop_oneof![6 => Just(0u8), 1 => Just(1), 1 => Just(2)],
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(0i64..4000, 1..=2)],
        prop::collection::vec(delete, 3),
    )
        .prop_map(|(sides, fields, last, times, deletes)| Setting { sides, fields, last, times, deletes })
}

impl Setting {
    pub fn side(&self, number: u8) -> usize {
        usize::from(number) % self.sides.len()
    }

    pub fn book(&self) -> Rulebook {
        let mut book = Rulebook::of(self.edition(0));
        for (number, time) in self.times.iter().enumerate() {
            book.add_edition(Millis(BEGIN + time), &format!("edition {number}"), self.edition(number + 1));
        }
        for (number, setting) in self.sides.iter().enumerate() {
            if let Some(from) = setting.known {
                book.add_clock(&side(SIDES[number]), Millis(BEGIN + from), setting.skew);
            }
        }
        book
    }

    fn edition(&self, number: usize) -> Edition {
        let mut fields = BTreeMap::new();
        for (place, name) in FIELDS.iter().enumerate() {
            let name = match self.last {
                1 if place + 1 == FIELDS.len() => ANY,
                2 if place + 1 == FIELDS.len() => continue,
                _ => name,
            };
            fields.insert(name.to_owned(), self.spec(place, number));
        }
        let kind = KindSpec { fields, deletes: self.deletes[number], sides: None };
        let spec = |setting: &SideSetting| SideSpec {
            own_ids: false,
            connected: setting.connected,
            resolution: if setting.coarse { 1000 } else { 1 },
        };
        let sides = self.sides.iter().enumerate().map(|(at, setting)| (side(SIDES[at]), spec(setting))).collect();
        Edition { kinds: [("contact".to_owned(), kind)].into(), sides }
    }

    fn spec(&self, place: usize, edition: usize) -> FieldSpec {
        let (kind, editions) = &self.fields[place];
        let (rule, of, write) = &editions[edition];
        let kind = field_type(*kind);
        let of = side(SIDES[self.side(*of)]);
        let merges = matches!(kind, FieldType::LongText | FieldType::Set | FieldType::Counter);
        let compares = matches!(kind, FieldType::Integer | FieldType::Decimal | FieldType::Date | FieldType::Datetime);
        let rule = match rule {
            // The rules that only some types have are likelier where they may be.
            0..=4 if merges => Rule::Merge,
            0 | 1 if compares => Rule::Max,
            2 | 3 if compares => Rule::Min,
            0..=2 => Rule::Authority(of),
            3 => Rule::LastWriteWins(None),
            4 => Rule::LastWriteWins(Some(of)),
            5 => Rule::FirstWriteWins(None),
            6 => Rule::FirstWriteWins(Some(of)),
            7 => Rule::Authority(of),
            _ => Rule::Manual,
        };
        let write = write.as_ref().map(|sides| sides.iter().map(|number| side(SIDES[self.side(*number)])).collect());
        FieldSpec { kind, rule, write, sides: None }
    }

    /// The value with this number in the alphabet of the field's type.
    pub fn value(&self, place: usize, number: u8) -> &'static str {
        // A field without an entry of its own has no type, so its alphabet is that of plain texts.
        let kind = if self.last == 2 && place + 1 == FIELDS.len() { 0 } else { self.fields[place].0 };
        let alphabet: [&str; 4] = match field_type(kind) {
            FieldType::Integer => ["1", "2", "10", "null"],
            FieldType::Decimal => ["1", "1.0", "-2.5", "null"],
            FieldType::Boolean => ["true", "false", "true", "null"],
            FieldType::Date => ["\"2024-02-29\"", "\"2023-12-31\"", "\"2024-03-01\"", "null"],
            FieldType::Datetime => ["\"2024-02-29T00:00:00Z\"", "\"2024-02-29T00:00:01Z\"", "null", "null"],
            FieldType::List => ["[1]", "[1,2]", "[]", "null"],
            FieldType::Any => ["{\"a\":1}", "[]", "0", "null"],
            FieldType::LongText => ["\"abc\"", "\"abd\"", "\"xabc\"", "null"],
            FieldType::Set => ["[\"x\"]", "[\"y\",\"x\"]", "[\"z\",\"y\"]", "null"],
            FieldType::Counter => ["1", "5", "-2", "null"],
            _ => ["\"a\"", "\"b\"", "\"c\"", "null"],
        };
        alphabet[usize::from(number) % alphabet.len()]
    }
}

fn field_type(number: u8) -> FieldType {
    match number {
        0..=2 => FieldType::String,
        3 => FieldType::Integer,
        4 => FieldType::Decimal,
        5 => FieldType::Boolean,
        6 => FieldType::Date,
        7 => FieldType::Choice(vec!["a".into(), "b".into(), "c".into()]),
        8 => FieldType::List,
        9 => FieldType::Any,
        10 => FieldType::Datetime,
        11 => FieldType::LongText,
        12 => FieldType::Set,
        _ => FieldType::Counter,
    }
}

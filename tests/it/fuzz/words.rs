//! The words: values, names, event bytes, rules across fields, and what sides say of values.

use serde_json::value::RawValue;
use syncline::{
    capture::neutral::{self, Line},
    clock::{Hlc, Millis},
    codec,
    event::{self, Author, Detail, Draft, Header, Kind, Origin, Sealed},
    expression::Expression,
    id::{self, FieldName, RecordId, RecordKey, SaidId, Seq, SideName, TenantKey},
    send::chance::Chance,
    side::translate::Translation,
    value::Value,
};

use super::{
    Target,
    mutate::{mutated, mutated_text, one_of, samples},
};
use crate::hubspot_in::unlinked;

fn values() -> Vec<Vec<u8>> {
    samples(include_str!("../../fuzz/values.txt"))
}

/// JSON texts, and canonical bytes.
pub struct Values {
    texts: Vec<Vec<u8>>,
    bytes: Vec<Vec<u8>>,
}

/// What holds for every value that was taken.
pub fn holds(value: &Value) {
    let again = Value::from_canonical(value.as_bytes()).expect("its own bytes are canonical");
    assert_eq!(again, *value);
    let json = value.to_json();
    assert_eq!(Value::from_json(&json).expect("its own text is JSON"), *value, "{json}");
    assert!(serde_json::from_str::<&RawValue>(&json).is_ok(), "{json}");
    assert_eq!(value.compare(value), std::cmp::Ordering::Equal);
}

impl Target for Values {
    const NAME: &'static str = "values";
    const SHARE: u64 = 190_800;
    const BATCH: u64 = 2000;

    fn new(_: &mut Chance) -> Self {
        let texts = values();
        let read = |text: &Vec<u8>| Value::from_json(str::from_utf8(text).expect("UTF-8")).expect("JSON");
        let bytes = texts.iter().map(|text| read(text).as_bytes().to_vec()).collect();
        Values { texts, bytes }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        let sound = if chance.below(2) == 0 { &self.texts } else { &self.bytes };
        one_of(sound, chance)
    }

    fn feed(&mut self, input: &[u8], _: &mut Chance) {
        match Value::from_canonical(input) {
            Ok(value) => {
                assert_eq!(value.as_bytes(), input);
                holds(&value);
            }
            Err(why) => assert!(!why.to_string().is_empty()),
        }
        let Ok(text) = str::from_utf8(input) else { return };
        match Value::from_json(text) {
            Ok(value) => holds(&value),
            Err(why) => assert!(!why.to_string().is_empty()),
        }
    }
}

/// Names, ids in hex, and numbers.
pub struct Names;

impl Target for Names {
    const NAME: &'static str = "names";
    const SHARE: u64 = 180_000;
    const BATCH: u64 = 2000;

    fn new(_: &mut Chance) -> Self {
        Names
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        let sound = ["contact/crm:501", "deal/é", "phone", "00ff17", "v1-00000000", "a/b/c:d", "-12.50", "1e5"];
        let others = sound.map(|text| text.as_bytes().to_vec());
        one_of(&others, chance)
    }

    fn feed(&mut self, input: &[u8], _: &mut Chance) {
        if let Some(bytes) = str::from_utf8(input).ok().and_then(id::from_hex) {
            assert_eq!(id::to_hex(&bytes).as_bytes(), input.to_ascii_lowercase());
        }
        let text = String::from_utf8_lossy(input);
        let is_name = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
        assert_eq!(FieldName::new(&text).is_ok(), is_name, "{text:?}");
        assert_eq!(SideName::new(&text).is_ok(), is_name, "{text:?}");
        if let Ok(record) = RecordId::new(&text) {
            assert_eq!(&*record, &*text);
            assert!(text.is_empty() || is_name && text.contains('/'));
            if let Some((side, link)) = record.side_and_link() {
                let again = RecordId::on_side(record.kind(), side, link).expect("its own parts");
                assert_eq!(again, record);
            }
        }
        // What a store writes of a name, it reads again; and from elsewhere it takes no other.
        let bytes = codec::encode(&text);
        let read = codec::decode_foreign::<FieldName>(&bytes);
        assert_eq!(read.is_ok(), is_name, "{text:?} in bytes");
    }
}

/// The bytes of events that come from another store, and that lie in the log.
pub struct Events {
    key: TenantKey,
    sound: Vec<Sealed>,
    bytes: Vec<Vec<u8>>,
}

/// Statements of many kinds.
pub fn drafts() -> Vec<Draft> {
    let record = |text: &str| RecordId::new(text).expect("good");
    let side = |text: &str| Origin::side(SideName::new(text).expect("good"));
    let at = Millis(1_750_000_000_123);
    let kinds = [
        (Kind::Edit, Detail::None),
        (Kind::Create, Detail::None),
        (Kind::Delete, Detail::Reason("it was asked for".to_owned())),
        (Kind::Link, Detail::Other { record: record("contact/crm:501"), label: "match".to_owned() }),
        (Kind::Absorb, Detail::Other { record: record("contact/crm:502"), label: "loser".to_owned() }),
        (Kind::Clock, Detail::Clock(-420_000)),
        (Kind::Sent, Detail::Write("a key".to_owned())),
        (Kind::Sent, Detail::Try { key: "a key".to_owned(), after: Seq(7), ends: vec![SaidId([1; 16])] }),
        (Kind::Refused, Detail::Refusal { key: "a key".to_owned(), reason: "too long".to_owned() }),
        (Kind::Refused, Detail::Fate { key: "a key".to_owned(), ends: Vec::new(), reason: "too long".to_owned() }),
        (Kind::Receipt, Detail::Took { key: "a key".to_owned(), ends: vec![SaidId([2; 16])], at: Millis(7) }),
        (Kind::Parked, Detail::Reason("it flips".to_owned())),
    ];
    let made = kinds.into_iter().enumerate().map(|(at_n, (kind, detail))| {
        let mut draft = Draft::new(kind, record("contact/portal:c-1"), side("portal"), at, Author::user("ana"));
        draft.detail = detail;
        draft.said_seq = Some(at_n as u64 * 300);
        draft.source = Some(r#"{"x":1}"#.into());
        if matches!(kind, Kind::Edit | Kind::Create) {
            draft.words = vec![
                (FieldName::new("phone").expect("good"), Value::text("+1-555-0100")),
                (FieldName::new("tags").expect("good"), Value::from_json(r#"["a",{"b":1.50}]"#).expect("JSON")),
            ];
        }
        draft
    });
    made.collect()
}

impl Events {
    fn record_key(&self, record: &str) -> RecordKey {
        self.key.record_key(record)
    }
}

/// Says a byte in three, as the encoding could say a small number if it let one number be said in two ways.
fn overlong(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let Some(last) = bytes.len().checked_sub(1) else { return };
    let at = chance.below(last as u64 + 1) as usize;
    bytes.splice(at..=at, [251, bytes[at], 0]);
}

impl Target for Events {
    const NAME: &'static str = "event bytes";
    const SHARE: u64 = 150_000;
    const BATCH: u64 = 2000;

    fn new(_: &mut Chance) -> Self {
        let key = TenantKey([7; 32]);
        let seal = |draft: Draft| {
            let of = key.record_key(&draft.record);
            draft.seal(&of, Hlc(1_750_000_000_200 << 16)).expect("small")
        };
        let sound: Vec<Sealed> = drafts().into_iter().map(seal).collect();
        let bytes = sound.iter().flat_map(|sealed| [sealed.header.clone(), sealed.payload.clone()]).collect();
        Events { key, sound, bytes }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        let sound = chance.pick(&self.sound);
        let (mut header, mut payload) = (sound.header.clone(), sound.payload.clone());
        if chance.below(3) > 0 {
            payload = mutated(&payload, &self.bytes, chance);
        }
        if chance.below(2) == 0 {
            header = mutated(&header, &self.bytes, chance);
        }
        if chance.below(8) == 0 {
            overlong(if chance.below(2) == 0 { &mut header } else { &mut payload }, chance);
        }
        // Most of them by somebody who has the key, or what is inside would never be looked at.
        if chance.below(4) > 0
            && let Ok(read) = event::read_header(&header)
        {
            let hash = self.record_key(&read.record).payload_hash(&payload);
            header = codec::encode(&Header { payload: hash, ..read });
        }
        codec::encode(&(header, payload))
    }

    fn feed(&mut self, input: &[u8], _: &mut Chance) {
        let (header, payload): (Vec<u8>, Vec<u8>) = codec::decode(input).expect("made by us");
        let key = |header: &Header| self.record_key(&header.record);
        if let Err(why) = event::Event::read(&header, &payload, key) {
            assert!(!why.to_string().is_empty());
        }
        let sealed = match Sealed::from_foreign(&header, &payload, key) {
            Ok(sealed) => sealed,
            Err(why) => return assert!(!why.to_string().is_empty()),
        };
        assert_eq!((codec::encode(&sealed.event.header), codec::encode(&sealed.event.payload)), (header, payload));
        assert_eq!(sealed.id(), id::event_id(&sealed.header));
        let Header { record, fields, .. } = &sealed.event.header;
        assert_eq!(RecordId::new(record).as_ref(), Ok(record));
        for (field, value) in sealed.event.words() {
            assert_eq!(FieldName::new(field).as_ref(), Ok(field));
            holds(value);
        }
        assert!(fields.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(!sealed.event.content().is_empty() && !format!("{sealed:?}").contains("+1-555-0100"));
        let line = format!(r#"{{"bytes":"{}"}}"#, neutral::event_hex(&sealed.header, &sealed.payload));
        let Ok(Some(Line::Event(header, payload))) = neutral::parse(line.as_bytes()) else { panic!("its own line") };
        assert_eq!((header, payload), (sealed.header, sealed.payload));
    }
}

/// Rules across fields, asked of odd values.
pub struct Expressions {
    texts: Vec<Vec<u8>>,
    values: Vec<Value>,
}

impl Target for Expressions {
    const NAME: &'static str = "rules across fields";
    const SHARE: u64 = 5_000;
    const BATCH: u64 = 200;

    fn new(_: &mut Chance) -> Self {
        let read = |text: Vec<u8>| Value::from_json(str::from_utf8(&text).expect("UTF-8")).expect("JSON");
        let texts = samples(include_str!("../../fuzz/expressions.txt"));
        Expressions { texts, values: values().into_iter().map(read).collect() }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        mutated_text(str::from_utf8(chance.pick::<Vec<u8>>(&self.texts)).expect("UTF-8"), &self.texts, chance)
            .into_bytes()
    }

    fn feed(&mut self, input: &[u8], chance: &mut Chance) {
        let text = str::from_utf8(input).expect("a text");
        match Expression::parse(text) {
            Ok(rule) => {
                assert!(!rule.fields().is_empty() && rule.fields().windows(2).all(|pair| pair[0] < pair[1]));
                let shift = chance.below(self.values.len() as u64) as usize;
                let value = |field: &str| Some(self.values[(field.len() + shift) % self.values.len()].clone());
                assert_eq!(format!("{:?}", rule.ask(value)), format!("{:?}", rule.ask(value)));
            }
            Err(why) => assert!(!why.to_string().is_empty() && !why.hint().is_empty()),
        }
    }
}

/// What sides say of fields of every type.
pub struct Translations {
    translation: Translation,
    fields: Vec<String>,
    sound: Vec<Vec<u8>>,
}

const TYPES: &str = r#"
syncline: 1
tenant: acme
sides:
  crm: { connector: hubspot, account: "62515", app: "54321", credentials: { token: env:T, webhook_secret: env:S } }
  portal: { connector: portal, deliver_to: "https://portal.example.com/hooks", credentials: { webhook_secret: env:P } }
defaults: { rule: { authority: crm } }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    fields:
      a_string: { type: string, crm: a_string, portal: a_string }
      an_email: { type: email, crm: an_email, portal: an_email }
      an_integer: { type: integer, crm: an_integer, portal: an_integer }
      a_decimal: { type: decimal, crm: a_decimal, portal: a_decimal }
      a_boolean: { type: boolean, crm: a_boolean, portal: a_boolean }
      a_date: { type: date, crm: a_date, portal: a_date }
      a_datetime: { type: datetime, crm: a_datetime, portal: a_datetime }
      a_choice: { type: choice, of: [lead, customer], crm: { name: a_choice, values: { customer: client } }, portal: a_choice }
      a_set: { type: set, crm: a_set, portal: a_set, rule: merge }
      a_long_text: { type: long_text, crm: a_long_text, portal: a_long_text }
      any_of_them: { type: any, crm: any_of_them, portal: any_of_them }
"#;

impl Target for Translations {
    const NAME: &'static str = "values of sides";
    const SHARE: u64 = 60_000;
    const BATCH: u64 = 1000;

    fn new(_: &mut Chance) -> Self {
        let translation = unlinked(TYPES, "crm");
        let fields: Vec<String> = translation.fields("contact").map(|(field, _)| field.to_string()).collect();
        assert_eq!(fields.len(), 11);
        let texts = [
            "1772366400000",
            "2026-02-28",
            "2026-02-28T23:59:60.123456Z",
            "12/31/1999",
            "-12.50e3",
            "a;b;;c",
            "true",
            "client",
            "a@b.ch",
            "Ex\u{301} ß ﬁ",
            "P1D",
        ];
        Translations { translation, fields, sound: texts.map(|text| text.as_bytes().to_vec()).to_vec() }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        mutated_text(str::from_utf8(chance.pick::<Vec<u8>>(&self.sound)).expect("UTF-8"), &self.sound, chance)
            .into_bytes()
    }

    fn feed(&mut self, input: &[u8], chance: &mut Chance) {
        let text = str::from_utf8(input).expect("a text");
        let field = chance.pick(&self.fields).clone();
        let said = self.translation.hear_text("contact", &field, Some(text));
        holds(&said.value);
        if said.misfit.is_none()
            && let Ok(out) = self.translation.say_text("contact", &field, &said.value)
        {
            // Going out, the same way back.
            let back = self.translation.hear_text("contact", &field, Some(&out));
            assert_eq!(back.misfit, None, "{field}: {out:?}");
            assert!(back.value == said.value || field == "any_of_them", "{field}: {out:?} is not {:?} again", text);
        }
        let Ok(json) = Value::from_json(text) else { return };
        let said = self.translation.hear_json("contact", &field, &json);
        holds(&said.value);
        if said.misfit.is_none()
            && let Ok(out) = self.translation.say_json("contact", &field, &said.value)
        {
            let back = self.translation.hear_json("contact", &field, &out);
            assert_eq!((back.misfit, &back.value), (None, &said.value), "{field}");
        }
    }
}

//! What a portal says: from the body of a webhook to statements.
//!
//! Nothing is guessed and nothing is dropped: a record is named by the portal's own id, and what the manifest does not map is
//! kept as the statement's source and counted.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use super::place::{self, At, Members, Misread};
use crate::{
    clock::Millis,
    event::{Author, Detail, Draft, Kind, Origin},
    id::{FieldName, Hashing, RecordId},
    rulebook::EXISTENCE,
    side::translate::Translation,
    value::Value,
};

/// The most changes of one message.
pub const CHANGES_MAX: usize = 1000;
/// The most fields of one change.
pub const FIELDS_MAX: usize = 2000;
/// The kind of what a message of an unknown type is kept under, if it names no record.
const UNKNOWN: &str = "message";

/// What a message says.
#[derive(Debug, Default)]
pub struct Heard {
    /// Its statements, in its order.
    pub drafts: Vec<Draft>,
    /// How many statements have no words because their type or their kind is not known.
    pub unmapped: u64,
    /// How many fields the manifest does not have; they are in the sources of the statements.
    pub unmapped_fields: u64,
    /// How many values do not fit their field's type; they came in as they are.
    pub misfits: u64,
}

/// The field's value with its own time and author, as a change or an answer of the portal gives them.
struct Word<'a> {
    name: Cow<'a, str>,
    value: At<'a>,
    at: Option<Millis>,
    by: Option<Author>,
}

/// What is the same for all changes of a message.
struct Message<'a> {
    translation: &'a Translation,
    topic: String,
    /// The time of changes that have none of their own.
    time: Option<Millis>,
}

/// Reads the body of a message whose signature was checked; `now` is the time of one of another type that names none.
///
/// # Errors
/// If it is not what the dialect says, with the place; nothing of it is to be taken then.
pub fn read(body: &[u8], translation: &Translation, now: Millis) -> Result<Heard, Misread> {
    let whole = place::read(body)?;
    let mut members = whole.members()?;
    let topic = members.need("type")?.text()?;
    let time = members.take("timestamp").map(|at| at.time()).transpose()?;
    let data = members.need("data")?;
    let message = Message { translation, topic, time };
    let mut heard = Heard::default();
    if !matches!(
        &*message.topic,
        "record.changed" | "record.created" | "record.deleted" | "record.restored" | "record.merged"
    ) {
        heard.drafts.push(message.unknown(body, &data, now));
        heard.unmapped += 1;
        return Ok(heard);
    }
    let mut members = data.members()?;
    match members.take("changes") {
        None => message.change(members, &mut heard)?,
        Some(changes) => {
            for change in changes.elements(CHANGES_MAX)? {
                message.change(change.members()?, &mut heard)?;
            }
        }
    }
    Ok(heard)
}

impl Message<'_> {
    /// A message of another type: kept under the record that it names, or else under its own hash.
    fn unknown(&self, body: &[u8], data: &At<'_>, now: Millis) -> Draft {
        let named = || {
            let mut members = data.members().ok()?;
            let kind = members.take("kind")?.name().ok()?;
            let id = members.take("id")?.name().ok()?;
            let record = self.translation.record(self.translation.kind_of(&kind).unwrap_or(&kind), &id).ok()?;
            Some((record, self.translation.origin(&id)))
        };
        let hash = Hashing::new("syncline portal message").update(body).digest().to_string();
        let (record, origin) = named().unwrap_or_else(|| {
            let record = self.translation.record(UNKNOWN, &hash).expect("a hash is a good name");
            (record, Origin::side(self.translation.side().clone()))
        });
        let mut draft = Draft::new(Kind::Edit, record, origin, self.time.unwrap_or(now), Author::default());
        draft.source = std::str::from_utf8(body).ok().map(Into::into);
        draft
    }

    fn change(&self, mut members: Members<'_>, heard: &mut Heard) -> Result<(), Misread> {
        let theirs = members.need("kind")?.name()?;
        let id_at = members.need("id")?;
        let id = id_at.name()?;
        let at = members.take("at").map(|at| at.time()).transpose()?.or(self.time);
        // The time of arrival would make another statement of each repetition, newer than all that was said since.
        let at = at.ok_or_else(|| members.no_time("at"))?;
        let by = members.take("by").map(|at| at.author()).transpose()?.unwrap_or_default();
        let seq = members.take("seq").map(|at| at.count()).transpose()?;
        let absorbed = match &*self.topic {
            "record.merged" => members.need("absorbed")?.elements(CHANGES_MAX)?,
            _ => Vec::new(),
        };
        let words = words(&mut members)?;
        let kind = self.translation.kind_of(&theirs);
        let record = |id: &At<'_>| {
            let name = id.name()?;
            let record = self.translation.record(kind.unwrap_or(&theirs), &name);
            record.map_err(|_| id.not("an id that is short enough for its kind"))
        };
        let mut drafts = Drafts {
            record: record(&id_at)?,
            origin: self.translation.origin(&id),
            at,
            by,
            list: Vec::new(),
            source: BTreeMap::new(),
        };
        drafts.source.extend(members.rest().into_iter().map(|(name, at)| (name.into_owned(), at.raw())));
        let existence = match &*self.topic {
            "record.created" => Some((Kind::Create, true)),
            "record.deleted" => Some((Kind::Delete, false)),
            "record.restored" => Some((Kind::Restore, true)),
            _ => None,
        };
        if let Some((kind, there)) = existence {
            let field = FieldName::new(EXISTENCE).expect("a good name");
            drafts.push(kind, vec![(field, Value::bool(there))]);
        }
        for other in &absorbed {
            let draft = drafts.push(Kind::Absorb, Vec::new());
            draft.detail = Detail::Other { record: record(other)?, label: "merged".to_owned() };
        }
        match kind {
            Some(kind) => self.say(kind, words, &mut drafts, heard)?,
            None => {
                heard.unmapped += 1;
                heard.unmapped_fields += words.len() as u64;
                drafts.source.extend(words.iter().map(|word| (word.name.to_string(), word.value.raw())));
                // Of a kind that is not agreed on, nothing is said but that it was heard.
                drafts.list.clear();
            }
        }
        heard.drafts.extend(drafts.finish(seq));
        Ok(())
    }

    /// Adds the words of a change: those of one time and one author are one statement.
    fn say<'a>(
        &self,
        kind: &str,
        words: Vec<Word<'a>>,
        drafts: &mut Drafts<'a>,
        heard: &mut Heard,
    ) -> Result<(), Misread> {
        for word in words {
            let Some(field) = self.translation.field_of(kind, &word.name) else {
                heard.unmapped_fields += 1;
                drafts.source.insert(word.name.into_owned(), word.value.raw());
                continue;
            };
            let ours = self.translation.hear_json(kind, &field, &word.value.value()?);
            heard.misfits += u64::from(ours.misfit.is_some());
            drafts.add(field, ours.value, word.at, word.by);
        }
        Ok(())
    }
}

/// The statements of one change.
struct Drafts<'a> {
    record: RecordId,
    origin: Origin,
    at: Millis,
    by: Author,
    list: Vec<Draft>,
    source: BTreeMap<String, &'a RawValue>,
}

impl Drafts<'_> {
    fn push(&mut self, kind: Kind, words: Vec<(FieldName, Value)>) -> &mut Draft {
        let mut draft = Draft::new(kind, self.record.clone(), self.origin.clone(), self.at, self.by.clone());
        draft.words = words;
        self.list.push(draft);
        self.list.last_mut().expect("it was just put there")
    }

    fn add(&mut self, field: FieldName, value: Value, at: Option<Millis>, by: Option<Author>) {
        let (at, by) = (at.unwrap_or(self.at), by.unwrap_or_else(|| self.by.clone()));
        let takes = |draft: &&mut Draft| {
            matches!(draft.kind, Kind::Create | Kind::Edit) && draft.said_at == at && draft.author == by
        };
        match self.list.iter_mut().find(takes) {
            Some(draft) => draft.words.push((field, value)),
            None => {
                let draft = self.push(Kind::Edit, vec![(field, value)]);
                (draft.said_at, draft.author) = (at, by);
            }
        }
    }

    fn finish(mut self, seq: Option<u64>) -> Vec<Draft> {
        if self.list.is_empty() && !self.source.is_empty() {
            self.push(Kind::Edit, Vec::new());
        }
        if let Some(first) = self.list.first_mut().filter(|_| !self.source.is_empty()) {
            let json = serde_json::to_string(&self.source).expect("names and JSON make JSON");
            first.source = Some(json.into());
        }
        self.list.iter_mut().for_each(|draft| draft.said_seq = seq);
        self.list
    }
}

/// The fields of a change: those in `set` bare, those in `fields` with their own times and authors.
fn words<'a>(members: &mut Members<'a>) -> Result<Vec<Word<'a>>, Misread> {
    let mut words: Vec<Word<'a>> = Vec::new();
    if let Some(set) = members.take("set") {
        let bare = |(name, value)| Word { name, value, at: None, by: None };
        words.extend(set.members()?.rest().into_iter().map(bare));
    }
    if let Some(fields) = members.take("fields") {
        for (name, at) in fields.members()?.rest() {
            if words.iter().any(|word| word.name == name) {
                return Err(Misread::Twice { place: at.place() });
            }
            let mut field = at.members()?;
            let value = field.nullable("value")?;
            let time = field.take("at").map(|at| at.time()).transpose()?;
            let by = field.take("by").map(|at| at.author()).transpose()?;
            words.push(Word { name, value, at: time, by });
        }
    }
    if words.len() > FIELDS_MAX {
        return Err(Misread::TooMany { place: "the fields of a change".into(), count: words.len(), most: FIELDS_MAX });
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        event::AuthorKind,
        id::SideName,
        manifest::Manifest,
        side::{Links, portal::tests::MANIFEST},
    };

    struct Own;

    impl Links for Own {
        fn record(&self, kind: &str, side: &SideName, link: &str) -> Option<RecordId> {
            RecordId::on_side(kind, side, link).ok()
        }
        fn link(&self, _: &RecordId, _: &SideName) -> Option<Box<str>> {
            None
        }
    }

    const NOW: Millis = Millis(1_772_366_400_000);

    fn heard(body: &str) -> Result<Heard, String> {
        let manifest = Arc::new(Manifest::parse(MANIFEST).expect("a good manifest"));
        let translation = Translation::new(manifest, SideName::new("portal").expect("a name"), Arc::new(Own));
        read(body.as_bytes(), &translation, NOW).map_err(|why| why.to_string())
    }

    fn told(draft: &Draft) -> String {
        let words = draft.words.iter().map(|(field, value)| format!("{field}={}", value.to_json()));
        let mut words: Vec<String> = words.collect();
        words.sort();
        let by = &draft.author.id;
        format!("{} {} {} {} {by}", draft.kind.name(), draft.record, words.join(","), draft.said_at.0 - NOW.0)
    }

    #[test]
    fn a_change_is_one_statement_by_its_author_at_its_time() {
        let heard = heard(
            r#"{"type":"record.changed","timestamp":"2026-03-01T12:00:01Z","data":{"kind":"customer","id":17,
                "set":{"firstName":"Ann","phone":null,"companyId":"o-3"},"at":1772366399000,"seq":4,
                "by":{"user":"u07","contact":"c-17","company":"o-3"}}}"#,
        );
        let [draft] = &heard.expect("good").drafts[..] else { panic!("one statement") };
        let words = r#"company="company/portal:o-3",first_name="Ann",phone=null"#;
        assert_eq!(told(draft), format!("edit contact/portal:17 {words} -1000 u07"));
        assert_eq!((draft.origin.link.as_deref(), draft.said_seq), (Some("17"), Some(4)));
        assert_eq!(draft.author.company.as_deref(), Some("o-3"));
    }

    #[test]
    fn fields_with_times_of_their_own_are_statements_of_their_own() {
        let heard = heard(
            r#"{"type":"record.created","timestamp":1772366400000,"data":{"changes":[
                {"kind":"customer","id":"a","set":{"phone":"1"},"by":{"user":"u1"},
                 "fields":{"firstName":{"value":"A","at":1772366399999},"lastName":{"value":null,"by":{"system":"import"}}}},
                {"kind":"organisation","id":"b"}]}}"#,
        );
        let all: Vec<String> = heard.expect("good").drafts.iter().map(told).collect();
        assert_eq!(
            all,
            [
                "create contact/portal:a phone=\"1\",∃=true 0 u1",
                "edit contact/portal:a first_name=\"A\" -1 u1",
                "edit contact/portal:a last_name=null 0 import",
                "create company/portal:b ∃=true 0 ",
            ]
        );
    }

    #[test]
    fn a_change_has_a_time_of_its_own_or_that_of_its_message() {
        let change =
            r#""data":{"changes":[{"kind":"customer","id":"a","at":1772366399000},{"kind":"customer","id":"b"}]}"#;
        let times = |message: &str| -> Result<Vec<i64>, String> {
            let heard = heard(&format!(r#"{{"type":"record.deleted",{message}{change}}}"#))?;
            Ok(heard.drafts.iter().map(|draft| draft.said_at.0 - NOW.0).collect())
        };
        assert_eq!(times(r#""timestamp":1772366398000,"#), Ok(vec![-1000, -2000]));
        assert_eq!(times(""), Err("data.changes[1].at is missing, and so is timestamp".to_owned()));
    }

    #[test]
    fn existence_and_merges_are_said_by_their_types() {
        let one = |topic: &str, more: &str| {
            let heard = heard(&format!(
                r#"{{"type":"{topic}","timestamp":1772366400000,"data":{{"kind":"customer","id":"a"{more}}}}}"#
            ));
            heard.expect("good").drafts
        };
        let drafts = one("record.deleted", r#","by":{"user":"u1"}"#);
        assert_eq!(drafts.iter().map(told).collect::<Vec<_>>(), ["delete contact/portal:a ∃=false 0 u1"]);
        let drafts = one("record.restored", r#","set":{"phone":"1"}"#);
        let due = ["restore contact/portal:a ∃=true 0 ", "edit contact/portal:a phone=\"1\" 0 "];
        assert_eq!(drafts.iter().map(told).collect::<Vec<_>>(), due);
        let drafts = one("record.merged", r#","absorbed":["b",9]"#);
        let other = |draft: &Draft| match &draft.detail {
            Detail::Other { record, label } => format!("{label} {record}"),
            _ => String::new(),
        };
        assert_eq!(
            drafts.iter().map(other).collect::<Vec<_>>(),
            ["merged contact/portal:b", "merged contact/portal:9"]
        );
        assert!(drafts.iter().all(|draft| draft.kind == Kind::Absorb && *draft.record == *"contact/portal:a"));
    }

    #[test]
    fn what_is_not_mapped_is_kept_and_counted() {
        let known = heard(
            r#"{"type":"record.changed","timestamp":1772366400000,"data":{"kind":"customer","id":"a","set":{"shoe":44,"phone":"1"},"tab":{"x":[1.50]}}}"#,
        );
        let known = known.expect("good");
        assert_eq!((known.unmapped, known.unmapped_fields, known.drafts.len()), (0, 1, 1));
        assert_eq!(known.drafts[0].source.as_deref(), Some(r#"{"shoe":44,"tab":{"x":[1.50]}}"#));
        let shoe = heard(
            r#"{"type":"record.changed","timestamp":1772366400000,"data":{"kind":"customer","id":"a","set":{"shoe":44}}}"#,
        );
        let shoe = shoe.expect("good").drafts;
        assert_eq!((shoe.len(), shoe[0].words.len(), shoe[0].source.as_deref()), (1, 0, Some(r#"{"shoe":44}"#)));
        let kind = heard(
            r#"{"type":"record.deleted","timestamp":1772366400000,"data":{"kind":"invoice","id":"7","set":{"sum":1}}}"#,
        )
        .expect("good");
        assert_eq!((kind.unmapped, told(&kind.drafts[0])), (1, "edit invoice/portal:7  0 ".to_owned()));
        assert_eq!(kind.drafts[0].source.as_deref(), Some(r#"{"sum":1}"#));
        let topic = heard(r#"{"type":"basket.left","data":{"kind":"customer","id":"a"}}"#).expect("good");
        assert_eq!((topic.unmapped, told(&topic.drafts[0])), (1, "edit contact/portal:a  0 ".to_owned()));
        let ping = heard(r#"{"type":"ping","data":null,"x":1}"#);
        assert_eq!(ping.err().as_deref(), Some("data is missing"));
        let ping = heard(r#"{"type":"ping","data":[]}"#).expect("good");
        assert!(ping.drafts[0].record.starts_with("message/portal:") && ping.drafts[0].words.is_empty());
    }

    #[test]
    fn a_value_that_does_not_fit_comes_in_as_it_is() {
        let heard = heard(
            r#"{"type":"record.changed","timestamp":1772366400000,"data":{"kind":"customer","id":"a","set":{"email":"nobody"}}}"#,
        );
        let heard = heard.expect("good");
        assert_eq!(
            (heard.misfits, told(&heard.drafts[0])),
            (1, r#"edit contact/portal:a email="nobody" 0 "#.to_owned())
        );
    }

    #[test]
    fn our_own_name_as_author_makes_it_an_echo() {
        let heard = heard(
            r#"{"type":"record.changed","timestamp":1772366400000,"data":{"kind":"customer","id":"a","set":{"phone":"1"},"by":{"syncline":"k1"}}}"#,
        );
        assert_eq!(heard.expect("good").drafts[0].author.kind, AuthorKind::Ours);
    }

    #[test]
    fn bad_messages_say_what_and_where() {
        let change = |change: &str| {
            format!(
                r#"{{"type":"record.changed","timestamp":1772366400000,"data":{{"changes":[{{"kind":"customer","id":"a"}},{change}]}}}}"#
            )
        };
        let long = "x".repeat(256);
        let deep = format!("{}1{}", "[".repeat(80), "]".repeat(80));
        let cases = [
            ("[]".to_owned(), "the body is not an object"),
            ("{}".to_owned(), "type is missing"),
            (r#"{"type":7}"#.to_owned(), "type is not a text"),
            (r#"{"type":"record.changed"}"#.to_owned(), "data is missing"),
            (r#"{"type":"record.changed","timestamp":"noon","data":{}}"#.to_owned(), "timestamp is not a time"),
            (change("7"), "data.changes[1] is not an object"),
            (change(r#"{"id":"a"}"#), "data.changes[1].kind is missing"),
            (change(r#"{"kind":"customer"}"#), "data.changes[1].id is missing"),
            (change(r#"{"kind":"customer","id":""}"#), "data.changes[1].id is not a name"),
            (change(&format!(r#"{{"kind":"customer","id":"{long}"}}"#)), "data.changes[1].id is not a name"),
            (
                change(&format!(r#"{{"kind":"customer","id":"{}"}}"#, &long[..250])),
                "data.changes[1].id is not an id that",
            ),
            (change(r#"{"kind":"customer","id":"a","set":[]}"#), "data.changes[1].set is not an object"),
            (change(r#"{"kind":"customer","id":"a","at":"x"}"#), "data.changes[1].at is not a time"),
            (change(r#"{"kind":"customer","id":"a","seq":-1}"#), "data.changes[1].seq is not a whole number"),
            (change(r#"{"kind":"customer","id":"a","by":"me"}"#), "data.changes[1].by is not an object"),
            (
                change(r#"{"kind":"customer","id":"a","fields":{"phone":{}}}"#),
                "data.changes[1].fields.phone.value is missing",
            ),
            (
                change(r#"{"kind":"customer","id":"a","set":{"phone":1},"fields":{"phone":{"value":2}}}"#),
                "data.changes[1].fields.phone comes twice",
            ),
            (
                change(&format!(r#"{{"kind":"customer","id":"a","set":{{"phone":{deep}}}}}"#)),
                "data.changes[1].set.phone is nested more",
            ),
            (
                r#"{"type":"record.merged","timestamp":1772366400000,"data":{"kind":"customer","id":"a"}}"#.to_owned(),
                "data.absorbed is missing",
            ),
            (
                r#"{"type":"record.changed","data":{"changes":[{"kind":"customer","id":"a"}]}}"#.to_owned(),
                "data.changes[0].at is missing, and so is timestamp",
            ),
            (
                r#"{"type":"record.deleted","timestamp":null,"data":{"kind":"customer","id":"a","at":null}}"#
                    .to_owned(),
                "data.at is missing, and so is timestamp",
            ),
        ];
        for (body, due) in cases {
            let told = heard(&body).err().unwrap_or_default();
            assert!(told.starts_with(due), "{body}: {told}");
        }
        let many = vec!["{}"; CHANGES_MAX + 1].join(",");
        let told =
            heard(&format!(r#"{{"type":"record.changed","timestamp":1772366400000,"data":{{"changes":[{many}]}}}}"#))
                .err();
        assert_eq!(told.as_deref(), Some("data.changes holds 1001, more than 1000"));
    }

    proptest! {
        #[test]
        fn any_change_is_read_or_told(
            topic in prop::sample::select(vec!["record.changed", "record.created", "record.deleted", "record.merged", "x"]),
            data in "\\{(\"(kind|id|set|at|by|fields|seq|changes)\":(\"customer\"|1|null|\\{\\}|\\[\\]|\\{\"phone\":\\{\"value\":1\\}\\}),){0,4}\"id\":\"a\"\\}",
        ) {
            if let Ok(heard) = heard(&format!(r#"{{"type":"{topic}","timestamp":1772366400000,"data":{data}}}"#)) {
                prop_assert!(heard.drafts.iter().all(|draft| draft.record.contains("portal:")));
            }
        }
    }
}

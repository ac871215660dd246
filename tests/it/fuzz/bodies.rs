//! Texts from outside: manifests, neutral lines, webhook bodies, answers.

use serde_json::value::RawValue;
use syncline::{
    capture::neutral::{self, Line, Statement},
    clock::{Hlc, Millis},
    event::{Event, Kind},
    id::TenantKey,
    manifest::Manifest,
    rulebook::EXISTENCE,
    send::chance::Chance,
    side::{
        hubspot::{
            answer::{Problem, Row, Rows, parse_time},
            heard, webhook,
        },
        portal::hook,
        translate::Translation,
    },
    value::{Value, quote},
};

use super::{
    Target,
    mutate::{mutated_text, one_of, samples},
};
use crate::hubspot_in::unlinked;

const SMALL: &str = include_str!("../../fuzz/small.yaml");
const WHOLE: &str = include_str!("../examples/portal-hubspot.yaml");

/// A manifest, as customers write it.
pub struct Manifests {
    sound: Vec<Vec<u8>>,
}

impl Target for Manifests {
    const NAME: &'static str = "manifests";
    const SHARE: u64 = 8_000;
    const BATCH: u64 = 200;

    fn new(_: &mut Chance) -> Self {
        for text in [SMALL, WHOLE] {
            Manifest::parse(text).unwrap_or_else(|faults| panic!("a good manifest, but {faults:?}"));
        }
        Manifests { sound: vec![SMALL.as_bytes().to_vec(), WHOLE.as_bytes().to_vec()] }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        let sound = if chance.below(4) == 0 { WHOLE } else { SMALL };
        if chance.below(2) == 0 {
            return mutated_text(sound, &self.sound, chance).into_bytes();
        }
        let mut lines: Vec<String> = sound.lines().map(str::to_owned).collect();
        for _ in 0..1 + chance.below(3) {
            let (at, other) = (chance.below(lines.len() as u64) as usize, chance.below(lines.len() as u64) as usize);
            match chance.below(5) {
                0 => lines[at].insert_str(0, "  "),
                1 => lines[at] = lines[at].trim_start().to_owned(),
                2 => lines.insert(at, lines[other].clone()),
                3 => lines.swap(at, other),
                _ => lines[at] = mutated_text(&lines[at].clone(), &self.sound, chance),
            }
        }
        lines.join("\n").into_bytes()
    }

    fn feed(&mut self, input: &[u8], _: &mut Chance) {
        let text = str::from_utf8(input).expect("a text");
        match Manifest::parse(text) {
            Ok(manifest) => {
                let again = Manifest::parse(&manifest.text).expect("its own text");
                assert_eq!(again.canonical(), manifest.canonical());
            }
            Err(faults) => {
                assert!(!faults.is_empty(), "refused without a reason");
                // To YAML a carriage return by itself ends a line too.
                let lines = text.replace("\r\n", "\n").split(['\n', '\r']).count();
                for fault in faults {
                    let told = fault.to_string();
                    assert!(!fault.what.is_empty() && !fault.hint.is_empty() && told.len() < 8_000, "{told}");
                    assert!((1..=lines + 1).contains(&fault.line), "{told}: there are {lines} lines");
                    assert!(fault.column >= 1, "{told}");
                    assert!(!told.chars().any(|c| c.is_control()), "{told:?}");
                }
            }
        }
    }
}

/// Lines in the neutral form.
pub struct Lines {
    sound: Vec<Vec<u8>>,
    key: TenantKey,
}

/// The line that says what a statement says.
fn line_of(said: &Statement) -> String {
    let mut members = vec![
        format!(r#""side":{}"#, quote(&said.side)),
        format!(r#""record":{}"#, quote(&said.record)),
        format!(r#""at_ms":{}"#, said.at.0),
    ];
    members.extend(said.seq.map(|seq| format!(r#""seq":{seq}"#)));
    members.extend(said.actor.as_deref().map(|actor| format!(r#""actor":{}"#, quote(actor))));
    members.extend(said.base.as_ref().map(|base| format!(r#""base":{base:?}"#)));
    let kind = said.kind.name();
    members.push(format!(r#""kind":"{kind}""#));
    let own = |name: &str| name == EXISTENCE && said.kind != Kind::Edit;
    let set = said.set.iter().filter(|(name, _)| !own(name));
    let set: Vec<String> = set.map(|(name, value)| format!("{}:{}", quote(name), value.to_json())).collect();
    members.push(format!(r#""set":{{{}}}"#, set.join(",")));
    if let Some(source) = &said.source {
        members.push(source[1..source.len() - 1].to_owned());
    }
    format!("{{{}}}", members.join(","))
}

impl Target for Lines {
    const NAME: &'static str = "neutral lines";
    const SHARE: u64 = 100_000;
    const BATCH: u64 = 2000;

    fn new(_: &mut Chance) -> Self {
        let sound = samples(include_str!("../../fuzz/neutral.jsonl"));
        for line in &sound {
            let read = neutral::parse(line).unwrap_or_else(|why| panic!("a good line, but {why}"));
            if let Some(Line::Said(said)) = read {
                let again = neutral::parse(line_of(&said).as_bytes());
                assert!(matches!(again, Ok(Some(Line::Said(_)))), "{again:?}");
            }
        }
        Lines { sound, key: TenantKey([7; 32]) }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        one_of(&self.sound, chance)
    }

    fn feed(&mut self, input: &[u8], _: &mut Chance) {
        let said = match neutral::parse(input) {
            Ok(Some(Line::Said(said))) => said,
            Ok(Some(Line::Export { tenant, key })) => {
                let shown = format!("{:?}", Line::Export { tenant, key: format!("secret {key}") });
                return assert!(!shown.contains("secret"), "{shown}");
            }
            Ok(Some(Line::Event(header, payload))) => {
                let hex = neutral::event_hex(&header, &payload);
                let again = neutral::parse(format!(r#"{{"bytes":"{hex}"}}"#).as_bytes());
                return assert!(matches!(again, Ok(Some(Line::Event(..)))), "{again:?}");
            }
            Ok(None) => return assert!(input.trim_ascii().is_empty()),
            Err(why) => return assert!(!why.to_string().is_empty()),
        };
        let line = line_of(&said);
        let Ok(Some(Line::Said(again))) = neutral::parse(line.as_bytes()) else {
            panic!("{line} is not read: {:?}", neutral::parse(line.as_bytes()).err())
        };
        let told = |said: &Statement| {
            let Statement { seq, side, record, at, actor, base, kind, set, source } = said;
            format!("{seq:?} {side} {record} {at:?} {actor:?} {base:?} {kind:?} {source:?}")
                + &set.iter().map(|(name, value)| format!(" {name}={}", value.to_json())).collect::<String>()
        };
        assert_eq!(told(&again), told(&said));
        let key = self.key.record_key(&said.record);
        let sealed = said.draft("import", &key, 1).seal(&key, Hlc(1 << 16)).expect("a line is small");
        let read = Event::read(&sealed.header, &sealed.payload, |_| self.key.record_key(&sealed.event.header.record));
        assert_eq!(read.expect("its own bytes"), sealed.event);
    }
}

const KINDS: &str = include_str!("../../fuzz/kinds.yaml");

const NOW: Millis = Millis(1_772_366_400_000);

/// What HubSpot posts.
pub struct HubSpotBodies {
    sound: Vec<Vec<u8>>,
    translation: Translation,
    key: TenantKey,
}

impl Target for HubSpotBodies {
    const NAME: &'static str = "HubSpot bodies";
    const SHARE: u64 = 60_000;
    const BATCH: u64 = 1000;

    fn new(_: &mut Chance) -> Self {
        let sound = samples(include_str!("../../fuzz/hubspot.jsonl"));
        sound.iter().for_each(|body| drop(webhook::split(body).expect("a good body")));
        HubSpotBodies { sound, translation: unlinked(KINDS, "crm"), key: TenantKey([7; 32]) }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        one_of(&self.sound, chance)
    }

    fn feed(&mut self, input: &[u8], _: &mut Chance) {
        let batch = match webhook::split(input) {
            Ok(batch) => batch,
            Err(why) => return assert!(!why.to_string().is_empty()),
        };
        let all: Vec<&RawValue> = serde_json::from_slice(input).expect("it was read");
        let read: usize = batch.accounts.iter().map(|(_, of_account)| of_account.len()).sum();
        assert_eq!(read + batch.faults.len(), all.len(), "a notification is gone");
        assert!(batch.faults.iter().all(|fault| fault.index < all.len()));
        for (portal, notifications) in &batch.accounts {
            let again = webhook::split(&webhook::join(notifications)).expect("its own bytes");
            assert!(again.faults.is_empty() && again.accounts.len() == 1 && again.accounts[0].0 == *portal);
            let written = |all: &[webhook::Notification]| webhook::join(all);
            assert_eq!(written(&again.accounts[0].1), written(notifications));
        }
        let heard = heard::read(input, &self.translation, NOW).expect("it was read");
        let own =
            batch.accounts.iter().filter(|(portal, _)| portal == "62515").map(|(_, all)| all.len()).sum::<usize>();
        assert_eq!(heard.foreign as usize, read - own);
        assert!(heard.drafts.len() + heard.rereads.len() >= usize::from(own > 0), "nothing of {own} is kept");
        for draft in heard.drafts {
            let key = self.key.record_key(&draft.record);
            let sealed = draft.seal(&key, Hlc(1 << 16)).expect("a body is small");
            let event =
                Event::read(&sealed.header, &sealed.payload, |_| self.key.record_key(&sealed.event.header.record));
            assert_eq!(event.expect("its own bytes"), sealed.event);
        }
    }
}

/// What portals post.
pub struct PortalBodies {
    sound: Vec<Vec<u8>>,
    translation: Translation,
    key: TenantKey,
}

impl Target for PortalBodies {
    const NAME: &'static str = "portal bodies";
    const SHARE: u64 = 60_000;
    const BATCH: u64 = 1000;

    fn new(_: &mut Chance) -> Self {
        let sound = samples(include_str!("../../fuzz/portal.jsonl"));
        let translation = unlinked(KINDS, "portal");
        let good = sound.iter().filter(|body| hook::read(body, &translation, NOW).is_ok()).count();
        assert!(good == sound.len(), "{good} sound samples");
        PortalBodies { sound, translation, key: TenantKey([7; 32]) }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        one_of(&self.sound, chance)
    }

    fn feed(&mut self, input: &[u8], _: &mut Chance) {
        let heard = match hook::read(input, &self.translation, NOW) {
            Ok(heard) => heard,
            Err(why) => return assert!(!why.to_string().is_empty()),
        };
        let again = hook::read(input, &self.translation, NOW).expect("it was read");
        assert_eq!((again.drafts.len(), again.unmapped), (heard.drafts.len(), heard.unmapped));
        for draft in heard.drafts {
            let key = self.key.record_key(&draft.record);
            let sealed = draft.seal(&key, Hlc(1 << 16)).expect("a body is small");
            for (_, value) in sealed.event.words() {
                assert_eq!(Value::from_canonical(value.as_bytes()).as_ref().ok(), Some(value));
            }
        }
    }
}

/// What a CRM answers to our calls.
pub struct Answers {
    sound: Vec<Vec<u8>>,
}

impl Target for Answers {
    const NAME: &'static str = "answers of a CRM";
    const SHARE: u64 = 60_000;
    const BATCH: u64 = 1000;

    fn new(_: &mut Chance) -> Self {
        let sound = samples(include_str!("../../fuzz/answers.jsonl"));
        assert_eq!(Rows::read(&sound[0]).expect("rows").rows.len(), 2);
        Answers { sound }
    }

    fn input(&mut self, chance: &mut Chance) -> Vec<u8> {
        one_of(&self.sound, chance)
    }

    fn feed(&mut self, input: &[u8], _: &mut Chance) {
        if let Some(rows) = Rows::read(input) {
            let json: serde_json::Value = serde_json::from_slice(input).expect("it was read");
            let due = json["results"].as_array().expect("it was read").len();
            assert_eq!(rows.rows.len() + rows.unread, due, "a row is gone");
        }
        if let Some(row) = Row::read(input) {
            assert!(row.properties.keys().all(|name| row.shows(name).is_some()));
        }
        let problem = Problem::read(input);
        assert!(!problem.reason().is_empty());
        assert!(problem.existing().is_none_or(|id| id.bytes().all(|byte| byte.is_ascii_digit())));
        let text: String = String::from_utf8_lossy(input).chars().take_while(|c| *c != ',').take(40).collect();
        if let Some(at) = parse_time(&text) {
            assert_eq!(parse_time(&at.0.to_string()), Some(at));
        }
    }
}

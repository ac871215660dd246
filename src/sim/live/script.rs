//! What users of both sides do, as a seed has it.

use serde_json::{Map, Value, json};

use super::{
    LiveError,
    house::{FIELDS, House, INTERESTS, Mapped, STAGES},
    ledger::{Ledger, On, set_text},
};
use crate::{
    send::chance::Chance,
    sim::{hubspot, people, people::Person, portal},
};

/// Fields, and what somebody puts there.
type Words = Vec<(&'static Mapped, String)>;

/// The users who act.
pub(super) struct Script {
    chance: Chance,
    people: Vec<Person>,
    made: usize,
    /// Times that a user saved something.
    pub edits: u64,
    /// Fields that were set by it.
    pub words: u64,
    number: u64,
}

impl Script {
    pub fn new(chance: Chance) -> Self {
        Script { chance, people: people::people(), made: 0, edits: 0, words: 0, number: 0 }
    }

    /// People on the CRM alone, on the portal alone, and on both, with the same address and not always the same else.
    pub fn fill(&mut self, house: &House, ledger: &mut Ledger, count: usize) -> Result<(), LiveError> {
        for _ in 0..count {
            let (address, words) = self.person();
            let (crm, portal) = *self.chance.pick(&[(true, false), (true, false), (false, true), (true, true)]);
            if crm {
                make(house, ledger, On::Crm, &address, &words)?;
            }
            if portal {
                let mut words = words;
                if crm && self.chance.permille(500) {
                    words[2].1 = format!("+1 555 {}", self.fresh());
                }
                make(house, ledger, On::Portal, &address, &words)?;
            }
        }
        Ok(())
    }

    fn fresh(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The next person, with an address of their own.
    fn person(&mut self) -> (String, Words) {
        let person = &self.people[self.made % self.people.len()];
        let round = self.made / self.people.len();
        self.made += 1;
        let address = format!("{}.{round}@example.com", person.id.to_lowercase());
        let values = [&person.first_name, &person.last_name, &person.phone, &person.office];
        (address, FIELDS[1..5].iter().zip(values.into_iter().cloned()).collect())
    }

    /// One user saves something.
    pub fn act(&mut self, house: &House, ledger: &mut Ledger) -> Result<(), LiveError> {
        self.edits += 1;
        // No two users save in the same millisecond: the ledger could not say who was last.
        house.tick();
        let on = *self.chance.pick(&[On::Crm, On::Portal]);
        if self.chance.permille(40) {
            let (address, words) = self.person();
            self.words += words.len() as u64 + 1;
            make(house, ledger, on, &address, &words)?;
            // Now and then somebody enters the same person on the other side meanwhile.
            if self.chance.permille(250) {
                let other = if on == On::Crm { On::Portal } else { On::Crm };
                make(house, ledger, other, &address, &words)?;
            }
            return Ok(());
        }
        let fields: Vec<&'static Mapped> = FIELDS[1..].iter().filter(|field| on == On::Crm || field.both).collect();
        let mut words = Words::new();
        for _ in 0..=self.chance.below(2) {
            let field = *self.chance.pick(&fields);
            if words.iter().all(|(known, _)| known.ours != field.ours) {
                let value = self.value(field.ours);
                words.push((field, value));
            }
        }
        let address = self.save(house, on, &mut words)?;
        self.words += words.len() as u64;
        words.into_iter().for_each(|(field, value)| ledger.note(on, &address, field.ours, value));
        Ok(())
    }

    /// Saves these words on somebody's record; those that clear what was empty before are none, and are left out.
    fn save(&mut self, house: &House, on: On, words: &mut Words) -> Result<String, LiveError> {
        match on {
            On::Crm => {
                let ids = house.account.ids("contacts");
                let id = *self.chance.pick(&ids);
                let shows = |name: &str| house.account.shows("contacts", id, name).unwrap_or_default();
                words.retain(|(field, value)| !value.is_empty() || !shows(field.crm).is_empty());
                let set: Vec<(&str, &str)> = words.iter().map(|(field, value)| (field.crm, value.as_str())).collect();
                // Colleagues are not alone: another app writes too.
                let by = if self.chance.permille(150) { hubspot::By::app(90_210) } else { hubspot::By::user(7) };
                house.account.edit("contacts", id, &set, &by).map_err(user)?;
                Ok(shows("email"))
            }
            On::Portal => {
                let ids = house.portal.ids("customer");
                let id = self.chance.pick(&ids).clone();
                let shows = |name: &str| house.portal.shows("customer", &id, name).unwrap_or_default();
                let is_empty = |field: &Mapped| match shows(field.portal) {
                    Value::Array(elements) => elements.is_empty(),
                    shown => shown.as_str().is_none_or(str::is_empty),
                };
                words.retain(|(field, value)| !value.is_empty() || !is_empty(field));
                let set = portal_set(words);
                house.portal.edit("customer", &id, set.into(), &portal::By::user("ana")).map_err(user)?;
                Ok(shows("email").as_str().unwrap_or_default().to_owned())
            }
        }
    }

    fn value(&mut self, field: &str) -> String {
        match field {
            "stage" => (*self.chance.pick(&STAGES)).to_owned(),
            "interests" => {
                let some = self.chance.below(1 << INTERESTS.len());
                set_text(INTERESTS.iter().enumerate().filter(|(at, _)| some >> at & 1 == 1).map(|(_, name)| *name))
            }
            // Some values are cleared.
            "address" | "job" if self.chance.permille(60) => String::new(),
            "phone" => format!("+1 555 {}", self.fresh()),
            "notes" => format!("Called about offer {}.\nWants an answer.", self.fresh()),
            _ => format!("{field} {}", self.fresh()),
        }
    }
}

fn user(why: impl std::fmt::Display) -> LiveError {
    LiveError::User(why.to_string())
}

fn make(
    house: &House,
    ledger: &mut Ledger,
    on: On,
    address: &str,
    words: &[(&'static Mapped, String)],
) -> Result<(), LiveError> {
    match on {
        On::Crm => {
            let mut set: Vec<(&str, &str)> = vec![("email", address)];
            set.extend(words.iter().map(|(field, value)| (field.crm, value.as_str())));
            house.account.create("contacts", &set, &hubspot::By::user(7)).map_err(user)?;
        }
        On::Portal => {
            let mut set = portal_set(words);
            set.insert("email".to_owned(), json!(address));
            house.portal.create("customer", set.into(), &portal::By::user("ana"));
        }
    }
    ledger.note(on, address, "email", address.to_owned());
    for (field, value) in words {
        ledger.note(on, address, field.ours, value.clone());
    }
    Ok(())
}

/// Values as a portal has them: JSON, with null for nothing.
fn portal_set(words: &[(&'static Mapped, String)]) -> Map<String, Value> {
    let value = |field: &Mapped, text: &str| match field.ours {
        "interests" => json!(text.split(';').filter(|one| !one.is_empty()).collect::<Vec<_>>()),
        _ if text.is_empty() => Value::Null,
        _ => json!(text),
    };
    words.iter().map(|(field, text)| (field.portal.to_owned(), value(field, text))).collect()
}

//! Contacts to play with.

use super::{account::Account, book::By};
use crate::sim::people;

impl Account {
    /// Adds so many contacts, of real people; no webhook tells.
    pub fn people(&self, count: usize) {
        let people = people::people();
        for (number, person) in (0..count).zip(people.iter().cycle()) {
            let round = number / people.len();
            let address = match round {
                0 => format!("{}@example.com", person.id.to_lowercase()),
                _ => format!("{}.{round}@example.com", person.id.to_lowercase()),
            };
            let set = [
                ("email", address.as_str()),
                ("firstname", &person.first_name),
                ("lastname", &person.last_name),
                ("phone", &person.phone),
                ("address", &person.office),
                ("state", &person.state),
                ("website", &person.website),
            ];
            let set = set.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            // An address that is there already is left as it is, so that the same call may be repeated.
            if self.create_at("contacts", set, &By::other("IMPORT", Some("people")), None, true).is_err() {
                continue;
            }
        }
    }
}

//! What a principal may see and say, by the manifest in force now.
//!
//! Rows are judged by what records are *now*, whatever position is read: whoever has lost a record has lost its past too,
//! and whoever has gained one has gained it. A role's field is a field that one of its patterns covers; that a record
//! exists, was deleted or restored is told under the name `existence`, which `KIND.*` covers and `KIND.existence` names.

use std::sync::Arc;

use super::{Principal, Who, shown_name};
use crate::{
    engine::{Engine, EngineError},
    event::Author,
    id::{FieldName, RecordId},
    manifest::{Connector, Manifest, Role, Rows},
    merge::Record,
    rulebook::EXISTENCE,
    value::{Value, View, compare_numbers},
};

/// What a principal may see and say.
pub(super) enum Permit {
    /// Everything.
    All,
    /// What a role allows to the person in it.
    Some(Limited),
}

/// What a role allows to the person in it.
pub(super) struct Limited {
    manifest: Arc<Manifest>,
    role: Box<str>,
    /// With the records' present names.
    who: Who,
}

/// A record's present name, whatever name it is called by.
///
/// Where that cannot be found out it is no name of any record, so that nothing is reached by mistake.
fn canonical(engine: &Engine, record: &RecordId) -> Option<RecordId> {
    let found = engine.canonical(record);
    found.inspect_err(|why| tracing::error!(why = why as &dyn std::error::Error, "an alias cannot be read")).ok()
}

impl Permit {
    pub fn of(engine: &Engine, principal: &Principal) -> Result<Permit, EngineError> {
        let Some((role, who)) = principal.role() else { return Ok(Permit::All) };
        let present = |record: &Option<RecordId>| record.as_ref().and_then(|record| canonical(engine, record));
        let who = Who { user: who.user.clone(), contact: present(&who.contact), company: present(&who.company) };
        Ok(Permit::Some(Limited { manifest: engine.manifest()?, role: role.into(), who }))
    }

    /// What a role allows; `None`: everything is allowed.
    pub fn limits(&self) -> Option<&Limited> {
        match self {
            Permit::All => None,
            Permit::Some(limited) => Some(limited),
        }
    }

    /// Whether the field of a record that is reached may be read.
    pub fn reads(&self, kind: &str, field: &FieldName) -> bool {
        self.limits().is_none_or(|limited| limited.reads(kind, field))
    }

    /// Whether all fields of a kind may be read, also those that the manifest does not name; then also what events say
    /// besides fields: links, reasons, the keys of writes.
    pub fn reads_all(&self, kind: &str) -> bool {
        let Some(role) = self.limits().map(Limited::role) else { return true };
        role.is_some_and(|role| role.read.iter().any(|pattern| pattern.field.is_none() && pattern.is_of(kind)))
    }

    /// Whether the record is there for the principal, `record` being what it is now.
    pub fn sees(&self, engine: &Engine, id: &RecordId, record: &Record) -> bool {
        self.limits()
            .is_none_or(|limited| limited.reads_some(id.kind()) && limited.reaches(engine, id, &values(record)))
    }

    /// Whether the record is there for the principal, for records whose state cannot be read.
    pub fn sees_unread(&self, engine: &Engine, id: &RecordId) -> bool {
        self.sees(engine, id, &Record::default())
    }

    /// Takes the fields out that may not be read.
    pub fn trim(&self, kind: &str, record: &mut Arc<Record>) {
        if let Permit::Some(limited) = self {
            Arc::make_mut(record).fields.retain(|field| limited.reads(kind, &field.name));
        }
    }

    /// An author as the principal may know it: other people's records are not named.
    pub fn author(&self, engine: &Engine, author: &Author) -> Author {
        let Permit::Some(limited) = self else { return author.clone() };
        let known = |name: &Option<Box<str>>| name.clone().filter(|name| limited.may_name(engine, name));
        Author { contact: known(&author.contact), company: known(&author.company), ..author.clone() }
    }

    /// Whether the principal may be told of another record.
    pub fn may_name(&self, engine: &Engine, record: &str) -> bool {
        self.limits().is_none_or(|limited| limited.may_name(engine, record))
    }
}

/// A record's values by field.
pub(super) fn values(record: &Record) -> impl Fn(&str) -> Option<Value> {
    |field| record.field(field).map(|field| field.value().clone())
}

impl Limited {
    fn role(&self) -> Option<&Role> {
        self.manifest.permissions.get(&*self.role)
    }

    fn reads(&self, kind: &str, field: &FieldName) -> bool {
        self.role().is_some_and(|role| role.may_read(kind, &shown_name(field)))
    }

    fn reads_some(&self, kind: &str) -> bool {
        self.role().is_some_and(|role| role.read.iter().any(|pattern| pattern.is_of(kind)))
    }

    /// Whether the field of a record that is reached may be written.
    pub fn writes(&self, kind: &str, field: &FieldName) -> bool {
        self.role().is_some_and(|role| role.may_write(kind, &shown_name(field)))
    }

    /// Whether any field of the kind may be written.
    pub fn writes_some(&self, kind: &str) -> bool {
        self.role().is_some_and(|role| role.write.iter().any(|pattern| pattern.is_of(kind)))
    }

    /// Whether the record, with these values, is among the role's rows.
    pub fn reaches(&self, engine: &Engine, id: &RecordId, values: &dyn Fn(&str) -> Option<Value>) -> bool {
        let Some(id) = canonical(engine, id) else { return false };
        let Some(rows) = self.role().and_then(|role| role.rows(id.kind())) else { return false };
        let is = |own: &Option<RecordId>| own.as_ref() == Some(&id);
        let of_kind = |own: &Option<RecordId>| own.as_ref().is_some_and(|own| own.kind() == id.kind());
        let points_to = |own: &Option<RecordId>| own.as_ref().is_some_and(|own| self.points(engine, &id, values, own));
        match rows {
            Rows::All => true,
            Rows::Own if of_kind(&self.who.contact) => is(&self.who.contact),
            Rows::Own if of_kind(&self.who.company) => is(&self.who.company),
            Rows::Own => points_to(&self.who.contact),
            Rows::Company if of_kind(&self.who.company) => is(&self.who.company),
            Rows::Company => points_to(&self.who.company),
            Rows::Where(conditions) => conditions
                .iter()
                .all(|(field, among)| values(field).is_some_and(|value| among.iter().any(|one| is_same(one, &value)))),
        }
    }

    /// Whether one of the record's references leads to `target`.
    fn points(
        &self,
        engine: &Engine,
        id: &RecordId,
        values: &dyn Fn(&str) -> Option<Value>,
        target: &RecordId,
    ) -> bool {
        let Some(kind) = self.manifest.kind(id.kind()) else { return false };
        let references = kind.fields.iter().filter(|(_, field)| field.spec.kind.refers_to() == Some(target.kind()));
        let leads = |value: &Value| {
            let named = value.as_text().and_then(|text| RecordId::new(text).ok());
            named.and_then(|named| canonical(engine, &named)).is_some_and(|named| named == *target)
        };
        references.filter_map(|(name, _)| values(name)).any(|value| match value.view() {
            View::List(elements) => elements.into_iter().any(|element| leads(&element)),
            _ => leads(&value),
        })
    }

    fn may_name(&self, engine: &Engine, record: &str) -> bool {
        let Ok(id) = RecordId::new(record) else { return false };
        let Some(present) = canonical(engine, &id) else { return false };
        if [&self.who.contact, &self.who.company].into_iter().flatten().any(|own| *own == present) {
            return true;
        }
        let found = engine.peek_record(&id).ok().flatten();
        found.is_some_and(|(record, _)| self.reads_some(id.kind()) && self.reaches(engine, &id, &values(&record)))
    }

    /// Whether the person may speak for a side: what only a CRM's own API says, no role can say.
    pub fn speaks_for(&self, side: &str) -> bool {
        let spoken_for = [Connector::None, Connector::Portal, Connector::InProcess];
        self.manifest.side(side).is_some_and(|side| spoken_for.contains(&side.connector))
    }
}

/// Numbers are the same by their value, all else by what was written.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a.view(), b.view()) {
        (View::Number(a), View::Number(b)) => compare_numbers(a, b).is_eq(),
        _ => a == b,
    }
}

/// Whether a field's name is the register of existence.
pub(super) fn is_existence(field: &FieldName) -> bool {
    **field == *EXISTENCE
}

//! Translation between a side's names and values and ours, shared by all dialects.
//!
//! A side calls kinds and fields by its own names and writes values in its own forms; the manifest says which. Coming in, a value
//! is brought to *the normal form* of its field's type ([`normal`]), so that two spellings of one thing are one value: the engine
//! compares values byte by byte, and every echo would look like an edit otherwise.
//!
//! | type | normal form |
//! |---|---|
//! | every | an empty text, an empty list and an empty set are null: the cleared field, which sides do not tell apart |
//! | integer, decimal, counter | plain digits, no sign `+`, no zeros in front or at the end of a fraction: `1.50` is `1.5` |
//! | date | `YYYY-MM-DD`; an instant counts only if it is midnight, UTC |
//! | datetime | RFC 3339 in UTC, cut to whole milliseconds, `Z` |
//! | set | ascending, each element once |
//! | reference | the id of the record that the side's own id stands for |
//! | references | the same, ascending, each once |
//! | string, email, long_text, choice, list, any | as written; numbers in a list as above |
//!
//! A value that does not fit its type comes in as it is, with the [`Misfit`] beside it: what a side shows is true of that side.
//! Going out, the same way back: what goes out in normal form comes back the same. A value that would not is
//! [`Unsaid`], not bent. Two things a side keeps less exactly than we do, and then its own value comes back: instants on a side
//! that counts seconds, and, on a side that knows only texts, a field of `type: any` that holds something else.

mod date;
mod hear;
mod number;
mod say;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use crate::{
    event::Origin,
    field::{Form, Misfit},
    id::{FieldName, NameError, RecordId, SideName},
    manifest::{ANY, Connector, Field, Manifest},
    rulebook::EXISTENCE,
    side::{Links, hubspot::object},
    value::Value,
};

pub use hear::normal;
pub use say::Unsaid;

/// What a side said of one field, in our terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The value, in normal form where it fits.
    pub value: Value,
    /// Why it does not fit the field's type; the value is then as the side wrote it.
    pub misfit: Option<Misfit>,
}

/// The names and forms of one side, by one manifest. Cheap to clone.
#[derive(Clone)]
pub struct Translation {
    manifest: Arc<Manifest>,
    side: SideName,
    links: Arc<dyn Links>,
    /// The one spelling of the side's name for a kind, where it has several.
    spell: fn(&str) -> &str,
}

impl fmt::Debug for Translation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translation").field("tenant", &self.manifest.tenant).field("side", &self.side).finish()
    }
}

impl Translation {
    /// The names and forms of a side; a side that the manifest does not have goes by our own.
    pub fn new(manifest: Arc<Manifest>, side: SideName, links: Arc<dyn Links>) -> Self {
        let is_hubspot = manifest.side(&side).is_some_and(|side| side.connector == Connector::Hubspot);
        let spell: fn(&str) -> &str = if is_hubspot { object::plural } else { |name| name };
        Translation { manifest, side, links, spell }
    }

    /// The side.
    pub fn side(&self) -> &SideName {
        &self.side
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The kinds that the manifest names and the side has, with the side's name for each.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.manifest.records.iter().filter(|(kind, _)| *kind != ANY);
        named.filter_map(|(kind, spec)| Some((kind.as_str(), spec.name_on(&self.side, kind)?)))
    }

    /// Our kind for what the side calls `theirs`, by any of the names it has for it there.
    pub fn kind_of<'a>(&'a self, theirs: &'a str) -> Option<&'a str> {
        // A record's kind ends where its id's first slash is.
        let theirs = Some((self.spell)(theirs)).filter(|theirs| !theirs.is_empty() && !theirs.contains('/'))?;
        let named = self.kinds().find(|(_, name)| (self.spell)(name) == theirs).map(|(kind, _)| kind);
        named.or_else(|| self.manifest.kind_named(&self.side, theirs).map(|(kind, _)| kind))
    }

    /// The side's name for our kind; `None` where it has no such records.
    pub fn type_of<'a>(&'a self, kind: &'a str) -> Option<&'a str> {
        self.manifest.kind(kind)?.name_on(&self.side, kind)
    }

    /// Our field for what the side calls `theirs`; `None` where the manifest has no such field.
    pub fn field_of(&self, kind: &str, theirs: &str) -> Option<FieldName> {
        let (own, _) = self.manifest.kind(kind)?.field_named(&self.side, theirs)?;
        // Existence is a register of the engine's own: no side may set it by a field of that name.
        FieldName::new(own).ok().filter(|own| **own != *EXISTENCE)
    }

    /// The side's name for our field; `None` where the side does not show it.
    pub fn name_of<'a>(&'a self, kind: &str, field: &'a str) -> Option<&'a str> {
        self.manifest.whole_field(kind, field)?.spec.name_on(&self.side, field)
    }

    /// The fields of a kind that the manifest names and the side shows, with the side's name for each.
    pub fn fields(&self, kind: &str) -> impl Iterator<Item = (&FieldName, &str)> {
        let fields = self.manifest.kind(kind).into_iter().flat_map(|kind| &kind.fields);
        let named = fields.filter(|(own, _)| ***own != *ANY);
        named.filter_map(|(own, field)| Some((own, field.spec.name_on(&self.side, own)?)))
    }

    /// The record that the side's own id stands for, whatever it is linked with.
    ///
    /// # Errors
    /// If the id cannot be part of a record's name.
    pub fn record(&self, kind: &str, link: &str) -> Result<RecordId, NameError> {
        RecordId::on_side(kind, &self.side, link)
    }

    /// The origin of what the side says of the record that it knows by this id.
    pub fn origin(&self, link: &str) -> Origin {
        Origin { side: self.side.clone(), link: Some(link.into()), node: None }
    }

    /// What a side that writes every value as a text says of a field, as HubSpot does; `None` and an empty text clear it.
    ///
    /// Dates may also be milliseconds since 1970, whatever the form; lists and sets are joined by `;`.
    pub fn hear_text(&self, kind: &str, field: &str, text: Option<&str>) -> Heard {
        hear::text(self, self.manifest.whole_field(kind, field), text.unwrap_or_default())
    }

    /// What a side that writes JSON says of a field.
    pub fn hear_json(&self, kind: &str, field: &str, value: &Value) -> Heard {
        hear::json(self, self.manifest.whole_field(kind, field), value)
    }

    /// Our value as a side writes it that has only texts; an empty text clears the field.
    ///
    /// # Errors
    /// If the side could not give it back the same.
    pub fn say_text(&self, kind: &str, field: &str, value: &Value) -> Result<String, Unsaid> {
        say::text(self, self.manifest.whole_field(kind, field), value)
    }

    /// Our value as a side writes it in JSON.
    ///
    /// # Errors
    /// If the side could not give it back the same.
    pub fn say_json(&self, kind: &str, field: &str, value: &Value) -> Result<Value, Unsaid> {
        say::json(self, self.manifest.whole_field(kind, field), value)
    }

    /// What a side shows after our write, in the spelling that was sent if it means the same there.
    ///
    /// For receipts: what the engine holds may be in another spelling than the normal one, said by an import or a program.
    pub fn as_sent(&self, kind: &str, field: &str, sent: &Value, shown: &Value) -> Value {
        let there = |value: &Value| match self.is_textual() {
            true => self.say_text(kind, field, value).ok().map(|text| Value::text(&text)),
            false => self.say_json(kind, field, value).ok(),
        };
        let same = sent == shown || there(sent).is_some_and(|sent| there(shown) == Some(sent));
        if same { sent.clone() } else { shown.clone() }
    }

    /// Whether the side has only texts for values.
    fn is_textual(&self) -> bool {
        self.manifest.side(&self.side).is_some_and(|side| side.connector == Connector::Hubspot)
    }

    fn form<'a>(&self, field: &'a Field) -> Option<&'a Form> {
        field.forms.get(&self.side)
    }
}

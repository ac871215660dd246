//! References: records that other records name in their fields.
//!
//! A side names a record by its own id, and that is what its statements say for ever: what was said does not change when
//! two records are linked or parted. What it *means* does. So a word is brought to canonical ids whenever it enters a
//! record, two ids of one record are one element of a set, and whoever names a record is resolved anew when that record
//! is linked, parted or merged. What is written to a side names records by the side's own ids again.

use std::collections::BTreeSet;

use super::{Engine, EngineError, core::Core, identity::Cluster};
use crate::{
    event::Event,
    id::{FieldName, RecordId, SideName},
    log::Log,
    manifest::{Manifest, RecordKind},
    merge::{Heard, Record, record::SideState},
    projection::{self, Plan, Put},
    rulebook::EXISTENCE,
    value::{Value, View},
};

/// What the index of values has before the id of a record that is named.
const NAMED: &[u8] = b"\x01named\x01";

impl Core {
    /// Notes which kinds have fields that name records.
    pub fn note_referring(&mut self) {
        self.referring = referring(&self.manifest).cloned().collect();
    }

    /// Whether a field of a kind names records.
    fn is_reference(&self, kind: &str, field: &FieldName) -> bool {
        self.book.newest().field(kind, field).is_some_and(|spec| refers(&spec.kind))
    }

    fn may_refer(&self, kind: &str) -> bool {
        !self.referring.is_empty() && (self.referring.contains(kind) || self.referring.contains(crate::rulebook::ANY))
    }

    /// Notes whom an event names, so that its record is resolved anew when one of them is linked or parted; false: nobody.
    pub fn note_named(&self, event: &Event) -> Result<bool, EngineError> {
        let record = &event.header.record;
        let mut names = false;
        if !self.may_refer(record.kind()) {
            return Ok(false);
        }
        for (_, value) in event.words().filter(|(field, _)| self.is_reference(record.kind(), field)) {
            for id in ids(value) {
                self.store.put_match(&[NAMED, id.as_bytes()].concat(), record, true)?;
                names = true;
            }
        }
        Ok(names)
    }

    /// Brings the references of an event to canonical ids: what it means now.
    pub fn understand(&self, event: &mut Event) -> Result<(), EngineError> {
        let kind = event.header.record.kind();
        if !self.may_refer(kind) {
            return Ok(());
        }
        for (field, value) in event.header.fields.iter().zip(&mut event.payload.values) {
            if self.is_reference(kind, field) {
                *value = self.meant(value)?;
            }
        }
        Ok(())
    }

    /// As [`Core::understand`], for a field's value alone.
    pub fn understood(&self, kind: &str, field: &FieldName, value: &Value) -> Result<Value, EngineError> {
        if self.may_refer(kind) && self.is_reference(kind, field) { self.meant(value) } else { Ok(value.clone()) }
    }

    /// As [`Core::understand`], for all events of a record.
    pub fn understand_all(&self, events: &mut [Heard]) -> Result<(), EngineError> {
        events.iter_mut().try_for_each(|heard| self.understand(&mut heard.event))
    }

    fn meant(&self, value: &Value) -> Result<Value, EngineError> {
        changed(value, &mut |id| Ok(Some(self.canonical(id)?)))
            .map(|changed| changed.expect("every id stands for a record"))
    }

    /// Resolves the records anew that name one of these.
    pub fn refold_referring(&mut self, log: &Log, clusters: &[Cluster]) -> Result<(), EngineError> {
        if self.referring.is_empty() {
            return Ok(());
        }
        let mut referring = BTreeSet::new();
        for id in clusters.iter().flatten() {
            for record in self.store.matches(&[NAMED, id.as_bytes()].concat())? {
                referring.insert(self.canonical(&record)?);
            }
        }
        for record in referring {
            // What was noted outlives a crash that the event behind it did not.
            if !self.hold(&record)?.line.is_empty() {
                self.refold_one(log, &record)?;
            }
        }
        Ok(())
    }

    /// Puts the references of a plan into the side's own ids. A field that names a record which the side does not have
    /// yet waits for it; where a record has to have that field, all of the record waits.
    pub fn refer(
        &self,
        record: &RecordId,
        state: &Record,
        side: &SideName,
        plan: &mut Plan,
    ) -> Result<(), EngineError> {
        if !self.may_refer(record.kind()) || !self.has_own_ids(side) {
            return Ok(());
        }
        let makes = plan.makes();
        let mut waits = false;
        let mut puts = Vec::with_capacity(plan.puts.len());
        for mut put in std::mem::take(&mut plan.puts) {
            if *put.field == *EXISTENCE || !self.is_reference(record.kind(), &put.field) {
                puts.push(put);
                continue;
            }
            match changed(&put.value, &mut |id| self.own_id(id, side))? {
                Some(value) => {
                    put.value = value;
                    puts.push(put);
                }
                None => waits |= makes && self.is_required(record.kind(), &put.field),
            }
        }
        let bare = makes && puts.len() == 1 && state.field(EXISTENCE).is_none();
        plan.puts = if waits || bare { Vec::new() } else { puts };
        Ok(())
    }

    /// What a side was last known to show of the fields to be written that name several records.
    pub fn shown_references(&self, kind: &str, state: Option<&SideState>, puts: &[Put]) -> Vec<(FieldName, Value)> {
        let several = |field: &FieldName| {
            let spec = self.book.newest().field(kind, field);
            spec.is_some_and(|spec| refers(&spec.kind) && spec.kind.is_set())
        };
        let shown = |put: &Put| Some((put.field.clone(), state?.shown(&put.field)?.newest.clone()?));
        puts.iter().filter(|put| several(&put.field)).filter_map(shown).collect()
    }

    fn is_required(&self, kind: &str, field: &FieldName) -> bool {
        self.manifest.whole_field(kind, field).is_some_and(|field| field.required)
    }

    /// A record by the id that the side has for it; `None`: the side does not have it yet.
    fn own_id(&self, id: &RecordId, side: &SideName) -> Result<Option<RecordId>, EngineError> {
        let state = self.peek(id)?;
        let known = state.as_ref().and_then(|state| state.side(side));
        if let Some(link) = known.filter(|known| known.link.is_some() || projection::exists_on(Some(known))) {
            let link = link.link.as_deref().and_then(|link| RecordId::on_side(id.kind(), side, link).ok());
            return Ok(Some(link.unwrap_or_else(|| id.clone())));
        }
        // A record of the side's own that we have not heard of otherwise, or of a kind that we do not share.
        Ok(id.side_and_link().is_some_and(|(of, _)| *of == **side).then(|| id.clone()))
    }
}

impl Engine {
    /// Brings the references of a record's events to canonical ids: what they mean now.
    pub(crate) fn understand_all(&self, events: &mut [Heard]) -> Result<(), EngineError> {
        // Nobody waits for the core where nothing can name a record.
        if referring(&*self.manifest()?).next().is_none() {
            return Ok(());
        }
        self.core()?.understand_all(events)
    }
}

/// The kinds with fields that name records.
fn referring(manifest: &Manifest) -> impl Iterator<Item = &String> {
    let refers = |kind: &RecordKind| kind.fields.values().any(|field| refers(&field.spec.kind));
    manifest.records.iter().filter(move |(_, kind)| refers(kind)).map(|(name, _)| name)
}

fn refers(kind: &crate::field::FieldType) -> bool {
    kind.refers_to().is_some()
}

/// The records that a value names; a text that is no id names none.
fn ids(value: &Value) -> Vec<RecordId> {
    let id = |value: &Value| value.as_text().and_then(|text| RecordId::new(text).ok());
    match value.view() {
        View::List(elements) => elements.filter_map(|element| id(&element)).collect(),
        _ => id(value).into_iter().collect(),
    }
}

/// The value with other ids in place of those that it names, a list ascending and each once; `None` if one has no other.
fn changed(
    value: &Value,
    other: &mut dyn FnMut(&RecordId) -> Result<Option<RecordId>, EngineError>,
) -> Result<Option<Value>, EngineError> {
    let mut one = |value: &Value| match value.as_text().and_then(|text| RecordId::new(text).ok()) {
        Some(id) => Ok::<_, EngineError>(other(&id)?.map(|id| Value::text(&id))),
        None => Ok(Some(value.clone())),
    };
    let View::List(elements) = value.view() else { return one(value) };
    let mut changed = BTreeSet::new();
    for element in elements {
        let Some(element) = one(&element)? else { return Ok(None) };
        changed.insert(element);
    }
    Ok(Some(Value::list(&changed)))
}

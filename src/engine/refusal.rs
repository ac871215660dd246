//! What becomes of an edit whose write a side refused.

use super::core::Core;
use crate::{
    clock::Millis,
    event::{Author, Detail, Draft, Kind, Origin},
    id::{FieldName, SideName},
    manifest::RefusalRule,
    merge::Record,
    rulebook::{EXISTENCE, PERSON},
    send::Write,
    value::Value,
};

impl Core {
    /// The decision that gives fields back to what the side shows that refused them, where the manifest says so.
    ///
    /// It repeats the side's words only if they are about these fields alone: `blamed` are those that it named. What else it
    /// may have said, of a record that is in the way perhaps, is not for everybody who may read the field.
    ///
    /// A record that was not made, or not deleted, shows nothing that could stand instead, and what was decided already is
    /// not decided anew: both wait for a person. The edit stays in the story with what became of it.
    pub fn given_back(
        &self,
        write: &Write,
        state: &Record,
        refused: &Draft,
        blamed: &[FieldName],
        now: Millis,
    ) -> Option<Draft> {
        let kind = self.manifest.kind(refused.record.kind())?;
        if kind.refusals != RefusalRule::GivenBack || write.create || write.delete {
            return None;
        }
        let Detail::Fate { reason, .. } = &refused.detail else { return None };
        let shown = |field: &FieldName| state.side(&write.side)?.shown(field)?.newest.clone();
        let is_undecided = |field: &FieldName| {
            let candidates = state.field(field).map_or(&[] as &[_], |field| &field.candidates);
            **field != *EXISTENCE && candidates.iter().all(|candidate| *candidate.origin.side != *PERSON)
        };
        let fields: Vec<&FieldName> =
            refused.words.iter().map(|(field, _)| field).filter(|field| is_undecided(field)).collect();
        if fields.is_empty() {
            return None;
        }
        let origin = Origin::side(SideName::new(PERSON).expect("a good name"));
        let mut draft = Draft::new(Kind::Decide, refused.record.clone(), origin, now, Author::engine());
        let candidates = fields.iter().filter_map(|field| state.field(field)).flat_map(|field| &field.candidates);
        draft.seen = Some(candidates.map(|candidate| candidate.said).collect());
        draft.words =
            fields.into_iter().map(|field| (field.clone(), shown(field).unwrap_or_else(Value::null))).collect();
        let is_about_these =
            !blamed.is_empty() && blamed.iter().all(|field| draft.words.iter().any(|(name, _)| name == field));
        let why = if is_about_these { format!(": {reason}") } else { String::new() };
        draft.detail = Detail::Reason(format!("{} refused it{why}", write.side));
        Some(draft)
    }
}

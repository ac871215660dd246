//! Which ids are one record: what people and rules say of it, and what may be made on a side that does not have it yet.
//!
//! A record that a side does not have is made there only once all that the side has is known, and only if nothing there
//! could be the same. What could be waits: as a link where the manifest lets a certain match count, else for a person.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use super::{
    Engine, EngineError, Said,
    core::Core,
    identity::Cluster,
    outbox::{Row, origin_of},
};
use crate::{
    clock::Millis,
    event::{Author, Detail, Draft, Kind, Origin},
    id::{FieldName, RecordId, Seq, SideName},
    manifest::{self, LinkRule, MadeFor},
    merge::{Existence, Field, Record},
    projection,
    rulebook::{ANY, EXISTENCE, PERSON},
    side::Links,
    state::TieKind,
    value::{Value, View},
};

/// One id of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkView {
    /// The record under which the side's statements stand.
    pub record: RecordId,
    /// The side; `None` for an id that is no side's own.
    pub side: Option<SideName>,
    /// The side's own id.
    pub link: Option<String>,
    /// Whether it is the one that the side's writes go to.
    pub current: bool,
}

/// A record that a side may have already, under another id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// The record.
    pub record: RecordId,
    /// The side that does not have it.
    pub side: SideName,
    /// What that side has and what could be the same, ascending.
    pub candidates: Vec<RecordId>,
    /// The fields in which they are alike.
    pub on: Vec<FieldName>,
    /// Whether there is one candidate, alike in all that both have, and nothing else is like either.
    pub certain: bool,
}

/// Records that one side has more than once, as far as the fields tell by which records are matched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Twins {
    /// The side.
    pub side: SideName,
    /// The field in which they are alike.
    pub on: FieldName,
    /// The records, ascending.
    pub records: Vec<RecordId>,
}

/// Whether a record may be made on a side.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Making {
    /// It may.
    Free,
    /// Not everything that the side has is known.
    Unpopulated,
    /// It lacks a field that a record has to have, which is perhaps only not told yet.
    Lacking,
    /// Something there could be the same.
    Like(Suggestion),
    /// It may be what a write of ours, of which nothing is known yet, has made of another record.
    Ours,
}

/// A field by which records are matched, and its value as the index has it.
pub(super) type MatchKey = (FieldName, Vec<u8>);

/// A record that is like another, and the fields in which it is.
type Alike = (RecordId, Arc<Record>, BTreeSet<FieldName>);

impl Core {
    /// The record under which a statement about a side is made: the side's own, where the record is linked with it.
    pub fn stream(&self, record: &RecordId, side: &SideName, link: Option<&str>) -> Result<RecordId, EngineError> {
        let own = self.stream_of(record, side, link);
        Ok(if self.canonical(&own)? == self.canonical(record)? { own } else { record.clone() })
    }

    /// The side's own record where it names records by ids of its own and this one is known, else the one that is asked about.
    pub fn stream_of(&self, record: &RecordId, side: &SideName, link: Option<&str>) -> RecordId {
        let own = link.filter(|_| self.has_own_ids(side));
        own.and_then(|link| RecordId::on_side(record.kind(), side, link).ok()).unwrap_or_else(|| record.clone())
    }

    /// Whether a side names records by ids of its own.
    pub fn has_own_ids(&self, side: &str) -> bool {
        self.book.newest().sides.get(side).is_some_and(|spec| spec.own_ids)
    }

    /// Keeps the index of values by which records are matched; records that bear a value gained or lost are looked at again.
    ///
    /// What is gained is there at once. What is lost stays until the checkpoint: the event that took it may never be on disk.
    pub fn note_matches(&mut self, id: &RecordId, before: &[MatchKey], after: &[MatchKey]) -> Result<(), EngineError> {
        let lost = before.iter().filter(|key| !after.contains(key)).map(|key| (false, key));
        let gained = after.iter().filter(|key| !before.contains(key)).map(|key| (true, key));
        for (bears, (_, key)) in lost.chain(gained) {
            let entry = (key.clone(), id.clone());
            match bears {
                true => {
                    self.lost_matches.remove(&entry);
                    self.store.put_match(key, id, true)?;
                }
                false => drop(self.lost_matches.insert(entry)),
            }
            for other in self.store.matches(key)? {
                let other = self.canonical(&other)?;
                self.touched.insert(other);
            }
        }
        Ok(())
    }

    /// Strikes out of the index what was lost, by events that are on disk.
    pub fn strike_matches(&mut self) -> Result<(), EngineError> {
        for (key, id) in &self.lost_matches {
            self.store.put_match(key, id, false)?;
        }
        self.lost_matches.clear();
        Ok(())
    }

    /// The values by which a record is matched, the most telling field first.
    pub fn match_keys(&self, id: &RecordId, record: &Record) -> Vec<MatchKey> {
        let Some(kind) = self.manifest.kind(id.kind()).filter(|_| record.existence != Existence::Deleted) else {
            return Vec::new();
        };
        let key = |field: &FieldName| {
            let plain = plain(record.field(field)?.value())?;
            Some((field.clone(), [id.kind(), &**field, &plain].join("\0").into_bytes()))
        };
        kind.match_on.iter().filter_map(key).collect()
    }

    /// The other records that are like this one in a field by which they are matched, with the fields.
    fn alike(&self, id: &RecordId, record: &Record) -> Result<Vec<Alike>, EngineError> {
        let mut found: Vec<Alike> = Vec::new();
        for (field, key) in self.match_keys(id, record) {
            for other in self.store.matches(&key)? {
                let other = self.canonical(&other)?;
                if other == *id {
                    continue;
                }
                if let Some((_, _, on)) = found.iter_mut().find(|(known, _, _)| *known == other) {
                    on.insert(field.clone());
                    continue;
                }
                let Some(state) = self.peek(&other)? else { continue };
                if self.match_keys(&other, &state).iter().any(|(_, theirs)| *theirs == key) {
                    found.push((other, state, BTreeSet::from([field.clone()])));
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// Whether someone has said that two records are two.
    fn is_parted(&self, one: &Cluster, other: &RecordId) -> Result<bool, EngineError> {
        let others = self.identity.members(&self.store, other)?;
        for id in one {
            let ties = self.identity.ties_of(&self.store, id)?;
            if ties.iter().any(|(other, tie)| tie.kind == TieKind::Parted && others.contains(other)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether someone has said that two records, under whatever ids, are two.
    pub fn are_parted(&self, one: &RecordId, other: &RecordId) -> Result<bool, EngineError> {
        self.is_parted(&self.identity.members(&self.store, one)?, other)
    }

    /// What a side has that could be this record.
    fn suggestion(&self, id: &RecordId, record: &Record, side: &SideName) -> Result<Option<Suggestion>, EngineError> {
        let members = self.identity.members(&self.store, id)?;
        let has_side = |record: &Record| record.side(side).is_some_and(|state| state.link.is_some());
        let (mut candidates, mut on) = (Vec::new(), BTreeSet::new());
        let mut certain = true;
        for (other, state, fields) in self.alike(id, record)?.into_iter().filter(|(_, state, _)| has_side(state)) {
            if self.is_parted(&members, &other)? {
                continue;
            }
            certain &= self.is_certain(id, record, &other, &state)?;
            candidates.push(other);
            on.extend(fields);
        }
        certain &= candidates.len() == 1;
        let (record, side, on) = (id.clone(), side.clone(), on.into_iter().collect());
        Ok((!candidates.is_empty()).then_some(Suggestion { record, side, candidates, on, certain }))
    }

    /// Whether two records are alike in all that both have, nothing else is like either, and no side has both.
    fn is_certain(
        &self,
        id: &RecordId,
        record: &Record,
        other: &RecordId,
        state: &Record,
    ) -> Result<bool, EngineError> {
        let (mine, theirs) = (self.match_keys(id, record), self.match_keys(other, state));
        let same = mine.iter().all(|(field, key)| theirs.iter().all(|(name, value)| name != field || value == key));
        let links = |record: &Record| {
            let linked = record.sides.iter().filter(|side| side.link.is_some());
            linked.map(|side| side.side.clone()).collect::<BTreeSet<_>>()
        };
        let apart = links(record).is_disjoint(&links(state));
        let only = |all: Vec<Alike>, one: &RecordId| all.iter().all(|(found, _, _)| found == one);
        Ok(same && apart && only(self.alike(id, record)?, other) && only(self.alike(other, state)?, id))
    }

    /// The kinds that the manifest gives a side now.
    pub fn kinds_on(&self, side: &SideName) -> impl Iterator<Item = &String> {
        let edition = self.book.newest();
        edition.kinds.keys().filter(move |kind| edition.projects(kind, side))
    }

    /// Whether all that a side has of a kind is known.
    fn has_all(&self, side: &SideName, kind: &str) -> bool {
        self.populated.get(side).is_some_and(|kinds| kinds.contains(kind) || kinds.contains(ANY))
    }

    /// Whether a record may be made on a side that does not have it.
    pub fn making(&self, id: &RecordId, record: &Record, side: &SideName) -> Result<Making, EngineError> {
        if !self.has_own_ids(side) {
            return Ok(Making::Free);
        }
        if !self.has_all(side, id.kind()) {
            return Ok(Making::Unpopulated);
        }
        let kind = self.manifest.kind(id.kind());
        let state = record.side(side);
        // What the side refuses to take makes it no record of that person, and perhaps a second one of somebody it has.
        let is_refused = |name: &FieldName| {
            let winner = record.field(name).map(|field| field.winner().said);
            winner.is_some_and(|said| state.is_some_and(|state| state.parked(name, &said).is_some()))
        };
        let lacks = |kind: &manifest::RecordKind| {
            let required = kind.fields.iter().filter(|(_, field)| field.required).map(|(name, _)| name);
            let is_empty = |name: &FieldName| record.field(name).is_none_or(|field| field.value().is_null());
            required.clone().any(is_empty) || required.chain(&kind.match_on).any(is_refused)
        };
        if kind.is_some_and(lacks) {
            return Ok(Making::Lacking);
        }
        if self.may_be_ours(id, record) {
            return Ok(Making::Ours);
        }
        Ok(self.suggestion(id, record, side)?.map_or(Making::Free, Making::Like))
    }

    /// Whether a record may be what a write under way has made: nobody but us has said anything of it, and its side is making
    /// one of its kind.
    ///
    /// A side may tell of what it made before it answers, and the answer may be lost.
    fn may_be_ours(&self, id: &RecordId, record: &Record) -> bool {
        let mut said = record.fields.iter().flat_map(|field| &field.candidates);
        let mut at = record.sides.iter().filter(|state| state.link.is_some());
        let being_made = |side: &SideName| {
            let mut theirs = self.being_made.iter().filter(|((of, _), left)| of == side && **left < record.last);
            theirs.any(|((_, other), _)| other.kind() == id.kind() && other != id)
        };
        !self.being_made.is_empty() && said.all(|word| !word.author.is_another()) && at.any(|at| being_made(&at.side))
    }

    /// Notes whether a side is making a record, as far as is known, and that the order for it left after an event.
    pub fn note_making(&mut self, side: &SideName, record: &RecordId, makes: bool, left: Seq) {
        let key = (side.clone(), record.clone());
        match makes {
            true => drop(self.being_made.entry(key).or_insert(left)),
            false => drop(self.being_made.remove(&key)),
        }
    }

    /// For whom a record was made, by who made it, where nobody has said anything of that.
    ///
    /// It is said as a person's decision: the side on which it was made does not show it yet.
    pub fn made_for(&self, id: &RecordId, record: &Record) -> Result<Option<Draft>, EngineError> {
        let Some(kind) = self.manifest.kind(id.kind()).filter(|kind| kind.made_for != MadeFor::default()) else {
            return Ok(None);
        };
        let made = record.field(EXISTENCE).filter(|_| record.existence == Existence::Alive).map(Field::winner);
        let Some(made) = made.filter(|made| made.author.is_another()) else { return Ok(None) };
        let mut words = kind.words_for(&made.origin.side, &made.author);
        words.retain(|(field, _)| record.field(field).is_none());
        if words.is_empty() {
            return Ok(None);
        }
        let stream = self.stream(id, &made.origin.side, made.origin.link.as_deref())?;
        let at = self.book.corrected(&made.origin.side, made.said_at);
        let origin = Origin::side(SideName::new(PERSON).expect("a good name"));
        let mut draft = Draft::new(Kind::Decide, stream, origin, at, made.author.clone());
        draft.words = words;
        draft.detail = Detail::Reason("for whom the record was made".to_owned());
        Ok(Some(draft))
    }

    /// The link that a certain match makes, where the manifest lets it count.
    pub fn certain_link(&self, suggestion: &Suggestion, now: Millis) -> Option<Draft> {
        let kind = self.manifest.kind(suggestion.record.kind())?;
        let counts = suggestion.certain && kind.links == LinkRule::Certain;
        let other = suggestion.candidates.first().filter(|_| counts)?;
        let origin = Origin::side(suggestion.side.clone());
        let reason = format!("alike in {}", suggestion.on.iter().map(|field| &**field).collect::<Vec<_>>().join(", "));
        Some(tie_draft(Kind::Link, &suggestion.record, other, origin, now, Author::engine(), &reason))
    }

    /// Takes the rows of a record that is about to be regrouped out of the outbox.
    pub fn take_rows(&mut self, id: &RecordId, record: &Record) -> Result<Vec<(SideName, RecordId, Row)>, EngineError> {
        let mut rows = Vec::new();
        for side in self.rows.sides_of(id) {
            let key = (side.clone(), id.clone());
            if let Some(row) = self.rows.remove(&key) {
                let link = origin_of(record, &side).link.filter(|_| self.has_own_ids(&side));
                let stream = link.and_then(|link| RecordId::on_side(id.kind(), &side, &link).ok());
                rows.push((side, stream.unwrap_or_else(|| id.clone()), row));
            }
            self.rows_changed.insert(key);
        }
        Ok(rows)
    }

    /// Puts those that are under way back, under the record that they belong to now; the others are planned anew.
    pub fn put_rows(&mut self, rows: Vec<(SideName, RecordId, Row)>) -> Result<(), EngineError> {
        for (side, stream, row) in rows.into_iter().filter(|(_, _, row)| row.busy) {
            let key = (side, self.canonical(&stream)?);
            self.rows_changed.insert(key.clone());
            self.rows.insert(key, row);
        }
        Ok(())
    }
}

/// A value in the form in which two are alike; `None`: nothing is like it.
fn plain(value: &Value) -> Option<String> {
    let text = match value.view() {
        View::Null => return None,
        _ => value.as_text().map_or_else(|| value.to_json(), str::to_lowercase),
    };
    let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!plain.is_empty()).then_some(plain)
}

/// A statement about two records.
pub(super) fn tie_draft(
    kind: Kind,
    record: &RecordId,
    other: &RecordId,
    origin: Origin,
    at: Millis,
    author: Author,
    label: &str,
) -> Draft {
    let mut draft = Draft::new(kind, record.clone(), origin, at, author);
    draft.detail = Detail::Other { record: other.clone(), label: label.to_owned() };
    draft
}

impl Engine {
    /// The id under which a record is resolved: its own, unless it is linked with another.
    ///
    /// # Errors
    /// If the state fails.
    pub fn canonical(&self, record: &RecordId) -> Result<RecordId, EngineError> {
        self.core()?.canonical(record)
    }

    /// All ids of a record.
    ///
    /// # Errors
    /// If the state fails.
    pub fn links(&self, record: &RecordId) -> Result<Vec<LinkView>, EngineError> {
        let core = self.core()?;
        let canonical = core.canonical(record)?;
        let state = core.peek(&canonical)?.unwrap_or_default();
        let view = |id: RecordId| {
            let named = id.side_and_link().filter(|(side, _)| core.has_own_ids(side));
            let side = named.and_then(|(side, _)| SideName::new(side).ok());
            let link = named.map(|(_, link)| link.to_owned());
            let current = side.as_ref().and_then(|side| state.side(side)?.link.as_deref());
            LinkView { current: link.is_some() && current == link.as_deref(), record: id.clone(), side, link }
        };
        Ok(core.identity.members(&core.store, &canonical)?.into_iter().map(view).collect())
    }

    /// Says, as a person, that two records are one.
    ///
    /// # Errors
    /// If they are of two kinds, or the store fails.
    ///
    /// # After a crash
    /// It is said, or it is not.
    pub fn link(&self, record: &RecordId, other: &RecordId, author: Author, why: &str) -> Result<Said, EngineError> {
        self.tie(Kind::Link, record, other, author, why)
    }

    /// Says, as a person, that two records are two: a wrong link is undone, or a suggestion is refused for good.
    ///
    /// Everything that was ever said goes back to the record that it was said of; what writes of ours had carried
    /// over is taken back on both sides.
    ///
    /// # Errors
    /// As [`Engine::link`].
    ///
    /// # After a crash
    /// As [`Engine::link`].
    pub fn unlink(&self, record: &RecordId, other: &RecordId, author: Author, why: &str) -> Result<Said, EngineError> {
        let (mut drafts, origin) = (Vec::new(), Origin::side(SideName::new(PERSON).expect("a good name")));
        {
            let core = self.core()?;
            let (one, two) = (core.canonical(record)?, core.canonical(other)?);
            if one == two {
                // Whatever joins the two, directly or by others, has to go; what their own sides merged into either stays.
                let now = self.now();
                for tie in core.joining(record, other)? {
                    drafts.push(tie_draft(Kind::Unlink, &tie.0, &tie.1, origin.clone(), now, author.clone(), why));
                }
            }
        }
        let direct = self.tie(Kind::Unlink, record, other, author, why)?;
        self.say(drafts)?;
        Ok(direct)
    }

    fn tie(
        &self,
        kind: Kind,
        record: &RecordId,
        other: &RecordId,
        author: Author,
        why: &str,
    ) -> Result<Said, EngineError> {
        if record.kind() != other.kind() || record == other {
            return Err(EngineError::Unlike { record: record.clone(), other: other.clone() });
        }
        let origin = Origin::side(SideName::new(PERSON).expect("a good name"));
        let said = self.say(vec![tie_draft(kind, record, other, origin, self.now(), author, why)])?;
        Ok(said.into_iter().next().expect("each statement has an answer"))
    }

    /// What waits for a person: records that a side may have already under another id.
    ///
    /// # Errors
    /// If the state fails.
    pub fn suggestions(&self) -> Result<Vec<Suggestion>, EngineError> {
        let ids = self.core()?.ids()?;
        let mut all = Vec::new();
        for id in ids {
            let core = self.core()?;
            let Some(record) = core.peek(&id)?.filter(|record| record.existence != Existence::Deleted) else {
                continue;
            };
            let edition = core.book.newest();
            let sides = edition.sides.iter().filter(|(side, spec)| spec.own_ids && edition.projects(id.kind(), side));
            for (side, _) in sides.filter(|(side, _)| !projection::exists_on(record.side(side))) {
                all.extend(core.suggestion(&id, &record, side)?);
            }
        }
        Ok(all)
    }

    /// The records that a side has more than once.
    ///
    /// # Errors
    /// If the state fails.
    pub fn twins(&self) -> Result<Vec<Twins>, EngineError> {
        let ids = self.core()?.ids()?;
        let mut all = BTreeSet::new();
        for id in ids {
            let core = self.core()?;
            let Some(record) = core.peek(&id)? else { continue };
            let alike = core.alike(&id, &record)?;
            for state in record.sides.iter().filter(|state| state.link.is_some()) {
                let has = |record: &Record| record.side(&state.side).is_some_and(|state| state.link.is_some());
                for on in alike.iter().filter(|(_, other, _)| has(other)).flat_map(|(_, _, on)| on) {
                    let same = alike.iter().filter(|(_, other, fields)| has(other) && fields.contains(on));
                    let records: BTreeSet<RecordId> =
                        same.map(|(other, _, _)| other.clone()).chain([id.clone()]).collect();
                    let (side, on) = (state.side.clone(), on.clone());
                    all.insert(Twins { side, on, records: records.into_iter().collect() });
                }
            }
        }
        Ok(all.into_iter().collect())
    }

    /// Whether all that a side has of every kind in the manifest is known, so that what it has not may be made there.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn is_populated(&self, side: &str) -> Result<bool, EngineError> {
        let core = self.core()?;
        let Some((side, _)) = core.populated.get_key_value(side) else { return Ok(false) };
        Ok(core.kinds_on(side).all(|kind| core.has_all(side, kind)))
    }

    /// Says that everything that a side had of the kinds in the manifest was read and told, so that what it has not may be
    /// made there; of a kind that joins later it says nothing.
    ///
    /// # Errors
    /// If the store fails.
    ///
    /// # After a crash
    /// It is said, or it is not.
    pub fn set_populated(&self, side: &SideName) -> Result<(), EngineError> {
        let at = self.core()?.book.on_side(side, self.now());
        let origin = Origin::side(side.clone());
        let mut draft = Draft::new(Kind::Observe, RecordId::tenant(), origin, at, Author::engine());
        draft.detail = Detail::Reason("everything that the side had was read".to_owned());
        self.say(vec![draft])?;
        let mut core = self.core()?;
        let ids = core.ids()?;
        core.touched.extend(ids);
        self.finish(core, Vec::new())
    }
}

impl Core {
    /// The ties between what is of one record's side and what is of the other's, all of which have to go for the two to part.
    fn joining(&self, record: &RecordId, other: &RecordId) -> Result<Vec<(RecordId, RecordId)>, EngineError> {
        // What a side merged into the other one goes with it.
        let mut theirs = Cluster::from([other.clone()]);
        let mut todo = vec![other.clone()];
        while let Some(id) = todo.pop() {
            for (next, tie) in self.identity.ties_of(&self.store, &id)? {
                if tie.kind == TieKind::Absorbed && next != *record && theirs.insert(next.clone()) {
                    todo.push(next);
                }
            }
        }
        let mut joining = Vec::new();
        for id in &theirs {
            for (next, tie) in self.identity.ties_of(&self.store, id)? {
                if tie.kind != TieKind::Parted && !theirs.contains(&next) {
                    joining.push((id.clone(), next));
                }
            }
        }
        Ok(joining)
    }
}

impl Links for Engine {
    fn record(&self, kind: &str, side: &SideName, link: &str) -> Option<RecordId> {
        RecordId::on_side(kind, side, link).ok()
    }

    fn link(&self, record: &RecordId, side: &SideName) -> Option<Box<str>> {
        let core = self.core().ok()?;
        let state = core.peek(record).ok()??;
        state.side(side).and_then(|state| state.link.clone())
    }

    fn is_linked(&self, record: &RecordId) -> bool {
        let members = self.core().ok().and_then(|core| core.identity.members(&core.store, record).ok());
        members.is_some_and(|members| members.len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
syncline: 1
tenant: acme
sides:
  crm: { connector: none }
  portal: { connector: none }
records:
  contact:
    match_on: [email]
    fields:
      email: { type: string }
";

    #[test]
    fn what_a_record_does_not_bear_any_more_leaves_the_index_with_the_checkpoint() {
        let dir = tempfile::tempdir().expect("a directory");
        let (engine, _) = Engine::builder(dir.path().join("store")).manifest(MANIFEST).open().expect("it opens");
        let record = RecordId::new("contact/a").expect("a good id");
        let say = |at: i64, email: &str| {
            let origin = Origin::side(SideName::new("crm").expect("a good name"));
            let mut draft = Draft::new(Kind::Edit, record.clone(), origin, Millis(at), Author::user("ana"));
            draft.words = vec![(FieldName::new("email").expect("a good name"), Value::text(email))];
            engine.say(vec![draft]).expect("it is said");
        };
        let bears = |email: &str| {
            let core = engine.core().expect("open");
            let plain = plain(&Value::text(email)).expect("a text is matched");
            let found = core.store.matches(["contact", "email", &plain].join("\0").as_bytes()).expect("sled works");
            found == [record.clone()]
        };
        say(1, "ana@example.com");
        say(2, "bo@example.com");
        assert!(bears("ana@example.com") && bears("bo@example.com"), "what is not on disk yet takes nothing away");
        engine.checkpoint().expect("the disk works");
        assert!(!bears("ana@example.com") && bears("bo@example.com"));
        say(3, "ana@example.com");
        say(4, "bo@example.com");
        engine.checkpoint().expect("the disk works");
        assert!(!bears("ana@example.com") && bears("bo@example.com"), "what it bears again stays");
    }
}

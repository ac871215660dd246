//! Which records are one: ties between ids, and the clusters that they make.
//!
//! Every statement stands under the record that its side means. Links, partings and mergers are statements too, each about
//! two records; of those about one pair the newest counts. Records that are tied, directly or by others, are resolved
//! as one, under the least of their ids; all of them stay aliases. So who belongs together depends on the set of events
//! alone, and parting gives every statement back to the record under which it was made.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rustc_hash::FxBuildHasher;

use crate::{
    event::{Detail, Event, Kind},
    id::RecordId,
    state::{StateError, Store, Tie, TieKind},
};

/// What is known of ids beyond what the store has on disk.
#[derive(Default)]
pub(super) struct Identity {
    aliases: HashMap<RecordId, RecordId, FxBuildHasher>,
    ties: BTreeMap<(RecordId, RecordId), Tie>,
    /// Whether any id has ever been an alias, here or in the store.
    any: bool,
    /// Records whose make-up has changed since the checkpoint: they are not written before the next one.
    moved: BTreeSet<RecordId>,
    /// Records that have become aliases since the checkpoint: what the store has of them goes.
    gone: BTreeSet<RecordId>,
}

/// Records that are resolved as one.
pub(super) type Cluster = BTreeSet<RecordId>;

/// What a statement about two records changes.
pub(super) struct Regrouped {
    /// The ids under which those concerned were resolved before it, ascending.
    pub before: Vec<RecordId>,
    /// The clusters that they make from now on.
    pub after: Vec<Cluster>,
}

impl Identity {
    pub fn new(any: bool) -> Self {
        Identity { any, ..Identity::default() }
    }

    /// The id under which a record is resolved.
    pub fn canonical(&self, store: &Store, id: &RecordId) -> Result<RecordId, StateError> {
        if !self.any {
            return Ok(id.clone());
        }
        match self.aliases.get(id) {
            Some(canonical) => Ok(canonical.clone()),
            None => Ok(store.alias(id)?.unwrap_or_else(|| id.clone())),
        }
    }

    /// All that is tied to a record, itself included.
    pub fn members(&self, store: &Store, id: &RecordId) -> Result<Cluster, StateError> {
        let mut members = Cluster::from([id.clone()]);
        let mut todo = vec![id.clone()];
        while let Some(id) = todo.pop() {
            for (other, tie) in self.ties_of(store, &id)? {
                if tie.kind != TieKind::Parted && members.insert(other.clone()) {
                    todo.push(other);
                }
            }
        }
        Ok(members)
    }

    /// The newest statement about each pair that a record is part of.
    pub fn ties_of(&self, store: &Store, id: &RecordId) -> Result<BTreeMap<RecordId, Tie>, StateError> {
        if !self.any {
            return Ok(BTreeMap::new());
        }
        let mut ties = store.ties(id)?;
        let from = (id.clone(), RecordId::tenant());
        let own = self.ties.range(from..).take_while(|((of, _), _)| of == id);
        ties.extend(own.map(|((_, other), tie)| (other.clone(), *tie)));
        Ok(ties)
    }

    /// Takes in a statement about two records; returns the clusters before and after it where they differ.
    pub fn take(&mut self, store: &Store, event: &Event) -> Result<Option<Regrouped>, StateError> {
        let Some((one, other, tie)) = tie_of(event) else { return Ok(None) };
        let known = self.ties_of(store, &one)?.get(&other).copied();
        if known.is_some_and(|known| known >= tie) {
            return Ok(None);
        }
        let before = [self.canonical(store, &one)?, self.canonical(store, &other)?];
        let mut all = self.members(store, &one)?;
        all.extend(self.members(store, &other)?);
        self.any = true;
        self.ties.insert((one.clone(), other.clone()), tie);
        self.ties.insert((other, one), tie);
        let mut clusters: Vec<Cluster> = Vec::new();
        for id in &all {
            if !clusters.iter().any(|cluster| cluster.contains(id)) {
                clusters.push(self.members(store, id)?);
            }
        }
        let before: Vec<RecordId> = BTreeSet::from(before).into_iter().collect();
        if clusters.len() == before.len() {
            return Ok(None);
        }
        for cluster in &clusters {
            let canonical = least(cluster);
            cluster.iter().for_each(|id| drop(self.aliases.insert(id.clone(), canonical.clone())));
            self.gone.remove(&canonical);
            self.moved.insert(canonical);
        }
        for id in before.iter().filter(|id| self.aliases.get(*id).is_some_and(|canonical| canonical != *id)) {
            self.moved.remove(id);
            self.gone.insert(id.clone());
        }
        Ok(Some(Regrouped { before, after: clusters }))
    }

    /// Whether a record must not be written before the next checkpoint.
    pub fn is_moved(&self, id: &RecordId) -> bool {
        self.moved.contains(id)
    }

    /// Whether what the store has under this id is out of date because the id has become an alias.
    pub fn is_gone(&self, id: &RecordId) -> bool {
        self.gone.contains(id)
    }

    /// Whether a checkpoint has to change which records there are.
    pub fn is_changed(&self) -> bool {
        !self.aliases.is_empty() || !self.ties.is_empty()
    }

    /// How many records wait in memory for the next checkpoint because their make-up has changed.
    pub fn waiting(&self) -> usize {
        self.moved.len()
    }

    /// Writes out what has changed since the last checkpoint.
    pub fn write(&mut self, store: &Store) -> Result<(), StateError> {
        for id in &self.gone {
            store.remove_record(id)?;
        }
        for (id, canonical) in &self.aliases {
            store.put_alias(id, (id != canonical).then_some(canonical))?;
        }
        for ((one, other), tie) in &self.ties {
            store.put_tie(one, other, *tie)?;
        }
        // Only what is written is forgotten: where the disk failed, all of it is written once more.
        self.gone.clear();
        self.aliases.clear();
        self.ties.clear();
        self.moved.clear();
        Ok(())
    }
}

/// The id under which a cluster is resolved: one that the tenant chose itself, else the least.
pub(super) fn least(cluster: &Cluster) -> RecordId {
    let order = |id: &&RecordId| (id.side_and_link().is_some(), (*id).clone());
    cluster.iter().min_by_key(order).expect("a cluster has a member").clone()
}

/// The two records that an event is about, and what it says of them; records of two kinds are never one.
fn tie_of(event: &Event) -> Option<(RecordId, RecordId, Tie)> {
    let header = &event.header;
    let kind = match header.kind {
        Kind::Link => TieKind::Linked,
        Kind::Absorb => TieKind::Absorbed,
        Kind::Unlink => TieKind::Parted,
        _ => return None,
    };
    let Detail::Other { record: other, .. } = &event.payload.detail else { return None };
    let sound = *other != header.record && other.kind() == header.record.kind() && !other.is_empty();
    sound.then(|| (header.record.clone(), other.clone(), Tie { at: header.said_at, kind }))
}

/// The other record of an event about two.
pub(super) fn other_of(event: &Event) -> Option<&RecordId> {
    match (&event.header.kind, &event.payload.detail) {
        (Kind::Link | Kind::Unlink | Kind::Absorb, Detail::Other { record, .. }) => Some(record),
        _ => None,
    }
}

/// Whether an event says that everything about a side was read once, so that what it has not is known to be missing there.
pub(super) fn is_population(event: &Event) -> bool {
    event.header.kind == Kind::Observe && event.header.record.is_empty()
}

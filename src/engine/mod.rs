//! The engine: one tenant's store, open.
//!
//! A synchronous core. Calls may come from many threads: statements are sealed outside the lock, taken into the
//! resolved records under it, and answered when the log has them on disk.

mod audit;
mod builder;
mod carry;
mod core;
mod drift;
mod guard;
mod handle;
mod held;
mod identity;
mod links;
mod numbers;
mod observe;
mod outbox;
mod parked;
mod peek;
mod reference;
mod refusal;
mod rejudge;
mod replay;
mod rows;
mod sightings;
mod space;
mod stored;
mod trace;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

pub use audit::{Audit, Finding, Part};
pub use builder::{Builder, Opening};
pub use drift::{Compared, Drift, DriftKind};
pub use handle::{Changes, Handle};
pub use links::{LinkView, Suggestion, Twins};
pub use parked::{Parked, ParkedKind};
pub(crate) use peek::{Peek, Ruled};
pub use rejudge::{Judged, Rejudged, Verdicts};
pub use sightings::Linked;

use self::{core::Core, space::Space};
use crate::{
    clock::{Clock, Hlc, Millis},
    event::{Draft, Event, EventError, Sealed},
    field::Misfit,
    id::{EventId, FieldName, NameError, Place, RecordId, RecordKey, SaidId, Seq, TenantKey},
    log::{Log, LogError},
    manifest::{Fault, Manifest},
    rulebook::Edition,
    state::{Counts, StateError},
    validate::{self, FieldFault},
};

/// How many records may wait in memory for a checkpoint because it has changed who they are.
const REGROUPED_MOST: usize = 20_000;

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log failed or is damaged.
    #[error("the log cannot be used")]
    Log(#[from] LogError),
    /// There is less space on the disk than is to stay free. Nothing failed: once there is space, statements are taken again.
    #[error(
        "the disk has {free} bytes left and {least} are to stay free, so nothing more is taken until there is space"
    )]
    NoSpace {
        /// The bytes that are left.
        free: u64,
        /// The bytes that are to be left.
        least: u64,
    },
    /// The log has events that may not have taken effect, because the log or derived state failed while they were taken in. They
    /// are read, and others taken, once the store is opened again.
    #[error(
        "derived state may lack event {seq} and those behind it, so nothing more is taken until the store is opened again"
    )]
    Behind {
        /// The first of them.
        seq: Seq,
    },
    /// Derived state failed; the log is not affected.
    #[error("derived state cannot be used")]
    State(#[from] StateError),
    /// An event cannot be made or read.
    #[error("event {seq} cannot be read")]
    Event {
        /// Its sequence.
        seq: Seq,
        /// Why.
        #[source]
        source: EventError,
    },
    /// A statement cannot be taken.
    #[error("the statement about {record} cannot be taken")]
    Statement {
        /// The record.
        record: RecordId,
        /// Why.
        #[source]
        source: EventError,
    },
    /// The manifest has faults.
    #[error("the manifest has {} faults, the first: {}", .0.len(), .0.first().map_or_else(String::new, ToString::to_string))]
    Manifest(Vec<Fault>),
    /// The manifest is another tenant's.
    #[error("the store is tenant {store}'s, the manifest is tenant {manifest}'s")]
    Tenant {
        /// Whose store it is.
        store: String,
        /// Whose manifest it is.
        manifest: String,
    },
    /// A statement of the embedding program does not fit the manifest.
    #[error("the statement about {record} does not fit the manifest")]
    Unfit {
        /// The record.
        record: RecordId,
        /// What does not fit.
        #[source]
        source: Unfit,
    },
    /// What the embedding program says does not validate; nothing of it was taken.
    #[error("{record} cannot be changed like this: {}", validate::told(.faults))]
    Invalid {
        /// The record.
        record: RecordId,
        /// All that is wrong, by field.
        faults: Vec<FieldFault>,
    },
    /// There is no such record for whoever wants to change it.
    #[error("there is no record {record}")]
    NoRecord {
        /// The record.
        record: RecordId,
    },
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes for a new name")]
    Random,
    /// A text that cannot be the name of a record or a field.
    #[error("the name {name:?} {why}")]
    Name {
        /// The text.
        name: String,
        /// Why not.
        why: NameError,
    },
    /// A decision on something that nobody has said anything of.
    #[error("there is nothing to decide: nobody has said anything of {field} of {record}")]
    Wordless {
        /// The record.
        record: RecordId,
        /// The field.
        field: FieldName,
    },
    /// Something was to be given up that is not parked.
    #[error("{field} of {record} is not parked on {side}")]
    NotParked {
        /// The record.
        record: RecordId,
        /// The side.
        side: String,
        /// The field.
        field: String,
    },
    /// Giving up a write that makes or deletes a record would make or delete it elsewhere.
    #[error("whether {record} exists cannot be given up on one side: decide `existence`")]
    Existence {
        /// The record.
        record: RecordId,
    },
    /// A version token that no read of this record has given out.
    #[error("this is no version token of {record}")]
    Version {
        /// The record.
        record: RecordId,
    },
    /// Two records that cannot be one, nor be parted.
    #[error("{record} and {other} cannot be one record: they are of two kinds, or one and the same id")]
    Unlike {
        /// The one.
        record: RecordId,
        /// The other.
        other: RecordId,
    },
    /// The store has another key than the one that was to be taken over.
    #[error("the store in {} has another key: an export goes into a store of the same tenant, or into a new one", .0.display())]
    Key(PathBuf),
    /// Something else came before the first manifest.
    #[error("the store has no rules yet: its first event has to be a manifest")]
    NoRules,
    /// There is no store, and none was to be made.
    #[error("there is no store in {}", .0.display())]
    NoStore(PathBuf),
    /// A thread died while it held the engine.
    #[error("the engine stopped because a thread of it panicked; open it again")]
    Poisoned,
}

/// A statement that does not fit the manifest; reads on from the place where it was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No such side.
    #[error("there is no side {side}; the manifest has {known}")]
    Side {
        /// The side.
        side: String,
        /// Those there are.
        known: String,
    },
    /// No such record kind.
    #[error("the manifest has no record kind {0}")]
    Kind(String),
    /// No such field.
    #[error("the manifest has no field {field} for kind {kind}")]
    Field {
        /// The field.
        field: String,
        /// The record kind.
        kind: String,
    },
    /// A value of another type.
    #[error("the value of {field} {misfit}")]
    Value {
        /// The field.
        field: FieldName,
        /// What is wrong; part of the message.
        misfit: Misfit,
    },
}

/// What became of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is in the log.
    New {
        /// Its sequence.
        seq: Seq,
        /// Its id.
        id: EventId,
        /// What was said.
        said: SaidId,
        /// Whether it names something that is not in the log yet, and so waits.
        waits: bool,
        /// Whether its name was used for another content.
        contradicts: bool,
    },
    /// The log has it already.
    Duplicate,
}

pub(crate) struct Inner {
    pub(crate) log: Log,
    key: TenantKey,
    clock: Arc<dyn Clock>,
    hlc: AtomicU64,
    /// The manifest in force; the core puts it there.
    manifest: Arc<RwLock<Arc<Manifest>>>,
    core: Mutex<Core>,
    /// Held by whoever is next to get at the core.
    turn: Mutex<()>,
    changed: tokio::sync::watch::Sender<Seq>,
    checkpoint_every: u64,
    space: Space,
}

/// One tenant's store, open. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

impl Engine {
    /// Begins to describe how a store is opened.
    pub fn builder(path: impl Into<PathBuf>) -> Builder {
        Builder::new(path.into())
    }

    /// The tenant's name.
    pub fn tenant(&self) -> &str {
        self.inner.log.tenant().0
    }

    /// The key of a record: what its statements' names are made with.
    pub fn record_key(&self, record: &str) -> RecordKey {
        self.inner.key.record_key(record)
    }

    /// The present time by the engine's clock.
    pub fn now(&self) -> Millis {
        self.inner.clock.now()
    }

    /// The manifest in force.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn manifest(&self) -> Result<Arc<Manifest>, EngineError> {
        self.inner.manifest.read().map(|manifest| manifest.clone()).map_err(|_| EngineError::Poisoned)
    }

    /// Gives a statement its ids.
    ///
    /// # Errors
    /// If it is too large.
    pub fn seal(&self, draft: Draft) -> Result<Sealed, EngineError> {
        let key = self.record_key(&draft.record);
        let record = draft.record.clone();
        let capturing = trace::capture(&draft);
        let sealed = capturing.in_scope(|| draft.seal(&key, self.tick()));
        let sealed = sealed.map_err(|source| EngineError::Statement { record, source })?;
        trace::captured(&capturing, &sealed);
        Ok(sealed)
    }

    fn tick(&self) -> Hlc {
        let now = self.inner.clock.now();
        let next = |last| Some(Hlc(last).tick(now).0);
        let last = self.inner.hlc.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_else(|last| last);
        Hlc(last).tick(now)
    }

    /// Takes statements in and returns when they are on disk, with what became of each, in order.
    ///
    /// # Errors
    /// If one is too large, or the log or the state fails; then none of them is acknowledged.
    ///
    /// # After a crash
    /// All of them are in the log, or none is.
    pub fn say(&self, drafts: Vec<Draft>) -> Result<Vec<Said>, EngineError> {
        let sealed = drafts.into_iter().map(|draft| self.seal(draft)).collect::<Result<Vec<_>, _>>()?;
        self.take(sealed)
    }

    /// As [`Engine::say`], for statements that have their ids.
    ///
    /// # Errors
    /// As [`Engine::say`].
    pub fn take(&self, sealed: Vec<Sealed>) -> Result<Vec<Said>, EngineError> {
        let (said, last) = self.submit(sealed)?;
        self.wait(last)?;
        Ok(said)
    }

    /// Takes statements in without waiting for the disk: nobody may be told before [`Engine::wait`] for the sequence returned.
    ///
    /// # Errors
    /// As [`Engine::say`].
    pub fn submit(&self, sealed: Vec<Sealed>) -> Result<(Vec<Said>, Seq), EngineError> {
        self.inner.space.check()?;
        let mut core = self.core()?;
        let said = core.take(&self.inner.log, sealed).map_err(|why| self.failed(why))?;
        self.settle(&mut core)?;
        Ok((said, self.inner.log.last()))
    }

    /// Waits until everything up to a sequence is on disk, then lets subscribers know.
    ///
    /// # Errors
    /// If the disk failed: what was waited for is not acknowledged.
    pub fn wait(&self, upto: Seq) -> Result<(), EngineError> {
        self.inner.log.wait(upto).map_err(|why| self.failed(why.into()))?;
        self.inner.changed.send_if_modified(|seen| {
            let newer = *seen < upto;
            *seen = (*seen).max(upto);
            newer
        });
        Ok(())
    }

    /// A receiver that is told the newest sequence on disk whenever it grows; read what changed with
    /// [`Reader::changes_since`](crate::history::Reader::changes_since).
    pub fn subscribe(&self) -> tokio::sync::watch::Receiver<Seq> {
        self.inner.changed.subscribe()
    }

    /// Checks a statement of a side against the manifest.
    ///
    /// # Errors
    /// With the first thing that does not fit.
    pub fn check(edition: &Edition, draft: &Draft) -> Result<(), Unfit> {
        let side = &draft.origin.side;
        if !edition.sides.contains_key(side) {
            let known = edition.sides.keys().map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
            return Err(Unfit::Side { side: side.to_string(), known });
        }
        let kind = draft.record.kind();
        if edition.kind(kind).is_none() {
            return Err(Unfit::Kind(kind.to_owned()));
        }
        for (field, value) in draft.words.iter().filter(|(field, _)| **field != *crate::rulebook::EXISTENCE) {
            let Some(spec) = edition.field(kind, field) else {
                return Err(Unfit::Field { field: field.to_string(), kind: kind.to_owned() });
            };
            spec.kind.check(value).map_err(|misfit| Unfit::Value { field: field.clone(), misfit })?;
        }
        Ok(())
    }

    /// The rules in force.
    ///
    /// # Errors
    /// If there are none yet, as in a store that awaits an export, or the engine has stopped.
    pub fn edition(&self) -> Result<Edition, EngineError> {
        let core = self.core()?;
        if core.book.is_empty() { Err(EngineError::NoRules) } else { Ok(core.book.newest().clone()) }
    }

    /// Puts another manifest in force from now on, by an event; one that means the same changes nothing.
    ///
    /// # Errors
    /// If it has faults, is another tenant's, or the store fails.
    pub fn apply_manifest(&self, text: &str) -> Result<bool, EngineError> {
        let manifest = Manifest::parse(text).map_err(EngineError::Manifest)?;
        if manifest.tenant != self.tenant() {
            return Err(EngineError::Tenant { store: self.tenant().to_owned(), manifest: manifest.tenant });
        }
        if *self.core()?.manifest == manifest {
            return Ok(false);
        }
        let sealed = self.seal(builder::manifest_draft(text, self.now()))?;
        self.take(vec![sealed])?;
        Ok(true)
    }

    /// The totals.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn counts(&self) -> Result<Counts, EngineError> {
        Ok(self.core()?.counts)
    }

    /// The bytes of the log, and of derived state.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn bytes(&self) -> Result<(u64, u64), EngineError> {
        Ok((self.inner.log.bytes(), self.core()?.store.bytes()))
    }

    /// Makes derived state durable up to the present; not where the log is damaged, or derived state lacks what it has.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn checkpoint(&self) -> Result<(), EngineError> {
        let mut core = self.core()?;
        self.checkpoint_core(&mut core, false)
    }

    /// Makes a checkpoint if enough has come to the log since the last one.
    pub(in crate::engine) fn checkpoint_if_due(&self, core: &mut Core) -> Result<(), EngineError> {
        let since = self.inner.log.last().0 - core.checkpointed().0;
        match since >= self.inner.checkpoint_every || core.identity.waiting() >= REGROUPED_MOST {
            true => self.checkpoint_core(core, false),
            false => Ok(()),
        }
    }

    fn checkpoint_core(&self, core: &mut Core, closed: bool) -> Result<(), EngineError> {
        if let Err(why) = core.check_sound(&self.inner.log) {
            tracing::warn!(error = &why as &dyn std::error::Error, "derived state stays as it was on disk");
            return Ok(());
        }
        let last = self.inner.log.last();
        self.inner.log.wait(last).map_err(|why| self.failed(why.into()))?;
        match core.checkpoint(last, self.inner.log.known(), closed) {
            // What the ballast leaves is enough for a checkpoint.
            Err(why) if space::is_full(&why) && self.inner.space.give_up() => {
                core.checkpoint(last, self.inner.log.known(), closed)
            }
            Ok(()) => {
                self.inner.space.restore();
                Ok(())
            }
            failed => failed,
        }
    }

    /// Whether there is as much space as is to stay free, so that statements are taken.
    pub(crate) fn has_space(&self) -> bool {
        self.inner.space.check().is_ok()
    }

    /// A failure; if it comes of a full disk, the ballast is given up for whoever opens the store next.
    fn failed(&self, why: EngineError) -> EngineError {
        if space::is_full(&why) {
            self.inner.space.give_up();
        }
        why
    }

    /// Closes the store: a checkpoint stands for all of the log, so the next open has nothing to do.
    ///
    /// # Errors
    /// If the disk fails; what was acknowledged is in the log all the same.
    pub fn close(self) -> Result<(), EngineError> {
        let mut core = self.core()?;
        self.checkpoint_core(&mut core, true)
    }

    fn core(&self) -> Result<MutexGuard<'_, Core>, EngineError> {
        // Somebody who lets go of it and asks again at once would get it before those who have waited all the while: an import
        // would keep readers out for many batches.
        let _turn = self.inner.turn.lock().map_err(|_| EngineError::Poisoned)?;
        self.inner.core.lock().map_err(|_| EngineError::Poisoned)
    }

    /// Reads an event by its place and checks it.
    pub(crate) fn event_at(&self, seq: Seq, place: Place) -> Result<Event, EngineError> {
        stored::read_event(&self.inner.log, &self.inner.key, seq, place)
    }
}

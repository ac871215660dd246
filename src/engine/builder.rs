//! How a store is opened or made.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use super::{
    Engine, EngineError, Inner,
    core::Core,
    replay,
    space::{self, Space},
};
use crate::{
    clock::{Clock, Millis, SystemClock},
    event::{Author, Detail, Draft, Kind, Origin},
    id::{RecordId, Seq, SideName, TenantKey},
    log::{
        self, Known, Log, LogError, Options, Recovery,
        disk::{Disk, RealDisk},
    },
    manifest::Manifest,
    rulebook::PERSON,
    state::{Checkpoint, Memory, Opened, Store},
};

/// sled panics when it is given less to cache with than this, in bytes.
const CACHE_LEAST: usize = 256;
/// Of sixteen bytes of a budget so many are given out. What records take is reckoned by the bytes that were asked for; the
/// allocator gives larger ones, and what is freed here and there cannot be given back.
const RECKONED_SIXTEENTHS: usize = 10;
/// Below this, derived state would be written record by record.
const PACKED_LEAST: usize = 32 << 10;

/// How a store is opened. Every setting has a default.
pub struct Builder {
    path: PathBuf,
    manifest: Option<String>,
    create: bool,
    adopted: Option<(String, TenantKey)>,
    rebuild: bool,
    segment_bytes: u64,
    checkpoint_every: u64,
    memory_bytes: usize,
    free_bytes_least: u64,
    ballast_bytes: u64,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    progress: Box<dyn FnMut(u64, u64) + Send>,
}

/// What opening a store found and did.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// What happened to the log.
    pub recovery: Recovery,
    /// How many events were replayed over derived state.
    pub replayed: u64,
    /// Where derived state that did not open was put aside.
    pub aside: Option<PathBuf>,
    /// Whether derived state was made anew from the whole log.
    pub rebuilt: bool,
    /// Whether the store was made.
    pub created: bool,
}

impl Builder {
    pub(super) fn new(path: PathBuf) -> Self {
        Builder {
            path,
            manifest: None,
            create: true,
            adopted: None,
            rebuild: false,
            segment_bytes: Options::default().segment_bytes,
            checkpoint_every: 1 << 17,
            memory_bytes: 128 << 20,
            free_bytes_least: 0,
            ballast_bytes: 0,
            clock: Arc::new(SystemClock),
            disk: Arc::new(RealDisk),
            progress: Box::new(|_, _| {}),
        }
    }

    /// The manifest's text. Default: the one in force, and for a new store sides `crm` and `portal` without
    /// connectors, where the last write wins on every field.
    pub fn manifest(mut self, text: impl Into<String>) -> Self {
        self.manifest = Some(text.into());
        self
    }

    /// Whether a store is made where there is none. Default: yes.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Takes over the tenant of an export: a new store is made with this name and key, and without a manifest of its
    /// own, since the first event of the export is one. A store that exists must have them already.
    pub fn adopt(mut self, tenant: impl Into<String>, key: TenantKey) -> Self {
        self.adopted = Some((tenant.into(), key));
        self
    }

    /// Whether derived state is thrown away and made anew from the log. Default: no.
    pub fn rebuild(mut self, rebuild: bool) -> Self {
        self.rebuild = rebuild;
        self
    }

    /// The size at which a log segment is sealed and the next begins. Default: 64 MiB.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// After how many events derived state is made durable. Default: 131,072; a crash costs the replay of at most as many.
    pub fn checkpoint_every(mut self, events: u64) -> Self {
        self.checkpoint_every = events.max(1);
        self
    }

    /// About how many bytes records take in memory, half of them as they lie on disk. What the engine takes beside them, some
    /// tens of megabytes, hardly grows with the store. Default: 128 MiB.
    pub fn memory_bytes(mut self, bytes: usize) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Below how much free space, in bytes, statements are refused, with [`EngineError::NoSpace`]. Nothing fails by that, and
    /// once there is space they are taken again. What the engine says of its own, receipts for one, still goes into the
    /// log. Default: 0, the disk may become full.
    pub fn free_bytes_least(mut self, bytes: u64) -> Self {
        self.free_bytes_least = bytes;
        self
    }

    /// The size of a file, `ballast`, that lies in the store's directory and is removed when the disk is full: then there is
    /// space to close the store, or to open it after its log has stopped. It comes back when there is space for it.
    /// Default: 0, none.
    pub fn ballast_bytes(mut self, bytes: u64) -> Self {
        self.ballast_bytes = bytes;
        self
    }

    /// Where the time of day comes from. Default: the machine.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where the log and the checkpoints lie. Default: the machine's file system.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Who is told how a long replay goes: events done, and events in all. Default: nobody.
    pub fn progress(mut self, progress: impl FnMut(u64, u64) + Send + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    /// If there is none and none is to be made, another process has it, its format is another version's, the manifest has
    /// faults or is another tenant's, or the disk fails.
    ///
    /// # After a crash
    /// Whatever was acknowledged is there; what was not may be.
    pub fn open(mut self) -> Result<(Engine, Opening), EngineError> {
        match self.open_once() {
            // The ballast may be what stands between a store and its opening.
            Err(why) if space::is_full(&why) && self.space().give_up() => self.open_once(),
            opened => opened,
        }
    }

    fn space(&self) -> Space {
        Space::of(self.disk.clone(), &self.path, self.free_bytes_least, self.ballast_bytes)
    }

    fn open_once(&mut self) -> Result<(Engine, Opening), EngineError> {
        let manifest = self.manifest.as_deref().map(Manifest::parse).transpose().map_err(EngineError::Manifest)?;
        let mut opening = Opening::default();
        let state_dir = self.path.join("state");
        if self.rebuild && state_dir.exists() {
            std::fs::remove_dir_all(&state_dir).map_err(|source| io_error("remove", &state_dir, source))?;
        }
        let named = Checkpoint::read(&*self.disk, &state_dir).unwrap_or_default();
        let checkpointed = named.seq;
        let known = if named.log.seq == checkpointed { named.log } else { checkpointed.into() };
        let mut log = self.open_log(manifest.as_ref(), known, &mut opening)?;
        let (tenant, key) = (log.tenant().0.to_owned(), log.tenant().1.clone());
        if self.adopted.as_ref().is_some_and(|(_, adopted)| *adopted != key) {
            return Err(EngineError::Key(self.path.clone()));
        }
        if let Some(manifest) = manifest.as_ref().filter(|manifest| manifest.tenant != tenant) {
            return Err(EngineError::Tenant { store: tenant, manifest: manifest.tenant.clone() });
        }
        let half = self.memory_bytes / 16 * RECKONED_SIXTEENTHS / 2;
        let (packed, indices) = (half, (self.memory_bytes / 8).max(CACHE_LEAST) as u64);
        let memory = Memory { packed: packed.max(PACKED_LEAST), indices };
        let (store, opened) = Store::open(self.disk.clone(), &state_dir, memory)?;
        let checkpoint = match opened {
            Opened::At(checkpoint) => *checkpoint,
            Opened::Nothing { aside } => {
                opening.aside = aside;
                opening.rebuilt = !opening.created;
                if checkpointed > Seq(0) && opening.recovery.read_only().is_none() {
                    // What a checkpoint stood for is checked only when it is read, and now all of it will be. Done only
                    // where the end of the log is sound, so that nothing durable is taken for a torn tail.
                    drop(log);
                    let before = std::mem::take(&mut opening.recovery);
                    log = self.open_log(manifest.as_ref(), Known::default(), &mut opening)?;
                    opening.recovery.torn = before.torn.or(opening.recovery.torn.take());
                    opening.recovery.rewritten = before.rewritten.or(opening.recovery.rewritten.take());
                }
                Checkpoint::default()
            }
        };
        let mut core = Core::new(store, key.clone(), checkpoint, half, self.clock.clone());
        core.load_book(&log)?;
        let replayed = replay::replay(&mut core, &log, &mut *self.progress);
        opening.replayed = match replayed {
            Ok(_) if core.book.is_empty() && log.durable() > Seq(0) => return Err(without_rules(&opening)),
            Err(EngineError::NoRules) => return Err(without_rules(&opening)),
            replayed => replayed?,
        };
        let newest = core.newest_heard();
        let (changed, _) = tokio::sync::watch::channel(log.durable());
        let can_write = core.check_sound(&log).is_ok();
        let engine = Engine {
            inner: Arc::new(Inner {
                log,
                key,
                clock: self.clock.clone(),
                hlc: AtomicU64::new(newest.0),
                manifest: core.shown.clone(),
                core: Mutex::new(core),
                turn: Mutex::new(()),
                changed,
                checkpoint_every: self.checkpoint_every,
                space: self.space(),
            }),
        };
        let awaits_rules = self.adopted.is_some() && engine.core()?.book.is_empty();
        if can_write && !awaits_rules {
            engine.put_first_manifest(self.manifest.as_deref(), manifest.as_ref())?;
            engine.resume()?;
        }
        engine.inner.space.restore();
        Ok((engine, opening))
    }

    fn open_log(&self, manifest: Option<&Manifest>, known: Known, opening: &mut Opening) -> Result<Log, EngineError> {
        let (dir, options) = (self.path.join("log"), Options { segment_bytes: self.segment_bytes });
        match Log::open(self.disk.clone(), &dir, options, known) {
            Ok((log, recovery)) => {
                opening.recovery = recovery;
                Ok(log)
            }
            Err(LogError::Missing { .. }) if self.create => {
                self.disk.create_dir(&self.path).map_err(|source| io_error("make", &self.path, source))?;
                opening.created = true;
                if let Some((tenant, key)) = &self.adopted {
                    return Ok(Log::create(self.disk.clone(), &dir, key, tenant, options)?);
                }
                let mut key = [0; 32];
                getrandom::fill(&mut key)
                    .map_err(|_| io_error("get random bytes for", &dir, std::io::ErrorKind::Other.into()))?;
                let builtin = Manifest::builtin();
                let tenant = &manifest.unwrap_or(&builtin).tenant;
                Ok(Log::create(self.disk.clone(), &dir, &TenantKey(key), tenant, options)?)
            }
            Err(LogError::Missing { .. }) => Err(EngineError::NoStore(self.path.clone())),
            Err(why) => Err(why.into()),
        }
    }
}

/// Why a store whose first manifest cannot be read does not open.
fn without_rules(opening: &Opening) -> EngineError {
    match opening.recovery.faults.first() {
        Some(fault) => LogError::Corrupt { seqs: fault.seqs.clone(), segment: fault.segment }.into(),
        None => EngineError::NoRules,
    }
}

fn io_error(doing: &'static str, path: &Path, source: std::io::Error) -> EngineError {
    EngineError::Log(log::LogError::Io { doing, path: path.to_owned(), source })
}

/// The statement that puts a manifest in force.
pub(super) fn manifest_draft(text: &str, from: Millis) -> Draft {
    let side = SideName::new(PERSON).expect("a good name");
    let mut draft = Draft::new(Kind::Manifest, RecordId::tenant(), Origin::side(side), from, Author::engine());
    draft.detail = Detail::Manifest(text.to_owned());
    draft
}

impl Engine {
    /// Logs the manifest of a new store, or a changed one.
    fn put_first_manifest(&self, text: Option<&str>, manifest: Option<&Manifest>) -> Result<(), EngineError> {
        let has_rules = !self.core()?.book.is_empty();
        match (text, manifest) {
            (Some(text), Some(_)) if has_rules => self.apply_manifest(text).map(|_| ()),
            (None, _) if has_rules => Ok(()),
            _ => {
                let builtin = Manifest::builtin();
                let text = text.unwrap_or(&builtin.text);
                let sealed = self.seal(manifest_draft(text, self.now()))?;
                self.take(vec![sealed]).map(|_| ())
            }
        }
    }
}

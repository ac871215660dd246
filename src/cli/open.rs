//! How commands open a store, and what they say of what that found.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use super::{
    failure::Failure,
    tell::{self, Progress},
};
use crate::{
    engine::{Builder, Engine, Opening},
    manifest::Manifest,
};

/// Replays shorter than this need no progress bar.
const REPLAY_SHOWN_MIN: u64 = 20_000;

/// The store that a command is about, and how it answers.
#[derive(Clone)]
pub struct Place {
    /// The store's directory.
    pub store: PathBuf,
    /// The manifest's file.
    pub manifest: Option<PathBuf>,
    /// About how many MiB of records it holds in memory.
    pub memory_mib: u32,
    /// Whether answers are JSON.
    pub json: bool,
}

/// An open store.
pub struct Open {
    /// The engine.
    pub engine: Engine,
    /// What opening it found.
    pub opening: Opening,
}

impl Place {
    /// How the store is opened, or made, whatever manifest was named.
    pub fn unruled(&self) -> Builder {
        Engine::builder(&self.store).memory_bytes(self.memory_bytes())
    }

    /// About how many bytes of records a store holds in memory.
    pub fn memory_bytes(&self) -> usize {
        (self.memory_mib as usize) << 20
    }

    /// Reads the manifest that was named, and tells all its faults.
    pub fn manifest_text(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.manifest else { return Ok(None) };
        let text = fs::read(path).map_err(|source| Failure::Read { path: path.clone(), source })?;
        let text = String::from_utf8(text).map_err(|why| Failure::Read {
            path: path.clone(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, why),
        })?;
        match Manifest::parse(&text) {
            Ok(_) => Ok(Some(text)),
            Err(faults) => Err(Failure::Manifest { path: path.clone(), faults }),
        }
    }

    /// How the store is opened: with the manifest that was named, and never made on the way.
    pub fn builder(&self) -> Result<Builder, Failure> {
        let builder = self.unruled().create(false);
        Ok(match self.manifest_text()? {
            Some(text) => builder.manifest(text),
            None => builder,
        })
    }

    /// Opens the store that is there.
    pub fn open(&self) -> Result<Open, Failure> {
        open(self.builder()?)
    }
}

/// Opens a store, with a progress bar where that takes long, and tells what was found.
pub fn open(builder: Builder) -> Result<Open, Failure> {
    let bar: Arc<Mutex<Option<Progress>>> = Arc::default();
    let shown = bar.clone();
    let builder = builder.progress(move |done, all| {
        // A poisoned lock means that a bar panicked while drawing; the replay goes on without one.
        let Ok(mut bar) = shown.lock() else { return };
        if all >= REPLAY_SHOWN_MIN {
            bar.get_or_insert_with(|| Progress::of("reading the log", all, false)).at(done);
        }
    });
    let opened = builder.open();
    if let Ok(Some(bar)) = bar.lock().as_deref() {
        bar.end();
    }
    let (engine, opening) = opened?;
    tell::complain(&notes(&opening));
    Ok(Open { engine, opening })
}

fn notes(opening: &Opening) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(torn) = &opening.recovery.torn {
        notes.push(format!(
            "note: a crash had cut off the last write; {} bytes after event {} were removed, of which nobody was told",
            torn.bytes, torn.after
        ));
    }
    notes.extend(opening.recovery.faults.iter().map(|fault| format!("damage: {fault}")));
    if opening.recovery.read_only().is_some() {
        notes.push("warning: the log is damaged, so the store can only be read".to_owned());
    }
    if let Some(aside) = &opening.aside {
        notes.push(format!("note: derived state did not open and lies in {} now", aside.display()));
    }
    if opening.rebuilt {
        notes.push(format!("note: derived state was made anew from {} events", tell::count(opening.replayed)));
    }
    notes
}

impl Open {
    /// Closes the store, so that the next one to open it has nothing to do.
    ///
    /// If nothing was replayed and nothing was said, what is on disk stands for it all already.
    pub fn close(self) -> Result<(), Failure> {
        let is_current = self.opening.replayed == 0 && !self.opening.created && !self.opening.rebuilt;
        let can_write = self.opening.recovery.read_only().is_none();
        if can_write && !(is_current && self.engine.is_checkpointed()?) {
            self.engine.close()?;
        }
        Ok(())
    }
}

//! The engine among asynchronous tasks: blocking calls run on tokio's blocking threads.

use super::{Engine, EngineError};
use crate::{
    history::{LogChange, Principal, Reader},
    id::Seq,
};

/// An [`Engine`] for asynchronous callers. Cheap to clone.
///
/// ```
/// use syncline::{engine::{Engine, Handle}, history::{Edit, Principal}};
/// use syncline::{id::{FieldName, RecordId, SideName}, value::Value};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("store");
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let (engine, _) = Engine::builder(path).open()?;
/// let handle = Handle::new(engine);
/// let mut changes = handle.changes(&Principal::operator(), handle.engine().last());
///
/// let edit = Edit::of(RecordId::new("contact/1")?, SideName::new("crm")?)
///     .set(FieldName::new("city")?, Value::text("Bern"));
/// handle.call(move |engine| engine.edit(&Principal::operator(), edit)).await?;
///
/// let change = changes.next().await?;
/// assert_eq!(&*change.record, "contact/1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # }
/// ```
#[derive(Clone)]
pub struct Handle {
    engine: Engine,
}

impl Handle {
    /// Wraps an engine.
    pub fn new(engine: Engine) -> Self {
        Handle { engine }
    }

    /// The engine itself, for calls that do not wait for the disk.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Runs a call on a thread that may block.
    ///
    /// # Panics
    /// If the call panics, or outside a tokio runtime.
    pub async fn call<T: Send + 'static>(&self, work: impl FnOnce(&Engine) -> T + Send + 'static) -> T {
        let engine = self.engine.clone();
        match tokio::task::spawn_blocking(move || work(&engine)).await {
            Ok(done) => done,
            Err(why) => match why.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => unreachable!("a blocking task is not cancelled"),
            },
        }
    }

    /// All events after a cursor, as they reach the disk.
    pub fn changes(&self, principal: &Principal, cursor: Seq) -> Changes {
        let newest = self.engine.subscribe();
        Changes { reader: self.engine.read(principal), newest, cursor, ready: Vec::new().into_iter() }
    }
}

/// How many events are read at a time.
const BATCH: usize = 256;

/// A stream of events; see [`Handle::changes`].
pub struct Changes {
    reader: Reader,
    newest: tokio::sync::watch::Receiver<Seq>,
    cursor: Seq,
    ready: std::vec::IntoIter<LogChange>,
}

impl Changes {
    /// The next event; waits until there is one.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// If the next event is damaged.
    pub async fn next(&mut self) -> Result<LogChange, EngineError> {
        loop {
            if let Some(change) = self.ready.next() {
                return Ok(change);
            }
            self.newest.borrow_and_update();
            let (changes, cursor) = self.reader.changes_since(self.cursor, BATCH)?;
            self.cursor = cursor;
            self.ready = changes.into_iter();
            if self.ready.len() == 0 && self.newest.changed().await.is_err() {
                return Err(EngineError::Poisoned);
            }
        }
    }
}

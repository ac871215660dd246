//! Orders to a tenant that another process serves: one line of JSON each way, over a socket in the store's directory.
//!
//! Whoever may use the socket may do everything to the store, as who may read its files; it is open to the user who serves, and
//! to the superuser.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::UnixStream as PlainStream,
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::{order::Order, tenant::Tenant};

const SOCKET: &str = "admin.sock";
/// The longest order; a manifest fits with room to spare.
const ORDER_BYTES_MAX: u64 = 4 << 20;
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// How long a caller may take to say its order.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses of sockets are short; a longer path goes by way of its open directory.
const PATH_BYTES_MAX: usize = 100;

/// An answer on its way.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done(Json),
    Failed(String),
}

/// Why a tenant that is served could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The socket failed.
    #[error("cannot reach whoever serves the store in {}", store.display())]
    Io {
        /// The store.
        store: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What came back is no answer.
    #[error("whoever serves the store in {} does not answer as this version does", .0.display())]
    Answer(PathBuf),
    /// The order was not carried out.
    #[error("{0}")]
    Failed(String),
}

/// A socket's path, short enough to be its address, and the directory that has to stay open meanwhile.
fn address(store: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = store.join(SOCKET);
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok((path, None));
    }
    let dir = File::open(store)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()));
    Ok((short, Some(dir)))
}

/// The socket at which a tenant takes orders.
pub(super) struct Desk {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

/// Opens the socket of a store that this process has open: whoever connects from now on is heard.
///
/// # Errors
/// If it cannot be made; the tenant itself is not affected.
pub(super) fn open(store: &Path) -> io::Result<Desk> {
    let path = store.join(SOCKET);
    // The store is locked by this process, so a socket that lies here is one that nobody listens at.
    match fs::remove_file(&path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let (short, dir) = address(store)?;
    let listener = UnixListener::bind(&short)?;
    drop(dir);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let owner = fs::metadata(&path)?.uid();
    Ok(Desk { listener, path, owner })
}

/// Takes orders for a tenant until it is told to stop.
///
/// # Errors
/// If the socket cannot be removed in the end.
pub(super) async fn listen(tenant: Tenant, desk: Desk, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
    let Desk { listener, path, owner } = desk;
    let mut calls = JoinSet::new();
    while !*stopped.borrow_and_update() {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = calls.join_next(), if !calls.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let is_allowed = stream.peer_cred().is_ok_and(|peer| [owner, 0].contains(&peer.uid()));
                    if is_allowed {
                        calls.spawn(serve(tenant.clone(), stream));
                    }
                }
                Err(why) => {
                    tracing::warn!(error = %why, "an order could not be heard");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    calls.shutdown().await;
    match fs::remove_file(&path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

async fn serve(tenant: Tenant, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = tokio::io::BufReader::new(read.take(ORDER_BYTES_MAX));
    let answer = match timeout(PATIENCE, read.read_line(&mut line)).await {
        Ok(Ok(_)) => match serde_json::from_str::<Order>(&line) {
            Ok(order) => match tenant.order(order).await {
                Ok(done) => Answer::Done(done),
                Err(why) => Answer::Failed(chain(&why)),
            },
            Err(_) => Answer::Failed("the order cannot be understood: is the command of another version?".to_owned()),
        },
        _ => return,
    };
    let mut bytes = serde_json::to_vec(&answer).expect("answers are plain JSON");
    bytes.push(b'\n');
    if let Err(why) = write.write_all(&bytes).await {
        tracing::debug!(error = %why, "whoever gave an order did not wait for the answer");
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !told.contains(&text) {
            told.push_str(": ");
            told.push_str(&text);
        }
        cause = inner.source();
    }
    told
}

/// Gives an order to the process that serves a store; `None`: none does.
///
/// # Errors
/// If it cannot be reached, or does not carry the order out.
pub fn ask(store: &Path, order: &Order) -> Result<Option<Json>, AskError> {
    let failed = |source| AskError::Io { store: store.to_owned(), source };
    let (short, dir) = match address(store) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        address => address.map_err(failed)?,
    };
    let connected = PlainStream::connect(&short);
    drop(dir);
    let mut stream = match connected {
        Ok(stream) => stream,
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(why) => return Err(failed(why)),
    };
    let mut bytes = serde_json::to_vec(order).expect("orders are plain JSON");
    bytes.push(b'\n');
    stream.write_all(&bytes).map_err(failed)?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut line).map_err(failed)?;
    match serde_json::from_str::<Answer>(&line) {
        Ok(Answer::Done(done)) => Ok(Some(done)),
        Ok(Answer::Failed(why)) => Err(AskError::Failed(why)),
        Err(_) => Err(AskError::Answer(store.to_owned())),
    }
}

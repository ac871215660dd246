//! How fast webhooks are answered: 500 a second of ten events each, over sockets on the loopback.
//!
//! Requests leave on time whether earlier ones were answered or not, and each is timed from when it was due, so a stall
//! shows in all that it held up. Beside it stands what the machine takes meanwhile to write as many bytes and sync them.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc, oneshot},
    time::sleep_until,
};

use super::bench_disk::Syncs;
use crate::{
    clock::Millis,
    engine::{Engine, Handle},
    event::{Author, Draft, Kind, Origin},
    id::{FieldName, RecordId, SideName, from_hex, to_hex},
    metrics::Metrics,
    server::{Call, Doors, Heard, Hook, Refusal, Server, Settings, Tenant, Tenants, TokenError, Tokens},
    value::Value,
};

/// How many requests, at which distance, with how many events each.
const REQUESTS: usize = 5_000;
const DISTANCE: Duration = Duration::from_millis(2);
const EVENTS: usize = 10;
/// Over so many connections, as a side has them that calls much.
const CONNECTIONS: usize = 40;
const SECRET: &[u8] = b"a secret that is only ever used by this measure";

/// What was measured.
pub struct Measured {
    /// The time from when each request was due to its answer, ascending.
    pub answers: Vec<Duration>,
    /// Answers that were not 204.
    pub refused: usize,
    /// From the first request's due time to the last answer.
    pub took: Duration,
    /// What one write with a sync took meanwhile, ascending.
    pub syncs: Vec<Duration>,
}

/// The requests of a measure.
pub fn requests() -> usize {
    REQUESTS
}

/// The events of a measure.
pub fn events() -> usize {
    REQUESTS * EVENTS
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum HooksError {
    /// The machine's sockets or disk failed.
    #[error("cannot measure")]
    Io(#[from] io::Error),
    /// The store has no room for tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Measures a store that was just made.
pub fn measure(engine: &Engine, store: &Path) -> Result<Measured, HooksError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let syncs = Syncs::begin(store.join("sync"));
    let measured = runtime.block_on(calls(engine, store));
    let syncs = syncs.end()?;
    let (answers, refused, took) = measured?;
    Ok(Measured { answers, refused, took, syncs })
}

async fn calls(engine: &Engine, store: &Path) -> Result<(Vec<Duration>, usize, Duration), HooksError> {
    let tenant = Tenant::new(Handle::new(engine.clone()), Tokens::open(store)?);
    let mut doors = Doors { public_url: Some("https://bench.example".to_owned()), ..Doors::default() };
    let side = SideName::new("portal").expect("a good name");
    doors.hooks.insert(side.clone(), Arc::new(Signed { side, mac: mac() }));
    tenant.set_doors(doors);
    let (tenants, _) = Tenants::one(tenant);
    let server = Server::new(tenants, Metrics::new(), Settings::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move { server.serve(listener, async { drop(stopped.await) }).await });

    let begins = Instant::now() + Duration::from_millis(100);
    let (send, due) = mpsc::unbounded_channel::<usize>();
    let due = Arc::new(Mutex::new(due));
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        callers.push(tokio::spawn(caller(TcpStream::connect(address).await?, due.clone(), begins)));
    }
    for request in 0..REQUESTS {
        sleep_until((begins + DISTANCE * request as u32).into()).await;
        send.send(request).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
    }
    drop(send);
    let (mut answers, mut refused) = (Vec::with_capacity(REQUESTS), 0);
    for caller in callers {
        let (took, not_taken) = caller.await.map_err(io::Error::other)??;
        answers.extend(took);
        refused += not_taken;
    }
    let took = begins.elapsed();
    drop(stop);
    serving.await.map_err(io::Error::other)??;
    answers.sort_unstable();
    Ok((answers, refused, took))
}

/// Sends what is due over one connection, one request after the other.
async fn caller(
    mut stream: TcpStream,
    due: Arc<Mutex<mpsc::UnboundedReceiver<usize>>>,
    begins: Instant,
) -> io::Result<(Vec<Duration>, usize)> {
    stream.set_nodelay(true)?;
    let (mut took, mut refused) = (Vec::new(), 0);
    loop {
        let next = due.lock().await.recv().await;
        let Some(request) = next else { return Ok((took, refused)) };
        let due = begins + DISTANCE * request as u32;
        stream.write_all(&bytes_of(request)).await?;
        refused += usize::from(!answer(&mut stream).await?.starts_with(b"HTTP/1.1 204 "));
        took.push(due.elapsed());
    }
}

/// Reads an answer; one of these has no body.
async fn answer(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut bytes) = (Vec::new(), [0; 1024]);
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut bytes).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&bytes[..read]);
    }
    Ok(head)
}

fn mac() -> Hmac<Sha256> {
    Hmac::new_from_slice(SECRET).expect("a key may have any length")
}

fn bytes_of(request: usize) -> Vec<u8> {
    let letter = |at: usize| {
        let number = request * EVENTS + at;
        let record = number.wrapping_mul(7919) % 2_000;
        format!(
            r#"{{"record":"contact/{record:06}","phone":"+1-555-{number:07}","at":{}}}"#,
            1_750_000_000_000 + number
        )
    };
    let body = format!("[{}]", (0..EVENTS).map(letter).collect::<Vec<_>>().join(","));
    let signature = to_hex(&mac().chain_update(&body).finalize().into_bytes());
    let length = body.len();
    let head = format!(
        "POST /hooks/portal HTTP/1.1\r\nhost: x\r\nx-signature: {signature}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

/// The measure's own dialect: as much work as a real one, an HMAC over the body and JSON.
struct Signed {
    side: SideName,
    mac: Hmac<Sha256>,
}

#[derive(Deserialize)]
struct Letter<'a> {
    record: &'a str,
    phone: &'a str,
    at: i64,
}

impl Hook for Signed {
    fn dialect(&self) -> &'static str {
        "bench"
    }

    fn verify(&self, call: &Call<'_>) -> Result<(), Refusal> {
        let shown = call.header("x-signature").and_then(from_hex).ok_or(Refusal::NotGenuine("unsigned"))?;
        let mac = self.mac.clone().chain_update(call.body);
        mac.verify_slice(&shown).map_err(|_| Refusal::NotGenuine("wrong"))
    }

    fn read(&self, body: &[u8], _now: Millis) -> Result<Heard, Refusal> {
        let malformed = |why: &dyn std::fmt::Display| Refusal::Malformed(why.to_string());
        let letters: Vec<Letter> = serde_json::from_slice(body).map_err(|why| malformed(&why))?;
        let mut heard = Heard::default();
        for letter in letters {
            let record = RecordId::new(letter.record).map_err(|why| malformed(&why))?;
            let origin = Origin::side(self.side.clone());
            let mut draft = Draft::new(Kind::Edit, record, origin, Millis(letter.at), Author::user("bench"));
            draft.words = vec![(FieldName::new("phone").expect("a good name"), Value::text(letter.phone))];
            heard.drafts.push(draft);
        }
        Ok(heard)
    }
}

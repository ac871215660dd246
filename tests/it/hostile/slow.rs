//! Connections that are held, by those who say nothing, say it slowly, or take nothing: the others are served within their bound.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::json;
use syncline::server::Settings;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{interval, timeout},
};

use super::wire::{self, call, exchange, statuses};
use crate::{
    http_api::world::{World, change, sent},
    suites,
};

/// The deadlines of the service for heads and for bodies.
const DEADLINE: Duration = Duration::from_secs(3);
/// A dribbling client sends a byte so often: each comes well before the deadline, and all of them never do.
const DRIBBLE: Duration = Duration::from_millis(200);
/// The longest that a good client may wait.
const BOUND: Duration = Duration::from_secs(2);

/// How a client holds its connection.
#[derive(Clone, Copy, Debug)]
enum Way {
    Silent,
    HalfALine,
    DribbledLine,
    DribbledHeaders,
    HeadWithoutEnd,
    NoBody,
    HalfABody,
    DribbledBody,
    DribbledChunks,
    IdleAfterAnAnswer,
    UnwantedBody,
}

const WAYS: [Way; 11] = [
    Way::Silent,
    Way::HalfALine,
    Way::DribbledLine,
    Way::DribbledHeaders,
    Way::HeadWithoutEnd,
    Way::NoBody,
    Way::HalfABody,
    Way::DribbledBody,
    Way::DribbledChunks,
    Way::IdleAfterAnAnswer,
    Way::UnwantedBody,
];

impl Way {
    /// What is sent at once, what is sent byte by byte after it, and the statuses of the answers before the server hangs up.
    fn plan(self, token: &str) -> (Vec<u8>, Vec<u8>, &'static [u16]) {
        let head = format!(
            "POST /v1/changes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        );
        let sized = format!("{head}content-length: 1000000\r\n\r\n");
        let text = |text: &str| text.as_bytes().to_vec();
        match self {
            Way::Silent => (Vec::new(), Vec::new(), &[]),
            Way::HalfALine => (text("GET /v1/sta"), Vec::new(), &[]),
            Way::DribbledLine => (Vec::new(), text(&format!("GET /{}", "a".repeat(500))), &[]),
            Way::DribbledHeaders => (text("GET /healthz HTTP/1.1\r\nhost: x\r\n"), text(&"a: b\r\n".repeat(90)), &[]),
            Way::HeadWithoutEnd => (text(&head), Vec::new(), &[]),
            Way::NoBody => (text(&sized), Vec::new(), &[408]),
            Way::HalfABody => (text(&format!("{sized}{}", " ".repeat(30 << 10))), Vec::new(), &[408]),
            Way::DribbledBody => (text(&sized), vec![b' '; 500], &[408]),
            Way::DribbledChunks => {
                let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
                (text(&chunked), text(&"1\r\n \r\n".repeat(90)), &[408])
            }
            Way::IdleAfterAnAnswer => (wire::get("/healthz", ""), Vec::new(), &[200]),
            Way::UnwantedBody => {
                let unwanted = sized.replace(token, "nobody");
                (text(&unwanted), vec![b' '; 500], &[401])
            }
        }
    }
}

/// Holds a connection as long as the server lets it be held; what was told, and for how long it held.
async fn hold(mut stream: TcpStream, token: String, way: Way) -> (Way, Vec<u8>, Duration) {
    let (at_once, slowly, _) = way.plan(&token);
    let began = Instant::now();
    stream.write_all(&at_once).await.expect("written");
    let (mut reads, mut writes) = stream.split();
    let mut told = Vec::new();
    let dribble = async {
        let mut turns = interval(DRIBBLE);
        for byte in slowly {
            turns.tick().await;
            if writes.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        // Says nothing more, and does not hang up either.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // Being hung up on while bytes are on their way is a reset.
        _end = reads.read_to_end(&mut told) => {}
        () = dribble => {}
    }
    (way, told, began.elapsed())
}

/// How many files this process may have open.
fn files_max() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or(u64::MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_connections_are_held_and_cut_off_while_good_clients_are_served() {
    let count = suites::cases(500, 500, 2000);
    assert!(
        files_max() > 2 * count + 200,
        "{} open files are too few for this: raise it with `ulimit -n`",
        files_max()
    );
    let settings = Settings {
        header_time: DEADLINE,
        body_time: DEADLINE,
        connections: 4096,
        connections_by_address: 4096,
        ..Settings::default()
    };
    let world = World::with(settings).await;
    let address = world.base.trim_start_matches("http://").to_owned();
    let mut held = JoinSet::new();
    for at in 0..count {
        // One after the other: where the queue of new ones overflows, a silent client is never told that nobody has him.
        let stream = TcpStream::connect(&address).await.expect("connected");
        held.spawn(hold(stream, world.token.clone(), WAYS[at as usize % WAYS.len()]));
    }
    let mut waits = Vec::new();
    let (began, mut least) = (Instant::now(), usize::MAX);
    while began.elapsed() < DEADLINE / 2 {
        let asked = Instant::now();
        world.set(&format!("contact/{}", waits.len()), "phone", json!("+1")).await;
        waits.push(asked.elapsed());
        least = least.min(held.len());
    }
    assert_eq!(least as u64, count, "all of them are held meanwhile");
    let last = world.engine().last().0;
    // Two deadlines for whoever is idle after an answer, and what a busy machine adds.
    let longest = 3 * DEADLINE + Duration::from_secs(10);
    while let Some(done) = timeout(longest, held.join_next()).await.expect("all of them are cut off in time") {
        let (way, told, took) = done.expect("it ends well");
        let (_, _, due) = way.plan(&world.token);
        assert_eq!(statuses(&told).as_deref(), Some(due), "{way:?}: {}", String::from_utf8_lossy(&told));
        assert!(took < longest, "{way:?} held on for {took:?}");
    }
    assert_eq!(world.engine().last().0, last, "none of them has said anything");
    waits.sort();
    let (p99, most) = (waits[waits.len() * 99 / 100], *waits.last().expect("some"));
    assert!(most < BOUND, "a good client waited for {most:?}");
    let told =
        format!("slow connections held, and {} edits answered meanwhile: p99 {p99:?}, at most {most:?}", waits.len());
    suites::reached("slow connections", count, &told);
    world.stop().await;
}

#[tokio::test]
async fn connections_are_capped_in_all() {
    let world = World::with(Settings { connections: 4, ..Settings::default() }).await;
    let address = world.base.trim_start_matches("http://");
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(&wire::get("/healthz", "")).await.expect("written");
        stream.read_exact(&mut [0]).await.expect("answered");
        held.push(stream);
    }
    let told = exchange(address, &wire::get("/healthz", ""), false).await;
    let told = String::from_utf8(told).expect("text");
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 1"), "{told}");
    held.pop();
    // The place is given back as the connection goes.
    while statuses(&exchange(address, &wire::get("/healthz", "connection: close\r\n"), false).await) != Some(vec![200])
    {
    }
    drop(held);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_all_come_at_once_are_turned_away_before_they_take_memory() {
    const ROOM: usize = 8 << 20;
    let world = World::with(Settings { body_bytes: ROOM, body_time: DEADLINE, ..Settings::default() }).await;
    let address = world.base.trim_start_matches("http://").to_owned();
    // All but its last byte, so that each holds what it has sent.
    let body = vec![b' '; 1 << 20];
    let large = call(&world.token, "POST /v1/changes", "", &body);
    let mut held = JoinSet::new();
    for _ in 0..60 {
        let (address, bytes) = (address.clone(), large[..large.len() - 1].to_vec());
        held.spawn(async move {
            let mut stream = TcpStream::connect(&address).await.expect("connected");
            let (mut reads, mut writes) = stream.split();
            let mut told = Vec::new();
            let waits = async {
                if writes.write_all(&bytes).await.is_ok() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                _end = reads.read_to_end(&mut told) => {}
                () = waits => {}
            }
            statuses(&told).expect("answers")
        });
    }
    let (mut busy, mut late) = (0, 0);
    while let Some(told) = held.join_next().await {
        match told.expect("it ends well")[..] {
            [503] => busy += 1,
            [408] => late += 1,
            // The answer was lost in the reset of a client that went on sending.
            [] => busy += 1,
            ref other => panic!("answered {other:?}"),
        }
    }
    assert!(late <= ROOM >> 20, "{late} bodies of 1 MiB were held in 8 MiB");
    assert!(busy >= 60 - (ROOM >> 20), "{busy} were turned away");
    let told = world.get("/metrics").send().await.expect("answered").text().await.expect("a text");
    let line = told.lines().find(|line| line.contains("\"bodies\"")).unwrap_or_default();
    assert!(!line.is_empty() && !line.ends_with(" 0"), "{line:?} counts them");
    let good = timeout(BOUND, sent(world.post("/v1/changes", &change("contact/1", "phone", json!("+1")))));
    assert_eq!(good.await.expect("in time").0, 200);
    world.stop().await;
}

//! Sides that answer with malice: we go nowhere else, unpack nothing, and wait for nobody longer than we said.

use std::{
    fs,
    io::Write,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use reqwest::Method;
use syncline::side::http::{Answer, Broken, Http, Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

const LIMITS: Limits =
    Limits { connect: Duration::from_secs(2), whole: Duration::from_secs(2), answer_bytes: 64 << 10, private: false };

/// A side that answers every request with these bytes; `again` are sent for ever after them.
async fn side(answer: Vec<u8>, again: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, again) = (answer.clone(), again.clone());
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                if stream.read(&mut asked).await.is_ok_and(|read| read > 0) && stream.write_all(&answer).await.is_ok() {
                    while !again.is_empty() && stream.write_all(&again).await.is_ok() {}
                }
            });
        }
    });
    address
}

/// Asks a side, and says what came of it and how long it took.
async fn ask(address: SocketAddr) -> (Result<Answer, Broken>, Duration) {
    let http = Http::new(&format!("http://{address}"), LIMITS).expect("an address");
    let request = http.request(Method::POST, "/crm/v3/objects").expect("below it").body("{}");
    let began = Instant::now();
    let answered = timeout(4 * LIMITS.whole, http.call(request)).await.expect("the deadline holds");
    (answered, began.elapsed())
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to = elsewhere.local_addr().expect("an address");
    for status in [300, 301, 302, 303, 305, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} Moved\r\nlocation: http://{to}/\r\nrefresh: 0; url=http://{to}/\r\ncontent-length: 0\r\n\r\n"
        );
        let (answered, _) = ask(side(answer.into_bytes(), Vec::new()).await).await;
        assert_eq!(answered.expect("an answer").status, status);
    }
    timeout(Duration::from_millis(100), elsewhere.accept()).await.expect_err("nobody calls");
}

#[tokio::test]
async fn an_answer_is_never_unpacked_and_never_larger_than_its_bound() {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..32 {
        packer.write_all(&[b' '; 1 << 20]).expect("into memory");
    }
    let bomb = packer.finish().expect("into memory");
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let (answered, _) = ask(side([head.as_bytes(), &bomb].concat(), Vec::new()).await).await;
    assert_eq!(answered.expect("an answer").body, bomb, "as it came");

    let endless = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    let (answered, _) = ask(side(endless, vec![b'['; 10_000]).await).await;
    assert!(matches!(answered, Err(Broken::AnswerTooLarge(bytes)) if bytes == LIMITS.answer_bytes));
    let chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let (answered, _) =
        ask(side(chunks, b"ff\r\n".iter().copied().chain([b'x'; 255]).chain(*b"\r\n").collect()).await).await;
    assert!(matches!(answered, Err(Broken::AnswerTooLarge(_))));
}

#[tokio::test]
async fn whoever_answers_nonsense_or_never_ends_is_left_in_time() {
    let sides: [(&str, &[u8], &[u8]); 9] = [
        ("nothing at all", b"", b""),
        ("noise", b"\x16\x03\x01nonsense\r\n\r\n", b""),
        ("half a head", b"HTTP/1.1 200 OK\r\ncontent-le", b""),
        ("a head without end", b"HTTP/1.1 200 OK\r\n", b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"),
        ("a header without end", b"HTTP/1.1 200 OK\r\nx: ", b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"),
        ("invitations without end", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", b""),
        ("a body that ends too soon", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", b""),
        ("a chunk that is none", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b""),
    ];
    for (what, answer, again) in sides {
        let (answered, took) = ask(side(answer.to_vec(), again.to_vec()).await).await;
        let why = answered.err().unwrap_or_else(|| panic!("{what} is no answer"));
        assert!(!why.never_left(), "{what}: the request may have been taken");
        assert!(took < 2 * LIMITS.whole, "{what} took {took:?}");
    }
}

#[tokio::test]
async fn a_name_that_leads_into_our_own_network_is_not_called() {
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let lines = hosts.lines().filter_map(|line| line.split('#').next()?.split_once(char::is_whitespace));
    let own = lines.filter(|(address, _)| address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()));
    let name = own.flat_map(|(_, names)| names.split_whitespace()).find(|name| *name != "localhost");
    let Some(name) = name else { return println!("SKIPPED: this machine has no second name for itself") };
    let address = side(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(), Vec::new()).await;
    let call = |limits: Limits| {
        let http = Http::new(&format!("http://{name}:{}", address.port()), limits).expect("an address");
        async move { http.call(http.request(Method::GET, "/").expect("below it")).await }
    };
    let why = call(LIMITS).await.expect_err("it is our own");
    assert!(why.never_left());
    // Where that is meant, and the name is of the address on which we listen.
    if let Ok(answer) = call(Limits { private: true, ..LIMITS }).await {
        assert_eq!(answer.status, 200);
    }
}

//! Hostile requests, made by kinds, each with the one answer that is right.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use syncline::server::{BODY_BYTES_MAX, BODY_DEPTH_MAX, Server};

use super::wire::{call, edit_body, get};

/// What is sent, and what has to come of it.
pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    /// The statuses of the answers.
    pub due: Vec<u16>,
    /// Whether the connection goes on; else the server hangs up, and reads nothing more.
    pub stays: bool,
    /// Whether the client says after it that it has nothing more to say.
    pub cut: bool,
    /// How many events it puts into the log.
    pub takes: u64,
}

fn case(name: impl Into<String>, bytes: impl Into<Vec<u8>>, due: &[u16]) -> Case {
    Case { name: name.into(), bytes: bytes.into(), due: due.to_vec(), stays: false, cut: false, takes: 0 }
}

/// A case after which the connection goes on.
fn stays(name: impl Into<String>, bytes: impl Into<Vec<u8>>, due: u16) -> Case {
    Case { stays: true, ..case(name, bytes, &[due]) }
}

/// All of them.
pub fn all(token: &str) -> Vec<Case> {
    let kinds = [
        lines(),
        header_bytes(),
        heads(token),
        lengths(token),
        smuggled(token),
        chunks(token),
        paths(token),
        methods(token),
        media(token),
        json(token),
        callers(token),
        bodies(token),
        targets(token),
        pipelines(token),
        cut_off(token),
    ];
    kinds.into_iter().flatten().collect()
}

/// Request lines that are none.
fn lines() -> Vec<Case> {
    let bad: [&[u8]; 24] = [
        b"GET",
        b"GET /healthz",
        b"GET /healthz HTTP",
        b"GET /healthz HTTP/1",
        b"GET /healthz HTTP/1.2",
        b"GET /healthz HTTP/3.0",
        b"GET /healthz HTTP/9.9",
        b"GET /healthz HTTP/11",
        b"GET /healthz http/1.1",
        b"GET /healthz HTTP/1.1 x",
        b"GET /healthz HTTP/1.1\0",
        b"GET /health z HTTP/1.1",
        b"GET /healthz\0 HTTP/1.1",
        b"GET /health\x01z HTTP/1.1",
        b"GET /healthz\x7f HTTP/1.1",
        b"GET\t/healthz\tHTTP/1.1",
        b" GET /healthz HTTP/1.1",
        b"GET  HTTP/1.1",
        b"G\0T /healthz HTTP/1.1",
        b"G@T /healthz HTTP/1.1",
        b"{} /healthz HTTP/1.1",
        b"\xff\xfe /healthz HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.6",
    ];
    let told = |line: &[u8]| format!("the line {}", line.escape_ascii());
    let whole = |line: &[u8]| [line, b"\r\nhost: x\r\n\r\n"].concat();
    let mut cases: Vec<Case> = bad.iter().map(|line| case(told(line), whole(line), &[400])).collect();
    // Whoever speaks HTTP/2 unasked would not understand an answer of HTTP/1.
    cases.push(case("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", &[]));
    cases
}

/// Bytes that no header may hold, each in a name and in a value.
fn header_bytes() -> Vec<Case> {
    let controls = (0u8..32).chain([127]).filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r'));
    let in_value = controls.clone().map(|byte| (byte, [b"x: a".as_slice(), &[byte], b"b"].concat(), "a value"));
    let no_token = b"\"(),/;<=>?@[\\]{} \t".iter().copied().chain(128..=135);
    let in_name = controls.chain(no_token).map(|byte| (byte, [b"x".as_slice(), &[byte], b"y: a"].concat(), "a name"));
    let lines = in_value.chain(in_name).map(|(byte, line, place)| (format!("byte {byte} in {place}"), line));
    let others: [(&str, &[u8]); 6] = [
        ("a line without a colon", b"nonsense"),
        ("a line without a name", b": a"),
        ("a space before the colon", b"x : a"),
        ("a line that goes on in the next", b"x: a\r\n b"),
        ("a carriage return alone", b"x: a\rb: c"),
        ("a first line that begins with a space", b" x: a"),
    ];
    let others = others.map(|(name, line)| (name.to_owned(), line.to_vec()));
    let whole = |line: Vec<u8>| [b"GET /healthz HTTP/1.1\r\nhost: x\r\n".as_slice(), &line, b"\r\n\r\n"].concat();
    lines.chain(others).map(|(name, line)| case(name, whole(line), &[400])).collect()
}

/// Heads that are too much, and some that are just not.
fn heads(token: &str) -> Vec<Case> {
    let large = |bytes: usize| format!("x: {}\r\n", "y".repeat(bytes));
    let cookies = |count: usize| (0..count).map(|n| format!("cookie: session{n}=\"../..\"\r\n")).collect::<String>();
    let mut cases = vec![
        case("a header of 40 KiB", get("/healthz", &large(40 << 10)), &[431]),
        case("a header of 1 MiB", get("/healthz", &large(1 << 20)), &[431]),
        case("a name of 40 KiB", get("/healthz", &format!("{}: y\r\n", "x".repeat(40 << 10))), &[431]),
        case("101 headers", get("/healthz", &cookies(100)), &[431]),
        case("5000 headers", get("/healthz", &"a: b\r\n".repeat(5000)), &[431]),
        case("an address of 70 KiB", get(&format!("/{}", "a".repeat(70 << 10)), ""), &[431]),
        stays("90 cookies", get("/healthz", &cookies(90)), 200),
        stays("a cookie of 20 KiB", get("/healthz", &format!("cookie: {}\r\n", "a=b; ".repeat(4 << 10))), 200),
        stays("an address of 20 KiB", get(&format!("/{}", "a".repeat(20 << 10)), ""), 404),
    ];
    let long = "x".repeat(20 << 10);
    for name in ["syncline-user", "syncline-contact", "syncline-company"] {
        let asked = |value: &str| call(token, "GET /v1/status", &format!("{name}: {value}\r\n"), b"");
        cases.push(stays(format!("a {name} of 20 KiB"), asked(&long), 400));
        cases.push(stays(format!("an empty {name}"), asked(""), 400));
        cases.push(stays(format!("two of {name}"), asked(&format!("contact/1\r\n{name}: contact/2")), 400));
    }
    for ignored in
        ["range: bytes=0-0,1-1", "upgrade: websocket\r\nconnection: upgrade", "te: trailers", "expect: nothing"]
    {
        cases.push(stays(format!("with {}", ignored.escape_debug()), get("/healthz", &format!("{ignored}\r\n")), 200));
    }
    cases
}

/// The head of an edit without what says how long its body is.
fn head(token: &str) -> String {
    format!(
        "POST /v1/changes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    )
}

/// Lengths that are none.
fn lengths(token: &str) -> Vec<Case> {
    let head = head(token);
    let body = String::from_utf8(edit_body("contact/smuggled")).expect("UTF-8");
    let length = body.len();
    let bad = [
        "-1".to_owned(),
        format!("+{length}"),
        format!("{length},{length}"),
        format!("{length}, {}", length + 1),
        format!("0x{length:x}"),
        format!("{length}.0"),
        format!("{length} {length}"),
        format!("{length}\x0b"),
        format!("\"{length}\""),
        "1e2".to_owned(),
        "18446744073709551616".to_owned(),
        "99999999999999999999999999".to_owned(),
        "".to_owned(),
        "x".to_owned(),
        format!("{length}\r\ncontent-length: {}", length + 1),
        format!("{length}\r\ncontent-length: 0"),
        format!("0\r\ncontent-length: {length}"),
    ];
    let cases = bad.into_iter().map(|length| {
        let bytes = format!("{head}content-length: {length}\r\n\r\n{body}");
        case(format!("the length {}", length.escape_debug()), bytes, &[400])
    });
    cases.collect()
}

/// Requests that two servers could take for different ones.
fn smuggled(token: &str) -> Vec<Case> {
    let head = head(token);
    let inner = format!("{head}content-length: 0\r\n\r\n");
    let body = String::from_utf8(edit_body("contact/smuggled")).expect("UTF-8");
    let chunked = |body: &str| format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let mut cases = Vec::new();
    let not_chunked = [
        "identity",
        "gzip",
        "chunked, identity",
        "chunked, gzip",
        "xchunked",
        "chunked;q=1",
        "chunked\r\ntransfer-encoding: identity",
        "chunke",
        "\"chunked\"",
    ];
    for coding in not_chunked {
        for length in ["", "content-length: 4\r\n"] {
            let bytes = format!("{head}{length}transfer-encoding: {coding}\r\n\r\n{}", chunked(&body));
            cases.push(case(format!("coded {} {}", coding.escape_debug(), length.trim()), bytes, &[400]));
        }
    }
    // By both: what is chunked counts, and the connection ends, so that nothing behind it is taken for a request.
    for (first, second) in
        [("content-length: 4", "transfer-encoding: chunked"), ("transfer-encoding: chunked", "content-length: 4")]
    {
        let bytes = format!("{head}{first}\r\n{second}\r\n\r\n{}{inner}", chunked("{}"));
        cases.push(case(format!("{first} and {second}"), bytes, &[422]));
    }
    let old = head.replace("HTTP/1.1", "HTTP/1.0");
    cases.push(case("chunks in HTTP/1.0", format!("{old}transfer-encoding: chunked\r\n\r\n{}", chunked("{}")), &[400]));
    cases.push(case(
        "a name with a space",
        format!("{head}transfer-encoding : chunked\r\n\r\n{}", chunked("{}")),
        &[400],
    ));
    cases.push(case(
        "a folded coding",
        format!("{head}transfer-encoding:\r\n chunked\r\n\r\n{}", chunked("{}")),
        &[400],
    ));
    // Read to the end as one body: the request in it is none.
    let hidden = call(token, "POST /v1/changes", "", inner.as_bytes());
    cases.push(stays("a request in a body", hidden, 400));
    cases
}

/// Chunks that are none. A body that breaks off is told, where it was read, and the connection ends.
fn chunks(token: &str) -> Vec<Case> {
    let head = format!("{}transfer-encoding: chunked\r\n\r\n", head(token));
    let bad = [
        "x\r\n{}\r\n0\r\n\r\n",
        "-1\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "2 2\r\n{}\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}x\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "1\r\n{}\r\n0\r\n\r\n",
        "2\n{}\n0\n\n",
        "2\r{}\r\n0\r\n\r\n",
        "2\r\n{}\r\nz\r\n\r\n",
        "2;a\n=b\r\n{}\r\n0\r\n\r\n",
    ];
    let mut cases: Vec<Case> = bad
        .iter()
        .map(|body| case(format!("chunks {}", body.escape_debug()), format!("{head}{body}"), &[400]))
        .collect();
    let extended = |bytes: usize| format!("{head}2;a={}\r\n{{}}\r\n0\r\n\r\n", "b".repeat(bytes));
    cases.push(stays("a short extension of a chunk", extended(100), 422));
    cases.push(case("an extension of 100 KiB", extended(100 << 10), &[400]));
    let trailers = |count: usize| format!("{head}2\r\n{{}}\r\n0\r\n{}\r\n", "x: y\r\n".repeat(count));
    cases.push(stays("trailers", trailers(3), 422));
    cases.push(case("5000 trailers", trailers(5000), &[400]));
    let ones = |count: usize| format!("{head}{}0\r\n\r\n", "1\r\n \r\n".repeat(count));
    cases.push(stays("20,000 chunks of a byte each", ones(20_000), 400));
    let trailed = format!("{head}2\r\n{{}}\r\n0\r\nauthorization: Bearer x\r\ncontent-length: 9\r\n\r\n");
    cases.push(stays("trailers that would change the request", trailed, 422));
    cases
}

/// Paths that would lead elsewhere.
fn paths(token: &str) -> Vec<Case> {
    let nowhere = [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/../../etc/passwd",
        "/v1//status",
        "//v1/status",
        "/v1/status/",
        "/v1/status%00",
        "/v1/%73tatus",
        "/v1\\status",
        "/V1/STATUS",
        "/v1/status;x=y",
        "/v1%2fstatus",
        "/.env",
        "/.git/config",
        "/wp-login.php",
        "/tokens.json",
        "/t/acme",
        "/t/acme/../acme/v1/status",
        "/problems/../healthz",
        "/problems/%ff",
        "/problems/nothing",
        "/%",
        "/%zz",
        "/v1/records/contact/1/why/phone/more",
        "/v1/records/contact/..%2f..%2fsecret",
        "/v1/records/contact/1%00",
        "/v1/records/contact/%0d%0ax:y",
        "/v1/records/contact/%F0%9F%98%80",
    ];
    let ask = |path: &str| call(token, &format!("GET {path}"), "", b"");
    let mut cases: Vec<Case> = nowhere.iter().map(|path| stays(format!("the path {path}"), ask(path), 404)).collect();
    for path in ["/v1/records/contact/%ff", "/v1/records/%c3%28", "/v1/records/contact/%ed%a0%80", "/t/%ff/v1/status"] {
        cases.push(stays(format!("the path {path}"), ask(path), 400));
    }
    let queries = [
        "/v1/changes?since=-1",
        "/v1/changes?since=18446744073709551616",
        "/v1/changes?since=1&since=2",
        "/v1/changes?limit=0",
        "/v1/changes?limit=1001",
        "/v1/changes?limit=1e3",
        "/v1/changes?limit=%ff",
        "/v1/changes?nothing=1",
        "/v1/records/contact/1?at=event:99999999999999999999",
        "/v1/records/contact/1?at=9999999999999999999",
        "/v1/records/contact/1?at=+292277026596-01-01T00:00:00Z",
        "/v1/records/contact/1?at=2026-02-30T00:00:00Z",
        "/v1/records/contact/1?at=",
        "/v1/conflicts?limit=0x10",
        "/v1/parked?limit=-5",
    ];
    cases.extend(queries.iter().map(|path| stays(format!("the query {path}"), ask(path), 400)));
    cases
}

/// Every address, by every method that it does not take.
fn methods(token: &str) -> Vec<Case> {
    let document = serde_json::to_value(Server::openapi()).expect("JSON");
    let routes = document["paths"].as_object().expect("paths").clone();
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "X"];
    let mut cases = Vec::new();
    for (path, item) in routes {
        let plain = ["{kind}", "{id}", "{field}", "{side}", "{app}", "{name}"]
            .iter()
            .fold(path.clone(), |path, name| path.replace(name, "x"));
        let taken =
            |method: &&&str| item.get(method.to_ascii_lowercase()).is_none() || method.chars().any(char::is_lowercase);
        for method in methods.iter().filter(taken) {
            let bytes = call(token, &format!("{method} {plain}"), "", b"");
            cases.push(stays(format!("{method} {path}"), bytes, 405));
        }
    }
    cases
}

/// What a body is said to be.
fn media(token: &str) -> Vec<Case> {
    let head = format!("POST /v1/changes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n");
    let body = String::from_utf8(edit_body("contact/media")).expect("UTF-8");
    let with = |lines: &str| format!("{head}{lines}content-length: {}\r\n\r\n{body}", body.len());
    let types = [
        "",
        "content-type:\r\n",
        "content-type: text/plain\r\n",
        "content-type: text/json\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: multipart/form-data; boundary=x\r\n",
        "content-type: application/xml\r\n",
        "content-type: application/jsonx\r\n",
        "content-type: application\r\n",
        "content-type: *\x2f*\r\n",
        "content-type: application/json, text/plain\r\n",
        "content-type: application/json\r\ncontent-type: text/plain\r\n",
        "content-type: application/json\r\ncontent-type: application/json\r\n",
    ];
    let mut cases: Vec<Case> =
        types.iter().map(|lines| stays(format!("as {}", lines.escape_debug()), with(lines), 415)).collect();
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        packer.write_all(&[b' '; 1 << 20]).expect("into memory");
    }
    let bomb = packer.finish().expect("into memory");
    for packed in ["gzip", "x-gzip", "br", "deflate", "zstd", "gzip, gzip", "identity, gzip", "", "GZIP", "nonsense"] {
        for (path, route) in [("/v1/changes", "the API"), ("/hooks/portal", "a hook")] {
            let bytes = call(token, &format!("POST {path}"), &format!("content-encoding: {packed}\r\n"), &bomb);
            cases.push(stays(format!("64 MiB packed as {packed:?} for {route}"), bytes, 415));
        }
    }
    cases
}

/// Bodies that are not the JSON that they should be.
fn json(token: &str) -> Vec<Case> {
    let deep = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    let changes = |members: &str| format!(r#"{{"changes":[{{"record":"contact/json","set":{{{members}}}}}]}}"#);
    let not_json: [&[u8]; 22] = [
        b"",
        b" ",
        b"x",
        b"nul",
        b"{",
        b"}",
        b"{\"changes\":[}",
        b"{\"changes\":[],}",
        b"{\"changes\":[]}x",
        b"{\"changes\":[]}{\"changes\":[]}",
        b"{'changes':[]}",
        b"{changes:[]}",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b"{\"changes\":[{\"record\":\"a/1\",\"set\":{\"b\":\"\xc3\x28\"}}]}",
        b"{\"changes\":[{\"record\":\"a/1\",\"set\":{\"b\":\"\x01\"}}]}",
        b"{\"changes\":[{\"record\":\"a/1\",\"set\":{\"b\":\"\\x\"}}]}",
        b"{\"changes\":[{\"record\":\"a/1\",\"set\":{\"b\":01}}]}",
        b"{\"changes\":[{\"record\":\"a/1\",\"set\":{\"b\":NaN}}]}",
        b"{\"changes\":[{\"record\":\"a/1\",\"set\":{\"b\":Infinity}}]}",
        b"{\"changes\":[{\"record\":\"a/1\",\"set\":{\"b\":.5}}]}",
        b"/**/{}",
    ];
    let send = |body: &[u8]| call(token, "POST /v1/changes", "", body);
    let mut cases: Vec<Case> = Vec::new();
    cases.extend(not_json.iter().map(|body| stays(format!("the body {}", body.escape_ascii()), send(body), 400)));
    for depth in [BODY_DEPTH_MAX + 1, 200, 10_000, 500_000] {
        cases.push(stays(format!("{depth} lists in each other"), send(&deep(depth)), 400));
        let objects = "{\"a\":".repeat(depth.min(100_000));
        cases.push(stays(format!("{depth} objects in each other"), send(objects.as_bytes()), 400));
    }
    let not_the_form = [
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "0".to_owned(),
        "\"changes\"".to_owned(),
        r#"{"changes":null}"#.to_owned(),
        r#"{"changes":{}}"#.to_owned(),
        r#"{"changes":[1]}"#.to_owned(),
        r#"{"changes":[{}]}"#.to_owned(),
        r#"{"changes":[],"changes":[]}"#.to_owned(),
        r#"{"changes":[],"more":1}"#.to_owned(),
        r#"{"__proto__":{},"changes":[]}"#.to_owned(),
        r#"{"changes":[{"record":"contact","set":{"phone":"+1"}}]}"#.to_owned(),
        r#"{"changes":[{"record":"contact/\u0000","set":{"phone":"+1"}}]}"#.to_owned(),
        format!(r#"{{"changes":[{{"record":"contact/{}","set":{{"phone":"+1"}}}}]}}"#, "x".repeat(300)),
        r#"{"changes":[{"record":"contact/json","set":{"phone":"+1"},"at_ms":9223372036854775808}]}"#.to_owned(),
        r#"{"changes":[{"record":"contact/json","set":{"phone":"+1"},"version":"v1-ff"}]}"#.to_owned(),
        changes(r#""phone":"+1","phone":"+2""#),
        changes(r#""phone":{"a":1,"a":2}"#),
        changes(r#""phone":1"#),
        changes(r#""nothing":1"#),
        changes(r#""":1"#),
        changes(r#""age":1e999999999"#),
        changes(r#""age":0.5"#),
        changes(r#""stage":"nobody""#),
        changes(r#""note":"\ud800""#),
        changes(&format!("\"{}\":1", "x".repeat(300))),
    ];
    let short = |body: &str| body.chars().take(90).collect::<String>();
    cases
        .extend(not_the_form.iter().map(|body| stays(format!("the body {}", short(body)), send(body.as_bytes()), 422)));
    let too_large = r#"{"changes":[{"record":"contact/json","set":{"phone":"+1"},"at_ms":1e400}]}"#;
    cases.push(stays("a time of 1e400", send(too_large.as_bytes()), 400));
    // Numbers are kept as they are written.
    let long = changes(&format!(r#""age":{}"#, "9".repeat(5000)));
    cases.push(Case { takes: 1, ..stays("an integer of 5000 digits", send(long.as_bytes()), 200) });
    cases
}

/// Callers who are nobody.
fn callers(token: &str) -> Vec<Case> {
    let shown = [
        String::new(),
        "authorization:\r\n".to_owned(),
        "authorization: Bearer\r\n".to_owned(),
        "authorization: Bearer \r\n".to_owned(),
        format!("authorization: {token}\r\n"),
        format!("authorization: Basic {token}\r\n"),
        format!("authorization: Bearer{token}\r\n"),
        format!("authorization: Bearer {token}x\r\n"),
        format!("authorization: Bearer {}\r\n", &token[..token.len() - 1]),
        format!("authorization: Bearer {}\r\n", token.to_ascii_uppercase()),
        format!("authorization: Bearer {token},{token}\r\n"),
        format!("authorization: Bearer \"{token}\"\r\n"),
        format!("authorization: Bearer {token}\0\r\n").replace('\0', "%00"),
        "authorization: Bearer slt__\r\n".to_owned(),
        "authorization: Bearer slt_../../etc/passwd_x\r\n".to_owned(),
        format!("authorization: Bearer {}\r\n", "x".repeat(20 << 10)),
        format!("cookie: token={token}\r\n"),
        format!("x-authorization: Bearer {token}\r\n"),
    ];
    let routes = ["/v1/status", "/v1/records/contact/1", "/v1/changes", "/t/acme/v1/status", "/t/nobody/v1/status"];
    let asked = shown.iter().flat_map(|shown| routes.map(|route| (shown.clone(), route)));
    let short = |shown: &str| shown.replace(token, "TOKEN").chars().take(60).collect::<String>();
    let mut cases: Vec<Case> = asked
        .map(|(shown, route)| stays(format!("{route} by {}", short(&shown).escape_debug()), get(route, &shown), 401))
        .collect();
    let by_query = get(&format!("/v1/status?token={token}&access_token={token}"), "");
    cases.push(stays("a token in the query", by_query, 401));
    let nobody = call(token, "GET /t//v1/status", "", b"");
    cases.push(stays("a tenant without a name", nobody, 401));
    cases
}

/// Bodies that are too much.
fn bodies(token: &str) -> Vec<Case> {
    let head = head(token);
    let over = |bytes: usize| call(token, "POST /v1/changes", "", &vec![b' '; bytes]);
    let parts = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16)).repeat(17);
    let mut cases = vec![
        stays("a byte too many", over(BODY_BYTES_MAX + 1), 413),
        stays("4 MiB", over(4 << 20), 413),
        stays("more than 1 MiB in chunks", format!("{head}transfer-encoding: chunked\r\n\r\n{parts}0\r\n\r\n"), 413),
        stays("1 MiB of nothing", over(BODY_BYTES_MAX), 400),
    ];
    // Whoever announces much is told before he has sent it, and hung up on.
    for announced in ["1048577", "1073741824", "9223372036854775807"] {
        let bytes = format!("{head}content-length: {announced}\r\n\r\n{{");
        cases.push(Case { cut: true, ..case(format!("{announced} bytes announced"), bytes, &[413]) });
    }
    let wants = |length: &str| format!("{head}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
    cases.push(Case { cut: true, ..case("an expectation of too much", wants("1048577"), &[413]) });
    cases.push(Case { cut: true, ..case("an expectation without a body", wants("10"), &[400]) });
    for path in ["/hooks/portal", "/hooks/hubspot/4711", "/hooks/nobody"] {
        let bytes = call("none", &format!("POST {path}"), "", &vec![b' '; BODY_BYTES_MAX + 1]);
        cases.push(stays(format!("a byte too many for {path}"), bytes, 413));
        cases.push(stays(format!("an unsigned call of {path}"), call("none", &format!("POST {path}"), "", b"[]"), 401));
    }
    cases
}

/// Targets in other forms, and hosts.
fn targets(token: &str) -> Vec<Case> {
    let raw = |line: &str, hosts: &str| format!("{line} HTTP/1.1\r\n{hosts}authorization: Bearer {token}\r\n\r\n");
    let host = "host: x\r\n";
    let mut cases = vec![
        stays("an absolute target", raw("GET http://evil.example/v1/status", host), 200),
        stays("an absolute target with a port", raw("GET http://evil.example:99999/v1/status", host), 200),
        stays("the target *", raw("OPTIONS *", host), 404),
        case("an absolute target of a file", raw("GET file:///etc/passwd", host), &[400]),
        stays("a target with a user", raw("GET http://a:b@evil.example/v1/status", host), 200),
        case("a target without a slash", raw("GET v1/status", host), &[400]),
        stays("a tunnel", raw("CONNECT evil.example:443", host), 404),
    ];
    for (name, hosts) in [
        ("no host", ""),
        ("two hosts", "host: x\r\nhost: y\r\n"),
        ("twice the same host", "host: x\r\nhost: x\r\n"),
        ("a host with a path", "host: x/y\r\n"),
        ("a host with a space", "host: x y\r\n"),
        ("a host with a user", "host: a@x\r\n"),
        ("a list of hosts", "host: x, y\r\n"),
    ] {
        cases.push(case(name, raw("GET /v1/status", hosts), &[400]));
    }
    cases.push(case("HTTP/1.0 without a host", "GET /healthz HTTP/1.0\r\n\r\n", &[200]));
    cases
}

/// Many requests in one breath.
fn pipelines(token: &str) -> Vec<Case> {
    let many = |count: usize| Case {
        stays: true,
        ..case(format!("{count} at once"), get("/healthz", "").repeat(count), &vec![200; count])
    };
    let edit = call(token, "POST /v1/changes", "", &edit_body("contact/behind"));
    let bad = b"GET / HTTP/1.1\r\nbad line\r\n\r\n".as_slice();
    let mut cases = vec![many(2), many(100), many(1000)];
    cases.push(Case {
        stays: true,
        takes: 1,
        ..case(
            "an edit among others",
            [get("/healthz", ""), edit.clone(), get("/healthz", "")].concat(),
            &[200, 200, 200],
        )
    });
    cases.push(case("an edit behind what is no request", [bad, &edit].concat(), &[400]));
    cases.push(case(
        "an edit behind a request that ends the connection",
        [get("/healthz", "connection: close\r\n"), edit.clone()].concat(),
        &[200],
    ));
    cases.push(case("an edit behind HTTP/1.0", [b"GET /healthz HTTP/1.0\r\n\r\n".as_slice(), &edit].concat(), &[200]));
    let blank = [b"\r\n\r\n\r\n".as_slice(), &get("/healthz", "")].concat();
    cases.push(stays("empty lines before a request", blank, 200));
    cases
}

/// An edit that breaks off: after every so many bytes nothing is logged, and what can be told is told.
fn cut_off(token: &str) -> Vec<Case> {
    let edit = call(token, "POST /v1/changes", "", &edit_body("contact/cut"));
    let body = edit.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let places = (0..edit.len()).filter(|at| at % 7 == 0 || at.abs_diff(body) < 4);
    let cut = |at: usize| {
        let due: &[u16] = if at < body { &[] } else { &[400] };
        Case { cut: true, ..case(format!("an edit cut after {at} of {} bytes", edit.len()), &edit[..at], due) }
    };
    places.map(cut).collect()
}

//! Requests and answers as bytes.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A good `GET`, with more header lines.
pub fn get(path: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n").into_bytes()
}

/// A request of a known caller with a body of JSON; `more` are header lines.
pub fn call(token: &str, line: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{more}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The body of an edit.
pub fn edit_body(record: &str) -> Vec<u8> {
    json!({"changes": [{"record": record, "set": {"phone": "+1"}}]}).to_string().into_bytes()
}

/// An edit, after which the connection is done.
pub fn edit(token: &str, record: &str) -> Vec<u8> {
    call(token, "POST /v1/changes", "connection: close\r\n", &edit_body(record))
}

/// Sends bytes and reads until the server hangs up; `cut` says that the client has nothing more to say.
pub async fn exchange(address: &str, bytes: &[u8], cut: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let (mut reads, mut writes) = stream.split();
    let mut told = Vec::new();
    let write = async {
        let sent = writes.write_all(bytes).await;
        if sent.is_ok() && cut { writes.shutdown().await } else { sent }
    };
    // A server that hangs up on what we still send does so with a reset: what it has said before that counts.
    let (_sent, _read) = tokio::join!(write, reads.read_to_end(&mut told));
    told
}

/// The statuses of all answers in some bytes, the body of each bounded by its length; `None` if something else is among them.
pub fn statuses(bytes: &[u8]) -> Option<Vec<u16>> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = str::from_utf8(&rest[..end]).ok()?.to_ascii_lowercase();
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next()?.strip_prefix("http/1.")?.get(2..5)?.parse().ok()?;
        let length = lines.find_map(|line| line.strip_prefix("content-length:")).map(|length| length.trim().parse());
        let length: usize = length.transpose().ok()?.unwrap_or(0);
        rest = rest.get(end + 4 + length..)?;
        found.push(status);
    }
    // An invitation to send the body is no answer.
    found.retain(|status| *status != 100);
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_their_lengths() {
        let two = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nHTTPHTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(statuses(two), Some(vec![400, 204]));
        assert_eq!(statuses(b""), Some(vec![]));
        assert_eq!(statuses(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nHTT"), None);
        assert_eq!(statuses(b"nonsense"), None);
    }
}

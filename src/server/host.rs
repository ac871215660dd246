//! Whether a request names one host, as HTTP/1.1 asks for.
//!
//! Nothing here goes by the host. But a proxy in front may, and two servers that take one request for two different ones
//! are how requests are smuggled.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Version, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::problem::{BAD_REQUEST, Problem};

/// Answers 400 to a request of HTTP/1.1 that does not name exactly one host, and ends its connection.
pub(super) async fn check(request: Request, next: Next) -> Response {
    if request.version() != Version::HTTP_11 || names_one(request.headers()) {
        return next.run(request).await;
    }
    let mut response = Problem::of(BAD_REQUEST).detail("the header host is not one host").into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn names_one(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    // An empty one stands for a target without a host.
    let host = host.as_bytes();
    host.is_empty() || !host.contains(&b'@') && Authority::try_from(host).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_host_is_named() {
        let of = |hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_str(host).expect("a header"));
            }
            names_one(&headers)
        };
        for good in ["x", "sync.example:8787", "[::1]:80", "127.0.0.1", ""] {
            assert!(of(&[good]), "{good}");
        }
        for bad in ["x/y", "x y", "a@x", "x, y", "x\u{e9}", "http://x"] {
            assert!(!of(&[bad]), "{bad}");
        }
        assert!(!of(&[]) && !of(&["x", "x"]));
    }
}

//! How much of everything the server takes, and for how long it waits.

use std::time::Duration;

/// The largest body of a webhook and of an API call, in bytes; a larger one is answered 413.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// The deepest nesting of JSON in a body of the API.
pub const BODY_DEPTH_MAX: usize = 72;

/// The server's bounds. The defaults fit a machine with two cores and 2 GiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a client may take from the first byte it owes us to the end of its headers. It bounds idle
    /// connections too.
    pub header_time: Duration,
    /// How long a client may take to send a body.
    pub body_time: Duration,
    /// How long a client may take nothing of an answer that waits for it.
    pub write_time: Duration,
    /// The most connections.
    pub connections: usize,
    /// The most connections from one address. Behind a proxy all have one address: set it to `connections` there.
    pub connections_by_address: usize,
    /// The most bytes of bodies that are held at once.
    pub body_bytes: usize,
    /// The most requests that are worked on at once.
    pub at_once: usize,
    /// The most requests that are worked on at once for one tenant.
    pub at_once_by_tenant: usize,
    /// How long a request waits for its turn before it is answered 503.
    pub turn_time: Duration,
    /// The most live streams of one tenant.
    pub streams_by_tenant: usize,
    /// How often a stream without news sends a comment.
    pub keep_alive: Duration,
    /// How long a stop waits for what is under way.
    pub grace: Duration,
    /// What apps call and sign, without a slash at its end, where one address serves several tenants: `/hooks/hubspot/APP`
    /// follows. `None`: each tenant's own `public_url`, without its `/t/TENANT`.
    pub public_url: Option<String>,
    /// Whether `/healthz`, `/readyz` and `/metrics` are served beside the rest; otherwise only by
    /// [`Server::ops_router`](super::Server::ops_router).
    pub ops: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
            write_time: Duration::from_secs(30),
            connections: 4096,
            connections_by_address: 1024,
            body_bytes: 64 << 20,
            at_once: 384,
            at_once_by_tenant: 48,
            turn_time: Duration::from_secs(2),
            streams_by_tenant: 512,
            keep_alive: Duration::from_secs(15),
            grace: Duration::from_secs(10),
            public_url: None,
            ops: true,
        }
    }
}

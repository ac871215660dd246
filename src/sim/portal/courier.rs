//! Carries a pretend portal's messages to us, several at once, and takes the answers back.

use std::{io, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{
    serve::ended,
    state::{Outgoing, Portal},
};

/// How often the clock is looked at, which may be turned at any time, in milliseconds of real time.
const LOOK_MS: u64 = 5;

/// The client that messages leave through; it follows no redirects.
pub(super) fn client() -> io::Result<reqwest::Client> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    // Messages of a pretend portal go to this machine; no certificate is trusted.
    let tls = tls.map_err(io::Error::other)?.with_root_certificates(rustls::RootCertStore::empty());
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    let builder = builder.tls_backend_preconfigured(tls.with_no_client_auth()).user_agent("portal (syncline sim)");
    builder.build().map_err(io::Error::other)
}

/// Sends what is due until it is stopped.
pub(super) async fn run(portal: Portal, client: reqwest::Client, stopped: watch::Receiver<bool>) -> io::Result<()> {
    let mut under_way = JoinSet::new();
    let stop = ended(stopped);
    tokio::pin!(stop);
    loop {
        let at_once = portal.settings().at_once.max(1);
        while under_way.len() < at_once
            && let Some(post) = portal.next_post()
        {
            under_way.spawn(carry(portal.clone(), client.clone(), post));
        }
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = portal.woken() => {}
            Some(ended) = under_way.join_next(), if !under_way.is_empty() => ended.map_err(io::Error::other)?,
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
        }
    }
}

async fn carry(portal: Portal, client: reqwest::Client, post: Outgoing) {
    let patience = Duration::from_millis(portal.settings().patience_ms);
    let mut request = client.post(&post.url).timeout(patience).header("content-type", "application/json");
    for (name, value) in &post.headers {
        request = request.header(*name, value);
    }
    let (status, after) = match request.body(post.body).send().await {
        Ok(answer) => {
            let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
            (answer.status().as_u16(), after.map(|seconds| seconds.saturating_mul(1000)))
        }
        Err(_) => (0, None),
    };
    portal.post_ended(post.number, status, after);
}

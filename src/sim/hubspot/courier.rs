//! Carries webhooks to their target, several at once, and takes the answers back.

use std::{io, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{
    account::{Account, Outgoing},
    hook::Notice,
    serve::ended,
};

/// How often the account's clock is looked at, which may be turned at any time, in milliseconds of real time.
const LOOK_MS: u64 = 10;

/// The client that webhooks leave through; it follows no redirects.
pub(super) fn client() -> io::Result<reqwest::Client> {
    if rustls::crypto::CryptoProvider::get_default().is_none()
        && rustls::crypto::ring::default_provider().install_default().is_err()
    {
        // Another thread was faster, with a provider that will do as well.
    }
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.no_proxy().user_agent("HubSpot Connect 2.0 (syncline sim)").build().map_err(io::Error::other)
}

/// Sends what is due until it is stopped.
pub(super) async fn run(account: Account, client: reqwest::Client, stopped: watch::Receiver<bool>) -> io::Result<()> {
    let mut under_way = JoinSet::new();
    let stop = ended(stopped);
    tokio::pin!(stop);
    loop {
        let at_once = account.settings().hooks_at_once.max(1);
        while under_way.len() < at_once
            && let Some(hook) = account.next_hook()
        {
            under_way.spawn(carry(account.clone(), client.clone(), hook));
        }
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = account.woken() => {}
            Some(ended) = under_way.join_next(), if !under_way.is_empty() => ended.map_err(io::Error::other)?,
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
        }
    }
}

/// A webhook under way: whatever ends it early, its notifications go back to those that wait.
struct UnderWay {
    account: Account,
    batch: Vec<Notice>,
    /// 0 until there is an answer.
    status: u16,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.account.hook_ended(std::mem::take(&mut self.batch), self.status);
    }
}

async fn carry(account: Account, client: reqwest::Client, hook: Outgoing) {
    let mut under_way = UnderWay { account: account.clone(), batch: hook.batch, status: 0 };
    let patience = Duration::from_millis(account.settings().hook_timeout_ms);
    let mut request = client.post(&hook.url).timeout(patience).header("Content-Type", "application/json");
    for (name, value) in &hook.headers {
        request = request.header(*name, value);
    }
    under_way.status = request.body(hook.body).send().await.map_or(0, |answer| answer.status().as_u16());
}

//! How HubSpot and portals call us: their dialects behind the server's door.

use super::wants::Wants;
use crate::{
    clock::Millis,
    manifest::Side,
    server::{Account, Call, Heard, Hook, Refusal},
    side::{
        hubspot::{
            signature::{Headers, Request, Verifier},
            statement::Statement,
            webhook::{self, Notification},
        },
        portal::{
            hook,
            signature::{ID, Keys, Untrusted},
        },
        translate::Translation,
    },
};

/// The webhooks of one HubSpot account.
pub(super) struct HubSpotHook {
    translation: Translation,
    account: Option<String>,
    app: Option<String>,
    verifier: Verifier,
    wants: Wants,
}

impl HubSpotHook {
    pub fn new(translation: Translation, side: &Side, verifier: Verifier, wants: Wants) -> Self {
        HubSpotHook { translation, account: side.account.clone(), app: side.app.clone(), verifier, wants }
    }

    /// Whether a notification is of the account, and was sent to the app, that the manifest names.
    fn is_ours(&self, notification: &Notification) -> bool {
        let account = self.account.as_deref().is_none_or(|account| account == notification.portal());
        let app = notification.app();
        let named = self.app.as_deref().zip(app.as_deref());
        account && named.is_none_or(|(ours, theirs)| ours == theirs)
    }

    fn statements(&self, body: &[u8], now: Millis) -> Result<(Vec<Statement>, u64), Refusal> {
        let batch = webhook::split(body).map_err(|why| Refusal::Malformed(why.to_string()))?;
        for fault in &batch.faults {
            tracing::warn!(side = %self.translation.side(), %fault, "a notification was left out");
        }
        let mut foreign = batch.faults.len() as u64;
        let mut statements = Vec::new();
        for notification in batch.accounts.iter().flat_map(|(_, notifications)| notifications) {
            match self.is_ours(notification) {
                true => statements.push(notification.statement(&self.translation, self.app.as_deref(), now)),
                false => foreign += 1,
            }
        }
        Ok((statements, foreign))
    }
}

impl Hook for HubSpotHook {
    fn dialect(&self) -> &'static str {
        "hubspot"
    }

    fn account(&self) -> Option<Account> {
        Some(Account { app: self.app.clone()?, account: self.account.clone()? })
    }

    fn verify(&self, call: &Call<'_>) -> Result<(), Refusal> {
        let request = Request { method: call.method.as_str(), url: call.url, body: call.body };
        let checked = self.verifier.verify(&request, &Headers::of(|name| call.header(name)), call.now);
        checked.map(|_| ()).map_err(|why| Refusal::NotGenuine(why.reason()))
    }

    fn split(&self, body: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
        let batch = webhook::split(body).map_err(|why| Refusal::Malformed(why.to_string()))?;
        for fault in &batch.faults {
            tracing::warn!(%fault, "a notification was left out");
        }
        Ok(batch.accounts.into_iter().map(|(account, of_it)| (account, webhook::join(&of_it))).collect())
    }

    fn read(&self, body: &[u8], now: Millis) -> Result<Heard, Refusal> {
        let (statements, foreign) = self.statements(body, now)?;
        let mut heard = Heard { foreign, ..Heard::default() };
        for statement in statements {
            heard.unmapped += u64::from(statement.unmapped.is_some());
            heard.drafts.extend(statement.drafts);
        }
        Ok(heard)
    }

    fn taken(&self, body: &[u8]) {
        // It was read before, so it can be read again; its time does not matter here.
        let Ok((statements, _)) = self.statements(body, Millis(0)) else { return };
        let rereads: Vec<_> = statements.into_iter().flat_map(|statement| statement.rereads).collect();
        if rereads.is_empty() {
            return;
        }
        if let Err(why) = self.wants.read(rereads.into_iter().map(|reread| (reread.record, reread.link))) {
            tracing::error!(
                error = &why as &dyn std::error::Error,
                "which records are to be read is kept in memory only"
            );
        }
    }
}

/// The webhooks of a portal.
pub(super) struct PortalHook {
    translation: Translation,
    keys: Keys,
}

impl PortalHook {
    pub fn new(translation: Translation, keys: Keys) -> Self {
        PortalHook { translation, keys }
    }
}

impl Hook for PortalHook {
    fn dialect(&self) -> &'static str {
        "portal"
    }

    fn verify(&self, call: &Call<'_>) -> Result<(), Refusal> {
        let word = |why| match why {
            Untrusted::Missing(_) => "unsigned",
            Untrusted::Header(_) | Untrusted::Id => "headers",
            Untrusted::Timestamp => "timestamp",
            Untrusted::Stale => "stale",
            Untrusted::Mismatch => "wrong",
        };
        let checked = self.keys.verify(call.headers, call.body, call.now);
        checked.map(|_| ()).map_err(|why| Refusal::NotGenuine(word(why)))
    }

    fn message_id<'a>(&self, call: &'a Call<'_>) -> Option<&'a str> {
        call.header(ID)
    }

    fn read(&self, body: &[u8], now: Millis) -> Result<Heard, Refusal> {
        let heard = hook::read(body, &self.translation, now).map_err(|why| Refusal::Malformed(why.to_string()))?;
        Ok(Heard { drafts: heard.drafts, unmapped: heard.unmapped, foreign: 0 })
    }
}

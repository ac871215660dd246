//! How a pretend account behaves.

use serde::{Deserialize, Serialize};

/// Everything about an account that can be set, before it is made and, over `/_sim/settings`, while it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What all chance follows from.
    pub seed: u64,
    /// The account's number, `portalId`.
    pub account: u64,
    /// The app that the webhooks go to and that writes with any token but those of other apps.
    pub app: u64,
    /// The first id of a record.
    pub first_id: u64,
    /// Where webhooks go; none: they are made and thrown away.
    pub webhooks_to: Option<String>,
    /// How far the account's clock is ahead, in milliseconds: in `occurredAt`, in times of records and in `Date`.
    pub ahead_ms: i64,
    /// How far the time in signatures is ahead of the true one, in milliseconds.
    pub signature_ahead_ms: i64,
    /// Whether retries are signed with the time of the first attempt, so that they grow stale.
    pub stale_retries: bool,
    /// Whether times of webhooks are whole seconds.
    pub whole_seconds: bool,
    /// How long search does not see a change.
    pub search_lag_ms: i64,
    /// How long after a change its webhook leaves.
    pub hook_delay_ms: i64,
    /// What the delays between attempts are multiplied with; at 1 they are spread over 24 hours.
    pub retry_scale: f64,
    /// How many notifications one webhook holds at most.
    pub batch_max: usize,
    /// Whether webhooks are named by the generic `object.*`, as those of custom objects always are.
    pub generic_hooks: bool,
    /// Whether a creation also tells the first values as changes.
    pub creation_tells_values: bool,
    /// Whether a write of the value that is there already is told.
    pub same_value_tells: bool,
    /// The most requests of an app in ten seconds; none: any number.
    pub burst_max: Option<u64>,
    /// The same for requests with OAuth's tokens.
    pub oauth_burst_max: Option<u64>,
    /// The most searches in a second; none: any number.
    pub search_max: Option<u64>,
    /// The most requests in a day, for tokens that are not OAuth's; none: any number.
    pub daily_max: Option<u64>,
    /// Whether a clash of unique values is answered in the older way, which does not name the record.
    pub conflicts_without_id: bool,
    /// Whether associations show ids as numbers, as the API itself has done, and not as the clients' models have them.
    pub numeric_association_ids: bool,
    /// How many values of a property are remembered.
    pub history_max: usize,
    /// How long an access token is good for, in seconds.
    pub expires_in: i64,
    /// The refresh token that is accepted.
    pub refresh_token: String,
    /// Whether the app was uninstalled: no refresh token is accepted.
    pub dead_grant: bool,
    /// Whether only tokens are accepted that OAuth gave out, or that `app-N` names.
    pub strict_tokens: bool,
    /// The versions with which webhooks are signed: `v1`, `v2`, `v3`.
    pub signatures: Vec<String>,
    /// How long a webhook may take to be answered, in milliseconds of real time.
    pub hook_timeout_ms: u64,
    /// How many webhooks are under way at once.
    pub hooks_at_once: usize,
}

impl Default for Settings {
    /// A Pro account as HubSpot's limits have it, without lag and with whole webhooks.
    fn default() -> Self {
        Settings {
            seed: 1,
            account: 247_187_887,
            app: 50_780_459,
            first_id: 541_935_480_001,
            webhooks_to: None,
            ahead_ms: 0,
            signature_ahead_ms: 0,
            stale_retries: false,
            whole_seconds: false,
            search_lag_ms: 0,
            hook_delay_ms: 0,
            retry_scale: 1.0,
            batch_max: 100,
            generic_hooks: false,
            creation_tells_values: true,
            same_value_tells: false,
            burst_max: Some(190),
            oauth_burst_max: Some(110),
            search_max: Some(5),
            daily_max: Some(625_000),
            conflicts_without_id: false,
            numeric_association_ids: false,
            history_max: 20,
            expires_in: 1800,
            refresh_token: "refresh".into(),
            dead_grant: false,
            strict_tokens: false,
            signatures: vec!["v1".into(), "v3".into()],
            hook_timeout_ms: 5000,
            hooks_at_once: 10,
        }
    }
}

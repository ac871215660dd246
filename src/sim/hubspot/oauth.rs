//! Tokens: who is asking, and for how long.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    book::By,
    call::{Answer, Call, pairs},
    state::{Asked, State},
};
use crate::clock::Millis;

/// The tokens that were given out.
#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    /// Token, and until when it is good.
    given: BTreeMap<String, Millis>,
    refreshes: u64,
}

impl Grants {
    /// Whether a token is one of OAuth's.
    pub fn gave(&self, token: &str) -> bool {
        self.given.contains_key(token)
    }
}

/// The answer to a token that is no longer good.
pub(super) fn expired(minutes: i64) -> Answer {
    let message = format!("The OAuth token used to make this call expired {minutes} minute(s) ago.");
    Answer::error(401, "EXPIRED_AUTHENTICATION", &message)
}

impl State {
    /// Who is asking; `app-N` is the token of another app, any other static token is ours.
    pub fn caller(&self, call: &Call) -> Result<By, Answer> {
        let Some(token) = call.token.as_deref().filter(|token| !token.is_empty()) else {
            return Err(Answer::error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found."));
        };
        if let Some(until) = self.grants.given.get(token) {
            let late = self.now.0 - until.0;
            return if late >= 0 { Err(expired(late / 60_000)) } else { Ok(By::app(self.settings.app)) };
        }
        if let Some(app) = token.strip_prefix("app-").and_then(|app| app.parse().ok()) {
            return Ok(By::app(app));
        }
        if self.settings.strict_tokens {
            let message = "The access token is not known.";
            return Err(Answer::error(401, "INVALID_AUTHENTICATION", message));
        }
        Ok(By::app(self.settings.app))
    }
}

/// `POST /oauth/v1/token`: a new access token for a refresh token, or for a code.
pub(super) fn token(state: &mut State, asked: &Asked<'_>) -> Answer {
    let form = pairs(&String::from_utf8_lossy(&asked.call.body));
    let said = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let refused = |status: &str, message: &str| {
        Answer::json(400, json!({"status": status, "message": message, "correlationId": ""}))
    };
    if said("client_id").is_empty() || said("client_secret").is_empty() {
        return refused("BAD_CLIENT_ID", "missing or unknown client id");
    }
    match said("grant_type") {
        "refresh_token" => {
            if state.settings.dead_grant || said("refresh_token") != state.settings.refresh_token {
                return refused("BAD_REFRESH_TOKEN", "missing or invalid refresh token");
            }
        }
        "authorization_code" if !said("code").is_empty() => {}
        _ => return refused("BAD_GRANT_TYPE", "missing or unknown grant type"),
    }
    state.grants.refreshes += 1;
    // As long as HubSpot's are.
    let token = format!("CL{:06}-{}-{}", state.grants.refreshes, state.settings.account, "x".repeat(280));
    state.grants.given.insert(token.clone(), state.now.plus(state.settings.expires_in * 1000));
    Answer::json(
        200,
        json!({"token_type": "bearer", "access_token": token, "refresh_token": state.settings.refresh_token,
               "expires_in": state.settings.expires_in}),
    )
}

/// `GET /oauth/v1/access-tokens/{token}`: whose token it is.
pub(super) fn info(state: &mut State, asked: &Asked<'_>) -> Answer {
    let token = asked.route.args.first().copied().unwrap_or_default();
    match state.grants.given.get(token) {
        Some(until) => {
            let left = (until.0 - state.now.0) / 1000;
            Answer::json(
                200,
                json!({"token": token, "user": "sim@example.com", "hub_domain": "sim.example.com", "scopes": scopes(),
                       "signed_access_token": null, "hub_id": state.settings.account, "app_id": state.settings.app,
                       "expires_in": left, "user_id": 1, "token_type": "access", "is_private_distribution": false}),
            )
        }
        None => Answer::error(404, "OBJECT_NOT_FOUND", "access token not found"),
    }
}

/// `GET /oauth/v1/refresh-tokens/{token}`: whose grant it is.
pub(super) fn grant(state: &mut State, asked: &Asked<'_>) -> Answer {
    let token = asked.route.args.first().copied().unwrap_or_default();
    if state.settings.dead_grant || token != state.settings.refresh_token {
        return Answer::error(404, "OBJECT_NOT_FOUND", "refresh token not found");
    }
    Answer::json(
        200,
        json!({"token": token, "user": "sim@example.com", "hub_domain": "sim.example.com", "scopes": scopes(),
               "hub_id": state.settings.account, "client_id": "sim", "user_id": 1, "token_type": "refresh"}),
    )
}

/// `DELETE /oauth/v1/refresh-tokens/{token}`: the end of a grant.
pub(super) fn revoke(state: &mut State, asked: &Asked<'_>) -> Answer {
    if asked.route.args.first() == Some(&state.settings.refresh_token.as_str()) {
        state.settings.dead_grant = true;
    }
    Answer::empty(204)
}

/// `GET /account-info/v3/details`: which account it is.
pub(super) fn account(state: &mut State, _: &Asked<'_>) -> Answer {
    Answer::json(
        200,
        json!({"portalId": state.settings.account, "accountType": "DEVELOPER_TEST", "timeZone": "Etc/UTC",
               "companyCurrency": "EUR", "additionalCurrencies": [], "utcOffset": "+00:00",
               "utcOffsetMilliseconds": 0, "uiDomain": "app.hubspot.com", "dataHostingLocation": "na1"}),
    )
}

fn scopes() -> Vec<&'static str> {
    vec!["oauth", "crm.objects.contacts.read", "crm.objects.contacts.write", "crm.schemas.contacts.read"]
}

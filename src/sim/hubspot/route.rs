//! Which request is which, in all the forms that paths have had.

use super::{
    batch,
    call::Answer,
    oauth, objects, schema, search,
    state::{Asked, State},
    ties,
};

/// What answers a request.
pub(super) type Handle = fn(&mut State, &Asked<'_>) -> Answer;

/// A request, recognised.
pub(super) struct Route<'a> {
    /// Its name, without the kind.
    pub op: &'static str,
    /// The kind of objects that it is about.
    pub kind: Option<&'a str>,
    /// What else the path names.
    pub args: Vec<&'a str>,
    pub handle: Handle,
    pub needs_token: bool,
    pub is_counted: bool,
}

/// The request behind a method and a path.
pub(super) fn find<'a>(method: &str, path: &[&'a str]) -> Option<Route<'a>> {
    let (api, rest) = bare(path)?;
    match api {
        "objects" => objects_of(method, rest),
        "properties" => properties_of(method, rest),
        "associations" => associations_of(method, rest),
        "schemas" => match (method, rest) {
            ("GET", []) => Some(route("schemas.list", None, &[], schema::kinds)),
            _ => None,
        },
        "oauth" => match (method, rest) {
            ("POST", ["token"]) => Some(open(route("oauth.token", None, &[], oauth::token))),
            ("GET", ["access-tokens", token]) => Some(open(route("oauth.info", None, &[token], oauth::info))),
            ("GET", ["refresh-tokens", token]) => Some(open(route("oauth.refresh_info", None, &[token], oauth::grant))),
            ("DELETE", ["refresh-tokens", token]) => Some(open(route("oauth.revoke", None, &[token], oauth::revoke))),
            _ => None,
        },
        "account-info" => match (method, rest) {
            ("GET", ["details"]) => Some(route("account", None, &[], oauth::account)),
            _ => None,
        },
        "webhooks" => webhooks_of(method, rest),
        _ => None,
    }
}

/// The name of an API and what follows it, without version: `/crm/v3/objects` and `/crm/objects/2026-09` are the same.
fn bare<'a, 'p>(path: &'p [&'a str]) -> Option<(&'a str, &'p [&'a str])> {
    match path {
        ["crm", version, api, rest @ ..] if is_version(version) => Some((api, rest)),
        ["crm", api, version, rest @ ..] if is_version(version) => Some((api, rest)),
        ["app-webhooks", version, rest @ ..] if is_version(version) => Some(("webhooks", rest)),
        [api, version, rest @ ..] if is_version(version) => Some((api, rest)),
        _ => None,
    }
}

fn is_version(text: &str) -> bool {
    let numbered = text.strip_prefix('v').is_some_and(|number| number.parse::<u8>().is_ok());
    numbered || text.len() == 7 && text.starts_with("20") && text.as_bytes()[4] == b'-'
}

fn route<'a>(op: &'static str, kind: Option<&'a str>, args: &[&'a str], handle: Handle) -> Route<'a> {
    Route { op, kind, args: args.to_vec(), handle, needs_token: true, is_counted: true }
}

/// Without a token, and outside the limits.
fn open(route: Route<'_>) -> Route<'_> {
    Route { needs_token: false, is_counted: false, ..route }
}

fn objects_of<'a>(method: &str, path: &[&'a str]) -> Option<Route<'a>> {
    let (kind, rest) = path.split_first()?;
    let (op, handle): (&'static str, Handle) = match (method, rest) {
        ("GET", []) => ("list", objects::list),
        ("POST", []) => ("create", objects::create),
        ("POST", ["search"]) => ("search", search::search),
        ("POST", ["merge"]) => ("merge", objects::merge),
        ("POST", ["gdpr-delete"]) => ("gdpr_delete", objects::purge),
        ("POST", ["batch", "read"]) => ("batch_read", batch::read),
        ("POST", ["batch", "create"]) => ("batch_create", batch::create),
        ("POST", ["batch", "update"]) => ("batch_update", batch::update),
        ("POST", ["batch", "upsert"]) => ("batch_upsert", batch::upsert),
        ("POST", ["batch", "archive"]) => ("batch_archive", batch::archive),
        ("GET", [_]) => ("get", objects::get),
        ("PATCH", [_]) => ("patch", objects::patch),
        ("DELETE", [_]) => ("archive", objects::archive),
        ("GET", [_, "associations", _]) => ("associations_list", ties::list),
        ("PUT", [_, "associations", "default", _, _]) => ("associations_default", ties::put_default),
        ("PUT", [_, "associations", _, _]) => ("associations_put", ties::put),
        ("DELETE", [_, "associations", _, _]) => ("associations_delete", ties::delete),
        _ => return None,
    };
    Some(route(op, Some(kind), rest, handle))
}

fn properties_of<'a>(method: &str, path: &[&'a str]) -> Option<Route<'a>> {
    let (kind, rest) = path.split_first()?;
    let (op, handle): (&'static str, Handle) = match (method, rest) {
        ("GET", []) => ("properties_list", schema::list),
        ("POST", []) => ("properties_create", schema::create),
        ("GET", ["groups"]) => ("groups_list", schema::groups),
        ("POST", ["groups"]) => ("groups_create", schema::create_group),
        ("POST", ["batch", "read"]) => ("properties_batch_read", schema::batch_read),
        ("POST", ["batch", "create"]) => ("properties_batch_create", schema::batch_create),
        ("POST", ["batch", "archive"]) => ("properties_batch_archive", schema::batch_archive),
        ("GET", [_]) => ("properties_get", schema::get),
        ("PATCH", [_]) => ("properties_patch", schema::patch),
        ("DELETE", [_]) => ("properties_archive", schema::archive),
        _ => return None,
    };
    Some(route(op, Some(kind), rest, handle))
}

fn associations_of<'a>(method: &str, path: &[&'a str]) -> Option<Route<'a>> {
    let [kind, rest @ ..] = path else { return None };
    let (op, handle): (&'static str, Handle) = match (method, rest) {
        ("POST", [_, "batch", "read"]) => ("associations_batch_read", ties::batch_read),
        ("POST", [_, "batch", "create"]) => ("associations_batch_create", ties::batch_create),
        ("POST", [_, "batch", "archive"]) => ("associations_batch_archive", ties::batch_archive),
        ("POST", [_, "batch", "associate", "default"]) => ("associations_batch_default", ties::batch_default),
        ("POST", [_, "batch", "labels", "archive"]) => ("associations_labels_archive", ties::batch_labels),
        ("GET", [_, "labels"]) => ("associations_labels", ties::labels),
        _ => return None,
    };
    Some(route(op, Some(kind), rest, handle))
}

fn webhooks_of<'a>(method: &str, path: &[&'a str]) -> Option<Route<'a>> {
    let [app, rest @ ..] = path else { return None };
    let (op, handle): (&'static str, Handle) = match (method, rest) {
        ("GET" | "PUT" | "DELETE", ["settings"]) => ("webhooks.settings", schema::hook_settings),
        ("GET", ["subscriptions"]) => ("webhooks.subscriptions", schema::subscriptions),
        ("POST", ["subscriptions"]) => ("webhooks.subscribe", schema::subscribe),
        ("GET" | "PATCH" | "DELETE", ["subscriptions", _]) => ("webhooks.subscription", schema::subscription),
        _ => return None,
    };
    let args: Vec<&str> = std::iter::once(*app).chain(rest.iter().copied()).collect();
    // The developer's key is asked for here, which is not an account's token.
    Some(open(route(op, None, &args, handle)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_dated_paths_are_the_same() {
        for path in ["crm/v3/objects/contacts/7", "crm/objects/2026-09/contacts/7", "crm/objects/v3/contacts/7"] {
            let parts: Vec<&str> = path.split('/').collect();
            let route = find("GET", &parts).expect("a request");
            assert_eq!((route.op, route.kind, route.args), ("get", Some("contacts"), vec!["7"]));
        }
        assert!(find("PUT", &["crm", "v3", "objects", "contacts"]).is_none());
        assert!(find("GET", &["crm", "objects", "contacts"]).is_none(), "no version");
    }
}

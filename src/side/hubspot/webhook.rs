//! What HubSpot posts: the bytes of a body become notifications, split by account.
//!
//! A body is a JSON array of notifications, of any accounts that have installed the app. What is wrong with the body as a whole is an error;
//! what is wrong with one notification is that one's [`Fault`], and its neighbours are taken: HubSpot would send all of them again.
//! Members may be missing and unknown ones come, ids are numbers or texts, and the event's type is under `subscriptionType` (as
//! seen on the wire) or `eventType` (as in HubSpot's guide). What a notification means is [`statement`](super::statement)'s.

use std::fmt;

use serde_json::value::RawValue;

use crate::{
    clock::Millis,
    value::{Value, ValueError, View, quote},
};

/// The longest body, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// The most notifications of a body. HubSpot says that it sends up to 100.
pub const NOTIFICATIONS_MAX: usize = 1000;
/// The deepest nesting of a body. Notifications are flat, with one list in a merge.
pub const NESTING_MAX: usize = 16;

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Larger than [`BODY_BYTES_MAX`].
    #[error("the body takes {0} bytes, more than {BODY_BYTES_MAX}")]
    TooLarge(usize),
    /// Not UTF-8.
    #[error("the body is not UTF-8 from byte {0} on")]
    NotText(usize),
    /// Nested deeper than [`NESTING_MAX`].
    #[error("the body is nested more than {NESTING_MAX} deep at byte {0}")]
    TooDeep(usize),
    /// Something else than a list.
    #[error("the body is not a JSON array")]
    NotArray,
    /// Not JSON.
    #[error("the body stops being JSON at line {line}, column {column}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1; 0 where a line has ended.
        column: usize,
    },
    /// More than [`NOTIFICATIONS_MAX`].
    #[error("the body has {0} notifications, more than {NOTIFICATIONS_MAX}")]
    TooMany(usize),
}

/// A notification of a body that cannot be given to any account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("notification {index} of the body {what}")]
pub struct Fault {
    /// Its place in the body, from 0.
    pub index: usize,
    /// What is wrong.
    pub what: FaultKind,
}

/// What is wrong with a notification; reads on from its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// Something else than an object.
    #[error("is not an object")]
    NotObject,
    /// A member comes twice, so that it says two things.
    #[error("says a member twice")]
    Twice,
    /// A text with an escape that stands for no character.
    #[error("holds a text that is no Unicode")]
    Text,
    /// No account can be told.
    #[error("has no portalId that is a whole number")]
    Portal,
}

/// What a body holds.
#[derive(Debug, Default)]
pub struct Batch {
    /// The notifications of each account, by its portal id, in the order of first mention.
    pub accounts: Vec<(String, Vec<Notification>)>,
    /// What had to be left out.
    pub faults: Vec<Fault>,
}

/// One thing that HubSpot says has happened.
#[derive(Clone)]
pub struct Notification {
    portal: Box<str>,
    /// All of it.
    members: Value,
}

impl fmt::Debug for Notification {
    // What changed, and to what, is the customer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("portal", &self.portal)
            .field("event", &self.event())
            .finish_non_exhaustive()
    }
}

/// Reads a body and splits it by account.
///
/// # Errors
/// If nothing of it can be read; with what and where, and never with what it holds.
pub fn split(body: &[u8]) -> Result<Batch, BodyError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(BodyError::TooLarge(body.len()));
    }
    let text = std::str::from_utf8(body).map_err(|why| BodyError::NotText(why.valid_up_to()))?;
    if let Some(at) = too_deep(text) {
        return Err(BodyError::TooDeep(at));
    }
    // Said here, because serde's own words for it would quote the body.
    if !text.trim_start().starts_with('[') {
        return Err(BodyError::NotArray);
    }
    let all: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|why| BodyError::NotJson { line: why.line(), column: why.column() })?;
    if all.len() > NOTIFICATIONS_MAX {
        return Err(BodyError::TooMany(all.len()));
    }
    let mut batch = Batch::default();
    for (index, raw) in all.into_iter().enumerate() {
        match Notification::read(raw) {
            Ok(notification) => batch.add(notification),
            Err(what) => batch.faults.push(Fault { index, what }),
        }
    }
    Ok(batch)
}

/// A body of these notifications: what [`split`] reads again as the same.
pub fn join(notifications: &[Notification]) -> Vec<u8> {
    let all: Vec<String> = notifications.iter().map(|notification| notification.members.to_json()).collect();
    format!("[{}]", all.join(",")).into_bytes()
}

/// Where a text is nested too deep; brackets in strings do not count.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' if depth == NESTING_MAX => return Some(at),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

impl Batch {
    fn add(&mut self, notification: Notification) {
        match self.accounts.iter_mut().find(|(portal, _)| **portal == *notification.portal) {
            Some((_, known)) => known.push(notification),
            None => self.accounts.push((notification.portal.to_string(), vec![notification])),
        }
    }
}

impl Notification {
    fn read(raw: &RawValue) -> Result<Self, FaultKind> {
        if !raw.get().starts_with('{') {
            return Err(FaultKind::NotObject);
        }
        // The body was well-formed, small and flat enough: that leaves keys that come twice and halves of characters.
        let members = Value::from_raw(raw).map_err(|why| match why {
            ValueError::KeyTwice(_) => FaultKind::Twice,
            _ => FaultKind::Text,
        })?;
        let mut notification = Notification { portal: "".into(), members };
        let portal = notification.id("portalId").filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
        notification.portal = portal.ok_or(FaultKind::Portal)?;
        Ok(notification)
    }

    /// The account's id.
    pub fn portal(&self) -> &str {
        &self.portal
    }

    /// The id of the app that the notification was sent to.
    pub fn app(&self) -> Option<Box<str>> {
        self.id("appId")
    }

    /// The event's type, such as `contact.propertyChange`; empty where there is none.
    pub fn event(&self) -> Box<str> {
        self.text("subscriptionType").or_else(|| self.text("eventType")).unwrap_or_default()
    }

    /// When it happened, by HubSpot's clock.
    pub fn occurred_at(&self) -> Option<Millis> {
        self.id("occurredAt").and_then(|millis| millis.parse().ok()).map(Millis)
    }

    fn member(&self, name: &str) -> Option<Value> {
        let View::Object(mut members) = self.members.view() else { return None };
        members.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// A member that is a text; anything else counts as missing.
    pub(super) fn text(&self, name: &str) -> Option<Box<str>> {
        self.member(name)?.as_text().filter(|text| !text.is_empty()).map(Into::into)
    }

    /// A member that is an id: a whole number, or a text.
    pub(super) fn id(&self, name: &str) -> Option<Box<str>> {
        id_of(&self.member(name)?)
    }

    /// A member that is a list of ids.
    pub(super) fn ids(&self, name: &str) -> Vec<Box<str>> {
        let Some(member) = self.member(name) else { return Vec::new() };
        match member.view() {
            View::List(elements) => elements.filter_map(|element| id_of(&element)).collect(),
            _ => id_of(&member).into_iter().collect(),
        }
    }

    /// A member that is true or false.
    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        match self.member(name)?.view() {
            View::Bool(truth) => Some(truth),
            View::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A member that is a property's value, as a text; null is no value.
    pub(super) fn property_value(&self) -> Option<Box<str>> {
        let value = self.member("propertyValue")?;
        match value.view() {
            View::Null => None,
            _ => Some(value.to_string().into()),
        }
    }

    /// The notification as a JSON object, keys ascending, without some members and with more at its end.
    pub(super) fn json_without(&self, left_out: &[&str], more: Option<(&str, &str)>) -> Box<str> {
        let View::Object(members) = self.members.view() else { return "{}".into() };
        let kept = members.filter(|(key, _)| !left_out.contains(key));
        let mut kept: Vec<String> = kept.map(|(key, value)| format!("{}:{}", quote(key), value.to_json())).collect();
        kept.extend(more.map(|(key, text)| format!("{}:{}", quote(key), quote(text))));
        format!("{{{}}}", kept.join(",")).into()
    }
}

fn id_of(value: &Value) -> Option<Box<str>> {
    match value.view() {
        View::Number(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => Some(text.into()),
        View::Text(text) if !text.is_empty() => Some(text.into()),
        _ => None,
    }
}

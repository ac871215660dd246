//! A portal: Standard Webhooks in both directions.
//!
//! This page is all that a portal's developer needs. A portal posts its changes to us, and takes our messages at one address,
//! `deliver_to` in the manifest. Both sides sign with the same secret. The least a portal can do is to take `syncline.write` and
//! to send `record.changed`; each further message makes it more robust, and what is missing costs what is said below.
//!
//! # Signatures
//! By [Standard Webhooks 1.0.0](https://www.standardwebhooks.com), so that its libraries can be used as they are: the headers
//! `webhook-id`, `webhook-timestamp` (seconds) and `webhook-signature`, `v1,` and the base64 of the HMAC-SHA256 of
//! `{id}.{timestamp}.{body}`, with a secret of 24 to 64 bytes in the form `whsec_BASE64`. Times may be 300 seconds off, both
//! ways. While a secret is changed the manifest names two: we sign with both and accept either. Ids hold no dots.
//!
//! Bodies are JSON in UTF-8: `{"type": TYPE, "timestamp": TIME, "data": {..}}`. A `TIME` is RFC 3339 with an offset, or whole
//! milliseconds since 1970, by the clock of whoever writes it. Unknown members are passed over, ours too: more may come.
//!
//! # From the portal: `POST PUBLIC_URL/hooks/SIDE`
//! | type | says |
//! |---|---|
//! | `record.changed` | fields have new values |
//! | `record.created` | a record was made, with these fields |
//! | `record.deleted`, `record.restored` | it is gone, it is back |
//! | `record.merged` | the records `absorbed: [ID, ..]` went into this one |
//!
//! ```json
//! {"type": "record.changed", "timestamp": "2026-03-01T12:00:01Z", "data": {
//!   "kind": "customer", "id": "c-17", "at": "2026-03-01T12:00:00.250Z",
//!   "by": {"user": "u07", "contact": "c-17", "company": "o-3"},
//!   "set": {"phone": "+1-555-0100", "address": null}}}
//! ```
//! `data` is one change, or `{"changes": [CHANGE, ..]}` with up to 1000 of them; a body has 1 MiB at most.
//!
//! | member | |
//! |---|---|
//! | `kind`, `id` | the portal's name for the kind of record, and its own id: a text or a whole number. Needed |
//! | `set` | fields under the portal's names with their new values; null clears one |
//! | `fields` | the same with a time and an author each: `{"phone": {"value": .., "at": TIME, "by": AUTHOR}}` |
//! | `at` | when it was done; else the message's `timestamp` counts, and 400 if it has none. Give it: edits are ordered by it |
//! | `by` | who did it: one of `user`, `integration`, `system` or `syncline`, and `contact` and `company` for whom |
//! | `seq` | the portal's own running number; it orders changes of one time |
//!
//! A field that names records holds the portal's own ids, one or a list of them, both ways.
//!
//! A change that a write of ours made is told like any other, or not at all. Told with `"by": {"syncline": KEY}`, it is known for
//! ours at once; told with no author, it is known by its value.
//!
//! We answer 2xx when it is on disk, and a repetition of a message is 2xx again and does nothing: what was said is known by its
//! content. 4xx names what is wrong and where. Anything else, or no answer: send it again, with the same `webhook-id`. Kinds,
//! fields and types that the manifest does not have are no error: they are kept and counted.
//!
//! # To the portal: `POST deliver_to`
//! ## `syncline.write`
//! ```json
//! {"type": "syncline.write", "timestamp": "2026-03-01T12:00:02Z", "data": {"writes": [
//!   {"key": "9f0c..", "op": "update", "kind": "customer", "id": "c-17", "record": "contact/crm:501",
//!    "set": {"phone": "+1-555-0100"}, "by": {"user": "ana"}}]}}
//! ```
//! `op` is `create`, `update` or `delete`; only fields that differ are in `set`. `record` is our name for the record, good for
//! the API. A message holds up to 50 writes, each of another record, in less than 20 kB unless one write alone is larger.
//!
//! **`key` is the write's name. Under the same key a write may come again: it must not be done twice, and the answer should be
//! the first one.** Keep the keys for a month. `webhook-id` is the key too where a message has one write.
//!
//! | answer | means |
//! |---|---|
//! | 2xx, `{"results": [ROW, ..]}` | what became of each write; one that is not spoken of is read back |
//! | 2xx, a `ROW` alone | the same, for a message with one write |
//! | 2xx, no body | all were taken; not enough for a `create`, whose id is needed |
//! | 422, 400, 413 with `{"reason": TEXT, "fields": [..]}` | nothing was done; the reason is shown to people and the write waits for one. Several writes: each comes again alone |
//! | 409 with `{"reason": TEXT}` | to a `create`: the record is there already under another id. Nothing is made or overwritten: it waits for a person who links the two. Otherwise: the record is read back |
//! | 429, 503, 425; 502, 504 with `Retry-After` | nothing was done; come again, after `Retry-After` if it is given |
//! | 410 | no messages any more: nothing is sent until the side is opened anew, and an alarm says so |
//! | 401, 403, 404, 405, 501, 3xx | nothing was done; the portal is set up wrong. It is tried again every minute, and an alarm says so |
//! | any other, or none within 20 seconds | nobody knows: the record is read back first |
//!
//! | member of a `ROW` | |
//! |---|---|
//! | `key` | the write's |
//! | `status` | `applied` (also if it is left out), `refused` with `reason` and the blamed `fields`, `retry` with `after` in seconds, `missing` if there is no such record |
//! | `id` | the portal's own id: needed after a `create`, and if a record lives on under another one |
//! | `at` | the portal's own time of the write |
//! | `shows` | fields that show something else than was written: `{"phone": "+15550100"}` |
//!
//! ## `syncline.read`
//! Asks what records show, where an answer was lost, a field is in doubt, or all are compared:
//! ```json
//! {"type": "syncline.read", "timestamp": "..", "data": {"asks": [
//!   {"ask": "0", "kind": "customer", "id": "c-17", "record": "contact/crm:501", "fields": ["phone"]},
//!   {"ask": "1", "kind": "customer", "key": "9f0c..", "record": "contact/crm:502"}]}}
//! ```
//! Without `id` the record is the one that the write under `key` made, or that was made for `record`. No `fields`: all. The answer:
//! ```json
//! {"records": [
//!   {"ask": "0", "found": true, "id": "c-17", "modified": "2026-03-01T12:00:00Z", "fields": {
//!     "phone": {"value": "2", "at": "2026-03-01T12:00:00Z", "by": {"user": "u07"},
//!               "earlier": [{"value": "1", "at": "2026-02-01T08:00:00Z", "by": {"syncline": "9f0c.."}}]}}},
//!   {"ask": "1", "found": false}]}
//! ```
//! `modified` is needed if a field has no `at`. `earlier` is what the field showed before: with it an edit whose message was lost
//! and that a write of ours then overwrote is found again. A record that lives on under another id is shown with that id; a
//! deleted one is `"found": false`, with `modified` for when it went.
//!
//! A portal that does not answer questions says 501 (or 404, or 2xx without `records`). A write in doubt is then settled by
//! sending it again under its key; lost messages are never found, and a field in doubt waits.
//!
//! ## `syncline.list` and `syncline.changed`
//! Ask for pages of a kind, for the first filling, for polling and for comparing all:
//! `{"kind": "customer", "cursor": TEXT, "limit": 100}`, and for `syncline.changed` also `since`. The answer is
//! `{"records": [..], "next": TEXT, "total": 1234}` with records as above; no `next`: this was the last page. Cursors are the
//! portal's own, up to 4096 bytes; a record that changes during a walk may come twice or at its end, but none may be left out.
//! `syncline.changed` also shows what was deleted since.
//!
//! 501, or 2xx without `records`, to the first page of a walk: the side cannot be polled, filled or compared. Beware: what the
//! portal has is then not known before anything is made there. 404 and 405 never mean this, nor does any answer to a later page.
//!
//! # What can be trusted
//! We follow no redirect and call no other host than that of `deliver_to`; a host's name must not lead to a private address
//! (`localhost`, or an address in figures, is taken as meant).

mod answer;
mod connector;
pub mod hook;
mod message;
pub mod place;
pub mod signature;

pub use connector::{Alarm, Calls, OpenError, Portal};

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) const MANIFEST: &str = "\
syncline: 1
tenant: acme
sides:
  crm: { connector: none }
  portal:
    connector: portal
    deliver_to: http://127.0.0.1:9/hooks
    credentials: { webhook_secret: env:SECRET }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    fields:
      email:      { type: email, crm: email, portal: email }
      first_name: { type: string, crm: firstname, portal: firstName }
      last_name:  { type: string, crm: lastname, portal: lastName }
      phone:      { type: string, crm: phone, portal: phone }
      born:       { type: date, crm: born, portal: { name: born, dates: epoch_ms } }
      company:    { type: reference, to: company, crm: company, portal: companyId }
  company:
    sides: { crm: companies, portal: organisation }
    fields:
      name: { type: string, crm: name, portal: name }
";
}

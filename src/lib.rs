//! Syncline keeps a customer portal and a CRM in agreement, in both directions, and can say afterwards who changed
//! what, when, and why that value won.
//!
//! At its core is an embedded engine, synchronous and without a network: a program opens a store, tells it what its sides say,
//! hands out the writes that it plans, and asks it for records and their history. Around the engine stand the parts that make a
//! service of it: dialects of sides, what keeps a tenant running, an HTTP server. The `syncline` binary is a command line around
//! the same calls.
//!
//! ```
//! use syncline::{engine::Engine, history::{Edit, Principal}};
//! use syncline::{event::Author, id::{FieldName, RecordId, SideName}, value::Value};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("store");
//! let (engine, _) = Engine::builder(path).open()?;
//! let record = RecordId::new("contact/000123")?;
//! let edit = Edit::of(record, SideName::new("portal")?)
//!     .set(FieldName::new("phone")?, Value::text("+1-555-0100"))
//!     .by(Author::user("ana"));
//! engine.edit(&Principal::operator(), edit)?; // returns when it is on disk
//!
//! let read = engine.read(&Principal::operator());
//! let verdict = read.why("contact/000123", "phone")?.expect("it was just said");
//! assert!(verdict.sentence.starts_with("phone is \"+1-555-0100\""));
//! engine.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # One change, seven steps
//!
//! | step | what happens | where |
//! |---|---|---|
//! | capture | what a side says, by webhook, poll, backfill or call, becomes statements; bytes are checked, nothing is judged | [`side`], [`server`], [`capture`], [`event`] |
//! | log | statements are appended as events and are on disk before anyone is told | [`log`] |
//! | merge | the record takes the event in; what is really concurrent is decided field by field by that field's rule | [`merge`] |
//! | projection | the record is compared with what each side shows; what differs, and only that, is to be written | [`projection`] |
//! | send | a `sent` event is on disk, then the write leaves through the side's connector | [`send`], [`side`] |
//! | receipt | what became of it is an event too; it moves what the side is known to show | [`engine`] |
//! | history | who, when, what, and why this value: answered from records and log | [`history`] |
//!
//! [`engine`] joins the steps behind one lock; [`state`] keeps everything that can be made anew from the log.
//!
//! | around them | what |
//! |---|---|
//! | [`manifest`] | the customer's configuration, and all its faults at once |
//! | [`side`] | dialects: HubSpot, and portals by Standard Webhooks. Each is a [`Connector`](send::Connector) going out; a hook and a [`Source`](side::Source) coming in |
//! | [`service`] | a tenant in service: sending, backfill, poll, reconcile, alarms, and the orders of its operators |
//! | [`server`] | HTTP: webhooks in, the API with tokens and live streams, health. It knows no dialect |
//! | [`validate`], [`expression`], [`limit`] | what an edit has to be |
//! | [`metrics`] | what a running service counts |
//! | [`sim`] | pretend sides with faults to order, in process and on HTTP, for the demo, the tests and dry runs |
//! | [`cli`] | the command line |
//!
//! # Words
//!
//! - **Side**: a system that shows and edits records: `crm`, `portal`, any number of them, named in the manifest.
//! - **Event**: one statement about one record, with header and payload ([`event`]). A **word** is one field's value in it.
//! - **EventId** names this copy of an event, **SaidId** what was said, the same in every store of the tenant ([`id`]).
//! - **Happened before**, per field: what an author had seen. An event that *names* what it has seen says it whole; a
//!   *linear* one is taken to know its origin's earlier words and what its side had been told ([`merge::before`]).
//! - **Candidates**: the words on a field that happened before no other word on it. One, or several of one value: agreement.
//!   More: concurrent, and the **rule** decides ([`merge::judge`]); the losers stay in the **verdict**.
//! - **Shadow**: what a side shows, as far as we know. Under several ids of its own it is what it shows under the one it spoke
//!   of last, of those it has not deleted. **Write**, **receipt**, **echo** (a side telling us our own write, under the same id).
//! - **Parked**: waits for a person; never dropped. **Given back**: what a side refused stands as that side shows it.
//! - **Link**: a side's own id for a record. What a side says stands under the record of that id, `KIND/SIDE:LINK`.
//! - **Tie**: a statement that two records are one (linked, absorbed) or two (parted); of those about one pair the newest counts.
//!   A side's id that a merger ended, and under which the side has a record again, is linked: one of two under which the side
//!   has the record, until its users merge them or a person says that they are two.
//! - **Canonical id**: the least id among records that are tied, under which they are resolved as one. The others are its
//!   **aliases**, each of which asks for it.
//! - **Reference**: a field that names another record, or several; an association on a side is one. A word names records by its
//!   side's own ids and means them by their canonical ones.
//! - **Suggestion**: a record that a side may have already under another id, as far as the fields of `match_on` tell.
//! - **Principal**: who asks or edits: the operator, or a person in a **role** of the manifest, with its rows and fields.
//! - **Rulebook**: which rules, and which clock offsets, were in force when ([`rulebook`]); made from events as well.
//!
//! # Laws
//!
//! Each is a property test that carries its name, against a naive fold that shares no code with the engine.
//!
//! - **order-free**: a record and its verdicts depend on the *set* of its events alone.
//! - **side order**: an origin's newest linear word on a field supersedes its older ones, in whatever order they come.
//! - **seen**: an edit supersedes every word that happened before it.
//! - **concurrent**: what is left over is decided by the field's rule; all candidates stay in the verdict.
//! - **echo**: a side repeating our newest write says nothing new; no time window decides that. Where a receipt stands later
//!   than the side took the write, because its clock stood or was set back, it says so, and the echo at that time is known by it.
//!   A write that came to nothing (the side refused it, or it was to make a record and made none) has no echo.
//! - **minimal**: a write holds only what differs; after its receipt the next projection is empty.
//! - **nothing lost**: acknowledged means on disk; every write ends in a receipt, a refusal or parked.
//! - **healed**: an edit that a write of ours overwrote unheard is judged as concurrent once it is heard.
//! - **rebuildable**: delete everything but the log, and `rebuild` yields the same.
//! - **isolation**: one store a tenant; every read, and every edit of the embedding program, takes a principal.
//!
//! # Invariants
//!
//! - The log is the truth. Derived state is never trusted further than its checkpoint says, and is thrown away without regret.
//! - No checkpoint stands for what has not taken effect: where an event of the log cannot, nothing more is taken until it has.
//! - Every statement stands under the record that its side means, never under what it was taken for. So parting two records
//!   gives everything back to the one of which it was said.
//! - Ties are statements like any other: who is one with whom depends on the set of events alone.
//! - Nothing is made on a side before all that the side has is known, nor while something there could be the same.
//! - What is said to come from a side is checked by its signature first, and answered 2xx only once it is on disk.
//! - Merge and projection know no disk, no network, no clock: they are functions of events and the rulebook.
//! - A record is advanced by one event the short way only where the outcome is certain; otherwise it is folded anew from
//!   its events. A property holds the two ways equal.
//! - Where times are equal plain content decides, never ids and never arrival.
//! - A write is open until something names its `sent` and says what became of it; no clock closes it.
//! - A disk that is nearly full takes nothing from outside, before anything can fail; what was begun is still brought to its end.
//! - Each heavy dependency has one door: BLAKE3 in [`id`], bincode in [`codec`], Automerge in [`merge::document`], sled in
//!   [`state`], CEL in [`expression`].
//! - What a role of the manifest may see and say is decided in [`history`] and nowhere else; [`validate`] tells what is wrong
//!   with an edit, and where a record breaks the manifest.
//! - Values, secrets and tokens are never in logs, errors, metrics or `Debug` output.
#![warn(missing_docs)]

pub mod capture;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod engine;
pub mod event;
pub mod expression;
pub mod field;
pub mod history;
pub mod id;
pub mod limit;
pub mod log;
pub mod manifest;
pub mod merge;
pub mod metrics;
pub mod projection;
pub mod rulebook;
pub mod send;
pub mod server;
pub mod service;
pub mod side;
pub mod sim;
pub mod state;
pub mod validate;
pub mod value;

/// The README's examples, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

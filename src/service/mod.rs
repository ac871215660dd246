//! A tenant in service: its writes leave, its sides are read, and what is wrong is said.
//!
//! | task of a side | when | what |
//! |---|---|---|
//! | sending | whenever something is due | [`send::Sender`](crate::send::Sender) |
//! | backfill | once, resumed after a restart | all records of all kinds, a page at a time |
//! | poll | every `poll` of the manifest | what has changed since |
//! | reconcile | every `reconcile` of the manifest | everything is compared with what we believe, and repaired |
//! | watching | with each of them | staleness, clock, breaker: alarms |
//!
//! A [`Tenant`] is opened with what its sides are reached with ([`Dialects`]), and then either runs ([`Tenant::run`]) or is stepped
//! by whoever turns its clock ([`Tenant::step`]). All that it learns it says to the engine as ordinary events; what it
//! keeps itself is how far each side was read ([`Marks`]).

mod admin;
mod alarm;
mod backfill;
mod dialects;
mod fleet;
mod hooks;
mod links;
mod marks;
mod order;
mod poll;
mod pull;
mod reach;
mod reader;
mod reconcile;
mod run;
mod side;
mod status;
mod tenant;
mod wants;

pub use admin::{AskError, ask};
pub use alarm::{Alarm, AlarmKind};
pub use backfill::BackfillProgress;
pub use dialects::{Network, open_hubspot};
pub use fleet::{Fleet, FleetError, MANIFEST, Place, STORE, places, read_manifest};
pub use links::LinkOrder;
pub use marks::{BackfillMark, Marks, MarksError, PollMark, PollWalk, ReconcileMark, SideMarks};
pub use order::{Order, OrderError, rejudged_line};
pub use pull::{PullError, Pulled, pull};
pub use reach::{ClockReading, Context, Dialects, Gauge, InProcess, QuotaLeft, Reach, ReachError};
pub use reader::ServiceError;
pub use reconcile::{DRIFTS_MAX, Report};
pub use run::GRACE;
pub use status::{ClockStatus, SideStatus, TenantStatus, Totals};
pub use tenant::{Tenant, TenantBuilder};
pub use wants::Wants;

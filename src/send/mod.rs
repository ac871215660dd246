//! Send: writes leave for their side, and what became of them comes back.
//!
//! [`write`](mod@write) and [`read_back`] hold the words that a side's [`Connector`] speaks, [`retry`] and [`breaker`] the two
//! decisions about trying again, as plain values that take the time and random numbers as arguments. [`quota`] counts a side's
//! calls the same way, and [`gate`] lets them wait for their place. [`driver`] alone stands
//! above the engine: it asks for what is due, hands it to the connector and feeds the outcomes back.

pub mod breaker;
pub mod chance;
pub mod connector;
pub mod driver;
pub mod gate;
pub mod quota;
pub mod read_back;
pub mod retry;
pub mod write;

pub use connector::{BoxFuture, Connector};
pub use driver::{Sender, Settings, Stepped};
pub use gate::Gate;
pub use quota::{Lane, Limits, Urgency};
pub use read_back::{Ask, InDoubt, Past, ReadError, Seen, SeenField};
pub use write::{Outcome, Receipt, Write};

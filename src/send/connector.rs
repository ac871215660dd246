//! What a side's dialect has to offer so that writes can be sent to it.

use std::{future::Future, pin::Pin};

use super::{Ask, Outcome, ReadError, Seen, Write};

/// A future on the heap, so that connectors of all dialects are one type.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A side as writes see it.
///
/// A connector translates and calls; it keeps no state of the writes and tries nothing again. Its answers are
/// matched to writes by the ids in the side's answer, never by their place in it.
pub trait Connector: Send + Sync {
    /// The most writes, or questions, of one call.
    fn batch_most(&self) -> usize;

    /// Delivers writes, each to another record; one outcome for each, in their order.
    ///
    /// A write that the side's answer does not speak of, also in an answer of success, is [`Outcome::Unknown`]. So is a call that
    /// broke off after its first byte had left.
    fn deliver<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Vec<Outcome>>;

    /// Reads records; one answer for each question, in their order.
    fn read_back<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Vec<Result<Seen, ReadError>>>;
}

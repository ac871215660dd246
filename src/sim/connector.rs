//! The way our writes take to a pretend side, with faults on order.

use std::sync::{Arc, Mutex, MutexGuard};

use super::{
    post::Faults,
    side::{Side, Took},
};
use crate::{
    clock::{Clock, HandClock, Millis},
    send::{Ask, BoxFuture, Connector, Outcome, ReadError, Receipt, Seen, Write, chance::Chance},
};

/// The line to a side: what is on it, and what is wrong with it.
pub struct Line {
    side: Arc<Mutex<Side>>,
    clock: HandClock,
    batch_most: usize,
    state: Mutex<State>,
}

struct State {
    faults: Faults,
    chance: Chance,
    /// From when until when, by our clock, the side cannot be reached.
    away: Vec<(Millis, Millis)>,
    /// After how many more writes the line hangs for good, as when the process is about to be killed.
    hangs_after: Option<u64>,
    /// Whether a call hangs now.
    hangs: bool,
    sent: Sent,
}

/// What left for the side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Calls that delivered writes.
    pub calls: u64,
    /// Writes that took effect.
    pub writes: u64,
    /// Field values in them.
    pub values: u64,
    /// Writes that the side refused.
    pub refused: u64,
    /// Writes whose outcome was lost on the way back.
    pub unanswered: u64,
}

impl Line {
    /// A line to `side`.
    pub fn new(side: Arc<Mutex<Side>>, clock: HandClock, batch_most: usize, faults: Faults, chance: Chance) -> Self {
        let state = State { faults, chance, away: Vec::new(), hangs_after: None, hangs: false, sent: Sent::default() };
        Line { side, clock, batch_most, state: Mutex::new(state) }
    }

    /// Cuts the line for a while.
    pub fn cut(&self, from: Millis, to: Millis) {
        self.state().away.push((from, to));
    }

    /// Until when the line is cut; `None`: it is not.
    pub fn cut_until(&self) -> Option<Millis> {
        let now = self.clock.now();
        self.state().away.iter().filter(|(from, to)| *from <= now && now < *to).map(|(_, to)| *to).max()
    }

    /// Whether the line is cut now.
    pub fn is_cut(&self) -> bool {
        self.cut_until().is_some()
    }

    /// Lets the line hang, after `writes` more of them took effect, until it is mended.
    pub fn hang_after(&self, writes: u64) {
        self.state().hangs_after = Some(writes);
    }

    /// Ends a hang.
    pub fn mend(&self) {
        let mut state = self.state();
        (state.hangs_after, state.hangs) = (None, false);
    }

    /// Whether the line is going to hang, or does.
    pub fn may_hang(&self) -> bool {
        self.state().hangs_after.is_some()
    }

    /// Whether a call hangs now.
    pub fn hangs(&self) -> bool {
        self.state().hangs
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// What left so far.
    pub fn sent(&self) -> Sent {
        self.state().sent
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a pretend line does not panic")
    }

    /// Delivers one write; `None`: the line hangs.
    fn deliver_one(&self, write: &Write) -> Option<Outcome> {
        let cut = self.is_cut();
        let mut state = self.state();
        match state.hangs_after {
            Some(0) => return None,
            Some(more) => state.hangs_after = Some(more - 1),
            None => {}
        }
        // A line that is cut most often refuses the call; now and then it breaks between the effect and the answer.
        if cut && !state.chance.permille(100) {
            return Some(Outcome::RetryAfter(0));
        }
        let busy = state.faults.busy;
        if state.chance.permille(busy) {
            return Some(Outcome::RetryAfter(2_000));
        }
        let mut side = self.side.lock().expect("a pretend side does not panic");
        let took = match write.delete {
            true => side.write_delete(&write.record),
            false => side.write(&write.record, write.create, &write.fields),
        };
        let link = side.id_of(&write.record);
        drop(side);
        let (unanswered, omitted) = (state.faults.unanswered, state.faults.omitted);
        match took {
            // Whoever writes to a record that is gone has to look what became of it.
            Took::Missing => Some(Outcome::Unknown),
            Took::Refused(reason, fields) => {
                state.sent.refused += 1;
                Some(Outcome::Refused { reason, fields })
            }
            Took::Effect(at, shows) => {
                state.sent.writes += 1;
                state.sent.values += write.fields.len() as u64;
                if state.hangs_after == Some(0) {
                    return None;
                }
                if cut || state.chance.permille(unanswered) || state.chance.permille(omitted) {
                    state.sent.unanswered += 1;
                    return Some(Outcome::Unknown);
                }
                Some(Outcome::Applied(Receipt { link, at: Some(at), shows, ..Receipt::default() }))
            }
        }
    }

    fn read_one(&self, ask: &Ask) -> Result<Seen, ReadError> {
        let cut = self.is_cut();
        let mut state = self.state();
        let busy = state.faults.busy;
        if cut || state.chance.permille(busy) {
            return Err(ReadError::RetryAfter(0));
        }
        let side = self.side.lock().expect("a pretend side does not panic");
        let Some((link, modified, fields)) = side.read(&ask.record) else { return Ok(Seen::default()) };
        let found = fields.is_some();
        let mut fields = fields.unwrap_or_default();
        fields.retain(|seen| ask.fields.is_empty() || ask.fields.contains(&seen.field));
        Ok(Seen { found, link: Some(link), fields, modified: Some(modified), merged: Vec::new() })
    }
}

impl Connector for Line {
    fn batch_most(&self) -> usize {
        self.batch_most
    }

    fn deliver<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            self.state().sent.calls += 1;
            let mut outcomes = Vec::with_capacity(writes.len());
            for write in writes {
                match self.deliver_one(write) {
                    Some(outcome) => outcomes.push(outcome),
                    None => {
                        self.state().hangs = true;
                        std::future::pending().await
                    }
                }
            }
            outcomes
        })
    }

    fn read_back<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Vec<Result<Seen, ReadError>>> {
        Box::pin(async move { asks.iter().map(|ask| self.read_one(ask)).collect() })
    }
}

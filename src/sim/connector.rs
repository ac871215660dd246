//! The way our writes take to a pretend side, with faults on order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use super::{
    post::Faults,
    side::{Side, Took},
};
use crate::{
    clock::{Clock, HandClock, Millis},
    id::RecordId,
    send::{Ask, BoxFuture, Connector, InDoubt, Outcome, ReadError, Receipt, Seen, Write, chance::Chance},
};

/// The field in which no two records of a side with ids of its own are alike.
const UNIQUE: &str = "email";

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
    /// What was ordered for the next writes, one after the other.
    slips: VecDeque<Slip>,
    /// Until when, by our clock, the side puts off every call.
    busy_until: Option<Millis>,
    /// Every write that has reached the side, where someone watches.
    delivered: Option<Vec<Delivered>>,
}

/// What is ordered to go wrong with one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// It takes effect, and the answer is lost.
    Unanswered,
    /// The side puts it off by so many milliseconds.
    Busy(i64),
}

/// A write that has reached the side.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Its key.
    pub key: String,
    /// The side's record.
    pub record: RecordId,
    /// Whether it was to make the record.
    pub create: bool,
    /// Whether it took effect.
    pub took: bool,
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
        let (away, slips) = (Vec::new(), VecDeque::new());
        let (sent, hangs_after, hangs) = (Sent::default(), None, false);
        let (busy_until, delivered) = (None, None);
        let state = State { faults, chance, away, hangs_after, hangs, sent, slips, busy_until, delivered };
        Line { side, clock, batch_most, state: Mutex::new(state) }
    }

    /// Cuts the line for a while.
    pub fn cut(&self, from: Millis, to: Millis) {
        self.state().away.push((from, to));
    }

    /// Ends all that was ordered: cuts, busy times, slips and hangs.
    pub fn clear(&self) {
        self.mend();
        let mut state = self.state();
        state.away.clear();
        state.slips.clear();
        state.busy_until = None;
    }

    /// Orders what goes wrong with one of the next writes.
    pub fn slip(&self, slip: Slip) {
        self.state().slips.push_back(slip);
    }

    /// Lets the side put off every call until a time of ours.
    pub fn busy_until(&self, until: Millis) {
        self.state().busy_until = Some(until);
    }

    /// Lets chance on this line follow from a seed from here on.
    pub fn reseed(&self, seed: u64) {
        self.state().chance = Chance::new(seed);
    }

    /// Keeps what reaches the side from here on, and returns what has since the last call.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.state().delivered.replace(Vec::new()).unwrap_or_default()
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
        if let Some(wait) = self.puts_off(&state) {
            return Some(Outcome::RetryAfter(wait));
        }
        let slip = state.slips.pop_front();
        if let Some(Slip::Busy(wait)) = slip {
            return Some(Outcome::RetryAfter(wait));
        }
        let (record, link, took) = self.put(write);
        if let Some(delivered) = &mut state.delivered {
            let (key, took) = (write.key.clone(), matches!(took, Took::Effect(..)));
            delivered.push(Delivered { key, record, create: write.create, took });
        }
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
                let slipped = slip == Some(Slip::Unanswered);
                if cut || slipped || state.chance.permille(unanswered) || state.chance.permille(omitted) {
                    state.sent.unanswered += 1;
                    return Some(Outcome::Unknown);
                }
                Some(Outcome::Applied(Receipt { link, at: Some(at), shows, ..Receipt::default() }))
            }
        }
    }

    /// How long a busy side puts off every call, in milliseconds.
    fn puts_off(&self, state: &State) -> Option<i64> {
        let now = self.clock.now();
        state.busy_until.filter(|until| *until > now).map(|until| until.0 - now.0)
    }

    /// Does what a write asks for; returns the side's record, its id there and what came of it.
    fn put(&self, write: &Write) -> (RecordId, Option<Box<str>>, Took) {
        let mut side = self.side.lock().expect("a pretend side does not panic");
        let (record, took) = match (side.has_own_ids(), &write.link) {
            (true, _) if write.create && is_taken(&side, write) => (write.record.clone(), Took::Missing),
            (true, _) if write.create => side.write_new(write.record.kind(), &write.key, &write.fields),
            (true, link) => {
                let named = link.as_deref().and_then(|link| side.by_id(write.record.kind(), link));
                let took = match &named {
                    None => Took::Missing,
                    Some(record) if write.delete => side.write_delete(record),
                    Some(record) => side.write(record, false, &write.fields),
                };
                (named.unwrap_or_else(|| write.record.clone()), took)
            }
            (false, _) if write.delete => (write.record.clone(), side.write_delete(&write.record)),
            (false, _) => (write.record.clone(), side.write(&write.record, write.create, &write.fields)),
        };
        let link = side.id_of(&record);
        (record, link, took)
    }

    fn read_one(&self, ask: &Ask) -> Result<Seen, ReadError> {
        let cut = self.is_cut();
        let mut state = self.state();
        let busy = state.faults.busy;
        if cut || state.chance.permille(busy) {
            return Err(ReadError::RetryAfter(0));
        }
        if let Some(wait) = self.puts_off(&state) {
            return Err(ReadError::RetryAfter(wait));
        }
        let side = self.side.lock().expect("a pretend side does not panic");
        let by_id = |link: &str| side.by_id(ask.record.kind(), link);
        let record = match side.has_own_ids() {
            // What was made, or is in the way of what is to be made, is found by its address.
            true => ask
                .about
                .as_ref()
                .filter(|about| about.create)
                .and_then(|about| found(&side, about, ask))
                .or_else(|| by_id(ask.link.as_deref()?)),
            false => Some(ask.record.clone()),
        };
        let Some(record) = record else { return Ok(Seen::default()) };
        let Some((link, modified, fields)) = side.read(&record) else { return Ok(Seen::default()) };
        let found = fields.is_some();
        let mut fields = fields.unwrap_or_default();
        fields.retain(|seen| ask.fields.is_empty() || ask.fields.contains(&seen.field));
        let merged = side.merged_into(&record);
        Ok(Seen { found, link: Some(link), fields, modified: Some(modified), merged })
    }
}

/// Whether the side has a record with the address of one that it is to make.
fn is_taken(side: &Side, write: &Write) -> bool {
    let email = write.fields.iter().find(|(field, _)| **field == *UNIQUE);
    email.is_some_and(|(field, value)| side.find(write.record.kind(), field, value).is_some())
}

/// The record that a write has made, or the one for which the side would not make it.
fn found(side: &Side, about: &InDoubt, ask: &Ask) -> Option<RecordId> {
    let email = about.fields.iter().find(|(field, _)| **field == *UNIQUE);
    let there = || side.find(ask.record.kind(), UNIQUE, &email?.1);
    side.made_by(&about.key).or_else(there)
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

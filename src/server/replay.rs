//! Which calls of sides were taken lately, so that a repeated one need not be read again.
//!
//! Only a shortcut: what is forgotten here is recognised by its content in the log. So a call counts as repeated only
//! with the same id and the same bytes; an id that is used for something else is read like any other call.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use crate::{
    clock::Millis,
    id::{Digest, Hashing},
};

/// The most calls that are remembered.
const CALLS_MAX: usize = 20_000;
/// For how long: twice the window in which a signature is fresh.
const KEPT: i64 = 600_000;

/// The calls that were taken lately.
#[derive(Default)]
pub struct Replays(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    at: HashMap<Digest, Millis>,
    order: VecDeque<(Millis, Digest)>,
}

/// Names a call by its side, id and bytes.
pub fn name(side: &str, id: &str, body: &[u8]) -> Digest {
    let mut hashing = Hashing::new("syncline taken call");
    hashing.update_sized(side.as_bytes()).update_sized(id.as_bytes()).update_sized(body);
    hashing.digest()
}

impl Replays {
    /// Whether the call was taken lately.
    pub fn has(&self, call: &Digest, now: Millis) -> bool {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.at.get(call).is_some_and(|at| now.0.saturating_sub(at.0) <= KEPT)
    }

    /// Notes a call whose statements are on disk.
    pub fn note(&self, call: Digest, now: Millis) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.at.insert(call, now);
        taken.order.push_back((now, call));
        while let Some(&(at, oldest)) = taken.order.front() {
            if taken.order.len() <= CALLS_MAX && now.0.saturating_sub(at.0) <= KEPT {
                break;
            }
            taken.order.pop_front();
            // A call that was noted again meanwhile has a later entry.
            if taken.at.get(&oldest) == Some(&at) {
                taken.at.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_its_side_its_id_and_its_bytes() {
        let replays = Replays::default();
        replays.note(name("portal", "msg_1", b"{}"), Millis(0));
        assert!(replays.has(&name("portal", "msg_1", b"{}"), Millis(1)));
        assert!(!replays.has(&name("portal", "msg_1", b"[]"), Millis(1)));
        assert!(!replays.has(&name("portal", "msg_2", b"{}"), Millis(1)));
        assert!(!replays.has(&name("shop", "msg_1", b"{}"), Millis(1)));
    }

    #[test]
    fn calls_are_forgotten_with_time_and_number() {
        let replays = Replays::default();
        let call = |number: usize| name("portal", &number.to_string(), b"");
        replays.note(call(0), Millis(0));
        assert!(replays.has(&call(0), Millis(KEPT)));
        assert!(!replays.has(&call(0), Millis(KEPT + 1)));
        (0..=CALLS_MAX).for_each(|number| replays.note(call(number), Millis(1)));
        assert!(!replays.has(&call(0), Millis(1)));
        assert!(replays.has(&call(CALLS_MAX), Millis(1)));
        assert_eq!(replays.0.lock().expect("whole").at.len(), CALLS_MAX);
    }
}

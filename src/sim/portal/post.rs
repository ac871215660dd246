//! Messages of a pretend portal to us: made with every change, sent until they are taken.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fault::{At, Fault, Faults};
use crate::clock::Millis;

/// The seconds between the attempts, as the specification suggests.
const DELAYS: [f64; 9] = [5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0];

/// A message that waits, or is under way.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub id: String,
    pub topic: String,
    pub body: Vec<u8>,
    pub due: Millis,
    pub attempts: usize,
    pub under_way: bool,
    pub wrong_signature: bool,
}

/// All messages that are not taken yet.
#[derive(Default)]
pub(super) struct Posts {
    /// By number, in the order in which they were made.
    waiting: BTreeMap<u64, Post>,
    numbers: u64,
    /// Whether we answered 410: nothing is sent any more.
    pub refused: bool,
    pub made: u64,
    pub taken: u64,
    pub repeated: u64,
    /// Those that were thrown away by a fault, or after the last attempt.
    pub lost: u64,
}

impl Posts {
    /// Makes a message; `changes` are one or many, `said` the portal's own time.
    pub fn make(&mut self, topic: &str, mut changes: Vec<Value>, said: Millis, now: Millis, faults: &mut Faults) {
        let data = match changes.len() {
            1 => changes.remove(0),
            _ => json!({"changes": changes}),
        };
        let body = json!({"type": topic, "timestamp": said.to_string(), "data": data}).to_string().into_bytes();
        self.made += 1;
        let id = format!("msg_{}", self.made);
        let post =
            Post { id, topic: topic.to_owned(), body, due: now, attempts: 0, under_way: false, wrong_signature: false };
        let mut copies = vec![post];
        for fault in faults.now(At::Post, topic) {
            match fault {
                Fault::Duplicate => copies.push(copies[0].clone()),
                Fault::Reorder { ms } => copies[0].due = copies[0].due.plus(faults.upto(ms)),
                Fault::Delay { ms } => copies[0].due = copies[0].due.plus(ms),
                Fault::WrongSignature => copies[0].wrong_signature = true,
                Fault::Lose => {
                    self.lost += 1;
                    return;
                }
                _ => {}
            }
        }
        for post in copies {
            self.numbers += 1;
            self.waiting.insert(self.numbers, post);
        }
    }

    /// Takes out the next message that is due, the one that is due longest.
    pub fn next(&mut self, now: Millis) -> Option<(u64, Post)> {
        let is_due = |(_, post): &(&u64, &Post)| !post.under_way && post.due <= now;
        let number =
            self.waiting.iter().filter(is_due).min_by_key(|(number, post)| (post.due, **number)).map(|(n, _)| *n)?;
        let post = self.waiting.get_mut(&number).filter(|_| !self.refused)?;
        post.under_way = true;
        post.attempts += 1;
        Some((number, post.clone()))
    }

    /// Notes what we answered; 0: nothing.
    pub fn ended(&mut self, number: u64, status: u16, after_ms: Option<i64>, now: Millis, scale: f64, jitter: f64) {
        let Some(post) = self.waiting.get_mut(&number) else { return };
        (post.under_way, post.wrong_signature) = (false, false);
        match status {
            200..=299 => {
                self.taken += 1;
                self.waiting.remove(&number);
            }
            410 => self.refused = true,
            _ => match DELAYS.get(post.attempts - 1) {
                Some(seconds) => {
                    self.repeated += 1;
                    let own = (seconds * 1000.0 * scale * (1.0 + jitter / 10.0)) as i64;
                    post.due = now.plus(own.max(after_ms.unwrap_or(0)));
                }
                None => {
                    self.lost += 1;
                    self.waiting.remove(&number);
                }
            },
        }
    }

    /// How many wait or are under way.
    pub fn pending(&self) -> usize {
        self.waiting.len()
    }

    /// Whether one is under way or due.
    pub fn is_busy(&self, now: Millis) -> bool {
        !self.refused && self.waiting.values().any(|post| post.under_way || post.due <= now)
    }

    /// Makes all that wait due now.
    pub fn hurry(&mut self, now: Millis) {
        self.waiting.values_mut().for_each(|post| post.due = post.due.min(now));
    }

    pub fn state(&self) -> Value {
        let of = |post: &Post| json!({"id": post.id, "type": post.topic, "due": post.due.0, "attempts": post.attempts, "under_way": post.under_way});
        self.waiting.values().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{send::chance::Chance, sim::portal::Order};

    fn posts(orders: Vec<Order>) -> Posts {
        let mut faults = Faults::new(Chance::new(1));
        faults.orders = orders;
        let mut posts = Posts::default();
        for n in 1..=3 {
            posts.make("record.changed", vec![json!(n)], Millis(0), Millis(n), &mut faults);
        }
        posts
    }

    fn order(mut posts: Posts) -> Vec<String> {
        std::iter::from_fn(|| posts.next(Millis(1000))).map(|(_, post)| post.id).collect()
    }

    #[test]
    fn messages_leave_as_ordered() {
        assert_eq!(order(posts(Vec::new())), ["msg_1", "msg_2", "msg_3"]);
        assert_eq!(order(posts(vec![Order::next(Fault::Lose, 1)])), ["msg_2", "msg_3"]);
        assert_eq!(order(posts(vec![Order::next(Fault::Duplicate, 1)])), ["msg_1", "msg_1", "msg_2", "msg_3"]);
        assert_eq!(order(posts(vec![Order::next(Fault::Delay { ms: 50 }, 1)])), ["msg_2", "msg_3", "msg_1"]);
        assert_eq!(order(posts(vec![Order::next(Fault::Delay { ms: 5000 }, 1)])), ["msg_2", "msg_3"]);
        assert_eq!(order(posts(vec![Order::next(Fault::Lose, 1).with("record.created")])).len(), 3);
    }

    #[test]
    fn a_message_comes_again_until_it_is_taken() {
        let mut posts = posts(Vec::new());
        let mut now = Millis(10);
        let mut waits = Vec::new();
        while let Some((number, post)) = posts.next(now) {
            let status = if post.id == "msg_1" { 500 } else { 204 };
            posts.ended(number, status, None, now, 1.0, 0.0);
            let due = posts.waiting.values().map(|post| post.due).min();
            if let Some(due) = due.filter(|due| *due > now) {
                waits.push((due.0 - now.0) / 1000);
                now = due;
            }
        }
        assert_eq!(waits, [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]);
        assert_eq!((posts.taken, posts.repeated, posts.lost, posts.pending()), (2, 9, 1, 0));
    }

    #[test]
    fn after_410_nothing_is_sent() {
        let mut posts = posts(Vec::new());
        let (number, _) = posts.next(Millis(10)).expect("one is due");
        posts.ended(number, 410, None, Millis(10), 1.0, 0.0);
        assert!(posts.next(Millis(1_000_000)).is_none());
        assert_eq!(posts.pending(), 3);
    }
}

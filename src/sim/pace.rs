//! A clock turned by hand that goes on by itself, for those who wait by it inside of what they do.

use std::time::Duration;

use crate::clock::HandClock;

/// How often the clock is turned, in real time.
const EVERY: Duration = Duration::from_millis(2);

/// Turns a clock by so many milliseconds five hundred times a second, and never ends: 2 is the pace of the true one.
///
/// Where a call on a real socket waits by the clock, such as for its place in a quota, nobody else could turn it meanwhile.
pub async fn go_on(clock: HandClock, millis: i64) {
    loop {
        tokio::time::sleep(EVERY).await;
        clock.advance(millis);
    }
}

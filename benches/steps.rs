//! What each step of the journey costs: `cargo bench`, or `cargo bench -- merge` for one of them.
//!
//! Times are those of one machine at one time; what they are for is comparing two versions on it.

#[path = "steps/append.rs"]
mod append;
#[path = "steps/history.rs"]
mod history;
#[path = "steps/journey.rs"]
mod journey;
#[path = "steps/merge.rs"]
mod merge;
#[path = "steps/projection.rs"]
mod projection;
#[path = "steps/telling.rs"]
mod telling;

fn main() {
    divan::main();
}

//! What a service tells of itself: enough to follow one change, and nothing of anybody's values.

mod canaries;
mod commands;
mod house;
mod spans;

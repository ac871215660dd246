//! What is tested from the outside, in one binary.

mod by_example;
mod cli;
mod datasets;
mod laws;
mod manifest;
mod manifest_faults;
mod manifest_schema;
mod merged;
mod reference;
mod setting;
mod stories;
mod telling;

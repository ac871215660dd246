//! What is tested from the outside, in one binary.

mod by_example;
mod cli;
mod data;
mod datasets;
mod documents;
mod journey;
mod kill;
mod laws;
mod manifest;
mod manifest_faults;
mod manifest_schema;
mod merged;
mod reference;
mod setting;
mod stories;
mod telling;

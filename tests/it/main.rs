//! What is tested from the outside, in one binary.

mod by_example;
mod cli;
mod damage;
mod data;
mod datasets;
mod documents;
mod isolation;
mod journey;
mod kill;
mod laws;
mod manifest;
mod manifest_faults;
mod manifest_schema;
mod merged;
mod rebuild;
mod reference;
mod sending;
mod setting;
mod stories;
mod telling;
mod tidy;

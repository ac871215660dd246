//! What is tested from the outside, in one binary.

mod journey;
mod manifest;
mod manifest_faults;
mod manifest_schema;

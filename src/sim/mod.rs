//! A pretend CRM and a pretend portal, in process, that behave as badly as real ones.
//!
//! [`side`] is what a side is: records under its own ids, its own clock, its own views on values. [`post`] is the way its
//! webhooks take to us, [`connector`] the way our writes take to it, both with faults on order. [`capture`] makes statements of
//! webhooks. [`world`] puts two sides and an engine together under one hand-turned clock, and [`ledger`] notes what users did,
//! to judge afterwards, with no code of the engine, what everybody has to show. [`disk`] is a disk that fails when told to.

pub mod capture;
pub mod compare;
pub mod connector;
pub mod demo;
pub mod disk;
pub mod hubspot;
pub mod ledger;
pub mod live;
pub mod order;
pub mod pace;
pub mod people;
pub mod portal;
pub mod post;
pub mod report;
pub mod script;
pub mod side;
pub mod world;

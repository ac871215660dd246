//! The service over real sockets: what callers are told, what they are refused, and what a bad client cannot do.

mod bounds;
mod changes;
mod errors;
mod hooks;
mod openapi;
mod roles;
mod stream;
mod world;

//! Capture: from what a side says, as bytes, to statements. No server in sight, and no disk.

pub mod neutral;

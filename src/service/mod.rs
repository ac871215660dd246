//! A tenant kept running: senders, polls, reconciliation, one after the other or side by side.

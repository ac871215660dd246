//! A tenant kept running: polls, reconciliation, reload, alarms.

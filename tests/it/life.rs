//! Life in minutes: two real sides over HTTP with every fault, and agreement at its end.

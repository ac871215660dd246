//! Nothing outside a principal's permission is reachable.

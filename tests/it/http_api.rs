//! The HTTP API: changes in, records, history and live changes out.

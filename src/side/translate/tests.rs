//! Claims about translation.

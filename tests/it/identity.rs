//! The right record: links, merges, undoing both.

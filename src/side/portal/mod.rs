//! A portal: Standard Webhooks in both directions.

pub mod signature;

//! A portal: Standard Webhooks in both directions.

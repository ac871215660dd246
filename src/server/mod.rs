//! The service on HTTP: webhooks in, records and changes out.

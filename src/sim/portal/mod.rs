//! A pretend portal on HTTP, with faults to order.

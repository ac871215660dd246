//! A pretend HubSpot account on HTTP, with faults to order.

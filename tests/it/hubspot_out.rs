//! What HubSpot is sent and asked: writes, reads, pages, quotas.

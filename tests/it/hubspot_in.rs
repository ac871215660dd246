//! What HubSpot sends: signatures, webhooks, properties.

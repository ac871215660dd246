//! The pretend HubSpot, judged by HubSpot's own clients and by its contract.

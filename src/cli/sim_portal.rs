//! A pretend portal on HTTP, run until it is interrupted.

use std::{io::Write, sync::Arc};

use clap::Args as Group;
use serde_json::json;

use super::{
    failure::{End, Failure},
    tell,
};
use crate::{
    clock::SystemClock,
    sim::{
        people,
        portal::{By, Portal, Serving, Settings, Signer, serve},
    },
};

/// A pretend portal.
#[derive(Debug, Group)]
pub struct SimPortal {
    /// Where it listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8701")]
    pub listen: String,
    /// Where its messages go
    #[arg(long, value_name = "URL")]
    pub webhooks_to: Option<String>,
    /// The secret that both sides sign with, whsec_BASE64: env:NAME
    #[arg(long, value_name = "env:NAME", default_value = "env:PORTAL_WEBHOOK_SECRET")]
    pub secret: String,
    /// What all chance follows from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many customers it begins with
    #[arg(long, default_value_t = 0)]
    pub records: usize,
}

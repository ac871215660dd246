//! Pretend sides on HTTP, run until they are interrupted.

use std::{io::Write, sync::Arc};

use serde_json::json;

use super::{
    args::{Sim, SimHubspot},
    failure::{End, Failure},
    tell,
};
use crate::{
    clock::SystemClock,
    sim::hubspot::{Account, Settings, serve},
};

/// Runs the pretend side that was asked for.
pub fn sim(side: &Sim, json: bool, out: &mut dyn Write) -> Result<End, Failure> {
    match side {
        Sim::Hubspot(args) => hubspot(args, json, out),
    }
}

/// What `env:NAME` names; without `--webhooks-to` nothing is signed, so a name that is not set will do.
fn secret(args: &SimHubspot) -> Result<String, Failure> {
    let due = || Failure::Use("--secret has to be env:NAME, the name of a variable of the environment".into());
    let name = args.secret.strip_prefix("env:").filter(|name| !name.is_empty()).ok_or_else(due)?;
    match std::env::var(name) {
        Ok(secret) if !secret.is_empty() => Ok(secret),
        _ if args.webhooks_to.is_none() => Ok(String::new()),
        _ => Err(Failure::Use(format!("the variable {name} of the environment holds no secret to sign webhooks with"))),
    }
}

fn hubspot(args: &SimHubspot, json: bool, out: &mut dyn Write) -> Result<End, Failure> {
    let default = Settings::default();
    let settings = Settings {
        seed: args.seed,
        app: args.app.unwrap_or(default.app),
        account: args.account.unwrap_or(default.account),
        webhooks_to: args.webhooks_to.clone(),
        ..default
    };
    let account = Account::new(settings, &secret(args)?, Arc::new(SystemClock));
    account.people(args.records);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(Failure::Serve)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(&args.listen)
            .await
            .map_err(|why| Failure::Use(format!("cannot listen on {}: {why}", args.listen)))?;
        let serving = serve(account.clone(), listener).map_err(Failure::Serve)?;
        announce(&account, &serving.url(), args.records, json, out)?;
        tokio::select! {
            ended = serving.forever() => ended.map_err(Failure::Serve)?,
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::Serve)?,
        }
        Ok(End::Done)
    })
}

fn announce(account: &Account, url: &str, records: usize, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let settings = account.settings();
    if json {
        let told = json!({"url": url, "account": settings.account, "app": settings.app, "seed": settings.seed,
                          "contacts": records, "webhooks_to": settings.webhooks_to, "control": format!("{url}/_sim")});
        tell::json(out, &told)?;
    } else {
        writeln!(out, "HubSpot account {} is at {url}, with {records} contacts", settings.account)?;
        match &settings.webhooks_to {
            Some(target) => writeln!(out, "its webhooks go to {target}, for app {}", settings.app)?,
            None => writeln!(out, "its webhooks go nowhere: --webhooks-to URL, or POST {url}/_sim/settings")?,
        }
        writeln!(out, "any token will do:  curl -s -H 'Authorization: Bearer any' {url}/crm/v3/objects/contacts")?;
        writeln!(out, "edits and faults:   curl -s {url}/_sim")?;
    }
    Ok(out.flush()?)
}

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

/// The secret that `env:NAME` names.
fn signer(named: &str) -> Result<Signer, Failure> {
    let due = || Failure::Use("--secret has to be env:NAME, the name of a variable of the environment".into());
    let name = named.strip_prefix("env:").filter(|name| !name.is_empty()).ok_or_else(due)?;
    let secret = std::env::var(name).unwrap_or_default();
    let wrong = || format!("the variable {name} of the environment has to hold whsec_ and a key in base64");
    Signer::new(&[&secret]).ok_or_else(|| Failure::Use(wrong()))
}

/// Runs a pretend portal until it is interrupted.
pub fn portal(args: &SimPortal, json: bool, out: &mut dyn Write) -> Result<End, Failure> {
    let settings = Settings { seed: args.seed, webhooks_to: args.webhooks_to.clone(), ..Settings::default() };
    let portal = Portal::new(settings, signer(&args.secret)?, Arc::new(SystemClock));
    fill(&portal, args.records);
    let failed = |why| Failure::Use(format!("cannot serve on {}: {why}", args.listen));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(failed)?.block_on(async {
        let listener = tokio::net::TcpListener::bind(&args.listen).await.map_err(failed)?;
        let serving = serve(portal, listener).map_err(failed)?;
        announce(args, &serving, json, out)?;
        tokio::select! {
            ended = serving.forever() => ended.map_err(failed)?,
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed)?,
        }
        Ok(End::Done)
    })
}

/// Customers to play with; no message tells of them.
fn fill(portal: &Portal, count: usize) {
    let people = people::people();
    for (number, person) in (0..count).zip(people.iter().cycle()) {
        let round = number / people.len();
        let id = person.id.to_lowercase();
        let email = if round == 0 { format!("{id}@example.com") } else { format!("{id}.{round}@example.com") };
        let set = json!({"email": email, "firstName": person.first_name, "lastName": person.last_name,
                         "phone": person.phone, "address": person.office});
        portal.create_silently("customer", set, &By { system: Some("import".into()), ..By::default() });
    }
}

fn announce(args: &SimPortal, serving: &Serving, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let control = format!("http://{}/_sim", serving.address());
    if json {
        let told = json!({"url": serving.url(), "seed": args.seed, "customers": args.records,
                          "webhooks_to": args.webhooks_to, "control": control});
        tell::json(out, &told)?;
    } else {
        writeln!(out, "the portal is at {}, with {} customers", serving.url(), args.records)?;
        match &args.webhooks_to {
            Some(target) => writeln!(out, "its messages go to {target}")?,
            None => writeln!(out, "its messages wait: --webhooks-to URL, or POST {control}/settings")?,
        }
        writeln!(out, "edits and faults:   curl -s {control}")?;
    }
    Ok(out.flush()?)
}

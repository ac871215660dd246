//! The manifest's `sides`: who takes part, how they are reached, and within which limits.

use super::{
    Capture, Connector, Cooldown, Credentials, Quota, Secret, Side, SideClock,
    block::{self, Block, entries},
    fault::{At, Faults},
    fields::FIELD,
    read::name,
    yaml::{Node, Value},
};
use crate::id::SideName;

pub(super) const SIDE: &[&str] = &[
    "connector",
    "account",
    "app",
    "base_url",
    "deliver_to",
    "credentials",
    "capture",
    "quota",
    "clock",
    "staleness",
    "cooldown",
];
pub(super) const CREDENTIALS: &[&str] = &["token", "webhook_secret"];
pub(super) const CAPTURE: &[&str] = &["webhooks", "poll", "reconcile"];
pub(super) const QUOTA: &[&str] = &["per_second", "per_10s", "per_day"];
pub(super) const CLOCK: &[&str] = &["resolution", "max_offset"];
pub(super) const COOLDOWN: &[&str] = &["flips", "within"];
pub(super) const CONNECTORS: &[(&str, Connector)] = &[
    ("none", Connector::None),
    ("hubspot", Connector::Hubspot),
    ("portal", Connector::Portal),
    ("in_process", Connector::InProcess),
];
/// The steps of a clock that have a name.
pub(super) const STEPS: &[(&str, u64)] = &[("milliseconds", 1), ("seconds", 1000), ("minutes", 60_000)];

/// The names of all sides, whatever else is wrong with them.
pub(super) fn names(node: &Node, faults: &mut Faults) -> Vec<SideName> {
    let Some(sides) = entries(node, "`sides`", faults) else { return Vec::new() };
    if sides.len() < 2 {
        faults.add(
            node.at,
            "there are fewer than two sides",
            "name the sides that have to agree, such as `crm` and `portal`",
        );
    }
    let mut names = Vec::new();
    for (key, _) in sides {
        if FIELD.contains(&key.text.as_str()) {
            let what = format!("a side cannot be called `{}`", key.text);
            faults.add(key.at, what, "a field has a key of that name; choose another one");
        } else if let Some(name) = name(key.at, &key.text, "a side", faults) {
            names.push(SideName::new(name).expect("a checked word is a name"));
        }
    }
    names
}

/// All sides that could be read.
pub(super) fn read(node: &Node, cooldown: Cooldown, faults: &mut Faults) -> Vec<Side> {
    let Value::Map(sides) = &node.value else { return Vec::new() };
    let mut all = Vec::new();
    for (key, node) in sides {
        if let Ok(name) = SideName::new(&key.text) {
            all.extend(side(key.at, name, node, cooldown, faults));
        }
    }
    all
}

fn side(at: At, name: SideName, node: &Node, cooldown_default: Cooldown, faults: &mut Faults) -> Option<Side> {
    let about = format!("side `{name}`");
    let block = Block::open(node, &about, SIDE, &[], faults)?;
    let connector =
        block.need("connector", "add `connector: hubspot`, or `connector: none` for a side without one", faults);
    let connector = connector.and_then(|node| block::word(node, &block.of("connector"), CONNECTORS, faults));
    let string = |key: &str, faults: &mut Faults| {
        block.get(key).and_then(|node| block::text(node, &block.of(key), faults)).map(str::to_owned)
    };
    let account = string("account", faults);
    let app = string("app", faults);
    let base_url = block.get("base_url").and_then(|node| url(node, &block.of("base_url"), faults));
    let deliver_to = block.get("deliver_to").and_then(|node| url(node, &block.of("deliver_to"), faults));
    let credentials = block.get("credentials").and_then(|node| credentials(node, &block.of("credentials"), faults));
    let speaks = matches!(connector, Some(Connector::Hubspot | Connector::Portal));
    let capture = match block.get("capture") {
        Some(node) => capture(node, &block.of("capture"), faults),
        None => Some(Capture { webhooks: speaks, ..Capture::default() }),
    };
    let quota = block.get("quota").map_or(Some(Quota::default()), |node| quota(node, &block.of("quota"), faults));
    let clock = block.get("clock").map_or(Some(SideClock::default()), |node| clock(node, &block.of("clock"), faults));
    let staleness = block.get("staleness").and_then(|node| block::duration(node, &block.of("staleness"), faults));
    let cooldown =
        block.get("cooldown").map_or(Some(cooldown_default), |node| cooldown(node, &block.of("cooldown"), faults));
    let has_credentials = block.get("credentials").is_none() || credentials.is_some();
    block.done();
    let side = Side {
        name,
        connector: connector?,
        account,
        app,
        base_url,
        deliver_to,
        credentials: credentials.unwrap_or_default(),
        capture: capture?,
        quota: quota?,
        clock: clock?,
        staleness,
        cooldown: cooldown?,
    };
    // Where the credentials themselves are faulty, what they lack is not known yet.
    if has_credentials {
        lacks(at, &side, node, faults);
    }
    Some(side)
}

/// What a connector cannot do without.
fn lacks(at: At, side: &Side, node: &Node, faults: &mut Faults) {
    let written = |key: &str| matches!(&node.value, Value::Map(map) if map.iter().any(|(entry, _)| entry.text == key));
    let mut lack = |what: &str, hint: &str| faults.add(at, format!("side `{}` {what}", side.name), hint);
    if side.connector == Connector::Hubspot && side.credentials.token.is_none() {
        lack("has no token to call HubSpot with", "add `credentials: { token: env:NAME }`");
    }
    if side.connector == Connector::Portal && !written("deliver_to") {
        lack("has no address to deliver to", "add `deliver_to: https://...`");
    }
    let speaks = matches!(side.connector, Connector::Hubspot | Connector::Portal);
    if speaks && side.capture.webhooks && side.credentials.webhook_secret.is_empty() {
        let hint =
            "add `credentials: { webhook_secret: env:NAME }`, or switch them off with `capture: { webhooks: false }`";
        lack("takes webhooks but has no secret to check them with", hint);
    }
}

fn credentials(node: &Node, about: &str, faults: &mut Faults) -> Option<Credentials> {
    let block = Block::open(node, about, CREDENTIALS, &[], faults)?;
    let token = block.get("token").map(|node| secret(node, &block.of("token"), faults));
    let secrets = block.get("webhook_secret").map(|node| match &node.value {
        Value::List(list) if list.is_empty() => vec![secret(node, &block.of("webhook_secret"), faults)],
        Value::List(list) => list.iter().map(|node| secret(node, &block.of("webhook_secret"), faults)).collect(),
        _ => vec![secret(node, &block.of("webhook_secret"), faults)],
    });
    block.done();
    let token = match token {
        Some(faulty_or_read) => Some(faulty_or_read?),
        None => None,
    };
    Some(Credentials { token, webhook_secret: secrets.unwrap_or_default().into_iter().collect::<Option<_>>()? })
}

/// The place of a secret. What is written instead of one is never repeated: it may be the secret.
fn secret(node: &Node, about: &str, faults: &mut Faults) -> Option<Secret> {
    let place = match &node.value {
        Value::Text { text, .. } => place(text),
        _ => None,
    };
    if place.is_none() {
        let hint =
            "write env:NAME or file:PATH, and never the value; if it was one, it is in the repository now: replace it";
        faults.add(node.at, format!("{about} does not say where the secret is"), hint);
    }
    place
}

fn place(text: &str) -> Option<Secret> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match text.split_once(':')? {
        ("env", name) if !name.is_empty() && name.chars().all(word) => Some(Secret::Env(name.to_owned())),
        ("file", path) if !path.trim().is_empty() && !path.chars().any(char::is_control) => {
            Some(Secret::File(path.to_owned()))
        }
        _ => None,
    }
}

fn capture(node: &Node, about: &str, faults: &mut Faults) -> Option<Capture> {
    let block = Block::open(node, about, CAPTURE, &[], faults)?;
    let webhooks = block.get("webhooks").map_or(Some(false), |node| block::truth(node, &block.of("webhooks"), faults));
    let mut every = |key: &str| block.get(key).and_then(|node| block::duration(node, &block.of(key), faults));
    let (poll, reconcile) = (every("poll"), every("reconcile"));
    block.done();
    Some(Capture { webhooks: webhooks?, poll, reconcile })
}

fn quota(node: &Node, about: &str, faults: &mut Faults) -> Option<Quota> {
    let block = Block::open(node, about, QUOTA, &[], faults)?;
    let mut calls =
        |key: &str| block.get(key).and_then(|node| block::count(node, &block.of(key), 1_000_000_000, faults));
    let quota = Quota { per_second: calls("per_second"), per_10s: calls("per_10s"), per_day: calls("per_day") };
    block.done();
    Some(quota)
}

/// `seconds`, or `{ resolution: 1s, max_offset: 5m }`.
fn clock(node: &Node, about: &str, faults: &mut Faults) -> Option<SideClock> {
    let usual = SideClock::default();
    if let Value::Text { .. } = node.value {
        let step = block::word(node, about, STEPS, faults)?;
        return Some(SideClock { resolution: std::time::Duration::from_millis(step), ..usual });
    }
    let block = Block::open(node, about, CLOCK, &[], faults)?;
    let mut length = |key: &str| block.get(key).and_then(|node| block::duration(node, &block.of(key), faults));
    let clock = SideClock {
        resolution: length("resolution").unwrap_or(usual.resolution),
        max_offset: length("max_offset").unwrap_or(usual.max_offset),
    };
    block.done();
    Some(clock)
}

/// `{ flips: 10, within: 10m }`.
pub(super) fn cooldown(node: &Node, about: &str, faults: &mut Faults) -> Option<Cooldown> {
    let block = Block::open(node, about, COOLDOWN, &[], faults)?;
    let hint = "write both: { flips: 10, within: 10m }";
    let flips =
        block.need("flips", hint, faults).and_then(|node| block::count(node, &block.of("flips"), 1_000_000, faults));
    let within = block.need("within", hint, faults).and_then(|node| block::duration(node, &block.of("within"), faults));
    block.done();
    Some(Cooldown { flips: u32::try_from(flips?).expect("a count was bounded"), within: within? })
}

/// An address without a slash at its end.
pub(super) fn url(node: &Node, about: &str, faults: &mut Faults) -> Option<String> {
    let address = block::text(node, about, faults)?;
    let mut wrong = |what: &str, hint: &str| {
        faults.add(node.at, format!("{about} {what}"), hint);
        None
    };
    let Some(rest) = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")) else {
        return wrong("is not an address", "write https://HOST/PATH");
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return wrong(
            "holds a user name or password",
            "leave it out; secrets go to `credentials`, as env:NAME or file:PATH",
        );
    }
    if host.is_empty() || address.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return wrong("is not an address", "write https://HOST/PATH");
    }
    if rest.contains(['?', '#']) {
        return wrong("has a query or a fragment", "write the address up to its path");
    }
    Some(address.trim_end_matches('/').to_owned())
}

//! From the manifest's text to the manifest, or to all of its faults.

use super::{
    ANY, Cooldown, Manifest, TEXT_BYTES_MAX,
    block::{self, Block},
    fault::{At, Fault, Faults},
    permissions,
    records::{self, Given},
    sides, yaml,
};
use crate::{
    field::{DeleteRule, Rule},
    id::SideName,
};

pub(super) const TOP: &[&str] = &["syncline", "tenant", "public_url", "sides", "defaults", "records", "permissions"];
pub(super) const DEFAULTS: &[&str] = &["rule", "deletes", "cooldown"];
/// The format that this version reads.
pub(super) const VERSION: &str = "1";
/// The longest name of a tenant, side, kind or role, in bytes.
pub(super) const WORD_BYTES_MAX: usize = 64;

/// The side that is believed where nothing else is said.
const SOURCE_OF_TRUTH: &str = "crm";

pub(super) fn read(text: &str) -> Result<Manifest, Vec<Fault>> {
    let mut faults = Faults::default();
    match read_text(text, &mut faults) {
        Some(manifest) if faults.is_empty() => Ok(manifest),
        _ => Err(faults.into_sorted()),
    }
}

fn read_text(text: &str, faults: &mut Faults) -> Option<Manifest> {
    let top = At { line: 1, column: 1 };
    if text.len() > TEXT_BYTES_MAX {
        faults.add(
            top,
            format!("the manifest is {} bytes long", text.len()),
            format!("at most {TEXT_BYTES_MAX} are read"),
        );
        return None;
    }
    let root = yaml::tree(text, faults);
    let Some(root) = root.filter(|root| !matches!(root.value, yaml::Value::Null)) else {
        if faults.is_empty() {
            faults.add(top, "the manifest is empty", "begin with `syncline: 1`, `tenant: NAME` and `sides:`");
        }
        return None;
    };
    let block = Block::open(&root, "the manifest", TOP, &[], faults)?;
    version(&block, faults);
    let tenant = block.need("tenant", "add `tenant: NAME`", faults);
    let tenant = tenant.and_then(|node| name(node.at, block::text(node, "`tenant`", faults)?, "the tenant", faults));
    let public_url = block.get("public_url").and_then(|node| sides::url(node, "`public_url`", faults));

    let sides_node = block.need("sides", "add `sides:` with at least two of them", faults);
    let names = sides_node.map(|node| sides::names(node, faults)).unwrap_or_default();
    let defaults = defaults(&block, &names, faults);
    let sides = sides_node.map(|node| sides::read(node, defaults.cooldown, faults)).unwrap_or_default();
    let given = Given { sides: &names, rule: &defaults.rule, deletes: defaults.deletes };
    let records_node = block.need("records", "add `records:` with the kinds to keep in agreement", faults);
    let records = records_node.map(|node| records::read(node, &given, faults)).unwrap_or_default();
    let permissions =
        block.get("permissions").map(|node| permissions::read(node, &records, faults)).unwrap_or_default();
    block.done();
    Some(Manifest {
        tenant: tenant?.to_owned(),
        public_url,
        sides,
        default_rule: defaults.rule,
        default_deletes: defaults.deletes,
        records: records.kinds,
        permissions,
        text: text.to_owned(),
    })
}

fn version(block: &Block<'_>, faults: &mut Faults) {
    let Some(node) = block.need("syncline", "begin with `syncline: 1`, the version of the format", faults) else {
        return;
    };
    match block::text(node, "`syncline`", faults) {
        None | Some(VERSION) => {}
        Some(other) => {
            faults.add(
                node.at,
                format!("version `{other}` of the format is not known here"),
                "this engine reads `syncline: 1`",
            );
        }
    }
}

/// What holds where a kind or a field does not say.
struct Defaults {
    rule: Rule,
    deletes: DeleteRule,
    cooldown: Cooldown,
}

fn defaults(block: &Block<'_>, sides: &[SideName], faults: &mut Faults) -> Defaults {
    let truth = sides.iter().find(|side| ***side == *SOURCE_OF_TRUTH);
    let rule = truth.map_or(Rule::LastWriteWins(None), |side| Rule::Authority(side.clone()));
    let mut defaults = Defaults { rule, deletes: DeleteRule::default(), cooldown: Cooldown::default() };
    let about = "`defaults`";
    let Some(node) = block.get("defaults") else { return defaults };
    let Some(block) = Block::open(node, about, DEFAULTS, &[], faults) else { return defaults };
    if let Some(rule) = block.get("rule").and_then(|node| records::shared_rule(node, &block.of("rule"), sides, faults))
    {
        defaults.rule = rule;
    }
    if let Some(deletes) = block.get("deletes").and_then(|node| records::deletes(node, &block.of("deletes"), faults)) {
        defaults.deletes = deletes;
    }
    if let Some(cooldown) = block.get("cooldown").and_then(|node| sides::cooldown(node, &block.of("cooldown"), faults))
    {
        defaults.cooldown = cooldown;
    }
    block.done();
    defaults
}

/// A name that can stand in an address, in a file's name and in `KIND.FIELD` without being mistaken for something else.
pub(super) fn name<'a>(at: At, name: &'a str, about: &str, faults: &mut Faults) -> Option<&'a str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name == ANY {
        faults.add(at, format!("{about} cannot be called `{ANY}`"), "give it a name");
        return None;
    }
    if name.is_empty() || name.len() > WORD_BYTES_MAX || !name.chars().all(plain) {
        let hint = format!("use 1 to {WORD_BYTES_MAX} letters a-z, digits, `_` and `-`");
        faults.add(at, format!("{about} cannot be called `{name}`"), hint);
        return None;
    }
    Some(name)
}

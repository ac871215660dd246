//! What may be said on the command line, and the help that explains it.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};

use super::{failure::Failure, sim_portal::SimPortal};
use crate::{clock::Millis, event::DEFAULT_SOURCE, history::Position, id::Seq, server::Settings};

const EXAMPLES: &str = "\
Examples:
  syncline demo
  syncline init --store acme --manifest acme.yaml
  syncline import --store acme edits.jsonl
  syncline records --store acme --json | head
  syncline status --store acme

Exit codes:
  0  done
  1  something was found wrong: bad lines, damage, a store that cannot be used
  2  bad use: arguments that make no sense, no store or no file where one is named";

/// Keeps a customer portal and a CRM in agreement.
#[derive(Debug, Parser)]
#[command(name = "syncline", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    /// The store's directory [default: syncline-store]
    #[arg(long, value_name = "DIR", global = true)]
    pub store: Option<PathBuf>,
    /// The manifest: sides, fields and rules; one that differs from the store's becomes its rules from now on
    #[arg(long, value_name = "FILE", global = true)]
    pub manifest: Option<PathBuf>,
    /// About how many MiB of records a store holds in memory
    #[arg(long, value_name = "MIB", global = true, default_value_t = 128)]
    pub memory_mib: u32,
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let a pretend CRM and a pretend portal quarrel over real people's records, with faults, and see them agree
    #[command(after_help = "\
Examples:
  syncline demo
  syncline demo --seed 7 --records 1000 --json
  syncline demo --in-process

A pretend HubSpot, a pretend portal and the service between them speak HTTP on loopback. The same seed makes the same users
do the same; what the network does between them is its own.
The store is left in ./syncline-demo, or where --store says, to look around in; a demo's store that is there
already is replaced, anything else is not touched. Exit code 1 if anything disagrees at the end.")]
    Demo(Demo),
    /// Make a new store
    #[command(after_help = "\
Example:
  syncline init --store acme --manifest acme.yaml

Without --manifest the sides are crm and portal, any record kind and any field will do, and the last write wins.")]
    Init,
    /// Take statements in from JSON lines
    #[command(after_help = "\
Examples:
  syncline import --store acme edits.jsonl
  gunzip -c edits.jsonl.gz | syncline import --store acme -
  syncline import --store acme --source crm-dump dump.jsonl

One line:
  {\"seq\":17,\"side\":\"portal\",\"actor\":\"portal:u07\",\"record\":\"contact/000123\",\"at_ms\":1750000000123,
   \"base\":12,\"set\":{\"phone\":\"+1-555-0100\",\"tags\":[\"vip\"],\"city\":null}}

A bad line is told as FILE:LINE: REASON, the others are taken in, and the exit code is 1. A line that the store
has already is a duplicate, so an import that was cut off may simply be run again. An export of another store of
the tenant is taken over whole: into a new store with its name, key and rules.")]
    Import(Import),
    /// List all records as they are resolved
    #[command(after_help = "\
Examples:
  syncline records --store acme
  syncline records --store acme --json | jq -r .record

With --json there is one line for each record, {\"record\":ID,\"fields\":{..}}, without cleared fields; deleted
records are left out.")]
    Records(Records),
    /// Show one record: every field with who said it
    #[command(after_help = "\
Examples:
  syncline get contact/000123
  syncline get contact/000123 --at 2026-03-01T12:00:00Z
  syncline get contact/000123 --at event:4711

--at TIME counts only what was said up to then, whenever it was heard; --at event:NUMBER shows what the store knew
after that event.")]
    Get(Get),
    /// Show everything that was said of a record, or of one of its fields
    #[command(after_help = "\
Examples:
  syncline history contact/000123
  syncline history contact/000123 phone --json")]
    History(History),
    /// Say why a field has its value: what won, by which rule, and what lost
    #[command(after_help = "\
Examples:
  syncline why contact/000123 phone
  syncline why contact/000123 existence")]
    Why(Why),
    /// Show who last changed each field of a record
    Blame(Get),
    /// List the fields whose candidates differ
    #[command(after_help = "\
Examples:
  syncline conflicts
  syncline conflicts --disputed --json")]
    Conflicts(Conflicts),
    /// Settle a field for good, as a person
    #[command(after_help = "\
Examples:
  syncline decide contact/000123 phone +1-555-0100 --by ana --why 'called the customer'
  syncline decide contact/000123 existence true --by ana

VALUE is JSON, or else a text; a text that looks like JSON goes in quotes of its own: '\"12\"'. null clears the
field. The decision supersedes all that now stands on the field, and goes out to every side.")]
    Decide(Decide),
    /// Serve: keep the sides in agreement, take their webhooks, answer the API
    #[command(after_help = "\
Examples:
  syncline serve --manifest acme.yaml --store acme --listen 127.0.0.1:8787
  syncline serve --tenants /srv/syncline --listen 127.0.0.1:8787 --json

With --tenants each tenant is a directory with a manifest.yaml; its store lies beside it. TLS ends in front of the
service. SIGHUP reads manifests and secrets again; SIGTERM and SIGINT let what is under way end, and close the
stores. With --json log lines are JSON too.")]
    Serve(Serve),
    /// Compare what sides show with what we believe, and repair what differs
    #[command(after_help = "\
Examples:
  syncline reconcile --store acme
  syncline reconcile --side crm --record contact/000123 --json

The exit code is 1 if anything differed. What differed is repaired by ordinary events; whoever serves the store
sends the writes that follow from it.")]
    Reconcile(Reconcile),
    /// Read sides as a whole, going on where it was cut off
    #[command(after_help = "\
Examples:
  syncline backfill --store acme
  syncline backfill --side crm --again")]
    Backfill(Backfill),
    /// Show what waits for a person, let it go on, or give it up
    #[command(subcommand)]
    Parked(Parked),
    /// Show which records could be one, and say which are
    #[command(
        subcommand,
        after_help = "\
Examples:
  syncline links suggest --store acme
  syncline links accept contact/portal:c-17 contact/crm:501 --by ana
  syncline links reject contact/portal:c-17 contact/crm:501 --by ana --why 'father and son'

What could be the same as a record that a side has is not made there until a person has said what it is. reject also
undoes a link: every value goes back to the record of which it was said."
    )]
    Links(Links),
    /// Show totals and what waits for a person
    Status,
    /// Check the log, and derived state against it
    #[command(after_help = "\
Examples:
  syncline verify --store acme
  syncline verify --store acme --documents

The exit code is 1 if anything is wrong. Derived state that differs is cured by `syncline rebuild`; damage in the
log is not: restore it from a copy, or import an export of another store of the tenant into a new one.")]
    Verify(Verify),
    /// Throw derived state away and make it anew from the log
    Rebuild,
    /// Write every event as JSON lines, for import into another store of the tenant
    #[command(after_help = "\
Example:
  syncline export --store acme > acme.jsonl

An export holds PERSONAL DATA, and the tenant's KEY in its first line: whoever has it can read every value. Keep
it as you would keep the store itself.")]
    Export,
    /// Check manifests, or print what they may hold
    #[command(subcommand)]
    Manifest(Manifest),
    /// Make, list and revoke tokens for the API
    #[command(
        subcommand,
        after_help = "\
Examples:
  syncline token create --store acme --side portal --role staff
  syncline token create --store acme --side portal --role customer --contact contact/portal:u07
  syncline token create --store acme --side portal
  syncline token revoke 5f0c9a7e11d2b364 --store acme

A token speaks for one side, in one role of the manifest; without --role it is an operator's, who may do everything.
Made for a user, contact or company it acts for that one alone; else each request names for whom it acts. The token is
shown once: the store keeps its hash. A running service heeds every change at once."
    )]
    Token(Token),
    /// Measure how fast this is on a machine, with a file of statements
    #[command(after_help = "\
Examples:
  syncline bench ingest --data edits.jsonl --store bench-store --json
  syncline bench query --data edits.sample.json --store bench-store
  syncline bench cold --data edits.sample.json --store bench-store
  syncline bench hooks --store bench-store

A sample names records and how many values were said of each:
  {\"records\":[{\"record\":\"contact/000123\",\"edits\":12},..],\"hot\":{\"record\":\"contact/000007\",\"edits\":900}}

rss_mb is the most memory the process held, cpu_secs its user and system time, bytes what the store takes on disk.")]
    Bench(Bench),
    /// Run a pretend side over HTTP, to try things against
    #[command(subcommand)]
    Sim(Sim),
}

/// What to take in.
#[derive(Debug, Group)]
pub struct Import {
    /// JSON lines; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The name under which `seq` numbers statements; each source counts for itself
    #[arg(long, value_name = "NAME", default_value = DEFAULT_SOURCE)]
    pub source: String,
}

/// As of when something is asked.
#[derive(Debug, Group)]
pub struct Asked {
    /// As of this time (RFC 3339, or milliseconds since 1970), or as of `event:NUMBER`
    #[arg(long, value_name = "WHEN")]
    at: Option<String>,
}

impl Asked {
    /// The position that was asked for.
    pub fn position(&self) -> Result<Position, Failure> {
        let Some(at) = &self.at else { return Ok(Position::Now) };
        let seq = at.strip_prefix("event:").map(|number| number.parse().ok().map(|seq| Position::Seq(Seq(seq))));
        let time = || match at.parse::<i64>() {
            Ok(millis) => Some(Position::Time(Millis(millis))),
            Err(_) => at.parse::<jiff::Timestamp>().ok().map(|time| Position::Time(Millis(time.as_millisecond()))),
        };
        seq.unwrap_or_else(time).ok_or_else(|| {
            let due = "neither a time such as 2026-03-01T12:00:00Z, nor milliseconds since 1970, nor event:NUMBER";
            Failure::Use(format!("--at {at} is {due}"))
        })
    }
}

/// One record.
#[derive(Debug, Group)]
pub struct Get {
    /// The record's id, KIND/ID
    pub record: String,
    /// As of when
    #[command(flatten)]
    pub asked: Asked,
}

/// One record, or one field of it.
#[derive(Debug, Group)]
pub struct History {
    /// The record's id, KIND/ID
    pub record: String,
    /// The field; `existence` for whether the record exists
    pub field: Option<String>,
    /// As of when
    #[command(flatten)]
    pub asked: Asked,
}

/// One field.
#[derive(Debug, Group)]
pub struct Why {
    /// The record's id, KIND/ID
    pub record: String,
    /// The field; `existence` for whether the record exists
    pub field: String,
    /// As of when
    #[command(flatten)]
    pub asked: Asked,
}

/// Which conflicts.
#[derive(Debug, Group)]
pub struct Conflicts {
    /// Only those that wait for a person
    #[arg(long)]
    pub disputed: bool,
    /// As of when
    #[command(flatten)]
    pub asked: Asked,
}

/// What a person decides.
#[derive(Debug, Group)]
pub struct Decide {
    /// The record's id, KIND/ID
    pub record: String,
    /// The field; `existence` for whether the record exists
    pub field: String,
    /// The value
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    /// Who decides
    #[arg(long, value_name = "NAME")]
    pub by: String,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
}

/// Which records to list.
#[derive(Debug, Group)]
pub struct Records {
    /// As of when
    #[command(flatten)]
    pub asked: Asked,
    /// The most records to show in a table; --json shows all
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub most: usize,
}

/// What to check besides.
#[derive(Debug, Group)]
pub struct Verify {
    /// Build every record's document too, and check it
    #[arg(long)]
    pub documents: bool,
}

/// What to measure.
#[derive(Debug, Group)]
pub struct Bench {
    /// The measure
    pub measure: Measure,
    /// JSON lines as for `import`, or a sample for query and cold; documents, hooks and writers need none
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
}

/// A measure.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Measure {
    /// Import into a new store, in batches of 256 lines, each on disk, until the store is closed
    Ingest,
    /// The history of each record of a sample
    Query,
    /// Opening a closed store and reading one record of a sample
    Cold,
    /// Edits said on sides in this process that take every write at once, until its receipt is on disk
    Journey,
    /// Building and checking every record's document
    Documents,
    /// Webhooks over the loopback, 500 a second of ten events each, and changes shown on the other side, 50 a second
    Hooks,
    /// Eight threads that say one edit at a time and wait until it is on disk, beside what the disk alone allows
    Writers,
    /// An import alone, and one while a thousand times a second a record or its history is asked for
    Readers,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token and show it, once
    Create(NewToken),
    /// List all tokens, revoked ones included
    List,
    /// Refuse a token from now on
    Revoke {
        /// The token's id, as in the list
        id: String,
    },
}

/// For whom a token is.
#[derive(Debug, Group)]
pub struct NewToken {
    /// The side for which it speaks
    #[arg(long, value_name = "SIDE")]
    pub side: String,
    /// Its role in the manifest [default: operator]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// The user whose it is
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// The contact whose it is, KIND/ID
    #[arg(long, value_name = "ID")]
    pub contact: Option<String>,
    /// The company whose it is, KIND/ID
    #[arg(long, value_name = "ID")]
    pub company: Option<String>,
}

/// What to do with manifests.
#[derive(Debug, Subcommand)]
pub enum Manifest {
    /// Tell all faults of a manifest, each with its place and its cure
    Check {
        /// The manifest
        file: PathBuf,
    },
    /// Print the JSON Schema of manifests, for editors
    Schema,
    /// Tell all that does not fit between a live CRM and a manifest, before going live
    #[command(after_help = "\
Example:
  syncline manifest pull --side crm --manifest acme.yaml

Missing, read-only and computed properties, types and picklist options that differ, and how many of the present
records break the manifest's own rules. Nothing is changed; no value is shown. Exit code 1 if anything does not fit.")]
    Pull(Pull),
    /// Put a manifest in force from now on, also while another process serves the store
    #[command(after_help = "\
Examples:
  syncline manifest apply acme.yaml --store acme
  syncline manifest apply acme.yaml --store acme --rejudge
  syncline manifest apply acme.yaml --store acme --rejudge --yes --by ana

Conflicts are judged by the rules of their time. --rejudge shows what the present ones would come to by this
manifest, and changes nothing; with --yes it puts the manifest in force and decides exactly these, by events.
A service that was started with a manifest file reads that file again on SIGHUP: change it too.")]
    Apply(Apply),
}

/// What to look at.
#[derive(Debug, Group)]
pub struct Pull {
    /// The side; a HubSpot account
    #[arg(long, value_name = "SIDE")]
    pub side: String,
}

/// Which manifest to put in force, and how.
#[derive(Debug, Group)]
pub struct Apply {
    /// The manifest
    pub file: PathBuf,
    /// Show what present conflicts would come to by this manifest
    #[arg(long)]
    pub rejudge: bool,
    /// Decide them so
    #[arg(long, requires = "rejudge")]
    pub yes: bool,
    /// Who decides
    #[arg(long, value_name = "NAME", default_value = "operator")]
    pub by: String,
}

/// What to serve, and where.
#[derive(Debug, Group)]
pub struct Serve {
    /// A directory of tenants, instead of --store and --manifest
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    pub tenants: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    pub listen: std::net::SocketAddr,
    /// What HubSpot apps call and sign where one address serves several tenants
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// The most connections
    #[arg(long, value_name = "N", default_value_t = Settings::default().connections)]
    pub connections: usize,
    /// The most connections from one address; behind a proxy all have one, so say as many as --connections there
    #[arg(long, value_name = "N", default_value_t = Settings::default().connections_by_address)]
    pub connections_by_address: usize,
    /// Below how much free space on a store's disk nothing more is taken, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    pub free_mib: u32,
    /// The size of a file in each store that is given up if the disk is full all the same, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 8)]
    pub ballast_mib: u32,
}

/// What to compare.
#[derive(Debug, Group)]
pub struct Reconcile {
    /// The side; all, if none is named
    #[arg(long, value_name = "SIDE")]
    pub side: Option<String>,
    /// The record; all, if none is named
    #[arg(long, value_name = "RECORD")]
    pub record: Option<String>,
}

/// What to read.
#[derive(Debug, Group)]
pub struct Backfill {
    /// The side; all, if none is named
    #[arg(long, value_name = "SIDE")]
    pub side: Option<String>,
    /// Read again what was read already
    #[arg(long)]
    pub again: bool,
}

/// What to do with what waits for a person.
#[derive(Debug, Subcommand)]
pub enum Parked {
    /// Show all of it, with why and since when
    List,
    /// Let it go on: it is written again
    Retry {
        /// The record's id, KIND/ID
        record: Option<String>,
        /// The side; all, if none is named
        #[arg(long, value_name = "SIDE")]
        side: Option<String>,
        /// The field; all, if none is named
        #[arg(long, value_name = "FIELD")]
        field: Option<String>,
        /// Everything that is parked
        #[arg(long, conflicts_with = "record")]
        all: bool,
        /// Who says so
        #[arg(long, value_name = "NAME", default_value = "operator")]
        by: String,
    },
    /// Give a write up: what the side shows is decided to be the value, everywhere
    Drop {
        /// The record's id, KIND/ID
        record: String,
        /// The field
        field: String,
        /// The side that refused it
        #[arg(long, value_name = "SIDE")]
        side: String,
        /// Who says so
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Why, for whoever asks later
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
}

/// What to do with links between records.
#[derive(Debug, Subcommand)]
pub enum Links {
    /// Show what could be one, and what a side has more than once
    Suggest,
    /// Show all ids of a record
    Show {
        /// The record's id, KIND/ID
        record: String,
    },
    /// Two records are one
    Accept(Pair),
    /// Two records are two, for good
    Reject(Pair),
}

/// Two records, and who says what of them.
#[derive(Debug, Group)]
pub struct Pair {
    /// The one's id, KIND/ID
    pub record: String,
    /// The other's id, KIND/ID
    pub other: String,
    /// Who says so
    #[arg(long, value_name = "NAME")]
    pub by: String,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
}

/// The demo's size and chance.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// What all chance follows from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many people's records
    #[arg(long, default_value_t = 400)]
    pub records: usize,
    /// How many edits, at least
    #[arg(long, default_value_t = 3_000)]
    pub edits: u64,
    /// How often the service is killed while it works
    #[arg(long, default_value_t = 3)]
    pub kills: u64,
    /// Without HTTP, both sides in this process: then the same seed gives the same story to the last detail
    #[arg(long)]
    pub in_process: bool,
}

/// Which pretend side.
#[derive(Debug, Subcommand)]
pub enum Sim {
    /// A HubSpot account: objects, properties, associations, search, OAuth, webhooks, and faults to order
    #[command(after_help = "\
Examples:
  HUBSPOT_SECRET=s3cret syncline sim hubspot --records 100
  syncline sim hubspot --webhooks-to http://127.0.0.1:8080/hooks/crm --secret env:HUBSPOT_SECRET
  curl -s http://127.0.0.1:8700/_sim

HubSpot's own clients talk to it, in Python with HubSpot(access_token='any', host='http://127.0.0.1:8700').
What users do, and what goes wrong, is ordered at /_sim, which explains itself. It runs until it is interrupted.")]
    Hubspot(SimHubspot),
    /// A portal: customers, edits by users, signed messages both ways, and faults to order
    #[command(after_help = "\
Examples:
  export PORTAL_WEBHOOK_SECRET=whsec_$(openssl rand -base64 32)
  syncline sim portal --records 100 --webhooks-to http://127.0.0.1:8080/hooks/portal
  curl -s http://127.0.0.1:8701/_sim

Its `deliver_to` is http://127.0.0.1:8701/hooks/syncline. What users do, and what goes wrong, is ordered at /_sim,
which explains itself. It runs until it is interrupted.")]
    Portal(SimPortal),
}

/// A pretend HubSpot account.
#[derive(Debug, Group)]
pub struct SimHubspot {
    /// Where it listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8700")]
    pub listen: String,
    /// Where its webhooks go
    #[arg(long, value_name = "URL")]
    pub webhooks_to: Option<String>,
    /// The app's client secret, which signs webhooks: env:NAME
    #[arg(long, value_name = "env:NAME", default_value = "env:HUBSPOT_SECRET")]
    pub secret: String,
    /// The number of the app
    #[arg(long, value_name = "ID")]
    pub app: Option<u64>,
    /// The number of the account
    #[arg(long, value_name = "ID")]
    pub account: Option<u64>,
    /// What all chance follows from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many contacts it begins with
    #[arg(long, default_value_t = 0)]
    pub records: usize,
}

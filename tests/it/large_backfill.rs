//! A first reading of a large account over HTTP, killed half-way: it goes on where it was.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Instant,
};

use syncline::{
    clock::{HandClock, Millis},
    history::Principal,
    service::{BackfillProgress, Network, Tenant},
    sim::{
        hubspot::{Account, Settings, serve},
        pace,
    },
};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, sync::Notify};

use crate::suites;

const NOW: Millis = Millis(1_790_000_000_000);
/// The records of one page.
const PAGE: u64 = 100;
const MANIFEST: &str = "
syncline: 1
tenant: acme
sides:
  crm:
    connector: hubspot
    app: '50780459'
    base_url: BASE
    credentials: { token: 'file:TOKEN' }
    capture: { webhooks: false, poll: 5m }
  portal: { connector: none }
defaults: { rule: last_write_wins }
records:
  contact:
    sides: { crm: contacts, portal: contact }
    fields:
      email: { type: email, crm: email, portal: email }
      phone: { type: string, crm: phone, portal: phone }
      first_name: { type: string, crm: firstname, portal: first_name }
";

/// What was done until a reading ended or was killed.
struct Read {
    /// How many records were read before.
    from: u64,
    progress: BackfillProgress,
    /// What was told of the progress, in turn.
    told: Vec<u64>,
    duplicates: u64,
    events: u64,
    records: u64,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Opens the tenant and reads the CRM, until it was read or, with so many records in, in the midst of the next page;
/// then lets go of it as a crash would.
fn read(store: &Path, manifest: &str, clock: &HandClock, kill: Option<(u64, &Account)>) -> Read {
    let runtime = runtime();
    let builder = Tenant::builder(store).manifest(manifest).clock(clock.clone()).dialects(Arc::new(Network));
    let (tenant, _) = builder.open().expect("the store opens");
    let from = tenant.backfill_progress(Some("crm")).remove(0).1.remove(0).read;
    let (told, enough) = (Mutex::new(Vec::new()), Notify::new());
    runtime.block_on(async {
        let note = |read: u64| {
            told.lock().expect("whole").push(read);
            if kill.is_some_and(|(until, _)| read >= until) {
                enough.notify_one();
            }
        };
        // What waits for its place in the quota gets it: the clock runs far faster than the true one.
        let turning = pace::go_on(clock.clone(), 200);
        let killed = async {
            enough.notified().await;
            let Some((_, account)) = kill else { return };
            let lists = asked(account).0;
            while asked(account).0 == lists {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = killed => {}
            done = tenant.backfill_here(Some("crm"), note) => {
                done.expect("the store works");
                assert!(kill.is_none(), "it was killed before it was done");
            }
            () = turning => unreachable!("it never ends"),
        }
    });
    // Calls into the store that are under way end first, as they would not in a crash; nothing is closed.
    drop(runtime);
    let counts = tenant.engine().counts().expect("open");
    let (_, mut kinds) = tenant.backfill_progress(Some("crm")).remove(0);
    Read {
        from,
        progress: kinds.remove(0),
        told: told.into_inner().expect("whole"),
        duplicates: counts.duplicates,
        events: counts.events,
        records: counts.records,
    }
}

/// How often the account listed contacts, and how many requests there were in all.
fn asked(account: &Account) -> (u64, u64) {
    let counts = account.counts();
    let ops = counts["by_op"].as_object().expect("operations");
    let of_lists = ops.iter().filter(|(op, _)| op.as_str() == "contacts.list");
    let lists = of_lists.flat_map(|(_, by_status)| by_status.as_object().into_iter().flatten());
    (lists.filter_map(|(_, count)| count.as_u64()).sum(), counts["requests"].as_u64().expect("a number"))
}

#[test]
fn a_backfill_of_a_large_account_killed_half_way_reads_at_most_one_page_twice() {
    let count = suites::cases(2_000, 20_000, 100_000);
    let clock = HandClock::at(NOW);
    let unlimited = Settings { burst_max: None, search_max: None, daily_max: None, ..Settings::default() };
    let account = Account::new(unlimited, "secret", Arc::new(clock.clone()));
    account.people(usize::try_from(count).expect("a number of people"));
    assert_eq!(account.ids("contacts").len() as u64, count);
    let of_the_account = runtime();
    let serving = of_the_account.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        serve(account.clone(), listener).expect("it serves")
    });
    let dir = TempDir::new().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "a token").expect("a file of ours");
    let manifest = MANIFEST.replace("BASE", &serving.url()).replace("TOKEN", &token.display().to_string());
    let store = dir.path().join("store");

    let began = Instant::now();
    let first = read(&store, &manifest, &clock, Some((count / 2, &account)));
    let (lists_before, requests_before) = asked(&account);
    assert!(!first.progress.done && first.progress.read >= count / 2 && first.progress.read < count * 3 / 4);
    assert_eq!(first.progress.total, Some(count), "the account says how many there are");

    let second = read(&store, &manifest, &clock, None);
    let (lists, requests) = asked(&account);
    let pages = count.div_ceil(PAGE);
    assert!((pages..=pages + 1).contains(&lists), "{lists} pages were asked for, and there are {pages}");
    let next = second.told.first().copied().expect("there was more to read");
    assert!(first.progress.read - second.from <= PAGE, "{} and {}", first.progress.read, second.from);
    assert_eq!(next, second.from + PAGE, "it goes on from where it was");
    assert!(second.told.is_sorted() && second.told.iter().all(|read| *read <= count), "no record counts twice");
    assert_eq!((second.progress.read, second.progress.done), (count, true));
    assert_eq!(second.records, count, "every record, and none of them twice");
    assert!(second.duplicates <= PAGE * 3, "one page repeats at most");
    assert!(first.events > 0 && second.events > first.events);
    let of_second = (requests - requests_before) as f64 / (lists - lists_before) as f64;
    let of_first = requests_before as f64 / lists_before as f64;
    assert!(of_second <= of_first * 1.1 + 0.5, "{of_first} and {of_second} requests a page");
    suites::reached(
        "large_backfill",
        count,
        &format!(
            "records read in {} lists and {requests} requests, killed at {}, {} repeated, {:.1} s",
            lists,
            first.progress.read,
            second.duplicates,
            began.elapsed().as_secs_f64(),
        ),
    );

    // Nothing of it is read a third time, and the last record is as the account has it.
    let third = read(&store, &manifest, &clock, None);
    assert_eq!((asked(&account), third.events), ((lists, requests), second.events));
    drop(third);
    let (tenant, _) = Tenant::builder(&store).clock(clock).open().expect("the store opens");
    for id in [account.ids("contacts")[0], account.ids("contacts")[count as usize - 1]] {
        let read = tenant.engine().read(&Principal::operator());
        let found = read.get(&format!("contact/crm:{id}")).expect("the store is well").expect("it is there");
        let email = account.shows("contacts", id, "email").expect("it has one");
        assert_eq!(found.value("email").and_then(|value| value.as_text().map(str::to_owned)), Some(email));
    }
}

//! A whole life over HTTP: both sides, the service and its server, on loopback, with all that goes wrong.

use syncline::sim::live::{self, Hearing, Options};
use tempfile::TempDir;

use crate::suites;

#[test]
fn a_life_over_http_with_every_fault_ends_in_agreement() {
    live(Hearing::Webhooks, suites::cases(1, 2, 3));
}

#[test]
fn the_same_life_ends_the_same_with_polls_alone() {
    live(Hearing::Polls, 1);
}

#[test]
fn the_same_life_ends_the_same_where_another_manifest_switches_to_polls_half_way() {
    live(Hearing::Switched, 1);
}

fn live(hearing: Hearing, kills: u64) {
    let (records, edits) = (suites::cases(60, 200, 2_000), suites::cases(400, 2_000, 20_000));
    let dir = TempDir::new().expect("a directory");
    let options = Options {
        store: dir.path().join("life"),
        seed: suites::first_seed() + 1,
        records: usize::try_from(records).expect("few"),
        edits,
        kills,
        hearing,
    };
    let report = live::run(&options, &mut |_, _| {}).expect("nothing fails that may not");
    println!("{report}");
    let found = &report.agreement;
    assert!(
        found.is_whole(),
        "{} missing, {} doubled, {} lost: {:#?}",
        found.missing,
        found.doubled,
        found.lost,
        found.differences
    );
    assert!(report.is_well(), "{report}");
    assert_eq!((report.parked, report.suggestions), (0, 0), "{report}");
    // Few edits do not meet every fault each time.
    let least = match hearing {
        Hearing::Polls => 6,
        _ if edits < 1_000 => 12,
        _ => 15,
    };
    let told = hearing == Hearing::Polls || report.webhooks_lost > 0;
    assert!(told && report.faults.len() >= least, "too little went wrong: {:?}", report.faults);
    let written = report.writes.crm_values + report.writes.portal_values;
    assert!(written < report.writes.naive_values && report.writes.needless * 100 <= written, "{report}");
    suites::reached("life", report.edits, "edits over HTTP");
}

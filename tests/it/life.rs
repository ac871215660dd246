//! A whole life over HTTP: both sides, the service and its server, on loopback, with all that goes wrong.

use syncline::sim::live::{self, Options};
use tempfile::TempDir;

use crate::suites;

#[test]
fn a_life_over_http_with_every_fault_ends_in_agreement() {
    let (records, edits) = (suites::cases(60, 200, 2_000), suites::cases(400, 2_000, 20_000));
    let dir = TempDir::new().expect("a directory");
    let options = Options {
        store: dir.path().join("life"),
        seed: suites::first_seed() + 1,
        records: usize::try_from(records).expect("few"),
        edits,
        kills: suites::cases(1, 2, 3),
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
    assert!(report.webhooks_lost > 0 && report.faults.len() >= 15, "too little went wrong: {:?}", report.faults);
    let written = report.writes.crm_values + report.writes.portal_values;
    assert!(written < report.writes.naive_values && report.writes.needless * 100 <= written, "{report}");
    suites::reached("life", report.edits, "edits over HTTP");
}

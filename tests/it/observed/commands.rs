//! What commands complain of tells no values and no secrets, however loud they log.

use super::{canaries::leaks, house::MARK};
use crate::cli::Bench;

#[test]
fn what_commands_complain_of_tells_no_values() {
    let bench = Bench::new();
    let manifest = format!("syncline: 1\ntenant: acme\nsides:\n  crm: {{ credentials: {{ token: {MARK} }} }}\n");
    bench.write("secret.yaml", manifest);
    let line = |rest: &str| format!(r#"{{"side":"crm","record":"contact/1","at_ms":1,{rest}"#) + "\n";
    bench.write("good.jsonl", line(&format!(r#""set":{{"phone":"{MARK}"}},"note":"{MARK}"}}"#)));
    for (number, rest) in [
        format!(r#""set":{{"phone":"{MARK}"#),
        format!(r#""set":"{MARK}"}}"#),
        format!(r#""set":{{"phone":{MARK}}}}}"#),
        format!(r#""set":{{"phone":"{MARK}"}},"base":"{MARK}"}}"#),
        format!(r#""set":{{"phone":"{MARK}"}},"seq":"{MARK}"}}"#),
    ]
    .iter()
    .enumerate()
    {
        bench.write(&format!("bad{number}.jsonl"), line(rest));
    }
    let mut told = Vec::new();
    let mut run = |args: &[&str], codes: &[i32]| {
        let done = bench.command(args).env("RUST_LOG", "trace").env("BENCH_TOKEN", MARK).output().expect("it runs");
        let code = done.status.code().unwrap_or(-1);
        let err = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(codes.contains(&code), "{args:?} ended with {code}: {err}");
        told.push((args.join(" "), err));
    };
    run(&["init", "--store", "s"], &[0]);
    run(&["import", "good.jsonl", "--store", "s"], &[0]);
    for number in 0..5 {
        run(&["import", &format!("bad{number}.jsonl"), "--store", "s"], &[1, 2]);
    }
    run(&["status", "--store", "s"], &[0]);
    run(&["verify", "--store", "s"], &[0]);
    run(&["manifest", "check", "secret.yaml"], &[1, 2]);
    run(&["serve", "--store", "s", "--manifest", "secret.yaml", "--listen", "127.0.0.1:0"], &[1, 2]);
    run(&["decide", "contact/1", "phone", MARK, "--store", "s"], &[0, 1, 2]);
    assert!(told.iter().any(|(_, err)| err.contains("TRACE") || err.contains("DEBUG")), "they log: {told:?}");
    let found = leaks(&told);
    assert!(found.is_empty(), "{found:#?}");
}

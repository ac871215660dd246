//! Tokens made and revoked on the command line while the service has the store.

use std::process::Command;

use serde_json::{Value as Json, json};

use super::world::{World, sent};

fn syncline(world: &World, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
    command.arg("--store").arg(world.store("acme")).args(args).env_remove("RUST_LOG");
    let done = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[tokio::test]
async fn a_token_works_as_soon_as_it_is_made_and_never_again_once_it_is_revoked() {
    let world = World::new().await;
    world.set("contact/1", "phone", json!("+1")).await;
    let create = ["--json", "token", "create", "--side", "portal", "--role", "customer", "--contact", "contact/1"];
    let (code, out, err) = syncline(&world, &create);
    assert_eq!(code, Some(0), "{err}");
    // The library has the store, and it takes no orders: nobody can be asked which roles there are.
    assert!(err.contains("side and role were not looked up"), "{err}");
    let made: Json = serde_json::from_str(&out).expect("JSON");
    let (token, id) = (made["token"].as_str().expect("shown"), made["id"].as_str().expect("named"));
    assert_eq!((&made["role"], &made["contact"]), (&json!("customer"), &json!("contact/1")));
    let get = || sent(world.http.get(format!("{}/v1/records/contact/1", world.base)).bearer_auth(token));
    assert_eq!(get().await.0, 200);

    let (_, list, _) = syncline(&world, &["--json", "token", "list"]);
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains(id) && !list.contains(token), "{list}");
    let (_, table, _) = syncline(&world, &["token", "list"]);
    assert!(table.contains("operator") && table.contains("customer") && !table.contains(token), "{table}");

    let (code, out, _) = syncline(&world, &["token", "revoke", id]);
    assert_eq!((code, out.as_str()), (Some(0), &*format!("revoked {id}\n")));
    assert_eq!(get().await.0, 401);
    let (_, list, _) = syncline(&world, &["token", "list"]);
    assert!(list.contains("revoked 20"), "{list}");
    world.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_told_with_its_cure() {
    let world = World::new().await;
    let (code, _, err) = syncline(&world, &["token", "revoke", "77"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("there is no token 77") && err.contains("syncline token list"), "{err}");
    let (code, _, err) = syncline(&world, &["token", "create", "--side", "portal", "--contact", "nothing"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("the contact \"nothing\" has no kind"), "{err}");
    std::fs::remove_dir_all(world.store("acme").join("log")).expect("removed");
    let (code, _, err) = syncline(&world, &["token", "list"]);
    assert_eq!(code, Some(2), "{err}");
    world.stop().await;
}

//! A stop in the middle of it all: what was acknowledged is there, and the store is closed.

use std::{
    collections::BTreeSet,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use syncline::{engine::Engine, server::Settings};

use crate::real_power::{Service, check, client, token_of};

#[test]
fn a_service_that_is_told_to_stop_under_load_ends_well_and_in_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = dir.path().join("store");
    let token = token_of(&store);
    let service = Service::start(&store, &[]);
    let address = service.address.clone();
    let (acknowledged, took) = thread::scope(|scope| {
        let clients: Vec<_> = (0..6)
            .map(|number| {
                let (address, token) = (&address, &token);
                scope.spawn(move || client(address, token, &format!("contact/{number}")))
            })
            .collect();
        let (_open, nothing) = mpsc::channel::<()>();
        assert_eq!(nothing.recv_timeout(Duration::from_millis(300)), Err(RecvTimeoutError::Timeout));
        let told_at = Instant::now();
        assert!(service.stop().success(), "it ends well");
        let said = clients.into_iter().flat_map(|client| client.join().expect("it ends well"));
        (said.map(|(_, id)| id).collect::<BTreeSet<String>>(), told_at.elapsed())
    });
    assert!(!acknowledged.is_empty(), "there was a load");
    assert!(took < Settings::default().grace + Duration::from_secs(5), "it took {took:?}");
    let (engine, opening) = Engine::builder(&store).create(false).open().expect("it opens");
    assert_eq!((opening.replayed, opening.rebuilt), (0, false), "it was closed");
    drop(engine);
    check(&store, &acknowledged);
}

//! What a stranger on the open internet may send: each case has its exact answer, nothing is logged, and the next caller is served.

mod cases;
mod outbound;
mod slow;
mod stop;
pub mod wire;

use std::time::Duration;

use syncline::server::Settings;
use tokio::time::timeout;

use self::{
    cases::{Case, all},
    wire::{exchange, statuses},
};
use crate::{http_api::world::World, suites};

/// Nobody waits longer for an answer, or for the end of a connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a case and, behind it on the same connection, a good edit: it is taken only where the connection may go on.
async fn meets(world: &World, case: &Case, number: usize) -> Result<(), String> {
    let address = world.base.trim_start_matches("http://");
    let before = world.engine().last().0;
    let marker = if case.cut { Vec::new() } else { wire::edit(&world.token, &format!("contact/marker-{number}")) };
    let bytes = [case.bytes.as_slice(), &marker].concat();
    let asked = exchange(address, &bytes, case.cut);
    let told = timeout(PATIENCE, asked).await.map_err(|_| "neither answered nor hung up on".to_owned())?;
    let mut due = case.due.clone();
    if case.stays {
        due.push(200);
    }
    let found = statuses(&told).ok_or_else(|| format!("no answers: {}", String::from_utf8_lossy(&told)))?;
    if found != due {
        return Err(format!("answered {found:?} and not {due:?}: {}", String::from_utf8_lossy(&told)));
    }
    let logged = world.engine().last().0 - before;
    let taken = u64::from(case.stays) + case.takes;
    if logged != taken {
        return Err(format!("{logged} events were logged, and {taken} were to be"));
    }
    if String::from_utf8_lossy(&told).contains(&world.token) {
        return Err("the token comes back".to_owned());
    }
    Ok(())
}

async fn is_well(world: &World) -> bool {
    let good = wire::get("/healthz", "connection: close\r\n");
    let asked = exchange(world.base.trim_start_matches("http://"), &good, false);
    timeout(PATIENCE, asked).await.is_ok_and(|told| statuses(&told) == Some(vec![200]))
}

#[tokio::test]
async fn every_hostile_request_gets_its_answer_and_harms_nobody() {
    let world = World::with(Settings { body_time: Duration::from_secs(5), ..Settings::default() }).await;
    let (mut count, mut wrong) = (0, Vec::new());
    for (number, case) in all(&world.token).into_iter().enumerate() {
        if let Err(why) = meets(&world, &case, number).await {
            wrong.push(format!("{}: {}", case.name, why.chars().take(300).collect::<String>()));
        }
        assert!(is_well(&world).await, "after {} nobody is answered", case.name);
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    let (due, metrics) = (suites::cases(300, 300, 500), world.get("/metrics").send().await.expect("answered"));
    let told = metrics.text().await.expect("a text");
    assert!(told.contains("syncline_panics_total 0"), "something panicked");
    assert!(count >= due, "{count} cases are fewer than {due}");
    suites::reached("hostile requests", count, "each with its answer, nothing logged, and the next caller served");
    world.stop().await;
}

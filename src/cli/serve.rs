//! Serving tenants until a signal says to stop.

use std::{io::Write, net::SocketAddr, sync::Arc};

use serde::Serialize;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{
    args::Serve,
    failure::{End, Failure},
    open::Place,
    tell,
};
use crate::{
    metrics::Metrics,
    server::{Server, Settings, Tenants},
    service::{self, Fleet, Network},
};

#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
    tenants: usize,
}

/// Serves one tenant, or all in a directory, until the process is told to stop.
pub fn serve(args: &Serve, place: &Place, out: &mut dyn Write) -> Result<End, Failure> {
    let places = match &args.tenants {
        Some(_) if place.manifest.is_some() => {
            let why = "--tenants and --manifest exclude each other: each tenant has a manifest of its own";
            return Err(Failure::Use(why.to_owned()));
        }
        Some(dir) => service::places(dir)?,
        None => {
            // All faults are told here; the service itself would tell only the first.
            place.manifest_text()?;
            vec![service::Place { manifest: place.manifest.clone(), store: place.store.clone() }]
        }
    };
    if places.is_empty() {
        let dir = args.tenants.as_deref().map(|dir| dir.display().to_string()).unwrap_or_default();
        return Err(Failure::Use(format!(
            "there is no tenant in {dir}: each is a directory with a {}",
            service::MANIFEST
        )));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(serve_places(args, places, place, out))?;
    Ok(End::Done)
}

async fn serve_places(
    args: &Serve,
    places: Vec<service::Place>,
    place: &Place,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let is_one = args.tenants.is_none();
    // Before anything else, so that a signal in the first moment is not the end of everything.
    let mut stop = [SignalKind::terminate(), SignalKind::interrupt()].map(signal).into_iter();
    let (Some(terminate), Some(interrupt)) = (stop.next(), stop.next()) else { return Ok(()) };
    let (terminate, interrupt) = (terminate.map_err(Failure::Runtime)?, interrupt.map_err(Failure::Runtime)?);
    let reload = signal(SignalKind::hangup()).map_err(Failure::Runtime)?;
    let bound = |source| Failure::Listen { address: args.listen, source };
    let listener = TcpListener::bind(args.listen).await.map_err(bound)?;
    let address = listener.local_addr().map_err(bound)?;
    let tenants = if is_one { Tenants::single() } else { Tenants::many() };
    let fleet = Fleet::new(Server::new(tenants, Metrics::new(), settings(args)), Arc::new(Network));
    let memory = place.memory_bytes();
    let (free, ballast) = (u64::from(args.free_mib) << 20, u64::from(args.ballast_mib) << 20);
    let fleet =
        fleet.storing(move |builder| builder.free_bytes_least(free).ballast_bytes(ballast).memory_bytes(memory));
    let reloads = tokio::spawn(on_each(reload, fleet.reload()));
    let tenants = places.len();
    match place.json {
        true => tell::json(out, &Listening { listening: address, tenants })?,
        false => writeln!(out, "listening on http://{address}")?,
    }
    out.flush()?;
    let served = fleet.serve(places, is_one, listener, either(terminate, interrupt)).await;
    reloads.abort();
    Ok(served?)
}

/// The server's bounds, as far as they are said.
fn settings(args: &Serve) -> Settings {
    Settings {
        public_url: args.public_url.clone(),
        connections: args.connections,
        connections_by_address: args.connections_by_address,
        ..Settings::default()
    }
}

/// Waits for the first of two signals.
async fn either(mut one: Signal, mut other: Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

async fn on_each(mut signal: Signal, act: impl Fn()) {
    while signal.recv().await.is_some() {
        act();
    }
}

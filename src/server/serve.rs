//! How connections are accepted, bounded, and ended.

use std::{future::Future, io, net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, middleware};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Server,
    connection::{Patient, Place, Places},
    host,
};

/// The most bytes of what is read ahead on a connection.
const READ_BYTES_MAX: usize = 64 << 10;
/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// The most headers.
const HEADERS_MAX: usize = 100;
/// So long nothing is accepted after the system had no more file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a connection is told for which there is no place.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

impl Server {
    /// Serves until `shutdown` is done, then lets what is under way end, and returns.
    ///
    /// What has not ended after the settings' grace is cut off; nothing that was acknowledged is lost by that.
    ///
    /// # Errors
    /// If the listener has no address.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let address = listener.local_addr()?;
        tracing::info!(%address, "listening");
        let router = self.router().layer(middleware::from_fn(host::check));
        let places = Places::default();
        let (stopped, stops) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = listener.accept() => accepted,
                // Ended ones are forgotten as they end.
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            match accepted {
                Ok((stream, from)) => self.accept(stream, from, &places, &router, &stops, &mut connections),
                Err(why) if is_of_one_connection(&why) => {}
                Err(why) => {
                    tracing::error!(error = %why, "cannot accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        self.stop();
        stopped.send_replace(true);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(self.0.settings.grace, ended).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections were cut off, since they did not end in time");
            connections.shutdown().await;
        }
        tracing::info!(%address, "stopped");
        Ok(())
    }

    fn accept(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        places: &Places,
        router: &Router,
        stops: &watch::Receiver<bool>,
        connections: &mut JoinSet<()>,
    ) {
        let settings = &self.0.settings;
        match places.take(from.ip(), settings.connections, settings.connections_by_address) {
            Ok(place) => {
                connections.spawn(self.clone().connection(stream, place, router.clone(), stops.clone()));
            }
            Err(cap) => {
                self.0.metrics.connection_refused(cap);
                // As far as it goes at once: who has no place is not waited for.
                if let Err(why) = stream.try_write(FULL) {
                    tracing::debug!(error = %why, "a connection was closed without a word");
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, place: Place, router: Router, mut stops: watch::Receiver<bool>) {
        let settings = &self.0.settings;
        let counted = self.0.metrics.connection();
        if let Err(why) = stream.set_nodelay(true) {
            tracing::debug!(error = %why, "a connection waits for full packets");
        }
        let stream = TokioIo::new(Patient::new(stream, settings.write_time));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(settings.header_time)
            .max_buf_size(READ_BYTES_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(stream, TowerToHyperService::new(router));
        let mut served = pin!(served);
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            _stops = async { stops.wait_for(|stops| *stops).await.is_ok() } => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(why) = ended {
            // Clients that go, are slow, or do not speak HTTP: their matter.
            tracing::debug!(error = %why, "a connection ended early");
        }
        drop((place, counted));
    }
}

/// Whether the failure is of the connection that was to be accepted, so that the next one may be.
fn is_of_one_connection(why: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(why.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

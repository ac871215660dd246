//! The pretend portal behind a listener.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, OriginalUri, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use futures_util::stream;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::{
    control, courier,
    dialect::{self, Answer, Exit, Message},
    state::Portal,
};

/// The largest body that is read.
const BODY_BYTES_MAX: usize = 16 << 20;
/// How long calls that are under way are waited for when serving ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// A portal that is being served; it stops when this is dropped.
pub struct Serving {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<io::Result<()>>,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it takes our messages: what a manifest's `deliver_to` says.
    pub fn url(&self) -> String {
        format!("http://{}/hooks/syncline", self.address)
    }

    /// Stops answering and sending; what waits stays with the portal.
    ///
    /// # Errors
    /// If the listener had failed.
    pub async fn stop(mut self) -> io::Result<()> {
        self.stop.send_replace(true);
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.map_err(io::Error::other)??;
            }
            Ok(())
        };
        // Whoever hangs then is cut off when the tasks are let go.
        tokio::time::timeout(PATIENCE, all).await.unwrap_or(Ok(()))
    }

    /// Serves until the listener fails.
    ///
    /// # Errors
    /// If it does.
    pub async fn forever(mut self) -> io::Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => ended.map_err(io::Error::other)?,
            None => Ok(()),
        }
    }
}

/// Serves a portal, and sends its messages, until it is stopped.
///
/// # Errors
/// If the listener has no address, or no client can be made.
pub fn serve(portal: Portal, listener: TcpListener) -> io::Result<Serving> {
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let app = Router::new().fallback(answer).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(portal.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(courier::run(portal, courier::client()?, stopped.clone()));
    let serving = axum::serve(listener, app).with_graceful_shutdown(ended(stopped));
    tasks.spawn(async move { serving.await });
    Ok(Serving { address, stop, tasks })
}

/// Waits until serving is to end.
pub(super) async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error means that nobody is left who could say so, which is the same.
    if stopped.wait_for(|stopped| *stopped).await.is_err() {}
}

async fn answer(
    State(portal): State<Portal>,
    OriginalUri(uri): OriginalUri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match (&method, uri.path().strip_prefix("/_sim")) {
        (_, Some(path)) => control::answer(&portal, method.as_str(), path, &body),
        (&Method::POST, None) => {
            let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let message = Message {
                id: header("webhook-id"),
                timestamp: header("webhook-timestamp"),
                signature: header("webhook-signature"),
                body: &body,
            };
            dialect::answer(&portal, &message)
        }
        _ => Answer::json(405, serde_json::json!({"reason": "messages are sent by POST"})),
    };
    if let Exit::After(ms) = answer.exit {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    response(&portal, answer)
}

fn response(portal: &Portal, answer: Answer) -> Response {
    let body = match answer.exit {
        // The body breaks off at once, and the connection with it.
        Exit::Cut => Body::from_stream(stream::once(async { Err::<Bytes, _>(io::Error::other("cut on order")) })),
        Exit::Garbled => Body::from("<!doctype html><title>Sign in</title>"),
        _ if answer.body.is_null() => Body::empty(),
        _ => Body::from(answer.body.to_string()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    let said = portal.present(&portal.lock()).said;
    if let Ok(millis) = u64::try_from(said.0) {
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(millis));
        if let Ok(date) = HeaderValue::try_from(date) {
            headers.insert(header::DATE, date);
        }
    }
    response
}

//! The account behind a listener.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, OriginalUri, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::{
    account::Account,
    call::{Answer, Call, Exit},
    courier,
    wire::{Knife, Wires},
};

/// The largest body that is read.
const BODY_BYTES_MAX: usize = 16 << 20;

/// An account that is being served; it stops when this is dropped.
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

    /// The URL under which clients reach it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops answering and sending; what waits stays with the account.
    ///
    /// # Errors
    /// If the listener had failed.
    pub async fn stop(mut self) -> io::Result<()> {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
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

/// Serves an account, and sends its webhooks, until it is stopped.
///
/// # Errors
/// If the listener has no address, or no client for webhooks can be made.
///
/// # Panics
/// Outside a tokio runtime.
pub fn serve(account: Account, listener: TcpListener) -> io::Result<Serving> {
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let app = Router::new()
        .fallback(answer)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Front { account: account.clone(), stopped: stopped.clone() })
        .into_make_service_with_connect_info::<Knife>();
    let mut tasks = JoinSet::new();
    tasks.spawn(courier::run(account, courier::client()?, stopped.clone()));
    // Idle connections would keep a graceful stop waiting, so the listener is let go, and what still asks is cut.
    tasks.spawn(async move {
        tokio::select! {
            ended = axum::serve(Wires(listener), app) => ended,
            () = ended(stopped) => Ok(()),
        }
    });
    Ok(Serving { address, stop, tasks })
}

/// Waits until serving is to end.
pub(super) async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error means that nobody is left who could say so, which is the same.
    if stopped.wait_for(|stopped| *stopped).await.is_err() {}
}

/// What every request needs.
#[derive(Clone)]
struct Front {
    account: Account,
    stopped: watch::Receiver<bool>,
}

async fn answer(
    State(Front { account, stopped }): State<Front>,
    ConnectInfo(knife): ConnectInfo<Knife>,
    OriginalUri(uri): OriginalUri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if *stopped.borrow() || stopped.has_changed().is_err() {
        knife.cut();
        return Response::default();
    }
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        bearer.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let call = Call {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        token: token.map(|(_, token)| token.trim().to_owned()),
        body: body.to_vec(),
    };
    let answer = account.answer(&call);
    match answer.exit {
        Exit::Now => {}
        Exit::After(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Exit::Cut => knife.cut(),
    }
    response(&account, answer)
}

fn response(account: &Account, answer: Answer) -> Response {
    let body = if answer.body.is_null() { Body::empty() } else { Body::from(answer.body.to_string()) };
    let has_body = !answer.body.is_null();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json;charset=utf-8"));
    }
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    let said = account.lock().said();
    if let Ok(millis) = u64::try_from(said.0) {
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(millis));
        if let Ok(date) = HeaderValue::try_from(date) {
            headers.insert(header::DATE, date);
        }
    }
    response
}

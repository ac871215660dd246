//! What one connection may cost: a place among all and among its address's, and an end if its client takes nothing.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// The open connections by address.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place; given back when it goes.
pub(super) struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    /// A place for a connection from an address, or the cap that it would exceed.
    pub fn take(&self, address: IpAddr, most: usize, most_by_address: usize) -> Result<Place, &'static str> {
        // One address of IPv6 is a whole /64: whoever has one has 2^64 of them.
        let address = network(address);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= most {
            return Err("total");
        }
        if open.by_address.get(&address).is_some_and(|open| *open >= most_by_address) {
            return Err("address");
        }
        open.all += 1;
        *open.by_address.entry(address).or_default() += 1;
        Ok(Place { places: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(of_address) = open.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(long) => match long.to_ipv4_mapped() {
            Some(short) => IpAddr::V4(short),
            None => IpAddr::V6((u128::from(long) & !(u128::MAX >> 64)).into()),
        },
    }
}

/// A stream whose writes fail once the other end has taken nothing for too long.
pub(super) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// When patience ends; only while a write waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub fn new(stream: S, patience: Duration) -> Self {
        Patient { stream, patience, until: None }
    }

    /// What a write came to, or its failure if it waits for longer than it may.
    fn patiently<T>(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.until = None;
            return wrote;
        }
        let end = || Box::pin(tokio::time::sleep_until(Instant::now() + self.patience));
        ready!(self.until.get_or_insert_with(end).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.patiently(cx, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.patiently(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.patiently(cx, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.patiently(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn places_are_given_back() {
        let places = Places::default();
        let [a, b]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().expect("good"));
        let first = places.take(a, 3, 2).expect("free");
        let _second = places.take(a, 3, 2).expect("free");
        assert_eq!(places.take(a, 3, 2).err(), Some("address"));
        let _third = places.take(b, 3, 2).expect("free");
        assert_eq!(places.take(b, 3, 2).err(), Some("total"));
        drop(first);
        assert!(places.take(a, 3, 2).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let of = |text: &str| network(text.parse().expect("good")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:10.0.0.1"), "10.0.0.1");
    }

    #[tokio::test]
    async fn a_write_that_nobody_takes_fails_in_time() {
        let (near, _far) = tokio::io::duplex(16);
        let patience = Duration::from_millis(20);
        let mut near = Patient::new(near, patience);
        near.write_all(&[0; 16]).await.expect("there is room");
        let began = Instant::now();
        let why = near.write_all(&[0; 16]).await.expect_err("nobody reads");
        assert_eq!(why.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= patience);
    }

    #[tokio::test]
    async fn patience_begins_anew_with_every_byte_that_is_taken() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut near = Patient::new(near, Duration::from_secs(3600));
        near.write_all(&[0; 16]).await.expect("there is room");
        // Once: it waits.
        let waits = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut near).poll_write(cx, &[0]).is_pending()));
        assert!(waits.await && near.until.is_some());
        far.read_exact(&mut [0; 8]).await.expect("written");
        near.write_all(&[0; 8]).await.expect("there is room again");
        assert!(near.until.is_none());
    }
}

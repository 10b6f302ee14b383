//! The loop that takes connections from a socket: handshakes beside each other, each within its time, and no more
//! connections than there is room for.

use crate::listener::{AcceptError, Incoming, ListenerOptions};
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The pause after a connection could not be taken from the system: files have run out, and trying again at once would take
/// the whole processor and fill the log.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections a [`Listener`] has. Set fields on a default value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerLimits {
    /// Connections at a time, handshakes included. One more is closed before a word is said. Default 1000, because many
    /// systems give a process 1024 files.
    pub connections: usize,
    /// Handshakes under way at a time from one peer: an IPv4 address, or an IPv6 network of 64 bits. One more is closed before
    /// a word is said. Default 32.
    pub handshakes_per_peer: usize,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self { connections: 1000, handshakes_per_peer: 32 }
    }
}

/// Takes connections from a TCP socket. Handshakes go on beside each other, in tasks of their own: one that stalls, fails
/// or panics holds no other up.
///
/// ```no_run
/// # async fn serve(incoming: amqp_transport::Incoming) {}
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use amqp_transport::{Listener, ListenerOptions, StaticCredentials};
/// use std::sync::Arc;
///
/// let users = StaticCredentials { anonymous: false, users: vec![("guest".into(), "guest".into())] };
/// let options = ListenerOptions::new("server").authenticator(Arc::new(users));
/// let mut listener = Listener::bind("127.0.0.1:5672", options).await?;
/// loop {
///     let (incoming, peer) = listener.accept().await;
///     println!("{} connects from {peer}", incoming.connection().peer().container_id);
///     tokio::spawn(serve(incoming));
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    options: ListenerOptions,
    limits: ListenerLimits,
    /// A place for each connection.
    places: Arc<Semaphore>,
    peers: Arc<Peers>,
    handshakes: JoinSet<(SocketAddr, Result<Incoming, AcceptError>)>,
    rest: Rest,
    #[cfg(feature = "websocket")]
    speaks_websocket: bool,
}

impl Listener {
    /// Listens at this address. Port 0 takes a free one.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(address: impl ToSocketAddrs, options: ListenerOptions) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(address).await?, options))
    }

    /// Takes connections from this socket.
    #[must_use]
    pub fn new(socket: TcpListener, options: ListenerOptions) -> Self {
        let limits = ListenerLimits::default();
        Self {
            socket,
            options,
            places: places(&limits),
            limits,
            peers: Arc::default(),
            handshakes: JoinSet::new(),
            rest: Rest::default(),
            #[cfg(feature = "websocket")]
            speaks_websocket: false,
        }
    }

    /// How many connections there may be. To be set before the first one is taken.
    #[must_use]
    pub fn limits(mut self, limits: ListenerLimits) -> Self {
        self.places = places(&limits);
        self.limits = limits;
        self
    }

    /// Takes connections of clients that speak AMQP over WebSocket, as [`ListenerOptions::accept_websocket`] does.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub const fn over_websocket(mut self) -> Self {
        self.speaks_websocket = true;
        self
    }

    /// The address that it listens at.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Connections that there are now, handshakes included. One counts until its socket is closed.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.limits.connections.min(Semaphore::MAX_PERMITS).saturating_sub(self.places.available_permits())
    }

    /// The next connection whose handshake went well, and where it comes from. Those that did not are told to the log alone.
    ///
    /// New connections are taken while this is awaited; handshakes go on all the time. It waits for as long as nobody
    /// comes. Cancel-safe.
    pub async fn accept(&mut self) -> (Incoming, SocketAddr) {
        loop {
            tokio::select! {
                Some(handshake) = self.handshakes.join_next() => match handshake {
                    Ok((peer, Ok(incoming))) => return (incoming, peer),
                    Ok((peer, Err(error))) => tracing::debug!(%peer, %error, "connection not opened"),
                    Err(error) => tracing::error!(%error, "a handshake panicked"),
                },
                (stream, peer) = self.rest.before(|| self.socket.accept()) => self.shake_hands(stream, peer),
            }
        }
    }

    fn shake_hands(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(%peer, limit = self.limits.connections, "connection refused: there are too many");
            return;
        };
        let Some(guest) = Guest::new(&self.peers, peer.ip(), self.limits.handshakes_per_peer) else {
            let limit = self.limits.handshakes_per_peer;
            tracing::warn!(%peer, limit, "connection refused: its peer has too many handshakes under way");
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
        }
        let stream = Counted { stream, _place: place };
        let options = self.options.clone();
        #[cfg(feature = "websocket")]
        let speaks_websocket = self.speaks_websocket;
        self.handshakes.spawn(async move {
            let _guest = guest;
            #[cfg(feature = "websocket")]
            if speaks_websocket {
                return (peer, options.accept_websocket(stream).await);
            }
            (peer, options.accept(stream).await)
        });
    }
}

/// The pause after an error of the system. It lasts although nobody waits for it in between.
#[derive(Debug, Default)]
struct Rest {
    until: Option<Instant>,
}

impl Rest {
    /// What is accepted once the pause is over; an error begins the next one. Cancel-safe, if `accept` is.
    async fn before<T, F>(&mut self, accept: impl Fn() -> F) -> T
    where
        F: Future<Output = io::Result<T>>,
    {
        loop {
            if let Some(until) = self.until {
                tokio::time::sleep_until(until).await;
                self.until = None;
            }
            match accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    self.until = Some(Instant::now() + PAUSE);
                }
            }
        }
    }
}

fn places(limits: &ListenerLimits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)))
}

/// Handshakes under way, by peer.
#[derive(Debug, Default)]
struct Peers {
    handshakes: Mutex<HashMap<IpAddr, usize>>,
}

/// Counts one handshake of a peer; given back on every way out.
#[derive(Debug)]
struct Guest {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Guest {
    /// None if the peer has too many.
    fn new(peers: &Arc<Peers>, address: IpAddr, limit: usize) -> Option<Self> {
        let peer = network(address);
        let mut handshakes = peers.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        let count = handshakes.get(&peer).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        handshakes.insert(peer, count + 1);
        Some(Self { peers: Arc::clone(peers), peer })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut handshakes = self.peers.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        match handshakes.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(handshakes.remove(&self.peer)),
        }
    }
}

/// Who an address belongs to: with IPv6, everybody has at least a network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

/// A stream that takes a connection's place for as long as it is open.
struct Counted {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_an_error_the_next_connection_is_taken_only_after_a_pause() {
        let results = Mutex::new(vec![Ok(7), Err(io::Error::from_raw_os_error(24))]);
        let accept = || async { results.lock().unwrap().pop().unwrap() };
        let (mut rest, begun) = (Rest::default(), Instant::now());
        // Others are awaited beside it, and may come first again and again.
        for _ in 0..3 {
            tokio::select! {
                biased;
                _ = rest.before(accept) => unreachable!("it rests"),
                () = tokio::time::sleep(PAUSE / 4) => {}
            }
        }
        assert_eq!(rest.before(accept).await, 7);
        assert!(begun.elapsed() >= PAUSE && begun.elapsed() < 2 * PAUSE);
    }

    #[test]
    fn a_peer_is_an_address_or_a_network_of_64_bits() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }

    #[test]
    fn a_handshake_counts_until_it_is_over() {
        let peers = Arc::<Peers>::default();
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let first = Guest::new(&peers, peer, 2).unwrap();
        let _second = Guest::new(&peers, peer, 2).unwrap();
        assert!(Guest::new(&peers, peer, 2).is_none());
        assert!(Guest::new(&peers, "192.0.2.2".parse().unwrap(), 2).is_some());
        drop(first);
        assert!(Guest::new(&peers, peer, 2).is_some());
        drop(_second);
        assert!(peers.handshakes.lock().unwrap().is_empty());
    }
}

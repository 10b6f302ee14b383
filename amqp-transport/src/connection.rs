//! Connections as users hold them: connecting, the handle, and its end.

use crate::engine::limits::Limits;
use crate::engine::sasl::{Nonce, Sasl};
use crate::engine::stats::ConnectionStats;
use crate::engine::{Engine, FrameLog, Side};
use crate::error::{ConnectionError, SessionError};
use crate::net::address::{Address, AddressError};
use crate::net::tls::{TlsError, TlsOptions};
#[cfg(feature = "websocket")]
use crate::net::websocket;
use crate::peer::Peer;
use crate::pool::Pool;
use crate::runtime::clock::now;
use crate::runtime::driver::drive;
use crate::runtime::frame_log::frame_log;
use crate::runtime::random::random;
use crate::runtime::shared::Shared;
use crate::session::Session;
use amqp_codec::transport::{ErrorInfo, Open};
use amqp_codec::types::{Fields, Symbol, Value};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tracing::{Instrument, Span, field};
use uuid::Uuid;

/// Why no connection came about.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is no address.
    #[error("the address is no good: {0}")]
    Address(#[from] AddressError),
    /// The host name is not known.
    #[error("the host {host} is not known: {why}")]
    Resolve {
        /// The host.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// Nothing listens there, or it cannot be reached.
    #[error("cannot connect to {host}:{port}: {why}")]
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What kind of failure it was, such as a refused connection.
        kind: io::ErrorKind,
        /// What the system said.
        why: String,
    },
    /// TLS could not be set up on this side.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] TlsError),
    /// The TLS handshake failed: unknown CA, wrong name, or no TLS on the other side.
    #[error("the TLS handshake with {host}:{port} failed: {why}")]
    Handshake {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What TLS said.
        why: String,
    },
    /// The other side does not speak AMQP over WebSocket there, or this crate was built without its feature
    /// `websocket`.
    #[error("the WebSocket handshake with {host}:{port} failed: {why}")]
    WebSocket {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the other side said, such as an HTTP status.
        why: String,
    },
    /// It took longer than [`Limits::handshake`].
    #[error("{host}:{port} did not answer in time while {step}")]
    Timeout {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What was being done then.
        step: &'static str,
    },
    /// The AMQP or SASL handshake failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl ConnectError {
    /// Whether the same attempt may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Address(_) | Self::Tls(_) => false,
            // Built without the feature, it never will.
            Self::WebSocket { .. } => cfg!(feature = "websocket"),
            Self::Resolve { .. } | Self::Tcp { .. } | Self::Handshake { .. } | Self::Timeout { .. } => true,
            Self::Connection(error) => error.is_retryable(),
        }
    }
}

/// How to connect. Only the address is needed.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use amqp_transport::{Address, ConnectOptions, TlsOptions};
/// let address: Address = "amqps://guest:guest@127.0.0.1:5671".parse()?;
/// let connection = ConnectOptions::new(address)
///     .container_id("reports")
///     .tls(TlsOptions::new().root_ca_pem(std::fs::read("ca.pem")?))
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before connect"]
pub struct ConnectOptions {
    address: Address,
    container_id: Option<String>,
    hostname: Option<String>,
    sasl: Option<Sasl>,
    tls: TlsOptions,
    limits: Limits,
    properties: Fields,
    desired_capabilities: Vec<Symbol>,
    frame_log: Option<FrameLog>,
}

impl ConnectOptions {
    /// Connects to this address: PLAIN if it has a user, else ANONYMOUS.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            container_id: None,
            hostname: None,
            sasl: None,
            tls: TlsOptions::default(),
            limits: Limits::default(),
            properties: Fields::default(),
            desired_capabilities: Vec::new(),
            frame_log: None,
        }
    }

    /// The name of this container; a fresh UUID if not set. Some brokers allow one connection per name only.
    pub fn container_id(mut self, id: impl Into<String>) -> Self {
        self.container_id = Some(id.into());
        self
    }

    /// The hostname said in open and SASL, in place of the address's host: `vhost:NAME` on RabbitMQ.
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        self.hostname = Some(hostname.into());
        self
    }

    /// PLAIN with these credentials, in place of the address's. For SCRAM see [`Sasl::scram`] and [`Self::sasl`].
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.sasl = Some(Sasl::Plain { user: user.into(), password: password.into() });
        self
    }

    /// How to authenticate, in place of what the address suggests.
    pub fn sasl(mut self, sasl: Sasl) -> Self {
        self.sasl = Some(sasl);
        self
    }

    /// How TLS is to be done; used only with `amqps` and `wss`.
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = tls;
        self
    }

    /// Limits and time-outs.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// A connection property to tell the peer, such as `product`. A name that is no symbol (ASCII) is left out.
    pub fn property(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Ok(name) = Symbol::try_from(name) {
            self.properties.insert(name, value.into());
        }
        self
    }

    /// Asks for an extension.
    pub fn desired_capability(mut self, capability: &'static str) -> Self {
        self.desired_capabilities.push(Symbol::from_static(capability));
        self
    }

    /// Where to log each frame, in place of what `AMQP_LOG` says.
    pub fn frame_log(mut self, log: FrameLog) -> Self {
        self.frame_log = Some(log);
        self
    }

    /// Connects: TCP, TLS for `amqps` and `wss`, WebSocket for `ws` and `wss`, SASL, open.
    ///
    /// Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// See [`ConnectError`]. All of it together may take [`Limits::handshake`].
    pub async fn connect(self) -> Result<Connection, ConnectError> {
        // Large while it lasts: not to be a part of what its caller holds from there on.
        Box::pin(self.connect_to_address()).await
    }

    async fn connect_to_address(self) -> Result<Connection, ConnectError> {
        let started = now();
        let (host, port) = (self.address.host().to_owned(), self.address.port());
        let tls = if self.address.is_tls() { Some(self.tls.client(&host)?) } else { None };
        let stream = self.in_time(started, "connecting", connect_tcp(&host, port)).await?;
        let Some((config, name)) = tls else {
            self.warn_of_readable_password(&stream);
            return self.connect_through(stream, started).await;
        };
        let handshake = async {
            let connected = TlsConnector::from(config).connect(name, stream).await;
            connected.map_err(|error| ConnectError::Handshake { host, port, why: error.to_string() })
        };
        let stream = self.in_time(started, "shaking hands over TLS", handshake).await?;
        self.connect_through(stream, started).await
    }

    /// What one step towards a connection gives, while there is time left.
    async fn in_time<R>(
        &self,
        started: Instant,
        step: &'static str,
        deed: impl Future<Output = Result<R, ConnectError>>,
    ) -> Result<R, ConnectError> {
        let left = self.limits.handshake.saturating_sub(started.elapsed());
        tokio::time::timeout(left, deed).await.unwrap_or_else(|_| Err(self.took_too_long(step)))
    }

    fn took_too_long(&self, step: &'static str) -> ConnectError {
        ConnectError::Timeout { host: self.address.host().to_owned(), port: self.address.port(), step }
    }

    /// Goes through a WebSocket, if the address says so.
    async fn connect_through<T>(self, stream: T, started: Instant) -> Result<Connection, ConnectError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(path) = self.address.path() else { return self.speak(stream, started).await };
        let (host, port) = (self.address.host().to_owned(), self.address.port());
        #[cfg(feature = "websocket")]
        {
            let authority = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let uri =
                format!("{}://{authority}:{port}{path}", if self.address.is_tls() { "wss" } else { "ws" });
            let handshake = async {
                let connected = websocket::connect(&uri, stream, &self.limits).await;
                connected.map_err(|why| ConnectError::WebSocket { host, port, why })
            };
            let stream = self.in_time(started, "asking for a WebSocket", handshake).await?;
            self.speak(stream, started).await
        }
        #[cfg(not(feature = "websocket"))]
        {
            drop(stream);
            let why =
                format!("{path} is not asked for, this program was built without the feature \"websocket\"");
            Err(ConnectError::WebSocket { host, port, why })
        }
    }

    /// Speaks AMQP over a stream that leads to the address.
    async fn speak<T>(self, stream: T, started: Instant) -> Result<Connection, ConnectError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match self.open(stream, started).await {
            Err(ConnectionError::Timeout(step)) => Err(self.took_too_long(step)),
            opened => Ok(opened?),
        }
    }

    fn warn_of_readable_password(&self, stream: &TcpStream) {
        let is_local = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        if !is_local && self.effective_sasl().shows_secret() {
            tracing::warn!(peer = %self.address, "the password or token goes over the network readably: use amqps");
        }
    }

    fn effective_sasl(&self) -> Sasl {
        match (&self.sasl, self.address.username(), self.address.password()) {
            (Some(sasl), _, _) => sasl.clone(),
            // A user without a password is not nobody: the peer is to refuse it.
            (None, Some(user), password) => {
                Sasl::Plain { user: user.to_owned(), password: password.unwrap_or_default().to_owned() }
            }
            (None, None, _) => Sasl::Anonymous,
        }
    }

    /// The same over a stream of one's own, which is trusted to be what the address promises: TLS and WebSocket are its
    /// business.
    ///
    /// # Errors
    /// [`ConnectError::Connection`] if the handshake fails.
    pub async fn connect_over<T>(self, stream: T) -> Result<Connection, ConnectError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Ok(self.open(stream, now()).await?)
    }

    /// Protocol headers, SASL, open. The handshake counts from `started` on.
    async fn open<T>(&self, stream: T, started: Instant) -> Result<Connection, ConnectionError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let container_id = self.container_id.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        let mut open = Open::new(container_id);
        open.hostname = Some(self.hostname.clone().unwrap_or_else(|| self.address.host().to_owned()).into());
        open.properties = (!self.properties.is_empty()).then(|| self.properties.clone());
        open.desired_capabilities.clone_from(&self.desired_capabilities);
        let side = Side::Client(self.effective_sasl());
        let log = frame_log(self.frame_log.as_ref(), "client");
        let mut engine = Engine::new(side, open, self.limits.clone(), started).with_frame_log(log);
        if let Some(random) = random() {
            engine = engine.with_nonce(Nonce::new(&random));
        }
        let span = tracing::info_span!(
            "connection", side = "client", address = %self.address, container = field::Empty
        );
        let handle = ConnectionHandle::start(engine, stream, span);
        let peer = handle
            .shared
            .wait(&handle.shared.changed, |state| match (state.engine.end(), state.engine.peer()) {
                (Some(error), _) => Some(Err(error.clone())),
                (None, Some(peer)) => Some(Ok(Arc::clone(peer))),
                (None, None) => None,
            })
            .await?;
        handle.opened(&peer);
        Ok(Connection { handle, peer })
    }
}

async fn connect_tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| ConnectError::Resolve { host: host.to_owned(), why: error.to_string() })?
        .collect();
    let stream = first_of(addresses, TcpStream::connect).await.map_err(|failure| ConnectError::Tcp {
        host: host.to_owned(),
        port,
        kind: failure.kind(),
        why: failure.to_string(),
    })?;
    // Frames are joined here already; holding the last one back would only delay it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    Ok(stream)
}

/// How long an address is tried before the next one is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// The first connection to any of these addresses, which are tried in their order: the next one when one has failed, or
/// when it has not answered for a while. So an address that nobody answers at does not keep the others from being tried.
async fn first_of<T, F>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    let mut addresses = addresses.into_iter();
    let mut attempts = JoinSet::new();
    loop {
        let next = addresses.next();
        let is_last = next.is_none();
        if let Some(address) = next {
            attempts.spawn(connect(address));
        }
        let attempt = tokio::select! {
            attempt = attempts.join_next() => attempt,
            () = tokio::time::sleep(HEAD_START), if !is_last => continue,
        };
        match attempt {
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(stopped)) => failure = io::Error::other(stopped),
            None if is_last => return Err(failure),
            None => {}
        }
    }
}

/// Keeps the connection open; the last one closes it.
#[derive(Debug)]
pub(crate) struct ConnectionHandle {
    pub(crate) shared: Arc<Shared>,
    /// Sessions for links that name none.
    pub(crate) pool: Pool,
    /// What happens on the connection belongs here, in whichever task.
    pub(crate) span: Span,
}

impl ConnectionHandle {
    /// Starts the I/O task.
    pub(crate) fn start<T>(engine: Engine, stream: T, span: Span) -> Arc<Self>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Shared::new(engine);
        tokio::spawn(drive(Arc::clone(&shared), stream).instrument(span.clone()));
        Arc::new(Self { shared, pool: Pool::default(), span })
    }

    /// Tells that the opens were exchanged.
    pub(crate) fn opened(&self, peer: &Peer) {
        self.span.record("container", field::display(&peer.container_id));
        tracing::debug!(
            parent: &self.span,
            max_frame_size = peer.max_frame_size, channel_max = peer.channel_max, "connection opened"
        );
    }
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        self.shared.act(|state| state.engine.close(None, now()));
    }
}

/// A connection to a peer. Clones are the same connection; it is closed when the last clone, session and link is
/// dropped, or by [`Connection::close`].
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) handle: Arc<ConnectionHandle>,
    pub(crate) peer: Arc<Peer>,
}

impl Connection {
    /// Connects with default options.
    ///
    /// # Errors
    /// See [`ConnectOptions::connect`].
    pub async fn connect(address: &str) -> Result<Self, ConnectError> {
        ConnectOptions::new(address.parse()?).connect().await
    }

    /// What the peer said of itself.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Begins a session (§2.5). Dropping the future ends it again.
    ///
    /// # Errors
    /// [`SessionError::Timeout`] if the peer has not answered within [`Limits::answer`],
    /// [`SessionError::TooMany`] if all that the peer allows are in use, or why the connection ended.
    pub async fn session(&self) -> Result<Session, SessionError> {
        Session::begin(self).await
    }

    /// Closes the connection in an orderly way and waits until the peer has answered, at most [`Limits::close`].
    /// What was handed over before is sent first. Dropping the future does not stop the closing.
    ///
    /// # Errors
    /// Why the connection had ended before, unless it was closed here.
    pub async fn close(&self) -> Result<(), ConnectionError> {
        self.close_for(None).await
    }

    /// As [`Connection::close`], and tells the peer why.
    ///
    /// # Errors
    /// As [`Connection::close`].
    pub async fn close_with(&self, error: ErrorInfo) -> Result<(), ConnectionError> {
        self.close_for(Some(error)).await
    }

    async fn close_for(&self, error: Option<ErrorInfo>) -> Result<(), ConnectionError> {
        let shared = &self.handle.shared;
        shared.act(|state| state.engine.close(error, now()));
        let end = shared
            .wait(&shared.changed, |state| {
                state.engine.is_ended().then(|| state.engine.end().cloned()).flatten()
            })
            .await;
        match end {
            ConnectionError::ClosedLocally => Ok(()),
            error => Err(error),
        }
    }

    /// Waits until the connection ends, and tells why.
    pub async fn closed(&self) -> ConnectionError {
        let shared = &self.handle.shared;
        shared.wait(&shared.changed, |state| state.engine.end().cloned()).await
    }

    /// What the connection carried so far, and what it holds now.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let connection = amqp_transport::Connection::connect("amqp://guest:guest@127.0.0.1").await?;
    /// let stats = connection.stats();
    /// println!("{} octets sent, confirms: {:?}", stats.octets_out, stats.confirm_latency.quantile(99));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        let shared = &self.handle.shared;
        let mut stats = shared.look(|state| state.engine.stats());
        stats.queued_octets += shared.unsent.load(Ordering::Relaxed);
        stats
    }

    /// Whether the connection has ended or is ending.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.shared.look(|state| state.engine.end().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect()
    }

    /// An address of port 1 never answers, one of port 2 refuses, all others answer at once.
    async fn connect(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            1 => std::future::pending().await,
            2 => Err(io::ErrorKind::ConnectionRefused.into()),
            port => Ok(port),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_nobody_answers_at_keeps_no_other_from_being_tried() {
        let begun = tokio::time::Instant::now();
        assert_eq!(first_of(addresses(&[1, 1, 7]), connect).await.unwrap(), 7);
        assert_eq!(begun.elapsed(), 2 * HEAD_START);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_address_that_refuses_the_next_is_tried_at_once() {
        let begun = tokio::time::Instant::now();
        assert_eq!(first_of(addresses(&[2, 2, 7, 8]), connect).await.unwrap(), 7);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let refused = first_of(addresses(&[2, 2]), connect).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(first_of(Vec::new(), connect).await.is_err());
    }
}

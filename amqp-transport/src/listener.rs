//! The side that is connected to.

use crate::connection::{Connection, ConnectionHandle};
use crate::engine::credit::Credit;
use crate::engine::limits::Limits;
use crate::engine::sasl::{Authenticator, ClientCertificate, Identity, Nonce, StaticCredentials};
use crate::engine::{AbortPolicy, Engine, FrameLog, LinkAnswer, LinkKey, SessionKey, Side, Termini};
use crate::error::{ConnectionError, LinkError};
use crate::net::tls::{ServerTls, TlsError, TlsOptions};
#[cfg(feature = "websocket")]
use crate::net::websocket;
use crate::receiver::Receiver;
use crate::runtime::clock::now;
use crate::runtime::frame_log::frame_log;
use crate::runtime::random::random;
use crate::runtime::shared::Shared;
use crate::sender::Sender;
use crate::session::{LinkHandle, SessionHandle};
use crate::stream_receiver::StreamReceiver;
use crate::takeover::Takeovers;
use amqp_codec::messaging::{Source, Target, TargetArchetype};
use amqp_codec::transactions::Coordinator;
use amqp_codec::transport::{Attach, ErrorInfo, Open, Role, conditions};
use amqp_codec::types::{Fields, Symbol, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why an incoming connection was not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// TLS could not be set up on this side.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] TlsError),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    /// The client did not ask for AMQP over WebSocket, or not at the right path. Only the feature `websocket` gives it.
    #[error("the WebSocket handshake failed: {0}")]
    WebSocket(String),
    /// The AMQP or SASL handshake failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl AcceptError {
    /// Whether the next connection may be taken with the same options: always, unless TLS cannot be set up here.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Tls(_) => false,
            Self::Handshake(_) | Self::WebSocket(_) | Self::Connection(_) => true,
        }
    }
}

/// How incoming connections are taken. The same options serve any number of them.
#[derive(Clone)]
#[must_use = "nothing happens before accept"]
pub struct ListenerOptions {
    container_id: String,
    properties: Fields,
    offered_capabilities: Vec<Symbol>,
    limits: Limits,
    authenticator: Arc<dyn Authenticator>,
    tls: Option<ServerTls>,
    salt_secret: [u8; 32],
    frame_log: Option<FrameLog>,
    /// Links of all connections, by what they are known by.
    takeovers: Arc<Takeovers>,
    link_scope: LinkScope,
    #[cfg(feature = "websocket")]
    websocket_path: Option<String>,
}

impl fmt::Debug for ListenerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerOptions")
            .field("container_id", &self.container_id)
            .field("limits", &self.limits)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl ListenerOptions {
    /// Takes nobody until an authenticator is set.
    pub fn new(container_id: impl Into<String>) -> Self {
        Self {
            container_id: container_id.into(),
            properties: Fields::default(),
            offered_capabilities: Vec::new(),
            limits: Limits::default(),
            authenticator: Arc::new(StaticCredentials::default()),
            tls: None,
            salt_secret: random().unwrap_or_default(),
            frame_log: None,
            takeovers: Arc::default(),
            link_scope: LinkScope::default(),
            #[cfg(feature = "websocket")]
            websocket_path: None,
        }
    }

    /// A connection property to tell clients, such as `product`.
    pub fn property(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Ok(name) = Symbol::try_from(name) {
            self.properties.insert(name, value.into());
        }
        self
    }

    /// An extension that is offered.
    pub fn offered_capability(mut self, capability: &'static str) -> Self {
        self.offered_capabilities.push(Symbol::from_static(capability));
        self
    }

    /// Limits and time-outs of each connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Who may come in.
    pub fn authenticator(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.authenticator = authenticator;
        self
    }

    /// Expects TLS, with this certificate and key, before anything else. It is set up once, at the first connection.
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(ServerTls::new(tls));
        self
    }

    /// The path at which [`Self::accept_websocket`] speaks AMQP, such as `/amqp`; at any, if not set.
    #[cfg(feature = "websocket")]
    pub fn websocket_path(mut self, path: impl Into<String>) -> Self {
        self.websocket_path = Some(path.into());
        self
    }

    /// Where to log each frame of each connection, in place of what `AMQP_LOG` says.
    pub fn frame_log(mut self, log: FrameLog) -> Self {
        self.frame_log = Some(log);
        self
    }

    /// What the salts are made of that SCRAM clients with unknown user names are told. Drawn by lot if not set; who sets
    /// it keeps these salts over a restart, so that not even that tells which users exist.
    pub const fn salt_secret(mut self, secret: [u8; 32]) -> Self {
        self.salt_secret = secret;
        self
    }

    /// Whether a link that is attached again under its name takes the first one over (the default, as §2.6.1 has it).
    pub const fn link_scope(mut self, scope: LinkScope) -> Self {
        self.link_scope = scope;
        self
    }

    /// Takes a connection: TLS if set, protocol headers, SASL, open.
    ///
    /// Dropping the future drops the connection.
    ///
    /// # Errors
    /// See [`AcceptError`]; all of it together may take [`Limits::handshake`].
    pub async fn accept<T>(&self, stream: T) -> Result<Incoming, AcceptError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Whoever awaits this goes on for as long as the connection: what the handshake needs is not kept so long.
        Box::pin(self.accept_plain_or_tls(stream)).await
    }

    async fn accept_plain_or_tls<T>(&self, stream: T) -> Result<Incoming, AcceptError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let started = now();
        let Some(tls) = &self.tls else { return self.accept_over(stream, None, started).await };
        let (stream, certificate) = self.accept_tls(tls, stream, started).await?;
        self.accept_over(stream, certificate, started).await
    }

    /// Takes a connection of a client that speaks AMQP over WebSocket: TLS if set, the HTTP request, and from there on as
    /// [`Self::accept`]. The client has to ask for the subprotocol `amqp`, or `AMQPWSB10`, the name it had in drafts; and
    /// for [`Self::websocket_path`], if that is set.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use amqp_transport::ListenerOptions;
    /// let options = ListenerOptions::new("gate").websocket_path("/amqp");
    /// let socket = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// let incoming = options.accept_websocket(socket.accept().await?.0).await?;
    /// # drop(incoming);
    /// # Ok(()) }
    /// ```
    ///
    /// Dropping the future drops the connection.
    ///
    /// # Errors
    /// See [`AcceptError`]; all of it together may take [`Limits::handshake`].
    #[cfg(feature = "websocket")]
    pub async fn accept_websocket<T>(&self, stream: T) -> Result<Incoming, AcceptError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let started = now();
        match &self.tls {
            None => self.accept_websocket_over(stream, None, started).await,
            Some(tls) => {
                let (stream, certificate) = self.accept_tls(tls, stream, started).await?;
                self.accept_websocket_over(stream, certificate, started).await
            }
        }
    }

    #[cfg(feature = "websocket")]
    async fn accept_websocket_over<T>(
        &self,
        stream: T,
        certificate: Option<ClientCertificate>,
        started: Instant,
    ) -> Result<Incoming, AcceptError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = websocket::accept(stream, self.websocket_path.as_deref(), &self.limits);
        let accepted = self.in_time(started, "asking for a WebSocket", handshake).await?;
        self.accept_over(accepted.map_err(AcceptError::WebSocket)?, certificate, started).await
    }

    /// What one step towards a connection gives, while there is time left.
    async fn in_time<R>(
        &self,
        started: Instant,
        step: &'static str,
        deed: impl Future<Output = R>,
    ) -> Result<R, AcceptError> {
        let left = self.limits.handshake.saturating_sub(started.elapsed());
        tokio::time::timeout(left, deed).await.map_err(|_| ConnectionError::Timeout(step).into())
    }

    async fn accept_tls<T>(
        &self,
        tls: &ServerTls,
        stream: T,
        started: Instant,
    ) -> Result<(TlsStream<T>, Option<ClientCertificate>), AcceptError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = TlsAcceptor::from(tls.config()?).accept(stream);
        let accepted = self.in_time(started, "shaking hands over TLS", handshake).await?;
        let stream = accepted.map_err(|error| AcceptError::Handshake(error.to_string()))?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.map(|der| ClientCertificate::new(der.to_vec()));
        Ok((stream, certificate))
    }

    async fn accept_over<T>(
        &self,
        stream: T,
        certificate: Option<ClientCertificate>,
        started: Instant,
    ) -> Result<Incoming, AcceptError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut open = Open::new(self.container_id.clone());
        open.properties = (!self.properties.is_empty()).then(|| self.properties.clone());
        open.offered_capabilities.clone_from(&self.offered_capabilities);
        let side = Side::Listener(Arc::clone(&self.authenticator));
        let mut engine = Engine::new(side, open, self.limits.clone(), started)
            .with_frame_log(frame_log(self.frame_log.as_ref(), "listener"))
            .with_salt_secret(self.salt_secret);
        if let Some(random) = random() {
            engine = engine.with_nonce(Nonce::new(&random));
        }
        if let Some(certificate) = certificate.clone() {
            engine = engine.with_client_certificate(certificate);
        }
        let span = tracing::info_span!("connection", side = "listener", container = tracing::field::Empty);
        let handle = ConnectionHandle::start(engine, stream, span);
        let (peer, identity) = handle
            .shared
            .wait(&handle.shared.changed, |state| match (state.engine.end(), state.engine.peer()) {
                (Some(error @ ConnectionError::Violation(_)), _) => Some(Err(error.clone())),
                // It may have said all that it wants and gone: that is there to be taken.
                (_, Some(peer)) => Some(Ok((Arc::clone(peer), state.engine.identity().clone()))),
                (Some(error), None) => Some(Err(error.clone())),
                (None, None) => None,
            })
            .await?;
        handle.opened(&peer);
        Ok(Incoming {
            connection: Connection { handle, peer },
            identity,
            certificate,
            takeovers: (self.link_scope == LinkScope::Containers).then(|| Arc::clone(&self.takeovers)),
        })
    }
}

/// A connection that was taken. Sessions begin by themselves; links are asked for.
#[derive(Debug)]
pub struct Incoming {
    connection: Connection,
    identity: Identity,
    certificate: Option<ClientCertificate>,
    takeovers: Option<Arc<Takeovers>>,
}

impl Incoming {
    /// The connection, to look at the peer, to close it, or to wait for its end.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Who the client is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The TLS certificate that the client showed, if it was asked for one ([`TlsOptions::client_ca_pem`]) and had one.
    /// It is verified; whether its user may come in is what [`Authenticator::external`] says.
    #[must_use]
    pub const fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_ref()
    }

    /// The next link that the peer asks for; `None` once the connection has ended. Cancel-safe.
    pub async fn next_link(&self) -> Option<LinkRequest> {
        let shared = &self.connection.handle.shared;
        let (key, session, attach) = shared
            .wait(&shared.requested, |state| {
                while let Some(key) = state.next_request() {
                    // One that was taken back meanwhile is nobody's any more.
                    if let Some(session) = state.engine.session_of(key)
                        && let Some(attach) = state.engine.keep_remote_attach(key)
                    {
                        return Some(Some((key, session, attach)));
                    }
                    state.forget_link(key);
                }
                state.engine.end().map(|_| None)
            })
            .await?;
        let session = SessionHandle::accepted(&self.connection, session);
        let (registrar, identity) = (self.takeovers.clone(), self.identity.clone());
        let container = self.connection.peer.container_id.to_string();
        let abort_policy = AbortPolicy::Detach;
        Some(LinkRequest { session, key, attach: Some(attach), registrar, identity, container, abort_policy })
    }
}

/// How far the name of a link reaches at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LinkScope {
    /// Over all connections of the same user and container-id: who attaches a link again takes it over, and the first one
    /// is detached with `amqp:link:stolen` (§2.6.1; the default).
    #[default]
    Containers,
    /// No further than its session, as RabbitMQ 4 has it: links of one name live side by side.
    Session,
}

/// Tells the sessions of one connection apart while they live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(SessionKey);

/// A link that the peer asks for. Dropped without an answer, it is refused.
#[derive(Debug)]
#[must_use = "a request that is dropped is refused"]
pub struct LinkRequest {
    session: Arc<SessionHandle>,
    key: LinkKey,
    /// Gone once the request is answered.
    attach: Option<Arc<Attach>>,
    /// None if names of links mean nothing beyond their sessions.
    registrar: Option<Arc<Takeovers>>,
    identity: Identity,
    container: String,
    abort_policy: AbortPolicy,
}

impl LinkRequest {
    /// The peer's attach.
    #[must_use]
    pub fn attach(&self) -> Option<&Attach> {
        self.attach.as_deref()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.session.shared()
    }

    /// The session that the link is to be on.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        SessionId(self.session.key())
    }

    /// The peer's role: a sender wants this side to receive.
    #[must_use]
    pub fn role(&self) -> Role {
        self.attach.as_ref().map_or(Role::Sender, |attach| attach.role)
    }

    /// How a message is taken back that [`Sender::stream`](crate::Sender::stream) has sent a part of: as
    /// [`SenderOptions::abort_policy`](crate::SenderOptions::abort_policy), by default by closing the link.
    pub const fn abort_policy(mut self, policy: AbortPolicy) -> Self {
        self.abort_policy = policy;
        self
    }

    /// Accepts a peer that receives. `source` is what it really receives from.
    ///
    /// # Errors
    /// If the link or its session ended meanwhile; [`LinkError::OtherDirection`] if the peer wants it the other way round: then
    /// the link is refused.
    pub fn accept_as_sender(self, source: Source) -> Result<Sender, LinkError> {
        let termini = Termini { source: Some(source), target: None };
        Ok(Sender::new(self.accept(termini, Credit::Manual)?))
    }

    /// Accepts a peer that sends. `target` is where its messages really go.
    ///
    /// # Errors
    /// If the link or its session ended meanwhile; [`LinkError::OtherDirection`] if the peer wants it the other way round: then
    /// the link is refused.
    pub fn accept_as_receiver(self, target: Target, credit: Credit) -> Result<Receiver, LinkError> {
        let termini = Termini { source: None, target: Some(TargetArchetype::Target(target)) };
        Ok(Receiver::new(self.accept(termini, credit)?))
    }

    /// Accepts a peer that controls transactions (§4.2).
    pub(crate) fn accept_as_coordinator(
        self,
        coordinator: Coordinator,
        credit: Credit,
    ) -> Result<Receiver, LinkError> {
        let termini = Termini { source: None, target: Some(TargetArchetype::Coordinator(coordinator)) };
        Ok(Receiver::new(self.accept(termini, credit)?))
    }

    /// Accepts a peer that sends, and takes its messages in parts, with their first frames. `target` is where its messages
    /// really go.
    ///
    /// # Errors
    /// If the link or its session ended meanwhile; [`LinkError::OtherDirection`] if the peer wants it the other way round: then
    /// the link is refused.
    pub fn accept_as_stream_receiver(
        self,
        target: Target,
        credit: Credit,
    ) -> Result<StreamReceiver, LinkError> {
        let mut answer = LinkAnswer::default();
        answer.termini.target = Some(TargetArchetype::Target(target));
        (answer.credit, answer.streams) = (credit, true);
        Ok(StreamReceiver::new(self.accept_with(answer)?))
    }

    fn accept(self, termini: Termini, credit: Credit) -> Result<Arc<LinkHandle>, LinkError> {
        let mut answer = LinkAnswer::default();
        (answer.termini, answer.credit) = (termini, credit);
        self.accept_with(answer)
    }

    /// Accepts the link with all that can be said of it.
    pub(crate) fn accept_with(mut self, mut answer: LinkAnswer) -> Result<Arc<LinkHandle>, LinkError> {
        let own_role = if answer.termini.source.is_some() { Role::Sender } else { Role::Receiver };
        if self.role() == own_role {
            let text = "this node is not for links of this direction";
            self.refuse_with(ErrorInfo::new(conditions::NOT_ALLOWED, text));
            return Err(LinkError::OtherDirection);
        }
        let Some(attach) = self.attach.take() else { return Err(LinkError::DetachedLocally) };
        let registration = self.registrar.as_ref().map(|registrar| {
            let (registration, before) =
                registrar.take_over(&self.identity, &self.container, &attach.name, attach.role);
            if let Some(before) = before {
                before.shared().act(|state| state.engine.steal(before.key));
            }
            registration
        });
        answer.abort_policy = self.abort_policy;
        // Watched before it can change.
        let link = LinkHandle::accepted(Arc::clone(&self.session), self.key, attach, registration);
        link.shared().act(|state| state.engine.accept_with(self.key, answer))?;
        Ok(link)
    }

    /// Refuses the link and tells why.
    pub fn refuse(mut self, error: ErrorInfo) {
        self.refuse_with(error);
    }

    /// Refuses the link by ending the session that it is on, with all other links there. Some brokers do so; a
    /// listener that only means this link is better off with [`LinkRequest::refuse`].
    pub fn end_session(mut self, error: ErrorInfo) {
        if self.attach.take().is_some() {
            self.session.shared().act(|state| {
                state.engine.end_session(self.session.key(), Some(error));
                state.forget_link(self.key);
            });
        }
    }

    fn refuse_with(&mut self, error: ErrorInfo) {
        if self.attach.take().is_some() {
            self.session.shared().act(|state| {
                state.engine.refuse(self.key, error);
                state.forget_link(self.key);
            });
        }
    }
}

impl Drop for LinkRequest {
    fn drop(&mut self) {
        self.refuse_with(ErrorInfo::new(conditions::INTERNAL_ERROR, "the link was not answered"));
    }
}

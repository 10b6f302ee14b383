//! Sessions as users hold them.

use crate::connection::{Connection, ConnectionHandle};
use crate::engine::stats::{LinkStats, SessionStats};
use crate::engine::{LinkKey, LinkOptions, LinkStatus, SessionKey};
use crate::error::{LinkError, SessionError};
use crate::link_options::{ReceiverOptions, SenderOptions};
use crate::receiver::Receiver;
use crate::runtime::shared::Shared;
use crate::sender::Sender;
use crate::stream_receiver::StreamReceiver;
use crate::takeover::Registration;
use crate::transaction::Controller;
use amqp_codec::messaging::TargetArchetype;
use amqp_codec::transport::{Attach, ErrorInfo, Role};
use std::sync::Arc;
use tokio::sync::Notify;
use tracing::Span;

/// The capability of a peer that lets each message name its own address (Anonymous Terminus, §2.2).
const ANONYMOUS_RELAY: &str = "ANONYMOUS-RELAY";

/// What becomes of a session that the peer does not answer in time.
const NO_ANSWER: SessionError = SessionError::Timeout("beginning a session");

/// A session: windows and delivery-ids of its own (§2.5). Clones are the same session; it is ended when the last
/// clone and the last link on it is dropped, or by [`Session::end`].
#[derive(Debug, Clone)]
pub struct Session {
    pub(crate) handle: Arc<SessionHandle>,
    connection: Connection,
}

/// Keeps a session alive; the last one ends it.
#[derive(Debug)]
pub(crate) struct SessionHandle {
    /// Keeps the connection open.
    connection: Arc<ConnectionHandle>,
    key: SessionKey,
    changed: Arc<Notify>,
    /// Sessions that the peer began are its to end.
    is_owned: bool,
    /// What happens on the session belongs here.
    span: Span,
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        tracing::debug!(parent: &self.span, "session let go");
        if self.is_owned {
            self.shared().act(|state| state.forget_session(self.key));
        }
    }
}

impl SessionHandle {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.connection.shared
    }

    pub(crate) const fn key(&self) -> SessionKey {
        self.key
    }

    /// A session that the peer began.
    pub(crate) fn accepted(connection: &Connection, key: SessionKey) -> Arc<Self> {
        // Nobody waits for anything of such a session: its links tell their own end.
        let changed = Arc::default();
        Self::new(connection, key, changed, false)
    }

    fn new(connection: &Connection, key: SessionKey, changed: Arc<Notify>, is_owned: bool) -> Arc<Self> {
        let connection = Arc::clone(&connection.handle);
        let channel = || connection.shared.look(|state| state.engine.channel(key));
        let span = tracing::debug_span!(parent: &connection.span, "session", channel = channel());
        Arc::new(Self { connection, key, changed, is_owned, span })
    }
}

impl Session {
    pub(crate) async fn begin(connection: &Connection) -> Result<Self, SessionError> {
        let session = Self::begin_unanswered(connection)?;
        let SessionHandle { key, changed, .. } = &*session.handle;
        let shared = session.handle.shared();
        shared
            .wait_for_answer(changed, |state| match state.engine.check_session(*key) {
                Ok(true) => Some(Ok(())),
                Ok(false) => None,
                Err(error) => Some(Err(error)),
            })
            .await
            .unwrap_or(Err(NO_ANSWER))?;
        tracing::debug!(parent: &session.handle.span, "session begun");
        Ok(session)
    }

    /// Begins a session without waiting for the peer: one link may be attached meanwhile, which saves a round trip
    /// (§2.4.5). Its answer tells of the session as well.
    pub(crate) fn begin_unanswered(connection: &Connection) -> Result<Self, SessionError> {
        let shared = &connection.handle.shared;
        let (key, changed) = shared.act(|state| {
            let key = state.engine.begin()?;
            Ok::<_, SessionError>((key, state.watch_session(key)))
        })?;
        let handle = SessionHandle::new(connection, key, changed, true);
        Ok(Self { handle, connection: connection.clone() })
    }

    /// Another handle of a session of this connection.
    pub(crate) fn of(connection: &Connection, handle: Arc<SessionHandle>) -> Self {
        Self { handle, connection: connection.clone() }
    }

    /// Whether neither side has ended it.
    pub(crate) fn is_mapped(&self) -> bool {
        self.handle.shared().look(|state| state.engine.check_session(self.handle.key) == Ok(true))
    }

    /// The connection that the session is on.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Attaches a link to send on. Dropping the future detaches it again.
    ///
    /// # Errors
    /// [`LinkError::Refused`] with the peer's reason (some peers end the whole session instead),
    /// [`LinkError::TooMany`] if all handles that the peer allows are in use, [`LinkError::Timeout`] if the peer has not
    /// answered within [`Limits::answer`](crate::Limits::answer).
    pub async fn sender(&self, options: SenderOptions) -> Result<Sender, LinkError> {
        Ok(Sender::new(self.attach(options.into_link()).await?))
    }

    /// Attaches a link to receive on. Dropping the future detaches it again.
    ///
    /// # Errors
    /// As [`Session::sender`].
    pub async fn receiver(&self, options: ReceiverOptions) -> Result<Receiver, LinkError> {
        Ok(Receiver::new(self.attach(options.into_link()).await?))
    }

    /// Attaches a link to receive messages in parts on, which may be larger than memory. Dropping the future detaches it
    /// again.
    ///
    /// # Errors
    /// As [`Session::sender`].
    pub async fn stream_receiver(&self, options: ReceiverOptions) -> Result<StreamReceiver, LinkError> {
        Ok(StreamReceiver::new(self.attach(options.into_stream_link()).await?))
    }

    pub(crate) async fn attach(&self, options: LinkOptions) -> Result<Arc<LinkHandle>, LinkError> {
        match self.attach_or_end(options).await? {
            (link, None) => Ok(link),
            (_, Some(error)) => Err(error),
        }
    }

    /// Attaches a link, and why it is over already, if it is. It may have been attached before that: then what came of it is
    /// still to be had from the engine as long as the handle lives.
    pub(crate) async fn attach_or_end(
        &self,
        options: LinkOptions,
    ) -> Result<(Arc<LinkHandle>, Option<LinkError>), LinkError> {
        self.check_offered(&options)?;
        let shared = self.handle.shared();
        let name = options.name.to_string();
        let address = match (options.role, &options.termini.source, &options.termini.target) {
            (Role::Receiver, Some(source), _) => source.address.as_deref(),
            (Role::Sender, _, Some(TargetArchetype::Target(target))) => target.address.as_deref(),
            _ => None,
        };
        let span = link_span(&self.handle, &name, options.role, address);
        let (key, changed) = shared.act(|state| {
            let key = state.engine.attach(self.handle.key, options)?;
            Ok::<_, LinkError>((key, state.watch_link(key)))
        })?;
        // From here on the link is detached if this future is dropped.
        let mut link = LinkHandle {
            session: Arc::clone(&self.handle),
            key,
            changed,
            name,
            remote_attach: None,
            registration: None,
            span,
        };
        let attached = shared
            .wait_for_answer(&link.changed, |state| match state.engine.link_status(key) {
                LinkStatus::Pending => None,
                LinkStatus::Attached => Some(Ok(state.engine.keep_remote_attach(key))),
                LinkStatus::Ended(error) => Some(Err(error)),
            })
            .await
            .unwrap_or_else(|| Err(self.not_attached(key)));
        match &attached {
            Ok(_) => tracing::debug!(parent: &link.span, "link attached"),
            Err(error) => tracing::debug!(parent: &link.span, %error, "link not attached"),
        }
        match attached {
            Ok(remote) => {
                link.remote_attach = remote;
                Ok((Arc::new(link), None))
            }
            Err(error) => Ok((Arc::new(link), Some(error))),
        }
    }

    /// Why a link is not attached although the peer had time enough. One that answered without its terminus refuses, and
    /// owes no more than the reason (§2.6.3).
    fn not_attached(&self, key: LinkKey) -> LinkError {
        let is_refused = self.handle.shared().look(|state| state.engine.remote_attach(key).is_some());
        match is_refused {
            true => LinkError::Refused(None),
            false if self.is_mapped() => LinkError::Timeout("attaching a link"),
            false => NO_ANSWER.into(),
        }
    }

    /// Attaches a link to the coordinator of transactions (§4.2). Dropping the future detaches it again.
    ///
    /// # Errors
    /// As [`Session::sender`]; [`LinkError::Refused`] with `amqp:not-implemented` from a peer without transactions.
    pub async fn controller(&self) -> Result<Controller, LinkError> {
        Controller::attach(self).await
    }

    /// What the session carried so far, and what it holds now; all zero once it has ended on both sides.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        self.handle.shared().look(|state| state.engine.session_stats(self.handle.key))
    }

    /// Sending without an address needs a peer that reads each message's own (anonymous terminus, §2.1).
    fn check_offered(&self, options: &LinkOptions) -> Result<(), LinkError> {
        let is_anonymous = options.role == Role::Sender
            && options
                .termini
                .target
                .as_ref()
                .and_then(TargetArchetype::target)
                .is_some_and(|target| target.address.is_none() && !target.dynamic);
        if is_anonymous && !self.connection.peer().offers(ANONYMOUS_RELAY) {
            return Err(LinkError::NotOffered(ANONYMOUS_RELAY));
        }
        Ok(())
    }

    /// Ends the session with all its links and waits until the peer has answered, at most
    /// [`Limits::close`](crate::Limits::close). Dropping the future does not stop the ending.
    pub async fn end(&self) {
        let shared = self.handle.shared();
        let key = self.handle.key;
        shared.act(|state| state.engine.end_session(key, None));
        let patience = shared.look(|state| state.engine.limits().close);
        let answered =
            shared.wait(&self.handle.changed, |state| state.engine.is_session_unmapped(key).then_some(()));
        if tokio::time::timeout(patience, answered).await.is_err() {
            tracing::debug!("the peer did not answer the end of a session in time");
        }
    }

    /// Waits until the session ends, and tells why.
    pub async fn ended(&self) -> SessionError {
        let key = self.handle.key;
        self.handle.shared().wait(&self.handle.changed, |state| state.engine.check_session(key).err()).await
    }
}

/// Keeps a link attached; the last one, be it a sender, a receiver or a delivery, closes it.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    /// Keeps the session alive.
    session: Arc<SessionHandle>,
    pub(crate) key: LinkKey,
    pub(crate) changed: Arc<Notify>,
    pub(crate) name: String,
    pub(crate) remote_attach: Option<Arc<Attach>>,
    /// At a listener: the place from which the link is taken over if the peer attaches it again.
    registration: Option<Registration>,
    /// What happens on the link belongs here.
    span: Span,
}

/// The span of a link, which shows the address of the broker's side of it.
fn link_span(session: &SessionHandle, name: &str, role: Role, address: Option<&str>) -> Span {
    tracing::debug_span!(parent: &session.span, "link", name, ?role, address)
}

impl Drop for LinkHandle {
    fn drop(&mut self) {
        tracing::debug!(parent: &self.span, stats = ?self.stats(), "link let go");
        self.shared().act(|state| state.forget_link(self.key));
    }
}

impl LinkHandle {
    /// A link that the peer asked for and that was accepted.
    pub(crate) fn accepted(
        session: Arc<SessionHandle>,
        key: LinkKey,
        attach: Arc<Attach>,
        registration: Option<Registration>,
    ) -> Arc<Self> {
        let changed = session.shared().look(|state| state.watch_link(key));
        let name = attach.name.to_string();
        // Our role is the other one, and the terminus that matters is our own.
        let (role, address) = match (attach.role, &attach.source, &attach.target) {
            (Role::Sender, _, Some(TargetArchetype::Target(target))) => (Role::Receiver, &target.address),
            (Role::Sender, ..) => (Role::Receiver, &None),
            (Role::Receiver, Some(source), _) => (Role::Sender, &source.address),
            (Role::Receiver, ..) => (Role::Sender, &None),
        };
        let span = link_span(&session, &name, role, address.as_deref());
        tracing::debug!(parent: &span, "link accepted");
        let link =
            Arc::new(Self { session, key, changed, name, remote_attach: Some(attach), registration, span });
        if let Some(registration) = &link.registration {
            registration.hold(&link);
        }
        link
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.session.shared()
    }

    /// Whether both links are on one connection, and on one session.
    pub(crate) fn shares(&self, other: &Self) -> (bool, bool) {
        let on_one_connection = Arc::ptr_eq(self.shared(), other.shared());
        (on_one_connection, on_one_connection && self.session.key == other.session.key)
    }

    pub(crate) fn stats(&self) -> LinkStats {
        self.shared().look(|state| state.engine.link_stats(self.key))
    }

    /// Why the link ended, if it has.
    pub(crate) fn end(&self) -> Option<LinkError> {
        self.shared().look(|state| match state.engine.link_status(self.key) {
            LinkStatus::Ended(error) => Some(error),
            _ => None,
        })
    }

    pub(crate) async fn detached(&self) -> LinkError {
        self.shared()
            .wait(&self.changed, |state| match state.engine.link_status(self.key) {
                LinkStatus::Ended(error) => Some(error),
                _ => None,
            })
            .await
    }

    /// Detaches and waits for the peer's answer.
    pub(crate) async fn detach(&self, closed: bool, error: Option<ErrorInfo>) -> Result<(), LinkError> {
        let shared = self.shared();
        shared.act(|state| state.engine.detach(self.key, closed, error));
        let patience = shared.look(|state| state.engine.limits().close);
        let answered =
            shared.wait(&self.changed, |state| state.engine.is_link_detached(self.key).then_some(()));
        if tokio::time::timeout(patience, answered).await.is_err() {
            tracing::debug!(link = self.name, "the peer did not answer a detach in time");
        }
        match self.end() {
            Some(LinkError::DetachedLocally) | None => Ok(()),
            Some(error) => Err(error),
        }
    }
}

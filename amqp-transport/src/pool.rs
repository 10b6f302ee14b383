//! Links spread over sessions: a caller asks the connection for a link, and a session with a free handle is found or
//! begun.
//!
//! Some brokers end the whole session over one link that they refuse, and every link on it with it. So a link gets a
//! session of its own for as long as there are channels to spare: three quarters of what both sides allow. After that
//! sessions are shared, and a link is first attached alone, on a session that is ended right away, before it may join
//! others: who is refused there has no neighbours. A peer that was seen to refuse a link by detaching it, as the
//! specification has it (§2.6.3), is spared that.

use crate::connection::Connection;
use crate::engine::credit::Credit;
use crate::engine::{LinkOptions, SessionRoom};
use crate::error::{LinkError, SessionError};
use crate::link_options::{ReceiverOptions, SenderOptions};
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::session::{LinkHandle, Session, SessionHandle};
use crate::stream_receiver::StreamReceiver;
use amqp_codec::messaging::TargetArchetype;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Notify, Semaphore};

/// Links tried alone at the same time: enough to hide a slow network, few enough to leave channels to others.
const TRIALS: usize = 8;

/// The sessions of one connection that links are spread over.
#[derive(Debug)]
pub(crate) struct Pool {
    places: Mutex<Places>,
    trials: Semaphore,
    /// A session that was being begun holds its link, or is not to be.
    settled: Notify,
}

#[derive(Debug, Default)]
struct Places {
    /// Sessions that hold a link that was attached; they end with their last link.
    sessions: Vec<Weak<SessionHandle>>,
    /// Links that are about to get a session of their own, or are tried alone.
    beginning: usize,
    refusals: Refusals,
}

/// What the peer was seen to do to a session when it refused a link on it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Refusals {
    #[default]
    Unknown,
    DetachTheLink,
    EndTheSession,
}

/// Where a link is to go.
enum Place<'a> {
    /// On a session of its own.
    Fresh(Beginning<'a>),
    /// On one that holds others.
    Shared(Session),
}

impl Default for Pool {
    fn default() -> Self {
        Self { places: Mutex::default(), trials: Semaphore::new(TRIALS), settled: Notify::new() }
    }
}

impl Connection {
    /// Attaches a link to send on, on a session that is found or begun for it: one to itself while channels last,
    /// later one with a free handle. The session ends with its last link. Dropping the future detaches the link again.
    ///
    /// Links that belong together, such as a pair for requests and responses, want one [`Connection::session`] of
    /// their own. About a quarter of the channels is left for those until every handle elsewhere is in use.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use amqp_transport::{Connection, SenderOptions};
    /// let connection = Connection::connect("amqp://guest:guest@127.0.0.1").await?;
    /// let mut senders = Vec::new();
    /// for n in 0..300 {
    ///     senders.push(connection.sender(SenderOptions::new(format!("/queues/q{n}"))).await?);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`LinkError::Refused`], or [`LinkError::Session`] where the peer ended the session over it, with the peer's
    /// reason; [`SessionError::TooMany`] in it if every handle of every session is in use.
    pub async fn sender(&self, options: SenderOptions) -> Result<Sender, LinkError> {
        Ok(Sender::new(attach(self, options.into_link()).await?))
    }

    /// Attaches a link to receive on, as [`Connection::sender`] does.
    ///
    /// # Errors
    /// As [`Connection::sender`].
    pub async fn receiver(&self, options: ReceiverOptions) -> Result<Receiver, LinkError> {
        Ok(Receiver::new(attach(self, options.into_link()).await?))
    }

    /// Attaches a link to receive messages in parts on, with a session of its own: a message that nobody reads holds no
    /// other link up.
    ///
    /// # Errors
    /// As [`Connection::sender`]; [`SessionError::TooMany`] if all sessions are in use.
    pub async fn stream_receiver(&self, options: ReceiverOptions) -> Result<StreamReceiver, LinkError> {
        self.session().await?.stream_receiver(options).await
    }
}

async fn attach(connection: &Connection, options: LinkOptions) -> Result<Arc<LinkHandle>, LinkError> {
    let pool = &connection.handle.pool;
    let mut may_share = true;
    let mut was_tried = is_dynamic(&options);
    loop {
        match pool.place(connection, may_share) {
            Place::Fresh(beginning) => {
                if let Some(session) = begin(connection).await? {
                    let link = session.attach(options).await;
                    pool.learn(&session, link.as_ref().err(), connection);
                    if link.is_ok() {
                        pool.lock().sessions.push(Arc::downgrade(&session.handle));
                    }
                    return link;
                }
                drop(beginning);
                // Every channel is in use: what is left is to share, perhaps what another is beginning.
                if !pool.will_have_room(connection).await {
                    return Err(connection.too_many_sessions().into());
                }
                (may_share, was_tried) = (true, true);
            }
            Place::Shared(_) if !was_tried && pool.refusals() != Refusals::DetachTheLink => {
                try_alone(connection, options.clone()).await?;
                was_tried = true;
            }
            Place::Shared(session) => match session.attach(options.clone()).await {
                // Another was faster.
                Err(LinkError::TooMany(_)) => {}
                Err(LinkError::Session(error)) if !connection.is_closed() && may_share => {
                    // Over this link, or over another that was being attached? Alone it will show.
                    tracing::debug!(link = %options.name, %error, "a shared session ended; the link is tried alone");
                    pool.lock().refusals = Refusals::EndTheSession;
                    may_share = false;
                }
                attached => {
                    pool.learn(&session, attached.as_ref().err(), connection);
                    return attached;
                }
            },
        }
    }
}

/// A node that is made for the link would be made twice by a trial.
fn is_dynamic(options: &LinkOptions) -> bool {
    options.termini.source.as_ref().is_some_and(|source| source.dynamic)
        || matches!(&options.termini.target, Some(TargetArchetype::Target(target)) if target.dynamic)
}

/// Attaches the link on a session of its own and ends that. Without a free channel it is not tried.
async fn try_alone(connection: &Connection, mut options: LinkOptions) -> Result<(), LinkError> {
    let pool = &connection.handle.pool;
    let _trial = pool.trials.acquire().await;
    if pool.refusals() == Refusals::DetachTheLink {
        return Ok(());
    }
    // Nothing is to arrive there.
    options.credit = Credit::Manual;
    let _beginning = pool.beginning();
    let Some(session) = begin(connection).await? else { return Ok(()) };
    let tried = session.attach(options).await;
    pool.learn(&session, tried.as_ref().err(), connection);
    session.end().await;
    tried.map(|_| ())
}

/// Begins a session for one link, whose attach need not wait for the peer's answer; `None` if all channels are in use and
/// none is about to become free.
async fn begin(connection: &Connection) -> Result<Option<Session>, SessionError> {
    let shared = &connection.handle.shared;
    loop {
        match Session::begin_unanswered(connection) {
            Err(SessionError::TooMany(_)) => {}
            begun => return begun.map(Some),
        }
        let is_free = shared
            .wait_for_answer(&shared.changed, |state| match state.engine.room_for_session() {
                SessionRoom::Free => Some(true),
                SessionRoom::Full => Some(false),
                SessionRoom::Ending if state.engine.end().is_some() => Some(true),
                SessionRoom::Ending => None,
            })
            .await;
        // An end that is never answered frees no channel.
        if is_free != Some(true) {
            return Ok(None);
        }
    }
}

impl Connection {
    fn too_many_sessions(&self) -> SessionError {
        SessionError::TooMany(self.handle.shared.look(|state| state.engine.max_sessions()))
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusals(&self) -> Refusals {
        self.lock().refusals
    }

    fn place(&self, connection: &Connection, may_share: bool) -> Place<'_> {
        let total = connection.handle.shared.look(|state| state.engine.max_sessions());
        let own = usize::try_from(total - total / 4).unwrap_or(usize::MAX);
        {
            let mut places = self.lock();
            places.sessions.retain(|session| session.strong_count() > 0);
            if !may_share || places.sessions.len() + places.beginning < own {
                places.beginning += 1;
                return Place::Fresh(Beginning(self));
            }
        }
        if let Some(session) = self.roomiest(connection) {
            return Place::Shared(session);
        }
        Place::Fresh(self.beginning())
    }

    fn beginning(&self) -> Beginning<'_> {
        self.lock().beginning += 1;
        Beginning(self)
    }

    /// Whether there is a free handle, now or once what others are beginning has come about.
    async fn will_have_room(&self, connection: &Connection) -> bool {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            // Registered before looking: what happens in between is not missed.
            settled.as_mut().enable();
            if self.roomiest(connection).is_some() {
                return true;
            }
            if self.lock().beginning == 0 {
                return false;
            }
            settled.await;
        }
    }

    /// The session with the most free handles, if there is one with any.
    fn roomiest(&self, connection: &Connection) -> Option<Session> {
        let sessions: Vec<_> = self.lock().sessions.iter().filter_map(Weak::upgrade).collect();
        let roomiest = connection.handle.shared.look(|state| {
            let room = |handle: &Arc<SessionHandle>| state.engine.room_for_links(handle.key());
            let best = sessions.iter().max_by_key(|handle| room(handle))?;
            (room(best) > 0).then(|| Arc::clone(best))
        });
        // Those not chosen are let go here: dropping the last handle of a session takes the connection's lock.
        drop(sessions);
        Some(Session::of(connection, roomiest?))
    }

    /// Remembers what the refusal of a link did to its session.
    fn learn(&self, session: &Session, refusal: Option<&LinkError>, connection: &Connection) {
        let refusals = match refusal {
            Some(LinkError::Session(SessionError::EndedByPeer(_))) => Refusals::EndTheSession,
            Some(LinkError::Refused(_) | LinkError::DetachedByPeer(_))
                if !connection.is_closed() && session.is_mapped() =>
            {
                Refusals::DetachTheLink
            }
            _ => return,
        };
        let mut places = self.lock();
        // One session lost over a link is one too many.
        if places.refusals != Refusals::EndTheSession {
            places.refusals = refusals;
        }
    }
}

/// Counts a session that is being begun; given back on every way out.
struct Beginning<'a>(&'a Pool);

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        let mut places = self.0.lock();
        places.beginning = places.beginning.saturating_sub(1);
        drop(places);
        self.0.settled.notify_waiters();
    }
}

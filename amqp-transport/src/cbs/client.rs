//! The client: puts tokens, and renews them before they expire.

use super::token::{Token, TokenError, TokenProvider};
use super::{NODE, PUT_TOKEN};
use crate::connection::Connection;
use crate::management::{NodeManagement, Operation, Refusal, RequestError};
use crate::recovery::BackOff;
use crate::recovery::back_off::{Pauses, random_share};
use amqp_codec::types::{Timestamp, Value};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// A token is renewed when this share of its life is over, at the earliest.
const RENEW_FROM: f64 = 0.7;

/// Random part of it, so that not everybody renews at once.
const RENEW_WITHIN: f64 = 0.1;

/// Renewals are at least this far apart, however short a token's life.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Why a connection is not authorised.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CbsError {
    /// The provider gave no token.
    #[error("there is no token: {0}")]
    Provider(TokenError),
    /// The provider's token has expired already.
    #[error("the token has expired")]
    Expired,
    /// The peer could not be asked.
    #[error("the token was not put: {0}")]
    Request(#[from] RequestError),
    /// The peer does not take the token: 401 for a bad one, 404 for an entity that is not there.
    #[error("the token was refused: {0}")]
    Refused(#[from] Refusal),
}

impl CbsError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Provider(_) => true,
            Self::Expired => false,
            Self::Request(error) => error.is_retryable(),
            Self::Refused(refusal) => refusal.is_retryable(),
        }
    }
}

/// Puts tokens to the node `$cbs` of a connection's peer. Clones are the same; they keep the connection open.
#[derive(Clone)]
pub struct Cbs {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    node: NodeManagement,
    provider: Box<dyn TokenProvider>,
    /// Tokens are put one at a time.
    turn: Mutex<()>,
}

impl fmt::Debug for Cbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cbs").finish_non_exhaustive()
    }
}

impl Cbs {
    /// Puts tokens of this provider. Nothing is sent before the first one.
    #[must_use]
    pub fn new(connection: &Connection, provider: impl TokenProvider + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                connection: connection.clone(),
                node: NodeManagement::new(connection, NODE),
                provider: Box::new(provider),
                turn: Mutex::new(()),
            }),
        }
    }

    /// Puts a token for this audience, such as `sb://example.servicebus.windows.net/orders`, and renews it for as long as
    /// the answer is held. To be awaited before a link to the entity is attached.
    ///
    /// Dropping the future may leave a token put, which expires by itself.
    ///
    /// # Errors
    /// See [`CbsError`].
    pub async fn authorize(&self, audience: impl Into<String>) -> Result<Authorization, CbsError> {
        let audience = audience.into();
        let until = self.put_fresh(&audience).await?;
        let (tell, state) = watch::channel(AuthorizationState::Valid { until });
        let renewal = tokio::spawn(renew(self.clone(), audience, until, tell)).abort_handle();
        Ok(Authorization { state, renewal })
    }

    /// Puts one token for this audience, once.
    ///
    /// # Errors
    /// See [`CbsError`].
    pub async fn put_token(&self, audience: &str, token: &Token) -> Result<(), CbsError> {
        let mut request = Operation::new(PUT_TOKEN).kind(token.kind()).name(audience).body(token.text());
        let since_epoch = token.expires().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Ok(millis) = i64::try_from(since_epoch.as_millis()) {
            request = request.property("expiration", Value::Timestamp(Timestamp::from_millis(millis)));
        }
        let _turn = self.inner.turn.lock().await;
        self.inner.node.request(request).await?.success()?;
        Ok(())
    }

    /// Puts a new token, and says until when it is good by this machine's clock.
    async fn put_fresh(&self, audience: &str) -> Result<Instant, CbsError> {
        let token = self.inner.provider.token(audience).await.map_err(CbsError::Provider)?;
        let life = token.expires().duration_since(SystemTime::now()).map_err(|_| CbsError::Expired)?;
        let until = Instant::now().checked_add(life).ok_or(CbsError::Expired)?;
        self.put_token(audience, &token).await?;
        Ok(until)
    }
}

/// How an authorisation stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AuthorizationState {
    /// The peer has a token that is good.
    Valid {
        /// When it expires; it is renewed before.
        until: Instant,
    },
    /// A renewal failed, and is tried again until the token expires.
    Failing {
        /// When it expires.
        until: Instant,
        /// Why the last attempt failed.
        error: CbsError,
    },
    /// The token has expired, and could not be renewed: the peer detaches links. Authorise anew.
    Expired {
        /// Why the last attempt failed.
        error: CbsError,
    },
    /// The connection has ended, and its authorisation with it.
    Ended,
}

impl AuthorizationState {
    /// Whether the peer has a token that has not expired.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        matches!(self, Self::Valid { .. } | Self::Failing { .. })
    }
}

/// Keeps a token at the peer fresh until it is dropped, and the connection open.
#[derive(Debug)]
#[must_use = "the token is not renewed any more when this is dropped"]
pub struct Authorization {
    state: watch::Receiver<AuthorizationState>,
    renewal: AbortHandle,
}

impl Authorization {
    /// How it stands now.
    #[must_use]
    pub fn state(&self) -> AuthorizationState {
        self.state.borrow().clone()
    }

    /// Waits until it stands otherwise than when this was last called (or authorised), and tells how. It never resolves
    /// again after [`AuthorizationState::Expired`] or [`AuthorizationState::Ended`] was told. Cancel-safe.
    pub async fn changed(&mut self) -> AuthorizationState {
        if self.state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.state.borrow_and_update().clone()
    }
}

impl Drop for Authorization {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews a token before it expires, again and again, until the connection ends.
async fn renew(cbs: Cbs, audience: String, until: Instant, state: watch::Sender<AuthorizationState>) {
    tokio::select! {
        error = keep(&cbs, &audience, until, &state) => {
            tracing::warn!(audience, %error, "an authorisation has expired");
            state.send_replace(AuthorizationState::Expired { error });
        }
        _ = cbs.inner.connection.closed() => {
            state.send_replace(AuthorizationState::Ended);
        }
    }
}

/// Renews until a token has expired before there was another one; gives the reason.
async fn keep(
    cbs: &Cbs,
    audience: &str,
    mut until: Instant,
    state: &watch::Sender<AuthorizationState>,
) -> CbsError {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let share = RENEW_FROM + RENEW_WITHIN * random_share();
        tokio::time::sleep(left.mul_f64(share).max(LEAST_PAUSE)).await;
        let mut pauses = Pauses::new(BackOff::default());
        until = loop {
            // An attempt must not outlast the token.
            let error = match tokio::time::timeout_at(until, cbs.put_fresh(audience)).await {
                Ok(Ok(until)) => break until,
                Ok(Err(error)) => error,
                Err(_) => return last_error(state),
            };
            tracing::warn!(audience, %error, "a token was not renewed; it is tried again");
            state.send_replace(AuthorizationState::Failing { until, error: error.clone() });
            let again = Instant::now() + pauses.next(random_share());
            if again >= until {
                tokio::time::sleep_until(until).await;
                return error;
            }
            tokio::time::sleep_until(again).await;
        };
        tracing::debug!(audience, "a token was renewed");
        state.send_replace(AuthorizationState::Valid { until });
    }
}

/// Why the last attempt failed; the token expired during the first one if there is none.
fn last_error(state: &watch::Sender<AuthorizationState>) -> CbsError {
    match &*state.borrow() {
        AuthorizationState::Failing { error, .. } => error.clone(),
        _ => CbsError::Expired,
    }
}

//! Links that a peer sends to another node, or to another container (§2.8.18).

use super::builder::{Dialer, MayFollow};
use super::client::Core;
use super::error::Trouble;
use super::supervisor::{Dial, Dialed, Kept};
use crate::connection::Connection;
use crate::error::LinkError;
use crate::net::address::Address;
use crate::redirect::Redirect;
use amqp_codec::transport::conditions;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Where a link is to be attached instead.
#[derive(Debug)]
pub(super) struct Place {
    /// At which peer; none if it is the one that said so.
    pub(super) peer: Option<Address>,
    /// At which node; none if it is the one that was asked for.
    pub(super) node: Option<String>,
}

/// How redirects of links are followed.
pub(super) struct Elsewhere {
    dialer: Dialer,
    may_follow: Arc<MayFollow>,
    /// What is not said of another peer's address is as in this one.
    like: Address,
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elsewhere").field("like", &self.like).finish_non_exhaustive()
    }
}

impl Elsewhere {
    pub(super) const fn new(dialer: Dialer, may_follow: Arc<MayFollow>, like: Address) -> Self {
        Self { dialer, may_follow, like }
    }

    /// Where this error sends a link, if it does and that may be followed.
    pub(super) fn place(&self, error: &LinkError) -> Option<Place> {
        let (LinkError::Refused(Some(said)) | LinkError::DetachedByPeer(Some(said))) = error else {
            return None;
        };
        let redirect = Redirect::of(said).filter(|_| said.condition == conditions::LINK_REDIRECT)?;
        let port = redirect.port.unwrap_or_else(|| self.like.port());
        let peer = redirect.host().map(|host| self.like.clone().at(host, port));
        if peer.is_none() && redirect.address.is_none() {
            tracing::debug!("the redirect of a link names neither a host nor an address");
            return None;
        }
        let at = peer.as_ref().unwrap_or(&self.like);
        if !(self.may_follow)(at.host(), at.port()) {
            tracing::debug!(%at, "the redirect of a link is not followed: it leads where this client may not go");
            return None;
        }
        Some(Place { peer, node: redirect.address })
    }

    /// Connects to another peer, for one link.
    pub(super) async fn connect(&self, address: Address, core: &Arc<Core>) -> Result<Away, Trouble> {
        let shown = address.to_string();
        tracing::info!(address = %shown, "a link is redirected");
        let Dialed { connection, kept } = self.dialer.clone().dial(address).await?;
        let (core, watched) = (Arc::clone(core), connection.clone());
        let (in_use, given_up) = oneshot::channel();
        tokio::spawn(async move {
            tokio::select! {
                _ = core.ended() => {}
                _ = given_up => {}
                _ = watched.closed() => return,
            }
            // What its link left with the application may hold the connection beyond its use.
            if let Err(error) = watched.close().await {
                tracing::debug!(%error, "the connection of a link had ended before it was closed");
            }
        });
        Ok(Away { connection, _kept: kept, _in_use: in_use })
    }
}

/// A connection that one link has to itself. It is closed when this is dropped, or with its client.
pub(super) struct Away {
    pub(super) connection: Connection,
    _kept: Kept,
    _in_use: oneshot::Sender<Infallible>,
}

impl fmt::Debug for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Away").field("connection", &self.connection).finish_non_exhaustive()
    }
}

//! The listener: who may connect, and the tasks that live as long as the broker.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use amqp_codec::ByteString;
use amqp_transport::{
    Identity, Incoming, LinkScope, Listener, ListenerLimits, ListenerOptions, StaticCredentials,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::address::check_queue_name;
use crate::limits::{Limits, QueueOptions};
use crate::management::NODE;
use crate::queue::QueueStats;
use crate::session;
use crate::store::{Declaration, Declared, Store};

/// What the broker calls itself, in the open's properties.
const PRODUCT: &str = "rr-jobs embedded broker";

/// What the broker can do, in the open.
const CAPABILITIES: [&str; 3] = ["ANONYMOUS-RELAY", "DELAYED_DELIVERY", "LINK_PAIR_V1_0"];

/// How a broker is set up. Made by [`Broker::builder`]; ends with [`start`](Self::start).
#[derive(Clone)]
#[must_use = "a broker does nothing until it is started"]
pub struct BrokerBuilder {
    listen: String,
    name: String,
    users: Vec<(String, String)>,
    anonymous: Option<bool>,
    allow_remote: bool,
    create_on_demand: bool,
    limits: Limits,
    queue_defaults: QueueOptions,
}

impl fmt::Debug for BrokerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerBuilder")
            .field("listen", &self.listen)
            .field("name", &self.name)
            .field("users", &self.users.len())
            .field("anonymous", &self.anonymous)
            .field("allow_remote", &self.allow_remote)
            .field("create_on_demand", &self.create_on_demand)
            .field("limits", &self.limits)
            .field("queue_defaults", &self.queue_defaults)
            .finish()
    }
}

impl BrokerBuilder {
    fn new() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            name: NODE.to_owned(),
            users: Vec::new(),
            anonymous: None,
            allow_remote: false,
            create_on_demand: true,
            limits: Limits::default(),
            queue_defaults: QueueOptions::default(),
        }
    }

    /// Address to listen on, `host:port`; port 0 takes a free one. Default `127.0.0.1:0`.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// The broker's container-id, by which it introduces itself. Default `embedded`.
    pub fn name(mut self, container_id: impl Into<String>) -> Self {
        self.name = container_id.into();
        self
    }

    /// Lets a user in by SASL PLAIN; may be called for several.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.push((name.into(), password.into()));
        self
    }

    /// Whether to let everybody in by SASL ANONYMOUS. Default: only if there are no users.
    pub fn anonymous(mut self, anonymous: bool) -> Self {
        self.anonymous = Some(anonymous);
        self
    }

    /// Whether to listen where other machines can connect. The connection is not encrypted: passwords and messages can
    /// be read on the way. Default no.
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.allow_remote = allow;
        self
    }

    /// Whether a link to a queue that does not exist creates it. Default yes; otherwise such a link is refused with
    /// `amqp:not-found`, and queues are declared first.
    pub fn create_on_demand(mut self, create: bool) -> Self {
        self.create_on_demand = create;
        self
    }

    /// What the broker may hold.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How queues behave that were created on demand, and in what their declaration leaves out.
    pub fn queue_defaults(mut self, options: QueueOptions) -> Self {
        self.queue_defaults = options;
        self
    }

    /// Starts the broker in tasks of the present tokio runtime.
    ///
    /// Cancelled, it leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] if the address cannot be used or nobody could connect.
    pub async fn start(self) -> Result<Broker, BrokerError> {
        let anonymous = self.anonymous.unwrap_or(self.users.is_empty());
        if self.users.is_empty() && !anonymous {
            return Err(BrokerError::NobodyMayConnect);
        }
        let failed = |source| BrokerError::Listen { address: self.listen.clone(), source };
        let addresses: Vec<SocketAddr> = lookup_host(&self.listen).await.map_err(failed)?.collect();
        if let Some(remote) = addresses.iter().find(|address| !address.ip().is_loopback())
            && !self.allow_remote
        {
            return Err(BrokerError::NotLoopback(*remote));
        }
        let socket = TcpListener::bind(addresses.as_slice()).await.map_err(failed)?;
        let local_addr = socket.local_addr().map_err(failed)?;
        let mut places = ListenerLimits::default();
        places.connections = self.limits.max_connections;
        places.handshakes_per_peer = self.limits.max_handshakes_per_peer;
        let store = Arc::new(Store::new(&self.limits, self.queue_defaults.clone(), self.create_on_demand));
        let (stop, stopping) = watch::channel(false);
        let door = Door {
            options: self.listener_options(anonymous),
            store: Arc::clone(&store),
            limits: self.limits,
            stopping,
        };
        let listener = Listener::new(socket, door.options.clone()).limits(places);
        let task = tokio::spawn(door.clone().run(listener));
        tracing::info!(address = %local_addr, "embedded broker listens");
        Ok(Broker { store, local_addr, stop, task, door })
    }

    fn listener_options(&self, anonymous: bool) -> ListenerOptions {
        let mut limits = amqp_transport::Limits::default();
        limits.max_message_size = self.limits.max_message_size;
        let options = ListenerOptions::new(self.name.clone())
            .property("product", PRODUCT)
            .property("version", env!("CARGO_PKG_VERSION"))
            .limits(limits)
            // Clients of RabbitMQ 4 give pairs of links on different sessions one name.
            .link_scope(LinkScope::Session)
            .authenticator(Arc::new(StaticCredentials { anonymous, users: self.users.clone() }));
        CAPABILITIES.into_iter().fold(options, |options, capability| options.offered_capability(capability))
    }
}

/// A running broker. Dropped, it stops without waiting for anything; see [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Broker {
    store: Arc<Store>,
    local_addr: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    door: Door,
}

impl Broker {
    /// A broker to be set up.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::new()
    }

    /// Where clients of this machine connect, as an address without credentials: `amqp://127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        let ip = match self.local_addr.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        format!("amqp://{}", SocketAddr::new(ip, self.local_addr.port()))
    }

    /// The address that it listens on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The names of all queues, sorted.
    #[must_use]
    pub fn queues(&self) -> Vec<String> {
        self.store.names().iter().map(ToString::to_string).collect()
    }

    /// What is known about a queue; `None` if there is none of that name.
    #[must_use]
    pub fn queue_stats(&self, name: &str) -> Option<QueueStats> {
        self.store.stats(name)
    }

    /// Declares a queue; `Ok(true)` if it is new.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Queue`] if the name is not possible, if there are too many queues, or if the queue was declared
    /// before with other options.
    pub fn declare_queue(&self, name: &str, options: QueueOptions) -> Result<bool, BrokerError> {
        let refused = |reason: String| BrokerError::Queue { name: name.to_owned(), reason };
        check_queue_name(name).map_err(|error| refused(text_of(&error)))?;
        let declaration = Declaration { durable: true, ..Declaration::default() };
        match self.store.declare(&ByteString::from(name), options, declaration) {
            Ok(Declared::Created) => Ok(true),
            Ok(Declared::Unchanged) => Ok(false),
            Ok(Declared::Different) => Err(refused("it was declared before with other options".to_owned())),
            Err(error) => Err(refused(text_of(&error))),
        }
    }

    /// Removes the messages of a queue that no consumer has, delayed ones too, and says how many there were; `None` if
    /// there is no such queue.
    #[must_use]
    pub fn purge_queue(&self, name: &str) -> Option<u64> {
        self.store.purge(name)
    }

    /// Deletes a queue with its messages, and says how many of them were ready; `None` if there is no such queue. The
    /// links that consume from it or publish to it are closed with `amqp:resource-deleted`; the anonymous terminus stays.
    #[must_use]
    pub fn delete_queue(&self, name: &str) -> Option<u64> {
        self.store.delete(name)
    }

    /// Serves one client over a stream of the caller's, such as one in memory, as if it had connected to the broker's
    /// address; until it leaves or the broker stops. To be spawned, or waited for beside other things.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use amqp_broker::Broker;
    /// use amqp_transport::ConnectOptions;
    ///
    /// let broker = Broker::builder().start().await?;
    /// let (near, far) = tokio::io::duplex(64 * 1024);
    /// tokio::spawn(broker.serve(far));
    /// let connection = ConnectOptions::new("amqp://localhost".parse()?).connect_over(near).await?;
    /// connection.close().await?;
    /// broker.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It does not count among [`Limits::max_connections`] and [`Limits::max_handshakes_per_peer`]. Dropping the future drops the connection.
    pub fn serve<T>(&self, stream: T) -> impl Future<Output = ()> + Send + use<T>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.door.serve(stream)
    }

    /// Stops: takes no more connections, closes those there are and waits until they are closed. The messages are gone
    /// then.
    ///
    /// Cancelled, it goes on by itself.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "embedded broker did not stop in an orderly way");
        }
    }
}

/// Why a broker did not start, or did not do as it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Other machines could connect there, and that was not allowed.
    #[error(
        "{0} can be reached by other machines: listen on a loopback address, or allow remote connections"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// There are no users, and anonymous connections are off.
    #[error("nobody could connect: expected a user, or anonymous connections allowed")]
    NobodyMayConnect,
    /// A queue cannot be declared.
    #[error("queue {name}: {reason}")]
    Queue {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
}

/// Who comes in, and what is there for them.
#[derive(Clone, Debug)]
struct Door {
    options: ListenerOptions,
    store: Arc<Store>,
    limits: Limits,
    stopping: watch::Receiver<bool>,
}

impl Door {
    /// The task that takes connections, and owns them.
    async fn run(self, mut listener: Listener) {
        let mut stopping = self.stopping.clone();
        let mut connections = JoinSet::new();
        let timekeeper = tokio::spawn({
            let store = Arc::clone(&self.store);
            async move { store.keep_time().await }
        });
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => break,
                Some(_) = connections.join_next() => {}
                (incoming, peer) = listener.accept() => {
                    connections.spawn(self.clone().welcome(incoming, Some(peer)));
                }
            }
        }
        // And with it the handshakes that are under way.
        drop(listener);
        while connections.join_next().await.is_some() {}
        timekeeper.abort();
    }

    /// Serves one connection, from its first octet.
    fn serve<T>(&self, stream: T) -> impl Future<Output = ()> + Send + use<T>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (door, mut stopping) = (self.clone(), self.stopping.clone());
        async move {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                accepted = door.options.accept(stream) => accepted,
            };
            match accepted {
                Ok(incoming) => door.welcome(incoming, None).await,
                Err(error) => tracing::debug!(%error, "connection not opened"),
            }
        }
    }

    /// Serves a connection that is open.
    async fn welcome(self, incoming: Incoming, peer: Option<SocketAddr>) {
        let authenticated = matches!(incoming.identity(), Identity::User(_));
        tracing::debug!(?peer, authenticated, "connection open");
        session::serve(incoming, self.store, self.limits, self.stopping).await;
    }
}

/// Waits until the broker stops, or is dropped.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error says that the broker is gone, which is the same.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// The words of an error.
fn text_of(error: &amqp_codec::transport::ErrorInfo) -> String {
    error.description.as_ref().map_or_else(|| error.condition.to_string(), ToString::to_string)
}

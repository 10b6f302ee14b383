//! How a client is set up.

use super::client::Client;
use super::error::{ClientError, Trouble};
use super::supervisor::{Dial, Dialed, Kept};
use super::{BackOff, Patience, SendPolicy};
use crate::connection::{ConnectOptions, Connection};
use crate::engine::sasl::Sasl;
use crate::net::address::{Address, AddressError};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

type Configure = dyn Fn(ConnectOptions) -> ConnectOptions + Send + Sync;
type Provided = Pin<Box<dyn Future<Output = Result<Sasl, Arc<str>>> + Send>>;
type Provide = dyn Fn(Address) -> Provided + Send + Sync;
type Prepared = Pin<Box<dyn Future<Output = Result<Kept, Arc<str>>> + Send>>;
type Prepare = dyn Fn(Connection) -> Prepared + Send + Sync;
pub(super) type MayFollow = dyn Fn(&str, u16) -> bool + Send + Sync;

/// Sets a [`Client`] up. Only the addresses are needed.
#[must_use = "nothing happens before start or connect"]
pub struct ClientBuilder {
    pub(super) addresses: Vec<Address>,
    pub(super) dialer: Dialer,
    pub(super) back_off: BackOff,
    pub(super) patience: Patience,
    pub(super) send_policy: SendPolicy,
    pub(super) may_follow: Arc<MayFollow>,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("addresses", &self.addresses)
            .field("back_off", &self.back_off)
            .field("patience", &self.patience)
            .field("send_policy", &self.send_policy)
            .finish_non_exhaustive()
    }
}

/// Makes one attempt to connect.
#[derive(Clone)]
pub(super) struct Dialer {
    configure: Arc<Configure>,
    provide: Option<Arc<Provide>>,
    prepare: Option<Arc<Prepare>>,
}

impl ClientBuilder {
    pub(super) fn new<I>(addresses: I) -> Result<Self, AddressError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let addresses = addresses.into_iter().map(|address| address.as_ref().parse());
        Ok(Self {
            addresses: addresses.collect::<Result<_, _>>()?,
            dialer: Dialer { configure: Arc::new(|options| options), provide: None, prepare: None },
            back_off: BackOff::default(),
            patience: Patience::default(),
            send_policy: SendPolicy::default(),
            may_follow: Arc::new(|_, _| false),
        })
    }

    /// Changes the options of each connection: TLS, limits, the container's name. Called at each attempt.
    ///
    /// ```
    /// # fn run() -> Result<(), amqp_transport::AddressError> {
    /// use amqp_transport::recovery::Client;
    /// let client = Client::builder(["amqp://guest:guest@127.0.0.1"])?
    ///     .configure(|options| options.container_id("reports").hostname("vhost:reports"));
    /// # Ok(()) }
    /// # run().unwrap();
    /// ```
    pub fn configure(
        mut self,
        configure: impl Fn(ConnectOptions) -> ConnectOptions + Send + Sync + 'static,
    ) -> Self {
        self.dialer.configure = Arc::new(configure);
        self
    }

    /// Asks for credentials at each attempt, in place of those in the addresses: tokens that run out, passwords that
    /// rotate. What the provider takes to answer is not limited here. Its errors are taken to pass; they are shown in
    /// logs, so they must contain no secret.
    ///
    /// ```
    /// # fn run() -> Result<(), amqp_transport::AddressError> {
    /// use amqp_transport::{Sasl, recovery::Client};
    /// let client = Client::builder(["amqp://127.0.0.1"])?.credentials(|_address| async {
    ///     let password = std::fs::read_to_string("/run/secrets/amqp")?;
    ///     Ok::<_, std::io::Error>(Sasl::Plain { user: "reports".to_owned(), password })
    /// });
    /// # Ok(()) }
    /// # run().unwrap();
    /// ```
    pub fn credentials<F, R, E>(mut self, provide: F) -> Self
    where
        F: Fn(Address) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Sasl, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.dialer.provide = Some(Arc::new(move |address| {
            let provided = provide(address);
            Box::pin(async { provided.await.map_err(|error| error.to_string().into()) })
        }));
        self
    }

    /// Makes each connection ready before any link is attached on it: puts tokens, declares what has to be there. What it
    /// gives is kept for as long as the connection lasts, such as an [`Authorization`](crate::cbs::Authorization), which
    /// renews its token. How long it takes is not limited here; it is given up with the connection. An error is taken to
    /// pass: the connection is closed, and the next attempt follows, for ever unless [`Patience::attempts`] says otherwise.
    /// Errors are shown in logs, so they must contain no secret.
    ///
    /// ```
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use amqp_transport::cbs::{Cbs, SasKey};
    /// use amqp_transport::recovery::Client;
    ///
    /// let key = SasKey::new("sender", "secret");
    /// let client = Client::builder(["amqps://example.servicebus.windows.net"])?.prepare(move |connection| {
    ///     let cbs = Cbs::new(&connection, key.clone());
    ///     async move { cbs.authorize("sb://example.servicebus.windows.net/orders").await }
    /// });
    /// # Ok(()) }
    /// # run().unwrap();
    /// ```
    pub fn prepare<F, R, K, E>(mut self, prepare: F) -> Self
    where
        F: Fn(Connection) -> R + Send + Sync + 'static,
        R: Future<Output = Result<K, E>> + Send + 'static,
        K: Send + 'static,
        E: fmt::Display,
    {
        self.dialer.prepare = Some(Arc::new(move |connection| {
            let prepared = prepare(connection);
            Box::pin(async {
                match prepared.await {
                    Ok(kept) => {
                        let kept: Kept = Box::new(kept);
                        Ok(kept)
                    }
                    Err(error) => Err(error.to_string().into()),
                }
            })
        }));
        self
    }

    /// How the pauses between attempts grow.
    pub fn back_off(mut self, back_off: BackOff) -> Self {
        self.back_off = back_off;
        self
    }

    /// How long the client tries.
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// How senders treat their messages, unless one is told otherwise ([`Client::sender_with`]).
    pub fn send_policy(mut self, policy: SendPolicy) -> Self {
        self.send_policy = policy;
        self
    }

    /// Follows a peer that closes the connection and names another host and port (`amqp:connection:redirect`), if
    /// `may_follow` says that these may be trusted with the credentials. By default none is. The other address is
    /// tried at once, a single time; whatever comes of it, the configured ones are next. At most three redirects are
    /// followed in a row.
    ///
    /// The same holds for a link that a peer refuses and sends elsewhere (`amqp:link:redirect`): to another node, for which
    /// `may_follow` is asked with the client's first address, or to another peer, to which the link gets a connection of its
    /// own. When that link ends it is attached where it was asked for at first. Where the other peer cannot be reached the
    /// link is tried again as [`Patience::lasting_refusals`] says.
    ///
    /// The host that a redirect names for connecting (`network-host`) is what the new connection says in its open and what
    /// the peer's certificate must be for; a `hostname` beside it is not said.
    pub fn follow_redirects(
        mut self,
        may_follow: impl Fn(&str, u16) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.may_follow = Arc::new(may_follow);
        self
    }

    /// Starts connecting and does not wait for it: links and messages can be asked for at once and wait themselves.
    /// Call it within a tokio runtime.
    #[must_use = "a client that is dropped stops"]
    pub fn start(self) -> Client {
        Client::start(self)
    }

    /// Starts connecting and waits until there is a connection. Dropping the future stops it.
    ///
    /// # Errors
    /// [`ClientError::GaveUp`] as [`Patience`] says; by default only for reasons that do not pass by themselves.
    pub async fn connect(self) -> Result<Client, ClientError> {
        let client = self.start();
        client.connected().await?;
        Ok(client)
    }
}

impl Dial for Dialer {
    async fn dial(&mut self, address: Address) -> Result<Dialed, Trouble> {
        let mut options = ConnectOptions::new(address.clone());
        if let Some(provide) = &self.provide {
            options = options.sasl(provide(address).await.map_err(Trouble::Credentials)?);
        }
        let connection = (self.configure)(options).connect().await?;
        let Some(prepare) = &self.prepare else { return Ok(Dialed { connection, kept: Box::new(()) }) };
        let prepared = tokio::select! {
            prepared = prepare(connection.clone()) => prepared,
            error = connection.closed() => return Err(error.into()),
        };
        match prepared {
            Ok(kept) => Ok(Dialed { connection, kept }),
            Err(why) => {
                if let Err(error) = connection.close().await {
                    tracing::debug!(%error, "the connection had ended before it was closed");
                }
                Err(Trouble::Unprepared(why))
            }
        }
    }
}

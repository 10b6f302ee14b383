//! Opening a connection from the configuration.

use std::path::Path;
use std::time::Duration;

use amqp_transport::{Address, ConnectError, ConnectOptions, ConnectionError, Limits, TlsOptions};
use uuid::Uuid;

use super::Broker;
use crate::config::{ConnectionConfig, without_credentials};
use crate::error::DriverError;
use crate::profile::recognise;

/// How long the broker may take to answer a begin or an attach: short enough for another try within the minute that a push
/// or a command may take, long enough for a queue that elects its leader first.
const ANSWER: Duration = Duration::from_secs(20);

/// Connects, and finds out what is at the other end.
pub(crate) async fn connect(config: &ConnectionConfig, epoch: u64) -> Result<Broker, DriverError> {
    let address: Address = config.addr.parse().map_err(|error| DriverError::Connect {
        address: "the configured address".to_owned(),
        reason: format!("not a broker address: {error}"),
        retryable: false,
    })?;
    let shown = without_credentials(&address);
    let fail =
        |reason: String, retryable: bool| DriverError::Connect { address: shown.clone(), reason, retryable };
    let vhost = address.vhost().map(str::to_owned);
    let user = config.username.clone().or_else(|| address.username().map(str::to_owned));
    let password = config.password.clone().or_else(|| address.password().map(str::to_owned));
    let container = config.container_id.clone().unwrap_or_else(|| format!("rr-jobs-{}", Uuid::new_v4()));
    let is_tls = address.is_tls();
    let mut limits = Limits::default();
    limits.answer = ANSWER;
    let mut options = ConnectOptions::new(address)
        .limits(limits)
        .container_id(container)
        .property("product", "rr-jobs")
        .property("version", env!("CARGO_PKG_VERSION"));
    if let Some(user) = user {
        // A user whose password is missing is refused by the broker, rather than being anonymous there.
        options = options.credentials(user, password.unwrap_or_default());
    }
    if let Some(vhost) = vhost.filter(|vhost| !vhost.is_empty()) {
        // How RabbitMQ is told which virtual host is meant.
        options = options.hostname(format!("vhost:{vhost}"));
    }
    if is_tls {
        options = options.tls(tls(config).map_err(|reason| fail(reason, false))?);
    }
    let connection = options.connect().await.map_err(|error| fail(advice(&error), error.is_retryable()))?;
    let recognised = recognise(connection.peer(), config.profile);
    Ok(Broker::new(epoch, connection, recognised))
}

fn tls(config: &ConnectionConfig) -> Result<TlsOptions, String> {
    let read = |what: &str, path: &Path| {
        std::fs::read(path)
            .map_err(|error| format!("amqp1.tls.{what}: cannot read {}: {error}", path.display()))
    };
    let mut options = TlsOptions::new();
    if let Some(path) = &config.tls.root_ca {
        options = options.root_ca_pem(read("root_ca", path)?);
    }
    if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) {
        options = options.identity_pem(read("cert", cert)?, read("key", key)?);
    }
    if config.tls.insecure_skip_verify {
        tracing::warn!("amqp1.tls.insecure_skip_verify is on: the broker's certificate is not checked");
        options = options.insecure_skip_verify(true);
    }
    Ok(options)
}

/// The error, and what a person can do about it.
fn advice(error: &ConnectError) -> String {
    let (text, hint) = match error {
        ConnectError::Resolve { why, .. } => (why.clone(), "check the host name in amqp1.addr"),
        ConnectError::Tcp { why, .. } => (why.clone(), "is a broker running there, and is the port right?"),
        ConnectError::Handshake { why, .. } => (
            format!("the TLS handshake failed: {why}"),
            "check amqp1.tls, and that the host in amqp1.addr is a name in the broker's certificate",
        ),
        ConnectError::Timeout { .. } => {
            ("no answer in time".to_owned(), "is amqp1.addr right, and is there a firewall in between?")
        }
        ConnectError::Connection(ConnectionError::Sasl { .. } | ConnectionError::SaslExchange(_)) => {
            (error.to_string(), "check the credentials in amqp1.addr, or amqp1.username and amqp1.password")
        }
        ConnectError::Connection(ConnectionError::Header(_)) => {
            (error.to_string(), "amqp1.addr has to name a port that speaks AMQP 1.0")
        }
        // What RabbitMQ does about a virtual host that it does not have.
        ConnectError::Connection(ConnectionError::Lost(_)) => (
            error.to_string(),
            "if this happens every time, check the virtual host (the path in amqp1.addr) and the user's rights on it",
        ),
        other => return other.to_string(),
    };
    format!("{text}; {hint}")
}

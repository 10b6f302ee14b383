//! The broker inside this program: `amqp1.addr: embedded`, and the one behind `rr-jobs demo`.

use std::net::SocketAddr;

use jobs_driver::config::{ConfigError, File};
use serde::Deserialize;

use crate::failure::Failure;

/// The value of `amqp1.addr` that asks for the broker inside.
pub(crate) const ADDRESS: &str = "embedded";

/// Where the broker listens when nothing is said: loopback, any free port.
const ANY_LOOPBACK_PORT: &str = "127.0.0.1:0";

/// Section `embedded` and the credentials of section `amqp1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    listen: SocketAddr,
    credentials: Option<Credentials>,
}

#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: String,
    password: String,
}

// The password is nobody's business.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

#[derive(Deserialize, Default)]
struct Section {
    listen: Option<String>,
}

#[derive(Deserialize, Default)]
struct Login {
    username: Option<String>,
    password: Option<String>,
}

/// Whether the file asks for the broker inside.
pub(crate) fn is_wanted(file: &File) -> Result<bool, ConfigError> {
    Ok(file.section::<String>("amqp1.addr")?.is_some_and(|address| address.trim() == ADDRESS))
}

impl Settings {
    /// Reads `embedded.listen`, `amqp1.username` and `amqp1.password`.
    ///
    /// # Errors
    /// A `listen` that is no address, or one that other machines can reach without a password being set.
    pub(crate) fn from_file(file: &File) -> Result<Self, ConfigError> {
        let text = file.section::<Section>("embedded")?.and_then(|section| section.listen);
        let text = text.as_deref().unwrap_or(ANY_LOOPBACK_PORT);
        let listen: SocketAddr = text.parse().map_err(|_| {
            file.error_at(
                "embedded.listen",
                &format!("expected an address and a port such as 127.0.0.1:5672, found {text:?}"),
            )
        })?;
        let login = file.section::<Login>("amqp1")?.unwrap_or_default();
        let credentials = match (login.username, login.password) {
            (Some(user), Some(password)) if !user.is_empty() && !password.is_empty() => {
                Some(Credentials { user, password })
            }
            _ => None,
        };
        if credentials.is_none() && !listen.ip().is_loopback() {
            let message = format!("other machines can reach {listen}: set amqp1.username and amqp1.password");
            return Err(file.error_at("embedded.listen", &message));
        }
        Ok(Self { listen, credentials })
    }

    /// Loopback, any free port, no password.
    pub(crate) fn for_this_process() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), credentials: None }
    }

    /// Where another process finds this broker; `None` when the port is picked anew at each start.
    pub(crate) fn fixed_address(&self) -> Option<String> {
        (self.listen.port() != 0).then(|| url(self.listen))
    }
}

/// Without credentials: those are in `amqp1.username` and `amqp1.password`.
fn url(listen: SocketAddr) -> String {
    let mut reachable = listen;
    if listen.ip().is_unspecified() {
        reachable.set_ip(if listen.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    format!("amqp://{reachable}")
}

#[cfg(feature = "embedded-broker")]
pub(crate) use present::Embedded;

#[cfg(feature = "embedded-broker")]
mod present {
    use super::*;

    /// A broker that runs inside this process.
    #[derive(Debug)]
    pub(crate) struct Embedded {
        broker: amqp_broker::Broker,
        address: String,
    }

    impl Embedded {
        /// Starts to listen.
        pub(crate) async fn start(settings: &Settings) -> Result<Self, Failure> {
            let builder = amqp_broker::Broker::builder().listen(settings.listen.to_string());
            let builder = match &settings.credentials {
                Some(Credentials { user, password }) => {
                    builder.user(user.as_str(), password.as_str()).anonymous(false).allow_remote(true)
                }
                None => builder.user("guest", "guest").anonymous(true),
            };
            let broker = builder.start().await.map_err(|error| {
                Failure::new(format!("the embedded broker cannot listen at {}: {error}", settings.listen))
            })?;
            let address = broker.address();
            Ok(Self { broker, address })
        }

        /// Where clients on this machine find it, without credentials.
        pub(crate) fn address(&self) -> &str {
            &self.address
        }

        /// Ends all connections; messages that are still in its queues are gone.
        pub(crate) async fn shutdown(self) {
            self.broker.shutdown().await;
        }
    }
}

#[cfg(not(feature = "embedded-broker"))]
pub(crate) use absent::Embedded;

#[cfg(not(feature = "embedded-broker"))]
mod absent {
    use super::*;

    /// Stands for the broker that this build does not have.
    #[derive(Debug)]
    pub(crate) enum Embedded {}

    impl Embedded {
        /// Always an error.
        #[expect(clippy::unused_async, reason = "same signature as with the broker")]
        pub(crate) async fn start(_settings: &Settings) -> Result<Self, Failure> {
            Err(Failure::new(
                "this rr-jobs was built without the embedded broker: set amqp1.addr (or --addr) to a broker, or build it with the feature embedded-broker",
            ))
        }

        pub(crate) fn address(&self) -> &str {
            match *self {}
        }

        #[expect(clippy::unused_async, reason = "same signature as with the broker")]
        pub(crate) async fn shutdown(self) {
            match self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use jobs_driver::config::LoadOptions;

    use super::*;

    fn settings(yaml: &str) -> Result<Settings, ConfigError> {
        Settings::from_file(&File::parse(yaml, "test.yaml", &LoadOptions::default()).unwrap())
    }

    #[test]
    fn without_a_section_it_listens_on_any_loopback_port() {
        let settings = settings("amqp1:\n  addr: embedded\n").unwrap();
        assert_eq!(settings, Settings::for_this_process());
        assert_eq!(settings.fixed_address(), None);
    }

    #[test]
    fn a_fixed_port_is_an_address_for_other_processes() {
        let settings = settings("embedded:\n  listen: 127.0.0.1:5672\n").unwrap();
        assert_eq!(settings.fixed_address().as_deref(), Some("amqp://127.0.0.1:5672"));
    }

    #[test]
    fn other_machines_need_a_password() {
        let error = settings("embedded:\n  listen: 0.0.0.0:5672\n").unwrap_err().to_string();
        assert!(error.contains("amqp1.password"), "{error}");
        let open = "embedded:\n  listen: 0.0.0.0:5672\namqp1:\n  username: u\n  password: secret\n";
        let settings = settings(open).unwrap();
        assert_eq!(settings.fixed_address().as_deref(), Some("amqp://127.0.0.1:5672"));
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn a_port_alone_is_no_address() {
        let error = settings("embedded:\n  listen: \":5672\"\n").unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:5672"), "{error}");
    }
}

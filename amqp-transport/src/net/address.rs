//! Addresses of peers: `amqp://user:password@host:port/vhost`, and `ws://user:password@host:port/path` for WebSocket.

use percent_encoding::percent_decode_str;
use std::fmt;
use std::str::FromStr;
use url::Url;

/// Where a peer listens, and with which credentials to go there.
///
/// User name, password and virtual host are percent-decoded once: a `+` is a plus, `%2F` a slash. Neither `Debug`
/// nor `Display` shows user name or password.
///
/// ```
/// let address: amqp_transport::Address = "amqps://me:s%2Fcret@broker.example/jobs".parse()?;
/// assert_eq!((address.host(), address.port()), ("broker.example", 5671));
/// assert_eq!(address.password(), Some("s/cret"));
/// assert_eq!(address.to_string(), "amqps://broker.example:5671/jobs");
///
/// // AMQP over WebSocket, with the feature of that name: the path belongs to HTTP, and there is no virtual host in it.
/// let address: amqp_transport::Address = "wss://broker.example/amqp?x=1".parse()?;
/// assert!(address.is_tls() && address.is_websocket());
/// assert_eq!((address.port(), address.path(), address.vhost()), (443, Some("/amqp?x=1"), None));
/// # Ok::<(), amqp_transport::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    tls: bool,
    /// Path and query as HTTP has them; none if this is no WebSocket.
    path: Option<String>,
    host: String,
    port: u16,
    username: Option<String>,
    password: Option<String>,
    vhost: Option<String>,
}

/// Why a text is no address. The text itself, which may hold a password, is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not a URL at all.
    #[error(
        "not a URL of the form amqp://user:password@host:port ({0}); in user and password, write / as %2F, @ as %40, : as %3A and % as %25"
    )]
    NotUrl(String),
    /// The scheme is none of `amqp`, `amqps`, `ws`, `wss`.
    #[error("the scheme is {0:?}, expected amqp or amqps (ws or wss for AMQP over WebSocket)")]
    Scheme(String),
    /// There is no host.
    #[error("the host is missing")]
    NoHost,
    /// Something is not UTF-8 once it is percent-decoded.
    #[error("the {0} is not UTF-8 once it is percent-decoded")]
    NotUtf8(&'static str),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text.trim()).map_err(|error| AddressError::NotUrl(error.to_string()))?;
        let (tls, is_websocket) = match url.scheme() {
            "amqp" => (false, false),
            "amqps" => (true, false),
            "ws" => (false, true),
            "wss" => (true, true),
            other => return Err(AddressError::Scheme(other.chars().take(20).collect())),
        };
        let decode = |what, text: &str| {
            let text = percent_decode_str(text).decode_utf8().map_err(|_| AddressError::NotUtf8(what))?;
            Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
        };
        let host =
            url.host_str().and_then(|host| host.strip_prefix('[')?.strip_suffix(']')).or(url.host_str());
        let host = decode("host", host.unwrap_or_default())?.ok_or(AddressError::NoHost)?;
        let (path, vhost, default_port) = if is_websocket {
            let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
            (Some(format!("{}{query}", url.path())), None, if tls { 443 } else { 80 })
        } else {
            let vhost = decode("virtual host", url.path().strip_prefix('/').unwrap_or_default())?;
            (None, vhost, if tls { 5671 } else { 5672 })
        };
        Ok(Self {
            tls,
            path,
            host,
            port: url.port().unwrap_or(default_port),
            username: decode("user name", url.username())?,
            password: decode("password", url.password().unwrap_or_default())?,
            vhost,
        })
    }
}

impl Address {
    /// Whether the connection is protected by TLS (`amqps`, `wss`).
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether AMQP goes through a WebSocket (`ws`, `wss`).
    #[must_use]
    pub const fn is_websocket(&self) -> bool {
        self.path.is_some()
    }

    /// Path and query of a WebSocket, as they stand in the address, at least `/`; `None` if it is none.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Host name or IP address, an IPv6 one without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port; 5672, or 5671 with TLS, 80 or 443 for a WebSocket, if the text names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The user name, if there is one.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password, if there is one. Keep it out of logs.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The path without its leading slash, if there is one: the virtual host on brokers that have them. A WebSocket's path
    /// is none.
    #[must_use]
    pub fn vhost(&self) -> Option<&str> {
        self.vhost.as_deref()
    }

    /// Another place, with everything else the same.
    #[must_use]
    pub fn at(mut self, host: impl Into<String>, port: u16) -> Self {
        self.host = host.into();
        self.port = port;
        self
    }

    /// The same place with other credentials.
    #[must_use]
    pub fn with_credentials(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self.password = Some(password.into());
        self
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.is_websocket(), self.tls) {
            (false, false) => "amqp",
            (false, true) => "amqps",
            (true, false) => "ws",
            (true, true) => "wss",
        };
        write!(f, "{scheme}://")?;
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        write!(f, ":{}", self.port)?;
        match (&self.path, &self.vhost) {
            // A query may hold a key.
            (Some(path), _) => f.write_str(path.split('?').next().unwrap_or_default()),
            (None, Some(vhost)) => write!(f, "/{vhost}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn credentials_are_decoded_once() {
        let a = address("amqp://Root:a%2Bb+c%252F%24@ns.example:5671/");
        assert_eq!((a.username(), a.password()), (Some("Root"), Some("a+b+c%2F$")));
        assert_eq!(a.vhost(), None);
    }

    #[test]
    fn ports_and_forms_have_their_defaults() {
        assert_eq!(address("amqp://h").port(), 5672);
        assert_eq!(address("amqps://h").port(), 5671);
        assert_eq!(address("amqp://[::1]:1234").host(), "::1");
        assert_eq!(address("amqp://h/a%2Fb").vhost(), Some("a/b"));
        assert_eq!(address("amqp://guest:@h").password(), None);
    }

    #[test]
    fn a_websocket_has_a_path_and_ports_of_its_own() {
        let a = address("ws://me:hunter2@h");
        assert_eq!((a.port(), a.path(), a.vhost(), a.is_tls()), (80, Some("/"), None, false));
        assert_eq!(a.password(), Some("hunter2"));
        let a = address("wss://[::1]:8443/a%20b/c?key=hunter2");
        assert_eq!((a.port(), a.path(), a.is_tls()), (8443, Some("/a%20b/c?key=hunter2"), true));
        assert_eq!(a.to_string(), "wss://[::1]:8443/a%20b/c");
        assert_eq!(address("amqp://h/x").path(), None);
    }

    #[test]
    fn errors_say_what_is_wrong_and_never_the_password() {
        for wrong in [
            "",
            "localhost:5672",
            "http://u:hunter2@h",
            "amqp://",
            "amqp://u:hunter2@",
            "amqp://u:hunt/er2@h:1",
        ] {
            let error = wrong.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{wrong} gives {error}");
        }
        assert_eq!(format!("{:?}", address("amqp://u:hunter2@h")), "Address(amqp://h:5672)");
    }
}

//! Redirects (§2.8.16, §2.8.18): a peer that ends a connection or a link and names another place for it.

use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_codec::types::{Fields, Symbol, Value};

/// Where a peer sends a connection or a link. To follow it, connect to [`Redirect::network_host`] and [`Redirect::port`],
/// say [`Redirect::hostname`] in the open, and attach to [`Redirect::address`]. Bound the number of redirects that are
/// followed one after the other, and follow none to a host that TLS does not vouch for.
///
/// ```
/// use amqp_transport::Redirect;
///
/// let mut elsewhere = Redirect::default();
/// (elsewhere.network_host, elsewhere.port) = (Some("broker-2.example".to_owned()), Some(5672));
/// // A listener closes a connection with this error, and its client finds the place in it again.
/// let error = elsewhere.connection_error();
/// assert_eq!(Redirect::of(&error), Some(elsewhere));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect {
    /// What the host is called: for the open, SASL and the name that TLS checks.
    pub hostname: Option<String>,
    /// What to connect to: a name or an IP address.
    pub network_host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The address of the node; only for links.
    pub address: Option<String>,
}

impl Redirect {
    /// The redirect in an error, if it is one. Fields that are missing or of a wrong type are left out.
    #[must_use]
    pub fn of(error: &ErrorInfo) -> Option<Self> {
        if ![conditions::CONNECTION_REDIRECT, conditions::LINK_REDIRECT].contains(&error.condition) {
            return None;
        }
        let Some(info) = &error.info else { return Some(Self::default()) };
        let text = |name: &str| {
            let value = info.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            value.map(str::to_owned)
        };
        Some(Self {
            hostname: text("hostname"),
            network_host: text("network-host"),
            port: info.get("port").and_then(port),
            address: text("address"),
        })
    }

    /// The host to connect to: `network-host`, or `hostname` where only that is given.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.network_host.as_deref().or(self.hostname.as_deref())
    }

    /// The error to close a connection with (`amqp:connection:redirect`).
    #[must_use]
    pub fn connection_error(&self) -> ErrorInfo {
        self.error(conditions::CONNECTION_REDIRECT, "the connection is to be made elsewhere")
    }

    /// The error to refuse or detach a link with (`amqp:link:redirect`).
    #[must_use]
    pub fn link_error(&self) -> ErrorInfo {
        self.error(conditions::LINK_REDIRECT, "the link is to be attached elsewhere")
    }

    fn error(&self, condition: Symbol, description: &'static str) -> ErrorInfo {
        let mut info = Fields::new();
        for (name, text) in
            [("hostname", &self.hostname), ("network-host", &self.network_host), ("address", &self.address)]
        {
            if let Some(text) = text {
                info.insert(Symbol::from_static(name), Value::String(text.clone().into()));
            }
        }
        if let Some(port) = self.port {
            info.insert(Symbol::from_static("port"), Value::Uint(u32::from(port)));
        }
        ErrorInfo { info: Some(info), ..ErrorInfo::new(condition, description) }
    }
}

/// A port in any of the types that peers write it in.
fn port(value: &Value) -> Option<u16> {
    let port = match value {
        Value::Ushort(port) => Some(*port),
        Value::Uint(port) => u16::try_from(*port).ok(),
        Value::Int(port) => u16::try_from(*port).ok(),
        Value::Ulong(port) => u16::try_from(*port).ok(),
        Value::Long(port) => u16::try_from(*port).ok(),
        _ => None,
    };
    port.filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // §2.8.16
    #[test]
    fn what_is_wrong_in_a_redirect_is_left_out() {
        let mut error = Redirect::default().connection_error();
        let info = error.info.get_or_insert_default();
        info.insert(Symbol::from_static("port"), Value::Uint(70_000));
        info.insert(Symbol::from_static("hostname"), Value::Bool(true));
        assert_eq!(Redirect::of(&error), Some(Redirect::default()));
        error.condition = conditions::NOT_FOUND;
        assert_eq!(Redirect::of(&error), None);
    }
}

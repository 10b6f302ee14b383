//! The mechanisms by name.

use super::ScramHash;
use amqp_codec::types::Symbol;
use std::fmt;

/// A SASL mechanism that this crate speaks, as client and as listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// EXTERNAL (RFC 4422, appendix A): the identity of the TLS client certificate.
    External,
    /// SCRAM (RFC 5802, RFC 7677): both sides prove that they know the password, and neither shows it.
    Scram(ScramHash),
    /// OAUTHBEARER (RFC 7628): a bearer token, readable for the peer.
    OAuthBearer,
    /// XOAUTH2: the older form of the same, as some providers have it.
    XOAuth2,
    /// PLAIN (RFC 4616): user and password, readable for the peer.
    Plain,
    /// ANONYMOUS (RFC 4505).
    Anonymous,
}

impl Mechanism {
    const ALL: [Self; 8] = [
        Self::External,
        Self::Scram(ScramHash::Sha512),
        Self::Scram(ScramHash::Sha256),
        Self::Scram(ScramHash::Sha1),
        Self::OAuthBearer,
        Self::XOAuth2,
        Self::Plain,
        Self::Anonymous,
    ];

    /// The registered name, such as `SCRAM-SHA-256`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::Scram(hash) => hash.mechanism_name(),
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
            Self::Plain => "PLAIN",
            Self::Anonymous => "ANONYMOUS",
        }
    }

    pub(crate) const fn symbol(self) -> Symbol {
        Symbol::from_static(self.name())
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

//! How a client authenticates.

use super::{Mechanism, ScramHash};
use amqp_codec::types::Symbol;
use std::fmt;

/// How a client authenticates. What is not chosen here is never used, whatever the peer offers.
///
/// ```
/// use amqp_transport::{Sasl, ScramHash};
///
/// // The strongest SCRAM that the peer has; the password is never shown to anyone.
/// let sasl = Sasl::scram("reports", "pa55word");
///
/// // SCRAM if there is one, else PLAIN: whoever can change the peer's offer gets to see the password, so TLS has to
/// // protect the connection.
/// let sasl = Sasl::FirstOffered(vec![sasl, Sasl::plain("reports", "pa55word")]);
/// assert_eq!(format!("{sasl:?}"), "FirstOffered([FirstOffered([Scram(SCRAM-SHA-512, ***), \
///     Scram(SCRAM-SHA-256, ***), Scram(SCRAM-SHA-1, ***)]), Plain(***)])");
/// # let _ = ScramHash::Sha256;
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Sasl {
    /// PLAIN (RFC 4616): a user name and password. Readable on a connection without TLS.
    Plain {
        /// The user (authentication identity).
        user: String,
        /// The password.
        password: String,
    },
    /// ANONYMOUS (RFC 4505).
    #[default]
    Anonymous,
    /// EXTERNAL (RFC 4422): the identity of the TLS client certificate.
    External,
    /// SCRAM (RFC 5802) with this hash alone: the peer never sees the password and has to prove that it knows it.
    ///
    /// The peer says how many times the hash function is applied, which takes time on the thread that drives the
    /// connection: some milliseconds for what most ask for, up to
    /// [`Limits::max_scram_iterations`](crate::Limits::max_scram_iterations).
    Scram {
        /// The hash function.
        hash: ScramHash,
        /// The user (authentication identity).
        user: String,
        /// The password.
        password: String,
    },
    /// OAUTHBEARER (RFC 7628). The token is readable on a connection without TLS.
    OAuthBearer {
        /// On whose behalf, if the token alone does not say it.
        user: Option<String>,
        /// The bearer token.
        token: String,
    },
    /// XOAUTH2, the older form of OAUTHBEARER. The token is readable on a connection without TLS.
    XOAuth2 {
        /// The user.
        user: String,
        /// The bearer token.
        token: String,
    },
    /// The first of these that the peer offers. A weaker one is used if, and only if, it is listed.
    FirstOffered(Vec<Self>),
    /// No SASL layer at all.
    None,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { .. } => f.write_str("Plain(***)"),
            Self::Anonymous => f.write_str("Anonymous"),
            Self::External => f.write_str("External"),
            Self::Scram { hash, .. } => write!(f, "Scram({}, ***)", hash.mechanism_name()),
            Self::OAuthBearer { .. } => f.write_str("OAuthBearer(***)"),
            Self::XOAuth2 { .. } => f.write_str("XOAuth2(***)"),
            Self::FirstOffered(choices) => f.debug_tuple("FirstOffered").field(choices).finish(),
            Self::None => f.write_str("None"),
        }
    }
}

impl Sasl {
    /// PLAIN with these credentials.
    pub fn plain(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Plain { user: user.into(), password: password.into() }
    }

    /// SCRAM with the strongest hash that the peer offers; never PLAIN.
    pub fn scram(user: impl Into<String>, password: impl Into<String>) -> Self {
        let (user, password) = (user.into(), password.into());
        let with = |hash| Self::Scram { hash, user: user.clone(), password: password.clone() };
        Self::FirstOffered([ScramHash::Sha512, ScramHash::Sha256, ScramHash::Sha1].map(with).into())
    }

    /// Whether a password or token is sent as it is, so that TLS has to hide it.
    #[must_use]
    pub fn shows_secret(&self) -> bool {
        match self {
            Self::Plain { .. } | Self::OAuthBearer { .. } | Self::XOAuth2 { .. } => true,
            Self::FirstOffered(choices) => choices.iter().any(Self::shows_secret),
            Self::Anonymous | Self::External | Self::Scram { .. } | Self::None => false,
        }
    }

    /// The choice that the peer offers, with its mechanism. None falls back to another that is not listed.
    pub(crate) fn among<'a>(&'a self, offered: &[Symbol]) -> Option<(&'a Self, Mechanism)> {
        let mechanism = match self {
            Self::Plain { .. } => Mechanism::Plain,
            Self::Anonymous => Mechanism::Anonymous,
            Self::External => Mechanism::External,
            Self::Scram { hash, .. } => Mechanism::Scram(*hash),
            Self::OAuthBearer { .. } => Mechanism::OAuthBearer,
            Self::XOAuth2 { .. } => Mechanism::XOAuth2,
            Self::FirstOffered(choices) => return choices.iter().find_map(|choice| choice.among(offered)),
            Self::None => return None,
        };
        let is_offered = offered.iter().any(|offered| offered.as_str() == mechanism.name());
        is_offered.then_some((self, mechanism))
    }
}

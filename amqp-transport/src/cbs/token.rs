//! Tokens, and those who make them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

/// What proves that the connection may do something, until it expires.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    kind: &'static str,
    text: String,
    expires: SystemTime,
}

impl Token {
    /// A JSON web token, as Microsoft Entra ID issues them.
    pub const JWT: &'static str = "jwt";
    /// A shared access signature of Service Bus or Event Hubs: see [`SasKey`](super::SasKey).
    pub const SAS: &'static str = "servicebus.windows.net:sastoken";

    /// A token of this type, such as [`Token::JWT`], that is good until `expires`.
    #[must_use]
    pub fn new(kind: &'static str, text: impl Into<String>, expires: SystemTime) -> Self {
        Self { kind, text: text.into(), expires }
    }

    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The token itself: a secret.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Until when it is good.
    #[must_use]
    pub const fn expires(&self) -> SystemTime {
        self.expires
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("kind", &self.kind)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Why there is no token. Its text is shown: it must not hold a secret.
pub type TokenError = Arc<dyn std::error::Error + Send + Sync>;

/// What [`TokenProvider::token`] gives.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send + 'a>>;

/// Makes tokens: a [`SasKey`](super::SasKey), a closure, or a client of an identity service.
///
/// ```
/// use amqp_transport::cbs::{Token, TokenFuture, TokenProvider};
/// use std::time::{Duration, SystemTime};
///
/// struct Metadata;
///
/// impl TokenProvider for Metadata {
///     fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a> {
///         Box::pin(async move {
///             // Ask an identity service for `audience` here.
///             Ok(Token::new(Token::JWT, "eyJ…", SystemTime::now() + Duration::from_secs(3600)))
///         })
///     }
/// }
/// ```
pub trait TokenProvider: Send + Sync {
    /// A token for this audience, such as `sb://example.servicebus.windows.net/orders`. Called for each renewal; the
    /// future may be dropped at any time.
    ///
    /// # Errors
    /// Whatever kept it from making one; it is tried again.
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a>;
}

impl<P: TokenProvider + ?Sized> TokenProvider for Arc<P> {
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a> {
        (**self).token(audience)
    }
}

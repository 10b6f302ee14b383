//! Shared access signatures: `SharedAccessSignature sr=…&sig=…&se=…&skn=…`, where `sig` is an HMAC-SHA256 over the
//! percent-encoded audience, a line feed and the time of expiry in seconds since 1970.

use super::token::{Token, TokenError, TokenFuture, TokenProvider};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::hmac;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What every such token begins with.
const SCHEME: &str = "SharedAccessSignature ";

/// Default of [`SasKey::life`].
const LIFE: Duration = Duration::from_secs(3600);

/// Everything but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A shared access key of a Service Bus or Event Hubs namespace or entity; makes tokens, and checks them.
#[derive(Clone)]
pub struct SasKey {
    name: String,
    key: hmac::Key,
    life: Duration,
}

impl fmt::Debug for SasKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SasKey").field("name", &self.name).field("life", &self.life).finish_non_exhaustive()
    }
}

/// What is wrong with a shared access signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SasError {
    /// It is no such signature.
    #[error("expected SharedAccessSignature sr=…&sig=…&se=…&skn=…")]
    Malformed,
    /// It names another key.
    #[error("the token is of another key")]
    OtherKey,
    /// It was not made with this key, or changed afterwards.
    #[error("the signature is wrong")]
    Signature,
    /// It is for something else.
    #[error("the token is for another audience")]
    Audience,
    /// It is too old.
    #[error("the token has expired")]
    Expired,
}

impl SasKey {
    /// A key with its name, such as `RootManageSharedAccessKey`. The key is taken as text: it looks like base64, but is
    /// not decoded.
    #[must_use]
    pub fn new(name: impl Into<String>, key: impl AsRef<str>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref().as_bytes());
        Self { name: name.into(), key, life: LIFE }
    }

    /// How long tokens are good. Default one hour.
    #[must_use]
    pub const fn life(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// A token for this audience that is good until `expires`, in whole seconds.
    ///
    /// ```
    /// use amqp_transport::cbs::SasKey;
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// let key = SasKey::new("RootManageSharedAccessKey", "c2VjcmV0LWtleQ==");
    /// let token = key.sign("sb://ns.servicebus.windows.net/q1", UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    /// assert!(token.text().starts_with("SharedAccessSignature sr=sb%3A%2F%2Fns.servicebus.windows.net%2Fq1&sig="));
    /// ```
    #[must_use]
    pub fn sign(&self, audience: &str, expires: SystemTime) -> Token {
        let seconds = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let audience = encoded(audience);
        let signature = BASE64_STANDARD.encode(hmac::sign(&self.key, signed(&audience, seconds).as_bytes()));
        let text = format!(
            "{SCHEME}sr={audience}&sig={}&se={seconds}&skn={}",
            encoded(&signature),
            encoded(&self.name)
        );
        Token::new(Token::SAS, text, UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Checks a token that somebody put for this audience, as a listener does. It may be for something above the audience:
    /// that for `sb://host/` is good for all entities there. The schemes `sb`, `amqp` and `amqps` mean the same.
    ///
    /// # Errors
    /// See [`SasError`]. On success, until when it is good.
    pub fn check(&self, token: &str, audience: &str, now: SystemTime) -> Result<SystemTime, SasError> {
        let fields = token.strip_prefix(SCHEME).ok_or(SasError::Malformed)?;
        let field = |name: &str| {
            fields
                .split('&')
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
                .ok_or(SasError::Malformed)
        };
        let (resource, signature, name) = (field("sr")?, decoded(field("sig")?)?, decoded(field("skn")?)?);
        let seconds: u64 = field("se")?.parse().map_err(|_| SasError::Malformed)?;
        if name != self.name {
            return Err(SasError::OtherKey);
        }
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| SasError::Malformed)?;
        hmac::verify(&self.key, signed(resource, seconds).as_bytes(), &signature)
            .map_err(|_| SasError::Signature)?;
        if !covers(&decoded(resource)?, audience) {
            return Err(SasError::Audience);
        }
        let expires = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(SasError::Malformed)?;
        if expires <= now { Err(SasError::Expired) } else { Ok(expires) }
    }
}

/// The end of such a life is beyond the clock.
#[derive(Debug, thiserror::Error)]
#[error("a token cannot be good for {0:?}")]
struct LifeTooLong(Duration);

impl TokenProvider for SasKey {
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a> {
        let expires = SystemTime::now().checked_add(self.life);
        let token = expires.map(|expires| self.sign(audience, expires));
        Box::pin(std::future::ready(token.ok_or_else(|| -> TokenError { Arc::new(LifeTooLong(self.life)) })))
    }
}

fn signed(audience: &str, seconds: u64) -> String {
    format!("{audience}\n{seconds}")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

fn decoded(text: &str) -> Result<String, SasError> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| SasError::Malformed)
}

/// Whether a token for `resource` is one for `audience` too: the same, or a part of it.
fn covers(resource: &str, audience: &str) -> bool {
    let path = |uri: &str| {
        let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
        rest.trim_end_matches('/').to_ascii_lowercase()
    };
    let (resource, audience) = (path(resource), path(audience));
    audience.strip_prefix(&resource).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIENCE: &str = "sb://ns.servicebus.windows.net/q1";

    fn key() -> SasKey {
        SasKey::new("RootManageSharedAccessKey", "c2VjcmV0LWtleQ==")
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_is_as_the_service_expects_it() {
        assert_eq!(
            key().sign(AUDIENCE, at(1_700_000_000)).text(),
            "SharedAccessSignature sr=sb%3A%2F%2Fns.servicebus.windows.net%2Fq1\
             &sig=brSsCA6yDON1QmITfQVc08%2FRSZwYe1iFYrGjv8eAy1o%3D&se=1700000000&skn=RootManageSharedAccessKey"
        );
    }

    #[test]
    fn a_token_is_good_for_what_it_says_and_below() {
        let token = key().sign(AUDIENCE, at(100));
        for audience in [
            AUDIENCE,
            "amqps://NS.servicebus.windows.net/q1/",
            "sb://ns.servicebus.windows.net/q1/$management",
        ] {
            assert_eq!(key().check(token.text(), audience, at(99)), Ok(at(100)), "{audience}");
        }
        for audience in ["sb://ns.servicebus.windows.net/q12", "sb://ns.servicebus.windows.net", "q1", ""] {
            assert_eq!(key().check(token.text(), audience, at(99)), Err(SasError::Audience), "{audience}");
        }
        assert_eq!(key().check(token.text(), AUDIENCE, at(100)), Err(SasError::Expired));
    }

    #[test]
    fn a_token_that_was_changed_is_not_good() {
        let token = key().sign(AUDIENCE, at(100)).text().to_owned();
        let check = |token: &str| key().check(token, AUDIENCE, at(1)).unwrap_err();
        assert_eq!(check(&token.replace("se=100", "se=101")), SasError::Signature);
        assert_eq!(check(&token.replace("q1", "q2")), SasError::Signature);
        assert_eq!(check(&token.replace("Root", "Tree")), SasError::OtherKey);
        assert_eq!(
            SasKey::new("RootManageSharedAccessKey", "other").check(&token, AUDIENCE, at(1)),
            Err(SasError::Signature)
        );
        for nonsense in
            ["", "SharedAccessSignature ", "SharedAccessSignature sr=%ff&sig=&se=&skn=", "Bearer x"]
        {
            assert_eq!(check(nonsense), SasError::Malformed, "{nonsense}");
        }
        assert_eq!(check(&token.replace("se=100", "se=18446744073709551616")), SasError::Malformed);
    }

    #[test]
    fn neither_key_nor_token_shows_its_secret() {
        let token = key().sign(AUDIENCE, at(100));
        let shown = format!("{:?} {token:?}", key());
        assert!(!shown.contains("c2Vj") && !shown.contains("sig="), "{shown}");
    }
}

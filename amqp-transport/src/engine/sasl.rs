//! SASL (part 5, §5.3): what the client says, and how a listener checks it.

use amqp_codec::security::{SaslCode, SaslInit};
use amqp_codec::types::Symbol;
use bytes::Bytes;
use std::fmt;

/// How a client authenticates.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Sasl {
    /// PLAIN: a user name and password. Readable on a connection without TLS.
    Plain {
        /// The user (authentication identity).
        user: String,
        /// The password.
        password: String,
    },
    /// ANONYMOUS.
    #[default]
    Anonymous,
    /// EXTERNAL: the identity of the TLS client certificate.
    External,
    /// No SASL layer at all.
    None,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { .. } => f.write_str("Plain(***)"),
            Self::Anonymous => f.write_str("Anonymous"),
            Self::External => f.write_str("External"),
            Self::None => f.write_str("None"),
        }
    }
}

impl Sasl {
    /// The sasl-init to send, or `None` if the peer does not offer the mechanism. Never falls back to another.
    pub(crate) fn init(&self, offered: &[Symbol], hostname: Option<&str>) -> Option<SaslInit> {
        let (mechanism, response) = match self {
            Self::Plain { user, password } => ("PLAIN", format!("\0{user}\0{password}").into_bytes()),
            // Some trace text is customary; RabbitMQ 3.x is happier with a response than without one.
            Self::Anonymous => ("ANONYMOUS", b"anonymous".to_vec()),
            // Empty, not absent: the identity comes from TLS.
            Self::External => ("EXTERNAL", Vec::new()),
            Self::None => return None,
        };
        let mechanism = Symbol::from_static(mechanism);
        if !offered.contains(&mechanism) {
            return None;
        }
        let mut init = SaslInit::new(mechanism);
        init.initial_response = Some(Bytes::from(response).into());
        init.hostname = hostname.map(Into::into);
        Some(init)
    }
}

/// Who is on the other end of an accepted connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// Nobody in particular.
    Anonymous,
    /// A user who gave the right password.
    User(String),
}

/// How a listener checks its clients.
pub trait Authenticator: Send + Sync {
    /// Whether clients may stay anonymous (SASL ANONYMOUS, or no SASL layer at all).
    fn anonymous(&self) -> bool;

    /// Whether user and password belong together. The answer must not tell an unknown user from a wrong password.
    fn plain(&self, authzid: &str, user: &str, password: &str) -> bool;

    /// Offered mechanisms, the preferred one first. Must not be empty.
    fn mechanisms(&self) -> Vec<Symbol> {
        let mut mechanisms = vec![Symbol::from_static("PLAIN")];
        if self.anonymous() {
            mechanisms.push(Symbol::from_static("ANONYMOUS"));
        }
        mechanisms
    }
}

/// A fixed list of users.
#[derive(Clone, Default)]
pub struct StaticCredentials {
    /// Whether clients may stay anonymous.
    pub anonymous: bool,
    /// User names and their passwords.
    pub users: Vec<(String, String)>,
}

impl fmt::Debug for StaticCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users = self.users.len();
        f.debug_struct("StaticCredentials")
            .field("anonymous", &self.anonymous)
            .field("users", &users)
            .finish()
    }
}

impl Authenticator for StaticCredentials {
    fn anonymous(&self) -> bool {
        self.anonymous
    }

    fn plain(&self, authzid: &str, user: &str, password: &str) -> bool {
        let mut matches = false;
        for (known, secret) in &self.users {
            // Every entry is compared, so that the time taken does not tell which users exist.
            matches |= same(known.as_bytes(), user.as_bytes()) & same(secret.as_bytes(), password.as_bytes());
        }
        matches && (authzid.is_empty() || authzid == user)
    }
}

/// Equality in a time that depends on the lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Checks a client's sasl-init.
pub(crate) fn verify(authenticator: &dyn Authenticator, init: &SaslInit) -> Result<Identity, SaslCode> {
    match init.mechanism.as_str() {
        "ANONYMOUS" if authenticator.anonymous() => Ok(Identity::Anonymous),
        "PLAIN" => {
            let response = init.initial_response.as_deref().unwrap_or_default();
            let mut parts = response.split(|octet| *octet == 0).map(std::str::from_utf8);
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(Ok(authzid)), Some(Ok(user)), Some(Ok(password)), None)
                    if authenticator.plain(authzid, user, password) =>
                {
                    Ok(Identity::User(user.to_owned()))
                }
                _ => Err(SaslCode::Auth),
            }
        }
        _ => Err(SaslCode::Auth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(mechanism: &'static str, response: &'static [u8]) -> SaslInit {
        let mut init = SaslInit::new(Symbol::from_static(mechanism));
        init.initial_response = Some(Bytes::from_static(response).into());
        init
    }

    #[test]
    fn only_the_right_password_gets_in() {
        let users =
            StaticCredentials { anonymous: false, users: vec![("guest".into(), "se\u{e4}cret".into())] };
        assert_eq!(
            verify(&users, &init("PLAIN", "\0guest\0se\u{e4}cret".as_bytes())),
            Ok(Identity::User("guest".into()))
        );
        for wrong in ["\0guest\0", "\0guest\0secret", "guest\0secret", "", "\0\0", "\0guest\0se\u{e4}cret\0x"]
        {
            assert_eq!(verify(&users, &init("PLAIN", wrong.as_bytes())), Err(SaslCode::Auth), "{wrong:?}");
        }
        assert_eq!(verify(&users, &init("PLAIN", b"\0guest\0\xff")), Err(SaslCode::Auth));
        assert_eq!(verify(&users, &init("ANONYMOUS", b"")), Err(SaslCode::Auth));
        assert_eq!(verify(&users, &init("EXTERNAL", b"")), Err(SaslCode::Auth));
        assert_eq!(
            verify(&users, &init("PLAIN", "other\0guest\0se\u{e4}cret".as_bytes())),
            Err(SaslCode::Auth)
        );
    }

    #[test]
    fn a_mechanism_that_is_not_offered_is_not_used() {
        let plain = Sasl::Plain { user: "u".into(), password: "p".into() };
        assert_eq!(plain.init(&[Symbol::from_static("ANONYMOUS")], None), None);
        let init = plain.init(&[Symbol::from_static("PLAIN")], None).unwrap();
        assert_eq!(init.initial_response.as_deref(), Some(&b"\0u\0p"[..]));
    }

    #[test]
    fn secrets_are_not_shown() {
        let plain = Sasl::Plain { user: "u".into(), password: "hunter2".into() };
        assert!(!format!("{plain:?}").contains("hunter2"));
        let users = StaticCredentials { anonymous: true, users: vec![("u".into(), "hunter2".into())] };
        assert!(!format!("{users:?}").contains("hunter2"));
    }
}

//! How a listener checks its clients.

use super::scram::{MIN_ITERATIONS, normalize};
use super::{BearerRefusal, BearerToken, ClientCertificate, Mechanism, ScramCredentials, ScramHash, same};
use std::fmt;

/// Who is on the other end of an accepted connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// Nobody in particular.
    Anonymous,
    /// A user who gave the right password, a good token or a good certificate.
    User(String),
}

/// How a listener checks its clients. Methods are called while the connection waits: they answer from what they have
/// at hand and never block.
///
/// Only [`anonymous`](Self::anonymous) and [`plain`](Self::plain) have to be there; whatever else is offered is named by
/// [`mechanisms`](Self::mechanisms).
///
/// ```
/// use amqp_transport::{Authenticator, Mechanism, ScramCredentials, ScramHash};
///
/// /// Knows what SCRAM needs of the password, but not the password.
/// struct Reports(ScramCredentials);
///
/// impl Authenticator for Reports {
///     fn anonymous(&self) -> bool {
///         false
///     }
///     fn plain(&self, _authzid: &str, user: &str, password: &str) -> bool {
///         self.0.is_password(password) & (user == "reports")
///     }
///     fn mechanisms(&self) -> Vec<Mechanism> {
///         vec![Mechanism::Scram(ScramHash::Sha256)]
///     }
///     fn scram(&self, user: &str, _hash: ScramHash, _salt: &[u8]) -> Option<ScramCredentials> {
///         (user == "reports").then(|| self.0.clone())
///     }
/// }
/// ```
pub trait Authenticator: Send + Sync {
    /// Whether clients may stay anonymous (SASL ANONYMOUS, or no SASL layer at all).
    fn anonymous(&self) -> bool;

    /// Whether user and password belong together, and the user may act as `authzid` (empty for itself). Neither answer
    /// nor time taken must tell an unknown user from a wrong password.
    fn plain(&self, authzid: &str, user: &str, password: &str) -> bool;

    /// Mechanisms that may be used, the preferred one first; by default PLAIN, and ANONYMOUS if that is allowed.
    ///
    /// EXTERNAL is offered to those clients only whose certificate [`external`](Self::external) knows. A client to
    /// which nothing can be offered is sent away.
    fn mechanisms(&self) -> Vec<Mechanism> {
        let mut mechanisms = vec![Mechanism::Plain];
        if self.anonymous() {
            mechanisms.push(Mechanism::Anonymous);
        }
        mechanisms
    }

    /// What is kept of a user's password for SCRAM; `None` for users that are not known, with whom the exchange goes on
    /// until they fail as if the password were wrong.
    ///
    /// `salt`, 16 octets, is what a user that is not known is told: always the same for the same name. Who keeps
    /// passwords as they are derives from it ([`ScramCredentials::derive`]); who keeps [`ScramCredentials`] uses theirs,
    /// which should have salts of the same length.
    fn scram(&self, user: &str, hash: ScramHash, salt: &[u8]) -> Option<ScramCredentials> {
        let _ = (user, hash, salt);
        None
    }

    /// The iteration count told to users that are not known; it should be that of those who are. Default 4096.
    fn scram_iterations(&self) -> u32 {
        MIN_ITERATIONS
    }

    /// The user whom a TLS client certificate, already verified, stands for. By default there is none.
    fn external(&self, certificate: &ClientCertificate) -> Option<String> {
        let _ = certificate;
        None
    }

    /// The user whom a bearer token stands for.
    ///
    /// # Errors
    /// Why the token is refused, in words for the client; by default every token is.
    fn bearer(&self, token: BearerToken<'_>) -> Result<String, BearerRefusal> {
        let _ = token;
        Err(BearerRefusal::new("invalid_token"))
    }
}

/// A fixed list of users, who may log in with SCRAM-SHA-512, SCRAM-SHA-256 and PLAIN.
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

    fn mechanisms(&self) -> Vec<Mechanism> {
        let mut mechanisms = Vec::new();
        if !self.users.is_empty() || !self.anonymous {
            mechanisms.push(Mechanism::Scram(ScramHash::Sha512));
            mechanisms.push(Mechanism::Scram(ScramHash::Sha256));
        }
        mechanisms.push(Mechanism::Plain);
        if self.anonymous {
            mechanisms.push(Mechanism::Anonymous);
        }
        mechanisms
    }

    fn scram(&self, user: &str, hash: ScramHash, salt: &[u8]) -> Option<ScramCredentials> {
        let known = self.users.iter().find(|(known, _)| normalize(known) == user);
        let password = known.map_or("", |(_, password)| password.as_str());
        // Derived for nobody too: it is this that takes time.
        let credentials = ScramCredentials::derive(hash, password, salt, MIN_ITERATIONS);
        known.map(|_| credentials)
    }
}

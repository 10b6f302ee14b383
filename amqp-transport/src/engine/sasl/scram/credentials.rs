//! What a listener keeps of a password for SCRAM (RFC 5802, §2.2 and §3).

use super::{MIN_ITERATIONS, ScramHash};
use crate::engine::sasl::same;
use ring::hmac;
use std::fmt;
use std::num::NonZeroU32;

/// What a listener keeps of a password for SCRAM: enough to check a client, not enough to be one.
///
/// ```
/// use amqp_transport::{ScramCredentials, ScramHash};
///
/// # let random = [7; 16];
/// let kept = ScramCredentials::derive(ScramHash::Sha256, "pa55word", &random, 4096);
/// assert!(kept.is_password("pa55word") && !kept.is_password("guess"));
/// // The four parts may be stored and put together again.
/// let again = ScramCredentials::from_keys(
///     kept.hash(), kept.salt(), kept.iterations(), kept.stored_key(), kept.server_key(),
/// );
/// assert_eq!(again, kept);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredentials {
    hash: ScramHash,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl ScramCredentials {
    /// From a password. The salt should be 16 random octets, another for each user; fewer than 4096 iterations, the
    /// least that clients take, are taken as 4096.
    #[must_use]
    pub fn derive(hash: ScramHash, password: &str, salt: &[u8], iterations: u32) -> Self {
        let iterations = at_least(iterations);
        let salted = hash.salted(password, salt, iterations);
        let stored_key = hash.digest(&hash.hmac(&salted, b"Client Key"));
        let server_key = hash.hmac(&salted, b"Server Key");
        Self { hash, salt: salt.to_vec(), iterations, stored_key, server_key }
    }

    /// From the parts that were stored: `StoredKey` and `ServerKey` as octets, without base64.
    #[must_use]
    pub fn from_keys(
        hash: ScramHash,
        salt: &[u8],
        iterations: u32,
        stored_key: &[u8],
        server_key: &[u8],
    ) -> Self {
        Self {
            hash,
            salt: salt.to_vec(),
            iterations: at_least(iterations),
            stored_key: stored_key.to_vec(),
            server_key: server_key.to_vec(),
        }
    }

    /// Whether this is the password, for mechanisms that show it. Takes as long as a derivation.
    #[must_use]
    pub fn is_password(&self, password: &str) -> bool {
        let salted = self.hash.salted(password, &self.salt, self.iterations);
        same(&self.stored_key, &self.hash.digest(&self.hash.hmac(&salted, b"Client Key")))
    }

    /// The hash function that they were made with.
    #[must_use]
    pub const fn hash(&self) -> ScramHash {
        self.hash
    }

    /// The salt, which clients are told.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iteration count, which clients are told.
    #[must_use]
    pub const fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    /// `StoredKey`, which clients are checked with. Keep it out of logs.
    #[must_use]
    pub fn stored_key(&self) -> &[u8] {
        &self.stored_key
    }

    /// `ServerKey`, which proves the listener to clients. Keep it out of logs.
    #[must_use]
    pub fn server_key(&self) -> &[u8] {
        &self.server_key
    }
}

impl fmt::Debug for ScramCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredentials")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

fn at_least(iterations: u32) -> NonZeroU32 {
    NonZeroU32::new(iterations.max(MIN_ITERATIONS)).unwrap_or(NonZeroU32::MAX)
}

/// A salt that looks like one of a user: the same for the same name each time, and another for each name.
pub(in super::super) fn invented(secret: &[u8; 32], hash: ScramHash, user: &str) -> [u8; 16] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(hash.mechanism_name().as_bytes());
    context.update(b"\0");
    context.update(user.as_bytes());
    let mut salt = [0; 16];
    for (octet, drawn) in salt.iter_mut().zip(context.sign().as_ref()) {
        *octet = *drawn;
    }
    salt
}

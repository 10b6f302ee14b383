//! SCRAM (RFC 5802, and RFC 7677 for SHA-256): proof of the password by both sides, without showing it.
//!
//! No channel binding is done: the client says `n` ("no"), the listener takes `n` and `y`.

mod client;
mod credentials;
mod message;
mod server;

pub(super) use client::ScramClient;
pub use credentials::ScramCredentials;
pub(super) use credentials::invented;
pub(super) use message::{escape_name, unescape_name};
pub(super) use server::ScramServer;

use super::SaslFault;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::{digest, hmac, pbkdf2};
use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

/// The least iteration count that is accepted from a peer and used here (RFC 5802, §5.1).
pub(super) const MIN_ITERATIONS: u32 = 4096;

/// The hash function of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ScramHash {
    /// `SCRAM-SHA-1` (RFC 5802): for peers that have nothing better.
    Sha1,
    /// `SCRAM-SHA-256` (RFC 7677).
    Sha256,
    /// `SCRAM-SHA-512`.
    Sha512,
}

impl ScramHash {
    /// The name of the mechanism, such as `SCRAM-SHA-256`.
    #[must_use]
    pub const fn mechanism_name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    /// `H(data)`.
    fn digest(self, data: &[u8]) -> Vec<u8> {
        digest::digest(self.algorithm().digest_algorithm(), data).as_ref().to_vec()
    }

    /// `HMAC(key, data)`.
    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.algorithm(), key), data).as_ref().to_vec()
    }

    /// `Hi(Normalize(password), salt, iterations)`.
    fn salted(self, password: &str, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut salted = vec![0; self.algorithm().digest_algorithm().output_len()];
        pbkdf2::derive(algorithm, iterations, salt, normalize(password).as_bytes(), &mut salted);
        salted
    }
}

/// `SASLprep` (RFC 4013). Characters younger than Unicode 3.2, which it does not know, leave the text as it is: others
/// do the same, and a password with an emoji has to work somewhere.
pub(super) fn normalize(text: &str) -> Cow<'_, str> {
    stringprep::saslprep(text).unwrap_or(Cow::Borrowed(text))
}

/// A number used once: what makes each exchange unlike all others. Whoever drives the engine draws it by lot for each
/// connection; the engine itself has no source of randomness.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// From 24 random octets, which must never be used again.
    ///
    /// ```
    /// # let random = [7; 24];
    /// let nonce = amqp_transport::engine::Nonce::new(&random);
    /// ```
    #[must_use]
    pub fn new(random: &[u8; 24]) -> Self {
        Self(STANDARD_NO_PAD.encode(random))
    }

    /// The text of a published exchange.
    #[cfg(test)]
    pub(crate) fn published(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce")
    }
}

fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

fn from_base64(text: &str, what: &'static str) -> Result<Vec<u8>, SaslFault> {
    STANDARD.decode(text).map_err(|_| SaslFault::Malformed(what))
}

/// One text with another laid over it, octet by octet.
fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

//! The client's side of SCRAM.

use super::message::{ServerFirst, escape_name, server_signature, text};
use super::{MIN_ITERATIONS, Nonce, ScramHash, base64, xor};
use crate::engine::sasl::{SaslFault, same};
use std::fmt;
use std::num::NonZeroU32;

/// A client in the middle of an exchange.
pub(in super::super) struct ScramClient {
    hash: ScramHash,
    password: String,
    max_iterations: u32,
    nonce: String,
    first_bare: String,
    expected: Expected,
}

/// What the peer has yet to say.
enum Expected {
    Challenge,
    /// The proof that it knows the password: this signature.
    Signature(Vec<u8>),
    /// Nothing: it has proved it.
    Outcome,
}

impl fmt::Debug for ScramClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramClient").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl ScramClient {
    /// The exchange, and the `client-first-message`.
    pub(in super::super) fn start(
        hash: ScramHash,
        user: &str,
        password: &str,
        nonce: &Nonce,
        max_iterations: u32,
    ) -> Result<(Self, Vec<u8>), SaslFault> {
        let Nonce(nonce) = nonce.clone();
        let first_bare = format!("n={},r={nonce}", escape_name(user)?);
        let first = format!("n,,{first_bare}").into_bytes();
        let password = password.to_owned();
        Ok((Self { hash, password, max_iterations, nonce, first_bare, expected: Expected::Challenge }, first))
    }

    /// Answers a challenge: the `server-first-message`, or the `server-final-message` from peers that do not put it into
    /// the outcome.
    pub(in super::super) fn on_challenge(&mut self, challenge: &[u8]) -> Result<Vec<u8>, SaslFault> {
        match &self.expected {
            Expected::Challenge => self.prove(challenge),
            Expected::Signature(_) => {
                self.check(challenge)?;
                Ok(Vec::new())
            }
            Expected::Outcome => Err(SaslFault::Malformed("challenge comes after the end of SCRAM")),
        }
    }

    /// The peer says that all is well: it must have proved that it knows the password, at the latest here.
    pub(in super::super) fn on_success(&mut self, additional_data: &[u8]) -> Result<(), SaslFault> {
        match &self.expected {
            Expected::Outcome => Ok(()),
            Expected::Signature(_) if !additional_data.is_empty() => self.check(additional_data),
            Expected::Signature(_) | Expected::Challenge => Err(SaslFault::PeerNotProven),
        }
    }

    fn prove(&mut self, challenge: &[u8]) -> Result<Vec<u8>, SaslFault> {
        let server_first = text(challenge, "challenge of SCRAM is malformed")?;
        let ServerFirst { nonce, salt, iterations } = ServerFirst::parse(server_first)?;
        if nonce.strip_prefix(&self.nonce).is_none_or(str::is_empty) {
            return Err(SaslFault::Nonce);
        }
        let out_of_range =
            SaslFault::Iterations { asked: iterations, min: MIN_ITERATIONS, max: self.max_iterations };
        let iterations = u32::try_from(iterations)
            .ok()
            .filter(|asked| (MIN_ITERATIONS..=self.max_iterations).contains(asked))
            .and_then(NonZeroU32::new)
            .ok_or(out_of_range)?;
        let hash = self.hash;
        let salted = hash.salted(&self.password, &salt, iterations);
        self.password.clear();
        let client_key = hash.hmac(&salted, b"Client Key");
        let without_proof = format!("c={},r={nonce}", base64(b"n,,"));
        let said = format!("{},{server_first},{without_proof}", self.first_bare);
        let client_signature = hash.hmac(&hash.digest(&client_key), said.as_bytes());
        let proof = xor(&client_key, &client_signature);
        let server_key = hash.hmac(&salted, b"Server Key");
        self.expected = Expected::Signature(hash.hmac(&server_key, said.as_bytes()));
        Ok(format!("{without_proof},p={}", base64(&proof)).into_bytes())
    }

    fn check(&mut self, server_final: &[u8]) -> Result<(), SaslFault> {
        let signature = server_signature(server_final)?;
        match &self.expected {
            Expected::Signature(expected) if same(expected, &signature) => {
                self.expected = Expected::Outcome;
                Ok(())
            }
            _ => Err(SaslFault::PeerNotProven),
        }
    }
}

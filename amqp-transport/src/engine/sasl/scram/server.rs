//! The listener's side of SCRAM.

use super::message::{ClientFinal, ClientFirst};
use super::{Nonce, ScramCredentials, ScramHash, base64, invented, normalize, xor};
use crate::engine::sasl::{Authenticator, SaslFault, same};
use std::fmt;

/// A listener in the middle of an exchange.
pub(in super::super) struct ScramServer {
    user: String,
    gs2_header: String,
    nonce: String,
    /// Both first messages, with the comma between them.
    said: String,
    credentials: ScramCredentials,
    /// Not so for a user who is not known, or may not speak for the one named: the exchange goes on all the same.
    is_admissible: bool,
}

impl fmt::Debug for ScramServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramServer").field("hash", &self.credentials.hash()).finish_non_exhaustive()
    }
}

impl ScramServer {
    /// The exchange, and the `server-first-message`.
    pub(in super::super) fn start(
        authenticator: &dyn Authenticator,
        hash: ScramHash,
        client_first: &[u8],
        nonce: &Nonce,
        salt_secret: &[u8; 32],
    ) -> Result<(Self, Vec<u8>), SaslFault> {
        let first = ClientFirst::parse(client_first)?;
        let user = normalize(&first.user).into_owned();
        let salt = invented(salt_secret, hash, &user);
        let known = authenticator.scram(&user, hash, &salt).filter(|known| known.hash() == hash);
        let is_itself = first.authzid.as_ref().is_none_or(|authzid| normalize(authzid) == user);
        let is_admissible = known.is_some() && is_itself;
        let credentials = known.unwrap_or_else(|| {
            let nobodys = hash.hmac(salt_secret, &salt);
            ScramCredentials::from_keys(hash, &salt, authenticator.scram_iterations(), &nobodys, &nobodys)
        });
        let nonce = format!("{}{}", first.nonce, nonce.0);
        let server_first =
            format!("r={nonce},s={},i={}", base64(credentials.salt()), credentials.iterations());
        let said = format!("{},{server_first}", first.bare);
        let gs2_header = first.gs2_header.to_owned();
        Ok((Self { user, gs2_header, nonce, said, credentials, is_admissible }, server_first.into_bytes()))
    }

    /// The user and the `server-final-message`, if the `client-final-message` proves that the password is known.
    /// Nothing tells an unknown user from a wrong password.
    pub(in super::super) fn finish(self, client_final: &[u8]) -> Result<(String, Vec<u8>), SaslFault> {
        const REFUSED: SaslFault = SaslFault::Malformed("proof of the password is wrong");
        let message = ClientFinal::parse(client_final)?;
        if message.nonce != self.nonce {
            return Err(SaslFault::Nonce);
        }
        if message.channel_binding != self.gs2_header.as_bytes() {
            return Err(SaslFault::Malformed("last message of SCRAM belongs to another first one"));
        }
        let hash = self.credentials.hash();
        let said = format!("{},{}", self.said, message.without_proof);
        let signature = hash.hmac(self.credentials.stored_key(), said.as_bytes());
        let client_key = xor(&message.proof, &signature);
        let is_proven = message.proof.len() == signature.len()
            && same(&hash.digest(&client_key), self.credentials.stored_key());
        if !(is_proven && self.is_admissible) {
            return Err(REFUSED);
        }
        let signature = hash.hmac(self.credentials.server_key(), said.as_bytes());
        Ok((self.user, format!("v={}", base64(&signature)).into_bytes()))
    }
}

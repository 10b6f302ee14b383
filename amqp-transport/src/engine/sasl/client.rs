//! What a client says after its sasl-init, by mechanism.

use super::bearer::{self, SEPARATOR};
use super::scram::ScramClient;
use super::{Nonce, Sasl, SaslFault, plain};

/// A client in the middle of an exchange.
#[derive(Debug)]
pub(super) enum ClientExchange {
    /// All is said with the first message.
    Said,
    /// SCRAM.
    Scram(Box<ScramClient>),
    /// A bearer token. A challenge is the peer's complaint, to be acknowledged with these octets.
    Bearer { acknowledgement: &'static [u8], complaint: Option<SaslFault> },
}

impl ClientExchange {
    /// The exchange and its first message, for a choice that the peer offers.
    pub(super) fn start(
        sasl: &Sasl,
        nonce: Option<&Nonce>,
        max_iterations: u32,
    ) -> Result<(Self, Vec<u8>), SaslFault> {
        match sasl {
            Sasl::Plain { user, password } => Ok((Self::Said, plain::response(user, password)?)),
            // Some trace text is customary; RabbitMQ 3.x is happier with a response than without one.
            Sasl::Anonymous => Ok((Self::Said, b"anonymous".to_vec())),
            // Empty, not absent: the identity comes from TLS.
            Sasl::External => Ok((Self::Said, Vec::new())),
            Sasl::Scram { hash, user, password } => {
                let nonce =
                    nonce.ok_or(SaslFault::Unusable("SCRAM needs a nonce, and the engine was given none"))?;
                let (scram, first) = ScramClient::start(*hash, user, password, nonce, max_iterations)?;
                Ok((Self::Scram(Box::new(scram)), first))
            }
            Sasl::OAuthBearer { user, token } => {
                let first = bearer::oauthbearer(user.as_deref(), token)?;
                Ok((Self::Bearer { acknowledgement: SEPARATOR, complaint: None }, first))
            }
            Sasl::XOAuth2 { user, token } => {
                let first = bearer::xoauth2(user, token)?;
                Ok((Self::Bearer { acknowledgement: b"", complaint: None }, first))
            }
            Sasl::FirstOffered(_) | Sasl::None => Err(SaslFault::Unusable("no SASL mechanism is chosen")),
        }
    }

    /// The answer to a challenge.
    pub(super) fn on_challenge(&mut self, challenge: &[u8]) -> Result<Vec<u8>, SaslFault> {
        match self {
            // Nothing more to say, but an empty answer is always legal.
            Self::Said => Ok(Vec::new()),
            Self::Scram(scram) => scram.on_challenge(challenge),
            Self::Bearer { acknowledgement, complaint } => {
                *complaint = Some(SaslFault::refused(challenge));
                Ok(acknowledgement.to_vec())
            }
        }
    }

    /// The peer says that all is well. Not if it still owes a proof.
    pub(super) fn on_success(&mut self, additional_data: &[u8]) -> Result<(), SaslFault> {
        match self {
            Self::Said | Self::Bearer { .. } => Ok(()),
            Self::Scram(scram) => scram.on_success(additional_data),
        }
    }

    /// Why the peer refused, if it said so.
    pub(super) fn into_complaint(self) -> Option<SaslFault> {
        match self {
            Self::Bearer { complaint, .. } => complaint,
            Self::Said | Self::Scram(_) => None,
        }
    }
}

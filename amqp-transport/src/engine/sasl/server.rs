//! What a listener makes of a client's messages, by mechanism.

use super::bearer::{on_oauthbearer, on_xoauth2};
use super::scram::ScramServer;
use super::{Authenticator, ClientCertificate, Identity, Mechanism, Nonce, SaslFault, plain};

/// What a listener knows of a connection when a client authenticates.
pub(super) struct Scene<'a> {
    pub(super) authenticator: &'a dyn Authenticator,
    pub(super) certificate: Option<&'a ClientCertificate>,
    pub(super) nonce: Option<&'a Nonce>,
    pub(super) salt_secret: &'a [u8; 32],
}

/// A listener that waits for a response.
#[derive(Debug)]
pub(super) enum ServerExchange {
    /// The client gave no initial response, and an empty challenge asked for it (RFC 4422, §3.1).
    Initial(Mechanism),
    /// The proof of SCRAM.
    Scram(Box<ScramServer>),
    /// The client has been told why its token is refused; whatever it says, it fails (RFC 7628, §3.2.3).
    Refused,
}

/// What a listener does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Sends this challenge and waits for the response.
    Challenge(ServerExchange, Vec<u8>),
    /// Lets the client in, with additional data of the mechanism.
    Success(Identity, Option<Vec<u8>>),
    /// Sends the client away. The reason is for the listener's own log.
    Failure(SaslFault),
}

const MALFORMED: SaslFault = SaslFault::Malformed("response is malformed");
const WRONG: SaslFault = SaslFault::Malformed("credentials are wrong");

impl Scene<'_> {
    /// The mechanisms for this connection.
    pub(super) fn offered(&self) -> Vec<Mechanism> {
        let mut mechanisms = self.authenticator.mechanisms();
        mechanisms.retain(|mechanism| match mechanism {
            Mechanism::External => self.certified_user().is_some(),
            Mechanism::Scram(_) => self.nonce.is_some(),
            Mechanism::Anonymous => self.authenticator.anonymous(),
            Mechanism::OAuthBearer | Mechanism::XOAuth2 | Mechanism::Plain => true,
        });
        mechanisms
    }

    fn certified_user(&self) -> Option<String> {
        self.authenticator.external(self.certificate?)
    }

    /// The client chose a mechanism that was offered.
    pub(super) fn start(&self, mechanism: Mechanism, response: Option<&[u8]>) -> Step {
        match (mechanism, response) {
            // These are often begun without a response; what would be in it does not matter or is empty.
            (Mechanism::Anonymous | Mechanism::External, None) => self.on_initial(mechanism, b""),
            (_, None) => Step::Challenge(ServerExchange::Initial(mechanism), Vec::new()),
            (_, Some(response)) => self.on_initial(mechanism, response),
        }
    }

    /// The client answered a challenge.
    pub(super) fn proceed(&self, exchange: ServerExchange, response: &[u8]) -> Step {
        match exchange {
            ServerExchange::Initial(mechanism) => self.on_initial(mechanism, response),
            ServerExchange::Scram(scram) => match scram.finish(response) {
                Ok((user, server_final)) => Step::Success(Identity::User(user), Some(server_final)),
                Err(fault) => Step::Failure(fault),
            },
            ServerExchange::Refused => Step::Failure(WRONG),
        }
    }

    fn on_initial(&self, mechanism: Mechanism, response: &[u8]) -> Step {
        match mechanism {
            Mechanism::Anonymous => Step::Success(Identity::Anonymous, None),
            Mechanism::Plain => self.plain(response),
            Mechanism::External => self.external(response),
            Mechanism::Scram(hash) => {
                let Some(nonce) = self.nonce else { return Step::Failure(WRONG) };
                match ScramServer::start(self.authenticator, hash, response, nonce, self.salt_secret) {
                    Ok((scram, first)) => Step::Challenge(ServerExchange::Scram(Box::new(scram)), first),
                    Err(fault) => Step::Failure(fault),
                }
            }
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => {
                let checked = match mechanism {
                    Mechanism::OAuthBearer => {
                        on_oauthbearer(response, |token| self.authenticator.bearer(token))
                    }
                    _ => on_xoauth2(response, |token| self.authenticator.bearer(token)),
                };
                match checked {
                    None => Step::Failure(MALFORMED),
                    Some(Ok(user)) => Step::Success(Identity::User(user), None),
                    Some(Err(refusal)) => {
                        Step::Challenge(ServerExchange::Refused, refusal.to_json().into_bytes())
                    }
                }
            }
        }
    }

    fn plain(&self, response: &[u8]) -> Step {
        match plain::parts(response) {
            Some((authzid, user, password)) if self.authenticator.plain(authzid, user, password) => {
                Step::Success(Identity::User(user.to_owned()), None)
            }
            Some(_) => Step::Failure(WRONG),
            None => Step::Failure(MALFORMED),
        }
    }

    fn external(&self, authzid: &[u8]) -> Step {
        match self.certified_user() {
            Some(user) if authzid.is_empty() || authzid == user.as_bytes() => {
                Step::Success(Identity::User(user), None)
            }
            _ => Step::Failure(WRONG),
        }
    }
}

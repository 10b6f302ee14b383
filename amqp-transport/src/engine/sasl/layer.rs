//! The SASL layer of a connection (§5.3.2): which frame may come now, and what it brings about.

use super::client::ClientExchange;
use super::server::{Scene, ServerExchange, Step};
use super::{Authenticator, ClientCertificate, Identity, Mechanism, Nonce, Sasl};
use crate::engine::limits::Limits;
use crate::error::ConnectionError;
use amqp_codec::security::{
    SaslChallenge, SaslCode, SaslFrame, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse,
};
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_codec::types::Symbol;
use bytes::Bytes;

/// One end of the SASL layer of a connection.
#[derive(Debug, Default)]
pub(crate) struct SaslLayer {
    /// Mechanisms that the listener offers.
    pub(crate) mechanisms: Vec<Symbol>,
    pub(crate) nonce: Option<Nonce>,
    pub(crate) salt_secret: [u8; 32],
    pub(crate) certificate: Option<ClientCertificate>,
    pub(super) frames: u32,
    pub(super) expected: Expected,
}

/// The frame that the peer has to send.
#[derive(Debug, Default)]
pub(super) enum Expected {
    /// None: the layer is not entered, or done.
    #[default]
    Nothing,
    /// Client: sasl-mechanisms.
    Mechanisms,
    /// Client: sasl-challenge or sasl-outcome.
    Challenge(ClientExchange),
    /// Listener: sasl-init.
    Init,
    /// Listener: sasl-response.
    Response(ServerExchange),
}

/// What a frame brought about.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The exchange goes on with this frame.
    Reply(SaslFrame),
    /// The client is in. A listener tells it so.
    Authenticated(Identity, Option<SaslFrame>),
    /// It is over. A listener tells the client.
    Failed(ConnectionError, Option<SaslFrame>),
}

impl SaslLayer {
    /// A client enters the layer.
    pub(crate) fn enter_as_client(&mut self) {
        self.expected = Expected::Mechanisms;
    }

    /// A listener enters the layer: what it offers, unless there is nothing.
    pub(crate) fn enter_as_listener(&mut self, authenticator: &dyn Authenticator) -> Option<SaslFrame> {
        self.mechanisms = self.scene(authenticator).offered().into_iter().map(Mechanism::symbol).collect();
        self.expected = Expected::Init;
        let offer = SaslMechanisms { sasl_server_mechanisms: self.mechanisms.clone() };
        (!self.mechanisms.is_empty()).then_some(SaslFrame::Mechanisms(offer))
    }

    /// Counts a frame, before it is looked at. False if there are too many.
    pub(crate) const fn admits_frame(&mut self, limits: &Limits) -> bool {
        self.frames = self.frames.saturating_add(1);
        self.frames <= limits.max_sasl_frames
    }

    /// A client's reaction to a frame of the listener, or to what is none that is admitted.
    pub(crate) fn on_listeners(
        &mut self,
        frame: Result<SaslFrame, ErrorInfo>,
        sasl: &Sasl,
        hostname: Option<&str>,
        limits: &Limits,
    ) -> Progress {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Progress::Failed(ConnectionError::Violation(error), None),
        };
        match (frame, std::mem::take(&mut self.expected)) {
            (SaslFrame::Mechanisms(mechanisms), Expected::Mechanisms) => {
                self.mechanisms = mechanisms.sasl_server_mechanisms;
                self.choose(sasl, hostname, limits)
            }
            (SaslFrame::Challenge(challenge), Expected::Challenge(mut exchange)) => {
                match exchange.on_challenge(&challenge.challenge) {
                    Ok(response) => {
                        self.expected = Expected::Challenge(exchange);
                        Progress::Reply(SaslFrame::Response(SaslResponse::new(Bytes::from(response))))
                    }
                    Err(fault) => Progress::Failed(fault.into(), None),
                }
            }
            (SaslFrame::Outcome(outcome), Expected::Challenge(exchange)) => {
                self.on_outcome(&outcome, exchange)
            }
            (frame, _) => Progress::Failed(out_of_place(&frame), None),
        }
    }

    fn choose(&mut self, sasl: &Sasl, hostname: Option<&str>, limits: &Limits) -> Progress {
        let Some((choice, mechanism)) = sasl.among(&self.mechanisms) else {
            return Progress::Failed(self.refused(None), None);
        };
        match ClientExchange::start(choice, self.nonce.as_ref(), limits.max_scram_iterations) {
            Ok((exchange, first)) => {
                self.expected = Expected::Challenge(exchange);
                let mut init = SaslInit::new(mechanism.symbol());
                init.initial_response = Some(Bytes::from(first).into());
                init.hostname = hostname.map(Into::into);
                Progress::Reply(SaslFrame::Init(init))
            }
            Err(fault) => Progress::Failed(fault.into(), None),
        }
    }

    fn on_outcome(&self, outcome: &SaslOutcome, mut exchange: ClientExchange) -> Progress {
        match outcome.code {
            SaslCode::Ok => {
                match exchange.on_success(outcome.additional_data.as_deref().unwrap_or_default()) {
                    Ok(()) => Progress::Authenticated(Identity::Anonymous, None),
                    Err(fault) => Progress::Failed(fault.into(), None),
                }
            }
            SaslCode::Auth => match exchange.into_complaint() {
                Some(complaint) => Progress::Failed(complaint.into(), None),
                None => Progress::Failed(self.refused(Some(SaslCode::Auth)), None),
            },
            code => Progress::Failed(self.refused(Some(code)), None),
        }
    }

    /// A listener's reaction to a frame of the client, or to what is none that is admitted.
    pub(crate) fn on_clients(
        &mut self,
        frame: Result<SaslFrame, ErrorInfo>,
        authenticator: &dyn Authenticator,
    ) -> Progress {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return self.send_away(SaslCode::Sys, ConnectionError::Violation(error)),
        };
        let expected = std::mem::take(&mut self.expected);
        let scene = self.scene(authenticator);
        let step = match (frame, expected) {
            (SaslFrame::Init(init), Expected::Init) => {
                let is_offered = self.mechanisms.contains(&init.mechanism);
                match Mechanism::named(init.mechanism.as_str()).filter(|_| is_offered) {
                    Some(mechanism) => scene.start(mechanism, init.initial_response.as_deref()),
                    None => return self.send_away(SaslCode::Auth, self.refused(Some(SaslCode::Auth))),
                }
            }
            (SaslFrame::Response(response), Expected::Response(exchange)) => {
                scene.proceed(exchange, &response.response)
            }
            // §5.3.2: anything else is fatal, and there is no AMQP close to say so.
            (frame, _) => return self.send_away(SaslCode::Sys, out_of_place(&frame)),
        };
        match step {
            Step::Challenge(exchange, challenge) => {
                self.expected = Expected::Response(exchange);
                Progress::Reply(SaslFrame::Challenge(SaslChallenge::new(Bytes::from(challenge))))
            }
            Step::Success(identity, additional_data) => {
                let mut outcome = SaslOutcome::new(SaslCode::Ok);
                outcome.additional_data = additional_data.map(|data| Bytes::from(data).into());
                Progress::Authenticated(identity, Some(SaslFrame::Outcome(outcome)))
            }
            Step::Failure(fault) => {
                tracing::debug!(%fault, "a client was not authenticated");
                self.send_away(SaslCode::Auth, self.refused(Some(SaslCode::Auth)))
            }
        }
    }

    fn scene<'a>(&'a self, authenticator: &'a dyn Authenticator) -> Scene<'a> {
        Scene {
            authenticator,
            certificate: self.certificate.as_ref(),
            nonce: self.nonce.as_ref(),
            salt_secret: &self.salt_secret,
        }
    }

    fn send_away(&self, code: SaslCode, error: ConnectionError) -> Progress {
        Progress::Failed(error, Some(SaslFrame::Outcome(SaslOutcome::new(code))))
    }

    fn refused(&self, code: Option<SaslCode>) -> ConnectionError {
        ConnectionError::Sasl { code, offered: self.mechanisms.clone() }
    }
}

fn out_of_place(frame: &SaslFrame) -> ConnectionError {
    let name = match frame {
        SaslFrame::Mechanisms(_) => "sasl-mechanisms",
        SaslFrame::Init(_) => "sasl-init",
        SaslFrame::Challenge(_) => "sasl-challenge",
        SaslFrame::Response(_) => "sasl-response",
        SaslFrame::Outcome(_) => "sasl-outcome",
    };
    let text = format!("{name} came out of place");
    ConnectionError::Violation(ErrorInfo::new(conditions::NOT_ALLOWED, text))
}

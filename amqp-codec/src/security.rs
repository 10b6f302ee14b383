//! SASL frames (§5.3.3). What they carry may be secret, and is not shown by `Debug`.

use crate::ByteString;
use crate::composite::{Composite, DecodeField, Descriptor, composite, missing, restricted};
use crate::decode::{Decode, Decoder};
use crate::encode::Encode;
use crate::error::DecodeError;
use crate::types::Symbol;
use bytes::{Bytes, BytesMut};
use std::fmt;

restricted! {
    /// How an authentication ended (§5.3.3.6).
    SaslCode: u8 {
        /// Well.
        Ok = 0 => 0;
        /// The credentials are wrong.
        Auth = 1 => 1;
        /// An error of the system.
        Sys = 2 => 2;
        /// An error of the system that stays.
        SysPerm = 3 => 3;
        /// An error of the system that passes.
        SysTemp = 4 => 4;
    }
}

composite! {
    /// The mechanisms that a listener offers (§5.3.3.1).
    SaslMechanisms = 0x40 "amqp:sasl-mechanisms:list" new() {
        /// The preferred one first; at least one.
        multiple sasl_server_mechanisms: Vec<Symbol>;
    }
}

/// Octets that are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Bytes);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.0.len())
    }
}

impl From<Bytes> for Secret {
    fn from(octets: Bytes) -> Self {
        Self(octets)
    }
}

impl std::ops::Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Decode for Secret {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Bytes::decode(input).map(Self)
    }
}

impl Encode for Secret {
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn encode(&self, out: &mut BytesMut) {
        self.0.encode(out);
    }
}

composite! {
    /// The client's choice (§5.3.3.2).
    SaslInit = 0x41 "amqp:sasl-init:list" new(mechanism: Symbol) {
        /// The mechanism.
        mandatory mechanism: Symbol;
        /// What it starts with.
        optional initial_response: Option<Secret>;
        /// The host that is wanted.
        optional hostname: Option<ByteString>;
    }
}

composite! {
    /// A question of the listener (§5.3.3.3).
    SaslChallenge = 0x42 "amqp:sasl-challenge:list" new(challenge: Secret) {
        /// The question.
        mandatory challenge: Secret;
    }
}

composite! {
    /// The client's answer (§5.3.3.4).
    SaslResponse = 0x43 "amqp:sasl-response:list" new(response: Secret) {
        /// The answer.
        mandatory response: Secret;
    }
}

composite! {
    /// How it ended (§5.3.3.5).
    SaslOutcome = 0x44 "amqp:sasl-outcome:list" new(code: SaslCode) {
        /// Well or not.
        mandatory code: SaslCode;
        /// What the mechanism ends with.
        optional additional_data: Option<Secret>;
    }
}

impl Default for SaslMechanisms {
    fn default() -> Self {
        Self::new()
    }
}

/// Any SASL frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaslFrame {
    /// The mechanisms offered.
    Mechanisms(SaslMechanisms),
    /// The mechanism chosen.
    Init(SaslInit),
    /// A question.
    Challenge(SaslChallenge),
    /// An answer.
    Response(SaslResponse),
    /// The end.
    Outcome(SaslOutcome),
}

const FRAMES: [Descriptor; 5] = [
    SaslMechanisms::DESCRIPTOR,
    SaslInit::DESCRIPTOR,
    SaslChallenge::DESCRIPTOR,
    SaslResponse::DESCRIPTOR,
    SaslOutcome::DESCRIPTOR,
];

impl Decode for SaslFrame {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match input.descriptor(&FRAMES)? {
            Some(0x40) => {
                let mechanisms = SaslMechanisms::decode_list(input)?;
                if mechanisms.sasl_server_mechanisms.is_empty() {
                    return Err(missing(input, SaslMechanisms::DESCRIPTOR.symbol, "sasl_server_mechanisms"));
                }
                Self::Mechanisms(mechanisms)
            }
            Some(0x41) => Self::Init(SaslInit::decode_list(input)?),
            Some(0x42) => Self::Challenge(SaslChallenge::decode_list(input)?),
            Some(0x43) => Self::Response(SaslResponse::decode_list(input)?),
            Some(0x44) => Self::Outcome(SaslOutcome::decode_list(input)?),
            _ => return Err(input.unexpected("a SASL frame")),
        })
    }
}

impl Encode for SaslFrame {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Mechanisms(mechanisms) => mechanisms.encoded_len(),
            Self::Init(init) => init.encoded_len(),
            Self::Challenge(challenge) => challenge.encoded_len(),
            Self::Response(response) => response.encoded_len(),
            Self::Outcome(outcome) => outcome.encoded_len(),
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Mechanisms(mechanisms) => mechanisms.encode(out),
            Self::Init(init) => init.encode(out),
            Self::Challenge(challenge) => challenge.encode(out),
            Self::Response(response) => response.encode(out),
            Self::Outcome(outcome) => outcome.encode(out),
        }
    }
}

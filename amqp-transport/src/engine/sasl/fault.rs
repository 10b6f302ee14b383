//! Why an exchange was given up by this side.

/// Why a SASL exchange failed although the peer did not simply refuse the credentials.
///
/// No variant repeats anything secret; texts of the peer are bounded and without control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaslFault {
    /// The peer ended the exchange well without having proved that it knows the password, or its proof is wrong: it
    /// may be an impostor (RFC 5802, §3).
    #[error("the peer did not prove that it knows the password")]
    PeerNotProven,
    /// The nonce in the peer's challenge does not continue this side's: the exchange was tampered with.
    #[error("the peer's nonce does not begin with the one sent to it")]
    Nonce,
    /// The iteration count is out of range: below it protects nothing, above it only burns time.
    #[error("the peer asks for {asked} iterations, {min} to {max} are accepted")]
    Iterations {
        /// What the peer asked for.
        asked: u64,
        /// The least accepted (RFC 5802, §5.1).
        min: u32,
        /// The most accepted: [`Limits::max_scram_iterations`](crate::Limits::max_scram_iterations).
        max: u32,
    },
    /// A message of the exchange does not have the form that the mechanism gives it.
    #[error("the peer's {0}")]
    Malformed(&'static str),
    /// The peer ended the exchange with an error of its own: a `server-error` of SCRAM, or the text with which a
    /// bearer token was refused.
    #[error("the peer refused: {0}")]
    Refused(String),
    /// What is configured here cannot be said in the mechanism.
    #[error("{0}")]
    Unusable(&'static str),
}

impl SaslFault {
    /// The peer's own words, fit for a log.
    pub(crate) fn refused(text: &[u8]) -> Self {
        Self::Refused(crate::error::tame(&String::from_utf8_lossy(text)))
    }
}

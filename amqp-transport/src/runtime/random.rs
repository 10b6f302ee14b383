//! The source of randomness, which the engine does not have.

use ring::rand::{SecureRandom, SystemRandom};

/// Octets drawn by lot from the system; none if it has none to give.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut octets = [0; N];
    match SystemRandom::new().fill(&mut octets) {
        Ok(()) => Some(octets),
        Err(_) => {
            tracing::warn!("the system gives no random numbers: SCRAM is not available");
            None
        }
    }
}

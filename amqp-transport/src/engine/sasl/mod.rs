//! SASL (part 5, §5.3): how a client authenticates, and how a listener checks it.
//!
//! [`Sasl`] is a client's choice, [`Authenticator`] a listener's rules. The exchange itself is a state machine a side:
//! `client` and `server` know what comes next, a module a mechanism knows what is said. `layer` carries it in frames.
//!
//! Nothing here is drawn by lot: the nonce of an exchange and the secret behind invented salts are given to the
//! [`Engine`](super::Engine) by whoever drives it.

mod authenticator;
mod bearer;
mod certificate;
mod choice;
mod client;
mod fault;
mod layer;
mod mechanism;
mod plain;
mod scram;
mod server;
#[cfg(test)]
mod tests;

pub use authenticator::{Authenticator, Identity, StaticCredentials};
pub use bearer::{BearerRefusal, BearerToken};
pub use certificate::ClientCertificate;
pub use choice::Sasl;
pub use fault::SaslFault;
pub(crate) use layer::{Progress, SaslLayer};
pub use mechanism::Mechanism;
pub use scram::{Nonce, ScramCredentials, ScramHash};

use subtle::ConstantTimeEq;

/// Equality in a time that depends on the lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

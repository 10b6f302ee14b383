//! Why a command failed: a text for the person who typed it.

use jobs_driver::config::ConfigError;
use jobs_driver::{DriverError, PushError};

use crate::worker::process::SpawnError;

/// The one error of this program. It is only ever printed, so it is a text; what it was made from says what is wrong
/// and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self(error.to_string())
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        Self(error.to_string())
    }
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        Self(error.to_string())
    }
}

impl From<SpawnError> for Failure {
    fn from(error: SpawnError) -> Self {
        Self(error.to_string())
    }
}

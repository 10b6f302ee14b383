//! What the benchmark programs share: the work to be measured, how it is measured, how it is shown.
//!
//! They print figures and assert no times. Every implementation gets the same work in the same run; before anything is
//! measured, each has to read what the others wrote.

pub mod codec;
pub mod jobs;
pub mod machine;
pub mod measure;
pub mod show;
pub mod transport;

/// Whatever went wrong, in words.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Result of the programs.
pub type Result<T> = std::result::Result<T, Error>;

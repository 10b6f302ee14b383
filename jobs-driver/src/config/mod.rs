//! Configuration: the `.rr.yaml` file, its environment, and what the driver makes of it.
//!
//! [`File`] reads the file as RoadRunner does (environment references, overrides, weak types, Go durations) and hands out
//! any section as a typed value. [`JobsConfig`] is the part that this crate needs, checked; it can be built by hand too.
//! Nothing outside this module knows that the file is YAML.

mod de;
mod duration;
mod env;
mod error;
mod file;
mod locate;
mod node;
mod unused;
mod validated;

pub use duration::GoDuration;
pub use env::Environment;
pub use error::ConfigError;
pub use file::{File, LoadOptions};
pub use validated::{
    ConnectionConfig, Declare, DelayConfig, DelayStrategy, Format, JobsConfig, PipelineConfig, ProfileChoice,
    QueueType, RedialConfig, TlsConfig,
};
pub(crate) use validated::{DRIVER, known_pipelines, resolve, without_credentials};

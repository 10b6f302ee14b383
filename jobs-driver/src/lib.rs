//! Background jobs over AMQP 1.0.

pub mod config;
mod driver;
mod error;
mod event;
mod handler;
mod job;
mod queue;

pub use driver::{ActiveJob, BrokerInfo, Driver, NackOptions, PipelineState};
pub use error::{DriverError, PushError, SettleError};
pub use event::Event;
pub use handler::Verdict;
pub use job::{Headers, Job};

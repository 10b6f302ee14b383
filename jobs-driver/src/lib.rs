//! Background jobs over AMQP 1.0: the same job code on RabbitMQ, on the embedded broker and on any other AMQP 1.0 broker,
//! from one configuration.

mod broker;
pub mod config;

mod driver;
mod error;
mod event;
mod fault;
mod handler;
mod job;
mod pipeline;
mod profile;
mod queue;
mod shared;
pub mod wire;

pub use driver::{BrokerInfo, Driver};
pub use error::{DriverError, PushError, SettleError};
pub use event::Event;
pub use handler::Verdict;
pub use job::{Headers, Job};
pub use pipeline::settle::{ActiveJob, NackOptions};
pub use pipeline::stats::PipelineState;

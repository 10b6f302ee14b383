//! Background jobs over AMQP 1.0: the same job code on RabbitMQ, on the embedded broker and on any other AMQP 1.0 broker,
//! from one configuration.
//!
//! A *pipeline* is a named route to a queue. Jobs are pushed to it; consumed jobs of all pipelines wait in one bounded
//! priority queue; whoever takes a job ends it with ack, nack or requeue.
//!
//! ```
//! use std::time::Duration;
//! use jobs_driver::config::{JobsConfig, PipelineConfig};
//! use jobs_driver::{Driver, Job, Verdict};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A broker in this very process; any other is only another address.
//! let broker = amqp_broker::Broker::builder().listen("127.0.0.1:0").anonymous(true).start().await?;
//!
//! let config = JobsConfig::new(&broker.address())?
//!     .pipeline("mail", PipelineConfig::new("mail-queue").prefetch(20))
//!     .consume(["mail"]);
//! let driver = Driver::start(config).await?;
//!
//! // Success means that the broker has it.
//! driver.push(Job::new("mail", "invoice", "{\"number\":17}").with_header("tenant", "acme")).await?;
//!
//! let (done, mut finished) = tokio::sync::mpsc::channel(1);
//! let handling = tokio::spawn({
//!     let driver = driver.clone();
//!     async move {
//!         driver
//!             .handle(8, move |job| {
//!                 let done = done.clone();
//!                 async move {
//!                     if done.send(job.name).await.is_err() {
//!                         return Verdict::Retry { delay: Duration::from_secs(5), reason: "no one there".into() };
//!                     }
//!                     Verdict::Ack
//!                 }
//!             })
//!             .await;
//!     }
//! });
//! assert_eq!(finished.recv().await.as_deref(), Some("invoice"));
//!
//! driver.shutdown(Duration::from_secs(10)).await;
//! handling.await?;
//! # broker.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # From a file
//!
//! [`config::File`] reads a RoadRunner `.rr.yaml` as it is, and [`config::JobsConfig::from_file`] takes what the driver needs
//! from its sections `amqp1` and `jobs`.
//!
//! # What is promised
//!
//! - **At least once.** A push that returned success is stored by the broker. A job is settled only after its verdict;
//!   dropped without one, it goes back. A requeue publishes the changed copy, waits until it is accepted, and only then
//!   settles the original. (A job with `auto_ack` is settled before it runs: at most once, by its producer's wish.)
//! - **Connections come back.** After the first one, a lost connection is opened again for ever, with exponential back-off;
//!   consumers are restored, and pushes wait within their time-out. [`Driver::events`] tells.
//! - **Nothing piles up.** A pipeline holds at most `prefetch` unsettled jobs, the priority queue at most `pipeline_size`.
//! - **No job blocks a queue.** A message that cannot be decoded is rejected with a reason, and told as an event.
//!
//! # Brokers
//!
//! What is at the other end is found out from what it says when the connection opens, anew for every connection.
//!
//! | profile | delays | dead letters | declares |
//! | --- | --- | --- | --- |
//! | `embedded` | natively | with the reason | yes |
//! | `rabbitmq4` | in queues that it declares, one for each rounded delay | with the reason on quorum queues | yes |
//! | `rabbitmq3` | in queues that exist already | as the queue is configured | no |
//! | `generic` | where the broker offers delayed delivery | as the broker is configured | no |

mod broker;
pub mod config;

mod delay;
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

//! Everything that differs between brokers.
//!
//! A [`Profile`] only decides: which address, which session, which outcome, which message annotation. It does no I/O, so
//! that each can be read and tested by itself; the pipelines act on what it says and name no broker.

mod address;
mod buckets;
mod declaration;
mod detect;
mod embedded;
mod generic;
mod rabbitmq3;
mod rabbitmq4;

use std::fmt;
use std::time::{Duration, SystemTime};

use amqp_codec::messaging::Modified;
use amqp_codec::transport::ErrorInfo;
use amqp_codec::types::{Symbol, Value};
use amqp_transport::Outcome;

pub(crate) use address::{exchange_path, queue_path};
pub(crate) use declaration::{ExchangeDeclaration, QueueDeclaration, binding};
pub(crate) use detect::{Recognised, recognise};

use crate::config::{DelayConfig, DelayStrategy, PipelineConfig};
/// Condition of a job that its handler gave up.
const JOB_FAILED: &str = "rr:job-failed";
/// Names of exchanges that mean the default one.
const DEFAULT_EXCHANGES: [&str; 3] = ["", "amq.default", "amqp.default"];

/// How one kind of broker is used.
pub(crate) trait Profile: fmt::Debug + Send + Sync {
    /// The name that the configuration knows it by.
    fn name(&self) -> &'static str;

    /// Whether an error of one link takes the whole session down, so that each link needs a session of its own.
    fn session_per_link(&self) -> bool {
        false
    }

    /// Address to consume a queue from.
    fn queue_source(&self, queue: &str) -> String;

    /// Address to publish to a queue.
    fn queue_target(&self, queue: &str) -> String;

    /// Address to publish to an exchange; `None` where there are no exchanges.
    fn exchange_target(&self, exchange: &str, routing_key: &str) -> Option<String> {
        let _ = (exchange, routing_key);
        None
    }

    /// Whether one link without a target address can publish anywhere (`properties.to`).
    fn has_anonymous_terminus(&self) -> bool {
        false
    }

    /// Whether the node `/management` answers.
    fn has_management(&self) -> bool {
        false
    }

    /// Whether a queue comes into being when it is used.
    fn creates_queues(&self) -> bool {
        false
    }

    /// Whether attaching a target to a missing queue fails. Where it does not, messages vanish, and the queue has to be
    /// looked for first.
    fn checks_targets(&self) -> bool {
        true
    }

    /// How the pipeline's queue is declared.
    fn queue_declaration(&self, queue: &str, config: &PipelineConfig) -> QueueDeclaration {
        QueueDeclaration::for_pipeline(queue, config)
    }

    /// How a delayed publication is made.
    fn delay(&self, request: &DelayRequest<'_>) -> DelayPlan;

    /// How a message that goes back to its queue is held back there until `due`; `None` where only a copy can wait.
    fn return_later(&self, due: SystemTime) -> Option<Modified> {
        let _ = due;
        None
    }

    /// How a job that failed goes back to its queue.
    fn failed(&self, queue: &QueueFacts) -> Outcome {
        let _ = queue;
        Outcome::Released
    }

    /// What somebody should know about the queue before jobs are lost in it.
    fn warning(&self, queue: &QueueFacts) -> Option<String> {
        let _ = queue;
        None
    }

    /// How a job that failed for good is ended: dead-lettered where the queue says so.
    fn dead_letter(&self, reason: &str, queue: &QueueFacts) -> Outcome {
        let _ = queue;
        rejected(reason)
    }

    /// What to do about a missing queue.
    fn missing_queue(&self, queue: &str) -> String {
        format!("queue {queue:?} does not exist on the broker; create it")
    }

    /// What to do about a missing exchange.
    fn missing_exchange(&self, exchange: &str) -> String {
        format!("exchange {exchange:?} does not exist on the broker; create it and bind the queue to it")
    }
}

/// What is known of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueFacts {
    /// `quorum`, `classic`, …; `None` when the broker does not say.
    pub(crate) kind: Option<String>,
    /// The queue's own limit of deliveries, negative for none; `None` when it names none.
    pub(crate) delivery_limit: Option<i64>,
    /// Whether the queue itself names a dead-letter exchange.
    pub(crate) has_dead_letters: bool,
}

/// A publication that is to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DelayRequest<'a> {
    /// How long.
    pub(crate) delay: Duration,
    /// When that is over.
    pub(crate) due: SystemTime,
    /// Where it goes then: an exchange (empty for the default one) …
    pub(crate) exchange: &'a str,
    /// … and a routing key (the queue, for the default exchange).
    pub(crate) routing_key: &'a str,
    /// The pipeline's wishes.
    pub(crate) config: &'a DelayConfig,
}

/// How a delayed publication is made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DelayPlan {
    /// Publish as usual, with this message annotation.
    Annotate(Symbol, Value),
    /// Publish to this queue, which passes the message on in time. Declare it first.
    Declare(QueueDeclaration),
    /// Publish to the queue of this name, which somebody has to have made; with advice for when nobody has.
    Existing { queue: String, advice: String },
    /// It cannot be done: why, and what can be done instead.
    Impossible(String),
}

/// Whether a configured exchange is the default one, that is, none at all.
pub(crate) fn is_default_exchange(exchange: &str) -> bool {
    DEFAULT_EXCHANGES.contains(&exchange)
}

/// `rejected` with a reason.
fn rejected(reason: &str) -> Outcome {
    Outcome::Rejected(Some(ErrorInfo::new(Symbol::from_static(JOB_FAILED), shortened(reason))))
}

/// Reasons travel in one frame: no more than this.
fn shortened(reason: &str) -> String {
    const MOST: usize = 1000;
    reason.chars().take(MOST).collect()
}

/// Epoch milliseconds.
fn millis(time: SystemTime) -> i64 {
    amqp_codec::types::Timestamp::from(time).0
}

/// The plan of a pipeline that wants no delays.
fn switched_off(request: &DelayRequest<'_>) -> Option<DelayPlan> {
    (request.config.strategy == DelayStrategy::None)
        .then(|| DelayPlan::Impossible("delayed jobs are switched off (delay.strategy: none)".to_owned()))
}

#[cfg(test)]
mod tests;

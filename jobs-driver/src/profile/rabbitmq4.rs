//! RabbitMQ 4.0 and later: native AMQP 1.0, addresses of the second version, management over AMQP.

use std::time::Duration;

use amqp_codec::messaging::Modified;
use amqp_codec::types::{Fields, Symbol, Value};
use amqp_transport::Outcome;

use super::address::segment;
use super::buckets::bucket;
use super::{
    DelayPlan, DelayRequest, Profile, QueueDeclaration, QueueFacts, rejected, shortened, switched_off,
};
use crate::config::DelayStrategy;

/// First version in which a bad link leaves its session alone.
const LINK_ERRORS_STAY: (u64, u64, u64) = (4, 2, 0);

/// First version in which a released message costs no attempt, and only a failed one counts.
const RELEASED_IS_FREE: (u64, u64, u64) = (4, 3, 0);
/// Limit of deliveries of a quorum queue that names none.
const DEFAULT_LIMIT: i64 = 20;

#[derive(Debug)]
pub(crate) struct RabbitMq4 {
    version: (u64, u64, u64),
}

impl RabbitMq4 {
    pub(crate) const fn new(version: (u64, u64, u64)) -> Self {
        Self { version }
    }
}

impl Profile for RabbitMq4 {
    fn name(&self) -> &'static str {
        "rabbitmq4"
    }

    fn session_per_link(&self) -> bool {
        self.version < LINK_ERRORS_STAY
    }

    fn queue_source(&self, queue: &str) -> String {
        format!("/queues/{}", segment(queue))
    }

    fn queue_target(&self, queue: &str) -> String {
        self.queue_source(queue)
    }

    fn exchange_target(&self, exchange: &str, routing_key: &str) -> Option<String> {
        let exchange = segment(exchange);
        Some(if routing_key.is_empty() {
            format!("/exchanges/{exchange}")
        } else {
            format!("/exchanges/{exchange}/{}", segment(routing_key))
        })
    }

    fn has_anonymous_terminus(&self) -> bool {
        true
    }

    fn has_management(&self) -> bool {
        true
    }

    fn delay(&self, request: &DelayRequest<'_>) -> DelayPlan {
        if let Some(plan) = switched_off(request) {
            return plan;
        }
        if request.config.strategy == DelayStrategy::Native {
            return DelayPlan::Impossible(
                "RabbitMQ has no native delay for published messages; use delay.strategy: auto".to_owned(),
            );
        }
        let millis = bucket(request.delay, &request.config.buckets);
        let name = waiting_room(request, millis);
        let wait = Duration::from_millis(millis);
        DelayPlan::Declare(QueueDeclaration::waiting_room(name, wait, request.exchange, request.routing_key))
    }

    fn failed(&self, queue: &QueueFacts) -> Outcome {
        // A limit that nobody has set must not throw a job away.
        let is_wanted = queue.has_dead_letters || queue.delivery_limit.is_some();
        if self.version >= RELEASED_IS_FREE && is_quorum(queue) && is_wanted {
            Outcome::Modified(Modified {
                delivery_failed: true,
                undeliverable_here: false,
                message_annotations: None,
            })
        } else {
            Outcome::Released
        }
    }

    fn warning(&self, queue: &QueueFacts) -> Option<String> {
        let limit = queue.delivery_limit.unwrap_or(DEFAULT_LIMIT);
        (is_quorum(queue) && !queue.has_dead_letters && limit >= 0).then(|| {
            format!(
                "this quorum queue drops a job that was handed back {limit} times, for it names no dead-letter exchange; \
                 set x-dead-letter-exchange, or x-delivery-limit: -1, unless a policy does"
            )
        })
    }

    fn dead_letter(&self, reason: &str, queue: &QueueFacts) -> Outcome {
        if is_quorum(queue) {
            // `rejected` drops its reason; annotations stay with the message on its way to the dead letters.
            let mut annotations = Fields::default();
            annotations.insert(Symbol::from_static("x-opt-rr-reason"), Value::from(shortened(reason)));
            Outcome::Modified(Modified {
                delivery_failed: true,
                undeliverable_here: true,
                message_annotations: Some(annotations),
            })
        } else {
            rejected(reason)
        }
    }

    fn missing_queue(&self, queue: &str) -> String {
        format!(
            "queue {queue:?} does not exist on the broker; create it, or set `declare: on` for the pipeline"
        )
    }

    fn missing_exchange(&self, exchange: &str) -> String {
        format!(
            "exchange {exchange:?} does not exist on the broker; create it and bind the queue to it, set `declare: on` \
             for the pipeline, or leave `exchange` out to publish straight to the queue"
        )
    }
}

fn is_quorum(queue: &QueueFacts) -> bool {
    queue.kind.as_deref() == Some("quorum")
}

/// Name of the queue in which jobs for one target wait `millis`. Shared by all who delay jobs for that target.
pub(super) fn waiting_room(request: &DelayRequest<'_>, millis: u64) -> String {
    let key = request.routing_key;
    if request.exchange.is_empty() {
        format!("{key}.delay.{millis}")
    } else {
        // The exchange first: a queue may have the name of a routing key.
        format!("{}.{key}.exchange-delay.{millis}", request.exchange)
    }
}

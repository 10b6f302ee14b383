//! RabbitMQ 3.x with the plugin `rabbitmq_amqp1_0`, a proxy over AMQP 0-9-1: any error of a link ends the session or the
//! connection, only three outcomes are safe, nothing can be declared.

use super::address::old_segment;
use super::buckets::bucket;
use super::rabbitmq4::waiting_room;
use super::{DelayPlan, DelayRequest, Profile, switched_off};
use crate::config::DelayStrategy;

/// First versions in which a target that does not exist is refused; before, messages for it vanish.
const CHECKS_TARGETS: [(u64, u64, u64); 2] = [(3, 11, 20), (3, 12, 2)];

#[derive(Debug)]
pub(crate) struct RabbitMq3 {
    version: Option<(u64, u64, u64)>,
}

impl RabbitMq3 {
    pub(crate) const fn new(version: Option<(u64, u64, u64)>) -> Self {
        Self { version }
    }
}

impl Profile for RabbitMq3 {
    fn name(&self) -> &'static str {
        "rabbitmq3"
    }

    fn session_per_link(&self) -> bool {
        true
    }

    fn queue_source(&self, queue: &str) -> String {
        format!("/amq/queue/{}", old_segment(queue))
    }

    fn queue_target(&self, queue: &str) -> String {
        self.queue_source(queue)
    }

    fn exchange_target(&self, exchange: &str, routing_key: &str) -> Option<String> {
        let exchange = old_segment(exchange);
        Some(if routing_key.is_empty() {
            format!("/exchange/{exchange}")
        } else {
            format!("/exchange/{exchange}/{}", old_segment(routing_key))
        })
    }

    fn checks_targets(&self) -> bool {
        self.version.is_some_and(|version| match version {
            (3, 11, _) => version >= CHECKS_TARGETS[0],
            _ => version >= CHECKS_TARGETS[1],
        })
    }

    fn delay(&self, request: &DelayRequest<'_>) -> DelayPlan {
        if let Some(plan) = switched_off(request) {
            return plan;
        }
        if request.config.strategy == DelayStrategy::Native {
            return DelayPlan::Impossible(
                "RabbitMQ 3 has no native delay; use delay.strategy: auto".to_owned(),
            );
        }
        let millis = bucket(request.delay, &request.config.buckets);
        let queue = waiting_room(request, millis);
        let advice = format!(
            "a delay of {millis} ms needs the queue {queue:?}, which RabbitMQ 3 cannot make over AMQP 1.0; create it with \
             x-message-ttl={millis}, x-dead-letter-exchange={:?}, x-dead-letter-routing-key={:?}",
            request.exchange, request.routing_key
        );
        DelayPlan::Existing { queue, advice }
    }
}

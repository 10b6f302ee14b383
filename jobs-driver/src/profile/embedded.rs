//! The broker of this project: queues come into being on demand, delays are native.

use std::time::SystemTime;

use amqp_codec::messaging::Modified;
use amqp_codec::types::{Fields, Symbol, Value};
use amqp_transport::Outcome;

use super::address::segment;
use super::{DelayPlan, DelayRequest, Profile, QueueFacts, millis, switched_off};

/// Message annotation with the time at which a message may be handed out, in epoch milliseconds.
pub(super) const DELIVERY_TIME: &str = "x-opt-delivery-time";

#[derive(Debug)]
pub(crate) struct Embedded;

impl Profile for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn queue_source(&self, queue: &str) -> String {
        format!("/queues/{}", segment(queue))
    }

    fn queue_target(&self, queue: &str) -> String {
        self.queue_source(queue)
    }

    fn has_management(&self) -> bool {
        true
    }

    fn creates_queues(&self) -> bool {
        true
    }

    fn delay(&self, request: &DelayRequest<'_>) -> DelayPlan {
        switched_off(request).unwrap_or_else(|| annotate(request.due))
    }

    fn return_later(&self, due: SystemTime) -> Option<Modified> {
        let mut annotations = Fields::default();
        annotations.insert(Symbol::from_static(DELIVERY_TIME), Value::Long(millis(due)));
        Some(Modified {
            delivery_failed: true,
            undeliverable_here: false,
            message_annotations: Some(annotations),
        })
    }

    fn failed(&self, _queue: &QueueFacts) -> Outcome {
        Outcome::Modified(Modified {
            delivery_failed: true,
            undeliverable_here: false,
            message_annotations: None,
        })
    }
}

/// The delivery time as a long: some brokers know no other type.
pub(super) fn annotate(due: SystemTime) -> DelayPlan {
    DelayPlan::Annotate(Symbol::from_static(DELIVERY_TIME), Value::Long(millis(due)))
}

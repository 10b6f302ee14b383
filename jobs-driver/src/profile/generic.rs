//! Any other broker: plain names as addresses, only the outcomes that every broker has, delays only where they are offered.

use super::embedded::annotate;
use super::{DelayPlan, DelayRequest, Profile, switched_off};
use crate::config::DelayStrategy;

#[derive(Debug)]
pub(crate) struct Generic {
    delayed_delivery: bool,
    anonymous_relay: bool,
}

impl Generic {
    pub(crate) const fn new(delayed_delivery: bool, anonymous_relay: bool) -> Self {
        Self { delayed_delivery, anonymous_relay }
    }
}

impl Profile for Generic {
    fn name(&self) -> &'static str {
        "generic"
    }

    fn queue_source(&self, queue: &str) -> String {
        queue.to_owned()
    }

    fn queue_target(&self, queue: &str) -> String {
        queue.to_owned()
    }

    fn has_anonymous_terminus(&self) -> bool {
        self.anonymous_relay
    }

    fn delay(&self, request: &DelayRequest<'_>) -> DelayPlan {
        if let Some(plan) = switched_off(request) {
            return plan;
        }
        if self.delayed_delivery || request.config.strategy == DelayStrategy::Native {
            annotate(request.due)
        } else {
            DelayPlan::Impossible(
                "this broker offers no delayed delivery (capability DELAYED_DELIVERY); if it understands the annotation \
                 x-opt-delivery-time all the same, set delay.strategy: native"
                    .to_owned(),
            )
        }
    }
}

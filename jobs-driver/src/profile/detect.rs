//! Who is at the other end: decided from what the peer says in its Open frame, never from its host name.

use std::sync::Arc;

use amqp_codec::types::Value;
use amqp_transport::Peer;

use super::Profile;
use super::embedded::Embedded;
use super::generic::Generic;
use super::rabbitmq3::RabbitMq3;
use super::rabbitmq4::RabbitMq4;
use crate::config::ProfileChoice;
use crate::driver::BrokerInfo;

/// `product` of the broker of this project.
const EMBEDDED_PRODUCT: &str = "rr-jobs embedded broker";
/// Offered by peers that understand delivery times on publications.
const DELAYED_DELIVERY: &str = "DELAYED_DELIVERY";
/// Offered by peers that take messages for any target over one link.
const ANONYMOUS_RELAY: &str = "ANONYMOUS-RELAY";
/// Offered by RabbitMQ 4, whose management node needs paired links.
const LINK_PAIR: &str = "LINK_PAIR_V1_0";
/// Oldest RabbitMQ 4; used when it does not say its version.
const FIRST_4: (u64, u64, u64) = (4, 0, 0);

/// The profile to use, and what to call the broker.
#[derive(Clone, Debug)]
pub(crate) struct Recognised {
    pub(crate) profile: Arc<dyn Profile>,
    pub(crate) info: BrokerInfo,
}

/// Finds the profile for a peer. Done anew for every connection: nodes of one cluster may differ.
pub(crate) fn recognise(peer: &Peer, choice: ProfileChoice) -> Recognised {
    let text = |key: &str| peer.properties.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let offers = |name: &str| peer.offered_capabilities.iter().any(|capability| capability.as_str() == name);
    let said = Said {
        product: text("product"),
        version: text("version"),
        delayed_delivery: offers(DELAYED_DELIVERY),
        anonymous_relay: offers(ANONYMOUS_RELAY),
        link_pair: offers(LINK_PAIR),
    };
    let profile = said.profile(choice);
    let info = BrokerInfo {
        product: if said.product.is_empty() { "unknown broker".to_owned() } else { said.product },
        version: said.version,
        profile: profile.name().to_owned(),
    };
    Recognised { profile, info }
}

/// What the peer says of itself.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) product: String,
    pub(super) version: String,
    pub(super) delayed_delivery: bool,
    pub(super) anonymous_relay: bool,
    pub(super) link_pair: bool,
}

impl Said {
    pub(super) fn profile(&self, choice: ProfileChoice) -> Arc<dyn Profile> {
        let version = version(&self.version);
        match choice {
            ProfileChoice::RabbitMq4 => Arc::new(RabbitMq4::new(version.unwrap_or(FIRST_4))),
            ProfileChoice::RabbitMq3 => Arc::new(RabbitMq3::new(version)),
            ProfileChoice::Embedded => Arc::new(Embedded),
            ProfileChoice::Generic => Arc::new(self.generic()),
            ProfileChoice::Auto => match (self.product.as_str(), version) {
                ("RabbitMQ", Some(version)) if version.0 >= 4 => Arc::new(RabbitMq4::new(version)),
                ("RabbitMQ", None) if self.link_pair => Arc::new(RabbitMq4::new(FIRST_4)),
                ("RabbitMQ", version) => Arc::new(RabbitMq3::new(version)),
                (EMBEDDED_PRODUCT, _) => Arc::new(Embedded),
                ("", _) if self.link_pair => Arc::new(RabbitMq4::new(FIRST_4)),
                _ => Arc::new(self.generic()),
            },
        }
    }

    const fn generic(&self) -> Generic {
        Generic::new(self.delayed_delivery, self.anonymous_relay)
    }
}

/// Major, minor and patch of `4.3.6-rc.1+2`; suffixes are left out, missing numbers are 0.
fn version(text: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = text.split(['.', '-', '+']).map(|part| part.parse::<u64>().ok());
    let major = numbers.next()??;
    let minor = numbers.next().flatten().unwrap_or(0);
    let patch = numbers.next().flatten().unwrap_or(0);
    Some((major, minor, patch))
}

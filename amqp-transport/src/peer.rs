//! The container on the other end of a connection.

use amqp_codec::ByteString;
use amqp_codec::transport::Open;
use amqp_codec::types::{Fields, Symbol};
use std::time::Duration;

/// What the peer said of itself in its open (§2.7.1), and in the SASL exchange before.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Peer {
    /// Name of the container.
    pub container_id: ByteString,
    /// The host that it says it is.
    pub hostname: Option<ByteString>,
    /// Properties such as `product` and `version`.
    pub properties: Fields,
    /// Extensions that it supports.
    pub offered_capabilities: Vec<Symbol>,
    /// SASL mechanisms that it offered; empty without a SASL layer.
    pub mechanisms: Vec<Symbol>,
    /// Highest channel number that it accepts.
    pub channel_max: u16,
    /// Largest frame that it accepts, in octets.
    pub max_frame_size: u32,
    /// How often it wants to see something; none if it does not care.
    pub idle_time_out: Option<Duration>,
}

impl Peer {
    pub(crate) fn new(open: &Open, mechanisms: Vec<Symbol>) -> Self {
        Self {
            container_id: open.container_id.clone(),
            hostname: open.hostname.clone(),
            properties: open.properties.clone().unwrap_or_default(),
            offered_capabilities: open.offered_capabilities.clone(),
            mechanisms,
            channel_max: open.channel_max,
            max_frame_size: open.max_frame_size,
            idle_time_out: open
                .idle_time_out
                .filter(|milliseconds| *milliseconds > 0)
                .map(|milliseconds| Duration::from_millis(u64::from(milliseconds))),
        }
    }

    /// A property that is a string or symbol, such as `product`.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name)?.as_str()
    }

    /// Whether it offers a capability, such as `ANONYMOUS-RELAY`.
    #[must_use]
    pub fn offers(&self, capability: &str) -> bool {
        self.offered_capabilities.iter().any(|offered| offered.as_str() == capability)
    }
}

//! Sources and targets (§3.5).

use crate::ByteString;
use crate::composite::{Composite, DecodeField, Descriptor, composite, restricted};
use crate::decode::{Decode, Decoder};
use crate::encode::Encode;
use crate::error::{DecodeError, Fault, Found, INVALID_FIELD, NOT_IMPLEMENTED};
use crate::messaging::DeliveryState;
use crate::transactions::Coordinator;
use crate::types::{Described, Fields, Symbol, Value};
use bytes::BytesMut;

restricted! {
    /// What of a terminus outlives a crash (§3.5.5).
    TerminusDurability: u32 {
        /// Nothing.
        None = 0 => 0;
        /// Its existence and configuration.
        Configuration = 1 => 1;
        /// Its unsettled deliveries too.
        UnsettledState = 2 => 2;
    }
}

/// When the expiry of a terminus begins to count (§3.5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TerminusExpiryPolicy {
    /// When the link is detached.
    LinkDetach,
    /// When the session ends.
    SessionEnd,
    /// When the connection closes.
    ConnectionClose,
    /// Never.
    Never,
}

impl TerminusExpiryPolicy {
    const fn symbol(self) -> Symbol {
        match self {
            Self::LinkDetach => Symbol::from_static("link-detach"),
            Self::SessionEnd => Symbol::from_static("session-end"),
            Self::ConnectionClose => Symbol::from_static("connection-close"),
            Self::Never => Symbol::from_static("never"),
        }
    }
}

impl Decode for TerminusExpiryPolicy {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let before = input.offset();
        let symbol = Symbol::decode(input)?;
        Ok(match symbol.as_str() {
            "link-detach" => Self::LinkDetach,
            "session-end" => Self::SessionEnd,
            "connection-close" => Self::ConnectionClose,
            "never" => Self::Never,
            _ => {
                let fault = Fault::new(0, "a terminus-expiry-policy", Found::Text("another symbol"));
                return Err(DecodeError::new(before, fault.condition(INVALID_FIELD)));
            }
        })
    }
}

impl Encode for TerminusExpiryPolicy {
    fn encoded_len(&self) -> usize {
        self.symbol().encoded_len()
    }

    fn encode(&self, out: &mut BytesMut) {
        self.symbol().encode(out);
    }
}

composite! {
    /// Where messages come from (§3.5.3).
    Source = 0x28 "amqp:source:list" anywhere() {
        /// The node. Only addresses that are strings are in use.
        optional address: Option<ByteString>;
        /// What of it outlives a crash.
        default durable: TerminusDurability = TerminusDurability::None;
        /// When its expiry begins to count.
        default expiry_policy: TerminusExpiryPolicy = TerminusExpiryPolicy::SessionEnd;
        /// How long it lives from then on, in seconds.
        default timeout: u32 = 0;
        /// Whether a node is to be made for it.
        default dynamic: bool = false;
        /// Properties of such a node.
        optional dynamic_node_properties: Option<Fields>;
        /// `move` or `copy`.
        optional distribution_mode: Option<Symbol>;
        /// Which messages pass: name and filter.
        optional filter: Option<Fields>;
        /// What becomes of a delivery that has no outcome when it is settled.
        optional default_outcome: Option<DeliveryState>;
        /// Outcomes that may be used, by their symbolic descriptors.
        multiple outcomes: Vec<Symbol>;
        /// What the node is to be able to do.
        multiple capabilities: Vec<Symbol>;
    }
}

composite! {
    /// Where messages go (§3.5.4).
    Target = 0x29 "amqp:target:list" anywhere() {
        /// The node; none on a target that is not dynamic means that each message names its own.
        optional address: Option<ByteString>;
        /// What of it outlives a crash.
        default durable: TerminusDurability = TerminusDurability::None;
        /// When its expiry begins to count.
        default expiry_policy: TerminusExpiryPolicy = TerminusExpiryPolicy::SessionEnd;
        /// How long it lives from then on, in seconds.
        default timeout: u32 = 0;
        /// Whether a node is to be made for it.
        default dynamic: bool = false;
        /// Properties of such a node.
        optional dynamic_node_properties: Option<Fields>;
        /// What the node is to be able to do.
        multiple capabilities: Vec<Symbol>;
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::anywhere()
    }
}

impl Default for Target {
    fn default() -> Self {
        Self::anywhere()
    }
}

impl Source {
    /// A source at this address.
    #[must_use]
    pub fn new(address: impl Into<ByteString>) -> Self {
        Self { address: Some(address.into()), ..Self::anywhere() }
    }
}

impl Target {
    /// A target at this address.
    #[must_use]
    pub fn new(address: impl Into<ByteString>) -> Self {
        Self { address: Some(address.into()), ..Self::anywhere() }
    }
}

/// A target of one of the two kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetArchetype {
    /// A node.
    Target(Target),
    /// The coordinator of transactions (§4.5.1).
    Coordinator(Coordinator),
}

impl TargetArchetype {
    /// The address of a node.
    #[must_use]
    pub fn address(&self) -> Option<&ByteString> {
        match self {
            Self::Target(target) => target.address.as_ref(),
            Self::Coordinator(_) => None,
        }
    }

    /// The target, if it is a node.
    #[must_use]
    pub const fn target(&self) -> Option<&Target> {
        match self {
            Self::Target(target) => Some(target),
            Self::Coordinator(_) => None,
        }
    }
}

const TARGETS: [Descriptor; 2] = [Target::DESCRIPTOR, Coordinator::DESCRIPTOR];

impl Decode for TargetArchetype {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match input.descriptor(&TARGETS)? {
            Some(0x29) => Ok(Self::Target(Target::decode_list(input)?)),
            Some(0x30) => Ok(Self::Coordinator(Coordinator::decode_list(input)?)),
            _ => Err(input.unexpected("a target or a coordinator").with_condition(NOT_IMPLEMENTED)),
        }
    }
}

impl Encode for TargetArchetype {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Target(target) => target.encoded_len(),
            Self::Coordinator(coordinator) => coordinator.encoded_len(),
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Target(target) => target.encode(out),
            Self::Coordinator(coordinator) => coordinator.encode(out),
        }
    }
}

/// When a dynamic node goes away (§3.5.10 to §3.5.13); a value of the node property `lifetime-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifetimePolicy {
    /// With the link that made it.
    DeleteOnClose,
    /// When no link is left.
    DeleteOnNoLinks,
    /// When no message is left.
    DeleteOnNoMessages,
    /// When neither is left.
    DeleteOnNoLinksOrMessages,
}

impl From<LifetimePolicy> for Value {
    fn from(policy: LifetimePolicy) -> Self {
        let code: u64 = match policy {
            LifetimePolicy::DeleteOnClose => 0x2b,
            LifetimePolicy::DeleteOnNoLinks => 0x2c,
            LifetimePolicy::DeleteOnNoMessages => 0x2d,
            LifetimePolicy::DeleteOnNoLinksOrMessages => 0x2e,
        };
        Described { descriptor: code.into(), value: Self::List(Vec::new()) }.into()
    }
}

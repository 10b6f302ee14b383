//! How links are to be, as users ask for them. What both directions have in common is written once.

use crate::engine::credit::Credit;
use crate::engine::{AbortPolicy, LinkOptions, Resumption, Termini};
use crate::filter::Filter;
use amqp_codec::messaging::{
    DeliveryState, LifetimePolicy, Source, Target, TerminusDurability, TerminusExpiryPolicy,
};
use amqp_codec::transport::{ReceiverSettleMode, Role, SenderSettleMode};
use amqp_codec::types::{Fields, Symbol, Value};
use std::time::Duration;
use uuid::Uuid;

/// How a link to send on is to be. Only the address is needed.
#[derive(Debug, Clone)]
#[must_use = "pass it to Session::sender"]
pub struct SenderOptions {
    name: Option<String>,
    source: Source,
    target: Target,
    link: LinkOptions,
}

/// How a link to receive on is to be. Only the address is needed.
#[derive(Debug, Clone)]
#[must_use = "pass it to Session::receiver"]
pub struct ReceiverOptions {
    name: Option<String>,
    source: Source,
    target: Target,
    link: LinkOptions,
}

/// Methods of both directions; `$theirs` is the terminus at the peer.
macro_rules! common_options {
    ($options:ident, $theirs:ident) => {
        impl $options {
            fn with(role: Role, source: Source, target: Target, credit: Credit) -> Self {
                let mut link = LinkOptions::new("".into(), role, Termini::default(), credit);
                link.abort_policy = AbortPolicy::Detach;
                Self { name: None, source, target, link }
            }

            /// The link's name, unique between the two containers; a fresh UUID if not set.
            pub fn name(mut self, name: impl Into<String>) -> Self {
                self.name = Some(name.into());
                self
            }

            /// The whole source, in place of what was said of it before.
            pub fn source(mut self, source: Source) -> Self {
                self.source = source;
                self
            }

            /// The whole target, in place of what was said of it before.
            pub fn target(mut self, target: Target) -> Self {
                self.target = target;
                self
            }

            /// A capability that the node is to have, such as `queue`.
            pub fn capability(mut self, capability: &'static str) -> Self {
                self.$theirs.capabilities.push(Symbol::from_static(capability));
                self
            }

            /// A link property, such as `paired`. A name that is no symbol (ASCII) is left out.
            pub fn property(mut self, name: &str, value: impl Into<Value>) -> Self {
                insert(&mut self.link.properties, name, value.into());
                self
            }

            /// Asks for an extension of the link (§2.7.3); whether the peer offers it stands in its attach.
            pub fn desired_capability(mut self, capability: &'static str) -> Self {
                self.link.desired_capabilities.push(Symbol::from_static(capability));
                self
            }

            /// An extension of the link that this side supports (§2.7.3).
            pub fn offered_capability(mut self, capability: &'static str) -> Self {
                self.link.offered_capabilities.push(Symbol::from_static(capability));
                self
            }

            /// A property that a node made for this link is to have (§3.5.9). Only for dynamic nodes.
            pub fn node_property(mut self, name: &str, value: impl Into<Value>) -> Self {
                insert(&mut self.$theirs.dynamic_node_properties, name, value.into());
                self
            }

            /// When a node made for this link goes away again (§3.5.10 and on). Only for dynamic nodes; if it is not set,
            /// the peer decides, usually with the link.
            pub fn lifetime(self, policy: LifetimePolicy) -> Self {
                self.node_property("lifetime-policy", policy)
            }

            /// What of the peer's terminus is to outlive a crash of it (§3.5.5); nothing if not set.
            pub const fn durability(mut self, durability: TerminusDurability) -> Self {
                self.$theirs.durable = durability;
                self
            }

            /// When the expiry of the peer's terminus begins to count (§3.5.6), and how long it lives from then on, in
            /// whole seconds. If not set: it goes with the session.
            pub fn expiry(mut self, policy: TerminusExpiryPolicy, after: Duration) -> Self {
                self.$theirs.expiry_policy = policy;
                self.$theirs.timeout = u32::try_from(after.as_secs()).unwrap_or(u32::MAX);
                self
            }

            /// Makes the link one that can be suspended and resumed (§2.6.13): what is unsettled is kept until it is settled,
            /// but for messages in parts and within transactions. The peer has to support it; see [`Session::resume_sender`](crate::Session::resume_sender) and
            /// [`Session::resume_receiver`](crate::Session::resume_receiver).
            pub fn resumable(mut self) -> Self {
                self.link.resumption = Some(Resumption::default());
                self
            }

            /// The same at the node of this address.
            pub(crate) fn address(mut self, address: String) -> Self {
                self.$theirs.address = Some(address.into());
                self
            }

            pub(crate) fn into_link(self) -> LinkOptions {
                let mut link = self.link;
                link.name = self.name.unwrap_or_else(|| Uuid::new_v4().to_string()).into();
                link.termini = Termini::new(self.source, self.target);
                link
            }
        }
    };
}

common_options!(SenderOptions, target);
common_options!(ReceiverOptions, source);

fn insert(fields: &mut Option<Fields>, name: &str, value: Value) {
    if let Ok(name) = Symbol::try_from(name) {
        fields.get_or_insert_default().insert(name, value);
    }
}

impl SenderOptions {
    /// Sends to the node at this address.
    pub fn new(address: impl Into<String>) -> Self {
        let target = Target { address: Some(address.into().into()), ..Target::default() };
        Self::with(Role::Sender, Source::default(), target, Credit::Manual)
    }

    /// Sends to wherever each message's `properties.to` says. The peer must offer `ANONYMOUS-RELAY`; else attaching fails
    /// with [`LinkError::NotOffered`](crate::LinkError::NotOffered).
    pub fn anonymous_terminus() -> Self {
        Self::with(Role::Sender, Source::default(), Target::default(), Credit::Manual)
    }

    /// Sends to a node that the peer makes for this link (§3.5.4); its address is known once the link is attached
    /// ([`Sender::address`](crate::Sender::address)).
    pub fn dynamic() -> Self {
        let target = Target { dynamic: true, ..Target::default() };
        Self::with(Role::Sender, Source::default(), target, Credit::Manual)
    }

    /// Whether messages go out unsettled, settled, or as each send says (the default).
    pub const fn settle_mode(mut self, mode: SenderSettleMode) -> Self {
        self.link.snd_settle_mode = mode;
        self
    }

    /// Whether the receiver forgets a message as soon as it has decided (first, the default), or only when it has heard
    /// that its outcome arrived here (second). With second, a [resumed](SenderOptions::resumable) link learns outcomes
    /// that were lost with a connection, and no message comes twice; see
    /// [`Sender::remote_attach`](crate::Sender::remote_attach) for what the peer agreed to.
    pub const fn receiver_settle_mode(mut self, mode: ReceiverSettleMode) -> Self {
        self.link.rcv_settle_mode = mode;
        self
    }

    /// How a message is taken back that [`Sender::stream`](crate::Sender::stream) has sent a part of. By default the link is
    /// closed, which every peer understands: outcomes of other messages that are under way on it stay unknown. With
    /// [`AbortPolicy::Abort`] a frame says so and the link goes on; a peer that does not know of aborted deliveries, such as
    /// RabbitMQ 4, would take what it has of the message for the whole.
    pub const fn abort_policy(mut self, policy: AbortPolicy) -> Self {
        self.link.abort_policy = policy;
        self
    }
}

impl ReceiverOptions {
    /// Receives from the node at this address, at most 100 messages ahead.
    pub fn new(address: impl Into<String>) -> Self {
        let source = Source { address: Some(address.into().into()), ..Source::default() };
        Self::with(Role::Receiver, source, Target::default(), Credit::Auto(100))
    }

    /// Receives from a node that the peer makes for this link (§3.5.3), such as a queue for answers; its address is known
    /// once the link is attached ([`Receiver::address`](crate::Receiver::address)).
    ///
    /// ```no_run
    /// # async fn run(session: amqp_transport::Session) -> Result<(), Box<dyn std::error::Error>> {
    /// use amqp_codec::messaging::LifetimePolicy;
    /// use amqp_transport::ReceiverOptions;
    /// let answers = session
    ///     .receiver(ReceiverOptions::dynamic().lifetime(LifetimePolicy::DeleteOnClose))
    ///     .await?;
    /// println!("answers go to {:?}", answers.address());
    /// # Ok(()) }
    /// ```
    pub fn dynamic() -> Self {
        let source = Source { dynamic: true, ..Source::default() };
        Self::with(Role::Receiver, source, Target::default(), Credit::Auto(100))
    }

    /// How deliveries are asked for.
    pub const fn credit(mut self, credit: Credit) -> Self {
        self.link.credit = credit;
        self
    }

    pub(crate) const fn credit_mode(&self) -> Credit {
        self.link.credit
    }

    /// Whether this side settles at once (first, the default) or after the sender (second).
    pub const fn settle_mode(mut self, mode: ReceiverSettleMode) -> Self {
        self.link.rcv_settle_mode = mode;
        self
    }

    /// How the sender is asked to send: settled means at most once.
    pub const fn sender_settle_mode(mut self, mode: SenderSettleMode) -> Self {
        self.link.snd_settle_mode = mode;
        self
    }

    /// Only messages that pass this filter, and all others that are set (§3.5.8). A peer leaves out what it does not
    /// know: see [`Receiver::has_filter`](crate::Receiver::has_filter).
    pub fn filter(mut self, filter: Filter) -> Self {
        let (name, value) = filter.into_parts();
        self.source.filter.get_or_insert_default().insert(name, value);
        self
    }

    /// Whether messages are moved to this link (`move`) or only shown to it (`copy`): the source's distribution-mode.
    pub fn distribution_mode(mut self, mode: &'static str) -> Self {
        self.source.distribution_mode = Some(Symbol::from_static(mode));
        self
    }

    /// What becomes of a delivery that is settled without an outcome (§3.5.3).
    pub fn default_outcome(mut self, outcome: DeliveryState) -> Self {
        self.source.default_outcome = Some(outcome);
        self
    }

    /// The largest message taken, in octets, in place of [`Limits::max_message_size`](crate::Limits::max_message_size);
    /// 0 for no limit.
    pub const fn max_message_size(mut self, octets: u64) -> Self {
        self.link.max_message_size = Some(octets);
        self
    }

    pub(crate) fn into_stream_link(self) -> LinkOptions {
        LinkOptions { streams: true, ..self.into_link() }
    }
}

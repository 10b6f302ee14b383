//! The nine performatives (§2.7).

use super::definitions::{ErrorInfo, ReceiverSettleMode, Role, SenderSettleMode};
use crate::ByteString;
use crate::composite::{Composite, DecodeField, Descriptor, composite};
use crate::decode::{Decode, Decoder};
use crate::encode::Encode;
use crate::error::DecodeError;
use crate::messaging::{DeliveryState, Source, TargetArchetype};
use crate::types::{Fields, Map, Symbol};
use bytes::{Bytes, BytesMut};

composite! {
    /// Negotiates a connection (§2.7.1).
    Open = 0x10 "amqp:open:list" new(container_id: ByteString) {
        /// Name of the container.
        mandatory container_id: ByteString;
        /// The host that is wanted.
        optional hostname: Option<ByteString>;
        /// Largest frame that its issuer takes, in octets.
        default max_frame_size: u32 = u32::MAX;
        /// Highest channel that its issuer takes.
        default channel_max: u16 = u16::MAX;
        /// How often its issuer wants to see a frame, in milliseconds.
        optional idle_time_out: Option<u32>;
        /// Languages for texts that it sends, the preferred one first.
        multiple outgoing_locales: Vec<Symbol>;
        /// Languages for texts that it wants.
        multiple incoming_locales: Vec<Symbol>;
        /// Extensions that it supports.
        multiple offered_capabilities: Vec<Symbol>;
        /// Extensions that it would use.
        multiple desired_capabilities: Vec<Symbol>;
        /// More about it, such as `product`.
        optional properties: Option<Fields>;
    }
}

composite! {
    /// Begins a session on a channel (§2.7.2).
    Begin = 0x11 "amqp:begin:list" new(next_outgoing_id: u32, incoming_window: u32, outgoing_window: u32) {
        /// The channel of the begin that this one answers.
        optional remote_channel: Option<u16>;
        /// Transfer-id of the first transfer to come.
        mandatory next_outgoing_id: u32;
        /// Transfers that its issuer takes.
        mandatory incoming_window: u32;
        /// Transfers that its issuer may send.
        mandatory outgoing_window: u32;
        /// Highest handle that its issuer takes.
        default handle_max: u32 = u32::MAX;
        /// Extensions that it supports.
        multiple offered_capabilities: Vec<Symbol>;
        /// Extensions that it would use.
        multiple desired_capabilities: Vec<Symbol>;
        /// Session properties.
        optional properties: Option<Fields>;
    }
}

composite! {
    /// Attaches a link to a session (§2.7.3).
    Attach = 0x12 "amqp:attach:list" new(name: ByteString, handle: u32, role: Role) {
        /// Name of the link.
        mandatory name: ByteString;
        /// The handle under which its issuer speaks of the link.
        mandatory handle: u32;
        /// Which end its issuer is.
        mandatory role: Role;
        /// How the sender settles.
        default snd_settle_mode: SenderSettleMode = SenderSettleMode::Mixed;
        /// When the receiver settles.
        default rcv_settle_mode: ReceiverSettleMode = ReceiverSettleMode::First;
        /// Where messages come from.
        optional source: Option<Source>;
        /// Where messages go.
        optional target: Option<TargetArchetype>;
        /// Deliveries that its issuer holds unsettled: tag and state.
        optional unsettled: Option<Map>;
        /// Whether there are more of them than fit.
        default incomplete_unsettled: bool = false;
        /// Where the sender's delivery-count starts; mandatory for a sender.
        optional initial_delivery_count: Option<u32>;
        /// Largest message that its issuer takes, in octets; 0 or none = no limit.
        optional max_message_size: Option<u64>;
        /// Extensions that it supports.
        multiple offered_capabilities: Vec<Symbol>;
        /// Extensions that it would use.
        multiple desired_capabilities: Vec<Symbol>;
        /// Link properties.
        optional properties: Option<Fields>;
    }
}

composite! {
    /// Tells the state of a session's windows and a link's credit (§2.7.4).
    Flow = 0x13 "amqp:flow:list" new(incoming_window: u32, next_outgoing_id: u32, outgoing_window: u32) {
        /// The transfer-id expected next; none before the peer's begin was seen.
        optional next_incoming_id: Option<u32>;
        /// Transfers that its issuer takes.
        mandatory incoming_window: u32;
        /// Transfer-id of the next transfer.
        mandatory next_outgoing_id: u32;
        /// Transfers that its issuer may send.
        mandatory outgoing_window: u32;
        /// The link; none if this is about the session alone.
        optional handle: Option<u32>;
        /// The sender's delivery-count.
        optional delivery_count: Option<u32>;
        /// Deliveries that the receiver takes.
        optional link_credit: Option<u32>;
        /// Deliveries that the sender has.
        optional available: Option<u32>;
        /// Whether credit is to be used up now.
        default drain: bool = false;
        /// Whether a flow is wanted back.
        default echo: bool = false;
        /// Link state properties.
        optional properties: Option<Fields>;
    }
}

composite! {
    /// Carries a message, or a part of one (§2.7.5).
    Transfer / TransferRef = 0x14 "amqp:transfer:list" new(handle: u32) {
        /// The link.
        mandatory handle: u32;
        /// Number of the delivery in its session.
        optional delivery_id: Option<u32>;
        /// Name of the delivery on its link, up to 32 octets.
        optional delivery_tag: Option<Bytes> | Option<&'a [u8]>;
        /// The format of the message; 0 is the standard's.
        optional message_format: Option<u32>;
        /// Whether the sender has settled it.
        optional settled: Option<bool>;
        /// Whether more of it follows.
        default more: bool = false;
        /// When the receiver is to settle this one.
        optional rcv_settle_mode: Option<ReceiverSettleMode>;
        /// State of the delivery at the sender.
        optional state: Option<DeliveryState>;
        /// Whether a delivery of an earlier attachment goes on.
        default resume: bool = false;
        /// Whether the delivery is taken back.
        default aborted: bool = false;
        /// Whether the receiver may wait with its answer.
        default batchable: bool = false;
    }
}

composite! {
    /// Tells what became of deliveries (§2.7.6).
    Disposition = 0x15 "amqp:disposition:list" new(role: Role, first: u32) {
        /// Which end its issuer is.
        mandatory role: Role;
        /// First delivery-id.
        mandatory first: u32;
        /// Last delivery-id; none = the first.
        optional last: Option<u32>;
        /// Whether its issuer has settled them.
        default settled: bool = false;
        /// What became of them.
        optional state: Option<DeliveryState>;
        /// Whether the peer may wait with its answer.
        default batchable: bool = false;
    }
}

composite! {
    /// Detaches a link (§2.7.7).
    Detach = 0x16 "amqp:detach:list" new(handle: u32) {
        /// The link.
        mandatory handle: u32;
        /// Whether its terminus goes too.
        default closed: bool = false;
        /// Why.
        optional error: Option<ErrorInfo>;
    }
}

composite! {
    /// Ends a session (§2.7.8).
    End = 0x17 "amqp:end:list" new() {
        /// Why.
        optional error: Option<ErrorInfo>;
    }
}

composite! {
    /// Closes a connection (§2.7.9).
    Close = 0x18 "amqp:close:list" new() {
        /// Why.
        optional error: Option<ErrorInfo>;
    }
}

impl Default for End {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Close {
    fn default() -> Self {
        Self::new()
    }
}

/// Any performative. Those that are large and rare are boxed, so that the frequent ones stay small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Performative {
    /// Negotiates a connection.
    Open(Box<Open>),
    /// Begins a session.
    Begin(Box<Begin>),
    /// Attaches a link.
    Attach(Box<Attach>),
    /// Tells windows and credit.
    Flow(Flow),
    /// Carries a message.
    Transfer(Transfer),
    /// Tells what became of deliveries.
    Disposition(Disposition),
    /// Detaches a link.
    Detach(Detach),
    /// Ends a session.
    End(End),
    /// Closes a connection.
    Close(Close),
}

const PERFORMATIVES: [Descriptor; 9] = [
    Open::DESCRIPTOR,
    Begin::DESCRIPTOR,
    Attach::DESCRIPTOR,
    Flow::DESCRIPTOR,
    Transfer::DESCRIPTOR,
    Disposition::DESCRIPTOR,
    Detach::DESCRIPTOR,
    End::DESCRIPTOR,
    Close::DESCRIPTOR,
];

impl Performative {
    /// The specification's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Begin(_) => "begin",
            Self::Attach(_) => "attach",
            Self::Flow(_) => "flow",
            Self::Transfer(_) => "transfer",
            Self::Disposition(_) => "disposition",
            Self::Detach(_) => "detach",
            Self::End(_) => "end",
            Self::Close(_) => "close",
        }
    }
}

impl Decode for Performative {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let known = input.descriptor(&PERFORMATIVES)?;
        Ok(match known {
            Some(0x10) => Self::Open(Box::new(Open::decode_list(input)?)),
            Some(0x11) => Self::Begin(Box::new(Begin::decode_list(input)?)),
            Some(0x12) => Self::Attach(Box::new(Attach::decode_list(input)?)),
            Some(0x13) => Self::Flow(Flow::decode_list(input)?),
            Some(0x14) => Self::Transfer(Transfer::decode_list(input)?),
            Some(0x15) => Self::Disposition(Disposition::decode_list(input)?),
            Some(0x16) => Self::Detach(Detach::decode_list(input)?),
            Some(0x17) => Self::End(End::decode_list(input)?),
            Some(0x18) => Self::Close(Close::decode_list(input)?),
            _ => return Err(input.unexpected("a performative")),
        })
    }
}

impl Encode for Performative {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Open(open) => open.encoded_len(),
            Self::Begin(begin) => begin.encoded_len(),
            Self::Attach(attach) => attach.encoded_len(),
            Self::Flow(flow) => flow.encoded_len(),
            Self::Transfer(transfer) => transfer.encoded_len(),
            Self::Disposition(disposition) => disposition.encoded_len(),
            Self::Detach(detach) => detach.encoded_len(),
            Self::End(end) => end.encoded_len(),
            Self::Close(close) => close.encoded_len(),
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Open(open) => open.encode(out),
            Self::Begin(begin) => begin.encode(out),
            Self::Attach(attach) => attach.encode(out),
            Self::Flow(flow) => flow.encode(out),
            Self::Transfer(transfer) => transfer.encode(out),
            Self::Disposition(disposition) => disposition.encode(out),
            Self::Detach(detach) => detach.encode(out),
            Self::End(end) => end.encode(out),
            Self::Close(close) => close.encode(out),
        }
    }
}

//! What scripted peers say: octets, not yet cut into anything.

use amqp_codec::BytesMut;
use amqp_codec::frame::{self, ProtocolHeader};
use amqp_codec::messaging::{Source, Target, TargetArchetype};
use amqp_codec::security::{
    SaslChallenge, SaslCode, SaslFrame, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse,
};
use amqp_codec::transport::{Attach, Begin, Close, Detach, End, Flow, Open, Performative, Role, Transfer};
use amqp_codec::types::Symbol;
use amqp_codec::{ByteString, Bytes};

pub(crate) type Octets = Vec<u8>;

pub(crate) fn frame(channel: u16, performative: impl Into<Performative>) -> Octets {
    let mut out = BytesMut::new();
    frame::encode_frame(&mut out, channel, &performative.into());
    out.to_vec()
}

pub(crate) fn sasl(frame: &SaslFrame) -> Octets {
    let mut out = BytesMut::new();
    frame::encode_sasl_frame(&mut out, frame);
    out.to_vec()
}

pub(crate) fn sasl_header() -> Octets {
    ProtocolHeader::SASL.to_bytes().to_vec()
}

pub(crate) fn amqp_header() -> Octets {
    ProtocolHeader::AMQP.to_bytes().to_vec()
}

pub(crate) fn empty_frame() -> Octets {
    vec![0, 0, 0, 8, 2, 0, 0, 0]
}

pub(crate) fn mechanisms() -> Octets {
    offer("ANONYMOUS")
}

/// The offer of this mechanism alone.
pub(crate) fn offer(mechanism: &'static str) -> Octets {
    let sasl_server_mechanisms = vec![Symbol::from_static(mechanism)];
    sasl(&SaslFrame::Mechanisms(SaslMechanisms { sasl_server_mechanisms }))
}

pub(crate) fn challenge(octets: &'static [u8]) -> Octets {
    sasl(&SaslFrame::Challenge(SaslChallenge::new(Bytes::from_static(octets))))
}

pub(crate) fn response(octets: &'static [u8]) -> Octets {
    sasl(&SaslFrame::Response(SaslResponse::new(Bytes::from_static(octets))))
}

pub(crate) fn init(mechanism: &'static str) -> Octets {
    sasl(&SaslFrame::Init(SaslInit::new(Symbol::from_static(mechanism))))
}

pub(crate) fn outcome(code: SaslCode) -> Octets {
    sasl(&SaslFrame::Outcome(SaslOutcome::new(code)))
}

pub(crate) fn open() -> Octets {
    frame(0, Performative::Open(Box::new(Open::new("hostile"))))
}

/// Begins the session of a channel; as an answer if the other side's channel is given.
pub(crate) fn begin(channel: u16, answers: Option<u16>) -> Octets {
    let mut begin = Begin::new(0_u32, 2048_u32, 2048_u32);
    begin.remote_channel = answers;
    frame(channel, Performative::Begin(Box::new(begin)))
}

/// An attach as one who sends or receives; without its own terminus it refuses.
pub(crate) fn attach_of(name: &str, handle: u32, role: Role) -> Attach {
    let mut attach = Attach::new(name, handle, role);
    attach.source = Some(Source::new("q"));
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    attach.initial_delivery_count = (role == Role::Sender).then_some(0);
    attach
}

pub(crate) fn attach(name: impl Into<ByteString>, handle: u32, role: Role) -> Octets {
    frame(0, Performative::Attach(Box::new(attach_of(&name.into(), handle, role))))
}

/// The attach that refuses a link whose other end has the other role.
pub(crate) fn refusal(name: &str, handle: u32, role: Role) -> Octets {
    let mut attach = attach_of(name, handle, role);
    match role {
        Role::Sender => attach.source = None,
        Role::Receiver => attach.target = None,
    }
    frame(0, Performative::Attach(Box::new(attach)))
}

/// So much credit for the first link.
pub(crate) fn grant(credit: u32) -> Octets {
    let mut flow = Flow::new(u32::MAX, 0_u32, 2048_u32);
    (flow.next_incoming_id, flow.handle) = (Some(0), Some(0));
    (flow.delivery_count, flow.link_credit) = (Some(0), Some(credit));
    frame(0, Performative::Flow(flow))
}

/// A flow that wants an answer.
pub(crate) fn echo() -> Octets {
    let mut flow = Flow::new(2048_u32, 0_u32, 2048_u32);
    (flow.next_incoming_id, flow.echo) = (Some(0), true);
    frame(0, Performative::Flow(flow))
}

/// A frame of a delivery on the first link; the first one if there is an id.
pub(crate) fn transfer(id: Option<u32>, more: bool, payload: &[u8]) -> Octets {
    let mut transfer = Transfer::new(0_u32);
    transfer.delivery_id = id;
    transfer.delivery_tag = id.map(|id| Bytes::copy_from_slice(&id.to_be_bytes()));
    transfer.more = more;
    let mut out = BytesMut::new();
    frame::encode_transfer_header(&mut out, 0, &transfer, payload.len());
    out.extend_from_slice(payload);
    out.to_vec()
}

pub(crate) fn detach(handle: u32) -> Octets {
    frame(0, Performative::Detach(Detach::new(handle)))
}

pub(crate) fn end(channel: u16) -> Octets {
    frame(channel, Performative::End(End { error: None }))
}

pub(crate) fn close() -> Octets {
    frame(0, Performative::Close(Close { error: None }))
}

/// The role of the other end.
pub(crate) const fn other(role: Role) -> Role {
    match role {
        Role::Sender => Role::Receiver,
        Role::Receiver => Role::Sender,
    }
}

/// So many octets that look like nothing, the same for the same seed.
pub(crate) fn by_lot(seed: u64, count: usize) -> Octets {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

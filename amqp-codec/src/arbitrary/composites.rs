//! Performatives, termini, delivery states and SASL frames.

use super::values::{bytes, fields, map, string, symbol, value};
use crate::messaging::{
    DeliveryState, Modified, Received, Source, Target, TargetArchetype, TerminusDurability,
    TerminusExpiryPolicy,
};
use crate::security::{
    SaslChallenge, SaslCode, SaslFrame, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse, Secret,
};
use crate::transactions::{Coordinator, Declared, TransactionalState};
use crate::transport::{
    Attach, Begin, Close, Detach, Disposition, End, ErrorInfo, Flow, Open, Performative, ReceiverSettleMode,
    Role, SenderSettleMode, Transfer,
};
use crate::types::{Described, Symbol};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

fn symbols() -> BoxedStrategy<Vec<Symbol>> {
    vec(symbol(), 0..4).boxed()
}

fn receiver_settle_mode() -> BoxedStrategy<ReceiverSettleMode> {
    select(vec![ReceiverSettleMode::First, ReceiverSettleMode::Second]).boxed()
}

fn sender_settle_mode() -> BoxedStrategy<SenderSettleMode> {
    select(vec![SenderSettleMode::Unsettled, SenderSettleMode::Settled, SenderSettleMode::Mixed]).boxed()
}

fn role() -> BoxedStrategy<Role> {
    select(vec![Role::Sender, Role::Receiver]).boxed()
}

fn durability() -> BoxedStrategy<TerminusDurability> {
    let choices =
        [TerminusDurability::None, TerminusDurability::Configuration, TerminusDurability::UnsettledState];
    select(choices.to_vec()).boxed()
}

fn expiry_policy() -> BoxedStrategy<TerminusExpiryPolicy> {
    let choices = [
        TerminusExpiryPolicy::LinkDetach,
        TerminusExpiryPolicy::SessionEnd,
        TerminusExpiryPolicy::ConnectionClose,
        TerminusExpiryPolicy::Never,
    ];
    select(choices.to_vec()).boxed()
}

/// An error.
pub fn error_info() -> BoxedStrategy<ErrorInfo> {
    (symbol(), of(string()), of(fields()))
        .prop_map(|(condition, description, info)| ErrorInfo { condition, description, info })
        .boxed()
}

/// A delivery state of any kind, in a transaction too.
pub fn delivery_state() -> BoxedStrategy<DeliveryState> {
    let plain = prop_oneof![
        Just(DeliveryState::Accepted),
        Just(DeliveryState::Released),
        of(error_info()).prop_map(|error| DeliveryState::Rejected(error.map(Box::new))),
        (any::<u32>(), any::<u64>()).prop_map(|(section_number, section_offset)| {
            DeliveryState::Received(Received { section_number, section_offset })
        }),
        (any::<bool>(), any::<bool>(), of(fields())).prop_map(|(failed, undeliverable, annotations)| {
            DeliveryState::Modified(Modified {
                delivery_failed: failed,
                undeliverable_here: undeliverable,
                message_annotations: annotations,
            })
        }),
        bytes().prop_map(|txn_id| DeliveryState::Declared(Declared { txn_id })),
        (1_000_u64.., value()).prop_map(|(descriptor, value)| {
            DeliveryState::Other(Box::new(Described { descriptor: descriptor.into(), value }))
        }),
    ]
    .boxed();
    let transactional = (bytes(), of(plain.clone())).prop_map(|(txn_id, outcome)| {
        DeliveryState::Transactional(Box::new(TransactionalState { txn_id, outcome }))
    });
    prop_oneof![4 => plain, 1 => transactional].boxed()
}

/// A source.
pub fn source() -> BoxedStrategy<Source> {
    let node = (of(string()), durability(), expiry_policy(), any::<u32>(), any::<bool>(), of(fields()));
    let rest = (of(symbol()), of(fields()), of(delivery_state()), symbols(), symbols());
    (node, rest)
        .prop_map(|(node, rest)| {
            let (address, durable, expiry_policy, timeout, dynamic, dynamic_node_properties) = node;
            let (distribution_mode, filter, default_outcome, outcomes, capabilities) = rest;
            Source {
                address,
                durable,
                expiry_policy,
                timeout,
                dynamic,
                dynamic_node_properties,
                distribution_mode,
                filter,
                default_outcome,
                outcomes,
                capabilities,
            }
        })
        .boxed()
}

/// A target: a node or a coordinator.
pub fn target() -> BoxedStrategy<TargetArchetype> {
    let node =
        (of(string()), durability(), expiry_policy(), any::<u32>(), any::<bool>(), of(fields()), symbols());
    let node = node.prop_map(
        |(address, durable, expiry_policy, timeout, dynamic, dynamic_node_properties, capabilities)| {
            TargetArchetype::Target(Target {
                address,
                durable,
                expiry_policy,
                timeout,
                dynamic,
                dynamic_node_properties,
                capabilities,
            })
        },
    );
    let coordinator =
        symbols().prop_map(|capabilities| TargetArchetype::Coordinator(Coordinator { capabilities }));
    prop_oneof![3 => node, 1 => coordinator].boxed()
}

fn open() -> BoxedStrategy<Open> {
    let negotiated = (string(), of(string()), any::<u32>(), any::<u16>(), of(any::<u32>()));
    (negotiated, symbols(), symbols(), symbols(), symbols(), of(fields()))
        .prop_map(|(negotiated, outgoing, incoming, offered, desired, properties)| {
            let (container_id, hostname, max_frame_size, channel_max, idle_time_out) = negotiated;
            Open {
                container_id,
                hostname,
                max_frame_size,
                channel_max,
                idle_time_out,
                outgoing_locales: outgoing,
                incoming_locales: incoming,
                offered_capabilities: offered,
                desired_capabilities: desired,
                properties,
            }
        })
        .boxed()
}

fn begin() -> BoxedStrategy<Begin> {
    let windows = (of(any::<u16>()), any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    (windows, symbols(), symbols(), of(fields()))
        .prop_map(|(windows, offered_capabilities, desired_capabilities, properties)| {
            let (remote_channel, next_outgoing_id, incoming_window, outgoing_window, handle_max) = windows;
            Begin {
                remote_channel,
                next_outgoing_id,
                incoming_window,
                outgoing_window,
                handle_max,
                offered_capabilities,
                desired_capabilities,
                properties,
            }
        })
        .boxed()
}

fn attach() -> BoxedStrategy<Attach> {
    let link = (string(), any::<u32>(), role(), sender_settle_mode(), receiver_settle_mode());
    let termini = (of(source()), of(target()), of(map()), any::<bool>());
    let rest = (of(any::<u32>()), of(any::<u64>()), symbols(), symbols(), of(fields()));
    (link, termini, rest)
        .prop_map(|(link, termini, rest)| {
            let (name, handle, role, snd_settle_mode, rcv_settle_mode) = link;
            let (source, target, unsettled, incomplete_unsettled) = termini;
            let (initial_delivery_count, max_message_size, offered, desired, properties) = rest;
            Attach {
                name,
                handle,
                role,
                snd_settle_mode,
                rcv_settle_mode,
                source,
                target,
                unsettled,
                incomplete_unsettled,
                initial_delivery_count,
                max_message_size,
                offered_capabilities: offered,
                desired_capabilities: desired,
                properties,
            }
        })
        .boxed()
}

fn flow() -> BoxedStrategy<Flow> {
    let session = (of(any::<u32>()), any::<u32>(), any::<u32>(), any::<u32>());
    let link = (of(any::<u32>()), of(any::<u32>()), of(any::<u32>()), of(any::<u32>()));
    (session, link, any::<bool>(), any::<bool>(), of(fields()))
        .prop_map(|(session, link, drain, echo, properties)| {
            let (next_incoming_id, incoming_window, next_outgoing_id, outgoing_window) = session;
            let (handle, delivery_count, link_credit, available) = link;
            Flow {
                next_incoming_id,
                incoming_window,
                next_outgoing_id,
                outgoing_window,
                handle,
                delivery_count,
                link_credit,
                available,
                drain,
                echo,
                properties,
            }
        })
        .boxed()
}

fn transfer() -> BoxedStrategy<Transfer> {
    let delivery = (any::<u32>(), of(any::<u32>()), of(bytes()), of(any::<u32>()), of(any::<bool>()));
    let rest = (of(receiver_settle_mode()), of(delivery_state()), any::<[bool; 4]>());
    (delivery, rest)
        .prop_map(|(delivery, (rcv_settle_mode, state, [more, resume, aborted, batchable]))| {
            let (handle, delivery_id, delivery_tag, message_format, settled) = delivery;
            Transfer {
                handle,
                delivery_id,
                delivery_tag,
                message_format,
                settled,
                more,
                rcv_settle_mode,
                state,
                resume,
                aborted,
                batchable,
            }
        })
        .boxed()
}

fn disposition() -> BoxedStrategy<Disposition> {
    (role(), any::<u32>(), of(any::<u32>()), any::<bool>(), of(delivery_state()), any::<bool>())
        .prop_map(|(role, first, last, settled, state, batchable)| Disposition {
            role,
            first,
            last,
            settled,
            state,
            batchable,
        })
        .boxed()
}

/// Any performative.
pub fn performative() -> BoxedStrategy<Performative> {
    prop_oneof![
        open().prop_map(|open| Performative::Open(Box::new(open))),
        begin().prop_map(|begin| Performative::Begin(Box::new(begin))),
        attach().prop_map(|attach| Performative::Attach(Box::new(attach))),
        flow().prop_map(Performative::Flow),
        transfer().prop_map(Performative::Transfer),
        disposition().prop_map(Performative::Disposition),
        (any::<u32>(), any::<bool>(), of(error_info()))
            .prop_map(|(handle, closed, error)| { Performative::Detach(Detach { handle, closed, error }) }),
        of(error_info()).prop_map(|error| Performative::End(End { error })),
        of(error_info()).prop_map(|error| Performative::Close(Close { error })),
    ]
    .boxed()
}

/// Any SASL frame.
pub fn sasl_frame() -> BoxedStrategy<SaslFrame> {
    let secret = || bytes().prop_map(Secret);
    let code = [SaslCode::Ok, SaslCode::Auth, SaslCode::Sys, SaslCode::SysPerm, SaslCode::SysTemp];
    prop_oneof![
        vec(symbol(), 1..4).prop_map(|mechanisms| {
            SaslFrame::Mechanisms(SaslMechanisms { sasl_server_mechanisms: mechanisms })
        }),
        (symbol(), of(secret()), of(string())).prop_map(|(mechanism, initial_response, hostname)| {
            SaslFrame::Init(SaslInit { mechanism, initial_response, hostname })
        }),
        secret().prop_map(|challenge| SaslFrame::Challenge(SaslChallenge { challenge })),
        secret().prop_map(|response| SaslFrame::Response(SaslResponse { response })),
        (select(code.to_vec()), of(secret())).prop_map(|(code, additional_data)| {
            SaslFrame::Outcome(SaslOutcome { code, additional_data })
        }),
    ]
    .boxed()
}

//! Resumption of links (§2.6.13): what each side still holds unsettled of a link that was suspended, and what becomes of it
//! when the link is attached again.

use super::super::event::{DeliveryNumber, Token};
use crate::error::Outcome;
use amqp_codec::messaging::{DeliveryState, Received};
use amqp_codec::types::{Map, Value};
use amqp_codec::{Decode, Encode};
use bytes::Bytes;
use std::collections::VecDeque;

/// A delivery that was handed to a resumable link and not settled before the link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsettledDelivery {
    /// Its tag, once the first frame had left: only then the peer may know of it.
    pub tag: Option<Bytes>,
    /// The whole encoded message.
    pub payload: Bytes,
    /// The message-format.
    pub message_format: u32,
}

/// What became of a delivery when its link was attached again.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fate {
    /// The peer had decided: this is the outcome.
    Settled(Outcome),
    /// The peer has a part of it or all, without an outcome yet: the rest is sent, and it comes once.
    Resumed,
    /// The peer does not know of it: it is sent as a new delivery. It was never there, or was settled and forgotten: then it
    /// comes twice.
    Resent,
    /// The peer did not tell yet: its list was too long for a frame (§2.6.13, incomplete-unsettled). Then nothing new can be
    /// sent on the link: there is no credit for it. It is to be suspended and resumed once more, when the others are settled.
    Unknown,
}

/// What a resumable sender keeps beside its deliveries.
#[derive(Debug, Default)]
pub(crate) struct SenderResume {
    /// What was unsettled when the link ended, and its number; what the peer did not tell of has that of the next delivery.
    pub(crate) unsettled: Vec<(DeliveryNumber, UnsettledDelivery)>,
    /// What is to be resolved once the peer has told what it has.
    pub(crate) wanted: Vec<(UnsettledDelivery, Token)>,
    /// What became of it, once resolved.
    pub(crate) fates: Vec<(Token, DeliveryNumber, Fate)>,
    /// The peer did not tell of all that it has: nothing new may be sent (§2.6.13).
    pub(crate) is_incomplete: bool,
}

/// What a resumable receiver keeps beside its deliveries.
#[derive(Debug, Default)]
pub(crate) struct ReceiverResume {
    /// What was unsettled when the link ended, and the verdicts that the peer had not settled by.
    pub(crate) unsettled: Vec<(Bytes, Option<DeliveryState>)>,
    /// What the peer was told of, and has not resolved yet.
    pub(crate) wanted: VecDeque<(Bytes, Option<DeliveryState>)>,
    /// Not all of it fitted into the attach: nothing new may be sent (§2.6.13).
    pub(crate) is_incomplete: bool,
    /// Frames of a delivery follow that is of no interest.
    pub(crate) skips: bool,
}

/// How a sender that can send all of a delivery again goes on, given what the receiver has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// As a new delivery.
    New,
    /// From this point on, which the receiver named.
    From(Received),
    /// From its beginning, as the same delivery.
    Whole,
    /// Nothing is to be sent but that it is settled.
    Settle(DeliveryState),
}

/// §2.6.13, the rows of a sender without a state of its own. `remote` is the receiver's entry: absent, null, or a state.
pub(crate) fn resolve(remote: Option<&Value>) -> Resolution {
    match remote {
        None => Resolution::New,
        Some(Value::Null) => Resolution::Whole,
        Some(state) => match DeliveryState::from_bytes(state.to_bytes()) {
            Ok(DeliveryState::Received(point)) => Resolution::From(point),
            // Not decided yet: its transaction may be rolled back (§4.4.2).
            Ok(DeliveryState::Transactional(_)) => Resolution::Whole,
            Ok(state) => Resolution::Settle(state),
            Err(_) => Resolution::Whole,
        },
    }
}

/// Where in an encoded message a point lies (§3.4.1): a number of whole sections, and octets of the next one. Absent if
/// there is no such point.
pub(crate) fn offset_of(payload: &[u8], point: &Received) -> Option<usize> {
    let mut start = 0_usize;
    for _ in 0..point.section_number {
        let rest = payload.get(start..).filter(|rest| !rest.is_empty())?;
        start = start.checked_add(value_len(rest)?)?;
    }
    let offset = start.checked_add(usize::try_from(point.section_offset).ok()?)?;
    (offset <= payload.len()).then_some(offset)
}

/// Octets of the value at the beginning, if its constructor and size are there (§1.2); the rest of it may be missing.
fn value_len(octets: &[u8]) -> Option<usize> {
    let (mut at, mut described) = (0_usize, 0_usize);
    loop {
        let code = *octets.get(at)?;
        at += 1;
        if code == 0 {
            // A descriptor comes first, then the value itself.
            described += 1;
            continue;
        }
        at = at.checked_add(match code >> 4 {
            4 => 0,
            5 => 1,
            6 => 2,
            7 => 4,
            8 => 8,
            9 => 16,
            0xa | 0xc | 0xe => 1 + usize::from(*octets.get(at)?),
            0xb | 0xd | 0xf => {
                let size = octets.get(at..)?.first_chunk::<4>()?;
                usize::try_from(u32::from_be_bytes(*size)).ok()?.checked_add(4)?
            }
            _ => return None,
        })?;
        match described.checked_sub(1) {
            Some(rest) => described = rest,
            None => return Some(at),
        }
    }
}

/// The unsettled map of an attach (§2.7.3): as many entries as fit into these octets, and whether some did not.
pub(crate) fn unsettled_map<'a>(
    entries: impl Iterator<Item = (&'a Bytes, Option<&'a DeliveryState>)>,
    room: usize,
) -> (Map, bool) {
    let mut map = Map::new();
    // Constructor, size and count.
    let mut used = 16_usize;
    for (tag, state) in entries {
        let state =
            state.map_or(Value::Null, |state| Value::from_bytes(state.to_bytes()).unwrap_or(Value::Null));
        used += tag.encoded_len() + state.encoded_len();
        if used > room {
            return (map, true);
        }
        map.insert(Value::Binary(tag.clone()), state);
    }
    (map, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use amqp_codec::messaging::Message;
    use amqp_codec::transactions::TransactionalState;

    fn entry(state: DeliveryState) -> Value {
        Value::from_bytes(state.to_bytes()).unwrap()
    }

    // §2.6.13
    #[test]
    fn a_sender_that_has_all_goes_by_what_the_receiver_has() {
        let point = Received { section_number: 1, section_offset: 7 };
        assert_eq!(resolve(None), Resolution::New);
        assert_eq!(resolve(Some(&Value::Null)), Resolution::Whole);
        assert_eq!(resolve(Some(&entry(DeliveryState::Received(point.clone())))), Resolution::From(point));
        assert_eq!(
            resolve(Some(&entry(DeliveryState::Released))),
            Resolution::Settle(DeliveryState::Released)
        );
        let within = TransactionalState { txn_id: Bytes::from_static(b"one"), outcome: None };
        let within = entry(DeliveryState::Transactional(Box::new(within)));
        assert_eq!(resolve(Some(&within)), Resolution::Whole, "the discharge would decide");
        assert_eq!(resolve(Some(&Value::Bool(true))), Resolution::Whole, "no state at all");
    }

    // §3.4.1
    #[test]
    fn a_point_counts_whole_sections_and_octets_of_the_next() {
        let message = Message::data(vec![7; 300]).with_application_property("a", 1_i32);
        let octets = message.to_bytes();
        let data = octets.len() - 308;
        let at =
            |section_number, section_offset| offset_of(&octets, &Received { section_number, section_offset });
        assert_eq!(at(0, 0), Some(0));
        assert_eq!(at(1, 0), Some(data), "behind the application properties");
        assert_eq!(at(1, 100), Some(data + 100));
        assert_eq!(at(2, 0), Some(octets.len()));
        assert_eq!(at(2, 1), None);
        assert_eq!(at(3, 0), None);
        assert_eq!(at(u32::MAX, u64::MAX), None);
    }

    #[test]
    fn octets_that_are_no_message_have_no_points() {
        let point = Received { section_number: 1, section_offset: 0 };
        for octets in
            [&b""[..], b"\x00", b"\x00\x00\x00", b"\x3f", b"\x00\x53\x75\xb0\xff\xff\xff\xff", b"\xa0"]
        {
            assert_eq!(offset_of(octets, &point), None, "{octets:?}");
        }
    }

    // §2.7.3
    #[test]
    fn a_map_that_does_not_fit_is_incomplete() {
        let tags: Vec<_> = (0..100_u8).map(|n| Bytes::from(vec![n; 20])).collect();
        let (map, is_incomplete) = unsettled_map(tags.iter().map(|tag| (tag, None)), 512);
        assert!(is_incomplete && !map.is_empty() && map.to_bytes().len() <= 512);
        let (map, is_incomplete) = unsettled_map(tags.iter().map(|tag| (tag, None)), 4096);
        assert_eq!((map.len(), is_incomplete), (100, false));
    }
}

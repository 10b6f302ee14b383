//! Properties of whatever can be encoded, and of whatever becomes of its octets on the way.
#![cfg(feature = "proptest")]

use amqp_codec::arbitrary::{header, message, performative, sasl_frame, value};
use amqp_codec::messaging::{Annotations, Header, Message, MessageSections};
use amqp_codec::security::SaslFrame;
use amqp_codec::transport::{Performative, Transfer, TransferRef};
use amqp_codec::types::{Value, ValueRef};
use amqp_codec::{Bytes, BytesMut, Decode, DecodeError, DecodeRef, Decoder, Encode, frame};
use proptest::prelude::*;
use std::fmt::Debug;

/// What holds for everything that can be encoded.
fn round_trip<T: Encode + Decode + PartialEq + Debug>(original: &T) -> Result<Bytes, TestCaseError> {
    let octets = original.to_bytes();
    prop_assert_eq!(original.encoded_len(), octets.len(), "the length is known before");
    let decoded = T::from_bytes(octets.clone());
    prop_assert_eq!(decoded.as_ref(), Ok(original));
    if let Ok(decoded) = decoded {
        prop_assert_eq!(decoded.to_bytes(), &octets, "encoding again gives the same octets");
    }
    Ok(octets)
}

/// Something that happens to octets on their way.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    Flip(usize, u8),
    Cut(usize),
    Remove(usize),
    Insert(usize, u8),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let mutation = prop_oneof![
        4 => (any::<usize>(), 1_u8..).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        1 => any::<usize>().prop_map(Mutation::Cut),
        1 => any::<usize>().prop_map(Mutation::Remove),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(at, octet)| Mutation::Insert(at, octet)),
    ];
    prop::collection::vec(mutation, 1..5)
}

fn mutated(octets: &[u8], mutations: &[Mutation]) -> Bytes {
    let mut octets = octets.to_vec();
    for mutation in mutations {
        let len = octets.len();
        match *mutation {
            Mutation::Insert(at, octet) => octets.insert(at % (len + 1), octet),
            _ if len == 0 => {}
            Mutation::Flip(at, bits) => octets[at % len] ^= bits,
            Mutation::Cut(at) => octets.truncate(at % len),
            Mutation::Remove(at) => drop(octets.remove(at % len)),
        }
    }
    octets.into()
}

/// Octets that still decode mean something that can be encoded and decoded again, in as many octets as announced.
fn survives<T: Encode + Decode + PartialEq + Debug>(octets: Bytes) -> Result<(), TestCaseError> {
    match T::from_bytes(octets.clone()) {
        Ok(decoded) => round_trip(&decoded).map(drop),
        Err(error) => {
            prop_assert!(error.offset() <= octets.len(), "{} of {}", error, octets.len());
            Ok(())
        }
    }
}

/// All that the sections hold, in their order.
fn copied(sections: &MessageSections<'_>) -> Result<Message, DecodeError> {
    Ok(Message {
        header: sections.header()?,
        delivery_annotations: sections.delivery_annotations()?.map(Into::into),
        message_annotations: sections.message_annotations()?.map(Into::into),
        properties: sections.properties()?.map(Into::into),
        application_properties: sections.application_properties()?.map(Into::into),
        body: sections.body()?.into(),
        footer: sections.footer()?.map(Into::into),
    })
}

/// A message is the same, owned and borrowed, or refused with the same error; where its sections are not even whole, the
/// borrowed form says so before it looks into them.
fn alike_owned_and_borrowed(octets: &Bytes) -> Result<(), TestCaseError> {
    let owned = Message::from_bytes(octets.clone());
    match MessageSections::parse(octets) {
        Ok(sections) => {
            prop_assert_eq!(&copied(&sections), &owned);
            prop_assert_eq!(&sections.to_message(), &owned);
        }
        Err(error) => prop_assert!(owned.is_err(), "refused in one form only: {}", error),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_come_back_equal(original in value()) {
        let octets = round_trip(&original)?;
        let mut input = Decoder::new(&octets);
        prop_assert!(input.skip().is_ok() && input.is_empty(), "skipping moves to the same place");
    }

    #[test]
    fn performatives_come_back_equal(original in performative(), channel: u16) {
        let octets = round_trip(&original)?;
        let mut out = BytesMut::new();
        frame::encode_frame(&mut out, channel, &original);
        let header = frame::FrameHeader::decode(&out).unwrap();
        prop_assert_eq!((usize::try_from(header.size).unwrap(), header.channel), (out.len(), channel));
        prop_assert_eq!(&out[frame::FrameHeader::LEN..], &octets[..]);
    }

    #[test]
    fn sasl_frames_come_back_equal(original in sasl_frame()) {
        round_trip(&original)?;
    }

    #[test]
    fn borrowed_values_are_the_owned_ones(original in value()) {
        let octets = original.to_bytes();
        let borrowed = ValueRef::borrow_from(&octets).unwrap();
        prop_assert_eq!(&Value::from(borrowed), &original);
        prop_assert_eq!(borrowed.element_type(), original.element_type());
        let copy = octets.to_vec().into();
        prop_assert_eq!(ValueRef::borrow_from(&copy).unwrap(), borrowed, "equal, wherever they are");
    }

    #[test]
    fn borrowed_values_are_equal_as_the_owned_ones_are(one in value(), other in value()) {
        let (one_octets, other_octets) = (one.to_bytes(), other.to_bytes());
        let (one_ref, other_ref) = (ValueRef::borrow_from(&one_octets), ValueRef::borrow_from(&other_octets));
        prop_assert_eq!(one_ref == other_ref, one == other);
    }

    #[test]
    fn messages_come_back_equal(original in message()) {
        let octets = round_trip(&original)?;
        let sections = MessageSections::parse(&octets).unwrap();
        prop_assert_eq!(copied(&sections), Ok(original.clone()), "read section by section");
        prop_assert_eq!(sections.to_message(), Ok(original));
    }

    #[test]
    fn a_forwarded_message_keeps_its_bare_octets(original in message(), new in header()) {
        let octets = original.to_bytes();
        let sections = MessageSections::parse(&octets).unwrap();
        let mut out = BytesMut::new();
        sections.forward(Some(&new), None, None, &mut out);
        let out = out.freeze();
        let forwarded = MessageSections::parse(&out).unwrap();
        prop_assert_eq!(forwarded.bare(), sections.bare());
        prop_assert_eq!(forwarded.header().unwrap(), Some(new));
        prop_assert_eq!(forwarded.footer().unwrap().map(Annotations::from), original.footer);
    }

    #[test]
    fn values_that_were_damaged_are_refused_or_mean_something(original in value(), mutations in mutations()) {
        let octets = mutated(&original.to_bytes(), &mutations);
        prop_assert_eq!(ValueRef::borrow_from(&octets).map(Value::from), Value::from_bytes(octets.clone()));
        survives::<Value>(octets)?;
    }

    #[test]
    fn performatives_that_were_damaged_are_refused_or_mean_something(
        original in performative(),
        mutations in mutations(),
    ) {
        let octets = mutated(&original.to_bytes(), &mutations);
        prop_assert_eq!(TransferRef::borrow_from(&octets).map(Transfer::from), Transfer::from_bytes(octets.clone()));
        survives::<Performative>(octets)?;
    }

    #[test]
    fn messages_that_were_damaged_are_refused_or_mean_something(original in message(), mutations in mutations()) {
        let octets = mutated(&original.to_bytes(), &mutations);
        alike_owned_and_borrowed(&octets)?;
        if let Ok(decoded) = Message::from_bytes(octets) {
            let encoded = decoded.to_bytes();
            prop_assert_eq!(encoded.len(), decoded.encoded_len());
            // not equal: no body at all becomes a null
            let again = Message::from_bytes(encoded.clone()).map(|again| again.to_bytes());
            prop_assert_eq!(again, Ok(encoded));
        }
    }

    #[test]
    fn any_octets_are_refused_or_mean_something(octets in prop::collection::vec(any::<u8>(), 0..64)) {
        let octets = Bytes::from(octets);
        survives::<Value>(octets.clone())?;
        survives::<Performative>(octets.clone())?;
        survives::<SaslFrame>(octets.clone())?;
        survives::<Header>(octets.clone())?;
        prop_assert_eq!(ValueRef::borrow_from(&octets).map(Value::from), Value::from_bytes(octets.clone()));
        alike_owned_and_borrowed(&octets)?;
    }
}

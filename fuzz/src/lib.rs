//! What must hold for any octets: one function a fuzz target. They panic where it does not.

use amqp_codec::frame::{self, FrameHeader, FrameType, ProtocolHeader};
use amqp_codec::messaging::{
    Body, DeliveryState, Message, MessageSections, Properties, Source, TargetArchetype,
};
use amqp_codec::security::SaslFrame;
use amqp_codec::transport::{ErrorInfo, Performative, Transfer, TransferRef};
use amqp_codec::types::{Array, Fields, Map, Value, ValueRef};
use amqp_codec::{Bytes, BytesMut, Decode, DecodeError, DecodeRef, Decoder, Encode};
use std::fmt::Debug;

fn shared(octets: &[u8]) -> Bytes {
    Bytes::copy_from_slice(octets)
}

/// An error names a place within the input and can be shown.
fn check_error(error: &DecodeError, octets: &[u8]) {
    assert!(error.offset() <= octets.len(), "{error} in {} octets", octets.len());
    assert!(!error.to_string().is_empty() && !error.expected().is_empty() && !error.condition().is_empty());
}

/// What was decoded is encoded in as many octets as announced, which mean the same and are encoded alike again.
fn check_round_trip<T: Encode + Decode + PartialEq + Debug>(octets: &[u8]) {
    let decoded = match T::from_bytes(shared(octets)) {
        Ok(decoded) => decoded,
        Err(error) => return check_error(&error, octets),
    };
    let encoded = decoded.to_bytes();
    assert_eq!(encoded.len(), decoded.encoded_len(), "the length of {decoded:?}");
    match T::from_bytes(encoded.clone()) {
        Ok(again) => {
            assert_eq!(again, decoded);
            assert_eq!(again.to_bytes(), encoded);
        }
        Err(error) => panic!("{decoded:?} became {encoded:x?}: {error}"),
    }
}

/// One value, decoded and skipped.
pub fn value(octets: &[u8]) {
    let shared = shared(octets);
    let mut input = Decoder::new(&shared);
    let owned = Value::decode(&mut input);
    let mut borrowed_input = Decoder::new(&shared);
    let borrowed = ValueRef::decode_ref(&mut borrowed_input);
    assert_eq!(borrowed.map(Value::from), owned);
    match owned {
        Ok(_) => {
            assert_eq!(borrowed_input.offset(), input.offset());
            let mut skipped = Decoder::new(&shared);
            assert!(skipped.skip().is_ok(), "what can be decoded can be skipped");
            assert_eq!(skipped.offset(), input.offset());
        }
        Err(error) => check_error(&error, octets),
    }
}

/// Protocol header, frame header, and the body of either kind of frame.
pub fn frame(octets: &[u8]) {
    if let Ok(header) = ProtocolHeader::decode(octets) {
        assert_eq!(header.to_bytes()[..], octets[..ProtocolHeader::LEN]);
    }
    let header = match FrameHeader::decode(octets) {
        Ok(header) => header,
        Err(error) => return check_error(&error, octets),
    };
    let Some(body) = octets.get(usize::from(header.doff) * 4..) else { return };
    let result = match header.frame_type {
        FrameType::Amqp => frame::decode_amqp_body(shared(body)).map(|(performative, payload)| {
            let mut out = BytesMut::new();
            match &performative {
                Performative::Transfer(transfer) => {
                    frame::encode_transfer_header(&mut out, header.channel, transfer, payload.len());
                    assert_eq!(out.len(), frame::transfer_overhead(transfer));
                    out.extend_from_slice(&payload);
                }
                other => frame::encode_frame(&mut out, header.channel, other),
            }
            out
        }),
        FrameType::Sasl => frame::decode_sasl_body(shared(body)).map(|sasl| {
            let mut out = BytesMut::new();
            frame::encode_sasl_frame(&mut out, &sasl);
            out
        }),
    };
    match result {
        Ok(out) => {
            let header = FrameHeader::decode(&out);
            assert!(header.is_ok_and(|header| usize::try_from(header.size) == Ok(out.len())));
        }
        Err(error) => check_error(&error, body),
    }
}

/// A performative.
pub fn performative(octets: &[u8]) {
    check_round_trip::<Performative>(octets);
    let shared = shared(octets);
    assert_eq!(TransferRef::borrow_from(&shared).map(Transfer::from), Transfer::from_bytes(shared.clone()));
}

/// A message: borrowed and owned, and the forwarding of its bare part.
pub fn message(octets: &[u8]) {
    let shared = shared(octets);
    let owned = Message::from_bytes(shared.clone());
    let sections = match MessageSections::parse(&shared) {
        Ok(sections) => sections,
        Err(error) => {
            assert!(owned.is_err());
            return check_error(&error, octets);
        }
    };
    let mut forwarded = BytesMut::new();
    sections.forward(None, None, None, &mut forwarded);
    let forwarded = forwarded.freeze();
    let again = MessageSections::parse(&forwarded);
    assert_eq!(again.map(|again| again.bare()).ok(), Some(sections.bare()));
    check_borrowed(&sections, &owned);
    if let Ok(message) = owned {
        let encoded = message.to_bytes();
        assert_eq!(encoded.len(), message.encoded_len());
        let again = Message::from_bytes(encoded.clone()).map(|again| again.to_bytes());
        assert_eq!(again, Ok(encoded));
    }
}

/// Sections that are read one by one are those of the whole message, or are refused with the same error.
fn check_borrowed(sections: &MessageSections<'_>, owned: &Result<Message, DecodeError>) {
    let read = (|| {
        Ok::<_, DecodeError>(Message {
            header: sections.header()?,
            delivery_annotations: sections.delivery_annotations()?.map(Into::into),
            message_annotations: sections.message_annotations()?.map(Into::into),
            properties: sections.properties()?.map(Into::into),
            application_properties: sections.application_properties()?.map(Into::into),
            body: sections.body()?.into(),
            footer: sections.footer()?.map(Into::into),
        })
    })();
    // The limit of elements without octets holds for a whole message, but for each section that is borrowed.
    let is_over_limit = |error: &DecodeError| error.condition() == "amqp:resource-limit-exceeded";
    if !owned.as_ref().is_err_and(is_over_limit) {
        assert_eq!(&read, owned);
    }
    if let Ok(message) = &read {
        let has_one = matches!(&message.body, Body::Data(data) if data.len() == 1);
        let data = sections.data().map(|data| data.map(|data| sections.bytes().slice_ref(data)));
        assert_eq!(data, Ok(message.body_bytes().filter(|_| has_one)));
    }
}

/// A SASL frame.
pub fn sasl(octets: &[u8]) {
    check_round_trip::<SaslFrame>(octets);
}

/// Values and composites of several types: decoded, encoded, decoded again.
pub fn roundtrip(octets: &[u8]) {
    check_round_trip::<Value>(octets);
    check_round_trip::<Map>(octets);
    check_round_trip::<Array>(octets);
    check_round_trip::<Fields>(octets);
    check_round_trip::<DeliveryState>(octets);
    check_round_trip::<ErrorInfo>(octets);
    check_round_trip::<Source>(octets);
    check_round_trip::<TargetArchetype>(octets);
    check_round_trip::<Properties>(octets);
}

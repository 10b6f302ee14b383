//! What must hold for any octets: one function a fuzz target. They panic where it does not.

use amqp_codec::frame::{self, FrameHeader, FrameType, ProtocolHeader};
use amqp_codec::messaging::{
    Body, DeliveryState, Message, MessageSections, Properties, Source, TargetArchetype,
};
use amqp_codec::security::SaslFrame;
use amqp_codec::transport::{ErrorInfo, Performative};
use amqp_codec::types::{Array, Fields, Map, Value};
use amqp_codec::{Bytes, BytesMut, Decode, DecodeError, Decoder, Encode};
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
    match Value::decode(&mut input) {
        Ok(_) => {
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
}

/// A message: its sections, all of it, and the forwarding of its bare part.
pub fn message(octets: &[u8]) {
    let sections = match MessageSections::parse(shared(octets)) {
        Ok(sections) => sections,
        Err(error) => {
            assert!(Message::from_bytes(shared(octets)).is_err());
            return check_error(&error, octets);
        }
    };
    let mut forwarded = BytesMut::new();
    sections.forward(None, None, None, &mut forwarded);
    let again = MessageSections::parse(forwarded.freeze());
    assert_eq!(again.map(|again| again.bare()).ok(), Some(sections.bare()));
    if let Ok(message) = Message::from_bytes(shared(octets)) {
        check_sections(&sections, &message);
        let encoded = message.to_bytes();
        assert_eq!(encoded.len(), message.encoded_len());
        let again = Message::from_bytes(encoded.clone()).map(|again| again.to_bytes());
        assert_eq!(again, Ok(encoded));
    }
}

/// Sections that are read one by one are those of the whole message.
fn check_sections(sections: &MessageSections, whole: &Message) {
    let read = (|| {
        Ok::<_, DecodeError>(Message {
            header: sections.header()?,
            delivery_annotations: sections.delivery_annotations()?,
            message_annotations: sections.message_annotations()?,
            properties: sections.properties()?,
            application_properties: sections.application_properties()?,
            body: sections.body()?,
            footer: sections.footer()?,
        })
    })();
    assert_eq!(read.as_ref(), Ok(whole));
    let has_one = matches!(&whole.body, Body::Data(data) if data.len() == 1);
    assert_eq!(sections.data(), Ok(whole.body_bytes().filter(|_| has_one)));
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

//! `ntex-amqp-codec`.

use super::NTEX;
use crate::Result;
use crate::measure::Candidate;
use ntex_amqp_codec::protocol::{Frame, TransferBody};
use ntex_amqp_codec::types::Variant;
use ntex_amqp_codec::{AmqpFrame, AmqpParseError, Decode, Encode, Message};
use ntex_bytes::{Bytes, BytesMut};

/// What it reads begins behind the size of the frame.
fn behind_size(frame: &[u8]) -> Bytes {
    Bytes::copy_from_slice(frame.get(4..).unwrap_or_default())
}

fn read_frame(octets: &Bytes) -> std::result::Result<AmqpFrame, AmqpParseError> {
    AmqpFrame::decode(&mut octets.clone())
}

fn read_transfer(octets: &Bytes) -> std::result::Result<(AmqpFrame, Message), AmqpParseError> {
    let frame = read_frame(octets)?;
    let Frame::Transfer(transfer) = frame.performative() else {
        return Err(AmqpParseError::UnexpectedType("frame"));
    };
    let message = transfer.load_message()?;
    Ok((frame, message))
}

/// The frame as a sender has it: its body is a message that is not encoded yet.
fn to_send(octets: &Bytes) -> Result<AmqpFrame> {
    let (frame, message) = read_transfer(octets)?;
    let (channel, performative) = frame.into_parts();
    let Frame::Transfer(mut transfer) = performative else { return Err("not a transfer".into()) };
    transfer.0.body = Some(TransferBody::Message(message));
    Ok(AmqpFrame::new(channel, Frame::Transfer(transfer)))
}

fn write(value: &impl Encode, out: &mut BytesMut) -> usize {
    out.clear();
    out.reserve(value.encoded_size());
    value.encode(out);
    out.len()
}

fn written(value: &impl Encode) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(value, &mut out);
    out.to_vec()
}

pub(super) fn transfer_again(frame: &[u8]) -> Result<Vec<u8>> {
    Ok(written(&to_send(&behind_size(frame))?))
}

pub(super) fn frame_again(frame: &[u8]) -> Result<Vec<u8>> {
    Ok(written(&read_frame(&behind_size(frame))?))
}

pub(super) fn value_again(octets: &[u8]) -> Result<Vec<u8>> {
    Ok(written(&Variant::decode(&mut Bytes::copy_from_slice(octets))?))
}

pub(super) fn decode_transfer(frame: &[u8]) -> Candidate {
    let octets = behind_size(frame);
    Candidate::new(NTEX, move || read_transfer(&octets))
}

pub(super) fn encode_transfer(frame: &[u8]) -> Result<Candidate> {
    let frame = to_send(&behind_size(frame))?;
    let (channel, mut performative) = frame.into_parts();
    let mut out = BytesMut::new();
    Ok(Candidate::new(NTEX, move || {
        // A message remembers its length once it was encoded. Here it is new every time.
        if let Frame::Transfer(transfer) = &mut performative
            && let Some(TransferBody::Message(message)) = &mut transfer.0.body
        {
            message.properties_mut();
        }
        let frame = AmqpFrame::new(channel, std::mem::replace(&mut performative, Frame::Empty));
        let len = write(&frame, &mut out);
        performative = frame.into_parts().1;
        len
    }))
}

pub(super) fn decode_frame(frame: &[u8]) -> Candidate {
    let octets = behind_size(frame);
    Candidate::new(NTEX, move || read_frame(&octets))
}

pub(super) fn encode_frame(frame: &[u8]) -> Result<Candidate> {
    let frame = read_frame(&behind_size(frame))?;
    let mut out = BytesMut::new();
    Ok(Candidate::new(NTEX, move || write(&frame, &mut out)))
}

pub(super) fn decode_value(octets: &[u8]) -> Candidate {
    let octets = Bytes::copy_from_slice(octets);
    Candidate::new(NTEX, move || Variant::decode(&mut octets.clone()))
}

pub(super) fn encode_value(octets: &[u8]) -> Result<Candidate> {
    let value = Variant::decode(&mut Bytes::copy_from_slice(octets))?;
    let mut out = BytesMut::new();
    Ok(Candidate::new(NTEX, move || write(&value, &mut out)))
}

//! This project's codec.

use super::OURS;
use crate::Result;
use crate::measure::Candidate;
use amqp_codec::messaging::{Message, MessageSections};
use amqp_codec::transport::{Performative, Transfer, TransferRef};
use amqp_codec::types::{Value, ValueRef};
use amqp_codec::{Bytes, BytesMut, Decode, DecodeError, DecodeRef, Decoder, Encode, frame};
use std::hint::black_box;

fn read_frame(octets: &Bytes) -> std::result::Result<(Performative, Bytes), DecodeError> {
    frame::FrameHeader::decode(octets)?;
    frame::decode_amqp_body(octets.slice(frame::FrameHeader::LEN..))
}

fn read_transfer(octets: &Bytes) -> std::result::Result<(Performative, Message), DecodeError> {
    let (performative, payload) = read_frame(octets)?;
    Ok((performative, Message::from_bytes(payload)?))
}

fn same<T: PartialEq + std::fmt::Debug>(ours: T, theirs: T) -> Result<()> {
    if ours == theirs {
        return Ok(());
    }
    let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
    Err(format!("{theirs:.2000} is not {ours:.2000}").into())
}

pub(super) fn check_transfer(ours: &Bytes, theirs: &[u8]) -> Result<()> {
    same(read_transfer(ours)?, read_transfer(&Bytes::copy_from_slice(theirs))?)
}

pub(super) fn check_frame(ours: &Bytes, theirs: &[u8]) -> Result<()> {
    same(read_frame(ours)?, read_frame(&Bytes::copy_from_slice(theirs))?)
}

pub(super) fn check_value(ours: &Bytes, theirs: &[u8]) -> Result<()> {
    match (Value::from_bytes(ours.clone())?, Value::from_bytes(Bytes::copy_from_slice(theirs))?) {
        // ntex does not keep the order of maps.
        (Value::Map(ours), Value::Map(theirs)) => {
            let missing = ours.iter().find(|(key, value)| theirs.get_value(key) != Some(value));
            same((ours.len(), None), (theirs.len(), missing))
        }
        (ours, theirs) => same(ours, theirs),
    }
}

pub(super) fn decode_transfer(octets: Bytes) -> Candidate {
    Candidate::new(OURS, move || read_transfer(&octets))
}

pub(super) fn decode_body(octets: Bytes) -> Candidate {
    Candidate::new(OURS, move || {
        let (performative, payload) = read_frame(&octets)?;
        let data = MessageSections::parse(&payload)?.data()?.map(|data| payload.slice_ref(data));
        Ok::<_, DecodeError>((performative, data))
    })
}

/// Reads performative and all sections in place, and looks at each of them.
pub(super) fn borrow_transfer(octets: Bytes) -> Candidate {
    Candidate::new(OURS, move || {
        let mut input = behind_header(&octets)?;
        let transfer = TransferRef::decode_ref(&mut input)?;
        let sections = MessageSections::decode_ref(&mut input)?;
        black_box((transfer, sections.header()?, sections.properties()?));
        let annotations =
            [sections.delivery_annotations()?, sections.message_annotations()?, sections.footer()?];
        annotations.into_iter().flatten().flatten().for_each(look);
        sections.application_properties()?.into_iter().flatten().for_each(look);
        Ok::<_, DecodeError>(black_box(sections.data()?).map(<[u8]>::len))
    })
}

pub(super) fn borrow_body(octets: Bytes) -> Candidate {
    Candidate::new(OURS, move || {
        let mut input = behind_header(&octets)?;
        let transfer = black_box(TransferRef::decode_ref(&mut input)?);
        let data = MessageSections::decode_ref(&mut input)?.data()?;
        Ok::<_, DecodeError>((transfer.delivery_id, data.map(<[u8]>::len)))
    })
}

fn behind_header(octets: &Bytes) -> std::result::Result<Decoder<'_>, DecodeError> {
    frame::FrameHeader::decode(octets)?;
    Ok(Decoder::at(octets, frame::FrameHeader::LEN))
}

fn look<T>(item: T) {
    black_box(item);
}

/// Reads a value in place, and looks at each key and item.
pub(super) fn borrow_value(octets: Bytes) -> Candidate {
    Candidate::new(OURS, move || {
        match ValueRef::borrow_from(&octets)? {
            ValueRef::Map(map) => map.iter().for_each(look),
            ValueRef::List(list) => list.iter().for_each(look),
            ValueRef::Array(array) => array.iter().for_each(look),
            other => look(other),
        }
        Ok::<_, DecodeError>(())
    })
}

pub(super) fn encode_transfer(octets: &Bytes) -> Result<Candidate> {
    let (performative, message) = read_transfer(octets)?;
    let Performative::Transfer(transfer) = performative else { return Err("not a transfer".into()) };
    let mut out = BytesMut::with_capacity(octets.len());
    Ok(Candidate::new(OURS, move || write_transfer(&transfer, &message, &mut out)))
}

fn write_transfer(transfer: &Transfer, message: &Message, out: &mut BytesMut) -> usize {
    out.clear();
    let len = message.encoded_len();
    frame::encode_transfer_header(out, 1, transfer, len);
    out.reserve(len);
    message.encode(out);
    out.len()
}

pub(super) fn decode_frame(octets: Bytes) -> Candidate {
    Candidate::new(OURS, move || read_frame(&octets))
}

pub(super) fn encode_frame(octets: &Bytes) -> Result<Candidate> {
    let (performative, _) = read_frame(octets)?;
    let mut out = BytesMut::with_capacity(octets.len());
    Ok(Candidate::new(OURS, move || {
        out.clear();
        frame::encode_frame(&mut out, 1, &performative);
        out.len()
    }))
}

pub(super) fn decode_value(octets: Bytes) -> Candidate {
    Candidate::new(OURS, move || Value::from_bytes(octets.clone()))
}

pub(super) fn encode_value(octets: &Bytes) -> Result<Candidate> {
    let value = Value::from_bytes(octets.clone())?;
    let mut out = BytesMut::with_capacity(octets.len());
    Ok(Candidate::new(OURS, move || {
        out.clear();
        out.reserve(value.encoded_len());
        value.encode(&mut out);
        out.len()
    }))
}

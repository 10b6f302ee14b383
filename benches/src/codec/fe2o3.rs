//! `serde_amqp` with `fe2o3-amqp-types`.

use super::FE2O3;
use crate::Result;
use crate::measure::Candidate;
use fe2o3_amqp_types::messaging::message::__private::{Deserializable, Serializable};
use fe2o3_amqp_types::messaging::{Body, Message};
use fe2o3_amqp_types::performatives::{Performative, Transfer};
use serde::Serialize;
use serde_amqp::Value;
use serde_amqp::ser::Serializer;

type AnyMessage = Message<Body<Value>>;

/// Octets of a frame header.
const HEADER: usize = 8;

fn read_performative(octets: &[u8]) -> std::result::Result<Performative, serde_amqp::Error> {
    serde_amqp::from_slice(octets)
}

fn read_message(octets: &[u8]) -> std::result::Result<AnyMessage, serde_amqp::Error> {
    serde_amqp::from_slice::<Deserializable<AnyMessage>>(octets).map(|message| message.0)
}

/// A transfer frame: the performative and the message, as places in it. They are found outside the time measured.
fn split(frame: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let body = frame.get(HEADER..).unwrap_or_default();
    let len = serde_amqp::to_vec(&transfer_of(read_performative(body)?)?)?.len();
    let (performative, message) = body.split_at_checked(len).ok_or("the frame is too short")?;
    Ok((performative.to_vec(), message.to_vec()))
}

fn transfer_of(performative: Performative) -> Result<Transfer> {
    match performative {
        Performative::Transfer(transfer) => Ok(transfer),
        _ => Err("not a transfer".into()),
    }
}

fn put_header(out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0, 0, 0, 0, 2, 0, 0, 1]);
}

fn finish(out: &mut [u8]) -> usize {
    let len = out.len();
    if let (Some(size), Ok(wire)) = (out.first_chunk_mut::<4>(), u32::try_from(len)) {
        *size = wire.to_be_bytes();
    }
    len
}

fn write<T: Serialize>(value: &T, out: &mut Vec<u8>) -> std::result::Result<(), serde_amqp::Error> {
    value.serialize(&mut Serializer::new(out))
}

fn write_transfer(
    transfer: &Transfer,
    message: &AnyMessage,
    out: &mut Vec<u8>,
) -> std::result::Result<usize, serde_amqp::Error> {
    put_header(out);
    write(transfer, out)?;
    write(&Serializable(message), out)?;
    Ok(finish(out))
}

fn write_frame(
    performative: &Performative,
    out: &mut Vec<u8>,
) -> std::result::Result<usize, serde_amqp::Error> {
    put_header(out);
    match performative {
        Performative::Flow(flow) => write(flow, out)?,
        Performative::Disposition(disposition) => write(disposition, out)?,
        other => write(other, out)?,
    }
    Ok(finish(out))
}

pub(super) fn transfer_again(frame: &[u8]) -> Result<Vec<u8>> {
    let (performative, message) = split(frame)?;
    let mut out = Vec::new();
    write_transfer(&transfer_of(read_performative(&performative)?)?, &read_message(&message)?, &mut out)?;
    Ok(out)
}

pub(super) fn frame_again(frame: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    write_frame(&read_performative(frame.get(HEADER..).unwrap_or_default())?, &mut out)?;
    Ok(out)
}

pub(super) fn value_again(octets: &[u8]) -> Result<Vec<u8>> {
    Ok(serde_amqp::to_vec(&serde_amqp::from_slice::<Value>(octets)?)?)
}

pub(super) fn decode_transfer(frame: &[u8]) -> Result<Candidate> {
    let (performative, message) = split(frame)?;
    Ok(Candidate::new(FE2O3, move || {
        Ok::<_, serde_amqp::Error>((read_performative(&performative)?, read_message(&message)?))
    }))
}

pub(super) fn encode_transfer(frame: &[u8]) -> Result<Candidate> {
    let (performative, message) = split(frame)?;
    let (transfer, message) = (transfer_of(read_performative(&performative)?)?, read_message(&message)?);
    let mut out = Vec::with_capacity(frame.len());
    Ok(Candidate::new(FE2O3, move || write_transfer(&transfer, &message, &mut out)))
}

pub(super) fn decode_frame(frame: &[u8]) -> Candidate {
    let body = frame.get(HEADER..).unwrap_or_default().to_vec();
    Candidate::new(FE2O3, move || read_performative(&body))
}

pub(super) fn encode_frame(frame: &[u8]) -> Result<Candidate> {
    let performative = read_performative(frame.get(HEADER..).unwrap_or_default())?;
    let mut out = Vec::with_capacity(frame.len());
    Ok(Candidate::new(FE2O3, move || write_frame(&performative, &mut out)))
}

pub(super) fn decode_value(octets: &[u8]) -> Candidate {
    let octets = octets.to_vec();
    Candidate::new(FE2O3, move || serde_amqp::from_slice::<Value>(&octets))
}

pub(super) fn encode_value(octets: &[u8]) -> Result<Candidate> {
    let value: Value = serde_amqp::from_slice(octets)?;
    let mut out = Vec::with_capacity(octets.len());
    Ok(Candidate::new(FE2O3, move || {
        out.clear();
        write(&value, &mut out)
    }))
}

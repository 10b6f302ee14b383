//! Plain sockets: what the octets alone take, on blocking sockets and on tokio's.
//!
//! One message at a time is a ping-pong of as many octets as its transfer and its disposition have. Otherwise as many octets
//! as the transfers have are copied one way.

use crate::Result;
use crate::transport::meter::{Measured, Meter};
use crate::transport::peer::floor::{CHUNK, FEED, SINK, ping};
use crate::transport::work::{Way, Work};
use amqp_codec::messaging::{DeliveryState, Message};
use amqp_codec::transport::{Disposition, Role, Transfer};
use amqp_codec::{Bytes, Encode, frame};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Octets of a message's transfer frame.
fn request(work: Work) -> usize {
    let mut transfer = Transfer::new(0_u32);
    transfer.delivery_id = Some(70_000);
    transfer.delivery_tag = Some(Bytes::from_static(&[0; 4]));
    transfer.message_format = Some(0);
    frame::transfer_overhead(&transfer) + Message::data(vec![0; work.octets]).encoded_len()
}

/// Octets of a disposition frame that accepts one message.
fn answer() -> usize {
    let mut disposition = Disposition::new(Role::Receiver, 70_000_u32);
    disposition.last = Some(70_000);
    disposition.settled = true;
    disposition.state = Some(DeliveryState::Accepted);
    frame::FrameHeader::LEN + disposition.encoded_len()
}

/// Octets that were read, if there were any.
fn some(read: usize) -> Result<usize> {
    if read == 0 { Err("the peer has gone".into()) } else { Ok(read) }
}

/// On blocking sockets.
pub(super) fn run(address: SocketAddr, work: Work, mut meter: Meter) -> Result<Measured> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let request = vec![b'x'; request(work)];
    if work.is_one_at_a_time() {
        let mut answer = vec![0; answer()];
        stream.write_all(&ping(request.len(), answer.len())?)?;
        loop {
            stream.write_all(&request)?;
            stream.read_exact(&mut answer)?;
            if let Some(measured) = meter.tick() {
                return Ok(measured);
            }
        }
    }
    if work.way == Way::Send {
        stream.write_all(&SINK)?;
        loop {
            stream.write_all(&request)?;
            if let Some(measured) = meter.tick() {
                return Ok(measured);
            }
        }
    }
    stream.write_all(&FEED)?;
    let (mut room, mut read) = (vec![0; CHUNK], 0);
    loop {
        while read < request.len() {
            read += some(stream.read(&mut room)?)?;
        }
        read -= request.len();
        if let Some(measured) = meter.tick() {
            return Ok(measured);
        }
    }
}

/// On tokio's.
pub(super) async fn run_on_tokio(address: SocketAddr, work: Work, mut meter: Meter) -> Result<Measured> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = vec![b'x'; request(work)];
    if work.is_one_at_a_time() {
        let mut answer = vec![0; answer()];
        stream.write_all(&ping(request.len(), answer.len())?).await?;
        loop {
            stream.write_all(&request).await?;
            stream.read_exact(&mut answer).await?;
            if let Some(measured) = meter.tick() {
                return Ok(measured);
            }
        }
    }
    if work.way == Way::Send {
        stream.write_all(&SINK).await?;
        loop {
            stream.write_all(&request).await?;
            if let Some(measured) = meter.tick() {
                return Ok(measured);
            }
        }
    }
    stream.write_all(&FEED).await?;
    let (mut room, mut read) = (vec![0; CHUNK], 0);
    loop {
        while read < request.len() {
            read += some(stream.read(&mut room).await?)?;
        }
        read -= request.len();
        if let Some(measured) = meter.tick() {
            return Ok(measured);
        }
    }
}

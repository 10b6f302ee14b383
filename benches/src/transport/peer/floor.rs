//! Plain sockets to compare with: octets there and back without a protocol, and octets one way.
//!
//! A connection says what it wants with eight octets: a word, and numbers. A word `PING` is followed by the sizes of
//! request and answer (two octets each), `SINK` and `FEED` by anything: octets are taken, or given, until the connection ends.

use crate::Result;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// Room for reads, and what one write gives: as large as that of the peer's AMQP connections.
pub(crate) const CHUNK: usize = 256 * 1024;

/// What a plain connection starts with: requests and answers of so many octets.
pub(crate) fn ping(request: usize, answer: usize) -> Result<[u8; 8]> {
    let [r0, r1] = u16::try_from(request)?.to_be_bytes();
    let [a0, a1] = u16::try_from(answer)?.to_be_bytes();
    Ok([b'P', b'I', b'N', b'G', r0, r1, a0, a1])
}

/// What a plain connection starts with that brings octets.
pub(crate) const SINK: [u8; 8] = *b"SINK\0\0\0\0";

/// What a plain connection starts with that wants octets.
pub(crate) const FEED: [u8; 8] = *b"FEED\0\0\0\0";

/// Serves a connection that starts like this, if it is a plain one.
pub(super) fn answer(stream: &mut TcpStream, first: [u8; 8]) -> Result<bool> {
    let [w0, w1, w2, w3, r0, r1, a0, a1] = first;
    let ended = match &[w0, w1, w2, w3] {
        b"PING" => {
            stream.read_exact(&mut [0; 8])?;
            let size = |octets| usize::from(u16::from_be_bytes(octets));
            pong(stream, size([r0, r1]), size([a0, a1]))
        }
        b"SINK" => sink(stream),
        b"FEED" => feed(stream),
        _ => return Ok(false),
    };
    match ended {
        // The client has gone, which is how it ends.
        Err(error) if error.kind() != ErrorKind::InvalidInput => Ok(true),
        other => other.map(|()| true).map_err(Into::into),
    }
}

fn pong(stream: &mut TcpStream, request: usize, answer: usize) -> std::io::Result<()> {
    let (mut request, answer) = (vec![0; request], vec![b'x'; answer]);
    loop {
        stream.read_exact(&mut request)?;
        stream.write_all(&answer)?;
    }
}

fn sink(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut room = vec![0; CHUNK];
    while stream.read(&mut room)? > 0 {}
    Ok(())
}

fn feed(stream: &mut TcpStream) -> std::io::Result<()> {
    let octets = vec![b'x'; CHUNK];
    loop {
        stream.write_all(&octets)?;
    }
}

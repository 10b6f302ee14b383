//! A connection of the peer: octets to frames and back.

use super::session::Session;
use super::{Counts, scan};
use crate::Result;
use amqp_codec::frame::{self, FrameHeader, FrameType, ProtocolHeader};
use amqp_codec::messaging::DeliveryState;
use amqp_codec::security::{SaslCode, SaslFrame, SaslMechanisms, SaslOutcome};
use amqp_codec::transport::{Close, Detach, Disposition, End, Open, Performative, Role};
use amqp_codec::types::Symbol;
use amqp_codec::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Octets of a frame that it takes and gives at most.
const MAX_FRAME: u32 = 256 * 1024;

/// Room for reads: a frame that is no transfer must fit.
const ROOM: usize = super::floor::CHUNK;

/// Sessions at most.
const CHANNEL_MAX: u16 = 255;

/// Whether frames or a protocol header are next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Frames,
}

pub(super) struct Connection {
    stream: TcpStream,
    out: BytesMut,
    stage: Stage,
    sessions: BTreeMap<u16, Session>,
    max_frame: usize,
    /// How often the client wants to see something.
    heartbeat: Option<Duration>,
    last_written: Instant,
    /// A transfer of which so many octets are missing.
    arriving: Option<(u16, scan::Transfer, usize)>,
    is_closed: bool,
    counts: Counts,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            out: BytesMut::new(),
            stage: Stage::Header,
            sessions: BTreeMap::new(),
            max_frame: 512,
            heartbeat: None,
            last_written: Instant::now(),
            arriving: None,
            is_closed: false,
            counts: Counts::default(),
        }
    }

    /// Serves until the client has gone.
    pub(super) fn run(mut self) -> Result<Counts> {
        let (mut input, mut filled) = (vec![0; ROOM], 0);
        while !self.is_closed {
            match self.stream.read(&mut input[filled..]) {
                Ok(0) => break,
                Ok(read) => {
                    self.counts.reads += 1;
                    let end = filled + read;
                    let used = self.take(&input[..end])?;
                    input.copy_within(used..end, 0);
                    filled = end - used;
                    if filled == ROOM {
                        return Err("a frame is larger than was said to be taken".into());
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
            if self.answer().is_err() {
                break;
            }
        }
        Ok(self.counts)
    }

    /// Takes what is complete. Gives the number of octets.
    fn take(&mut self, input: &[u8]) -> Result<usize> {
        let mut at = self.take_rest(input.len())?;
        while let Some(rest) =
            input.get(at..).filter(|rest| rest.len() >= FrameHeader::LEN && !self.is_closed)
        {
            if self.stage == Stage::Header {
                self.header(ProtocolHeader::decode(rest)?)?;
                at += ProtocolHeader::LEN;
                continue;
            }
            let header = FrameHeader::decode(rest)?;
            let (size, begin) = (usize::try_from(header.size)?, usize::from(header.doff) * 4);
            if rest.len() < size.min(scan::HEAD) {
                break;
            }
            let there = size.min(rest.len());
            let body = rest.get(begin..there).unwrap_or_default();
            if header.frame_type == FrameType::Amqp && scan::is_transfer(body) {
                let transfer = scan::transfer(body).ok_or("a transfer in a form that is not known here")?;
                self.counts.transfers += 1;
                self.arriving = Some((header.channel, transfer, size));
                at += self.take_rest(there)?;
            } else if there == size {
                self.frame(header, body)?;
                at += size;
            } else {
                break;
            }
        }
        Ok(at)
    }

    /// Passes over what is missing of a transfer. Gives the number of octets.
    fn take_rest(&mut self, there: usize) -> Result<usize> {
        let Some((channel, transfer, missing)) = self.arriving.take() else { return Ok(0) };
        if there < missing {
            self.arriving = Some((channel, transfer, missing - there));
            return Ok(there);
        }
        session(&mut self.sessions, channel)?.transferred(&transfer)?;
        Ok(missing)
    }

    fn header(&mut self, header: ProtocolHeader) -> Result<()> {
        self.stage = Stage::Frames;
        self.out.extend_from_slice(&header.to_bytes());
        match header {
            ProtocolHeader::AMQP => Ok(()),
            ProtocolHeader::SASL => {
                let mut mechanisms = SaslMechanisms::new();
                mechanisms.sasl_server_mechanisms.push(Symbol::from_static("ANONYMOUS"));
                frame::encode_sasl_frame(&mut self.out, &SaslFrame::Mechanisms(mechanisms));
                Ok(())
            }
            _ => Err("a protocol header that is not known here".into()),
        }
    }

    fn frame(&mut self, header: FrameHeader, body: &[u8]) -> Result<()> {
        if header.frame_type == FrameType::Sasl {
            if let SaslFrame::Init(_) = frame::decode_sasl_body(Bytes::copy_from_slice(body))? {
                let outcome = SaslFrame::Outcome(SaslOutcome::new(SaslCode::Ok));
                frame::encode_sasl_frame(&mut self.out, &outcome);
                self.stage = Stage::Header;
            }
            return Ok(());
        }
        if body.is_empty() {
            return Ok(());
        }
        let (performative, _) = frame::decode_amqp_body(Bytes::copy_from_slice(body))?;
        self.performative(header.channel, performative)
    }

    fn performative(&mut self, channel: u16, performative: Performative) -> Result<()> {
        match performative {
            Performative::Open(open) => self.open(&open)?,
            Performative::Begin(begin) => {
                let session = Session::new(channel, &begin, &mut self.out);
                self.sessions.insert(channel, session);
            }
            Performative::Attach(attach) => {
                session(&mut self.sessions, channel)?.attach(&attach, self.max_frame, &mut self.out)?;
            }
            Performative::Flow(flow) => {
                self.counts.flows += 1;
                session(&mut self.sessions, channel)?.flow(&flow, &mut self.out);
            }
            Performative::Transfer(_) => return Err("a transfer in a form that is not known here".into()),
            Performative::Disposition(disposition) => self.disposition(channel, &disposition),
            Performative::Detach(detach) => {
                session(&mut self.sessions, channel)?.detach(detach.handle);
                let mut answer = Detach::new(detach.handle);
                answer.closed = detach.closed;
                frame::encode_frame(&mut self.out, channel, &Performative::Detach(answer));
            }
            Performative::End(_) => {
                self.sessions.remove(&channel);
                frame::encode_frame(&mut self.out, channel, &Performative::End(End::new()));
            }
            Performative::Close(_) => {
                self.is_closed = true;
                self.sessions.clear();
                frame::encode_frame(&mut self.out, 0, &Performative::Close(Close::new()));
            }
        }
        Ok(())
    }

    fn open(&mut self, open: &Open) -> Result<()> {
        self.max_frame = usize::try_from(open.max_frame_size.min(MAX_FRAME))?;
        // Twice as often as asked for.
        let asked = open.idle_time_out.filter(|&milliseconds| milliseconds > 0);
        self.heartbeat = asked.map(|milliseconds| Duration::from_millis(u64::from(milliseconds / 2).max(1)));
        self.stream.set_read_timeout(self.heartbeat)?;
        let mut answer = Open::new("bench-peer");
        answer.max_frame_size = MAX_FRAME;
        answer.channel_max = CHANNEL_MAX;
        frame::encode_frame(&mut self.out, 0, &Performative::Open(Box::new(answer)));
        Ok(())
    }

    fn disposition(&mut self, channel: u16, disposition: &Disposition) {
        let last = disposition.last.unwrap_or(disposition.first);
        self.counts.dispositions += 1;
        self.counts.settled =
            self.counts.settled.wrapping_add(last.wrapping_sub(disposition.first)).wrapping_add(1);
        if !disposition.settled && disposition.role == Role::Receiver {
            let mut answer = Disposition::new(Role::Sender, disposition.first);
            answer.last = disposition.last;
            answer.settled = true;
            answer.state = Some(DeliveryState::Accepted);
            frame::encode_frame(&mut self.out, channel, &Performative::Disposition(answer));
        }
    }

    /// Writes all that is due.
    fn answer(&mut self) -> std::io::Result<()> {
        for session in self.sessions.values_mut() {
            session.answer(&mut self.out);
        }
        if self.out.is_empty() && self.heartbeat.is_some_and(|often| self.last_written.elapsed() >= often) {
            frame::encode_empty_frame(&mut self.out);
        }
        if !self.out.is_empty() {
            self.stream.write_all(&self.out)?;
            self.out.clear();
            self.last_written = Instant::now();
        }
        for session in self.sessions.values_mut() {
            session.feed(&mut self.stream)?;
        }
        Ok(())
    }
}

fn session(sessions: &mut BTreeMap<u16, Session>, channel: u16) -> Result<&mut Session> {
    Ok(sessions.get_mut(&channel).ok_or("a frame on a channel without a session")?)
}

//! Plays a script over a stream, and notes what is heard meanwhile.

use crate::says::{self, Octets, other};
use amqp_codec::frame::{self, FrameHeader, FrameType};
use amqp_codec::transport::{ErrorInfo, Performative};
use amqp_codec::types::Symbol;
use amqp_codec::{Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a scripted peer does next.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Says these octets.
    Say(Octets),
    /// Says these octets one by one, with pauses.
    Dribble(Octets, Duration),
    /// Waits until this was heard: a performative's name, `header`, or `sasl`.
    Hear(&'static str),
    /// Answers the attach that was heard last, on handle 0.
    Answer,
    /// Says these octets again and again until the other end is gone, and listens.
    Flood(Octets),
    /// The same, but never reads.
    FloodDeaf(Octets),
    /// Says nothing more, and listens until the other end is gone.
    Listen,
    /// Ends the stream at once.
    Hang,
    /// Neither says nor reads anything, until the test is over.
    Sleep,
}

/// What came from the other end.
#[derive(Debug)]
pub(crate) enum Heard {
    Header(Bytes),
    Sasl,
    Frame(Performative),
    Empty,
}

impl Heard {
    fn name(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::Sasl => "sasl",
            Self::Frame(performative) => performative.name(),
            Self::Empty => "empty",
        }
    }

    /// The error of a close, an end or a detach.
    fn error(&self) -> Option<&ErrorInfo> {
        match self {
            Self::Frame(Performative::Close(close)) => close.error.as_ref(),
            Self::Frame(Performative::End(end)) => end.error.as_ref(),
            Self::Frame(Performative::Detach(detach)) => detach.error.as_ref(),
            _ => None,
        }
    }
}

/// All that came from the other end.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    input: BytesMut,
    pub(crate) heard: Vec<Heard>,
    /// How much of it was waited for.
    looked: usize,
}

impl Ear {
    /// How often this came.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.heard.iter().filter(|heard| heard.name() == name).count()
    }

    /// The protocol header that came first.
    pub(crate) fn header(&self) -> Option<&[u8]> {
        match self.heard.first() {
            Some(Heard::Header(octets)) => Some(octets),
            _ => None,
        }
    }

    /// The condition of the last of these.
    pub(crate) fn condition(&self, name: &str) -> Option<Symbol> {
        let last = self.heard.iter().rev().find(|heard| heard.name() == name);
        last.and_then(Heard::error).map(|error| error.condition.clone())
    }

    /// The attach that answers the one that came last.
    fn answer(&self) -> Octets {
        let attach = self.heard.iter().rev().find_map(|heard| match heard {
            Heard::Frame(Performative::Attach(attach)) => Some(attach),
            _ => None,
        });
        let attach = attach.expect("an attach was heard");
        says::attach(attach.name.clone(), 0, other(attach.role))
    }

    fn sort(&mut self) {
        loop {
            if self.input.len() < 8 {
                return;
            }
            if self.input.starts_with(b"AMQP") {
                let header = self.input.split_to(8).freeze();
                self.heard.push(Heard::Header(header));
                continue;
            }
            let header = FrameHeader::decode(&self.input[..8]).expect("what this crate sends is well-formed");
            let size = usize::try_from(header.size).unwrap();
            if self.input.len() < size {
                return;
            }
            let body = self.input.split_to(size).freeze().slice(usize::from(header.doff) * 4..);
            self.heard.push(match header.frame_type {
                FrameType::Sasl => Heard::Sasl,
                FrameType::Amqp if body.is_empty() => Heard::Empty,
                FrameType::Amqp => Heard::Frame(frame::decode_amqp_body(body).unwrap().0),
            });
        }
    }

    /// Whether this came since it was last asked for.
    fn finds(&mut self, name: &str) -> bool {
        let found = self.heard[self.looked..].iter().position(|heard| heard.name() == name);
        found.map(|place| self.looked += place + 1).is_some()
    }

    /// Reads once. False once the other end is gone.
    async fn listen<R: AsyncRead + Unpin>(&mut self, input: &mut R) -> bool {
        let is_there = matches!(input.read_buf(&mut self.input).await, Ok(1..));
        self.sort();
        is_there
    }

    async fn listen_to_the_end<R: AsyncRead + Unpin>(&mut self, input: &mut R) {
        while self.listen(input).await {}
    }
}

/// Plays a script, then closes the stream. It is over early if the other end goes.
pub(crate) async fn play<S: AsyncRead + AsyncWrite>(stream: S, script: Vec<Step>) -> Ear {
    let (mut input, mut output) = tokio::io::split(stream);
    let mut ear = Ear::default();
    for step in script {
        match step {
            Step::Say(octets) => {
                if output.write_all(&octets).await.is_err() || output.flush().await.is_err() {
                    break;
                }
            }
            Step::Answer => {
                if output.write_all(&ear.answer()).await.is_err() || output.flush().await.is_err() {
                    break;
                }
            }
            Step::Dribble(octets, pause) => {
                for octet in octets {
                    if output.write_all(&[octet]).await.is_err() {
                        break;
                    }
                    let _ = output.flush().await;
                    tokio::time::sleep(pause).await;
                }
            }
            Step::Hear(name) => {
                while !ear.finds(name) {
                    if !ear.listen(&mut input).await {
                        return ear;
                    }
                }
            }
            Step::Flood(octets) => {
                tokio::select! {
                    () = flood(&mut output, octets) => {}
                    () = ear.listen_to_the_end(&mut input) => break,
                }
            }
            Step::FloodDeaf(octets) => flood(&mut output, octets).await,
            Step::Listen => {}
            Step::Hang => return ear,
            Step::Sleep => std::future::pending().await,
        }
    }
    ear.listen_to_the_end(&mut input).await;
    ear
}

/// Says the same until nobody takes it any more.
async fn flood<W: AsyncWrite + Unpin>(output: &mut W, octets: Octets) {
    let many = octets.repeat(1 + 16 * 1024 / octets.len());
    while output.write_all(&many).await.is_ok() && output.flush().await.is_ok() {}
}

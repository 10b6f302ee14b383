//! AMQP over a plain blocking socket: the engine, a `TcpStream`, and no runtime.
//!
//! Sends a message to a queue and receives it again, on any AMQP 1.0 broker where the address names a queue:
//!
//! ```sh
//! cargo run -p amqp-transport --no-default-features --example blocking -- 127.0.0.1:5672 /queues/greetings guest guest
//! ```
//!
//! Without user and password it stays anonymous.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line prints")]

use amqp_codec::messaging::Message;
use amqp_codec::transport::Open;
use amqp_codec::{Decode, Encode};
use amqp_transport::Outcome;
use amqp_transport::engine::{
    Credit, Engine, Event, Incoming, Limits, LinkKey, LinkOptions, LinkStatus, OutgoingDelivery, Sasl,
    SessionKey, Side, Token,
};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One connection: the engine, its socket, and what was read and heard but not yet used.
struct Client {
    engine: Engine,
    socket: TcpStream,
    input: BytesMut,
    events: VecDeque<Event>,
}

impl Client {
    /// Connects, authenticates and opens.
    fn connect(address: &str, sasl: Sasl) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let mut open = Open::new("blocking");
        open.hostname = address.rsplit_once(':').map(|(host, _)| host.into());
        let engine = Engine::new(Side::Client(sasl), open, Limits::default(), Instant::now());
        let mut client = Self { engine, socket, input: BytesMut::new(), events: VecDeque::new() };
        client.wait(|client| Ok(client.engine.peer().map(|_| ())))?;
        Ok(client)
    }

    /// Carries octets until `look` finds what it looks for, or the connection ends.
    fn wait<T>(&mut self, mut look: impl FnMut(&mut Self) -> Result<Option<T>>) -> Result<T> {
        loop {
            self.write()?;
            while let Some(event) = self.engine.poll_event() {
                self.events.push_back(event);
            }
            if let Some(found) = look(self)? {
                self.write()?;
                return Ok(found);
            }
            if self.engine.is_ended() {
                return Err(self
                    .engine
                    .end()
                    .map_or("the connection ended".into(), |end| end.clone().into()));
            }
            self.read()?;
        }
    }

    /// Writes all that the engine wants written.
    fn write(&mut self) -> Result<()> {
        let mut output = VecDeque::new();
        self.engine.poll_output(&mut output, Instant::now());
        for octets in output {
            self.socket.write_all(&octets)?;
        }
        Ok(())
    }

    /// Reads once, at most until the engine wants to be asked again: then a heartbeat may be due.
    fn read(&mut self) -> Result<()> {
        let pause = self.engine.deadline().map(|deadline| {
            // A socket takes no time-out of zero.
            deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
        });
        self.socket.set_read_timeout(pause)?;
        let mut buffer = [0; 16 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.engine.handle_lost("the peer ended the stream"),
            Ok(read) => {
                self.input.extend_from_slice(buffer.get(..read).unwrap_or_default());
                self.engine.handle_input(&mut self.input, Instant::now());
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.engine.handle_timeout(Instant::now());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => self.engine.handle_lost(&error.to_string()),
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<SessionKey> {
        let session = self.engine.begin()?;
        self.wait(|client| Ok(client.engine.check_session(session)?.then_some(session)))
    }

    fn attach(&mut self, session: SessionKey, options: LinkOptions) -> Result<LinkKey> {
        let link = self.engine.attach(session, options)?;
        self.wait(|client| match client.engine.link_status(link) {
            LinkStatus::Attached => Ok(Some(link)),
            LinkStatus::Ended(error) => Err(error.into()),
            _ => Ok(None),
        })
    }

    /// Sends a message and waits for what becomes of it.
    fn send(&mut self, link: LinkKey, message: &Message) -> Result<Outcome> {
        self.wait(|client| Ok((client.engine.credit(link)? > 0).then_some(())))?;
        let token = Token(1);
        self.engine.send(link, OutgoingDelivery::new(message.to_bytes(), token))?;
        self.wait(|client| {
            for event in client.events.drain(..) {
                match event {
                    Event::Outcome { token: told, outcome, .. } if told == token => {
                        return outcome.map(Some).ok_or("the link ended before the outcome was known".into());
                    }
                    _ => {}
                }
            }
            Ok(None)
        })
    }

    fn receive(&mut self, link: LinkKey) -> Result<Incoming> {
        self.wait(|client| Ok(client.engine.take(link)?))
    }

    /// Closes in an orderly way.
    fn close(mut self) -> Result<()> {
        self.engine.close(None, Instant::now());
        self.wait(|client| Ok(client.engine.is_ended().then_some(())))
    }
}

/// Sends a greeting to the queue, receives it and accepts it; gives back what was received.
pub fn greet(address: &str, queue: &str, sasl: Sasl) -> Result<Bytes> {
    let mut client = Client::connect(address, sasl)?;
    let session = client.begin()?;
    let sender = client.attach(session, LinkOptions::sender("blocking-out", queue.to_owned()))?;
    client.send(sender, &Message::data("hello"))?.accepted()?;

    let options = LinkOptions::receiver("blocking-in", queue.to_owned(), Credit::Auto(10));
    let receiver = client.attach(session, options)?;
    let delivery = client.receive(receiver)?;
    let message = Message::from_bytes(delivery.payload)?;
    client.engine.settle(receiver, delivery.id, Outcome::Accepted)?;
    client.close()?;
    Ok(message.body_bytes().ok_or("the message has another body than octets")?)
}

const USAGE: &str = "usage: blocking HOST:PORT QUEUE [USER PASSWORD]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        [address, queue] => show(address, queue, Sasl::Anonymous),
        [address, queue, user, password] => {
            show(address, queue, Sasl::Plain { user: user.to_owned(), password: password.to_owned() })
        }
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blocking: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(address: &str, queue: &str, sasl: Sasl) -> Result<()> {
    println!("received {}", String::from_utf8_lossy(&greet(address, queue, sasl)?));
    Ok(())
}

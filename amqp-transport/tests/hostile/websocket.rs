//! Peers that are hostile below AMQP, in WebSocket: their octets are written by hand. The tables of the other modules have
//! WebSocket among their wires.

use crate::place::listener;
use crate::{limits, within};
use amqp_transport::{
    AcceptError, ConnectError, ConnectOptions, ConnectionError, Incoming, Limits, ListenerOptions,
};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: amqp\r\n\r\n";

/// A stream of octets for a script, each run of which is a binary message.
fn octets<S>(socket: S) -> DuplexStream
where
    S: Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin + Send + 'static,
{
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let (mut out, mut input) = socket.split();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            tokio::select! {
                read = far.read(&mut buffer) => match read {
                    Ok(count @ 1..) => {
                        if out.send(Message::binary(buffer[..count].to_vec())).await.is_err() {
                            return;
                        }
                    }
                    _ => return,
                },
                message = input.next() => match message {
                    Some(Ok(Message::Binary(octets))) => {
                        if far.write_all(&octets).await.is_err() {
                            return;
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    _ => return,
                },
            }
        }
    });
    near
}

#[expect(clippy::result_large_err, reason = "the signature is the library's")]
fn grant(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    response.headers_mut().insert("sec-websocket-protocol", "amqp".parse().unwrap());
    Ok(response)
}

async fn server_socket(stream: TcpStream) -> WebSocketStream<TcpStream> {
    accept_hdr_async(stream, grant).await.unwrap()
}

/// The server's end of a WebSocket, for a script.
pub(crate) async fn server(stream: TcpStream) -> DuplexStream {
    octets(server_socket(stream).await)
}

/// The client's end of a WebSocket, for a script.
pub(crate) async fn client(stream: TcpStream) -> DuplexStream {
    use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
    let request = ClientRequestBuilder::new("ws://localhost/".parse().unwrap()).with_sub_protocol("amqp");
    octets(client_async(request, stream).await.unwrap().0)
}

/// A frame of a WebSocket that announces so many octets and has these.
fn frame(first: u8, is_masked: bool, announced: u64, octets: &[u8]) -> Vec<u8> {
    let mask = if is_masked { 0x80 } else { 0 };
    let mut frame = vec![first];
    match announced {
        0..=125 => frame.push(mask | u8::try_from(announced).unwrap()),
        _ => {
            frame.push(mask | 127);
            frame.extend(announced.to_be_bytes());
        }
    }
    if is_masked {
        frame.extend([0; 4]);
    }
    frame.extend(octets);
    frame
}

const BINARY: u8 = 0x82;
const FIRST_PART: u8 = 0x02;
const NEXT_PART: u8 = 0x00;
const PING: u8 = 0x89;

fn small() -> Limits {
    let mut limits = limits();
    limits.max_websocket_message = 100_000;
    limits
}

/// Frames that break a rule, or never end: said once, and then again and again. `is_masked` is as it should be for the one
/// who says them.
fn wrong(is_masked: bool) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let part = |first| frame(first, is_masked, 1000, &[0; 1000]);
    vec![
        ("a mask that is wrong", frame(BINARY, !is_masked, 8, b"AMQP\x03\x01\0\0"), vec![]),
        ("more octets than there are", frame(BINARY, is_masked, u64::MAX >> 1, b""), vec![0; 1000]),
        ("4 GiB", frame(BINARY, is_masked, 1 << 32, b""), vec![0; 1000]),
        ("a little more than the limit", frame(BINARY, is_masked, 100_001, b""), vec![0; 1000]),
        ("parts without end", part(FIRST_PART), part(NEXT_PART)),
        ("parts without a first", part(NEXT_PART), vec![]),
        ("an opcode that is none", frame(0x83, is_masked, 0, b""), vec![]),
        ("a large ping", frame(PING, is_masked, 5000, &[0; 5000]), vec![]),
        ("octets by lot", crate::says::by_lot(3, 500), vec![]),
    ]
}

/// Says this, and that again and again while anybody listens; reads all that comes.
async fn say(mut stream: TcpStream, once: &[u8], again: &[u8]) {
    let _ = stream.write_all(once).await;
    let (mut input, mut output) = stream.split();
    let mut sink = tokio::io::sink();
    tokio::select! {
        _ = tokio::io::copy(&mut input, &mut sink) => {}
        () = async {
            while !again.is_empty() && output.write_all(again).await.is_ok() {}
            std::future::pending::<()>().await;
        } => {}
    }
}

async fn refused(options: ListenerOptions, once: &[u8], again: &[u8]) -> Result<Incoming, AcceptError> {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    let accepting = async { options.accept_websocket(socket.accept().await.unwrap().0).await };
    let (accepted, ()) = within(async { tokio::join!(accepting, say(stream, once, again)) }).await;
    accepted
}

#[tokio::test]
async fn a_request_that_stalls_is_sent_away_in_time_and_one_that_never_ends_at_its_limit() {
    for half in ["", "G", "GET / HTTP/1.1\r\nHost:", REQUEST.trim_end()] {
        let error = refused(listener(limits()), half.as_bytes(), b"").await.unwrap_err();
        let AcceptError::Connection(ConnectionError::Timeout(step)) = error else {
            panic!("{half:?}: {error:?}")
        };
        assert_eq!(step, "asking for a WebSocket");
    }
    for (once, again) in [
        (b"GET / HTTP/1.1\r\n".to_vec(), b"X-Header: one more\r\n".to_vec()),
        (b"GET /".to_vec(), vec![b'a'; 1000]),
        (b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'a'; 1000]),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), vec![]),
    ] {
        let error = refused(listener(Limits::default()), &once, &again).await.unwrap_err();
        assert!(matches!(error, AcceptError::WebSocket(_)) && error.is_retryable(), "{error:?}");
    }
}

#[tokio::test]
async fn frames_of_a_client_that_break_websocket_end_the_connection() {
    for (label, once, again) in wrong(true) {
        let error = upgraded(small(), &once, &again).await.unwrap_err();
        assert!(matches!(error, AcceptError::Connection(ConnectionError::Lost(_))), "{label}: {error:?}");
    }
    // Pings are answered, and are no progress.
    let pings = frame(PING, true, 4, b"ping");
    let error = upgraded(limits(), b"", &pings).await.unwrap_err();
    assert!(matches!(error, AcceptError::Connection(ConnectionError::Timeout(_))), "{error:?}");
}

/// What a listener makes of a client that says this once the WebSocket is there.
async fn upgraded(limits: Limits, once: &[u8], again: &[u8]) -> Result<Incoming, AcceptError> {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    let options = listener(limits);
    let accepting = async { options.accept_websocket(socket.accept().await.unwrap().0).await };
    let guest = async {
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        say(stream, once, again).await;
    };
    within(async { tokio::join!(accepting, guest) }).await.0
}

/// What a client makes of a server that answers HTTP like this.
async fn answered(limits: Limits, once: &[u8], again: &[u8]) -> ConnectError {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ws://{}/", socket.local_addr().unwrap()).parse().unwrap();
    let serving = async { say(socket.accept().await.unwrap().0, once, again).await };
    let connecting = ConnectOptions::new(address).limits(limits).connect();
    within(async { tokio::join!(connecting, serving) }).await.0.unwrap_err()
}

#[tokio::test]
async fn an_answer_that_stalls_is_given_up_in_time_and_one_that_never_ends_at_its_limit() {
    for half in ["", "HTTP/1.1 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"] {
        let error = answered(limits(), half.as_bytes(), b"").await;
        let ConnectError::Timeout { step, .. } = error else { panic!("{half:?}: {error:?}") };
        assert_eq!(step, "asking for a WebSocket");
    }
    for (once, again) in [
        (b"HTTP/1.1 101 Switching Protocols\r\n".to_vec(), b"X-Header: one more\r\n".to_vec()),
        (b"HTTP/1.1 101 ".to_vec(), vec![b'a'; 1000]),
        (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![]),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\n\r\n".to_vec(), vec![]),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_vec(),
            vec![],
        ),
        (b"AMQP\x03\x01\0\0".to_vec(), vec![]),
    ] {
        let error = answered(Limits::default(), &once, &again).await;
        assert!(matches!(error, ConnectError::WebSocket { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn frames_of_a_server_that_break_websocket_end_the_connection() {
    for (label, once, again) in wrong(false) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("ws://{}/", socket.local_addr().unwrap()).parse().unwrap();
        let serving = async {
            let stream = server_socket(socket.accept().await.unwrap().0).await.into_inner();
            say(stream, &once, &again).await;
        };
        let connecting = ConnectOptions::new(address).limits(small()).connect();
        let (connected, ()) = within(async { tokio::join!(connecting, serving) }).await;
        let error = connected.unwrap_err();
        assert!(matches!(error, ConnectError::Connection(ConnectionError::Lost(_))), "{label}: {error:?}");
    }
}

#[tokio::test]
async fn a_websocket_that_is_open_and_silent_is_given_up_in_time() {
    let mut limits = limits();
    limits.handshake = Duration::from_millis(300);
    let error = refused(listener(limits), REQUEST.as_bytes(), b"").await.unwrap_err();
    let AcceptError::Connection(ConnectionError::Timeout(step)) = error else { panic!("{error:?}") };
    assert_eq!(step, "exchanging protocol headers");
}

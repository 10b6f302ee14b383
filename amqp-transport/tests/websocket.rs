//! AMQP over WebSocket: client and listener of this crate with each other, and with peers that speak bare WebSocket.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Source, Target};
use amqp_transport::{
    AcceptError, Address, ConnectError, ConnectOptions, Connection, ConnectionError, Credit, Identity,
    Incoming, Limits, ListenerOptions, ReceiverOptions, Sasl, SenderOptions, StaticCredentials, TlsOptions,
};
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

const SASL_HEADER: &[u8] = b"AMQP\x03\x01\x00\x00";

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

fn listener() -> ListenerOptions {
    let users = StaticCredentials { anonymous: true, users: vec![("guest".into(), "secret".into())] };
    ListenerOptions::new("server").authenticator(Arc::new(users))
}

/// A socket to listen on, and an address with this scheme, login and path that leads there.
async fn place(scheme: &str, login: &str, path: &str) -> (TcpListener, Address) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, format!("{scheme}://{login}localhost:{port}{path}").parse().unwrap())
}

type Ends = (Result<Connection, ConnectError>, Result<Incoming, AcceptError>);

async fn meet(socket: &TcpListener, client: ConnectOptions, listener: ListenerOptions) -> Ends {
    within(async {
        tokio::join!(client.connect(), async {
            listener.accept_websocket(socket.accept().await.unwrap().0).await
        })
    })
    .await
}

/// Both ends of a connection, with these limits.
async fn pair(limits: Limits) -> (Connection, Incoming) {
    let (socket, address) = place("ws", "", "/").await;
    let client = ConnectOptions::new(address).limits(limits.clone());
    let (client, incoming) = meet(&socket, client, listener().limits(limits)).await;
    (client.unwrap(), incoming.unwrap())
}

/// Sends a body both ways and sees it arrive whole.
async fn echo(client: &Connection, incoming: &Incoming, body: &[u8]) {
    let session = client.session().await.unwrap();
    let (sender, receiver) = tokio::join!(session.sender(SenderOptions::new("q")), async {
        incoming.next_link().await.unwrap().accept_as_receiver(Target::new("q"), Credit::Auto(10)).unwrap()
    });
    let sender = sender.unwrap();
    let (sent, ()) = tokio::join!(sender.send(Message::data(body.to_vec())), async {
        let delivery = receiver.recv().await.unwrap();
        assert!(delivery.message().unwrap().body_bytes().unwrap() == body);
        delivery.accept().unwrap();
    });
    sent.unwrap().accepted().unwrap();
    let (back, sender) = tokio::join!(session.receiver(ReceiverOptions::new("q")), async {
        incoming.next_link().await.unwrap().accept_as_sender(Source::new("q")).unwrap()
    });
    let back = back.unwrap();
    let (sent, ()) = tokio::join!(sender.send(Message::data(body.to_vec())), async {
        let delivery = back.recv().await.unwrap();
        assert!(delivery.message().unwrap().body_bytes().unwrap() == body);
        delivery.accept().unwrap();
    });
    sent.unwrap().accepted().unwrap();
}

#[tokio::test]
async fn messages_of_any_size_go_both_ways() {
    let (client, incoming) = pair(Limits::default()).await;
    for size in [0, 1, 5000, 3_000_000] {
        let body: Vec<u8> = (0..size).map(|n: u32| n.to_le_bytes()[1]).collect();
        within(echo(&client, &incoming, &body)).await;
    }
    within(client.close()).await.unwrap();
    assert!(matches!(within(incoming.connection().closed()).await, ConnectionError::ClosedByPeer(None)));
}

#[tokio::test]
async fn credentials_path_and_query_go_where_they_belong() {
    let (socket, address) = place("ws", "guest:secret@", "/some/where?x=1").await;
    let ends = meet(&socket, ConnectOptions::new(address), listener().websocket_path("/some/where")).await;
    assert_eq!(ends.1.unwrap().identity(), &Identity::User("guest".into()));
    ends.0.unwrap();
    let (socket, address) = place("ws", "guest:secret@", "/elsewhere").await;
    let ends = meet(&socket, ConnectOptions::new(address), listener().websocket_path("/some/where")).await;
    let error = ends.0.unwrap_err().to_string();
    assert!(error.contains("404") && !error.contains("secret"), "{error}");
    assert!(matches!(ends.1, Err(AcceptError::WebSocket(_))), "{:?}", ends.1);
}

#[tokio::test]
async fn wss_checks_the_certificate_like_amqps() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let secured = || listener().tls(TlsOptions::new().identity_pem(certificate.clone(), key.clone()));
    let (socket, address) = place("wss", "guest:secret@", "/amqp").await;
    let trusting = TlsOptions::new().root_ca_pem(certificate.clone());
    let client = ConnectOptions::new(address.clone()).sasl(Sasl::scram("guest", "secret")).tls(trusting);
    let (client, incoming) = meet(&socket, client, secured()).await;
    within(echo(&client.unwrap(), &incoming.unwrap(), &[7; 100_000])).await;
    let ends = meet(&socket, ConnectOptions::new(address), secured()).await;
    assert!(matches!(ends.0, Err(ConnectError::Handshake { .. })), "{:?}", ends.0);
}

// ---- a listener of ours, a client that speaks bare WebSocket

/// What a listener makes of a client that asks for these subprotocols, and the client's end.
async fn asks_for(
    protocols: &[&str],
    limits: Limits,
) -> (Result<WebSocketStream<TcpStream>, Error>, tokio::task::JoinHandle<Result<Incoming, AcceptError>>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let accepting = tokio::spawn(async move {
        listener().limits(limits).accept_websocket(socket.accept().await.unwrap().0).await
    });
    let mut request = ClientRequestBuilder::new(format!("ws://127.0.0.1:{port}/").parse().unwrap());
    for protocol in protocols {
        request = request.with_sub_protocol(*protocol);
    }
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connected = within(client_async(request, stream)).await;
    (connected.map(|(socket, _)| socket), accepting)
}

async fn bare_client(
    limits: Limits,
) -> (WebSocketStream<TcpStream>, tokio::task::JoinHandle<Result<Incoming, AcceptError>>) {
    let (socket, accepting) = asks_for(&["amqp"], limits).await;
    (socket.unwrap(), accepting)
}

/// How the listener's end of a connection that never opened ends.
async fn refusal(accepting: tokio::task::JoinHandle<Result<Incoming, AcceptError>>) -> String {
    within(accepting).await.unwrap().unwrap_err().to_string()
}

#[tokio::test]
async fn the_subprotocol_is_amqp_or_its_draft_name_and_must_be_asked_for() {
    for (asked, granted) in [
        (&["amqp"][..], "amqp"),
        (&["mqtt", "amqp"], "amqp"),
        (&["AMQPWSB10"], "AMQPWSB10"),
        (&["AMQP"], "amqp"),
    ] {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let accepting =
            tokio::spawn(async move { listener().accept_websocket(socket.accept().await.unwrap().0).await });
        // By hand, to see the answer as it is.
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
            asked.join(", ")
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            assert_ne!(within(stream.read_buf(&mut answer)).await.unwrap(), 0);
        }
        let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
        let granted = format!("sec-websocket-protocol: {}\r\n", granted.to_ascii_lowercase());
        assert!(answer.contains(&granted), "{asked:?}: {answer}");
        accepting.abort();
    }
    for asked in [&[][..], &["mqtt"]] {
        let (connected, accepting) = asks_for(asked, Limits::default()).await;
        assert!(matches!(connected, Err(Error::Http(response)) if response.status() == 400), "{asked:?}");
        refusal(accepting).await;
    }
}

#[tokio::test]
async fn a_text_message_ends_the_connection() {
    let (mut socket, accepting) = bare_client(Limits::default()).await;
    socket.send(Frame::text("AMQP\u{3}\u{1}\0\0")).await.unwrap();
    let error = refusal(accepting).await;
    assert!(error.contains("text message"), "{error}");
}

#[tokio::test]
async fn messages_need_not_begin_where_frames_do() {
    let (mut socket, accepting) = bare_client(Limits::default()).await;
    for octet in SASL_HEADER {
        socket.send(Frame::binary(vec![*octet])).await.unwrap();
        socket.send(Frame::binary(Vec::new())).await.unwrap();
    }
    let mut octets = Vec::new();
    while octets.len() < 8 {
        if let Frame::Binary(more) = within(socket.next()).await.unwrap().unwrap() {
            octets.extend_from_slice(&more);
        }
    }
    assert!(octets.starts_with(SASL_HEADER));
    drop(socket);
    refusal(accepting).await;
}

#[tokio::test]
async fn a_ping_is_answered_even_in_a_flood() {
    let (mut socket, accepting) = bare_client(Limits::default()).await;
    for number in 0..200_u8 {
        socket.send(Frame::Ping(vec![number].into())).await.unwrap();
    }
    socket.send(Frame::binary(SASL_HEADER)).await.unwrap();
    let (mut is_ponged, mut is_greeted) = (false, false);
    while !(is_ponged && is_greeted) {
        match within(socket.next()).await.unwrap().unwrap() {
            Frame::Pong(_) => is_ponged = true,
            Frame::Binary(octets) => is_greeted |= octets.starts_with(SASL_HEADER),
            other => panic!("{other:?}"),
        }
    }
    drop(socket);
    refusal(accepting).await;
}

#[tokio::test]
async fn a_close_in_the_middle_is_a_lost_connection() {
    let (mut socket, accepting) = bare_client(Limits::default()).await;
    socket.close(None).await.unwrap();
    let error = refusal(accepting).await;
    assert!(error.contains("lost"), "{error}");
    // It is answered with a close.
    while let Some(frame) = within(socket.next()).await {
        assert!(matches!(frame.unwrap(), Frame::Close(_)));
    }
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_connection() {
    let mut limits = Limits::default();
    limits.max_websocket_message = 1000;
    let (mut socket, accepting) = bare_client(limits).await;
    socket.send(Frame::binary(vec![0; 1001])).await.unwrap();
    let error = refusal(accepting).await;
    assert!(error.contains("WebSocket") && error.contains("1000"), "{error}");
}

#[tokio::test]
async fn a_client_that_is_silent_is_sent_away_in_time() {
    use tokio::io::AsyncWriteExt;
    let mut limits = Limits::default();
    limits.handshake = Duration::from_millis(50);
    for said in ["", "GET / HTTP/1.1\r\nHost:"] {
        let (mut near, far) = tokio::io::duplex(4096);
        near.write_all(said.as_bytes()).await.unwrap();
        let end = within(listener().limits(limits.clone()).accept_websocket(far)).await;
        assert!(matches!(end, Err(AcceptError::Connection(ConnectionError::Timeout(_)))), "{end:?}");
    }
}

#[tokio::test]
async fn what_is_no_websocket_request_is_refused() {
    use tokio::io::AsyncWriteExt;
    for said in ["AMQP\u{3}\u{1}\0\0", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "\u{16}\u{3}\u{1}", "\r\n\r\n"] {
        let (mut near, far) = tokio::io::duplex(4096);
        near.write_all(said.as_bytes()).await.unwrap();
        near.shutdown().await.unwrap();
        let end = within(listener().accept_websocket(far)).await;
        assert!(matches!(end, Err(AcceptError::WebSocket(_))), "{said:?}: {end:?}");
    }
    // A request without an end.
    let (mut near, far) = tokio::io::duplex(4096);
    let endless = async {
        let _ = near.write_all(b"GET / HTTP/1.1\r\n").await;
        while near.write_all(b"X-Header: and one more of them\r\n").await.is_ok() {}
    };
    let listener = listener();
    let (end, ()) = within(async { tokio::join!(listener.accept_websocket(far), endless) }).await;
    assert!(matches!(end, Err(AcceptError::WebSocket(_))), "{end:?}");
}

// ---- a client of ours, a server that speaks bare WebSocket

#[tokio::test]
async fn a_server_that_does_not_agree_on_the_subprotocol_is_left() {
    for granted in [None, Some("mqtt")] {
        let (socket, address) = place("ws", "", "/").await;
        let serving = async {
            #[expect(clippy::result_large_err, reason = "the signature is the library's")]
            let answer = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
                if let Some(granted) = granted {
                    response.headers_mut().insert("sec-websocket-protocol", granted.parse().unwrap());
                }
                Ok(response)
            };
            let _ = accept_hdr_async(socket.accept().await.unwrap().0, answer).await;
        };
        let (end, ()) = within(async { tokio::join!(ConnectOptions::new(address).connect(), serving) }).await;
        assert!(matches!(end, Err(ConnectError::WebSocket { .. })), "{granted:?}: {end:?}");
    }
}

#[tokio::test]
async fn an_orderly_end_is_an_amqp_close_and_then_a_websocket_close() {
    let (socket, address) = place("ws", "", "/").await;
    let serving = async {
        #[expect(clippy::result_large_err, reason = "the signature is the library's")]
        let answer = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            let asked = request.headers().get("sec-websocket-protocol").unwrap().clone();
            assert_eq!(asked, "amqp");
            response.headers_mut().insert("sec-websocket-protocol", asked);
            Ok(response)
        };
        let mut socket = accept_hdr_async(socket.accept().await.unwrap().0, answer).await.unwrap();
        // Header, open and close at once.
        let mut octets = b"AMQP\x00\x01\x00\x00".to_vec();
        octets.extend_from_slice(b"\0\0\0\x11\x02\0\0\0\0\x53\x10\xc0\x04\x01\xa1\x01s");
        octets.extend_from_slice(b"\0\0\0\x0c\x02\0\0\0\0\x53\x18\x45");
        socket.send(Frame::binary(octets)).await.unwrap();
        let mut said = Vec::new();
        loop {
            match socket.next().await {
                Some(Ok(Frame::Binary(octets))) => said.extend_from_slice(&octets),
                Some(Ok(Frame::Close(_))) => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(said.ends_with(b"\0\0\0\x0c\x02\0\0\0\0\x53\x18\x45"), "a close frame comes first: {said:?}");
    };
    let client = ConnectOptions::new(address).sasl(Sasl::None).connect();
    let (_client, ()) = within(async { tokio::join!(client, serving) }).await;
}

//! rhea (JavaScript) and the transport understand each other, over TCP and over WebSocket, whoever listens.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use amqp_codec::messaging::{Message, Source, Target};
use amqp_transport::{
    Connection, Credit, Incoming, ListenerOptions, ReceiverOptions, SenderOptions, StaticCredentials,
};
use serde_json::{Value, json};
use tests::{fixtures, within};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

const MINUTE: Duration = Duration::from_secs(60);

fn rhea(arguments: &[&str]) -> Command {
    let mut node = Command::new("node");
    // rhea and ws are where NODE_PATH says.
    node.arg(fixtures().join("rhea/peer.js")).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    node
}

/// Runs a client to its end: whether it was content, and the JSON object that it printed.
async fn run(arguments: &[&str]) -> (bool, Value) {
    let output = within(MINUTE, rhea(arguments).output()).await.expect("node (see tests/run)");
    let error = String::from_utf8_lossy(&output.stderr);
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("{arguments:?} printed no JSON; stderr: {error} (rhea and ws: see tests/run)")
    });
    (output.status.success(), printed)
}

/// Sends everything that comes back to who receives.
async fn echo(incoming: Incoming) {
    let (mut sender, mut receiver) = (None, None);
    while sender.is_none() || receiver.is_none() {
        let Some(request) = incoming.next_link().await else { return };
        if request.role() == amqp_codec::transport::Role::Sender {
            receiver = Some(request.accept_as_receiver(Target::new("q"), Credit::Auto(20)).unwrap());
        } else {
            sender = Some(request.accept_as_sender(Source::new("q")).unwrap());
        }
    }
    let (Some(sender), Some(receiver)) = (sender, receiver) else { return };
    while let Ok(delivery) = receiver.recv().await {
        let message = delivery.message().unwrap();
        // The client accepts only while it listens; the last outcome may be lost with the connection.
        let Ok(_confirmation) = sender.deliver(message).await else { return };
        delivery.accept().unwrap();
    }
}

/// A listener that echoes, and the port that it listens on.
async fn listen(is_websocket: bool) -> u16 {
    let users = StaticCredentials { anonymous: true, users: vec![("tester".into(), "pa$s/word".into())] };
    let options = ListenerOptions::new("echo").authenticator(Arc::new(users));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let accepted = if is_websocket {
                options.accept_websocket(stream).await
            } else {
                options.accept(stream).await
            };
            if let Ok(incoming) = accepted {
                tokio::spawn(echo(incoming));
            }
        }
    });
    port
}

#[tokio::test]
async fn rhea_as_client_gets_its_messages_back() {
    for scheme in ["amqp", "ws"] {
        let port = listen(scheme == "ws").await;
        let url = format!("{scheme}://127.0.0.1:{port}/");
        for (count, size) in [("200", "100"), ("3", "400000")] {
            let (ended, printed) = run(&["client", &url, count, size]).await;
            assert!(ended, "{scheme}: {printed}");
            let numbers: Vec<u32> = (0..count.parse().unwrap()).collect();
            assert_eq!((&printed["numbers"], &printed["whole"]), (&json!(numbers), &json!(true)), "{scheme}");
        }
        let (ended, printed) = run(&["client", &url, "1", "10", "tester", "pa$s/word"]).await;
        assert!(ended, "{scheme} with PLAIN: {printed}");
        let (ended, printed) = run(&["client", &url, "1", "10", "tester", "guess"]).await;
        assert!(!ended, "{scheme} with a wrong password: {printed}");
    }
}

#[tokio::test]
async fn rhea_as_server_sends_our_messages_back() {
    for (kind, scheme) in [("tcp", "amqp"), ("ws", "ws")] {
        let mut server =
            rhea(&["server", kind]).stdout(Stdio::piped()).spawn().expect("node (see tests/run)");
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let port =
            within(MINUTE, lines.next_line()).await.unwrap().expect("a port (rhea and ws: see tests/run)");
        within(MINUTE, async {
            let connection = Connection::connect(&format!("{scheme}://127.0.0.1:{port}")).await.unwrap();
            let session = connection.session().await.unwrap();
            let receiver =
                session.receiver(ReceiverOptions::new("q").credit(Credit::Auto(50))).await.unwrap();
            let sender = session.sender(SenderOptions::new("q")).await.unwrap();
            for size in [0, 10, 700_000] {
                sender.send(Message::data(vec![b'x'; size])).await.unwrap().accepted().unwrap();
                let delivery = receiver.recv().await.unwrap();
                assert_eq!(delivery.message().unwrap().body_bytes().unwrap().len(), size, "{kind}");
                delivery.accept().unwrap();
            }
            connection.close().await.unwrap();
        })
        .await;
    }
}

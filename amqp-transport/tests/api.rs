//! What every user of the crate relies on: futures that may move between threads, errors that say whether trying again
//! helps.

use amqp_codec::messaging::Message;
use amqp_codec::security::SaslCode;
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_codec::types::{Symbol, Value};
use amqp_transport::cbs::{Authorization, Cbs, Token};
use amqp_transport::management::{HttpManagement, NodeManagement, Operation, Requester};
use amqp_transport::recovery::{Client, ClientBuilder, ClientError, RecoveringReceiver, RecoveringSender};
use amqp_transport::recovery::{RecoveringConfirmation, RecoveringSendError, Trouble};
use amqp_transport::transaction::{ControlLink, Controller, Post, PostWriter, Transaction};
use amqp_transport::{
    AcceptError, Address, AddressError, Confirmation, ConnectError, ConnectOptions, Connection,
    ConnectionError, Delivery, Incoming, LinkError, LinkRequest, Listener, ListenerOptions, MessageReader,
    MessageWriter, Payload, Receiver, ReceiverOptions, SendError, Sender, SenderOptions, Session,
    SessionError, SettleError, StreamError, StreamReceiver, SuspendedReceiver, SuspendedSender, TlsError,
    TryDeliverError,
};
use std::time::Duration;
use tokio::io::DuplexStream;

fn is_send<T: Send>(_: &T) {}

fn is_shared<T: Send + Sync + Clone + std::fmt::Debug + 'static>() {}

fn is_error<E: std::error::Error + Send + Sync + Clone + 'static>() {}

/// Never called: that it compiles is the proof.
#[expect(dead_code, clippy::too_many_arguments, reason = "it only has to compile")]
fn every_future_is_send(
    connection: &Connection,
    session: &Session,
    sender: &Sender,
    receiver: &Receiver,
    streams: &StreamReceiver,
    writer: &mut MessageWriter,
    reader: &mut MessageReader,
    options: (ConnectOptions, ListenerOptions, DuplexStream, DuplexStream),
    incoming: &Incoming,
    confirmation: &Confirmation,
) {
    is_send(&Connection::connect("amqp://localhost"));
    is_send(&options.0.clone().connect());
    is_send(&options.0.connect_over(options.2));
    is_send(&options.1.accept(options.3));
    is_send(&connection.session());
    is_send(&connection.sender(SenderOptions::new("q")));
    is_send(&connection.receiver(ReceiverOptions::new("q")));
    is_send(&connection.stream_receiver(ReceiverOptions::new("q")));
    is_send(&connection.close());
    is_send(&connection.close_with(ErrorInfo::new(conditions::INTERNAL_ERROR, "")));
    is_send(&connection.closed());
    is_send(&session.sender(SenderOptions::new("q")));
    is_send(&session.receiver(ReceiverOptions::new("q")));
    is_send(&session.stream_receiver(ReceiverOptions::new("q")));
    is_send(&session.controller());
    is_send(&session.end());
    is_send(&session.ended());
    is_send(&sender.send(Message::data("")));
    is_send(&sender.deliver(Message::data("")));
    is_send(&sender.send_settled(Message::data("")));
    is_send(&sender.stream(Message::data("")));
    is_send(&sender.next_outcome());
    is_send(&sender.credit_available());
    is_send(&sender.changed());
    is_send(&sender.close());
    is_send(&sender.detach());
    is_send(&sender.detached());
    is_send(confirmation);
    is_send(&receiver.recv());
    is_send(&receiver.drain());
    is_send(&receiver.close());
    is_send(&receiver.detach());
    is_send(&receiver.detached());
    is_send(&streams.recv());
    is_send(&streams.close());
    is_send(&reader.read());
    is_send(&writer.write(Vec::new()));
    is_send(&incoming.next_link());
}

/// Never called: that it compiles is the proof.
#[expect(dead_code, reason = "it only has to compile")]
fn every_future_of_a_client_is_send(
    builder: ClientBuilder,
    client: &Client,
    sender: &RecoveringSender,
    receiver: &RecoveringReceiver,
    confirmation: &RecoveringConfirmation,
) {
    is_send(&builder.connect());
    is_send(&client.connected());
    is_send(&client.sender(SenderOptions::new("q")));
    is_send(&client.receiver(ReceiverOptions::new("q")));
    is_send(&client.close(Duration::ZERO));
    is_send(&sender.send(Message::data("")));
    is_send(&sender.deliver(Message::data("")));
    is_send(&sender.attached());
    is_send(&sender.close());
    is_send(confirmation);
    is_send(&receiver.recv());
    is_send(&receiver.attached());
    is_send(&receiver.close());
}

/// Never called: that it compiles is the proof.
#[expect(dead_code, clippy::too_many_arguments, reason = "it only has to compile")]
fn every_future_beside_messages_is_send(
    session: &Session,
    sender: &Sender,
    receiver: &Receiver,
    suspended: (SuspendedSender, SuspendedReceiver),
    listener: &mut Listener,
    controller: &Controller,
    transaction: &Transaction,
    transactions: (Transaction, Transaction),
    control: &mut ControlLink,
    post: Post,
    writer: PostWriter,
    management: (&HttpManagement, &NodeManagement, &Requester),
    cbs: (&Cbs, &mut Authorization, &Token),
) {
    is_send(&sender.suspend());
    is_send(&receiver.suspend());
    is_send(&session.resume_sender(suspended.0, SenderOptions::new("q")));
    is_send(&session.resume_receiver(suspended.1, ReceiverOptions::new("q")));
    is_send(&listener.accept());
    is_send(&controller.declare());
    is_send(&controller.close());
    is_send(&transaction.send(sender, Message::data("")));
    is_send(&transaction.deliver(sender, Message::data("")));
    is_send(&transaction.stream(sender, Message::data("")));
    is_send(&transactions.0.commit());
    is_send(&transactions.1.rollback());
    is_send(&control.next());
    is_send(&post);
    is_send(&writer.finish());
    is_send(&management.0.request("GET", "/", Value::Null));
    is_send(&management.1.request(Operation::new("READ")));
    is_send(&management.2.request(Message::data("")));
    is_send(&cbs.0.authorize("audience"));
    is_send(&cbs.0.put_token("audience", cbs.2));
    is_send(&cbs.1.changed());
}

#[test]
fn handles_are_shared_and_errors_travel() {
    is_shared::<Connection>();
    is_shared::<Session>();
    is_shared::<Sender>();
    is_shared::<Receiver>();
    is_shared::<Client>();
    is_shared::<RecoveringSender>();
    is_shared::<RecoveringReceiver>();
    is_shared::<ConnectOptions>();
    is_shared::<ListenerOptions>();
    is_shared::<Address>();
    fn moves<T: Send + Sync + std::fmt::Debug + 'static>() {}
    moves::<Delivery>();
    moves::<LinkRequest>();
    moves::<Incoming>();
    is_error::<ConnectError>();
    is_error::<ConnectionError>();
    is_error::<SessionError>();
    is_error::<LinkError>();
    is_error::<SendError>();
    is_error::<SettleError>();
    is_error::<StreamError>();
    is_error::<TryDeliverError>();
    is_error::<AcceptError>();
    is_error::<AddressError>();
    is_error::<TlsError>();
    is_error::<ClientError>();
    is_error::<RecoveringSendError>();
    is_error::<Trouble>();
}

fn said(condition: Symbol) -> Option<ErrorInfo> {
    Some(ErrorInfo::new(condition, "the peer says so"))
}

fn sasl(code: Option<SaslCode>) -> ConnectionError {
    ConnectionError::Sasl { code, offered: Vec::new() }
}

/// What a peer may say at any level, and whether trying again may help.
const CONDITIONS: [(Symbol, bool); 23] = [
    (conditions::INTERNAL_ERROR, true),
    (conditions::NOT_FOUND, false),
    (conditions::UNAUTHORIZED_ACCESS, false),
    (conditions::DECODE_ERROR, true),
    (conditions::RESOURCE_LIMIT_EXCEEDED, true),
    (conditions::NOT_ALLOWED, false),
    (conditions::INVALID_FIELD, false),
    (conditions::NOT_IMPLEMENTED, false),
    (conditions::RESOURCE_LOCKED, true),
    (conditions::PRECONDITION_FAILED, false),
    (conditions::RESOURCE_DELETED, false),
    (conditions::ILLEGAL_STATE, true),
    (conditions::CONNECTION_FORCED, true),
    (conditions::FRAMING_ERROR, true),
    (conditions::CONNECTION_REDIRECT, false),
    (conditions::WINDOW_VIOLATION, true),
    (conditions::ERRANT_LINK, true),
    (conditions::HANDLE_IN_USE, true),
    (conditions::UNATTACHED_HANDLE, true),
    (conditions::DETACH_FORCED, true),
    (conditions::MESSAGE_SIZE_EXCEEDED, false),
    (conditions::LINK_REDIRECT, false),
    (conditions::STOLEN, false),
];

#[test]
fn every_condition_of_a_peer_means_the_same_at_every_level() {
    for (condition, expected) in CONDITIONS {
        let connection = ConnectionError::ClosedByPeer(said(condition.clone()));
        let session = SessionError::EndedByPeer(said(condition.clone()));
        let refused = LinkError::Refused(said(condition.clone()));
        let detached = LinkError::DetachedByPeer(said(condition.clone()));
        for (level, is_retryable) in [
            ("connection", connection.is_retryable()),
            ("session", session.is_retryable()),
            ("refused", refused.is_retryable()),
            ("detached", detached.is_retryable()),
            ("session of a connection", SessionError::from(connection.clone()).is_retryable()),
            ("link of a session", LinkError::from(session.clone()).is_retryable()),
            ("link of a connection", LinkError::from(connection.clone()).is_retryable()),
            ("connect", ConnectError::from(connection.clone()).is_retryable()),
            ("not sent", SendError::NotSent(refused.clone()).is_retryable()),
            ("unknown", SendError::Unknown(detached.clone()).is_retryable()),
            ("trouble", Trouble::Lost(connection.clone()).is_retryable()),
            ("client", ClientError::Link { attempts: 1, last: refused.clone() }.is_retryable()),
        ] {
            assert_eq!(is_retryable, expected, "{condition} at level {level}");
        }
    }
}

#[test]
fn errors_say_whether_trying_again_may_help() {
    let tcp = ConnectError::Tcp {
        host: "h".to_owned(),
        port: 1,
        kind: std::io::ErrorKind::ConnectionRefused,
        why: String::new(),
    };
    let lost = || ConnectionError::Lost("reset".into());
    let gave_up = |last| ClientError::GaveUp { attempts: 1, last };
    let table = [
        ("a bad address", ConnectError::Address(AddressError::NoHost).is_retryable(), false),
        ("nobody listens", tcp.is_retryable(), true),
        (
            "no answer",
            ConnectError::Timeout { host: "h".to_owned(), port: 1, step: "connecting" }.is_retryable(),
            true,
        ),
        ("closed here", ConnectionError::ClosedLocally.is_retryable(), false),
        ("closed without a word", ConnectionError::ClosedByPeer(None).is_retryable(), true),
        ("lost", lost().is_retryable(), true),
        ("idle", ConnectionError::IdleTimeout.is_retryable(), true),
        ("slow", ConnectionError::Timeout("opening").is_retryable(), true),
        ("another protocol", ConnectionError::Header(String::new()).is_retryable(), false),
        ("wrong password", sasl(Some(SaslCode::Auth)).is_retryable(), false),
        ("no common mechanism", sasl(None).is_retryable(), false),
        ("SASL is down", sasl(Some(SaslCode::SysTemp)).is_retryable(), true),
        ("SASL is down for good", sasl(Some(SaslCode::SysPerm)).is_retryable(), false),
        ("ended here", SessionError::EndedLocally.is_retryable(), false),
        ("too many sessions", SessionError::TooMany(1).is_retryable(), false),
        ("ended without a word", SessionError::EndedByPeer(None).is_retryable(), true),
        ("detached here", LinkError::DetachedLocally.is_retryable(), false),
        ("the wrong way round", LinkError::OtherDirection.is_retryable(), false),
        ("too many links", LinkError::TooMany(1).is_retryable(), false),
        ("refused without a word", LinkError::Refused(None).is_retryable(), true),
        ("too large", SendError::TooLarge { size: 2, limit: 1 }.is_retryable(), false),
        ("lost while sending", SendError::Unknown(lost().into()).is_retryable(), true),
        ("no credit", TryDeliverError::NoCredit(Payload::from(Vec::new())).is_retryable(), true),
        ("no link", TryDeliverError::Send(SendError::NotSent(lost().into())).is_retryable(), true),
        ("taken back", SettleError::Revoked.is_retryable(), false),
        ("settled too late", SettleError::Link(lost().into()).is_retryable(), false),
        ("aborted", StreamError::Aborted.is_retryable(), false),
        ("cut off", StreamError::Link(lost().into()).is_retryable(), true),
        ("a bad client", AcceptError::Handshake(String::new()).is_retryable(), true),
        ("another bad client", AcceptError::Connection(lost()).is_retryable(), true),
        ("no credentials now", Trouble::Credentials("sealed".into()).is_retryable(), true),
        (
            "a closed connection of a client",
            Trouble::Lost(ConnectionError::ClosedLocally).is_retryable(),
            true,
        ),
        ("a closed client", ClientError::Closed.is_retryable(), false),
        ("a client without addresses", ClientError::NoAddress.is_retryable(), false),
        ("no patience left", gave_up(Trouble::Lost(lost())).is_retryable(), true),
        ("refused credentials", gave_up(Trouble::Lost(sasl(Some(SaslCode::Auth)))).is_retryable(), false),
        ("not sent again", ClientError::Interrupted(lost().into()).is_retryable(), true),
        ("never sent", RecoveringSendError::NotSent(ClientError::Closed).is_retryable(), false),
        ("ever too large", RecoveringSendError::TooLarge { size: 2, limit: 1 }.is_retryable(), false),
    ];
    for (what, is_retryable, expected) in table {
        assert_eq!(is_retryable, expected, "{what}");
    }
}

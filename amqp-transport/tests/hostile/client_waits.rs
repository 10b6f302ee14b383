//! Servers that owe an answer and stay silent: nobody waits for them without end.

use crate::place::{begun, client, client_with, opened};
use crate::script::Step::{self, Hear, Listen, Say};
use crate::{limits, says, within};
use amqp_codec::messaging::Message;
use amqp_codec::transport::{Open, Performative, Role, conditions};
use amqp_transport::cbs::{Cbs, CbsError, SasKey, Token};
use amqp_transport::management::{ReplyTo, RequestError, Requester, RequesterOptions};
use amqp_transport::transaction::TransactionError;
use amqp_transport::{ConnectionError, LinkError, ReceiverOptions, SendError, SenderOptions, SessionError};
use std::time::{Duration, Instant, SystemTime};

/// A server with one session that attaches a first link; what comes then is given.
fn attached(role: Role, rest: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let mut script = begun([Hear("attach"), Say(says::attach("link", 0, role))]);
    script.extend(rest);
    script
}

fn sender() -> SenderOptions {
    SenderOptions::new("q").name("link")
}

fn receiver() -> ReceiverOptions {
    ReceiverOptions::new("q").name("link")
}

// §2.5.1
#[tokio::test]
async fn a_begin_that_is_not_answered_is_taken_back_in_time() {
    let (connection, server) = client(opened([Hear("begin"), Listen])).await;
    let error = within(connection.session()).await.unwrap_err();
    assert!(matches!(error, SessionError::Timeout(_)) && error.is_retryable(), "{error}");
    within(connection.close()).await.unwrap();
    assert_eq!(server.heard().await.count("end"), 1);
    let (connection, _server) = client(opened([Listen])).await;
    let error = within(connection.sender(sender())).await.unwrap_err();
    assert!(matches!(error, LinkError::Session(SessionError::Timeout(_))), "{error}");
}

// §2.6.3
#[tokio::test]
async fn an_attach_that_is_not_answered_is_taken_back_in_time() {
    for role in [Role::Sender, Role::Receiver] {
        let (connection, server) = client(begun([Hear("attach"), Listen])).await;
        let session = within(connection.session()).await.unwrap();
        let error = match role {
            Role::Sender => within(session.sender(sender())).await.unwrap_err(),
            Role::Receiver => within(session.receiver(receiver())).await.unwrap_err(),
        };
        assert!(matches!(error, LinkError::Timeout(_)) && error.is_retryable(), "{error}");
        within(connection.close()).await.unwrap();
        assert_eq!(server.heard().await.count("detach"), 1);
    }
}

// §2.6.3
#[tokio::test]
async fn a_refusal_whose_reason_never_comes_is_a_refusal_in_time() {
    for role in [Role::Sender, Role::Receiver] {
        let refusal = [Hear("attach"), Say(says::refusal("link", 0, says::other(role))), Listen];
        let (connection, server) = client(begun(refusal)).await;
        let session = within(connection.session()).await.unwrap();
        let error = match role {
            Role::Sender => within(session.sender(sender())).await.unwrap_err(),
            Role::Receiver => within(session.receiver(receiver())).await.unwrap_err(),
        };
        assert_eq!(error, LinkError::Refused(None));
        within(connection.close()).await.unwrap();
        assert_eq!(server.heard().await.count("detach"), 1, "the handle is given back");
    }
}

// §2.6.3
#[tokio::test]
async fn an_answer_that_comes_too_late_does_no_harm() {
    let late = [Hear("detach"), Say(says::attach("link", 0, Role::Receiver)), Say(says::detach(0))];
    let again = [Hear("attach"), Say(says::attach("link", 0, Role::Receiver)), Say(says::grant(1)), Listen];
    let script = [Hear("attach")].into_iter().chain(late).chain(again);
    let (connection, _server) = client(begun(script)).await;
    let session = within(connection.session()).await.unwrap();
    let error = within(session.sender(sender())).await.unwrap_err();
    assert!(matches!(error, LinkError::Timeout(_)), "{error}");
    let sender = within(session.sender(sender())).await.unwrap();
    within(sender.credit_available()).await.unwrap();
}

// §2.6.7
#[tokio::test]
async fn a_drain_that_is_not_answered_is_told_in_time() {
    let (connection, _server) = client(attached(Role::Sender, [Hear("flow"), Listen])).await;
    let session = within(connection.session()).await.unwrap();
    let receiver = within(session.receiver(receiver())).await.unwrap();
    let error = within(receiver.drain()).await.unwrap_err();
    assert!(matches!(error, LinkError::Timeout(_)), "{error}");
    assert!(receiver.is_attached(), "only the wait is over");
}

#[tokio::test]
async fn detach_end_and_close_are_not_waited_for_longer_than_their_time() {
    let (connection, server) = client(attached(Role::Receiver, [Listen])).await;
    let session = within(connection.session()).await.unwrap();
    let sender = within(session.sender(sender())).await.unwrap();
    let begun = Instant::now();
    within(sender.close()).await.unwrap();
    within(session.end()).await;
    within(connection.close()).await.unwrap();
    let taken = begun.elapsed();
    assert!(taken >= limits().close * 3 && taken < limits().close * 30, "{taken:?}");
    let ear = server.heard().await;
    assert_eq!((ear.count("detach"), ear.count("end"), ear.count("close")), (1, 1, 1));
}

// §2.5.2
#[tokio::test]
async fn a_channel_that_is_never_given_back_holds_nobody_up() {
    let mut open = Open::new("hostile");
    open.channel_max = 0;
    let mut script = opened([Hear("begin"), Say(says::begin(0, Some(0))), Listen]);
    script[2] = Say([
        says::outcome(amqp_codec::security::SaslCode::Ok),
        says::amqp_header(),
        says::frame(0, Performative::Open(Box::new(open))),
    ]
    .concat());
    let (connection, _server) = client(script).await;
    let session = within(connection.session()).await.unwrap();
    within(session.end()).await;
    let error = within(connection.sender(sender())).await.unwrap_err();
    assert!(matches!(error, LinkError::Session(SessionError::TooMany(1))), "{error}");
}

// §4.3
#[tokio::test]
async fn a_coordinator_that_gives_no_credit_declares_nothing_in_time() {
    let (connection, server) = client(begun([Hear("attach"), Step::Answer, Listen])).await;
    let session = within(connection.session()).await.unwrap();
    let controller = within(session.controller()).await.unwrap();
    let error = within(controller.declare()).await.unwrap_err();
    assert!(matches!(error, TransactionError::Timeout(_)), "{error}");
    drop((controller, session));
    within(connection.close()).await.unwrap();
    assert_eq!(server.heard().await.count("transfer"), 0);
}

#[tokio::test]
async fn a_node_that_is_asked_and_stays_silent_is_given_up_in_time() {
    let time_out = Duration::from_millis(200);
    let (connection, _server) = client(begun([Listen])).await;
    let options = RequesterOptions::new("$management", ReplyTo::OwnAddress).time_out(time_out);
    let error = within(Requester::new(&connection, options).request(Message::data("x"))).await.unwrap_err();
    assert_eq!(error, RequestError::Timeout(time_out));
    let (connection, _server) = client(begun([Listen])).await;
    let token = Token::new("jwt", "token", SystemTime::now() + Duration::from_secs(60));
    let error =
        within(Cbs::new(&connection, SasKey::new("name", "a2V5")).put_token("q", &token)).await.unwrap_err();
    let CbsError::Request(RequestError::NotSent(SendError::NotSent(error))) = error else {
        panic!("{error}")
    };
    assert!(matches!(error, LinkError::Timeout(_)), "{error}");
}

#[tokio::test]
async fn without_credit_a_send_waits_and_can_be_given_up() {
    let (connection, server) = client(attached(Role::Receiver, [Listen])).await;
    let session = within(connection.session()).await.unwrap();
    let sender = within(session.sender(sender())).await.unwrap();
    let sent = tokio::time::timeout(Duration::from_millis(100), sender.send(Message::data("x"))).await;
    assert!(sent.is_err(), "{sent:?}");
    within(connection.close()).await.unwrap();
    assert_eq!(server.heard().await.count("transfer"), 0);
}

#[tokio::test]
async fn an_outcome_that_never_comes_is_unknown_when_the_link_is_closed() {
    let (connection, server) = client(attached(Role::Receiver, [Say(says::grant(1)), Listen])).await;
    let session = within(connection.session()).await.unwrap();
    let sender = within(session.sender(sender())).await.unwrap();
    let mut confirmation = within(sender.deliver(Message::data("x"))).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(100), &mut confirmation).await;
    assert!(waited.is_err(), "{waited:?}");
    within(sender.close()).await.unwrap();
    let error = within(confirmation).await.unwrap_err();
    assert!(matches!(error, SendError::Unknown(LinkError::DetachedLocally)), "{error}");
    within(connection.close()).await.unwrap();
    assert_eq!(server.heard().await.count("transfer"), 1);
}

// §2.4.5
#[tokio::test]
async fn a_server_that_is_silent_for_too_long_is_told_so_and_left() {
    let mut limits = limits();
    limits.idle_time_out = Duration::from_millis(150);
    let (connection, server) = client_with(limits, opened([Listen])).await;
    assert_eq!(within(connection.closed()).await, ConnectionError::IdleTimeout);
    assert_eq!(server.heard().await.condition("close"), Some(conditions::RESOURCE_LIMIT_EXCEEDED));
}

//! Requests and answers over links: client and server pieces against each other, and each against a scripted peer.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::ByteString;
use amqp_codec::messaging::{Body, Message, MessageId, Properties, Source, Target};
use amqp_codec::transport::{ErrorInfo, Role, SenderSettleMode, conditions};
use amqp_codec::types::Value;
use amqp_transport::management::{
    HttpManagement, HttpRequest, NodeManagement, Operation, Reply, ReplyTo, RequestError, RequestServer,
    RequestServerLimits, Requester, RequesterOptions,
};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Incoming, LinkError, ListenerOptions, Outcome, Receiver,
    ReceiverOptions, Sender, SenderOptions, StaticCredentials,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

async fn pair() -> (Connection, Incoming) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let anyone = StaticCredentials { anonymous: true, users: Vec::new() };
    let listener = ListenerOptions::new("server").authenticator(Arc::new(anyone));
    let address: Address = "amqp://localhost".parse().unwrap();
    let (client, incoming) =
        tokio::join!(ConnectOptions::new(address).connect_over(near), listener.accept(far));
    (client.unwrap(), incoming.unwrap())
}

/// A connection whose other side gives every link to this server.
async fn served_by(mut server: RequestServer) -> Connection {
    let (client, incoming) = pair().await;
    tokio::spawn(async move {
        while let Some(link) = incoming.next_link().await {
            server.serve(link).unwrap();
        }
    });
    client
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

fn echo() -> RequestServer {
    RequestServer::http(|request: HttpRequest| async move {
        let Body::Value(value) = request.body else { return Reply::new(400, "expected a value") };
        match request.path.as_str() {
            "/echo" => Reply::new(200, value),
            path => Reply::new(404, Value::Null).with_description(format!("{} {path}", request.method)),
        }
    })
}

/// The peer's ends of a pair of links, accepted by hand.
async fn accept(incoming: &Incoming) -> (Receiver, Sender) {
    let (mut requests, mut replies) = (None, None);
    while requests.is_none() || replies.is_none() {
        let link = incoming.next_link().await.unwrap();
        let attach = link.attach().unwrap().clone();
        match link.role() {
            Role::Sender => {
                let target =
                    Target { address: attach.target.unwrap().address().cloned(), ..Target::default() };
                requests = Some(link.accept_as_receiver(target, Credit::Auto(10)).unwrap());
            }
            Role::Receiver => replies = Some(link.accept_as_sender(attach.source.unwrap()).unwrap()),
        }
    }
    (requests.unwrap(), replies.unwrap())
}

/// The next request's message-id.
async fn request_id(requests: &Receiver) -> MessageId {
    let request = requests.recv().await.unwrap();
    let id = request.message().unwrap().properties.unwrap().message_id.unwrap();
    if !request.is_settled() {
        request.accept().unwrap();
    }
    id
}

fn http_answer(id: MessageId, body: &str) -> Message {
    Message::value(body).with_properties(Properties {
        correlation_id: Some(id),
        subject: Some("200".into()),
        ..Properties::default()
    })
}

#[tokio::test]
async fn a_request_in_the_manner_of_http_is_answered() {
    within(async {
        let management = HttpManagement::new(&served_by(echo()).await);
        let reply = management.request("GET", "/echo", Value::from("hello")).await.unwrap();
        assert_eq!(reply.success().unwrap(), Value::from("hello"));
        let refusal =
            management.request("PUT", "/a%20b?c=d", Value::Null).await.unwrap().success().unwrap_err();
        assert_eq!((refusal.status, refusal.description.as_str()), (404, "PUT /a%20b?c=d"));
    })
    .await;
}

#[tokio::test]
async fn an_operation_is_answered_whichever_way_its_answer_is_routed() {
    within(async {
        for reply_to in [ReplyTo::Paired, ReplyTo::OwnAddress, ReplyTo::Dynamic] {
            let server = RequestServer::operations(|operation: Operation| async move {
                match operation.operation() {
                    Some("READ") => Reply::new(200, operation.get("name").cloned().unwrap()),
                    _ => Reply {
                        condition: Some("amqp:not-implemented".to_owned()),
                        ..Reply::new(501, Value::Null).with_description("what?")
                    },
                }
            });
            let client = served_by(server).await;
            let requester = Requester::new(&client, RequesterOptions::new("q/$management", reply_to));
            let management = NodeManagement::over(requester);
            let reply = management.request(Operation::new("READ").name("q")).await.unwrap();
            assert_eq!(reply.success().unwrap(), Value::from("q"), "{reply_to:?}");
            let reply = management.request(Operation::new("DANCE")).await.unwrap();
            assert_eq!(reply.condition.as_deref(), Some("amqp:not-implemented"));
            assert_eq!(reply.success().unwrap_err().to_string(), "the peer answered 501: what?");
        }
    })
    .await;
}

#[tokio::test]
async fn many_requests_wait_at_once_and_each_gets_its_own_answer() {
    within(async {
        let (client, incoming) = pair().await;
        let management = HttpManagement::new(&client);
        let ask = |path: &'static str| {
            let management = management.clone();
            async move { management.request("GET", path, Value::Null).await.unwrap().body }
        };
        let (first, second, ()) = tokio::join!(ask("/a"), ask("/b"), async {
            let (requests, replies) = accept(&incoming).await;
            let mut answers = Vec::new();
            for _ in 0..2 {
                let request = requests.recv().await.unwrap().message().unwrap().properties.unwrap();
                answers.push(http_answer(request.message_id.unwrap(), &request.to.unwrap()));
            }
            // The last one first.
            for answer in answers.into_iter().rev() {
                replies.send_settled(answer).await.unwrap();
            }
        });
        assert_eq!((first, second), (Value::from("/a"), Value::from("/b")));
    })
    .await;
}

#[tokio::test]
async fn the_answer_to_a_request_that_was_given_up_is_thrown_away() {
    within(async {
        let (client, incoming) = pair().await;
        let management = HttpManagement::new(&client);
        let given_up = management.request("GET", "/slow", Value::Null);
        let (requests, replies, late) = tokio::select! {
            _ = given_up => unreachable!("nobody answers"),
            links = async {
                let (requests, replies) = accept(&incoming).await;
                let late = request_id(&requests).await;
                (requests, replies, late)
            } => links,
        };
        let (reply, ()) = tokio::join!(management.request("GET", "/next", Value::Null), async {
            let id = request_id(&requests).await;
            assert_ne!(id, late);
            replies.send_settled(http_answer(late, "late")).await.unwrap();
            replies.send_settled(Message::value("answers nothing")).await.unwrap();
            replies.send_settled(http_answer(id, "next")).await.unwrap();
        });
        assert_eq!(reply.unwrap().body, Value::from("next"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_answers_runs_out_of_time() {
    let (client, _incoming) = pair().await;
    let patience = Duration::from_secs(7);
    let management = HttpManagement::with_time_out(&client, patience);
    let error = management.request("GET", "/", Value::Null).await.unwrap_err();
    assert_eq!(error, RequestError::Timeout(patience));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn links_that_ended_are_attached_again_by_the_next_request() {
    within(async {
        let (client, incoming) = pair().await;
        let management = HttpManagement::new(&client);
        for round in ["first", "second", "third"] {
            let (reply, links) = tokio::join!(management.request("GET", "/", Value::Null), async {
                let (requests, replies) = accept(&incoming).await;
                replies.send_settled(http_answer(request_id(&requests).await, round)).await.unwrap();
                (requests, replies)
            });
            assert_eq!(reply.unwrap().body, Value::from(round));
            // Either of the two may go.
            if round == "first" {
                links.0.close().await.unwrap();
            } else {
                links.1.close().await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_under_way_when_the_links_end_is_lost() {
    within(async {
        let (client, incoming) = pair().await;
        let management = HttpManagement::new(&client);
        let (reply, ()) = tokio::join!(management.request("PUT", "/", Value::Null), async {
            let (requests, replies) = accept(&incoming).await;
            request_id(&requests).await;
            replies.close_with(ErrorInfo::new(conditions::DETACH_FORCED, "maintenance")).await.unwrap();
        });
        let Err(RequestError::Lost(LinkError::DetachedByPeer(Some(error)))) = reply else {
            unreachable!("{reply:?}")
        };
        assert_eq!(error.condition, conditions::DETACH_FORCED);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_the_node_rejects_says_so_at_once() {
    within(async {
        let (client, incoming) = pair().await;
        let management = NodeManagement::new(&client, "$management");
        let (reply, ()) = tokio::join!(management.request(Operation::new("READ")), async {
            let (requests, _replies) = accept(&incoming).await;
            requests.recv().await.unwrap().reject(None).unwrap();
            // The links stay: it is about this one request.
            assert!(requests.is_attached());
        });
        assert_eq!(reply.unwrap_err(), RequestError::NotTaken(Outcome::Rejected(None)));
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_refused_is_an_error_of_the_request() {
    within(async {
        let (client, incoming) = pair().await;
        let management = HttpManagement::new(&client);
        let (reply, ()) = tokio::join!(management.request("GET", "/", Value::Null), async {
            let link = incoming.next_link().await.unwrap();
            link.refuse(ErrorInfo::new(conditions::NOT_FOUND, "no such node"));
        });
        let error = reply.unwrap_err();
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("amqp:not-found: no such node"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_a_status_is_told() {
    within(async {
        let (client, incoming) = pair().await;
        let management = NodeManagement::new(&client, "$management");
        let (reply, ()) = tokio::join!(management.request(Operation::new("READ")), async {
            let (requests, replies) = accept(&incoming).await;
            let id = request_id(&requests).await;
            replies.send(http_answer(id, "200 is not said the right way")).await.unwrap().accepted().unwrap();
        });
        assert!(matches!(reply, Err(RequestError::Malformed(_))), "{reply:?}");
    })
    .await;
}

/// Links attached by hand: requests go out on the first, answers come on the second.
async fn attach_by_hand(
    client: &Connection,
    replies_to: &'static str,
    settle: SenderSettleMode,
) -> (Sender, Receiver) {
    let session = client.session().await.unwrap();
    let replies = ReceiverOptions::new("$cbs").target(Target::new(replies_to)).sender_settle_mode(settle);
    let replies = session.receiver(replies).await.unwrap();
    (session.sender(SenderOptions::new("$cbs")).await.unwrap(), replies)
}

fn operation(id: &str, reply_to: Option<&str>) -> Message {
    let properties = Properties {
        message_id: Some(id.into()),
        reply_to: reply_to.map(ByteString::from),
        ..Properties::default()
    };
    Message::default().with_properties(properties).with_application_property("operation", "READ")
}

fn hello() -> RequestServer {
    RequestServer::operations(|_| async { Reply::new(200, "hello") })
}

#[tokio::test]
async fn without_reply_to_the_answer_goes_to_the_link_of_the_same_session() {
    within(async {
        let client = served_by(hello()).await;
        // As some clients do: no reply-to, answers unsettled.
        let (requests, replies) = attach_by_hand(&client, "", SenderSettleMode::Unsettled).await;
        let _other = attach_by_hand(&client, "mine", SenderSettleMode::Mixed).await;
        for id in ["1", "2"] {
            requests.send(operation(id, None)).await.unwrap().accepted().unwrap();
            let answer = replies.recv().await.unwrap();
            assert!(!answer.is_settled());
            assert_eq!(answer.message().unwrap().properties.unwrap().correlation_id, Some(id.into()));
            answer.accept().unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_whose_answer_has_nowhere_to_go_is_rejected() {
    within(async {
        let client = served_by(hello()).await;
        let (requests, replies) = attach_by_hand(&client, "mine", SenderSettleMode::Mixed).await;
        let outcome = requests.send(operation("1", Some("somebody else's"))).await.unwrap();
        let Outcome::Rejected(Some(error)) = outcome else { unreachable!("{outcome}") };
        assert_eq!(error.condition, conditions::PRECONDITION_FAILED);
        requests.send(operation("2", Some("mine"))).await.unwrap().accepted().unwrap();
        let answer = replies.recv().await.unwrap().message().unwrap().properties.unwrap();
        assert_eq!((answer.correlation_id, answer.to.as_deref()), (Some("2".into()), Some("mine")));
    })
    .await;
}

#[tokio::test]
async fn octets_that_are_no_message_get_a_bad_request_or_are_rejected() {
    within(async {
        let client = served_by(hello()).await;
        let (requests, replies) = attach_by_hand(&client, "mine", SenderSettleMode::Mixed).await;
        requests.send(b"nothing".to_vec()).await.unwrap().accepted().unwrap();
        let answer = replies.recv().await.unwrap().message().unwrap();
        assert_eq!(answer.application_property("statusCode"), Some(&Value::Int(400)));

        let client = served_by(RequestServer::new(|request| async move { request })).await;
        let (requests, _replies) = attach_by_hand(&client, "mine", SenderSettleMode::Mixed).await;
        let outcome = requests.send(b"nothing".to_vec()).await.unwrap();
        assert!(
            matches!(outcome, Outcome::Rejected(Some(error)) if error.condition == conditions::DECODE_ERROR)
        );
    })
    .await;
}

#[tokio::test]
async fn a_paired_link_has_no_credit_before_its_other_half_is_there() {
    within(async {
        let client = served_by(echo()).await;
        let session = client.session().await.unwrap();
        let requests = session
            .sender(SenderOptions::new("/management").name("a").property("paired", true))
            .await
            .unwrap();
        let replies = || ReceiverOptions::new("/management").property("paired", true);
        // Another name, and another session: neither is the other half.
        let _stranger = session.receiver(replies().name("b")).await.unwrap();
        let elsewhere = client.session().await.unwrap();
        let _namesake = elsewhere.receiver(replies().name("a")).await.unwrap();
        assert_eq!(requests.credit(), 0);
        let _replies =
            session.receiver(replies().name("a").source(Source::new("/management"))).await.unwrap();
        requests.credit_available().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn more_links_than_the_limit_are_refused() {
    within(async {
        let mut limits = RequestServerLimits::default();
        limits.links = 3;
        let client = served_by(hello().limits(limits)).await;
        let (first, _replies) = attach_by_hand(&client, "mine", SenderSettleMode::Mixed).await;
        let session = client.session().await.unwrap();
        let _third = session.receiver(ReceiverOptions::new("$cbs")).await.unwrap();
        let refused = session.receiver(ReceiverOptions::new("$cbs")).await.unwrap_err();
        assert_eq!(refused.remote_error().unwrap().condition, conditions::RESOURCE_LIMIT_EXCEEDED);
        // Those that go make room.
        first.close().await.unwrap();
        while session.receiver(ReceiverOptions::new("$cbs")).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn requests_wait_for_their_turn_and_no_more_of_them_than_the_credit() {
    within(async {
        let handled = Arc::new(AtomicU32::new(0));
        let (gate, open) = tokio::sync::watch::channel(false);
        let count = Arc::clone(&handled);
        let server = RequestServer::operations(move |_| {
            let (count, mut open) = (Arc::clone(&count), open.clone());
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                open.wait_for(|open| *open).await.unwrap();
                Reply::new(200, Value::Null)
            }
        });
        let client = served_by(server).await;
        let (requests, _replies) = attach_by_hand(&client, "mine", SenderSettleMode::Mixed).await;
        let mut sent = Vec::new();
        for _ in 0..8 {
            sent.push(requests.deliver(operation("x", Some("mine"))).await.unwrap());
        }
        assert_eq!(requests.credit(), 0);
        assert!(handled.load(Ordering::SeqCst) <= 1);
        gate.send(true).unwrap();
        for confirmation in sent {
            confirmation.await.unwrap().accepted().unwrap();
        }
        assert_eq!(handled.load(Ordering::SeqCst), 8);
    })
    .await;
}

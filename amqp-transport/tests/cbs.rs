//! Claims-based security: client and server piece against each other.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Target};
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_codec::types::Value;
use amqp_transport::cbs::{
    AuthorizationState, Cbs, CbsError, CbsServer, NODE, PutToken, SasKey, Token, TokenError, TokenFuture,
    TokenProvider,
};
use amqp_transport::management::{NodeManagement, Operation, Refusal};
use amqp_transport::recovery::Client;
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Incoming, Limits, Listener, ListenerOptions, SenderOptions,
    StaticCredentials,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

const HOST: &str = "sb://ns.servicebus.windows.net/";
const QUEUE: &str = "sb://ns.servicebus.windows.net/orders";

async fn pair() -> (Connection, Incoming) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let anyone = StaticCredentials { anonymous: true, users: Vec::new() };
    // No heartbeats: the engine's clock does not follow a paused one.
    let mut limits = Limits::default();
    limits.idle_time_out = Duration::ZERO;
    let listener = ListenerOptions::new("server").authenticator(Arc::new(anyone)).limits(limits.clone());
    let address: Address = "amqp://localhost".parse().unwrap();
    let client = ConnectOptions::new(address).limits(limits);
    let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
    (client.unwrap(), incoming.unwrap())
}

type Puts = Arc<Mutex<Vec<(Instant, PutToken)>>>;

/// A connection whose other side checks tokens with this key, and what was put there.
async fn served_with(key: SasKey) -> (Connection, Puts) {
    let (client, incoming) = pair().await;
    let puts = Puts::default();
    let seen = Arc::clone(&puts);
    let mut server = CbsServer::new(move |put: PutToken| {
        seen.lock().unwrap().push((Instant::now(), put.clone()));
        let checked = key.check(&put.token, &put.audience, SystemTime::now());
        let refusal = |description| Refusal { status: 401, condition: None, description };
        std::future::ready(checked.map(|_| ()).map_err(|error| refusal(error.to_string())))
    });
    tokio::spawn(async move {
        while let Some(link) = incoming.next_link().await {
            server.serve(link).unwrap();
        }
    });
    (client, puts)
}

fn key() -> SasKey {
    SasKey::new("RootManageSharedAccessKey", "c2VjcmV0LWtleQ==")
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// A provider that fails as long as it is told to.
#[derive(Clone, Default)]
struct Fickle {
    fails: Arc<Mutex<bool>>,
}

impl TokenProvider for Fickle {
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a> {
        let token = if *self.fails.lock().unwrap() {
            let error: TokenError = Arc::new(std::io::Error::other("the identity service is down"));
            Err(error)
        } else {
            Ok(key().sign(audience, SystemTime::now() + Duration::from_secs(3600)))
        };
        Box::pin(std::future::ready(token))
    }
}

#[tokio::test]
async fn a_token_is_put_and_taken() {
    within(async {
        let (client, puts) = served_with(key()).await;
        let authorization = Cbs::new(&client, key()).authorize(QUEUE).await.unwrap();
        assert!(authorization.state().is_valid());
        let (_, put) = puts.lock().unwrap()[0].clone();
        assert_eq!((put.kind.as_str(), put.audience.as_str()), (Token::SAS, QUEUE));
        let expiration = put.expiration.unwrap().millis();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let left = i128::from(expiration) - i128::try_from(now).unwrap();
        assert!((3_590_000..=3_600_000).contains(&left), "{left}");
        assert!(!format!("{put:?}").contains("sig="));
    })
    .await;
}

#[tokio::test]
async fn a_bad_token_is_refused() {
    within(async {
        let (client, _) = served_with(key()).await;
        let other = SasKey::new("RootManageSharedAccessKey", "guessed");
        let error = Cbs::new(&client, other).authorize(QUEUE).await.unwrap_err();
        let CbsError::Refused(refusal) = &error else { unreachable!("{error}") };
        assert_eq!((refusal.status, refusal.description.as_str()), (401, "the signature is wrong"));
        assert!(!error.is_retryable());
        let elsewhere =
            key().sign("sb://other.servicebus.windows.net", SystemTime::now() + Duration::from_secs(60));
        let error = Cbs::new(&client, key()).put_token(QUEUE, &elsewhere).await.unwrap_err();
        assert!(matches!(error, CbsError::Refused(Refusal { status: 401, .. })), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_token_that_has_expired_is_not_put() {
    within(async {
        let (client, puts) = served_with(key()).await;
        let error = Cbs::new(&client, key().life(Duration::ZERO)).authorize(QUEUE).await.unwrap_err();
        assert!(matches!(error, CbsError::Expired), "{error}");
        let error = Cbs::new(&client, key().life(Duration::MAX)).authorize(QUEUE).await.unwrap_err();
        assert!(matches!(error, CbsError::Provider(_)), "{error}");
        assert!(puts.lock().unwrap().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_expires() {
    let (client, puts) = served_with(key()).await;
    let cbs = Cbs::new(&client, key());
    let (mut first, _second) = (cbs.authorize(QUEUE).await.unwrap(), cbs.authorize(HOST).await.unwrap());
    for _ in 0..3 {
        let AuthorizationState::Valid { .. } = first.changed().await else { unreachable!() };
    }
    let times: Vec<_> = {
        let puts = puts.lock().unwrap();
        puts.iter().filter(|(_, put)| put.audience == QUEUE).map(|(at, _)| *at).collect()
    };
    assert_eq!(times.len(), 4);
    for pair in times.windows(2) {
        let passed = pair[1] - pair[0];
        assert!((2500..=2900).contains(&passed.as_secs()), "{passed:?} of an hour");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_tried_again_until_the_token_expires() {
    let (client, _) = served_with(key()).await;
    let provider = Fickle::default();
    let mut authorization = Cbs::new(&client, provider.clone()).authorize(QUEUE).await.unwrap();
    let begun = Instant::now();
    *provider.fails.lock().unwrap() = true;
    let AuthorizationState::Failing { error, .. } = authorization.changed().await else { unreachable!() };
    assert!(error.to_string().contains("the identity service is down"), "{error}");
    assert!(authorization.state().is_valid(), "the old token is still good");
    // It recovers in time.
    *provider.fails.lock().unwrap() = false;
    while !matches!(authorization.changed().await, AuthorizationState::Valid { .. }) {}
    assert!(begun.elapsed() < Duration::from_secs(3600));
    // And not the next time.
    *provider.fails.lock().unwrap() = true;
    let renewed = Instant::now();
    let mut attempts = 0;
    loop {
        match authorization.changed().await {
            AuthorizationState::Failing { until, .. } => {
                assert!(until > Instant::now());
                attempts += 1;
            }
            AuthorizationState::Expired { error } => {
                assert!(matches!(error, CbsError::Provider(_)), "{error}");
                break;
            }
            state => unreachable!("{state:?}"),
        }
    }
    assert!(attempts > 10, "{attempts}");
    assert!((3590..=3601).contains(&renewed.elapsed().as_secs()), "{:?}", renewed.elapsed());
    assert!(!authorization.state().is_valid());
}

#[tokio::test]
async fn an_authorisation_ends_with_its_connection() {
    within(async {
        let (client, _) = served_with(key()).await;
        let mut authorization = Cbs::new(&client, key()).authorize(QUEUE).await.unwrap();
        client.close().await.unwrap();
        assert!(matches!(authorization.changed().await, AuthorizationState::Ended));
        assert!(matches!(Cbs::new(&client, key()).authorize(QUEUE).await, Err(CbsError::Request(_))));
    })
    .await;
}

#[tokio::test]
async fn a_connection_closes_when_nobody_needs_its_authorisation() {
    within(async {
        let (client, incoming) = pair().await;
        let mut server = CbsServer::new(|_| async { Ok(()) });
        let closed = incoming.connection().clone();
        tokio::spawn(async move {
            while let Some(link) = incoming.next_link().await {
                server.serve(link).unwrap();
            }
        });
        let authorization = Cbs::new(&client, key()).authorize(QUEUE).await.unwrap();
        drop(client);
        assert!(!closed.is_closed());
        drop(authorization);
        closed.closed().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_no_token_is_a_bad_request() {
    within(async {
        let (client, puts) = served_with(key()).await;
        let node = NodeManagement::new(&client, NODE);
        let put = || Operation::new("put-token").kind("jwt").name(QUEUE);
        for (request, status) in [
            (Operation::new("delete-token").kind("jwt").name(QUEUE), 501),
            (Operation::new("put-token").kind("jwt").body("token"), 400),
            (Operation::new("put-token").name(QUEUE).body("token"), 400),
            (put(), 400),
            (put().body(7_i32), 400),
            (put().body(Value::Binary(bytes::Bytes::from_static(&[0xff]))), 400),
            (put().body("nonsense"), 401),
        ] {
            let reply = node.request(request.clone()).await.unwrap();
            assert_eq!(reply.status, status, "{request:?}");
        }
        assert_eq!(puts.lock().unwrap().len(), 1);
    })
    .await;
}

/// Serves a connection of a peer that takes messages only from who has put a token on this very connection.
async fn guarded(incoming: Incoming, puts: Arc<AtomicUsize>) {
    let is_authorized = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_authorized);
    let mut server = CbsServer::new(move |put: PutToken| {
        let checked = key().check(&put.token, &put.audience, SystemTime::now());
        seen.store(checked.is_ok(), Ordering::SeqCst);
        puts.fetch_add(1, Ordering::SeqCst);
        let refusal = |description| Refusal { status: 401, condition: None, description };
        std::future::ready(checked.map(|_| ()).map_err(|error| refusal(error.to_string())))
    });
    while let Some(link) = incoming.next_link().await {
        let attach = link.attach().unwrap();
        let source = attach.source.as_ref().and_then(|source| source.address.clone());
        let target = attach.target.as_ref().and_then(|target| target.address().cloned());
        if [source, target].contains(&Some(NODE.into())) {
            server.serve(link).unwrap();
        } else if is_authorized.load(Ordering::SeqCst) {
            let receiver = link.accept_as_receiver(Target::new("orders"), Credit::Auto(10)).unwrap();
            tokio::spawn(async move {
                while let Ok(delivery) = receiver.recv().await {
                    let _ = delivery.accept();
                }
            });
        } else {
            link.refuse(ErrorInfo::new(conditions::UNAUTHORIZED_ACCESS, "there is no token for orders"));
        }
    }
}

#[tokio::test]
async fn a_client_that_connects_again_puts_its_token_before_it_attaches_its_links() {
    within(async {
        let anyone = StaticCredentials { anonymous: true, users: Vec::new() };
        let options = ListenerOptions::new("server").authenticator(Arc::new(anyone));
        let mut listener = Listener::bind("127.0.0.1:0", options).await.unwrap();
        let address = format!("amqp://{}", listener.local_addr().unwrap());
        let (puts, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counts, kept) = (Arc::clone(&puts), Arc::clone(&connections));
        tokio::spawn(async move {
            loop {
                let (incoming, _) = listener.accept().await;
                kept.lock().unwrap().push(incoming.connection().clone());
                tokio::spawn(guarded(incoming, Arc::clone(&counts)));
            }
        });
        // Without a token nobody gets anywhere.
        let client = Client::builder([&address]).unwrap().connect().await.unwrap();
        let refused = client.sender(SenderOptions::new("orders")).await.unwrap_err();
        assert!(refused.to_string().contains("there is no token for orders"), "{refused}");
        client.close(Duration::from_secs(5)).await.unwrap();
        connections.lock().unwrap().clear();

        let client = Client::builder([&address])
            .unwrap()
            .prepare(|connection| {
                let cbs = Cbs::new(&connection, key());
                async move { cbs.authorize(QUEUE).await }
            })
            .connect()
            .await
            .unwrap();
        let sender = client.sender(SenderOptions::new("orders")).await.unwrap();
        for times in 1..=4 {
            sender.send(Message::data("an order")).await.unwrap().accepted().unwrap();
            assert_eq!(puts.load(Ordering::SeqCst), times);
            let before = client.connected().await.unwrap();
            let theirs: Vec<Connection> = std::mem::take(&mut *connections.lock().unwrap());
            for connection in theirs {
                connection.close().await.ok();
            }
            before.closed().await;
        }
    })
    .await;
}

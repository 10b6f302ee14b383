//! Who may connect, where, and how the broker ends.

mod support;

use amqp_broker::{Broker, BrokerError, Limits, QueueOptions};
use amqp_codec::types::Value;
use amqp_transport::{Address, Connection, ConnectionError};
use std::time::Duration;
use support::{DEADLINE, Pair, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
async fn connects(broker: &Broker, user: &str, password: &str) -> bool {
    let address: Address = broker.address().parse().unwrap();
    amqp_transport::ConnectOptions::new(address.with_credentials(user, password)).connect().await.is_ok()
}

#[tokio::test]
async fn it_introduces_itself() {
    let pair = Pair::start().await;
    let peer = pair.connection.peer();
    assert_eq!(peer.container_id, "embedded");
    let property = |key| peer.properties.get(key).and_then(Value::as_str);
    assert_eq!(property("product"), Some("rr-jobs embedded broker"));
    assert_eq!(property("version"), Some(env!("CARGO_PKG_VERSION")));
    let offered: Vec<_> = peer.offered_capabilities.iter().map(|capability| capability.as_str()).collect();
    assert_eq!(offered, ["ANONYMOUS-RELAY", "DELAYED_DELIVERY", "LINK_PAIR_V1_0"]);
    pair.stop().await;
}

#[tokio::test]
async fn a_user_needs_the_password() {
    let broker = Broker::builder().user("guest", "guest").start().await.unwrap();
    assert!(connects(&broker, "guest", "guest").await);
    assert!(!connects(&broker, "guest", "wrong").await);
    assert!(!connects(&broker, "other", "guest").await);
    assert!(Connection::connect(&broker.address()).await.is_err(), "anonymous is off when there are users");
    broker.shutdown().await;
}

#[tokio::test]
async fn users_and_anonymous_go_together_when_asked_for() {
    let broker = Broker::builder().user("guest", "guest").anonymous(true).start().await.unwrap();
    assert!(connects(&broker, "guest", "guest").await);
    assert!(Connection::connect(&broker.address()).await.is_ok());
    broker.shutdown().await;
}

#[tokio::test]
async fn a_broker_that_nobody_could_use_does_not_start() {
    let error = Broker::builder().anonymous(false).start().await.expect_err("refused");
    assert!(matches!(error, BrokerError::NobodyMayConnect));
}

#[tokio::test]
async fn it_listens_on_loopback_only_unless_told() {
    let error = Broker::builder().listen("0.0.0.0:0").start().await.expect_err("refused");
    assert!(matches!(error, BrokerError::NotLoopback(_)), "{error}");
    let broker = Broker::builder().listen("0.0.0.0:0").allow_remote(true).start().await.unwrap();
    assert!(broker.address().starts_with("amqp://127.0.0.1:"), "{}", broker.address());
    assert!(Connection::connect(&broker.address()).await.is_ok());
    broker.shutdown().await;
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let broker = Broker::builder().start().await.unwrap();
    let address = broker.local_addr().to_string();
    let error = Broker::builder().listen(address.clone()).start().await.expect_err("in use");
    assert!(error.to_string().contains(&address), "{error}");
    broker.shutdown().await;
}

#[tokio::test]
async fn shutdown_closes_connections_in_an_orderly_way() {
    let pair = Pair::start().await;
    let Pair { broker, connection, .. } = pair;
    let address = broker.local_addr();
    tokio::time::timeout(DEADLINE, broker.shutdown()).await.expect("it stops");
    let error = tokio::time::timeout(DEADLINE, connection.closed()).await.expect("closed");
    assert!(matches!(error, ConnectionError::ClosedByPeer(_)), "{error}");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn one_connection_more_than_allowed_is_hung_up_on() {
    let mut limits = Limits::default();
    limits.max_connections = 1;
    let broker = Broker::builder().limits(limits).start().await.unwrap();
    let first = Connection::connect(&broker.address()).await.unwrap();
    assert!(Connection::connect(&broker.address()).await.is_err());
    assert!(!first.is_closed());
    broker.shutdown().await;
}

#[tokio::test]
async fn one_handshake_more_than_a_peer_may_have_is_hung_up_on() {
    let mut limits = Limits::default();
    limits.max_handshakes_per_peer = 1;
    let broker = Broker::builder().limits(limits).start().await.unwrap();
    // It has been taken once its header is answered, and says nothing more.
    let mut silent = TcpStream::connect(broker.local_addr()).await.unwrap();
    silent.write_all(b"AMQP\x03\x01\x00\x00").await.unwrap();
    let mut header = [0; 8];
    silent.read_exact(&mut header).await.unwrap();
    assert!(Connection::connect(&broker.address()).await.is_err());
    drop(silent);
    let connected = async { while Connection::connect(&broker.address()).await.is_err() {} };
    tokio::time::timeout(DEADLINE, connected).await.expect("its place comes back");
    broker.shutdown().await;
}

#[tokio::test]
async fn a_handshake_under_way_does_not_hold_a_shutdown_up() {
    let broker = Broker::builder().start().await.unwrap();
    let mut silent = TcpStream::connect(broker.local_addr()).await.unwrap();
    silent.write_all(b"AMQP\x03\x01\x00\x00").await.unwrap();
    let mut header = [0; 8];
    silent.read_exact(&mut header).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), broker.shutdown()).await.expect("it stops");
}

#[tokio::test]
async fn the_secrets_of_a_builder_stay_secret() {
    let builder = Broker::builder().user("guest", "hunter2");
    assert!(!format!("{builder:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_queue_is_declared_once_in_one_way() {
    let pair = Pair::start().await;
    let mut options = QueueOptions::default();
    assert!(pair.broker.declare_queue("q", options.clone()).unwrap());
    assert!(!pair.broker.declare_queue("q", options.clone()).unwrap());
    options.delivery_limit = Some(1);
    assert!(pair.broker.declare_queue("q", options.clone()).is_err());
    assert!(pair.broker.declare_queue("", options).is_err());
    pair.send("q", text("x")).await;
    assert_eq!(pair.broker.purge_queue("q"), Some(1));
    assert_eq!(pair.broker.purge_queue("other"), None);
    pair.stop().await;
}

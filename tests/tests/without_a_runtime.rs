//! The transport's engine on a plain blocking socket, as its example shows it, against the embedded broker.

#[path = "../../amqp-transport/examples/blocking.rs"]
#[expect(dead_code, reason = "an example's main is not called here")]
mod blocking;

use amqp_transport::Sasl;

async fn greet(sasl: Sasl) -> Result<Vec<u8>, String> {
    let broker = amqp_broker::Broker::builder()
        .listen("127.0.0.1:0")
        .user("guest", "guest")
        .anonymous(true)
        .start()
        .await
        .unwrap();
    let address = broker.address();
    let address = address.trim_start_matches("amqp://").trim_end_matches('/').to_owned();
    let address = address.rsplit('@').next().unwrap().to_owned();
    let greeted = tokio::task::spawn_blocking(move || {
        blocking::greet(&address, "/queues/greetings", sasl)
            .map(|body| body.to_vec())
            .map_err(|error| error.to_string())
    });
    let greeted = tests::within(std::time::Duration::from_secs(20), greeted).await.unwrap();
    broker.shutdown().await;
    greeted
}

#[tokio::test]
async fn a_blocking_client_sends_receives_and_closes() {
    assert_eq!(greet(Sasl::Anonymous).await.unwrap(), b"hello");
    let sasl = Sasl::Plain { user: "guest".into(), password: "guest".into() };
    assert_eq!(greet(sasl).await.unwrap(), b"hello");
}

#[tokio::test]
async fn a_blocking_client_is_told_of_a_wrong_password() {
    let sasl = Sasl::Plain { user: "guest".into(), password: "wrong".into() };
    assert_eq!(greet(sasl).await.unwrap_err(), "the peer refused the user name or password");
}

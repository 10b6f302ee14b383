//! Hundreds of links on one connection, spread over sessions: RabbitMQ 4 allows 64 sessions of 256 links.

use amqp_codec::messaging::Message;
use amqp_transport::{Connection, Credit, ReceiverOptions, SenderOptions};
use tests::{Broker, eventually_async, on_every_rabbitmq};

on_every_rabbitmq!(async
    three_hundred_links_work_on_one_connection,
    a_refused_link_takes_none_of_a_hundred_down,
);

fn durable(body: &str) -> Message {
    let mut message = Message::data(body.to_owned());
    message.header.get_or_insert_default().durable = true;
    message
}

async fn three_hundred_links_work_on_one_connection(broker: Broker) {
    let queue = broker.queue();
    let connection = Connection::connect(&broker.url()).await.unwrap();
    let mut senders = Vec::new();
    for _ in 0..300 {
        senders.push(connection.sender(SenderOptions::new(queue.address())).await.unwrap());
    }
    for sender in &senders {
        sender.send(durable("x")).await.unwrap().accepted().unwrap();
    }
    queue.await_ready(300);
    drop(senders);
    let receiver =
        connection.receiver(ReceiverOptions::new(queue.address()).credit(Credit::Auto(50))).await.unwrap();
    for _ in 0..300 {
        receiver.recv().await.unwrap().accept().unwrap();
    }
    connection.close().await.unwrap();
    assert_eq!(queue.take(), None);
}

async fn a_refused_link_takes_none_of_a_hundred_down(broker: Broker) {
    let queue = broker.queue();
    let connection = Connection::connect(&broker.url()).await.unwrap();
    let missing = broker.address_of("there-is-no-such-queue");
    let mut receivers = Vec::new();
    for _ in 0..100 {
        let options = ReceiverOptions::new(queue.address()).credit(Credit::Auto(1));
        receivers.push(connection.receiver(options).await.unwrap());
    }
    let refused = connection.receiver(ReceiverOptions::new(missing)).await.unwrap_err();
    assert_eq!(refused.remote_error().map(|error| error.condition.as_str()), Some("amqp:not-found"));
    assert!(receivers.iter().all(amqp_transport::Receiver::is_attached));
    let sender = connection.sender(SenderOptions::new(queue.address())).await.unwrap();
    for _ in 0..100 {
        sender.send(durable("x")).await.unwrap().accepted().unwrap();
    }
    // Each has credit for one.
    eventually_async("every link has one", std::time::Duration::from_secs(30), || {
        let without = receivers.iter().filter(|receiver| receiver.queued() == 0).count();
        if without == 0 { Ok(()) } else { Err(format!("{without} have none")) }
    })
    .await;
}

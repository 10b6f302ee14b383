//! Filters as other projects understand them: RabbitMQ's streams, ActiveMQ Artemis and Apache Qpid Broker-J pick out what
//! was asked for, and say so.

use std::time::Duration;

use amqp_codec::messaging::{Message, Properties};
use amqp_codec::types::Value;
use amqp_transport::{Connection, Filter, Receiver, ReceiverOptions, SenderOptions};
use serde_json::json;
use tests::{Artemis, Broker, BrokerJ, unique, within};

const SOON: Duration = Duration::from_secs(60);

/// Messages 0 to 9: the even ones are green, the others red; the subject says which number it is.
async fn fill(connection: &Connection, address: &str) {
    let sender = connection.sender(SenderOptions::new(address).capability("queue")).await.unwrap();
    for number in 0..10_i32 {
        let colour = if number % 2 == 0 { "green" } else { "red" };
        let mut message = Message::value(number).with_application_property("colour", colour);
        message.header.get_or_insert_default().durable = true;
        message.properties =
            Some(Properties { subject: Some(format!("{colour}-{number}").into()), ..Properties::default() });
        sender.send(message).await.unwrap().accepted().unwrap();
    }
    sender.close().await.unwrap();
}

/// The numbers of the next messages that pass.
async fn passed(receiver: &Receiver, count: usize) -> Vec<i32> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let delivery = within(SOON, receiver.recv()).await.unwrap();
        let amqp_codec::messaging::Body::Value(Value::Int(number)) = delivery.message().unwrap().body else {
            panic!("{delivery:?}")
        };
        numbers.push(number);
        delivery.accept().unwrap();
    }
    numbers
}

mod streams {
    use super::a_stream_is_filtered_in_each_way;

    tests::on_every_rabbitmq!(@async on_rabbitmq_4_3 "4.3" a_stream_is_filtered_in_each_way);
}

async fn a_stream_is_filtered_in_each_way(broker: Broker) {
    let queue = broker.queue_with("stream", json!({}));
    let connection = Connection::connect(&broker.url()).await.unwrap();
    fill(&connection, &queue.address()).await;
    let from_the_first = || {
        let first = Filter::described("rabbitmq:stream-offset-spec", "first");
        ReceiverOptions::new(queue.address()).filter(first)
    };
    let green = vec![0, 2, 4, 6, 8];
    for (name, filter, expected) in [
        (
            "application-properties-filter",
            Filter::application_properties([("colour", "green")]),
            green.clone(),
        ),
        ("properties-filter", Filter::properties([("subject", "&p:red-")]), vec![1, 3, 5, 7, 9]),
        ("sql-filter", Filter::sql("colour = 'green' AND properties.subject <> 'green-4'"), vec![0, 2, 6, 8]),
    ] {
        let receiver = connection.receiver(from_the_first().filter(filter)).await.unwrap();
        assert!(receiver.has_filter(name), "{name}: {:?}", receiver.remote_attach());
        assert!(receiver.has_filter("rabbitmq:stream-offset-spec"), "{name}");
        assert_eq!(passed(&receiver, expected.len()).await, expected, "{name}");
        receiver.close().await.unwrap();
    }
    let receiver = connection
        .receiver(
            ReceiverOptions::new(queue.address())
                .filter(Filter::described("rabbitmq:stream-offset-spec", 7_u64)),
        )
        .await
        .unwrap();
    assert_eq!(passed(&receiver, 3).await, [7, 8, 9]);
    // What nobody knows is not in force.
    let unknown = from_the_first().filter(Filter::with_code("example:filter", 0x0000_1234_0000_0001, "x"));
    let receiver = connection.receiver(unknown).await.unwrap();
    assert!(!receiver.has_filter("example:filter"));
    connection.close().await.unwrap();
}

/// A queue of which a selector lets the green ones pass; the others stay.
async fn a_selector_picks_out(address: &str) {
    let connection = Connection::connect(address).await.unwrap();
    let queue = unique("filtered");
    fill(&connection, &queue).await;
    let selective =
        ReceiverOptions::new(queue.as_str()).capability("queue").filter(Filter::selector("colour = 'green'"));
    let receiver = connection.receiver(selective).await.unwrap();
    assert!(receiver.has_filter("apache.org:selector-filter:string"), "{:?}", receiver.remote_attach());
    assert_eq!(passed(&receiver, 5).await, [0, 2, 4, 6, 8]);
    receiver.close().await.unwrap();
    let rest = connection.receiver(ReceiverOptions::new(queue.as_str()).capability("queue")).await.unwrap();
    assert!(!rest.has_filter("apache.org:selector-filter:string"));
    assert_eq!(passed(&rest, 5).await, [1, 3, 5, 7, 9]);
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_artemis_a_selector_picks_out_what_it_names() {
    let artemis = Artemis::start().await;
    a_selector_picks_out(artemis.address()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_broker_j_a_selector_picks_out_what_it_names() {
    let broker_j = BrokerJ::start().await;
    a_selector_picks_out(broker_j.address()).await;
}

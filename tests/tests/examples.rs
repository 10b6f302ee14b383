//! The transport's examples do what they say, against the embedded broker and against each other.

// Not called from here: each example's `main`, which reads the command line.
#[path = "../../amqp-transport/examples/from_sync_code.rs"]
#[expect(dead_code, reason = "an example's main is not called here")]
mod from_sync_code;
#[path = "../../amqp-transport/examples/hello.rs"]
#[expect(dead_code, reason = "an example's main is not called here")]
mod hello;
#[path = "../../amqp-transport/examples/listener.rs"]
#[expect(dead_code, reason = "an example's main is not called here")]
mod listener;
#[path = "../../amqp-transport/examples/reconnect.rs"]
#[expect(dead_code, reason = "an example's main is not called here")]
mod reconnect;

use std::time::Duration;

use amqp_broker::Broker;
use amqp_codec::messaging::Message;
use amqp_transport::{Connection, Credit, ReceiverOptions, SenderOptions};
use tests::{on_every_rabbitmq, within};

on_every_rabbitmq!(async hello_and_reconnect_work_on_a_durable_queue, sync_code_works_on_a_durable_queue);

const SOON: Duration = Duration::from_secs(30);

async fn broker() -> Broker {
    Broker::builder().listen("127.0.0.1:0").anonymous(true).start().await.unwrap()
}

#[tokio::test]
async fn hello_sends_and_receives() {
    let broker = broker().await;
    within(SOON, hello::greet(&broker.address(), "/queues/greetings", 1000)).await.unwrap();
    assert_eq!(broker.queue_stats("greetings").unwrap().ready, 0);
    broker.shutdown().await;
}

#[tokio::test]
async fn reconnect_receives_each_message_once() {
    let broker = broker().await;
    let urls = [broker.address()];
    let (received, resent) = within(SOON, reconnect::run("/queues/q", 1000, &urls)).await.unwrap();
    assert_eq!((received, resent), (1000, 0));
    broker.shutdown().await;
}

async fn hello_and_reconnect_work_on_a_durable_queue(broker: tests::Broker) {
    let queue = broker.queue();
    within(SOON, hello::greet(&broker.url(), &queue.address(), 1000)).await.unwrap();
    let urls = [broker.url()];
    let (received, resent) = within(SOON, reconnect::run(&queue.address(), 1000, &urls)).await.unwrap();
    assert_eq!((received, resent), (1000, 0));
    assert_eq!(queue.take(), None);
}

async fn sync_code_works_on_a_durable_queue(broker: tests::Broker) {
    let working = tokio::task::spawn_blocking(move || {
        let queue = broker.queue();
        from_sync_code::send_one(&broker.url(), &queue.address(), "one").unwrap();
        let kept = from_sync_code::Queue::open(&broker.url(), &queue.address()).unwrap();
        assert_eq!(kept.receive(SOON).unwrap().as_deref(), Some(&b"one"[..]));
        kept.close().unwrap();
    });
    within(SOON, working).await.unwrap();
}

#[test]
fn sync_code_sends_and_receives() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(broker());
    let url = broker.address();
    from_sync_code::send_one(&url, "/queues/q", "one").unwrap();
    let queue = from_sync_code::Queue::open(&url, "/queues/q").unwrap();
    queue.send("two").unwrap();
    assert_eq!(queue.receive(SOON).unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(queue.receive(SOON).unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(queue.receive(Duration::ZERO).unwrap(), None);
    queue.close().unwrap();
    runtime.block_on(broker.shutdown());
}

#[tokio::test]
async fn the_listener_takes_messages_gives_greetings_and_refuses_the_rest() {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://guest:guest@{}", socket.local_addr().unwrap());
    let serving = tokio::spawn(listener::serve(socket));
    within(SOON, async {
        let connection = Connection::connect(&url).await.unwrap();
        let sender = connection.sender(SenderOptions::new("/greetings")).await.unwrap();
        sender.send(Message::data("hello")).await.unwrap().accepted().unwrap();
        let rejected = sender.send(vec![0xff; 3]).await.unwrap().accepted().unwrap_err();
        assert!(rejected.to_string().contains("amqp:decode-error"), "{rejected}");
        let options = ReceiverOptions::new("/greetings").credit(Credit::Auto(2));
        let receiver = connection.receiver(options).await.unwrap();
        for n in 1..=3 {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(delivery.message().unwrap().body_bytes().unwrap(), format!("greeting {n}"));
            delivery.accept().unwrap();
        }
        let refused = connection.sender(SenderOptions::new("/elsewhere")).await.unwrap_err();
        assert_eq!(refused.remote_error().unwrap().condition, "amqp:not-found");
        connection.close().await.unwrap();
    })
    .await;
    serving.abort();
}

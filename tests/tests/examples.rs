//! The transport's examples, run as the programs that they are: against the embedded broker, RabbitMQ, and each other.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use amqp_broker::Broker;
use amqp_codec::messaging::Message;
use amqp_transport::{Connection, Credit, ReceiverOptions, SenderOptions};
use tests::{on_every_rabbitmq, unique, within};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

on_every_rabbitmq!(async
    hello_and_reconnect_work_on_a_durable_queue,
    sync_code_and_a_blocking_socket_work_on_a_durable_queue,
    a_file_is_streamed_through_a_durable_queue,
    transactions_say_that_there_are_none,
    a_queue_is_declared_inspected_and_deleted,
);

const SOON: Duration = Duration::from_secs(60);

const ALL: [&str; 9] = [
    "blocking",
    "cbs",
    "from_sync_code",
    "hello",
    "listener",
    "management",
    "reconnect",
    "streaming",
    "transactions",
];

/// A built example, which cargo puts into a folder beside the tests'.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let program: PathBuf = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(program.exists(), "{} is not there: cargo build -p amqp-transport --examples", program.display());
    let mut command = Command::new(program);
    command.env_remove("AMQP_LOG").stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(name: &str, arguments: &[&str]) -> Output {
    within(SOON, example(name).args(arguments).output()).await.unwrap()
}

/// What an example that succeeds prints.
#[track_caller]
fn printed(output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\nstdout: {printed}\nstderr: {error}", output.status);
    printed
}

/// What an example that fails says of it.
#[track_caller]
fn complaint(output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{}\nstderr: {error}", output.status);
    error
}

async fn broker() -> Broker {
    Broker::builder().listen("127.0.0.1:0").user("guest", "guest").anonymous(true).start().await.unwrap()
}

// ---------------------------------------------------------------- what they have in common

#[tokio::test]
async fn each_example_explains_itself_and_complains_of_a_wrong_call() {
    for name in ALL {
        let usage = format!("usage: {name} ");
        let help = printed(run(name, &["--help"]).await);
        assert!(help.starts_with(&usage), "{help}");
        let complaint = complaint(run(name, &[]).await);
        assert!(complaint.starts_with(&format!("{name}: {usage}")), "{complaint}");
    }
}

#[tokio::test]
async fn no_example_is_forgotten_here() {
    let sources = tests::workspace().join("amqp-transport/examples");
    let entries = std::fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> =
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ALL);
}

#[tokio::test]
async fn an_example_that_cannot_connect_says_why() {
    let refused = complaint(run("hello", &["amqp://127.0.0.1:1", "/queues/q"]).await);
    assert!(refused.starts_with("hello: cannot connect to 127.0.0.1:1"), "{refused}");
}

// ---------------------------------------------------------------- each on brokers

async fn hello_greets(url: &str, queue: &str) {
    let hello = printed(run("hello", &[url, queue, "500"]).await);
    assert!(hello.contains("500 sent and confirmed") && hello.contains("500 received"), "{hello}");
    assert!(!hello.contains("another message"), "{hello}");
}

async fn reconnect_receives_each_message_once(url: &str, queue: &str) {
    let reconnect = printed(run("reconnect", &[queue, "500", url]).await);
    assert!(reconnect.contains("500 messages received, 0 of them were sent more than once"), "{reconnect}");
}

async fn sync_code_receives(url: &str, queue: &str) {
    let received = printed(run("from_sync_code", &[url, queue]).await);
    assert_eq!(received, "received the first\nreceived the second\n");
}

async fn a_blocking_socket_receives(url: &str, queue: &str) {
    let place = url.trim_end_matches('/').rsplit(['/', '@']).next().unwrap();
    let received = printed(run("blocking", &[place, queue, "guest", "guest"]).await);
    assert_eq!(received, "received hello\n");
}

async fn a_file_is_streamed(url: &str, queue: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (from, to) = (path("from"), path("to"));
    let file: Vec<u8> = (0_u32..2_000_000).flat_map(u32::to_be_bytes).collect();
    std::fs::write(&from, &file).unwrap();
    let streamed = printed(run("streaming", &[url, queue, &from, &to]).await);
    let expected = format!("8000000 octets sent\n{from} is coming\n8000000 octets received\n");
    assert_eq!(streamed, expected);
    assert!(std::fs::read(&to).unwrap() == file, "another file came");
}

async fn a_queue_comes_and_goes(url: &str) {
    let queue = unique("management");
    let managed = printed(run("management", &[url, &queue]).await);
    assert!(managed.starts_with(&format!("declared {queue}\n")), "{managed}");
    assert!(managed.contains("message_count"), "{managed}");
    assert!(managed.ends_with(&format!("deleted {queue}\n")), "{managed}");
}

#[tokio::test]
async fn the_embedded_broker_is_enough_for_all_of_them() {
    let broker = broker().await;
    let url = broker.address();
    hello_greets(&url, "/queues/hello").await;
    reconnect_receives_each_message_once(&url, "/queues/reconnect").await;
    sync_code_receives(&url, "/queues/sync").await;
    a_blocking_socket_receives(&url, "/queues/blocking").await;
    a_file_is_streamed(&url, "/queues/files").await;
    a_queue_comes_and_goes(&url).await;
    let transactions = printed(run("transactions", &[&url, "/queues/orders"]).await);
    let steps = [
        "posted one and two, committed",
        "posted three, rolled back",
        "took one and two, rolled back",
        "took one and two, committed",
        "nothing is left",
    ];
    assert_eq!(transactions.lines().collect::<Vec<_>>(), steps);
    for queue in ["hello", "reconnect", "sync", "blocking", "files", "orders"] {
        let stats = broker.queue_stats(queue).unwrap();
        assert_eq!((stats.ready, stats.unacknowledged), (0, 0), "{queue}");
    }
    let again = complaint(run("management", &[&url, "hello"]).await);
    assert!(again.contains("expected no queue hello, the answer was 200"), "{again}");
    broker.shutdown().await;
}

async fn hello_and_reconnect_work_on_a_durable_queue(broker: tests::Broker) {
    let queue = broker.queue();
    hello_greets(&broker.url(), &queue.address()).await;
    reconnect_receives_each_message_once(&broker.url(), &queue.address()).await;
    assert_eq!(queue.take(), None);
}

async fn sync_code_and_a_blocking_socket_work_on_a_durable_queue(broker: tests::Broker) {
    let queue = broker.queue();
    sync_code_receives(&broker.url(), &queue.address()).await;
    a_blocking_socket_receives(&broker.url(), &queue.address()).await;
    assert_eq!(queue.take(), None);
}

async fn a_file_is_streamed_through_a_durable_queue(broker: tests::Broker) {
    let queue = broker.queue();
    a_file_is_streamed(&broker.url(), &queue.address()).await;
    assert_eq!(queue.take(), None);
}

async fn transactions_say_that_there_are_none(broker: tests::Broker) {
    let queue = broker.queue();
    let none = complaint(run("transactions", &[&broker.url(), &queue.address()]).await);
    assert!(none.starts_with("transactions: RabbitMQ has no transactions: "), "{none}");
}

async fn a_queue_is_declared_inspected_and_deleted(broker: tests::Broker) {
    if !broker.is_3() {
        return a_queue_comes_and_goes(&broker.url()).await;
    }
    let none = complaint(run("management", &[&broker.url(), "q"]).await);
    assert!(none.starts_with("management: RabbitMQ has no node /management: "), "{none}");
}

// ---------------------------------------------------------------- those that need no broker

#[tokio::test]
async fn a_token_opens_the_listener_of_the_cbs_example() {
    let cbs = printed(run("cbs", &["127.0.0.1:0"]).await);
    assert!(cbs.starts_with("without a token: "), "{cbs}");
    assert!(cbs.contains("amqp:unauthorized-access"), "{cbs}");
    assert!(cbs.ends_with("an order was accepted\n"), "{cbs}");
}

#[tokio::test]
async fn the_listener_takes_messages_gives_greetings_and_refuses_the_rest() {
    let mut listener = example("listener").arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(listener.stdout.take().unwrap()).lines();
    within(SOON, async {
        let first = lines.next_line().await.unwrap().unwrap();
        let url = format!("amqp://guest:guest@{}", first.strip_prefix("listening on ").unwrap());
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
        while !lines.next_line().await.unwrap().unwrap().contains(" left: ") {}
    })
    .await;
    listener.kill().await.unwrap();
}

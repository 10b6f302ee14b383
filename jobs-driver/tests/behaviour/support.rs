//! A broker to test against, waiting with a deadline, and a TCP forwarder that can be cut.

use std::sync::Arc;
use std::time::Duration;

use amqp_codec::messaging::Message;
use amqp_transport::{Connection, Credit, Receiver, ReceiverOptions, SenderOptions};
use jobs_driver::config::{JobsConfig, PipelineConfig};
use jobs_driver::{ActiveJob, Driver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What a broker can do, as far as the claims need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    RabbitMq3,
    RabbitMq4,
}

/// A broker by its address.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) url: String,
    pub(crate) kind: Kind,
    /// The HTTP API of RabbitMQ.
    pub(crate) management: String,
}

impl Broker {
    /// The RabbitMQ that the environment names.
    pub(crate) fn rabbitmq(release: &str) -> Self {
        let name = format!("RABBITMQ_{}", release.replace('.', "_"));
        let variable = |suffix: &str| {
            std::env::var(format!("{name}{suffix}")).unwrap_or_else(|_| {
                panic!(
                    "this test needs RabbitMQ {release}, but {name}{suffix} is not set: run tests/run, or leave these \
                     tests out with: cargo test -- --skip on_rabbitmq_"
                )
            })
        };
        let kind = if release.starts_with('3') { Kind::RabbitMq3 } else { Kind::RabbitMq4 };
        let url = match variable("") {
            url if url.starts_with("amqp") => url,
            port => format!("amqp://guest:guest@127.0.0.1:{port}/"),
        };
        Self { url, kind, management: variable("_MANAGEMENT") }
    }

    pub(crate) fn is_rabbitmq(&self) -> bool {
        self.kind != Kind::Embedded
    }

    /// `host:port` of the AMQP port.
    pub(crate) fn authority(&self) -> &str {
        let rest = self.url.rsplit('@').next().unwrap_or_default();
        rest.trim_start_matches("amqp://").trim_end_matches('/')
    }

    /// A new queue whose dead letters go to `<name>.dlq`, and its name.
    pub(crate) async fn queue(&self) -> String {
        let name = unique("q");
        if self.is_rabbitmq() {
            self.declare(&format!("{name}.dlq"), "{}").await;
            let arguments =
                format!(r#"{{"x-dead-letter-exchange":"","x-dead-letter-routing-key":"{name}.dlq"}}"#);
            self.declare(&name, &arguments).await;
        }
        name
    }

    /// The delay queue that a RabbitMQ 3 needs for a delay; others make their own.
    pub(crate) async fn delay_queue(&self, queue: &str, millis: u32) {
        if self.kind == Kind::RabbitMq3 {
            let arguments = format!(
                r#"{{"x-message-ttl":{millis},"x-dead-letter-exchange":"","x-dead-letter-routing-key":"{queue}"}}"#
            );
            self.declare(&format!("{queue}.delay.{millis}"), &arguments).await;
        }
    }

    async fn declare(&self, queue: &str, arguments: &str) {
        let kind = if self.kind == Kind::RabbitMq4 { r#","x-queue-type":"quorum""# } else { "" };
        let arguments = match arguments {
            "{}" if kind.is_empty() => "{}".to_owned(),
            "{}" => r#"{"x-queue-type":"quorum"}"#.to_owned(),
            some => format!("{}{kind}}}", some.trim_end_matches('}')),
        };
        let body = format!(r#"{{"durable":true,"arguments":{arguments}}}"#);
        self.api("PUT", &format!("/queues/%2F/{queue}"), &body).await;
    }

    /// A topic exchange bound to `queue` with `key`.
    pub(crate) async fn topic_exchange(&self, queue: &str, key: &str) -> String {
        let name = unique("x");
        self.api("PUT", &format!("/exchanges/%2F/{name}"), r#"{"type":"topic","durable":true}"#).await;
        let body = format!(r#"{{"routing_key":"{key}"}}"#);
        self.api("POST", &format!("/bindings/%2F/e/{name}/q/{queue}"), &body).await;
        name
    }

    /// One request to RabbitMQ's HTTP API.
    async fn api(&self, method: &str, path: &str, body: &str) {
        let host = self.management.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(host).await.expect("the management port");
        let request = format!(
            "{method} /api{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('2'), "{method} {path} {body}: {answer}");
    }

    fn address(&self, queue: &str) -> String {
        if self.kind == Kind::RabbitMq3 { format!("/amq/queue/{queue}") } else { format!("/queues/{queue}") }
    }

    /// Publishes a message as it is, without the driver.
    pub(crate) async fn publish(&self, queue: &str, payload: impl Into<amqp_transport::Payload>) {
        let connection = Connection::connect(&self.url).await.expect("a connection");
        let session = connection.session().await.expect("a session");
        let sender = session.sender(SenderOptions::new(self.address(queue))).await.expect("a sender");
        sender.send(payload).await.expect("an outcome").accepted().expect("accepted");
        connection.close().await.expect("closed");
    }

    /// Takes the next message of a queue, without the driver.
    pub(crate) async fn consume(&self, queue: &str) -> Message {
        let connection = Connection::connect(&self.url).await.expect("a connection");
        let session = connection.session().await.expect("a session");
        let options = ReceiverOptions::new(self.address(queue)).credit(Credit::Manual);
        let receiver = session.receiver(options).await.expect("a receiver");
        receiver.set_credit(1).expect("attached");
        let delivery = within("a message", receiver.recv()).await.expect("a delivery");
        let message = delivery.message().expect("decodes");
        delivery.accept().expect("settles");
        connection.close().await.expect("closed");
        message
    }

    /// Asserts that a queue hands out nothing: a message published behind whatever there is comes first.
    pub(crate) async fn assert_empty(&self, queue: &str) {
        let mark = unique("mark");
        self.publish(queue, Message::data(mark.clone().into_bytes())).await;
        let next = self.consume(queue).await;
        assert_eq!(next.body_bytes().as_deref(), Some(mark.as_bytes()), "the queue {queue} was not empty");
    }

    /// A receiver outside the driver.
    pub(crate) async fn receiver(&self, queue: &str, credit: u32) -> (Connection, Receiver) {
        let connection = Connection::connect(&self.url).await.expect("a connection");
        let session = connection.session().await.expect("a session");
        let options = ReceiverOptions::new(self.address(queue)).credit(Credit::Auto(credit));
        let receiver = session.receiver(options).await.expect("a receiver");
        (connection, receiver)
    }

    /// A driver with these pipelines, all of them consumed.
    pub(crate) async fn driver(&self, pipelines: impl IntoIterator<Item = (&str, PipelineConfig)>) -> Driver {
        Driver::start(self.config(pipelines, true)).await.expect("the driver starts")
    }

    pub(crate) fn config<'a>(
        &self,
        pipelines: impl IntoIterator<Item = (&'a str, PipelineConfig)>,
        consume: bool,
    ) -> JobsConfig {
        let mut config = JobsConfig::new(&self.url).expect("a good address").timeout(DEADLINE);
        config.connection.redial.max = Duration::from_secs(1);
        for (name, pipeline) in pipelines {
            config = config.pipeline(name, pipeline);
            if consume {
                config.consume.push(name.to_owned());
            }
        }
        config
    }
}

/// A name that nothing else uses.
pub(crate) fn unique(prefix: &str) -> String {
    let digits = uuid::Uuid::new_v4().simple().to_string();
    format!("{prefix}-{}", digits.get(..12).unwrap_or_default())
}

/// Waits, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("no {what} within {DEADLINE:?}"))
}

/// The next job of a driver.
pub(crate) async fn next(driver: &Driver) -> ActiveJob {
    within("job", driver.next_job()).await.expect("the driver runs")
}

/// Waits until a condition holds, looking at it again and again.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Passes TCP connections on to a broker until it is cut.
#[derive(Debug)]
pub(crate) struct Forwarder {
    pub(crate) port: u16,
    open: Arc<watch::Sender<bool>>,
}

impl Forwarder {
    pub(crate) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let open = Arc::new(watch::Sender::new(true));
        let (target, gate) = (target.to_owned(), open.clone());
        tokio::spawn(async move {
            loop {
                let Ok((mut from, _)) = listener.accept().await else { return };
                if !*gate.borrow() {
                    continue;
                }
                let (target, mut gate) = (target.clone(), gate.subscribe());
                tokio::spawn(async move {
                    let Ok(mut to) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                        _ = gate.wait_for(|open| !*open) => {}
                    }
                });
            }
        });
        Self { port, open }
    }

    /// Cuts all connections and lets no new one through.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

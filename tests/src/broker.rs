//! Real RabbitMQ brokers: found in the environment or started, and steered through their HTTP API.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::network::free_block;
use crate::{unique, wait::eventually};

/// The releases that the suites run against: 4.3 stands for the newest 4.x that the script finds.
pub const RELEASES: [&str; 3] = ["3.10", "4.0", "4.3"];

/// `guest:guest` in the basic scheme.
const ADMINISTRATOR: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

/// A running RabbitMQ with the users that `tests/brokers/rabbitmq --help` lists. Clones are the same broker.
#[derive(Clone, Debug)]
pub struct Broker {
    release: String,
    port: u16,
    tls_port: u16,
    management: String,
    folder: PathBuf,
    _own: Option<Arc<Own>>,
}

/// A node that belongs to one test and goes with it.
#[derive(Debug)]
struct Own {
    folder: TempDir,
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ =
            Command::new(script()).args(["discard", "--dir"]).arg(self.folder.path().join("node")).output();
    }
}

impl Broker {
    /// The shared broker of a release (`"3.10"`, `"4.0"`, `"4.3"`), which other tests use at the same time: never stop it.
    ///
    /// # Panics
    /// When the environment tells of none; the message says how to get one.
    pub fn required(release: &str) -> Self {
        let name = format!("RABBITMQ_{}", release.replace('.', "_"));
        let variable = |suffix: &str| {
            env::var(format!("{name}{suffix}")).unwrap_or_else(|_| {
                panic!(
                    "this test needs RabbitMQ {release}, but {name}{suffix} is not set: run tests/run, \
                     or tests/run --keep once and then cargo test with the variables that it names"
                )
            })
        };
        Self {
            release: release.into(),
            port: port_of(&variable("")),
            tls_port: port_of(&variable("_TLS")),
            management: variable("_MANAGEMENT"),
            folder: variable("_DIR").into(),
            _own: None,
        }
    }

    /// A broker of the test's own, in a temporary folder; it is gone when the last clone is dropped.
    ///
    /// # Panics
    /// When it does not start.
    pub fn private(release: &str) -> Self {
        let parent = env::var_os("TESTS_TMP").map_or_else(env::temp_dir, PathBuf::from);
        let folder =
            tempfile::Builder::new().prefix("private-").tempdir_in(parent).expect("a temporary folder");
        let port = free_block();
        let node = folder.path().join("node");
        let broker = Self {
            release: release.into(),
            port,
            tls_port: port + 1,
            management: format!("http://127.0.0.1:{}", port + 2),
            folder: node,
            _own: Some(Arc::new(Own { folder })),
        };
        broker.script(&["start", "--release", release, "--port", &port.to_string()]);
        broker
    }

    /// The release asked for: `"3.10"`, `"4.0"` or `"4.3"`.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Is it a 3.x, where AMQP 1.0 is a plugin that translates to AMQP 0-9-1?
    pub fn is_3(&self) -> bool {
        self.release.starts_with("3.")
    }

    /// The AMQP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of AMQP over TLS; only the shared brokers listen there.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// `amqp://guest:guest@127.0.0.1:port/`.
    pub fn url(&self) -> String {
        self.url_as("guest", "guest")
    }

    /// The URL with other credentials, which must need no percent-encoding.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("amqp://{user}:{password}@127.0.0.1:{}/", self.port)
    }

    /// A file of the throw-away certificates: `ca.pem`, `stranger-ca.pem`, `client.pem`, `client.key`, …
    pub fn tls_file(&self, name: &str) -> PathBuf {
        self.folder.join("tls").join(name)
    }

    /// Kills the node with SIGKILL. Only for private brokers.
    pub fn kill(&self) {
        assert!(self._own.is_some(), "only a private broker may be killed");
        self.script(&["kill"]);
    }

    /// Starts a node that was killed, on the same ports and data, and waits until it is ready.
    pub fn start(&self) {
        self.script(&["start"]);
    }

    fn script(&self, arguments: &[&str]) {
        let output = Command::new(script()).args(arguments).arg("--dir").arg(&self.folder).output();
        let output = output.expect("tests/brokers/rabbitmq can be run");
        assert!(
            output.status.success(),
            "rabbitmq {arguments:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// One call of the HTTP API as the administrator: status and JSON (null for an empty answer).
    ///
    /// # Panics
    /// When the broker cannot be reached.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.try_api(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_api(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), ureq::Error> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/api{path}", self.management))
            .header("authorization", ADMINISTRATOR)
            .header("content-type", "application/json")
            .body(body.map(Value::to_string).unwrap_or_default())
            .expect("a request");
        let mut response = agent.run(request)?;
        let text = response.body_mut().with_config().limit(100 << 20).read_to_string()?;
        Ok((response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn must(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.api(method, path, Some(body));
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// A durable classic queue with a name of its own.
    pub fn queue(&self) -> Queue {
        self.queue_with("classic", json!({}))
    }

    /// A durable queue of a kind (`classic`, `quorum`) and with more arguments, with a name of its own.
    pub fn queue_with(&self, kind: &str, arguments: Value) -> Queue {
        self.queue_named(&unique("q"), kind, arguments)
    }

    /// A durable queue with a given name. One that a broken run left behind is deleted first.
    pub fn queue_named(&self, name: &str, kind: &str, mut arguments: Value) -> Queue {
        arguments["x-queue-type"] = kind.into();
        let queue = Queue { broker: self.clone(), name: name.into() };
        queue.delete();
        self.must("PUT", &queue.path(), &json!({ "durable": true, "arguments": arguments }));
        queue
    }

    /// A durable exchange of a kind (`direct`, `topic`, `fanout`) with a given name.
    pub fn exchange(&self, name: &str, kind: &str) -> Exchange {
        let exchange = Exchange { broker: self.clone(), name: name.into() };
        self.must("PUT", &exchange.path(), &json!({ "type": kind, "durable": true }));
        exchange
    }

    /// A user who may do everything in the virtual host `/`.
    pub fn user(&self, name: &str, password: &str) {
        self.must("PUT", &format!("/users/{name}"), &json!({ "password": password, "tags": "" }));
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        self.must("PUT", &format!("/permissions/%2F/{name}"), &all);
    }

    /// The node address of a queue as this release writes it, for a source and for a target.
    pub fn address_of(&self, queue: &str) -> String {
        if self.is_3() { format!("/amq/queue/{queue}") } else { format!("/queues/{queue}") }
    }
}

/// A queue of one test; it is deleted when dropped. Names need no percent-encoding.
#[derive(Debug)]
pub struct Queue {
    broker: Broker,
    name: String,
}

impl Queue {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its node address as this release of the broker writes it, for a source and for a target.
    pub fn address(&self) -> String {
        self.broker.address_of(&self.name)
    }

    fn path(&self) -> String {
        format!("/queues/%2F/{}", self.name)
    }

    fn delete(&self) {
        let _ = self.broker.try_api("DELETE", &self.path(), None);
    }

    /// Takes one message out through the HTTP API: its JSON (`payload`, `payload_encoding`, `properties`, …), or none.
    pub fn take(&self) -> Option<Value> {
        let how = json!({ "count": 1, "ackmode": "ack_requeue_false", "encoding": "auto" });
        self.broker.must("POST", &format!("{}/get", self.path()), &how).get(0).cloned()
    }

    /// How many messages are ready, counted by taking them out and putting them back (at once, unlike the statistics).
    pub fn ready(&self) -> usize {
        let how =
            json!({ "count": 1_000_000, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 1 });
        self.broker.must("POST", &format!("{}/get", self.path()), &how).as_array().map_or(0, Vec::len)
    }

    /// Puts a message into the queue through the HTTP API.
    pub fn put(&self, payload: &str) {
        let message = json!({
            "properties": { "delivery_mode": 2 }, "routing_key": self.name, "payload": payload, "payload_encoding": "string",
        });
        let answer = self.broker.must("POST", "/exchanges/%2F/amq.default/publish", &message);
        assert_eq!(answer["routed"], true, "the message was not routed");
    }

    /// Makes sure that the queue itself survives a crash of its broker, which has to be a private one. Where the broker keeps
    /// its queues in Mnesia (3.x, 4.0), it answers that a queue is declared before that is on disk for good; an orderly
    /// stop writes it.
    ///
    /// # Panics
    /// When the broker does not start again.
    pub fn ensure_on_disk(&self) {
        if self.broker.folder.join("data/LATEST.LOG").exists() {
            self.broker.script(&["stop"]);
            self.broker.start();
        }
    }

    /// Waits until exactly `count` messages are ready and none is out with a consumer that could give it back.
    ///
    /// # Panics
    /// When it takes longer than 30 seconds.
    pub fn await_ready(&self, count: usize) {
        eventually(&format!("{count} messages ready in {}", self.name), Duration::from_secs(30), || {
            let ready = self.ready();
            if ready == count { Ok(()) } else { Err(format!("{ready} ready")) }
        });
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.delete();
    }
}

/// An exchange of one test; it is deleted when dropped.
#[derive(Debug)]
pub struct Exchange {
    broker: Broker,
    name: String,
}

impl Exchange {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> String {
        format!("/exchanges/%2F/{}", self.name)
    }

    /// Routes messages with a key (or a pattern, on a topic exchange) to the queue.
    pub fn bind(&self, queue: &Queue, key: &str) {
        let path = format!("/bindings/%2F/e/{}/q/{}", self.name, queue.name());
        self.broker.must("POST", &path, &json!({ "routing_key": key }));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = self.broker.try_api("DELETE", &self.path(), None);
    }
}

fn script() -> PathBuf {
    env::var_os("RABBITMQ_SCRIPT")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("brokers/rabbitmq"), PathBuf::from)
}

fn port_of(url: &str) -> u16 {
    let end = url.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
    end.unwrap_or_else(|| panic!("no port in {url}"))
}

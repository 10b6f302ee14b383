//! The part of the configuration that the driver needs, checked and with its defaults filled in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use amqp_transport::Address;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::duration::GoDuration;
use super::error::ConfigError;
use super::file::File;
use super::node::Node;
use super::unused::{pipeline_warnings, without_effect};

/// Where the broker is when the file does not say.
const DEFAULT_ADDRESS: &str = "amqp://guest:guest@127.0.0.1:5672/";
/// Jobs that the shared priority queue holds at most, when the file does not say.
const DEFAULT_PIPELINE_SIZE: usize = 1_000_000;
/// How long a push or a pipeline command may take, when the file does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Unsettled jobs that a pipeline holds at most, when the file does not say.
const DEFAULT_PREFETCH: u32 = 10;
/// Priority of a pipeline that names none. Smaller numbers run first.
const DEFAULT_PRIORITY: i64 = 10;
/// First and longest pause before a new connection is tried.
const REDIAL: RedialConfig = RedialConfig { min: Duration::from_millis(200), max: Duration::from_secs(30) };
/// Keys of the global section that describe the connection and are no pipeline defaults.
const CONNECTION_KEYS: [&str; 8] =
    ["addr", "username", "password", "container_id", "tls", "profile", "redial", "sasl"];
/// The driver of a pipeline that this crate serves.
pub(crate) const DRIVER: &str = "amqp1";

/// Everything that [`Driver::start`](crate::Driver::start) needs to know.
///
/// ```
/// use jobs_driver::config::{JobsConfig, PipelineConfig};
/// # fn main() -> Result<(), jobs_driver::config::ConfigError> {
/// let config = JobsConfig::new("amqp://guest:guest@localhost:5672/")?
///     .pipeline("mail", PipelineConfig::new("mail-queue"))
///     .consume(["mail"]);
/// # assert_eq!(config.consume, ["mail"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobsConfig {
    /// How to reach the broker.
    pub connection: ConnectionConfig,
    /// The pipelines by name.
    pub pipelines: BTreeMap<String, PipelineConfig>,
    /// Pipelines that are consumed from the start.
    pub consume: Vec<String>,
    /// Jobs that the shared priority queue holds at most; at least 1. Default 1,000,000.
    pub pipeline_size: usize,
    /// How long a push or a pipeline command may take. Default 60 s.
    pub timeout: Duration,
    /// What the file says without effect, one line each, with its place. Logged when the driver starts.
    pub warnings: Vec<String>,
}

impl JobsConfig {
    /// A configuration without pipelines for the broker at `addr`, such as `amqp://user:password@host:5672/`.
    ///
    /// # Errors
    /// An address that cannot be parsed.
    pub fn new(addr: &str) -> Result<Self, ConfigError> {
        check_address(addr).map_err(|message| ConfigError::new("", message))?;
        Ok(Self {
            connection: ConnectionConfig { addr: addr.to_owned(), ..ConnectionConfig::default() },
            pipelines: BTreeMap::new(),
            consume: Vec::new(),
            pipeline_size: DEFAULT_PIPELINE_SIZE,
            timeout: DEFAULT_TIMEOUT,
            warnings: Vec::new(),
        })
    }

    /// Adds (or replaces) a pipeline.
    #[must_use]
    pub fn pipeline(mut self, name: impl Into<String>, pipeline: PipelineConfig) -> Self {
        self.pipelines.insert(name.into(), pipeline);
        self
    }

    /// Names the pipelines that are consumed from the start.
    #[must_use]
    pub fn consume<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.consume = names.into_iter().map(Into::into).collect();
        self
    }

    /// Limits how long a push or a pipeline command may take.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Reads the sections `amqp1` and `jobs`. Both may be absent: then the broker is the local one and there are no
    /// pipelines.
    ///
    /// # Errors
    /// A value of the wrong type or out of range, a pipeline with an unknown driver, a name in `jobs.consume` that no
    /// pipeline has; each with its place in the file.
    pub fn from_file(file: &File) -> Result<Self, ConfigError> {
        let connection = connection(file)?;
        let jobs: JobsSection = file.section("jobs")?.unwrap_or_default();
        let mut config = Self {
            connection,
            pipelines: BTreeMap::new(),
            consume: Vec::new(),
            pipeline_size: jobs.pipeline_size.filter(|size| *size > 0).unwrap_or(DEFAULT_PIPELINE_SIZE),
            timeout: jobs.timeout.filter(|t| *t > 0).map_or(DEFAULT_TIMEOUT, Duration::from_secs),
            warnings: Vec::new(),
        };
        if let Some(Node::Map(section)) = file.node("amqp1") {
            let defaults = section.iter().filter(|(key, _)| !CONNECTION_KEYS.contains(&key.as_str()));
            let defaults = defaults.map(|(key, value)| (key.clone(), value.clone())).collect();
            config.warnings.extend(without_effect(file, &["amqp1".to_owned()], defaults));
        }
        match file.node("jobs.pipelines") {
            None | Some(Node::Null) => {}
            Some(Node::Map(pipelines)) => {
                for (name, node) in pipelines {
                    let pipeline = pipeline(file, name, node)?;
                    config.warnings.extend(pipeline_warnings(file, name, node, &pipeline));
                    config.pipelines.insert(name.clone(), pipeline);
                }
            }
            Some(other) => {
                let message = format!("expected pipelines by name, found {}", other.kind());
                return Err(file.error_at("jobs.pipelines", &message));
            }
        }
        for name in jobs.consume.unwrap_or_default() {
            let Some(known) = config.resolve(&name) else {
                let message =
                    format!("no pipeline {name:?} is defined; {}", known_pipelines(&config.pipelines));
                return Err(file.error_at("jobs.consume", &message));
            };
            let known = known.to_owned();
            if !config.consume.contains(&known) {
                config.consume.push(known);
            }
        }
        Ok(config)
    }

    /// The name of the pipeline that `name` means: spelled the same, or all in lower case (as RoadRunner has them).
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<&str> {
        resolve(&self.pipelines, name)
    }
}

/// The key that `name` means: spelled the same, or the one that it is the lower-case form of.
pub(crate) fn resolve<'a, V>(pipelines: &'a BTreeMap<String, V>, name: &str) -> Option<&'a str> {
    if let Some((known, _)) = pipelines.get_key_value(name) {
        return Some(known);
    }
    pipelines.keys().find(|known| known.to_lowercase() == name).map(String::as_str)
}

/// For messages about an unknown name.
pub(crate) fn known_pipelines<V>(pipelines: &BTreeMap<String, V>) -> String {
    if pipelines.is_empty() {
        return "no pipelines are configured".to_owned();
    }
    let names: Vec<&str> = pipelines.keys().map(String::as_str).collect();
    format!("configured: {}", names.join(", "))
}

/// How to reach the broker.
#[derive(Clone)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// `amqp://user:password@host:port/vhost` or `amqps://…`; user and password percent-encoded.
    pub addr: String,
    /// Used instead of the user in `addr`.
    pub username: Option<String>,
    /// Used instead of the password in `addr`.
    pub password: Option<String>,
    /// Name under which the broker knows this process. Default: `rr-jobs-` and a random identifier.
    pub container_id: Option<String>,
    /// Certificates; used with `amqps://`.
    pub tls: TlsConfig,
    /// Which broker this is, when it cannot be told from what it says.
    pub profile: ProfileChoice,
    /// How long to wait before a lost connection is tried again.
    pub redial: RedialConfig,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            addr: DEFAULT_ADDRESS.to_owned(),
            username: None,
            password: None,
            container_id: None,
            tls: TlsConfig::default(),
            profile: ProfileChoice::Auto,
            redial: REDIAL,
        }
    }
}

// Neither user nor password nor the address that may hold them is shown.
impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stars = |set: bool| if set { "***" } else { "" };
        f.debug_struct("ConnectionConfig")
            .field("addr", &self.addr.parse::<Address>().map(|a| without_credentials(&a)).unwrap_or_default())
            .field("username", &stars(self.username.is_some()))
            .field("password", &stars(self.password.is_some()))
            .field("container_id", &self.container_id)
            .field("tls", &self.tls)
            .field("profile", &self.profile)
            .field("redial", &self.redial)
            .finish()
    }
}

/// `amqp://host:port`, fit for logs.
pub(crate) fn without_credentials(address: &Address) -> String {
    let scheme = if address.is_tls() { "amqps" } else { "amqp" };
    let host = address.host();
    if host.contains(':') && !host.starts_with('[') {
        format!("{scheme}://[{host}]:{}", address.port())
    } else {
        format!("{scheme}://{host}:{}", address.port())
    }
}

/// Certificates for a connection with TLS. Files are read when the driver starts.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsConfig {
    /// PEM file with the client's certificate chain; needs `key`.
    pub cert: Option<PathBuf>,
    /// PEM file with the client's private key; needs `cert`.
    pub key: Option<PathBuf>,
    /// PEM file with the authorities to trust, instead of the system's.
    pub root_ca: Option<PathBuf>,
    /// Accept any certificate of the server. Anyone on the way can then read and change everything.
    pub insecure_skip_verify: bool,
}

/// Pauses before a lost connection is tried again: random, up to a limit that doubles from `min` to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedialConfig {
    /// The first limit. Default 200 ms.
    pub min: Duration,
    /// The last limit. Default 30 s.
    pub max: Duration,
}

/// Which broker is at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ProfileChoice {
    /// Decide from what the broker says when a connection opens.
    #[default]
    Auto,
    /// RabbitMQ 4.0 and later.
    RabbitMq4,
    /// RabbitMQ 3.x with the plugin `rabbitmq_amqp1_0`.
    RabbitMq3,
    /// The broker of this project that runs inside `rr-jobs`.
    Embedded,
    /// Any other broker: plain addresses and the outcomes that every broker has.
    Generic,
}

/// One pipeline: a named route to a queue.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PipelineConfig {
    /// Always `amqp1`.
    pub driver: String,
    /// Priority of jobs that bring none; smaller numbers run first. Default 10.
    pub priority: i64,
    /// Unsettled jobs that the pipeline holds at most. Default 10.
    pub prefetch: u32,
    /// The queue that is consumed. `None` for a pipeline that only pushes.
    pub queue: Option<String>,
    /// The exchange that is published to. Absent, or a name that does not exist and equals the queue's: straight to the
    /// queue. Ignored by brokers without exchanges.
    pub exchange: Option<String>,
    /// Kind of the exchange, for `declare: on`. Default `direct`.
    pub exchange_type: String,
    /// Routing key of what is published to an exchange.
    pub routing_key: Option<String>,
    /// Whether a declared queue survives a restart of the broker. Default `true`.
    pub durable: bool,
    /// Whether a declared queue belongs to this connection alone.
    pub exclusive: bool,
    /// A job that failed goes back to the queue, instead of being dead-lettered.
    pub requeue_on_fail: bool,
    /// Whether queue and exchange are made, checked, or taken for granted.
    pub declare: Declare,
    /// Queue that failed jobs go to, for `declare: on`. Where the broker can keep a reason, it is kept.
    pub dead_letter: Option<String>,
    /// Attempts after which the broker gives up, for `declare: on` on RabbitMQ 4. Default: no limit.
    pub delivery_limit: Option<u32>,
    /// Kind of queue, for `declare: on` on RabbitMQ.
    pub queue_type: QueueType,
    /// More queue arguments, for `declare: on` on RabbitMQ.
    pub queue_headers: BTreeMap<String, serde_json::Value>,
    /// How delays are made.
    pub delay: DelayConfig,
    /// The form in which jobs are published. All forms are read.
    pub format: Format,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            driver: DRIVER.to_owned(),
            priority: DEFAULT_PRIORITY,
            prefetch: DEFAULT_PREFETCH,
            queue: None,
            exchange: None,
            exchange_type: "direct".to_owned(),
            routing_key: None,
            durable: true,
            exclusive: false,
            requeue_on_fail: false,
            declare: Declare::Check,
            dead_letter: None,
            delivery_limit: None,
            queue_type: QueueType::Auto,
            queue_headers: BTreeMap::new(),
            delay: DelayConfig::default(),
            format: Format::Native,
        }
    }
}

impl PipelineConfig {
    /// A pipeline to `queue`, everything else as by default.
    pub fn new(queue: impl Into<String>) -> Self {
        Self { queue: Some(queue.into()), ..Self::default() }
    }

    /// Sets how many unsettled jobs the pipeline holds at most.
    #[must_use]
    pub const fn prefetch(mut self, prefetch: u32) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Sets the priority of jobs that bring none.
    #[must_use]
    pub const fn priority(mut self, priority: i64) -> Self {
        self.priority = priority;
        self
    }

    /// Sets whether queue and exchange are made, checked, or taken for granted.
    #[must_use]
    pub const fn declare(mut self, declare: Declare) -> Self {
        self.declare = declare;
        self
    }

    /// Sets the queue that failed jobs go to.
    #[must_use]
    pub fn dead_letter(mut self, queue: impl Into<String>) -> Self {
        self.dead_letter = Some(queue.into());
        self
    }

    /// Publishes to `exchange` with `routing_key`.
    #[must_use]
    pub fn exchange(
        mut self,
        exchange: impl Into<String>,
        kind: impl Into<String>,
        routing_key: impl Into<String>,
    ) -> Self {
        self.exchange = Some(exchange.into());
        self.exchange_type = kind.into();
        self.routing_key = Some(routing_key.into());
        self
    }

    /// A pipeline from keys and texts, the way it is declared over RPC: `name` (or else `queue`) is its name.
    ///
    /// # Errors
    /// A missing name, an unknown driver, a value of the wrong type.
    pub fn from_texts(texts: &BTreeMap<String, String>) -> Result<(String, Self), ConfigError> {
        let node: BTreeMap<String, Node> =
            texts.iter().map(|(k, v)| (k.to_lowercase(), Node::Text(v.clone()))).collect();
        let name = texts
            .get("name")
            .or_else(|| texts.get("queue"))
            .filter(|name| !name.is_empty())
            .ok_or_else(|| ConfigError::new("", "a pipeline needs a name"))?;
        let file = File::parse("", "", &super::LoadOptions::default())?;
        let pipeline = pipeline_of(&file, name, node, BTreeMap::new(), std::slice::from_ref(name))?;
        Ok((name.clone(), pipeline))
    }
}

/// Whether queue and exchange of a pipeline are made, checked, or taken for granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Declare {
    /// Taken for granted.
    Off,
    /// Must be there; a missing queue is an error that says so.
    #[default]
    Check,
    /// Made when missing, where the broker can do that over AMQP 1.0.
    On,
}

impl<'de> Deserialize<'de> for Declare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DeclareVisitor;
        impl Visitor<'_> for DeclareVisitor {
            type Value = Declare;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("on, check or off")
            }
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Declare, E> {
                Ok(if on { Declare::On } else { Declare::Off })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Declare, E> {
                match text.to_ascii_lowercase().as_str() {
                    "on" | "true" | "yes" => Ok(Declare::On),
                    "off" | "false" | "no" => Ok(Declare::Off),
                    "check" | "" => Ok(Declare::Check),
                    _ => Err(E::custom(format_args!("expected on, check or off, found {text:?}"))),
                }
            }
        }
        deserializer.deserialize_any(DeclareVisitor)
    }
}

/// Kind of a declared queue on RabbitMQ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// Quorum when durable and shared, else classic.
    #[default]
    Auto,
    /// Replicated.
    Quorum,
    /// On one node.
    Classic,
}

/// How delayed jobs wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DelayConfig {
    /// Which means is used.
    pub strategy: DelayStrategy,
    /// The delays for which there are queues, for [`DelayStrategy::Queues`]; a delay is rounded up to the next one.
    /// Empty: steps that grow with the delay, from 100 ms below 1 s to 6 h beyond a day.
    pub buckets: Vec<Duration>,
}

/// Which means is used to delay a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DelayStrategy {
    /// What the broker does best.
    #[default]
    Auto,
    /// Queues with a time-to-live that dead-letter into the target, on RabbitMQ.
    Queues,
    /// A message annotation that the broker understands.
    Native,
    /// Delayed jobs are refused.
    None,
}

/// The form in which jobs are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// The payload as it is, the job's data as application properties.
    #[default]
    Native,
    /// The JSON envelope of RoadRunner's Go plugin `amqp1`; text payloads only.
    Envelope,
}

#[derive(Debug, Default, Deserialize)]
struct JobsSection {
    consume: Option<Vec<String>>,
    pipeline_size: Option<usize>,
    timeout: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConnectionSection {
    addr: Option<String>,
    username: Option<String>,
    password: Option<String>,
    container_id: Option<String>,
    tls: TlsSection,
    profile: ProfileChoice,
    redial: RedialSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TlsSection {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    root_ca: Option<PathBuf>,
    insecure_skip_verify: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RedialSection {
    min: Option<GoDuration>,
    max: Option<GoDuration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PipelineSection {
    priority: Option<i64>,
    prefetch: Option<u32>,
    queue: Option<String>,
    exchange: Option<String>,
    exchange_type: Option<String>,
    routing_key: Option<String>,
    durable: Option<bool>,
    exclusive: bool,
    requeue_on_fail: bool,
    declare: Declare,
    dead_letter: Option<String>,
    delivery_limit: Option<u32>,
    queue_type: QueueType,
    #[serde(deserialize_with = "arguments")]
    queue_headers: BTreeMap<String, serde_json::Value>,
    delay: DelaySection,
    format: Format,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DelaySection {
    strategy: DelayStrategy,
    buckets: Vec<GoDuration>,
}

/// Queue arguments: a map, or the JSON text of one (where an empty list means none).
fn arguments<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, serde_json::Value>, D::Error> {
    use serde_json::Value;
    let value = match Value::deserialize(deserializer)? {
        Value::String(text) if text.trim().is_empty() => Value::Null,
        Value::String(text) => serde_json::from_str(&text).map_err(de::Error::custom)?,
        other => other,
    };
    match value {
        Value::Null => Ok(BTreeMap::new()),
        Value::Array(items) if items.is_empty() => Ok(BTreeMap::new()),
        Value::Object(map) => Ok(map.into_iter().collect()),
        _ => Err(de::Error::custom("expected queue arguments by name")),
    }
}

fn connection(file: &File) -> Result<ConnectionConfig, ConfigError> {
    let section: ConnectionSection = file.section("amqp1")?.unwrap_or_default();
    let filled = |text: Option<String>| text.filter(|t| !t.is_empty());
    let addr = filled(section.addr).unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
    check_address(&addr).map_err(|message| file.error_at("amqp1.addr", &message))?;
    let tls = section.tls;
    if tls.cert.is_some() != tls.key.is_some() {
        return Err(file.error_at("amqp1.tls", "cert and key are needed together"));
    }
    let here = |path: Option<PathBuf>| {
        path.filter(|p| !p.as_os_str().is_empty()).map(|p| Path::new(file.directory()).join(p))
    };
    let min = section.redial.min.map_or(REDIAL.min, Duration::from).max(Duration::from_millis(10));
    let max = section.redial.max.map_or(REDIAL.max, Duration::from).max(min);
    Ok(ConnectionConfig {
        addr,
        username: filled(section.username),
        password: filled(section.password),
        container_id: filled(section.container_id),
        tls: TlsConfig {
            cert: here(tls.cert),
            key: here(tls.key),
            root_ca: here(tls.root_ca),
            insecure_skip_verify: tls.insecure_skip_verify,
        },
        profile: section.profile,
        redial: RedialConfig { min, max },
    })
}

fn check_address(addr: &str) -> Result<(), String> {
    addr.parse::<Address>().map(|_| ()).map_err(|e| {
        format!("not a broker address: {e}; expected amqp://user:password@host:port/ (or amqps://)")
    })
}

/// The pipeline `name` of the file: its own keys, then those of the global section over them.
fn pipeline(file: &File, name: &str, node: &Node) -> Result<PipelineConfig, ConfigError> {
    let keys = ["jobs".to_owned(), "pipelines".to_owned(), name.to_owned()];
    let Node::Map(outer) = node else {
        return Err(file.error_at_keys(&keys, "expected `driver: amqp1` and `config:`"));
    };
    let mut own = outer.clone();
    let config = own.remove("config");
    let mut merged = match config {
        None | Some(Node::Null) => BTreeMap::new(),
        Some(Node::Map(map)) => map,
        Some(other) => {
            let message = format!("config: expected a section, found {}", other.kind());
            return Err(file.error_at_keys(&keys, &message));
        }
    };
    // `driver` and `priority` may stand beside `config`.
    for (key, value) in own {
        merged.entry(key).or_insert(value);
    }
    let global = match file.node("amqp1") {
        Some(Node::Map(map)) => map
            .iter()
            .filter(|(k, _)| !CONNECTION_KEYS.contains(&k.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        _ => BTreeMap::new(),
    };
    pipeline_of(file, name, merged, global, &keys)
}

fn pipeline_of(
    file: &File,
    name: &str,
    own: BTreeMap<String, Node>,
    global: BTreeMap<String, Node>,
    keys: &[String],
) -> Result<PipelineConfig, ConfigError> {
    let mut map = flat(own);
    map.extend(flat(global));
    match map.get("driver") {
        Some(Node::Text(driver)) if driver == DRIVER => {}
        Some(Node::Text(driver)) if !driver.is_empty() => {
            let message = format!("unknown driver {driver:?}; expected \"{DRIVER}\"");
            return Err(file.error_at_keys(&with(keys, "driver"), &message));
        }
        _ => {
            let message = format!("pipeline {name:?} has no driver; expected `driver: {DRIVER}`");
            return Err(file.error_at_keys(keys, &message));
        }
    }
    let path = with(keys, "config").join(".");
    let section: PipelineSection = file.typed(&path, Node::Map(map))?;
    let filled = |text: Option<String>| text.filter(|t| !t.is_empty());
    Ok(PipelineConfig {
        driver: DRIVER.to_owned(),
        priority: section.priority.filter(|p| *p != 0).unwrap_or(DEFAULT_PRIORITY),
        prefetch: section.prefetch.filter(|p| *p != 0).unwrap_or(DEFAULT_PREFETCH),
        queue: filled(section.queue),
        exchange: filled(section.exchange),
        // `topics` is what RoadRunner's PHP client calls it.
        exchange_type: filled(section.exchange_type).map_or_else(
            || "direct".to_owned(),
            |kind| if kind == "topics" { "topic".to_owned() } else { kind },
        ),
        routing_key: filled(section.routing_key),
        durable: section.durable.unwrap_or(true),
        exclusive: section.exclusive,
        requeue_on_fail: section.requeue_on_fail,
        declare: section.declare,
        dead_letter: filled(section.dead_letter),
        delivery_limit: section.delivery_limit,
        queue_type: section.queue_type,
        queue_headers: section.queue_headers,
        delay: DelayConfig {
            strategy: section.delay.strategy,
            buckets: section.delay.buckets.into_iter().map(Duration::from).collect(),
        },
        format: section.format,
    })
}

fn with(keys: &[String], last: &str) -> Vec<String> {
    keys.iter().cloned().chain([last.to_owned()]).collect()
}

/// The newer, nested way to write queue and exchange, as flat keys.
pub(super) fn flat(mut map: BTreeMap<String, Node>) -> BTreeMap<String, Node> {
    for (section, renames) in [
        (
            "queue",
            &[("name", "queue"), ("auto_delete", "queue_auto_delete"), ("headers", "queue_headers")][..],
        ),
        (
            "exchange",
            &[
                ("name", "exchange"),
                ("type", "exchange_type"),
                ("durable", "exchange_durable"),
                ("auto_delete", "exchange_auto_delete"),
                ("declare", "exchange_declare"),
            ][..],
        ),
    ] {
        if !matches!(map.get(section), Some(Node::Map(_))) {
            continue;
        }
        let Some(Node::Map(inner)) = map.remove(section) else { continue };
        for (key, value) in inner {
            let name =
                renames.iter().find(|(from, _)| *from == key).map_or(key.as_str(), |(_, to)| to).to_owned();
            map.insert(name, value);
        }
    }
    map
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

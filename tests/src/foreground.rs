//! Real brokers of other projects, each for one test, in the foreground of a script of `tests/brokers`.

use std::process::Stdio;
use std::time::Duration;

use amqp_transport::Connection;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::free_port;

/// Bringing the software at the first run, and starting a Java program on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(200);

/// A running ActiveMQ Artemis; it goes when this is dropped.
#[derive(Debug)]
pub struct Artemis {
    running: Running,
}

impl Artemis {
    /// Starts one, and waits until it speaks AMQP.
    ///
    /// # Panics
    /// When it does not start; the message has what it said.
    pub async fn start() -> Self {
        Self { running: Running::start("artemis").await }
    }

    /// Its address, with a user.
    pub fn address(&self) -> &str {
        &self.running.address
    }
}

/// A running Apache Qpid Broker-J; it goes when this is dropped.
#[derive(Debug)]
pub struct BrokerJ {
    running: Running,
}

impl BrokerJ {
    /// Starts one, and waits until it speaks AMQP.
    ///
    /// # Panics
    /// When it does not start; the message has what it said.
    pub async fn start() -> Self {
        Self { running: Running::start("broker-j").await }
    }

    /// Its address, with a user.
    pub fn address(&self) -> &str {
        &self.running.address
    }
}

/// A broker with the user `admin`, its process and its data.
#[derive(Debug)]
struct Running {
    address: String,
    _process: Child,
    _folder: TempDir,
}

impl Running {
    async fn start(broker: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let log = std::fs::File::create(folder.path().join("log")).expect("a file for the log");
        let script = crate::workspace().join("tests/brokers").join(broker);
        let mut process = Command::new(script)
            .args(["run", "--port", &port.to_string(), "--dir"])
            .arg(folder.path().join("broker"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("a script of tests/brokers");
        let address = format!("amqp://admin:admin@127.0.0.1:{port}");
        let begun = std::time::Instant::now();
        loop {
            if let Ok(connection) = Connection::connect(&address).await {
                let _ = connection.close().await;
                return Self { address, _process: process, _folder: folder };
            }
            let ended = process.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                panic!("{broker} did not start (see tests/brokers/{broker} --help): {ended:?}\n{log}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

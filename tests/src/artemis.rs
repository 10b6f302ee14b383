//! A real ActiveMQ Artemis for one test, by `tests/brokers/artemis`.

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
    address: String,
    _process: Child,
    _folder: TempDir,
}

impl Artemis {
    /// Starts one, and waits until it speaks AMQP.
    ///
    /// # Panics
    /// When it does not start; the message has what it said.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let log = std::fs::File::create(folder.path().join("log")).expect("a file for the log");
        let script = crate::workspace().join("tests/brokers/artemis");
        let mut process = Command::new(script)
            .args(["run", "--port", &port.to_string(), "--dir"])
            .arg(folder.path().join("broker"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("tests/brokers/artemis");
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
                panic!("Artemis did not start (see tests/brokers/artemis --help): {ended:?}\n{log}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Its address, with a user.
    pub fn address(&self) -> &str {
        &self.address
    }
}

//! Somebody else's client: Qpid Proton, driven by the Python script beside this file.

use std::path::Path;
use std::process::{Command, Output};

use amqp_broker::Broker;

/// The interpreters to look for; Debian's own has Debian's Proton.
const INTERPRETERS: [&str; 2] = ["/usr/bin/python3", "python3"];

/// What the script exits with if Proton is missing.
const PROTON_IS_MISSING: i32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qpid_proton_works_with_the_broker() {
    let broker = Broker::builder().user("guest", "guest").anonymous(true).start().await.unwrap();
    let url = broker.address().replace("amqp://", "amqp://guest:guest@");
    let output = tokio::task::spawn_blocking(move || run(&url)).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(PROTON_IS_MISSING), "{said}");
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.lines().filter(|line| line.starts_with("ok: ")).count() >= 18, "{said}");
    broker.shutdown().await;
}

#[expect(clippy::panic, reason = "the test says what it needs")]
fn run(url: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proton_client.py");
    INTERPRETERS
        .iter()
        .find_map(|interpreter| Command::new(interpreter).arg(&script).arg(url).output().ok())
        .unwrap_or_else(|| {
            panic!("no Python found ({INTERPRETERS:?}): this test needs Python with Qpid Proton")
        })
}

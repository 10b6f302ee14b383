//! Where the figures come from: machine, compiler, versions.

use serde_json::{Value, json};
use std::fs;
use std::process::Command;

const LOCK: &str = include_str!("../Cargo.lock");

/// Implementations and runtime whose versions belong to the figures.
const PACKAGES: [&str; 7] =
    ["amqp-codec", "fe2o3-amqp", "fe2o3-amqp-types", "serde_amqp", "ntex-amqp-codec", "bytes", "tokio"];

/// Machine, compiler and versions.
pub fn describe() -> Value {
    let versions: serde_json::Map<String, Value> =
        PACKAGES.iter().map(|&name| (name.to_owned(), json!(locked_version(name)))).collect();
    json!({
        "processor": processor(),
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "load": read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
        "rustc": env!("BUILT_BY"),
        "commit": commit(),
        "versions": versions,
    })
}

/// The same for people.
pub fn as_text(machine: &Value) -> String {
    let text = |key: &str| machine.get(key).map_or(String::new(), plain);
    let versions = machine.get("versions").and_then(Value::as_object).into_iter().flatten();
    let versions: Vec<String> =
        versions.map(|(name, version)| format!("{name} {}", plain(version))).collect();
    format!(
        "{} x {}, Linux {}, congestion control {}, load {} at the start\n{}, commit {}\n{}\n",
        text("processors"),
        text("processor"),
        text("kernel"),
        text("congestion_control"),
        text("load"),
        text("rustc"),
        text("commit"),
        versions.join(", ")
    )
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn processor() -> String {
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn commit() -> String {
    let described = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--exclude=*"])
        .output();
    let commit = described.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    if commit.is_empty() { "unknown".to_owned() } else { commit.trim().to_owned() }
}

fn locked_version(package: &str) -> &'static str {
    let mut lines = LOCK.lines();
    let wanted = format!("name = \"{package}\"");
    lines.find(|line| *line == wanted);
    lines.next().and_then(|line| line.strip_prefix("version = ")).unwrap_or("unknown").trim_matches('"')
}
